"""Lesson 07, choosing the biases: reference solution and typical wrong answers."""

from __future__ import annotations

from torch import nn

from peftcourse.exercises.compare import agree
from peftcourse.exercises.core import Symptom, slip
from peftcourse.exercises.observe import Case, Outcome


def biases(model: nn.Module) -> int:
    count = 0
    for name, parameter in model.named_parameters():
        chosen = name.rsplit(".", 1)[-1] == "bias"
        parameter.requires_grad_(chosen)
        if chosen:
            count += parameter.numel()
    return count


_CHOSEN = 'name.rsplit(".", 1)[-1] == "bias"'
_SET = "parameter.requires_grad_(chosen)"
_COUNTED = "if chosen:\n"
_LAST_PART = "Compare the last part of the name: name.rsplit('.', 1)[-1] == 'bias'"


def _biases(id: str, old: str, new: str, diagnosis: str, action: str, *more: tuple[str, str]):
    return slip(biases, id, old, new, diagnosis, action, *more)


# Those that are often made together come first: pairs are tried in this order.
BIASES = (
    _biases(
        "bias-anywhere",
        _CHOSEN,
        '"bias" in name',
        "a table of relative positions trains too: its name has “bias” in it, but it is a matrix",
        _LAST_PART,
    ),
    _biases(
        "only-switched-on",
        _SET,
        "parameter.requires_grad_(chosen or parameter.requires_grad)",
        "the biases train, and everything else is left as it was: it is not frozen",
        "Set requires_grad of each parameter, to False too: parameter.requires_grad_(...)",
    ),
    _biases(
        "ends-in-bias",
        _CHOSEN,
        'name.endswith("bias")',
        "the matrix position_bias trains too: its name ends in “bias”, but its last part is more",
        _LAST_PART,
    ),
    _biases(
        "only-frozen",
        _SET,
        "parameter.requires_grad_(chosen and parameter.requires_grad)",
        "the rest is frozen, and a bias that was frozen before stays so: nothing switches it on",
        "Set requires_grad of each parameter, to True too: parameter.requires_grad_(...)",
    ),
    _biases(
        "tensors-counted",
        "parameter.numel()",
        "1",
        "the right parameters train; what is counted is tensors, not the numbers in them",
        "Add up parameter.numel()",
    ),
    _biases(
        "with-a-dot",
        _CHOSEN,
        'name.endswith(".bias")',
        "a bias of the model itself stays frozen: its name is “bias”, without a dot",
        _LAST_PART,
    ),
    _biases(
        "all-vectors",
        _CHOSEN,
        "parameter.dim() == 1",
        "all vectors train, gains of norms and scales too: they are no biases",
        "Go by the name, not by the number of dimensions",
    ),
    _biases(
        "norms-too",
        _CHOSEN,
        'name.rsplit(".", 1)[-1] == "bias" or "norm" in name',
        "the whole norms train; of a norm only the bias should, not its weight",
        "Take the bias of a norm, and leave its weight frozen",
    ),
    _biases(
        "no-norms",
        _CHOSEN,
        'name.rsplit(".", 1)[-1] == "bias" and "norm" not in name',
        "the biases of the norms stay frozen; BitFit trains every bias",
        "Do not leave out the norms",
    ),
    _biases(
        "rest-not-frozen",
        _SET,
        "parameter.requires_grad_(True)",
        "the count is right, but everything trains: nothing is frozen",
        "Set requires_grad of each parameter, to False too: parameter.requires_grad_(...)",
    ),
    _biases(
        "exchanged",
        _SET,
        "parameter.requires_grad_(not chosen)",
        "it is the other way round: the biases are frozen, and the rest trains",
        "requires_grad is True for what trains",
    ),
    _biases(
        "model-as-it-was",
        _SET,
        "pass",
        "every requires_grad of the model is as it was before the call: nothing was assigned to "
        "its own parameters. A copy of the model, or == in place of =, changes nothing",
        "Call parameter.requires_grad_(...) on each parameter of the model itself",
    ),
    _biases(
        "all-frozen",
        _SET,
        "parameter.requires_grad_(False)",
        "everything is frozen, the biases too",
        "parameter.requires_grad_(True) for the biases",
    ),
    _biases(
        "first-axis-counted",
        "parameter.numel()",
        "len(parameter)",
        "the length of the first axis is counted; a bias of two has more numbers",
        "Add up parameter.numel()",
    ),
    _biases(
        "all-counted",
        _COUNTED,
        "if True:\n",
        "all parameters are counted, those that are frozen too",
        "Count the biases only",
    ),
    _biases(
        "rest-counted",
        _COUNTED,
        "if not chosen:\n",
        "what is counted are the frozen parameters, not those that train",
        "Count the biases only",
    ),
    _biases(
        "counted-before",
        _SET,
        "trained = parameter.requires_grad; parameter.requires_grad_(chosen)",
        "what is counted are the biases that trained before already, not all that train now",
        "Set requires_grad first, and count afterwards",
        (_COUNTED, "if chosen and trained:\n"),
    ),
    _biases(
        "trained-before-counted",
        _SET,
        "trained = parameter.requires_grad; parameter.requires_grad_(chosen)",
        "what is counted are all parameters that trained before, not those that train now",
        "Set requires_grad first, and count afterwards",
        (_COUNTED, "if trained:\n"),
    ),
)


