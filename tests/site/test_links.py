"""Where links of the checkout lead on the site."""

import pytest

from aecompanion.report import displays
from aecompanion.report.gallery import anchor
from aecompanion.site.links import Links

PAGES = {"docs/design.md": "docs/design", "notebooks/1_data/faces_data.ipynb": "notebooks/1_data/faces_data"}


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("https://doi.org/10.1/x", "https://doi.org/10.1/x"),
        ("#rooms", "#rooms"),
        ("design.md#rooms", "design.html#rooms"),
        ("../notebooks/1_data/faces_data.ipynb", "../notebooks/1_data/faces_data.html"),
        ("../notebooks/00_start_here.ipynb", "../files/notebooks/00_start_here.ipynb"),
        ("../lib/aecompanion/report/source.py#L5", "../source/lib/aecompanion/report/source.py.html#L5"),
        ("../results/claims.csv", "../files/results/claims.csv"),
        ("../results/README.md", "../index.html"),
        ("../lib/aecompanion", None),
    ],
)
def test_a_link_of_a_document_leads_to_the_site(link, target):
    assert Links(PAGES).resolve(link, "docs/limits.md", "docs/limits") == target


def test_a_display_on_the_page_of_results_is_on_the_page_of_its_paper():
    display, entry = next(iter(displays.register().items()))
    place = anchor(f"{display} · {entry['title']}")
    found = Links(PAGES).resolve(f"../results/README.md#{place}", "docs/limits.md", "docs/limits")
    assert found == f"../results/causal.html#{place}"


def test_a_link_to_nothing_is_refused():
    with pytest.raises(ValueError, match=r"docs/limits.md: nowhere.md leads to no file"):
        Links(PAGES).resolve("nowhere.md", "docs/limits.md", "docs/limits")
