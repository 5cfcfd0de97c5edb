import dataclasses
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from masked import CLASSES, pixel_sums
from matplotlib.colors import to_rgba
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.text import Text
from PIL import Image
from torch import nn

from aecompanion.explain.logit_slice import Slice, logit_plane
from aecompanion.papers.masks import evolution, framework, schematics as drawn
from aecompanion.pipeline.rng import generator
from aecompanion.report import figures
from aecompanion.report.kit import PLAIN
from aecompanion.studies.cases import cases, terms


@pytest.fixture(autouse=True)
def pixels(settings):
    """The resolution of the notebooks: what fits is measured in their pixels."""
    figures.use_style()


def texts(figure) -> list[Text]:
    """All but the labels of ticks, some of which lie outside their axes and are never drawn."""
    found = [*figure.texts, *itertools.chain(*(legend.get_texts() for legend in figure.legends))]
    for panel in figure.axes:
        found += [panel.title, panel.xaxis.label, panel.yaxis.label, *panel.texts]
        found += panel.get_legend().get_texts() if panel.get_legend() else []
    return [text for text in found if text.get_text().strip()]


def words(figure) -> str:
    return "\n".join(text.get_text() for text in texts(figure))


# every figure


def plane_figure(history):
    two = {"MP": history[-1], "RP": dataclasses.replace(history[-1], mask=history[-1].mask.flip(2) * 0.5)}
    two["RP"] = cases(pixel_sums(), history[0].image, history[0].reference, two["RP"].mask[None], 0, CLASSES)[0]
    plane = logit_plane(pixel_sums(), history[0].image, two["MP"].masked, two["RP"].masked, steps=20)
    ways = {name: torch.stack([case.masked for case in history]) for name in two}
    return drawn.boundaries(plane, two, ways)


FIGURES = {
    "falling_score": lambda h: drawn.falling_score({"from m = 0": h, "from m = 1": h[::-1]}, range(5)),
    "strip": lambda h: drawn.strip(h[-1], "RP"),
    "class_distortion": lambda h: drawn.class_distortion({"MP": h[-1], "EP": h[2], "RP": h[1]}),
    "boundaries": plane_figure,
    "framework": lambda h: framework.framework(h[-1]),
    "evolution": lambda h: evolution.evolution([h, h[::-1]], range(5)),
}


@pytest.fixture(params=FIGURES)
def figure(request, history):
    made = FIGURES[request.param](history)
    made.canvas.draw()
    return made


def test_no_two_texts_overlap_and_none_is_tiny(figure):
    renderer = figure.canvas.get_renderer()
    shown = [(text.get_text(), text.get_window_extent(renderer)) for text in texts(figure)]
    for (one, first), (other, second) in itertools.combinations(shown, 2):
        assert not first.shrunk(0.98, 0.9).overlaps(second.shrunk(0.98, 0.9)), f"{one!r} and {other!r}"
    assert min(text.get_fontsize() for text in texts(figure)) >= 8.5


@pytest.mark.parametrize("name", FIGURES)
def test_drawing_leaves_the_settings_alone(name, history):
    before = dict(plt.rcParams)
    FIGURES[name](history)
    assert dict(plt.rcParams) == before


# single figures


def test_the_score_is_that_of_every_step(history):
    figure = drawn.falling_score({"from m = 0": history}, range(5))
    panels = {panel.get_ylabel(): panel for panel in figure.axes}
    ((p,), (share,)) = (
        [line.get_ydata() for line in panels[name].lines] for name in ("p(T) of the masked image", "share replaced")
    )
    assert np.asarray(p, float).tolist() == pytest.approx([case.p[1, 0].item() for case in history])
    assert np.asarray(share, float).tolist() == pytest.approx([1, 0.875, 0.75, 0.625, 0.5])
    assert {f"p(T) = {history[-1].p[0, 0]:.3f}", f"p(T) = {history[-1].p[1, 0]:.3f}", "replaced 50.0%"} <= set(
        words(figure).split("\n")
    )


