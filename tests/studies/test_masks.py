import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit, rel_entr
from torch import nn

from aecompanion.data.dataset import Dataset
from aecompanion.data.regions import Regions, boxes_to_masks
from aecompanion.evaluate.distortion import DEFINITIONS
from aecompanion.explain.methods import Explained
from aecompanion.networks.read import probabilities
from aecompanion.pipeline.rng import generator
from aecompanion.studies.masks import choose, chunks, on_substrates, right, score, steps, substrates, typical

SIZE, PIXELS = 16, 256


class Reader(nn.Module):
    """Logits read off single pixels, and nothing else: `scale` · pixel + `bias` per class."""

    card = {"multi_label": True}

    def __init__(self, places, scale, bias):
        super().__init__()
        self.rows, self.columns = zip(*places, strict=True)
        self.scale, self.bias = nn.Parameter(torch.tensor(scale)), nn.Parameter(torch.tensor(bias))

    def forward(self, images):
        return self.scale * images[:, 0, self.rows, self.columns] + self.bias


@pytest.mark.parametrize(
    ("count", "size", "cuts", "lengths"),
    [
        (5, 2, [], [2, 2, 1]),
        (4, 2, [2, 4], [2, 2]),  # a cut at a chunk's end, and one behind the last
        (5, 10, [1], [1, 4]),
        (5, 2, [3, 9], [2, 1, 1, 1]),
        (1, 3, [], [1]),
    ],
)
def test_chunks_hold_every_position_once_and_end_at_the_cuts(count, size, cuts, lengths):
    found = chunks(count, size, cuts)
    assert np.concatenate(found).tolist() == list(range(count))
    assert [len(each) for each in found] == lengths


# ---- which pairs are explained


LABELS = [[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 1], [1, 0, 1], [0, 1, 0], [1, 0, 0]]
SPLIT = ["train", "validation", "test", "test", "test", "test", "test", "test", "train", "test"]
FLAW = {5, 9}  # images on which the flawed network misses the first class


@pytest.fixture
def dataset():
    """The first row of an image says which labels it has, a pixel of the second whether it is a hard case."""
    images = np.zeros((10, 1, SIZE, SIZE), dtype=np.uint8)
    images[:, 0, 0, :3] = 255 * np.array(LABELS)
    images[list(FLAW), 0, 1, 0] = 255
    split = np.array(SPLIT, dtype=object)
    return Dataset(torch.tensor(LABELS), split, ["a", "b", "c"], "drawn", 1, SIZE, images=images)


@pytest.fixture
def regions():
    """One region per label of an image, in the order of the images."""
    pairs = np.argwhere(np.array(LABELS))
    boxes = np.tile([1, 1, 5, 5], (len(pairs), 1))
    return Regions(pairs[:, 0], pairs[:, 1], boxes, boxes_to_masks(boxes, (SIZE, SIZE))[:, 0].numpy())


@pytest.fixture
def perfect():
    return Reader([(0, 0), (0, 1), (0, 2)], [20.0] * 3, [-10.0] * 3)


@pytest.fixture
def flawed(perfect):
    """Like the perfect one, but the hard cases have lost the first class."""

    class Flawed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = perfect

        def forward(self, images):
            lost = 30 * images[:, 0, 1, 0] * images[:, 0, 0, 0]
            return self.inner(images) - lost[:, None] * torch.tensor([1.0, 0.0, 0.0])

    return Flawed()


@pytest.mark.parametrize("batch", [1, 3, 128])
def test_an_image_is_right_if_its_whole_set_of_labels_is(perfect, flawed, dataset, batch):
    everything = np.arange(10)
    assert right(perfect, dataset, everything, batch=batch).all(1).tolist() == [True] * 10
    expected = [n not in FLAW for n in range(10)]
    assert right(flawed, dataset, everything, batch=batch).all(1).tolist() == expected
    assert right(flawed, dataset, np.array([9, 0, 5, 2]), batch=batch).all(1).tolist() == [False, True, False, True]
    one_wrong = Reader([(0, 0), (0, 1), (0, 1)], [20.0] * 3, [-10.0] * 3)  # reads the second label for the third
    assert right(one_wrong, dataset, everything).all(1).tolist() == [row[1] == row[2] for row in LABELS]


