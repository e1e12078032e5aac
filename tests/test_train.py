"""Training: the loss that is minimized, what is trained, and what happens when it cannot be."""

from __future__ import annotations

import math

import pytest
import torch

import slimnb.training.loop
from slimnb.config import FourBit, Lora, Training
from slimnb.errors import SlimnbError
from slimnb.models.load import LoadedModel, add_lora, load_model
from slimnb.training.loop import Step, tokenize, train
from slimnb.training.training_sets import Example

EXAMPLES = [
    Example(f"Question: {'very ' * (i % 5)}{i} and {i}?\nAnswer:", f" {2 * i}, {'indeed ' * (i % 3)}")
    for i in range(24)
]


def settings(**changed) -> Training:
    return Training(**({"data": "own", "steps": 4, "batch_size": 6, "learning_rate": 1e-2} | changed))


def losses(loaded: LoadedModel, training: Training, seed: int = 0) -> list[float]:
    found: list[Step] = []
    train(loaded, EXAMPLES, training, seed, lambda step, steps: found.append(step))
    return [step.loss for step in found]


def lora_model() -> LoadedModel:
    return add_lora(load_model("tiny", "float32", device="cpu"), Lora(rank=4), seed=0)


def test_the_end_of_sequence_is_a_label_although_it_is_also_the_padding(tiny: LoadedModel) -> None:
    assert tiny.tokenizer.pad_token_id == tiny.tokenizer.eos_token_id
    sequence = tokenize(tiny.tokenizer, EXAMPLES[0])
    assert sequence.ids[-1] == tiny.tokenizer.eos_token_id
    assert tiny.tokenizer.decode(sequence.ids[sequence.boundary : -1]) == EXAMPLES[0].completion


def test_the_first_loss_is_transformers_own_over_the_same_labels(tiny: LoadedModel) -> None:
    sequences = [tokenize(tiny.tokenizer, example) for example in EXAMPLES]
    total, labels = 0.0, 0
    model = load_model("tiny", "float32", device="cpu").model
    for sequence in sequences:
        ids = torch.tensor([sequence.ids])
        wanted = ids.clone()
        wanted[:, : sequence.boundary] = -100
        count = len(sequence.ids) - sequence.boundary
        total += model(input_ids=ids, labels=wanted).loss.item() * count
        labels += count
    first = losses(lora_model(), settings(batch_size=len(EXAMPLES), steps=1))[0]
    assert first == pytest.approx(total / labels, abs=1e-5)


@pytest.mark.parametrize("budget", [1, 100, 300])
def test_micro_batches_change_nothing(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = losses(lora_model(), settings())
    monkeypatch.setitem(slimnb.training.loop.TOKEN_BUDGET, "cpu", budget)
    assert losses(lora_model(), settings()) == pytest.approx(expected, abs=1e-4)


def test_the_same_seed_gives_the_same_adapter_and_another_seed_another() -> None:
    def trained(seed: int) -> dict[str, torch.Tensor]:
        loaded = add_lora(load_model("tiny", "float32", device="cpu"), Lora(rank=4), seed)
        train(loaded, EXAMPLES, settings(), seed)
        return {name: p.detach().clone() for name, p in loaded.model.named_parameters() if p.requires_grad}

    one, same, other = trained(0), trained(0), trained(1)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("four_bit", [None, FourBit()], ids=["lora", "qlora"])
def test_only_the_adapter_is_trained_and_it_is_float32(four_bit: FourBit | None) -> None:
    loaded = add_lora(load_model("tiny", "bfloat16", four_bit, device="cpu"), Lora(rank=4), seed=0)
    before = {name: p.detach().clone() for name, p in loaded.model.named_parameters()}
    train(loaded, EXAMPLES, settings(), 0)
    for name, parameter in loaded.model.named_parameters():
        changed = not torch.equal(parameter, before[name])
        assert changed == ("lora_" in name), name
        assert parameter.requires_grad == ("lora_" in name)
        assert "lora_" not in name or parameter.dtype == torch.float32


def test_the_loss_falls() -> None:
    loaded = load_model("tiny", "float32", device="cpu")  # all weights: a random model's adapters learn little
    found = losses(loaded, settings(steps=40))
    assert sum(found[-5:]) < 0.7 * sum(found[:5])


@pytest.mark.parametrize(
    ("schedule", "last"), [("cosine", pytest.approx(0, abs=1e-3)), ("constant", pytest.approx(1e-2))]
)
def test_the_learning_rate_rises_and_then_follows_its_schedule(schedule: str, last: object) -> None:
    rates: list[float] = []
    training = settings(steps=40, warmup=0.1, schedule=schedule)
    train(lora_model(), EXAMPLES, training, 0, lambda step, steps: rates.append(step.learning_rate))
    assert rates[:4] == pytest.approx([0.0025, 0.005, 0.0075, 0.01])
    assert rates[-1] == last


def test_epochs_count_passes_over_the_rows() -> None:
    result = train(lora_model(), EXAMPLES, settings(steps=None, epochs=2, batch_size=7), 0)
    assert result.steps == 2 * math.ceil(len(EXAMPLES) / 7)
    assert result.examples == 2 * len(EXAMPLES)


def test_rows_longer_than_the_limit_are_left_out_and_counted() -> None:
    lengths = [len(tokenize(lora_model().tokenizer, example).ids) for example in EXAMPLES]
    limit = sorted(lengths)[len(lengths) // 2]
    result = train(lora_model(), EXAMPLES, settings(max_length=limit), 0)
    assert result.left_out == sum(length > limit for length in lengths)


def test_no_row_within_the_limit_is_an_error() -> None:
    with pytest.raises(SlimnbError, match="longer than 5 tokens"):
        train(lora_model(), EXAMPLES, settings(max_length=5), 0)


def test_a_loss_that_is_no_number_is_an_error() -> None:
    loaded = lora_model()
    with torch.no_grad():
        next(p for p in loaded.model.parameters() if p.requires_grad).fill_(math.nan)
    with pytest.raises(SlimnbError, match="loss is nan"):
        train(loaded, EXAMPLES, settings(), 0)


def test_targets_that_match_no_layer_are_an_error(tiny: LoadedModel) -> None:
    with pytest.raises(SlimnbError, match="no_such_layer"):
        add_lora(load_model("tiny", "float32", device="cpu"), Lora(targets=("no_such_layer",)), 0)
