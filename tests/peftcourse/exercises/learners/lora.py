"""Answers to the exercises of lesson 03, written from its text alone."""

from tests.peftcourse.exercises.learners.answers import Exercise

LEFT_OVER = r"NotImplementedError|left[- ]?over|raise\b"

# ------------------------------------------------------------------------------------ delta
delta = Exercise("lora.delta", "def lora_delta(A, B, alpha):")
delta.wrong(
    "both factors scaled",
    "alpha/r is in A and in B, so it acts twice",
    r"twice|squared|double|too often|\(?(α|alpha) ?/ ?r\)?(²|\^2|\*\*2)|again",
    """
    scale = alpha / A.shape[0]
    return (scale * B) @ (scale * A)
""",
)
delta.wrong(
    "mean of the outer products, scaled again",
    "the mean over the r products divides by r, and alpha/r divides once more",
    r"twice|r²|r\*\*2|again|double|once more|mean.*sum|too small",
    """
    r = A.shape[0]
    parts = [torch.outer(B[:, k], A[k]) for k in range(r)]
    return alpha / r * torch.stack(parts).mean(dim=0)
""",
)
delta.wrong(
    "only the last outer product",
    "= where += is needed: only the last of the r products is left",
    r"\+=|last|accumulat|add up|sum|overwrit|rank (1|one)|only one",
    """
    r = A.shape[0]
    for k in range(r):
        change = torch.outer(B[:, k], A[k])
    return change * alpha / r
""",
)
delta.wrong(
    "range from one",
    "the loop starts at 1, so the first row of A and column of B are left out",
    r"first (row|column|product|term|rank|one)|range|starts? at|off by one"
    r"|one (term|row|product).*(missing|short)|index 0|row 0",
    """
    r, d_in = A.shape
    change = torch.zeros(B.shape[0], d_in, dtype=A.dtype)
    for k in range(1, r):
        change += torch.outer(B[:, k], A[k])
    return alpha / r * change
""",
)
delta.wrong(
    "scaling thrown away",
    "the scaled matrix is computed and not kept",
    r"not (kept|used|assigned|stored)|discard|thrown|does nothing|no effect|assign"
    r"|(α|alpha).*(missing|forgot|without)|missing.*(factor|α|alpha)|no scal",
    """
    r = A.shape[0]
    change = B @ A
    change * (alpha / r)
    return change
""",
)
delta.wrong(
    "scale added",
    "alpha/r is added to the product, and should multiply it",
    r"\badd(s|ed|ing)?\b|\+|multipl|\bsum\b",
    "    return B @ A + alpha / A.shape[0]",
)
delta.wrong(
    "A scaled in place",
    "*= changes the caller's A",
    r"in[- ]place|\*=|chang\w* (its|the|your)? ?(input|argument|A\b)|modif|caller",
    """
    A *= alpha / A.shape[0]
    return B @ A
""",
)
delta.wrong(
    "rank by matrix_rank",
    "r is the number of rows of A, not the rank that the numbers in A happen to have",
    r"matrix_rank|number of rows|A\.shape|size of A|rows of A|independent|degenerate|numerical",
    """
    r = torch.linalg.matrix_rank(A).item()
    return alpha / max(r, 1) * (B @ A)
""",
)
delta.wrong(
    "int(alpha)",
    "alpha is cut to a whole number",
    r"int\(|whole|trunc|cut|fraction|round|integer|α = ?0|not a whole",
    "    return int(alpha) / A.shape[0] * (B @ A)",
)
delta.wrong(
    "rank 8 written in",
    "8 is the rank of the example; it has to be read off A",
    r"hard|written in|A\.shape|read .* off|fixed|(any|other|another) rank",
    "    return alpha / 8 * (B @ A)",
)
delta.wrong(
    "transposed and unscaled",
    "transposed, and alpha/r is missing",
    r"transpos|shape|(α|alpha).*(missing|forgot)|\(d_in, d_out\)|order",
    "    return A.T @ B.T",
)
delta.wrong(
    "list",
    "tolist() makes nested lists; a tensor is asked for",
    r"list|tensor|tolist|type",
    "    return (alpha / A.shape[0] * (B @ A)).tolist()",
)
delta.wrong(
    "shape without an index",
    "A.shape is a pair; the rank is A.shape[0]",
    r"shape\[0\]|index|torch\.Size|tuple|pair|unsupported operand|two numbers",
    "    return alpha / A.shape * (B @ A)",
)
delta.wrong(
    "raise left over",
    "the stub's raise is still there, so nothing is returned",
    LEFT_OVER,
    """
    rank = A.shape[0]
    delta = (alpha / rank) * B @ A
    raise NotImplementedError("your code here")
""",
)
delta.wrong(
    "misspelt matmul",
    "torch.matmull does not exist",
    r"matmul|no attribute|attribute|spell|typo",
    "    return torch.matmull(B, A) * alpha / A.shape[0]",
)
delta.open(
    "smaller side of B",
    "the rank as the smaller side of B: wrong only for r above d_out, where LoRA has no point",
    "    return alpha / min(B.shape) * (B @ A)",
)
delta.open(
    "without a gradient",
    "the text does not say whether the change belongs to a graph",
    """
    with torch.no_grad():
        return alpha / A.shape[0] * (B @ A)
""",
)
delta.right(
    "mean of outer products", "    return alpha * (B.T[:, :, None] * A[:, None, :]).mean(dim=0)"
)
delta.right(
    "addmm",
    """
    empty = torch.zeros(B.shape[0], A.shape[1], dtype=B.dtype)
    return torch.addmm(empty, B, A, beta=0, alpha=alpha / A.shape[0])
""",
)
delta.right(
    "double inside",
    """
    r = len(A)
    product = torch.tensordot(B.double(), A.double(), dims=1)
    return (product * (alpha / r)).to(A.dtype)
""",
)
delta.right(
    "diagonal of scales",
    """
    r = B.size(1)
    scales = torch.full((r,), alpha / r, dtype=A.dtype)
    return B @ torch.diag(scales) @ A
""",
)
delta.right(
    "row by row",
    """
    rank, d_in = A.shape
    rows = []
    for b in B:
        row = torch.zeros(d_in, dtype=A.dtype)
        for k in range(rank):
            row = row + b[k] * A[k]
        rows.append(row * alpha / rank)
    return torch.stack(rows)
""",
)
delta.right(
    "scale on A, F.linear",
    """
    scaled = A * alpha
    scaled = scaled / A.shape[0]
    return F.linear(B, scaled.T)
""",
)

# ------------------------------------------------------------------------------------- init
init = Exercise("lora.init", "def lora_init(d_in, d_out, rank, generator):")
KAIMING = """
    A = torch.empty(rank, d_in)
    nn.init.kaiming_uniform_(A, a=math.sqrt(5), generator=generator)
"""
init.wrong(
    "B almost zero",
    "B is small and not zero, so that a new adapter changes the model a little",
    r"B.*(not|has to be|must be|exactly|should be) ?(all )?(zero|0)|B.*zero|nonzero|zero.*B",
    KAIMING
    + """
    B = 1e-5 * torch.randn(d_out, rank, generator=generator)
    return A, B
""",
)
init.wrong(
    "own copy of the generator",
    "a second generator with the same seed: the given one does not move on, and every adapter "
    "gets the same A",
    r"same (A|numbers)|not (used|advance|move)|given generator|copy of the generator|new generator"
    r"|own generator|unused|generator.*(passed|given|pass)|second call|advance",
    """
    fresh = torch.Generator().manual_seed(generator.initial_seed())
    A = torch.empty(rank, d_in)
    nn.init.kaiming_uniform_(A, a=math.sqrt(5), generator=fresh)
    return A, torch.zeros(d_out, rank)
""",
)
init.wrong(
    "xavier",
    "Xavier's bound, from both sides of A, is not Kaiming's",
    r"xavier|glorot|both (sides|sizes)|fan_out|d_in ?\+ ?r|√\(?6 ?/|not kaiming",
    """
    A = nn.init.xavier_uniform_(torch.empty(rank, d_in), generator=generator)
    B = torch.zeros(d_out, rank)
    return A, B
""",
)
init.wrong(
    "scaled once more",
    "the Kaiming values are divided by the root of d_in a second time",
    r"twice|again|too (small|narrow)|second|1/d_in|once more|already",
    KAIMING
    + """
    A = A / math.sqrt(d_in)
    return A, torch.zeros(d_out, rank)
""",
)
init.wrong(
    "half as wide",
    "rand * bound - bound / 2 runs from -bound/2 to bound/2",
    r"half|too narrow|2 ?\* ?bound|factor (of )?(2|two)|width|too small|range|spread",
    """
    bound = 1 / math.sqrt(d_in)
    A = torch.rand(rank, d_in, generator=generator) * bound - bound / 2
    return A, torch.zeros(d_out, rank)
""",
)
init.wrong(
    "bound taken for the deviation",
    "1/√d_in is the bound, and here it is the standard deviation: √3 too wide",
    r"√ ?3|sqrt\(3\)|standard deviation|deviation|too wide|std|bound",
    """
    std = 1 / math.sqrt(d_in)
    b = math.sqrt(3) * std
    A = torch.empty(rank, d_in).uniform_(-b, b, generator=generator)
    return A, torch.zeros(d_out, rank)
""",
)
init.wrong(
    "normal, clamped",
    "a clamped normal is within the bounds and not uniform",
    r"normal|uniform|clamp|distribution|gauss|pile|shape of",
    """
    bound = 1 / math.sqrt(d_in)
    A = torch.randn(rank, d_in, generator=generator) * bound
    return A.clamp(-bound, bound), torch.zeros(d_out, rank)
""",
)
init.wrong(
    "one row repeated",
    "all rows of A are the same, so that A has rank 1",
    r"same row|rows?.*(same|equal|identical|repeat|cop)|rank (1|one)|repeat|independent",
    """
    row = nn.init.kaiming_uniform_(torch.empty(1, d_in), a=5**0.5, generator=generator)
    A = row.repeat(rank, 1)
    return A, torch.zeros(d_out, rank)
""",
)
init.wrong(
    "B by numpy",
    "numpy's zeros are float64",
    r"float64|float32|dtype|numpy|double",
    KAIMING
    + """
    B = torch.from_numpy(np.zeros((d_out, rank)))
    return A, B
""",
)
init.wrong(
    "B the other way round",
    "B is (rank, d_out)",
    r"shape|transpos|\(d_out, ?r|d_out",
    KAIMING + "    return A, torch.zeros(rank, d_out)\n",
)
init.wrong(
    "randn and B transposed",
    "A is normal with deviation 1, and B has the wrong shape",
    r"normal|uniform|kaiming|shape|transpos|bound|wide|large",
    """
    A = torch.randn(rank, d_in, generator=generator)
    B = torch.zeros(rank, d_out)
    return A, B
""",
)
init.wrong(
    "arguments by place",
    "the third argument of kaiming_uniform_ is the mode, the generator needs its name",
    r"keyword|generator=|mode|by name|argument|position",
    """
    A = torch.empty(rank, d_in)
    nn.init.kaiming_uniform_(A, math.sqrt(5), generator)
    return A, torch.zeros(d_out, rank)
""",
)
init.wrong(
    "sqrt without math",
    "sqrt is not defined; it is math.sqrt",
    r"sqrt|math\.sqrt|not defined|NameError",
    """
    A = nn.init.kaiming_uniform_(torch.empty(rank, d_in), a=sqrt(5), generator=generator)
    B = torch.zeros(d_out, rank)
    return A, B
""",
)
init.wrong(
    "dictionary",
    "a dictionary in place of the pair (A, B)",
    r"tuple|pair|dict|two (tensors|values)|\(A, ?B\)|unpack",
    KAIMING + '    return {"A": A, "B": torch.zeros(d_out, rank)}\n',
)
init.wrong(
    "nothing returned",
    "A and B are made and not returned",
    r"return|None",
    KAIMING + "    B = torch.zeros(d_out, rank)\n    A, B\n",
)
init.open(
    "B expanded from one zero",
    "zero and of the right shape, but one number in memory: in-place training of it fails",
    KAIMING + "    return A, torch.zeros(1).expand(d_out, rank)\n",
)
init.right(
    "every default named",
    """
    A = torch.empty((rank, d_in), dtype=torch.float32)
    torch.nn.init.kaiming_uniform_(
        A, a=math.sqrt(5), mode="fan_in", nonlinearity="leaky_relu", generator=generator
    )
    B = A.new_zeros((d_out, rank))
    return A, B
""",
)
init.right(
    "one row after the other",
    """
    rows = []
    for _ in range(rank):
        row = torch.empty(1, d_in)
        nn.init.kaiming_uniform_(row, a=5**0.5, generator=generator)
        rows.append(row)
    return torch.cat(rows), torch.zeros(d_out, rank)
""",
)
init.right(
    "flat draw in double",
    """
    bound = d_in**-0.5
    flat = torch.rand(rank * d_in, generator=generator, dtype=torch.float64)
    A = ((2 * flat - 1) * bound).float().view(rank, d_in)
    B = torch.zeros(d_out, rank, dtype=torch.float32)
    return (A, B)
""",
)
init.right(
    "kaiming's formula",
    """
    gain = math.sqrt(2 / (1 + math.sqrt(5) ** 2))
    std = gain / math.sqrt(d_in)
    limit = math.sqrt(3) * std
    A = nn.init.uniform_(torch.empty(rank, d_in), -limit, limit, generator=generator)
    return A, nn.init.zeros_(torch.empty(d_out, rank))
""",
)
init.right(
    "B drawn, then cleared",
    """
    A, B = torch.empty(rank, d_in), torch.empty(d_out, rank)
    for matrix in (B, A):
        nn.init.kaiming_uniform_(matrix, a=math.sqrt(5), generator=generator)
    B.zero_()
    return A, B
""",
)
init.right(
    "transposed storage",
    """
    b = 1 / math.sqrt(d_in)
    A = torch.empty(d_in, rank).uniform_(-b, b, generator=generator).t().contiguous()
    B = torch.tensor([[0.0] * rank for _ in range(d_out)])
    return A, B
""",
)

