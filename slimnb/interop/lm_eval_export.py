"""lm-eval's own side of the exchange: what its files hold, and a run written as such files. Imports no torch.

The layout is that of 0.4.13. A benchmark's texts are written only where its data set is present; else doc and arguments
stay empty, and the field `slimnb`, which lm-eval does not have, says of each item what its texts would show.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, field_validator

from slimnb.benchmarks import BENCHMARKS, Benchmark, OpenItem, get_benchmark
from slimnb.benchmarks.gsm8k import Gsm8k, extract_flexible, extract_strict
from slimnb.benchmarks.hellaswag import Hellaswag
from slimnb.data import DATA_SETS, WORKSHOP
from slimnb.environment import versions
from slimnb.errors import SlimnbError
from slimnb.files import atomic_path, write_json
from slimnb.records import BenchmarkResult
from slimnb.rows import read_json_lines, validate_row
from slimnb.runs import RunFolder

FILTERS = {"strict-match": extract_strict, "flexible-extract": extract_flexible}
"""lm-eval's filters on GSM8K, each of which is a metric of slimnb's."""
LONGEST = 100_000
"""Characters of a text: far beyond any prompt of these benchmarks, and what a regular expression can still bear."""
VERSIONS = {"gsm8k": 3.0, "hellaswag": 1.0, "mmlu_cs": 1.0, "mmlu_cs_cloze": 1.0}
"""lm-eval 0.4.13's versions of the tasks."""


def task_name(benchmark: str, data_set: str) -> str:
    """lm-eval's task for one data set of a benchmark; the workshop's, which lm-eval has not, keep their names."""
    subject = data_set.removeprefix("mmlu/")
    return {"mmlu_cs": f"mmlu_{subject}", "mmlu_cs_cloze": f"mmlu_{subject}_continuation"}.get(benchmark, benchmark)


def _local_name(benchmark: str, data_set: str) -> str:
    """The name that tests/perf/lm_eval_peer.py gives the task when it reads local rows."""
    form = {"mmlu_cs": "mmlu_letters_", "mmlu_cs_cloze": "mmlu_cloze_"}.get(benchmark, "")
    return f"local_{form}{data_set.removeprefix('mmlu/')}"


TASKS = {
    name(benchmark.name, data_set): (benchmark.name, data_set)
    for benchmark in BENCHMARKS.values() for data_set in benchmark.data for name in (task_name, _local_name)
}  # fmt: skip
"""lm-eval's task -> slimnb's benchmark and the data set in it."""


def item_ids(benchmark: Benchmark, data_set: str, rows: list[Any]) -> list[str]:
    """The ids that Benchmark.load gives to rows that stand in this order."""
    seen: dict[str, int] = {}
    ids = []
    for row in rows:
        identity = benchmark.identity(row)
        seen[identity] = seen.get(identity, 0) + 1
        again = f"#{seen[identity]}" if seen[identity] > 1 else ""
        ids.append(f"{data_set.removeprefix('mmlu/')}:{identity}{again}")
    return ids


def metric_keys(benchmark: Benchmark) -> dict[str, str]:
    """slimnb's metric -> lm-eval's `metric,filter`."""
    if isinstance(benchmark, Gsm8k):
        return {metric: f"exact_match,{metric}" for metric in benchmark.metrics}
    return {metric: f"{metric},none" for metric in benchmark.metrics}


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("half a surrogate pair, which no file of text can hold") from error
    return text


def _bounded(doc: dict[str, Any]) -> dict[str, Any]:
    if len(_whole(json.dumps(doc, ensure_ascii=False))) > LONGEST:
        raise ValueError(f"more than {LONGEST} characters")
    return doc


Text = Annotated[str, Field(max_length=LONGEST), AfterValidator(_whole)]
Count = Annotated[int, Field(ge=0, le=10**9)]


class _Fields(BaseModel):
    """Fields that are not known, of newer versions, are ignored."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=(), populate_by_name=True)


class Call(_Fields):
    """How lm-eval was called."""

    model_args: dict[Text, Text] = {}
    """Those that are set."""
    model_dtype: Text | None = None
    model_sha: Text | None = None
    limit: FiniteFloat | None = None

    @field_validator("model_args", mode="before")
    @classmethod
    def _as_text(cls, given: Any) -> Any:
        """Some versions log `a=1,b=2`, others the fields."""
        if isinstance(given, str):
            given = dict(part.split("=", 1) for part in given.split(",") if "=" in part)
        if isinstance(given, dict):
            given = {name: str(value) for name, value in given.items()}
            return {name: value for name, value in given.items() if value not in ("", "None", "False")}
        return {} if given is None else given


class Counts(_Fields):
    original: Count | None = None
    effective: Count


class Claims(_Fields):
    """What slimnb's export says of a benchmark whose texts it left out."""

    prompts_sha256: Text
    chance: FiniteFloat | None = None


class Results(_Fields):
    """A results file."""

    results: dict[Text, dict[str, Any]]
    configs: dict[Text, Any] = {}
    shots: dict[str, Count] = Field(alias="n-shot")
    counts: dict[str, Counts] = Field({}, alias="n-samples")
    config: Call
    model_name: Text
    chat_template: Any = None
    date: FiniteFloat | None = None
    seconds: Annotated[FiniteFloat, Field(ge=0)] = Field(alias="total_evaluation_time_seconds")
    lm_eval_version: Text | None = None
    transformers_version: Text | None = None
    pretty_env_info: Text | None = None
    slimnb: dict[str, Claims] = {}


class ItemClaims(_Fields):
    """What slimnb's export says of an item whose texts it left out."""

    id: Text
    subject: Text
    prompt_sha256: Text
    gold: Count | Text
    prediction: Count | Text
    answer_bytes: list[Count] = []


class Sample(_Fields):
    """A line of a samples file: an item, once for each filter."""

    doc_id: Count
    doc: Annotated[dict[str, Any], AfterValidator(_bounded)] = {}
    filter: str = "none"
    doc_hash: Text | None = None
    prompt_hash: Text | None = None
    target_hash: Text | None = None
    slimnb: ItemClaims | None = None

    @field_validator("arguments", mode="before", check_fields=False)
    @classmethod
    def _as_lists(cls, given: Any) -> Any:
        """{gen_args_0: {arg_0: ..., arg_1: ...}, ...}, or lists of lists; what comes third is of no task here."""
        if isinstance(given, dict):
            given = [given.get(f"gen_args_{i}") for i in range(len(given))]
        if isinstance(given, list):
            given = [[one.get("arg_0"), one.get("arg_1")] if isinstance(one, dict) else one for one in given]
            given = [one[:2] if isinstance(one, list) else one for one in given]
        return given


class ChoiceSample(Sample):
    arguments: list[tuple[Text, Text]]
    resps: Annotated[list[Annotated[list[tuple[FiniteFloat, bool | None]], Field(min_length=1)]], Field(min_length=1)]
    acc: FiniteFloat | None = None
    acc_norm: FiniteFloat | None = None


class TextSample(Sample):
    arguments: list[tuple[Text, dict[str, Any]]]
    resps: Annotated[list[Annotated[list[Text], Field(min_length=1)]], Field(min_length=1)]
    filtered_resps: Annotated[list[Text], Field(min_length=1)]
    exact_match: FiniteFloat | None = None
