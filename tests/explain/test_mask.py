import dataclasses
import functools
import math

import numpy as np
import pytest
import torch
from scipy.special import rel_entr
from torch import nn
from torch.nn import functional as F

from aecompanion.explain import mask as module
from aecompanion.explain.mask import LOSSES, PUBLISHED, Settings
from aecompanion.explain.mask_loop import Loop, total_variation
from aecompanion.explain.readout import DIVERGENCES
from aecompanion.pipeline.rng import generator

QUIET = {"side": None, "noise": 0.0, "variation": 0.0}  # the image's own resolution, nothing random, nothing smoothed
optimise = functools.partial(module.optimise, multi_label=True)  # the networks here have no card
REMOVERS = ("meaningful", "meaningful_log", "target", "mask", "robust")


class Prescribed(nn.Module):
    """Logits written down for every level (in sixteenths) of an image's first pixel; no pixel has an influence."""

    def __init__(self, logits):
        super().__init__()
        self.register_buffer("table", torch.as_tensor(logits))

    def forward(self, images):
        return self.table[(16 * images[:, 0, 0, 0]).round().long().clamp(0, 16)] + 0 * images.sum((1, 2, 3))[:, None]


def linear(weight, bias):
    """Logits weight · pixels + bias of a 1×2×2 image."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, len(bias)))
    model[1].weight.data, model[1].bias.data = torch.tensor(weight), torch.tensor(bias)
    return model.eval()


def ask(model, settings, target=0, **options):
    """The mask of a white 2×2 image before black: m itself is what the network is shown, 1 - m the reverse image."""
    images = torch.ones(1, 1, 2, 2)
    return optimise(model, images, torch.tensor([target]), torch.zeros_like(images), settings, **options)


def watch(model):
    """All images that the network is shown, one entry per forward pass."""
    shown = []
    model.register_forward_pre_hook(lambda module, args: shown.append(args[0].detach().clone()))
    return shown


@pytest.fixture
def one_pixel():
    """Class 0 is in the first pixel (p .982 with it, .018 without), class 1 nowhere."""
    return linear([[8.0, 0.0, 0.0, 0.0], [0.0] * 4], [-4.0, -4.0])


@pytest.fixture
def double(convolutional, images):
    return convolutional.double(), images.double()


# ---- divergences


# ---- the terms of the prediction


# Level of an image, of its reference, and, with a mask of 1/4, of the masked and of the reverse image, in sixteenths
LEVELS = {"clean": [4, 8, 12], "reference": [0, 4, 8], "masked": [1, 5, 9], "reverse": [3, 7, 11]}
TARGETS = [2, 0, 3]


def constant(levels):
    return (torch.tensor(levels) / 16).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone()


def first_loss(logits, settings, targets=TARGETS, levels=LEVELS, **options):
    """What is minimised, before the first step."""
    images = constant(levels["clean"]), torch.tensor(targets), constant(levels["reference"])
    return optimise(Prescribed(logits), *images, settings, **options).losses[0].numpy()


def on_paper(loss, divergence, p, share, target, others):
    """The prediction terms of one image; p, share: clean, masked and reverse, each K numbers."""

    def log_l1(a, b):
        return np.log2(1 + np.abs(a - b))

    def kl(a, b):
        a, b = np.clip(a, 1e-7, 1 - 1e-7), np.clip(b, 1e-7, 1 - 1e-7)
        return rel_entr(a, b) + rel_entr(1 - a, 1 - b)

    distance = {"log_l1": log_l1, "kl": kl}[divergence]
    (p_o, p_pt, p_rpt), (share_o, share_pt, _) = p, share
    removed = -distance(p_o[target], p_pt[target])
    kept = np.mean([distance(share_o[c], share_pt[c]) for c in others])
    restored = distance(p_o[target], p_rpt[target]) + np.mean([distance(0.0, p_rpt[c]) for c in others])
    return {
        "meaningful": p_pt[target],
        "meaningful_log": -np.log(1 - p_pt[target]),
        "target": removed,
        "mask": removed + kept,
        "robust": removed + kept + restored,
    }[loss]


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("loss", REMOVERS)
def test_every_loss_is_the_one_on_paper(loss, divergence):
    p = np.random.default_rng(3).uniform(0.02, 0.98, (17, 4)).astype(np.float32)
    settings = Settings(loss, **QUIET, start=0.25, steps=1, area=0.0, divergence=divergence)
    found = first_loss(np.log(p / (1 - p)), settings)
    for n, target in enumerate(TARGETS):
        rows = [p[LEVELS[which][n]] for which in ("clean", "masked", "reverse")]
        others = [c for c in range(4) if c != target]
        assert found[n] == pytest.approx(on_paper(loss, divergence, rows, rows, target, others), abs=1e-5)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("meaningful", 0.0003),
        ("meaningful_log", 0.00030),
        ("target", -0.97879),  # -log2(1.9708)
        ("mask", -0.96600),  # + log2(1.0089)
        ("robust", -0.96600 + 0.08611 + 0.71975),  # + log2(1.0615) + log2(1.6469)
    ],
)
def test_the_losses_of_the_papers_sheep_and_dog(loss, expected):
    p = torch.full((17, 2), 0.5)
    p[4], p[1], p[3] = torch.tensor([[0.9711, 0.0111], [0.0003, 0.0022], [0.9096, 0.6469]])
    one = {name: levels[:1] for name, levels in LEVELS.items()}
    settings = Settings(loss, **QUIET, start=0.25, steps=1, area=0.0)
    assert first_loss(p.logit(), settings, [0], one) == pytest.approx([expected], abs=1e-4)


@pytest.mark.parametrize("rivals", [1, 2, 3, 10])
@pytest.mark.parametrize("loss", REMOVERS)
def test_every_loss_of_a_softmax_is_the_one_on_paper(loss, rivals):
    z = np.random.default_rng(4).normal(0, 2, (17, 4)).astype(np.float32)
    settings = Settings(loss, **QUIET, start=0.25, steps=1, area=0.0)
    found = first_loss(z, settings, multi_label=False, rivals=rivals)
    for n, target in enumerate(TARGETS):
        rows = np.exp([z[LEVELS[which][n]] for which in ("clean", "masked", "reverse")])
        without = rows * (np.arange(4) != target)
        p, share = rows / rows.sum(1, keepdims=True), without / without.sum(1, keepdims=True)
        others = np.argsort(-without[0])[:3][:rivals]
        assert found[n] == pytest.approx(on_paper(loss, "log_l1", p, share, target, others), abs=1e-5)


def test_the_extremal_loss_is_the_logit_and_the_distance_to_the_area_asked_for():
    """u = 3/4 shows what the reverse image of the others shows; against one and two ones among four the mean squares
    are 7/16 and 5/16, 3/8 on average; after one of four steps the weight has grown by 16^(1/4) = 2.
    """
    z = np.random.default_rng(5).normal(0, 2, (17, 4)).astype(np.float32)
    settings = Settings("extremal", **QUIET, start=0.25, steps=4, area=0.5, areas=(0.25, 0.5))
    expected = [0.5 * 2 * 3 / 8 - z[LEVELS["reverse"][n], target] for n, target in enumerate(TARGETS)]
    assert first_loss(z, settings) == pytest.approx(expected, abs=1e-5)


# ---- softmax outputs


# ---- the terms of the mask


CORNERS = torch.tensor([[0.0, 0.5], [1.0, 0.25]])[None, None]


@pytest.mark.parametrize("loss", REMOVERS)
@pytest.mark.parametrize("power", [2.0, 3.0])
def test_area_and_variation_add_to_the_loss_with_their_weights(loss, power):
    images, target = torch.ones(1, 1, 2, 2), torch.tensor([0])
    model = Prescribed(torch.full((17, 3), -1.0))

    def value(**weights):
        settings = Settings(loss, **QUIET | {"area": 0.0, "power": power} | weights)
        options = {"multi_label": True, "rivals": 10, "generators": [generator(0, 0)]}
        loop = Loop(model, images, target, torch.zeros_like(images), settings, **options)
        loop.u.data.copy_(CORNERS)
        return loop.loss(1).item()

    without = value()
    assert value(area=4.0) - without == pytest.approx(4 * 0.5625, abs=1e-6)  # (1 + 1/2 + 0 + 3/4) / 4
    expected = 3 * total_variation(CORNERS, power).item()
    assert value(variation=3.0) - without == pytest.approx(expected, abs=1e-5)
    assert value(area=4.0, variation=3.0) - without == pytest.approx(2.25 + expected, abs=1e-5)


def test_the_area_is_that_of_the_mask_the_variation_that_of_its_coarse_cells():
    images = torch.ones(1, 1, 6, 6)
    settings = Settings("meaningful", side=2, noise=0.0, area=2.0, variation=0.5)
    options = {"multi_label": True, "rivals": 10, "generators": [generator(0, 0)]}
    model = Prescribed(torch.full((17, 2), -40.0))
    loop = Loop(model, images, torch.tensor([0]), torch.zeros_like(images), settings, **options)
    loop.u.data.copy_(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    enlarged = F.interpolate(loop.u.detach(), size=(6, 6), mode="bilinear")
    assert loop.loss(1).item() == pytest.approx(2 * (1 - enlarged).mean().item() + 0.5 * 2 * (0.5 + 0.5), abs=1e-6)


# ---- the optimum


@pytest.mark.parametrize("start", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("loss", ["meaningful", "meaningful_log", "target", "mask"])
def test_the_mask_removes_exactly_the_pixel_that_matters(one_pixel, loss, start):
    """With start 1 and no noise D(p‖p) = 0 has no slope: a mask that begins a little lower knows where to go."""
    start = min(start, 0.95) if loss in ("target", "mask") else start
    found = ask(one_pixel, Settings(loss, **QUIET, start=start, steps=40, area=0.2))
    assert found.mask.flatten().tolist() == [0, 1, 1, 1]
    assert found.attribution.flatten().tolist() == [1, 0, 0, 0]
    assert found.stuck.tolist() == [False]


@pytest.mark.parametrize("start", [0.0, 0.5, 0.95])
def test_the_robust_mask_removes_exactly_the_pixel_that_matters(one_pixel, start):
    found = ask(one_pixel, Settings("robust", **QUIET, start=start, steps=40, area=0.2))
    assert found.mask.flatten().tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("loss", ["target", "mask", "robust"])
@pytest.mark.parametrize("position", range(4))
def test_with_a_softmax_too_the_mask_removes_exactly_the_pixel_that_matters(position, loss):
    model = linear([[8.0 * (k == position) for k in range(4)], [0.0] * 4, [0.0] * 4], [-4.0, -4.0, -4.5])
    found = ask(model, Settings(loss, **QUIET, steps=30, area=0.2), multi_label=False)
    assert found.attribution.flatten().tolist() == [float(k == position) for k in range(4)]


GENTLE = {"area": 1.0, "growth": 1000.0}  # the area term is weak until the mask has found an order


@pytest.mark.parametrize("position", range(4))
def test_an_extremal_mask_shows_exactly_the_pixel_that_matters(position):
    model = linear([[8.0 * (k == position) for k in range(4)], [0.0] * 4], [-4.0, -4.0])
    found = ask(model, Settings("extremal", **QUIET, **GENTLE, start=0.5, steps=40, areas=(0.25,)))
    assert found.attribution.flatten().tolist() == [float(k == position) for k in range(4)]


@pytest.mark.parametrize("pair", [(0, 1), (0, 3), (1, 2)])
def test_an_extremal_mask_of_half_the_image_shows_exactly_the_pixels_that_matter(pair):
    model = linear([[8.0 * (k in pair) for k in range(4)], [0.0] * 4], [-4.0, -4.0])
    found = ask(model, Settings("extremal", **QUIET, **GENTLE, start=0.5, steps=40, areas=(0.5,)))
    assert found.attribution.flatten().tolist() == [float(k in pair) for k in range(4)]


def test_the_extremal_map_is_the_mean_over_areas():
    """Of the evidence in two pixels the smaller area shows the first, the larger one both."""
    model = linear([[8.0, 6.0, 0.0, 0.0], [0.0] * 4], [0.0, 0.0])
    settings = Settings("extremal", **QUIET, **GENTLE, start=0.5, steps=80, areas=(0.25, 0.5))
    found = ask(model, settings)
    single = [ask(model, dataclasses.replace(settings, areas=(area,))).attribution for area in (0.25, 0.5)]
    assert torch.allclose(found.attribution, torch.stack(single).mean(0), rtol=0, atol=1e-6)
    assert single[0].sum().item() == pytest.approx(1, abs=0.05)
    assert single[1].flatten().tolist() == pytest.approx([1, 1, 0, 0], abs=0.05)


def test_extremal_masks_of_several_images_keep_to_their_own_areas_and_targets():
    model = linear([[8.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 8.0]], [0.0, 0.0])
    images = torch.ones(3, 1, 2, 2)
    target = torch.tensor([1, 0, 1])
    settings = Settings("extremal", **QUIET, **GENTLE, start=0.5, steps=40, areas=(0.25, 0.5))
    found = optimise(model, images, target, torch.zeros_like(images), settings)
    for n in range(3):
        alone = ask(model, settings, target=int(target[n]))
        assert torch.allclose(found.mask[n], alone.mask[0], rtol=0, atol=1e-6)
    assert found.attribution.flatten(1).argmax(1).tolist() == [3, 0, 3]
    assert found.attribution.flatten(1).amax(1).tolist() == [1, 1, 1]


def patch_logit():
    """Class 0 is the mean of the upper left quarter of a 32×32 image: every pixel counts little."""
    model = nn.Sequential(nn.AdaptiveAvgPool2d(2), linear([[8.0, 0.0, 0.0, 0.0], [0.0] * 4], [-4.0, -4.0]))
    images = torch.ones(1, 1, 32, 32)

    def share(settings):
        found = optimise(model, images, torch.tensor([0]), torch.zeros_like(images), settings).attribution
        return (found[..., :16, :16].sum() / found.sum()).item()

    return share


def test_a_gentle_area_term_lets_the_evidence_decide():
    settings = Settings("extremal", side=32, start=0.5, steps=60, area=3.0, variation=0.0, noise=0.0)
    assert patch_logit()(settings) > 0.9


@pytest.fixture
def shared_evidence():
    """The first two pixels hold the target (both are needed), the first one a non-target as well."""
    return linear([[6.0, 6.0, 0.0, 0.0], [6.0, 0.0, 0.0, 0.0]], [-9.0, -3.0])


def test_keeping_the_non_targets_decides_between_two_pixels_of_the_same_effect(shared_evidence):
    settings = Settings("target", **QUIET, steps=100, area=0.1)
    first, second, *rest = ask(shared_evidence, settings).mask.flatten().tolist()
    assert first == second < 0.5  # the target alone is indifferent
    assert rest == [1, 1]
    found = ask(shared_evidence, dataclasses.replace(settings, loss="mask"))
    assert found.mask.flatten().tolist() == pytest.approx([1, 0, 1, 1], abs=0.02)


def test_the_reverse_image_must_hold_the_target():
    """Without the first pixel the target is gone, but only both bring it back."""
    model = linear([[7.0, 5.0, 0.0, 0.0], [0.0] * 4], [-9.0, -4.0])
    settings = Settings("mask", **QUIET, steps=100, area=0.3)
    assert ask(model, settings).mask.flatten().tolist() == pytest.approx([0, 1, 1, 1], abs=0.02)
    found = ask(model, dataclasses.replace(settings, loss="robust"))
    assert found.mask.flatten().tolist() == pytest.approx([0, 0, 1, 1], abs=0.02)


def test_the_reverse_image_must_not_hold_a_non_target():
    """The first pixel holds both classes; the second one suppresses the non-target where it is shown."""
    model = linear([[8.0, 0.0, 0.0, 0.0], [8.0, -8.0, 0.0, 0.0]], [-4.0, -4.0])
    settings = Settings("mask", **QUIET, steps=200, area=0.3)
    alone = ask(model, settings)
    assert alone.mask.flatten().tolist() == pytest.approx([0, 1, 1, 1], abs=0.02)
    found = ask(model, dataclasses.replace(settings, loss="robust"))
    assert found.mask.flatten().tolist() == pytest.approx([0, 0, 1, 1], abs=0.02)
    excited, quiet = (model(1 - each.mask).sigmoid()[0] for each in (alone, found))
    assert excited.tolist() == pytest.approx([0.982, 0.982], abs=0.01)
    assert quiet.tolist() == pytest.approx([0.982, 0.018], abs=0.01)


def test_the_logarithm_does_not_saturate_where_the_class_is_certain():
    model = linear([[20.0, 0.0, 0.0, 0.0], [0.0] * 4], [0.0, 0.0])
    found = ask(model, Settings("meaningful_log", **QUIET, start=1.0, steps=20, area=0.1))
    assert found.losses[0].item() == pytest.approx(20.0, abs=1e-3)
    assert found.mask.flatten().tolist() == [0, 1, 1, 1]


# ---- the same by other means


def single(model, image, reference, target, *, side, steps, start, area, variation, power, lr=0.1):
    """Robust Perturbation of one image, term by term, with Adam written out."""
    size = tuple(image.shape[1:])
    u = torch.full((1, 1, *(size if side is None else (side, side))), start, dtype=image.dtype)
    p_o = model(image[None]).sigmoid()[0].detach()
    others = [c for c in range(len(p_o)) if c != target]
    first = second = torch.zeros_like(u)
    for step in range(1, steps + 1):
        u = u.detach().requires_grad_()
        m = u if side is None else F.interpolate(u, size=size, mode="bilinear", align_corners=False)
        p_pt = model(m * image + (1 - m) * reference).sigmoid()[0]
        p_rpt = model((1 - m) * image + m * reference).sigmoid()[0]
        loss = -torch.log2(1 + (p_o[target] - p_pt[target]).abs())
        loss = loss + sum(torch.log2(1 + (p_o[c] - p_pt[c]).abs()) for c in others) / len(others)
        loss = loss + torch.log2(1 + (p_o[target] - p_rpt[target]).abs())
        loss = loss + sum(torch.log2(1 + p_rpt[c]) for c in others) / len(others)
        loss = loss + area * (1 - m).mean()
        edges = [u[..., 1:, :] - u[..., :-1, :], u[..., :, 1:] - u[..., :, :-1]]
        loss = loss + variation * u.shape[2] * sum(edge.abs().pow(power).mean() for edge in edges)
        (slope,) = torch.autograd.grad(loss, u)
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        corrected = (second / (1 - 0.999**step)).sqrt() + 1e-8
        u = (u.detach() - lr * first / (1 - 0.9**step) / corrected).clamp(0, 1)
    return u if side is None else F.interpolate(u, size=size, mode="bilinear", align_corners=False)[0]


@pytest.mark.parametrize("start", [0.25, 0.5])
@pytest.mark.parametrize(("side", "power"), [(None, 2.0), (4, 2.0), (3, 3.0)])
def test_the_robust_mask_equals_that_of_a_plain_loop(double, labels, side, power, start):
    model, images = double
    shared = {"side": side, "steps": 15, "start": start, "area": 0.1, "variation": 0.01, "power": power}
    references = images.mean((2, 3), keepdim=True).expand_as(images)
    found = optimise(model, images, labels, references, Settings("robust", noise=0.0, **shared)).mask
    assert found.std() > 0.1
    for n, target in enumerate(labels.tolist()):
        expected = single(model, images[n], references[n], target, **shared).reshape(1, 8, 8)
        assert torch.allclose(found[n].double(), expected, rtol=0, atol=1e-5)


# ---- what the network is shown


def test_the_reverse_image_is_what_the_masked_one_lacks(convolutional, images, labels):
    shown = watch(convolutional)
    settings = Settings("robust", side=4, start=0.25, steps=4, noise=0.0, area=0.1)
    references = 1 - images
    found = optimise(convolutional, images, labels, references, settings, record=range(5))
    assert torch.equal(shown[0], images)
    for m, both in zip(found.history[:-1], shown[1:], strict=True):
        masked, reverse = both.chunk(2)
        assert torch.allclose(masked, m * images + (1 - m) * references, rtol=0, atol=1e-6)
        assert torch.allclose(reverse, (1 - m) * images + m * references, rtol=0, atol=1e-6)
        assert torch.allclose(masked + reverse, images + references, rtol=0, atol=1e-6)


def test_an_extremal_step_shows_every_image_at_every_area(convolutional, images, labels):
    shown = watch(convolutional)
    settings = Settings("extremal", side=4, start=0.25, steps=2, noise=0.0, areas=(0.1, 0.9), area=1.0)
    optimise(convolutional, images, labels, torch.zeros_like(images), settings)
    assert torch.allclose(shown[1], 0.75 * images.repeat_interleave(2, 0), rtol=0, atol=1e-6)
    assert not torch.allclose(shown[2][::2], shown[2][1::2], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("loss", "rows"), [*[(loss, 5) for loss in REMOVERS if loss != "robust"], ("robust", 10), ("extremal", 15)]
)
def test_a_step_costs_the_forward_passes_that_the_docs_say(convolutional, images, labels, loss, rows):
    shown = watch(convolutional)
    settings = Settings(loss, side=4, steps=3, areas=(0.1, 0.2, 0.5))
    optimise(convolutional, images, labels, torch.zeros_like(images), settings)
    assert [len(each) for each in shown] == [5] + [rows] * 3


def test_noise_is_as_strong_as_asked_for_and_new_at_every_step_and_image():
    model = linear([[0.0] * 4] * 2, [0.0, 0.0])
    model = nn.Sequential(nn.AdaptiveAvgPool2d(2), model)
    shown = watch(model)
    images = torch.full((3, 1, 64, 64), 0.5)
    settings = Settings("robust", side=4, steps=4, noise=0.1, area=0.0, variation=0.0)
    optimise(model, images, torch.zeros(3, dtype=torch.long), images, settings)
    assert torch.equal(shown[0], images)  # the clean image has none
    fields = torch.cat(shown[1:]) - 0.5  # 4 steps × (3 masked and 3 reverse images)
    assert fields.std().item() == pytest.approx(0.1, rel=0.02)
    assert fields.mean().abs() < 0.002
    correlation = torch.corrcoef(fields.flatten(1)) - torch.eye(24)
    assert correlation.abs().max() < 0.1


@pytest.mark.parametrize("loss", ["meaningful", "robust"])
def test_jitter_shifts_an_image_and_its_reverse_by_up_to_so_many_pixels(loss):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(2), linear([[0.0] * 4] * 2, [0.0, 0.0]))
    shown = watch(model)
    images = torch.rand(2, 1, 8, 8, generator=generator(3, 6))
    settings = Settings(loss, side=4, start=1.0, steps=60, noise=0.0, jitter=1, area=0.0, variation=0.0)
    references = torch.rand(2, 1, 8, 8, generator=generator(3, 7))
    optimise(model, images, torch.tensor([0, 1]), references, settings)
    shifts = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    taken = []
    for each in shown[1:]:
        for n in range(2):
            (shift,) = [s for s in shifts if torch.allclose(each[n], images[n].roll(s, (1, 2)), atol=1e-6)]
            if loss == "robust":
                assert torch.allclose(each[2 + n], references[n].roll(shift, (1, 2)), atol=1e-6)
            taken.append((n, shift))
    assert {shift for _, shift in taken} == set(shifts)
    assert taken[::2] != [(0, shift) for _, shift in taken[1::2]]


# ---- start and end


@pytest.mark.parametrize("start", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_mask_starts_where_it_is_told(convolutional, images, labels, loss, start):
    settings = Settings(loss, side=4, start=start, steps=1)
    found = optimise(convolutional, images, labels, torch.zeros_like(images), settings, record=[0])
    assert torch.allclose(found.history[0], torch.full((5, 1, 8, 8), start), rtol=0, atol=1e-6)


def test_a_network_that_says_the_same_of_everything_leaves_a_full_mask_where_it_was():
    model = Prescribed(torch.full((17, 3), 9.0))
    found = ask(model, Settings("robust", side=None, start=1.0, steps=20))
    assert found.stuck.tolist() == [True]
    assert found.mask.flatten().tolist() == [1] * 4
    found = ask(model, Settings("robust", side=None, start=0.0, steps=20))
    assert found.stuck.tolist() == [False]
    assert found.mask.flatten().tolist() == [1] * 4
    found = ask(model, Settings("meaningful", **QUIET, start=0.5, steps=20, area=0.0))
    assert found.stuck.tolist() == [True]
    assert found.mask.flatten().tolist() == [0.5] * 4


def test_of_a_batch_only_the_mask_without_evidence_is_stuck(one_pixel):
    images = torch.ones(3, 1, 2, 2)
    images[1, 0, 0, 0] = 0  # what a mask could remove is not there
    settings = Settings("meaningful", **QUIET, start=1.0, steps=20, area=0.1)
    found = optimise(one_pixel, images, torch.zeros(3, dtype=torch.long), torch.zeros_like(images), settings, batch=2)
    assert found.stuck.tolist() == [False, True, False]
    settings = Settings("extremal", **QUIET, start=0.5, steps=20, areas=(0.25, 0.5), area=1.0)
    found = optimise(one_pixel, images, torch.zeros(3, dtype=torch.long), torch.zeros_like(images), settings, batch=2)
    assert found.stuck.shape == (3,)


@pytest.mark.parametrize("side", [None, 2, 5, 16])
@pytest.mark.parametrize("loss", LOSSES)
def test_masks_have_the_size_of_the_image_and_stay_between_zero_and_one(convolutional, images, labels, loss, side):
    settings = Settings(loss, side=side, steps=5, lr=0.5, area=0.1)
    found = optimise(convolutional, images, labels, torch.zeros_like(images), settings, record=range(6))
    for mask in [found.mask, *found.history]:
        assert mask.shape == (5, 1, 8, 8)
        assert -1e-6 <= mask.min() <= mask.max() <= 1 + 1e-6
    assert torch.equal(found.attribution, 1 - found.mask)
    assert found.stuck.dtype == torch.bool
    assert torch.isfinite(found.losses).all()


@pytest.mark.parametrize("size", [37, 50])
def test_a_full_mask_is_not_above_one_at_any_size(size):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(2), linear([[0.0] * 4] * 2, [0.0, 0.0]))
    images = torch.ones(1, 1, size, size)
    settings = Settings("meaningful", side=16, start=1.0, steps=1, noise=0.0)
    found = optimise(model, images, torch.tensor([0]), torch.zeros_like(images), settings)
    assert found.mask.max() <= 1
    assert found.attribution.min() >= 0


def test_images_need_not_be_square():
    model = nn.Sequential(nn.AdaptiveAvgPool2d(2), linear([[8.0, 0.0, 0.0, 0.0], [0.0] * 4], [-4.0, -4.0]))
    images = torch.ones(2, 1, 4, 6)
    for side in (None, 2):
        settings = Settings("robust", side=side, steps=60, noise=0.05, area=0.2, variation=0.0)
        found = optimise(model, images, torch.tensor([0, 0]), torch.zeros_like(images), settings)
        assert found.mask.shape == (2, 1, 4, 6)
        assert found.mask[:, 0, 0, 0].max() < 0.1
        assert found.mask[:, 0, -1, -1].min() > 0.9


def test_an_image_of_one_row_is_an_error():
    """The mean over no pair of rows would be NaN."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    images = torch.ones(1, 1, 1, 2)
    with pytest.raises(ValueError, match="at least 2×2 pixels"):
        optimise(model, images, torch.tensor([0]), 0 * images, Settings("robust", side=None, steps=2))


