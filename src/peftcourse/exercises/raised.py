"""What to say of an exception: the cause in the learner's words, and what to do."""

from __future__ import annotations

import re
from typing import Any

# (pattern on "Type: message", cause, action); the groups of the pattern go into both.
_KNOWN = (
    (
        r"mat1 and mat2 shapes cannot be multiplied \((\d+)x\1 and (\d+)x\2\)",
        "a product of two square matrices of different sizes, {0} and {1}: one of them has to be "
        "cut (torch.linalg.svd, for one, gives such ones unless full_matrices=False)",
        "Print both shapes just above that line, and cut the larger one to what is needed of it",
    ),
    (
        r"mat1 and mat2 shapes cannot be multiplied \((.+?) and (.+?)\)",
        "a product of shapes {0} and {1}: the inner sizes differ, so the factors are in the wrong "
        "order, or one lacks a transpose",
        "Turn the product round, or transpose one of the two (.T)",
    ),
    (
        r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\) at .*?(\d+)$",
        "two shapes do not go together: size {0} meets size {1} in dimension {2}; one is "
        "transposed, or lacks an axis to be broadcast along",
        "Print both shapes just above that line; `None` or `keepdim=True` adds an axis of size 1",
    ),
    (
        r"shape '\[-1, (\d+)\]' is invalid for input of size (\d+)",
        "{1} is no multiple of {0}: the last part is shorter, and `view` takes whole ones only",
        "Let the last part be shorter (`.split`), or fill it up and drop what was added",
    ),
    (
        r"torch\.return_types\.(\w+)",
        "`{0}` with a dim gives a pair, values and indices, which is used here as if it were a "
        "tensor",
        "Take `.values` or `.indices`, or unpack the pair",
    ),
    (
        r"indexing tensors could not be broadcast together with shapes (.+)",
        "index tensors of shapes {0} do not go together: one has a fixed or another axis's length",
        "Make each with the size that the input has",
    ),
    (
        r"Expected target size \[(.+?)\], got \[(.+?)\]",
        "the classes of cross_entropy are on axis 1: with these inputs it takes labels of shape "
        "({0}), and gets ({1})",
        "Flatten to (N, classes) and (N,), or move the classes to axis 1",
    ),
    (
        r"Target (-?\d+) is out of bounds",
        "a label of {0} is taken for a class: what is to be ignored needs `ignore_index`, and any "
        "other label is below the number of classes",
        "Look at the labels: which are to be ignored, and is the axis of the classes the right one",
    ),
    (
        r"Expected target size \[(.+?)\], got \[(.+?)\]",
        "cross_entropy takes dimension 1 for the classes and wants targets of shape ({0}), not "
        "({1}): the classes are in another dimension",
        "Flatten to (N, classes) and (N), or move the axis of the classes to dimension 1",
    ),
    (
        r"shape '(.+?)' is invalid for input of size (\d+)",
        "{1} numbers do not fill the shape {0}",
        "Print the shape just above that line: a size was taken from the wrong axis",
    ),
    (
        r"inconsistent tensor size, expected tensor \[(.+?)\] and src \[(.+?)\]",
        "sizes {0} and {1} do not go together",
        "Print both shapes just above that line",
    ),
    (
        r"einsum\(\): (.+)",
        "the letters of einsum do not fit the shapes: {0}",
        "Give each axis one letter, and the same letter to axes of the same size",
    ),
    (
        r"(?:expected .*dtype|same dtype|expected scalar type).*?(\w+) (?:but|and|!=).*?(\w+)",
        "two dtypes meet that do not mix: {0} and {1}; a tensor was made without `dtype=`",
        "Make new tensors with the dtype of the inputs: `dtype=x.dtype`, or `torch.zeros_like(x)`",
    ),
    (
        r"needed for gradient computation has been modified by an inplace",
        "an in-place change (`+=`, `mul_`, `x[...] =`) of a tensor that the gradient needs",
        "Work on a new tensor: `x = x + …` in place of `x += …`",
    ),
    (
        r"cannot assign .*Tensor' as parameter '(\w+)'",
        "a plain tensor is assigned to `{0}`, which is a Parameter",
        "Wrap it in `nn.Parameter`, or write into the parameter under `torch.no_grad()`",
    ),
    (
        r"before Module.__init__\(\) call",
        "`super().__init__()` is missing: an nn.Module has to be set up before it gets parts",
        "Call `super().__init__()` in the first line of `__init__`",
    ),
    (
        r"missing the required \"forward\" function",
        "a module is called that has no `forward`",
        "Give the class a method `forward`, not indented below another one",
    ),
    (
        r"a leaf Variable that requires grad",
        "an in-place change of a parameter that trains, without no_grad",
        "Change its values under `with torch.no_grad():`, or work on a new tensor",
    ),
    (
        r"does not require grad and does not have a grad_fn",
        "the result has no gradient: detached (`.detach()`, `.data`), made anew, or computed where "
        "no graph is built (`no_grad`, or inside `backward` without `torch.enable_grad()`)",
        "Compute it from the inputs with tensor operations alone",
    ),
    (
        r"Can't call numpy\(\) on Tensor that requires grad",
        "`.numpy()` on a tensor that has a gradient",
        "Stay with tensors, or call `.detach()` first where no gradient is needed",
    ),
    (
        r"Boolean value of Tensor with more than one value is ambiguous",
        "`if`, `and`, `or`, `not` or `max` on a tensor of several values, where one True or False "
        "is needed",
        "Use `torch.where`, `&`, `torch.maximum`, or reduce with `.any()` or `.all()` first",
    ),
    (
        r"dictionary changed size during iteration|OrderedDict mutated during iteration",
        "what the loop walks over is changed inside the loop",
        "Walk over a copy: `for … in list(…):`",
    ),
    (
        r"ZeroDivisionError|division by zero",
        "a division by zero: some case makes the denominator zero",
        "Say what the result is there before you divide, as the docstring does",
    ),
    (
        r"missing (\d+) required .*argument",
        "it takes more arguments than the exercise gives: {0} of them get no value",
        "Take the arguments that the lab's first line of this function has",
    ),
    (
        r"takes (.+?) positional arguments? but (\d+) (?:was|were) given",
        "it takes {0} arguments, and {1} are given",
        "Take the arguments that the lab's first line of this function has",
    ),
    (
        r"unexpected keyword argument '(\w+)'",
        "nothing there is called `{0}`",
        "Look the name of that argument up",
    ),
    (
        r"shape of the mask \[(.+?)\] at index",
        "an index in uint8 (or bool) is read as a mask of True and False, not as places",
        "Turn whole numbers into places by `.long()`",
    ),
    (
        r"invalid gradient at index (\d+) - got (\[.*?\]) but expected shape .*?(\[.*?\])",
        "the gradient that backward returns in place {0} has shape {1}, and that argument of "
        "forward has shape {2}",
        "Give each gradient the shape of its argument",
    ),
    (
        r"incorrect number of gradients \(expected (\d+), got (\d+)\)",
        "backward returns {1} gradients where forward takes {0} arguments: one for each, None "
        "where there is none",
        "Return {0} values from backward, in the order of forward's arguments",
    ),
    (
        r"gradient different than None at position (\d+)",
        "backward returns a gradient in place {0}, but that argument of forward is no tensor: they "
        "come in the order of forward's arguments, None where there is no gradient",
        "Put each gradient in the place of its argument, and None in the others",
    ),
    (
        r"unsupported operand .*'(?:builtin_function_or_)?(?:method|function)'",
        "a method stands in a computation without being called: its parentheses () are missing",
        "Put () behind its name",
    ),
    (
        r"unsupported operand .*'torch.Size'",
        "arithmetic with a torch.Size, which is a tuple of all sizes: `x.shape[0]` is one of them",
        "Take one size, with `x.shape[0]`, `len(x)` or `x.numel()`",
    ),
    (
        r"mean\(\): could not infer output dtype",
        "the mean of integers: torch averages floating-point numbers only",
        "Convert first, with `.float()` or `.double()`",
    ),
    (
        r"cannot assign '(.+?)' as child module '(\w+)'",
        "what is set as `{1}` is no module but {0}: a function that was not called, or a class "
        "that was not made",
        "Call it, so that a module is there to be set",
    ),
    (
        r"unsupported operand .*'NoneType'",
        "None stands in a computation: in some case an input is None, or a function without "
        "`return` gave it",
        "Ask `is None` first, and compute with the value only where there is one",
    ),
    (
        r"'(tuple|list)' object has no attribute '(\w+)'",
        "a {0} has no `{1}`; it holds several values, or one: unpack it, as in `(one,) = …`",
        "Take the value out of the {0} first",
    ),
    (
        r"'NoneType' object",
        "something is None where a value is needed: a function without `return`, or one that works "
        "in place, gave it",
        "Print the values just above that line; operations like `list.sort()` return None",
    ),
    (
        r"(min|max)\(\) (?:arg is an empty sequence|iterable argument is empty)",
        "{0}() of nothing: no entry has passed the conditions above it",
        "Print what is left just above that line, and look at each condition",
    ),
    (
        r"'(\w+)' object is not callable",
        "a {0} is called like a function: parentheses too many, or a name used twice",
        "Look at the parentheses in that line",
    ),
    (
        r"cannot unpack non-iterable (\w+) object",
        "one {0} is returned where several results are asked for: they cannot be unpacked",
        "Return all results that the docstring lists, separated by commas",
    ),
    (
        r"too many values to unpack \(expected (\d+)",
        "more than {0} results are unpacked into {0}: too many, or not a tuple of {0}; one tensor "
        "or list counts as its rows",
        "Return exactly {0} results, separated by a comma, as the docstring lists them",
    ),
    (
        r"not enough values to unpack \(expected (\d+), got (\d+)\)",
        "{1} results, where {0} are asked for",
        "Return exactly {0} results, separated by commas, as the docstring lists them",
    ),
    (
        r"'(\w+)' object is not iterable",
        "one {0} where a list or a tuple of several is needed",
        "Look at what that line, or the caller of your function, walks over",
    ),
    (
        r"must match except in dimension (\d+)\. Expected size (\d+) but got size (\d+)",
        "tensors joined along dimension {0} differ in another one, with sizes {1} and {2}: the "
        "wrong dim, or one that was not expanded over the batch",
        "Print all shapes just above that line; only the size of the joined dimension may differ",
    ),
    (
        r"same number of dimensions: got (\d+) and (\d+)",
        "tensors of {0} and of {1} dimensions are joined: one lacks an axis, such as the batch",
        "Add the axis with `unsqueeze` or `expand` before you join them",
    ),
    (
        r"expanded size of the tensor \((\d+)\) must match the existing size \((\d+)\)",
        "a tensor of size {1} cannot be spread over size {0}: the sizes or the axes are wrong",
        "Print both shapes just above that line; `None` or `unsqueeze` adds an axis of size 1",
    ),
    (
        r"batch2 tensor to be: \[(.+?)\] but got: \[(.+?)\]",
        "a batched product needs a second factor of {0} and gets {1}: the inner sizes differ, so "
        "a transpose is missing, or the batches do",
        "Transpose the last two axes of one factor: .transpose(-1, -2)",
    ),
    (
        r"stack expects each tensor to be equal size, but got \[(.*?)\] .* and \[(.*?)\]",
        "tensors of different shapes, ({0}) and ({1}), cannot be stacked",
        "Join them with torch.cat, or give them one shape first",
    ),
    (
        r"tuple indices must be integers or slices, not tuple",
        "an index like [:, None] on a tuple: `.max(dim)`, `.min(dim)` and `.sort()` give values "
        "and places together",
        "Take `.values` of it, or use `.amax(dim)`",
    ),
    (
        r"view size is not compatible",
        "`view` cannot read numbers that permute, transpose or expand has moved",
        "Use `reshape`, and see that the order of the axes is the one that you mean",
    ),
    (
        r"backward through the graph a second time",
        "backward() goes through the same graph twice: an earlier loss is still part of this one",
        "Call backward() on each loss once, and add up numbers (`.item()`), not tensors",
    ),
    (
        r"Only Tensors of floating point and complex dtype can require gradients",
        "whole numbers cannot train: a parameter or a gradient needs floating-point values",
        "Look at what the tensor holds: ids, or the embeddings that belong to them?",
    ),
    (
        r"must be (\w+), not (\w+)",
        "something of type {1} where {0} is needed",
        "Convert it first, in the way that the docstring says: rounded down is `int(…)`",
    ),
    (
        r"elements? cannot be converted to Scalar|one element tensors can be converted",
        "one number is taken from a tensor of several: a sum, a mean or an index is missing",
        "Print the shape just above that line, and reduce the tensor to one number first",
    ),
    (
        r"'\w+' object is not an iterator",
        "a `return` (or the function's end) where a context manager needs a `yield`",
        "Put `yield` where the block runs, and what follows it behind",
    ),
    (
        r"'generator' object does not support the context manager protocol",
        "a generator is used in `with`: the decorator `@contextlib.contextmanager` is missing",
        "Put `@contextlib.contextmanager` above the `def`",
    ),
    (
        r"generator didn't (?:stop|yield)",
        "a context manager yields exactly once: here `yield` is reached twice, or not at all",
        "Let every way through the function pass one `yield`",
    ),
    (
        r"'(\w+)' object is not subscriptable",
        "[…] on a {0}, which has no entries: a call written with square brackets?",
        "Look at the brackets in that line",
    ),
    (
        r"index (-?\d+) is out of bounds for dimension (\d+) with size (\d+)",
        "an index out of range: {0}, where dimension {1} has size {2}; is the index, or the length "
        "of the loop, one of another axis?",
        "Print the shape just above that line; the last index is the size minus 1",
    ),
    (
        r"IndexError.*?(?:index (-?\d+) is out of bounds|out of range)",
        "an index beyond the end",
        "Print the length just above that line; the last index is the length minus 1",
    ),
    (
        r"RecursionError",
        "an endless recursion: the function calls itself again and again",
        "Give the case in which it returns without calling itself",
    ),
)


