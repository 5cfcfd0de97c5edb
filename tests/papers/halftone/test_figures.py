import numpy as np
import pandas as pd
import pytest
import torch
from drawn import image, names, shown, ticks, titles
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.patches import ConnectionPatch, Rectangle

from aecompanion.attack.attacks import crafted_names, title_of
from aecompanion.defend.defences import KINDS, catalogue, transforms
from aecompanion.defend.halftone import METHODS
from aecompanion.papers.halftone import (
    curves as halftone_curves,
    figures as halftone_figures,
    tables as halftone_tables,
)
from aecompanion.papers.halftone.tables import HYBRID
from aecompanion.report.figures import RIGHT, WRONG


@pytest.fixture
def transfer(paper4_tables):
    return paper4_tables[0]


@pytest.fixture
def curves(paper4_tables):
    return halftone_tables.side_by_side(paper4_tables[2])


def ends(bars):
    """Lower and upper end of the error bars of a container, a row each."""
    (lines,) = bars.errorbar.lines[2]
    return np.array([segment[:, 1] for segment in lines.get_segments()])


def data(line):
    return line.get_xdata().tolist(), line.get_ydata().tolist()


# ---- small pieces


@pytest.mark.parametrize(("confidence", "text"), [(0.934, "cup, 93%"), (1.0, "cup, 100%"), (0.004, "cup, 0%")])
def test_a_label_is_the_class_and_its_confidence_in_per_cent(confidence, text):
    assert halftone_figures.label("cup", confidence) == text


def test_every_dither_has_a_name_and_every_kind_of_the_curves_its_hue_and_line():
    assert set(halftone_figures.NAMES) == set(METHODS)
    kinds = {defence.kind for defence in catalogue(transforms())}
    assert kinds == set(KINDS)
    assert {name for name in kinds if not KINDS[name].compared} == {"inverse", "dither"}  # with displays of their own


# ---- halftones


def test_the_gallery_shows_each_dither_whole_magnified_and_smoothed():
    grey = image(1, 1, 16, 16)
    dots = {name: image(1, 1, 16, 16, part=i).round() for i, name in enumerate(("bayer", "mine"), 1)}
    smoothed = {name: content / 2 for name, content in {"grey": grey, **dots}.items()}
    figure = halftone_figures.dither_gallery(grey, dots, smoothed)
    panels = np.reshape(figure.axes, (3, 3))
    assert titles(panels[0]) == ["grey", "Bayer 8×8", "mine"]
    assert [panel.get_ylabel() for panel in panels[:, 0]] == ["whole", "the marked part", "low-pass"]
    for column, content in zip(panels.T, ({"grey": grey} | dots).values(), strict=True):
        assert np.array_equal(shown(column[0]), content[0, 0])
        assert np.array_equal(shown(column[1]), content[0, 0, 4:8, 4:8])
        assert np.array_equal(shown(column[2]), content[0, 0] / 2)
        (mark,) = [patch for patch in column[0].patches if isinstance(patch, Rectangle)]
        assert mark.get_bbox().bounds == (4, 4, 4, 4)


def test_the_flip_maps_give_the_share_of_flipped_dots_and_draw_them_black():
    flipped = image(1, 1, 8, 8) > 0.5
    maps = {"floyd_steinberg": (flipped, 0.333), "mine": (~flipped, 0.05)}
    figure = halftone_figures.flip_maps(image(1, 1, 8, 8), maps)
    assert titles(figure.axes) == ["grey image", "Floyd-Steinberg: 33%", "mine: 5%"]
    assert np.array_equal(shown(figure.axes[1]) == 0, flipped[0, 0])
    assert np.array_equal(shown(figure.axes[2]) == 1, flipped[0, 0])


# ---- examples


