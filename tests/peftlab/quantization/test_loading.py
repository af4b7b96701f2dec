"""Loading models in 4 bits from files, against quantizing them in memory and transformers."""

import gc
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import FAMILIES, build, relative_error, token_ids
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, GenerationConfig

import peftlab
from peftcourse.parity import twins_quantization as twins
from peftlab import PeftlabError
from peftlab.quantization.linear import NF4Linear

WIDE = {"hidden_size": 64, "intermediate_size": 128}


def saved(folder, family="llama", dtype=torch.float32, shards=False, **options):
    model = build(family, dtype, **options)
    model.save_pretrained(folder, **({"max_shard_size": "20KB"} if shards else {}))
    return model


def same_weights(first, second):
    a, b = first.state_dict(), second.state_dict()
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) and a[key].dtype == b[key].dtype for key in a)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_model_quantized_in_memory(family, dtype, tmp_path):
    model = peftlab.quantize_model(saved(tmp_path, family, dtype, shards=family == "llama"))
    loaded = peftlab.load_nf4(tmp_path, device="cpu")
    same_weights(loaded, model)
    assert [type(m) for m in loaded.modules()] == [type(m) for m in model.modules()]
    if dtype == torch.float32:  # `build` casts the frequencies of the rotary embedding as well
        assert torch.equal(loaded(token_ids()).logits, model(token_ids()).logits)
    assert not loaded.training
    assert loaded.name_or_path == str(tmp_path)
    tied = model.config.tie_word_embeddings and family != "bert"
    shared = loaded.get_output_embeddings() if tied else None
    assert shared is None or shared.weight is loaded.get_input_embeddings().weight
    assert loaded.dtype == dtype


@pytest.mark.parametrize("double", [True, False])
def test_transformers_with_bitsandbytes_computes_the_same(double, tmp_path):
    saved(tmp_path, dtype=torch.float32, **WIDE)
    theirs = AutoModelForCausalLM.from_pretrained(
        tmp_path,
        dtype=torch.float32,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=double
        ),
    ).train()
    ours = peftlab.load_nf4(tmp_path, device="cpu", double=double)
    assert len(twins.quantized_layers(ours)) == len(twins.quantized_layers(theirs))
    assert relative_error(ours(token_ids()).logits, theirs(token_ids()).logits) < 1e-6

    # Models that are saved in 4 bits are read in both directions, without quantizing anything.
    theirs.save_pretrained(tmp_path / "4bit")
    again = peftlab.load_nf4(tmp_path / "4bit", device="cpu", double=not double)
    same_weights(again, ours)
    again.save_pretrained(tmp_path / "back")
    back = AutoModelForCausalLM.from_pretrained(tmp_path / "back", dtype=torch.float32).train()
    assert torch.equal(back(token_ids()).logits, theirs(token_ids()).logits)


def test_dtype_comes_before_quantizing_as_in_transformers(tmp_path):
    model = saved(tmp_path, dtype=torch.float32)
    loaded = peftlab.load_nf4(tmp_path, device="cpu", dtype=torch.bfloat16)
    same_weights(loaded, peftlab.quantize_model(model.to(torch.bfloat16)))
    assert loaded.config.dtype == torch.bfloat16
    assert loaded.model.rotary_emb.inv_freq.dtype == torch.float32


def test_no_more_than_one_weight_is_ever_held_in_full(tmp_path):
    """Adds up the floating-point memory in use at any time while the model is loaded."""
    model = saved(tmp_path, hidden_size=128, intermediate_size=256, num_hidden_layers=4)
    linear = 4 * (2 * 128 * 128 + 2 * 64 * 128 + 3 * 128 * 256)  # weights in linear layers
    largest = 128 * 256
    mapped = (tmp_path / "model.safetensors").stat().st_size  # read in place, not allocated

    class Peak(TorchDispatchMode):
        """Measures what the live floating-point results of all operations hold."""

        def __init__(self):
            super().__init__()
            self.alive, self.peak = {}, 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            for tensor in [result] if isinstance(result, torch.Tensor) else []:
                if tensor.is_floating_point() and not tensor.is_meta:
                    storage = tensor.untyped_storage()
                    if storage.nbytes() != mapped:
                        self.alive[storage.data_ptr()] = StorageWeakRef(storage), storage.nbytes()
            self.alive = {k: v for k, v in self.alive.items() if not v[0].expired()}
            self.peak = max(self.peak, sum(size for _, size in self.alive.values()))
            return result

    gc.disable()  # weights have to go at once, not when the garbage collector comes by
    try:
        with Peak() as measured:
            loaded = peftlab.load_nf4(tmp_path, device="cpu")
    finally:
        gc.enable()
    rest = sum(p.numel() for p in loaded.parameters() if p.is_floating_point()) + sum(
        b.numel() for b in loaded.buffers()
    )
    assert peftlab.trainable_report(loaded).total == peftlab.trainable_report(model).total
    # One weight, and the few copies of it that quantizing makes.
    assert measured.peak < 4 * (rest + 12 * largest)
    assert 4 * (rest + 12 * largest) < 4 * linear


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_never_holds_more_than_one_weight_in_full(tmp_path):
    saved(tmp_path, hidden_size=512, intermediate_size=1024, num_hidden_layers=8)
    gc.collect()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    loaded = peftlab.load_nf4(tmp_path, device="cuda")
    held = torch.cuda.memory_allocated() - before
    peak = torch.cuda.max_memory_allocated() - before
    assert peak - held < 8 * 4 * 512 * 1024
    assert peak < peftlab.trainable_report(loaded).total * 2  # what 16 bit would take
    assert loaded(token_ids().cuda()).logits.isfinite().all()


