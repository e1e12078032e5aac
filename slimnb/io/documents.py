"""JSON and YAML files, and what is in them: read, validated, and wrong in words. Imports no torch.

Every file is taken as hostile: of bounded size, and nothing in it may make more of itself than it is.
"""

from __future__ import annotations

import json
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ValidationError

from slimnb.errors import SlimnbError

Model = TypeVar("Model", bound=BaseModel)

LARGEST = 50_000_000
"""Bytes of a JSON file: beyond any record, and what Python holds in less than a gigabyte."""
MOST_PARTS = 2_000_000
"""Lists and objects in a JSON text: empty, each takes 20 times as much memory as text."""
LARGEST_YAML = 200_000
"""Bytes of a YAML file, whose reader is a hundred times slower than JSON's."""
MOST_VALUES = 100_000
"""Values of a YAML file, its anchors unfolded: ten lines that each name the one before ten times make billions."""
PROBLEMS_TOLD = 5


def read_json(path: Path) -> Any:
    """The document in a JSON file.

    Raises:
        SlimnbError: the file cannot be read or is not JSON.
    """
    return _read(path, parse_json, "JSON", LARGEST)


def read_yaml(path: Path) -> Any:
    """The document in a YAML file, by the safe loader.

    Raises:
        SlimnbError: the file cannot be read or is not YAML.
    """
    return _read(path, _parse_yaml, "YAML", LARGEST_YAML)


def read_stored(path: Path, model: type[Model], schema_version: int) -> Model | None:
    """What a JSON file beside the runs holds, of at most this schema; None where there is no file.

    Raises:
        SlimnbError: the file cannot be read, is not JSON, is of a newer slimnb, or a field is missing or wrong.
    """
    if not path.exists():
        return None
    fields = read_json(path)
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    if isinstance(version, int) and version > schema_version:
        raise SlimnbError(f"{path}: written by a newer slimnb (schema {short(version)}): upgrade slimnb")
    return validated(model, fields, str(path))


def regular_file(path: Path, largest: int | None = None) -> None:
    """Refuse what is no file: a pipe would be waited for, and a device has no end.

    Raises:
        SlimnbError: there is no file, or one of more than `largest` bytes.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise SlimnbError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if stat.S_ISDIR(found.st_mode):
        raise SlimnbError(f"{path}: cannot be read (Is a directory)")
    if not stat.S_ISREG(found.st_mode):
        raise SlimnbError(f"{path}: not a file")
    if largest is not None and found.st_size > largest:
        raise SlimnbError(f"{path}: {found.st_size / 1e6:,.1f} MB is more than the {largest / 1e6:g} MB that are read")


def _read(path: Path, parse: Callable[[str], Any], form: str, largest: int) -> Any:
    regular_file(path, largest)
    try:
        with path.open("rb", buffering=0) as file:
            return parse(file.readall().decode())
    except OSError as error:
        raise SlimnbError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError, yaml.YAMLError, LookupError, AttributeError, TypeError) as error:
        # Not UTF-8, the wrong form, too deep, a number too long; the last three are PyYAML's, of `!!int ""` and its kin
        raise SlimnbError(f"{path}: not valid {form}: {error!s:.1000}") from error


def parse_json(text: str) -> Any:
    """As json.loads, but a name that an object gives twice is an error and not the last one's value, and so is half of
    a character's two escapes, which no text holds.

    Raises:
        ValueError, RecursionError: the text is not JSON, or makes more of itself than there is memory for.
    """
    if text.count("{") + text.count("[") > MOST_PARTS:
        raise ValueError(f"more than {MOST_PARTS:,} lists and objects")
    found = _JSON.decode(text)
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("half a character, which is no text") from error
    return found


def parse_json_line(text: str) -> Any:
    """As parse_json, of one line of a file: an error names the column alone, for its reader knows the line."""
    try:
        return parse_json(text.rstrip("\r\n"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg}, column {error.colno}") from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise ValueError(f"{twice!r:.100} is given twice")
    return fields


_JSON = json.JSONDecoder(object_pairs_hook=_each_once)
"""Made once: json.loads makes one for each of thousands of records."""


def _parse_yaml(text: str) -> Any:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count(node: yaml.Node, known: dict[int, int | None]) -> int:
    """A node's values, anchors unfolded; a name that a mapping gives twice is an error, as in JSON."""
    if id(node) in known:
        if (count := known[id(node)]) is None:
            raise ValueError(f"line {node.start_mark.line + 1}: an anchor that holds itself")
        return count
    known[id(node)] = None
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        names = set()
        for key, value in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)
            if name in names:
                raise ValueError(f"line {key.start_mark.line + 1}: {key.value!r:.100} is given twice")
            names.add(name)
            parts += [key, value]
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    count = known[id(node)] = 1 + sum(_count(part, known) for part in parts)
    if count > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES:,} values, anchors unfolded")
    return count


def validated(model: type[Model], fields: Any, where: str = "", hint: str = "") -> Model:
    """The fields as a model.

    Args:
        hint: what stands behind the message where fields are wrong.

    Raises:
        SlimnbError: a field is missing, unknown or wrong; `where`, if there is one, stands in front of the message.
    """
    before = f"{where}: " if where else ""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise SlimnbError(f"{before}{explain(error)}{hint}") from error
    except RecursionError as error:
        raise SlimnbError(f"{before}lists within lists, too deep to be read") from error


def explain(error: ValidationError) -> str:
    """A pydantic error as one readable line: field, what is wrong, what was given; only the first few of many."""
    problems = error.errors(include_url=False)
    lines = []
    for problem in problems[:PROBLEMS_TOLD]:
        field = ".".join(f"{part!s:.60}" for part in problem["loc"])
        message = f"{problem['msg'].removeprefix('Value error, '):.500}"
        given = f" (given: {short(problem['input'])})" if isinstance(problem["input"], str | int | float) else ""
        lines.append(f"{field}: {message}{given}" if field else message)
    if len(problems) > PROBLEMS_TOLD:
        lines.append(f"and {len(problems) - PROBLEMS_TOLD:,} more")
    return "; ".join(lines)


def short(value: Any) -> str:
    """A text or number in at most 200 characters."""
    try:
        return f"{value[:200]!r:.200}" if isinstance(value, str) else f"{value!r:.200}"
    except ValueError:  # of so many digits that Python does not print them
        return "a number of thousands of digits"


def no_truth(value: Any) -> Any:
    """For a field of numbers: true and false are none, though Python counts them as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")
    return value


Whole = Annotated[int, BeforeValidator(no_truth)]