@pytest.mark.parametrize("channels", [1, 3])
def test_the_addition_is_image_plus_sign_equals_example(channels):
    clean = image(channels, 8, 8) / 2 + 0.25
    signs = image(channels, 8, 8, part=1).sub(0.5).sign()
    figure = halftone_figures.addition(clean, clean + signs * 4 / 255, eps=4 / 255, titles=("cup, 90%", "cat, 80%"))
    assert len(figure.axes) == 5
    left, plus, middle, equals, right = figure.axes
    assert [panel.get_xlabel() for panel in (left, middle, right)] == ["cup, 90%", "change / ε", "cat, 80%"]
    assert [panel.texts[0].get_text() for panel in (left, plus, equals, right)] == ["✓", "+ 4/255 ×", "=", "✗"]
    assert middle.images[0].get_clim() == (-1, 1)
    if channels == 1:
        assert shown(middle) == pytest.approx(signs[0].numpy(), abs=1e-4)
    else:  # -1 is black and 1 white in every colour, since imshow cuts off what is negative
        assert shown(middle) == pytest.approx(signs.permute(1, 2, 0).numpy() / 2 + 0.5, abs=1e-4)


def test_the_attack_rows_give_differences_to_clean_and_the_share_of_flipped_dots():
    flips = torch.zeros(1, 4, 4)
    flips[0, 0] = 1  # 4 of 16
    dots = image(1, 4, 4).round()
    clean = {"grey": torch.full((1, 4, 4), 0.5), "halftone": dots, "inverse": image(1, 4, 4, part=2)}
    moved = {"grey": clean["grey"] - 8 / 255, "halftone": (dots - flips).abs(), "inverse": clean["inverse"]}
    rows = {"clean": clean, "ifgsm": moved, "mine": moved}
    figure = halftone_figures.attack_rows(rows, eps=8 / 255)
    panels = np.reshape(figure.axes, (3, 5))
    assert titles(panels[0]) == ["grey", "", "halftone", "", "inverse halftone"]
    assert titles(panels[1]) == ["", "difference, ±8/255", "", "flipped dots", ""]
    assert [line[0].get_ylabel() for line in panels] == ["clean", "I-FGSM", "mine"]
    assert [line[3].get_xlabel() for line in panels] == ["", "25% of the dots", "25% of the dots"]
    assert not any(panel.axison or panel.images for panel in panels[0, [1, 3]])  # clean: nothing differs
    assert shown(panels[1, 1]) == pytest.approx(-np.ones((4, 4)), abs=1e-4)
    assert np.array_equal(1 - shown(panels[1, 3]), flips[0])  # one colour, whichever way a dot flips
    assert {panel.images[0].get_clim() for panel in panels[1:, 1]} == {(-1, 1)}


def test_the_pipeline_joins_its_stages_and_marks_the_true_class_among_the_five_best():
    stages = [("attacked", image(1, 6, 6)), ("halftone", image(1, 6, 6, part=1))]
    best = [("cat", 0.5), ("cup", 0.25), ("dog", 0.125), ("hat", 0.1), ("pen", 0.025)]
    outcomes = {"grey": (best, "cup"), "hybrid": (best, "cat"), "blind": (best, "sun")}
    figure = halftone_figures.pipeline(stages, outcomes)
    assert titles(figure.axes) == ["attacked", "halftone", "grey", "hybrid", "blind"]
    for panel, right in zip(figure.axes[2:], (1, 0, None), strict=True):
        assert [bar.get_width() for bar in panel.patches] == [0.5, 0.25, 0.125, 0.1, 0.025]
        assert [text.get_text() for text in panel.texts] == ["cat", "cup", "dog", "hat", "pen"]
        assert [to_hex(bar.get_facecolor()).upper() == RIGHT for bar in panel.patches] == [i == right for i in range(5)]
        assert panel.get_xlim() == (0, 1)
        assert panel.yaxis_inverted()  # the best class stands on top
    arrows = [artist for artist in figure.artists if isinstance(artist, ConnectionPatch)]
    assert len(arrows) == 1  # from the one stage to the next; what a network reads stands in its title


