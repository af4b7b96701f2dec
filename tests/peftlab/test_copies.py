"""Modules and biases that train in full beside an adapter, and their files in PEFT's format."""

import copy
import dataclasses
import json

import peft
import pytest
import torch
from lowrank import (
    TOLERANCES,
    check_exchange,
    check_five_steps,
    check_logits_and_gradients,
    check_merging,
    check_only_the_adapter_trains,
    twins,
)
from small_models import build, randomise_adapter, relative_error, token_ids
from torch import nn

import peftlab
from peftlab import AdaLoRAConfig, DoRAConfig, IA3Config, LoRAConfig, PeftlabError
from peftlab.copies import ParameterCopy

LORA = LoRAConfig(rank=3, alpha=6.0, targets=("query", "value"))
METHODS = {
    "lora": LORA,
    "dora": DoRAConfig(rank=3, targets=("query", "value")),
    "adalora": AdaLoRAConfig(9, rank=3, target_rank=2, targets=("query", "value")),
    "ia3": IA3Config(),
}
# Why PEFT warns about tied embeddings: https://github.com/huggingface/peft/issues/2777
ignore_ties = pytest.mark.filterwarnings(
    "ignore:Model has `tie_word_embeddings=True`:UserWarning",
    "ignore:Model with `tie_word_embeddings=True`:UserWarning",
)


def copies(model):
    return {
        path: set(layer.PARAMETERS)
        for path, layer in peftlab.adapter_layers(model)
        if isinstance(layer, ParameterCopy)
    }


def test_the_head_trains_as_a_copy_and_the_base_stays():
    model, ids = build("bert"), token_ids()
    before = model(ids).logits
    peftlab.apply(model, LORA, also_train="classifier")
    assert copies(model) == {"classifier": {"weight", "bias"}}
    torch.testing.assert_close(model(ids).logits, before, rtol=0, atol=0)
    check_only_the_adapter_trains(model)
    assert relative_error(model(ids).logits, before) > 1e-3
    with peftlab.disabled(model):
        assert torch.equal(model(ids).logits, before)
    peftlab.remove(model)
    assert torch.equal(model(ids).logits, before)
    assert str(model) == str(build("bert"))


def test_whole_blocks_can_train_and_nothing_inside_them_is_adapted():
    model = build("bert")
    options = {"also_train": ["encoder.layer.1", "classifier"]}
    peftlab.apply(model, LoRAConfig(rank=2), **options)
    found = copies(model)
    inside = {path for path in found if path.startswith("bert.encoder.layer.1.")}
    assert inside | {"classifier"} == set(found)
    assert {"weight", "bias"} == found["bert.encoder.layer.1.output.LayerNorm"]
    adapted = {
        path for path, x in peftlab.adapter_layers(model) if not isinstance(x, ParameterCopy)
    }
    assert adapted
    assert not adapted & set(found)
    check_only_the_adapter_trains(model)


@pytest.mark.parametrize(
    ("bias", "expected"),
    [
        ("none", set()),
        ("targets", {"attention.self.query", "attention.self.value"}),
        (
            "all",
            {
                "attention.self.query",
                "attention.self.key",
                "attention.self.value",
                "attention.output.dense",
                "attention.output.LayerNorm",
                "intermediate.dense",
                "output.dense",
                "output.LayerNorm",
            },
        ),
    ],
)
def test_which_biases_train(bias, expected):
    model = peftlab.apply(build("bert"), LORA, bias=bias, train_head=False)
    prefix = "bert.encoder.layer.0."
    found = {path.removeprefix(prefix) for path in copies(model) if path.startswith(prefix)}
    assert found == expected
    assert all(names == {"bias"} for names in copies(model).values())
    check_only_the_adapter_trains(model)


def test_each_adapter_has_its_own_head_and_the_last_one_wins():
    model, ids = build("bert", torch.float64), token_ids()
    outputs = {}
    for seed, name in enumerate(("a", "b")):
        peftlab.apply(model, LORA, name=name, also_train="classifier")
        randomise_adapter(model, name, seed)
        peftlab.switch(model, name)
        outputs[name] = model(ids).logits
    for name in ("a", "b"):
        peftlab.switch(model, name)
        assert torch.equal(model(ids).logits, outputs[name])
    peftlab.switch(model, "a", "b")
    both = model(ids).logits
    head = dict(peftlab.adapter_layers(model, "b"))["classifier"]
    assert torch.equal(model.classifier.weight, head.weight)
    peftlab.merge(model)
    assert relative_error(model(ids).logits, both) < 1e-12
    peftlab.unmerge(model)
    peftlab.remove(model, "b")
    peftlab.switch(model, "a")
    assert torch.equal(model(ids).logits, outputs["a"])


