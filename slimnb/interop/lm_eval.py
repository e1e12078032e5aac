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

import hashlib
import itertools
import re
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import pandas as pd
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, field_validator

from slimnb.benchmarks import BENCHMARKS, Benchmark, ChoiceItem, OpenItem, Questions
from slimnb.benchmarks.gsm8k import Gsm8k, extract_flexible, extract_strict, normalize
from slimnb.config import RunConfig
from slimnb.data import DATA_SETS
from slimnb.documents import read_json, validated
from slimnb.environment import versions
from slimnb.errors import SlimnbError
from slimnb.files import atomic_path, write_json
from slimnb.progress import console
from slimnb.records import BenchmarkResult, Lineage, Score
from slimnb.rows import read_json_lines, validate_row
from slimnb.runs import RunFolder

LARGEST = 2_000_000_000
"""Bytes of a file that is still read."""
FILTERS = {"strict-match": extract_strict, "flexible-extract": extract_flexible}
QUANTIZED = ("load_in_4bit", "load_in_8bit", "autogptq", "gptqmodel", "gguf_file", "quantization")
"""Model arguments that change the weights."""


def task_name(benchmark: str, data_set: str) -> str:
    """lm-eval's task for one data set of a benchmark; the workshop's, which lm-eval has not, keep their names."""
    subject = data_set.removeprefix("mmlu/")
    return {"mmlu_cs": f"mmlu_{subject}", "mmlu_cs_cloze": f"mmlu_{subject}_continuation"}.get(benchmark, benchmark)


TASKS = {task_name(b.name, data_set): (b.name, data_set) for b in BENCHMARKS.values() for data_set in b.data}
for _task, (_benchmark, _data_set) in list(TASKS.items()):  # and the names of tests/perf/lm_eval_peer.py
    _form = {"mmlu_cs": "mmlu_letters_", "mmlu_cs_cloze": "mmlu_cloze_"}.get(_benchmark, "")
    TASKS[f"local_{_form}{_data_set.removeprefix('mmlu/')}"] = (_benchmark, _data_set)


def _utf8(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("not text: half a surrogate pair") from error
    return text


Text = Annotated[str, Field(max_length=100_000), AfterValidator(_utf8)]
Count = Annotated[int, Field(ge=0, le=10**9)]


class _Fields(BaseModel):
    """Fields that newer versions add are ignored."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class Evaluation(_Fields):
    """How lm-eval was called."""

    model_args: dict[Text, Any] | Text | None = None
    model_dtype: Text | None = None
    model_sha: Text | None = None
    limit: float | None = None

    @property
    def arguments(self) -> dict[str, str]:
        given = self.model_args or {}
        if isinstance(given, str):
            given = dict(part.split("=", 1) for part in given.split(",") if "=" in part)
        return {name: str(value) for name, value in given.items() if str(value) not in ("", "None", "False")}


class Claims(_Fields):
    """What slimnb's export says of a benchmark whose texts it left out."""

    prompts_sha256: Text
    chance: FiniteFloat | None = None


class SampleCount(_Fields):
    original: Count | None = None
    effective: Count


class Results(_Fields):
    """A results file."""

    results: dict[Text, dict[Text, Any]]
    configs: dict[Text, Any] = {}
    shots: dict[str, Count] = Field(alias="n-shot")
    counts: dict[str, SampleCount] = Field({}, alias="n-samples")
    config: Evaluation
    model_name: Text
    chat_template: Any = None
    date: FiniteFloat | None = None
    seconds: Annotated[FiniteFloat, Field(ge=0)] = Field(alias="total_evaluation_time_seconds")
    lm_eval_version: Text | None = None
    transformers_version: Text | None = None
    pretty_env_info: str | None = None
    slimnb: dict[str, Claims] = {}


class SampleClaims(_Fields):
    """What slimnb's export says of an item, which its texts would show."""

    id: Text
    subject: Text
    prompt_sha256: Text
    gold: Count | Text
    prediction: Count | Text
    answer_bytes: list[Count] = []


class Sample(_Fields):
    """A line of a samples file: an item, once for each filter."""

    doc_id: Count
    doc: dict[str, Any] = {}
    filter: str = "none"
    doc_hash: Text | None = None
    prompt_hash: Text | None = None
    target_hash: Text | None = None
    slimnb: SampleClaims | None = None

    @field_validator("arguments", mode="before", check_fields=False)
    @classmethod
    def _as_lists(cls, given: Any) -> Any:
        """{gen_args_0: {arg_0: prompt, arg_1: ...}, ...} as it is written, or the lists that older versions wrote."""
        if isinstance(given, dict):
            given = [given.get(f"gen_args_{i}") for i in range(len(given))]
        if isinstance(given, list):
            given = [list(one.values()) if isinstance(one, dict) else one for one in given]
            return [one[:2] if isinstance(one, list) else one for one in given]
        return given


class ChoiceSample(Sample):
    arguments: list[tuple[Text, Text]]
    resps: Annotated[list[list[tuple[FiniteFloat, bool | None]]], Field(min_length=1)]
    acc: FiniteFloat | None = None
    acc_norm: FiniteFloat | None = None


class TextSample(Sample):
    arguments: list[tuple[Text, dict[str, Any]]]
    resps: Annotated[list[list[Text]], Field(min_length=1)]
    filtered_resps: Annotated[list[Text], Field(min_length=1)]
    exact_match: FiniteFloat | None = None
