import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from aecompanion.evaluate.multi_label import exact_match, per_class
from aecompanion.pipeline.rng import generator


def column(*values):
    return torch.tensor(values)[:, None]


@pytest.fixture
def drawn():
    """Forty images, three classes, logits that go a little with the labels; some logits are tied."""
    labels = (torch.rand(40, 3, generator=generator(9, 0)) < 0.3).long()
    logits = torch.randn(40, 3, generator=generator(9, 1)) + labels
    return (2 * logits).round() / 2, labels


# ---- per class


def test_there_is_one_row_per_class_as_scikit_learn_has_it(drawn):
    logits, labels = drawn
    table = per_class(logits, labels, ["a", "b", "c"])
    assert list(table.columns) == ["class", "positives", "auroc", "precision"]
    assert table["class"].tolist() == ["a", "b", "c"]
    assert table["positives"].tolist() == labels.sum(0).tolist()
    for k in range(3):
        assert len(logits[:, k].unique()) < 40
        assert table.loc[k, "auroc"] == pytest.approx(roc_auc_score(labels[:, k], logits[:, k]))
        assert table.loc[k, "precision"] == pytest.approx(average_precision_score(labels[:, k], logits[:, k]))
    assert table["auroc"].nunique() == 3  # no class has another's column


@pytest.mark.parametrize(
    ("truth", "logits", "auroc", "precision"),
    [
        # positives on place 1 and 3: three of four pairs in order; precision 1 and 2/3
        ((1, 0, 1, 0), (2.0, 1.0, -1.0, -3.0), 3 / 4, (1 + 2 / 3) / 2),
        ((1, 1, 0, 0), (2.0, 1.0, -1.0, -3.0), 1, 1),
        ((0, 0, 0, 1), (2.0, 1.0, -1.0, -3.0), 0, 1 / 4),
        ((0, 1, 0, 1), (-2.0, 4.0, 3.0, 1.0), 3 / 4, (1 + 2 / 3) / 2),
        # equal logits: half of each pair; the whole set is one place with two of five
        ((1, 0, 1, 0, 0), (1.0, 1.0, 1.0, 1.0, 1.0), 1 / 2, 2 / 5),
        # a tie of a positive and a negative behind a positive: 1 + 1/2 of two pairs; half the recall at 1, half at 2/3
        ((1, 1, 0), (2.0, 1.0, 1.0), 3 / 4, (1 + 2 / 3) / 2),
    ],
)
def test_a_class_by_hand(truth, logits, auroc, precision):
    (row,) = per_class(column(*logits), column(*truth), ["a"]).to_dict("records")
    assert row["positives"] == sum(truth)
    assert (row["auroc"], row["precision"]) == pytest.approx((auroc, precision))


def test_only_the_order_of_the_logits_counts(drawn):
    logits, labels = drawn
    found, expected = (per_class(each, labels, ["a", "b", "c"]) for each in (logits.sigmoid().double() * 7, logits))
    assert found["auroc"].tolist() == expected["auroc"].tolist()
    assert found["precision"].tolist() == expected["precision"].tolist()


def test_the_order_of_the_images_does_not_count(drawn):
    logits, labels = drawn
    mixed = torch.randperm(40, generator=generator(9, 2))
    found, expected = (per_class(x, y, ["a", "b", "c"]) for x, y in ((logits[mixed], labels[mixed]), drawn))
    assert found[["auroc", "precision"]].to_numpy() == pytest.approx(expected[["auroc", "precision"]].to_numpy())


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_labels_may_be_of_any_kind(drawn, kind):
    logits, labels = drawn
    assert per_class(logits, labels.to(kind), ["a", "b", "c"]).equals(per_class(logits, labels, ["a", "b", "c"]))


def test_a_class_that_all_images_or_none_have_is_nan_without_a_warning():
    labels = torch.tensor([[1, 0, 1], [1, 0, 0], [1, 0, 1]])
    logits = torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 2.0], [2.0, 0.0, 4.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = per_class(logits, labels, ["all", "none", "some"])
    assert table["positives"].tolist() == [3, 0, 2]
    assert np.isnan(table.loc[:1, ["auroc", "precision"]]).all(axis=None)
    assert table.loc[2, ["auroc", "precision"]].tolist() == [1, 1]
    assert table["precision"].mean() == 1  # pandas' mean is over the classes that have one


@pytest.mark.parametrize(
    ("logits", "labels", "names", "said"),
    [
        ((4, 3), (4, 2), 3, r"logits \(4, 3\), labels \(4, 2\) and 3 classes"),
        ((4, 3), (5, 3), 3, r"logits \(4, 3\), labels \(5, 3\) and 3 classes"),
        ((4, 3), (4, 3), 2, r"logits \(4, 3\), labels \(4, 3\) and 2 classes"),
        ((4, 3), (4, 3), 4, r"logits \(4, 3\), labels \(4, 3\) and 4 classes"),
        ((4, 3), (4,), 3, r"logits \(4, 3\), labels \(4,\) and 3 classes"),
    ],
)
def test_shapes_that_do_not_fit_are_an_error_that_says_which(logits, labels, names, said):
    with pytest.raises(ValueError, match=f"^{said}, expected N×K twice and K names$"):
        per_class(torch.zeros(logits), torch.zeros(labels), ["a"] * names)


def test_one_label_per_image_is_an_error_that_says_what_is_expected():
    with pytest.raises(ValueError, match="expected N×K twice"):
        per_class(torch.zeros(4), torch.zeros(4), ["a"])


# ---- exact match


LOGITS = [[2.0, -1.0, 0.5], [-1.0, -2.0, -0.1], [1.0, 1.0, 1.0], [-3.0, 4.0, 0.0]]


@pytest.mark.parametrize(
    ("labels", "share"),
    [
        ([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]], 1),  # a logit of 0 is a no
        ([[1, 0, 1], [0, 0, 0], [1, 1, 0], [0, 1, 0]], 3 / 4),  # two of three decisions are not enough
        ([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 1, 1]], 1 / 4),
        ([[0, 1, 0], [1, 1, 1], [0, 0, 0], [1, 0, 1]], 0),
    ],
)
def test_an_image_counts_if_all_its_decisions_are_right(labels, share):
    found = exact_match(torch.tensor(LOGITS), torch.tensor(labels))
    assert isinstance(found, float)
    assert found == share


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_the_match_does_not_depend_on_the_kind_of_the_labels(kind):
    labels = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 0], [0, 1, 0]])
    assert exact_match(torch.tensor(LOGITS), labels.to(kind)) == 3 / 4


def test_the_match_is_the_share_that_numpy_counts(drawn):
    logits, labels = drawn
    right = sum(((x > 0).int() == y).all().item() for x, y in zip(logits, labels, strict=True))
    assert 0 < right < 40
    assert exact_match(logits, labels) == pytest.approx(right / 40)
