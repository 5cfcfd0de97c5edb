"""The class that a method explains: one for all images, or one for each.

Every method of this room takes `target` as a class index or as N of them. -1, this project's mark for "no label", is no
class; torch would read it as the last one.
"""

import torch


def targets_of(target: int | torch.Tensor, count: int, *, classes: int | None = None) -> torch.Tensor:
    """`target` as `count` class indices, int64 on the CPU.

    Args:
        target: a class index for all images, or a tensor with one for each. count: number of images. classes: outputs
            of the network, where they are known.

    Raises ValueError for no images, another number of targets than of images, and values that are no class index.
    """
    found = torch.as_tensor(target).detach().cpu()
    if count < 1:
        raise ValueError("there are no images, expected at least one to explain")
    if found.dtype.is_floating_point or found.dtype.is_complex or found.dtype == torch.bool:
        raise ValueError(f"target holds values of the kind {found.dtype}, expected class indices")
    found = found.long().expand(count) if found.dim() == 0 else found.long()
    if found.shape != (count,):
        raise ValueError(f"target is of shape {tuple(found.shape)}, expected one class for each of {count} images")
    if found.min() < 0 or (classes is not None and found.max() >= classes):
        limit = "from 0" if classes is None else f"from 0 to {classes - 1}"
        raise ValueError(f"target holds {found.min()} to {found.max()}, expected class indices {limit}")
    return found