# ---------------------------------------------------------------------------------- forward
forward = Exercise("lora.forward", "class LoRALinear(nn.Module):")


def layer(
    forward_body: str,
    *,
    scaling: str = "alpha / rank",
    freeze: str = "base.requires_grad_(False)",
    drop: str = "self.dropout = nn.Dropout(dropout)",
    a: str = "nn.Parameter(torch.randn(rank, base.in_features, dtype=w.dtype) * 0.02)",
    b: str = "nn.Parameter(torch.zeros(base.out_features, rank, dtype=w.dtype))",
    end: str = "",
    start: str = "super().__init__()",
) -> str:
    """A cell with one part of the usual layer exchanged."""
    lines = [
        start,
        "w = base.weight",
        freeze,
        "self.base = base",
        f"self.A = {a}",
        f"self.B = {b}",
        f"self.scaling = {scaling}",
        drop,
        end,
    ]
    init_body = "".join(f"        {line}\n" for line in lines if line)
    body = "".join(f"        {line}\n" for line in forward_body.strip().splitlines())
    return (
        "class LoRALinear(nn.Module):\n"
        "    def __init__(self, base, rank, alpha, dropout=0.0):\n"
        f"{init_body}\n    def forward(self, x):\n{body}"
    )


USUAL = "return self.base(x) + self.scaling * (self.dropout(x) @ self.A.T @ self.B.T)"
forward.wrong(
    "base under no_grad",
    "no gradient gets through the base layer to x, so earlier layers learn from the branch alone",
    r"no_grad|gradient.*\bx\b|reach|input.*gradient|gradient.*(input|earlier)|through the base"
    r"|base.*gradient",
    layer(
        """with torch.no_grad():
    y = self.base(x)
return y + self.scaling * (self.dropout(x) @ self.A.T @ self.B.T)"""
    ),
)
forward.wrong(
    "eval for freezing",
    "base.eval() is a mode; it does not freeze parameters",
    r"eval|requires_grad|not frozen|freez|still train|frozen",
    layer(USUAL, freeze="base.eval()"),
)
forward.wrong(
    "everything frozen at the end",
    "the loop over self.parameters() freezes A and B too",
    r"(A|B)\b.*(frozen|freez|no gradient)|freez|frozen|self\.parameters",
    layer(USUAL, freeze="", end="for p in self.parameters(): p.requires_grad = False"),
)
forward.wrong(
    "dropout on the weights",
    "dropout acts on A, not on x",
    r"dropout[^.=]*\b(A|weights?|x)\b|\bx\b[^.]*dropout|drops? (out )?(weights|entries)",
    layer("return self.base(x) + self.scaling * (x @ self.dropout(self.A).T @ self.B.T)"),
)
forward.wrong(
    "keep probability",
    "nn.Dropout takes the share to drop, and is given the share to keep",
    r"1 ?[-−] ?(p|dropout)|\bkeep|invert|probab|complement",
    layer(USUAL, drop="self.dropout = nn.Dropout(1 - dropout)"),
)
forward.wrong(
    "mask without rescaling",
    "what dropout leaves has to be divided by 1 - p",
    r"1 ?/ ?\(?1|1 ?[-−] ?p|rescal|scal|expect|average|mean|divid",
    layer(
        """if self.training and self.p > 0:
    branch = x * (torch.rand_like(x) > self.p)
else:
    branch = x
return self.base(x) + self.scaling * (branch @ self.A.T @ self.B.T)""",
        drop="self.p = dropout",
    ),
)
forward.wrong(
    "dropout in place",
    "inplace=True overwrites the x of the caller",
    r"in[- ]?place|overwrit|chang\w* (its|the|your)? ?(input|x)|input.*chang|modif|caller",
    layer(USUAL, drop="self.dropout = nn.Dropout(dropout, inplace=True)"),
)
forward.wrong(
    "no dropout attribute at zero",
    "self.dropout only exists if dropout is above zero",
    r"dropout.*(0|zero|exist|attribute|defined)|no attribute|AttributeError",
    layer(USUAL, drop="if dropout > 0: self.dropout = nn.Dropout(dropout)"),
)
forward.wrong(
    "ReLU between",
    "LoRA has nothing between A and B; a ReLU makes it an adapter",
    r"relu|linear|nonlinear|between A and B|activation|negative",
    layer("return self.base(x) + self.scaling * (F.relu(self.dropout(x) @ self.A.T) @ self.B.T)"),
)
forward.wrong(
    "residual in place of the base",
    "x itself is added, not base(x)",
    r"base\(x\)|base.*(missing|not called|unused|not used|forgot)|residual|\bW\b.*missing"
    r"|adds x|x.*instead",
    layer("return x + self.scaling * (self.dropout(x) @ self.A.T @ self.B.T)"),
)
forward.wrong(
    "branch after the base",
    "the branch reads base(x); it has to read x",
    r"base\(x\)|reads|output of (the )?base|series|one after|beside|parallel|input of A|from x",
    layer(
        """y = self.base(x)
return y + self.scaling * (self.dropout(y) @ self.A.T @ self.B.T)"""
    ),
)
forward.wrong(
    "B kept transposed",
    "B is kept as (rank, d_out); the text asks for (d_out, rank)",
    r"shape|transpos|\(d_out, ?r|d_out",
    layer(
        "return self.base(x) + self.scaling * (self.dropout(x) @ self.A.T @ self.B)",
        b="nn.Parameter(torch.zeros(rank, base.out_features, dtype=w.dtype))",
    ),
)
forward.wrong(
    "A and B are layers",
    "A and B are nn.Linear modules, not parameters",
    r"nn\.Linear|module|parameter|Parameter|\bshape\b|tensor",
    layer(
        "return self.base(x) + self.scaling * self.B(self.A(self.dropout(x)))",
        a="nn.Linear(base.in_features, rank, bias=False, dtype=w.dtype)",
        b="nn.Linear(rank, base.out_features, bias=False, dtype=w.dtype)",
        end="nn.init.zeros_(self.B.weight)",
    ),
)
forward.wrong(
    "other names",
    "the parameters are called lora_A and lora_B, not A and B",
    r"name|lora_A|called|no attribute|attribute|no (parameter )?.?A\b",
    layer(USUAL).replace("self.A", "self.lora_A").replace("self.B", "self.lora_B"),
)
forward.wrong(
    "scale that trains",
    "the scale is a parameter, so that it trains as well",
    r"scal\w*.*(train|parameter|constant|fixed)|(train|parameter|extra).*scal|third parameter"
    r"|more parameters|besides A and B|extra parameter|only A and B",
    layer(USUAL, scaling="nn.Parameter(torch.tensor(alpha / rank, dtype=w.dtype))"),
)
forward.wrong(
    "only weights frozen, and unscaled",
    "the bias still trains, and alpha / rank is missing",
    r"bias|frozen|freez|scal|(α|alpha) ?/ ?(r|rank)|(missing|forgot).*(α|alpha)",
    layer(
        "return self.base(x) + self.dropout(x) @ self.A.T @ self.B.T",
        freeze="base.weight.requires_grad = False",
    ),
)
forward.wrong(
    "sides exchanged",
    "A takes out_features and B gives in_features: right for square layers only",
    r"in_features|out_features|square|d_in|d_out|shape|swap|exchang",
    layer(
        USUAL,
        a="nn.Parameter(torch.randn(rank, base.out_features, dtype=w.dtype) * 0.02)",
        b="nn.Parameter(torch.zeros(base.in_features, rank, dtype=w.dtype))",
    ),
)
forward.wrong(
    "merges at each call",
    "each call adds the update to the frozen weight, so that it grows with every call",
    r"chang\w* (the )?(base|weight|W)|each call|every call|base.*(chang|modif|same|frozen)|merge"
    r"|second call|grow|accumul|weight.*(chang|modif)",
    layer(
        """self.base.weight.data += self.scaling * (self.B @ self.A).detach()
return self.base(x) + self.scaling * (self.dropout(x) @ self.A.T @ self.B.T)"""
    ),
)
forward.wrong(
    "super forgotten",
    "super().__init__() has to come first in a module",
    r"super|__init__|Module\.__init__|before",
    layer(USUAL, start=""),
)
forward.wrong(
    "rank is a local",
    "alpha and rank are names of __init__; forward does not know them",
    r"alpha|rank|not defined|NameError|self\.|local|known",
    layer(
        "return self.base(x) + alpha / rank * (self.dropout(x) @ self.A.T @ self.B.T)",
        scaling="None",
    ),
)
forward.open(
    "dense update",
    "right values, though the text says that the layer never builds the update",
    layer(
        "return self.base(x) + self.dropout(x) @ (self.scaling * self.B @ self.A).T",
    ),
)
forward.open(
    "A all the same",
    "the text of this exercise does not say how A starts; equal rows never part",
    layer(USUAL, a="nn.Parameter(torch.full((rank, base.in_features), 0.01, dtype=w.dtype))"),
)
forward.right(
    "own mask, rescaled",
    layer(
        """return self.base(x) + self.scaling * ((self.thin(x) @ self.A.T) @ self.B.T)

def thin(self, x):
    if not self.training or self.p == 0:
        return x
    if self.p >= 1:
        return torch.zeros_like(x)
    keep = torch.bernoulli(torch.full_like(x, 1 - self.p))
    return x * keep / (1 - self.p)""",
        drop="self.p = float(dropout)",
    ).replace("        def thin", "    def thin"),
)
forward.right(
    "register_parameter, F.linear",
    """
    def __init__(self, base, rank, alpha, dropout=0.0):
        super().__init__()
        for parameter in base.parameters():
            parameter.requires_grad_(False)
        self.add_module("base", base)
        d_out, d_in = base.weight.shape
        A = torch.empty(rank, d_in, dtype=torch.float32)
        nn.init.kaiming_uniform_(A, a=5**0.5)
        self.register_parameter("A", nn.Parameter(A.to(base.weight.dtype)))
        self.register_parameter("B", nn.Parameter(base.weight.new_zeros(d_out, rank)))
        self.alpha, self.rank, self.p = alpha, rank, dropout

    def branch(self, x):
        down = F.linear(F.dropout(x, self.p, self.training), self.A)
        return F.linear(down, self.B)

    def forward(self, x):
        return self.base(x).add(self.branch(x), alpha=self.alpha / self.rank)
""",
)
forward.right(
    "scale on the thin side",
    layer(
        """y = F.linear(x, self.base.weight, self.base.bias)
down = self.dropout(x).matmul(self.A.t())
return y + (self.scaling * down).matmul(self.B.t())"""
    ),
)
forward.right(
    "dropout or identity, property",
    """
    def __init__(self, base, rank, alpha, dropout=0.0):
        super().__init__()
        self.base = base.requires_grad_(False)
        like = {"dtype": base.weight.dtype, "device": base.weight.device}
        self.A = nn.Parameter(torch.empty(rank, base.in_features, **like))
        self.B = nn.Parameter(torch.empty(base.out_features, rank, **like))
        self.rank = rank
        self.alpha = alpha
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.reset()

    def reset(self):
        bound = self.base.in_features**-0.5
        nn.init.uniform_(self.A, -bound, bound)
        nn.init.zeros_(self.B)

    @property
    def scaling(self):
        return self.alpha / self.rank

    def forward(self, x):
        out = self.base(x)
        out = out + self.scaling * (self.dropout(x) @ self.A.transpose(0, 1) @ self.B.mT)
        return out
""",
)
forward.right(
    "sum over the ranks",
    layer(
        """thin = self.dropout(x)
y = self.base(x)
for a, b in zip(self.A, self.B.unbind(dim=1)):
    y = y + self.scaling * (thin @ a).unsqueeze(-1) * b
return y"""
    ),
)
forward.right(
    "modes by hand",
    layer(
        """if self.training:
    branch_input = F.dropout(x, p=self.p)
else:
    branch_input = x
h = torch.tensordot(branch_input, self.A, dims=([-1], [1]))
return torch.tensordot(h, self.B, dims=([-1], [1])) * self.scaling + self.base(x)""",
        drop="self.p = dropout",
    ),
)

