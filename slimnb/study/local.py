"""A study's runs on this machine, so many at once."""

from __future__ import annotations

import os
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from queue import SimpleQueue
from typing import Self

import psutil

from slimnb.machine.environment import JOBS
from slimnb.study.work import Outcome, Task, carry_out

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


class Local:
    """Processes of this machine. The cores are shared out among them, and the GPUs of CUDA_VISIBLE_DEVICES in turn.

    Leaving the block tells what still runs to stop, and waits for it.
    """

    def __init__(self, jobs: int = 1):
        self._shares: SimpleQueue[dict[str, str]] = SimpleQueue()
        for share in shares(jobs):
            self._shares.put(share)
        self._pool = ThreadPoolExecutor(jobs)
        self._stop = threading.Event()
        self._running: set[Future[Outcome]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def submit(self, task: Task) -> None:
        self._running.add(self._pool.submit(self._carry_out, task))

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def ended(self, seconds: float) -> list[Outcome]:
        """The runs that ended since the last call; waits for one at most so long."""
        done, self._running = wait(self._running, seconds, FIRST_COMPLETED)
        return [future.result() for future in done]

    def _carry_out(self, task: Task) -> Outcome:
        share = self._shares.get()
        try:
            return carry_out(replace(task, environment=task.environment | share), self._stop.is_set)
        finally:
            self._shares.put(share)


def shares(jobs: int) -> list[dict[str, str]]:
    """What each of so many processes is given of the machine, as environment variables. Those a person set stay."""
    if jobs == 1:
        return [{JOBS: "1"}]
    threads = {name: str(max(1, _cores() // jobs)) for name in _THREADS if name not in os.environ}
    gpus = [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]
    return [
        {JOBS: str(jobs), **threads, **({"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} if gpus else {})}
        for i in range(jobs)
    ]


def _cores() -> int:
    """Cores that this process may use; two threads of one core compute no faster than one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, psutil.cpu_count(logical=False) or allowed)
