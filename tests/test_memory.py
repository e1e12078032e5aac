"""Predicted memory beside what really built models take, and beside a derivation by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from slimnb.compute.attention import use_grouped_attention
from slimnb.compute.head import _after_head
from slimnb.compute.packing import causal_row, collate
from slimnb.config import FourBit, Lora
from slimnb.errors import SlimnbError
from slimnb.models.load import LoadedModel, add_lora, load_model, parameter_counts, weights_bytes
from slimnb.planning.architecture import Architecture, architecture_of, read_architecture
from slimnb.planning.memory import Setup, largest_micro_batch, largest_rank, parse_memory, predict
from slimnb.planning.rehearsal import Storages, _step, rehearse
from slimnb.planning.replay import COPY, GRADIENT, MARK, PLAIN, Log, Rehearsal, replay
from tests.families import CONFIGS, family

TRANSFORMERS = [name for name in CONFIGS if name != "mamba"]


def llama(layers: int = 4, **changed: Any) -> Architecture:
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2}
    return architecture_of(LlamaConfig(vocab_size=300, num_hidden_layers=layers, **(sizes | changed)))


def item(architecture: Architecture, setup: Setup, name: str) -> int:
    return sum(one.bytes for one in predict(architecture, setup).items if one.name == name)


# Shapes


@pytest.mark.filterwarnings("ignore:fan_in_fan_out")  # GPT-2's matrices lie the other way round, and PEFT says so
@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_and_adapters_are_those_of_the_built_model(name: str) -> None:
    architecture = architecture_of(CONFIGS[name]())
    model = AutoModelForCausalLM.from_config(CONFIGS[name](), dtype=torch.bfloat16)
    assert architecture.parameters == parameter_counts(model)[0]
    assert architecture.weight_bytes(2) == weights_bytes(model)
    if name != "mamba":  # which PEFT does not adapt at every linear layer
        adapted = add_lora(LoadedModel(model, None, name, ""), Lora(rank=3), 0).model
        assert sum(a * b for a, b in architecture.adapter_shapes(3)) == parameter_counts(adapted)[1]


def test_what_cannot_be_adapted_is_refused_with_the_reason() -> None:
    with pytest.raises(SlimnbError, match="all-linear.*mamba"):
        predict(architecture_of(CONFIGS["mamba"]()), Setup("lora", length=8))


@pytest.mark.parametrize("double", [True, False])
def test_four_bit_weights_take_what_really_quantized_ones_take(double: bool, tmp_path: Path, tiny: LoadedModel) -> None:
    # 256 * 300 weights are no whole number of outer blocks
    config = LlamaConfig(
        vocab_size=259, hidden_size=256, intermediate_size=300, num_hidden_layers=2, num_attention_heads=4
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    packed = load_model(str(tmp_path), four_bit=FourBit(double_quantization=double), device="cpu").model
    assert sum(read_architecture(str(tmp_path)).four_bit_bytes(double)) == weights_bytes(packed)


def test_the_adapter_on_disk_is_as_large_as_predicted(tmp_path: Path) -> None:
    predicted = predict(read_architecture("tiny"), Setup("lora", rank=5, length=32)).saved_bytes
    add_lora(load_model("tiny", device="cpu"), Lora(rank=5), 0).model.save_pretrained(tmp_path)
    written = (tmp_path / "adapter_model.safetensors").read_bytes()
    header = 8 + int.from_bytes(written[:8], "little")
    assert len(written) - header == predicted


def test_a_configuration_alone_is_enough(tmp_path: Path) -> None:
    CONFIGS["qwen2"]().save_pretrained(tmp_path)
    architecture = read_architecture(str(tmp_path))
    assert (architecture.name, architecture.layers) == (str(tmp_path), 2)


# What a micro-batch holds


@pytest.mark.parametrize(("rows", "length"), [(1, 33), (3, 17)])
def test_a_llama_layer_keeps_what_a_derivation_by_hand_says(rows: int, length: int) -> None:
    """Of transformers' LlamaDecoderLayer with adapters on all seven matrices, computed in bfloat16 (2 bytes).

    An operation keeps an input where the gradient of the other one needs it, and a frozen matrix keeps none. For T
    tokens in B rows of L, H hidden and I intermediate units, Q and K units of queries and keys, A heads, rank r:

    - each of two norms: its input in float32 and 1 / its root mean square, 4 T H + 4 T; its output, which the adapters
      read, once for all of them, 2 T H. Its frozen weight keeps nothing.
    - adapters: what is between A and B of each, 7 * 2 T r.
    - attention: scaled queries 2 T Q, keys and values 2 * 2 T K; the weights after the softmax 2 B A L L, and the mask,
      a byte each, L L; its output, which the adapter of o_proj reads, 2 T Q.
    - the gated MLP: the gate before and after the activation, the other factor and the product, 4 * 2 T I.
    """
    hidden, inner, heads, queries, keys, rank = 64, 96, 4, 64, 32, 5
    seen = length - 1  # the last token is only predicted
    tokens = rows * seen
    norms = 2 * (4 * tokens * hidden + 4 * tokens + 2 * tokens * hidden)
    adapters = 7 * 2 * tokens * rank
    attention = (
        2 * tokens * queries + 2 * 2 * tokens * keys + 2 * rows * heads * seen**2 + seen**2 + 2 * tokens * queries
    )
    mlp = 4 * 2 * tokens * inner
    four, five = (rehearse(llama(layers), "lora", rows, length, rank=rank) for layers in (4, 5))
    counted = (five.kept - five.copies) - (four.kept - four.copies)
    assert counted == norms + adapters + attention + mlp
    assert five.copies - four.copies == 2 * sum(a * b for a, b in llama(1).adapter_shapes(rank))


@pytest.mark.filterwarnings("ignore:fan_in_fan_out")
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_the_rehearsal_is_like_the_performance(name: str, method: Any) -> None:
    """The same storages are counted in a real step of a real model."""
    rows, length = 2, 24
    config = CONFIGS[name]()
    loaded = LoadedModel(family(name), None, name, "")
    use_grouped_attention(loaded.model)
    if method == "lora":
        loaded = add_lora(LoadedModel(loaded.model.bfloat16(), None, name, ""), Lora(rank=4), 0)
    else:
        loaded.model.requires_grad_(True)
    batch = collate([causal_row([5] * length, 1)] * rows, 0, torch.device("cpu"))
    _after_head(loaded.model)  # found out in advance, as it is in the rehearsal
    architecture = architecture_of(config)
    performed = replay(_step(loaded.model, batch, architecture.layers), training=True, accumulating=False)
    rehearsed = rehearse(architecture, method, rows, length, rank=4)
    for part in ("kept", "copies", "first", "rest", "first_gradients"):
        assert getattr(rehearsed, part) == pytest.approx(getattr(performed, part), rel=0.02), part


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_many_layers_need_what_few_layers_foretell(method: Any, checkpointing: bool) -> None:
    ten = llama(10)
    foretold = rehearse(ten, method, 2, 40, checkpointing=checkpointing)
    rehearsed = rehearse(replace(ten, period=10), method, 2, 40, checkpointing=checkpointing)  # all ten
    assert foretold == rehearsed


def test_checkpointing_keeps_a_layers_input_and_computes_the_rest_again() -> None:
    setup = Setup("lora", batch_size=4, length=64)
    spared = replace(setup, checkpointing=True)
    assert item(llama(8), spared, "activations") < item(llama(8), setup, "activations") / 4
    assert predict(llama(8), spared).peak < predict(llama(8), setup).peak


def test_gradients_wait_for_a_steps_other_micro_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimnb.planning.memory.TOKEN_BUDGET", {"cpu": 128})
    alone, more = (Setup("full", batch_size=size, length=64) for size in (2, 4))
    assert (alone.rows, more.rows, alone.accumulates, more.accumulates) == (2, 2, False, True)
    assert item(llama(), alone, "gradients") < item(llama(), more, "gradients") == 4 * llama().parameters


def test_storages_that_are_given_back_are_logged_once() -> None:
    model = torch.nn.Linear(4, 4)
    with Storages(model) as storages:
        one = torch.zeros(1000)
        two = one.view(10, 100)
        del one
        model.weight.detach().view(-1)
        storages.mark()
        del two
    assert storages.log == Log([4000], [PLAIN], [1, MARK, -1])


@pytest.mark.parametrize("accumulating", [False, True])
def test_a_log_is_played_again(accumulating: bool) -> None:
    """Forward: 10 kept, 5 of it a copy. Head: 30 for a while. Backward: a gradient of 4 takes the place of the 5."""
    log = Log([10, 5, 30, 4, 2], [PLAIN, COPY, PLAIN, GRADIENT, PLAIN],
              [1, 2, MARK, 3, -3, MARK, 4, -2, MARK, 5, -1, -5, MARK])  # fmt: skip
    found, there = replay(log, training=True, accumulating=accumulating), 4 if accumulating else 0
    assert found == Rehearsal(15 + there, 5, 45 + there, 19 + there, 16, there)


def test_an_earlier_micro_batchs_gradients_are_there_from_the_start() -> None:
    one, more = (rehearse(llama(), "full", 2, 40, accumulating=accumulating) for accumulating in (False, True))
    assert more.kept - one.kept == 4 * llama().parameters == more.first_gradients > one.first_gradients


def test_scoring_holds_a_batch_for_each_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    setup, found = Setup("base", batch_size=4, length=64), {}
    for cores in (1, 2, 16):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        found[cores] = item(llama(), setup, "activations")
        assert replace(setup, method="lora").threads == replace(setup, device="cuda").threads == 1
    assert (found[2], found[16]) == (2 * found[1], 4 * found[1])


# Predictions


@pytest.mark.parametrize("method", ["lora", "qlora", "full", "base"])
def test_more_needs_more(method: Any) -> None:
    setup = Setup(method, rank=8, batch_size=2, length=64)
    peak = predict(llama(), setup).peak
    assert predict(llama(), replace(setup, length=128)).peak > peak
    assert predict(llama(), replace(setup, batch_size=4)).peak > peak
    assert predict(llama(8), setup).peak >= peak
    larger = predict(llama(), replace(setup, rank=16)).peak
    assert larger > peak if method in ("lora", "qlora") else larger == peak


def test_the_parts_of_a_full_fine_tuning() -> None:
    setup, size = Setup("full", batch_size=2, length=600), 4 * llama().parameters
    found = {one.name: one.bytes for one in predict(llama(), setup).items}
    assert found["weights"] == llama().weight_bytes(4)
    assert found["gradients"] == size
    assert found["optimizer"] == 2 * size
    assert predict(llama(), setup).trainable == llama().parameters


def test_an_8_bit_optimizer_takes_a_quarter_and_needs_cuda() -> None:
    plain = Setup("lora", length=32, device="cuda", rank=256)
    paged = replace(plain, optimizer="paged_adamw_8bit")
    ratio = item(llama(), paged, "optimizer") / item(llama(), plain, "optimizer")
    assert ratio == pytest.approx(0.25 * (1 + 4 / 256), rel=1e-3)
    with pytest.raises(SlimnbError, match="needs CUDA"):
        predict(llama(), replace(paged, device="cpu"))


def test_fused_attention_keeps_no_scores() -> None:
    setup = Setup("lora", batch_size=1, length=512)
    assert item(llama(), replace(setup, device="cuda"), "activations") < item(llama(), setup, "activations") / 2


def test_the_largest_micro_batch_and_rank_just_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    setup, wide = Setup("lora", length=32), llama(hidden_size=1024, intermediate_size=1024)
    memory = predict(wide, setup).peak + 3 * 10**7
    rank = largest_rank(wide, setup, memory)
    assert rank and 16 < rank < 512
    assert predict(wide, replace(setup, rank=rank)).peak <= memory < predict(wide, replace(setup, rank=rank + 1)).peak
    tokens = largest_micro_batch(wide, setup, memory)
    rows, part = divmod(tokens, 32)
    assert part == 0 and rows > 8
    for more, fits in ((0, True), (1, False)):
        monkeypatch.setattr("slimnb.planning.memory.TOKEN_BUDGET", {"cpu": 32 * (rows + more)})
        assert (predict(wide, replace(setup, batch_size=1000)).peak <= memory) == fits
    assert largest_micro_batch(llama(), setup, 1000) == 0
    assert largest_rank(llama(), setup, 1000) == 0
    assert largest_rank(llama(), setup, 10**15) == 32  # keys have 32 units
    assert largest_rank(llama(), replace(setup, method="full"), 10**15) is None


@pytest.mark.parametrize(
    ("text", "size"),
    [("16GB", 16 * 10**9), ("16 GiB", 16 * 2**30), ("1.5gb", 1_500_000_000), (" 800MB ", 800 * 10**6), ("1TiB", 2**40)],
)
def test_memory_is_a_number_with_a_unit(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["16", "GB", "", "-1GB", "0GB", "16 bananas", "1e3GB", "nanGB"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SlimnbError, match="such as 16GB"):
        parse_memory(text)


# What is refused


def test_an_unknown_architecture_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no_such_model"}))
    with pytest.raises(SlimnbError, match="no_such_model"):
        read_architecture(str(tmp_path))


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(SlimnbError, match="vit: no causal language model"):
        read_architecture(str(tmp_path))


def test_weights_that_are_quantized_already_are_refused(tmp_path: Path) -> None:
    config = CONFIGS["llama"]().to_dict() | {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SlimnbError, match="quantized already"):
        read_architecture(str(tmp_path))


@pytest.mark.parametrize("changed", [{"rank": 0}, {"batch_size": 0}, {"length": 1}])
def test_values_out_of_range_are_named(changed: dict[str, int]) -> None:
    with pytest.raises(SlimnbError, match=next(iter(changed)).replace("_", " ")):
        predict(llama(), replace(Setup("lora"), **changed))
