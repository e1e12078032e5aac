"""The command line: JSON contracts, what a person is told, exit statuses, and how fast it answers."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from slimnb.benchmarks import BENCHMARKS
from slimnb.data.load import DATA_SETS
from slimnb.models.load import get_model, weights_sha256
from slimnb.store.runs import RunFolder, scan
from slimnb.training.training_sets import TRAINING_SETS
from tests.conftest import Slimnb

MakeRun = Callable[..., RunFolder]
SCORE = {"value", "k", "n", "low", "high"}
RUN = {"id", "path", "study", "status", "method", "scores", "costs"}


@pytest.fixture
def slimnb(slimnb: Slimnb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slimnb:
    """In an empty directory."""
    monkeypatch.chdir(tmp_path)
    return slimnb


def process(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`slimnb WORDS` as a person starts it."""
    return subprocess.run(
        [sys.executable, "-m", "slimnb", *words], capture_output=True, text=True, env=os.environ | environment,
        timeout=60,
    )  # fmt: skip


# Help


def test_help_lists_the_commands_and_answers_within_half_a_second() -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        outcome = process("--help")
        seconds.append(time.perf_counter() - start)
        assert outcome.returncode == 0 and not outcome.stderr
        assert all(
            f"\n  {name} " in outcome.stdout for name in ("run", "eval", "study", "runs", "models", "data", "doctor")
        )
    assert min(seconds) < 0.5


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["eval", "--help"], ["study", "run", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['slimnb', *{words!r}]\n"
        "from slimnb.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'transformers', 'pandas', 'datasets') if name in sys.modules])"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert outcome.stdout.splitlines()[-1] == "[]", outcome.stderr


# JSON


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """An evaluation as a person starts it, in an empty cache, so that the model is made on the way."""
    home = str(tmp_path_factory.mktemp("empty"))
    return process("eval", "--model", "tiny", "--benchmarks", "workshop_math,workshop_cs", "--limit", "4", "--json",
                   SLIMNB_HOME=home)  # fmt: skip


def test_eval_prints_one_json_document_and_nothing_else(evaluated: subprocess.CompletedProcess[str]) -> None:
    assert evaluated.returncode == 0, evaluated.stderr
    document = json.loads(evaluated.stdout)
    assert set(document) == {"benchmarks", "model", "environment"}
    assert list(document["benchmarks"]) == ["workshop_math", "workshop_cs"]
    for name, result in document["benchmarks"].items():
        assert set(result) >= {"metrics", "primary", "shots", "items", "seconds", "subjects"}
        assert set(result["metrics"]) == set(BENCHMARKS[name].metrics) and result["primary"] in result["metrics"]
        for score in [*result["metrics"].values(), *result["subjects"].values()]:
            assert set(score) == SCORE and score["value"] == score["k"] / score["n"]
        assert result["items"] == 4 and result["shots"] == 0 and result["seconds"] > 0
    assert document["benchmarks"]["workshop_cs"]["subjects"]
    assert document["model"] == {
        "name": "tiny", "dtype": "bfloat16", "weights_sha256": weights_sha256(get_model("tiny")), "adapter": None,
    }  # fmt: skip
    assert document["environment"]["packages"]["torch"]


def test_eval_shows_progress_and_no_noise_of_libraries(evaluated: subprocess.CompletedProcess[str]) -> None:
    for line in evaluated.stderr.splitlines():
        assert not line.strip() or line.startswith(("workshop_math", "workshop_cs")), line


def test_eval_of_an_adapter_says_which_and_writes_the_items(slimnb: Slimnb, tmp_path: Path) -> None:
    made = slimnb("run", "--model", "tiny", "--method", "lora", "--train-on", "workshop_cs", "--steps", "2",
                  "--benchmarks", "workshop_cs", "--limit", "4", "--json")  # fmt: skip
    adapter = str(Path(made.json["path"]) / "adapter")
    outcome = slimnb("eval", "--model", "tiny", "--adapter", adapter, "--benchmarks", "workshop_cs,workshop_math",
                     "--limit", "4", "--items", "deep/items.parquet", "--json")  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert outcome.json["model"]["adapter"] == adapter
    assert outcome.json["benchmarks"]["workshop_cs"]["metrics"] == made.json["scores"]["workshop_cs"]["metrics"]
    items = pd.read_parquet(tmp_path / "deep" / "items.parquet")
    assert dict(items["benchmark"].value_counts()) == {"workshop_cs": 4, "workshop_math": 4}


def test_run_prints_the_run_and_does_it_once(slimnb: Slimnb) -> None:
    words = ("run", "--model", "tiny", "--method", "lora", "--train-on", "workshop_math", "--steps", "2", "--rank", "4",
             "--benchmarks", "workshop_math", "--limit", "4", "--name", "mine", "--json")  # fmt: skip
    first = slimnb(*words)
    assert first.status == 0, first.err
    document = first.json
    assert set(document) >= RUN
    assert (document["study"], document["status"], document["method"]) == ("mine", "completed", "lora")
    assert Path(document["path"]).parts == ("data", "runs", "mine", document["id"])
    assert set(document["scores"]["workshop_math"]["metrics"]["strict-match"]) == SCORE
    assert document["costs"]["steps"] == 2 and document["costs"]["train_seconds"] > 0
    folder = RunFolder.read(Path(document["path"]))
    assert folder.config.lora and (folder.config.lora.rank, folder.config.lora.alpha) == (4, 8.0)

    again = slimnb(*words)
    assert again.json == document and "complete already" in again.err

    listed = slimnb("runs", "--json").json
    assert listed == [document]


def test_run_takes_a_config_json_and_quiet_prints_nothing(slimnb: Slimnb, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model": "tiny", "method": "base", "benchmarks": ["workshop_cs"], "limit": 2}))
    outcome = slimnb("run", "--config", str(config), "--quiet", "--runs", "elsewhere")
    assert (outcome.status, outcome.out) == (0, "")
    (done,), _ = scan(tmp_path / "elsewhere")
    assert done.record.status == "completed" and done.record.scores["workshop_cs"].score.n == 2


def test_run_and_eval_print_a_table_of_counts(slimnb: Slimnb) -> None:
    for command in ("run", "eval"):
        outcome = slimnb(command, "--model", "tiny", "--benchmarks", "workshop_cs", "--limit", "4")
        assert outcome.status == 0 and "workshop_cs" in outcome.out and "/4" in outcome.out


def test_runs_lists_whole_and_broken_runs(slimnb: Slimnb, make_run: MakeRun) -> None:
    whole, broken = make_run("lora"), make_run("base")
    (broken.path / "run.json").write_text("{")
    document = slimnb("runs", "--runs", "runs", "--json").json
    assert [set(run) >= RUN for run in document] == [True, True] and {*document[0]} == {*document[1]}
    assert [(run["id"], run["status"]) for run in document] == [
        (whole.record.id, "completed"), (broken.path.name, "broken"),
    ]  # fmt: skip
    assert "run.json" in document[1]["error"]
    table = slimnb("runs", "--runs", "runs").out
    assert whole.record.id in table and "broken" in table


def test_runs_stays_whole_beside_a_run_with_impossible_numbers(slimnb: Slimnb, make_run: MakeRun) -> None:
    whole, odd = make_run("lora"), make_run("base")
    path = odd.path / "run.json"
    path.write_text(path.read_text().replace('"seconds": 1.0', '"seconds": NaN'))
    outcome = slimnb("runs", "--runs", "runs", "--json")
    assert outcome.status == 0, outcome.err
    assert [run["status"] for run in outcome.json if run["id"] == whole.record.id] == ["completed"]


def test_no_runs_is_an_empty_list_or_a_word_of_advice(slimnb: Slimnb) -> None:
    assert slimnb("runs", "--json").json == []
    outcome = slimnb("runs")
    assert outcome.status == 0 and not outcome.out and "slimnb run" in outcome.err


def test_models_and_data_list_what_there_is(slimnb: Slimnb) -> None:
    models = {row["name"]: row for row in slimnb("models", "--json").json}
    assert set(models) == {"smollm2-135m", "tiny"} and all(row["licence"] for row in models.values())
    rows = slimnb("data", "--json").json
    assert [row["data set"] for row in rows] == list(DATA_SETS)
    assert {name for row in rows for name in row["benchmarks"]} == set(BENCHMARKS)
    assert {name for row in rows for name in row["training sets"]} == set(TRAINING_SETS)
    by_name = {row["data set"]: row for row in rows}
    assert (by_name["workshop_math"]["from"], by_name["workshop_math"]["rows"]) == ("local", 1040)
    assert (by_name["gsm8k"]["from"], by_name["gsm8k"]["rows"]) == ("hub", None)
    for command in ("models", "data"):
        outcome = slimnb(command)
        assert outcome.status == 0 and outcome.out


def test_models_get_prints_where_the_model_is(slimnb: Slimnb) -> None:
    place = get_model("tiny")
    assert slimnb("models", "get", "tiny", "--json").json == {
        "name": "tiny", "path": str(place), "sha256": weights_sha256(place),
    }  # fmt: skip
    assert slimnb("models", "get", "tiny").out == f"{place}\n"


def test_study_status_lists_runs_that_are_still_missing(slimnb: Slimnb, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(
        "name: mine\nmodel: tiny\nmethods: [base, lora]\ntrain_on: [workshop_cs]\nbenchmarks: [workshop_cs]\n"
    )
    lines = slimnb("study", "status", str(study)).out.splitlines()
    assert [line.split()[0] for line in lines] == ["missing", "missing"]
    assert "base-tiny-s0" in lines[0] and "lora-tiny-workshop-cs-s0" in lines[1]


# What is told when something is wrong

RUN_LORA = ("run", "--model", "tiny", "--method", "lora", "--train-on", "workshop_cs", "--benchmarks", "workshop_cs",
            "--steps", "1", "--limit", "2")  # fmt: skip
EVAL = ("eval", "--model", "tiny", "--limit", "2")


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("eval", "--model", "no-such-model", "--benchmarks", "workshop_cs"), 1, "no-such-model"),
        (("eval", "--model", "no/such/dir", "--benchmarks", "workshop_cs"), 1, "no/such/dir"),
        (("models", "get", "no-such-model"), 1, "no-such-model"),
        ((*EVAL, "--benchmarks", "hellaswog"), 1, "hellaswog"),
        ((*EVAL,), 2, "--benchmarks"),
        (("run", "--model", "tiny"), 2, "--benchmarks"),
        ((*EVAL, "--benchmarks", " , "), 2, "--benchmarks"),
        ((*EVAL, "--benchmarks", "workshop_cs,workshop_cs"), 2, "workshop_cs"),
        ((*EVAL, "--benchmarks", "workshop_cs", "--shots", "9999"), 1, "9999"),
        ((*EVAL, "--benchmarks", "workshop_cs", "--limit", "0"), 2, "--limit"),
        ((*EVAL, "--benchmarks", "workshop_cs", "--shots", "-1"), 2, "--shots"),
        ((*EVAL, "--benchmarks", "workshop_cs", "--dtype", "float8"), 2, "float8"),
        ((*EVAL, "--benchmarks", "workshop_cs", "--adapter", "nowhere"), 1, "nowhere"),
        ((*EVAL, "--benchmarks", "gsm8k", "--data", "nowhere"), 1, "nowhere"),
        ((*EVAL, "--benchmarks", "gsm8k", "--data", "."), 1, "openai/gsm8k"),
        ((*RUN_LORA, "--method", "dora"), 2, "dora"),
        ((*RUN_LORA, "--train-on", "no_such_set"), 1, "no_such_set"),
        ((*RUN_LORA, "--rank", "0"), 1, "rank"),
        ((*RUN_LORA, "--alpha", "-1"), 1, "alpha"),
        ((*RUN_LORA, "--epochs", "1"), 1, "epochs"),
        ((*RUN_LORA, "--batch-size", "0"), 1, "batch"),
        ((*RUN_LORA, "--max-length", "2"), 1, "longer than 2 tokens"),
        ((*RUN_LORA, "--learning-rate", "inf"), 1, "learning"),
        ((*RUN_LORA, "--learning-rate", "fast"), 2, "--learning-rate"),
        ((*RUN_LORA, "--method", "full", "--rank", "4"), 1, "--rank"),
        ((*RUN_LORA, "--method", "base", "--train-on", "workshop_cs"), 1, "--train-on"),
        ((*RUN_LORA, "--name", "deep/name"), 1, "deep/name"),
        ((*RUN_LORA, "--runs", "file"), 1, "file"),
        (("run", "--method", "lora", "--benchmarks", "workshop_cs"), 1, "--train-on"),
        (("run", "--config", "nowhere.json"), 1, "nowhere.json"),
        (("run", "--config", "file"), 1, "JSON"),
        (("study", "run", "nowhere.yaml"), 1, "nowhere.yaml"),
        (("study", "status", "file"), 1, "file"),
        (("no-such-command",), 2, "no-such-command"),
        (("eval", "--no-such-option"), 2, "--no-such-option"),
    ],
    ids=lambda value: " ".join(value)[-60:] if isinstance(value, tuple) else None,
)
def test_a_mistake_is_told_by_name_without_a_traceback(
    slimnb: Slimnb, tmp_path: Path, words: tuple[str, ...], status: int, told: str
) -> None:
    (tmp_path / "file").write_text("{")
    outcome = slimnb(*words)
    assert outcome.status == status and told in outcome.err, outcome
    assert not outcome.out and "Traceback" not in outcome.err and "fault of slimnb" not in outcome.err
    assert not [run for run in scan(tmp_path / "data" / "runs")[0] if run.record.status == "completed"]


