"""How near a training set is to a benchmark: predictors that know near from far, and leave no trace."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from slimnb.alignment import Alignment, read_alignment, rehearsal, write_alignment
from slimnb.alignment.measure import align
from slimnb.alignment.record import PREDICTORS, Predictor
from slimnb.alignment.rehearsal import Standing, gain, margin, rehearsed, standing
from slimnb.alignment.sample import sample_benchmark, sample_training_set
from slimnb.alignment.states import cosine, gradient, mean_states, nearness
from slimnb.alignment.table import alignment_tables, nearest
from slimnb.alignment.texts import form, lexical, shape
from slimnb.benchmarks import get_benchmark
from slimnb.cli import app
from slimnb.config import Lora
from slimnb.errors import SlimnbError
from slimnb.evaluation.evaluate import evaluate
from slimnb.evaluation.gold import bits_per_byte
from slimnb.models.load import add_lora, load_model
from slimnb.training.checkpoint import trainable
from slimnb.training.loop import tokenize, train
from slimnb.training.training_sets import Example

MATH, COMMONSENSE = "workshop_math", "workshop_commonsense"


def quiet(items: int) -> None:
    """In place of a progress bar."""


@pytest.fixture(scope="module")
def everything() -> Alignment:
    """The workshop's sets against each other, on the random model."""
    return align("tiny", [MATH, COMMONSENSE, "workshop_cs"], [MATH, COMMONSENSE], rows=8, dtype="float32")


def test_what_reads_texts_finds_a_set_nearest_to_its_own_benchmark() -> None:
    benchmarks = [MATH, COMMONSENSE, "workshop_cs"]
    found = align("tiny", benchmarks, benchmarks, rows=24, predictors=("lexical", "format"))
    for predictor in found.predictors.values():
        assert [nearest(predictor, name) for name in benchmarks] == benchmarks


def test_the_same_rows_are_as_near_as_can_be() -> None:
    rows = sample_benchmark(MATH, 12, 0).examples
    assert lexical(rows, rows) == pytest.approx(1) and form(rows, rows) == 1
    far = [Example("Translate:", " bonjour tout le monde")] * 3
    assert lexical(far, rows) == 0 and form(far, rows) < 0.5


def test_words_that_every_row_of_a_set_has_are_its_form_and_count_for_nothing() -> None:
    topics = ("apples", "rivers", "planets")
    plain = [Example(f"about {topic}", f" {topic}") for topic in topics]
    wrapped = [Example(f"Below is an instruction. {row.prompt}", row.completion) for row in plain]
    others = [Example(f"Below is an instruction. about {topic}", f" {topic}") for topic in ("wool", "glass", "bread")]
    assert lexical(wrapped, plain) == pytest.approx(1)
    assert lexical(others, wrapped) == 0
    assert lexical([Example("", " 1")], [Example("", " 2")]) == 0  # no word at all


def test_shapes_keep_kinds_of_characters() -> None:
    assert shape(" The 4\n#É") == " Aaa 9\n#A"


def test_nearness_knows_one_cloud_from_two() -> None:
    random = np.random.default_rng(0)
    ours, theirs, shifted = (random.normal(size=(20, 30)) for _ in range(3))
    far_from_the_origin = np.full(30, 50.0)  # where every raw cosine is about 1
    near = nearness(ours + far_from_the_origin, theirs + far_from_the_origin)
    far = nearness(ours + far_from_the_origin, shifted + 3 + far_from_the_origin)
    assert far < 0 < near


def test_mean_states_are_the_models_own(tiny: Any) -> None:
    sequences = [tokenize(tiny.tokenizer, row) for row in sample_training_set(MATH, 3, 0).examples]
    found = mean_states(tiny, sequences, quiet)
    for one, row in zip(sequences, found, strict=True):
        out = tiny.model(torch.tensor([one.ids[:-1]]), output_hidden_states=True).hidden_states[-1][0]
        assert np.allclose(row, out.mean(0).detach().numpy(), atol=1e-5)


