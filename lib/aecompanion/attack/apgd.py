"""APGD: projected gradient ascent whose step halves itself, in the linf, l2 and l1 ball around an image.

    z = P( x_k + α_k d(g_k) ),   x_{k+1} = P( x_k + .75 (z - x_k) + .25 (x_k - x_{k-1}) ),   α_0 = 2ε       linf, l2
    x_{k+1} = P( x_k + α_k s/‖s‖_1 ),  s = sign(g) at the largest t·d of |g|, 0 elsewhere,   α_0 = ε            l1

d: sign, or the l2-normalised gradient. P: the nearest point of ball and box. At the checkpoints of `attack.ascent`
images that have stalled go back to their best point with half the step. In l1 progress is judged every ⌊.04N⌋ steps,
with n the number of values that the best point changes (before the first time n = d): t = n / 1.5d; if n has fallen
below 95 % of the last n the image goes back to its best point and the step is ε again, otherwise it goes on from where
it is and the step is divided by 1.5 (at least ε/10). Cost: N forward and backward passes and one forward pass.

Where we depart: P is exact in all three norms (the release clips after the l2 projection, which ends inside the ball).
The l1 step has the largest ⌊t·d⌋ values, at least one (the release ⌈t·d⌉).

Sources: Croce and Hein, ICML 2020 (linf, l2) and ICML 2021 (l1).
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from aecompanion.attack.ascent import Ascent, Progress, checkpoints, climb, in_batches
from aecompanion.attack.gradient import check_radius, for_each_eps
from aecompanion.attack.lp_ball import Radius, check, project
from aecompanion.attack.objective import Objective, cross_entropy
from aecompanion.pipeline.rng import generator

NORMS = {"linf": math.inf, "l2": 2, "l1": 1}
INERTIA = 0.75


@for_each_eps
def apgd(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, *, eps: Radius, **options) -> torch.Tensor:
    """The best points that `ascend` finds, in linf unless told otherwise."""
    return ascend(model, images, labels, eps=eps, **{"norm": "linf"} | options).images


def ascend(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    norm: str,
    eps: Radius,
    steps: int = 75,
    objective: Objective = cross_entropy,
    seed: int | None = None,
    indices: Sequence[int] | None = None,
    sparsity: float = 0.2,
    batch: int = 64,
    on_step: Callable[[torch.Tensor], object] = lambda x: None,
) -> Ascent:
    """Raise `objective(model(x), labels)` within the ball; the best points found, their values and how they rose.

    Args:
        images: N×C×H×W in [0,1]. labels: N classes, as the objective reads them. norm: "linf", "l2" or "l1".
        eps: radius in pixel units, or N of them. seed: None starts at the images, a number at random points of the
            ball, drawn from (seed, index of the image), with `indices` (default 0..N-1) naming the images. sparsity:
            the first t of l1.
        on_step: sees every iterate of a batch.

    Raises ValueError for an unknown norm, no step, a negative radius, one in grey levels or images outside [0,1]. Warns
    if some gradient is not finite; such values count as 0.
    """
    if norm not in NORMS:
        raise ValueError(f"norm is {norm!r}, expected one of {', '.join(NORMS)}")
    indices, images = check_ascent(images, labels, steps, indices), images.detach()
    check(images, images, eps, NORMS[norm])
    check_radius(eps, norm)

    def run(clean, own, radii, here):
        x = clean if seed is None else random_point(clean, radii, norm, seed, indices[here])
        mover = Sparse(clean, radii, steps, sparsity) if norm == "l1" else Inertia(x, clean, radii, steps, norm)
        progress, broken = climb(model, x, own, mover, steps=steps, objective=objective, on_step=on_step)
        return progress.result(), broken

    return in_batches(model, images, labels, eps, run, batch=batch)


class Inertia:
    """Steps in linf and l2."""

    def __init__(self, x: torch.Tensor, clean: torch.Tensor, radius: torch.Tensor, steps: int, norm: str) -> None:
        self.clean, self.radius, self.norm = clean, radius, norm
        self.judged, self.previous, self.size = set(checkpoints(steps)), x, 2 * radius

    def move(self, step: int, x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        share, p = 1.0 if step == 1 else INERTIA, NORMS[self.norm]
        z = nearest(x + spread(self.size, x) * unit(gradient, self.norm), self.clean, self.radius, p)
        forward = nearest(x + share * (z - x) + (1 - share) * (x - self.previous), self.clean, self.radius, p)
        self.previous = x
        return forward

    def judge(self, progress: Progress, x: torch.Tensor, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        stalled = progress.stalled()
        self.size = torch.where(stalled[:, None], self.size / 2, self.size)
        return progress.restart(stalled, x, gradient)


class Sparse:
    """Steps in l1."""

    def __init__(self, clean: torch.Tensor, radius: torch.Tensor, steps: int, sparsity: float) -> None:
        self.clean, self.radius, self.size = clean, radius, radius.clone()
        self.share = torch.full_like(radius, sparsity)
        self.changed = torch.full_like(radius, clean[0].numel())
        period = max(int(0.04 * steps), 1)
        self.judged = set(range(period, steps + 1, period))

    def move(self, step: int, x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        return nearest(x + spread(self.size, x) * sparse_unit(gradient, self.share), self.clean, self.radius, 1)

    def judge(self, progress: Progress, x: torch.Tensor, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        dimension = self.clean[0].numel()
        changed = ((progress.x - self.clean).abs() > 1e-8).flatten(1).sum(1, keepdim=True).to(self.share)
        sparser = changed < 0.95 * self.changed
        self.size = torch.where(sparser, self.radius, torch.maximum(self.size / 1.5, self.radius / 10))
        self.share, self.changed = changed / (1.5 * dimension), changed
        return progress.restart(sparser[:, 0], x, gradient)


def nearest(point: torch.Tensor, clean: torch.Tensor, radius: torch.Tensor, p: float) -> torch.Tensor:
    """The point of ball and box nearest to `point`."""
    return (clean + project(point - clean, clean, radius, p)).clamp(0, 1)


def unit(gradient: torch.Tensor, norm: str) -> torch.Tensor:
    """sign, or the gradient at l2-norm 1 (the norm of tiny gradients is taken after scaling)."""
    if norm == "linf":
        return gradient.sign()
    flat = gradient.flatten(1)
    flat = flat / flat.abs().amax(1, keepdim=True).clamp_min(1e-38)
    return (flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-12)).reshape(gradient.shape)


def sparse_unit(gradient: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """sign(g) at the largest share·d of |g| per image, at l1-norm 1."""
    flat = gradient.flatten(1)
    count = (share * flat.shape[1]).long().clamp(1, flat.shape[1])
    most = int(count.max())
    top = flat.abs().topk(most, dim=1).values
    least = top.gather(1, count - 1)
    signs = flat.sign() * (flat.abs() >= least)
    return (signs / signs.abs().sum(1, keepdim=True).clamp_min(1)).reshape(gradient.shape)


def random_point(
    clean: torch.Tensor, radius: torch.Tensor, norm: str, seed: int, indices: Sequence[int]
) -> torch.Tensor:
    """l2: a random direction of length eps, linf: uniform, l1: Gaussian noise; all made feasible by projection."""
    drawn = []
    for index in indices:
        gen = generator(seed, int(index))
        shape = clean.shape[1:]
        drawn.append(2 * torch.rand(shape, generator=gen) - 1 if norm == "linf" else torch.randn(shape, generator=gen))
    noise = torch.stack(drawn).to(clean)
    if norm == "l2":
        noise = unit(noise, "l2")
    scale = radius if norm != "l1" else torch.ones_like(radius)
    return nearest(clean + spread(scale, clean) * noise, clean, radius, NORMS[norm])


def spread(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """N×1 values shaped to broadcast over N×C×H×W."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def check_ascent(
    images: torch.Tensor, labels: torch.Tensor, steps: int, indices: Sequence[int] | None = None
) -> Sequence[int]:
    """The names of the images (their positions, if none are given). Raises ValueError for inputs no ascent can use."""
    if steps < 1:
        raise ValueError(f"steps is {steps}, expected at least 1")
    if len(images) == 0 or len(labels) != len(images):
        raise ValueError(f"{len(images)} images and {len(labels)} classes, expected at least one and the same number")
    indices = range(len(images)) if indices is None else indices
    if len(indices) != len(images):
        raise ValueError(f"{len(indices)} names for {len(images)} images, expected one per image")
    low, high = images.aminmax()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"images span [{low:.3g}, {high:.3g}], expected [0, 1] (normalisation belongs in the network)")
    return indices