@pytest.mark.parametrize("words", [("--debug", *EVAL), (*EVAL, "--debug")], ids=["in front", "behind"])
def test_debug_shows_the_traceback_wherever_it_stands(slimnb: Slimnb, words: tuple[str, ...]) -> None:
    outcome = slimnb(*words, "--benchmarks", "hellaswog")
    assert outcome.status == 1 and not outcome.out
    assert "Traceback" in outcome.err and "get_benchmark" in outcome.err and "Error: no benchmark" in outcome.err


def test_the_exit_status_reaches_the_shell() -> None:
    outcome = process("run", "--method", "base", "--train-on", "gsm8k_train", "--benchmarks", "gsm8k")
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert outcome.stderr == "Error: method base trains nothing, so --train-on cannot be used with it\n"


# Doctor


def test_doctor_tells_what_this_machine_can_do(slimnb: Slimnb) -> None:
    outcome = slimnb("doctor")
    lines = outcome.out.splitlines()
    for subject in ("versions", "device", "speed", "memory", "model", "4-bit", "data", "Hub"):
        assert any(line[4:].startswith(f"{subject}: ") for line in lines), subject
    assert all(line.startswith(("ok  ", "NO  ")) for line in lines)
    assert outcome.status == (1 if any(line.startswith("NO") for line in lines) else 0)
    assert "workshop_math: 1040 rows" in outcome.out


def test_doctor_says_how_to_get_a_model_that_is_missing(
    slimnb: Slimnb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIMNB_HOME", str(tmp_path / "empty"))
    outcome = slimnb("doctor")
    assert outcome.status == 1 and "slimnb models get smollm2-135m" in outcome.out
