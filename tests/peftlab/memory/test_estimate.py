"""The estimate: closed forms, sums, what grows with what, and mistakes."""

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from peftlab.errors import PeftlabError
from peftlab.memory import PRESETS, Settings, estimate
from peftlab.memory.settings import METHODS, OPTIMIZERS
from peftlab.memory.table import COMPONENTS

GB = 1e9
# These keep a tensor's states elsewhere, or in fewer bits, from a number of elements on.
BY_SIZE = ("adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit")
CAUSAL = [name for name in PRESETS if not name.startswith("bert")]


@st.composite
def runs(draw):
    """A model and settings that go together."""
    method = draw(st.sampled_from([m for m in METHODS if m != "bitfit"]))
    implementation = draw(st.sampled_from(("peft", "peftlab")))
    precisions = {"full": ("bf16", "mixed", "fp32"), "qlora": ("bf16",)}
    checkpointed = draw(st.booleans()) and not (method == "prefix" and implementation == "peft")
    settings = {
        "method": method,
        "implementation": implementation,
        "precision": draw(st.sampled_from(precisions.get(method, ("bf16", "fp32")))),
        "gradient_checkpointing": checkpointed,
        "attention": draw(st.sampled_from(("sdpa", "eager"))),
        "optimizer": draw(st.sampled_from(OPTIMIZERS)),
        "targets": draw(st.sampled_from((None, "all-linear"))),
        "rank": draw(st.integers(1, 256)),
        "tokens": draw(st.integers(1, 100)),
        "batch_size": draw(st.integers(1, 16)),
        "seq_len": draw(st.integers(1, 800)),  # GPT-2 has 1024 positions, with those of a prompt
        "double_quantization": draw(st.booleans()),
    }
    return draw(st.sampled_from(CAUSAL)), settings


@hypothesis_settings(deadline=None)
@given(runs())
def test_components_sum_to_the_peak_and_none_is_negative(run):
    model, settings = run
    made = estimate(model, Settings(**settings))
    assert tuple(made.components) == COMPONENTS
    assert all(isinstance(size, int) and size >= 0 for size in made.components.values())
    assert made.peak_bytes == sum(made.components.values()) == max(made.moments.values())
    assert made.moments[made.moment] == made.peak_bytes


@hypothesis_settings(deadline=None)
@given(runs(), st.sampled_from(("batch_size", "seq_len", "rank", "tokens")), st.integers(1, 100))
def test_more_needs_no_less(run, field, more):
    model, settings = run
    if field in ("rank", "tokens") and settings["optimizer"] in BY_SIZE:
        settings["optimizer"] = "adamw_32bit"
    before = estimate(model, Settings(**settings))
    grown = settings | {field: settings[field] + more}
    after = estimate(model, Settings(**grown))
    assert after.peak_bytes >= before.peak_bytes
    assert after.trained >= before.trained
    assert after.flops >= before.flops


@pytest.mark.parametrize(
    ("model", "optimizer", "ranks", "paged"),
    [
        ("smollm2-135m", "adamw_8bit", (7, 8), False),  # 7 · 576 < 4096 ≤ 8 · 576
        ("llama-3.2-1b", "paged_adamw_32bit", (42, 49), True),  # 42 · 2048 < 100,000 ≤ 49 · 2048
    ],
)
def test_a_larger_tensor_may_have_smaller_states(model, optimizer, ranks, paged):
    """From a number of elements on, bitsandbytes keeps a tensor's states in 8 bits or in managed
    memory; a rank that takes a tensor there needs less than the one before it."""
    small, large = (
        estimate(model, Settings(rank=rank, optimizer=optimizer, batch_size=1, seq_len=1))
        for rank in ranks
    )
    assert large.trained > small.trained and large.peak_bytes < small.peak_bytes
    assert (large.paged_bytes > small.paged_bytes == 0) == paged


