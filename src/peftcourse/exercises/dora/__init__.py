"""The exercises of lesson 05, DoRA."""

from __future__ import annotations

from peftcourse.exercises.core import Exercise
from peftcourse.exercises.dora import cases, layer, norm, probes, weights
from peftcourse.exercises.dora.report import REPORT

TITLE = "05 DoRA"

PARTS = (
    Exercise(
        id="dora.decompose",
        title="length and direction",
        objective="split a weight matrix into a length and a unit vector for each output feature.",
        points=2,
        difficulty=1,
        minutes=5,
        section="Which axis?",
        hints=(
            "Which numbers of W make one output y[i]? They are one vector; there are d_out.",
            "W is (d_out, d_in): the norm runs over dim=1 and leaves d_out numbers.",
            "magnitude = W.norm(dim=1); direction = W / magnitude[:, None].",
        ),
        meaning="d_out lengths and d_out directions hold all that the matrix holds.",
        cases=cases.decompose,
        probe=probes.decompose,
        solution=weights.decompose,
        mutants=weights.DECOMPOSE,
    ),
    Exercise(
        id="dora.forward",
        title="the equation",
        objective="compute what a DoRA layer computes, term by term.",
        points=3,
        difficulty=2,
        minutes=10,
        section="The layer",
        hints=(
            "First the matrix: V = W + scaling · B A. What is its norm for each output feature?",
            "Each row of V is divided by its norm and multiplied by its magnitude. Does the bias "
            "have a part in that?",
            "gain = magnitude / V.norm(dim=1); then gain * (x @ V.T) + bias.",
        ),
        meaning="DoRA changes a weight and not an output, so it stays linear in x.",
        cases=cases.adapter,
        probe=probes.forward,
        solution=layer.forward,
        mutants=layer.FORWARD,
    ),
    Exercise(
        id="dora.layer",
        title="the layer that trains",
        objective="start a DoRA layer as its base, and let the right parameters train.",
        points=4,
        difficulty=3,
        minutes=15,
        section="The layer",
        hints=(
            "With B = 0 the layer must give what base gives. Which magnitude makes m/‖V‖ equal 1?",
            "magnitude = nn.Parameter of base.weight.norm(dim=1), detached and cloned. In "
            "forward, V and its norm are computed anew each time.",
            "gain = self.magnitude / V.norm(dim=1).detach(); V itself is not detached.",
        ),
        meaning="a detached norm follows every update, and sends no gradient back.",
        cases=cases.layer,
        probe=probes.layer,
        solution=layer.DoRALinear,
        mutants=layer.LAYER,
    ),
    Exercise(
        id="dora.gradients",
        title="what detaching takes away",
        objective="derive both gradients of DoRA, with the norm in the graph and without.",
        points=4,
        difficulty=5,
        minutes=20,
        section="A norm that gets no gradient",
        hints=(
            "W' = m V/‖V‖, row by row. The gradient of m is easy: which number multiplies m?",
            "With the norm as a constant, the gradient of V is m/‖V‖ · G. With the norm in the "
            "graph, the part of it that points along V is missing.",
            "along = (G * V).sum(dim=1, keepdim=True); project with G - along / norm**2 * V, where "
            "norm = V.norm(dim=1, keepdim=True).",
        ),
        meaning="the exact gradient only turns a row; the detached one may stretch V as well.",
        cases=cases.gradients,
        probe=probes.gradients,
        solution=layer.gradients,
        mutants=layer.GRADIENTS,
    ),
    Exercise(
        id="dora.cheap_norm",
        title="the norm without the matrix",
        objective="compute the norm of W + s·B·A without ever building B·A.",
        points=4,
        difficulty=4,
        minutes=15,
        section="The norm without the matrix",
        hints=(
            "‖w + s·u‖² = ‖w‖² + 2s⟨w, u⟩ + s²‖u‖², where u is a row of B A: b A, with b of B.",
            "⟨w, bA⟩ = ⟨w Aᵀ, b⟩ and ‖bA‖² = ⟨b (A Aᵀ), b⟩: nothing has more than r columns.",
            "cross = ((W @ A.T) * B).sum(dim=1); square = ((B @ (A @ A.T)) * B).sum(dim=1).",
        ),
        meaning="the largest new matrix has r columns where B·A has d_in.",
        cases=cases.cheap_norm,
        probe=probes.cheap_norm,
        solution=norm.cheap_norm,
        mutants=norm.CHEAP_NORM,
    ),
    Exercise(
        id="dora.merge",
        title="back to a plain layer",
        objective="fold a trained DoRA layer into a linear layer that computes the same.",
        points=3,
        difficulty=3,
        minutes=10,
        section="Merging",
        hints=(
            "Which single matrix does the DoRA layer multiply x by?",
            "m/‖V‖ · V, row by row. The bias is as it was, and layer.base must stay as it was.",
            "Make nn.Linear(d_in, d_out, dtype=…), and copy_ both tensors under torch.no_grad().",
        ),
        meaning="a merged layer costs what a plain one costs: the norm is computed once.",
        cases=cases.adapter,
        probe=probes.merge,
        solution=norm.merge,
        mutants=norm.MERGE,
    ),
    Exercise(
        id="dora.change",
        title="how far a weight went",
        objective="measure what training did to lengths, and what to directions.",
        points=2,
        difficulty=2,
        minutes=8,
        section="What training changes",
        hints=(
            "Two means over the rows: of how much their lengths changed, and of how far they "
            "turned.",
            "ΔM is the mean of |‖after‖ - ‖before‖|, ΔD the mean of 1 - cos. Over which axis?",
            "(after.norm(dim=1) - before.norm(dim=1)).abs().mean() and "
            "(1 - F.cosine_similarity(after, before, dim=1)).mean().",
        ),
        meaning="two numbers say how a layer changed, whatever the method that changed it.",
        cases=cases.change,
        probe=probes.change,
        solution=weights.change,
        mutants=weights.CHANGE,
    ),
    Exercise(
        id="dora.correlation",
        title="a correlation, and how sure you are",
        objective="report a correlation with the interval that its number of pairs allows.",
        points=3,
        difficulty=2,
        minutes=10,
        section="What training changes",
        hints=(
            "r cannot pass 1, so its interval is not symmetric. On which scale is it?",
            "Fisher: atanh(r) has a standard error of 1/√(n - 3). Go 1.96 of it to each side.",
            "math.tanh(math.atanh(r) - 1.96 / math.sqrt(n - 3)) is the lower end.",
        ),
        meaning="with 24 pairs, an r of 0.3 is compatible with no correlation at all.",
        cases=cases.correlation,
        probe=probes.correlation,
        solution=weights.correlation,
        mutants=weights.CORRELATION,
    ),
    REPORT,
)
