"""What of the installed packages is shown inside the sandbox."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
from pathlib import Path

from peftlab.errors import PeftlabError


class SandboxError(PeftlabError):
    """The sandbox could not be started."""


def input_transformer() -> Path:
    """The folder of IPython, of which the sandbox imports what reads magics and prompts.

    Raises:
        SandboxError: it is not installed.
    """
    found = importlib.util.find_spec("IPython")
    if found is None:
        raise SandboxError("IPython, which reads cells, is not installed; pip install ipython.")
    return Path(found.origin).parent.resolve()


@functools.cache
def visible_paths(packages: tuple[str, ...]) -> tuple[Path, ...]:
    """The files and folders of installed distributions and of all that they require.

    Args:
        packages: distribution names.

    Raises:
        SandboxError: one of these is not installed.
    """
    from packaging.requirements import Requirement

    waiting, paths = list(packages), {}
    while waiting:
        name = waiting.pop()
        if name in paths:
            continue
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            if name in packages:
                raise SandboxError(
                    f"answers may import {name}, which is not installed; pip install {name}."
                ) from None
            paths[name] = ()  # a requirement that nothing here needs
            continue
        tops = {Path(file.parts[0]) for file in found.files or () if file.parts[0] != ".."}
        paths[name] = tuple(
            Path(found.locate_file(top)).resolve()
            for top in sorted(tops)
            if top.suffix not in (".dist-info", ".pth") and top.name != "__pycache__"
        )
        requirements = map(Requirement, found.requires or ())
        waiting += [
            requirement.name
            for requirement in requirements
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ]
    # Parts of one package may come from several distributions, as nvidia/ does.
    unique = {path: None for found in paths.values() for path in found if path.exists()}
    return tuple(unique)
