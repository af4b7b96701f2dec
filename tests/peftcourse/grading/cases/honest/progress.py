"""How much is done, and how well: right, half done, empty, wrong in known and unknown ways."""

from __future__ import annotations

from grading.cases.honest.base import case
from grading.cases.mistakes import classes, wrong
from grading.cases.notebooks import EXERCISES, RIGHT, Notebook, solved

from peftcourse.exercises.feedback import CORRECT, NOT_ATTEMPTED, RAISED, WRONG_SHAPE, WRONG_VALUE
from peftcourse.grading.rows import MISSING

FIRST = EXERCISES[:5]


CASES = [
    case("all right", solved()),
    case("untouched", Notebook(), rest=NOT_ATTEMPTED),
    case(
        "half done",
        Notebook({exercise: RIGHT[exercise] for exercise in FIRST}),
        rest=NOT_ATTEMPTED,
        **{exercise.removeprefix("lora."): CORRECT for exercise in FIRST},
    ),
    case("empty cells", Notebook(dict.fromkeys(EXERCISES, "")), rest=MISSING),
    case(
        "only comments",
        solved(delta="# TODO ask in class\n\n# def lora_delta(A, B, alpha): ...", count="   \n\n"),
        whole=False,
        delta=NOT_ATTEMPTED,
        count=MISSING,
    ),
    *(
        case(
            f"wrong in known ways {number}",
            Notebook({exercise: wrong(exercise, mutant) for exercise, mutant in mistakes.items()}),
            **{
                exercise.removeprefix("lora."): (WRONG_VALUE, mutant)
                for exercise, mutant in mistakes.items()
            },
        )
        for number, mistakes in enumerate(classes())
    ),
    case(
        "wrong in ways of their own",
        solved(
            delta="def lora_delta(A, B, alpha):\n    return (alpha / A.shape[0] * B @ A).T",
            init="def lora_init(d_in, d_out, rank, generator):\n    A = torch.rand(rank, d_in)",
            forward=RIGHT["lora.forward"].replace("self.base(x) +", "self.bass(x) +"),
            count="def lora_parameters(shapes, rank, layers):\n    ...",
            loss="def next_token_loss(logits, labels):\n    return F.cross_entropy(logits, labels)",
            load="def load_adapter_state(model, kind):\n    pass",
            merge="def merged(layer):\n    return None",
        ),
        delta=WRONG_SHAPE,
        init=RAISED,
        forward=RAISED,
        count=WRONG_SHAPE,
        loss=RAISED,
        load=RAISED,
        merge=RAISED,
    ),
    case(
        "works in place",
        solved(delta="def lora_delta(A, B, alpha):\n    A *= alpha / len(A)\n    return B @ A"),
        whole=False,
        delta=WRONG_VALUE,
    ),
    case(
        "odd results",
        solved(
            delta="def lora_delta(A, B, alpha):\n    return (B @ A).to(torch.complex128)",
            init="def lora_init(d_in, d_out, rank, generator):\n    return 'A', {'B': None}",
            count="def lora_parameters(shapes, rank, layers):\n    return float('inf')",
            loss="def next_token_loss(logits, labels):\n    return logits.sum(-1)[:, 1:].sum()",
            save="def adapter_state(model, kind):\n    return dict(model.named_parameters())",
        ),
        delta=WRONG_VALUE,
        init=WRONG_SHAPE,
        count=WRONG_VALUE,
        loss=WRONG_VALUE,
        save=WRONG_VALUE,
    ),
    case(
        "more odd results",
        solved(
            delta="def lora_delta(A, B, alpha):\n    return (B @ A).to_sparse()",
            count="def lora_parameters(shapes, rank, layers):\n    return 10 ** 400",
            train_step="def train_step(*args):\n    return float('nan')",
            inject="def inject(model, targets, wrap):\n    return 'q_proj'",
        ),
        delta=(WRONG_VALUE, "no-scaling"),
        count=WRONG_VALUE,
        train_step=WRONG_VALUE,
        inject=WRONG_VALUE,
    ),
    case(
        "syntax errors",
        solved(
            delta="def lora_delta(A, B, alpha)\n    return B @ A",
            count="def lora_parameters(shapes, rank, layers):\n  total = 0\n\ttotal += 1",
            save="def adapter_state(model, kind):\n    return {",
        ),
        whole=False,
        delta=RAISED,
        count=RAISED,
        save=RAISED,
    ),
    case(
        "never ending recursion",
        solved(
            count="def lora_parameters(shapes, *sizes):\n    return lora_parameters(shapes, *sizes)"
        ),
        whole=False,
        count=RAISED,
    ),
    case(
        "the wrong dtype",
        solved(
            init=RIGHT["lora.init"].replace("(rank, d_in)", "(rank, d_in, dtype=torch.float64)")
        ),
        whole=False,
        init=WRONG_VALUE,
    ),
    case(
        "stub left below the answer",
        solved().append("lora.delta", '    raise NotImplementedError("your code here")'),
        whole=False,
    ),
]
