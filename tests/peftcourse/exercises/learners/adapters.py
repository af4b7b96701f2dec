"""Answers to the exercises of lesson 07, written from its text alone."""

from tests.peftcourse.exercises.learners.answers import Exercise

NO_RETURN = r"return|None"
LEFT_OVER = r"NotImplementedError|left.?over|still raises|remove.*raise|raise.*(line|remove)"

# --- adapters.count ---------------------------------------------------------------------------

count = Exercise(
    "adapters.count",
    "def adapter_parameters(style: str, layers: int, hidden_size: int, size: int) -> int:",
)
count.wrong(
    "no biases",
    "both projections have biases",
    r"bias",
    """
    per_block = 2 if style == "houlsby" else 1
    return layers * per_block * 2 * hidden_size * size
""",
)
count.wrong(
    "bias of the down-projection only",
    "the bias of the up-projection, of d numbers, is missing",
    r"bias",
    """
    n = 2 * hidden_size * size + size
    return layers * n * (2 if style == "houlsby" else 1)
""",
)
count.wrong(
    "two biases of m",
    "the up-projection's bias has d numbers, not m",
    r"bias",
    """
    down = hidden_size * size + size
    up = size * hidden_size + size
    return layers * (down + up) * (2 if style == "houlsby" else 1)
""",
)
count.wrong(
    "one matrix",
    "an adapter has two matrices, down and up",
    r"(two|both) (matri|weight|project|linear)|down and (an )?up|2 ?\*? ?d",
    """
    one = hidden_size * size + size + hidden_size
    if style == "houlsby":
        one *= 2
    return one * layers
""",
)
count.wrong(
    "Houlsby once",
    "Houlsby has two adapters in each block",
    r"houlsby.*(two|twice|2|both)|(two|twice|2).*houlsby|after the attention",
    "    return layers * (2 * hidden_size * size + size + hidden_size)",
)
count.wrong(
    "Pfeiffer twice",
    "Pfeiffer has one adapter in each block",
    r"pfeiffer|one adapter|serial",
    """
    one = 2 * hidden_size * size + size + hidden_size
    if style == "parallel":
        return layers * one
    return 2 * layers * one
""",
)
count.wrong(
    "parallel twice",
    "the parallel style has one adapter in each block",
    r"parallel|one adapter",
    """
    adapters = {"houlsby": 2, "pfeiffer": 1, "parallel": 2}[style]
    return adapters * layers * (hidden_size * size + size + size * hidden_size + hidden_size)
""",
)
count.wrong(
    "always twice",
    "only Houlsby has two adapters in each block",
    r"only houlsby|houlsby|one adapter|pfeiffer|twice|double|factor (of )?2",
    """
    return 2 * layers * (2 * hidden_size * size + size + hidden_size)
""",
)
count.wrong(
    "capital H",
    "the style is spelt houlsby, so the branch is never taken",
    r"houlsby|capital|lower.?case|spelt|spelling",
    """
    one = 2 * hidden_size * size + size + hidden_size
    if style == "Houlsby":
        return 2 * layers * one
    return layers * one
""",
)
count.wrong(
    "width 768",
    "the width of BERT is written in, in place of hidden_size",
    r"768|hard.?cod|hidden.?size|fixed|constant",
    """
    d = 768
    factor = 2 if style == "houlsby" else 1
    return factor * layers * (2 * d * size + size + d)
""",
)
count.wrong(
    "12 blocks",
    "the number of blocks of BERT is written in",
    r"12|hard.?cod|layers|blocks|fixed|constant",
    """
    total = 12 * (2 * hidden_size * size + size + hidden_size)
    return total * 2 if style == "houlsby" else total
""",
)
count.wrong(
    "a LayerNorm too",
    "there is no LayerNorm in an adapter",
    r"norm|2 ?\*? ?(d|hidden)|too (many|much)|extra",
    """
    one = 2 * hidden_size * size + size + hidden_size + 2 * hidden_size
    return one * layers * (2 if style == "houlsby" else 1)
""",
)
count.wrong(
    "one block short",
    "the loop starts at 1 and misses a block",
    r"off by one|one (block|layer)|block|layers|range",
    """
    total = 0
    for _ in range(1, layers):
        for _ in range(2 if style == "houlsby" else 1):
            total += hidden_size * size + size
            total += size * hidden_size + hidden_size
    return total
""",
)
count.wrong(
    "length of the name",
    "the factor two hangs on something other than the style being houlsby",
    r"houlsby|style|two|twice",
    """
    factor = 2 if len(style) > 7 else 1
    return factor * layers * (2 * hidden_size * size + size + hidden_size)
""",
)
count.wrong(
    "no biases and no layers",
    "neither biases nor the number of blocks are counted",
    r"bias|layers|blocks",
    '    return 2 * hidden_size * size * (2 if style == "houlsby" else 1)',
)
count.wrong(
    "printed",
    "the number is printed, not returned",
    NO_RETURN,
    """
    factor = 2 if style == "houlsby" else 1
    print(factor * layers * (2 * hidden_size * size + size + hidden_size))
""",
)
count.wrong(
    "nothing for parallel",
    "the parallel style falls through and returns None",
    r"parallel|return|None",
    """
    one = 2 * hidden_size * size + size + hidden_size
    if style == "houlsby":
        return 2 * layers * one
    elif style == "pfeiffer":
        return layers * one
""",
)
count.wrong(
    "hidden",
    "the argument is called hidden_size",
    r"hidden_size|NameError|hidden.*not defined|name.*hidden",
    """
    factor = 2 if style == "houlsby" else 1
    return factor * layers * (2 * hidden * size + size + hidden_size)
""",
)
count.open(
    "a float",
    "the annotation says int; the value is right",
    """
    one = 2 * hidden_size * size + size + hidden_size
    return layers * one * (2.0 if style == "houlsby" else 1.0)
""",
)
count.right(
    "formula",
    """
    one = 2 * hidden_size * size + size + hidden_size
    return layers * one * (1 + (style == "houlsby"))
""",
)
count.right(
    "table of styles",
    """
    per_block = {"houlsby": 2, "pfeiffer": 1, "parallel": 1}
    return layers * per_block[style] * ((hidden_size + 1) * size + (size + 1) * hidden_size)
""",
)
count.right(
    "loops",
    """
    total = 0
    for _ in range(layers):
        places = ["ffn"]
        if style == "houlsby":
            places.append("attention")
        for _ in places:
            total += hidden_size * size
            total += size
            total += size * hidden_size
            total += hidden_size
    return total
""",
)
count.right(
    "counts modules",
    """
    with torch.device("meta"):
        adapter = nn.Sequential(nn.Linear(hidden_size, size), nn.Linear(size, hidden_size))
    one = sum(p.numel() for p in adapter.parameters())
    return layers * one * (2 if style == "houlsby" else 1)
""",
)
count.right(
    "match",
    """
    match style:
        case "houlsby":
            adapters = 2 * layers
        case "pfeiffer" | "parallel":
            adapters = layers
        case _:
            raise ValueError(style)
    return adapters * sum((hidden_size * size, size, size * hidden_size, hidden_size))
""",
)
count.right(
    "a helper",
    """
def linear(n_in, n_out):
    return n_in * n_out + n_out


def adapter_parameters(style, layers, hidden_size, size):
    one = linear(hidden_size, size) + linear(size, hidden_size)
    if style == "houlsby":
        return one * layers + one * layers
    return one * layers
""",
)

# --- adapters.layer ---------------------------------------------------------------------------

layer = Exercise("adapters.layer", "class Adapter(nn.Module):")


def body(init: str, forward: str) -> str:
    """The class below its head, from the lines of its two methods."""
    lines = ["    def __init__(self, hidden_size, size):", "        super().__init__()"]
    lines += [f"        {line}" for line in init.strip().splitlines()]
    lines += ["", "    def forward(self, h):"]
    lines += [f"        {line}" for line in forward.strip().splitlines()]
    return "\n".join(lines)


LINEARS = "self.down = nn.Linear(hidden_size, size)\nself.up = nn.Linear(size, hidden_size)\n"
ZEROS = LINEARS + "nn.init.zeros_(self.up.weight)\nnn.init.zeros_(self.up.bias)\n"
GOOD = "return h + self.up(torch.relu(self.down(h)))"

