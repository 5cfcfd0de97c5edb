import functools
import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from captum.attr import Occlusion
from scipy.ndimage import gaussian_filter
from skimage.restoration import inpaint_biharmonic
from support import mask_of
from torch import nn

from aecompanion.explain import causal_effect
from aecompanion.explain.causal_effect import blocks, expected_effect
from aecompanion.explain.fills import FILLS, replace
from aecompanion.networks.read import probabilities, squashed
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.train.causal_autoencoder import CausalAutoencoder, cut

# the networks here have no card
block_effects, concept_effects, latent_effects, region_effects, released_effects = (
    functools.partial(getattr(causal_effect, name), multi_label=False)
    for name in (
        "block_effects",
        "concept_effects",
        "latent_effects",
        "region_effects",
        "released_effects",
    )
)
EXACT = {"rtol": 0, "atol": 1e-12}  # float64 in another order of summation


def bottleneck(encode, decode, bias=None):
    """One 1×1 convolution each way with the given matrices K×C and C×K, biases zero but for the last."""
    encode, decode = torch.as_tensor(encode), torch.as_tensor(decode)
    autoencoder = CausalAutoencoder(encode.shape[1], encoder=(len(encode),), decoder=(), kernel=1)
    autoencoder.encode[0].weight.data = encode[..., None, None].clone()
    autoencoder.decode[0].weight.data = decode[..., None, None].clone()
    autoencoder.encode[0].bias.data.zero_()
    autoencoder.decode[0].bias.data = torch.zeros(len(decode)) if bias is None else torch.tensor(bias)
    return autoencoder


def constant(*pairs):
    """Images N×2×4×4 whose two channels are constant."""
    return torch.tensor(pairs)[..., None, None].expand(-1, -1, 4, 4).clone()


@pytest.fixture
def two_channels():
    """Logit k is the mean of channel k of a two-channel image; the layer to cut is the image itself."""
    layers = OrderedDict(features=nn.Identity(), pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten())
    model = nn.Sequential(layers)
    model.card = {"multi_label": False}
    return model


@pytest.fixture
def identity():
    return bottleneck(torch.eye(2), torch.eye(2))


@pytest.fixture
def double(convolutional, images):
    return convolutional.double(), images.double()


class Shortcut(nn.Module):
    """Mean of x + inner(x) per channel: a connection leads past `inner`."""

    card = {"multi_label": False}

    def __init__(self):
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, images):
        return (images + self.inner(images)).mean((2, 3))


# ---- the formula


def test_probabilities_are_those_of_one_or_of_several_labels():
    logits = torch.tensor([[0.0, math.log(3.0)]])
    assert squashed(logits, multi_label=False).tolist() == [pytest.approx([0.25, 0.75])]
    assert squashed(logits, multi_label=True).tolist() == [pytest.approx([0.5, 0.75])]


@pytest.mark.parametrize(
    ("p", "p_do", "expected"),
    [
        ([0.75, 0.25], [0.5, 0.5], -0.125),  # 3/4 · -1/4 + 1/4 · 1/4
        ([1.0, 0.0], [0.25, 0.75], -0.75),  # one-hot: p'_y - 1
        ([0.5, 0.5], [0.875, 0.125], 0.0),  # uniform: the effects cancel
        ([1.0, 1.0], [0.5, 0.25], -0.625),  # two labels: 1/2 · -1/2 + 1/2 · -3/4
        ([0.5, 0.25], [0.5, 1.0], 0.25),  # two labels: 1/3 · 3/4
        ([0.0, 0.0], [1.0, 1.0], 0.0),  # nothing to weight by
    ],
)
def test_the_expected_effect_is_the_one_on_paper(p, p_do, expected):
    assert expected_effect(torch.tensor([p]), torch.tensor([p_do])).tolist() == [pytest.approx(expected)]


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_weights_of_the_expected_effect_sum_to_one(multi_label):
    p = squashed(torch.randn(6, 5, generator=generator(2, 1)).double(), multi_label=multi_label)
    assert torch.allclose(expected_effect(p, p + 0.125), torch.full((6,), 0.125).double(), **EXACT)
    assert torch.equal(expected_effect(p, p), torch.zeros(6).double())


