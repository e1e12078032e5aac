"""What training did to a matrix: each quantity on matrices whose answer is known, and beside a dense computation."""

import json
import math
import time

import numpy as np
import pytest
import torch

from slimnb.anatomy import Anatomy, findings
from slimnb.anatomy.examine import examine
from slimnb.anatomy.record import FORMATS, THRESHOLDS
from slimnb.anatomy.report import summary
from slimnb.anatomy.spectrum import (
    Svd,
    alignment,
    amplification,
    best_cosines,
    effective_rank,
    energy_rank,
    overlap,
    overlaps,
    stable_rank,
    svd,
    svd_of_product,
)
from slimnb.anatomy.update import Update


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def directions(dimensions: int, count: int, seed: int = 0) -> torch.Tensor:
    """Random orthonormal columns."""
    return torch.linalg.qr(random(dimensions, count, seed=seed))[0]


@pytest.mark.parametrize(("out", "rank", "inputs"), [(96, 8, 64), (64, 64, 96), (40, 1, 30), (8, 16, 16), (16, 16, 8)])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-8), (torch.float32, 1e-5)])
def test_the_factors_decomposition_is_the_products(
    out: int, rank: int, inputs: int, dtype: torch.dtype, within: float
) -> None:
    b, a = random(out, rank).to(dtype), random(rank, inputs, seed=1).to(dtype)
    parts, whole = svd_of_product(b, a), torch.linalg.svdvals(b.double() @ a.double())
    least = min(out, rank, inputs)
    assert parts.u.shape == (out, least) and parts.s.shape == (least,) and parts.vh.shape == (least, inputs)
    torch.testing.assert_close(parts.s.double(), whole[:least], rtol=within, atol=within * float(whole[0]))
    torch.testing.assert_close(parts.u @ parts.s.diag() @ parts.vh, b @ a, rtol=0, atol=within * float(whole[0]))
    torch.testing.assert_close(parts.u.T @ parts.u, torch.eye(least, dtype=dtype), rtol=0, atol=10 * within)


def test_the_spectrum_of_a_large_adapter_takes_milliseconds() -> None:
    b, a = random(4096, 64), random(64, 4096, seed=1)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        svd_of_product(b, a)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05


def test_ranks_of_known_matrices() -> None:
    identity, one = torch.ones(12, dtype=torch.float64), svd(torch.outer(random(9), random(7))).s
    assert effective_rank(identity) == pytest.approx(12) and stable_rank(identity) == pytest.approx(12)
    assert energy_rank(identity) == 11  # 10.8 of 12
    assert effective_rank(one) == pytest.approx(1) and stable_rank(one) == pytest.approx(1) and energy_rank(one) == 1
    uneven = torch.tensor([2.0, 1.0, 1.0], dtype=torch.float64)
    assert stable_rank(uneven) == pytest.approx(1.5)
    assert effective_rank(uneven) == pytest.approx(math.exp(0.5 * math.log(2) + 0.5 * math.log(4)))
    assert [energy_rank(uneven, share) for share in (0.6, 0.7, 0.9)] == [1, 2, 3]


@pytest.mark.parametrize("seed", range(5))
def test_ranks_lie_between_1_and_the_number_of_directions_whatever_the_scale(seed: int) -> None:
    s = svd_of_product(random(40, 6, seed=seed), random(6, 30, seed=seed + 9)).s
    for quantity in (effective_rank, stable_rank, energy_rank):
        assert 1 <= (quantity(s) or 0) <= 6
        assert quantity(s * 1e-30) == pytest.approx(quantity(s), rel=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_ranks_norms_and_overlaps_agree_with_the_dense_update_in_float64(seed: int) -> None:
    (b, a), (d, c) = ((random(48, rank, seed=seed + rank), random(rank, 36, seed=seed + 9)) for rank in (6, 5))
    dense, s = (b @ a).numpy(), svd_of_product(b, a).s
    values = np.linalg.svd(dense, compute_uv=False)
    shares = values[:6] / values[:6].sum()
    assert effective_rank(s) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-8)
    assert stable_rank(s) == pytest.approx((dense**2).sum() / values[0] ** 2, rel=1e-8)
    energy = (values**2).cumsum() / (values**2).sum()
    assert energy_rank(s) == int(np.argmax(energy >= 0.9)) + 1
    assert float(s.norm()) == pytest.approx(np.linalg.norm(dense), rel=1e-8)
    left, right = (np.linalg.svd((one @ other).numpy()) for one, other in ((b, a), (d, c)))
    output, inputs = overlaps(svd_of_product(b, a), svd_of_product(d, c))
    for size in (1, 2, 4, 5):
        expected = np.linalg.norm(left[0][:, :size].T @ right[0][:, :size]) ** 2 / size
        assert output[size] == pytest.approx(expected, rel=1e-8)
        assert inputs[size] == pytest.approx(np.linalg.norm(left[2][:size] @ right[2][:size].T) ** 2 / size, rel=1e-8)


