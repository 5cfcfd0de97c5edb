"""A site of three notebooks: no warning, no dead link, readable formulas, a claim in three clicks."""

import logging
import re

import numpy as np
import pytest
from PIL import Image
from sphinx.search.en import SearchEnglish

from aecompanion.pipeline.paths import ROOT
from aecompanion.report.papers import papers
from aecompanion.site import build, extension, files

ICONS = [("sun", "[9728]", '"M0"'), ('"moon-o"', '["luna"]', '["M1",""]'), ("bars", "[]", '"M2"')]
CHOSEN = ("00_start_here", "mask_steps", "mask_games")
SIDE_TREE = ROOT.parent.name == "profiles"  # whose results have other pages
pytestmark = pytest.mark.skipif(SIDE_TREE, reason="the site shows the published results")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site") / "site"
    with pytest.MonkeyPatch.context() as patch:  # half of the time, for what is tested below or elsewhere
        patch.setattr(SearchEnglish, "stem", lambda self, word: word.lower())
        patch.setattr(build, "shrink", lambda out: None)
        patch.setattr(build, "LARGEST", 10**9)  # of pictures that are not made smaller
        build.build(out, CHOSEN)  # which raises for warnings and dead links
    return out


def pages(site):
    return [file for file in site.rglob("*.html") if "_static" not in file.parts]


def test_start_page_names_every_paper_with_its_question_and_answer(site):
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", (site / "index.html").read_text()))
    for paper in papers():
        assert paper.question.replace("'", "’") in text
        assert paper.authors in text


def test_every_chosen_notebook_is_a_page_and_linked_in_the_sidebar(site):
    text = (site / "index.html").read_text()
    for name in CHOSEN:
        (page,) = site.glob(f"notebooks/**/{name}.html")
        assert f'href="{page.relative_to(site)}"' in text


def test_a_claim_leads_to_its_function_in_three_clicks(site):
    start = (site / "index.html").read_text()
    assert 'href="results/masks.html#claims"' in start
    paper = (site / "results" / "masks.html").read_text()
    row = re.search(r'<tr id="P3.04">.*?</tr>', paper)[0]
    display = re.search(r'href="#(\w\d\.\d+)"', row)[1]
    assert f'id="{display}"' in paper
    target, line = re.search(r'href="\.\./(source/[^"#]+)#(L\d+)"', row).groups()
    assert f'<span id="{line}"><span class="k">def</span>' in (site / target).read_text()
    cell = re.search(r'href="\.\./(notebooks/5_evaluate/mask_games\.html)#(cell-\d+)"', paper)
    assert f'id="{cell[2]}"' in (site / cell[1]).read_text()


def test_pages_have_a_language_a_title_and_a_width_for_phones(site):
    for file in pages(site):
        text = file.read_text()
        assert '<html lang="en"' in text, file
        assert re.search(r"<title>[^<]*\w[^<]*</title>", text), file
        assert 'name="viewport"' in text, file


def test_every_picture_says_what_it_shows(site):
    silent = [
        f"{file.name}: {picture}"
        for file in pages(site)
        for picture in re.findall(r"<img\b[^>]*>", file.read_text())
        if not re.search(r'alt="[^"]', picture)
    ]
    assert silent == []


def test_nothing_is_fetched_from_a_network(site):
    for file in pages(site):
        assert re.findall(r'<(?:script|img|link)\b[^>]*(?:src|href)="(?:https?:)?//[^"]*"', file.read_text()) == []


def test_formulas_are_mathml(site):
    text = (site / "notebooks" / "00_start_here.html").read_text()
    assert "<math " in text
    assert r"\operatorname" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


def test_a_dead_link_and_a_dead_place_are_found(tmp_path):
    (tmp_path / "a.html").write_text('<a href="b.html#here">1</a><a href="b.html#there">2</a><img src="c.png">')
    (tmp_path / "b.html").write_text('<p id="here"></p><a href="https://x.org">3</a><a href="#here">4</a>')
    assert files.dead(tmp_path) == ["a.html: b.html#there", "a.html: c.png"]


