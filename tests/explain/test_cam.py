import pytest
import torch
from torch import nn

from aecompanion.explain.cam import cam, hottest
from aecompanion.explain.gradcam import gradcam
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator


@pytest.fixture
def two_maps():
    """Features A1 = x and A2 = 1 - x of a 2×2 image, averaged; y0 = 2 A1 - A2 and y1 = A2, so that

    M_0 = 2x - (1 - x) = 3x - 1 and M_1 = 1 - x.
    """
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    model[0].weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
    model[0].bias.data = torch.tensor([0.0, 1.0])
    model[3].weight.data = torch.tensor([[2.0, -1.0], [0.0, 1.0]])
    model[3].bias.data = torch.tensor([0.5, 0.0])
    return model


@pytest.fixture
def square():
    return torch.tensor([[0.0, 0.25], [0.5, 1.0]]).reshape(1, 1, 2, 2)


@pytest.fixture
def gap():
    return create("compact/gap", classes=4, channels=3, size=64, seed=3).eval()


@pytest.fixture
def photos():
    return torch.rand(5, 3, 64, 64, generator=generator(3, 1))


CLASSES = torch.tensor([0, 1, 2, 3, 1])

# ---- the map


@pytest.mark.parametrize(("target", "expected"), [(0, [[-1.0, -0.25], [0.5, 2.0]]), (1, [[1.0, 0.75], [0.5, 0.0]])])
def test_the_map_of_hand_made_weights_is_the_one_on_paper_not_rectified(two_maps, square, target, expected):
    maps = cam(two_maps, square, torch.tensor([target]), layer=two_maps[0], linear=two_maps[3])
    assert maps.shape == (1, 1, 2, 2)
    assert maps[0, 0].tolist() == expected


def test_every_image_is_explained_for_its_own_class(two_maps, square):
    maps = cam(two_maps, square.expand(3, -1, -1, -1), torch.tensor([1, 0, 1]), layer=two_maps[0], linear=two_maps[3])
    assert maps[:, 0, 1, 1].tolist() == [0.0, 2.0, 0.0]


def test_the_mean_of_the_map_is_the_logit_without_its_bias(gap, photos):
    linear = gap.body.head[2]
    maps = cam(gap, photos, CLASSES, layer=gap.cam_layer(), linear=linear)
    expected = (gap(photos) - linear.bias)[torch.arange(5), CLASSES].detach()
    assert torch.allclose(maps.mean((1, 2, 3)), expected, rtol=0, atol=1e-5)


def test_the_rectified_map_over_its_pixels_is_grad_cam_of_the_last_layer(gap, photos):
    layer = gap.cam_layer()
    maps = cam(gap, photos, CLASSES, layer=layer, linear=gap.body.head[2])
    assert maps.shape == (5, 1, 8, 8)
    expected = gradcam(gap, photos, CLASSES, layer=layer)
    assert expected.amax() > 0
    assert torch.allclose(maps.clamp_min(0) / (8 * 8), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_map_does_not_depend_on_the_batch_size(gap, photos, batch):
    gap, photos = gap.double(), photos.double()
    options = {"layer": gap.cam_layer(), "linear": gap.body.head[2]}
    expected = cam(gap, photos, CLASSES, **options)
    assert torch.allclose(cam(gap, photos, CLASSES, **options, batch=batch), expected, rtol=0, atol=1e-12)


def test_a_linear_layer_of_other_features_is_an_error(gap, photos):
    with pytest.raises(ValueError, match="the linear layer takes 96 features, the layer has 64"):
        cam(gap, photos, CLASSES, layer=gap.cam_layer("stage3"), linear=gap.body.head[2])


def test_one_class_for_several_images_is_an_error(two_maps, square):
    with pytest.raises((ValueError, RuntimeError)):
        cam(two_maps, square.expand(3, -1, -1, -1), torch.tensor([1]), layer=two_maps[0], linear=two_maps[3])


def test_the_network_is_explained_in_evaluation_mode_and_returned_as_it_was(gap, photos, condition, fail_on_call):
    options = {"layer": gap.cam_layer(), "linear": gap.body.head[2]}
    expected = cam(gap, photos, CLASSES, **options)
    before = condition(gap.train())
    found = cam(gap, photos, CLASSES, **options)
    assert torch.equal(found, expected)
    assert not found.requires_grad
    assert condition(gap) == before
    fail_on_call(gap.body.head, 2)
    before = condition(gap)
    with pytest.raises(RuntimeError, match="call 2"):
        cam(gap, photos, CLASSES, **options, batch=2)
    assert condition(gap) == before


# ---- regions of a given area


@pytest.fixture
def maps():
    return torch.tensor([[[0.5, -1.0, 3.0], [2.0, 0.0, 1.0]], [[9.0, 8.0, 7.0], [6.0, 5.0, 4.0]]])[:, None]


@pytest.mark.parametrize(
    ("areas", "expected"),
    [
        ([1, 1], [[0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]]),
        ([3, 2], [[0, 0, 1, 1, 0, 1], [1, 1, 0, 0, 0, 0]]),
        ([5, 6], [[1, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]]),
    ],
)
def test_the_hottest_pixels_are_the_largest_values_of_each_map(maps, areas, expected):
    found = hottest(maps, torch.tensor(areas))
    assert found.dtype == torch.bool
    assert found.shape == maps.shape
    assert found.flatten(1).long().tolist() == expected


def test_ties_go_to_the_earlier_pixel():
    tied = torch.tensor([[1.0, 2.0, 2.0], [2.0, 0.0, 2.0]]).expand(4, 1, 2, 3)
    found = hottest(tied, torch.tensor([1, 2, 3, 5])).flatten(1).long().tolist()
    assert found == [[0, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0], [1, 1, 1, 1, 0, 1]]
    zero = hottest(torch.zeros(1, 1, 16, 16), torch.tensor([37]))
    assert zero.flatten().nonzero()[:, 0].tolist() == list(range(37))


@pytest.mark.parametrize("seed", range(5))
def test_the_area_is_exact_and_nothing_outside_is_hotter(seed):
    maps = torch.randint(0, 9, (6, 1, 7, 5), generator=generator(seed, 2)).float()
    areas = torch.randint(1, 36, (6,), generator=generator(seed, 3))
    found = hottest(maps, areas)
    assert torch.equal(found.flatten(1).sum(1), areas)
    for heat, region in zip(maps, found, strict=True):
        assert region.all() or heat[region].min() >= heat[~region].max()


@pytest.mark.parametrize("areas", [[0, 1], [1, 7], [-1, 2]])
def test_an_area_below_one_or_above_the_image_is_an_error(maps, areas):
    with pytest.raises(ValueError, match=f"areas span \\[{min(areas)}, {max(areas)}\\], expected 1 to 6 pixels"):
        hottest(maps, torch.tensor(areas))
