"""An anatomy for people: a table by kind of matrix, and a sentence a quantity. Imports no torch.

Every sentence that is said of a quantity stands here: what the literature expects, and what a run shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from slimnb.anatomy.record import FORMATS, THRESHOLDS, Anatomy, Matrix, Overlap


@dataclass(frozen=True)
class Spread:
    """Median and range over the matrices of a kind, one a layer."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """None where no matrix has a value."""
        there = [value for value in values if value is not None]
        return cls(median(there), min(there), max(there)) if there else None

    def __str__(self) -> str:
        return f"{_short(self.median)} ({_short(self.low, 2)} to {_short(self.high, 2)})"

    @property
    def cell(self) -> str:
        """Narrower, for a table; no quantity is negative."""
        return f"{_short(self.median)} ({_short(self.low, 2)}-{_short(self.high, 2)})"


@dataclass(frozen=True)
class Finding:
    """One quantity: what is expected, by whom, and what is seen."""

    quantity: str
    expected: str
    source: str
    shown: str

    def __str__(self) -> str:
        return f"{self.quantity}. Expected: {self.expected} ({self.source}). Here: {self.shown}."


Quantity = Callable[[Matrix], float | None]
QUANTITIES: dict[str, Quantity] = {
    "effective rank": lambda matrix: matrix.effective_rank,
    "stable rank": lambda matrix: matrix.stable_rank,
    "90% energy": lambda matrix: matrix.energy_rank,
    "dW/W": lambda matrix: matrix.relative_norm,
    "amplification": lambda matrix: matrix.amplification,
    "alignment": lambda matrix: matrix.alignment,
    "intruders": lambda matrix: matrix.intruders(),
}


def by_kind(anatomy: Anatomy, quantity: Quantity) -> dict[str, Spread | None]:
    """A quantity's spread over layers, for each kind of matrix."""
    return {
        kind: Spread.of(quantity(matrix) for matrix in anatomy.matrices if matrix.kind == kind)
        for kind in anatomy.kinds
    }


def summary(anatomy: Anatomy) -> dict[str, Any]:
    """All spreads by kind and, of the leading singular vectors, how many are intruders at each threshold."""
    errors = {f"error of {form}": lambda matrix, form=form: matrix.quantization.get(form) for form in FORMATS}
    damage = {f"error of {form} over dW": lambda matrix, form=form: matrix.error_over_update(form) for form in FORMATS}
    spreads = {
        name: {kind: spread and asdict(spread) for kind, spread in by_kind(anatomy, quantity).items()}
        for name, quantity in (QUANTITIES | errors | damage).items()
    }
    swept = {f"{threshold:g}": _intruders(anatomy, threshold) for threshold in THRESHOLDS}
    return {"by_kind": spreads, "intruders": swept, "leading_vectors": _leading(anatomy)}


def tables(anatomy: Anatomy) -> Iterator[Table]:
    """What training did, and what 4 bits would lose, by kind of matrix."""
    update = {name: quantity for name, quantity in QUANTITIES.items() if name not in ("dW/W", "alignment")}
    update["dW/W, %"] = lambda matrix: _percent(matrix.relative_norm)
    yield _table(f"{anatomy.run}\nthe update dW by kind of matrix, median (range) over layers", anatomy, update)
    errors = {form: lambda matrix, form=form: _percent(matrix.quantization.get(form)) for form in FORMATS}
    damage = {"nf4 error / dW": lambda matrix: matrix.error_over_update()}
    yield _table("Error of W in 4 bits, % of its norm", anatomy, errors | damage)


def overlap_table(name: str, other: str, overlap: Overlap) -> Table:
    """Overlap by kind of matrix and number of directions, median over layers: output side / input side."""
    sizes = sorted({size for matrix in overlap.matrices for size in matrix.output})
    table = _empty_table(f"{name}\n{other}\noverlap of the first directions, output / input side", map(str, sizes))
    for kind in dict.fromkeys(matrix.kind for matrix in overlap.matrices):
        cells = []
        for size in sizes:
            sides = [Spread.of(values) for values in _sides(overlap, size, kind)]
            cells.append(" / ".join("-" if side is None else f"{side.median:.2f}" for side in sides))
        table.add_row(*map(Text, (kind, *cells)))
    return table