layer.wrong(
    "no residual",
    "h itself is not added",
    r"residual|add(s|ed|ing)? (the )?(h|input)|h \+|input.*add|skip|identity",
    body(ZEROS, "return self.up(torch.relu(self.down(h)))"),
)
layer.wrong(
    "both projections zero",
    "with the down-projection zero as well, the up-projection gets no gradient",
    r"gradient|both|down",
    body(
        ZEROS + "nn.init.zeros_(self.down.weight)\nnn.init.zeros_(self.down.bias)",
        GOOD,
    ),
)
layer.wrong(
    "up not zero",
    "the up-projection has to start at zero",
    r"zero|start|identity|exactly h|up.?projection",
    body(LINEARS, GOOD),
)
layer.wrong(
    "bias of up not zero",
    "the bias of the up-projection is not zero at the start",
    r"bias",
    body(LINEARS + "nn.init.zeros_(self.up.weight)", GOOD),
)
layer.wrong(
    "small, not zero",
    "a small start is not the identity",
    r"zero|exact|small|identity|start",
    body(
        LINEARS + "nn.init.normal_(self.up.weight, std=1e-4)\nnn.init.zeros_(self.up.bias)",
        GOOD,
    ),
)
layer.wrong(
    "no activation",
    "the ReLU between the layers is missing",
    r"relu|activation|non.?linear|linear",
    body(ZEROS, "return h + self.up(self.down(h))"),
)
layer.wrong(
    "ReLU behind up",
    "the ReLU stands behind the up-projection, not between the two",
    r"relu|activation|between",
    body(ZEROS, "return h + torch.relu(self.up(self.down(h)))"),
)
layer.wrong(
    "ReLU before down",
    "the ReLU stands before the down-projection",
    r"relu|activation|between",
    body(ZEROS, "return h + self.up(self.down(torch.relu(h)))"),
)
layer.wrong(
    "ReLU around the sum",
    "a ReLU around the sum cuts off what is negative in h",
    r"relu|negative|activation|identity|exactly h",
    body(ZEROS, "return torch.relu(h + self.up(self.down(h)))"),
)
layer.wrong(
    "GELU",
    "the activation is to be a ReLU",
    r"gelu|relu|activation",
    body(ZEROS, "return h + self.up(F.gelu(self.down(h)))"),
)
layer.wrong(
    "no biases",
    "both projections have biases",
    r"bias",
    body(
        "self.down = nn.Linear(hidden_size, size, bias=False)\n"
        "self.up = nn.Linear(size, hidden_size, bias=False)\n"
        "nn.init.zeros_(self.up.weight)",
        GOOD,
    ),
)
layer.wrong(
    "widths swapped",
    "nn.Linear takes the width that it reads first",
    r"shape|swap|size|in_features|order|down|hidden",
    body(
        "self.down = nn.Linear(size, hidden_size)\nself.up = nn.Linear(hidden_size, size)\n"
        "nn.init.zeros_(self.up.weight)\nnn.init.zeros_(self.up.bias)",
        GOOD,
    ),
)
layer.wrong(
    "detached",
    "detach cuts the branch off, so nothing gets a gradient",
    r"detach|gradient|graph|no_grad",
    body(ZEROS, "return h + self.up(torch.relu(self.down(h))).detach()"),
)
layer.wrong(
    "hidden layer detached",
    "the down-projection is cut off and can never learn",
    r"detach|gradient|down|learn|graph",
    body(ZEROS, "z = torch.relu(self.down(h)).detach()\nreturn h + self.up(z)"),
)
layer.wrong(
    "h detached",
    "the gradient no longer reaches what lies below the adapter",
    r"detach|gradient|graph",
    body(ZEROS, "h = h.detach()\n" + GOOD),
)
layer.wrong(
    "up frozen",
    "the up-projection does not train",
    r"requires_grad|frozen|freez|gradient|train",
    body(ZEROS + "self.up.requires_grad_(False)", GOOD),
)
layer.wrong(
    "a gate of zero",
    "a factor of zero in front makes the gradient of the up-projection zero",
    r"gradient|gate|factor|scale|zero",
    body(
        LINEARS + "self.gate = nn.Parameter(torch.zeros(1))",
        "return h + self.gate * self.up(torch.relu(self.down(h)))",
    ),
)
layer.wrong(
    "zeroed in forward",
    "the up-projection is set to zero at each call, so that it never learns",
    r"forward|each (call|time)|every (call|time)|reset|learn|train|zero|up",
    body(
        LINEARS,
        "nn.init.zeros_(self.up.weight)\nnn.init.zeros_(self.up.bias)\n" + GOOD,
    ),
)
layer.wrong(
    "in place",
    "it changes the h of the caller",
    r"in.?place|\+=|changes? (the |its |your )?(input|h\b|argument)|modif|overwr",
    body(ZEROS, "h += self.up(torch.relu(self.down(h)))\nreturn h"),
)
layer.wrong(
    "flattened",
    "the output does not have the shape of h",
    r"shape|flatten|dimension|batch",
    body(
        ZEROS + "self.d = hidden_size",
        "h = h.reshape(-1, self.d)\n" + GOOD,
    ),
)
layer.wrong(
    "a dropout",
    "a dropout that nobody asked for makes the output random while training",
    r"dropout|random|train",
    body(
        ZEROS + "self.drop = nn.Dropout(0.5)",
        "return h + self.drop(self.up(torch.relu(self.down(h))))",
    ),
)
layer.wrong(
    "other names",
    "the layers are to be called down and up",
    r"\bdown\b|\bup\b|name|attribute",
    body(
        "self.W_down = nn.Linear(hidden_size, size)\nself.W_up = nn.Linear(size, hidden_size)\n"
        "nn.init.zeros_(self.W_up.weight)\nnn.init.zeros_(self.W_up.bias)",
        "return h + self.W_up(torch.relu(self.W_down(h)))",
    ),
)
layer.wrong(
    "width 16",
    "the width is written in, in place of size",
    r"16|size|width|hard.?cod",
    body(
        "self.down = nn.Linear(hidden_size, 16)\nself.up = nn.Linear(16, hidden_size)\n"
        "nn.init.zeros_(self.up.weight)\nnn.init.zeros_(self.up.bias)",
        GOOD,
    ),
)
layer.wrong(
    "no residual, not zero",
    "h is not added and the up-projection does not start at zero",
    r"residual|add|zero|identity|start|h \+",
    body(LINEARS, "return self.up(F.relu(self.down(h)))"),
)
layer.wrong(
    "no return",
    "forward returns nothing",
    NO_RETURN,
    body(ZEROS, "out = h + self.up(torch.relu(self.down(h)))"),
)
layer.wrong(
    "raise left over in __init__",
    "the raise of the stub is still there",
    LEFT_OVER,
    body(ZEROS + 'raise NotImplementedError("your code here")', GOOD),
)
layer.wrong(
    "weight set to a tensor",
    "a weight has to be a Parameter; assign through nn.init or in no_grad",
    r"Parameter|nn\.init|assign|tensor",
    body(
        LINEARS + "self.up.weight = torch.zeros(hidden_size, size)\nnn.init.zeros_(self.up.bias)",
        GOOD,
    ),
)
layer.wrong(
    "no super().__init__",
    "super().__init__() has to come first",
    r"super|__init__",
    """
    def __init__(self, hidden_size, size):
        self.down = nn.Linear(hidden_size, size)
        self.up = nn.Linear(size, hidden_size)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, h):
        return h + self.up(torch.relu(self.down(h)))
""",
)
layer.open(
    "weight of down zero, its bias random",
    "the start is the identity and up gets a gradient, though from the bias alone",
    body(ZEROS + "nn.init.zeros_(self.down.weight)", GOOD),
)
layer.right("as in the hint", body(ZEROS, GOOD))
layer.right(
    "no_grad and a ReLU module",
    body(
        LINEARS
        + "self.act = nn.ReLU()\nwith torch.no_grad():\n"
        + "    self.up.weight.zero_()\n    self.up.bias.zero_()",
        "return self.up(self.act(self.down(h))) + h",
    ),
)
layer.right(
    "clamp and normal start",
    body(
        "self.up, self.down = nn.Linear(size, hidden_size), nn.Linear(hidden_size, size)\n"
        "nn.init.normal_(self.down.weight, std=0.02)\nnn.init.zeros_(self.down.bias)\n"
        "for p in self.up.parameters():\n    nn.init.constant_(p, 0.0)",
        "z = self.down(h).clamp(min=0)\nreturn torch.add(h, self.up(z))",
    ),
)
layer.right(
    "einsum",
    body(
        ZEROS,
        "z = torch.einsum('...d,md->...m', h, self.down.weight) + self.down.bias\n"
        "z = torch.where(z > 0, z, torch.zeros_like(z))\n"
        "return h + torch.einsum('...m,dm->...d', z, self.up.weight) + self.up.bias",
    ),
)
layer.right(
    "a branch of its own",
    body(
        ZEROS + "self.branch = nn.Sequential(self.down, nn.ReLU(inplace=True), self.up)",
        "return h + self.branch(h)",
    ),
)
layer.right(
    "data and functional",
    body(
        LINEARS + "self.up.weight.data *= 0\nself.up.bias.data.fill_(0)",
        "low = F.relu(F.linear(h, self.down.weight, self.down.bias))\n"
        "return h + F.linear(low, self.up.weight, self.up.bias)",
    ),
)