def test_an_adapter_on_a_head_that_another_one_trains_adds_to_its_copy():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
    x = torch.randn(2, 4)
    peftlab.apply(model, LoRAConfig(rank=2, targets="0"), name="a", also_train="1")
    peftlab.apply(model, LoRAConfig(rank=2, targets="1"), name="b", bias="targets")
    randomise_adapter(model)
    lora, inner, outer = model[1], model[1].base.base, model[1].base
    assert (lora.adapter, outer.adapter, inner.adapter) == ("b", "b", "a")
    hidden = model[0](x)
    expected = hidden @ (inner.weight + lora.delta_weight()).T + outer.bias
    torch.testing.assert_close(model(x), expected)
    with pytest.raises(PeftlabError, match="'b' cannot be in the weight of '1' while 'a'"):
        peftlab.merge(model, "b")
    peftlab.merge(model)
    torch.testing.assert_close(model(x), expected)


def test_a_copy_goes_below_the_adapters_that_are_there():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
    peftlab.apply(model, LoRAConfig(rank=2, targets="0"), name="a")
    peftlab.apply(model, LoRAConfig(rank=2, targets="1"), name="b", also_train="0")
    randomise_adapter(model)
    lora, own = model[0], model[0].base
    assert isinstance(own, ParameterCopy)
    x = torch.randn(2, 4)
    torch.testing.assert_close(lora(x), x @ (own.weight + lora.delta_weight()).T + own.bias)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"also_train": "head"}, "also_train 'head' matches no module"),
        ({"bias": "some"}, 'bias must be "none", "targets" or "all", not \'some\''),
        ({"also_train": "bert"}, "covers every target of the method"),
    ],
)
def test_bad_options_are_named_and_change_nothing(options, message):
    model = build("bert")
    before = str(model)
    with pytest.raises(PeftlabError, match=message):
        peftlab.apply(model, LORA, **options)
    assert str(model) == before


def test_what_cannot_be_copied_is_named():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 2)
            self.gate = nn.Parameter(torch.zeros(2))

    model = nn.ModuleDict({"odd": Odd(), "linear": nn.Linear(2, 2)})
    with pytest.raises(PeftlabError, match="'odd' holds a parameter named 'gate'"):
        peftlab.apply(model, LoRAConfig(targets="all-linear"), also_train="odd")
    model["linear"].weight = nn.Parameter(torch.zeros(2, 2, dtype=torch.int8), requires_grad=False)
    with pytest.raises(PeftlabError, match=r"linear\.weight is quantized"):
        peftlab.apply(model, LoRAConfig(targets="odd.linear"), also_train=r"linear$")


# --- tied weights --------------------------------------------------------------------------------


@ignore_ties
def test_copies_of_tied_weights_stay_tied_and_merge_together():
    model, ids = build("llama", torch.float64), token_ids()
    peftlab.apply(model, LoRAConfig(rank=2), also_train="embed_tokens")
    assert copies(model) == {"model.embed_tokens": {"weight"}, "lm_head": {"weight"}}
    assert model.lm_head.weight is model.model.embed_tokens.weight
    report = peftlab.trainable_report(model)
    assert report.trainable == 61 * 32 + sum(
        x.A.numel() + x.B.numel() for _, x in peftlab.adapter_layers(model) if hasattr(x, "A")
    )
    randomise_adapter(model)
    expected = model(ids).logits
    check_merging(model)
    plain = peftlab.merge(model, keep_base=False)
    assert plain.lm_head.weight is plain.model.embed_tokens.weight
    assert relative_error(plain(ids).logits, expected) < 1e-12


@ignore_ties
@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
def test_tied_copies_agree_with_peft(dtype, tolerance, tmp_path):
    method = LoRAConfig(rank=3, targets=("q_proj", "v_proj"))
    base, ours, theirs = twins("llama", method, dtype, also_train="embed_tokens")
    check_logits_and_gradients(base, ours, theirs, tolerance)
    if dtype == torch.float64:
        check_five_steps(ours, theirs)
        check_exchange("llama", ours, theirs, tmp_path)
        fields = json.loads((tmp_path / "ours" / "adapter_config.json").read_text())
        assert fields["ensure_weight_tying"] is True
        loaded = peftlab.load(build("llama"), tmp_path / "theirs")
        assert loaded.lm_head.weight is loaded.model.embed_tokens.weight