def test_a_probability_of_one_half_means_no(dataset):
    undecided = Reader([(0, 0), (0, 1), (0, 2)], [20.0] * 3, [-10.0, -10.0, -20.0])  # 0 where the third label is
    expected = [not row[2] for row in LABELS]
    assert right(undecided, dataset, np.arange(10)).all(1).tolist() == expected


def test_the_pairs_are_those_of_images_that_every_network_gets_right(perfect, flawed, dataset, regions):
    """Test images: 2, 3 (without a label), 4, 5, 6, 7 and 9, of which the flawed network misses 5 and 9."""
    found, counts = choose([perfect], dataset, regions, split="test", count=99)
    assert counts == {"images": 7, "exact": 7, "pairs": 11, "used": 11}
    assert set(found.image) == {2, 4, 5, 6, 7, 9}
    found, counts = choose([perfect, flawed], dataset, regions, split="test", count=99)
    assert counts == {"images": 7, "exact": 5, "pairs": 7, "used": 7}
    assert found.image.tolist() == [2, 2, 4, 4, 6, 7, 7]
    assert found.label.tolist() == [0, 1, 1, 2, 2, 0, 2]
    assert choose([flawed, perfect], dataset, regions, split="test", count=99)[1] == counts
    found, counts = choose([flawed], dataset, regions, split="validation", count=99)
    assert (found.image.tolist(), found.label.tolist()) == ([1], [1])
    assert counts == {"images": 1, "exact": 1, "pairs": 1, "used": 1}


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, [0]), (2, [0, 6]), (3, [0, 3, 6]), (4, [0, 2, 4, 6]), (7, [0, 1, 2, 3, 4, 5, 6])],
)
def test_the_pairs_are_spread_evenly(flawed, dataset, regions, count, expected):
    whole, _ = choose([flawed], dataset, regions, split="test", count=99)
    found, counts = choose([flawed], dataset, regions, split="test", count=count)
    assert counts == {"images": 7, "exact": 5, "pairs": 7, "used": count}
    assert list(zip(found.image, found.label, strict=True)) == [(whole.image[n], whole.label[n]) for n in expected]
    assert found.masks.shape == (count, SIZE, SIZE)


def test_labels_of_other_classes_may_be_wrong_but_never_the_own_one(dataset, regions):
    """The network that reads the second label for the third has one label wrong wherever the two differ."""
    one_wrong = Reader([(0, 0), (0, 1), (0, 1)], [20.0] * 3, [-10.0] * 3)
    strict, counts = choose([one_wrong], dataset, regions, split="test", count=99)
    lenient, allowed = choose([one_wrong], dataset, regions, split="test", count=99, errors=1)
    assert counts["exact"] == allowed["exact"]
    assert len(lenient) > len(strict)
    labels = dataset.labels.numpy()
    for image, label in zip(lenient.image, lenient.label, strict=True):
        assert label != 2 or labels[image, 1] == 1  # said, because the second label is there
    missing = [row for row in range(len(lenient)) if labels[lenient.image[row], 1] != labels[lenient.image[row], 2]]
    assert missing  # images with a wrong label are among them


def test_networks_that_are_always_wrong_leave_nothing_to_explain(perfect, dataset, regions):
    wrong = Reader([(0, 0), (0, 1), (0, 2)], [-20.0] * 3, [10.0] * 3)
    message = "no image of the 7 in the test split is labelled exactly right by all 2 networks and has a region"
    with pytest.raises(ValueError, match=message):
        choose([perfect, wrong], dataset, regions, split="test", count=3)


