"""Lesson 09: random inputs for each exercise.

Names are those of models, with traps among them: a layer whose name ends like another's, a head
that is a linear layer too. Each case that is special says so as ``about``.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from peftcourse.exercises.draw import different, integer, normal, uniform
from peftcourse.exercises.observe import Case

PROJECTIONS = ("attn.q_proj", "attn.v_proj", "attn.cross_q_proj", "mlp.up_proj", "mlp.q_proj_up")


def targets(rng: Generator) -> list[Case]:
    """Each of the three languages, with what is special in it."""
    layers = integer(rng, 4, 7)
    one, other = different(rng, 2, 0, layers - 1)
    inner = [f"model.layers.{i}.{name}" for i in range(layers) for name in PROJECTIONS]
    linear = ["score", *inner, "lm_head", "draft.lm_head", "lm_head_2"]
    either = f"[{min(one, other)}{max(one, other)}]"
    asked: dict[str, str | list[str]] = {
        "an entry of the list has several parts": ["q_proj", f"layers.{one}.mlp.up_proj"],
        "an entry of the list looks like a regular expression": [
            "v_proj",
            rf".*\.{other}\..*up_proj",
            "[qk]_proj",
        ],
        "an entry of the list is the whole name of a layer": [
            "score",
            f"model.layers.{one}.attn.v_proj",
        ],
        "the list names the output head": ["v_proj", "lm_head"],
        "two entries of the list mean the same layer, and a later entry an earlier layer": [
            "v_proj",
            f"layers.{one}.attn.v_proj",
            "q_proj",
        ],
        "the list is empty": [],
        "no layer matches the list": ["k_proj"],
        "": rf".*\.{either}\.attn\.(q|v)_proj",
        "the expression matches only the beginning of names": rf"model\.layers\.{one}\.attn\.q",
        "a bare name is given as a string": "q_proj",
        "the expression matches only the end of names": r"attn\.(q|v)_proj",
        "the expression has an alternative with |": "|".join(
            (rf"model\.layers\.{one}\.attn\.q", ".*v_proj", "up_proj")
        ),
        "the expression matches the output head": r".*head",
        "the head's name is part of other names, and all-linear is asked for": "all-linear",
    }
    cases = [
        {"targets": target, "linear": linear, "head": "lm_head", "about": about}
        for about, target in asked.items()
    ]
    plain = {"targets": "all-linear", "linear": [*inner, "lm_head"], "head": "lm_head"}
    return [*cases, {**plain, "about": "all-linear is asked for"}]


def count(rng: Generator) -> list[Case]:
    """A model with two linear layers, and what makes counting hard, one thing at a time."""
    kinds = {
        "plain": "",
        "shared": "two modules share a weight",
        "packed": "a weight is packed, of dtype uint8",
        "buffer": "the model has a buffer",
        "int8": "a weight has dtype int8, which is not packed",
        "int64": "a parameter holds integers that are not packed",
        "names": "a factor called lora_ is frozen, and a parameter of another name trains",
        "twins": "two different weights have the same shape",
        "dimensions": "a parameter has one dimension or three",
        "all": "all of this is there at once",
    }
    cases = []
    for kind, about in kinds.items():
        vocabulary, width, rank, packed = different(rng, 4, 5, 40)
        sizes = {"vocabulary": vocabulary, "width": width, "rank": rank, "packed": packed}
        cases.append({**sizes, "kind": kind, "about": about})
    return cases


def scaling(rng: Generator) -> list[Case]:
    """No patterns, one, both; keys that are parts, expressions, alternatives, whole names."""
    one, other = different(rng, 2, 0, 9)
    parts = ("attn.q_proj", "attn.cross_q_proj", "mlp.up_proj", "mlp.up_proj_2", "mlp.q_proj_up")
    paths = [f"model.layers.{i}.{name}" for i in (one, other) for name in parts]
    kinds: tuple[tuple[str, list[str], list[str], bool], ...] = (
        # what is special, keys of rank_pattern, keys of alpha_pattern, use_rslora
        ("", [], [], False),
        ("use_rslora is set", [], [], True),
        ("only rank_pattern has keys", ["q_proj"], [], True),
        ("only alpha_pattern has keys", [], ["up_proj"], False),
        ("a key has several parts", ["attn.q_proj"], [f"layers.{one}.mlp.up_proj"], False),
        ("a key is an expression", [rf"{other}\.mlp\..*"], [rf".*\.{one}\..*_proj"], True),
        (
            "two keys match a layer",
            [rf"layers\.{one}\.attn\.q_proj", "q_proj", rf"layers\.{other}\..*"],
            ["q_proj", rf".*\.{one}\..*"],
            False,
        ),
        ("a shorter key comes first", ["q_proj", rf"layers\.{one}\.attn\.q_proj"], [], True),
        ("a key has an alternative with |", ["q_proj|up_proj"], ["up_proj_2|attn.q_proj"], False),
        (
            "a key is the whole name of a layer",
            ["lm_head"],
            ["lm_head", rf"model\.layers\.{one}\.mlp\.up_proj"],
            False,
        ),
    )
    cases = []
    for about, rank_keys, alpha_keys, use_rslora in kinds:
        r, *ranks = different(rng, 4, 3, 30)
        alpha, *alphas = (100 + size for size in different(rng, 4, 1, 60))
        cases.append(
            {
                "paths": [*paths, "lm_head"],
                "r": r,
                "lora_alpha": alpha,
                "rank_pattern": dict(zip(rank_keys, ranks, strict=False)),
                "alpha_pattern": dict(zip(alpha_keys, alphas, strict=False)),
                "use_rslora": use_rslora,
                "about": about,
            }
        )
    return cases


def names(rng: Generator) -> list[Case]:
    """The factors of some layers; parts of some paths look like a factor's name."""
    kinds = (
        ("pirate", ("q_proj", "up_proj"), ""),
        ("default", ("q_proj", "A.up"), "a part of a path is called A"),
        ("B", ("out_B", "to_A", "W.B"), "a path ends in A or B"),
    )
    cases = []
    for adapter, parts, about in kinds:
        layers, rank, d_in, d_out = different(rng, 4, 2, 9)
        paths = [f"model.layers.{i}.{part}" for i in range(layers) for part in parts]
        paths.append("score")
        cases.append(
            {
                "paths": paths,
                "A": normal(rng, len(paths), rank, d_in),
                "B": normal(rng, len(paths), d_out + 10, rank),
                "adapter": adapter,
                "about": about,
            }
        )
    return cases


