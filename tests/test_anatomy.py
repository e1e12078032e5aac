"""What training did to the weights, from runs of `tiny` and from adapters, end to end."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from slimnb.anatomy import read_anatomy
from slimnb.anatomy.examine import anatomy_of, compare_updates
from slimnb.anatomy.record import FORMATS, THRESHOLDS
from slimnb.anatomy.report import notes, overlap_finding, summary
from slimnb.anatomy.update import open_updates
from slimnb.config import make_run_config
from slimnb.errors import SlimnbError
from slimnb.experiment import run, save_trained
from slimnb.models.load import LoadedModel, add_lora, get_model, load_adapter, load_model
from slimnb.store.records import Lineage
from slimnb.store.runs import RunFolder

KINDS = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


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