def test_the_photograph_strip_frames_right_and_wrong_predictions():
    columns = {"grey": image(3, 6, 6), "jpeg": image(3, 6, 6, part=1)}
    figure = halftone_figures.photograph_strip(columns, {"grey": ("cup\n90%", True), "jpeg": ("cat\n60%", False)})
    assert titles(figure.axes) == ["grey", "jpeg"]
    assert [panel.get_xlabel() for panel in figure.axes] == ["cup\n90%", "cat\n60%"]
    assert [panel.xaxis.label.get_color() for panel in figure.axes] == [RIGHT, WRONG]
    assert [panel.texts[0].get_text() for panel in figure.axes] == ["✓", "✗"]


def test_a_strip_of_one_photograph_has_one_panel():
    assert len(halftone_figures.photograph_strip({"grey": image(1, 6, 6)}, {"grey": ("cup", True)}).axes) == 1


# ---- activations


def test_the_activations_stand_beside_a_coloured_input_in_its_colours():
    maps = {"grey": {"clean": image(4, 5, 5), "attacked": image(4, 5, 5, part=1)}}
    images = {f"grey/{kind}": image(3, 8, 8) for kind in ("clean", "attacked")}
    figure = halftone_figures.activations(images, maps)
    assert np.array_equal(shown(figure.axes[0]), image(3, 8, 8).permute(1, 2, 0))


def test_the_activations_are_those_of_the_liveliest_channels_on_one_scale_clean_above_attacked():
    strength = torch.tensor([1.0, 0.1, 3.0, 2.0]).reshape(4, 1, 1)
    clean = image(4, 5, 5) * strength
    maps = {name: {"clean": clean, "attacked": clean * 2} for name in ("grey", "hybrid")}
    images = {f"{name}/{kind}": image(1, 8, 8) for name in maps for kind in ("clean", "attacked")}
    figure = halftone_figures.activations(images, maps, channels=3)
    panels = np.reshape(figure.axes[:20], (4, 5))  # the last one is the colour bar
    assert [line[0].get_ylabel() for line in panels] == [f"{n}\n{k}" for n in maps for k in ("clean", "attacked")]
    assert panels[0, 0].get_title() == "input"
    assert [panel.get_title() for panel in panels[0, 1:4]] == ["channel 0", "channel 2", "channel 3"]
    for i, channel in enumerate((0, 2, 3), 1):  # all but the flat one, in their order
        assert np.array_equal(shown(panels[0, i]), clean[channel])
        assert np.array_equal(shown(panels[1, i]), clean[channel] * 2)
    assert {panel.images[0].get_clim() for panel in panels[:2, 1:4].flat} == {(0, clean[[0, 2, 3]].max().item() * 2)}
    assert [line[-1].get_title() for line in panels] == ["mean |activation|", "mean |change|"] * 2
    expected = clean.abs().mean(0) / clean.abs().mean()
    assert shown(panels[1, -1]) == pytest.approx(expected.numpy(), rel=1e-5)


def test_the_correlations_have_a_panel_per_attack_and_a_line_with_errors_per_network():
    layers = ["conv 1", "stage 1", "stage 2"]
    rows = [
        (attack, network, layer, 0.9 - 0.1 * j - 0.05 * n, 0.02, 0.03)
        for attack in ("fgsm", "mine")
        for n, network in enumerate(("grey", "hybrid"))
        for j, layer in enumerate(layers)
    ]
    table = pd.DataFrame(rows, columns=["attack", "network", "layer", "mean", "below", "above"])
    table = table.assign(ci_low=table["mean"] - table["below"], ci_high=table["mean"] + table["above"])
    hybrid = table["network"] == "hybrid"
    table = pd.concat([table[~hybrid], table[hybrid][::-1]])  # the layers in another order
    figure = halftone_curves.correlations(table)
    assert titles(figure.axes) == ["FGSM", "mine"]
    assert names(figure.legends[0]) == ["grey", "hybrid"]
    for panel in figure.axes:
        assert panel.get_ylim() == (0, 1.03)
        assert ticks(panel.get_xticklabels()) == layers
        for n, drawn in enumerate(panel.containers):
            assert drawn.lines[0].get_ydata().tolist() == pytest.approx(
                [0.9 - 0.05 * n, 0.8 - 0.05 * n, 0.7 - 0.05 * n]
            )
            (bars,) = drawn.lines[2]
            assert bars.get_segments()[0][:, 1].tolist() == pytest.approx([0.88 - 0.05 * n, 0.93 - 0.05 * n])


