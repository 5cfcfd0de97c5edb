import dataclasses
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from PIL import Image
from torch.nn import functional as F

from lib.data import faces
from lib.data.dataset import Dataset, read_image
from lib.data.faces import Variation, embedded_faces, identity_folder

FILE = Path(skimage.__file__).parent / "data" / "lfw_subset.npy"
STILL = Variation(position=0, scale=0, rotation=0, light=0, contrast=0, occlusion=0, noise=0)


def pixels(dataset: Dataset) -> dict[str, np.ndarray]:
    """Class name to that class's images."""
    return {name: dataset.images[(dataset.labels == i).numpy()] for i, name in enumerate(dataset.classes)}


# embedded faces


def test_the_same_arguments_give_the_same_faces():
    first, second = (embedded_faces(FILE, identities=3, samples=4, seed=5) for _ in range(2))
    assert np.array_equal(first.images, second.images)
    assert np.array_equal(first.split, second.split)


def test_another_seed_gives_other_samples_of_a_face():
    first, second = (pixels(embedded_faces(FILE, identities=100, samples=3, size=16, seed=seed)) for seed in (0, 1))
    assert list(first) == list(second)
    assert not any(np.array_equal(first[name], second[name]) for name in first)


def test_another_seed_chooses_other_identities():
    first, second = (embedded_faces(FILE, identities=10, samples=3, size=8, seed=seed) for seed in (0, 1))
    assert first.classes != second.classes


def test_more_samples_leave_the_first_ones_as_they_were():
    few, many = (pixels(embedded_faces(FILE, identities=4, samples=samples)) for samples in (3, 9))
    assert all(np.array_equal(few[name], many[name][:3]) for name in few)


def test_more_identities_leave_the_samples_of_the_others_as_they_were():
    few, many = (pixels(embedded_faces(FILE, identities=identities, samples=3)) for identities in (4, 30))
    assert set(few) <= set(many)
    assert all(np.array_equal(few[name], many[name]) for name in few)


def test_the_samples_of_a_face_differ():
    images = embedded_faces(FILE, identities=1, samples=20).images
    assert len({image.tobytes() for image in images}) == 20


def test_the_generator_state_of_torch_stays():
    before = torch.get_rng_state()
    embedded_faces(FILE, identities=2, samples=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_variation_every_sample_is_the_upsampled_face():
    for name, images in pixels(embedded_faces(FILE, identities=3, samples=3, variation=STILL)).items():
        face = torch.from_numpy(np.load(FILE)[int(name.removeprefix("face "))]).float()
        plain = F.interpolate(face[None, None], size=64, mode="bicubic").clamp(0, 1)[0, 0] * 255
        assert (images == images[0]).all()
        # beyond the border the sampler reflects and `interpolate` repeats, so the outermost cells are left out
        np.testing.assert_allclose(images[0, 0, 6:-6, 6:-6], plain[6:-6, 6:-6], atol=0.6)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Variation)])
def test_each_variation_alone_changes_samples(field):
    only = dataclasses.replace(STILL, **{field: 1.0 if field == "occlusion" else getattr(Variation(), field)})
    images = embedded_faces(FILE, identities=1, samples=3, variation=only).images
    still = embedded_faces(FILE, identities=1, samples=3, variation=STILL).images
    assert not any(np.array_equal(varied, plain) for varied, plain in zip(images, still, strict=True))


def test_an_occlusion_is_one_grey_rectangle():
    always, never = (
        embedded_faces(FILE, identities=1, samples=10, variation=dataclasses.replace(STILL, occlusion=share)).images
        for share in (1, 0)
    )
    for changed in (always != never)[:, 0]:
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert max(changed[box].shape) <= round(64 * 0.35)
        assert changed[box].mean() > 0.9  # a pixel that was this grey before counts as unchanged


@pytest.mark.parametrize("size", [25, 64, 90])
def test_a_sample_is_in_the_range_and_of_the_size(size):
    wild = Variation(light=3, contrast=3, noise=1)
    face = torch.from_numpy(np.load(FILE)[0]).float()[None]
    image = faces.vary(face, torch.Generator().manual_seed(0), size=size, variation=wild)
    assert image.shape == (1, size, size)
    assert (image.min().item(), image.max().item()) == (0, 1)


def test_counts_labels_and_classes_agree():
    dataset = embedded_faces(FILE, identities=7, samples=10)
    assert dataset.images.shape == (70, 1, 64, 64)
    assert dataset.images.dtype == np.uint8
    assert dataset.counts == {"identities": 7, "images": 70, "unreadable": 0}
    assert torch.bincount(dataset.labels).tolist() == [10] * 7
    assert len(set(dataset.classes)) == 7
    assert [len(dataset.indices(split)) for split in ("train", "validation", "test")] == [56, 7, 7]


@pytest.mark.parametrize("identities", [0, 101])
def test_an_impossible_number_of_identities_is_refused(identities):
    with pytest.raises(ValueError, match=rf"identities is {identities}, expected 1 to 100"):
        embedded_faces(FILE, identities=identities, samples=3)