def test_with_one_label_the_expected_effect_is_the_inner_product_less_the_squared_norm():
    p, p_do = torch.randn(2, 6, 5, generator=generator(2, 2)).double().softmax(-1)
    assert torch.allclose(expected_effect(p, p_do), (p * p_do).sum(1) - p.square().sum(1), **EXACT)


def test_the_expected_effect_takes_interventions_in_front():
    p, p_do = torch.rand(4, 3, generator=generator(2, 3)), torch.rand(7, 2, 4, 3, generator=generator(2, 4))
    found = expected_effect(p, p_do)
    assert found.shape == (7, 2, 4)
    assert torch.equal(found[5, 1], expected_effect(p, p_do[5, 1]))


# ---- latent features


@pytest.mark.parametrize("multi_label", [False, True])
def test_zeroing_a_channel_removes_exactly_its_logit(two_channels, identity, multi_label):
    images = constant([0.75, 0.25], [0.5, 1.0])
    found = latent_effects(two_channels, images, layer="features", autoencoder=identity, multi_label=multi_label)
    logits = torch.tensor([[[0.0, 0.25], [0.0, 1.0]], [[0.75, 0.0], [0.5, 0.0]]])  # channel, image, class
    assert torch.equal(found.p_do, torch.stack([squashed(rows, multi_label=multi_label) for rows in logits]))
    expected = squashed(torch.tensor([[0.75, 0.25], [0.5, 1.0]]), multi_label=multi_label)
    assert torch.equal(found.p, expected)
    assert torch.equal(found.effects, found.p_do - expected)
    if multi_label:
        assert (found.effects != 0).tolist() == [[[True, False]] * 2, [[False, True]] * 2]


def test_a_perfect_autoencoder_has_no_effect_of_its_own(convolutional, images):
    perfect = bottleneck(torch.eye(4), torch.eye(4))
    found = latent_effects(convolutional, images, layer="conv1", autoencoder=perfect)
    # a product with the identity is exact, but some processors add the next layer's terms in another order
    torch.testing.assert_close(found.p_through, found.p, atol=1e-6, rtol=0)
    assert found.baseline.tolist() == pytest.approx([0.0] * 5, abs=1e-6)
    assert found.error.tolist() == pytest.approx([0.0] * 5, abs=1e-6)
    assert found.expected.abs().max() > 1e-3


def test_the_effects_of_an_imperfect_autoencoder_are_counted_from_its_own(two_channels):
    """The bottleneck doubles channel 0 and loses channel 1, whose code therefore does nothing."""
    doubles = bottleneck(torch.eye(2), torch.diag(torch.tensor([2.0, 0.0])))
    found = latent_effects(two_channels, constant([0.5, 0.75]), layer="features", autoencoder=doubles)
    p, through, zeroed = (torch.tensor([logits]).softmax(1) for logits in ([0.5, 0.75], [1.0, 0.0], [0.0, 0.0]))
    assert torch.equal(found.p, p)
    assert torch.equal(found.p_through, through)
    assert torch.equal(found.effects, torch.stack([zeroed - through, torch.zeros(1, 2)]))
    assert torch.equal(found.baseline, (p * (through - p)).sum(1) / p.sum(1))
    assert torch.allclose(found.expected[0], (p * (zeroed - p)).sum(1), rtol=0, atol=1e-7)
    assert torch.equal(found.expected[1], found.baseline)


