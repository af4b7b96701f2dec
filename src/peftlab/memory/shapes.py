"""The shape of a model of which only the size is known: a well-known one, with scaled depth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from math import log

from peftlab.errors import PeftlabError
from peftlab.memory.architecture import Architecture, read
from peftlab.memory.estimate import estimate
from peftlab.memory.settings import Settings

# One decoder of each size; the 7B, 13B and 33B are the shapes that most published numbers are of.
WELL_KNOWN = (
    "smollm2-135m", "smollm2-360m", "llama-3.2-1b", "smollm2-1.7b", "llama-3.2-3b", "llama-2-7b",
    "llama-3-8b", "llama-2-13b", "llama-33b", "llama-2-70b",
)  # fmt: skip
# Names such as "7B" round: Llama-2-7B has 6.74 billion parameters.
NAMED_SIZE = 0.05


@dataclass(frozen=True)
class Shape:
    """An architecture, how large it is, and what it stands for.

    Attributes:
        architecture: the model, or a well-known one with another number of blocks.
        parameters: how many it has.
        asked: the number of parameters that it stands for; None if the model was named.
    """

    architecture: Architecture
    parameters: int
    asked: int | None = None

    @property
    def name(self) -> str:
        """What the architecture is called."""
        return self.architecture.name


def named(model: str) -> Shape:
    """The shape of a preset, a folder, a ``config.json`` or a model of the hub.

    Raises:
        PeftlabError: there is no such model, or its kind is not known.
    """
    architecture = read(model)
    return Shape(architecture, _count(architecture))


def closest(parameters: float) -> Shape:
    """The well-known decoder closest to a size; with its blocks scaled, if it is not close.

    Args:
        parameters: such as ``7e9``.

    Raises:
        PeftlabError: the size is not one of a language model.
    """
    if not 5e7 <= parameters <= 2e12:
        raise PeftlabError(
            f"a model of {parameters:g} parameters is outside what can be guessed (5e7 to 2e12); "
            "name one with --model."
        )
    shape = min(_well_known(), key=lambda shape: abs(log(shape.parameters / parameters)))
    architecture, size = shape.architecture, shape.parameters
    if abs(size / parameters - 1) > NAMED_SIZE:
        layers = architecture.layers
        block = (size - _count(replace(architecture, layers=1))) / (layers - 1)
        scaled = max(1, round(layers + (parameters - size) / block))
        name = f"{architecture.name} with {scaled} blocks instead of {layers}"
        architecture = replace(architecture, layers=scaled, name=name)
        size = _count(architecture)
    return Shape(architecture, size, round(parameters))


def smaller(shape: Shape) -> list[Shape]:
    """Well-known decoders with fewer parameters, the largest first."""
    return [other for other in reversed(_well_known()) if other.parameters < 0.9 * shape.parameters]


@cache
def _well_known() -> tuple[Shape, ...]:
    return tuple(named(name) for name in WELL_KNOWN)


def _count(architecture: Architecture) -> int:
    return estimate(architecture, Settings()).parameters
