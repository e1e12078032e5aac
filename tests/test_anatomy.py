"""What training did to the weights: each quantity on matrices whose answer is known, then runs of `tiny` end to end."""

import json
import math
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from slimnb.anatomy import Anatomy, findings, read_anatomy
from slimnb.anatomy.examine import anatomy_of, compare_updates, examine
from slimnb.anatomy.record import FORMATS, THRESHOLDS
from slimnb.anatomy.report import notes, overlap_finding, summary
from slimnb.anatomy.spectrum import (
    Svd,
    alignment,
    amplification,
    best_cosines,
    effective_rank,
    energy_rank,
    overlap,
    overlaps,
    stable_rank,
    svd,
    svd_of_product,
)
from slimnb.anatomy.update import Update, open_updates
from slimnb.config import make_run_config
from slimnb.errors import SlimnbError
from slimnb.experiment import run, save_trained
from slimnb.models import LoadedModel, add_lora, get_model, load_adapter, load_model
from slimnb.records import Lineage
from slimnb.runs import RunFolder

KINDS = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def directions(dimensions: int, count: int, seed: int = 0) -> torch.Tensor:
    """Random orthonormal columns."""
    return torch.linalg.qr(random(dimensions, count, seed=seed))[0]


@pytest.mark.parametrize(("out", "rank", "inputs"), [(96, 8, 64), (64, 64, 96), (40, 1, 30), (8, 16, 16), (16, 16, 8)])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-8), (torch.float32, 1e-5)])
def test_the_factors_decomposition_is_the_products(
    out: int, rank: int, inputs: int, dtype: torch.dtype, within: float
) -> None:
    b, a = random(out, rank).to(dtype), random(rank, inputs, seed=1).to(dtype)
    parts, whole = svd_of_product(b, a), torch.linalg.svdvals(b.double() @ a.double())
    least = min(out, rank, inputs)
    assert parts.u.shape == (out, least) and parts.s.shape == (least,) and parts.vh.shape == (least, inputs)
    torch.testing.assert_close(parts.s.double(), whole[:least], rtol=within, atol=within * float(whole[0]))
    torch.testing.assert_close(parts.u @ parts.s.diag() @ parts.vh, b @ a, rtol=0, atol=within * float(whole[0]))
    torch.testing.assert_close(parts.u.T @ parts.u, torch.eye(least, dtype=dtype), rtol=0, atol=10 * within)


def test_the_spectrum_of_a_large_adapter_takes_milliseconds() -> None:
    b, a = random(4096, 64), random(64, 4096, seed=1)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        svd_of_product(b, a)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05


def test_ranks_of_known_matrices() -> None:
    identity, one = torch.ones(12, dtype=torch.float64), svd(torch.outer(random(9), random(7))).s
    assert effective_rank(identity) == pytest.approx(12) and stable_rank(identity) == pytest.approx(12)
    assert energy_rank(identity) == 11  # 10.8 of 12
    assert effective_rank(one) == pytest.approx(1) and stable_rank(one) == pytest.approx(1) and energy_rank(one) == 1
    uneven = torch.tensor([2.0, 1.0, 1.0], dtype=torch.float64)
    assert stable_rank(uneven) == pytest.approx(1.5)
    assert effective_rank(uneven) == pytest.approx(math.exp(0.5 * math.log(2) + 0.5 * math.log(4)))
    assert [energy_rank(uneven, share) for share in (0.6, 0.7, 0.9)] == [1, 2, 3]


@pytest.mark.parametrize("seed", range(5))
def test_ranks_lie_between_1_and_the_number_of_directions_whatever_the_scale(seed: int) -> None:
    s = svd_of_product(random(40, 6, seed=seed), random(6, 30, seed=seed + 9)).s
    for quantity in (effective_rank, stable_rank, energy_rank):
        assert 1 <= (quantity(s) or 0) <= 6
        assert quantity(s * 1e-30) == pytest.approx(quantity(s), rel=1e-8)


def test_an_update_of_zero_has_no_ranks_and_no_directions() -> None:
    zero = torch.zeros(3)
    assert effective_rank(zero) is stable_rank(zero) is energy_rank(zero) is None
    nothing = svd_of_product(torch.zeros(8, 2), random(2, 6).float())
    assert amplification(random(8, 6).float(), nothing, 2) is alignment(random(8, 6).float(), nothing, 2) is None
    assert overlaps(nothing, nothing) == ({}, {})


