import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from drawn import fits, image, names, shown, ticks, titles
from matplotlib.container import BarContainer, ErrorbarContainer

from aecompanion.attack.attacks import ATTACKS
from aecompanion.data.dataset import Dataset
from aecompanion.data.regions import Regions
from aecompanion.evaluate.detectors import DETECTORS
from aecompanion.papers.causal import (
    attacked,
    evaded,
    figures as causal_figures,
    maps as causal_maps,
    rankings,
    region_figures,
    tables as causal_tables,
)
from aecompanion.papers.causal.tables import REGIONS

OPTIONS = {"resamples": 10, "seed": 0}
FILLS = ["counterfactual", "all off", "mean", "ring", "black", "white", "blur", "inpaint"]
SIZE = 16


def containers(panel, kind):
    return [drawn for drawn in panel.containers if isinstance(drawn, kind)]


def ends(errors, axis=1):
    """Lower and upper ends of error bars, a row each."""
    (lines,) = errors.lines[2]
    return np.array([segment[:, axis] for segment in lines.get_segments()])


def intervals(rows, name):
    return rows[[f"{name}_low", f"{name}_high"]].to_numpy()


def test_text_beyond_the_edge_does_not_fit():
    figure, panel = plt.subplots()
    assert fits(figure)
    panel.text(1.2, 0.5, "too far to the right", transform=panel.transAxes).set_in_layout(True)
    figure.set_layout_engine("none")
    assert not fits(figure)


@pytest.fixture
def regions():
    """Two cases of finding 0 in image 1, one each of 2 and 3; the mask is the box without its first row."""
    boxes = np.array([[2, 3, 8, 9], [2, 3, 12, 12], [4, 4, 10, 8], [5, 1, 9, 7]])
    masks = np.zeros((4, SIZE, SIZE), bool)
    for mask, (top, left, bottom, right) in zip(masks, boxes, strict=True):
        mask[top + 1 : bottom, left:right] = True
    without = (image(4, 1, SIZE, SIZE, part=3) * 255).byte().numpy()
    return Regions(np.array([1, 1, 0, 2]), np.array([0, 0, 2, 3]), boxes, masks, without)


def of_real_images(regions):
    return Regions(regions.image, regions.label, regions.boxes, regions.masks)


@pytest.fixture
def dataset():
    packed = (image(3, 1, SIZE, SIZE, part=4) * 255).byte().numpy()
    labels, split = torch.zeros(3, 4, dtype=torch.int64), np.array(["test"] * 3, dtype=object)
    return Dataset(labels, split, ["mass", "none", "nodule", "fluid"], "drawn", 1, SIZE, images=packed)


@pytest.fixture
def table(paper1_tables):
    return causal_tables.region_table(paper1_tables["effects"], **OPTIONS)


@pytest.fixture
def history():
    """Divergences 1/epoch in seed 1 and three times that in seed 2, beside rows of the network's own training."""
    rows = [("bottleneck", seed, epoch, factor / epoch) for seed, factor in ((1, 1), (2, 3)) for epoch in (1, 2, 3)]
    rows += [("network", seed, epoch, np.nan) for seed in (1, 2) for epoch in range(1, 9)]
    return pd.DataFrame(rows, columns=["part", "seed", "epoch", "deep"])


# ---- X1.3


@pytest.mark.parametrize("generated", [True, False], ids=["generated", "real"])
def test_every_finding_has_a_case_of_median_size_with_its_mask_above_the_image_without_it(dataset, regions, generated):
    figure = causal_figures.findings(dataset, regions if generated else of_real_images(regions))
    panels = np.reshape(figure.axes, (1 + generated, 4))
    assert titles(panels[0]) == dataset.classes
    for column, entry, number in ((0, 1, 1), (2, 2, 0), (3, 3, 2)):  # of two the larger one
        assert shown(panels[0, column]) == pytest.approx(dataset.images[number, 0] / 255)
        assert len(panels[0, column].collections) == 1  # the outline
        if generated:
            assert shown(panels[1, column]) == pytest.approx(regions.without[entry, 0] / 255)
    assert [text.get_text() for text in panels[0, 1].texts] == ["no region"]
    assert not any(len(panel.images) for panel in panels[:, 1])
    assert [line[0].get_ylabel() for line in panels] == ["with mask", "finding off"][: 1 + generated]
    assert fits(figure)


