import dataclasses
import io
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import ndimage

from aecompanion.data import sources
from aecompanion.data.chest import Phantoms, phantom_set
from aecompanion.data.dataset import Dataset
from aecompanion.data.lungs import FINDINGS, OUTLINE, Tables, field_boxes, pair_of_lungs, read_tables
from aecompanion.data.phantom import Body, letter
from aecompanion.data.pixels import bits
from aecompanion.data.regions import bounding_box
from aecompanion.pipeline.rng import derive


def hand_made() -> Tables:
    """Two drawn pairs of lungs, seven label rows and two boxes of each finding."""
    rows, columns = np.mgrid[:OUTLINE, :OUTLINE]
    wide = [((columns - x) / 29) ** 2 + ((rows - 64) / 64) ** 2 < 1 for x in (29, 98)]
    square = [(abs(columns - x) < 24) & (rows > 40 - abs(columns - 64) // 2) for x in (24, 103)]
    table = np.zeros((7, len(FINDINGS)), bool)
    for row, names in zip(
        table,
        ["Atelectasis|Effusion", "Cardiomegaly|Effusion", "Infiltration", "Mass|Nodule", "Nodule", "Pneumothorax"]
        + ["Atelectasis|Infiltration|Mass|Pneumothorax"],
        strict=True,
    ):
        row[[FINDINGS.index(name) for name in names.split("|")]] = True
    boxes = {name: np.array([[0.2, 0.4, 0.3, 0.3], [0.8, 0.6, 0.2, 0.2]]) for name in FINDINGS}
    boxes["Cardiomegaly"] = np.array([[0.55, 0.7, 0.7, 0.4]] * 2)
    return Tables(np.array([wide, square]), table, boxes, {"blank": 3, "not two lungs": 1})


TABLES = hand_made()


def phantoms(**settings) -> Phantoms:
    return Phantoms(TABLES, **({"size": 32, "seed": 5, "marker_with": "Mass", "marker": (0.7, 0.4)} | settings))


def without_marker(index: int, **settings) -> np.ndarray:
    return phantoms(**settings, marker_with=None).render(index)[0]


def names_of(series: Phantoms, index: int) -> list[str]:
    """What an image shows, by its labels."""
    found, marked = series.labels(index)
    return [name for name, here in zip(FINDINGS, found, strict=True) if here] + ["marker"] * marked


def likely(count: int, tries: int, chance: float) -> bool:
    """Whether a binomial count lies within four and a half standard deviations of what is expected."""
    return abs(count - tries * chance) < 4.5 * np.sqrt(tries * chance * (1 - chance))


# do(finding = off)


@pytest.mark.parametrize("size", [32, 64])
def test_removing_a_finding_or_the_marker_changes_pixels_of_its_mask_and_no_others(size):
    series, removed = phantoms(size=size), set()
    for index in range(60):
        image, masks = series.render(index)
        for name, mask in masks.items():
            changed = series.render(index, without=[name])[0] != image
            assert not changed[~mask].any(), (index, name)
            assert changed.any(), (index, name)
            removed.add(name)
    assert removed == {*FINDINGS, "marker"}


def test_removing_one_leaves_the_masks_of_the_others():
    series = phantoms()
    for index in range(40):
        masks = series.render(index)[1]
        for name in masks:
            left = series.render(index, without=[name])[1]
            assert list(left) == [other for other in masks if other != name]
            assert all(np.array_equal(left[other], masks[other]) for other in left)


def test_removing_all_findings_leaves_the_healthy_body_of_that_image():
    for index in range(40):
        series = phantoms()
        rest, masks = series.render(index, without=names_of(series, index))
        assert masks == {}
        assert np.array_equal(rest, without_marker(index, healthy=1.0))


def test_removing_two_changes_pixels_of_their_masks_and_no_others():
    series = phantoms()
    index = next(index for index in range(100) if len(names_of(series, index)) > 2)
    first, second, *_ = names_of(series, index)
    image, masks = series.render(index)
    rest, left = series.render(index, without=(first, second))
    assert not (rest != image)[~(masks[first] | masks[second])].any()
    assert not {first, second} & set(left)


def test_the_names_to_leave_out_may_come_from_an_iterator():
    series = phantoms()
    index = next(index for index in range(100) if names_of(series, index))
    name = names_of(series, index)[0]
    expected, found = series.render(index, without=[name])[0], series.render(index, without=iter([name]))[0]
    assert np.array_equal(found, expected)


# what an image depends on


def test_an_image_depends_on_the_seed_and_its_index_and_not_on_those_made_before():
    series = phantoms()
    forwards = [series.render(index)[0] for index in range(8)]
    backwards = [phantoms().render(index)[0] for index in reversed(range(8))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert len({image.tobytes() for image in forwards}) == 8


def test_another_seed_gives_other_images():
    assert not any(np.array_equal(phantoms().render(i)[0], phantoms(seed=6).render(i)[0]) for i in range(5))


def test_the_marker_settings_change_nothing_but_the_marker():
    for index in range(30):
        image, masks = phantoms(marker=(1, 1)).render(index)
        assert not (image != without_marker(index))[~masks["marker"]].any()
        assert (image[masks["marker"]] == np.float32(0.95)).all()


def test_the_labels_do_not_depend_on_the_size():
    for index in range(50):
        assert names_of(phantoms(size=32), index) == names_of(phantoms(size=128), index)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_an_image_is_float32_in_the_unit_interval_with_masks_of_its_size(size):
    for index in range(20):
        image, masks = phantoms(size=size).render(index)
        assert (image.shape, image.dtype) == ((size, size), np.float32)
        assert 0 <= image.min() < image.max() <= 1
        assert all((mask.shape, mask.dtype) == ((size, size), bool) for mask in masks.values())


def test_the_global_generators_stay():
    before, state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002, it is what must not change
    phantoms().render(0)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), state)


# labels


def test_the_masks_are_those_of_the_labels_in_their_order():
    """A finding too faint or too small to be seen keeps its key and its label, with a mask that may be empty."""
    for index in range(60):
        assert list(phantoms().render(index)[1]) == names_of(phantoms(), index)


def test_a_finding_too_faint_to_be_seen_keeps_its_label_and_has_an_empty_mask(monkeypatch):
    monkeypatch.setattr("aecompanion.data.phantom.CONTRAST", dict.fromkeys(FINDINGS, (1e-4, 2e-4)))
    series = phantoms(healthy=0, marker_with=None)
    for index in range(10):
        image, masks = series.render(index)
        assert list(masks) == names_of(series, index) != []
        assert not any(mask.any() for mask in masks.values())
        assert np.array_equal(image, without_marker(index, healthy=1.0))
    with pytest.raises(ValueError, match="none of the 3 test images has a finding"):
        phantom_set(series, {"test": 3})


def test_findings_occur_together_only_as_in_a_row_of_the_table():
    rows = {row.tobytes() for row in TABLES.rows}
    found = {phantoms(healthy=0).labels(index)[0].tobytes() for index in range(300)}
    assert found == rows


def test_the_findings_are_chosen_with_the_square_root_of_their_frequency():
    rows = np.zeros((20, len(FINDINGS)), bool)
    rows[:16, FINDINGS.index("Effusion")] = rows[16:, FINDINGS.index("Nodule")] = True  # 4 to 1 becomes 2 to 1
    series = Phantoms(dataclasses.replace(TABLES, rows=rows), healthy=0)
    effusions = sum(series.labels(index)[0][FINDINGS.index("Effusion")] for index in range(1500))
    assert likely(effusions, 1500, 2 / 3)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_the_healthy_share_has_no_finding(share):
    healthy = sum(not phantoms(healthy=share).labels(index)[0].any() for index in range(1000))
    assert likely(healthy, 1000, share) if 0 < share < 1 else healthy == 1000 * share


def test_changing_a_label_leaves_the_table():
    before = TABLES.rows.copy()
    for index in range(20):
        phantoms().labels(index)[0][:] = True
    assert np.array_equal(TABLES.rows, before)


# the marker


@pytest.mark.parametrize("chances", [(0.8, 0.2), (0.5, 0.5), (1.0, 0.0)])
def test_the_marker_goes_with_its_finding(chances):
    series = phantoms(marker_with="Effusion", marker=chances)
    drawn = [series.labels(index) for index in range(1500)]
    for has, chance in zip((True, False), chances, strict=True):
        marks = [marked for found, marked in drawn if found[FINDINGS.index("Effusion")] == has]
        assert len(marks) > 300
        assert likely(sum(marks), len(marks), chance) if 0 < chance < 1 else sum(marks) == len(marks) * chance


def test_the_marker_depends_on_no_other_finding():
    """Given the finding it goes with, the marker tells nothing about the others."""
    series = phantoms(marker_with="Mass", marker=(0.7, 0.3))
    drawn = [series.labels(index) for index in range(2500)]
    nodule, mass = FINDINGS.index("Nodule"), FINDINGS.index("Mass")
    for has, chance in ((True, 0.7), (False, 0.3)):
        marks = [marked for found, marked in drawn if found[mass] == has and found[nodule]]
        assert len(marks) > 100
        assert likely(sum(marks), len(marks), chance)


def test_without_a_marker_no_image_has_one():
    assert not any(phantoms(marker_with=None, marker=(1, 1)).labels(index)[1] for index in range(100))


@pytest.mark.parametrize("size", [32, 64, 128])
def test_the_letter_lies_in_an_upper_corner_and_both_corners_occur(size):
    corners = []
    for number in range(60):
        mask = letter(size, np.random.default_rng(number))
        top, left, bottom, right = bounding_box(mask)
        assert (bottom - top, right - left) == (round(0.12 * size), round(0.08 * size))
        assert top >= 1
        assert bottom <= 0.2 * size
        assert right < size / 4 or left > 3 * size / 4
        corners.append(left > size / 2)
    assert likely(sum(corners), 60, 0.5)


def test_the_letter_is_an_upright_l():
    mask = letter(100, np.random.default_rng(0))
    top, left, bottom, right = bounding_box(mask)
    drawn = mask[top:bottom, left:right]
    assert drawn.shape == (12, 8)
    assert drawn[:, :3].all()
    assert drawn[-3:].all()
    assert not drawn[:-3, 3:].any()


# bad settings


@pytest.mark.parametrize("size", [16, 31])
def test_an_image_too_small_for_a_nodule_is_refused(size):
    with pytest.raises(ValueError, match=rf"^size is {size}, expected at least 32 \(a nodule would vanish\)$"):
        phantoms(size=size)


def test_a_marker_with_an_unknown_finding_is_refused():
    expected = "^marker_with is 'Pneumonia', expected one of Atelectasis, Cardiomegaly, .*, Pneumothorax or None$"
    with pytest.raises(ValueError, match=expected):
        phantoms(marker_with="Pneumonia")


@pytest.mark.parametrize("name", [*FINDINGS, "marker", "Pneumonia"])
def test_what_an_image_does_not_have_cannot_be_removed(name):
    series = phantoms(healthy=0.3, marker=(0.5, 0.5))
    index = next(index for index in range(100) if names_of(series, index) and name not in names_of(series, index))
    present = ", ".join(names_of(series, index))
    with pytest.raises(ValueError, match=rf"^image {index} has no '{name}', expected one of: {present}$"):
        series.render(index, without=[name])


def test_from_a_healthy_image_nothing_can_be_removed():
    with pytest.raises(ValueError, match=r"^image 3 has no 'Mass', expected one of: none$"):
        phantoms(healthy=1, marker=(0, 0)).render(3, without=["Mass"])


# outlines


def drawing(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """A 128×128 mask of filled boxes (top, left, bottom, right)."""
    mask = np.zeros((OUTLINE, OUTLINE), bool)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


LEFT, RIGHT = (20, 40, 84, 64), (20, 80, 84, 104)  # 64×24 each, in a frame of 64×64


def hollow() -> np.ndarray:
    mask = drawing(LEFT, RIGHT)
    mask[30:60, 46:58] = False
    return mask


def ragged() -> np.ndarray:
    mask = drawing(LEFT, RIGHT)
    mask[20:84:2, 88:104] = False
    return mask


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (drawing(), "blank"),
        (drawing((40, 50, 57, 59), (40, 70, 57, 79)), "blank"),  # 306 of 16384 pixels
        (drawing(LEFT), "not two lungs"),
        (~drawing(), "not two lungs"),
        (drawing(LEFT, RIGHT, (20, 10, 84, 34)), "not two lungs"),
        (drawing(LEFT, RIGHT, (100, 40, 113, 53)), "not two lungs"),  # 169 of 3241 pixels are more than 5 %
        (drawing((20, 40, 84, 80), (20, 79, 84, 104)), "not two lungs"),  # they touch
        (hollow(), "ragged or hollow"),
        (ragged(), "ragged or hollow"),
        (drawing(LEFT, (20, 80, 50, 104)), "odd proportions"),  # less than half as large
        (drawing((20, 40, 50, 64), RIGHT), "odd proportions"),
        (drawing((20, 10, 50, 35), (20, 80, 50, 105)), "odd proportions"),  # 1.2 times as high as wide
        (drawing((20, 40, 100, 65), (20, 80, 100, 105)), "odd proportions"),  # 3.2 times
        (drawing((0, 40, 64, 64), (1, 80, 65, 104)), "cut by the border"),
        (drawing((63, 40, 127, 64), (64, 80, 128, 104)), "cut by the border"),
        (drawing((20, 0, 84, 24), RIGHT), "cut by the border"),
        (drawing(LEFT, (20, 104, 84, 128)), "cut by the border"),
    ],
)
def test_an_unusable_mask_is_refused_with_the_reason(mask, reason):
    assert pair_of_lungs(mask) == reason


