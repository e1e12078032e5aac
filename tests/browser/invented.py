"""A study with invented answers, anatomies and alignment: each training set helps its own benchmark, the more the
nearer, and one fine-tune forgets."""

from __future__ import annotations

import numpy as np

from slimnb.alignment.record import Alignment, Predictor, Sample, write_alignment
from slimnb.anatomy.record import FILE, Anatomy, Matrix
from slimnb.io.files import write_json
from slimnb.store.records import BenchmarkResult, Costs, Score
from slimnb.store.runs import RunFolder
from tests.conftest import MakeRun

STUDY = "invented"
ITEMS = 60
BENCHMARKS = ("workshop_math", "workshop_cs", "workshop_commonsense")
BASE_RIGHT = (20, 30, 40)
RIGHT = {
    ("lora", "workshop_math"): (45, 31, 20),  # the one that forgets
    ("qlora", "workshop_math"): (44, 30, 39),
    ("lora", "workshop_cs"): (21, 48, 38),
    ("full", "workshop_commonsense"): (22, 29, 57),
}
KINDS = {"q_proj": (24, 24), "v_proj": (12, 24), "down_proj": (24, 64)}


def invented_study(make_run: MakeRun) -> dict[str, RunFolder]:
    """Base and four fine-tunes on three benchmarks, by method and training set."""
    runs = {"base": scored(make_run("base", study=STUDY, benchmark=BENCHMARKS[0]), BASE_RIGHT)}
    for (method, data), right in RIGHT.items():
        run = scored(make_run(method, study=STUDY, benchmark=BENCHMARKS[0], train_on=data), right)
        run.record.costs = Costs(train_seconds=60, train_peak_bytes=2 * 10**9, trainable_parameters=10**6,
                                 weights_bytes=3 * 10**8)  # fmt: skip
        run.save()
        write_json(run.path / FILE, invented_anatomy(run).model_dump(mode="json"))
        runs[f"{method} {data}"] = run
    write_alignment(runs["base"].path.parent, invented_alignment())
    return runs


def invented_anatomy(run: RunFolder) -> Anatomy:
    """Three layers with three matrices each; full fine-tuning's spectrum is the flatter one."""
    full = run.config.method == "full"
    steep = np.exp(-np.arange(24 if full else 8) / (12 if full else 2))
    matrices = [
        Matrix(
            name=f"model.layers.{layer}.{kind}", layer=layer, kind=kind, shape=shape, effective_rank=4 + layer,
            singular_values=[float(value) for value in (1 + layer) * steep[: min(shape)]], stable_rank=2,
            energy_rank=3, relative_norm=0.02, amplification=3, alignment=1.5,
            cosines=[0.95, 0.4, 0.8 if full else 0.2],
            quantization={"nf4": 0.09, "nf4+dq": 0.091, "fp4": 0.12, "fp4+dq": 0.121, "int4": 0.14 + layer / 100},
        )
        for layer in range(3) for kind, shape in KINDS.items()
    ]  # fmt: skip
    lora = run.config.lora
    return Anatomy(
        run=run.record.id, method=run.config.method, dtype="bfloat16", seed=0, rank=lora and lora.rank,
        alpha=lora and lora.alpha, scale=lora and 2.0, directions=8, matrices=matrices, skipped=1, seconds=1,
    )  # fmt: skip


def invented_alignment(more: str = "unheard of") -> Alignment:
    """Two predictors: one sees the same names, one has no number; `more` names the second, and a training set."""
    sample = Sample(rows=8, of=80, data_sha256="d" * 64)
    near = {data: {benchmark: float(data == benchmark) for benchmark in BENCHMARKS} for data in BENCHMARKS}
    near[more] = dict.fromkeys((*BENCHMARKS, more), 0.5)
    far = {data: dict.fromkeys(BENCHMARKS) for data in BENCHMARKS}
    return Alignment(
        model="tiny", weights_sha256="a" * 64, dtype="bfloat16", seed=0, shots=0,
        training_sets=dict.fromkeys((*BENCHMARKS, more), sample), benchmarks=dict.fromkeys(BENCHMARKS, sample),
        predictors={"lexical": Predictor(seconds=1, values=near), more: Predictor(seconds=1, values=far)},
    )  # fmt: skip


def scored(run: RunFolder, right: tuple[int, ...]) -> RunFolder:
    """The first items of each benchmark are right."""
    one = run.items(BENCHMARKS[0])
    for benchmark, count in zip(BENCHMARKS, right, strict=True):
        answers = [item < count for item in range(ITEMS)]
        items = one.iloc[[0] * ITEMS].reset_index(drop=True)
        items = items.assign(id=[f"{benchmark}:{item}" for item in range(ITEMS)], correct_acc_norm=answers,
                             prediction=[0 if good else 1 for good in answers])  # fmt: skip
        result = BenchmarkResult(
            metrics={"acc_norm": Score.of(count, ITEMS)}, primary="acc_norm", shots=0, items=ITEMS, seconds=1,
            prompts_sha256="p" * 64, chance=0.25,
        )  # fmt: skip
        run.write_items(benchmark, items, result)
    run.save()
    return run
