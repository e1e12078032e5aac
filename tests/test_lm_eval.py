"""lm-eval's results in and out: the same items, prompts and scores as slimnb's own, and nothing damaged gets in."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from slimnb.analysis.comparison import compare
from slimnb.benchmarks import get_benchmark
from slimnb.cli.exchange import export_app, import_app
from slimnb.config import make_run_config
from slimnb.errors import SlimnbError
from slimnb.evaluation.evaluate import evaluate
from slimnb.experiment import run as carry_out
from slimnb.interop import formats
from slimnb.interop.formats import TASKS
from slimnb.interop.lm_eval import import_results
from slimnb.interop.lm_eval_export import export_run
from slimnb.store.records import BenchmarkResult
from slimnb.store.runs import RunFolder, scan
from tests.fixtures.lm_eval.make import BENCHMARKS, SHOTS, write_rows

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = Path(__file__).parent / "fixtures" / "lm_eval"
UNKNOWN = {"answer_tokens", "tokens", "hit_limit", "truncated", "gold_log_likelihood", "gold_bytes"}
"""Columns of slimnb's that lm-eval does not log."""

Change = Callable[[Any], Any]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows that lm-eval was asked for the fixture, as a data directory."""
    return write_rows(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory, slimnb_home: Path) -> RunFolder:
    (folder,) = import_results(FIXTURES / "tiny", tmp_path_factory.mktemp("runs"), "lm-eval", "tiny")
    return folder


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A copy of the hand-made results of an older version, to be changed."""
    return shutil.copytree(FIXTURES / "older", tmp_path / "older")


def one(directory: Path, pattern: str) -> Path:
    (found,) = directory.glob(pattern)
    return found


def edit(path: Path, change: Change) -> None:
    document = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(change(document) or document), encoding="utf-8")


def edit_line(path: Path, number: int, change: Change) -> None:
    lines = path.read_text("utf-8").splitlines()
    sample = json.loads(lines[number])
    lines[number] = json.dumps(change(sample) or sample)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def assert_same_items(first: RunFolder, second: RunFolder, but: set[str] | None = None) -> None:
    """Of every benchmark, to the last digit, in the columns of the first except `but`."""
    assert set(first.record.scores) == set(second.record.scores)
    for benchmark in first.record.scores:
        columns = [column for column in first.items(benchmark) if column not in (but or set())]
        pd.testing.assert_frame_equal(first.items(benchmark)[columns], second.items(benchmark)[columns])


# What lm-eval and slimnb say of one model on the same rows


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_item_is_as_slimnb_itself_scores_it(name: str, imported: RunFolder, rows: Path, tiny: Any) -> None:
    benchmark = get_benchmark(name)
    own, result = evaluate(tiny, benchmark, benchmark.load(rows, SHOTS))
    theirs, score = imported.items(name), imported.record.scores[name]
    for column in set(own) - UNKNOWN - {"log_likelihoods"}:
        assert all(np.array_equal(a, b) for a, b in zip(own[column], theirs[column], strict=True)), column
    if "log_likelihoods" in own:
        np.testing.assert_allclose(np.stack(own["log_likelihoods"]), np.stack(theirs["log_likelihoods"]), atol=1e-3)
    assert set(own) <= set(theirs)
    assert all(theirs[column].isna().all() for column in UNKNOWN & set(own))
    assert score.prompts_sha256 == result.prompts_sha256
    unknown = {"seconds", "hit_limit", "truncated", "gold_bits_per_byte"}
    assert score.model_dump(exclude=unknown) == result.model_dump(exclude=unknown | {"subjects"})
    stored = json.loads((imported.path / "eval" / name / "result.json").read_text())
    assert stored["subjects"] == result.model_dump()["subjects"]
    assert score.gold_bits_per_byte == (pytest.approx(result.gold_bits_per_byte, abs=1e-3) if name != "gsm8k" else None)


