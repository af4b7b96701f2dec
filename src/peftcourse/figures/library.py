"""Figures of lesson 09: the same method in two libraries, and what merging costs by precision."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from peftcourse.figures.style import INK, PALETTE, Figure, drawing, finish
from peftlab.errors import PeftlabError

LIMIT = 1e-4  # nats; differences below it count as none
MARKERS = {"peftlab": "o", "peft": "s"}
COLOURS = {"peftlab": PALETTE[0], "peft": PALETTE[1]}
# What is known of a method → name, marker, colour, place in its row, whether it is filled.
KINDS = {
    "gap": ("two libraries, 32 bit", "o", PALETTE[0], -0.22, True),
    "rounding": ("ours, start rounded, 32 bit", "D", INK, 0.0, False),
    "gap_64_bit": ("two libraries, 64 bit", "s", PALETTE[1], 0.22, True),
}
ZERO = 1e-9  # where a difference of zero is drawn
Gaps = Mapping[str, Mapping[str, float]]
Quality = Mapping[str, Mapping[str, Sequence[float]]]


def side_by_side(ours: Sequence[float], theirs: Sequence[float], method: str) -> Figure:
    """The losses of both libraries, one line over the other, and their difference.

    Args:
        ours: the loss of each step here.
        theirs: the same in PEFT.
        method: its name.

    Raises:
        PeftlabError: the two have different lengths, or none.
    """
    if len(ours) != len(theirs) or not ours:
        raise PeftlabError(f"{len(ours)} and {len(theirs)} losses; give as many of both.")
    steps = range(1, len(ours) + 1)
    gaps = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    with drawing(1, 2, width=7.0, height=3.0) as (canvas, (left, right)):
        left.plot(steps, ours, color=COLOURS["peftlab"], linewidth=5, alpha=0.5, label="peftlab")
        left.plot(steps, theirs, color=COLOURS["peft"], linestyle="--", label="PEFT")
        left.set_ylabel("loss, nats per token")
        left.legend()
        right.plot(steps, gaps, color=INK, marker="o", markersize=4)
        right.axhline(LIMIT, color=PALETTE[2], linestyle=":")
        right.set_yscale("symlog", linthresh=1e-7)
        right.set_ylim(-2e-8, 1e-3)
        right.set_ylabel("difference, nats")
        for axes in (left, right):
            axes.set_xlabel("step")
        same = "every step is equal to the last bit"
        if max(gaps):
            same = f"no step differs by more than {max(gaps):.0e}"
        found = (
            f"{method} from the same values on the same batches: both fall from {ours[0]:.2f} to "
            f"{ours[-1]:.2f} nats, and {same}"
        )
        return finish(
            canvas,
            alt=f"Two panels: the losses of both libraries over {len(ours)} steps, which coincide, "
            f"and their difference. {found}.",
            caption=f"{found}. Dotted: {LIMIT:g}.",
        )


def gaps(records: Mapping[str, Gaps]) -> Figure:
    """The largest difference of a step's loss, by method, beside what rounding alone does.

    Args:
        records: hardware → method → ``gap`` (between the libraries in 32 bit), ``gap_64_bit`` and
            ``rounding`` (our own code against itself from a start moved by one rounding), in nats.

    Raises:
        PeftlabError: there is no method.
    """
    if not records or not all(records.values()):
        raise PeftlabError("there are no differences to draw; give at least one method.")
    methods = list(next(iter(records.values())))
    size = {"width": 7.4, "height": 1.6 + 0.36 * len(methods)}
    with drawing(1, len(records), **size, squeeze=False, sharey=True) as (canvas, grid):
        said, found = [], []
        for axes, (hardware, rows) in zip(grid[0], records.items(), strict=True):
            for key, (_, marker, colour, shift, filled) in KINDS.items():
                axes.plot(
                    [row[key] or ZERO for row in rows.values()],
                    [place + shift for place in range(len(rows))],
                    linestyle="", marker=marker, markersize=6, color=colour,
                    markerfacecolor=colour if filled else "none",
                )  # fmt: skip
            said.append(
                f"{hardware}: "
                + "; ".join(
                    f"{method} "
                    + ", ".join(f"{row[key]:.0e}" if row[key] else "0" for key in KINDS)
                    for method, row in rows.items()
                )
            )
            most = {
                key: f"{rows[worst][key]:.0e} nats ({worst})"
                for key in KINDS
                for worst in [max(rows, key=lambda name, rows=rows, key=key: rows[name][key])]
            }
            found.append(
                f"On {hardware}, the libraries differ by at most {most['gap']} in 32 bit and "
                f"{most['gap_64_bit']} in 64 bit; rounding the start moves our own code by up to "
                f"{most['rounding']}"
            )
            axes.axvline(LIMIT, color=INK, linestyle="--", linewidth=1)
            axes.set_xscale("log")
            axes.set_xlim(ZERO / 2.5, 1e-3)
            axes.set_xticks([ZERO, 1e-7, 1e-5, 1e-3], ["0", *(f"$10^{{-{n}}}$" for n in (7, 5, 3))])
            axes.set_xticks([], minor=True)
            axes.set_title(hardware)
            axes.set_xlabel("largest difference, nats")
        grid[0][0].set_yticks(range(len(methods)), methods)
        grid[0][0].invert_yaxis()
        for name, marker, colour, _, filled in KINDS.values():
            grid[0][0].plot(
                [], [], linestyle="", marker=marker, markersize=6, color=colour, label=name,
                markerfacecolor=colour if filled else "none",
            )  # fmt: skip
        canvas.legend(loc="outside upper center", ncols=len(KINDS))
        order = "; ".join(name for name, *_ in KINDS.values())
        return finish(
            canvas,
            alt="Dot plot with a logarithmic axis, a panel for each machine and three marks for "
            f"each method ({order}). {'. '.join(said)}.",
            caption=f"{'. '.join(found)}. Dashed: {LIMIT:g}.",
        )


def quality(results: Mapping[str, Quality], unequal: Sequence[str] = ()) -> Figure:
    """Validation losses of both libraries, a panel for each task, a mark for each seed.

    Args:
        results: task → method → library → one loss for each seed.
        unequal: methods whose two sides do not start alike, named in the caption.

    Raises:
        PeftlabError: there is no task.
    """
    if not results:
        raise PeftlabError("there are no losses to draw; give at least one task.")
    methods = list(next(iter(results.values())))
    size = {"width": 7.4, "height": 1.5 + 0.4 * len(methods)}
    with drawing(1, len(results), **size, squeeze=False, sharey=True) as (canvas, grid):
        said = []
        for axes, (task, found) in zip(grid[0], results.items(), strict=True):
            for place, (method, libraries) in enumerate(found.items()):
                words = []
                for shift, (library, losses) in zip((-0.16, 0.16), libraries.items(), strict=True):
                    y = place + shift
                    mean = statistics.fmean(losses)
                    style = {"color": COLOURS[library], "marker": MARKERS[library]}
                    axes.plot(losses, [y] * len(losses), linestyle="", markersize=4, **style)
                    axes.plot([mean, mean], [y - 0.14, y + 0.14], color=INK, linewidth=1.5)
                    words.append(f"{library} {mean:.3f}")
                said.append(f"{task}, {method}: {', '.join(words)}")
            axes.set_title(task)
            axes.set_xlabel("validation loss, nats per token")
            axes.grid(False, axis="y")
        grid[0][0].set_yticks(range(len(methods)), methods)
        grid[0][0].invert_yaxis()
        for library, name in (("peftlab", "peftlab"), ("peft", "PEFT")):
            style = {"color": COLOURS[library], "marker": MARKERS[library]}
            grid[0][0].plot([], [], linestyle="", label=name, **style)
        canvas.legend(loc="outside upper center", ncols=2)
        distance, where = max(
            (abs(statistics.fmean(ours) - statistics.fmean(theirs)), f"{method} on {task}")
            for task, found in results.items()
            for method, libraries in found.items()
            if method not in unequal
            for ours, theirs in [tuple(libraries.values())]
        )
        apart = "".join(
            f" {name}: the two start differently, and PEFT's mean is "
            + ", ".join(
                f"{abs(more):.3f} {'higher' if more > 0 else 'lower'} ({task})"
                for task, found in results.items()
                for ours, theirs in [tuple(found[name].values())]
                for more in [statistics.fmean(theirs) - statistics.fmean(ours)]
            )
            + "."
            for name in unequal
        )
        return finish(
            canvas,
            alt="Dots of the validation loss of each seed, means: " + "; ".join(said) + ".",
            caption="Each library from starting values of its own, a mark for each seed, a bar for "
            "the mean. Where both start from the same distribution, the means are at most "
            f"{distance:.3f} nats apart ({where}).{apart}",
        )


def merging(errors: Mapping[str, float]) -> Figure:
    """How far merged logits are from those of the adapter beside the weights.

    Args:
        errors: by way of merging, the relative difference of the logits.

    Raises:
        PeftlabError: there is no way, or one without a difference.
    """
    if not errors or min(errors.values()) <= 0:
        raise PeftlabError("give ways of merging whose logits differ; a logarithm is drawn.")
    with drawing(height=1.2 + 0.42 * len(errors)) as (canvas, axes):
        left = 10 ** (math.floor(math.log10(min(errors.values()))) - 0.3)
        for place, error in enumerate(errors.values()):
            axes.barh(place, error - left, left=left, height=0.55, color=PALETTE[place], alpha=0.8)
            axes.text(1.3 * error, place, f"{error:.0e}", va="center")
        axes.set_xscale("log")
        axes.set_xlim(left, 12 * max(errors.values()))
        axes.set_yticks(range(len(errors)), list(errors))
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.set_xlabel("relative difference of the logits")
        said = "; ".join(f"{way}: {error:.0e}" for way, error in errors.items())
        worst, best = max(errors, key=errors.__getitem__), min(errors, key=errors.__getitem__)
        return finish(
            canvas,
            alt=f"Bars on a logarithmic scale, merged against unmerged logits: {said}.",
            caption=f"Merged against unmerged logits: {errors[best]:.0e} ({best}) to "
            f"{errors[worst]:.0e} ({worst}). Rounding decides, and the weights' precision decides "
            "the rounding.",
        )


def trainings(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """What Trainer wrote down: the schedule, and the loss of each step, a line for each run.

    Args:
        runs: name → an entry for each step with ``step``, ``learning_rate`` and ``loss``. All have
            one schedule; it is drawn as a share of the highest rate.

    Raises:
        PeftlabError: there is no run.
    """
    if not runs:
        raise PeftlabError("there is no training to draw; give the entries of at least one.")
    with drawing(1, 2, width=7.2, height=3.2) as (canvas, (left, right)):
        first = next(iter(runs.values()))
        rates = [entry["learning_rate"] for entry in first]
        steps = [entry["step"] for entry in first]
        left.plot(steps, [rate / max(rates) for rate in rates], color=INK, marker="o", markersize=4)
        for index, (name, entries) in enumerate(runs.items()):
            right.plot(
                steps, [entry["loss"] for entry in entries], label=name, color=PALETTE[index],
                marker="osD^"[index], markersize=4,
            )  # fmt: skip
        left.set_ylabel("share of the highest rate")
        right.set_ylabel("loss, nats per token")
        for axes in (left, right):
            axes.set_xlabel("step")
            axes.set_xticks(steps[1::2])
        canvas.legend(loc="outside upper center", ncols=len(runs))
        spoken = "; ".join(
            f"{name} {entries[0]['loss']:.2f} → {entries[-1]['loss']:.2f}"
            for name, entries in runs.items()
        )
        return finish(
            canvas,
            alt="Two panels over the steps of a training: the learning rate, which rises and falls "
            f"again, and the losses. {spoken}.",
            caption=f"Loss from the first step to the last of {len(first)}: {spoken}. The first "
            f"step has {100 * rates[0] / max(rates):.0f} % of the highest rate, which is reached "
            f"at step {first[rates.index(max(rates))]['step']}.",
        )
