"""Adapter files exchanged with Hugging Face PEFT."""

import copy
import json

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import FAMILIES, build, randomise_adapter, relative_error, token_ids
from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration

import peftlab
from peftlab import LoRAConfig, PeftlabError
from peftlab.saving import WEIGHTS_FILE


def adapted(family="llama", dtype=torch.float32, name="default", **config):
    model = peftlab.apply(build(family, dtype), LoRAConfig(**config), name=name)
    randomise_adapter(model)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_our_files_load_in_peft_with_the_same_logits(family, tmp_path):
    model, ids = adapted(family, torch.float64, rank=3, alpha=7), token_ids()
    peftlab.save(model, tmp_path)
    theirs = peft.PeftModel.from_pretrained(build(family, torch.float64), tmp_path).eval()
    assert relative_error(model(ids).logits, theirs(ids).logits) < 1e-10


@pytest.mark.parametrize(
    "targets", ["all-linear", ["q_proj", "v_proj"], r".*\.1\..*(up|down)_proj"]
)
def test_peft_files_load_here_with_the_same_logits(targets, tmp_path):
    base, ids = build("llama", torch.float64), token_ids()
    torch.manual_seed(0)
    theirs = peft.get_peft_model(
        copy.deepcopy(base),
        peft.LoraConfig(r=3, lora_alpha=7, target_modules=targets, init_lora_weights=False),
    ).eval()
    theirs.save_pretrained(tmp_path)
    ours = peftlab.load(base, tmp_path, name="theirs")
    assert relative_error(ours(ids).logits, theirs(ids).logits) < 1e-10
    assert not any(p.requires_grad for p in ours.parameters())
    again = tmp_path / "again"
    peftlab.save(ours, again)
    back = peft.PeftModel.from_pretrained(build("llama", torch.float64), again).eval()
    assert relative_error(back(ids).logits, theirs(ids).logits) < 1e-10


def test_conv1d_files_load_here(tmp_path):
    base, ids = build("gpt2", torch.float64), token_ids()
    config = peft.LoraConfig(
        r=3, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True, init_lora_weights=False
    )
    theirs = peft.get_peft_model(copy.deepcopy(base), config).eval()
    theirs.save_pretrained(tmp_path)
    ours = peftlab.load(base, tmp_path)
    assert relative_error(ours(ids).logits, theirs(ids).logits) < 1e-10


def test_a_loaded_adapter_can_train_on_and_only_holds_the_adapter(tmp_path):
    model = adapted(rank=2, targets="q_proj")
    peftlab.save(model, tmp_path)
    size = (tmp_path / "adapter_model.safetensors").stat().st_size
    assert size < 4 * peftlab.trainable_report(model).trainable + 1000
    loaded = peftlab.load(build("llama"), tmp_path, trainable=True)
    assert peftlab.trainable_report(loaded) == peftlab.trainable_report(model)


def test_one_of_several_adapters_is_saved(tmp_path):
    model = adapted(name="a", targets="q_proj")
    peftlab.apply(model, LoRAConfig(targets="v_proj"), name="b")
    with pytest.raises(PeftlabError, match="say which adapter to save: a, b"):
        peftlab.save(model, tmp_path)
    peftlab.save(model, tmp_path, "b")
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["target_modules"] == ["v_proj"]


def break_nothing(folder):
    """Leaves the folder as it is."""


def truncate(folder):
    file = folder / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def edit_config(**fields):
    def edit(folder):
        file = folder / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | fields))

    return edit


