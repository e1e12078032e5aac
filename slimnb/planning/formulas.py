"""What models of known families are made of and what a micro-batch of theirs holds, from config.json alone, at once.

A formula is a rehearsal (slimnb.planning.rehearsal) that was recorded with a small model whose dimensions are different
primes, so that each tensor's size tells which dimensions it is a product of. Played again with another model's
dimensions (slimnb.planning.replay) it gives what a rehearsal of that model would, without PyTorch, whose import alone
takes a second. `python -m slimnb.planning.recording` writes formulas.json.gz; tests hold it against rehearsals.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from functools import cache, lru_cache
from math import prod
from pathlib import Path
from typing import Any

from slimnb.compute.budgets import CHUNK, MOST_SCORES
from slimnb.planning.replay import Log, Rehearsal, carried_on, replay

FILE = Path(__file__).with_name("formulas.json.gz")
ROWS, TOKENS, GROUPS, RANK = "rows", "tokens", "groups", "rank"
KEY_HEADS, HEAD_WIDTH, WIDTH, INNER, VOCABULARY, POSITIONS = (
    "key heads", "head width", "width", "inner width", "vocabulary", "positions",
)  # fmt: skip
KEYS = {
    WIDTH: ("hidden_size", "n_embd"), INNER: ("intermediate_size", "n_inner"), VOCABULARY: ("vocab_size",),
    POSITIONS: ("max_position_embeddings", "n_positions"), "heads": ("num_attention_heads", "n_head"),
    KEY_HEADS: ("num_key_value_heads",), HEAD_WIDTH: ("head_dim",), "layers": ("num_hidden_layers", "n_layer"),
}  # fmt: skip
"""A dimension's names in config.json."""
HARMLESS = {
    "architectures", "bos_token_id", "eos_token_id", "pad_token_id", "dtype", "transformers_version", "model_type",
    "_name_or_path", "initializer_range", "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "rope_theta",
    "rope_scaling", "rope_parameters", "use_cache", "hidden_act", "hidden_activation", "activation_function",
    "pretraining_tp", "tie_word_embeddings", "max_window_layers", "sliding_window", "layer_types", "n_ctx",
    "task_specific_params", "id2label", "label2id", "chunk_size_feed_forward", "problem_type",
}  # fmt: skip
"""Keys of config.json that change no tensor's size, or are looked at apart. Any other that the family's configuration
class knows and that is not at its default has no formula; what the class does not know the model does not heed."""

Monomial = tuple[float, dict[str, int]]
"""A coefficient and each dimension's power."""


def value(monomial: Monomial, dimensions: dict[str, int]) -> int:
    coefficient, powers = monomial
    return round(coefficient * prod(dimensions[name] ** power for name, power in powers.items()))


@dataclass(frozen=True)
class Recorded:
    """A variant of a family, as formulas.json.gz has it."""

    defaults: dict[str, Any]
    outside: list[list[Monomial]]
    """Shapes of the parameters that are not of a layer."""
    layer: list[list[Monomial]]
    """Of a layer's."""
    buffers: tuple[list[Monomial], list[Monomial]]
    """Bytes of the buffers: outside, of a layer."""
    matrices: list[dict[str, Any]]
    """The linear layers of the first layer, and those outside: name, inputs, outputs, quantized, adapted."""
    logs: dict[str, Any]
    """By `key`: monomials, and two logs, of two layers and of three."""


@dataclass(frozen=True)
class Formula:
    """A family's recording and a model's dimensions."""

    recorded: Recorded
    dimensions: dict[str, int] = field(hash=False)
    layers: int

    def rehearse(
        self, method: str, rows: int, length: int, *, rank: int, checkpointing: bool, accumulating: bool, device: str
    ) -> Rehearsal:
        """As slimnb.planning.rehearsal.rehearse."""
        fused = device != "cpu" or (length - 1) ** 2 > MOST_SCORES
        logs = self.recorded.logs[key(method, checkpointing, fused)]
        dimensions = {**self.dimensions, ROWS: rows, TOKENS: length - 1, RANK: rank}
        # With fewer tokens than a chunk of the output head's, logits are fewer, too.
        share = min(1.0, rows * (length - 1) / CHUNK)
        sizes = [
            round(value((coefficient, powers), dimensions) * (share if chunked else 1))
            for coefficient, powers, chunked in logs["monomials"]
        ]
        found = [
            replay(
                Log([sizes[place] for place in log["sizes"]], log["kinds"], by_number(log["events"])),
                method != "base",
                accumulating,
            )
            for log in logs["logs"]
        ]
        return carried_on(found[0], found[1], self.layers - 3)


