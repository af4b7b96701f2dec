"""Figures of lesson 11: curves, error bars, reliability diagrams, and the clinic's charts."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from peftcourse.experiments.calibration import Calibration
from peftcourse.figures.style import INK, LINES, PALETTE, Figure, drawing, finish
from peftlab.errors import PeftlabError

MARKERS = ("o", "s", "^", "D", "v")


def _label(method: str) -> str:
    if method.startswith("lora-"):
        return f"LoRA, r = {method.removeprefix('lora-')}"
    return {"full": "full fine-tuning", "head": "output head alone"}.get(method, method)


def by_examples(runs: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss on training and on held-out texts against the number of training texts.

    Args:
        runs: records with ``size`` and ``curve``, whose points have ``train`` and ``target``
            losses; several seeds of each size. The last point of each curve is drawn.

    Raises:
        PeftlabError: there are no runs.
    """
    if not runs:
        raise PeftlabError("there are no runs to draw; give at least one.")
    sizes = sorted({run["size"] for run in runs})
    means: dict[str, list[float]] = {}
    with drawing(height=3.3) as (canvas, axes):
        for index, (key, name) in enumerate((("train", "training texts"), ("target", "held-out"))):
            ends = [[r["curve"][-1][key] for r in runs if r["size"] == size] for size in sizes]
            means[key] = [statistics.fmean(values) for values in ends]
            axes.errorbar(
                sizes, means[key], yerr=[_deviation(values) for values in ends],
                color=PALETTE[index], marker=MARKERS[index], linestyle=LINES[index], capsize=3,
                label=name,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.set_xlabel("training texts")
        axes.set_ylabel("loss after training (nats per token)")
        axes.set_ylim(bottom=0)
        axes.legend()
        gaps = [held - seen for held, seen in zip(means["target"], means["train"], strict=True)]
        spoken = "; ".join(
            f"{size} texts: {seen:.2f} and {held:.2f}"
            for size, seen, held in zip(sizes, means["train"], means["target"], strict=True)
        )
        return finish(
            canvas,
            alt="Line plot of the loss over the number of training texts, on those texts and on "
            f"held-out ones. {spoken}.",
            caption=f"The gap between held-out and training loss is {gaps[0]:.2f} nats with "
            f"{sizes[0]} texts and {gaps[-1]:.2f} with {sizes[-1]}. Means over seeds, bars one "
            "standard deviation.",
        )


def forgetting(runs: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss on the base model's own domain against the loss on the target, over training.

    Args:
        runs: records with ``method`` and ``curve``, whose points have ``target`` and ``story``
            losses at the same steps; several seeds of each method. A line is the mean; the marker
            is the mean of the steps with the lowest target loss, each seed's own, with bars for
            the seeds. The picture starts near the first measurement after the start, since the
            way there takes most of the loss and says little.

    Raises:
        PeftlabError: there are no runs.
    """
    if not runs:
        raise PeftlabError("there are no runs to draw; give at least one.")
    spoken, costs, shown = [], [], []
    with drawing(height=4.4) as (canvas, axes):
        for index, method in enumerate(_ordered({run["method"] for run in runs})):
            curves = [run["curve"] for run in runs if run["method"] == method]
            target, story = (
                [statistics.fmean(p[key] for p in points) for points in zip(*curves, strict=True)]
                for key in ("target", "story")
            )
            kept = [min(curve, key=lambda point: point["target"]) for curve in curves]
            learned, told = ([point[key] for point in kept] for key in ("target", "story"))
            place = statistics.fmean(learned), statistics.fmean(told)
            axes.plot(
                target, story, color=PALETTE[index % len(PALETTE)],
                linestyle=LINES[index % len(LINES)], linewidth=1.6,
            )  # fmt: skip
            axes.errorbar(
                *place, xerr=_deviation(learned), yerr=_deviation(told),
                color=PALETTE[index % len(PALETTE)], marker=MARKERS[index % len(MARKERS)],
                markersize=7, capsize=3, linestyle=LINES[index % len(LINES)], label=_label(method),
                zorder=3,
            )  # fmt: skip
            shown += target[1:] or target
            cost = place[1] - story[0]
            costs.append(f"{_label(method)}: {cost:.2f}")
            spoken.append(f"{_label(method)}: {place[0]:.2f} and {place[1]:.2f}")
        axes.axhline(story[0], color=INK, linestyle=":", linewidth=1)
        axes.set_xlabel("loss on the new task (nats per token); better to the right")
        axes.set_ylabel("loss on plain stories")
        room = 0.05 * (max(shown) - min(shown)) or 0.1
        axes.set_xlim(max(shown) + room, min(shown) - room)
        handles, labels = axes.get_legend_handles_labels()
        # Outside, where no line can run through it; without the error bars.
        canvas.legend(
            [handle[0] for handle in handles], labels, loc="outside upper center", ncols=3,
            handlelength=3.4,
        )  # fmt: skip
        return finish(
            canvas,
            alt="Lines of the loss on plain stories over the loss on the new task, one for each "
            "method, to the end of training. They come from the base model, at "
            f"{target[0]:.2f} and {story[0]:.2f}, left of the picture. Loss on the task and on "
            f"stories at the best step: {'; '.join(spoken)}.",
            caption="Nats forgotten at the step with the lowest loss on the task: "
            f"{'; '.join(costs)}. Markers: the means there, with one standard deviation over the "
            f"seeds. Dotted: the base model, whose loss on the task, {target[0]:.2f}, is left of "
            "the picture.",
        )


def _ordered(methods: set[str]) -> list[str]:
    """Full fine-tuning, then LoRA from the highest rank to the lowest, then everything else."""

    def place(method: str) -> tuple[int, int, str]:
        rank = method.removeprefix("lora-")
        if rank.isdigit():
            return 1, -int(rank), ""
        return (0, 0, "") if method == "full" else (2, 0, method)

    return sorted(methods, key=place)


def reliability(found: Mapping[str, Calibration]) -> Figure:
    """Accuracy against confidence in each bin, a panel for each model; bars below the diagonal say
    that the model is too sure.

    Args:
        found: what `peftcourse.experiments.calibration.calibration` returned, by name.

    Raises:
        PeftlabError: there is nothing to draw.
    """
    if not found:
        raise PeftlabError("there is nothing to draw; give the calibration of one model at least.")
    findings, spoken = [], []
    with drawing(1, len(found), width=7.6, height=3.1, sharey=True, squeeze=False) as (
        canvas,
        axes,
    ):
        for panel, (name, made) in zip(axes[0], found.items(), strict=True):
            bins = made.bins
            places = [i for i, count in enumerate(bins.count) if count]
            panel.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1.2)
            panel.bar(
                [bins.low[i] for i in places], [bins.accuracy[i] for i in places],
                width=[bins.high[i] - bins.low[i] for i in places], align="edge",
                color=PALETTE[0], alpha=0.75, edgecolor=INK, linewidth=0.6,
            )  # fmt: skip
            panel.plot(
                [bins.confidence[i] for i in places], [bins.accuracy[i] for i in places],
                color=PALETTE[1], marker="o", linestyle="none", markersize=5,
            )  # fmt: skip
            panel.set_title(f"{name}\nECE {made.ece:.2f}, Brier {made.brier:.2f}", fontsize=10)
            panel.set_xlabel("confidence")
            panel.set_xlim(0, 1)
            panel.set_ylim(0, 1.04)  # a dot at one stays whole
            gap = round(made.confidence, 2) - round(made.accuracy, 2)
            way = "as sure as right"
            if gap:
                way = "surer than right" if gap > 0 else "less sure than right"
            findings.append(
                f"{name}: confidence {made.confidence:.0%}, accuracy {made.accuracy:.0%}, {way}, "
                f"ECE {made.ece:.2f}"
            )
            spoken.append(
                f"{name}: "
                + ", ".join(
                    f"{bins.confidence[i]:.2f} → {bins.accuracy[i]:.2f} ({bins.count[i]})"
                    for i in places
                )
            )
        axes[0][0].set_ylabel("accuracy")
        return finish(
            canvas,
            alt="Reliability diagrams: bars of the accuracy in each bin of confidence, beside the "
            f"diagonal. Confidence → accuracy (predictions): {'; '.join(spoken)}.",
            caption="; ".join(findings) + ". Dots: mean confidence of the bin; on the dotted line "
            "a model is exactly as sure as it is right.",
        )


def charts(runs: Sequence[Mapping[str, Any]], *, named: bool) -> Figure:
    """Training and validation curves of the clinic's runs, a panel each.

    Args:
        runs: charts as plain data, see `peftcourse.experiments.clinic.Chart`; the first is healthy,
            and its validation curve is in every panel.
        named: whether the panels say the causes, or only A, B, C.

    Raises:
        PeftlabError: there are no runs.
    """
    if not runs:
        raise PeftlabError("there are no runs to draw; give at least one.")
    columns = min(3, len(runs))
    rows = -(-len(runs) // columns)
    spoken = []
    with drawing(
        rows, columns, width=7.6, height=1.9 * rows + 0.5, sharex=True, sharey=True, squeeze=False
    ) as (canvas, axes):
        healthy = [(step, loss) for step, loss in runs[0]["validation"] if loss is not None]
        for index, (panel, run) in enumerate(zip(axes.flatten(), runs, strict=False)):
            name = run["cause"] if named or index == 0 else "ABCDEFGH"[index - 1]
            panel.plot(*zip(*healthy, strict=True), color=INK, linewidth=1, linestyle=":")
            logged = [loss for loss in run["logged"] if loss is not None]
            panel.plot(
                range(1, len(logged) + 1), logged, color=PALETTE[0], linewidth=1.2,
                marker="." if len(logged) < 3 else None,
            )  # fmt: skip
            held = [(step, loss) for step, loss in run["validation"] if loss is not None]
            panel.plot(
                *zip(*held, strict=True), color=PALETTE[1], marker="o", markersize=4, linestyle="--"
            )
            panel.set_title(name, fontsize=10)
            ended = "" if len(logged) == len(run["logged"]) else ", then not finite"
            spoken.append(
                f"{name}: training {logged[0]:.2f} to {logged[-1]:.2f}{ended}, held-out "
                f"{held[0][1]:.2f} to {held[-1][1]:.2f}"
            )
        for panel in axes.flatten()[len(runs) :]:
            panel.set_axis_off()
        canvas.supxlabel("optimizer step", fontsize=11)
        canvas.supylabel("loss (nats per token)", fontsize=11)
        worst = max(len(run["validation"]) and (run["validation"][-1][1] or 0) for run in runs)
        return finish(
            canvas,
            alt=f"Loss curves of {len(runs)} runs, a panel each. {'; '.join(spoken)}.",
            caption="Solid: the training loss that the run logged; dashed with dots: the loss on "
            "held-out examples, measured right; dotted: that of the healthy run, which ends at "
            f"{healthy[-1][1]:.2f}. The worst run ends at {worst:.2f} held-out.",
        )


def intervals(found: Mapping[str, tuple[float, float, float]]) -> Figure:
    """A mean with two error bars for each setting: over the test examples, and over the seeds.

    Args:
        found: (mean, standard error over examples, standard error over seeds) by name, as shares.

    Raises:
        PeftlabError: there is nothing to draw.
    """
    if not found:
        raise PeftlabError("there is nothing to draw; give one setting at least.")
    with drawing(height=0.75 * len(found) + 1.3) as (canvas, axes):
        for place, (mean, examples, seeds) in enumerate(found.values()):
            for shift, error, color, name in (
                (-0.12, examples, PALETTE[0], "over test examples"),
                (0.12, seeds, PALETTE[1], "over seeds"),
            ):
                axes.errorbar(
                    100 * mean, place + shift, xerr=196 * error, color=color, marker="o", capsize=4,
                    label=name if place == 0 else None,
                )  # fmt: skip
        axes.set_yticks(range(len(found)), list(found))
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.set_xlabel("accuracy (%), with 1.96 standard errors")
        axes.legend(loc="best")
        text = "; ".join(
            f"{name} {mean:.0%}, ± {1.96 * examples:.0%} over test examples, ± "
            f"{1.96 * seeds:.0%} over seeds"
            for name, (mean, examples, seeds) in found.items()
        )
        return finish(
            canvas,
            alt=f"Dots with two horizontal error bars each. {text}.",
            caption=f"{text}. Both belong into a report: they answer different questions.",
        )


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0
