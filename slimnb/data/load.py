"""A data set's name -> validated rows, from a local directory in the Hub's schemas or from the Hub.

The source is `--data DIR` or SLIMNB_DATA where given, else the Hub through `datasets`; the workshop sets come from
the project's own data/workshop. Nothing ever replaces one by another: what is missing is an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from slimnb.data.rows import (
    Gsm8kRow,
    HellaswagRow,
    InstructionRow,
    MmluRow,
    Row,
    fingerprint,
    read_json_lines,
    validate_row,
)
from slimnb.errors import SlimnbError
from slimnb.io.places import PROJECT

WORKSHOP = PROJECT / "data" / "workshop"


def _as_is(row: dict[str, Any]) -> dict[str, Any]:
    return row


def _dolly(row: dict[str, Any]) -> dict[str, Any]:
    return {"instruction": row["instruction"], "input": row["context"], "output": row["response"]}


def _openbookqa(row: dict[str, Any]) -> dict[str, Any]:
    choices = row["choices"]
    return {
        "question": row["question_stem"],
        "subject": "openbookqa",
        "choices": choices["text"],
        "answer": choices["label"].index(row["answerKey"].strip()),
    }


@dataclass(frozen=True)
class DataSet:
    """Where a data set's rows come from and what they look like."""

    name: str
    row: type[Row]
    licence: str
    files: dict[str, str]
    """Split -> path below the data directory."""
    hub: str | None = None
    """The Hub's repository; None for the project's own sets."""
    hub_config: str | None = None
    from_hub: Callable[[dict[str, Any]], dict[str, Any]] = field(default=_as_is)
    """The Hub's fields -> the fields of `row`, where they differ."""


def _splits(folder: str, *names: str) -> dict[str, str]:
    return {name: f"{folder}/{name}.jsonl" for name in names}


MMLU_CS_SUBJECTS = (
    "college_computer_science",
    "high_school_computer_science",
    "computer_security",
    "machine_learning",
)

_ALL = [
    DataSet("hellaswag", HellaswagRow, "MIT", _splits("hellaswag", "train", "validation"), "Rowan/hellaswag"),
    DataSet("gsm8k", Gsm8kRow, "MIT", _splits("gsm8k", "train", "test"), "openai/gsm8k", "main"),
    *(
        DataSet(f"mmlu/{s}", MmluRow, "MIT", _splits(f"mmlu/{s}", "dev", "validation", "test"), "cais/mmlu", s)
        for s in MMLU_CS_SUBJECTS
    ),
    DataSet(
        "openbookqa", MmluRow, "Apache-2.0", {"train": "sft/openbookqa.jsonl"},
        "allenai/openbookqa", "main", _openbookqa,
    ),
    DataSet("alpaca", InstructionRow, "CC BY-NC 4.0", {"train": "sft/alpaca.jsonl"}, "tatsu-lab/alpaca"),
    DataSet(
        "dolly", InstructionRow, "CC BY-SA 3.0", {"train": "sft/dolly.jsonl"},
        "databricks/databricks-dolly-15k", None, _dolly,
    ),
    DataSet(
        "code_alpaca", InstructionRow, "CC BY-NC 4.0", {"train": "sft/code_alpaca.jsonl"}, "sahil2801/CodeAlpaca-20k"
    ),
    DataSet("workshop_commonsense", HellaswagRow, "Apache-2.0", _splits("commonsense", "train", "test")),
    DataSet("workshop_math", Gsm8kRow, "Apache-2.0", _splits("math", "train", "test")),
    DataSet("workshop_cs", MmluRow, "Apache-2.0", _splits("cs", "train", "test")),
]  # fmt: skip
DATA_SETS = {data_set.name: data_set for data_set in _ALL}


@dataclass(frozen=True)
class Rows:
    """A split's rows and what identifies their content."""

    rows: list[Any]
    """Of the data set's row type."""
    sha256: str
    """Over the rows in order: the same from a local file and from the Hub."""
    source: str
    """The file, or `Hub: REPOSITORY`."""


