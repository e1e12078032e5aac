"""The report's sections of results: what was run, gains, retention, options, costs, mechanisms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from slimnb.analysis.exports import to_markdown
from slimnb.analysis.fine_tunes import FineTune
from slimnb.analysis.guard import contention
from slimnb.analysis.retention import retained
from slimnb.analysis.tables import interval
from slimnb.anatomy import findings as mechanisms
from slimnb.anatomy.record import Anatomy, read_anatomy
from slimnb.anatomy.report import QUANTITIES, Spread
from slimnb.findings.claims import mean_cost
from slimnb.findings.study import Study
from slimnb.findings.words import bits, bullets, change, code, gain, join, seeds
from slimnb.machine.contention import NOTICED
from slimnb.machine.environment import runs_at_once
from slimnb.store.runs import RunFolder
from slimnb.units import duration, gigabytes

WHOLE = {"hellaswag": 10_042, "gsm8k": 1_319, "mmlu_cs": 412, "mmlu_cs_cloze": 412}
"""Items of the benchmarks' complete scored splits."""
METHOD_NAMES = {"lora": "LoRA", "qlora": "QLoRA", "full": "Full fine-tuning"}


def table(rows: Sequence[dict[str, str]]) -> str:
    return to_markdown(pd.DataFrame(rows))


def what_was_run(study: Study) -> Iterator[str]:
    base = study.bases[0] if study.bases else study.runs[0]
    lineage = base.record.lineage
    if lineage:
        yield (
            f"Model {code(lineage.model)}, weights {code(lineage.weights_sha256[:12])}, computed in {lineage.dtype}. "
            f"{len(study.runs)} complete runs."
        )
    yield table(
        [
            {
                "benchmark": name, "metric": result.primary, "items": _items(name, result.items),
                "shots": str(result.shots),
                "guessing scores": "-" if result.chance is None else f"{result.chance:.1%}",
                "base": f"{result.score.k}/{result.score.n}, {result.score.value:.1%} ({interval(result.score)})",
                "bits per byte": "-" if result.gold_bits_per_byte is None else f"{result.gold_bits_per_byte:.3f}",
            }
            for name, result in study.benchmarks.items()
        ]
    ) if study.benchmarks else "No base run is complete, so there are no gains."  # fmt: skip
    rows = [
        {
            "fine-tune": one.name, "made for": one.target or "-", "seeds": seeds(one.runs).partition(" ")[2],
            "label tokens": _count(mean_cost(one.runs, lambda run: run.record.costs.label_tokens)),
            "steps": _count(mean_cost(one.runs, lambda run: run.record.costs.steps)),
        }
        for one in study.fine_tunes
    ]  # fmt: skip
    yield table(rows) if rows else "No fine-tune is complete."


def gains(study: Study) -> Iterator[str]:
    yield (
        "Change against base in points of the main metric, with its paired 95% interval; seeds are averaged within an "
        "item first. **Bold**: resolved after Holm's correction over the fine-tune's benchmarks. †: the training set "
        "is made for this benchmark."
    )
    for method, title in METHOD_NAMES.items():
        if tuned := study.usual(method):
            yield f"### {title}"
            yield table([_gains_row(study, one) for one in tuned])
    likelier = [one for one in study.usual(*METHOD_NAMES) if one.gold]
    if likelier:
        yield "### Bits per byte of the right answers"
        yield (
            "By how much the right answers became likelier, with a 95% interval over items: this moves where a count "
            "of right answers is at the floor, and it can move where no answer changes."
        )
        yield table([_bits_row(study, one) for one in likelier])
    if spread := [line for one in study.usual(*METHOD_NAMES) for line in _between_seeds(one)]:
        yield "Between seeds, standard deviation of the score: " + "; ".join(spread) + "."
    if notes := _generated(study):
        yield bullets(notes)


def _gains_row(study: Study, tuned: FineTune) -> dict[str, str]:
    row = {"training set": tuned.training_set, "seeds": str(len(tuned.runs))}
    for name in study.benchmarks:
        found = tuned.changes.get(name)
        said = "-" if found is None else change(found.paired)
        said = f"**{said}**" if found and found.resolved else said
        row[name] = said + ("†" if name == tuned.target else "")
    return row


