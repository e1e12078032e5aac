"""Where a training stands, kept on disk so that a killed run goes on from there.

CHECKPOINTS/step-000120/
  tensors.safetensors   trainable parameters, the optimizer's moments, each process's random state
  progress.json         the step and the totals so far

A checkpoint is a directory that is moved into place when it is whole; older ones are removed after that. Safetensors
and JSON only: accelerate's own save_state pickles, and a directory from a stranger must be safe to open.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from slimnb.compute.sharding import like, whole
from slimnb.errors import SlimnbError
from slimnb.io.documents import read_json
from slimnb.io.files import atomic_path, remove
from slimnb.machine.processes import Processes
from slimnb.machine.progress import console

TENSORS, PROGRESS = "tensors.safetensors", "progress.json"


@dataclass
class Progress:
    """How far a training has come. Grows by one step at a time."""

    step: int = 0
    examples: int = 0
    tokens: int = 0
    label_tokens: int = 0
    seconds: float = 0.0
    """Spent training, over all attempts."""
    peak_bytes: int = 0
    """The highest of the attempts before this one."""
    best_loss: float | None = None
    """Lowest validation loss."""
    since_best: int = 0
    """Measurements of the validation loss since then."""
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    """The trainable parameters at that point, where they are to be kept."""


class Checkpoints:
    """The checkpoints of one training. One process writes, all read."""

    def __init__(
        self,
        directory: Path,
        every_steps: int | None = None,
        every_minutes: float | None = 5.0,
    ):
        """
        Args:
            every_steps, every_minutes: whichever comes first; None for neither.
        """
        self.directory = directory
        self.every_steps = every_steps
        self.every_seconds = None if every_minutes is None else 60 * every_minutes
        self._saved_at = time.monotonic()

    def due(self, step: int) -> bool:
        by_time = self.every_seconds is not None and time.monotonic() - self._saved_at >= self.every_seconds
        return by_time or (self.every_steps is not None and step % self.every_steps == 0)

    def save(self, model: Any, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Keep this state and forget older ones.

        Raises:
            SlimnbError: the place cannot be written; older checkpoints stay.
        """
        processes = Processes()
        random_states = gather_object([torch.get_rng_state()])
        self._saved_at = time.monotonic()

        def kept(tensor: torch.Tensor) -> torch.Tensor:
            """In one piece, which all processes put together and one keeps."""
            together = whole(tensor.detach())
            return together.cpu() if processes.is_main else together.new_empty(0)

        tensors = {f"model.{name}": kept(parameter) for name, parameter in trainable(model)}
        tensors |= {f"best.{name}": tensor for name, tensor in progress.best.items()}
        tensors |= {f"random.{i}": state for i, state in enumerate(random_states)}
        numbers: dict[str, float] = {}
        for index, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"optimizer.{index}.{name}"] = kept(value)
                else:
                    numbers[f"{index}.{name}"] = value
        if not processes.is_main:
            return
        simple = {one.name: getattr(progress, one.name) for one in fields(progress) if one.name != "best"}
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        place = self.directory / f"step-{progress.step:06d}"
        with atomic_path(place) as temporary:
            temporary.mkdir()
            try:
                save_file({k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}, temporary / TENSORS)
            except SafetensorError as error:  # a full disk, for one: no OSError
                raise SlimnbError(f"{place}: cannot be written ({error})") from error
            document = {"progress": simple, "optimizer": numbers}
            (temporary / PROGRESS).write_text(json.dumps(document, indent=2), encoding="utf-8")
        for older in self.directory.glob("step-*"):
            if older != place:
                remove(older)

    def load(self, model: Any, optimizer: torch.optim.Optimizer) -> Progress:
        """Put model, optimizer and random states back to the newest checkpoint; a new Progress where there is none.

        Raises:
            SlimnbError: a checkpoint is damaged.
        """
        places = sorted(self.directory.glob("step-*"))
        if not places:
            return Progress()
        place = places[-1]
        document = read_json(place / PROGRESS)
        try:
            tensors = load_file(place / TENSORS)
            _restore(model, optimizer, tensors, document["optimizer"])
            best = {name[5:]: tensor for name, tensor in tensors.items() if name.startswith("best.")}
            progress = Progress(**document["progress"], best=best)
        except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise SlimnbError(f"{place}: a damaged checkpoint ({error}). Remove it to train anew") from error
        console.print(f"going on from step {progress.step}", highlight=False)
        return progress

    def clear(self) -> None:
        """Remove all: the training is complete and saved."""
        if Processes().is_main:
            shutil.rmtree(self.directory, ignore_errors=True)


def trainable(model: Any) -> list[tuple[str, torch.nn.Parameter]]:
    """Names and parameters that require a gradient; tied ones once."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def _restore(model: Any, optimizer: Any, tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> None:
    named = trainable(model)
    with torch.no_grad():
        for name, parameter in named:
            parameter.copy_(like(tensors[f"model.{name}"], parameter))
    state: dict[int, dict[str, Any]] = {}
    for name, value in [*tensors.items(), *((f"optimizer.{key}", number) for key, number in numbers.items())]:
        kind, _, rest = name.partition(".")
        if kind == "optimizer":
            index, _, part = rest.partition(".")
            _, parameter = named[int(index)]
            moment = isinstance(value, torch.Tensor) and value.shape == parameter.shape
            state.setdefault(int(index), {})[part] = like(value, parameter) if moment else value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    own = tensors.get(f"random.{Processes().index}")
    if own is not None:
        torch.set_rng_state(own)
    if torch.cuda.is_available() and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"])
