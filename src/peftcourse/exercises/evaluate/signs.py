"""Lesson 11, the clinic: what it shows when one kind of run gets a wrong diagnosis."""

from __future__ import annotations

from itertools import combinations

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom
from peftcourse.exercises.evaluate.probes import CODES
from peftcourse.exercises.observe import Case, Outcome

# The causes in the order of the table's rows.
_ROWS = (
    "wrong dtype",
    "padding in the loss",
    "labels shifted",
    "frozen by mistake",
    "wrong targets",
    "merged twice",
    "rate too high",
    "overfitting",
)

_COMPARE = "Compare that line with the row of the table, word by word"


def _named(part: str, cause: str, *plainer: str) -> Symptom:
    """Said where the wrong answers are names of the table, so that the comparison is wrong.

    Args:
        part: the kind of run.
        cause: what it shows.
        plainer: kinds that show the same mistake, where there is one, more plainly.
    """

    def names(case: Case, expected: Outcome, observed: Outcome) -> bool:
        wrong = expected[part] != observed[part]
        return bool((observed[part][wrong] != 0).all()) and all(
            agree(expected[other], observed[other]) for other in plainer
        )

    return Symptom(part, cause, _COMPARE, names, decides=True)


_TWO = "two questions with a yes"
_PAIRS = tuple(combinations(_ROWS, 2))


def _later(expected: Outcome, observed: Outcome) -> list[tuple[str, str]]:
    """The pairs of which the second is named, where nothing else is wrong."""
    if not all(agree(value, observed[part]) for part, value in expected.items() if part != _TWO):
        return []
    said = observed[_TWO].tolist()
    if any(code not in (CODES[a], CODES[b]) for (a, b), code in zip(_PAIRS, said, strict=True)):
        return []
    return [pair for pair, code in zip(_PAIRS, said, strict=True) if code == CODES[pair[1]]]


def _asked_before(first: str, second: str) -> Symptom:
    return Symptom(
        _TWO,
        f"wrong order: “{second}” is asked before “{first}”; the first yes down the table decides",
        "Ask in the order of the table, and return at once",
        lambda case, expected, observed: (first, second) in _later(expected, observed),
        decides=True,
    )


# The kind of run in which nobody can miss each cause.
_PLAIN = {
    "wrong dtype": "`last` is NaN",
    "padding in the loss": "`counted` is above `targets`",
    "labels shifted": "`first` is far above `start`",
    "frozen by mistake": "`update` is zero",
    "wrong targets": "`adapted` is far below `wanted`",
    "merged twice": "`shipped` is far above `last_validation`",
    "rate too high": "`highest` is far above `first`",
    "overfitting": "`last_validation` is far above `best_validation`",
}
_NOTHING = "nothing special"


def _said_of(seen: Outcome, part: str, cause: str) -> bool:
    return bool((seen[part] == CODES[cause]).all())


def _exchanged(one: str, other: str) -> Symptom:
    return Symptom(
        _PLAIN[one],
        f"“{one}” and “{other}” are swapped: each is said where the other is right",
        "Exchange the two names, or the two questions",
        lambda case, right, seen: (
            _said_of(seen, _PLAIN[one], other) and _said_of(seen, _PLAIN[other], one)
        ),
        decides=True,
    )


def _too_often(cause: str) -> Symptom:
    return Symptom(
        _NOTHING,
        f"a run with nothing special is called “{cause}”: that row says yes too often; equal, or "
        "within the margin, is no yes",
        _COMPARE,
        lambda case, right, seen: bool((seen[_NOTHING] == CODES[cause]).any()),
        decides=True,
    )


