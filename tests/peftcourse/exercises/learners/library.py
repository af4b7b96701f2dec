"""Answers to the exercises of lesson 09, written from its text alone."""

from tests.peftcourse.exercises.learners.answers import Exercise

RE = "import re\n"

# --- library.targets -------------------------------------------------------------------------

targets = Exercise(
    "library.targets",
    "def chosen_layers(targets: str | list[str], linear: list[str], head: str) -> list[str]:",
    given=RE,
)
targets.wrong(
    "search for a string",
    "re.search finds the expression anywhere; a string has to match the whole name",
    r"whole|full ?match|search|anywhere|part of",
    """
    if targets == "all-linear":
        return [n for n in linear if n != head]
    if isinstance(targets, str):
        return [n for n in linear if re.search(targets, n)]
    return [n for n in linear if any(n == t or n.endswith("." + t) for t in targets)]
""",
)
targets.wrong(
    "match for a string",
    "re.match anchors the start only; the expression has to reach the end of the name",
    r"whole|full ?match|re\.match|begin|start|the end of",
    """
    if targets == "all-linear":
        return [n for n in linear if n != head]
    if isinstance(targets, str):
        return [n for n in linear if re.match(targets, n)]
    return [n for n in linear if any(n == t or n.endswith("." + t) for t in targets)]
""",
)
targets.wrong(
    "anchors without brackets",
    "^a|b$ anchors each side of an alternative only once; the whole name has to match",
    r"whole|full ?match|alternativ|\||bracket|parenthes|group|anchor",
    """
    if targets == "all-linear":
        return [n for n in linear if n != head]
    if isinstance(targets, str):
        return [n for n in linear if re.search(f"^{targets}$", n)]
    return [n for n in linear if any(n == t or n.endswith("." + t) for t in targets)]
""",
)
targets.wrong(
    "ends without a dot",
    "an entry of a list is the end of a name after a dot, not any end",
    r"dot|\"\.\"|'\.'|boundar|any end|suffix|part of a name|longer (word|name)",
    """
    if targets == "all-linear":
        return [n for n in linear if n != head]
    if isinstance(targets, str):
        return [n for n in linear if re.fullmatch(targets, n)]
    return [n for n in linear if n.endswith(tuple(targets))]
""",
)
targets.wrong(
    "list entries as expressions",
    "the entries of a list are no regular expressions, but compared letter by letter",
    r"letter|literal|no (regular )?expression|not (a )?(regular )?expression|regex",
    """
    if targets == "all-linear":
        return [n for n in linear if n != head]
    if isinstance(targets, str):
        return [n for n in linear if re.fullmatch(targets, n)]
    return [n for n in linear if any(re.fullmatch(rf"(.*\\.)?({t})", n) for t in targets)]
""",
)
targets.wrong(
    "all-linear with the head",
    "the word all-linear leaves out the output head",
    r"head",
    """
    if targets == "all-linear":
        return list(linear)
    if isinstance(targets, str):
        return [name for name in linear if re.fullmatch(targets, name)]
    return [n for n in linear if any(n == t or n.endswith("." + t) for t in targets)]
""",
)
targets.wrong(
    "all-linear as an expression",
    "the shorthand all-linear is a string too and has to be asked for first",
    r"all-linear|shorthand",
    """
    if isinstance(targets, str):
        return [name for name in linear if re.fullmatch(targets, name)]
    elif targets == "all-linear":
        return [name for name in linear if name != head]
    return [n for n in linear if any(n == t or n.endswith("." + t) for t in targets)]
""",
)
targets.wrong(
    "entry anywhere in the name",
    "an entry has to be the name or its end after a dot, not any part of it",
    r"substring|part of|anywhere|inside|dot|end of",
    """
    if targets == "all-linear":
        return [name for name in linear if name != head]
    if isinstance(targets, str):
        return [name for name in linear if re.fullmatch(targets, name)]
    return [name for name in linear if any(entry in name for entry in targets)]
""",
)
targets.wrong(
    "head never chosen",
    "only all-linear leaves the head out; a string or list that names it means it",
    r"head",
    """
    chosen = []
    for name in linear:
        if name == head:
            continue
        if targets == "all-linear":
            chosen.append(name)
        elif isinstance(targets, str):
            if re.fullmatch(targets, name):
                chosen.append(name)
        elif any(name == t or name.endswith("." + t) for t in targets):
            chosen.append(name)
    return chosen
""",
)
targets.wrong(
    "order of the list",
    "the names have to come in the model's order, and once each, not by the entries",
    r"order|twice|duplicate|\bonce\b",
    """
    if targets == "all-linear":
        return [n for n in linear if n != head]
    if isinstance(targets, str):
        return [n for n in linear if re.fullmatch(targets, n)]
    chosen = []
    for entry in targets:
        for name in linear:
            if name == entry or name.endswith("." + entry):
                chosen.append(name)
    return chosen
""",
)
targets.wrong(
    "last part only",
    "an entry may hold several parts, such as self_attn.q_proj, or the whole name",
    r"several (parts|levels)|whole name|more than one|last (part|component|level)|longer",
    """
    if targets == "all-linear":
        return [n for n in linear if n != head]
    if isinstance(targets, str):
        return [n for n in linear if re.fullmatch(targets, n)]
    return [n for n in linear if n.split(".")[-1] in targets]
""",
)
targets.wrong(
    "whole names in a list missed",
    "an entry that is the whole name counts as well, without a dot in front",
    r"the whole name|exact(ly)? (name|match)|equal|itself|full name|without a dot|name ==",
    """
    if targets == "all-linear":
        return [n for n in linear if n != head]
    if isinstance(targets, str):
        return [n for n in linear if re.fullmatch(targets, n)]
    return [n for n in linear if any(n.endswith(f".{t}") for t in targets)]
""",
)
targets.wrong(
    "raises when nothing matches",
    "where nothing matches, the list is empty, and no error is asked for",
    r"empty|nothing match|raise|ValueError|no match",
    """
    if targets == "all-linear":
        found = [n for n in linear if n != head]
    elif isinstance(targets, str):
        found = [n for n in linear if re.fullmatch(targets, n)]
    else:
        found = [n for n in linear if any(n == t or n.endswith("." + t) for t in targets)]
    if not found:
        raise ValueError(f"Target modules {targets} not found in the base model.")
    return found
""",
)
targets.wrong(
    "head by a part of its name",
    "all-linear leaves out the head alone, not every layer with its name inside",
    r"head",
    """
    if targets == "all-linear":
        return [n for n in linear if head not in n]
    if isinstance(targets, str):
        return [n for n in linear if re.fullmatch(targets, n)]
    return [n for n in linear if any(n == t or n.endswith("." + t) for t in targets)]
""",
)
targets.wrong(
    "a string as an end of the name",
    "a string has to match the whole name, from its first letter, not an end of it",
    r"whole|full|first letter|end of|start",
    """
    if targets == "all-linear":
        return [n for n in linear if n != head]
    if isinstance(targets, str):
        return [n for n in linear if re.fullmatch(rf"(?:.*\\.)?(?:{targets})", n)]
    return [n for n in linear if any(n == t or n.endswith("." + t) for t in targets)]
""",
)
targets.wrong(
    "two mistakes: search, head kept",
    "the head is among all-linear's layers, and a string is only searched for",
    r"head|whole|full ?match|search",
    """
    if targets == "all-linear":
        return linear
    if type(targets) is str:
        return [n for n in linear if re.search(targets, n) is not None]
    return [n for n in linear if any(n == t or n.endswith("." + t) for t in targets)]
""",
)
targets.wrong(
    "returns a set",
    "a list in the order of the layers is asked for, and a set has no order",
    r"\bset\b|list|order",
    """
    if targets == "all-linear":
        return set(linear) - {head}
    if isinstance(targets, str):
        return {n for n in linear if re.fullmatch(targets, n)}
    return {n for n in linear for t in targets if n == t or n.endswith("." + t)}
""",
)
targets.wrong(
    "raise left over",
    "the line raise NotImplementedError of the stub is still there, in place of a return",
    r"NotImplementedError|left over|still there|stub|raise",
    """
    if targets == "all-linear":
        chosen = [n for n in linear if n != head]
    elif isinstance(targets, str):
        chosen = [n for n in linear if re.fullmatch(targets, n)]
    else:
        chosen = [n for n in linear if any(n == t or n.endswith("." + t) for t in targets)]
    raise NotImplementedError("your code here")
""",
)
targets.wrong(
    "string compared letter by letter",
    "a string is a regular expression, not a name",
    r"regular|expression|regex|full ?match",
    """
    if targets == "all-linear":
        return [n for n in linear if n != head]
    entries = [targets] if isinstance(targets, str) else targets
    return [n for n in linear if any(n == t or n.endswith("." + t) for t in entries)]
""",
)
targets.right(
    "three comprehensions",
    """
    if targets == "all-linear":
        return [name for name in linear if name != head]
    if isinstance(targets, str):
        return [name for name in linear if re.fullmatch(targets, name)]
    return [n for n in linear if any(n == t or n.endswith("." + t) for t in targets)]
""",
)
targets.right(
    "one loop with a helper",
    """
def fits(targets, name, head):
    if isinstance(targets, list):
        for entry in targets:
            if ("." + name).endswith("." + entry):
                return True
        return False
    if targets == "all-linear":
        return name != head
    return re.compile(targets).fullmatch(name) is not None


def chosen_layers(targets, linear, head):
    out = []
    for name in linear:
        if fits(targets, name, head):
            out.append(name)
    return out
""",
)
targets.right(
    "all ends of a name against a set",
    """
    if targets == "all-linear":
        return list(filter(lambda name: name != head, linear))
    if isinstance(targets, str):
        return list(filter(re.compile(targets).fullmatch, linear))
    wanted = set(targets)

    def ends(name):
        parts = name.split(".")
        return {".".join(parts[i:]) for i in range(len(parts))}

    return [name for name in linear if ends(name) & wanted]
""",
)
targets.right(
    "everything as one expression",
    """
    if targets == "all-linear":
        pattern = rf"(?!{re.escape(head)}\\Z).*"
    elif isinstance(targets, str):
        pattern = targets
    else:
        pattern = r"(?:.*\\.)?(?:" + "|".join(map(re.escape, targets)) + ")"
        if not targets:
            return []
    return [name for name in linear if re.fullmatch(pattern, name)]
""",
)
targets.right(
    "match with an end anchor in brackets",
    """
    import re

    match targets:
        case "all-linear":
            keep = [n != head for n in linear]
        case str():
            keep = [bool(re.match(rf"(?:{targets})\\Z", n)) for n in linear]
        case _:
            dotted = tuple("." + t for t in targets)
            keep = [n in targets or n.endswith(dotted) for n in linear]
    return [n for n, k in zip(linear, keep) if k]
""",
)

