"""What a row of each kind of data set looks like, and the reading of rows with an error that names file and line."""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from slimnb.errors import SlimnbError
from slimnb.io.documents import Whole, parse_json_line, regular_file, validated

Text = Annotated[str, Field(min_length=1)]

LONGEST_LINE = 20_000_000
"""Characters of a line, or of a cell: more than a model reads, and little enough to be held several times over."""


class Row(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class HellaswagRow(Row):
    """Rowan/hellaswag."""

    ind: Whole
    activity_label: str
    ctx_a: str
    ctx_b: str
    endings: Annotated[list[str], Field(min_length=2)]
    source_id: Text
    label: str

    @field_validator("label", mode="before")
    @classmethod
    def _label_as_text(cls, label: Any) -> Any:
        return str(label) if isinstance(label, int) else label

    @model_validator(mode="after")
    def _label_in_range(self) -> HellaswagRow:
        if not (self.label.isdecimal() and len(self.label) < 10 and int(self.label) < len(self.endings)):
            raise ValueError(f"label {self.label!r} is not one of 0 to {len(self.endings) - 1}")
        return self


class Gsm8kRow(Row):
    """openai/gsm8k: the answer ends in a line `#### NUMBER`."""

    question: Text
    answer: Text

    @model_validator(mode="after")
    def _has_a_number(self) -> Gsm8kRow:
        if not re.search(r"^#### -?[$0-9.,]*[0-9]", self.answer, re.MULTILINE):
            raise ValueError("answer has no final line `#### NUMBER`")
        return self


class MmluRow(Row):
    """cais/mmlu: answer is the position of the right choice, from 0."""

    question: Text
    subject: str
    choices: Annotated[list[str], Field(min_length=2, max_length=10)]  # A to J
    answer: Whole

    @model_validator(mode="after")
    def _answer_in_range(self) -> MmluRow:
        if not 0 <= self.answer < len(self.choices):
            raise ValueError(f"answer {self.answer} is not one of 0 to {len(self.choices) - 1}")
        return self


class InstructionRow(Row):
    """tatsu-lab/alpaca and its kin."""

    instruction: Text
    input: str = ""
    output: str


@contextmanager
def open_text(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """A file of UTF-8 text, with or without a byte order mark. `newline` is as of `open`.

    Raises:
        SlimnbError: there is no such file, or what is read in the block is not UTF-8.
    """
    regular_file(path)
    try:
        with path.open("rb") as start:
            if b"\0" in start.read(4):  # plain letters in UTF-16 are valid UTF-8, each with a NUL beside it
                raise SlimnbError(f"{path}:1: not UTF-8 text (NUL bytes, as of UTF-16). Save the file as UTF-8")
        with path.open(encoding="utf-8-sig", newline=newline) as stream:
            yield stream
    except UnicodeDecodeError as error:
        where = f"{path}:{_line_of_fault(path)}"
        raise SlimnbError(f"{where}: not UTF-8 text ({error.reason}). Save the file as UTF-8") from error
    except OSError as error:
        raise SlimnbError(f"{path}: cannot be read ({error.strerror})") from error


def _line_of_fault(path: Path) -> int:
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                return line + error.object.count(b"\n", 0, error.start)
            line += chunk.count(b"\n")
    return line


def read_lines(path: Path, stream: TextIO) -> Iterator[str]:
    """The lines of an open text file.

    Raises:
        SlimnbError: one is longer than LONGEST_LINE.
    """
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise SlimnbError(f"{path}:{number}: a line of more than {LONGEST_LINE:,} characters")
        yield line


def read_json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """(file:line, parsed line) for every line that is not blank.

    Raises:
        SlimnbError: the file cannot be read, or a line is not JSON.
    """
    with open_text(path) as stream:
        for number, line in enumerate(read_lines(path, stream), start=1):
            if line.strip():
                try:
                    fields = parse_json_line(line)
                except (ValueError, RecursionError) as error:
                    raise SlimnbError(f"{path}:{number}: not valid JSON ({error})") from error
                yield f"{path}:{number}", fields


def validate_row(model: type[Row], fields: Any, where: str) -> Row:
    return validated(model, fields, where, f". A row here has the fields {', '.join(model.model_fields)}")


def fingerprint(rows: list[Any]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row.model_dump(), sort_keys=True, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()