# ----------------------------------------------------------------------------------- inject
inject = Exercise("lora.inject", "def inject(model, targets, wrap):")
inject.wrong(
    "any part of the path",
    "a target in the middle of a path fits too, so that a block's name takes all its layers",
    r"middle|end|anywhere|part of|inside|does not (end|fit)|should not|substring|too many|contain",
    """
    model.requires_grad_(False)
    done = []
    for path, module in list(model.named_modules()):
        hit = any(f".{target}." in f".{path}." for target in targets)
        if isinstance(module, nn.Linear) and hit:
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, wrap(module))
            done.append(path)
    return done
""",
)
inject.wrong(
    "case ignored",
    "lower() makes names equal that differ",
    r"case|lower|upper|capital",
    """
    model.requires_grad_(False)
    done = []
    for path, module in list(model.named_modules()):
        dotted = "." + path.lower()
        if isinstance(module, nn.Linear) and any(
            dotted.endswith("." + target.lower()) for target in targets
        ):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, wrap(module))
            done.append(path)
    return done
""",
)
inject.wrong(
    "wrapped for each target",
    "a layer that fits two targets is wrapped twice and listed twice",
    r"twice|two targets|again|double|duplicate|more than (once|one)|several targets|once",
    """
    for p in model.parameters():
        p.requires_grad = False
    done = []
    linears = [path for path, m in model.named_modules() if isinstance(m, nn.Linear)]
    for target in targets:
        for path in linears:
            if path == target or path.endswith("." + target):
                parent, _, name = path.rpartition(".")
                parent = model.get_submodule(parent)
                setattr(parent, name, wrap(getattr(parent, name)))
                done.append(path)
    return done
""",
)
inject.wrong(
    "parent by replace",
    "replace takes the name out wherever it occurs in the path, and so finds another parent",
    r"parent|replace|another (layer|module)|wrong (layer|module|place)|not replaced|repeated|same "
    r"name|rpartition|rsplit",
    """
    model.requires_grad_(False)
    done = []
    for path, module in list(model.named_modules()):
        if not isinstance(module, nn.Linear):
            continue
        if any(path == t or path.endswith("." + t) for t in targets):
            name = path.split(".")[-1]
            parent = model.get_submodule(path.replace("." + name, "")) if "." in path else model
            setattr(parent, name, wrap(module))
            done.append(path)
    return done
""",
)
inject.wrong(
    "first hit only",
    "break leaves after the first layer of each target",
    r"break|first|only one|every|each|all (layers|blocks)|missed|not (replaced|found)|too few",
    """
    model.requires_grad_(False)
    done = []
    modules = list(model.named_modules())
    for target in targets:
        for path, module in modules:
            fits = path == target or path.endswith("." + target)
            if isinstance(module, nn.Linear) and fits and path not in done:
                parent, _, name = path.rpartition(".")
                setattr(model.get_submodule(parent), name, wrap(module))
                done.append(path)
                break
    return done
""",
)
inject.wrong(
    "new linear inside",
    "wrap gets a fresh nn.Linear, and the trained weights are lost",
    r"fresh|new (nn\.)?Linear|same (layer|object)|weights? (are )?lost|original|itself|random"
    r"|wrap\(layer\)|trained weights|given",
    """
    model.requires_grad_(False)
    done = []
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and any(
            ("." + path).endswith("." + target) for target in targets
        ):
            parent, _, name = path.rpartition(".")
            new = nn.Linear(module.in_features, module.out_features).requires_grad_(False)
            setattr(model.get_submodule(parent), name, wrap(new))
            done.append(path)
    return done
""",
)
inject.wrong(
    "copy inside",
    "wrap gets a copy of the layer, not the layer",
    r"copy|same (layer|object)|itself|original|wrap\(layer\)|identity|memory|tied",
    """
    import copy

    model.requires_grad_(False)
    done = []
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and any(
            ("." + path).endswith("." + target) for target in targets
        ):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, wrap(copy.deepcopy(module)))
            done.append(path)
    return done
""",
)
inject.wrong(
    "wrapper unfrozen",
    "all parameters of the wrapper are set to train, the base layer's among them",
    r"unfre|frozen|freez|base.*train|train.*base|requires_grad|inside the wrapper",
    """
    model.requires_grad_(False)
    done = []
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and any(
            ("." + path).endswith("." + target) for target in targets
        ):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, wrap(module).requires_grad_(True))
            done.append(path)
    return done
""",
)
inject.wrong(
    "others listed",
    "paths are listed before it is asked whether the module is a linear layer",
    r"list|return|not replaced|only.*Linear|other modules|nn\.Linear|never replaced|extra",
    """
    model.requires_grad_(False)
    done = []
    for path, module in list(model.named_modules()):
        if any(("." + path).endswith("." + target) for target in targets):
            done.append(path)
            if isinstance(module, nn.Linear):
                parent, _, name = path.rpartition(".")
                setattr(model.get_submodule(parent), name, wrap(module))
    return done
""",
)
inject.wrong(
    "walks into the wrappers",
    "after replacing, the walk goes on inside the new wrapper, where a name may fit again",
    r"wrapper|inside|again|recurs|endless|for ever|twice|snapshot|while walking",
    """
    model.requires_grad_(False)
    done = []

    def walk(parent, prefix):
        for name, child in list(parent.named_children()):
            path = prefix + name
            fits = any(path == t or path.endswith("." + t) for t in targets)
            if isinstance(child, nn.Linear) and fits:
                child = wrap(child)
                setattr(parent, name, child)
                done.append(path)
            walk(child, path + ".")

    walk(model, "")
    return done
""",
)
inject.wrong(
    "dot as any character",
    "a dot in a target is any character in a pattern: re.escape is missing",
    r"escape|regular|regex|pattern|any character|dot",
    """
    import re

    model.requires_grad_(False)
    pattern = re.compile(r"(?:.*\\.)?(?:" + "|".join(targets) + ")")
    done = []
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and pattern.fullmatch(path):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, wrap(module))
            done.append(path)
    return done
""",
)
inject.wrong(
    "biases left",
    "only parameters called weight are frozen",
    r"bias|freez|frozen|still train|requires_grad",
    """
    for name, p in model.named_parameters():
        if name.endswith("weight"):
            p.requires_grad = False
    done = []
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and any(
            ("." + path).endswith("." + target) for target in targets
        ):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, wrap(module))
            done.append(path)
    return done
""",
)
inject.wrong(
    "substring, not frozen",
    "target in path finds too much, and nothing is frozen",
    r"substring|contain|in path|ends?|kq_proj|fre+z|frozen|too many|should not",
    """
    done = []
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and any(target in path for target in targets):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, wrap(module))
            done.append(path)
    return done
""",
)
inject.wrong(
    "wrap not called",
    "wrap itself is set as the child; it has to be called with the layer",
    r"call|wrap\(|child module|cannot assign|function",
    """
    model.requires_grad_(False)
    done = []
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and any(
            ("." + path).endswith("." + target) for target in targets
        ):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, wrap)
            done.append(path)
    return done
""",
)
inject.wrong(
    "targets returned",
    "the targets that were found are returned, not the paths",
    r"path|targets?.*return|not the targets",
    """
    model.requires_grad_(False)
    found = []
    for path, module in list(model.named_modules()):
        for target in targets:
            if isinstance(module, nn.Linear) and ("." + path).endswith("." + target):
                parent, _, name = path.rpartition(".")
                setattr(model.get_submodule(parent), name, wrap(module))
                found.append(target)
                break
    return found
""",
)
inject.wrong(
    "get_module",
    "a module has get_submodule, not get_module",
    r"get_submodule|get_module|no attribute|attribute|spell|typo",
    """
    model.requires_grad_(False)
    done = []
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and any(
            ("." + path).endswith("." + target) for target in targets
        ):
            parent, _, name = path.rpartition(".")
            setattr(model.get_module(parent), name, wrap(module))
            done.append(path)
    return done
""",
)
inject.open(
    "exact type",
    "whether a subclass of nn.Linear is an nn.Linear in this sense is not said",
    """
    model.requires_grad_(False)
    done = []
    for path, module in list(model.named_modules()):
        if type(module) is nn.Linear and any(
            ("." + path).endswith("." + target) for target in targets
        ):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, wrap(module))
            done.append(path)
    return done
""",
)
inject.open(
    "error for no match",
    "the chapter's library refuses; the exercise says nothing of it",
    """
    model.requires_grad_(False)
    done = []
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and any(
            ("." + path).endswith("." + target) for target in targets
        ):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, wrap(module))
            done.append(path)
    if not done:
        raise ValueError(f"nothing fits {targets}")
    return done
""",
)
inject.right(
    "parts compared",
    """
    def fits(path):
        parts = path.split(".")
        for target in targets:
            wanted = target.split(".")
            if parts[-len(wanted):] == wanted:
                return True
        return False

    for parameter in model.parameters():
        parameter.requires_grad = False
    paths = [p for p, m in model.named_modules() if isinstance(m, nn.Linear) and fits(p)]
    for path in paths:
        *above, name = path.split(".")
        parent = model
        for step in above:
            parent = getattr(parent, step)
        setattr(parent, name, wrap(getattr(parent, name)))
    return paths
""",
)
inject.right(
    "stack and _modules",
    """
    ends = tuple("." + target for target in targets)
    for _, parameter in model.named_parameters():
        parameter.requires_grad_(False)
    todo, replaced = [("", model)], []
    while todo:
        prefix, module = todo.pop(0)
        for name, child in list(module._modules.items()):
            if child is None:
                continue
            path = f"{prefix}.{name}"
            if isinstance(child, nn.Linear) and path.endswith(ends):
                module._modules[name] = wrap(child)
                replaced.append(path[1:])
            else:
                todo.append((path, child))
    return replaced
""",
)
inject.right(
    "reduce getattr",
    """
    from functools import reduce

    model.requires_grad_(False)
    snapshot = dict(model.named_modules())
    chosen = {
        path: module
        for path, module in snapshot.items()
        if isinstance(module, nn.Linear)
        and any(path == target or path.endswith(f".{target}") for target in targets)
    }
    for path, module in chosen.items():
        *parents, last = path.split(".")
        setattr(reduce(getattr, parents, model), last, wrap(module))
    return [*chosen]
""",
)
inject.right(
    "all wrappers first",
    """
    for p in model.parameters():
        p.requires_grad_(False)
    new = []
    for path, layer in model.named_modules():
        if not isinstance(layer, nn.Linear):
            continue
        if any(path.removesuffix(t) == "" or path.removesuffix("." + t) != path for t in targets):
            new.append((path, wrap(layer)))
    for path, wrapper in new:
        if "." in path:
            parent, name = path.rsplit(".", 1)
            setattr(model.get_submodule(parent), name, wrapper)
        else:
            setattr(model, path, wrapper)
    return [path for path, _ in new]
""",
)
inject.right(
    "parents by name",
    """
    model.requires_grad_(False)
    names = dict(model.named_modules())
    changed = []
    for parent_path, parent in names.items():
        for name, child in tuple(parent.named_children()):
            path = ".".join(filter(None, (parent_path, name)))
            hit = next((t for t in targets if ("." + path)[-len(t) - 1 :] == "." + t), None)
            if hit is not None and isinstance(child, nn.Linear):
                parent.add_module(name, wrap(child))
                changed.append(path)
    return changed
""",
)

