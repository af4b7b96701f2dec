"""The formulas as data: expressions of one small language, exact in every language with doubles."""

import ast
import json
import math
from fractions import Fraction

import pytest

from peftcourse.calculator import page
from peftlab.memory import PRESETS, Settings, blocks, estimate, formulas, read
from peftlab.memory.estimate import inputs, targeted
from peftlab.memory.table import evaluate

NODES = (
    ast.Expression, ast.BinOp, ast.Compare, ast.Call, ast.Name, ast.Load, ast.Constant,
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Lt, ast.Gt, ast.Eq, ast.GtE, ast.LtE,
)  # fmt: skip
OPERATIONS = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Lt: lambda a, b: a < b,
    ast.Gt: lambda a, b: a > b,
    ast.Eq: lambda a, b: a == b,
    ast.GtE: lambda a, b: a >= b,
    ast.LtE: lambda a, b: a <= b,
}
FUNCTIONS = {
    "min": min,
    "max": max,
    "ceil": lambda x: Fraction(math.ceil(x)),
    "floor": lambda x: Fraction(math.floor(x)),
    "where": lambda condition, then, otherwise: then if condition else otherwise,
}


def expressions(data):
    """Every expression in the exported table."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for value in data.values():
            yield from expressions(value)
    else:
        for value in data:
            yield from expressions(value)


def exported():
    data = page.data()
    return {"formulas": data["formulas"], "blocks": data["blocks"]}


def test_the_table_survives_json():
    assert json.loads(json.dumps(exported()["formulas"]["totals"])) == formulas.TOTALS


def test_expressions_mean_the_same_in_python_and_javascript():
    words = {"linears", *formulas.OPERATIONS, *blocks.BLOCKS}
    found = [text for text in expressions(exported()) if text not in words]
    assert len(found) > 300
    for text in found:
        for node in ast.walk(ast.parse(text, mode="eval")):
            assert isinstance(node, NODES), (text, node)
            if isinstance(node, ast.Compare):
                assert len(node.ops) == 1, text  # JavaScript does not chain comparisons


class Exact:
    """Evaluates expressions with fractions, and notes the largest number on the way."""

    def __init__(self, names, functions):
        self.names, self.functions, self.largest = names, functions, 0

    def value(self, text, **local):
        result = self._node(ast.parse(text, mode="eval").body, self.names | local)
        return result

    def _node(self, node, names):
        match node:
            case ast.Constant():
                result = Fraction(node.value)
            case ast.Name():
                result = Fraction(names[node.id])
            case ast.BinOp():
                operation = OPERATIONS[type(node.op)]
                result = operation(self._node(node.left, names), self._node(node.right, names))
            case ast.Compare():
                operation = OPERATIONS[type(node.ops[0])]
                left, right = node.left, node.comparators[0]
                result = Fraction(operation(self._node(left, names), self._node(right, names)))
            case ast.Call():
                arguments = [self._node(argument, names) for argument in node.args]
                if node.func.id in FUNCTIONS:
                    result = FUNCTIONS[node.func.id](*arguments)
                else:
                    parameters, text = self.functions[node.func.id]
                    local = dict(zip(parameters, arguments, strict=True))
                    result = self._node(ast.parse(text, mode="eval").body, names | local)
        self.largest = max(self.largest, abs(result))
        return Fraction(result)


@pytest.mark.parametrize("model", PRESETS)
@pytest.mark.parametrize(
    "settings",
    [
        Settings(method="full", optimizer="paged_adamw_8bit", batch_size=7, seq_len=501),
        Settings(method="full", precision="mixed", gradient_checkpointing=True, seq_len=333),
        Settings(method="qlora", rank=3, targets="all-linear", batch_size=64, seq_len=512),
        Settings(method="dora", optimizer="adamw_8bit", implementation="peftlab"),
        Settings(method="ia3", attention="eager", precision="fp32", seq_len=511),
    ],
    ids=lambda settings: settings.method,
)
def test_totals_and_moments_are_exact(model, settings):
    """What comes after the walks, once more with fractions: no digit is lost in doubles."""
    shape = read(model)
    table = evaluate(shape.family, inputs(shape, settings), targeted(shape, settings))
    numbers = {name: value for name, value in table.names.items() if isinstance(value, int | float)}
    data = exported()["formulas"]
    exact = Exact(numbers, data["functions"])
    for name, text in (*data["totals"].items(), *data["flops"].items()):
        assert exact.value(text) == numbers[name], name
    moments = {
        moment: sum(exact.value(text) for text in parts.values())
        + sum(exact.value(n) for n in ("weights", "constants", "adapters", "optimizer_states"))
        + exact.value("workspaces")
        for moment, parts in data["moments"].items()
    }
    assert moments == estimate(model, settings).moments  # whole bytes: nothing was cut off
    assert all(float(value).is_integer() for value in numbers.values())
    sizes = {name: value for name, value in numbers.items() if not name.startswith("flops")}
    assert max(*sizes.values(), exact.value("fixed")) < 2**53
