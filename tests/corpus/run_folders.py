"""Run folders whose every file is damaged, read by the commands that show, compare and export runs.

The damage is that of tests/browser, where the dashboard meets it; here it meets the command line.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from slimnb.anatomy.record import read_anatomy
from slimnb.benchmarks import get_benchmark
from slimnb.config import make_run_config
from slimnb.io.files import write_json
from slimnb.store.records import BenchmarkResult, Lineage, Score
from slimnb.store.runs import RunFolder
from tests.browser.damage import ITEMS, KINDS
from tests.browser.invented import invented_anatomy
from tests.corpus import Row, slimnb

ROWS: list[Row] = []
ANSWERS = (True, False, True, False)


def sound(root: Path, method: str) -> RunFolder:
    """A finished run of four items, with every file that a run may have."""
    trained = {} if method == "base" else {"train_on": "workshop_math", "steps": 2}
    folder = RunFolder.create(
        root, "study", make_run_config(model="tiny", method=method, benchmarks=["workshop_cs"], **trained)
    )
    folder.record.lineage = Lineage(model="tiny", weights_sha256="a" * 64, dtype="bfloat16")
    items = pd.DataFrame({
        "id": [item.id for item in get_benchmark("workshop_cs").load(limit=4).items],
        "subject": "one", "prompt_sha256": "p", "gold": 0,
        "prediction": [0 if right else 1 for right in ANSWERS], "correct_acc": ANSWERS, "correct_acc_norm": ANSWERS,
        "log_likelihoods": [[-1.0, -float(ord(method[0]))]] * 4, "answer_bytes": [[3, 4]] * 4,
    })  # fmt: skip
    score = Score.of(2, 4)
    metrics = {"acc": score, "acc_norm": score}
    result = BenchmarkResult(metrics=metrics, primary="acc_norm", shots=0, items=4, seconds=1.0, prompts_sha256="p")
    folder.write_items("workshop_cs", items, result)
    folder.write_environment({"packages": {}})
    log = [{"step": step, "loss": 1 / step, "tokens": 9, "seconds": step} for step in (1, 2, 3)]
    (folder.path / "metrics.jsonl").write_text("\n".join(map(json.dumps, log)), encoding="utf-8")
    folder.finish("completed")
    if method != "base":
        write_json(folder.path / "anatomy.json", invented_anatomy(folder).model_dump(mode="json"))
        (folder.path / "eval" / "workshop_cs" / "contamination.json").write_text(
            json.dumps({"n_items": 4, "n_examples": 2, "items_exact": 0, "items_13gram": 0, "examples_found": 0,
                        "n_pairs": 0, "pairs": []}), encoding="utf-8")  # fmt: skip
    return folder


def base_and(damage: Callable[[Path, Path], Any], place: Path) -> tuple[Path, str, str]:
    """Runs: a sound base and a damaged LoRA run beside it; and their ids."""
    runs, outside = place / "runs", place / "outside"
    outside.mkdir()
    base, lora = sound(runs, "base"), sound(runs, "lora")
    pd.read_parquet(lora.path / ITEMS).to_parquet(outside / "items.parquet")
    run = lora.path.with_name("damaged")
    shutil.copytree(lora.path, run)
    damage(run, outside)
    return runs, base.path.name, str(run)


def command(*words: str) -> Callable[[Path, str, str], str]:
    """`slimnb WORDS --runs RUNS`, where BASE and RUN stand for the two runs."""
    return lambda runs, base, run: slimnb(
        *({"BASE": base, "RUN": run}.get(word, word) for word in words), "--runs", str(runs)
    )


def add(name: str, kind: str, act: Callable[[Path, str, str], Any], error: str | None, right: Any = None) -> None:
    """What `act` makes of a directory of runs, a sound one's id and a damaged one's directory."""
    ROWS.append(
        Row(
            "run folders",
            f"{name}: {kind}",
            lambda place: act(*base_and(KINDS[kind].damage, place)),
            error,
            right,
        )
    )


def exported(runs: Path, base: str, run: str) -> str:
    return slimnb("export", "lm-eval", run, str(runs.parent / "out"), "--runs", str(runs))


def metrics(runs: Path, base: str, run: str) -> pd.DataFrame:
    return RunFolder.read(Path(run)).metrics()


def anatomy(runs: Path, base: str, run: str) -> Any:
    return read_anatomy(Path(run))


def all_listed(place: Path) -> bool:
    """Every folder stands in the list: sound ones with their score, broken ones with the reason."""
    runs, outside = place / "runs", place / "outside"
    outside.mkdir()
    lora = sound(runs, "lora")
    kinds = [name for name in KINDS if not name.startswith("folder")]
    for name in kinds:
        shutil.copytree(lora.path, lora.path.with_name(name))
    pd.read_parquet(lora.path / ITEMS).to_parquet(outside / "items.parquet")
    for name in kinds:
        KINDS[name].damage(lora.path.with_name(name), outside)
    found = {Path(one["path"]).name: one for one in json.loads(slimnb("runs", "--runs", str(runs), "--json"))}
    unread = {name for name in kinds if KINDS[name].page == "runs" and KINDS[name].reason} - {"record-gone"}
    broken = {name for name, one in found.items() if one["status"] == "broken" and one["error"]}
    return found[lora.path.name]["scores"]["workshop_cs"]["metrics"]["acc_norm"]["k"] == 2 and broken == unread


NOT_READ = {
    "environment-packages",
    "environment-link-out",
    "error-3-mb",
    "folder-link-out",
}
"""Not looked at by a comparison, or of no harm to it."""
FOLLOWED = {
    "record-50-mb": "not valid JSON",
    "record-a-folder": "Is a directory",
    "record-device": "not a file",
    "record-link-out": "schema_version",
    "config-link-out": "config.json",
    "config-50-mb": "not valid JSON",
    "folder-not-text": "no run",
    "folder-markup": "no run",
    "folder-two-lines": "no run",
    "folder-long": "no run",
    "items-a-folder": "items.parquet",
    "items-link-out": "items.parquet",
    "items-fewer": "items",
    "items-words": "lists of numbers",
    "items-none": "items",
    "items-more-than-any": "items",
    "items-ids-null": "items",
    "benchmark-leads-out": "in common",
    "benchmark-two-lines": "in common",
    "benchmarks-by-thousands": "in common",
    "markup-everywhere": "in common",
}
"""What a comparison on the command line says, where it is not what the dashboard says: a run that a person names is
read wherever it lies."""
LOGS = {
    "log-cut": None,
    "log-not-text": "cannot be read",
    "log-words": None,
    "log-numbers": "not a training log",
    "log-infinite": None,
    "log-50-mb": None,
    "log-link-out": None,
}
ANATOMIES = {
    "anatomy-cut": "not valid JSON",
    "anatomy-a-list": "anatomy.json",
    "anatomy-newer": "upgrade slimnb",
    "anatomy-words": "anatomy.json",
    "anatomy-layer-beyond-any": None,
    "anatomy-half-a-character": "half a character",
    "anatomy-nothing-changed": None,
    "anatomy-none": None,
    "anatomy-50-mb": "not valid JSON",
    "anatomy-link-out": "anatomy.json",
}


EXPORTS = {
    "items-cut": "cannot be read",
    "items-not-parquet": "cannot be read",
    "items-gone": "cannot be read",
    "items-a-folder": "items",
    "items-link-out": "cannot be read",
    "items-fewer": "counts 4",
    "items-none": "counts 4",
    "items-right-as-text": "right or wrong",
    "items-without-ids": "have no",
    "items-without-grades": "have no",
    "items-ids-null": "text",
    "items-ids-twice": "has no item same",
    "items-nan": "lists of numbers",
    "items-words": "items",
    "environment-a-list": "not a description",
    "environment-cut": "not valid JSON",
    "benchmark-leads-out": "is called",
    "benchmark-two-lines": "is called",
    "markup-everywhere": "is called",
}
SHOWN = {
    "items-cut": "cannot be read",
    "items-gone": "cannot be read",
    "items-without-ids": "no column",
    "items-none": "counts 4",
    "items-right-as-text": "right or wrong",
    "items-ids-null": "is not text",
    "items-nan": "lists of numbers",
    "items-words": "lists of numbers",
}


def tells_the_change(said: str) -> bool:
    """No item changed, of four."""
    return "not resolved with 4 items, +0.0 points" in said


for name, kind in KINDS.items():
    if name in LOGS:
        add("training log", name, metrics, LOGS[name], None if LOGS[name] else lambda log: len(log) <= 3)
    elif name in ANATOMIES:
        add("anatomy", name, anatomy, ANATOMIES[name], None if ANATOMIES[name] else lambda found: found is not None)
    else:
        sees = name not in NOT_READ
        add("compare", name, command("compare", "BASE", "RUN"), FOLLOWED.get(name, kind.reason) if sees else None,
            None if sees else tells_the_change)  # fmt: skip
for name, said in EXPORTS.items():
    add("export", name, exported, said)
for name, said in SHOWN.items():
    add(
        "items",
        name,
        command("items", "BASE", "RUN"),
        said,
    )
ROWS.append(Row("run folders", "list: every kind at once", all_listed, right=bool))
