"""Runs -> their anatomies, each stored with its run and computed once."""

from __future__ import annotations

import time
from dataclasses import asdict
from itertools import combinations

from slimnb.anatomy.quantization import relative_error, usable_formats
from slimnb.anatomy.record import (
    FILE,
    SINGULAR_VALUES_KEPT,
    Anatomy,
    Format,
    Matrix,
    MatrixOverlap,
    Overlap,
    read_anatomy,
)
from slimnb.anatomy.spectrum import (
    alignment,
    amplification,
    best_cosines,
    effective_rank,
    energy_rank,
    overlaps,
    stable_rank,
)
from slimnb.anatomy.update import Update, open_updates
from slimnb.config import Lora
from slimnb.errors import SlimnbError
from slimnb.io.files import write_json
from slimnb.machine.progress import progress_bar
from slimnb.store.runs import RunFolder


def anatomy_of(folder: RunFolder, *, intruders: bool = True, again: bool = False) -> Anatomy:
    """A run's anatomy: what is stored with it, for which no weights are needed, or computed now and stored.

    Args:
        intruders: look for intruder dimensions, which takes most of the time: two decompositions of each matrix.
        again: compute it anew.

    Raises:
        SlimnbError: the run has no update, or its weights are needed and not there.
    """
    stored = None if again else read_anatomy(folder.path)
    if stored and (stored.has_intruders or not intruders):
        return stored
    start = time.perf_counter()
    updates, formats, config = open_updates(folder), usable_formats(), folder.config
    adapter = updates.adapter
    directions = adapter.rank if adapter else Lora().rank  # full fine-tuning is held beside LoRA's default
    matrices = []
    with progress_bar(f"{folder.record.id}: anatomy", len(updates.names)) as advance:
        for update in updates:
            matrices.append(examine(update, directions, formats, intruders))
            advance(1, update.name)
    anatomy = Anatomy(
        run=folder.record.id,
        method=config.method,
        dtype=config.dtype,
        seed=config.seed,
        **(asdict(adapter) if adapter else {}),
        init=config.lora.init if config.lora else None,
        directions=directions,
        matrices=matrices,
        skipped=updates.skipped,
        seconds=time.perf_counter() - start,
        overlaps=stored.overlaps if stored else {},
    )
    _store(folder, anatomy)
    return anatomy


def examine(update: Update, directions: int, formats: tuple[Format, ...], intruders: bool = True) -> Matrix:
    """All that is told of one matrix.

    Args:
        directions: leading ones of dW that amplification and alignment are of.
    """
    weight, parts = update.weight, update.svd()
    s, norm = parts.s, float(weight.norm())
    return Matrix(
        name=update.name,
        layer=update.layer,
        kind=update.kind,
        shape=(weight.shape[0], weight.shape[1]),
        singular_values=s[:SINGULAR_VALUES_KEPT].tolist(),
        effective_rank=effective_rank(s),
        stable_rank=stable_rank(s),
        energy_rank=energy_rank(s),
        relative_norm=float(s.norm()) / norm if norm else None,
        amplification=amplification(weight, parts, directions),
        alignment=alignment(weight, parts, directions),
        cosines=best_cosines(weight, weight + update.dense()).tolist() if intruders else None,
        quantization={form: relative_error(weight, form) for form in formats},
    )


def compare_updates(folders: list[RunFolder], anatomies: list[Anatomy], *, again: bool = False) -> None:
    """Add to each anatomy how far its run's updates overlap with the others', and store it with both of each pair.

    Args:
        anatomies: the folders', in their order.
        again: compute what is stored anew.

    Raises:
        SlimnbError: two runs started from different weights, or weights are needed and not there.
    """
    for (first, one), (second, other) in combinations(zip(folders, anatomies, strict=True), 2):
        if again or other.run not in one.overlaps or one.run not in other.overlaps:
            one.overlaps[other.run] = other.overlaps[one.run] = overlap_of(first, second)
            _store(first, one)
            _store(second, other)


def overlap_of(first: RunFolder, second: RunFolder) -> Overlap:
    """How far two runs' updates use the same directions, in each matrix that both trained."""
    if len({one.record.lineage and one.record.lineage.weights_sha256 for one in (first, second)}) > 1:
        raise SlimnbError(
            f"{first.record.id} and {second.record.id} started from different weights, so it says nothing how far "
            "their updates overlap"
        )
    one, other = open_updates(first), open_updates(second)
    matrices = []
    names = [name for name in one.names if name in other.names]
    with progress_bar(f"{first.record.id}, {second.record.id}: overlap", len(names)) as advance:
        for name in names:
            update, parts = one.read(name), other.read(name).svd()
            output, inputs = overlaps(update.svd(), parts)
            matrices.append(
                MatrixOverlap(
                    name=name, layer=update.layer, kind=update.kind, output=output, input=inputs,
                    shape=(parts.u.shape[0], parts.vh.shape[1]),
                )
            )  # fmt: skip
            advance(1, name)
    return Overlap(matrices=matrices)


def _store(folder: RunFolder, anatomy: Anatomy) -> None:
    write_json(folder.path / FILE, anatomy.model_dump(mode="json"))
