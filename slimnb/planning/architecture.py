"""What a model is made of, from its configuration alone: no weight is loaded, and nothing but config.json downloaded.

For a family that slimnb.planning.formulas knows, config.json is enough. For any other, transformers' own code builds
the model, of tensors that have a shape and no memory (PyTorch's device `meta`), which takes seconds. Neither PyTorch
nor transformers is imported before that.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from math import ceil, prod
from pathlib import Path
from typing import Any

from slimnb.errors import SlimnbError
from slimnb.io.documents import read_json
from slimnb.io.places import home
from slimnb.machine.quiet import known_noise_hidden
from slimnb.models.offline import OFFLINE_MODELS, from_hub
from slimnb.models.trust import NO_CODE
from slimnb.planning.formulas import Formula, find_formula, value

BLOCK, OUTER_BLOCK = 64, 256
"""Weights that share a scale, and scales that share one (arXiv 2305.14314, section 3; bitsandbytes' defaults)."""
CODE_BYTES, OUTER_CODE_BYTES = 16 * 4, 256 * 4
"""The values that 4 bits and 8 bits stand for, in float32: bitsandbytes keeps them with every matrix."""


@dataclass(frozen=True)
class Matrix:
    """A linear layer."""

    name: str
    inputs: int
    outputs: int
    quantized: bool
    """By QLoRA: every linear layer but the output head and what is tied to the embeddings."""
    adapted: bool
    """By LoRA with the targets `all-linear`: every linear layer but the output head."""

    @property
    def weights(self) -> int:
        return self.inputs * self.outputs


@dataclass(frozen=True)
class Architecture:
    """A model's shapes."""

    name: str
    config: Any = field(compare=False, repr=False)
    parameters: int
    """Tied ones once."""
    shapes: tuple[tuple[int, ...], ...]
    """Of all parameters, tied ones once."""
    buffer_bytes: int
    matrices: tuple[Matrix, ...]
    period: int
    """Layers after which the kinds of layers repeat: 1 where all are alike."""
    layers: int
    formula: Formula | None = None
    """How its micro-batches are found without PyTorch; None: by rehearsal."""

    def weight_bytes(self, each: int) -> int:
        """Bytes of the parameters at `each` bytes a parameter, and of the buffers."""
        return each * self.parameters + self.buffer_bytes

    def four_bit_bytes(self, double_quantization: bool = True) -> tuple[int, int]:
        """(weights, quantization constants) in bytes, where QLoRA's matrices are packed and the rest is bfloat16.

        As bitsandbytes stores them: a half byte a weight; a scale for each BLOCK weights in float32, or with double
        quantization in 8 bits and in float32 for each OUTER_BLOCK of those; and the tables of values.
        """
        quantized = [matrix for matrix in self.matrices if matrix.quantized]
        left = self.parameters - sum(matrix.weights for matrix in quantized)
        weights = 2 * left + self.buffer_bytes + sum(ceil(matrix.weights / 2) for matrix in quantized)
        constants = 0
        for matrix in quantized:
            scales = ceil(matrix.weights / BLOCK)
            outer = scales + 4 * ceil(scales / OUTER_BLOCK) + OUTER_CODE_BYTES
            constants += CODE_BYTES + (outer if double_quantization else 4 * scales)
        return weights, constants

    def adapter_shapes(self, rank: int) -> tuple[tuple[int, int], ...]:
        """Of A [rank, inputs] and B [outputs, rank] of every adapted layer (arXiv 2106.09685, section 4.1)."""
        return tuple(
            shape
            for matrix in self.matrices
            if matrix.adapted
            for shape in ((rank, matrix.inputs), (matrix.outputs, rank))
        )


def read_architecture(name: str) -> Architecture:
    """The shapes of an offline model, of a local directory (a config.json is enough), or of a Hub id.

    Raises:
        SlimnbError: no such model, a Hub that does not answer, or a configuration that transformers cannot build a
            causal language model from.
    """
    place = _place(name)
    if formula := find_formula(_fields(place)):
        return _of_formula(name, formula)
    from transformers import AutoConfig

    try:
        with known_noise_hidden():
            config = AutoConfig.from_pretrained(place, local_files_only=True, **NO_CODE)
    except (OSError, ValueError, KeyError) as error:
        raise SlimnbError(f"{place}/config.json: {str(error).splitlines()[0]}") from error
    return replace(architecture_of(config), name=name)


def of_fields(name: str, fields: dict[str, Any]) -> Architecture:
    """The shapes that a config.json of these fields gives: of a model that is not here.

    Raises:
        SlimnbError: transformers knows no such configuration.
    """
    if formula := find_formula(fields):
        return _of_formula(name, formula)
    from transformers import AutoConfig

    try:
        config = AutoConfig.for_model(**fields)
    except (ValueError, KeyError, TypeError) as error:
        raise SlimnbError(f"{name}: {str(error).splitlines()[0]}") from error
    return replace(architecture_of(config), name=name)


def _place(name: str) -> Path:
    """The directory that has a model's config.json."""
    if name in OFFLINE_MODELS and (home() / "models" / name).is_dir():
        return home() / "models" / name
    if name in OFFLINE_MODELS or Path(name).exists() or name.count("/") > 1 or name.startswith((".", "/", "~")):
        if (Path(name) / "config.json").is_file():
            return Path(name)
        from slimnb.models.load import get_model

        return get_model(name)  # which prepares it, or says what is wrong
    return _download_config(name)


def _fields(place: Path) -> dict[str, Any]:
    fields = read_json(place / "config.json")
    if not isinstance(fields, dict):
        raise SlimnbError(f"{place}/config.json: not a model's configuration")
    return fields


def _of_formula(name: str, formula: Formula) -> Architecture:
    recorded, sizes, layers = formula.recorded, formula.dimensions, formula.layers
    outside = [tuple(value(side, sizes) for side in shape) for shape in recorded.outside]
    layer = [tuple(value(side, sizes) for side in shape) for shape in recorded.layer]
    shapes = (*outside, *layer * layers)
    buffers = [sum(value(one, sizes) for one in some) for some in recorded.buffers]
    matrices = []
    for one in recorded.matrices:
        inputs, outputs = value(one["inputs"], sizes), value(one["outputs"], sizes)
        inside = ".0." in one["name"]
        for number in range(layers if inside else 1):
            path = one["name"].replace(".0.", f".{number}.", 1)
            matrices.append(Matrix(path, inputs, outputs, one["quantized"], one["adapted"]))
    return Architecture(
        name=name, config=None, parameters=sum(prod(shape) for shape in shapes), shapes=shapes,
        buffer_bytes=buffers[0] + layers * buffers[1], matrices=tuple(matrices), period=1, layers=layers,
        formula=formula,
    )  # fmt: skip


def architecture_of(config: Any) -> Architecture:
    """The shapes that a transformers configuration gives.

    Raises:
        SlimnbError: transformers has no causal language model for it, or its weights are quantized already.
    """
    import torch
    from transformers.pytorch_utils import Conv1D
    from transformers.quantizers.base import get_keys_to_not_convert
    from transformers.quantizers.quantizers_utils import should_convert_module

    if getattr(config, "quantization_config", None) is not None:
        raise SlimnbError(f"{config.model_type}: the weights are quantized already, and slimnb trains none that are")
    model = build(config)
    head = model.get_output_embeddings()
    kept = [*get_keys_to_not_convert(model), *(model._keep_in_fp32_modules or ())]
    matrices = []
    for path, module in model.named_modules():
        if isinstance(module, torch.nn.Linear | Conv1D):
            inputs, outputs = module.weight.shape if isinstance(module, Conv1D) else module.weight.shape[::-1]
            matrices.append(Matrix(path, inputs, outputs, should_convert_module(path, kept), module is not head))
    parameters = list(model.parameters())
    return Architecture(
        name=config.model_type, config=config, parameters=sum(parameter.numel() for parameter in parameters),
        shapes=tuple(tuple(parameter.shape) for parameter in parameters),
        buffer_bytes=sum(buffer.nbytes for buffer in model.buffers()),
        matrices=tuple(matrices), period=_period(config, model),
        layers=config.get_text_config(decoder=True).num_hidden_layers,
    )  # fmt: skip


def build(config: Any, layers: int | None = None, dtype: str = "bfloat16") -> Any:
    """A configuration's model on the device `meta`, with `layers` layers if they are named.

    Raises:
        SlimnbError: transformers has no causal language model for the configuration.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    config = copy.deepcopy(config)
    text = config.get_text_config(decoder=True)
    if layers is not None:
        text.num_hidden_layers = layers
        if vars(text).get("layer_types"):
            text.layer_types = text.layer_types[:layers]
    maker: Any = AutoModelForCausalLM
    try:
        with known_noise_hidden(), torch.device("meta"), no_init_weights():
            model = maker.from_config(config, dtype=getattr(torch, dtype))
    except (ValueError, KeyError, AttributeError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise SlimnbError(f"{config.model_type}: no causal language model can be built of it: {reason}") from error
    model.tie_weights()
    return model


def _period(config: Any, model: Any) -> int:
    """Layers after which the kinds of layers repeat; all of them where they do not."""
    import torch

    text = config.get_text_config(decoder=True)
    count = text.num_hidden_layers
    stacks = [part for part in model.modules() if isinstance(part, torch.nn.ModuleList) and len(part) == count]
    if not stacks:
        return count
    shapes = [[tuple(parameter.shape) for parameter in layer.parameters()] for layer in stacks[0]]
    kinds = list(zip(getattr(text, "layer_types", None) or [None] * count, shapes, strict=True))
    for period in range(1, count):
        if all(kinds[i] == kinds[i % period] for i in range(count)):
            return period
    return count


def _download_config(name: str) -> Path:
    from huggingface_hub import hf_hub_download

    with from_hub(name, "its config.json "):
        return Path(hf_hub_download(name, "config.json")).parent
