"""Figures of lesson 05: magnitude and direction, how training changes them, and what DoRA costs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from peftcourse.experiments.decomposition import Change, correlation
from peftcourse.figures.style import INK, PALETTE, Figure, drawing, finish, sequence
from peftlab.errors import PeftlabError

MARKERS = ("o", "s", "^", "D")
METHODS = {"full fine-tuning": PALETTE[0], "LoRA": PALETTE[1], "DoRA": PALETTE[2]}


def row(before: Tensor, updated: Tensor, magnitude: float) -> Figure:
    """One row of a weight in its own plane: as it was, with the update, and as DoRA uses it.

    Args:
        before: (d_in,) the row w of the pretrained weight.
        updated: (d_in,) the row v = w + s b A.
        magnitude: m, the length that DoRA gives it.
    """
    length, longer = before.norm().item(), updated.norm().item()
    cosine = (before @ updated / (length * longer)).clamp(-1, 1).item()
    angle = math.acos(cosine)
    vectors = {
        "w, pretrained": (0.0, length),
        "v = w + s·b·A": (angle, longer),
        "m · v/‖v‖, DoRA": (angle, magnitude),
    }
    with drawing(height=3.2) as (canvas, axes):
        tip = 0.0
        for index, (name, (turn, size)) in enumerate(vectors.items()):
            end = size * math.cos(turn), size * math.sin(turn)
            tip = max(tip, end[1])
            axes.annotate(
                "", end, (0, 0),
                arrowprops={
                    "arrowstyle": "-|>", "color": PALETTE[index], "shrinkA": 0, "shrinkB": 0,
                    "linewidth": 4.5 - 1.3 * index, "linestyle": ("-", "-", "--")[index],
                },
            )  # fmt: skip
            axes.plot([], [], color=PALETTE[index], label=f"{name}: length {size:.3f}")
        arc = [angle * part / 40 for part in range(41)]
        radius = 0.35 * length
        axes.plot(
            [radius * math.cos(a) for a in arc], [radius * math.sin(a) for a in arc],
            color=INK, linewidth=1,
        )  # fmt: skip
        degrees = math.degrees(angle)
        axes.text(
            1.08 * radius * math.cos(angle / 2), 1.08 * radius * math.sin(angle / 2),
            f"{degrees:.1f}°", va="center",
        )  # fmt: skip
        widest = max(size for _, size in vectors.values())
        axes.set_xlim(-0.03 * widest, 1.08 * widest)
        axes.set_ylim(-0.08 * widest, max(1.25 * tip, 0.3 * widest))
        axes.set_aspect("equal")
        axes.set_xlabel("along the pretrained row")
        axes.set_ylabel("across it")
        canvas.legend(loc="outside upper center", ncols=2)
        found = (
            f"The update turns this row by {degrees:.1f}° and would change its length from "
            f"{length:.3f} to {longer:.3f}; DoRA keeps the turn and sets the length to "
            f"{magnitude:.3f}, {100 * abs(magnitude / length - 1):.1f} % "
            f"{'more' if magnitude > length else 'less'} than before"
        )
        return finish(
            canvas,
            alt=f"Three arrows in the plane of a row before and after its update. {found}.",
            caption=f"{found}.",
        )


def updates(changes: Mapping[str, Sequence[Change]], weight: str) -> Figure:
    """ΔM against ΔD, a panel for each method, a colour for each layer, a marker for each step.

    Args:
        changes: by method; each method at the same layers and at most four steps.
        weight: which weight of a layer they are of, in words.

    Raises:
        PeftlabError: there is no method, or one has more steps than there are markers.
    """
    if not changes:
        raise PeftlabError("there is nothing to draw; give the changes of at least one method.")
    with drawing(1, len(changes), width=7.4, height=3.5, squeeze=False) as (canvas, grid):
        found = []
        for axes, (method, points) in zip(grid[0], changes.items(), strict=True):
            layers = sorted({point.layer for point in points})
            steps = sorted({point.step for point in points})
            if len(steps) > len(MARKERS):
                raise PeftlabError(f"{len(steps)} steps, but only {len(MARKERS)} markers.")
            colors = dict(zip(layers, sequence(len(layers)), strict=True))
            for step, marker in zip(steps, MARKERS, strict=False):
                here = [point for point in points if point.step == step]
                axes.scatter(
                    [point.direction for point in here], [point.magnitude for point in here],
                    c=[colors[point.layer] for point in here], marker=marker, s=28,
                )  # fmt: skip
                if axes is grid[0][0]:
                    axes.plot([], [], color=INK, marker=marker, linestyle="", label=f"step {step}")
            direction = torch.tensor([point.direction for point in points])
            magnitude = torch.tensor([point.magnitude for point in points])
            r, low, high = correlation(direction, magnitude)
            axes.set_title(f"{method}\nr = {r:+.2f}")
            axes.locator_params(nbins=4)
            for axis in (axes.xaxis, axes.yaxis):  # no "1e-3" at the end of an axis
                axis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.tick_params(axis="x", rotation=30)
            axes.set_xlabel("ΔD = mean of 1 - cos")
            found.append(
                f"{method} r = {r:+.2f} ({low:+.2f} to {high:+.2f}), mean ΔD of the last step "
                f"{statistics.fmean(p.direction for p in points if p.step == steps[-1]):.2g}"
            )
        grid[0][0].set_ylabel("ΔM = mean change of length")
        canvas.legend(loc="outside upper center", ncols=4)
        spoken = "; ".join(found)
        return finish(
            canvas,
            alt=f"Scatter plots of magnitude change over direction change of the {weight} of each "
            f"layer, with axes of their own: {spoken}.",
            caption=f"The {weight}, from the first layer (dark) to the last (light). Correlation "
            f"with Fisher's 95 % interval: {spoken}. The axes differ from panel to panel.",
        )


def correlations(
    rows: Mapping[str, Mapping[str, Sequence[float]]], published: Mapping[str, float]
) -> Figure:
    """Correlations of ΔM and ΔD by method, for several choices of what is correlated.

    Args:
        rows: the choice in words → method → one correlation for each seed.
        published: method → the paper's correlation, drawn as a line.

    Raises:
        PeftlabError: there is no choice, or a method has no colour.
    """
    unknown = {name for methods in rows.values() for name in methods} - set(METHODS)
    if unknown or not rows:
        raise PeftlabError(f"methods are {', '.join(METHODS)}, not {sorted(unknown) or 'none'}.")
    with drawing(height=1.4 + 0.55 * len(rows)) as (canvas, axes):
        said = []
        means: dict[str, list[float]] = {}
        for place, (choice, methods) in enumerate(rows.items()):
            words = []
            for index, (method, values) in enumerate(methods.items()):
                y = place + 0.22 * (index - 1)
                mean = statistics.fmean(values)
                axes.plot([min(values), max(values)], [y, y], color=METHODS[method], linewidth=2)
                axes.plot(mean, y, marker=MARKERS[index], color=METHODS[method], markersize=7)
                means.setdefault(method, []).append(mean)
                words.append(f"{method} {mean:+.2f} ({min(values):+.2f} to {max(values):+.2f})")
            said.append(f"{choice}: {', '.join(words)}")
        for index, (method, color) in enumerate(METHODS.items()):
            axes.plot([], [], color=color, marker=MARKERS[index], label=method)
            if method in published:
                axes.axvline(published[method], color=color, linestyle=":", linewidth=1.5)
        axes.plot([], [], color=INK, linestyle=":", linewidth=1.5, label="paper")
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_xlim(-1.02, 1.02)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.grid(False, axis="y")
        axes.set_xlabel("correlation of ΔM and ΔD")
        canvas.legend(loc="outside upper center", ncols=4)
        paper = ", ".join(f"{method} {value:+.2f}" for method, value in published.items())
        first = said[0]
        mixed = [name for name, values in means.items() if min(values) < 0 < max(values)]
        return finish(
            canvas,
            alt="Dot plot of correlations, each with the range of its seeds. "
            + "; ".join(said)
            + f". Dotted lines, the paper's: {paper}.",
            caption=f"{first[0].upper()}{first[1:]} (mean of the seeds, smallest to largest). "
            f"The paper reports {paper}. Between the rows the sign changes for "
            f"{' and '.join(mixed) or 'no method'}.",
        )


def step_cost(ratios: Mapping[str, Sequence[float]], baseline_ms: float, hardware: str) -> Figure:
    """Time of a training step against LoRA's.

    Args:
        ratios: by implementation, the time of a step over LoRA's in the same round.
        baseline_ms: LoRA's median step, in milliseconds.
        hardware: what it was measured on.

    Raises:
        PeftlabError: there is nothing to draw.
    """
    if not ratios:
        raise PeftlabError("there are no ratios to draw; give at least one implementation.")
    medians = {name: statistics.median(values) for name, values in ratios.items()}
    with drawing(height=1.2 + 0.45 * len(ratios)) as (canvas, axes):
        for place, (name, values) in enumerate(ratios.items()):
            axes.barh(place, medians[name], height=0.6, color=PALETTE[place], alpha=0.75)
            axes.plot(values, [place] * len(values), "|", color=INK, markersize=9)
            axes.text(
                1.01, place, f"{medians[name]:.2f}×", va="center",
                transform=axes.get_yaxis_transform(),
            )  # fmt: skip
        axes.axvline(1, color=INK, linewidth=1)
        axes.set_yticks(range(len(ratios)), list(ratios))
        axes.invert_yaxis()
        axes.set_xlim(0, 1.05 * max(max(values) for values in ratios.values()))
        axes.grid(False, axis="y")
        axes.set_xlabel(f"time of a step / LoRA's ({baseline_ms:.0f} ms)")
        said = ", ".join(f"{name} {value:.2f}" for name, value in medians.items())
        return finish(
            canvas,
            alt=f"Bars of the time of a training step over LoRA's, medians: {said}.",
            caption=f"Time of a step over that of LoRA in the same round, medians: {said}. "
            f"Each tick is one round. Measured on {hardware}.",
        )
