import itertools
import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from PIL import Image
from torch import nn

from aecompanion.evaluate.intervals import interval
from aecompanion.explain.gradcam import gradcam, heatmap
from aecompanion.networks.compact import FAMILIES
from aecompanion.networks.read import predict
from aecompanion.networks.zoo import FULL_SIZE, create, short
from aecompanion.papers.shift import figures as shift_figures, sanity as shift_sanity
from aecompanion.papers.shift.tables import DIGITISED, LEVELS
from aecompanion.pipeline import paths
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.report import figures
from aecompanion.report.figures import RIGHT, WRONG
from aecompanion.sanity.randomization import randomized, study

CARD = {"source": "faces", "n": 240, "seeds": [1]}
NETWORKS = ("vgg", "resnet")
MARKS = ("✓", "✗")


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """An empty project whose notebooks run as a stage."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    monkeypatch.setenv("COMPANION_STAGE", "mod_vid")
    return tmp_path


@pytest.fixture
def shift():
    """Tidy rows of two networks, two seeds and six images; half of the images are fooled."""
    rows = [
        (network, seed, arm, mode, eps, image, True, image % 2 == 0)
        for network in NETWORKS
        for seed in (1, 2)
        for arm, mode in (("white", "own_pred"), ("white", "clean_pred"), ("black", "own_pred"))
        for eps in (0.0, *LEVELS)
        for image in range(6)
    ]
    table = pd.DataFrame(rows, columns=["network", "seed", "arm", "mode", "eps", "image", "correct0", "correct"])
    nissim = torch.rand(len(table), generator=generator(8, 1), dtype=torch.float64).numpy() / 2
    return table.assign(nissim=nissim, ssim=1 - 2 * nissim)


def content(figure):
    """The panels of a figure that show something."""
    return [panel for panel in figure.axes if panel.axison or panel.texts or panel.get_legend()]


def frame(panel):
    """The colours of a picture's frame, None if it has none, and its mark."""
    shown = {to_hex(spine.get_edgecolor()).upper() for spine in panel.spines.values() if spine.get_visible()}
    return (shown or None), [text.get_text() for text in panel.texts if text.get_text() in MARKS]


def look(line):
    return to_hex(line.get_color()), line.get_linestyle()


FRAMES = {True: ({RIGHT}, ["✓"]), False: ({WRONG}, ["✗"]), None: (None, [])}


# ---- the shared look


def test_names_have_colours_and_markers_in_order():
    assert figures.colours(["a", "b"]) == {"a": figures.COLOURS[0], "b": figures.COLOURS[1]}
    assert figures.markers(["b", "a"]) == {"b": figures.MARKERS[0], "a": figures.MARKERS[1]}


@pytest.mark.parametrize("scale", [figures.colours, figures.markers])
def test_every_network_that_the_project_knows_gets_a_colour_and_a_marker(scale):
    names = [*FAMILIES, *map(short, FULL_SIZE)]
    assert set(scale(names)) == set(names)


@pytest.mark.parametrize("right", [True, False, None])
def test_the_frame_and_the_mark_of_a_picture_say_right_or_wrong(right):
    _, panel = plt.subplots()
    figures.picture(panel, np.zeros((2, 2)), right=right, title="a face")
    assert frame(panel) == FRAMES[right]
    assert (len(panel.get_xticks()), len(panel.get_yticks()), panel.get_title()) == (0, 0, "a face")


@pytest.mark.parametrize("name", ["a$b^$c.jpg", "price $5 and $6.jpg"])
def test_the_dollars_of_a_title_are_dollars_unless_it_is_a_formula(name):
    figure, panel = plt.subplots()
    figures.picture(panel, np.zeros((2, 2)), title=name)
    figure.canvas.draw()
    assert panel.get_title() == name
    assert not panel.title.get_parse_math()
    figures.picture(panel, np.zeros((2, 2)), title="$x_r$", formula=True)
    assert panel.title.get_parse_math()


def test_a_picture_spans_0_to_1_unless_told_otherwise():
    _, (first, second) = plt.subplots(1, 2)
    figures.picture(first, np.full((2, 2), 0.25))
    figures.picture(second, np.full((2, 2), 0.25), vmax=0.5, cmap="inferno")
    assert first.images[0].get_clim() == (0, 1)
    assert second.images[0].get_clim() == (0, 0.5)
    assert second.images[0].get_cmap().name == "inferno"