def test_images_without_a_region_leave_nothing_to_explain(perfect, dataset, regions):
    elsewhere = regions.select(np.isin(regions.image, [0, 1, 8]))
    with pytest.raises(ValueError, match="no image of the 7 in the test split"):
        choose([perfect], dataset, elsewhere, split="test", count=3)


def test_a_split_without_images_leaves_nothing_to_explain(perfect, dataset, regions):
    split = np.array(["train"] * 10, dtype=object)
    none = Dataset(dataset.labels, split, dataset.classes, "drawn", 1, SIZE, images=dataset.images)
    with pytest.raises(ValueError, match="no image of the 0 in the test split"):
        choose([perfect], none, regions, split="test", count=3)


# ---- what is said of the maps

PLACES = [(0, 0), (5, 5), (9, 9)]  # of the evidence for the three classes; the third class has none
CORNER, MIDDLE = 0, 5 * SIZE + 5  # flat positions of the first two
CLEAN = np.array([4.0, 1.0, -3.0])  # logits of the images below


@pytest.fixture
def reader():
    return Reader(PLACES, [8.0, 4.0, 0.0], [-4.0, -2.0, -3.0])


def ordered(*places):
    """A map whose largest values are at `places`; the others fall from pixel to pixel, none is tied."""
    rest = [n for n in range(PIXELS) if n not in places]
    values = torch.empty(PIXELS)
    values[[*places, *rest]] = torch.linspace(1, 0, PIXELS)
    return values.reshape(1, SIZE, SIZE)


def last(*places):
    return 1 - ordered(*places)


@pytest.fixture
def pairs():
    """Three copies of one image; its logits are 4, 1 and -3. References: black, with a bright second pixel in the
    first pair.
    """
    images = torch.full((3, 1, SIZE, SIZE), 0.25)
    images[:, 0, 0, 0], images[:, 0, 5, 5] = 1.0, 0.75
    references = torch.zeros_like(images)
    references[0, 0, 5, 5] = 1.0
    inside = boxes_to_masks(np.array([[0, 0, 1, 2], [4, 4, 8, 8], [0, 0, 16, 16]]), (SIZE, SIZE))
    return images, torch.tensor([0, 0, 1]), references, inside


@pytest.fixture
def maps():
    """The first two pixels in order, in order, and, for the second class, at the very end."""
    return torch.stack([ordered(CORNER, MIDDLE), ordered(CORNER, MIDDLE), last(CORNER, MIDDLE)])


AREAS = torch.tensor([1, 2, 4]) / PIXELS


def table(network, pairs, explained, **options):
    options = {"areas": AREAS, "keys": [0, 1, 2]} | options
    return score(network, *pairs, explained, **options)


COLUMNS = ["deletion", "insertion", "ties", "energy", "area", "p_clean", "p_masked", "p_reverse", "change", "level"]


def test_the_games_take_small_steps_first_and_end_with_the_whole_image():
    removed, inserted = steps(64 * 64)
    assert removed == [*range(0, 64, 16), *range(64, 256, 32), *range(256, 4097, 256)]
    assert inserted == [*range(0, 513, 64), *range(1024, 4097, 512)]


def test_every_pair_has_a_row_and_a_curve(reader, pairs, maps):
    rows, curves = table(reader, pairs, Explained(maps))
    scores = [f"{kind}_{name}" for name in DEFINITIONS for kind in ("cds", "reverse")]
    assert list(rows.columns) == [*COLUMNS, "worst", "p_reverse_cut", "change_cut", "stuck", *scores]
    assert rows.index.tolist() == [0, 1, 2]
    assert {str(kind) for kind in rows.dtypes} == {"float64"}
    assert curves.shape == (3, 11 + 15)  # pixel by pixel up to 4, every 2 up to 16, then every 16 up to 256
    assert curves[:, 0].tolist() == pytest.approx(expit(CLEAN[[0, 0, 1]]), abs=1e-6)
    assert np.isfinite(rows.to_numpy()).all()


