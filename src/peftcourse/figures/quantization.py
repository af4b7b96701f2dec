"""Figures of lesson 06: levels, errors by block, and what they do to a model."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from peftcourse.figures.style import INK, LINES, PALETTE, Figure, drawing, finish
from peftlab.errors import PeftlabError

if TYPE_CHECKING:
    from torch import Tensor

MARKERS = ("o", "s", "^", "D", "v", "P")


def levels(weight: Tensor, formats: Mapping[str, Sequence[float]], block_size: int = 64) -> Figure:
    """Where a format has its levels, over where the weights of a block are.

    Args:
        weight: any shape; its blocks are divided by their absmax.
        formats: the levels in [-1, 1], by the name of the format.
        block_size: weights in a block.
    """
    import torch

    if not formats:
        raise PeftlabError("there is no format to draw; give the levels of at least one.")
    flat = weight.detach().float().flatten().cpu()
    blocks = flat[: len(flat) - len(flat) % block_size].view(-1, block_size)
    scaled = (blocks / blocks.abs().amax(dim=1, keepdim=True)).flatten()
    counts, edges = torch.histogram(scaled, bins=101, range=(-1, 1), density=True)
    centres = (edges[:-1] + edges[1:]) / 2
    # Of sixteen codes, how many are worth it: 2 to the entropy of how often each is used.
    worth = {}
    for name, values in formats.items():
        ordered = torch.tensor(sorted(set(values)))
        used = torch.bucketize(scaled, (ordered[:-1] + ordered[1:]) / 2).bincount(
            minlength=len(ordered)
        )
        share = used / used.sum()
        worth[name] = 2 ** -(share * share.clamp(min=1e-12).log2()).sum().item()
    with drawing(
        1 + len(formats), height=2.2 + 0.5 * len(formats), sharex=True,
        height_ratios=[3] + [0.5] * len(formats), squeeze=False,
    ) as (canvas, panels):  # fmt: skip
        axes = panels[0][0]
        axes.fill_between(centres, counts, color=PALETTE[0], alpha=0.3, linewidth=0)
        axes.plot(centres, counts, color=PALETTE[0], linewidth=1.4)
        axes.set_ylabel("density of weights")
        axes.set_ylim(0, 1.15 * counts[1:-1].max().item())
        for row, (name, values) in enumerate(formats.items(), 1):
            panel = panels[row][0]
            panel.vlines(sorted(values), 0, 1, color=PALETTE[row], linewidth=2)
            panel.set_ylabel(name, rotation=0, ha="right", va="center")
            panel.set_yticks([])
            panel.grid(False)
            panel.spines["left"].set_visible(False)
        panels[-1][0].set_xlabel("weight divided by the absmax of its block")
        spoken = ", ".join(f"{name} {value:.1f}" for name, value in worth.items())
        best, worst = max(worth, key=worth.get), min(worth, key=worth.get)
        return finish(
            canvas,
            alt="Density of the scaled weights, a bell around zero, above tick marks for the "
            f"levels of each format. Codes that the weights really use: {spoken}.",
            caption=f"Weights crowd around zero, and so do the levels of {best}. Counted by how "
            f"evenly they are used, its codes are worth {worth[best]:.1f} equally likely ones, "
            f"those of {worst} {worth[worst]:.1f}.",
        )


def code_use(
    codes: Mapping[str, tuple[Sequence[float], Sequence[float], float]],
    counted: Mapping[str, Sequence[float]],
) -> Figure:
    """How often each code is used, at its level, for several codes; the first also as counted.

    Args:
        codes: levels, the share of normal numbers that each is used for, and the relative error of
            the weights, by the name of the code.
        counted: shares of the first code's levels that were counted, by what was quantized.
    """
    first, *others = codes
    with drawing(1, len(codes), width=7.6, height=3.2, sharey=True, squeeze=False) as (
        canvas,
        panels,
    ):
        for index, (panel, (name, (levels, used, error))) in enumerate(
            zip(panels[0], codes.items(), strict=True)
        ):
            panel.vlines(levels, 0, [100 * share for share in used], color=PALETTE[index])
            panel.axhline(100 / len(levels), color=INK, linestyle=":", linewidth=1)
            panel.set_title(f"{name}\noff by {100 * error:.1f} %")
            panel.set_xticks([-1, 0, 1])
        for index, (name, shares) in enumerate(counted.items()):
            panels[0][0].plot(
                codes[first][0], [100 * share for share in shares], MARKERS[index],
                color=PALETTE[-1 - index], markersize=4, label=f"counted: {name}",
            )  # fmt: skip
        panels[0][0].set_ylim(bottom=0)
        panels[0][0].set_ylabel("numbers that take the code (%)")
        canvas.supxlabel("level (of the absmax of the block)", fontsize=11)
        canvas.legend(loc="outside upper center", ncols=len(counted))
        spoken = "; ".join(
            f"{name}: {100 * min(used):.1f} to {100 * max(used):.1f} %, off by {100 * error:.2f} %"
            for name, (_, used, error) in codes.items()
        )
        _, used, error = codes[first]
        return finish(
            canvas,
            alt="Bars at the levels of each code, as high as the share of normal numbers that "
            f"takes it, and a dotted line at equal shares. {spoken}.",
            caption=f"{first}'s codes are taken by {100 * min(used):.1f} to {100 * max(used):.1f} "
            f"% of the numbers, and its weights are off by {100 * error:.1f} %; "
            + "; ".join(f"{name}, by {100 * codes[name][2]:.1f} %" for name in others)
            + ". Equal shares (dotted) are not what makes the error small.",
        )


def outlier(sizes: Sequence[float], errors: Mapping[int, Sequence[float]]) -> Figure:
    """Error of the other weights while one weight grows, by block size.

    Args:
        sizes: the outlier, in standard deviations of the weights.
        errors: relative error of all other weights at those sizes, by block size.
    """
    with drawing(height=3.0) as (canvas, axes):
        for index, (block, values) in enumerate(errors.items()):
            axes.plot(
                sizes, values, color=PALETTE[index], linestyle=LINES[index % len(LINES)],
                marker=MARKERS[index], markersize=5, label=f"blocks of {block:,}",
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xlabel("size of one outlier (standard deviations)")
        axes.set_ylabel("error of the others")
        axes.set_ylim(bottom=0)
        axes.legend()
        spoken = "; ".join(
            f"blocks of {block:,}: {100 * values[0]:.1f} % with an outlier of {sizes[0]:g}, "
            f"{100 * values[-1]:.1f} % with one of {sizes[-1]:g}"
            for block, values in errors.items()
        )
        small, large = min(errors), max(errors)
        return finish(
            canvas,
            alt=f"Line plot of the error of all other weights over the outlier's size. {spoken}.",
            caption=f"One weight of {sizes[-1]:g} standard deviations raises the error of all the "
            f"others from {100 * errors[large][0]:.1f} % to {100 * errors[large][-1]:.1f} % in "
            f"blocks of {large:,}, and from {100 * errors[small][0]:.1f} % to "
            f"{100 * errors[small][-1]:.1f} % in blocks of {small:,}.",
        )


def block_errors(models: Mapping[str, Sequence[Mapping[str, Any]]], reference: int = 64) -> Figure:
    """Weight error against bits per weight, a panel for each model, a line for each format.

    Args:
        models: rows of ``results/quantization_errors.json`` by model: ``kind``, ``block``,
            ``bits``, ``error``. Rows with block 0 (one scale for a matrix) are left out.
        reference: the block size that the caption compares formats at.
    """
    if not models:
        raise PeftlabError("there is no model to draw; give the rows of at least one.")
    findings = []
    with drawing(1, len(models), width=7.6, height=3.2, sharey=True, squeeze=False) as (
        canvas,
        panels,
    ):
        for panel, (model, rows) in zip(panels[0], models.items(), strict=True):
            at_reference = {}
            for index, kind in enumerate(dict.fromkeys(row["kind"] for row in rows)):
                line = [row for row in rows if row["kind"] == kind and row["block"]]
                panel.plot(
                    [row["bits"] for row in line], [100 * row["error"] for row in line],
                    color=PALETTE[index], linestyle=LINES[index % len(LINES)],
                    marker=MARKERS[index], markersize=4, linewidth=1.4,
                    label=kind if panel is panels[0][0] else None,
                )  # fmt: skip
                (at_reference[kind],) = (r["error"] for r in line if r["block"] == reference)
            panel.set_title(model)
            panel.set_ylim(bottom=0)
            spoken = ", ".join(f"{kind} {100 * e:.1f} %" for kind, e in at_reference.items())
            findings.append(f"{model}: {spoken}")
        canvas.supxlabel("bits per weight, scales included", fontsize=11)
        panels[0][0].set_ylabel("relative error of the weights (%)")
        canvas.legend(loc="outside upper center", ncols=4)
        return finish(
            canvas,
            alt="Line plots of the relative weight error over bits per weight, one panel per "
            "model; each line goes from large blocks on its left to small ones on its right. "
            f"In blocks of {reference}: {'; '.join(findings)}.",
            caption=f"Error in blocks of {reference}, for {'; for '.join(findings)}. Along each "
            "line blocks shrink from left to right: smaller blocks buy accuracy with bits.",
        )


def loss_increase(rows: Sequence[Mapping[str, Any]], model: str) -> Figure:
    """What quantizing adds to a model's loss, by block size, with standard errors.

    Args:
        rows: of ``results/quantization_errors.json``: ``kind``, ``block`` (0: one scale for a
            matrix), ``loss_increase`` and ``standard_error`` in nats per token.
        model: what to call the model.
    """
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    blocks = sorted({row["block"] for row in rows}, key=lambda block: block or math.inf)
    names = [f"{block:,}" if block else "matrix" for block in blocks]
    with drawing(height=3.6) as (canvas, axes):
        for index, kind in enumerate(kinds):
            line = {row["block"]: row for row in rows if row["kind"] == kind}
            axes.errorbar(
                [place + 0.06 * (index - len(kinds) / 2) for place in range(len(blocks))],
                [line[block]["loss_increase"] for block in blocks],
                [line[block]["standard_error"] for block in blocks],
                color=PALETTE[index], linestyle=LINES[index % len(LINES)], linewidth=1.4,
                marker=MARKERS[index], markersize=5, capsize=2, label=kind,
            )  # fmt: skip
        axes.set_xticks(range(len(blocks)), names)
        axes.set_yscale("symlog", linthresh=0.01)
        axes.set_ylim(bottom=min(-0.002, *(row["loss_increase"] for row in rows)))
        axes.set_xlabel("weights that share a scale")
        axes.set_ylabel("added loss (nats per token)")
        axes.legend(ncols=2)
        found = {(row["kind"], row["block"]): row for row in rows}
        spoken = "; ".join(
            f"{kind} {found[kind, 64]['loss_increase']:+z.4f} ± "
            f"{found[kind, 64]['standard_error']:.4f} in blocks of 64 and "
            f"{found[kind, 0]['loss_increase']:+z.3f} with one scale for a matrix"
            for kind in kinds
        )
        return finish(
            canvas,
            alt=f"Line plot of the added loss of {model} over the block size, one line per format, "
            f"with standard errors. {spoken}.",
            caption=f"What quantizing every linear layer adds to the loss of {model}: {spoken}.",
        )


def preparation(cases: Sequence[Mapping[str, Any]], hardware: str) -> Figure:
    """Peak memory and time of a step by how a model was prepared, for several sizes of a step.

    Args:
        cases: of ``results/quantization_kbit_cuda.json``; those of the first shape are drawn.
        hardware: where they were measured.
    """
    shape = cases[0]["shape"]
    rows = {(row["setting"], *row["size"]): row for row in cases if row["shape"] == shape}
    settings = list(dict.fromkeys(name for name, *_ in rows))
    sizes = list(dict.fromkeys((batch, length) for _, batch, length in rows))
    measures = {
        "peak memory (GiB)": lambda row: row["peak_bytes"] / 2**30,
        "one step (s)": lambda row: statistics.median(row["seconds"]),
    }
    with drawing(1, 2, width=7.6, height=3.6, squeeze=False) as (canvas, panels):
        width = 0.8 / len(settings)
        for panel, (quantity, measure) in zip(panels[0], measures.items(), strict=True):
            for index, name in enumerate(settings):
                left = width * (index - (len(settings) - 1) / 2)
                panel.bar(
                    [place + left for place in range(len(sizes))],
                    [measure(rows[name, *size]) for size in sizes],
                    width, color=PALETTE[index], label=name if panel is panels[0][0] else None,
                )  # fmt: skip
            panel.set_xticks(range(len(sizes)), [f"{b} × {length:,}" for b, length in sizes])
            panel.set_ylabel(quantity)
            panel.grid(False, axis="x")
        canvas.supxlabel("sequences × tokens of each", fontsize=11)
        canvas.legend(loc="outside upper center", ncols=2)
        batch, length = sizes[-1]
        peak, seconds = measures.values()
        spoken = "; ".join(
            f"{name}: {peak(rows[name, batch, length]):.1f} GiB and "
            f"{seconds(rows[name, batch, length]):.1f} s"
            for name in settings
        )
        return finish(
            canvas,
            alt=f"Two groups of bars, peak memory and seconds of a step of {shape} on one "
            f"{hardware}, for {len(sizes)} sizes of a step. With {batch} × {length:,} tokens: "
            f"{spoken}.",
            caption=f"{shape} on one {hardware}, a step of {batch} × {length:,} tokens. {spoken}.",
        )


def seeds(values: Mapping[str, Sequence[float]], quantity: str) -> Figure:
    """One dot for each seed and a bar of one standard error around each mean.

    Args:
        values: what came out with each seed, by setting.
        quantity: what is measured, with its unit.
    """
    if any(len(found) < 2 for found in values.values()):
        raise PeftlabError("a standard error needs at least two seeds for each setting.")
    means = {name: statistics.mean(found) for name, found in values.items()}
    errors = {
        name: statistics.stdev(found) / math.sqrt(len(found)) for name, found in values.items()
    }
    with drawing(height=1.1 + 0.45 * len(values)) as (canvas, axes):
        for row, (name, found) in enumerate(values.items()):
            color = PALETTE[row % len(PALETTE)]
            axes.plot(found, [row] * len(found), "o", color=color, alpha=0.5, markersize=6)
            axes.errorbar(
                means[name], row + 0.22, xerr=errors[name], color=INK, marker="|", markersize=9,
                capsize=3, linewidth=1.4,
            )  # fmt: skip
        axes.set_yticks(range(len(values)), list(values))
        axes.set_ylim(len(values) - 0.5, -0.5)
        axes.grid(False, axis="y")
        axes.set_xlabel(quantity)
        spoken = "; ".join(f"{name} {means[name]:z.3f} ± {errors[name]:.3f}" for name in values)
        count = min(map(len, values.values()))
        return finish(
            canvas,
            alt=f"Dot plot of {quantity}, one row per setting. Mean and standard error: {spoken}.",
            caption=f"{quantity[0].upper()}{quantity[1:]}, mean ± standard error of {count} seeds: "
            f"{spoken}.",
        )


def bases(
    losses: Mapping[str, Sequence[float]], peaks: Mapping[str, Mapping[str, float]], where: str
) -> Figure:
    """What LoRA learns on bases of several precisions, and what training then takes.

    Args:
        losses: base → loss of each seed after training, in nats per token.
        peaks: base → name of a way to train → peak memory in bytes; all bases have the same ways.
        where: shape and hardware of the peaks.

    Raises:
        PeftlabError: there is no base in one of them.
    """
    if not losses or not peaks:
        raise PeftlabError("there is no base to draw; give losses and peaks of at least one.")
    size = {"width": 7.4, "height": 3.2}
    with drawing(1, 2, **size) as (canvas, (left, right)):
        means = {name: statistics.mean(found) for name, found in losses.items()}
        for row, (name, found) in enumerate(losses.items()):
            left.plot(found, [row] * len(found), "o", color=PALETTE[row], alpha=0.6, markersize=6)
            left.plot([means[name]] * 2, [row - 0.25, row + 0.25], color=INK, linewidth=1.5)
        left.set_yticks(range(len(losses)), list(losses))
        left.set_ylim(len(losses) - 0.5, -0.5)
        left.grid(False, axis="y")
        left.set_xlabel("validation loss (nats per token)")
        ways = list(next(iter(peaks.values())))
        for index, way in enumerate(ways):
            shift = 0.8 * (index - (len(ways) - 1) / 2) / len(ways)
            right.barh(
                [row + shift for row in range(len(peaks))],
                [found[way] / 2**30 for found in peaks.values()],
                height=0.7 / len(ways), color=PALETTE[index], label=way,
            )  # fmt: skip
        right.set_yticks(range(len(peaks)), list(peaks))
        right.set_ylim(len(peaks) - 0.5, -0.5)
        right.grid(False, axis="y")
        right.set_xlabel("peak memory (GiB)")
        canvas.legend(loc="outside upper center", ncols=len(ways))
        spoken = "; ".join(
            f"{name}: "
            + ", ".join(f"{way} {value / 2**30:.1f} GiB" for way, value in found.items())
            for name, found in peaks.items()
        )
        apart = max(means.values()) - min(means.values())
        spread = max(max(found) - min(found) for found in losses.values())
        return finish(
            canvas,
            alt="Two panels. Dot plot of the validation loss, one dot a seed: "
            + "; ".join(f"{name} {mean:.3f}" for name, mean in means.items())
            + f". Bars of the peak memory on {where}: {spoken}.",
            caption=f"The mean losses lie within {apart:.3f} nats, the seeds of one base up to "
            f"{spread:.3f} apart. Peak memory on {where}, {spoken}.",
        )
