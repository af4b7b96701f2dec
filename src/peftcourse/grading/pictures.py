"""Pictures in written answers, kept beside the reports so that whoever marks can look at them."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path

from peftcourse.grading.members import MIB

FOLDER = "pictures"
MAX_PICTURE = 8 * MIB
MAX_TOTAL = 512 * MIB  # of one class: a full disk would end the run

# How files of these kinds begin. Others, such as SVG, may hold more than a picture.
_KINDS = {
    "png": (b"\x89PNG\r\n\x1a\n",),
    "jpg": (b"\xff\xd8\xff",),
    "gif": (b"GIF87a", b"GIF89a"),
}


@dataclass(frozen=True)
class Picture:
    """A picture in a cell's text: a pasted one or an attachment, in base64."""

    data: str


class Album:
    """Keeps pictures in a folder, each once, under a name that follows from its bytes.

    Args:
        folder: where; without one, pictures are only counted.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._room = MAX_TOTAL

    def keep(self, picture: Picture) -> tuple[str, str]:
        """The picture's file name in the folder, or "" and why it is not kept."""
        if len(picture.data) > 2 * MAX_PICTURE:
            return "", "it is too large"
        try:
            content = base64.b64decode(picture.data)
        except (binascii.Error, ValueError):
            return "", "it is damaged"
        suffix = next((kind for kind, starts in _KINDS.items() if content.startswith(starts)), "")
        if not suffix:
            return "", "it is neither PNG, JPEG nor GIF"
        if len(content) > min(MAX_PICTURE, self._room):
            return "", "it is too large"
        name = f"{hashlib.sha256(content).hexdigest()[:24]}.{suffix}"
        if self._folder is not None and not (path := self._folder / name).exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            self._room -= len(content)
        return name, ""
