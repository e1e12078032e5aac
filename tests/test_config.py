"""Configurations: defaults, what is refused and how it is told, identity, and the grid of a study."""

import json
from pathlib import Path
from typing import Any

import pytest

from slimnb.benchmarks import get_benchmark
from slimnb.config import (
    METHODS,
    FourBit,
    Lora,
    RunConfig,
    Training,
    load_run_config,
    make_run_config,
)
from slimnb.errors import SlimnbError
from slimnb.study.grid import StudyConfig, load_study
from slimnb.training.training_sets import TRAINING_SETS

STUDIES = sorted((Path(__file__).parents[1] / "data" / "studies").glob("*.yaml"))


def config(method: str = "lora", **options: Any) -> RunConfig:
    trained = {} if method == "base" else {"train_on": "workshop_math"}
    return make_run_config(method=method, **({"model": "tiny", "benchmarks": ["workshop_math"]} | trained | options))


@pytest.mark.parametrize(
    ("method", "learning_rate", "lora", "four_bit"),
    [("lora", 1e-3, Lora(), None), ("qlora", 1e-3, Lora(), FourBit()), ("full", 1e-4, None, None)],
)
def test_each_method_gets_its_defaults(
    method: str, learning_rate: float, lora: Lora | None, four_bit: FourBit | None
) -> None:
    made = config(method)
    assert made.training == Training(data="workshop_math", epochs=3, learning_rate=learning_rate)
    assert (made.lora, made.four_bit) == (lora, four_bit)
    assert made.dtype == "bfloat16" and made.seed == 0 and made.shots is None


def test_the_base_model_is_neither_trained_nor_changed() -> None:
    made = config("base")
    assert made.training is made.lora is made.four_bit is None


def test_lora_and_qlora_differ_only_in_method_and_four_bit() -> None:
    one, two = config("lora", rank=4, steps=7).model_dump(), config("qlora", rank=4, steps=7).model_dump()
    assert {key for key in one if one[key] != two[key]} == {"method", "four_bit"}


@pytest.mark.parametrize(("given", "alpha"), [({"rank": 4}, 8), ({"rank": 4, "alpha": 5}, 5), ({"alpha": 5}, 5)])
def test_a_rank_alone_keeps_alpha_at_twice_the_rank(given: dict[str, float], alpha: float) -> None:
    assert config(**given).lora == Lora(rank=int(given.get("rank", 16)), alpha=alpha)


@pytest.mark.parametrize(
    ("method", "option", "value"),
    [
        ("base", "train_on", "workshop_math"),
        ("base", "train_limit", 5),
        ("base", "epochs", 1),
        ("base", "steps", 1),
        ("base", "learning_rate", 1e-3),
        ("base", "batch_size", 4),
        ("base", "max_length", 64),
        *((method, option, value) for method in ("base", "full")
          for option, value in (("rank", 8), ("alpha", 8.0), ("targets", "q_proj"))),
    ],
)  # fmt: skip
def test_an_option_that_does_not_go_with_the_method_is_refused_by_name(method: str, option: str, value: Any) -> None:
    with pytest.raises(SlimnbError, match=f"method {method} .*--{option.replace('_', '-')}"):
        config(method, **{option: value})


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_a_trained_method_needs_a_training_set(method: str) -> None:
    with pytest.raises(SlimnbError, match="--train-on"):
        config(method, train_on=None)


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("method", {"method": "dora"}),
        ("rank", {"rank": 0}),
        ("rank", {"rank": 2.5}),
        ("alpha", {"alpha": -1}),
        ("learning_rate", {"learning_rate": 0}),
        ("learning_rate", {"learning_rate": float("nan")}),
        ("learning_rate", {"learning_rate": float("inf")}),
        ("epochs", {"epochs": 0}),
        ("epochs", {"epochs": float("inf")}),
        ("epochs", {"epochs": 1, "steps": 1}),
        ("steps", {"steps": 0}),
        ("batch_size", {"batch_size": 0}),
        ("max_length", {"max_length": "long"}),
        ("limit", {"limit": 0}),
        ("shots", {"shots": -1}),
        ("dtype", {"dtype": "float16"}),
        ("benchmark", {"benchmarks": []}),
        ("benchmark", {"benchmarks": ["gsm8k", "gsm8k"]}),
        ("lerning_rate", {"lerning_rate": 1e-3}),
    ],
)
def test_a_value_out_of_range_is_refused_and_its_field_named(field: str, options: dict[str, Any]) -> None:
    with pytest.raises(SlimnbError, match=field):
        config(**options)


