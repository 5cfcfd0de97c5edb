"""What the link checker of tests/support finds, and that it finds what is wrong."""

import json

import pytest
from links import anchor, anchors, broken, links


@pytest.fixture
def page(tmp_path):
    def write(text, name="docs/page.md"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    write("# Other page\n\n## Twice\n\n## Twice\n", "other.md")
    return write


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a](b.md) and ![c](d.png)", ["b.md", "d.png"]),
        ('[a](b.md "title"), [c](<d e.md>)', ["b.md", "d e.md"]),
        ("[a](https://x.org/b_(c).html)", ["https://x.org/b_(c).html"]),
        ("[![badge](b.svg)](c.md)", ["b.svg", "c.md"]),
        ("[a]: b.md\n", ["b.md"]),
        ('<a class="x" href="b.md">b</a> <img src="c.png">', ["b.md", "c.png"]),
        ("see <https://x.org>", ["https://x.org"]),
        ("[a]()", [""]),
        ("`[a](b.md)` and\n```\n[a](b.md)\n```\n<!-- [a](b.md) -->", []),
        ("$f[0](x)$ and\n$$g[1](y)$$", []),
    ],
)
def test_links_are_found_in_prose_alone(page, text, found):
    assert links(page(text)) == found


def test_links_of_a_notebook_are_those_of_its_markdown_cells(page):
    cells = [{"cell_type": "markdown", "source": ["[a]", "(b.md)"]}, {"cell_type": "code", "source": "x[0](c)"}]
    assert links(page(json.dumps({"cells": cells}), "a.ipynb")) == ["b.md"]


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("2.4 Settings of the mask", "24-settings-of-the-mask"),
        ("What `links` does, and why?", "what-links-does-and-why"),
        ("Your own [images](x.md)", "your-own-images"),
        ("Größe ε – and α²", "größe-ε--and-α"),
        ("snake_case and hy-phen", "snake_case-and-hy-phen"),
    ],
)
def test_anchors_are_named_as_github_names_them(heading, name):
    assert anchor(heading) == name


def test_repeated_headings_are_numbered_and_code_is_no_heading(page):
    file = page('# A\n\n## B\n\n## B\n\n## B\n\n```\n# no heading\n```\n\n<a id="C"></a>')
    assert anchors(file) == {"a", "b", "b-1", "b-2", "C"}


@pytest.mark.parametrize(
    "link",
    ["../other.md", "../other.md#twice-1", "#here", "..", "https://doi.org/10.1/x", "mailto:a@b.org", "%70age.md"],
)
def test_what_resolves_is_not_broken(page, tmp_path, link):
    assert broken(page(f"# Here\n\n[a]({link})"), tmp_path) == []


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("other.md", "no such file"),
        ("../other.md#twice-2", "no such heading"),
        ("#Here", "no such heading"),
        ("../../etc", "outside of the checkout"),
        ("/pages/page.md", "neither a web address nor a relative path"),
        ("", "neither a web address nor a relative path"),
        ("https://localhost", "no web address"),
        ("htps://x.org", "no web address"),
    ],
)
def test_what_leads_nowhere_is_broken(page, tmp_path, link, why):
    assert broken(page(f"# Here\n\n[a]({link})"), tmp_path) == [f"{link}: {why}"]
