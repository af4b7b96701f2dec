"""The settings of one training run, and the architecture that every run shares."""

from __future__ import annotations

import math
from dataclasses import dataclass

VOCABULARY = 4096
CONTEXT = 512


@dataclass(frozen=True)
class Recipe:
    """Everything that decides one run. The defaults are those of the model that ships.

    Attributes:
        epochs: Passes over the training stories.
        batch_size: Windows of `CONTEXT` tokens in one optimizer step.
        learning_rate: Peak learning rate of AdamW.
        final_fraction: The cosine schedule ends at this fraction of the peak.
        warmup_steps: Steps of linear warm-up.
        weight_decay: Decoupled weight decay of the matrices; norms have none.
        clip: Largest norm of the whole gradient.
        seed: Seeds the initial weights and the order of the stories.
        extra_copies: How often each `--extra` story appears in one epoch; 0 leaves them out.
    """

    epochs: int = 16
    batch_size: int = 64
    learning_rate: float = 2.5e-3
    final_fraction: float = 0.05
    warmup_steps: int = 80
    weight_decay: float = 2.0
    clip: float = 1.0
    seed: int = 0
    extra_copies: int = 0

    def rate(self, step: int, steps: int) -> float:
        """Learning rate at `step` (from 0) of `steps`: linear warm-up, then half a cosine."""
        warmup = min(self.warmup_steps, steps // 10)
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        progress = (step - warmup) / max(1, steps - warmup)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return self.learning_rate * (self.final_fraction + (1 - self.final_fraction) * cosine)


def architecture(**changes):
    """Configuration of the bundled model: a 6.95 M parameter Llama with grouped-query attention.

    Args:
        **changes: Fields of `transformers.LlamaConfig` to replace (tests use a smaller model).

    Returns:
        A `transformers.LlamaConfig`.
    """
    from transformers import LlamaConfig

    fields = {
        "vocab_size": VOCABULARY,
        "hidden_size": 256,
        "intermediate_size": 704,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "max_position_embeddings": CONTEXT,
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 1,
    }
    return LlamaConfig(**{**fields, **changes})