def test_two_samples_are_too_few():
    with pytest.raises(ValueError, match="samples is 2, expected at least 3"):
        embedded_faces(FILE, identities=1, samples=2)


def test_progress_sees_every_identity_once():
    seen = []
    embedded_faces(FILE, identities=3, samples=3, size=8, progress=lambda items: seen.extend(items) or items)
    assert len(seen) == 3


# a folder per identity


@pytest.fixture
def root(tmp_path):
    """Three identities in three formats, four 40×30 images each, and files that are not images."""
    rng = np.random.default_rng(0)
    for name, suffix in (("zoe", "jpg"), ("ann", "png"), ("bob", "PGM")):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for i in range(4):
            image = Image.fromarray(rng.integers(0, 256, (40, 30), dtype=np.uint8))
            image.save(tmp_path / "faces" / name / f"{i}.{suffix}")
    (tmp_path / "faces" / "zoe" / "notes.txt").write_text("not an image")
    (tmp_path / "faces" / "README").write_text("not an identity")
    return tmp_path / "faces"


def test_the_classes_are_the_folder_names_in_order(root):
    dataset = identity_folder(root, size=24)
    assert dataset.classes == ["ann", "bob", "zoe"]
    assert dataset.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert dataset.counts == {"identities": 3, "images": 12, "unreadable": 0}


@pytest.mark.parametrize("channels", [1, 3])
def test_jpg_png_and_pgm_files_are_read(root, channels):
    dataset = identity_folder(str(root), size=24, channels=channels)
    assert dataset.images.shape == (12, channels, 24, 24)
    for i, file in ((0, "ann/0.png"), (5, "bob/1.PGM"), (11, "zoe/3.jpg")):
        assert np.array_equal(dataset.images[i], read_image(root / file, channels=channels, size=24))


def test_every_identity_is_in_every_split(root):
    dataset = identity_folder(root, size=24)
    for split in ("train", "validation", "test"):
        assert set(dataset.labels[dataset.indices(split)].tolist()) == {0, 1, 2}


def test_identities_keeps_the_first_folders(root):
    assert identity_folder(root, size=24, identities=2).classes == ["ann", "bob"]


def test_a_large_set_stays_on_disk_and_gives_the_same_batches(root, monkeypatch):
    packed = identity_folder(root, size=24)
    monkeypatch.setattr(faces, "PACK_LIMIT", 12 * 24 * 24 - 1)
    lazy = identity_folder(root, size=24)
    assert (packed.files, lazy.images) == (None, None)
    assert np.array_equal(lazy.split, packed.split)
    assert torch.equal(lazy.batch(range(12)), packed.batch(range(12)))


def test_a_set_of_exactly_the_limit_is_packed(root, monkeypatch):
    monkeypatch.setattr(faces, "PACK_LIMIT", 12 * 24 * 24)
    assert identity_folder(root, size=24).images is not None


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder, expected one folder per identity"):
        identity_folder(tmp_path / "nowhere")


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no images, expected IDENTITY"):
        identity_folder(tmp_path)


@pytest.mark.parametrize("content", [b"broken", b"P5\n40 30\nxx\n"])
def test_an_unreadable_image_is_named(root, content):
    (root / "bob" / "2.PGM").write_bytes(content)
    with pytest.raises(ValueError, match=r"bob/2\.PGM: cannot be read"):
        identity_folder(root, size=24)


@pytest.mark.parametrize("limit", [faces.PACK_LIMIT, 0])
def test_a_skipped_image_is_left_out_and_counted(root, monkeypatch, limit):
    whole = identity_folder(root, size=24)
    monkeypatch.setattr(faces, "PACK_LIMIT", limit)
    (root / "bob" / "2.PGM").write_bytes(b"broken")
    dataset = identity_folder(root, size=24, unreadable="skip")
    assert dataset.counts == {"identities": 3, "images": 11, "unreadable": 1}
    kept = [i for i in range(12) if i != 6]
    assert torch.equal(dataset.labels, whole.labels[kept])
    assert torch.equal(dataset.batch(range(11)), whole.batch(kept))


def test_an_identity_below_three_images_is_named(root):
    for i in (0, 1):
        (root / "zoe" / f"{i}.jpg").unlink()
    with pytest.raises(ValueError, match=r"zoe: 2 readable image\(s\), expected at least 3"):
        identity_folder(root, size=24)


def test_skipping_does_not_leave_an_identity_below_three(root):
    for i in (0, 1):
        (root / "ann" / f"{i}.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"ann: 2 readable image\(s\)"):
        identity_folder(root, size=24, unreadable="skip")


def test_a_root_of_unreadable_images_only_is_refused(tmp_path):
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "0.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"ann: 0 readable image\(s\)"):
        identity_folder(tmp_path, unreadable="skip")


def test_an_unknown_way_to_treat_unreadable_images_is_refused(root):
    with pytest.raises(ValueError, match="unreadable is 'ignore', expected 'error' or 'skip'"):
        identity_folder(root, unreadable="ignore")