def test_the_run_says_where_it_comes_from(imported: RunFolder) -> None:
    record, config = imported.record, imported.config
    assert RunFolder.read(imported.path).record == record
    assert (record.status, record.method, config.method, config.dtype) == ("completed", "base", "base", "float32")
    assert (config.model, config.benchmarks, config.shots, config.limit) == ("tiny", BENCHMARKS, SHOTS, None)
    origin = imported.environment()["lm_eval"]
    assert origin["call"]["model_args"] == {"pretrained": "tiny", "dtype": "float32"}
    assert imported.environment()["packages"]["lm_eval"] == "0.4.13"
    kept = sorted((imported.path / "lm_eval").iterdir())
    assert [path.name for path in kept] == sorted(path.name for path in (FIXTURES / "tiny").iterdir())
    assert all(path.read_bytes() == (FIXTURES / "tiny" / path.name).read_bytes() for path in kept)


def test_no_text_of_a_benchmark_is_in_what_is_not_the_original(imported: RunFolder) -> None:
    asked = [line["doc"] for path in (imported.path / "lm_eval").glob("samples_*.jsonl") for line in lines_of(path)]
    texts = {doc.get("question") or doc["ctx_a"] for doc in asked}
    assert len(texts) > 20
    for path in imported.path.rglob("*"):
        if path.is_file() and path.parent.name != "lm_eval":
            table = pd.read_parquet(path).to_csv() if path.suffix == ".parquet" else path.read_text("utf-8")
            assert not [text for text in texts if text in table], path


def test_it_compares_with_slimnbs_own_run_only_where_the_weights_are_told(
    imported: RunFolder, rows: Path, tmp_path: Path
) -> None:
    config = make_run_config(model="tiny", method="base", dtype="float32", benchmarks=["hellaswag"], shots=SHOTS)
    own = carry_out(config, tmp_path, "own", rows)
    assert compare(own, imported, "hellaswag").paired.difference == 0
    (unknown,) = import_results(FIXTURES / "tiny", tmp_path, "unknown")
    assert unknown.record.lineage and unknown.record.lineage.weights_sha256 == "lm-eval:tiny"
    with pytest.raises(SlimnbError, match="different weights"):
        compare(own, unknown, "hellaswag")


def test_what_an_older_version_wrote_of_an_adapter(tmp_path: Path) -> None:
    (folder,) = import_results(FIXTURES / "older", tmp_path, "study")
    record, config = folder.record, folder.config
    assert record.method == "peft" and config.model == "made/up + made/up-adapter" and config.method == "base"
    assert record.lineage and record.lineage.model_dump(exclude_none=True) == {
        "model": "made/up", "weights_sha256": "lm-eval:made/up@0123abcd", "dtype": "float16",
    }  # fmt: skip
    assert (config.limit, config.shots) == (4, None)
    assert {name: score.shots for name, score in record.scores.items()} == {"hellaswag": 0, "gsm8k": 1}
    counted = {name: {m: s.k for m, s in score.metrics.items()} for name, score in record.scores.items()}
    assert counted["hellaswag"] == {"acc": 3, "acc_norm": 2}
    assert counted["gsm8k"] == {"strict-match": 1, "flexible-extract": 2}
    assert list(folder.items("gsm8k")["extracted_flexible-extract"]) == ["36", "17.", "[invalid]", "24"]
    assert folder.environment()["lm_eval"]["left_out"] == {"arc_easy": "not a benchmark of slimnb's"}
    assert folder.environment()["packages"]["torch"] == "2.4.1+cu121"


# And back again


def test_an_export_with_the_data_set_is_what_lm_eval_itself_wrote(
    imported: RunFolder, rows: Path, tmp_path: Path
) -> None:
    out = export_run(imported, tmp_path, rows)
    assert out.parent == tmp_path / "tiny"
    written = json.loads(out.read_text("utf-8"))
    theirs = json.loads(one(FIXTURES / "tiny", "results_*.json").read_text("utf-8"))
    names = {TASKS[task]: task for task in written["results"]}
    assert len(names) == len(theirs["results"]) == 10
    for task in theirs["results"]:
        mine = names[TASKS[task]]
        logged = lines_of(one(FIXTURES / "tiny", f"samples_{task}_2*.jsonl"))
        assert lines_of(one(out.parent, f"samples_{mine}_2*.jsonl")) == logged
        scores = {key: value for key, value in theirs["results"][task].items() if key not in ("name", "alias")}
        assert {key: written["results"][mine][key] for key in scores} == pytest.approx(scores)
        for table in ("n-shot", "versions", "higher_is_better", "n-samples", "task_hashes"):
            assert written[table].get(mine) == theirs[table].get(task), table
    for field in ("model_name", "model_name_sanitized", "date", "transformers_version", "lm_eval_version"):
        assert written[field] == theirs[field]