def findings(anatomy: Anatomy) -> list[Finding]:
    """A sentence for each quantity; medians and ranges are over all matrices."""
    at = f"for the first {anatomy.directions} directions"
    return [
        _rank(anatomy),
        Finding(
            "Size of the update, ||dW||/||W||",
            "small: 0.11 for W_q of GPT-3 with LoRA of rank 4, 0.06 of rank 64",
            "arXiv 2106.09685, table 7",
            f"{_over(anatomy, 'dW/W')}, over all matrices",
        ),
        Finding(
            "Amplification, ||dW||/||U^T W V||",
            "above 1, and the more the lower the rank, 21.5 at rank 4 and 2 at rank 64: training turns up directions "
            "that W has but does not emphasize",
            "arXiv 2106.09685, section 7.3",
            f"{_over(anatomy, 'amplification')} {at}",
        ),
        Finding(
            "Alignment, ||U^T W V|| over what it is for random directions",
            "above 1, 16 at rank 4 and 6 at rank 64",
            "arXiv 2106.09685, table 7",
            f"{_over(anatomy, 'alignment')} {at}",
        ),
        *_intruder_finding(anatomy),
        *_scale(anatomy),
        *_quantization(anatomy),
    ]


def notes(anatomy: Anatomy) -> list[str]:
    """What to mind when reading the numbers of this run."""
    said = {
        "Full fine-tuning saved in bfloat16 is rounded by up to 1 part in 256 of each weight, and rounding looks like "
        "an update of full rank": anatomy.rank is None and anatomy.dtype == "bfloat16",
        "W is the 16-bit weight, not the 4-bit one that the adapter was trained beside": anatomy.method == "qlora",
        "DoRA rescales the rows of W + B A, so the update is not of rank r": anatomy.dora,
        "PiSSA's adapter is saved as the difference from where it began, of twice the rank": anatomy.init == "pissa",
        "LoftQ's adapter makes up for the error of 4 bits as well": anatomy.init == "loftq",
    }
    return [text for text, holds in said.items() if holds]


def overlap_finding(one: Anatomy, other: Anatomy, overlap: Overlap) -> Finding:
    """A sentence on the directions that two runs share."""
    sizes = sorted({size for matrix in overlap.matrices for size in matrix.output})
    if not sizes:
        shown = "nothing to compare"
    else:
        first, last = (
            [spread and f"{spread.median:.2g}" for spread in map(Spread.of, _sides(overlap, size))]
            for size in (sizes[0], sizes[-1])
        )
        chance = [median(sizes[-1] / matrix.shape[side] for matrix in overlap.matrices) for side in (0, 1)]
        shown = (
            f"{first[0]} of the first direction on the output side and {first[1]} on the input side, {last[0]} and "
            f"{last[1]} of the first {sizes[-1]}, where chance gives {chance[0]:.2g} and {chance[1]:.2g}"
        )
        if one.rank is not None and began_alike(one, other):
            shown += "; both began with the same A (one seed, one rank), so the input side is shared from the start"
    return Finding(
        f"Overlap of {one.run} and {other.run}",
        "over 0.5 for the first direction between ranks 8 and 64, little for the others; between seeds fewer shared "
        "directions, yet more than chance",
        "arXiv 2106.09685, section 7.2",
        shown,
    )


def began_alike(one: Anatomy, other: Anatomy) -> bool:
    """Whether both adapters began with the same A: drawn from one seed, matrix after matrix of the same ones."""
    first, second = (
        (found.seed, found.rank, found.init, [matrix.name for matrix in found.matrices]) for found in (one, other)
    )
    return first == second


def _rank(anatomy: Anatomy) -> Finding:
    possible = anatomy.rank if anatomy.low_rank else max((min(matrix.shape) for matrix in anatomy.matrices), default=0)
    shown = (
        f"effective rank {_over(anatomy, 'effective rank')}, stable rank {_over(anatomy, 'stable rank')}, 90% of the "
        f"energy in {_over(anatomy, '90% energy')} directions, of up to {possible} possible"
    )
    expected, source = (
        ("10 to 100 times the rank that LoRA usually has", "arXiv 2405.09673")
        if anatomy.rank is None
        else ("few directions carry the update, even where it may use many", "arXiv 2106.09685, section 7.2")
    )
    return Finding("Rank of the update", expected, source, shown)


