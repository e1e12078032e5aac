"""Writes formulas.json.gz: `python -m slimnb.planning.recording [FAMILY ...]`. See slimnb.planning.formulas."""

from __future__ import annotations

import gzip
import json
import sys
from fractions import Fraction
from itertools import product
from typing import Any

from slimnb.compute.budgets import CHUNK
from slimnb.config import METHODS
from slimnb.planning import formulas
from slimnb.planning.architecture import Architecture, architecture_of, build
from slimnb.planning.formulas import Monomial
from slimnb.planning.rehearsal import rehearsed

PRIMES = {
    19: formulas.ROWS, 29: formulas.TOKENS, 5: formulas.KEY_HEADS, 7: formulas.GROUPS, 11: formulas.HEAD_WIDTH,
    13: formulas.WIDTH, 61: formulas.INNER, 67: formulas.VOCABULARY, 17: formulas.RANK, 31: formulas.POSITIONS,
}  # fmt: skip
HEAD_WIDTH = {"gpt_neox": 88}
"""Where a quarter of it, and half of that, are whole numbers, as GPT-NeoX's rotary embedding needs; else 22."""
FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gpt_neox", "gpt2")
APART = ("llama", "mistral", "qwen3", "gemma")
"""Families in which the width of a head is an option of its own."""
ALWAYS_ALIKE = ("gpt_neox", "gpt2")
"""Families in which each query head has a key head of its own."""


def small(family: str, grouped: bool, tied: bool) -> Any:
    """A configuration whose dimensions are products of different primes."""
    from transformers import AutoConfig

    heads = 35 if grouped else 5
    head_width = HEAD_WIDTH.get(family, 22)
    width = heads * 26 if family in APART else heads * head_width
    sizes = {
        "vocab_size": 67, "hidden_size": width, "intermediate_size": 61, "num_hidden_layers": 3,
        "num_attention_heads": heads, "max_position_embeddings": 31, "tie_word_embeddings": tied,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    }  # fmt: skip
    if family == "gpt2":
        sizes |= {"n_inner": sizes.pop("intermediate_size")}
    if family not in ALWAYS_ALIKE:
        sizes |= {"num_key_value_heads": 5}
    if family in APART:
        sizes |= {"head_dim": head_width}
    if family == "mistral":
        sizes |= {"sliding_window": None}
    return AutoConfig.for_model(family, **sizes)


def monomial(number: int, config: Any) -> Monomial:
    """Which dimensions a number is a product of.

    Raises:
        ValueError: it is none, as a sum of two is none.
    """
    heads, apart = config.num_attention_heads, config.model_type in APART
    values = {formulas.HEAD_WIDTH: HEAD_WIDTH.get(config.model_type, 22), formulas.WIDTH: heads * 26 if apart else 0}
    powers: dict[str, int] = {}
    rest = Fraction(number)
    # The width first: where it is a number of its own it has the other primes of the heads in it.
    for prime, name in sorted(PRIMES.items(), key=lambda pair: pair[1] != formulas.WIDTH):
        while rest.numerator % prime == 0:
            rest /= values.get(name, 0) or prime
            powers[name] = powers.get(name, 0) + 1
    plain = rest.numerator // 3 if rest.numerator % 3 == 0 else rest.numerator  # queries, keys and values in one
    if plain & (plain - 1) or rest.denominator & (rest.denominator - 1):
        raise ValueError(f"{config.model_type}: {number} is no product of its dimensions")
    return float(rest), powers


def record(family: str, grouped: bool, tied: bool) -> dict[str, Any]:
    """All of a family's variant, as formulas.json.gz has it."""
    config = small(family, grouped, tied)
    architecture = architecture_of(config)
    outside, layer = [], []
    model = build(config)
    for name, parameter in model.named_parameters():
        (layer if ".0." in name else [] if _in_later_layer(name) else outside).append(
            [monomial(side, config) for side in parameter.shape]
        )
    buffers: tuple[list[Monomial], list[Monomial]] = ([], [])
    for name, buffer in model.named_buffers():
        if not _in_later_layer(name):
            buffers[".0." in name].append(monomial(buffer.nbytes, config))
    matrices = [
        {"name": one.name, "inputs": monomial(one.inputs, config), "outputs": monomial(one.outputs, config),
         "quantized": one.quantized, "adapted": one.adapted}
        for one in architecture.matrices if not _in_later_layer(one.name)
    ]  # fmt: skip
    logs = {}
    for method, checkpointing, fused in product(METHODS, (False, True), (False, True)):
        if method != "base" or not checkpointing:
            logs[formulas.key(method, checkpointing, fused)] = _logs(architecture, method, checkpointing, fused)
    defaults = type(config)().to_dict()
    return {"defaults": defaults, "outside": outside, "layer": layer, "buffers": buffers, "matrices": matrices,
            "logs": logs}  # fmt: skip


def _in_later_layer(name: str) -> bool:
    return any(f".{number}." in name for number in (1, 2))


def _logs(architecture: Architecture, method: Any, checkpointing: bool, fused: bool) -> dict[str, Any]:
    monomials: list[tuple[float, dict[str, int], bool]] = []
    places: dict[str, int] = {}
    logs = []
    for layers in (2, 3):
        log = rehearsed(architecture, layers, method, 19, 30, 17, checkpointing, "cuda" if fused else "cpu")
        sizes = []
        for size in log.sizes:
            coefficient, powers = monomial(size, architecture.config)
            chunked = coefficient >= CHUNK and not powers.keys() & {formulas.ROWS, formulas.TOKENS}
            one = (coefficient, powers, chunked)
            if repr(one) not in places:
                places[repr(one)] = len(monomials)
                monomials.append(one)
            sizes.append(places[repr(one)])
        logs.append({"sizes": sizes, "kinds": log.kinds, "events": formulas.by_age(log.events)})
    return {"monomials": monomials, "logs": logs}


def main() -> None:
    found = json.loads(gzip.decompress(formulas.FILE.read_bytes())) if formulas.FILE.exists() else {}
    for family, grouped, tied in product(sys.argv[1:] or FAMILIES, (False, True), (False, True)):
        if not (grouped and family in ALWAYS_ALIKE):
            found[formulas.variant(family, grouped, tied)] = record(family, grouped, tied)
            print(formulas.variant(family, grouped, tied), flush=True)
    packed = gzip.compress(json.dumps(found, separators=(",", ":")).encode(), mtime=0)
    formulas.FILE.write_bytes(packed)
    print(f"{formulas.FILE}: {len(packed):,} bytes")


if __name__ == "__main__":
    main()
