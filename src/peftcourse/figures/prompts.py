"""Figures of lesson 08: how long, from which start, and where attention looks."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from peftcourse.figures.style import INK, LINES, PALETTE, Figure, drawing, finish
from peftlab.errors import PeftlabError

NAMES = {"prompt": "prompt tuning", "prefix": "prefix tuning", "lora": "LoRA"}
MARKERS = ("o", "s", "^", "D")
# Kinds of start, each with one colour in all panels, and what to call them.
STARTS = {
    "random": "from a random start",
    "vocabulary": "from random words",
    "text": "from a text",
    "mlp": "through an MLP",
}


def best(runs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The record with the lowest loss; a run that diverged has none and is passed over.

    Raises:
        PeftlabError: no run has a loss.
    """
    finished = [run for run in runs if run["loss"] is not None]
    if not finished:
        raise PeftlabError("no run has a loss to compare; give at least one that finished.")
    return dict(min(finished, key=lambda run: run["loss"]))


def lengths(runs: Sequence[Mapping[str, Any]], repeated: Sequence[Mapping[str, Any]]) -> Figure:
    """Best loss against trainable parameters, for each number of virtual tokens and LoRA rank.

    Args:
        runs: records with ``method``, ``size`` (virtual tokens or rank), ``rate``, ``trainable``
            and ``loss``; of each method and size the best rate is drawn.
        repeated: records of further seeds with ``method``, ``size``, ``start``, ``rate`` and
            ``loss``: at the rate that is drawn they give the error bars.
    """
    points: dict[str, list[dict[str, Any]]] = {}
    for method, size in sorted({(run["method"], run["size"]) for run in runs}):
        same = [run for run in runs if (run["method"], run["size"]) == (method, size)]
        points.setdefault(method, []).append(best(same))
    spreads = []
    with drawing(height=3.6) as (canvas, axes):
        for index, method in enumerate(sorted(points, key=list(NAMES).index)):
            line = points[method]
            xs, ys = [p["trainable"] for p in line], [p["loss"] for p in line]
            axes.plot(
                xs, ys, color=PALETTE[index], marker=MARKERS[index], markersize=6,
                linestyle=LINES[index], label=NAMES[method],
            )  # fmt: skip
            for x, y, point in zip(xs, ys, line, strict=True):
                what = "r = " if method == "lora" else ""
                axes.annotate(
                    f"{what}{point['size']}", (x, y), textcoords="offset points",
                    xytext=(0, -15 if method == "lora" else 7), ha="left", fontsize=9,
                )  # fmt: skip
                losses = [y] + [
                    run["loss"]
                    for run in repeated
                    if all(run[key] == point[key] for key in ("method", "size", "start", "rate"))
                ]
                if len(losses) > 1:
                    spreads.append(statistics.stdev(losses))
                    axes.errorbar(
                        x, statistics.mean(losses), yerr=spreads[-1], color=INK, capsize=5,
                        linewidth=1.4, zorder=5,
                    )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xlabel("trainable parameters (numbers: virtual tokens, or LoRA's rank)")
        axes.set_ylabel("validation loss (nats per token)")
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower left")
        spoken = "; ".join(
            f"{NAMES[method]}: "
            + ", ".join(f"{p['size']} → {p['loss']:.2f} ({p['trainable']:,})" for p in line)
            for method, line in points.items()
        )
        found = "; ".join(
            f"{NAMES[method]} goes from {line[0]['loss']:.2f} with {line[0]['size']} virtual "
            f"token{'s' * (line[0]['size'] > 1)} to {line[-1]['loss']:.2f} with {line[-1]['size']}"
            for method, line in points.items()
            if method != "lora"
        )
        found = found[:1].upper() + found[1:]
        lora = "".join(
            f"; LoRA with r = {p['size']} reaches {p['loss']:.2f}" for p in points.get("lora", ())
        )
        bars = (
            f" Bars: one standard deviation over seeds, at most {max(spreads):.2f}."
            if spreads
            else ""
        )
        return finish(
            canvas,
            alt="Line plot of the validation loss over the number of trainable parameters, which "
            f"has a logarithmic axis. Size → loss (parameters): {spoken}.",
            caption=f"{found}{lora}. Each point at its best learning rate, one seed.{bars}",
        )