# ---- accuracies


def test_the_accuracy_curves_have_a_panel_per_attack_and_metric_with_chance(transfer):
    figure = halftone_curves.accuracy_curves(transfer, classes=20)
    panels = np.reshape(figure.axes, (2, 3))
    assert titles(panels[0]) == [title_of(attack) for attack in crafted_names()]
    assert [line[0].get_ylabel() for line in panels] == ["top-1 accuracy", "top-5 accuracy"]
    assert {panel.get_ylim() for panel in panels.flat} == {(0, 1.02)}
    for line, chance in zip(panels, (1 / 20, 5 / 20), strict=True):
        for panel in line:
            assert [y for y in (set(drawn.get_ydata()) for drawn in panel.lines) if y == {chance}]
    assert panels[1, 0].get_xticks().tolist() == [0, 2, 8]


def test_the_accuracy_curves_name_every_defence_but_inverses_and_dithers_in_few_lines(transfer):
    figure = halftone_curves.accuracy_curves(transfer, classes=20)
    labels = names(figure.legends[0])
    compared = [name for name, kind in defences(transfer) if kind not in ("inverse", "dither")]
    assert all(any(name in label for label in labels) for name in compared)
    assert len(labels) <= 7
    assert HYBRID in labels
    panels = np.reshape(figure.axes, (2, 3))
    drawn = {line.get_label(): line for line in panels[1, 0].lines}
    assert data(drawn[HYBRID])[1] == pytest.approx([0.9, 0.9, 0.8])  # of the known part alone, under FGSM
    assert max(drawn, key=lambda name: drawn[name].get_linewidth()) == HYBRID


def test_the_shaded_range_of_a_kind_holds_its_mean(transfer):
    panel = halftone_curves.accuracy_curves(transfer, classes=20).axes[0]
    means = {line.get_color(): line for line in panel.lines if ": " in str(line.get_label())}
    ranges = [each for each in panel.collections if isinstance(each, PolyCollection)]
    assert len(ranges) == len(means) > 0
    (bars,) = (each for each in panel.collections if isinstance(each, LineCollection))
    assert len(bars.get_segments()) == 3  # an interval of hybrid + halftone at every level
    for shaded in ranges:
        mean = means[to_hex(shaded.get_facecolor()[0], keep_alpha=False).upper()]
        edges = shaded.get_paths()[0].vertices
        for x, y in zip(*data(mean), strict=True):
            own = edges[np.isclose(edges[:, 0], x), 1]
            assert own.min() - 1e-9 <= y <= own.max() + 1e-9


def defences(transfer):
    return transfer[["defence", "kind"]].drop_duplicates().itertuples(index=False, name=None)


@pytest.mark.parametrize("metric", ["top1", "top5"])
def test_the_perturbation_curves_name_the_areas_and_their_intervals_in_the_legends(curves, metric):
    areas = halftone_tables.area_table(curves, resamples=20, seed=0)
    figure = halftone_curves.perturbation_curves(curves, areas, metric=metric, chance=0.05)
    assert titles(figure.axes) == ["PGD crafted on the grey network", "worst case of attacks that know it"]
    assert figure.axes[0].get_ylabel() == f"{metric[:3]}-{metric[3]} accuracy"
    found = areas.set_index(["arm", "defence"])
    for panel, arm in zip(figure.axes, ("transfer", "adaptive"), strict=True):
        expected = []
        for name in (HYBRID, "no defence"):
            row = found.loc[(arm, name)]
            low, high = row[f"{metric}_low"], row[f"{metric}_high"]
            expected.append(f"{row[f'area_{metric}']:.2f} [{low:.2f}, {high:.2f}] {name}")
        assert names(panel.get_legend()) == expected
        assert ticks(panel.get_xticklabels()) == ["0", "4", "8", "16"]
        assert panel.get_ylim() == (0, 1.02)


