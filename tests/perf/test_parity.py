"""slimnb's scores are lm-evaluation-harness's, item by item, on the same rows in float32. `make parity`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from slimnb.benchmarks import Questions, get_benchmark
from slimnb.benchmarks.mmlu_cs import MmluCs
from slimnb.data.rows import Gsm8kRow, HellaswagRow, MmluRow
from slimnb.evaluation.evaluate import evaluate
from slimnb.io.files import write_json
from slimnb.models.load import LoadedModel, load_model
from tests.perf import lm_eval_peer

pytest.importorskip("lm_eval", reason="needs the extra `peers`: pip install -e .[peers]")

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SLIMNB_DATA") or ROOT.parent / "shared" / "data")
RESULT = ROOT / "data" / "perf" / "parity.json"
TOLERANCE = 1e-3  # nats

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real data sets are not here: set SLIMNB_DATA"),
    pytest.mark.filterwarnings("default"),  # lm-eval's own warnings are not ours to mend
    pytest.mark.enable_socket,
]

CASES = [
    ("hellaswag", 0, 200),
    ("mmlu_cs", 0, None),
    ("mmlu_cs_cloze", 0, None),
    ("gsm8k", 5, 50),
    ("mmlu_cs", 5, None),
    ("hellaswag", 5, 200),
    ("mmlu_cs_cloze", 5, None),
]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    torch.set_num_threads(os.cpu_count() or 1)
    return load_model("smollm2-135m", "float32", device="cpu")


def item_id(benchmark: str, task: str, doc: dict[str, Any]) -> str:
    row_type = {"hellaswag": HellaswagRow, "gsm8k": Gsm8kRow}.get(benchmark, MmluRow)
    identity = get_benchmark(benchmark).identity(row_type.model_validate(doc))
    subject = task.removeprefix("local_mmlu_letters_").removeprefix("local_mmlu_cloze_").removeprefix("local_")
    return f"{subject}:{identity}"


def record(benchmark: str, shots: int, outcome: dict[str, Any]) -> None:
    """Keep each case's outcome beside the others', so that long cases can run in sittings."""
    known = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    known[f"{benchmark}, {shots} shots"] = outcome
    write_json(RESULT, dict(sorted(known.items())))


@pytest.mark.parametrize(("benchmark", "shots", "limit"), CASES)
def test_every_item_is_scored_as_by_lm_eval(model: LoadedModel, benchmark: str, shots: int, limit: int | None) -> None:
    asked = get_benchmark(benchmark)
    questions: Questions = asked.load(DATA, shots, limit)
    items, _ = evaluate(model, asked, questions)
    mine = items.set_index("id")
    wrapped = lm_eval_peer.harness(model.model, model.tokenizer, batch_size=16)
    theirs = lm_eval_peer.evaluate(wrapped, benchmark, DATA, shots, limit)
    differences: list[str] = []
    largest, compared = 0.0, set()
    for task, samples in theirs["samples"].items():
        for sample in samples:
            row = mine.loc[item_id(benchmark, task, sample["doc"])]
            compared.add(row.name)
            if isinstance(asked, MmluCs) or benchmark == "hellaswag":
                pairs = zip(row["log_likelihoods"], [float(r[0][0]) for r in sample["resps"]], strict=True)
                gap = max(abs(a - b) for a, b in pairs)
                largest = max(largest, gap)
                if gap > TOLERANCE:
                    differences.append(f"{row.name}: log-likelihoods differ by {gap:.2g}")
                for metric in asked.metrics:
                    if metric in sample and bool(sample[metric]) != bool(row[f"correct_{metric}"]):
                        differences.append(f"{row.name}: {metric} {sample[metric]} and {row[f'correct_{metric}']}")
            else:
                text = sample["resps"][0][0]
                if text != row["text"]:
                    differences.append(f"{row.name}: text {text!r} and {row['text']!r}")
                if bool(sample["exact_match"]) != bool(row[f"correct_{sample['filter']}"]):
                    differences.append(f"{row.name}: {sample['filter']} differs")
    record(
        benchmark, shots,
        {"items": len(compared), "largest_log_likelihood_difference": largest, "differences": differences,
         "lm_eval": "0.4.13", "dtype": "float32"},
    )  # fmt: skip
    assert compared == set(mine.index)
    assert not differences
