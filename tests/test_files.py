"""Files are whole or absent."""

import json
from io import StringIO
from pathlib import Path

import pytest

from slimnb.errors import SlimnbError
from slimnb.io.files import append_json_line, atomic_path, write_json


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file_is_made_with_the_directories_above_it(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "file.json"
    write_json(target, {"größe": 1, "missing": None})
    assert json.loads(target.read_text("utf-8")) == {"größe": 1, "missing": None}
    assert names(target.parent) == ["file.json"]


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old and much longer")
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old and much longer"
    assert target.read_text() == "new"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_an_exception_leaves_nothing_of_a_new_target_behind(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "target") as temporary:
        if kind == "directory":
            temporary.mkdir()
            (temporary / "part").write_text("half")
        else:
            temporary.write_text("half")
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_an_exception_leaves_the_old_file_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["target"] and target.read_text() == "old"


def test_of_two_directories_the_first_writer_wins(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with atomic_path(target) as slow:
        slow.mkdir()
        (slow / "weights").write_text("slow")
        with atomic_path(target) as fast:
            fast.mkdir()
            (fast / "weights").write_text("fast")
    assert (target / "weights").read_text() == "fast"
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_does_not_have_is_refused(tmp_path: Path, number: float) -> None:
    target = tmp_path / "file.json"
    write_json(target, {"loss": 1.0})
    with pytest.raises(ValueError, match="JSON"):
        write_json(target, {"loss": number})
    with pytest.raises(ValueError, match="JSON"):
        append_json_line(StringIO(), {"loss": number})
    assert names(tmp_path) == ["file.json"] and json.loads(target.read_text()) == {"loss": 1.0}


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    target = tmp_path / "file" / "below" / "run.json"
    with pytest.raises(SlimnbError, match=str(target)):
        write_json(target, {})
    with pytest.raises(SlimnbError, match=str(tmp_path / "file" / "run.json")):
        write_json(tmp_path / "file" / "run.json", {})


def test_a_file_never_replaces_a_directory(tmp_path: Path) -> None:
    (tmp_path / "place" / "inside").mkdir(parents=True)
    with pytest.raises(SlimnbError, match="place"):
        write_json(tmp_path / "place", {})
    assert names(tmp_path) == ["place"] and names(tmp_path / "place") == ["inside"]


def test_an_appended_line_is_on_disk_before_the_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with path.open("w") as stream:
        append_json_line(stream, {"step": 1})
        append_json_line(stream, {"step": 2})
        assert [json.loads(line) for line in path.read_text().splitlines()] == [{"step": 1}, {"step": 2}]
