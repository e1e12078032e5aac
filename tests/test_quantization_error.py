"""What 4 bits lose: known grids, bounds that hold for every weight, and the order that the formats are chosen for."""

import pytest
import torch

from slimnb.anatomy.quantization import BLOCK, quantized, relative_error, usable_formats
from slimnb.anatomy.record import FORMATS, Format

each_format = pytest.mark.parametrize("form", FORMATS)


@pytest.fixture(scope="module")
def gaussian() -> torch.Tensor:
    return torch.randn(256, 512, generator=torch.Generator().manual_seed(0)) * 0.02


def error(weight: torch.Tensor, form: Format) -> float:
    found = relative_error(weight, form)
    assert found is not None
    return found


def test_all_formats_can_be_computed_here() -> None:
    assert usable_formats() == FORMATS


def test_int4_keeps_what_lies_on_its_grid_and_errs_by_half_a_step_at_most(gaussian: torch.Tensor) -> None:
    grid = torch.randint(-7, 8, (4, BLOCK), generator=torch.Generator().manual_seed(0)).float()
    grid[:, 0] = 7.0
    torch.testing.assert_close(quantized(grid * 0.5, "int4"), grid * 0.5)
    back, steps = quantized(gaussian, "int4"), gaussian.view(-1, BLOCK).abs().amax(dim=1, keepdim=True) / 7
    assert ((back - gaussian).view(-1, BLOCK).abs() <= steps * 0.5001).all()
    assert len(back.view(-1, BLOCK)[0].unique()) <= 15


@pytest.mark.parametrize("shape", [(256, 512), (32, 16), (64, 96)], ids=str)
@pytest.mark.parametrize("form", ["nf4", "fp4"])
def test_each_weight_goes_to_the_nearest_level_of_its_block(form: Format, shape: tuple[int, int]) -> None:
    from bitsandbytes.functional import get_4bit_type

    weight = torch.randn(*shape, generator=torch.Generator().manual_seed(3))
    blocks, levels = weight.view(-1, BLOCK), get_4bit_type(form, "cpu")
    scales = blocks.abs().amax(dim=1, keepdim=True)
    nearest = levels[((blocks / scales)[..., None] - levels).abs().argmin(dim=-1)] * scales
    torch.testing.assert_close(quantized(weight, form).view(-1, BLOCK), nearest)


@each_format
def test_blocks_have_scales_of_their_own(form: Format) -> None:
    ramp = torch.linspace(-1, 1, BLOCK)
    one, both = quantized(ramp[None], form), quantized(torch.stack([ramp, ramp * 1000]), form)
    tolerance = 0.02 if "dq" in form else 1e-6  # double quantization rounds the scales themselves
    torch.testing.assert_close(both[0:1], one, atol=20.0 if "dq" in form else tolerance, rtol=0)
    torch.testing.assert_close(both[1:2] / 1000, one, atol=tolerance, rtol=0)


@each_format
def test_any_shape_and_zeros_come_back_in_their_place(form: Format) -> None:
    odd = torch.randn(7, 23, generator=torch.Generator().manual_seed(1))
    odd[3] = 0
    back = quantized(odd, form)
    assert back.shape == odd.shape and back.isfinite().all()
    assert torch.nn.functional.cosine_similarity(back.flatten(), odd.flatten(), dim=0) > 0.97
    assert relative_error(torch.zeros(8, 64), form) is None
    assert quantized(torch.zeros(8, 64), form).abs().max() == 0


@each_format
def test_scaling_a_weight_changes_no_relative_error(gaussian: torch.Tensor, form: Format) -> None:
    assert error(gaussian * 64, form) == pytest.approx(error(gaussian, form), rel=0.01)


def test_nf4_errs_least_on_gaussian_weights(gaussian: torch.Tensor) -> None:
    errors = {form: error(gaussian, form) for form in FORMATS}
    assert errors["nf4"] == min(errors.values()) and errors["nf4"] < errors["int4"] < 0.12
    assert 0.08 < errors["nf4"] < 0.1  # normal weights in blocks of 64


@pytest.mark.parametrize(("form", "doubled"), [("nf4", "nf4+dq"), ("fp4", "fp4+dq")])
def test_double_quantization_costs_little(gaussian: torch.Tensor, form: Format, doubled: Format) -> None:
    single, double = error(gaussian, form), error(gaussian, doubled)
    assert single <= double < 1.02 * single
    assert not torch.equal(quantized(gaussian, form), quantized(gaussian, doubled))


def test_bfloat16_weights_are_taken_as_well(gaussian: torch.Tensor) -> None:
    assert error(gaussian.bfloat16(), "nf4") == pytest.approx(error(gaussian, "nf4"), rel=0.05)