# ---- the record


def test_steps_are_recorded_in_their_order_from_the_start_to_the_final_mask(convolutional, images, labels):
    settings = Settings("robust", side=4, steps=8, noise=0.0, start=0.25, area=0.1)
    references = torch.zeros_like(images)
    found = optimise(convolutional, images, labels, references, settings, record=[5, 0, 8, 2], batch=2)
    assert [each.shape for each in found.history] == [(5, 1, 8, 8)] * 4
    assert torch.allclose(found.history[0], torch.tensor(0.25), rtol=0, atol=1e-6)
    assert torch.equal(found.history[-1], found.mask)
    for each, steps in zip(found.history[1:], (2, 5, 8), strict=True):
        earlier = dataclasses.replace(settings, steps=steps)
        expected = optimise(convolutional, images, labels, references, earlier, batch=2)
        assert torch.allclose(each, expected.mask, rtol=0, atol=1e-6)
        assert torch.allclose(found.losses[:steps], expected.losses, rtol=0, atol=1e-6)
    assert optimise(convolutional, images, labels, references, settings).history == []


@pytest.mark.parametrize("loss", ["meaningful", "robust", "extremal"])
def test_every_step_of_every_pair_has_a_loss(convolutional, images, labels, loss):
    called = []
    settings = Settings(loss, side=4, steps=6)
    options = {"batch": 2, "progress": called.append}
    found = optimise(convolutional, images, labels, torch.zeros_like(images), settings, **options)
    assert found.losses.shape == (6, 5)
    assert called == [1, 2, 3, 4, 5, 6] * 3
    for part in (found.mask, found.losses):
        assert not part.requires_grad
        assert part.device.type == "cpu"