@pytest.mark.parametrize(
    ("damage", "base", "message"),
    [
        (truncate, {}, "adapter_model.safetensors is damaged"),
        (lambda f: (f / "adapter_model.safetensors").unlink(), {}, "is missing"),
        (lambda f: (f / "adapter_config.json").unlink(), {}, "is not an adapter"),
        (lambda f: (f / "adapter_config.json").write_text("{"), {}, "is damaged"),
        (lambda f: (f / "adapter_config.json").write_text("[]"), {}, "is damaged"),
        (edit_config(alpha_pattern=[2]), {}, "lacks a usable value"),
        (edit_config(r=None), {}, "rank must be a whole number"),
        (edit_config(r=5), {}, r"shape \(\d+, \d+\), the model needs \(\d+, \d+\)"),
        (edit_config(peft_type="VERA"), {}, "describes a VERA adapter"),
        (edit_config(lora_bias=True), {}, "sets lora_bias=True"),
        (edit_config(use_qalora=True), {}, "sets use_qalora=True"),
        (edit_config(next_years_option=7), {}, "sets next_years_option=7, which peftlab does not"),
        (edit_config(lora_dropout=2), {}, "dropout must be"),
        (break_nothing, {"hidden_size": 48}, "load it into the base model it was trained on"),
        (break_nothing, {"num_hidden_layers": 1}, "adapts the layer 'model.layers.1"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing_and_says_why(damage, base, message, tmp_path):
    peftlab.save(adapted(), tmp_path)
    damage(tmp_path)
    model = build("llama", **base)
    before = str(model), {name: p.clone() for name, p in model.state_dict().items()}
    with pytest.raises(PeftlabError, match=message):
        peftlab.load(model, tmp_path)
    assert str(model) == before[0]
    assert all(torch.equal(p, before[1][name]) for name, p in model.state_dict().items())


def test_loading_a_file_twice_changes_nothing_and_says_why(tmp_path):
    peftlab.save(adapted(), tmp_path)
    model = peftlab.load(build("llama"), tmp_path)
    before = model(token_ids()).logits
    with pytest.raises(PeftlabError, match="already has an adapter named 'default'"):
        peftlab.load(model, tmp_path)
    assert torch.equal(model(token_ids()).logits, before)


# --- files of other times and places -------------------------------------------------------------


def renamed(folder, change):
    """Give the tensors of a file other names."""
    file = folder / "adapter_model.safetensors"
    save_file({change(key): value for key, value in load_file(file).items()}, file)


@pytest.mark.parametrize("inserted", ["_orig_mod.", "module.", "module._orig_mod."])
def test_names_of_compiled_and_parallel_models_are_understood(inserted, tmp_path):
    model = adapted(rank=2)
    peftlab.save(model, tmp_path)
    renamed(tmp_path, lambda key: key.replace("base_model.model.", f"base_model.model.{inserted}"))
    loaded = peftlab.load(build("llama"), tmp_path)
    assert torch.equal(loaded(token_ids()).logits, model(token_ids()).logits)


def test_names_from_before_transformers_renamed_modules_are_understood(tmp_path):
    def vision_language():
        torch.manual_seed(0)
        sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
        vision = CLIPVisionConfig(**sizes, num_attention_heads=4, image_size=16, patch_size=8)
        text = build("llama").config
        config = LlavaConfig(vision_config=vision, text_config=text)
        return LlavaForConditionalGeneration(config).eval()

    method = LoRAConfig(rank=2, targets=r".*language_model.*q_proj|.*vision_tower.*k_proj")
    model = peftlab.apply(vision_language(), method)
    randomise_adapter(model)
    peftlab.save(model, tmp_path)
    old = {
        "model.model.language_model.layers": "model.language_model.model.layers",
        "model.model.vision_tower": "model.vision_tower",
    }

    def change(key):
        return next((key.replace(new, was) for new, was in old.items() if new in key), key)

    renamed(tmp_path, change)
    loaded = peftlab.load(vision_language(), tmp_path)
    assert torch.equal(loaded(token_ids()).logits, model(token_ids()).logits)
    paths = {path for path, _ in peftlab.adapter_layers(loaded)}
    assert paths == {path for path, _ in peftlab.adapter_layers(model)}


def test_files_that_cannot_be_read_say_what_to_do(tmp_path):
    model = adapted()
    peftlab.save(model, tmp_path / "inner")
    with pytest.raises(PeftlabError, match=r"it has no adapter_config.json \(its folders inner do"):
        peftlab.load(build("llama"), tmp_path)
    file = tmp_path / "inner" / WEIGHTS_FILE
    save_file({key: torch.empty(0) for key in load_file(file)}, file)
    with pytest.raises(PeftlabError, match=r"is empty: 28 of its 28 tensors.*ZeRO-3"):
        peftlab.load(build("llama"), tmp_path / "inner")
    file.rename(file.with_suffix(".bin"))
    with pytest.raises(PeftlabError, match=r"adapter_model.bin.*convert it with Hugging Face PEFT"):
        peftlab.load(build("llama"), tmp_path / "inner")
