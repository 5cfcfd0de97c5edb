"""The reference is read from the source as it stands."""

import ast

from aecompanion.pipeline.paths import ROOT
from aecompanion.site import reference, source_pages


def test_every_module_is_on_one_page():
    files = [file for modules in reference.rooms().values() for file in modules]
    assert sorted(files) == sorted((ROOT / "lib" / "aecompanion").rglob("*.py"))


def test_a_function_has_a_place():
    assert (
        reference.place("aecompanion.attack.gradient.fgsm") == "reference/attack.html#aecompanion.attack.gradient.fgsm"
    )
    assert reference.place("aecompanion.__main__.usage") == "reference/aecompanion.html#aecompanion.__main__.usage"


def test_signatures_are_those_of_the_source():
    function, thing = ast.parse("def f(a: int, *, b=1) -> str: ...\nclass C(Base): ...").body
    assert reference.signature(function) == "f(a: int, *, b=1) -> str"
    assert reference.signature(thing) == "class C(Base)"


def test_formulas_and_arguments_keep_their_lines():
    text = reference.prose("First line\ngoes on.\n\n    x = a < b\n\nArgs:\n    x: one\n    y: two")
    assert text == "<p>First line goes on.</p>\n<pre>x = a &lt; b</pre>\n<pre>Args:\n    x: one\n    y: two</pre>"


def test_private_names_are_left_out():
    tree = ast.parse("def f(): ...\ndef _g(): ...\nclass C:\n    def m(self): ...\n    def __len__(self): ...")
    assert [(node.name, [each.name for each in methods]) for node, methods in reference.documented(tree)] == [
        ("f", []),
        ("C", ["m"]),
    ]


def test_a_source_page_has_every_line():
    path = "lib/aecompanion/pipeline/rng.py"
    text, lines = source_pages.page(path), (ROOT / path).read_text().splitlines()
    assert all(f'id="L{number}"' in text for number in range(1, len(lines) + 1))
    assert f'id="L{len(lines) + 1}"' not in text
