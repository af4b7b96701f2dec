"""Write a model of seven billion random numbers, to see that what is meant for such a size runs.

    python -m tools.random_model FOLDER

Its shape is that of Mistral-7B (Jiang et al. 2023, table 1), its tokenizer the bundled one. It can
say nothing, and takes the memory and the time of one that can.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

MISTRAL_7B = {
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 32_000,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}


def write(folder: Path, **shape: Any) -> Path:
    """Write configuration, weights in bfloat16 and tokenizer.

    Args:
        folder: where to.
        shape: fields of LlamaConfig that differ from Mistral-7B's.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

    from peftcourse.experiments import models

    tokenizer = AutoTokenizer.from_pretrained(models.path("tiny"))
    tokens = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id")}
    config = LlamaConfig(**MISTRAL_7B | shape, **tokens, pad_token_id=tokenizer.pad_token_id)
    device = "cuda" if torch.cuda.is_available() else "cpu"  # a GPU draws 10⁹ numbers in no time
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device), torch.random.fork_rng():
            torch.manual_seed(0)
            model = AutoModelForCausalLM.from_config(config)
    finally:
        torch.set_default_dtype(before)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
