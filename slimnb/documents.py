"""JSON and YAML files, and what is in them: read, validated, and wrong in words. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from slimnb.errors import SlimnbError

Model = TypeVar("Model", bound=BaseModel)


def read_json(path: Path) -> Any:
    """The document in a JSON file.

    Raises:
        SlimnbError: the file cannot be read or is not JSON.
    """
    return _read(path, json.loads, "JSON")


def read_yaml(path: Path) -> Any:
    """The document in a YAML file, by the safe loader.

    Raises:
        SlimnbError: the file cannot be read or is not YAML.
    """
    return _read(path, yaml.safe_load, "YAML")


def read_stored(path: Path, schema_version: int) -> Any:
    """The document in a JSON file beside the runs, of at most this schema; None where there is no file.

    Raises:
        SlimnbError: the file cannot be read, is not JSON, or is of a newer slimnb.
    """
    if not path.exists():
        return None
    fields = read_json(path)
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    if isinstance(version, int) and version > schema_version:
        raise SlimnbError(f"{path}: written by a newer slimnb (schema {version}): upgrade slimnb")
    return fields


def _read(path: Path, parse: Callable[[str], Any], form: str) -> Any:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SlimnbError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:  # wrong form, not UTF-8, too deep, a number too long
        raise SlimnbError(f"{path}: not valid {form}: {error}") from error


def validated(model: type[Model], fields: Any, where: str) -> Model:
    """The fields as a model.

    Raises:
        SlimnbError: a field is missing, unknown or wrong; `where` stands in front of the message.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise SlimnbError(f"{where}: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """A pydantic error as one readable line: field, what is wrong, what was given."""
    lines = []
    for problem in error.errors(include_url=False):
        field = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        given = f" (given: {problem['input']!r:.200})" if isinstance(problem["input"], str | int | float) else ""
        lines.append(f"{field}: {message}{given}" if field else message)
    return "; ".join(lines)
