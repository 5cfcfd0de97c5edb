"""How near a counterfactual is to the true one, where a generator can render it: the same picture with the target's
digit at the same place.

With d = x_cf - x the change, t = x_true - x the true change and R a region of pixels (all channels of a pixel belong to
it or none):

    alignment        <d, t>_R / (‖d‖_R ‖t‖_R)        1 the truth's direction, 0 nothing in common, scale does not count
    placement        Pearson's r of e(d) and e(t)    with e_ij = Σ_c |d_cij|; over pixels, colour and sign do not count
    share inside     Σ_{ij in R} e_ij / Σ_ij e_ij
    distance         ‖d - t‖_2 / ‖t‖_2               0 the true counterfactual, 1 as far away as the image itself
    progress         <d, t>_R / ‖t‖_R²               1 all of the true change is made within R, 0 none of it
    named            argmax_k cos(d, t_k)            the class whose true change d resembles most

A change may point away from the truth for want of room alone. `nearest` is the point of a ball that is nearest to the
true counterfactual, so its distance is the least that any counterfactual within that ball can have:

    min_δ ‖δ - t‖_2    s.t.  ‖δ‖_p <= ε  (and ‖δ‖_inf <= cap),     |δ_i| = min(s_λ(|t_i|), cap)
    s_λ(a) = max(a - λ, 0) for p = 1,   (√(λ² + 4a) - λ)² / 4 for p = 1.5,   a / (1 + λ) for p = 2

with the λ >= 0 that spends the radius. x + δ lies in the box wherever x + t does, since δ_i lies between 0 and t_i. No
such bound exists for the alignment: a small multiple of t lies in every ball and has alignment 1.

Ours. That explanations can be judged by pictures composed with and without a part is the idea of FunnyBirds (Hesse,
Schaub-Meyer and Roth, ICCV 2023), applied here to counterfactuals.
"""

import torch

SHRINK = {
    1.0: lambda size, weight: (size - weight).clamp_min(0),
    1.5: lambda size, weight: (((weight**2 + 4 * size).rsqrt().reciprocal() - weight) / 2) ** 2,
    2.0: lambda size, weight: size / (1 + weight),
}
HALVINGS = 60  # of the bracket around λ


def alignment(change: torch.Tensor, truth: torch.Tensor, region: torch.Tensor | None = None) -> torch.Tensor:
    """The cosine of d and t within R (N×H×W booleans, None: everywhere), N in [-1,1]; 0 for an image that has not
    changed there, NaN where the truth changes nothing there.

    change, truth: N×C×H×W. Raises ValueError for shapes that do not fit.
    """
    d, t = within(change, truth, region)
    sizes = d.norm(dim=1) * t.norm(dim=1)
    cosine = torch.where(sizes > 0, (d * t).sum(1) / sizes, 0.0).clamp(-1, 1)
    return torch.where(t.norm(dim=1) > 0, cosine, torch.nan)


def progress(change: torch.Tensor, truth: torch.Tensor, region: torch.Tensor | None = None) -> torch.Tensor:
    """How much of the true change is made within R, N; NaN where the truth changes nothing there.

    Arguments and errors as in `alignment`.
    """
    d, t = within(change, truth, region)
    return (d * t).sum(1) / t.square().sum(1)


