"""The processes that `accelerate launch` started, or the one there is. Each computes a share, one writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import gather_object

T = TypeVar("T")


class Processes:
    """Who this process is among how many. Any number of these describe the same group.

    Args:
        in_step: share nothing: each process does the whole, at the same moment (slimnb.compute.sharding).
    """

    def __init__(self, in_step: bool = False) -> None:
        state = PartialState(cpu=not torch.cuda.is_available())
        self.count: int = 1 if in_step else state.num_processes
        self.index: int = 0 if in_step else state.process_index
        self.is_main: bool = state.is_main_process
        self.wait: Callable[[], None] = state.wait_for_everyone

    def share(self, whole: Sequence[T]) -> list[T]:
        """Every count-th of a sequence, from this process's index on."""
        return list(whole[self.index :: self.count])

    def collect(self, share: list[T]) -> list[T]:
        """All processes' shares in the order of the whole, on each process."""
        if self.count == 1:
            return share
        numbered = [(self.index + i * self.count, one) for i, one in enumerate(share)]
        return [one for _, one in sorted(gather_object(numbered), key=lambda pair: pair[0])]

    def add_up(self, parameters: list[torch.nn.Parameter]) -> None:
        """Replace each gradient by its sum over the processes."""
        if self.count == 1 or not parameters:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        together = torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None])
        torch.distributed.all_reduce(together)
        for parameter, part in zip(parameters, together.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter).clone()

    def total(self, number: float) -> float:
        """A number's sum over the processes."""
        if self.count == 1:
            return number
        tensor = torch.tensor(number, dtype=torch.float64, device=PartialState().device)
        torch.distributed.all_reduce(tensor)
        return float(tensor)

    def first(self, value: T) -> T:
        """The main process's value, on each process."""
        if self.count == 1:
            return value
        held: list[Any] = [value]
        torch.distributed.broadcast_object_list(held)
        return held[0]