# --- library.count ---------------------------------------------------------------------------

count = Exercise("library.count", "def trainable_and_all(model: nn.Module) -> tuple[int, int]:")
count.wrong(
    "state_dict",
    "state_dict holds buffers too, and a shared weight under both of its names",
    r"buffer|shared|state_dict|twice|tied",
    """
    train = sum(p.numel() for p in model.parameters() if p.requires_grad)
    every = sum(
        t.numel() * (2 if t.dtype == torch.uint8 else 1) for t in model.state_dict().values()
    )
    return train, every
""",
)
count.wrong(
    "duplicates not removed",
    "a weight that two modules share is counted twice",
    r"shared|share|twice|once|duplicate|tied",
    """
    train = every = 0
    for _, p in model.named_parameters(remove_duplicate=False):
        n = p.numel() * (2 if p.dtype == torch.uint8 else 1)
        every += n
        train += n if p.requires_grad else 0
    return train, every
""",
)
count.wrong(
    "module by module",
    "going through the modules counts a weight once for each module that holds it",
    r"shared|share|twice|once|duplicate|tied",
    """
    train = every = 0
    for module in model.modules():
        for p in module.parameters(recurse=False):
            n = 2 * p.numel() if p.dtype == torch.uint8 else p.numel()
            every += n
            if p.requires_grad:
                train += n
    return train, every
""",
)
count.wrong(
    "modules with recursion",
    "model.modules() with parameters() counts each parameter once for each of its ancestors",
    r"twice|once|several times|more than once|recurs|duplicate|shared",
    """
    train = every = 0
    for module in model.modules():
        for p in module.parameters():
            n = 2 * p.numel() if p.dtype == torch.uint8 else p.numel()
            every += n
            train += n * p.requires_grad
    return train, every
""",
)
count.wrong(
    "packed codes as one",
    "a byte of uint8 holds two numbers",
    r"uint8|packed|4.?bit|two (numbers|codes)|byte|doubl",
    """
    train = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return train, sum(p.numel() for p in model.parameters())
""",
)
count.wrong(
    "packed codes halved",
    "two codes in a byte make twice as many numbers, not half",
    r"uint8|packed|4.?bit|two (numbers|codes)|byte|twice|half",
    """
    train = every = 0
    for p in model.parameters():
        n = p.numel() // 2 if p.dtype == torch.uint8 else p.numel()
        every += n
        if p.requires_grad:
            train += n
    return train, every
""",
)
count.wrong(
    "every type of one byte doubled",
    "only torch.uint8 is packed; an int8 weight is one number in a byte",
    r"uint8|int8|one byte|packed|doubl",
    """
    train = every = 0
    for p in model.parameters():
        n = p.numel() * (2 if p.element_size() == 1 else 1)
        every += n
        if p.requires_grad:
            train += n
    return train, every
""",
)
count.wrong(
    "all integers doubled",
    "only torch.uint8 is packed, not every type that is no float",
    r"uint8|int8|integer|packed|doubl",
    """
    def size(p):
        return p.numel() if p.is_floating_point() else 2 * p.numel()

    return (
        sum(size(p) for p in model.parameters() if p.requires_grad),
        sum(size(p) for p in model.parameters()),
    )
""",
)
count.wrong(
    "swapped",
    "what trains comes first, and all parameters second",
    r"swap|\border\b|other way|exchang|comes first",
    """
    sizes = {p: p.numel() * (1 + (p.dtype == torch.uint8)) for p in model.parameters()}
    return sum(sizes.values()), sum(n for p, n in sizes.items() if p.requires_grad)
""",
)
count.wrong(
    "frozen in place of all",
    "the second number is all parameters, those that train included",
    r"frozen|all parameters|every parameter|leaves? out|both|includ|in total",
    """
    train = frozen = 0
    for p in model.parameters():
        n = p.numel() * (2 if p.dtype == torch.uint8 else 1)
        if p.requires_grad:
            train += n
        else:
            frozen += n
    return train, frozen
""",
)
count.wrong(
    "tensors counted",
    "the number of tensors, where the number of their elements is asked for",
    r"numel|element|tensors",
    """
    parameters = list(model.parameters())
    return len([p for p in parameters if p.requires_grad]), len(parameters)
""",
)
count.wrong(
    "with buffers",
    "buffers are no parameters",
    r"buffer",
    """
    def n(t):
        return t.numel() * (2 if t.dtype == torch.uint8 else 1)

    train = sum(n(p) for p in model.parameters() if p.requires_grad)
    total = sum(n(p) for p in model.parameters()) + sum(n(b) for b in model.buffers())
    return train, total
""",
)
count.wrong(
    "requires_grad_ misspelt",
    "requires_grad_ is a method and always true; the attribute is requires_grad",
    r"requires_grad|frozen|method|always true",
    """
    train = every = 0
    for p in model.parameters():
        n = p.numel() * (2 if p.dtype == torch.uint8 else 1)
        every += n
        if p.requires_grad_:
            train += n
    return train, every
""",
)
count.wrong(
    "by the name lora_",
    "what trains is told by requires_grad, not by its name",
    r"requires_grad|by (its |the )?name|frozen",
    """
    train = every = 0
    for name, p in model.named_parameters():
        n = p.numel() * (2 if p.dtype == torch.uint8 else 1)
        every += n
        if "lora_" in name:
            train += n
    return train, every
""",
)
count.wrong(
    "numel without a call",
    "numel is a method and has to be called",
    r"numel|call|method|\(\)|TypeError",
    """
    train = sum(p.numel for p in model.parameters() if p.requires_grad)
    every = sum(p.numel for p in model.parameters())
    return train, every
""",
)
count.wrong(
    "matrices only",
    "rows times columns: a bias has one dimension",
    r"bias|one dimension|vector|numel|IndexError|out of range|p\.shape",
    """
    train = every = 0
    for p in model.parameters():
        n = p.shape[0] * p.shape[1]
        if p.dtype == torch.uint8:
            n *= 2
        every += n
        train += n if p.requires_grad else 0
    return train, every
""",
)
count.wrong(
    "equal shapes taken for shared",
    "two parameters of one shape are two parameters; shared means the same tensor",
    r"same tensor|same shape|equal shape|ident|shared|object",
    """
    seen, train, every = set(), 0, 0
    for p in model.parameters():
        if p.shape in seen and p.dim() == 2:
            continue
        seen.add(p.shape)
        n = p.numel() * (2 if p.dtype == torch.uint8 else 1)
        every += n
        if p.requires_grad:
            train += n
    return train, every
""",
)
count.wrong(
    "two mistakes: shared twice, packed once",
    "shared weights count twice, and packed ones count one number per byte",
    r"shared|twice|tied|uint8|packed|byte|duplicate",
    """
    every = sum(p.numel() for m in model.modules() for p in m.parameters(recurse=False))
    train = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return train, every
""",
)
count.wrong(
    "prints",
    "the numbers are printed, and nothing is returned",
    r"return|None|printed",
    """
    train = sum(p.numel() for p in model.parameters() if p.requires_grad)
    every = sum(p.numel() * (1 + (p.dtype == torch.uint8)) for p in model.parameters())
    print(f"trainable params: {train:,} || all params: {every:,}")
""",
)
count.open(
    "a list",
    "a list of the two numbers in place of a tuple",
    """
    sizes = [(p.numel() * (1 + (p.dtype == torch.uint8)), p.requires_grad)
             for p in model.parameters()]
    return [sum(n for n, train in sizes if train), sum(n for n, _ in sizes)]
""",
)
count.right(
    "one loop",
    """
    trainable = everything = 0
    for parameter in model.parameters():
        size = parameter.numel() * (2 if parameter.dtype == torch.uint8 else 1)
        everything += size
        if parameter.requires_grad:
            trainable += size
    return trainable, everything
""",
)
count.right(
    "two sums with math.prod",
    """
    def size(p):
        return math.prod(p.shape) << (p.dtype is torch.uint8)

    params = set(model.parameters())
    return sum(size(p) for p in params if p.requires_grad), sum(map(size, params))
""",
)
count.right(
    "its own recursion with seen ids",
    """
    seen = set()
    counts = {True: 0, False: 0}

    def visit(module):
        for p in module._parameters.values():
            if p is None or id(p) in seen:
                continue
            seen.add(id(p))
            n = p.nelement()
            if p.dtype == torch.uint8:
                n += n
            counts[p.requires_grad] += n
        for child in module.children():
            visit(child)

    visit(model)
    return counts[True], counts[True] + counts[False]
""",
)
count.right(
    "Counter",
    """
    n = Counter()
    for _, p in model.named_parameters():
        n[p.requires_grad] += p.numel() * (1 + int(p.dtype == torch.uint8))
    return n[True], n.total()
""",
)
count.right(
    "a dictionary against duplicates",
    """
    unique = {id(p): p for _, p in model.named_parameters(remove_duplicate=False)}
    rows = np.array(
        [[n := p.numel() * (2 if p.dtype == torch.uint8 else 1), n * p.requires_grad]
         for p in unique.values()] or [[0, 0]],
        dtype=np.int64,
    ).sum(0)
    return int(rows[1]), int(rows[0])
""",
)

