"""The command ``peftlab`` (or ``python -m peftcourse.cli``); `parser` lists its subcommands.

Each subcommand is one function that calls the library and prints. A user's mistake is a
``PeftlabError`` there; here it becomes one sentence on stderr and exit code 2, before any long work
starts wherever it can be known by then. The library is imported inside the functions, so that
``peftlab --help`` does not wait for torch.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from peftcourse.cli import advice, course, measuring, training
from peftcourse.cli.options import Parser, shortened
from peftlab import __version__
from peftlab.errors import PeftlabError


def parser() -> argparse.ArgumentParser:
    """The command line and its help."""
    top = Parser(prog="peftlab", description="Parameter-efficient fine-tuning: the course's tools")
    top.add_argument("--version", action="version", version=f"peftlab {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for part in (course, advice, measuring, training):
        part.add(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments; those of the process if left out.

    Returns:
        The exit code: 0, 1 for a check that failed, 2 for bad input.
    """
    arguments = parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (PeftlabError, OSError, ModuleNotFoundError) as error:
        print(f"peftlab: error: {shortened(_sentence(error))}", file=sys.stderr)
        return 2


def _sentence(error: Exception) -> str:
    """What a user can do something about, in one sentence; other errors stay tracebacks."""
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").split(".")[0]
        if package in ("peftlab", "peftcourse"):
            raise error
        return f"the package {package} is not installed; pip install 'peftlab[labs]' adds it."
    if isinstance(error, OSError):  # a full disk, a folder that may not be written
        return f"{error.strerror or error}: {error.filename}."
    return str(error)
