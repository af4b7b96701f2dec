r"""Blockwise quantization to 4 bits, and double quantization of the scales (QLoRA, §3).

A weight is read as one long row and cut into blocks of 64. Each block is divided by its *absmax*,
its largest magnitude, and each number is replaced by the code of the nearest of 16 levels:

.. math::
    s_b = \max_{i \in b} |w_i|, \qquad
    q_i = \arg\min_k \left| \frac{w_i}{s_b} - \ell_k \right|, \qquad
    \hat{w}_i = s_b \, \ell_{q_i}

Two codes fit into a byte, the first in its high half. A float32 absmax for 64 weights costs another
half bit per weight; *double quantization* stores the absmax values in 8 bits, too.

The bytes are those of bitsandbytes, bit for bit. What decides them is written down here:

- all arithmetic is in float32, whatever the weight's dtype;
- a full block is multiplied by the reciprocal 1/s, the shorter block at the end of an odd-sized
  weight is divided by s (the two can differ in the last bit);
- a value exactly between two levels goes to the lower one;
- a block of zeros has s = 0, and its codes are those of level 0.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from peftlab.errors import PeftlabError
from peftlab.quantization.formats import Format, dynamic_codes, dynamic_map, get_format

BLOCK_SIZE = 64
# How many absmax values share one scale of their own (QLoRA §3, "Double Quantization").
NESTED_BLOCK_SIZE = 256
# Dividing by this instead of 0 makes a block of zeros come out as zeros.
SMALLEST_ABSMAX = 1e-38


@dataclass(frozen=True)
class Nested:
    """What undoes the quantization of the absmax values.

    Attributes:
        absmax: one scale for each 256 absmax values, float32.
        offset: the mean of all absmax values, float32, shape (). Scales are positive; with their
            mean taken out, both halves of the symmetric 8-bit map are used.
    """

    absmax: Tensor
    offset: Tensor


@dataclass(frozen=True)
class QuantState:
    """Everything but the codes: what ``dequantize`` needs to turn them into a weight again.

    Attributes:
        format: the number format of the codes.
        shape: shape of the weight.
        dtype: dtype of the weight.
        block_size: how many weights share a scale.
        absmax: one scale per block: float32, or its 8-bit code when the scales are quantized.
        nested: how to turn those 8-bit codes into scales; None if ``absmax`` holds scales.
    """

    format: Format
    shape: torch.Size
    dtype: torch.dtype
    block_size: int
    absmax: Tensor
    nested: Nested | None = None

    def scales(self) -> Tensor:
        """The scale of each block: float32, shape (blocks,)."""
        if self.nested is None:
            return self.absmax
        return dequantize_absmax(self.absmax, self.nested)

    def to(self, device: torch.device | str) -> QuantState:
        """The same state with its tensors on another device."""
        nested = self.nested
        if nested is not None:
            nested = Nested(nested.absmax.to(device), nested.offset.to(device))
        return dataclasses.replace(self, absmax=self.absmax.to(device), nested=nested)


# --- quantize and dequantize ---------------------------------------------------------------------


@torch.no_grad()
def quantize(
    weight: Tensor, *, format: str = "nf4", block_size: int = BLOCK_SIZE, double: bool = True
) -> tuple[Tensor, QuantState]:
    """Quantize a weight in blocks.

    Args:
        weight: any shape, floating point, any device; it is not changed.
        format: a name in ``peftlab.quantization.formats.FORMATS``.
        block_size: how many neighbouring weights share a scale.
        double: whether the scales are quantized to 8 bits, too.

    Returns:
        The codes, uint8, shape (bytes,): two to a byte in a 4-bit format, one in an 8-bit format;
        and the state that ``dequantize`` needs. Both are on the weight's device.

    Raises:
        PeftlabError: the weight is empty, not floating point, or not finite, or the block size or
            the format is not a usable one.
    """
    fmt = get_format(format)
    if not isinstance(block_size, int) or block_size < 1:
        raise PeftlabError(f"block_size must be a whole number of at least 1, not {block_size!r}.")
    if not weight.is_floating_point() or weight.numel() == 0:
        raise PeftlabError(
            f"a weight of dtype {weight.dtype} and shape {tuple(weight.shape)} cannot be "
            "quantized; give one of floating point that is not empty."
        )
    scaled, absmax = _scale_blocks(weight.detach().flatten().float(), block_size)
    if not absmax.isfinite().all():
        raise PeftlabError("the weight holds NaN or infinity; mend it, then quantize.")
    codes = fmt.nearest(scaled).to(torch.uint8)
    packed = pack(codes, pad=_zero_code(fmt)) if fmt.bits == 4 else codes
    nested = None
    if double:
        absmax, nested = quantize_absmax(absmax)
    return packed, QuantState(fmt, weight.shape, weight.dtype, block_size, absmax, nested)


@torch.no_grad()
def dequantize(packed: Tensor, state: QuantState, dtype: torch.dtype | None = None) -> Tensor:
    """The weight that the codes stand for.

    Args:
        packed: codes as ``quantize`` returns them; any shape.
        state: what ``quantize`` returned with them.
        dtype: dtype of the result; that of the original weight if left out. The product of level
            and scale is computed in float32 and rounded once.

    Returns:
        The weight, of shape ``state.shape``.
    """
    count = state.shape.numel()
    fmt, index = state.format, packed.flatten().int()
    if fmt.bits == 4:
        # A byte is looked up as a whole: fewer and smaller intermediate results than unpacking it.
        values = _level_pairs(fmt, packed.device)[index].flatten()[:count]
    else:
        values = fmt.levels(packed.device)[index]
    scales = state.scales()
    full = count - count % state.block_size
    blocks = values[:full].view(-1, state.block_size)
    blocks.mul_(scales[: len(blocks)].unsqueeze(1))
    if full < count:
        values[full:].mul_(scales[-1])
    return values.view(state.shape).to(dtype or state.dtype)


def _scale_blocks(flat: Tensor, block_size: int) -> tuple[Tensor, Tensor]:
    """Divide each block by its absmax.

    Args:
        flat: float32, shape (weights,).
        block_size: weights in a block; the last block may be shorter.

    Returns:
        The scaled weights in [-1, 1], shape (weights,), and the absmax of each block.
    """
    full = len(flat) - len(flat) % block_size
    blocks, rest = flat[:full].view(-1, block_size), flat[full:]
    absmax = blocks.abs().amax(dim=1)
    scaled = blocks * (1.0 / absmax.clamp(min=SMALLEST_ABSMAX)).unsqueeze(1)
    scaled = scaled.flatten()
    if len(rest):
        last = rest.abs().amax().clamp(min=SMALLEST_ABSMAX).unsqueeze(0)
        scaled, absmax = torch.cat([scaled, rest / last]), torch.cat([absmax, last])
    # 1/s rounds, so that s times it can exceed 1 by one bit.
    return scaled.clamp_(-1, 1), absmax


# --- two codes in a byte -------------------------------------------------------------------------


def pack(codes: Tensor, pad: int = 0) -> Tensor:
    """Two 4-bit codes per byte, the first in the high half.

    Args:
        codes: uint8 below 16, shape (n,).
        pad: the code that fills the last byte when n is odd.

    Returns:
        uint8, shape (⌈n/2⌉,).
    """
    if len(codes) % 2:
        codes = F.pad(codes, (0, 1), value=pad)
    return (codes[::2] << 4) | codes[1::2]


def unpack(packed: Tensor) -> Tensor:
    """The codes in these bytes, in order: uint8, shape (2 · bytes,)."""
    return torch.stack([packed >> 4, packed & 0xF], dim=-1).flatten()


def _zero_code(fmt: Format) -> int:
    return fmt.values.index(0.0)


@cache
def _level_pairs(fmt: Format, device: torch.device) -> Tensor:
    """The two levels that each byte stands for: float32, shape (256, 2)."""
    levels = F.pad(fmt.levels(device), (0, 16 - len(fmt.values)))  # int4 leaves one code unused
    every_byte = torch.arange(256, dtype=torch.uint8, device=device)
    return levels[unpack(every_byte).int()].view(256, 2)


# --- double quantization -------------------------------------------------------------------------


def quantize_absmax(absmax: Tensor) -> tuple[Tensor, Nested]:
    """Store scales in 8 bits: subtract their mean, then quantize in blocks of 256.

    Args:
        absmax: float32, shape (blocks,).

    Returns:
        The codes, uint8, shape (blocks,), and what ``dequantize_absmax`` needs.
    """
    offset = absmax.mean()
    centred = absmax - offset
    padded = F.pad(centred, (0, -len(centred) % NESTED_BLOCK_SIZE)).view(-1, NESTED_BLOCK_SIZE)
    outer = padded.abs().amax(dim=1)
    scaled = padded * (1.0 / outer.clamp(min=SMALLEST_ABSMAX)).unsqueeze(1)
    codes = dynamic_codes(scaled.clamp_(-1, 1))
    # A block that equals the mean throughout has no scale; any code stands for 0 then.
    codes[outer == 0] = 0
    return codes.flatten()[: len(absmax)], Nested(outer, offset)


def dequantize_absmax(codes: Tensor, nested: Nested) -> Tensor:
    """The scales that 8-bit codes stand for: float32, shape (blocks,)."""
    levels = dynamic_map(codes.device)[codes.int()]
    outer = nested.absmax.repeat_interleave(NESTED_BLOCK_SIZE)[: len(codes)]
    return levels * outer + nested.offset


# --- size and error ------------------------------------------------------------------------------


def bits_per_parameter(
    *, bits: int = 4, block_size: int = BLOCK_SIZE, double: bool = True
) -> float:
    """What a large weight costs: codes and scales, in bits for each of its elements.

    With blocks of 64 that is 4 + 32/64 = 4.5, and with double quantization
    4 + 8/64 + 32/(64 · 256) = 4.127.
    """
    if not double:
        return bits + 32 / block_size
    return bits + 8 / block_size + 32 / (block_size * NESTED_BLOCK_SIZE)


def stored_bytes(packed: Tensor, state: QuantState) -> int:
    """Bytes that the codes and their scales take."""
    tensors = [packed, state.absmax]
    if state.nested is not None:
        tensors += [state.nested.absmax, state.nested.offset]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def relative_error(value: Tensor, reference: Tensor) -> float:
    """‖value - reference‖ / ‖reference‖ in the Frobenius norm, computed in float64."""
    reference = reference.double()
    scale = torch.linalg.vector_norm(reference).item()
    error = torch.linalg.vector_norm(value.double() - reference).item()
    if scale == 0:
        return math.inf if error else 0.0
    return error / scale


def quantization_error(weight: Tensor, **options: object) -> float:
    """Relative Frobenius error of quantizing a weight and back; options as for ``quantize``."""
    packed, state = quantize(weight, **options)
    return relative_error(dequantize(packed, state, torch.float32), weight)
