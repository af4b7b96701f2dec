"""NF4 on a GPU, against itself on the CPU and against bitsandbytes on both."""

import pytest
import torch

from peftlab import nf4
from peftlab.parity import twins_quant
from peftlab.parity.twins_quant import BLOCK_SIZES, DTYPES

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_gpu_gives_the_bytes_of_the_cpu(dtype):
    for _, weight in twins_quant.samples(dtype, 64):
        packed, state = nf4.quantize(weight)
        on_gpu, gpu_state = nf4.quantize(weight.cuda())
        assert torch.equal(on_gpu.cpu(), packed)
        values = nf4.dequantize(packed.cuda(), state.to("cuda"))
        assert torch.equal(values.cpu(), nf4.dequantize(packed, state))
        assert gpu_state.absmax.is_cuda


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("format", ["nf4", "fp4"])
def test_it_equals_bitsandbytes_wherever_its_cpu_and_gpu_agree(format, dtype):
    for block_size in BLOCK_SIZES:
        for name, weight in twins_quant.samples(dtype, block_size):
            counts = twins_quant.compare_devices(weight, format, block_size)
            assert counts["codes"].from_cpu == 0, (name, block_size)
            for what, count in counts.items():
                assert count.from_both == 0, (name, block_size, what)