def test_the_gradient_is_that_of_the_mean_loss() -> None:
    loaded = add_lora(load_model("tiny", "float32", device="cpu"), Lora(rank=2), 0)
    sequences = [tokenize(loaded.tokenizer, row) for row in sample_training_set(MATH, 5, 0).examples]
    found = gradient(loaded, sequences, quiet)
    assert all(part.grad is None for _, part in trainable(loaded.model))
    total, labels = torch.zeros(()), 0
    for one in sequences:
        logits = loaded.model(torch.tensor([one.ids])).logits[0, one.boundary - 1 : -1]
        wanted = torch.tensor(one.ids[one.boundary :])
        total = total + torch.nn.functional.cross_entropy(logits, wanted, reduction="sum")
        labels += len(wanted)
    (total / labels).backward()
    expected = torch.cat([part.grad.flatten() for _, part in trainable(loaded.model)])
    assert torch.allclose(found, expected, atol=1e-6) and float(found.norm()) > 0
    assert cosine(found, found) == pytest.approx(1) and cosine(found, -found) == pytest.approx(-1)


def test_a_rehearsal_on_the_right_answers_makes_them_likelier_and_leaves_the_weights_as_they_were() -> None:
    loaded = add_lora(load_model("tiny", "float32", device="cpu"), Lora(), 0)
    benchmark = sample_benchmark(COMMONSENSE, 16, 0)
    start = {name: part.detach().clone() for name, part in trainable(loaded.model)}
    before = standing(loaded, benchmark, quiet)
    with rehearsed(loaded, benchmark.examples, 0):
        after = standing(loaded, benchmark, quiet)
        assert any(not torch.equal(part, start[name]) for name, part in trainable(loaded.model))
    assert gain(before, after) > 0
    with pytest.raises(RuntimeError, match="in between"), rehearsed(loaded, benchmark.examples, 0):
        raise RuntimeError("in between")
    assert all(torch.equal(part, start[name]) for name, part in trainable(loaded.model))
    again = standing(loaded, benchmark, quiet)
    assert again.bits_per_byte == before.bits_per_byte


@pytest.mark.parametrize(("short", "long", "steps"), [(8, 24, 1), (20, 0, 3)])
def test_a_rehearsal_sees_each_example_that_fits_once(
    short: int, long: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Any] = []
    monkeypatch.setattr(rehearsal, "train", lambda *given, **named: found.append(train(*given, **named)))
    loaded = add_lora(load_model("tiny", "float32", device="cpu"), Lora(rank=2), 0)
    examples = [Example(f"{i} and {i}?", f" {2 * i}") for i in range(short)] + [Example("x" * 3000, " y")] * long
    with rehearsed(loaded, examples, 0):
        pass
    assert [(one.steps, one.examples, one.left_out) for one in found] == [(steps, short, long)]


@pytest.mark.parametrize("name", [MATH, COMMONSENSE])
def test_bits_per_byte_are_those_of_a_run(tiny: Any, name: str) -> None:
    benchmark = get_benchmark(name)
    questions = benchmark.load(None, 0, 6)
    items, _ = evaluate(tiny, benchmark, questions)
    sample = sample_benchmark(name, 10_000, 0)
    chosen = [item for item in sample.items if item.id in set(items["id"])]
    found = standing(tiny, type(sample)([], chosen, sample.per_character, sample.record), quiet)
    assert found.bits_per_byte == pytest.approx(bits_per_byte(items), rel=1e-4)


def test_a_margin_is_in_standard_deviations_and_needs_a_wrong_answer() -> None:
    before, after = np.array([-1.0, 0.0, 1.0]), np.array([0.0, 1.0, 2.0])
    assert margin(Standing(1, before), Standing(1, after)) == pytest.approx(1 / before.std())
    assert margin(Standing(1, None), Standing(1, None)) is None
    assert margin(Standing(1, np.zeros(3)), Standing(1, after)) is None  # nothing to measure it in


def test_an_item_is_scored_as_the_benchmark_scores_it() -> None:
    sample = sample_benchmark(MATH, 4, 0)
    assert all(len(item.choices) == 1 for item in sample.items) and not sample.per_character
    item, row = sample.items[0], sample.examples[0]
    assert row.completion == " " + item.choices[0] and row.prompt == item.question
    assert sample_benchmark(COMMONSENSE, 4, 0).per_character
    behind = sample_benchmark(MATH, 4, 0, shots=2)
    assert behind.items[0].prompt.endswith(item.prompt) and behind.items[0].prompt.count("Answer:") == 3
    assert behind.examples == sample.examples and (behind.record.shots, sample.record.shots) == (2, 0)