def test_an_accepted_pair_is_scaled_to_fill_the_frame():
    found = pair_of_lungs(drawing(LEFT, RIGHT))
    expected = np.stack([drawing((0, 0, 128, 48)), drawing((0, 80, 128, 128))])  # 64×64 doubled
    assert found.dtype == bool
    assert np.array_equal(found, expected)


def test_the_lung_on_the_image_s_left_comes_first_whichever_is_larger():
    for left, right in (((20, 40, 70, 64), RIGHT), (LEFT, (20, 80, 70, 104))):
        found = pair_of_lungs(drawing(left, right))
        assert found[0, :, :64].any()
        assert not found[0, :, 64:].any()
        assert not found[1, :, :64].any()


@pytest.mark.parametrize("shift", [(-19, -39), (0, 0), (43, 23)])
def test_the_place_of_a_pair_does_not_matter(shift):
    """Up to one pixel from the border."""
    moved = np.roll(drawing(LEFT, RIGHT), shift, (0, 1))
    assert np.array_equal(pair_of_lungs(moved), pair_of_lungs(drawing(LEFT, RIGHT)))


def test_specks_below_five_percent_are_dropped():
    speck = drawing(LEFT, RIGHT, (100, 40, 112, 52))  # 144 of 3216 pixels
    assert np.array_equal(pair_of_lungs(speck), pair_of_lungs(drawing(LEFT, RIGHT)))