def test_amplification_is_the_updates_norm_over_what_the_weight_holds_in_its_directions() -> None:
    weight = torch.diag(torch.tensor([4.0, 2.0, 1.0]))
    update = torch.zeros(3, 3)
    update[1, 1] = 6.0
    assert amplification(weight, svd(update), 1) == pytest.approx(3)
    assert amplification(weight, svd(update), 3) == pytest.approx(3)  # the directions that are not there do not count
    update[2, 2] = 1.0
    assert amplification(weight, svd(update), 1) == pytest.approx(3)
    assert amplification(weight, svd(update), 2) == pytest.approx(math.sqrt(37 / 5))
    assert amplification(torch.zeros(3, 3), svd(update), 1) is None


def test_amplification_agrees_with_its_formula_in_float64() -> None:
    weight, b, a = random(30, 20), random(30, 4, seed=1), random(4, 20, seed=2)
    u, s, vh = torch.linalg.svd(b @ a)
    held = torch.linalg.norm(u[:, :4].T @ weight @ vh[:4].T)
    assert amplification(weight, svd_of_product(b, a), 4) == pytest.approx(float(s.norm() / held), rel=1e-8)


def test_alignment_is_1_for_random_directions_and_more_for_the_weights_own() -> None:
    weight = random(60, 40)
    update = svd_of_product(random(60, 4, seed=1), random(4, 40, seed=2))
    u, v = update.u, update.vh.T
    chance = float(torch.linalg.norm(weight)) * 4 / math.sqrt(60 * 40)
    expected = float(torch.linalg.norm(u.T @ weight @ v)) / chance
    assert alignment(weight, update, 4) == pytest.approx(expected, rel=1e-8)
    drawn = [alignment(weight, svd_of_product(random(60, 4, seed=i), random(4, 40, seed=i + 50)), 4) for i in range(50)]
    assert math.sqrt(sum((one or 0) ** 2 for one in drawn) / 50) == pytest.approx(1, rel=0.1)
    assert (alignment(weight, svd(weight), 4) or 0) > 3
    assert alignment(torch.zeros(60, 40), update, 4) is None


def planted() -> tuple[torch.Tensor, torch.Tensor]:
    """W writes to 8 of 12 outputs; the update adds the last output to what W's first direction writes, 5 times over.

    So one singular vector has a cosine of 1 / sqrt(26) = 0.196 with W's first, and the others are W's own.
    """
    weight = torch.zeros(12, 8, dtype=torch.float64)
    weight[:8] = torch.diag(torch.arange(10.0, 2.0, -1.0, dtype=torch.float64))
    tuned = weight.clone()
    tuned[11, 0] = 50.0
    return weight, tuned


def test_a_planted_intruder_is_found_at_its_cosine() -> None:
    cosines = best_cosines(*planted())
    assert cosines.shape == (8,) and float(cosines[0]) == pytest.approx(1 / math.sqrt(26), rel=1e-8)
    torch.testing.assert_close(cosines[1:], torch.ones(7, dtype=torch.float64))
    torch.testing.assert_close(best_cosines(planted()[0], planted()[0]), torch.ones(8, dtype=torch.float64))
    assert best_cosines(*planted(), leading=3).shape == (3,)


def test_cosines_agree_with_a_search_through_all_pairs() -> None:
    weight, tuned = random(20, 14), random(20, 14) + random(20, 14, seed=1)
    before, after = np.linalg.svd(weight.numpy())[0][:, :14], np.linalg.svd(tuned.numpy())[0]
    expected = [max(abs(float(after[:, j] @ before[:, i])) for i in range(14)) for j in range(10)]
    assert best_cosines(weight, tuned).tolist() == pytest.approx(expected, rel=1e-8)


def test_intruders_grow_with_the_threshold() -> None:
    weight, tuned = planted()
    matrix = examine(Update("model.layers.3.mlp.up_proj", weight.float(), ((tuned - weight).float(),)), 16, ("int4",))
    assert (matrix.layer, matrix.kind, matrix.shape) == (3, "up_proj", (12, 8))
    swept = [matrix.intruders(threshold) or 0 for threshold in THRESHOLDS]
    assert swept == [0, *[1] * 8] == sorted(swept)
    assert matrix.singular_values[0] == pytest.approx(50) and matrix.effective_rank == pytest.approx(1)
    assert matrix.relative_norm == pytest.approx(50 / float(weight.norm()), rel=1e-5)  # six digits are stored
    error = (matrix.quantization["int4"] or 0) * float(weight.norm()) / 50
    assert (
        matrix.error_over_update("int4") == pytest.approx(error, rel=1e-5) and matrix.error_over_update("nf4") is None
    )


