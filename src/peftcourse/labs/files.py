"""Notebook files: read, written in one step, and named for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode


def shown(path: Path, root: Path) -> str:
    """The path as messages name it, from the repository's root on."""
    return path.relative_to(root).as_posix()


def read(path: Path) -> NotebookNode | None:
    """A notebook, or None if there is none, or not a valid one."""
    import nbformat

    try:
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        nbformat.validate(notebook)
        return notebook
    except (OSError, UnicodeDecodeError, nbformat.reader.NotJSONError, nbformat.ValidationError):
        return None


def text(notebook: NotebookNode) -> str:
    """A notebook as it is stored: sorted keys, so that equal notebooks are equal bytes."""
    import nbformat

    return nbformat.writes(notebook) + "\n"


def write(path: Path, text: str) -> None:
    """Replace a file in one step; leave it alone if nothing changes."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
