"""Answers to the exercises of lesson 04, written from its text alone."""

from tests.peftcourse.exercises.learners.answers import Exercise

# ---------------------------------------------------------------- practice.count

count = Exercise(
    "practice.count",
    "def count(shape: dict[str, int], rank: int, targets: tuple[str, ...]) -> int:",
)
count.wrong(
    "q and o taken as hidden × hidden",
    "heads · head_dim need not be hidden",
    r"heads? ?[·*×] ?head_dim|head_dim.*(hidden|used|ignored)|q_proj.*hidden|hidden.*q_proj",
    """
    h = shape["hidden"]
    kv = shape["kv_heads"] * shape["head_dim"]
    ffn = shape["ffn"]
    size = {"q_proj": h + h, "k_proj": h + kv, "v_proj": h + kv, "o_proj": h + h,
            "gate_proj": h + ffn, "up_proj": h + ffn, "down_proj": ffn + h}
    return shape["layers"] * rank * sum(size[t] for t in targets)
""",
)
count.wrong(
    "k and v as wide as q",
    "keys and values have kv_heads, not heads",
    r"kv_heads|grouped|(k_proj|v_proj|keys|values).*(narrow|fewer|own|small|as wide)",
    """
    hidden, ffn = shape["hidden"], shape["ffn"]
    inner = shape["heads"] * shape["head_dim"]
    total = 0
    for target in targets:
        if target in ("q_proj", "k_proj", "v_proj", "o_proj"):
            total += rank * (hidden + inner)
        else:
            total += rank * (hidden + ffn)
    return total * shape["layers"]
""",
)
count.wrong(
    "A and B multiplied",
    "A and B are two matrices: d_in + d_out, not d_in · d_out",
    r"d_in ?\+ ?d_out|(add|sum|plus).*(product|multipl)|(product|multipl).*(add|sum|plus)|dense|"
    r"whole (matrix|weight)|product|full weight",
    """
    q = shape["heads"] * shape["head_dim"]
    kv = shape["kv_heads"] * shape["head_dim"]
    outs = {"q_proj": (shape["hidden"], q), "k_proj": (shape["hidden"], kv),
            "v_proj": (shape["hidden"], kv), "o_proj": (q, shape["hidden"]),
            "gate_proj": (shape["hidden"], shape["ffn"]),
            "up_proj": (shape["hidden"], shape["ffn"]),
            "down_proj": (shape["ffn"], shape["hidden"])}
    return sum(outs[t][0] * rank * outs[t][1] for t in targets) * shape["layers"]
""",
)
count.wrong(
    "one layer only",
    "the number of layers is missing",
    r"layers|one layer|per layer|each layer|single layer",
    """
    q = shape["heads"] * shape["head_dim"]
    kv = shape["kv_heads"] * shape["head_dim"]
    h, f = shape["hidden"], shape["ffn"]
    d = dict(q_proj=h + q, k_proj=h + kv, v_proj=h + kv, o_proj=q + h,
             gate_proj=h + f, up_proj=h + f, down_proj=h + f)
    return rank * sum(d[name] for name in targets)
""",
)
count.wrong(
    "no rank",
    "the rank is missing",
    r"\brank\b|\br\b ?(is|times|·)",
    """
    q = shape["heads"] * shape["head_dim"]
    kv = shape["kv_heads"] * shape["head_dim"]
    h, f = shape["hidden"], shape["ffn"]
    d = dict(q_proj=h + q, k_proj=h + kv, v_proj=h + kv, o_proj=q + h,
             gate_proj=h + f, up_proj=h + f, down_proj=h + f)
    return shape["layers"] * sum(d[name] for name in targets)
""",
)
count.wrong(
    "only A",
    "B is not counted",
    r"\bB\b.*(missing|is not|too|also|count|left|forgot)|(only|just|half).*\bA\b|A and B"
    r"|both (matri|factor)|d_out.*(missing|left)|d_in ?\+ ?d_out",
    """
    q = shape["heads"] * shape["head_dim"]
    d_in = {"o_proj": q, "down_proj": shape["ffn"]}
    total = 0
    for target in targets:
        total += rank * d_in.get(target, shape["hidden"])
    return total * shape["layers"]
""",
)
count.wrong(
    "all seven whatever is asked",
    "the targets are ignored",
    r"all seven|ignor.*target|target.*(ignor|only|asked|given|chosen|unused|not used)|"
    r"(chosen|given|only).*target",
    """
    q = shape["heads"] * shape["head_dim"]
    kv = shape["kv_heads"] * shape["head_dim"]
    h, f = shape["hidden"], shape["ffn"]
    attention = 2 * (h + q) + 2 * (h + kv)
    mlp = 3 * (h + f)
    return shape["layers"] * rank * (attention + mlp)
""",
)
count.wrong(
    "head_dim recomputed from hidden",
    "head_dim is given and need not be hidden / heads",
    r"head_dim|hidden ?(/|//|over|divided)",
    """
    head_dim = shape["hidden"] // shape["heads"]
    sizes = {
        "q_proj": (shape["hidden"], shape["heads"] * head_dim),
        "k_proj": (shape["hidden"], shape["kv_heads"] * head_dim),
        "v_proj": (shape["hidden"], shape["kv_heads"] * head_dim),
        "o_proj": (shape["heads"] * head_dim, shape["hidden"]),
        "gate_proj": (shape["hidden"], shape["ffn"]),
        "up_proj": (shape["hidden"], shape["ffn"]),
        "down_proj": (shape["ffn"], shape["hidden"]),
    }
    n = 0
    for t in targets:
        i, o = sizes[t]
        n += rank * i + o * rank
    return n * shape["layers"]
""",
)
count.wrong(
    "biases counted",
    "LoRA has no bias: d_out more for each target",
    r"bias|d_out.*(more|once|extra)|too many",
    """
    q = shape["heads"] * shape["head_dim"]
    kv = shape["kv_heads"] * shape["head_dim"]
    h, f = shape["hidden"], shape["ffn"]
    sizes = dict(q_proj=(h, q), k_proj=(h, kv), v_proj=(h, kv), o_proj=(q, h),
                 gate_proj=(h, f), up_proj=(h, f), down_proj=(f, h))
    return shape["layers"] * sum(rank * (sizes[t][0] + sizes[t][1]) + sizes[t][1] for t in targets)
""",
)
count.wrong(
    "o_proj falls into the else of the MLP",
    "o_proj is heads · head_dim → hidden, not of the MLP",
    r"o_proj",
    """
    hidden = shape["hidden"]
    if_ = 0
    for t in targets:
        if t == "q_proj":
            if_ += hidden + shape["heads"] * shape["head_dim"]
        elif t == "k_proj" or t == "v_proj":
            if_ += hidden + shape["kv_heads"] * shape["head_dim"]
        else:
            if_ += hidden + shape["ffn"]
    return if_ * rank * shape["layers"]
""",
)
count.wrong(
    "o_proj with kv_heads",
    "o_proj takes all query heads",
    r"o_proj",
    """
    dim = shape["head_dim"]
    q, kv = shape["heads"] * dim, shape["kv_heads"] * dim
    h, f = shape["hidden"], shape["ffn"]
    d = dict(q_proj=h + q, k_proj=h + kv, v_proj=h + kv, o_proj=kv + h,
             gate_proj=h + f, up_proj=h + f, down_proj=h + f)
    return rank * shape["layers"] * sum(map(d.get, targets))
""",
)
count.wrong(
    "k_proj or v_proj: always true",
    "`t == 'k_proj' or 'v_proj'` is always true: every target counts as k or v",
    r"\bor\b|always true|q_proj|kv_heads|o_proj",
    """
    h, d = shape["hidden"], shape["head_dim"]
    total = 0
    for t in targets:
        if t == "k_proj" or "v_proj":
            total += h + shape["kv_heads"] * d
        elif t == "q_proj" or "o_proj":
            total += h + shape["heads"] * d
        else:
            total += h + shape["ffn"]
    return total * rank * shape["layers"]
""",
)
count.wrong(
    "return inside the loop",
    "returns after the first target",
    r"first target|inside the loop|return.*(loop|early|indent)|(only|just) (one|the first)|"
    r"more than one target|add.*targets|several targets",
    """
    q = shape["heads"] * shape["head_dim"]
    kv = shape["kv_heads"] * shape["head_dim"]
    h, f = shape["hidden"], shape["ffn"]
    d = dict(q_proj=h + q, k_proj=h + kv, v_proj=h + kv, o_proj=q + h,
             gate_proj=h + f, up_proj=h + f, down_proj=h + f)
    total = 0
    for t in targets:
        total += d[t] * rank * shape["layers"]
        return total
""",
)
count.wrong(
    "names of the configuration of transformers",
    "the keys are heads and kv_heads, not num_attention_heads",
    r"num_attention_heads|KeyError|no key|keys? (are|is)",
    """
    q = shape["num_attention_heads"] * shape["head_dim"]
    kv = shape["num_key_value_heads"] * shape["head_dim"]
    h, f = shape["hidden_size"], shape["intermediate_size"]
    d = dict(q_proj=h + q, k_proj=h + kv, v_proj=h + kv, o_proj=q + h,
             gate_proj=h + f, up_proj=h + f, down_proj=h + f)
    return rank * shape["num_hidden_layers"] * sum(d[t] for t in targets)
""",
)
count.wrong(
    "printed",
    "print instead of return",
    r"return|None|print",
    """
    q = shape["heads"] * shape["head_dim"]
    kv = shape["kv_heads"] * shape["head_dim"]
    h, f = shape["hidden"], shape["ffn"]
    d = dict(q_proj=h + q, k_proj=h + kv, v_proj=h + kv, o_proj=q + h,
             gate_proj=h + f, up_proj=h + f, down_proj=h + f)
    print(rank * shape["layers"] * sum(d[t] for t in targets))
""",
)
count.wrong(
    "k as wide as q, and no layers",
    "k_proj is narrower than q_proj, and the layers are missing",
    r"kv_heads|layers|k_proj",
    """
    q = shape["heads"] * shape["head_dim"]
    kv = shape["kv_heads"] * shape["head_dim"]
    h, f = shape["hidden"], shape["ffn"]
    d = dict(q_proj=h + q, k_proj=h + q, v_proj=h + kv, o_proj=q + h,
             gate_proj=h + f, up_proj=h + f, down_proj=h + f)
    return rank * sum(d[t] for t in targets)
""",
)
count.wrong(
    "targets counted once for each kind of shape",
    "targets of the same shape are counted once: a set drops the second",
    r"\bset\b|(same|equal) (shape|size)|once|duplicate|twice",
    """
    q = shape["heads"] * shape["head_dim"]
    kv = shape["kv_heads"] * shape["head_dim"]
    h, f = shape["hidden"], shape["ffn"]
    d = dict(q_proj=h + q, k_proj=h + kv, v_proj=h + kv, o_proj=q + h,
             gate_proj=h + f, up_proj=h + f, down_proj=h + f)
    return rank * shape["layers"] * sum({d[t] for t in targets})
""",
)
count.right(
    "dictionary of sums",
    """
    q = shape["heads"] * shape["head_dim"]
    kv = shape["kv_heads"] * shape["head_dim"]
    h, f = shape["hidden"], shape["ffn"]
    d = dict(q_proj=h + q, k_proj=h + kv, v_proj=h + kv, o_proj=q + h,
             gate_proj=h + f, up_proj=h + f, down_proj=h + f)
    return rank * shape["layers"] * sum(d[t] for t in targets)
""",
)
count.right(
    "match, and a loop over the layers",
    """
    def width(target):
        match target:
            case "q_proj" | "o_proj":
                return shape["heads"] * shape["head_dim"]
            case "k_proj" | "v_proj":
                return shape["kv_heads"] * shape["head_dim"]
            case _:
                return shape["ffn"]

    total = 0
    for _ in range(shape["layers"]):
        for target in targets:
            total += rank * shape["hidden"]
            total += rank * width(target)
    return total
""",
)
count.right(
    "matrices on the meta device",
    """
    with torch.device("meta"):
        hidden, inner = shape["hidden"], shape["heads"] * shape["head_dim"]
        narrow, ffn = shape["kv_heads"] * shape["head_dim"], shape["ffn"]
        layers = {
            "q_proj": nn.Linear(hidden, inner), "k_proj": nn.Linear(hidden, narrow),
            "v_proj": nn.Linear(hidden, narrow), "o_proj": nn.Linear(inner, hidden),
            "gate_proj": nn.Linear(hidden, ffn), "up_proj": nn.Linear(hidden, ffn),
            "down_proj": nn.Linear(ffn, hidden),
        }
        one = 0
        for target in targets:
            w = layers[target].weight
            A, B = torch.empty(rank, w.size(1)), torch.empty(w.size(0), rank)
            one += A.numel() + B.numel()
    return one * shape["layers"]
""",
)
count.right(
    "first letters",
    """
    letters = [t[0] for t in targets]
    dim = shape["head_dim"]
    other = {"q": shape["heads"] * dim, "o": shape["heads"] * dim,
             "k": shape["kv_heads"] * dim, "v": shape["kv_heads"] * dim}
    numbers = [shape["hidden"] + other.get(letter, shape["ffn"]) for letter in letters]
    return math.prod((sum(numbers), rank, shape["layers"]))
""",
)
count.right(
    "a helper function, A and B apart",
    '''def d_in_out(shape, name):
    """Inputs and outputs of one of the seven linear layers."""
    hidden = shape["hidden"]
    if name == "o_proj":
        return shape["heads"] * shape["head_dim"], hidden
    if name == "down_proj":
        return shape["ffn"], hidden
    if name in ("gate_proj", "up_proj"):
        return hidden, shape["ffn"]
    heads = shape["heads" if name == "q_proj" else "kv_heads"]
    return hidden, heads * shape["head_dim"]


def count(shape: dict[str, int], rank: int, targets: tuple[str, ...]) -> int:
    a = sum(rank * d_in_out(shape, t)[0] for t in targets)
    b = sum(d_in_out(shape, t)[1] * rank for t in targets)
    return (a + b) * shape["layers"]
''',
)
count.right(
    "numpy, converted to int at the end",
    """
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    q, kv = shape["heads"] * shape["head_dim"], shape["kv_heads"] * shape["head_dim"]
    other = np.array([q, kv, kv, q, shape["ffn"], shape["ffn"], shape["ffn"]], dtype=np.int64)
    chosen = np.array([name in targets for name in names])
    return int(((other + shape["hidden"]) * chosen).sum()) * rank * shape["layers"]
""",
)

