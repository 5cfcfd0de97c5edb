import gzip
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from aecompanion.data import chest_xray14 as module
from aecompanion.data.chest_xray14 import chest_xray14, prepared_box, split_by_patient
from aecompanion.data.pixels import read_image
from aecompanion.pipeline.paths import ROOT

SHARED = ROOT.parent / "shared" / "data"  # real data sets, outside the project
ENTRY, BOXES = "Data_Entry_2017_v2020.csv", "BBox_List_2017.csv"
ENTRY_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
BOXES_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
# name: findings, view; twelve images of five patients, and one that the folder has not
ROWS = {
    "00000001_000.png": ("Cardiomegaly", "PA"),
    "00000001_001.png": ("Cardiomegaly|Emphysema", "AP"),
    "00000001_002.png": ("Effusion|Mass", "PA"),
    "00000002_000.png": ("No Finding", "PA"),
    "00000003_000.png": ("Hernia", "PA"),
    "00000003_001.png": ("Infiltration", "AP"),
    "00000003_002.png": ("Effusion|Infiltration|Mass", "PA"),
    "00000004_000.png": ("No Finding", "AP"),
    "00000004_001.png": ("Mass", "PA"),
    "00000004_002.png": ("Pleural_Thickening", "PA"),
    "00000005_000.png": ("Effusion", "AP"),
    "00000005_001.png": ("No Finding", "PA"),
    "00000006_000.png": ("Effusion", "PA"),
}
DRAWN = [
    ("00000003_001.png", "Infiltrate", 512, 256, 256, 512),
    ("00000001_002.png", "Mass", 64.5, 128, 160.5, 384),
    ("00000001_002.png", "Effusion", 512, 512, 512, 512),
    ("00000001_000.png", "Cardiomegaly", 300, 500, 400, 300),
    ("00000006_000.png", "Effusion", 1, 2, 3, 4),
]
FINDINGS = ("Effusion", "Infiltration", "Mass")

SAFELY = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # not in Python 3.11.0 to 3.11.3


def write_entry(file, rows, *, sex="Gender"):
    """The first original image is square, the others are not, as in the real table."""
    lines = [
        f"{name},{findings},{int(name[9:12])},{int(name[:8])},57,M,{view},{2048 + 100 * i},2048,0.168,0.168"
        for i, (name, (findings, view)) in enumerate(rows.items())
    ]
    file.write_text("\n".join([ENTRY_HEADER.replace("Gender", sex), *lines]) + "\n")
    return file


def write_boxes(file, drawn):
    lines = [",".join(map(str, box)) + ",,," for box in drawn]
    file.write_text("\n".join([BOXES_HEADER, *lines]) + "\n")
    return file


def radiograph(file, shape=(64, 64), mode="L"):
    """Random grey pixels that depend on the name."""
    pixels = np.random.default_rng(list(file.name.encode())).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(file)


@pytest.fixture
def root(tmp_path):
    """ChestX-ray14 in miniature: 64×64 files, of which one is 128 wide, one RGB and one RGBA."""
    images = tmp_path / "nih" / "images"
    images.mkdir(parents=True)
    for name in list(ROWS)[:-1]:
        radiograph(images / name, (64, 128) if name == "00000003_001.png" else (64, 64))
    radiograph(images / "00000002_000.png", mode="RGB")
    radiograph(images / "00000004_000.png", mode="RGBA")
    write_entry(tmp_path / "nih" / ENTRY, ROWS)
    write_boxes(tmp_path / "nih" / BOXES, DRAWN)
    return tmp_path / "nih"


def read(root, **options):
    """The data set and its regions."""
    return chest_xray14(root, **({"findings": FINDINGS, "size": 32} | options))[:2]


# the images


def test_the_images_are_grey_in_the_order_of_their_names(root):
    dataset, _ = read(root)
    expected = [read_image(file, channels=1, size=32) for file in sorted((root / "images").iterdir())]
    assert dataset.images.dtype == np.uint8
    assert np.array_equal(dataset.images, expected)
    assert (dataset.channels, dataset.size, len(dataset)) == (1, 32, 12)


