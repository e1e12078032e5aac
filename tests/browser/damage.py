"""A directory of runs that are damaged in every way we could think of, each in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from slimnb.alignment.record import write_alignment
from slimnb.io.files import write_json
from tests.browser.invented import invented_alignment, invented_anatomy
from tests.conftest import MakeRun

EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>[x](javascript:hacked) **b** $x$'
MARKED_UP = "<img src=x onerror=alert(1)> <b>bench"  # a folder's name, so without a slash
SECRET = "what-lies-outside"
ITEMS = Path("eval", "workshop_cs", "items.parquet")
LARGE = 50_000_000
STUDY = "damaged"

Damage = Callable[[Path, Path], Any]
"""Of a run's folder, given the directory outside that must not be read."""


class Kind(NamedTuple):
    """How a run is damaged, and where a page says so: in the list of the page Runs, or when the run is looked at."""

    damage: Damage
    reason: str | None
    """None: the run can be read, and no page may fall over it."""
    page: str = "runs"


def _text(name: str, text: str | bytes) -> Damage:
    return lambda run, outside: (run / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def _cut(name: str | Path) -> Damage:
    return lambda run, outside: os.truncate(run / name, (run / name).stat().st_size // 2)


def _remove(name: str | Path) -> Damage:
    return lambda run, outside: (run / name).unlink()


def _large(name: str) -> Damage:
    return lambda run, outside: os.truncate(run / name, LARGE)  # takes no room on the disk


def _link(name: str | Path, to: str) -> Damage:
    """A link to a file that is outside; it has a run's good content, so that reading it would not fail."""

    def link(run: Path, outside: Path) -> None:
        target = outside / to
        if to == "secret.json" and not target.exists():
            target.write_text(json.dumps({"packages": {"torch": SECRET}, "error": SECRET}), encoding="utf-8")
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(target)

    return link


def _record(change: Callable[[dict[str, Any]], Any], name: str = "run.json") -> Damage:
    """A JSON file that is whole, and wrong."""

    def edit(run: Path, outside: Path) -> None:
        fields = json.loads((run / name).read_text(encoding="utf-8"))
        change(fields)
        (run / name).write_text(json.dumps(fields), encoding="utf-8")

    return edit


def _score(**fields: Any) -> Damage:
    return _record(lambda record: record["scores"]["workshop_cs"]["metrics"]["acc_norm"].update(fields))


def _items(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Damage:
    return lambda run, outside: change(pd.read_parquet(run / ITEMS)).to_parquet(run / ITEMS)


def _named(name: str | bytes) -> Damage:
    def rename(run: Path, outside: Path) -> None:
        target = os.fsencode(run.parent) + b"/" + (name if isinstance(name, bytes) else name.encode())
        shutil.move(os.fsencode(run), target)

    return rename


def _moved_out(run: Path, outside: Path) -> None:
    shutil.move(run, outside / run.name)
    run.symlink_to(outside / run.name)


def _to_pipe(run: Path, outside: Path) -> None:
    (run / "run.json").unlink()
    os.mkfifo(run / "run.json")


def _to_folder(name: str | Path) -> Damage:
    def replace(run: Path, outside: Path) -> None:
        (run / name).unlink()
        (run / name).mkdir()

    return replace


def _benchmark(name: str) -> Damage:
    """Another benchmark's name, whose items lie where it leads."""

    def rename(record: dict[str, Any]) -> None:
        record["scores"][name] = record["scores"].pop("workshop_cs")

    return _record(rename)


def _markup_everywhere(run: Path, outside: Path) -> None:
    def change(record: dict[str, Any]) -> None:
        score = record["scores"].pop("workshop_cs")
        score |= {"metrics": {EVIL: score["metrics"]["acc_norm"]}, "primary": EVIL, "prompts_sha256": EVIL}
        record |= {"id": EVIL, "study": EVIL, "host": EVIL, "error": EVIL, "method": EVIL}
        record["lineage"] |= {"model": EVIL}
        record["scores"] = {MARKED_UP: score}

    _record(change)(run, outside)
    _record(lambda config: config.update(model=EVIL, benchmarks=[EVIL]) or config["training"].update(data=EVIL),
            "config.json")(run, outside)  # fmt: skip
    items = pd.read_parquet(run / ITEMS)
    items = items.assign(id=EVIL + items["id"], subject=EVIL, text=EVIL, gold=EVIL, prediction=EVIL)
    items["extracted_strict-match"], items[f"correct_{EVIL}"] = EVIL, items["correct_acc_norm"]
    (run / "eval" / MARKED_UP).mkdir()
    items.to_parquet(run / "eval" / MARKED_UP / "items.parquet")
    _record(lambda found: [one.update(name=EVIL, kind=EVIL) for one in found["matrices"]], "anatomy.json")(run, outside)
    _text("environment.json", json.dumps({"packages": {"torch": EVIL, EVIL: EVIL}, "processor": EVIL}))(run, outside)


KINDS: dict[str, Kind] = {
    "record-cut": Kind(_cut("run.json"), "not valid JSON"),
    "record-empty": Kind(_text("run.json", ""), "not valid JSON"),
    "record-not-text": Kind(_text("run.json", b"\xff\xfe\x00"), "not valid JSON"),
    "record-a-list": Kind(_text("run.json", "[]"), "not a run's record"),
    "record-null": Kind(_text("run.json", "null"), "not a run's record"),
    "record-too-deep": Kind(_text("run.json", "[" * 100_000), "not valid JSON"),
    "record-too-long-a-number": Kind(_text("run.json", '{"schema_version": ' + "9" * 9999 + "}"), "not valid JSON"),
    "record-50-mb": Kind(_large("run.json"), "50 MB is more than"),
    "record-a-folder": Kind(_to_folder("run.json"), "not a file"),
    "record-a-pipe": Kind(_to_pipe, "not a file"),
    "record-link-out": Kind(_link("run.json", "secret.json"), "leads out of the runs directory"),
    "record-link-nowhere": Kind(_link("run.json", "nowhere"), "No such file"),
    "record-link-to-itself": Kind(
        lambda run, outside: _link("run.json", str(run / "run.json"))(run, outside), "symbolic"
    ),
    "record-device": Kind(_link("run.json", "/dev/zero"), "leads out of the runs directory"),
    "record-gone": Kind(_remove("run.json"), "No such file"),
    "schema-newer": Kind(_record(lambda record: record.update(schema_version=99)), "upgrade slimnb"),
    "schema-text": Kind(_record(lambda record: record.update(schema_version="1")), "must be a whole number"),
    "schema-none": Kind(_record(lambda record: record.pop("schema_version")), "must be a whole number"),
    "field-missing": Kind(_record(lambda record: record.pop("started")), "started"),
    "field-wrong-type": Kind(_record(lambda record: record.update(scores=[])), "scores"),
    "status-unknown": Kind(_record(lambda record: record.update(status="<b>done</b>")), "status"),
    "score-of-no-count": Kind(_score(value=0.265), "no count gives this score"),
    "score-more-than-all": Kind(_score(k=9), "no count gives this score"),
    "score-of-none": Kind(_score(n=0), "no count gives this score"),
    "score-not-a-number": Kind(_score(low=float("nan")), "low"),
    "score-beyond-tables": Kind(_score(k=10**400, n=10**400, value=1.0), "less than 1000000000000000"),
    "primary-unknown": Kind(
        _record(lambda record: record["scores"]["workshop_cs"].update(primary="x")), "primary metric"
    ),
    "time-beyond-calendars": Kind(_record(lambda record: record.update(started=1e300)), "less than 1000000000000000"),
    "half-a-character": Kind(_record(lambda record: record.update(error="\ud800")), "half a character"),
    "config-gone": Kind(_remove("config.json"), "No such file"),
    "config-cut": Kind(_cut("config.json"), "not valid JSON"),
    "config-a-list": Kind(_text("config.json", "[]"), "config.json"),
    "config-50-mb": Kind(_large("config.json"), "50 MB is more than"),
    "config-link-out": Kind(_link("config.json", "secret.json"), "leads out of the runs directory"),
    "config-method-unknown": Kind(_record(lambda config: config.update(method=EVIL), "config.json"), "method"),
    "config-parts-missing": Kind(_record(lambda config: config.update(lora=None), "config.json"), "needs lora"),
    "config-field-unknown": Kind(_record(lambda config: config.update({EVIL: 1}), "config.json"), "config.json"),
    "config-rank-beyond-tables": Kind(
        _record(lambda config: config["lora"].update(rank=10**30), "config.json"), "larger"
    ),
    "folder-link-out": Kind(_moved_out, "leads out of the runs directory"),
    "folder-not-text": Kind(_named(b"name-\xff\xfe"), "its name is not text"),
    "folder-markup": Kind(_named("<b>name<b> [x](http:..x) `$x$`"), None),
    "folder-two-lines": Kind(_named("name\nof two lines"), None),
    "folder-long": Kind(_named("n" * 255), None),
    "items-cut": Kind(_cut(ITEMS), "cannot be read", "items"),
    "items-not-parquet": Kind(
        lambda run, outside: (run / ITEMS).write_bytes(b"not parquet"), "cannot be read", "items"
    ),
    "items-gone": Kind(_remove(ITEMS), "cannot be read", "items"),
    "items-a-folder": Kind(_to_folder(ITEMS), "not a file", "items"),
    "items-link-out": Kind(_link(ITEMS, "secret.json"), "leads out of the runs directory", "items"),
    "items-fewer": Kind(_items(lambda items: items.head(1)), "run.json counts 4", "items"),
    "items-none": Kind(_items(lambda items: items.head(0)), "run.json counts 4", "items"),
    "items-more-than-any": Kind(_items(lambda items: items.sample(300_000, replace=True)), "more than any", "items"),
    "items-right-as-text": Kind(_items(lambda items: items.assign(correct_acc_norm="yes")), "right or wrong", "items"),
    "items-without-ids": Kind(_items(lambda items: items.drop(columns="id")), "no column id", "items"),
    "items-without-grades": Kind(
        _items(lambda items: items.drop(columns="correct_acc_norm")), "no column correct", "items"
    ),
    "items-ids-null": Kind(_items(lambda items: items.assign(id=None)), "column id is not text", "items"),
    "items-ids-twice": Kind(_items(lambda items: items.assign(id="same")), "stands there twice", "compare"),
    "items-nan": Kind(
        _items(lambda items: items.assign(log_likelihoods=[[float("nan")]] * 4)), "lists of numbers", "items"
    ),
    "items-words": Kind(_items(lambda items: items.assign(log_likelihoods=[["a"]] * 4)), "lists of numbers", "items"),
    "benchmark-leads-out": Kind(_benchmark("../../../../outside"), "leads out of the runs directory", "none"),
    "benchmark-two-lines": Kind(_benchmark("of\ntwo \u202elines"), None),
    "log-cut": Kind(lambda run, outside: _cut("metrics.jsonl")(run, outside), None, "training"),
    "log-not-text": Kind(_text("metrics.jsonl", b"\xff\xfe\n"), "cannot be read", "training"),
    "log-words": Kind(_text("metrics.jsonl", '{"step": 1, "loss": "high"}'), "cannot be read", "training"),
    "log-numbers": Kind(_text("metrics.jsonl", "1\n2\n"), "not a training log", "training"),
    "log-infinite": Kind(
        _text("metrics.jsonl", '{"step": 1, "loss": 1e999}\n{"step": 2, "loss": 1}'), None, "training"
    ),
    "log-50-mb": Kind(_large("metrics.jsonl"), "50 MB is more than", "training"),
    "log-link-out": Kind(_link("metrics.jsonl", "secret.json"), "leads out of the runs directory", "training"),
    "environment-a-list": Kind(_text("environment.json", "[]"), "not a description", "compare"),
    "environment-packages": Kind(_text("environment.json", '{"packages": []}'), None, "compare"),
    "environment-cut": Kind(_text("environment.json", '{"pack'), "not valid JSON", "compare"),
    "environment-link-out": Kind(
        _link("environment.json", "secret.json"), "leads out of the runs directory", "compare"
    ),
    "anatomy-cut": Kind(_cut("anatomy.json"), "not valid JSON", "mechanism"),
    "anatomy-a-list": Kind(_text("anatomy.json", "[]"), "anatomy.json", "mechanism"),
    "anatomy-newer": Kind(
        _record(lambda found: found.update(schema_version=99), "anatomy.json"), "upgrade slimnb", "mechanism"
    ),
    "anatomy-words": Kind(
        _record(lambda found: found["matrices"][0].update(layer=EVIL), "anatomy.json"), "--again", "mechanism"
    ),
    "anatomy-layer-beyond-any": Kind(
        _record(lambda found: found["matrices"][0].update(layer=10**30), "anatomy.json"), "layers than any", "mechanism"
    ),
    "anatomy-half-a-character": Kind(
        _record(lambda found: found["matrices"][0].update(kind="\ud800"), "anatomy.json"), "half a", "mechanism"
    ),
    "anatomy-nothing-changed": Kind(
        _record(lambda found: [one.update(singular_values=[0, 0]) for one in found["matrices"]], "anatomy.json"), None
    ),
    "anatomy-none": Kind(_record(lambda found: found.update(matrices=[]), "anatomy.json"), None),
    "anatomy-50-mb": Kind(_large("anatomy.json"), "50 MB is more than", "mechanism"),
    "anatomy-link-out": Kind(_link("anatomy.json", "secret.json"), "leads out of the runs directory", "mechanism"),
    "overlap-cut": Kind(_text("eval/workshop_cs/contamination.json", "{"), "not valid JSON", "compare"),
    "overlap-words": Kind(_text("eval/workshop_cs/contamination.json", '{"n_items": "x"}'), "contamination", "compare"),
    "error-3-mb": Kind(_record(lambda record: record.update(error=f"{EVIL}\x1b[31m\u202e" + "x" * 3_000_000)), None),
    "benchmarks-by-thousands": Kind(
        _record(lambda record: record.update(scores={f"b{i}": record["scores"]["workshop_cs"] for i in range(3000)})),
        None,
    ),
    "markup-everywhere": Kind(_markup_everywhere, None),
}


def damaged_runs(make_run: MakeRun, directory: Path, kinds: Sequence[str] = tuple(KINDS)) -> Path:
    """A directory of runs with a sound base and LoRA run, and beside them one folder a kind of damage."""
    outside = directory / "outside"
    outside.mkdir(parents=True)
    base, lora = (make_run(method, study=STUDY) for method in ("base", "lora"))
    for run in (base, lora):
        items = run.items("workshop_cs").assign(log_likelihoods=[[-1.0, -2.0 - len(run.record.method)]] * 4)
        run.write_items("workshop_cs", items, run.record.scores["workshop_cs"])
    log = [{"step": step, "loss": 1 / step, "tokens": 9, "seconds": step} for step in (1, 2, 3)]
    (lora.path / "metrics.jsonl").write_text("\n".join(map(json.dumps, log)), encoding="utf-8")
    (lora.path / "environment.json").write_text('{"packages": {}}', encoding="utf-8")
    write_json(lora.path / "anatomy.json", invented_anatomy(lora).model_dump(mode="json"))
    write_alignment(lora.path.parent, invented_alignment(EVIL))
    pd.read_parquet(lora.path / ITEMS).to_parquet(outside / "items.parquet")
    for name in kinds:
        run = lora.path.with_name(name)
        shutil.copytree(lora.path, run)
        KINDS[name].damage(run, outside)
    shutil.copytree(lora.path, outside / "study" / "lora")
    (base.path.parents[1] / "study-link-out").symlink_to(outside / "study")
    return base.path.parents[1]
