import math

import numpy as np
import pytest
import torch
from scipy.special import rel_entr

from aecompanion.explain.readout import Readout, bernoulli_kl, bounded_log_l1
from aecompanion.pipeline.rng import generator

GRID = torch.cartesian_prod(*[torch.tensor([0.001, 0.1, 0.25, 0.5, 0.6469, 0.9711, 0.999]).double()] * 2).T


def test_the_bounded_divergence_is_the_logarithm_on_paper():
    p, q = GRID
    assert bounded_log_l1(p, q).numpy() == pytest.approx(np.log2(1 + abs(p - q).numpy()), abs=2e-6)
    corners = torch.tensor([0.0, 1.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0, 1.0])
    assert bounded_log_l1(*corners).tolist() == pytest.approx([1.0, 1.0, 0.0, 0.0], abs=2e-6)
    assert torch.equal(bounded_log_l1(p, q), bounded_log_l1(q, p))


def test_the_bernoulli_divergence_is_scipys_relative_entropy_of_two_coins():
    p, q = GRID
    expected = rel_entr(p.numpy(), q.numpy()) + rel_entr(1 - p.numpy(), 1 - q.numpy())
    assert bernoulli_kl(p, q).numpy() == pytest.approx(expected, abs=1e-12)
    assert bernoulli_kl(p.float(), q.float()).numpy() == pytest.approx(expected, abs=1e-5)


def test_the_bernoulli_divergence_of_certainties_is_finite():
    p, q = torch.tensor([[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]]).double()
    assert bernoulli_kl(p, q).tolist() == pytest.approx([math.log(1e7)] * 2 + [0.0, 0.0], abs=1e-5)
    assert torch.isfinite(bernoulli_kl(p.float(), q.float())).all()


@pytest.mark.parametrize(
    ("clean", "changed", "expected"),
    [(0.9711, 0.0003, 0.979), (0.0111, 0.0022, 0.0128), (0.9711, 0.9096, 0.086), (0.0111, 0.6469, 0.710)],
)
def test_the_divergences_of_the_papers_sheep_and_dog(clean, changed, expected):
    assert bounded_log_l1(torch.tensor(clean), torch.tensor(changed)).item() == pytest.approx(expected, abs=5e-4)


def test_without_several_labels_the_others_are_the_likeliest_of_the_clean_image():
    """Clean odds 3 : 1 : 2 with target 0; later 5 : 4 : 1, when class 2 is no longer the likelier rival."""
    clean, later = torch.tensor([[3.0, 1.0, 2.0]]).log(), torch.tensor([[5.0, 4.0, 1.0]]).log()
    all_rivals = Readout(clean, torch.tensor([0]), multi_label=False, rivals=2)
    read = all_rivals(clean)
    assert read.target.tolist() == pytest.approx([1 / 2])
    assert read.logit.tolist() == pytest.approx([math.log(3)])
    assert read.others[0].tolist() == pytest.approx([1 / 6, 1 / 3])
    assert read.share[0].tolist() == pytest.approx([1 / 3, 2 / 3])
    one_rival = Readout(clean, torch.tensor([0]), multi_label=False, rivals=1)
    assert one_rival(clean).share.tolist() == [pytest.approx([2 / 3])]
    assert one_rival(later).share.tolist() == [pytest.approx([1 / 5])]
    assert one_rival(later).others.tolist() == [pytest.approx([1 / 10])]


def test_shares_sum_to_one_over_all_other_classes_and_do_not_follow_the_target():
    logits = torch.randn(6, 5, generator=generator(3, 4))
    target = torch.arange(6) % 5
    readout = Readout(logits, target, multi_label=False, rivals=4)
    assert torch.allclose(readout(logits).share.sum(1), torch.ones(6))
    lowered = logits.scatter_add(1, target[:, None], torch.full((6, 1), -3.0))
    assert torch.allclose(readout(lowered).share, readout(logits).share)
    assert (readout(lowered).others > readout(logits).others).all()


def test_with_several_labels_every_class_has_its_own_sigmoid():
    logits = torch.randn(3, 4, generator=generator(3, 5))
    read = Readout(logits, torch.tensor([1, 0, 3]), multi_label=True, rivals=1)(logits)
    p = logits.sigmoid()
    assert torch.equal(read.target, p[[0, 1, 2], [1, 0, 3]])
    assert torch.equal(read.others, torch.stack([p[0, [0, 2, 3]], p[1, [1, 2, 3]], p[2, [0, 1, 2]]]))
    assert torch.equal(read.share, read.others)