# ------------------------------------------------------------------------------------ count
count = Exercise("lora.count", "def lora_parameters(shapes, rank, layers):")
count.wrong(
    "set of shapes",
    "a set keeps equal shapes once, and q and v are equal",
    r"set|equal shapes|same shape|duplicate|once|twice|repeated",
    "    return layers * sum(rank * (o + i) for o, i in set(shapes))",
)
count.wrong(
    "dict of shapes",
    "a dict keeps one entry for each d_out",
    r"dict|same (shape|d_out|key)|duplicate|once|overwrit|repeated|lost|equal",
    """
    total = 0
    for d_out, d_in in dict(shapes).items():
        total += rank * (d_in + d_out)
    return total * layers
""",
)
count.wrong(
    "parentheses missing",
    "rank multiplies d_in alone",
    r"parenthes|bracket|\( ?d_in|d_out.*(not|rank)|rank.*(both|d_out)|B.*rank|precedence",
    "    return layers * sum(rank * d_in + d_out for d_out, d_in in shapes)",
)
count.wrong(
    "layers times the last",
    "only the last matrix is multiplied by layers",
    r"layers|last|times|multipl",
    """
    total = 0
    for d_out, d_in in shapes:
        total += rank * (d_out + d_in)
    total += (layers - 1) * rank * (d_out + d_in)
    return total
""",
)
count.wrong(
    "layers added",
    "the number of layers is added, not multiplied",
    r"layers.*(multipl|times|add|×|\*)|add|multipl|\+",
    "    return sum(rank * (o + i) for o, i in shapes) + layers",
)
count.wrong(
    "with a bias",
    "LoRA's matrices have no bias",
    r"bias|d_out|one (number )?for each output|A and B|nothing else|too many",
    "    return layers * sum(rank * (o + i) + o for o, i in shapes)",
)
count.wrong(
    "bytes",
    "four bytes each: parameters are asked for",
    r"byte|4 ?(×|\*|times)|factor (of )?(4|four)|four times|times 4|float32",
    "    return 4 * layers * sum(rank * sum(shape) for shape in shapes)",
)
count.wrong(
    "millions",
    "in millions: the number itself is asked for",
    r"million|1e6|unit|int\b|whole|1,?000,?000|number itself|too small",
    "    return layers * sum(rank * sum(shape) for shape in shapes) / 1e6",
)
count.wrong(
    "32 layers written in",
    "32 is the number of the example",
    r"32|hard|layers|constant|argument",
    "    return 32 * sum(rank * (d_out + d_in) for d_out, d_in in shapes)",
)
count.wrong(
    "rank capped",
    "A has rank rows even if a side is smaller",
    r"min|cap|smaller|rank.*(larger|above)|limit|as given",
    """
    total = 0
    for d_out, d_in in shapes:
        r = min(rank, d_out, d_in)
        total += r * d_in + d_out * r
    return layers * total
""",
)
count.wrong(
    "int32",
    "32-bit integers overflow for large models",
    r"overflow|int32|32[- ]bit|negative|large|too big",
    """
    sides = np.array(shapes, dtype=np.int32).sum(axis=1, dtype=np.int32)
    total = (sides * np.int32(rank)).sum(dtype=np.int32)
    with np.errstate(over="ignore"):
        return int(total * np.int32(layers))
""",
)
count.wrong(
    "mean of the matrices",
    "the mean over the matrices, not their sum",
    r"mean|average|sum|divid",
    "    return int(layers * statistics.mean(rank * (o + i) for o, i in shapes))",
)
count.wrong(
    "larger side twice, no layers",
    "2·r·max(d_out, d_in), and layers is missing",
    r"max|larger|square|both sides|d_in \+ d_out|layers",
    "    return sum(2 * rank * max(shape) for shape in shapes)",
)
count.wrong(
    "sum of pairs",
    "sum cannot add pairs to 0",
    r"sum|tuple|pair|unsupported operand|add",
    "    return rank * sum(shapes) * layers",
)
count.wrong(
    "shape for shapes",
    "shape is not defined, it is called shapes",
    r"shape|not defined|NameError|shapes|name",
    "    return layers * sum(rank * (a + b) for a, b in shape)",
)
count.right("map sum", "    return rank * layers * sum(map(sum, shapes))")
count.right(
    "meta tensors",
    """
    total = 0
    for _ in range(layers):
        for d_out, d_in in shapes:
            A = torch.empty(rank, d_in, device="meta")
            B = torch.empty(d_out, rank, device="meta")
            total += A.numel() + B.numel()
    return total
""",
)
count.right(
    "numpy, int64",
    """
    sides = np.asarray(shapes, dtype=np.int64)
    return int(sides.sum()) * rank * layers
""",
)
count.right(
    "chain",
    """
    per_layer = 0
    for side in itertools.chain.from_iterable(shapes):
        per_layer += side * rank
    return per_layer * layers
""",
)
count.right(
    "counter",
    """
    kinds = Counter(tuple(shape) for shape in shapes)
    trained = 0
    for (d_out, d_in), times in kinds.items():
        size_of_A, size_of_B = rank * d_in, d_out * rank
        trained += times * (size_of_A + size_of_B)
    return layers * trained
""",
)
count.right(
    "recursion",
    """
    if not shapes:
        return 0
    (d_out, d_in), *rest = shapes
    return rank * (d_out + d_in) * layers + lora_parameters(rest, rank, layers)
""",
)