@pytest.mark.parametrize("options", [{"targets": "q_proj"}, {"format": "fp4", "block_size": 32}])
def test_options_are_those_of_quantize_model(options, tmp_path):
    model = peftlab.quantize_model(saved(tmp_path), **options)
    same_weights(peftlab.load_nf4(tmp_path, device="cpu", **options), model)


def test_the_bundled_model_loads_and_trains():
    from peftcourse.experiments import models

    model = peftlab.load_nf4(models.path("tiny"), device="cpu", dtype=torch.float32)
    report = peftlab.trainable_report(model)
    assert report.total == models.info("tiny")["parameters"]
    peftlab.apply(model, peftlab.LoRAConfig(rank=2))
    ids = torch.arange(3, 40).unsqueeze(0)
    model(ids, labels=ids).loss.backward()
    assert all(layer.B.grad.norm() > 0 for _, layer in peftlab.adapter_layers(model))
    generated = model.generate(ids, max_new_tokens=3, do_sample=False)
    assert generated.shape == (1, 40)


def test_the_generation_settings_are_read(tmp_path):
    saved(tmp_path)
    GenerationConfig(max_new_tokens=17).save_pretrained(tmp_path)
    assert peftlab.load_nf4(tmp_path, device="cpu").generation_config.max_new_tokens == 17
    (tmp_path / "generation_config.json").unlink()
    assert peftlab.load_nf4(tmp_path, device="cpu").generation_config.max_new_tokens != 17


def test_files_without_the_prefix_of_the_head_are_read(tmp_path):
    model = saved(tmp_path, "gpt2")
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    assert all(key.startswith("transformer.") for key in tensors)
    short = {key.removeprefix("transformer."): value for key, value in tensors.items()}
    save_file(short, file, metadata={"format": "pt"})
    same_weights(peftlab.load_nf4(tmp_path, device="cpu"), peftlab.quantize_model(model))


def test_buffers_in_the_file_are_read(tmp_path, monkeypatch):
    import transformers

    class Scaled(transformers.LlamaForCausalLM):
        def __init__(self, config):
            super().__init__(config)
            self.register_buffer("running", torch.zeros(3))

    monkeypatch.setattr(transformers, "Scaled", Scaled, raising=False)
    model = Scaled(build("llama").config)
    model.running.copy_(torch.tensor([1.0, 2.0, 3.0]))
    model.save_pretrained(tmp_path)
    assert peftlab.load_nf4(tmp_path, device="cpu").running.tolist() == [1, 2, 3]


def test_the_model_does_not_depend_on_its_files_any_more(tmp_path):
    saved(tmp_path)
    loaded = peftlab.load_nf4(tmp_path, device="cpu")
    expected = loaded(token_ids()).logits
    file = tmp_path / "model.safetensors"
    with file.open("r+b") as stream:
        stream.write(b"\xff" * file.stat().st_size)
    assert torch.equal(loaded(token_ids()).logits, expected)


def test_building_the_skeleton_leaves_modules_as_they_were(tmp_path):
    saved(tmp_path)
    register = nn.Module.register_parameter
    peftlab.load_nf4(tmp_path, device="cpu")
    assert nn.Module.register_parameter is register
    assert not nn.Linear(2, 2).weight.is_meta


# --- errors --------------------------------------------------------------------------------------


def change_config(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(PeftlabError, match="is not a transformers model"):
        peftlab.load_nf4(tmp_path, device="cpu")


def test_an_unknown_architecture_is_named(tmp_path):
    saved(tmp_path)
    change_config(tmp_path, architectures=["MammothForCausalLM"])
    with pytest.raises(PeftlabError, match="architecture 'MammothForCausalLM'"):
        peftlab.load_nf4(tmp_path, device="cpu")
    change_config(tmp_path, architectures=None)
    with pytest.raises(PeftlabError, match="architecture 'none'"):
        peftlab.load_nf4(tmp_path, device="cpu")


def test_missing_files_are_named(tmp_path):
    saved(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(PeftlabError, match=r"has no model\.safetensors; .* safetensors files only"):
        peftlab.load_nf4(tmp_path, device="cpu")
    saved(tmp_path / "shards", shards=True)
    next((tmp_path / "shards").glob("model-00002*")).unlink()
    with pytest.raises(PeftlabError, match="has no model-00002"):
        peftlab.load_nf4(tmp_path / "shards", device="cpu")


def test_a_damaged_file_is_named(tmp_path):
    saved(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x10\0\0\0")
    with pytest.raises(PeftlabError, match="is damaged"):
        peftlab.load_nf4(tmp_path, device="cpu")


def test_a_missing_weight_is_named(tmp_path):
    saved(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(PeftlabError, match=r"do not hold 'model.layers.1.mlp.up_proj.weight'"):
        peftlab.load_nf4(tmp_path, device="cpu")


@pytest.mark.parametrize("quantized", [False, True])
def test_weights_of_another_size_are_named(quantized, tmp_path):
    model = saved(tmp_path, **WIDE)
    if quantized:
        peftlab.quantize_model(model).save_pretrained(tmp_path)
    change_config(tmp_path, intermediate_size=192)
    message = r"has shape \(128, 64\) in the files of .*, and \(192, 64\) by its config"
    with pytest.raises(PeftlabError, match=message):
        peftlab.load_nf4(tmp_path, device="cpu")


def test_an_unknown_format_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(PeftlabError, match="no format 'nf3'"):
        peftlab.load_nf4(tmp_path, device="cpu", format="nf3")


def test_the_default_device(tmp_path):
    saved(tmp_path)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = peftlab.load_nf4(tmp_path)
    assert {p.device.type for p in loaded.parameters()} == {device}
    assert {b.device.type for b in loaded.buffers()} == {device}
    assert isinstance(loaded.model.layers[0].mlp.up_proj, NF4Linear)
