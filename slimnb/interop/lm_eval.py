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
compared, holds lm-eval's own. A RunConfig's limit and shots are one for all benchmarks: where lm-eval's differ, limit is
the largest and shots are null, and each benchmark's result holds its own.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import shutil
from collections import defaultdict
from dataclasses import dataclass
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
from slimnb.files import atomic_path, write_json
from slimnb.interop.lm_eval_export import (
    FILTERS,
    TASKS,
    ChoiceSample,
    Results,
    Sample,
    TextSample,
    item_ids,
    metric_keys,
)
from slimnb.progress import console
from slimnb.records import BenchmarkResult, Lineage, Score
from slimnb.rows import read_json_lines, validate_row
from slimnb.runs import RunFolder

LARGEST = 2_000_000_000
"""Bytes of a file that is still read."""
QUANTIZED = ("load_in_4bit", "load_in_8bit", "autogptq", "gptqmodel", "gguf_file", "quantization")
"""Model arguments by which lm-eval changes the weights."""
TOKEN_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""Names by which lm-eval takes the length limit of a generation, the first given counts."""
NOT_LOGGED = {"tokens": "Int64", "hit_limit": "boolean", "truncated": "boolean"}
TOLERANCE = 1e-6
"""By which a logged score may differ from k / n."""


class AskedOtherwise(SlimnbError):
    """A task bears a benchmark's name but is another one: left out, with the reason."""


@dataclass(frozen=True)
class Answered:
    """An item and its row; no item where slimnb's own export left the texts out."""

    item: ChoiceItem | OpenItem | None
    row: dict[str, Any]


@dataclass(frozen=True)
class Evaluated:
    """A results file, read and checked."""

    files: list[Path]
    """The results file, then the samples files."""
    results: Results
    config: RunConfig
    lineage: Lineage
    scored: dict[str, tuple[pd.DataFrame, BenchmarkResult]]
    left_out: dict[str, str]
    """Task -> why."""

    @property
    def asked(self) -> tuple[Any, ...]:
        """What tells apart evaluations of one configuration."""
        return self.lineage, {name: (result.shots, result.prompts_sha256) for name, (_, result) in self.scored.items()}


