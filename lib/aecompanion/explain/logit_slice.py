"""Logits on the plane through three images: which decisions a straight way from one to another leaves.

    x(a, b) = x_0 + a·e_1 + b·e_2 ,    e_1 ∝ x_1 - x_0 ,    e_2 ∝ (x_2 - x_0) - ⟨x_2 - x_0, e_1⟩·e_1 ,    |e_i| = 1

a and b are distances between images (L2 over all values in [0,1]): x_0 is (0, 0), x_1 lies on the first axis, x_2 above
it, and lengths and angles between the three are true. z_c(a, b) = 0 is the decision boundary of class c, p(c) = 1/2.

Nothing is clipped: a clipped image would leave the plane. Away from the triangle, images have colours outside [0,1],
and what the network says there is extrapolation. Kim et al. (IEEE TIP 2022) draw such boundaries by hand; this is
the network's own picture.
"""

import dataclasses

import torch
from torch import nn

from aecompanion.networks.read import answers


@dataclasses.dataclass(frozen=True, eq=False)
class Slice:
    """`points`: 3×2, (a, b) of x_0, x_1 and x_2; `across`, `up`: the S grid values of a and of b; `logits`: S×S×K, the
    first axis is b; `origin`, `basis`: x_0 and e_1, e_2 as vectors (double precision).
    """

    points: torch.Tensor
    across: torch.Tensor
    up: torch.Tensor
    logits: torch.Tensor
    origin: torch.Tensor
    basis: torch.Tensor

    def project(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(a, b) of the nearest points of the plane, n×2, and the distances of n images to them."""
        away = images.cpu().double().flatten(1) - self.origin
        places = away @ self.basis.T
        return places, (away - places @ self.basis).norm(dim=1)


def logit_plane(
    model: nn.Module,
    origin: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    *,
    span: float = 0.3,
    steps: int = 60,
    batch: int = 128,
) -> Slice:
    """The logits of steps×steps images on the plane through three images C×H×W.

    Args:
        origin, first, second: x_0, x_1, x_2. span: the square window reaches beyond the three points on every side, by
            at least this share of their extent. steps: S, grid points per axis, at least 2. batch: images at once.

    Raises ValueError for shapes that differ, images on one line, a negative span, or fewer than two steps.
    """
    if not origin.shape == first.shape == second.shape:
        shapes = [tuple(image.shape) for image in (origin, first, second)]
        raise ValueError(f"images {shapes[0]}, {shapes[1]} and {shapes[2]}, expected one shape")
    if span < 0 or steps < 2:
        raise ValueError(f"span {span} and steps {steps}, expected at least 0 and at least 2")
    start, one, two = (image.detach().cpu().double().flatten() for image in (origin, first, second))
    basis = orthonormal(one - start, two - start)
    points = torch.stack([torch.zeros(2, dtype=torch.float64), basis @ (one - start), basis @ (two - start)])
    low, high = points.amin(0), points.amax(0)
    half = (0.5 + span) * (high - low).max()
    across, up = (torch.linspace(middle - half, middle + half, steps) for middle in ((low + high) / 2).tolist())
    places = torch.cartesian_prod(up, across).flip(1)
    shown = ((start + part.double() @ basis).float().reshape(-1, *origin.shape) for part in places.split(batch))
    grid = torch.cat(list(answers(model, shown))).reshape(steps, steps, -1)
    return Slice(points, across, up, grid, start, basis)


def orthonormal(first: torch.Tensor, second: torch.Tensor, least: float = 1e-6) -> torch.Tensor:
    """e_1 and e_2 of two vectors, 2×D. Raises ValueError if they lie on one line."""
    length = first.norm()
    along = first / length.clamp_min(1e-12)
    aside = second - (second @ along) * along
    if length <= least or aside.norm() <= least * max(1.0, second.norm().item()):
        raise ValueError("the three images lie on one line, expected three that span a plane")
    return torch.stack([along, aside / aside.norm()])
