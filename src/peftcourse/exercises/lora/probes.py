"""Lesson 03: what an answer is made to do. Runs where the answer runs; imports torch only.

Each probe takes an answer and a case, and returns tensors and numbers by name. It counts and
copies; whether a value is right is judged elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Case = dict[str, Any]
Outcome = dict[str, Any]


# --- the small models that answers work on --------------------------------------------------------


class Adapted(nn.Module):
    """A linear layer with a low-rank branch, as the answers to save, load and merge meet it."""

    def __init__(self, base: nn.Linear, A: Tensor, B: Tensor, scaling: float = 1.0) -> None:
        super().__init__()
        self.base = base
        self.A = nn.Parameter(A.clone())
        self.B = nn.Parameter(B.clone())
        self.scaling = scaling
        self.enabled = True

    def forward(self, x: Tensor) -> Tensor:
        y = self.base(x)
        return y + self.scaling * (x @ self.A.T @ self.B.T) if self.enabled else y


class Block(nn.Module):
    """Two projections, and two whose names only look like theirs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.Module()
        self.attention.q_proj = nn.Linear(width, width)
        self.attention.v_proj = nn.Linear(width, width)
        self.attention.kq_proj = nn.Linear(width, width)
        self.q_proj_gate = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        a = self.attention
        h = self.norm(x)
        return x + torch.tanh(a.q_proj(h) + a.kq_proj(h)) * a.v_proj(h) + self.q_proj_gate(h)


class Nested(nn.Module):
    """Embedding, a list of blocks, and a head: the outline of a language model."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, width)
        self.layers = nn.ModuleList(Block(width) for _ in range(depth))
        self.head = nn.Linear(width, 7)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear layer with copies of these values."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def entries_changed(before: Tensor, after: Tensor) -> int:
    """How many entries are not bit for bit what they were."""
    return int((before != after).sum())


# --- one probe per exercise -----------------------------------------------------------------------


def delta(answer: Any, case: Case) -> Outcome:
    return {"result": answer(case["A"], case["B"], case["alpha"])}


def init(answer: Any, case: Case) -> Outcome:
    """Twice with one generator seed, once with another; the global generator moves on."""

    def draw(seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        A, B = answer(case["d_in"], case["d_out"], case["rank"], generator)
        return A, B

    A, B = draw(case["noise"])
    repeated, _ = draw(case["noise"])
    other, _ = draw(case["noise"] + 1)
    return {"A": A, "B": B, "A repeated": repeated, "A with another seed": other}


def forward(answer: Any, case: Case) -> Outcome:
    base = linear(case["weight"], case["bias"])
    x = case["x"]
    layer = answer(base, case["rank"], case["alpha"], case["dropout"])
    layer.eval()
    fresh = layer(x)
    # Sizes are compared before values are copied: copy_ would stretch a tensor of one row.
    outcome = {"A (its size)": torch.zeros_like(layer.A), "B (its size)": torch.zeros_like(layer.B)}
    if layer.A.shape != case["A"].shape or layer.B.shape != case["B"].shape:
        return outcome
    with torch.no_grad():
        layer.A.copy_(case["A"])
        layer.B.copy_(case["B"])
    outcome["output in eval mode"] = layer(x)
    layer.train()
    torch.default_generator.manual_seed(case["noise"])
    outcome["output in training mode"] = layer(x)
    outcome["outputs that a new adapter changes"] = entries_changed(base(x), fresh)
    outcome["trainable parameters"] = sum(p.numel() for p in layer.parameters() if p.requires_grad)
    return outcome


def inject(answer: Any, case: Case) -> Outcome:
    torch.default_generator.manual_seed(case["noise"])
    model = Nested(case["width"], case["depth"]).double()
    paths = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    originals = [model.get_submodule(path).weight for path in paths]
    parameters = [parameter for _, parameter in model.named_parameters()]

    def wrap(base: nn.Linear) -> nn.Module:
        A = torch.full((case["rank"], base.in_features), 0.1, dtype=base.weight.dtype)
        B = torch.full((base.out_features, case["rank"]), 0.2, dtype=base.weight.dtype)
        return Adapted(base, A, B)

    names = list(answer(model, list(case["targets"]), wrap))
    kept = {id(parameter) for parameter in model.parameters()}
    own = {id(p) for m in model.modules() if isinstance(m, Adapted) for p in (m.A, m.B)}
    trainable = [p for p in model.parameters() if p.requires_grad]
    outcome: Outcome = {
        f"times that {path} is wrapped": int(isinstance(model.get_submodule(path), Adapted))
        for path in paths
    }
    outcome |= {
        "weights still in the model": sum(id(weight) in kept for weight in originals),
        "trainable tensors of the base": sum(p.requires_grad for p in parameters),
        "trainable tensors of the adapters": sum(id(p) in own for p in trainable),
        "number of names returned": len(names),
        "output of the model": model(case["ids"]),
    }
    return outcome | {f"times that {path} is returned": names.count(path) for path in paths}


def count(answer: Any, case: Case) -> Outcome:
    return {
        "result": answer([tuple(shape) for shape in case["shapes"]], case["rank"], case["layers"])
    }


def loss(answer: Any, case: Case) -> Outcome:
    logits = case["logits"].requires_grad_()
    value = answer(logits, case["labels"])
    (gradient,) = torch.autograd.grad(value, logits)
    logits.requires_grad_(False)
    return {"loss": value, "its gradient": gradient}


def train_step(answer: Any, case: Case) -> Outcome:
    """Four steps of plain SGD, so that a wrong gradient shows; the first finds old gradients."""
    first, second = linear(case["weight"], case["bias"]), linear(case["head"], None)
    first.bias.requires_grad_(False)
    model = nn.Sequential(first, nn.Tanh(), second)
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trainable, lr=0.2)
    for parameter in trainable:
        parameter.grad = torch.ones_like(parameter)
    losses = [
        float(answer(model, x, y, F.mse_loss, optimizer, case["max_norm"]))
        for x, y in zip(case["x"], case["y"], strict=True)
    ]
    return {
        "loss of each step": torch.tensor(losses, dtype=torch.float64),
        "weights after the steps": torch.cat([p.flatten() for p in trainable]),
    }


def adapted_model(case: Case) -> nn.Module:
    """Two adapted layers and a head. One adapter is frozen and the head trains, so that
    `requires_grad` is no guide; the head's parameter is called A, so that names are none."""
    model = nn.Module()
    model.first = Adapted(linear(case["weight"], None), case["A1"], case["B1"])
    model.block = nn.Module()
    model.block.second = Adapted(linear(case["weight"], None), case["A2"], case["B2"])
    model.block.second.A.requires_grad_(False)
    for layer in (model.first, model.block.second):
        layer.base.weight.requires_grad_(False)
    model.head = nn.Module()
    model.head.A = nn.Parameter(case["weight"].clone())
    return model