def test_the_deletion_curve_of_a_network_that_reads_one_pixel_is_known(reader, pairs, maps):
    """It falls where that pixel becomes the mean colour: with the first step, or with the last sixteen pixels."""
    rows, curves = table(reader, pairs, Explained(maps))
    mean = (254 * 0.25 + 1 + 0.75) / PIXELS
    high, low = expit(CLEAN[0]), expit(8 * mean - 4)
    assert rows["deletion"][:2].tolist() == pytest.approx([(high + low) / 2 / 256 + low * 255 / 256] * 2, abs=1e-6)
    assert curves[0].tolist() == pytest.approx([high] + [low] * 25, abs=1e-6)
    high, low = expit(CLEAN[1]), expit(4 * mean - 2)
    assert rows["deletion"][2] == pytest.approx(high * 240 / 256 + (high + low) / 2 * 16 / 256, abs=1e-6)
    assert curves[2].tolist() == pytest.approx([high] * 25 + [low], abs=1e-6)


def test_the_insertion_curve_of_a_network_that_reads_one_pixel_is_known(reader, pairs, maps):
    """Four pixels at a time come out of the reference, at the end 32."""
    rows, _ = table(reader, pairs, Explained(maps))
    high, low = expit(CLEAN[0]), expit(-4)
    assert rows["insertion"][:2].tolist() == pytest.approx(
        [(high + low) / 2 * 4 / 256 + high * 252 / 256] * 2, abs=1e-6
    )
    high, low = expit(CLEAN[1]), expit(-2)
    assert rows["insertion"][2] == pytest.approx(low * 224 / 256 + (high + low) / 2 * 32 / 256, abs=1e-6)


def test_maps_without_a_mask_remove_exactly_as_many_of_their_hottest_pixels_as_asked_for(reader, pairs, maps):
    """First the corner alone; then the corner and the middle; then four pixels that say nothing."""
    rows, _ = table(reader, pairs, Explained(maps))
    assert rows["area"].tolist() == pytest.approx([1 / 256, 2 / 256, 4 / 256], abs=1e-7)
    assert rows["p_clean"].tolist() == pytest.approx(expit([4, 4, 1]), abs=1e-6)
    assert rows["p_masked"].tolist() == pytest.approx(expit([-4, -4, 1]), abs=1e-6)
    assert rows["p_reverse"].tolist() == pytest.approx(expit([4, 4, -2]), abs=1e-6)
    assert rows["stuck"].tolist() == [0, 0, 0]


def test_the_other_classes_are_followed_in_both_images(reader, pairs, maps):
    """Logits of the other classes: clean 1, -3 (4, -3 of the third pair); masked 1, -3, then -2, -3, then 4, -3; in
    the reverse image 2, -3 (the reference's bright pixel), then 1, -3, then -4, -3.
    """
    rows, _ = table(reader, pairs, Explained(maps))
    assert rows["change"].tolist() == pytest.approx([0, (expit(1) - expit(-2)) / 2, 0], abs=1e-6)
    levels = [(expit(z) + expit(-3)) / 2 for z in (2, 1, -4)]
    assert rows["level"].tolist() == pytest.approx(levels, abs=1e-6)
    assert rows["worst"].tolist() == pytest.approx([expit(2) - expit(1), 0, 0], abs=1e-6)


def test_worst_is_negative_where_every_other_class_falls(pairs, maps):
    reader = Reader(PLACES, [8.0, 4.0, 4.0], [-4.0, -2.0, 0.0])  # the third class: 1 clean, 0 in the reverse images
    rows, _ = table(reader, pairs, Explained(maps))
    fall = expit(0) - expit(1)
    assert rows["worst"].tolist() == pytest.approx([expit(2) - expit(1), 0, fall], abs=1e-6)


