"""A run's folder -> what it changed, one matrix at a time, so that memory is one matrix's and not the model's."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from slimnb.anatomy.spectrum import Svd, svd, svd_of_product
from slimnb.errors import SlimnbError
from slimnb.io.documents import read_json
from slimnb.models.load import get_model, weights_sha256
from slimnb.models.weights import Weights
from slimnb.store.runs import RunFolder

ADAPTER_KEY = re.compile(r"base_model\.model\.(.+)\.lora_(?:embedding_)?A(?:\.weight)?")
LAYER = re.compile(r"\.(\d+)\.")


@dataclass(frozen=True)
class Update:
    """One matrix before training and what training added to it."""

    name: str
    weight: Tensor
    """W, (out, in), float32, rounded to the precision that the run loaded it in. A qlora run trained beside W in 4
    bits; here W is the 16-bit weight all the same, so that all methods are measured against one."""
    factors: tuple[Tensor, ...]
    """(B, A), float64, (out, r) and (r, in), with dW = B A, the scale in B; or (dW,), float32, where dW is not of low
    rank: full fine-tuning, and DoRA (arXiv 2402.09353), which also rescales the rows of W + B A."""

    @property
    def layer(self) -> int:
        return layer_of(self.name)

    @property
    def kind(self) -> str:
        return self.name.rpartition(".")[2]

    def svd(self) -> Svd:
        """dW's decomposition; an adapter's without forming dW."""
        return svd_of_product(*self.factors) if len(self.factors) == 2 else svd(*self.factors)

    def dense(self) -> Tensor:
        """dW, (out, in), float32."""
        return (self.factors[0] @ self.factors[1] if len(self.factors) == 2 else self.factors[0]).float()


@dataclass(frozen=True)
class Adapter:
    """An adapter's form as PEFT applies it. One that began with PiSSA is saved with twice its rank and alpha."""

    rank: int
    alpha: float
    scale: float
    """What B A is multiplied by."""
    dora: bool


@dataclass(frozen=True)
class Updates:
    """A run's updates, each read when it is asked for."""

    names: tuple[str, ...]
    """Matrices within the model's layers, in their order."""
    skipped: int
    """Trained tensors that are not: embeddings, norms, biases, the output head."""
    adapter: Adapter | None
    """None after full fine-tuning."""
    read: Callable[[str], Update]

    def __iter__(self) -> Iterator[Update]:
        return map(self.read, self.names)


def layer_of(name: str) -> int:
    """The number of the layer that a tensor belongs to; -1 for one outside the layers."""
    found = LAYER.search(name)
    return int(found[1]) if found else -1


def open_updates(folder: RunFolder) -> Updates:
    """What a run changed: from its adapter's factors, or from the difference of the weights it saved and the base's.

    Only matrices of linear layers are given, and others counted. Weights saved in bfloat16 hold an update only as far
    as bfloat16 tells it: each weight is rounded by up to 1 part in 256, which looks like an update of full rank.

    Raises:
        SlimnbError: the run trained nothing, its adapter or weights are not there or not readable, or the base model
            is not the one it started from.
    """
    run, config = folder.record.id, folder.config
    if config.method == "base":
        raise SlimnbError(f"{run}: method base trains nothing, so there is no update to look at")
    place = folder.path / ("adapter" if config.lora else "model")
    if not place.is_dir():
        raise SlimnbError(
            f"{place}: not there, and without it nothing tells what the run changed. Runs that ship with the project "
            f"come without weights: `slimnb run --config {folder.path / 'config.json'} --name again` trains it anew"
        )
    trained = Weights(place)
    directory = get_model(config.model)
    lineage = folder.record.lineage
    if lineage is None or lineage.weights_sha256 != weights_sha256(directory):
        raise SlimnbError(f"{directory}: not the weights that {run} started from, so their difference means nothing")
    base, dtype = Weights(directory), getattr(torch, config.dtype)

    def weight(module: str) -> Tensor:
        return base.of_module(module).to(dtype).float()

    return _of_adapter(place, trained, weight) if config.lora else _of_model(trained, weight)


def _of_model(trained: Weights, weight: Callable[[str], Tensor]) -> Updates:
    modules = [name.removesuffix(".weight") for name in trained.names if name.endswith(".weight")]
    names = _in_order([name for name in modules if layer_of(name) >= 0 and trained.is_matrix(f"{name}.weight")])

    def read(name: str) -> Update:
        before = weight(name)
        return Update(name, before, (trained[f"{name}.weight"].float() - before,))

    return Updates(names, len(trained.names) - len(names), None, read)


def _of_adapter(place: Path, trained: Weights, weight: Callable[[str], Tensor]) -> Updates:
    config = read_json(place / "adapter_config.json")
    if config.get("alpha_pattern") or config.get("rank_pattern"):
        raise SlimnbError(f"{place}: ranks that differ between layers are not what slimnb trains or examines")
    rank, alpha = config["r"], config["lora_alpha"]
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    turned = bool(config.get("fan_in_fan_out"))  # GPT-2 keeps its weights the other way round: (in, out)
    dora = bool(config.get("use_dora"))
    modules = [found[1] for key in trained.names if (found := ADAPTER_KEY.fullmatch(key))]
    names = _in_order([name for name in modules if layer_of(name) >= 0])

    def read(name: str) -> Update:
        prefix, before = f"base_model.model.{name}.lora_", weight(name)
        b, a = scale * trained[f"{prefix}B.weight"].double(), trained[f"{prefix}A.weight"].double()
        factors = (a.T, b.T) if turned else (b, a)
        if dora:
            whole, inputs = before + factors[0] @ factors[1], 0 if turned else 1
            norms = trained[f"{prefix}magnitude_vector"].double() / torch.linalg.norm(whole, dim=inputs)
            factors = ((whole * norms.unsqueeze(inputs) - before).float(),)
        return Update(name, before, factors)

    return Updates(names, len(modules) - len(names), Adapter(rank, alpha, scale, dora), read)


def _in_order(names: list[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: (layer_of(name), name)))
