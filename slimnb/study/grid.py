"""What a study is made of: a grid of runs, in YAML. Imports no torch."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from slimnb.config import (
    LORA_OPTIONS,
    METHODS,
    QUANTIZATION_OPTIONS,
    Frozen,
    Method,
    RunConfig,
    Seed,
    make_run_config,
)
from slimnb.errors import SlimnbError
from slimnb.io.documents import read_yaml, validated

SCORING = {"limit", "limits", "shots", "dtype", "chat_template"}
MOST_RUNS = 10_000
"""Of a study: years of work, and listed in seconds."""


class Grid(Frozen):
    """Every method on every training set with every seed and every value of what is varied; the base model once."""

    model: str = "smollm2-135m"
    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = METHODS
    train_on: tuple[str, ...] = ()
    benchmarks: Annotated[tuple[str, ...], Field(min_length=1)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    options: dict[str, Any] = Field(default_factory=dict)
    """Anything `slimnb run` takes, the same for every trained run: epochs, rank, ... Method full skips LoRA's."""
    vary: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """An option -> the values that it takes, one run each."""
    scoring: dict[str, Any] = Field(default_factory=dict)
    """limit, limits, shots, dtype and chat_template, the same for every run, the base model included."""

    @model_validator(mode="after")
    def _options_are_the_grids_to_give(self) -> Self:
        if wrong := sorted({*self.options, *self.vary} & {*RunConfig.model_fields, "train_on", "data"}):
            raise ValueError(f"options cannot hold {', '.join(wrong)}: the study gives it elsewhere")
        if wrong := sorted(self.options.keys() & self.vary.keys()):
            raise ValueError(f"vary holds {', '.join(wrong)}, which options holds too")
        if wrong := sorted(self.scoring.keys() - SCORING):
            raise ValueError(f"scoring takes {', '.join(sorted(SCORING))}, not {', '.join(wrong)}")
        if set(self.methods) != {"base"} and not self.train_on:
            raise ValueError("train_on: name a training set, or leave only base in methods")
        return self

    @property
    def size(self) -> int:
        """Runs, those counted twice that are the same."""
        trained = len({*self.methods} - {"base"}) * len(self.train_on) * len(self.seeds)
        return ("base" in self.methods) + trained * math.prod(map(len, self.vary.values()))

    def runs(self) -> list[RunConfig]:
        """The grid's runs, base first, then in the order of methods within each training set and seed.

        Raises:
            SlimnbError: a cell of the grid is not a valid run.
        """
        shared = {"model": self.model, "benchmarks": self.benchmarks, **self.scoring}
        configs = []
        if "base" in self.methods:
            configs.append(make_run_config(method="base", **shared))
        trained = [method for method in METHODS if method in self.methods and method != "base"]
        values = itertools.product(self.train_on, self.seeds, itertools.product(*self.vary.values()), trained)
        for data, seed, varied, method in values:
            foreign = {"full": (*LORA_OPTIONS, *QUANTIZATION_OPTIONS), "lora": QUANTIZATION_OPTIONS}.get(method, ())
            options = self.options | dict(zip(self.vary, varied, strict=True))
            options = {k: v for k, v in options.items() if k not in foreign}
            configs.append(make_run_config(method=method, train_on=data, seed=seed, **shared, **options))
        return list({config.run_id: config for config in configs}.values())  # full takes no part in varying LoRA's


class StudyConfig(Frozen):
    """A study: one grid, or several that share what stands beside them."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    needs_gpu: bool = False
    """Made for a CUDA GPU: on a CPU it would take days."""
    grids: tuple[Grid, ...]

    @model_validator(mode="before")
    @classmethod
    def _what_stands_beside_is_shared(cls, given: Any) -> Any:
        """Each grid takes from the study what it does not give itself; of options and scoring, name by name."""
        if not isinstance(given, dict):
            return given
        own = {key: given[key] for key in ("name", "needs_gpu") if key in given}
        shared = {key: value for key, value in given.items() if key not in (*own, "grids")}
        grids = given.get("grids", [{}])
        if not isinstance(grids, list | tuple) or not all(isinstance(grid, dict) for grid in grids):
            return given
        return {**own, "grids": [_inherit(shared, grid) for grid in grids or [{}]]}

    @model_validator(mode="after")
    def _can_be_listed(self) -> Self:
        if (size := sum(grid.size for grid in self.grids)) > MOST_RUNS:
            raise ValueError(f"{size:,} runs, and a study has at most {MOST_RUNS:,}: vary less, or over fewer values")
        return self

    def runs(self) -> list[RunConfig]:
        """The grids' runs in order, each once.

        Raises:
            SlimnbError: a cell of a grid is not a valid run.
        """
        return list({run.run_id: run for grid in self.grids for run in grid.runs()}.values())


def _inherit(shared: dict[str, Any], grid: dict[str, Any]) -> dict[str, Any]:
    merged = shared | grid
    for key in ("options", "scoring"):
        if isinstance(shared.get(key), dict) and isinstance(grid.get(key), dict):
            merged[key] = shared[key] | grid[key]
    return merged


def load_study(path: Path) -> StudyConfig:
    """Read a study's YAML file.

    Raises:
        SlimnbError: the file is missing, is not YAML, or has a wrong field.
    """
    fields = read_yaml(path)
    try:
        study = validated(StudyConfig, fields, str(path))
    except SlimnbError as error:
        if isinstance(fields, dict) and "grids" not in fields:  # what is written is not in a list
            raise SlimnbError(str(error).replace("grids.0.", "")) from error
        raise
    try:
        study.runs()
    except SlimnbError as error:
        raise SlimnbError(f"{path}: {error}") from error
    return study
