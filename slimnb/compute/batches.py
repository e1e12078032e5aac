"""Sequences in batches of similar length, no larger than memory allows. Shared by scoring and training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import torch

from slimnb.compute.budgets import MOST_TOKENS, MOST_WORKERS
from slimnb.compute.sharding import is_sharded
from slimnb.machine.processes import Processes
from slimnb.machine.progress import console

MOST_PADDING = 0.05
"""Share of padding at which a batch that is at least half full takes no shorter sequence."""
SHARE_OF_FREE_MEMORY = 0.5
"""What a batch may take of the memory that is free."""


def by_length(lengths: list[int], budget: int) -> Iterator[list[int]]:
    """Indices in batches of similar length, longest first, each of at most `budget` tokens after padding.

    A single sequence longer than the budget makes a batch of its own.
    """
    batch: list[int] = []
    held = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        size = (len(batch) + 1) * lengths[batch[0]] if batch else 0
        if size > budget or (2 * size > budget and held + lengths[i] < (1 - MOST_PADDING) * size):
            yield batch
            batch, held = [], 0
        batch.append(i)
        held += lengths[i]
    if batch:
        yield batch


def in_batches(lengths: list[int], budget: int, work: Callable[[list[int]], None], workers: int = 1) -> None:
    """Call `work` with the indices of each batch; where memory runs out, go on with the batch's halves.

    Args:
        workers: threads that work on a batch each, with their part of torch's own threads. Two of them on a core each
            are faster than one on two: most operations on a small batch are too short to be shared.

    Raises:
        Whatever `work` raises, out-of-memory included where a batch of one does not fit.
    """

    def attempt(batch: list[int]) -> None:
        try:
            work(batch)
        except (MemoryError, RuntimeError) as error:
            if len(batch) == 1 or not is_out_of_memory(error):
                raise
            half = len(batch) // 2
            console.print(f"out of memory: going on with {half} sequences at once")
            attempt(batch[:half])
            attempt(batch[half:])

    batches = list(by_length(lengths, budget))
    threads = torch.get_num_threads()
    if workers == 1 or len(batches) == 1:
        for batch in batches:
            attempt(batch)
        return
    part = max(1, threads // workers)
    try:
        torch.set_num_threads(part)
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(part,)) as pool:
            for _ in pool.map(attempt, batches):
                pass
    finally:
        torch.set_num_threads(threads)


def worker_count(model: Any) -> int:
    """Threads for `in_batches`: one on a GPU, whose operations are queued anyway, and where processes keep in step."""
    alone = model.device.type == "cpu" and not is_sharded(model)
    return min(MOST_WORKERS, torch.get_num_threads()) if alone else 1


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA has an exception of its own; PyTorch's CPU allocator raises a RuntimeError that says so."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def find_budget(model: Any) -> int:
    """Tokens in a batch of inference: as many as speed asks for, if the free memory holds them.

    Counted for each token: about twenty hidden vectors of activations. Logits exist for a chunk of tokens only.
    """
    config = model.config.get_text_config(decoder=True)
    a_token = 20 * config.hidden_size * torch.finfo(model.dtype).bits // 8
    cuda = model.device.type == "cuda"
    free = torch.cuda.mem_get_info()[0] if cuda else psutil.virtual_memory().available
    budget = max(1, min(MOST_TOKENS["cuda" if cuda else "cpu"], int(SHARE_OF_FREE_MEMORY * free / a_token)))
    return Processes().first(budget) if is_sharded(model) else budget
