"""Attacks that know a detector: they fool the network and keep the detector's score where the clean image has it.

    fooled(x) = some decision of f(x) differs from that of the clean image
    excess(x) = max( s(x) - s(clean image), 0 )
    direction = ∇J without its part along ∇s     while the image is not fooled
               -∇s without its part along ∇J     once it is
    x_{t+1}   = clip_[0,1]( P_eps( x_t + a_t · sign(direction) ) ),   a_t falls linearly from 5 eps / steps

J: the network's loss, s: the detector's score, larger = more suspicious. A step asks only for what is still missing,
so no weight between both has to be searched for; leaving out the part along the other gradient keeps what was reached.
Where both gradients have one direction nothing would be left, so every second step leaves out nothing (their selective
descent).
Scores are brought down to those of the clean images and no further, because a defender may look at both sides.
Iterates are judged on the 8-bit grid, as files would hold them; the answer is the best of them: fooled, and of those
the one with the least excess. An image is done once it is fooled without excess.

Source: Bryniarski et al., arXiv 2106.15023, 2021 (orthogonal projected gradient descent).
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from aecompanion.attack.gradient import check, per_image, quantise, shortened
from aecompanion.attack.objective import Objective, binary_cross_entropy, finite
from aecompanion.networks.borrow import borrowed, device_of

Score = Callable[[torch.Tensor], torch.Tensor]  # N×C×H×W images to N values


def evade(
    model: nn.Module,
    images: torch.Tensor,
    decisions: torch.Tensor,
    *,
    score: Score,
    eps: float,
    steps: int = 20,
    starts: Sequence[torch.Tensor] = (),
    objective: Objective = binary_cross_entropy,
) -> torch.Tensor:
    """The attacked images, N×C×H×W in [0,1] on the 8-bit grid, within linf distance eps of `images` (8-bit, too).

    Cost: at most steps · (1 + number of starts) forward and twice as many backward passes of detector and network (one
    forward pass for both where the detector asks the network about the images).

    Args:
        decisions: what f says of the clean images, N×K zeros and ones (sigmoids) or N indices (softmax).
        score: of N images, with a gradient. starts: attacked images of the same ball: each is a start of its own
            before the clean image is, and is judged itself, so that the answer is at least as good as the best start.
        objective: J.

    An image that no iterate fools comes back as the iterate with the largest J. Raises ValueError as
    `gradient.check` does, and for starts outside the ball.
    """
    check(images, eps=eps, norm="linf", steps=steps)
    if any(not ((start - images).abs() <= eps + 1e-6).all() for start in starts):
        raise ValueError(f"a start lies outside the ball of radius {eps}")
    device = device_of(model)
    clean, decisions = images.detach().to(device), decisions.to(device)
    with borrowed(model):
        with torch.no_grad():
            usual = score(clean)
        best = Best(clean, torch.full_like(usual, -torch.inf), torch.full_like(usual, torch.inf))
        for start in (*starts, clean):
            todo = (best.excess > 0).nonzero()[:, 0]
            current = start.detach().to(device)[todo]
            for step in range(steps + 1 if len(todo) else 0):
                seen = quantise(current).requires_grad_()
                with torch.enable_grad():
                    logits, suspicion = answered(model, score, seen)
                    loss = objective(logits, decisions[todo])
                fooled = is_fooled(logits, decisions[todo])
                best.consider(todo, seen.detach(), fooled, loss.detach(), (suspicion - usual[todo]).detach())
                open_ = best.excess[todo] > 0
                if step == steps or not open_.any():
                    break
                alone = bool(step % 2)  # nothing is left out: what no image asks for is not computed
                up = alarm = torch.zeros_like(seen)
                if not (alone and fooled.all()):
                    up = finite(torch.autograd.grad(loss.sum(), seen, retain_graph=True)[0])[0]
                if not alone or fooled.any():
                    alarm = finite(torch.autograd.grad(suspicion.sum(), seen)[0])[0]
                lower, higher = (-alarm, up) if alone else (without(-alarm, up), without(up, alarm))
                chosen = torch.where(per_image(fooled, seen), lower, higher)
                moved = current + 5 * eps / steps * (1 - step / steps) * chosen.sign()
                current = (clean[todo] + shortened(moved - clean[todo], eps, "linf")).clamp(0, 1)[open_]
                todo = todo[open_]
    return best.images.to(images.device)


def answered(model: nn.Module, score: Score, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and scores of N images. A detector whose first question to the network begins with the images themselves
    saves the network's own pass.
    """
    heard: list[torch.Tensor] = []
    asked: list[torch.Tensor] = []

    def listen(_, given, output):
        asked.append(given[0].detach()[: len(images)])
        heard.append(output[: len(images)])

    handle = model.register_forward_hook(listen)
    try:
        suspicion = score(images)
    finally:
        handle.remove()
    if asked and asked[0].shape == images.shape and torch.equal(asked[0], images.detach()):
        return heard[0], suspicion
    return model(images.clone()), suspicion


def is_fooled(logits: torch.Tensor, decisions: torch.Tensor) -> torch.Tensor:
    """N booleans: some decision (z_k > 0, or the top class) differs."""
    if decisions.dim() == 1:
        return logits.argmax(1) != decisions
    return ((logits > 0).long() != decisions).any(1)


def without(gradient: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The part of `gradient` that is orthogonal to `other`, image by image."""
    along = (gradient * other).flatten(1).sum(1) / other.flatten(1).square().sum(1).clamp_min(1e-30)
    return gradient - per_image(along, gradient) * other


class Best:
    """The best iterate of every image: a fooled one beats one that is not, of two fooled ones the one with less excess
    is better, of two others the one with the larger loss. excess: infinity before the image is fooled.
    """

    def __init__(self, images: torch.Tensor, loss: torch.Tensor, excess: torch.Tensor) -> None:
        self.images, self.loss, self.excess = images.clone(), loss, excess

    def consider(self, rows, images, fooled, loss, over) -> None:
        """Iterates of the images `rows` (indices): their loss and how far their score lies over the clean one."""
        excess = torch.where(fooled, over.clamp_min(0), torch.inf)
        first = torch.isinf(self.excess[rows]) & ~fooled & (loss > self.loss[rows])
        won = (excess < self.excess[rows]) | first
        kept = rows[won]
        self.images[kept], self.loss[kept], self.excess[kept] = images[won], loss[won], excess[won]