# ---- F1.1, F1.2


def test_the_channel_bars_show_training_ordered_sizes_and_effects_per_class(paper1_tables, history):
    latent = paper1_tables["latent"]
    figure = causal_figures.channel_bars(latent[latent["domain"] == "digits"], history)
    left, middle, right, scale = figure.axes
    assert titles([left, middle, right]) == [
        *("training the bottleneck", "size of the effect", "CE of the own class, first seed")
    ]
    assert left.lines[0].get_ydata().tolist() == pytest.approx([2, 1, 2 / 3])  # the mean over seeds
    assert (left.get_yscale(), left.get_xticks().tolist()) == ("log", [1, 2, 3])
    (bars,) = containers(middle, BarContainer)
    sizes = np.array([[0.6, 0.2, 0.9, 0.05, 0.1], [0.8, 0.2, 0.9, 0.05, 0.3]])
    assert [bar.get_height() for bar in bars] == pytest.approx(sizes.mean(0).tolist())
    assert np.array([line.get_ydata() for line in middle.lines]) == pytest.approx(
        sizes.T if len(middle.lines) == 5 else sizes
    )
    assert middle.get_ylim()[0] == 0
    assert middle.get_ylim()[1] >= sizes.max()  # no point is cut off
    assert shown(right) == pytest.approx(-np.outer([1, 2, 3], [1, 2, 3, 4, 5]) / 20)
    assert right.images[0].get_clim() == pytest.approx((-0.75, 0.75))  # zero is white
    assert right.get_yticks().tolist() == [0, 1, 2]
    assert scale.get_ylabel() == "mean CE$_y$"
    assert fits(figure)


def test_the_class_channel_map_has_a_panel_per_network_on_one_scale(paper1_tables):
    latent, classes = paper1_tables["latent"], ["mass", "nodule", "fluid"]
    latent = latent[latent["domain"] == "chest"]
    figure = causal_figures.class_channel_map(latent, classes)
    *panels, scale = figure.axes
    assert titles(panels) == ["training seed 1", "training seed 2"]
    for panel, means in zip(panels, causal_tables.class_by_channel(latent, "chest").values(), strict=True):
        assert np.array_equal(shown(panel), means)
        assert panel.images[0].get_clim() == pytest.approx((-0.9, 0.9))
    assert ticks(panels[0].get_yticklabels()) == classes
    assert "mean CE" in scale.get_ylabel()
    assert fits(figure)


def test_the_map_of_many_networks_shows_three(paper1_tables):
    chest = paper1_tables["latent"].query("domain == 'chest' and seed == 1")
    many = pd.concat([chest.assign(seed=seed) for seed in range(5)])
    figure = causal_figures.class_channel_map(many, ["a", "b", "c"])
    assert titles(figure.axes)[:-1] == ["training seed 0", "training seed 1", "training seed 2"]
    assert titles(causal_figures.class_channel_map(chest, ["a", "b", "c"]).axes)[:-1] == ["training seed 1"]


def test_a_finding_without_test_images_keeps_its_row(paper1_tables):
    chest = paper1_tables["latent"].query("domain == 'chest'")
    whole = next(iter(causal_tables.class_by_channel(chest, "chest").values()))
    figure = causal_figures.class_channel_map(chest[chest["label"] != 0], ["mass", "nodule", "fluid"])
    found = shown(figure.axes[0])
    row = ticks(figure.axes[0].get_yticklabels()).index("fluid")
    assert np.array_equal(found[row], whole[2])


# ---- X1.4