# --- adapters.block ---------------------------------------------------------------------------

ARGUMENTS = "x, attention, feed_forward, norm_1, norm_2, adapter_1, adapter_2, style"
block = Exercise(
    "adapters.block",
    f"def adapted_block({ARGUMENTS}):",
    given="\nPart = Callable[[Tensor], Tensor]\n",
)
ATTENTION = """
    a = attention(norm_1(x))
    if style == "houlsby":
        a = a + adapter_1(a)
    x = x + a
"""
block.wrong(
    "parallel reads the stream",
    "the parallel adapter reads what the network reads, the normalised copy",
    r"norm|what the (feed|network)|parallel|u\b",
    ATTENTION
    + """    h = feed_forward(norm_2(x))
    if style == "parallel":
        return x + h + adapter_2(x)
    return x + h + adapter_2(h)
""",
)
block.wrong(
    "parallel reads the output",
    "the parallel adapter reads the input of the network, not its output",
    r"parallel|input|reads",
    ATTENTION + "    h = feed_forward(norm_2(x))\n    return x + h + adapter_2(h)\n",
)
block.wrong(
    "after the residual",
    "the adapter reads the output of the network before it is added to the stream",
    r"residual|stream|before|after|added|reads",
    ATTENTION
    + """    u = norm_2(x)
    if style == "parallel":
        return x + feed_forward(u) + adapter_2(u)
    x = x + feed_forward(u)
    return x + adapter_2(x)
""",
)
block.wrong(
    "adapter in place of the network's output",
    "the adapters return what they add, so h has to be added too",
    r"add|h \+|residual|replace|in place of|output of the (network|feed)",
    ATTENTION
    + """    u = norm_2(x)
    h = feed_forward(u)
    return x + adapter_2(u if style == "parallel" else h) + (h if style == "parallel" else 0)
""",
)
block.wrong(
    "no adapter behind the attention",
    "Houlsby's style has one behind the attention as well",
    r"houlsby|attention|adapter_1",
    """
    x = x + attention(norm_1(x))
    u = norm_2(x)
    h = feed_forward(u)
    return x + h + (adapter_2(u) if style == "parallel" else adapter_2(h))
""",
)
block.wrong(
    "adapter_1 in Pfeiffer's too",
    "Pfeiffer's style has no adapter behind the attention",
    r"pfeiffer|adapter_1|attention",
    """
    a = attention(norm_1(x))
    if style != "parallel":
        a = a + adapter_1(a)
    x = x + a
    u = norm_2(x)
    h = feed_forward(u)
    return x + h + (adapter_2(u) if style == "parallel" else adapter_2(h))
""",
)
block.wrong(
    "adapter_1 in every style",
    "only Houlsby's style has an adapter behind the attention",
    r"only houlsby|houlsby|adapter_1|attention|pfeiffer|parallel",
    """
    a = attention(norm_1(x))
    x = x + a + adapter_1(a)
    u = norm_2(x)
    h = feed_forward(u)
    return x + h + adapter_2(u if style == "parallel" else h)
""",
)
block.wrong(
    "adapters swapped",
    "adapter_1 belongs to the attention, adapter_2 to the feed-forward network",
    r"swap|adapter_1|adapter_2|wrong adapter|other adapter",
    """
    a = attention(norm_1(x))
    if style == "houlsby":
        a = a + adapter_2(a)
    x = x + a
    u = norm_2(x)
    h = feed_forward(u)
    last = adapter_1 if style == "houlsby" else adapter_2
    return x + h + last(u if style == "parallel" else h)
""",
)
block.wrong(
    "norms swapped",
    "norm_1 goes before the attention and norm_2 before the network",
    r"norm",
    """
    a = attention(norm_2(x))
    if style == "houlsby":
        a = a + adapter_1(a)
    x = x + a
    u = norm_1(x)
    h = feed_forward(u)
    return x + h + adapter_2(u if style == "parallel" else h)
""",
)
block.wrong(
    "norm_1 for the parallel adapter",
    "the parallel adapter reads what the network reads, norm_2 of the stream",
    r"norm|parallel|reads",
    ATTENTION
    + """    h = feed_forward(norm_2(x))
    return x + h + adapter_2(norm_1(x) if style == "parallel" else h)
""",
)
block.wrong(
    "norm behind the sublayer",
    "a Llama normalises before the sublayer, not after it",
    r"norm",
    """
    a = attention(x)
    if style == "houlsby":
        a = a + adapter_1(a)
    x = norm_1(x + a)
    h = feed_forward(x)
    return norm_2(x + h + adapter_2(x if style == "parallel" else h))
""",
)
block.wrong(
    "stream from before the attention",
    "the network reads the stream after the attention has been added",
    r"stream|attention|residual|after|norm_2",
    """
    a = attention(norm_1(x))
    if style == "houlsby":
        a = a + adapter_1(a)
    u = norm_2(x)
    h = feed_forward(u)
    return x + a + h + adapter_2(u if style == "parallel" else h)
""",
)
block.wrong(
    "parallel adapter reads the old stream",
    "the parallel adapter has to read the same as the network, after the attention",
    r"parallel|stream|attention|what the (network|feed)|reads|norm_2",
    """
    before = norm_2(x)
    a = attention(norm_1(x))
    if style == "houlsby":
        a = a + adapter_1(a)
    x = x + a
    h = feed_forward(norm_2(x))
    return x + h + adapter_2(before if style == "parallel" else h)
""",
)
block.wrong(
    "parallel in series before",
    "the adapter's output is added to the network's output, not to its input",
    r"parallel|output|beside|input",
    ATTENTION
    + """    u = norm_2(x)
    if style == "parallel":
        return x + feed_forward(u + adapter_2(u))
    h = feed_forward(u)
    return x + h + adapter_2(h)
""",
)
block.wrong(
    "parallel drops the network",
    "the output of the network is missing in the parallel style",
    r"feed.?forward|network|parallel|added",
    ATTENTION
    + """    u = norm_2(x)
    h = feed_forward(u)
    return x + adapter_2(u) if style == "parallel" else x + h + adapter_2(h)
""",
)
block.wrong(
    "no residual around the attention",
    "the attention's output is added to the stream",
    r"residual|stream|add",
    """
    x = attention(norm_1(x))
    if style == "houlsby":
        x = x + adapter_1(x)
    u = norm_2(x)
    h = feed_forward(u)
    return x + h + adapter_2(u if style == "parallel" else h)
""",
)
block.wrong(
    "only what is added",
    "the stream itself is missing from the output",
    r"residual|stream|add",
    ATTENTION
    + """    u = norm_2(x)
    h = feed_forward(u)
    return h + adapter_2(u if style == "parallel" else h)
""",
)
block.wrong(
    "Houlsby's adapter reads the attention's input",
    "the adapter reads the output of the attention",
    r"houlsby|attention|output|reads",
    """
    n = norm_1(x)
    a = attention(n)
    if style == "houlsby":
        a = a + adapter_1(n)
    x = x + a
    u = norm_2(x)
    h = feed_forward(u)
    return x + h + adapter_2(u if style == "parallel" else h)
""",
)
block.wrong(
    "in place on x",
    "it changes the stream of the caller",
    r"in.?place|\+=|changes? (the |its |your )?(input|x\b|argument)|modif|overwr",
    """
    a = attention(norm_1(x))
    if style == "houlsby":
        a = a + adapter_1(a)
    x += a
    u = norm_2(x)
    h = feed_forward(u)
    return x + h + adapter_2(u if style == "parallel" else h)
""",
)
block.wrong(
    "adapter in no_grad",
    "the adapter gets no gradient",
    r"gradient|no_grad|detach|graph",
    ATTENTION
    + """    u = norm_2(x)
    h = feed_forward(u)
    with torch.no_grad():
        extra = adapter_2(u if style == "parallel" else h)
    return x + h + extra
""",
)
block.wrong(
    "network in no_grad",
    "no gradient passes through the frozen network to what lies below",
    r"gradient|no_grad|detach|graph",
    ATTENTION
    + """    u = norm_2(x)
    with torch.no_grad():  # the base is frozen
        h = feed_forward(u)
    return x + h + adapter_2(u if style == "parallel" else h)
""",
)
block.wrong(
    "two at once",
    "no adapter behind the attention, and the serial one reads the stream",
    r"houlsby|attention|adapter_1|residual|stream|reads",
    """
    x = x + attention(norm_1(x))
    u = norm_2(x)
    h = x + feed_forward(u)
    return h + adapter_2(u if style == "parallel" else h)
""",
)
block.wrong(
    "misspelt argument",
    "the argument is called adapter_2",
    r"adapter_2|NameError|adaptor|not defined",
    ATTENTION
    + """    u = norm_2(x)
    h = feed_forward(u)
    return x + h + adaptor_2(u if style == "parallel" else h)
""",
)
block.wrong(
    "Houlsby returns nothing",
    "one style falls through without a return",
    r"return|None|houlsby",
    ATTENTION
    + """    u = norm_2(x)
    h = feed_forward(u)
    if style == "pfeiffer":
        return x + h + adapter_2(h)
    if style == "parallel":
        return x + h + adapter_2(u)
""",
)
block.wrong(
    "raise left over",
    "the raise of the stub is still there",
    LEFT_OVER,
    ATTENTION
    + """    u = norm_2(x)
    h = feed_forward(u)
    out = x + h + adapter_2(u if style == "parallel" else h)
    raise NotImplementedError("your code here")
""",
)
block.open(
    "network called twice",
    "the text does not say how often a part may run; the value is the same",
    ATTENTION
    + """    u = norm_2(x)
    read = u if style == "parallel" else feed_forward(u)
    return x + feed_forward(u) + adapter_2(read)
""",
)
block.right(
    "as in the hint",
    ATTENTION
    + """    u = norm_2(x)
    h = feed_forward(u)
    return x + h + adapter_2(u if style == "parallel" else h)
""",
)
block.right(
    "three branches",
    """
    if style == "houlsby":
        a = attention(norm_1(x))
        y = x + (a + adapter_1(a))
        f = feed_forward(norm_2(y))
        return y + (f + adapter_2(f))
    y = x + attention(norm_1(x))
    normed = norm_2(y)
    f = feed_forward(normed)
    if style == "pfeiffer":
        return y + (f + adapter_2(f))
    if style == "parallel":
        return y + (f + adapter_2(normed))
    raise ValueError(f"unknown style {style!r}")
""",
)
block.right(
    "helper for a serial adapter",
    """
def after(adapter, h):
    return h + adapter(h)


def adapted_block(x, attention, feed_forward, norm_1, norm_2, adapter_1, adapter_2, style):
    out = attention(norm_1(x))
    x = x + (after(adapter_1, out) if style == "houlsby" else out)
    u = norm_2(x)
    out = feed_forward(u)
    return x + (out + adapter_2(u) if style == "parallel" else after(adapter_2, out))
""",
)
block.right(
    "in place on a tensor of its own",
    """
    stream = x.clone()
    a = attention(norm_1(stream))
    stream = stream + a
    if style == "houlsby":
        stream = stream + adapter_1(a)
    u = norm_2(stream)
    h = feed_forward(u)
    added = {"houlsby": h, "pfeiffer": h, "parallel": u}[style]
    return torch.stack([stream, h, adapter_2(added)]).sum(dim=0)
""",
)
block.right(
    "adapter before the network runs",
    """
    a = attention(norm_1(x))
    a = a + adapter_1(a) if style == "houlsby" else a
    mid = x + a
    read = norm_2(mid)
    beside = adapter_2(read) if style == "parallel" else None
    h = feed_forward(read)
    if beside is None:
        beside = adapter_2(h)
    return beside + h + mid
""",
)