def test_the_loss_falls(convolutional, images, labels):
    settings = Settings("robust", side=4, steps=30, noise=0.0, start=0.5, area=0.1)
    losses = optimise(convolutional, images, labels, torch.zeros_like(images), settings).losses
    assert (losses[-1] < losses[0]).all()


# ---- noise and batches


@pytest.mark.parametrize("loss", LOSSES)
def test_a_mask_does_not_depend_on_its_batch(double, labels, loss):
    model, images = double
    settings = Settings(loss, side=4, steps=6, noise=0.05, jitter=1, area=0.1, areas=(0.1, 0.3), start=0.25)
    references = images.mean((2, 3), keepdim=True).expand_as(images)
    keys = [11, 3, 7, 2, 5]

    def run(chosen, **options):
        rows = list(chosen)
        parts = images[rows], labels[rows], references[rows]
        found = optimise(model, *parts, settings, keys=[keys[row] for row in rows], **options)
        return found.mask, found.losses.T

    expected = run(range(5))
    cases = [((2,), {}), ((0, 2, 4), {}), (range(5), {"batch": 2}), (range(5), {"batch": 1}), ((4, 1, 3, 0, 2), {})]
    for chosen, options in cases:
        for found, reference in zip(run(chosen, **options), expected, strict=True):
            assert torch.allclose(found, reference[list(chosen)], rtol=0, atol=1e-6)


