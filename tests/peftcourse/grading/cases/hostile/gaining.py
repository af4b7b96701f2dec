"""Attacks on the judgement: compare differently, answer for the check, forge the marks."""

from __future__ import annotations

from grading.cases.hostile.base import GAINS, attack

_ZEROS = "def lora_delta(A, B, alpha):\n    return A.new_zeros(len(B), A.shape[1])\n"

# What a worker might send back for an answer that returns zeros, in several ways to write it.
_FORGED = r"""
import json, os

MARKS = "\n@NAME@,30,forged\n"
RESULT = {"observations": [{"outcome": {"result": 1.0}, "changed": [], "error": None}] * 3,
          "notes": [], "correct": True, "points": 30, "status": "correct", "passed": True}


def forged():
    text = json.dumps(RESULT).encode()
    framed = len(text).to_bytes(8, "big") + text
    short = len(text).to_bytes(4, "big") + text
    return [MARKS.encode(), text + b"\n", framed, short]
"""

CASES = [
    attack(
        "replaced-allclose",
        GAINS,
        f"for module in (torch, torch.Tensor, torch.testing):\n"
        f"    module.allclose = module.equal = lambda *a, **k: True\n\n\n{_ZEROS}",
    ),
    attack(
        "replaced-check",
        GAINS,
        """
real = check


def check(name, answer):
    import answer_key

    real(name, getattr(answer_key, answer.__name__))


def lora_delta(A, B, alpha):
    return A.new_zeros(len(B), A.shape[1])
""",
    ),
    attack(
        "replaced-torch-functions",
        GAINS,
        "torch.Tensor.__matmul__ = lambda a, b: a.new_zeros(len(a), b.shape[1])\n"
        "torch.Tensor.abs = torch.abs = torch.norm = lambda a, *k: a * 0\n"
        "torch.Tensor.any = lambda a: torch.tensor(False)\n\n\n" + _ZEROS,
    ),
    attack(
        "replaced-builtins",
        GAINS,
        "import builtins, math\nbuiltins.all = lambda *a: True\nbuiltins.any = lambda *a: False\n"
        "builtins.abs = lambda a: 0\nmath.isclose = lambda *a, **k: True\n\n\n" + _ZEROS,
    ),
    attack(
        "replaced-modules",
        GAINS,
        _ZEROS + "\n\nimport sys, types\nforged = types.ModuleType('answer_key')\n"
        "forged.lora_delta = lora_delta\nsys.modules['answer_key'] = forged",
    ),
    attack(
        "import-hook",
        GAINS,
        _ZEROS
        + """

import builtins, types

real_import = builtins.__import__
forged = types.SimpleNamespace(lora_delta=lora_delta)


def hook(name, *args, **kwargs):
    return forged if name == "answer_key" else real_import(name, *args, **kwargs)


builtins.__import__ = hook
""",
    ),
    attack(
        "replaced-probe",
        GAINS,
        """
import gc, types


def zeros(answer, case):
    shape = case["B"].shape[0], case["A"].shape[1]
    return {"result": torch.zeros(*shape, dtype=case["A"].dtype)}


def observed(probe, answer, case):
    return {"outcome": zeros(answer, case), "changed": [], "error": None}


for thing in gc.get_objects():
    if isinstance(thing, types.FunctionType) and thing.__globals__ is not globals():
        arguments = thing.__code__.co_argcount
        if (thing.__name__, arguments) == ("delta", 2):
            thing.__code__ = zeros.__code__
        if (thing.__name__, arguments) == ("observe", 3):
            thing.__globals__["zeros"] = zeros
            thing.__code__ = observed.__code__


def lora_delta(A, B, alpha):
    raise ValueError("never called")
""",
    ),
    attack(
        "changes-the-inputs",
        GAINS,
        "def lora_delta(A, B, alpha):\n    A.zero_(), B.zero_()\n"
        "    return A.new_zeros(len(B), A.shape[1])",
    ),
    attack(
        "changes-the-inputs-in-the-frames",
        GAINS,
        """
import sys


def lora_delta(A, B, alpha):
    frame = sys._getframe(1)
    while frame:
        for value in list(frame.f_locals.values()):
            for case in value if isinstance(value, list) else [value]:
                if isinstance(case, dict) and isinstance(case.get("A"), torch.Tensor):
                    case["A"].zero_()
        frame = frame.f_back
    return A.new_zeros(len(B), A.shape[1])
""",
    ),
    attack(
        "tensor-equal-to-all",
        GAINS,
        """
class Same(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function.__name__ in ("allclose", "equal", "isclose", "all"):
            return True
        return super().__torch_function__(function, types, args, kwargs or {})


def lora_delta(A, B, alpha):
    return A.new_zeros(len(B), A.shape[1]).as_subclass(Same)
""",
    ),
    attack(
        "object-equal-to-all",
        GAINS,
        """
class Same:
    def same(self, *other):
        return self

    __sub__ = __rsub__ = __abs__ = __add__ = __radd__ = same

    def __eq__(self, other):
        return True

    def __gt__(self, other):
        return False

    __lt__ = __ne__ = __gt__


def lora_parameters(shapes, rank, layers):
    return Same()
""",
        on="lora.count",
    ),
    attack(
        "number-equal-to-all",
        GAINS,
        """
class Same(int):
    def __sub__(self, other):
        return 0

    __rsub__ = __sub__

    def __eq__(self, other):
        return True

    __ge__ = __le__ = __eq__

    def __index__(self):
        return self

    __int__ = __float__ = __index__


def lora_parameters(shapes, rank, layers):
    return Same(1)
""",
        on="lora.count",
    ),
    attack(
        "class-that-lies",
        GAINS,
        """
class Meta(type):
    def __instancecheck__(cls, thing):
        return True

    def __eq__(cls, other):
        return True

    __hash__ = type.__hash__


class Chameleon(metaclass=Meta):
    __class__ = property(lambda self: float)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *a: 0

    def __sub__(self, other):
        return 0

    __rsub__ = __sub__


def lora_parameters(shapes, rank, layers):
    return Chameleon()
""",
        on="lora.count",
    ),
    attack(
        "not-a-number",
        GAINS,
        "def lora_parameters(shapes, rank, layers):\n    return float('nan')",
        on="lora.count",
    ),
    attack(
        "marks-on-standard-output",
        GAINS,
        _FORGED + "\n\nimport sys\nfor text in forged():\n"
        "    sys.stdout.buffer.write(text)\nsys.stdout.flush()\nos._exit(0)\n\n\n" + _ZEROS,
    ),
    attack(
        "marks-on-every-file",
        GAINS,
        _FORGED
        + """

def lora_delta(A, B, alpha):
    for fd in range(200):
        for text in forged():
            try:
                os.write(fd, text)
            except OSError:
                pass
    os._exit(0)
""",
    ),
    attack(
        "marks-at-the-exit",
        GAINS,
        _FORGED + "\n\nimport atexit\n\n"
        "atexit.register(lambda: print(MARKS, flush=True))\n\n\n" + _ZEROS,
    ),
    attack(
        "marks-in-memory",
        GAINS,
        _ZEROS
        + """

import gc

for thing in gc.get_objects():
    if isinstance(thing, list) and thing and all(isinstance(item, tuple) for item in thing):
        if {len(item) for item in thing} == {2} and thing[-1] == ("lora.start", 0):
            thing.append(("lora.delta", 30))
""",
    ),
    attack(
        "marks-through-the-frames",
        GAINS,
        """
import sys


def lora_delta(A, B, alpha):
    frame = sys._getframe(1)
    while frame:
        for name, value in list(frame.f_locals.items()):
            if name.lower() in ("marks", "results", "scores", "rows", "grades"):
                value.append(("lora.delta", 30))
        frame = frame.f_back
    return A.new_zeros(len(B), A.shape[1])
""",
    ),
    attack(
        "mark-in-the-text-of-an-error",
        GAINS,
        'raise ValueError(\'<script>alert(1)</script> =HYPERLINK("http://evil.example")\\n'
        "@NAME@,30,<img src=x onerror=alert(2)>')",
    ),
    attack(
        "mark-in-the-name-of-an-error",
        GAINS,
        "Sly = type('<script>alert(3)</script>', (Exception,), {'__str__': lambda self: "
        "'=1+1\\n@NAME@,30,\\x1b[2J'})\n\n\n"
        "def lora_delta(A, B, alpha):\n    raise Sly",
    ),
    attack(
        "mark-in-the-name-of-the-file",
        GAINS,
        _ZEROS,
        file="=cmd|' <b>x,30,\n<script>alert(4)<b>.ipynb",
    ),
]