def test_a_matrix_that_training_left_alone_has_nulls_and_no_nan() -> None:
    update = Update("model.layers.0.mlp.up_proj", random(64, 64).float(), (torch.zeros(64, 2), torch.ones(2, 64)))
    matrix = examine(update, 2, FORMATS)
    assert matrix.effective_rank is matrix.stable_rank is matrix.energy_rank is matrix.amplification is None
    assert matrix.relative_norm == 0 and matrix.error_over_update() is None and matrix.intruders() == 0
    anatomy = Anatomy(run="r", method="lora", dtype="float32", seed=0, rank=2, alpha=4, scale=2, directions=2,
                      matrices=[matrix], skipped=0, seconds=1)  # fmt: skip
    json.dumps([anatomy.model_dump(mode="json"), summary(anatomy)], allow_nan=False)
    assert all("nan" not in str(one) for one in findings(anatomy))


def test_overlap_of_known_subspaces() -> None:
    basis = directions(20, 12)
    assert overlap(basis[:, :4], basis[:, 4:8]) == pytest.approx(0, abs=1e-12)
    turned = basis[:, :4] @ directions(4, 4, seed=1)
    assert overlap(basis[:, :4], turned) == pytest.approx(1)
    assert overlap(basis[:, :2], basis[:, :8]) == pytest.approx(1)  # the smaller lies in the larger
    assert overlap(basis[:, :4], basis[:, 2:6]) == pytest.approx(0.5)
    chance = [overlap(directions(50, 5, seed=2 * i), directions(50, 10, seed=2 * i + 1)) for i in range(40)]
    assert sum(chance) / 40 == pytest.approx(10 / 50, rel=0.1)


def test_overlaps_are_told_for_growing_numbers_of_directions_on_both_sides() -> None:
    u, v = directions(30, 12), directions(25, 12, seed=1)
    s = torch.arange(6.0, 0.0, -1.0, dtype=torch.float64)
    one = Svd(u[:, :6], s, v[:, :6].T)
    other = Svd(torch.cat([u[:, :1], u[:, 6:12]], dim=1), torch.ones(7, dtype=torch.float64), v[:, 5:12].T)
    output, inputs = overlaps(one, other)
    assert list(output) == list(inputs) == [1, 2, 4, 6]
    assert list(output.values()) == pytest.approx([1, 1 / 2, 1 / 4, 1 / 6])
    assert list(inputs.values()) == pytest.approx([0, 0, 0, 1 / 6], abs=1e-12)


def adapted(tmp_path: Path, model: str, **lora: Any) -> tuple[RunFolder, dict[str, torch.Tensor]]:
    """A run folder with a random adapter, and the weights that PEFT merges it into."""
    config = make_run_config(model=model, method="lora", benchmarks=["workshop_cs"], dtype="float32", steps=1,
                             train_on="workshop_cs", **lora)  # fmt: skip
    folder = RunFolder.create(tmp_path / "runs", "study", config)
    base = load_model(model, "float32", device="cpu")
    folder.record.lineage = Lineage(model=model, weights_sha256=base.weights_sha256, dtype="float32")
    assert config.lora is not None
    loaded = add_lora(base, config.lora, seed=0)
    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            if "lora_B" in name or "magnitude" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    save_trained(loaded, folder.path / "adapter")
    folder.finish("completed")
    return folder, loaded.model.merge_and_unload().state_dict()


@pytest.mark.parametrize("lora", [{}, {"rank": 4, "alpha": 6.0}, {"rank": 4, "rank_stabilized": True}, {"dora": True}],
                         ids=str)  # fmt: skip
def test_an_adapters_update_is_the_one_that_peft_merges(tmp_path: Path, lora: dict[str, Any]) -> None:
    folder, merged = adapted(tmp_path, "tiny", **lora)
    base = load_model("tiny", "float32", device="cpu").model.state_dict()
    updates = open_updates(folder)
    assert len(updates.names) == 14 and updates.skipped == 0
    for update in updates:
        expected = merged[f"{update.name}.weight"] - base[f"{update.name}.weight"]
        torch.testing.assert_close(update.weight, base[f"{update.name}.weight"])
        torch.testing.assert_close(update.dense(), expected, rtol=1e-4, atol=1e-6)
        s = torch.linalg.svdvals(expected.double())[: len(update.svd().s)]
        torch.testing.assert_close(update.svd().s.double(), s, rtol=1e-4, atol=1e-5)
    anatomy = anatomy_of(folder, intruders=False)
    assert anatomy.low_rank == (not lora.get("dora")) and bool(notes(anatomy)) == bool(lora.get("dora"))


