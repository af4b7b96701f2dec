"""The exercises of lesson 03, LoRA from scratch."""

from __future__ import annotations

from peftcourse.exercises.core import Exercise
from peftcourse.exercises.lora import (
    cases,
    counting,
    forward,
    forward_symptoms,
    layer,
    loading,
    loss,
    merging,
    model,
    probes,
    probes_model,
    saving,
    training,
)
from peftcourse.exercises.lora.judges import judge_init
from peftcourse.exercises.lora.report import REPORT

TITLE = "03 LoRA from scratch"

PARTS = (
    Exercise(
        id="lora.delta",
        title="the update ΔW = (α/r)·B·A",
        objective="build the change of a weight matrix from two thin ones.",
        points=2,
        difficulty=1,
        minutes=5,
        section="A matrix times a vector, plus a little",
        hints=(
            "Which product of A (r, d_in) and B (d_out, r) has the shape of W, (d_out, d_in)?",
            "The rank is a size of A: read it off A.shape. Scale by α divided by it.",
            "It fits in one line: alpha / A.shape[0] * (B @ A).",
        ),
        meaning="ΔW has d_out·d_in entries, and r·(d_in + d_out) numbers decide all of them.",
        cases=cases.delta,
        probe=probes.delta,
        solution=layer.lora_delta,
        mutants=layer.DELTA,
        symbols={"A.shape[0]": "r", "A.shape[1]": "d_in", "B.shape[0]": "d_out", "alpha": "α"},
    ),
    Exercise(
        id="lora.init",
        title="where A and B start",
        objective="start an adapter so that it changes nothing and can still learn.",
        points=3,
        difficulty=2,
        minutes=8,
        section="Where it starts, and why",
        hints=(
            "The product B·A must be zero at the start, and the gradient of one factor must not.",
            "A is drawn by nn.init.kaiming_uniform_ with a=√5 on a tensor of shape (r, d_in); B is "
            "all zeros.",
            "A = torch.empty(rank, d_in), then "
            "nn.init.kaiming_uniform_(A, a=math.sqrt(5), generator=generator); B = torch.zeros(…).",
        ),
        meaning="a fresh adapter is a no-op, and its first gradient goes to B alone.",
        cases=cases.init,
        probe=probes.init,
        solution=layer.lora_init,
        mutants=layer.INIT,
        special_judge=judge_init,
    ),
    Exercise(
        id="lora.forward",
        title="the layer",
        objective="write a LoRA layer around a frozen linear layer, dropout included.",
        points=4,
        difficulty=3,
        minutes=15,
        section="The layer",
        hints=(
            "Two terms: what the base layer says about x, and the scaled branch. Only the branch "
            "gets dropout.",
            "In __init__: freeze base, make A and B nn.Parameter with base.weight's dtype, keep "
            "alpha / rank, and make an nn.Dropout.",
            "forward: self.base(x) + self.scaling * (self.dropout(x) @ self.A.T @ self.B.T).",
        ),
        meaning="the branch never builds ΔW: x goes down to r numbers and up again.",
        cases=cases.forward,
        probe=probes.forward,
        solution=forward.LoRALinear,
        mutants=forward.FORWARD,
        symptoms=forward_symptoms.FORWARD_SYMPTOMS,
        most_pairs=30,
    ),
    Exercise(
        id="lora.inject",
        title="into a real model",
        objective="replace layers of any model by name, and freeze the rest.",
        points=4,
        difficulty=4,
        minutes=20,
        section="Into a real model",
        hints=(
            "Freeze first. Then walk over list(model.named_modules()): a list, because you change "
            "the model on the way.",
            'A path matches a target if it equals it or ends in "." + target, so that q_proj does '
            "not find kq_proj.",
            'parent, _, attribute = path.rpartition("."); then '
            "setattr(model.get_submodule(parent), attribute, wrap(module)).",
        ),
        meaning="the model's own code is untouched: it calls the same attribute and finds yours.",
        cases=cases.inject,
        probe=probes_model.inject,
        solution=model.inject,
        mutants=model.INJECT,
        symptoms=model.INJECT_SYMPTOMS,
        most_pairs=20,
    ),
    Exercise(
        id="lora.count",
        title="how much trains",
        objective="say how many parameters an adapter has before you build it.",
        points=2,
        difficulty=1,
        minutes=5,
        section="Counting on models you cannot load",
        hints=(
            "How many numbers has A, and how many has B, for one matrix of shape (d_out, d_in)?",
            "r·d_in for A and r·d_out for B; add over the shapes, times the number of layers.",
            "layers * sum(rank * (d_in + d_out) for d_out, d_in in shapes).",
        ),
        meaning="the adapter grows with the sides of a matrix, the matrix with their product.",
        cases=cases.count,
        probe=probes_model.count,
        solution=counting.count,
        mutants=counting.COUNT,
        symbols={"len(shapes)": "the number of matrices", "rank": "r"},
    ),
    Exercise(
        id="lora.loss",
        title="next-token loss",
        objective="score a language model on the answer and not on the prompt.",
        points=3,
        difficulty=3,
        minutes=10,
        section="The training loop",
        hints=(
            "The logits at position t are about token t + 1: which slices belong together?",
            "Drop the last position of the logits and the first label; masked labels are -100.",
            "F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()) skips -100 by "
            "default.",
        ),
        meaning="exp of this loss is the perplexity of the answer's tokens.",
        cases=cases.loss,
        probe=probes_model.loss,
        solution=loss.loss,
        mutants=loss.LOSS,
        symptoms=loss.LOSS_SYMPTOMS,
        keeps_dtype=False,
    ),
    Exercise(
        id="lora.train_step",
        title="one step of training",
        objective="put the five calls of a training step in the order that works.",
        points=4,
        difficulty=2,
        minutes=10,
        section="The training loop",
        hints=(
            "backward() adds to what is in .grad already. What has to happen before it?",
            "zero_grad, forward, backward, clip, step; the loss to return is the one you have.",
            "nn.utils.clip_grad_norm_(model.parameters(), max_norm) goes between loss.backward() "
            "and optimizer.step().",
        ),
        meaning="frozen parameters have no gradient, so clipping and stepping pass them by.",
        cases=cases.train_step,
        probe=probes_model.train_step,
        solution=training.train_step,
        mutants=training.TRAIN_STEP,
        symptoms=training.TRAIN_STEP_SYMPTOMS,
        most_pairs=20,
    ),
    Exercise(
        id="lora.save",
        title="only the adapter",
        objective="take the adapter's few tensors out of a large model.",
        points=2,
        difficulty=2,
        minutes=10,
        section="The file, and what is in it",
        hints=(
            "named_modules() gives the path and the module; isinstance(module, kind) tells which "
            "are adapter layers.",
            'Two entries per layer, f"{path}.A" and f"{path}.B". Will they change when training '
            "goes on?",
            "getattr(layer, part).detach().clone() for part in ('A', 'B').",
        ),
        meaning="the file grows with the rank and not with the size of the model's matrices.",
        cases=cases.adapted,
        probe=probes.save,
        solution=saving.save,
        mutants=saving.SAVE,
        symptoms=saving.SAVE_SYMPTOMS,
    ),
    Exercise(
        id="lora.load",
        title="all or nothing",
        objective="load an adapter so that a wrong file changes nothing.",
        points=3,
        difficulty=3,
        minutes=15,
        section="The file, and what is in it",
        hints=(
            "Two rounds: look at everything, then copy. What can be wrong with a name, or a shape?",
            "The set of names in the model must equal the set in the state; every shape must be "
            "equal too. Otherwise raise ValueError.",
            "Copy with parameter.copy_(tensor) under torch.no_grad(), so that an optimizer keeps "
            "its parameters.",
        ),
        meaning="a file for another model is refused whole, instead of loading silently wrong.",
        cases=cases.adapted,
        probe=probes.load,
        solution=loading.load,
        mutants=loading.LOAD,
        symptoms=loading.LOAD_SYMPTOMS,
        most_pairs=15,
    ),
    Exercise(
        id="lora.merge",
        title="merge, and take it back",
        objective="fold the update into the weight and restore it bit for bit.",
        points=3,
        difficulty=4,
        minutes=15,
        section="Merging",
        hints=(
            "While merged, the weight holds W + scaling·B·A and the branch must not run. What has "
            "to be remembered to undo both?",
            "Keep a clone of W: subtracting the update would leave rounding errors. Change values "
            "in place, under torch.no_grad().",
            "try: yield, finally: weight.copy_(original) and layer.enabled = what it was.",
        ),
        meaning="a merged layer costs what a plain one costs, and can be unmerged without a trace.",
        cases=cases.merge,
        probe=probes.merge,
        solution=merging.merge,
        mutants=merging.MERGE,
        symptoms=merging.MERGE_SYMPTOMS,
        allows=("torch", "numpy", "math", "contextlib"),
    ),
    REPORT,
)
