"""Memory of common GPUs, and whether a training run fits one."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """A card, and the memory that its vendor states.

    Vendors write GB and mean GiB: a card of "24 GB" has 24 · 2³⁰ bytes, of which its firmware,
    error correction and driver take some before a program sees the rest.
    """

    name: str
    gib: int

    @property
    def bytes(self) -> int:
        """The stated memory in bytes."""
        return self.gib * GIB


# From the vendor's data sheets.
GPUS = (
    Gpu("T4", 16), Gpu("RTX 3090", 24), Gpu("RTX 4090", 24), Gpu("A10", 24), Gpu("L4", 24),
    Gpu("A100", 40), Gpu("RTX 6000 Ada", 48), Gpu("A100", 80), Gpu("H100", 80), Gpu("H200", 141),
)  # fmt: skip


def by_size() -> dict[int, str]:
    """The names of the cards of each size in GiB, the smallest first."""
    sizes = sorted({gpu.gib for gpu in GPUS})
    return {gib: ", ".join(gpu.name for gpu in GPUS if gpu.gib == gib) for gib in sizes}


# The estimate counts what PyTorch allocates. The card also holds what its driver and firmware
# keep, CUDA's context, and the gaps between PyTorch's blocks. A rule of thumb, not a measurement.
HEADROOM_PERCENT = 10


def usable(gpu_bytes: int) -> int:
    """Bytes of a card that a training run may allocate: the stated memory without the headroom."""
    return gpu_bytes * (100 - HEADROOM_PERCENT) // 100


def needed(peak_bytes: int) -> int:
    """Stated memory in bytes that a card must have for a peak: the inverse of `usable`."""
    return -(-peak_bytes * 100 // (100 - HEADROOM_PERCENT))
