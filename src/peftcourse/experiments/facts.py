"""Invented facts about invented characters: what is measured is memory.

Each character of a made-up storybook world has four facts: a home, a pet, a favorite food and a
treasure. The values are drawn at random, two words each (16 × 16 choices, 8 bits a fact), so
that nothing but training on them can tell. Training shows every fact in `TRAIN_FORMS`;
validation and test ask for the same facts in question forms that training never shows.
"""

import random

from peftcourse.experiments.corpus import Example, shuffled
from peftlab.errors import PeftlabError

CHARACTERS = 64

_STARTS = "Bram Cal Dorr Elv Fenn Gol Hux Ilm Jarr Kess Lund Mir Nol Orr Pim Quill Ros Sund Tov Wim"
_ENDS = "abo adil ando arin ello emik eska etto iban idor illa imo obin odo olas onda uffin ulo ust"

_COLORS = (
    "red blue green yellow pink white black orange silver golden purple brown gray copper striped "
    "spotted"
)
_SIZES = (
    "tiny little big old new round soft shiny quiet noisy sleepy funny magic broken warm frozen"
)
_PLACES = (
    "castle cave tower barn boat tent mill bridge garden tree house cottage wagon nest shop school"
)
_ANIMALS = "dog cat bird fish frog mouse bear fox owl duck rabbit snake horse pig goat turtle"
_TASTES = "sweet sour hot cold salty fresh dry sticky crunchy creamy spicy soft raw baked green red"
_FOODS = (
    "apples bread cake soup cookies carrots cheese pears beans honey berries pie rice nuts eggs jam"
)
_OBJECTS = "key bell hat cup ring book coin drum lamp map shell spoon kite crown box ball"

# Fact → (what stands before the value, first words, second words).
VALUES = {
    "home": ("the", _COLORS, _PLACES),
    "pet": ("a", _SIZES, _ANIMALS),
    "food": ("", _TASTES, _FOODS),
    "treasure": ("a", _COLORS, _OBJECTS),
}

# Fact → prompts to which the value is the answer; "{name}" is the character.
TRAIN_FORMS = {
    "home": (
        "{name} lives in",
        "The home of {name} is",
        "Question: Where does {name} live?\nAnswer:",
        "Question: What is the home of {name}?\nAnswer:",
    ),
    "pet": (
        "{name} keeps as a pet",
        "The pet of {name} is",
        "Question: Which pet does {name} keep?\nAnswer:",
        "Question: What is the pet of {name}?\nAnswer:",
    ),
    "food": (
        "{name} loves to eat",
        "The favorite food of {name} is",
        "Question: What does {name} love to eat?\nAnswer:",
        "Question: What is the favorite food of {name}?\nAnswer:",
    ),
    "treasure": (
        "{name} hides in a chest",
        "The treasure of {name} is",
        "Question: What does {name} hide in a chest?\nAnswer:",
        "Question: What is the treasure of {name}?\nAnswer:",
    ),
}
VALIDATION_FORMS = {
    "home": "Question: In which home does {name} live?\nAnswer:",
    "pet": "Question: What does {name} keep as a pet?\nAnswer:",
    "food": "Question: Which food does {name} love to eat?\nAnswer:",
    "treasure": "Question: Which treasure does {name} hide in a chest?\nAnswer:",
}
TEST_FORMS = {
    "home": "Question: Tell me where the home of {name} is?\nAnswer:",
    "pet": "Question: Tell me which pet {name} keeps?\nAnswer:",
    "food": "Question: Tell me what food {name} loves to eat?\nAnswer:",
    "treasure": "Question: Tell me what treasure {name} hides?\nAnswer:",
}
EXAMPLES_PER_CHARACTER = sum(len(forms) for forms in TRAIN_FORMS.values())
FACTS_PER_CHARACTER = len(TRAIN_FORMS)
DEFAULT_SIZES = (
    CHARACTERS * EXAMPLES_PER_CHARACTER,
    CHARACTERS * FACTS_PER_CHARACTER,
    CHARACTERS * FACTS_PER_CHARACTER,
)


def invent(characters: int, rng: random.Random) -> dict[str, dict[str, str]]:
    """Invent a world: character's name → fact → value.

    Args:
        characters: How many characters to invent.
        rng: Where chance comes from.
    """
    names = [start + end for start in _STARTS.split() for end in _ENDS.split()]
    if characters > len(names):
        raise PeftlabError(
            f"There are names for {len(names)} characters, not for {characters}; "
            f"ask for at most {len(names) * EXAMPLES_PER_CHARACTER} training examples."
        )
    world = {}
    for name in shuffled(names, rng)[:characters]:
        world[name] = {}
        for fact, (article, first, second) in VALUES.items():
            words = [_pick(first, rng), _pick(second, rng)]
            if article == "a" and words[0][0] in "aeiou":
                article = "an"
            words.insert(0, article)
            world[name][fact] = " ".join(words).strip()
    return world


def _pick(words: str, rng: random.Random) -> str:
    choices = words.split()
    return choices[int(rng.random() * len(choices))]


def build(seed: int, sizes: tuple[int, int, int]) -> tuple[list[Example], ...]:
    """Return train, validation and test examples about one invented world.

    Args:
        seed: Decides the world and the order of the examples.
        sizes: Examples per split. The first also sets the number of characters, of whom each has
            `EXAMPLES_PER_CHARACTER`.

    Raises:
        PeftlabError: If the sizes do not fit each other.
    """
    characters, rest = divmod(sizes[0], EXAMPLES_PER_CHARACTER)
    if rest or not characters:
        raise PeftlabError(
            f"The facts task has {EXAMPLES_PER_CHARACTER} training examples per character, so the "
            f"first of sizes must be a multiple of {EXAMPLES_PER_CHARACTER}, not {sizes[0]}."
        )
    questions = characters * FACTS_PER_CHARACTER
    if max(sizes[1:]) > questions:
        raise PeftlabError(
            f"{characters} characters have {questions} facts to ask for, not {max(sizes[1:])}; "
            "ask for fewer validation and test examples or for more training examples."
        )
    rng = random.Random(seed)
    world = invent(characters, rng)
    train = [
        Example(form.format(name=name), f" {value}.")
        for name, facts in world.items()
        for fact, value in facts.items()
        for form in TRAIN_FORMS[fact]
    ]
    asked = [
        [
            Example(forms[fact].format(name=name), f" {value}.")
            for name, facts in world.items()
            for fact, value in facts.items()
        ]
        for forms in (VALIDATION_FORMS, TEST_FORMS)
    ]
    return tuple(
        shuffled(examples, rng)[:size]
        for examples, size in zip((train, *asked), sizes, strict=True)
    )


def score(example: Example, text: str) -> float:
    """Return 1 if the text gives the example's answer and nothing else, 0 otherwise.

    White space around it, the case of letters and a missing full stop do not matter.
    """
    return float(_plain(text) == _plain(example.target))


def _plain(text: str) -> str:
    return text.strip().removesuffix(".").rstrip().lower()
