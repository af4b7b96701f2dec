"""4-bit layers and QLoRA against bitsandbytes, against PEFT, and against dense layers."""

import copy
import gc
import weakref

import bitsandbytes
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import (
    FAMILIES,
    build,
    checkpoint_activations,
    randomise_adapter,
    relative_error,
    token_ids,
)
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from transformers import RobertaConfig, RobertaForSequenceClassification

import peftlab
from peftcourse.parity import twins_quantization as twins
from peftlab import LoRAConfig, PeftlabError
from peftlab.layers import innermost, is_linear
from peftlab.quantization import nf4
from peftlab.quantization.formats import FORMATS
from peftlab.quantization.linear import NF4Linear, is_quantized, packed_weight
from peftlab.targets import language_head, linear_targets, match_targets, named_layers

# bitsandbytes needs rows that are whole blocks: see twins.values.
WIDE = {"hidden_size": 64, "intermediate_size": 128}


def layer_of(d_in=48, d_out=20, bias=True, dtype=torch.float64, **options):
    dense = nn.Linear(d_in, d_out, bias=bias, dtype=dtype)
    return NF4Linear.from_linear(dense, **options), dense


# --- the layer -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(
    d_in=st.integers(1, 70),
    d_out=st.integers(1, 9),
    bias=st.booleans(),
    double=st.booleans(),
    format=st.sampled_from(list(FORMATS)),
    batch=st.integers(0, 3),
)
def test_it_computes_with_the_dequantized_weight(d_in, d_out, bias, double, format, batch):
    layer, dense = layer_of(d_in, d_out, bias, double=double, format=format)
    x = torch.randn(batch, 2, d_in, dtype=torch.float64, requires_grad=True)
    weight = layer.dequantize()
    assert weight.shape == dense.weight.shape
    expected = x @ weight.T + (dense.bias if bias else 0)
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)
    grad = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(layer(x), x, grad)[0], grad @ weight, rtol=1e-12, atol=1e-12
    )


def test_gradients_equal_finite_differences():
    layer, _ = layer_of(5, 4)
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, bias: torch.func.functional_call(layer, {"bias": bias}, (x,)), (x, layer.bias)
    )
    vector = torch.randn(5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, vector)


def test_a_frozen_bias_and_a_frozen_input_need_no_gradient():
    layer, _ = layer_of(5, 4)
    x = torch.randn(3, 5, dtype=torch.float64)
    layer(x).sum().backward()
    assert layer.bias.grad.tolist() == [3] * 4
    layer.requires_grad_(False)
    assert not layer(x).requires_grad


