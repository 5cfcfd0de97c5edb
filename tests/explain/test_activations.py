import pytest
import torch
from torch import nn

from aecompanion.explain.activations import activations, correlation
from aecompanion.pipeline.rng import generator


@pytest.fixture
def tiny():
    """2x + 1 and its negative, of which ReLU keeps one, and their sum: |2x + 1|."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 1, 1, bias=False))
    model[0].weight.data = torch.tensor([2.0, -2.0]).reshape(2, 1, 1, 1)
    model[0].bias.data = torch.tensor([1.0, -1.0])
    model[2].weight.data.fill_(1)
    return model


@pytest.fixture
def pair():
    """Two images of 1×2 pixels."""
    return torch.tensor([[[[0.0, -1.0]]], [[[0.5, -0.25]]]])


# ---- activations


def test_the_activations_are_the_outputs_of_the_named_layers(tiny, pair):
    found = activations(tiny, pair, {"first": tiny[0], "kept": tiny[1], "sum": tiny[2]})
    assert list(found) == ["first", "kept", "sum"]
    assert found["first"].tolist() == [[[[1, -1]], [[-1, 1]]], [[[2, 0.5]], [[-2, -0.5]]]]
    assert found["kept"].tolist() == [[[[1, 0]], [[0, 1]]], [[[2, 0.5]], [[0, 0]]]]
    assert found["sum"].tolist() == [[[[1, 1]]], [[[2, 0.5]]]]


def test_only_the_layers_that_were_asked_for_are_kept(tiny, pair):
    assert list(activations(tiny, pair, {"kept": tiny[1]})) == ["kept"]
    assert activations(tiny, pair, {}) == {}


def test_a_layer_may_hold_others(convolutional, images):
    found = activations(convolutional, images, {"all": convolutional, "last": convolutional.fc})
    with torch.no_grad():
        expected = convolutional(images)
    assert torch.equal(found["all"], expected)
    assert torch.equal(found["last"], expected)


def test_an_activation_is_not_changed_by_a_layer_that_works_in_place(tiny, pair):
    expected = activations(tiny, pair, {"first": tiny[0]})["first"]
    tiny[1] = nn.ReLU(inplace=True)
    assert torch.equal(activations(tiny, pair, {"first": tiny[0]})["first"], expected)


def test_the_network_answers_in_evaluation_mode_and_is_returned_as_it_was(convolutional, images, condition):
    layers = {name: convolutional.get_submodule(name) for name in ("norm", "dropout")}
    expected = activations(convolutional, images, layers)
    before = condition(convolutional.train())
    found = activations(convolutional, images, layers)
    assert condition(convolutional) == before
    for name in layers:
        assert torch.equal(found[name], expected[name])


def test_a_network_that_raises_is_returned_as_it_was(convolutional, images, condition, fail_on_call):
    before = condition(fail_on_call(convolutional.train(), 1))
    with pytest.raises(RuntimeError, match="call 1"):
        activations(convolutional, images, {"conv1": convolutional.conv1})
    assert condition(convolutional) == before


def test_a_hook_of_the_caller_stays(tiny, pair):
    seen = []
    tiny[0].register_forward_hook(lambda module, args, output: seen.append(output))
    activations(tiny, pair, {"first": tiny[0]})
    tiny(pair)
    assert len(seen) == 2


def test_activations_carry_no_gradient(tiny, pair):
    found = activations(tiny, pair.requires_grad_(), {"first": tiny[0]})
    assert not found["first"].requires_grad


# ---- correlation


def values(*shape, part=1):
    return torch.rand(shape, generator=generator(12, part))


def row(*numbers):
    """One image of one channel."""
    return torch.tensor(numbers, dtype=torch.float32).reshape(1, 1, 1, -1)


@pytest.mark.parametrize(
    ("clean", "attacked", "expected"),
    [
        (row(1, 2, 4), row(1, 2, 4), 1),
        (row(1, 2, 4), row(7, 9, 13), 1),  # 2a + 5
        (row(1, 2, 4), row(3, 2, 0), -1),  # 4 - a
        (row(1, 2, 1, 2), row(1, 1, 2, 2), 0),
        (row(1, 2, 3), row(1, 3, 2), 0.5),
        (row(0, 0, 1), row(1, 0, 0), -0.5),
        (row(0, 0, 0, 1), row(0, 0, 1, 1), 3**-0.5),
    ],
)
def test_the_correlation_is_the_one_on_paper(clean, attacked, expected):
    found = correlation(clean, attacked)
    assert found.shape == (1,)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected, abs=1e-7)


def test_the_correlation_is_over_all_channels_and_positions_of_each_image():
    clean, attacked = values(4, 3, 5, 6), values(4, 3, 5, 6, part=2)
    found = correlation(clean, attacked)
    for i in range(4):
        expected = torch.corrcoef(torch.stack([clean[i].flatten(), attacked[i].flatten()]).double())[0, 1]
        assert found[i].item() == pytest.approx(expected.item(), abs=1e-6)


def test_channels_that_are_uncorrelated_alone_correlate_by_their_means():
    clean = torch.tensor([[1.0, -1, 1, -1], [9, 11, 9, 11]]).reshape(1, 2, 2, 2)
    attacked = torch.tensor([[1.0, 1, -1, -1], [9, 9, 11, 11]]).reshape(1, 2, 2, 2)
    assert correlation(clean, attacked).item() == pytest.approx(25 / 26)  # variance 25 between the channels, 1 within
    assert correlation(clean[:, :1], attacked[:, :1]).item() == 0


def test_an_image_is_compared_with_its_own_attack():
    clean = values(3, 2, 4, 4)
    attacked = torch.stack([clean[0], -clean[1], 3 * clean[2] + 1])
    assert correlation(clean, attacked).tolist() == pytest.approx([1, -1, 1], abs=1e-6)


def test_a_small_change_of_large_activations_is_seen():
    noise = values(1, 2, 16, 16) / 100
    assert correlation(1000 + noise, 1000 - noise).item() == pytest.approx(-1, abs=1e-3)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e-3, 7.3])
@pytest.mark.parametrize("side", ["clean", "attacked", "both"])
@pytest.mark.parametrize("pool", [1, 3])
def test_a_constant_activation_has_no_correlation(constant, side, pool):
    clean, attacked = values(2, 3, 7, 9), values(2, 3, 7, 9, part=2)
    flat = [given for given, name in ((clean, "clean"), (attacked, "attacked")) if side in (name, "both")]
    for given in flat:
        given[1] = constant
    found = correlation(clean, attacked, pool=pool)
    assert found.isnan().tolist() == [False, True]


def test_a_constant_activation_in_double_precision_has_no_correlation():
    constant = torch.full((1, 1, 1, 6), 0.1, dtype=torch.float64)
    assert correlation(constant, values(1, 1, 1, 6).double()).isnan().all()


def test_pooling_averages_cells_first():
    stripes = torch.tensor([0.0, 1, 0, 1, 4, 5, 4, 5]).repeat(4, 1).reshape(1, 1, 4, 8)
    moved = torch.tensor([1.0, 0, 1, 0, 5, 4, 5, 4]).repeat(4, 1).reshape(1, 1, 4, 8)
    # variance 4 between the halves, 1/4 within, where the stripes moved
    assert correlation(stripes, moved).item() == pytest.approx((4 - 0.25) / (4 + 0.25))
    assert correlation(stripes, moved, pool=2).item() == pytest.approx(1)
    assert correlation(stripes, moved, pool=4).item() == pytest.approx(1)


def test_a_cell_counts_by_its_mean_and_what_fills_no_cell_is_left_out():
    clean = torch.tensor([0.0, 2, 2, 2, 1, 7, 9]).repeat(3, 1).reshape(1, 1, 3, 7)  # means 1, 2, 4
    attacked = torch.tensor([1.0, 1, 6, 0, 2, 2, -5]).repeat(3, 1).reshape(1, 1, 3, 7)  # means 1, 3, 2
    expected = correlation(row(1, 2, 4), row(1, 3, 2)).item()
    assert correlation(clean, attacked, pool=2).item() == pytest.approx(expected, abs=1e-7)


def test_pooling_keeps_channels_apart():
    clean = torch.tensor([1.0, 2, 4]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2)
    attacked = torch.tensor([1.0, 3, 2]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2)
    found = correlation(clean, attacked, pool=2)
    assert found.item() == pytest.approx(correlation(row(1, 2, 4), row(1, 3, 2)).item())


def test_a_single_cell_has_no_correlation():
    assert correlation(values(2, 1, 4, 4), values(2, 1, 4, 4, part=2), pool=4).isnan().all()


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 3, 4, 4), (2, 1, 4, 4), (2, 3, 16)])
def test_activations_of_other_shapes_are_an_error(shape):
    with pytest.raises(ValueError, match=r"^activations have shapes \(2, 3, 4, 4\) and \(.*\), expected the same$"):
        correlation(values(2, 3, 4, 4), values(*shape))
