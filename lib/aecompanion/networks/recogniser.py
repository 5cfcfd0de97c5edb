"""A face recogniser as a classifier of enrolled people, with MobileFaceNet inside (`networks.mobilefacenet`).

    z_k(x) = s · cos( f(P(x)), c_k )        f: embedding, c_k: centroid of person k on the unit sphere, s: scale

Logits N×K of images N×1×H×W (grey) or N×3×H×W, which come behind the zoo's normalisation (x - 0.5) / 0.25 and leave for
f in that of its training. P scales an image of any size to 112×96 (bilinear), square ones so becoming a sixth higher
than wide: nothing is cut off, gradients reach every pixel, and a map of the last convolution lies exactly on the image,
as that of any other network does. Keeping the proportions of square photographs tells people of AT&T apart no better:
area under the ROC curve .996 with repeated edges above and below, .993 with the sides cut off, .998 as here.

Centroids and scale are set by `train.enrol`; a fresh network has random ones. Source of the cosine logits: Wang et al.,
"NormFace", ACM Multimedia 2017.
"""

import torch
from torch import nn
from torch.nn import functional as F

from aecompanion.networks import zoo
from aecompanion.networks.mobilefacenet import EMBEDDING, HEIGHT, MEAN, STAGES, STD, WIDTH, MobileFaceNet

FAMILY = "recogniser"  # neither deep nor wide, and the same weights under every seed
ZOO = (0.5, 0.25)  # mean and standard deviation in front of every factory's network


def placed(images: torch.Tensor) -> torch.Tensor:
    """P of the formula: N×C×H×W to N×C×112×96."""
    shrinks = images.shape[-2] > HEIGHT or images.shape[-1] > WIDTH
    return F.interpolate(images, (HEIGHT, WIDTH), mode="bilinear", align_corners=False, antialias=shrinks)


class Cosine(nn.Module):
    """s · cos(f, c_k): embeddings N×D to logits N×K; `centroids` K×D are of length 1."""

    def __init__(self, embedding: int, classes: int) -> None:
        super().__init__()
        self.centroids = nn.Parameter(torch.empty(classes, embedding))
        self.register_buffer("scale", torch.tensor(1.0))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Centroids drawn evenly from the sphere."""
        self.centroids.copy_(F.normalize(torch.randn_like(self.centroids)))

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        return self.scale * F.linear(F.normalize(embeddings), self.centroids)


class Recogniser(nn.Module):
    """z of the formula for a network `net` from N×3×112×96, normalised as in its training, to N×D."""

    def __init__(self, net: nn.Module, embedding: int, classes: int) -> None:
        super().__init__()
        self.net, self.head = net, Cosine(embedding, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        images = placed(images) * (ZOO[1] / STD) + (ZOO[0] - MEAN) / STD
        return self.head(self.net(images.expand(-1, 3, -1, -1)))


def mobilefacenet(*, classes: int, channels: int, size: int) -> Recogniser:
    """The factory for the zoo, with random weights; see `train.enrol`."""
    layers = tuple(f"net.{stage}" for stage in STAGES)
    zoo.FULL_SIZE.setdefault(f"{__name__}:mobilefacenet", (FAMILY, layers))
    return Recogniser(MobileFaceNet(), EMBEDDING, classes)