@pytest.mark.parametrize("with_data", [True, False])
def test_import_export_import_loses_nothing(with_data: bool, imported: RunFolder, rows: Path, tmp_path: Path) -> None:
    export_run(imported, tmp_path / "out", rows if with_data else None)
    (again,) = import_results(tmp_path / "out", tmp_path / "runs", "again", "tiny", originals=False)
    assert (again.config, again.record.lineage) == (imported.config, imported.record.lineage)
    assert again.record.scores == imported.record.scores
    assert_same_items(imported, again)
    assert not (again.path / "lm_eval").exists()


def test_an_adapters_results_survive_the_round_trip(tmp_path: Path) -> None:
    (folder,) = import_results(FIXTURES / "older", tmp_path, "first")
    out = export_run(folder, tmp_path / "out")
    (again,) = import_results(out, tmp_path, "again")
    assert (again.config, again.record.lineage, again.record.method) == (folder.config, folder.record.lineage, "peft")
    assert again.record.scores == folder.record.scores
    assert_same_items(folder, again)


def test_prompts_that_the_data_set_does_not_give_are_not_made_up(rows: Path, tmp_path: Path) -> None:
    """Of the older GSM8K, whose items have examples of their own, the first item's happens to be slimnb's."""
    (folder,) = import_results(FIXTURES / "older", tmp_path, "first")
    out = export_run(folder, tmp_path / "out", rows)
    whole, told = (lines_of(one(out.parent, f"samples_{name}*")) for name in ("hellaswag", "gsm8k"))
    assert all(sample["arguments"] and "slimnb" not in sample for sample in whole)
    assert all(sample["doc"]["question"] and not sample["arguments"] and sample["slimnb"]["id"] for sample in told)
    assert_same_items(folder, import_results(out, tmp_path, "again")[0])


def test_without_the_data_set_an_export_holds_no_text(imported: RunFolder, rows: Path, tmp_path: Path) -> None:
    out = export_run(imported, tmp_path)
    written = "".join(path.read_text("utf-8") for path in out.parent.iterdir())
    for path in rows.rglob("*.jsonl"):
        for row in lines_of(path):
            assert (row.get("question") or row["ctx_a"]) not in written


@pytest.mark.parametrize("method", ["base", "lora", "qlora", "full"])
def test_slimnbs_own_runs_go_out_and_come_back(
    method: str, make_run: Callable[..., RunFolder], tmp_path: Path, tiny: Any
) -> None:
    run = make_run(method, benchmark="workshop_cs", dtype="float32")
    run.record.scores.clear()
    for name in ("workshop_cs", "workshop_math", "workshop_commonsense"):
        benchmark = get_benchmark(name)
        items, result = evaluate(tiny, benchmark, benchmark.load(None, None, 5))
        run.write_items(name, items, result)
    run.finish("completed")
    (again,) = import_results(export_run(run, tmp_path / "out"), tmp_path / "runs", "again", "tiny")
    assert again.record.method == {"base": "base", "full": "base"}.get(method, "peft")
    assert_same_items(run, again, but=UNKNOWN)
    unknown = {"seconds", "hit_limit", "truncated", "gold_bits_per_byte"}
    for name, result in run.record.scores.items():
        assert again.record.scores[name].model_dump(exclude=unknown) == result.model_dump(exclude=unknown)


def test_what_cannot_be_exported_is_refused(
    make_run: Callable[..., RunFolder], imported: RunFolder, tmp_path: Path
) -> None:
    with pytest.raises(SlimnbError, match="failed.*nothing to export"):
        export_run(make_run(status="failed"), tmp_path / "out")
    with pytest.raises(SlimnbError, match="items of workshop_cs have no .*log_likelihoods"):
        export_run(make_run(study="few"), tmp_path / "out")
    for path in write_rows(tmp_path / "other").rglob("*.jsonl"):
        path.write_text("".join(line + "\n" for line in path.read_text("utf-8").splitlines()[:2]), encoding="utf-8")
    with pytest.raises(SlimnbError, match="data set of hellaswag is not the run's: it has no item hellaswag:"):
        export_run(imported, tmp_path / "out", tmp_path / "other")
    assert not (tmp_path / "out").exists()


