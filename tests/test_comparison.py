"""Two runs on the same items: refused where a difference would mean nothing, counted where it means something."""

from collections.abc import Callable

import pytest

from slimnb.comparison import compare, config_difference
from slimnb.errors import SlimnbError
from slimnb.runs import RunFolder

MakeRun = Callable[..., RunFolder]


def test_a_comparison_counts_item_by_item(make_run: MakeRun) -> None:
    base = make_run("base", (True, True, False, False, False))
    tuned = make_run("lora", (True, False, True, True, False))
    change = compare(base, tuned, "workshop_cs")
    assert (change.first.k, change.second.k, change.metric) == (2, 3, "acc_norm")
    assert (change.paired.n, change.paired.fixed, change.paired.broken) == (5, 2, 1)
    assert change.paired.difference == pytest.approx(0.2)


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
