import dataclasses
import weakref

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from aecompanion.evaluate import faithfulness
from aecompanion.evaluate.faithfulness import METRICS, average_drop, measure, pixel_flipping, road
from aecompanion.evaluate.given import Given
from aecompanion.evaluate.imputation import imputed
from aecompanion.evaluate.infidelity import infidelity, max_sensitivity

SIDE = 8


class Linear(nn.Module):
    """Two sigmoids: z_0 = Σ w·x over pixels and channels, z_1 = -z_0 / 2."""

    def __init__(self, weights):
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, images):
        first = (images * self.weights).sum((1, 2, 3))
        return torch.stack([first, -first / 2], 1)


def pictures(count=3, channels=2, seed=0):
    gen = torch.Generator().manual_seed(seed)
    images = torch.rand(count, channels, SIDE, SIDE, generator=gen)
    weights = torch.randn(channels, SIDE, SIDE, generator=gen)
    return images, weights


def given(images, **more):
    inside = torch.zeros(len(images), 1, SIDE, SIDE, dtype=torch.bool)
    inside[..., 2:5, 2:5] = True
    own = {
        "references": torch.zeros_like(images),
        "inside": inside,
        "multi_label": True,
        "other": torch.rand(inside.shape),
    }
    own["explain"] = lambda shown, place: shown.sum(1, keepdim=True)
    return Given(**own | more)


def contribution(images, weights):
    return (images * weights).sum(1, keepdim=True)


def test_the_true_contribution_of_a_linear_network_has_no_infidelity():
    images, weights = pictures()
    maps = contribution(images, weights)
    for scale in (1.0, -3.0):  # β takes any
        assert infidelity(Linear(weights), images, scale * maps, 0, given(images)).abs().max() < 1e-6
    other = infidelity(Linear(weights), images, maps.flip(3), 0, given(images))
    assert (other > 1e-3).all()


def test_infidelity_is_the_formula_worked_by_hand():
    images, weights = pictures(1)
    maps, own = torch.rand(1, 1, SIDE, SIDE), given(images, keys=[7], seed=3)
    found = infidelity(Linear(weights), images, maps, 1, own)
    masks = faithfulness_squares(images[0], key=7, seed=3, count=own.squares)
    said = (masks * maps).sum((1, 2, 3)).double()
    fallen = (masks * images * -weights / 2).sum((1, 2, 3)).double()
    beta = (said * fallen).mean() / (said**2).mean()
    assert found.item() == pytest.approx(((beta * said - fallen) ** 2).mean().item(), rel=1e-4)


def faithfulness_squares(image, *, key, seed, count):
    from aecompanion.evaluate.infidelity import squares
    from aecompanion.pipeline.rng import generator

    return squares(count, image, generator(seed, key))


