"""Which modules of a model a method adapts: modules by name, and targets that mean some of them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

from torch import nn

from peftlab.errors import PeftlabError
from peftlab.layers import innermost, is_linear, unwrapped

ALL_LINEAR = "all-linear"


def named_layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Every module under the name it had before any adapter was applied.

    Like ``list(model.named_modules())``, but it passes through wrappers without naming them, so
    that names stay those of the plain model: ``layers.0.q_proj``, not ``layers.0.q_proj.base``, nor
    ``_orig_mod.layers.0.q_proj`` once the model is compiled. A wrapped module stands in the list as
    its outermost wrapper.

    The result is a list, a snapshot: replacing modules while iterating over a generator would
    visit the new wrappers too, and wrap their insides for ever.
    """
    found: list[tuple[str, nn.Module]] = []
    seen: set[int] = set()
    # A list of what is still to visit, and no recursive inner function: that would be a reference
    # cycle, which keeps replaced layers in memory until the garbage collector runs.
    waiting = [("", model)]
    while waiting:
        path, module = waiting.pop()
        if id(module) in seen:  # a layer that several places share is one layer
            continue
        seen.add(id(module))
        found.append((path, module))
        children = innermost(module).named_children()
        waiting += [(f"{path}.{name}" if path else name, child) for name, child in children][::-1]
    return found


def matches(path: str, pattern: str) -> bool:
    """Whether a layer's name is meant by a target: equal, a dotted suffix, or a full regex match.

    ``q_proj`` means ``layers.0.attn.q_proj`` but not ``layers.0.attn.my_q_proj``: a suffix starts
    at a dot. Substrings never match, so ``proj`` does not silently adapt every projection.
    """
    if path == pattern or path.endswith("." + pattern):
        return True
    try:
        return re.fullmatch(pattern, path) is not None
    except re.error:
        return False


def match_targets(model: nn.Module, targets: str | Sequence[str]) -> list[str]:
    """Names of the linear layers that ``targets`` means, in the model's order.

    Args:
        model: any model; layers that already carry an adapter can be matched again.
        targets: ``"all-linear"`` (every linear layer but those of the output head), or one pattern
            or several: a layer's name or the end of it (``"q_proj"``, ``"mlp.up_proj"``), or a
            regular expression for the whole name (``r".*\\.[0-3]\\..*_proj"``).

    Raises:
        PeftlabError: a pattern matches no linear layer; the message lists what could match.
    """
    layers = named_layers(model)
    # A bare layer has no parent to put a wrapper into, so the root (path "") is never a target.
    linear = [path for path, module in layers if path and is_linear(innermost(module))]
    if targets == ALL_LINEAR:
        heads = output_heads(model)
        chosen = [path for path in linear if not within(path, heads)]
        if not chosen:
            raise PeftlabError(f"{type(unwrapped(model)).__name__} has no linear layer to adapt.")
        return chosen

    patterns = [targets] if isinstance(targets, str) else list(targets)
    for pattern in patterns:
        if any(matches(path, pattern) for path in linear):
            continue
        reason = _no_linear_layer(layers, pattern)
        known = ", ".join(sorted({path.rsplit(".", 1)[-1] for path in linear}))
        raise PeftlabError(
            f"target {pattern!r} {reason}; linear layers end in: {known or 'none'} "
            f'(or use "{ALL_LINEAR}").'
        )
    return [path for path in linear if any(matches(path, pattern) for pattern in patterns)]


def linear_targets(model: nn.Module, targets: str | Sequence[str]) -> dict[str, nn.Module]:
    """The linear layers that ``targets`` means, by name; see ``match_targets``.

    Warns if ``"all-linear"`` passes over weights in which much of the model is.
    """
    layers = dict(named_layers(model))
    if targets == ALL_LINEAR:
        _warn_of_others(model, list(layers.items()))
    return {path: layers[path] for path in match_targets(model, targets)}


def _no_linear_layer(layers: Sequence[tuple[str, nn.Module]], pattern: str) -> str:
    """What a target that means no linear layer means instead, as the end of a sentence."""
    for path, module in layers:
        if path and matches(path, pattern):
            return f"matches {type(innermost(module)).__name__}, which is not a linear layer"
    for place, weight in _other_weights(layers):
        # `experts.3.down_proj` in a file of old, `experts.down_proj` in the model.
        if matches(place, re.sub(r"\.\d+(?=\.\w+$)", "", pattern)):
            return f"matches {_described(place, weight)}, which is no linear layer"
    return "matches no layer of the model"


