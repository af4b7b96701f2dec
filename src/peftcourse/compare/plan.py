"""Which runs a comparison consists of, and which of them can start, given those that are done.

First the learning rate of each method is searched for on each task (see ``search``). Then the best
rate is trained with every reported seed and measured on the test split. Nothing else is stored than
finished runs: what to do next follows from them, so a killed comparison goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from peftcourse.compare.methods import METHODS, choose
from peftcourse.compare.own import Files
from peftcourse.compare.rates import recorded
from peftcourse.compare.search import SEARCH, Row, best, grid, searched
from peftcourse.compare.tables import BASE
from peftlab.errors import PeftlabError

REPORT, COST = "report", "cost"
TUNING_SEED = 100

Key = tuple[str, str, str, str, int | None, float | None]


@dataclass(frozen=True)
class Run:
    """One unit of work.

    Attributes:
        purpose: ``"search"``, ``"report"`` or ``"cost"``; the latter measures the time and memory
            of all methods on one model, alone on its device.
        method: a key of ``METHODS``; ``"base"`` for the model without training, and for costs.
        seed: of data, order and start; None for costs.
        learning_rate: the peak rate; None where nothing is trained.
    """

    purpose: str
    model: str
    task: str
    method: str
    seed: int | None = None
    learning_rate: float | None = None

    @property
    def key(self) -> Key:
        """What tells runs apart."""
        return (
            self.purpose,
            self.model,
            self.task,
            self.method,
            self.seed,
            self.learning_rate,
        )

    def as_row(self) -> dict[str, Any]:
        """The beginning of its row."""
        return asdict(self)


def key_of(row: Row) -> Key:
    """The key of the run that a row reports."""
    names = ("purpose", "model", "task", "method", "seed", "learning_rate")
    return tuple(row[name] for name in names)


@dataclass(frozen=True)
class Pair:
    """A model, a task, and the budget that every method gets on it.

    Attributes:
        steps, batch_size: of the training.
        max_length: tokens at which an example is cut off; None lets ``check`` find what is needed.
        examples: how many for training, validation and test.
        new_tokens, temperature: of the outputs that are scored; a task with labels needs none.
        scored: how many test examples are continued and scored.
        stories: how many stories measure forgetting.
        points: validation losses during a reported run, besides the one before it.
        cost_rounds: rounds in which the methods take turns when their costs are measured.
        patience: of early stopping, see ``train.TrainConfig``; 0 trains all steps.
        files: the user's own data, if the task is one.
    """

    model: str
    task: str
    steps: int
    batch_size: int = 16
    max_length: int | None = 128
    examples: tuple[int, int, int] = (800, 160, 160)
    new_tokens: int = 64
    temperature: float = 0.0
    scored: int = 160
    stories: int = 100
    points: int = 10
    cost_rounds: int = 6
    patience: int = 0
    files: Files | None = None

    @property
    def metric(self) -> str:
        """The task's score in words."""
        return self.files.metric if self.files else METRICS[self.task]

    def as_json(self) -> dict[str, Any]:
        """The same as plain data, with the task's metric in words."""
        files = self.files and self.files.as_json()
        data = asdict(self) | {"examples": list(self.examples), "files": files}
        return data | {"metric": self.metric}


METRICS = {
    "voice": "share of the places where a rule of the voice applies in which it was followed",
    "facts": "exact match of the answer",
    "slots": "exact match of the JSON",
    "sentiment": "accuracy",
}

# The longest runs first: short ones fill the gaps at the end.
SMOLLM2 = {
    "slots": Pair("smollm2", "slots", 100),
    "sentiment": Pair("smollm2", "sentiment", 100, 16, 96, (3200, 320, 640), scored=640),
}
TINY = {
    "facts": Pair("tiny", "facts", 300, 32, 48, (1024, 256, 256), new_tokens=12, scored=256),
    "voice": Pair("tiny", "voice", 200, temperature=0.8, scored=128),
    "slots": Pair("tiny", "slots", 200),
}
QUICK = Pair(
    "tiny",
    "voice",
    steps=40,
    batch_size=8,
    max_length=64,
    examples=(800, 32, 64),
    new_tokens=48,
    temperature=0.8,
    scored=32,
    stories=16,
    points=4,
    cost_rounds=2,
)
QUICK_HELD_OUT = 64  # validation and test examples of another task in the quick suite
PATIENCE = 3  # validation losses without a lower one, on own data
QUICK_METHODS = (
    "full last-layer lora-1 lora-8 lora-8-qv pissa-8 lora+-8 dora-8 qlora-8 bottleneck ia3 prefix "
    "prompt"
).split()


