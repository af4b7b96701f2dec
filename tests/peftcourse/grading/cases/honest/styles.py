"""Other ways to write a right answer than the one that the lab has in mind."""

from __future__ import annotations

from functools import partial

from grading.cases.honest import base
from grading.cases.notebooks import RIGHT, solved

# What is peculiar is one answer; a few others show that it harms none of them.
case = partial(base.case, whole=False)

_LAYER = '''
class Branch(nn.Module):
    def __init__(self, A, B, scaling, p):
        super().__init__()
        self.A, self.B, self.scaling, self.drop = A, B, scaling, nn.Dropout(p)

    def forward(self, x):
        return self.scaling * F.linear(F.linear(self.drop(x), self.A), self.B)


class LoRALinear(nn.Module):
    """A layer and its branch."""

    def __init__(self, base, rank, alpha, dropout=0.0):
        super(LoRALinear, self).__init__()
        self.base = self._frozen(base)
        self.A = self._new(rank, base)
        self.B = nn.Parameter(base.weight.new_zeros(base.out_features, rank))
        self.branch = Branch(self.A, self.B, alpha / rank, dropout)

    @staticmethod
    def _frozen(layer):
        for p in layer.parameters():
            p.requires_grad = False
        return layer

    @classmethod
    def _new(cls, rank, base):
        weight = base.weight.new_empty(rank, base.in_features)
        return nn.Parameter(nn.init.kaiming_uniform_(weight, a=math.sqrt(5)))

    @property
    def rank(self):
        return self.A.shape[0]

    def forward(self, x):
        return self.base(x) + self.branch(x)
'''

_WALK = """
def inject(model, targets, wrap):
    names = []

    def walk(module, path):
        for name, child in list(module.named_children()):
            here = path + [name]
            parts = [target.split(".") for target in targets]
            if isinstance(child, nn.Linear) and any(here[-len(p):] == p for p in parts):
                module._modules[name] = wrap(child)
                names.append(".".join(here))
            else:
                walk(child, here)

    for p in model.parameters():
        p.requires_grad = False
    walk(model, [])
    return names
"""