def test_average_drop_by_hand():
    images, weights = torch.ones(2, 1, SIDE, SIDE), torch.full((1, SIDE, SIDE), 2 / SIDE**2)
    maps = torch.zeros(2, 1, SIDE, SIDE)
    maps[0, :, :, : SIDE // 2] = 5.0  # keeps one half: z falls from 2 to 1
    before, after = (torch.tensor(z).sigmoid().item() for z in (2.0, 1.0))
    found = average_drop(Linear(weights), images, maps, 0, given(images))
    assert found.tolist() == pytest.approx([(before - after) / before, 0.0], abs=1e-6)  # the second map is constant
    assert average_drop(Linear(weights), images, maps, 1, given(images))[0] == 0  # p of the other class rises


def test_flipping_in_the_right_order_is_convex_and_the_best():
    images, weights = pictures(channels=1)
    maps, own = contribution(images, weights), given(images, shares=tuple(np.linspace(0, 1, 9)))
    curve = faithfulness.flipping_curve(Linear(weights), images, maps, 0, own, fill="black")
    steps = curve.diff(dim=1)
    assert (steps.diff(dim=1) >= -1e-5).all()
    assert curve[:, -1].abs().max() < 1e-5  # everything is black
    best = pixel_flipping(Linear(weights), images, maps, 0, own, fill="black")
    for other in (-maps, maps.flip(3), torch.zeros_like(maps)):
        assert (pixel_flipping(Linear(weights), images, other, 0, own, fill="black") < best).all()
    by_hand = contribution(images, weights).flatten(1).sort(1, descending=True).values
    assert (curve[:, 0] - curve[:, 1]).tolist() == pytest.approx(by_hand[:, :8].sum(1).tolist(), rel=1e-4)


def test_flipping_holds_one_batch_of_changed_images_at_a_time(monkeypatch):
    made, alive, replaced = [], [], faithfulness.replaced

    def watched(*given):
        alive.append(sum(each() is not None for each in made))
        found = replaced(*given)
        made.append(weakref.ref(found))
        return found

    monkeypatch.setattr(faithfulness, "replaced", watched)
    images, weights = pictures()
    asked = Linear(weights), images, contribution(images, weights), 0
    curve = faithfulness.flipping_curve(*asked, given(images, batch=4), fill="black")
    assert len(made) == 5 and max(alive) == 0
    assert torch.allclose(curve, faithfulness.flipping_curve(*asked, given(images), fill="black"), atol=1e-5)


def test_road_prefers_the_right_order_and_is_odd_in_it():
    images, weights = pictures(channels=1)
    maps, own = contribution(images, weights), given(images)
    best, worst = (road(Linear(weights), images, each, 0, own) for each in (maps, -maps))
    assert (best > 0.05).all() and torch.allclose(best, -worst, atol=1e-6)
    assert best.abs().max() <= 0.5


def test_imputation_is_harmonic_without_noise():
    """Against an independent solution: repeated averaging with the same weights, the border renormalised."""
    gen = torch.Generator().manual_seed(4)
    image, gone = torch.rand(1, 2, 9, 9, generator=gen), torch.rand(1, 1, 9, 9, generator=gen) < 0.6
    found = imputed(image, gone, noise=0)
    kernel = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]]) / 12
    count = ndimage.convolve(np.ones((9, 9)), kernel, mode="constant")
    for channel in range(2):
        values = image[0, channel].double().numpy().copy()
        for _ in range(3000):
            mean = ndimage.convolve(values, kernel, mode="constant") / count
            values = np.where(gone[0, 0].numpy(), mean, values)
        assert np.allclose(values, found[0, channel].numpy(), atol=1e-5)
    assert torch.equal(found[~gone.expand_as(image)], image[~gone.expand_as(image)])


def test_imputation_of_a_gradient_all_and_nothing():
    image = torch.linspace(0, 1, 8).expand(1, 1, 8, 8)
    gone = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    assert torch.equal(imputed(image, gone), image)
    gone[..., 2:6, 2:6] = True
    assert torch.allclose(imputed(image, gone, noise=0), image, atol=1e-6)  # a plane is its neighbours' mean
    assert torch.allclose(imputed(image, ~(gone & ~gone), noise=0), image.mean().expand_as(image))
    in_cells = imputed(image, torch.eye(4, dtype=torch.bool)[None, None], cell=2, noise=0)
    assert in_cells[0, 0, 0, 0] == in_cells[0, 0, 1, 1] and torch.equal(in_cells[..., 2:4, :2], image[..., 2:4, :2])
    with pytest.raises(ValueError, match="expected torch.bool"):
        imputed(image, gone.float())


def test_max_sensitivity_by_hand():
    images, _ = pictures()
    own = given(images, radius=0.0)
    assert max_sensitivity(Linear(images[0]), images, images.sum(1, keepdim=True), 0, own).max() == 0
    jump = dataclasses.replace(own, explain=lambda shown, place: 3 * shown.sum(1, keepdim=True))
    found = max_sensitivity(Linear(images[0]), images, images.sum(1, keepdim=True), 0, jump)
    assert found.tolist() == pytest.approx([2.0] * 3)  # ‖3A - A‖ / ‖A‖
    assert max_sensitivity(Linear(images[0]), images, torch.zeros(3, 1, SIDE, SIDE), 0, own).isnan().all()


