import numpy as np
import pytest
import torch
from drawn import image, shown, ticks, titles
from matplotlib.colors import to_hex

from aecompanion.attack.lp_ball import lmo
from aecompanion.papers.counterfactual import figures as counterfactual_figures, tables as counterfactual_tables
from aecompanion.report.figures import COLOURS, MARKERS

OPTIONS = {"resamples": 20, "seed": 0}


def names(panel):
    return [text.get_text() for text in panel.get_legend().get_texts()]


# ---- changes


def test_a_change_is_what_was_added_summed_over_channels():
    before = torch.tensor([[[0.5, 0.25]], [[0.0, 1.0]], [[0.25, 0.5]]])
    after = torch.tensor([[[1.0, 0.25]], [[0.25, 0.5]], [[0.0, 0.25]]])
    found = counterfactual_figures.change(before, after)
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [[0.5, -0.75]]  # .5 + .25 - .25 and 0 - .5 - .25


@pytest.mark.parametrize(
    ("changes", "scale"),
    [
        ([np.arange(1001) / 1000], 0.995),
        ([-np.arange(1001) / 1000], 0.995),
        ([np.arange(501) / 1000, -np.arange(501, 1001).reshape(20, 25) / 1000], 0.995),  # of all changes together
        ([np.full((2, 2), -0.5), np.full((3, 2), 0.5)], 0.5),
        ([np.zeros((2, 2))], 1e-6),  # nothing changed: a scale that can be drawn
    ],
)
def test_the_scale_is_nearly_the_largest_size_of_all_changes(changes, scale):
    assert counterfactual_figures.scale_of(changes) == pytest.approx(scale, rel=1e-12)


@pytest.fixture
def comparison():
    """Two images; the first column brightens by .1, the second darkens one image by .3 and leaves the other alone."""
    images = 0.4 + 0.2 * image(2, 3, 4, 5)
    columns = {"plain": images + 0.1, "robust": images - torch.tensor([0.3, 0.0])[:, None, None, None]}
    captions = {"plain": ["“cat”, 0.9", "“dog”, 0.8"], "robust": ["“cat”, 0.7", "“dog”, 0.6"]}
    figure = counterfactual_figures.compared(images, columns, titles=["“dog”, 0.99", "“cat”, 0.95"], captions=captions)
    return images, columns, figure


def test_a_comparison_has_the_original_and_two_panels_per_column_in_every_row(comparison):
    images, columns, figure = comparison
    *panels, bar = figure.axes
    assert len(panels) == 2 * (1 + 2 * 2)
    for row, line in enumerate((panels[:5], panels[5:])):
        for panel, picture in zip(line[::2][:1] + line[1::2], (images, *columns.values()), strict=True):
            assert shown(panel) == pytest.approx(picture[row].numpy().transpose(1, 2, 0))
            assert panel.images[0].get_clim() == (0, 1)
    assert bar.get_ylabel() == "change, sum over channels"
    figure.canvas.draw()


def test_all_changes_of_a_comparison_have_one_symmetric_scale(comparison):
    _, _, figure = comparison
    changes = [figure.axes[place] for place in (2, 4, 7, 9)]
    assert [panel.images[0].get_clim() for panel in changes] == 4 * [pytest.approx((-0.9, 0.9))]
    assert len({panel.images[0].get_clim() for panel in changes}) == 1
    assert {panel.images[0].get_cmap().name for panel in changes} == {"RdBu_r"}
    assert figure.axes[-1].get_ylim() == pytest.approx((-0.9, 0.9))  # the bar's
    for panel, added in zip(changes, (0.3, -0.9, 0.3, 0), strict=True):
        assert shown(panel) == pytest.approx(np.full((4, 5), added), abs=1e-6)


def test_titles_of_a_comparison_name_the_column_once_and_every_counterfactual(comparison):
    _, _, figure = comparison
    assert titles(figure.axes[:5]) == ["“dog”, 0.99", "plain\n“cat”, 0.9", "", "robust\n“cat”, 0.7", ""]
    assert titles(figure.axes[5:10]) == ["“cat”, 0.95", "“dog”, 0.8", "", "“dog”, 0.6", ""]
    assert all(panel.get_xticks().size == panel.get_yticks().size == 0 for panel in figure.axes[:10])


