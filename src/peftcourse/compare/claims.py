"""Published claims about methods, and what a recorded comparison says of each.

A claim holds on a model and task if the 95 % interval of a paired difference lies wholly on its
side, fails if it lies wholly on the other, and is open otherwise. Nothing is corrected for the
number of claims: with many of them, one in twenty of the verdicts on differences that do not exist
is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from peftcourse.compare.tables import BASE, HIGHER_IS_BETTER, Comparison
from peftcourse.experiments.statistics import Interval, t_interval

HOLDS, OPEN, FAILS = "holds", "open", "fails"


@dataclass(frozen=True)
class Finding:
    """What one claim comes to in one place.

    Attributes:
        place: model and task, or the model where a cost does not depend on the task.
        value: the number that decides, with its interval where there are several seeds.
        verdict: ``HOLDS``, ``OPEN`` or ``FAILS``.
    """

    place: str
    value: Interval
    verdict: str


Judge = Callable[[Comparison], Iterator[Finding]]


@dataclass(frozen=True)
class Claim:
    """A sentence that is often read, and how to judge it.

    Attributes:
        text: the claim, as strong as it is usually made.
        value: what the deciding number is, with its unit.
        sources: keys of ``book/references.bib`` where it, or what it grew from, can be read.
        judge: gives a finding for each place.
    """

    text: str
    value: str
    sources: tuple[str, ...]
    judge: Judge

    def findings(self, comparison: Comparison) -> list[Finding]:
        """A finding for each place where the comparison has what the claim is about."""
        return list(self.judge(comparison))


def verdict(findings: list[Finding]) -> str:
    """``holds``, ``fails`` or ``open`` if that is so everywhere; otherwise how often each."""
    counts = Counter(finding.verdict for finding in findings)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{word} {counts[word]}" for word in (HOLDS, OPEN, FAILS) if counts[word])


# --- ways to judge -------------------------------------------------------------------------------


def better(first: str, second: str, measure: str = "score") -> Judge:
    """The first method beats the second."""

    def judge(comparison: Comparison) -> Iterator[Finding]:
        sign = 1 if measure in HIGHER_IS_BETTER else -1
        for place, difference in _differences(comparison, first, second, measure):
            yield Finding(place, difference, _side(sign * difference.low, sign * difference.high))

    return judge


def alike(first: str, second: str, margin: float, measure: str = "score") -> Judge:
    """The two differ by less than a margin: an interval that only holds 0 does not show that."""

    def judge(comparison: Comparison) -> Iterator[Finding]:
        for place, difference in _differences(comparison, first, second, measure):
            if -margin < difference.low and difference.high < margin:
                yield Finding(place, difference, HOLDS)
            else:
                outside = difference.low > margin or difference.high < -margin
                yield Finding(place, difference, FAILS if outside else OPEN)

    return judge


def share_of_full(method: str, least: float, most: float | None = None) -> Judge:
    """The method's gain over the base model, in percent of full fine-tuning's, is in a range.

    Judged by the seeds' gain minus the limit times full fine-tuning's gain, which has an interval
    where a ratio of means has none.
    """

    def judge(comparison: Comparison) -> Iterator[Finding]:
        for model, task in comparison.pairs:
            gains, full = (_gains(comparison, model, task, name) for name in (method, "full"))
            seeds = sorted(gains.keys() & full.keys())
            if not seeds:
                continue
            over = [
                t_interval([gains[seed] - limit / 100 * full[seed] for seed in seeds])
                for limit in (least, most)
                if limit is not None
            ]
            below, above = over[0].high < 0, over[-1].low > 0 and most is not None
            inside = over[0].low >= 0 and (most is None or over[-1].high <= 0)
            percent = 100 * sum(map(gains.get, seeds)) / sum(map(full.get, seeds))
            word = FAILS if below or above else HOLDS if inside else OPEN
            yield Finding(f"{model}, {task}", _single(percent), word)

    return judge


def cost_below(method: str, key: str, limit: float) -> Judge:
    """A measured cost of the method lies below a limit; one measurement for each model."""

    def judge(comparison: Comparison) -> Iterator[Finding]:
        for row in comparison.costs:
            if row["method"] == method and (value := row.get(key)) is not None:
                yield Finding(row["model"], _single(value), HOLDS if value < limit else FAILS)

    return judge


def rate_ratio(method: str, least: float, most: float) -> Judge:
    """The method's best rate is so many times full fine-tuning's."""

    def judge(comparison: Comparison) -> Iterator[Finding]:
        rates = {
            (row["model"], row["task"], row["method"]): row["learning_rate"]
            for row in comparison.chosen
        }
        for model, task in comparison.pairs:
            one, other = rates.get((model, task, method)), rates.get((model, task, "full"))
            if one and other:
                ratio = one / other
                word = HOLDS if least <= ratio <= most else FAILS
                yield Finding(f"{model}, {task}", _single(ratio), word)

    return judge


def _differences(
    comparison: Comparison, first: str, second: str, measure: str
) -> Iterator[tuple[str, Interval]]:
    for model, task in comparison.pairs:
        both = [comparison.by_seed(model, task, name, measure) for name in (first, second)]
        if both[0].keys() & both[1].keys():
            found = comparison.difference(model, task, first, second, measure)
            yield f"{model}, {task}", found


def _side(low: float, high: float) -> str:
    low, high = sorted((low, high))
    return HOLDS if low > 0 else FAILS if high < 0 else OPEN


def _single(value: float) -> Interval:
    """A number that was measured once, or has no interval."""
    return Interval(value, value, value, 1)


def _gains(comparison: Comparison, model: str, task: str, method: str) -> dict[int, float]:
    base = comparison.by_seed(model, task, BASE)
    scores = comparison.by_seed(model, task, method)
    return {seed: scores[seed] - base[seed] for seed in scores.keys() & base.keys()}


# --- the claims ----------------------------------------------------------------------------------

MARGIN = 0.02  # two points: closer than this, the choice between two methods hardly matters

# Full > LoRA ≈ QLoRA > adapters > prefix > prompt, link by link.
LADDER = (
    Claim("Full fine-tuning beats LoRA.", "score, full - LoRA r = 8", ("biderman2024lora",),
          better("full", "lora-8")),
    Claim("QLoRA equals LoRA (within two points).", "score, QLoRA - LoRA", ("dettmers2023qlora",),
          alike("qlora-8", "lora-8", MARGIN)),
    Claim("LoRA beats bottleneck adapters.", "score, LoRA r = 8 - adapter", ("hu2021lora",),
          better("lora-8", "bottleneck")),
    Claim("Adapters beat prefix tuning.", "score, adapter - prefix", ("he2021unified",),
          better("bottleneck", "prefix")),
    Claim("Prefix tuning beats prompt tuning.", "score, prefix - prompt", ("li2021prefix",),
          better("prefix", "prompt")),
)  # fmt: skip

CLAIMS = (
    *LADDER,
    Claim("LoRA reaches full fine-tuning to within 2 %.", "% of full's gain, LoRA r = 8",
          ("hu2021lora", "biderman2024lora"), share_of_full("lora-8", 98)),
    Claim("LoRA reaches 90 to 95 % of full fine-tuning.", "% of full's gain, LoRA r = 8",
          ("hu2021lora", "biderman2024lora"), share_of_full("lora-8", 90, 95)),
    Claim("DoRA beats LoRA.", "score, DoRA - LoRA", ("liu2024dora",), better("dora-8", "lora-8")),
    Claim("The rank hardly matters (within two points).", "score, r = 64 - r = 1", ("hu2021lora",),
          alike("lora-64", "lora-1", MARGIN)),
    Claim("Queries and values are enough (within two points).", "score, all linear - q, v",
          ("hu2021lora", "schulman2025lora"), alike("lora-8", "lora-8-qv", MARGIN)),
    Claim("LoRA forgets less than full fine-tuning.", "nats per token, LoRA - full",
          ("biderman2024lora",), better("lora-8", "full", "forgetting")),
    Claim("A step of LoRA takes less time than one of full fine-tuning.", "times full's step",
          ("biderman2024lora",), cost_below("lora-8", "step_ratio", 1.0)),
    Claim("Merged, LoRA costs no time (below 5 %).", "times the bare model's forward pass",
          ("hu2021lora",), cost_below("lora-8", "overhead_merged", 1.05)),
    Claim("LoRA's best rate is ten times full fine-tuning's (to half a decade).",
          "times full's rate", ("schulman2025lora",), rate_ratio("lora-8", 10**0.49, 10**1.51)),
)  # fmt: skip