def test_channels_come_last_and_a_grey_image_has_none():
    image = torch.rand(3, 4, 5, generator=generator(8, 2), requires_grad=True)
    assert figures.channels_last(image).shape == (4, 5, 3)
    assert np.array_equal(figures.channels_last(image)[..., 2], image[2].detach())
    assert np.array_equal(figures.channels_last(image[:1]), image[0].detach())


def test_the_same_figure_saved_twice_gives_the_same_bytes(tree):
    contents = []
    for _ in range(2):
        figure, panel = plt.subplots()
        panel.plot([0, 1], [1, 0])
        saved = figures.save("F5.4", figure, **CARD)
        contents.append((saved.read_bytes(), saved.with_suffix(".json").read_bytes()))
    assert saved == tree / "build" / "displays" / "mod_vid" / "F5.4_vid_distribution.png"
    assert contents[0] == contents[1]
    assert contents[0][0].startswith(b"\x89PNG")
    assert b"Matplotlib" not in contents[0][0]


def test_a_placeholder_makes_a_card_with_its_reason(tree):
    saved = figures.save("F5.4", figures.placeholder("needs boxes"), source="faces", n=0, seeds=[])
    assert json.loads(saved.with_suffix(".json").read_text())["missing"] == "needs boxes"
    assert figures.reason(plt.figure()) == ""
    plt.close("all")


@pytest.mark.parametrize(("colours", "mode"), [(6, "P"), (4000, "RGB")], ids=["lines", "photograph"])
def test_a_saved_figure_has_a_palette_where_nobody_sees_it(tree, colours, mode):
    """A palette would put bands into photographs and colour bars."""
    drawn = np.random.default_rng(0).integers(0, 256, (colours, 3))
    figure = plt.figure()
    figure.add_subplot().imshow(drawn[np.arange(4096).reshape(64, 64) % colours])
    saved = Image.open(figures.save("F5.4", figure, source="faces", n=1, seeds=[1]))
    assert saved.mode == mode
    plt.close(figure)


def test_values_without_a_palette_are_rounded_and_white_stays_white():
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    values[0] = 255
    found = np.asarray(figures.lighter(Image.fromarray(values)), int)
    assert np.abs(found - values).max() == figures.STEP // 2
    assert (found[0] == 255).all()


def test_a_palette_is_near_every_value():
    """600 colours, ramps of three hues, fit one."""
    ramp = np.linspace(0, 255, 200).astype(np.uint8)
    values = np.zeros((3, 200, 3), np.uint8)
    for channel in range(3):
        values[channel, :, channel] = ramp
    picture = figures.lighter(Image.fromarray(values))
    assert picture.mode == "P"
    assert np.abs(np.asarray(picture.convert("RGB"), int) - values).max() <= figures.PALETTE


def test_a_drawing_is_shown_once_and_closed(monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.get_fignums()))
    with figures.drawing(2, 3, figsize=(2, 2)) as (figure, axes):
        assert axes.shape == (2, 3)
    assert shown == [[figure.number]]
    assert plt.get_fignums() == []


# ---- paper 5


@pytest.mark.parametrize(
    ("name", "label"), [("resnet_deep", "resnet_deep (as ResNet101)"), ("resnet50", "resnet50"), ("mine", "mine")]
)
def test_a_compact_network_is_labelled_with_the_papers_of_its_family(name, label):
    assert shift_figures.label(name) == label