# boxes


def box_table(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["image", "finding", "x", "y", "width", "height"])


def test_a_box_is_carried_to_fractions_of_the_lung_field():
    """The field spans 122.88 to 901.12 px in width and 102.4 to 819.2 px in height."""
    table = box_table(
        ("a.png", "Mass", 122.88, 102.4, 778.24, 716.8),  # the field itself
        ("b.png", "Nodule", 0, 0, 1024, 1024),
        ("c.png", "Mass", 122.88, 102.4, 77.824, 71.68),
        ("d.png", "Mass", 823.296, 819.2, 77.824, 143.36),  # below the field
    )
    expected = [[0.5, 0.5, 1, 1], [0.05, 0.05, 0.1, 0.1], [0.95, 1.1, 0.1, 0.2]]
    np.testing.assert_allclose(field_boxes(table, "Mass"), expected, atol=1e-12)
    assert field_boxes(table, "Mass").dtype == float


def test_infiltration_is_called_infiltrate_in_the_box_table():
    table = box_table(("a.png", "Infiltrate", 122.88, 102.4, 778.24, 716.8), ("b.png", "Infiltration", 0, 0, 1, 1))
    np.testing.assert_allclose(field_boxes(table, "Infiltration"), [[0.5, 0.5, 1, 1]], atol=1e-12)