def test_the_error_of_every_image_is_the_one_on_paper(two_channels):
    autoencoder = bottleneck(torch.eye(2), torch.diag(torch.tensor([1.0, 0.5])), bias=[0.25, 0.0])
    images = constant([0.5, 0.5], [1.0, 0.0], [0.0, 1.0])  # |1/4| and half of channel 1, averaged
    for batch in (1, 2, 3):
        found = latent_effects(two_channels, images, layer="features", autoencoder=autoencoder, batch=batch)
        assert found.error.tolist() == [0.25, 0.125, 0.375]


def one_by_one(model, images, layer, autoencoder, channels, multi_label):
    """The same with a forward pass of its own for every image and channel."""

    def passed(image, change=None):
        def through(activations):
            code = autoencoder.encode(activations).clone()
            if change is not None and change >= 0:
                code[:, change] = 0
            return autoencoder.decode(code)

        with torch.no_grad():
            if change is None:
                return squashed(model(image[None]), multi_label=multi_label)[0]
            with cut(model, layer, through):
                return squashed(model(image[None]), multi_label=multi_label)[0]

    rows = [torch.stack([passed(image, change) for image in images]) for change in (None, -1, *channels)]
    return rows[0], rows[1], torch.stack(rows[2:])


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 16])
@pytest.mark.parametrize("layer", ["conv1", "norm", "conv2"])
def test_latent_effects_equal_separate_forward_passes(double, layer, batch, multi_label):
    model, images = double
    with seeded(2, 5):
        width = 5 if layer == "conv2" else 4
        autoencoder = CausalAutoencoder(width, encoder=(6, 3), decoder=(2,)).double()
    options = {"autoencoder": autoencoder, "multi_label": multi_label}
    expected = one_by_one(model, images, layer, channels=range(3), **options)
    model.relu.inplace = True
    found = latent_effects(model, images, layer=layer, **options, batch=batch)
    for values, reference in zip((found.p, found.p_through, found.p_do), expected, strict=True):
        assert torch.allclose(values, reference, **EXACT)
    assert found.effects.shape == (3, 5, 3)
    assert found.effects.abs().amax((1, 2)).min() > 0


@pytest.mark.parametrize("channels", [[1], [2, 0], [1, 1]])
def test_a_subset_of_the_channels_gives_those_rows(double, channels):
    model, images = double
    with seeded(2, 6):
        options = {"layer": "conv1", "autoencoder": CausalAutoencoder(4, encoder=(3,)).double()}
    every, some = latent_effects(model, images, **options), latent_effects(model, images, **options, channels=channels)
    assert torch.allclose(some.p_do, every.p_do[channels], **EXACT)
    assert torch.allclose(some.expected, every.expected[channels], **EXACT)
    assert torch.allclose(some.baseline, every.baseline, **EXACT)


def test_the_part_before_the_layer_runs_once_per_image(convolutional, images):
    before, behind = [], []
    convolutional.conv1.register_forward_pre_hook(lambda module, args: before.append(len(args[0])))
    convolutional.conv2.register_forward_pre_hook(lambda module, args: behind.append(len(args[0])))
    options = {"layer": "norm", "autoencoder": CausalAutoencoder(4, encoder=(3,))}
    latent_effects(convolutional, images, **options, batch=3)
    assert before == [3, 2]
    assert behind == [(3 + 2) * 3, (3 + 2) * 2]


def test_latent_effects_read_several_labels_from_the_card(two_channels, identity):
    two_channels.card = {"multi_label": True}
    found = causal_effect.latent_effects(two_channels, constant([0.0, 0.0]), layer="features", autoencoder=identity)
    assert found.p.tolist() == [[0.5, 0.5]]
    assert torch.equal(probabilities(two_channels, constant([0.0, 0.0])), found.p)


def test_without_a_card_and_without_being_told_there_is_no_effect(two_channels, identity):
    del two_channels.card
    images, told = constant([0.0, 0.0]), "has no card that says whether its outputs are sigmoids or a softmax"
    for call in (
        lambda: causal_effect.latent_effects(two_channels, images, layer="features", autoencoder=identity),
        lambda: probabilities(two_channels, images),
        lambda: causal_effect.region_effects(two_channels, images, mask_of(1, 1, 4), fill="mean"),
        lambda: causal_effect.block_effects(two_channels, images, 0, per_side=2),
        lambda: causal_effect.concept_effects(nn.Linear(3, 2), torch.zeros(1, 3)),
    ):
        with pytest.raises(ValueError, match=told):
            call()


