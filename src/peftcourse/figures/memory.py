"""Figures of lesson 01: where the memory of training goes, and how well it can be predicted."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peftcourse.figures.style import INK, LINES, PALETTE, Figure, bare, drawing, finish
from peftlab.errors import PeftlabError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from peftcourse.experiments.activations import Saved

# Each component has one colour in all figures.
COLORS = {
    "weights": PALETTE[0],
    "gradients": PALETTE[1],
    "optimizer states": PALETTE[2],
    "activations": PALETTE[3],
    "logits and loss": PALETTE[4],
    "temporary": PALETTE[5],
}
UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "GiB": 2**30}


def components(
    bars: Mapping[str, Mapping[str, float]], unit: str, cards: Mapping[str, int] | None = None
) -> Figure:
    """Stacked bars: what the memory of training is made of, for several ways to train.

    Args:
        bars: bytes by component, by the name of the bar. Components are the keys of `COLORS`.
        unit: one of `UNITS`.
        cards: bytes of GPUs to draw as lines across the bars, by name.

    Raises:
        PeftlabError: there is no bar, or a component has no colour.
    """
    if not bars:
        raise PeftlabError("there is nothing to stack; give at least one bar.")
    unknown = {part for parts in bars.values() for part in parts} - set(COLORS)
    if unknown:
        raise PeftlabError(
            f"no colour for {', '.join(sorted(unknown))}; components are {', '.join(COLORS)}."
        )
    size = UNITS[unit]
    totals = {name: sum(parts.values()) for name, parts in bars.items()}
    used = [part for part in COLORS if any(part in parts for parts in bars.values())]
    with drawing(height=1.3 + 0.42 * len(bars)) as (canvas, axes):
        starts = dict.fromkeys(bars, 0.0)
        for part in used:
            widths = [bars[name].get(part, 0) / size for name in bars]
            axes.barh(
                list(bars), widths, left=list(starts.values()), height=0.66,
                color=COLORS[part], label=part,
            )  # fmt: skip
            starts = {name: starts[name] + w for name, w in zip(bars, widths, strict=True)}
        for name, total in totals.items():
            axes.text(
                1.01, name, f"{_round(total / size)} {unit}", va="center", fontsize=10,
                transform=axes.get_yaxis_transform(),
            )  # fmt: skip
        for card, capacity in (cards or {}).items():
            axes.axvline(capacity / size, color=INK, linestyle=LINES[1], linewidth=1)
            axes.text(capacity / size, -0.6, card, ha="center", va="bottom", fontsize=9)
        axes.set_xlim(0, 1.04 * max([*totals.values(), *(cards or {}).values()]) / size)
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.set_xlabel(f"memory ({unit})")
        canvas.legend(loc="outside upper center", ncols=3 if len(used) > 4 else 4)
        most, least = max(totals, key=totals.get), min(totals, key=totals.get)
        spoken = "; ".join(
            f"{name} {_round(total / size)} {unit} ("
            + ", ".join(f"{part} {_round(value / size)}" for part, value in bars[name].items())
            + ")"
            for name, total in totals.items()
        )
        caption = (
            f"{_capital(most)} takes {_round(totals[most] / size)} {unit}, "
            f"{totals[most] / totals[least]:.1f} times as much as {least} "
            f"({_round(totals[least] / size)} {unit}). "
            f"{_largest(bars[most], bars[least])}"
        )
        return finish(
            canvas, alt=f"Stacked bars of memory by component. {spoken}.", caption=caption
        )


def saved_curves(steps: Mapping[str, Saved]) -> Figure:
    """Bytes that autograd holds through the forward and the backward pass of one step.

    Args:
        steps: what `peftcourse.experiments.activations.saved` returned, by name.
    """
    if not steps:
        raise PeftlabError("there is no step to draw; give at least one.")
    peaks = {name: step.peak / 1e6 for name, step in steps.items()}
    with drawing() as (canvas, axes):
        for index, (name, step) in enumerate(steps.items()):
            # Steps save different numbers of tensors; each pass takes half of the axis.
            forward = [place / step.turn for place in range(step.turn)]
            rest = len(step.curve) - step.turn
            backward = [1 + (place + 1) / rest for place in range(rest)]
            axes.plot(
                forward + backward, [size / 1e6 for size in step.curve], drawstyle="steps-post",
                color=PALETTE[index], linestyle=LINES[index % len(LINES)], label=name,
                linewidth=1.6,
            )  # fmt: skip
        axes.axvline(1, color=INK, linewidth=0.8, alpha=0.5)
        axes.set_xticks([0.5, 1.5], ["forward pass", "backward pass"])
        axes.tick_params(axis="x", length=0)
        axes.set_ylabel("saved activations (MB)")
        axes.set_xlim(0, 2)
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left")
        spoken = ", ".join(f"{name} {_round(peak)} MB" for name, peak in peaks.items())
        most, least = max(peaks, key=peaks.get), min(peaks, key=peaks.get)
        found = f"The peak of {most} is {_round(peaks[most])} MB"
        if len(steps) > 1:
            found += (
                f", {peaks[most] / peaks[least]:.1f} times that of {least} "
                f"({_round(peaks[least])} MB)"
            )
        return finish(
            canvas,
            alt="Line plot of the bytes of saved tensors through one training step: they rise "
            f"through the forward pass and fall through the backward pass. Peaks: {spoken}.",
            caption="Activations pile up through the forward pass and are released in reverse "
            f"order. {found}.",
        )


def activation_growth(lengths: Sequence[int], saved: Mapping[str, Sequence[int]]) -> Figure:
    """Saved bytes for each token against the length of the sequence.

    Args:
        lengths: tokens of a sequence.
        saved: bytes of a whole step at those lengths, by the kind of attention.
    """
    per_token = {
        name: [size / length / 1e3 for size, length in zip(sizes, lengths, strict=True)]
        for name, sizes in saved.items()
    }
    with drawing(height=3.0) as (canvas, axes):
        for index, (name, values) in enumerate(per_token.items()):
            axes.plot(
                lengths, values, color=PALETTE[index], linestyle=LINES[index], marker="o",
                markersize=5, label=name,
            )  # fmt: skip
        axes.set_xlabel("tokens in the sequence")
        axes.set_ylabel("saved kB per token")
        axes.set_xticks(list(lengths))
        axes.set_ylim(bottom=0)
        axes.legend()
        spoken = "; ".join(
            f"{name}: {_round(values[0])} kB per token at {lengths[0]} tokens and "
            f"{_round(values[-1])} kB at {lengths[-1]}"
            for name, values in per_token.items()
        )
        return finish(
            canvas,
            alt=f"Line plot of saved bytes per token over the length of the sequence. {spoken}.",
            caption=f"{_capital(spoken)}. What stays level grows in proportion to the tokens; what "
            "rises grows faster, with their square in the end.",
        )


@dataclass(frozen=True)
class Pair:
    """An estimated and a measured peak of a configuration.

    Attributes:
        name: what to call the configuration.
        method: how it fine-tunes, as in `peftlab.memory.Settings`.
        estimated, measured: bytes.
        held_out: whether it was measured when the formulas of the estimate were done.
    """

    name: str
    method: str
    estimated: int
    measured: int
    held_out: bool

    @property
    def error(self) -> float:
        """Relative error of the estimate, positive if it is too high."""
        return self.estimated / self.measured - 1


def estimates(pairs: Sequence[Pair], hardware: str) -> Figure:
    """Estimated against measured peaks, on logarithmic axes, with the errors beneath.

    Args:
        pairs: one for each configuration.
        hardware: what they were measured on.

    Raises:
        PeftlabError: there are no pairs.
    """
    if not pairs:
        raise PeftlabError("there are no measurements to compare with; give at least one pair.")
    kinds = {
        "full": ("full fine-tuning", PALETTE[0], "o"),
        "lora": ("LoRA", PALETTE[1], "s"),
        "qlora": ("QLoRA", PALETTE[2], "^"),
    }
    other = ("other methods", PALETTE[3], "D")
    with drawing(2, 1, height=5.2, sharex=True, height_ratios=[3, 1]) as (canvas, (upper, lower)):
        for pair in pairs:
            _, color, marker = kinds.get(pair.method, other)
            style = {
                "color": color,
                "marker": marker,
                "markerfacecolor": color if pair.held_out else "none",
                "markersize": 6,
                "alpha": 0.8,
            }
            x = pair.measured / 2**30
            upper.plot(x, pair.estimated / 2**30, **style)
            lower.plot(x, 100 * pair.error, **style)
        methods = {kinds.get(pair.method, other) for pair in pairs}
        for label, color, marker in [*kinds.values(), other]:
            if (label, color, marker) in methods:
                upper.plot([], [], color=color, marker=marker, linestyle="", label=label)
        ends = [min(p.measured for p in pairs) / 2**30, max(p.measured for p in pairs) / 2**30]
        upper.plot(ends, ends, color=INK, linewidth=0.8)
        lower.axhline(0, color=INK, linewidth=0.8)
        for axes in (upper, lower):
            axes.set_xscale("log", base=2)
        upper.set_yscale("log", base=2)
        ticks = [2.0**power for power in range(-2, 8) if ends[0] / 2 < 2.0**power < 2 * ends[1]]
        upper.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        lower.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        lower.set_xlim(ends[0] / 1.2, ends[1] * 1.2)
        worst = max(pairs, key=lambda pair: abs(pair.error))
        limit = max(1, 115 * abs(worst.error))
        lower.set_ylim(-limit, limit)
        upper.set_ylabel("estimated peak (GiB)")
        lower.set_ylabel("error (%)")
        lower.set_xlabel("measured peak (GiB)")
        upper.legend()
        found = (
            f"{len(pairs)} configurations from {ends[0]:.1f} to {ends[1]:.1f} GiB: median error "
            f"{_median_error(pairs)}, largest {100 * abs(worst.error):.2g} % ({worst.name})"
        )
        new = [pair for pair in pairs if pair.held_out]
        if new:
            largest = max(abs(pair.error) for pair in new)
            found += (
                f". Of these, {len(new)} were measured after the formulas were done: median error "
                f"{_median_error(new)}, largest {100 * largest:.2g} %"
            )
        return finish(
            canvas,
            alt="Scatter plot of estimated against measured peak memory, close to the diagonal, "
            f"and the errors in per cent below it. {found}.",
            caption=f"{found} (filled marks). Measured on {hardware}."
            if new
            else f"{found}. Measured on {hardware}.",
        )


def timeline(records: Mapping[str, Mapping[str, Any]], hardware: str) -> Figure:
    """What the allocator held at the moments of some training steps, and the peaks between them.

    Args:
        records: cases of ``results/memory_cuda.json``, by the name to show.
        hardware: what they were measured on.
    """
    if not records:
        raise PeftlabError("there is no case to draw; give at least one.")
    words = {"forward": "forward", "backward": "backward", "step": "optimizer"}
    findings = []
    with drawing(1, len(records), width=7.6, height=3.2, sharey=True, squeeze=False) as (
        canvas,
        axes,
    ):
        for panel, (name, record) in zip(axes[0], records.items(), strict=True):
            moments = record["moments"]
            held = [moment["allocated"] / 2**30 for moment in moments]
            # A peak belongs to the time between the moment before and its own.
            peaks = [moment["peak"] / 2**30 for moment in moments[1:]]
            spans = range(len(peaks))
            panel.bar(
                spans, peaks, width=1, align="edge", color=PALETTE[5], alpha=0.6,
                label="peak during a part",
            )  # fmt: skip
            panel.plot(
                range(len(held)), held, color=PALETTE[1], marker="o", markersize=4,
                label="between two parts",
            )  # fmt: skip
            labels = [words[moment["moment"].split()[0]] for moment in moments[1:]]
            panel.set_xticks([place + 0.5 for place in spans], labels, rotation=90, fontsize=9)
            panel.set_title(name)
            panel.grid(False, axis="x")
            findings.append(
                f"{name}: {held[0]:.1f} GiB before training, {held[-1]:.1f} GiB after "
                f"{len(peaks) // 3} steps, peak {max(peaks):.1f} GiB in the "
                f"{labels[peaks.index(max(peaks))]} part of step {peaks.index(max(peaks)) // 3 + 1}"
            )
        axes[0, 0].set_ylabel("allocated (GiB)")
        axes[0, 0].set_ylim(bottom=0)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside upper center", ncols=2)
        spoken = "; ".join(findings)
        return finish(
            canvas,
            alt=f"Memory over the parts of the training steps, a panel for each run. {spoken}.",
            caption=f"{_capital(spoken)}. Measured on {hardware}.",
        )


@dataclass(frozen=True)
class Branch:
    """A family of methods: its idea, and (method, what it trains) for each member."""

    name: str
    idea: str
    members: tuple[tuple[str, str], ...]


FAMILIES = (
    Branch(
        "Additive",
        "new parts beside or before the old ones",
        (
            ("Adapters", "a small bottleneck after a sublayer"),
            ("Prefix tuning", "keys and values before those of each layer"),
            ("Prompt tuning", "embeddings before the input's"),
            ("IA³", "a factor for each key, value, hidden number"),
        ),
    ),
    Branch(
        "Reparameterization",
        "the change of a weight, written with fewer numbers",
        (
            ("LoRA", "two thin matrices: ΔW = (α/r) BA"),
            ("DoRA", "LoRA's direction, and a magnitude for each row"),
            ("AdaLoRA", "ΔW = PΛQ, with ranks that are shared out"),
            ("QLoRA", "LoRA; its base is stored in 4 bit"),
        ),
    ),
    Branch(
        "Selective",
        "some of the old parameters",
        (
            ("BitFit", "biases"),
            ("Partial fine-tuning", "the last block, or the head"),
            ("Diff pruning", "a sparse difference, chosen while it trains"),
        ),
    ),
)


def family_tree(trained: Mapping[str, float], model: str) -> Figure:
    """The methods of the course by what they add to a model or take of it.

    Args:
        trained: trained numbers as a fraction of the model's, by the method's name in `FAMILIES`;
            a method that is missing is drawn without it.
        model: the name of that model.

    Raises:
        PeftlabError: a name is of no method.
    """
    names = [method for family in FAMILIES for method, _ in family.members]
    unknown = set(trained) - set(names)
    if unknown:
        raise PeftlabError(
            f"no method {', '.join(sorted(unknown))} in the tree; methods are {', '.join(names)}."
        )
    rows = len(names) + 1.5 * len(FAMILIES)
    with drawing(width=6.6, height=0.36 * rows + 0.3) as (canvas, axes):
        bare(axes)
        axes.set_xlim(0, 100)
        axes.set_ylim(rows + 0.2, -0.9)
        axes.text(0, -0.35, "PEFT", fontweight="bold")
        axes.text(99, -0.35, "trained", ha="right", fontsize=10)
        row = 0.7
        for family, color in zip(FAMILIES, PALETTE, strict=False):
            _join(axes, 1.5, 4, 0.0, row, INK)
            axes.text(5, row, family.name, fontweight="bold", color=color, va="center")
            axes.text(36, row, family.idea, fontsize=10, va="center", style="italic")
            top = row + 0.35
            for method, what in family.members:
                row += 1
                _join(axes, 6.5, 9, top, row, color)
                axes.text(10, row, method, va="center", fontsize=10.5)
                axes.text(36, row, what, va="center", fontsize=9.5)
                share = f"{100 * trained[method]:.2g} %" if method in trained else "–"
                axes.text(99, row, share, va="center", ha="right", fontsize=10)
            row += 1.5
        spoken = ". ".join(
            f"{family.name}, {family.idea}: "
            + "; ".join(f"{method}, {what}" for method, what in family.members)
            for family in FAMILIES
        )
        shares = ", ".join(f"{name} {100 * share:.2g} %" for name, share in trained.items())
        least, most = min(trained, key=trained.get), max(trained, key=trained.get)
        return finish(
            canvas,
            alt=f"Tree of the parameter-efficient methods in {len(FAMILIES)} families. {spoken}. "
            f"Trained share of the parameters of {model}: {shares}.",
            caption=f"{len(FAMILIES)} families, by what trains. On the right: numbers trained, in "
            f"per cent of the parameters of {model}, from {100 * trained[least]:.2g} % "
            f"({least}) to {100 * trained[most]:.2g} % ({most}).",
        )


def _join(axes: Axes, x: float, end: float, top: float, y: float, color: str) -> None:
    """A branch of the tree: down from ``top`` to ``y``, then right to ``end``."""
    axes.plot([x, x, end], [top, y, y], color=color, linewidth=1.2, clip_on=False)


def _median_error(pairs: Sequence[Pair]) -> str:
    return f"{100 * statistics.median(abs(pair.error) for pair in pairs):.2g} %"


def _largest(*bars: Mapping[str, float]) -> str:
    """A sentence on the largest component of two bars, and its share of each."""
    names = [max(parts, key=parts.get) for parts in bars]
    first, second = (
        f"{100 * parts[name] / sum(parts.values()):.0f} %"
        for name, parts in zip(names, bars, strict=True)
    )
    if names[0] == names[1]:
        return f"The largest part of both is {names[0]} ({first} and {second})."
    return (
        f"The largest part is {names[0]} of the one ({first}), {names[1]} of the other ({second})."
    )


def _capital(words: str) -> str:
    """Words as the beginning of a sentence."""
    return words[:1].upper() + words[1:]


def _round(value: float) -> str:
    """One decimal, or as many as two digits need."""
    return f"{value:,.1f}" if value >= 1 else f"{value:.2g}"
