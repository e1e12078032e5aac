"""What this machine can do with slimnb, one line a finding."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from slimnb.analysis.tables import gigabytes
from slimnb.data.load import DATA_SETS, availability
from slimnb.errors import SlimnbError
from slimnb.machine.environment import processor, versions

DEMO_MEMORY = 5_500_000_000
"""Bytes for the largest of the demo's runs, full fine-tuning, with some room (data/runs/demo has its peak)."""


@dataclass(frozen=True)
class Finding:
    name: str
    text: str
    ok: bool = True
    """False only where the demo could not run."""


def examine(data: Path | None) -> Iterator[Finding]:
    """Look at versions, device, memory, model, data and the Hub, in this order."""
    yield Finding("versions", ", ".join(f"{name} {found or 'missing'}" for name, found in versions().items()))
    yield from _device()
    free = psutil.virtual_memory().available
    advice = "" if free >= DEMO_MEMORY else ": close other programs"
    yield Finding("memory", f"{gigabytes(free)} free, the demo needs {gigabytes(DEMO_MEMORY)}{advice}", not advice)
    yield _model()
    yield _quantization()
    for data_set in DATA_SETS.values():
        origin, rows = availability(data_set, data)
        if data_set.hub is None:
            advice = "" if origin == "local" else ": make workshop-data"
            yield Finding("data", f"{data_set.name}: {rows or 0} rows{advice}", not advice)
    local = [name for name, one in DATA_SETS.items() if one.hub and availability(one, data)[0] == "local"]
    where = f"in {data}: {', '.join(local) or 'nothing in the expected places'}" if data else "from the Hub"
    yield Finding("data", f"real benchmarks and training sets: {where}")
    yield _hub()


def _device() -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        yield Finding("device", f"CUDA: {torch.cuda.get_device_name()}")
    else:
        yield Finding("device", f"CPU: {processor()}, {torch.get_num_threads()} threads")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rates = {dtype: _matmul_rate(getattr(torch, dtype), device) for dtype in ("bfloat16", "float32")}
    advice = "" if rates["bfloat16"] > rates["float32"] else "; float32 is faster here: use --dtype float32"
    listed = ", ".join(f"{dtype} {rate / 1e9:,.0f} GFLOP/s" for dtype, rate in rates.items())
    yield Finding("speed", f"matrix products: {listed}{advice}")


def _matmul_rate(dtype: object, device: str, size: int = 1024) -> float:
    import torch

    a = torch.randn(size, size, device=device).to(dtype)  # pyright: ignore[reportCallIssue, reportArgumentType]
    (a @ a).sum().item()
    start = time.perf_counter()
    for _ in range(8):
        product = a @ a
    product.sum().item()  # pyright: ignore[reportPossiblyUnboundVariable]
    return 8 * 2 * size**3 / (time.perf_counter() - start)


def _model() -> Finding:
    from slimnb.models.load import home

    place = home() / "models" / "smollm2-135m"
    if place.is_dir():
        return Finding("model", f"smollm2-135m at {place}")
    return Finding("model", "smollm2-135m is not prepared: run `slimnb models get smollm2-135m`", False)


def _quantization() -> Finding:
    from slimnb.models.load import require_four_bit

    try:
        require_four_bit()
    except SlimnbError as error:
        return Finding("4-bit", str(error), False)
    return Finding("4-bit", "bitsandbytes quantizes to NF4 on this device")


def _hub() -> Finding:
    from slimnb.io.hub import HUB_ERRORS, knock

    if os.environ.get("HF_HUB_OFFLINE") == "1":
        return Finding("Hub", "switched off by HF_HUB_OFFLINE")
    try:
        knock()
    except HUB_ERRORS as error:
        return Finding("Hub", f"not reachable ({type(error).__name__}): local models and data only")
    return Finding("Hub", "reachable")