def test_a_finding_without_boxes_has_none():
    assert field_boxes(box_table(("a.png", "Mass", 1, 1, 1, 1)), "Nodule").shape == (0, 4)


# the data set

COUNTS = {"train": 5, "validation": 3, "test": 12}


@pytest.fixture(scope="module")
def made():
    return phantom_set(phantoms(), COUNTS)


def test_the_images_are_those_of_render_in_8_bits(made):
    dataset = made[0]
    assert (dataset.images.shape, dataset.images.dtype) == ((20, 1, 32, 32), np.uint8)
    for index in range(20):
        assert np.array_equal(dataset.images[index, 0], (phantoms().render(index)[0] * 255).round().astype(np.uint8))


def test_the_labels_splits_and_classes_are_those_of_the_series(made):
    dataset = made[0]
    assert dataset.multi_label
    assert dataset.labels.dtype == torch.int64
    assert dataset.labels.tolist() == [phantoms().labels(index)[0].astype(int).tolist() for index in range(20)]
    assert dataset.split.tolist() == ["train"] * 5 + ["validation"] * 3 + ["test"] * 12
    assert dataset.classes == list(FINDINGS)
    assert (dataset.channels, dataset.size) == (1, 32)
    assert dataset.source == "chest phantoms drawn on real lung outlines, not radiographs"