@pytest.mark.parametrize("channel", [-1, 2, 7])
def test_a_channel_that_does_not_exist_is_an_error(two_channels, identity, channel):
    with pytest.raises(ValueError, match=f"channel {channel} does not exist, the code has 2 channels"):
        latent_effects(
            two_channels, constant([1.0, 0.0]), layer="features", autoencoder=identity, channels=[0, channel]
        )


def test_an_unknown_layer_is_an_error_that_names_it(two_channels, identity):
    with pytest.raises(ValueError, match="layer 'stage9' does not exist in Sequential, its parts are: features, pool"):
        latent_effects(two_channels, constant([1.0, 0.0]), layer="stage9", autoencoder=identity)


def test_a_connection_that_leads_past_the_layer_is_an_error(identity, condition):
    model = Shortcut()
    before = condition(model)
    with pytest.raises(ValueError, match="layer 'inner' cannot be cut open: a connection leads past it"):
        latent_effects(model, constant([1.0, 0.0], [0.0, 1.0]), layer="inner", autoencoder=identity)
    assert condition(model) == before


def test_a_connection_that_leads_past_the_layer_is_an_error_also_for_one_image(identity):
    with pytest.raises(ValueError, match="a connection leads past it"):
        latent_effects(Shortcut(), constant([1.0, 0.0]), layer="inner", autoencoder=identity)


def test_an_autoencoder_of_another_width_is_not_reported_as_a_shortcut(convolutional, images):
    with pytest.raises((ValueError, RuntimeError)) as raised:
        latent_effects(convolutional, images, layer="conv1", autoencoder=CausalAutoencoder(5))
    assert "leads past" not in str(raised.value)


def test_a_layer_that_does_not_run_is_an_error(two_channels, identity):
    with pytest.raises(ValueError, match="run"):
        latent_effects(two_channels, constant([1.0, 0.0]), layer=nn.ReLU(), autoencoder=identity)


def test_a_layer_that_runs_twice_is_an_error(two_channels, identity):
    twice = nn.Sequential(two_channels.features, two_channels.features, *two_channels[1:])
    twice.card = two_channels.card
    with pytest.raises(ValueError, match="run"):
        latent_effects(twice, constant([1.0, 0.0]), layer="0", autoencoder=identity)


@pytest.mark.parametrize("where", ["conv1", "fc"])  # before and after the layer that is cut
def test_latent_effects_borrow_network_and_autoencoder_also_when_the_network_raises(
    convolutional, images, condition, fail_on_call, where
):
    with seeded(2, 7):
        autoencoder = CausalAutoencoder(4, encoder=(3,))
    options = {"layer": "norm", "autoencoder": autoencoder}
    expected = latent_effects(convolutional, images, **options)
    before, other = condition(convolutional.train()), condition(autoencoder.train())
    assert torch.equal(latent_effects(convolutional, images, **options).p_do, expected.p_do)
    assert (condition(convolutional), condition(autoencoder)) == (before, other)
    fail_on_call(convolutional.get_submodule(where), 2)
    before = condition(convolutional)
    with pytest.raises((RuntimeError, ValueError), match="call 2"):
        latent_effects(convolutional, images, **options, batch=2)
    assert (condition(convolutional), condition(autoencoder)) == (before, other)


# ---- the released notebooks


@pytest.fixture
def finding():
    """Channel 0 is 1 in the left half of the image (the finding), channel 1 is 1/4 everywhere."""
    image = torch.zeros(1, 2, 8, 8)
    image[:, 0, :, :4] = 1
    image[:, 1] = 0.25
    return image