def import_results(
    path: Path, root: Path, study: str, model: str | None = None, *, originals: bool = True
) -> list[RunFolder]:
    """Make a completed run folder of each results file, under root/study.

    Everything is read and checked before anything is written. Of several files that ask the same of the same model, the
    newest is taken. Tasks that are none of slimnb's benchmarks are left out; environment.json lists them with the
    reason.

    Args:
        path: a directory, searched for results_*.json, or one results file; the samples lie beside it.
        model: the model that was evaluated (without its adapter), by a name that slimnb knows, to take the hash of its
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
    sha256 = _weights_sha256(model) if model else None
    newest: dict[str, Evaluated] = {}
    left_out: dict[str, str] = {}
    for file in files:
        found = _read(file, place, model, sha256)
        if isinstance(found, dict):
            left_out |= {f"{file}: {task}": why for task, why in found.items()}
            continue
        other = newest.get(found.config.run_id)
        if other is not None:
            if other.asked != found.asked:
                raise SlimnbError(
                    f"{other.files[0]} and {file} are of one configuration, but asked different things or different "
                    "weights: import each file by itself, into studies of different names"
                )
            older, found = sorted((other, found), key=lambda one: one.results.date or 0.0)
            console.print(f"{older.files[0]}: left out, {found.files[0].name} is newer", markup=False)
        newest[found.config.run_id] = found
    if not newest:
        reasons = "".join(f"\n  {task}: {why}" for task, why in left_out.items())
        raise SlimnbError(f"{path}: none of its tasks is a benchmark of slimnb's{reasons}")
    for run_id in newest:
        if (root / study / run_id).is_dir() and RunFolder.read(root / study / run_id).record.status == "completed":
            raise SlimnbError(f"{root / study / run_id}: this run is complete; give another --name to import it again")
    return [_write(one, root, study, originals) for one in newest.values()]


def _weights_sha256(model: str) -> str:
    from slimnb.models import get_model, weights_sha256

    return weights_sha256(get_model(model))


def _read(file: Path, place: Path, model: str | None, sha256: str | None) -> Evaluated | dict[str, str]:
    """A results file with its samples, or what is left out of it if that is all."""
    results = validated(Results, read_json(_inside(file, place)), str(file))
    wanted, left_out = _sort_tasks(results)
    scored: dict[str, tuple[pd.DataFrame, BenchmarkResult]] = {}
    files = [file]
    for name, tasks in wanted.items():
        samples = [_samples_file(file, task, place) for task in tasks]
        try:
            scored[name] = _score(BENCHMARKS[name], tasks, samples, results, file)
            files += samples
        except AskedOtherwise as reason:
            left_out |= dict.fromkeys(tasks, str(reason))
    if not scored:
        return left_out
    config, lineage = _identify(file, results, scored, model, sha256)
    return Evaluated(files, results, config, lineage, scored, left_out)


def _inside(file: Path, place: Path) -> Path:
    """The file, if it is one that may be read."""
    try:
        real = file.resolve()
        if not real.is_relative_to(place):
            raise SlimnbError(f"{file}: a link that leads out of {place}: not read")
        if not real.is_file():
            raise SlimnbError(f"{file}: not a file")
        if real.stat().st_size > LARGEST:
            raise SlimnbError(f"{file}: larger than {LARGEST / 1e9:.0f} GB: not read")
    except (OSError, RuntimeError) as error:  # a RuntimeError is a circle of links
        raise SlimnbError(f"{file}: cannot be read ({error})") from error
    return real


def _samples_file(results: Path, task: str, place: Path) -> Path:
    """The samples of the same date; beside a results file without a date, the newest."""
    dated = re.search(r"_(\d{4}-\d\d-\d\dT.*)$", results.stem)
    pattern = f"samples_{task}_{dated[1]}.jsonl" if dated else f"samples_{task}_[0-9]*.jsonl"
    found = sorted(results.parent.glob(pattern)) if not dated else [results.with_name(pattern)]
    if not found or not found[-1].exists():
        raise SlimnbError(f"{results}: no {pattern} beside it: run lm-eval with --log_samples")
    _inside(found[-1], place)
    return found[-1]


def _sort_tasks(results: Results) -> tuple[dict[str, list[str]], dict[str, str]]:
    """benchmark -> its tasks in the order of its data sets, and the tasks that are left out with the reason."""
    left_out: dict[str, str] = {}
    by_benchmark: dict[str, dict[str, str]] = defaultdict(dict)
    for task in results.configs or results.results:  # configs holds no groups
        if task not in TASKS:
            left_out[task] = "not a benchmark of slimnb's"
            continue
        benchmark, data_set = TASKS[task]
        if other := by_benchmark[benchmark].get(data_set):
            raise SlimnbError(f"{task} and {other} in one results file are the same benchmark")
        by_benchmark[benchmark][data_set] = task
    wanted = {}
    for name, benchmark in BENCHMARKS.items():
        tasks = by_benchmark.get(name, {})
        if missing := [data_set.removeprefix("mmlu/") for data_set in benchmark.data if data_set not in tasks]:
            left_out |= dict.fromkeys(tasks.values(), f"{name} is not whole without {', '.join(missing)}")
        else:
            wanted[name] = [tasks[data_set] for data_set in benchmark.data]
    return wanted, left_out


def _score(
    benchmark: Benchmark, tasks: list[str], samples: list[Path], results: Results, file: Path
) -> tuple[pd.DataFrame, BenchmarkResult]:
    """The items, subjects taking turns as slimnb's do, and the scores, held against lm-eval's own."""
    shots = {results.shots.get(task) for task in tasks}
    if len(shots) > 1 or None in shots:
        raise AskedOtherwise(f"{file}: its tasks have different or unknown numbers of shots")
    by_task = []
    for task, data_set, path in zip(tasks, benchmark.data, samples, strict=True):
        answers = _answers(benchmark, data_set, path, results)
        _check_scores(benchmark, task, [one.row for one in answers], results, file)
        by_task.append(answers)
    turns = itertools.chain.from_iterable(itertools.zip_longest(*by_task))
    answered = [one for one in turns if one is not None]
    items = pd.DataFrame([one.row for one in answered])
    items = items.astype({column: kind for column, kind in NOT_LOGGED.items() if column in items})
    asked = [one.item for one in answered if one.item is not None]
    if len(asked) == len(answered):
        prompts, chance = Questions(asked, 0, "").prompts_sha256, benchmark.chance(asked)
    elif claims := results.slimnb.get(benchmark.name):
        prompts, chance = claims.prompts_sha256, claims.chance
    else:
        raise SlimnbError(f"{file}: samples of {benchmark.name} without arguments, and no word of slimnb's on them")
    subjects = {str(s): _share(part, benchmark.primary) for s, part in items.groupby("subject")}
    return items, BenchmarkResult(
        metrics={metric: _share(items, metric) for metric in benchmark.metrics},
        primary=benchmark.primary,
        shots=shots.pop() or 0,
        items=len(items),
        seconds=results.seconds,
        prompts_sha256=prompts,
        chat_template=bool(results.chat_template),
        chance=chance,
        subjects=subjects if len(subjects) > 1 else {},
    )


def _share(items: pd.DataFrame, metric: str) -> Score:
    return Score.of(int(items[f"correct_{metric}"].to_numpy(dtype=bool).sum()), len(items))


def _check_scores(benchmark: Benchmark, task: str, rows: list[dict[str, Any]], results: Results, file: Path) -> None:
    """Refuse samples that do not give the scores that lm-eval reports."""
    counts = results.counts.get(task)
    if not rows or (counts and counts.effective != len(rows)):
        said = counts.effective if counts else "some"
        raise SlimnbError(f"{file}: {task} was scored on {said} items, but {len(rows)} are in its samples")
    for metric, key in metric_keys(benchmark).items():
        logged, k = results.results.get(task, {}).get(key), sum(row[f"correct_{metric}"] for row in rows)
        if not isinstance(logged, int | float) or not abs(logged - k / len(rows)) <= TOLERANCE:
            raise SlimnbError(
                f"{file}: {task} scores {logged!r} on {key}, but its samples give {k / len(rows):.6f} ({k} of {len(rows)})"
            )


def _answers(benchmark: Benchmark, data_set: str, path: Path, results: Results) -> list[Answered]:
    """A samples file's items in the data set's order."""
    generated = isinstance(benchmark, Gsm8k)
    filters = list(FILTERS) if generated else ["none"]
    documents: dict[int, dict[str, tuple[str, Any]]] = defaultdict(dict)
    for where, fields in read_json_lines(path):
        sample: Sample = validated(TextSample if generated else ChoiceSample, fields, where)
        if sample.filter in documents[sample.doc_id]:
            raise SlimnbError(f"{where}: doc_id {sample.doc_id} occurs twice with the filter {sample.filter}")
        documents[sample.doc_id][sample.filter] = where, sample
    if missing := set(filters) - {name for lines in documents.values() for name in lines}:
        raise AskedOtherwise(f"{path}: no sample has the filter {', '.join(sorted(missing))}")
    ordered = [documents[doc_id] for doc_id in sorted(documents)]
    for lines in ordered:
        if missing := set(filters) - lines.keys():
            where, _ = next(iter(lines.values()))
            raise SlimnbError(f"{where}: this item has no line with the filter {', '.join(sorted(missing))}")
    firsts = [lines[filters[0]] for lines in ordered]
    known = [validate_row(DATA_SETS[data_set].row, one.doc, where) if one.arguments else None for where, one in firsts]
    ids = iter(item_ids(benchmark, data_set, [row for row in known if row is not None]))
    answered = []
    for lines, row, (where, sample) in zip(ordered, known, firsts, strict=True):
        item = None
        if row is not None:
            item = benchmark.item(row, next(ids), data_set.removeprefix("mmlu/"), sample.arguments[0][0])
            _check_asked(benchmark, item, sample, where, results)
        elif sample.slimnb is None:
            raise SlimnbError(f"{where}: no arguments, and no word of slimnb's on what was asked")
        if isinstance(benchmark, Gsm8k):
            answered.append(Answered(item, _generated(benchmark, item, [lines[name] for name in filters])))
        else:
            answered.append(Answered(item, _chosen(benchmark, item, sample, where)))
    return answered


def _check_asked(benchmark: Benchmark, item: ChoiceItem | OpenItem, sample: Any, where: str, results: Results) -> None:
    """Leave out what bears a benchmark's name but has other answers, or is generated otherwise."""
    if isinstance(item, ChoiceItem):
        joint = "" if results.chat_template else " "
        if sample.arguments != [(item.prompt, joint + choice) for choice in item.choices]:
            raise AskedOtherwise(f"{where}: its answers are not those that slimnb's {benchmark.name} gives to choose from")
        if len(sample.resps) != len(item.choices):
            raise SlimnbError(f"{where}: {len(item.choices)} answers, but {len(sample.resps)} log-likelihoods")
    elif isinstance(benchmark, Gsm8k):
        settings = results.config.model_args | sample.arguments[0][1]
        most = next((settings[name] for name in TOKEN_LIMITS if name in settings), 256)
        until = settings.get("until")
        greedy = not settings.get("do_sample") and not settings.get("temperature")
        stops = isinstance(until, list) and set(map(str, until)) == set(benchmark.stop)
        if not greedy or not stops or str(most) != str(benchmark.max_new_tokens):
            raise AskedOtherwise(
                f"{where}: generated with {settings}, slimnb's {benchmark.name} greedily up to "
                f"{benchmark.max_new_tokens} tokens or {list(benchmark.stop)}"
            )