def test_the_source_and_the_counts(root):
    dataset, _ = read(root)
    assert dataset.source == "NIH ChestX-ray14, 12 radiographs of 5 patients"
    assert dataset.counts == {
        "images": 12,
        "patients": 5,
        "no finding": 3,
        "other findings only": 4,
        "several findings": 3,
        "boxes": 3,
        "boxes outside the chosen findings": 1,
        "boxes cropped away": 0,
        "unreadable": 0,
        "absent from the folder": 1,
        "absent from the table": 0,
    }


def test_a_thousand_is_written_with_a_comma(root):
    rows = {f"{1 + i // 2:08d}_{i % 2:03d}.png": ("No Finding", "PA") for i in range(1000)}
    write_entry(root / ENTRY, rows)
    for name in rows:
        Image.new("L", (2, 2)).save(root / "images" / name)
    assert read(root, size=2)[0].source == "NIH ChestX-ray14, 1,000 radiographs of 500 patients"


def test_the_images_may_lie_in_the_root_or_in_several_folders(root):
    whole, regions = read(root)
    (root / "images_002" / "images").mkdir(parents=True)
    for i, file in enumerate(sorted((root / "images").iterdir())):
        file.rename((root, root / "images_002" / "images")[i % 2] / file.name)
    moved, moved_regions = read(root)
    assert np.array_equal(moved.images, whole.images)
    assert np.array_equal(moved_regions.boxes, regions.boxes)


def test_a_large_set_stays_on_disk_and_gives_the_same_batches(root, monkeypatch):
    packed, regions = read(root)
    monkeypatch.setattr(module, "PACK_LIMIT", 12 * 32 * 32 - 1)
    lazy, lazy_regions = read(root)
    assert lazy.images is None
    assert len(lazy.files) == 12
    assert torch.equal(lazy.batch(range(12)), packed.batch(range(12)))
    assert np.array_equal(lazy_regions.boxes, regions.boxes)


def test_a_limit_is_an_even_spread_with_its_boxes(root):
    whole, _ = read(root)
    dataset, regions = read(root, limit=4)
    kept = [0, 4, 7, 11]
    assert np.array_equal(dataset.images, whole.images[kept])
    assert torch.equal(dataset.labels, whole.labels[kept])
    assert dataset.source == "NIH ChestX-ray14, 4 radiographs of 4 patients"
    assert dataset.counts["absent from the folder"] == 1
    assert regions is None
    assert len(read(root, limit=12)[0]) == len(read(root, limit=99)[0]) == 12


def test_a_skipped_image_is_counted_and_the_boxes_still_find_theirs(root):
    whole, before = read(root)
    (root / "images" / "00000001_001.png").write_bytes(b"broken")
    dataset, regions = read(root, unreadable="skip")
    kept = [0, *range(2, 12)]
    assert dataset.counts["unreadable"] == 1
    assert dataset.counts["images"] == 11
    assert np.array_equal(dataset.images, whole.images[kept])
    assert torch.equal(dataset.labels, whole.labels[kept])
    assert np.array_equal(regions.image, before.image - 1)
    assert np.array_equal(regions.boxes, before.boxes)


def test_an_image_without_a_row_is_left_out_and_counted(root):
    radiograph(root / "images" / "00000009_000.png")
    dataset, _ = read(root)
    assert dataset.counts["absent from the table"] == 1
    assert len(dataset) == 12


def test_every_image_is_reported_once(root):
    seen = []
    read(root, progress=lambda items: (seen.append(item) or item for item in items))
    assert len(seen) == len(set(seen)) == 12


# the labels


def test_the_labels_have_a_column_per_finding_in_the_given_order(root):
    dataset, _ = read(root, findings=["Mass", "Effusion", "Pleural_Thickening"])
    assert dataset.classes == ["Mass", "Effusion", "Pleural_Thickening"]
    assert dataset.labels.dtype == torch.int64
    assert dataset.multi_label
    expected = torch.zeros(12, 3, dtype=torch.int64)
    for image, finding in [(2, 0), (2, 1), (6, 0), (6, 1), (8, 0), (9, 2), (10, 1)]:
        expected[image, finding] = 1
    assert torch.equal(dataset.labels, expected)


