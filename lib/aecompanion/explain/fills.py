"""What takes the place of a region: the image's mean, that of a ring around it, black, white, a blur, in-painting."""

import numpy as np
import torch
from torch.nn import functional as F

FILLS = ("mean", "ring", "black", "white", "blur", "inpaint")
RING = 3  # pixels around a region whose mean is the fill "ring"


def replace(images: torch.Tensor, masks: torch.Tensor, fill: str | torch.Tensor) -> torch.Tensor:
    """The images with one region each replaced.

    Args:
        images: N×C×H×W in [0,1]. masks: N×1×H×W boolean, True where the image is replaced.
        fill: "mean" (of the image, per channel), "ring" (mean of the 3 pixels around the region), "black", "white",
            "blur" (Gaussian, σ = H/8), "inpaint" (biharmonic, scikit-image), or images N×C×H×W to take the pixels from
            (the counterfactual).

    Raises ValueError for an unknown fill, masks of another form or shape, or an empty region.
    """
    if masks.dtype != torch.bool or masks.shape != (len(images), 1, *images.shape[2:]):
        raise ValueError(
            f"masks are {masks.dtype} {tuple(masks.shape)}, expected torch.bool {(len(images), 1, *images.shape[2:])}"
        )
    empty = (~masks.flatten(1).any(1)).nonzero()
    if len(empty):
        raise ValueError(f"region {empty[0].item()} is empty, expected at least one pixel")
    if isinstance(fill, torch.Tensor):
        if fill.shape != images.shape:
            raise ValueError(f"the images to fill from are {tuple(fill.shape)}, expected {tuple(images.shape)}")
        return torch.where(masks, fill, images)
    if fill not in FILLS:
        raise ValueError(f"fill {fill!r} is unknown, expected one of {', '.join(FILLS)} or images")
    if fill == "inpaint":
        return inpainted(images, masks)
    return torch.where(masks, fills(images, masks, fill), images)


def fills(images: torch.Tensor, masks: torch.Tensor, fill: str) -> torch.Tensor:
    """What to put into the regions, broadcastable to N×C×H×W."""
    if fill == "mean":
        return images.mean((2, 3), keepdim=True)
    if fill == "ring":
        around = F.max_pool2d(masks.float(), 2 * RING + 1, 1, RING).bool() & ~masks
        around = torch.where(around.flatten(1).any(1)[:, None, None, None], around, True)  # a region without a rim
        return (images * around).sum((2, 3), keepdim=True) / around.sum((2, 3), keepdim=True)
    if fill == "blur":
        return blurred(images, images.shape[2] / 8)
    return images.new_tensor({"black": 0.0, "white": 1.0}[fill])


def blurred(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur with reflected borders."""
    reach = min(int(3 * sigma), min(images.shape[2:]) - 1)
    offsets = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    weights = (weights / weights.sum()).expand(images.shape[1], 1, -1)
    padded = F.pad(images, (reach, reach, reach, reach), mode="reflect")
    rows = F.conv2d(padded, weights[..., None], groups=images.shape[1])
    return F.conv2d(rows, weights[:, :, None], groups=images.shape[1])


def inpainted(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Biharmonic in-painting, image by image, clipped to [0,1]."""
    from skimage.restoration import inpaint_biharmonic

    if not len(images):
        return images
    full = masks.flatten(1).all(1).nonzero()
    if len(full):
        raise ValueError(f"region {full[0].item()} fills its image, so there is nothing to in-paint from")
    pictures = images.cpu().double().movedim(1, -1).numpy()
    done = [
        inpaint_biharmonic(picture, mask, channel_axis=-1)
        for picture, mask in zip(pictures, masks[:, 0].cpu().numpy(), strict=True)
    ]
    return torch.from_numpy(np.stack(done)).movedim(-1, 1).to(images).clamp(0, 1)
