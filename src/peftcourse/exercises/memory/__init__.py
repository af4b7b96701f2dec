"""The exercises of lesson 01, the memory problem."""

from __future__ import annotations

from peftcourse.exercises.core import Exercise
from peftcourse.exercises.memory import (
    adapter,
    cases,
    checkpoint,
    counting,
    fitting,
    probes,
    quantized,
    saved,
    states,
)
from peftcourse.exercises.memory.plan import PLAN

TITLE = "01 The memory problem"

PARTS = (
    Exercise(
        id="memory.parameters",
        title="how many parameters",
        objective="count a model's parameters from its configuration, without loading it.",
        points=3,
        difficulty=2,
        minutes=10,
        section="Counting parameters",
        hints=(
            "Three parts: the embedding (and a head of its own, or not), the layers, one last "
            "norm. How wide are k and v if there are fewer key/value heads than heads?",
            "A head is hidden_size // num_attention_heads wide. A layer has q and o (d × d), k "
            "and v (d × their width), gate, up and down (d × intermediate_size), and two norms.",
            "layer = 2*d*d + 2*d*kv + 3*d*f + 2*d; then vocabulary × d, once or twice, plus "
            "num_hidden_layers * layer, plus d.",
        ),
        meaning="seven numbers of a config.json decide how much memory the weights take.",
        cases=cases.parameters,
        probe=probes.parameters,
        solution=counting.parameters,
        mutants=counting.PARAMETERS,
        symptoms=(counting.OTHER_UNIT,),
    ),
    Exercise(
        id="memory.states",
        title="weights, gradients, optimizer states",
        objective="say what training keeps for each parameter, frozen or not.",
        points=3,
        difficulty=2,
        minutes=8,
        section="Bytes per parameter",
        hints=(
            "Go through the three kinds one by one. Which of them does a frozen parameter need?",
            "Only its weight. A trained one has a weight, a gradient of the same dtype, two "
            "moments, and perhaps a 32-bit copy.",
            "weights = frozen * frozen_bits / 8 + trained * trained_bytes; gradients = trained * "
            "trained_bytes; the optimizer has 2 * moment_bytes each, and 4 more if master.",
        ),
        meaning="“bytes per parameter” is a choice of dtypes, so a total without them says little.",
        cases=cases.states,
        probe=probes.states,
        solution=states.states,
        mutants=states.STATES,
    ),
    Exercise(
        id="memory.quantized",
        title="four bits and their constants",
        objective="compute the exact size of a 4-bit matrix.",
        points=3,
        difficulty=3,
        minutes=8,
        section="Bytes per parameter",
        hints=(
            "Codes first: how many bytes hold rows · columns codes of half a byte? Then one "
            "constant per block of 64.",
            "Blocks run along the flattened weight. With double quantization each block has 1 "
            "byte, each 256 blocks 4 bytes, and the matrix 4 bytes once.",
            "blocks = math.ceil(rows * columns / 64); constants = 4 * blocks, or "
            "blocks + 4 * math.ceil(blocks / 256) + 4.",
        ),
        meaning="NF4 costs 4.5 bits a weight, or 4.127 with double quantization, and never 4.",
        cases=cases.quantized,
        probe=probes.quantized,
        solution=quantized.quantized,
        mutants=quantized.QUANTIZED,
    ),
    Exercise(
        id="memory.saved",
        title="what autograd keeps",
        objective="measure the activations of any forward pass, on any device.",
        points=4,
        difficulty=4,
        minutes=12,
        section="Activations",
        hints=(
            "torch.autograd.graph.saved_tensors_hooks(pack, unpack) calls pack with each tensor "
            "that autograd keeps. What has to be noted there, and what returned?",
            "Note the storage: tensor.untyped_storage() has data_ptr() and nbytes(). A dictionary "
            "from the one to the other counts each storage once.",
            "Leave out the data_ptr() of the parameters' storages. pack returns its tensor, so "
            "does unpack; forward() runs once, inside the with block.",
        ),
        meaning="what the backward pass needs stays in memory from the moment it was computed.",
        cases=cases.saved,
        probe=probes.saved,
        solution=saved.saved,
        mutants=saved.SAVED,
        symptoms=saved.SYMPTOMS,
    ),
    Exercise(
        id="memory.checkpoint",
        title="compute it again",
        objective="trade a second forward pass for the activations of the first.",
        points=4,
        difficulty=5,
        minutes=15,
        section="Gradient checkpointing",
        hints=(
            "PyTorch builds no graph inside an autograd.Function's forward. So what has to be "
            "remembered there, for backward to run the block again?",
            "The block, the generator's state, and x through ctx.save_for_backward. In backward: "
            "x.detach().requires_grad_(), then the block again under torch.enable_grad(), "
            "with the generator set to the old state inside torch.random.fork_rng(devices=[]).",
            "y.backward(gradient) fills the gradients of the parameters and of the detached x; "
            "return None, x.grad (None stands for the block).",
        ),
        meaning="a block costs its input in memory and one forward pass more in time.",
        cases=cases.checkpoint,
        probe=probes.checkpoint,
        solution=checkpoint.Checkpoint,
        mutants=checkpoint.CHECKPOINT,
        symptoms=checkpoint.SYMPTOMS,
    ),
    Exercise(
        id="memory.adapter",
        title="what LoRA trains instead",
        objective="say how small an adapter is before you build it.",
        points=2,
        difficulty=2,
        minutes=5,
        section="What a frozen base saves",
        hints=(
            "An adapter of a matrix (d_out, d_in) has A, (r, d_in), and B, (d_out, r). Which "
            "targets have d_out or d_in other than hidden_size?",
            "k_proj and v_proj are as wide as in memory.parameters; gate_proj and up_proj go to "
            "intermediate_size, down_proj comes from it.",
            "A dictionary from each name to (d_out, d_in); then num_hidden_layers * sum(rank * "
            "(d_out + d_in)) over the targets.",
        ),
        meaning="gradients and optimizer states shrink by this ratio, and nothing else does.",
        cases=cases.adapter,
        probe=probes.adapter,
        solution=adapter.adapter,
        mutants=adapter.ADAPTER,
    ),
    Exercise(
        id="memory.storage",
        title="many tasks, one base",
        objective="compare the disk space of full copies with that of adapters.",
        points=1,
        difficulty=1,
        minutes=3,
        section="Storage per task",
        hints=(
            "What does each task need that no other task can share?",
            "A full copy is a whole model. An adapter is small, but somebody has to keep the base.",
            "tasks * base, and base + tasks * adapter.",
        ),
        meaning="one more task costs an adapter and not a model.",
        cases=cases.storage,
        probe=probes.storage,
        solution=fitting.storage,
        mutants=fitting.STORAGE,
    ),
    Exercise(
        id="memory.batch",
        title="the largest batch",
        objective="decide what fits on a card, with room to spare.",
        points=2,
        difficulty=2,
        minutes=5,
        section="Will it fit?",
        hints=(
            "What is left of the card after the reserve and everything that does not grow with "
            "the batch?",
            "A GiB has 2**30 bytes. Divide what is left by the bytes of one sequence, rounding "
            "down; there may be less than nothing left.",
            "max(0, int(((card - reserve) * 2**30 - fixed) // per_sequence)).",
        ),
        meaning="the frozen base decides whether you start, activations how fast you go.",
        cases=cases.batch,
        probe=probes.batch,
        solution=fitting.batch,
        mutants=fitting.BATCH,
    ),
    PLAN,
)
