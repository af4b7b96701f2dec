"""Counted parameters against transformers' and peftlab's own, on torch's meta device."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

import peftlab
from peftlab.memory import PRESETS, Settings, estimate

QV = ("q_proj", "v_proj")


def meta(name):
    fields = dict(PRESETS[name])
    config = AutoConfig.for_model(fields.pop("model_type"), **fields)
    kind = AutoModelForMaskedLM if config.model_type == "bert" else AutoModelForCausalLM
    with torch.device("meta"):
        return kind.from_config(config)


def trained(model, **settings):
    return estimate(model, Settings(**settings)).trained


@pytest.mark.parametrize("name", PRESETS)
def test_parameters_of_every_preset(name):
    expected = sum(parameter.numel() for parameter in meta(name).parameters())
    made = estimate(name, Settings(method="full"))
    assert made.parameters == made.trained == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama-7b", 6_738_415_616),
        ("llama-13b", 13_015_864_320),
        ("llama-33b", 32_528_943_616),
        ("llama-65b", 65_285_660_672),
        ("llama-2-70b", 68_976_648_192),
        ("llama-3.1-8b", 8_030_261_248),
        ("llama-3.2-1b", 1_235_814_400),
        ("llama-3.2-3b", 3_212_749_824),
        ("mistral-7b", 7_241_732_096),
        ("qwen3-0.6b", 596_049_920),
        ("qwen3-8b", 8_190_735_360),
        ("smollm2-135m", 134_515_008),
        ("gpt2", 124_439_808),
    ],
)
def test_published_sizes(name, expected):
    assert estimate(name, Settings(method="full")).parameters == expected


@pytest.mark.parametrize(
    ("name", "settings", "method"),
    [
        ("llama-7b", {}, peftlab.LoRAConfig(rank=8, targets=QV)),
        ("llama-3.2-1b", {"targets": "all-linear"}, peftlab.LoRAConfig(rank=8)),
        ("qwen3-0.6b", {"targets": "o_proj,down_proj", "rank": 3}, None),
        ("llama-3.2-1b", {"method": "dora"}, peftlab.DoRAConfig(rank=8, targets=QV)),
        ("llama-7b", {"method": "ia3"}, peftlab.IA3Config()),
        ("gpt2", {"method": "ia3"}, peftlab.IA3Config()),
        ("bert-base", {"method": "ia3"}, peftlab.IA3Config()),
        ("gpt2", {"method": "bitfit"}, peftlab.BitFitConfig()),
        ("bert-base", {"method": "bitfit"}, peftlab.BitFitConfig()),
        ("bert-base", {"targets": "all-linear"}, peftlab.LoRAConfig(rank=8)),
        ("bert-large", {"targets": "query,value"}, None),
        ("gpt2", {"targets": "c_attn"}, None),
        ("gpt2-medium", {"targets": "all-linear"}, peftlab.LoRAConfig(rank=8)),
        ("llama-3.2-1b", {"method": "bottleneck"}, peftlab.BottleneckConfig(size=64)),
        ("gpt2", {"method": "bottleneck"}, peftlab.BottleneckConfig(size=64)),
        ("llama-3.2-1b", {"method": "prefix"}, peftlab.PrefixConfig(tokens=20)),
        ("llama-7b", {"method": "prompt"}, peftlab.PromptConfig(tokens=20)),
    ],
)
def test_trained_parameters_are_those_of_the_method(name, settings, method):
    if method is None:
        targets = tuple(settings["targets"].split(","))
        method = peftlab.LoRAConfig(rank=settings.get("rank", 8), targets=targets)
    report = peftlab.trainable_report(peftlab.apply(meta(name), method))
    assert trained(name, **settings) == report.trainable


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("llama-7b", {}, 4_194_304),
        ("llama-7b", {"rank": 64}, 33_554_432),
        ("llama-7b", {"rank": 16, "targets": "all-linear"}, 39_976_960),
        ("llama-7b", {"method": "qlora", "targets": "q_proj,k_proj,v_proj,o_proj"}, 8_388_608),
        ("llama-7b", {"method": "ia3"}, 614_400),
        ("llama-7b", {"method": "prompt"}, 81_920),
        ("llama-7b", {"method": "prefix"}, 5_242_880),
        ("llama-13b", {}, 6_553_600),
        ("llama-3.2-3b", {"rank": 32}, 9_175_040),
    ],
)
def test_published_counts(name, settings, expected):
    made = estimate(name, Settings(**settings))
    assert made.trained == expected
    assert made.file_bytes == 4 * expected  # float32


def test_a_model_trained_in_full_is_saved_whole():
    made = estimate("llama-7b", Settings(method="full"))
    assert made.file_bytes == 2 * 6_738_415_616
