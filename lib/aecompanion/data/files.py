"""The files that people put into a folder, without what their programs leave there.

Whatever begins with "." is hidden, a file as well as all below a folder: Jupyter's .ipynb_checkpoints, a bin (.Trash),
.DS_Store, and the "._name.jpg" that macOS packs beside every picture.
"""

from collections.abc import Collection
from pathlib import Path


def hidden(path: Path) -> bool:
    """Whether a part of this path, which is relative to the folder that was asked for, begins with "."."""
    return any(part.startswith(".") for part in path.parts)


def visible_files(root: Path) -> list[Path]:
    """Every file below `root` that is not hidden there, by name."""
    return [file for file in sorted(root.rglob("*")) if not hidden(file.relative_to(root)) and file.is_file()]


def image_files(root: Path, suffixes: Collection[str]) -> list[Path]:
    """The visible files below `root` with one of these (lower-case) suffixes, by name."""
    return [file for file in visible_files(root) if file.suffix.lower() in suffixes]


def text_of(file: Path) -> str:
    """What a text file holds. Raises ValueError for one that is not UTF-8."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: cannot be read as text ({error}), expected UTF-8") from error


def one_line(error: Exception) -> str:
    """What an error says, in one line, or its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