def starts(runs: Sequence[Mapping[str, Any]]) -> Figure:
    """Mean loss against the learning rate for each start, a panel for each method.

    Args:
        runs: records with ``method``, ``start`` (a key of `STARTS`), ``rate`` and ``loss``; two
            seeds of each at least, and none that diverged.

    Raises:
        PeftlabError: there are no runs.
    """
    methods = [name for name in NAMES if any(run["method"] == name for run in runs)]
    if not methods:
        raise PeftlabError("there are no runs to draw; give at least one.")
    spoken, found = [], []
    with drawing(1, len(methods), width=7.6, height=3.3, sharey=True, squeeze=False) as (
        canvas,
        axes,
    ):
        for panel, method in zip(axes[0], methods, strict=True):
            present = {run["start"] for run in runs if run["method"] == method}
            lowest = {}
            for index, start in enumerate(STARTS):
                if start not in present:
                    continue
                by_rate: dict[float, list[float]] = {}
                for run in runs:
                    if (run["method"], run["start"]) == (method, start):
                        by_rate.setdefault(run["rate"], []).append(run["loss"])
                rates = sorted(by_rate)
                means = [statistics.mean(by_rate[rate]) for rate in rates]
                errors = [statistics.stdev(by_rate[rate]) for rate in rates]
                panel.errorbar(
                    rates, means, yerr=errors, color=PALETTE[index], marker=MARKERS[index],
                    markersize=5, linestyle=LINES[index], capsize=3, label=STARTS[start],
                )  # fmt: skip
                lowest[start] = min(zip(means, rates, strict=True))
                spoken.append(
                    f"{NAMES[method]}, {STARTS[start]}: "
                    + ", ".join(f"{m:.2f} at {r:g}" for m, r in zip(means, rates, strict=True))
                )
            panel.set_xscale("log")
            panel.set_title(NAMES[method])
            panel.set_xlabel("learning rate")
            panel.legend()
            order = sorted(lowest, key=lowest.get)
            found.append(
                f"{NAMES[method]} is best {STARTS[order[0]]} ({lowest[order[0]][0]:.2f}, rate "
                f"{lowest[order[0]][1]:g}) and worst {STARTS[order[-1]]} "
                f"({lowest[order[-1]][0]:.2f}, rate {lowest[order[-1]][1]:g})"
            )
        axes[0][0].set_ylabel("validation loss (nats per token)")
        text = "; ".join(found)
        return finish(
            canvas,
            alt="Line plots of the validation loss over the learning rate, a panel for each method "
            f"and a line for each start. {'; '.join(spoken)}.",
            caption=f"Each at its best rate, {text}. Points are means over seeds, bars one "
            "standard deviation.",
        )


def attention_by_layer(shares: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """How much of the attention goes to virtual tokens, layer by layer.

    Args:
        shares: what `peftcourse.experiments.attention.shares` returned, by name, and perhaps under
            ``spread`` a standard deviation for each layer, drawn as a band. The dotted line is
            what virtual tokens would take if each token looked at all that it sees alike.
    """
    if not shares:
        raise PeftlabError("there is nothing to draw; give the shares of at least one model.")
    findings, spoken = [], []
    with drawing() as (canvas, axes):
        for index, (name, share) in enumerate(shares.items()):
            percent = [100 * value for value in share["virtual"]]
            layers = range(len(percent))
            axes.plot(
                layers, percent, color=PALETTE[index], linestyle=LINES[index % len(LINES)],
                marker=MARKERS[index % len(MARKERS)], markersize=5, label=name,
            )  # fmt: skip
            if "spread" in share:
                axes.fill_between(
                    layers,
                    [p - 100 * s for p, s in zip(percent, share["spread"], strict=True)],
                    [p + 100 * s for p, s in zip(percent, share["spread"], strict=True)],
                    color=PALETTE[index], alpha=0.2, linewidth=0,
                )  # fmt: skip
            mean = sum(percent) / len(percent)
            top = max(layers, key=percent.__getitem__)
            findings.append(f"{name} {mean:.0f} % (most in layer {top}, {percent[top]:.0f} %)")
            spoken.append(f"{name}: " + ", ".join(f"{value:.0f}" for value in percent) + " %")
        evens = sorted({round(100 * share["even"][0], 6) for share in shares.values()})
        for even in evens:
            axes.axhline(even, color=INK, linestyle=":", linewidth=1)
        axes.set_xlabel("layer")
        axes.set_ylabel("attention to virtual tokens (%)")
        axes.set_xticks(list(range(len(next(iter(shares.values()))["virtual"]))))
        axes.set_ylim(0, None)
        canvas.legend(loc="outside upper center", ncols=2)
        level = " and ".join(f"{even:.0f} %" for even in evens)
        return finish(
            canvas,
            alt="Line plot of the share of attention that goes to virtual tokens, by layer. "
            f"{'; '.join(spoken)}. Looking everywhere alike would give {level}.",
            caption=f"Mean share over the layers: {'; '.join(findings)}. Dotted: looking "
            f"everywhere alike, {level}.",
        )


def mixing(weights: Sequence[float], text: Any, prefix: Any, joint: Any) -> Figure:
    """One query's output as a mixture of what the text gives and what the prefix gives.

    Args:
        weights: λ for each query.
        text, prefix, joint: outputs (n, D) of attention over the text alone, the prefix alone and
            both.
    """
    distances = [
        ((joint[i] - text[i]).norm() / (prefix[i] - text[i]).norm()).item()
        for i in range(len(weights))
    ]
    error = max(abs(d - w) for d, w in zip(distances, weights, strict=True))
    with drawing(height=3.2) as (canvas, axes):
        axes.bar(
            range(len(weights)),
            distances,
            color=PALETTE[0],
            width=0.7,
            label="how far the output moved",
        )
        axes.plot(
            range(len(weights)), weights, color=PALETTE[1], marker="o", linestyle="none",
            label="λ, attention to the prefix",
        )  # fmt: skip
        axes.set_xlabel("position of the query in the text")
        axes.set_ylabel("share of the way to the prefix")
        axes.set_ylim(0, 1)
        axes.legend(loc="upper right")
        ends = f"{weights[0]:.2f} at the first position, {weights[-1]:.2f} at the last"
        return finish(
            canvas,
            alt="Bars of how far each query's output moved from the text's output towards the "
            f"prefix's, with λ as dots on top of the bars: {ends}.",
            caption=f"The output moves from the text's towards the prefix's by exactly λ (largest "
            f"difference {error:.0e}): {ends}, where more text competes.",
        )
