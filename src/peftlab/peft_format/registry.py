"""The formats of all methods: which one an adapter is written in, and which one a file is in."""

from __future__ import annotations

from typing import Any

from peftlab.errors import PeftlabError
from peftlab.peft_format.adalora import ADALORA
from peftlab.peft_format.format import Fields, Format
from peftlab.peft_format.ia3 import IA3
from peftlab.peft_format.lora import DORA, LORA, PISSA, PISSA_DORA
from peftlab.peft_format.own import BITFIT, BOTTLENECK, FUSION, PARTIAL, SUBSPACE
from peftlab.peft_format.virtual import PREFIX, PROMPT

# DoRA and PiSSA are filed under LoRA's name.
_BY_TYPE = {
    form.peft_type: form
    for form in (
        *(LORA, ADALORA, IA3, PREFIX, PROMPT),
        *(BOTTLENECK, FUSION, BITFIT, PARTIAL, SUBSPACE),
    )
}
_BY_CONFIG = {form.config: form for form in (*_BY_TYPE.values(), DORA, PISSA, PISSA_DORA)}

# Fields that are read, and those that do not change what the file's tensors compute: where they
# come from, which layers were chosen (the tensors' names tell), where training started, how it ran.
_KNOWN = frozenset(
    """adapters alpha_pattern auto_mapping base_model_name_or_path beta1 beta2 bias biases
    corda_config deltaT dimension encoder_hidden_size ensure_weight_tying eva_config exclude_modules
    fan_in_fan_out feedforward_modules inference_mode init_ia3_weights init_lora_weights init_r
    init_weights layers_pattern layers_to_transform loftq_config lora_alpha lora_dropout
    lora_ga_config megatron_config megatron_core modules_to_save num_attention_heads num_layers
    num_virtual_tokens orth_reg_weight peft_type peft_version prefix_projection prompt_tuning_init
    prompt_tuning_init_text qalora_group_size r rank_pattern revision runtime_config seed size
    activation scaling style target_modules target_r targets task_type tfinal tinit token_dim
    tokenizer_kwargs tokenizer_name_or_path total_step use_dora use_rslora""".split()
)


def format_of(method: Any) -> Format:
    """How adapters of this method are written.

    Raises:
        PeftlabError: its adapters cannot be saved.
    """
    form = _BY_CONFIG.get(type(method))
    if form is None:
        raise PeftlabError(
            f"adapters of {type(method).__name__} cannot be saved: peftlab.peft_format has no "
            "format for it."
        )
    return form


def format_in(fields: Fields, file: Any) -> Format:
    """The format of the adapter that ``adapter_config.json`` describes.

    Args:
        fields: what it says.
        file: where it is, for messages.

    Raises:
        PeftlabError: the method is unknown, or the file uses an option that is not supported.
    """
    kind = fields["peft_type"]
    form = _BY_TYPE.get(kind)
    if form is None:
        raise PeftlabError(
            f"{file} describes a {kind} adapter; peftlab reads {', '.join(_BY_TYPE)}."
        )
    form = DORA if form is LORA and fields.get("use_dora") else form
    for option, off in form.off.items():
        if fields.get(option, off) not in (off, None):
            raise PeftlabError(
                f"{file} sets {option}={fields[option]!r}, which peftlab does not support; "
                "load it with Hugging Face PEFT instead."
            )
    for option in fields.keys() - _KNOWN - form.off.keys():
        if fields[option]:
            raise PeftlabError(
                f"{file} sets {option}={fields[option]!r}, which peftlab does not know; if it "
                "changes what is computed, load it with Hugging Face PEFT, else delete it there."
            )
    return form
