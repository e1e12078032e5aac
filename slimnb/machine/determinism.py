"""Whether a run gives the same bits again on the same machine, and if not, what stands in the way.

On the CPU it does: tests/test_determinism.py holds two runs of each method against each other.
"""

from __future__ import annotations

import os

import torch

WORKSPACES = (":4096:8", ":16:8")
"""Values of CUBLAS_WORKSPACE_CONFIG with which cuBLAS adds in a fixed order."""


def not_repeatable_because(device: torch.device) -> str | None:
    """What may make a second run on this device differ in its last digits; None where nothing does."""
    if device.type == "cpu":
        return None
    if not torch.are_deterministic_algorithms_enabled():
        return f"{device.type}: the backward pass adds in no fixed order (deterministic algorithms are off)"
    if device.type == "cuda" and os.environ.get("CUBLAS_WORKSPACE_CONFIG") not in WORKSPACES:
        return f"cuda: cuBLAS adds in no fixed order (CUBLAS_WORKSPACE_CONFIG is none of {', '.join(WORKSPACES)})"
    return None
