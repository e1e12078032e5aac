"""Training beside TRL: speed, memory, the share of the machine's rate. Writes data/perf/training.json.

Each measurement is a process of its own: `python -m tests.perf.training` runs them in turn, three pairs a comparison;
`... one WHO EXAMPLES [BATCH ACCUMULATION]` is one of them, with `trl` or one of slimnb's methods as WHO, and
`... inside` looks into slimnb's own time (tests/perf/inside.py). A case measured at this commit already is kept;
`--again` measures all. A quiet machine is needed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimnb.config import RunConfig, make_run_config
from slimnb.io.documents import read_json

if TYPE_CHECKING:  # torch stays out of the process that starts the others: see `measure`
    from slimnb.models.load import LoadedModel
    from slimnb.training.loop import Step
    from slimnb.training.training_sets import Example

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SLIMNB_DATA") or ROOT.parent / "shared" / "data")
RESULT = ROOT / "data" / "perf" / "training.json"
MODEL = "smollm2-135m"
EXAMPLES = 128
INSIDE_EXAMPLES = 64
SEARCH_EXAMPLES = 16
PAIRS = 3
TRL_BATCHES = ("8 x 1", "4 x 2", "2 x 4", "1 x 8")
"""Examples a micro-batch and micro-batches a step, for TRL. The first is a batch of 8 as it is commonly given; beside
it stands the fastest, found on a part of the examples: on a CPU, padding costs more than small products do."""

Turn = dict[str, Any]
"""What `measure` found: seconds, process_seconds, examples, peak_bytes and more."""


def settings(method: str) -> RunConfig:
    """What slimnb and TRL both train: slimnb's defaults, one epoch. The report holds them in full."""
    return make_run_config(
        method=method, model=MODEL, dtype="bfloat16", benchmarks=["gsm8k"], train_on="gsm8k_train", epochs=1
    )


def prepare(config: RunConfig, device: str | None = "cpu") -> tuple[LoadedModel, int]:
    """A fresh model, made ready as slimnb.experiment does, and the bytes of its weights before any adapter."""
    from slimnb.models.load import add_lora, load_model, weights_bytes

    loaded = load_model(config.model, config.dtype, config.four_bit, device)
    size = weights_bytes(loaded.model)
    if config.lora:
        return add_lora(loaded, config.lora, config.seed), size
    loaded.model.float().requires_grad_(True)
    return loaded, size


def train(loaded: LoadedModel, rows: list[Example], config: RunConfig) -> list[Step]:
    """slimnb's training, called as slimnb.experiment does; the one place to change where that call changes."""
    from slimnb.training.loop import train

    assert config.training is not None
    steps: list[Step] = []
    mixed = config.dtype == "bfloat16"
    train(loaded, rows, config.training, config.seed, lambda step, _: steps.append(step), mixed)
    return steps


