"""The benchmarks by name; one file each beside this one."""

from __future__ import annotations

from slimnb.benchmarks.benchmark import Benchmark, ChoiceItem, OpenItem, Questions
from slimnb.benchmarks.gsm8k import Gsm8k
from slimnb.benchmarks.hellaswag import Hellaswag
from slimnb.benchmarks.mmlu_cs import MmluCs, MmluCsLetters, WorkshopCs
from slimnb.data.load import MMLU_CS_SUBJECTS
from slimnb.errors import SlimnbError

_MMLU_CS = tuple(f"mmlu/{subject}" for subject in MMLU_CS_SUBJECTS)

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Hellaswag("hellaswag", ("hellaswag",), split="validation"),  # the test split's labels are secret
        Gsm8k("gsm8k", ("gsm8k",), default_shots=5),
        MmluCsLetters("mmlu_cs", _MMLU_CS, shots_split="dev", default_shots=5),
        MmluCs("mmlu_cs_cloze", _MMLU_CS, shots_split="dev", default_shots=5),
        Hellaswag("workshop_commonsense", ("workshop_commonsense",)),
        Gsm8k("workshop_math", ("workshop_math",), max_new_tokens=64),
        WorkshopCs("workshop_cs", ("workshop_cs",)),
    )
}


def get_benchmark(name: str) -> Benchmark:
    """A benchmark by its name.

    Raises:
        SlimnbError: there is none of that name.
    """
    if name not in BENCHMARKS:
        raise SlimnbError(f"no benchmark is called {name}: there are {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


__all__ = ["BENCHMARKS", "Benchmark", "ChoiceItem", "OpenItem", "Questions", "get_benchmark"]
