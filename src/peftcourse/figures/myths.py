"""Claims beside measurements: the ledger of "Myths, measured", and its figures."""

from __future__ import annotations

import html
import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from peftcourse.figures.style import INK, LINES, PALETTE, Figure, drawing, finish
from peftlab.errors import PeftlabError

# What can become of a claim, in the order of the overview's count.
VERDICTS = ("false", "it depends", "true", "not measured")
MARKERS = ("o", "s", "^", "D")


@dataclass(frozen=True)
class Entry:
    """A claim with what was measured about it; shows its verdict in a notebook.

    Attributes:
        anchor: the name of its place on the page.
        claim: the claim, as people say it.
        ours: our number, in words.
        verdict: one of `VERDICTS`.
        how: where the number comes from: "counted", "live", or a recorded result.

    Raises:
        PeftlabError: the verdict is unknown, or the number is missing.
    """

    anchor: str
    claim: str
    ours: str
    verdict: str
    how: str

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise PeftlabError(f"a verdict is one of {', '.join(VERDICTS)}, not {self.verdict!r}.")
        if not self.ours.strip():
            raise PeftlabError(f"“{self.claim}” has no number; say what was found as ours=….")

    def _repr_html_(self) -> str:
        kind = VERDICTS.index(self.verdict)
        return (
            f'<div class="pl-verdict pl-verdict-{kind}">'
            f"<strong>{self.verdict[0].upper()}{self.verdict[1:]}.</strong> "
            f"{html.escape(self.ours)} "
            f'<span class="pl-how">{html.escape(self.how)}</span></div>'
        )

    def __repr__(self) -> str:
        return f"{self.verdict.upper()}: {self.ours} ({self.how})"


def _typeset(number: str) -> str:
    """A formatted number as the book prints it: a space before %, a minus sign for a hyphen."""
    spaced = re.sub(r"(?<=\d)%", "\N{NO-BREAK SPACE}%", number)
    return re.sub(r"(?<![\w)])-(?=\d)", "\N{MINUS SIGN}", spaced)


@dataclass
class Ledger:
    """The claims of a page, in its order."""

    entries: list[Entry] = field(default_factory=list)

    def add(self, anchor: str, claim: str, ours: str, verdict: str, how: str) -> Entry:
        """Write down a claim and its verdict; the arguments are those of `Entry`.

        Raises:
            PeftlabError: as `Entry`, or the place has a claim already.
        """
        entry = Entry(anchor, claim, _typeset(ours), verdict, how)
        if any(other.anchor == anchor for other in self.entries):
            raise PeftlabError(f"there is a claim at {anchor!r} already; name another place.")
        self.entries.append(entry)
        return entry

    def counts(self) -> str:
        """How many claims there are, and how many got which verdict."""
        found = Counter(entry.verdict for entry in self.entries)
        parts = [f"{found[verdict]} {verdict}" for verdict in VERDICTS if found[verdict]]
        return f"{len(self.entries)} claims: {', '.join(parts)}"

    def table(self) -> str:
        """An overview in Markdown: each claim linked to its place, its number, its verdict."""
        rows = ["| claim | our number | verdict | from |", "|---|---|---|---|"]
        for entry in self.entries:
            cells = (f"[{entry.claim}](#{entry.anchor})", entry.ours, entry.verdict, entry.how)
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        return "\n".join(rows)


def peaks(bars: Mapping[str, float], claimed: float, weights: float) -> Figure:
    """Measured peaks of memory against a claim and against the weights alone.

    Args:
        bars: by way of training, its measured peak in GB.
        claimed: what is said, in GB.
        weights: the 16-bit weights, in GB.

    Raises:
        PeftlabError: there is nothing to draw.
    """
    if not bars:
        raise PeftlabError("there is no peak to draw; give at least one way of training.")
    with drawing(height=1.5 + 0.45 * len(bars)) as (canvas, axes):
        for place, value in enumerate(bars.values()):
            axes.barh(place, value, height=0.6, color=PALETTE[0], alpha=0.8)
            axes.text(value, place, f" {value:.1f}", va="center")
        axes.axvline(claimed, color=PALETTE[1], linestyle="--", label=f"claimed: {claimed:g} GB")
        axes.axvline(
            weights, color=PALETTE[2], linestyle=":", label=f"16-bit weights: {weights:.1f} GB"
        )
        axes.set_yticks(range(len(bars)), list(bars))
        axes.invert_yaxis()
        axes.set_xlim(0, 1.15 * max(*bars.values(), weights))
        axes.grid(False, axis="y")
        axes.set_xlabel("peak while training (GB)")
        canvas.legend(loc="outside upper center", ncols=2)
        said = ", ".join(f"{name} {value:.1f} GB" for name, value in bars.items())
        below = [name for name, value in bars.items() if value <= claimed]
        finding = (
            f"Below the claimed {claimed:g} GB: {', '.join(below) or 'nothing'}. The 16-bit "
            f"weights alone are {weights:.1f} GB."
        )
        return finish(
            canvas, alt=f"Bars of measured peaks: {said}. {finding}", caption=f"{finding} {said}."
        )