def test_noise_is_drawn_from_the_seed_and_the_key(convolutional, images, labels):
    settings = Settings("robust", side=4, steps=10, noise=0.3, area=0.1)
    parts = images[[0, 0, 1]], labels[[0, 0, 1]], torch.zeros(3, 2, 8, 8)
    state = torch.get_rng_state()
    found = optimise(convolutional, *parts, settings, keys=[4, 4, 6]).mask
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.allclose(found[0], found[1], rtol=0, atol=1e-6)
    by_default = optimise(convolutional, *parts, settings).mask
    assert torch.equal(by_default, optimise(convolutional, *parts, settings, keys=range(3), seed=0).mask)
    assert (by_default[0] - by_default[1]).abs().max() > 0.01
    assert (found[0] - by_default[0]).abs().max() > 0.01
    other_seed = optimise(convolutional, *parts, settings, keys=[4, 4, 6], seed=1).mask
    assert (found - other_seed).abs().flatten(1).amax(1).min() > 0.01


class Rounding(nn.Module):
    """A linear network whose sums depend on the number of rows in their 13th digit, as those of real networks do."""

    def __init__(self, up):
        super().__init__()
        self.up, self.inner = up, linear([[8.0, 0.0, 0.0, 0.0], [0.0, 4.0, 0.0, 0.0]], [-4.0, -2.0]).double()

    def forward(self, images):
        return self.inner(images) + (1e-13 if len(images) in self.up else 0)


