"""Lesson 09: what an answer is made to do. Runs where the answer runs; imports torch only.

Each probe takes an answer and a case, and returns tensors and numbers by name. Whether a value is
right is judged elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

Case = dict[str, Any]
Outcome = dict[str, Any]


def targets(answer: Any, case: Case) -> Outcome:
    """Which layers are chosen, as ones in a row, how many names come back, and in which order."""
    linear = list(case["linear"])
    found = answer(_copy(case["targets"]), linear, case["head"])
    if isinstance(found, (str, set, frozenset)) or not hasattr(found, "__iter__"):
        # A set has no order; its type is all that can be said of it.
        return {"layers, 1 if chosen": found, "names in the result": -1, "their order": found}
    chosen = list(found)
    places = [case["linear"].index(name) for name in chosen if name in case["linear"]]
    return {
        "layers, 1 if chosen": torch.tensor([int(name in chosen) for name in case["linear"]]),
        "names in the result": len(chosen),
        "their order": torch.tensor(places, dtype=torch.int64),
        "layers in the caller's list": len(linear),
    }


def _copy(value: Any) -> Any:
    return list(value) if isinstance(value, list) else value


class _Model(nn.Module):
    """Two linear layers of which one trains, and something special."""

    def __init__(self, vocabulary: int, width: int, rank: int, packed: int, kind: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lora_A = nn.Linear(width, rank, bias=False)
        self.lora_B = nn.Linear(rank, width + 1, bias=False)
        frozen, everything = {"requires_grad": False}, kind == "all"
        if kind == "shared" or everything:
            self.head = nn.Linear(width, vocabulary)
            self.head.weight = self.embedding.weight
        if kind == "packed" or everything:
            self.packed = nn.Parameter(torch.zeros(packed, 1, dtype=torch.uint8), **frozen)
        if kind == "buffer" or everything:
            self.register_buffer("positions", torch.arange(vocabulary + packed))
        if kind == "int8" or everything:
            self.rounded = nn.Parameter(torch.zeros(packed, 3, dtype=torch.int8), **frozen)
        if kind == "int64" or everything:
            self.order = nn.Parameter(torch.zeros(2, packed, dtype=torch.int64), **frozen)
        if kind == "twins" or everything:
            self.embedding_2 = nn.Embedding(vocabulary, width)
        if kind == "dimensions" or everything:
            self.kernel = nn.Parameter(torch.zeros(packed, 2, 3))
            self.bias = nn.Parameter(torch.zeros(packed + 1))
        for name, parameter in self.named_parameters():
            if parameter.is_floating_point():
                parameter.requires_grad_(name.startswith("lora_"))
        if kind == "names" or everything:
            self.lora_C = nn.Linear(packed, 4, bias=False).requires_grad_(False)
            self.adapter = nn.Linear(packed, 7)


def count(answer: Any, case: Case) -> Outcome:
    sizes = [case[name] for name in ("vocabulary", "width", "rank", "packed")]
    trainable, total = answer(_Model(*sizes, case["kind"]))
    return {"trainable": _whole(trainable), "all": _whole(total)}


def _whole(value: Any) -> Any:
    """A whole number of NumPy as one of Python."""
    return value.item() if type(value).__module__ == "numpy" and value.ndim == 0 else value


def scaling(answer: Any, case: Case) -> Outcome:
    factors = [
        answer(
            path,
            case["r"],
            case["lora_alpha"],
            dict(case["rank_pattern"]),
            dict(case["alpha_pattern"]),
            case["use_rslora"],
        )
        for path in case["paths"]
    ]
    return {"factors": torch.tensor([float(factor) for factor in factors], dtype=torch.float64)}


def names(answer: Any, case: Case) -> Outcome:
    """What the new names look like, and which tensor stands at which end of a layer."""
    tensors = {
        f"{path}.{letter}": case[letter][i]
        for i, path in enumerate(case["paths"])
        for letter in "AB"
    }
    outcome: Outcome = {}
    for where, adapter in (("file", None), ("model", case["adapter"])):
        given = dict(tensors)
        found = answer(given, adapter)
        if not isinstance(found, dict):
            outcome[f"{where}: tensors"] = found
            continue
        kept = sum(given.get(name) is tensor for name, tensor in tensors.items())
        outcome |= {f"{where}: tensors left to the caller": min(kept, len(tensors))}
        outcome |= {
            f"{where}: {what}": value for what, value in _looks(found, adapter, case).items()
        }
    return outcome


def _looks(found: dict[str, Tensor], adapter: str | None, case: Case) -> Outcome:
    """How many of the names have each property, and the tensors by what is in their names."""
    end = f".{adapter}.weight" if adapter else ".weight"
    starts = [f"base_model.model.{path}" for path in case["paths"]]
    tests = {
        "names that begin with base_model.": lambda name: name.startswith("base_model."),
        "names that begin with base_model.model.": lambda name: name.startswith(
            "base_model.model."
        ),
        "names with a third level before the path": lambda name: name.startswith(
            ("base_model.model.model.model.", "base_model.model.base_model.")
        ),
        "names that go on with the path of a layer": lambda name: any(
            name.startswith(f"{start}.") for start in starts
        ),
        "names with lora_A or lora_B": lambda name: ".lora_A" in name or ".lora_B" in name,
        "names that begin with model.": lambda name: name.startswith("model."),
        "names with None": lambda name: not adapter and ".None" in name,
        "names with default": lambda name: not adapter and ".default" in name,
        "names with the adapter's name": lambda name: (
            bool(adapter) and f".{adapter}." in f"{name}."
        ),
        "names that end in .weight": lambda name: name.endswith(".weight"),
        "names with all of the end": lambda name: name.endswith((f"_A{end}", f"_B{end}")),
        "names as PEFT writes them": lambda name: any(
            name == f"{start}.lora_{letter}{end}" for start in starts for letter in "AB"
        ),
    }
    looks: Outcome = {"tensors": len(found)}
    for what, test in tests.items():
        looks[what] = sum(bool(test(name)) for name in found if isinstance(name, str))
    for letter in "AB":
        named = [found[name] for name in sorted(found, key=str) if f"lora_{letter}" in str(name)]
        flat = [t.flatten() for t in named if isinstance(t, Tensor)]
        looks |= {
            f"rows of lora_{letter}": sum(t.shape[0] for t in named if isinstance(t, Tensor)),
            f"values of lora_{letter}": torch.cat(flat) if flat else torch.zeros(0),
        }
    return looks


def verify(answer: Any, case: Case) -> Outcome:
    model, file = (
        {name: t.clone() for name, t in case[part].items()} for part in ("model", "file")
    )
    missing, unexpected, misfits, dead = answer(model, file)
    return {"missing": missing, "unexpected": unexpected, "misfits": misfits, "dead": dead}


def combine(answer: Any, case: Case) -> Outcome:
    """The factors of each way; of svd, which leaves signs open, what does not depend on them."""
    count = len(case["scalings"])
    outcome: Outcome = {}
    for how in case["ways"]:
        adapters = [(case[f"A{i}"], case[f"B{i}"], case["scalings"][i]) for i in range(count)]
        A, B = answer(adapters, list(case["weights"]), how)
        if not (isinstance(A, Tensor) and isinstance(B, Tensor) and A.dim() == B.dim() == 2):
            outcome |= {f"{how}: A": A, f"{how}: B": B}
            continue
        fits = B.shape[1] == A.shape[0]
        outcome |= {f"{how}: rank": A.shape[0], f"{how}: columns of B": B.shape[1]}
        if how == "svd":
            product = B @ A if fits else torch.zeros(0, dtype=A.dtype)
            outcome |= {"svd: B @ A": product, "svd: A @ A.T": A @ A.T, "svd: B @ B.T": B @ B.T}
        else:
            outcome |= {f"{how}: A": A, f"{how}: B": B}
    return outcome


def tied(answer: Any, case: Case) -> Outcome:
    """Once on a model whose head shares the embedding's weight, once on one whose head does not."""
    outcome: Outcome = {}
    for state in ("tied", "not tied"):
        embedding = nn.Embedding.from_pretrained(case["embedding"].clone())
        vocabulary, width = case["embedding"].shape
        head = nn.Linear(width, vocabulary, bias=False, dtype=case["embedding"].dtype)
        shared = state == "tied"
        head.weight = embedding.weight if shared else nn.Parameter(case["head"].clone())
        delta = case["delta"].clone()
        answer(embedding, head, delta)
        outcome |= {
            f"{state}: head": head.weight,
            f"{state}: embedding": embedding.weight,
            f"{state}: delta": delta,
            f"{state}: weights that the two share": int(head.weight is embedding.weight),
            f"{state}: an nn.Parameter in the head": int(isinstance(head.weight, nn.Parameter)),
            f"{state}: biases of the head": int(head.bias is not None),
        }
    return outcome
