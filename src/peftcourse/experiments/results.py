"""Measured results as JSON files: what was measured, how, on what, and the numbers.

The book draws every recorded number from such a file, so a file has to say enough to measure it
again: the command, the hardware, the versions, the seeds.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch

from peftlab.errors import PeftlabError

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes")


def hardware() -> str:
    """The GPUs that torch sees, or else the processor and how many cores may be used."""
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return ", ".join(names)
    return f"{platform.machine()} CPU, {usable_cores()} cores"


def usable_cores() -> int:
    """CPU cores this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what is measured."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            # A local version such as "+cu130" is part of the answer: it says which build ran.
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str:
    """The commit that was measured; "" outside a repository, "…-dirty" with local changes."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def write(
    file: str | Path, *, what: str, command: str, seeds: Sequence[int], numbers: dict[str, Any]
) -> Path:
    """Write a result with its circumstances.

    Args:
        file: where to, usually ``results/NAME.json``.
        what: one sentence on what was measured, with units.
        command: the command that measures it again.
        seeds: every random seed used.
        numbers: the measurements.
    """
    record = {
        "what": what,
        "command": command,
        "date": date.today().isoformat(),
        "commit": _commit(),
        "hardware": hardware(),
        "versions": versions(),
        "seeds": list(seeds),
        "numbers": numbers,
    }
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return file


def read(file: str | Path) -> dict[str, Any]:
    """Read a recorded result.

    Raises:
        PeftlabError: the file is missing or damaged.
    """
    try:
        return json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PeftlabError(f"cannot read the result {file}: {error}; measure it again.") from None


def recorded(name: str) -> dict[str, Any]:
    """The result ``results/NAME.json`` of the clone that this is run in, or is installed from.

    Raises:
        PeftlabError: there is none; recorded results are part of the repository, not of the
            installed package.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, *Path(__file__).parents):
        file = folder / "results" / f"{name}.json"
        if file.exists():
            return read(file)
    raise PeftlabError(
        f"there is no results/{name}.json above {here}; run this inside a clone of the repository."
    )
