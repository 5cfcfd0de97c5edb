import numpy as np
import pandas as pd
import pytest

from aecompanion.papers.causal import channels
from aecompanion.papers.causal.claims_channels import coefficient_margin, flatness, own_channel

OPTIONS = {"resamples": 20, "seed": 0}
VALIDATION = {  # per seed: mean CE of label 0 and 1 under every channel
    1: [[-0.1, 0.3, 0.0], [0.2, 0.4, -0.5]],
    2: [[-0.6, 0.3, 0.1], [0.2, 0.1, 0.0]],
}


def latent_rows():
    """Channel 1 has the largest effect over all; on test images the effects are half of those above, and images
    alternate by .02 around them. At the mean code a fifth of e is left, with the other sign.
    """
    rows = []
    for seed, means in VALIDATION.items():
        for split, scale in (("validation", 1.0), ("test", 0.5)):
            for image in range(4):
                for label, effects in enumerate(means):
                    for channel, effect in enumerate(effects):
                        own = scale * effect + (0.02 if image % 2 else -0.02)
                        expected = (0.1, 0.9, 0.2)[channel] * scale
                        row = {"domain": "chest", "seed": seed, "split": split, "image": image, "channel": channel}
                        row |= {"label": label, "effect": own, "expected": expected}
                        rows.append(row | {"usual": -expected / 5 if split == "test" else np.nan})
    return pd.DataFrame(rows)


def test_channels_are_chosen_per_seed_and_label_on_validation_images():
    found = channels.chosen_channels(latent_rows(), "chest")
    assert found["own"].tolist() == [1, 2, 0, 0]
    assert found["own sign"].tolist() == [1, -1, -1, 1]
    assert found["one"].tolist() == [1] * 4
    assert found["one sign"].tolist() == [1] * 4


def test_test_images_decide_nothing():
    rows = latent_rows()
    other = rows.assign(effect=rows["effect"].where(rows["split"] == "validation", 9.0))
    first, second = (channels.chosen_channels(each, "chest") for each in (rows, other))
    assert first.equals(second)


def test_the_effects_are_those_of_test_images_in_the_directions_of_validation_images():
    values = channels.channel_cube(latent_rows(), "chest")
    assert values.shape == (2, 8, 2)
    assert values.mean(1) == pytest.approx(np.array([[(0.15 + 0.25) / 2, (0.15 + 0.2) / 2], [0.2, 0.1]]))
    value, statistic = own_channel({"latent": latent_rows()}, domain="chest")
    assert statistic(value) == pytest.approx((0.2 + 0.2) / 2 - (0.175 + 0.1) / 2)


def test_the_table_has_a_row_per_finding():
    table = channels.channel_table(latent_rows(), "chest", ["Mass", "Nodule"], **OPTIONS)
    assert table["finding"].tolist() == ["Mass", "Nodule"]
    assert table["channels"].tolist() == ["1 0", "2 0"]
    assert table["lowered in seeds"].tolist() == [1, 1]
    assert table["own channel"].tolist() == pytest.approx([(0.15 + 0.3) / 2, (0.25 + 0.1) / 2])
    assert table["one channel"].tolist() == pytest.approx([0.15, (0.2 + 0.05) / 2])


def test_flatness_is_what_zero_does_beyond_twice_the_mean_code():
    table = channels.flat_table(latent_rows(), **OPTIONS)
    assert table["zero"].tolist() == pytest.approx([0.45])
    assert table["mean code"].tolist() == pytest.approx([-0.09])
    values, statistic = flatness({"latent": latent_rows()}, domain="chest")
    assert statistic(values) == pytest.approx(0.45 - 2 * 0.09)


def test_coefficients_are_compared_by_size():
    rows = [
        {
            "source": "true findings",
            "seed": seed,
            "concept": name,
            "image": image,
            "effect": 0.0,
            "present": True,
            "value": image,
            "decision": image,
            "parent": name in "ab",
            "coefficient": weight * seed,
        }
        for seed in (1, 3)
        for image in (0, 1)
        for name, weight in (("a", -2.0), ("b", 1.5), ("c", 0.5), ("d", -0.75))
    ]
    values, statistic = coefficient_margin({"concepts": pd.DataFrame(rows)}, source="true findings")
    assert statistic(values) == pytest.approx(2 * (1.5 - 0.75))
