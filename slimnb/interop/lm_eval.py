"""lm-evaluation-harness's results -> run folders. Imports no torch, unless a model is named to take the hash of.

Each results file becomes one run folder with slimnb's own columns, ids and prompt hashes, so that it can be held
against slimnb's runs. What lm-eval does not log is null: answer_tokens, tokens, hit_limit, truncated, gold_*. What
only lm-eval knows is kept: doc_id, is_greedy, doc_hash, prompt_hash, target_hash. `seconds` are those of the whole
lm-eval run, loading included, since it times nothing smaller. items.parquet holds no text of a benchmark; the
originals, kept in the run folder's lm_eval/, do.

An adapter that lm-eval loaded (peft=ADAPTER) was trained elsewhere, nobody here knows how. The run's configuration is
therefore `base` of the model `PRETRAINED + ADAPTER`, its record says `peft`, and its lineage is PRETRAINED's, so that
the two can be compared. A RunConfig has bfloat16 or float32, and one limit and one number of shots for all benchmarks:
lm-eval's own precision stands in the lineage, its shots and items in each benchmark's result; the configuration gets
the largest number of items as its limit, and no shots where benchmarks differ.
"""

from __future__ import annotations

import itertools
import re
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from slimnb.benchmarks import BENCHMARKS, Benchmark, ChoiceItem, OpenItem, Questions
from slimnb.benchmarks.gsm8k import Gsm8k
from slimnb.config import RunConfig
from slimnb.data.load import DATA_SETS
from slimnb.data.rows import read_json_lines, validate_row
from slimnb.errors import SlimnbError
from slimnb.evaluation.gold import bits_per_byte
from slimnb.interop.formats import (
    FILTERS,
    AnotherTaskError,
    ChoiceSample,
    Origin,
    Results,
    TextSample,
    check_asked,
    inside,
    samples_file,
    sort_tasks,
)
from slimnb.interop.grading import check_scores, chosen, generated, share_right
from slimnb.io.documents import read_json, validated
from slimnb.io.files import atomic_path, write_json
from slimnb.machine.environment import versions
from slimnb.machine.progress import console
from slimnb.store.records import Lineage, ResultBySubject
from slimnb.store.runs import RunFolder

QUANTIZED = ("load_in_4bit", "load_in_8bit", "autogptq", "gptqmodel", "gguf_file", "quantization")
"""Model arguments by which lm-eval changes the weights."""
NAMING = ("pretrained", "revision", "peft", "delta", "dtype", *QUANTIZED)
"""Those that say which model it was. The others may hold anything, a key to a service included."""
NOT_LOGGED = {
    "tokens": "Int64", "hit_limit": "boolean", "truncated": "boolean", "gold_log_likelihood": "Float64",
    "gold_bytes": "Int64",
}  # fmt: skip


@dataclass(frozen=True)
class Evaluated:
    """A results file, read and checked."""

    files: list[Path]
    """The results file, then the samples files."""
    results: Results
    config: RunConfig
    lineage: Lineage
    scored: dict[str, tuple[pd.DataFrame, ResultBySubject]]
    left_out: dict[str, str]
    """Task -> why."""

    @property
    def asked(self) -> tuple[Any, ...]:
        """What tells evaluations of one configuration apart."""
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
    nothing: dict[str, str] = {}
    for file in files:
        one = _read(file, place, model, sha256)
        if isinstance(one, dict):
            nothing |= {f"{file}: {task}": why for task, why in one.items()}
            continue
        other = newest.get(one.config.run_id)
        if other and other.asked != one.asked:
            raise SlimnbError(
                f"{other.files[0]} and {file} are of one configuration, but asked different things or other weights: "
                "import each file by itself, into studies of different names"
            )
        if other:
            older, one = sorted((other, one), key=lambda each: each.results.date or 0.0)
            console.print(f"{older.files[0]}: left out, {one.files[0].name} is newer", markup=False)
        newest[one.config.run_id] = one
    if not newest:
        reasons = "".join(f"\n  {task}: {why}" for task, why in nothing.items())
        raise SlimnbError(f"{path}: none of its tasks is a benchmark of slimnb's{reasons}")
    for run_id in newest:
        there = root / study / run_id
        if (there / "run.json").exists() and RunFolder.read(there).record.status == "completed":
            raise SlimnbError(f"{there}: this run is complete; give another --name to import it again")
    return [_write(one, place, root, study, originals) for one in newest.values()]


