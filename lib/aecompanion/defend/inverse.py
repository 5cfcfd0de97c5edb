"""Inverse halftoning: from dots back to grey, by a low-pass filter or by a small residual network trained on pairs.

    R(d) = G_σ * d        or        R(d) = clip( G_σ * d + g_θ(d), 0, 1 ),   min_θ  mean |R(T(x)) - x|²

with T the halftone and G_σ a Gaussian. Huang's thesis (NCCU, 2019) studies the pair T, R; which R it used is unknown.
Both forms are ours, in the manner of the time (CNN: Xia and Wong, ACCV 2018, larger).
"""

import torch
from torch import nn


def low_pass(images: torch.Tensor, *, sigma: float = 1.2) -> torch.Tensor:
    """G_σ * x per channel, N×C×H×W; window of ±3σ, borders reflected. Differentiable. ValueError unless σ > 0."""
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma}, expected a number > 0")
    from torchvision.transforms.v2.functional import gaussian_blur  # here: it costs more than torch to import

    return gaussian_blur(images, [2 * round(3 * sigma) + 1] * 2, [sigma, sigma])


class InverseHalftone(nn.Module):
    """Five 3×3 convolutions with 16 channels, added to the low-pass of the dots; N×1×H×W dots to N×1×H×W grey.

    Colour images are restored channel by channel, as they were halftoned.
    """

    def __init__(self, *, width: int = 16, sigma: float = 1.2) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, width, 3, padding=1), nn.ReLU()]
        for _ in range(3):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        self.residual = nn.Sequential(*layers, nn.Conv2d(width, 1, 3, padding=1))
        nn.init.zeros_(self.residual[-1].weight)  # training starts at the low-pass
        nn.init.zeros_(self.residual[-1].bias)
        self.sigma = sigma

    def forward(self, dots: torch.Tensor) -> torch.Tensor:
        single = dots.flatten(0, 1)[:, None]
        grey = low_pass(single, sigma=self.sigma) + self.residual(single - 0.5)
        return grey.clamp(0, 1).reshape(dots.shape)