# ------------------------------------------------------------------------------------- loss
loss = Exercise("lora.loss", "def next_token_loss(logits, labels):")
loss.wrong(
    "mask one position early",
    "the mask comes from the labels before the shift, so it belongs to the neighbours",
    r"mask|shift|off by one|one (position|place)|neighbo|label.*-100",
    """
    targets = labels[:, 1:]
    mask = labels[:, :-1] != -100
    log_p = F.log_softmax(logits[:, :-1], dim=-1)
    picked = log_p.gather(-1, targets.clamp_min(0).unsqueeze(-1)).squeeze(-1)
    return -(picked * mask).sum() / mask.sum()
""",
)
loss.wrong(
    "labels above zero",
    "labels > 0 leaves out token 0, which is a token like any other",
    r"token 0|label 0|zero|> ?0|!= ?-100|id 0",
    """
    flat, wanted = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    keep = wanted > 0
    return F.cross_entropy(flat[keep], wanted[keep])
""",
)
loss.wrong(
    "reshape for transpose",
    "reshape mixes positions and classes; cross_entropy needs transpose(1, 2)",
    r"transpos|reshape|view|mix|permut|scrambl|axes|dimension",
    """
    batch, length, vocabulary = logits.shape
    scores = logits[:, :-1].reshape(batch, vocabulary, length - 1)
    return F.cross_entropy(scores, labels[:, 1:])
""",
)
loss.wrong(
    "first position dropped from both",
    "both lose the first position, so nothing is shifted",
    r"shift|same position|position t|t ?\+ ?1|next|align|last position",
    "    return F.cross_entropy(logits[:, 1:].flatten(0, 1), labels[:, 1:].flatten())",
)
loss.wrong(
    "two ahead",
    "shifted by two positions",
    r"two|shift|2|by one|t ?\+ ?1|t ?\+ ?2|next token|too far",
    "    return F.cross_entropy(logits[:, :-2].flatten(0, 1), labels[:, 2:].flatten())",
)
loss.wrong(
    "bits",
    "the logarithm to base 2: bits, not nats",
    r"log2|bits|base|nats|natural|ln ?2|0\.69|1\.44|log\(2\)",
    """
    nats = F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:])
    return nats / math.log(2)
""",
)
loss.wrong(
    "sign",
    "the minus is missing: mean log-likelihood",
    r"sign|minus|negative|−|log[- ]?likelihood",
    """
    targets = labels[:, 1:]
    keep = targets != -100
    log_p = logits[:, :-1].log_softmax(dim=-1)
    picked = log_p.gather(2, targets.clamp(min=0)[..., None])[..., 0]
    return picked[keep].mean()
""",
)
loss.wrong(
    "nll of raw logits",
    "nll_loss wants log-probabilities and gets logits",
    r"log_softmax|log[- ]prob|nll_loss|softmax|normali|logits",
    "    return F.nll_loss(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())",
)
loss.wrong(
    "softmax over positions",
    "the softmax runs over positions, not over the vocabulary",
    r"axis|dim|vocab|softmax|position|class",
    """
    targets = labels[:, 1:]
    log_p = F.log_softmax(logits[:, :-1], dim=1)
    return F.nll_loss(log_p.flatten(0, 1), targets.flatten())
""",
)
loss.wrong(
    "smoothing",
    "label smoothing is another loss",
    r"smooth|label_smoothing|plain|other loss",
    """
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    return criterion(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
""",
)
loss.wrong(
    "log of softmax",
    "log(softmax) is minus infinity for large logits; log_softmax is not",
    r"log_softmax|overflow|underflow|infin|inf\b|nan|stable|large logits|numeric",
    """
    targets = labels[:, 1:]
    keep = targets != -100
    p = torch.softmax(logits[:, :-1], dim=-1)
    chosen = torch.log(p.gather(-1, targets.clamp_min(0)[..., None]).squeeze(-1))
    return -chosen[keep].mean()
""",
)
loss.wrong(
    "labels overwritten",
    "-100 is replaced in the caller's labels",
    r"in[- ]place|overwrit|chang\w* (its|the|your)? ?(input|label|argument)|label.*chang|modif"
    r"|caller|cop(y|ied)",
    """
    targets = labels[:, 1:]
    keep = (targets != -100).float()
    targets[targets == -100] = 0
    each = F.cross_entropy(logits[:, :-1].transpose(1, 2), targets, reduction="none")
    return (each * keep).sum() / keep.sum()
""",
)
loss.wrong(
    "vector",
    "a loss for each token, where the mean is asked for",
    r"mean|scalar|reduction|vector|one number|each token|shape|average",
    """
    return F.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="none"
    )
""",
)
loss.wrong(
    "bfloat16",
    "the logits are rounded to bfloat16",
    r"bfloat16|precision|round|dtype|16[- ]bit|float32",
    """
    short = logits.to(torch.bfloat16)
    return F.cross_entropy(short[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
""",
)
loss.wrong(
    "no shift, and a sum",
    "not shifted, and summed",
    r"shift|next|position|sum|mean",
    "    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction='sum')",
)
loss.wrong(
    "first text only",
    "only the first text of the batch is scored",
    r"batch|first|only one|every text|all texts|row",
    "    return F.cross_entropy(logits[0, :-1], labels[0, 1:])",
)
loss.wrong(
    "raise left over",
    "the stub's raise is still there",
    LEFT_OVER,
    """
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    raise NotImplementedError("your code here")
    return loss
""",
)
loss.right(
    "logsumexp",
    """
    scores, targets = logits[:, :-1], labels[:, 1:]
    keep = targets.ne(-100)
    chosen = scores.gather(-1, targets.masked_fill(~keep, 0).unsqueeze(-1)).squeeze(-1)
    each = scores.logsumexp(dim=-1) - chosen
    return each[keep].mean()
""",
)
loss.right(
    "loop over the texts",
    """
    total, number = 0.0, 0
    for text, answer in zip(logits, labels):
        for t in range(len(answer) - 1):
            wanted = answer[t + 1]
            if wanted == -100:
                continue
            total = total - F.log_softmax(text[t], dim=0)[wanted]
            number += 1
    return total / number
""",
)
loss.right(
    "only kept positions",
    """
    targets = labels[:, 1:].reshape(-1)
    scores = logits[:, :-1].reshape(-1, logits.shape[-1])
    where = torch.nonzero(targets != -100).flatten()
    return F.cross_entropy(scores.index_select(0, where), targets.index_select(0, where))
""",
)
loss.right(
    "class, named index",
    """
    criterion = nn.CrossEntropyLoss(reduction="mean", ignore_index=-100)
    predicted = logits.narrow(1, 0, logits.size(1) - 1).contiguous()
    wanted = labels.narrow(1, 1, labels.size(1) - 1).contiguous()
    return criterion(predicted.view(-1, predicted.size(-1)), wanted.view(-1))
""",
)
loss.right(
    "sums of rows, one division",
    """
    sums = [
        F.cross_entropy(scores[:-1], wanted[1:], reduction="sum")
        for scores, wanted in zip(logits, labels)
    ]
    return torch.stack(sums).sum() / (labels[:, 1:] != -100).sum()
""",
)
loss.right(
    "one-hot in double",
    """
    targets = labels[:, 1:]
    keep = (targets != -100).double()
    hot = F.one_hot(torch.where(targets == -100, 0, targets), logits.shape[-1]).double()
    log_p = logits[:, :-1].double().log_softmax(-1)
    each = -torch.einsum("btv,btv->bt", hot, log_p)
    return ((each * keep).sum() / keep.sum()).to(logits.dtype)
""",
)

# ------------------------------------------------------------------------------- train_step
train_step = Exercise(
    "lora.train_step", "def train_step(model, x, y, loss_fn, optimizer, max_norm):"
)


def step(before: str, between: str, after: str = "return loss.item()") -> str:
    """A step whose backward call stands between two blocks."""
    lines = [before, "loss.backward()", between, after]
    return "\n" + "".join(
        f"    {line}\n" for block in lines if block for line in block.strip().splitlines()
    )


