"""What a run's anatomy.json holds: numbers for each matrix that was trained. Imports no torch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from slimnb.errors import SlimnbError
from slimnb.io.documents import read_stored
from slimnb.store.records import Record

SCHEMA_VERSION = 1
FILE = "anatomy.json"

THRESHOLDS = tuple(tenths / 10 for tenths in range(1, 10))
"""The cosines below which a singular vector is called an intruder, swept."""
SINGULAR_VALUES_KEPT = 64
"""Full fine-tuning gives as many as the matrix has columns; the other quantities are of all of them."""

Format = Literal["nf4", "nf4+dq", "fp4", "fp4+dq", "int4"]
"""Ways to store a weight in 4 bits; +dq: with double quantization. See slimnb.anatomy.quantization."""
FORMATS: tuple[Format, ...] = get_args(Format)

Number = Annotated[float, AfterValidator(lambda value: float(f"{value:.6g}"))]
"""Six digits: more would be noise of float32, and a third of the file."""


class Matrix(Record):
    """One trained matrix: W before, W + dW after, both (out, in). None where a quantity has no value, as with dW = 0.

    Definitions, sources and what is expected stand with the functions of slimnb.anatomy.spectrum.
    """

    name: str
    """The module's path in the model, e.g. model.layers.0.self_attn.q_proj."""
    layer: int
    kind: str
    """The last part of the name, e.g. q_proj."""
    shape: tuple[int, int]
    singular_values: list[Number]
    """Of dW, largest first, SINGULAR_VALUES_KEPT at most."""
    effective_rank: Number | None
    stable_rank: Number | None
    energy_rank: int | None
    """Directions that hold 90% of ||dW||_F^2."""
    relative_norm: Number | None
    """||dW||_F / ||W||_F."""
    amplification: Number | None
    """||dW||_F / ||U^T W V||_F."""
    alignment: Number | None
    """||U^T W V||_F over what it is for random U and V."""
    cosines: list[Number] | None
    """For each of the leading left singular vectors of W + dW, its best cosine with one of W; None: not computed."""
    quantization: dict[Format, Number | None]
    """||W - Q(W)||_F / ||W||_F by format; a format that this machine could not compute is absent."""

    def intruders(self, threshold: float = 0.5) -> int | None:
        """How many of the leading singular vectors of W + dW are intruders (arXiv 2410.21228, algorithm 1)."""
        return None if self.cosines is None else sum(cosine < threshold for cosine in self.cosines)

    def error_over_update(self, form: Format = "nf4") -> float | None:
        """||W - Q(W)||_F / ||dW||_F: above 1, rounding to 4 bits moves the weights further than training did.

        Merging an adapter into 4-bit weights rounds W + dW again, an error of about this size.
        """
        error = self.quantization.get(form)
        return error / self.relative_norm if error is not None and self.relative_norm else None


class MatrixOverlap(Record):
    """How far two runs' updates of one matrix use the same directions, by the number of leading directions."""

    name: str
    layer: int
    kind: str
    shape: tuple[int, int]
    output: dict[int, Number]
    """Of the left singular vectors, where an update writes; chance gives number / out."""
    input: dict[int, Number]
    """Of the right singular vectors, what an update reads; chance gives number / in."""


class Overlap(Record):
    matrices: list[MatrixOverlap]


class Anatomy(Record):
    """What anatomy.json holds."""

    schema_version: int = SCHEMA_VERSION
    run: str
    method: str
    dtype: str
    """Of the weights W and, after full fine-tuning, of the saved W + dW."""
    seed: int
    rank: int | None = None
    """The adapter's rank, alpha and the factor on B A; None after full fine-tuning."""
    alpha: float | None = None
    scale: float | None = None
    dora: bool = False
    init: str | None = None
    """What the adapter began with; see slimnb.config.Lora."""
    directions: int
    """Leading ones of dW that amplification and alignment are of: LoRA's rank, or as many of full fine-tuning's."""
    matrices: list[Matrix]
    skipped: int
    """Trained tensors that are left out: embeddings, norms, biases, the output head."""
    seconds: Number
    """What the examination took."""
    overlaps: dict[str, Overlap] = Field(default_factory=dict)
    """By the other run's id."""

    @property
    def kinds(self) -> list[str]:
        return list(dict.fromkeys(matrix.kind for matrix in self.matrices))

    @property
    def has_intruders(self) -> bool:
        return any(matrix.cosines is not None for matrix in self.matrices)

    @property
    def low_rank(self) -> bool:
        """Whether each update is a product of rank `rank`."""
        return self.rank is not None and not self.dora

    @property
    def rank_stabilized_scale(self) -> float | None:
        """alpha / sqrt(r), which keeps learning alike over ranks (rsLoRA, arXiv 2312.03732)."""
        return self.alpha / math.sqrt(self.rank) if self.alpha is not None and self.rank else None


def read_anatomy(run: Path) -> Anatomy | None:
    """The anatomy stored in a run's folder; None where there is none.

    Raises:
        SlimnbError: the file is damaged, or of a newer slimnb.
    """
    try:
        return read_stored(run / FILE, Anatomy, SCHEMA_VERSION)
    except SlimnbError as error:  # what is wrong with one matrix is wrong with hundreds
        first = str(error).partition(";")[0]
        raise SlimnbError(f"{first}. `slimnb anatomy --again` computes it anew") from error