@pytest.mark.parametrize("fill", ["counterfactual", "mean"])
def test_the_telling_case_is_seen_and_has_the_median_effect_of_its_box(paper1_tables, fill):
    effects = paper1_tables["effects"].query("seed == 1")
    if fill == "mean":
        effects = effects[effects["fill"] != "counterfactual"]
    assert region_figures.telling_case(effects) == 1  # cases 0, 1 and 2 are seen
    assert region_figures.telling_case(effects.sample(frac=1, random_state=1)) == 1


def test_where_nothing_is_seen_the_telling_case_is_one_of_all(paper1_tables):
    effects = paper1_tables["effects"].query("seed == 1")
    own = effects.query("region == 'box' and fill == 'counterfactual'").sort_values("effect")
    assert region_figures.telling_case(effects.assign(p=0.3)) == own["case"].iloc[3]


def drawn_regions(regions, free=True):
    """The five regions of the case 2; a place elsewhere, or none."""
    box = regions.box_masks()[[2]]
    found = {"mask": torch.from_numpy(regions.masks[[2]])[:, None], "box": box}
    found |= {"cam": box.roll(3, 2), "gradcam": box.roll(2, 3), "random": box.roll(6, 3)}
    return found if free else found | {"random": torch.zeros_like(box)}


@pytest.mark.parametrize("free", [True, False], ids=["place elsewhere", "no place elsewhere"])
@pytest.mark.parametrize("generated", [True, False], ids=["generated", "real"])
def test_the_masking_panel_shows_what_is_put_into_each_region_and_what_follows(paper1_tables, regions, generated, free):
    effects, picture = paper1_tables["effects"], image(1, SIZE, SIZE)
    effects = effects[(effects["seed"] == 1) & (effects["case"] == (2 if free else 5))]
    places, own = drawn_regions(regions, free), regions if generated else of_real_images(regions)
    figure = region_figures.masking_panel(picture, places, effects, own.select([2]))
    fills = ["counterfactual", "mean", "black", "white"][not generated :]
    used = REGIONS if free else REGIONS[:-1]
    panels = np.reshape(figure.axes, (len(fills) + 1, len(used)))
    p = effects["p"].iloc[0]
    assert titles(panels[0]) == [f"{region_figures.TITLES[name]}\np = {p:.2f}" for name in used]
    shown_as = {"counterfactual": "finding off"}
    assert [line[0].get_ylabel() for line in panels] == ["", *(shown_as.get(fill, fill) for fill in fills)]
    for column, name in zip(panels.T, used, strict=True):
        assert np.array_equal(shown(column[0]), picture[0])
        place = places[name][0, 0].numpy()
        for panel, fill in zip(column[1:], fills, strict=True):
            change = effects.query("region == @name and fill == @fill")["effect"].item()
            assert panel.get_title() == f"p' = {p + change:.2f}, CE = {change:+.2f}"
            found = shown(panel)
            assert np.array_equal(found[~place], picture[0].numpy()[~place])
            inside = {"black": 0.0, "white": 1.0, "mean": picture.mean().item()}.get(fill)
            expected = regions.without[2, 0][place] / 255 if inside is None else np.full(place.sum(), inside)
            assert found[place] == pytest.approx(expected, abs=1e-6)
    assert fits(figure)


# ---- F1.3, F1.4


@pytest.fixture
def gaps(paper1_tables):
    return causal_tables.gap_table(paper1_tables["effects"], **OPTIONS)