# --- library.scaling -------------------------------------------------------------------------

scaling = Exercise(
    "library.scaling",
    """def scaling(
    path: str,
    r: int,
    lora_alpha: float,
    rank_pattern: dict[str, int],
    alpha_pattern: dict[str, float],
    use_rslora: bool,
) -> float:""",
    given=RE,
)
_SCALING = """
    def pick(patterns, default):
        for key, value in patterns.items():
            if {test}:
                return value
        return default

    rank, alpha = pick(rank_pattern, r), pick(alpha_pattern, lora_alpha)
    return alpha / (math.sqrt(rank) if use_rslora else rank)
"""
scaling.wrong(
    "patterns ignored",
    "rank_pattern and alpha_pattern are not looked at",
    r"pattern",
    "    return lora_alpha / (math.sqrt(r) if use_rslora else r)",
)
scaling.wrong(
    "alpha_pattern forgotten",
    "the layer's own alpha is not looked up",
    r"alpha",
    """
    for key, value in rank_pattern.items():
        if re.fullmatch(rf"(.*\\.)?({key})", path):
            r = value
            break
    return lora_alpha / (math.sqrt(r) if use_rslora else r)
""",
)
scaling.wrong(
    "rslora ignored",
    "with use_rslora alpha is divided by the root of the rank",
    r"rslora|root|sqrt|√",
    """
    def pick(patterns, default):
        keys = (k for k in patterns if re.fullmatch(rf"(.*\\.)?({k})", path))
        return patterns.get(next(keys, None), default)

    return pick(alpha_pattern, lora_alpha) / pick(rank_pattern, r)
""",
)
scaling.wrong(
    "root of the quotient",
    "the root is of the rank alone, not of alpha / r",
    r"root|sqrt|√",
    """
    def pick(patterns, default):
        for key, value in patterns.items():
            if re.fullmatch(rf"(.*\\.)?({key})", path):
                return value
        return default

    factor = pick(alpha_pattern, lora_alpha) / pick(rank_pattern, r)
    return math.sqrt(factor) if use_rslora else factor
""",
)
scaling.wrong(
    "last key wins",
    "the first key that matches counts; without a break the last one does",
    r"first (key|match|that)|last (one|key|match)|break|\border\b",
    """
    for key, value in rank_pattern.items():
        if re.fullmatch(rf"(.*\\.)?({key})", path):
            r = value
    for key, value in alpha_pattern.items():
        if re.fullmatch(rf"(.*\\.)?({key})", path):
            lora_alpha = value
    return lora_alpha / (r**0.5 if use_rslora else r)
""",
)
scaling.wrong(
    "keys as whole names",
    "a key is looked up as the layer's whole name, and is an expression for its end",
    r"expression|regex|regular|end of|whole",
    """
    rank = rank_pattern.get(path, r)
    alpha = alpha_pattern.get(path, lora_alpha)
    return alpha / (math.sqrt(rank) if use_rslora else rank)
""",
)
scaling.wrong(
    "keys as last parts",
    "a key is an expression for an end of the name, not just its last part letter by letter",
    r"expression|regex|regular|end of|last part|whole",
    """
    last = path.split(".")[-1]
    rank = rank_pattern.get(last, r)
    alpha = alpha_pattern.get(last, lora_alpha)
    return alpha / (math.sqrt(rank) if use_rslora else rank)
""",
)
scaling.wrong(
    "keys letter by letter",
    "a key is a regular expression, and is compared as text",
    r"expression|regex|regular|literal",
    _SCALING.format(test='path == key or path.endswith("." + key)'),
)
scaling.wrong(
    "search",
    "the key is found anywhere in the name; it has to match from a dot to the end",
    r"dot|end of|anywhere|middle|search|full ?match|whole",
    _SCALING.format(test="re.search(key, path)"),
)
scaling.wrong(
    "end without a dot",
    "the end that a key matches has to begin at a dot or be all of the name",
    r"dot|boundar|begin|inside|middle|whole",
    _SCALING.format(test='re.search(rf"({key})$", path)'),
)
scaling.wrong(
    "alternatives without brackets",
    "without brackets around the key a | in it splits the whole pattern",
    r"bracket|parenthes|group|alternativ|\||whole|dot",
    _SCALING.format(test='re.match(rf"(.*\\.)?{key}$", path)'),
)
scaling.wrong(
    "a dot is needed",
    "a key may match all of the name too, with no dot in front",
    r"all of|whole|without a dot|no dot|optional|full name|entire",
    _SCALING.format(test='re.fullmatch(rf".*\\.({key})", path)'),
)
scaling.wrong(
    "whole name only",
    "a key may match the end of the name from a dot on, not only all of it",
    r"end|dot|suffix|whole",
    _SCALING.format(test="re.fullmatch(key, path)"),
)
scaling.wrong(
    "match without an end",
    "the key has to reach the end of the name",
    r"end|full ?match|re\.match|anchor",
    _SCALING.format(test='re.match(rf"(.*\\.)?({key})", path)'),
)
scaling.wrong(
    "alpha by the rank's key",
    "alpha_pattern has keys of its own and is looked up apart from rank_pattern",
    r"alpha|apart|separate|own key|independent",
    """
    rank, alpha = r, lora_alpha
    for key in rank_pattern:
        if re.fullmatch(rf"(.*\\.)?({key})", path):
            rank = rank_pattern[key]
            alpha = alpha_pattern.get(key, lora_alpha)
            break
    return alpha / (math.sqrt(rank) if use_rslora else rank)
""",
)
scaling.wrong(
    "rslora with the general rank",
    "the root is taken of the general rank in place of the layer's own",
    r"rank|rslora|own r|root",
    """
    def pick(patterns, default):
        for key, value in patterns.items():
            if re.fullmatch(rf"(.*\\.)?({key})", path):
                return value
        return default

    alpha = pick(alpha_pattern, lora_alpha)
    if use_rslora:
        return alpha / math.sqrt(r)
    return alpha / pick(rank_pattern, r)
""",
)
scaling.wrong(
    "integer division",
    "// cuts off what follows the point",
    r"//|integer|floor|round|whole number|cut",
    """
    def pick(patterns, default):
        for key, value in patterns.items():
            if re.fullmatch(rf"(.*\\.)?({key})", path):
                return value
        return default

    alpha, rank = pick(alpha_pattern, lora_alpha), pick(rank_pattern, r)
    return alpha / math.sqrt(rank) if use_rslora else alpha // rank
""",
)
scaling.wrong(
    "longest key wins",
    "the first key in the dictionary's order counts, not the longest",
    r"first (key|match|that)|\border\b|longest|specific",
    """
    def pick(patterns, default):
        hits = [key for key in patterns if re.fullmatch(rf"(.*\\.)?({key})", path)]
        return patterns[max(hits, key=len)] if hits else default

    rank, alpha = pick(rank_pattern, r), pick(alpha_pattern, lora_alpha)
    return alpha / (math.sqrt(rank) if use_rslora else rank)
""",
)
scaling.wrong(
    "two mistakes: inverted, search",
    "rank by alpha in place of alpha by rank, and keys are found anywhere",
    r"invert|upside|alpha ?/ ?r|α ?/ ?r|divid|search|anywhere|dot",
    """
    rank = next((v for k, v in rank_pattern.items() if re.search(k, path)), r)
    alpha = next((v for k, v in alpha_pattern.items() if re.search(k, path)), lora_alpha)
    return (math.sqrt(rank) if use_rslora else rank) / alpha
""",
)
scaling.wrong(
    "misspelt name",
    "lora_aplha is not defined; it is lora_alpha",
    r"lora_aplha|lora_alpha|not defined|NameError",
    """
    rank, alpha = r, lora_aplha
    for key, value in rank_pattern.items():
        if re.fullmatch(rf"(.*\\.)?({key})", path):
            rank = value
            break
    for key, value in alpha_pattern.items():
        if re.fullmatch(rf"(.*\\.)?({key})", path):
            alpha = value
            break
    return alpha / (math.sqrt(rank) if use_rslora else rank)
""",
)
scaling.right("a helper", _SCALING.format(test='re.fullmatch(rf"(.*\\.)?({key})", path)'))
scaling.right(
    "next with a default",
    """
    hit = lambda key: re.match(rf"(?:^|.*\\.)(?:{key})\\Z", path)
    rank = next((v for k, v in rank_pattern.items() if hit(k)), r)
    alpha = next((v for k, v in alpha_pattern.items() if hit(k)), lora_alpha)
    return alpha * rank ** (-0.5 if use_rslora else -1.0)
""",
)
scaling.right(
    "every end of the name",
    """
    parts = path.split(".")
    ends = [".".join(parts[i:]) for i in range(len(parts))]
    for key in rank_pattern:
        if any(re.fullmatch(key, end) for end in ends):
            r = rank_pattern[key]
            break
    for key in alpha_pattern:
        if any(re.fullmatch(key, end) for end in ends):
            lora_alpha = alpha_pattern[key]
            break
    if use_rslora:
        return lora_alpha / np.sqrt(r).item()
    return lora_alpha / r
""",
)
scaling.right(
    "search from a dot or the start",
    """
def own(patterns, path, default):
    found = [v for k, v in patterns.items() if re.search(rf"(?:^|\\.)(?:{k})$", path)]
    return found[0] if found else default


def scaling(path, r, lora_alpha, rank_pattern, alpha_pattern, use_rslora):
    rank = own(rank_pattern, path, r)
    alpha = own(alpha_pattern, path, lora_alpha)
    divisor = rank
    if use_rslora:
        divisor = rank ** 0.5
    return float(alpha) / divisor
""",
)
scaling.right(
    "backwards, overwriting",
    """
    for key, value in reversed(list(rank_pattern.items())):
        if re.fullmatch(r"(.*\\.)?(" + key + ")", path):
            r = value
    for key, value in reversed(list(alpha_pattern.items())):
        if re.fullmatch(r"(.*\\.)?(" + key + ")", path):
            lora_alpha = value
    return lora_alpha / math.sqrt(r) if use_rslora else lora_alpha / r
""",
)

