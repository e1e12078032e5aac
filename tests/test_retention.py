"""What a fine-tune lost of what it was not trained for."""

import pytest

from slimnb.analysis.retention import retention
from slimnb.stats import wilson
from slimnb.training.training_sets import made_for
from tests.conftest import MakeRun

BASE = (True,) * 60 + (False,) * 40
TUNED = (False,) * 20 + (True,) * 40 + (True,) * 5 + (False,) * 35


def test_the_share_of_the_bases_right_items_that_is_still_right_beside_the_net_change(make_run: MakeRun) -> None:
    found, refused = retention([make_run("base", BASE), make_run("lora", TUNED)])
    assert not refused
    (one,) = found
    assert (one.right, one.kept) == (60, 40 / 60)
    assert (one.low, one.high) == wilson(40, 60)
    assert (one.change.paired.broken, one.change.paired.fixed) == (20, 5)
    assert one.change.paired.difference == pytest.approx(-0.15)
    assert "20 lost, 5 won of 100; a net loss is resolved" in one.verdict


def test_what_a_training_set_is_made_for_is_not_what_it_could_forget(make_run: MakeRun) -> None:
    runs = [make_run("base", BASE), make_run("lora", TUNED, train_on="workshop_cs")]
    assert retention(runs) == ([], [])
    assert made_for("openbookqa") == "mmlu_cs_cloze" and made_for("alpaca") is None and made_for("my.csv") is None


def test_seeds_are_averaged_within_an_item_first(make_run: MakeRun) -> None:
    other = (True,) * 40 + (False,) * 20 + (False,) * 40  # loses other items
    tuned = [make_run("lora", TUNED, seed=0), make_run("lora", other, seed=1)]
    (one,), _ = retention([make_run("base", BASE), *tuned])
    assert one.kept == pytest.approx(40 / 60) and one.right == 60
    assert one.low is not None and one.high is not None and one.low < 40 / 60 < one.high
    # An item that one of two seeds loses is half lost: the interval is narrower than that of one seed's coin.
    assert one.high - one.low < wilson(40, 60)[1] - wilson(40, 60)[0]


def test_three_equal_seeds_are_no_more_items_than_one(make_run: MakeRun) -> None:
    base = make_run("base", BASE)
    (alone,), _ = retention([base, make_run("lora", TUNED, seed=0)])
    (three,), _ = retention([base, *(make_run("lora", TUNED, seed=seed) for seed in (1, 2, 3))])
    assert three.low is not None and alone.low is not None and abs(three.low - alone.low) < 0.03


def test_a_base_with_nothing_right_has_nothing_to_lose(make_run: MakeRun) -> None:
    (one,), _ = retention([make_run("base", (False,) * 10), make_run("lora", (True,) * 3 + (False,) * 7)])
    assert one.kept is None and one.by_luck is None
    assert "nothing could be lost" in one.verdict


def test_a_base_that_guesses_is_said_to_guess(make_run: MakeRun) -> None:
    base, tuned = make_run("base", (True,) * 25 + (False,) * 75), make_run("lora", (False,) * 75 + (True,) * 25)
    for run in (base, tuned):
        run.record.scores["workshop_cs"].chance = 0.25
    (one,), _ = retention([base, tuned])
    assert one.at_chance and one.by_luck == pytest.approx(0.25) and one.kept == 0
    assert "not told from guessing" in one.verdict


def test_guesses_that_fall_anew_are_no_loss(make_run: MakeRun) -> None:
    """Of 100 items 40 known and 15 of 60 guessed right: anew, 15 * 0.25 of the guesses stay right."""
    base, tuned = make_run("base", (True,) * 55 + (False,) * 45), make_run("lora", (True,) * 50 + (False,) * 50)
    for run in (base, tuned):
        run.record.scores["workshop_cs"].chance = 0.25
    (one,), _ = retention([base, tuned])
    assert not one.at_chance and one.by_luck == pytest.approx((40 + 15 * 0.25) / 55)


def test_a_fine_tune_without_its_own_base_is_left_out_with_the_reason(make_run: MakeRun) -> None:
    base = make_run("base", BASE)
    found, refused = retention([base, make_run("lora", TUNED, weights="b" * 64)])
    assert not found and "no base run starts from the same weights" in refused[0]
    found, refused = retention([base, make_run("lora", TUNED, prompts="q" * 64, seed=1)])
    assert not found and "different items or prompts" in refused[0]


def test_subjects_widen_the_interval(make_run: MakeRun) -> None:
    base, tuned = make_run("base", BASE), make_run("lora", TUNED)
    for run in (base, tuned):
        items = run.items("workshop_cs")
        items["subject"] = ["a", "b", "c", "d", "e"] * 4 + ["a"] * 10 + ["b", "c", "d", "e"] * 5 + ["a"] * 50
        run.write_items("workshop_cs", items, run.record.scores["workshop_cs"])
    (one,), _ = retention([base, tuned])
    low, high = wilson(40, 60)
    assert one.low is not None and one.high is not None and one.high - one.low > high - low
