"""What a row of each kind of data set looks like, and the reading of rows with an error that names file and line."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from slimnb.documents import explain
from slimnb.errors import SlimnbError

Text = Annotated[str, Field(min_length=1)]


class Row(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class HellaswagRow(Row):
    """Rowan/hellaswag."""

    ind: int
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
        if not (self.label.isdecimal() and int(self.label) < len(self.endings)):
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
    answer: int

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


def read_json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """(file:line, parsed line) for every line that is not blank.

    Raises:
        SlimnbError: the file cannot be read, or a line is not JSON.
    """
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    yield f"{path}:{number}", json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise SlimnbError(f"{path}:{number}: not valid JSON ({error})") from error
    except UnicodeDecodeError as error:
        raise SlimnbError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise SlimnbError(f"{path}: cannot be read ({error.strerror})") from error


def validate_row(model: type[Row], fields: Any, where: str) -> Row:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        known = ", ".join(model.model_fields)
        raise SlimnbError(f"{where}: {explain(error)}. A row here has the fields {known}") from error


def fingerprint(rows: list[Any]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row.model_dump(), sort_keys=True, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()
