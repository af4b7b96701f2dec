"""What the formulas say is kept for the backward pass, against what autograd keeps.

Small random models run on the CPU; hooks see every tensor that autograd saves. Nothing of a GPU is
needed for this: which tensors a model keeps is decided by its code and by PyTorch's derivatives.
"""

from dataclasses import replace

import peft
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoConfig, AutoModelForCausalLM

from peftlab.memory import Settings, estimate, read
from peftlab.memory.estimate import inputs, targeted
from peftlab.memory.table import evaluate

LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 6,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 128,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}
QWEN3 = LLAMA | {"model_type": "qwen3", "num_key_value_heads": 2, "head_dim": 32}
METHODS = {
    "full": None,
    "lora": peft.LoraConfig(r=8, target_modules=["q_proj", "v_proj"]),
    "all-linear": peft.LoraConfig(r=8, target_modules="all-linear"),
    "ia3": peft.IA3Config(task_type="CAUSAL_LM"),
    "prompt": peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=20),
}


def kept(model, tokens):
    """Bytes of all tensors that autograd saves in a forward pass, parameters left out."""
    ours = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers())}
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in ours:
            storages[storage.data_ptr()] = storage  # held, so that no address comes up twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(input_ids=tokens, labels=tokens, use_cache=False)
    return sum(storage.nbytes() for storage in storages.values())


def grouped_heads_are_fused() -> bool:
    """Whether attention with grouped heads keeps no (n, n) matrix on the CPU, as on a GPU.

    It does so in torch 2.13 and does not in 2.7.
    """
    queries, keys = torch.zeros(1, 2, 64, 8, requires_grad=True), torch.zeros(1, 1, 64, 8)
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, id):
        F.scaled_dot_product_attention(queries, keys, keys, is_causal=True, enable_gqa=True)
    return max(sizes) < 64 * 64


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("fields", [LLAMA, QWEN3], ids=lambda fields: fields["model_type"])
def test_activations_are_those_that_autograd_keeps(name, precision, fields):
    if precision == "fp32" and fields is QWEN3:
        fields = QWEN3 | {"num_key_value_heads": 4}  # grouped heads take another path on a GPU
    elif fields is QWEN3 and not grouped_heads_are_fused():
        pytest.skip("this torch keeps the attention matrix of grouped heads on the CPU")
    fields = dict(fields)
    config = AutoConfig.for_model(fields.pop("model_type"), **fields)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    if METHODS[name] is not None:
        model = peft.get_peft_model(model, METHODS[name])
    batch, length = 2, 96
    found = kept(model.train(), torch.randint(0, 128, (batch, length)))

    settings = Settings(
        method="lora" if name == "all-linear" else name,
        targets="all-linear" if name == "all-linear" else None,
        precision=precision,
        batch_size=batch,
        seq_len=length,
    )
    shape = read(config)
    names = evaluate(shape.family, inputs(shape, settings), targeted(shape, settings)).names
    expected = names["saved"] + names["logits"] * names["loss_bytes"]
    # Left out: positions, labels, scales of single rows.
    assert found == pytest.approx(expected, rel=0.03)


def test_checkpointing_keeps_the_blocks_inputs():
    settings = Settings(method="lora", gradient_checkpointing=True, batch_size=4, seq_len=128)
    shape = read(LLAMA)
    names = evaluate(shape.family, inputs(shape, settings), targeted(shape, settings)).names
    assert names["blocks_saved"] == 6 * 4 * 128 * 64 * 2
    deeper = replace(shape, layers=9)
    names = evaluate(deeper.family, inputs(deeper, settings), targeted(deeper, settings)).names
    assert names["blocks_saved"] == 9 * 4 * 128 * 64 * 2


def test_our_lora_keeps_the_input_in_16_bit_where_peft_keeps_it_in_32():
    theirs = estimate("llama-2-7b", Settings())
    ours = estimate("llama-2-7b", Settings(implementation="peftlab"))
    saved = theirs.components["activations"] - ours.components["activations"]
    # Two bytes for each of 512 tokens and 4096 features, in two layers of each of 32 blocks.
    assert saved == pytest.approx(2 * 512 * 4096 * 2 * 32, rel=0.03)
