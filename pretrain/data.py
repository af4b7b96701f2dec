"""Stories in, token ids out: reading, the tokenizer, packing.

A story file is xz-compressed text; stories are separated by a line `<|endoftext|>`.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from pretrain.recipe import CONTEXT

STORIES = Path(__file__).parent / "data" / "stories-generated.xz"
RESERVED = 2400  # stories at the end of the file that the model never sees
END = "<|endoftext|>"  # id 0: begins and ends every story
PAD = "<|pad|>"  # id 1: fills short rows of a batch, never trained on


def read_stories(path: Path) -> list[str]:
    """The stories of one file, in order."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        return file.read().split(f"\n{END}\n")


def split_reserved(stories: list[str], reserved: int = RESERVED) -> tuple[list[str], list[str]]:
    """Split into (stories to train on, stories reserved for tasks and for measuring forgetting)."""
    return stories[:-reserved], stories[-reserved:]


def train_tokenizer(stories: list[str], vocabulary: int):
    """Train a byte-level BPE tokenizer: it can spell any text, and has no unknown token.

    Args:
        stories: Text to learn the merges from.
        vocabulary: Number of entries, at least 258: two special tokens and 256 bytes.

    Returns:
        A `PreTrainedTokenizerFast` that puts `<|endoftext|>` before every text.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END, PAD],  # the order gives the ids 0 and 1
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(stories, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END} $A",
        pair=f"{END} $A {END} $B",
        special_tokens=[(END, tokenizer.token_to_id(END))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=PAD,
        model_max_length=CONTEXT,
        model_input_names=["input_ids", "attention_mask"],  # a Llama takes no token types
        clean_up_tokenization_spaces=False,  # decoding gives back the text, byte for byte
    )


def encode(stories: list[str], tokenizer) -> list[list[int]]:
    """Token ids of each story, each beginning with `<|endoftext|>`."""
    return tokenizer(stories)["input_ids"]


@dataclass
class Packed:
    """Stories laid end to end on one device, served as shuffled windows.

    Attributes:
        tokens: (tokens,) ids of all stories, one after the other.
        starts: (stories,) position of each story's first token.
        lengths: (stories,) tokens in each story.
    """

    tokens: torch.Tensor
    starts: torch.Tensor
    lengths: torch.Tensor

    @classmethod
    def from_ids(cls, stories: list[list[int]], device: str) -> Packed:
        """Lay the encoded stories end to end on `device`."""
        lengths = torch.tensor([len(ids) for ids in stories])
        tokens = torch.tensor([token for ids in stories for token in ids], dtype=torch.int32)
        starts = lengths.cumsum(0) - lengths
        return cls(tokens.to(device), starts.to(device), lengths.to(device))

    def batches_per_epoch(self, batch_size: int, context: int) -> int:
        """Full batches in one pass; what is left over is dropped, other tokens each time."""
        return (len(self.tokens) - 1) // (batch_size * context)

    def epoch(
        self, batch_size: int, context: int, generator: torch.Generator
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """One pass over the stories in a new order.

        Args:
            batch_size: Windows in a batch.
            context: Tokens in a window.
            generator: Draws the order of the stories; a CPU generator, so that the order does not
                depend on the device.

        Yields:
            (inputs, targets), both (batch_size, context) int64; targets are one token ahead.
        """
        order = torch.randperm(len(self.lengths), generator=generator).to(self.tokens.device)
        lengths = self.lengths[order]
        new_starts = lengths.cumsum(0) - lengths
        # Position p of the shuffled stream comes from position p + shift of the unshuffled one.
        shift = torch.repeat_interleave(self.starts[order] - new_starts, lengths)
        stream = self.tokens[torch.arange(len(shift), device=shift.device) + shift].long()
        size = batch_size * context
        for batch in range(self.batches_per_epoch(batch_size, context)):
            chunk = stream[batch * size : (batch + 1) * size + 1]
            yield chunk[:-1].view(batch_size, context), chunk[1:].view(batch_size, context)