def test_a_comparison_of_one_grey_image_that_did_not_change_can_be_drawn():
    images = image(1, 1, 4, 4)
    figure = counterfactual_figures.compared(images, {"same": images.clone()}, titles=["a"], captions={"same": ["b"]})
    original, found, changed, _ = figure.axes
    assert shown(original).shape == shown(found).shape == (4, 4)
    assert changed.images[0].get_clim() == (-1e-6, 1e-6)
    assert (shown(changed) == 0).all()


def test_a_column_with_too_few_images_is_an_error():
    images = image(2, 3, 4, 4)
    with pytest.raises(ValueError, match="shorter"):
        counterfactual_figures.compared(images, {"x": images[:1]}, titles=["a", "b"], captions={"x": ["c", "d"]})


# ---- a target per row, a radius per column


def test_the_grid_of_a_cluster_has_a_row_per_target_and_a_column_per_radius():
    start, found = image(3, 4, 4), image(4, 3, 4, 4, part=1)
    rows = {"cat": (found[:2], [0.5, 0.899]), "dog": (found[2:], [0.25, 0.999])}
    figure = counterfactual_figures.cluster_grid(start, "“cup”, 0.98", rows, [0.75, 12.3456])
    original, *panels = figure.axes
    assert (original.get_title(), len(panels)) == ("“cup”, 0.98", 4)  # the original once, no empty panel
    assert titles(panels) == ["radius 0.75\n“cat”: 0.50", "radius 12.3\n“cat”: 0.90", "“dog”: 0.25", "“dog”: 1.00"]
    assert shown(original) == pytest.approx(start.numpy().transpose(1, 2, 0))
    for panel, picture in zip(panels, found, strict=True):
        assert shown(panel) == pytest.approx(picture.numpy().transpose(1, 2, 0))


def test_the_grid_may_have_one_row_and_needs_a_confidence_per_radius():
    start, found = image(1, 4, 4), image(2, 1, 4, 4, part=1)
    figure = counterfactual_figures.cluster_grid(start, "a", {"cat": (found, [0.5, 0.6])}, [1, 2])
    assert titles(figure.axes) == ["a", "radius 1\n“cat”: 0.50", "radius 2\n“cat”: 0.60"]
    with pytest.raises(ValueError, match="shorter"):
        counterfactual_figures.cluster_grid(start, "a", {"cat": (found, [0.5])}, [1, 2])


# ---- the oracle in two dimensions

VERTICES = {  # from (.62, .45) with radius .6 towards (.5, .85); there is room for .38 and .55
    1.0: (0.67, 1.0),  # .55 upwards, what is left of .6 to the right
    2.0: (0.62 + 0.5 * 0.6 / np.hypot(0.5, 0.85), 0.45 + 0.85 * 0.6 / np.hypot(0.5, 0.85)),  # inside the box
    float("inf"): (1.0, 1.0),
}


def test_the_star_is_the_oracles_answer():
    figure = counterfactual_figures.vertices(list(VERTICES))
    assert len(figure.axes) == 3
    for panel, (p, (x, y)) in zip(figure.axes, VERTICES.items(), strict=True):
        (star,) = [line for line in panel.lines if line.get_marker() == "*"]
        found = np.array(star.get_data(), float).ravel()
        assert found == pytest.approx([x, y], abs=1e-5)
        at = torch.tensor([[0.62, 0.45]])
        assert found == pytest.approx((at + lmo(torch.tensor([[0.5, 0.85]]), at, 0.6, p))[0].numpy(), abs=1e-6)
        (dot,) = [line for line in panel.lines if line.get_marker() == "o"]
        assert np.array(dot.get_data(), float).ravel() == pytest.approx([0.62, 0.45])
    figure.canvas.draw()


def test_panels_of_the_oracle_name_the_power_and_the_two_pixels():
    figure = counterfactual_figures.vertices([1, 1.5, float("inf")])
    assert titles(figure.axes) == ["p = 1", "p = 1.5", "p = ∞"]
    assert [panel.get_xlabel() for panel in figure.axes] == 3 * ["first pixel"]
    assert [panel.get_ylabel() for panel in figure.axes] == ["second pixel", "", ""]


@pytest.mark.parametrize("at", [(0.62, 0.45), (0.1, 0.9)])
def test_the_star_of_another_point_and_radius_lies_in_the_box_and_the_ball(at):
    figure = counterfactual_figures.vertices([1.5, 2], radius=0.3, at=at)
    for panel, p in zip(figure.axes, (1.5, 2), strict=True):
        (star,) = [line for line in panel.lines if line.get_marker() == "*"]
        found = np.array(star.get_data(), float).ravel()
        assert ((found >= 0) & (found <= 1)).all()
        assert (np.abs(found - at) ** p).sum() ** (1 / p) <= 0.3 + 1e-6


