import pytest
import torch
from torch import nn

from aecompanion.explain.gradcam import MODES, class_to_explain, explain_classes, gradcam, heatmap, is_zero


@pytest.fixture
def one_convolution():
    """Features A1 = x and A2 = 1 - x of a 2×2 image; logits y0 = 2 ΣA1 - 4 A2[1,1] and y1 = -y0.

    So α1 = (2 + 2 + 2 + 2) / 4 = 2, α2 = -4 / 4 = -1 and the map of class 0 is ReLU(2x - (1 - x)) = ReLU(3x - 1),
    that of class 1 ReLU(1 - 3x).
    """
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(8, 2))
    model[0].weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
    model[0].bias.data = torch.tensor([0.0, 1.0])
    model[2].weight.data = torch.tensor([[2.0, 2, 2, 2, 0, 0, 0, -4], [-2.0, -2, -2, -2, 0, 0, 0, 4]])
    return model


@pytest.fixture
def square():
    return torch.tensor([[0.0, 0.25], [0.5, 1.0]]).reshape(1, 1, 2, 2)


def by_autograd(model, layer, image, target):
    """Grad-CAM of one image, written from the formula."""
    kept = {}
    handle = layer.register_forward_hook(lambda module, args, output: kept.update(features=output))
    logits = model(image[None])
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[0, target], kept["features"])
    weights = gradient[0].mean(dim=(1, 2))
    return torch.einsum("k,khw->hw", weights, kept["features"][0]).clamp_min(0).detach()


# ---- the coarse map


@pytest.mark.parametrize(("target", "expected"), [(0, [[0.0, 0.0], [0.5, 2.0]]), (1, [[1.0, 0.25], [0.0, 0.0]])])
def test_the_map_of_a_one_convolution_network_is_the_one_on_paper(one_convolution, square, target, expected):
    coarse = gradcam(one_convolution, square, torch.tensor([target]), layer=one_convolution[0])
    assert coarse.shape == (1, 1, 2, 2)
    assert coarse[0, 0].tolist() == expected


@pytest.mark.parametrize("layer", ["conv1", "norm", "relu", "conv2"])
def test_the_map_equals_grad_cam_written_with_autograd(convolutional, images, labels, layer):
    layer = convolutional.get_submodule(layer)
    coarse = gradcam(convolutional, images, labels, layer=layer)
    expected = torch.stack([by_autograd(convolutional, layer, *pair) for pair in zip(images, labels, strict=True)])
    assert expected.amax() > 0
    assert torch.allclose(coarse[:, 0], expected, rtol=1e-5, atol=1e-6)  # float32 sums over 5 channels of order 1


def test_a_layer_before_an_in_place_activation_is_explained_by_its_own_output(convolutional, images, labels):
    expected = gradcam(convolutional, images, labels, layer=convolutional.norm)
    convolutional.relu.inplace = True
    assert torch.equal(gradcam(convolutional, images, labels, layer=convolutional.norm), expected)


