import dataclasses
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from torch.nn import functional as F

from aecompanion.data import faces
from aecompanion.data.dataset import Dataset
from aecompanion.data.faces import Variation, embedded_faces

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
    image = faces.vary(np.load(FILE)[0].astype(float), torch.Generator().manual_seed(0), size=size, variation=wild)
    assert image.shape == (size, size)
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