def _bits_row(study: Study, tuned: FineTune) -> dict[str, str]:
    row = {"fine-tune": tuned.name}
    for name in study.benchmarks:
        row[name] = (bits(tuned.gold[name]) if name in tuned.gold else "-") + ("†" if name == tuned.target else "")
    return row


def _between_seeds(tuned: FineTune) -> Iterator[str]:
    for name, found in tuned.changes.items():
        if (spread := found.paired.seed_spread[1]) is not None:
            yield f"{tuned.name}, {name} {100 * spread:.1f} points"


def _generated(study: Study) -> list[str]:
    """What stands beside every score of generated answers: length limits, and right numbers in the wrong form."""
    notes = []
    for name, result in study.benchmarks.items():
        if result.hit_limit is None:
            continue
        reached = [
            f"{run.record.id} {limit.k}/{limit.n}"
            for run in study.runs
            if (own := run.record.scores.get(name)) and (limit := own.hit_limit) and limit.k
        ]
        notes.append(f"Answers of {name} that ran into the length limit: {'; '.join(reached) or 'none'}.")
        wrong = [one.changes[name] for one in study.fine_tunes if name in one.changes]
        for side in [wrong[0].first, *(one.second for one in wrong)] if wrong else []:
            if any(side.format_failures):
                counts = join([str(count) for count in side.format_failures])
                notes.append(f"{name}, {side.name}: {counts} right numbers in the wrong form, counted as wrong.")
    return notes


def retention(study: Study) -> Iterator[str]:
    yield (
        "Of the base's right items on benchmarks that the training set was not made for: how many are still right, "
        "with a 95% interval. Some right answers are guesses, and training can make a guess fall anew: `by "
        "luck` is what would be kept if all of them did and nothing known were lost. So only the net change says "
        "*lost*; **bold** where it is resolved."
    )
    rows, counted = [], []
    for tuned in study.usual(*METHOD_NAMES):
        for name, found in tuned.changes.items():
            if name == tuned.target or tuned.base is None:
                continue
            one = retained(tuned.base, tuned.runs, found)
            kept = "-" if one.kept is None else f"{one.kept:.1%} ({one.low:.1%} to {one.high:.1%})"
            net, moved = change(found.paired), found.paired.difference if found.resolved else 0.0
            counted.append((moved < 0, moved > 0, one.at_chance))
            rows.append(
                {
                    "fine-tune": tuned.name, "benchmark": name, "base right": f"{one.right}/{found.paired.n}",
                    "still right": kept, "by luck": "-" if one.by_luck is None else f"{one.by_luck:.0%}",
                    "seeds": str(len(tuned.runs)), "lost / won": f"{found.paired.broken} / {found.paired.fixed}",
                    "net change, points": f"**{net}**" if found.resolved else net,
                    "": "base not told from guessing" if one.at_chance else "",
                }
            )  # fmt: skip
    if not rows:
        yield "No fine-tune was scored on a benchmark that its training set was not made for."
        return
    losses, wins, guessed = (sum(kind) for kind in zip(*counted, strict=True))
    yield (
        f"Of {len(rows)} cases a net loss is resolved in {losses} and a net gain in {wins}; in {guessed} the base was "
        "not told from guessing. Of several seeds *still right* and the net change are means; lost and won are the "
        "items that are less and more often right than in the base, so their difference is not the net change."
    )
    yield table(rows)


def options(study: Study) -> Iterator[str]:
    """Variants of the usual recipe: ranks, targets, ..."""
    rows = []
    for tuned in study.fine_tunes:
        if not tuned.variant:
            continue
        usual = study.on(tuned.method, tuned.data)
        for name, found in tuned.changes.items():
            if name != tuned.target and tuned.target in tuned.changes:
                continue
            row = {"variant": tuned.name, "seeds": str(len(tuned.runs)), "benchmark": name}
            row |= {"change against base": gain(found), "bits per byte": "-", "the usual recipe": "-"}
            if name in tuned.gold:
                row["bits per byte"] = bits(tuned.gold[name])
            if usual and name in usual.changes:
                row["the usual recipe"] = f"{change(usual.changes[name].paired)} ({len(usual.runs)} seeds)"
            rows.append(row)
    yield table(rows) if rows else "No run varies an option."