@pytest.mark.parametrize("fills", [["counterfactual", "all off", "mean"], ["mean"]], ids=["generated", "real"])
def test_every_case_is_a_point_above_and_the_paired_differences_are_below(paper1_tables, table, gaps, fills):
    effects = paper1_tables["effects"]
    figure = region_figures.region_points(effects, table.sample(frac=1, random_state=1), gaps, fills)
    panels = np.reshape(figure.axes, (2, len(fills)))
    named = {"counterfactual": "finding off"}
    assert titles(panels[0]) == [f"fill: {named.get(fill, fill)}" for fill in fills]
    for (panel, lower), fill in zip(panels.T, fills, strict=True):
        drawn = ["box", "cam", "gradcam"] if fill == "counterfactual" else list(REGIONS)
        rows = table[table["fill"] == fill].set_index("region").loc[drawn]
        (errors,) = containers(panel, ErrorbarContainer)
        assert errors[0].get_ydata() == pytest.approx(rows["size"].to_numpy())
        assert ends(errors) == pytest.approx(intervals(rows, "size"))
        cases = effects[effects["fill"] == fill].assign(size=lambda each: each["effect"].abs())
        for points, name in zip(panel.lines, drawn, strict=False):
            own = cases[cases["region"] == name].groupby("case")["size"].mean()
            assert points.get_ydata() == pytest.approx(own.to_numpy(), nan_ok=True)
        compared = [name for name in drawn if name not in ("mask", "box")]
        (errors,) = containers(lower, ErrorbarContainer)
        rows = gaps[gaps["fill"] == fill].set_index("region").loc[compared]
        assert errors[0].get_ydata() == pytest.approx(rows["gap"].to_numpy())
        assert ends(errors) == pytest.approx(intervals(rows, "gap"))
        assert ticks(lower.get_xticklabels()) == ["exact mask", "box", "CAM", "Grad-CAM", "elsewhere"]
        assert panel.get_ylim() == (-0.02, 1.02)  # no point is cut off
    assert figure.axes[0].get_ylabel() == "|CE$_y$|"
    assert fits(figure)


def test_the_fill_grid_has_a_marker_per_region_and_fill_and_the_lead_of_the_box_below(table, gaps):
    figure = region_figures.fill_grid(table, gaps)
    panel, lower = figure.axes
    assert ticks(lower.get_xticklabels()) == ["finding off", *FILLS[1:]]
    (legend,) = figure.legends
    assert names(legend) == [region_figures.TITLES[name] for name in REGIONS]
    drawn = containers(panel, ErrorbarContainer)
    assert len(drawn) == len(REGIONS)
    for errors, name in zip(drawn, REGIONS, strict=True):
        fills = FILLS[1:] if name in ("mask", "random") else FILLS  # equal to the box, and zero, by construction
        rows = table[table["region"] == name].set_index("fill").loc[fills]
        assert errors.lines[0].get_ydata().tolist() == rows["size"].tolist()
        assert ends(errors) == pytest.approx(intervals(rows, "size"))
        assert panel.get_ylim()[1] >= ends(errors).max()
    looks = {(errors.lines[0].get_color(), errors.lines[0].get_marker()) for errors in drawn}
    assert len(looks) == len(REGIONS)
    (errors,) = containers(lower, ErrorbarContainer)
    rows = gaps[gaps["region"] == "cam"].set_index("fill").loc[FILLS]
    assert errors.lines[0].get_ydata() == pytest.approx(rows["gap"].to_numpy())
    assert panel.get_ylim()[0] == 0
    assert fits(figure)


def test_the_fill_grid_of_real_images_lacks_the_exact_fills(table, gaps):
    exact = ["counterfactual", "all off"]
    shown = [rows[~rows["fill"].isin(exact)] for rows in (table, gaps)]
    assert ticks(region_figures.fill_grid(*shown).axes[1].get_xticklabels()) == FILLS[2:]


# ---- F1.5


