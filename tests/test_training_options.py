"""What can be chosen about a training does what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from slimnb.compute.tokens import Encoded
from slimnb.config import FourBit, Lora, Training, make_run_config
from slimnb.errors import SlimnbError
from slimnb.experiment import run
from slimnb.machine.quiet import known_noise_hidden
from slimnb.models.load import LoadedModel, add_lora, get_model, load_model
from slimnb.training import epochs, loop
from slimnb.training.epochs import step_count
from slimnb.training.loop import Step, mean_loss, tokenize, train
from slimnb.training.training_sets import Example

EXAMPLES = [Example(f"Question: {'so ' * (i % 4)}{i} and {i}?\nAnswer:", f" {2 * i}") for i in range(24)]


def settings(**changed: Any) -> Training:
    return Training(**({"data": "own", "steps": 20, "batch_size": 6, "learning_rate": 1e-2} | changed))


def lora_model(**options: Any) -> LoadedModel:
    return add_lora(load_model("tiny", "float32", device="cpu"), Lora(**({"rank": 4} | options)), seed=0)


def steps_of(loaded: LoadedModel, training: Training, **more: Any) -> list[Step]:
    found: list[Step] = []
    train(loaded, EXAMPLES, training, 0, lambda step, steps: found.append(step), **more)
    return found


def plain_losses(training: Training) -> list[float]:
    """The same training with no trick at all: padded batches, transformers' own loss, PyTorch's own AdamW."""
    loaded = lora_model()
    sequences = [tokenize(loaded.tokenizer, example) for example in EXAMPLES]
    parameters = [p for p in loaded.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.0)
    found = []
    loaded.model.set_attn_implementation("eager")
    batches = epochs.batches(sequences, training.batch_size, training.steps or 0, 0)
    for done, batch in enumerate(batches):
        longest = max(len(sequence.ids) for sequence in batch)
        ids = torch.zeros(len(batch), longest, dtype=torch.long)
        labels = torch.full((len(batch), longest), -100)
        seen = torch.zeros(len(batch), longest, dtype=torch.long)
        for row, sequence in enumerate(batch):
            length = len(sequence.ids)
            ids[row, :length], seen[row, :length] = torch.tensor(sequence.ids), 1
            labels[row, sequence.boundary : length] = torch.tensor(sequence.ids[sequence.boundary :])
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * epochs.rate_factor(done, training.steps or 0, training)
        loss = loaded.model(input_ids=ids, attention_mask=seen, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, training.clip)
        optimizer.step()
        optimizer.zero_grad()
        found.append(loss.item())
    return found


def test_twenty_steps_give_the_losses_of_a_plain_reference() -> None:
    training = settings()
    assert [step.loss for step in steps_of(lora_model(), training)] == pytest.approx(plain_losses(training), abs=1e-4)


def test_gradient_checkpointing_changes_nothing() -> None:
    expected = [step.loss for step in steps_of(lora_model(), settings(steps=5))]
    loaded = lora_model()
    found = [step.loss for step in steps_of(loaded, settings(steps=5, gradient_checkpointing=True))]
    assert found == pytest.approx(expected, abs=1e-5)
    assert not loaded.model.get_base_model().is_activation_checkpointing


def test_memory_that_runs_out_halves_the_micro_batches_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [step.loss for step in steps_of(lora_model(), settings(steps=4))]
    true_states, refused = loop.predicting_states, []

    def small_memory(model: Any, batch: Any) -> Any:
        if batch.ids.numel() > 100:
            refused.append(batch.ids.numel())
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        return true_states(model, batch)

    monkeypatch.setattr(loop, "predicting_states", small_memory)
    assert [step.loss for step in steps_of(lora_model(), settings(steps=4))] == pytest.approx(expected, abs=1e-4)
    assert refused and max(refused) < 2 * 1024


def test_the_validation_loss_is_that_of_rows_never_trained_on() -> None:
    loaded = lora_model()
    training = settings(validation=0.25, batch_size=3)
    found = steps_of(loaded, training)
    measured = [step for step in found if step.validation_loss is not None]
    assert [step.step for step in measured] == list(range(2, 21, 2))
    assert sum(step.examples for step in found[:6]) == 18
    sequences = [tokenize(loaded.tokenizer, example) for example in EXAMPLES]
    _, held_out = epochs.hold_out(sequences, 0.25, 0)
    assert len(held_out) == 6
    assert measured[-1].validation_loss == pytest.approx(mean_loss(loaded, held_out, 1024), abs=1e-6)


def test_training_stops_when_the_validation_loss_no_longer_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([3.0, 2.0, 2.5, 2.4, 1.0, 1.0])
    monkeypatch.setattr(loop, "mean_loss", lambda *_: next(values))
    found = steps_of(lora_model(), settings(validation=0.2, patience=2))
    assert found[-1].step == 8
    assert found[-1].validation_loss == 2.4


def test_the_best_weights_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([3.0, 2.0, *[5.0] * 8])
    monkeypatch.setattr(loop, "mean_loss", lambda *_: next(values))
    best = lora_model()
    steps_of(best, settings(validation=0.2, keep="best"))
    monkeypatch.undo()
    until_then = lora_model()

    def stop(step: Step, steps: int) -> None:
        if step.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(until_then, EXAMPLES, settings(validation=0.2), 0, stop)
    for (name, kept), (_, wanted) in zip(
        best.model.named_parameters(), until_then.model.named_parameters(), strict=True
    ):
        assert torch.equal(kept, wanted), name


def test_a_single_row_cannot_be_held_out() -> None:
    with pytest.raises(SlimnbError, match="single training example"):
        train(lora_model(), EXAMPLES[:1], settings(validation=0.5), 0)


def test_mixed_precision_computes_the_adapter_in_bfloat16_and_keeps_it_in_float32() -> None:
    exact = [step.loss for step in steps_of(lora_model(), settings(steps=10))]
    loaded = add_lora(load_model("tiny", "bfloat16", device="cpu"), Lora(rank=4), seed=0)
    rounded = [step.loss for step in steps_of(loaded, settings(steps=10), mixed_precision=True)]
    assert rounded == pytest.approx(exact, rel=0.02)
    assert all(p.dtype == torch.float32 for name, p in loaded.model.named_parameters() if "lora_" in name)


def test_the_paged_optimizer_needs_cuda() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(SlimnbError, match="needs CUDA"):
        train(lora_model(), EXAMPLES, settings(optimizer="paged_adamw_8bit"), 0)


@pytest.mark.parametrize(
    "options", [{"rank_stabilized": True}, {"dora": True}, {"dropout": 0.2}, {"targets": ("q_proj",)}]
)
def test_variants_of_lora_train(options: dict[str, Any]) -> None:
    loaded = lora_model(**options)
    config = loaded.model.peft_config["default"]
    assert (config.use_rslora, config.use_dora, config.lora_dropout) == (
        options.get("rank_stabilized", False), options.get("dora", False), options.get("dropout", 0.0),
    )  # fmt: skip
    found = steps_of(loaded, settings(steps=3), mixed_precision=False)
    assert all(step.gradient_norm > 0 for step in found)


def test_loftq_starts_nearer_to_the_unquantized_weights_than_nothing_does() -> None:
    layer = "model.layers.0.mlp.gate_proj"
    exact = load_model("tiny", "float32", device="cpu").model.get_submodule(layer).weight.float()

    def distance(init: str) -> float:
        base = load_model("tiny", "float32", FourBit(), device="cpu")
        model = add_lora(base, Lora(rank=8, init=init), seed=0).model
        assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)
        adapted = model.get_submodule(f"base_model.model.{layer}")
        eye = torch.eye(exact.shape[1])
        with torch.no_grad():
            return float((adapted(eye).T - exact).norm())

    assert distance("loftq") < 0.9 * distance("zero")


@pytest.mark.parametrize("options", [{}, {"init": "pissa"}, {"dora": True}, {"rank_stabilized": True}])
def test_every_saved_adapter_loads_with_plain_peft_on_the_plain_base(options: dict[str, Any], tmp_path: Path) -> None:
    chosen = make_run_config(
        method="lora", model="tiny", dtype="float32", train_on="workshop_math", train_limit=12, steps=4,
        learning_rate=1e-2, benchmarks=("workshop_cs",), limit=4, rank=4, **options,
    )  # fmt: skip
    folder = run(chosen, tmp_path, "study")
    base = AutoModelForCausalLM.from_pretrained(get_model("tiny"), dtype=torch.float32)
    with known_noise_hidden():
        model = PeftModel.from_pretrained(base, str(folder.path / "adapter")).eval()
    scored = LoadedModel(model, load_model("tiny", "float32").tokenizer, "tiny", "")
    from slimnb.benchmarks import get_benchmark
    from slimnb.evaluation.evaluate import evaluate

    benchmark = get_benchmark("workshop_cs")
    items, _ = evaluate(scored, benchmark, benchmark.load(None, None, 4))
    for mine, theirs in zip(items["log_likelihoods"], folder.items("workshop_cs")["log_likelihoods"], strict=True):
        assert list(mine) == pytest.approx(list(theirs), abs=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "lora", "init": "loftq"}, "loftq"),
        ({"method": "qlora", "init": "pissa"}, "pissa"),
        ({"method": "lora", "patience": 2}, "validation"),
        ({"method": "lora", "keep": "best"}, "validation"),
        ({"method": "lora", "dtype": "float16"}, "float16"),
        ({"method": "lora", "four_bit_kind": "fp4"}, "--four-bit-kind"),
        ({"method": "full", "dora": True}, "--dora"),
        ({"method": "base", "validation": 0.1}, "--validation"),
        ({"method": "lora", "warm_up": 0.1}, "warm_up"),
    ],
)
def test_options_that_do_not_go_together_are_refused_by_name(options: dict[str, Any], words: str) -> None:
    source = {} if options["method"] == "base" else {"train_on": "workshop_math"}
    with pytest.raises(SlimnbError, match=words):
        make_run_config(model="tiny", benchmarks=("workshop_cs",), **source, **options)


@pytest.mark.parametrize(("label_tokens", "steps"), [(1, 1), (200, 5), (399, 10)])
def test_a_training_ends_at_about_so_many_label_tokens(label_tokens: int, steps: int) -> None:
    rows = [Encoded([1] * (8 + i % 2), 4) for i in range(12)]  # 4 and 5 label tokens
    training = Training(data="x", label_tokens=label_tokens, batch_size=9, learning_rate=1e-3)
    assert step_count(training, rows) == steps


def test_a_validation_leaves_four_bit_weights_as_they_were_quantized(tmp_path: Path, tiny: LoadedModel) -> None:
    """bitsandbytes packs 4-bit weights of whole blocks, and rounds their scales, when they first infer on a CPU."""
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(vocab_size=259, **sizes)).save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    loaded = add_lora(load_model(str(tmp_path), "bfloat16", FourBit(), device="cpu"), Lora(rank=4), seed=0)
    weights = [p for p in loaded.model.parameters() if hasattr(p, "quant_state")]
    before = [(weight.data.clone(), weight.quant_state.absmax.clone()) for weight in weights]
    found = steps_of(loaded, settings(steps=20, validation=0.25), mixed_precision=True)
    assert sum(step.validation_loss is not None for step in found) == 10
    assert len(weights) == 14
    for weight, (values, scales) in zip(weights, before, strict=True):
        assert not getattr(weight.quant_state, "packing_format_for_cpu", False)
        assert torch.equal(weight.data, values) and torch.equal(weight.quant_state.absmax, scales)
    first = loaded.model.base_model.model.model.layers[0].self_attn.q_proj.lora_B["default"].weight
    assert first.abs().max() > 0  # the gradient came through all weights above
