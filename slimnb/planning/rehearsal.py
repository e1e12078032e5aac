"""What one micro-batch of training holds in memory, found by rehearsing it on tensors that have no memory.

There is no formula of activations here: the model's own forward and backward pass run, with PEFT's adapters and
slimnb's attention and output head, and every storage that comes and goes is counted. What autograd keeps, what a
layer's backward pass needs at once and what checkpointing saves are then those of the code that will run. A model of
few layers is rehearsed, and each quantity, which grows by the same bytes with every further layer, is carried on.
(tests/test_memory.py derives the bytes of a Llama layer by hand and finds the same number.)
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from slimnb.compute import attention, head
from slimnb.compute.budgets import CHUNK
from slimnb.compute.packing import Batch
from slimnb.config import Lora, Method
from slimnb.errors import SlimnbError
from slimnb.machine.collector import paused
from slimnb.models.load import LoadedModel, add_lora
from slimnb.planning.architecture import Architecture, build
from slimnb.planning.replay import COPY, GRADIENT, MARK, PLAIN, Log, Rehearsal, carried_on, replay


@lru_cache(maxsize=256)
def rehearse(
    architecture: Architecture,
    method: Method,
    rows: int,
    length: int,
    *,
    rank: int = 16,
    checkpointing: bool = False,
    accumulating: bool = False,
    device: str = "cpu",
) -> Rehearsal:
    """One micro-batch of `rows` rows of `length` tokens, every token but the first a label.

    Args:
        accumulating: the gradients of an earlier micro-batch are there already.
        device: whose attention and softmax are used; autocast is the CPU's in any case.

    Raises:
        SlimnbError: the architecture does something that cannot be rehearsed.
    """

    def with_layers(count: int) -> Rehearsal:
        log = rehearsed(architecture, count, method, rows, length, rank, checkpointing, device)
        return replay(log, method != "base", accumulating)

    # The last layers of three periods have behind and before them what those of the whole model have.
    shallow, deep = 2 * architecture.period, 3 * architecture.period
    if architecture.layers <= deep:
        return with_layers(architecture.layers)
    further = (architecture.layers - deep) / architecture.period
    return carried_on(with_layers(shallow), with_layers(deep), further)


def rehearsed(
    architecture: Architecture, layers: int, method: Method, rows: int, length: int, rank: int, checkpointing: bool,
    device: str,
) -> Log:  # fmt: skip
    """The log of one micro-batch of the architecture with `layers` layers; see `rehearse`."""
    model = build(architecture.config, layers, "float32" if method == "full" else "bfloat16")
    model._slimnb_after_head = lambda logits: logits  # which cannot be found out without weights
    if device == "cpu" and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(attention.NAME)
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")  # that peft sets an option by itself, or transformers' new name for one
        if method == "qlora":
            _pack(model, {matrix.name for matrix in architecture.matrices if matrix.quantized})
        if method in ("lora", "qlora"):
            model = add_lora(LoadedModel(model, None, architecture.name, ""), Lora(rank=rank), 0).model
        else:
            model.requires_grad_(method == "full")
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False, "preserve_rng_state": False})
    try:
        # What hangs in a cycle stays, as it does in a run until Python happens to look for cycles.
        with FakeTensorMode(allow_non_fake_inputs=True), _never_packed(), _softmax_rows_of(device), paused():
            # Seemingly on a CPU, whose autocast and attention PyTorch then uses.
            model.to_empty(device="cpu")
            model.tie_weights()
            batch = _batch(rows, length - 1)
            return _read(model, batch) if method == "base" else _step(model, batch, layers)
    except (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError) as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
        raise SlimnbError(
            f"{architecture.name}: the memory of a {architecture.config.model_type} model cannot be predicted, because "
            f"a step of it cannot be rehearsed without its weights ({reason})"
        ) from error


def _read(model: Any, batch: Batch) -> Log:
    """Scoring, in which nothing is kept for a backward pass."""
    model.eval()
    with torch.no_grad(), Storages(model) as storages:
        states = head.predicting_states(model, batch)
        storages.mark()
        head.log_likelihoods(model, states, batch.targets)
        storages.mark()
    return storages.log


def _step(model: Any, batch: Batch, layers: int) -> Log:
    """Forward and backward, as slimnb.training.loop does them in bfloat16."""
    from peft.helpers import disable_input_dtype_casting

    model.train()
    last = next(part for part in model.modules() if isinstance(part, torch.nn.ModuleList) and len(part) == layers)[-1]
    with Storages(model) as storages:

        def mark_backward(_: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
            states = args[0] if args else named["hidden_states"]
            if states.requires_grad:  # not those that a model of one layer gets from frozen embeddings
                states.register_hook(storages.mark)

        hook = last.register_forward_pre_hook(mark_backward, with_kwargs=True)
        with torch.autocast("cpu", torch.bfloat16), disable_input_dtype_casting(model):
            states = head.predicting_states(model, batch)
            hook.remove()
            storages.mark()
            states.register_hook(storages.mark)
            head.backward_cross_entropy(model, states, batch.targets, 1)
        storages.mark()
        storages.name_gradients(model)
    return storages.log


class Storages(TorchDispatchMode):
    """Logs the storages that the operations in its block make and give back, a model's own left out."""

    def __init__(self, model: Any):
        super().__init__()
        self.log = Log()
        self._places: dict[int, int] = {}
        self._parameters = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
        self._own = self._parameters | {buffer.untyped_storage()._cdata for buffer in model.buffers()}

    def mark(self, _: Any = None) -> None:
        self.log.events.append(MARK)

    def name_gradients(self, model: Any) -> None:
        for parameter in model.parameters():
            if parameter.grad is not None:
                self.log.kinds[self._places[parameter.grad.untyped_storage()._cdata] - 1] = GRADIENT

    def _count(self, tensor: torch.Tensor) -> bool:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._own or key in self._places:
            return False
        self.log.sizes.append(storage.nbytes())
        self.log.kinds.append(PLAIN)
        self._places[key] = len(self.log.sizes)
        self.log.events.append(self._places[key])
        weakref.finalize(storage, self._forget, key).atexit = False
        return True

    def _forget(self, key: int) -> None:
        self.log.events.append(-self._places.pop(key))

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.ops.aten._local_scalar_dense.default and isinstance(args[0], FakeTensor):
            return 0  # somebody asks for a value, and there is none: a loss, or whether a row is packed
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and self._count(tensor):
                copied = function is torch.ops.aten._to_copy.default
                if copied and args[0].untyped_storage()._cdata in self._parameters:
                    self.log.kinds[-1] = COPY
        return result