def by_age(events: list[int]) -> list[int]:
    """A log's events with 1 where a tensor is made, and -1, -2, ... for the last, the last but one, ... made so far
    where it is given back: alike for each layer, and so 20 times smaller when compressed."""
    made, found = 0, []
    for event in events:
        made += event > 0
        found.append(1 if event > 0 else event and -(made + event + 1))
    return found


def by_number(events: list[int]) -> list[int]:
    """The same the other way round."""
    made, found = 0, []
    for event in events:
        made += event > 0
        found.append(made if event > 0 else event and -(made + event + 1))
    return found


def key(method: str, checkpointing: bool, fused: bool) -> str:
    return f"{method}{', checkpointing' if checkpointing else ''}{', fused attention' if fused else ''}"


def variant(family: str, grouped: bool, tied: bool) -> str:
    """Which of a family's recordings: those with and without shared key heads, and tied embeddings, differ."""
    return f"{family}{', grouped' if grouped else ''}{', tied' if tied else ''}"


@cache
def _all() -> dict[str, Any]:
    return json.loads(gzip.decompress(FILE.read_bytes())) if FILE.exists() else {}


@lru_cache(maxsize=64)
def _recorded(name: str) -> Recorded | None:
    fields = _all().get(name)
    return Recorded(**fields) if fields else None


def find_formula(config: dict[str, Any]) -> Formula | None:
    """The formula for a model's config.json; None where its family was not recorded, or not with such options."""
    family = str(config.get("model_type"))
    first = next((_recorded(name) for name in _all() if name.partition(",")[0] == family), None)
    if first is None or config.get("quantization_config") is not None:
        return None
    defaults = first.defaults
    known = defaults.keys() - {name for names in KEYS.values() for name in names} - HARMLESS
    unusual = {name for name in known & config.keys() if config[name] != defaults[name]}
    slides = config.get("sliding_window") is not None and config.get("use_sliding_window", True)
    if unusual or slides or set(config.get("layer_types") or ["full_attention"]) != {"full_attention"}:
        return None
    sizes = {name: _size(config, defaults, keys) for name, keys in KEYS.items()}
    heads, width = sizes["heads"], sizes[WIDTH]
    if not heads or not width or not sizes["layers"] or sizes["layers"] < 3 or not sizes[VOCABULARY]:
        return None
    key_heads = sizes[KEY_HEADS] or heads
    tied = bool(config.get("tie_word_embeddings", defaults.get("tie_word_embeddings", True)))
    recorded = _recorded(variant(family, key_heads != heads, tied))
    if recorded is None or heads % key_heads:
        return None
    dimensions = {
        WIDTH: width, INNER: sizes[INNER] or 4 * width, VOCABULARY: sizes[VOCABULARY], POSITIONS: sizes[POSITIONS] or 0,
        KEY_HEADS: key_heads, GROUPS: heads // key_heads, HEAD_WIDTH: sizes[HEAD_WIDTH] or width // heads,
    }  # fmt: skip
    return Formula(recorded, dimensions, sizes["layers"])


def _size(config: dict[str, Any], defaults: dict[str, Any], keys: tuple[str, ...]) -> int | None:
    """A dimension from config.json, else the family's default; None where it follows from others."""
    for name in keys:
        if name in config:
            return config[name]
    if keys in (KEYS[KEY_HEADS], KEYS[HEAD_WIDTH]):  # they follow from the heads
        return None
    return next((defaults[name] for name in keys if name in defaults), None)