@pytest.mark.filterwarnings("ignore:fan_in_fan_out:UserWarning")  # PEFT finds it out and says so
def test_a_model_that_keeps_its_weights_the_other_way_round(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from tests.families import family

    family("gpt2").save_pretrained(tmp_path / "gpt2")
    AutoTokenizer.from_pretrained(get_model("tiny")).save_pretrained(tmp_path / "gpt2")
    folder, merged = adapted(tmp_path, str(tmp_path / "gpt2"))
    for update in open_updates(folder):
        torch.testing.assert_close(
            update.dense(), merged[f"{update.name}.weight"] - update.weight, rtol=1e-3, atol=1e-5
        )


def config(method: str, **options: Any) -> Any:
    trained = {} if method == "base" else {"train_on": "workshop_cs", "steps": 2, "learning_rate": 0.01}
    return make_run_config(model="tiny", method=method, benchmarks=["workshop_cs"], limit=2, **(trained | options))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFolder]:
    """One run a method, and LoRA with another seed and another start."""
    root = tmp_path_factory.mktemp("runs")
    chosen = {method: config(method) for method in ("base", "lora", "qlora", "full")} | {
        "seed": config("lora", seed=1),
        "pissa": config("lora", init="pissa"),
    }
    return {name: run(one, root, "study") for name, one in chosen.items()}


@pytest.fixture
def runs(trained: dict[str, RunFolder], tmp_path: Path) -> dict[str, RunFolder]:
    """Copies, so that each test finds them as training left them."""
    root = shutil.copytree(trained["base"].path.parents[1], tmp_path / "runs")
    return {name: RunFolder.read(root / "study" / folder.record.id) for name, folder in trained.items()}


@pytest.mark.parametrize("method", ["lora", "qlora", "full", "pissa"])
def test_a_runs_anatomy_is_of_each_matrix_and_agrees_with_the_weights(runs: dict[str, RunFolder], method: str) -> None:
    folder = runs[method]
    anatomy = anatomy_of(folder)
    assert {matrix.kind for matrix in anatomy.matrices} == KINDS and len(anatomy.matrices) == 14
    assert [matrix.layer for matrix in anatomy.matrices] == [0] * 7 + [1] * 7
    assert anatomy.skipped == (6 if method == "full" else 0)  # embeddings and five norms
    before = load_model("tiny", "bfloat16", device="cpu").model.float().state_dict()
    after = _after(folder).float().state_dict()
    for matrix in anatomy.matrices:
        weight = before[f"{matrix.name}.weight"]
        update = after[f"{matrix.name}.weight"] - weight
        s = torch.linalg.svdvals(update)
        kept = min(len(matrix.singular_values), 16)
        torch.testing.assert_close(torch.tensor(matrix.singular_values[:kept]), s[:kept], rtol=1e-3, atol=1e-4)
        assert matrix.relative_norm == pytest.approx(float(update.norm() / weight.norm()), rel=1e-3)
        assert 1 <= (matrix.effective_rank or 0) <= min(matrix.shape) and len(matrix.cosines or []) == min(
            10, *matrix.shape
        )
        assert set(matrix.quantization) == set(FORMATS)
    assert read_anatomy(folder.path) == anatomy


def _after(folder: RunFolder) -> Any:
    """The trained weights in float32, an adapter's merged into the base's 16-bit ones."""
    if folder.config.method == "full":
        return load_model(str(folder.path / "model"), "bfloat16", device="cpu").model
    base = load_model("tiny", "bfloat16", device="cpu")
    base.model.float()
    tuned = load_adapter(LoadedModel(base.model, base.tokenizer, "tiny", base.weights_sha256), folder.path / "adapter")
    return tuned.model.merge_and_unload()


def test_what_is_stored_needs_no_weights_until_it_is_asked_for_anew(runs: dict[str, RunFolder]) -> None:
    folder = runs["lora"]
    short = anatomy_of(folder, intruders=False)
    assert not short.has_intruders and summary(short)["intruders"]["0.5"] is None
    assert anatomy_of(folder).has_intruders  # asked for now, so computed
    stored = anatomy_of(folder, intruders=False)
    assert stored.has_intruders
    (folder.path / "adapter").rename(folder.path / "elsewhere")
    assert anatomy_of(folder) == stored
    with pytest.raises(SlimnbError, match="adapter: not there.*without weights.*slimnb run --config"):
        anatomy_of(folder, again=True)


