"""Lesson 03, the layer and its file: what an answer is made to do.

Runs where the answer runs; imports torch only.

Each probe takes an answer and a case, and returns tensors and numbers by name. It counts and
copies; whether a value is right is judged elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

Case = dict[str, Any]
Outcome = dict[str, Any]


# --- what answers work on -------------------------------------------------------------------------


class Adapted(nn.Module):
    """A linear layer with a low-rank branch, as the answers to save, load and merge meet it."""

    def __init__(self, base: nn.Module, A: Tensor, B: Tensor, scaling: float = 1.0) -> None:
        super().__init__()
        self.base = base
        self.A = nn.Parameter(A.clone())
        self.B = nn.Parameter(B.clone())
        self.scaling = scaling
        self.enabled = True

    def forward(self, x: Tensor) -> Tensor:
        y = self.base(x)
        return y + self.scaling * (x @ self.A.T @ self.B.T) if self.enabled else y


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
    """Twice with one generator seed, once with another, and twice with one generator."""

    def draw(generator: torch.Generator) -> tuple[Any, Any]:
        A, B = answer(case["d_in"], case["d_out"], case["rank"], generator)
        return A, B

    first = torch.Generator().manual_seed(case["noise"])
    A, B = draw(first)
    return {
        "A": A,
        "B": B,
        "A repeated": draw(torch.Generator().manual_seed(case["noise"]))[0],
        "A with another seed": draw(torch.Generator().manual_seed(case["noise"] + 1))[0],
        "A of a second adapter": draw(first)[0],
    }


def forward(answer: Any, case: Case) -> Outcome:
    base, x = linear(case["weight"], case["bias"]), case["x"]
    layer = answer(base, case["rank"], case["alpha"], case["dropout"])
    layer.eval()
    A, B = layer.A, layer.B
    fresh, plain = layer(x), base(x)
    if A.shape != case["A"].shape or B.shape != case["B"].shape:
        return {"A (its size)": torch.zeros_like(A), "B (its size)": torch.zeros_like(B)}
    own = {id(parameter) for parameter in layer.parameters()}
    known = {id(parameter) for parameter in (A, B, *base.parameters())}
    outcome: Outcome = {
        "A (its size)": torch.zeros_like(A),
        "B (its size)": torch.zeros_like(B),
        "A and B among its parameters": (id(A) in own) + (id(B) in own),
        "A and B that train": int(A.requires_grad) + int(B.requires_grad),
        "base weights that train": int(base.weight.requires_grad),
        "base biases that train": int(base.bias.requires_grad),
        "other tensors that train": sum(
            p.requires_grad and id(p) not in known for p in layer.parameters()
        ),
        "tensors of the base in it": sum(id(p) in own for p in base.parameters()),
        "zeros in A at first": int((A == 0).sum()),
        "numbers in B that are not zero at first": int((B != 0).sum()),
        "outputs that a new adapter changes": int(
            ((fresh - plain).abs() > 1e-4 * plain.abs().max()).sum()
        ),
    }
    with torch.no_grad():
        A.copy_(case["A"])
        B.copy_(case["B"])
    x = x.clone().requires_grad_()
    output = layer(x * 1)
    torch.default_generator.manual_seed(case["noise"] + 1)
    again = layer(x)
    outcome["numbers of the base that calls change"] = sum(
        entries_changed(case[name], getattr(base, name)) for name in ("weight", "bias")
    )
    outcome["eval mode: calls that differ"] = int(not torch.equal(output, again))
    outcome["output in eval mode"] = output
    outcome |= gradients_of(output, {"A": A, "B": B, "x": x}, case["noise"])
    if case["dropout"]:
        return outcome | _in_training(answer, case)
    return outcome | {"output in training mode": layer.train()(x)}


def gradients_of(output: Tensor, inputs: dict[str, Tensor], noise: int) -> Outcome:
    """The gradient of a sum of the outputs with random weights; zeros where none arrives."""
    rng = torch.Generator().manual_seed(noise)
    weights = torch.randn(output.shape, generator=rng, dtype=torch.float64).to(output.dtype)
    found: dict[str, Tensor | None] = {}
    into = {name: tensor for name, tensor in inputs.items() if tensor.requires_grad}
    if output.requires_grad and into:
        total = (output * weights).sum()
        gradients = torch.autograd.grad(total, list(into.values()), allow_unused=True)
        found = dict(zip(into, gradients, strict=True))
    return {
        f"gradient of {name}": torch.zeros_like(tensor) if found.get(name) is None else found[name]
        for name, tensor in inputs.items()
    }


class Largest(TorchDispatchMode):
    """Remembers how large the largest tensor was that did not share memory with a known one."""

    def __init__(self, *known: Tensor) -> None:
        super().__init__()
        self.known = {tensor.untyped_storage().data_ptr() for tensor in known}
        self.entries = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing here is compiled; torch would import its compiler for seconds to make sure."""
        return False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor) and not self._shares_memory(tensor):
                self.entries = max(self.entries, tensor.numel())
        return result

    def _shares_memory(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage().data_ptr() in self.known


def _in_training(answer: Any, case: Case) -> Outcome:
    """What dropout does, of which no two ways to write it draw the same numbers.

    With as many rows in A as there are inputs, outputs can be traced back to what went into any
    place of the layer. There, dropout leaves 0 or 1/(1 - p) times what it is without.
    """
    rng = torch.Generator().manual_seed(case["noise"])
    width, p = case["weight"].shape[1], case["dropout"]

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    base, x = linear(draw(width + 2, width), draw(width + 2)), draw(400, width)
    layer = answer(base, width, case["alpha"], p)
    with torch.no_grad():
        layer.A.copy_(torch.eye(width) + 0.3 * draw(width, width))
        layer.B.copy_(draw(width + 2, width))
        A, B = layer.A.detach(), layer.B.detach()
        layer.eval()
        given = x.clone()
        with Largest(given, A, B, *base.parameters()) as mode:
            layer(given[:1])
        torch.default_generator.manual_seed(case["noise"])
        still, zero, twice = layer(x.clone()), layer(torch.zeros_like(x)), layer(2 * x)
        layer.train()
        noisy, plain = layer(given), base(x)
    outcome: Outcome = {
        "tensors as large as ΔW": mode.entries // base.weight.numel(),
        "numbers of x changed": min(1, entries_changed(x, given)),
        "outputs not linear in x": int(not torch.allclose(twice - zero, 2 * (still - zero))),
    }
    whole = torch.linalg.lstsq(x, still - zero).solution  # (inputs, outputs): all that it does
    before, after = noisy - plain, still - plain  # of the branch alone
    update = torch.linalg.pinv(B @ A).T
    ratio = (before @ update) / (after @ update)
    kept = 1 / (1 - p)
    places = {
        "dropout after A": (before @ torch.linalg.pinv(B).T) / (after @ torch.linalg.pinv(B).T),
        "dropout on the branch's output": before / after,
        "dropout on the layer's output": noisy / still,
        "dropout on x for base and branch": (noisy - zero) @ torch.linalg.pinv(whole) / x,
    }
    here = _share(ratio, 0, kept)
    return outcome | {
        "dropout on x before A": round(here),
        "share of x that it drops": _share(ratio, 0),
        "share of x that it scales by 1/(1 - p)": _share(ratio, kept),
        "share of x that it leaves as it is": _share(ratio, 1),
        "inputs that all tokens lose or keep": int(((ratio[0] - ratio).abs() < 1e-4).all(0).sum()),
        "tokens that lose all or nothing": round(
            ((ratio - ratio[:, :1]).abs() < 1e-4).all(1).double().mean().item()
        ),
        **{name: round(_share(values, 0, kept)) for name, values in places.items()},
    }


def _share(values: Tensor, *targets: float) -> float:
    """Which part of the values is one of these, in tenths, so that chance does not show."""
    found = torch.stack([(values - target).abs() < 1e-4 for target in targets]).any(0)
    return round(found.double().mean().item(), 1)


class Special(Adapted):
    """A kind of adapted layer, as subclasses are."""


def adapted_model(case: Case) -> nn.Module:
    """Three adapted layers and a head. One adapter is frozen and the head trains, so that
    `requires_grad` is no guide; the head's parameter is called A, so that names are none."""
    model = nn.Module()
    model.first = Adapted(_frozen(case), case["A1"], case["B1"], 3.0)
    model.block = nn.Module()
    model.block.second = Adapted(_frozen(case), case["A2"], case["B2"], 3.0)
    model.block.third = Special(_frozen(case), case["A3"], case["B3"], 3.0)
    model.block.second.A.requires_grad_(False)
    model.head = nn.Module()
    model.head.A = nn.Parameter(case["weight"].clone())
    return model


def _frozen(case: Case) -> nn.Module:
    """All that matters here of a linear layer, its weight; nine models are made for one load."""
    base = nn.Module()
    base.weight = nn.Parameter(case["weight"].clone(), requires_grad=False)
    return base


ADAPTED = ("first", "block.second", "block.third")
ENTRIES = tuple(f"{path}.{part}" for path in ADAPTED for part in "AB")


def save(answer: Any, case: Case) -> Outcome:
    model = adapted_model(case)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trained = [p.requires_grad for p in model.parameters()]
    state = dict(answer(model, Adapted))
    frozen = sum(a != p.requires_grad for a, p in zip(trained, model.parameters(), strict=True))
    graphs = sum(isinstance(t, Tensor) and t.requires_grad for t in state.values())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)  # training goes on; what was saved must not
    moved = sum(
        isinstance(tensor, Tensor)
        and name in before
        and tensor.shape == before[name].shape
        and torch.allclose(tensor.to(before[name]), before[name] + 1)
        for name, tensor in state.items()
    )
    saved = set(state)
    return {
        "number of tensors": len(state),
        "tensors A of adapter layers": len(saved & set(ENTRIES[::2])),
        "tensors B of adapter layers": len(saved & set(ENTRIES[1::2])),
        "tensors of subclasses": sum(name.startswith("block.third.") for name in saved),
        "tensors of base layers": sum("base" in name for name in saved),
        "tensors of other modules": sum(name.startswith("head") for name in saved),
        "names that end in a dot and A or B": sum(n.endswith((".A", ".B")) for n in saved),
        "names without a path": sum(name in ("A", "B") for name in saved),
        "names that the model does not have": len(saved - set(before)),
        "tensors that require a gradient": graphs,
        "tensors that go on training": moved,
        "parameters of the model frozen or not": frozen,
        **{name: state[name] for name in ENTRIES if name in state},
    }


