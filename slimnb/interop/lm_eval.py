"""lm-evaluation-harness's results -> run folders. Imports no torch, unless a model is named to take the hash of.

lm-eval 0.4.5 to 0.4.13 writes, with --log_samples, results_DATE.json and beside it a samples_TASK_DATE.jsonl for each
task. Each results file becomes one run folder with slimnb's own columns, ids and prompt hashes, so that it can be held
against slimnb's runs. What lm-eval does not log is null: answer_tokens, tokens, hit_limit, truncated. What only lm-eval
knows is kept: doc_id, is_greedy, doc_hash, prompt_hash, target_hash. `seconds` are those of the whole lm-eval run,
loading included, since it times nothing smaller. items.parquet holds no text of a benchmark; the originals, kept in the
run folder's lm_eval/, do.

An adapter that lm-eval loaded (peft=ADAPTER) was trained elsewhere, nobody here knows how. The run's configuration is
therefore `base` of the model `PRETRAINED + ADAPTER`, its record says `peft`, and its lineage is PRETRAINED's, so that it
compares with PRETRAINED's own run. A RunConfig's dtype is bfloat16 or float32; the lineage, which decides what may be
compared, holds lm-eval's own.
"""

from __future__ import annotations

import itertools
import re
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slimnb.benchmarks import BENCHMARKS, Benchmark, ChoiceItem, OpenItem, Questions
from slimnb.benchmarks.gsm8k import Gsm8k, normalize
from slimnb.config import RunConfig
from slimnb.data import DATA_SETS
from slimnb.documents import read_json, validated
from slimnb.environment import versions
from slimnb.errors import SlimnbError
from slimnb.evaluate import item_identity
from slimnb.files import atomic_path, write_json
from slimnb.interop.lm_eval_export import (
    FILTERS,
    TASKS,
    ChoiceSample,
    Results,
    Sample,
    TextSample,
    metric_key,
)
from slimnb.progress import console
from slimnb.records import BenchmarkResult, Lineage, Score
from slimnb.rows import read_json_lines, validate_row
from slimnb.runs import RunFolder

LARGEST = 2_000_000_000
"""Bytes of a file that is still read."""
NULLS = {"tokens": "Int64", "hit_limit": "boolean", "truncated": "boolean"}
"""Columns of slimnb's that lm-eval does not log."""


class AskedOtherwise(SlimnbError):
    """A task bears a benchmark's name but asks something else than slimnb does: left out, with the reason."""


@dataclass(frozen=True)
class Answered:
    """An item of slimnb's and its row; no item where slimnb's own export left the texts out."""

    item: ChoiceItem | OpenItem | None
    row: dict[str, Any]


@dataclass(frozen=True)
class Evaluated:
    """A results file, read and checked."""

    file: Path
    results: Results
    config: RunConfig
    lineage: Lineage
    scored: dict[str, tuple[pd.DataFrame, BenchmarkResult]]
    left_out: dict[str, str]
    """Task -> why."""
    samples: list[Path]

    @property
    def asked(self) -> tuple[Any, ...]:
        """What tells apart evaluations that have the same configuration."""
        return self.lineage, {name: (result.shots, result.prompts_sha256) for name, (_, result) in self.scored.items()}


def import_results(
    path: Path, root: Path, study: str, model: str | None = None, *, originals: bool = True
) -> list[RunFolder]:
    """Make a run folder of each results file, completed, under root/study.

    Everything is read and checked before anything is written. Of several files that ask the same of the same model, the
    newest is taken. Tasks that are none of slimnb's benchmarks are left out; environment.json lists them with the
    reason.

    Args:
        path: a directory, searched for results_*.json, or one results file; the samples lie beside it.
        model: the model that was evaluated (without its adapter) by a name that slimnb knows, to take the hash of its
            weights. None gives a lineage of lm-eval's own, which compares with no run of slimnb's.
        originals: keep the files that were read in the run folder. They hold the benchmarks' texts.

    Raises:
        SlimnbError: nothing to import, missing samples, a damaged or too large file, a link that leads out of the
            directory, scores that the samples do not give, or a run that is there already.
    """
    place = (path if path.is_dir() else path.parent).resolve()
    files = sorted(path.rglob("results_*.json")) if path.is_dir() else [path]
    if not files:
        raise SlimnbError(f"{path}: no results_*.json of lm-eval's in it")
    sha256 = _weights(model) if model else None
    newest: dict[str, Evaluated] = {}
    nothing: list[str] = []
    for file in files:
        results = validated(Results, read_json(_inside(file, place)), str(file))
        one, left_out = _read(file, place, results, model, sha256)
        if one is None:
            nothing += [f"{file}: {task}: {why}" for task, why in left_out.items()]
            continue
        other = newest.get(one.config.run_id)
        if other and other.asked != one.asked:
            raise SlimnbError(
                f"{other.file} and {file} have one configuration but asked different things or different weights: "
                "import each file by itself, into studies of different names"
            )
        if other:
            older, one = sorted((other, one), key=lambda each: each.results.date or 0.0)
            console.print(f"{older.file}: left out, {one.file.name} is newer and asked the same", markup=False)
        newest[one.config.run_id] = one
    if not newest:
        raise SlimnbError("nothing to import:\n  " + "\n  ".join(nothing))
    for one in newest.values():
        _refuse_complete(root / study / one.config.run_id)
    return [_write(one, root, study, originals) for one in newest.values()]
