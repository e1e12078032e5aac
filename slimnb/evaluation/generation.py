"""Greedy decoding of many prompts, with the prefix they share computed once.

The batch is never idle: a finished sequence leaves it and a waiting one takes its place. Sequences of different
lengths lie in one key/value cache with unused slots between them, which the attention mask hides; position ids count
each sequence's own tokens, so padding changes nothing but rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from slimnb.compute.cache import growing_cache, layers_of
from slimnb.compute.head import only_at
from slimnb.compute.prefix import Prefix, common_prefix
from slimnb.compute.sharding import without_graph
from slimnb.compute.tokens import context_length, encode

SLOTS = 32
"""Sequences that are decoded together."""
SHORTEST_PREFIX = 16
"""Tokens that prompts must share before a cache of their own is worth it."""


@dataclass(frozen=True)
class Generation:
    """One answer. `text` ends before the stop string; `hit_limit` says that neither it nor end of sequence came."""

    text: str
    tokens: int
    hit_limit: bool
    truncated: bool = False
    """Whether the prompt lost tokens on the left, because the model reads no more."""


@dataclass
class _Sequence:
    index: int
    prompt: list[int]
    """Token ids behind the shared prefix."""
    made: list[int] = field(default_factory=list)


class _Batch:
    """The sequences being decoded and their cache. S slots, B sequences."""

    def __init__(self, model: Any, prefix: Prefix, pad_id: int):
        self.model = model
        self.prefix = prefix
        self.pad_id = pad_id
        self.sequences: list[_Sequence] = []
        self.cache: Any = None
        self.filled = torch.zeros(0, 0, dtype=torch.bool)  # [B, S]: slots that hold a token of the sequence

    def admit(self, newcomers: list[_Sequence]) -> None:
        """Read the newcomers' prompts, note the first token of each, and put them beside the others."""
        device = self.model.device
        longest = max(len(sequence.prompt) for sequence in newcomers)
        ids = torch.tensor([s.prompt + [self.pad_id] * (longest - len(s.prompt)) for s in newcomers], device=device)
        lengths = torch.tensor([len(s.prompt) for s in newcomers], device=device)
        cache = self.prefix.new_cache(len(newcomers))
        place = torch.arange(longest, device=device)
        filled = torch.nn.functional.pad(place < lengths[:, None], (self.prefix.slots, 0), value=True)
        self._step(newcomers, ids, (self.prefix.length + place).expand_as(ids), filled, cache, lengths - 1)
        self.cache, self.filled = _beside(self.cache, self.filled, cache, filled)
        self.sequences += newcomers

    def decode(self) -> None:
        """One more token for each sequence."""
        device = self.model.device
        ids = torch.tensor([[sequence.made[-1]] for sequence in self.sequences], device=device)
        positions = self.prefix.length - self.prefix.slots + self.filled.sum(dim=1, keepdim=True)
        self.filled = torch.nn.functional.pad(self.filled, (0, 1), value=True)
        last = torch.zeros(len(self.sequences), dtype=torch.long, device=device)
        self._step(self.sequences, ids, positions, self.filled, self.cache, last)

    def dismiss(self, finished: set[int]) -> None:
        """Take sequences out of the batch, and with them the slots that no other one uses."""
        staying = [i for i, sequence in enumerate(self.sequences) if sequence.index not in finished]
        self.sequences = [self.sequences[i] for i in staying]
        rows = torch.tensor(staying, dtype=torch.long, device=self.filled.device)
        self.filled = self.filled[rows]
        if not staying:
            self.cache, self.filled = None, self.filled[:, :0]
            return
        used = self.filled.any(dim=0).nonzero()[:, 0]
        self.filled = self.filled[:, used]
        self.cache = growing_cache([(k[rows][:, :, used], v[rows][:, :, used]) for k, v in layers_of(self.cache)])

    def _step(self, sequences: list[_Sequence], ids: Any, positions: Any, filled: Any, cache: Any, last: Any) -> None:
        rows = torch.arange(len(sequences), device=ids.device)
        with only_at(self.model, rows, last):
            logits = self.model(
                input_ids=ids,
                attention_mask=filled.long(),
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                **self.prefix.options,
            ).logits[0]
        for sequence, token in zip(sequences, logits.argmax(dim=-1).tolist(), strict=True):
            sequence.made.append(token)


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    max_new_tokens: int,
    stop: Sequence[str] = (),
    slots: int = SLOTS,
    advance: Callable[[int], None] = lambda items: None,
) -> list[Generation]:
    """Continue every prompt greedily, in the order given.

    A prompt that leaves no room for `max_new_tokens` in the model's context loses tokens on the left.

    Args:
        stop: strings that end an answer (left out of its text); end of sequence always does.
        slots: sequences decoded together.
        advance: called with the number of answers just finished.
    """
    whole = [encode(tokenizer, prompt) for prompt in prompts]
    room = (context_length(model) or 0) - max_new_tokens
    encoded = [ids[-room:] if room > 0 else ids for ids in whole]
    shared = _shared_prefix(encoded)
    waiting = sorted(
        (_Sequence(i, ids[shared:]) for i, ids in enumerate(encoded)),
        key=lambda s: len(s.prompt),
        reverse=True,
    )
    ends = _end_tokens(model, tokenizer)
    answers: dict[int, Generation] = {}
    with without_graph(model):
        batch = _Batch(model, Prefix(model, encoded[0][:shared]), tokenizer.pad_token_id)
        while waiting or batch.sequences:
            room = slots - len(batch.sequences)
            if waiting and room >= min(len(waiting), max(1, slots // 4)):
                batch.admit(waiting[:room])
                del waiting[:room]
            else:
                batch.decode()
            finished = {}
            for sequence in batch.sequences:
                answer = _finished(sequence, tokenizer, ends, stop, max_new_tokens)
                if answer is not None:
                    finished[sequence.index] = answer
            if finished:
                answers |= finished
                batch.dismiss(set(finished))
                advance(len(finished))
    cut = [len(ids) < len(all_ids) for ids, all_ids in zip(encoded, whole, strict=True)]
    return [replace(answers[i], truncated=cut[i]) for i in range(len(prompts))]


def _finished(sequence: _Sequence, tokenizer: Any, ends: set[int], stop: Sequence[str], most: int) -> Generation | None:
    made = sequence.made
    ended = made[-1] in ends
    text = tokenizer.decode(made[:-1] if ended else made, skip_special_tokens=True)
    cut = min((at for word in stop if (at := text.find(word)) >= 0), default=-1)
    if cut >= 0:
        return Generation(text[:cut], len(made), False)
    if ended or len(made) >= most:
        return Generation(text, len(made), not ended)
    return None


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    named = model.generation_config.eos_token_id
    ends = set(named if isinstance(named, list) else [named]) | {tokenizer.eos_token_id}
    return {token for token in ends if token is not None}


def _shared_prefix(encoded: list[list[int]]) -> int:
    """Tokens that all prompts begin with, leaving each at least one of its own."""
    shared = common_prefix(encoded, min(len(ids) for ids in encoded) - 1)
    return shared if len(encoded) > 1 and shared >= SHORTEST_PREFIX else 0


def _beside(cache: Any, filled: torch.Tensor, other: Any, other_filled: torch.Tensor) -> tuple[Any, torch.Tensor]:
    """Two batches as one: the one with fewer slots gets empty ones on the right."""
    if cache is None:
        return other, other_filled
    slots = max(filled.shape[1], other_filled.shape[1])

    def wide(states: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(states, (0, 0, 0, slots - states.shape[2]))

    joined = [
        (torch.cat([wide(k), wide(other_k)]), torch.cat([wide(v), wide(other_v)]))
        for (k, v), (other_k, other_v) in zip(layers_of(cache), layers_of(other), strict=True)
    ]
    both = [torch.nn.functional.pad(part, (0, slots - part.shape[1])) for part in (filled, other_filled)]
    return growing_cache(joined), torch.cat(both)