def test_runs_are_compared_pair_by_pair_and_the_overlap_is_stored_with_both(runs: dict[str, RunFolder]) -> None:
    folders = [runs["lora"], runs["qlora"], runs["seed"], runs["full"]]
    found = [anatomy_of(folder, intruders=False) for folder in folders]
    compare_updates(folders, found)
    lora, qlora, seed, full = found
    assert all(len(one.overlaps) == 3 for one in found)
    assert read_anatomy(folders[3].path) == full
    assert lora.overlaps[qlora.run] == qlora.overlaps[lora.run]
    near, far = ([matrix.input[1] for matrix in lora.overlaps[other.run].matrices] for other in (qlora, seed))
    assert sum(near) > sum(far)  # one seed, one start of A
    values = [value for one in found for other in one.overlaps.values() for matrix in other.matrices
              for value in (*matrix.output.values(), *matrix.input.values())]  # fmt: skip
    assert values and all(-1e-6 <= value <= 1 + 1e-6 for value in values)
    assert "same A" in overlap_finding(lora, qlora, lora.overlaps[qlora.run]).shown
    assert "same A" not in overlap_finding(lora, seed, lora.overlaps[seed.run]).shown
    for folder in folders:
        shutil.rmtree(folder.path / ("model" if folder.config.method == "full" else "adapter"))
    compare_updates(folders, found)  # stored, so no weights are needed


def test_a_run_without_an_update_or_from_other_weights_is_refused(runs: dict[str, RunFolder]) -> None:
    with pytest.raises(SlimnbError, match="base trains nothing"):
        anatomy_of(runs["base"])
    lineage = runs["lora"].record.lineage
    assert lineage is not None
    lineage.weights_sha256 = "0" * 64
    with pytest.raises(SlimnbError, match="not the weights that lora-tiny.* started from"):
        anatomy_of(runs["lora"])
    found = [anatomy_of(runs[name], intruders=False) for name in ("qlora", "seed")]
    other = runs["seed"].record.lineage
    assert other is not None
    other.weights_sha256 = "0" * 64
    with pytest.raises(SlimnbError, match="different weights"):
        compare_updates([runs["qlora"], runs["seed"]], found)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_damaged_files_are_told_by_name(runs: dict[str, RunFolder], method: str) -> None:
    folder = runs[method]
    place = folder.path / ("adapter/adapter_model.safetensors" if method == "lora" else "model/model.safetensors")
    place.write_bytes(b"no tensors")
    with pytest.raises(SlimnbError, match=f"{place.name}: cannot be read"):
        anatomy_of(folder)
    (folder.path / "anatomy.json").write_text('{"schema_version": 99}')
    with pytest.raises(SlimnbError, match="newer slimnb"):
        anatomy_of(folder)
    (folder.path / "anatomy.json").write_text('{"schema_version": 1, "run": 3}')
    with pytest.raises(SlimnbError, match=r"anatomy.json: run: .*\. `slimnb anatomy --again`"):
        anatomy_of(folder)


def test_the_command_prints_tables_and_what_is_expected(
    runs: dict[str, RunFolder], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from slimnb.cli import main

    def slimnb(*words: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["slimnb", "anatomy", *words, "--runs", str(runs["lora"].path.parents[1])])
        capfd.readouterr()
        with pytest.raises(SystemExit, match="0"):
            main()
        return capfd.readouterr()

    one, other = runs["lora"].record.id, runs["full"].record.id
    out, _ = slimnb(one, other)
    for said in (*KINDS, "effective rank", "nf4+dq", "Expected: ", "arXiv 2410.21228", "alpha/sqrt(r) is", "Note: ",
                 f"Overlap of {one} and {other}"):  # fmt: skip
        assert said in out
    assert max(map(len, (line for line in out.splitlines() if "Expected" not in line and "Note" not in line))) <= 114
    documents = json.loads(slimnb(one, other, "--json")[0])
    assert [document["run"] for document in documents] == [one, other]
    assert all({"quantity", "expected", "source", "shown"} == set(said) for said in documents[0]["findings"])
    assert set(documents[0]["summary"]["by_kind"]["effective rank"]) == KINDS
    assert set(documents[0]["summary"]["intruders"]) == {f"{threshold:g}" for threshold in THRESHOLDS}
    shutil.rmtree(runs["lora"].path / "adapter")
    out, err = slimnb(one, runs["seed"].record.id, "--no-intruders")
    assert "Note: not all overlaps are known" in err and "without weights" in err and "Overlap of" not in out
