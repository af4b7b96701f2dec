"""Figures of lesson 03: how a LoRA adapter learns, and what it looks like."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from peftcourse.figures.style import (
    LINES,
    PALETTE,
    Figure,
    bare,
    diverging,
    drawing,
    finish,
    sequence,
)
from peftlab.errors import PeftlabError

if TYPE_CHECKING:
    from torch import Tensor

    from peftcourse.experiments.train import History

# A wide matrix is shown as its upper left corner: more than this many entries on a side would be
# finer than the pixels of the page.
CORNER = 96


def loss_curves(histories: Mapping[str, History]) -> Figure:
    """Training and validation loss over the steps of one run or several.

    Args:
        histories: a training history by the name of its run.
    """
    if not histories:
        raise PeftlabError("there is no run to draw; give at least one history.")
    findings = []
    with drawing() as (canvas, axes):
        for (name, history), color in zip(histories.items(), PALETTE, strict=False):
            axes.plot(history.steps, history.losses, color=color, alpha=0.5, linewidth=1)
            finding = f"{name}: training loss from {history.losses[0]:.2f} "
            finding += f"to {history.losses[-1]:.2f}"
            if history.validation:
                steps, losses = zip(*history.validation, strict=True)
                axes.plot(steps, losses, color=color, marker="o", markersize=5, label=name)
                finding = f"{name}: validation loss from {losses[0]:.2f} to {losses[-1]:.2f}"
            findings.append(f"{finding} in {history.steps[-1]} steps")
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("loss (nats per token)")
        axes.set_ylim(bottom=0)
        axes.legend()
        spoken = "; ".join(findings)
        return finish(
            canvas,
            alt=f"Line plot of the loss over training steps. {spoken}.",
            caption=f"{spoken[0].upper()}{spoken[1:]}. Dots: validation; thin line: the batch of "
            "each step.",
        )


def equation(d_out: int, d_in: int, rank: int) -> Figure:
    """LoRA's equation with every matrix and vector drawn to one scale.

    Args:
        d_out, d_in: sides of the adapted weight.
        rank: of the update; at least 2 % of the longer side, or its strip would not be seen.
    """
    longer = max(d_out, d_in)
    if not 1 <= rank <= longer or rank < 0.02 * longer:
        raise PeftlabError(
            f"rank {rank} of a {d_out} × {d_in} matrix cannot be drawn to scale: the strip would "
            "be thinner than a line; draw a smaller matrix or a larger rank."
        )
    height, width, strip = d_out / longer, d_in / longer, rank / longer
    vector = 0.02  # a vector is one number wide, which nobody would see
    frozen, trained = d_out * d_in, rank * (d_out + d_in)
    # What stands from left to right: a sign, or (name, sides, caption, colour).
    parts: list[str | tuple[str, float, float, str, str]] = [
        ("y", vector, height, f"{d_out}", PALETTE[2]),
        "=",
        ("W", width, height, f"{d_out} × {d_in}", PALETTE[0]),
        ("x", vector, width, f"{d_in}", PALETTE[2]),
        "+  α/r",
        ("B", strip, height, f"{d_out} × {rank}", PALETTE[1]),
        ("A", width, strip, f"{rank} × {d_in}", PALETTE[1]),
        ("x", vector, width, f"{d_in}", PALETTE[2]),
    ]
    with drawing(width=6.4, height=2.5) as (canvas, axes):
        bare(axes)
        axes.set_aspect("equal")
        at = 0.0
        for part in parts:
            if isinstance(part, str):
                room = 0.2 + 0.055 * len(part)
                axes.text(at + room / 2, 0, part, ha="center", va="center", fontsize=13)
                at += room
                continue
            name, wide, tall, caption, color = part
            room = max(wide, 0.2)  # for the words below
            left = at + (room - wide) / 2
            axes.bar(left, tall, wide, -tall / 2, align="edge", color=color, alpha=0.85)
            axes.text(at + room / 2, 0.62, name, ha="center", va="center", fontweight="bold")
            axes.text(at + room / 2, -0.62, caption, ha="center", va="center", fontsize=9)
            at += room + 0.08
        axes.set_xlim(-0.05, at)
        axes.set_ylim(-0.72, 0.72)
        share = f"{trained:,} numbers train, {100 * trained / frozen:.1f} % of the {frozen:,} of W"
        return finish(
            canvas,
            alt=f"The equation y = W x + α/r B A x drawn to scale: W is {d_out} by {d_in}, B a "
            f"narrow column of {d_out} by {rank}, A a flat row of {rank} by {d_in}. {share}.",
            caption=f"Drawn to scale for r = {rank}: {share}. Blue is frozen, orange trains; the "
            "vectors are drawn wider than they are.",
        )


def voices(losses: Mapping[str, Mapping[str, float]]) -> Figure:
    """What each adapter of one model makes of each kind of text.

    Args:
        losses: nats per token, by kind of text and then by what is switched on.
    """
    texts, switched = list(losses), list(next(iter(losses.values())))
    with drawing(height=0.75 * len(texts) + 1.2) as (canvas, axes):
        for place, (name, color, marker) in enumerate(
            zip(switched, PALETTE, ("o", "s", "D", "^", "v", "P"), strict=False)
        ):
            axes.scatter(
                [losses[text][name] for text in texts],
                [row + 0.22 * (place - (len(switched) - 1) / 2) for row in range(len(texts))],
                color=color,
                marker=marker,
                s=48,
                label=name,
            )
        axes.set_yticks(range(len(texts)), texts)
        axes.set_ylim(len(texts) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel("loss (nats per token)")
        canvas.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3)
        best = {text: min(found, key=found.get) for text, found in losses.items()}
        finding = "; ".join(
            f"on {text}: {name} ({losses[text][name]:.2f})" for text, name in best.items()
        )
        spoken = "; ".join(
            f"{text}: " + ", ".join(f"{name} {loss:.2f}" for name, loss in found.items())
            for text, found in losses.items()
        )
        return finish(
            canvas,
            alt="Dots of the loss in nats per token for each kind of text and what is switched on. "
            f"{spoken}.",
            caption=f"One base, and a switch. Lowest loss {finding}.",
        )


def matrices(weights: Mapping[str, Tensor]) -> Figure:
    """Heat maps of matrices side by side, each with its own signed colour scale.

    Args:
        weights: 2-dimensional tensors by name, such as W, A, B, BA, W + BA. Of a large one the
            upper left corner is shown.
    """
    import torch

    spreads = {name: matrix.float().std().item() for name, matrix in weights.items()}
    shown = {name: matrix.detach().float()[:CORNER, :CORNER] for name, matrix in weights.items()}
    # A thin matrix gets a thin panel, but never one too thin for its title.
    widths = [max(0.3, matrix.shape[1] / CORNER) for matrix in shown.values()]
    with drawing(1, len(shown), width=7.6, height=2.5, width_ratios=widths, squeeze=False) as (
        canvas,
        axes,
    ):
        for panel, (name, matrix) in zip(axes[0], shown.items(), strict=True):
            # Three standard deviations: a few large entries do not bleach the rest.
            limit = 3 * spreads[name] or 1.0
            panel.imshow(matrix.numpy(), cmap=diverging(), vmin=-limit, vmax=limit)
            bare(panel)
            rows, columns = weights[name].shape
            panel.set_title(name)
            panel.set_xlabel(f"{rows} × {columns}\n±{limit:.2g}", fontsize=9)
        ranks = {
            name: int(torch.linalg.matrix_rank(matrix.detach().double(), rtol=1e-5))
            for name, matrix in weights.items()
        }
        spoken = "; ".join(
            f"{name} is {matrix.shape[0]} by {matrix.shape[1]}, rank {ranks[name]}, "
            f"standard deviation {spreads[name]:.2g}"
            for name, matrix in weights.items()
        )
        caption = (
            f"Upper left corners of at most {CORNER} × {CORNER} entries; blue is negative, orange "
            "positive, and the number below each is the end of its scale (three standard "
            "deviations)."
        )
        if "W" in spreads and "BA" in spreads:
            caption = (
                f"BA has the shape of W but rank {ranks['BA']} instead of {ranks['W']}; the "
                f"entries of W are {spreads['W'] / spreads['BA']:.1f} times as large. {caption}"
            )
        return finish(canvas, alt=f"Heat maps of {len(shown)} matrices. {spoken}.", caption=caption)


def entry_distributions(W: Tensor, BA: Tensor) -> Figure:
    """How large the entries of a weight and of its update are, on a logarithmic density scale."""
    import torch

    spread_W, spread_BA = W.float().std().item(), BA.float().std().item()
    limit = 4 * max(spread_W, spread_BA)
    with drawing() as (canvas, axes):
        for name, matrix, color, line in (
            ("W", W, PALETTE[0], LINES[0]),
            ("BA", BA, PALETTE[1], LINES[1]),
        ):
            entries = matrix.detach().float().flatten()
            counts, edges = torch.histogram(
                entries.cpu(), bins=81, range=(-limit, limit), density=True
            )
            centres = (edges[:-1] + edges[1:]) / 2
            kept = counts > 0
            axes.plot(centres[kept], counts[kept], color=color, linestyle=line, label=name)
        axes.set_yscale("log")
        axes.set_xlabel("value of an entry")
        axes.set_ylabel("density")
        axes.legend()
        return finish(
            canvas,
            alt="Histogram outlines of the entries of W and BA with a logarithmic density axis. "
            f"Standard deviation of W {spread_W:.3g}, of BA {spread_BA:.3g}.",
            caption=f"The entries of the update have a standard deviation of {spread_BA:.2g}, "
            f"those of the weight {spread_W:.2g}, {spread_W / spread_BA:.1f} times as much.",
        )


def update_norms(steps: Sequence[int], norms: Mapping[str, Sequence[float]]) -> Figure:
    """Size of the update over training, one panel per kind of layer, one line per block.

    Args:
        steps: the steps at which the norms were taken.
        norms: ‖BA‖_F at those steps, by the layer's name, such as
            ``model.layers.3.self_attn.q_proj``.
    """
    kinds: dict[str, list[Sequence[float]]] = {}
    for path, values in norms.items():
        kinds.setdefault(path.rsplit(".", 1)[-1], []).append(values)
    columns = min(4, len(kinds))
    rows = math.ceil(len(kinds) / columns)
    with drawing(
        rows, columns, width=7.6, height=1.9 * rows + 0.4, sharex=True, sharey=True, squeeze=False
    ) as (canvas, axes):
        panels = axes.flatten()
        for panel, (kind, lines) in zip(panels, kinds.items(), strict=False):
            for values, color in zip(lines, sequence(len(lines)), strict=True):
                panel.plot(steps, values, color=color, linewidth=1.4)
            panel.set_title(kind)
        for panel in panels[len(kinds) :]:
            panel.set_axis_off()
        canvas.supxlabel("optimizer step", fontsize=11)
        canvas.supylabel("‖BA‖ (Frobenius)", fontsize=11)
        final = {kind: sum(v[-1] for v in lines) / len(lines) for kind, lines in kinds.items()}
        largest, smallest = max(final, key=final.get), min(final, key=final.get)
        spoken = ", ".join(f"{kind} {value:.2f}" for kind, value in final.items())
        return finish(
            canvas,
            alt=f"Line plots of the update's Frobenius norm over {steps[-1]} steps, a panel for "
            f"each kind of layer and a line for each block. Mean at the end: {spoken}.",
            caption=f"All updates grow from zero. After {steps[-1]} steps {largest} has changed "
            f"most ({final[largest]:.2f} on average) and {smallest} least "
            f"({final[smallest]:.2f}). Dark lines are early blocks, light ones late blocks.",
        )