@pytest.mark.parametrize("quantity", ["ssim", "nissim"])
def test_the_densities_have_a_panel_per_level_with_a_tick_at_each_networks_median_and_one_legend(shift, quantity):
    figure = shift_figures.kde_panels(shift, quantity=quantity)
    panels = content(figure)
    legend = panels[4].get_legend()
    assert [panel.get_title() for panel in panels[:4]] == [
        f"({letter}) ε = {level}" for letter, level in zip("abcd", ("0.01", "0.05", "0.075", "0.1"), strict=True)
    ]
    assert len(panels) == 5
    for panel, level in zip(panels, LEVELS, strict=False):
        rows = shift[(shift["eps"] == level) & (shift["arm"] == "white") & (shift["mode"] == "own_pred")]
        ticks = {line.get_color(): line.get_xdata()[0] for line in panel.lines if line.get_marker() == "|"}
        assert ticks == {
            figures.COLOURS[i]: rows.loc[rows["network"] == network, quantity].median()
            for i, network in enumerate(NETWORKS)
        }
        curves = [line for line in panel.lines if line.get_marker() != "|"]
        assert sorted(map(look, curves)) == sorted(map(look, legend.get_lines()))
        reported = [DIGITISED[network][LEVELS.index(level)] for network in NETWORKS]
        crosses = sorted(each.get_offsets()[0, 0] for each in panel.collections)
        assert crosses == pytest.approx(sorted(mean if quantity == "ssim" else (1 - mean) / 2 for mean in reported))
    assert [text.get_text() for text in legend.get_texts()] == ["vgg (as VGG16)", "resnet (as ResNet50)"]


def test_the_densities_leave_out_images_that_were_wrong_without_attack(shift):
    outlier = shift["image"] == 0
    changed = shift.assign(correct0=~outlier, ssim=shift["ssim"].where(~outlier, 9.0))
    figure = shift_figures.kde_panels(changed, quantity="ssim")
    assert max(line.get_xdata().max() for panel in content(figure)[:4] for line in panel.lines) < 3


@pytest.mark.parametrize(("even", "x"), [(False, [0.0, 0.05, 0.1]), (True, [0, 1, 2])])
def test_the_curves_have_a_panel_per_table_and_a_line_with_a_band_per_network(even, x):
    table = pd.DataFrame(
        [(network, eps, 0.5 + eps, 0.4, 0.6) for network in NETWORKS for eps in (0.1, 0.0, 0.05)],
        columns=["network", "eps", "mean", "ci_low", "ci_high"],
    )
    figure = shift_figures.curves_with_bands(
        table, {"white": table, "black": table, "third": table}, ylabel="accuracy", ylim=(0, 1), even=even
    )
    assert [panel.get_title() for panel in figure.axes] == ["white", "black", "third"]
    for panel in figure.axes:
        assert [list(line.get_xdata()) for line in panel.lines] == [x, x]
        assert [list(line.get_ydata()) for line in panel.lines] == [[0.5, 0.55, 0.6]] * 2
        assert len(panel.collections) == 2
        if even:
            assert [text.get_text() for text in panel.get_xticklabels()] == ["0", "0.05", "0.1"]
    assert len(figure.legends[0].get_texts()) == 2


def test_chance_is_a_dotted_line_where_it_is_given():
    table = pd.DataFrame({"network": "vgg", "eps": [0.0, 0.1], "mean": 0.5, "ci_low": 0.4, "ci_high": 0.6})
    figure = shift_figures.curves_with_bands(table, {"white": table}, ylabel="", ylim=(0, 1), chance=0.025)
    assert set(figure.axes[0].lines[-1].get_ydata()) == {0.025}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["vgg (as VGG16)", "chance"]


def test_the_failure_panels_mark_noise_and_another_persons_maps(shift):
    clean = shift[(shift["arm"] == "white") & (shift["eps"] == 0)]
    small = shift[(shift["arm"] == "white") & (shift["eps"] == 0.01)]
    controls = [clean.assign(arm="other", nissim=0.7), small.assign(arm="noise", nissim=0.05)]
    figure = shift_figures.failure_panels(pd.concat([shift, *controls]))
    for panel in figure.axes:
        found = {each.get_label(): [path.vertices[0, 1] for path in each.get_paths()] for each in panel.collections}
        assert found["random signs"] == pytest.approx([0.05, 0.05])
        assert found["another person"] == pytest.approx([0.7, 0.7])
        assert panel.get_ylim()[1] > 0.7


