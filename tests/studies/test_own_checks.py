"""Ten callables that are not what they should be, each answered in one sentence or taken with a note."""

import time

import numpy as np
import pytest
import torch
from torch import nn

from aecompanion.explain.methods import Options
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.studies.own_method import Strength, handed_in

IMAGES = 0.2 + 0.6 * torch.rand(4, 2, 8, 8, generator=generator(6, 1))
LABELS = torch.tensor([0, 2, 1, 0])


@pytest.fixture
def model():
    """In training mode, with batch statistics: what the caller has is what the caller gets back."""
    with seeded(6, 2):
        network = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(256, 3)
        )
    network.card = {"multi_label": False}
    return network


def slope(model, images, target):
    """max over channels of |∂z_c / ∂x|."""
    given = images.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(model(given).gather(1, target[:, None]).sum(), given)
    return found.abs().amax(1, keepdim=True)


def wrong_shape(model, images, target):
    return torch.zeros(len(images), 5)


def not_a_number(model, images, target):
    return slope(model, images, target).index_fill(3, torch.tensor([0]), torch.nan)


def in_place(model, images, target):
    images.mul_(0.5)
    return slope(model, images, target)


def elsewhere(model, images, target):
    return slope(model, images, target).to("meta")


def one_image_only(model, images, target):
    if len(images) > 1:
        raise IndexError("one at a time")
    return slope(model, images, target)[0]


def raises(model, images, target):
    raise KeyError("layer4")


def as_array(model, images, target):
    return slope(model, images, target).numpy().astype(np.float64)


def needs_gradients(model, images, target):
    model(images).gather(1, target[:, None]).sum().backward()
    return images.grad.abs().amax(1, keepdim=True)


def attached(model, images, target):
    given = images.clone().requires_grad_()
    return (given * slope(model, images, target)).sum(1, keepdim=True)


def other_mode(model, images, target):
    found = slope(model, images, target)
    model[1].train()
    return found


def other_weights(model, images, target):
    found = slope(model, images, target)
    model[4].weight.data.mul_(2)
    return found


def hooked(model, images, target):
    model[0].register_forward_hook(lambda *_: None)
    return slope(model, images, target)


def slow(model, images, target):
    began = time.monotonic()
    while time.monotonic() < began + 20:
        time.sleep(0.01)
    return slope(model, images, target)


REFUSED = {
    wrong_shape: "returns 1×5 for 1×2×8×8 images, expected 1×1×8×8",
    not_a_number: "returns 8 of 64 values that are not finite, expected numbers",
    elsewhere: "returns values on the device meta that cannot be read, expected cpu",
    raises: r"raises KeyError \('layer4'\) in test_own_checks.py:\d+, expected an answer",
    other_mode: r"leaves the network in training mode \(1\), expected the network as it was",
    other_weights: r"changes weights of the network \(4.weight\), expected the network as it was",
    hooked: r"leaves hooks on the network \(0\), expected the network as it was",
    slow: "takes more than 0.3 s for one pair, expected less: a faster one, or a larger `limit`",
}
TAKEN = {
    in_place: "changes the images that it is given: each call gets a copy",
    one_image_only: "fails on two images at once: it is called image by image",
    as_array: "returns NumPy values, which are converted",
    needs_gradients: "needs images that ask for gradients, which it is given",
    attached: "returns values attached to a graph, which are detached",
}


def state(model):
    weights = {name: each.clone() for name, each in model.state_dict().items()}
    return weights, [each.training for each in model.modules()], [len(each._forward_hooks) for each in model.modules()]


def unchanged(before, model):
    after = state(model)
    return after[1:] == before[1:] and all(torch.equal(before[0][name], each) for name, each in after[0].items())


@pytest.mark.parametrize("function", REFUSED, ids=lambda each: each.__name__)
def test_what_would_make_numbers_wrong_is_refused_in_one_sentence(model, function):
    before, images = state(model), IMAGES.clone()
    began = time.monotonic()
    with pytest.raises(ValueError, match=f"^explain={function.__name__}: {REFUSED[function]}$"):
        handed_in("explain", function, model, images, LABELS, options=Options(), limit=0.3 if function is slow else 10)
    assert time.monotonic() - began < 5
    assert unchanged(before, model)
    assert torch.equal(images, IMAGES)


@pytest.mark.parametrize("function", TAKEN, ids=lambda each: each.__name__)
def test_the_rest_is_taken_with_a_note_and_answers_as_it_should(model, function):
    before, images = state(model), IMAGES.clone()
    found = handed_in("explain", function, model, images, LABELS, options=Options())
    assert TAKEN[function] in found.notes
    maps = found(model, images, LABELS, Options())
    assert unchanged(before, model)
    assert torch.equal(images, IMAGES)
    assert (maps.shape, maps.dtype, maps.requires_grad) == ((4, 1, 8, 8), torch.float32, False)
    model.eval()
    expected = slope(model, 0.5 * IMAGES if function is in_place else IMAGES, LABELS)
    if function is attached:
        expected = expected * IMAGES.sum(1, keepdim=True)
    torch.testing.assert_close(maps, expected)