# ---------------------------------------------------------------- practice.scale

scale = Exercise(
    "practice.scale",
    "def rescale(alpha: float, rank: int, new_rank: int, stabilized: bool) -> tuple[float, float]:",
)
scale.wrong(
    "factor at the old rank",
    "the first number is the factor at new_rank, not at rank",
    r"new_rank|new rank|old rank",
    """
    if stabilized:
        return alpha / math.sqrt(rank), alpha * math.sqrt(new_rank) / math.sqrt(rank)
    return alpha / rank, alpha * new_rank / rank
""",
)
scale.wrong(
    "alpha the other way round",
    "alpha has to grow with the rank: new_rank / rank",
    r"invert|upside|other way|wrong way|grow|new_rank ?/ ?rank|α.*new_rank|"
    r"rank ?/ ?new_rank|flipped",
    """
    if stabilized:
        return alpha / new_rank**0.5, alpha * (rank / new_rank) ** 0.5
    return alpha / new_rank, alpha * rank / new_rank
""",
)
scale.wrong(
    "stabilized ignored",
    "with stabilized=True the factor is alpha / √r",
    r"stabilized|√|root|sqrt",
    """
    factor = alpha / new_rank
    new_alpha = alpha * new_rank / rank
    return factor, new_alpha
""",
)
scale.wrong(
    "stabilized the wrong way round",
    "the root belongs to stabilized=True",
    r"stabilized|√|root|sqrt|swapped|other way",
    """
    size = (lambda r: r) if stabilized else math.sqrt
    return alpha / size(new_rank), alpha * size(new_rank) / size(rank)
""",
)
scale.wrong(
    "outputs swapped",
    "factor first, then alpha",
    r"swap|order|first|exchanged",
    """
    size = math.sqrt if stabilized else float
    new_alpha = alpha * size(new_rank) / size(rank)
    return new_alpha, alpha / size(new_rank)
""",
)
scale.wrong(
    "the factor that stays instead of its alpha",
    "the second number is an alpha, not the factor at the old rank",
    r"second|\balpha\b.*(not|instead|itself)|is the factor|old factor|α",
    """
    if stabilized:
        return alpha / math.sqrt(new_rank), alpha / math.sqrt(rank)
    else:
        return alpha / new_rank, alpha / rank
""",
)
scale.wrong(
    "integer division",
    "// cuts off the fraction",
    r"//|integer|whole|round|fraction|floor|cut",
    """
    if stabilized:
        return alpha / new_rank**0.5, alpha * new_rank**0.5 / rank**0.5
    return alpha // new_rank, alpha * new_rank // rank
""",
)
scale.wrong(
    "root in the factor only",
    "the new alpha of the stabilized case needs the roots too",
    r"√|root|sqrt|stabilized",
    """
    factor = alpha / math.sqrt(new_rank) if stabilized else alpha / new_rank
    return factor, alpha * new_rank / rank
""",
)
scale.wrong(
    "root of the whole fraction",
    "√(α/r) instead of α/√r",
    r"√|root|sqrt|stabilized",
    """
    factor = alpha / new_rank
    old = alpha / rank
    if stabilized:
        factor, old = math.sqrt(factor), math.sqrt(old)
        return factor, old**2 * new_rank
    return factor, old * new_rank
""",
)
scale.wrong(
    "r ** 1/2",
    "r ** 1/2 is r / 2",
    r"\*\* ?1 ?/ ?2|half|precedence|bracket|parenthes|√|root|sqrt|stabilized",
    """
    if stabilized:
        return alpha / new_rank ** 1/2, alpha * (new_rank / rank) ** 1/2
    return alpha / new_rank, alpha * new_rank / rank
""",
)
scale.wrong(
    "integer root",
    "isqrt rounds the root down: right for squares only",
    r"isqrt|integer|whole|round|square|√|root|sqrt",
    """
    size = math.isqrt if stabilized else int
    return alpha / size(new_rank), alpha * size(new_rank) / size(rank)
""",
)
scale.wrong(
    "alpha rounded to a whole number",
    "alpha need not be whole",
    r"round|whole|integer|fraction",
    """
    root = 0.5 if stabilized else 1.0
    return alpha / new_rank**root, round(alpha * (new_rank / rank) ** root)
""",
)
scale.wrong(
    "the habit alpha = 2r",
    "alpha = 2 · new_rank keeps the factor only if alpha was 2 · rank",
    r"2 ?[·*×]? ?(r\b|new_rank)|habit|twice|\balpha\b.*(depend|use|ignore|given|old)|second|α",
    """
    factor = alpha / math.sqrt(new_rank) if stabilized else alpha / new_rank
    return factor, 2.0 * new_rank
""",
)
scale.wrong(
    "compared with a string",
    "stabilized is a bool: it never equals 'True'",
    r"stabilized|bool|string|√|root|sqrt",
    """
    if stabilized == "True":
        new, old = math.sqrt(new_rank), math.sqrt(rank)
    else:
        new, old = new_rank, rank
    return alpha / new, alpha * new / old
""",
)
scale.wrong(
    "alpha grows by the difference",
    "alpha has to be multiplied by a ratio, not raised by a difference",
    r"ratio|proportion|multipl|difference|α.*/|new_rank ?/ ?rank|\balpha\b",
    """
    size = math.sqrt if stabilized else float
    return alpha / size(new_rank), alpha + size(new_rank) - size(rank)
""",
)
scale.wrong(
    "old rank, and no root",
    "the factor is that of the old rank, and stabilized is ignored",
    r"new_rank|new rank|old rank|stabilized|√|root|sqrt",
    """
    return alpha / rank, alpha * new_rank / rank
""",
)
scale.wrong(
    "one branch returns nothing",
    "without stabilized nothing is returned",
    r"return|None",
    """
    if stabilized:
        return alpha / new_rank**0.5, alpha * (new_rank / rank) ** 0.5
    else:
        factor = alpha / new_rank
        (factor, factor * rank)
""",
)
scale.wrong(
    "name that does not exist",
    "r is called rank here",
    r"\br\b|NameError|not defined",
    """
    if stabilized:
        return alpha / math.sqrt(new_rank), alpha * math.sqrt(new_rank) / math.sqrt(r)
    return alpha / new_rank, alpha * new_rank / r
""",
)
scale.right(
    "size function",
    """
    def size(r):
        return math.sqrt(r) if stabilized else r

    return alpha / size(new_rank), alpha * size(new_rank) / size(rank)
""",
)
scale.right(
    "exponent",
    """
    power = 0.5 if stabilized else 1
    return alpha * new_rank**-power, alpha * (new_rank / rank) ** power
""",
)
scale.right(
    "by the old factor, four lines",
    """
    if stabilized:
        before = alpha / math.sqrt(rank)
        return alpha / math.sqrt(new_rank), before * math.sqrt(new_rank)
    before = alpha / rank
    return alpha / new_rank, before * new_rank
""",
)
scale.right(
    "numpy",
    """
    ranks = np.array([rank, new_rank], dtype=np.float64)
    sizes = np.sqrt(ranks) if stabilized else ranks
    old, new = alpha / sizes
    return float(new), float(alpha * old / new)
""",
)
scale.right(
    "logarithms",
    """
    share = 1 - 0.5 * stabilized
    factor = math.exp(math.log(alpha) - share * math.log(new_rank))
    kept = math.exp(math.log(alpha) + share * (math.log(new_rank) - math.log(rank)))
    return factor, kept
""",
)
scale.right(
    "double-precision tensors",
    """
    r = torch.tensor([float(rank), float(new_rank)], dtype=torch.float64)
    if stabilized:
        r = r.sqrt()
    return (alpha / r[1]).item(), (alpha * r[1] / r[0]).item()
""",
)
scale.open(
    "a list",
    "a list of the right two numbers",
    """
    size = math.sqrt if stabilized else float
    return [alpha / size(new_rank), alpha * size(new_rank) / size(rank)]
""",
)

# ---------------------------------------------------------------- practice.choose

