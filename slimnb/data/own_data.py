"""A user's own file of training rows, JSON Lines, CSV or Parquet -> validated rows, and each bad one by its line.

A file is read a row at a time, so that one which is damaged, or made to fill the memory, is told and not held.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator, model_validator

from slimnb.data.rows import LONGEST_LINE, InstructionRow, Row, Text, open_text, read_lines
from slimnb.errors import SlimnbError
from slimnb.io.documents import parse_json_line, validated

LOOKED_AT = 1000
"""Rows of JSON Lines that tell which columns there are."""
MOST_COLUMNS, MOST_BAD = 10_000, 100_000
"""Of a file that is still taken for one of rows."""


class PromptCompletionRow(Row):
    """The plainest form."""

    prompt: str
    completion: Text


class Message(Row):
    role: Literal["system", "user", "assistant"]
    content: str


class MessagesRow(Row):
    """A conversation; its last message, the assistant's, is what is learned."""

    messages: tuple[Message, ...]

    @field_validator("messages", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        """A cell of CSV holds the list as JSON."""
        parsed = _parsed(value) if isinstance(value, str) else value
        if isinstance(parsed, SlimnbError):
            raise ValueError(str(parsed))
        return parsed

    @model_validator(mode="after")
    def _ends_with_an_answer(self) -> MessagesRow:
        if len(self.messages) < 2 or self.messages[-1].role != "assistant" or not self.messages[-1].content:
            raise ValueError("messages: two or more, the last one the assistant's and not empty: it is what is learned")
        return self


FORMS: dict[str, type[Row]] = {
    "prompt/completion": PromptCompletionRow,
    "instruction/input/output": InstructionRow,
    "messages": MessagesRow,
}


@dataclass(frozen=True)
class BadRow:
    line: int
    """Where the row starts in its file, from 1; Parquet has no lines: the row's number."""
    problem: str


@dataclass(frozen=True)
class OwnData:
    """What a file holds, good and bad."""

    path: Path
    form: str
    """A name in FORMS."""
    rows: list[Any]
    """The good ones, of the form's row type."""
    lines: list[int]
    """Those of `rows`, as in BadRow."""
    bad: list[BadRow]


def place(path: Path | str, line: int) -> str:
    """A row's place in the words of an error."""
    return f"{path} row {line}" if Path(path).suffix.lower() == ".parquet" else f"{path}:{line}"


def told(path: Path | str, bad: list[BadRow], most: int) -> list[str]:
    """A line for each of the first `most` bad rows, and one that counts the rest."""
    lines = [f"{place(path, row.line)}: {row.problem}" for row in bad[:most]]
    return [*lines, f"and {len(bad) - most:,} more bad rows"] if len(bad) > most else lines


def read_own_data(path: Path, columns: Mapping[str, str] | None = None) -> OwnData:
    """All rows of a file in one of FORMS: the one whose required columns are there, the leftmost where several are.

    A null in an optional column is a value that is not there, as Parquet writes it.

    Args:
        columns: slimnb's name of a column -> the file's, where they differ: {"prompt": "question"}.

    Raises:
        SlimnbError: the file cannot be read as what its ending says, has no rows or not the columns of any form, or
            `columns` names one that is not there.
    """
    if path.suffix.lower() not in READERS:
        raise SlimnbError(f"{path}: own data is a file that ends in {', '.join(READERS)}")
    file = READERS[path.suffix.lower()](path)
    if len(file.columns) > MOST_COLUMNS:
        raise SlimnbError(f"{file.start}: more than {MOST_COLUMNS:,} columns")
    if twins := sorted(f"{name!r:.100}" for name, times in Counter(file.columns).items() if name and times > 1)[:10]:
        raise SlimnbError(f"{file.start}: more than one column is called {', '.join(twins)}: rename all but one")
    form, source = _choose_form(file, columns or {})
    data = OwnData(path, form, [], [], [])
    for line, record in file.records([column for column in source.values() if column in file.columns]):
        try:
            data.rows.append(_validated(FORMS[form], source, record))
            data.lines.append(line)
        except SlimnbError as error:
            data.bad.append(BadRow(line, f"{error!s:.500}"))
            if len(data.bad) > MOST_BAD:
                raise SlimnbError(f"{path}: more than {MOST_BAD:,} bad rows. {told(path, data.bad, 1)[0]}") from error
    if not data.rows and not data.bad:
        raise SlimnbError(f"{path}: has no rows")
    return data


def _validated(form: type[Row], source: dict[str, str], record: Any) -> Row:
    if isinstance(record, SlimnbError):
        raise record
    if not isinstance(record, dict):
        raise SlimnbError(f"a row is an object with {', '.join(form.model_fields)}, not a {type(record).__name__}")
    fields = {name: record[column] for name, column in source.items() if column in record}
    needed = _needed(form)
    if nulls := [name for name in needed if name in fields and fields[name] is None]:
        raise SlimnbError(f"{', '.join(nulls)}: null, where text is needed")
    return validated(form, {name: value for name, value in fields.items() if value is not None or name in needed})


def _needed(form: type[Row]) -> list[str]:
    return [name for name, field in form.model_fields.items() if field.is_required()]


# Which columns hold what


@dataclass(frozen=True)
class _File:
    """A file, read as far as its columns."""

    columns: list[str]
    start: str
    """Where they stand, for errors."""
    records: Callable[[list[str]], Iterator[tuple[int, Any]]]
    """The wanted columns -> (line, fields) of each row; a row that cannot be read is the SlimnbError that says why."""


def _choose_form(file: _File, columns: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """A form, and for each of its fields the file's column."""
    known = dict.fromkeys(field for form in FORMS.values() for field in form.model_fields)
    here = f"The columns are {', '.join(file.columns):.500}"
    for field, column in columns.items():
        if field not in known:
            raise SlimnbError(f"--columns: {field!r} is not one of {', '.join(known)}")
        if file.columns and column not in file.columns:
            near = f"; did you mean {near!r}?" if (near := _near(column, file.columns)) else "."
            raise SlimnbError(f"{file.start}: no column is called {column!r} (--columns {field}={column}){near} {here}")
    sources = {name: {field: columns.get(field, field) for field in form.model_fields} for name, form in FORMS.items()}
    sources = {name: source for name, source in sources.items() if columns.keys() <= source.keys()}
    if not sources:
        raise SlimnbError(f"--columns: {', '.join(columns)} belong to different forms of rows: {', '.join(FORMS)}")
    if not file.columns:  # nothing can be read: each record says why
        return next(iter(sources.items()))
    missing = {
        name: [field for field in _needed(FORMS[name]) if source[field] not in file.columns]
        for name, source in sources.items()
    }
    complete = [name for name in sources if not missing[name]]
    if not complete:
        begun = min(missing, key=lambda name: len(missing[name]) == len(_needed(FORMS[name])))
        example = ",".join(f"{field}={_near(field, file.columns) or 'COLUMN'}" for field in missing[begun])
        raise SlimnbError(
            f"{file.start}: a row needs prompt and completion, or instruction and output, or messages. {here}: say "
            f"which is which by --columns {example}"
        )
    chosen = min(complete, key=lambda name: min(map(file.columns.index, {*sources[name].values()} & {*file.columns})))
    return chosen, sources[chosen]


def _near(name: str, among: list[str]) -> str | None:
    lower = {one.casefold(): one for one in among[:100] if len(one) < 100}  # names that a person gave
    return next((lower[match] for match in get_close_matches(name.casefold(), lower, n=1)), None)


# The kinds of files


def _json_lines(path: Path) -> _File:
    # Not rows.read_json_lines, which ends at the first bad line: here all of them are told.
    start, columns = str(path), dict[str, None]()
    for number, line in islice(_filled(path), LOOKED_AT):
        if start == str(path):
            start = place(path, number)
            if line.lstrip().startswith("["):
                raise SlimnbError(f"{start}: a JSON array; each line must be an object of its own: jq -c '.[]' does it")
        if isinstance(record := _parsed(line), dict):
            columns |= dict.fromkeys(record)
        if len(columns) > MOST_COLUMNS:
            break
    return _File(list(columns), start, lambda wanted: ((number, _parsed(line)) for number, line in _filled(path)))


def _filled(path: Path) -> Iterator[tuple[int, str]]:
    with open_text(path) as stream:
        for number, line in enumerate(read_lines(path, stream), start=1):
            if line.strip():
                yield number, line


def _parsed(text: str) -> Any:
    try:
        return parse_json_line(text)
    except (ValueError, RecursionError) as error:
        return SlimnbError(f"not valid JSON ({error})")


def _delimited(path: Path, delimiter: str) -> _File:
    rows = _cells(path, delimiter)
    line, header = next(rows, (1, []))
    start = place(path, line)
    if isinstance(header, SlimnbError):
        raise SlimnbError(f"{start}: {header}")
    if len(header) == 1 and any(mark in header[0] for mark in ",;\t"):
        raise SlimnbError(f"{start}: one column, {header[0]!r:.200}. Separate .csv by commas and .tsv by tabs")

    def records(wanted: list[str]) -> Iterator[tuple[int, Any]]:
        for line, cells in rows:
            if isinstance(cells, list) and len(cells) != len(header):
                cells = SlimnbError(
                    f"{len(cells)} cells, the header {len(header)}: quote text that holds a separator or a line break"
                )
            yield line, dict(zip(header, cells, strict=True)) if isinstance(cells, list) else cells

    return _File(header, start, records)


def _cells(path: Path, delimiter: str) -> Iterator[tuple[int, list[str] | SlimnbError]]:
    """(line where it starts, cells) of each record that is not a blank line."""
    csv.field_size_limit(LONGEST_LINE)
    with open_text(path, newline="") as stream:  # line ends as they are, since a quoted cell may hold them
        reader = csv.reader(read_lines(path, stream), delimiter=delimiter, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                problem = f"not valid CSV ({error}): a double quote is left open, or not doubled in a text"
                yield line, SlimnbError(problem)
            else:
                if len(cells) > 1 or "".join(cells).strip():
                    yield line, cells


def _parquet(path: Path) -> _File:
    from slimnb.io.parquet import open_parquet

    columns, records = open_parquet(path)
    return _File(columns, str(path), records)


READERS: dict[str, Callable[[Path], _File]] = {
    ".jsonl": _json_lines,
    ".json": _json_lines,
    ".csv": partial(_delimited, delimiter=","),
    ".tsv": partial(_delimited, delimiter="\t"),
    ".parquet": _parquet,
}
