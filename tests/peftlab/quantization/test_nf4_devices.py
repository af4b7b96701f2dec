"""NF4 on a GPU, against itself on the CPU and against bitsandbytes on both."""

import pytest
import torch

from peftcourse.parity import twins_quantization
from peftcourse.parity.twins_quantization import BLOCK_SIZES, DTYPES
from peftlab.quantization import nf4

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_gpu_gives_the_bytes_of_the_cpu(dtype):
    for name, weight in twins_quantization.samples(dtype, 64):
        packed, state = nf4.quantize(weight, double=False)
        on_gpu, gpu_state = nf4.quantize(weight.cuda(), double=False)
        assert torch.equal(on_gpu.cpu(), packed), name
        assert torch.equal(gpu_state.absmax.cpu(), state.absmax), name
        _, state = nf4.quantize(weight)
        values = nf4.dequantize(packed.cuda(), state.to("cuda"))
        assert torch.equal(values.cpu(), nf4.dequantize(packed, state)), name


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("format", ["nf4", "fp4"])
def test_it_equals_bitsandbytes_wherever_its_cpu_and_gpu_agree(format, dtype):
    for block_size in BLOCK_SIZES:
        for name, weight in twins_quantization.samples(dtype, block_size):
            for function in (twins_quantization.codes, twins_quantization.scales):
                ours, on_gpu = function(weight.cuda(), format, block_size)
                _, on_cpu = function(weight, format, block_size)
                agreed = on_cpu == on_gpu.cpu()
                wrong = agreed & (ours != on_gpu).cpu()
                assert not wrong.any(), (name, block_size, function.__name__, int(wrong.sum()))
            assert torch.equal(*twins_quantization.values(weight.cuda(), format, block_size))
