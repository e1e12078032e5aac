"""How the files of lm-evaluation-harness look: their fields, validated, and where they may lie.

lm-eval 0.4.5 to 0.4.13 writes, with --log_samples, results_DATE.json and beside it a samples_TASK_DATE.jsonl for each
task. Every file is taken as hostile: fields are validated, lengths bounded, and links are not followed out of the
directory that was named. Imports no torch.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, field_validator

from slimnb.benchmarks import BENCHMARKS, Benchmark, ChoiceItem, OpenItem
from slimnb.benchmarks.gsm8k import Gsm8k, extract_flexible, extract_strict
from slimnb.errors import SlimnbError
from slimnb.io.documents import no_truth

LARGEST = 2_000_000_000
"""Bytes of a file that is still read."""
LONGEST = 100_000
"""Characters of a text: far beyond any prompt of these benchmarks, and what the extraction still does in seconds."""
FILTERS = {"strict-match": extract_strict, "flexible-extract": extract_flexible}
"""lm-eval's filters on GSM8K, each a metric of slimnb's, and what slimnb extracts by them."""
TOKEN_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""Names by which lm-eval takes the length limit of a generation; the first that is given counts."""
USUAL_LIMIT = 256


def task_name(benchmark: str, data_set: str) -> str:
    """lm-eval's task for one data set of a benchmark; the workshop's, which lm-eval has not, keep their names."""
    subject = data_set.removeprefix("mmlu/")
    return {"mmlu_cs": f"mmlu_{subject}", "mmlu_cs_cloze": f"mmlu_{subject}_continuation"}.get(benchmark, benchmark)


def _local_name(benchmark: str, data_set: str) -> str:
    """The name that tests/perf/lm_eval_peer.py gives the task where it reads local rows."""
    form = {"mmlu_cs": "mmlu_letters_", "mmlu_cs_cloze": "mmlu_cloze_"}.get(benchmark, "")
    return f"local_{form}{data_set.removeprefix('mmlu/')}"


TASKS = {
    name(benchmark.name, data_set): (benchmark.name, data_set)
    for benchmark in BENCHMARKS.values() for data_set in benchmark.data for name in (task_name, _local_name)
}  # fmt: skip
"""lm-eval's task -> slimnb's benchmark and the data set in it."""


def metric_keys(benchmark: Benchmark) -> dict[str, str]:
    """slimnb's metric -> lm-eval's `metric,filter`."""
    form = "exact_match,{}" if isinstance(benchmark, Gsm8k) else "{},none"
    return {metric: form.format(metric) for metric in benchmark.metrics}


def _bounded(doc: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(doc, ensure_ascii=False)) > LONGEST:
        raise ValueError(f"more than {LONGEST} characters")
    return doc


Text = Annotated[str, Field(max_length=LONGEST)]
Count = Annotated[int, BeforeValidator(no_truth), Field(ge=0, le=10**9)]
AtLeastOne = Field(min_length=1)


class AnotherTaskError(SlimnbError):
    """A task bears a benchmark's name but is another one: left out, with the reason."""


class Fields(BaseModel):
    """Fields that are not known, of newer versions, are ignored."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class Call(Fields):
    """How lm-eval was called, and what it loaded."""

    model_args: dict[Text, Text] = {}
    """Those that are set."""
    model_dtype: Text | None = None
    model_sha: Text | None = None
    """The Hub's commit."""
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


class Counts(Fields):
    original: Count | None = None
    effective: Count


class Claims(Fields):
    """What slimnb's own export says of a benchmark whose texts it left out."""

    prompts_sha256: Text
    chance: FiniteFloat | None = None


class Results(Fields):
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


class Origin(Fields):
    """What environment.json holds of an imported run."""

    results_file: Text
    model_name: Text
    date: FiniteFloat | None
    call: Call
    left_out: dict[Text, str]
    kept: bool


class ItemClaims(Fields):
    """What slimnb's own export says of an item whose texts it left out."""

    id: Text
    subject: Text
    prompt_sha256: Text


class ChoiceClaims(ItemClaims):
    gold: Count
    prediction: Count
    answer_bytes: list[Count]


class TextClaims(ItemClaims):
    gold: Text


class Sample(Fields):
    """A line of a samples file: an item, once for each filter."""

    doc_id: Count
    doc: Annotated[dict[str, Any], AfterValidator(_bounded)] = {}
    filter: str = "none"
    doc_hash: Text | None = None
    prompt_hash: Text | None = None
    target_hash: Text | None = None

    @field_validator("arguments", mode="before", check_fields=False)
    @classmethod
    def _as_lists(cls, given: Any) -> Any:
        """{gen_args_0: {arg_0: ..., arg_1: ...}, ...} as it is written now, or the lists of older versions."""
        if isinstance(given, dict):
            given = [given.get(f"gen_args_{i}") for i in range(len(given))]
        if isinstance(given, list):
            return [[one.get("arg_0"), one.get("arg_1")] if isinstance(one, dict) else one for one in given]
        return given