def test_a_finding_that_no_image_has_is_a_column_of_zeros(root):
    assert read(root, findings=["Pneumonia"])[0].labels.tolist() == [[0]] * 12


def test_the_views_are_those_of_the_images_also_where_some_are_skipped(root):
    _, _, views = chest_xray14(root, findings=FINDINGS, size=32)
    assert views.tolist() == [view for _, view in list(ROWS.values())[:-1]]
    (root / "images" / "00000001_001.png").write_bytes(b"broken")
    _, _, fewer = chest_xray14(root, findings=FINDINGS, size=32, unreadable="skip")
    assert fewer.tolist() == [views[0], *views[2:]]


def test_a_view_that_the_table_leaves_empty_is_unknown(root):
    write_entry(root / ENTRY, ROWS | {"00000002_000.png": ("No Finding", "")})
    _, _, views = chest_xray14(root, findings=FINDINGS, size=32)
    assert (views[3], views[2], views[5]) == ("UNKNOWN", "PA", "AP")


def test_the_order_of_the_table_does_not_matter(root):
    whole, regions = read(root)
    write_entry(root / ENTRY, dict(reversed(ROWS.items())))
    write_boxes(root / BOXES, DRAWN[::-1])
    dataset, reversed_regions = read(root)
    assert np.array_equal(dataset.images, whole.images)
    assert torch.equal(dataset.labels, whole.labels)
    assert dataset.split.tolist() == whole.split.tolist()
    for field in ("image", "label", "boxes"):
        assert np.array_equal(getattr(reversed_regions, field), getattr(regions, field))


# the split


def test_no_patient_is_in_two_splits(root):
    dataset, _ = read(root)
    patients = np.array([1, 1, 1, 2, 3, 3, 3, 4, 4, 4, 5, 5])
    assert all(len(set(dataset.split[patients == patient])) == 1 for patient in range(1, 6))
    assert set(dataset.split) == {"train", "validation", "test"}


def test_the_split_is_seven_one_and_two_tenths_of_the_patients():
    patients = np.random.default_rng(0).permutation(np.repeat(np.arange(100), 3))
    split = split_by_patient(patients, 0)
    sizes = [len(np.unique(patients[split == name])) for name in ("train", "validation", "test")]
    assert sizes == [70, 10, 20]
    assert all(len(set(split[patients == patient])) == 1 for patient in range(100))


def test_the_split_depends_on_the_seed_only(root):
    first, second = (read(root, findings=[finding])[0].split for finding in ("Mass", "Hernia"))
    assert first.tolist() == second.tolist()
    assert any(read(root, seed=seed)[0].split.tolist() != first.tolist() for seed in range(1, 4))


def test_the_global_generator_of_numpy_is_left_alone(root):
    np.random.random(1000)  # noqa: NPY002 - away from the state that torchxrayvision's seed gives
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    read(root)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# the boxes


def test_the_boxes_are_those_of_the_chosen_findings_of_images_at_hand(root):
    _, regions = read(root)
    assert list(zip(regions.image, regions.label, strict=True)) == [(2, 0), (2, 2), (5, 1)]
    assert regions.boxes.tolist() == [
        [16, 16, 32, 32],
        [4, 2, 16, 7],  # x from 64.5 to 225 of 1024 is 2.02 to 7.03 of 32
        [8, 16, 24, 32],  # of the 128 wide file: x from 64 to 96, less the 32 cut off, halved
    ]
    assert torch.equal(regions.box_masks()[:, 0], torch.from_numpy(regions.masks))
    assert regions.without is None