def test_without_noise_a_robust_mask_does_not_depend_on_rounding():
    """Three clean images and six perturbed ones in a step; alone one and two."""
    images = torch.full((3, 1, 2, 2), 0.625).double()
    settings = Settings("robust", **QUIET, steps=1, area=0.01)
    model = Rounding(up=(3, 2))  # together the clean image is a little above its reverse, alone below
    parts = images, torch.zeros(3, dtype=torch.long), torch.zeros_like(images)
    together, alone = (optimise(model, *parts, settings, batch=batch).mask for batch in (3, 1))
    assert torch.allclose(together, alone, rtol=0, atol=1e-6)


# ---- the caller's things


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("loss", ["robust", "extremal"])
def test_the_network_is_returned_as_it_was(convolutional, images, labels, condition, loss, training):
    settings = Settings(loss, side=4, steps=3)
    parts = images, labels, torch.zeros_like(images)
    expected = optimise(convolutional.eval(), *parts, settings)
    convolutional.train(training)
    convolutional.conv2.bias.requires_grad_(False)
    before, state = condition(convolutional), {k: v.clone() for k, v in convolutional.state_dict().items()}
    copies = [each.clone() for each in parts]
    found = optimise(convolutional, *parts, settings)
    assert torch.equal(found.mask, expected.mask)  # in evaluation mode
    assert condition(convolutional) == before
    assert all(torch.equal(value, state[key]) for key, value in convolutional.state_dict().items())
    assert all(torch.equal(*pair) for pair in zip(parts, copies, strict=True))


