"""Your own task from a ``.jsonl`` file: read, checked, split, and searched for leaks.

The format is one JSON object on each line, in UTF-8, with two texts::

    {"prompt": "I want a birthday cake.\\nWho can help?", "completion": " baker"}

``prompt`` may be empty, ``completion`` may not. Other keys are ignored, empty lines are skipped.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from peftcourse.experiments.corpus import Example
from peftcourse.experiments.tasks import Task
from peftlab.errors import PeftlabError

KEYS = ("prompt", "completion")
MIN_EXAMPLES = 40
# Shares of the hash's range: an example stays in its split when the file grows.
SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}
NEAR = 0.8  # from this share of common word triples on, two examples count as near-duplicates


@dataclass(frozen=True)
class NearDuplicate:
    """A held-out example that is almost one of the training examples.

    Attributes:
        split: ``"validation"`` or ``"test"``.
        held_out, train: the two prompts, each with its completion.
        similarity: share of their word triples that both have, from 0 to 1.
    """

    split: str
    held_out: Example
    train: Example
    similarity: float


@dataclass(frozen=True)
class OwnData:
    """A file as a task, with what was noticed in it.

    Attributes:
        task: named after the file; its score is exact match.
        duplicates: lines that repeated an earlier example and were left out.
        near_duplicates: held-out examples that training gives away, the worst first.
    """

    task: Task
    duplicates: int
    near_duplicates: tuple[NearDuplicate, ...]

    def describe(self) -> str:
        """Sizes and warnings, a line each."""
        task = self.task
        sizes = [len(split) for split in (task.train, task.validation, task.test)]
        lines = ["{} training, {} validation and {} test examples".format(*sizes)]
        lines.append(f"{self.duplicates} exact duplicates left out")
        lines.append(f"{len(self.near_duplicates)} held-out examples nearly in the training data")
        for pair in self.near_duplicates[:3]:
            lines.append(f"  {pair.similarity:.0%} alike: {pair.held_out.prompt[:70]!r}")
        return "\n".join(lines)


def read_jsonl(path: str | Path) -> OwnData:
    """Read a file of examples, check each line, and split it by content.

    The split of an example follows from a hash of its prompt (of its completion, if the prompt is
    empty) and from nothing else: not from its place in the file, nor from a seed. So a test
    example stays one when lines are added or shuffled, and the same question asked twice is never
    on both sides.

    Raises:
        PeftlabError: the file cannot be read, a line is not as above (the message names it), or
            there are too few examples.
    """
    path = Path(path)
    examples = [example for _, example in _lines(path)]
    kept = list(dict.fromkeys(examples))
    if len(kept) < MIN_EXAMPLES:
        raise PeftlabError(
            f"{path.name} has {len(kept)} different examples, and {MIN_EXAMPLES} are the least "
            "that can be trained on and tested; add some."
        )
    splits: dict[str, list[Example]] = {split: [] for split in SHARES}
    for example in kept:
        splits[split_of(example)].append(example)
    for split, members in splits.items():
        if not members:
            raise PeftlabError(
                f"of the {len(kept)} examples of {path.name} none fell into the {split} split, as "
                "happens when most prompts are the same; add examples with other prompts."
            )
    task = Task(path.stem, f"Complete the prompts of {path.name}.", **splits, score=_exact)
    found = [
        pair for split in ("validation", "test") for pair in _near(splits["train"], splits, split)
    ]
    worst_first = tuple(sorted(found, key=lambda pair: -pair.similarity))
    return OwnData(task, len(examples) - len(kept), worst_first)


def split_of(example: Example) -> str:
    """The split that an example belongs to, by the hash of its prompt without case and spacing."""
    text = " ".join((example.prompt.strip() or example.target).lower().split())
    place = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
    border = 0.0
    for split, share in SHARES.items():
        border += share
        if place < border:
            return split
    return "test"  # rounding put the last border just below 1


def _exact(example: Example, text: str) -> float:
    return float(text.strip() == example.target.strip())


# --- reading --------------------------------------------------------------------------------------


def _lines(path: Path) -> Iterator[tuple[int, Example]]:
    """The examples with their line numbers."""
    try:
        text = path.read_bytes().decode("utf-8-sig")  # with or without a byte-order mark
    except OSError as error:
        raise PeftlabError(f"cannot read {path}: {error.strerror}; check the path.") from None
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        raise PeftlabError(
            f"{path.name}, line {number}: this is not UTF-8; save the file as UTF-8."
        ) from None
    if not text.strip():
        raise PeftlabError(f"{path.name} is empty; write one JSON object on each line.")
    for number, line in enumerate(text.split("\n"), 1):  # json takes the \r of \r\n as space
        if line.strip():
            yield number, _example(line, f"{path.name}, line {number}")


def _example(line: str, where: str) -> Example:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", "nested too deeply")
        raise PeftlabError(
            f"{where}: this is not JSON ({reason}); write one whole object on each line."
        ) from None
    if not isinstance(row, dict):
        raise PeftlabError(f"{where}: this is not an object; write {{...}} with {_named(KEYS)}.")
    missing = [key for key in KEYS if key not in row]
    if missing:
        has = _named(list(row)) or "none"
        raise PeftlabError(f"{where}: {_named(missing)} missing; the keys are {has}. Rename them.")
    for key in KEYS:
        if not isinstance(row[key], str):
            kind = type(row[key]).__name__
            raise PeftlabError(f"{where}: {key} must be a text, not {kind}; put it in quotes.")
    prompt, completion = (row[key] for key in KEYS)
    if not completion.strip():
        raise PeftlabError(
            f"{where}: completion is empty, so there is nothing to learn; fill it or delete the "
            "line."
        )
    # Tokens of a word begin with the space before it, so a completion begins with one too.
    if prompt and not (prompt[-1].isspace() or completion[0].isspace()):
        completion = " " + completion
    return Example(prompt, completion)


def _named(keys: Sequence[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys[:8])


# --- leaks ----------------------------------------------------------------------------------------


def _near(
    train: Sequence[Example], splits: dict[str, list[Example]], split: str
) -> Iterator[NearDuplicate]:
    """For each held-out example the nearest training example, if it is near."""
    triples = [_triples(example) for example in train]
    having: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, found in enumerate(triples):
        for triple in found:
            having[triple].append(place)
    for example in splits[split]:
        own = _triples(example)
        common: defaultdict[int, int] = defaultdict(int)
        for triple in own:
            for place in having.get(triple, ()):
                common[place] += 1
        # Jaccard's index: what both have, of what either has.
        alike = {
            place: count / (len(own) + len(triples[place]) - count)
            for place, count in common.items()
        }
        nearest = max(alike, key=alike.__getitem__, default=None)
        if nearest is not None and alike[nearest] >= NEAR:
            yield NearDuplicate(split, example, train[nearest], alike[nearest])


def _triples(example: Example) -> set[tuple[str, ...]]:
    """All runs of three words, without case and punctuation; of a short text, all its words."""
    words = re.findall(r"\w+", f"{example.prompt} {example.target}".lower())
    return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}