def test_a_sound_callable_has_no_note_and_its_passes_are_counted(model):
    found = handed_in("explain", slope, model, IMAGES, LABELS, options=Options())
    assert (found.notes, found.single, found.forward, found.backward) == ([], False, 1, 1)
    assert 0 < found.seconds < 5


def test_noise_is_fixed_per_image_and_not_by_the_batch(model):
    def noisy(model, images, target):
        return slope(model, images, target) + torch.randn(len(images), 1, 8, 8)

    found = handed_in("explain", noisy, model, IMAGES, LABELS, options=Options())
    assert "draws noise from torch's own generator, which is fixed for every image" in found.notes
    whole = found(model, IMAGES, LABELS, Options(), keys=[5, 6, 7, 8])
    torch.manual_seed(1)
    assert torch.equal(found(model, IMAGES[2:], LABELS[2:], Options(), keys=[7, 8]), whole[2:])
    assert not torch.equal(found(model, IMAGES, LABELS, Options(), seed=1, keys=[5, 6, 7, 8]), whole)


def test_noise_of_another_generator_is_pointed_out(model):
    drawn = np.random.default_rng(0)
    found = handed_in("explain", lambda m, x, t: drawn.random((len(x), 8, 8)), model, IMAGES, LABELS, options=Options())
    assert "answers differently each time: its numbers do not repeat" in found.notes


def test_a_map_that_depends_on_the_images_beside_it_is_made_alone(model):
    def shared_scale(model, images, target):
        found = slope(model, images, target)
        return found / found.max()

    found = handed_in("explain", shared_scale, model, IMAGES, LABELS, options=Options())
    assert found.notes == ["answers otherwise when another image is beside the first: it is called image by image"]
    assert (found(model, IMAGES, LABELS, Options()).amax((1, 2, 3)) == 1).all()


def test_options_of_one_image_go_to_that_image(model):
    def difference(model, images, target, options):
        assert len(options.references) == len(images) == len(options.keys) == 1
        return (images - options.references).abs().sum(1, keepdim=True)

    options = Options(references=IMAGES.flip(0), keys=range(4))
    found = handed_in("explain", difference, model, IMAGES, LABELS, options=options)
    assert found.single
    expected = (IMAGES - IMAGES.flip(0)).abs().sum(1, keepdim=True)
    assert torch.equal(found(model, IMAGES, LABELS, options), expected)


@pytest.mark.parametrize(
    ("returned", "shape"),
    [
        (lambda x: x[:, :1], (4, 1, 8, 8)),
        (lambda x: x[:, 0], (4, 1, 8, 8)),
        (lambda x: x, (4, 1, 8, 8)),
        (lambda x: x[:, :1, ::2, ::2], (4, 1, 8, 8)),
        (lambda x: (x[:, :1],), (4, 1, 8, 8)),
    ],
)
def test_shapes_that_can_be_meant(model, returned, shape):
    found = handed_in("explain", lambda m, x, t: returned(x), model, IMAGES, LABELS, options=Options())
    assert found(model, IMAGES, LABELS, Options()).shape == shape


@pytest.mark.parametrize(
    ("kind", "function", "said"),
    [
        ("attack", lambda m, x, y, *, eps: x[:, :1], "returns 1×1×8×8 for 1×2×8×8 images, expected 1×2×8×8"),
        ("attack", lambda m, x, y, *, eps: x * torch.nan, "returns 128 of 128 values that are not finite"),
        ("attack", lambda m, x, y, *, eps: (255 * x).byte(), r"expected \[0, 1\] .divide grey levels by 255."),
        ("defend", lambda x: x.mean((1, 2, 3)), "returns 1 for 1×2×8×8 images, expected 1×2×8×8"),
        ("defend", lambda x: str(x), "returns a str, expected a tensor or an array of real numbers"),
        ("detect", lambda m, x: m(x), "returns 1×3 for 1×2×8×8 images, expected 1"),
        ("detect", lambda m, x: m.train() and x.mean((1, 2, 3)), "leaves the network in training mode .as a whole."),
    ],
)
def test_attacks_defences_and_detectors_are_asked_the_same(model, kind, function, said):
    with pytest.raises(ValueError, match=f"^{kind}=<lambda>: .*{said}[^\n]*$"):
        handed_in(kind, function, model, IMAGES, LABELS, options=Strength(eps=0.1))


def test_an_answer_that_goes_wrong_later_still_has_its_name(model):
    def fragile(model, images, target):
        return slope(model, images, target) if images.sum() == IMAGES[:2].sum() or len(images) < 2 else 0

    found = handed_in("explain", fragile, model, IMAGES, LABELS, options=Options())
    with pytest.raises(
        ValueError, match="^explain=fragile: returns a single number for 3×2×8×8 images, expected 3×1×8×8"
    ):
        found(model, IMAGES[:3], LABELS[:3], Options())