def test_the_counts_tell_images_findings_and_outlines(made):
    per_image = [int(phantoms().labels(index)[0].sum()) for index in range(20)]
    assert made[0].counts == {
        "images": 20,
        "no finding": per_image.count(0),
        "several findings": sum(found > 1 for found in per_image),
        "lung outlines": 2,
        "outlines refused, blank": 3,
        "outlines refused, not two lungs": 1,
    }


def test_the_regions_are_the_findings_of_the_test_images_with_the_image_without_each(made):
    regions, entry = made[1], 0
    for index in range(8, 20):
        for name, mask in phantoms().render(index)[1].items():
            if name == "marker":
                continue
            assert (regions.image[entry], regions.label[entry]) == (index, FINDINGS.index(name))
            assert np.array_equal(regions.masks[entry], mask)
            assert tuple(regions.boxes[entry]) == bounding_box(mask)
            assert np.array_equal(regions.without[entry, 0], bits(phantoms().render(index, without=[name])[0]))
            entry += 1
    assert len(regions) == entry > 5
    assert regions.without.shape == (entry, 1, 32, 32)


def test_the_markers_of_the_test_images_carry_the_label_of_their_finding(made):
    markers = made[2]
    marked = [index for index in range(8, 20) if phantoms().labels(index)[1]]
    assert markers.image.tolist() == marked != []
    assert set(markers.label) == {FINDINGS.index("Mass")}
    assert any(not phantoms().labels(index)[0][FINDINGS.index("Mass")] for index in marked)
    for entry, index in enumerate(marked):
        assert np.array_equal(markers.masks[entry], phantoms().render(index)[1]["marker"])
        assert np.array_equal(markers.without[entry, 0], bits(phantoms().render(index, without=["marker"])[0]))


def test_every_image_is_told_to_have_the_marker_or_not(made):
    marked = made[3]
    assert (marked.shape, marked.dtype) == ((20,), bool)
    assert marked.tolist() == [phantoms().labels(index)[1] for index in range(20)]
    assert np.array_equal(np.flatnonzero(marked)[np.flatnonzero(marked) >= 8], made[2].image)


