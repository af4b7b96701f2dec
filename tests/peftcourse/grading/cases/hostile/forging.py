"""Attacks in the grader's own language: the process that runs an answer sends a made-up result.

The code knows the format of ``peftcourse.grading.wire`` and writes to every file that is open. What
it sends is well formed, and wrong or harmful; right values cannot be made up, since they depend on
inputs that it would have to do the exercise for.
"""

from __future__ import annotations

from grading.cases.hostile.base import BREAKS, Hostile, attack

_SEND = '''
import json, os


def send(observations, notes=(), data=b"", result=None):
    """One message, then the end."""
    usual = {"dict": [["observations", {"list": observations}], ["notes", {"list": list(notes)}]]}
    header = (result or json.dumps(usual)).encode()
    for fd in range(3, 64):
        try:
            os.write(fd, len(header).to_bytes(4, "big") + header + data)
        except OSError:
            pass
    os._exit(0)


def observation(outcome=(), error=None, changed=()):
    return {"dict": [["outcome", {"dict": [list(pair) for pair in outcome]}],
                     ["changed", {"list": list(changed)}], ["error", error]]}


def error(**parts):
    return {"dict": [[name, value] for name, value in parts.items()]}


def tensor(dtype, *shape):
    return {"tensor": [dtype, list(shape)]}


def lora_delta(A, B, alpha):
    shape = len(B), A.shape[1]
'''


def _forge(name: str, lines: str) -> Hostile:
    body = "\n".join(f"    {line}" for line in lines.strip().split("\n"))
    return attack(name, BREAKS, f"{_SEND}{body}\n")


CASES = [
    _forge(
        "forged-zeros",
        'send([observation([("result", tensor("float64", *shape))])] * 3,\n'
        "     data=bytes(24 * len(B) * A.shape[1]))",
    ),
    _forge(
        "forged-verdicts",
        'verdict = [("result", True), ("status", "correct"), ("points", 30), ("correct", True)]\n'
        "send([observation(verdict)] * 3)",
    ),
    _forge("forged-nothing", "send([observation()] * 3)"),
    _forge("forged-no-cases", "send([])"),
    _forge("forged-too-many-cases", "send([observation()] * 10_000)"),
    _forge(
        "forged-changes",
        'send([observation(changed=["A", "<b>", "seed"], outcome=[("result", 1)])] * 3)',
    ),
    _forge(
        "forged-empty-giant",
        'send([observation([("result", tensor("float64", *[2**31 - 1] * 5, 0))])] * 3)',
    ),
    _forge(
        "forged-giant-claim",
        'send([observation([("result", tensor("float64", *[2**31 - 1] * 2))])] * 3)',
    ),
    _forge(
        "forged-numbers",
        'numbers = (float("nan"), float("inf"), -0.0, 2**63 - 1)\n'
        'send([observation([("result", number)]) for number in numbers[:3]])',
    ),
    _forge("forged-long-number", "send([], result='9' * 5000)"),
    _forge(
        "forged-half-characters",
        r'text = "\ud800 <script>alert(5)</script> \x00 \x1b[2J"'
        "\n"
        "problem = error(type=text, message=text, line=10**18, code=text)\n"
        "send([observation(error=problem)] * 3, notes=[text] * 50)",
    ),
    _forge(
        "forged-half-names",
        r'names = [("\udfff" + str(i), 1) for i in range(1000)]'
        "\n"
        "send([observation(names)] * 3, notes=[])",
    ),
    _forge(
        "forged-names-of-wrong-kinds",
        'send([observation(error=error(type=None, message=3, line="4", code=[]))] * 3)',
    ),
    _forge(
        "forged-deep",
        'deep = {"list": []}\nfor _ in range(400):\n    deep = {"list": [deep]}\n'
        "send([], result=json.dumps(deep))",
    ),
    _forge("forged-noise", "send([], data=bytes(range(256)) * 200, result='noise')"),
    _forge(
        "forged-without-end",
        "for fd in range(3, 64):\n    try:\n        while True:\n"
        "            os.write(fd, bytes(1 << 20))\n    except OSError:\n        pass\nos._exit(0)",
    ),
]