# --- library.names ---------------------------------------------------------------------------

names = Exercise(
    "library.names",
    "def peft_names(tensors: dict[str, Tensor], adapter: str | None = None) -> dict[str, Tensor]:",
)
names.wrong(
    "one level missing",
    "every name begins with base_model.model., and only one level is there",
    r"base_model|level|prefix|begin",
    """
    out = {}
    for name, tensor in tensors.items():
        path, letter = name.rsplit(".", 1)
        middle = f".{adapter}" if adapter is not None else ""
        out[f"base_model.{path}.lora_{letter}{middle}.weight"] = tensor
    return out
""",
)
names.wrong(
    "one level too many",
    "the path already has the model's own level; base_model.model. is enough",
    r"level|prefix|too many|base_model|begin",
    """
    out = {}
    for name, tensor in tensors.items():
        path, letter = name.rsplit(".", 1)
        middle = f".{adapter}" if adapter is not None else ""
        out[f"base_model.model.model.{path}.lora_{letter}{middle}.weight"] = tensor
    return out
""",
)
names.wrong(
    "no prefix",
    "the two wrappers are missing: base_model.model. stands in front of each name",
    r"base_model|prefix|wrapper|begin",
    """
    out = {}
    for name, tensor in tensors.items():
        path, letter = name.rsplit(".", 1)
        if adapter is None:
            out[f"{path}.lora_{letter}.weight"] = tensor
        else:
            out[f"{path}.lora_{letter}.{adapter}.weight"] = tensor
    return out
""",
)
names.wrong(
    "default in the file",
    "in a file the adapter's name is left out, and default stands there",
    r"default|left out|leave the|adapter's name",
    """
    adapter = adapter or "default"
    out = {}
    for name, tensor in tensors.items():
        path, letter = name.rsplit(".", 1)
        out[f"base_model.model.{path}.lora_{letter}.{adapter}.weight"] = tensor
    return out
""",
)
names.wrong(
    "None in the file",
    "for None the adapter's name is left out; here the word None stands in the name",
    r"\bNone\b|left out|leave the|adapter's name",
    """
    def rename(name):
        path, _, letter = name.rpartition(".")
        return f"base_model.model.{path}.lora_{letter}.{adapter}.weight"

    return {rename(name): tensor for name, tensor in tensors.items()}
""",
)
names.wrong(
    "adapter forgotten",
    "in the model the adapter's name stands between lora_A and weight",
    r"adapter's name|name of the adapter",
    """
    out = {}
    for name, tensor in tensors.items():
        path, letter = name[:-2], name[-1]
        out["base_model.model." + path + ".lora_" + letter + ".weight"] = tensor
    return out
""",
)
names.wrong(
    "adapter behind weight",
    "the adapter's name stands between lora_A and weight, not behind",
    r"between|before|behind|after|order|place|adapter",
    """
    end = "" if adapter is None else "." + adapter
    return {
        f"base_model.model.{n[:-2]}.lora_{n[-1]}.weight{end}": t for n, t in tensors.items()
    }
""",
)
names.wrong(
    "adapter before lora",
    "the adapter's name stands between lora_A and weight, not in front of both",
    r"between|before|front|order|place|adapter",
    """
    middle = "" if adapter is None else adapter + "."
    return {
        f"base_model.model.{n[:-2]}.{middle}lora_{n[-1]}.weight": t for n, t in tensors.items()
    }
""",
)
names.wrong(
    "weight missing",
    "each name ends in .weight",
    r"weight",
    """
    out = {}
    for name, tensor in tensors.items():
        path, letter = name.rsplit(".", 1)
        key = f"base_model.model.{path}.lora_{letter}"
        out[key if adapter is None else f"{key}.{adapter}"] = tensor
    return out
""",
)
names.wrong(
    "lower case",
    "lora_A and lora_B have capital letters",
    r"lora_A|lora_B|lower|upper|capital",
    """
    middle = "" if adapter is None else "." + adapter
    return {
        f"base_model.model.{n[:-2]}.lora_{n[-1].lower()}{middle}.weight": t
        for n, t in tensors.items()
    }
""",
)
names.wrong(
    "replace everywhere",
    "replace changes every .A or .B of the path, not just the last part",
    r"replace|inside the path|last part|rsplit|everywhere",
    """
    middle = "" if adapter is None else "." + adapter
    out = {}
    for name, tensor in tensors.items():
        new = name.replace(".A", f".lora_A{middle}.weight")
        new = new.replace(".B", f".lora_B{middle}.weight")
        out["base_model.model." + new] = tensor
    return out
""",
)
names.wrong(
    "rstrip eats letters",
    "rstrip removes any of the letters given, and so eats the end of some paths",
    r"rstrip|strip|path|end|removesuffix|letters",
    """
    middle = "" if adapter is None else "." + adapter
    out = {}
    for name, tensor in tensors.items():
        path = name.rstrip(".AB")
        out[f"base_model.model.{path}.lora_{name[-1]}{middle}.weight"] = tensor
    return out
""",
)
names.wrong(
    "letter by substring",
    "a capital A anywhere in the path makes a B an A; look at the last part",
    r"last part|path|anywhere|substring|last letter|overwrit|lost|factor B",
    """
    middle = "" if adapter is None else "." + adapter
    out = {}
    for name, tensor in tensors.items():
        letter = "A" if "A" in name else "B"
        out[f"base_model.model.{name[:-2]}.lora_{letter}{middle}.weight"] = tensor
    return out
""",
)
names.wrong(
    "split at the first dot",
    "the path has dots of its own; only the last one parts it from the letter",
    r"last|first dot|rsplit|too many values|unpack|split|dots",
    """
    middle = "" if adapter is None else "." + adapter
    out = {}
    for name, tensor in tensors.items():
        path, letter = name.split(".")
        out[f"base_model.model.{path}.lora_{letter}{middle}.weight"] = tensor
    return out
""",
)
names.wrong(
    "A and B swapped",
    "lora_A belongs to A; the letters are exchanged",
    r"swap|exchang|other way|changed names|lora_A is|mixed up",
    """
    middle = "" if adapter is None else "." + adapter
    other = {"A": "B", "B": "A"}
    return {
        f"base_model.model.{n[:-2]}.lora_{other[n[-1]]}{middle}.weight": t
        for n, t in tensors.items()
    }
""",
)
names.wrong(
    "transposed values",
    "the names change, the tensors do not; they are transposed here",
    r"transpos|\.T\b|tensor.*(unchanged|as it is)|values.*(chang|as they are)",
    """
    middle = "" if adapter is None else "." + adapter
    return {
        f"base_model.model.{n[:-2]}.lora_{n[-1]}{middle}.weight": t.T.contiguous()
        for n, t in tensors.items()
    }
""",
)
names.wrong(
    "empties the input",
    "pop takes the tensors out of the dictionary of the caller",
    r"the input|caller|\bpop|in.?place|argument",
    """
    middle = "" if adapter is None else "." + adapter
    for name in list(tensors):
        path, letter = name.rsplit(".", 1)
        tensors[f"base_model.model.{path}.lora_{letter}{middle}.weight"] = tensors.pop(name)
    return tensors
""",
)
names.wrong(
    "return in the loop",
    "return inside the loop ends it after the first tensor",
    r"return|loop|only one|after the first|missing",
    """
    out = {}
    for name, tensor in tensors.items():
        path, letter = name.rsplit(".", 1)
        middle = "" if adapter is None else "." + adapter
        out[f"base_model.model.{path}.lora_{letter}{middle}.weight"] = tensor
        return out
""",
)
names.wrong(
    "two mistakes: prefix and weight",
    "base_model.model. lacks a level, and .weight is missing in the model",
    r"base_model|level|prefix|weight",
    """
    out = {}
    for name, tensor in tensors.items():
        path, letter = name.rsplit(".", 1)
        if adapter is None:
            out[f"model.{path}.lora_{letter}.weight"] = tensor
        else:
            out[f"model.{path}.lora_{letter}.{adapter}"] = tensor
    return out
""",
)
names.wrong(
    "list of the names",
    "a dictionary of names and tensors is asked for, not a list of names",
    r"\blist\b|dict",
    """
    middle = "" if adapter is None else "." + adapter
    return [f"base_model.model.{n[:-2]}.lora_{n[-1]}{middle}.weight" for n in tensors]
""",
)
names.right(
    "rsplit in a loop",
    """
    out = {}
    for name, tensor in tensors.items():
        path, letter = name.rsplit(".", 1)
        middle = "" if adapter is None else f".{adapter}"
        out[f"base_model.model.{path}.lora_{letter}{middle}.weight"] = tensor
    return out
""",
)
names.right(
    "slices in a comprehension",
    """
    tail = ".weight" if adapter is None else "." + adapter + ".weight"
    return {"base_model.model." + k[:-1] + "lora_" + k[-1] + tail: v for k, v in tensors.items()}
""",
)
names.right(
    "joined parts",
    """
    result = dict()
    for key in tensors:
        *path, letter = key.split(".")
        parts = ["base_model", "model", *path, "lora_" + letter, "weight"]
        if adapter is not None:
            parts.insert(-1, adapter)
        result[".".join(parts)] = tensors[key]
    return result
""",
)
names.right(
    "re.sub at the end",
    """
import re


def peft_names(tensors, adapter=None):
    insert = f"{adapter}." if adapter is not None else ""
    def new(name):
        return "base_model.model." + re.sub(
            r"\\.([AB])$", lambda m: f".lora_{m[1]}.{insert}weight", name
        )
    return dict(zip(map(new, tensors), tensors.values()))
""",
)
names.right(
    "removesuffix for each letter",
    """
    found = {}
    for letter in "AB":
        end = "." + letter
        for name, tensor in tensors.items():
            if not name.endswith(end):
                continue
            new = "base_model.model." + name.removesuffix(end) + ".lora_" + letter
            if adapter is not None:
                new += "." + adapter
            found[new + ".weight"] = tensor
    return found
""",
)
names.right(
    "nested function, maps",
    """
    def renamed(item):
        (name, tensor) = item
        (path, _, letter) = name.rpartition(".")
        template = "base_model.model.{}.lora_{}.weight"
        if adapter is not None:
            letter = letter + "." + adapter
        return template.format(path, letter), tensor

    return dict(map(renamed, tensors.items()))
""",
)

