"""Print the lowest versions that pyproject.toml accepts, as pip requirements: one pin a line.

    python tools/lowest.py labs > lowest.txt

takes what the package always needs and what the named extras add. `make test-lowest` installs them
and runs the library's tests there, so that a lower bound is a version that was seen to work.
"""

import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
LOWER_BOUND = re.compile(r"(?P<name>[A-Za-z0-9._-]+)>=(?P<version>[0-9.]+)")


def pins(*extras: str) -> list[str]:
    """``name==version`` for each requirement of the package and of the extras.

    Raises:
        ValueError: an extra does not exist, or a requirement has no lower bound.
    """
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    known = project["optional-dependencies"]
    for extra in extras:
        if extra not in known:
            raise ValueError(f"pyproject.toml has no extra {extra!r}; it has {', '.join(known)}")
    stated = [*project["dependencies"], *(line for extra in extras for line in known[extra])]
    found = []
    for requirement in stated:
        bound = LOWER_BOUND.match(requirement)
        if bound is None:
            raise ValueError(f"{requirement} in pyproject.toml has no lower bound")
        found.append(f"{bound['name']}=={bound['version']}")
    return sorted(found)


if __name__ == "__main__":
    print("\n".join(pins(*sys.argv[1:])))