def scaling(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """How far LoRA moved the weights, by rank and by scaling.

    Args:
        rows: runs with ``scaling``, ``rank``, ``seed``, and ``moved``, the mean of ‖ΔW‖/‖W‖.

    Raises:
        PeftlabError: there are fewer than two ranks.
    """
    ranks = sorted({row["rank"] for row in rows})
    if len(ranks) < 2:
        raise PeftlabError(f"a curve over ranks needs two of them, not {len(ranks)}.")
    with drawing(height=3.2) as (canvas, axes):
        said = []
        for index, name in enumerate(dict.fromkeys(row["scaling"] for row in rows)):
            values = [
                [100 * row["moved"] for row in rows if (row["scaling"], row["rank"]) == (name, r)]
                for r in ranks
            ]
            means = [statistics.fmean(each) for each in values]
            axes.plot(
                ranks, means, LINES[index], marker=MARKERS[index], color=PALETTE[index], label=name
            )
            axes.fill_between(
                ranks, [min(each) for each in values], [max(each) for each in values],
                color=PALETTE[index], alpha=0.25,
            )  # fmt: skip
            said.append(
                f"with {name} from {means[0]:.2f} % at rank {ranks[0]} to {means[-1]:.2f} % at "
                f"rank {ranks[-1]}"
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks(ranks, [str(rank) for rank in ranks])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("rank r")
        axes.set_ylabel("‖ΔW‖ / ‖W‖ (%)")
        axes.legend()
        found = f"The size of the update, mean over layers: {'; '.join(said)}"
        return finish(
            canvas, alt=f"Lines over the rank. {found}.",
            caption=f"{found}. The rate is the same for all; bands are smallest to largest seed.",
        )  # fmt: skip


def step_time(arithmetic: float, ratios: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Time of a LoRA step over one of full fine-tuning, beside what arithmetic says.

    Args:
        arithmetic: the ratio of the operations.
        ratios: by model and machine, by implementation, a ratio of times for each round.

    Raises:
        PeftlabError: there is nothing to draw.
    """
    places = [(where, name) for where, each in ratios.items() for name in each]
    if not places:
        raise PeftlabError("there are no ratios to draw; give at least one implementation.")
    names = list(dict.fromkeys(name for _, name in places))
    with drawing(height=1.6 + 0.42 * len(places)) as (canvas, axes):
        said = []
        for place, (where, name) in enumerate(places):
            values = ratios[where][name]
            middle = statistics.median(values)
            color = PALETTE[names.index(name)]
            axes.barh(place, middle, height=0.6, color=color, alpha=0.75)
            axes.plot(values, [place] * len(values), "|", color=INK, markersize=9)
            axes.text(
                1.01, place, f"{middle:.2f}", va="center", transform=axes.get_yaxis_transform()
            )
            said.append(f"{name} on {where} {middle:.2f}")
        axes.axvline(1, color=INK, linewidth=1)
        axes.axvline(
            arithmetic, color=PALETTE[3], linestyle="--", label=f"arithmetic: {arithmetic:.2f}"
        )
        axes.set_yticks(range(len(places)), [f"{name}\n{where}" for where, name in places])
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.grid(False, axis="y")
        axes.set_xlabel("time of a step / full fine-tuning's")
        canvas.legend(loc="outside upper center")
        found = f"Medians: {'; '.join(said)}. Counting operations gives {arithmetic:.2f}"
        return finish(
            canvas, alt=f"Bars of LoRA's step time over full fine-tuning's. {found}.",
            caption=f"{found}. Each tick is one round; below 1, LoRA is faster.",
        )  # fmt: skip


def shares(rows: Mapping[str, Sequence[float]], band: tuple[float, float]) -> Figure:
    """LoRA's score as a share of full fine-tuning's, against a band that is said to hold.

    Args:
        rows: by task (and model), one share in per cent for each seed, or a single one.
        band: the lowest and highest share of the claim, in per cent.

    Raises:
        PeftlabError: there is nothing to draw.
    """
    if not rows:
        raise PeftlabError("there is no share to draw; give at least one task.")
    low, high = band
    with drawing(height=1.4 + 0.42 * len(rows)) as (canvas, axes):
        axes.axvspan(low, high, color=PALETTE[1], alpha=0.25, label=f"claim: {low:g} to {high:g} %")
        means = {name: statistics.fmean(values) for name, values in rows.items()}
        for place, values in enumerate(rows.values()):
            axes.plot([min(values), max(values)], [place, place], color=PALETTE[0], linewidth=3)
            axes.plot(statistics.fmean(values), place, "o", color=PALETTE[0], markersize=8)
        axes.axvline(100, color=INK, linewidth=0.8)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(False, axis="y")
        axes.set_xlabel("share of full fine-tuning's score (%)")
        canvas.legend(loc="outside upper center")
        inside = [name for name, mean in means.items() if low <= mean <= high]
        said = ", ".join(f"{name} {mean:.0f} %" for name, mean in means.items())
        finding = f"{len(inside)} of {len(rows)} lie between {low:g} and {high:g} %"
        return finish(
            canvas, alt=f"Dots of shares of full fine-tuning's score: {said}. {finding}.",
            caption=f"{finding}: {said}. A line joins the smallest and largest seed.",
        )  # fmt: skip