OPEN = "optimizer.zero_grad()\nloss = loss_fn(model(x), y)"
CLIP = "nn.utils.clip_grad_norm_(model.parameters(), max_norm)"
train_step.wrong(
    "zero_grad without parentheses",
    "optimizer.zero_grad names the method and does not call it",
    r"parenthes|\(\)|call|zero_grad|old gradient|accumul|add",
    step("optimizer.zero_grad\nloss = loss_fn(model(x), y)", CLIP + "\noptimizer.step()"),
)
train_step.wrong(
    "step without parentheses",
    "optimizer.step names the method and does not call it",
    r"parenthes|\(\)|call|step|nothing (moved|changed)|did not (move|change)|unchanged",
    step(OPEN, CLIP + "\noptimizer.step"),
)
train_step.wrong(
    "norm of one",
    "the norm 1.0 is written in; max_norm is not used",
    r"max_norm[^.]*(unused|ignored|not used|argument)|use max_norm|1\.0\b|hard|constant norm",
    step(OPEN, "nn.utils.clip_grad_norm_(model.parameters(), 1.0)\noptimizer.step()"),
)
train_step.wrong(
    "gradient norm returned",
    "clip_grad_norm_ returns the norm of the gradient, not the loss",
    r"norm of the gradient|gradient.?s? norm|returns? the norm|not the loss",
    step(
        OPEN,
        "norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm)\noptimizer.step()",
        "return norm.item()",
    ),
)
train_step.wrong(
    "norm by its square",
    "the total is the squared norm: the root is missing",
    r"root|sqrt|squared|square|\*\* ?0\.5",
    step(
        OPEN,
        """total = sum(p.grad.pow(2).sum() for p in model.parameters() if p.grad is not None)
if total > max_norm:
    for p in model.parameters():
        if p.grad is not None:
            p.grad.mul_(max_norm / total)
optimizer.step()""",
    ),
)
train_step.wrong(
    "frozen parameters forgotten",
    "p.grad is None for a frozen parameter",
    r"None|frozen|no gradient|requires_grad|without a gradient",
    step(
        OPEN,
        """total = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
scale = (max_norm / (total + 1e-6)).clamp(max=1.0)
for p in model.parameters():
    p.grad.mul_(scale)
optimizer.step()""",
    ),
)
train_step.wrong(
    "max norm",
    "norm_type=inf clips by the largest entry",
    r"norm_type|inf|largest|maximum|euclid|2-norm|entry|L2|other norm",
    step(
        OPEN,
        "nn.utils.clip_grad_norm_(model.parameters(), max_norm, norm_type=math.inf)\n"
        "optimizer.step()",
    ),
)
train_step.wrong(
    "loss clamped",
    "the loss is limited, not the gradient",
    r"loss.{0,20}(clamp|clip|limit)|clip.{0,20}gradient|gradient.{0,20}clip|clamp",
    step(
        "optimizer.zero_grad()\nloss = loss_fn(model(x), y).clamp(max=max_norm)", "optimizer.step()"
    ),
)
train_step.wrong(
    "backward twice",
    "a second backward adds the same gradient again",
    r"twice|double|second backward|again|two backward|2 ?×|added|two times",
    step(OPEN.replace("y)", "y)\nloss.backward(retain_graph=True)"), CLIP + "\noptimizer.step()"),
)
train_step.wrong(
    "two steps",
    "optimizer.step() is called twice",
    r"twice|two steps|second step|one step|once|too far|double|again",
    step(OPEN, CLIP + "\noptimizer.step()\noptimizer.step()"),
)
train_step.wrong(
    "uphill",
    "the gradient of -loss goes up",
    r"sign|minus|uphill|ascen|grow|wrong direction|negative|opposite|increase",
    step(OPEN + "\nloss = -loss", CLIP + "\noptimizer.step()", "return -loss.item()"),
)
train_step.wrong(
    "update by hand",
    "plain gradient descent in place of the optimizer's step",
    r"optimizer\.step|optimizer|by hand|plain|momentum|Adam|SGD|never called|not called",
    step(
        OPEN,
        CLIP
        + """
with torch.no_grad():
    for p in model.parameters():
        if p.grad is not None:
            p -= optimizer.param_groups[0]["lr"] * p.grad""",
    ),
)
train_step.wrong(
    "rounded",
    "the loss is rounded to two digits",
    r"round|digit|decimal|exact|precision",
    step(OPEN, CLIP + "\noptimizer.step()", "return round(loss.item(), 2)"),
)
train_step.wrong(
    "detached before the loss",
    "the model's output is detached: nothing to go back through",
    r"detach|grad_fn|require grad|requires_grad|graph|gradient",
    step(
        "optimizer.zero_grad()\nloss = loss_fn(model(x).detach(), y)", CLIP + "\noptimizer.step()"
    ),
)
train_step.wrong(
    "own optimizer, no clipping",
    "a new optimizer is made in each step, and nothing is clipped",
    r"(new|own|given|another) optimizer|not clipped|no clipping|clip_grad",
    step(
        "optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])\n"
        + OPEN,
        "optimizer.step()",
    ),
)
train_step.wrong(
    "only the first tensor clipped",
    "one parameter is clipped, where all of them belong together",
    r"first (tensor|parameter)|all (the )?(gradients|parameters)|only one|together|at once"
    r"|every parameter|whole",
    step(
        OPEN,
        "nn.utils.clip_grad_norm_(next(iter(model.parameters())), max_norm)\noptimizer.step()",
    ),
)
train_step.wrong(
    "loss divided by the batch",
    "the loss is divided by the number of examples, which loss_fn may have done already",
    r"divid|batch|len\(|number of examples|as loss_fn|average|mean|too small",
    step(OPEN + " / len(x)", CLIP + "\noptimizer.step()"),
)
train_step.open(
    "train mode set",
    "the text does not say whether a step may set the model to training",
    step("model.train()\n" + OPEN, CLIP + "\noptimizer.step()"),
)
train_step.right(
    "autograd.grad",
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer.zero_grad(set_to_none=True)
    loss = loss_fn(model(x), y)
    for p, g in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True)):
        p.grad = g
    torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    optimizer.step()
    return float(loss)
""",
)
train_step.right(
    "clipped by hand",
    """
    for p in model.parameters():
        p.grad = None
    value = loss_fn(model(x), y)
    value.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    total = math.sqrt(sum(g.double().square().sum().item() for g in gradients))
    if total > max_norm:
        for g in gradients:
            g *= max_norm / total
    optimizer.step()
    return value.item()
""",
)
train_step.right(
    "cleared after, too",
    """
    optimizer.zero_grad()
    output = model(x)
    loss = loss_fn(output, y)
    before = loss.detach().clone()
    loss.backward()
    nn.utils.clip_grad_norm_(list(model.parameters()), max_norm=max_norm, norm_type=2.0)
    optimizer.step()
    optimizer.zero_grad()
    return before.item()
""",
)
train_step.right(
    "total norm, then clip",
    """
    with torch.enable_grad():
        optimizer.zero_grad(set_to_none=False)
        loss = loss_fn(model(x), y)
        loss.backward()
    with torch.no_grad():
        flat = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        size = torch.cat(flat).norm() if flat else torch.tensor(0.0)
        shrink = torch.clamp(max_norm / (size + 1e-6), max=1.0)
        for p in model.parameters():
            if p.grad is not None:
                p.grad.mul_(shrink)
    optimizer.step()
    return loss.tolist()
""",
)
train_step.right(
    "trainable parameters only",
    """
    trainable = list(filter(lambda p: p.requires_grad, model.parameters()))
    optimizer.zero_grad()
    prediction = model(x)
    loss = loss_fn(prediction, y)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(trainable, max_norm, error_if_nonfinite=False)
    optimizer.step()
    return loss.detach().cpu().numpy().item()
""",
)

# ------------------------------------------------------------------------------------- save
save = Exercise("lora.save", "def adapter_state(model, kind):")


def state(value: str, test: str = "isinstance(module, kind)", key: str = "{path}.{part}") -> str:
    """A dictionary whose values or test are exchanged."""
    return f"""
    state = {{}}
    for path, module in model.named_modules():
        if {test}:
            for part in ("A", "B"):
                tensor = getattr(module, part)
                state[f"{key}"] = {value}
    return state
"""


save.wrong(
    "cpu for a copy",
    "cpu() does not copy a tensor that is on the CPU already",
    r"cpu|copy|clone|shar|same memory|alias|chang",
    state("tensor.detach().cpu()"),
)
save.wrong(
    "through numpy",
    "from_numpy and numpy share the memory",
    r"numpy|copy|clone|shar|same memory|alias|chang",
    state("torch.from_numpy(tensor.detach().numpy())"),
)
save.wrong(
    "contiguous for a copy",
    "contiguous() returns the same memory when there is nothing to do",
    r"contiguous|copy|clone|shar|same memory|alias|chang",
    state("tensor.detach().contiguous()"),
)
save.wrong(
    "adapter frozen by saving",
    "requires_grad_(False) freezes the model's own parameter",
    r"freez|frozen|requires_grad|model.*(chang|train)|parameter.*(chang|train)|side effect",
    state("tensor.requires_grad_(False).clone()"),
)
save.wrong(
    "zero tensors left out",
    "a B that is still zero is left out",
    r"missing|left out|zero|skip|every|B\b.*not|all of them",
    """
    state = {}
    for path, module in model.named_modules():
        if isinstance(module, kind):
            for part in ("A", "B"):
                tensor = getattr(module, part).detach().clone()
                if tensor.any():
                    state[f"{path}.{part}"] = tensor
    return state
""",
)
save.wrong(
    "all parameters of the layer",
    "everything that the layer holds itself is saved, not A and B alone",
    r"only A and B|extra|more than|other (tensor|parameter)|not belong|A and B|too many|unexpected",
    """
    return {
        f"{path}.{name}": p.detach().clone()
        for path, module in model.named_modules()
        if isinstance(module, kind)
        for name, p in module.named_parameters()
    }
""",
)
save.wrong(
    "by the class's name",
    "a subclass has another name; isinstance finds it",
    r"isinstance|subclass|class name|__name__|name of the class|inherit|type",
    state("tensor.detach().clone()", test="type(module).__name__ == kind.__name__"),
)
save.wrong(
    "children only",
    "named_children does not go below the first level",
    r"named_modules|children|nested|deep|level|missing|below",
    """
    out = {}
    for path, module in model.named_children():
        if isinstance(module, kind):
            out[path + ".A"] = module.A.detach().clone()
            out[path + ".B"] = module.B.detach().clone()
    return out
""",
)
save.wrong(
    "keys without a path",
    "all layers write to the same two keys",
    r"path|overwrit|key|same (key|name)|only (the )?(last|one)|name",
    """
    out = {}
    for path, module in model.named_modules():
        if isinstance(module, kind):
            out["A"] = module.A.detach().clone()
            out["B"] = module.B.detach().clone()
    return out
""",
)
save.wrong(
    "return in the loop",
    "the return stands in the loop: only the first layer",
    r"return|first|indent|loop|only one|missing",
    """
    out = {}
    for path, module in model.named_modules():
        if isinstance(module, kind):
            out[f"{path}.A"] = module.A.detach().clone()
            out[f"{path}.B"] = module.B.detach().clone()
            return out
""",
)
save.wrong(
    "slash",
    "path/A in place of path.A",
    r"/|slash|dot|key|path\.A|name",
    state("tensor.detach().clone()", key="{path}/{part}"),
)
save.wrong(
    "numpy arrays",
    "arrays in place of tensors",
    r"numpy|ndarray|tensor|array",
    state("tensor.detach().numpy().copy()"),
)
save.wrong(
    "exact type, shared memory",
    "type is misses subclasses, and data shares the memory",
    r"isinstance|subclass|type|copy|clone|shar|alias|same memory|missing",
    state("tensor.data", test="type(module) is kind"),
)
save.wrong(
    "isinstance the wrong way round",
    "isinstance takes the object first, then the type",
    r"isinstance|arg|order|swap|type",
    state("tensor.detach().clone()", test="isinstance(kind, module)"),
)
save.wrong(
    "product saved",
    "B A is saved, not the two factors",
    r"product|delta|A and B|factor|missing|B ?@ ?A|key|two",
    """
    return {
        f"{path}.delta": (m.B @ m.A).detach().clone()
        for path, m in model.named_modules()
        if isinstance(m, kind)
    }