@ignore_ties
@pytest.mark.parametrize("modules", [["embed_tokens"], ["embed_tokens", "lm_head"]])
def test_a_peft_file_without_ties_stays_untied(modules, tmp_path):
    base, ids = build("llama", torch.float64), token_ids()
    config = peft.LoraConfig(target_modules=["q_proj"], modules_to_save=modules)
    theirs = peft.get_peft_model(copy.deepcopy(base), config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.add_(0.2 * noise)
    theirs.save_pretrained(tmp_path)
    ours = peftlab.load(base, tmp_path)
    assert relative_error(ours(ids).logits, theirs(ids).logits) < 1e-10
    with pytest.raises(PeftlabError, match="tied to another layer"):
        peftlab.merge(ours)
    peftlab.save(ours, tmp_path / "again")
    there = peft.PeftModel.from_pretrained(build("llama", torch.float64), tmp_path / "again")
    assert relative_error(there.eval()(ids).logits, theirs(ids).logits) < 1e-10


@ignore_ties
@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning")
def test_the_embedding_that_peft_saves_with_an_adapted_head_must_be_the_same(tmp_path):
    base, ids = build("llama", torch.float64), token_ids()
    config = peft.LoraConfig(target_modules=["lm_head", "q_proj"], init_lora_weights=False)
    theirs = peft.get_peft_model(copy.deepcopy(base), config).eval()
    theirs.save_pretrained(tmp_path)
    ours = peftlab.load(copy.deepcopy(base), tmp_path)
    assert relative_error(ours(ids).logits, theirs(ids).logits) < 1e-10
    assert not copies(ours)
    with pytest.raises(PeftlabError, match=r"lm_head\.base_layer\.weight', which is no LORA"):
        peftlab.load(build("llama", torch.float64, seed=1), tmp_path)


def test_the_embedding_that_peft_saves_after_resizing_is_loaded_as_a_copy(tmp_path):
    ids = token_ids()
    base = build("llama", torch.float64, tie_word_embeddings=False)
    changed = copy.deepcopy(base)
    nn.init.normal_(changed.model.embed_tokens.weight)
    config = peft.LoraConfig(target_modules=["q_proj"], init_lora_weights=False)
    theirs = peft.get_peft_model(changed, config).eval()
    theirs.save_pretrained(tmp_path, save_embedding_layers=True)
    ours = peftlab.load(base, tmp_path)
    assert relative_error(ours(ids).logits, theirs(ids).logits) < 1e-10
    assert set(copies(ours)) == {"model.embed_tokens"}


# --- parity and files ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
def test_a_trained_head_agrees_with_peft(kind, dtype, tolerance, tmp_path):
    method = METHODS[kind]
    base, ours, theirs = twins("bert", method, dtype, also_train="classifier")
    ranks = len(peftlab.match_targets(base, method.targets)) if kind == "adalora" else 0
    check_logits_and_gradients(base, ours, theirs, tolerance, extra_total=ranks)
    if dtype == torch.float64:
        check_merging(ours)
        check_five_steps(ours, theirs)
        check_exchange("bert", ours, theirs, tmp_path)


@pytest.mark.parametrize("bias", ["targets", "all"])
@pytest.mark.parametrize("kind", ["lora", "dora", "adalora"])
@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
def test_trained_biases_agree_with_peft(kind, bias, dtype, tolerance, tmp_path):
    method = dataclasses.replace(METHODS[kind], targets="all-linear")
    base, ours, theirs = twins("bert", method, dtype, bias=bias)
    ids = token_ids()
    logits, reference = ours(ids).logits, theirs(ids).logits
    assert relative_error(base(ids).logits, reference) > 0.1
    assert relative_error(logits, reference) < tolerance
    trainable, _ = theirs.get_nb_trainable_parameters()
    assert peftlab.trainable_report(ours).trainable == trainable
    if dtype == torch.float64:
        check_merging(ours)
        check_five_steps(ours, theirs)
        check_exchange("bert", ours, theirs, tmp_path)


def test_all_biases_and_a_head_in_one_file(tmp_path):
    _, ours, theirs = twins("bert", LORA, also_train="classifier", bias="all")
    check_exchange("bert", ours, theirs, tmp_path)


def test_biases_of_conv1d_layers(tmp_path):
    method = LoRAConfig(rank=3, targets=("c_attn", "mlp.c_proj"))
    _, ours, theirs = twins("gpt2", method, bias="targets")
    check_five_steps(ours, theirs)
    check_exchange("gpt2", ours, theirs, tmp_path)


def test_a_file_with_a_head_does_not_load_into_a_model_without_one(tmp_path):
    from transformers import BertModel

    model = peftlab.apply(build("bert"), LORA, also_train="classifier")
    peftlab.save(model, tmp_path)
    other = BertModel(build("bert").config)
    before = str(other)
    with pytest.raises(PeftlabError, match=r"which is no LORA parameter|does not have"):
        peftlab.load(other, tmp_path)
    assert str(other) == before


def test_a_loaded_head_can_train_on(tmp_path):
    model = peftlab.apply(build("bert"), LORA, also_train="classifier")
    peftlab.save(model, tmp_path)
    loaded = peftlab.load(build("bert"), tmp_path, trainable=True)
    assert peftlab.trainable_report(loaded) == peftlab.trainable_report(model)
    check_only_the_adapter_trains(loaded)
