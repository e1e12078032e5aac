"""Items both ways, graded as `slimnb.evaluate` grades them, and a run written as lm-eval's files. Imports no torch.

The layout is that of lm-eval 0.4.13. A benchmark's texts are written only where its data set is present; where not, doc
and arguments stay empty, and a field of slimnb's own says of each item what its texts would show.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from slimnb.benchmarks import Benchmark, get_benchmark
from slimnb.benchmarks.gsm8k import Gsm8k
from slimnb.benchmarks.hellaswag import Hellaswag
from slimnb.data.load import DATA_SETS, WORKSHOP
from slimnb.data.rows import read_json_lines, validate_row
from slimnb.errors import SlimnbError
from slimnb.interop.formats import (
    FILTERS,
    USUAL_LIMIT,
    Call,
    Origin,
    metric_keys,
    task_name,
)
from slimnb.interop.grading import sha256
from slimnb.io.documents import validated
from slimnb.io.files import atomic_path, write_json
from slimnb.store.runs import RunFolder

VERSIONS = {"gsm8k": 3.0, "hellaswag": 1.0, "mmlu_cs": 1.0, "mmlu_cs_cloze": 1.0}
"""lm-eval 0.4.13's versions of the tasks."""


@dataclass(frozen=True)
class Known:
    """What a data set tells of an item."""

    doc_id: int
    doc: dict[str, Any]
    item: Any


def export_run(run: RunFolder, out: Path, data: Path | None = None) -> Path:
    """Write a completed run as lm-eval's EvaluationTracker would, below OUT/MODEL, and give the results file.

    Args:
        data: a data directory, for the texts of its benchmarks; the workshop's are always there.

    Raises:
        SlimnbError: the run is not complete, `data` has not the data set or not its items, or `out` cannot be written.
    """
    record = run.record
    if record.status != "completed" or not record.scores:
        raise SlimnbError(f"{run.path}: {record.status}, with {len(record.scores)} scores: nothing to export")
    document = _head(run)
    directory = out / (document["model_name_sanitized"].strip(".") or "model")
    try:
        ended = datetime.fromtimestamp(record.finished or record.started, UTC).replace(tzinfo=None)
    except (OverflowError, ValueError, OSError) as error:
        raise SlimnbError(f"{run.path}: its end is beyond all calendars") from error
    date = ended.isoformat().replace(":", "-")
    for name, result in record.scores.items():
        benchmark, items = get_benchmark(name), run.items(name)
        known = _known(benchmark, data, result.shots)
        _check_items(run, benchmark, items, known)
        asked = {id_: sha256(one.item.prompt)[:16] for id_, one in known.items()}
        # All or nothing: of examples drawn at random for each item, as lm-eval's GSM8K has, some may be slimnb's.
        same = all(asked.get(id_) == told for id_, told in zip(items["id"], items["prompt_sha256"], strict=True))
        document["slimnb"][name] = {"prompts_sha256": result.prompts_sha256, "chance": result.chance}
        for data_set in benchmark.data:
            own = f"{data_set.removeprefix('mmlu/')}:"
            rows = pd.DataFrame(items[items["id"].str.startswith(own)]).to_dict(orient="records")
            if not rows:
                continue  # a limit that did not reach this subject
            task, keys, n = task_name(name, data_set), metric_keys(benchmark), len(rows)
            try:
                samples = list(_samples(benchmark, rows, known, same))
                lines = [json.dumps(sample, ensure_ascii=False, allow_nan=False) + "\n" for sample in samples]
            except (TypeError, ValueError, LookupError, OverflowError) as error:
                raise SlimnbError(f"{run.path}: its items of {name} are damaged ({error!s:.200})") from error
            with atomic_path(directory / f"samples_{task}_{date}.jsonl") as temporary:
                temporary.write_text("".join(lines), encoding="utf-8")
            document["results"][task] = {"name": task, "alias": task, "sample_len": n}
            for metric, key in keys.items():
                share = sum(bool(row[f"correct_{metric}"]) for row in rows) / n
                error = math.sqrt(share * (1 - share) / (n - 1)) if n > 1 else "N/A"
                document["results"][task] |= {key: share, key.replace(",", "_stderr,"): error}
            for field, value in {
                "configs": {"task": task, "num_fewshot": result.shots, "metadata": {"version": VERSIONS.get(name)}},
                "versions": VERSIONS.get(name), "n-shot": result.shots,
                "higher_is_better": {key.partition(",")[0]: True for key in keys.values()},
                "n-samples": {"original": sum(id_.startswith(own) for id_ in known) or None, "effective": n},
                "task_hashes": _task_hash(samples),
            }.items():  # fmt: skip
                document[field][task] = value
    write_json(directory / f"results_{date}.json", document)
    return directory / f"results_{date}.json"