def _identity(item: ChoiceItem | OpenItem | None, sample: Sample) -> dict[str, Any]:
    kept = {name: getattr(sample, name) for name in ("doc_id", "doc_hash", "prompt_hash", "target_hash")}
    if item is None:
        assert sample.slimnb is not None
        return {name: getattr(sample.slimnb, name) for name in ("id", "subject", "prompt_sha256")} | kept
    prompt = hashlib.sha256(item.prompt.encode()).hexdigest()[:16]
    return {"id": item.id, "subject": item.subject, "prompt_sha256": prompt, **kept}


def _chosen(benchmark: Benchmark, item: Any, sample: ChoiceSample, where: str) -> dict[str, Any]:
    """An item of multiple choice, graded as slimnb.evaluate grades."""
    first = [repeats[0] for repeats in sample.resps]
    likelihoods = np.array([likelihood for likelihood, _ in first])
    best = int(likelihoods.argmax())
    if item is not None:
        gold, answer_bytes = item.gold, [len(choice.encode()) for choice in item.choices]
        by_length = int((likelihoods / [max(1, len(choice)) for choice in item.choices]).argmax())
        prediction = by_length if benchmark.primary == "acc_norm" else best
        right = {"acc": best == gold, "acc_norm": by_length == gold}
    else:
        assert sample.slimnb is not None
        gold, prediction, answer_bytes = sample.slimnb.gold, sample.slimnb.prediction, sample.slimnb.answer_bytes
        right = {"acc": best == gold, "acc_norm": bool(sample.acc_norm)}  # characters are not told, so not counted
    for metric in benchmark.metrics:
        _check_grade(where, metric, getattr(sample, metric), right[metric])
    return {
        **_identity(item, sample),
        "gold": gold,
        "prediction": prediction,
        **{f"correct_{metric}": right[metric] for metric in benchmark.metrics},
        "log_likelihoods": likelihoods.tolist(),
        "answer_tokens": None,
        "answer_bytes": answer_bytes,
        "truncated": None,
        "is_greedy": [greedy for _, greedy in first],
    }


