"""Input transformations that halftoning is compared with: JPEG, bit depth, total variation, median.

All take N×C×H×W images in [0,1] and return images of the same shape, dtype and device; each image by itself, so an
image's result does not depend on its batch. None is differentiated here: adaptive attacks put a surrogate in the place
of the gradient (`attack.adaptive`).

Sources: Guo et al., ICLR 2018 (JPEG, bit depth, total variation minimisation); Xu et al., NDSS 2018 (median).
"""

import io

import numpy as np
import torch
from PIL import Image
from skimage.restoration import denoise_tv_chambolle

from aecompanion.attack.gradient import quantise


def jpeg(images: torch.Tensor, *, quality: int = 75) -> torch.Tensor:
    """Encoded and decoded as JPEG by Pillow in memory, after rounding to 8 bits; grey (1) or RGB (3 channels).

    Raises ValueError for a quality outside 1..95 or another number of channels.
    """
    check(images)
    if not 1 <= quality <= 95:
        raise ValueError(f"quality is {quality}, expected 1 to 95")
    if images.shape[1] not in (1, 3):
        raise ValueError(f"images have {images.shape[1]} channels, expected 1 (grey) or 3 (RGB)")
    pixels = (images.detach().cpu() * 255).round().byte().permute(0, 2, 3, 1).numpy()
    decoded = np.empty_like(pixels)
    for image, place in zip(pixels, decoded, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(buffer, "JPEG", quality=quality)
        place[:] = np.asarray(Image.open(buffer)).reshape(image.shape)
    return torch.from_numpy(decoded).permute(0, 3, 1, 2).to(images) / 255


def bit_depth(images: torch.Tensor, *, bits: int = 3) -> torch.Tensor:
    """round(x·(2^d - 1)) / (2^d - 1): the nearest of 2^d levels, 0 and 1 among them.

    Where we depart: the code that Guo et al. released divides by 2^d, which gives 2^d + 1 levels. Raises ValueError
    for a depth outside 1..16.
    """
    check(images)
    if not 1 <= bits <= 16:
        raise ValueError(f"bits is {bits}, expected 1 to 16")
    return quantise(images.detach(), bits)


def total_variation(images: torch.Tensor, *, weight: float = 0.1) -> torch.Tensor:
    """argmin_u |u - x|²/2 + weight · TV(u), scikit-image's Chambolle iteration, every channel by itself.

    Where we depart: Guo et al. also drop half of the pixels at random before minimising (TVM); this is the
    deterministic denoiser alone. Raises ValueError for a weight that is not positive.
    """
    check(images)
    if not weight > 0:
        raise ValueError(f"weight is {weight}, expected a number > 0")
    arrays = images.detach().cpu().double().numpy()
    denoised = [denoise_tv_chambolle(image, weight=weight, channel_axis=0) for image in arrays]
    return torch.from_numpy(np.stack(denoised)).to(images).clamp(0, 1)


def median(images: torch.Tensor, *, size: int = 3) -> torch.Tensor:
    """Median over size×size pixels of every channel, borders reflected. Raises ValueError for an even size."""
    check(images)
    if size < 1 or size % 2 == 0:
        raise ValueError(f"size is {size}, expected an odd number")
    if size // 2 >= min(images.shape[-2:]):
        raise ValueError(f"size is {size}, expected less than twice the side of {tuple(images.shape[-2:])} images")
    padded = torch.nn.functional.pad(images.detach(), [size // 2] * 4, mode="reflect")
    return padded.unfold(2, size, 1).unfold(3, size, 1).flatten(4).median(-1).values


def check(images: torch.Tensor) -> None:
    """Raise TypeError or ValueError for anything but N×C×H×W floating point in [0,1]."""
    if not torch.is_floating_point(images):
        raise TypeError(f"images are {images.dtype}, expected floating point in [0, 1]")
    if images.dim() != 4:
        raise ValueError(f"images have shape {tuple(images.shape)}, expected N×C×H×W")
    if images.numel():
        low, high = images.aminmax()
        if not (low >= 0 and high <= 1):
            raise ValueError(f"images span [{low:.3g}, {high:.3g}], expected [0, 1]")
