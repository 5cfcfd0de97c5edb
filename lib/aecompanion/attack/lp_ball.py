"""The lp-ball around an image, cut with the box [0,1]^d: its best vertex for a direction, and its nearest point.

    lmo:      max_δ <w, δ>          s.t.  ‖δ‖_p <= ε,  x + δ ∈ [0,1]^d             (linear maximisation oracle)
    project:  min_δ ‖δ - v‖_2       s.t.  ‖δ‖_p <= ε,  x + δ ∈ [0,1]^d             (p = 1, 2, inf)

With γ_i the room of coordinate i in the direction of w_i (1 - x_i for w_i > 0, x_i for w_i < 0), the optimum is

    |δ_i| = min(γ_i, s·a_i),   a_i = |w_i|^(1/(p-1)),   s such that Σ_i |δ_i|^p = ε^p   (s = inf if Σ γ_i^p <= ε^p),

and coordinate i is clipped once s reaches γ_i / a_i. Given which coordinates are clipped, s follows in closed form, so
finding s means finding that set; sorting the ratios finds it in O(d log d), growing it from nothing in a few rounds of
O(d). p = 1 fills the coordinates in the order of |w_i| (fractional knapsack), p = inf takes min(γ_i, ε). The nearest
point in l2 has the same form with a = |v|, in l1 it is min(γ_i, max(|v_i| - λ, 0)).

Where we depart from the released code: w is divided by its largest entry first, and where powers still underflow they
are kept as logarithms, so that the result does not depend on the scale of w. (The release adds constants to powers that
underflow: at p = 1.5 it returns a vector that is too short, without a word, once |w| falls to 1e-8.)

Source: Boreiko, Augustin, Croce, Berens and Hein, GCPR 2022 (lmo); Croce and Hein, ICML 2021 (l1-ball and box).
"""

import math

import torch

Radius = float | torch.Tensor  # one for all images, or one per image
ROUNDS = 40  # of the search for the clipped coordinates
SETTLED = 1 + 1e-6  # a search whose s grows by less has found it
LONG = 2**14  # coordinates; sums of more of them need float64 to be exact to 1e-5
FAR = 64  # radii
LEAST = 1e-25  # sums of float32 powers below this have lost digits


def lmo(w: torch.Tensor, x: torch.Tensor, eps: Radius, p: float) -> torch.Tensor:
    """δ, shaped and typed like x: the maximiser of <w, δ> over the lp-ball of radius eps around x within [0,1]^d.

    Args:
        w: directions, N×... (any scale; where w is zero δ is zero). x: N×... in [0,1]. eps: radius in pixel units, a
            number or N of them. p: from 1 to inf.

    Raises ValueError for p below 1, a negative radius, shapes that differ or directions that are not finite.
    """
    check(w, x, eps, p)
    sign, size, room = directed(w, x)
    radius = column(eps, x)
    if p == math.inf:
        length = torch.minimum(room, radius)
    elif p == 1:
        length = knapsack(size, room, radius)
    else:
        length = clipped_power(size, room, radius, p)
    return (sign * length).reshape(x.shape)


