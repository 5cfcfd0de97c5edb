"""What the site adds to Sphinx: links of the checkout, formulas in MathML, ids of cells, alternative texts.

Formulas are turned into MathML when the site is built, so that they need neither network nor script; a formula that
Docutils cannot read is a warning, and a warning ends the build.
"""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

from aecompanion.report import displays
from aecompanion.report.gallery import anchor
from aecompanion.site.links import Links

LOGGER = logging.getLogger(__name__)
PLAINER = [  # what Docutils cannot read, in what it can
    (re.compile(r"\\operatorname\*?\{([^}]*)\}"), r"\\mathrm{\1}"),
    (re.compile(r"\\[bB]igg?[lrm]?(?![a-zA-Z])|\\textstyle(?![a-zA-Z])"), ""),
    (re.compile(r"\\dots(?![a-zA-Z])"), r"\\ldots"),
]
BARS = re.compile("<mo>([|‖])</mo>")  # with an exponent they would grow, since they stand alone
NAMED = re.compile(r"[FTX]\d+\.\d+")


def mathml(formula: str, *, block: bool) -> str:
    """TeX to MathML. Raises ValueError for what cannot be read."""
    plain = formula
    for pattern, instead in PLAINER:
        plain = pattern.sub(instead, plain)
    try:
        found = tex2mathml(plain, as_block=block)
    except (MathError, SyntaxError) as error:
        raise ValueError(f"{formula}: {error}") from None
    return BARS.sub(r'<mo stretchy="false">\1</mo>', found)


def written(node: nodes.Element, *, block: bool) -> str:
    """MathML of a node, or the formula as it stands with a warning."""
    try:
        text = mathml(node.astext(), block=block)
    except ValueError as error:
        LOGGER.warning("formula cannot be shown: %s", error, location=node)
        return f"<code>{node.astext()}</code>"
    return f'<div class="formula">{text}</div>' if block else text


def inline(translator, node: nodes.Element) -> None:
    translator.body.append(written(node, block=False))
    raise nodes.SkipNode


def displayed(translator, node: nodes.Element) -> None:
    translator.body.append(written(node, block=True))
    raise nodes.SkipNode


def identify(app: Sphinx, document: nodes.document) -> None:
    """Give headings the ids that GitHub gives them, code cells the id cell-N, pictures an alternative text."""
    for section in document.findall(nodes.section):
        names = {anchor(title := section[0].astext()), title.strip().replace(" ", "-")}
        section["ids"] += [name for name in sorted(names) if name and name not in section["ids"]]
    last = "a figure"
    for node in document.findall():
        if isinstance(node, nodes.title):
            last = f"figure in “{node.astext()}”"
        elif isinstance(node, nodes.container) and "cell_index" in node:
            node["ids"].append(f"cell-{node['cell_index']}")
            named = NAMED.search(node.astext().partition("\n")[0])
            if named and named[0] in displays.register():
                last = f"{named[0]}: {displays.entry(named[0])['title']}"
        elif isinstance(node, nodes.image) and not node.get("alt"):
            node["alt"] = last


def lead(app: Sphinx, document: nodes.document, page: str) -> None:
    """Turn links of the checkout into links of the site; one that leads nowhere is a warning."""
    links: Links = app.config.companion_links
    file = app.config.companion_files.get(page, f"{page}.md")
    for node in list(document.findall(nodes.reference)):
        link = node.get("refuri", "")
        if not link or node.get("internal"):
            continue
        try:
            target = links.resolve(link, file, page)
        except ValueError as error:
            LOGGER.warning("%s", error, location=node)
            continue
        if target is None:
            node.replace_self(node.children)
        else:
            node["refuri"] = target


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_config_value("companion_links", None, "", types=frozenset({Links}))
    app.add_config_value("companion_files", {}, "", types=frozenset({dict}))
    app.add_html_math_renderer("mathml", (inline, None), (displayed, None))
    app.connect("doctree-read", identify)
    app.connect("doctree-resolved", lead)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
