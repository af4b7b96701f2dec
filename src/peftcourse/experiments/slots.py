"""Story → JSON: the first sentences of a story, read into five slots.

Each slot holds the first word in the text that belongs to it, exactly as it stands there, or null.
The model has to write valid JSON, and to copy the right words into it.

The prompt opens the object with ``{`` and whoever reads the output closes it, so the model writes
what is in between. The bundled model has never seen a brace: the embedding of that token is
untrained, and as it is frozen and also serves as output layer, adapters cannot make up for it.
"""

import json
import random
import re

from peftcourse.experiments import corpus
from peftcourse.experiments.characters import names_in
from peftcourse.experiments.corpus import Example, shuffled

MAX_WORDS = 45
MIN_FILLED = 2
DEFAULT_SIZES = (800, 160, 160)

# Only words whose pieces after a quotation mark, where no space precedes them, are tokens that the
# bundled model has seen: one that it has not, like the gry of "angry, is as untrained as a brace.
WORDS = {
    "animal": "bird birds dog dogs puppy cat cats kitten bear rabbit bunny mouse lion elephant "
    "monkey fox owl frog butterfly horse duck cow pig fish snake squirrel bug bee spider ant "
    "turtle tiger sheep goat wolf worm ladybug",
    "place": "park house home forest woods store shop school room playground "
    "beach hill river lake pond sea ocean castle cave village town farm zoo field jungle "
    "street island",
    "thing": "toy toys ball car truck box book doll cake cookie cookies tree hat "
    "dress bag boat bike stick rock apple apples candy kite balloon bed chair jar swing slide "
    "cup spoon picture blocks shoes coat train plane",
    "feeling": "happy sad excited scared proud tired curious surprised lonely bored "
    "worried glad nervous",
}
KEYS = ("who", *WORDS)
_PATTERNS = {
    slot: re.compile(rf"\b(?:{'|'.join(words.split())})\b") for slot, words in WORDS.items()
}


def opening(text: str) -> str:
    """Return a story's first whole sentences, `MAX_WORDS` words at most, on one line."""
    kept = []
    for sentence in corpus.sentences(text):
        if len(" ".join([*kept, sentence]).split()) > MAX_WORDS:
            break
        kept.append(sentence)
    return " ".join(kept)


def extract(text: str) -> dict[str, str | None]:
    """Read the slots: the first name, and the first word of each list, or None."""
    found: dict[str, str | None] = {"who": None}
    first = next(names_in(text), None)
    if first:
        found["who"] = first.group()
    for slot, pattern in _PATTERNS.items():
        match = pattern.search(text)
        found[slot] = match.group() if match else None
    return found


def examples(split: str) -> list[Example]:
    """Return one example per story of the split in whose opening enough slots are filled."""
    kept = []
    for story in corpus.story_texts(split):
        text = opening(story)
        slots = extract(text)
        if sum(value is not None for value in slots.values()) >= MIN_FILLED:
            kept.append(Example(f"{text}\nJSON: {{", " " + json.dumps(slots)[1:-1]))
    return kept


def build(seed: int, sizes: tuple[int, int, int]) -> tuple[list[Example], ...]:
    """Return train, validation and test examples from disjoint stories.

    Args:
        seed: Decides which stories are taken, and their order.
        sizes: Examples per split.
    """
    rng = random.Random(seed)
    return tuple(
        corpus.take(shuffled(examples(split), rng), size, split)
        for split, size in zip(corpus.SPLITS, sizes, strict=True)
    )


def parse(text: str) -> dict[str, str | None] | None:
    """Return the slots that a text spells as JSON, with or without its braces, or None."""
    text = text.strip()
    try:
        slots = json.loads(text if text.startswith("{") else "{" + text + "}")
    except (ValueError, RecursionError):
        return None
    if not isinstance(slots, dict) or set(slots) != set(KEYS):
        return None
    return slots if all(v is None or isinstance(v, str) for v in slots.values()) else None


def valid_json(text: str) -> bool:
    """Say whether a text is one JSON object with the right keys, each a string or null.

    Args:
        text: A whole object, or what stands between its braces.
    """
    return parse(text) is not None


def score(example: Example, text: str) -> float:
    """Return 1 if the text is valid and every slot is right, 0 otherwise."""
    return float(valid_json(text) and parse(text) == parse(example.target))
