"""Lesson 07, adapters in a block: reference solution and typical wrong answers."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome

Part = Callable[[Tensor], Tensor]


def block(
    x: Tensor,
    attention: Part,
    feed_forward: Part,
    norm_1: Part,
    norm_2: Part,
    adapter_1: Part,
    adapter_2: Part,
    style: str,
) -> Tensor:
    a = attention(norm_1(x))
    if style == "houlsby":
        a = a + adapter_1(a)
    x = x + a
    u = norm_2(x)
    h = feed_forward(u)
    read = u if style == "parallel" else h
    return x + h + adapter_2(read)


_FIRST, _SECOND = "a + adapter_1(a)", "x + h + adapter_2(read)"
_HOULSBY, _SERIAL = 'if style == "houlsby"', "else h"
_PARALLEL = "u if style"


def _block(id: str, old: str, new: str, diagnosis: str, action: str, *more: tuple[str, str]):
    return slip(block, id, old, new, diagnosis, action, *more)


# Those that are often made together come first: pairs are tried in this order.
BLOCK = (
    _block(
        "never-twice",
        _HOULSBY,
        "if False",
        "right in two styles; Houlsby's has an adapter behind the attention too",
        "In Houlsby's style add adapter_1(h) to h = attention(norm_1(x))",
    ),
    _block(
        "second-after-the-residual",
        _SERIAL,
        "else x + h",
        "the serial adapter reads the sum with the residual stream; it reads the network's output "
        "before that is added",
        "Give adapter_2 what feed_forward puts out",
    ),
    _block(
        "parallel-is-serial",
        _PARALLEL,
        "h if style",
        "right in two styles; the parallel adapter reads the network's output, not its input",
        "In the parallel style give adapter_2 what the feed-forward network gets",
    ),
    _block(
        "always-twice",
        _HOULSBY,
        'if style != "parallel"',
        "right in two styles; Pfeiffer's has no adapter behind the attention",
        "Use adapter_1 in Houlsby's style only",
    ),
    _block(
        "first-after-the-residual",
        _FIRST,
        "a + adapter_1(x + a)",
        "Houlsby's first adapter reads the sum with the residual stream; it reads the attention's "
        "output before that is added",
        "Adapt h = attention(norm_1(x)) first, then add it to x",
    ),
    _block(
        "first-replaces",
        _FIRST,
        "adapter_1(a)",
        "what adapter_1 adds stands in place of the attention's output",
        "h + adapter_1(h): the adapter here returns only what it adds",
    ),
    _block(
        "second-replaces",
        _SECOND,
        'x + (h if style == "parallel" else 0) + adapter_2(read)',
        "what adapter_2 adds stands in place of the network's output in the serial styles: h is "
        "not added",
        "h + adapter_2(h): the adapter here returns only what it adds",
    ),
    _block(
        "beside-the-norm",
        _PARALLEL,
        "x if style",
        "right in two styles; the parallel adapter reads x, and the network reads norm_2(x)",
        "Give both the same input: u = norm_2(x)",
    ),
    _block(
        "every-style-twice",
        _HOULSBY,
        "if True",
        "there is an adapter behind the attention in every style; only Houlsby's has one there",
        "Use adapter_1 in Houlsby's style only",
    ),
    _block(
        "parallel-twice",
        _HOULSBY,
        'if style != "pfeiffer"',
        "right in two styles; the parallel one has no adapter behind the attention",
        "Use adapter_1 in Houlsby's style only",
    ),
    _block(
        "no-residual-at-attention",
        "x = x + a",
        "x = a",
        "the attention's output replaces the residual stream, and is not added to it",
        "x = x + h, as in the block without adapters",
    ),
    _block(
        "stream-missing",
        _SECOND,
        "h + adapter_2(read)",
        "the residual stream is missing from the output: only what is added to it is returned",
        "Return x + h + ...",
    ),
    _block(
        "after-the-residual",
        _FIRST,
        "a + adapter_1(x + a)",
        "the adapters read the sum with the residual stream; they belong before it is added",
        "Adapt h = attention(norm_1(x)) first, then add it to x; likewise behind the network",
        (_SERIAL, "else x + h"),
    ),
    _block(
        "output-replaced",
        _FIRST,
        "adapter_1(a)",
        "what an adapter adds stands in place of what it adapts",
        "h + adapter(h): the adapter here returns only what it adds",
        (_SECOND, 'x + (h if style == "parallel" else 0) + adapter_2(read)'),
    ),
    _block(
        "parallel-replaces",
        _SECOND,
        'x + (0 if style == "parallel" else h) + adapter_2(read)',
        "in the parallel style the output of the feed-forward network is missing: the adapter "
        "stands beside it, and both are added",
        "x + feed_forward(u) + adapter_2(u)",
    ),
    _block(
        "network-missing",
        _SECOND,
        "x + adapter_2(read)",
        "the output of the feed-forward network is not added",
        "x + h + ...: the adapter here returns only what it adds",
    ),
    _block(
        "pfeiffer-at-attention",
        _HOULSBY,
        'if style != "parallel"',
        "right in two styles; Pfeiffer's adapter is behind the attention instead of the network",
        "Pfeiffer's one adapter comes after the feed-forward network",
        (_FIRST, 'a + (adapter_1 if style == "houlsby" else adapter_2)(a)'),
        (_SECOND, 'x + h + (0 if style == "pfeiffer" else adapter_2(read))'),
    ),
    _block(
        "adapters-swapped",
        _FIRST,
        "a + adapter_2(a)",
        "adapter_1 and adapter_2 are swapped in Houlsby's style",
        "adapter_1 belongs to the attention, adapter_2 to the feed-forward network",
        (_SECOND, 'x + h + (adapter_1 if style == "houlsby" else adapter_2)(read)'),
    ),
    _block(
        "second-at-attention",
        _FIRST,
        "a + adapter_2(a)",
        "adapter_2 stands behind the attention, where adapter_1 belongs",
        "adapter_1 belongs to the attention, adapter_2 to the feed-forward network",
    ),
    _block(
        "first-at-network",
        _SECOND,
        "x + h + adapter_1(read)",
        "adapter_1 stands at the feed-forward network, where adapter_2 belongs",
        "adapter_1 belongs to the attention, adapter_2 to the feed-forward network",
    ),
    _block(
        "norms-swapped",
        "norm_1(x)",
        "norm_2(x)",
        "norm_1 and norm_2 are swapped",
        "norm_1 goes before the attention and norm_2 before the network",
        ("u = norm_2(x)", "u = norm_1(x)"),
    ),
    _block(
        "no-first-norm",
        "norm_1(x)",
        "x",
        "the attention reads the stream as it is: norm_1 is missing",
        "attention(norm_1(x))",
    ),
    _block(
        "no-second-norm",
        "u = norm_2(x)",
        "u = x",
        "the network reads the stream as it is: norm_2 is missing",
        "u = norm_2(x)",
    ),
    _block(
        "first-norm-twice",
        "u = norm_2(x)",
        "u = norm_1(x)",
        "norm_1 stands before the network too, where norm_2 belongs",
        "u = norm_2(x)",
    ),
    _block(
        "norms-behind",
        "norm_1(x)",
        "x",
        "both norms are behind the sublayers and their sums; a Llama normalises what a sublayer "
        "reads",
        "attention(norm_1(x)), and feed_forward(norm_2(x))",
        ("x = x + a", "x = norm_1(x + a)"),
        ("u = norm_2(x)", "u = x"),
        (_SECOND, f"norm_2({_SECOND})"),
    ),
    _block(
        "norms-on-outputs",
        "attention(norm_1(x))",
        "norm_1(attention(x))",
        "both norms are applied to what the sublayers put out; a Llama normalises what they read",
        "attention(norm_1(x)), and feed_forward(norm_2(x))",
        ("u = norm_2(x)", "u = x"),
        ("feed_forward(u)", "norm_2(feed_forward(u))"),
    ),
    _block(
        "first-norm-for-parallel",
        _PARALLEL,
        "norm_1(x) if style",
        "right in two styles; the parallel adapter reads norm_1 of the stream, and the network "
        "norm_2",
        "Give both the same input: u = norm_2(x)",
    ),
    _block(
        "old-stream",
        "x = x + a",
        "u = norm_2(x); x = x + a",
        "the network reads the stream as it was before the attention was added",
        "x = x + h first, then norm_2(x)",
        ("u = norm_2(x)\n", "\n"),
    ),
    _block(
        "old-stream-for-parallel",
        "x = x + a",
        "old = norm_2(x); x = x + a",
        "right in two styles; the parallel adapter reads the stream as it was before the attention "
        "was added, and the network the new one",
        "Give both the same input: u = norm_2(x)",
        (_PARALLEL, "old if style"),
    ),
    _block(
        "beside-the-whole-block",
        "x = x + a",
        "old = norm_1(x); x = x + a",
        "right in two styles; the parallel adapter reads what the attention reads, beside the "
        "wrong sublayer",
        "Give adapter_2 what the feed-forward network reads: u = norm_2(x)",
        (_PARALLEL, "old if style"),
    ),
    _block(
        "in-front-of-the-network",
        "feed_forward(u)",
        'feed_forward(u + adapter_2(u) if style == "parallel" else u)',
        "in the parallel style the adapter is in front of the network: its output is added to the "
        "network's input, and belongs to the network's output",
        "x + feed_forward(u) + adapter_2(u)",
        (_SECOND, 'x + h + (0 if style == "parallel" else adapter_2(read))'),
    ),
    _block(
        "houlsby-reads-the-input",
        _FIRST,
        "a + adapter_1(norm_1(y))",
        "Houlsby's first adapter reads what the attention reads, not what it puts out",
        "a = attention(norm_1(x)), then a + adapter_1(a)",
        ("a = attention(", "y = x; a = attention("),
    ),
    _block(
        "no-second-adapter",
        _SECOND,
        "x + h",
        "there is no adapter at the feed-forward network, and every style has one",
        "Add adapter_2 in all three styles",
    ),
    _block(
        "no-parallel-adapter",
        _SECOND,
        'x + h + (0 if style == "parallel" else adapter_2(read))',
        "right in two styles; in the parallel one there is no adapter at all",
        "Add adapter_2(u) to the network's output",
    ),
    _block(
        "always-parallel",
        _SERIAL,
        "else u",
        "the serial adapter reads what the network reads; only the parallel one does",
        "In Houlsby's and Pfeiffer's style give adapter_2 what feed_forward puts out",
    ),
)


def _same_result(case: Case, expected: Outcome, observed: Outcome) -> bool:
    return agree(expected["result"], observed["result"])


def _cut(name: str, what: str) -> Symptom:
    """No gradient at all reaches a weight that the result depends on."""
    part = f"gradient of {name}"

    def holds(case: Case, expected: Outcome, observed: Outcome) -> bool:
        # It is zero, too, where this style does not use the part.
        return not observed[part].count_nonzero()

    return Symptom(
        part,
        f"the output is right, but no gradient reaches {what}: it runs under no_grad, or is "
        "detached",
        "Compute all with tensors that keep their graph: frozen is not no_grad",
        lambda *outcomes: _same_result(*outcomes) and holds(*outcomes),
    )


BLOCK_SYMPTOMS = (
    _cut("adapter_2", "adapter_2"),
    _cut("adapter_1", "adapter_1"),
    _cut("feed_forward", "the feed-forward network and what lies below it"),
    _cut("attention", "the attention and what lies below it"),
    _cut("x", "the stream x"),
    Symptom(
        "gradient of x",
        "the output is right, but its gradient lacks a path: some part runs under no_grad, or is "
        "detached",
        "Compute all with tensors that keep their graph: frozen is not no_grad",
        _same_result,
    ),
)
