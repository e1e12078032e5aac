"""Adapters merged into their base: which model comes out, what is written beside it, and how it is scored apart."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from slimnb.analysis.comparison import compare
from slimnb.config import FourBit, make_run_config
from slimnb.errors import SlimnbError
from slimnb.experiment import run
from slimnb.models.load import get_model, load_adapter, load_model, weights_sha256
from slimnb.models.merge import ORIGIN_FILE, lineage, merge_run, origin
from slimnb.store.runs import RunFolder
from tests.families import family

Run = Callable[..., RunFolder]
Merged = Callable[..., Path]
IDS = torch.arange(3, 250)[None]
ADAPTED = pytest.mark.parametrize("method", ["lora", "qlora"])
# peft 0.21 asks transformers 5 by the old name; slimnb.machine.quiet hides it from people.
PEFT_NOISE = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
FORMS = pytest.mark.parametrize("to", ["16bit", "4bit"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def finished(runs: Path) -> Run:
    """A run on a few items, with a learning rate at which four steps change every answer. Each is carried out once."""
    done: dict[str, RunFolder] = {}

    def carry_out(method: str, dtype: str = "float32", model: str = "tiny", **options: Any) -> RunFolder:
        trained = {} if method == "base" else {"train_on": "workshop_cs", "steps": 4, "learning_rate": 0.05}
        config = make_run_config(
            model=model, method=method, dtype=dtype, benchmarks=["workshop_cs"], limit=4, **trained, **options
        )
        if config.run_id not in done:
            done[config.run_id] = RunFolder.read(run(config, runs, "study").path)
        return done[config.run_id]

    return carry_out


@pytest.fixture(scope="module")
def merged(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Merged:
    """A run's merged model. Each is written once."""
    done: dict[tuple[str, ...], Path] = {}

    def write(method: str, to: Any, dtype: str = "float32") -> Path:
        key = (method, to, dtype)
        if key not in done:
            done[key] = merge_run(finished(method, dtype), to, tmp_path_factory.mktemp("merged") / "-".join(key))
        return done[key]

    return write


@pytest.fixture
def copied(finished: Run, tmp_path: Path) -> RunFolder:
    """A LoRA run of this test's own, to be damaged."""
    return RunFolder.read(Path(shutil.copytree(finished("lora").path, tmp_path / "run")))


def logits(model: Any) -> torch.Tensor:
    """In float32; not by some CPUs' 4-bit kernel, which computes in bfloat16 at all times and fails on tiny layers."""
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
    with torch.inference_mode():
        return model(input_ids=IDS).logits.float()


def unmerged(folder: RunFolder) -> torch.Tensor:
    config = folder.config
    base = load_model(config.model, config.dtype, config.four_bit, device="cpu")
    return logits(load_adapter(base, folder.path / "adapter").model)