@dataclass(frozen=True)
class Plan:
    """All that a comparison has to do.

    Attributes:
        suite: ``"quick"`` or ``"full"``.
        pairs: models and tasks.
        methods: keys of ``METHODS``.
        seeds: the seeds that are reported.
        search: whether rates are searched; otherwise they are those of the record, see
            `quick_rate`.
        max_length: what the user wants to cut examples off at, if anything.
    """

    suite: str
    pairs: tuple[Pair, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    search: bool
    max_length: int | None = None
    by_name: dict[tuple[str, str], Pair] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name = {(pair.model, pair.task): pair for pair in self.pairs}
        object.__setattr__(self, "by_name", by_name)
        if self.search and TUNING_SEED in self.seeds:
            raise PeftlabError(
                f"seed {TUNING_SEED} tunes the learning rates and cannot be reported; leave it out."
            )

    def runs(self, rows: Iterable[Row]) -> list[Run]:
        """Every run that is known to be needed so far, done or not; the search may add more."""
        tried = searched(rows)
        needed = [Run(COST, *self.cost_pair(model), BASE) for model in self.models]
        for pair in self.pairs:
            place = (pair.model, pair.task)
            needed += [Run(REPORT, *place, BASE, seed) for seed in self.seeds]
            for method in self.methods:
                if not self.search:
                    rate = quick_rate(*place, method)
                    needed += [Run(REPORT, *place, method, seed, rate) for seed in self.seeds]
                    continue
                losses = tried.get((*place, method), {})
                rates = grid(METHODS[method].rate, losses)
                needed += [Run(SEARCH, *place, method, TUNING_SEED, rate) for rate in rates]
                if losses.keys() >= set(rates):
                    rate = best(losses)
                    needed += [Run(REPORT, *place, method, seed, rate) for seed in self.seeds]
        return needed

    def left(self, rows: Sequence[Row]) -> list[Run]:
        """The needed runs that are not done."""
        done = {key_of(row) for row in rows}
        return [run for run in self.runs(rows) if run.key not in done]

    def expected(self, needed: Sequence[Run]) -> int:
        """How many runs there will be in the end, if no more grids grow."""
        reported = {(run.model, run.task, run.method) for run in needed if run.purpose == REPORT}
        searching = {(r.model, r.task, r.method) for r in needed if r.purpose == SEARCH}
        return len(needed) + len(searching - reported) * len(self.seeds)

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds that are reported, and the one that tunes."""
        return (*self.seeds, TUNING_SEED) if self.search else self.seeds

    @property
    def models(self) -> list[str]:
        """Each model once."""
        return list(dict.fromkeys(pair.model for pair in self.pairs))

    def cost_pair(self, model: str) -> tuple[str, str]:
        """The (model, task) whose batches the costs are measured with: the model's last one."""
        return [place for place in self.by_name if place[0] == model][-1]


def quick_rate(model: str, task: str, method: str) -> float:
    """The rate of the quick suite, which does not search: that of the record for this model.

    For a model that is not in the record it is where a search would begin, which is a guess.
    """
    found = recorded(model, method, task)
    return found.value if found else METHODS[method].rate


def plan(
    suite: str,
    model: str | None = None,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
    *,
    files: Files | None = None,
    max_length: int | None = None,
) -> Plan:
    """The plan of a suite, or of a part of it.

    Args:
        suite: ``"quick"`` (the bundled model, some methods, recorded rates, three seeds) or
            ``"full"`` (two models, all methods, searched rates, five seeds).
        model: only this one; one that the suite does not have is trained like SmolLM2.
        tasks: only these.
        methods: only these.
        seeds: these seeds instead of the suite's.
        files: the user's own data instead of the suite's tasks.
        max_length: tokens of an example, instead of the suite's.

    Raises:
        PeftlabError: there is no such suite, task or method, or own data and tasks are given.
    """
    if suite not in ("quick", "full"):
        raise PeftlabError(f'there is no suite {suite!r}; take "quick" or "full".')
    for task in sorted(set(tasks) - METRICS.keys()):
        raise PeftlabError(f"there is no task {task!r}; choose from {', '.join(METRICS)}.")
    if files and tasks:
        raise PeftlabError("--data is a task of its own; leave out --task, or --data.")
    known = _pairs(suite)
    pairs = [p for p in known if model in (None, p.model) and (not tasks or p.task in tasks)]
    if files:
        pairs = [_own(suite, model or "tiny", files)]
    else:
        others = [task for task in tasks if task not in {pair.task for pair in pairs}]
        others = others or ([] if pairs else list(SMOLLM2))
        pairs += [_other(suite, model or "tiny", task) for task in others]
    if max_length is not None:
        pairs = [replace(pair, max_length=max_length) for pair in pairs]
    chosen = choose(methods or (QUICK_METHODS if suite == "quick" else METHODS))
    return Plan(
        suite,
        tuple(pairs),
        tuple(chosen),
        tuple(dict.fromkeys(seeds)) or tuple(range(3 if suite == "quick" else 5)),
        search=suite == "full",
        max_length=max_length,
    )


def in_suite(suite: str, pair: Pair) -> bool:
    """Whether a pair is as the suite has it, whose lengths were chosen for its model and task."""
    return pair in _pairs(suite)


def _pairs(suite: str) -> list[Pair]:
    return [QUICK] if suite == "quick" else [*SMOLLM2.values(), *TINY.values()]


def _other(suite: str, model: str, task: str) -> Pair:
    """Settings for a model and a task that the suite does not have."""
    alike = {**SMOLLM2, **TINY} if model == "tiny" else {**TINY, **SMOLLM2}
    pair = replace(alike[task], model=model)
    if suite == "quick":
        train, *held_out = pair.examples
        held_out = [min(size, QUICK_HELD_OUT) for size in held_out]
        pair = replace(
            pair,
            steps=QUICK.steps,
            batch_size=QUICK.batch_size,
            examples=(train, *held_out),
            scored=min(pair.scored, held_out[-1]),
            stories=QUICK.stories,
            points=QUICK.points,
            cost_rounds=QUICK.cost_rounds,
        )
    return pair


def _own(suite: str, model: str, files: Files) -> Pair:
    """Settings for the user's own data; ``check`` sets the lengths, by the model's tokenizer."""
    return replace(
        _other(suite, model, "slots"),
        task=files.name,
        max_length=None,
        examples=files.sizes,
        scored=min(160, files.sizes[-1]),
        points=10,  # looks at the validation loss, of which some may bring nothing new
        patience=PATIENCE,
        files=files,
    )