@pytest.mark.parametrize("fill", ["mean", "black", "ring"])
@pytest.mark.parametrize("channel", [0, 1])
def test_released_effects_are_the_latent_effects_of_the_masked_image(convolutional, images, masks, fill, channel):
    with seeded(2, 8):
        options = {"layer": "conv1", "autoencoder": CausalAutoencoder(4, encoder=(3,))}
    found = released_effects(convolutional, images, masks, fill=fill, channel=channel, **options)
    masked = latent_effects(convolutional, replace(images, masks, fill), **options)
    assert torch.allclose(found, expected_effect(masked.p, masked.p_do[channel]), rtol=0, atol=1e-6)


def test_released_effects_are_blind_to_the_mask_that_matters(two_channels, identity, finding):
    """With the finding blacked out, channel 0 is zero already: do(c_0 = 0) has nothing left to do, while beside the
    finding, where a mask changes nothing in channel 0, it has its full effect.
    """
    left, right = mask_of(slice(None), slice(0, 4)), mask_of(slice(None), slice(4, 8))
    fill = torch.stack([torch.zeros(8, 8), finding[0, 1]])[None]  # the same image without the finding
    cause = [region_effects(two_channels, finding, mask, fill=fill)[0, 0].item() for mask in (left, right)]
    options = {"layer": "features", "autoencoder": identity, "channel": 0}
    released = [released_effects(two_channels, finding, mask, fill=fill, **options).item() for mask in (left, right)]
    sigmoid = torch.tensor([0.25, -0.25]).sigmoid().tolist()  # logits (1/2, 1/4) and (0, 1/4)
    assert cause == [pytest.approx(sigmoid[1] - sigmoid[0], rel=1e-5), 0.0]
    assert released[0] == 0.0
    assert released[1] == pytest.approx((2 * sigmoid[0] - 1) * (sigmoid[1] - sigmoid[0]), rel=1e-5)


def test_released_effects_of_an_unused_channel_are_zero_for_every_mask(two_channels, finding):
    spare = bottleneck([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    options = {"layer": "features", "autoencoder": spare, "channel": 2, "fill": "white"}
    left = mask_of(slice(None), slice(0, 4))
    assert released_effects(two_channels, finding, left, **options).tolist() == [0.0]
    assert region_effects(two_channels, finding, left, fill="white")[0, 0] < -0.05


# ---- replacing pixels


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(2, 1, 4, 4),  # not boolean
        torch.ones(2, 4, 4, dtype=torch.bool),
        torch.ones(1, 1, 4, 4, dtype=torch.bool),
        torch.ones(2, 2, 4, 4, dtype=torch.bool),
        torch.ones(2, 1, 4, 5, dtype=torch.bool),
    ],
    ids=["float", "3d", "one-for-two", "per-channel", "wider"],
)
def test_masks_of_another_form_are_an_error(tiny, wrong):
    with pytest.raises(ValueError, match="expected torch.bool \\(2, 1, 4, 4\\)"):
        replace(tiny, wrong, "mean")


def test_an_empty_region_is_an_error_that_says_which(tiny, corner):
    corner[1] = False
    with pytest.raises(ValueError, match="region 1 is empty"):
        replace(tiny, corner, "mean")


@pytest.mark.parametrize("shape", [(1, 2, 4, 4), (2, 1, 4, 4), (2, 2, 4, 5)])
def test_a_counterfactual_of_another_shape_is_an_error(tiny, corner, shape):
    with pytest.raises(ValueError, match="images to fill from are .* expected \\(2, 2, 4, 4\\)"):
        replace(tiny, corner, torch.zeros(shape))