def plain(place: Path, dtype: str = "float32") -> Any:
    """The model as transformers loads it, with nothing of slimnb's."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(place, dtype=getattr(torch, dtype), local_files_only=True).eval()


# Which model it is


@ADAPTED
def test_merged_at_full_precision_it_says_what_the_adapter_says(finished: Run, merged: Merged, method: str) -> None:
    adapted = unmerged(finished(method))
    assert (adapted - logits(load_model("tiny", "float32").model)).abs().max() > 0.1  # the adapter matters
    torch.testing.assert_close(logits(plain(merged(method, "16bit"))), adapted, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("method", "options"),
    [("lora", {"rank_stabilized": True}), ("lora", {"dora": True}), ("qlora", {"dora": True}),
     ("qlora", {"four_bit_kind": "fp4"}), ("lora", {"init": "pissa", "rank": 4}),
     ("qlora", {"init": "loftq", "rank": 4})],
    ids=str,
)  # fmt: skip
def test_every_kind_of_adapter_is_merged_as_it_was_trained(
    finished: Run, tmp_path: Path, method: str, options: dict[str, Any]
) -> None:
    folder = finished(method, **options)
    place = merge_run(folder, "16bit", tmp_path / "out")
    torch.testing.assert_close(logits(plain(place)), unmerged(folder), rtol=0, atol=1e-4)


def test_a_qlora_adapter_is_merged_into_the_weights_that_it_was_trained_on(finished: Run, merged: Merged) -> None:
    folder = finished("qlora")
    naive = load_adapter(load_model("tiny", "float32"), folder.path / "adapter").model.merge_and_unload()
    assert (logits(naive) - unmerged(folder)).abs().max() > 1e-2


@ADAPTED
def test_merged_in_bfloat16_it_says_nearly_what_the_adapter_says(finished: Run, merged: Merged, method: str) -> None:
    adapted = unmerged(finished(method, "bfloat16"))
    found = logits(plain(merged(method, "16bit", "bfloat16"), "bfloat16"))
    assert (found - adapted).norm() < 0.05 * adapted.norm()


def test_each_sum_is_rounded_to_bfloat16_once(finished: Run, merged: Merged) -> None:
    folder = finished("lora", "bfloat16")
    base, result = (load_file(place / "model.safetensors")
                    for place in (get_model("tiny"), merged("lora", "16bit", "bfloat16")))  # fmt: skip
    adapter = load_file(folder.path / "adapter" / "adapter_model.safetensors")
    assert folder.config.lora
    scale = folder.config.lora.alpha / folder.config.lora.rank
    adapted = 0
    for name, weight in base.items():
        layer = f"base_model.model.{name.removesuffix('.weight')}"
        expected = weight.bfloat16()
        if f"{layer}.lora_A.weight" in adapter:
            update = adapter[f"{layer}.lora_B.weight"] @ adapter[f"{layer}.lora_A.weight"] * scale
            expected = (expected.float() + update).bfloat16()
            adapted += 1
        assert torch.equal(result[name], expected), name
    assert adapted == 14


@ADAPTED
def test_merged_at_four_bits_it_is_the_merged_model_quantized_and_close_to_it(merged: Merged, method: str) -> None:
    from bitsandbytes.nn import Linear4bit

    whole, packed = (merged(method, to) for to in ("16bit", "4bit"))
    model = plain(packed)
    assert sum(isinstance(layer, Linear4bit) for layer in model.modules()) == 14
    found, before = logits(model), logits(plain(whole))
    torch.testing.assert_close(found, logits(load_model(str(whole), "float32", FourBit(), device="cpu").model))
    assert 1e-3 < (found - before).norm() / before.norm() < 0.3
    with pytest.raises(SlimnbError, match="stored to compute in float32: add --dtype float32"):
        load_model(str(packed), "bfloat16", device="cpu")


def test_four_bit_weights_are_written_as_they_were_quantized(finished: Run, tmp_path: Path, tiny: Any) -> None:
    """Some CPUs' 4-bit kernel rounds the scales of layers as wide as these when they are first used."""
    from bitsandbytes.functional import quantize_4bit
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=259, hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "wide")
    tiny.tokenizer.save_pretrained(tmp_path / "wide")
    folder = finished("qlora", "bfloat16", str(tmp_path / "wide"))
    whole, packed = (load_file(merge_run(folder, to, tmp_path / to) / "model.safetensors") for to in ("16bit", "4bit"))
    for name in (name for name in whole if name.endswith("_proj.weight")):
        weight, state = quantize_4bit(whole[name], compress_statistics=True, quant_type="nf4")
        assert torch.equal(packed[name], weight)
        assert torch.equal(packed[f"{name}.absmax"], state.absmax)


@PEFT_NOISE
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning")
@ADAPTED
def test_layers_that_lie_transposed_are_merged_the_right_way_round(
    finished: Run, tmp_path: Path, tiny: Any, method: str
) -> None:
    family("gpt2").save_pretrained(tmp_path / "gpt2")
    tiny.tokenizer.save_pretrained(tmp_path / "gpt2")
    folder = finished(method, model=str(tmp_path / "gpt2"))
    place = merge_run(folder, "16bit", tmp_path / "merged")
    torch.testing.assert_close(logits(plain(place)), unmerged(folder), rtol=1e-4, atol=1e-4)


@PEFT_NOISE
@ADAPTED
def test_the_adapter_alone_loads_with_plain_peft(finished: Run, method: str) -> None:
    from peft import PeftModel

    folder = finished(method)
    base = load_model("tiny", "float32", folder.config.four_bit, device="cpu")
    tuned = PeftModel.from_pretrained(base.model, folder.path / "adapter").eval()
    torch.testing.assert_close(logits(tuned), unmerged(folder))


# What is written