def directed(w: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sign and size of w and the room that x leaves in its direction, N×d each (no room where w is zero)."""
    w, x = w.flatten(1), x.flatten(1)
    sign = w.sign()
    return sign, w.abs(), (sign.clamp_min(0) - x).mul_(sign).clamp_min_(0)


def knapsack(size: torch.Tensor, room: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """The l1 optimum, N×d: as much as there is room, from the largest |w| on, until the radius is spent."""
    order = size.argsort(1, descending=True)
    sorted_room = room.gather(1, order)
    spent = sorted_room.double().cumsum(1) - sorted_room
    filled = torch.minimum((radius - spent).clamp_min(0).to(room.dtype), sorted_room)
    return torch.zeros_like(room).scatter_(1, order, filled)


def clipped_power(size: torch.Tensor, room: torch.Tensor, radius: torch.Tensor, p: float) -> torch.Tensor:
    """min(γ, s·a), N×d, with a = size^(1/(p-1)) and the s that spends the radius.

    Treating as clipped what the last s clips gives a larger s, never one that is too large (Newton's method on a
    concave function of s^p); where s no longer grows it is the solution, usually within ten rounds of O(d). Rows that
    take longer, or in which all that is left of a is too small for float32, are solved by `sorted_power`.
    """
    exact, size = size, size / largest(size)
    radius = torch.where(radius > 0, radius, 1e-30)
    share = (room / radius).clamp_max(1)  # of the radius, which is 1 from here on
    a, free_power, share_power = power(size, 1 / (p - 1)), power(size, p / (p - 1)), power(share, p)
    ratio = share / a  # where a coordinate is clipped; inf where a has underflowed, NaN where there is no room either
    s, clipped = torch.zeros_like(ratio[:, :1]), torch.empty_like(ratio)
    for _ in range(ROUNDS):
        torch.le(ratio, s, out=clipped)  # 0 and 1 as numbers: products of them are cheap, torch.where is not
        left = dot(free_power, 1 - clipped)
        grown = ((1 - dot(share_power, clipped)).clamp_min(0) / left) ** (1 / p)
        before, s = s, torch.where(left > 0, torch.maximum(grown, s), math.inf)  # rounding must not let it shrink
        if (s <= before * SETTLED).all():
            break
    unsettled = (s > before * SETTLED) | (left < LEAST)
    if size.shape[1] > LONG:
        spent, rest = (dot(*pair, torch.float64) for pair in ((share_power, clipped), (free_power, 1 - clipped)))
        s = torch.where(left > LEAST, ((1 - spent).clamp_min(0) / rest) ** (1 / p), s).to(s.dtype)
    length = torch.minimum(room, (radius * s) * a)
    fits = (share_power.sum(1, keepdim=True) <= 1) & (room.amax(1, keepdim=True) <= radius)
    if fits.any():
        length = torch.where(fits, room, length)
    unsure = (unsettled & ~fits)[:, 0]
    if unsure.any():
        length[unsure] = sorted_power(exact[unsure], room[unsure], radius.expand(len(size), 1)[unsure], p)
    return length


def largest(size: torch.Tensor) -> torch.Tensor:
    """The largest entry of every row, N×1; 1 where all are 0."""
    peak = size.amax(1, keepdim=True)
    return torch.where(peak > 0, peak, 1)


def power(values: torch.Tensor, exponent: float) -> torch.Tensor:
    """values^exponent, without the detour over logarithms where a product does (p = 2 and p = 1.5)."""
    simple = {1.0: lambda: values, 1.5: lambda: values / values.rsqrt()}  # torch knows 2 and 3 itself
    return simple.get(exponent, lambda: values**exponent)()


def dot(first: torch.Tensor, second: torch.Tensor, kind: torch.dtype | None = None) -> torch.Tensor:
    """Σ_i first_i second_i of every row, N×1, summed in `kind` (torch.bmm takes eight times as long)."""
    return (first * second).sum(1, keepdim=True, dtype=kind)


def sorted_power(size: torch.Tensor, room: torch.Tensor, radius: torch.Tensor, p: float) -> torch.Tensor:
    """The same by sorting all breakpoints, with logarithms of all powers: exact for any p > 1 and range of size."""
    size = size.double()
    log_a = (size / largest(size)).log() / (p - 1)
    log_ratio, order = torch.where(room > 0, room.double().log() - log_a, -math.inf).sort(1)
    budget = radius.double() ** p
    spent_clipped = room.gather(1, order).double().pow_(p).cumsum(1)  # by the k coordinates that are clipped first
    logs = p * log_a.gather(1, order)
    log_free = log_suffix(logs)  # log Σ_{j>k} a_j^p
    spent = spent_clipped + (p * log_ratio + log_free).exp_()  # at the k-th breakpoint
    count = (spent <= budget).sum(1, keepdim=True)  # so many coordinates are clipped
    last = (count - 1).clamp_min(0)
    rest = torch.where(count > 0, budget - spent_clipped.gather(1, last), budget)
    log_rest = torch.where(count > 0, log_free.gather(1, last), torch.logaddexp(log_free[:, :1], logs[:, :1]))
    log_s = (rest.clamp_min(0).log() - log_rest) / p
    return torch.where(room > 0, torch.minimum((log_s + log_a).exp(), room.double()), 0.0).to(room.dtype)


def log_suffix(logs: torch.Tensor) -> torch.Tensor:
    """log Σ_{j>k} exp(logs_j) for every k (-inf for the last), N×d."""
    total = logs.flip(1).logcumsumexp(1).flip(1)
    return torch.cat([total[:, 1:], torch.full_like(total[:, :1], -math.inf)], 1)


def project(v: torch.Tensor, x: torch.Tensor, eps: Radius, p: float) -> torch.Tensor:
    """δ, shaped like x: the point nearest to v (l2) with ‖δ‖_p <= eps and x + δ in [0,1]; p is 1, 2 or inf.

    Raises ValueError for another p (no closed form is known), a negative radius, other shapes or values not finite.
    """
    if p not in (1, 2, math.inf):
        raise ValueError(f"p is {p}, expected 1, 2 or inf (other lp-balls have no closed projection: use lmo)")
    check(v, x, eps, p)
    sign, size, room = directed(v, x)
    radius = column(eps, x)
    inside = torch.minimum(size, room)  # the nearest point of the box
    if p == math.inf:
        length = torch.minimum(inside, radius)
    elif p == 2:
        outside = inside.norm(dim=1, keepdim=True) > radius
        length = torch.where(outside, clipped_power(size, room, radius, 2), inside)
    else:
        length = thresholded(size, room, radius)
    return (sign * length).reshape(x.shape)


def thresholded(size: torch.Tensor, room: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """min(γ, max(|v| - λ, 0)), N×d, with the λ >= 0 that spends the radius (0 if all fits).

    The sum is piecewise linear in λ: Newton's steps, replaced by halving where they leave the bracket, end on the
    piece that holds the solution. From far away float32 has too few digits left, so float64 takes over.
    """
    kind = room.dtype
    if size.amax() > FAR * radius.min():
        size, room, radius = size.double(), room.double(), radius.double()
    low, high = torch.zeros_like(radius).expand(len(size), 1), size.amax(1, keepdim=True)
    threshold = low
    for _ in range(ROUNDS):
        beyond = size - threshold
        length = torch.minimum(beyond.clamp_min(0), room)
        surplus = length.sum(1, keepdim=True, dtype=torch.float64) - radius
        done = (surplus.abs() <= 1e-5 * radius) | ((surplus <= 0) & (threshold == 0))
        if done.all():
            break
        low, high = torch.where(surplus > 0, threshold, low), torch.where(surplus > 0, high, threshold)
        slope = ((beyond > 0) & (beyond < room)).sum(1, keepdim=True)
        newton = (threshold + surplus / slope).to(size.dtype)
        newton = torch.where((newton > low) & (newton < high), newton, (low + high) / 2)
        threshold = torch.where(done, threshold, newton)
    return (length * (radius > 0)).to(kind)


def norm(delta: torch.Tensor, p: float) -> torch.Tensor:
    """‖δ‖_p of every image, N numbers (float64 inside: many small powers)."""
    return torch.linalg.vector_norm(delta.flatten(1).double(), p, dim=1).to(delta.dtype)


def column(eps: Radius, x: torch.Tensor) -> torch.Tensor:
    """The radius as 1×1 or N×1."""
    return torch.as_tensor(eps, dtype=x.dtype, device=x.device).reshape(-1, 1)


def check(w: torch.Tensor, x: torch.Tensor, eps: Radius, p: float) -> None:
    """Raise ValueError for what has no answer."""
    if not p >= 1:
        raise ValueError(f"p is {p}, expected a number from 1 to inf")
    if w.shape != x.shape or x.dim() < 2:
        raise ValueError(f"directions {tuple(w.shape)} and images {tuple(x.shape)}: expected the same N×... twice")
    radius = column(eps, x)
    if len(radius) not in (1, len(x)) or not (torch.isfinite(radius).all() and (radius >= 0).all()):
        raise ValueError(f"eps is {eps}, expected a finite number >= 0 in pixel units, or one per image")
    if w.numel() and not math.isfinite(w.abs().amax()):
        raise ValueError("the directions hold values that are not finite")