ADAPTED = ("first", "block.second")


def save(answer: Any, case: Case) -> Outcome:
    model = adapted_model(case)
    state = answer(model, Adapted)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)  # training goes on; what was saved must not
    outcome: Outcome = {
        "number of tensors": len(state),
        "numbers in all": sum(tensor.numel() for tensor in state.values()),
        "tensors that still carry a graph": sum(tensor.requires_grad for tensor in state.values()),
    }
    for path in ADAPTED:
        for part in "AB":
            outcome[f"{path}.{part}"] = state.get(f"{path}.{part}", 0)
    return outcome


def load(answer: Any, case: Case) -> Outcome:
    """A good state, and four bad ones; after each, the model's parameters."""
    names = [f"{path}.{part}" for path in ADAPTED for part in "AB"]
    shapes = dict(adapted_model(case).named_parameters())
    good = {name: torch.full_like(shapes[name], 0.5, requires_grad=False) for name in names}
    states = {
        "a good state": good,
        "a state without its last tensor": {name: good[name] for name in names[:-1]},
        "a state with one tensor too many": {**good, "third.A": good[names[0]]},
        "a state with one row instead of r": {**good, names[2]: good[names[2]][:1]},
        "a state with other names": {f"model.{name}": value for name, value in good.items()},
    }
    outcome: Outcome = {}
    for label, state in states.items():
        model = adapted_model(case)
        before = {id(parameter) for parameter in model.parameters()}
        refused = failed = 0
        try:
            answer(model, Adapted, dict(state))
        except ValueError:
            refused = 1
        except NotImplementedError:  # a RuntimeError too, but it means that nothing is written yet
            raise
        except (KeyError, RuntimeError):
            failed = 1
        outcome[f"{label}: ValueErrors"] = refused
        outcome[f"{label}: other errors"] = failed
        values = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
        outcome[f"{label}: parameters afterwards"] = values
        outcome[f"{label}: parameters that are new objects"] = sum(
            id(parameter) not in before for parameter in model.parameters()
        )
    return outcome


def merge(answer: Any, case: Case) -> Outcome:
    layer = Adapted(linear(case["weight"], case["bias"]), case["A"], case["B"], case["scaling"])
    weight = layer.base.weight
    outcome: Outcome = {}
    with answer(layer):
        outcome["weight inside the block"] = layer.base.weight.detach().clone()
        outcome["output inside the block"] = layer(case["x"])
    outcome["output after the block"] = layer(case["x"])
    outcome["weights changed after the block"] = entries_changed(case["weight"], layer.base.weight)
    try:
        with answer(layer):
            raise InterruptedError
    except InterruptedError:
        pass
    outcome["weights changed after an error in the block"] = entries_changed(
        case["weight"], layer.base.weight
    )
    outcome["output after an error in the block"] = layer(case["x"])
    outcome["weight tensors that were replaced"] = int(layer.base.weight is not weight)
    # An adapter that was off must still be off afterwards.
    layer.enabled = False
    with answer(layer):
        pass
    outcome["adapters switched on by it"] = int(layer.enabled)
    return outcome
