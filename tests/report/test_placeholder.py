from aecompanion.report import placeholder


def test_a_placeholder_says_why_and_draws_nothing_else():
    figure = placeholder.figure("needs counterfactual images, which only phantoms have, and these are radiographs")
    (axes,) = figure.axes
    assert [text.get_text().replace("\n", " ") for text in axes.texts] == [
        "needs counterfactual images, which only phantoms have, and these are radiographs"
    ]
    assert not axes.axison
    assert not axes.lines + axes.images