# ---- curves and panels


def test_trajectories_are_minus_the_mean_log_confidence_with_dotted_checkpoints():
    traces = {"AFW": np.array([[-4.0, -2.0], [-1.0, -1.0]]), "APGD": np.array([[-4.0, -4.0], [-3.0, -1.0]])}
    (panel,) = counterfactual_figures.trajectories(traces, [1, 5]).axes
    *checkpoints, first, second = panel.lines
    assert [line.get_xdata()[0] for line in checkpoints] == [1, 5]
    assert {line.get_linestyle() for line in checkpoints} == {":"}
    assert first.get_ydata().tolist() == [3, 1]
    assert second.get_ydata().tolist() == [4, 2]
    assert [(to_hex(line.get_color()), line.get_marker()) for line in (first, second)] == [
        (COLOURS[place].lower(), MARKERS[place]) for place in (0, 1)
    ]
    assert (panel.get_xlabel(), panel.get_yscale()) == ("step", "log")
    assert panel.get_ylabel() == "− log confidence, best so far (nats)"
    assert names(panel) == ["AFW", "APGD"]


def test_a_panel_of_sparsity_has_the_mean_of_every_network_and_ball(paper2_tables):
    columns = {"background": "share outside the object", "largest": "largest change"}
    figure = counterfactual_figures.sparsity_panels(paper2_tables["counterfactuals"], columns, **OPTIONS)
    assert titles(figure.axes) == list(columns.values())
    means = {"background": [[0.3, 0.2, 0.1], [0.5, 0.4, 0.2], [0.6, 0.5, 0.4]]}
    means["largest"] = [[0.8, 0.9, 0.8], [0.3, 0.5, 0.6], [0.1, 0.2, 0.3]]
    for panel, column in zip(figure.axes, columns, strict=True):
        assert len(panel.containers) == 9
        for kind, (shift, expected) in enumerate(zip((-0.2, 0, 0.2), means[column], strict=True)):
            points = [container[0] for container in panel.containers[3 * kind : 3 * kind + 3]]
            assert [point.get_xdata()[0] for point in points] == pytest.approx([shift, 1 + shift, 2 + shift])
            assert [point.get_ydata()[0] for point in points] == pytest.approx(expected)
            assert {(to_hex(point.get_color()), point.get_marker()) for point in points} == {
                (COLOURS[kind].lower(), MARKERS[kind])
            }
        assert panel.get_ylim()[0] == 0
        assert ticks(panel.get_xticklabels()) == ["plain", "l2-\nrobust", "multi-norm\nrobust"]
    assert names(figure.axes[0]) == [r"$\ell_1$", r"$\ell_{1.5}$", r"$\ell_2$"]
    assert figure.axes[1].get_legend() is None


def test_restarts_are_two_histograms_of_all_images_and_seeds_with_their_means(paper2_tables):
    gain, apart = counterfactual_figures.restart_panels(paper2_tables["restarts"]).axes
    assert [sum(bar.get_height() for bar in panel.patches) for panel in (gain, apart)] == [8, 8]
    assert [panel.lines[0].get_xdata()[0] for panel in (gain, apart)] == pytest.approx([0.1, 0.5])
    assert [names(panel) for panel in (gain, apart)] == [["mean 0.100"], ["mean 0.50"]]
    assert (gain.get_xlabel(), gain.get_ylabel()) == ("gain in log confidence (nats)", "images × training seeds")
    assert apart.get_xlabel() == "distance of two starts / size of the change"


def test_a_sweep_has_a_panel_per_ball_with_every_image_of_the_first_seed_and_their_mean(paper2_tables):
    figure = counterfactual_figures.sweep_curves(paper2_tables["sweep"])
    assert titles(figure.axes) == [r"$\ell_{1.5}$", r"$\ell_2$"]
    for panel, eps, last in zip(figure.axes, (5, 3), (0.8, 0.895), strict=True):
        *thin, mean = panel.lines
        radii = [eps * 1.04 * share for share in (0.25, 0.5, 0.75, 1, 1.5)]  # of seed 1
        assert len(thin) == 4
        for line in panel.lines:
            assert line.get_xdata() == pytest.approx(radii)
        assert thin[0].get_ydata() == pytest.approx([0.06, 0.36, 0.66, 0.86, 0.91])
        assert thin[2].get_ydata() == pytest.approx([0.1, 0.4, 0.7, 0.9, last])
        assert mean.get_ydata() == pytest.approx([0.1, 0.4, 0.7, 0.9, (3 * 0.95 + last) / 4])
        assert mean.get_linewidth() > thin[0].get_linewidth()
        assert (panel.get_xlabel(), panel.get_ylim()) == ("radius", (-0.02, 1.02))
    assert [panel.get_ylabel() for panel in figure.axes] == ["confidence in the target", ""]


