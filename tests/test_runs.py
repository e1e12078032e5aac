"""The run folder: written, read again, found, and not trusted."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from slimnb.config import make_run_config
from slimnb.errors import SlimnbError
from slimnb.store.records import SCHEMA_VERSION, BenchmarkResult, Score
from slimnb.store.runs import RunFolder, find, scan

MakeRun = Callable[..., RunFolder]


def edit(folder: RunFolder, **fields: Any) -> None:
    """Change fields of a run.json behind slimnb's back."""
    path = folder.path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def score(**fields: Any) -> dict[str, Any]:
    """The `scores` of a run.json, with fields of the one score changed."""
    one = asdict(Score.of(3, 4)) | fields
    result = BenchmarkResult(
        metrics={"acc": Score.of(3, 4)}, primary="acc", shots=0, items=4, seconds=1.0, prompts_sha256="p"
    ).model_dump()
    return {"workshop_cs": result | {"metrics": {"acc": one}}}


def test_a_run_is_read_as_it_was_written(make_run: MakeRun) -> None:
    written = make_run("lora", (True, True, False))
    read = RunFolder.read(written.path)
    assert (read.config, read.record) == (written.config, written.record)
    assert read.record.status == "completed" and read.record.scores["workshop_cs"].score.k == 2
    pd.testing.assert_frame_equal(read.items("workshop_cs"), written.items("workshop_cs"))
    assert list(read.items("workshop_cs")["correct_acc_norm"]) == [True, True, False]
    assert sorted(path.name for path in read.path.iterdir()) == ["config.json", "eval", "run.json"]


def test_a_number_that_is_missing_is_null_in_the_file(make_run: MakeRun) -> None:
    raw = json.loads((make_run().path / "run.json").read_text())
    assert raw["costs"] and all(value is None for value in raw["costs"].values())
    assert raw["error"] is None and raw["scores"]["workshop_cs"]["hit_limit"] is None


@pytest.mark.parametrize(
    "impossible",
    [
        {"value": 0.265, "k": 26, "n": 100},
        {"value": 0.265, "k": 27, "n": 100},
        {"value": 1.25, "k": 5, "n": 4},
        {"value": -0.25, "k": -1, "n": 4},
        {"value": 0.0, "k": 0, "n": 0},
        {"value": 75.0},
        {"value": float("nan")},
        {"low": float("nan")},
        {"k": 2.5},
        {"n": None},
    ],
    ids=str,
)
def test_a_score_that_no_count_gives_is_refused(make_run: MakeRun, impossible: dict[str, Any]) -> None:
    folder = make_run()
    edit(folder, scores=score())
    RunFolder.read(folder.path)
    edit(folder, scores=score(**impossible))
    with pytest.raises(SlimnbError, match=r"run\.json.*scores"):
        RunFolder.read(folder.path)