# What is left out


def test_of_what_was_asked_twice_the_newest_is_taken(older: Path, tmp_path: Path) -> None:
    for path in list(older.iterdir()):
        shutil.copy(path, older / path.name.replace("2024-10-09", "2025-01-01"))
    newer = {"date": 1735700000.5, "total_evaluation_time_seconds": "7"}
    edit(one(older, "results_2025*"), lambda found: found.update(newer))
    (folder,) = import_results(older, tmp_path, "study")
    assert folder.record.costs.eval_seconds == 7
    assert folder.environment()["lm_eval"]["results_file"].startswith("results_2025")


def test_beside_a_results_file_without_a_date_the_newest_samples_are_taken(older: Path, tmp_path: Path) -> None:
    one(older, "results_*").rename(older / "mine.json")
    for path in list(older.glob("samples_*")):
        path.with_name(path.name.replace("2024", "2023")).write_text("damaged")
    (folder,) = import_results(older / "mine.json", tmp_path, "study")
    assert sorted(path.name[:20] for path in (folder.path / "lm_eval").iterdir()) == [
        "mine.json", "samples_gsm8k_2024-1", "samples_hellaswag_20",
    ]  # fmt: skip


def test_quantized_weights_are_other_weights(older: Path, tmp_path: Path) -> None:
    arguments = {"pretrained": "a", "load_in_4bit": True}
    edit(one(older, "results_*"), lambda found: found["config"].update(model_args=arguments))
    (folder,) = import_results(older, tmp_path, "study", "tiny")
    assert folder.record.lineage and folder.record.lineage.dtype == "float16 load_in_4bit"


def test_two_files_of_one_configuration_that_asked_different_things_do_not_replace_each_other(
    older: Path, tmp_path: Path
) -> None:
    for path in list(older.iterdir()):
        shutil.copy(path, older / path.name.replace("2024-10-09", "2025-01-01"))
    edit(one(older, "results_2025*"), lambda found: found["config"].update(model_sha="ffff"))
    with pytest.raises(SlimnbError, match="asked different things or other weights"):
        import_results(older, tmp_path / "runs", "study")
    assert not (tmp_path / "runs").exists()


def test_part_of_mmlu_cs_does_not_pass_for_the_whole(tmp_path: Path) -> None:
    copy = shutil.copytree(FIXTURES / "tiny", tmp_path / "copy")
    task = "local_mmlu_letters_machine_learning"
    edit(one(copy, "results_*"), lambda found: [found[table].pop(task) for table in ("configs", "results")] and None)
    (folder,) = import_results(copy, tmp_path, "study")
    assert "mmlu_cs" not in folder.record.scores and "mmlu_cs_cloze" in folder.record.scores
    reasons = folder.environment()["lm_eval"]["left_out"]
    assert reasons["local_mmlu_letters_computer_security"] == "mmlu_cs is not whole without machine_learning"


@pytest.mark.parametrize(
    "setting",
    [{"max_gen_toks": 512}, {"max_new_tokens": 64}, {"do_sample": True}, {"temperature": 0.7}, {"until": ["\n"]}],
)
def test_gsm8k_that_was_generated_otherwise_is_left_out(setting: dict[str, Any], older: Path, tmp_path: Path) -> None:
    for number in range(8):
        edit_line(one(older, "samples_gsm8k*"), number, lambda sample: sample["arguments"][0][1].update(setting))
    (folder,) = import_results(older, tmp_path, "study")
    assert list(folder.record.scores) == ["hellaswag"]
    assert "generated with" in folder.environment()["lm_eval"]["left_out"]["gsm8k"]