# --- library.verify --------------------------------------------------------------------------

verify = Exercise(
    "library.verify",
    "def inspect_load(model: dict[str, Tensor], file: dict[str, Tensor])"
    " -> tuple[int, int, int, int]:",
)
_VERIFY = """
    own = {{n for n in model if {own}}}
    missing = {missing}
    unexpected = {unexpected}
    misfits = sum({misfit} for n in file if n in model)
    dead = sum({dead} for n, t in file.items() if ".lora_B." in n)
    return {out}
"""


def _verify(**changes: str) -> str:
    parts = {
        "own": '".lora_" in n',
        "missing": "len(own - set(file))",
        "unexpected": "len(set(file) - set(model))",
        "misfit": "file[n].shape != model[n].shape",
        "dead": "not t.any()",
        "out": "missing, unexpected, int(misfits), int(dead)",
    }
    return _VERIFY.format(**(parts | changes))


verify.wrong(
    "the model's own weights missing",
    "only the adapter's tensors can be missing; the base's are never in the file",
    r"lora_|own weight|base|adapter's tensors|missing",
    _verify(missing="len(set(model) - set(file))"),
)
verify.wrong(
    "missing and unexpected swapped",
    "missing is in the model and not in the file; unexpected the other way round",
    r"swap|exchang|other way|mixed up|the file lacks",
    _verify(out="unexpected, missing, int(misfits), int(dead)"),
)
verify.wrong(
    "sizes in place of shapes",
    "two tensors can have as many elements and different shapes",
    r"different shapes|shapes? (differ|has|have|is|are|must|of)|compare.*shape|numel|transpos",
    _verify(misfit="file[n].numel() != model[n].numel()"),
)
verify.wrong(
    "first dimension only",
    "all of the shape has to agree, not the first dimension alone",
    r"first dimension|all dimensions|whole shape|compare.*shape|shapes? (differ|has|have|is|are)",
    _verify(misfit="len(file[n]) != len(model[n])"),
)
verify.wrong(
    "number of dimensions",
    "two matrices of different shapes have the same number of dimensions",
    r"number of dimensions|compare.*shape|\bdim\(\)|ndim|shapes? (differ|has|have|is|are)",
    _verify(misfit="file[n].dim() != model[n].dim()"),
)
verify.wrong(
    "values in place of shapes",
    "different values are no misfit; shapes are compared",
    r"compare.*shape|values.*(compared|differ.*misfit)|not (their|the) values|shapes,? not",
    _verify(misfit="not torch.equal(file[n], model[n])"),
)
verify.wrong(
    "dead in the model",
    "the factors B of the file are to be looked at, not those of the model",
    r"in the file|of the file|the model's own|of the model",
    """
    own = {n for n in model if ".lora_" in n}
    misfits = sum(file[n].shape != model[n].shape for n in file if n in model)
    dead = sum(not t.any() for n, t in model.items() if ".lora_B." in n)
    return len(own - set(file)), len(set(file) - set(model)), misfits, dead
""",
)
verify.wrong(
    "A counted as dead",
    "only factors B count as dead",
    r"lora_B|factors? B|only B|lora_A",
    """
    own = {n for n in model if ".lora_" in n}
    misfits = sum(file[n].shape != model[n].shape for n in file if n in model)
    dead = sum(not t.any() for t in file.values())
    return len(own - set(file)), len(set(file) - set(model)), misfits, dead
""",
)
verify.wrong(
    "sum is zero",
    "positive and negative values cancel in a sum; zero everywhere means each element",
    r"\bsum\b|cancel|everywhere|every element|any\(\)",
    _verify(dead="t.sum() == 0"),
)
verify.wrong(
    "largest is zero",
    "a tensor without positive values has a maximum of zero and need not be zero",
    r"\bmax|negative|everywhere|every element|any\(\)",
    _verify(dead="t.max() == 0"),
)
verify.wrong(
    "nearly zero",
    "small values are not zero; a factor that trained a little is alive",
    r"small values|toleran|nearly|close to|exactly zero|threshold|allclose",
    _verify(dead="torch.allclose(t, torch.zeros_like(t), atol=1e-4)"),
)
verify.wrong(
    "one zero is enough",
    "dead means zero everywhere, not with a zero in it",
    r"everywhere|all of it|all zero|one (zero|row)|any\(\)",
    _verify(dead="not t.all()"),
)
verify.wrong(
    "dead only where expected",
    "a factor B of the file counts as dead whether or not the model knows its name",
    r"unexpected.*dead|dead.*(unexpected|every|whether)|all of the file|only (those|names)",
    """
    own = {n for n in model if ".lora_" in n}
    both = own & set(file)
    misfits = sum(file[n].shape != model[n].shape for n in both)
    dead = sum(not file[n].any() for n in both if ".lora_B." in n)
    return len(own - set(file)), len(set(file) - set(model)), misfits, dead
""",
)
verify.wrong(
    "lora_ without its dot",
    "a module whose name ends in lora_ something is no adapter; .lora_ begins after a dot",
    r"dot|\.lora_|missing|adapter's",
    _verify(own='"lora_" in n'),
)
verify.wrong(
    "names, not counts",
    "four counts are asked for, and these are lists of names",
    r"count|a number|\blen\b|\bint\b|list instead",
    """
    own = [n for n in model if ".lora_" in n]
    missing = [n for n in own if n not in file]
    unexpected = [n for n in file if n not in model]
    misfits = [n for n in own if n in file and file[n].shape != model[n].shape]
    dead = [n for n, t in file.items() if ".lora_B." in n and not t.any()]
    return missing, unexpected, misfits, dead
""",
)
verify.wrong(
    "misfits counted as missing too",
    "a tensor in both with another shape is a misfit and not missing",
    r"misfit|wrong shape|as missing|counted twice",
    """
    own = {n for n in model if ".lora_" in n}
    misfits = {n for n in own & file.keys() if file[n].shape != model[n].shape}
    missing = (own - file.keys()) | misfits
    unexpected = file.keys() - model.keys()
    dead = [n for n, t in file.items() if ".lora_B." in n and not t.any()]
    return len(missing), len(unexpected), len(misfits), len(dead)
""",
)
verify.wrong(
    "KeyError on an unexpected name",
    "a name of the file that the model lacks cannot be looked up in the model",
    r"KeyError|not in the model|the model lacks|in both",
    """
    own = {n for n in model if ".lora_" in n}
    misfits = sum(tensor.shape != model[name].shape for name, tensor in file.items())
    dead = sum(not t.any() for n, t in file.items() if ".lora_B." in n)
    return len(own - set(file)), len(set(file) - set(model)), misfits, dead
""",
)
verify.wrong(
    "both differences in one",
    "the symmetric difference counts missing and unexpected together",
    r"symmetric|counted together|both (ways|directions)|missing and unexpected",
    _verify(missing="len(own ^ set(file))"),
)
verify.wrong(
    "two mistakes: base missing, sum",
    "base weights count as missing, and a sum of zero as dead",
    r"lora_|base|own weights|\bsum\b|cancel",
    _verify(missing="len(set(model) - set(file))", dead="float(t.sum()) == 0"),
)
verify.wrong(
    "three of four",
    "four counts are asked for, and three come back",
    r"\bfour\b|three|expected 4|got 3|3 results, where 4",
    _verify(out="missing, unexpected, int(misfits)"),
)
verify.open(
    "only adapter names are unexpected",
    "whether a tensor of the file without .lora_ in its name is unexpected is left open",
    _verify(unexpected='len({n for n in file if ".lora_" in n} - own)'),
)
verify.open(
    "a base weight in the file is unexpected",
    "whether a weight of the base that lies in the file is unexpected is left open",
    _verify(unexpected="len(set(file) - own)"),
)
verify.right("sets and sums", _verify())
verify.right(
    "one loop over both",
    """
    missing = unexpected = misfits = dead = 0
    for name in {**model, **file}:
        if name not in file:
            missing += ".lora_" in name
            continue
        if name not in model:
            unexpected += 1
        elif model[name].shape != file[name].shape:
            misfits += 1
        if ".lora_B." in name and bool((file[name] == 0).all()):
            dead += 1
    return missing, unexpected, misfits, dead
""",
)
verify.right(
    "lists and len",
    """
    ours = [n for n in model.keys() if ".lora_" in n]
    missing = [n for n in ours if n not in file]
    unexpected = [n for n in file if n not in model]
    misfits = [n for n in file if n in model and tuple(file[n].shape) != tuple(model[n].shape)]
    dead = [n for n in file if ".lora_B." in n and torch.count_nonzero(file[n]) == 0]
    return len(missing), len(unexpected), len(misfits), len(dead)
""",
)
verify.right(
    "filtered first, keys of dictionaries",
    """
    expected = {k: v.size() for k, v in model.items() if k.find(".lora_") >= 0}
    got = {k: v.size() for k, v in file.items()}
    return (
        len(expected.keys() - got.keys()),
        len(got.keys() - model.keys()),
        len([k for k in expected.keys() & got.keys() if expected[k] != got[k]]),
        len([k for k in got if ".lora_B." in k and file[k].abs().max().item() == 0.0]),
    )
""",
)
verify.right(
    "Counter and a generator",
    """
    def kinds():
        for name in model:
            if ".lora_" in name and name not in file:
                yield "missing"
        for name, tensor in file.items():
            other = model.get(name)
            if other is None:
                yield "unexpected"
            elif list(other.shape) != list(tensor.shape):
                yield "misfit"
            if ".lora_B." in name and torch.equal(tensor, torch.zeros_like(tensor)):
                yield "dead"

    found = Counter(kinds())
    return tuple(found[kind] for kind in ("missing", "unexpected", "misfit", "dead"))
""",
)

