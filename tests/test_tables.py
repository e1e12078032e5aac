"""What the terminal shows: counts, intervals and refusals, in whatever words a run's error has."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from slimnb.analysis.tables import duration, gigabytes, results_table, runs_table, study_table
from slimnb.store.records import Costs
from slimnb.store.runs import BrokenRun, RunFolder

MakeRun = Callable[..., RunFolder]


def shown(table: Any) -> str:
    """The table as printed, with runs of spaces as one."""
    console = Console(width=240)
    with console.capture() as capture:
        console.print(table)
    return " ".join(capture.get().split())


def test_a_study_shows_counts_intervals_and_the_paired_change_against_base(make_run: MakeRun) -> None:
    base = make_run("base", (True, True, False, False, False))
    tuned = make_run("lora", (True, False, True, True, False))
    text = shown(study_table([tuned, base], "A study"))
    assert "A study" in text and "95%" in text
    # Wilson's intervals of 2/5 and 3/5, and the paired change with its own.
    assert "2/5" in text and "40.0 (11.8 to 76.9)" in text
    assert "3/5" in text and "60.0 (23.1 to 88.2)" in text
    assert re.search(r"\+20\.0 \(-\d+\.\d to \+\d+\.\d\)", text)
    assert text.index("2/5") < text.index("3/5")  # base first, whatever the order given


def test_a_study_shows_what_training_cost(make_run: MakeRun) -> None:
    run = make_run("lora")
    run.record.costs = Costs(
        train_seconds=75.4, train_peak_bytes=2_500_000_000, total_parameters=135_000_000, trainable_parameters=4_900_000
    )
    text = shown(study_table([run], ""))
    assert "1 min 15 s" in text and "2.50 GB" in text and "3.6%" in text


def test_a_change_between_runs_of_different_origin_is_refused_in_the_table(make_run: MakeRun) -> None:
    text = shown(study_table([make_run(weights="a" * 64), make_run("lora", weights="b" * 64)], ""))
    assert "refused" in text and "different weights" in text


def test_runs_of_several_seeds_and_sets_each_keep_their_label(make_run: MakeRun) -> None:
    runs = [make_run("lora", seed=0), make_run("lora", seed=1), make_run("lora", train_on="workshop_cs")]
    text = shown(study_table(runs, ""))
    assert text.count("lora on workshop_math") == 2 and text.count("lora on workshop_cs") == 1
    assert "seed 1" in text  # else nobody can tell the first two rows apart


def test_runs_are_listed_with_their_scores_or_their_error(make_run: MakeRun, tmp_path: Path) -> None:
    done = make_run("base", (True, False, False))
    failed = make_run("lora", status="failed", error="ValueError: no")
    failed.record.scores = {}
    text = shown(runs_table([done, failed], [BrokenRun(tmp_path / "old" / "base-x", "run.json: not valid JSON")]))
    assert "workshop_cs 1/3" in text and "completed" in text
    assert "failed" in text and "ValueError: no" in text
    assert "old" in text and "broken" in text and "run.json: not valid JSON" in text


@pytest.mark.parametrize("words", ["shape '[a, b]' is invalid", "unknown tag [/INST]", "[bold]", "dir/[x]/run.json"])
def test_square_brackets_are_shown_and_not_taken_for_markup(make_run: MakeRun, tmp_path: Path, words: str) -> None:
    failed = make_run("lora", status="failed", error=words)
    failed.record.scores = {}
    assert words in shown(runs_table([failed], []))
    assert words in shown(runs_table([], [BrokenRun(tmp_path, words)]))
    assert Path(words).name in shown(study_table([make_run("lora", train_on=words)], ""))
    assert words in shown(study_table([failed], words))


def test_every_metric_of_an_evaluation_is_shown_with_its_interval(make_run: MakeRun) -> None:
    text = shown(results_table(make_run(answers=(True, True, True, False)).record.scores))
    assert "acc_norm" in text and "3/4" in text and "75.0%" in text and "30.1% to 95.4%" in text


def test_missing_costs_are_a_dash() -> None:
    assert (duration(None), gigabytes(None)) == ("-", "-")
    assert (duration(0), duration(59.4), duration(60), duration(3599.7)) == ("0 s", "59 s", "1 min 00 s", "1 h 00 min")
    assert gigabytes(0) == "0.00 GB"
