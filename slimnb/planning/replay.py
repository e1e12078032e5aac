"""A log of the tensors that a micro-batch makes and gives back, played again: what there was, and when. Needs no torch.

The log comes from a rehearsal (slimnb.planning.rehearsal), or from a recorded one with sizes of another model put in
(slimnb.planning.formulas).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field

PLAIN, COPY, GRADIENT = range(3)
"""What a tensor is: a bfloat16 copy of a parameter, a parameter's gradient, or anything else."""
MARK = 0
"""An event: a phase ends. Of training: the forward pass, the output head, the backward pass through the last layers,
and the rest of it. Of scoring: the layers, the output head."""


@dataclass
class Log:
    sizes: list[int] = field(default_factory=list)
    """Bytes of each tensor, in the order in which they are made."""
    kinds: list[int] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    """k for the k-th tensor made (from 1), -k where it is given back, MARK."""


@dataclass(frozen=True)
class Rehearsal:
    """Bytes beside the weights and the optimizer's state."""

    kept: int
    """What the forward pass leaves for the backward pass, and the weights' copies."""
    copies: int
    """Of `kept`: bfloat16 copies of float32 parameters, which autocast keeps for the micro-batch."""
    at_head: int
    """The most there is until the gradient of the hidden states is known: the logits' time."""
    first: int
    """The most there is in the backward pass through the last layers, where nothing has been given back yet."""
    rest: int
    """The most there is later in the backward pass, where gradients have taken the activations' place."""
    first_gradients: int
    """Of `first`: gradients of parameters."""


def replay(log: Log, training: bool, accumulating: bool) -> Rehearsal:
    """Play a log of training or of scoring.

    Args:
        accumulating: the gradients of an earlier micro-batch are there already, and new ones are added to them at once.
    """
    sizes, kinds = log.sizes, log.kinds
    gradients = sum(size for size, kind in zip(sizes, kinds, strict=True) if kind == GRADIENT) if accumulating else 0
    now = most = gradients
    at_most = gradients
    copies = 0
    phases: list[tuple[int, int, int, int]] = []
    for event in log.events:
        place = abs(event) - 1
        if event > 0:
            now += sizes[place]
            if now > most:
                most, at_most = now, gradients
            copies += sizes[place] * (kinds[place] == COPY)
            if kinds[place] == GRADIENT:
                gradients, now = (gradients, now - sizes[place]) if accumulating else (gradients + sizes[place], now)
        elif event < 0:
            now -= 0 if accumulating and kinds[place] == GRADIENT else sizes[place]
        else:
            phases.append((most, at_most, now, copies))
            most, at_most = now, gradients
    if not training:
        (first, _, kept, _), (head, *_) = phases
        return Rehearsal(kept, 0, head, first, 0, 0)
    forward, head, last, rest = phases[0], phases[1], phases[2], phases[-1]
    return Rehearsal(forward[2], forward[3], max(forward[0], head[0]), last[0], rest[0], last[1])


def carried_on(less: Rehearsal, more: Rehearsal, periods: float) -> Rehearsal:
    """What `periods` further periods of layers give, where `more` has one more than `less`: each adds the same."""
    pairs: Sequence[tuple[int, int]] = list(zip(astuple(less), astuple(more), strict=True))
    return Rehearsal(*(round(b + periods * (b - a)) for a, b in pairs))
