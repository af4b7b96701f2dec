"""The exercises of lesson 07, adapters, IA³ and BitFit."""

from __future__ import annotations

from peftcourse.exercises.adapters import (
    affine,
    biases,
    block,
    bottleneck,
    cases,
    counting,
    overhead,
    probes,
    scales,
)
from peftcourse.exercises.adapters.report import REPORT
from peftcourse.exercises.core import Exercise

TITLE = "07 Adapters, IA³ and BitFit"

PARTS = (
    Exercise(
        id="adapters.count",
        title="how much trains",
        objective="count what bottleneck adapters train, in any model and style.",
        points=2,
        difficulty=1,
        minutes=5,
        section="A small network inside",
        hints=(
            "One adapter is two linear layers, d → m and m → d. Each has a weight and a bias.",
            "2 d m weights, m + d biases. How many adapters does a block get in each style?",
            "layers * (2 * d * m + m + d), and twice that for houlsby.",
        ),
        meaning="the width m sets the price: it plays the part of LoRA's rank.",
        cases=cases.count,
        probe=probes.count,
        solution=counting.count,
        mutants=counting.COUNT,
    ),
    Exercise(
        id="adapters.layer",
        title="an adapter",
        objective="write a bottleneck adapter that starts as the identity and can learn.",
        points=3,
        difficulty=2,
        minutes=10,
        section="A small network inside",
        hints=(
            "Down, ReLU, up, and the input added to it. What must the up-projection give at first?",
            "Zero: its weight and its bias. And can it leave zero if the down-projection is zero "
            "too?",
            "self.down = nn.Linear(hidden_size, size); self.up = nn.Linear(size, hidden_size) with "
            "nn.init.zeros_ on weight and bias; return h + self.up(torch.relu(self.down(h))).",
        ),
        meaning="inserted anywhere, it changes nothing until it has learned something.",
        cases=cases.layer,
        probe=probes.layer,
        solution=bottleneck.Adapter,
        mutants=bottleneck.LAYER,
        symptoms=bottleneck.LAYER_SYMPTOMS,
    ),
    Exercise(
        id="adapters.block",
        title="where it goes",
        objective="put adapters into a transformer block in each of three styles.",
        points=4,
        difficulty=3,
        minutes=15,
        section="Where it goes",
        hints=(
            "Write the block without adapters first: x = x + attention(norm_1(x)), and the same "
            "with the feed-forward network and norm_2.",
            "A serial adapter reads what the sublayer puts out, before the residual is added. A "
            "parallel one reads what the sublayer reads.",
            "u = norm_2(x); h = feed_forward(u); return x + h + adapter_2(u if style == "
            "\"parallel\" else h). In Houlsby's style the attention's output gets adapter_1 too.",
        ),
        meaning="the same small network reads different things, and costs time in different ways.",
        cases=cases.block,
        probe=probes.block,
        solution=block.block,
        mutants=block.BLOCK,
        symptoms=block.BLOCK_SYMPTOMS,
    ),
    Exercise(
        id="adapters.affine",
        title="the best linear stand-in",
        objective="measure how far an adapter is from anything that could be merged.",
        points=4,
        difficulty=3,
        minutes=15,
        section="Why it cannot be merged",
        hints=(
            "Merging can give a layer another weight and another bias. So the best stand-in is an "
            "affine map: where does its constant come from?",
            "Append a column of ones to u; torch.linalg.lstsq(design, added).solution has a row "
            "for each column of design.",
            "solution[:-1].T is M and solution[-1] is c. The residual is "
            "(added - (u @ M.T + c)).norm() / added.norm().",
        ),
        meaning="what is left is what no weight and no bias can do.",
        cases=cases.affine,
        probe=probes.affine,
        solution=affine.affine,
        mutants=affine.AFFINE,
        symptoms=affine.AFFINE_SYMPTOMS,
    ),
    Exercise(
        id="adapters.ia_merge",
        title="merge IA³",
        objective="move a scale of activations into a weight and a bias, on the right axis.",
        points=3,
        difficulty=2,
        minutes=10,
        section="IA³: scale what is there",
        hints=(
            "Write out one output: y_i = Σ_j W_ij x_j + b_i. Which entries of W does l_i multiply "
            "if y is scaled? And which l_j if x is?",
            "Outputs are rows of W, inputs are columns. Does the scale reach the bias?",
            '"output": scale[:, None] * W and scale * bias. "input": W * scale and bias as it is.',
        ),
        meaning="IA³ leaves no trace in the running model: the weights are other numbers.",
        cases=cases.ia3,
        probe=probes.ia3,
        solution=scales.ia3,
        mutants=scales.IA3,
        symptoms=scales.IA3_SYMPTOMS,
    ),
    Exercise(
        id="adapters.biases",
        title="choose the biases",
        objective="let the biases of a model train, all of them and nothing else.",
        points=3,
        difficulty=2,
        minutes=10,
        section="BitFit: the biases alone",
        hints=(
            "model.named_parameters() gives names such as layers.0.norm.bias. Which of them are "
            "biases, and which only sound like it?",
            "The last part of the name decides, behind the last dot. Everything else is to be "
            "frozen.",
            "parameter.requires_grad_(name.rsplit('.', 1)[-1] == 'bias'), and add up numel().",
        ),
        meaning="names are all that a framework has to go by, so match them exactly.",
        cases=cases.biases,
        probe=probes.biases,
        solution=biases.biases,
        mutants=biases.BIASES,
        symptoms=biases.BIASES_SYMPTOMS,
    ),
    Exercise(
        id="adapters.overhead",
        title="measure what it costs",
        objective="measure a difference of a few per cent on a machine that does other things too.",
        points=4,
        difficulty=3,
        minutes=12,
        section="What it costs at inference",
        hints=(
            "Three things go wrong: the first runs are slow, the machine gets slower or faster "
            "while you measure, and some runs are interrupted.",
            "Warm up and throw those times away. Then let the two take turns, and divide within "
            "each round.",
            "statistics.median of the rounds' run_adapted() / run_base(), minus 1.",
        ),
        meaning="you can now tell three per cent from noise, and say how you know.",
        cases=cases.overhead,
        probe=probes.overhead,
        solution=overhead.overhead,
        mutants=overhead.OVERHEAD,
        symptoms=overhead.OVERHEAD_SYMPTOMS,
        allows=("torch", "numpy", "math", "statistics"),
    ),
    REPORT,
)