def test_the_failure_panels_have_one_panel_per_class_mode_and_the_means_of_both_outcomes(shift):
    figure = shift_figures.failure_panels(shift)
    assert [panel.get_title().split(":")[0] for panel in figure.axes] == ["own class", "class of the clean prediction"]
    for panel, mode in zip(figure.axes, ("own_pred", "clean_pred"), strict=True):
        rows = shift[(shift["eps"] == 0.01) & (shift["arm"] == "white") & (shift["mode"] == mode)]
        means = [
            rows.loc[(rows["network"] == network) & (rows["correct"] == correct), "nissim"].mean()
            for correct in (True, False)
            for network in NETWORKS
        ]
        points = [y for line in panel.lines if line.get_marker() in ("o", "X") for y in line.get_ydata()]
        assert points == pytest.approx(means, abs=1e-9)
    only = shift_figures.failure_panels(shift[shift["mode"] == "own_pred"])
    assert len(only.axes) == 1


def test_the_failure_panels_bars_hold_training_seeds_and_not_images_alone(shift):
    apart = shift.assign(nissim=shift["nissim"] + 0.2 * shift["seed"])
    rows = apart[(apart["eps"] == 0.01) & (apart["arm"] == "white") & (apart["mode"] == "own_pred")]
    panel = shift_figures.failure_panels(apart[apart["mode"] == "own_pred"], resamples=50).axes[0]
    bars = [path.vertices[:, 1] for each in panel.collections for path in each.get_paths()]
    for (low, high), (outcome, network) in zip(bars, itertools.product((True, False), NETWORKS), strict=True):
        own = rows[(rows["network"] == network)]
        values = own.assign(nissim=own["nissim"].where(own["correct"] == outcome))
        expected = interval(np.nanmean, values.pivot(index="seed", columns="image", values="nissim"), resamples=50)
        assert (low, high) == pytest.approx((expected.low, expected.high))
        assert high - low > 0.2


def test_a_strip_has_one_picture_per_image_with_frames_where_the_outcome_is_given():
    images = [np.zeros((4, 4))] * 3
    framed = shift_figures.strip(images, right=[True, False, True], titles=["a", "b", "c"], cmap="gray")
    assert [frame(panel) for panel in framed.axes] == [FRAMES[True], FRAMES[False], FRAMES[True]]
    assert [panel.get_title() for panel in framed.axes] == ["a", "b", "c"]
    assert [frame(panel) for panel in shift_figures.strip(images, titles=["a", "b", "c"]).axes] == [FRAMES[None]] * 3


def numbers(panel):
    """The NISSIM printed on a heatmap, if there is one (the other text is the mark)."""
    return [text.get_text() for text in panel.texts if text.get_text() not in MARKS]


def test_the_region_shift_shows_the_image_without_a_frame_and_a_framed_heatmap_per_level_with_its_number():
    heats = torch.rand(3, 4, 4).numpy()
    cells = [(heats[0], True, None), (heats[1], True, 0.1234), (heats[2], False, 0.4)]
    figure = shift_figures.region_shift(torch.rand(1, 4, 4), cells, [0, 0.05, 0.1])
    *panels, bar = figure.axes
    assert [frame(panel) for panel in panels] == [FRAMES[right] for right in (None, True, True, False)]
    assert [panel.get_title() for panel in panels] == ["image", "ε = 0", "ε = 0.05", "ε = 0.1"]
    assert [numbers(panel) for panel in panels] == [[], [], ["0.12"], ["0.40"]]
    assert bar.get_ylabel() == "Grad-CAM"


def test_the_addition_shows_three_pictures_between_signs_that_are_shown_in_the_unit_interval():
    image, signs = torch.rand(3, 4, 4), torch.tensor([-1.0, 0.0, 1.0]).reshape(3, 1, 1).expand(3, 4, 4)
    figure = shift_figures.addition(image, signs, image, eps=0.01, titles=["x", "s", "x*"])
    assert [len(panel.images) for panel in figure.axes] == [1, 0, 1, 0, 1]
    assert [panel.texts[0].get_text() for panel in figure.axes[1::2]] == ["+ 0.01 ×", "="]
    assert figure.axes[2].images[0].get_array()[0, 0].tolist() == [0.0, 0.5, 1.0]


