import numpy as np
import pytest
import torch

from aecompanion.defend.diffusion import KERNELS, diffuse_compiled, diffuse_wavefront
from aecompanion.defend.halftone import halftone, random_threshold, reference
from aecompanion.pipeline.rng import generator

diffusion = pytest.mark.parametrize("method", KERNELS)


path = pytest.mark.parametrize("serpentine", [False, True], ids=["raster", "serpentine"])


def eight_bit(*shape, seed: int = 0, levels: int = 255) -> torch.Tensor:
    return torch.randint(0, levels + 1, shape, generator=generator(5, seed)) / levels


@diffusion
def test_a_kernel_passes_its_share_of_the_error(method):
    weights = KERNELS[method].taps()[2]
    assert weights.sum() == pytest.approx(0.75 if method == "atkinson" else 1, abs=1e-15)


@path
@pytest.mark.parametrize("levels", [255, 16])  # sixteenths make ties
@pytest.mark.parametrize("per_pixel", [False, True])
@pytest.mark.parametrize("count", [1, 7, 8, 9])
@diffusion
def test_every_implementation_gives_the_same_bits(method, count, per_pixel, levels, serpentine):
    images, kernel = eight_bit(count, 7, 5, levels=levels), KERNELS[method]
    thresholds = random_threshold((count, 7, 5), noise=0.3, seed=1, indices=range(count)) if per_pixel else 0.5
    options = {"serpentine": serpentine, "threshold": thresholds}
    per_image = thresholds.numpy() if per_pixel else [0.5] * count
    expected = np.stack(
        [
            reference(image.double().numpy(), kernel, serpentine=serpentine, threshold=threshold)
            for image, threshold in zip(images, per_image, strict=True)
        ]
    )
    whole = options | {"threshold": thresholds[:, None] if per_pixel else 0.5}
    for dots in (
        diffuse_compiled(images, kernel, **options),
        diffuse_wavefront(images, kernel, **options),
        halftone(images[:, None], method=method, **whole)[:, 0],
    ):
        assert dots.dtype == torch.float32
        assert np.array_equal(dots.numpy(), expected)


@path
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 1), (2, 2), (3, 11), (13, 4)], ids=str)
@diffusion
def test_every_implementation_gives_the_same_bits_at_every_size(method, size, serpentine):
    images, kernel = eight_bit(3, *size).double(), KERNELS[method]
    expected = np.stack([reference(image.numpy(), kernel, serpentine=serpentine) for image in images])
    assert np.array_equal(diffuse_compiled(images, kernel, serpentine=serpentine).numpy(), expected)
    assert np.array_equal(diffuse_wavefront(images, kernel, serpentine=serpentine).numpy(), expected)
    assert np.array_equal(halftone(images[None], method=method, serpentine=serpentine)[0].numpy(), expected)


@path
@diffusion
def test_the_engines_agree_on_photographs(photographs, method, serpentine):
    images = torch.from_numpy(photographs[:, :40, :40]) / 255
    compiled = diffuse_compiled(images, KERNELS[method], serpentine=serpentine)
    assert torch.equal(diffuse_wavefront(images, KERNELS[method], serpentine=serpentine), compiled)
    assert compiled[1].tolist() == reference(images[1].numpy(), KERNELS[method], serpentine=serpentine).tolist()