def explain(error: dict[str, Any]) -> tuple[str, str] | None:
    """The cause and the action for an error as ``observe.describe_error`` describes it.

    Returns:
        None if nothing is known about this kind of error.
    """
    message = error["message"]
    if error["type"] == "NameError":
        missing = _quoted(message)
        return (
            f"`{missing}` is not defined: {_or_nearest(error, 'a name that was never set')}",
            f"Set `{missing}` first, or write the name that you mean",
        )
    if error["type"] == "UnboundLocalError":
        missing = _quoted(message)
        return (
            f"`{missing}` is used before it has a value",
            f"Give `{missing}` a value on every way to that line",
        )
    on_value = re.match(r"'(NoneType|tuple|list)' object", message)
    if error["type"] == "AttributeError" and not (on_value and not error.get("nearest")):
        if "Generator' object" in message:
            return (
                "a generator stands where another argument belongs: given by position, and not by "
                "its keyword",
                "Name the argument: generator=…",
            )
        missing = _quoted(message)
        if message.startswith("'dict'") and not error.get("nearest"):
            return (
                f"a dictionary has entries, not attributes: brackets read them, [“{missing}”]",
                "Write the name in quotes and brackets in place of the dot",
            )
        return (
            f"nothing is called `{missing}` there: {_or_nearest(error, 'a misspelt name')}",
            "Look the name up, or print dir(…) of the object",
        )
    if error["type"] == "KeyError":
        return (
            f"there is no entry {message}: {_or_nearest(error, 'print the keys above that line')}",
            "Use a key that is there, or ask with `in` first",
        )
    text = f"{error['type']}: {message}"
    for pattern, cause, action in _KNOWN:
        if found := re.search(pattern, text):
            groups = [group or "" for group in found.groups()]
            return cause.format(*groups), action.format(*groups)
    return None


def _quoted(message: str) -> str:
    """The last name in quotes: ``'list' object has no attribute 'appendd'`` is about the second."""
    names = re.findall(r"'([^']*)'", message)
    return names[-1] if names else message


def _or_nearest(error: dict[str, Any], otherwise: str) -> str:
    nearest = error.get("nearest")
    return f"did you mean `{nearest}`?" if nearest else otherwise
