"""What stands in the place of a display that the data at hand do not allow: a figure that says why."""

import textwrap

import matplotlib.pyplot as plt
from matplotlib.figure import Figure


def figure(reason: str) -> Figure:
    """A small figure with this sentence and nothing else."""
    drawn, axes = plt.subplots(figsize=(6, 1.5))
    axes.text(0.5, 0.5, textwrap.fill(reason, 60), ha="center", va="center", transform=axes.transAxes)
    axes.set_axis_off()
    return drawn
