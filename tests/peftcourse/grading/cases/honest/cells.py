"""What learners do to the cells of a lab: rename, delete, copy and move them, and add their own."""

from __future__ import annotations

from grading.cases.honest.base import case
from grading.cases.notebooks import EXERCISES, RIGHT, STUBS, Notebook, slug, solved

from peftcourse.grading.rows import MISSING


def _renamed_cells() -> Notebook:
    notebook = solved()
    for number, exercise in enumerate(EXERCISES):
        cell = notebook.cell(exercise)
        cell["id"], cell["metadata"]["nbgrader"]["grade_id"] = f"c{number:07x}", f"cell-{number}"
    return notebook


def _no_ids() -> Notebook:
    notebook = solved()
    for cell in notebook.cells:
        del cell["id"]
        cell["metadata"] = {}
    notebook.content["nbformat_minor"] = 4
    return notebook


def _duplicated() -> Notebook:
    """Pasted copies keep nbgrader's metadata and get another id; one has the stub still in it."""
    notebook = solved()
    for exercise, source, offset in (
        ("lora.delta", RIGHT["lora.delta"], 1),
        ("lora.count", STUBS["lora.count"], 0),
    ):
        copy = {**notebook.cell(exercise), "id": f"copy-{slug(exercise)}", "source": source}
        notebook.cells.insert(notebook.cells.index(notebook.cell(exercise)) + offset, copy)
    return notebook


def _reversed() -> Notebook:
    notebook = solved()
    notebook.cells.reverse()
    return notebook


def _as_text() -> Notebook:
    notebook = solved()
    notebook.cell("lora.delta")["cell_type"] = "markdown"
    return notebook


CASES = [
    case(
        "renamed functions",
        solved(
            delta=RIGHT["lora.delta"].replace("lora_delta", "delta_w"),
            forward=RIGHT["lora.forward"].replace("LoRALinear", "MyLora"),
            loss="def loss(logits, y):\n    return F.cross_entropy(logits[:, :-1].flatten(0, 1), "
            "y[:, 1:].flatten())\nprint(loss(torch.zeros(1, 3, 4), torch.tensor([[0, 1, 2]])))",
        ),
    ),
    case("renamed cells", _renamed_cells()),
    case("ids lost", _no_ids()),
    case(
        "deleted cells",
        solved().delete("lora.init", "lora.loss", "lora.merge"),
        init=MISSING,
        loss=MISSING,
        merge=MISSING,
    ),
    case("duplicated cells", _duplicated()),
    case("reordered cells", _reversed()),
    case("an answer turned into Markdown", _as_text(), delta=MISSING),
    case(
        "extra cells",
        solved(
            delta="def lora_delta(A, B, alpha):\n    return scale(A, alpha) * product(B, A)",
            init=RIGHT["lora.init"].replace("math.sqrt(5)", "SQRT5"),
            save="def adapter_state(model: nn.Module, kind) -> Dict[str, Tensor]:\n    return {\n"
            "        name: tensor.detach().clone() for name, tensor in parts(model, kind)}",
        )
        .extra("from typing import Dict\nSQRT5 = 5 ** 0.5\nassert 1 == 2, 'scratch'")
        .extra("def product(left, right):\n    return left @ right\n\nproduct(undefined, 3)")
        .extra("model.generate(", before="lora.init")
        .extra(
            "def scale(A, alpha):\n    return alpha / rank_of(A)\n\n"
            "def rank_of(A):\n    return len(A)"
        )
        .extra(
            "def parts(model, kind):\n    for path, m in model.named_modules():\n"
            "        if isinstance(m, kind):\n            yield path + '.A', m.A\n"
            "            yield path + '.B', m.B",
            before="lora.save",
        ),
    ),
    case(
        "a helper in another answer",
        solved(
            save=RIGHT["lora.save"] + "\n\n\ndef layers_of(model, kind):\n"
            "    return {f'{p}.{a}': getattr(m, a) for p, m in model.named_modules()"
            " if isinstance(m, kind) for a in 'AB'}\n\n"
            "shapes = lambda state: {k: v.shape for k, v in state.items()}",
            load="def load_adapter_state(model, kind, state):\n    ours = layers_of(model, kind)\n"
            "    if shapes(ours) != shapes(state):\n"
            "        raise ValueError('another model')\n"
            "    for k, v in ours.items():\n        v.data[:] = state[k]",
        ),
    ),
]
