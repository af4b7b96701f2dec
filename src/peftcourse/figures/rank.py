"""Figures of lesson 02: matrices cut to a rank, and what a low rank means for fine-tuning."""

from __future__ import annotations

import html
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peftcourse.figures.style import INK, LINES, PALETTE, Figure, bare, drawing, finish
from peftlab import lowrank
from peftlab.errors import PeftlabError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Slider:
    """Figures of which one shows at a time, chosen by a slider that needs no kernel.

    Without JavaScript the first figure shows. Printed, it is the one chosen last.

    Args:
        frames: the figures, by the label of their place on the slider.
        name: what the slider changes, such as "rank".
        start: the label that shows first.
        caption: the finding of all of them together.
    """

    frames: Mapping[str, Figure]
    name: str
    start: str
    caption: str

    def __post_init__(self) -> None:
        if self.start not in self.frames:
            raise PeftlabError(
                f"no frame {self.start!r} to start with; there are {', '.join(self.frames)}."
            )

    def _repr_html_(self) -> str:
        labels = list(self.frames)
        start = labels.index(self.start)
        drawings = "".join(
            f'<div class="pl-drawing" role="img" aria-label="{html.escape(frame.alt)}"'
            f"{'' if place == start else ' hidden'}>{frame.svg}</div>"
            for place, frame in enumerate(self.frames.values())
        )
        notes = "".join(
            f"<span{'' if place == start else ' hidden'}>{html.escape(frame.caption)} </span>"
            for place, frame in enumerate(self.frames.values())
        )
        # The handler finds its own figure, so that a page may hold several.
        move = (
            "var f=this.closest('figure'),n=Number(this.value);"
            "['.pl-drawing','figcaption span'].forEach(function(s){"
            "f.querySelectorAll(s).forEach(function(e,i){e.hidden=i!==n})});"
            f"this.nextElementSibling.value={html.escape(str(labels), quote=True)}[n];"
            "this.setAttribute('aria-valuetext',this.nextElementSibling.value)"
        )
        return (
            f'<figure class="pl-figure">{drawings}'
            '<label style="display:flex;gap:0.75rem;align-items:center;margin-top:0.5rem">'
            f'{html.escape(self.name)} <input type="range" min="0" max="{len(labels) - 1}" '
            f'value="{start}" step="1" aria-valuetext="{html.escape(self.start)}" '
            f'style="flex:1;max-width:24rem;accent-color:{PALETTE[0]}" oninput="{move}">'
            f'<output style="min-width:3ch;font-weight:600">{html.escape(self.start)}</output>'
            f"</label><figcaption>{notes}{html.escape(self.caption)}</figcaption></figure>"
        )

    def __repr__(self) -> str:
        return f"Slider over the {self.name}: {self.frames[self.start].alt}"


def landscape(size: int = 96) -> Tensor:
    """A picture to compress: a sky, a sun, mountains and their reflection; (size, size), 0 to 1."""
    import torch

    y, x = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    picture = 0.85 - 0.45 * y
    picture[(x - 0.72) ** 2 + (y - 0.24) ** 2 < 0.011] = 1.0
    for peak, height, slope, shade in ((0.3, 0.25, 0.9, 0.35), (0.62, 0.38, 1.1, 0.22)):
        picture[y > height + slope * (x - peak).abs()] = shade
    shore = int(0.68 * size)
    mirrored = picture[2 * shore - size : shore].flip(0)
    ripples = 0.06 * torch.sin(90 * y[shore:] + 6 * x[shore:])
    picture[shore:] = 0.75 * mirrored + ripples
    return picture.clamp(0, 1)