choose = Exercise("practice.choose", "def choose(losses: Tensor) -> tuple[int, int, bool]:")
choose.wrong(
    "diverged runs left out of the mean",
    "nanmean makes a cell look better for its diverged run",
    r"diverg|nan",
    """
    means = losses.nanmean(dim=2)
    best = int(means.argmin())
    i, j = best // means.size(1), best % means.size(1)
    cell = losses[i, j]
    cell = cell[~cell.isnan()]
    error = cell.std() / math.sqrt(losses.size(2))
    ok = means.min(dim=1).values <= means.min() + error
    rank = int(ok.nonzero()[0])
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, losses.size(1) - 1)
""",
)
choose.wrong(
    "lowest single run",
    "the luckiest seed, not the best mean",
    r"seed|luck|mean|average|single run",
    """
    filled = losses.nan_to_num(nan=math.inf)
    best = int(filled.argmin())
    ranks, rates, seeds = losses.shape
    rank = best // (rates * seeds)
    rate = best // seeds % rates
    return rank, rate, rate == 0 or rate == rates - 1
""",
)
choose.wrong(
    "lowest mean, no standard error",
    "the smallest rank within one standard error is asked for, not the lowest mean",
    r"standard error|within|small(er|est) rank|noise|tie",
    """
    means = losses.nan_to_num(nan=math.inf).mean(dim=2)
    rank, rate = divmod(int(means.argmin()), means.size(1))
    return rank, rate, rate in (0, means.size(1) - 1)
""",
)
choose.wrong(
    "standard deviation",
    "not divided by √seeds",
    r"√|root|sqrt|standard (error|deviation)",
    """
    means = losses.nan_to_num(nan=math.inf).mean(dim=2)
    i, j = divmod(int(means.argmin()), means.size(1))
    error = losses[i, j].std()
    rank = int((means.min(dim=1).values <= means.min() + error).nonzero()[0])
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, means.size(1) - 1)
""",
)
choose.wrong(
    "population standard deviation",
    "torch's std divides by seeds - 1",
    r"unbiased|correction|population|n ?[-−] ?1|seeds ?[-−] ?1|sample|torch's std|ddof|"
    r"standard error",
    """
    x = losses.numpy()
    means = np.where(np.isnan(x).any(axis=2), np.inf, x.mean(axis=2))
    i, j = np.unravel_index(means.argmin(), means.shape)
    error = x[i, j].std() / np.sqrt(x.shape[2])
    rank = int(np.flatnonzero(means.min(axis=1) <= means[i, j] + error)[0])
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, x.shape[1] - 1)
""",
)
choose.wrong(
    "rate of the best cell",
    "the rate has to be the chosen rank's own best",
    r"\brate\b.*(rank|row|own|chosen|its)|(its|own) (best )?rate|row",
    """
    means = losses.nan_to_num(nan=math.inf).mean(dim=2)
    i, j = divmod(int(means.argmin()), means.size(1))
    error = losses[i, j].std() / math.sqrt(losses.size(2))
    rank = int((means.min(dim=1).values <= means[i, j] + error).nonzero()[0])
    return rank, j, j in (0, means.size(1) - 1)
""",
)
choose.wrong(
    "edge of the best cell",
    "the edge is asked for the chosen rank's rate, not for the lowest mean's",
    r"edge",
    """
    means = losses.nan_to_num(nan=math.inf).mean(dim=2)
    i, j = divmod(int(means.argmin()), means.size(1))
    error = losses[i, j].std() / math.sqrt(losses.size(2))
    rank = int((means.min(dim=1).values <= means[i, j] + error).nonzero()[0])
    edge = j == 0 or j == means.size(1) - 1
    return rank, int(means[rank].argmin()), edge
""",
)
choose.wrong(
    "only the last column is an edge",
    "the first column is an edge too",
    r"edge|first (column|rate)|(lowest|smallest) rate|both ends",
    """
    means = losses.nan_to_num(nan=math.inf).mean(dim=2)
    i, j = divmod(int(means.argmin()), means.size(1))
    error = losses[i, j].std() / math.sqrt(losses.size(2))
    rank = int((means.min(dim=1).values <= means[i, j] + error).nonzero()[0])
    rate = int(means[rank].argmin())
    return rank, rate, rate == losses.shape[1] - 1
""",
)
choose.wrong(
    "edges of the ranks count",
    "only the rate's edge is asked for",
    r"edge",
    """
    means = losses.nan_to_num(nan=math.inf).mean(dim=2)
    n_ranks, n_rates = means.shape
    i, j = divmod(int(means.argmin()), n_rates)
    error = losses[i, j].std() / math.sqrt(losses.size(2))
    rank = int((means.min(dim=1).values <= means[i, j] + error).nonzero()[0])
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, n_rates - 1) or rank in (0, n_ranks - 1)
""",
)
choose.wrong(
    "the edge is one too far",
    "the last index is rates - 1",
    r"edge|off by one|rates ?[-−] ?1|last (column|rate|index)",
    """
    means = losses.nan_to_num(nan=math.inf).mean(dim=2)
    i, j = divmod(int(means.argmin()), means.size(1))
    error = losses[i, j].std() / math.sqrt(losses.size(2))
    rank = int((means.min(dim=1).values <= means[i, j] + error).nonzero()[0])
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, means.size(1))
""",
)
choose.wrong(
    "spread over the cells",
    "the standard error is that of the best cell over its seeds",
    r"standard error|(lowest|best) (cell|mean)|over (its|the) seeds",
    """
    means = losses.nan_to_num(nan=math.inf).mean(dim=2)
    finite = means[means.isfinite()]
    error = finite.std() / math.sqrt(losses.size(2))
    rank = int((means.min(dim=1).values <= means.min() + error).nonzero()[0])
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, means.size(1) - 1)
""",
)
choose.wrong(
    "NaN left as it is",
    "argmin and min take NaN for the lowest",
    r"nan|diverg",
    """
    means = losses.mean(dim=2)
    i, j = divmod(int(means.argmin()), means.size(1))
    error = losses[i, j].std() / math.sqrt(losses.size(2))
    ok = (means.min(dim=1).values <= means.min() + error).int()
    rank = int(ok.argmax())
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, means.size(1) - 1)
""",
)
choose.wrong(
    "NaN becomes zero",
    "nan_to_num without an argument makes a diverged run the best",
    r"nan|diverg",
    """
    clean = torch.nan_to_num(losses)
    means = clean.mean(dim=2)
    i, j = divmod(int(means.argmin()), means.size(1))
    error = clean[i, j].std() / math.sqrt(losses.size(2))
    rank = int((means.min(dim=1).values <= means[i, j] + error).nonzero()[0])
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, means.size(1) - 1)
""",
)
choose.wrong(
    "NaN becomes the worst finite loss",
    "a diverged run must rule its cell out; the worst finite loss may not",
    r"nan|diverg",
    """
    worst = losses[~losses.isnan()].max().item()
    clean = torch.nan_to_num(losses, nan=worst)
    means = clean.mean(dim=2)
    i, j = divmod(int(means.argmin()), means.size(1))
    error = clean[i, j].std() / math.sqrt(losses.size(2))
    rank = int((means.min(dim=1).values <= means[i, j] + error).nonzero()[0])
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, means.size(1) - 1)
""",
)
choose.wrong(
    "a rank with any diverged run is out",
    "a diverged run rules out its cell, not its rank",
    r"nan|diverg",
    """
    bad = losses.isnan().any(dim=2).any(dim=1)
    means = losses.nan_to_num(nan=math.inf).mean(dim=2)
    means[bad] = math.inf
    i, j = divmod(int(means.argmin()), means.size(1))
    error = losses[i, j].std() / math.sqrt(losses.size(2))
    rank = int((means.min(dim=1).values <= means[i, j] + error).nonzero()[0])
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, means.size(1) - 1)
""",
)
choose.wrong(
    "median of the seeds",
    "means are compared, not medians",
    r"median|mean|average",
    """
    mid = losses.nan_to_num(nan=math.inf).median(dim=2).values
    i, j = divmod(int(mid.argmin()), mid.size(1))
    error = losses[i, j].std() / math.sqrt(losses.size(2))
    rank = int((mid.min(dim=1).values <= mid[i, j] + error).nonzero()[0])
    rate = int(mid[rank].argmin())
    return rank, rate, rate in (0, mid.size(1) - 1)
""",
)
choose.wrong(
    "strictly below",
    "with an error of zero not even the best cell is strictly within: <= is needed",
    r"<=|≤|at most|strict|equal|exactly|zero|tie|boundary",
    """
    means = losses.nan_to_num(nan=math.inf).mean(dim=2)
    i, j = divmod(int(means.argmin()), means.size(1))
    error = losses[i, j].std() / math.sqrt(losses.size(2))
    rank = int((means.min(dim=1).values < means[i, j] + error).int().argmax())
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, means.size(1) - 1)
""",
)
choose.wrong(
    "each rank's own error",
    "one standard error, that of the lowest mean, holds for all ranks",
    r"standard error|own error|lowest mean|best cell",
    """
    means = losses.nan_to_num(nan=math.inf).mean(dim=2)
    low = means.min()
    for rank in range(means.size(0)):
        rate = int(means[rank].argmin())
        error = losses[rank, rate].std() / math.sqrt(losses.size(2))
        if means[rank, rate] - error <= low:
            return rank, rate, rate in (0, means.size(1) - 1)
""",
)
choose.wrong(
    "first cell within the error",
    "the rate is the first within the error, not the rank's best",
    r"\brate\b.*(rank|row|own|chosen|its|best|lowest)|(its|own) (best )?rate|row|argmin",
    """
    means = losses.nan_to_num(nan=math.inf).mean(dim=2)
    i, j = divmod(int(means.argmin()), means.size(1))
    error = losses[i, j].std() / math.sqrt(losses.size(2))
    rank, rate = (means <= means[i, j] + error).nonzero()[0].tolist()
    return rank, rate, rate in (0, means.size(1) - 1)
""",
)
choose.wrong(
    "root of the number of rates",
    "the root of the number of seeds is wanted, the last dimension",
    r"seeds|√|root|sqrt|standard error",
    """
    means = losses.nan_to_num(nan=math.inf).mean(dim=-1)
    i, j = divmod(int(means.argmin()), means.size(1))
    error = losses[i, j].std() / math.sqrt(losses.size(1))
    rank = int((means.min(dim=1).values <= means[i, j] + error).nonzero()[0])
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, means.size(1) - 1)
""",
)
choose.wrong(
    "largest rank within, deviation instead of error",
    "the largest rank is taken, and the deviation is not divided by √seeds",
    r"small(er|est)|largest|√|root|sqrt|standard (error|deviation)",
    """
    means = losses.nan_to_num(nan=math.inf).mean(dim=2)
    i, j = divmod(int(means.argmin()), means.size(1))
    error = losses[i, j].std()
    rank = int((means.min(dim=1).values <= means[i, j] + error).nonzero()[-1])
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, means.size(1) - 1)
""",
)
choose.wrong(
    "rank and rate exchanged",
    "the rank comes first",
    r"swap|order|exchang|first|rank.*rate",
    """
    means = losses.nan_to_num(nan=math.inf).mean(dim=2)
    i, j = divmod(int(means.argmin()), means.size(1))
    error = losses[i, j].std() / math.sqrt(losses.size(2))
    rank = int((means.min(dim=1).values <= means[i, j] + error).nonzero()[0])
    rate = int(means[rank].argmin())
    return rate, rank, rate in (0, means.size(1) - 1)
""",
)
choose.wrong(
    "misspelt method",
    "nan_to_number does not exist: nan_to_num",
    r"nan_to_num|AttributeError|no attribute",
    """
    means = losses.nan_to_number(nan=math.inf).mean(dim=2)
    i, j = divmod(int(means.argmin()), means.size(1))
    error = losses[i, j].std() / math.sqrt(losses.size(2))
    rank = int((means.min(dim=1).values <= means[i, j] + error).nonzero()[0])
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, means.size(1) - 1)
""",
)
choose.right(
    "the plain way",
    """
    means = losses.nan_to_num(nan=math.inf).mean(dim=2)
    rates = means.size(1)
    i, j = divmod(int(means.argmin()), rates)
    error = losses[i, j].std() / math.sqrt(losses.size(2))
    rank = int((means.min(dim=1).values <= means[i, j] + error).nonzero()[0])
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, rates - 1)
""",
)
choose.right(
    "lists and statistics",
    """
    table = losses.tolist()
    means = [[statistics.fmean(seeds) for seeds in row] for row in table]
    means = [[math.inf if m != m else m for m in row] for row in means]
    low, i, j = min((m, i, j) for i, row in enumerate(means) for j, m in enumerate(row))
    error = statistics.stdev(table[i][j]) / len(table[i][j]) ** 0.5
    for rank, row in enumerate(means):
        if min(row) <= low + error:
            rate = row.index(min(row))
            return rank, rate, rate == 0 or rate == len(row) - 1
    raise AssertionError("the lowest mean is within its own error")
""",
)
choose.right(
    "numpy in double precision",
    """
    x = losses.double().numpy()
    means = x.mean(axis=2)
    means[np.isnan(means)] = np.inf
    i, j = np.unravel_index(np.argmin(means), means.shape)
    bound = means[i, j] + x[i, j].std(ddof=1) / np.sqrt(x.shape[2])
    rank = int(np.argmax(means.min(axis=1) <= bound))
    rate = int(np.argmin(means[rank]))
    return rank, rate, bool(rate in {0, x.shape[1] - 1})
""",
)
choose.right(
    "std_mean, where and a downward walk",
    """
    std, mean = torch.std_mean(losses, dim=-1)
    mean = torch.where(mean.isnan(), torch.inf, mean)
    flat = mean.flatten()
    at = flat.argmin()
    bound = flat[at] + std.flatten()[at] / losses.shape[-1] ** 0.5
    best, rate = mean.min(dim=-1)
    rank = len(best) - 1
    for k in reversed(range(len(best))):
        if best[k] <= bound:
            rank = k
    chosen = rate[rank].item()
    return rank, chosen, not 0 < chosen < losses.shape[1] - 1
""",
)
choose.right(
    "a dictionary of cells without the diverged ones",
    """
    ranks, rates, seeds = losses.shape
    cells = {}
    for cell in itertools.product(range(ranks), range(rates)):
        runs = losses[cell]
        if not torch.isnan(runs).any():
            cells[cell] = runs.sum().item() / seeds
    best = min(cells, key=cells.get)
    limit = cells[best] + losses[best].std().item() / math.sqrt(seeds)
    rank = min(r for (r, _), mean in cells.items() if mean <= limit)
    rate = min((mean, c) for (r, c), mean in cells.items() if r == rank)[1]
    return rank, rate, rate == 0 or rate + 1 == rates
""",
)
choose.right(
    "variance by hand",
    """
    n = losses.size(2)
    means = losses.sum(2) / n
    means = means.masked_fill(means.isnan(), float("inf"))
    row, column = (means == means.min()).nonzero()[0]
    cell = losses[row, column]
    variance = ((cell - cell.mean()) ** 2).sum() / (n - 1)
    limit = means.min() + (variance / n).sqrt()
    rank = next(r for r in range(losses.size(0)) if means[r].min() <= limit)
    rate = means[rank].tolist().index(means[rank].min().item())
    return rank, rate, rate in [0, losses.size(1) - 1]
""",
)
choose.open(
    "diverged runs replaced in place",
    "changes the caller's losses; the text does not say that they stay",
    """
    losses[losses.isnan()] = math.inf
    means = losses.mean(dim=2)
    i, j = divmod(int(means.argmin()), means.size(1))
    error = losses[i, j].std() / math.sqrt(losses.size(2))
    rank = int((means.min(dim=1).values <= means[i, j] + error).nonzero()[0])
    rate = int(means[rank].argmin())
    return rank, rate, rate in (0, means.size(1) - 1)
""",
)
choose.open(
    "tensors of one element",
    "the right values as tensors",
    """
    means = losses.nan_to_num(nan=math.inf).mean(dim=2)
    at = means.argmin()
    error = losses.flatten(0, 1)[at].std() / math.sqrt(losses.size(2))
    rank = (means.min(dim=1).values <= means.min() + error).int().argmax()
    rate = means[rank].argmin()
    return rank, rate, (rate == 0) | (rate == means.size(1) - 1)
""",
)

