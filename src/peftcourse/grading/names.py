"""Names for submissions: readable, unique, and safe as file names wherever they are unpacked."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

MAX_LENGTH = 100  # characters
MAX_BYTES = 200  # of UTF-8; a file name may have 255 with its extension
MAX_READ = 1000  # characters of a label
_KEPT = " ._-@+"
# What Windows takes for a device, whatever extension follows.
_RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE)


def unique(labels: Sequence[tuple[str, str]]) -> list[str]:
    """A name for each submission, from its label and from where it lies.

    A name follows from the label alone unless two would be equal to a file system that ignores
    case. Then each of these gets a mark that follows from its place, so that no submission ever
    inherits the name of another.

    Args:
        labels: for each submission, what it is called, and its place in the class.
    """
    seen: Counter[tuple[str, str]] = Counter()
    places = []
    for label, place in labels:  # a zip may hold two files in one place
        seen[label, place] += 1
        places.append(f"{place}\n{label}\n{seen[label, place]}")
    names = [safe(label) for label, _ in labels]
    digits = 6
    while clashing := _clashing(names):
        for i in clashing:
            mark = hashlib.sha256(places[i].encode("utf-8", "surrogatepass")).hexdigest()[:digits]
            names[i] = f"{_cut(safe(labels[i][0]), digits + 1)}-{mark}"
        digits += 2
    return names


def safe(label: str) -> str:
    """A label as a file name for Linux, macOS and Windows, with letters of all scripts kept."""
    # Sorting the marks on one letter takes the square of their number: not all of a name is read.
    head = label[:MAX_READ]
    name = "".join(map(_replace, unicodedata.normalize("NFC", head)))
    name = re.sub(r"\s+", " ", name)
    # A leading dot hides, a leading hyphen is an option, a leading sign is a formula in a table.
    name = name.lstrip(_KEPT).rstrip(" .")
    if _RESERVED.match(name):
        name = f"_{name}"
    if name != (short := _cut(name, 0)) or head != label:
        whole = name if head == label else label
        mark = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        name = f"{_cut(short, 9)}-{mark}"
    return name or "submission"


def _replace(char: str) -> str:
    category = unicodedata.category(char)
    if category[0] in "LNM" or char in _KEPT:
        return char
    if category == "Zs":
        return " "
    return "" if category == "Cf" else "_"  # joiners and marks of direction cannot be seen


def _cut(name: str, room: int) -> str:
    """The name without its end, if that is needed to leave room for so many characters more."""
    name = name[: MAX_LENGTH - room]
    name = name.encode()[: MAX_BYTES - room].decode("utf-8", "ignore")
    return name.rstrip(" .")


def _clashing(names: list[str]) -> list[int]:
    folded = [unicodedata.normalize("NFKC", name).casefold() for name in names]
    count = Counter(folded)
    return [i for i, name in enumerate(folded) if count[name] > 1]