# ---- effects of regions


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("fill", [*FILLS, "counterfactual"])
def test_on_a_linear_model_the_effect_has_a_closed_form(linear, images, masks, fill, multi_label):
    model, images = linear.double(), images.double()
    weights, bias = model[1].weight.detach().numpy(), model[1].bias.detach().numpy()
    other = torch.rand(images.shape, generator=generator(2, 11)).double()
    found = region_effects(
        model, images, masks, fill=other if fill == "counterfactual" else fill, multi_label=multi_label
    )
    for image, mask, filling, effect in zip(images.numpy(), masks[:, 0].numpy(), other.numpy(), found, strict=True):
        distance = abs(np.stack(np.indices(mask.shape), -1)[:, :, None] - np.argwhere(mask)).max(-1).min(-1)
        changed = image.copy()
        changed[:, mask] = {
            "mean": image.mean((1, 2))[:, None],
            "ring": image[:, (distance > 0) & (distance <= 3)].mean(1)[:, None],
            "black": 0.0,
            "white": 1.0,
            "blur": gaussian_filter(image, 1.0, mode="mirror", axes=(1, 2), radius=3)[:, mask],
            "inpaint": inpaint_biharmonic(image, mask, channel_axis=0)[:, mask],
            "counterfactual": filling[:, mask],
        }[fill]
        logits = np.stack([bias + weights @ pixels.ravel() for pixels in (image, changed)])
        p = 1 / (1 + np.exp(-logits)) if multi_label else np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        assert abs(effect.numpy() - (p[1] - p[0])).max() < 1e-12


@pytest.mark.parametrize("fill", ["mean", "inpaint"])
def test_known_probabilities_save_a_forward_pass(convolutional, images, masks, fill):
    p = probabilities(convolutional, images)
    passed = []
    convolutional.register_forward_pre_hook(lambda module, args: passed.append(len(args[0])))
    expected = region_effects(convolutional, images, masks, fill=fill)
    assert torch.equal(region_effects(convolutional, images, masks, fill=fill, p=p), expected)
    assert passed == [5, 5, 5]


@pytest.mark.parametrize("batch", [1, 2])
def test_region_effects_do_not_depend_on_the_batch_size(double, masks, batch):
    model, images = double
    expected = region_effects(model, images, masks, fill="ring")
    assert torch.allclose(region_effects(model, images, masks, fill="ring", batch=batch), expected, **EXACT)
    assert torch.allclose(expected.sum(1), torch.zeros(5).double(), **EXACT)  # of one label


@pytest.mark.parametrize("batch", [2, 128])
def test_probabilities_are_predicted_in_evaluation_mode(convolutional, images, condition, batch):
    expected = convolutional(images).softmax(1).detach()
    before = condition(convolutional.train())
    found = probabilities(convolutional, images, batch=batch)
    assert torch.allclose(found, expected, rtol=0, atol=1e-6)
    assert not found.requires_grad
    assert condition(convolutional) == before


def test_the_network_is_returned_as_it_was_when_it_raises(convolutional, images, masks, condition, fail_on_call):
    fail_on_call(convolutional.train(), 2)
    before = condition(convolutional)
    with pytest.raises(RuntimeError, match="call 2"):
        region_effects(convolutional, images, masks, fill="mean")
    assert condition(convolutional) == before


# ---- blocks


@pytest.mark.parametrize(("size", "per_side"), [(64, 10), (28, 10), (8, 3), (8, 8), (12, 4), (5, 1), (7, 6)])
def test_the_blocks_tile_the_image_exactly_once(size, per_side):
    masks = blocks(size, per_side)
    assert masks.dtype == torch.bool
    assert masks.shape == (per_side**2, 1, size, size)
    assert torch.equal(masks.sum(0)[0], torch.ones(size, size, dtype=torch.long))
    sides = {(mask.any(1).sum().item(), mask.any(0).sum().item()) for mask in masks[:, 0]}
    assert {length for side in sides for length in side} <= {size // per_side, -(-size // per_side)}
    for mask in masks[:, 0]:  # every block is a rectangle without holes
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        assert mask.sum() == len(rows) * len(columns)
        assert rows[-1] - rows[0] + 1 == len(rows)
        assert columns[-1] - columns[0] + 1 == len(columns)


def test_the_blocks_are_numbered_row_by_row():
    number = sum(n * mask for n, mask in enumerate(blocks(4, 2)[:, 0].long()))
    assert number.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]