def distance(change: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The distance from the true counterfactual over the length of the true change, N; NaN where there is none.

    Raises ValueError for shapes that do not fit.
    """
    d, t = within(change, truth, None)
    return torch.where(t.norm(dim=1) > 0, (d - t).norm(dim=1) / t.norm(dim=1), torch.nan)


def placement(change: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The correlation over pixels of the sizes of both changes, N in [-1,1]: does the change lie where the true one
    does, whatever its colour? NaN where one of them is the same everywhere.

    change, truth: N×C×H×W. Raises ValueError for shapes that do not fit.
    """
    check(change, truth, None)
    d, t = (each.abs().double().sum(1).flatten(1) for each in (change, truth))
    d, t = d - d.mean(1, keepdim=True), t - t.mean(1, keepdim=True)
    sizes = d.norm(dim=1) * t.norm(dim=1)
    return torch.where(sizes > 1e-12, (d * t).sum(1) / sizes, torch.nan).clamp(-1, 1)


def share_inside(change: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """The share of the change that lies in R, N in [0,1]; NaN for an image that has not changed.

    change: N×C×H×W. region: N×H×W booleans. Raises ValueError for shapes that do not fit.
    """
    check(change, change, region)
    energy = change.abs().double().sum(1)
    return (energy * region).sum((1, 2)) / energy.sum((1, 2))


def named(change: torch.Tensor, truths: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The class k other than the image's own whose true change is best aligned with the change, N class indices; -1
    for an image that has not changed.

    change: N×C×H×W. truths: N×K×C×H×W, the true change to every class. labels: N, the images' own classes, which are
    left out. Raises ValueError for shapes that do not fit.
    """
    if truths.dim() != 5 or truths[:, 0].shape != change.shape or labels.shape != (len(change),):
        shapes = f"changes {tuple(change.shape)}, truths {tuple(truths.shape)}, labels {tuple(labels.shape)}"
        raise ValueError(f"{shapes}: expected N×C×H×W, N×K×C×H×W and N")
    each = torch.stack([alignment(change, truths[:, k]) for k in range(truths.shape[1])], 1).nan_to_num(nan=-torch.inf)
    best = each.scatter(1, labels[:, None], -torch.inf).argmax(1)
    return torch.where(change.flatten(1).abs().amax(1) > 0, best, -1)


def nearest(truth: torch.Tensor, *, eps: float, p: float, cap: float = torch.inf) -> torch.Tensor:
    """δ, shaped and typed like the true changes N×C×H×W: the point of the ball that is nearest to the truth.

    eps: the radius, pixel units. p: 1, 1.5 or 2. cap: the largest change of a value. Raises ValueError for another p,
    and for a radius or a cap that is not positive.
    """
    if p not in SHRINK:
        raise ValueError(f"p is {p}, expected one of {', '.join(map(str, SHRINK))}")
    if not (eps > 0 and cap > 0):
        raise ValueError(f"eps is {eps} and cap {cap}, expected positive numbers in pixel units")
    size = truth.flatten(1).abs().double()

    def shrunk(weight: torch.Tensor) -> torch.Tensor:
        return SHRINK[p](size, weight).clamp_max(cap)

    def excess(weight: torch.Tensor) -> torch.Tensor:
        return torch.linalg.vector_norm(shrunk(weight), p, dim=1, keepdim=True) - eps

    low, high = size.new_zeros(len(size), 1), size.new_ones(len(size), 1)
    while (excess(high) > 0).any():
        high = torch.where(excess(high) > 0, 2 * high, high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = torch.where(excess(middle) > 0, middle, low), torch.where(excess(middle) > 0, high, middle)
    length = torch.where(excess(torch.zeros_like(low)) > 0, shrunk(high), size.clamp_max(cap))
    return (truth.flatten(1).sign() * length).reshape(truth.shape).to(truth.dtype)


def within(change: torch.Tensor, truth: torch.Tensor, region: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Both changes as N×d in float64, zero outside the region."""
    check(change, truth, region)
    inside = 1 if region is None else region[:, None].to(torch.float64)
    return tuple((each.double() * inside).flatten(1) for each in (change, truth))


def check(change: torch.Tensor, truth: torch.Tensor, region: torch.Tensor | None) -> None:
    """Raise ValueError for shapes that do not fit."""
    if change.dim() != 4 or change.shape != truth.shape:
        raise ValueError(f"changes {tuple(change.shape)}, truths {tuple(truth.shape)}: expected N×C×H×W twice")
    if region is not None and region.shape != (len(change), *change.shape[2:]):
        raise ValueError(f"the region is {tuple(region.shape)}, expected N×H×W of {tuple(change.shape)}")
