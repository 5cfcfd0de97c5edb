"""Figures and table of the parameter-randomisation check (Adebayo et al., NeurIPS 2018)."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn
import torch
from matplotlib.figure import Figure

from aecompanion.explain.gradcam import gradcam, heatmap
from aecompanion.networks.read import predict
from aecompanion.report.figures import HEAT, channels_last, colours, picture
from aecompanion.report.shift.tables import names
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
    """X5.4: rank correlation and SSIM (rows) for both ways (columns), a line per network."""
    measures, ways = {"spearman": "rank correlation", "ssim": "SSIM"}, ["cascading", "independent"]
    palette = colours(names(similarity))
    figure, axes = plt.subplots(2, 2, figsize=(9.5, 6.2), sharex=True, sharey="row")
    for line, (measure, label) in zip(axes, measures.items(), strict=True):
        baseline = similarity.loc[similarity["way"] == "other image", measure].mean()
        for panel, way in zip(line, ways, strict=True):
            seaborn.lineplot(
                similarity[similarity["way"] == way],
                x="depth",
                y=measure,
                hue="network",
                style="network",
                palette=palette,
                dashes=False,
                markers=True,
                markersize=4,
                seed=0,
                n_boot=200,
                legend=panel is axes[0, 1] and "full",
                ax=panel,
            )
            panel.axhline(baseline, color="black", ls=":", lw=1)
            panel.set(title=way if measure == "spearman" else "", xlabel="", ylabel=f"{label} to the intact map")
    axes[1, 0].set_xlabel("share of layers re-initialised, output first")
    axes[1, 1].set_xlabel("position of the layer, output = 0, input = 1")
    handles, labels = axes[0, 1].get_legend_handles_labels()
    axes[0, 1].get_legend().remove()
    figure.legend(handles, labels, loc="outside right center", fontsize=9)
    return figure


def summary(similarity: pd.DataFrame) -> pd.DataFrame:
    """X5.5: mean similarity per network: classifier re-initialised, everything re-initialised, another image."""
    rows = []
    for network, group in similarity.groupby("network", sort=False):
        cascading = group[group["way"] == "cascading"]
        chosen = {
            "classifier alone": cascading[cascading["depth"] == cascading["depth"].min()],
            "all layers": cascading[cascading["depth"] == cascading["depth"].max()],
            "another image, intact": group[group["way"] == "other image"],
        }
        for what, part in chosen.items():
            rows.append(
                {"network": network, "re-initialised": what}
                | {measure: part[measure].mean() for measure in ("spearman", "ssim")}
                | {"undefined": part["spearman"].isna().mean()}
            )
    return pd.DataFrame(rows)