@pytest.mark.parametrize("per_side", [0, -1, 9])
def test_more_blocks_than_pixels_or_none_are_an_error(per_side):
    with pytest.raises(ValueError, match=f"per_side is {per_side}, expected 1 to 8"):
        blocks(8, per_side)


@pytest.mark.parametrize(("fill", "baseline"), [("black", 0.0), ("white", 1.0)])
@pytest.mark.parametrize("per_side", [2, 4, 8])
def test_block_effects_equal_captums_occlusion(convolutional, images, labels, fill, baseline, per_side):
    side = 8 // per_side
    window = (2, side, side)
    occlusion = Occlusion(lambda pixels: convolutional(pixels).softmax(1))
    with torch.no_grad():
        expected = occlusion.attribute(images, window, strides=window, target=labels, baselines=baseline)
    found = block_effects(convolutional, images, labels, per_side=per_side, fill=fill)
    assert found.shape == (5, 1, per_side, per_side)
    assert torch.allclose(found, expected[:, :1, ::side, ::side], rtol=0, atol=1e-6)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("batch", [1, 7, 200])
@pytest.mark.parametrize("fill", ["mean", "counterfactual"])
def test_block_effects_equal_a_loop_over_images_and_blocks(convolutional, images, labels, fill, batch, multi_label):
    filling = 1 - images.flip(3) if fill == "counterfactual" else fill
    found = block_effects(convolutional, images, labels, per_side=3, fill=filling, batch=batch, multi_label=multi_label)
    edges = [0, 3, 6, 8]  # 8 pixels in 3 blocks
    for n, (image, label) in enumerate(zip(images, labels, strict=True)):
        for row in range(3):
            for column in range(3):
                area = (..., slice(*edges[row : row + 2]), slice(*edges[column : column + 2]))
                changed = image.clone()
                mean = image.mean((1, 2))[:, None, None]
                changed[area] = filling[n][area] if fill == "counterfactual" else mean
                p, p_do = squashed(convolutional(torch.stack([image, changed])), multi_label=multi_label)
                lost = (p - p_do)[label].item()
                assert found[n, 0, row, column].item() == pytest.approx(lost, abs=1e-6)


def test_block_effects_work_in_float64(double, labels):
    model, images = double
    masks = blocks(8, 2)
    found = block_effects(model, images, labels, per_side=2)
    effects = [region_effects(model, images, mask.expand(5, 1, 8, 8), fill="mean") for mask in masks]
    expected = -torch.stack(effects, dim=1)[torch.arange(5), :, labels]
    assert torch.allclose(found.flatten(1), expected, **EXACT)


def test_the_block_that_carries_the_evidence_loses_it(two_channels, finding):
    """Only the left half supports class 0; to the right, a block takes evidence for class 1 and class 0 gains."""
    found = block_effects(two_channels, finding, torch.tensor([0]), per_side=2, fill="black")
    left, right = (torch.tensor(logits).sigmoid().item() for logits in (0.5 - 0.25 - 0.25 + 0.0625, 0.25 + 0.0625))
    start = torch.tensor(0.25).sigmoid().item()
    assert start - left > 0 > start - right
    assert found[0, 0].flatten().tolist() == pytest.approx([start - left, start - right] * 2, abs=1e-6)


def test_block_effects_leave_the_callers_things_alone(convolutional, images, labels, condition):
    before, original = condition(convolutional.train()), images.clone()
    block_effects(convolutional, images, labels, per_side=2)
    assert condition(convolutional) == before
    assert torch.equal(images, original)


# ---- concepts


