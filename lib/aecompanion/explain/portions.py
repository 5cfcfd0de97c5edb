"""How many images a pass shows where a method has hundreds to show: as many as the processor's cache likes.

What one layer writes has to be there when the next one reads it. On one core a forward pass of EfficientNet-Lite0 at
224 px costs half as much per image with 4 images as with 32, one of the scenes' VGG at 64 px two thirds with 16 as with
64. The number depends on nothing but the images' size and the device, so a map does not depend on its batch.
"""

import torch

FEWEST, PIXELS, ON_GPU = 4, 2**16, 64


def per_pass(images: torch.Tensor, device: torch.device) -> int:
    """Images per pass; images ...×H×W."""
    return ON_GPU if device.type != "cpu" else max(FEWEST, PIXELS // (images.shape[-2] * images.shape[-1]))