def test_an_update_of_zero_has_no_ranks_and_no_directions() -> None:
    zero = torch.zeros(3)
    assert effective_rank(zero) is stable_rank(zero) is energy_rank(zero) is None
    nothing = svd_of_product(torch.zeros(8, 2), random(2, 6).float())
    assert amplification(random(8, 6).float(), nothing, 2) is alignment(random(8, 6).float(), nothing, 2) is None
    assert overlaps(nothing, nothing) == ({}, {})


def test_amplification_is_the_updates_norm_over_what_the_weight_holds_in_its_directions() -> None:
    weight = torch.diag(torch.tensor([4.0, 2.0, 1.0]))
    update = torch.zeros(3, 3)
    update[1, 1] = 6.0
    assert amplification(weight, svd(update), 1) == pytest.approx(3)
    assert amplification(weight, svd(update), 3) == pytest.approx(3)  # the directions that are not there do not count
    update[2, 2] = 1.0
    assert amplification(weight, svd(update), 1) == pytest.approx(3)
    assert amplification(weight, svd(update), 2) == pytest.approx(math.sqrt(37 / 5))
    assert amplification(torch.zeros(3, 3), svd(update), 1) is None


def test_amplification_agrees_with_its_formula_in_float64() -> None:
    weight, b, a = random(30, 20), random(30, 4, seed=1), random(4, 20, seed=2)
    u, s, vh = torch.linalg.svd(b @ a)
    held = torch.linalg.norm(u[:, :4].T @ weight @ vh[:4].T)
    assert amplification(weight, svd_of_product(b, a), 4) == pytest.approx(float(s.norm() / held), rel=1e-8)


def test_alignment_is_1_for_random_directions_and_more_for_the_weights_own() -> None:
    weight = random(60, 40)
    update = svd_of_product(random(60, 4, seed=1), random(4, 40, seed=2))
    u, v = update.u, update.vh.T
    chance = float(torch.linalg.norm(weight)) * 4 / math.sqrt(60 * 40)
    expected = float(torch.linalg.norm(u.T @ weight @ v)) / chance
    assert alignment(weight, update, 4) == pytest.approx(expected, rel=1e-8)
    drawn = [alignment(weight, svd_of_product(random(60, 4, seed=i), random(4, 40, seed=i + 50)), 4) for i in range(50)]
    assert math.sqrt(sum((one or 0) ** 2 for one in drawn) / 50) == pytest.approx(1, rel=0.1)
    assert (alignment(weight, svd(weight), 4) or 0) > 3
    assert alignment(torch.zeros(60, 40), update, 4) is None


def planted() -> tuple[torch.Tensor, torch.Tensor]:
    """W writes to 8 of 12 outputs; the update adds the last output to what W's first direction writes, 5 times over.

    So one singular vector has a cosine of 1 / sqrt(26) = 0.196 with W's first, and the others are W's own.
    """
    weight = torch.zeros(12, 8, dtype=torch.float64)
    weight[:8] = torch.diag(torch.arange(10.0, 2.0, -1.0, dtype=torch.float64))
    tuned = weight.clone()
    tuned[11, 0] = 50.0
    return weight, tuned


def test_a_planted_intruder_is_found_at_its_cosine() -> None:
    cosines = best_cosines(*planted())
    assert cosines.shape == (8,) and float(cosines[0]) == pytest.approx(1 / math.sqrt(26), rel=1e-8)
    torch.testing.assert_close(cosines[1:], torch.ones(7, dtype=torch.float64))
    torch.testing.assert_close(best_cosines(planted()[0], planted()[0]), torch.ones(8, dtype=torch.float64))
    assert best_cosines(*planted(), leading=3).shape == (3,)


