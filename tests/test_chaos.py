"""A short form of `make chaos`: each fault once, in the commands that need no torch; and the planting itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.__main__ import POINTS, points, rows, try_point
from tests.chaos.commands import COMMANDS
from tests.chaos.points import Chaos, Tried
from tests.chaos.report import keep, show

SHORT = [
    ("kill -9", "import"), ("kill -9", "export"), ("kill -9", "report"), ("SIGTERM", "import"), ("SIGINT", "export"),
    ("memory refused", "import"), ("killed for want of memory", "export"), ("full disk", "import"),
    ("full disk", "export"), ("read-only directory", "import"), ("permission denied", "report"),
    ("clock set back", "import"), ("two processes", "import"),
]  # fmt: skip


@pytest.fixture(scope="module")
def chaos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chaos]:
    yield Chaos(tmp_path_factory.mktemp("chaos"), seed=1)


@pytest.mark.chaos
@pytest.mark.parametrize(("fault", "name"), SHORT, ids=[" in ".join(one) for one in SHORT])
def test_a_fault_loses_nothing_and_the_next_command_goes_on(fault: str, name: str, chaos: Chaos) -> None:
    tried = try_point(chaos, fault, name)
    assert tried.happened and not tried.wrong, (tried.at, *tried.wrong)


def test_there_are_200_points_of_known_commands_most_of_them_fast() -> None:
    assert len(points()) == 200
    assert {name for _, name in points()} <= COMMANDS.keys()
    assert sum(COMMANDS[name].torch for _, name in points()) < 50
    assert {fault for fault, _ in SHORT} <= POINTS.keys()


def test_a_part_keeps_its_section_and_the_table_says_whether_anything_was_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "reliability.json"
    tried = [Tried("kill -9", "import", 3, True), Tried("kill -9", "study", 5, True, ["half: run.json"])]
    keep("inputs", [{"entry": "study YAML", "tried": 30, "wrong": 0, "hung": 0}], path, seed=3)
    assert show(path)
    keep("faults", rows(tried), path, seed=1)
    assert not show(path)
    shown = capsys.readouterr().out
    assert "study YAML" in shown and "import, study" in shown and "seed 3" in shown
    keep("faults", rows(tried[:1]), path, seed=1)
    assert show(path)
