"""lm-evaluation-harness's results, damaged, hostile, or saying what their samples do not give."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slimnb.data.rows import read_json_lines
from slimnb.interop.lm_eval import import_results
from slimnb.interop.lm_eval_export import export_run
from slimnb.io.documents import read_json
from slimnb.store.runs import RunFolder
from tests.corpus import Row

OLDER = Path(__file__).resolve().parents[1] / "fixtures" / "lm_eval" / "older"
HELLASWAG, GSM8K, RESULTS = "samples_hellaswag_*", "samples_gsm8k_*", "results_*"
DEEP: Any = []
for _ in range(300):
    DEEP = [DEEP]

Damage = Callable[[Path], Any]
"""Of a directory of results."""

ROWS: list[Row] = []


def the(place: Path, pattern: str) -> Path:
    (found,) = place.rglob(pattern)
    return found


def add(name: str, damage: Damage, error: str | None = None, right: Any = None, *, exported: bool = False) -> None:
    """Import damaged results. `right` sees the run.

    Args:
        exported: results that slimnb wrote without the benchmarks' texts, in place of lm-eval's own.
    """

    def act(place: Path) -> RunFolder:
        results = Path(shutil.copytree(OLDER, place / "results"))
        if exported:
            (run,) = import_results(results, place / "earlier", "study")
            results = export_run(run, place / "exported").parent
        damage(results)
        (run,) = import_results(results, place / "runs", "study")
        return RunFolder.read(run.path)

    ROWS.append(Row("lm-eval results", name, act, error, right))


def raw(pattern: str, change: Callable[[bytes], bytes]) -> Damage:
    return lambda place: the(place, pattern).write_bytes(change(the(place, pattern).read_bytes()))


def results(change: Callable[[dict[str, Any]], Any]) -> Damage:
    def edit(place: Path) -> None:
        document = read_json(path := the(place, RESULTS))
        change(document)
        path.write_text(json.dumps(document), encoding="utf-8")

    return edit


def line(pattern: str, number: int = 0, change: Callable[[dict[str, Any]], Any] | None = None, **fields: Any) -> Damage:
    def edit(place: Path) -> None:
        path = the(place, pattern)
        samples = [fields for _, fields in read_json_lines(path)]
        samples[number] |= fields
        if change:
            change(samples[number])
        path.write_text("\n".join(map(json.dumps, samples)), encoding="utf-8")

    return edit


def claims(pattern: str, **told: Any) -> Damage:
    return line(pattern, change=lambda sample: sample["slimnb"].update(told))


def replaced(pattern: str, make: Damage) -> Damage:
    def put(place: Path) -> None:
        path = the(place, pattern)
        path.unlink()
        make(path)

    return put


def score(task: str, key: str, value: Any) -> Damage:
    return results(lambda found: found["results"][task].update({key: value}))


def counted(run: RunFolder) -> dict[str, int]:
    return {name: result.score.k for name, result in run.record.scores.items()}


AS_IT_IS = {"hellaswag": 2, "gsm8k": 1}
"""Right items of what is not damaged."""


def unchanged(run: RunFolder) -> bool:
    return counted(run) == AS_IT_IS and run.record.status == "completed"


add("as it is", lambda place: None, right=unchanged)
add("as slimnb wrote it", lambda place: None, right=unchanged, exported=True)

# Files

add("no results", lambda place: the(place, RESULTS).unlink(), "no results_*.json")
add("an empty directory", lambda place: [path.unlink() for path in place.iterdir()], "no results_*.json")
add("no samples", lambda place: the(place, GSM8K).unlink(), "--log_samples")
add("results a directory", replaced(RESULTS, lambda path: path.mkdir()), "not a file")
add("results a pipe", replaced(RESULTS, os.mkfifo), "not a file")
add("results a link to itself", replaced(RESULTS, lambda path: path.symlink_to(path)), "results_2024")
add("results a link out", replaced(RESULTS, lambda path: path.symlink_to("/etc/hostname")), "leads out of")
add("results a device without end", replaced(RESULTS, lambda path: path.symlink_to("/dev/zero")), "leads out of")
add("samples a directory", replaced(HELLASWAG, lambda path: path.mkdir()), "not a file")
add("samples a pipe", replaced(HELLASWAG, os.mkfifo), "not a file")
add("samples a link out", replaced(HELLASWAG, lambda path: path.symlink_to("/etc/hostname")), "leads out of")
add("samples a link to nowhere", replaced(HELLASWAG, lambda path: path.symlink_to("nowhere")), "not there")
add("directories in a circle", lambda place: (place / "again").symlink_to(place), right=unchanged)
add("results of 60 MB", lambda place: os.truncate(the(place, RESULTS), 60_000_000), "more than the 50 MB")
add("samples of 3 GB", lambda place: os.truncate(the(place, GSM8K), 3_000_000_000), "larger than 2 GB")
add("samples of zeros", lambda place: (the(place, GSM8K).write_bytes(b""), os.truncate(the(place, GSM8K), 10**8)),
    "not UTF-8")  # fmt: skip
add("a second file, of nothing", lambda place: (place / "results_x.json").write_text("{}"), "results_x.json: ")
add("another's results beside", lambda place: (place / "results_x.json").write_text("[]"), "results_x.json: ")

for name, change, said in (
    ("empty", lambda text: b"", "not valid JSON"),
    ("cut", lambda text: text[: len(text) // 2], "not valid JSON"),
    ("packed", gzip.compress, "not valid JSON"),
    ("UTF-16", lambda text: text.decode().encode("utf-16"), "not valid JSON"),
    ("null", lambda text: b"null", "results_2024"),
    ("a list", lambda text: b"[]", "results_2024"),
    ("nested too deep", lambda text: b"[" * 100_000, "not valid JSON"),
    ("3,000,000 lists", lambda text: b"[" + b"[]," * 3_000_000 + b"[]]", "lists and objects"),
    (
        "a name given twice",
        lambda text: text.replace(b'"results"', b'"results": {}, "results"', 1),
        "'results' is given",
    ),
):
    add(f"results {name}", raw(RESULTS, change), said)
for name, change, said in (
    ("empty", lambda text: b"", "no samples in it"),
    ("blank", lambda text: b"\n\n", "no samples in it"),
    ("cut", lambda text: text[:-80], "not valid JSON"),
    ("packed", gzip.compress, "not UTF-8"),
    ("UTF-16", lambda text: text.decode().encode("utf-16"), "not UTF-8"),
    ("a line fewer", lambda text: text[: text.rindex(b'{"doc_id"')], "hold 2"),
    ("a line twice", lambda text: text + text.splitlines(keepends=True)[0], "occurs twice"),
    ("a line of 21 MB", lambda text: text + b" " * 21_000_000, "a line of more than"),
    ("nested too deep", lambda text: b"[" * 100_000, "not valid JSON"),
    ("a list", lambda text: b"[1]\n", ":1: "),
    ("a name given twice", lambda text: text.replace(b'"acc":', b'"acc": 0, "acc":', 1), "'acc' is given twice"),
):
    add(f"samples {name}", raw(HELLASWAG, change), said)

# What results say

for name, fields, said in (
    ("no results", {"results": {}}, "acc,none None"),
    ("results that are a list", {"results": []}, "results"),
    ("no shots", {"n-shot": None}, "n-shot"),
    ("shots true", {"n-shot": {"hellaswag": True, "gsm8k": 1}}, "true or false"),
    ("shots below 0", {"n-shot": {"hellaswag": -1, "gsm8k": 1}}, "n-shot.hellaswag"),
    ("shots beyond all", {"n-shot": {"hellaswag": 10**30, "gsm8k": 1}}, "n-shot.hellaswag"),
    ("no seconds", {"total_evaluation_time_seconds": None}, "total_evaluation_time"),
    ("seconds below 0", {"total_evaluation_time_seconds": "-1"}, "total_evaluation_time"),
    ("seconds that are none", {"total_evaluation_time_seconds": "nan"}, "total_evaluation_time"),
    ("no model", {"model_name": None}, "model_name"),
    ("half a surrogate pair", {"model_name": "\ud800"}, "half a character"),
    ("a model's name of 1 MB", {"model_name": "m" * 10**6}, "model_name"),
    ("no call", {"config": None}, "config"),
    ("a call nested deep", {"config": DEEP}, "config"),
    ("more items than there are", {"n-samples": {"hellaswag": {"effective": 99}}}, "scored on 99 items"),
    ("only tasks of others", {"configs": {"arc_easy": {}}}, "none of its tasks"),
    ("tasks that are paths", {"configs": {"../../etc/passwd": {}, "*": {}}}, "none of its tasks"),
    ("a limit beyond all", {"config": {"limit": float("inf")}}, "config.limit"),
):
    add(f"results with {name}", results(lambda found, fields=fields: found.update(fields)), said)
add("results dated beyond all calendars", results(lambda found: found.update(date=1e300)), right=unchanged)
for value in (0.75, "N/A", None, float("nan"), float("inf"), 10**400, -1, [1], True, "0.6666666666666666"):
    add(
        f"a score of {value!r:.20}",
        score("hellaswag", "acc_norm,none", value),
        "but its samples give 0.666667 (2 of 3)",
    )

# What samples say

for name, fields, said in (
    ("no resps", {"resps": []}, "resps"),
    ("empty resps", {"resps": [[], [], [], []]}, "resps.0"),
    ("resps too few", {"resps": [[[-1, False]]] * 3}, "4 answers, but 3 log-likelihoods"),
    ("resps of no number", {"resps": [[["nan", False]]] * 4}, "resps.0.0.0"),
    ("resps beyond all numbers", {"resps": [[[float("-inf"), False]]] * 4}, "resps.0.0.0"),
    ("other resps", {"resps": [[[-1, False]]] * 4}, "graded 1 on acc"),
    ("no arguments", {"arguments": []}, "no arguments"),
    ("arguments that are none", {"arguments": {"gen_args_1": {}}}, "arguments"),
    ("a row that is none", {"doc": {"ind": 1}}, "activity_label"),
    ("a row nested deep", {"doc": {"ind": DEEP}}, "samples_hellaswag"),
    ("a row of 1 MB", {"doc": {"ind": "a" * 10**6}}, "more than 100000 characters"),
    ("a document beyond all", {"doc_id": 10**30}, "doc_id"),
    ("a document true", {"doc_id": True}, "true or false"),
    ("a document below 0", {"doc_id": -1}, "doc_id"),
    ("an unknown filter", {"filter": "other"}, "no line with the filter"),
    ("a filter that is a list", {"filter": []}, "filter"),
    ("half a grade", {"acc": 0.5}, "graded 0.5 on acc"),
    ("a grade beyond all numbers", {"acc": float("inf")}, "acc"),
):
    add(f"a choice with {name}", line(HELLASWAG, **fields), said)
for name, fields, said in (
    ("half a surrogate pair", {"resps": [["\ud800"]]}, "half a character"),
    ("an answer of 1 MB", {"resps": [["1" * 10**6]]}, "resps.0.0"),
    ("an answer that is hard to search", {"resps": [["-$" * 49_000]]}, "is not what strict-match extracts"),
    ("another extraction", {"filtered_resps": ["37"]}, "is not what strict-match extracts"),
    ("an extraction of 90 kB", {"filtered_resps": ["3" * 90_000]}, "is not what strict-match extracts"),
    ("another grade", {"exact_match": 0.0}, "graded 0 on strict-match"),
    ("no number in the row", {"doc": {"question": "q", "answer": "none"}}, "#### NUMBER"),
    ("a row too long", {"doc": {"question": "a" * 10**6, "answer": "#### 1"}}, "more than 100000 characters"),
):
    add(f"a text with {name}", line(GSM8K, **fields), said)

# What slimnb's own export says where it left the texts out

for name, told, said in (
    ("a right answer that is none", {"gold": 9}, "not what its answers give"),
    ("an answer that is none", {"prediction": 9}, "not what its answers give"),
    ("another answer", {"prediction": 1, "gold": 0}, "not what its answers give"),
    ("lengths too few", {"answer_bytes": [1]}, "not what its answers give"),
    ("no lengths", {"answer_bytes": []}, "not what its answers give"),
    ("lengths below 0", {"answer_bytes": [-1] * 4}, "answer_bytes"),
    ("another subject's item", {"id": "gsm8k:1"}, "which item of hellaswag"),
    ("an item that is a number", {"id": 1}, "id"),
):
    add(f"a claim of {name}", claims(HELLASWAG, **told), said, exported=True)
add("no claims on prompts", results(lambda found: found.update(slimnb={})), "no word of slimnb's", exported=True)
add("claims on chance that are none", results(lambda found: found["slimnb"]["hellaswag"].update(chance="x")),
    "slimnb.hellaswag.chance", exported=True)  # fmt: skip


def where_it_goes(name: str, study: str, error: str) -> None:
    def act(place: Path) -> Any:
        run = import_results(OLDER, place / "inner" / "runs", study)
        return [one.path for one in run]

    ROWS.append(Row("lm-eval results", f"into a study {name}", act, error))


where_it_goes("outside", "../study", "without slashes")
where_it_goes("above", "..", "study's name")
where_it_goes("of no name", "", "study's name")
where_it_goes("of a long name", "s" * 300, "too long")
