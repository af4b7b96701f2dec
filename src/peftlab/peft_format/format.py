"""What has to be known of a method to write its adapters into PEFT's files and to read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from peftlab.layers import AdapterLayer, Method, is_conv1d, unwrapped
from peftlab.targets import compact_targets, language_head

# The settings of an adapter in `adapter_config.json`.
Fields = dict[str, Any]


@dataclass(frozen=True)
class Format:
    """How one method's adapters stand in a file.

    Attributes:
        config: the method's configuration.
        peft_type: PEFT's name of the method.
        names: our names of the parameters, and those in the file.
        write: (method, model, its layers by name) → the fields that describe its settings.
        read: (fields, model, names of the layers that the file adapts) → the method.
        tensors: what a file holds of a layer, by our names: its parameters, or what is computed
            from them for good.
        off: options that change what is computed, with the value that means "off"; a file that
            sets another is refused.
        prefix: what stands before each name: ``base_model.model.<module>.<parameter>``.
        whole_model: whether the tensors belong to the model as a whole, so that no module's name
            stands before theirs.
    """

    config: type
    peft_type: str
    names: Mapping[str, str]
    write: Callable[[Any, nn.Module, dict[str, AdapterLayer]], Fields]
    read: Callable[[Fields, nn.Module, list[str]], Method]
    tensors: Callable[[AdapterLayer], Mapping[str, Tensor]] = AdapterLayer.adapter_parameters
    off: Mapping[str, Any] = field(default_factory=dict)
    prefix: str = "base_model.model."
    whole_model: bool = False


# PEFT's names for what a model is for, by the ends of transformers' names of classes.
_TASKS = {
    "ForSequenceClassification": "SEQ_CLS", "ForTokenClassification": "TOKEN_CLS",
    "ForQuestionAnswering": "QUESTION_ANS",
}  # fmt: skip


def task_type(model: nn.Module) -> str | None:
    """PEFT's name for what the model's head does; None if it has none for it.

    PEFT hands a model of a named task the arguments of that task, so that one that reads sound or
    images has to go without a name.
    """
    model = unwrapped(model)
    if getattr(model, "main_input_name", "") != "input_ids":
        return None
    # Also of a class that was derived from transformers' and has a name of its own.
    for name in (cls.__name__ for cls in type(model).__mro__):
        for end, task in _TASKS.items():
            if name.endswith(end):
                return task
    if language_head(model) is None:
        return None
    if model.config.is_encoder_decoder:
        return "SEQ_2_SEQ_LM"
    return "CAUSAL_LM" if model.can_generate() else None


def linear_fields(model: nn.Module, layers: Mapping[str, AdapterLayer]) -> Fields:
    """PEFT's fields for which linear layers are adapted, and whether they are ``Conv1D``."""
    targets = compact_targets(model, list(layers))
    return {
        "target_modules": targets if isinstance(targets, str) else list(targets),
        "fan_in_fan_out": any(is_conv1d(layer.innermost) for layer in layers.values()),
    }