def costs(study: Study) -> Iterator[str]:
    """A row a fine-tune, and a machine where its seeds ran on several."""
    ran_on = {run.path: _machine(run) for run in study.runs}
    machines = {machine: chr(ord("A") + i) for i, machine in enumerate(sorted({*ran_on.values()}))}
    several = len(machines) > 1
    listed = [f"{letter}: {machine}" if several else machine for machine, letter in machines.items()]
    yield f"Means over the seeds. Machine{'s' if several else ''}: {'; '.join(listed)}."
    share = max(map(contention, study.runs), default=0.0)
    if share >= NOTICED:
        yield (
            f"Other programs took up to {share:.0%} of the machine while a run trained: alone it may take "
            f"{1 - share:.0%} of its time."
        )
    if any(runs_at_once(run.environment()) > 1 for run in study.runs):
        yield "Runs at once slow each other down: their seconds are not those of a run alone."
    rows = []
    for one in study.fine_tunes:
        by_machine = {machine: [run for run in one.runs if ran_on[run.path] == machine] for machine in machines}
        for machine, runs in by_machine.items():
            if runs:
                name = f"{one.name} ({seeds(runs)})" if len(runs) < len(one.runs) else one.name
                rows.append({"fine-tune": name, **({"machine": machines[machine]} if several else {}), **_spent(runs)})
    yield table(rows) if rows else "No fine-tune is complete."


def _spent(runs: Sequence[RunFolder]) -> dict[str, str]:
    memory = mean_cost(runs, lambda run: run.record.costs.train_peak_bytes)
    weights = mean_cost(runs, lambda run: run.record.costs.weights_bytes)
    trained = mean_cost(runs, lambda run: run.record.costs.trainable_parameters)
    total = mean_cost(runs, lambda run: run.record.costs.total_parameters)
    return {
        "training": duration(mean_cost(runs, lambda run: run.record.costs.train_seconds)),
        "peak memory in training": gigabytes(None if memory is None else round(memory)),
        "weights in memory": gigabytes(None if weights is None else round(weights)),
        "trained": "-" if not trained or not total else f"{trained / 1e6:.1f}M ({trained / total:.1%})",
        "label tokens": _count(mean_cost(runs, lambda run: run.record.costs.label_tokens)),
    }


def _machine(run: RunFolder) -> str:
    found = run.environment()
    if not found.get("processor"):
        return "not recorded"
    parts = [found["processor"], f"{found.get('cores')} cores", found.get("accelerator") or "no accelerator"]
    if (jobs := runs_at_once(found)) > 1:
        parts.append(f"{jobs} runs at once")
    return ", ".join(parts)


def what_training_did(study: Study) -> Iterator[str]:
    """From a stored anatomy of each fine-tune, of the first seed that has one: what is expected, and what is seen."""
    known: dict[str, tuple[RunFolder, Anatomy]] = {}
    for name, run in [(one.name, run) for one in study.fine_tunes for run in one.runs]:
        if name not in known and (anatomy := read_anatomy(run.path)):
            known[name] = run, anatomy
    if not known:
        yield "No run has an anatomy.json: `slimnb anatomy RUN` makes one where the adapter is."
        return
    expected = {said.quantity: f"{said.quantity}: {said.expected} ({said.source})." for _, anatomy in known.values()
                for said in mechanisms(anatomy)}  # fmt: skip
    yield "What the literature expects:"
    yield bullets(list(expected.values()))
    yield (
        "What is seen, median (range) over the matrices of one seed. Intruders: of the leading left singular vectors "
        "of W + dW, those with no cosine of 0.5 or more with one of W."
    )
    rows = []
    for name, (run, anatomy) in known.items():
        row = {"fine-tune": f"{name} ({seeds([run])})"}
        for what, quantity in QUANTITIES.items():
            row[what] = str(Spread.of(map(quantity, anatomy.matrices)) or "-")
        row["scale"] = "-" if anatomy.scale is None else f"{anatomy.scale:g}"
        row["NF4 error over W"] = str(Spread.of(matrix.quantization.get("nf4") for matrix in anatomy.matrices) or "-")
        row["NF4 error over dW"] = str(Spread.of(matrix.error_over_update() for matrix in anatomy.matrices) or "-")
        rows.append(row)
    yield table(rows)


def _items(benchmark: str, count: int) -> str:
    whole = WHOLE.get(benchmark, count)
    return f"{count:,}" if whole <= count else f"{count:,} of {whole:,}"


def _count(number: float | None) -> str:
    return "-" if number is None else f"{round(number):,}"