def compression(matrices: Mapping[str, Tensor], ranks: Sequence[int]) -> Slider:
    """Matrices beside each other, cut to a rank that a slider chooses; the last place is whole.

    Args:
        matrices: what to compress, by name; the same scale of grey for all ranks of one.
        ranks: places of the slider, in order.

    Raises:
        PeftlabError: a rank is out of range, or there is nothing to draw.
    """
    if not matrices or not ranks:
        raise PeftlabError("there is nothing to draw; give at least one matrix and one rank.")
    places = [*map(str, ranks), "full"]
    frames = {}
    for place in places:
        notes = []
        with drawing(1, len(matrices), width=3.1 * len(matrices), height=3.2, squeeze=False) as (
            canvas,
            axes,
        ):
            for panel, (name, matrix) in zip(axes[0], matrices.items(), strict=True):
                whole = place == "full"
                rank = min(matrix.shape) if whole else int(place)
                shown = matrix if whole else lowrank.truncate(matrix, rank)
                spread = 2.5 * matrix.std()
                low, high = matrix.mean() - spread, matrix.mean() + spread
                panel.imshow(
                    shown.numpy(), cmap="gray", vmin=float(low), vmax=float(high),
                    interpolation="none",
                )  # fmt: skip
                bare(panel)
                rows, columns = matrix.shape
                kept = 100 * lowrank.energy(matrix)[rank - 1].item()
                stored = rows * columns if whole else rank * (rows + columns)
                share = 100 * stored / (rows * columns)
                panel.set_title(name)
                panel.set_xlabel(f"{rows} × {columns}, numbers: {share:.0f} %", fontsize=9)
                notes.append(f"{name} keeps {kept:.1f} % of its energy in {share:.0f} % of numbers")
            spoken = "; ".join(notes)
            frames[place] = finish(
                canvas,
                alt=f"Grey-scale pictures of {len(matrices)} matrices at rank {place}. {spoken}.",
                caption=f"Rank {place}: {spoken}.",
            )
    needed = "; ".join(
        f"99 % of the energy of {name} needs rank {lowrank.energy_rank(matrix, 0.99)} of "
        f"{min(matrix.shape)}"
        for name, matrix in matrices.items()
    )
    return Slider(frames, "rank", places[len(places) // 2], f"{needed}.")


def spectra(record: Mapping[str, Any], hardware: str) -> Figure:
    """Singular values of W and of ΔW, a panel for each kind of layer, mean over the blocks.

    Args:
        record: the numbers of ``results/rank_updates.json``.
        hardware: what they were measured on.
    """
    kinds = list(record["weight_spectra"])
    runs = record["runs"]
    with drawing(2, 4, width=7.6, height=4.2, sharey=True) as (canvas, axes):
        for panel, kind in zip(axes.flatten(), kinds, strict=False):
            values = record["weight_spectra"][kind]
            panel.plot(range(1, len(values) + 1), values, color=PALETTE[0], label="W")
            for place, run in enumerate(runs):
                values = run["spectra"][kind]
                panel.plot(
                    range(1, len(values) + 1), values, color=PALETTE[1], linestyle=LINES[1],
                    linewidth=1.2, label=None if place else f"ΔW, {len(runs)} seeds",
                )  # fmt: skip
            panel.set_yscale("log")
            panel.set_ylim(1e-3, 1.3)
            panel.set_title(kind)
        for panel in axes.flatten()[len(kinds) :]:
            panel.set_axis_off()
        handles, labels = axes[0, 0].get_legend_handles_labels()
        axes.flatten()[-1].legend(handles, labels, loc="center")
        canvas.supxlabel("number of the singular value", fontsize=11)
        canvas.supylabel("σ relative to the largest", fontsize=11)
        own = _mean(record["weights"], "rank_of_90_percent")
        changed = [_mean(run["updates"], "rank_of_90_percent") for run in runs]
        full = [min(row["rank"] for row in run["updates"].values()) for run in runs]
        faster = [
            kind
            for kind in kinds
            if all(
                sum(r["spectra"][kind]) < 0.9 * sum(record["weight_spectra"][kind]) for r in runs
            )
        ]
        spoken = (
            f"The spectrum of ΔW falls clearly faster than that of W in {len(faster)} of "
            f"{len(kinds)} kinds of layers ({', '.join(faster)}), and does not end: 90 % of the "
            f"energy of W needs rank {own:.0f} on average, of ΔW "
            f"{min(changed):.0f} to {max(changed):.0f}; yet no ΔW has a rank below {min(full)}"
        )
        return finish(
            canvas,
            alt="Line plots of singular values on a logarithmic axis, a panel for each kind of "
            f"layer. {spoken}.",
            caption=f"{spoken}. Mean over the blocks; recorded on {hardware}.",
        )


def cut_losses(record: Mapping[str, Any], hardware: str) -> Figure:
    """Loss when each update is cut to a rank, at two learning rates, and when each weight is.

    Args:
        record: the numbers of ``results/rank_updates.json``.
        hardware: what they were measured on.
    """
    ranks = [int(rank) for rank in record["runs"][0]["loss"] if rank not in ("whole", "0")]
    groups = {
        f"rate {record['learning_rate']:g} (best)": record["runs"],
        f"rate {record['higher_rate']:g}": record["higher_runs"],
    }
    spoken_of = []
    with drawing(1, 2, width=7.6, height=3.8) as (canvas, (left, right)):
        for place, (label, runs) in enumerate(groups.items()):
            cut = [[run["loss"][str(rank)] for run in runs] for rank in ranks]
            color = PALETTE[1 + place]
            _with_bars(left, ranks, cut, color, label, marker="os"[place])
            none, whole = (
                statistics.fmean(run["loss"][kept] for run in runs) for kept in ("0", "whole")
            )
            left.axhline(none, color=color, linewidth=1, linestyle=LINES[3])
            left.text(ranks[-1], none, "no ΔW", color=color, va="bottom", ha="right", fontsize=9)
            eight = statistics.fmean(cut[ranks.index(8)])
            spoken_of.append(
                f"at {label}, {eight:.2f} nats per token cut to rank 8, {whole:.2f} whole, "
                f"{none:.2f} without ΔW"
            )
        left.legend(loc="upper right", fontsize=9)
        left.set_title("the update ΔW")
        stories = record["stories_loss"]
        places = [int(rank) for rank in stories if rank != "whole"]
        right.plot(places, [stories[str(rank)] for rank in places], color=PALETTE[0], marker="o")
        right.axhline(stories["whole"], color=INK, linewidth=1, linestyle=LINES[1])
        right.text(places[0], stories["whole"], "full W", va="bottom", fontsize=9)
        right.set_title("the weight W")
        for axes, ticks in ((left, ranks), (right, places)):
            axes.set_xscale("log", base=2)
            axes.set_xticks(ticks, [str(tick) for tick in ticks])
            axes.minorticks_off()
            axes.set_xlabel("rank r")
            axes.set_ylim(bottom=0)
        left.set_ylabel("loss (nats per token)")
        spoken = (
            f"The update cut after training: {'; '.join(spoken_of)}. The model's own weights cut "
            f"to rank {places[-2]} tell stories at {stories[str(places[-2])]:.2f} instead of "
            f"{stories['whole']:.2f}"
        )
        return finish(
            canvas,
            alt=f"Two line plots of the loss against the rank that is kept. {spoken}.",
            caption=f"{spoken}. Mean and range of {len(record['runs'])} seeds; "
            f"recorded on {hardware}.",
        )


def intrinsic_dimension(
    record: Mapping[str, Any], hardware: str, live: Mapping[int, float] | None = None
) -> Figure:
    """Accuracy against how many numbers were trained in a random subspace.

    Args:
        record: the numbers of ``results/rank_dimension.json``.
        hardware: what they were measured on.
        live: accuracies of this page's own run, by dimension; drawn beside the recorded ones.
    """
    accuracies: dict[int, list[float]] = {}
    for run in record["runs"]:
        accuracies.setdefault(run["dimension"], []).append(run["accuracy"])
    whole = accuracies.pop(record["weights"])
    full, start = statistics.fmean(whole), record["accuracy_before"]
    dimensions = sorted(accuracies)
    means = {d: statistics.fmean(accuracies[d]) for d in dimensions}
    reached = next((d for d in dimensions if means[d] >= 0.9 * full), None)
    with drawing() as (canvas, axes):
        _with_bars(axes, dimensions, [accuracies[d] for d in dimensions], PALETTE[0], "d numbers")
        if live:
            axes.plot(
                list(live), list(live.values()), color=PALETTE[1], marker="D", linestyle="",
                label="on this page",
            )  # fmt: skip
        marks = ((start, "before"), (full, "all weights"), (0.9 * full, "90 % of that"))
        for height, label in marks:
            axes.axhline(height, color=INK, linewidth=1, linestyle=LINES[1])
            axes.text(dimensions[0], height, label, va="bottom", fontsize=9)
        axes.set_xscale("log")
        axes.set_xlabel("numbers that train, d")
        axes.set_ylabel("accuracy (share of tokens)")
        axes.set_ylim(0, 1.05 * max(max(means.values()), full))
        axes.legend(loc="lower right")
        shares = ", ".join(f"{d:,} reach {100 * means[d] / full:.0f} %" for d in dimensions)
        verdict = (
            f"{reached:,} are the first to reach 90 %" if reached else "none of these reaches 90 %"
        )
        spoken = (
            f"of the accuracy of {record['weights']:,} weights after {record['steps']} steps "
            f"({full:.2f}, from {start:.2f} before), {shares}; {verdict}"
        )
        return finish(
            canvas,
            alt=f"Line plot of the accuracy, rising with the numbers that train: {spoken}.",
            caption=f"Random subspaces: {spoken}. Mean and range of {len(whole)} seeds; recorded "
            f"on {hardware}.",
        )


def similarities(found: Mapping[str, Mapping[int, float]]) -> Figure:
    """φ(i, i) of leading directions, against i.

    Args:
        found: similarities by the number of directions, by what is compared.
    """
    if not found:
        raise PeftlabError("there is nothing to compare; give at least one pair of updates.")
    with drawing() as (canvas, axes):
        findings = []
        for place, (label, values) in enumerate(found.items()):
            counts = list(values)
            axes.plot(
                counts, list(values.values()), color=PALETTE[place], marker="os^"[place % 3],
                markersize=5, linestyle=LINES[place % len(LINES)], label=label,
            )  # fmt: skip
            first, last = values[counts[0]], values[counts[-1]]
            findings.append(
                f"{label} {first:.2g} for i = {counts[0]}, {last:.2g} for i = {counts[-1]}"
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.set_xlabel("leading directions of each, i")
        axes.set_ylabel("similarity φ(i, i)")
        axes.set_ylim(0, 1)
        axes.legend()
        spoken = "; ".join(findings)
        return finish(
            canvas,
            alt=f"Line plot of the similarity of leading input directions. {spoken}.",
            caption=f"Similarity, mean over all matrices: {spoken}.",
        )


def intruders(record: Mapping[str, Any], hardware: str) -> Figure:
    """Intruder dimensions by method and learning rate, and what was forgotten beside them.

    Args:
        record: the numbers of ``results/rank_intruders.json``.
        hardware: what they were measured on.
    """
    runs: dict[tuple[int, float], list[Mapping[str, Any]]] = {}
    for run in record["runs"]:
        runs.setdefault((run["rank"], run["rate"]), []).append(run)

    def mean(found: Sequence[Mapping[str, Any]], key: str) -> float:
        return statistics.fmean(run[key] for run in found)

    def count(found: Sequence[Mapping[str, Any]]) -> float:
        return statistics.fmean(run["intruders"]["0.5"] for run in found)

    ranks = sorted({rank for rank, _ in runs})
    best = {
        rank: min((key for key in runs if key[0] == rank), key=lambda key: mean(runs[key], "loss"))
        for rank in ranks
    }
    names = {rank: f"LoRA, r = {rank}" if rank else "full" for rank in ranks}
    with drawing(1, 2, width=7.6, height=3.6) as (canvas, (left, right)):
        for place, rank in enumerate(ranks):
            rates = sorted(rate for known, rate in runs if known == rank)
            style = {
                "color": PALETTE[place % len(PALETTE)], "marker": "os^Dv"[place % 5],
                "markersize": 5,
            }  # fmt: skip
            left.plot(
                rates, [count(runs[rank, rate]) for rate in rates],
                linestyle=LINES[place % len(LINES)], label=names[rank], **style,
            )  # fmt: skip
            left.plot(
                *([best[rank][1]], [count(runs[best[rank]])]), marker="o", markersize=11,
                markerfacecolor="none", markeredgecolor=INK, linestyle="",
            )  # fmt: skip
            points = [run for key in runs if key[0] == rank for run in runs[key]]
            right.plot(
                [run["intruders"]["0.5"] for run in points],
                [run["stories"] - record["stories_before"] for run in points],
                linestyle="", **style,
            )  # fmt: skip
        left.set_xscale("log")
        left.set_xlabel("learning rate (ring: best for the task)")
        left.set_ylabel(f"intruders among {record['leading']} (mean)")
        left.set_ylim(bottom=0)
        left.legend(fontsize=8)
        right.set_xlabel(f"intruders among {record['leading']} (mean)")
        right.set_ylabel("forgotten (nats per token)")
        right.set_ylim(bottom=0)
        at_best = ", ".join(
            f"{count(runs[best[rank]]):.1f} with "
            + (f"LoRA of rank {rank}" if rank else "full fine-tuning")
            for rank in ranks
        )
        fastest = max(rate for rank, rate in runs if rank == 0)
        spoken = (
            f"of {record['leading']} leading singular vectors of a matrix, intruders are at each "
            f"method's best rate {at_best}; and {count(runs[0, fastest]):.1f} with full "
            f"fine-tuning at {fastest / best[0][1]:.0f} times its best rate"
        )
        return finish(
            canvas,
            alt="Two plots, of the number of intruder dimensions against the learning rate, and of "
            f"what was forgotten against that number: {spoken}.",
            caption=f"Intruders have a cosine below ½ with every old singular vector: {spoken}. "
            f"Right: every run. Means over the matrices; recorded on {hardware}.",
        )


def _with_bars(
    axes: Any,
    places: Sequence[int],
    values: Sequence[Sequence[float]],
    color: str,
    label: str,
    marker: str = "o",
) -> None:
    """Means joined by a line, and bars from the least to the largest value."""
    means = [statistics.fmean(v) for v in values]
    below = [mean - min(v) for mean, v in zip(means, values, strict=True)]
    above = [max(v) - mean for mean, v in zip(means, values, strict=True)]
    axes.errorbar(
        places, means, [below, above], color=color, marker=marker, markersize=5, capsize=3,
        label=label,
    )  # fmt: skip


def _mean(rows: Mapping[str, Mapping[str, float]], key: str) -> float:
    return statistics.fmean(row[key] for row in rows.values())
