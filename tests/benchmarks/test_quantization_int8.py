"""A base in 8 bits: its size, what it computes, and what was recorded of it."""

import itertools

import pytest
import torch

from benchmarks import quantization_int8 as benchmark
from peftcourse.experiments import models, results
from peftlab.quantization.linear import to_quantize


@pytest.fixture(scope="module")
def layers():
    """The linear layers of the bundled model that a format is for."""
    return to_quantize(models.load("tiny", device="cpu").model, "all-linear").values()


@pytest.mark.parametrize("base", benchmark.BASES)
def test_the_bytes_of_a_base_are_those_of_its_format(base, layers):
    weights = sum(layer.weight.numel() for layer in layers)
    rows = sum(layer.out_features for layer in layers)  # LLM.int8 has a 32-bit scale for each
    linear = {
        "16 bit": 2 * weights,
        "int8, blocks of 64": weights + 4 * weights // 64,
        "LLM.int8": weights + 4 * rows,
        "NF4": weights * (4 + 8 / 64 + 32 / (64 * 256)) / 8,
    }[base]
    wanted = linear + 2 * (models.info("tiny")["parameters"] - weights)
    # NF4's scales of scales come in whole blocks, and each layer has one mean of its own.
    assert benchmark.base_bytes(benchmark.quantized(base)) == pytest.approx(wanted, rel=1e-3)


def test_bases_of_eight_bits_compute_nearly_what_the_base_does():
    ids = torch.randint(0, 4096, (2, 16), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, *found = (
            benchmark.quantized(base).to("cpu")(ids).logits for base in benchmark.BASES
        )
    blocks, llm, nf4 = ((logits - wanted).norm() / wanted.norm() for logits in found)
    assert 0 < blocks < 0.02 and 0 < llm < 0.02
    assert nf4 > 3 * max(blocks, llm)


def test_the_record_is_the_planned_one():
    numbers = results.recorded("quantization_int8")["numbers"]
    assert [(run["seed"], run["base"]) for run in numbers["runs"]] == list(
        itertools.product(benchmark.SEEDS, benchmark.BASES)
    )
    assert numbers["steps"] == benchmark.STEPS
    assert [(row["shape"], row["bits"], row["checkpointing"]) for row in numbers["memory"]] == [
        (benchmark.SHAPE, bits, checkpointing)
        for bits, checkpointing in itertools.product(benchmark.BITS, (False, True))
    ]
