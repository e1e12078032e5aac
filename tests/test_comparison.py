"""Two runs on the same items: refused where a difference would mean nothing, counted where it means something."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from slimnb.analysis.comparison import compare, compare_all, config_difference, costs_differ_in
from slimnb.analysis.fine_tunes import fine_tunes
from slimnb.analysis.guard import format_failures
from slimnb.analysis.pairing import base_of, seeds_together
from slimnb.config import METHODS
from slimnb.errors import SlimnbError
from slimnb.store.runs import RunFolder, scan_study

MakeRun = Callable[..., RunFolder]


def test_a_comparison_counts_item_by_item(make_run: MakeRun) -> None:
    base = make_run("base", (True, True, False, False, False))
    tuned = make_run("lora", (True, False, True, True, False))
    change = compare(base, tuned, "workshop_cs")
    assert (change.first.scores[0].k, change.second.scores[0].k, change.metric) == (2, 3, "acc_norm")
    assert (change.paired.n, change.paired.fixed, change.paired.broken) == (5, 2, 1)
    assert change.paired.difference == pytest.approx(0.2)


def test_of_several_bases_the_one_is_taken_that_answered_the_same(make_run: MakeRun) -> None:
    other, base = make_run(benchmark="workshop_math", study="demo"), make_run()
    tuned, stray = make_run("lora"), make_run("qlora", weights="b" * 64)
    assert base_of(tuned, [other, tuned, base]) is base
    assert base_of(tuned, [other, tuned]) is other and base_of(stray, [other, base]) is None


def test_of_several_bases_the_one_is_taken_that_was_asked_the_same(make_run: MakeRun) -> None:
    trial, base = make_run(prompts="q" * 64, study="trial"), make_run()
    assert base_of(make_run("lora"), [trial, base]) is base


def test_an_adapter_imported_with_its_results_is_no_base(make_run: MakeRun) -> None:
    imported, merged = make_run(study="imported"), make_run(study="merged")
    imported.record.method = "peft"
    assert merged.record.lineage and merged.is_base and not imported.is_base
    merged.record.lineage.merged_from = "lora"
    assert not merged.is_base
    tuned = make_run("lora")
    assert base_of(tuned, [imported, merged]) is None
    assert fine_tunes([imported, tuned])[0].base is None


def test_a_seed_that_is_not_complete_takes_no_result_from_the_others(make_run: MakeRun) -> None:
    done, begun = make_run("lora"), make_run("lora", seed=1, status="interrupted")
    assert fine_tunes([done, begun])[0].runs == (done,)
    assert fine_tunes([begun])[0].runs == (begun,)


def test_of_equal_recipes_the_usual_one_is_the_same_for_lora_and_qlora(make_run: MakeRun) -> None:
    runs = [make_run(method, rank=rank) for method in ("lora", "qlora") for rank in (4, 16, 64)]
    usual = [one.runs[0].config for one in fine_tunes(runs) if one.usual is None]
    assert [config.method for config in usual] == ["lora", "qlora"]
    assert usual[0].lora == usual[1].lora


def test_other_rows_under_one_name_weaken_a_comparison(make_run: MakeRun) -> None:
    one, other = make_run("lora"), make_run("qlora")
    for run, rows in ((one, "a"), (other, "b")):
        run.write_environment(run.environment() | {"training_set": {"sha256": rows * 64}})
    assert any("had other rows" in warning for warning in compare(one, other, "workshop_cs").warnings)


def test_runs_of_different_origin_are_refused(make_run: MakeRun) -> None:
    base, tuned = make_run(weights="a" * 64), make_run("lora", weights="b" * 64)
    with pytest.raises(SlimnbError, match="different weights.*aaaaaaaaaaaa.*bbbbbbbbbbbb"):
        compare(base, tuned, "workshop_cs")


def test_runs_in_different_precision_are_refused(make_run: MakeRun) -> None:
    with pytest.raises(SlimnbError, match="bfloat16.*float32"):
        compare(make_run(), make_run("lora", dtype="float32"), "workshop_cs")


def test_runs_that_were_asked_different_things_are_refused(make_run: MakeRun) -> None:
    with pytest.raises(SlimnbError, match="workshop_cs.*different items or prompts"):
        compare(make_run(prompts="p"), make_run("lora", prompts="q"), "workshop_cs")


@pytest.mark.parametrize("order", [1, -1])
def test_a_benchmark_that_one_run_lacks_is_named_with_the_run(make_run: MakeRun, order: int) -> None:
    one, other = [make_run(), make_run("lora", benchmark="workshop_commonsense")][::order]
    without = one if order == -1 else other
    with pytest.raises(SlimnbError, match=f"{without.record.id}.*workshop_cs"):
        compare(one, other, "workshop_cs")


def test_lora_and_qlora_are_shown_to_differ_in_nothing_but_four_bit(make_run: MakeRun) -> None:
    difference = config_difference(make_run("lora"), make_run("qlora"))
    assert difference == {
        "method": ("lora", "qlora"),
        "four_bit.kind": (None, "nf4"),
        "four_bit.double_quantization": (None, True),
    }


def test_a_configurations_difference_names_the_field_and_both_values(make_run: MakeRun) -> None:
    run = make_run("lora")
    assert config_difference(run, run) == {}
    assert config_difference(make_run("lora", rank=8), make_run("lora", rank=4, seed=1)) == {
        "lora.alpha": (16.0, 8.0),
        "lora.rank": (8, 4),
        "seed": (0, 1),
    }


def test_one_run_of_a_different_number_of_shots_says_which(make_run: MakeRun) -> None:
    base, tuned = make_run(), make_run("lora")
    tuned.record.scores["workshop_cs"].shots = 5
    with pytest.raises(SlimnbError, match=r"different numbers of shots \(0 and 5\)"):
        compare(base, tuned, "workshop_cs")


def test_a_small_change_is_not_resolved_and_the_words_say_so(make_run: MakeRun) -> None:
    base = make_run("base", (True, False) * 50)
    tuned = make_run("lora", (True, False) * 49 + (True, True))
    change = compare(base, tuned, "workshop_cs")
    assert not change.resolved
    assert "not resolved with 100 items" in change.verdict
    assert "no difference" not in change.verdict


def test_a_large_change_is_resolved(make_run: MakeRun) -> None:
    change = compare(make_run("base", (False,) * 40), make_run("lora", (True,) * 30 + (False,) * 10), "workshop_cs")
    assert change.resolved
    assert "better by +75.0 points" in change.verdict


def test_the_same_answers_of_many_items_are_equally_good(make_run: MakeRun) -> None:
    lora, qlora = make_run("lora", (True, False) * 500), make_run("qlora", (True, False) * 499 + (False, False))
    change = compare(lora, qlora, "workshop_cs")
    assert change.equivalence.equivalent
    assert "equally good within 2 points" in change.verdict
    assert not compare(lora, qlora, "workshop_cs", margin=0.0001).equivalence.equivalent


def test_equally_good_only_where_subjects_do_not_say_otherwise(make_run: MakeRun) -> None:
    """Ten items of one subject were fixed and ten of another broken: no change in all, and doubt about others."""
    answers = (True,) * 490 + (False,) * 510
    lora, qlora = make_run("lora", answers), make_run("qlora", (False,) * 10 + (True,) * 490 + (False,) * 500)
    assert compare(lora, qlora, "workshop_cs").equivalence.equivalent
    subjects = [subject for subject in "abcd" for _ in range(250)]
    for run in (lora, qlora):
        run.write_items(
            "workshop_cs", run.items("workshop_cs").assign(subject=subjects), run.record.scores["workshop_cs"]
        )
    found = compare(lora, qlora, "workshop_cs").equivalence
    assert not found.equivalent and found.low < -0.02 and found.high > 0.02


def test_three_identical_seeds_say_no_more_than_one(make_run: MakeRun) -> None:
    answers = (True, True, True, False) * 20
    base = make_run("base", (True, False, True, False) * 20)
    seeds = [make_run("lora", answers, seed=seed) for seed in range(3)]
    one, three = compare(base, seeds[0], "workshop_cs"), compare(base, seeds, "workshop_cs")
    assert (three.paired.low, three.paired.high) == pytest.approx((one.paired.low, one.paired.high), abs=0.02)
    assert three.paired.n == 80
    assert len(three.second.scores) == 3


def test_an_adapter_that_changed_nothing_is_an_error(make_run: MakeRun) -> None:
    base, tuned = make_run(), make_run("lora")
    for run in (base, tuned):
        items = run.items("workshop_cs").assign(log_likelihoods=[[-1.0, -2.0]] * 4)
        run.write_items("workshop_cs", items, run.record.scores["workshop_cs"])
    with pytest.raises(SlimnbError, match="was not applied"):
        compare(base, tuned, "workshop_cs")


def test_all_runs_are_held_against_the_first_and_qlora_against_lora(make_run: MakeRun) -> None:
    runs = [make_run("base"), make_run("lora"), make_run("lora", seed=1), make_run("qlora"), make_run("qlora", seed=1)]
    done, refused = compare_all(runs)
    assert not refused
    pairs = [(one.first.name.split()[0], one.second.name.split()[0]) for one in done]
    assert pairs == [("base", "lora"), ("base", "qlora"), ("lora", "qlora")]
    assert [len(one.second.runs) for one in done] == [2, 2, 2]


def test_seeds_go_by_their_number_whichever_was_run_first(make_run: MakeRun) -> None:
    runs = [make_run("base"), make_run("lora", seed=2), make_run("lora", seed=1), make_run("lora")]
    _, together = seeds_together(runs)
    assert [run.config.seed for run in together] == [0, 1, 2]
    assert fine_tunes(runs)[0].runs == tuple(together)


def test_lora_and_qlora_of_different_recipes_are_not_paired(make_run: MakeRun) -> None:
    done, _ = compare_all([make_run("base"), make_run("lora", rank=4), make_run("qlora", rank=8)])
    assert len(done) == 2


def test_a_pair_that_may_not_be_compared_is_told_and_stops_no_other(make_run: MakeRun) -> None:
    done, refused = compare_all([make_run(), make_run("lora", weights="b" * 64), make_run("qlora")])
    assert [one.second.name.split()[0] for one in done] == ["qlora"]
    assert len(refused) == 2  # base against lora, lora against qlora


def test_a_longer_limit_or_another_machine_makes_costs_incomparable(make_run: MakeRun) -> None:
    lora, qlora = make_run("lora", batch_size=8), make_run("qlora", batch_size=16)
    assert "batch_size 8 and 16" in costs_differ_in(lora, qlora)
    alone = make_run("qlora", batch_size=8)
    assert costs_differ_in(lora, alone) == []
    alone.write_environment(alone.environment() | {"jobs": 2})
    assert costs_differ_in(lora, alone) == ["1 and 2 runs at once on the machine"]


def test_another_way_of_training_or_several_machines_make_costs_incomparable(make_run: MakeRun) -> None:
    plain, again = make_run("lora"), make_run("qlora", gradient_checkpointing=True)
    assert costs_differ_in(plain, again) == ["gradient_checkpointing False and True"]
    moved = make_run("qlora")
    moved.write_environment(moved.environment() | {"earlier_attempts": [{"cores": 64}]})
    assert "several attempts" in costs_differ_in(plain, moved)[0]


def test_a_busy_machine_makes_costs_incomparable(make_run: MakeRun) -> None:
    quiet, busy = make_run("lora"), make_run("qlora")
    quiet.record.costs.train_contention, busy.record.costs.train_contention = 0.02, 0.09
    assert costs_differ_in(quiet, busy) == []
    busy.record.costs.train_contention = 0.31
    assert costs_differ_in(quiet, busy) == ["other programs took 2% and 31% of the machine"]


def test_an_environment_from_elsewhere_breaks_no_cost(make_run: MakeRun) -> None:
    one, other = make_run("lora"), make_run("qlora")
    other.record.costs.train_contention = 1.0
    other.write_environment(other.environment() | {"jobs": "many"})
    assert costs_differ_in(one, other) == ["other programs took 0% and 100% of the machine"]


def test_a_run_beside_it_is_no_other_program(make_run: MakeRun) -> None:
    one, other = make_run("lora"), make_run("qlora")
    for run in (one, other):
        run.record.costs.train_contention = 0.51
        run.write_environment(run.environment() | {"jobs": 2})
    assert costs_differ_in(one, other) == []
    other.record.costs.train_contention = 0.7  # more than a run beside it takes
    assert costs_differ_in(one, other) == ["other programs took 2% and 40% of the machine"]


def test_a_difference_in_more_than_the_method_weakens_a_comparison(make_run: MakeRun) -> None:
    change = compare(make_run("lora", rank=4), make_run("qlora", rank=8), "workshop_cs")
    assert any("more than the method" in warning and "lora.rank" in warning for warning in change.warnings)


def test_right_numbers_in_the_wrong_form_are_counted_apart() -> None:
    items = pd.DataFrame(
        {"correct_strict-match": [True, False, False], "correct_flexible-extract": [True, True, False]}
    )
    assert format_failures(items) == 1
    assert format_failures(pd.DataFrame({"correct_acc": [True]})) is None


def test_the_shipped_runs_compare(tmp_path: Path) -> None:
    """Real folders, with generated answers: columns that the hand-made ones above have not."""
    runs, broken = scan_study(Path(__file__).resolve().parents[1] / "data" / "runs" / "demo")
    assert not broken
    done, refused = compare_all(sorted(runs, key=lambda run: METHODS.index(run.config.method)))
    assert not refused
    gained = [one for one in done if one.benchmark == "workshop_math" and one.first.name == "base"]
    assert [one.second.name.split()[0] for one in gained] == ["lora", "qlora", "full"]
    assert all(one.resolved and one.paired.low > 0 for one in gained)