def test_prompts_that_slimnb_does_not_give_compare_with_nothing(imported: RunFolder, tmp_path: Path) -> None:
    copy = shutil.copytree(FIXTURES / "tiny", tmp_path / "copy")
    text("samples_local_hellaswag*", lambda raw: raw.replace(b"snow: Grace", b"snow: Ada"))(copy)
    (folder,) = import_results(copy, tmp_path, "study", "tiny")
    with pytest.raises(SlimnbError, match="different items or prompts"):
        compare(imported, folder, "hellaswag")


def test_a_chat_templates_answers_are_joined_by_nothing(older: Path, tmp_path: Path) -> None:
    edit(one(older, "results_*"), lambda found: found.update(chat_template="{{ messages }}"))
    (first,) = import_results(older, tmp_path, "first")
    assert list(first.record.scores) == ["gsm8k"] and first.config.chat_template

    def without_space(sample: Any) -> None:
        sample["arguments"] = [[prompt, answer[1:]] for prompt, answer in sample["arguments"]]

    for number in range(3):
        edit_line(one(older, HELLASWAG), number, without_space)
    (second,) = import_results(older, tmp_path, "second")
    assert second.record.scores["hellaswag"].chat_template


def test_fields_of_newer_versions_are_ignored(older: Path, tmp_path: Path) -> None:
    edit(one(older, "results_*"), lambda found: found.update(lm_eval_version="0.9", new={"a": [1]}))
    edit(one(older, "results_*"), lambda found: found["config"].update(new=[1]))
    for number in range(3):
        edit_line(one(older, HELLASWAG), number, lambda sample: sample.update(new={"a": 1}, metrics={"acc": {}}))
    assert import_results(older, tmp_path, "study")[0].record.status == "completed"


# What is refused


HELLASWAG, GSM8K = "samples_hellaswag*", "samples_gsm8k*"


def line(pattern: str, **fields: Any) -> Callable[[Path], None]:
    return lambda place: edit_line(one(place, pattern), 0, lambda sample: sample.update(fields))


def results(**fields: Any) -> Callable[[Path], None]:
    return lambda place: edit(one(place, "results_*"), lambda found: found.update(fields))


def score(task: str, key: str, value: Any) -> Callable[[Path], None]:
    return lambda place: edit(one(place, "results_*"), lambda found: found["results"][task].update({key: value}))


def text(pattern: str, change: Change) -> Callable[[Path], None]:
    def write(place: Path) -> None:
        path = one(place, pattern)
        path.write_bytes(change(path.read_bytes()))

    return write


def link_out(place: Path) -> None:
    outside = place.parent / "outside.jsonl"
    path = one(place, HELLASWAG)
    path.rename(outside)
    path.symlink_to(outside)


def without_last(raw: bytes) -> bytes:
    return raw[: raw.rindex(b'{"doc_id"')]