def verify(rng: Generator) -> list[Case]:
    """How many tensors of a file are absent, extra, of another shape, or zero; then traps."""
    kinds = {
        "all": "",
        "none": "",
        "empty": "the file is empty",
        "transposed": "a tensor has as many elements, and another shape",
        "longer": "shapes differ in the last dimension only",
        "zero A": "a lora_A in the file is zero",
        "cancelling": "values of a lora_B cancel in a sum",
        "negative": "no value of a lora_B is positive",
        "tiny": "values of a lora_B are tiny, and not zero",
        "unknown": "a lora_B that the model lacks is zero: unexpected, and dead as well",
        "misfit": "a lora_B of another shape is zero: a misfit, and dead as well",
        "no dot": "a name of the model has lora_ without the dot before it",
    }
    cases = []
    for kind, about in kinds.items():
        absent, extra, misfit = different(rng, 3, 1, 4) if kind == "all" else (0, 0, 0)
        rank, d_in, d_out = different(rng, 3, 3, 9)
        layers = integer(rng, 11, 13) if kind == "all" else integer(rng, 3, 5)
        case = {
            "A": normal(rng, layers, rank, d_in),
            "B": normal(rng, layers, d_out, rank),
            "absent": absent,
            "extra": extra,
            "misfit": misfit,
            "zero": integer(rng, 5, 6) if kind == "all" else 0,
            "kind": kind,
            "about": about,
        }
        model, file = _model_and_file(case)
        cases.append({**case, "model": model, "file": file})
    return cases


# What an answer to verify does not get: it says how many tensors of each kind there are.
VERIFY_SECRET = ("A", "B", "absent", "extra", "misfit", "zero", "kind")