def test_in_8_bits_too_an_image_differs_from_the_one_without_inside_the_mask_only(made):
    dataset, findings, markers, _ = made
    for regions in (findings, markers):
        changed = dataset.images[regions.image, 0] != regions.without[:, 0]
        assert not (changed & ~regions.masks).any()
        assert changed.any((1, 2)).all()


def test_the_data_set_and_its_regions_survive_saving(made, tmp_path):
    dataset, regions, *_ = made
    dataset.save(tmp_path / "set")
    regions.save(tmp_path / "regions.npz")
    loaded = Dataset.load(tmp_path / "set")
    assert torch.equal(loaded.labels, dataset.labels)
    assert np.array_equal(loaded.images, dataset.images)
    assert (loaded.split.tolist(), loaded.counts) == (dataset.split.tolist(), dataset.counts)
    found = type(regions).load(tmp_path / "regions.npz")
    assert np.array_equal(found.masks, regions.masks)
    assert np.array_equal(found.without, regions.without)


def test_more_images_leave_the_first_ones_as_they_were(made):
    more = phantom_set(phantoms(), {"test": 30})[0]
    assert np.array_equal(more.images[:20], made[0].images)
    assert torch.equal(more.labels[:20], made[0].labels)


def test_without_a_marker_there_are_no_marker_regions():
    for settings in ({"marker_with": None}, {"marker": (0, 0)}):
        _, _, markers, marked = phantom_set(phantoms(**settings), {"test": 5})
        assert markers is None
        assert not marked.any()


def test_progress_sees_every_image_once():
    seen = []
    phantom_set(phantoms(), {"train": 1, "test": 5}, progress=lambda items: seen.extend(items) or items)
    assert seen == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("counts", "tests"), [({"test": 4}, 4), ({"test": 0}, 0), ({"train": 3}, 0), ({}, 0)])
def test_test_images_without_a_finding_are_refused(counts, tests):
    with pytest.raises(ValueError, match=f"^none of the {tests} test images has a finding, expected more test images$"):
        phantom_set(phantoms(healthy=1.0 if tests else 0.0), counts)


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="val"):
        phantom_set(phantoms(), {"val": 2, "test": 5})


# files


def write_tables(folder) -> None:
    """One usable mask, one blank one and a file that is no mask; three label rows; two boxes."""
    with zipfile.ZipFile(folder / "lung_masks.zip", "w") as archive:
        for name, mask in {"b.png": drawing(LEFT, RIGHT), "a.PNG": drawing()}.items():
            buffer = io.BytesIO()
            Image.fromarray((mask * 255).astype(np.uint8)).save(buffer, "PNG")
            archive.writestr(f"masks/{name}", buffer.getvalue())
        archive.writestr("masks/readme.txt", "masks")
    found = ["Mass|Nodule|Fibrosis", "No Finding", "Fibrosis", "Infiltration"]
    pd.DataFrame({"Image Index": list("abcd"), "Finding Labels": found}).to_csv(folder / "labels.csv.gz", index=False)
    boxes = [("a", "Mass", 122.88, 102.4, 778.24, 716.8), ("b", "Infiltrate", 122.88, 102.4, 77.824, 71.68)]
    columns = ["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]", "Unnamed: 6"]
    pd.DataFrame([(*row, None) for row in boxes], columns=columns).to_csv(folder / "boxes.csv.gz", index=False)


def test_the_tables_are_read_from_three_files(tmp_path):
    write_tables(tmp_path)
    seen = []
    tables = read_tables(tmp_path, progress=lambda names: seen.extend(names) or names)
    assert seen == ["masks/a.PNG", "masks/b.png"]
    assert np.array_equal(tables.lungs, pair_of_lungs(drawing(LEFT, RIGHT))[None])
    assert tables.refused == {"blank": 1}
    assert [[name for name, has in zip(FINDINGS, row, strict=True) if has] for row in tables.rows] == [
        ["Mass", "Nodule"],
        ["Infiltration"],
    ]
    assert {name: len(boxes) for name, boxes in tables.boxes.items() if len(boxes)} == {"Mass": 1, "Infiltration": 1}