def losses(steps: list[float]) -> dict[str, float]:
    """The loss of the first step, and of the last quarter of them: one step's eight examples say little."""
    return {"first_loss": steps[0], "final_loss": statistics.fmean(steps[-max(1, len(steps) // 4) :])}


def with_slimnb(method: str, rows: list[Example]) -> Turn:
    config = settings(method)
    loaded, size = prepare(config)
    start = time.perf_counter()
    steps = train(loaded, rows, config)
    seconds = time.perf_counter() - start
    labels = sum(step.label_tokens for step in steps)
    return {
        "seconds": seconds, "steps": len(steps), "label_tokens": labels, "weights_bytes": size,
        **losses([step.loss for step in steps]),
    }  # fmt: skip


def with_trl(rows: list[Example], batch: int, accumulation: int) -> Turn:
    """The same with TRL's SFTTrainer, on the model as transformers loads it, without what slimnb does to one."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from slimnb.models.load import get_model

    config = settings("lora")
    training, lora = config.training, config.lora
    assert training is not None and lora is not None
    place = get_model(MODEL)
    with tempfile.TemporaryDirectory() as scratch:
        options = SFTConfig(
            output_dir=scratch, seed=config.seed, use_cpu=True, bf16=True, dataloader_pin_memory=False,
            per_device_train_batch_size=batch, gradient_accumulation_steps=accumulation,
            num_train_epochs=1, learning_rate=training.learning_rate, lr_scheduler_type=training.schedule,
            warmup_steps=training.warmup,  # below 1, a share of the steps
            weight_decay=training.weight_decay, max_grad_norm=training.clip, max_length=training.max_length,
            completion_only_loss=True, packing=False, gradient_checkpointing=False,
            save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True,
        )  # fmt: skip
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(place, dtype=torch.bfloat16),
            args=options,
            processing_class=AutoTokenizer.from_pretrained(place),
            train_dataset=Dataset.from_list([{"prompt": row.prompt, "completion": row.completion} for row in rows]),
            peft_config=LoraConfig(
                r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=lora.targets,
                task_type="CAUSAL_LM",
            ),
        )  # fmt: skip
        parts = []
        step = trainer.training_step

        def recorded(*args: Any, **kwargs: Any) -> Any:
            loss = step(*args, **kwargs)
            parts.append(loss)
            return loss

        trainer.training_step = recorded  # cheaper than logging every step, which counts as training's time
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
    # A micro-batch's loss is its share of the step's: a sum over its labels, divided by all of the step's labels.
    whole = [sum(float(part) for part in parts[i : i + accumulation]) for i in range(0, len(parts), accumulation)]
    labels = sum(label != -100 for row in trainer.train_dataset["labels"] for label in row)
    return {"seconds": seconds, "steps": trainer.state.global_step, "label_tokens": labels, **losses(whole)}


def examples(number: int) -> list[Example]:
    from slimnb.training.training_sets import load_training_set

    return load_training_set("gsm8k_train", DATA, number).examples


def one(who: str, number: int, *batches: int) -> Turn:
    """Load a model, train it once, and tell the seconds of the training alone, the losses and the peak memory."""
    import resource

    import torch

    rows = examples(number)
    found = with_trl(rows, *batches) if who == "trl" else with_slimnb(who, rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {**found, "examples": len(rows), "peak_bytes": peak, "threads": torch.get_num_threads()}


def look_inside() -> dict[str, Any]:
    """LoRA's share of the machine's rate. `inside.look` trains three times, each time a model made before."""
    from tests.perf import inside

    config, rows = settings("lora"), examples(INSIDE_EXAMPLES)
    fresh = [prepare(config)[0] for _ in range(3)]
    return {"examples": len(rows), **inside.look(lambda: train(fresh.pop(), rows, config))}


def measure(*words: Any, module: str = "tests.perf.training") -> Turn:
    """What a process of its own prints, with the seconds of the whole process beside.

    A process's peak memory begins with that of the one that started it, so this one must stay small.
    """
    start = time.perf_counter()
    outcome = subprocess.run(
        [sys.executable, "-m", module, *map(str, words)],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},  # nobody's time shall hold a wait for the Hub
    )  # fmt: skip
    if outcome.returncode:
        sys.exit(outcome.stderr)
    found = json.loads(outcome.stdout.splitlines()[-1])
    shown = {key: round(value, 3) for key, value in found.items() if isinstance(value, int | float)}
    print(*words, shown, file=sys.stderr, flush=True)
    return found | {"process_seconds": time.perf_counter() - start}


def in_turn(sides: dict[str, tuple[Any, ...]]) -> dict[str, list[Turn]]:
    """PAIRS times each side, one after the other, so that a machine that grows slower does so for all."""
    turns: dict[str, list[Turn]] = {name: [] for name in sides}
    for _ in range(PAIRS):
        for name, words in sides.items():
            turns[name].append(measure("one", *words))
    return turns


def median(turns: list[Turn], key: str) -> float:
    return statistics.median(turn[key] for turn in turns)


def rate(turns: list[Turn]) -> float:
    """Examples a second of the training alone."""
    return turns[0]["examples"] / median(turns, "seconds")


def peak(turns: list[Turn]) -> int:
    return max(turn["peak_bytes"] for turn in turns)


def beside_trl(turns: dict[str, list[Turn]], tried: dict[str, float]) -> dict[str, Any]:
    """slimnb's turns beside TRL's, by TRL's batches; `tried` holds TRL's seconds on the part of the examples."""
    ours = turns["slimnb"]
    theirs = {name: found for name, found in turns.items() if name != "slimnb"}
    return {
        "examples": ours[0]["examples"],
        "trl_tried": tried,
        "wanted_ratio": 2.5,
        "wanted_memory_share": 0.5,
        "beside": {
            name: {
                "loop_ratio": median(found, "seconds") / median(ours, "seconds"),
                "process_ratio": median(found, "process_seconds") / median(ours, "process_seconds"),
                "memory_share": peak(ours) / peak(found),
            }
            for name, found in theirs.items()
        },
        "examples_per_second": {who: rate(found) for who, found in turns.items()},
        "peak_bytes": {who: peak(found) for who, found in turns.items()},
        "final_loss": {who: median(found, "final_loss") for who, found in turns.items()},
        "label_tokens": {who: found[0]["label_tokens"] for who, found in turns.items()},
        "turns": turns,
    }  # fmt: skip


def qlora_beside_lora(turns: dict[str, list[Turn]]) -> dict[str, Any]:
    qlora, lora = turns["qlora"], turns["lora"]
    return {
        "examples": lora[0]["examples"],
        "wanted_speed": 0.85,
        "speed": rate(qlora) / rate(lora),
        "wanted_weights_share": 0.45,
        "weights_share": qlora[0]["weights_bytes"] / lora[0]["weights_bytes"],
        "qlora_examples_per_second": rate(qlora), "lora_examples_per_second": rate(lora),
        "peak_bytes": {who: peak(found) for who, found in turns.items()},
        "final_loss": {who: median(found, "final_loss") for who, found in turns.items()},
        "turns": turns,
    }  # fmt: skip


def measure_beside_trl() -> dict[str, Any]:
    tried = {name: measure("one", "trl", SEARCH_EXAMPLES, *name.split(" x "))["seconds"] for name in TRL_BATCHES}
    compared = dict.fromkeys((TRL_BATCHES[0], min(tried, key=lambda name: tried[name])))
    trl = {f"trl {name}": ("trl", EXAMPLES, *name.split(" x ")) for name in compared}
    return beside_trl(in_turn({"slimnb": ("lora", EXAMPLES), **trl}), tried)


def measure_full() -> dict[str, Any]:
    turn = measure("one", "full", EXAMPLES)
    return {**turn, "examples_per_second": rate([turn])}


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    f"lora, {EXAMPLES} GSM8K examples": measure_beside_trl,
    "qlora against lora": lambda: qlora_beside_lora(in_turn({who: (who, EXAMPLES) for who in ("qlora", "lora")})),
    "full": measure_full,
    "inside": lambda: measure("inside"),
}


def kept(report: dict[str, Any], git: dict[str, Any] | None) -> dict[str, Any]:
    """The cases of an earlier report that were measured at this commit."""
    cases = report.get("cases", {}) if git else {}
    return {name: case for name, case in cases.items() if name in CASES and case["git"]["commit"] == git["commit"]}


def main() -> None:
    from slimnb.io.files import write_json
    from slimnb.machine.environment import describe

    if sys.argv[1:2] == ["one"]:
        who, *numbers = sys.argv[2:]
        print(json.dumps(one(who, *map(int, numbers))))
        return
    if sys.argv[1:2] == ["inside"]:
        print(json.dumps(look_inside()))
        return
    environment = describe()
    report: dict[str, Any] = {
        "environment": environment, "trl": version("trl"), "settings": settings("lora").model_dump(mode="json"),
    }  # fmt: skip
    again = "--again" in sys.argv or not RESULT.exists()
    cases = report["cases"] = {} if again else kept(read_json(RESULT), environment["git"])
    for name, work in CASES.items():
        if name not in cases:
            cases[name] = {"git": environment["git"], **work()}
            write_json(RESULT, report)


if __name__ == "__main__":
    main()
