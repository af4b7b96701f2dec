"""What the options of several commands share: their types, and checks of where output goes."""

from __future__ import annotations

import argparse
import math
import os
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
    """A folder that can be made, or is there; nothing is made yet.

    Raises:
        PeftlabError: it cannot be written.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise PeftlabError(f"{folder} is a file, and a folder is wanted; choose another name.")
    _check_writable(folder)
    return folder


def file_to_write(path: str) -> Path:
    """A file that can be made, or written over; nothing is made yet.

    Raises:
        PeftlabError: it cannot be written.
    """
    file = Path(path)
    if file.is_dir():
        raise PeftlabError(f"{file} is a folder, and a file is wanted; choose another name.")
    _check_writable(file)
    return file


def _check_writable(path: Path) -> None:
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if there != path and not there.is_dir():
        raise PeftlabError(
            f"{path} cannot be made, because {there} is a file; choose another name."
        )
    if not os.access(there, os.W_OK):
        raise PeftlabError(f"{there} may not be written; choose another place for {path.name}.")


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
