"""Evaluates the formulas. ``export`` gives them as data, for a page that does it in JavaScript.

The order:

1. ``SIZES``, from the inputs.
2. Through a block, operation by operation: its fields; ``LINEAR`` for each of its linear layers;
   the operation's formulas. Where what is kept by then and what is alive beside it are most, the
   block's memory is highest.
3. ``PARAMETERS`` and ``ADAPTER_TENSORS`` for each tensor, summed.
4. ``TOTALS``, ``FLOPS``, and ``MOMENTS``, of which the highest is the peak.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import CodeType
from typing import Any

from peftlab.memory import blocks, formulas

# What is alive at a moment, in the order in which it is shown.
COMPONENTS = (
    "weights", "quantization_constants", "adapters", "gradients", "optimizer_states",
    "activations", "logits_and_loss", "temporary",
)  # fmt: skip
# Those that do not change during a step, and the totals that they are.
FIXED = {
    "weights": "weights", "quantization_constants": "constants", "adapters": "adapters",
    "optimizer_states": "optimizer_states",
}  # fmt: skip
SUMMED = (
    "parameters", "weights", "constants", "adapters", "trained", "file_bytes", "gradients",
    "block_gradients", "optimizer_states", "paged",
)  # fmt: skip


def where(condition: float, then: float, otherwise: float) -> float:
    """``then`` unless the condition is 0."""
    return then if condition else otherwise


_BUILT_IN = {"min": min, "max": max, "ceil": math.ceil, "floor": math.floor, "where": where}


@cache
def _compiled(expression: str) -> CodeType:
    return compile(expression, expression, "eval")


class Table:
    """Names and their values; what is added may use what is there."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = {"__builtins__": {}, **_BUILT_IN, **names}
        for name, (parameters, expression) in formulas.FUNCTIONS.items():
            self.names[name] = self._function(parameters, expression)

    def inside(self, **names: float) -> Table:
        """A table that knows these names too."""
        return Table(self.names | names)

    def value(self, expression: str) -> float:
        """The value of an expression."""
        return eval(_compiled(expression), self.names)

    def _function(self, parameters: tuple[str, ...], expression: str) -> Callable[..., float]:
        def call(*arguments: float) -> float:
            local = dict(zip(parameters, arguments, strict=True))
            return eval(_compiled(expression), self.names, local)

        return call

    def add(self, expressions: Mapping[str, str]) -> Table:
        """Evaluate formulas in their order."""
        for name, expression in expressions.items():
            self.names[name] = self.value(expression)
        return self


def evaluate(family: str, inputs: Mapping[str, float], targets: frozenset[str]) -> Table:
    """Everything that the formulas say before the moments.

    Args:
        family: a key of ``blocks.BLOCKS``.
        inputs: the numbers of the architecture and of the settings.
        targets: names of the linear layers that LoRA adapts.
    """
    table = Table(inputs).add(formulas.SIZES)
    _walk_through_a_block(table, blocks.BLOCKS[family], targets)
    _add_up_tensors(table, family, targets)
    return table.add(formulas.TOTALS).add(formulas.FLOPS)


def moments(table: Table) -> dict[str, dict[str, int]]:
    """What is alive at each moment of a step, by component, in bytes."""
    fixed = {component: table.names[total] for component, total in FIXED.items()}
    found = {}
    for moment, expressions in formulas.MOMENTS.items():
        alive = fixed | {name: table.value(text) for name, text in expressions.items()}
        alive["temporary"] += table.names["workspaces"]
        found[moment] = {component: int(alive[component]) for component in COMPONENTS}
    return found


def _walk_through_a_block(
    table: Table, operations: list[dict[str, Any]], targets: frozenset[str]
) -> None:
    """Add what a block keeps, and where its memory is highest."""
    kept = kept_first = weights = 0
    # The embeddings of a frozen model need no gradient, so that the first block keeps nothing
    # before something trains.
    needed = table.value("max(full, prompt, checkpointing)")
    highest = {"forward": (0, 0), "backward": (0, 0)}
    for operation in operations:
        here = table.inside().add(operation["fields"])
        rows = [
            here.inside(targeted=int(name in targets)).add(layer).add(formulas.LINEAR).names
            for name, layer in operation["layers"].items()
        ]
        for name in ("d_out", *formulas.LINEAR) if rows else ():
            here.names["sum_" + name] = sum(row[name] for row in rows)
            here.names["max_" + name] = max(row[name] for row in rows)
        names = here.add(formulas.OPERATIONS[operation["operation"]]).names
        needed = max(needed, names["trains"])
        kept += names["saved"]
        kept_first += names["saved"] if needed else 0
        weights += names.get("sum_weight", 0)
        for direction in highest:
            highest[direction] = max(highest[direction], (kept, names[direction]), key=sum)
    table.names |= {
        "block_saved": kept,
        "first_block_saved": kept_first,
        "block_weights": weights,
        "forward_saved": highest["forward"][0],
        "forward_rest": highest["forward"][1],
        "backward_saved": highest["backward"][0],
        "backward_rest": highest["backward"][1],
    }


def linear_layers(family: str) -> Iterator[tuple[str, dict[str, str]]]:
    """(name, expressions) of every kind of linear layer but the output head."""
    for operation in blocks.BLOCKS[family]:
        for name, layer in operation["layers"].items():
            yield name, layer | {"copies": "layers", "in_block": "1"}
    for name, layer in blocks.OUTSIDE[family].items():
        yield name, layer | {"copies": "1", "in_block": "0"}


def _add_up_tensors(table: Table, family: str, targets: frozenset[str]) -> None:
    """Add the sums over all parameters of the model and all tensors of the adapter."""
    totals = dict.fromkeys(SUMMED, 0)

    def tensors(where_: Table, recipe: dict[str, str], **fields: str) -> None:
        row = where_.inside().add(fields).add(recipe).names
        for name in totals.keys() & recipe.keys():
            totals[name] += row[name]

    for name, layer in linear_layers(family):
        here = table.inside(targeted=int(name in targets)).add(layer)
        for recipe in formulas.PARAMETERS_OF_LINEAR.values():
            tensors(here, formulas.PARAMETERS, **recipe)
        for copies, numbers in formulas.ADAPTERS_OF_LINEAR.values():
            tensors(here, formulas.ADAPTER_TENSORS, copies=copies, numbers=numbers)
    for numbers, copies, is_bias in blocks.OTHER[family].values():
        plain = {"numbers": numbers, "in_linear": "0", "packable": "0", "in_block": "0"}
        tensors(table, formulas.PARAMETERS, copies=copies, **plain)
        offsets = f"bitfit * {is_bias} * ({copies})"
        tensors(table, formulas.ADAPTER_TENSORS, copies=offsets, numbers=numbers)
    for copies, numbers in formulas.ADAPTERS_OF_MODEL.values():
        tensors(table, formulas.ADAPTER_TENSORS, copies=copies, numbers=numbers)
    table.names |= totals
