"""A study's runs as tasks of a Ray cluster: Ray finds the machines and starts a task again whose worker is lost.

Every node needs slimnb installed and the same shared directory of runs. A task that is started again takes up the
run's folder where it stood.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any, Self

from slimnb.config import RunConfig
from slimnb.errors import SlimnbError
from slimnb.machine.environment import JOBS
from slimnb.machine.progress import console
from slimnb.study.state import look
from slimnb.study.work import STOP_SECONDS, Outcome, Task, carry_out, note_out_of_memory

CONNECT_SECONDS = 10.0
RETRIES = 5
"""How often Ray starts a run again whose worker or machine is lost."""


class Ray:
    """The cluster that RAY_ADDRESS names, or that runs on this machine, or else one of this machine alone.

    Args:
        cpus, gpus: what each run is given; None takes one GPU where the cluster has any.
        memory: bytes that a run needs, which Ray keeps free for it; None where that is not known.

    Raises:
        SlimnbError: ray is not installed, or no cluster can be reached.
    """

    def __init__(
        self,
        cpus: float = 1,
        gpus: float | None = None,
        memory: Callable[[RunConfig], int | None] = lambda config: None,
    ):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anyone
        try:
            self._ray: Any = import_module("ray")
        except ImportError as error:
            raise SlimnbError("--executor ray needs Ray, which is not here: pip install 'slimnb[cluster]'") from error
        ray = self._ray
        self._ours = not ray.is_initialized()
        if self._ours:
            address = os.environ.get("RAY_ADDRESS", "")
            host, _, port = address.rpartition(":")
            try:
                if port.isdigit() and "//" not in host:  # Ray itself asks a host that is not there for minutes
                    socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
                ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
            except Exception as error:  # of many kinds
                raise SlimnbError(f"no Ray cluster at {address or 'this machine'}: {error}") from error
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        has_gpus = any(node.get("GPU") for node in nodes)
        self._cpus, self._gpus = cpus, (float(has_gpus) if gpus is None else gpus)
        self._memory = memory
        self._nodes = nodes
        self._tasks: dict[Any, Task] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for ref in self._tasks:
            self._ray.cancel(ref)  # a KeyboardInterrupt in carry_out, which ends its process
        if self._tasks:
            self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=STOP_SECONDS)
        if self._ours:
            self._ray.shutdown()

    def submit(self, task: Task) -> None:
        needs = {"CPU": self._cpus, "GPU": self._gpus, "memory": float(self._memory(task.config) or 0)}
        at_once = [self._fit(node, needs) for node in self._nodes]
        if not any(at_once):
            wanted = ", ".join(f"{name} {amount:g}" for name, amount in needs.items() if amount)
            console.print(
                f"{task.config.run_id}: no node of the cluster has {wanted} (memory in bytes), so it waits for one; "
                "--cpus, --gpus and --memory change what a run is given",
                markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip
        task = replace(task, environment=task.environment | {JOBS: str(max(at_once, default=1) or 1)})
        remote = self._ray.remote(carry_out).options(
            name=task.config.run_id, num_cpus=needs["CPU"], num_gpus=needs["GPU"], memory=needs["memory"] or None,
            max_retries=RETRIES,
        )  # fmt: skip
        self._tasks[remote.remote(task)] = task

    @property
    def busy(self) -> bool:
        return bool(self._tasks)

    def ended(self, seconds: float) -> list[Outcome]:
        """The runs that ended since the last call; waits for one at most so long."""
        done, _ = self._ray.wait(list(self._tasks), timeout=seconds)
        return [self._outcome(ref, self._tasks.pop(ref)) for ref in done]

    def _outcome(self, ref: Any, task: Task) -> Outcome:
        try:
            return self._ray.get(ref)
        except self._ray.exceptions.OutOfMemoryError:
            return Outcome(note_out_of_memory(look(task.config, task.path), "Ray"))
        except self._ray.exceptions.RayError as error:
            return Outcome(replace(look(task.config, task.path), error=reason_of(error)))

    @staticmethod
    def _fit(node: dict[str, float], needs: dict[str, float]) -> int:
        """How many runs a node can hold at once."""
        return int(min(node.get(name, 0) // amount for name, amount in needs.items() if amount))


def reason_of(error: Exception) -> str:
    """One line of an error of Ray's: the last, for one of a task's begins with where it was and its traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
