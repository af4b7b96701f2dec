"""Files that are replaced in one step: a reader, or a killed run, never sees half of one."""

from __future__ import annotations

from pathlib import Path


def write(path: Path, text: str) -> None:
    """Make this the file's content, in UTF-8; leave the file alone if it is already."""
    data = text.encode()
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
