"""FINDINGS.md: what a study's runs say of the paper's claims, written from the run folders alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slimnb.analysis.comparison import overlap_notes
from slimnb.findings.claims import Claim, claims
from slimnb.findings.predicted import foretold, predicted
from slimnb.findings.results import costs, gains, options, retention, table, what_training_did, what_was_run
from slimnb.findings.study import Study, read_study
from slimnb.findings.words import bullets, code, join
from slimnb.io.files import atomic_path

SECTIONS = {
    "Gains, training set x benchmark": gains,
    "Predicted alignment": predicted,
    "Retention: what was lost elsewhere": retention,
    "What the options change": options,
    "Costs": costs,
    "Mechanisms: what training did to the weights": what_training_did,
}


def report(directory: Path) -> str:
    """A study's report in Markdown; the same runs give the same text, byte for byte.

    Args:
        directory: the study's, RUNS/STUDY.

    Raises:
        SlimnbError: there is no completed run, or a file is damaged.
    """
    study = read_study(directory)
    return (
        "\n\n".join([*_opening(study), *_claims([*claims(study), foretold(study)]), *_sections(study), *_limits(study)])
        + "\n"
    )


def write_report(text: str, target: Path) -> None:
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _opening(study: Study) -> Iterator[str]:
    yield "# Findings"
    yield (
        f"What the runs of the study {code(study.name)} say of the claims in \"Slimming Down LLMs Without Losing Their "
        "Minds\" (arXiv 2506.10885). `slimnb report` writes this page from the study's directory alone; no measured "
        "number in it is written by hand. Intervals are 95%: Wilson's for a score, paired on the same items for a "
        "change."
    )  # fmt: skip
    yield from what_was_run(study)
    if study.missing:
        yield "**Missing.** What follows is of the complete runs only."
        yield bullets([f"{gap}." for gap in study.missing])


def _claims(found: list[Claim]) -> Iterator[str]:
    yield "## The paper's claims"
    yield table([{"": str(i), "claim": one.text, "verdict": one.verdict} for i, one in enumerate(found, start=1)])
    for i, one in enumerate(found, start=1):
        yield f"### {i}. {one.text}: {one.verdict}"
        yield one.rule
        cases = [
            bullets([f"**{case.verdict}**: {case.evidence}" for case in side]) for side in (one.cases, one.details)
        ]
        yield cases[0] or "None of the complete runs can tell."
        if one.details:
            yield "One by one:"
            yield cases[1]


def _sections(study: Study) -> Iterator[str]:
    for title, section in SECTIONS.items():
        yield f"## {title}"
        yield from section(study)


def _limits(study: Study) -> Iterator[str]:
    yield "## What these numbers do not show"
    single = [one.name for one in study.fine_tunes if len(one.runs) == 1]
    models = sorted({run.record.lineage.model for run in study.runs if run.record.lineage})
    notes = [
        f"Other models: all of this is {join(map(code, models))}. What a small model gains or forgets need not be what "
        "a large one does.",
        "Other items: an interval speaks for items drawn as these were, and MMLU's four subjects are no random choice.",
        "What another seed would have done: seeds are averaged, and their spread is told apart.",
        "That nothing changed, where a change is not resolved: only the equivalence test shows that two are alike.",
        "Seconds and memory on another machine.",
        "That predicted alignment causes a gain: training sets differ in more than what the predictors see.",
    ]
    if any(name.startswith("workshop_") for name in study.benchmarks):
        notes.insert(
            0, "Anything about HellaSwag, GSM8K or MMLU from a benchmark whose name begins with workshop_: these sets "
            "are the project's own, made by a program and easy on purpose.",
        )  # fmt: skip
    if single:
        notes.append(f"The spread between seeds of what was run with one: {'; '.join(single)}.")
    overlap = {note for run in study.runs for note in overlap_notes(run, list(study.benchmarks))}
    yield bullets([*notes, *(f"{note}." for note in sorted(overlap))])
