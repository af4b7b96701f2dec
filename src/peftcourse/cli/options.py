"""What the options of several commands share: their types, and checks of where output goes."""

from __future__ import annotations

import argparse
import contextlib
import math
import tempfile
from pathlib import Path
from typing import NoReturn

from peftlab.errors import PeftlabError

MODEL = "tiny (default), smollm2, a hub id or a folder"
LONGEST = 250  # characters of a message
MOST_SEED = 2**31 - 1


class Parser(argparse.ArgumentParser):
    """An argument parser that reports a mistake in one line, like the rest of the command."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"peftlab: error: {shortened(message)}; see {self.prog} --help\n")


def shortened(sentence: str) -> str:
    """A sentence without its middle if it is long: it begins with what is wrong, and ends with what
    to do about it; what makes it long is a value in between."""
    if len(sentence) <= LONGEST:
        return sentence
    return f"{sentence[: LONGEST // 2]} … {sentence[-LONGEST // 2 :]}"


def _refuse(text: str, wanted: str) -> NoReturn:
    shown = text if len(text) <= 60 else f"{text[:59]}…"
    raise argparse.ArgumentTypeError(f"{shown!r} is not {wanted}")


def given(text: str) -> str:
    """A text with something in it."""
    if not text.strip():
        _refuse(text, "a value; leave the option out instead")
    return text


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or not 1 <= int(text) <= MOST_SEED:
        _refuse(text, "a whole number of at least 1")
    return int(text)


def whole(text: str) -> int:
    """A whole number, 0 included; also a seed."""
    if not text.isdecimal() or int(text) > MOST_SEED:
        _refuse(text, f"a whole number from 0 to {MOST_SEED}")
    return int(text)


def at_least_zero(text: str) -> float:
    """A finite number that is not negative."""
    value = _number(text)
    return value if 0 <= value < math.inf else _refuse(text, "a number of at least 0")


def positive(text: str) -> float:
    """A finite number above 0."""
    value = _number(text)
    return value if 0 < value < math.inf else _refuse(text, "a number above 0")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        _refuse(text, "a number")


def names(text: str) -> list[str]:
    """A list such as voice,slots; a name that stands there twice counts once."""
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        _refuse(text, "a list of names such as voice,slots")
    return list(dict.fromkeys(found))


def seeds(text: str) -> list[int]:
    """A list such as 0,1,2."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) <= MOST_SEED for part in parts):
        _refuse(text, "a list of seeds such as 0,1,2")
    found = [int(part) for part in parts]
    if len(set(found)) < len(found):
        _refuse(text, "a list of different seeds")
    return found


def add_data(command: argparse.ArgumentParser) -> None:
    """The options that say where the user's own examples are."""
    command.add_argument(
        "--data",
        type=given,
        metavar="FILE",
        help="own examples, one JSON object a line: prompt and completion (or answer), messages, "
        "or text",
    )
    command.add_argument(
        "--validation", type=given, metavar="FILE", help="validate with this, not with a share"
    )
    command.add_argument(
        "--test", type=given, metavar="FILE", help="test with this, not with a share"
    )
    command.add_argument(
        "--ignore-fields", type=names, metavar="NAMES", help="fields of no concern: id,source"
    )


def folder_to_write(path: str) -> Path:
    """A folder that can be made, or is there, and can be written to; nothing is left in it.

    Raises:
        PeftlabError: it cannot be written.
    """
    folder = Path(path)
    _try_to_write(folder, folder)
    return folder


def file_to_write(path: str) -> Path:
    """A file that can be made, or written over; nothing is left of the attempt.

    Raises:
        PeftlabError: it cannot be written.
    """
    file = Path(path)
    if file.is_dir():
        raise PeftlabError(f"{file} is a folder, and a file is wanted; choose another name.")
    _try_to_write(file, file.parent)
    return file


def _try_to_write(path: Path, folder: Path) -> None:
    """Make the folder and a file in it, and take both away again: only trying tells for sure."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PeftlabError(
            f"{path} cannot be written ({error.strerror}); choose another place."
        ) from None
    finally:
        for place in missing:  # the innermost first
            with contextlib.suppress(OSError):
                place.rmdir()


def check_device(device: str) -> None:
    """Refuse a device that this machine does not have.

    Raises:
        PeftlabError: there is no such device.
    """
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise PeftlabError(
            f"the device {device!r} cannot be used here; leave --device out, or name another."
        ) from None
