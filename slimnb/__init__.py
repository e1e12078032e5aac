"""slimnb: fine-tune a language model cheaply, and know honestly what was gained, what it cost and what was lost.

The public names below are imported on first use, so `import slimnb` costs nothing and needs no torch.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "slimnb.errors": ["SlimnbError", "OutOfMemory"],
    "slimnb.config": ["RunConfig", "make_run_config", "METHODS"],
    "slimnb.study.grid": ["StudyConfig", "load_study"],
    "slimnb.store.records": ["Score"],
    "slimnb.store.runs": ["RunFolder", "scan", "find"],
    "slimnb.stats": [
        "wilson",
        "paired_difference",
        "paired_over_seeds",
        "PairedDifference",
        "equivalence",
        "Equivalence",
        "holm",
        "smallest_difference",
    ],
    "slimnb.analysis.comparison": ["Comparison", "compare", "compare_all"],
    "slimnb.analysis.guard": ["comparability", "config_difference", "costs_differ_in"],
    "slimnb.training.contamination": ["overlap"],
    "slimnb.data.load": ["load_rows", "data_directory"],
    "slimnb.training.training_sets": ["Example", "load_training_set"],
    "slimnb.benchmarks": ["BENCHMARKS", "get_benchmark"],
    "slimnb.models.load": ["LoadedModel", "add_lora", "get_model", "load_adapter", "load_model"],
    "slimnb.evaluation.scoring": ["score_choices"],
    "slimnb.evaluation.generation": ["generate"],
    "slimnb.evaluation.evaluate": ["evaluate"],
    "slimnb.interop.lm_eval": ["import_results"],
    "slimnb.interop.lm_eval_export": ["export_run"],
    "slimnb.training.loop": ["train", "tokenize"],
    "slimnb.experiment": ["run"],
    "slimnb.study": ["run_study"],
    "slimnb.models.merge": ["merge_run"],
    "slimnb.anatomy.examine": ["anatomy_of", "compare_updates"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__version__ = "0.1.0"
__all__ = sorted(_HOME_OF)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'slimnb' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