def test_a_sweep_of_one_ball_has_one_panel(paper2_tables):
    figure = counterfactual_figures.sweep_curves(paper2_tables["sweep"].query("kind == 'l2'"))
    assert titles(figure.axes) == [r"$\ell_2$"]


def test_false_positives_are_a_curve_per_network_over_the_strengths(paper2_tables):
    (panel,) = counterfactual_figures.false_positives(
        paper2_tables["fooled"].query("mark == 'letters'").sort_values("strength"), **OPTIONS
    ).axes
    curves = {line.get_label(): line for line in panel.lines}
    shares = {"trained with it on one class": [1, 2, 4, 6], "trained without": [1, 1, 1, 1]}
    shares["plain network"] = [1, 1, 2, 1]
    assert set(curves) == set(shares)
    for name, counts in shares.items():
        assert list(curves[name].get_xdata()) == [0, 0.2, 0.4, 0.8]
        assert 8 * curves[name].get_ydata() == pytest.approx(counts)
    assert len(panel.collections) == 3  # intervals
    assert panel.get_ylim()[0] == -0.02
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("strength α of the mark", "called the marked class")


def test_a_network_without_a_name_of_its_own_keeps_its_label(paper2_tables):
    rows = paper2_tables["fooled"].query("network == 'plain'").assign(network="other")
    (panel,) = counterfactual_figures.false_positives(rows, **OPTIONS).axes
    assert names(panel) == ["other"]


# ---- words


def test_a_title_names_the_class_and_the_confidence():
    found = counterfactual_figures.titles_of(["cat", "dog"], [1, 0], [0.976, 0.5])
    assert found == ["“dog”, 0.98", "“cat”, 0.50"]
    with pytest.raises(ValueError, match="longer"):
        counterfactual_figures.titles_of(["cat", "dog"], [1], [0.5, 0.5])


def test_networks_have_titles_and_others_their_own_name():
    assert [
        counterfactual_figures.network_title(name) for name in (*counterfactual_tables.NETWORKS, "untrained", "noise")
    ] == [*("plain", "l2-robust", "multiple-norm robust", "untrained", "noise")]


def test_balls_of_figures_are_those_of_the_study():
    assert list(counterfactual_figures.BALLS) == list(counterfactual_tables.KINDS)


def test_a_measure_that_nobody_took_leaves_its_panel_empty_and_can_be_drawn(paper2_tables):
    rows = paper2_tables["counterfactuals"].assign(background=np.nan)
    figure = counterfactual_figures.sparsity_panels(rows, {"background": "share", "gini": "Gini index"}, **OPTIONS)
    figure.canvas.draw()
    assert all(np.isnan(container[0].get_ydata(orig=False)).all() for container in figure.axes[0].containers)
    assert not any(np.isnan(container[0].get_ydata(orig=False)).any() for container in figure.axes[1].containers)


def test_many_columns_have_their_changes_below_and_an_outline_frames_every_picture():
    before, found = image(2, 3, 6, 6), image(2, 3, 6, 6, part=1)
    columns = {f"network {k}": found for k in range(4)}
    captions = {name: ["a", "b"] for name in columns}
    figure = counterfactual_figures.compared(
        before, columns, titles=["x", "y"], captions=captions, outlines=[(3, 1, 5, 6)]
    )
    # what is left of the grid, row by row (found, then change), then the originals
    grid, before_panels = np.reshape(figure.axes[:16], (4, 4)), figure.axes[16:18]
    assert [panel.get_title() for panel in before_panels] == ["x", "y"]
    assert [panel.get_title() for panel in grid[0]] == [f"{name}\na" for name in columns]
    for row, panel in enumerate(before_panels):  # beside both of its rows
        assert panel.get_subplotspec().rowspan == range(2 * row, 2 * row + 2)
    change = counterfactual_figures.change(before[0], found[0])
    assert shown(grid[1, 0]) == pytest.approx(change)
    for panel in [*grid.flat, *before_panels]:
        frame = panel.patches[-1]
        assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((0.5, 2.5), 5, 2)
