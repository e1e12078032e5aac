"""The first page's answers: what they name, what they leave out, and where their links lead."""

import pytest

from slimnb.io.files import write_json
from slimnb.store.runs import RunFolder
from tests.conftest import MakeRun
from tests.dashboard.app import Open, links, of_another_model, texts

ITEMS = 40


def first_right(count: int) -> tuple[bool, ...]:
    return tuple(item < count for item in range(ITEMS))


@pytest.fixture
def two_models(make_run: MakeRun) -> list[RunFolder]:
    """Base and LoRA of two models; that of the first, which comes second on the page, forgets."""
    runs = [make_run("base", first_right(30)), make_run("lora", first_right(2))]
    others = [make_run(method, first_right(right), weights="b" * 64, seed=7)
              for method, right in (("base", 20), ("lora", 25))]  # fmt: skip
    return runs + [of_another_model(run) for run in others]


def test_each_answers_link_opens_the_models_own_base(open_page: Open, two_models: list[RunFolder]):
    base, lora, other_base, other_lora = (run.path.name for run in two_models)
    asked = links(open_page("overview"))
    helped = asked["Compare base with what was trained"]
    assert (helped["first"], helped["other"]) == ([other_base], [other_lora])
    forgot, broke = asked["Compare on every benchmark"], asked["Items that broke"]
    assert (forgot["first"], forgot["other"]) == ([base], [lora])
    assert (broke["first"], broke["second"]) == ([base], [lora])


def test_all_base_models_are_shown_before_anything_is_trained(open_page: Open, make_run: MakeRun):
    runs = [make_run("base"), of_another_model(make_run("base", weights="b" * 64, seed=7))]
    app = open_page("overview")
    assert set(app.dataframe[0].value["run"]) == {run.path.name for run in runs}
    assert not [one for one in app.caption if "are shown here" in one.value]


def test_seeds_that_are_left_out_make_no_large_study(open_page: Open, make_run: MakeRun):
    for method, seed in [("base", 0), *(("lora", seed) for seed in range(6))]:
        make_run(method, seed=seed)
    (said,) = [one.value for one in open_page("overview").caption if "are shown here" in one.value]
    assert said.startswith("6 of 7 scored runs are shown here: 5 seeds of each fine-tune at most.")


def test_costs_that_do_not_compare_are_said_and_the_link_shows_which(open_page: Open, make_run: MakeRun):
    make_run("base")
    for seed in (0, 1):
        run = make_run("lora", seed=seed, batch_size=4 + seed)
        write_json(run.path / "environment.json", {"processor": f"processor {seed}", "jobs": 1 + seed})
    app = open_page("overview")
    said = (
        "These do not compare everywhere (other batch size; other processor; runs at once): the page Cost says which."
    )
    assert said in texts(app)
    shown = texts(open_page("cost", run=links(app)["Costs"]["run"]))
    assert "batch_size 4 and 5" in shown and "processor 0 and processor 1" in shown and "1 and 2 runs at once" in shown


def test_costs_that_compare_have_no_such_line(open_page: Open, runs: dict[str, RunFolder]):
    assert "do not compare" not in texts(open_page("overview"))


@pytest.mark.parametrize("benchmark", ["workshop_math", "workshop_cs"])
def test_pairs_of_lora_and_qlora_are_told_apart(benchmark: str, open_page: Open, make_run: MakeRun):
    """Whether the benchmark is what both were trained for or another one."""
    for method in ("lora", "qlora"):
        make_run(method, benchmark=benchmark)
        make_run(method, benchmark=benchmark, rank=4)
        of_another_model(make_run(method, benchmark=benchmark, seed=7, weights="b" * 64))
    said = [line for line in texts(open_page("overview")).splitlines() if " from LoRA: " in line]
    trained_on = [line.split(" QLoRA is ")[0].removeprefix(f"On {benchmark}, after training on ") for line in said]
    usual, *variants = sorted(trained_on)  # the usual one is of the other model
    assert (usual, variants) == ("workshop_math,", [f"workshop_math, {one}model tiny," for one in ("", "rank 4, ")])


def test_without_a_target_every_training_set_is_answered(open_page: Open, make_run: MakeRun):
    for data in ("workshop_math", "workshop_commonsense"):
        for method in ("lora", "qlora"):
            make_run(method, train_on=data)
    said = texts(open_page("overview"))
    assert "On workshop_cs, after training on workshop_math, QLoRA is" in said
    assert "On workshop_cs, after training on workshop_commonsense, QLoRA is" in said


def test_what_was_forgotten_is_not_asked_where_nothing_was_compared(open_page: Open, make_run: MakeRun):
    make_run("lora", benchmark="workshop_math")
    assert "Nothing was compared with a base run." in texts(open_page("overview"))
    make_run("base", benchmark="workshop_math")
    assert "No benchmark but the one that was trained for was compared." in texts(open_page("overview"))