def test_the_map_gallery_shows_a_case_per_finding_with_its_box_and_the_overlaps(paper1_tables, regions):
    images = image(4, 1, SIZE, SIZE)
    maps = {name: image(4, 1, SIZE, SIZE, part=i) for i, name in enumerate(("CE, mean", "CAM", "random"), 1)}
    overlaps = causal_tables.overlap_table(paper1_tables["overlap"], **OPTIONS)
    figure = causal_maps.map_gallery(images, maps, regions, overlaps, ["mass", "mass", "nodule", "fluid"])
    panels, bars = np.reshape(figure.axes[:12], (3, 4)), figure.axes[-1]  # three colour bars between
    assert titles(panels[0]) == ["image", "CE, mean", "CAM", "random"]
    assert [line[0].get_ylabel() for line in panels] == ["mass", "nodule", "fluid"]
    for line, case in zip(panels, (0, 2, 3), strict=True):
        top, left, bottom, right = regions.boxes[case] - 0.5  # pixel centres are whole numbers
        for panel, content in zip(line, (images, *maps.values()), strict=True):
            assert np.array_equal(shown(panel), content[case, 0])
            (box,) = panel.lines
            assert (min(box.get_xdata()), max(box.get_xdata())) == (left, right)
            assert (min(box.get_ydata()), max(box.get_ydata())) == (top, bottom)
    assert panels[0, 0].images[0].get_clim() == (0, 1)
    for column, content in zip(panels.T[1:], maps.values(), strict=True):
        top = content[[0, 2, 3]].max().item()  # of the cases drawn
        assert all(panel.images[0].get_clim() == pytest.approx((0, top)) for panel in column)
    assert [bar.get_xlabel() for bar in figure.axes[12:-1]] == ["loss of p$_y$", "CAM (logits)", "random"]
    assert ticks(bars.get_yticklabels()) == overlaps["map"].tolist()
    assert bars.yaxis_inverted()  # the first map on top
    assert names(bars.get_legend()) == ["box", "exact mask"]
    both, errors = containers(bars, BarContainer), containers(bars, ErrorbarContainer)
    for drawn, ranges, truth in zip(both, errors, ("iou_box", "iou_mask"), strict=True):
        assert [bar.get_width() for bar in drawn] == overlaps[truth].tolist()
        assert ends(ranges, axis=0) == pytest.approx(intervals(overlaps, truth))
    assert fits(figure)


def test_maps_of_a_kind_have_one_scale_about_zero_if_any_of_them_is_negative():
    values = torch.tensor([0.0, 0.2]), torch.tensor([-0.5, 0.3]), torch.tensor([0.0, 7.0]), torch.zeros(2)
    scales = causal_maps.map_scales(
        dict(zip(("CE, counterfactual", "CE, mean", "Grad-CAM", "none"), values, strict=True))
    )
    limits = {name: (scale["vmin"], scale["vmax"]) for name, scale in scales.items()}
    assert limits["CE, counterfactual"] == limits["CE, mean"] == (-0.5, 0.5)  # nothing is cut off
    assert limits["Grad-CAM"] == (0, 7)
    assert limits["none"] == (0, 1e-6)  # a scale that can be drawn
    assert scales["CE, mean"]["cmap"] != scales["Grad-CAM"]["cmap"]


def test_the_gallery_shows_four_findings_at_most(paper1_tables, regions):
    five = regions.select([0, 1, 2, 3, 0])
    five = Regions(five.image, np.arange(5), five.boxes, five.masks)
    overlaps = causal_tables.overlap_table(paper1_tables["overlap"], **OPTIONS)
    maps = {"CAM": image(5, 1, SIZE, SIZE, part=1)}
    figure = causal_maps.map_gallery(image(5, 1, SIZE, SIZE), maps, five, overlaps, list("abcde"))
    assert len(figure.axes) == 4 * 2 + 2  # one colour bar, one panel of bars


# ---- X1.5


def test_the_estimates_are_scattered_over_the_truth_in_the_colour_of_their_finding(paper1_tables):
    estimates = paper1_tables["estimates"].sample(frac=1, random_state=1)
    figure = region_figures.estimates_against_truth(estimates)
    shown = list(region_figures.AGAINST_TRUTH)
    assert [title.split("\n")[0] for title in titles(figure.axes)] == ["-p (no region)", *shown[1:]]
    table = rankings.correlation_table(estimates, **OPTIONS).set_index("method")
    for panel, method in zip(figure.axes, shown, strict=True):
        row = table.loc[method]
        shown_ = [float(part.split()[-1]) for part in panel.get_title().split("\n")[1].split(", ")]
        assert shown_ == pytest.approx(row[["within findings", "pooled"]].to_list(), abs=0.00501)
        assert panel.get_title().split("\n")[1].startswith("within findings")
        points = {line.get_label(): line for line in panel.lines if line.get_label() in ("Mass", "Nodule")}
        own = estimates[estimates["method"].isin([method, rankings.TRUTH])]
        own = own.pivot(index=["finding", "seed", "case"], columns="method", values="value")
        for name, line in points.items():
            expected = own.loc[name].sort_index()
            assert line.get_xdata() == pytest.approx(expected[rankings.TRUTH].to_numpy())
            assert line.get_ydata() == pytest.approx(expected[method].to_numpy())
    assert names(figure.legends[0]) == ["Mass", "Nodule"]
    looks = {(line.get_color(), line.get_marker()) for line in points.values()}
    assert len(looks) == 2
    assert len({panel.get_ylim() for panel in figure.axes}) == 2  # CAM evidence is in logits
    assert fits(figure)