@pytest.mark.parametrize("shape", [(1024, 1024), (64, 64), (48, 96), (96, 48), (64, 96)])
@pytest.mark.parametrize("box", [(512, 256, 256, 512), (448, 384, 64, 128)])
def test_the_box_is_where_the_finding_is_in_the_prepared_image(tmp_path, shape, box):
    (height, width), (x, y, w, h) = shape, box
    pixels = np.zeros(shape, np.uint8)
    rows, columns = (round(edge * height / 1024) for edge in (y, y + h)), (round(e * width / 1024) for e in (x, x + w))
    pixels[slice(*rows), slice(*columns)] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    bright = read_image(tmp_path / "a.png", channels=1, size=32)[0] > 127
    top, left, bottom, right = prepared_box(box, shape, 32)
    expected = np.zeros((32, 32), bool)
    expected[top:bottom, left:right] = True
    assert np.array_equal(bright, expected)


@pytest.mark.parametrize(
    ("box", "shape", "expected"),
    [
        ((0, 0, 1024, 1024), (64, 64), (0, 0, 32, 32)),
        ((0, 0, 1024, 1024), (64, 128), (0, 0, 32, 32)),  # clipped on both sides
        ((0, 0, 512, 512), (64, 128), (0, 0, 16, 16)),
        ((0, 0, 512, 512), (128, 64), (0, 0, 16, 16)),
        ((768, 0, 256, 64), (64, 128), None),  # begins where the crop ends
        ((0, 0, 256, 64), (64, 128), None),  # ends where the crop begins
        ((0, 768, 64, 256), (128, 64), None),
        ((500, 500, 1, 1), (64, 64), (16, 16, 17, 17)),  # less than a pixel
        ((1023.9, 1023.9, 0.1, 0.1), (64, 64), (31, 31, 32, 32)),
    ],
)
def test_a_box_is_scaled_cropped_and_clipped(box, shape, expected):
    assert prepared_box(box, shape, 32) == expected


def test_a_box_outside_the_crop_is_counted(root):
    write_boxes(root / BOXES, [*DRAWN, ("00000003_001.png", "Mass", 0, 0, 200, 900)])
    dataset, regions = read(root)
    assert (dataset.counts["boxes"], dataset.counts["boxes cropped away"]) == (3, 1)
    assert len(regions) == 3


@pytest.mark.parametrize("findings", [["Hernia"], ["Emphysema", "Pneumonia"]])
def test_without_a_box_of_the_findings_there_are_no_regions(root, findings):
    dataset, regions = read(root, findings=findings)
    assert regions is None
    assert (dataset.counts["boxes"], dataset.counts["boxes outside the chosen findings"]) == (0, 4)


@pytest.mark.parametrize(
    ("box", "shown"),
    [
        ((10, 10, -5, 20), r"10(\.0)?, 10(\.0)?, -5(\.0)?, 20(\.0)?"),
        ((10, 10, 0, 5), r"10(\.0)?, 10(\.0)?, 0(\.0)?, 5(\.0)?"),
        ((10, 10, 5, 0), r"10(\.0)?, 10(\.0)?, 5(\.0)?, 0(\.0)?"),
        ((-1, 10, 5, 5), r"-1.*"),
        ((10, "wide", 5, 5), r"10(\.0)?, wide, 5(\.0)?, 5(\.0)?"),
        ((10, "", 5, 5), r"10(\.0)?, nan, 5(\.0)?, 5(\.0)?"),
        (("inf", 10, 5, 5), r"inf, 10.*"),
        ((900, 10, 200, 5), r"900.*"),
        ((1500, 2000, 300, 200), r"1500.*"),  # pixels of the original image
    ],
)
def test_a_malformed_box_is_named(root, box, shown):
    write_boxes(root / BOXES, [*DRAWN, ("00000001_000.png", "Mass", *box)])
    expected = rf"^{root}/{BOXES}: Mass box 6 of 00000001_000\.png is \({shown}\), expected numbers x, y, w, h .*1024$"
    with pytest.raises(ValueError, match=expected):
        read(root)


# the tables


def test_gzipped_tables_and_the_newer_column_name_are_read_alike(root):
    whole, regions = read(root)
    write_entry(root / ENTRY, ROWS, sex="Sex")
    for name in (ENTRY, BOXES):
        (root / f"{name}.gz").write_bytes(gzip.compress((root / name).read_bytes()))
        (root / name).unlink()
    dataset, same = read(root)
    assert torch.equal(dataset.labels, whole.labels)
    assert np.array_equal(same.boxes, regions.boxes)


