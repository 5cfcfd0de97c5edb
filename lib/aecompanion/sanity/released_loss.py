"""What the loss of the released notebooks does to the network it is meant to explain (Yang et al., ICIP 2019).

    released      5·TV_Σ + 2·mean |a - sg(d(c(a)))| + 3·TV_Σ        f and the bottleneck learn
    summed TV     8·TV_Σ + 2·mean |d(c(a)) - sg(a)| + 3·KL(p ‖ p')   the bottleneck learns
    intended      the means of `train.causal_autoencoder`         the bottleneck learns

    TV_Σ = Σ | |∂_y u| - |∂_y v| | / H,  u: code before the narrowest layer, v: after it (both as wide)

sg: no gradient. In the first the gradient of the reconstruction is stopped on the wrong side, so that it trains f, the
front of the frozen network, towards the bottleneck's output; the KL term is computed but never added (its coefficient
goes to TV a second time); and TV is a sum over batch, channels and pixels. The second mends all but the sum.

Numbers of the notebooks: weights 5, 2, 3 with Adam 1e-3 and batch 8. Networks stay in evaluation mode here, so that
nothing but the loss is compared (the notebooks leave dropout and batch statistics on as well).
"""

import copy
from collections.abc import Callable

import pandas as pd
import torch
from torch import nn

from aecompanion.networks.borrow import device_of
from aecompanion.networks.read import predict, several_labels
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.train.causal_autoencoder import CausalAutoencoder, cut, divergence, fit_autoencoder, logits_and_shape
from aecompanion.train.fidelity import fidelity

VARIANTS = ("released", "summed TV")


def train_released(
    model: nn.Module,
    images: torch.Tensor,
    probes: torch.Tensor,
    *,
    layer: str,
    variant: str,
    score: Callable[[nn.Module], float],
    widths: tuple[int, int] = (32, 16),
    epochs: int = 3,
    batch: int = 8,
    lr: float = 1e-3,
    seed: int = 0,
) -> pd.DataFrame:
    """Train a copy of the network and a bottleneck with one of `VARIANTS`; the caller's network is not touched.

    Args:
        images: N×C×H×W to train on; probes: to measure the agreement of both branches on; score: of the plain branch
        (accuracy, AUROC). widths: of the outer and of the narrowest code layer.

    Returns one row per epoch, 0 before training: epoch, loss, plain (the score), agreement (share of probes whose
    decisions are equal in both branches) and code (mean |c(a)|). Raises ValueError for an unknown variant or less than
    one batch of images.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant {variant!r} is unknown, expected one of {', '.join(VARIANTS)}")
    if len(images) < batch:
        raise ValueError(f"{len(images)} images for a batch of {batch}, expected at least one batch")
    model, several, device = copy.deepcopy(model).eval(), several_labels(model), device_of(model)
    reference, shape = logits_and_shape(model, images, layer=layer)
    with seeded(seed):
        autoencoder = CausalAutoencoder(shape[1], encoder=widths, decoder=widths[:1]).to(device)
    learning = [*autoencoder.parameters()]
    model.requires_grad_(variant == "released")
    if variant == "released":
        learning += [*model.parameters()]  # only f gets a gradient: the loss ends at the bottleneck
    optimizer = torch.optim.Adam(learning, lr=lr, fused=True)
    seen: dict[str, torch.Tensor] = {}

    def through(activations: torch.Tensor) -> torch.Tensor:
        wide = autoencoder.encode[0](activations)
        narrow = autoencoder.encode[1](wide)
        back = autoencoder.decode[0](narrow)
        restored = autoencoder.decode[1](back)
        seen.update(a=activations, wide=wide, code=narrow, back=back, restored=restored)
        return restored

    def row(epoch: int, losses: list[torch.Tensor]) -> dict:
        agreement = fidelity(model, probes, layer=layer, autoencoder=autoencoder).images
        with cut(model, layer, through):
            predict(model, probes, batch=len(probes))
        loss = torch.stack(losses).mean().item() if losses else float("nan")
        size = seen["code"].abs().mean().item()
        return {"epoch": epoch, "loss": loss, "plain": score(model), "agreement": agreement, "code": size}

    rows = [row(0, [])]
    for epoch in range(epochs):
        order, losses = torch.randperm(len(images), generator=generator(seed, epoch)), []
        for chosen in order[: len(images) // batch * batch].split(batch):
            with cut(model, layer, through):
                logits = model(images[chosen].to(device))
            variation = summed_variation(seen["wide"], seen["back"])
            if variant == "released":
                loss = 5 * variation + 2 * (seen["a"] - seen["restored"].detach()).abs().mean() + 3 * variation
            else:
                kl = divergence(logits, reference[chosen].to(device), multi_label=several).mean()
                loss = 8 * variation + 2 * (seen["restored"] - seen["a"].detach()).abs().mean() + 3 * kl
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        rows.append(row(epoch + 1, losses))
    return pd.DataFrame(rows)


def train_intended(
    model: nn.Module,
    images: torch.Tensor,
    probes: torch.Tensor,
    *,
    layer: str,
    score: Callable[[nn.Module], float],
    epochs: int = 3,
    lr: float = 1e-3,
    seed: int = 0,
) -> pd.DataFrame:
    """The intended loss beside `train_released`: one row per number of epochs, 0 without a bottleneck (no agreement),
    with epoch, plain and agreement; every number of epochs is trained anew.
    """
    rows = [{"epoch": 0, "plain": score(model)}]
    for count in range(1, epochs + 1):
        options = {"layer": layer, "epochs": count, "lr": lr, "seed": seed}
        bottleneck, _ = fit_autoencoder(model, images, **options)
        agreement = fidelity(model, probes, layer=layer, autoencoder=bottleneck).images
        rows.append({"epoch": count, "plain": score(model), "agreement": agreement})
    return pd.DataFrame(rows)


def summed_variation(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """TV_Σ of the formula for N×C×h×w codes."""
    return (before.diff(dim=2).abs() - after.diff(dim=2).abs()).abs().sum() / before.shape[2]
