"""Lesson 03, the model and its training: what an answer is made to do.

Runs where the answer runs; imports torch only.

Each probe takes an answer and a case, and returns tensors and numbers by name. It counts and
copies; whether a value is right is judged elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

Case = dict[str, Any]
Outcome = dict[str, Any]


# --- into a model ---------------------------------------------------------------------------------


class Wrapped(nn.Module):
    """What takes the place of a linear layer."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        self.in_features, self.out_features = base.in_features, base.out_features
        self.A = nn.Parameter(torch.full((rank, base.in_features), 0.1))
        self.B = nn.Parameter(torch.full((base.out_features, rank), 0.2))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.A.T @ self.B.T


class Block(nn.Module):
    """Projections, and modules whose names only look like theirs or that are no linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.Module()
        self.attention.q_proj = nn.Linear(width, width)
        self.attention.v_proj = nn.Linear(width, width)
        self.attention.kq_proj = nn.Linear(width, width)
        self.attention_v_proj = nn.Linear(width, width)
        self.q_proj_gate = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.Tanh())
        self.norm = nn.ModuleDict({"q_proj": nn.LayerNorm(width), "v_proj": nn.LayerNorm(width)})

    def forward(self, x: Tensor) -> Tensor:
        a = self.attention
        h, v = self.norm["q_proj"](x), self.norm["v_proj"](x)
        mixed = torch.tanh(a.q_proj(h) + a.kq_proj(h)) * a.v_proj(v)
        return x + mixed + self.q_proj_gate(h) + self.attention_v_proj(v) + self.mlp(h)


class Nested(nn.Module):
    """Embedding, a list of blocks, and a head: the outline of a language model."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, width)
        self.base = nn.Linear(width, width)
        self.Q_proj = nn.Linear(width, width)
        self.layers = nn.ModuleList(Block(width) for _ in range(depth))
        self.head = nn.Linear(width, 7)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.Q_proj(self.base(self.embed(ids)))
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def inject(answer: Any, case: Case) -> Outcome:
    torch.default_generator.manual_seed(case["noise"])
    model = Nested(case["width"], depth=2)
    modules = dict(model.named_modules())
    paths = [path for path, module in modules.items() if isinstance(module, nn.Linear)]
    weights = [modules[path].weight for path in paths]
    parameters = list(model.parameters())
    given: list[nn.Module] = []

    def wrap(base: nn.Module) -> nn.Module:
        given.append(base)
        return Wrapped(base, case["rank"]) if isinstance(base, (nn.Linear, Wrapped)) else base

    names = list(answer(model, list(case["targets"]), wrap))
    adapters = [module for module in model.modules() if isinstance(module, Wrapped)]
    inside = {id(p) for module in adapters for p in module.base.parameters()}
    own = {id(p) for module in adapters for p in (module.A, module.B)}
    kept = {id(p) for p in model.parameters()}
    now = {path: _at(model, path) for path in paths}
    outcome: Outcome = {"other modules given to wrap": len(given) - len(_linear(given))}
    # Layers of one name are one part, as their number differs from model to model.
    for kind in dict.fromkeys(map(_kind, paths)):
        these = [path for path in paths if _kind(path) == kind]
        outcome[f"{kind}: wrapped"] = torch.tensor([isinstance(now[p], Wrapped) + 0 for p in these])
        outcome[f"{kind}: returned"] = torch.tensor([names.count(p) for p in these])
    outcome |= {
        "names returned that are no path": sum(name not in paths for name in names),
        "adapters in the model": len(adapters),
        "layers wrapped twice": sum(isinstance(module.base, Wrapped) for module in adapters),
        "base weights lost": sum(id(weight) not in kept for weight in weights),
        "tensors that train in wrapped layers": sum(
            p.requires_grad for p in parameters if id(p) in inside
        ),
        "tensors that train elsewhere": sum(
            p.requires_grad for p in parameters if id(p) not in inside
        ),
        "A and B that train": sum(id(p) in own for p in model.parameters() if p.requires_grad),
    }
    return outcome | {"output of the model": model(case["ids"])}


def _linear(modules: list[nn.Module]) -> list[nn.Module]:
    return [module for module in modules if isinstance(module, (nn.Linear, Wrapped))]


def _kind(path: str) -> str:
    """The path without the number of its block."""
    return ".".join(part for i, part in enumerate(path.split(".")) if i != 1)


def _at(model: nn.Module, path: str) -> nn.Module | None:
    try:
        return model.get_submodule(path)
    except AttributeError:
        return None


def count(answer: Any, case: Case) -> Outcome:
    return {
        "result": answer([tuple(shape) for shape in case["shapes"]], case["rank"], case["layers"])
    }


# --- training -------------------------------------------------------------------------------------


def loss(answer: Any, case: Case) -> Outcome:
    logits = case["logits"].clone().requires_grad_()
    value = answer(logits, case["labels"])
    gradient = torch.zeros_like(logits)
    if isinstance(value, Tensor) and value.requires_grad:
        (gradient,) = torch.autograd.grad(value.sum(), logits)
    return {"loss": value, "gradient of the logits": gradient}


class Watched(nn.Module):
    """A model that counts in which mode it is called, and how often a gradient comes back."""

    def __init__(self, weight: Tensor, bias: Tensor, head: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.bias = nn.Parameter(bias.clone(), requires_grad=False)
        self.head = nn.Parameter(head.clone())
        self.calls = {True: 0, False: 0}
        self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls[self.training] += 1
        y = torch.tanh(x @ self.weight.T + self.bias) @ self.head.T
        if y.requires_grad:
            y.register_hook(self._count)
        return y

    def _count(self, gradient: Tensor) -> None:
        self.backwards += 1


def off_by(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared errors, relative to the target: it matters which argument is which."""
    return ((prediction - target).square() / target.square().mean()).mean() * 100


def train_step(answer: Any, case: Case) -> Outcome:
    """Four steps of SGD with momentum; the first finds old gradients."""
    model = Watched(case["weight"], case["bias"], case["head"])
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trainable, lr=0.02, momentum=0.5)
    for parameter in trainable:
        parameter.grad = torch.ones_like(parameter)
    lengths: list[float] = []
    backwards: list[int] = []

    def look(*_: Any) -> None:
        gradients = [p.grad for p in trainable if p.grad is not None]
        length = torch.cat([g.flatten() for g in gradients]).norm().item() if gradients else 0.0
        lengths.append(length)
        backwards.append(model.backwards)

    optimizer.register_step_pre_hook(look)
    losses = [
        answer(model, x, y, off_by, optimizer, case["max_norm"])
        for x, y in zip(case["x"], case["y"], strict=True)
    ]
    return {
        "steps of the optimizer": len(lengths),
        "calls of the model in evaluation mode": model.calls[False],
        "models left in evaluation mode": int(not model.training),
        "backward passes before each step": torch.tensor(backwards),
        "length of the gradient at each step": torch.tensor(lengths, dtype=torch.float64),
        **{f"loss of step {i}": loss for i, loss in enumerate(losses, 1)},
        "weights after the steps": torch.cat([p.flatten() for p in trainable]),
    }