@pytest.mark.parametrize("name", ["lung_masks.zip", "labels.csv.gz", "boxes.csv.gz"])
def test_a_missing_file_is_named(tmp_path, name):
    write_tables(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is missing: `make data` copies it from torchxrayvision"):
        read_tables(tmp_path)


def test_of_several_missing_files_the_first_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="lung_masks.zip is missing"):
        read_tables(tmp_path)


# where a box goes in a body


@pytest.mark.parametrize("inside", [0.0, 0.3])
@pytest.mark.parametrize(("x", "side"), [(0.2, 0), (0.48, 0), (0.52, 1), (0.8, 1), (-0.1, 0), (1.2, 1)])
def test_a_box_is_moved_into_the_lung_of_its_side_as_deep_as_asked(x, side, inside):
    for number in range(10):
        body = Body(TABLES.lungs[0], 64, np.random.default_rng(number))
        column, row, found = body.at(np.array([x, 0.5, 0.1, 0.1]), inside=inside)
        depth = ndimage.distance_transform_edt(body.lungs[side])
        assert found == side
        assert depth[round(row * 64), round(column * 64)] >= max(1, inside * depth.max())


def test_a_box_deep_in_a_lung_stays_where_it_is():
    body = Body(TABLES.lungs[0], 64, np.random.default_rng(0))
    left, top, wide, high = body.field
    column, row, _ = body.at(np.array([0.23, 0.45, 0.1, 0.1]), inside=0.2)
    assert (column, row) == pytest.approx((left + 0.23 * wide, top + 0.45 * high), abs=0.5 / 64)


# the tables that torchxrayvision ships


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as monkeypatch:
        shipped = [source for source in sources.manifest() if source.path.startswith("chest/")]
        monkeypatch.setattr(sources, "manifest", lambda: shipped)
        sources.fill(folder)
    return read_tables(folder / "chest")


def test_every_one_of_the_517_masks_is_taken_or_refused_with_a_reason(real):
    assert len(real.lungs) + sum(real.refused.values()) == 517
    assert len(real.lungs) > 300
    assert set(real.refused) <= {
        "blank",
        "not two lungs",
        "ragged or hollow",
        "odd proportions",
        "cut by the border",
    }


def test_every_outline_is_two_separate_lungs_that_fill_the_frame(real):
    assert (real.lungs.shape[1:], real.lungs.dtype) == ((2, OUTLINE, OUTLINE), bool)
    for left, right in real.lungs:
        assert bounding_box(left | right) == (0, 0, OUTLINE, OUTLINE)
        assert not (left & right).any()
        assert np.nonzero(left)[1].mean() < np.nonzero(right)[1].mean()


def test_the_label_table_has_the_findings_as_often_as_nih_says(real):
    counts = dict(zip(FINDINGS, real.rows.sum(0).tolist(), strict=True))
    assert counts == {
        "Atelectasis": 11559,
        "Cardiomegaly": 2776,
        "Effusion": 13317,
        "Infiltration": 19894,
        "Mass": 5782,
        "Nodule": 6331,
        "Pneumothorax": 5302,
    }
    assert real.rows.any(1).all()


def test_the_box_table_has_the_findings_as_often_as_nih_says(real):
    assert {name: len(boxes) for name, boxes in real.boxes.items()} == {
        "Atelectasis": 180,
        "Cardiomegaly": 146,
        "Effusion": 153,
        "Infiltration": 123,
        "Mass": 85,
        "Nodule": 79,
        "Pneumothorax": 98,
    }
    centres = np.concatenate(list(real.boxes.values()))[:, :2]
    assert ((centres > -0.2) & (centres < 1.3)).all()  # most in the field, none far from it


