"""The exercises of lesson 11, evaluate and diagnose."""

from __future__ import annotations

from peftcourse.exercises.core import Exercise
from peftcourse.exercises.evaluate import (
    calibration,
    cases,
    clinic,
    errors,
    forgetting,
    losses,
    patients,
    probes,
    reliability,
    scaling,
    scoring,
    signs,
    stopping,
)
from peftcourse.exercises.evaluate.report import REPORT

TITLE = "11 Evaluate and diagnose"

PARTS = (
    Exercise(
        id="evaluate.tokens",
        title="the loss of the target tokens",
        objective="compute a loss that counts the tokens it should and no others.",
        points=3,
        difficulty=2,
        minutes=8,
        section="What the loss counts",
        hints=(
            "The logits at position t are a prediction of another token than the one at t. Which?",
            "Cut the last position off the logits and the first off the labels; then both are "
            "(B, n - 1) in length.",
            "F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), "
            "ignore_index=-100).",
        ),
        meaning="losses of runs with other prompts, lengths and batches can now be compared.",
        cases=cases.tokens,
        probe=probes.tokens,
        solution=losses.tokens,
        mutants=losses.TOKENS,
        symptoms=losses.TOKENS_SYMPTOMS,
    ),
    Exercise(
        id="evaluate.stop",
        title="early stopping",
        objective="say which checkpoint to keep and when to give up.",
        points=3,
        difficulty=3,
        minutes=12,
        section="When to stop",
        hints=(
            "Two numbers are enough to remember: the best evaluation so far, and for how many you "
            "have waited since.",
            "An improvement is losses[i] < losses[kept] - min_delta. It sets the wait back to 0.",
            "After each evaluation but the first: if it improves, kept, waited = i, 0; otherwise "
            "waited += 1; if waited == patience, return kept, i.",
        ),
        meaning="the model that you keep is the best one, and no longer the last one.",
        cases=cases.stop,
        probe=probes.stop,
        solution=stopping.stop,
        mutants=stopping.STOP,
        symptoms=stopping.STOP_SYMPTOMS,
    ),
    Exercise(
        id="evaluate.tradeoff",
        title="learned and forgotten",
        objective="measure what a fine-tuned model gained and what it paid.",
        points=2,
        difficulty=2,
        minutes=8,
        section="Learns less, forgets less",
        hints=(
            "Which model would you keep, and by which of the two losses do you choose it?",
            "best = target.argmin(dim=1) is one evaluation for each seed. Read both curves there.",
            "With rows = torch.arange(len(target)): target[:, 0] - target[rows, best], and "
            "story[rows, best] - story[:, 0].",
        ),
        meaning="each seed gives one point, and a method is a cloud of them.",
        cases=cases.tradeoff,
        probe=probes.tradeoff,
        solution=forgetting.tradeoff,
        mutants=forgetting.TRADEOFF,
        symptoms=forgetting.TRADEOFF_SYMPTOMS,
        keeps_dtype=False,
    ),
    Exercise(
        id="evaluate.error",
        title="two kinds of error bar",
        objective="say how sure a mean is, of the test set and of the seed.",
        points=3,
        difficulty=3,
        minutes=12,
        section="Error bars",
        hints=(
            "What would change if you drew other test examples? And if you trained with other "
            "seeds? Each question averages over the other axis first.",
            "The standard error of a mean of n independent values is their standard deviation "
            "over √n. Rows of one column are not independent: they answer the same example.",
            "scores.mean(0).std() / n**0.5 over the examples, scores.mean(1).std() / S**0.5 over "
            "the seeds.",
        ),
        meaning="more seeds do not make up for a small test set, nor the other way round.",
        cases=cases.error,
        probe=probes.error,
        solution=errors.error,
        mutants=errors.ERROR,
        symptoms=errors.ERROR_SYMPTOMS,
    ),
    Exercise(
        id="evaluate.bins",
        title="a reliability diagram's bins",
        objective="compare how sure a model is with how often it is right.",
        points=3,
        difficulty=3,
        minutes=12,
        section="Is it as sure as it is right?",
        hints=(
            "Which bin does a confidence of 0.25 belong to if there are four of them?",
            "The bin's number is ceil(confidence * bins) - 1. torch.bincount counts, and with "
            "weights= it adds up.",
            "torch.bincount(index, weights=confidence, minlength=bins) / counts.clamp(min=1), and "
            "the same with correct.double().",
        ),
        meaning="the gap between the two, bin by bin, is what a reliability diagram shows.",
        cases=cases.bins,
        probe=probes.bins,
        solution=reliability.bins,
        mutants=reliability.BINS,
        symptoms=reliability.BINS_SYMPTOMS,
        symbols={"confidence.shape[0]": "N, the number of predictions"},
        keeps_dtype=False,
    ),
    Exercise(
        id="evaluate.ece",
        title="expected calibration error",
        objective="put a reliability diagram into one number.",
        points=3,
        difficulty=2,
        minutes=10,
        section="Is it as sure as it is right?",
        hints=(
            "A prediction has a confidence, its largest probability, and is right or wrong.",
            "In each bin take the absolute gap between mean confidence and accuracy; weight it "
            "with the share of predictions in the bin.",
            "The share times the gap is |Σ correct - Σ confidence| of the bin, over N. Two "
            "bincounts with weights do it.",
        ),
        meaning="0.1 says: on average it is ten points surer, or less sure, than it is right.",
        cases=cases.ece,
        probe=probes.ece,
        solution=calibration.ece,
        mutants=calibration.ECE,
        symptoms=calibration.ECE_SYMPTOMS,
        symbols={"labels.shape[0]": "N, the number of predictions"},
    ),
    Exercise(
        id="evaluate.brier",
        title="the Brier score",
        objective="score probabilities by a rule that no overstatement can beat.",
        points=2,
        difficulty=1,
        minutes=6,
        section="Is it as sure as it is right?",
        hints=(
            "What would the perfect prediction be, as a row of probabilities?",
            "F.one_hot(labels, classes) is that row. Take squared differences.",
            "(probabilities - one_hot).square().sum(dim=1).mean().item()",
        ),
        meaning="it is lowest, in expectation, for someone who says what they believe.",
        cases=cases.brier,
        probe=probes.brier,
        solution=scoring.brier,
        mutants=scoring.BRIER,
    ),
    Exercise(
        id="evaluate.temperature",
        title="temperature scaling",
        objective="mend a model that is too sure, without changing one of its answers.",
        points=3,
        difficulty=3,
        minutes=10,
        section="One number that mends it",
        hints=(
            "Which examples may choose the temperature, and by which measure?",
            "Divide the validation logits by each candidate and compute the cross-entropy.",
            "best = min(candidates, key=lambda T: F.cross_entropy(validation_logits / T, "
            "validation_labels)); then (test_logits / best).softmax(dim=1).",
        ),
        meaning="no answer changed, and the confidence now says something.",
        cases=cases.temperature,
        probe=probes.temperature,
        solution=scaling.temperature,
        mutants=scaling.TEMPERATURE,
        symptoms=scaling.TEMPERATURE_SYMPTOMS,
        keeps_dtype=False,
    ),
    Exercise(
        id="evaluate.diagnose",
        title="the clinic",
        objective="tell eight broken runs apart from what can be measured in any run.",
        points=4,
        difficulty=4,
        minutes=20,
        section="The clinic",
        hints=(
            "Ask the questions in the order of the table: a number that is not finite makes every "
            "comparison after it meaningless.",
            "NaN is not equal to itself: use math.isfinite. Four rows have a margin, and each its "
            "own: a share of `start`, or nats. “More than” leaves equal out.",
            "One if for each row of the table, in its order, each with its return, and healthy "
            "last. The rate shows in run['highest'], overfitting in run['last_validation'].",
        ),
        meaning="eight bugs that look alike in one curve each have a number that gives them away.",
        cases=patients.diagnose,
        probe=probes.diagnose,
        unlabelled=("runs",),
        solution=clinic.diagnose,
        mutants=clinic.DIAGNOSE,
        symptoms=signs.SYMPTOMS,
    ),
    REPORT,
)
