"""Every plot that the book shows, one function each, in one visual language.

Each function computes what it says from the data that it is given, and returns a
`peftcourse.figures.style.Figure`: an SVG with its alternative text and a caption that states its
finding. matplotlib is imported when a figure is drawn, not before.
"""

from peftcourse.figures import (
    adapters,
    choose,
    dora,
    evaluate,
    library,
    lora,
    memory,
    myths,
    practice,
    prompts,
    quantization,
    rank,
    start,
)
from peftcourse.figures.style import Figure

__all__ = [
    "Figure",
    "adapters",
    "choose",
    "dora",
    "evaluate",
    "library",
    "lora",
    "memory",
    "myths",
    "practice",
    "prompts",
    "quantization",
    "rank",
    "start",
]
