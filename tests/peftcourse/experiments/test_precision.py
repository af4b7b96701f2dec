"""Which 16-bit numbers are native: asked of the GPU's generation, not of what it can emulate."""

import pytest
import torch

from peftcourse.experiments import models, precision

T4, A100 = (7, 5), (8, 0)


@pytest.mark.parametrize(("capability", "dtype"), [(T4, torch.float16), (A100, torch.bfloat16)])
def test_a_gpu_computes_in_what_it_multiplies_natively(monkeypatch, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    # A T4 says that it supports bfloat16, since it can emulate it.
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
    assert precision.sixteen_bit("cuda") is dtype
    assert precision.autocast_dtype("cuda:1") is dtype


def test_a_cpu_trains_in_the_precision_it_has():
    assert precision.autocast_dtype("cpu") is None
    assert precision.sixteen_bit("cpu") is torch.bfloat16


@pytest.mark.parametrize(("capability", "dtype"), [(T4, torch.float16), (A100, torch.bfloat16)])
def test_a_base_model_is_loaded_in_it(monkeypatch, capability, dtype):
    """The weights' dtype, and that of 4-bit arithmetic, as they are asked of transformers."""
    import transformers

    asked = {}

    class Stop(Exception):
        pass

    def from_pretrained(source, **options):
        asked.update(options)
        raise Stop

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", from_pretrained)
    with pytest.raises(Stop):
        models.load("tiny", device="cuda", four_bit=True)
    assert asked["dtype"] is dtype
    assert asked["quantization_config"].bnb_4bit_compute_dtype is dtype
