"""What may be read of a model directory from a stranger: weights in safetensors, and no program. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from slimnb.errors import SlimnbError
from slimnb.io.documents import read_json

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
NO_CODE = {"trust_remote_code": False}
"""Said to every loader of transformers: it would otherwise ask whether to run the directory's own program."""


def refuse_unsafe(place: Path) -> None:
    """
    Raises:
        SlimnbError: the weights are pickled, or the model brings a program of its own.
    """
    names = sorted(path.name for path in place.iterdir())
    if not any(name.endswith(".safetensors") for name in names):
        if pickled := [name for name in names if name.endswith(PICKLED)]:
            raise SlimnbError(
                f"{place}: {pickled[0]} is pickled, and reading it can run any program. Convert it where that does no "
                "harm, `AutoModelForCausalLM.from_pretrained(OLD).save_pretrained(NEW)` with transformers, and name "
                "the new directory"
            )
        raise SlimnbError(f"{place}: no .safetensors file, and slimnb loads no other kind of weights")
    code = [name for name in names if name.endswith(".py")]
    for file in ("config.json", "tokenizer_config.json"):
        if file in names and isinstance(known := read_json(place / file), dict) and "auto_map" in known:
            code.append(f"{file} (auto_map)")
    if code:
        raise SlimnbError(
            f"{place}: brings a program of its own ({', '.join(code[:3])}), which slimnb does not run. Take a model "
            "that transformers itself knows; if this one is, remove these files and `auto_map` from a copy of it"
        )