def test_everything_is_measured_and_said(everything: Alignment) -> None:
    assert list(everything.predictors) == list(PREDICTORS)
    for predictor in everything.predictors.values():
        assert set(predictor.values) == {MATH, COMMONSENSE, "workshop_cs"} and predictor.seconds > 0
    assert all(row[MATH] is None for row in everything.predictors["margin"].values.values())
    assert all(row[COMMONSENSE] is not None for row in everything.predictors["margin"].values.values())
    assert (everything.training_sets[MATH].rows, everything.training_sets[MATH].of) == (8, 800)
    assert everything.training_sets[MATH].data_sha256 != everything.benchmarks[MATH].data_sha256
    titles = [str(table.title) for table in alignment_tables(everything)]
    assert [title.split()[0] for title in titles] == list(PREDICTORS)


def test_the_seed_decides(everything: Alignment) -> None:
    again = align("tiny", [MATH, COMMONSENSE, "workshop_cs"], [MATH, COMMONSENSE], rows=8, dtype="float32")
    for name, predictor in everything.predictors.items():
        assert again.predictors[name].values == predictor.values
    other = align("tiny", [MATH], [MATH], rows=8, seed=1, predictors=("lexical",))
    assert other.predictors["lexical"].values[MATH] != {MATH: everything.predictors["lexical"].values[MATH][MATH]}


@pytest.mark.parametrize("predictor", list(PREDICTORS))
def test_a_number_does_not_depend_on_what_else_was_asked(everything: Alignment, predictor: str) -> None:
    alone = align("tiny", [COMMONSENSE], [COMMONSENSE], rows=8, dtype="float32", predictors=(predictor,))
    whole = everything.predictors[predictor].values[COMMONSENSE][COMMONSENSE]
    assert alone.predictors[predictor].values[COMMONSENSE][COMMONSENSE] == pytest.approx(whole, rel=1e-4)


def test_a_users_file_is_a_training_set(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    with file.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["question", "completion"])
        rows.writerows([[f"How many are {n} and {n}?", f" {2 * n}"] for n in range(5)])
    columns = {"prompt": "question"}
    found = align("tiny", [str(file), MATH], [MATH], rows=4, predictors=("format",), columns=columns)
    assert found.training_sets[str(file)].of == 5
    assert found.predictors["format"].values[str(file)][MATH] is not None


def test_wrong_names_are_told() -> None:
    with pytest.raises(SlimnbError, match="no predictor is called magic"):
        align("tiny", [MATH], [MATH], predictors=("magic",))
    with pytest.raises(SlimnbError, match="no benchmark is called"):
        align("tiny", [MATH], ["gsm9k"])
    with pytest.raises(SlimnbError, match="neither a training set nor a file"):
        align("tiny", ["alpacca"], [MATH])


def test_it_is_stored_with_a_study_and_read_again(tmp_path: Path, everything: Alignment) -> None:
    assert read_alignment(tmp_path) is None
    path = write_alignment(tmp_path, everything)
    assert read_alignment(tmp_path) == everything
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(fields | {"schema_version": 99}))
    with pytest.raises(SlimnbError, match="newer slimnb"):
        read_alignment(tmp_path)
    path.write_text("[]")
    with pytest.raises(SlimnbError, match=r"alignment\.json"):
        read_alignment(tmp_path)


def test_no_nearest_where_there_is_no_choice() -> None:
    one = Predictor(seconds=1, values={"a": {"x": 0.1, "y": None}, "b": {"x": 0.2, "y": 0.3}})
    assert nearest(one, "x") == "b" and nearest(one, "y") is None and nearest(one, "z") is None


def test_the_command_prints_tables_or_one_document(tmp_path: Path) -> None:
    words = ["alignment", "--model", "tiny", "--train-on", f"{MATH},workshop_cs", "--benchmarks", MATH, "--rows", "6"]
    words += ["--predictors", "lexical,format", "--save", str(tmp_path)]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0 and "workshop_cs" in shown.output and "*" in shown.output
    document = CliRunner().invoke(app, [*words, "--json"])
    assert json.loads(document.stdout)["predictors"].keys() == {"lexical", "format"}
    assert read_alignment(tmp_path) is not None