@pytest.mark.parametrize("name", METRICS)
def test_a_picture_gets_the_same_value_alone_and_in_a_batch(name):
    images, weights = pictures()
    maps, own = torch.rand(3, 1, SIDE, SIDE), given(images, keys=[5, 6, 7], seed=2)
    model = Linear(weights).train()
    before = images.clone()
    together = measure(name, model, images, maps, 0, own)
    assert together.shape == (3,) and together.dtype == torch.float64 and together.isfinite().all()
    assert torch.equal(images, before) and model.training and model.weights.requires_grad
    for i in range(3):
        part = {"keys": [5 + i], "explain": lambda shown, place: own.explain(shown, 0)}
        part |= {field: getattr(own, field)[[i]] for field in ("references", "inside", "other")}
        alone = dataclasses.replace(own, **part)
        found = measure(name, model, images[[i]], maps[[i]], 0, alone)
        assert found.item() == pytest.approx(together[i].item(), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", [name for name, row in METRICS.items() if row.kind in ("removal", "annotation")])
def test_the_right_map_is_better_than_its_opposite(name):
    images, weights = pictures(channels=1)
    images, weights = images.clamp_min(0.5), weights.clone()
    weights[:, 2:5, 2:5] = weights[:, 2:5, 2:5].abs() + 3
    weights = weights / 10  # z of about 2: neither p is 0 or 1
    maps, own = contribution(images, weights), given(images)
    right, wrong = (measure(name, Linear(weights), images, each, 0, own) for each in (maps, -maps))
    if name == "deletion":  # what a pixel adds to its replacement, the mean colour
        maps = contribution(images - images.mean((2, 3), keepdim=True), weights)
        right, wrong = (measure(name, Linear(weights), images, each, 0, own) for each in (maps, -maps))
    signless = name == "infidelity"  # its scale takes the sign along
    wrong = measure(name, Linear(weights), images, maps.flip(2), 0, own) if signless else wrong
    row = METRICS[name]
    if name == "average drop":  # everything that is kept of a positive sum, or of the rest
        assert (right <= wrong).all()
    else:
        assert (row.oriented(right) > row.oriented(wrong)).all()


def test_passes_are_what_is_asked():
    images, weights = pictures()
    maps, own, seen = torch.rand(3, 1, SIDE, SIDE), given(images), []
    model = Linear(weights)
    model.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    for name, row in METRICS.items():
        seen.clear()
        measure(name, model, images, maps, 0, own)
        wanted = 0 if name == "max-sensitivity" else 3 * row.passes(own)
        assert sum(seen) == wanted, name


def test_controls_know_nothing():
    images, weights = pictures()
    maps, own = torch.rand(3, 1, SIDE, SIDE), given(images)
    assert measure("constant", Linear(weights), images, maps, 0, own).unique().tolist() == [0.0]
    first, again = (measure("random", Linear(weights), images, each, 0, own) for each in (maps, -maps))
    assert torch.equal(first, again) and len(first.unique()) == 3
    assert not torch.equal(first, measure("random", None, images, maps, 0, dataclasses.replace(own, stream=1)))


def test_bad_inputs_get_one_sentence():
    images, weights = pictures()
    maps, own, model = torch.rand(3, 1, SIDE, SIDE), given(images), Linear(weights)
    with pytest.raises(ValueError, match="metric 'fame' is unknown, expected one of deletion"):
        measure("fame", model, images, maps, 0, own)
    with pytest.raises(ValueError, match="maps are .* expected N×1×H×W"):
        measure("ROAD", model, images, maps[:2], 0, own)
    with pytest.raises(ValueError, match="map 1 holds values that are not finite"):
        measure("average drop", model, images, maps.index_fill(0, torch.tensor(1), torch.nan), 0, own)
    with pytest.raises(ValueError, match="needs references"):
        measure("insertion", model, images, maps, 0, dataclasses.replace(own, references=None))
    with pytest.raises(ValueError, match="fill 'pink' is unknown"):
        pixel_flipping(model, images, maps, 0, own, fill="pink")
    with pytest.raises(ValueError, match="shares are"):
        pixel_flipping(model, images, maps, 0, dataclasses.replace(own, shares=(0.5, 0.1)), fill="black")
    with pytest.raises(ValueError, match="share of 1.0, expected one inside"):
        road(model, images, maps, 0, dataclasses.replace(own, imputed=(1.0,)))
    with pytest.raises(ValueError, match="keys name 2 pictures, expected 3"):
        measure("ROAD", model, images, maps, 0, dataclasses.replace(own, keys=[1, 2]))
    with pytest.raises(ValueError, match="target holds"):
        measure("deletion", model, images, maps, 9, own)
    with pytest.raises(ValueError, match="no card"):
        measure("deletion", model, images, maps, 0, dataclasses.replace(own, multi_label=None))
