"""X5.8: shares of MOD without a changed prediction and without an adversary, worked by hand."""

import pandas as pd
import pytest

from aecompanion.papers.shift.controls import control_cube, control_table, fixed_share, joined, unnoticed_share

# NISSIM of FGSM and of noise, whether the network was right; the last of noise is noticed
WHITE, NOISE, RIGHT, BOUND = [0.1, 0.3, 0.8], [0.02, 0.1, 0.9], [True, True, False], [0.95, 0.5, 0.95]


@pytest.fixture
def rows() -> pd.DataFrame:
    keys = [(network, seed, image) for network in ("b", "a") for seed in (1, 2) for image in range(3)]
    frame = pd.DataFrame(keys, columns=["network", "seed", "image"])
    parts = []
    for arm, values in (("white", WHITE), ("noise", NOISE), ("other", [0.4] * 3)):
        eps = 0.0 if arm == "other" else 0.01
        parts.append(
            frame.assign(arm=arm, mode="own_pred", eps=eps, nissim=frame["image"].map(dict(enumerate(values))))
        )
    shift = pd.concat(parts).assign(family="deep")
    shift["correct0"] = shift["image"].map(dict(enumerate(RIGHT)))
    bound = frame["image"].map(dict(enumerate(BOUND)))
    return joined(frame.assign(eps=0.01, mapped=0.05, bound=bound), shift)


def test_the_shares_leave_out_wrong_images_and_noticed_noise(rows):
    values = control_cube(rows, 0.01)
    assert values.shape == (2, 3, 2, 5)
    assert fixed_share(values) == pytest.approx([0.05 / 0.2] * 2)
    assert unnoticed_share(values) == pytest.approx([0.02 / 0.1] * 2)


def test_the_table_has_a_row_per_network_and_level(rows):
    found = control_table(rows, resamples=10, seed=0)
    assert found["network"].tolist() == ["b", "a"]
    assert found.loc[0, ["white", "mapped", "noise", "other"]].tolist() == pytest.approx([0.2, 0.05, 0.06, 0.4])
    assert found["images_unnoticed"].tolist() == pytest.approx([0.5, 0.5])
    assert found["fixed_share"].tolist() == pytest.approx([0.25, 0.25])
