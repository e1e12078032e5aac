"""A study's study.json: which runs it is to have, so that what was never started is missed. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from slimnb.io.documents import read_stored
from slimnb.io.files import write_json
from slimnb.store.records import Record

SCHEMA_VERSION = 1
FILE = "study.json"


class Planned(Record):
    """What study.json holds."""

    schema_version: int = SCHEMA_VERSION
    runs: tuple[str, ...]
    """Their ids, in the order of the grid."""


def read_planned(study: Path) -> tuple[str, ...]:
    """The ids of the runs that `slimnb study run` was last asked for; none where no grid was run here.

    Raises:
        SlimnbError: the file is damaged, or of a newer slimnb.
    """
    found = read_stored(study / FILE, Planned, SCHEMA_VERSION)
    return found.runs if found else ()


def how_complete(planned: Sequence[str], complete: Collection[str]) -> str | None:
    """How many of the runs are complete, in a sentence; None where all are, or none were planned."""
    done = sum(name in complete for name in planned)
    return f"{done} of this study's {len(planned)} runs are complete." if done < len(planned) else None


def write_planned(study: Path, runs: Sequence[str]) -> None:
    """Store them in a study's directory, in place of an earlier grid's."""
    write_json(study / FILE, Planned(runs=tuple(runs)).model_dump(mode="json"))
