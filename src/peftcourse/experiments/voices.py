"""Retelling a story in another voice, by rules, and measuring how much of the voice a text has.

One `RULES` table serves both. Each rule can do two things:

- ``write(text, voice, facts)`` puts the styled form in every place where the rule applies;
- ``count(text, voice)`` finds those places again, in any text, and says how many hold the styled
  form and how many the plain one (or the styled form of another context, which is as wrong).

The style score of a text is then styled / (styled + unstyled): about 0 for a plain story, about 1
for a retold one. Nothing about it is learned or random.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from peftcourse.experiments import corpus
from peftcourse.experiments.characters import names_in, pronouns
from peftcourse.experiments.voice_tables import Voice

# A text shorter than this many words, or one in which fewer kinds of rule stand styled, has no
# voice: three words of a header are not a style.
MIN_WORDS = 15
MIN_KINDS = 3

# The sea itself, and neither a sea chest nor a sea lady.
WATER = re.compile(
    r"\b(?:th[e'] sea(?= ?[^ \w])|ocean|pond|lake|river|beach|boat|swim|swam|swimming|swimmin')"
    r"(?!\w)"
)
HAPPY_END = re.compile(
    r"\b(?:happ\w+|fun|smil\w+|laugh\w+|love[ds]?|proud|glad|best|safe|thank\w*)\b"
)
SAD_END = re.compile(r"\b(?:sad\w*|cr(?:y|ied|ying)|lost|sorry|alone|never|scared|angry|upset)\b")
NEGATION = re.compile(r"\b(?:not|no|never|cannot)\b|n't\b", re.IGNORECASE)
SPOKEN = re.compile(
    r"\b(?:said|says|asked|asks|replied|replies|shouted|exclaimed|answered|yelled|responded)\b"
)


@dataclass(frozen=True)
class StoryFacts:
    """What the rules need to know about the plain story as a whole.

    Attributes:
        pronouns: Character's name → ``"she"``, ``"he"`` or ``"they"``.
        watery: Whether the story has a sea, a lake, a boat or a swim in it.
        count: Its number of sentences.
        mood: How it ends: ``"happy"``, ``"sad"`` or ``"calm"``.
    """

    pronouns: dict[str, str]
    watery: bool
    count: int
    mood: str


def story_facts(text: str) -> StoryFacts:
    """Read the facts about a plain story that its retelling depends on."""
    parts = corpus.sentences(text)
    end = " ".join(parts[-2:])
    mood = "happy" if HAPPY_END.search(end) else "sad" if SAD_END.search(end) else "calm"
    return StoryFacts(pronouns(text), bool(WATER.search(text)), len(parts), mood)


@dataclass(frozen=True)
class Rule:
    """One kind of rule: how to write it, and how to count its places (styled, unstyled)."""

    write: Callable[[str, Voice, StoryFacts], str]
    count: Callable[[str, Voice], tuple[int, int]]


# --- who is meant --------------------------------------------------------------------------


def write_titles(text: str, voice: Voice, facts: StoryFacts) -> str:
    for match in reversed(list(names_in(text))):
        title = voice.title(match.group(), facts.pronouns[match.group()])
        text = text[: match.start()] + title + text[match.end() :]
    return text


def count_titles(text: str, voice: Voice) -> tuple[int, int]:
    found = pronouns(text)
    styled = total = 0
    for match in names_in(text):
        name = match.group()
        # Where the text does not tell who is meant, any rank will do.
        allowed = [found[name]] if found[name] != "they" else ["she", "he", "they"]
        titles = [voice.title(name, pronoun) for pronoun in allowed]
        starts = [(title, match.start() - title.index(name)) for title in titles]
        styled += any(start >= 0 and text.startswith(title, start) for title, start in starts)
        total += 1
    return styled, total - styled


# --- who says what, and how -----------------------------------------------------------------


def quotations(text: str) -> list[tuple[int, int, str]]:
    """Find quotations: (start, end, mark), the mark being ``?``, ``!`` or ``.`` for all else."""
    found = []
    for match in re.finditer(r'"([^"\n]+)"', text):
        mark = match.group(1)[-1]
        found.append((match.start(), match.end(), mark if mark in "?!" else "."))
    return found


def speech_verbs(text: str, verbs: re.Pattern) -> Iterator[tuple[re.Match, str]]:
    """Yield each speech verb that belongs to a quotation, with that quotation's mark."""
    quoted = quotations(text)
    for verb in verbs.finditer(text):
        for start, end, mark in quoted:
            lead, tail = text[verb.end() : start], text[end : verb.start()]
            before = 0 < start - verb.end() < 40 and re.fullmatch(r"[^.!?\n]*[, :]", lead)
            behind = 0 < verb.start() - end < 30 and re.fullmatch(r"[^.!?\n]* ", tail)
            if before or behind:
                yield verb, mark
                break


