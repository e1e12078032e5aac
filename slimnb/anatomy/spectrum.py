"""What an update looks like: pure functions on tensors.

W is a weight of shape (out, in), dW its update, and W + dW what training left. Each function computes in the precision
of its input. What has no value, as the rank of an update that is zero, is None and never NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LEADING = 10
"""Leading singular vectors of W + dW that are looked at for intruders; peft looks at as many."""
OVERLAP_LIMIT = 64
"""Most directions of full fine-tuning that are compared; the LoRA paper's figures end there, too."""


@dataclass(frozen=True)
class Svd:
    """U diag(s) V^T, thin: u (out, r), s (r,) from the largest, vh (r, in)."""

    u: Tensor
    s: Tensor
    vh: Tensor

    def leading(self, count: int) -> Svd:
        """The first `count` directions, fewer where the others are zero: rounding alone gave those a direction."""
        noise = max(self.u.shape[0], self.vh.shape[1]) * torch.finfo(self.s.dtype).eps
        count = min(count, int((self.s > noise * self.s.amax()).sum())) if self.s.numel() else 0
        return Svd(self.u[:, :count], self.s[:count], self.vh[:count])


def svd(matrix: Tensor) -> Svd:
    """The thin singular value decomposition of a matrix (out, in)."""
    return Svd(*torch.linalg.svd(matrix, full_matrices=False))


def svd_of_product(b: Tensor, a: Tensor) -> Svd:
    """The singular value decomposition of B A, exact, without forming the product.

    With B = Q_B R_B and A^T = Q_A R_A, B A = Q_B (R_B R_A^T) Q_A^T, and what is between the Qs is only r x r.

    Args:
        b: (out, r).
        a: (r, in).
    """
    q_b, r_b = torch.linalg.qr(b)
    q_a, r_a = torch.linalg.qr(a.T)
    core = svd(r_b @ r_a.T)
    return Svd(q_b @ core.u, core.s, core.vh @ q_a.T)


def effective_rank(s: Tensor) -> float | None:
    """exp(H(p)), H the entropy of p = s / sum(s): from 1 (one direction) to r (all alike).

    Roy and Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO 2007, definition 1.
    Expected: an update needs few directions (arXiv 2106.09685, section 7.2), full fine-tuning's 10 to 100 times as many
    as LoRA usually has (arXiv 2405.09673).

    Args:
        s: singular values, (r,), none negative.
    """
    total = s.sum()
    return float(torch.special.entr(s / total).sum().exp()) if total > 0 else None


def stable_rank(s: Tensor) -> float | None:
    """||dW||_F^2 / ||dW||_2^2, from 1 to r: like the rank, but blind to small singular values.

    Rudelson and Vershynin, "Sampling from large matrices", J. ACM 2007 (arXiv math/0503442), there "numerical rank".

    Args:
        s: singular values, (r,).
    """
    # Divided first: the square of a small number may be zero.
    return float((s / s.amax()).square().sum()) if s.numel() and s.amax() > 0 else None


def energy_rank(s: Tensor, share: float = 0.9) -> int | None:
    """The fewest directions whose squared singular values make up `share` of all (arXiv 2405.09673).

    Args:
        s: singular values, (r,), from the largest.
    """
    if not s.numel() or s.amax() <= 0:
        return None
    energy = (s / s.amax()).double().square().cumsum(0)
    return int((energy < share * energy[-1]).sum()) + 1


def amplification(weight: Tensor, update: Svd, rank: int) -> float | None:
    """||dW||_F / ||U^T W V||_F, U and V the first r directions of dW: how far training turned up what W holds of them.

    arXiv 2106.09685, section 7.3 (V there is V^T here), where W_q of GPT-3 is amplified 21.5 times at r = 4 and twice
    at r = 64: the update strengthens what the model had, but did not emphasize. Of an update with more than r
    directions, as full fine-tuning's, dW is cut to the first r, so that both norms are of the same directions.

    Args:
        weight: (out, in).
        update: dW's decomposition.
        rank: r.
    """
    top, held = update.leading(rank), _held(weight, update, rank)
    return float(top.s.norm()) / held if top.s.numel() and held > 0 else None


def alignment(weight: Tensor, update: Svd, rank: int) -> float | None:
    """||U^T W V||_F, U and V as above, over what it is for random directions, ||W||_F r / sqrt(out in).

    arXiv 2106.09685, table 7, which sets both side by side. Expected: above 1 (there 16 at r = 4 and 6 at r = 64), so
    that W holds more of dW's directions than of random ones; 1 where training chose directions without regard to W.
    """
    count = update.leading(rank).s.numel()
    chance = float(weight.norm()) * count / math.sqrt(weight.numel())
    return _held(weight, update, rank) / chance if chance > 0 else None


def _held(weight: Tensor, update: Svd, rank: int) -> float:
    top = update.leading(rank)
    return float(torch.linalg.norm(top.u.to(weight.dtype).T @ weight @ top.vh.to(weight.dtype).T))


def best_cosines(weight: Tensor, tuned: Tensor, leading: int = LEADING) -> Tensor:
    """For each leading left singular vector of W + dW, its largest absolute cosine with any of W's: (leading,).

    Where it is below a threshold, the vector is an intruder dimension (arXiv 2410.21228, definition 1 and algorithm 1).
    Expected: low-rank LoRA has them, full fine-tuning hardly any, and they go with forgetting. Where singular values
    are equal their vectors are any basis, and so is the cosine.

    Args:
        weight: W, (out, in).
        tuned: W + dW, (out, in).
    """
    return (svd(weight).u.T @ svd(tuned).u[:, :leading]).abs().amax(dim=0)


def overlap(one: Tensor, other: Tensor) -> float:
    """phi = ||U_A^T U_B||_F^2 / min(i, j), from 0 (orthogonal) to 1 (the smaller space lies in the larger).

    arXiv 2106.09685, equation 4 of section 7.2. Random spaces of d dimensions give max(i, j) / d. Expected: the first
    direction is shared between ranks (over 0.5) and, less, between seeds; the later ones are mostly noise.

    Args:
        one: orthonormal columns, (d, i).
        other: orthonormal columns, (d, j).
    """
    return float((one.double().T @ other.double()).square().sum() / min(one.shape[1], other.shape[1]))


def overlaps(one: Svd, other: Svd) -> tuple[dict[int, float], dict[int, float]]:
    """Overlap of the first 1, 2, 4, ... directions of two updates, up to the smaller rank: (output side, input side).

    The output side compares left singular vectors, the input side right ones, each i against i.
    """
    one, other = one.leading(OVERLAP_LIMIT), other.leading(OVERLAP_LIMIT)
    least = min(one.s.numel(), other.s.numel())
    sizes = [2**power for power in range(least.bit_length()) if 2**power < least] + ([least] if least else [])
    output = {size: overlap(one.u[:, :size], other.u[:, :size]) for size in sizes}
    return output, {size: overlap(one.vh[:size].T, other.vh[:size].T) for size in sizes}
