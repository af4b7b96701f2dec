"""Virtual tokens on every layout of attention: exactly as without padding, cache or checkpoints."""

import pytest
import torch
import transformers as tf
from small_models import checkpoint_activations, relative_error
from soft import LEFT_PADDED, generate

import peftlab
from peftcourse.parity.models import randomise_adapter, token_ids
from peftlab import PeftlabError
from peftlab.methods.prefix import PrefixConfig
from peftlab.methods.prompt import PromptConfig

GQA = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
OLD = {"vocab_size": 61, "n_embd": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}
BLOOM = {**OLD, "hidden_size": 32, "hidden_dropout": 0.0, "attention_dropout": 0.0}
del BLOOM["n_embd"]
BIGCODE = {**OLD, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "n_positions": 64}
MLA = {
    **GQA,
    **{"num_key_value_heads": 4, "moe_intermediate_size": 16, "n_routed_experts": 4},
    **{"num_experts_per_tok": 2, "first_k_dense_replace": 2, "n_group": 1, "topk_group": 1},
    **{"kv_lora_rank": 8, "q_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4},
    **{"v_head_dim": 12, "n_shared_experts": 1},
}
STATE = {"vocab_size": 61, "hidden_size": 32, "state_size": 4, "num_hidden_layers": 2}
STATE |= {"initializer_range": 0.3, "pad_token_id": 0}
LINEAR = {
    **GQA,
    **{"num_hidden_layers": 4, "head_dim": 8, "linear_num_key_heads": 2},
    **{"linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8},
    **{"moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "num_experts": 4},
    "num_experts_per_tok": 2,
}
FALCON = {"vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
NEO = {"vocab_size": 61, "hidden_size": 32, "num_layers": 2, "num_heads": 4}
NEO |= {"attention_types": [[["global", "local"], 1]], "window_size": 5}
NEO |= {"max_position_embeddings": 64, "initializer_range": 0.3}

# The class, its configuration, and why it cannot have a prefix, if it cannot.
NO_CACHE = "one self-attention with a cache in each of its"
MODELS = {
    "window": ("Mistral", {**GQA, "sliding_window": 6}, None),
    "window shorter than the prefix": ("Mistral", {**GQA, "sliding_window": 3}, None),
    "local": ("GPTNeo", NEO, None),
    "multi-query": ("GPTBigCode", BIGCODE, None),
    "multi-query, rotary": ("Falcon", FALCON, None),
    "grouped, stored in full": (
        "Falcon",
        {**FALCON, "num_kv_heads": 2, "new_decoder_architecture": True},
        None,
    ),
    "alibi": ("Bloom", BLOOM, None),
    "alibi, mpt": ("Mpt", {"vocab_size": 61, "d_model": 32, "n_layers": 2, "n_heads": 4}, None),
    "latent": ("DeepseekV3", MLA, r"different shapes, \[\(1, 4\), \(1, 8\)\] \(heads, size\)"),
    "state space": ("Mamba", STATE, NO_CACHE),
    "linear": ("Qwen3Next", LINEAR, NO_CACHE),
}


def build(name):
    family, options, _ = MODELS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        cls = getattr(tf, f"{family}ForCausalLM")
        model = cls(getattr(tf, f"{family}Config")(**options)).eval()
    # Their products and masks know no float64.
    return model if name in ("linear", "alibi", "alibi, mpt") else model.double()


def adapted(name, method):
    model = peftlab.apply(build(name), method)
    randomise_adapter(model, scale=1.0)
    return model


CASES = [
    pytest.param(name, method, id=f"{name}-{type(method).__name__}")
    for name, (_, _, reason) in MODELS.items()
    for method in (PromptConfig(4), PrefixConfig(4))
    if reason is None or isinstance(method, PromptConfig)
]


@pytest.mark.parametrize(("name", "method"), CASES)
def test_a_row_generates_the_same_in_a_padded_batch_alone_and_without_a_cache(name, method):
    model, ids = adapted(name, method), token_ids()
    together, _ = generate(model, ids, LEFT_PADDED, 7)
    row = ids[1:, 3:]
    alone, _ = generate(model, row, torch.ones_like(row), 7)
    assert torch.equal(together[1, 9:], alone[0, 6:])
    if name != "linear":  # chunks of its recurrence round differently, which greedy choice shows
        recomputed, _ = generate(model, row, torch.ones_like(row), 7, use_cache=False)
        assert torch.equal(recomputed, alone)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_gradient_checkpointing_changes_neither_loss_nor_gradient(name, method):
    model, ids = adapted(name, method).train(), token_ids()
    found = []
    for _ in range(2):
        loss = model(ids, labels=ids).loss
        loss.backward()
        gradients = [p.grad.flatten() for p in model.parameters() if p.requires_grad]
        found.append((loss.detach(), torch.cat(gradients)))
        model.zero_grad()
        checkpoint_activations(model)
    (loss, gradient), (again, recomputed) = found
    assert gradient.norm() > 0
    assert relative_error(again, loss) < 1e-6  # GPT-Neo computes its attention in float32
    assert relative_error(recomputed, gradient) < 1e-6


@pytest.mark.parametrize("name", [name for name, case in MODELS.items() if case[2]])
def test_a_prefix_without_a_place_is_refused_with_the_reason(name):
    model = build(name)
    if name == "latent":
        cache = model(token_ids(), use_cache=True).past_key_values
        if cache.layers[0].keys.shape[1] > 1:
            pytest.skip("this transformers keeps each head's keys, which a prefix can join")
    with pytest.raises(PeftlabError, match=MODELS[name][2]):
        peftlab.apply(model, PrefixConfig(4))


def test_a_memory_that_cannot_note_virtual_tokens_is_refused():
    config = tf.RwkvConfig(vocab_size=61, hidden_size=32, num_hidden_layers=2, context_length=64)
    with pytest.raises(PeftlabError, match="has a memory of earlier tokens that cannot tell"):
        peftlab.apply(tf.RwkvForCausalLM(config), PromptConfig(4))


def test_a_prompt_on_a_state_space_model_is_saved_and_loaded(tmp_path):
    model, ids = adapted("state space", PromptConfig(4)), token_ids()
    peftlab.save(model, tmp_path)
    assert torch.equal(peftlab.load(build("state space"), tmp_path)(ids).logits, model(ids).logits)


@pytest.mark.parametrize("method", [PromptConfig(4), PrefixConfig(4)])
def test_a_continued_cache_is_exact_or_refused(method):
    model, ids = adapted("window", method), token_ids(shape=(2, 14))
    mask = torch.cat([LEFT_PADDED, torch.ones(2, 5, dtype=torch.long)], dim=1)
    whole = model(ids, attention_mask=mask).logits[:, 9:]
    first = model(ids[:, :9], attention_mask=LEFT_PADDED, use_cache=True)
    cache = first.past_key_values
    rest = model(ids[:, 9:], attention_mask=mask, past_key_values=cache).logits
    assert relative_error(rest, whole) < 1e-12
    with peftlab.disabled(model), pytest.raises(PeftlabError, match="which is switched off"):
        model(ids[:, :1], past_key_values=cache)
    # generate() counts what is in the cache as tokens of the caller's, virtual ones too.
    out = model.generate(ids, max_new_tokens=2, pad_token_id=0, return_dict_in_generate=True)
    with pytest.raises(PeftlabError, match="leave past_key_values out"):
        model.generate(
            out.sequences, past_key_values=out.past_key_values, max_new_tokens=2, pad_token_id=0
        )


def test_a_checkpointed_prefix_behind_padding_and_beyond_a_window_is_refused():
    model = adapted("window", PrefixConfig(4)).train()
    checkpoint_activations(model)
    with pytest.raises(PeftlabError, match="window of 6 needs it; pad on the right"):
        model(token_ids(), attention_mask=LEFT_PADDED)