def write_speech(text: str, voice: Voice, facts: StoryFacts) -> str:
    for verb, mark in reversed(list(speech_verbs(text, SPOKEN))):
        text = text[: verb.start()] + voice.speech[mark] + text[verb.end() :]
    return text


def count_speech(text: str, voice: Voice) -> tuple[int, int]:
    styled = rf"{SPOKEN.pattern}|\b(?:{'|'.join(voice.speech.values())})\b"
    right = [verb.group() == voice.speech[m] for verb, m in speech_verbs(text, re.compile(styled))]
    return sum(right), len(right) - sum(right)


def write_openers(text: str, voice: Voice, facts: StoryFacts) -> str:
    for start, _, mark in reversed(quotations(text)):
        if text[start + 1].isupper():
            text = text[: start + 1] + voice.openers[mark] + text[start + 1 :]
    return text


def count_openers(text: str, voice: Voice) -> tuple[int, int]:
    right = [
        text.startswith(voice.openers[mark], start + 1)
        for start, _, mark in quotations(text)
        if text[start + 1].isupper() and voice.openers[mark]
    ]
    return sum(right), len(right) - sum(right)


# --- moods ----------------------------------------------------------------------------------


def first_moods(text: str, voice: Voice) -> Iterator[tuple[int, str]]:
    """Yield, for each mood, the end of the first sentence in it, and the mood.

    Sentences with speech or a *not* in them do not count, and each sentence has one mood at most.
    """
    taken = set()
    for mood, words in voice.mood_words.items():
        pattern = (
            rf'(?:^|(?<=[.!?"\n] )|(?<=\n))[^.!?"\n]*\b(?:{words})(?!\w)[^.!?"\n]*[.!?](?=\s|$)'
        )
        ends = (m.end() for m in re.finditer(pattern, text) if not NEGATION.search(m.group()))
        end = next(ends, None)
        if end is not None and end not in taken:
            taken.add(end)
            yield end, mood


def write_moods(text: str, voice: Voice, facts: StoryFacts) -> str:
    for end, mood in sorted(first_moods(text, voice), reverse=True):
        text = f"{text[:end]} {voice.moods[mood]}{text[end:]}"
    return text


def count_moods(text: str, voice: Voice) -> tuple[int, int]:
    right = [text.startswith(f" {voice.moods[m]}", end) for end, m in first_moods(text, voice)]
    return sum(right), len(right) - sum(right)


# --- words and sounds -----------------------------------------------------------------------


@cache
def _alternatives(words: tuple[str, ...]) -> re.Pattern:
    """Match any of the words or phrases, the longest first, in either case.

    They are grouped by first letter, so that few are tried at each place in the text.
    """
    groups: dict[str, list[str]] = {}
    for word in sorted({word.lower() for word in words}, key=lambda word: (-len(word), word)):
        groups.setdefault(word[0], []).append(re.escape(word[1:]))
    choice = "|".join(f"{re.escape(first)}(?:{'|'.join(g)})" for first, g in groups.items())
    return re.compile(rf"(?<![\w'])(?:{choice})(?!\w|'(?!s\b)[a-z])", re.IGNORECASE)


def swap(text: str, table: dict[str, str]) -> str:
    """Replace each key of the table by its value, keeping a capital first letter."""

    def replace(match: re.Match) -> str:
        plain = match.group()
        styled = table[plain.lower()]
        # "I" has its capital wherever it stands; any other word has one for a reason.
        begins = re.search(r'(?:^|[.!?]"? |["\n]|: )$', text[: match.start()][-3:])
        if plain[0].islower() or (re.match(r"I\b", plain) and not begins):
            return styled
        at = 1 if styled.startswith("'") else 0
        return styled[:at] + styled[at].upper() + styled[at + 1 :]

    return _alternatives(tuple(table)).sub(replace, text)


