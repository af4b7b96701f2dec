"""Walk the ladder of methods down to the first that fits the GPU, and say why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

from peftcourse.calculator.report import gib, size
from peftcourse.compare import rates
from peftcourse.recommend import rules
from peftcourse.recommend.rules import COMPUTED, FIRST_LORA, LADDER, Reason, Rung
from peftlab.errors import PeftlabError
from peftlab.memory.estimate import Estimate, estimate
from peftlab.memory.gpus import GIB, GPUS, needed, usable
from peftlab.memory.settings import Settings
from peftlab.memory.shapes import Shape, smaller


@dataclass(frozen=True)
class Need:
    """What there is and what is wanted.

    Attributes:
        shape: the model.
        gpu_gib: memory of the GPU as vendors state it: 24 for a card of "24 GB".
        task: a key of ``TASKS``.
        examples: training examples of one task.
        tasks: how many tasks the model is adapted to.
        serving: a key of ``SERVING``.
        seq_len, batch_size: tokens of a sequence and sequences of a step.

    Raises:
        PeftlabError: a value is out of range.
    """

    shape: Shape
    gpu_gib: float
    task: str = "generation"
    examples: int = 5000
    tasks: int = 1
    serving: str = "any"
    seq_len: int = 512
    batch_size: int = 1

    def __post_init__(self) -> None:
        for name, known in (("task", rules.TASKS), ("serving", rules.SERVING)):
            if getattr(self, name) not in known:
                raise PeftlabError(
                    f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}."
                )
        for name in ("examples", "tasks"):
            if getattr(self, name) < 1:
                raise PeftlabError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if self.task == "generation" and self.shape.architecture.family == "bert":
            raise PeftlabError(
                f"{self.shape.name} does not generate text; choose the task classification."
            )
        if not 0 < self.gpu_gib <= 10_000:
            raise PeftlabError(
                f"GPU memory is in GB of one card, such as 24, not {self.gpu_gib:g}."
            )

    @property
    def gpu_bytes(self) -> int:
        """The GPU's stated memory in bytes."""
        return int(self.gpu_gib * GIB)

    @property
    def several_adapters(self) -> bool:
        """Whether one base has to carry more than one adaptation."""
        return self.tasks > 1 or self.serving == "many"


@dataclass(frozen=True)
class Option:
    """A rung of the ladder with settings for the need, and its estimate."""

    rung: Rung
    settings: Settings
    estimate: Estimate

    def fits(self, gpu_bytes: int) -> bool:
        """Whether its peak leaves the headroom free on such a GPU."""
        return self.estimate.peak_bytes <= usable(gpu_bytes)


@dataclass(frozen=True)
class Change:
    """What would let a better option fit.

    Attributes:
        text: a sentence without its capital and full stop.
        name: the option.
        more_gib: how much more stated GPU memory it needs, in GiB, if memory alone is changed.
        seq_len: the longest sequence with which it fits the GPU as it is; None if none does.
    """

    text: str
    name: str
    more_gib: float | None = None
    seq_len: int | None = None


@dataclass(frozen=True)
class Recommendation:
    """The answer; ``chosen`` is None if nothing fits.

    Attributes:
        need: what was asked.
        chosen: the best option that fits.
        alpha: LoRA's alpha, or None.
        learning_rate: where a sweep starts.
        reasons: why, with sources.
        others: methods not chosen, and why.
        better: what would have to change for each better rung, the next first; if nothing fits,
            for what needs least.
    """

    need: Need
    chosen: Option | None
    alpha: int | None
    learning_rate: float | None
    reasons: tuple[Reason, ...]
    others: tuple[Reason, ...]
    better: tuple[Change, ...]


def recommend(need: Need) -> Recommendation:
    """Walk the ladder down to the first rung that fits the GPU, and say why."""
    options = _options(need)
    chosen = _best(options, need.gpu_bytes)
    if chosen is None:
        return Recommendation(need, None, None, None, (), (), tuple(_remedies(need, options)))

    above = options[: options.index(chosen)]
    method = chosen.settings.method
    rate, rate_reason = _learning_rate(need, method, chosen.estimate.parameters)
    rank, rank_reason = _rank(need)
    reasons = [_start(need)[1], *chosen.rung.reasons]
    if method != "full":
        reasons += [rank_reason] if chosen.settings.rank == rank else []
        reasons += [rules.ALPHA, *_full_fits(need)]
    reasons += [rate_reason, *_serving(need, chosen)]
    if need.examples <= rules.FEW_EXAMPLES:
        reasons.append(rules.FEW)
    return Recommendation(
        need=need,
        chosen=chosen,
        alpha=None if method == "full" else 2 * chosen.settings.rank,
        learning_rate=rate,
        reasons=tuple(reasons),
        others=() if method == "full" else (*rules.OTHERS, _ia3(need)),
        better=tuple(_changes(need, _worth_reaching(above))),
    )


