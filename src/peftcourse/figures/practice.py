"""Figures of lesson 04: what rank, targets, factor, rates, start and data size do."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from peftcourse.figures.style import INK, LINES, PALETTE, Figure, drawing, finish
from peftlab.errors import PeftlabError

MARKERS = ("o", "s", "^", "D", "v", "P")
Run = Mapping[str, Any]
Point = tuple[float, float, float]  # x, mean, standard error

MODULES = ("q", "k", "v", "o", "gate", "up", "down")


def where(runs: Iterable[Run], **values: Any) -> list[Run]:
    """The runs that have these values."""
    return [run for run in runs if all(run[key] == value for key, value in values.items())]


def summary(runs: Sequence[Run], key: str = "loss") -> tuple[float, float]:
    """Mean of the runs and its standard error; infinite if one of them diverged.

    Raises:
        PeftlabError: there are fewer than two runs.
    """
    if len(runs) < 2:
        raise PeftlabError(f"a standard error needs two runs at least, not {len(runs)}.")
    values = [math.inf if run[key] is None else run[key] for run in runs]
    if math.inf in values:
        return math.inf, math.nan
    return statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))


def points(runs: Sequence[Run], x: str, key: str = "loss") -> list[Point]:
    """One point for each value of ``x``: it, the mean, the standard error."""
    return [
        (value, *summary(where(runs, **{x: value}), key)) for value in sorted({r[x] for r in runs})
    ]


def best_rates(runs: Sequence[Run]) -> dict[int, tuple[float, float]]:
    """Rank → the rate with the lowest mean loss, and that loss."""
    return {
        rank: min(
            ((p[0], p[1]) for p in points(where(runs, rank=rank), "rate")), key=lambda p: p[1]
        )
        for rank in sorted({run["rank"] for run in runs})
    }


def lines(
    panels: Mapping[str, Mapping[str, Sequence[Point]]],
    *,
    x: str,
    y: str,
    levels: Mapping[str, tuple[str, float]] | None = None,
    free: bool = True,
) -> Figure:
    """Mean and standard error of some series over a quantity, a panel for each group.

    Args:
        panels: title → series → its points.
        x: label of the horizontal axes.
        y: label of the vertical axes; a panel of its own quantity names it in its title.
        levels: title → name and height of a dotted line.
        free: whether each panel has a vertical axis of its own.

    Raises:
        PeftlabError: there are no panels.
    """
    if not panels:
        raise PeftlabError("there is nothing to draw; give the points of at least one panel.")
    spoken, found = [], []
    with drawing(
        1, len(panels), width=2.6 * len(panels) + 0.4, height=3.3, sharey=not free, squeeze=False
    ) as (canvas, axes):
        for panel, (title, series) in zip(axes[0], panels.items(), strict=True):
            told: list[str] = []
            for index, (name, line) in enumerate(series.items()):
                finite = [point for point in line if math.isfinite(point[1])]
                panel.errorbar(
                    [p[0] for p in finite], [p[1] for p in finite], yerr=[p[2] for p in finite],
                    color=PALETTE[index], marker=MARKERS[index], markersize=5,
                    linestyle=LINES[index % len(LINES)], capsize=3, label=name,
                )  # fmt: skip
                values = ", ".join(f"{p[0]:g}: {p[1]:.2f} ± {p[2]:.2f}" for p in finite)
                spoken.append(f"{title}, {name}: {values}")
                low = min(finite, key=lambda p: p[1])
                told.append(
                    f"{name} {finite[0][1]:.2f} → {finite[-1][1]:.2f}"
                    + (f", lowest {low[1]:.2f} at {low[0]:g}" if low is not finite[-1] else "")
                    + "".join(f" (a run diverged at {p[0]:g})" for p in line if p not in finite)
                )
            ticks = sorted({point[0] for line in series.values() for point in line})
            if len(ticks) <= 8:  # a choice of values; more of them are a course over time
                panel.set_xscale("log")
                shown = ticks[:: 1 + len(ticks) // 6]
                panel.set_xticks(shown, [f"{tick:g}" for tick in shown])
                panel.set_xticks([], minor=True)
            if levels and title in levels:
                name, height = levels[title]
                panel.axhline(height, color=INK, linestyle=":", linewidth=1.2, label=name)
                told.append(f"{name} {height:.2f}")
            found.append(f"{title}, {x} {ticks[0]:g} to {ticks[-1]:g}: {'; '.join(told)}")
            panel.set_title(title)
            panel.set_xlabel(x)
            if len(series) > 1 or levels:
                panel.legend(fontsize=9)
        axes[0][0].set_ylabel(y)
        return finish(
            canvas,
            alt=f"Line plots of {y} over {x}, one for each of {', '.join(panels)}, with error "
            f"bars. {'; '.join(spoken)}.",
            caption=f"{'. '.join(found)}. Bars: one standard error over the seeds.",
        )


def heat_map(runs: Sequence[Run], title: str) -> Figure:
    """Mean loss for each rank and learning rate; the best rate of each rank has a frame.

    Args:
        runs: records with ``rank``, ``rate`` and ``loss``, two seeds of each cell at least.
        title: what was trained.
    """
    ranks = sorted({run["rank"] for run in runs})
    rates = sorted({run["rate"] for run in runs})
    table = [[summary(where(runs, rank=rank, rate=rate))[0] for rate in rates] for rank in ranks]
    best = best_rates(runs)
    finite = [value for row in table for value in row if math.isfinite(value)]
    low, high = min(finite), max(finite)
    # Losses far above the best are all alike to the reader: the scale ends at the median.
    top = max(statistics.median(finite), low * 1.01)
    with drawing(width=6.4, height=3.6) as (canvas, axes):
        axes.imshow(
            [[min(value, top) for value in row] for row in table],
            cmap="viridis", vmin=low, vmax=top, aspect="auto", interpolation="none",
        )  # fmt: skip
        for row, rank in enumerate(ranks):
            for column, rate in enumerate(rates):
                value = table[row][column]
                light = min(value, top) > (low + top) / 2
                chosen = best[rank][0] == rate
                axes.text(
                    column, row, f"{value:.2f}" if math.isfinite(value) else "∞",
                    ha="center", va="center", fontsize=9,
                    color="#111111" if light else "#f5f5f5", weight="bold" if chosen else "normal",
                )  # fmt: skip
                if chosen:
                    axes.add_patch(_frame(column, row))
        axes.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
        axes.set_yticks(range(len(ranks)), [str(rank) for rank in ranks])
        axes.set_xlabel("learning rate")
        axes.set_ylabel("rank")
        axes.set_title(title)
        axes.grid(False)
        chosen_text = ", ".join(f"r = {rank}: {rate:g}" for rank, (rate, _) in best.items())
        spoken = "; ".join(
            f"rank {rank}: " + ", ".join(f"{value:.2f}" for value in row)
            for rank, row in zip(ranks, table, strict=True)
        )
        return finish(
            canvas,
            alt=f"Heat map of the validation loss of {title}, {len(ranks)} ranks by {len(rates)} "
            f"learning rates from {rates[0]:g} to {rates[-1]:g}. {spoken}.",
            caption=f"{title}: losses from {low:.2f} to {high:.2f}. The best rate of each rank has "
            f"a frame: {chosen_text}.",
        )


def _frame(column: int, row: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.46, row - 0.44), 0.92, 0.88, fill=False, ec="#d55e00", lw=2.5)


def choices(panels: Mapping[str, Mapping[str, tuple[float, float]]], y: str) -> Figure:
    """Mean and standard error of some choices without an order, a panel for each task.

    Args:
        panels: task → choice → mean and standard error.
        y: what is measured.

    Raises:
        PeftlabError: there are no panels.
    """
    if not panels:
        raise PeftlabError("there is nothing to draw; give at least one panel.")
    found, spoken = [], []
    with drawing(
        1, len(panels), width=2.4 * len(panels) + 1.2, height=3.0, sharey=True, squeeze=False
    ) as (canvas, axes):
        for panel, (title, values) in zip(axes[0], panels.items(), strict=True):
            for index, (mean, error) in enumerate(values.values()):
                panel.errorbar(
                    mean, index, xerr=error, color=PALETTE[index % len(PALETTE)],
                    marker=MARKERS[index % len(MARKERS)], markersize=7, capsize=4,
                )  # fmt: skip
            panel.set_yticks(range(len(values)), list(values))
            panel.set_ylim(len(values) - 0.5, -0.5)
            panel.set_title(title)
            panel.set_xlabel(y, fontsize=9)
            order = sorted(values, key=lambda name: values[name][0])
            found.append(
                f"{title}: {order[0]} is lowest ({values[order[0]][0]:.3f}), {order[-1]} highest "
                f"({values[order[-1]][0]:.3f})"
            )
            spoken.append(
                f"{title}: " + ", ".join(f"{n} {m:.3f} ± {e:.3f}" for n, (m, e) in values.items())
            )
        return finish(
            canvas,
            alt=f"Dot plots of the {y} with error bars. {'; '.join(spoken)}.",
            caption=f"{'. '.join(found)}. Means over the seeds, bars one standard error.",
        )


def final_ranks(tables: Mapping[str, Sequence[Mapping[str, int]]]) -> Figure:
    """Ranks that AdaLoRA left, by layer and kind of module, mean over the seeds.

    Args:
        tables: task → for each seed, layer's path → rank.

    Raises:
        PeftlabError: there are no tables.
    """
    if not tables:
        raise PeftlabError("there is nothing to draw; give the ranks of at least one task.")
    found, spoken = [], []
    with drawing(
        1, len(tables), width=2.6 * len(tables) + 0.6, height=3.4, sharey=True, squeeze=False
    ) as (canvas, axes):
        for panel, (task, seeds) in zip(axes[0], tables.items(), strict=True):
            grid = mean_ranks(seeds)
            panel.imshow(grid, cmap="viridis", vmin=0, aspect="auto", interpolation="none")
            top = max(map(max, grid))
            for layer, row in enumerate(grid):
                for column, value in enumerate(row):
                    panel.text(
                        column, layer, f"{value:.0f}", ha="center", va="center", fontsize=8,
                        color="#111111" if value > top / 2 else "#f5f5f5",
                    )  # fmt: skip
            panel.set_xticks(range(len(MODULES)), MODULES, fontsize=9)
            panel.set_yticks(range(len(grid)))
            panel.set_title(task)
            panel.grid(False)
            means = {
                name: statistics.fmean(row[column] for row in grid)
                for column, name in enumerate(MODULES)
            }
            most, least = max(means, key=means.get), min(means, key=means.get)
            found.append(
                f"{task}: most rank goes to {most} ({means[most]:.1f} on average), least to "
                f"{least} ({means[least]:.1f})"
            )
            spoken.append(f"{task}: " + ", ".join(f"{n} {m:.1f}" for n, m in means.items()))
        axes[0][0].set_ylabel("layer")
        return finish(
            canvas,
            alt="Heat maps of AdaLoRA's final ranks, layers by kinds of module. Mean over the "
            f"layers: {'; '.join(spoken)}.",
            caption=f"{'. '.join(found)}. Means over {len(next(iter(tables.values())))} seeds.",
        )


def mean_ranks(seeds: Sequence[Mapping[str, int]]) -> list[list[float]]:
    """Mean over the seeds of the rank, a row for each layer and a column for each of `MODULES`."""
    cells: dict[tuple[int, str], list[int]] = {}
    for ranks in seeds:
        for path, rank in ranks.items():
            parts = path.split(".")
            layer = next(int(part) for part in parts if part.isdigit())
            cells.setdefault((layer, parts[-1].removesuffix("_proj")), []).append(rank)
    layers = 1 + max(layer for layer, _ in cells)
    return [[statistics.fmean(cells[layer, name]) for name in MODULES] for layer in range(layers)]


def drift(errors: Mapping[str, Sequence[float]]) -> Figure:
    """How far a frozen network's outputs move while only its head trains.

    Args:
        errors: name of a way to train → relative change of the features after each step.
    """
    with drawing(height=3.0) as (canvas, axes):
        for index, (name, values) in enumerate(errors.items()):
            axes.plot(
                range(len(values)), [100 * value for value in values], label=name,
                color=PALETTE[index], linestyle=LINES[index],
            )  # fmt: skip
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("change of the features (%)")
        axes.legend()
        ends = "; ".join(f"{name}: {100 * values[-1]:.1f} %" for name, values in errors.items())
        return finish(
            canvas,
            alt="Line plot of the relative change of a frozen network's features over the steps "
            f"of training its head. At the end: {ends}.",
            caption=f"Every weight is frozen, and the features move all the same: {ends}.",
        )


def by_level(
    moved: Mapping[str, Sequence[float]], names: Sequence[str], stages: Mapping[str, Sequence[int]]
) -> Figure:
    """Which levels of a model trained when, and how far each has moved.

    Args:
        moved: way to train → change of each level's weights (root mean square, in multiples of the
            learning rate), from the top.
        names: of the levels, from the top.
        stages: way to train → how many levels trained in each of its stages of equal length.

    Raises:
        PeftlabError: a way has another number of levels than there are names.
    """
    if any(len(values) != len(names) for values in moved.values()):
        raise PeftlabError(f"there are {len(names)} levels; give as many changes for each way.")
    with drawing(1, 2, width=7.2, height=3.6, sharey=True) as (canvas, (when, far)):
        for index, (way, tops) in enumerate(stages.items()):
            # A staircase of what trains: every level above it, from then on.
            starts = [
                next((100 * i / len(tops) for i, top in enumerate(tops) if level < top), None)
                for level in range(len(names))
            ]
            for level, start in enumerate(starts):
                if start is not None:
                    when.barh(
                        level + 0.25 * (index - (len(stages) - 1) / 2), 100 - start, left=start,
                        height=0.22, color=PALETTE[index], label=way if level == 0 else None,
                    )  # fmt: skip
        when.set_xlabel("trains (% of the steps)")
        when.set_xlim(0, 100)
        for index, (way, values) in enumerate(moved.items()):
            far.plot(
                values, range(len(names)), label=way,
                color=PALETTE[index], marker=MARKERS[index], linestyle=LINES[index % len(LINES)],
            )  # fmt: skip
        far.set_xscale("log")
        far.set_xlabel("change of a weight (learning rates)")
        when.set_yticks(range(len(names)), names)
        when.invert_yaxis()
        handles, labels = far.get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside upper center", ncols=len(moved))
        spoken = "; ".join(
            f"{way} " + ", ".join(f"{name} {v:.2g}" for name, v in zip(names, values, strict=True))
            for way, values in moved.items()
        )
        ends = "; ".join(
            f"{way} {values[1]:.2g} and {values[-2]:.2g}" for way, values in moved.items()
        )
        return finish(
            canvas,
            alt="Two panels over the levels of a model, from its last norm down to its embedding: "
            f"in which part of the steps each trains, and how far its weights move, in learning "
            f"rates. {spoken}.",
            caption=f"How far the highest and the lowest block moved, in learning rates: {ends}.",
        )


def trade(
    panels: Mapping[str, Mapping[str, tuple[tuple[float, float], tuple[float, float]]]],
    x: str,
    y: str,
) -> Figure:
    """Two losses against each other, a mark for each way to train; lower is better in both.

    Args:
        panels: title → way to train → (mean, standard error) on the horizontal axis, and the same
            on the vertical one.
        x: label of the horizontal axes.
        y: label of the vertical axes.

    Raises:
        PeftlabError: there are no panels.
    """
    if not panels:
        raise PeftlabError("there is nothing to draw; give at least one panel.")
    found, spoken = [], []

    def quantity(label: str) -> str:
        return label.split(" (")[0]

    with drawing(1, len(panels), width=3.4 * len(panels) + 0.6, height=4.2, squeeze=False) as (
        canvas,
        axes,
    ):
        for panel, (title, ways) in zip(axes[0], panels.items(), strict=True):
            for index, (name, (across, up)) in enumerate(ways.items()):
                panel.errorbar(
                    across[0], up[0], xerr=across[1], yerr=up[1],
                    color=(*PALETTE, INK)[index], marker=(*MARKERS, "X")[index], markersize=8,
                    capsize=3, linestyle="none", label=name if panel is axes[0][0] else None,
                )  # fmt: skip
            panel.set_title(title)
            panel.set_xlabel(x)
            panel.margins(0.12)
            least = [min(ways, key=lambda n, i=i, w=ways: w[n][i][0]) for i in (0, 1)]
            found.append(
                f"{title}: {least[1]} has the lowest {quantity(y)} ({ways[least[1]][1][0]:.3f}), "
                f"{least[0]} the least {quantity(x)} ({ways[least[0]][0][0]:.2f})"
            )
            spoken.append(
                f"{title}: "
                + ", ".join(
                    f"{name} {across[0]:.2f} ± {across[1]:.2f} and {up[0]:.3f} ± {up[1]:.3f}"
                    for name, (across, up) in ways.items()
                )
            )
        axes[0][0].set_ylabel(y)
        canvas.legend(loc="outside upper center", ncols=3)
        return finish(
            canvas,
            alt=f"Scatter plots of {y} against {x}, with error bars. {'; '.join(spoken)}.",
            caption=f"{'. '.join(found)}. Means over the seeds, bars one standard error.",
        )
