"""Where a model's shape comes from."""

import json

import pytest
from transformers import AutoConfig, GPT2Config, LlamaConfig, Qwen2Config

from peftcourse.experiments import models
from peftlab.errors import PeftlabError
from peftlab.memory import PRESETS, Settings, estimate, read


@pytest.mark.parametrize("name", PRESETS)
def test_a_transformers_configuration_says_the_same_as_the_preset(name, tmp_path):
    fields = dict(PRESETS[name])
    config = AutoConfig.for_model(fields.pop("model_type"), **fields)
    preset = vars(read(name)) | {"name": None}
    assert vars(read(config)) | {"name": None} == preset
    config.save_pretrained(tmp_path)
    assert vars(read(tmp_path)) | {"name": None} == preset
    assert vars(read(tmp_path / "config.json")) | {"name": None} == preset


def test_the_bundled_model():
    folder = models.path("tiny")
    assert estimate(folder, Settings(method="full")).parameters == models.info()["parameters"]


def test_biases_and_defaults():
    assert read(Qwen2Config()).qkv_bias and not read(Qwen2Config()).o_bias
    biased = read(LlamaConfig(attention_bias=True, mlp_bias=True))
    assert biased.qkv_bias and biased.o_bias and biased.mlp_bias
    small = read(GPT2Config(n_embd=64, n_head=4, n_layer=2))
    assert (small.intermediate, small.head_dim) == (256, 16)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot read"),
        ("[]", "holds no configuration"),
        ('{"model_type": "t5"}', "has model_type 't5'; memory is known for llama"),
        ('{"model_type": "llama"}', "has no 'num_attention_heads'"),
    ],
)
def test_a_configuration_that_cannot_be_used(text, message, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(PeftlabError, match=message):
        read(tmp_path)


def test_a_folder_without_a_configuration(tmp_path):
    with pytest.raises(PeftlabError, match="cannot read"):
        read(tmp_path)


def test_a_hub_id_that_is_out_of_reach(monkeypatch):
    def refuse(name):
        raise OSError(f"no connection for {name}")

    monkeypatch.setattr(AutoConfig, "from_pretrained", refuse)
    with pytest.raises(PeftlabError, match="cannot fetch the configuration of 'owner/model'"):
        read("owner/model")


def test_a_hub_id_is_read_from_its_configuration(monkeypatch):
    monkeypatch.setattr(AutoConfig, "from_pretrained", lambda name: LlamaConfig())
    assert read("owner/model").name == "owner/model"
    assert json.dumps(LlamaConfig().to_dict())  # what is read can be a config.json
