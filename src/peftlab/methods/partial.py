"""Partial fine-tuning: train some of the model's own parameters, such as its last block.

A baseline for every parameter-efficient method: Houlsby et al. 2019 (arXiv 1902.00751) compare
adapters with fine-tuning only the top layers.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from peftlab.copies import copy_wrappers
from peftlab.errors import PeftlabError
from peftlab.layers import AdapterLayer, innermost
from peftlab.methods import checks
from peftlab.methods.places import blocks, match_modules
from peftlab.targets import named_layers, output_heads

LAST_BLOCK = "last-block"
HEAD = "head"


@dataclass(frozen=True)
class PartialConfig:
    """Which parts of a model to train in full.

    What trains are copies, which take the originals' place while the adapter is on: the base
    stays as it was, and the verbs of every other method work here too. A copy of a head whose
    weight is tied to the embedding is not tied to it.

    Attributes:
        targets: one or several of ``"head"`` (what turns hidden states into logits),
            ``"last-block"``, and names of modules, ends of names, or regular expressions; all the
            weights and biases inside a module train.

    Raises:
        PeftlabError: no target is named.
    """

    targets: str | tuple[str, ...] = HEAD

    def __post_init__(self) -> None:
        targets = checks.patterns("targets", self.targets, f'name a module, or use "{HEAD}"')
        object.__setattr__(self, "targets", targets)

    def wrappers(self, model: nn.Module, adapter: str) -> dict[str, AdapterLayer]:
        """A copy of the parameters of each module that trains."""
        targets = [self.targets] if isinstance(self.targets, str) else self.targets
        roots = [path for target in targets for path in _modules(model, target)]
        chosen = [
            (path, name, parameter)
            for path, module in named_layers(model)
            if any(path == root or path.startswith(root + ".") for root in roots)
            for name, parameter in innermost(module)._parameters.items()
            if parameter is not None
        ]
        if not chosen:
            raise PeftlabError(f"{', '.join(roots)} has no parameters to train.")
        return copy_wrappers(model, chosen, self, adapter, tie=False)


def _modules(model: nn.Module, target: str) -> list[str]:
    """Names of the modules that one target means."""
    if target == LAST_BLOCK:
        return [blocks(model)[-1]]
    if target == HEAD:
        heads = output_heads(model)
        if not heads:
            raise PeftlabError(f"{type(model).__name__} has no head; name the module that trains.")
        return heads
    return list(match_modules(model, target))