def _other_weights(layers: Sequence[tuple[str, nn.Module]]) -> list[tuple[str, nn.Parameter]]:
    """The matrices, by name, that are in no linear layer, embedding or convolution."""
    usual = (nn.Embedding, nn.modules.conv._ConvNd)
    return [
        (f"{path}.{name}", weight)
        for path, module in layers
        if not is_linear(innermost(module)) and not isinstance(innermost(module), usual)
        for name, weight in innermost(module)._parameters.items()
        if weight is not None and weight.ndim > 1 and len(weight) > 1
    ]


def _described(place: str, weight: nn.Parameter) -> str:
    fused = f", in which {len(weight)} experts are fused" if weight.ndim == 3 else ""
    return f"the parameter {place} of shape {tuple(weight.shape)}{fused}"


def _warn_of_others(model: nn.Module, layers: Sequence[tuple[str, nn.Module]]) -> None:
    """Say what ``"all-linear"`` does not reach, where that is more than a trifle."""
    others = _other_weights(layers)
    share = sum(w.numel() for _, w in others) / max(1, sum(p.numel() for p in model.parameters()))
    if share > 0.05:
        largest = max(others, key=lambda other: other[1].numel())
        warnings.warn(
            f'"{ALL_LINEAR}" passes over {share:.0%} of {type(model).__name__}, which is in no '
            f"linear layer: {_described(*largest)}. It is neither adapted nor quantized.",
            stacklevel=2,
        )


# --- the output head -----------------------------------------------------------------------------

# Models without a language head that are pretrained with all that stands above their backbone.
_USUAL_HEADS = {"classifier", "score", "qa_outputs", "classification_head"}
_PRETRAINED = re.compile(r"Pre[tT]raining$|ForMasked")


def output_heads(model: nn.Module) -> list[str]:
    """Names of the modules that turn hidden states into the model's answer.

    A language model has one, whose weight is often the embedding's; else see ``task_heads``.
    """
    head = language_head(model)
    if head is None:
        return task_heads(model)
    return [path for path, module in named_layers(model) if innermost(module) is head]


def task_heads(model: nn.Module) -> list[str]:
    """Names of what classifies, tags or finds answers above a backbone: ``score``, ``classifier``.

    Such a head is new when a task begins: drawn at random, so that it has to be trained, and saved
    with the adapter. The head of a language model is pretrained, and none of these.
    """
    model = unwrapped(model)
    backbone = getattr(model, "base_model_prefix", None)
    children = {
        name: child
        for name, child in model.named_children()
        if next(child.parameters(), None) is not None
    }
    pretrained = language_head(model) is not None or _PRETRAINED.search(type(model).__name__)
    if pretrained or backbone is None:
        return []
    # CLIP's classifier stands beside a part of CLIP, whose name is not that of the whole.
    known = _USUAL_HEADS if backbone not in children else set(children) - {backbone}
    return [name for name in children if name in known]


def language_head(model: nn.Module) -> nn.Module | None:
    """The layer that turns hidden states into logits of tokens; None if the model has none."""
    model = unwrapped(model)
    get = getattr(model, "get_output_embeddings", None)
    head = None if get is None else get()
    # What reads sound and is no generator has a new head for every alphabet (CTC).
    reads_tokens = getattr(model, "main_input_name", "input_ids") == "input_ids"
    return innermost(head) if head is not None and (reads_tokens or model.can_generate()) else None


# --- targets for a file --------------------------------------------------------------------------


def compact_targets(model: nn.Module, paths: Sequence[str]) -> str | tuple[str, ...]:
    """The shortest description of these layers that means no other module, here and in PEFT.

    ``layers.0.q_proj, layers.1.q_proj`` becomes ``q_proj``; if only some of the ``q_proj`` layers
    are meant, or other modules have that name (``0``), their full names stay. If one of those
    is also the end of another's, the description is a regular expression.
    """
    known, wanted = [path for path, _ in named_layers(model)], set(paths)

    def meant(names: Sequence[str]) -> set[str]:
        return {path for path in known if any(matches(path, name) for name in names)}

    # PEFT takes a name that means a module of another kind for a mistake, so all kinds count.
    ends = {path: path.rsplit(".", 1)[-1] for path in paths}
    short = {end for end in ends.values() if meant([end]) <= wanted}
    names = tuple(sorted({end if end in short else path for path, end in ends.items()}))
    return names if meant(names) == wanted else "|".join(map(re.escape, sorted(paths)))


def exactly(path: str) -> str:
    """A pattern that means the module of this name, and none whose name ends like it."""
    return f"(?:{re.escape(path)})"


def within(path: str, modules: Sequence[str]) -> bool:
    """Whether a module is one of these or inside one."""
    return any(path == module or path.startswith(module + ".") for module in modules)
