"""What the notebooks share beyond the demo's runs: the reference study as far as it is measured, and one run more."""

from pathlib import Path

import pytest

from slimnb import workshop
from slimnb.alignment import read_alignment
from slimnb.errors import SlimnbError
from slimnb.study.grid import load_study
from tests.conftest import MakeRun

TINY = (
    "name: try\nmodel: tiny\nmethods: [base, lora]\ntrain_on: [workshop_cs]\nbenchmarks: [workshop_cs]\n"
    "options: {epochs: 1, rank: 2}\nscoring: {limit: 2}\n"
)


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(workshop, "MEASURED", tmp_path / "runs" / "reference")
    return workshop.MEASURED


def test_a_study_that_is_partly_measured_says_what_is_missing(
    measured: Path, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(TINY + "seeds: [0, 1]\n")
    monkeypatch.setattr(workshop, "REFERENCE", study)
    base, lora, _ = load_study(study).runs()
    with pytest.raises(SlimnbError, match="no completed run"):
        workshop.study("replay")
    made = make_run(study="reference", benchmark="workshop_cs", limit=2)
    assert made.config == base
    said = workshop.progress(workshop.study("replay")).data
    assert "**1 of 3 runs**" in said and "Not measured yet: lora on workshop_cs (2)." in said
    for seed in (0, 1):
        made = make_run(
            "lora", (True, True, True, False), study="reference", benchmark="workshop_cs", limit=2, seed=seed,
            train_on="workshop_cs", epochs=1, rank=2, steps=None,
        )  # fmt: skip
    assert made.config.model_copy(update={"seed": 0}) == lora
    found = workshop.study("quick")
    assert workshop.progress(found).data == "**3 of 3 runs** of the reference study are measured."
    assert [len(one.runs) for one in found.fine_tunes] == [2]


def test_the_shipped_runs_are_of_the_reference_study() -> None:
    if not workshop.MEASURED.is_dir():
        pytest.skip("no run of it ships yet")
    planned = {config.run_id for config in load_study(workshop.REFERENCE).runs()}
    assert {run.record.id for run in workshop.study("replay").runs} <= planned


def test_full_foretells_then_measures_in_a_directory_of_its_own(
    measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(TINY)
    monkeypatch.setattr(workshop, "REFERENCE", study)
    monkeypatch.setattr(workshop, "RUNS", tmp_path / "runs")
    found = workshop.study("full")
    assert [run.config.method for run in found.runs] == ["base", "lora"] and not measured.exists()
    assert found.alignment == read_alignment(tmp_path / "runs" / "reproduction")
    assert found.alignment and list(found.alignment.training_sets) == ["workshop_cs"]


def test_one_run_more_is_the_quick_studys_but_for_what_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(TINY)
    monkeypatch.setattr(workshop, "RUNS", tmp_path)
    monkeypatch.setitem(workshop.STUDIES, "quick", study)
    config = workshop.another("lora", "workshop_math", steps=1, learning_rate=0.01).config
    assert config.training and config.lora
    assert (config.training.data, config.training.steps, config.training.epochs) == ("workshop_math", 1, None)
    assert (config.training.learning_rate, config.lora.rank, config.limit) == (0.01, 2, 2)


def test_what_is_not_measured_is_not_compared() -> None:
    for nothing in (None, float("nan")):
        assert workshop.compare(3, nothing, "%").data == "You predicted **3%**; this is **not measured** yet."