@pytest.mark.parametrize("call", [1, 2, 4, 5, 7])
def test_the_network_is_returned_as_it_was_when_it_raises(convolutional, images, labels, condition, fail_on_call, call):
    """Four forward passes per batch: calls 1 and 5 are those of the clean images."""
    fail_on_call(convolutional.train(), call)
    before = condition(convolutional)
    with pytest.raises(RuntimeError, match=f"call {call}"):
        optimise(convolutional, images, labels, torch.zeros_like(images), Settings(side=4, steps=3), batch=3)
    assert condition(convolutional) == before


# ---- settings


def test_the_published_settings_are_those_of_the_papers():
    shared = {"lr": 0.1, "jitter": 0, "divergence": "log_l1"}
    mp, rp = (PUBLISHED[name] for name in ("MP", "RP"))
    for settings in (mp, rp):
        assert dataclasses.asdict(settings) | shared == dataclasses.asdict(settings)
    assert (mp.loss, mp.side, mp.start, mp.steps, mp.area, mp.power) == ("meaningful", 28, 1.0, 500, 0.01, 3.0)
    assert mp.variation * 28 == pytest.approx(0.2)
    assert (rp.loss, rp.side, rp.start, rp.steps, rp.area, rp.power) == ("robust", None, 0.0, 150, 5.0, 2.0)
    assert rp.variation * 300 == pytest.approx(20.0)
    assert rp.noise == pytest.approx(0.2 * 0.27, abs=0.005)  # 0.2 in normalised space, standard deviation .27
    ep = PUBLISHED["EP"]
    assert (ep.loss, ep.side, ep.steps) == ("extremal", 32, 800)
    assert set(PUBLISHED) == {"MP", "RP", "EP"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"loss": "bold"}, "loss 'bold' is unknown, expected one of meaningful, meaningful_log, target, mask, robust"),
        ({"divergence": "js"}, "divergence 'js' is unknown, expected one of log_l1, kl"),
        ({"start": -0.1}, "start is -0.1, expected a number in \\[0, 1\\]"),
        ({"start": 1.5}, "start is 1.5, expected a number in \\[0, 1\\]"),
        ({"start": math.nan}, "start is nan"),
        ({"steps": 0}, "steps 0, side 16: expected at least 1 step and a side of at least 2"),
        ({"side": 1}, "steps 150, side 1: expected at least 1 step and a side of at least 2"),
        ({"loss": "extremal", "areas": ()}, "areas are \\(\\), expected shares"),
        ({"loss": "extremal", "areas": (0.1, 1.0)}, "areas are \\(0.1, 1.0\\), expected shares"),
        ({"loss": "extremal", "areas": (0.0,)}, "expected shares of the image inside \\(0, 1\\)"),
    ],
)
def test_wrong_settings_are_an_error(wrong, message):
    with pytest.raises(ValueError, match=message):
        Settings(**wrong)


