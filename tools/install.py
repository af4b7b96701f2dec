"""Install requirements.txt into the environment of this Python, and say how far pip is.

    .venv/bin/python tools/install.py

Runs before anything is installed, so it needs nothing but Python. pip's warnings are shown as they
come; of the rest it is told how many packages are found and how many are in place, and all that pip
said if it fails.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable
from pathlib import Path

REQUIREMENTS = Path("requirements.txt")
LINE_EVERY = 20.0  # seconds between two lines of a log
CLEAR_LINE = "\r\x1b[K"


def pins(text: str) -> set[str]:
    """The packages that a file of pins names, each on a line of its own."""
    return {plain(name) for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}


def plain(name: str) -> str:
    """A package's name in the one spelling that counts: Sphinx_Design is sphinx-design."""
    return re.sub(r"[-_.]+", "-", name).lower()


def found(line: str) -> str | None:
    """The package that a line of pip's says it has found, or None."""
    if match := re.match(r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)", line):
        return plain(match[1])
    if match := re.match(r"Processing (?:\S*/)?(\w[\w.]*)-\S+\.(?:whl|tar\.gz)", line):  # a file
        return plain(match[1])
    return None


class Watch(threading.Thread):
    """Reads what pip says, and notes the packages that it has found."""

    def __init__(self, lines: Iterable[str]) -> None:
        super().__init__(daemon=True)
        self.lines = lines
        self.said: list[str] = []
        self.found: set[str] = set()

    def run(self) -> None:
        for line in self.lines:
            self.said.append(line)
            if name := found(line):
                self.found.add(name)


def installed() -> int:
    """How many packages are in place."""
    return sum(1 for _ in Path(sysconfig.get_path("purelib")).glob("*.dist-info"))


def main() -> int:
    wanted = pins(REQUIREMENTS.read_text(encoding="utf-8"))
    before = installed()
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["--progress-bar", "off", "-r", str(REQUIREMENTS)]
    pip = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace")
    watch = Watch(pip.stdout)
    watch.start()
    live = sys.stdout.isatty()
    start = said = time.monotonic()
    while pip.poll() is None:
        time.sleep(0.2)
        now = time.monotonic()
        in_place = installed() - before
        done, count = (
            ("put in place", in_place) if in_place else ("found", len(watch.found & wanted))
        )
        state = f"   {count} of {len(wanted)} packages {done}, {now - start:.0f} s"
        if live:
            print(f"{CLEAR_LINE}{state}", end="", flush=True)
        elif now - said > LINE_EVERY:
            said = now
            print(state, flush=True)
    watch.join()
    if live:
        print(CLEAR_LINE, end="", flush=True)
    if pip.returncode != 0:
        print("".join(watch.said), end="", file=sys.stderr)
    return pip.returncode


if __name__ == "__main__":
    sys.exit(main())
