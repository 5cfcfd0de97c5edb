"""Every network under the signs of every other one."""

import pytest
import torch
from torch import nn

from aecompanion.attack.gradient import perturb
from aecompanion.attack.sources import by_source
from aecompanion.attack.transfer import all_signs, attack_all


def test_one_source_gives_the_black_box_arm(networks, images, labels):
    signs = all_signs(networks.items(), images, labels)
    rows = by_source(networks.items(), signs, images, labels, eps=[0.05, 0.3])
    known = attack_all(networks.items(), signs, images, labels, eps=[0.05, 0.3], source="vgg_deep")
    known = known[(known["arm"] == "black") & (known["eps"] > 0)]
    same = rows[rows["source"] == "vgg_deep"].merge(
        known, on=["network", "seed", "eps", "image"], validate="one_to_one"
    )
    assert len(same) == len(known) == 4 * 2 * len(images)
    assert (same["correct"] == (same["prediction"] == same["label"])).all()


def test_nobody_is_attacked_with_its_own_gradient(networks, images, labels):
    signs = all_signs(networks.items(), images, labels)
    rows = by_source(networks.items(), signs, images, labels, eps=[0.1])
    own = rows[rows["source"] == rows["network"]]
    assert (own["seed"] != own["source_seed"]).all()
    assert rows.groupby(["source", "network", "seed"]).ngroups == 2 * len(networks)


def test_hand_made_signs_decide(networks, images, labels):
    """A network that adds up its pixels and asks whether they are many."""

    class Bright(nn.Module):
        def forward(self, x):
            mean = x.mean((1, 2, 3))
            return torch.stack([0.5 - mean, mean - 0.5], dim=1)

    grey = torch.full((2, 1, 4, 4), 0.5)
    signs = {
        ("up", 1): torch.ones(2, 1, 4, 4, dtype=torch.int8),
        ("down", 1): -torch.ones(2, 1, 4, 4, dtype=torch.int8),
    }
    rows = by_source([(("up", 1), Bright().eval())], signs, grey, torch.ones(2, dtype=torch.int64), eps=[0.1])
    assert rows.groupby("source")["correct"].mean().to_dict() == {"up": 1.0, "down": 0.0}
    assert perturb(grey, signs["up", 1], 0.1).mean() > 0.5


def test_no_level_is_refused(networks, images, labels):
    with pytest.raises(ValueError, match="at least one level"):
        by_source(networks.items(), all_signs(networks.items(), images, labels), images, labels, eps=[])