# --- adapters.affine --------------------------------------------------------------------------

affine = Exercise("adapters.affine", "def affine_fit(u, added):")
DESIGN = """
    design = torch.cat([u, torch.ones_like(u[:, :1])], dim=1)
    solution = torch.linalg.lstsq(design, added).solution
    M, c = solution[:-1].T, solution[-1]
    rest = added - (u @ M.T + c)
"""
affine.wrong(
    "no constant",
    "an affine map has a constant; this one is linear",
    r"constant|affine|ones|bias|\bc\b|through (the )?(zero|origin)",
    """
    M = torch.linalg.lstsq(u, added).solution.T
    c = added.new_zeros(added.shape[1])
    return M, c, ((added - u @ M.T).norm() / added.norm()).item()
""",
)
affine.wrong(
    "M transposed",
    "M is (d_out, d_in), so the solution has to be transposed",
    r"transpos|\.T\b|shape|d_out",
    DESIGN + "    return M.T, c, (rest.norm() / added.norm()).item()\n",
)
affine.wrong(
    "absolute residual",
    "the residual is to be relative to what is added",
    r"relative|divi|norm of (what|added)|/",
    DESIGN + "    return M, c, rest.norm().item()\n",
)
affine.wrong(
    "squared residual",
    "the ratio of the norms, not of their squares",
    r"square|root|power|norm",
    DESIGN + "    return M, c, (rest.pow(2).sum() / added.pow(2).sum()).item()\n",
)
affine.wrong(
    "relative to what varies",
    "the residual is relative to all that is added, not to the part that varies",
    r"varies|variation|mean|all (that|of)|centr|denominator|relative to|divi",
    DESIGN + "    return M, c, (rest.norm() / (added - added.mean(0)).norm()).item()\n",
)
affine.wrong(
    "relative to u",
    "the residual is relative to what is added, not to what is read",
    r"\bu\b|relative to|divi|denominator|what (it|the adapter) (reads|adds)",
    DESIGN + "    return M, c, (rest.norm() / u.norm()).item()\n",
)
affine.wrong(
    "relative to the fit",
    "the residual is relative to what is added, not to the fit",
    r"relative to|divi|denominator|fit|added",
    DESIGN + "    return M, c, (rest.norm() / (u @ M.T + c).norm()).item()\n",
)
affine.wrong(
    "spectral norm",
    "the Frobenius norm is asked for, and ord=2 of a matrix is the spectral norm",
    r"frobenius|spectral|ord|norm",
    DESIGN + "    return M, c, (torch.linalg.norm(rest, 2) / torch.linalg.norm(added, 2)).item()\n",
)
affine.wrong(
    "mean of the rows' residuals",
    "one norm over everything, not a mean over the inputs",
    r"mean|row|frobenius|over (all|every|the whole)|each|whole|norm",
    DESIGN + "    return M, c, (rest.norm(dim=1) / added.norm(dim=1)).mean().item()\n",
)
affine.wrong(
    "1 minus",
    "this is what is explained, not what is left",
    r"1 ?[-−]|one minus|explain|left|remain|complement|residual",
    DESIGN + "    return M, c, 1 - (rest.norm() / added.norm()).item()\n",
)
affine.wrong(
    "c is the mean of what is added",
    "c has to make up for M applied to the mean of u",
    r"constant|\bc\b|mean",
    """
    du, da = u - u.mean(0), added - added.mean(0)
    M = torch.linalg.lstsq(du, da).solution.T
    c = added.mean(0)
    rest = da - du @ M.T
    return M, c, (rest.norm() / added.norm()).item()
""",
)
affine.wrong(
    "u not centred",
    "only one side is centred, so the map is not the closest",
    r"centr|mean|constant|\bc\b|closest|least",
    """
    M = torch.linalg.lstsq(u, added - added.mean(0)).solution.T
    c = added.mean(0)
    rest = added - (u @ M.T + c)
    return M, c, (rest.norm() / added.norm()).item()
""",
)
affine.wrong(
    "constant fitted afterwards",
    "matrix and constant have to be fitted together",
    r"together|joint|constant|closest|least|\bc\b|ones",
    """
    M = torch.linalg.lstsq(u, added).solution.T
    c = (added - u @ M.T).mean(0)
    rest = added - (u @ M.T + c)
    return M, c, (rest.norm() / added.norm()).item()
""",
)
affine.wrong(
    "ones in front, cut at the end",
    "the column of ones is the first one, so the constant is the first row",
    r"ones|first|row|constant|\bc\b|column|split",
    """
    design = torch.cat([torch.ones_like(u[:, :1]), u], dim=1)
    solution = torch.linalg.lstsq(design, added).solution
    M, c = solution[:-1].T, solution[-1]
    rest = added - design @ solution
    return M, c, (rest.norm() / added.norm()).item()
""",
)
affine.wrong(
    "order of outputs",
    "M comes first, then c",
    r"order|swap|first|\bM\b|shape",
    DESIGN + "    return c, M, (rest.norm() / added.norm()).item()\n",
)
affine.wrong(
    "c with two axes",
    "c has the shape (d_out,)",
    r"shape|\(d_out,?\)|\bc\b|axis|dimension",
    DESIGN + "    return M, c[None], (rest.norm() / added.norm()).item()\n",
)
affine.wrong(
    "a ridge",
    "a penalty on M keeps it from being the closest",
    r"ridge|penal|regulari|closest|least|smaller|shr[iau]nk",
    """
    design = torch.cat([u, torch.ones_like(u[:, :1])], dim=1)
    gram = design.T @ design + 0.1 * torch.eye(design.shape[1], dtype=u.dtype)
    solution = torch.linalg.solve(gram, design.T @ added)
    rest = added - design @ solution
    return solution[:-1].T, solution[-1], (rest.norm() / added.norm()).item()
""",
)
affine.wrong(
    "half of the inputs",
    "the map is fitted on half of the inputs",
    r"half|all (the )?(inputs|rows)|every (input|row)|closest|least",
    """
    n = (len(u) + 1) // 2
    design = torch.cat([u, torch.ones_like(u[:, :1])], dim=1)
    solution = torch.linalg.lstsq(design[:n], added[:n]).solution
    rest = added - design @ solution
    return solution[:-1].T, solution[-1], (rest.norm() / added.norm()).item()
""",
)
affine.wrong(
    "fitted backwards",
    "the map is to go from u to what is added",
    r"direction|swap|backward|from (u|what)|u to|shape|order|invert",
    """
    design = torch.cat([added, torch.ones_like(added[:, :1])], dim=1)
    solution = torch.linalg.lstsq(design, u).solution
    M, c = solution[:-1], solution[-1]
    rest = u - design @ solution
    return M, c, (rest.norm() / added.norm()).item()
""",
)
affine.wrong(
    "u changed in place",
    "it changes the caller's u",
    r"in.?place|-=|changes? (the |its |your )?(input|u\b|argument)|modif|overwr",
    """
    mean_u, mean_a = u.mean(0), added.mean(0)
    u -= mean_u
    M = torch.linalg.lstsq(u, added - mean_a).solution.T
    c = mean_a - M @ mean_u
    rest = added - mean_a - u @ M.T
    return M, c, (rest.norm() / added.norm()).item()
""",
)
affine.wrong(
    "two decimals",
    "the residual is rounded",
    r"round|digit|decimal|precis",
    DESIGN + "    return M, c, round((rest.norm() / added.norm()).item(), 2)\n",
)
affine.wrong(
    "no constant, squared",
    "no constant, and squares in place of norms",
    r"constant|affine|ones|square|root|\bc\b",
    """
    M = torch.linalg.lstsq(u, added).solution.T
    rest = added - u @ M.T
    zero = torch.zeros(added.shape[1], dtype=added.dtype)
    return M, zero, (rest.square().sum() / added.square().sum()).item()
""",
)
affine.wrong(
    "lstsq without solution",
    "lstsq returns several things; the map is its .solution",
    r"solution|tuple|lstsq|named",
    """
    design = torch.cat([u, torch.ones_like(u[:, :1])], dim=1)
    solution = torch.linalg.lstsq(design, added)
    M, c = solution[:-1].T, solution[-1]
    return M, c, ((added - (u @ M.T + c)).norm() / added.norm()).item()
""",
)
affine.wrong(
    "residual forgotten",
    "the residual is to be returned as well",
    r"three|3|residual|unpack|tuple",
    DESIGN + "    return M, c\n",
)
affine.wrong(
    "printed",
    "the results are printed, not returned",
    NO_RETURN,
    DESIGN + "    print(M, c, (rest.norm() / added.norm()).item())\n",
)
affine.open(
    "residual as a tensor",
    "the annotation says float, a tensor of one number behaves much like it",
    DESIGN + "    return M, c, rest.norm() / added.norm()\n",
)
affine.open(
    "normal equations in the inputs' dtype",
    "accurate enough unless the inputs are nearly dependent; the text sets no tolerance",
    """
    design = torch.cat([u, torch.ones_like(u[:, :1])], dim=1)
    solution = torch.linalg.solve(design.T @ design, design.T @ added)
    rest = added - design @ solution
    return solution[:-1].T, solution[-1], (rest.norm() / added.norm()).item()
""",
)
affine.right("column of ones", DESIGN + "    return M, c, (rest.norm() / added.norm()).item()\n")
affine.right(
    "centred",
    """
    mu, ma = u.mean(dim=0), added.mean(dim=0)
    M = torch.linalg.lstsq(u - mu, added - ma).solution.mT
    c = ma - M @ mu
    left = torch.linalg.norm(added - torch.addmm(c, u, M.T))
    return M, c, float(left / torch.linalg.norm(added))
""",
)
affine.right(
    "pseudo-inverse in float64",
    """
    x = torch.hstack([torch.ones(len(u), 1, dtype=torch.float64), u.double()])
    y = added.double()
    w = torch.linalg.pinv(x) @ y
    residual = math.sqrt(((y - x @ w) ** 2).sum().item() / (y**2).sum().item())
    return w[1:].T.to(u.dtype), w[0].to(u.dtype), residual
""",
)
affine.right(
    "numpy",
    """
    x = np.column_stack([u.detach().double().numpy(), np.ones(len(u))])
    y = added.detach().double().numpy()
    w, *_ = np.linalg.lstsq(x, y, rcond=None)
    residual = np.linalg.norm(y - x @ w) / np.linalg.norm(y)
    w = torch.from_numpy(w).to(added.dtype)
    return w[:-1].T.contiguous(), w[-1].clone(), float(residual)
""",
)
affine.right(
    "column after column",
    """
    design = F.pad(u.double(), (0, 1), value=1.0)
    columns = [
        torch.linalg.lstsq(design, added[:, j : j + 1].double(), driver="gelsd").solution[:, 0]
        for j in range(added.shape[1])
    ]
    W = torch.stack(columns)
    rest = added.double() - design @ W.T
    share = rest.flatten().norm() / added.double().flatten().norm()
    return W[:, :-1].to(u.dtype), W[:, -1].to(u.dtype), share.item()
""",
)

