"""What a callable from elsewhere returns, as this project has it: a float32 tensor of the kind's shape, with notes.

    explain   maps N×1×H×W     also N×H×W, N×C×H×W (summed over channels), coarser N×1×h×w (enlarged bilinearly)
    attack    images N×C×H×W   in [0,1], else clipped          defend   the same
    detect    N scores         also N×1, or a number for one image

One image may come back without its first axis. Whatever else comes back is refused in one sentence.
"""

import dataclasses
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

PER_IMAGE = ("references", "keys", "parts")  # options that hold a value for each image


def of_images(options: Any, first: int, last: int) -> Any:
    """The options of the images from `first` to before `last`."""
    if not dataclasses.is_dataclass(options) or isinstance(options, type):
        return options
    held = {name: getattr(options, name, None) for name in PER_IMAGE}
    own = {name: each[first:last] for name, each in held.items() if each is not None}
    return dataclasses.replace(options, **own)


def convert(kind: str, found: Any, images: torch.Tensor) -> tuple[torch.Tensor, list[str]]:
    """What a callable gave for N images as float32 on their device, and notes on what had to be done for it.

    Raises ValueError for what is no tensor, of another shape, not finite, or on a device that cannot be read.
    """
    notes: list[str] = []
    found = tensor_of(getattr(found, "maps", found), notes)  # of an `Explained`
    if found.requires_grad:
        notes.append("returns values attached to a graph, which are detached")
    if found.device != images.device:
        notes.append(f"returns values on {found.device}, which are brought to {images.device}")
    try:
        values = found.detach().to(images.device, torch.float32)
    except (NotImplementedError, RuntimeError):
        raise ValueError(
            f"returns values on the device {found.device!s} that cannot be read, expected {images.device!s}"
        ) from None
    values = shaped(kind, values, images, notes)
    if bad := int((~values.isfinite()).sum()):
        raise ValueError(f"returns {bad} of {values.numel()} values that are not finite, expected numbers")
    return (values, notes) if kind in ("explain", "detect") else (within(values, notes), notes)


def within(images: torch.Tensor, notes: list[str]) -> torch.Tensor:
    """Images clipped to [0,1]. Raises ValueError for grey levels and the like."""
    low, high = (each.item() for each in images.aminmax())
    if low < -1 or high > 2:
        raise ValueError(f"returns images from {low:.3g} to {high:.3g}, expected [0, 1] (divide grey levels by 255)")
    if low < 0 or high > 1:
        notes.append("returns values outside [0, 1], which are clipped")
    return images.clamp(0, 1)


def tensor_of(found: Any, notes: list[str]) -> torch.Tensor:
    """A tensor, a NumPy array, a number, or one of them in a tuple. Raises ValueError."""
    if isinstance(found, tuple | list) and len(found) == 1:
        found = found[0]
    if isinstance(found, np.ndarray | np.generic):
        notes.append("returns NumPy values, which are converted")
        found = np.array(found)
        found = torch.from_numpy(found) if found.dtype.kind in "fiub" else found
    if isinstance(found, int | float):
        found = torch.tensor(float(found))
    if not isinstance(found, torch.Tensor) or found.is_complex():
        raise ValueError(f"returns a {type(found).__name__}, expected a tensor or an array of real numbers")
    return found


def shaped(kind: str, values: torch.Tensor, images: torch.Tensor, notes: list[str]) -> torch.Tensor:
    """Values in the kind's shape. Raises ValueError for a shape that cannot be meant."""
    count, _, height, width = images.shape
    wanted = {"explain": (count, 1, height, width), "detect": (count,)}.get(kind, tuple(images.shape))
    found = tuple(values.shape)
    if count == 1 and (*found,) in (wanted[1:], images.shape[1:], (height, width)):
        values = values[None]
    shape = tuple(values.shape)
    if shape == wanted:
        return values
    if (kind == "explain" and shape == (count, height, width)) or (kind == "detect" and shape == (count, 1)):
        return values.reshape(wanted)
    if kind == "explain" and shape == images.shape:
        notes.append("gives a value per channel, which are summed")
        return values.sum(1, keepdim=True)
    if kind == "explain" and values.dim() == 4 and shape[:2] == (count, 1) and coarse(shape[2:], (height, width)):
        notes.append(f"gives maps of {shape[2]}×{shape[3]}, which are enlarged bilinearly")
        return F.interpolate(values, (height, width), mode="bilinear", align_corners=False)
    raise ValueError(f"returns {spelt(found)} for {spelt(images.shape)} images, expected {spelt(wanted)}")


def coarse(sides: tuple[int, ...], full: tuple[int, int]) -> bool:
    """At least two places each way, and no more than the image has."""
    return all(1 < side <= most for side, most in zip(sides, full, strict=True))


def spelt(shape: tuple[int, ...]) -> str:
    """2×1×28×28."""
    return "×".join(map(str, shape)) or "a single number"
