"""What a study is made of: a grid of runs, in YAML. Imports no torch."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from slimnb.config import LORA_OPTIONS, METHODS, QUANTIZATION_OPTIONS, Frozen, Method, RunConfig, make_run_config
from slimnb.documents import read_yaml, validated
from slimnb.errors import SlimnbError


class StudyConfig(Frozen):
    """A grid of runs: every method on every training set with every seed; the base model once."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    model: str = "smollm2-135m"
    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = METHODS
    train_on: tuple[str, ...] = ()
    benchmarks: Annotated[tuple[str, ...], Field(min_length=1)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    options: dict[str, Any] = Field(default_factory=dict)
    """Anything `slimnb run` takes, the same for every trained run: epochs, rank, ... Method full skips LoRA's."""
    scoring: dict[str, Any] = Field(default_factory=dict)
    """limit, shots, dtype and chat_template, the same for every run of the study, the base model included."""

    @model_validator(mode="after")
    def _options_are_the_grids_to_give(self) -> Self:
        if wrong := sorted(self.options.keys() & {*RunConfig.model_fields, "train_on"}):
            raise ValueError(f"options cannot hold {', '.join(wrong)}: the study gives it elsewhere")
        if wrong := sorted(self.scoring.keys() - {"limit", "shots", "dtype", "chat_template"}):
            raise ValueError(f"scoring takes limit, shots, dtype and chat_template, not {', '.join(wrong)}")
        if set(self.methods) != {"base"} and not self.train_on:
            raise ValueError("train_on: name a training set, or leave only base in methods")
        return self

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
        for data, seed, method in itertools.product(self.train_on, self.seeds, trained):
            foreign = {"full": (*LORA_OPTIONS, *QUANTIZATION_OPTIONS), "lora": QUANTIZATION_OPTIONS}.get(method, ())
            options = {k: v for k, v in self.options.items() if k not in foreign}
            configs.append(make_run_config(method=method, train_on=data, seed=seed, **shared, **options))
        return configs


def load_study(path: Path) -> StudyConfig:
    """Read a study's YAML file.

    Raises:
        SlimnbError: the file is missing, is not YAML, or has a wrong field.
    """
    study = validated(StudyConfig, read_yaml(path), str(path))
    try:
        study.runs()
    except SlimnbError as error:
        raise SlimnbError(f"{path}: {error}") from error
    return study
