"""Greedy decoding in a changing batch gives what transformers' own `generate` gives, one prompt at a time."""

from __future__ import annotations

import pytest
import torch

from slimnb.evaluation.generation import generate
from slimnb.models.load import LoadedModel
from tests.families import CONFIGS, family

PROMPTS = ["One", "A somewhat longer prompt than that", "Three words here", "x", "Another one of middling length, say"]
EXAMPLES = "Question: what is one plus one?\nAnswer: two\n\n"
FAMILIES = [name for name in CONFIGS if name != "mamba"]


def alone(model, tokenizer, prompt: str, most: int) -> list[int]:
    ids = torch.tensor([tokenizer(prompt)["input_ids"]])
    made = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=most, do_sample=False, pad_token_id=2, eos_token_id=2
    )
    return made[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("prefix", ["", EXAMPLES], ids=["no examples", "shared examples"])
def test_every_family_generates_as_alone(name: str, prefix: str, tiny: LoadedModel) -> None:
    model = family(name)
    prompts = [prefix + prompt for prompt in PROMPTS]
    answers = generate(model, tiny.tokenizer, prompts, max_new_tokens=12, slots=2)
    for prompt, answer in zip(prompts, answers, strict=True):
        expected = alone(model, tiny.tokenizer, prompt, 12)
        kept = expected[:-1] if expected[-1] == 2 else expected
        assert answer.text == tiny.tokenizer.decode(kept, skip_special_tokens=True)
        assert answer.tokens == len(expected)


@pytest.mark.parametrize("slots", [1, 2, 3, 8])
def test_the_number_of_slots_changes_nothing(slots: int, tiny: LoadedModel) -> None:
    model = family("llama")
    expected = generate(model, tiny.tokenizer, PROMPTS, max_new_tokens=9, slots=5)
    assert generate(model, tiny.tokenizer, PROMPTS, max_new_tokens=9, slots=slots) == expected


def test_an_answer_ends_before_its_stop_string_and_says_so(tiny: LoadedModel) -> None:
    model = family("llama")
    (whole,) = generate(model, tiny.tokenizer, ["One"], max_new_tokens=20)
    stop = whole.text[5:7]
    (cut,) = generate(model, tiny.tokenizer, ["One"], max_new_tokens=20, stop=[stop])
    assert cut.text == whole.text[: whole.text.find(stop)]
    assert not cut.hit_limit


def test_an_answer_that_never_ends_says_that_it_hit_the_limit(tiny: LoadedModel) -> None:
    (answer,) = generate(family("llama"), tiny.tokenizer, ["One"], max_new_tokens=3)
    assert answer.hit_limit
    assert answer.tokens == 3


def test_end_of_sequence_ends_an_answer_even_where_it_is_the_padding_token(tiny: LoadedModel) -> None:
    model = family("llama")
    (answer,) = generate(model, tiny.tokenizer, ["One"], max_new_tokens=8)
    first = tiny.tokenizer(answer.text)["input_ids"][2]
    model.generation_config.eos_token_id = first
    (ended,) = generate(model, tiny.tokenizer, ["One"], max_new_tokens=8)
    assert ended.tokens <= 3
    assert not ended.hit_limit


def test_progress_counts_every_answer_once(tiny: LoadedModel) -> None:
    counted: list[int] = []
    generate(tiny.model, tiny.tokenizer, PROMPTS, max_new_tokens=4, slots=2, advance=counted.append)
    assert sum(counted) == len(PROMPTS)