def test_cosines_agree_with_a_search_through_all_pairs() -> None:
    weight, tuned = random(20, 14), random(20, 14) + random(20, 14, seed=1)
    before, after = np.linalg.svd(weight.numpy())[0][:, :14], np.linalg.svd(tuned.numpy())[0]
    expected = [max(abs(float(after[:, j] @ before[:, i])) for i in range(14)) for j in range(10)]
    assert best_cosines(weight, tuned).tolist() == pytest.approx(expected, rel=1e-8)


def test_intruders_grow_with_the_threshold() -> None:
    weight, tuned = planted()
    matrix = examine(Update("model.layers.3.mlp.up_proj", weight.float(), ((tuned - weight).float(),)), 16, ("int4",))
    assert (matrix.layer, matrix.kind, matrix.shape) == (3, "up_proj", (12, 8))
    swept = [matrix.intruders(threshold) or 0 for threshold in THRESHOLDS]
    assert swept == [0, *[1] * 8] == sorted(swept)
    assert matrix.singular_values[0] == pytest.approx(50) and matrix.effective_rank == pytest.approx(1)
    assert matrix.relative_norm == pytest.approx(50 / float(weight.norm()), rel=1e-5)  # six digits are stored
    error = (matrix.quantization["int4"] or 0) * float(weight.norm()) / 50
    assert (
        matrix.error_over_update("int4") == pytest.approx(error, rel=1e-5) and matrix.error_over_update("nf4") is None
    )


def test_a_matrix_that_training_left_alone_has_nulls_and_no_nan() -> None:
    update = Update("model.layers.0.mlp.up_proj", random(64, 64).float(), (torch.zeros(64, 2), torch.ones(2, 64)))
    matrix = examine(update, 2, FORMATS)
    assert matrix.effective_rank is matrix.stable_rank is matrix.energy_rank is matrix.amplification is None
    assert matrix.relative_norm == 0 and matrix.error_over_update() is None and matrix.intruders() == 0
    anatomy = Anatomy(run="r", method="lora", dtype="float32", seed=0, rank=2, alpha=4, scale=2, directions=2,
                      matrices=[matrix], skipped=0, seconds=1)  # fmt: skip
    json.dumps([anatomy.model_dump(mode="json"), summary(anatomy)], allow_nan=False)
    assert all("nan" not in str(one) for one in findings(anatomy))


def test_overlap_of_known_subspaces() -> None:
    basis = directions(20, 12)
    assert overlap(basis[:, :4], basis[:, 4:8]) == pytest.approx(0, abs=1e-12)
    turned = basis[:, :4] @ directions(4, 4, seed=1)
    assert overlap(basis[:, :4], turned) == pytest.approx(1)
    assert overlap(basis[:, :2], basis[:, :8]) == pytest.approx(1)  # the smaller lies in the larger
    assert overlap(basis[:, :4], basis[:, 2:6]) == pytest.approx(0.5)
    chance = [overlap(directions(50, 5, seed=2 * i), directions(50, 10, seed=2 * i + 1)) for i in range(40)]
    assert sum(chance) / 40 == pytest.approx(10 / 50, rel=0.1)


def test_overlaps_are_told_for_growing_numbers_of_directions_on_both_sides() -> None:
    u, v = directions(30, 12), directions(25, 12, seed=1)
    s = torch.arange(6.0, 0.0, -1.0, dtype=torch.float64)
    one = Svd(u[:, :6], s, v[:, :6].T)
    other = Svd(torch.cat([u[:, :1], u[:, 6:12]], dim=1), torch.ones(7, dtype=torch.float64), v[:, 5:12].T)
    output, inputs = overlaps(one, other)
    assert list(output) == list(inputs) == [1, 2, 4, 6]
    assert list(output.values()) == pytest.approx([1, 1 / 2, 1 / 4, 1 / 6])
    assert list(inputs.values()) == pytest.approx([0, 0, 0, 1 / 6], abs=1e-12)
