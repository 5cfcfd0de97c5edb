import numpy as np
import pytest
import torch
from scipy import stats

from aecompanion.evaluate.truth import (
    above_floor,
    degraded,
    error_on_none,
    log_odds,
    painted,
    part_attributions,
    pointing,
    rank_correlation,
    settled,
    share_on_effect,
    sign_agreement,
)
from aecompanion.pipeline.rng import generator

LEAST = 0.1


def grid(cells=2, side=4):
    """Footprints of the cells of a square grid, row by row."""
    masks = np.zeros((cells * cells, cells * side, cells * side), bool)
    for k in range(cells * cells):
        row, column = divmod(k, cells)
        masks[k, row * side : (row + 1) * side, column * side : (column + 1) * side] = True
    return masks


def uneven():
    """Three parts of 1, 4 and 9 pixels with some background."""
    masks = np.zeros((3, 8, 8), bool)
    masks[0, 0, 0] = masks[1, 2:4, 2:4] = masks[2, 5:8, 5:8] = True
    return masks


def scores(attribution, effect):
    return {
        "rank": rank_correlation(attribution, effect),
        "share": share_on_effect(attribution, effect, least=LEAST),
        "error": error_on_none(attribution, effect, least=LEAST),
        "sign": sign_agreement(attribution, effect, least=LEAST),
    }


# log-odds


def test_log_odds_by_hand():
    p = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
    torch.testing.assert_close(log_odds(p.log() + 3, multi_label=False), p.log() - (1 - p).log())
    assert log_odds(p, multi_label=True) is p


def test_log_odds_are_finite_where_p_rounds_to_one():
    assert log_odds(torch.tensor([[200.0, 0.0]]), multi_label=False).tolist() == [[200.0, -200.0]]


def test_one_class_has_no_odds():
    with pytest.raises(ValueError, match="over 1 classes"):
        log_odds(torch.zeros(3, 1), multi_label=False)


# attributions of parts


def test_sums_over_footprints():
    maps = torch.arange(64.0).reshape(1, 1, 8, 8)
    found = part_attributions(torch.cat([maps, 2 * maps]), uneven())
    by_hand = [0, 18 + 19 + 26 + 27, sum(8 * r + c for r in (5, 6, 7) for c in (5, 6, 7))]
    assert found.tolist() == [by_hand, [2 * each for each in by_hand]]


@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        (torch.zeros(1, 3, 8, 8), uneven(), "expected N×1×H×W"),
        (torch.zeros(1, 1, 7, 8), uneven(), "expected N×1×H×W"),
        (torch.zeros(1, 1, 8, 8), np.zeros((2, 8, 8), bool), r"parts \[0, 1\] have no pixel"),
    ],
)
def test_bad_shapes(maps, masks, message):
    with pytest.raises(ValueError, match=message):
        part_attributions(maps, masks)


# painted truth, uniform maps, noise


@pytest.mark.parametrize("effect", [[3.0, 0.5, -2.0], [0.05, 0.2, 7.0], [1.0, -0.02, 0.03]])
def test_painted_truth_is_perfect(effect):
    effect = settled(effect, least=LEAST)
    found = scores(part_attributions(painted(effect, uneven()), uneven())[0], effect)
    assert found["rank"] == pytest.approx(1)
    assert (found["share"], found["sign"]) == (1, 1)
    assert found["error"] == 0 or (effect != 0).all() and np.isnan(found["error"])


def test_painted_truth_of_parts_that_overlap():
    masks = uneven()
    masks[1, 5:7, 5:7] = True
    effect = np.array([1.0, -2.0, 4.0])
    torch.testing.assert_close(part_attributions(painted(effect, masks), masks)[0], torch.from_numpy(effect))


@pytest.mark.parametrize("masks", [grid(), uneven()], ids=["equal", "uneven"])
@pytest.mark.parametrize("level", [0.0, 0.3, 5.0])
def test_uniform_maps_rank_nothing(masks, level):
    """Without their floor they would favour large parts."""
    effect = np.arange(len(masks), dtype=float)
    flat = torch.full((1, 1, 8, 8), level)
    assert rank_correlation(part_attributions(above_floor(flat), masks)[0], effect) == 0
    if len(masks) == 3 and level:
        assert rank_correlation(part_attributions(flat, masks)[0], effect) == 1


