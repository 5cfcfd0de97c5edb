import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from aecompanion.data import photos, sources
from aecompanion.pipeline import paths
from aecompanion.pipeline.rng import generator

STILL = photos.Variation(rotation=0, flip=False, light=0, contrast=0, noise=0)
LARGE = dataclasses.replace(STILL, rotation=45, flip=True, smallest=0.4, largest=1.0)  # reaches every border
WHOLE = dataclasses.replace(STILL, smallest=1.0, largest=1.0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three photographs: the left half black, the right half of one colour; chelsea is 20×10, the others 10×10."""
    (tmp_path / "photos").mkdir()
    monkeypatch.setattr(paths, "DATA", tmp_path)
    listed = ["photos/imagenet_01_559.jpg", "photos/other.jpg", "photos/imagenet_00_7.jpg", "weights/imagenet_2.jpg"]
    monkeypatch.setattr(photos, "manifest", lambda: [SimpleNamespace(path=path) for path in listed])
    for name, width in {"chelsea.png": 20, "imagenet_01_559.png": 10, "imagenet_00_7.png": 10}.items():
        pixels = np.zeros((10, width, 3), np.uint8)
        pixels[:, width // 2 :] = 255, 51, 0
        file = tmp_path / "photos" / name
        Image.fromarray(pixels).save(file)
        if name != "chelsea.png":  # Pillow reads by content, so that the pixels stay exact under this suffix
            file.rename(file.with_suffix(".jpg"))
    return tmp_path


def test_the_names_are_chelsea_and_the_numbered_photographs_in_order(folder):
    assert photos.names() == ["chelsea", "imagenet_00_7", "imagenet_01_559"]


@pytest.mark.parametrize(("name", "label"), [("chelsea", 285), ("imagenet_00_7", 7), ("imagenet_01_559", 559)])
def test_the_label_is_the_last_number_of_the_name_and_the_egyptian_cat_for_chelsea(folder, name, label):
    assert photos.photograph(name, size=4)[1] == label


def test_a_photograph_of_the_wanted_size_has_its_own_pixels_in_the_unit_interval(folder):
    image, _ = photos.photograph("imagenet_00_7", size=10)
    assert (image.shape, image.dtype) == ((1, 3, 10, 10), torch.float32)
    assert torch.equal(image[0, :, :, :5], torch.zeros(3, 10, 5))
    assert torch.equal(image[0, :, 0, 9], torch.tensor([1.0, 51 / 255, 0.0]))


def test_the_centre_of_a_wide_photograph_is_cut_out(folder):
    narrow, wide = (photos.photograph(name, size=10)[0] for name in ("imagenet_00_7", "chelsea"))
    assert torch.equal(wide, narrow)  # 20×10 with the edge in the middle, cut to 10×10 with the edge in the middle


def test_a_photograph_is_224_pixels_wide_unless_told_otherwise(folder):
    image, _ = photos.photograph("chelsea")
    assert image.shape == (1, 3, 224, 224)
    assert (image.min(), image.max()) == (0, 1)


def test_an_unknown_name_is_an_error_that_lists_the_names(folder):
    expected = "^photograph 'chelsey' is unknown, expected one of: chelsea, imagenet_00_7, imagenet_01_559$"
    with pytest.raises(ValueError, match=expected):
        photos.photograph("chelsey")


@pytest.mark.parametrize(("name", "file"), [("chelsea", "chelsea.png"), ("imagenet_00_7", "imagenet_00_7.jpg")])
def test_while_data_is_empty_the_error_says_how_to_fill_it(folder, name, file):
    for each in (folder / "photos").iterdir():
        each.unlink()
    with pytest.raises(FileNotFoundError, match=f"^data/photos/{file} is missing: `make data` copies it"):
        photos.photograph(name)


# what the packages ship


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A data folder with the manifest's photographs."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as monkeypatch:
        shipped = [source for source in sources.manifest() if source.path.startswith("photos/")]
        monkeypatch.setattr(sources, "manifest", lambda: shipped)
        sources.fill(folder)
    return folder


@pytest.fixture
def shipped(filled, monkeypatch):
    """The photographs in the place of data/; nothing in it is to be changed."""
    monkeypatch.setattr(paths, "DATA", filled)
    return filled


def test_the_packages_ship_chelsea_and_twenty_labelled_photographs(shipped):
    names = photos.names()
    assert len(names) == 21
    for name in names:
        image, label = photos.photograph(name, size=16)
        assert image.shape == (1, 3, 16, 16)
        assert 0 <= image.min() < image.max() <= 1
        assert 0 <= label < 1000


def test_the_manifest_lists_every_scene_once_and_twenty_more():
    listed = [Path(source.path).stem for source in sources.manifest() if source.path.startswith("photos/")]
    scenes = " ".join(sorted(name for name in listed if not name.startswith("imagenet_")))
    assert scenes == "astronaut camera chelsea china coffee coins flower grace_hopper motorcycle rocket"
    assert len(listed) == len(set(listed)) == 30


def test_the_files_are_the_thirty_photographs_of_the_manifest_in_order(shipped):
    found = photos.files()
    assert list(found) == sorted(found)
    assert len(found) == 30
    manifest = {Path(source.path).stem: shipped / source.path for source in sources.manifest()}
    assert found == {name: manifest[name] for name in found}


def test_the_two_parts_of_a_shipped_photograph_are_the_whole(shipped):
    for file in photos.files().values():
        known, held_out, whole = (photos.region(file, part) for part in (photos.KNOWN, photos.HELD_OUT, (0, 1)))
        assert abs(known.shape[1] + held_out.shape[1] - whole.shape[1]) <= 1  # each is scaled and rounded by itself
        assert len(known) == len(held_out) == len(whole)
        assert min(whole.shape) == photos.WORKING_SIDE
        assert whole.shape[1] * 0.6 == pytest.approx(known.shape[1], abs=1)
        assert 0 <= whole.min() < whole.max() <= 1


def test_crops_of_the_shipped_photographs_differ_from_class_to_class(shipped):
    dataset = photos.crops(photos.files(), counts={"train": 1}, variation=STILL)
    assert len(dataset.classes) == 30
    assert dataset.images.reshape(30, -1).std(axis=1).min() > 1  # no crop is flat
    assert len({image.tobytes() for image in dataset.images}) == 30


@pytest.fixture
def placeholders(folder, monkeypatch):
    """Empty files with the thirty names, and files that are none of them."""
    monkeypatch.setattr(photos, "manifest", sources.manifest)
    for source in sources.manifest():
        if source.path.startswith("photos/"):
            (folder / source.path).touch()
    for name in ("other.jpg", "notes.txt"):
        (folder / "photos" / name).touch()
    (folder / "photos" / "imagenet_00_7.jpg").unlink()  # of the folder of three, not in the manifest
    return folder / "photos"


def test_other_files_beside_the_photographs_are_no_class(placeholders):
    found = photos.files()
    assert len(found) == 30
    assert not {"other", "notes"} & set(found)


@pytest.mark.parametrize(
    "name",
    [
        "astronaut.png",
        "motorcycle.png",
        "china.jpg",
        "imagenet_07_609.jpg",
    ],
)
def test_a_missing_photograph_is_named(placeholders, name):
    (placeholders / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"^data/photos/{name} is missing: `make data` copies it"):
        photos.files()


def test_without_a_folder_of_photographs_the_error_says_how_to_fill_it(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "DATA", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"^data/photos/astronaut\.png is missing: `make data` copies it"):
        photos.files()


# the parts of a photograph


def save(file, pixels):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file)
    return file


def edge(width, height=256):
    """Black on the left 60 %, white on the right 40 %."""
    return np.tile(np.where(np.arange(width) < round(0.6 * width), 0, 255), (height, 1))


@pytest.mark.parametrize(
    ("shape", "known", "held_out"),
    [
        ((256, 400), 240, 160),
        ((256, 256), 154, 102),
        ((512, 800), 240, 160),
        ((128, 200), 240, 160),
        ((400, 256), 154, 102),
    ],
)
def test_a_photograph_is_scaled_to_the_working_side_and_cut_at_60_percent(tmp_path, shape, known, held_out):
    file = save(tmp_path / "a.png", np.zeros(shape))
    height = 256 if shape[0] <= shape[1] else 400
    assert photos.region(file, photos.KNOWN).shape == (height, known)
    assert photos.region(file, photos.HELD_OUT).shape == (height, held_out)


def test_a_photograph_of_the_working_side_keeps_its_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    file = save(tmp_path / "a.png", pixels)
    assert np.array_equal(photos.region(file, (0, 1), side=20), pixels / 255)
    assert np.array_equal(photos.region(file, (0.2, 0.5), side=20), pixels[:, 6:15] / 255)


def test_a_coloured_photograph_becomes_its_luma(tmp_path):
    area = photos.region(save(tmp_path / "a.png", np.full((16, 16, 3), (200, 100, 50))), (0, 1), side=16)
    np.testing.assert_allclose(area * 255, np.full((16, 16), 0.299 * 200 + 0.587 * 100 + 0.114 * 50), atol=1)


def test_an_exif_rotation_is_applied_before_the_cut(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise: the lower part of the stored pixels becomes the left one
    stored = np.zeros((40, 20), np.uint8)
    stored[20:] = 255
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    left, right = (photos.region(tmp_path / "a.png", part, side=20) for part in ((0, 0.5), (0.5, 1)))
    assert np.array_equal(left, np.ones((20, 20)))
    assert np.array_equal(right, np.zeros((20, 20)))


def test_known_crops_show_nothing_of_the_held_out_part_and_the_other_way_round(tmp_path):
    file = save(tmp_path / "a.png", edge(400))
    for held_out, level in ((False, 0), (True, 255)):
        dataset = photos.crops({"a": file}, counts={"train": 60}, held_out=held_out, variation=LARGE)
        assert (dataset.images == level).all()


def test_scaling_does_not_carry_pixels_across_the_cut(tmp_path):
    file = save(tmp_path / "a.png", edge(800, 512))
    assert photos.region(file, photos.KNOWN).max() == 0
    assert photos.region(file, photos.HELD_OUT).min() == 1


# one crop


def gen(number):
    return torch.Generator().manual_seed(number)


def noise(height, width):
    """Independent uniform pixels."""
    return np.random.default_rng(0).random((height, width))


def plane(height, width, down=0.0, across=1.0):
    """A linear gradient: `down`·y + `across`·x in pixels, in the middle of [0,1]."""
    y, x = np.arange(height) - height / 2, np.arange(width) - width / 2
    return 0.5 + (down * y[:, None] + across * x) / 2000


def slopes(image):
    """Changes per pixel down and across of a plane, in its units; fails where the image is no plane."""
    down, across = np.diff(image, axis=0) * 2000, np.diff(image, axis=1) * 2000
    assert down.std() < 1e-2
    assert across.std() < 1e-2
    return down.mean().item(), across.mean().item()


@pytest.mark.parametrize("size", [64, 128])
def test_a_crop_as_large_as_its_area_is_the_mean_of_each_block(size):
    area = noise(256, 256)
    image = photos.crop(area, gen(1), size=size, variation=WHOLE)
    blocks = area.reshape(size, 256 // size, size, 256 // size).mean((1, 3))
    np.testing.assert_allclose(image, blocks, atol=1e-12)


def test_a_flipped_crop_is_the_mirror_image_and_about_half_are_flipped():
    area = noise(256, 256)
    plain = photos.crop(area, gen(0), size=64, variation=WHOLE)
    flipped = 0
    for number in range(40):
        image = photos.crop(area, gen(number), size=64, variation=dataclasses.replace(WHOLE, flip=True))
        mirrored = not np.allclose(image, plain, atol=1e-12)
        np.testing.assert_allclose(image[:, ::-1] if mirrored else image, plain, atol=1e-12)
        flipped += mirrored
    assert 10 <= flipped <= 30


@pytest.mark.parametrize(("down", "across"), [(0, 1), (1, 0), (-2, 3)])
def test_a_crop_of_a_gradient_is_the_gradient_at_its_scale(down, across):
    quarter = dataclasses.replace(STILL, smallest=0.25, largest=0.25)
    image = photos.crop(plane(256, 300, down, across), gen(0), size=32, variation=quarter)
    assert slopes(image) == pytest.approx((2 * down, 2 * across), abs=1e-2)  # 64 px become 32


@pytest.mark.parametrize("shape", [(256, 300), (400, 256), (256, 110)])
def test_the_sides_are_shares_of_the_working_side_that_fill_their_range(shape):
    sides = [
        slopes(photos.crop(plane(*shape), gen(number), size=64, variation=STILL))[1] * 64 / photos.WORKING_SIDE
        for number in range(60)
    ]
    assert 0.25 - 1e-3 <= min(sides) < 0.26
    assert 0.39 < max(sides) <= 0.4 + 1e-3


def test_a_turned_and_flipped_crop_keeps_angles_and_lengths():
    variation, orientations = dataclasses.replace(STILL, rotation=30, flip=True), set()
    for number in range(20):
        both = [
            slopes(photos.crop(plane(256, 300, *along), gen(number), size=32, variation=variation))
            for along in ((0, 1), (1, 0))
        ]
        (x_down, x_across), (y_down, y_across) = both
        assert x_down * y_down + x_across * y_across == pytest.approx(0, abs=0.01)
        assert np.hypot(x_down, x_across) == pytest.approx(np.hypot(y_down, y_across), abs=0.01)
        orientations.add(x_across * y_down - x_down * y_across > 0)
    assert orientations == {True, False}  # mirrored or not


@pytest.mark.parametrize("limit", [15.0, 40.0])
def test_the_rotations_fill_their_range_and_stay_inside(limit):
    turning = dataclasses.replace(STILL, rotation=limit)
    angles = []
    for number in range(60):
        down, across = slopes(photos.crop(plane(256, 256), gen(number), size=32, variation=turning))
        angles.append(np.degrees(np.arctan2(down, across)))
    assert -limit - 0.01 <= min(angles) < -0.9 * limit
    assert 0.9 * limit < max(angles) <= limit + 0.01


def test_a_crop_lies_inside_its_area_and_reaches_its_borders():
    """A gradient keeps its slope (`slopes` checks) only where nothing is reflected at a border."""
    variation = dataclasses.replace(STILL, rotation=20)
    lowest, highest = [], []
    for number in range(200):
        image = photos.crop(plane(256, 160), gen(number), size=16, variation=variation)
        slopes(image)
        lowest.append(image.min())
        highest.append(image.max())
    assert min(lowest) == pytest.approx(0.5 - 80 / 2000, abs=0.004)  # 80 px left of the middle, and half a cell
    assert max(highest) == pytest.approx(0.5 + 80 / 2000, abs=0.004)


def test_a_crop_wider_than_its_area_is_reflected_and_not_padded():
    area = np.full((256, 60), 0.7)
    image = photos.crop(area, gen(0), size=16, variation=dataclasses.replace(STILL, rotation=15))
    np.testing.assert_allclose(image, 0.7)


@pytest.mark.parametrize("field", ["rotation", "flip", "light", "contrast", "noise"])
def test_each_variation_alone_changes_crops(field):
    area = noise(256, 256)
    only = dataclasses.replace(WHOLE, **{field: getattr(photos.Variation(), field)})
    still = photos.crop(area, gen(0), size=32, variation=WHOLE)
    changed = [not np.array_equal(photos.crop(area, gen(n), size=32, variation=only), still) for n in range(20)]
    assert any(changed) if field == "flip" else all(changed)


@pytest.mark.parametrize("size", [16, 64, 90])
def test_a_crop_is_in_the_range_and_of_the_size(size):
    wild = photos.Variation(light=3, contrast=3, noise=1)
    image = photos.crop(noise(256, 200), gen(0), size=size, variation=wild)
    assert image.shape == (size, size)
    assert (image.min(), image.max()) == (0, 1)


# the data set


@pytest.fixture
def pictures(tmp_path):
    """Three photographs of noise, 300×256."""
    rng = np.random.default_rng(0)
    return {name: save(tmp_path / f"{name}.png", rng.integers(0, 256, (256, 300))) for name in ("b", "a", "c")}


def test_labels_splits_counts_and_classes_agree(pictures):
    dataset = photos.crops(pictures, counts={"train": 3, "validation": 1, "test": 2})
    assert (dataset.images.shape, dataset.images.dtype) == ((18, 1, 64, 64), np.uint8)
    assert (dataset.channels, dataset.size) == (1, 64)
    assert dataset.classes == ["b", "a", "c"]
    assert dataset.labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert dataset.split.tolist() == (["train"] * 3 + ["validation"] + ["test"] * 2) * 3
    assert dataset.counts == {"photographs": 3, "images": 18}


@pytest.mark.parametrize(("held_out", "part"), [(False, "the left 60 %"), (True, "the held-out right 40 %")])
def test_the_source_names_the_part_and_the_packages(pictures, held_out, part):
    dataset = photos.crops(pictures, counts={"test": 1}, size=8, held_out=held_out)
    assert dataset.source == (
        f"composed crops of {part} of 3 photographs shipped with foolbox, scikit-image, scikit-learn and matplotlib"
    )


@pytest.mark.parametrize("held_out", [False, True])
def test_a_crop_depends_on_seed_photograph_region_and_number(pictures, held_out):
    dataset = photos.crops(pictures, counts={"train": 2}, held_out=held_out, seed=7)
    area = photos.region(pictures["a"], photos.HELD_OUT if held_out else photos.KNOWN)
    expected = photos.crop(area, generator(7, 1, int(held_out), 1), size=64, variation=photos.Variation())
    assert np.array_equal(dataset.images[3, 0], (expected * 255).round())


def test_more_crops_leave_the_first_ones_as_they_were(pictures):
    few = photos.crops(pictures, counts={"train": 2, "test": 1}, size=16).images.reshape(3, 3, -1)
    many = photos.crops(pictures, counts={"train": 2, "test": 4}, size=16).images.reshape(3, 6, -1)
    assert np.array_equal(many[:, :3], few)


def test_further_photographs_leave_the_crops_of_the_first_as_they_were(pictures):
    one = photos.crops({"b": pictures["b"]}, counts={"train": 3}, size=16)
    assert np.array_equal(photos.crops(pictures, counts={"train": 3}, size=16).images[:3], one.images)


def test_the_splits_take_the_crops_in_the_order_of_the_counts(pictures):
    first, second = (
        photos.crops(pictures, counts=counts, size=16)
        for counts in ({"train": 2, "validation": 1, "test": 1}, {"test": 3, "train": 1})
    )
    assert np.array_equal(first.images, second.images)
    assert first.split[:4].tolist() == ["train", "train", "validation", "test"]
    assert second.split[:4].tolist() == ["test", "test", "test", "train"]


@pytest.mark.parametrize("change", [{"seed": 1}, {"held_out": True}, {"variation": STILL}])
def test_seed_part_and_variation_change_every_crop(pictures, change):
    plain, changed = (photos.crops(pictures, counts={"train": 3}, size=16, **kw).images for kw in ({}, change))
    assert not any(np.array_equal(a, b) for a, b in zip(plain, changed, strict=True))


def test_two_photographs_and_two_crops_are_not_varied_alike(pictures):
    images = photos.crops({"a": pictures["a"], "same": pictures["a"]}, counts={"train": 4}, size=16).images
    assert len({image.tobytes() for image in images}) == 8


def test_the_generator_state_of_torch_stays(pictures):
    before = torch.get_rng_state()
    photos.crops(pictures, counts={"train": 2}, size=16)
    assert torch.equal(torch.get_rng_state(), before)


def test_progress_sees_every_photograph_once(pictures):
    seen = []
    photos.crops(pictures, counts={"train": 2}, size=8, progress=lambda items: seen.extend(items) or items)
    assert seen == list(pictures.values())


@pytest.mark.parametrize(
    ("chosen", "counts", "message"),
    [
        (["a"], {"train": 1, "val": 1}, r"1 photographs with counts for \['train', 'val'\], expected at least one"),
        ([], {"train": 1}, r"0 photographs with counts for \['train'\], .* splits among train, validation and test"),
    ],
)
def test_an_unknown_split_or_no_photograph_is_refused(pictures, chosen, counts, message):
    with pytest.raises(ValueError, match=message):
        photos.crops({name: pictures[name] for name in chosen}, counts=counts)
