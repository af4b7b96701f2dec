"""Figures of lesson 07: size against quality, distance from a matrix, and time at inference."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from peftcourse.figures.style import INK, LINES, PALETTE, Figure, drawing, finish
from peftlab.errors import PeftlabError

NAMES = {
    "houlsby": "Houlsby",
    "pfeiffer": "Pfeiffer",
    "parallel": "parallel",
    "lora-qv": "LoRA on q, v",
    "lora-all": "LoRA, all linear",
    "ia3": "IA³",
    "bitfit": "BitFit",
    "last-block": "last block",
    "head": "head",
    "full": "full fine-tuning",
}
MARKERS = ("o", "s", "^", "D", "v", "P")


def summarise(values: Iterable[float]) -> tuple[float, float]:
    """(mean, standard deviation) of what several seeds gave; a single one has a deviation of 0."""
    found = list(values)
    if not found:
        raise PeftlabError("there is nothing to summarise; give at least one value.")
    return statistics.mean(found), statistics.stdev(found) if len(found) > 1 else 0.0


def sizes(runs: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss against trainable parameters, a line for each method that comes in several sizes.

    Args:
        runs: records with ``method`` (a key of `NAMES`), ``size``, ``trainable`` and ``loss``, of
            several seeds.

    Raises:
        PeftlabError: there are no runs.
    """
    groups: dict[str, dict[int, tuple[int, float, float]]] = {}
    for method in NAMES:
        for size in sorted({run["size"] for run in runs if run["method"] == method}):
            same = [run for run in runs if (run["method"], run["size"]) == (method, size)]
            mean, spread = summarise(run["loss"] for run in same)
            groups.setdefault(method, {})[size] = (same[0]["trainable"], mean, spread)
    if not groups:
        raise PeftlabError("there are no runs to draw; give at least one.")
    lines = [method for method, found in groups.items() if len(found) > 1]
    spoken, spreads = [], []
    with drawing(width=7.2, height=4.4) as (canvas, axes):
        for index, method in enumerate(lines):
            counts, means, errors = zip(*groups[method].values(), strict=True)
            axes.errorbar(
                counts, means, yerr=errors, color=PALETTE[index], marker=MARKERS[index],
                markersize=5, linestyle=LINES[index % len(LINES)], capsize=3, label=NAMES[method],
            )  # fmt: skip
        for method in groups:
            found = groups[method]
            spreads += [spread for _, _, spread in found.values()]
            if method not in lines:
                [(count, mean, spread)] = found.values()
                axes.errorbar(count, mean, yerr=spread, color=INK, marker="x", capsize=3)
                last = count == max(c for each in groups.values() for c, _, _ in each.values())
                axes.annotate(
                    NAMES[method], (count, mean), textcoords="offset points",
                    xytext=(-6 if last else 6, 3), ha="right" if last else "left", fontsize=9,
                )  # fmt: skip
            spoken.append(
                f"{NAMES[method]}: "
                + ", ".join(
                    f"{mean:.2f} ({f'size {size}, ' if size else ''}{count:,})"
                    for size, (count, mean, _) in found.items()
                )
            )
        axes.set_xscale("log")
        axes.margins(x=0.12)
        axes.set_xlabel("trainable parameters")
        axes.set_ylabel("test loss (nats per token)")
        axes.legend(loc="upper right")
        ends = "; ".join(
            f"{NAMES[method]} goes from {first:.2f} at size {sorted(groups[method])[0]} to "
            f"{last:.2f} at {sorted(groups[method])[-1]}"
            for method in lines
            for first, last in [
                (groups[method][min(groups[method])][1], groups[method][max(groups[method])][1])
            ]
        )
        points = "; ".join(
            f"{NAMES[method]} reaches {next(iter(found.values()))[1]:.2f}"
            for method, found in groups.items()
            if method not in lines
        )
        return finish(
            canvas,
            alt="Line plot of the test loss over the number of trainable parameters, which has a "
            f"logarithmic axis. Loss (parameters): {'; '.join(spoken)}.",
            caption=f"{'; '.join(part for part in (ends, points) if part)}. Means over seeds, each "
            f"at its tuned rate; bars: one standard deviation, at most {max(spreads):.2f}.",
        )


