"""What tests of figures read off a drawn figure, and how they draw."""

import contextlib

import matplotlib.pyplot as plt
import numpy as np
import torch

from aecompanion.pipeline.rng import generator
from aecompanion.report import figures


@contextlib.contextmanager
def plainly():
    """No window, the shared style, put back afterwards, and no figure left open."""
    plt.switch_backend("Agg")
    with plt.rc_context():
        figures.use_style()
        plt.rcParams["figure.dpi"] = 20
        yield
    plt.close("all")


def image(*shape, part=0):
    """Values from 0 to 1, always the same."""
    return torch.rand(shape, generator=generator(9, part))


def shown(panel):
    """What the panel's only picture shows."""
    (picture,) = panel.images
    return np.asarray(picture.get_array())


def titles(panels):
    """Their titles."""
    return [panel.get_title() for panel in panels]


def names(legend):
    """The texts of a legend."""
    return [text.get_text() for text in legend.get_texts()]


def ticks(labels):
    """The texts of tick labels."""
    return [text.get_text() for text in labels]


def fits(figure):
    """Whether everything that is drawn, text above all, lies on the figure (to a pixel)."""
    figure.canvas.draw()
    drawn, pixel = figure.get_tightbbox(figure.canvas.get_renderer()), 1.5 / figure.dpi
    width, height = figure.get_size_inches()
    return min(drawn.x0, drawn.y0) >= -pixel and drawn.x1 <= width + pixel and drawn.y1 <= height + pixel