# ---- F1.7


def test_the_distributions_have_a_panel_per_level_and_one_for_carlini_wagner(paper1_tables):
    rows = paper1_tables["adversarial"]
    figure = attacked.effect_distributions(rows, [2, 8])
    assert titles(figure.axes) == ["ε = 2/255", "ε = 8/255", "Carlini-Wagner"]
    expected = [["clean", "noise", "FGSM", "PGD"]] * 2 + [["clean", "l2 noise", "C&W, l2"]]
    for panel, attacks in zip(figure.axes, expected, strict=True):
        assert ticks(panel.get_yticklabels()) == attacks
        assert panel.yaxis_inverted()  # clean on top
        assert panel.get_xlabel() == "e = ECE$_j$ - ECE$_0$"
    assert fits(figure)


def test_the_box_of_an_attack_is_that_of_its_level(paper1_tables):
    figure = attacked.effect_distributions(paper1_tables["adversarial"], [1, 8])

    def medians(panel):
        """Of the boxes, from top to bottom: thick lines."""
        lines = [line for line in panel.lines if line.get_linewidth() == 2]
        return [line.get_xdata().mean() for line in lines]

    for panel, (noise, fgsm, pgd) in zip(figure.axes[:2], ((0, -0.1, -0.15), (0.1, -0.4, -0.45)), strict=True):
        assert medians(panel) == pytest.approx([0.5, 0.5 + noise, 0.5 + fgsm, 0.5 + pgd], abs=0.05)
    assert medians(figure.axes[2]) == pytest.approx([0.5, 0.55, 0.3], abs=0.05)


def test_without_levels_from_two_on_carlini_wagner_stands_alone(paper1_tables):
    assert titles(attacked.effect_distributions(paper1_tables["adversarial"], []).axes) == ["Carlini-Wagner"]


# ---- F1.8


def test_the_detector_curves_have_a_panel_per_attack_and_side_and_a_line_per_detector(paper1_tables):
    table = attacked.detection_table(paper1_tables["adversarial"], **OPTIONS)
    figure = attacked.detector_curves(table.sample(frac=1, random_state=1))
    attacks = ["fgsm", "pgd", "cw", "noise"]
    panels = np.reshape(figure.axes, (2, 4))
    assert titles(panels[0]) == ["FGSM", "PGD", "C&W, l2", "noise"]
    for line, sides in zip(panels, (("large", "small"), ("two",)), strict=True):
        shown = [name for name, row in DETECTORS.items() if row.side in sides]
        for panel, attack in zip(line, attacks, strict=True):
            rows = table[table["attack"] == attack].sort_values("level")
            drawn = containers(panel, ErrorbarContainer)
            for place, (errors, score) in enumerate(zip(drawn, shown, strict=True)):
                assert errors.lines[0].get_ydata().tolist() == rows[score].tolist()
                shift = 0.07 * (place - (len(shown) - 1) / 2)
                assert errors.lines[0].get_xdata() == pytest.approx(np.arange(len(rows)) + shift)
                assert ends(errors) == pytest.approx(intervals(rows, score))
            assert len({(each.lines[0].get_color(), each.lines[0].get_marker()) for each in drawn}) == len(shown)
            assert set(panel.lines[-1].get_ydata()) == {0.5}
            assert panel.get_ylim() == (0, 1.02)
            assert ticks(panel.get_xticklabels()) == (["minimal"] if attack == "cw" else ["1", "2", "4", "8"])
        assert names(line[-1].get_legend()) == [DETECTORS[name].title for name in shown]
    assert fits(figure)