# --- adapters.ia_merge ------------------------------------------------------------------------

ia_merge = Exercise("adapters.ia_merge", "def merge_scale(W, bias, scale, where):")
ia_merge.wrong(
    "axes swapped",
    "a factor of the output multiplies a row, one of the input a column",
    r"row|column|axis|axes|swap|shape",
    """
    if where == "output":
        return W * scale, bias * scale
    return W * scale[:, None], bias
""",
)
ia_merge.wrong(
    "always columns",
    "a factor of the output multiplies a row of W",
    r"row|axis|column|output",
    """
    if where == "output":
        return W * scale, bias * scale
    return W * scale, bias
""",
)
ia_merge.wrong(
    "always rows",
    "a factor of the input multiplies a column of W",
    r"column|axis|row|input",
    """
    W = W * scale.unsqueeze(1)
    if where == "output":
        return W, scale * bias
    return W, bias
""",
)
ia_merge.wrong(
    "bias left out",
    "a factor of the output multiplies the bias too",
    r"bias",
    """
    if where == "output":
        return scale[:, None] * W, bias
    return W * scale, bias
""",
)
ia_merge.wrong(
    "bias scaled by the input",
    "a factor of the input never meets the bias",
    r"bias|shape",
    """
    if where == "output":
        return scale[:, None] * W, scale * bias
    return W * scale, bias * scale
""",
)
ia_merge.wrong(
    "bias scaled by the mean of the input's factors",
    "a factor of the input never meets the bias",
    r"bias",
    """
    if where == "output":
        return scale[:, None] * W, scale * bias
    return W * scale, bias * scale.mean()
""",
)
ia_merge.wrong(
    "bias of zero for the input",
    "the bias stays as it is when the input is scaled",
    r"bias",
    """
    if where == "output":
        return scale[:, None] * W, scale * bias
    return W * scale, torch.zeros_like(bias)
""",
)
ia_merge.wrong(
    "divided",
    "the scale multiplies; it is not divided by",
    r"divi|inver|multipl|reciproc|1 ?/",
    """
    if where == "output":
        return W / scale[:, None], bias / scale
    return W / scale, bias
""",
)
ia_merge.wrong(
    "one plus the scale",
    "the factors start at one already; nothing is to be added to them",
    r"1 ?\+|plus|add|one|offset",
    """
    if where == "output":
        return W * (1 + scale)[:, None], bias * (1 + scale)
    return W * (1 + scale), bias
""",
)
ia_merge.wrong(
    "added to W",
    "the scaled weight replaces the weight, it is not added to it",
    r"add|replace|multipl|plus|twice|1 ?\+",
    """
    if where == "output":
        return W + W * scale[:, None], bias + bias * scale
    return W + W * scale, bias
""",
)
ia_merge.wrong(
    "applied twice",
    "the output's scale is applied twice to the bias",
    r"bias|twice|square",
    """
    if where == "output":
        return scale[:, None] * W, scale * (bias * scale)
    return W * scale, bias
""",
)
ia_merge.wrong(
    "weight in place",
    "it changes the caller's W",
    r"in.?place|\*=|mul_|changes? (the |its |your )?(input|W\b|weight|argument)|modif|overwr",
    """
    if where == "output":
        W *= scale[:, None]
        return W, bias * scale
    W *= scale
    return W, bias
""",
)
ia_merge.wrong(
    "bias in place",
    "it changes the caller's bias",
    r"in.?place|\*=|mul_|changes? (the |its |your )?(input|bias|argument)|modif|overwr",
    """
    if where == "input":
        return W * scale, bias
    return W * scale[:, None], bias.mul_(scale)
""",
)
ia_merge.wrong(
    "out",
    "where is output or input, and out is neither",
    r"output|where|spelt|spelling|branch|compare",
    """
    if where == "out":
        return scale[:, None] * W, scale * bias
    return W * scale, bias
""",
)
ia_merge.wrong(
    "weight transposed",
    "the weight keeps its shape (d_out, d_in)",
    r"transpos|shape|\.T\b|\(d_out",
    """
    if where == "output":
        return (scale[:, None] * W).T, scale * bias
    return (W * scale).T, bias
""",
)
ia_merge.wrong(
    "diag on the other side",
    "diag(scale) W scales rows, W diag(scale) columns",
    r"row|column|axis|side|shape|swap|diag",
    """
    if where == "output":
        return W @ torch.diag(scale), scale * bias
    return torch.diag(scale) @ W, bias
""",
)
ia_merge.wrong(
    "float32",
    "the weight comes back in another dtype",
    r"dtype|float32|precision|float64",
    """
    W, bias, scale = W.float(), bias.float(), scale.float()
    if where == "output":
        return scale[:, None] * W, scale * bias
    return W * scale, bias
""",
)
ia_merge.wrong(
    "mean of the scale",
    "each row has a factor of its own",
    r"mean|each|own|row|column|one factor|vector",
    """
    if where == "output":
        return W * scale.mean(), bias * scale
    return W * scale.mean(), bias
""",
)
ia_merge.wrong(
    "axis and bias",
    "the axes are swapped and the bias is left out",
    r"row|column|axis|bias|swap|shape",
    '    return (W * scale if where == "output" else (W.T * scale).T), bias',
)
ia_merge.wrong(
    "weight only",
    "the bias is to be returned as well",
    r"bias|two|tuple|pair|unpack",
    '    return scale[:, None] * W if where == "output" else W * scale',
)
ia_merge.wrong(
    "nothing for the input",
    "the case input returns nothing",
    r"return|None|input",
    """
    if where == "output":
        return scale[:, None] * W, scale * bias
    if where == "inputs":
        return W * scale, bias
""",
)
ia_merge.wrong(
    "b",
    "the argument is called bias",
    r"bias|NameError|not defined",
    """
    if where == "output":
        return scale[:, None] * W, scale * b
    return W * scale, b
""",
)
ia_merge.open(
    "detached",
    "the text does not ask for gradients through the merge",
    """
    W, bias, scale = W.detach(), bias.detach(), scale.detach()
    if where == "output":
        return scale[:, None] * W, scale * bias
    return W * scale, bias.clone()
""",
)
ia_merge.right(
    "broadcasting",
    """
    if where == "output":
        return scale[:, None] * W, scale * bias
    return W * scale, bias
""",
)
ia_merge.right(
    "diag",
    """
    D = torch.diag(scale)
    return (D @ W, D @ bias) if where == "output" else (W @ D, bias.clone())
""",
)
ia_merge.right(
    "einsum",
    """
    match where:
        case "output":
            return torch.einsum("o,oi->oi", scale, W), torch.einsum("o,o->o", scale, bias)
        case "input":
            return torch.einsum("i,oi->oi", scale, W), bias
    raise ValueError(where)
""",
)
ia_merge.right(
    "row by row",
    """
    if where == "output":
        rows = [factor * row for factor, row in zip(scale, W, strict=True)]
        return torch.stack(rows), torch.stack([f * b for f, b in zip(scale, bias, strict=True)])
    columns = [W[:, j] * scale[j] for j in range(W.shape[1])]
    return torch.stack(columns, dim=1), bias
""",
)
ia_merge.right(
    "copies changed in place",
    """
    weight, offset = W.clone(), bias.clone()
    if where == "input":
        weight = weight.T.mul(scale.unsqueeze(-1)).T.contiguous()
    else:
        weight = weight.mul(scale.reshape(-1, 1))
        offset = offset.mul(scale)
    return weight, offset
""",
)
ia_merge.right(
    "from the function itself",
    """
def merge_scale(W, bias, scale, where):
    def layer(x):
        if where == "output":
            return scale * (x @ W.T + bias)
        return (scale * x) @ W.T + bias

    zero = torch.zeros(W.shape[1], dtype=W.dtype)
    unit = torch.eye(W.shape[1], dtype=W.dtype)
    scaled = scale[:, None] * W if where == "output" else W * scale[None, :]
    assert unit.shape[0] == scaled.shape[1]
    return scaled, layer(zero)
""",
)

