"""The rows of a parity run as text, and the differences from the references that are meant."""

from __future__ import annotations

from collections.abc import Iterable

from peftcourse.parity.run import CodeRow, Row

# (method, what differs, why). Each is a choice, not a rounding error.
DIFFERENCES = (
    (
        "unmerge",
        "every bit of the base weight comes back",
        "PEFT subtracts the update again, which leaves rounding errors",
    ),
    (
        "heads and biases beside an adapter",
        "they are copies, so that disabling the adapter gives the base back",
        "PEFT trains biases where they are",
    ),
    (
        "LoRA PiSSA",
        "the base weight stays as it is; the layer subtracts the initial product itself, and "
        "dropout thins both products",
        "PEFT overwrites the base weight with the residual, so disabling does not give it back",
    ),
    (
        "DoRA",
        "the norm of W + s B A comes from the low-rank identity, and dropout thins the low-rank "
        "branch alone",
        "PEFT multiplies out B A, a matrix as large as W, in every forward pass, and computes the "
        "base a second time on the thinned input",
    ),
    (
        "AdaLoRA",
        "the divisor of the scale never trains",
        "PEFT freezes it, but casting it to float64 makes it a parameter that trains: a slip",
    ),
    (
        "IA³",
        "by default it scales keys, values and the input of the FFN's down-projection",
        "PEFT's defaults are other layers for Qwen3, OPT and BERT; here both sides get ours",
    ),
    (
        "prefix",
        "works under gradient checkpointing, and starts with a standard deviation of 0.02",
        "PEFT refuses the one, and starts with 1, far from the base model",
    ),
    (
        "prompt",
        "the outputs of the soft tokens are cut off, and given positions are shifted",
        "labels and metrics of the caller keep their length; PEFT lengthens both, predicts the "
        "first token from the last soft one, and drops given positions",
    ),
    (
        "classification",
        "a new head trains with every adapter; the rows here leave it out (train_head=False)",
        "PEFT trains it where the configuration names a task, as the rows here do not; for prompts "
        "it has to, so the counts of trained parameters differ: no row here",
    ),
    (
        "BitFit, bottleneck, partial fine-tuning",
        "no twin in PEFT",
        "BitFit is compared with a plain model whose biases train; the others are tested against "
        "their equations and plain training",
    ),
)

HEADER = (
    f"{'':5}{'method':20}{'model':16}{'reference':20}{'dtype':10}"
    f"{'moved':>7}{'logits':>9}{'gradient':>10}{'5 steps':>9}"
)


def line(row: Row | CodeRow) -> str:
    """One row as a line of text."""
    start = f"{'ok' if row.ok else 'FAIL':5}{row.method:20}{row.model:16}{row.reference:20}"
    if isinstance(row, CodeRow):
        excused = f", of them {row.reference_differs} where bitsandbytes' CPU and GPU differ"
        return (
            f"{start}{row.dtype:10} {row.different} of {row.compared:,} values differ"
            f"{excused if row.different else ''}"
        )
    steps = "" if row.steps_error is None else f"{row.steps_error:9.0e}"
    counts = "" if row.parameters_equal else "  parameter counts differ"
    return (
        f"{start}{row.dtype:10}{row.moved:7.2f}{row.logits_error:9.0e}"
        f"{row.gradient_error:10.0e}{steps}{counts}"
    )


def differences() -> Iterable[str]:
    """The deliberate differences, a paragraph each."""
    for method, what, why in DIFFERENCES:
        yield f"{method}: {what} ({why})."