def _rank(need: Need) -> tuple[int, Reason]:
    return next(
        (rank, reason)
        for task, most, rank, reason in rules.RANKS
        if task in (None, need.task) and need.examples <= most
    )


def _start(need: Need) -> tuple[int, Reason]:
    """Where the ladder starts, and why."""
    if need.several_adapters:
        return FIRST_LORA, Reason(
            "An adapter for each task keeps the tasks apart and leaves the base as it is.",
            ("hu2021lora",),
        )
    if need.task == "domain" and need.examples >= rules.MANY_EXAMPLES:
        return 0, Reason(
            f"With {need.examples:,} examples of something new, training everything can pay. Where "
            "it begins to pay for your data, nobody has measured.",
            ("biderman2024lora",),
            thin=True,
        )
    return FIRST_LORA, Reason(
        "A small adapter is enough here: in peft's comparison LoRA (47.8), DoRA (46.9) and full "
        "fine-tuning (47.2) lie within one standard error of each other.",
        ("peft2025comparison", "schulman2025lora"),
    )


def _options(need: Need) -> list[Option]:
    """Every rung that is worth climbing to, the best first."""
    return [_option(need, rung) for rung in LADDER[_start(need)[0] :]]


def _option(need: Need, rung: Rung) -> Option:
    common = {"rank": _rank(need)[0], "targets": "all-linear"}
    common |= {"seq_len": need.seq_len, "batch_size": need.batch_size}
    settings = Settings(**(common | rung.settings))
    return Option(rung, settings, estimate(need.shape.architecture, settings))


def _best(options: list[Option], gpu_bytes: int) -> Option | None:
    return next((option for option in options if option.fits(gpu_bytes)), None)


def _full_fits(need: Need) -> Iterator[Reason]:
    for rung in LADDER[:FIRST_LORA]:
        full = _option(need, rung)
        if full.fits(need.gpu_bytes):
            yield Reason(
                f"{capital(rung.name)} would fit as well ({gib(full.estimate.peak_bytes)}). On "
                "most tasks LoRA forgets less of what the model knew, and a task costs a small "
                "file instead of a model.",
                ("biderman2024lora", rules.RECORDED, COMPUTED),
            )
            return


def _serving(need: Need, chosen: Option) -> Iterator[Reason]:
    """What the choice means for storage and serving."""
    made, method = chosen.estimate, chosen.settings.method
    if method == "full":
        return
    copy = 2 * made.parameters  # 16 bit
    adapters = need.tasks * made.file_bytes
    if need.tasks > 1 and need.serving == "merged":
        yield Reason(
            f"Merged, {need.tasks:,} tasks are {need.tasks:,} full copies of the model: "
            f"{size(need.tasks * copy)} on disk, and as much GPU memory if all are to be ready at "
            f"once; {_fit(need, copy)}. One base with {need.tasks:,} unmerged adapters takes "
            f"{size(copy + adapters)} together: serve that (--serving many) unless each task has a "
            "machine of its own, or keep the files of the adapters and merge a copy when it is "
            "wanted.",
            (COMPUTED,),
        )
    elif need.tasks > 1:
        yield Reason(
            f"{need.tasks:,} adapters take {size(adapters)} on disk beside one base; as many "
            f"models of 16 bit, fully fine-tuned or merged, would take {size(need.tasks * copy)}.",
            (COMPUTED,),
        )
    if need.serving == "merged" and method == "lora":
        yield Reason(
            "Merge it for serving: W + (alpha/rank)·BA has the shape of W, and costs no time.",
            ("hu2021lora",),
        )
    elif need.serving == "merged":
        fits = "" if copy <= usable(need.gpu_bytes) else ", more than this GPU has"
        yield Reason(
            "Merge it into the dequantized base and keep that in 16 bit, which takes "
            f"{size(copy)} when serving{fits}. Quantizing the merged model again would lose part "
            "of what was learned.",
            (COMPUTED,),
        )
    elif need.serving == "many":
        yield Reason(
            "Do not merge: unmerged, adapters of one base can be switched or mixed in a batch. "
            "Each costs a little time in every adapted layer.",
            ("hu2021lora",),
        )


def _fit(need: Need, copy: int) -> str:
    """How many copies of the model a GPU of this size holds for serving."""
    count = usable(need.gpu_bytes) // copy
    if count == 0:
        return f"not one of {size(copy)} fits this GPU"
    return f"{min(count, need.tasks):,} of {size(copy)} at a time fit this GPU"