""",
)
save.right(
    "no_grad clone",
    """
    with torch.no_grad():
        return {
            f"{path}.{part}": getattr(module, part).clone()
            for path, module in model.named_modules()
            if isinstance(module, kind)
            for part in "AB"
        }
""",
)
save.right(
    "deepcopy",
    """
    from copy import deepcopy

    out = {}
    adapters = [(p, m) for p, m in model.named_modules() if isinstance(m, kind)]
    for path, adapter in adapters:
        out.update({path + ".A": deepcopy(adapter.A.detach())})
        out.update({path + ".B": deepcopy(adapter.B.detach())})
    return out
""",
)
save.right(
    "empty and copy_",
    """
    out = dict()
    for path, module in filter(lambda item: isinstance(item[1], kind), model.named_modules()):
        for part, tensor in (("A", module.A), ("B", module.B)):
            out[".".join([path, part])] = torch.empty_like(tensor.data).copy_(tensor.data)
    return out
""",
)
save.right("numpy copy", state("torch.from_numpy(tensor.detach().cpu().numpy().copy())"))
save.right("detach after clone", state("tensor.clone().detach()"))
save.right(
    "list of paths first",
    """
    paths = [path for path, module in model.named_modules() if isinstance(module, kind)]
    everything = model.state_dict()
    keys = [f"{path}.{part}" for path in paths for part in ("A", "B")]
    return {key: everything[key].clone() for key in keys}
""",
)

# ------------------------------------------------------------------------------------- load
load = Exercise("lora.load", "def load_adapter_state(model, kind, state):")
OWN = """
    own = {
        f"{path}.{part}": getattr(module, part)
        for path, module in model.named_modules()
        if isinstance(module, kind)
        for part in ("A", "B")
    }
"""
COPY = """
    with torch.no_grad():
        for key, parameter in own.items():
            parameter.copy_(state[key])
"""
NAMES = """
    if own.keys() != state.keys():
        raise ValueError("other names")
"""
SHAPES = """
    for key in own:
        if own[key].shape != state[key].shape:
            raise ValueError(f"{key}: {tuple(state[key].shape)}")
"""
load.wrong(
    "order must agree",
    "lists of names compare their order too; a file may have another",
    r"order|list|set|sorted",
    OWN
    + """
    if list(own) != list(state):
        raise ValueError("names differ")
"""
    + SHAPES
    + COPY,
)
load.wrong(
    "copied by place",
    "tensors are copied in the order of the file, not by their names",
    r"order|by name|zip|place|position|key|wrong (layer|tensor|parameter)",
    OWN
    + NAMES
    + """
    for mine, theirs in zip(own.values(), state.values()):
        if mine.shape != theirs.shape:
            raise ValueError("shapes differ")
    with torch.no_grad():
        for mine, theirs in zip(own.values(), state.values()):
            mine.copy_(theirs)
""",
)
load.wrong(
    "other dtype refused",
    "only names and shapes are asked about; copy_ converts a dtype",
    r"dtype|float16|float64|precision|convert|only names and shapes",
    OWN
    + NAMES
    + SHAPES
    + """
    if any(own[key].dtype != state[key].dtype for key in own):
        raise ValueError("dtypes differ")
"""
    + COPY,
)
load.wrong(
    "raise forgotten",
    "a ValueError is made and not raised",
    r"raise|not raised|accept|refus|rais",
    OWN
    + """
    if own.keys() != state.keys():
        ValueError("names differ")
    for key in own.keys() & state.keys():
        if own[key].shape != state[key].shape:
            ValueError("shapes differ")
    with torch.no_grad():
        for key in own.keys() & state.keys():
            if own[key].shape == state[key].shape:
                own[key].copy_(state[key])
""",
)
load.wrong(
    "error returned",
    "the ValueError is returned, not raised",
    r"raise|return|not raised|accept|refus|rais",
    OWN
    + """
    if own.keys() != state.keys():
        return ValueError("names differ")
    for key in own:
        if own[key].shape != state[key].shape:
            return ValueError("shapes differ")
"""
    + COPY,
)
load.wrong(
    "file emptied",
    "pop takes the tensors out of the caller's dictionary",
    r"pop|empt|chang\w* (its|the|your)? ?(input|state|argument|dict)|state.*(chang|modif|empt)"
    r"|caller|modif|in[- ]place",
    OWN
    + NAMES
    + SHAPES
    + """
    with torch.no_grad():
        for key, parameter in own.items():
            parameter.copy_(state.pop(key))
""",
)
load.wrong(
    "only A looked at",
    "the shapes of B are not compared",
    r"shape|\bB\b|broadcast|stretch|every|all (of )?the",
    OWN
    + NAMES
    + """
    for key in own:
        if key.endswith(".A") and own[key].shape != state[key].shape:
            raise ValueError("another rank or another model")
"""
    + COPY,
)
load.wrong(
    "number of dimensions only",
    "ndim is compared, not the shape",
    r"shape|ndim|dimension|broadcast|stretch|size",
    OWN
    + NAMES
    + """
    if any(own[key].dim() != state[key].dim() for key in own):
        raise ValueError("shapes differ")
"""
    + COPY,
)
load.wrong(
    "empty file accepted",
    "a file with nothing in it passes in silence",
    r"empty|missing|nothing|no names|silen|accept|refus|names",
    OWN + "    if not state:\n        return\n" + NAMES + SHAPES + COPY,
)
load.wrong(
    "left frozen",
    "requires_grad_(False) is for the copy and is never undone",
    r"freez|frozen|requires_grad|train",
    OWN
    + NAMES
    + SHAPES
    + """
    for key, parameter in own.items():
        parameter.requires_grad_(False)
        parameter.copy_(state[key])
""",
)
load.wrong(
    "added",
    "the values are added to what is there",
    r"add|\+=|copy_|replace|overwrit|sum|on top",
    OWN
    + NAMES
    + SHAPES
    + """
    with torch.no_grad():
        for key, parameter in own.items():
            parameter += state[key]
""",
)
load.wrong(
    "transposed tensors repaired",
    "a tensor with the sides exchanged is another shape and has to be refused",
    r"transpos|shape|refus|exact|accept",
    OWN
    + NAMES
    + """
    fixed = {}
    for key, parameter in own.items():
        tensor = state[key]
        if tensor.shape != parameter.shape and tensor.T.shape == parameter.shape:
            tensor = tensor.T
        if tensor.shape != parameter.shape:
            raise ValueError("shapes differ")
        fixed[key] = tensor
    with torch.no_grad():
        for key, parameter in own.items():
            parameter.copy_(fixed[key])
""",
)
load.wrong(
    "load_state_dict of the whole model",
    "strict loading misses the base's weights and raises RuntimeError",
    r"RuntimeError|strict|whole model|base|missing key|load_state_dict|ValueError",
    "    model.load_state_dict(state)",
)
load.wrong(
    "exact type, and names not compared",
    "subclasses are missed, and extra names are accepted",
    r"subclass|isinstance|type|extra|unexpected|names|accept|refus",
    """
    found = {}
    for path, module in model.named_modules():
        if type(module) == kind:
            found[path + ".A"], found[path + ".B"] = module.A, module.B
    for key, parameter in found.items():
        if key not in state or state[key].shape != parameter.shape:
            raise ValueError(key)
    with torch.no_grad():
        for key, parameter in found.items():
            parameter.copy_(state[key])
""",
)
load.wrong(
    "message printed",
    "the fault is printed, and no error is raised",
    r"raise|print|accept|refus",
    OWN
    + """
    if own.keys() != state.keys():
        print("ValueError: names differ")
        return
    for key in own:
        if own[key].shape != state[key].shape:
            print("ValueError: shapes differ")
            return
"""
    + COPY,
)
load.wrong(
    "names only the wrong way round",
    "the sets are compared with <, which is true for a proper subset only",
    r"<|subset|equal|set|missing|extra|names|accept|refus",
    OWN
    + """
    if set(own) < set(state):
        raise ValueError("names differ")
    for key in set(own) & set(state):
        if own[key].shape != state[key].shape:
            raise ValueError("shapes differ")
    with torch.no_grad():
        for key in set(own) & set(state):
            own[key].copy_(state[key])
""",
)
load.right(
    "symmetric difference",
    OWN
    + """
    strange = set(own) ^ set(state)
    if strange:
        raise ValueError(f"only on one side: {sorted(strange)}")
    bad = [key for key in own if tuple(own[key].shape) != tuple(state[key].shape)]
    if bad:
        raise ValueError(f"other shapes: {bad}")
    for key in own:
        own[key].data[...] = state[key].to(own[key].dtype)
""",
)
load.right(
    "shapes as dictionaries",
    OWN
    + """
    if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in state.items()}:
        raise ValueError("not this model's adapter")
    with torch.no_grad():
        for key in state:
            own[key].copy_(state[key])
""",
)
load.right(
    "KeyError turned",
    """
    pairs, used = [], 0
    for path, module in model.named_modules():
        if not isinstance(module, kind):
            continue
        for part in ("A", "B"):
            try:
                tensor = state[f"{path}.{part}"]
            except KeyError as error:
                raise ValueError(f"{path}.{part} is missing") from error
            parameter = getattr(module, part)
            if tensor.size() != parameter.size():
                raise ValueError(f"{path}.{part} has another shape")
            pairs.append((parameter, tensor))
            used += 1
    if used != len(state):
        raise ValueError("unexpected names")
    for parameter, tensor in pairs:
        parameter.detach().copy_(tensor)
""",
)
load.right(
    "layer's own load_state_dict",
    """
    layers = {path: m for path, m in model.named_modules() if isinstance(m, kind)}
    wanted = {f"{path}.{part}" for path in layers for part in "AB"}
    if wanted - state.keys() or state.keys() - wanted:
        raise ValueError("names")
    for path, layer in layers.items():
        for part in "AB":
            if state[f"{path}.{part}"].shape != getattr(layer, part).shape:
                raise ValueError("shapes")
    for path, layer in layers.items():
        parts = {part: state[f"{path}.{part}"] for part in "AB"}
        layer.load_state_dict(parts, strict=False)
