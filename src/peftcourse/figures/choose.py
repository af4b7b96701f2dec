"""Figures of lesson 10: intervals, ranks, rates, Pareto fronts and overheads of many methods."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence

from peftcourse.experiments import statistics as seeds
from peftcourse.experiments.statistics import Interval
from peftcourse.figures.style import INK, PALETTE, Figure, drawing, finish
from peftlab.errors import PeftlabError

ROW = 0.23  # inches of height for one method


def intervals(
    panels: Mapping[str, Mapping[str, Interval]], what: str, *, higher_is_better: bool = False
) -> Figure:
    """Means with their intervals, a line for each method and a panel for each task.

    Args:
        panels: title → method → interval; all panels have the methods of the first, which gives
            their order from top to bottom.
        what: the measure, with its unit.
        higher_is_better: which end of the axis is the good one.

    Raises:
        PeftlabError: there is no panel.
    """
    if not panels:
        raise PeftlabError("there are no intervals to draw; give at least one panel.")
    names = list(next(iter(panels.values())))
    sign = -1 if higher_is_better else 1
    found, spoken = [], []
    size = {"width": 3.4 + 2.0 * len(panels), "height": 1.0 + ROW * len(names)}
    with drawing(1, len(panels), sharey=True, squeeze=False, **size) as (canvas, axes):
        for panel, (title, lines) in zip(axes[0], panels.items(), strict=True):
            best = min(lines, key=lambda name: sign * lines[name].mean)
            for row, name in enumerate(names):
                line = lines[name]
                panel.errorbar(
                    line.mean, row, xerr=[[line.mean - line.low], [line.high - line.mean]],
                    color=PALETTE[1] if name == best else PALETTE[0],
                    marker="s" if name == best else "o", markersize=4.5, capsize=2.5,
                    linewidth=1.5,
                )  # fmt: skip
            panel.axvspan(lines[best].low, lines[best].high, color=PALETTE[1], alpha=0.15, lw=0)
            panel.set_title(title)
            touching = sum(
                lines[name].low <= lines[best].high and lines[best].low <= lines[name].high
                for name in names
                if name != best
            )
            others = len(names) - 1
            found.append(
                f"{title}: {best} is best ({_plus_minus(lines[best])}), and {touching} of {others} "
                f"other intervals overlap{'s' * (touching == 1)} with its own"
            )
            values = "; ".join(f"{name} {_plus_minus(lines[name])}" for name in names)
            spoken.append(f"{title}: {values}")
        axes[0][0].set_yticks(range(len(names)), names)
        axes[0][0].invert_yaxis()
        canvas.supxlabel(what, fontsize=11)
        return finish(
            canvas,
            alt=f"Means and 95 % intervals over seeds of {what}, one line per method. "
            f"{'. '.join(spoken)}.",
            caption=f"{'. '.join(found)}. Bars: 95 % intervals over seeds.",
        )


def pareto(panels: Mapping[str, Mapping[str, tuple[float, float]]], quality: str) -> Figure:
    """Quality against one cost in each panel; the methods that no other beats are joined.

    Args:
        panels: label of a cost's axis → method → (cost, quality), of which less and more are
            better. Costs that span more than a factor of 20 get a logarithmic axis.
        quality: label of the other axis.

    Raises:
        PeftlabError: there is no panel.
    """
    if not panels:
        raise PeftlabError("there are no points to draw; give at least one panel.")
    found, spoken = [], []
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    with drawing(
        rows, columns, width=3.5 * columns, height=3.1 * rows, sharey=True, squeeze=False
    ) as (canvas, axes):
        for panel in axes.flat[len(panels) :]:
            panel.set_visible(False)
        for panel, (cost, points) in zip(axes.flat, panels.items(), strict=False):
            front = seeds.pareto(points)
            rest = [name for name in points if name not in front]
            panel.scatter(
                *_columns(points, rest), color=PALETTE[0], s=22, alpha=0.7, label="beaten"
            )
            panel.plot(
                *_columns(points, front), color=PALETTE[1], marker="s", markersize=5,
                drawstyle="steps-post", linewidth=1.4, label="on the front",
            )  # fmt: skip
            for number, name in enumerate(front, 1):
                # Even numbers stand beside their point, since neighbours may all but coincide.
                place = (-3, 6) if number % 2 else (6, -4)
                panel.annotate(
                    str(number), points[name], textcoords="offset points", xytext=place,
                    fontsize=9,
                )  # fmt: skip
            prices = [price for price, _ in points.values()]
            if max(prices) > 20 * min(prices) > 0:
                panel.set_xscale("log")
            panel.margins(0.12)
            panel.set_xlabel(cost)
            numbered = "; ".join(f"{number} {name}" for number, name in enumerate(front, 1))
            found.append(f"{cost[:1].upper()}{cost[1:]}, {len(front)} of {len(points)}: {numbered}")
            values = "; ".join(f"{name} {x:.3g} → {y:.3f}" for name, (x, y) in points.items())
            spoken.append(f"{cost} → {quality}: {values}")
        for panel in axes[:, 0]:
            panel.set_ylabel(quality)
        axes[0][0].legend(loc="lower right", fontsize=8)
        return finish(
            canvas,
            alt=f"Scatter plots of {quality} against costs. {'. '.join(spoken)}.",
            caption="On the front, where no method is both cheaper and better, from cheap to dear. "
            f"{'. '.join(found)}.",
        )


def ladder(
    costs: Mapping[str, Mapping[str, Mapping[str, float]]],
    quality: Mapping[str, Mapping[str, float]],
    what: str,
) -> Figure:
    """Methods as rungs, the least that trains at the bottom: what each costs, and what it gains.

    Args:
        costs: label of an axis → model → method → cost. The first cost of the last model orders
            the rungs; costs that span more than a factor of 20 get a logarithmic axis.
        quality: place, "model · task" → method → gain. All have the same methods.
        what: label of the gain's axis.

    Raises:
        PeftlabError: there are no costs, or no places.
    """
    if not costs or not quality:
        raise PeftlabError("there is no ladder to draw; give a cost and a place at least.")
    sizes = next(iter(costs.values()))
    models = list(sizes)
    largest = sizes[models[-1]]
    rungs = sorted(largest, key=largest.__getitem__)
    said, down = [], []
    size = {"width": 2.3 * len(costs) + 4.6, "height": 1.4 + 1.15 * ROW * len(rungs)}
    with drawing(1, len(costs) + 1, sharey=True, squeeze=False, **size) as (canvas, axes):
        for panel, (cost, by_model) in zip(axes[0], costs.items(), strict=False):
            for model, values in by_model.items():
                panel.plot(
                    [values[name] for name in rungs], range(len(rungs)), drawstyle="steps-post",
                    color=PALETTE[models.index(model)], marker="os"[models.index(model) % 2],
                    markersize=4, linewidth=1.2, label=model,
                )  # fmt: skip
                said.append(f"{cost}, {model}: {_series(rungs, values)}")
            prices = [price for values in by_model.values() for price in values.values()]
            if max(prices) > 20 * min(prices) > 0:
                panel.set_xscale("log")
            panel.set_xlabel(cost, fontsize=9)
        panel = axes[0][-1]
        for index, (place, values) in enumerate(quality.items()):
            model = place.split(" · ")[0]
            panel.plot(
                [values[name] for name in rungs], range(len(rungs)),
                color=PALETTE[models.index(model)], marker="osD^v"[index % 5], markersize=4,
                linewidth=1.0, linestyle=("-", "--", ":")[index % 3], label=place,
            )  # fmt: skip
            said.append(f"{what}, {place}: {_series(rungs, values)}")
            own = sizes[model]  # two methods of about one size can change places between models
            order = sorted(rungs, key=own.__getitem__)
            falls = sum(values[b] < values[a] for a, b in itertools.pairwise(order))
            down.append(f"{place} {falls}")
        panel.set_xlabel(what, fontsize=9)
        axes[0][0].set_yticks(range(len(rungs)), rungs)
        handles, labels = panel.get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside upper center", ncols=3)
        return finish(
            canvas,
            alt=f"A row for each method, from {rungs[0]} at the bottom to {rungs[-1]} at the top, "
            f"and a panel for each cost and for the gain. {'. '.join(said)}.",
            caption=f"Of {len(rungs) - 1} steps up to a method that trains as much or more, these "
            f"many lead to a lower gain: {', '.join(down)}.",
        )


def _series(rungs: Sequence[str], values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {values[name]:.3g}" for name in rungs)


def ranks(mean: Mapping[str, float], difference: float, over_tasks: float, tasks: int) -> Figure:
    """Mean ranks; two methods whose thick bars do not touch differ on these tasks.

    Args:
        mean: method → mean rank, the best first.
        difference: the critical difference with every task and seed as a block.
        over_tasks: the critical difference with every task as one block.
        tasks: how many.
    """
    names = list(mean)
    apart = [name for name in names if mean[name] - mean[names[0]] > difference]
    far = [name for name in names if mean[name] - mean[names[0]] > over_tasks]
    with drawing(height=1.0 + ROW * len(names)) as (canvas, axes):
        for row, name in enumerate(names):
            for width, options in (
                (over_tasks, {"linewidth": 1, "alpha": 0.5}),
                (difference, {"linewidth": 5, "alpha": 0.5}),
            ):
                ends = (mean[name] - width / 2, mean[name] + width / 2)
                axes.plot(ends, (row, row), color=PALETTE[0], solid_capstyle="butt", **options)
            axes.plot(mean[name], row, color=INK, marker="o", markersize=5)
        for side in (-0.5, 0.5):
            edge = mean[names[0]] + side * difference
            axes.axvline(edge, color=PALETTE[1], linewidth=1, linestyle="--")
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlabel("mean rank (1 is best)")
        spoken = "; ".join(f"{name} {rank:.1f}" for name, rank in mean.items())
        return finish(
            canvas,
            alt=f"Mean ranks of {len(names)} methods with bars of critical differences: {spoken}.",
            caption=f"{names[0]} has the best mean rank, {mean[names[0]]:.1f}. Methods whose thick "
            f"bars do not touch differ (Nemenyi, {difference:.1f} ranks), which sets {len(apart)} "
            f"of {len(names) - 1} apart from it. Thin bars take each of the {tasks} tasks as one "
            f"block ({over_tasks:.1f} ranks): they set {len(far)} apart.",
        )


def rates(
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], spread: Mapping[str, float]
) -> Figure:
    """How much is lost beside the best learning rate, a line for each method.

    Args:
        panels: title → method → (decades from the method's best rate, loss above its best loss).
        spread: title → how much worse the median method is than the best one, each at its rate.

    Raises:
        PeftlabError: a panel has no point half a decade from a best rate.
    """
    found, spoken = [], []
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    size = {"width": 2.6 * columns + 1, "height": 0.9 + 2.8 * rows}
    with drawing(rows, columns, squeeze=False, **size) as (canvas, axes):
        for panel in axes.flat[len(panels) :]:
            panel.set_visible(False)
        for panel, (title, curves) in zip(axes.flat, panels.items(), strict=False):
            for curve in curves.values():
                panel.plot(*zip(*curve, strict=True), color=PALETTE[0], linewidth=1, alpha=0.5)
            middle = _medians(curves)
            panel.plot(
                list(middle), list(middle.values()), color=PALETTE[1], marker="o", markersize=4,
                linewidth=2.4, label="median method",
            )  # fmt: skip
            panel.axhline(
                spread[title], color=PALETTE[2], linestyle="--", linewidth=1.4,
                label="best → median method",
            )  # fmt: skip
            if not {-0.5, 0.5} & middle.keys():
                raise PeftlabError(
                    f"{title} has no rate half a decade from a best one; search in half decades."
                )
            panel.set_title(title)
            panel.set_ylim(0, 4 * max(spread[title], *(middle.get(x, 0) for x in (-0.5, 0.5))))
            panel.set_xlim(-1.6, 1.6)
            panel.set_xlabel("decades from the best rate")
            lost = ", ".join(
                f"{middle[side]:.2f} {word}"
                for side, word in ((-0.5, "below"), (0.5, "above"))
                if side in middle
            )
            found.append(
                f"{title}: the median method loses {lost}; from the best method to the median one "
                f"it is {spread[title]:.2f}"
            )
            points = "; ".join(f"{place:+g}: {value:.2f}" for place, value in middle.items())
            spoken.append(f"{title}: {points}")
        for panel in axes[:, 0]:
            panel.set_ylabel("loss above the best\n(nats per token)")
        handles, labels = axes[0][0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=2)
        return finish(
            canvas,
            alt="Line plots of the loss above its best value against the distance from the best "
            f"learning rate, in decades. Medians: {'. '.join(spoken)}.",
            caption=f"Half a decade from the best rate, in nats per token. {'. '.join(found)}.",
        )


def overheads(unmerged: Mapping[str, float], merged: Mapping[str, float | None]) -> Figure:
    """Time of a forward pass against the bare model's, with the adapter in place and merged.

    Args:
        unmerged: method → ratio.
        merged: method → ratio; None for a method that cannot merge.
    """
    names = sorted(unmerged, key=unmerged.__getitem__)
    ratios = [ratio for ratio in merged.values() if ratio is not None]
    with drawing(height=1.0 + ROW * len(names)) as (canvas, axes):
        for row, name in enumerate(names):
            axes.plot(unmerged[name], row, color=PALETTE[0], marker="o", linestyle="none")
            if merged[name] is not None:
                axes.plot(merged[name], row, color=PALETTE[1], marker="s", linestyle="none")
        axes.axvline(1, color=INK, linewidth=1, linestyle=":")
        axes.plot([], color=PALETTE[0], marker="o", linestyle="none", label="adapter in place")
        axes.plot([], color=PALETTE[1], marker="s", linestyle="none", label="merged")
        axes.legend(loc="lower right")
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("time of a forward pass, times the bare model's")
        spoken = "; ".join(
            f"{name} {unmerged[name]:.2f}"
            + ("" if merged[name] is None else f" (merged {merged[name]:.2f})")
            for name in names
        )
        never = [name for name in names if merged[name] is None]
        return finish(
            canvas,
            alt=f"Time of a forward pass against the bare model's, by method: {spoken}.",
            caption=f"In place, adapters take {min(unmerged.values()):.2f} to "
            f"{max(unmerged.values()):.2f} times the bare model's time ({names[-1]} most); merged, "
            f"{min(ratios):.2f} to {max(ratios):.2f}. "
            f"{len(never)} of {len(names)} cannot merge: {', '.join(never)}.",
        )


def _plus_minus(interval: Interval) -> str:
    """``0.812 ± 0.021``."""
    return f"{interval.mean:.3f} ± {interval.half_width:.3f}"


def _columns(
    points: Mapping[str, tuple[float, float]], names: Sequence[str]
) -> tuple[list[float], list[float]]:
    return [points[name][0] for name in names], [points[name][1] for name in names]


def _medians(curves: Mapping[str, Sequence[tuple[float, float]]]) -> dict[float, float]:
    """Where at least half of the methods have a point: place → median loss."""
    losses: dict[float, list[float]] = {}
    for curve in curves.values():
        for x, loss in curve:
            losses.setdefault(round(x, 1), []).append(loss)
    return {
        place: statistics.median(found)
        for place, found in sorted(losses.items())
        if 2 * len(found) >= len(curves)
    }