def load(answer: Any, case: Case) -> Outcome:
    """Good states and bad ones; after each, the model's parameters."""
    rng = torch.Generator().manual_seed(case["noise"])
    shapes = dict(adapted_model(case).named_parameters())
    good = {
        name: torch.randn(shapes[name].shape, generator=rng, dtype=torch.float64)
        for name in ENTRIES
    }
    second, last = good["block.second.A"], ENTRIES[-1]
    outcome: Outcome = {}
    for label, state in {
        "a good state": good,
        "a good state in another order": dict(reversed(good.items())),
        "a good state in float32": {name: tensor.float() for name, tensor in good.items()},
    }.items():
        model = adapted_model(case)
        parameters = {name: (p, p.dtype, p.requires_grad) for name, p in model.named_parameters()}
        given = {name: tensor.clone() for name, tensor in state.items()}
        refused = 0
        try:
            answer(model, Adapted, given)
        except ValueError:
            refused = 1
        now = dict(model.named_parameters())
        outcome[f"{label}: ValueErrors"] = refused
        outcome[f"{label}: A and B"] = _joined(now[name] for name in ENTRIES)
        outcome[f"{label}: other weights"] = _joined(p for n, p in now.items() if n not in good)
        outcome[f"{label}: parameters that are new objects"] = sum(
            parameters[name][0] is not p for name, p in now.items()
        )
        outcome[f"{label}: parameters of another dtype"] = sum(
            parameters[name][1] != p.dtype for name, p in now.items()
        )
        outcome[f"{label}: parameters that train or not"] = sum(
            parameters[name][2] != p.requires_grad for name, p in now.items()
        )
        memory = {tensor.untyped_storage().data_ptr() for tensor in given.values()}
        outcome[f"{label}: parameters that share memory with it"] = sum(
            p.untyped_storage().data_ptr() in memory for p in now.values()
        )
        outcome[f"{label}: tensors left in it"] = len(given)
    for label, state in {
        "a state without its last tensor": {n: t for n, t in good.items() if n != last},
        "a state with one tensor too many": {**good, "fourth.A": second},
        "a state with one row instead of r": {**good, "block.second.A": second[:1]},
        "a state with one row of a B": {**good, last: good[last][:1]},
        "a state with a transposed tensor": {**good, "block.second.A": second.T.contiguous()},
        "a state with other names": {f"model.{name}": value for name, value in good.items()},
        "an empty state": {},
    }.items():
        model = adapted_model(case)
        refused = failed = 0
        try:
            answer(model, Adapted, {name: tensor.clone() for name, tensor in state.items()})
        except ValueError:
            refused = 1
        except NotImplementedError:  # it means that nothing is written yet
            raise
        except Exception:
            failed = 1
        outcome[f"{label}: ValueErrors"] = refused
        outcome[f"{label}: other errors"] = failed
        outcome[f"{label}: numbers changed"] = sum(
            entries_changed(old, new)
            for old, new in zip(adapted_model(case).parameters(), model.parameters(), strict=True)
        )
    return outcome