@ADAPTED
@FORMS
def test_the_directory_is_transformers_own_and_says_where_it_comes_from(
    finished: Run, merged: Merged, method: str, to: str
) -> None:
    place, folder = merged(method, to), finished(method)
    files = {path.name for path in place.iterdir()}
    assert files >= {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", ORIGIN_FILE}
    assert all(path.is_file() and path.suffix in (".json", ".safetensors", ".jinja") for path in place.iterdir())
    assert json.loads((place / ORIGIN_FILE).read_text()) == {
        "run": folder.record.id, "method": method, "to": to, "model": "tiny", "dtype": "float32", "seed": 0,
        "weights_sha256": weights_sha256(get_model("tiny")), "merged_sha256": weights_sha256(place),
        "training_data": "workshop_cs",
    }  # fmt: skip
    config = json.loads((place / "config.json").read_text())
    quantization = config.get("quantization_config", {})
    assert str(folder.path) not in json.dumps(config) and "slimnb" not in json.dumps(config)
    if to == "16bit":
        assert not quantization
    else:
        assert (quantization["quant_method"], quantization["load_in_4bit"]) == ("bitsandbytes", True)
        assert (quantization["bnb_4bit_quant_type"], quantization["bnb_4bit_use_double_quant"]) == ("nf4", True)


@FORMS
def test_an_empty_directory_is_filled(finished: Run, tmp_path: Path, to: Any) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert merge_run(finished("lora"), to, out) == out
    assert origin(out) and (out / "model.safetensors").is_file()
    assert list(tmp_path.iterdir()) == [out]


@FORMS
@pytest.mark.parametrize(
    ("fails", "error", "told"),
    [
        ((Path, "replace"), OSError(28, "No space left on device"), r"\(No space left on device\)"),
        ((PreTrainedModel, "save_pretrained"), SafetensorError("I/O error: no space"), r"\(I/O error: no space\)"),
        ((PreTrainedTokenizerFast, "save_pretrained"), OSError(30, "Read-only"), r"\(Read-only\)"),
    ],
    ids=["move", "weights", "tokenizer"],
)
def test_nothing_half_written_stays_when_writing_fails(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: Any, fails: Any, error: Exception, told: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    folder = finished("qlora")
    monkeypatch.setattr(*fails, fail)
    with pytest.raises(SlimnbError, match=f"^{tmp_path / 'out'}: cannot be written {told}$"):
        merge_run(folder, to, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_is_told_in_words(finished: Run, tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(SlimnbError, match="out: cannot be written"):
        merge_run(finished("lora"), "16bit", tmp_path / "out")


# What is refused


@pytest.mark.parametrize(("method", "told"), [("base", "no adapter"), ("full", "they are in .*model")])
def test_a_run_without_an_adapter_has_nothing_to_merge(make_run: Run, tmp_path: Path, method: str, told: str) -> None:
    with pytest.raises(SlimnbError, match=f"nothing to merge.*{told}"):
        merge_run(make_run(method), "16bit", tmp_path / "out")


@pytest.mark.parametrize("status", ["failed", "cancelled", "out_of_memory"])
def test_an_unfinished_run_is_refused(copied: RunFolder, tmp_path: Path, status: Any) -> None:
    copied.record.status = status
    with pytest.raises(SlimnbError, match=f"{status}, not completed.*slimnb run --config"):
        merge_run(copied, "16bit", tmp_path / "out")


def test_a_missing_adapter_is_named(copied: RunFolder, tmp_path: Path) -> None:
    (copied.path / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(SlimnbError, match=r"no adapter_model\.safetensors"):
        merge_run(copied, "16bit", tmp_path / "out")
    shutil.rmtree(copied.path / "adapter")
    with pytest.raises(SlimnbError, match="adapter: not there"):
        merge_run(copied, "16bit", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_base_that_has_changed_since_is_refused(copied: RunFolder, tmp_path: Path) -> None:
    assert copied.record.lineage
    copied.record.lineage.weights_sha256 = "0" * 64
    with pytest.raises(SlimnbError, match="tiny: not the weights that .* started from .*000000000000, now"):
        merge_run(copied, "16bit", tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


@pytest.mark.parametrize("taken", ["file", "directory"])
def test_a_place_that_is_taken_is_left_alone(finished: Run, tmp_path: Path, taken: str) -> None:
    out = tmp_path / "out"
    mine = out if taken == "file" else out / "mine"
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(SlimnbError, match="not an empty directory"):
        merge_run(finished("lora"), "16bit", out)
    assert mine.read_text() == "mine"


def test_an_adapter_on_quantized_weights_is_not_rounded_away(finished: Run, merged: Merged, tmp_path: Path) -> None:
    folder = finished("lora", model=str(merged("lora", "4bit")))
    with pytest.raises(SlimnbError, match="its own weights are quantized.*slimnb eval --model"):
        merge_run(folder, "16bit", tmp_path / "out")


def test_a_broken_adapter_is_not_merged(copied: RunFolder, tmp_path: Path) -> None:
    path = copied.path / "adapter" / "adapter_model.safetensors"
    weights = load_file(path)
    weights[next(name for name in weights if "lora_B" in name)].fill_(float("nan"))
    save_file(weights, path)
    with pytest.raises(SlimnbError, match="some weights are no numbers"):
        merge_run(copied, "16bit", tmp_path / "out")


@PEFT_NOISE
@pytest.mark.filterwarnings("ignore:Model .*tie_word_embeddings:UserWarning")
@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_an_adapter_on_one_of_two_tied_layers_is_refused(copied: RunFolder, tmp_path: Path, target: str) -> None:
    from peft import LoraConfig, get_peft_model

    shutil.rmtree(copied.path / "adapter")
    config = LoraConfig(target_modules=[target], task_type="CAUSAL_LM")
    get_peft_model(plain(get_model("tiny")), config).save_pretrained(
        copied.path / "adapter", save_embedding_layers=False
    )
    with pytest.raises(SlimnbError, match="share their weights"):
        merge_run(copied, "16bit", tmp_path / "out")


# Where a model comes from


def test_only_a_merged_model_has_an_origin(tmp_path: Path) -> None:
    assert origin(get_model("tiny")) is None
    assert origin(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("written", "told"),
    [("{", "not valid JSON"), ("[]", "dictionary"), ("{}", "run: Field required"), ('{"to": "8bit"}', "16bit"),
     ("\x00", "not valid JSON")],
)  # fmt: skip
def test_a_damaged_origin_is_told_in_words(tmp_path: Path, written: str, told: str) -> None:
    (tmp_path / ORIGIN_FILE).write_text(written)
    with pytest.raises(SlimnbError, match=f"{ORIGIN_FILE}: .*{told}"):
        origin(tmp_path)


def test_a_merged_model_that_is_scored_is_held_against_its_base(finished: Run, merged: Merged) -> None:
    place = merged("lora", "16bit")
    loaded = load_model(str(place), "float32")
    assert loaded.weights_sha256 != weights_sha256(get_model("tiny"))
    config = make_run_config(model=str(place), method="base", dtype="float32", benchmarks=["workshop_cs"])
    found = lineage(config, loaded)
    assert (found.weights_sha256, found.dtype) == (weights_sha256(get_model("tiny")), "float32")
    assert (found.merged_from, found.merged_to) == (finished("lora").record.id, "16bit")
    assert lineage(config, replace(loaded, weights_sha256="0" * 64)).model_dump() == {
        "model": str(place), "weights_sha256": "0" * 64, "dtype": "float32", "merged_from": None, "merged_to": None,
    }  # fmt: skip
    further = make_run_config(
        model=str(place), method="lora", dtype="float32", benchmarks=["workshop_cs"], train_on="workshop_cs"
    )
    assert lineage(further, loaded).weights_sha256 == loaded.weights_sha256  # trained twice: not the base's update


@ADAPTED
@FORMS
def test_a_merged_model_is_scored_apart_and_compared(
    finished: Run, merged: Merged, runs: Path, method: str, to: str
) -> None:
    base, tuned = finished("base"), finished(method)
    apart = finished("base", model=str(merged(method, to)))
    found = apart.record.lineage
    assert found and (found.merged_from, found.merged_to) == (tuned.record.id, to)
    assert apart.environment()["weights_sha256"] == weights_sha256(merged(method, to))
    name = f"merged to {to} ({tuned.record.id})"
    assert compare(base, apart, "workshop_cs").second.name == name
    assert compare(tuned, apart, "workshop_cs").second.name == name
    if to == "16bit":
        scores = ([value for row in one.items("workshop_cs")["log_likelihoods"] for value in row]
                  for one in (tuned, apart))  # fmt: skip
        assert next(scores) == pytest.approx(next(scores), abs=1e-3)


# The command


def test_the_command_prints_the_place_and_how_to_score_it(
    slimnb: Any, finished: Run, runs: Path, tmp_path: Path
) -> None:
    out, run_id = tmp_path / "my model", finished("lora").record.id
    status, printed, told = slimnb("merge", run_id, "--to", "4bit", str(out), "--runs", str(runs))
    assert (status, printed) == (0, f"{out}\n")
    assert "loses accuracy" in told and f"slimnb run --method base --model '{out}' --dtype float32" in told
    assert "--benchmarks workshop_cs --limit 4" in told and "Error" not in told


def test_the_command_prints_one_json_document(slimnb: Any, finished: Run, runs: Path, tmp_path: Path) -> None:
    run_id = finished("lora").record.id
    words = ("--runs", str(runs), "--json")
    status, printed, told = slimnb("merge", run_id, "--to", "16bit", str(tmp_path / "out"), *words)
    document = json.loads(printed)
    assert (status, told) == (0, "")
    assert (document["path"], document["run"], document["to"]) == (str(tmp_path / "out"), run_id, "16bit")
    assert document["score_with"].startswith("slimnb run --method base") and "note" not in document


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [(("no-such-run", "--to", "16bit", "out"), 1, "no run no-such-run under"),
     (("no-such-run", "--to", "8bit", "out"), 2, "8bit"), (("no-such-run", "out"), 2, "--to")],
)  # fmt: skip
def test_what_the_command_refuses_is_told_in_words(
    slimnb: Any, runs: Path, words: tuple[str, ...], status: int, told: str
) -> None:
    ended, printed, said = slimnb("merge", *words, "--runs", str(runs))
    assert (ended, printed) == (status, "") and told in said and "Traceback" not in said
