"""Your own task from a ``.jsonl`` file: read, checked, split, searched for leaks, encoded.

``jsonl`` says what may stand in a file, ``chat`` what is learned of a conversation.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from peftcourse.experiments import jsonl, leaks
from peftcourse.experiments.chat import ASSISTANT, Conversation
from peftcourse.experiments.corpus import Example
from peftcourse.experiments.jsonl import Line
from peftcourse.experiments.leaks import Conflict, NearDuplicate
from peftcourse.experiments.tasks import (
    Encoded,
    Task,
    targets,
    truncated,
    whole_sequences,
)
from peftlab.errors import PeftlabError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MIN_EXAMPLES = 40
# Shares of the hash's range: an example stays in its split when the file grows.
SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}
SHOWN = 3  # findings of each kind that are shown


@dataclass(frozen=True)
class OwnData:
    """A file as a task, with what was noticed in it.

    Attributes:
        task: named after the file. Prompts and answers are scored by exact match; of texts and
            conversations no single output is right, and they have no score.
        kind: ``jsonl.PAIRS``, ``CHAT`` or ``TEXT``.
        split: how the examples were parted, in a sentence.
        lines: split → its examples and where they stand.
        duplicates: lines that repeated an earlier example and were left out.
        conflicts: questions with several answers, in all splits together.
        near_duplicates: held-out examples that training gives away, the worst first.
    """

    task: Task
    kind: str
    split: str
    lines: dict[str, list[Line]]
    duplicates: int
    conflicts: tuple[Conflict, ...]
    near_duplicates: tuple[NearDuplicate, ...]

    def describe(self) -> str:
        """Sizes and warnings, a line each."""
        sizes = [len(lines) for lines in self.lines.values()]
        found = ["{} training, {} validation and {} test examples".format(*sizes)]
        found.append(f"{self.duplicates} exact duplicates left out")
        found.append(f"{len(self.near_duplicates)} held-out examples nearly in the training data")
        for pair in self.near_duplicates[:SHOWN]:
            where = f"{pair.held_out} ({pair.split}) and {pair.train} (train)"
            found.append(f"  {pair.similarity:.0%} alike: {where}: {_start(pair.held_out)!r}")
        if self.conflicts:
            found.append(f"{len(self.conflicts)} questions with different answers")
        for conflict in self.conflicts[:SHOWN]:
            where = _places(conflict.lines)
            found.append(f"  {where}: {' '.join(conflict.question.split())[:70]!r}")
        return "\n".join(found)


def read_jsonl(
    path: str | Path,
    *,
    validation: str | Path | None = None,
    test: str | Path | None = None,
    seed: int = 0,
    ignore: Collection[str] = (),
) -> OwnData:
    """Read a file of examples, check each line, and split it by content.

    The split of an example follows from a hash of its question and of the seed, and not from its
    place in the file. So a test example stays one when lines are added or shuffled, and the same
    question asked twice is never on both sides.

    Args:
        path: the file; see ``jsonl`` for what may stand in it.
        validation, test: further files of the same kind, which are that split instead of a share
            of the first file.
        seed: another one gives another split.
        ignore: fields that are not trained on.

    Raises:
        PeftlabError: a file cannot be read, a line is not as it must be (the message names it), or
            there are too few examples.
    """
    path = Path(path)
    others = {"validation": validation, "test": test}
    others = {split: Path(file) for split, file in others.items() if file is not None}
    kind, first = jsonl.read(path, ignore)
    read = {"": first}
    for split, file in others.items():
        other, read[split] = jsonl.read(file, ignore)
        if other != kind:
            raise PeftlabError(
                f"{path.name} holds {kind} and {file.name} {other}; use the same kind for both."
            )
    everything = [line for lines in read.values() for line in lines]
    kept = _distinct(read)
    _check_enough(path.name, kept[""], MIN_EXAMPLES)
    for split, file in others.items():
        _check_enough(file.name, kept[split], math.ceil(SHARES[split] * MIN_EXAMPLES))
    lines: dict[str, list[Line]] = {split: list(kept.get(split, ())) for split in SHARES}
    for line in kept[""]:
        split = split_of(line.example, seed)
        lines["train" if split in others else split].append(line)
    for split, members in lines.items():
        if not members:
            raise PeftlabError(
                f"of the {len(kept[''])} examples of {path.name} none fell into the {split} split, "
                "as happens when most prompts are the same; add examples with other prompts."
            )
    splits = {split: [line.example for line in part] for split, part in lines.items()}
    score = _exact if kind == jsonl.PAIRS else None
    task = Task(path.stem, f"Learn the {kind} of {path.name}.", **splits, score=score)
    near = [
        pair
        for split in ("validation", "test")
        for pair in leaks.near_duplicates(lines["train"], lines[split], split)
    ]
    return OwnData(
        task=task,
        kind=kind,
        split=_how(path, others, seed),
        lines=lines,
        duplicates=len(everything) - sum(map(len, lines.values())),
        conflicts=tuple(leaks.conflicts(everything)),
        near_duplicates=tuple(sorted(near, key=lambda pair: -pair.similarity)),
    )


def digest(*files: str | Path | None) -> str:
    """SHA-256 of the contents of some files, in their order; None is a file that there is not."""
    found = hashlib.sha256()
    for file in files:
        # Their digests and not their contents: where one ends is a part of it.
        found.update(hashlib.sha256(b"" if file is None else Path(file).read_bytes()).digest())
    return found.hexdigest()


def split_of(example: Example | Conversation, seed: int = 0) -> str:
    """The split that an example belongs to, by the hash of its question without case and spacing.

    A text is its own question; that of a conversation is what stands before the first reply.
    """
    salt = f"{seed}\n" if seed else ""
    text = salt + leaks.folded(_question(example))
    place = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
    border = 0.0
    for split, share in SHARES.items():
        border += share
        if place < border:
            return split
    return "test"  # rounding put the last border just below 1


def _question(example: Example | Conversation) -> str:
    if isinstance(example, Example):
        return example.prompt.strip() or example.target
    before = []
    for message in example.messages:
        if message.role == ASSISTANT:
            break
        before.append(message.content)
    return "\n".join(before).strip() or example.messages[0].content


def _distinct(read: dict[str, list[Line]]) -> dict[str, list[Line]]:
    """The first line with each example: one that stands in two files is kept in the first."""
    seen: set[Example | Conversation] = set()
    kept: dict[str, list[Line]] = {}
    for part, lines in read.items():
        kept[part] = []
        for line in lines:
            if line.example not in seen:
                seen.add(line.example)
                kept[part].append(line)
    return kept


def _check_enough(name: str, kept: Sequence[Line], least: int) -> None:
    if len(kept) < least:
        raise PeftlabError(
            f"{name} has {len(kept)} different examples, and {least} are the least that can be "
            "worked with; add some."
        )


def _how(path: Path, others: dict[str, Path], seed: int) -> str:
    """How the examples were parted, for example ``train and test: mine.jsonl, split by …``."""
    own = [split for split in SHARES if split not in others]
    how = f"{' and '.join(own)}: {path.name}"
    if len(own) > 1:
        how = f"{', '.join(own[:-1])} and {own[-1]}: {path.name}, split by a hash of each question "
        how += f"with seed {seed}"
    return "; ".join([how, *(f"{split}: {file.name}" for split, file in others.items())])


def _exact(example: Example, text: str) -> float:
    return float(text.strip() == example.target.strip())


def _start(line: Line) -> str:
    return " ".join(leaks.text(line.example).split())[:70]


def _places(lines: Sequence[Line]) -> str:
    """``mine.jsonl, line 3; mine.jsonl, line 9``; of many the first few."""
    more = f" and {len(lines) - 6} more" if len(lines) > 6 else ""
    return "; ".join(map(str, lines[:6])) + more


# --- tokens ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tokens:
    """Own data in tokens.

    Attributes:
        train, validation, test: the sequences of each split.
        longest: tokens of the longest sequence before anything was cut off.
        cut: how many sequences lost their end.
        targets: tokens of all training sequences that carry the loss.
    """

    train: list[Encoded]
    validation: list[Encoded]
    test: list[Encoded]
    longest: int
    cut: int
    targets: int


def encode(
    data: OwnData,
    tokenizer: PreTrainedTokenizerBase,
    context: int | None = None,
    max_length: int | None = None,
) -> Tokens:
    """Turn own data into tokens; nothing is cut off unless it was asked for.

    Args:
        data: see `read_jsonl`.
        tokenizer: of the model that is trained.
        context: the most tokens that the model takes, None if there is no limit.
        max_length: cut longer sequences off at so many tokens.

    Raises:
        PeftlabError: a line is too long, holds nothing to learn within ``max_length``, or holds a
            control token of the model; the message names lines and says what to do.
    """
    check_length(max_length, context)
    limit = context if max_length is None else max_length
    control = _control(tokenizer)
    made: dict[str, list[Encoded]] = {}
    longest = cut = 0
    too_long: list[Line] = []
    nothing_left: list[Line] = []
    for split, lines in data.lines.items():
        made[split] = []
        for line in lines:
            if found := control(leaks.text(line.example)):
                raise PeftlabError(
                    f"{line} holds {found!r}, with which the model marks where texts or turns end; "
                    "delete it."
                )
            for whole in _whole(line, tokenizer):
                length = len(whole["input_ids"])
                longest = max(longest, length)
                if limit is not None and length > limit:
                    cut += 1
                    too_long.append(line)
                    whole = truncated(whole, limit)
                    if not targets(whole):
                        nothing_left.append(line)
                made[split].append(whole)
    if too_long and max_length is None:
        raise PeftlabError(
            f"{_lines(too_long)} longer than the {context} tokens that the model takes (the "
            f"longest has {longest}); shorten them, or cut them off with --max-length {context}."
        )
    if nothing_left:
        raise PeftlabError(
            f"{_lines(nothing_left)} cut off by --max-length {max_length} before anything that is "
            f"learned; the longest has {longest} tokens: raise it, or shorten what is given."
        )
    return Tokens(**made, longest=longest, cut=cut, targets=sum(map(targets, made["train"])))


def check_length(max_length: int | None, context: int | None) -> None:
    """Refuse sequences of more tokens than a model takes."""
    if max_length is not None and context is not None and max_length > context:
        raise PeftlabError(
            f"--max-length {max_length} is more than the {context} tokens that the model takes; "
            "lower it."
        )


def lengths(tokens: Tokens, max_length: int | None) -> str:
    """What became of long examples, in a sentence."""
    count = sum(map(len, (tokens.train, tokens.validation, tokens.test)))
    if not tokens.cut:
        return f"the longest of {count} sequences has {tokens.longest} tokens; nothing is cut off"
    return (
        f"{tokens.cut} of {count} sequences lose their end at {max_length} tokens; the longest has "
        f"{tokens.longest}"
    )


def _whole(line: Line, tokenizer: PreTrainedTokenizerBase) -> list[Encoded]:
    try:
        return whole_sequences(line.example, tokenizer)
    except PeftlabError as error:
        raise PeftlabError(f"{line}: {error}") from None


def _control(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], str | None]:
    """Finds a control token of the tokenizer in a text, where it would end a turn or a text."""
    names = [re.escape(token) for token in tokenizer.all_special_tokens if token]
    pattern = re.compile("|".join(names) or "(?!)")

    def find(text: str) -> str | None:
        found = pattern.search(text)
        return found and found.group()

    return find


def _lines(lines: Sequence[Line]) -> str:
    """``2 lines (mine.jsonl, line 3; mine.jsonl, line 9) are``."""
    several = list(dict.fromkeys(lines))
    count = "1 line" if len(several) == 1 else f"{len(several)} lines"
    return f"{count} ({_places(several)}) {'is' if len(several) == 1 else 'are'}"
