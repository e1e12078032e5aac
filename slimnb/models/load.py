"""A model's name -> weights and tokenizer, as the method needs them.

A name is `smollm2-135m` or `tiny` (prepared in the cache, no Hub needed), a local directory, or a Hub id.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from slimnb.compute.attention import use_grouped_attention
from slimnb.compute.peak import keep_few_kernels, keep_freed_memory
from slimnb.config import Dtype, FourBit, Lora
from slimnb.errors import SlimnbError
from slimnb.io.places import home
from slimnb.machine.quiet import known_noise_hidden
from slimnb.models.offline import OFFLINE_MODELS, from_hub
from slimnb.models.trust import NO_CODE, refuse_unsafe


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for use.

    `model` is a transformers or PEFT causal language model in evaluation mode.
    """

    model: Any
    tokenizer: Any
    name: str
    weights_sha256: str
    initial: dict[str, torch.Tensor] | None = None
    """The adapter's factors before training, where they are needed to save it: see slimnb.models.pissa."""

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device


def get_model(name: str) -> Path:
    """The directory of a model's files: a local one as it is, an offline model prepared once, a Hub id downloaded.

    Raises:
        SlimnbError: no such model, a checksum that does not match, or a Hub that does not answer.
    """
    if name in OFFLINE_MODELS:
        place = home() / "models" / name
        if not place.is_dir():
            OFFLINE_MODELS[name].prepare(place)
        return place
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise SlimnbError(f"{path}: no config.json, so not a model directory in transformers' form")
        return path
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise SlimnbError(f"{name}: no such directory")
    return _download(name)


def load_model(
    name: str, dtype: Dtype = "bfloat16", four_bit: FourBit | None = None, device: str | None = None
) -> LoadedModel:
    """Load weights and tokenizer.

    Args:
        dtype: of the weights; with `four_bit`, of everything that is not quantized and of the computation.
        device: `cpu` or `cuda`; None takes CUDA where there is one.

    Raises:
        SlimnbError: the model cannot be found or loaded, or bitsandbytes cannot run here.
    """
    from transformers import AutoModelForCausalLM

    if four_bit is not None:
        require_four_bit()
    loader: Any = AutoModelForCausalLM
    place = get_model(name)
    refuse_unsafe(place)
    device = device or (f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_available() else "cpu")
    options: dict[str, Any] = {
        "dtype": getattr(torch, dtype),
        "use_safetensors": True,
        "local_files_only": True,
        **NO_CODE,
    }
    if four_bit is not None:
        options |= {"quantization_config": _bitsandbytes(four_bit, dtype), "device_map": {"": device}}
    try:
        with known_noise_hidden():
            tokenizer = _tokenizer(place)
            model: Any = loader.from_pretrained(place, **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise SlimnbError(f"{place}: cannot be loaded as a causal language model: {error}") from error
    if getattr(model, "is_quantized", False) and model.dtype != options["dtype"]:
        own = str(model.dtype).removeprefix("torch.")
        raise SlimnbError(f"{place}: quantized weights that were stored to compute in {own}: add --dtype {own}")
    if device == "cpu":
        keep_freed_memory()
        keep_few_kernels()
    if not getattr(model, "is_quantized", False):  # as it may be by a checkpoint of 4-bit weights, too
        model.to(device)
    for layer in model.modules():  # bitsandbytes' fast CPU kernel takes whole blocks only, and checks too late
        if hasattr(layer, "support_avx512bf16_for_cpu") and (layer.out_features % 32 or layer.in_features % 64):
            layer.support_avx512bf16_for_cpu = False
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.eval()
    use_grouped_attention(model)
    return LoadedModel(model, tokenizer, name, weights_sha256(place))


def load_tokenizer(name: str) -> Any:
    """A model's tokenizer without its weights.

    Raises:
        SlimnbError: the model cannot be found, or its tokenizer not be loaded.
    """
    place = get_model(name)
    try:
        with known_noise_hidden():
            return _tokenizer(place)
    except (OSError, ValueError, KeyError) as error:
        raise SlimnbError(f"{place}: its tokenizer cannot be loaded: {error}") from error


def _tokenizer(place: Path) -> Any:
    """The same one again while its directory is as it was: each that has encoded leaves memory behind."""
    files = sorted(path for path in place.iterdir() if path.suffix in (".json", ".txt", ".model", ".jinja"))
    found = [(path.name, path.stat()) for path in files]
    return _read_tokenizer(place, tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in found))


