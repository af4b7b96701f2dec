"""Every known wrong answer of lesson 03 as a learner types it.

Most are the right answer with one edit, ``(what stands there, what the learner has instead)``; the
others are written out. They are made from the lab's solution and not from the mutants in
``peftcourse.exercises``, so that both can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator

from grading.cases.notebooks import RIGHT

Edit = tuple[str, str]

_BY_HAND = """
    A = torch.empty(rank, d_in)
    nn.init.kaiming_uniform_(A, a=math.sqrt(5), generator=generator)
    return A, torch.zeros(d_out, rank)"""

# exercise → id of the mutant → an edit, or the whole answer
WRONG: dict[str, dict[str, Edit | str]] = {
    "lora.delta": {
        "alpha-not-divided": ("alpha / rank *", "alpha *"),
        "no-scaling": ("alpha / rank * (B @ A)", "B @ A"),
        "scaling-inverted": ("alpha / rank", "rank / alpha"),
        "square-root-of-rank": "def lora_delta(A, B, alpha):\n"
        "    s = alpha / A.shape[0] ** 0.5\n    return s * torch.einsum('or,ri->oi', B, A)",
        "rank-from-wrong-axis": ("A.shape[0]", "A.shape[1]"),
    },
    "lora.init": {
        "both-zero": "def lora_init(d_in, d_out, rank, generator):\n"
        "    return torch.zeros(rank, d_in), torch.zeros(d_out, rank)",
        "zero-and-random-swapped": (
            _BY_HAND,
            _BY_HAND.replace("A = torch.empty(rank, d_in)", "B = torch.empty(d_out, rank)")
            .replace("uniform_(A", "uniform_(B")
            .replace("return A, torch.zeros(d_out, rank)", "return torch.zeros(rank, d_in), B"),
        ),
        "both-random": (
            "return A, torch.zeros(d_out, rank)",
            "B = torch.randn(d_out, rank, generator=generator)\n    return A, B",
        ),
        "default-gain": ("a=math.sqrt(5), ", ""),
        "wrong-fan": (
            _BY_HAND,
            _BY_HAND.replace("(rank, d_in)", "(d_in, rank)").replace("return A,", "return A.T,"),
        ),
        "normal": (
            "nn.init.kaiming_uniform_(A, a=math.sqrt(5), generator=generator)",
            "A.normal_(0, 1 / math.sqrt(3 * d_in), generator=generator)",
        ),
        "generator-ignored": (", generator=generator", ""),
    },
    "lora.forward": {
        "base-not-frozen": ("base.requires_grad_(False)", "base"),
        "not-parameters": (
            "        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))",
            "        a = torch.randn(rank, base.in_features, dtype=base.weight.dtype)\n"
            "        del self.A, self.B\n        self.A = a\n"
            "        self.B = torch.zeros(base.out_features, rank, dtype=base.weight.dtype)",
        ),
        "alpha-not-divided": ("self.scaling = alpha / rank", "self.scaling = alpha"),
        "b-random": ("self.B = nn.Parameter(torch.zeros(", "self.B = nn.Parameter(torch.randn("),
        "base-scaled-too": (
            "self.base(x) + self.scaling * branch",
            "self.scaling * (self.base(x) + branch)",
        ),
        "bias-lost": ("return self.base(x) +", "return x @ self.base.weight.T +"),
        "dropout-on-base": (
            "branch = self.dropout(x) @",
            "x = self.dropout(x)\n        branch = x @",
        ),
        "dropout-after-a": (
            "self.dropout(x) @ self.A.T @",
            "self.dropout(x @ self.A.T) @",
        ),
        "dropout-in-eval": ("self.dropout(x) @", "F.dropout(x, self.dropout.p) @"),
        "base-forgotten": ("self.base(x) + self.scaling", "self.scaling"),
    },
    "lora.inject": {
        "substring": ('path == target or path.endswith("." + target)', "target in path"),
        "suffix-not-anchored": ('path.endswith("." + target)', "path.endswith(target)"),
        "exact-name": (' or path.endswith("." + target)', ""),
        "last-part-only": (
            'path == target or path.endswith("." + target)',
            'path.split(".")[-1] == target',
        ),
        "base-not-frozen": ("    model.requires_grad_(False)\n", ""),
        "rest-not-frozen": "def inject(model, targets, wrap):\n    names = []\n"
        "    for path, m in list(model.named_modules()):\n"
        "        fits = any(('.' + path).endswith('.' + t) for t in targets)\n"
        "        if isinstance(m, nn.Linear) and fits:\n            m.requires_grad_(False)\n"
        "            parent, _, attribute = path.rpartition('.')\n"
        "            setattr(model.get_submodule(parent), attribute, wrap(m))\n"
        "            names.append(path)\n    return names",
        "frozen-last": (
            "    return replaced",
            "    model.requires_grad_(False)\n    return replaced",
        ),
        "set-on-root": ("setattr(model.get_submodule(parent),", "setattr(model,"),
        "first-only": (
            "            replaced.append(path)\n    return replaced",
            "            return [path]",
        ),
    },
    "lora.count": {
        "full-matrices": ("rank * (d_out + d_in)", "d_out * d_in"),
        "square-assumed": ("(d_out + d_in)", "(d_in + d_in)"),
        "only-one-factor": ("(d_out + d_in)", "d_in"),
        "layers-forgotten": ("layers * sum", "sum"),
        "base-included": "def lora_parameters(shapes, rank, layers):\n    total = 0\n"
        "    for d_out, d_in in shapes:\n        total += d_out * d_in\n"
        "        total += rank * d_in + d_out * rank\n    return total * layers",
    },
    "lora.loss": {
        "not-shifted": (
            "logits[:, :-1].flatten(0, 1)  # (B · (T - 1), V)\n    "
            "return F.cross_entropy(predictions, labels[:, 1:].flatten(),",
            "logits.flatten(0, 1)\n    return F.cross_entropy(predictions, labels.flatten(),",
        ),
        "shifted-backwards": (
            "logits[:, :-1].flatten(0, 1)  # (B · (T - 1), V)\n    "
            "return F.cross_entropy(predictions, labels[:, 1:]",
            "logits[:, 1:].flatten(0, 1)\n    return F.cross_entropy(predictions, labels[:, :-1]",
        ),
        "shifted-twice": (
            "logits[:, :-1].flatten(0, 1)  # (B · (T - 1), V)\n    "
            "return F.cross_entropy(predictions, labels[:, 1:]",
            "logits[:, :-2].flatten(0, 1)\n    return F.cross_entropy(predictions, labels[:, 2:]",
        ),
        "mask-as-token": (
            "labels[:, 1:].flatten(), ignore_index=-100",
            "labels[:, 1:].flatten().clamp(min=0)",
        ),
        "mean-over-masked": "def next_token_loss(logits, labels):\n"
        "    losses = F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:],\n"
        "                             reduction='none')\n    return losses.mean()",
        "mean-of-rows": "def next_token_loss(logits, labels):\n    losses = []\n"
        "    for i in range(len(logits)):\n"
        "        losses.append(F.cross_entropy(logits[i, :-1], labels[i, 1:]))\n"
        "    return sum(losses) / len(losses)",
        "sum": ("ignore_index=-100", "ignore_index=-100, reduction='sum'"),
    },
    "lora.train_step": {
        "no-zero-grad": ("    optimizer.zero_grad()\n", ""),
        "zero-grad-after-backward": (
            "    optimizer.zero_grad()\n    loss = loss_fn(model(x), y)\n    loss.backward()\n",
            "    loss = loss_fn(model(x), y)\n    loss.backward()\n    optimizer.zero_grad()\n",
        ),
        "step-before-backward": "def train_step(model, x, y, loss_fn, optimizer, max_norm):\n"
        "    optimizer.step()\n    optimizer.zero_grad()\n    loss = loss_fn(model(x), y)\n"
        "    loss.backward()\n    nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n"
        "    return loss.item()",
        "not-clipped": ("    nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n", ""),
        "clipped-by-value": ("clip_grad_norm_", "clip_grad_value_"),
        "clipped-one-by-one": (
            "    nn.utils.clip_grad_norm_(model.parameters(), max_norm)",
            "    for p in model.parameters():\n"
            "        torch.nn.utils.clip_grad_norm_([p], max_norm)",
        ),
        "loss-after-step": ("return loss.item()", "return loss_fn(model(x), y).item()"),
    },
    "lora.save": {
        "whole-model": "def adapter_state(model, kind):\n"
        "    return {k: v.detach().clone() for k, v in model.state_dict().items()}",
        "by-requires-grad": "def adapter_state(model, kind):\n    state = {}\n"
        "    for name, p in model.named_parameters():\n        if p.requires_grad:\n"
        "            state[name] = p.detach().clone()\n    return state",
        "by-name": "def adapter_state(model, kind):\n    state = {}\n"
        "    for name, p in model.named_parameters():\n"
        "        if name.split('.')[-1] in ('A', 'B'):\n"
        "            state[name] = p.detach().clone()\n    return state",
        "not-copied": (".detach().clone()", ".detach()"),
        "not-detached": (".detach().clone()", ".clone()"),
        "names-without-path": ('f"{path}.{part}"', "part"),
    },
    "lora.load": {
        "missing-ignored": (
            "    if parameters.keys() != state.keys():",
            "    parameters = {k: v for k, v in parameters.items() if k in state}\n"
            "    if parameters.keys() != state.keys():",
        ),
        "extra-ignored": (
            "    if parameters.keys() != state.keys():",
            "    if any(name not in state for name in parameters):",
        ),
        "names-not-checked": "def load_adapter_state(model, kind, state):\n    pairs = []\n"
        "    for path, m in model.named_modules():\n"
        "        if isinstance(m, kind):\n            for part in 'AB':\n"
        "                if path + '.' + part in state:\n"
        "                    pairs.append((getattr(m, part), state[path + '.' + part]))\n"
        "    if any(p.shape != new.shape for p, new in pairs):\n        raise ValueError('shape')\n"
        "    for p, new in pairs:\n        p.data.copy_(new)",
        "shape-not-checked": ("if parameter.shape != state[name].shape:", "if False:"),
        "checked-while-copying": "def load_adapter_state(model, kind, state):\n    seen = set()\n"
        "    with torch.no_grad():\n        for path, m in model.named_modules():\n"
        "            if not isinstance(m, kind):\n                continue\n"
        "            for part in 'AB':\n                name = f'{path}.{part}'\n"
        "                old = getattr(m, part)\n"
        "                if name not in state or state[name].shape != old.shape:\n"
        "                    raise ValueError(name)\n                old.copy_(state[name])\n"
        "                seen.add(name)\n"
        "    if seen != set(state):\n        raise ValueError('too many')",
        "parameters-replaced": (
            "    with torch.no_grad():\n        for name, parameter in parameters.items():\n"
            "            parameter.copy_(state[name])",
            "    for name in parameters:\n        path, part = name.rsplit('.', 1)\n"
            "        new = nn.Parameter(state[name].clone())\n"
            "        setattr(model.get_submodule(path), part, new)",
        ),
    },
    "lora.merge": {
        "branch-still-on": ("    layer.enabled = False\n", ""),
        "scaling-forgotten": ("layer.scaling * (layer.B @ layer.A)", "layer.B @ layer.A"),
        "subtracted-again": (
            "weight.copy_(original)",
            "weight -= layer.scaling * (layer.B @ layer.A)",
        ),
        "no-finally": "@contextlib.contextmanager\ndef merged(layer):\n"
        "    W, was = layer.base.weight, layer.enabled\n    copy = W.detach().clone()\n"
        "    W.data += layer.scaling * (layer.B @ layer.A).detach()\n"
        "    layer.enabled = False\n    yield\n    layer.enabled = was\n    W.data.copy_(copy)",
        "parameter-replaced": (
            "        with torch.no_grad():\n            weight.copy_(original)",
            "        layer.base.weight = nn.Parameter(original)\n"
            "        with torch.no_grad():\n            weight.copy_(original)",
        ),
        "copy-is-an-alias": ("weight.detach().clone()", "weight.detach()"),
        "switched-on": ("layer.enabled = was_enabled", "layer.enabled = True"),
    },
}


def wrong(exercise: str, mutant: str) -> str:
    """The source of one wrong answer."""
    change = WRONG[exercise][mutant]
    if isinstance(change, str):
        return change
    old, new = change
    assert RIGHT[exercise].count(old) == 1, (exercise, mutant)
    return RIGHT[exercise].replace(old, new)


def classes() -> Iterator[dict[str, str]]:
    """As many sets of wrong answers as it takes to use every one; exercise → id of the mutant."""
    for i in range(max(map(len, WRONG.values()))):
        yield {exercise: list(known)[i % len(known)] for exercise, known in WRONG.items()}
