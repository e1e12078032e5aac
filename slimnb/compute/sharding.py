"""A model's weights split over the processes (PyTorch's FSDP2), for a model that one GPU does not hold.

Switched on by accelerate: `accelerate launch --config_file data/accelerate/fsdp.yaml -m slimnb run ...`.
What is trained of LoRA is small and stays whole on each process; only the frozen weights are split. All processes then
run each layer at the same moment, because each holds a part of it: in training they compute equally many micro-batches,
and in scoring every one asks every question.
"""

from __future__ import annotations

import os
from typing import Any

import torch

from slimnb.errors import SlimnbError
from slimnb.machine.processes import Processes


def sharding_wanted() -> bool:
    """Whether accelerate was told to use FSDP, and there are several processes."""
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("true", "1") and Processes().count > 1


def refuse_sharding() -> None:
    """For weights in 4 bits, whose packed form cannot be split.

    Raises:
        SlimnbError: sharding is wanted.
    """
    if sharding_wanted():
        raise SlimnbError("4-bit weights cannot be split over processes: launch without FSDP, each holds them whole")


def is_sharded(model: Any) -> bool:
    return getattr(model, "_slimnb_sharded", False)


def shard(model: Any) -> None:
    """Split, in place, each layer's weights over the processes. Loaded on the CPU, a layer at a time reaches the GPU.

    Adapters are not split: their gradients are summed as without sharding.

    Raises:
        SlimnbError: the layers cannot be told.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    layers = _layers(model)
    adapters = {p for name, p in model.named_parameters() if "lora_" in name}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for adapter in adapters:
        adapter.data = adapter.data.to(device)
    mesh = init_device_mesh(device, (Processes().count,))
    for part in (*layers, model):
        fully_shard(part, mesh=mesh, ignored_params=adapters)
        part.set_gradient_divide_factor(1.0)  # the loss is already divided by the whole step's labels
        part.set_force_sum_reduction_for_comms(True)  # gloo knows no other
    model._slimnb_sharded = True


def let_go(model: Any) -> None:
    """Forget the others' parts, which a forward pass without a backward one leaves here.

    Else what one process does next, saving say, would make it fetch them again, and wait for others that do not.
    """
    if is_sharded(model):
        from torch.distributed.fsdp import FSDPModule

        for part in model.modules():
            if isinstance(part, FSDPModule):
                part.reshard()


def without_graph(model: Any) -> Any:
    """A context, or a decorator, in which nothing is kept for a backward pass; each thread must enter its own."""
    return torch.no_grad() if is_sharded(model) else torch.inference_mode()  # which FSDP does not bear


def is_split(tensor: torch.Tensor) -> bool:
    """Whether this process holds a part of the tensor only."""
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor in one piece on this process; all processes must ask for it together where it is split."""
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_weights(model: Any, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """All weights by name, tied ones once, in one piece and on the CPU of the main process; nothing on the others."""
    kept: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            together = whole(tensor.detach())
            if Processes().is_main:
                kept[name] = together.to("cpu", dtype)
    return kept


def like(tensor: torch.Tensor, pattern: torch.Tensor) -> torch.Tensor:
    """A whole tensor split as another is; as it is where that is whole."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(pattern, DTensor):
        return tensor
    return distribute_tensor(tensor.to(pattern.device), pattern.device_mesh, pattern.placements)


def _layers(model: Any) -> list[Any]:
    count = model.config.get_text_config(decoder=True).num_hidden_layers
    for part in model.modules():
        if isinstance(part, torch.nn.ModuleList) and len(part) == count:
            return list(part)
    raise SlimnbError(f"{type(model).__name__}: its layers are in no list of {count}, so it cannot be split")