def test_the_distortion_scores_are_those_on_paper(reader, pairs, maps):
    """Δ masked: 8 and 0, 0; 8 and 3, 0; 0 and 0, 0. Δ reverse: 0 and -1, 0; 0 and 0, 0; 3 and 8, 0."""
    rows, _ = table(reader, pairs, Explained(maps))
    assert rows["cds_absolute"].tolist() == pytest.approx([8, 8 - 1.5, 0], abs=1e-4)
    assert rows["cds_signed"].tolist() == pytest.approx([8, 8 - 1.5, 0], abs=1e-4)
    assert rows["reverse_absolute"].tolist() == pytest.approx([-0.5, 0, 3 - 4], abs=1e-4)
    assert rows["reverse_signed"].tolist() == pytest.approx([0.5, 0, 3 - 4], abs=1e-4)

    def kl(clean, changed):
        p, q = expit(clean), expit(changed)
        return rel_entr(p, q) + rel_entr(1 - p, 1 - q)

    assert rows["cds_ratio"][1] == pytest.approx(np.log1p(kl(4, -4) / (kl(1, -2) / 2)), abs=1e-4)
    assert rows["reverse_ratio"][2] == pytest.approx(np.log1p(kl(1, -2) / (kl(4, -4) / 2)), abs=1e-4)
    assert rows["cds_ratio"][2] == pytest.approx(np.log(2), abs=1e-3)  # nothing over nothing
    assert rows["cds_ratio"][0] == pytest.approx(np.log1p(kl(4, -4) / 1e-7), abs=1e-2)


def test_energy_is_the_share_of_the_map_inside_the_box(reader, pairs, maps):
    rows, _ = table(reader, pairs, Explained(maps))
    heat = maps.double().flatten(1).numpy()
    expected = (heat * pairs[3].flatten(1).numpy()).sum(1) / heat.sum(1)
    assert rows["energy"].tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    assert rows["energy"][2] == pytest.approx(1)


def test_ties_are_counted_and_a_constant_map_has_no_energy(reader, pairs):
    maps = torch.zeros(3, 1, SIZE, SIZE)
    maps[1, 0, 0, 0] = 1
    maps[2] = ordered()
    rows, _ = table(reader, pairs, Explained(maps))
    assert rows["ties"].tolist() == pytest.approx([1, 255 / 256, 0])
    assert rows["energy"].isna().tolist() == [True, False, False]


@pytest.mark.parametrize("stuck", [None, torch.tensor([False, True, False])])
def test_masks_are_taken_as_they_are_whatever_the_areas(reader, pairs, maps, stuck):
    mask = torch.ones(3, 1, SIZE, SIZE)
    mask[0, 0, 0, 0] = 0.5  # halfway to the black reference: logit 0, and 0 in the reverse image
    mask[1] = 0.0
    rows, _ = table(reader, pairs, Explained(maps, mask, stuck), areas=None)
    assert rows["area"].tolist() == pytest.approx([0.5 / 256, 1, 0])
    assert rows["p_masked"].tolist() == pytest.approx(expit([0, -4, 1]), abs=1e-6)
    assert rows["p_reverse"].tolist() == pytest.approx(expit([0, 4, -2]), abs=1e-6)
    assert rows["stuck"].tolist() == ([0, 0, 0] if stuck is None else [0, 1, 0])
    assert rows[["p_reverse_cut", "change_cut"]].isna().all(axis=None)
    plain, _ = table(reader, pairs, Explained(maps))
    for column in ("deletion", "insertion", "ties", "energy", "p_clean"):  # of the maps, not of the masks
        assert rows[column].tolist() == plain[column].tolist()