def test_only_the_packed_weight_is_kept_for_the_backward_pass():
    layer, _ = layer_of(256, 256, dtype=torch.float32)
    sizes = []
    with saved_tensors_hooks(lambda t: sizes.append(t.nbytes) or t, lambda t: t):
        layer(torch.randn(2, 256, requires_grad=True))
    assert sizes == [256 * 256 // 2]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_it_computes_in_the_dtype_of_its_input(dtype):
    layer, _ = layer_of()
    assert layer(torch.randn(2, 48, dtype=dtype)).dtype == dtype


def test_autocast_decides_the_dtype():
    layer, _ = layer_of(dtype=torch.float32)
    x = torch.randn(2, 48, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    y.sum().backward()
    assert x.grad.dtype == torch.float32


@pytest.mark.parametrize("convert", [nn.Module.half, nn.Module.double, nn.Module.bfloat16])
@pytest.mark.parametrize("double", [False, True])
def test_converting_the_model_leaves_the_scales_alone(convert, double):
    layer, _ = layer_of(double=double)
    before, packed = layer.dequantize(), layer.weight.clone()
    convert(layer)
    assert torch.equal(layer.dequantize(), before)
    assert torch.equal(layer.weight, packed)


def test_a_copy_is_independent():
    layer, _ = layer_of()
    twin = copy.deepcopy(layer)
    before = layer.dequantize()
    twin.weight.data.zero_()
    twin.absmax.zero_()
    assert torch.equal(layer.dequantize(), before)


def test_what_it_prints():
    layer, _ = layer_of()
    assert repr(layer) == (
        "NF4Linear(in_features=48, out_features=20, bias=True, format=nf4, block_size=64)"
    )


# --- state dicts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("double", [False, True])
def test_the_state_dict_is_that_of_linear4bit(double):
    ours, dense = layer_of(64, 32, dtype=torch.float32, double=double)
    theirs = bitsandbytes.nn.Linear4bit(64, 32, quant_type="nf4", compress_statistics=double)
    theirs.load_state_dict(dense.state_dict())
    expected = theirs.to("cpu").state_dict()
    found = ours.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


@pytest.mark.parametrize(("before", "after"), [(True, True), (False, True), (True, False)])
def test_a_state_dict_loads_whatever_the_scales_were(before, after):
    source, _ = layer_of(double=before)
    target, _ = layer_of(double=after)
    assert not torch.equal(target.dequantize(), source.dequantize())
    target.load_state_dict(source.state_dict())
    assert torch.equal(target.dequantize(), source.dequantize())
    assert torch.equal(target.bias, source.bias)


def test_a_model_with_adapters_comes_back_from_its_state_dict():
    def make(seed):
        model = peftlab.quantize_model(build("llama", seed=seed))
        return peftlab.apply(model, LoRAConfig(rank=2))

    source, target = make(0), make(1)
    randomise_adapter(source)
    target.load_state_dict(source.state_dict())
    assert torch.equal(target(token_ids()).logits, source(token_ids()).logits)


def test_a_state_dict_of_another_shape_is_refused():
    with pytest.raises(PeftlabError, match=r"weight has shape \(20, 48\) in the file"):
        layer_of(20, 48)[0].load_state_dict(layer_of(48, 20)[0].state_dict())


def test_a_state_dict_without_scales_is_refused():
    layer, dense = layer_of()
    with pytest.raises(RuntimeError, match="size mismatch"):
        layer.load_state_dict(dense.state_dict())


# --- whole models --------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_quantized_model_computes_like_its_dequantized_twin(family):
    model, ids = build(family, torch.float64), token_ids()
    plain = model(ids).logits
    head = language_head(model)
    names = {path for path, _ in named_layers(model)}
    report = peftlab.trainable_report(model)

    peftlab.quantize_model(model)
    assert {path for path, _ in named_layers(model)} == names
    assert peftlab.trainable_report(model).total == report.total
    assert len(twins.quantized_layers(model)) == len(match_targets(build(family), "all-linear"))
    assert head is None or head.weight is language_head(model).weight
    assert 1e-3 < relative_error(model(ids).logits, plain) < 0.5

    dense = twins.dense_twin(model)
    assert [type(m) for m in dense.modules()] == [type(m) for m in build(family).modules()]
    assert relative_error(model(ids).logits, dense(ids).logits) < 1e-12


def test_the_error_shrinks_with_the_bits():
    plain, ids = build("llama"), token_ids()
    errors = [
        relative_error(
            peftlab.quantize_model(copy.deepcopy(plain), format=format)(ids).logits,
            plain(ids).logits,
        )
        for format in ("nf4", "int8")
    ]
    assert errors[1] < errors[0] / 5


def test_t5_keeps_what_it_looks_into():
    from transformers import T5Config, T5ForConditionalGeneration

    model = T5ForConditionalGeneration(
        T5Config(vocab_size=61, d_model=32, d_kv=8, d_ff=40, num_layers=1, num_heads=4)
    ).eval()
    peftlab.quantize_model(model)
    assert isinstance(model.encoder.block[0].layer[0].SelfAttention.q, NF4Linear)
    assert type(model.encoder.block[0].layer[1].DenseReluDense.wo) is nn.Linear
    ids = token_ids()
    assert model(input_ids=ids, decoder_input_ids=ids).logits.isfinite().all()


def test_only_the_targets_are_quantized_and_below_adapters():
    model = peftlab.apply(build("llama"), LoRAConfig(rank=2, targets="q_proj"))
    peftlab.quantize_model(model, targets=["q_proj"], format="fp4", block_size=32, double=False)
    layers = twins.quantized_layers(model)
    assert len(layers) == 2
    assert layers[0].quant_state.format.name == "fp4"
    assert layers[0].quant_state.nested is None
    assert all(isinstance(layer.base, NF4Linear) for _, layer in peftlab.adapter_layers(model))
    peftlab.dequantize_model(model, dtype=torch.float64)
    assert not twins.quantized_layers(model)
    assert all(layer.weight.dtype == torch.float64 for _, layer in peftlab.adapter_layers(model))


def test_what_cannot_be_quantized_is_named():
    model = build("llama")
    with pytest.raises(PeftlabError, match="'lm_head' is tied to another layer"):
        peftlab.quantize_model(model, targets="lm_head")
    peftlab.quantize_model(model, targets="q_proj")
    with pytest.raises(PeftlabError, match=r"layers\.0.*q_proj' is quantized already"):
        peftlab.quantize_model(model)
    assert len(twins.quantized_layers(model)) == 2
    merged = peftlab.merge(peftlab.apply(build("llama"), LoRAConfig(rank=2)))
    with pytest.raises(PeftlabError, match="holds a merged adapter"):
        peftlab.quantize_model(merged)


# --- QLoRA ---------------------------------------------------------------------------------------


def qlora(family="llama", dtype=torch.float32, rank=4, alpha=6.0, **options):
    """(model with random LoRA on a quantized base, its configuration)."""
    model = peftlab.quantize_model(build(family, dtype, **options))
    method = LoRAConfig(rank=rank, alpha=alpha)
    peftlab.apply(model, method, train_head=False)
    # A quantized layer does not know that the model around it computes in float64.
    model.to(dtype)
    randomise_adapter(model)
    return model, method


def gradients(model, ids, parameters):
    torch.manual_seed(0)  # for dropout
    model(ids).logits.square().mean().backward()
    return torch.cat([p.grad.flatten() for p in parameters])


def agree(ours, theirs, tolerance, steps):
    ids = token_ids()
    pairs = twins.peft_pairs(ours, theirs)
    assert relative_error(ours(ids).logits, theirs(ids).logits) < tolerance
    mine = gradients(ours, ids, [a for a, _ in pairs])
    assert relative_error(mine, gradients(theirs, ids, [b for _, b in pairs])) < tolerance
    trainable, _ = theirs.get_nb_trainable_parameters()
    assert peftlab.trainable_report(ours).trainable == trainable
    for model in (ours, theirs):
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
        for _ in range(steps):
            optimizer.zero_grad()
            model(ids).logits.square().mean().backward()
            optimizer.step()
    assert relative_error(ours(ids).logits, theirs(ids).logits) < tolerance


@pytest.mark.parametrize("family", FAMILIES)
def test_it_agrees_with_peft_on_the_dequantized_base_in_float64(family):
    ours, method = qlora(family, torch.float64)
    with peftlab.disabled(ours):
        plain = ours(token_ids()).logits
    assert relative_error(plain, ours(token_ids()).logits) > 0.1
    base = copy.deepcopy(ours)
    peftlab.remove(base)
    theirs = twins.peft_twin(twins.dense_twin(base), method, ours)
    agree(ours, theirs, 1e-10, steps=5)


def test_it_agrees_with_peft_on_bitsandbytes_layers():
    ours, method = qlora(**WIDE)
    theirs = twins.linear4bit_twin(build("llama", **WIDE))
    for mine, other in zip(
        twins.quantized_layers(ours),
        twins.quantized_layers(theirs),
        strict=True,
    ):
        assert torch.equal(packed_weight(mine)[0].flatten(), packed_weight(other)[0])
    agree(ours, twins.peft_twin(theirs, method, ours), 1e-5, steps=0)


def test_our_adapter_works_on_bitsandbytes_layers():
    ours, method = qlora(**WIDE)
    other = peftlab.apply(twins.linear4bit_twin(build("llama", **WIDE)), method)
    randomise_adapter(other)
    ids = token_ids()
    assert relative_error(other(ids).logits, ours(ids).logits) < 1e-5
    assert peftlab.trainable_report(other) == peftlab.trainable_report(ours)


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_gradient_checkpointing_changes_no_gradient(family, reentrant):
    model, _ = qlora(family)
    parameters = [p for p in model.parameters() if p.requires_grad]
    model.train()
    plain = gradients(model, token_ids(), parameters)
    model.zero_grad()
    checkpoint_activations(model, {"use_reentrant": reentrant})
    model.enable_input_require_grads()
    checkpointed = gradients(model, token_ids(), parameters)
    assert relative_error(checkpointed, plain) < 1e-6


def test_training_leaves_the_base_alone_and_learns():
    model, _ = qlora()
    frozen = {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}
    buffers = {n: b.clone() for n, b in model.named_buffers()}
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2)
    ids, losses = token_ids(), []
    for _ in range(30):
        optimizer.zero_grad()
        loss = model(ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.2
    after = dict(model.named_parameters())
    assert all(torch.equal(after[n], p) and after[n].grad is None for n, p in frozen.items())
    assert all(torch.equal(b, buffers[n]) for n, b in model.named_buffers())


def test_adapter_files_do_not_depend_on_the_bits_of_the_base(tmp_path):
    model, _ = qlora("gpt2")
    peftlab.save(model, tmp_path)
    again = peftlab.load(peftlab.quantize_model(build("gpt2")), tmp_path)
    assert torch.equal(again(token_ids()).logits, model(token_ids()).logits)
    peftlab.load(build("gpt2"), tmp_path)


@pytest.mark.parametrize("method", [peftlab.DoRAConfig(rank=2), peftlab.PiSSAConfig(rank=2)])
def test_methods_that_read_the_weight_start_at_the_quantized_model(method):
    model = peftlab.quantize_model(build("llama"))
    ids = token_ids()
    before = model(ids).logits
    peftlab.apply(model, method)
    assert relative_error(model(ids).logits, before) < 1e-5


# --- merging -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("family", FAMILIES)
def test_merging_dequantizes_and_loses_nothing(family, dtype, tolerance):
    model, _ = qlora(family, dtype)
    ids = token_ids()
    with peftlab.disabled(model):
        plain = model(ids).logits
    adapted = model(ids).logits
    dense = twins.dense_twin(model)
    peftlab.merge(model)
    assert relative_error(model(ids).logits, adapted) < tolerance
    assert not twins.quantized_layers(model)
    peftlab.unmerge(model)
    for (_, mine), (_, other) in zip(named_layers(model), named_layers(dense), strict=True):
        if is_linear(innermost(mine)):
            assert torch.equal(mine.weight, other.weight)
    peftlab.remove(model)
    assert relative_error(model(ids).logits, plain) < tolerance
    assert [type(m) for m in model.modules()] == [type(m) for m in build(family).modules()]


def test_merging_for_good_leaves_an_ordinary_model():
    model, _ = qlora("gpt2", torch.float32)
    adapted = model(token_ids()).logits
    peftlab.merge(model, keep_base=False)
    plain = build("gpt2", seed=3)
    plain.load_state_dict(model.state_dict())
    assert relative_error(plain(token_ids()).logits, adapted) < 1e-5


def test_only_the_layers_of_the_adapter_are_dequantized():
    model = peftlab.quantize_model(build("llama"))
    peftlab.apply(model, LoRAConfig(rank=2, targets="q_proj"))
    total = len(twins.quantized_layers(model))
    peftlab.merge(model)
    assert len(twins.quantized_layers(model)) == total - 2


def test_merging_on_bitsandbytes_layers_after_evaluating():
    model, _ = qlora(**WIDE)
    theirs = twins.linear4bit_twin(build("llama", **WIDE))
    peftlab.apply(theirs, LoRAConfig(rank=4, alpha=6.0))
    randomise_adapter(theirs)
    ids = token_ids()
    with torch.no_grad():
        adapted = theirs(ids).logits
        peftlab.merge(theirs, keep_base=False)
        assert relative_error(theirs(ids).logits, adapted) < 1e-5
        assert relative_error(theirs(ids).logits, model(ids).logits) < 1e-5
    assert not twins.quantized_layers(theirs)


def test_a_rearranged_bitsandbytes_base_is_not_merged():
    theirs = twins.linear4bit_twin(build("llama", **WIDE))
    peftlab.apply(theirs, LoRAConfig(rank=2))
    twins.quantized_layers(theirs)[-1].weight.quant_state.packing_format_for_cpu = True
    before = [type(m) for m in theirs.modules()]
    with pytest.raises(PeftlabError, match="has rearranged this weight"):
        peftlab.merge(theirs)
    assert [type(m) for m in theirs.modules()] == before
    assert not any(layer.merged for _, layer in peftlab.adapter_layers(theirs))


def test_dequantizing_clears_the_note_of_transformers(tmp_path):
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    build("llama", **WIDE).save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(
        tmp_path,
        dtype=torch.float32,
        quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
    )
    assert is_quantized(model.model.layers[0].mlp.up_proj)
    peftlab.dequantize_model(model)
    assert not hasattr(model.config, "quantization_config")
    model.save_pretrained(tmp_path / "dense")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "dense")
    assert torch.equal(again(token_ids()).logits, model(token_ids()).logits)


def test_what_is_not_quantized():
    assert not is_quantized(nn.Linear(2, 2))
    assert not is_quantized(nn.Embedding(2, 2))
    assert not is_quantized(nn.ReLU())
    assert not is_quantized(bitsandbytes.nn.Linear4bit(64, 64))
    assert nf4.BLOCK_SIZE == 64


def test_each_16_bit_weight_is_freed_at_once():
    model = build("llama")
    layers = linear_targets(model, "all-linear")
    weights = [weakref.ref(layer.weight) for layer in layers.values()]
    gc.disable()  # reference cycles would have to wait for the garbage collector
    try:
        del layers
        peftlab.quantize_model(model)
        alive = [weight for weight in weights if weight() is not None]
    finally:
        gc.enable()
    assert len(weights) == 14
    assert not alive


def test_a_new_head_stays_out_of_4_bit_and_trains(tmp_path):
    torch.manual_seed(0)
    sizes = {"vocab_size": 61, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    config = RobertaConfig(**sizes, num_attention_heads=4, num_labels=3)
    RobertaForSequenceClassification(config).save_pretrained(tmp_path)

    def loaded():
        return RobertaForSequenceClassification.from_pretrained(tmp_path)

    by_name = peftlab.quantize_model(loaded(), targets=("dense", "query"))
    for model in (peftlab.quantize_model(loaded()), by_name, peftlab.load_nf4(tmp_path)):
        assert isinstance(model.roberta.encoder.layer[0].output.dense, NF4Linear)
        assert type(model.classifier.dense) is type(model.classifier.out_proj) is nn.Linear
        peftlab.apply(model, LoRAConfig(rank=2))
        assert model.classifier.out_proj.weight.requires_grad


def test_training_a_4_bit_layer_in_full_says_how_to_keep_it_out():
    model = peftlab.quantize_model(build("llama"))
    with pytest.raises(PeftlabError, match=r"cannot train in full; keep it in .*llm_int8_skip"):
        peftlab.apply(model, LoRAConfig(rank=2, targets="q_proj"), also_train="down_proj")