def test_a_run_id_is_readable_and_the_same_after_a_round_trip_through_json(tmp_path: Path) -> None:
    made = config("qlora", seed=3)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(made.model_dump(mode="json")))
    assert load_run_config(path) == made
    assert load_run_config(path).run_id == made.run_id == config("qlora", seed=3).run_id
    assert made.run_id.startswith("qlora-tiny-workshop-math-s3-")


def test_any_difference_gives_another_run_id() -> None:
    changes: list[dict[str, Any]] = [
        {}, {"method": "qlora"}, {"method": "full"}, {"model": "smollm2-135m"}, {"model": "other/tiny"}, {"seed": 1},
        {"dtype": "float32"}, {"benchmarks": ["workshop_cs"]}, {"benchmarks": ["workshop_cs", "workshop_math"]},
        {"benchmarks": ["workshop_math", "workshop_cs"]}, {"limit": 4}, {"shots": 0}, {"train_on": "gsm8k_train"},
        {"train_limit": 5}, {"epochs": 1}, {"steps": 3}, {"learning_rate": 2e-3}, {"rank": 8}, {"alpha": 8},
        {"targets": ("q_proj",)}, {"batch_size": 4}, {"max_length": 64}, {"warmup": 0.1}, {"schedule": "constant"},
        {"weight_decay": 0.1}, {"clip": 0.5},
    ]  # fmt: skip
    ids = {config(**change).run_id for change in changes}
    assert len(ids) == len(changes)


@pytest.mark.parametrize(
    ("model", "data", "readable"),
    [
        ("HuggingFaceTB/SmolLM2-1.7B-Instruct", "gsm8k_train", "lora-smollm2-1-7b-instruct-gsm8k-train-s0-"),
        ("Qwen/Qwen2.5-0.5B", "my rows.jsonl", "lora-qwen2-5-0-5b-my-rows-s0-"),
        ("/models/phi-3.5/", "dir/own.v2.jsonl", "lora-phi-3-5-own-v2-s0-"),
    ],
)
def test_a_run_id_tells_models_and_files_apart_by_their_whole_name(model: str, data: str, readable: str) -> None:
    run_id = config(model=model, train_on=data).run_id
    assert run_id.startswith(readable) and "/" not in run_id and " " not in run_id


def test_a_study_runs_base_once_and_first_then_the_methods_within_each_set_and_seed() -> None:
    study = StudyConfig(
        name="grid", model="tiny", methods=("full", "qlora", "base", "lora"), train_on=("workshop_math", "workshop_cs"),
        benchmarks=("workshop_math",), seeds=(0, 1), options={"steps": 2}, scoring={"limit": 4},
    )  # fmt: skip
    runs = study.runs()
    assert [(run.method, run.training and run.training.data, run.seed) for run in runs] == [
        ("base", None, 0),
        *((method, data, seed) for data in ("workshop_math", "workshop_cs") for seed in (0, 1)
          for method in ("lora", "qlora", "full")),
    ]  # fmt: skip
    assert all(run.limit == 4 for run in runs)
    assert all(run.training is None or run.training.steps == 2 for run in runs)
    assert METHODS == ("base", "lora", "qlora", "full")


