"""A finished run's adapter merged into its base's weights: a plain transformers directory, in safetensors only.

Merging changes the model: at 16 bits by rounding the sum once, at 4 bits by quantizing it again, which loses accuracy.
So beside the weights stands where they come from, by which a merged model is scored apart and compared with its base
and with the run that it was merged from.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError

from slimnb.config import Dtype, FourBit, RunConfig
from slimnb.errors import SlimnbError
from slimnb.io.documents import read_json, validated
from slimnb.io.files import atomic_path
from slimnb.machine.quiet import known_noise_hidden
from slimnb.models.load import LoadedModel, get_model, load_adapter, load_model, require_four_bit, weights_sha256
from slimnb.store.records import Lineage, MergedTo, Record
from slimnb.store.runs import RunFolder

ORIGIN_FILE = "slimnb_merge.json"


class Origin(Record):
    """What slimnb_merge.json holds: where merged weights come from."""

    run: str
    """The run's id."""
    method: Literal["lora", "qlora"]
    to: MergedTo
    model: str
    """The base, as the run named it."""
    weights_sha256: str
    """Of the base."""
    merged_sha256: str
    """Of the weights beside this file: others that came there later are not those of the merge."""
    dtype: Dtype
    seed: int
    training_data: str


def merge_run(folder: RunFolder, to: MergedTo, out: Path) -> Path:
    """Merge a run's adapter into its base and write the model to `out`, whole or not at all.

    A QLoRA run's adapter is merged into the values that its 4-bit weights stand for, in the run's precision: that is
    the model that was trained, X dequantized(W) + X L1 L2 (arXiv 2305.14314, equation 5). Added to the weights from
    before quantization the same adapter would give another model.

    Args:
        to: `16bit` keeps the run's precision, float32 for a run in float32; `4bit` quantizes the merged weights to NF4
            with double quantization, whatever the method was: a checkpoint of bitsandbytes' that transformers loads.
            The sum of weights and update fits no 4-bit grid, so that this loses accuracy (arXiv 2309.14717, section
            3.2).
        out: a directory that is empty or not there yet.

    Raises:
        SlimnbError: nothing to merge, no finished run, an adapter that is missing or does not fit, a base that has
            changed since, no bitsandbytes where it is needed, or a place that is taken or cannot be written.
    """
    config = folder.config
    _refuse_unmergeable(folder)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SlimnbError(f"{out}: exists and is not an empty directory: name a new one")
    if to == "4bit" or config.four_bit:
        require_four_bit()
    with atomic_path(out) as directory:
        directory.mkdir()  # a place that cannot be written is found out before the work
        base = _load_base(folder)
        merged = _merge(base, folder)
        try:
            if to == "16bit":
                _save(merged, directory)
            else:
                whole = directory / "16bit"
                _save(merged, whole)
                _save(load_model(str(whole), config.dtype, FourBit()), directory)
                shutil.rmtree(whole)
        except SafetensorError as error:  # a full disk, for one: no OSError
            raise SlimnbError(f"{out}: cannot be written ({error})") from error
        found = _origin_of(folder, to, base, directory)
        (directory / ORIGIN_FILE).write_text(found.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if out.exists():
            out.rmdir()  # atomic_path replaces no directory, not even an empty one
    return out


def origin(place: Path) -> Origin | None:
    """Where a model directory's weights come from, if `merge_run` wrote it; None if not.

    Raises:
        SlimnbError: its slimnb_merge.json is damaged.
    """
    path = place / ORIGIN_FILE
    return validated(Origin, read_json(path), str(path)) if path.exists() else None


def lineage(config: RunConfig, loaded: LoadedModel) -> Lineage:
    """The checkpoint that a run's scores are held against.

    Of a merged model that is only scored, its base: so that it compares with the base and with the run that it was
    merged from. A merged model that is trained further is a checkpoint of its own, like one whose weights are no longer
    those that the merge wrote.

    Raises:
        SlimnbError: the model's slimnb_merge.json is damaged.
    """
    found = origin(get_model(config.model)) if config.method == "base" else None
    if found is None or found.merged_sha256 != loaded.weights_sha256:
        return Lineage(model=config.model, weights_sha256=loaded.weights_sha256, dtype=config.dtype)
    return Lineage(
        model=config.model, weights_sha256=found.weights_sha256, dtype=config.dtype, merged_from=found.run,
        merged_to=found.to,
    )  # fmt: skip


def _refuse_unmergeable(folder: RunFolder) -> None:
    method, record = folder.config.method, folder.record
    if method == "full":
        raise SlimnbError(
            f"{folder.path}: nothing to merge, full fine-tuning trains the weights themselves: they are in "
            f"{folder.path / 'model'}"
        )
    if method == "base":
        raise SlimnbError(f"{folder.path}: nothing to merge, a base run has no adapter: name a LoRA or QLoRA run")
    if record.status != "completed":
        raise SlimnbError(
            f"{folder.path}: {record.status}, not completed, so its adapter is not the finished one: run it again with "
            f"`slimnb run --config {folder.path / 'config.json'} --runs {folder.path.parents[1]} --name {record.study}`"
        )
    if not (folder.path / "adapter").is_dir():
        raise SlimnbError(f"{folder.path / 'adapter'}: not there: restore it, or train again under another --name")


def _load_base(folder: RunFolder) -> LoadedModel:
    """The base at 16 bits, with the values that the adapter was trained on."""
    config, started_from = folder.config, folder.record.lineage
    loaded = load_model(config.model, config.dtype)
    if started_from is None or loaded.weights_sha256 != started_from.weights_sha256:
        was = started_from.weights_sha256[:12] if started_from else "not recorded"
        raise SlimnbError(
            f"{config.model}: not the weights that {folder.record.id} started from (SHA-256 {was}, now "
            f"{loaded.weights_sha256[:12]}): restore the model of then, or train again on the one of now"
        )
    if getattr(loaded.model, "is_quantized", False):
        raise SlimnbError(
            f"{config.model}: its own weights are quantized, and an adapter merged into them would be rounded away. "
            f"Use it as it is: slimnb eval --model {config.model} --adapter {folder.path / 'adapter'}"
        )
    if config.four_bit:
        _dequantize(loaded, config.four_bit, config.dtype)
    return loaded


def _dequantize(loaded: LoadedModel, four_bit: FourBit, dtype: Dtype) -> None:
    """Give the model's weights, in place, the values that they have in 4 bits.

    They are copied into the unquantized model: transformers' own `dequantize` makes linear layers of GPT-2's
    transposed ones, which are saved the wrong way round.
    """
    from bitsandbytes.functional import dequantize_4bit
    from transformers.pytorch_utils import Conv1D

    packed = load_model(loaded.name, dtype, four_bit).model
    with torch.no_grad():
        modules: list[tuple[str, Any]] = list(packed.named_modules())
        for name, layer in modules:
            weight: Any = getattr(layer, "weight", None)
            if getattr(weight, "quant_state", None) is not None:
                values = dequantize_4bit(weight.data, weight.quant_state)
                plain = loaded.model.get_submodule(name)
                plain.weight.copy_(values.T if isinstance(plain, Conv1D) else values)


def _merge(base: LoadedModel, folder: RunFolder) -> LoadedModel:
    """The base with the adapter's update in its weights.

    The adapter is float32, so each sum is computed in float32 and rounded once, to the weights' own precision.
    """
    tuned = load_adapter(base, folder.path / "adapter").model
    ends = base.model.get_input_embeddings(), base.model.get_output_embeddings()
    if ends[1] is not None and ends[0].weight is ends[1].weight and any(hasattr(end, "lora_A") for end in ends):
        raise SlimnbError(
            f"{folder.path / 'adapter'}: changes the embedding or the output head, which share their weights in "
            f"{base.name}: merged, both would change. Use it as it is, with slimnb eval --adapter"
        )
    with known_noise_hidden():
        merged = tuned.merge_and_unload()
    if not all(bool(parameter.isfinite().all()) for parameter in merged.parameters()):
        raise SlimnbError(f"{folder.path / 'adapter'}: merged, some weights are no numbers: the training went astray")
    return replace(base, model=merged)


def _save(loaded: LoadedModel, directory: Path) -> None:
    with known_noise_hidden():
        loaded.model.save_pretrained(directory)
        loaded.tokenizer.save_pretrained(directory)


def _origin_of(folder: RunFolder, to: MergedTo, base: LoadedModel, directory: Path) -> Origin:
    config = folder.config
    assert config.training is not None
    return validated(
        Origin,
        {
            "run": folder.record.id, "method": config.method, "to": to, "model": config.model,
            "weights_sha256": base.weights_sha256, "merged_sha256": weights_sha256(directory), "dtype": config.dtype,
            "seed": config.seed, "training_data": config.training.data,
        },
        str(directory),
    )  # fmt: skip
