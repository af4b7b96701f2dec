"""What transformers' own verbs do on an adapted model: they work, or say what to call."""

import copy
import gc
import weakref

import pytest
import torch
import transformers
from small_models import build, randomise_adapter, relative_error, token_ids
from torch import nn

import peftlab
from peftlab import LoRAConfig, PeftlabError
from peftlab.inject import VERBS

LORA = LoRAConfig(rank=2, targets=("q_proj", "v_proj"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder with a plain model."""
    folder = tmp_path_factory.mktemp("base")
    build("llama", intermediate_size=64, hidden_size=64).save_pretrained(folder)
    return folder


def load(folder, **options):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, **options).eval()


def adapted(base, **options):
    model = peftlab.apply(load(base), LORA, **options)
    randomise_adapter(model)
    return model


@pytest.mark.parametrize("merged", [False, True])
def test_save_pretrained_writes_what_from_pretrained_reads(merged, base, tmp_path):
    model = adapted(base)
    expected = model(token_ids()).logits
    if merged:
        peftlab.merge(model)
    model.save_pretrained(tmp_path)
    assert relative_error(load(tmp_path)(token_ids()).logits, expected) < 1e-5
    assert torch.equal(peftlab.load(load(base), tmp_path)(token_ids()).logits, expected)


def test_a_permanently_merged_model_is_a_plain_one_again(base, tmp_path):
    model = adapted(base)
    expected = model(token_ids()).logits
    peftlab.merge(model, keep_base=False)
    assert not vars(model).keys() & VERBS.keys()
    model.save_pretrained(tmp_path)
    assert relative_error(load(tmp_path)(token_ids()).logits, expected) < 1e-5


def test_save_pretrained_says_what_to_call_when_no_single_adapter_is_on(base, tmp_path):
    model = adapted(base, name="a")
    peftlab.apply(model, LORA, name="b")
    with pytest.raises(PeftlabError, match=r"a, b of them is on; use peftlab.save for each"):
        model.save_pretrained(tmp_path)
    with peftlab.disabled(model), pytest.raises(PeftlabError, match="none of them is on"):
        model.save_pretrained(tmp_path)
    peftlab.switch(model, "a")
    with pytest.raises(PeftlabError, match="push an adapted model with"):
        model.save_pretrained(tmp_path, push_to_hub=True)
    model.save_pretrained(tmp_path, is_main_process=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", [verb for verb, instead in VERBS.items() if instead])
def test_verbs_for_peft_adapters_name_ours(verb):
    model = peftlab.apply(build("llama"), LORA)
    with pytest.raises(PeftlabError, match=f"use peftlab.{VERBS[verb]}"):
        getattr(model, verb)("default")
    peftlab.remove(model)
    assert verb not in vars(model)


def test_embeddings_are_resized_and_tied_unless_they_are_adapted():
    model = peftlab.apply(build("llama"), LORA)
    model.resize_token_embeddings(70, mean_resizing=False)
    assert model(token_ids()).logits.shape[-1] == 70
    assert model.lm_head.weight is model.model.embed_tokens.weight
    model = peftlab.apply(build("llama"), LORA, also_train="embed_tokens")
    for change in (lambda: model.resize_token_embeddings(70), model.tie_weights):
        with pytest.raises(PeftlabError, match="in place of adapted ones"):
            change()


def test_a_copy_answers_for_itself_and_an_adapted_model_leaves_memory_at_once(base, tmp_path):
    model = adapted(base)
    twin = copy.deepcopy(model)
    randomise_adapter(twin, seed=2)
    twin.save_pretrained(tmp_path)
    again = peftlab.load(load(base), tmp_path)
    assert torch.equal(again(token_ids()).logits, twin(token_ids()).logits)
    gone = weakref.ref(model.save_pretrained)
    gc.disable()
    try:
        del model
        assert gone() is None
    finally:
        gc.enable()


def test_half_of_an_adapted_model_is_saved_and_loaded(base, tmp_path):
    model = adapted(base).bfloat16()
    peftlab.save(model, tmp_path)
    again = peftlab.load(load(base).bfloat16(), tmp_path)
    assert relative_error(again(token_ids()).logits, model(token_ids()).logits) < 0.02


def test_adapters_come_before_what_shares_gradients():
    class DistributedDataParallel(nn.Module):  # the real one needs a process group
        def __init__(self, module):
            super().__init__()
            self.module = module

    model = build("llama")
    with pytest.raises(PeftlabError, match="first, then wrap"):
        peftlab.apply(DistributedDataParallel(model), LORA)
    peftlab.apply(model, LORA)
    assert peftlab.adapters(DistributedDataParallel(model)) == ["default"]


def test_a_model_with_adapters_of_peft_is_refused(base, tmp_path):
    peftlab.save(adapted(base), tmp_path)
    theirs = load(tmp_path)  # transformers has PEFT load base and adapter
    with pytest.raises(PeftlabError, match="holds adapters of Hugging Face PEFT"):
        peftlab.load(theirs, tmp_path)


# --- transformers.Trainer ------------------------------------------------------------------------


def trainer(model, folder, steps):
    rows = [{"input_ids": token_ids(seed)[0], "labels": token_ids(seed)[0]} for seed in range(8)]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=steps, save_steps=2, per_device_train_batch_size=2,
        use_cpu=True, report_to=[], disable_tqdm=True, logging_strategy="no", learning_rate=1e-2,
        lr_scheduler_type="constant",
    )  # fmt: skip
    return transformers.Trainer(model=model, args=arguments, train_dataset=rows)


@pytest.mark.parametrize("quantized", [False, True], ids=["32 bit", "bitsandbytes"])
def test_the_trainer_trains_saves_and_resumes(quantized, base, tmp_path):
    options = {}
    if quantized:
        four = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32
        )
        options = {"quantization_config": four, "device_map": {"": "cpu"}}

    def fresh():
        torch.manual_seed(0)
        return peftlab.apply(load(base, **options), LORA)

    whole, first, second = fresh(), fresh(), fresh()
    assert trainer(whole, tmp_path / "whole", 4).train().global_step == 4
    trainer(first, tmp_path / "parts", 2).train()
    resumed = trainer(second, tmp_path / "parts", 4)
    assert resumed.train(resume_from_checkpoint=True).global_step == 4
    pairs = zip(peftlab.adapter_layers(whole), peftlab.adapter_layers(second), strict=True)
    for (_, mine), (_, other) in pairs:
        assert mine.B.abs().max() > 0.01
        assert torch.allclose(mine.B, other.B, atol=1e-6)
    peftlab.load(load(base), tmp_path / "parts" / "checkpoint-4")
