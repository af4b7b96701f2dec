"""The visual language of every figure: colours, type, axes, and the SVG that a page receives.

Figures have no background and take the colour of the text around them, so that one file serves
the light and the dark theme. Colours are those of Okabe and Ito (2008), which readers with any
common colour blindness can tell apart; lines differ by more than colour where there is room.
"""

from __future__ import annotations

import hashlib
import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peftlab.errors import PeftlabError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure as Canvas

# Drawn in this colour, shown in the page's text colour.
INK = "#010203"
# Width in pixels of the book's text column.
COLUMN = 640

BLUE, VERMILLION = "#0072b2", "#d55e00"  # the two ends of signed scales
# In the order in which a figure uses them. These stand out from both backgrounds.
PALETTE = ("#1f86c7", "#e07b1f", "#0f9f76", "#b86fc6", "#b59a00", "#56b4e9")
LINES = ("-", "--", "-.", ":")

_SETTINGS = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 11,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 11,
    "grid.alpha": 0.15,
    "grid.color": INK,
    "grid.linewidth": 0.8,
    "image.composite_image": False,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "savefig.facecolor": "none",
    "svg.fonttype": "path",  # glyphs as shapes: every reader sees the same letters
    "svg.hashsalt": "peftlab",  # the same data gives the same bytes
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": 10,
    "ytick.color": INK,
    "ytick.labelsize": 10,
}


@dataclass(frozen=True)
class Figure:
    """A drawing with the words that make it usable: shown in notebooks and in the book.

    Args:
        svg: The drawing, one ``<svg>`` element.
        alt: What it shows, for a reader who cannot see it: kind of plot, axes, main numbers.
        caption: Its finding in one or two sentences.

    Raises:
        PeftlabError: The alternative text or the caption is missing, or there is no drawing.
    """

    svg: str
    alt: str
    caption: str

    def __post_init__(self) -> None:
        if "<svg" not in self.svg:
            raise PeftlabError("this figure has no drawing; pass one <svg> element as svg=…")
        for name in ("alt", "caption"):
            if not getattr(self, name).strip():
                raise PeftlabError(f"this figure has no {name}; say what it shows as {name}=…")

    def _repr_html_(self) -> str:
        return (
            '<figure class="pl-figure">'
            f'<div class="pl-drawing" role="img" aria-label="{html.escape(self.alt)}">'
            f"{self.svg}</div>"
            f"<figcaption>{html.escape(self.caption)}</figcaption></figure>"
        )

    def __repr__(self) -> str:
        return f"Figure: {self.alt}"


@contextmanager
def drawing(
    rows: int = 1, columns: int = 1, *, width: float = 6.4, height: float = 3.4, **layout: Any
) -> Iterator[tuple[Canvas, Any]]:
    """Open a canvas in the course's style.

    Args:
        rows: Rows of axes.
        columns: Columns of axes.
        width: Inches; 6.4 fills the book's text column.
        height: Inches.
        **layout: Passed to matplotlib's ``Figure.subplots``.

    Yields:
        The canvas and its axes: one ``Axes``, or an array of them. Call `finish` inside.
    """
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_SETTINGS}):
        canvas = Canvas(figsize=(width, height), layout="constrained")
        axes = canvas.subplots(rows, columns, **layout) if rows and columns else None
        yield canvas, axes


def finish(canvas: Canvas, *, alt: str, caption: str) -> Figure:
    """Turn a canvas into a `Figure`.

    Args:
        canvas: From `drawing`, still open.
        alt: Alternative text.
        caption: The finding.

    Raises:
        PeftlabError: As `Figure`.
    """
    buffer = io.StringIO()
    # No date: two builds must not differ.
    canvas.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return Figure(inline_svg(buffer.getvalue()), alt, caption)


def inline_svg(document: str) -> str:
    """Make matplotlib's SVG document safe to put into a page beside others.

    Args:
        document: A whole SVG file drawn with `INK` for text and axes.

    Returns:
        One ``<svg>`` element that scales with its column, has ids of its own, brings no style
        sheet for the page, and takes its text colour from the page.
    """
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    # matplotlib styles `*`: inside a page that would mean every element of the page.
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = svg.replace(INK, "currentColor")

    prefix = "f" + hashlib.sha256(svg.encode()).hexdigest()[:8] + "-"
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}", svg)

    view_box = re.search(r'viewBox="([^"]+)"', svg)
    # A point is 4/3 of a pixel.
    pixels = 4 / 3 * (float(view_box[1].split()[2]) if view_box else 460.0)
    # On a phone a figure shrinks to the screen, unless it is so wide that its letters would be too
    # small to read; then its box scrolls.
    smallest = 0.7 * pixels if pixels > COLUMN else 0
    root = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{view_box[1] if view_box else ""}" aria-hidden="true" focusable="false" '
        f'style="width:100%;min-width:{smallest:.0f}px;max-width:{pixels:.0f}px;height:auto;'
        'stroke-linejoin:round;stroke-linecap:butt">'
    )
    svg = re.sub(r"<svg[^>]*>", root, svg, count=1)
    return re.sub(r"\n\s*", "\n", svg).strip()


def diverging() -> Colormap:
    """A colour scale for signed values: blue below zero, pale at zero, orange above."""
    from matplotlib.colors import LinearSegmentedColormap

    stops = ["#08306b", BLUE, "#9ecae1", "#f4f4f2", "#fdbe85", VERMILLION, "#7f2704"]
    return LinearSegmentedColormap.from_list("peftlab-diverging", stops)


def sequence(count: int) -> list[tuple[float, float, float, float]]:
    """Colours for `count` ordered series, such as layers by depth; readable on both themes."""
    from matplotlib import colormaps

    # viridis without its darkest and lightest ends, which vanish on one of the backgrounds.
    positions = [0.25 + 0.6 * index / max(1, count - 1) for index in range(count)]
    return [colormaps["viridis"](position) for position in positions]


def bare(axes: Axes) -> None:
    """Remove ticks, grid and frame, as around a picture of a matrix."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
