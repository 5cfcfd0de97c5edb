import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from aecompanion.defend.inverse import InverseHalftone, low_pass
from aecompanion.pipeline.rng import generator, seeded


@pytest.fixture
def dots():
    return (torch.rand(2, 3, 16, 20, generator=generator(7, 1)) < 0.4).double()


@pytest.fixture
def trained():
    """A network whose last layer is not zero any more."""
    with seeded(7, 2):
        network = InverseHalftone().double()
        nn.init.normal_(network.residual[-1].weight, std=0.1)
    return network


# ---- low-pass


@pytest.mark.parametrize(("sigma", "radius"), [(0.5, 2), (1.0, 3), (1.2, 4), (2.0, 6)])
def test_the_low_pass_is_scipys_gaussian_over_3_sigma_with_reflected_borders(dots, sigma, radius):
    expected = gaussian_filter(dots.numpy(), (0, 0, sigma, sigma), mode="mirror", radius=(0, 0, radius, radius))
    assert torch.allclose(low_pass(dots, sigma=sigma), torch.from_numpy(expected), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("sigma", "radius"), [(1.0, 3), (1.2, 4)])
def test_the_low_pass_of_a_point_is_the_window_with_sum_1(sigma, radius):
    point = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    point[0, 0, 10, 10] = 1
    window = low_pass(point, sigma=sigma)[0, 0]
    support = torch.zeros(21, 21, dtype=torch.bool)
    support[10 - radius : 11 + radius, 10 - radius : 11 + radius] = True
    assert torch.equal(window > 0, support)
    assert window.sum().item() == pytest.approx(1, abs=1e-14)
    ratio = (window[10, 11] / window[10, 10]).log().item()
    assert ratio == pytest.approx(-1 / (2 * sigma**2), abs=1e-12)


def test_sigma_is_1_2_unless_told_otherwise(dots):
    assert torch.equal(low_pass(dots), low_pass(dots, sigma=1.2))


def test_the_low_pass_keeps_a_flat_image():
    flat = torch.full((1, 3, 12, 12), 0.3, dtype=torch.float64)
    assert torch.allclose(low_pass(flat), flat, rtol=0, atol=1e-15)


def test_the_low_pass_takes_every_channel_by_itself(dots):
    alone = [low_pass(dots[:, channel : channel + 1]) for channel in range(3)]
    assert torch.allclose(low_pass(dots), torch.cat(alone, 1), rtol=0, atol=1e-15)


def test_the_low_pass_is_differentiable():
    images = torch.rand(1, 2, 6, 5, generator=generator(7, 3), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: low_pass(x, sigma=0.6), images)


def test_the_low_pass_leaves_its_input_alone(dots):
    before = dots.clone()
    low_pass(dots)
    assert torch.equal(dots, before)


@pytest.mark.parametrize("sigma", [0, -1.0, float("nan")])
def test_a_sigma_that_is_not_positive_is_an_error(dots, sigma):
    with pytest.raises(ValueError, match=f"sigma is {sigma}, expected a number > 0"):
        low_pass(dots, sigma=sigma)


# ---- the residual network


@pytest.mark.parametrize("sigma", [0.8, 1.2])
def test_an_untrained_network_is_the_low_pass(dots, sigma):
    network = InverseHalftone(sigma=sigma).double()
    assert torch.allclose(network(dots), low_pass(dots, sigma=sigma), rtol=0, atol=1e-15)


def test_the_network_has_five_convolutions_of_3_by_3_with_16_channels():
    layers = [layer for layer in InverseHalftone().modules() if isinstance(layer, nn.Conv2d)]
    channels = [(layer.in_channels, layer.out_channels) for layer in layers]
    assert channels == [(1, 16), (16, 16), (16, 16), (16, 16), (16, 1)]
    assert {layer.kernel_size for layer in layers} == {(3, 3)}


def test_the_width_is_the_callers():
    assert InverseHalftone(width=5).residual[2].weight.shape == (5, 5, 3, 3)


def test_colour_is_restored_channel_by_channel(dots, trained):
    found = trained(dots)
    assert found.shape == dots.shape
    alone = torch.cat([trained(dots[:, channel : channel + 1]) for channel in range(3)], dim=1)
    assert torch.allclose(found, alone, rtol=0, atol=1e-12)
    assert not torch.allclose(found, low_pass(dots), rtol=0, atol=1e-3)


def test_an_image_is_restored_alone_as_in_a_batch(dots, trained):
    alone = torch.cat([trained(image[None]) for image in dots])
    assert torch.allclose(trained(dots), alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("bias", "value"), [(5.0, 1.0), (-5.0, 0.0)])
def test_the_result_is_clipped_to_the_unit_interval(dots, bias, value):
    network = InverseHalftone().double()
    nn.init.constant_(network.residual[-1].bias, bias)
    assert torch.equal(network(dots), torch.full_like(dots, value))


def test_the_residual_sees_the_dots_centred_on_0():
    network, seen = InverseHalftone(), []
    network.residual.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    network(torch.tensor([0.0, 1.0]).repeat(1, 1, 10, 5))
    assert seen[0].unique().tolist() == [-0.5, 0.5]


def test_the_gradient_reaches_the_dots_and_the_last_layer_from_the_start(dots):
    network = InverseHalftone().double()
    network(dots.requires_grad_()).square().sum().backward()
    assert (dots.grad != 0).any()
    assert (network.residual[-1].weight.grad != 0).any()