def test_grids_share_what_stands_beside_them_and_a_run_that_two_name_is_run_once(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        """
name: several
model: tiny
benchmarks: [workshop_math, workshop_cs]
scoring: {limits: {workshop_math: 4}}
options: {steps: 2, batch_size: 4}
grids:
  - {methods: [base]}
  - {methods: [lora, full], train_on: [workshop_math], vary: {rank: [2, 16], learning_rate: [0.1]}}
  - {methods: [lora], train_on: [workshop_math], options: {batch_size: 2}, scoring: {limit: 9}}
  - {methods: [lora], train_on: [workshop_math], options: {learning_rate: 0.1}}
"""
    )
    base, two, full, sixteen, small = load_study(path).runs()
    assert base.method == "base" and full.method == "full" and small.training
    assert [run.lora and run.lora.rank for run in (two, sixteen, small)] == [2, 16, 16]
    assert (small.training.batch_size, small.training.steps, small.limit) == (2, 2, 9)
    assert [(run.limit_of("workshop_math"), run.limit_of("workshop_cs")) for run in (base, small)] == [
        (4, None),
        (4, 9),
    ]


PLAIN = "name: x\nmodel: tiny\ntrain_on: [workshop_math]\nbenchmarks: [workshop_math]\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: [", "YAML"),
        ("", "dictionary"),
        ("- 1", "dictionary"),
        ("name: x", "benchmarks"),
        (PLAIN + "modle: tiny", "modle"),
        (PLAIN + "methods: [lora, dora]", "methods"),
        (PLAIN + "seeds: zero", "seeds"),
        (PLAIN.replace("name: x", "name: ../x"), "name"),
        (PLAIN + "options: {epoch: 2}", "epoch"),
        (PLAIN + "options: {seed: 2}", "seed"),
        (PLAIN + "options: {method: lora}", "method"),
        (PLAIN + "options: {rank: 0}", "rank"),
        (PLAIN + "scoring: {limits: 2}", "limits"),
        (PLAIN + "scoring: {limits: {hellaswag: 2}}", "hellaswag"),
        (PLAIN + "options: {rank: 2}\nvary: {rank: [2, 4]}", "vary holds rank"),
        (PLAIN + "vary: {rank: []}", "vary.rank"),
        (PLAIN + "grids: [3]", "grids.0"),
        (PLAIN + "grids: [{methods: [lora]}, {methods: [lorra]}]", "grids.1.methods.0"),
        (PLAIN + "scoring: {limit: 2}\noptions: {limit: 3}", "limit"),
        (PLAIN.replace("train_on: [workshop_math]\n", "") + "methods: [lora]", "train_on"),
    ],
    ids=lambda value: value.rpartition("\n")[2] or "empty",
)
def test_a_mistake_in_a_study_names_the_file_and_the_field(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(SlimnbError) as caught:
        load_study(path).runs()
    assert str(path) in str(caught.value) and told in str(caught.value).removeprefix(str(path))


RUN = {"model": "tiny", "method": "base", "benchmarks": ["workshop_math"]}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "JSON"),
        ("[" * 100_000, "JSON"),
        ("[]", "dictionary"),
        (json.dumps(RUN | {"rank": 4}), "rank"),
        (json.dumps(RUN | {"method": "lora"}), "training"),
        (json.dumps(RUN | {"lora": {}}), "lora"),
        (json.dumps(RUN | {"benchmarks": []}), "benchmarks"),
        (json.dumps(RUN | {"limit": "few"}), "limit"),
    ],
    ids=lambda value: value[:80],
)
def test_a_mistake_in_a_config_json_names_the_file_and_the_field(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(SlimnbError) as caught:
        load_run_config(path)
    assert str(path) in str(caught.value) and told in str(caught.value).removeprefix(str(path))


@pytest.mark.parametrize("load", [load_study, load_run_config])
def test_a_file_that_is_missing_a_directory_or_not_text_is_named(tmp_path: Path, load: Any) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing", tmp_path, binary):
        with pytest.raises(SlimnbError, match=str(path)):
            load(path)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_shipped_study_names_benchmarks_and_training_sets_that_exist(path: Path) -> None:
    runs = load_study(path).runs()
    assert runs and len({run.run_id for run in runs}) == len(runs)
    for run in runs:
        assert all(get_benchmark(name) for name in run.benchmarks)
        assert run.training is None or run.training.data in TRAINING_SETS


def test_studies_ship_with_the_project() -> None:
    assert STUDIES