def test_the_perturbation_curves_are_the_mean_accuracies_of_each_arm(curves):
    areas = halftone_tables.area_table(curves, resamples=20, seed=0)
    figure = halftone_curves.perturbation_curves(curves, areas, chance=0.05)
    for panel, hybrid in zip(figure.axes, ([0.8, 0.8, 0.7, 0.5], [0.8, 0.6, 0.4, 0.2]), strict=True):
        (first, _, bars), _ = (drawn for drawn in panel.containers)
        assert data(first)[1] == pytest.approx(hybrid)
        assert first.get_color() == KINDS["halftone"].colour
        assert len(bars[0].get_segments()) == 4  # an interval per level
        assert names(panel.get_legend())[0].endswith(HYBRID)
    assert names(figure.axes[0].get_legend())[0].startswith("0.69 [")


def test_the_budget_curves_fall_where_images_broke_and_stay_where_they_did_not():
    passes = {HYBRID: [10.0, 100.0, np.inf, np.inf], "no defence": [5.0, 5.0, 5.0, 5.0]}
    rows = pd.DataFrame(
        {"defence": name, "level": level, "passes1": each, "passes5": np.inf}
        for name, all_of in passes.items()
        for level in (2, 8)
        for each in all_of
    )
    figure = halftone_curves.budget_curves(rows, list(passes), levels=[2, 8])
    assert titles(figure.axes) == ["ε = 2/255", "ε = 8/255"]
    for panel in figure.axes:
        steps = [line for line in panel.lines if len(line.get_xdata()) > 1]
        assert steps[0].get_ydata().tolist() == [1, 0.75, 0.5, 0.5]
        assert steps[0].get_xdata()[1:3].tolist() == [10, 100]
        assert steps[1].get_ydata().tolist() == [1, 0.75, 0.5, 0.25, 0, 0]
    held = halftone_curves.budget_curves(rows, [HYBRID], levels=[2], metric=5).axes[0]
    assert held.lines[0].get_ydata().tolist() == [1, 1]


def test_paired_bars_have_a_bar_with_its_interval_per_group_and_set():
    rows = [
        ("jpeg", "clean", 0.8, 0.7, 0.85),
        ("tv", "pgd", 0.25, 0.25, 0.5),  # not in the order of the groups
        ("jpeg", "pgd", 0.5, 0.4, 0.6),
        ("tv", "clean", 0.9, 0.8, 1.0),
    ]
    table = pd.DataFrame(rows, columns=["defence", "attack", "top1", "top1_low", "top1_high"])
    figure = halftone_curves.paired_bars(table, groups="defence", bars="attack", value="top1", ylabel="top-1 accuracy")
    (panel,) = figure.axes
    assert ticks(panel.get_xticklabels()) == ["jpeg", "tv"]
    assert (panel.get_ylabel(), panel.get_ylim()) == ("top-1 accuracy", (0, 1.02))
    assert names(figure.legends[0]) == ["clean", "PGD"]
    assert figure.legends[0].get_title().get_text() == "attack"
    clean, pgd = (drawn for drawn in panel.containers if hasattr(drawn, "patches"))
    assert [bar.get_height() for bar in clean.patches] == [0.8, 0.9]
    assert [bar.get_height() for bar in pgd.patches] == [0.5, 0.25]
    assert ends(clean) == pytest.approx(np.array([[0.7, 0.85], [0.8, 1.0]]))
    assert ends(pgd) == pytest.approx(np.array([[0.4, 0.6], [0.25, 0.5]]))
    centres = [[bar.get_x() + bar.get_width() / 2 for bar in drawn.patches] for drawn in (clean, pgd)]
    assert np.array(centres) == pytest.approx(np.array([[-0.2, 0.8], [0.2, 1.2]]))
