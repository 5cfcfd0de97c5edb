import pytest
import torch
from torch import nn

from aecompanion.networks.zoo import create


class Last(nn.Module):
    """N×h×w×K, as some transformers keep their features."""

    def forward(self, images):
        return images.permute(0, 2, 3, 1)


class Net(nn.Module):
    """A convolution, `after` it, and the mean over all places."""

    def __init__(self, after):
        super().__init__()
        self.conv, self.after = nn.Conv2d(1, 4, 3, padding=1), after

    def forward(self, images):
        found = self.after(self.conv(images))
        return found.mean((2, 3)) if found.shape[1] == 4 else found.mean((1, 2))


class Around(nn.Module):
    """x + inner(x)."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return images + self.inner(images)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, images):
        return self.relu(self.relu(images) - 0.1) + 0


def layer(body):
    return create(body, classes=4, channels=1, size=8).cam_layers


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (nn.Identity(), "after"),
        (Last(), "conv"),  # 8×8×4 is not four places in a row
        (Around(nn.Conv2d(4, 4, 1)), "after"),  # not the branch inside
        (Twice(), "after"),  # not a module that runs twice
        (nn.AdaptiveAvgPool2d(1), "conv"),  # a single place says nothing
    ],
)
def test_the_layer_is_the_last_with_places_that_nothing_leads_past(after, expected):
    assert layer(Net(after)) == (expected,)


def test_looking_changes_neither_the_network_nor_torchs_generator(condition):
    body = Net(nn.BatchNorm2d(4)).train()
    nn.init.zeros_(body.conv.bias)
    before, weights = condition(body), {name: each.clone() for name, each in body.state_dict().items()}
    state = torch.get_rng_state()
    layer(body)
    assert condition(body) == before
    assert all(torch.equal(each, weights[name]) for name, each in body.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_network_that_fails_at_this_size_says_so():
    with pytest.raises(ValueError, match=r"^Net fails on images of 1×8×8 \(.*\), expected a network for this size$"):
        layer(Net(nn.Conv2d(4, 4, 30)))
