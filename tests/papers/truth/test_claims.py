import numpy as np
import pandas as pd
import pytest

from aecompanion.papers.truth.claims import CHEST, ahead_of_occlusion, marker_seen


def marked_rows(shares, true):
    """Rows of one seed and one method on phantoms: the shares of attribution and of effects on the marker."""
    names = [f"chest {number}" for number in range(len(shares))]
    facts = {"method": "RISE", "seed": 1, "item": names, "marked": shares, "marked_true": true}
    return {"methods": pd.DataFrame(facts | CHEST)}


def test_a_map_of_nothing_gives_nothing_to_the_marker():
    values, statistic = marker_seen(marked_rows([0.4, np.nan], [0.5, 0.3]), method="RISE")
    assert statistic(values) == pytest.approx(0.2 / 0.4)


def test_pictures_whose_marker_does_nothing_do_not_count():
    values, statistic = marker_seen(marked_rows([0.4, 0.9, np.nan], [0.5, 0.0, np.nan]), method="RISE")
    assert values.shape[1] == 1 and statistic(values) == pytest.approx(0.8)
    values, statistic = marker_seen(marked_rows([0.4], [0.0]), method="RISE")
    assert np.isnan(statistic(values))


def test_occlusion_alone_is_compared_with_nothing():
    row = {"method": "occlusion", "seed": 1, "item": "chest 0", "rank": 0.5, "forward": 10, "backward": 0}
    values, statistic = ahead_of_occlusion({"methods": pd.DataFrame([row | CHEST])}, **CHEST)
    assert np.isnan(statistic(values))
