"""Figures and table of the parameter-randomisation check (Adebayo et al., NeurIPS 2018)."""

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.figure import Figure

from aecompanion.explain.gradcam import gradcam, heatmap
from aecompanion.networks.read import predict
from aecompanion.papers.shift.tables import names
from aecompanion.report import randomization
from aecompanion.report.figures import HEAT, channels_last, colours, picture
from aecompanion.report.randomization import multiples
from aecompanion.sanity.randomization import randomized

Stages = list[tuple[str, torch.Tensor]]  # name of the last re-initialised layer, heatmaps N×1×H×W


def cascade(network, images: torch.Tensor, *, size: int, seed: int, steps: int) -> Stages:
    """Heatmaps of the intact network and of about `steps` stages of its cascading re-initialisation."""
    target = predict(network, images).argmax(1)

    def maps(model) -> torch.Tensor:
        return heatmap(gradcam(model, images, target, layer=model.cam_layer()), size)

    stages = [("intact", maps(network))]
    stages += [(name.removeprefix("body."), maps(changed)) for name, changed in randomized(network, seed=seed)]
    keep = torch.linspace(0, len(stages) - 1, steps + 1).round().int().unique().tolist()
    return [stages[i] for i in keep]


def cascade_grid(stages: Stages, images: torch.Tensor) -> Figure:
    """One row per image: the image, then its heatmap as more of the network is re-initialised."""
    size = (1.35 * (len(stages) + 1) + 0.6, 1.5 * len(images) + 0.7)
    figure, axes = plt.subplots(len(images), len(stages) + 1, figsize=size, squeeze=False)
    for row, image, index in zip(axes, images, range(len(images)), strict=True):
        picture(row[0], channels_last(image), cmap="gray")
        for panel, (name, maps) in zip(row[1:], stages, strict=True):
            picture(panel, maps[index, 0], cmap=HEAT, title=name if index == 0 else "")
    figure.colorbar(axes[0, -1].images[0], ax=axes, shrink=0.7, label="Grad-CAM")
    return figure


def curves(similarity: pd.DataFrame) -> Figure:
    """X5.4: rank correlation and SSIM (rows) of each network (columns), a line per way, see
    `report.randomization.multiples`.
    """
    measures = {"spearman": "rank correlation", "ssim": "SSIM"}
    return multiples(marked(similarity), "network", colours(names(similarity)), measures, item="image")


def summary(similarity: pd.DataFrame, **options) -> pd.DataFrame:
    """X5.5, see `report.randomization.summary`; smooth and rise are sMPRT and eMPRT (`sanity.likeness`)."""
    measures = ["spearman", "ssim", *(name for name in ("smooth", "rise") if name in similarity)]
    order = names(similarity)
    return randomization.summary(marked(similarity), "network", order, measures, item="image", **options)


def marked(similarity: pd.DataFrame) -> pd.DataFrame:
    """The rows with a column that says where the rank correlation is undefined."""
    return similarity.assign(undefined=similarity["spearman"].isna())