def _head(run: RunFolder) -> dict[str, Any]:
    """The results file without its tasks. What only lm-eval knew of an imported run comes from environment.json."""
    config, record, lineage = run.config, run.record, run.record.lineage
    environment = run.environment()
    packages = environment.get("packages") or {}
    trained = f"{record.study}/{record.id}"  # where the trained weights are, below the directory of runs
    arguments = {"pretrained": f"{trained}/model" if config.method == "full" else config.model, "dtype": config.dtype}
    if config.lora:
        arguments["peft"] = f"{trained}/adapter"
    if config.four_bit:
        arguments |= {"load_in_4bit": "True", "bnb_4bit_quant_type": config.four_bit.kind}
    largest = (-(-score.items // len(get_benchmark(name).data)) for name, score in record.scores.items())
    limit = max(largest) if config.limit else None  # lm-eval's is for each of mmlu_cs's four tasks
    call = Call(model_args=arguments, model_dtype=f"torch.{lineage.dtype}" if lineage else None, limit=limit)
    model_name, date = arguments.get("peft", arguments["pretrained"]), record.started
    seconds = record.costs.eval_seconds or sum(score.seconds for score in record.scores.values())
    if "lm_eval" in environment:
        origin = validated(Origin, environment["lm_eval"], str(run.path / "environment.json"))
        call = origin.call.model_copy(update={"limit": origin.call.limit or limit})
        model_name, date = origin.model_name, origin.date
    tables = "results group_subtasks configs versions n-shot higher_is_better n-samples task_hashes"
    return {
        **{name: {} for name in tables.split()},
        "config": {"model": "hf", **call.model_dump(mode="json")}, "git_hash": None, "date": date,
        "pretty_env_info": f"PyTorch version: {packages['torch']}" if packages.get("torch") else "",
        "transformers_version": packages.get("transformers"), "lm_eval_version": packages.get("lm_eval"),
        "model_source": "hf", "model_name": model_name,
        "model_name_sanitized": re.sub(r'[\x00-\x1f"<>:/|\\?*\[\]]+', "__", model_name), "system_instruction": None,
        "chat_template": "the model's own" if config.chat_template else None,
        "total_evaluation_time_seconds": str(seconds), "slimnb": {},
    }  # fmt: skip


def _known(benchmark: Benchmark, data: Path | None, shots: int) -> dict[str, Known]:
    """id -> what the data set tells; nothing where it is not at hand. The Hub is not asked."""
    known = {}
    for data_set in benchmark.data:
        source = DATA_SETS[data_set]
        directory = WORKSHOP if source.hub is None else data
        if directory is None:
            return {}
        if not known:
            items = {item.id: item for item in benchmark.load(directory, shots).items}
        numbered = list(read_json_lines(directory / source.files[benchmark.split]))
        rows = [validate_row(source.row, fields, where) for where, fields in numbered]
        for doc_id, (id_, (_, doc)) in enumerate(zip(benchmark.item_ids(data_set, rows), numbered, strict=True)):
            if isinstance(benchmark, Hellaswag):  # as lm-eval's process_docs adds them
                item = items[id_]
                doc |= {"query": item.question, "choices": list(item.choices), "gold": item.gold}
            known[id_] = Known(doc_id, doc, items[id_])
    return known


def _check_items(run: RunFolder, benchmark: Benchmark, items: pd.DataFrame, known: dict[str, Known]) -> None:
    answer = "text" if isinstance(benchmark, Gsm8k) else "log_likelihoods"
    needed = ["id", "subject", "prompt_sha256", "gold", "prediction", answer]
    if missing := {*needed, *(f"correct_{metric}" for metric in benchmark.metrics)} - {*items}:
        raise SlimnbError(f"{run.path}: its items of {benchmark.name} have no {', '.join(sorted(missing))}")
    if known and (strangers := set(items["id"]) - known.keys()):
        raise SlimnbError(f"the data set of {benchmark.name} is not the run's: it has no item {min(strangers)}")


def _samples(benchmark: Benchmark, rows: list[Any], known: dict[str, Known], same: bool) -> Iterator[dict[str, Any]]:
    """Lines of a samples file: each item, once for each filter.

    Args:
        same: whether the run's prompts are those of the data set.
    """
    filters = list(FILTERS) if isinstance(benchmark, Gsm8k) else ["none"]
    for filter_name, (place, row) in itertools.product(filters, enumerate(rows)):
        one = known.get(row["id"])
        item = one.item if one and same else None
        if isinstance(benchmark, Gsm8k):
            metrics = {"exact_match": float(row[f"correct_{filter_name}"])}
            resps, filtered = [[row["text"]]], [row[f"extracted_{filter_name}"]]
            target = one.item.gold if one else None
            settings: dict[str, Any] = {"until": list(benchmark.stop), "do_sample": False, "temperature": 0.0}
            if benchmark.max_new_tokens != USUAL_LIMIT:
                settings["max_gen_toks"] = benchmark.max_new_tokens
            requests = [(item.prompt, settings)] if item else []
        else:
            metrics = {metric: float(row[f"correct_{metric}"]) for metric in benchmark.metrics}
            likely = [str(float(likelihood)) for likelihood in row["log_likelihoods"]]
            greedy = row.get("is_greedy", [None] * len(likely))
            filtered = [[a, None if b is None else str(bool(b))] for a, b in zip(likely, greedy, strict=True)]
            resps, target = [[pair] for pair in filtered], str(row["gold"])
            requests = [(item.prompt, item.joint + choice) for choice in item.choices] if item else []
        doc = one.doc if one else {}
        digest = {
            "doc_hash": sha256(json.dumps(doc, indent=2, ensure_ascii=False)) if one else None,
            "prompt_hash": sha256(item.prompt) if item else None,
            "target_hash": sha256(target) if target is not None else None,
        }
        sample = {
            "doc_id": int(row["doc_id"]) if "doc_id" in row else one.doc_id if one else place,
            "doc": doc, "target": target,
            "arguments": {f"gen_args_{i}": {"arg_0": a, "arg_1": b} for i, (a, b) in enumerate(requests)},
            "resps": resps, "filtered_resps": filtered, "filter": filter_name, "metrics": list(metrics),
            **{name: row[name] if isinstance(row.get(name), str) else value for name, value in digest.items()},
            **metrics,
        }  # fmt: skip
        if not item:  # what the texts would show
            sample["slimnb"] = {name: row[name] for name in ("id", "subject", "prompt_sha256", "gold", "prediction")}
            sample["slimnb"]["answer_bytes"] = [int(size) for size in row.get("answer_bytes", [])]
        yield sample


def _task_hash(samples: list[dict[str, Any]]) -> str | None:
    """As lm-eval's, over every item's hashes; None where one is not known."""
    hashes = [sample[f"{part}_hash"] for sample in samples for part in ("doc", "prompt", "target")]
    return None if None in hashes else sha256("".join(hashes))