@pytest.fixture(scope="module")
def drawn(real):
    """Of each finding in 400 images of 64 px: its mask, the body it is in, and what it adds inside the mask."""
    series, found = Phantoms(real), {name: [] for name in FINDINGS}
    for index in range(400):
        image, masks = series.render(index)
        rng = series.stream(index, 1)
        body = Body(real.lungs[rng.integers(len(real.lungs))], series.size, rng)
        for name, mask in masks.items():
            found[name].append((mask, body, (image - series.render(index, without=[name])[0])[mask]))
    return found


def centre(mask: np.ndarray) -> tuple[float, float]:
    """Row and column of a mask's centre, in pixels."""
    rows, columns = np.nonzero(mask)
    return rows.mean(), columns.mean()


def test_no_finding_of_the_real_tables_is_too_faint(drawn):
    assert min(len(entries) for entries in drawn.values()) > 20
    for name, entries in drawn.items():
        assert all(mask.any() for mask, *_ in entries), name


def test_effusions_lie_lower_than_pneumothoraces(drawn):
    low, high = ([centre(mask)[0] for mask, *_ in drawn[name]] for name in ("Effusion", "Pneumothorax"))
    assert np.mean(low) > np.mean(high) + 16  # a quarter of the image
    assert min(low) > max(high)


@pytest.mark.parametrize("name", ["Nodule", "Mass", "Atelectasis"])
def test_nodules_masses_and_plates_are_centred_in_a_lung(drawn, name):
    inside = [body.lungs.any(0)[tuple(np.round(centre(mask)).astype(int))] for mask, body, _ in drawn[name]]
    assert np.mean(inside) >= 0.95


@pytest.mark.parametrize(("name", "share"), [("Effusion", 0.7), ("Pneumothorax", 0.8)])
def test_fluid_and_air_stay_in_one_lung(drawn, name, share):
    for mask, body, _ in drawn[name]:
        touched = [(lung & mask).sum() for lung in body.lungs]
        assert min(touched) == 0
        assert max(touched) >= share * mask.sum()


def test_a_pneumothorax_lies_at_the_rim_of_the_upper_lung(drawn):
    for mask, body, _ in drawn["Pneumothorax"]:
        lung = body.lungs[int((body.lungs[1] & mask).any())]
        rows = np.flatnonzero(lung.any(1))
        assert centre(mask)[0] < rows.mean()
        assert not (mask & lung)[rows[0] + round(0.5 * body.size) + 2 :].any()


def test_cardiomegaly_lies_around_the_heart(drawn):
    for mask, body, _ in drawn["Cardiomegaly"]:
        row, column = centre(mask)
        assert np.hypot(column / 64 - body.heart[0], row / 64 - body.heart[1]) < body.radii[0]


def test_a_nodule_is_smaller_than_a_mass(drawn):
    nodules, masses = ([mask.sum() for mask, *_ in drawn[name]] for name in ("Nodule", "Mass"))
    assert np.mean(nodules) < np.mean(masses) / 2


@pytest.mark.parametrize("name", FINDINGS)
def test_a_pneumothorax_darkens_and_every_other_finding_brightens(drawn, name):
    changes = [change.mean() for *_, change in drawn[name]]
    assert max(changes) < 0 if name == "Pneumothorax" else min(changes) > 0


@pytest.mark.parametrize("size", [32, 128])
def test_a_pneumothorax_darkens_at_every_size(real, size):
    series = Phantoms(real, size=size, healthy=0)
    having = [index for index in range(250) if series.labels(index)[0][FINDINGS.index("Pneumothorax")]]
    assert len(having) > 20
    for index in having[:30]:
        change = series.render(index)[0] - series.render(index, without=["Pneumothorax"])[0]
        assert change.sum() < 0


def test_half_of_the_bodies_are_mirrored_and_the_heart_stays_on_the_image_s_right(real):
    body_of = [Body(real.lungs[0], 64, np.random.default_rng(derive(0, number))) for number in range(100)]
    larger = [body.lungs[0].sum() > body.lungs[1].sum() for body in body_of]
    assert likely(sum(larger), 100, 0.5)
    assert all(body.heart[0] > body.field[0] + body.field[2] / 2 for body in body_of)
