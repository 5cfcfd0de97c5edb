import pytest
import torch
from support import flat

from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.train import fit as plain, shifts


def test_a_shift_by_hand(monkeypatch):
    """Three pixels a side, moved by one: the corner (0, 0) of the mirrored image is the middle pixel."""
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    monkeypatch.setattr(torch, "randint", lambda *_: torch.tensor([[0, 2]]))
    assert shifts.shifted(image, most=1)[0, 0].tolist() == [[4, 5, 4], [1, 2, 1], [4, 5, 4]]
    monkeypatch.setattr(torch, "randint", lambda *_: torch.tensor([[1, 1]]))
    assert torch.equal(shifts.shifted(image, most=1), image)


def test_every_place_occurs_equally_often_and_each_image_has_its_own():
    images = torch.rand(1, 1, 8, 8, generator=generator(4, 0)).expand(4000, 1, 8, 8)
    with seeded(4, 1):
        moved = shifts.shifted(images, most=1)
    kinds, counts = torch.unique(moved.flatten(1), dim=0, return_counts=True)
    assert len(kinds) == 9
    assert (counts - 4000 / 9).abs().max() < 4 * (4000 * 8 / 81) ** 0.5


def test_dots_stay_dots():
    dots = (torch.rand(6, 1, 16, 16, generator=generator(4, 2)) > 0.5).float()
    assert set(shifts.shifted(dots, most=4).unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("most", [0, 8])
def test_a_shift_of_nothing_or_of_the_whole_image_is_an_error(most):
    with pytest.raises(ValueError, match=f"up to {most} pixels, expected 1 to 7"):
        shifts.shifted(torch.zeros(1, 1, 8, 8), most=most)


def trained(fit, noise, **options):
    network = create(flat, classes=2, channels=1, size=12, seed=0, cam_layers=["0"])
    return network, fit(network, noise, epochs=15, batch=16, lr=0.05, seed=0, **options)


def test_shifts_keep_a_network_from_learning_images_by_heart(noise):
    _, learned = trained(plain.fit, noise)
    _, moved = trained(shifts.fit, noise, most=3)
    assert learned["train_accuracy"].iloc[-1] == 1
    assert moved["train_accuracy"].iloc[-1] < 0.8


def test_training_on_shifted_images_repeats_bit_for_bit(noise):
    (first, _), (second, _) = (trained(shifts.fit, noise, most=3) for _ in range(2))
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
