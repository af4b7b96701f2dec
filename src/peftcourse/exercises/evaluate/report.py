"""Lesson 11: the verdict on a fine-tuning run, marked by a person.

Its numbers are those of sections 1, 4 and 8 of the lab; a test compares them with the stored
solution.
"""

from __future__ import annotations

from peftcourse.exercises.core import Criterion, Written

REPORT = Written(
    id="evaluate.report",
    title="your verdict",
    objective="decide about a fine-tuned model from measurements, and say what they leave open.",
    points=3,
    difficulty=4,
    minutes=15,
    section="From a file to a shipped adapter",
    hints=(
        "Which baseline is the hardest to beat: the base model, the commonest answer, the output "
        "head alone? Start from that one.",
        "The report has an interval over the test notes of one run; section 4 has other seeds. "
        "What does each of them say, and which question does neither answer?",
        "What would go wrong in the first week at the desk: wrong answers given with great "
        "confidence, notes of a kind that is not in the file, or plain text that the model must "
        "still be able to write? Which number of yours speaks to it?",
    ),
    prompt="""\
The town wants the adapter at the desk: it would forward each note by itself. Give your verdict in
at most 200 words, from the numbers that your cells printed.

1. **How good it is.** Against the hardest baseline, with an interval, and with what the seeds say.
2. **What it costs.** What was forgotten, and whether its confidence can be used.
3. **Verdict.** Ship it, ship it with a condition, or do not; and the one measurement that you would
   make next, with what each outcome would mean.

Any verdict can earn all points. For a file of your own, answer for its task.""",
    model_answer="""\
**How good.** 84 % of the 19 test notes, with a 95 % interval from 62 to 94 %. The output head alone
gets 42 and 47 % (two seeds), always “doctor” 16 %; the interval excludes both. The base model's
0 % is no baseline, since it may write anything. Three other seeds got 89, 79 and 74 %: I expect
about 80 %, and not 84.

**What it costs.** The loss on stories rose from 1.69 to 2.14 nats. The desk needs no stories, so I
accept that, and would switch the adapter off for anything else. The ECE is seven points, but over
38 tokens, half of which only end the text, it says little. Nor would I trust a temperature that 17
notes chose.

**Verdict.** Ship it, on the condition that a person reads the first 200 notes that it forwards.
That is my next measurement: 200 answers have an interval of about five points to each side. If
those above 90 % confidence are right 95 % of the time, it may forward these by itself. If they are
not, its confidence cannot choose, and I would collect more notes before I train longer.""",
    rubric=(
        Criterion(
            1,
            "How good: compares the test result with the hardest of the baselines (not only with "
            "the base model writing freely), with an interval over the test examples, and says "
            "what the seeds add. Not enough: the training or validation loss; an accuracy without "
            "its interval.",
        ),
        Criterion(
            1,
            "What it costs: gives the loss on stories before and after, and says what the "
            "calibration numbers allow, including that so few examples measure it badly. Not "
            "enough: “it forgets” without numbers; an ECE taken at face value.",
        ),
        Criterion(
            1,
            "Verdict: follows from the numbers and names a next measurement whose outcomes would "
            "lead to different decisions. Not enough: “needs more data” or “seems fine” without "
            "what would change the decision.",
        ),
    ),
)