def left_over(residuals: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """What is left of a contribution after the best affine map, layer by layer.

    Args:
        residuals: by the name of the adapter, for each seed a relative residual for each layer.
    """
    if not residuals:
        raise PeftlabError("there is nothing to draw; give the residuals of one adapter at least.")
    spoken, found = [], []
    with drawing(height=3.6) as (canvas, axes):
        for index, (name, seeds) in enumerate(residuals.items()):
            points = [summarise(layer) for layer in zip(*seeds, strict=True)]
            means = [mean for mean, _ in points]
            axes.errorbar(
                range(len(means)), means, yerr=[spread for _, spread in points],
                color=PALETTE[index], marker=MARKERS[index], markersize=5, capsize=3,
                linestyle=LINES[index % len(LINES)], label=name,
            )  # fmt: skip
            spoken.append(f"{name}: " + ", ".join(f"{mean:.2g}" for mean in means))
            found.append(f"{name}: {statistics.mean(means):.2g}")
        axes.set_yscale("log")
        axes.set_xticks(range(len(next(iter(residuals.values()))[0])))
        axes.set_xlabel("layer")
        axes.set_ylabel("left over, relative")
        axes.legend(loc="center right")
        return finish(
            canvas,
            alt="Line plot, with a logarithmic axis, of what the best affine map leaves of an "
            f"adapter's contribution, by layer. {'; '.join(spoken)}.",
            caption=f"Left over on average: {'; '.join(found)}. What is left of LoRA is rounding; "
            "what is left of an adapter is its activation at work.",
        )


def scales(residuals: Mapping[str, Mapping[float, float]]) -> Figure:
    """What is left over when all inputs are scaled first, by the factor.

    Args:
        residuals: by the name of the adapter, the mean residual by the factor.
    """
    if not residuals:
        raise PeftlabError("there is nothing to draw; give the residuals of one adapter at least.")
    spoken, found = [], []
    with drawing(height=3.2) as (canvas, axes):
        for index, (name, points) in enumerate(residuals.items()):
            factors = sorted(points)
            axes.plot(
                factors, [100 * points[factor] for factor in factors], color=PALETTE[index],
                marker=MARKERS[index], markersize=5, linestyle=LINES[index % len(LINES)],
                label=name,
            )  # fmt: skip
            spoken.append(
                f"{name}: " + ", ".join(f"{100 * points[f]:.2g} % at {f:g}" for f in factors)
            )
            found.append(
                f"{name} from {100 * points[factors[0]]:.2g} % at {factors[0]:g} times the inputs "
                f"to {100 * points[factors[-1]]:.2g} % at {factors[-1]:g} times"
            )
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("factor of the inputs")
        axes.set_ylabel("left over (%)")
        axes.legend()
        return finish(
            canvas,
            alt="Line plot of what the best affine map leaves over, by a factor of the inputs. "
            f"{'; '.join(spoken)}.",
            caption="How linear an adapter looks depends on its inputs. Left over: "
            f"{'; '.join(found)}.",
        )


def stand_ins(losses: Mapping[str, Sequence[float]]) -> Figure:
    """Loss of a model with its adapter, without it, and with maps in the adapter's place.

    Args:
        losses: by what is in place, the loss for each seed.
    """
    if not losses:
        raise PeftlabError("there is nothing to draw; give the losses of at least one model.")
    points = {name: summarise(values) for name, values in losses.items()}
    with drawing(height=3.0) as (canvas, axes):
        for index, (name, (mean, spread)) in enumerate(points.items()):
            axes.barh(
                name, mean, xerr=spread, color=PALETTE[0], height=0.6, ecolor=INK, capsize=3,
            )  # fmt: skip
            axes.annotate(
                f"{mean:.2f}", (mean + spread, index), textcoords="offset points", xytext=(5, 0),
                va="center", fontsize=10,
            )  # fmt: skip
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_xlabel("test loss (nats per token)")
        text = "; ".join(f"{name} {mean:.2f}" for name, (mean, _) in points.items())
        largest = max(spread for _, spread in points.values())
        return finish(
            canvas,
            alt=f"Bars of the test loss by what stands in the adapter's place: {text}.",
            caption=f"Loss with each in the adapter's place: {text}. Means over seeds, one "
            f"standard deviation at most {largest:.2f}.",
        )


def overhead(loads: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Figure:
    """Times as ratios to the bare model: medians and quartiles, a panel for each kind of load.

    Args:
        loads: by load and method, ``median``, ``low`` and ``high`` of the ratio.
    """
    if not loads:
        raise PeftlabError("there is nothing to draw; give the ratios of at least one load.")
    names = list(next(iter(loads.values())))
    spoken, found = [], []
    width = min(3.2 + 1.7 * len(loads), 9)  # more would be too small to read in the book's column
    with drawing(
        1, len(loads), width=width, height=1.2 + 0.26 * len(names), sharey=True, squeeze=False
    ) as (canvas, axes):
        for index, (panel, (load, ratios)) in enumerate(zip(axes[0], loads.items(), strict=True)):
            for place, name in enumerate(names):
                ratio = ratios[name]
                panel.plot(
                    [ratio["low"], ratio["high"]], [place, place], color=PALETTE[index],
                    linewidth=3, alpha=0.5,
                )  # fmt: skip
                panel.plot(ratio["median"], place, color=PALETTE[index], marker=MARKERS[index])
            panel.axvline(1, color=INK, linestyle=":", linewidth=1)
            panel.set_title(load, fontsize=9)
            panel.set_xlabel("times the base")
            spoken.append(
                f"{load}: " + ", ".join(f"{name} {ratios[name]['median']:.2f}" for name in names)
            )
            slowest = max(names, key=lambda name, ratios=ratios: ratios[name]["median"])
            found.append(f"{load}: {slowest} takes longest, {ratios[slowest]['median']:.2f} times")
        axes[0][0].set_yticks(range(len(names)), names)
        axes[0][0].invert_yaxis()
        text = "; ".join(found)
        return finish(
            canvas,
            alt="Dots of the time relative to the bare model, a row for each method and a panel "
            f"for each load. {'; '.join(spoken)}.",
            caption=f"{text[0].upper()}{text[1:]} the bare model. Dots: medians of ratios within a "
            "round; bars: the middle half of the rounds.",
        )


def kept(runs: Sequence[Sequence[Mapping[str, float]]]) -> Figure:
    """Loss when only the largest entries of a full update are kept.

    Args:
        runs: for each seed, records with ``kept`` (a share) and ``loss``.
    """
    if not runs:
        raise PeftlabError("there is nothing to draw; give the records of at least one seed.")
    points = [
        (same[0]["kept"], *summarise(point["loss"] for point in same))
        for same in zip(*runs, strict=True)
    ]
    nothing, shown = points[0], points[1:]
    with drawing(height=3.0) as (canvas, axes):
        shares, means, errors = zip(*shown, strict=True)
        axes.errorbar(
            [100 * share for share in shares], means, yerr=errors, color=PALETTE[0], marker="o",
            markersize=5, capsize=3, label="largest entries kept",
        )  # fmt: skip
        axes.axhline(nothing[1], color=INK, linestyle=":", linewidth=1, label="none kept")
        axes.set_xscale("log")
        axes.set_xlabel("entries of the update that are kept (%)")
        axes.set_ylabel("test loss (nats per token)")
        axes.legend()
        text = ", ".join(f"{mean:.2f} with {100 * share:g} %" for share, mean, _ in shown)
        return finish(
            canvas,
            alt="Line plot of the test loss over the share of a full update's entries that are "
            f"kept: {text}; {nothing[1]:.2f} with none.",
            caption=f"Of a full update, the largest {100 * shares[0]:g} % of the entries give a "
            f"loss of {means[0]:.2f}, {100 * shares[-1]:g} % give {means[-1]:.2f}, none "
            f"{nothing[1]:.2f}.",
        )
