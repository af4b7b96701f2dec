"""4-bit codes on a GPU: peftlab against bitsandbytes on the CPU and on the GPU.

    python -m benchmarks.nf4_devices

bitsandbytes does not give the same bytes on both devices: its GPU code rounds differently in the
shorter block at the end of an odd-sized weight, and finds the 8-bit code of a scale by another
rule. Where the two agree, peftlab agrees with them; the other values are counted.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

import torch

from peftlab.errors import PeftlabError
from peftlab.experiments import results
from peftlab.parity import twins_quant
from peftlab.parity.twins_quant import BLOCK_SIZES, DTYPES, DeviceCounts

SEED = 0
# The shape of LLaMA-7B's largest weight, with the spread that weights of that size have.
ROWS, COLUMNS, SPREAD = 4096, 11008, 0.02


def samples() -> list[dict[str, Any]]:
    """The counts over all kinds of small weights, by format, dtype and kind of weight."""
    rows = []
    for format in ("nf4", "fp4"):
        for dtype in DTYPES:
            totals: dict[tuple[str, str], DeviceCounts] = {}
            for block_size in BLOCK_SIZES:
                for kind, weight in twins_quant.samples(dtype, block_size, seed=SEED):
                    counts = twins_quant.compare_devices(weight, format, block_size)
                    for what, count in counts.items():
                        totals[kind, what] = totals.get((kind, what), DeviceCounts()) + count
            rows += [row(format, dtype, kind, what, n) for (kind, what), n in totals.items()]
    return rows


def large() -> list[dict[str, Any]]:
    """The counts of one weight as large as LLaMA-7B's largest, in blocks of 64."""
    generator = torch.Generator("cuda").manual_seed(SEED)
    weight = SPREAD * torch.randn(ROWS, COLUMNS, device="cuda", generator=generator)
    return [
        row(format, dtype, f"{ROWS} x {COLUMNS}", what, count)
        for format in ("nf4", "fp4")
        for dtype in DTYPES
        for what, count in twins_quant.compare_devices(weight.to(dtype), format, 64).items()
    ]


def row(
    format: str, dtype: torch.dtype, weight: str, what: str, count: DeviceCounts
) -> dict[str, Any]:
    """One line of the result."""
    name = str(dtype).removeprefix("torch.")
    return {"format": format, "dtype": name, "weight": weight, "what": what, **asdict(count)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="results/nf4_devices.json")
    output = parser.parse_args().output
    if not torch.cuda.is_available():
        raise PeftlabError("this compares a GPU with a CPU; run it on a machine with a GPU.")
    rows = samples() + large()
    for line in rows:
        print(*line.values())
    results.write(
        output,
        what="Bytes of 4-bit codes and 8-bit codes of scales that differ: peftlab on the GPU from "
        "bitsandbytes on the CPU, bitsandbytes on the CPU from itself on the GPU, and peftlab "
        "from the GPU where those two agree",
        command="python -m benchmarks.nf4_devices",
        seeds=[SEED],
        numbers={"rows": rows},
    )


if __name__ == "__main__":
    main()