def test_heavy_pictures_become_webp_and_light_ones_stay(tmp_path):
    noise = np.random.default_rng(0).integers(0, 64, (300, 300, 3), dtype=np.uint8)
    (tmp_path / "_images").mkdir()
    Image.fromarray(noise).save(tmp_path / "_images" / "heavy.png")
    Image.fromarray(noise[:9, :9]).save(tmp_path / "_images" / "light.png")
    page = tmp_path / "a.html"
    page.write_text('<img src="_images/heavy.png"><img src="_images/light.png"><a href="files/heavy.png">same name</a>')
    files.shrink(tmp_path)
    assert sorted(file.name for file in (tmp_path / "_images").iterdir()) == ["heavy.webp", "light.png"]
    assert re.findall(r'"(.*?)"', page.read_text()) == ["_images/heavy.webp", "_images/light.png", "files/heavy.png"]


def test_only_icons_that_pages_show_are_left(tmp_path):
    script, page = tmp_path / files.ICONS, tmp_path / "a.html"
    script.parent.mkdir(parents=True)
    sun, moon, bars = (f'{name}:[512,512,{others},"f1",{path}]' for name, others, path in ICONS)
    script.write_text(f"var b={{{sun},{moon},{bars}}};go(b)")
    page.write_text('<i class="fa-solid fa-luna fa-lg"></i>')
    (tmp_path / "_static" / "theme.js").write_text('x="fa-bars"')
    files.lighten(tmp_path)
    assert script.read_text() == f"var b={{{moon},{bars}}};go(b)"


def test_every_icon_of_the_site_is_in_its_script(site):
    script = (site / files.ICONS).read_text()
    known = set().union(*map(files.names, files.ICON.finditer(script)))
    shown = {name for file in pages(site) for name in re.findall(r"\bfa-([a-z0-9-]+)", file.read_text())}
    assert shown - known <= {"solid", "fw", "lg"}  # styles
    assert len(known) < 60
    assert (site / files.ICONS).stat().st_size < 150_000


def test_pages_get_lighter_and_say_the_same(tmp_path):
    page = tmp_path / "a.html"
    code = '<pre>  <span class="n">f</span><span class="p">(</span><span class="mi">1</span>\n    )</pre>'
    page.write_text(f"<div>\n    <p>a\n    b</p>\n{code}</div>")
    files.lighten(tmp_path)
    assert page.read_text() == '<div>\n<p>a\nb</p>\n<pre>  f(<span class="mi">1</span>\n    )</pre></div>'


def test_a_link_that_leads_nowhere_ends_the_build(tmp_path):
    for name in ("sphinx", "sphinx.aecompanion.site.extension"):  # as dictConfig of another library silences them
        logging.getLogger(name).disabled = True
    pages_, out = tmp_path / "pages", tmp_path / "out"
    pages_.mkdir()
    (pages_ / "index.md").write_text("# Start\n\n[gone](docs/gone.md)\n")
    with pytest.raises(RuntimeError, match=r"1 warnings:\n.*docs/gone.md leads to no file"):
        build.render(pages_, out, build.Links({}), {})


@pytest.mark.parametrize(("executed", "refused"), [(False, True), (True, False)])
def test_a_site_that_is_too_large_to_send_is_refused(tmp_path, monkeypatch, executed, refused):
    def render(folder, out, links, files):
        out.mkdir()
        (out / "index.html").write_text("<p>" + "x" * 2_000_000)

    monkeypatch.setattr(build, "LARGEST", 1_000_000)
    monkeypatch.setattr(build, "write_pages", lambda folder, *_, **__: (folder.mkdir(), {}))
    monkeypatch.setattr(build, "render", render)
    monkeypatch.setattr(build, "add_files", lambda out: None)
    if refused:
        with pytest.raises(RuntimeError, match=r"^the site has 2\.0 MB, expected 1 at most$"):
            build.build(tmp_path / "site", executed=executed)
    else:
        build.build(tmp_path / "site", executed=executed)
    assert build.size(tmp_path / "site") == 2_000_003


@pytest.mark.parametrize(
    ("formula", "part"),
    [
        (r"\operatorname{clip}\Big(x\Big)", "clip"),
        (r"\textstyle\sum_i x_i", "∑"),
        (r"|x|", '<mo stretchy="false">|</mo>'),
    ],
)
def test_a_formula_becomes_mathml(formula, part):
    assert part in extension.mathml(formula, block=True)


def test_a_formula_that_cannot_be_read_is_refused():
    with pytest.raises(ValueError, match=r"\\nosuch"):
        extension.mathml(r"\nosuch{x}", block=False)