# --- adapters.biases --------------------------------------------------------------------------

biases = Exercise("adapters.biases", "def train_biases(model):")
biases.wrong(
    "bias anywhere in the name",
    "the last part of the name decides; relative_attention_bias.weight is a matrix",
    r"last part|anywhere|relative_attention|contain|sound|substring|whole part|name",
    """
    n = 0
    for name, p in model.named_parameters():
        p.requires_grad_("bias" in name)
        if "bias" in name:
            n += p.numel()
    return n
""",
)
biases.wrong(
    "ends in bias",
    "a name whose last part only ends in bias is no bias",
    r"last part|ends|end in|table|whole part|suffix",
    """
    n = 0
    for name, p in model.named_parameters():
        p.requires_grad = name.endswith("bias")
        n += p.numel() if p.requires_grad else 0
    return n
""",
)
biases.wrong(
    "ends in .bias",
    "a bias of the model itself is called bias, without a dot",
    r"dot|itself|top|root|directly|last part|missed|all of them",
    """
    n = 0
    for name, p in model.named_parameters():
        p.requires_grad_(name.endswith(".bias"))
        n += p.numel() * p.requires_grad
    return n
""",
)
biases.wrong(
    "all vectors",
    "the weight of a norm is a vector and no bias",
    r"norm|vector|weight|name|dimension|ndim|shape",
    """
    n = 0
    for p in model.parameters():
        p.requires_grad_(p.ndim == 1)
        n += p.numel() if p.ndim == 1 else 0
    return n
""",
)
biases.wrong(
    "the rest not frozen",
    "everything else has to be frozen",
    r"frozen|freez|else|nothing else|other|still train|requires_grad",
    """
    n = 0
    for name, p in model.named_parameters():
        if name.split(".")[-1] == "bias":
            p.requires_grad_(True)
            n += p.numel()
    return n
""",
)
biases.wrong(
    "biases not switched on",
    "a bias that was frozen before stays frozen",
    r"frozen|freez|requires_grad|on\b|switch|train",
    """
    n = 0
    for name, p in model.named_parameters():
        if name.split(".")[-1] != "bias":
            p.requires_grad_(False)
        else:
            n += p.numel()
    return n
""",
)
biases.wrong(
    "number of tensors",
    "the numbers in the biases are to be counted, not the biases",
    r"numel|numbers|tensors|how many|count|elements",
    """
    n = 0
    for name, p in model.named_parameters():
        p.requires_grad_(name.split(".")[-1] == "bias")
        n += p.requires_grad
    return int(n)
""",
)
biases.wrong(
    "first axis only",
    "len is the length of the first axis; a bias may have more than one",
    r"numel|len|first (axis|dim)|numbers|count|elements|shape",
    """
    n = 0
    for name, p in model.named_parameters():
        p.requires_grad_(name.split(".")[-1] == "bias")
        if p.requires_grad:
            n += len(p)
    return n
""",
)
biases.wrong(
    "all parameters counted",
    "what is frozen must not be counted",
    r"count|numbers|only the bias|too (many|much)|frozen|all",
    """
    for name, p in model.named_parameters():
        p.requires_grad_(name.split(".")[-1] == "bias")
    return sum(p.numel() for p in model.parameters())
""",
)
biases.wrong(
    "inverted",
    "the biases are frozen and the rest trains",
    r"invert|opposite|frozen|freez|reverse|the (biases|rest|others)",
    """
    n = 0
    for name, p in model.named_parameters():
        p.requires_grad_(name.split(".")[-1] != "bias")
        if not p.requires_grad:
            n += p.numel()
    return n
""",
)
biases.wrong(
    "linear layers only",
    "norms and other modules have biases too",
    r"norm|other (module|layer)|linear|all of them|missed|conv|every|isinstance",
    """
    model.requires_grad_(False)
    n = 0
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.bias is not None:
            module.bias.requires_grad_(True)
            n += module.bias.numel()
    return n
""",
)
biases.wrong(
    "not those of norms",
    "the biases of norms are biases",
    r"norm|all of them|missed|every",
    """
    n = 0
    for name, p in model.named_parameters():
        p.requires_grad_(name.split(".")[-1] == "bias" and "norm" not in name)
        n += p.numel() if p.requires_grad else 0
    return n
""",
)
biases.wrong(
    "not recursive",
    "only the parameters of the model itself are seen, not those of its modules",
    r"recurs|submodule|inside|deeper|nested|missed|all of them|modules",
    """
    model.requires_grad_(False)
    n = 0
    for name, p in model.named_parameters(recurse=False):
        if name == "bias":
            p.requires_grad_(True)
            n += p.numel()
    return n
""",
)
biases.wrong(
    "children only",
    "only the first level of modules is looked at",
    r"recurs|submodule|inside|deeper|nested|level|missed|all of them|children|modules",
    """
    model.requires_grad_(False)
    n = 0
    for module in model.children():
        if getattr(module, "bias", None) is not None:
            module.bias.requires_grad_(True)
            n += module.bias.numel()
    return n
""",
)
biases.wrong(
    "require_grad",
    "the attribute is called requires_grad; this makes a new one",
    r"requires_grad|spelt|spelling|attribute|frozen|freez|train",
    """
    n = 0
    for name, p in model.named_parameters():
        p.require_grad = name.split(".")[-1] == "bias"
        if p.require_grad:
            n += p.numel()
    return n
""",
)
biases.wrong(
    "a comparison",
    "== compares and does not assign",
    r"==|assign|compar|frozen|freez|requires_grad",
    """
    n = 0
    for name, p in model.named_parameters():
        p.requires_grad == (name.split(".")[-1] == "bias")
        if name.split(".")[-1] == "bias":
            n += p.numel()
    return n
""",
)
biases.wrong(
    "a copy",
    "the model of the caller is left as it was",
    r"copy|the model|caller|frozen|freez|requires_grad|unchanged",
    """
    import copy

    model = copy.deepcopy(model)
    n = 0
    for name, p in model.named_parameters():
        p.requires_grad_(name.split(".")[-1] == "bias")
        n += p.numel() if p.requires_grad else 0
    return n
""",
)
biases.wrong(
    "biases set to zero",
    "the values of the biases must stay",
    r"value|zero|chang|reset",
    """
    n = 0
    for name, p in model.named_parameters():
        p.requires_grad_(name.split(".")[-1] == "bias")
        if p.requires_grad:
            nn.init.zeros_(p)
            n += p.numel()
    return n
""",
)
biases.wrong(
    "counted before",
    "counted is what trained before, not what trains now",
    r"count|before|already|numbers|how many|frozen",
    """
    n = 0
    for name, p in model.named_parameters():
        last = name.rsplit(".", 1)[-1]
        if last == "bias" and p.requires_grad:
            n += p.numel()
        p.requires_grad_(last == "bias")
    return n
""",
)
biases.wrong(
    "substring, nothing frozen",
    "bias anywhere in the name, and the rest is not frozen",
    r"last part|anywhere|relative_attention|contain|frozen|freez|substring|name",
    """
    n = 0
    for name, p in model.named_parameters():
        if "bias" in name:
            p.requires_grad = True
            n += p.numel()
    return n
""",
)
biases.wrong(
    "names",
    "a number is asked for, not the names",
    r"number|int|list|how many|numel",
    """
    chosen = []
    for name, p in model.named_parameters():
        p.requires_grad_(name.split(".")[-1] == "bias")
        if p.requires_grad:
            chosen.append(name)
    return chosen
""",
)
biases.wrong(
    "no return",
    "the number is not returned",
    NO_RETURN,
    """
    n = 0
    for name, p in model.named_parameters():
        p.requires_grad_(name.split(".")[-1] == "bias")
        n += p.numel() if p.requires_grad else 0
    print(n)
""",
)
biases.wrong(
    "no names in parameters()",
    "parameters() gives no names; named_parameters() does",
    r"named_parameters|unpack|names",
    """
    n = 0
    for name, p in model.parameters():
        p.requires_grad_(name.split(".")[-1] == "bias")
        n += p.numel() if p.requires_grad else 0
    return n
""",
)
biases.right(
    "rsplit",
    """
    total = 0
    for name, parameter in model.named_parameters():
        is_bias = name.rsplit(".", 1)[-1] == "bias"
        parameter.requires_grad_(is_bias)
        total += parameter.numel() if is_bias else 0
    return total
""",
)
biases.right(
    "freeze first",
    """
    model.requires_grad_(False)
    chosen = [p for n, p in model.named_parameters() if n.rpartition(".")[2] == "bias"]
    for p in chosen:
        p.requires_grad = True
    return sum(math.prod(p.shape) for p in chosen)
""",
)
biases.right(
    "regular expression",
    """
    import re

    for name, p in model.named_parameters():
        p.requires_grad = re.fullmatch(r"(.*\\.)?bias", name) is not None
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
""",
)
biases.right(
    "module by module",
    """
    for p in model.parameters():
        p.requires_grad_(False)
    seen = {}
    for module in model.modules():
        for name, p in module.named_parameters(recurse=False):
            if name == "bias":
                p.requires_grad_(True)
                seen[id(p)] = p.nelement()
    return sum(seen.values())
""",
)
biases.right(
    "a set of names",
    """
    parameters = dict(model.named_parameters())
    names = {name for name in parameters if ("." + name).endswith(".bias")}
    for name in parameters:
        parameters[name].requires_grad_(name in names)
    return sum(parameters[name].flatten().shape[0] for name in names)
""",
)