def test_the_grid_has_the_faces_above_a_row_per_network_and_blocks_side_by_side():
    attack = [(np.eye(4), True, None), (np.eye(4), False, 0.3)]
    noise = [(np.eye(4), True, 0.2)]
    blocks = {
        "attack": {"VGG": attack, "ResNet": attack[::-1]},
        "noise": {"VGG": noise, "ResNet": noise},
    }
    faces = [np.full((4, 4), value) for value in (0.1, 0.2, 0.3)]
    figure = shift_figures.grid(faces, blocks, {"attack": [0.0, 0.1], "noise": [0.1]})
    *panels, bar = figure.axes
    top, vgg, resnet = panels[:3], panels[3:6], panels[6:]
    assert [panel.images[0].get_array()[0, 0] for panel in top] == [0.1, 0.2, 0.3]
    assert [panel.get_title() for panel in top] == ["ε = 0", "attack\nε = 0.1", "noise\nε = 0.1"]
    assert [frame(panel) for panel in vgg] == [FRAMES[right] for right in (True, False, True)]
    assert [frame(panel) for panel in resnet] == [FRAMES[right] for right in (False, True, True)]
    assert [numbers(panel) for panel in vgg] == [[], ["0.30"], ["0.20"]]
    assert [panel.get_ylabel() for panel in (top[0], vgg[0], resnet[0])] == ["image", "VGG", "ResNet"]
    assert bar.get_ylabel() == "Grad-CAM, normalised per map"


def test_mod_is_drawn_per_network_and_mode_between_noise_and_ceiling_on_one_scale():
    rows = [
        (network, arm, mode, eps, eps * (1 + k), ceiling, 0.1 if arm == "white" else np.nan)
        for network, ceiling in zip(NETWORKS, (0.4, 0.2), strict=True)
        for k, (arm, mode) in enumerate(
            [("white", "own_pred"), ("white", "clean_pred"), ("black", "own_pred"), ("noise", "own_pred")]
        )
        for eps in LEVELS
    ]
    table = pd.DataFrame(rows, columns=["network", "arm", "mode", "eps", "mean", "ceiling", "paper"])
    figure = shift_figures.scale_panels(table.assign(ci_low=table["mean"], ci_high=table["mean"]))
    assert len(figure.axes) == 4
    assert len({panel.get_ylim() for panel in figure.axes}) == 1
    lines = [{line.get_label(): list(line.get_ydata()) for line in panel.lines} for panel in figure.axes]
    assert list(lines[0]) == ["white-box", "black-box", "random signs", "ceiling: another person", "paper (digitised)"]
    assert lines[0]["random signs"] == pytest.approx([4 * eps for eps in LEVELS])
    assert [each["ceiling: another person"] for each in lines] == [[0.4, 0.4], [0.2, 0.2]] * 2
    assert list(lines[2]) == ["white-box", "ceiling: another person"]
    assert figure.axes[0].get_ylim()[1] > 0.4


# ---- parameter randomisation


@pytest.fixture(scope="module")
def network():
    with seeded(8, 3):
        layers = [nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()]
        body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 144, 3))
    return create(body, classes=3, channels=1, size=12, cam_layers=["2"]).eval()


@pytest.fixture(scope="module")
def faces():
    return torch.rand(3, 1, 12, 12, generator=generator(8, 4))


def test_the_cascade_begins_with_the_intact_network_and_ends_with_all_layers(network, faces):
    stages = shift_sanity.cascade(network, faces, size=12, seed=0, steps=3)
    assert [name for name, _ in stages] == ["intact", "5", "2", "0"]
    target = predict(network, faces).argmax(1)
    models = [("", network), *randomized(network, seed=0, cascading=True)]
    assert torch.equal(stages[0][1], heatmap(gradcam(network, faces, target, layer=network.cam_layer()), 12))
    last = models[-1][1]
    assert torch.equal(stages[-1][1], heatmap(gradcam(last, faces, target, layer=last.cam_layer()), 12))


def test_fewer_steps_of_the_cascade_are_spread_evenly(network, faces):
    stages = shift_sanity.cascade(network, faces, size=12, seed=0, steps=2)
    assert [name for name, _ in stages] == ["intact", "2", "0"]
    everything = dict(shift_sanity.cascade(network, faces, size=12, seed=0, steps=99))
    assert list(everything) == ["intact", "5", "2", "0"]
    assert all(torch.equal(maps, everything[name]) for name, maps in stages)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_cascade_grid_has_a_row_per_image_and_a_column_per_stage_beside_the_image(faces, count):
    stages = [("intact", torch.rand(3, 1, 12, 12)), ("fc", torch.rand(3, 1, 12, 12))]
    *panels, bar = shift_sanity.cascade_grid(stages, faces[:count]).axes
    assert [panel.get_title() for panel in panels] == ["", "intact", "fc"] + [""] * 3 * (count - 1)
    assert all(len(panel.images) == 1 for panel in panels)
    assert bar.get_ylabel() == "Grad-CAM"