# ---- X1.20


def test_every_detector_stands_with_both_aurocs_at_every_level(paper1_tables):
    table = evaded.evaded_table(paper1_tables["adaptive"], **OPTIONS)
    figure = evaded.evaded_figure(table)
    assert titles(figure.axes) == ["ε = 2/255", "ε = 8/255"]
    for panel, level in zip(figure.axes, (2, 8), strict=True):
        rows = table[table["level"] == level].set_index("detector").loc[list(DETECTORS)]
        for errors, arm in zip(containers(panel, ErrorbarContainer), ("plain", "adaptive"), strict=True):
            assert errors.lines[0].get_xdata().tolist() == rows[arm].tolist()
    assert ticks(figure.axes[0].get_yticklabels()) == [row.title for row in DETECTORS.values()]
    assert names(figure.legends[0]) == list(evaded.ARMS.values())
    assert fits(figure)


# ---- F1.9


def test_the_collapse_shows_score_above_agreement_per_domain_and_a_line_per_loss(paper1_tables):
    released = paper1_tables["released"]
    figure = causal_figures.collapse(released.sample(frac=1, random_state=1).sort_values("domain", ascending=False))
    panels = np.reshape(figure.axes, (2, 2))
    assert titles(panels[0]) == ["digits", "chest"]
    assert [panel.get_ylabel() for panel in panels[0]] == ["accuracy of the network", "AUROC of the network"]
    assert {panel.get_ylabel() for panel in panels[1]} == {"agreement of the branches"}
    assert {panel.get_ylim() for panel in panels.flat} == {(0, 1.03)}
    assert sorted(names(figure.legends[0])) == ["intended loss", "released loss", "summed TV loss"]
    for line, value in zip(panels, ("plain", "agreement"), strict=True):
        for panel, domain in zip(line, ("digits", "chest"), strict=True):
            drawn = {each.get_label(): each for each in panel.lines if not each.get_label().startswith("_")}
            told = released[released["domain"] == domain]
            if value == "agreement":  # of a trained bottleneck in a network that is not at chance
                told = told[(told["epoch"] > 0) & (told["plain"] > {"digits": 0.2, "chest": 0.6}[domain])]
            assert {label.removesuffix(" loss") for label in drawn} == set(told["variant"])
            thin = [each for each in panel.lines if each.get_linewidth() == 0.8]
            assert len(thin) == len(told[["variant", "seed"]].drop_duplicates())  # a line per loss and training seed
            for label, each in drawn.items():
                own = told[told["variant"] == label.removesuffix(" loss")]
                means = own.groupby("epoch")[value].mean()
                assert each.get_xdata() == pytest.approx(means.index.to_numpy(), abs=0.071)  # side by side
                assert each.get_ydata() == pytest.approx(means.to_numpy())
            assert panel.get_xticks().tolist() == [0, 1, 2]
    chance = [panel.lines[-1].get_ydata()[0] for panel in panels[0]]
    assert chance == [0.1, 0.5]
    assert fits(figure)


def test_the_thin_lines_of_the_collapse_are_the_seeds(paper1_tables):
    released = paper1_tables["released"].query("domain == 'digits' and variant == 'released'")
    figure = causal_figures.collapse(released)
    assert len(figure.axes) == 2
    thin = [each.get_ydata().tolist() for each in figure.axes[0].lines if each.get_linewidth() == 0.8]
    by_seed = released.pivot(index="seed", columns="epoch", values="plain").to_numpy()
    assert np.sort(thin, axis=0) == pytest.approx(np.sort(by_seed, axis=0))
    assert len(thin) == 2


def test_every_region_attack_and_score_has_a_name():
    assert set(region_figures.TITLES) == set(REGIONS)
    assert set(attacked.DETECTORS) == set(DETECTORS)
    assert set(attacked.looks()) == {"clean", "noise", "l2 noise", *ATTACKS}
    assert not plt.get_fignums()