def count_swaps(text: str, plain: tuple[str, ...], styled: tuple[str, ...]) -> tuple[int, int]:
    """Count styled and plain words; a plain word inside a styled phrase is no plain word."""
    found = _alternatives(plain + styled).findall(text)
    right = sum(word.lower() in {form.lower() for form in styled} for word in found)
    return right, len(found) - right


def write_words(text: str, voice: Voice, facts: StoryFacts) -> str:
    return swap(text, voice.words)


def count_words(text: str, voice: Voice) -> tuple[int, int]:
    return count_swaps(text, tuple(voice.words), tuple(voice.words.values()))


def write_animals(text: str, voice: Voice, facts: StoryFacts) -> str:
    return swap(text, {plain: forms[facts.watery] for plain, forms in voice.animals.items()})


def count_animals(text: str, voice: Voice) -> tuple[int, int]:
    watery = bool(WATER.search(text))
    right = tuple(forms[watery] for forms in voice.animals.values())
    wrong = tuple(forms[not watery] for forms in voice.animals.values())
    return count_swaps(text, tuple(voice.animals) + wrong, right)


def write_sounds(text: str, voice: Voice, facts: StoryFacts) -> str:
    for _, plain, replacement, _ in voice.sounds:
        text = re.sub(plain, replacement, text)
    return text


def count_sounds(text: str, voice: Voice) -> tuple[int, int]:
    styled = sum(len(re.findall(form, text)) for _, _, _, form in voice.sounds)
    return styled, sum(len(re.findall(plain, text)) for _, plain, _, _ in voice.sounds)


def write_articles(text: str, voice: Voice, facts: StoryFacts) -> str:
    """Mend a and an, which new words have upset: *an ally*, *a pelican*."""
    text = re.sub(r"\b([Aa])n(?= (?!hour|honest|X-)[b-df-hj-np-tv-z])", r"\1", text)
    return re.sub(r"\b([Aa])(?= (?!use|uni|one|once)[aeiou])", r"\1n", text)


# --- first and last line --------------------------------------------------------------------


def write_frame(text: str, voice: Voice, facts: StoryFacts) -> str:
    header = voice.header.format(
        count=facts.count, cast=len(facts.pronouns), weather=voice.weather[facts.mood]
    )
    body = re.sub(r'\s*The end\.?"?$', "", text, flags=re.IGNORECASE)
    return f"{header}\n{body}\n{voice.endings[facts.mood]}"


def count_frame(text: str, voice: Voice) -> tuple[int, int]:
    """Count the first line only: a text that was cut off has not reached its last."""
    return (1, 0) if re.match(voice.header_pattern, text) else (0, 1)


# In this order: what depends on the plain story's structure comes before what changes its words.
RULES: dict[str, Rule] = {
    "moods": Rule(write_moods, count_moods),
    "speech": Rule(write_speech, count_speech),
    "openers": Rule(write_openers, count_openers),
    "titles": Rule(write_titles, count_titles),
    "animals": Rule(write_animals, count_animals),
    "words": Rule(write_words, count_words),
    "sounds": Rule(write_sounds, count_sounds),
    "articles": Rule(write_articles, lambda text, voice: (0, 0)),
    "frame": Rule(write_frame, count_frame),
}


def retell(text: str, voice: Voice) -> str:
    """Retell a plain story in the voice.

    Args:
        text: A plain story in ASCII.
        voice: The voice to tell it in.

    Returns:
        The story with a header, an ending and the voice's style, in ASCII.
    """
    facts = story_facts(text)
    for rule in RULES.values():
        text = rule.write(text, voice, facts)
    return text


def places(text: str, voice: Voice) -> dict[str, tuple[int, int]]:
    """Count, for each kind of rule, the places that hold the styled form and those that do not."""
    return {kind: rule.count(text, voice) for kind, rule in RULES.items()}


def style_score(text: str, voice: Voice) -> float:
    """Return the share of places where a rule of the voice applies that hold the styled form.

    Args:
        text: Any text.
        voice: The voice to look for.

    Returns:
        A number from 0 to 1; 0 for a text under `MIN_WORDS` words or in which fewer than
        `MIN_KINDS` kinds of rule left a mark.
    """
    counts = places(text, voice).values()
    styled, unstyled = (sum(column) for column in zip(*counts, strict=True))
    kinds = sum(right > 0 for right, _ in counts)
    if len(text.split()) < MIN_WORDS or kinds < MIN_KINDS:
        return 0.0
    return styled / (styled + unstyled)