# --- library.combine -------------------------------------------------------------------------

combine = Exercise(
    "library.combine",
    """def combine(
    adapters: list[tuple[Tensor, Tensor, float]], weights: list[float], how: str
) -> tuple[Tensor, Tensor]:""",
)
_COMBINE = """
    factors = {factors}
    if how == "cat":
        {cat}
    elif how == "linear":
        A = sum({linear_a} for f, (a, _, _) in zip(factors, adapters))
        B = sum({linear_b} for f, (_, b, _) in zip(factors, adapters))
    else:
        delta = sum(f * (b @ a) for f, (a, b, _) in zip(factors, adapters))
        r = {rank}
        U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
        {svd}
    return {out}
"""


def _combine(**changes: str) -> str:
    parts = {
        "factors": "[w * s for w, (_, _, s) in zip(weights, adapters)]",
        "cat": (
            "A, B = torch.cat([f * a for f, (a, _, _) in zip(factors, adapters)]), "
            "torch.cat([b for _, b, _ in adapters], 1)"
        ),
        "linear_a": "math.copysign(math.sqrt(abs(f)), f) * a",
        "linear_b": "math.sqrt(abs(f)) * b",
        "rank": "max(a.shape[0] for a, _, _ in adapters)",
        "svd": "A, B = Vh[:r], U[:, :r] * S[:r]",
        "out": "A, B",
    }
    return _COMBINE.format(**(parts | changes))


