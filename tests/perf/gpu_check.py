"""slimnb on a CUDA GPU: every method trained and scored once. Writes data/perf/gpu-NAME.json. `make gpu-check`.

Each method is a process of its own, so that its peak memory is its own and its crash takes no other along:
`python -m tests.perf.gpu_check one METHOD MODEL STEPS`. Method `base` trains nothing: in float32 it tells how far
packed answers are from plainly scored ones where no rounding hides it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from slimnb.config import METHODS, RunConfig, make_run_config, slug
from tests.perf.training import DATA, ROOT, losses, prepare, train

if TYPE_CHECKING:  # the functions below import what they need: without CUDA nothing is loaded but torch
    import torch

    from slimnb.benchmarks import Questions
    from slimnb.models.load import LoadedModel
    from slimnb.training.loop import Step

MODEL, STEPS = "smollm2-135m", 60
CHOICE_ITEMS, OPEN_ITEMS = 100, 16
WARM_UP = 10
"""Steps left out of the steady rate: kernels are loaded and chosen in the first of them."""
SAMPLE_SECONDS = 0.1


def settings(method: str, model: str, steps: int) -> RunConfig:
    """slimnb's defaults, on the real data sets where they are and else on the workshop's."""
    real = all((DATA / "gsm8k" / f"{split}.jsonl").is_file() for split in ("train", "test"))
    real = real and (DATA / "hellaswag" / "validation.jsonl").is_file()
    benchmarks = ["hellaswag", "gsm8k"] if real else ["workshop_commonsense", "workshop_math"]
    if method == "base":
        return make_run_config(method=method, model=model, dtype="float32", benchmarks=benchmarks)
    data = "gsm8k_train" if real else "workshop_math"
    return make_run_config(
        method=method, model=model, dtype="bfloat16", benchmarks=benchmarks, train_on=data, train_limit=8 * steps,
        steps=steps,
    )  # fmt: skip


@contextmanager
def utilization(device: torch.device) -> Iterator[list[int]]:
    """Fill a list with the percent of time that kernels ran, while the block does; it stays empty without pynvml."""
    import torch

    samples: list[int] = []
    done = threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE_SECONDS):
            try:
                samples.append(torch.cuda.utilization(device))
            except Exception:  # no pynvml, or a driver that does not tell: neither may stop the check
                return

    thread = threading.Thread(target=sample, daemon=True)
    if device.type == "cuda":
        thread.start()
    try:
        yield samples
    finally:
        done.set()
        if thread.ident is not None:
            thread.join()


def mean(samples: list[int]) -> float | None:
    return statistics.fmean(samples) if samples else None


def speed(steps: list[Step]) -> dict[str, float | None]:
    """Tokens a second over all steps, and over those after the warm-up."""
    late = steps[WARM_UP:]
    steady = sum(step.tokens for step in late) / (late[-1].seconds - steps[WARM_UP - 1].seconds) if late else None
    return {
        "tokens_per_second": sum(step.tokens for step in steps) / steps[-1].seconds,
        "steady_tokens_per_second": steady,
    }


def check_training(config: RunConfig, device: torch.device) -> tuple[LoadedModel, dict[str, Any]]:
    from slimnb.compute.peak import peak_bytes, reset_peak
    from slimnb.training.training_sets import load_training_set

    assert config.training is not None
    rows = load_training_set(config.training.data, DATA, config.training.limit).examples
    reset_peak(device)
    loaded, size = prepare(config, str(device))
    with utilization(device) as samples:
        steps = train(loaded, rows, config)
    if config.lora is None:
        loaded.model.bfloat16()  # scored in the precision of the others
    return loaded, {
        **speed(steps), "seconds": steps[-1].seconds, "steps": len(steps),
        "tokens": sum(step.tokens for step in steps), "examples": sum(step.examples for step in steps),
        "weights_bytes": size, "peak_bytes": peak_bytes(device), "utilization_percent": mean(samples),
        **losses([step.loss for step in steps]), "last_loss": steps[-1].loss,
    }  # fmt: skip


def check_benchmark(loaded: LoadedModel, name: str, questions: Questions) -> dict[str, Any]:
    from slimnb.benchmarks import get_benchmark
    from slimnb.compute.peak import peak_bytes, reset_peak
    from slimnb.evaluation.evaluate import evaluate

    reset_peak(loaded.device)
    with utilization(loaded.device) as samples:
        _, result = evaluate(loaded, get_benchmark(name), questions)
    return {
        "metrics": {metric: f"{score.k} of {score.n}" for metric, score in result.metrics.items()},
        "shots": result.shots, "seconds": result.seconds, "items_per_second": result.items / result.seconds,
        "peak_bytes": peak_bytes(loaded.device), "utilization_percent": mean(samples),
    }  # fmt: skip


def agreement(loaded: LoadedModel, questions: Questions) -> dict[str, Any]:
    """The same answers scored packed behind their question and each by itself: the largest difference in nats."""
    from slimnb.compute.batches import find_budget
    from slimnb.compute.tokens import context_length, encode_pair
    from slimnb.evaluation.scoring import packs, score_choices, score_plainly

    model, tokenizer = loaded.model, loaded.tokenizer
    most = context_length(model)
    encoded = [
        [encode_pair(tokenizer, item.prompt, item.joint + choice, most) for choice in item.choices]
        for item in questions.items
    ]
    packed = score_choices(model, tokenizer, questions.items)
    plain = score_plainly(model, tokenizer, encoded, find_budget(model))
    differences = [
        abs(a - b)
        for one, other in zip(packed, plain, strict=True)
        for a, b in zip(one.log_likelihoods, other.log_likelihoods, strict=True)
    ]
    return {
        "packs": packs(model), "answers": len(differences), "dtype": str(model.dtype).removeprefix("torch."),
        "largest_difference_nats": max(differences), "mean_difference_nats": statistics.fmean(differences),
    }  # fmt: skip


def one(
    method: str, model: str, steps: int, device: str = "cuda:0", choices: int = CHOICE_ITEMS, opened: int = OPEN_ITEMS
) -> dict[str, Any]:
    """Train by a method, score, and compare packed with plain scoring.

    Args:
        choices, opened: items of the multiple-choice benchmark and of the one with open answers.
    """
    import torch

    from slimnb.benchmarks import get_benchmark
    from slimnb.models.load import load_model

    config = settings(method, model, steps)
    limits = zip(config.benchmarks, (choices, opened), strict=True)
    asked = {name: get_benchmark(name).load(DATA, None, limit) for name, limit in limits}
    chosen = asked[config.benchmarks[0]]
    if config.training is None:
        return {"packing": agreement(load_model(model, config.dtype, device=device), chosen)}
    loaded, training = check_training(config, torch.device(device))
    return {
        "training_set": config.training.data,
        "training": training,
        "benchmarks": {name: check_benchmark(loaded, name, questions) for name, questions in asked.items()},
        "packing": agreement(loaded, chosen),
    }


def main(words: list[str]) -> None:
    if words[:1] == ["one"]:
        method, model, steps = words[1:]
        print(json.dumps(one(method, model, int(steps))))
        return
    parser = argparse.ArgumentParser(prog="python -m tests.perf.gpu_check", description=__doc__)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args(words)
    import torch

    if not torch.cuda.is_available():
        print(
            f"No CUDA GPU here: with one, this would train {options.model} by LoRA, QLoRA and full fine-tuning for "
            f"{options.steps} steps each, score it on {CHOICE_ITEMS} multiple-choice and {OPEN_ITEMS} open items, and "
            "write speed, memory and agreement to data/perf/gpu-NAME.json."
        )
        return
    sys.exit(check(options.model, options.steps))


def check(model: str, steps: int) -> int:
    """Every method in a process of its own; the report is written after each. 1 if one of them failed."""
    import torch

    from slimnb.io.files import write_json
    from slimnb.machine.environment import describe

    name = torch.cuda.get_device_name()
    result = ROOT / "data" / "perf" / f"gpu-{slug(name)}.json"
    report: dict[str, Any] = {"environment": describe(), "cuda": torch.version.cuda, "model": model, "methods": {}}
    for method in METHODS:
        command = [sys.executable, "-m", "tests.perf.gpu_check", "one", method, model, str(steps)]
        outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if outcome.returncode:
            print(outcome.stderr, file=sys.stderr)
            found = {"error": (outcome.stderr.strip().splitlines() or ["no message"])[-1]}
        else:
            found = json.loads(outcome.stdout.splitlines()[-1])
        report["methods"][method] = found
        write_json(result, report)
        print(f"{method}: {json.dumps(found, indent=2)}", flush=True)
    print(f"written: {result}")
    return int(any("error" in found for found in report["methods"].values()))


if __name__ == "__main__":
    main(sys.argv[1:])