def data_directory(option: Path | None = None) -> Path | None:
    """`--data` where given, else SLIMNB_DATA, else None, which means the Hub.

    Raises:
        SlimnbError: the directory does not exist.
    """
    if option is None and (named := os.environ.get("SLIMNB_DATA")):
        option = Path(named)
    if option is not None and not os.path.isdir(option):  # noqa: PTH112  Path.is_dir raises on a name that is too long
        raise SlimnbError(f"{option}: the data directory (--data or SLIMNB_DATA) does not exist")
    return option


def load_rows(name: str, split: str, directory: Path | None = None) -> Rows:
    """All rows of one split, checked field by field.

    Args:
        directory: as `data_directory` gives it; None loads from the Hub. The workshop sets ignore it.

    Raises:
        SlimnbError: unknown name or split, missing or empty file, a row with a missing or wrong field (named with
            its file and line), or a Hub that does not answer.
    """
    if name not in DATA_SETS:
        raise SlimnbError(f"no data set is called {name}: there are {', '.join(DATA_SETS)}")
    data_set = DATA_SETS[name]
    if split not in data_set.files:
        raise SlimnbError(f"{name} has no split {split}: it has {', '.join(data_set.files)}")
    local = WORKSHOP if data_set.hub is None else directory
    if local is not None:
        source = local / data_set.files[split]
        if not source.is_file():
            raise SlimnbError(_missing(data_set, source))
        numbered = read_json_lines(source)
        origin = str(source.relative_to(PROJECT)) if local == WORKSHOP else str(source)
    else:
        numbered = _from_hub(data_set, split)
        origin = f"Hub: {data_set.hub}"
    rows = [validate_row(data_set.row, fields, where) for where, fields in numbered]
    if not rows:
        raise SlimnbError(f"{origin}: has no rows")
    return Rows(rows, fingerprint(rows), origin)


def _missing(data_set: DataSet, path: Path) -> str:
    if data_set.hub is None:
        return f"{path}: not there; `python {WORKSHOP / 'generate.py'}` makes the workshop sets"
    config = f", {data_set.hub_config}" if data_set.hub_config else ""
    return (
        f"{path}: not there. Save the Hub's {data_set.hub}{config} to it as JSON Lines, or leave out --data and "
        "SLIMNB_DATA to load it from the Hub"
    )


def _from_hub(data_set: DataSet, split: str) -> Iterator[tuple[str, Any]]:
    import datasets
    from datasets.exceptions import DatasetsError

    from slimnb.io.hub import HUB_ERRORS, hub_or_cache

    assert data_set.hub is not None
    try:
        with hub_or_cache(data_set.hub, "dataset"):
            table = datasets.load_dataset(data_set.hub, data_set.hub_config, split=split)
    except (*HUB_ERRORS, DatasetsError) as error:
        directory = "DIR/" + data_set.files[split]
        raise SlimnbError(
            f"{data_set.name}: {data_set.hub} could not be loaded from the Hub "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}). "
            f"Without the network, put its rows in {directory} and name DIR by --data or SLIMNB_DATA"
        ) from error
    for number, row in enumerate(table, start=1):
        where = f"{data_set.hub} {split} row {number}"
        try:
            fields = data_set.from_hub(dict(row))
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            raise SlimnbError(f"{where}: not in the expected form ({type(error).__name__}: {error})") from error
        yield where, fields


Origin = Literal["local", "hub", "missing"]


def availability(data_set: DataSet, directory: Path | None) -> tuple[Origin, int | None]:
    """Where the rows would come from, and how many lie in local files (None where that is not known)."""
    local = WORKSHOP if data_set.hub is None else directory
    if local is None:
        return "hub", None
    paths = [local / file for file in data_set.files.values()]
    if not all(path.is_file() for path in paths):
        return "missing", None
    return "local", sum(map(_count, paths))


def _count(path: Path) -> int:
    """Lines that are not blank."""
    try:
        with path.open("rb") as stream:
            return sum(bool(line.strip()) for part in stream for line in part.splitlines())
    except OSError as error:
        raise SlimnbError(f"{path}: cannot be read ({error.strerror})") from error