combine.wrong(
    "scaling forgotten",
    "each adapter's own scaling belongs into the factor",
    r"scaling",
    _combine(factors="list(weights)"),
)
combine.wrong(
    "weights forgotten",
    "the weights are not used",
    r"weights? (is|are|was|were)|the weights|without (the )?weight|w_i|weight \*",
    _combine(factors="[s for _, _, s in adapters]"),
)
combine.wrong(
    "divided by the scaling",
    "the factor is weight times scaling, not divided by it",
    r"scaling|divided by s",
    _combine(factors="[w / s for w, (_, _, s) in zip(weights, adapters)]"),
)
combine.wrong(
    "cat along the other axes",
    "A is stacked on rows and B on columns; here it is the other way round",
    r"\baxis|along|dim|side by side|\brows|column|stack",
    _combine(
        cat=(
            "A, B = torch.cat([f * a for f, (a, _, _) in zip(factors, adapters)], 1), "
            "torch.cat([b for _, b, _ in adapters], 0)"
        )
    ),
)
combine.wrong(
    "cat with the factor twice",
    "the factor is in A and in B, so it is squared in the product",
    r"twice|squar|both have|in both|only once",
    _combine(
        cat=(
            "A, B = torch.cat([f * a for f, (a, _, _) in zip(factors, adapters)]), "
            "torch.cat([f * b for f, (_, b, _) in zip(factors, adapters)], 1)"
        )
    ),
)
combine.wrong(
    "cat without the factor",
    "cat forgets weight and scaling",
    r"without (the )?(factor|weight)|factor (is )?(missing|left out|forgot)|forgets",
    _combine(
        cat=(
            "A, B = torch.cat([a for a, _, _ in adapters]), "
            "torch.cat([b for _, b, _ in adapters], 1)"
        )
    ),
)
combine.wrong(
    "linear without a root",
    "linear puts the whole factor into both A and B, where the root of it belongs into each",
    r"\broot|sqrt|√|twice|squar",
    _combine(linear_a="f * a", linear_b="abs(f) * b"),
)
combine.wrong(
    "linear loses the sign",
    "the sign of a negative factor is lost; it goes with A",
    r"\bsign|negative",
    _combine(linear_a="math.sqrt(abs(f)) * a"),
)
combine.wrong(
    "linear with the sign in both",
    "with the sign in A and in B it cancels; it goes with A alone",
    r"\bsign|negative",
    _combine(linear_b="math.copysign(math.sqrt(abs(f)), f) * b"),
)
combine.wrong(
    "linear with the sign in B",
    "the sign goes with A and not with B",
    r"\bsign|negative weight",
    _combine(linear_a="math.sqrt(abs(f)) * a", linear_b="math.copysign(math.sqrt(abs(f)), f) * b"),
)
combine.wrong(
    "root of a negative number",
    "a negative weight has no root; take that of the absolute value",
    r"negative|abs|root|sqrt|domain|sign",
    _combine(linear_a="math.sqrt(f) * a", linear_b="math.sqrt(f) * b"),
)
combine.wrong(
    "linear with the factor in A only",
    "linear puts a root of the factor into A and one into B",
    r"\broot|sqrt|√|only in A|A only|A alone",
    _combine(linear_a="f * a", linear_b="b"),
)
combine.wrong(
    "svd not cut",
    "svd keeps only the r largest singular values",
    r"\bcut|\brank|largest|keep|truncat",
    _combine(svd="A, B = Vh, U * S"),
)
combine.wrong(
    "svd with the sum of the ranks",
    "svd keeps the largest of the ranks, not their sum",
    r"\branks?\b|largest of|max\(",
    _combine(rank="sum(a.shape[0] for a, _, _ in adapters)"),
)
combine.wrong(
    "svd with the first rank",
    "r is the largest of the ranks, not that of the first adapter",
    r"\branks?\b|largest of|max\(|first adapter",
    _combine(rank="adapters[0][0].shape[0]"),
)
combine.wrong(
    "svd without singular values",
    "the singular values belong into B and are missing",
    r"singular value",
    _combine(svd="A, B = Vh[:r], U[:, :r]"),
)
combine.wrong(
    "svd with singular values in both",
    "the singular values are in both factors and so squared",
    r"squar|twice|in both|singular values.*(A and B|one of)",
    _combine(svd="A, B = S[:r, None] * Vh[:r], U[:, :r] * S[:r]"),
)
combine.wrong(
    "svd with singular values in A",
    "the singular values are to be put into B",
    r"singular.*(into|in|to) B|into B\b|not.*into A",
    _combine(svd="A, B = S[:r, None] * Vh[:r], U[:, :r]"),
)
combine.wrong(
    "svd keeps the smallest",
    "the last singular values are the smallest; keep the first r",
    r"largest|smallest|last|first r\b",
    _combine(svd="A, B = Vh[-r:], U[:, -r:] * S[-r:]"),
)
combine.wrong(
    "B returned first",
    "A comes first and then B",
    r"swap|\border\b|exchang|other way|A (comes )?first|cannot be multiplied",
    _combine(out="B, A"),
)
combine.wrong(
    "inputs scaled in place",
    "mul_ changes the adapter that the caller still has",
    r"in.?place|the input|caller|mul_|argument|overwrit",
    _combine(
        cat=(
            "A, B = torch.cat([a.mul_(f) for f, (a, _, _) in zip(factors, adapters)]), "
            "torch.cat([b for _, b, _ in adapters], 1)"
        )
    ),
)
combine.wrong(
    "Vh taken for V",
    "torch.linalg.svd returns V transposed already",
    r"transpos|\bVh\b|\bV\b",
    _combine(svd="A, B = Vh.T[:r], U[:, :r] * S[:r]"),
)
combine.wrong(
    "two mistakes: scaling and the sign",
    "the scaling is forgotten, and linear loses the sign",
    r"scaling|\bsign|negative",
    _combine(factors="weights", linear_a="abs(f) ** 0.5 * a"),
)
combine.wrong(
    "cat with the factor in B",
    "the factor goes with A, though the product is the same",
    r"into A\b|with A\b|in B\b|factor.*\bA\b",
    _combine(
        cat=(
            "A, B = torch.cat([a for a, _, _ in adapters]), "
            "torch.cat([f * b for f, (_, b, _) in zip(factors, adapters)], 1)"
        )
    ),
)
combine.right("factors first", _combine())
combine.right(
    "early returns",
    """
    if how == "cat":
        tops = [a * (w * s) for (a, b, s), w in zip(adapters, weights)]
        return torch.vstack(tops), torch.hstack([b for a, b, s in adapters])
    if how == "linear":
        A = torch.zeros_like(adapters[0][0])
        B = torch.zeros_like(adapters[0][1])
        for (a, b, s), w in zip(adapters, weights):
            root = abs(w * s) ** 0.5
            A += root * a if w * s >= 0 else -root * a
            B += root * b
        return A, B
    total = sum(w * s * b @ a for (a, b, s), w in zip(adapters, weights))
    r = max(len(a) for a, b, s in adapters)
    u, sigma, vh = torch.linalg.svd(total, full_matrices=False)
    return vh[:r], u[:, :r] @ torch.diag(sigma[:r])
""",
)
combine.right(
    "64 bit inside, torch.svd",
    """
    dtype = adapters[0][0].dtype
    As = [a.double() for a, _, _ in adapters]
    Bs = [b.double() for _, b, _ in adapters]
    f = torch.tensor([w * s for w, (_, _, s) in zip(weights, adapters)], dtype=torch.float64)
    if how == "cat":
        A = torch.cat([x * a for x, a in zip(f, As)], dim=0)
        B = torch.cat(Bs, dim=1)
    elif how == "linear":
        A = sum(x.sign() * x.abs().sqrt() * a for x, a in zip(f, As))
        B = sum(x.abs().sqrt() * b for x, b in zip(f, Bs))
    elif how == "svd":
        U, S, V = torch.svd(sum(x * (b @ a) for x, a, b in zip(f, As, Bs)))
        r = max(a.size(0) for a in As)
        A, B = V[:, :r].T.contiguous(), U[:, :r] * S[:r]
    else:
        raise ValueError(how)
    return A.to(dtype), B.to(dtype)
""",
)
combine.right(
    "svd of the concatenation",
    """
def stack(adapters, weights):
    A = torch.cat([w * s * a for (a, _, s), w in zip(adapters, weights)])
    B = torch.cat([b for _, b, _ in adapters], dim=1)
    return A, B


def combine(adapters, weights, how):
    if how == "linear":
        parts_a, parts_b = [], []
        for (a, b, s), w in zip(adapters, weights):
            f = w * s
            parts_a.append(np.sign(f).item() * math.sqrt(abs(f)) * a)
            parts_b.append(math.sqrt(abs(f)) * b)
        return torch.stack(parts_a).sum(0), torch.stack(parts_b).sum(0)
    A, B = stack(adapters, weights)
    if how == "cat":
        return A, B
    rank = max(a.shape[0] for a, _, _ in adapters)
    U, S, Vh = torch.linalg.svd(B @ A, full_matrices=False)
    return Vh[:rank, :], torch.einsum("or,r->or", U[:, :rank], S[:rank])
""",
)
combine.right(
    "one function for each way",
    """
    def cat(f):
        return (torch.cat([x * a for x, (a, _, _) in zip(f, adapters)]),
                torch.cat([b for _, b, _ in adapters], dim=-1))

    def linear(f):
        A = sum((-1 if x < 0 else 1) * math.sqrt(abs(x)) * a
                for x, (a, _, _) in zip(f, adapters))
        return A, sum(math.sqrt(abs(x)) * b for x, (_, b, _) in zip(f, adapters))

    def svd(f):
        A, B = cat(f)
        r = max(a.shape[0] for a, _, _ in adapters)
        U, S, Vh = torch.linalg.svd(B.matmul(A), full_matrices=False)
        return Vh[:r].clone(), (U * S)[:, :r].clone()

    ways = {"cat": cat, "linear": linear, "svd": svd}
    return ways[how]([w * s for w, (_, _, s) in zip(weights, adapters)])
""",
)

