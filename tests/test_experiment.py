"""A run from configuration to folder with each method, on the random model `tiny`."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch

import slimnb.experiment
from slimnb.analysis.comparison import compare, config_difference
from slimnb.benchmarks import get_benchmark
from slimnb.compute.peak import keep_freed_memory
from slimnb.config import METHODS, make_run_config
from slimnb.errors import OutOfMemory, SlimnbError
from slimnb.evaluation.evaluate import evaluate
from slimnb.experiment import run
from slimnb.models.load import get_model, load_adapter, load_model
from slimnb.store.runs import RunFolder, scan

BENCHMARKS = ["workshop_math", "workshop_cs"]
TRAINED = ["lora", "qlora", "full"]
each_method = pytest.mark.parametrize("method", METHODS)
each_trained = pytest.mark.parametrize("method", TRAINED)


def config(method: str, **options: Any) -> Any:
    trained = {} if method == "base" else {"train_on": "workshop_cs", "steps": 2, "learning_rate": 0.01}
    return make_run_config(model="tiny", method=method, benchmarks=BENCHMARKS, limit=4, **(trained | options))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def carried_out() -> dict[str, RunFolder]:
    """The runs that tests have asked for, so that each is carried out once."""
    return {}


def carry_out(method: str, root: Path, carried_out: dict[str, RunFolder]) -> RunFolder:
    if method not in carried_out:
        folder = run(config(method), root, "study")
        carried_out[method] = RunFolder.read(folder.path)
    return carried_out[method]


@pytest.fixture
def folder(method: str, root: Path, carried_out: dict[str, RunFolder]) -> RunFolder:
    return carry_out(method, root, carried_out)


@pytest.fixture
def base(root: Path, carried_out: dict[str, RunFolder]) -> RunFolder:
    return carry_out("base", root, carried_out)


@each_method
def test_a_run_leaves_a_complete_folder(folder: RunFolder, method: str) -> None:
    assert folder.record.status == "completed" and folder.record.error is None
    trained = {"lora": {"adapter", "metrics.jsonl"}, "qlora": {"adapter", "metrics.jsonl"},
               "full": {"model", "metrics.jsonl"}}.get(method, set())  # fmt: skip
    assert {path.name for path in folder.path.iterdir()} == {
        "run.json",
        "config.json",
        "environment.json",
        "eval",
    } | trained
    for name in BENCHMARKS:
        looked_for = set() if method == "base" else {"contamination.json"}
        files = {path.name for path in (folder.path / "eval" / name).iterdir()}
        assert files == {"items.parquet", "result.json"} | looked_for
    assert not [path for path in folder.path.rglob("*") if path.suffix in (".tmp", ".bin", ".pt", ".pickle")]


@each_method
def test_every_score_is_a_count_that_its_items_give(folder: RunFolder) -> None:
    for name in BENCHMARKS:
        result, items = folder.record.scores[name], folder.items(name)
        assert result.items == len(items) == 4 and set(result.metrics) == set(get_benchmark(name).metrics)
        for metric, score in result.metrics.items():
            assert score.n == 4 and score.k == items[f"correct_{metric}"].sum() and score.value == score.k / 4
            assert 0 <= score.low <= score.value <= score.high <= 1
        stored = json.loads((folder.path / "eval" / name / "result.json").read_text())
        subjects = stored.pop("subjects")
        assert stored == result.model_dump(mode="json")
        assert set(subjects) == (set(items["subject"]) if items["subject"].nunique() > 1 else set())
    assert folder.record.scores["workshop_math"].hit_limit is not None


@each_method
def test_the_items_hold_no_text_of_the_benchmark(folder: RunFolder) -> None:
    for name in BENCHMARKS:
        items = folder.items(name)
        texts = " ".join(str(value) for column in items for value in items[column])
        for item in get_benchmark(name).load(limit=4).items:
            assert item.prompt not in texts
            assert all(f" {choice} " not in texts for choice in getattr(item, "choices", ()) if len(choice) > 12)
            assert hashlib.sha256(item.prompt.encode()).hexdigest()[:16] in texts


@each_method
def test_the_environment_says_what_the_numbers_depend_on(folder: RunFolder, method: str) -> None:
    environment = folder.environment()
    assert environment["packages"]["torch"] and environment["processor"] and environment["threads"] >= 1
    assert environment["weights_sha256"] == folder.record.lineage.weights_sha256  # pyright: ignore
    assert set(environment["benchmarks"]) == set(BENCHMARKS)
    assert (environment["training_set"] is None) == (method == "base")


@each_trained
def test_a_trained_run_logs_each_step_and_what_it_cost(folder: RunFolder, method: str) -> None:
    log, costs = folder.metrics(), folder.record.costs
    assert list(log["step"]) == [1, 2] and log["loss"].gt(0).all()
    assert (costs.steps, costs.examples, costs.examples_left_out) == (2, 16, 0)
    assert costs.tokens == log["tokens"].sum() and costs.label_tokens == log["label_tokens"].sum()
    assert costs.train_seconds and costs.train_peak_bytes and costs.weights_bytes and costs.eval_peak_bytes
    assert costs.train_contention is not None and 0 <= costs.train_contention <= 1
    assert costs.trainable_parameters and costs.total_parameters
    assert (costs.trainable_parameters == costs.total_parameters) == (method == "full")


def test_the_base_model_has_no_cost_of_training(base: RunFolder) -> None:
    costs = base.record.costs
    assert costs.train_seconds is costs.train_peak_bytes is costs.steps is costs.trainable_parameters is None
    assert costs.eval_seconds and costs.eval_peak_bytes and costs.weights_bytes


@each_trained
def test_all_methods_start_from_the_base_models_weights_and_change_what_it_says(
    folder: RunFolder, base: RunFolder
) -> None:
    assert folder.record.lineage == base.record.lineage
    assert compare(base, folder, "workshop_cs").paired.n == 4
    before, after = (
        [value for row in one.items("workshop_cs")["log_likelihoods"] for value in row] for one in (base, folder)
    )
    assert sum(x != y for x, y in zip(before, after, strict=True)) > len(before) / 2


def test_lora_and_qlora_runs_differ_in_nothing_but_four_bit(root: Path, carried_out: dict[str, RunFolder]) -> None:
    one, two = (carry_out(method, root, carried_out) for method in ("lora", "qlora"))
    assert {key.partition(".")[0] for key in config_difference(one, two)} == {"method", "four_bit"}
    assert one.record.costs.trainable_parameters == two.record.costs.trainable_parameters
    assert one.record.costs.total_parameters == two.record.costs.total_parameters
    assert list(one.metrics()["tokens"]) == list(two.metrics()["tokens"])  # the same rows in the same order


# peft 0.21 asks transformers 5 by the old name; slimnb.machine.quiet hides it from people.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_an_adapter_loads_with_plain_peft(folder: RunFolder) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(get_model("tiny"), dtype=torch.bfloat16)
    ids = torch.arange(3, 40)[None]
    with torch.inference_mode():
        before = model(ids).logits
        tuned = PeftModel.from_pretrained(model, folder.path / "adapter")
        assert not torch.equal(before, tuned(ids).logits)
    names = {path.name for path in (folder.path / "adapter").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= names


@pytest.mark.parametrize("method", ["lora"])
def test_the_adapter_that_was_saved_is_the_one_that_was_scored(folder: RunFolder) -> None:
    tuned = load_adapter(load_model("tiny"), folder.path / "adapter")
    benchmark = get_benchmark("workshop_cs")
    items, result = evaluate(tuned, benchmark, benchmark.load(limit=4))
    pd.testing.assert_frame_equal(items, folder.items("workshop_cs"))
    assert result.metrics == folder.record.scores["workshop_cs"].metrics


@pytest.mark.parametrize("method", ["full"])
def test_a_fully_tuned_model_is_a_directory_that_loads_and_scores_the_same(folder: RunFolder) -> None:
    tuned = load_model(str(folder.path / "model"))
    assert tuned.weights_sha256 != folder.record.lineage.weights_sha256  # pyright: ignore
    benchmark = get_benchmark("workshop_cs")
    items, _ = evaluate(tuned, benchmark, benchmark.load(limit=4))
    pd.testing.assert_frame_equal(items, folder.items("workshop_cs"))


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_same_configuration_gives_the_same_numbers_again(folder: RunFolder, tmp_path: Path) -> None:
    again = run(folder.config, tmp_path, "again")
    assert list(again.metrics()["loss"]) == list(folder.metrics()["loss"])
    for name in BENCHMARKS:
        pd.testing.assert_frame_equal(again.items(name), folder.items(name))


def test_another_seed_trains_on_the_rows_in_another_order(tmp_path: Path) -> None:
    losses = [run(config("lora", seed=seed), tmp_path, "seeds").metrics()["loss"][0] for seed in (0, 1)]
    assert losses[0] != losses[1]


def test_a_misspelt_benchmark_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SlimnbError, match="hellaswog"):
        run(make_run_config(model="tiny", method="base", benchmarks=["hellaswog"]), tmp_path, "study")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "told"),
    [({"max_length": 2}, "longer than 2 tokens"), ({"model": "no-such-model"}, "no-such-model"),
     ({"shots": 100_000}, "shots"), ({"train_on": "no_such_set"}, "no_such_set"),
     ({"targets": ("no_such_layer",)}, "no_such_layer")],
)  # fmt: skip
def test_a_run_that_fails_says_so_and_why(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    wrong = make_run_config(**({"model": "tiny", "method": "lora", "train_on": "workshop_cs", "steps": 1,
                                "benchmarks": BENCHMARKS} | options))  # fmt: skip
    with pytest.raises(SlimnbError, match=told):
        run(wrong, tmp_path, "study")
    (failed,), broken = scan(tmp_path)
    assert not broken and failed.record.status == "failed" and told in (failed.record.error or "")
    assert failed.record.finished and not failed.record.scores


@pytest.mark.parametrize(
    ("trouble", "raised", "status"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt, "cancelled"),
        (MemoryError(), OutOfMemory, "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), OutOfMemory, "out_of_memory"),
        (RuntimeError("a fault"), RuntimeError, "failed"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_run_that_is_stopped_while_scoring_says_how_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: BaseException, raised: type[BaseException], status: str
) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(slimnb.experiment, "evaluate", stopped)
        with pytest.raises(raised):
            run(config("base"), tmp_path, "study")
    (ended,), _ = scan(tmp_path)
    assert ended.record.status == status and ended.record.error
    assert run(config("base"), tmp_path, "study").record.status == "completed"  # and can be tried again


def test_a_run_that_is_complete_is_not_done_again(base: RunFolder, root: Path) -> None:
    before = (base.path / "run.json").read_bytes()
    with pytest.raises(SlimnbError, match="complete"):
        run(base.config, root, "study")
    assert (base.path / "run.json").read_bytes() == before


@pytest.mark.skipif(not keep_freed_memory(), reason="another C library than glibc gives memory back in its own way")
def test_a_process_of_many_runs_holds_no_more_than_of_few(tmp_path: Path) -> None:
    for seed in range(12):
        run(config("base", seed=seed), tmp_path, "study")
        if seed == 3:  # what is kept once for all
            before = psutil.Process().memory_info().rss
    assert psutil.Process().memory_info().rss - before < 2e6