def _generated(benchmark: Gsm8k, item: Any, lines: list[tuple[str, TextSample]]) -> dict[str, Any]:
    """A generated answer, extracted and graded as slimnb.evaluate does; `lines` in the order of FILTERS."""
    _, sample = lines[0]
    text = sample.resps[0][0]
    gold = item.gold if item is not None else str(sample.slimnb.gold if sample.slimnb else "")
    right = benchmark.grade(text, gold)
    extracted = {}
    for (metric, extract), (where, line) in zip(FILTERS.items(), lines, strict=True):
        extracted[metric] = extract(text)
        if line.resps[0][0] != text or line.filtered_resps[0] != extracted[metric]:
            raise SlimnbError(
                f"{where}: {metric} extracted {line.filtered_resps[0]!r}, but from the text it would be "
                f"{extracted[metric]!r}"
            )
        _check_grade(where, metric, line.exact_match, right[metric])
    return {
        **_identity(item, sample),
        "gold": normalize(gold),
        "prediction": normalize(extracted["strict-match"]),
        **{f"correct_{metric}": right[metric] for metric in benchmark.metrics},
        "text": text,
        **{f"extracted_{metric}": extracted[metric] for metric in FILTERS},
        "tokens": None,
        "hit_limit": None,
        "truncated": None,
    }


def _check_grade(where: str, metric: str, logged: float | None, right: bool) -> None:
    if logged is not None and logged != right:
        raise SlimnbError(f"{where}: graded {logged:g} on {metric}, but its answer is worth {int(right)}")
