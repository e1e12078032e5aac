"""lm-evaluation-harness on local rows: its own task definitions, with the data set exchanged for JSON Lines files."""

from __future__ import annotations

import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from slimnb.data.load import MMLU_CS_SUBJECTS


def _definition(*path: str) -> str:
    """The file of one of lm-eval's own tasks; lm-eval is looked for only here, so that its absence stops no import."""
    return str(Path(str(files("lm_eval"))).joinpath("tasks", *path))


def _files(directory: Path, **splits: str) -> dict[str, Any]:
    return {
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {split: str(directory / file) for split, file in splits.items()}},
        # slimnb shows the first examples; lm-eval's own default draws them at random.
        "fewshot_config": {"sampler": "first_n"},
    }


def _definitions(directory: Path) -> dict[str, dict[str, Any]]:
    tasks = {
        "local_hellaswag": {
            "include": _definition("hellaswag", "hellaswag.yaml"),
            **_files(directory, train="hellaswag/train.jsonl", validation="hellaswag/validation.jsonl"),
        },
        "local_gsm8k": {
            "include": _definition("gsm8k", "gsm8k.yaml"),
            **_files(directory, train="gsm8k/train.jsonl", test="gsm8k/test.jsonl"),
        },
    }
    for subject in MMLU_CS_SUBJECTS:
        rows = _files(directory, dev=f"mmlu/{subject}/dev.jsonl", test=f"mmlu/{subject}/test.jsonl")
        for form, folder in (("letters", "default"), ("cloze", "continuation")):
            tasks[f"local_mmlu_{form}_{subject}"] = {
                "include": _definition("mmlu", folder, f"mmlu_{subject}.yaml"), **rows,
            }  # fmt: skip
    return {name: {"task": name, "tag": "slimnb_local", **fields} for name, fields in tasks.items()}


def task_names(benchmark: str) -> list[str]:
    """lm-eval's tasks, as defined here, that make up a benchmark of slimnb's."""
    if benchmark == "mmlu_cs":
        return [f"local_mmlu_letters_{subject}" for subject in MMLU_CS_SUBJECTS]
    if benchmark == "mmlu_cs_cloze":
        return [f"local_mmlu_cloze_{subject}" for subject in MMLU_CS_SUBJECTS]
    return [f"local_{benchmark}"]


def harness(model: Any, tokenizer: Any, batch_size: int) -> Any:
    """lm-eval's wrapper around a model that is loaded already."""
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size, device="cpu")


def evaluate(wrapped: Any, benchmark: str, directory: Path, shots: int, limit: int | None = None) -> dict[str, Any]:
    """Run lm-eval and give its result with every sample logged.

    Args:
        limit: items of each of lm-eval's tasks, of which mmlu_cs has four.
    """
    import lm_eval
    from lm_eval.tasks import TaskManager

    with tempfile.TemporaryDirectory() as scratch:
        for name, definition in _definitions(directory.resolve()).items():
            (Path(scratch) / f"{name}.yaml").write_text(yaml.safe_dump(definition))
        found = lm_eval.simple_evaluate(
            model=wrapped, tasks=task_names(benchmark), num_fewshot=shots, limit=limit, log_samples=True,
            bootstrap_iters=0, task_manager=TaskManager(include_path=scratch), random_seed=0,
        )  # fmt: skip
    assert found is not None
    return found