def test_the_strip_shows_every_class_three_times_with_the_target_first(history):
    case = dataclasses.replace(history[-1], target=2)
    panel = drawn.strip(case, "RP").axes[-1]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["c", "a", "b"]
    for line, p in zip(panel.lines, case.p, strict=True):
        assert torch.tensor(np.asarray(line.get_ydata(), float)).tolist() == pytest.approx(p[[2, 0, 1]].tolist())


def test_distortion_bars_and_numbers_are_before_and_after(history):
    case = dataclasses.replace(history[-1], p=torch.tensor([[0.99, 0.02, 0.5], [0.01, 0.8, 0.55], [0, 0, 0]]))
    panel = drawn.class_distortion({"MP": case}).axes[3]
    widths = [bar.get_width() for bar in panel.patches]
    assert widths == pytest.approx([0.99, 0.02, 0.5, 0.01, 0.8, 0.55])
    numbers = {text.get_text(): text.get_fontweight() for text in panel.texts}
    assert numbers == {"0.99 → 0.01": "bold", "0.02 → 0.80": "bold", "0.50 → 0.55": "normal"}


def test_arrows_end_at_the_exact_points_of_the_plane(history):
    figure = plane_figure(history)
    panel = figure.axes[0]
    ends = np.array([note.xy for note in panel.texts if note.arrow_patch is not None])
    image, one = history[0].image, history[-1].masked
    assert np.hypot(*ends[0]) == pytest.approx((image - one).norm().item(), rel=1e-5)
    assert panel.get_aspect() == 1  # lengths across are lengths along


def test_steps_far_from_the_plane_are_not_drawn(history, monkeypatch):
    monkeypatch.setattr(drawn, "NEAR", 0.0)
    ways = [line for line in plane_figure(history).axes[0].lines if line.get_linestyle() == ":"]
    assert len(ways) == 2 and all(len(line.get_xdata()) == 0 for line in ways)


def test_a_class_that_is_nowhere_decided_yes_has_no_boundary(history):
    model = pixel_sums()
    nn.init.constant_(model[2].bias, -40)
    image, reference = history[0].image, history[0].reference
    masks = torch.stack([history[-1].mask, history[-1].mask.flip(2) * 0.5])
    one, two = cases(model, image, reference, masks, 0, CLASSES)
    plane = logit_plane(model, image, one.masked, two.masked, steps=5)
    ways = dict.fromkeys(("MP", "RP"), one.masked[None])
    figure = drawn.boundaries(plane, {"MP": one, "RP": two}, ways)
    assert not figure.axes[0].collections


def slice_of(logits):
    """A plane with x at (0, 0), the masked images at (2, 0) and (0, 2), and the given logits H×W×3."""
    points = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    grid = torch.linspace(-1, 3, 5)
    return Slice(points, grid, grid, logits, torch.zeros(1), torch.zeros(2, 1))


def test_the_boundaries_drawn_are_of_every_class_that_a_way_crosses(history):
    case = history[-1]  # its target is 0
    logits = torch.ones(5, 5, 3)
    assert drawn.crossed(slice_of(logits), case) == []
    logits[:, :, 0] = -1  # the target does not count
    logits[4, 4, 1] = -1  # away from both ways
    assert drawn.crossed(slice_of(logits), case) == []
    logits[1, 2, 1] = -1  # on the way to the first and back again: at (1, 0)
    assert drawn.crossed(slice_of(logits), case) == [1]
    logits[3, 1, 2] = -1  # at the end of the second: at (0, 2)
    assert drawn.crossed(slice_of(logits), case) == [1, 2]
    ways = dict.fromkeys(("MP", "RP"), case.masked[None])
    wide = dataclasses.replace(
        slice_of(logits), origin=case.image.double().flatten(), basis=torch.zeros(2, 768).double()
    )
    figure = drawn.boundaries(wide, {"MP": case, "RP": case}, ways)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert [label for label in labels if label.startswith("boundary")] == [
        "boundary of T “a”",
        "boundary of NT “b”",
        "boundary of NT “c”",
    ]


