"""The gradient of a strided first convolution with respect to the image, without the slow case of the libraries.

A first convolution has many output channels and three input channels. Its gradient with respect to the image is then
bound by three channels in vectors of sixteen, and with stride s = 2 it takes a quarter of all the time of a forward and
backward pass of a compact network. The image's positions s·q + r fall into s² phases r, and every phase is a plain
convolution of what comes back, g:

    ∂/∂x[c, s·q + r] = Σ_o Σ_d  g[o, q - d] · w[o, c, s·d + r + p],      p: padding

so one convolution with s²·C outputs gives all of them, which are then put in their places: the same sums in another
order (3e-7 of the largest value), for a 5×5 stem in two fifths of the time. A 3×3 stem gains nothing and is left alone.
"""

import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.networks.folding import folded

LEAST_SIDE = 5  # of the kernel
MOST_CHANNELS = 4  # of the image


def attributed(network: nn.Module) -> nn.Module:
    """A `folded` copy of `network` for attacks, masks and attributions: its gradient with respect to the image comes
    faster where the network begins with a large strided convolution (`PhasedConv2d`). Not for training. The given
    network is not changed.
    """
    copied = folded(network)
    for name, module in copied.named_modules():
        if isinstance(module, nn.Conv2d):  # the first in definition order
            if phased(module):
                parent, _, child = name.rpartition(".")
                setattr(copied.get_submodule(parent), child, PhasedConv2d(module))
            break
    return copied


def phased(module: nn.Conv2d) -> bool:
    """Whether the phases of this convolution are faster and what `phase_kernel` expects."""
    side, stride = module.kernel_size[0], module.stride[0]
    plain = module.groups == 1 and module.dilation == (1, 1) and module.padding_mode == "zeros"
    square = module.kernel_size == (side, side) and module.stride == (stride, stride)
    return (
        plain
        and square
        and module.padding == (side // 2, side // 2)
        and stride > 1
        and side >= LEAST_SIDE
        and module.in_channels <= MOST_CHANNELS
    )


def phase_kernel(weight: torch.Tensor, stride: int) -> torch.Tensor:
    """The kernel of the convolution that gives all phases: (s·s·C)×O×n×n, n odd, from a weight O×C×k×k with padding
    k // 2; outputs are in the order row phase, column phase, channel.
    """
    outputs, inputs, side, _ = weight.shape
    padding = side // 2
    reach = max((padding + stride - 1) // stride, (side - 1 - padding) // stride)
    kernel = weight.new_zeros(stride, stride, inputs, outputs, 2 * reach + 1, 2 * reach + 1)
    taps = [  # row or column: phase, place in the kernel, place in the weight
        (phase, reach - offset, stride * offset + phase + padding)
        for phase in range(stride)
        for offset in range(-reach, reach + 1)
        if 0 <= stride * offset + phase + padding < side
    ]
    for row, y, from_y in taps:
        for column, x, from_x in taps:
            kernel[row, column, :, :, y, x] = weight[:, :, from_y, from_x].T
    return kernel.flatten(0, 2)


class PhasedConv2d(nn.Conv2d):
    """A convolution whose gradient with respect to its input is computed by phases, none for its weight."""

    def __init__(self, module: nn.Conv2d) -> None:
        options = {"stride": module.stride, "padding": module.padding, "bias": module.bias is not None}
        super().__init__(
            module.in_channels, module.out_channels, module.kernel_size, **options, device="meta"
        )  # nothing is drawn
        self.weight, self.bias = module.weight, module.bias
        kernel = phase_kernel(module.weight.detach(), module.stride[0])
        self.register_buffer("phases", kernel.to(memory_format=torch.channels_last), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if not images.requires_grad or not torch.is_grad_enabled():
            return super().forward(images)
        return ByPhases.apply(images, self.weight.detach(), self.bias, self.phases, self.stride[0])


class ByPhases(torch.autograd.Function):
    """The convolution and, as its derivative, that of the phases; it can be differentiated again."""

    @staticmethod
    def forward(ctx, images, weight, bias, phases, stride):
        ctx.save_for_backward(phases)
        ctx.stride, ctx.shape = stride, images.shape
        return F.conv2d(images, weight, bias, stride, weight.shape[2] // 2)

    @staticmethod
    def backward(ctx, gradient):
        (phases,), stride = ctx.saved_tensors, ctx.stride
        channels, height, width = ctx.shape[1:]
        found = F.conv2d(gradient, phases, padding=phases.shape[2] // 2).permute(0, 2, 3, 1)
        count, down, across = found.shape[:3]
        found = found.reshape(count, down, across, stride, stride * channels).permute(0, 1, 3, 2, 4)
        found = found.reshape(count, down * stride, across * stride, channels).permute(0, 3, 1, 2)
        return found[:, :, :height, :width].contiguous(), None, None, None, None