def twice(raw: bytes) -> bytes:
    return raw + raw.splitlines(keepends=True)[0]


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no samples": (lambda place: one(place, GSM8K).unlink(), "no samples_gsm8k_2024.*jsonl beside it.*--log_samples"),
    "no results": (lambda place: one(place, "results_*").unlink(), "no results_\\*.json"),
    "only other tasks": (results(configs={"arc_easy": {}}), "none of its tasks.*\n.*arc_easy: not a bench"),
    "a link out": (link_out, "samples_hellaswag.*a link that leads out of"),
    "a score that the items do not give": (
        score("hellaswag", "acc_norm,none", 0.75),
        "hellaswag has acc_norm,none 0.75, but its samples give 0.666667 \\(2 of 3\\)",
    ),
    "a score that is no number": (score("gsm8k", "exact_match,strict-match", "N/A"), "strict-match 'N/A', but"),
    "a score that is not one": (score("gsm8k", "exact_match,strict-match", float("nan")), "strict-match nan, but"),
    "items that are not there": (text(HELLASWAG, without_last), "3 items, but .* hold 2"),
    "half of an item": (text(GSM8K, without_last), "doc_id 3 has no line with .* flexible"),
    "an item twice": (text(HELLASWAG, twice), "hellaswag.*:4: doc_id 0 occurs twice"),
    "an empty file": (text(HELLASWAG, lambda raw: b""), "samples_hellaswag.*: no samples in it"),
    "a line cut short": (text(HELLASWAG, lambda raw: raw[:-80]), "samples_hellaswag.*:3: not valid JSON"),
    "bytes": (text(HELLASWAG, lambda raw: b"\xff\xfe" + raw), "samples_hellaswag.*: not UTF-8"),
    "deep nesting": (text(HELLASWAG, lambda raw: b"[" * 100_000), "samples_hellaswag.*:1: not valid JSON"),
    "a line that is no sample": (text(HELLASWAG, lambda raw: b"[1]\n" + raw), "samples_hellaswag.*:1: .*"),
    "results that are none": (text("results_*", lambda raw: b"[]"), "results_.*json: "),
    "results without shots": (results(**{"n-shot": None}), "results_.*json: n-shot"),
    "results without a time": (results(total_evaluation_time_seconds=None), "results_.*json: total_evaluation_time"),
    "results without seconds": (results(total_evaluation_time_seconds="nan"), "results_.*json: total_evaluation_time"),
    "half a surrogate": (results(model_name="\ud800"), "results_.*json: not valid JSON: half"),
    "half a surrogate in a row": (line(GSM8K, doc={"question": "\ud800", "answer": "#### 1"}), "gsm8k.*:1: .*half a"),
    "half a surrogate in a text": (line(GSM8K, resps=[["\ud800"]]), "gsm8k.*:1: .*half a"),
    "a row that is none": (line(HELLASWAG, doc={"ind": 1}), "samples_hellaswag.*:1: activity_label"),
    "an enormous row": (line(GSM8K, doc={"question": "a" * 10**6, "answer": "#### 1"}), "gsm8k.*:1: doc: more than"),
    "likelihoods that are none": (line(HELLASWAG, resps=[[["nan", "False"]]] * 4), "hellaswag.*:1: resps.0.0.0"),
    "likelihoods too few": (line(HELLASWAG, resps=[[["-1", "False"]]] * 3), ":1: 4 answers, but 3 log-likelihoods"),
    "no likelihood": (line(HELLASWAG, resps=[[], [], [], []]), "samples_hellaswag.*:1: resps.0"),
    "other likelihoods": (line(HELLASWAG, resps=[[["-1", "False"]]] * 4), ":1: graded 1 on acc, but its answer"),
    "arguments that are none": (line(HELLASWAG, arguments={"gen_args_1": {}}), "samples_hellaswag.*:1: arguments"),
    "no arguments": (line(HELLASWAG, arguments=[]), "samples_hellaswag.*:1: no arguments"),
    "an extraction that is another": (line(GSM8K, filtered_resps=["37"]), ":1: '37' is not what strict-match.*'36'"),
    "a grade that is another": (line(GSM8K, exact_match=0.0), ":1: graded 0 on strict-match, but its answer gives 1"),
    "a number too large": (line(GSM8K, doc_id=10**30), "samples_gsm8k.*:1: doc_id"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_damaged_or_does_not_add_up_is_refused(name: str, older: Path, tmp_path: Path) -> None:
    damage, message = REFUSED[name]
    damage(older)
    with pytest.raises(SlimnbError, match=message):
        import_results(older, tmp_path / "runs", "study")
    assert not (tmp_path / "runs").exists()


def test_too_large_a_file_and_what_is_no_file_are_not_read(
    older: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(formats, "LARGEST", 1000)
        with pytest.raises(SlimnbError, match="larger than"):
            import_results(older, tmp_path / "runs", "study")
    path = one(older, HELLASWAG)
    path.unlink()
    os.mkfifo(path)  # reading would wait for ever
    with pytest.raises(SlimnbError, match="not a file"):
        import_results(older, tmp_path / "runs", "study")
    with pytest.raises(SlimnbError, match="nowhere"):
        import_results(tmp_path / "nowhere.json", tmp_path / "runs", "study")
    with pytest.raises(SlimnbError, match="without slashes"):
        import_results(FIXTURES / "older", tmp_path / "runs", "../study")


def test_whatever_is_changed_in_the_files_either_goes_in_or_is_refused_in_words(older: Path, tmp_path: Path) -> None:
    chance = random.Random(0)
    values = [
        None, True, -1, 0, 3, 1e400, float("nan"), 10**40, "", "x", "\ud800", [], [[]], [None], [[[1]]], {}, {"a": {}},
    ]  # fmt: skip

    def change(node: Any) -> None:
        while isinstance(node, dict | list) and node:
            key = chance.choice(list(node) if isinstance(node, dict) else range(len(node)))
            if not isinstance(node[key], dict | list) or chance.random() < 0.3:
                node[key] = chance.choice(values)
                return
            node = node[key]

    outcomes = {True: 0, False: 0}
    for number in range(80):
        place = shutil.copytree(older, tmp_path / f"{number}")
        path = chance.choice(sorted(place.iterdir()))
        if path.suffix == ".json":
            edit(path, change)
        else:
            edit_line(path, chance.randrange(3), change)
        try:
            (folder,) = import_results(place, tmp_path / "runs", f"{number}")
            outcomes[RunFolder.read(folder.path).record.status == "completed"] += 1
            export_run(folder, tmp_path / "out")
        except SlimnbError as error:
            assert str(tmp_path) in str(error)
            outcomes[False] += 1
    assert min(outcomes.values()) > 8
    assert all(run.record.status == "completed" for run in scan(tmp_path / "runs")[0])


@pytest.mark.parametrize("name", ["..", "a\0b", "/etc/x", "a" * 99])
def test_a_models_name_leads_nowhere(name: str, older: Path, tmp_path: Path) -> None:
    edit(one(older, "results_*"), lambda found: found.update(model_name=name))
    out = export_run(import_results(older, tmp_path, "study")[0], tmp_path / "out")
    assert out.resolve().parent.parent == tmp_path / "out"


def test_a_run_that_is_there_is_not_replaced(older: Path, tmp_path: Path) -> None:
    (folder,) = import_results(older, tmp_path, "study")
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(SlimnbError, match="complete; give another --name"):
        import_results(older, tmp_path, "study")
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before


# The command, and lm-eval itself


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.add_typer(import_app, name="import")
    app.add_typer(export_app, name="export")
    return app


def test_the_commands(command: typer.Typer, rows: Path, tmp_path: Path) -> None:
    runs = str(tmp_path / "runs")
    call = CliRunner().invoke
    words = ["import", "lm-eval", str(FIXTURES / "tiny"), "--model", "tiny", "--runs", runs, "--no-originals", "--json"]
    (summary,) = json.loads(call(command, words, catch_exceptions=False).stdout)
    assert summary["study"] == "lm-eval" and summary["left_out"] == {} and summary["status"] == "completed"
    assert {BenchmarkResult.model_validate(found).items for found in summary["scores"].values()} == {8, 6, 14}
    assert not (Path(summary["path"]) / "lm_eval").exists()
    words = ["export", "lm-eval", summary["id"], str(tmp_path / "out"), "--runs", runs, "--data", str(rows)]
    assert Path(call(command, words, catch_exceptions=False).stdout.strip()).parent == tmp_path / "out" / "tiny"
    words = ["import", "lm-eval", str(FIXTURES / "older"), "--runs", runs, "--name", "older"]
    told = call(command, words, catch_exceptions=False)
    assert "hold the benchmarks' texts" in told.stderr and "left out: arc_easy" in told.stderr
    assert "strict-match" in told.stdout


def test_the_import_needs_no_torch() -> None:
    code = "import sys, slimnb.interop.lm_eval, slimnb.cli.exchange; print('torch' in sys.modules)"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert outcome.stdout.strip() == "False", outcome.stderr


@pytest.mark.peers
def test_what_lm_eval_writes_now_is_what_the_fixture_holds(tmp_path: Path, imported: RunFolder) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.fixtures.lm_eval.make", str(tmp_path / "fresh")]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert outcome.returncode == 0, outcome.stderr
    (fresh,) = import_results(tmp_path / "fresh", tmp_path / "runs", "fresh", "tiny")
    assert fresh.config == imported.config
    for name, score in imported.record.scores.items():
        assert fresh.record.scores[name].model_dump(exclude={"seconds"}) == score.model_dump(exclude={"seconds"})
        columns = ["id", "prompt_sha256", "gold", "prediction", "doc_hash", "prompt_hash", "target_hash"]
        pd.testing.assert_frame_equal(fresh.items(name)[columns], imported.items(name)[columns])
