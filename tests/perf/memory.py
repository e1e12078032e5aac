"""Predicted peak memory beside the measured, and beside published measurements. Writes data/perf/memory.json and .md.

Each cell is three steps of training, or scoring (method base), on made-up rows in a process of its own. `python -m
tests.perf.memory` measures the cells that the report has not got yet, `... SECONDS` begins none after so many seconds
(0 only predicts all anew), and `... one MODEL METHOD LENGTH ROWS CHECKPOINTING` is one of them. The first is a training
of `tiny`, whose peak is the process's own: slimnb.planning.memory.OVERHEAD.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from slimnb.io.documents import read_json

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "data" / "perf" / "memory.json"
PAGE = RESULT.with_suffix(".md")
MODEL, SHAPED, STEPS = "smollm2-135m", "qwen2-shaped", 3

QWEN2: dict[str, Any] = {
    "vocab_size": 151936, "hidden_size": 512, "intermediate_size": 2432, "num_hidden_layers": 12,
    "num_attention_heads": 8, "num_key_value_heads": 2, "max_position_embeddings": 2048, "tie_word_embeddings": True,
}  # fmt: skip
"""Qwen2.5-0.5B's vocabulary and proportions at about a quarter of its parameters: few wide layers with biases, and an
output head that is most of the model. Weights are random."""

# model, method, tokens a row, rows a step, checkpointing. The token budget makes one micro-batch of 8 x 128 or 1 x 512,
# two of 2 x 1024. The order is of worth: whoever stops early has some of each kind.
TRAINED = ("full", "lora", "qlora")
CELLS: list[tuple[str, str, int, int, bool]] = [
    ("tiny", "lora", 32, 2, False),
    (SHAPED, "full", 512, 1, False),
    (MODEL, "full", 512, 1, True),
    (SHAPED, "base", 512, 1, False),
    (MODEL, "base", 512, 1, False),
    (SHAPED, "full", 128, 4, False),
    (SHAPED, "full", 512, 1, True),
    *((model, "base", 128, 4, False) for model in (SHAPED, MODEL)),
    *((SHAPED, method, 512, 1, False) for method in TRAINED[1:]),
    *((MODEL, method, 512, 1, True) for method in TRAINED[1:]),
    *((SHAPED, method, 128, 4, False) for method in TRAINED[1:]),
    *((SHAPED, method, 512, 1, True) for method in TRAINED[1:]),
    *((MODEL, method, 128, 8, False) for method in TRAINED),
    *((MODEL, method, 256, 2, False) for method in TRAINED),
    *((MODEL, method, 1024, 2, checkpointing) for checkpointing in (True, False) for method in TRAINED),
]


def setup_of(method: Any, length: int, rows: int, checkpointing: bool) -> Any:
    from slimnb.planning.memory import Setup

    return Setup(method, batch_size=rows, length=length, checkpointing=checkpointing)


def make_shaped(place: Path) -> None:
    """Write the second architecture with random weights, and smollm2-135m's tokenizer, whose tokens it has all."""
    import torch
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    from slimnb.models.load import get_model

    torch.manual_seed(0)
    Qwen2ForCausalLM(Qwen2Config(**QWEN2)).bfloat16().save_pretrained(place)
    AutoTokenizer.from_pretrained(get_model(MODEL)).save_pretrained(place)


def score_briefly(model: str, setup: Any, batches: int) -> int:
    """Score made-up answers of `setup.length` tokens, enough for so many full batches.

    Returns:
        Tokens scored.
    """
    from slimnb.benchmarks import ChoiceItem
    from slimnb.evaluation.scoring import score_choices
    from slimnb.models.load import load_model
    from slimnb.planning.probe import made_up_row

    loaded = load_model(model, device=setup.device)
    answer = made_up_row(loaded.tokenizer, setup.length).completion
    items = [ChoiceItem(str(i), "", "", (answer,), 0, "") for i in range(batches * setup.rows)]
    scores = score_choices(loaded.model, loaded.tokenizer, items, setup.rows * setup.length)
    return sum(sum(score.tokens) for score in scores)


def one(model: str, method: str, *size: Any) -> dict[str, Any]:
    """Measure: the high-water mark of this process's resident memory, loading included."""
    import torch

    from slimnb.compute.peak import peak_bytes, reset_peak
    from slimnb.planning.probe import train_briefly

    device, setup = torch.device("cpu"), setup_of(method, *size)
    reset_peak(device)
    start = time.perf_counter()
    if method == "base":
        tokens = score_briefly(model, setup, 2 * STEPS)
    else:
        tokens = train_briefly(model, setup, lambda steps: len(steps) == STEPS)[0].tokens
    return {"measured_bytes": peak_bytes(device), "seconds": time.perf_counter() - start, "tokens": tokens}


