"""Log-likelihoods: whatever is shared, packed or batched, each answer is as likely as when it stands alone."""

from __future__ import annotations

import math

import pytest
import torch

from slimnb.benchmarks import ChoiceItem
from slimnb.compute.attention import use_grouped_attention
from slimnb.evaluation.scoring import SHORTEST_PREFIX, packs, score_choices, share_prefixes
from slimnb.models.load import LoadedModel
from tests.families import CONFIGS, family

EXAMPLES = "Question: what is one plus one?\nAnswer: two\n\n"


def items(prefix: str = "") -> list[ChoiceItem]:
    asked = [
        ("Question: where do fish live?\nAnswer:", ("in water", "in trees", "on the moon, of course", "a")),
        ("Question: hot?\nAnswer:", ("yes", "no")),
        ("Pick a letter.\nAnswer:", ("A", "B", "C", "D")),
        ("Question: what follows, when all is said?\nAnswer:", ("nothing at all", "nothing", "not a thing")),
        ("Trailing space ", ("moves", "to the answer")),
    ]
    return [ChoiceItem(str(i), "s", prefix + text, choices, 0) for i, (text, choices) in enumerate(asked)]


def alone(model, tokenizer, item: ChoiceItem) -> list[float]:
    """The definition: the log-probabilities of the answer's tokens, read off one plain forward pass each."""
    sums = []
    for choice in item.choices:
        text = item.prompt.rstrip()
        ids = tokenizer(f"{item.prompt} {choice}")["input_ids"]
        boundary = len(tokenizer(text)["input_ids"])
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
        sums.append(sum(float(logits[i - 1, ids[i]]) for i in range(boundary, len(ids))))
    return sums


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("prefix", ["", EXAMPLES * 3], ids=["no examples", "shared examples"])
@pytest.mark.parametrize("attend", [use_grouped_attention, lambda model: None], ids=["grouped", "the model's own"])
def test_every_family_scores_as_if_each_answer_stood_alone(name: str, prefix: str, attend, tiny: LoadedModel) -> None:
    model = family(name)
    attend(model)
    asked = items(prefix)
    for item, score in zip(asked, score_choices(model, tiny.tokenizer, asked), strict=True):
        assert score.log_likelihoods == pytest.approx(alone(model, tiny.tokenizer, item), abs=1e-3)


def test_a_model_without_attention_takes_the_plain_way() -> None:
    assert packs(family("llama"))
    assert packs(family("gpt2"))
    assert not packs(family("mamba"))


@pytest.mark.parametrize("budget", [1, 64, 256, 4096])
def test_the_token_budget_changes_nothing(budget: int, tiny: LoadedModel) -> None:
    asked = items(EXAMPLES)
    expected = score_choices(tiny.model, tiny.tokenizer, asked)
    for score, reference in zip(score_choices(tiny.model, tiny.tokenizer, asked, budget), expected, strict=True):
        assert score.log_likelihoods == pytest.approx(reference.log_likelihoods, abs=1e-4)


def test_progress_counts_every_item_once(tiny: LoadedModel) -> None:
    counted: list[int] = []
    score_choices(tiny.model, tiny.tokenizer, items(), token_budget=128, advance=counted.append)
    assert sum(counted) == len(items())


def test_items_with_the_same_examples_share_one_prefix(tiny: LoadedModel) -> None:
    from slimnb.compute.packing import STEM
    from slimnb.compute.tokens import encode_pair
    from slimnb.evaluation.scoring import pack

    asked = [*items(EXAMPLES), *items("Something else altogether comes first here. ")]
    encoded = [[encode_pair(tiny.tokenizer, i.prompt, f" {c}") for c in i.choices] for i in asked]
    groups = list(share_prefixes([pack(choices) for choices in encoded]))
    shared = [group for group in groups if group.prefix]
    assert [len(group.items) for group in shared] == [5, 5]
    assert all(len(group.prefix) >= SHORTEST_PREFIX for group in shared)
    assert sorted(i for group in groups for i in group.items) == list(range(len(asked)))
    assert STEM == 0


def test_an_answer_whose_first_token_merges_with_the_context_is_still_scored(tiny: LoadedModel) -> None:
    item = ChoiceItem("0", "s", "ends in a break\n", ("x", "y"), 0)
    (score,) = score_choices(tiny.model, tiny.tokenizer, [item])
    assert all(math.isfinite(value) and value < 0 for value in score.log_likelihoods)


def test_an_empty_answer_is_scored_by_its_joining_space(tiny: LoadedModel) -> None:
    item = ChoiceItem("0", "s", "Nothing:", ("", "something"), 0)
    (score,) = score_choices(tiny.model, tiny.tokenizer, [item])
    assert score.tokens == [1, 10]
    assert all(math.isfinite(value) for value in score.log_likelihoods)


def test_bfloat16_and_float32_agree_to_their_precision(tiny: LoadedModel) -> None:
    model = family("llama")
    exact = score_choices(model, tiny.tokenizer, items())
    rounded = score_choices(model.to(torch.bfloat16), tiny.tokenizer, items())
    for a, b in zip(exact, rounded, strict=True):
        assert a.log_likelihoods == pytest.approx(b.log_likelihoods, rel=0.05)