def _ia3(need: Need) -> Reason:
    """The smallest of the other methods, with its size for this model."""
    settings = Settings(method="ia3", seq_len=need.seq_len, batch_size=need.batch_size)
    made = estimate(need.shape.architecture, settings)
    text = f"{rules.IA3.text} Here one would have {size(made.file_bytes)}."
    return replace(rules.IA3, text=text, sources=(*rules.IA3.sources, COMPUTED))


def _learning_rate(need: Need, method: str, parameters: int) -> tuple[float, Reason]:
    """Where a sweep of the learning rate starts: at what was found for this model, if it was."""
    found = rates.recorded(
        rates.model_of(need.shape.architecture) or "",
        rules.RECORDED_METHODS[method],
        rules.RECORDED_TASKS.get(need.task),
    )
    if found:
        return found.value, rules.found_rate(method, found)
    if method == "full":
        return rules.FULL_RATE, rules.FULL_RATE_REASON
    return rules.LARGE_RATE if parameters > rules.LARGE else rules.RATE, rules.RATE_REASON


# --- what would have to change -------------------------------------------------------------------


def _worth_reaching(options: list[Option]) -> list[Option]:
    """Options from the best down, without those that need more than a better one; turned round.

    Where activations make up most of the memory, a 4-bit base can need more than a 16-bit one.
    """
    kept: list[Option] = []
    for option in options:
        if not kept or option.estimate.peak_bytes < kept[-1].estimate.peak_bytes:
            kept.append(option)
    return kept[::-1]


def _changes(need: Need, options: list[Option]) -> list[Change]:
    """What would let each of these options fit, the next one first."""
    found = {change.name: change for change in (_change(need, option) for option in options[::-1])}
    return list(found.values())[::-1]


def _change(need: Need, option: Option) -> Change:
    """What would let an option fit: more memory, or shorter sequences.

    Memory is told in tenths of a GiB, and what is rounded up may let a better option fit: then it
    is that one which is named.
    """
    more = _more(need, option)
    option = _best(_options(need), int((need.gpu_gib + more) * GIB)) or option
    wanted, more = needed(option.estimate.peak_bytes), _more(need, option)
    card = min((gpu for gpu in GPUS if gpu.bytes >= wanted), key=lambda gpu: gpu.gib, default=None)
    longest = _longest(need, option)
    text = f"with {more:g} GB more GPU memory, {option.rung.name} would fit"
    text += f" (peak {gib(option.estimate.peak_bytes)}"
    text += f"; the {card.name} has {card.gib} GB)" if card else "; no common GPU has that much)"
    if longest:
        text += f", or on this GPU with sequences of at most {longest} tokens"
    return Change(text, option.rung.name, more, longest)


def _more(need: Need, option: Option) -> float:
    """How many GiB of stated memory are missing, in tenths."""
    return ceil(10 * (needed(option.estimate.peak_bytes) - need.gpu_bytes) / GIB) / 10


def _longest(need: Need, option: Option) -> int | None:
    """The longest sequence, in steps of 64 tokens, with which an option fits; None if none does."""
    low, high = 0, (need.seq_len - 1) // 64
    while low < high:
        middle = (low + high + 1) // 2
        fits = _option(replace(need, seq_len=64 * middle), option.rung).fits(need.gpu_bytes)
        low, high = (middle, high) if fits else (low, middle - 1)
    return 64 * low or None


def _remedies(need: Need, options: list[Option]) -> Iterator[Change]:
    """What would let something fit: memory, shorter sequences or fewer, a smaller model."""
    first = _change(need, min(options, key=lambda option: option.estimate.peak_bytes))
    yield first
    longest, name = max((_longest(need, option) or 0, option.rung.name) for option in options)
    if longest > (first.seq_len or 0):
        text = f"with sequences of at most {longest} tokens, {name} would fit"
        yield Change(text, name, seq_len=longest)
    if need.batch_size > 1:
        single = _best(_options(replace(need, batch_size=1)), need.gpu_bytes)
        if single:
            yield Change(
                f"with a batch of 1 and {need.batch_size} steps of gradient accumulation, "
                f"{single.rung.name} would fit (peak {gib(single.estimate.peak_bytes)})",
                single.rung.name,
            )
    for shape in smaller(need.shape):
        option = _best(_options(replace(need, shape=shape)), need.gpu_bytes)
        if option:
            yield Change(
                f"a smaller model: {shape.name} fits with {option.rung.name} "
                f"(peak {gib(option.estimate.peak_bytes)})",
                option.rung.name,
            )
            return


def capital(text: str) -> str:
    """A text that begins a sentence."""
    return text[:1].upper() + text[1:]