@pytest.fixture
def causes():
    """Concepts: a strong cause, a weak cause, and one that follows the strong cause but causes nothing.

    The decision is sigmoid(2 a + 0.5 b); the head was fitted to its logits by least squares.
    """
    a, b, noise = torch.randn(3, 2000, generator=generator(2, 12)).double()
    concepts = torch.stack([a, b, a + 0.3 * noise], dim=1)
    logits = 2 * a + 0.5 * b
    head = nn.Linear(3, 1, bias=False).double()
    head.weight.data = torch.linalg.lstsq(concepts, logits[:, None]).solution.T
    return head, concepts, logits


def test_parents_rank_above_a_non_parent_that_correlation_ranks_above_the_weaker_parent(causes):
    head, concepts, logits = causes
    effect = concept_effects(head, concepts, multi_label=True).abs().mean((1, 2))
    correlation = torch.corrcoef(torch.cat([concepts.T, logits[None]]))[-1, :3].abs()
    assert effect.argsort(descending=True).tolist() == [0, 1, 2]
    assert effect[2] < 1e-12
    assert effect[1] > 0.05
    assert correlation.argsort(descending=True).tolist() == [0, 2, 1]


@pytest.mark.parametrize("off", [0.0, -1.5, torch.tensor([0.25, -2.0, 1.0])])
def test_the_effect_of_a_concept_has_a_closed_form(causes, off):
    head, concepts, _ = causes
    found = concept_effects(head, concepts, off=off, multi_label=True)
    assert found.shape == (3, 2000, 1)
    values = torch.as_tensor(off).expand(3)
    for j, weight in enumerate(head.weight[0].detach()):
        logits = concepts @ head.weight[0].detach()
        changed = logits + weight * (values[j] - concepts[:, j])
        assert torch.allclose(found[j, :, 0], changed.sigmoid() - logits.sigmoid(), **EXACT)


def test_a_concept_that_is_off_already_has_no_effect_and_of_one_label_effects_sum_to_zero():
    concepts = torch.tensor([[0.0, 1.0, 0.5], [1.0, 0.0, 0.0]])
    with seeded(2, 13):
        head = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    found = concept_effects(head, concepts)
    assert (found.abs().sum(2) > 0).T.tolist() == [[False, True, True], [True, False, False]]
    assert torch.allclose(found.sum(2), torch.zeros(3, 2), rtol=0, atol=1e-6)


def test_the_head_and_the_concepts_are_returned_as_they_were(condition, fail_on_call):
    concepts = torch.rand(4, 3, generator=generator(2, 14))
    with seeded(2, 15):
        head = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 2)).train()
    before, original = condition(head), concepts.clone()
    first = concept_effects(head, concepts)
    assert torch.equal(concept_effects(head, concepts), first)  # no dropout
    assert not first.requires_grad
    assert condition(head) == before
    assert torch.equal(concepts, original)
    fail_on_call(head, 2)
    before = condition(head)
    with pytest.raises(RuntimeError, match="call 2"):
        concept_effects(head, concepts)
    assert condition(head) == before


def test_a_channel_can_be_set_to_the_mean_code_of_other_images(two_channels, identity):
    """Logit k is the mean of channel k, and the code is the image: the level sets logit j to its own mean."""
    images, others = constant((0.25, 0.75), (1.0, 0.0)), constant((0.5, 0.0), (1.0, 0.5))
    options = {"layer": "features", "autoencoder": identity}
    level = causal_effect.mean_code(two_channels, others, **options)
    assert torch.equal(level, constant((0.75, 0.25))[0])
    found = latent_effects(two_channels, images, level=level, **options)
    expected = torch.tensor([[[0.75, 0.75], [0.75, 0.0]], [[0.25, 0.25], [1.0, 0.25]]]).softmax(-1)
    assert torch.allclose(found.p_do, expected, atol=1e-6)
    zero = latent_effects(two_channels, images, level=0 * level, **options)
    assert torch.equal(zero.p_do, latent_effects(two_channels, images, **options).p_do)
