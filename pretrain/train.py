"""Train, evaluate and export the model.

One GPU takes a few minutes; a CPU takes the same path, without compilation and bfloat16, and hours.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from pretrain.data import Packed
from pretrain.recipe import Recipe

IGNORE = -100  # label of a position that does not count
CURVE_POINTS = 40  # how often the loss curve is recorded in one run
CURVE_STORIES = 200  # reserved stories behind each point of the curve

LossFunction = Callable[[torch.nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]


def build(config, device: str) -> tuple[torch.nn.Module, LossFunction]:
    """Make the model and the function that computes its training loss.

    Both are made once and shared by all runs of a sweep, because compiling takes longer than some
    runs do; `train` gives the model fresh weights.

    Args:
        config: A `transformers.LlamaConfig`.
        device: "cuda" or "cpu".

    Returns:
        The model in float32 on `device`, and `loss(model, inputs, targets)`, compiled on a GPU.
    """
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM(config).to(device)
    return model, torch.compile(next_token_loss, dynamic=False) if device == "cuda" else (
        next_token_loss
    )


def next_token_loss(model, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy in nats; inputs and targets are (batch, tokens) ids."""
    logits = model(input_ids=inputs, use_cache=False).logits  # (batch, tokens, vocabulary)
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def train(
    recipe: Recipe,
    packed: Packed,
    model: torch.nn.Module,
    loss_function: LossFunction,
    reserved: list[list[int]],
) -> dict[str, Any]:
    """Train `model` from fresh weights, in place.

    Args:
        recipe: The settings.
        packed: The training stories, on the model's device.
        model: A model from `build`; its weights are replaced first.
        loss_function: The loss from `build`.
        reserved: Encoded stories that the loss curve is measured on.

    Returns:
        {"steps", "tokens", "seconds", "curve": [{"step", "learning_rate", "train", "reserved"}]};
        losses are nats per token, "train" the mean over the steps since the last point.
    """
    context = model.config.max_position_embeddings
    torch.manual_seed(recipe.seed)
    model.load_state_dict(type(model)(model.config).state_dict())

    step = Step(model, loss_function, recipe, context)
    steps = recipe.epochs * packed.batches_per_epoch(recipe.batch_size, context)
    every = max(1, steps // CURVE_POINTS)
    curve: list[dict[str, float]] = []
    losses: list[torch.Tensor] = []  # kept on the device: reading each one would stall the GPU
    started = time.perf_counter()

    for number, (inputs, targets) in enumerate(batches(recipe, packed, context), start=1):
        rate = recipe.rate(number - 1, steps)
        losses.append(step(inputs, targets, rate))

        if number % every == 0 or number == steps:
            point = {
                "step": number,
                "learning_rate": rate,
                "train": torch.stack(losses).mean().item(),
                "reserved": measure(model, reserved[:CURVE_STORIES])["nats_per_token"],
            }
            curve.append({key: round(value, 6) for key, value in point.items()})
            losses.clear()
            print(
                f"step {number}/{steps} · train {point['train']:.4f} · reserved "
                f"{point['reserved']:.4f} · {time.perf_counter() - started:.0f} s",
                flush=True,
            )
    return {
        "steps": steps,
        "tokens": steps * recipe.batch_size * context,
        "seconds": round(time.perf_counter() - started, 1),
        "curve": curve,
    }


class Step:
    """One optimizer step: loss, gradients, clipping, AdamW.

    A model this small waits for the processor to launch its kernels, not for the GPU to run them.
    On a GPU the whole step is therefore recorded once as a CUDA graph and replayed: new inputs are
    copied to where the graph reads, and the learning rate is a tensor that the graph reads too.
    """

    WARMUP = 3  # steps before recording: compilation and the optimizer's state must be done

    def __init__(self, model, loss_function: LossFunction, recipe: Recipe, context: int) -> None:
        device = next(model.parameters()).device
        self.model, self.loss_function, self.clip = model, loss_function, recipe.clip
        self.graph: torch.cuda.CUDAGraph | None = None
        self.rate = torch.zeros((), device=device)
        matrices = [p for p in model.parameters() if p.ndim >= 2]
        norms = [p for p in model.parameters() if p.ndim < 2]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": recipe.weight_decay},
                {"params": norms, "weight_decay": 0.0},
            ],
            lr=self.rate,
            betas=(0.9, 0.95),
            fused=True,
            capturable=device.type == "cuda",
        )
        if device.type == "cuda":
            self._record(recipe.batch_size, context, device)

    def __call__(self, inputs: torch.Tensor, targets: torch.Tensor, rate: float) -> torch.Tensor:
        """Take one step at learning rate `rate`; returns the loss, a scalar on the device."""
        self.rate.fill_(rate)
        if self.graph is None:
            return self._step(inputs, targets)
        self.inputs.copy_(inputs)
        self.targets.copy_(targets)
        self.graph.replay()
        return self.loss.clone()

    def _step(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        device = inputs.device.type
        # Recording a graph forbids autocast's cache of casted weights.
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda", cache_enabled=False):
            loss = self.loss_function(self.model, inputs, targets)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        return loss.detach()

    def _record(self, batch_size: int, context: int, device: torch.device) -> None:
        """Record `_step` as a graph, and leave weights and optimizer as they were before."""
        weights = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.inputs = torch.zeros(batch_size, context, dtype=torch.int64, device=device)
        self.targets = torch.zeros_like(self.inputs)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(self.WARMUP):
                self._step(self.inputs, self.targets)
        torch.cuda.current_stream().wait_stream(stream)
        self.optimizer.zero_grad()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.loss = self._step(self.inputs, self.targets)
        self.graph = graph
        self.model.load_state_dict(weights)
        for state in self.optimizer.state.values():
            for value in state.values():
                value.zero_()


def batches(
    recipe: Recipe, packed: Packed, context: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """All batches of all epochs, (batch, context) inputs and targets."""
    generator = torch.Generator().manual_seed(recipe.seed)
    for _ in range(recipe.epochs):
        yield from packed.epoch(recipe.batch_size, context, generator)


def windows(ids: list[int], context: int) -> Iterator[tuple[list[int], list[int]]]:
    """Cut one story into windows so that each token is predicted once.

    A story longer than the context continues in a window that begins half a context earlier, so
    that no token after the first window is predicted from less than half a context.

    Args:
        ids: One story from `<|endoftext|>` to `<|endoftext|>`, both included.
        context: The longest window.

    Yields:
        (inputs, labels) of equal length; a label of `IGNORE` does not count.
    """
    inputs, targets = ids[:-1], ids[1:]
    start = done = 0
    while done < len(targets):
        end = min(start + context, len(targets))
        yield inputs[start:end], [IGNORE] * (done - start) + targets[done:end]
        done, start = end, end - context // 2


@torch.no_grad()
def measure(model, stories: list[list[int]], batch_size: int = 64) -> dict[str, float]:
    """Loss on whole stories, each by itself, in the model's own precision.

    Args:
        model: The language model; left in the mode it was in.
        stories: Encoded stories, each beginning with `<|endoftext|>`. The `<|endoftext|>` that
            ends a story is added here, and counts as a token to predict.
        batch_size: Windows in one forward pass.

    Returns:
        {"nats", "tokens", "nats_per_token"}; tokens are predicted tokens.
    """
    device = next(model.parameters()).device
    end = model.config.eos_token_id
    context = model.config.max_position_embeddings
    rows = [row for ids in stories for row in windows([*ids, end], context)]
    rows.sort(key=lambda row: len(row[0]))
    training = model.training
    model.eval()
    nats, tokens = 0.0, 0
    for first in range(0, len(rows), batch_size):
        batch = rows[first : first + batch_size]
        width = len(batch[-1][0])
        # Attention is causal, so what fills the right of a short row changes nothing before it.
        inputs = torch.tensor([row + [0] * (width - len(row)) for row, _ in batch])
        labels = torch.tensor([row + [IGNORE] * (width - len(row)) for _, row in batch])
        logits = model(input_ids=inputs.to(device), use_cache=False).logits
        total = F.cross_entropy(
            logits.flatten(0, 1).float(),
            labels.flatten().to(device),
            ignore_index=IGNORE,
            reduction="sum",
        )
        nats += total.item()
        tokens += int((labels != IGNORE).sum())
    model.train(training)
    return {"nats": nats, "tokens": tokens, "nats_per_token": nats / tokens}


def measure_text(model, tokenizer, stories: list[str]) -> dict[str, float]:
    """`measure`, with the loss per character of the stories' text beside it.

    Returns:
        {"stories", "characters", "tokens", "nats_per_token", "nats_per_character"}.
    """
    result = measure(model, tokenizer(stories)["input_ids"])
    characters = sum(map(len, stories))
    return {
        "stories": len(stories),
        "characters": characters,
        "tokens": result["tokens"],
        "nats_per_token": round(result["nats_per_token"], 6),
        "nats_per_character": round(result["nats"] / characters, 6),
    }


def export(model, tokenizer, folder: Path) -> None:
    """Write the model (bfloat16 safetensors) and its tokenizer for plain `from_pretrained`."""
    folder.mkdir(parents=True, exist_ok=True)
    copy.deepcopy(model).to("cpu", torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # transformers 5 names its own class here; the older name loads in every version.
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n")


@torch.no_grad()
def sample(model, tokenizer, seed: int, max_new_tokens: int = 220) -> str:
    """One story from nothing but `<|endoftext|>`, at temperature 0.8, unedited."""
    torch.manual_seed(seed)
    prompt = torch.tensor([[tokenizer.bos_token_id]], device=next(model.parameters()).device)
    ids = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=True,
        temperature=0.8,
        top_k=0,
        max_new_tokens=max_new_tokens,
    )
    return tokenizer.decode(ids[0], skip_special_tokens=True)