# --- adapters.overhead ------------------------------------------------------------------------

overhead = Exercise("adapters.overhead", "def overhead(run_base, run_adapted, rounds, warmup):")
WARM = """
    for _ in range(warmup):
        run_base()
        run_adapted()
"""
PAIRS = WARM + "    pairs = [(run_base(), run_adapted()) for _ in range(rounds)]\n"
RATIOS = PAIRS + "    ratios = [adapted / base for base, adapted in pairs]\n"
overhead.wrong(
    "ratio of the medians",
    "the ratio is to be taken within each round, before the median",
    r"within|each round|per round|ratio of|round",
    PAIRS
    + """    base, adapted = zip(*pairs)
    return statistics.median(adapted) / statistics.median(base) - 1
""",
)
overhead.wrong(
    "mean",
    "the median, not the mean, which one interrupted run moves",
    r"median|mean|interrupt|outlier",
    RATIOS + "    return statistics.mean(ratios) - 1\n",
)
overhead.wrong(
    "ratio of the sums",
    "the ratio within each round and the median of these, not sums",
    r"median|within|each round|sum|total|per round",
    PAIRS + "    return sum(a for _, a in pairs) / sum(b for b, _ in pairs) - 1\n",
)
overhead.wrong(
    "not minus 1",
    "the overhead is the ratio minus 1",
    r"minus|- ?1|− ?1|subtract|0\.1",
    RATIOS + "    return statistics.median(ratios)\n",
)
overhead.wrong(
    "inverted",
    "the adapted time is to be divided by the base's",
    r"inver|divi|upside|base.*(below|denominator)|swap|reciproc|adapted.*base|wrong way",
    PAIRS + "    return statistics.median(b / a for b, a in pairs) - 1\n",
)
overhead.wrong(
    "relative to the adapted time",
    "the difference is to be divided by the base's time, not by the adapted one's",
    r"divi|relative|base|denominator|inver",
    PAIRS + "    return statistics.median((a - b) / a for b, a in pairs)\n",
)
overhead.wrong(
    "one after the other",
    "the two have to take turns, since the machine gets slower or faster",
    r"turn|interleav|altern|block|all (the )?base|one after|order|drift|round",
    WARM
    + """    base = [run_base() for _ in range(rounds)]
    adapted = [run_adapted() for _ in range(rounds)]
    return statistics.median(a / b for a, b in zip(adapted, base)) - 1
""",
)
overhead.wrong(
    "no warm-up",
    "the first rounds have to run and not count",
    r"warm|first (runs|rounds)",
    """
    return statistics.median([1 / (run_base() / run_adapted()) for _ in range(rounds)]) - 1
""",
)
overhead.wrong(
    "warm-up counted",
    "the rounds of the warm-up must not count",
    r"warm|not count|discard|throw|first (runs|rounds)",
    """
    ratios = []
    for _ in range(warmup + rounds):
        base = run_base()
        ratios.append(run_adapted() / base)
    return statistics.median(ratios) - 1
""",
)
overhead.wrong(
    "warm-up taken from the rounds",
    "the warm-up comes before the rounds and on top of them",
    r"warm|rounds|on top|fewer|before|in addition|too few",
    """
    ratios = []
    for i in range(rounds):
        base = run_base()
        ratio = run_adapted() / base
        if i >= warmup:
            ratios.append(ratio)
    return statistics.median(ratios) - 1
""",
)
overhead.wrong(
    "only the base warms up",
    "both have to warm up",
    r"both|adapted.*warm|warm.*adapted|warm",
    """
    for _ in range(warmup):
        run_base()
    ratios = []
    for _ in range(rounds):
        base = run_base()
        ratios.append(run_adapted() / base)
    return statistics.median(ratios) - 1
""",
)
overhead.wrong(
    "one round of warm-up",
    "as many rounds as warmup says, not one",
    r"warm|as many",
    """
    if warmup:
        run_base()
        run_adapted()
    ratios = []
    for _ in range(rounds):
        base = run_base()
        ratios.append(run_adapted() / base)
    return statistics.median(ratios) - 1
""",
)
overhead.wrong(
    "one round too few in the warm-up",
    "one round of the warm-up is counted",
    r"warm|off by one|counted|first (runs|rounds)",
    """
    ratios = []
    for i in range(1, warmup + rounds + 1):
        base, adapted = run_base(), run_adapted()
        if i >= warmup:
            ratios.append(adapted / base)
    return statistics.median(ratios) - 1
""",
)
overhead.wrong(
    "per cent",
    "0.1 means 10 %, so there is no factor of 100",
    r"per ?cent|100|%",
    RATIOS + "    return 100 * (statistics.median(ratios) - 1)\n",
)
overhead.wrong(
    "seconds",
    "a ratio is asked for, not a difference of seconds",
    r"ratio|seconds|difference|divi|relative",
    PAIRS + "    return statistics.median(a - b for b, a in pairs)\n",
)
overhead.wrong(
    "never below zero",
    "an adapted model may be faster; the result may be negative",
    r"negative|below|clamp|faster|abs|max",
    RATIOS + "    return max(0.0, statistics.median(ratios) - 1)\n",
)
overhead.wrong(
    "middle of a sorted list",
    "with an even number of rounds the median is the mean of the middle two",
    r"median|even|middle|two",
    RATIOS + "    return sorted(ratios)[len(ratios) // 2] - 1\n",
)
overhead.wrong(
    "torch's median",
    "torch.median takes the lower of the two in the middle",
    r"median|even|middle|lower|two",
    RATIOS + "    return torch.tensor(ratios, dtype=torch.float64).median().item() - 1\n",
)
overhead.wrong(
    "not sorted",
    "the median needs the ratios in order",
    r"sort|median|middle|order",
    RATIOS + "    return ratios[len(ratios) // 2] - 1\n",
)
overhead.wrong(
    "best of each",
    "the median of the ratios, not the fastest runs",
    r"median|min|fastest|best",
    PAIRS + "    return min(a for _, a in pairs) / min(b for b, _ in pairs) - 1\n",
)
overhead.wrong(
    "against the first base run",
    "each round has a base run of its own",
    r"within|each round|per round|own|same round|first",
    WARM
    + """    base = run_base()
    ratios = []
    for _ in range(rounds):
        ratios.append(run_adapted() / base)
    return statistics.median(ratios) - 1
""",
)
overhead.wrong(
    "against the next round's base",
    "the ratio is to be taken within a round",
    r"within|each round|same round|next|per round|shift|pair",
    PAIRS
    + """    base = [b for b, _ in pairs]
    adapted = [a for _, a in pairs]
    base = base[1:] + base[:1]
    return statistics.median(a / b for a, b in zip(adapted, base)) - 1
""",
)
overhead.wrong(
    "its own clock",
    "the two return the seconds; a clock around them measures something else",
    r"return|seconds|clock|perf_counter|time",
    """
    import time

    ratios = []
    for i in range(warmup + rounds):
        start = time.perf_counter()
        run_base()
        middle = time.perf_counter()
        run_adapted()
        end = time.perf_counter()
        if i >= warmup:
            ratios.append((end - middle) / max(middle - start, 1e-12))
    return statistics.median(ratios) - 1
""",
)
overhead.wrong(
    "mean of blocks",
    "neither turns nor the median",
    r"turn|interleav|altern|median|within|each round|mean",
    """
    for _ in range(warmup):
        run_base()
    base = statistics.mean(run_base() for _ in range(rounds))
    for _ in range(warmup):
        run_adapted()
    adapted = statistics.mean(run_adapted() for _ in range(rounds))
    return adapted / base - 1
""",
)
overhead.wrong(
    "not called",
    "the functions have to be called",
    r"call|\(\)|parenthes|function|unsupported operand",
    WARM + "    return statistics.median([run_adapted / run_base for _ in range(rounds)]) - 1\n",
)
overhead.wrong(
    "no return",
    "the result is not returned",
    NO_RETURN,
    RATIOS + '    print(f"{statistics.median(ratios) - 1:.1%}")\n',
)
overhead.wrong(
    "raise left over",
    "the raise of the stub is still there",
    LEFT_OVER,
    RATIOS
    + """    result = statistics.median(ratios) - 1
    raise NotImplementedError("your code here")
    return result
""",
)
overhead.open(
    "the adapted model first",
    "the text does not say which one begins a round",
    """
    ratios = []
    for i in range(warmup + rounds):
        adapted = run_adapted()
        base = run_base()
        if i >= warmup:
            ratios.append(adapted / base)
    return statistics.median(ratios) - 1
""",
)
overhead.open(
    "warm-up in blocks",
    "the warm-up does not count; the text only says that its rounds run",
    """
    for run in (run_base, run_adapted):
        for _ in range(warmup):
            run()
    ratios = []
    for _ in range(rounds):
        base = run_base()
        ratios.append(run_adapted() / base)
    return statistics.median(ratios) - 1
""",
)
overhead.right(
    "loops",
    WARM
    + """    ratios = []
    for _ in range(rounds):
        base = run_base()
        adapted = run_adapted()
        ratios.append(adapted / base)
    return statistics.median(ratios) - 1
""",
)
overhead.right(
    "slice of pairs",
    """
    pairs = [(run_base(), run_adapted()) for _ in range(warmup + rounds)][warmup:]
    return statistics.median(adapted / base - 1 for base, adapted in pairs)
""",
)
overhead.right(
    "numpy",
    """
    times = np.empty((warmup + rounds, 2))
    for row in times:
        row[0] = run_base()
        row[1] = run_adapted()
    base, adapted = times[warmup:].T
    return float(np.median(adapted / base)) - 1
""",
)
overhead.right(
    "median by hand",
    PAIRS
    + """    more = sorted((a - b) / b for b, a in pairs)
    middle = len(more) // 2
    if len(more) % 2:
        return more[middle]
    return (more[middle - 1] + more[middle]) / 2
""",
)
overhead.right(
    "a generator of rounds",
    """
def one_round(run_base, run_adapted):
    base = run_base()
    return run_adapted() / base


def overhead(run_base, run_adapted, rounds, warmup):
    ratios = (one_round(run_base, run_adapted) for _ in range(warmup + rounds))
    for _ in range(warmup):
        next(ratios)
    kept = torch.tensor(list(ratios), dtype=torch.float64)
    return kept.quantile(0.5).item() - 1
""",
)

EXERCISES = (count, layer, block, affine, ia_merge, biases, overhead)
