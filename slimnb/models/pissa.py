"""PiSSA's adapter (arXiv 2404.02948) kept as a plain LoRA of the unchanged base weights.

PiSSA starts from the weights' leading directions, W = R + s B0 A0, freezes R and trains B and A. What it has learned,
s (B A - B0 A0), is a LoRA update of twice the rank (the paper's appendix on conversion), which needs no R.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

Factors = dict[str, torch.Tensor]


def factors(model: Any) -> Factors:
    """A copy of a PEFT model's adapter, by PEFT's names: `....lora_A.weight` [r, in], `....lora_B.weight` [out, r]."""
    from peft import get_peft_model_state_dict

    return {name: tensor.detach().cpu().clone() for name, tensor in get_peft_model_state_dict(model).items()}


def save_as_lora(model: Any, initial: Factors, directory: Path) -> None:
    """Write the trained adapter beside its start, as one PEFT directory.

    Args:
        initial: `factors` of the model before training.
    """
    doubled, rank = {}, model.peft_config["default"].r
    for name, tensor in factors(model).items():
        sign, side = (1, 0) if ".lora_A." in name else (-1, 1)
        both = torch.cat([tensor, sign * initial[name]], dim=side)
        missing = 2 * rank - both.shape[side]  # a matrix of fewer directions than the rank has fewer factors
        doubled[name] = torch.nn.functional.pad(both, (0, missing) if side else (0, 0, 0, missing)).contiguous()
    config = copy.deepcopy(model.peft_config["default"])
    config.lora_alpha *= 2**0.5 if config.use_rslora else 2
    config.r *= 2
    config.init_lora_weights, config.inference_mode = True, True
    directory.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(directory))
    save_file(doubled, directory / "adapter_model.safetensors", metadata={"format": "pt"})