class ChoiceSample(Sample):
    arguments: list[tuple[Text, Text]]
    """Prompt and answer, an answer each."""
    resps: Annotated[list[Annotated[list[tuple[FiniteFloat, bool | None]], AtLeastOne]], AtLeastOne]
    """Log-likelihood and whether it is the likeliest text: a list an answer, one of it a repeat."""
    acc: FiniteFloat | None = None
    acc_norm: FiniteFloat | None = None
    slimnb: ChoiceClaims | None = None


class TextSample(Sample):
    arguments: list[tuple[Text, dict[str, Any]]]
    """Prompt and how to generate."""
    resps: Annotated[list[Annotated[list[Text], AtLeastOne]], AtLeastOne]
    filtered_resps: Annotated[list[Text], AtLeastOne]
    """What the filter extracted."""
    exact_match: FiniteFloat | None = None
    slimnb: TextClaims | None = None


def inside(file: Path, place: Path) -> Path:
    """Where a file really is, if it may be read.

    Raises:
        SlimnbError: a link that leads out of `place`, no regular file, or one that is too large.
    """
    try:
        real = file.resolve()
        if not real.is_relative_to(place):
            raise SlimnbError(f"{file}: a link that leads out of {place}: not read")
        if not real.is_file():
            raise SlimnbError(f"{file}: not a file, or not there")
        if real.stat().st_size > LARGEST:
            raise SlimnbError(f"{file}: larger than {LARGEST / 1e9:.0f} GB: not read")
    except (OSError, RuntimeError) as error:  # a RuntimeError is a circle of links
        raise SlimnbError(f"{file}: cannot be read ({error})") from error
    return real


def samples_file(results: Path, task: str, place: Path) -> Path:
    """The samples of the same date; beside a results file that bears no date, the newest.

    Raises:
        SlimnbError: there are none, or they may not be read.
    """
    dated = re.search(r"_(\d{4}-\d\d-\d\dT.*)$", results.stem)
    pattern = f"samples_{task}_{dated[1] if dated else '[0-9]*'}.jsonl"
    found = [results.with_name(pattern)] if dated else sorted(results.parent.glob(pattern))
    if not found or (not found[-1].is_symlink() and not found[-1].exists()):
        raise SlimnbError(f"{results}: no {pattern} beside it: run lm-eval again with --log_samples")
    inside(found[-1], place)
    return found[-1]


def sort_tasks(results: Results, file: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """benchmark -> its tasks in the order of its data sets; and task -> why it is left out."""
    left_out: dict[str, str] = {}
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for task in results.configs or results.results:  # unlike results, configs holds no groups
        benchmark, data_set = TASKS.get(task, ("", ""))
        if not benchmark:
            left_out[task] = "not a benchmark of slimnb's"
        elif other := found[benchmark].get(data_set):
            raise SlimnbError(f"{file}: {task} and {other} are the same benchmark")
        else:
            found[benchmark][data_set] = task
    wanted = {}
    for name, benchmark in BENCHMARKS.items():
        missing = [data_set.removeprefix("mmlu/") for data_set in benchmark.data if data_set not in found[name]]
        if missing:
            left_out |= dict.fromkeys(found[name].values(), f"{name} is not whole without {', '.join(missing)}")
        else:
            wanted[name] = [found[name][data_set] for data_set in benchmark.data]
    return wanted, left_out


def check_asked(benchmark: Benchmark, item: ChoiceItem | OpenItem, sample: Any, where: str, results: Results) -> None:
    """Raise AnotherTaskError for what bears a benchmark's name but has other answers, or is generated otherwise."""
    if isinstance(item, ChoiceItem):
        joint = "" if results.chat_template else " "
        if sample.arguments != [(item.prompt, joint + choice) for choice in item.choices]:
            raise AnotherTaskError(f"{where}: its answers are not those that slimnb's {benchmark.name} has")
        if len(sample.resps) != len(item.choices):
            raise SlimnbError(f"{where}: {len(item.choices)} answers, but {len(sample.resps)} log-likelihoods")
    elif isinstance(benchmark, Gsm8k):
        settings = sample.arguments[0][1]
        both = results.config.model_args | settings
        most = next((both[name] for name in TOKEN_LIMITS if name in both), USUAL_LIMIT)
        until = settings.get("until")
        stops = isinstance(until, list) and {str(word) for word in until} == set(benchmark.stop)
        greedy = not settings.get("do_sample") and not settings.get("temperature")
        if not (stops and greedy and str(most) == str(benchmark.max_new_tokens)):
            raise AnotherTaskError(
                f"{where}: generated with {str(settings)[:200]} up to {str(most)[:20]} tokens; slimnb's "
                f"{benchmark.name} is generated greedily up to {benchmark.max_new_tokens} or {list(benchmark.stop)}"
            )