@pytest.fixture
def similarity():
    """Two networks, two layers, two images with known similarities; one rank correlation is undefined. Other images of
    the second network are 0.2 more alike.
    """
    ways = {"other image": [("", 0.0)], "retrained": [("seed 2", 0.0)]}
    ways |= dict.fromkeys(("cascading", "independent"), [("fc", 0.5), ("conv", 1.0)])
    values = {("cascading", 0.5): (0.8, 0.6), ("cascading", 1.0): (0.2, np.nan), ("other image", 0.0): (0.1, 0.3)}
    values["retrained", 0.0] = (0.7, 0.9)
    rows = [
        (network, 1, way, layer, depth, image, like + 0.2 * (way == "other image") * NETWORKS.index(network), ssim)
        for network in NETWORKS
        for way, layers in ways.items()
        for layer, depth in layers
        for image, (like, ssim) in enumerate(zip(values.get((way, depth), (0.5, 0.5)), (0.9, 0.7), strict=True))
    ]
    columns = ["network", "seed", "way", "layer", "depth", "image", "spearman", "ssim"]
    return pd.DataFrame(rows, columns=columns)


def test_the_curves_have_a_panel_per_measure_and_network_with_the_yardsticks_of_that_network(similarity):
    figure = shift_sanity.curves(similarity)
    assert [panel.get_title() for panel in figure.axes] == [*NETWORKS, "", ""]
    dotted = [[line.get_ydata()[0] for line in panel.lines if line.get_linestyle() == ":"] for panel in figure.axes]
    assert dotted == [pytest.approx([mean]) for mean in (0.2, 0.4, 0.8, 0.8)]  # not pooled
    above = [[line.get_ydata()[0] for line in panel.lines if line.get_color() == "#999999"] for panel in figure.axes]
    assert above == [pytest.approx([0.8])] * 4
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert texts == ["cascading", "independent", "other image", "retrained"]
    assert [line.get_color() for line in figure.axes[1].lines[:1]] == [figures.COLOURS[1]]


def test_the_summary_holds_the_means_by_hand(similarity):
    summary = shift_sanity.summary(similarity, resamples=20, seed=0)
    kinds = ["top layer", "all layers", "none, retrained", "none, other image"]
    means = [name for name in summary.columns if not name.endswith(("_low", "_high"))]
    assert means == ["network", "re-initialised", "n", "spearman", "share of retrained", "ssim", "undefined"]
    assert summary["network"].tolist() == ["vgg"] * 4 + ["resnet"] * 4
    assert summary["re-initialised"].tolist() == kinds * 2
    assert summary["spearman"].tolist() == pytest.approx([0.7, 0.2, 0.8, 0.2, 0.7, 0.2, 0.8, 0.4])
    shares = [0.5 / 0.6, 0, 1, 0, 0.3 / 0.4, -0.2 / 0.4, 1, 0]
    assert summary["share of retrained"].tolist() == pytest.approx(shares, abs=1e-9)
    assert summary["ssim"].tolist() == pytest.approx([0.8] * 8)
    assert summary["undefined"].tolist() == [0.0, 0.5, 0.0, 0.0] * 2


def test_the_rows_of_a_study_can_be_plotted_and_summed_up(network, faces):
    rows = study(network, faces, size=12, seed=0, peers={"seed 2": network}, copies=1)
    rows = rows.assign(network="tiny", seed=1, image=rows["position"])
    assert len(shift_sanity.curves(rows).axes) == 2
    found = shift_sanity.summary(rows, resamples=20, seed=0)
    assert found["ssim"].between(-1, 1).all()
    assert found.set_index("re-initialised").loc["none, retrained", ["spearman", "smooth"]].tolist() == [1.0, 1.0]
