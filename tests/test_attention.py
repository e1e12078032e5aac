"""slimnb's attention, cache and output head are the models' own, computed otherwise."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, CohereConfig, GraniteConfig

from slimnb.compute.attention import NAME, shares_prefix, use_grouped_attention
from slimnb.compute.cache import ROOM, growing_cache, layers_of
from slimnb.compute.head import backward_cross_entropy, log_likelihoods, predicting_states
from slimnb.compute.packing import causal_row, collate
from slimnb.models.load import load_model
from tests.families import _SMALL, CONFIGS, family

GROUPED = ["llama", "qwen2", "qwen3", "gemma", "gpt2", "pythia"]
IDS = torch.tensor([[5 + 7 * i % 200 for i in range(20)], [9 + 3 * i % 200 for i in range(20)]])


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("padding", [0, 5])
def test_grouped_attention_is_the_models_own(name: str, padding: int) -> None:
    model = family(name)
    mask = torch.ones_like(IDS)
    mask[1, 20 - padding :] = 0
    with torch.no_grad():
        model.set_attn_implementation("eager")
        expected = model(input_ids=IDS, attention_mask=mask).logits
        model.set_attn_implementation("sdpa")
        use_grouped_attention(model)
        assert model.config._attn_implementation == NAME
        found = model(input_ids=IDS, attention_mask=mask).logits
    torch.testing.assert_close(found[0], expected[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[1, : 20 - padding], expected[1, : 20 - padding], atol=1e-4, rtol=1e-4)


def test_its_gradient_is_the_models_own() -> None:
    gradients = []
    for implementation in ("eager", NAME):
        model = family("llama")
        model.set_attn_implementation(implementation)
        model(input_ids=IDS, labels=IDS).loss.backward()
        gradients.append([p.grad for p in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["gemma2", "mamba"])
def test_a_model_that_attends_otherwise_keeps_its_way(name: str) -> None:
    model = family(name)
    before = model.config._attn_implementation
    use_grouped_attention(model)
    assert model.config._attn_implementation == before
    assert not shares_prefix(model)


@pytest.mark.parametrize("name", GROUPED)
def test_a_prefix_is_read_in_place_or_not_at_all(name: str) -> None:
    """Two continuations behind one prefix in memory, or the model says that it cannot."""
    model = family(name)
    use_grouped_attention(model)
    if not shares_prefix(model):
        pytest.skip(f"{name} hands nothing on to its attention")
    prefix, rest = IDS[:1, :8], torch.cat([IDS[:1, 8:], IDS[1:, 8:]])
    whole = torch.cat([prefix.expand(2, -1), rest], dim=1)
    cache = growing_cache()
    with torch.no_grad():
        expected = model(input_ids=whole).logits[:, 8:]
        model(input_ids=prefix, past_key_values=cache, use_cache=True)
        positions = torch.arange(8, 20).expand(2, -1)
        found = model(input_ids=rest, position_ids=positions, use_cache=False, shared_prefix=layers_of(cache)).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_the_cache_grows_without_losing_what_it_holds() -> None:
    torch.manual_seed(0)
    parts = [(torch.randn(2, 3, n, 4), torch.randn(2, 3, n, 4)) for n in (5, 1, ROOM, 1, 2 * ROOM, 1)]
    cache = growing_cache()
    for keys, values in parts:
        held_keys, held_values = cache.update(keys, values, 0)
    torch.testing.assert_close(held_keys, torch.cat([k for k, _ in parts], dim=2))
    torch.testing.assert_close(held_values, torch.cat([v for _, v in parts], dim=2))
    assert cache.get_seq_length() == held_keys.shape[2]


def test_caches_that_begin_alike_do_not_write_into_one_another() -> None:
    keys = torch.zeros(1, 1, 3, 2)
    one, other = growing_cache([(keys, keys)]), growing_cache([(keys, keys)])
    one.update(torch.ones(1, 1, 1, 2), torch.ones(1, 1, 1, 2), 0)
    found, _ = other.update(torch.full((1, 1, 1, 2), 2.0), torch.full((1, 1, 1, 2), 2.0), 0)
    assert found[0, 0, :, 0].tolist() == [0, 0, 0, 2]
    assert not keys.any()


SCALED = {
    "granite": lambda: GraniteConfig(**_SMALL, logits_scaling=3.0),
    "cohere": lambda: CohereConfig(**_SMALL, logit_scale=0.25),
}


@pytest.mark.parametrize("name", [*CONFIGS, *SCALED])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_likelihoods_and_gradients_come_through_whatever_is_behind_the_head(name: str) -> None:
    if name in SCALED:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(SCALED[name]()).eval()
    else:
        model = family(name)
    rows = [causal_row(ids.tolist(), 4) for ids in IDS]
    batch = collate(rows, 2, torch.device("cpu"))
    labels = IDS.clone()
    labels[:, :4] = -100
    expected = model(input_ids=IDS, labels=labels, use_cache=False).loss
    expected.backward()
    wanted = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    states = predicting_states(model, batch)
    found = backward_cross_entropy(model, states, batch.targets, len(batch.targets))
    assert found == pytest.approx(float(expected), abs=1e-4)
    assert -float(log_likelihoods(model, states, batch.targets).mean()) == pytest.approx(found, abs=1e-4)
    for one, other in zip((p.grad for p in model.parameters()), wanted, strict=True):
        if other is not None:
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_precision_scores(dtype: str) -> None:
    from slimnb.benchmarks import get_benchmark
    from slimnb.evaluation.evaluate import evaluate

    benchmark = get_benchmark("workshop_cs")
    questions = benchmark.load(None, 2, 12)
    exact, _ = evaluate(load_model("tiny", "float32", device="cpu"), benchmark, questions)
    items, result = evaluate(load_model("tiny", dtype, device="cpu"), benchmark, questions)
    assert result.items == 12
    for mine, theirs in zip(items["log_likelihoods"], exact["log_likelihoods"], strict=True):
        assert list(mine) == pytest.approx(list(theirs), rel=0.05)
