"""The normalisation of a network that a reader brings: checked, and compared with the usual ones on labelled images."""

import math

import pandas as pd
import torch

from aecompanion.networks.borrow import device_of
from aecompanion.networks.read import predict
from aecompanion.networks.zoo import Network

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
USUAL = {  # (x - mean) / std in pixel units: what networks are usually trained with
    "ImageNet mean and std": IMAGENET,
    "[-1, 1]": (0.5, 0.5),
    "[0, 1]": (0.0, 1.0),
    "[0, 255]": (0.0, 1 / 255),
}
AHEAD = 2  # images that another normalisation must get right beyond the given one to make that look wrong
GAIN = 0.1  # nats by which the labels must be likelier under another one to make the given one doubtful


def checked(mean, std, channels: int) -> tuple[float | list[float], float | list[float]]:
    """Mean and std as numbers or lists, or ValueError."""
    for name, given in (("mean", mean), ("std", std)):
        values = torch.as_tensor(given, dtype=torch.float64).flatten()
        if len(values) not in (1, channels):
            expected = "1 (grey)" if channels == 1 else f"1 or {channels} (one per channel)"
            raise ValueError(f"{name} has {len(values)} values, expected {expected}")
        if bool((values > 1).any()):
            raise ValueError(f"{name} is {given}, expected pixel units in [0, 1]: divide grey levels by 255")
        if bool((values < 0).any()) or (name == "std" and bool((values == 0).any())):
            raise ValueError(f"{name} is {given}, expected {'positive numbers' if name == 'std' else 'at least 0'}")
    plain = [value if isinstance(value, (int, float)) else [float(each) for each in value] for value in (mean, std)]
    return plain[0], plain[1]


def with_normalisation(network: Network, mean, std) -> Network:
    """The same body (shared, not copied) behind another normalisation, on the same device."""
    other = Network(
        network.body,
        mean=mean,
        std=std,
        channels=network.channels,
        cam_layers=network.cam_layers,
        card=network.card | {"mean": mean, "std": std},
    )
    return other.to(device_of(network))


def compare_normalisations(network: Network, images: torch.Tensor, labels: torch.Tensor) -> pd.DataFrame:
    """One row per normalisation, the given one first: normalisation, mean, std, right (images whose label comes
    first), images, classes, confidence (mean probability of the label), log_p (mean of its logarithm, nats).

    images: N×C×H×W in [0,1]; labels: N class indices, images with -1 are left out. Cost: a forward pass per row and
    image. Raises ValueError if no image has a label.
    """
    known = labels >= 0
    if not known.any():
        raise ValueError("no image has a label, expected some to judge the normalisation by (sub-folders are labels)")
    images, labels = images[known], labels[known]
    given = (network.mean.flatten().tolist(), network.std.flatten().tolist())
    rows = []
    for name, (mean, std) in {"as given": given, **usual(network.channels, given)}.items():
        log_p = predict(with_normalisation(network, mean, std), images).log_softmax(1)
        own = log_p.gather(1, labels[:, None])[:, 0]
        rows.append(
            {"normalisation": name, "mean": mean, "std": std}
            | {"right": int((log_p.argmax(1) == labels).sum()), "images": len(labels), "classes": log_p.shape[1]}
            | {"confidence": own.exp().mean().item(), "log_p": own.mean().item()}
        )
    return pd.DataFrame(rows)


def usual(channels: int, given) -> dict[str, tuple]:
    """USUAL for this number of channels (the mean over RGB for grey), without the one that is the given one."""
    found = {}
    for name, pair in USUAL.items():
        mean, std = (torch.as_tensor(each).flatten() for each in pair)
        if len(mean) not in (1, channels):
            mean, std = mean.mean()[None], std.mean()[None]
        pairs = zip((mean, std), given, strict=True)
        if not all(bool(((one - torch.as_tensor(own)).abs() < 1e-3).all()) for one, own in pairs):
            found[name] = (mean.tolist(), std.tolist())
    return found


def advice(table: pd.DataFrame) -> str | None:
    """One sentence where another normalisation gets at least AHEAD labelled images more right, or as many while their
    labels are likelier by at least GAIN, or where under none of them more is right than by guessing; else None.
    """
    given, best = table.iloc[0], table.sort_values(["right", "log_p"], ascending=False).iloc[0]
    guessed = -math.log(given["classes"])  # log_p of equal probabilities
    if best["right"] <= math.ceil(given["images"] / given["classes"]) and table["log_p"].max() <= guessed + GAIN:
        return (
            f"no usual normalisation does better than guessing ({best['right']} of {given['images']} labelled images "
            "are right), expected trained weights and the class names in the order of the outputs"
        )
    if best["right"] >= given["right"] + AHEAD:
        return (
            f"the normalisation looks wrong: {given['right']} of {given['images']} labelled images are right as given, "
            f"{best['right']} with {described(best)}"
        )
    likelier = table[(table["right"] >= given["right"]) & (table["log_p"] >= given["log_p"] + GAIN)]
    if likelier.empty:
        return None
    best = likelier.loc[likelier["log_p"].idxmax()]
    return (
        f"the normalisation may be wrong: the labels' mean log-probability is {given['log_p']:.2f} as given and "
        f"{best['log_p']:.2f} with {described(best)}"
    )


def described(row: pd.Series) -> str:
    mean, std = ([round(each, 4) for each in row[name]] for name in ("mean", "std"))
    return f"{row['normalisation']} (mean {mean}, std {std})"
