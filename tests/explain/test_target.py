import pytest
import torch

from aecompanion.evaluate.games import play
from aecompanion.explain.cam import cam
from aecompanion.explain.causal_effect import block_effects
from aecompanion.explain.gradcam import explain_classes, gradcam
from aecompanion.explain.mask import Settings, optimise
from aecompanion.explain.methods import LOSS, METHODS, explain
from aecompanion.explain.rise import rise
from aecompanion.explain.saliency import saliency
from aecompanion.explain.target import targets_of
from aecompanion.networks.zoo import create

CLASSES = 5
SETTINGS = {name: Settings(loss, steps=1) for name, loss in LOSS.items()}


@pytest.fixture(scope="module")
def network():
    return create("compact/gap", classes=CLASSES, channels=3, size=64, seed=1).eval()


@pytest.fixture
def four():
    return torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(4))


def blank(images):
    return torch.zeros_like(images)


CALLS = {
    "gradcam": lambda net, x, t: gradcam(net, x, t, layer=net.cam_layer()),
    "classes": lambda net, x, t: explain_classes(net, x, torch.as_tensor(t)[None], layer=net.cam_layer()),
    "cam": lambda net, x, t: cam(net, x, t, layer=net.cam_layer(), linear=net.body.head[2]),
    "saliency": saliency,
    "rise": lambda net, x, t: rise(net, x, t, masks=8),
    "optimise": lambda net, x, t: optimise(net, x, t, blank(x), Settings("robust", steps=1)).mask,
    "block effects": lambda net, x, t: block_effects(net, x, t, per_side=2),
    "games": lambda net, x, t: play(net, x, blank(x), x[:, :1], t, steps=[0, 9, 64 * 64]).auc,
} | {
    f"explain {name}": lambda net, x, t, name=name: (
        explain(name, net, x, t, references=blank(x), settings=SETTINGS, rise_masks=8).maps
    )
    for name in METHODS
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.tensor([0, 1, 2, -1]), "target holds -1 to 2, expected class indices"),  # -1: no label
        (torch.tensor([0, 1, 2, CLASSES]), "target holds 0 to 5, expected class indices"),
        (torch.tensor([1]), "target is of shape \\(1,\\), expected one class for each of 4 images"),
        (torch.tensor([0, 1, 2, 3, 4]), "target is of shape \\(5,\\), expected one class for each of 4 images"),
        (torch.tensor([0.0, 1.0, 2.0, 3.0]), "kind torch.float32, expected class indices"),
    ],
)
def test_a_target_that_is_no_class_is_refused_by_every_method(network, four, condition, call, target, message):
    before = condition(network)
    with pytest.raises(ValueError, match=message):
        CALLS[call](network, four, target)
    assert condition(network) == before


@pytest.mark.parametrize("call", [call for call in CALLS if call != "classes"])
def test_one_class_for_all_images_is_that_class_for_each(network, four, call):
    one, each = (CALLS[call](network, four, target) for target in (2, torch.full((4,), 2)))
    assert torch.equal(one, each)


@pytest.mark.parametrize("call", [call for call in CALLS if call != "classes"])
def test_no_image_is_an_error_that_says_so(network, four, call):
    with pytest.raises(ValueError, match="there are no images, expected at least one to explain"):
        CALLS[call](network, four[:0], torch.empty(0, dtype=torch.long))


def test_targets_are_int64_on_the_cpu_one_for_each_image():
    assert targets_of(3, 2).tolist() == targets_of(torch.tensor(3), 2).tolist() == [3, 3]
    found = targets_of(torch.tensor([1, 0], dtype=torch.uint8), 2, classes=2)
    assert (found.dtype, found.tolist()) == (torch.int64, [1, 0])


def test_the_limit_is_named_where_it_is_known():
    with pytest.raises(ValueError, match="target holds 2 to 2, expected class indices from 0 to 1$"):
        targets_of(2, 3, classes=2)
    assert targets_of(2, 3).tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match="kind torch.bool"):
        targets_of(torch.tensor([True, False]), 2)
