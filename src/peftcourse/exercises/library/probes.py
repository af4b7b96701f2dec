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
    """Which layers are chosen, as ones in a row, and how many names come back."""
    chosen = list(answer(case["targets"], list(case["linear"]), case["head"]))
    return {
        "layers, 1 if chosen": torch.tensor([chosen.count(name) for name in case["linear"]]),
        "names in the result": len(chosen),
    }


class _Model(nn.Module):
    """An embedding whose weight the head shares, an adapter, a packed layer and a buffer."""

    def __init__(self, vocabulary: int, width: int, rank: int, packed: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.head = nn.Linear(width, vocabulary)
        self.head.weight = self.embedding.weight
        self.lora_A = nn.Linear(width, rank, bias=False)
        self.lora_B = nn.Linear(rank, width, bias=False)
        codes = torch.zeros(packed, 1, dtype=torch.uint8)
        self.packed = nn.Parameter(codes, requires_grad=False)
        self.register_buffer("positions", torch.arange(vocabulary + packed))
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith("lora_"))


def count(answer: Any, case: Case) -> Outcome:
    model = _Model(case["vocabulary"], case["width"], case["rank"], case["packed"])
    trainable, total = answer(model)
    return {"trainable": trainable, "all": total}


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
    adapter = case["adapter"]
    tensors = {
        f"{path}.{letter}": case[letter][i]
        for i, path in enumerate(case["paths"])
        for letter in "AB"
    }
    outcome: Outcome = {}
    for where, given in (("file", None), ("model", adapter)):
        found = answer(dict(tensors), given)
        written = _peft(case["paths"], given)
        outcome |= {
            f"{where}: tensors": len(found),
            f"{where}: names that begin with base_model.model.": _count(
                found, lambda name: name.startswith("base_model.model.")
            ),
            f"{where}: names that end in .weight": _count(
                found, lambda name: name.endswith(".weight")
            ),
            f"{where}: names with the adapter's name": _count(
                found, lambda name: f".{adapter}." in f"{name}."
            ),
            f"{where}: names with the path of a layer": _count(
                found, lambda name: any(f".{path}." in name for path in case["paths"])
            ),
            f"{where}: names as PEFT writes them": len(written & set(found)),
            f"{where}: rows of lora_A": _sizes(found, "lora_A"),
            f"{where}: rows of lora_B": _sizes(found, "lora_B"),
        }
    return outcome


def _peft(paths: list[str], adapter: str | None) -> set[str]:
    """The names in PEFT's model or file; the documentation says them too."""
    middle = "" if adapter is None else f".{adapter}"
    return {
        f"base_model.model.{path}.lora_{letter}{middle}.weight" for path in paths for letter in "AB"
    }


def _count(found: dict[str, Tensor], condition: Any) -> int:
    return sum(bool(condition(name)) for name in found)


def _sizes(found: dict[str, Tensor], part: str) -> int:
    return sum(len(tensor) for name, tensor in found.items() if part in name)


def verify(answer: Any, case: Case) -> Outcome:
    model, file = _model_and_file(case)
    missing, unexpected, misfits, dead = answer(model, file)
    return {"missing": missing, "unexpected": unexpected, "misfits": misfits, "dead": dead}


def _model_and_file(case: Case) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A model's tensors, frozen ones among them, and a file that differs in every way."""
    A, B = case["A"], case["B"]
    paths = [f"base_model.model.layers.{i}.q_proj" for i in range(len(A))]
    model, file = {}, {}
    for path, one, other in zip(paths, A, B, strict=True):
        model[f"{path}.base_layer.weight"] = other @ one
        model[f"{path}.lora_A.weight"] = one / 2
        model[f"{path}.lora_B.weight"] = torch.zeros_like(other)
        file[f"{path}.lora_A.weight"] = one.clone()
        file[f"{path}.lora_B.weight"] = other.clone()
    for path in paths[: case["absent"]]:
        del file[f"{path}.lora_A.weight"]
    for path in paths[: case["extra"]]:
        file[path.replace("q_proj", "k_proj") + ".lora_A.weight"] = A[0]
    for path in paths[case["absent"] : case["absent"] + case["misfit"]]:
        name = f"{path}.lora_A.weight"
        file[name] = torch.cat([file[name], file[name][:1]])
    for path in paths[len(paths) - case["zero"] :]:
        file[f"{path}.lora_B.weight"].zero_()
    # Neither a row of zeros nor a sum of zero makes an adapter that does nothing.
    for path in (paths[0], paths[2]):
        file[f"{path}.lora_B.weight"][0] = 0
    other = file[f"{paths[1]}.lora_B.weight"]
    file[f"{paths[1]}.lora_B.weight"] = torch.cat([other[:-1], -other[:-1].sum(0, keepdim=True)])
    return model, file


def combine(answer: Any, case: Case) -> Outcome:
    """The products for each way, and the ranks."""
    adapters = [
        (case["A0"], case["B0"], case["scalings"][0]),
        (case["A1"], case["B1"], case["scalings"][1]),
    ]
    outcome: Outcome = {}
    for how in case["ways"]:
        A, B = answer(list(adapters), list(case["weights"]), how)
        outcome |= {f"{how}: B @ A": B @ A, f"{how}: rank of the new adapter": len(A)}
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
        answer(embedding, head, case["delta"].clone())
        outcome |= {
            f"{state}: head": head.weight,
            f"{state}: embedding": embedding.weight,
            f"{state}: weights that the two share": int(head.weight is embedding.weight),
            f"{state}: an nn.Parameter in the head": int(isinstance(head.weight, nn.Parameter)),
        }
    return outcome