def _never(cause: str) -> Symptom:
    names = ("other names", "other capitals", "answers that are no text", "answers that are None")

    def look(case: Case, right: Outcome, seen: Outcome) -> bool:
        """Names of the table alone are said, and no other row says yes of everything."""
        plain = agree(right[_NOTHING], seen[_NOTHING]) and not any(seen[name] for name in names)
        return plain and not any((seen[kind] == CODES[cause]).any() for kind in case["runs"])

    return Symptom(
        _PLAIN[cause],
        f"“{cause}” is never said of any run: is the comparison the wrong way round, or with "
        "another number than the row's?",
        _COMPARE,
        look,
        decides=True,
    )


# They all decide: the codes of the causes are no quantities, which a simple change could turn into
# each other.
SYMPTOMS = (
    Symptom(
        "answers that are None",
        "for some runs nothing is returned (None): a `return` is missing on the way to the end, "
        "such as that of “healthy”",
        "Return a name on every way through the function",
        decides=True,
    ),
    Symptom(
        "answers that are no text",
        "what is returned is not a string: one name is asked for, that of the first yes, not a "
        "list or a number",
        "Return the name itself, at the first yes",
        decides=True,
    ),
    Symptom(
        "other capitals",
        "a cause is written with other capital letters or spaces than in the table",
        "Copy the names from the table, in lower case",
        decides=True,
    ),
    Symptom(
        "other names",
        "a name is returned that is none of the nine in the table, letter by letter: another word, "
        "or a spelling mistake",
        "Copy the names from the table",
        decides=True,
    ),
    *(_exchanged(*pair) for pair in _PAIRS),
    *(_too_often(cause) for cause in _ROWS),
    _named(
        "`last` is NaN",
        "a `last` of NaN is not found: NaN equals nothing, and every comparison with it is false",
    ),
    _named(
        "`last` is infinite",
        "a `last` of infinity is not found, which is not finite either: isnan finds NaN alone",
    ),
    *(_never(cause) for cause in _ROWS[1:]),
    _named(
        "`shipped` is infinite",
        "an infinite `shipped` is not taken as any other number above the last validation loss: "
        "only `last` decides on the dtype",
        _NOTHING,
        "`shipped` is far above `last_validation`",
    ),
    _named(
        "`counted` is above `targets`",
        "`counted` above `targets` is not always taken for a difference",
    ),
    _named(
        "`counted` is below `targets`",
        "`counted` below `targets`, too few tokens, is not always taken for a difference",
    ),
    _named(
        "`first` is far above `start`",
        "a `first` far above `start` is not taken for off; off means to either side",
    ),
    _named(
        "`first` is far below `start`",
        "a `first` far below `start` is not taken for off; off means to either side",
    ),
    _named(
        "`first` is a few per cent off `start`",
        "a `first` that is 3 to 5 % off `start` is not always taken for off: the margin is 2 %, "
        "0.02",
        "`first` is far above `start`",
        "`first` is far below `start`",
    ),
    _named(
        "`first` is 1 to 1.9 % off `start`",
        "a `first` within 2 % of `start` is taken for off: the margin is 2 % of `start`, which is "
        "relative, and not a number of nats",
    ),
    _named(
        "`first` is just beside 2 % off `start`",
        "just beside the margin of 2 %, a `first` is on the wrong side of it: it is 2 % of "
        "`start`, not of `first` or of another number",
        "`first` is a few per cent off `start`",
        "`first` is 1 to 1.9 % off `start`",
    ),
    Symptom(
        "`first` is exactly 2 % off `start`",
        "a `first` that is exactly 2 % off `start` is taken for off: “more than” leaves equal "
        "out, so > and not >=",
        _COMPARE,
        decides=True,
    ),
    _named("`update` is zero", "an `update` of zero is not found: nothing was trained"),
    _named(
        "`update` is tiny",
        "a small `update` is taken for none: the question is whether it is exactly zero, without "
        "a threshold",
    ),
    _named(
        "`adapted` is one below `wanted`",
        "a run with one adapted layer fewer than wanted passes: one fewer is a yes, too",
        "`adapted` is far below `wanted`",
    ),
    _named(
        "`adapted` is far below `wanted`",
        "a run with far fewer adapted layers than wanted passes",
    ),
    _named("`adapted` is zero", "a run in which no layer is adapted passes"),
    _named(
        "`adapted` is above `wanted`",
        "more layers adapted than wanted are called wrong targets: only fewer are, < and not !=",
    ),
    _named(
        "`shipped` is far above `last_validation`",
        "a `shipped` far above `last_validation` is not found",
    ),
    _named(
        "`shipped` is 0.12 to 0.3 above `last_validation`",
        "a `shipped` of 0.12 to 0.3 above `last_validation` is not always found: the margin is "
        "0.1 nats, whatever the loss",
        "`shipped` is far above `last_validation`",
    ),
    _named(
        "`shipped` is exactly 0.1 above `last_validation`",
        "a `shipped` of exactly 0.1 above `last_validation` is a yes: “more than” leaves equal "
        "out, so > and not >=",
        "`shipped` is less than 0.1 above `last_validation`",
    ),
    _named(
        "`shipped` is less than 0.1 above `last_validation`",
        "a `shipped` less than 0.1 above `last_validation` is a yes: it is to be more than 0.1 "
        "above the last validation loss, not above the best one or above nothing",
    ),
    _named(
        "`shipped` is below `last_validation`",
        "a `shipped` below `last_validation` gets a diagnosis, though a lower loss is better: the "
        "sign of the difference matters",
    ),
    _named(
        "`highest` is far above `first`",
        "a `highest` far above `first` is not found",
    ),
    _named(
        "`highest` is 0.55 to 0.9 above `first`",
        "a `highest` of 0.55 to 0.9 above `first` is not found: the margin is 0.5",
        "`highest` is far above `first`",
    ),
    _named(
        "`highest` is exactly 0.5 above `first`",
        "a `highest` of exactly 0.5 above `first` is a yes: “more than” leaves equal out, so > and "
        "not >=",
        "`highest` is 0.15 to 0.45 above `first`",
    ),
    _named(
        "`highest` is 0.15 to 0.45 above `first`",
        "a `highest` less than 0.5 above `first` is a yes: the margin of this row is 0.5",
    ),
    _named(
        "`highest` is near 0.5 above `first` or `start`",
        "`highest` is on the wrong side of 0.5 above `first`: it may be compared with `start`, "
        "which differs a little from `first`",
        "`highest` is 0.55 to 0.9 above `first`",
        "`highest` is 0.15 to 0.45 above `first`",
    ),
    _named(
        "`last_validation` is far above `best_validation`",
        "a `last_validation` far above `best_validation` is not found: overfitting is the last "
        "above the best",
    ),
    _named(
        "`last_validation` is 0.12 to 0.3 above `best_validation`",
        "a `last_validation` of 0.12 to 0.3 above `best_validation` is not always found: the "
        "margin is 0.1 nats, whatever the loss",
        "`last_validation` is far above `best_validation`",
    ),
    _named(
        "`last_validation` is exactly 0.1 above `best_validation`",
        "a `last_validation` of exactly 0.1 above `best_validation` is a yes: “more than” leaves "
        "equal out, so > and not >=",
        "`last_validation` is less than 0.1 above `best_validation`",
    ),
    _named(
        "`last_validation` is less than 0.1 above `best_validation`",
        "a `last_validation` less than 0.1 above `best_validation` is a yes: the margin is 0.1 "
        "nats, whatever the loss",
    ),
    _named(
        "`last` is far from `last_validation`",
        "the gap between training and validation loss decides, `last` against `last_validation`: "
        "overfitting asks for the best validation loss",
    ),
    Symptom(
        _TWO,
        "of two questions with a yes, the last yes decides, not the first: a later row overwrites "
        "the answer",
        "Return at the first yes, or use elif",
        lambda case, expected, observed: len(_later(expected, observed)) == len(_PAIRS),
        decides=True,
    ),
    *(_asked_before(*pair) for pair in _PAIRS),
)