def test_a_table_in_the_root_wins_over_a_given_one_and_that_over_the_shipped(root, tmp_path):
    other = dict.fromkeys(ROWS, ("Mass", "PA"))
    entry, boxes = write_entry(tmp_path / "e.csv", other), write_boxes(tmp_path / "b.csv", DRAWN[:1])
    assert read(root, entry=entry, boxes=boxes)[0].counts["boxes"] == 3
    assert read(root, entry=entry, boxes=boxes)[0].labels[:, 2].sum() == 3
    for name in (ENTRY, BOXES):
        (root / name).unlink()
    assert read(root, entry=entry, boxes=boxes)[0].counts["boxes"] == 1
    assert read(root, entry=entry, boxes=boxes)[0].labels[:, 2].sum() == 12
    counts = read(root)[0].counts  # ten of the names are real ones
    assert (counts["absent from the folder"], counts["absent from the table"]) == (112_120 - 10, 2)


@pytest.mark.parametrize(("option", "name"), [("entry", ENTRY), ("boxes", BOXES)])
def test_a_missing_table_is_named(root, tmp_path, option, name):
    (root / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"^{tmp_path}/gone\.csv: no such file, expected the table {name}"):
        read(root, **{option: tmp_path / "gone.csv"})


@pytest.mark.parametrize(
    ("table", "column"),
    [(ENTRY, name) for name in module.COLUMNS[ENTRY]]
    + [(ENTRY, "Patient Gender")]
    + [(BOXES, name) for name in module.COLUMNS[BOXES]],
)
def test_a_missing_column_is_named(root, table, column):
    header, *lines = (root / table).read_text().splitlines()
    columns = ["?" if name == column else name for name in header.split(",")]
    if column == "y":  # the entry table has an "y]" of its own
        assert columns.count("?") == 1
    (root / table).write_text("\n".join([",".join(columns), *lines]))
    with pytest.raises(ValueError) as raised:
        read(root)
    assert str(raised.value).startswith(f"{root}/{table}: has no column {column!r}, expected ")


def test_boxes_with_their_columns_in_another_order_are_refused(root):
    text = (root / BOXES).read_text()
    (root / BOXES).write_text(text.replace("Bbox [x,y,w,h]", "y,Bbox [x,w,h]", 1))
    with pytest.raises(ValueError, match=rf"{BOXES}: begins with Image Index, Finding Label, y, .*expected Image"):
        read(root)


@pytest.mark.parametrize("name", [ENTRY, BOXES])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x81"], ids=["empty", "binary"])
def test_a_file_that_is_no_table_is_named(root, name, content):
    (root / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{root}/{name}: (cannot be read as a table|has no column)"):
        read(root)


def test_ages_with_a_unit_are_refused(root):
    """The first release of the table writes 057Y; torchxrayvision counts on numbers."""
    (root / ENTRY).write_text((root / ENTRY).read_text().replace(",57,M", ",057Y,M"))
    with pytest.raises(ValueError, match=rf"^{root}/{ENTRY}, .*: cannot be read by torchxrayvision"):
        read(root)


def test_an_image_with_two_rows_is_named(root):
    text = (root / ENTRY).read_text()
    (root / ENTRY).write_text(text + text.splitlines()[5] + "\n")
    with pytest.raises(ValueError, match=rf"^{root}/{ENTRY}: 00000003_000\.png has more than one row, expected"):
        read(root)


@pytest.mark.parametrize(
    ("column", "old", "new"), [("Finding Labels", ",Hernia,", ",,"), ("Patient ID", ",3,57", ",,57")]
)
def test_an_empty_value_is_named(root, column, old, new):
    (root / ENTRY).write_text((root / ENTRY).read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=rf"{ENTRY}: '{column}' of 00000003_000\.png is empty, expected a value"):
        read(root)


@pytest.mark.parametrize("finding", ["Massive", "mass", "Pleural Thickening", ""])
def test_a_label_that_is_no_finding_is_named(root, finding):
    (root / ENTRY).write_text((root / ENTRY).read_text().replace("Effusion|Mass", f"Effusion|{finding}", 1))
    expected = rf"{ENTRY}: 00000001_002\.png has the finding '{finding}', expected No Finding or Atelectasis, Card"
    with pytest.raises(ValueError, match=expected):
        read(root)


# what is refused


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"^{tmp_path}/gone: no such folder, expected images/\*\.png in it$"):
        read(tmp_path / "gone")