# ---------------------------------------------------------------- practice.ratio

ratio = Exercise(
    "practice.ratio",
    "def lora_plus(model: nn.Module, rate: float, factor: float) -> list[dict[str, Any]]:",
)
ratio.wrong(
    "name ends in B",
    "endswith('B') takes names whose last part only ends in B",
    r"endswith|last part|ends in|whole (part|name)|dot",
    """
    fast, slow = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (fast if name.endswith("B") else slow).append(parameter)
    return [{"params": fast, "lr": factor * rate}, {"params": slow, "lr": rate}]
""",
)
ratio.wrong(
    "B anywhere in the name",
    "a B anywhere in the path is taken",
    r"last part|anywhere|in the (name|path)|substring|contain|dot",
    """
    b = [p for n, p in model.named_parameters() if p.requires_grad and "B" in n]
    rest = [p for n, p in model.named_parameters() if p.requires_grad and "B" not in n]
    return [dict(params=b, lr=rate * factor), dict(params=rest, lr=rate)]
""",
)
ratio.wrong(
    ".B only behind a dot",
    "a parameter whose whole name is B has no dot",
    r"dot|top level|directly|whole name|last part|endswith|named (just )?B|\.B",
    """
    fast, slow = [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.endswith(".B"):
            fast.append(parameter)
        else:
            slow.append(parameter)
    return [{"params": fast, "lr": rate * factor}, {"params": slow, "lr": rate}]
""",
)
ratio.wrong(
    "frozen parameters in the rest",
    "frozen parameters are in no group",
    r"frozen|requires_grad|does not (train|require)",
    """
    groups = [{"params": [], "lr": factor * rate}, {"params": [], "lr": rate}]
    for name, p in model.named_parameters():
        is_b = name.split(".")[-1] == "B"
        groups[0 if is_b else 1]["params"].append(p)
    return groups
""",
)
ratio.wrong(
    "frozen B kept",
    "a frozen B is in a group: only the rest is filtered",
    r"frozen|requires_grad|does not (train|require)",
    """
    fast = [p for n, p in model.named_parameters() if n.rpartition(".")[2] == "B"]
    ids = {id(p) for p in fast}
    slow = [p for p in model.parameters() if p.requires_grad and id(p) not in ids]
    return [{"params": fast, "lr": factor * rate}, {"params": slow, "lr": rate}]
""",
)
ratio.wrong(
    "only A in the rest",
    "norms, biases and heads that train are in no group",
    r"(other|rest|every|no|any|forgot|missing|left out|norm|bias|head).*"
    r"(train|group|param)|in no group|left out|only A|forgotten|missing",
    """
    fast, slow = [], []
    for name, parameter in model.named_parameters():
        last = name.split(".")[-1]
        if parameter.requires_grad and last == "B":
            fast.append(parameter)
        if parameter.requires_grad and last == "A":
            slow.append(parameter)
    return [{"params": fast, "lr": factor * rate}, {"params": slow, "lr": rate}]
""",
)
ratio.wrong(
    "A is the fast one",
    "the higher rate belongs to B",
    r"swap|exchang|other way|belongs to B|\bB\b.*(factor|higher|faster)"
    r"|(rest|A\b|others).*(factor|higher|faster)|wrong group",
    """
    b, rest = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (b if name.split(".")[-1] == "B" else rest).append(parameter)
    return [{"params": b, "lr": rate}, {"params": rest, "lr": factor * rate}]
""",
)
ratio.wrong(
    "A slowed down instead",
    "B at factor · rate and the rest at rate, not rate and rate / factor",
    r"rate ?/|divid|factor ?[·*×] ?rate|rest.*rate|\blr\b",
    """
    b, rest = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (b if name.split(".")[-1] == "B" else rest).append(parameter)
    return [{"params": b, "lr": rate}, {"params": rest, "lr": rate / factor}]
""",
)
ratio.wrong(
    "B in both groups",
    "the rest holds B too: twice in the optimizer",
    r"twice|both|two groups|more than one|duplicate|again|also",
    """
    trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
    b = [p for n, p in trainable.items() if n.split(".")[-1] == "B"]
    return [
        {"params": b, "lr": factor * rate},
        {"params": list(trainable.values()), "lr": rate},
    ]
""",
)
ratio.wrong(
    "one group for each parameter",
    "two groups are asked for",
    r"two (parameter )?groups|one group|number of groups|groups.*(2|two)|too many groups",
    """
    groups = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            lr = factor * rate if name.split(".")[-1] == "B" else rate
            groups.append({"params": [parameter], "lr": lr})
    return groups
""",
)
ratio.wrong(
    "names and parameters",
    "the groups hold pairs of a name and a parameter",
    r"name|pair|tuple|not (a )?param|parameters themselves",
    """
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    fast = list(filter(lambda pair: pair[0].split(".")[-1] == "B", named))
    slow = list(filter(lambda pair: pair[0].split(".")[-1] != "B", named))
    return [{"params": fast, "lr": factor * rate}, {"params": slow, "lr": rate}]
""",
)
ratio.wrong(
    "data instead of parameters",
    ".data is another tensor, which never gets a gradient",
    r"\.data|copy|copies|same object|themselves|not (the|a) (model's )?param|another tensor",
    """
    fast, slow = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (fast if name.split(".")[-1] == "B" else slow).append(parameter.data)
    return [{"params": fast, "lr": factor * rate}, {"params": slow, "lr": rate}]
""",
)
ratio.wrong(
    "learning_rate as the key",
    "the key is lr",
    r"\blr\b|key",
    """
    fast, slow = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (fast if name.split(".")[-1] == "B" else slow).append(parameter)
    return [
        {"params": fast, "learning_rate": factor * rate},
        {"params": slow, "learning_rate": rate},
    ]
""",
)
ratio.wrong(
    "compared with `not in`",
    "`in` compares tensors by value and fails: compare by identity",
    r"\bin\b.*(list|tensor|compar)|identity|\bid\(|compar|ambiguous|size of tensor|shape",
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    fast = [p for n, p in model.named_parameters() if p.requires_grad and n.split(".")[-1] == "B"]
    slow = [p for p in trainable if p not in fast]
    return [{"params": fast, "lr": factor * rate}, {"params": slow, "lr": rate}]
""",
)
ratio.wrong(
    "everything of a layer that has a B",
    "A and bias of a layer with B are in the fast group",
    r"\bA\b|last part|name|only B|belong|wrong group",
    """
    fast, slow = [], []
    for module in model.modules():
        group = fast if hasattr(module, "B") else slow
        group += [p for p in module.parameters(recurse=False) if p.requires_grad]
    return [{"params": fast, "lr": factor * rate}, {"params": slow, "lr": rate}]
""",
)
ratio.wrong(
    "by the gradient that is there",
    "before the first backward() no parameter has a gradient: requires_grad is meant",
    r"\.grad\b|requires_grad|gradient|empty|no parameter|missing|left out|in no group",
    """
    fast, slow = [], []
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            continue
        (fast if name.split(".")[-1] == "B" else slow).append(parameter)
    return [{"params": fast, "lr": factor * rate}, {"params": slow, "lr": rate}]
""",
)
ratio.wrong(
    "frozen ones made to train",
    "requires_grad_(True) trains what was frozen",
    r"frozen|requires_grad|froze|unfre",
    """
    fast, slow = [], []
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(True)
        (fast if name.split(".")[-1] == "B" else slow).append(parameter)
    return [{"params": fast, "lr": factor * rate}, {"params": slow, "lr": rate}]
""",
)
ratio.wrong(
    "factor alone, and the frozen ones",
    "B's rate is factor · rate, and frozen parameters are in no group",
    r"factor ?[·*×] ?rate|rate ?[·*×] ?factor|\blr\b|frozen|requires_grad",
    """
    fast, slow = [], []
    for name, parameter in model.named_parameters():
        (fast if name.split(".")[-1] == "B" else slow).append(parameter)
    return [{"params": fast, "lr": factor}, {"params": slow, "lr": rate}]
""",
)
ratio.wrong(
    "an optimizer",
    "the groups are asked for, not an optimizer",
    r"optimi[sz]er|AdamW|list|groups?\b",
    """
    fast, slow = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (fast if name.split(".")[-1] == "B" else slow).append(parameter)
    return torch.optim.AdamW(
        [{"params": fast, "lr": factor * rate}, {"params": slow, "lr": rate}]
    )
""",
)
ratio.wrong(
    "misspelt method",
    "named_parameter does not exist: named_parameters",
    r"named_parameters?|AttributeError|no attribute",
    """
    fast = [p for n, p in model.named_parameter() if p.requires_grad and n.split(".")[-1] == "B"]
    slow = [p for n, p in model.named_parameter() if p.requires_grad and n.split(".")[-1] != "B"]
    return [{"params": fast, "lr": factor * rate}, {"params": slow, "lr": rate}]
""",
)
ratio.right(
    "two lists",
    """
    fast, slow = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (fast if name.split(".")[-1] == "B" else slow).append(parameter)
    return [{"params": fast, "lr": factor * rate}, {"params": slow, "lr": rate}]
""",
)
ratio.right(
    "the rest first",
    """
    trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
    b = {n for n in trainable if n.rpartition(".")[2] == "B"}
    return [
        {"params": [p for n, p in trainable.items() if n not in b], "lr": rate},
        {"params": [trainable[n] for n in trainable if n in b], "lr": rate * factor},
    ]
""",
)
ratio.right(
    "regular expression",
    """import re


def lora_plus(model: nn.Module, rate: float, factor: float) -> list[dict[str, Any]]:
    is_b = re.compile(r"(.*\\.)?B")
    groups = {True: [], False: []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[is_b.fullmatch(name) is not None].append(parameter)
    return [dict(params=groups[True], lr=factor * rate), dict(params=groups[False], lr=rate)]
""",
)
ratio.right(
    "module by module, by identity",
    """
    fast, slow, seen = [], [], set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen or not parameter.requires_grad:
                continue
            seen.add(id(parameter))
            if name == "B":
                fast.append(parameter)
            else:
                slow.append(parameter)
    return [{"lr": rate * factor, "params": fast}, {"lr": rate, "params": slow}]
""",
)
ratio.right(
    "defaultdict",
    """
    by_rate = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            *_, last = name.split(".")
            by_rate[last == "B"].append(parameter)
    return [{"params": by_rate[b], "lr": rate * (factor if b else 1.0)} for b in (True, False)]
""",
)
ratio.right(
    "padded with a dot",
    """
    named = [(f".{n}", p) for n, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [p for n, p in named if n.endswith(".B")], "lr": factor * rate},
        {"params": [p for n, p in named if not n.endswith(".B")], "lr": rate},
    ]
""",
)
ratio.open(
    "generators",
    "params as generators, which an optimizer takes and which can be read once",
    """
    def those(b):
        return (
            p
            for n, p in model.named_parameters()
            if p.requires_grad and (n.split(".")[-1] == "B") == b
        )

    return [{"params": those(True), "lr": factor * rate}, {"params": those(False), "lr": rate}]
""",
)
ratio.open(
    "another key",
    "a third key, weight_decay, in each group",
    """
    fast, slow = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (fast if name.split(".")[-1] == "B" else slow).append(parameter)
    return [
        {"params": fast, "lr": factor * rate, "weight_decay": 0.0},
        {"params": slow, "lr": rate, "weight_decay": 0.0},
    ]
""",
)

# ---------------------------------------------------------------- practice.allocate

allocate = Exercise(
    "practice.allocate",
    """def allocate(
    importance: Tensor, step: int, total: int, warmup: int, final: int, goal: int
) -> tuple[int, Tensor]:""",
)
allocate.wrong(
    "every layer gets the same",
    "all layers compete for one budget",
    r"compet|one budget|all layers|each layer|same (rank|number)|evenly|equal|"
    r"layer by layer|together",
    """
    layers, directions = importance.shape
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = int(goal + (importance.numel() - goal) * left**3)
    kept = torch.zeros_like(importance)
    each = budget // layers
    kept.scatter_(1, importance.topk(each, dim=1).indices, 1)
    return budget, kept.sum(dim=1).long()
""",
)
allocate.wrong(
    "linear",
    "what is left of the way is cubed",
    r"cub|\^ ?3|\*\* ?3|³|third power|linear|power",
    """
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = int(goal + (importance.numel() - goal) * left)
    best = importance.flatten().topk(budget).indices
    layer = torch.div(best, importance.size(1), rounding_mode="floor")
    return budget, torch.bincount(layer, minlength=importance.size(0))
""",
)
allocate.wrong(
    "one minus the cube",
    "1 − progress³ instead of (1 − progress)³",
    r"cub|\^ ?3|\*\* ?3|³|what is left|third power|bracket|parenthes",
    """
    progress = (step - warmup) / (total - final - warmup)
    budget = int(goal + (importance.numel() - goal) * (1 - progress**3))
    best = importance.flatten().topk(budget).indices
    return budget, torch.bincount(best // importance.size(1), minlength=importance.size(0))
""",
)
allocate.wrong(
    "warm-up not subtracted",
    "the way begins at the end of the warm-up",
    r"warm",
    """
    left = 1 - step / (total - final)
    budget = int(goal + (importance.numel() - goal) * left**3)
    best = importance.flatten().topk(budget).indices
    return budget, torch.bincount(best // importance.size(1), minlength=importance.size(0))
""",
)
allocate.wrong(
    "final not subtracted",
    "the goal is reached final steps before the end",
    r"final|total ?[-−]|reach",
    """
    left = 1 - (step - warmup) / (total - warmup)
    budget = int(goal + (importance.numel() - goal) * left**3)
    best = importance.flatten().topk(budget).indices
    return budget, torch.bincount(best // importance.size(1), minlength=importance.size(0))
""",
)
allocate.wrong(
    "warm-up missing in the denominator",
    "the way is total − final − warmup long",
    r"warm|denominator|divid|length of the way|total ?[-−] ?final",
    """
    left = 1 - (step - warmup) / (total - final)
    budget = int(goal + (importance.numel() - goal) * left**3)
    best = importance.flatten().topk(budget).indices
    return budget, torch.bincount(best // importance.size(1), minlength=importance.size(0))
""",
)
allocate.wrong(
    "rounded to the nearest",
    "the budget is rounded down",
    r"round|floor|down|int\(",
    """
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = round(goal + (importance.numel() - goal) * left**3)
    best = importance.flatten().topk(budget).indices
    return budget, torch.bincount(best // importance.size(1), minlength=importance.size(0))
""",
)
allocate.wrong(
    "rounded up",
    "the budget is rounded down",
    r"round|floor|down|ceil|int\(",
    """
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = math.ceil(goal + (importance.numel() - goal) * left**3)
    best = importance.flatten().topk(budget).indices
    return budget, torch.bincount(best // importance.size(1), minlength=importance.size(0))
""",
)
allocate.wrong(
    "start is one layer's directions",
    "at the start the directions of all layers are in the budget",
    r"start|all directions|numel|all layers|layers ?[·*×]",
    """
    layers, start = importance.shape
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = math.floor(goal + (start - goal) * left**3)
    ranks = torch.zeros(layers, dtype=torch.long)
    for i in importance.flatten().argsort(descending=True)[: max(budget, 0)].tolist():
        ranks[i // start] += 1
    return budget, ranks
""",
)
allocate.wrong(
    "goal taken for each layer",
    "goal is the budget of all layers together",
    r"goal|all layers|each layer|per layer",
    """
    layers, directions = importance.shape
    left = 1 - (step - warmup) / (total - final - warmup)
    end = goal * layers
    budget = int(end + (layers * directions - end) * left**3)
    best = importance.flatten().topk(min(budget, importance.numel())).indices
    return budget, torch.bincount(best // directions, minlength=layers)
""",
)
allocate.wrong(
    "the least important kept",
    "the most important directions are kept",
    r"(most|least|highest|lowest|largest|smallest|un)[ -]?important|largest|smallest|"
    r"descending|ascending|lowest|highest",
    """
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = int(goal + (importance.numel() - goal) * left**3)
    order = importance.flatten().argsort()
    kept = order[:budget]
    return budget, torch.bincount(kept // importance.size(1), minlength=importance.size(0))
""",
)
allocate.wrong(
    "remainder instead of quotient",
    "index % directions is the direction, not the layer",
    r"%|remainder|modulo|//|column|direction.*(not|instead).*layer|layer.*(not|instead).*direction",
    """
    layers, directions = importance.shape
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = int(goal + (importance.numel() - goal) * left**3)
    best = importance.flatten().topk(budget).indices
    return budget, torch.bincount(best % directions, minlength=layers)
""",
)
allocate.wrong(
    "divided by the number of layers",
    "index // directions is the layer: right only where both numbers are equal",
    r"//|directions|number of layers|square|divid",
    """
    layers, directions = importance.shape
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = int(goal + (importance.numel() - goal) * left**3)
    best = importance.flatten().topk(budget).indices
    return budget, torch.bincount(best // layers, minlength=layers)[:layers]
""",
)
allocate.wrong(
    "bincount without minlength",
    "layers at the end that keep nothing are missing",
    r"minlength|bincount|length|shape|missing|zero|no direction|nothing|empty",
    """
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = int(goal + (importance.numel() - goal) * left**3)
    best = importance.flatten().topk(budget).indices
    return budget, torch.bincount(best // importance.size(1))
""",
)
allocate.wrong(
    "above the threshold",
    "> drops the last direction that is in the budget",
    r">=|≥|threshold|one (too few|direction|less|missing)|off by one|sum.*budget|strict|"
    r"last (kept )?direction",
    """
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = int(goal + (importance.numel() - goal) * left**3)
    threshold = importance.flatten().sort(descending=True).values[budget - 1]
    return budget, (importance > threshold).sum(dim=1)
""",
)
allocate.wrong(
    "the mask instead of the ranks",
    "the rank of each layer is asked for: count along the directions",
    r"mask|sum|count|rank of each|shape|\(layers",
    """
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = int(goal + (importance.numel() - goal) * left**3)
    mask = torch.zeros(importance.numel(), dtype=torch.bool)
    mask[importance.flatten().topk(budget).indices] = True
    return budget, mask.view_as(importance)
""",
)
allocate.wrong(
    "summed over the layers",
    "dim=0 counts per direction, dim=1 per layer",
    r"dim|axis|per direction|each direction|wrong (dim|axis)|over the layers|shape",
    """
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = int(goal + (importance.numel() - goal) * left**3)
    mask = torch.zeros(importance.numel())
    mask[importance.flatten().topk(budget).indices] = 1
    return budget, mask.view_as(importance).sum(dim=0).long()
""",
)
allocate.wrong(
    "in proportion to the layer's importance",
    "single directions compete, not sums of layers",
    r"compet|proportion|single direction|each direction|top|most important|directions",
    """
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = int(goal + (importance.numel() - goal) * left**3)
    share = importance.sum(dim=1) / importance.sum()
    return budget, (share * budget).round().long()
""",
)
allocate.wrong(
    "budget left as a fraction",
    "the budget has to be rounded down to an int before topk",
    r"round|\bint\b|float|whole|integer|floor",
    """
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = goal + (importance.numel() - goal) * left**3
    best = importance.flatten().topk(budget).indices
    return budget, torch.bincount(best // importance.size(1), minlength=importance.size(0))
""",
)
allocate.wrong(
    "integer division of the way",
    "// makes the progress 0 until the end",
    r"//|integer division|whole|cut|progress|floor",
    """
    left = 1 - (step - warmup) // (total - final - warmup)
    budget = goal + (importance.numel() - goal) * left**3
    best = importance.flatten().topk(budget).indices
    return budget, torch.bincount(best // importance.size(1), minlength=importance.size(0))
""",
)
allocate.wrong(
    "goal forgotten, and the square",
    "the goal is not added and the exponent is 3",
    r"goal|cub|\^ ?3|\*\* ?3|³|power|square",
    """
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = int((importance.numel() - goal) * left**2)
    best = importance.flatten().topk(budget).indices
    return budget, torch.bincount(best // importance.size(1), minlength=importance.size(0))
""",
)
allocate.wrong(
    "left-over raise",
    "the NotImplementedError of the stub is still there",
    r"NotImplementedError|left[ -]?over|raise|stub",
    """
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = int(goal + (importance.numel() - goal) * left**3)
    best = importance.flatten().topk(budget).indices
    ranks = torch.bincount(best // importance.size(1), minlength=importance.size(0))
    raise NotImplementedError("your code here")
    return budget, ranks
""",
)
allocate.right(
    "topk and bincount",
    """
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = int(goal + (importance.numel() - goal) * left**3)
    best = importance.flatten().topk(budget).indices
    return budget, torch.bincount(best // importance.size(1), minlength=importance.size(0))
""",
)
allocate.right(
    "whole numbers only",
    """
    way, end = total - final - warmup, total - final
    budget = goal + (importance.numel() - goal) * (end - step) ** 3 // way**3
    mask = torch.zeros(importance.numel(), dtype=torch.long)
    mask[importance.reshape(-1).argsort(descending=True)[:budget]] = 1
    return budget, mask.reshape(importance.shape).sum(dim=1)
""",
)
allocate.right(
    "fractions",
    """from fractions import Fraction


def allocate(
    importance: Tensor, step: int, total: int, warmup: int, final: int, goal: int
) -> tuple[int, Tensor]:
    gone = Fraction(step - warmup, total - final - warmup)
    budget = math.floor(goal + (importance.numel() - goal) * (1 - gone) ** 3)
    layers, directions = importance.shape
    kept = torch.zeros_like(importance, dtype=torch.bool).flatten()
    kept[importance.flatten().topk(budget).indices] = True
    return budget, kept.view(layers, directions).sum(1)
""",
)
allocate.right(
    "a sorted list of pairs",
    """
    start = importance.numel()
    progress = (step - warmup) / (total - final - warmup)
    budget = math.floor(goal + (start - goal) * (1 - progress) ** 3)
    pairs = [(value, k) for k, row in enumerate(importance.tolist()) for value in row]
    pairs.sort(reverse=True)
    ranks = [0] * len(importance)
    for _, layer in pairs[:budget]:
        ranks[layer] += 1
    return budget, torch.tensor(ranks)
""",
)
allocate.right(
    "the worst switched off one by one",
    """
    rest = 1.0 - (step - warmup) / float(total - warmup - final)
    budget = int(goal + (importance.numel() - goal) * rest * rest * rest)
    alive = importance.clone().double()
    for _ in range(importance.numel() - budget):
        alive.view(-1)[alive.argmin()] = math.inf
    return budget, (~alive.isinf()).sum(dim=-1)
""",
)
allocate.right(
    "heap and counter",
    """import heapq


def allocate(
    importance: Tensor, step: int, total: int, warmup: int, final: int, goal: int
) -> tuple[int, Tensor]:
    begin, end = warmup, total - final
    left = 1 - (step - begin) / (end - begin)
    budget = int(goal + left**3 * (importance.numel() - goal) // 1)
    cells = itertools.product(*map(range, importance.shape))
    best = heapq.nlargest(budget, cells, key=lambda cell: importance[cell].item())
    ranks = Counter(layer for layer, _ in best)
    return budget, torch.tensor([ranks[k] for k in range(importance.shape[0])])
""",
)
allocate.open(
    "ranks as floating point",
    "the right numbers, in float32",
    """
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = int(goal + (importance.numel() - goal) * left**3)
    mask = torch.zeros(importance.numel())
    mask[importance.flatten().topk(budget).indices] = 1
    return budget, mask.view_as(importance).sum(dim=1)
""",
)
allocate.open(
    "ranks in int32",
    "the right numbers, in another dtype of whole numbers",
    """
    left = 1 - (step - warmup) / (total - final - warmup)
    budget = int(goal + (importance.numel() - goal) * left**3)
    best = importance.flatten().topk(budget).indices // importance.size(1)
    return budget, torch.bincount(best, minlength=importance.size(0)).int()
""",
)

# ---------------------------------------------------------------- practice.schedule

schedule = Exercise(
    "practice.schedule",
    "def rate_at(step: int, steps: int, peak: float, warmup: float) -> float:",
)
schedule.wrong(
    "warm-up counts from 0",
    "the first step has a rate of zero",
    r"from 1|zero|step ?[-−] ?1|first step|count|waste|off by one",
    """
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * (step - 1) / rising
    progress = (step - 1 - rising) / (steps - rising)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
""",
)
schedule.wrong(
    "zero at the last step",
    "the cosine reaches zero at the last step instead of one after",
    r"zero|last step|one step (after|late|earl|too)|after the last|off by one|progress",
    """
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * step / rising
    progress = (step - rising) / (steps - rising)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
""",
)
schedule.wrong(
    "no second peak",
    "the first step after the warm-up has the peak again",
    r"peak again|first step after|after the warm|after them|off by one|progress|\bpeak\b",
    """
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * step / rising
    progress = (step - rising) / (steps - rising + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
""",
)
schedule.wrong(
    "zero at the last step, peak at the first after the warm-up",
    "the fall is one step too short",
    r"zero|last step|after the last|too (short|soon|early|fast)|off by one|progress|"
    r"ZeroDivision|divi",
    """
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * step / rising
    progress = (step - rising - 1) / (steps - rising - 1)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
""",
)
schedule.wrong(
    "warm-up rounded down",
    "⌈warmup · steps⌉ is rounded up",
    r"ceil|⌈|round|\bup\b|int\(",
    """
    rising = int(warmup * steps)
    if step <= rising:
        return peak * step / rising
    progress = (step - 1 - rising) / (steps - rising)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
""",
)
schedule.wrong(
    "warm-up rounded to the nearest",
    "⌈warmup · steps⌉ is rounded up",
    r"ceil|⌈|round|\bup\b",
    """
    rising = round(warmup * steps)
    if step <= rising:
        return peak * step / rising
    return peak * 0.5 * (1 + math.cos(math.pi * (step - 1 - rising) / (steps - rising)))
""",
)
schedule.wrong(
    "warm-up of a fractional length",
    "the number of warm-up steps is rounded up",
    r"ceil|⌈|round|\bup\b|whole|fraction",
    """
    rising = warmup * steps
    if step <= rising:
        return peak * step / rising
    progress = (step - 1 - rising) / (steps - rising)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
""",
)
schedule.wrong(
    "the peak is not reached in the warm-up",
    "the last warm-up step has the peak: step / rising",
    r"peak|rising ?\+ ?1|last (warm|step of the warm|of)|reach|warm-?up",
    """
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * step / (rising + 1)
    progress = (step - 1 - rising) / (steps - rising)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
""",
)
schedule.wrong(
    "warm-up one step short",
    "< instead of <=: the last warm-up step is already in the cosine, one step before its start",
    r"<=|≤|last (warm|step of the warm|of)|off by one|boundary|\bpeak\b|"
    r"warm-?up.*(short|last)|strict",
    """
    rising = math.ceil(warmup * steps)
    if step < rising:
        return peak * step / rising
    progress = (step - 1 - rising) / (steps - rising)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
""",
)
schedule.wrong(
    "linear fall",
    "half a cosine, not a line",
    r"cos|linear|line",
    """
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * step / rising
    return peak * (1 - (step - 1 - rising) / (steps - rising))
""",
)
schedule.wrong(
    "a whole cosine",
    "half a cosine: π, not 2π",
    r"half|2 ?[·*]? ?(π|pi)|\bpi\b|π|whole|rises again|full",
    """
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * step / rising
    progress = (step - 1 - rising) / (steps - rising)
    return peak * (1 + math.cos(2 * math.pi * progress)) / 2
""",
)
schedule.wrong(
    "a quarter of a cosine",
    "half a cosine, (1 + cos πp) / 2, not cos(πp / 2)",
    r"half|quarter|1 ?\+ ?(math\.)?cos|(π|pi) ?/ ?2|shape of the (fall|cosine)|cosine",
    """
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * step / rising
    progress = (step - 1 - rising) / (steps - rising)
    return peak * math.cos(math.pi / 2 * progress)
""",
)
schedule.wrong(
    "bare cosine",
    "0.5 · (1 + cos) is missing: the rate gets negative",
    r"negative|below zero|1 ?\+ ?(math\.)?cos|0\.5|half|minus",
    """
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * step / rising
    return peak * math.cos(math.pi * (step - 1 - rising) / (steps - rising))
""",
)
schedule.wrong(
    "progress over all steps",
    "the fall takes steps − rising steps, not steps",
    r"steps ?[-−] ?(rising|warm)|all steps|whole (run|training)|zero|reach|after the warm|"
    r"progress|remaining|too (slow|long)",
    """
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * step / rising
    progress = (step - 1 - rising) / steps
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
""",
)
schedule.wrong(
    "cosine from step 1",
    "the cosine starts after the warm-up",
    r"start|after (the warm|them)|begin|peak again|first step after|progress|subtract|rising",
    """
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * step / rising
    return peak * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))
""",
)
schedule.open(
    "without warm-up one step of it all the same",
    "differs for warmup = 0 only; the text speaks of a last warm-up step as if there were one",
    """
    rising = max(1, math.ceil(warmup * steps))
    if step <= rising:
        return peak * step / rising
    progress = (step - 1 - rising) / (steps - rising)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
""",
)
schedule.wrong(
    "warmup as a number of steps",
    "warmup is a share of the steps",
    r"share|fraction|warmup ?[·*×] ?steps|number of (warm-?up )?steps|per ?cent|⌈|ceil|"
    r"part of the steps",
    """
    rising = math.ceil(warmup)
    if step <= rising:
        return peak * step / rising
    progress = (step - 1 - rising) / (steps - rising)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
""",
)
schedule.wrong(
    "integer division in the warm-up",
    "step // rising is 0 until the last step of the warm-up",
    r"//|integer|whole|linear|rise|zero|cut|floor",
    """
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * (step // rising)
    progress = (step - 1 - rising) / (steps - rising)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
""",
)
schedule.wrong(
    "peak forgotten in the cosine",
    "the cosine is not multiplied by the peak",
    r"peak",
    """
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * step / rising
    progress = (step - 1 - rising) / (steps - rising)
    return 0.5 * (1 + math.cos(math.pi * progress))
""",
)
schedule.wrong(
    "never below a tenth",
    "the fall goes to zero, not to a tenth of the peak",
    r"zero|tenth|floor|minimum|10 ?%|0\.1|lowest|low",
    """
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * step / rising
    progress = (step - 1 - rising) / (steps - rising)
    return max(0.1 * peak, peak * 0.5 * (1 + math.cos(math.pi * progress)))
""",
)
schedule.wrong(
    "rounded down, and zero at the end",
    "the warm-up is rounded down and the last step has a rate of zero",
    r"ceil|⌈|round|zero|last step|after the last|progress",
    """
    rising = math.floor(warmup * steps)
    if step <= rising:
        return peak * step / rising
    progress = (step - rising) / (steps - rising)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
""",
)
schedule.wrong(
    "no return after the warm-up",
    "the second branch returns nothing",
    r"return|None",
    """
    rising = math.ceil(warmup * steps)
    if step <= rising:
        rate = peak * step / rising
        return rate
    else:
        progress = (step - 1 - rising) / (steps - rising)
        rate = peak * 0.5 * (1 + math.cos(math.pi * progress))
""",
)
schedule.wrong(
    "torch.cos on a number",
    "torch.cos takes a tensor: math.cos",
    r"torch\.cos|math\.cos|tensor|TypeError",
    """
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * step / rising
    progress = (step - 1 - rising) / (steps - rising)
    return peak * 0.5 * (1 + torch.cos(torch.pi * progress))
""",
)
schedule.right(
    "two pieces",
    """
    rising = math.ceil(warmup * steps)
    if step <= rising:
        return peak * step / rising
    progress = (step - 1 - rising) / (steps - rising)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
""",
)
schedule.right(
    "squared cosine of the half angle",
    """
    rising = -int(-(warmup * steps) // 1)
    gone = step - rising
    if gone <= 0:
        return step * peak / rising
    angle = math.pi / 2 * (gone - 1) / (steps - rising)
    return peak * math.cos(angle) ** 2
""",
)
schedule.right(
    "the whole list of rates",
    """
    n = math.ceil(warmup * steps)
    up = [peak * (k + 1) / n for k in range(n)]
    m = steps - n
    down = [peak * (1 + math.cos(math.pi * k / m)) / 2 for k in range(m)]
    return (up + down)[step - 1]
""",
)
schedule.right(
    "linspace",
    """
    rising = int(np.ceil(warmup * steps))
    warm = np.linspace(0, peak, rising + 1)[1:]
    cool = peak * (0.5 + 0.5 * np.cos(np.linspace(0, np.pi, steps - rising + 1)[:-1]))
    return float(np.concatenate([warm, cool])[step - 1])
""",
)
schedule.right(
    "one minus a squared sine, remaining steps",
    """
    rising = math.ceil(steps * warmup)
    if rising >= step:
        return peak / rising * step
    falling = steps - rising
    left = steps + 1 - step
    return peak * math.sin(math.pi * left / (2 * falling)) ** 2
""",
)
schedule.right(
    "tensor in double precision, item at the end",
    """
    rising = math.ceil(warmup * steps)
    number = torch.arange(1, steps + 1, dtype=torch.float64)
    line = number / max(rising, 1)
    half = 0.5 + 0.5 * torch.cos(torch.pi * (number - 1 - rising) / max(steps - rising, 1))
    return peak * torch.where(number <= rising, line, half)[step - 1].item()
""",
)
schedule.open(
    "ceiling of the exact product",
    "0.07 · 100 is a little above 7 in floating point: 7 steps here, 8 by math.ceil",
    """
    rising = math.ceil(round(warmup * steps, 9))
    if step <= rising:
        return peak * step / rising
    progress = (step - 1 - rising) / (steps - rising)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
""",
)

# ---------------------------------------------------------------- practice.accumulate

accumulate = Exercise(
    "practice.accumulate",
    "def accumulate(model: nn.Module, parts: list[tuple[Tensor, Tensor]]) -> float:",
)
accumulate.wrong(
    "mean of means",
    "each part counts the same, however many targets it holds",
    r"mean of means|each part|parts? (the same|alike|equal)|same weight|number of parts|"
    r"per part|targets of all parts",
    """
    total = 0.0
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, ignore_index=-100) / len(parts)
        loss.backward()
        total += loss.item()
    return total
""",
)
accumulate.wrong(
    "sum",
    "not divided by the number of targets",
    r"divi|\bsum\b|mean|number of targets",
    """
    total = 0.0
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, ignore_index=-100, reduction="sum")
        loss.backward()
        total += loss.item()
    return total
""",
)
accumulate.wrong(
    "divided by all rows",
    "rows labelled -100 are no targets and must not be counted",
    r"-100|−100|ignored|no targets?|all rows|not a target|only (the )?targets|number of targets",
    """
    rows = sum(len(labels) for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, ignore_index=-100, reduction="sum") / rows
        loss.backward()
        total += float(loss)
    return total
""",
)
accumulate.wrong(
    "parts weighed by their rows",
    "parts have to be weighed by their targets, not by their rows",
    r"-100|−100|ignored|rows|number of targets|targets",
    """
    rows = sum(labels.numel() for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels) * labels.numel() / rows
        loss.backward()
        total += loss.item()
    return total
""",
)
accumulate.wrong(
    "mean times targets",
    "a part without targets has a mean of NaN",
    r"nan|no targets?|without (any )?targets?|empty|only -100|all -100|0 ?/ ?0",
    """
    counts = [(labels != -100).sum().item() for _, labels in parts]
    total = 0.0
    for (x, labels), count in zip(parts, counts):
        loss = F.cross_entropy(model(x), labels, ignore_index=-100) * count / sum(counts)
        loss.backward()
        total += loss.item()
    return total
""",
)
accumulate.wrong(
    "divided by the targets so far",
    "all targets have to be counted before the first backward",
    r"before the first|so far|all parts|running|first part|total number|all targets|count.*first",
    """
    targets, total = 0, 0.0
    for x, labels in parts:
        targets += (labels != -100).sum().item()
        loss = F.cross_entropy(model(x), labels, ignore_index=-100, reduction="sum")
        (loss / targets).backward()
        total += loss.item()
    return total / targets
""",
)
accumulate.wrong(
    "gradients cleared for each part",
    "zero_grad inside the loop throws the earlier parts away",
    r"zero_grad|clear|last part|earlier parts|thrown away|only the last|add up|overwrit|reset",
    """
    targets = sum((labels != -100).sum().item() for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        model.zero_grad()
        loss = F.cross_entropy(model(x), labels, ignore_index=-100, reduction="sum") / targets
        loss.backward()
        total += loss.item()
    return total
""",
)
accumulate.wrong(
    "gradients cleared at the end",
    "zero_grad after the loop: nothing is left in .grad",
    r"zero_grad|clear|no gradient|\.grad|empty|None|left|zero",
    """
    targets = sum((labels != -100).sum().item() for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, ignore_index=-100, reduction="sum") / targets
        loss.backward()
        total += loss.item()
    model.zero_grad()
    return total
""",
)
accumulate.wrong(
    "no backward",
    "backward() is missing",
    r"backward|no gradient|\.grad|None",
    """
    targets = sum((labels != -100).sum().item() for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, ignore_index=-100, reduction="sum") / targets
        total += loss.item()
    return total
""",
)
accumulate.wrong(
    "only the last part goes back",
    "backward() stands outside the loop: only the last part's gradient",
    r"last part|outside|indent|each part|every part|loop|parts are missing|add up|one part",
    """
    targets = sum((labels != -100).sum().item() for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, ignore_index=-100, reduction="sum") / targets
        total += loss.item()
    loss.backward()
    return total
""",
)
accumulate.wrong(
    "right gradients, mean of means returned",
    "the returned number is a mean of means",
    r"return|mean of means|each part|same weight|mean",
    """
    targets = sum((labels != -100).sum().item() for _, labels in parts)
    losses = []
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, ignore_index=-100, reduction="sum")
        (loss / targets).backward()
        losses.append(loss.item() / max((labels != -100).sum().item(), 1))
    return sum(losses) / len(losses)
""",
)
accumulate.wrong(
    "right gradients, last loss returned",
    "only the last part's loss is returned",
    r"return|last part|add|all parts|mean",
    """
    targets = sum((labels != -100).sum().item() for _, labels in parts)
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, ignore_index=-100, reduction="sum") / targets
        loss.backward()
    return loss.item()
""",
)
accumulate.wrong(
    "right mean, gradient of the sum",
    "the gradient is that of the sum: divide before backward()",
    r"gradient|backward|divi|\bsum\b|\.grad",
    """
    total, targets = 0.0, 0
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, ignore_index=-100, reduction="sum")
        loss.backward()
        total += loss.item()
        targets += int((labels != -100).sum())
    return total / targets
""",
)
accumulate.wrong(
    "class 0 not counted",
    "class 0 is a target: only -100 is none",
    r"class 0|label 0|zero|-100|−100|> ?0|number of targets",
    """
    targets = sum((labels > 0).sum().item() for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, ignore_index=-100, reduction="sum") / targets
        loss.backward()
        total += loss.item()
    return total
""",
)
accumulate.wrong(
    "all parts in one",
    "the model gets one part at a time",
    r"one part|at a time|at once|concat|\bcat\b|separately|all parts|in (small )?parts|calls?",
    """
    x = torch.cat([part[0] for part in parts])
    labels = torch.cat([part[1] for part in parts])
    loss = F.cross_entropy(model(x), labels, ignore_index=-100)
    loss.backward()
    return loss.item()
""",
)
accumulate.wrong(
    "softmax first",
    "cross_entropy takes logits, not probabilities",
    r"softmax|logit|probabilit",
    """
    targets = sum((labels != -100).sum().item() for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        probabilities = model(x).softmax(dim=-1)
        loss = F.cross_entropy(probabilities, labels, ignore_index=-100, reduction="sum") / targets
        loss.backward()
        total += loss.item()
    return total
""",
)
accumulate.wrong(
    "a number goes back",
    ".item() before backward()",
    r"item|backward|float.*attribute|number|AttributeError",
    """
    targets = sum((labels != -100).sum().item() for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, ignore_index=-100, reduction="sum").item()
        loss = loss / targets
        loss.backward()
        total += loss
    return total
""",
)
accumulate.wrong(
    "the running sum goes back each time",
    "backward() of the running sum counts the earlier parts again",
    r"running|again|second time|twice|earlier parts|once|retain|freed|total.*backward|same graph",
    """
    targets = sum((labels != -100).sum().item() for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, ignore_index=-100, reduction="sum") / targets
        total = total + loss
        total.backward(retain_graph=True)
    return total.item()
""",
)
accumulate.wrong(
    "labels shifted",
    "each row of logits belongs to the label beside it: nothing is shifted",
    r"shift|off by one|row|beside|align|\[1:\]|\[:-1\]",
    """
    targets = sum((labels[1:] != -100).sum().item() for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        logits = model(x)[:-1]
        loss = F.cross_entropy(logits, labels[1:], ignore_index=-100, reduction="sum") / targets
        loss.backward()
        total += loss.item()
    return total
""",
)
accumulate.wrong(
    "also an optimizer's step",
    "the parameters are changed: only gradients are asked for",
    r"optimi[sz]er|step\(|parameters? (were|are|is|was|have)? ?(chang|mov|updat)|"
    r"weights? .*(chang|mov)|only .*gradient",
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    targets = sum((labels != -100).sum().item() for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, ignore_index=-100, reduction="sum") / targets
        loss.backward()
        total += loss.item()
    optimizer.step()
    return total
""",
)
accumulate.wrong(
    "sum over rows, cleared each time",
    "all rows are counted, and the earlier parts' gradients are cleared",
    r"zero_grad|clear|last part|earlier parts|-100|−100|rows|number of targets",
    """
    rows = sum(len(labels) for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        model.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x), labels, reduction="sum") / rows
        loss.backward()
        total += loss.item()
    return total
""",
)
accumulate.wrong(
    "no_grad around the model",
    "no_grad around the forward pass: nothing to go back through",
    r"no_grad|does not require grad|grad_fn|gradient|backward",
    """
    targets = sum((labels != -100).sum().item() for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        with torch.no_grad():
            logits = model(x)
        loss = F.cross_entropy(logits, labels, ignore_index=-100, reduction="sum") / targets
        loss.requires_grad_()
        loss.backward()
        total += loss.item()
    return total
""",
)
accumulate.right(
    "count first, then parts",
    """
    targets = sum((labels != -100).sum().item() for _, labels in parts)
    total = 0.0
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, ignore_index=-100, reduction="sum") / targets
        loss.backward()
        total += loss.item()
    return total
""",
)
accumulate.right(
    "gradients divided at the end",
    """
    total, targets = 0.0, 0
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, reduction="sum")
        loss.backward()
        total += loss.item()
        targets += int(labels.ne(-100).sum())
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad /= targets
    return total / targets
""",
)
accumulate.right(
    "log_softmax and gather on the rows that count",
    """
    n = int(torch.cat([labels for _, labels in parts]).ne(-100).sum())
    mean = 0.0
    for x, labels in parts:
        keep = labels != -100
        logs = model(x)[keep].log_softmax(dim=-1)
        loss = -logs.gather(1, labels[keep][:, None]).sum() / n
        loss.backward()
        mean += loss.item()
    return mean
""",
)
accumulate.right(
    "weights of the rows",
    """
    count = Counter(int(label) for _, labels in parts for label in labels)
    targets = sum(number for label, number in count.items() if label != -100)
    result = 0.0
    for x, labels in parts:
        each = F.cross_entropy(model(x), labels.clamp(min=0), reduction="none")
        loss = torch.dot(each, (labels != -100).to(each.dtype) / targets)
        loss.backward()
        result += loss.detach().item()
    return result
""",
)
accumulate.right(
    "autograd.grad",
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    targets = sum(int((labels != -100).sum()) for _, labels in parts)
    value = 0.0
    for x, labels in parts:
        loss = nn.CrossEntropyLoss(reduction="sum")(model(x), labels) / targets
        for p, g in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True)):
            if g is not None:
                p.grad = g if p.grad is None else p.grad + g
        value += loss.item()
    return value
""",
)
accumulate.right(
    "backward with a weight",
    """
    weights = [labels.ne(-100).sum().item() for _, labels in parts]
    losses = []
    for (x, labels), weight in zip(parts, weights):
        if weight == 0:
            continue
        loss = F.cross_entropy(model(x), labels)
        loss.backward(torch.tensor(weight / sum(weights), dtype=loss.dtype))
        losses.append(loss.item() * weight / sum(weights))
    return math.fsum(losses)
""",
)
accumulate.open(
    "one backward for all",
    "one part at a time through the model, but their graphs are all kept until one backward()",
    """
    targets = sum((labels != -100).sum() for _, labels in parts)
    losses = [F.cross_entropy(model(x), labels, reduction="sum") for x, labels in parts]
    loss = torch.stack(losses).sum() / targets
    loss.backward()
    return loss.item()
""",
)
accumulate.open(
    "a tensor returned",
    "the right mean as a tensor of one element",
    """
    targets = sum((labels != -100).sum() for _, labels in parts)
    total = torch.zeros(())
    for x, labels in parts:
        loss = F.cross_entropy(model(x), labels, reduction="sum") / targets
        loss.backward()
        total += loss.detach()
    return total
""",
)

# ---------------------------------------------------------------- practice.pack

pack = Exercise(
    "practice.pack",
    "def pack(sequences: list[list[int]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:",
)
pack.wrong(
    "causal only",
    "one text sees the texts before it",
    r"border|see|another text|other text|across|same text|block|earlier text|previous text|"
    r"between texts",
    """
    ids = torch.tensor([token for text in sequences for token in text])
    positions = torch.cat([torch.arange(len(text)) for text in sequences])
    labels = ids.masked_fill(positions == 0, -100)
    mask = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
    return ids, labels, positions, mask
""",
)
pack.wrong(
    "blocks without tril",
    "a token sees later tokens of its text",
    r"causal|later|future|tril|ahead|after it|triang",
    """
    ids = torch.tensor([token for text in sequences for token in text])
    positions = torch.cat([torch.arange(len(text)) for text in sequences])
    labels = torch.where(positions == 0, -100, ids)
    owner = torch.repeat_interleave(
        torch.arange(len(sequences)), torch.tensor([len(text) for text in sequences])
    )
    return ids, labels, positions, owner[:, None] == owner[None, :]
""",
)
pack.wrong(
    "triu",
    "mask[i, j]: i attends to j, so j may not be later",
    r"triu|transpos|\bi\b.*\bj\b|later|future|causal|other way|wrong way|row|ahead|triang",
    """
    ids = torch.tensor([token for text in sequences for token in text])
    positions = torch.cat([torch.arange(len(text)) for text in sequences])
    labels = torch.where(positions == 0, -100, ids)
    blocks = [torch.ones(len(text), len(text)).triu() for text in sequences]
    return ids, labels, positions, torch.block_diag(*blocks).bool()
""",
)
pack.wrong(
    "without itself",
    "a position attends to itself too",
    r"itself|diagonal|own position|j ?(<=|≤) ?i|tril\(-1|strict|own token",
    """
    ids = torch.tensor([token for text in sequences for token in text])
    positions = torch.cat([torch.arange(len(text)) for text in sequences])
    labels = torch.where(positions == 0, -100, ids)
    blocks = [torch.ones(len(text), len(text)).tril(-1) for text in sequences]
    return ids, labels, positions, torch.block_diag(*blocks).bool()
""",
)
pack.wrong(
    "mask inverted",
    "True means: may attend",
    r"invert|opposite|True (means|is|where)|negat|may attend|~|flipped|other way",
    """
    ids = torch.tensor([token for text in sequences for token in text])
    positions = torch.cat([torch.arange(len(text)) for text in sequences])
    labels = torch.where(positions == 0, -100, ids)
    blocks = [torch.ones(len(text), len(text)).tril() for text in sequences]
    return ids, labels, positions, torch.block_diag(*blocks) == 0
""",
)
pack.wrong(
    "mask of numbers",
    "the mask has to be of bool",
    r"bool|dtype|float",
    """
    ids = torch.tensor([token for text in sequences for token in text])
    positions = torch.cat([torch.arange(len(text)) for text in sequences])
    labels = torch.where(positions == 0, -100, ids)
    blocks = [torch.ones(len(text), len(text)).tril() for text in sequences]
    return ids, labels, positions, torch.block_diag(*blocks)
""",
)
pack.wrong(
    "labels shifted",
    "labels are not shifted here",
    r"shift|next token|labels\[t\]",
    """
    ids, labels, positions, blocks = [], [], [], []
    for text in sequences:
        ids += text
        labels += text[1:] + [-100]
        positions += range(len(text))
        blocks.append(torch.ones(len(text), len(text), dtype=torch.bool).tril())
    mask = torch.block_diag(*blocks).bool()
    return torch.tensor(ids), torch.tensor(labels), torch.tensor(positions), mask
""",
)
pack.wrong(
    "only the row's first token without label",
    "the first token of every text has no label",
    r"(first|start).*(each|every|text|later)|(each|every) text.*(first|label|-100)|"
    r"nothing can predict|no earlier",
    """
    ids = torch.tensor([token for text in sequences for token in text])
    labels = ids.clone()
    labels[0] = -100
    positions = torch.cat([torch.arange(len(text)) for text in sequences])
    blocks = [torch.ones(len(text), len(text)).tril() for text in sequences]
    return ids, labels, positions, torch.block_diag(*blocks).bool()
""",
)
pack.wrong(
    "no label for the last token",
    "the first token of a text has no label, not the last",
    r"first|last|no earlier|shift|nothing can predict",
    """
    ids = torch.tensor([token for text in sequences for token in text])
    labels = ids.clone()
    end = 0
    for text in sequences:
        end += len(text)
        labels[end - 1] = -100
    positions = torch.cat([torch.arange(len(text)) for text in sequences])
    blocks = [torch.ones(len(text), len(text)).tril() for text in sequences]
    return ids, labels, positions, torch.block_diag(*blocks).bool()
""",
)
pack.wrong(
    "positions run on",
    "positions start at 0 in each text",
    r"position",
    """
    ids = torch.tensor([token for text in sequences for token in text])
    labels, start = ids.clone(), 0
    mask = torch.zeros(len(ids), len(ids), dtype=torch.bool)
    for text in sequences:
        end = start + len(text)
        labels[start] = -100
        mask[start:end, start:end] = torch.ones(len(text), len(text)).tril().bool()
        start = end
    return ids, labels, torch.arange(len(ids)), mask
""",
)
pack.wrong(
    "positions from 1",
    "positions start at 0",
    r"position",
    """
    ids = torch.tensor([token for text in sequences for token in text])
    positions = torch.cat([torch.arange(1, len(text) + 1) for text in sequences])
    labels = ids.masked_fill(positions == 1, -100)
    blocks = [torch.ones(len(text), len(text)).tril() for text in sequences]
    return ids, labels, positions, torch.block_diag(*blocks).bool()
""",
)
pack.wrong(
    "labels are the ids",
    "labels and ids are one tensor: the -100 is in the ids too",
    r"clone|copy|same (tensor|object|memory)|alias|one tensor|\bids\b.*-100|-100.*\bids\b|"
    r"in place|\bids\b",
    """
    ids = torch.tensor([token for text in sequences for token in text])
    positions = torch.cat([torch.arange(len(text)) for text in sequences])
    labels = ids
    labels[positions == 0] = -100
    blocks = [torch.ones(len(text), len(text)).tril() for text in sequences]
    return ids, labels, positions, torch.block_diag(*blocks).bool()
""",
)
pack.wrong(
    "texts of one length are one",
    "texts of the same length get the same number and see each other",
    r"(same|equal) length|number of (its|the|each) text|border|another text|other text|across",
    """
    lengths = torch.tensor([len(text) for text in sequences])
    ids = torch.tensor(sum(sequences, []))
    owner = lengths.repeat_interleave(lengths)
    positions = torch.cat([torch.arange(n) for n in lengths.tolist()])
    labels = ids.masked_fill(positions == 0, -100)
    return ids, labels, positions, (owner[:, None] == owner).tril()
""",
)
pack.wrong(
    "equal texts are one",
    "list.index finds the first of two equal texts, so they see each other",
    r"(same|equal|identical|twice|repeated|duplicate).*text|"
    r"text.*(twice|repeated|identical|equal)|index\(|border|another text|other text|across",
    """
    ids, labels, positions, owner = [], [], [], []
    for text in sequences:
        for position, token in enumerate(text):
            ids.append(token)
            labels.append(token if position else -100)
            positions.append(position)
            owner.append(sequences.index(text))
    owner = torch.tensor(owner)
    mask = (owner[:, None] == owner).tril()
    return torch.tensor(ids), torch.tensor(labels), torch.tensor(positions), mask
""",
)
pack.wrong(
    "no label wherever the first token comes again",
    "only the first place has no label, not every place with that token",
    r"repeat|again|twice|by value|same (token|value)|only the first (token|position|place)|"
    r"comes back",
    """
    ids = torch.tensor([token for text in sequences for token in text])
    positions = torch.cat([torch.arange(len(text)) for text in sequences])
    labels = []
    for text in sequences:
        labels += [-100 if token == text[0] else token for token in text]
    blocks = [torch.ones(len(text), len(text)).tril() for text in sequences]
    return ids, torch.tensor(labels), positions, torch.block_diag(*blocks).bool()
""",
)
pack.wrong(
    "two texts only",
    "written for two texts",
    r"two texts|number of texts|any number|more than two|single text|one text|three|"
    r"IndexError|hard|all (the )?texts",
    """
    a, b = sequences[0], sequences[1]
    ids = torch.tensor(a + b)
    labels = torch.tensor([-100] + a[1:] + [-100] + b[1:])
    positions = torch.tensor([*range(len(a)), *range(len(b))])
    mask = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
    mask[len(a) :, : len(a)] = False
    return ids, labels, positions, mask
""",
)
pack.wrong(
    "start is the previous text's length",
    "a text starts after all earlier ones, not after the length of the previous one",
    r"start|offset|cumul|third|previous|border|\+=|all earlier|wrong (place|block)",
    """
    ids = torch.tensor([token for text in sequences for token in text])
    positions = torch.cat([torch.arange(len(text)) for text in sequences])
    labels = ids.masked_fill(positions == 0, -100)
    mask = torch.zeros(len(ids), len(ids), dtype=torch.bool)
    start = 0
    for text in sequences:
        end = start + len(text)
        for i in range(start, end):
            mask[i, start : i + 1] = True
        start = len(text)
    return ids, labels, positions, mask
""",
)
pack.wrong(
    "a text of one token left out",
    "a text of a single token has no label, but it is in the row",
    r"single|one token|length (of )?1|short|left out|missing|dropped|skip|\bT\b|every text|"
    r"all (the )?texts",
    """
    texts = [text for text in sequences if len(text) > 1]
    ids = torch.tensor([token for text in texts for token in text])
    positions = torch.cat([torch.arange(len(text)) for text in texts])
    labels = ids.masked_fill(positions == 0, -100)
    blocks = [torch.ones(len(text), len(text)).tril() for text in texts]
    return ids, labels, positions, torch.block_diag(*blocks).bool()
""",
)
pack.wrong(
    "positions before labels",
    "the order is ids, labels, positions, mask",
    r"order|swap|exchang|labels.*positions|positions.*labels",
    """
    ids = torch.tensor([token for text in sequences for token in text])
    positions = torch.cat([torch.arange(len(text)) for text in sequences])
    labels = ids.masked_fill(positions == 0, -100)
    blocks = [torch.ones(len(text), len(text)).tril() for text in sequences]
    return ids, positions, labels, torch.block_diag(*blocks).bool()
""",
)
pack.wrong(
    "padded rows",
    "one row for all texts, not a padded row for each",
    r"pad|one row|shape|\(T,?\)|2-D|one after the other|two dim|dimension|flat",
    """
    longest = max(len(text) for text in sequences)
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for k, text in enumerate(sequences):
        ids[k, : len(text)] = torch.tensor(text)
        labels[k, 1 : len(text)] = torch.tensor(text[1:])
    positions = torch.arange(longest).expand_as(ids)
    mask = torch.ones(longest, longest, dtype=torch.bool).tril()
    return ids, labels, positions, mask
""",
)
pack.wrong(
    "lists instead of tensors",
    "ids, labels and positions have to be tensors",
    r"tensor|list",
    """
    ids = [token for text in sequences for token in text]
    labels = [t if k else -100 for text in sequences for k, t in enumerate(text)]
    positions = [k for text in sequences for k in range(len(text))]
    blocks = [torch.ones(len(text), len(text)).tril() for text in sequences]
    return ids, labels, positions, torch.block_diag(*blocks).bool()
""",
)
pack.wrong(
    "-1 for no label, and positions run on",
    "the mark is -100, and positions start again in each text",
    r"-100|−100|position|-1\b|−1\b",
    """
    ids = torch.tensor([token for text in sequences for token in text])
    owner = torch.tensor([k for k, text in enumerate(sequences) for _ in text])
    labels = ids.clone()
    labels[0] = -1
    labels[1:][owner[1:] != owner[:-1]] = -1
    mask = (owner[:, None] == owner).tril()
    return ids, labels, torch.arange(len(ids)), mask
""",
)
pack.wrong(
    "misspelt function",
    "torch.block_diagonal does not exist: block_diag",
    r"block_diag|AttributeError|no attribute",
    """
    ids = torch.tensor([token for text in sequences for token in text])
    positions = torch.cat([torch.arange(len(text)) for text in sequences])
    labels = ids.masked_fill(positions == 0, -100)
    blocks = [torch.ones(len(text), len(text)).tril() for text in sequences]
    return ids, labels, positions, torch.block_diagonal(*blocks).bool()
""",
)
pack.right(
    "owners compared",
    """
    lengths = [len(text) for text in sequences]
    ids = torch.tensor([token for text in sequences for token in text])
    owner = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    positions = torch.cat([torch.arange(n) for n in lengths])
    labels = ids.masked_fill(positions == 0, -100)
    return ids, labels, positions, (owner[:, None] == owner).tril()
""",
)
pack.right(
    "block_diag",
    """
    ids = torch.cat([torch.tensor(text) for text in sequences])
    labels = torch.cat([torch.tensor([-100, *text[1:]]) for text in sequences])
    positions = torch.cat([torch.arange(len(text)) for text in sequences])
    blocks = [torch.ones(len(text), len(text)).tril() for text in sequences]
    return ids, labels, positions, torch.block_diag(*blocks).bool()
""",
)
pack.right(
    "loops over all pairs",
    """
    flat = [(k, p, token) for k, text in enumerate(sequences) for p, token in enumerate(text)]
    ids = torch.tensor([token for _, _, token in flat])
    labels = torch.tensor([-100 if p == 0 else token for _, p, token in flat])
    positions = torch.tensor([p for _, p, _ in flat])
    mask = torch.tensor([[k == m and q <= p for m, q, _ in flat] for k, p, _ in flat])
    return ids, labels, positions, mask
""",
)
pack.right(
    "starts by cummax",
    """
    ids = torch.tensor(list(itertools.chain.from_iterable(sequences)))
    T = len(ids)
    starts = [0, *itertools.accumulate(len(text) for text in sequences)][:-1]
    here = torch.arange(T)
    marks = torch.zeros(T, dtype=torch.long)
    marks[starts] = torch.tensor(starts)
    begin = marks.cummax(dim=0).values
    labels = torch.where(here == begin, torch.full_like(ids, -100), ids)
    mask = (here[None, :] <= here[:, None]) & (here[None, :] >= begin[:, None])
    return ids, labels, here - begin, mask
""",
)
pack.right(
    "slices filled in",
    """
    T = sum(map(len, sequences))
    ids = torch.empty(T, dtype=torch.long)
    labels = torch.full((T,), -100)
    positions = torch.zeros(T, dtype=torch.long)
    mask = torch.zeros(T, T, dtype=torch.bool)
    a = 0
    for text in sequences:
        b = a + len(text)
        ids[a:b] = torch.tensor(text)
        labels[a + 1 : b] = ids[a + 1 : b]
        positions[a:b] = torch.arange(b - a)
        for i in range(a, b):
            mask[i, a : i + 1] = True
        a = b
    return ids, labels, positions, mask
""",
)
pack.right(
    "numpy",
    """
    ids = np.concatenate([np.asarray(text, dtype=np.int64) for text in sequences])
    owner = np.repeat(np.arange(len(sequences)), [len(text) for text in sequences])
    positions = np.concatenate([np.arange(len(text)) for text in sequences])
    labels = np.where(positions > 0, ids, -100)
    mask = np.tril(np.equal.outer(owner, owner))
    return tuple(map(torch.from_numpy, (ids, labels, positions, mask)))
""",
)
pack.open(
    "an empty text gets a label",
    "right for texts with tokens; an empty text, if that is one, gets a label of its own",
    """
    ids, labels, positions, owner = [], [], [], []
    for k, text in enumerate(sequences):
        ids += text
        labels += [-100] + text[1:]
        positions += range(len(text))
        owner += [k] * len(text)
    owner = torch.tensor(owner)
    mask = (owner[:, None] == owner).tril()
    return torch.tensor(ids), torch.tensor(labels), torch.tensor(positions), mask
""",
)
pack.open(
    "the caller's lists changed",
    "right results, but -100 is written into the texts themselves; the text does not forbid it",
    """
    ids = torch.tensor([token for text in sequences for token in text])
    positions = torch.cat([torch.arange(len(text)) for text in sequences])
    blocks = [torch.ones(len(text), len(text)).tril() for text in sequences]
    for text in sequences:
        text[0] = -100
    labels = torch.tensor([token for text in sequences for token in text])
    return ids, labels, positions, torch.block_diag(*blocks).bool()
""",
)

EXERCISES = (count, scale, choose, ratio, allocate, schedule, accumulate, pack)