def predicted(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The measured cells with what is predicted for them now."""
    from slimnb.planning.architecture import read_architecture
    from slimnb.planning.memory import predict
    from tests.perf.published_memory import architecture

    found = []
    for cell in cells:
        setup = setup_of(cell["method"], cell["length"], cell["rows"], cell["checkpointing"])
        model = architecture("qwen2", QWEN2) if cell["model"] == SHAPED else read_architecture(cell["model"])
        prediction = predict(model, setup)
        measured = cell["measured_bytes"]
        found.append({
            **cell, "predicted_bytes": prediction.peak, "error": prediction.peak / measured - 1,
            "items": [asdict(item) for item in prediction.items],
        })  # fmt: skip
    return found


def main() -> None:
    if sys.argv[1:2] == ["shape"]:
        make_shaped(Path(sys.argv[2]))
        print("{}")
        return
    if sys.argv[1:2] == ["one"]:
        model, method, length, rows, checkpointing = sys.argv[2:]
        print(json.dumps(one(model, method, int(length), int(rows), checkpointing == "True")))
        return
    from slimnb.io.files import write_json
    from slimnb.machine.environment import describe
    from tests.perf.training import measure

    report: dict[str, Any] = read_json(RESULT) if RESULT.exists() else {"cells": []}
    names = ("model", "method", "length", "rows", "checkpointing")
    done = [tuple(cell[name] for name in names) for cell in report["cells"]]
    waiting = [cell for cell in CELLS if cell not in done]
    end = time.monotonic() + (float(sys.argv[1]) if len(sys.argv) > 1 else float("inf"))
    with TemporaryDirectory() as place:
        made = Path(place) / SHAPED
        for cell in waiting:
            if time.monotonic() >= end:
                break
            if cell[0] == SHAPED and not made.exists():
                measure("shape", made, module="tests.perf.memory")
            model, *rest = cell
            found = measure("one", made if model == SHAPED else model, *rest, module="tests.perf.memory")
            del found["process_seconds"]  # which other processes disturb, as they do not the peak
            report["cells"].append({**dict(zip(names, cell, strict=True)), **found})
            write_json(RESULT, report)
    from slimnb.planning.memory import OVERHEAD
    from tests.perf.published_memory import beside_published

    cells = predicted(report["cells"])
    report = {
        "environment": describe(), "steps": STEPS, "overhead_bytes": OVERHEAD, **summary(cells), "cells": cells,
        "published": beside_published(), "plan_seconds": plan_seconds(),
    }  # fmt: skip
    write_json(RESULT, report)
    PAGE.write_text(page(report))


def summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Median and worst absolute error of the cells; `tiny`, which gave the overhead, is no test of it.

    Nor are the cells that gave the gaps: the median of the others is told as well.
    """
    compared = [cell for cell in cells if cell["model"] != "tiny"]
    errors = [abs(cell["error"]) for cell in compared]
    others = [abs(cell["error"]) for cell in compared if not gave_the_gaps(cell)]
    return {
        "cells_compared": len(errors), "median_error": statistics.median(errors), "worst_error": max(errors),
        "cells_without_fitted": len(others), "median_error_without_fitted": statistics.median(others),
    }  # fmt: skip


def gave_the_gaps(cell: dict[str, Any]) -> bool:
    """Whether slimnb.planning.memory.GAPS was found with the cell."""
    size = (cell["model"], cell["length"], cell["rows"], cell["checkpointing"])
    return cell["method"] != "base" and size == (MODEL, 128, 8, False)


def plan_seconds() -> dict[str, float]:
    """What `slimnb plan` takes from start to answer, for configurations that it has not seen: the best of three."""
    from tests.perf.published_memory import CONFIGS

    found = {}
    for name, family, sizes in [*((name, "llama", sizes) for name, sizes in CONFIGS.items()), (SHAPED, "qwen2", QWEN2)]:
        with TemporaryDirectory() as place:
            (Path(place) / "config.json").write_text(json.dumps({"model_type": family, **sizes}))
            words = [sys.executable, "-m", "slimnb", "plan", "--model", place, "--method", "qlora", "--memory", "24GB"]
            tries = []
            for _ in range(3):
                start = time.perf_counter()
                subprocess.run(words, check=True, capture_output=True)
                tries.append(time.perf_counter() - start)
            found[name] = min(tries)
    return found


def page(report: dict[str, Any]) -> str:
    """The report for people, in Markdown."""
    from tests.perf.published_memory import published_page

    said = f"median error {report['median_error']:.1%}, worst {report['worst_error']:.1%}"
    lines = [
        "# Memory, predicted and measured",
        "",
        "Written by `python -m tests.perf.memory` from `memory.json`, which has every item. `slimnb plan` predicts.",
        "",
        f"## Beside {report['cells_compared']} processes on {report['environment']['cores']} CPU cores: {said}",
        "",
        f"Peak resident memory of a process: {report['steps']} steps of training, or scoring (base). `tiny` gave the",
        f"plan's overhead and is not counted; {MODEL} at 8 x 128 without checkpointing gave its gaps: over the other",
        f"{report['cells_without_fitted']} the median error is {report['median_error_without_fitted']:.1%}.",
        f"`{SHAPED}` has Qwen2.5-0.5B's vocabulary and proportions at a quarter of its size, and random weights.",
        "",
        "| model | method | rows x tokens | checkpointing | predicted, GB | measured, GB | error |",
        "| --- | --- | --- | --- | ---: | ---: | ---: |",
    ]
    for cell in report["cells"]:
        lines.append(
            f"| {cell['model']} | {cell['method']} | {cell['rows']} x {cell['length']} | "
            f"{'yes' if cell['checkpointing'] else ''} | {cell['predicted_bytes'] / 1e9:.2f} | "
            f"{cell['measured_bytes'] / 1e9:.2f} | {cell['error']:+.1%} |"
        )
    took = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report["plan_seconds"].items())
    lines += ["", f"`slimnb plan` answered, Python's start included: {took}.", ""]
    return "\n".join([*lines, published_page(report["published"])])


if __name__ == "__main__":
    main()