CASES = [
    case(
        "modules by other names",
        solved(
            delta="import torch as th\nimport numpy as np\n\n\ndef lora_delta(A, B, alpha):\n"
            "    return th.matmul(B, A).mul(np.float64(alpha).item() / th.numel(A[:, 0]))",
            loss="from torch.nn import functional as fn\n\n\ndef next_token_loss(logits, labels):\n"
            "    return fn.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:])",
            init="from torch import *\nfrom math import *\n\n\n"
            "def lora_init(d_in, d_out, rank, generator):\n"
            "    return (2 * rand(rank, d_in, generator=generator) - 1) / sqrt(d_in), "
            "zeros(d_out, rank)",
        ),
    ),
    case(
        "numpy",
        solved(
            delta="import numpy as np\n\ndef lora_delta(A, B, alpha):\n"
            "    product = np.matmul(B.numpy(), A.numpy())\n"
            "    return torch.from_numpy(product * np.asarray(alpha / len(A), product.dtype))",
            count="import numpy as np\n\ndef lora_parameters(shapes, rank, layers):\n"
            "    return int(np.array(shapes).sum() * rank * layers)",
        ),
    ),
    case(
        "by way of float64",
        solved(
            delta="def lora_delta(A, B, alpha):\n"
            "    big = B.double() @ A.double() * alpha / len(A)\n    return big.to(A.dtype)",
            count="def lora_parameters(shapes, rank, layers):\n"
            "    return sum(map(sum, shapes)) * float(rank) * layers",
        ),
    ),
    case(
        "type hints without imports",
        solved(
            delta='def lora_delta(A: "Float[Tensor, \'r i\']", B: "np.ndarray", alpha):\n'
            "    return alpha / A.size(0) * B.mm(A)",
            count="from __future__ import annotations\n\n\ndef lora_parameters(\n"
            "    shapes: List[Tuple[int, int]], rank: Rank, layers: int | str) -> Union[int]:\n"
            "    return rank * layers * sum(a + b for a, b in shapes)",
        ),
    ),
    case(
        "lambdas",
        solved(
            delta="lora_delta = lambda A, B, alpha: alpha * (B @ A) / A.shape[0]",
            count="lora_parameters = lambda s, r, l: l * r * sum(a + b for a, b in s)",
            loss="from functools import partial\n"
            "_loss = lambda x, y: F.cross_entropy(x[:, :-1].flatten(0, 1), y[:, 1:].flatten())\n"
            "next_token_loss = partial(_loss)",
        ),
    ),
    case(
        "decorators",
        solved(
            delta="import functools, time\n\n\ndef timed(f):\n    @functools.wraps(f)\n"
            "    def inner(*args, **kwargs):\n        start = time.time()\n"
            "        out = f(*args, **kwargs)\n        print(f.__name__, time.time() - start)\n"
            "        return out\n    return inner\n\n\n@timed\n@torch.no_grad()\n"
            + RIGHT["lora.delta"],
            count="import functools\n\n\n@functools.lru_cache\ndef one(d_out, d_in, rank):\n"
            "    return rank * (d_in + d_out)\n\n\n"
            "def lora_parameters(shapes, rank, layers):\n"
            "    return layers * sum(one(*shape, rank) for shape in shapes)",
            merge="@contextlib.contextmanager\n@torch.no_grad()\n"
            + RIGHT["lora.merge"].split("\n", 1)[1],
        ),
    ),
    case(
        "classes with helpers",
        solved(
            forward=_LAYER,
            merge="class merged:\n    def __init__(self, layer):\n        self.layer = layer\n\n"
            "    def __enter__(self):\n        layer = self.layer\n"
            "        self.before = layer.base.weight.data.clone(), layer.enabled\n"
            "        layer.base.weight.data.add_((layer.scaling * layer.B @ layer.A).data)\n"
            "        layer.enabled = False\n        return layer\n\n"
            "    def __exit__(self, *error):\n        W, self.layer.enabled = self.before\n"
            "        self.layer.base.weight.data.copy_(W)\n        return False",
        ),
    ),
    case(
        "recursion",
        solved(
            count="def lora_parameters(shapes, rank, layers):\n    if layers > 1:\n"
            "        one = lora_parameters(shapes, rank, 1)\n"
            "        return one + lora_parameters(shapes, rank, layers - 1)\n"
            "    if len(shapes) == 0:\n        return 0\n    (a, b), *rest = shapes\n"
            "    return rank * (a + b) + lora_parameters(rest, rank, 1)",
            inject=_WALK,
        ),
    ),
    case(
        "slow",
        solved(
            delta="import time\n"
            + RIGHT["lora.delta"].replace("    rank", "    time.sleep(0.3)\n    rank")
        ),
    ),
    case(
        "random numbers and settings for all",
        solved(
            delta="torch.set_default_dtype(torch.float64)\ntorch.manual_seed(1)\n"
            "torch.set_grad_enabled(False)\ntorch.set_printoptions(precision=2)\n"
            + RIGHT["lora.delta"],
            forward="torch.manual_seed(0)\nNOISE = torch.randn(3)\n" + RIGHT["lora.forward"],
            init="def lora_init(d_in, d_out, rank, generator):\n    torch.manual_seed(5)\n"
            "    torch.randn(3)\n    bound = 1 / math.sqrt(d_in)\n"
            "    return torch.empty(rank, d_in).uniform_(-bound, bound, generator=generator), "
            "torch.zeros(d_out, rank)",
        ),
        whole=True,
        # A kernel's `check` takes `init` for wrong, whose tensors are in 64 bit there; answers are
        # observed with 32 bit as the default, for which it is right.
    ),
    case(
        "counts its calls",
        solved(
            delta="CALLS = 0\n\n\ndef lora_delta(A, B, alpha):\n    global CALLS\n    CALLS += 1\n"
            "    return (result := alpha / len(A) * B @ A)"
        ),
    ),
    case(
        "Greek letters",
        solved(
            delta="def lora_delta(A, B, α):\n    # ΔW = (α/r)·B·A: «größer» 深度 🙂\n"
            "    r = len(A)\n    ΔW = α / r * (B @ A)\n    return ΔW"
        ),
    ),
]