def _model_and_file(case: Case) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A model's tensors, frozen ones among them, and a file that differs from what it expects."""
    A, B = case["A"], case["B"]
    paths = [f"base_model.model.layers.{i}.q_proj" for i in range(len(A))]
    model, file = {}, {}
    for path, one, other in zip(paths, A, B, strict=True):
        model[f"{path}.base_layer.weight"] = other @ one
        model[f"{path}.lora_A.weight"] = one / 2
        model[f"{path}.lora_B.weight"] = torch.zeros_like(other)
        file[f"{path}.lora_A.weight"] = one.clone()
        file[f"{path}.lora_B.weight"] = other.clone()
    for path in paths[: case["absent"]]:
        del file[f"{path}.lora_A.weight"]
    for path in paths[: case["extra"]]:
        file[path.replace("q_proj", "k_proj") + ".lora_A.weight"] = A[0].clone()
    for path in paths[case["absent"] : case["absent"] + case["misfit"]]:
        name = f"{path}.lora_A.weight"
        file[name] = torch.cat([file[name], file[name][:1]])
    for path in paths[len(paths) - case["zero"] :]:
        file[f"{path}.lora_B.weight"].zero_()
    # A row of zeros does not make an adapter that does nothing.
    for path in (paths[0], paths[2]):
        file[f"{path}.lora_B.weight"][0] = 0
    a, b = f"{paths[1]}.lora_A.weight", f"{paths[1]}.lora_B.weight"
    changes = {
        "empty": file.clear,
        "transposed": lambda: file.update({a: file[a].T.clone(), b: file[b].T.clone()}),
        "longer": lambda: file.update({a: torch.cat([file[a], file[a][:, :1]], 1)}),
        "zero A": lambda: file[a].zero_(),
        "cancelling": lambda: file.update({b: _cancelling(file[b])}),
        "negative": lambda: file[b].abs_().neg_()[0, 0].zero_(),
        "tiny": lambda: file.update({b: file[b] * 1e-9}),
        "unknown": lambda: file.update({b.replace("q_proj", "k_proj"): torch.zeros_like(file[b])}),
        "misfit": lambda: file.update({b: torch.zeros_like(file[b][1:])}),
        "no dot": lambda: model.update({"base_model.model.flora_head.weight": A[0] + 1}),
    }
    changes.get(case["kind"], lambda: None)()
    return model, file


def _cancelling(like: Tensor) -> Tensor:
    """Ones and as many minus ones, so that the sum is exactly zero; a zero is left if odd."""
    values = torch.zeros(like.numel(), dtype=like.dtype)
    half = like.numel() // 2
    values[:half], values[half : 2 * half] = 1, -1
    return values.view(like.shape)


def combine(rng: Generator) -> list[Case]:
    """Adapters of one rank for all three ways; of different ranks where they can have them."""
    kinds = (
        # by how much each rank is larger than the first, and for which ways
        ((0, 0), ("cat", "linear", "svd"), ""),
        ((0, 1, -1), ("cat", "svd"), "the adapters have different ranks"),
        ((0, 0, 0), ("cat", "linear", "svd"), "there are three adapters"),
    )
    cases = []
    for growths, ways, about in kinds:
        rank, count = integer(rng, 3, 4), len(growths)
        d_in, d_out = different(rng, 2, 13, 17)
        case: Case = {}
        for i, growth in enumerate(growths):
            case[f"A{i}"] = normal(rng, rank + growth, d_in)
            case[f"B{i}"] = normal(rng, d_out, rank + growth)
        signs = [1, -1, 1]
        case["scalings"] = [0.5 + i + uniform(rng, 0.1, 0.9) for i in range(count)]
        case["weights"] = [signs[i] * uniform(rng, 0.3, 0.7) for i in range(count)]
        cases.append({**case, "ways": list(ways), "about": about})
    return cases


def tied(rng: Generator) -> list[Case]:
    cases = []
    for dtype in (torch.float64, torch.float32, torch.float64):
        vocabulary, width = different(rng, 2, 4, 12)
        cases.append(
            {
                name: normal(rng, vocabulary, width, dtype=dtype)
                for name in ("embedding", "head", "delta")
            }
        )
    return cases
