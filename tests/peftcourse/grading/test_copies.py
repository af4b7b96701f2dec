"""Copies of a written answer are shown to whoever marks, and nobody is marked by another's mark."""

import random
import re
from dataclasses import replace

from graded import LESSON, WRITTEN, row
from hypothesis import given
from hypothesis import strategies as st

from peftcourse.grading.people import MOODLE, Person
from peftcourse.grading.reports.classroom import classroom_html
from peftcourse.grading.reports.copies import MODEL, MOST, Alike, alike, in_words, words
from peftcourse.grading.reports.queue import queue, written_html

TEXT = (
    "I compared rank one with rank eight, two seeds each. I had expected no difference. The last "
    "losses were 1.42 and 1.40 against 1.02 and 1.05. Seeds differ by 0.03 and ranks by 0.4, so a "
    "higher rank learns more in twenty steps. It does not show that a low rank cannot learn it."
)
OTHER = (
    "My question was whether the learning rate matters more than where the adapters sit. It does: "
    "ten times the rate halves the loss, while another set of layers changes it by a tenth, about "
    "what a second seed changes. More steps would tell whether that stays so."
)


def found(*texts: str) -> dict[str, tuple[Alike, ...]]:
    return alike([row(str(i), answer=text) for i, text in enumerate(texts)], WRITTEN)


@given(st.sampled_from([TEXT.upper(), TEXT.replace(" ", "\n\n"), f"**{TEXT}** !", "x y", "é ﬁ 1"]))
def test_the_same_words_are_alike_whatever_their_case_and_punctuation(text):
    copy = re.sub(r"[.,]", " ; ", text.swapcase())
    assert found(text, OTHER, copy)["0"][0] == Alike("2", 1.0)


def test_a_few_words_changed_are_alike_and_another_text_is_not():
    changed = TEXT.replace("higher", "larger").replace("no difference", "little") + " That is all."
    like = found(TEXT, changed, OTHER)
    assert set(like) == {"0", "1"}
    [one] = like["0"]
    assert one.submission == "1" and 0.85 < one.share < 1


def test_the_model_answer_is_public_and_so_it_is_looked_for():
    like = found(WRITTEN.model_answer.replace("**", ""), TEXT)
    assert like == {"0": (Alike(MODEL, 1.0),)}
    assert in_words(like["0"], {}) == "same words as the model answer"


def test_quoting_the_question_makes_nobody_alike():
    assert found(f"{WRITTEN.prompt}\n\n{TEXT}", f"{WRITTEN.prompt}\n\n{OTHER}") == {}


def test_a_text_without_words_is_like_none():
    assert words("?! …") == () and found("?!", "?!") == {}


def test_the_time_grows_with_the_texts_and_not_with_their_pairs():
    """Made-up words in random order: no pair has to be compared; and a class of copies is named."""
    draw = random.Random(0)
    vocabulary = [f"w{i}" for i in range(400)]
    texts = [" ".join(draw.choices(vocabulary, k=60)) for _ in range(1500)]
    assert found(*texts) == {}
    variants = found(*[f"{TEXT} This is version {i}." for i in range(100)])
    assert len(variants) == 100
    like = found(*[TEXT] * 500)
    assert len(like) == 500 and {len(those) for those in like.values()} == {MOST, MOST - 1}


def test_the_marker_sees_codes_and_the_instructor_names():
    ada = row("Ada_1", answer=TEXT, person=Person(MOODLE, "Ada", "1"))
    ben = replace(ada, submission="Ben_2", person=Person(MOODLE, "Ben", "2"))
    cem = row("cem", answer=TEXT.replace("higher", "larger"))
    rows = [ada, ben, cem]
    first, second = sorted(queue(rows, WRITTEN), key=lambda one: -one.count)
    assert (first.count, second.count) == (2, 1)
    assert first.alike[0][0] == second.code and second.alike[0][0] == first.code
    page = written_html(rows, LESSON, {})
    assert f'href="#answer-{first.code}"' in page and f'id="answer-{first.code}"' in page
    assert "Ada" not in page and "Ben" not in page
    report = classroom_html(rows, LESSON, {})
    assert "same words as Ben" in report and "of the words of Ada" in report