class _Unpacked(torch.autograd.Function):
    """What bitsandbytes does with a 4-bit matrix: it is unpacked for each use and kept by nobody."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.packed = packed
        return torch.nn.functional.linear(states, torch.empty_like(packed, dtype=states.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return gradients[0] @ torch.empty_like(ctx.packed, dtype=gradients[0].dtype), None, None


class _PackedLinear(torch.nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        found: Any = _Unpacked.apply(input.to(torch.bfloat16), self.weight, self.bias)
        return found


def _pack(model: Any, names: set[str]) -> None:
    """Replace linear layers by such as compute like bitsandbytes', which PEFT adapts as it does plain ones."""
    for name, module in list(model.named_modules()):
        if name in names:
            outputs, inputs = module.weight.shape if isinstance(module, torch.nn.Linear) else module.weight.shape[::-1]
            packed = _PackedLinear(inputs, outputs, bias=module.bias is not None, dtype=torch.bfloat16)
            model.set_submodule(name, packed)


def _batch(rows: int, length: int) -> Batch:
    """Plain causal rows; of targets only as many as two chunks of the output head, which is what exists at once."""
    count = min(rows * length, 2 * CHUNK)
    ids = torch.zeros(rows, length, dtype=torch.int64)
    places = torch.zeros(count, dtype=torch.int64)
    return Batch(ids, ids.clone(), ids.clone(), places, places.clone(), places.clone())


@contextmanager
def _never_packed() -> Iterator[None]:
    """transformers takes a row without values for one of several texts, and would make a mask that no run has."""
    from transformers import masking_utils

    real = masking_utils.find_packed_sequence_indices
    masking_utils.find_packed_sequence_indices = lambda position_ids: None
    try:
        yield
    finally:
        masking_utils.find_packed_sequence_indices = real


@contextmanager
def _softmax_rows_of(device: str) -> Iterator[None]:
    """Let the output head, which sees tensors of a CPU, normalize as many rows at once as on the device."""
    real = head.SOFTMAX_ROWS
    head.SOFTMAX_ROWS = {"cpu": real[device]}
    try:
        yield
    finally:
        head.SOFTMAX_ROWS = real
