"""``apply``, and what transformers' own verbs do on a model that is adapted.

Those verbs know nothing of wrappers: left alone, ``model.save_pretrained`` would write names that
no model has. So an adapted model answers some of them in its own way, until its last adapter goes.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from peftlab.errors import PeftlabError
from peftlab.inject import VERBS, adapter_layers, attach, build
from peftlab.layers import AdapterLayer, Method, unwrapped
from peftlab.saving import save, write


def apply(
    model: nn.Module,
    method: Method,
    *,
    name: str = "default",
    also_train: str | Sequence[str] = (),
    bias: str = "none",
    train_head: bool = True,
) -> nn.Module:
    """Add an adapter to the model, in place, and make its parameters the only ones that train.

    Every other parameter is frozen, those of adapters applied earlier included (``switch`` makes
    one of them train again). All wrappers are built before the first module is replaced, so a
    call that fails leaves the model as it was.

    Args:
        model: the model to adapt; it is changed in place.
        method: the configuration of a method, for example ``LoRAConfig(rank=8)``.
        name: what to call this adapter.
        also_train: modules to train in full beside the adapter, such as a new classification head
            (``"classifier"``): names, ends of names, or regular expressions. The adapter holds
            copies of their parameters, and the method adapts nothing inside them. Tied weights
            stay tied. This is PEFT's ``modules_to_save``.
        bias: which biases to train, as copies too: ``"none"``, ``"targets"`` (those of the adapted
            layers, PEFT's ``bias="lora_only"``) or ``"all"``.
        train_head: whether the head of a classifier (and the like: see ``targets.task_heads``)
            trains in full too, which one that was drawn at random has to. ``False`` for a head
            that is trained already.

    Returns:
        The same model, for chaining.

    Raises:
        PeftlabError: the name is taken, or a target matches no layer.
    """
    wrappers = build(model, method, name, also_train=also_train, bias=bias, train_head=train_head)
    return put_in(model, wrappers, trainable=True)


# --- transformers' verbs -------------------------------------------------------------------------


def put_in(
    model: nn.Module, wrappers: Sequence[tuple[str, AdapterLayer]], trainable: bool
) -> nn.Module:
    """Put a new adapter into the model, whose other parameters are frozen, and let the model
    answer transformers' verbs in its own way; one that has no such verbs stays as it is."""
    model.requires_grad_(False)
    for _, wrapper in wrappers:
        for parameter in wrapper.adapter_parameters().values():
            parameter.requires_grad_(trainable)
    attach(model, wrappers)
    plain = unwrapped(model)
    vars(plain).update({name: Verb(plain, name) for name in VERBS if hasattr(plain, name)})
    if getattr(plain, "is_quantized", False):
        # transformers' own sign of adapters, without which its Trainer refuses a 4-bit model.
        plain._hf_peft_config_loaded = True
    return model


class Verb:
    """A method of one model, in place of that of its class.

    It holds the model weakly, so that a model that is let go of leaves memory at once. A copy of
    the model gets verbs of its own.
    """

    def __init__(self, model: nn.Module, name: str) -> None:
        self.model, self.name = weakref.ref(model), name

    def __call__(self, *args: Any, **options: Any) -> Any:
        model = self.model()
        if self.name == "save_pretrained":
            return _save_pretrained(model, *args, **options)
        if instead := VERBS[self.name]:
            raise PeftlabError(f"model.{self.name} is for adapters of PEFT; use peftlab.{instead}.")
        embeddings = (model.get_input_embeddings(), model.get_output_embeddings())
        if any(isinstance(layer, AdapterLayer) for layer in embeddings):
            raise PeftlabError(
                f"model.{self.name} would put new embeddings in place of adapted ones; call it "
                "before peftlab.apply, or after peftlab.remove."
            )
        return getattr(type(model), self.name)(model, *args, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        return Verb, (self.model(), self.name)


def _save_pretrained(
    model: nn.Module, folder: str | Path, is_main_process: bool = True, *_: Any, **options: Any
) -> None:
    """Write the adapter that is on, as ``save`` does, so that ``from_pretrained`` of this folder
    loads the base model and has PEFT add the adapter.

    ``transformers.Trainer`` writes its checkpoints in this way. What it resumes from is beside:
    the adapter's parameters by the names that they have in the adapted model.
    """
    on = sorted({layer.adapter for _, layer in adapter_layers(model) if layer.enabled})
    if len(on) != 1:
        raise PeftlabError(
            f"save_pretrained writes one adapter, and {', '.join(on) or 'none'} of them is on; use "
            "peftlab.save for each, or peftlab.merge(model, keep_base=False) for the whole model."
        )
    if options.get("push_to_hub"):
        raise PeftlabError("push an adapted model with model.push_to_hub(repo_id).")
    if is_main_process:
        own: dict[str, Tensor] = {}
        for path, layer in model.named_modules():
            if isinstance(layer, AdapterLayer):
                state = layer.state_dict(prefix=f"{path}.").items()
                own |= {key: value for key, value in state if not key.startswith(f"{path}.base.")}
        write(own, save(model, folder, on[0]) / "model.safetensors")