def _weights_sha256(model: str) -> str:
    from slimnb.models.load import get_model, weights_sha256

    return weights_sha256(get_model(model))


def _read(file: Path, place: Path, model: str | None, sha256: str | None) -> Evaluated | dict[str, str]:
    """A results file with its samples; or what was left out and why, where that is all."""
    results = validated(Results, read_json(inside(file, place)), str(file))
    wanted, left_out = sort_tasks(results, file)
    scored: dict[str, tuple[pd.DataFrame, ResultBySubject]] = {}
    files = [file]
    for name, tasks in wanted.items():
        samples = [samples_file(file, task, place) for task in tasks]
        try:
            scored[name] = _score(BENCHMARKS[name], tasks, samples, results, file)
            files += samples
        except AnotherTaskError as reason:
            left_out |= dict.fromkeys(tasks, str(reason))
    if not scored:
        return left_out
    limited = results.config.limit or any(one.original not in (None, one.effective) for one in results.counts.values())
    shots = {name: result.shots for name, (_, result) in scored.items()}
    usual = all(BENCHMARKS[name].default_shots == number for name, number in shots.items())
    lineage = _lineage(results, model, sha256)
    adapter = results.config.model_args.get("peft")
    fields = {
        "model": f"{lineage.model} + {adapter}" if adapter else lineage.model,
        "method": "base",
        "dtype": "float32" if lineage.dtype == "float32" else "bfloat16",
        "benchmarks": tuple(scored),
        "limit": max(result.items for _, result in scored.values()) if limited else None,
        "shots": None if usual or len(set(shots.values())) > 1 else next(iter(shots.values())),
        "chat_template": bool(results.chat_template),
    }
    return Evaluated(files, results, validated(RunConfig, fields, str(file)), lineage, scored, left_out)


def _lineage(results: Results, model: str | None, sha256: str | None) -> Lineage:
    call = results.config
    name = call.model_args.get("pretrained", results.model_name)
    if "delta" in call.model_args:
        name += f" + {call.model_args['delta']}"
    dtype = (call.model_dtype or call.model_args.get("dtype", "unknown")).removeprefix("torch.")
    changed = [argument for argument in QUANTIZED if argument in call.model_args]
    if model and sha256:
        return Lineage(model=model, weights_sha256=sha256, dtype=" ".join([dtype, *changed]))
    state = call.model_sha or call.model_args.get("revision")  # of a model on the Hub
    known_as = f"lm-eval:{name}@{state}" if state else f"lm-eval:{name}"
    return Lineage(model=name, weights_sha256=known_as, dtype=" ".join([dtype, *changed]))


def _score(
    benchmark: Benchmark, tasks: list[str], samples: list[Path], results: Results, file: Path
) -> tuple[pd.DataFrame, ResultBySubject]:
    """The items, subjects taking turns as slimnb's do, and their scores, held against lm-eval's own."""
    shots = {results.shots.get(task) for task in tasks}
    if len(shots) > 1 or None in shots:
        raise AnotherTaskError(f"{file}: the numbers of shots of {', '.join(tasks)} differ or are not told")
    by_task = []
    for task, data_set, path in zip(tasks, benchmark.data, samples, strict=True):
        answered = _answered(benchmark, data_set, path, results)
        check_scores(benchmark, task, [row for _, row in answered], results, file)
        by_task.append(answered)
    turns = [one for one in itertools.chain.from_iterable(itertools.zip_longest(*by_task)) if one]
    items = pd.DataFrame([row for _, row in turns])
    if items["id"].duplicated().any():
        raise SlimnbError(f"{file}: several samples of {benchmark.name} are of one item")
    items = items.astype({column: kind for column, kind in NOT_LOGGED.items() if column in items})
    asked = [item for item, _ in turns if item]
    if len(asked) == len(turns):
        prompts, chance = Questions(asked, 0, "").prompts_sha256, benchmark.chance(asked)
    elif claims := results.slimnb.get(benchmark.name):
        prompts, chance = claims.prompts_sha256, claims.chance
    else:
        raise SlimnbError(f"{file}: samples of {benchmark.name} without arguments, and no word of slimnb's on them")
    subjects = {str(subject): share_right(part, benchmark.primary) for subject, part in items.groupby("subject")}
    return items, ResultBySubject(
        metrics={metric: share_right(items, metric) for metric in benchmark.metrics}, primary=benchmark.primary,
        shots=shots.pop() or 0, items=len(items), seconds=results.seconds, prompts_sha256=prompts,
        chat_template=bool(results.chat_template), chance=chance, subjects=subjects if len(subjects) > 1 else {},
        gold_bits_per_byte=bits_per_byte(items),
    )  # fmt: skip


