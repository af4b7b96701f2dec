"""What means something only where cells run one after the other in one namespace."""

from __future__ import annotations

from functools import partial

from grading.cases.honest import base
from grading.cases.notebooks import RIGHT, STUBS, solved

# What is peculiar is one answer; a few others show that it harms none of them.
case = partial(base.case, whole=False)

_DELTA = RIGHT["lora.delta"]
_BY_HELPER = "def lora_delta(A, B, alpha):\n    return scale(A, alpha) * (B @ A)"
_SHORT = "lora_delta = lambda A, B, alpha: alpha / A.shape[0] * (B @ A)"

CASES = [
    case(
        "a helper defined twice",
        solved(delta=_BY_HELPER)
        .extra("def scale(A, alpha):\n    return alpha")
        .extra("def scale(A, alpha):\n    return alpha / A.shape[0]"),
    ),
    case(
        "a comment that ends in a question mark",
        solved(
            delta="def lora_delta(A, B, alpha):\n    D = B @ A\n"
            "    D = alpha / A.shape[0] * D  # here, or before the product?\n    return D\n\n"
            "%time _ = lora_delta(torch.ones(2, 3), torch.ones(4, 2), 8.0)"
        ),
    ),
    case(
        "pip under an if",
        solved().prepend(
            "lora.delta",
            "import sys\nif 'google.colab' in sys.modules:\n    !pip install -q einops",
        ),
    ),
    case(
        "a star import in a cell of its own",
        solved(init=RIGHT["lora.init"].replace("math.sqrt", "sqrt")).extra("from math import *"),
    ),
    case(
        "a lambda in a new cell below the stub",
        solved(delta=STUBS["lora.delta"]).extra(_SHORT, before="lora.init"),
    ),
    case(
        "an answer in a new cell above the stub",
        solved(delta=STUBS["lora.delta"]).extra(_DELTA),
    ),
    case(
        "a first try that was mended below",
        solved(delta="def lora_delta(A, B, alpha):\n    return B @ A").extra(
            _DELTA, before="lora.init"
        ),
    ),
    case("a pasted prompt", solved(delta=">>> " + _DELTA.replace("\n", "\n... "))),
    case("an indented cell", solved(delta="    " + _DELTA.replace("\n", "\n    "))),
    case(
        "a constant counted up in a loop",
        solved(delta=_BY_HELPER)
        .extra("total = 0")
        .extra("for step in range(4):\n    total += step")
        .extra("if total == 6:\n    def scale(A, alpha):\n        return alpha / A.shape[0]"),
    ),
    case(
        "a class that is finished in the next cell",
        solved(
            delta="class lora_delta:\n    def __new__(cls, *args):\n        return cls.f(*args)"
        ).extra(
            "lora_delta.f = staticmethod(lambda A, B, alpha: alpha / A.shape[0] * (B @ A))",
            before="lora.init",
        ),
    ),
    case(
        "a partial of a helper",
        solved(
            delta="from functools import partial\nlora_delta = partial(scaled, lambda r: 1 / r)"
        ).extra("def scaled(f, A, B, alpha):\n    return alpha * f(A.shape[0]) * (B @ A)"),
    ),
    case(
        "an import that is tried",
        solved(delta=_BY_HELPER).extra(
            "try:\n    from no_such_package import scale\nexcept ImportError:\n"
            "    def scale(A, alpha):\n        return alpha / A.shape[0]"
        ),
    ),
    case(
        "display and get_ipython",
        solved().prepend(
            "lora.delta",
            "from IPython.display import display, Markdown\ndisplay(Markdown('**here**'))\n"
            "get_ipython().run_line_magic('matplotlib', 'inline')",
        ),
    ),
    case(
        "an error half way",
        solved(delta=_BY_HELPER).extra(
            "def scale(A, alpha):\n    return alpha / A.shape[0]\n\n1 / 0\n\n"
            "def scale(A, alpha):\n    return 0"
        ),
    ),
    case(
        "a cell that ends its process",
        solved().extra("import os\nos._exit(1)").extra("exit()"),
    ),
    case(
        "leans on an experiment",
        solved(delta=_BY_HELPER).extra(
            "before = history.validation[0][1]\nprint(f'{before:.2f}')\n"
            "with torch.no_grad():\n    print(model(ids).logits.shape)\n\n"
            "def scale(A, alpha):\n    return alpha / A.shape[0]"
        ),
    ),
    case(
        "checks by another name",
        solved(delta=_DELTA.replace("lora_delta", "delta_w")).extra(
            'check("lora.delta", delta_w)', before="lora.init"
        ),
    ),
]