def test_areas_matter_to_extremal_perturbation_only():
    assert Settings("robust", areas=()).areas == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"references": torch.zeros(2, 1, 2, 3)}, "references \\(2, 1, 2, 3\\)"),
        ({"references": torch.zeros(1, 1, 2, 2)}, "images \\(2, 1, 2, 2\\), references \\(1, 1, 2, 2\\)"),
        ({"target": torch.tensor([0])}, "target is of shape \\(1,\\), expected one class for each of 2 images"),
        ({"keys": [1, 2, 3]}, "and 3 keys: expected n×C×H×W twice and n keys"),
        ({"images": torch.full((2, 1, 2, 2), torch.nan)}, "values that are not finite"),
        ({"references": torch.full((2, 1, 2, 2), torch.inf)}, "values that are not finite"),
        ({"target": torch.tensor([0, 2])}, "target holds 0 to 2, expected class indices below 2"),
        ({"target": torch.tensor([-1, 0])}, "target holds -1 to 0, expected class indices from 0"),
    ],
)
def test_inputs_that_do_not_fit_are_an_error(one_pixel, condition, change, message):
    options = {"images": torch.ones(2, 1, 2, 2), "references": torch.zeros(2, 1, 2, 2), "target": torch.tensor([0, 1])}
    before = condition(one_pixel)
    with pytest.raises(ValueError, match=message):
        optimise(one_pixel, settings=Settings(side=None, steps=1), **options | change)
    assert condition(one_pixel) == before


@pytest.mark.parametrize("shape", [(2, 2, 2), (2, 4)])
def test_images_without_channels_are_an_error_that_says_so(one_pixel, shape):
    images = torch.ones(shape)
    with pytest.raises(ValueError, match="expected n×C×H×W with at least"):
        optimise(one_pixel, images, torch.tensor([0, 1]), 0 * images, Settings(side=None, steps=1))


def test_a_network_of_one_class_is_an_error():
    model = linear([[1.0] * 4], [0.0])
    with pytest.raises(ValueError, match="the network has 1 class, expected at least two"):
        ask(model, Settings(side=None, steps=1))


# ---- equal values under the area constraint


def test_the_area_constraint_prefers_no_place_at_the_start():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    for weights in network.parameters():
        nn.init.zeros_(weights)
    images, target = torch.rand(2, 1, 8, 8), torch.tensor([0, 1])
    settings = Settings("extremal", side=4, steps=5, areas=(0.25,), noise=0.0)
    found = optimise(network, images, target, images * 0, settings)
    assert (found.mask.flatten(1).amax(1) - found.mask.flatten(1).amin(1)).abs().max() < 1e-5