def test_degradation_is_monotone():
    """In expectation: means over 400 draws of the rank fall, those of the error rise, from the truth to noise."""
    effect, masks = np.array([2.0, 0.0, -1.0, 0.5]), grid()
    maps = painted(effect, masks).expand(400, 1, 8, 8)
    levels = [0.0, 0.3, 0.5, 0.7, 0.85, 1.0]
    rows = []
    for level in levels:
        found = part_attributions(degraded(maps, level, seed=3), masks).numpy()
        rows.append(np.nanmean([list(scores(each, effect).values()) for each in found], 0))
    rank, share, error, sign = np.array(rows).T
    assert (np.diff(rank) <= 0).all() and rank[0] == pytest.approx(1) and abs(rank[-1]) < 0.1
    assert (np.diff(share) <= 0).all() and (np.diff(error) >= 0).all() and (np.diff(sign) <= 0).all()
    assert (share[0], error[0], sign[0]) == (1, 0, 1) and abs(sign[-1] - 0.5) < 0.05


def test_degraded_maps_depend_on_their_key_alone():
    maps = torch.rand(3, 1, 8, 8, generator=generator(1))
    whole = degraded(maps, 0.5, seed=2, keys=[7, 8, 9])
    assert torch.equal(degraded(maps[1:2], 0.5, seed=2, keys=[8]), whole[1:2])
    assert not torch.equal(degraded(maps[1:2], 0.5, seed=2, keys=[9]), whole[1:2])
    assert torch.equal(degraded(torch.ones(1, 1, 8, 8), 0.0, seed=2), torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match=r"noise is 1\.5"):
        degraded(maps, 1.5, seed=2)


# single scores


def test_rank_is_spearmans():
    drawn = np.random.default_rng(0)
    a, e = drawn.integers(0, 4, 9), drawn.normal(size=9)
    ranks = stats.rankdata(a), stats.rankdata(e)
    assert rank_correlation(a, e) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert rank_correlation(-a, e) == pytest.approx(-rank_correlation(a, e))


def test_rank_without_a_question():
    assert np.isnan(rank_correlation([1.0], [2.0]))
    assert np.isnan(rank_correlation([1.0, 2.0], [3.0, 3.0]))
    assert rank_correlation([0.1 + 0.2, 0.3], [1.0, 2.0]) == 0  # rounding is no order
    assert rank_correlation([1e-16, 0.0, 5.0], [0.0, 0.0, 1.0]) == pytest.approx(1)


def test_shares_by_hand():
    attribution, effect = [3.0, 1.0, -2.0, 4.0], [1.0, 0.0, -1.0, 0.05]
    assert share_on_effect(attribution, effect, least=LEAST) == 3 / 8
    assert error_on_none(attribution, effect, least=LEAST) == 5 / 10
    assert sign_agreement(attribution, effect, least=LEAST) == 1
    assert sign_agreement([-3.0, 1.0, -2.0, 0.0], effect, least=LEAST) == 0.5


def test_shares_without_a_question():
    assert np.isnan(share_on_effect([-1.0, 0.0], [1.0, 2.0], least=LEAST))
    assert np.isnan(error_on_none([1.0, 2.0], [1.0, 2.0], least=LEAST))
    assert np.isnan(error_on_none([0.0, 0.0], [1.0, 0.0], least=LEAST))
    assert np.isnan(sign_agreement([1.0], [0.0], least=LEAST))


def test_pointing():
    maps = torch.zeros(3, 1, 8, 8)
    maps[0, 0, 1, 1] = maps[1, 0, 7, 7] = 1.0
    inside = torch.from_numpy(grid()[:1]).expand(3, 1, 8, 8)
    assert pointing(maps, inside).tolist() == [1, 0, 0.25]
    with pytest.raises(ValueError, match="expected the same shape"):
        pointing(maps, inside[:2])


def test_lengths_that_differ():
    with pytest.raises(ValueError, match="2 attributions and 3 effects"):
        rank_correlation([1, 2], [1, 2, 3])