def _intruder_finding(anatomy: Anatomy) -> Iterator[Finding]:
    if anatomy.has_intruders:
        swept = ", ".join(f"{_intruders(anatomy, threshold)}" for threshold in THRESHOLDS)
        yield Finding(
            "Intruder dimensions",
            "LoRA brings leading singular vectors that W has not, the fewer the higher the rank, and full fine-tuning "
            "hardly any; they go with forgetting",
            "arXiv 2410.21228",
            f"of {_leading(anatomy)} leading singular vectors of W + dW, those with no cosine above 0.1, 0.2, ... 0.9 "
            f"with one of W are {swept}",
        )


def _scale(anatomy: Anatomy) -> Iterator[Finding]:
    if anatomy.scale is not None and anatomy.rank_stabilized_scale is not None:
        yield Finding(
            "Scale of B A",
            "alpha/r makes high ranks learn too slowly where alpha is kept; alpha/sqrt(r) does not",
            "arXiv 2312.03732",
            f"{anatomy.scale:g} with alpha {anatomy.alpha:g} and rank {anatomy.rank}; alpha/sqrt(r) is "
            f"{anatomy.rank_stabilized_scale:.3g}",
        )


def _quantization(anatomy: Anatomy) -> Iterator[Finding]:
    errors = {form: Spread.of(matrix.quantization.get(form) for matrix in anatomy.matrices) for form in FORMATS}
    if shown := ", ".join(f"{form} {100 * spread.median:.3g}%" for form, spread in errors.items() if spread):
        yield Finding(
            "Error of the weights in 4 bits, ||W - Q(W)||/||W||",
            "NF4 loses least and double quantization costs nothing: a perplexity of 27.4 with both, 29.5 to 31.1 with "
            "FP4, 34.3 with INT4",
            "arXiv 2305.14314, table 2",
            f"{shown}, median over matrices",
        )
    if damage := Spread.of(matrix.error_over_update() for matrix in anatomy.matrices):
        outweighed = sum((matrix.error_over_update() or 0) > 1 for matrix in anatomy.matrices)
        yield Finding(
            "Error in NF4 over the update, ||W - Q(W)||/||dW||",
            "merging an adapter into 4-bit weights rounds W + dW again and loses accuracy, the more the larger this is",
            "arXiv 2309.14717, section 3.2",
            f"{damage}, above 1 in {outweighed} of {len(anatomy.matrices)} matrices, where rounding moves the weights "
            "further than training did",
        )


def _over(anatomy: Anatomy, quantity: str) -> str:
    return str(Spread.of(map(QUANTITIES[quantity], anatomy.matrices)) or "no value")


def _intruders(anatomy: Anatomy, threshold: float) -> int | None:
    counts = [matrix.intruders(threshold) for matrix in anatomy.matrices]
    return sum(count or 0 for count in counts) if anatomy.has_intruders else None


def _leading(anatomy: Anatomy) -> int:
    return sum(len(matrix.cosines or []) for matrix in anatomy.matrices)


def _sides(overlap: Overlap, size: int, kind: str | None = None) -> tuple[list[float | None], list[float | None]]:
    """Output and input side of every matrix, or of those of a kind."""
    chosen = [matrix for matrix in overlap.matrices if kind in (None, matrix.kind)]
    return [matrix.output.get(size) for matrix in chosen], [matrix.input.get(size) for matrix in chosen]


def _short(value: float, digits: int = 3) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.{digits}g}"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _table(title: str, anatomy: Anatomy, quantities: dict[str, Quantity]) -> Table:
    table = _empty_table(title, quantities)
    columns = [by_kind(anatomy, quantity) for quantity in quantities.values()]
    for kind in anatomy.kinds:
        table.add_row(*map(Text, (kind, *(spread.cell if (spread := column[kind]) else "-" for column in columns))))
    return table


def _empty_table(title: str, headings: Iterable[str]) -> Table:
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in ("kind", *headings):
        table.add_column(heading, justify="left" if heading == "kind" else "right")
    return table
