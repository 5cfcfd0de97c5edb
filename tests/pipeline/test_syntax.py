import pytest

from aecompanion.pipeline.syntax import syntax


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x  =  (\n    1  # why\n)\n"),
        ('def f(a):\n    """Prose."""\n    return a', "def f(a): return a"),
        ('class A:\n    """Prose."""\n    b = 1', '"""Module."""\n\n\nclass A:\n    b = 1'),
        ('text = "a" "b"', 'text = """ab"""'),
    ],
)
def test_prose_and_layout_are_no_syntax(one, other):
    assert syntax(one) == syntax(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 2"),
        ("x = 1", "x = True"),
        ("x = 1", "x = 1.0"),
        ("x = 'a'", "x = b'a'"),
        ("def f(a): return None", "def f(a): return"),
        ("f(**a)", "f(*a)"),
        ("{**a}", "{a: a}"),
        ('def f():\n    x = 1\n    """a string that is no docstring"""', "def f():\n    x = 1"),
        ("a: int = 1", "a = 1"),
    ],
)
def test_code_is_syntax(one, other):
    assert syntax(one) != syntax(other)


def test_looks_are_left_out_where_nothing_is_drawn():
    one, other = "Row('a', colour='red', marker='o')", "Row('a', colour='blue')"
    assert syntax(one) != syntax(other)
    assert syntax(one, looks=False) == syntax(other, looks=False) != syntax("Row('b')", looks=False)