# --- library.tied ----------------------------------------------------------------------------

tied = Exercise(
    "library.tied",
    "@torch.no_grad()\n"
    "def merge_into_head(embedding: nn.Embedding, head: nn.Linear, delta: Tensor) -> None:",
)
tied.wrong(
    "in place",
    "+= writes into the tensor that the embedding shares",
    r"in.?place|share|the embedding (has|is|was|chang)|same tensor",
    "    head.weight += delta",
)
tied.wrong(
    "data in place",
    "writing into .data changes the shared tensor and so the embedding",
    r"in.?place|share|the embedding (has|is|was|chang)|same tensor|\.data",
    "    head.weight.data.add_(delta)",
)
tied.wrong(
    "copy_ in place",
    "copy_ writes into the tensor that the embedding shares",
    r"in.?place|share|the embedding (has|is|was|chang)|same tensor|copy_",
    "    head.weight.copy_(head.weight + delta)",
)
tied.wrong(
    "data assigned",
    "assigning .data changes the Parameter that both modules hold",
    r"share|the embedding (has|is|was|chang)|same (tensor|parameter)|\.data",
    "    head.weight.data = head.weight.data + delta",
)
tied.wrong(
    "no Parameter",
    "a weight has to be an nn.Parameter; a plain tensor cannot be assigned",
    r"Parameter",
    "    head.weight = head.weight + delta",
)
tied.wrong(
    "plain tensor",
    "the weight is a plain tensor afterwards and not an nn.Parameter",
    r"Parameter",
    """
    new = head.weight + delta
    del head.weight
    head.weight = new
""",
)
tied.wrong(
    "new Parameter, old memory",
    "the new Parameter lies on the same memory, so += still reaches the embedding",
    r"memory|storage|share|in.?place|clone|same tensor|the embedding (has|is|was|chang)",
    """
    head.weight = nn.Parameter(head.weight.data)
    head.weight += delta
""",
)
tied.wrong(
    "only when tied",
    "a head that is not tied is left as it was",
    r"not tied|untied|not share|unchanged|\belse\b|own weight|head.*(not|without)",
    """
    if head.weight is embedding.weight:
        head.weight = nn.Parameter(head.weight + delta)
""",
)
tied.wrong(
    "from the embedding",
    "the sum starts from the embedding's weight, which is the head's only when tied",
    r"head's|head\.weight|not tied|untied|embedding|start",
    "    head.weight = nn.Parameter(embedding.weight + delta)",
)
tied.wrong(
    "transposed",
    "delta has the shape of the head's weight and is not to be transposed",
    r"transpos|\.T\b|size of tensor",
    "    head.weight = nn.Parameter(head.weight + delta.T)",
)
tied.wrong(
    "delta alone",
    "the old weight is missing from the sum",
    r"\bold\b|the sum|is replaced|own weight|start(s)? from",
    "    head.weight = nn.Parameter(delta.clone())",
)
tied.wrong(
    "subtracts",
    "delta is subtracted, not added",
    r"subtract|\bsign\b|minus|opposite",
    "    head.weight = nn.Parameter(head.weight - delta)",
)
tied.wrong(
    "twice",
    "delta is added twice",
    r"twice|doubl|once|two times",
    """
    head.weight = nn.Parameter(head.weight + delta)
    head.weight += delta
""",
)
tied.wrong(
    "local head",
    "a copy is changed, and the head of the caller stays as it was",
    r"copy|local|caller|unchanged|rebind|head.*(not|without)|not (been )?changed",
    """
    import copy

    head = copy.deepcopy(head)
    head.weight += delta
""",
)
tied.wrong(
    "embedding put back",
    "putting the old values back into the shared tensor takes delta from the head again",
    r"put back|share|undo|undone|restor|same tensor|overwrit",
    """
    old = embedding.weight.clone()
    head.weight += delta
    embedding.weight.copy_(old)
""",
)
tied.wrong(
    "kept without a clone",
    "old is the same tensor and changes with it; a clone is needed",
    r"clone|a copy|same tensor|share|in.?place",
    """
    old = embedding.weight
    head.weight.add_(delta)
    embedding.weight = old
""",
)
tied.wrong(
    "into the bias",
    "delta is an update of the weight and not of the bias",
    r"\bbias",
    "    head.bias = nn.Parameter(delta)",
)
tied.wrong(
    "a new module",
    "a new head is made and returned; the one given is not changed",
    r"return|new (head|module|linear)|unchanged|not (been )?changed|head.*(not|without)",
    """
    new = nn.Linear(head.in_features, head.out_features, bias=False)
    new.weight = nn.Parameter(head.weight + delta)
    return new
""",
)
tied.wrong(
    "two mistakes: in place and doubled",
    "the shared tensor is changed, and a second time in the head",
    r"in.?place|shar|embedding|twice|doubl",
    """
    head.weight.data += delta
    head.weight = nn.Parameter(head.weight.data + delta)
""",
)
tied.wrong(
    "misspelt module",
    "it is nn.Parameter",
    r"Paramter|Parameter|attribute",
    "    head.weight = nn.Paramter(head.weight + delta)",
)
tied.open(
    "a new weight for the embedding",
    "the values stay, but the embedding holds another Parameter than before",
    """
    embedding.weight = nn.Parameter(embedding.weight.clone())
    head.weight += delta
""",
)
tied.open(
    "in place if not the same Parameter",
    "two Parameters on one memory are shared as well; the text does not say whether that occurs",
    """
    if head.weight is embedding.weight:
        head.weight = nn.Parameter(head.weight + delta)
    else:
        head.weight += delta
""",
)
tied.right("a new Parameter", "    head.weight = nn.Parameter(head.weight + delta)")
tied.right(
    "clone first, then in place",
    """
    head.weight = nn.Parameter(head.weight.detach().clone())
    head.weight += delta
""",
)
tied.right(
    "setattr and torch.add",
    """
    new = torch.add(head.weight.data, delta)
    setattr(head, "weight", torch.nn.Parameter(new))
""",
)
tied.right(
    "register_parameter",
    """
    merged = torch.empty_like(head.weight)
    torch.add(head.weight, delta, out=merged)
    del head.weight
    head.register_parameter("weight", nn.Parameter(merged))
""",
)
tied.right(
    "an empty weight, filled",
    """
    old = head.weight
    head.weight = nn.Parameter(torch.zeros_like(old), requires_grad=old.requires_grad)
    for row in range(old.shape[0]):
        head.weight[row] = old[row] + delta[row]
""",
)
tied.right(
    "a copy of the Parameter",
    """
import copy


def merge_into_head(embedding, head, delta):
    weight = copy.deepcopy(head.weight)
    with torch.no_grad():
        weight.add_(delta)
    head.weight = weight
""",
)

EXERCISES = (targets, count, scaling, names, verify, combine, tied)