def test_the_framework_writes_every_term_at_the_end_of_an_arrow(history):
    figure = framework.framework(history[-1])
    values = terms(history[-1])
    said = words(figure)
    for value in [*values.values(), sum(values.values())]:
        assert f"{value:.3f}".replace("-", "−") in said
    assert len(figure.findobj(FancyArrowPatch)) == 3 * 3 + 4


def test_the_framework_s_bars_are_as_high_as_the_probabilities(history):
    axes = framework.framework(history[-1]).axes[0]
    colours = {to_rgba(drawn.T), to_rgba(drawn.NT)}
    bars = [
        bar for bar in axes.patches if isinstance(bar, Rectangle) and bar.get_fill() and bar.get_facecolor() in colours
    ]
    grey = {
        bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle) and bar.get_facecolor() == to_rgba(PLAIN)
    }
    (full,) = {height for height in grey if height}
    expected = history[-1].p[[1, 0, 2]].flatten().tolist()
    assert [bar.get_height() / full for bar in bars] == pytest.approx(expected)


def test_the_framework_s_frames_do_not_move_the_canvas(history):
    figure = framework.framework(history[-1])
    assert figure.get_size_inches()[0] == 11.25
    assert figure.axes[0].axis() == (0, 11.25, 0, 6.5)


def test_evolution_has_a_mask_and_a_masked_image_per_step(history):
    figure = evolution.evolution([history], range(5))
    upper, lower = np.array(figure.axes).reshape(2, 6)
    for panel, below, case in zip(upper[1:], lower[1:], history, strict=True):
        assert np.allclose(panel.images[0].get_array(), case.mask[0])
        assert np.allclose(below.images[0].get_array(), case.masked.permute(1, 2, 0), atol=1e-6)


# the animation


def test_the_same_cases_give_the_same_bytes(tmp_path, history):
    for name in ("one", ".part.two.gif"):
        evolution.evolution_gif(tmp_path / name, history, range(5))
    assert (tmp_path / "one").read_bytes() == (tmp_path / ".part.two.gif").read_bytes()
    assert (tmp_path / "one").stat().st_size < 2**20


def test_the_animation_has_a_frame_per_case_and_rests_on_the_last(tmp_path, history):
    evolution.evolution_gif(tmp_path / "film", history, range(5), milliseconds=100)
    with Image.open(tmp_path / "film") as film:
        assert (film.format, film.n_frames, film.info["loop"]) == ("GIF", 5, 0)
        pauses, frames = [], []
        for index in range(5):
            film.seek(index)
            pauses.append(film.info["duration"])
            frames.append(np.asarray(film.convert("RGB")).astype(int))
    assert pauses == [100, 100, 100, 100, 600]
    assert all(np.abs(one - other).mean() > 0.1 for one, other in itertools.pairwise(frames))
    assert all((frame[0, 0] == 255).all() for frame in frames)


def test_the_animation_leaves_no_figure_open(tmp_path, history):
    evolution.evolution_gif(tmp_path / "film", history[:2], range(2))
    assert plt.get_fignums() == []


def test_the_palette_holds_white_and_colours_close_to_those_of_the_frames():
    pixels = torch.rand(40, 40, 3, generator=generator(0, 2)).mul(255).byte().numpy()
    pixels[:20] = 255
    frame = Image.fromarray(pixels)
    found = frame.quantize(palette=evolution.palette([frame]), dither=Image.Dither.NONE).convert("RGB")
    assert (np.asarray(found)[:20] == 255).all()
    assert np.abs(np.asarray(found).astype(int) - pixels).mean() < 15