def _answered(
    benchmark: Benchmark, data_set: str, path: Path, results: Results
) -> list[tuple[ChoiceItem | OpenItem | None, dict[str, Any]]]:
    """A samples file's items and their rows, in the data set's order; no item where the texts were left out."""
    kind, filters = (TextSample, list(FILTERS)) if isinstance(benchmark, Gsm8k) else (ChoiceSample, ["none"])
    documents: dict[int, dict[str, tuple[str, Any]]] = defaultdict(dict)
    for where, fields in read_json_lines(path):
        sample = validated(kind, fields, where)
        if sample.filter in documents[sample.doc_id]:
            raise SlimnbError(f"{where}: doc_id {sample.doc_id} occurs twice with the filter {sample.filter}")
        documents[sample.doc_id][sample.filter] = where, sample
    if not documents:
        raise SlimnbError(f"{path}: no samples in it")
    if missing := set(filters) - {name for lines in documents.values() for name in lines}:
        raise AnotherTaskError(f"{path}: nothing with the filter {', '.join(sorted(missing))}")
    for doc_id, lines in documents.items():
        if missing := set(filters) - lines.keys():
            raise SlimnbError(f"{path}: doc_id {doc_id} has no line with the filter {', '.join(sorted(missing))}")
    ordered = [[documents[doc_id][name] for name in filters] for doc_id in sorted(documents)]
    firsts = [lines[0] for lines in ordered]
    form = DATA_SETS[data_set].row
    rows: list[Any] = [validate_row(form, one.doc, where) if one.arguments else None for where, one in firsts]
    ids = iter(benchmark.item_ids(data_set, [row for row in rows if row is not None]))
    subject = data_set.removeprefix("mmlu/")
    answered = []
    for lines, row, (where, sample) in zip(ordered, rows, firsts, strict=True):
        item = None
        if row is not None:
            item = benchmark.item(row, next(ids), subject, sample.arguments[0][0])
            check_asked(benchmark, item, sample, where, results)
        elif sample.slimnb is None or not sample.slimnb.id.startswith(f"{subject}:"):
            raise SlimnbError(f"{where}: no arguments, and no word of slimnb's on which item of {subject} was asked")
        grade = generated(benchmark, item, lines) if isinstance(benchmark, Gsm8k) else chosen(benchmark, item, *lines)
        answered.append((item, grade))
    return answered


def _write(one: Evaluated, place: Path, root: Path, study: str, originals: bool) -> RunFolder:
    results, call = one.results, one.results.config
    torch = re.search(r"PyTorch version: (\S+)", results.pretty_env_info or "")
    packages = {"slimnb": versions()["slimnb"], "lm_eval": results.lm_eval_version}
    packages |= {"torch": torch[1] if torch else None, "transformers": results.transformers_version}
    told = {name: value for name, value in call.model_args.items() if name in NAMING}
    origin = Origin(
        results_file=one.files[0].name, model_name=results.model_name, date=results.date, left_out=one.left_out,
        call=call.model_copy(update={"model_args": told}), kept=originals,
    )  # fmt: skip
    folder = RunFolder.create(root, study, one.config)
    try:
        write_json(folder.path / "environment.json", {"packages": packages, "lm_eval": origin.model_dump(mode="json")})
        for file in one.files if originals else []:
            with atomic_path(folder.path / "lm_eval" / file.name) as temporary:
                shutil.copyfile(inside(file, place), temporary)
        for name, (items, result) in one.scored.items():
            folder.write_items(name, items, result)
        folder.record.lineage = one.lineage
        folder.record.method = "peft" if "peft" in call.model_args else "base"
        folder.record.costs.eval_seconds = results.seconds
    except BaseException as error:
        folder.finish("failed", str(error) or type(error).__name__)
        raise
    folder.finish("completed")
    return folder