@lru_cache(maxsize=4)
def _read_tokenizer(place: Path, state: tuple[tuple[str, int, int], ...]) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(place, local_files_only=True, **NO_CODE)


def add_lora(loaded: LoadedModel, lora: Lora, seed: int) -> LoadedModel:
    """Put untrained low-rank adapters on a model; they are float32 whatever the weights are.

    Raises:
        SlimnbError: the targets match no layer.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    from slimnb.models.loftq import start_from_quantization_error
    from slimnb.models.pissa import factors

    torch.manual_seed(seed)
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # pyright: ignore[reportArgumentType]  it takes a float as well
        lora_dropout=lora.dropout,
        target_modules=targets,
        use_rslora=lora.rank_stabilized,
        use_dora=lora.dora,
        init_lora_weights="pissa" if lora.init == "pissa" else True,
        task_type=TaskType.CAUSAL_LM,
    )
    try:
        with known_noise_hidden():
            model = get_peft_model(loaded.model, config)
            if lora.init == "loftq":
                start_from_quantization_error(model, get_model(loaded.name))
    except ValueError as error:
        raise SlimnbError(f"LoRA targets {lora.targets!r} do not fit {loaded.name}: {error}") from error
    initial = factors(model) if lora.init == "pissa" else None
    return LoadedModel(model, loaded.tokenizer, loaded.name, loaded.weights_sha256, initial)


def load_adapter(loaded: LoadedModel, adapter: Path) -> LoadedModel:
    """Put a trained PEFT adapter on a model.

    Raises:
        SlimnbError: the directory holds no adapter in safetensors, or one that does not fit.
    """
    from peft import PeftModel

    for needed in ("adapter_config.json", "adapter_model.safetensors"):
        if not (adapter / needed).is_file():
            raise SlimnbError(f"{adapter}: no {needed}, so not a PEFT adapter in safetensors")
    try:
        with known_noise_hidden():
            model = PeftModel.from_pretrained(loaded.model, str(adapter), local_files_only=True)
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        raise SlimnbError(f"{adapter}: does not fit {loaded.name}: {error}") from error
    model.eval()
    return LoadedModel(model, loaded.tokenizer, loaded.name, loaded.weights_sha256)


def require_four_bit() -> None:
    """Find out whether bitsandbytes runs here, before any work is done.

    Raises:
        SlimnbError: it does not, with its reason.
    """
    try:
        with known_noise_hidden():
            from bitsandbytes.functional import dequantize_4bit, quantize_4bit

            device = "cuda" if torch.cuda.is_available() else "cpu"
            dequantize_4bit(*quantize_4bit(torch.ones(64, 64, device=device), quant_type="nf4"))
    except Exception as error:
        raise SlimnbError(
            f"4-bit weights need bitsandbytes, which cannot run here ({type(error).__name__}: {error}). Use --method "
            "lora, which needs about four times the memory for the weights"
        ) from error


def weights_sha256(place: Path) -> str:
    """SHA-256 over the model's safetensors files in the order of their names: the lineage of every run on it.

    Raises:
        SlimnbError: there is none.
    """
    refuse_unsafe(place)
    files = sorted(place.glob("*.safetensors"))
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def weights_bytes(model: torch.nn.Module) -> int:
    """Bytes of all parameters and buffers, 4-bit weights with their quantization constants."""
    total = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            total += sum(part.nbytes for part in (state.absmax, state.code))
            if state.nested:
                total += state.state2.absmax.nbytes + state.state2.code.nbytes
    return total


def parameter_counts(model: torch.nn.Module) -> tuple[int, int]:
    """(all, trainable) parameters; a packed 4-bit weight counts as what it stands for."""
    total = trainable = 0
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        count = state.shape.numel() if state is not None else parameter.numel()
        total += count
        trainable += count if parameter.requires_grad else 0
    return total, trainable


def _bitsandbytes(four_bit: FourBit, dtype: Dtype) -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=four_bit.kind,
        bnb_4bit_use_double_quant=four_bit.double_quantization,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    wanted = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "LICENSE*"]
    with from_hub(name):
        return Path(snapshot_download(name, allow_patterns=wanted))