@pytest.mark.parametrize("batch", [1, 2, 5, 100])
def test_the_map_does_not_depend_on_the_batch_size(convolutional, images, labels, batch):
    convolutional, images = convolutional.double(), images.double()
    expected = gradcam(convolutional, images, labels, layer=convolutional.conv2)
    coarse = gradcam(convolutional, images, labels, layer=convolutional.conv2, batch=batch)
    assert torch.allclose(coarse, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layer", ["flatten", "fc"])
def test_a_layer_without_spatial_extent_is_an_error(convolutional, images, labels, layer):
    with pytest.raises(ValueError, match="the layer returns 2-dimensional features"):
        gradcam(convolutional, images, labels, layer=convolutional.get_submodule(layer))


# ---- zero maps and heatmaps


def test_a_map_that_the_relu_emptied_is_flagged_and_its_heatmap_is_zero(one_convolution, square):
    images = torch.cat([square, torch.full((1, 1, 2, 2), 0.25)])  # 3x - 1 < 0 everywhere in the second
    coarse = gradcam(one_convolution, images, torch.tensor([0, 0]), layer=one_convolution[0])
    assert is_zero(coarse).tolist() == [False, True]
    assert torch.equal(heatmap(coarse, 8)[1], torch.zeros(1, 8, 8))


def test_a_heatmap_is_the_map_over_its_maximum(square):
    coarse = torch.cat([8 * square, square / 1024])
    assert torch.equal(heatmap(coarse, 2), torch.cat([square, square]))


def test_a_heatmap_of_subnormal_values_is_finite_and_in_range():
    coarse = torch.tensor([0.0, 1e-40, 2e-40, 3e-40]).reshape(1, 1, 2, 2)
    assert heatmap(coarse, 4).isfinite().all()
    assert heatmap(coarse, 4).max() <= 1


def test_upsampling_is_bilinear_between_pixel_centres():
    coarse = torch.tensor([[0.0, 2.0]]).reshape(1, 1, 1, 2)
    assert heatmap(coarse, (1, 4)).flatten().tolist() == [0.0, 0.25, 0.75, 1.0]


@pytest.mark.parametrize(("size", "shape"), [(8, (5, 1, 8, 8)), ((6, 9), (5, 1, 6, 9))])
def test_a_heatmap_has_the_size_asked_for_and_values_from_0_to_1(convolutional, images, labels, size, shape):
    heat = heatmap(gradcam(convolutional, images, labels, layer=convolutional.conv1), size)
    assert heat.shape == shape
    assert heat.min() >= 0
    assert heat.max() <= 1


# ---- several classes


@pytest.fixture
def classes():
    return torch.tensor([[0, 1, 2, 0, 1], [0, 2, 2, 1, 0], [0, 1, 0, 2, 0]])


def test_explain_classes_equals_gradcam_class_by_class(convolutional, images, classes):
    convolutional, images = convolutional.double(), images.double()
    maps = explain_classes(convolutional, images, classes, layer=convolutional.conv2)
    expected = [gradcam(convolutional, images, row, layer=convolutional.conv2) for row in classes]
    assert torch.allclose(maps, torch.stack(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("batch", [2, 128])
def test_explain_classes_computes_no_image_and_class_twice(convolutional, images, classes, batch):
    passed = []
    convolutional.register_forward_pre_hook(lambda module, args: passed.append(len(args[0])))
    explain_classes(convolutional, images, classes, layer=convolutional.conv2, batch=batch)
    pairs = {(image, int(label)) for row in classes for image, label in enumerate(row)}
    assert sum(passed) == len(pairs) == 10


def test_explaining_one_class_three_times_costs_one_pass(convolutional, images, labels):
    passed = []
    convolutional.register_forward_pre_hook(lambda module, args: passed.append(len(args[0])))
    maps = explain_classes(convolutional, images, labels.expand(3, -1), layer=convolutional.conv2)
    assert passed == [5]
    assert torch.equal(maps[0], maps[1])
    assert torch.equal(maps[0], maps[2])


def test_class_to_explain_takes_the_prediction_or_the_label_its_mode_names():
    options = {"clean": torch.tensor([1]), "attacked": torch.tensor([2]), "labels": torch.tensor([3])}
    assert {mode: class_to_explain(mode, **options).item() for mode in MODES} == {
        "own_pred": 2,
        "clean_pred": 1,
        "true_label": 3,
    }


def test_an_unknown_class_mode_is_an_error_that_names_it():
    zero = torch.zeros(1)
    with pytest.raises(ValueError, match="'predicted' is unknown.*own_pred, clean_pred, true"):
        class_to_explain("predicted", clean=zero, attacked=zero, labels=zero)


# ---- the caller's things


def test_a_model_in_training_mode_is_explained_in_evaluation_mode_and_returned_as_it_was(
    convolutional, images, labels, condition
):
    expected = gradcam(convolutional.eval(), images, labels, layer=convolutional.conv2)
    before = condition(convolutional.train())
    assert torch.equal(gradcam(convolutional, images, labels, layer=convolutional.conv2), expected)
    assert condition(convolutional) == before


@pytest.mark.parametrize("where", ["conv1", "fc"])  # before and after the layer that is explained
def test_the_model_is_returned_as_it_was_when_it_raises(convolutional, images, labels, condition, fail_on_call, where):
    fail_on_call(convolutional.train().get_submodule(where), 2)
    before = condition(convolutional)
    with pytest.raises(RuntimeError, match="call 2"):
        gradcam(convolutional, images, labels, layer=convolutional.conv2, batch=2)
    assert condition(convolutional) == before


@pytest.mark.parametrize("requires_grad", [False, True])
def test_the_callers_images_are_unchanged(convolutional, images, labels, requires_grad):
    original = images.clone()
    coarse = gradcam(convolutional, images.requires_grad_(requires_grad), labels, layer=convolutional.conv2)
    assert torch.equal(images.detach(), original)
    assert images.requires_grad == requires_grad
    assert images.grad is None
    assert not coarse.requires_grad
