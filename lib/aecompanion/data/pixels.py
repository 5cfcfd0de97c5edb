"""Image files as 8-bit pixels: what one file becomes, uint8 C×size×size.

A file is turned upright as its EXIF entry says; 16 bits become 8 (value / 257, rounded; Pillow gives colours their
high byte); transparency is laid on white; CMYK and palettes become RGB; grey is repeated or RGB reduced to grey; the
shorter side is scaled (bicubic) and the centre cropped. Floating-point pixels and numbers beyond 16 bits are refused.

A PNG without alpha may name one value as transparent, in the bits of the file: Pillow compares it with 8-bit pixels.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from aecompanion.data.files import one_line

PACK_LIMIT = 256 * 2**20  # bytes; larger sets stay on disk and are read lazily
WHITE = (255, 255, 255, 255)  # behind transparent pixels
# what a value of the file times this is in Pillow's 8-bit pixels, by how Pillow unpacks it
TO_BYTE = {"L;2": 85, "L;4": 17, "RGB;16B": 1 / 256}


def eight_bits(images: torch.Tensor) -> torch.Tensor:
    """Images in [0,1] as uint8, round(255 x)."""
    return (images * 255).round().byte()


def bits(image: np.ndarray) -> np.ndarray:
    """The same of an array."""
    return (image * 255).round().astype(np.uint8)


def even_spread(count: int, limit: int | None) -> np.ndarray:
    """At most `limit` of the positions 0 to count - 1, evenly spread, first and last among them; None: all."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.linspace(0, count - 1, limit).round().astype(int)


def read_image(file: str | Path, *, channels: int, size: int) -> np.ndarray:
    """One image file as described above, uint8 C×size×size with 1 (grey) or 3 (RGB) channels.

    Raises ValueError for other channels, or naming a file that cannot be decoded or stores other numbers.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels is {channels}, expected 1 (grey) or 3 (RGB)")
    try:
        with Image.open(file) as opened:
            problem = other_numbers(opened)
            image = None if problem else opaque(opened).convert("L" if channels == 1 else "RGB")
    except Exception as error:  # Pillow raises whatever a damaged header leads to
        raise ValueError(f"{file}: cannot be read as an image ({one_line(error)})") from error
    if problem:
        raise ValueError(f"{file}: {problem}")
    pixels = np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC))
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def readable(
    files: Sequence[Path],
    *,
    channels: int,
    size: int,
    unreadable: str,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Iterator[tuple[int, np.ndarray]]:
    """(position, `read_image`) of every file; one that cannot be read raises ("error") or is left out ("skip")."""
    for position in progress(range(len(files))):
        try:
            image = read_image(files[position], channels=channels, size=size)
        except ValueError:
            if unreadable == "error":
                raise
            continue
        yield position, image


def check_unreadable(unreadable: str) -> None:
    """Raise ValueError for another word than the two that `readable` knows."""
    if unreadable not in ("error", "skip"):
        raise ValueError(f"unreadable is {unreadable!r}, expected 'error' or 'skip'")


def other_numbers(opened: Image.Image) -> str | None:
    """What an image stores instead of 8 or 16 bits per channel, or None."""
    if opened.mode == "F":
        return "stores floating-point numbers, expected 8 or 16 bits per channel"
    low, high = opened.getextrema() if opened.mode == "I" else (0, 0)
    if low < 0 or high >= 2**16:
        return f"stores numbers from {low} to {high}, expected 8 or 16 bits per channel"
    return None


def opaque(opened: Image.Image) -> Image.Image:
    """An opened image upright, in 8 bits, its transparent pixels on white."""
    packed = opened.tile[0].args if opened.tile else ""  # known until the pixels are loaded
    scale = TO_BYTE.get(packed, 1) if isinstance(packed, str) else 1
    image = ImageOps.exif_transpose(opened)
    value = image.info.get("transparency")
    if image.mode.startswith("I"):  # 16-bit grey; Pillow itself would cut at 255
        levels = np.asarray(image).astype(float)
        grey = (levels / 257).round().astype(np.uint8)
        if isinstance(value, int):
            grey[levels == value] = 255
        return Image.fromarray(grey)
    if not image.has_transparency_data:
        return image
    if scale != 1 and value is not None:
        image.info["transparency"] = tuple(int(v * scale) for v in value) if scale < 1 else value * scale
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image).convert("RGB")
