"""A page per source file with its lines numbered and linkable (`#L21`), coloured by Pygments."""

from html import escape
from pathlib import Path

from pygments import highlight
from pygments.filter import Filter
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.token import Name, Operator, Punctuation, Text, Whitespace
from pygments.util import ClassNotFound

from aecompanion.pipeline.paths import ROOT
from aecompanion.site.links import relative

STYLE = "a11y-high-contrast-light"
SHEET = "_static/source.css"
BLACK = {Name, Name.Namespace, Operator, Punctuation, Text}
CSS = """body { margin: 0 auto; max-width: 72rem; padding: 1rem; font-family: sans-serif; line-height: 1.4 }
h1 { overflow-wrap: anywhere; font-size: 1.4rem }
pre { overflow-x: auto; font-size: .85rem }
a { color: #0b5394 }
pre { counter-reset: line }
pre > span[id] { counter-increment: line; scroll-margin-top: 3rem }
pre > span[id]::before {
  content: counter(line); color: #5f5f5f; display: inline-block; width: 2.5rem; padding-right: 1rem; text-align: right
}
pre > span:target { background: #fff3c4 }
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title>
<link rel="stylesheet" href="{sheet}">
</head>
<body>
<nav><a href="{start}">Start</a>{reference}</nav>
<main>
<h1>{name}</h1>
{code}
</main>
</body>
</html>
"""


class Plain(Filter):
    """Names, operators and blanks stay black: they are most of a file, and most of a page's size."""

    def filter(self, lexer, stream):
        """The stream of tokens with these as plain text."""
        for kind, text in stream:
            yield (Text if kind in Whitespace or kind in BLACK else kind), text


def coloured(text: str, name: str) -> str:
    """The text in colours, a span with the id L21 around line 21."""
    try:
        lexer = get_lexer_for_filename(name)
    except ClassNotFound:
        lexer = TextLexer()
    lexer.add_filter(Plain())
    return highlight(text, lexer, HtmlFormatter(style=STYLE, linespans="L", cssclass="code"))


def sheet() -> str:
    """The style of all source pages."""
    return CSS + HtmlFormatter(style=STYLE).get_style_defs(".code")


def page(path: str, reference: str = "") -> str:
    """The page of a file of the checkout; `reference` is the address of its module in the reference."""
    own = f"source/{path}"
    code = coloured((ROOT / path).read_text(), Path(path).name).replace('id="L-', 'id="L')
    link = f' · <a href="{relative_to(reference, own)}">Reference of this module</a>' if reference else ""
    return PAGE.format(
        name=escape(path), sheet=relative(SHEET, own), start=relative("index.html", own), reference=link, code=code
    )


def relative_to(address: str, page: str) -> str:
    """An address with an anchor as seen from a page."""
    path, _, place = address.partition("#")
    return relative(path, page) + (f"#{place}" if place else "")
