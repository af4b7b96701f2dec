"""Where in a model a method goes: modules by name, blocks, and the sublayers of a block."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from peftlab.errors import PeftlabError
from peftlab.layers import innermost, is_linear, linear_features
from peftlab.targets import matches, named_layers

# The module whose output is what attention, or the feed-forward network, adds to the residual
# stream; full names of modules in the families that transformers has, the common ones first.
AFTER_ATTENTION = (
    r".*\.self_attn",  # Llama, Mistral, Qwen, OPT
    r".*\.attn",  # GPT-2
    r".*\.attention\.output\.dense",  # BERT: its `output` adds the residual itself
)
AFTER_FEED_FORWARD = (
    r".*\.mlp",  # Llama, Mistral, Qwen, GPT-2
    r".*\.fc2",  # OPT: its feed-forward network is no module of its own
    r".*\.\d+\.output\.dense",  # BERT
)


def match_modules(
    model: nn.Module,
    targets: str | Sequence[str],
    fits: Callable[[nn.Module], bool] = lambda module: True,
    kind: str = "module",
) -> dict[str, nn.Module]:
    """The modules that ``targets`` means, by name, in the model's order.

    Args:
        model: any model.
        targets: one pattern or several, each a name, the end of one, or a regular expression for
            the whole name.
        fits: which modules may be meant.
        kind: what to call such a module in a message.

    Raises:
        PeftlabError: a pattern means no such module.
    """
    patterns = [targets] if isinstance(targets, str) else list(targets)
    modules = {path: m for path, m in named_layers(model) if path and fits(innermost(m))}
    for pattern in patterns:
        if not any(matches(path, pattern) for path in modules):
            endings = sorted({path.rsplit(".", 1)[-1] for path in modules})
            known = ", ".join(name for name in endings if not name.isdigit())
            raise PeftlabError(
                f"target {pattern!r} matches no {kind} of {type(model).__name__}; "
                f"names end in: {known or 'none'}."
            )
    return {
        path: module
        for path, module in modules.items()
        if any(matches(path, pattern) for pattern in patterns)
    }


def sublayers(model: nn.Module, places: Sequence[str]) -> dict[str, nn.Module]:
    """The modules at the first of these places that the model has.

    Raises:
        PeftlabError: it has none of them.
    """
    paths = [path for path, _ in named_layers(model)]
    for place in places:
        if any(matches(path, place) for path in paths):
            return match_modules(model, place)
    raise PeftlabError(
        f"{type(model).__name__} names the parts of its blocks in a way that peftlab does not "
        "know; name the modules to adapt with targets=."
    )


# The end of the name of a feed-forward network's last layer, and that of its first.
_ENDS = {".fc2": ".fc1", ".output.dense": ".intermediate.dense"}


def entrance(path: str) -> str:
    """The name of the module that a feed-forward network begins with, from that of the module in
    ``AFTER_FEED_FORWARD``; the same name where one module is the whole network."""
    for last, first in _ENDS.items():
        if path.endswith(last):
            return path.removesuffix(last) + first
    return path


def blocks(model: nn.Module) -> list[str]:
    """Names of the model's blocks (a block is attention and feed-forward network), in order.

    Raises:
        PeftlabError: the model has no list of blocks.
    """
    lists = [(path, m) for path, m in named_layers(model) if path and isinstance(m, nn.ModuleList)]
    if not lists:
        raise PeftlabError(f"{type(model).__name__} has no list of blocks; name a module instead.")
    path, found = lists[0]  # lists inside the blocks, such as one of experts, come later
    return [f"{path}.{index}" for index in range(len(found))]


def features(model: nn.Module, module: nn.Module) -> tuple[int, int]:
    """(d_in, d_out) of a linear layer, or twice the hidden size for a sublayer of a block.

    Raises:
        PeftlabError: neither is known.
    """
    module = innermost(module)
    if is_linear(module):
        return linear_features(module)
    config = getattr(model, "config", None)
    if config is None:
        raise PeftlabError(
            f"{type(module).__name__} is not a linear layer and {type(model).__name__} has no "
            "config that tells its hidden size; choose linear layers as targets."
        )
    size = config.get_text_config().hidden_size
    return size, size