def test_a_newer_schema_is_refused_with_what_to_do(make_run: MakeRun) -> None:
    folder = make_run()
    edit(folder, schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(SlimnbError, match="newer slimnb.*upgrade"):
        RunFolder.read(folder.path)


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


HERE, ELSEWHERE = socket.gethostname(), "another-host"


@pytest.mark.parametrize(
    ("host", "alive", "heartbeat_age", "status"),
    [
        (HERE, True, 0, "running"),
        (HERE, True, 1000, "running"),  # a laptop that slept
        (HERE, False, 0, "interrupted"),
        (ELSEWHERE, False, 0, "running"),
        (ELSEWHERE, True, 1000, "interrupted"),
    ],
)
def test_running_is_believed_only_of_a_living_process(
    make_run: MakeRun, host: str, alive: bool, heartbeat_age: float, status: str
) -> None:
    folder = make_run(status="running")
    process = os.getpid() if alive else dead_process()
    edit(folder, host=host, process=process, heartbeat=time.time() - heartbeat_age)
    assert RunFolder.read(folder.path).record.status == status


def test_a_process_that_started_after_the_run_is_another_one_with_the_same_number(make_run: MakeRun) -> None:
    folder = make_run(status="running")
    edit(folder, process=os.getpid(), started=time.time() - 1e6, heartbeat=time.time() - 1e6)
    assert RunFolder.read(folder.path).record.status == "interrupted"


@pytest.mark.parametrize("process", [0, 10**14])
def test_a_number_that_no_process_can_have_is_no_living_one(make_run: MakeRun, process: int) -> None:
    folder = make_run(status="running")
    edit(folder, process=process)
    (found,), broken = scan(folder.path.parents[1])
    assert found.record.status == "interrupted" and not broken


@pytest.mark.parametrize("field", ["attempts", "process"])
@pytest.mark.parametrize("number", [-1, 10**15, 10**30])
def test_a_record_with_a_number_beyond_any_run_is_broken(make_run: MakeRun, field: str, number: int) -> None:
    folder = make_run(status="running")
    edit(folder, **{field: number})
    found, (broken,) = scan(folder.path.parents[1])
    assert not found and field in broken.reason


Damage = Callable[[RunFolder], object]


def text(content: str, name: str = "run.json") -> Damage:
    return lambda folder: (folder.path / name).write_text(content)


def cut(name: str) -> Damage:
    return lambda folder: os.truncate(folder.path / name, (folder.path / name).stat().st_size // 2)


def to_directory(folder: RunFolder) -> None:
    (folder.path / "run.json").unlink()
    (folder.path / "run.json").mkdir()


DAMAGE: dict[str, Damage] = {
    "truncated": cut("run.json"),
    "empty": text(""),
    "a list": text("[]"),
    "null": text("null"),
    "not text": lambda folder: (folder.path / "run.json").write_bytes(b"\xff\xfe"),
    "nested too deep": text("[" * 100_000),
    "a number too long": text('{"schema_version": ' + "1" * 5000 + "}"),
    "a directory": to_directory,
    **{
        f"{field} = {value!r}"[:40]: lambda folder, fields={field: value}: edit(folder, **fields)
        for field, value in [
            ("schema_version", "x"), ("schema_version", True), ("schema_version", 1.5), ("schema_version", None),
            ("schema_version", 99), ("status", "done"), ("id", None), ("started", "yesterday"),
            ("started", float("nan")), ("scores", []), ("scores", score(k=5)), ("scores", {"x": {}}),
            ("lineage", "tiny"), ("costs", {"train_seconds": float("inf")}),
        ]
    },
    "no score of its primary metric": lambda folder: edit(
        folder, scores={"x": score()["workshop_cs"] | {"primary": "acc_norm"}}
    ),
    "no config.json": lambda folder: (folder.path / "config.json").unlink(),
    "config.json truncated": cut("config.json"),
    "config.json nested too deep": text("[" * 100_000, "config.json"),
    "config.json with a field that is unknown": text('{"surprise": 1}', "config.json"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_broken_folder_is_listed_with_a_reason_and_hides_no_other(make_run: MakeRun, damage: Damage) -> None:
    bad, good = make_run(), make_run("lora")
    damage(bad)
    found, broken = scan(bad.path.parents[1])
    assert [run.record.id for run in found] == [good.record.id]
    assert [one.path for one in broken] == [bad.path]
    assert str(bad.path) in broken[0].reason


def test_scan_lists_runs_oldest_first_and_ignores_what_is_no_run(make_run: MakeRun, tmp_path: Path) -> None:
    newer, older = make_run(), make_run("lora", study="other")
    edit(older, started=1.0)
    (tmp_path / "runs" / "study" / "notes").mkdir()
    (tmp_path / "runs" / "README.md").write_text("text")
    found, broken = scan(tmp_path / "runs")
    assert [run.path for run in found] == [older.path, newer.path] and not broken
    assert scan(tmp_path / "nowhere") == ([], [])


def test_a_run_is_found_by_its_id_and_by_its_directory(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run()
    for name in (folder.record.id, str(folder.path)):
        assert find(tmp_path / "runs", name).path == folder.path


def test_an_ambiguous_or_unknown_run_is_told_by_name(make_run: MakeRun, tmp_path: Path) -> None:
    one, two = make_run(study="one"), make_run(study="two")
    with pytest.raises(SlimnbError) as ambiguous:
        find(tmp_path / "runs", one.record.id)
    assert str(one.path) in str(ambiguous.value) and str(two.path) in str(ambiguous.value)
    with pytest.raises(SlimnbError, match="lora-nothing.*slimnb runs"):
        find(tmp_path / "runs", "lora-nothing")


def test_a_completed_or_running_run_is_not_started_again(make_run: MakeRun) -> None:
    for status in ("completed", "running"):
        folder = make_run(study=status, status=status)
        with pytest.raises(SlimnbError, match=str(folder.path)):
            RunFolder.create(folder.path.parents[1], status, folder.config)
        assert folder.items("workshop_cs") is not None


@pytest.mark.parametrize("status", ["failed", "out_of_memory", "cancelled"])
def test_an_unfinished_run_is_taken_up_with_what_is_whole_of_it(make_run: MakeRun, status: str) -> None:
    old = make_run(status=status)
    (old.path / "metrics.jsonl").write_text('{"step": 1}\n')
    (old.path / ".adapter.1f.tmp").mkdir()
    (old.path / "eval" / ".items.parquet.1f.tmp").write_text("half")
    new = RunFolder.create(old.path.parents[1], "study", old.config)
    assert new.path == old.path and RunFolder.read(new.path).record.status == "running"
    assert new.record.attempts == 2 and new.record.error is None
    assert len(new.metrics()) == 1 and new.record.scores == old.record.scores
    assert not list(new.path.rglob("*.tmp"))


def test_a_step_that_is_done_again_replaces_itself_and_what_followed(make_run: MakeRun) -> None:
    folder = make_run()
    (folder.path / "metrics.jsonl").write_text(
        '{"step": 1, "validation_loss": null}\n{"step": 2, "validation_loss": 0.5}\n{"step": 3}\n{"ste'
    )
    with folder.metrics_log() as log:
        log({"step": 2, "validation_loss": 0.25})
        log({"step": 3, "validation_loss": None})
    rows = (folder.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row) for row in rows] == [
        {"step": 1, "validation_loss": None}, {"step": 2, "validation_loss": 0.25},
        {"step": 3, "validation_loss": None},
    ]  # fmt: skip


def test_a_process_that_joins_writes_nothing(make_run: MakeRun) -> None:
    folder = make_run(status="failed")
    before = sorted(folder.path.rglob("*"))
    text = (folder.path / "run.json").read_text()
    joined = RunFolder.join(folder.path.parents[1], "study", folder.config)
    joined.finish("cancelled")
    joined.write_environment({"a": 1})
    with joined.metrics_log() as log:
        log({"step": 1})
    assert sorted(folder.path.rglob("*")) == before and (folder.path / "run.json").read_text() == text


def test_a_run_of_a_newer_slimnb_is_not_deleted(make_run: MakeRun) -> None:
    folder = make_run()
    edit(folder, schema_version=SCHEMA_VERSION + 1)
    before = (folder.path / "run.json").read_text()
    with pytest.raises(SlimnbError, match="newer"):
        RunFolder.create(folder.path.parents[1], "study", folder.config)
    assert (folder.path / "run.json").read_text() == before and (folder.path / "eval").is_dir()


def test_a_folder_that_was_killed_before_its_first_file_was_whole_makes_room(tmp_path: Path) -> None:
    config = make_run_config(model="tiny", method="base", benchmarks=["workshop_cs"])
    (tmp_path / "study" / config.run_id).mkdir(parents=True)
    assert RunFolder.create(tmp_path, "study", config).record.status == "running"


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SlimnbError, match="cannot be written"):
        RunFolder.create(tmp_path / "file", "study", make_run_config(method="base", benchmarks=["workshop_cs"]))


def test_a_training_log_is_read_up_to_a_last_line_cut_short(make_run: MakeRun) -> None:
    folder = make_run("lora")
    assert folder.metrics().empty
    (folder.path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 2.0}\n{"step": 3, "lo')
    assert folder.metrics().to_dict("list") == {"step": [1, 2], "loss": [2.5, 2.0]}


def test_items_that_are_missing_or_damaged_are_told_by_name(make_run: MakeRun) -> None:
    folder = make_run()
    with pytest.raises(SlimnbError, match="gsm8k"):
        folder.items("gsm8k")
    path = folder.path / "eval" / "workshop_cs" / "items.parquet"
    for damage in (lambda: path.write_bytes(b"PAR1 no"), lambda: path.write_bytes(b""), path.unlink):
        damage()
        with pytest.raises(SlimnbError, match=r"items\.parquet"):
            folder.items("workshop_cs")


def test_a_heartbeat_keeps_everything_else_as_it_is(make_run: MakeRun) -> None:
    folder = make_run("lora", status="running")
    before = folder.record.model_dump()
    folder.beat()
    after = RunFolder.read(folder.path).record.model_dump()
    assert after["heartbeat"] >= before["heartbeat"]
    assert before | {"heartbeat": 0} == after | {"heartbeat": 0}