def test_a_root_without_images_is_named(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "00000001_000.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=rf"^{tmp_path}: holds no \.png file, expected images/\*\.png$"):
        read(tmp_path)


def test_two_images_of_one_name_are_named(root):
    radiograph(root / "00000001_000.png")
    with pytest.raises(ValueError, match=r"images/00000001_000\.png: the same name as .*, expected each image once"):
        read(root)


def test_a_root_of_other_images_is_named(root):
    for i, file in enumerate((root / "images").iterdir()):
        file.rename(file.with_name(f"{i}.png"))
    with pytest.raises(ValueError, match=rf"^{root}: none of its 12 images is in {root}/{ENTRY}, expected names like"):
        read(root)


@pytest.mark.parametrize("finding", ["effusion", "Infiltrate", "No Finding", "Fracture"])
def test_an_unknown_finding_is_named_with_the_known_ones(root, finding):
    expected = rf"^finding '{finding}' is unknown to .*{ENTRY}, expected one of Atelectasis, Cardiomegaly, .*thorax$"
    with pytest.raises(ValueError, match=expected):
        read(root, findings=["Mass", finding])


@pytest.mark.parametrize("findings", [[], ["Mass", "Effusion", "Mass"]])
def test_no_findings_and_repeated_ones_are_refused(root, findings):
    with pytest.raises(ValueError, match=r"^findings is \[.*\], expected at least one and none twice$"):
        read(root, findings=findings)


def test_an_unreadable_image_is_named(root):
    (root / "images" / "00000004_001.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"images/00000004_001\.png: cannot be read as an image"):
        read(root)


def test_an_unknown_way_to_treat_unreadable_images_is_refused(root):
    with pytest.raises(ValueError, match="unreadable is 'ignore', expected 'error' or 'skip'"):
        read(root, unreadable="ignore")


@pytest.mark.parametrize("limit", [2, 0, -1])
def test_a_limit_below_three_is_refused(root, limit):
    with pytest.raises(ValueError, match=rf"limit is {limit}, expected at least 3"):
        read(root, limit=limit)


@pytest.mark.parametrize(("kept", "patients"), [("0000000[12]*", 2), ("", 0)])
def test_too_few_patients_to_split_are_refused(root, kept, patients):
    readable = set((root / "images").glob(kept)) if kept else set()
    for file in set((root / "images").iterdir()) - readable:
        file.write_bytes(b"broken")
    with pytest.raises(ValueError, match=rf"the images are of {patients} patient\(s\), expected at least 3"):
        read(root, unreadable="skip")


# real data


def test_a_thousand_real_radiographs(tmp_path):
    archive = SHARED / "nih64.tar.xz"
    if not archive.exists():
        pytest.skip(f"{archive} is absent: real data sets are not part of the project")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, **SAFELY)
    findings = ["Atelectasis", "Effusion", "Infiltration", "Mass"]
    dataset, regions, views = chest_xray14(tmp_path / "nih64", findings=findings)
    assert dataset.source == "NIH ChestX-ray14, 1,000 radiographs of 264 patients"
    assert dataset.images.shape == (1000, 1, 64, 64)
    assert dataset.counts["no finding"] == 499
    assert dataset.counts["several findings"] == 213
    assert (dataset.counts["boxes"], dataset.counts["boxes outside the chosen findings"]) == (7, 2)
    assert dataset.labels.sum(0).tolist() == [95, 170, 162, 35]
    assert [len(dataset.indices(split)) for split in ("train", "validation", "test")] == [665, 87, 248]
    assert len(regions) == 7
    assert [(views == view).sum() for view in ("PA", "AP")] == [637, 363]
    assert (dataset.labels[regions.image, regions.label] == 1).all()