def _trained(observed: Outcome, group: str) -> list[int]:
    return observed[f"{group}, 1 for each that trains"].tolist()


def _top_alone(case: Case, expected: Outcome, observed: Outcome) -> bool:
    """Whether no bias below the first level of modules trains."""
    names = [name for group in case["groups"] if group != _OTHERS for name in case["groups"][group]]
    flags = [f for group in case["groups"] if group != _OTHERS for f in _trained(observed, group)]
    return not any(flag for name, flag in zip(names, flags, strict=True) if name.count(".") > 1)


def _as_it_was(group: str):
    def holds(case: Case, expected: Outcome, observed: Outcome) -> bool:
        before = [int(name not in case["frozen"]) for name in case["groups"][group]]
        return _trained(observed, group) == before

    return holds


_OTHERS = "parameters that are no biases"
_LINEARS, _NORMS, _OWN = "biases of linear layers", "biases of norms", "the model's own bias"
_ELSE = "a bias of a module of another kind"


def _flags(group: str) -> str:
    return f"{group}, 1 for each that trains"


def _right(group: str):
    return lambda case, expected, observed: agree(expected[_flags(group)], observed[_flags(group)])


BIASES_SYMPTOMS = (
    Symptom(
        "values of the parameters",
        "the parameters have other values than before: they are to be chosen, not changed",
        "Set requires_grad, and leave the numbers as they are",
        decides=True,
    ),
    Symptom(
        _flags(_LINEARS),
        "biases of modules deeper inside do not train: the modules at the top alone are looked at",
        "model.named_parameters() goes through all modules, with names such as layers.0.norm.bias",
        _top_alone,
        decides=True,
    ),
    Symptom(
        _flags(_NORMS),
        "the biases of linear layers train, those of norms and other modules do not: BitFit trains "
        "every bias",
        "Go by the name, not by the kind of the module",
        _right(_LINEARS),
        decides=True,
    ),
    Symptom(
        _flags(_ELSE),
        "a bias of a module that is neither a linear layer nor a norm does not train: BitFit "
        "trains every bias",
        "Go by the name, not by the kind of the module",
        _right(_LINEARS),
        decides=True,
    ),
    Symptom(
        _flags(_OWN),
        "a bias of the model itself does not train: its name is “bias”, without a dot",
        _LAST_PART,
        _right(_LINEARS),
        decides=True,
    ),
    Symptom(
        _flags(_OTHERS),
        "what is no bias is as it was before: it is not frozen",
        "Set requires_grad of each parameter, to False too: parameter.requires_grad_(...)",
        _as_it_was(_OTHERS),
        decides=True,
    ),
    Symptom(
        _flags(_OTHERS),
        "something trains that is no bias: the last part of its name is not “bias”",
        _LAST_PART,
        decides=True,
    ),
    Symptom(
        "result",
        "the right parameters train, but their numbers are counted wrongly",
        "Add up parameter.numel() of what trains now",
        lambda case, expected, observed: all(
            _right(group)(case, expected, observed) for group in case["groups"]
        ),
    ),
)
