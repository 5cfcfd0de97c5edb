import matplotlib.pyplot as plt
import torch
from photographed import NAMES

from aecompanion.papers.masks import photographs as masks_photographs
from aecompanion.report.figures import WRONG


def test_comparable_units():
    maps = torch.tensor([[[[0.0, 2.0]]], [[[1.0, 3.0]]]])
    shares, limits = masks_photographs.comparable("Grad-CAM", maps)
    torch.testing.assert_close(shares.flatten(1), torch.tensor([[0.0, 1.0], [1 / 3, 1.0]]))
    assert limits == (0, 1)
    relative, limits = masks_photographs.comparable("RISE", maps)
    torch.testing.assert_close(relative.flatten(1), torch.tensor([[0.0, 2.0], [0.5, 1.5]]))
    assert limits == (0, 2)
    assert masks_photographs.comparable("RP", maps)[0] is maps


def test_a_grad_cam_map_of_zeros_stays_zero():
    assert masks_photographs.comparable("Grad-CAM", torch.zeros(1, 1, 2, 2))[0].abs().max() == 0


def test_map_grid_has_a_picture_per_photograph_and_method_on_one_scale_per_method(photographs, explained):
    figure = masks_photographs.map_grid(photographs[0], {name: each.maps for name, each in explained.items()}, NAMES)
    pictures = [axes for axes in figure.axes if axes.images and axes.get_xticks().size == 0]
    assert len(pictures) == 2 * 4
    limits = {axes.images[0].get_clim() for axes in pictures if axes.images[0].get_array().ndim == 2}
    assert limits == {(0, 1)}
    figure.canvas.draw()


def test_before_after_marks_a_class_whose_share_has_risen_and_not_one_that_only_fills_the_gap(
    photographs, explained, photograph_rows
):
    masks = {name: explained[name].mask for name in ("MP", "RP")}
    figure = masks_photographs.before_after(*photographs, masks, photograph_rows)
    figure.canvas.draw()
    said = {text.get_text(): text.get_color() == WRONG for axes in figure.axes[:6] for text in axes.texts}
    assert said["red 91% → 21%"] is False
    assert said["nothing 1% → 38%"] is True  # MP, masked: its share .08 -> .48
    assert said["green 8% → 8%"] is False
    plt.close(figure)


def test_a_rival_that_has_no_share_anywhere_has_no_line(photographs, explained, photograph_rows):
    masks = {name: explained[name].mask for name in ("MP", "RP")}
    rival = photograph_rows.loc[photograph_rows["role"] == "rival", "class"].iloc[0]
    rows = photograph_rows.assign(share=photograph_rows["share"].where(photograph_rows["class"] != rival, 0.001))
    names = []
    for each in (photograph_rows, rows):
        figure = masks_photographs.before_after(*photographs, masks, each)
        names.append({text.get_text() for text in figure.axes[5].get_yticklabels()})
        plt.close(figure)
    assert rival in names[0]
    assert names[1] == names[0] - {rival}


def test_a_long_name_is_cut():
    assert masks_photographs.short("American Staffordshire terrier") == "American Staffordsh…"
    assert masks_photographs.short("boxer") == "boxer"