def test_at_equal_area_the_hottest_pixels_count_and_not_the_mask(reader, pairs, maps):
    """A mask that replaces everything shows each class in its reverse image; its map, cut to one, two and four pixels,
    does so for the first two pairs only, whose hottest pixels are the evidence.
    """
    everything = torch.zeros(3, 1, SIZE, SIZE)
    rows, _ = table(reader, pairs, Explained(maps, everything))
    cut, _ = table(reader, pairs, Explained(maps))
    assert rows["p_reverse"].tolist() == pytest.approx(expit([4, 4, 1]), abs=1e-6)
    assert rows["p_reverse_cut"].tolist() == pytest.approx(expit([4, 4, -2]), abs=1e-6)
    assert rows["change_cut"].tolist() == pytest.approx([0, (expit(1) - expit(-2)) / 2, 0], abs=1e-6)
    assert (rows["change"] > rows["change_cut"] + 0.1).any()
    for column in ("p_reverse", "change"):  # a map without a mask is cut already
        assert cut[column].tolist() == cut[f"{column}_cut"].tolist() == rows[f"{column}_cut"].tolist()


@pytest.mark.parametrize("masked", [True, False])
def test_a_row_does_not_depend_on_the_others(pairs, masked):
    """The maps hold ties everywhere, so the order of deletion is drawn from the key."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 3)).double().eval()
    network.card = {"multi_label": True}
    images = torch.rand(3, 1, SIZE, SIZE, generator=generator(6, 1)).double()
    pairs = images, torch.tensor([2, 0, 1]), torch.zeros_like(images), pairs[3]
    maps = torch.randint(0, 3, (3, 1, SIZE, SIZE), generator=generator(6, 2)).double()
    explained = Explained(maps, maps / 2, maps[:, 0, 0, 0] > 0) if masked else Explained(maps)
    keys = [8, 2, 5]
    areas = torch.tensor([0.1, 0.2, 0.3])

    def run(chosen, keys=keys, **options):
        parts = [part[chosen] for part in pairs]
        fields = (explained.maps, explained.mask, explained.stuck)
        some = Explained(*(part if part is None else part[chosen] for part in fields))
        return score(network, *parts, some, areas=areas[chosen], keys=[keys[n] for n in chosen], **options)

    rows, curves = run([0, 1, 2])
    for chosen in ([1], [2, 0], [2, 1, 0]):
        found, found_curves = run(chosen)
        expected = rows.iloc[chosen].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, expected, rtol=0, atol=1e-6)
        assert torch.allclose(found_curves, curves[chosen], rtol=0, atol=1e-6)
    for options in ({"keys": [9, 9, 9]}, {"seed": 1}):
        other, _ = run([0, 1, 2], **options)
        assert (other["deletion"] != rows["deletion"]).all()
        assert other["energy"].tolist() == rows["energy"].tolist()
        assert (other["area"].tolist() == rows["area"].tolist()) and (other["ties"].tolist() == rows["ties"].tolist())


def test_the_network_and_the_images_are_returned_as_they_were(reader, pairs, maps, condition, fail_on_call):
    before, copies = condition(reader.train()), [part.clone() for part in pairs]
    _, curves = table(reader, pairs, Explained(maps))
    assert not curves.requires_grad
    assert condition(reader) == before
    assert all(torch.equal(*each) for each in zip(pairs, copies, strict=True))
    fail_on_call(reader, 2)
    before = condition(reader)
    with pytest.raises(RuntimeError, match="call 2"):
        table(reader, pairs, Explained(maps))
    assert condition(reader) == before


# ---- the oracle and what deleted pixels become


@pytest.fixture
def scene():
    """A bright pixel at (3, 4) is all that class 0 is; class 1 is a grey one that stays."""
    images = torch.full((1, 1, SIZE, SIZE), 0.2)
    images[..., 3, 4] = 1
    ink = torch.zeros(1, 1, SIZE, SIZE)
    ink[..., 3, 4] = 1
    return Reader([(3, 4), (9, 9)], [20.0, 20.0], [-10.0, -10.0]).eval(), images, ink


def test_the_oracle_removes_the_object_and_nothing_else(scene):
    network, images, ink = scene
    references = torch.full_like(images, 0.2)
    given = (network, images, torch.tensor([0]), references, ink.bool(), Explained(ink, 1 - ink))
    rows, curves = score(*given, areas=None, keys=[0])
    row = rows.iloc[0]
    assert row["area"] == pytest.approx(1 / PIXELS)
    assert row["p_masked"] == pytest.approx(expit(20 * 0.2 - 10))
    assert row["p_reverse"] == pytest.approx(expit(10))
    assert row["change"] == pytest.approx(0)
    assert row["energy"] == 1
    mean = (255 * 0.2 + 1) / PIXELS
    gone, first = expit(20 * mean - 10), 1 / PIXELS  # the first step removes one pixel: the object
    assert curves[0, :2].tolist() == pytest.approx([expit(10), gone])
    assert row["deletion"] == pytest.approx(first * (expit(10) + gone) / 2 + (1 - first) * gone)


def test_a_substrate_is_what_its_name_says(scene):
    _, images, _ = scene
    two = torch.cat([images, images / 2])
    found = substrates(two, two + 0.1, keys=[4, 9], seed=3)
    assert list(found) == ["mean colour", "black", "blur", "noise"]
    assert found["mean colour"][1, 0, 0, 0] == pytest.approx((255 * 0.2 + 1) / PIXELS / 2)
    assert not found["black"].any()
    assert torch.equal(found["blur"], two + 0.1)
    assert torch.equal(found["noise"][1], torch.rand(1, SIZE, SIZE, generator=generator(3, 9)))


def test_every_map_is_deleted_into_every_substrate(scene):
    network, images, ink = scene
    found = {"oracle": Explained(ink, 1 - ink), "none": Explained(1 - ink)}
    rows = on_substrates(network, images, torch.tensor([0]), images * 0 + 0.2, found, keys=[7])
    assert rows[["pair", "method"]].drop_duplicates().to_numpy().tolist() == [[7, "oracle"], [7, "none"]]
    indexed = rows.set_index(["method", "substrate"])
    played = indexed["deletion"]
    assert len(played) == 8
    gone, first = expit(-10), 1 / PIXELS
    assert played["oracle", "black"] == pytest.approx(first * (expit(10) + gone) / 2 + (1 - first) * gone, rel=1e-5)
    assert played["none", "black"] > 0.9  # the object goes last
    assert indexed.loc["none", "change"].isna().all() and indexed.loc["oracle", "change"].notna().all()
    clean, without = (probabilities(network, each)[0, 1:] for each in (images, images * (1 - ink)))
    assert indexed.loc[("oracle", "black"), "change"] == pytest.approx((clean - without).abs().mean().item(), abs=1e-6)


def test_a_deletion_that_is_known_is_not_played_again(scene):
    network, images, ink = scene
    given = (network, images, torch.tensor([0]), images * 0 + 0.2, {"oracle": Explained(ink, 1 - ink)})
    anew, taken = on_substrates(*given, keys=[7]), on_substrates(*given, keys=[7], known={"oracle": [0.125]})
    is_mean = taken["substrate"] == "mean colour"
    assert taken.loc[is_mean, "deletion"].tolist() == [0.125]
    assert taken[~is_mean].equals(anew[~is_mean])


def test_the_typical_pair_is_nearest_to_the_medians_among_those_of_several_objects():
    base = torch.tensor([0.001, 0.01, 0.1, 0.02, 0.005])
    changes = {"MP": base, "RP": base / 10}
    every, some = torch.ones(5, dtype=torch.bool), torch.tensor([True, False, True, True, False])
    assert typical(changes, every, without=0) == 1  # the median itself
    assert typical(changes, every, without=1) in (3, 4)
    assert typical(changes, some, without=0) == 3  # a factor of 2 away
    assert typical(changes, some, without=3) in (0, 2)  # a factor of 10 either way
    assert typical(changes, ~every, without=0) == 1  # no pair has several objects
    with pytest.raises(ValueError, match="1 pairs, expected at least 2"):
        typical({"MP": base[:1]}, every[:1], without=0)