""",
)
load.right(
    "sorted names",
    OWN
    + """
    if sorted(own) != sorted(state):
        raise ValueError("names")
    if not all(list(own[k].shape) == list(v.shape) for k, v in state.items()):
        raise ValueError("shapes")
    with torch.no_grad():
        [own[k].copy_(v) for k, v in state.items()]
""",
)

# ------------------------------------------------------------------------------------ merge
merge = Exercise("lora.merge", "@contextlib.contextmanager\ndef merged(layer):")
merge.wrong(
    "error swallowed",
    "except without raise hides the error of the block",
    r"swallow|hide|hidden|except|re-?raise|error.*(lost|vanish|pass|come|reach)|suppress|exception",
    """
    weight = layer.base.weight
    original, was = weight.detach().clone(), layer.enabled
    with torch.no_grad():
        weight += layer.scaling * layer.B @ layer.A
    layer.enabled = False
    try:
        yield
    except Exception:
        pass
    with torch.no_grad():
        weight.copy_(original)
    layer.enabled = was
""",
)
merge.wrong(
    "only after an error",
    "the except branch restores, and a block that ends well is not undone",
    r"finally|not (restored|undone|put back)|without an error|except|ends well|normal",
    """
    weight = layer.base.weight
    original, was = weight.detach().clone(), layer.enabled
    with torch.no_grad():
        weight.add_(layer.scaling * layer.B @ layer.A)
    layer.enabled = False
    try:
        yield
    except BaseException:
        with torch.no_grad():
            weight.copy_(original)
        layer.enabled = was
        raise
""",
)
merge.wrong(
    "switch outside of finally",
    "enabled is restored after the try, which an error never reaches",
    r"enabled|switch|branch.*(off|on)|finally",
    """
    weight = layer.base.weight
    original, was = weight.detach().clone(), layer.enabled
    with torch.no_grad():
        weight += layer.scaling * (layer.B @ layer.A)
    layer.enabled = False
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(original)
    layer.enabled = was
""",
)
merge.wrong(
    "toggled",
    "not layer.enabled turns the branch on where it was off",
    r"toggl|not layer\.enabled|enabled|was off|turn\w* on|switch|branch",
    """
    weight = layer.base.weight
    original = weight.detach().clone()
    with torch.no_grad():
        weight += layer.scaling * (layer.B @ layer.A)
    layer.enabled = not layer.enabled
    try:
        yield
    finally:
        layer.enabled = not layer.enabled
        with torch.no_grad():
            weight.copy_(original)
""",
)
merge.wrong(
    "nothing for a layer that is off",
    "a layer whose branch is off is not merged",
    r"off|enabled|not merged|W \+|hold|disabled|merge",
    """
    if not layer.enabled:
        yield
        return
    weight = layer.base.weight
    original = weight.detach().clone()
    with torch.no_grad():
        weight += layer.scaling * (layer.B @ layer.A)
    layer.enabled = False
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(original)
        layer.enabled = True
""",
)
merge.wrong(
    "kept too late",
    "the copy is made after the update, so that the merged weight is put back",
    r"before|after the update|too late|order|original|restor|bit|merged weight|put back",
    """
    weight, was = layer.base.weight, layer.enabled
    with torch.no_grad():
        weight += layer.scaling * (layer.B @ layer.A)
    original = weight.detach().clone()
    layer.enabled = False
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(original)
        layer.enabled = was
""",
)
merge.wrong(
    "name rebound",
    "weight = original binds a local name and changes no layer",
    r"local|rebind|rebound|name|copy_|restor|not (restored|put back)|bit|original",
    """
    weight, was = layer.base.weight, layer.enabled
    original = weight.detach().clone()
    with torch.no_grad():
        weight += layer.scaling * (layer.B @ layer.A)
    layer.enabled = False
    try:
        yield
    finally:
        weight = original
        layer.enabled = was
""",
)
merge.wrong(
    "original in half",
    "the original is kept in 16 bit, which rounds it",
    r"half|float16|16|round|precision|bit|restor|dtype",
    """
    weight, was = layer.base.weight, layer.enabled
    original = weight.detach().half()
    with torch.no_grad():
        weight += layer.scaling * (layer.B @ layer.A)
    layer.enabled = False
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(original)
        layer.enabled = was
""",
)
merge.wrong(
    "scaling divided by the rank",
    "scaling is alpha / r already",
    r"\brank\b|already|/ ?r\b|twice|divid",
    """
    weight, was = layer.base.weight, layer.enabled
    original = weight.detach().clone()
    with torch.no_grad():
        weight += layer.scaling / layer.A.shape[0] * (layer.B @ layer.A)
    layer.enabled = False
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(original)
        layer.enabled = was
""",
)
merge.wrong(
    "update alone",
    "the weight is replaced by the update; W is lost",
    r"W \+ |W\b.*(missing|lost|forgot)|update alone|replaced|base weight",
    """
    weight, was = layer.base.weight, layer.enabled
    original = weight.detach().clone()
    with torch.no_grad():
        weight.copy_(layer.scaling * (layer.B @ layer.A))
    layer.enabled = False
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(original)
        layer.enabled = was
""",
)
merge.wrong(
    "eval for the switch",
    "eval() does not turn the branch off; enabled does",
    r"enabled|eval|branch|twice|switch|counted|off",
    """
    weight, mode = layer.base.weight, layer.training
    original = weight.detach().clone()
    with torch.no_grad():
        weight += layer.scaling * (layer.B @ layer.A)
    layer.eval()
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(original)
        layer.train(mode)
""",
)
merge.wrong(
    "two yields",
    "a context manager yields once",
    r"yield|once|stop|generator|twice",
    """
    weight, was = layer.base.weight, layer.enabled
    original = weight.detach().clone()
    try:
        with torch.no_grad():
            weight += layer.scaling * (layer.B @ layer.A)
        layer.enabled = False
        yield
        yield layer
    finally:
        with torch.no_grad():
            weight.copy_(original)
        layer.enabled = was
""",
)
merge.wrong(
    "decorator lost",
    "without contextmanager it is a generator, which with cannot use",
    r"@?contextmanager|decorator|context manager|generator",
    """def merged(layer):
    weight, was = layer.base.weight, layer.enabled
    original = weight.detach().clone()
    with torch.no_grad():
        weight += layer.scaling * (layer.B @ layer.A)
    layer.enabled = False
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(original)
        layer.enabled = was
""",
)
merge.wrong(
    "alpha and rank",
    "the layer has scaling, not alpha and rank",
    r"alpha|scaling|no attribute|attribute",
    """
    weight, was = layer.base.weight, layer.enabled
    original = weight.detach().clone()
    with torch.no_grad():
        weight += layer.alpha / layer.rank * (layer.B @ layer.A)
    layer.enabled = False
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(original)
        layer.enabled = was
""",
)
merge.wrong(
    "subtracted, and not after an error",
    "the update is subtracted, which is not exact, and an error skips it",
    r"subtract|bit|round|exact|finally|error|restor",
    """
    with torch.no_grad():
        delta = layer.scaling * (layer.B @ layer.A)
        layer.base.weight += delta
    was, layer.enabled = layer.enabled, False
    yield
    layer.enabled = was
    with torch.no_grad():
        layer.base.weight -= delta
""",
)
merge.open(
    "block under no_grad",
    "the weight is right; that the block runs without gradients the text neither asks nor forbids",
    """
    weight, was = layer.base.weight, layer.enabled
    with torch.no_grad():
        original = weight.clone()
        weight += layer.scaling * (layer.B @ layer.A)
        layer.enabled = False
        try:
            yield
        finally:
            weight.copy_(original)
            layer.enabled = was
""",
)
merge.open(
    "another base layer",
    "another layer stands in base's place for the time of the block",
    """
    import copy

    base, was = layer.base, layer.enabled
    layer.base = copy.deepcopy(base)
    layer.base.weight.data += layer.scaling * (layer.B @ layer.A).detach()
    layer.enabled = False
    try:
        yield
    finally:
        layer.base, layer.enabled = base, was
""",
)
merge.right(
    "class",
    """class merged:
    def __init__(self, layer):
        self.layer = layer

    def __enter__(self):
        layer = self.layer
        self.kept = layer.base.weight.detach().clone()
        self.was = layer.enabled
        with torch.no_grad():
            layer.base.weight.copy_(self.kept + layer.scaling * (layer.B @ layer.A))
        layer.enabled = False
        return layer

    def __exit__(self, *error):
        with torch.no_grad():
            self.layer.base.weight.copy_(self.kept)
        self.layer.enabled = self.was
        return False
""",
)
merge.right(
    "exit stack",
    """
    with contextlib.ExitStack() as undo:
        weight = layer.base.weight.data
        undo.callback(weight.copy_, weight.clone())
        undo.callback(setattr, layer, "enabled", layer.enabled)
        weight.addmm_(layer.B.data, layer.A.data, alpha=layer.scaling)
        layer.enabled = False
        yield
""",
)
merge.right(
    "state_dict",
    """
    before = {name: tensor.clone() for name, tensor in layer.base.state_dict().items()}
    on = layer.enabled
    try:
        layer.enabled = False
        delta = torch.einsum("or,ri->oi", layer.B, layer.A).detach() * layer.scaling
        layer.base.weight.data.add_(delta)
        yield layer
    finally:
        layer.base.load_state_dict(before)
        layer.enabled = on
""",
)
merge.right(
    "both ways out",
    """
    def restore():
        with torch.no_grad():
            layer.base.weight.copy_(original)
        layer.enabled = state

    original, state = layer.base.weight.detach().clone(), layer.enabled
    with torch.no_grad():
        layer.base.weight.add_(layer.B @ layer.A, alpha=layer.scaling)
    layer.enabled = False
    try:
        yield
    except BaseException:
        restore()
        raise
    else:
        restore()
""",
)
merge.right(
    "helper managers",
    """@contextlib.contextmanager
def switched_off(layer):
    was = layer.enabled
    layer.enabled = False
    try:
        yield
    finally:
        layer.enabled = was


@contextlib.contextmanager
def merged(layer):
    weight = layer.base.weight.data
    kept = weight.clone()
    weight += (layer.B * layer.scaling).detach() @ layer.A.detach()
    try:
        with switched_off(layer):
            yield
    finally:
        weight.copy_(kept)
""",
)

EXERCISES = (delta, init, forward, inject, count, loss, train_step, save, load, merge)
