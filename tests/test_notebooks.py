"""Each notebook is a pair in step; run anew on the shipped runs, with the network closed, it shows what was kept."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest

from notebooks.build import HERE, PLOTLY, README, SOURCES, TIMES, TOLD, execute, told
from slimnb import workshop
from slimnb.errors import SlimnbError
from slimnb.models.load import home
from slimnb.study.grid import load_study

NAMES = [path.relative_to(HERE).as_posix().removesuffix(".py") for path in SOURCES]
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
OF_THIS_MACHINE = "machine"
"""Tag of a cell whose output is another on each machine."""
CLOSED = "import pytest_socket\npytest_socket.socket_allow_hosts(['127.0.0.1', 'localhost'], allow_unix_socket=True)\n"
# What nbclient and zmq leave behind in this process, not the kernel's warnings.
quiet_client = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::RuntimeWarning"
)


def kept(source: Path) -> nbformat.NotebookNode:
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def outputs(notebook: nbformat.NotebookNode) -> list[tuple[Any, Any]]:
    return [(cell, output) for cell in notebook.cells for output in cell.get("outputs", [])]


def said(notebook: nbformat.NotebookNode) -> list[str]:
    """What a notebook tells in words: text, Markdown, tables, and figures by their text alternative."""
    texts = []
    for cell, output in outputs(notebook):
        if OF_THIS_MACHINE in cell.metadata.get("tags", []):
            continue
        data = output.get("data", {})
        figure = data.get(PLOTLY)
        texts.append(
            figure["layout"]["meta"]["alt"]
            if figure
            else data.get("text/markdown") or data.get("text/plain") or output.get("text", "")
        )
    return texts


def without_numbers(text: str) -> str:
    return re.sub(r"\s+", " ", NUMBER.sub("#", text))  # a longer number makes a table's column wider


def numbers(texts: list[str]) -> list[float]:
    return [float(found.replace(",", "")) for text in texts for found in NUMBER.findall(text)]


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_the_pair_is_in_step_and_small(source: Path) -> None:
    ours, theirs = jupytext.read(source), kept(source)
    assert [(c.cell_type, c.source, c.metadata) for c in ours.cells] == [
        (c.cell_type, c.source, c.metadata) for c in theirs.cells
    ], "run `make notebooks-build`"
    assert source.with_suffix(".ipynb").stat().st_size < 600_000


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_what_was_kept_can_be_read_anywhere(source: Path) -> None:
    for _, output in outputs(kept(source)):
        assert output.output_type != "error" and output.get("name") != "stderr"
        if figure := output.get("data", {}).get(PLOTLY):
            layout = figure["layout"]
            assert layout["title"]["text"] and layout["xaxis"]["title"]["text"] and layout["yaxis"]["title"]["text"]
            assert output["metadata"]["image/png"]["alt"] == layout["meta"]["alt"]
            assert len(output["data"]["image/png"]) > 10_000
    text = source.with_suffix(".ipynb").read_text("utf-8")
    assert not re.search(r"/(home|root|tmp|Users|work)/", text)


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
@quiet_client
def test_run_anew_it_shows_what_was_kept(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (home() / "models" / "smollm2-135m").is_dir() and "smollm2-135m" in source.read_text("utf-8"):
        pytest.skip("smollm2-135m is not prepared: `make setup` does it")
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    startup = tmp_path / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "network.py").write_text(CLOSED)
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT") or 1)
    threads = max(1, (os.cpu_count() or 1) // workers)  # no tiny models; more threads than cores wait for each other
    notebook = execute(source, IPYTHONDIR=str(tmp_path), OMP_NUM_THREADS=str(threads))
    assert not [output for _, output in outputs(notebook) if output.get("name") == "stderr"]
    now, before = said(notebook), said(kept(source))
    assert list(map(without_numbers, now)) == list(map(without_numbers, before)), "run `make notebooks-build`"
    # Another processor rounds otherwise: the last digits may differ, but not the counts.
    assert numbers(now) == pytest.approx(numbers(before), rel=0.01, abs=0.011)


def test_every_exercise_has_its_solution() -> None:
    for source in (path for path in SOURCES if path.parent == HERE):
        asked = re.findall(r"\*\*Exercise (\d)", source.read_text("utf-8"))
        solved = re.findall(r"## Exercise (\d)", (HERE / "solutions" / source.name).read_text("utf-8"))
        assert len(asked) >= 2 and asked == solved


def test_what_is_said_of_mode_quick_was_measured() -> None:
    times = json.loads(TIMES.read_text("utf-8"))
    told_there = TOLD.search(README.read_text("utf-8"))
    assert told_there and told_there[0] == told(times)
    assert set(times["seconds"]) == set(NAMES)
    assert times["total"] < 45 * 60
    assert max(times["seconds"].values()) < 4 * 60


@pytest.mark.parametrize("page", ["README.md", "00_start_here.py"])
def test_the_maps_name_every_notebook_with_its_minutes(page: str) -> None:
    rows = re.findall(r"^(?:# )?\| \[?(\d\d_\w+).*?\| (\d+) \|", (HERE / page).read_text("utf-8"), re.MULTILINE)
    told = [re.search(r"\*\*Minutes\*\*:\s(?:# )?(\d+)", path.read_text("utf-8")) for path in SOURCES]
    assert rows == [(path.stem, minutes[1]) for path, minutes in zip(SOURCES, told, strict=True) if minutes]


def test_the_mode_is_the_cells_or_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIMNB_MODE", raising=False)
    assert workshop.mode() == "replay"
    monkeypatch.setenv("SLIMNB_MODE", "quick")
    assert (workshop.mode(), workshop.mode("full")) == ("quick", "full")
    with pytest.raises(SlimnbError, match="no mode is called fast: there are replay, quick, full"):
        workshop.mode("fast")


def test_replay_gives_the_shipped_runs_in_the_order_asked_for_nowhere() -> None:
    assert list(workshop.runs("replay")) == ["base", "lora", "qlora", "full"]
    found = workshop.runs("replay", "lora", "base")
    assert list(found) == ["base", "lora"] and found["lora"].record.scores["workshop_math"].score.n == 120


def test_quick_carries_out_the_methods_asked_for_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(
        "name: try\nmodel: tiny\nmethods: [base, lora]\ntrain_on: [workshop_cs]\nbenchmarks: [workshop_cs]\n"
        "options: {steps: 1}\nscoring: {limit: 2}\n"
    )
    monkeypatch.setattr(workshop, "RUNS", tmp_path)
    monkeypatch.setitem(workshop.STUDIES, "quick", study)
    first, again = workshop.runs("quick", "base"), workshop.runs("quick", "base")
    assert list(first) == ["base"] and len(list((tmp_path / "try").glob("*/run.json"))) == 1
    assert first["base"].record.status == "completed"
    assert first["base"].record.finished == again["base"].record.finished


@pytest.mark.parametrize("mode", workshop.STUDIES)
def test_each_mode_has_a_study_of_every_method(mode: workshop.Mode) -> None:
    assert {run.method for run in load_study(workshop.STUDIES[mode]).runs()} == {"base", "lora", "qlora", "full"}


def test_a_prediction_stands_beside_what_was_measured() -> None:
    assert workshop.compare(1500, 1234.5, " items").data == "You predicted **1,500 items**; it is **1,234 items**."
    assert workshop.compare(None, 0.5).data == "You wrote no prediction; it is **0.5**."


@quiet_client
def test_a_study_in_a_notebook_tells_lines_and_no_moves_of_a_cursor(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(
        "# %%\n"
        "import slimnb.study.work\n"
        "from pathlib import Path\n"
        "from slimnb.machine.progress import progress_bar\n"
        "from tests import study_stub\n"
        "from tests.test_study import SEEDS\n"
        "slimnb.study.work.COMMAND = study_stub.COMMAND\n"
        "cells = list(slimnb.study.run_study(SEEDS, Path('runs')))\n"
        "with progress_bar('a piece of work', 3) as advance:\n"
        "    advance(3)\n"
    )
    (cell,) = execute(tmp_path / "study.py", PYTHONPATH=str(HERE.parent)).cells
    lines = "".join(output.get("text", "") for output in cell.outputs).splitlines()
    assert [line[:6] for line in lines if "completed" in line] == ["[1/2] ", "[2/2] "]
    assert len([line for line in lines if "a piece of work" in line and "3/3" in line]) == 1
    assert not [line for line in lines if "\x1b" in line or "\r" in line]
    (shown,) = [output.data["text/plain"] for output in cell.outputs if output.output_type == "display_data"]
    assert not shown  # how far each run was, until all were at their end