@hypothesis_settings(deadline=None)
@given(runs())
def test_what_is_meant_to_save_memory_does(run):
    model, settings = run

    def peak(**changed):
        return estimate(model, Settings(**settings | changed)).peak_bytes

    assert peak(optimizer="sgd") <= peak(optimizer="sgd_momentum") <= peak(optimizer="adamw")
    assert peak(optimizer="adamw_8bit") <= peak(optimizer="adamw_32bit")
    assert peak(optimizer="paged_adamw_8bit") <= peak(optimizer="adamw_8bit")
    assert peak(double_quantization=True) <= peak(double_quantization=False)
    # The matrix of scores outgrows what a fused kernel keeps once sequences are not tiny.
    assert peak(attention="sdpa", seq_len=800) <= peak(attention="eager", seq_len=800)


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("bitfit", "prefix")])
@pytest.mark.parametrize("model", ["llama-2-7b", "qwen3-0.6b", "smollm2-135m"])
def test_checkpointing_saves_memory(model, method):
    # With AdamW the peak of full fine-tuning can be the optimizer's step, without activations.
    usual = Settings(method=method, seq_len=1024, batch_size=4, optimizer="sgd")
    saving = replace(usual, gradient_checkpointing=True)
    assert estimate(model, saving).peak_bytes < estimate(model, usual).peak_bytes
    assert estimate(model, saving).flops > estimate(model, usual).flops


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"precision": "bf16"}, 53.9),  # everything in 16 bit
        ({"precision": "bf16", "optimizer": "adamw_32bit"}, 80.9),  # states in 32 bit
        ({"precision": "fp32"}, 107.8),  # everything in 32 bit
        ({"precision": "mixed"}, 107.8),  # weights, gradients and states in 32 bit
    ],
)
def test_7b_in_full_takes_54_or_81_or_108_gb_before_activations(settings, expected):
    made = estimate("llama-7b", Settings(method="full", gradient_checkpointing=True, **settings))
    state = sum(made.components[name] for name in ("weights", "gradients", "optimizer_states"))
    assert round(state / GB, 1) == expected


@pytest.mark.parametrize(("double", "bits"), [(False, 0.5), (True, 0.127)])
def test_quantization_constants_take_half_a_bit_or_an_eighth(double, bits):
    made = estimate("llama-7b", Settings(method="qlora", double_quantization=double))
    quantized = made.parameters - (2 * 32_000 + 65) * 4096  # embedding, head and norms stay
    assert 8 * made.components["quantization_constants"] / quantized == pytest.approx(
        bits, abs=1e-3
    )


def test_small_tensors_have_states_in_32_bit():
    # IA³'s vectors of 4096 numbers are just large enough for 8 bit; one of 1024 is not.
    def states(model, optimizer):
        settings = Settings(method="ia3", optimizer=optimizer)
        return estimate(model, settings).components["optimizer_states"]

    assert states("qwen3-0.6b", "adamw_8bit") > 0.5 * states("qwen3-0.6b", "adamw_32bit")
    assert states("llama-7b", "adamw_8bit") < 0.5 * states("llama-7b", "adamw_32bit")


def test_paged_states_are_apart():
    paged = estimate("llama-7b", Settings(method="full", optimizer="paged_adamw_32bit"))
    usual = estimate("llama-7b", Settings(method="full", optimizer="adamw_32bit"))
    assert usual.paged_bytes == 0
    # Norms are too small to be paged.
    assert paged.paged_bytes == 8 * (6_738_415_616 - 65 * 4096)
    assert paged.components["optimizer_states"] == 8 * 65 * 4096


def test_flops_of_full_fine_tuning_are_six_for_each_parameter_and_token():
    made = estimate("llama-7b", Settings(method="full", seq_len=512))
    products = 6_738_415_616 - (32_000 + 65) * 4096
    assert made.flops == pytest.approx(6 * products * 512, rel=0.03)  # attention comes on top
    frozen = estimate("llama-7b", Settings(method="lora", seq_len=512))
    assert frozen.flops / made.flops == pytest.approx(2 / 3, rel=0.02)


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("llama-2-7b", {"method": "lorra"}, "method must be one of full, lora"),
        ("llama-2-7b", {"rank": 0}, "rank must be a whole number of at least 1, not 0"),
        ("llama-2-7b", {"seq_len": True}, "seq_len must be a whole number"),
        ("llama-2-7b", {"targets": "c_attn"}, "target 'c_attn' means no linear layer of llama"),
        ("llama-2-7b", {"targets": ""}, "targets is empty"),
        ("llama-2-7b", {"method": "bitfit"}, "llama-2-7b has no biases"),
        ("llama-2-7b", {"precision": "mixed"}, "lora trains none"),
        ("llama-2-7b", {"method": "qlora", "precision": "fp32"}, "qlora computes in 16 bit"),
        ("llama-2-7b", {"precision": "fp32", "attention": "flash"}, "computes in 16 bit"),
        (
            "llama-2-7b",
            {"method": "prefix", "gradient_checkpointing": True},
            "peft cannot train a prefix with gradient checkpointing",
        ),
        ("gpt2", {"seq_len": 2000}, "gpt2 has 1,024 positions, fewer than 2,000 tokens"),
        ("bert-base", {"method": "prompt"}, "bert-base is an encoder"),
        ("gpt5", {}, "'gpt5' is no known model; use a preset"),
    ],
)
def test_mistakes_are_named_with_their_remedy(model, settings, message):
    with pytest.raises(PeftlabError, match=message.replace("(", r"\(")):
        estimate(model, Settings(**settings))


def test_it_needs_no_torch():
    code = (
        "import sys; from peftlab.memory import Settings, estimate; "
        "estimate('llama-7b', Settings()); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