def _joined(tensors: Any) -> Tensor:
    return torch.cat([tensor.detach().double().flatten() for tensor in tensors])


def merge(answer: Any, case: Case) -> Outcome:
    layer = Adapted(linear(case["weight"], case["bias"]), case["A"], case["B"], case["scaling"])
    layer.base.requires_grad_(not case["frozen"])
    weight, x = layer.base.weight, case["x"]
    outcome: Outcome = {}
    with answer(layer):
        outcome["weight inside the block"] = layer.base.weight.detach().clone()
        outcome["branches on inside the block"] = int(layer.enabled)
        outcome["output inside the block"] = layer(x)
    outcome["weights changed after the block"] = entries_changed(case["weight"], layer.base.weight)
    outcome["branches on after the block"] = int(layer.enabled)
    outcome["output after the block"] = layer(x)
    outcome["numbers of A and B changed by it"] = entries_changed(
        case["A"], layer.A
    ) + entries_changed(case["B"], layer.B)
    outcome["weights that train after the block"] = int(layer.base.weight.requires_grad)
    outcome["weight tensors that were replaced"] = int(layer.base.weight is not weight)
    layer = Adapted(linear(case["weight"], case["bias"]), case["A"], case["B"], case["scaling"])
    raised = 0
    try:
        with answer(layer):
            raise InterruptedError
    except InterruptedError:
        raised = 1
    outcome["errors in the block that come out of it"] = raised
    outcome["weights changed after an error in the block"] = entries_changed(
        case["weight"], layer.base.weight
    )
    outcome["branches on after an error in the block"] = int(layer.enabled)
    # An adapter that was off must still be off afterwards.
    layer = Adapted(linear(case["weight"], case["bias"]), case["A"], case["B"], case["scaling"])
    layer.enabled = False
    with answer(layer):
        outcome["adapter off before: weight inside the block"] = layer.base.weight.detach().clone()
        outcome["adapter off before: branches on inside"] = int(layer.enabled)
    outcome["adapter off before: branches on after"] = int(layer.enabled)
    return outcome
