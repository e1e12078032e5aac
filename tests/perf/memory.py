"""Predicted peak memory beside the measured. Writes data/perf/memory.json.

Each cell is a training of three steps on made-up rows in a process of its own. `python -m tests.perf.memory` measures
the cells that the report has not got yet, `... N` at most N of them (0 only predicts all anew), and `... one NUMBER` is
one of them. The first is a training of `tiny`, whose peak is the process's own: slimnb.memory.OVERHEAD.
"""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from slimnb.documents import read_json

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "data" / "perf" / "memory.json"
MODEL, STEPS = "smollm2-135m", 3

# model, method, tokens a row, rows a step, checkpointing. The token budget makes one micro-batch of 8 x 128, two of 4 x
# 512 and of 2 x 1024; a single row of 2048 is beyond the budget, and its attention is PyTorch's own.
CELLS: list[tuple[str, str, int, int, bool]] = [
    ("tiny", "lora", 32, 2, False),
    *(
        (MODEL, method, *size, False)
        for size in ((128, 8), (512, 4), (1024, 2))
        for method in ("lora", "qlora", "full")
    ),
    *((MODEL, method, 1024, 2, True) for method in ("lora", "qlora", "full")),
    *((MODEL, method, *size, False) for size in ((128, 2), (512, 1), (2048, 1)) for method in ("lora", "full")),
]


def setup_of(method: Any, length: int, rows: int, checkpointing: bool) -> Any:
    from slimnb.memory import Setup

    return Setup(method, batch_size=rows, length=length, checkpointing=checkpointing)


def one(model: str, *cell: Any) -> dict[str, Any]:
    """Measure: the high-water mark of this process's resident memory, loading included."""
    import torch

    from slimnb.peak import peak_bytes, reset_peak
    from slimnb.probe import train_briefly

    device = torch.device("cpu")
    reset_peak(device)
    steps = train_briefly(model, setup_of(*cell), lambda steps: len(steps) == STEPS)
    return {"measured_bytes": peak_bytes(device), "seconds": steps[-1].seconds, "tokens": steps[0].tokens}


def predicted(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The measured cells with what is predicted for them now."""
    from slimnb.architecture import read_architecture
    from slimnb.memory import predict

    found = []
    for cell in cells:
        setup = setup_of(cell["method"], cell["length"], cell["rows"], cell["checkpointing"])
        prediction = predict(read_architecture(cell["model"]), setup)
        measured = cell["measured_bytes"]
        found.append({
            **cell, "predicted_bytes": prediction.peak, "error": prediction.peak / measured - 1,
            "items": [asdict(item) for item in prediction.items],
        })  # fmt: skip
    return found


def main() -> None:
    if sys.argv[1:2] == ["one"]:
        print(json.dumps(one(*CELLS[int(sys.argv[2])])))
        return
    from slimnb.environment import describe
    from slimnb.files import write_json
    from tests.perf.training import measure

    report: dict[str, Any] = read_json(RESULT) if RESULT.exists() else {"cells": []}
    names = ("model", "method", "length", "rows", "checkpointing")
    done = [tuple(cell[name] for name in names) for cell in report["cells"]]
    waiting = [number for number, cell in enumerate(CELLS) if cell not in done]
    for number in waiting[: int(sys.argv[1]) if len(sys.argv) > 1 else None]:
        found = measure("one", number, module="tests.perf.memory")
        report["cells"].append({**dict(zip(names, CELLS[number], strict=True)), **found})
        write_json(RESULT, report)
    from slimnb.memory import OVERHEAD

    cells = predicted(report["cells"])
    errors = [abs(cell["error"]) for cell in cells if cell["model"] == MODEL]
    summary = {"median_error": statistics.median(errors), "worst_error": max(errors)} if errors else {}
    write_json(
        RESULT, {"environment": describe(), "steps": STEPS, "overhead_bytes": OVERHEAD, **summary, "cells": cells}
    )


if __name__ == "__main__":
    main()
