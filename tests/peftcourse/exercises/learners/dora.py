"""Answers to the exercises of lesson 05, written from its text alone."""

from tests.peftcourse.exercises.learners.answers import Exercise

LEFT_OVER = r"NotImplementedError|left[- ]?over|raise\b"
IN_PLACE = (
    r"in[- ]?place|overwrit|chang\w* (its|the|your)? ?(input|argument)|input.*chang|modif|caller"
)

# -------------------------------------------------------------------------------- decompose
decompose = Exercise("dora.decompose", "def decompose(W):")
decompose.wrong(
    "in place",
    "W /= m overwrites the caller's weight",
    IN_PLACE,
    """
    magnitude = W.norm(dim=1)
    W /= magnitude[:, None]
    return magnitude, W
""",
)
decompose.wrong(
    "lengths of the directions",
    "the magnitudes are those of the unit vectors: all ones",
    r"ones|\b1\b|already|unit|after|of W|direction",
    """
    direction = F.normalize(W, dim=1)
    magnitude = direction.norm(dim=1)
    return magnitude, direction
""",
)
decompose.wrong(
    "row sums",
    "the sum of a row is not its length",
    r"sum|square|norm|length|euclid|sign",
    """
    magnitude = W.sum(dim=1)
    return magnitude, W / magnitude[:, None]
""",
)
decompose.wrong(
    "left transposed",
    "the direction is (d_in, d_out): it was not transposed back",
    r"transpos|shape|\(d_out, ?d_in\)",
    """
    magnitude = W.norm(dim=1)
    direction = W.T / magnitude
    return magnitude, direction
""",
)
decompose.wrong(
    "standard deviation",
    "the standard deviation of a row is not its length",
    r"deviation|std|norm|length|mean|square",
    """
    magnitude = W.std(dim=1)
    return magnitude, W / magnitude.unsqueeze(1)
""",
)
decompose.wrong(
    "singular values",
    "singular values belong to the whole matrix, not to its rows",
    r"singular|svd|row|norm|length|each output",
    """
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return S, U @ Vh
""",
)
decompose.wrong(
    "large eps",
    "1e-2 is added to each length before the division, so no row has length 1",
    r"eps|1e-2|0\.01|added|length (of )?1|unit|not 1|too short",
    """
    magnitude = W.norm(dim=1)
    direction = W / (magnitude[:, None] + 1e-2)
    return magnitude, direction
""",
)
decompose.wrong(
    "multiplied",
    "rows are multiplied by their lengths where they should be divided",
    r"multipl|divid|/|length (of )?1|unit|squared",
    """
    m = W.norm(dim=1, keepdim=True)
    return m.squeeze(1), W * m
""",
)
decompose.wrong(
    "loop over the inputs",
    "the loop runs over d_in and W[i] takes rows: right for square weights only",
    r"shape\[1\]|d_in|d_out|square|rows|columns|index|out of (bounds|range)|number of",
    """
    lengths = []
    for i in range(W.shape[1]):
        lengths.append(W[i].norm())
    magnitude = torch.stack(lengths)
    return magnitude, W / magnitude[:, None]
""",
)
decompose.wrong(
    "list of floats",
    "a list of numbers in place of a tensor",
    r"list|tensor|item|float|type",
    """
    lengths = [row.norm().item() for row in W]
    return lengths, W / torch.tensor(lengths, dtype=W.dtype)[:, None]
""",
)
decompose.wrong(
    "columns, kept as a matrix",
    "the norm runs over dim=0, and keeps its dimension",
    r"dim|axis|column|row|keepdim|shape|d_in",
    """
    magnitude = W.norm(dim=0, keepdim=True)
    return magnitude, W / magnitude
""",
)
decompose.wrong(
    "cubic norm",
    "norm(3) is not the Euclidean norm",
    r"euclid|p ?= ?3|norm\(3|2-norm|L2|square|other norm|p=2|cub",
    """
    magnitude = W.norm(3, dim=1)
    return magnitude, W / magnitude[:, None]
""",
)
decompose.wrong(
    "nothing returned",
    "the pair is made and not returned",
    r"return|None",
    """
    magnitude = torch.linalg.norm(W, dim=1)
    direction = W / magnitude[:, None]
    result = magnitude, direction
""",
)
decompose.wrong(
    "raise left over",
    "the stub's raise is still there",
    LEFT_OVER,
    """
    magnitude = W.norm(dim=1)
    direction = W / magnitude[:, None]
    raise NotImplementedError("your code here")
    return magnitude, direction
""",
)
decompose.open(
    "zero rows by eps",
    "the text does not say what the direction of a zero row is",
    """
    magnitude = W.norm(dim=1)
    return magnitude, W / magnitude.clamp_min(1e-12)[:, None]
""",
)
decompose.right(
    "vector_norm",
    """
    magnitude = torch.linalg.vector_norm(W, ord=2, dim=-1)
    return magnitude, W / magnitude.unsqueeze(-1)
""",
)
decompose.right(
    "row by row",
    """
    magnitudes, directions = [], []
    for row in W:
        length = torch.sqrt(torch.dot(row, row))
        magnitudes.append(length)
        directions.append(row / length)
    return torch.stack(magnitudes), torch.stack(directions)
""",
)
decompose.right(
    "diagonal",
    """
    m = torch.diagonal(W @ W.T).sqrt()
    return m, torch.diag(1 / m) @ W
""",
)
decompose.right(
    "double inside",
    """
    wide = W.to(torch.float64)
    m = (wide**2).sum(1, keepdim=True) ** 0.5
    return m.flatten().to(W.dtype), (wide / m).to(W.dtype)
""",
)
decompose.right(
    "transposes",
    """
    columns = W.transpose(0, 1)
    m = columns.norm(dim=0)
    return m, (columns / m).transpose(0, 1).contiguous()
""",
)

# ---------------------------------------------------------------------------------- forward
forward = Exercise("dora.forward", "def dora_forward(x, W, bias, A, B, magnitude, scaling):")
forward.wrong(
    "W changed",
    "W += changes the caller's weight",
    IN_PLACE + r"|\+=",
    """
    W += scaling * (B @ A)
    return magnitude / W.norm(dim=1) * (x @ W.T) + bias
""",
)
forward.wrong(
    "norm without the scaling",
    "the norm is of W + BA, without the scaling",
    r"norm.*(scal|s\b|V)|scal.*norm",
    """
    V = W + scaling * (B @ A)
    gain = magnitude / (W + B @ A).norm(dim=1)
    return gain * (x @ V.T) + bias
""",
)
forward.wrong(
    "norm of the update",
    "the norm is of BA alone, where it is of V",
    r"norm.*(V|W|update|BA|whole)|V.*norm",
    """
    update = scaling * (B @ A)
    gain = magnitude / update.norm(dim=1)
    return gain * (x @ (W + update).T) + bias
""",
)
forward.wrong(
    "scaling over the rank",
    "scaling is alpha / r already, and is divided by r again",
    r"already|again|rank|/ ?r\b|twice|scal",
    """
    V = W + scaling / A.shape[0] * (B @ A)
    return magnitude / V.norm(dim=1) * (x @ V.T) + bias
""",
)
forward.wrong(
    "gain as a column",
    "a column scales the positions of x, not the outputs",
    r"column|broadcast|shape|position|row|output|unsqueeze|None\]|axis",
    """
    V = W + scaling * (B @ A)
    gain = magnitude / V.norm(dim=1)
    return gain[:, None] * (x @ V.T) + bias
""",
)
forward.wrong(
    "magnitude on the input",
    "the magnitude scales x: right in shape for square weights only",
    r"input|output|scales? x|\bx\b.*magnitude|d_in|shape|after|each output",
    """
    V = W + scaling * (B @ A)
    unit = V / V.norm(dim=1, keepdim=True)
    return (x * magnitude) @ unit.T + bias
""",
)
forward.wrong(
    "times the norm",
    "the norm multiplies where it should divide",
    r"divid|multipl|/|norm.*(invers|upside|below)|1/",
    """
    V = W + scaling * (B @ A)
    return magnitude * V.norm(dim=1) * (x @ V.T) + bias
""",
)
forward.wrong(
    "squared norm",
    "divided by the squared norm: the root is missing",
    r"root|sqrt|squar|length",
    """
    V = W + scaling * (B @ A)
    return magnitude / (V * V).sum(dim=1) * (x @ V.T) + bias
""",
)
forward.wrong(
    "flattened",
    "the leading dimensions of x are lost",
    r"shape|dimension|flatten|reshape|leading|3-?D|batch",
    """
    V = W + scaling * (B @ A)
    flat = x.reshape(-1, x.shape[-1])
    return magnitude / V.norm(dim=1) * (flat @ V.T) + bias
""",
)
forward.wrong(
    "matrix first",
    "V @ x is right for one vector only",
    r"V ?@ ?x|x ?@ ?V|transpos|batch|one vector|shape|order|mat1|dimension",
    """
    V = W + scaling * (B @ A)
    return magnitude / V.norm(dim=1) * (V @ x) + bias
""",
)
forward.wrong(
    "bias and magnitude exchanged",
    "the bias scales and the magnitude is added",
    r"exchang|swap|bias.*magnitude|magnitude.*bias|mixed",
    """
    V = W + scaling * (B @ A)
    return bias / V.norm(dim=1) * F.linear(x, V) + magnitude
""",
)
forward.wrong(
    "root mean square",
    "the mean of the squares, where the norm has their sum",
    r"mean|sum|rms|√d_in|sqrt\(d_in\)|root of",
    """
    V = W + scaling * (B @ A)
    norm = V.square().mean(dim=1).sqrt()
    return magnitude / norm * (x @ V.T) + bias
""",
)
forward.wrong(
    "scaled with the bias, along columns",
    "the norm runs over dim=0, and the bias is scaled too",
    r"\bdim\b|axis|column|\brows?\b|bias",
    """
    V = W + scaling * (B @ A)
    return magnitude * (x @ F.normalize(V, dim=0).T + bias)
""",
)
forward.wrong(
    "magnitude added",
    "the magnitude is added to the unit outputs, where it multiplies them",
    r"\badd|multipl|⊙|\+|times",
    """
    V = W + scaling * (B @ A)
    return magnitude + F.linear(x, F.normalize(V, dim=1)) + bias
""",
)
forward.wrong(
    "A before B",
    "A @ B does not have the shape of W",
    r"order|B ?@ ?A|BA|shape|A ?@ ?B|mat1",
    """
    V = W + scaling * (A @ B)
    return magnitude / V.norm(dim=1) * (x @ V.T) + bias
""",
)
forward.wrong(
    "scale for scaling",
    "the argument is called scaling",
    r"scale|scaling|not defined|NameError",
    """
    V = W + scale * (B @ A)
    return magnitude / V.norm(dim=1) * (x @ V.T) + bias
""",
)
forward.right(
    "diagonal matrix",
    """
    V = torch.addmm(W, B, A, alpha=scaling)
    gain = torch.diag(magnitude / V.norm(dim=1))
    return x @ (gain @ V).T + bias
""",
)
forward.right(
    "one output at a time",
    """
    outputs = []
    for w, b, m, c in zip(W, B, magnitude, bias):
        v = w + scaling * (b @ A)
        outputs.append(m * (x @ (v / v.norm())) + c)
    return torch.stack(outputs, dim=-1)
""",
)
forward.right(
    "a linear layer",
    """
    V = W + scaling * (B @ A)
    out, in_ = V.shape
    layer = nn.Linear(in_, out, dtype=W.dtype)
    weights = {"weight": magnitude[:, None] * V / V.norm(dim=1, keepdim=True), "bias": bias}
    return torch.func.functional_call(layer, weights, (x,))
""",
)
forward.right(
    "double inside",
    """
    double = [t.double() for t in (x, W, bias, A, B, magnitude)]
    x64, W64, b64, A64, B64, m64 = double
    V = W64 + scaling * B64 @ A64
    g = m64 * torch.rsqrt((V**2).sum(-1))
    return (torch.tensordot(x64, V, dims=([-1], [1])) * g + b64).to(x.dtype)
""",
)
forward.right(
    "norm by the square of a sum",
    """
    cross = ((W @ A.T) * B).sum(dim=1)
    own = ((B @ (A @ A.T)) * B).sum(dim=1)
    norm = (W.square().sum(dim=1) + 2 * scaling * cross + scaling**2 * own).sqrt()
    y = x @ W.T + scaling * ((x @ A.T) @ B.T)
    return y * (magnitude / norm) + bias
""",
)
forward.right(
    "magnitude last",
    """
    V = W + B @ (scaling * A)
    direction = V.div(V.pow(2).sum(dim=1, keepdim=True).sqrt())
    y = direction.matmul(x.unsqueeze(-1)).squeeze(-1)
    return bias + y * magnitude
""",
)

# ------------------------------------------------------------------------------------ layer
layer = Exercise("dora.layer", "class DoRALinear(nn.Module):")


def cell(
    forward_body: str,
    *,
    magnitude: str = "nn.Parameter(w.norm(dim=1))",
    scaling: str = "alpha / rank",
    freeze: str = "base.requires_grad_(False)",
    b: str = "nn.Parameter(torch.zeros(w.shape[0], rank, dtype=w.dtype))",
    start: str = "super().__init__()",
    end: str = "",
) -> str:
    """A cell with one part of the usual layer exchanged."""
    lines = [
        start,
        freeze,
        "self.base = base",
        "w = base.weight.detach().clone()",
        "self.A = nn.Parameter(torch.randn(rank, w.shape[1], dtype=w.dtype) / w.shape[1] ** 0.5)",
        f"self.B = {b}",
        f"self.magnitude = {magnitude}",
        f"self.scaling = {scaling}",
        end,
    ]
    init_body = "".join(f"        {line}\n" for line in lines if line)
    body = "".join(f"        {line}\n" for line in forward_body.strip().splitlines())
    return (
        "class DoRALinear(nn.Module):\n    def __init__(self, base, rank, alpha):\n"
        f"{init_body}\n    def forward(self, x):\n{body}"
    )


V_LINE = "V = self.base.weight + self.scaling * (self.B @ self.A)\n"
NORM_LINE = "norm = V.norm(dim=1).detach()\n"
OUT = "return self.magnitude / norm * (x @ V.T) + self.base.bias"
USUAL = V_LINE + NORM_LINE + OUT
layer.wrong(
    "magnitude as a column",
    "the magnitude is (d_out, 1), where (d_out,) is asked for",
    r"shape|column|keepdim|\(d_out,? ?1?\)|broadcast",
    cell(
        V_LINE + "norm = V.norm(dim=1, keepdim=True).detach()\n"
        "return x @ (self.magnitude / norm * V).T + self.base.bias",
        magnitude="nn.Parameter(w.norm(dim=1, keepdim=True))",
    ),
)
layer.wrong(
    "one mean magnitude",
    "all magnitudes start at the mean length: each has to start at its own row's",
    r"\bmean\b|average|own (row|length)|all (the )?same|one number",
    cell(USUAL, magnitude="nn.Parameter(w.norm(dim=1).mean().repeat(w.shape[0]))"),
)
layer.wrong(
    "logarithm of the length",
    "the parameter holds log m: it is not the magnitude",
    r"log|exp|norm of|magnitude.*(start|is|has|should|must)|length",
    cell(
        V_LINE + NORM_LINE + "return self.magnitude.exp() / norm * (x @ V.T) + self.base.bias",
        magnitude="nn.Parameter(w.norm(dim=1).log())",
    ),
)
layer.wrong(
    "detached only in training",
    "in eval mode a gradient goes through the norm",
    r"eval|training|mode|through the norm|detach|norm.*gradient",
    cell(V_LINE + "norm = V.norm(dim=1)\nif self.training:\n    norm = norm.detach()\n" + OUT),
)
layer.wrong(
    "norm renewed in training only",
    "in eval mode the norm is an old one, after A and B have moved",
    r"eval|old|stale|each (forward )?(pass|call)|every|anew|norm of (the )?(current )?V|stored"
    r"|cache"
    r"|start|moved|again",
    cell(
        V_LINE
        + "if self.training:\n    self.norm = V.norm(dim=1).detach()\nnorm = self.norm\n"
        + OUT,
        end="self.norm = w.norm(dim=1)",
    ),
)
layer.wrong(
    "base counted twice",
    "base(x) is added to an output that has W x in it already",
    r"twice|base\(x\)|already|W ?x|double|added|bias",
    cell(V_LINE + NORM_LINE + "return self.base(x) + self.magnitude / norm * (x @ V.T)"),
)
layer.wrong(
    "output normalised",
    "the output is normalised, not the weight",
    r"normali\w* (of )?(the |its )?output|output.{0,15}normali|not the weight|depends on x",
    cell(V_LINE + "y = x @ V.T\nreturn self.magnitude * F.normalize(y, dim=-1) + self.base.bias"),
)
layer.wrong(
    "magnitude not used",
    "forward computes V x + b, so that the magnitude never acts",
    r"magnitude|gain|m ?/|norm|not used|unused|LoRA|gradient",
    cell(V_LINE + "return x @ V.T + self.base.bias"),
)
layer.wrong(
    "forward under no_grad",
    "the whole forward pass runs without a graph: nothing trains",
    r"no_grad|gradient|graph|train|grad_fn",
    cell(
        "with torch.no_grad():\n    V = self.base.weight + self.scaling * (self.B @ self.A)\n"
        "    norm = V.norm(dim=1)\n    " + OUT
    ),
)
layer.wrong(
    "bias still trains",
    "only the weight of base is frozen",
    r"bias|frozen|freez|train",
    cell(USUAL, freeze="base.weight.requires_grad = False"),
)
layer.wrong(
    "everything frozen",
    "the loop over self.parameters() freezes A, B and magnitude too",
    r"frozen|freez|train|requires_grad|A, B|gradient",
    cell(USUAL, freeze="", end="for p in self.parameters(): p.requires_grad_(False)"),
)
layer.wrong(
    "B the other way round",
    "B is kept as (rank, d_out)",
    r"shape|transpos|\(d_out, ?r|d_out",
    cell(
        "V = self.base.weight + self.scaling * (self.B.T @ self.A)\n" + NORM_LINE + OUT,
        b="nn.Parameter(torch.zeros(rank, w.shape[0], dtype=w.dtype))",
    ),
)
layer.wrong(
    "rank over alpha",
    "the scale is upside down",
    r"(α|alpha) ?/ ?r|upside|inver|rank / alpha|the other way|scal",
    cell(USUAL, scaling="rank / alpha"),
)
layer.wrong(
    "start at one, norm in the graph",
    "magnitudes start at one, and the norm is not detached",
    r"ones|norms? of|start|detach|through the norm|base",
    cell(
        V_LINE + "norm = V.norm(dim=1)\n" + OUT,
        magnitude="nn.Parameter(torch.ones(w.shape[0], dtype=w.dtype))",
    ),
)
layer.wrong(
    "update detached",
    "the update BA is detached with the norm, so A and B get no gradient",
    r"detach|A and B|gradient|train|B\b.*gradient",
    cell("V = self.base.weight + self.scaling * (self.B @ self.A).detach()\n" + NORM_LINE + OUT),
)
layer.wrong(
    "base weight overwritten",
    "each call adds the update to base.weight",
    r"chang\w* (the )?(base|weight|W)|each call|every call|base.*(chang|modif|same)|grow|accumul"
    r"|in[- ]?place|weight.*(chang|modif)",
    cell("self.base.weight.data += self.scaling * (self.B @ self.A).detach()\n" + USUAL),
)
layer.wrong(
    "super forgotten",
    "super().__init__() has to come first",
    r"super|__init__|before",
    cell(USUAL, start=""),
)
layer.wrong(
    "misspelt magnitude",
    "forward asks for self.magnitute",
    r"magnitu|no attribute|attribute|spell|typo",
    cell(USUAL.replace("self.magnitude", "self.magnitute")),
)
layer.right(
    "data of V",
    cell(
        V_LINE + "gain = self.magnitude / V.data.norm(dim=1)\n"
        "return F.linear(x, gain.unsqueeze(1) * V, self.base.bias)"
    ),
)
layer.right(
    "norm as a method",
    """
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.rank, self.alpha = base, rank, alpha
        for parameter in base.parameters():
            parameter.requires_grad = False
        d_out, d_in = base.weight.shape
        self.A = nn.Parameter(base.weight.new_empty(rank, d_in))
        self.B = nn.Parameter(base.weight.new_zeros(d_out, rank))
        nn.init.kaiming_uniform_(self.A, a=5**0.5)
        self.magnitude = nn.Parameter(self.lengths())

    @torch.no_grad()
    def lengths(self):
        return torch.linalg.vector_norm(self.matrix(), dim=1)

    def matrix(self):
        return torch.addmm(self.base.weight, self.B, self.A, alpha=self.alpha / self.rank)

    def forward(self, x):
        y = F.linear(x, self.matrix())
        return y * (self.magnitude / self.lengths()) + self.base.bias
""",
)
layer.right(
    "cheap norm",
    """
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base = base.requires_grad_(False)
        weight = base.weight.data
        self.register_parameter("A", nn.Parameter(torch.empty(rank, base.in_features).to(weight)))
        self.register_parameter("B", nn.Parameter(torch.zeros(base.out_features, rank).to(weight)))
        self.register_parameter("magnitude", nn.Parameter(weight.square().sum(1).sqrt()))
        nn.init.normal_(self.A, std=0.02)
        self.s = alpha / rank

    def norm(self):
        W, A, B = self.base.weight.data, self.A.data, self.B.data
        square = (W * W).sum(1) + 2 * self.s * ((W @ A.T) * B).sum(1)
        return (square + self.s**2 * ((B @ (A @ A.T)) * B).sum(1)).clamp_min(0).sqrt()

    def forward(self, x):
        without_bias = F.linear(x, self.base.weight)
        branch = self.s * F.linear(F.linear(x, self.A), self.B)
        return self.magnitude / self.norm() * (without_bias + branch) + self.base.bias
""",
)
layer.right(
    "bias out and in again",
    cell(
        """with torch.no_grad():
    norm = (self.base.weight + self.scaling * self.B @ self.A).norm(dim=1)
y = self.base(x) - self.base.bias
y = y + (x @ self.A.T @ self.B.T) * self.scaling
return self.base.bias + y * self.magnitude / norm"""
    ),
)
layer.right(
    "einsum, tensor magnitudes",
    cell(
        V_LINE + "unit = V / torch.linalg.norm(V.detach(), dim=1, keepdim=True)\n"
        "return torch.einsum('...i,oi,o->...o', x, unit, self.magnitude) + self.base.bias",
        magnitude="nn.Parameter(torch.stack([row.norm() for row in w]))",
    ),
)

# -------------------------------------------------------------------------------- gradients
gradients = Exercise("dora.gradients", "def dora_gradients(G, V, magnitude, detach):")
HEAD = """
    norm = V.norm(dim=1, keepdim=True)
    unit = V / norm
    m = magnitude[:, None]
    gm = (G * unit).sum(dim=1)
"""
FULL = "m / norm * (G - (G * unit).sum(dim=1, keepdim=True) * unit)"
gradients.wrong(
    "nothing when detached",
    "only the norm is detached: V still has a gradient",
    r"only the norm|V (still|has|keeps)|still (has|gets)|m ?/ ?‖V‖",
    HEAD + f"    gV = torch.zeros_like(V) if detach else {FULL}\n    return gm, gV\n",
)
gradients.wrong(
    "no gradient of m when detached",
    "the gradient of m is the same either way",
    r"same either way|either way|both cases|gradient of m",
    HEAD
    + f"""
    if detach:
        return torch.zeros_like(gm), m / norm * G
    return gm, {FULL}
""",
)
gradients.wrong(
    "results exchanged",
    "the gradient of m comes first",
    r"order|swap|exchang|first|shape",
    HEAD + f"    return (m / norm * G if detach else {FULL}), gm\n",
)
gradients.wrong(
    "G in place",
    "-= changes the caller's G",
    IN_PLACE + r"|-=",
    HEAD
    + """
    if not detach:
        G -= (G * unit).sum(dim=1, keepdim=True) * unit
    return gm, m / norm * G
""",
)
gradients.wrong(
    "magnitude as a row",
    "the magnitude multiplies columns: right in shape for square weights only",
    r"row|column|broadcast|shape|None\]|unsqueeze|must match|size",
    HEAD + "    return gm, magnitude * (" + "G if detach else G - "
    "(G * unit).sum(dim=1, keepdim=True) * unit) / norm\n",
)
gradients.wrong(
    "squared norm outside",
    "the factor is m over the norm, not over its square",
    r"squar|twice|‖V‖²|norm\*\*2|extra|once more|too often",
    HEAD + f"    gV = m / norm * G if detach else {FULL}\n    return gm, gV / norm\n",
)
gradients.wrong(
    "projected on V",
    "the part along V is kept, and should be taken away",
    r"along|right angle|perpendicular|orthogonal|project|taken away|minus|keeps?",
    HEAD
    + """
    along = (G * unit).sum(dim=1, keepdim=True) * unit
    return gm, m / norm * (G if detach else along)
""",
)
gradients.wrong(
    "V and G exchanged",
    "V is projected against G",
    r"exchang|swap|along|project|G\b.*V|unit vector of G",
    HEAD
    + """
    if detach:
        return gm, m / norm * G
    g = G / G.norm(dim=1, keepdim=True)
    return gm, m / norm * (G - (V * g).sum(dim=1, keepdim=True) * g)
""",
)
gradients.wrong(
    "m in the gradient of m",
    "the gradient of m has no factor m",
    r"factor (of )?m\b|times m|without m|m\b.*does not belong"
    r"|(extra|additional) (m|magnitude)|magnitude.*(too many|multipl|extra)",
    HEAD + f"    return magnitude * gm, (m / norm * G if detach else {FULL})\n",
)
gradients.wrong(
    "columns",
    "norms and sums run over dim=0",
    r"\bdim\b|axis|column|\brows?\b|d_in",
    """
    norm = V.norm(dim=0, keepdim=True)
    unit = V / norm
    gm = (G * unit).sum(dim=0)
    gV = G if detach else G - (G * unit).sum(dim=0, keepdim=True) * unit
    return gm, magnitude[:, None] / norm * gV
""",
)
gradients.wrong(
    "m missing in one term",
    "m belongs to both terms of the bracket",
    r"both terms|bracket|parenthes|second term|project.*\bm\b|\bm\b.*project",
    HEAD
    + """
    gV = m / norm * G
    if not detach:
        gV = gV - (G * unit).sum(dim=1, keepdim=True) * unit / norm
    return gm, gV
""",
)
gradients.wrong(
    "gradients add up",
    "the inputs themselves are made leaves: their .grad grows with each call",
    r"accumul|add|second call|each call|\.grad|inputs?.*(chang|modif|requires_grad)|requires_grad"
    r"|twice|clone|detach",
    """
    V.requires_grad_()
    magnitude.requires_grad_()
    norm = V.norm(dim=1)
    if detach:
        norm = norm.detach()
    W = (magnitude / norm)[:, None] * V
    W.backward(G)
    return magnitude.grad, V.grad
""",
)
gradients.wrong(
    "mean for the loss",
    "the loss whose gradient is G is the sum of G W', not its mean",
    r"mean|sum|number of (entries|elements)|numel|too small|divid|scal",
    """
    v, m = V.detach().clone().requires_grad_(), magnitude.detach().clone().requires_grad_()
    norm = v.norm(dim=1, keepdim=True)
    norm = norm.detach() if detach else norm
    loss = (G * (m[:, None] * v / norm)).mean()
    return torch.autograd.grad(loss, (m, v))
""",
)
gradients.wrong(
    "sign, and detach reversed",
    "the projection is added, and for the wrong value of detach",
    r"sign|minus|plus|detach.*(revers|wrong|invert|exchang)|wrong way|project",
    HEAD
    + """
    if detach:
        return gm, m / norm * (G + (G * unit).sum(dim=1, keepdim=True) * unit)
    return gm, m / norm * G
""",
)
gradients.wrong(
    "one case left out",
    "only detach=True is written, the other raises the stub's error",
    LEFT_OVER + r"|detach.*False|other case|missing",
    HEAD
    + """
    if detach:
        return gm, m / norm * G
    raise NotImplementedError("your code here")
""",
)
gradients.wrong(
    "direction detached",
    "V is detached as a whole, so autograd finds no way to it",
    r"detach|graph|unused|not (have )?been used|only the norm|grad",
    """
    v, m = V.detach().clone().requires_grad_(), magnitude.detach().clone().requires_grad_()
    unit = v / v.norm(dim=1, keepdim=True)
    if detach:
        unit = unit.detach()
    loss = (G * (m[:, None] * unit)).sum()
    return torch.autograd.grad(loss, (m, v))
""",
)
gradients.right(
    "projectors",
    """
    gm, gV = [], []
    for g, v, m in zip(G, V, magnitude):
        length = v.norm()
        u = v / length
        P = torch.eye(len(v), dtype=V.dtype)
        if not detach:
            P = P - torch.outer(u, u)
        gm.append(g @ u)
        gV.append(m / length * (P @ g))
    return torch.stack(gm), torch.stack(gV)
""",
)
gradients.right(
    "vjp",
    """
    constant = V.norm(dim=1, keepdim=True).detach()

    def weight(m, v):
        norm = constant if detach else v.norm(dim=1, keepdim=True)
        return m[:, None] * v / norm

    _, back = torch.func.vjp(weight, magnitude.detach(), V.detach())
    gm, gV = back(G)
    return gm, gV
""",
)
gradients.right(
    "a factor for the flag",
    """
    square = V.square().sum(dim=1)
    length = square.sqrt()
    along = (G * V).sum(dim=1)
    keep = 0.0 if detach else 1.0
    gV = (magnitude / length)[:, None] * G
    gV = gV - keep * (magnitude * along / length**3)[:, None] * V
    return along / length, gV
""",
)
gradients.right(
    "diagonals",
    """
    inverse = torch.diag(1 / V.norm(dim=1))
    U = inverse @ V
    gm = torch.diagonal(G @ U.T)
    inner = G if detach else G - torch.diag(gm) @ U
    return gm.clone(), torch.diag(magnitude) @ inverse @ inner
""",
)
gradients.right(
    "double, bmm",
    """
    g, v, m = G.double(), V.double(), magnitude.double()
    n = torch.linalg.vector_norm(v, dim=1)
    gm = torch.bmm(g[:, None, :], v[:, :, None]).flatten() / n
    gV = torch.einsum("o,oi->oi", m / n, g)
    if detach is False:
        gV = gV - torch.einsum("o,oi->oi", m * gm / n**2, v)
    return gm.to(G.dtype), gV.to(G.dtype)
""",
)

# ------------------------------------------------------------------------------- cheap_norm
cheap_norm = Exercise("dora.cheap_norm", "def cheap_norm(W, A, B, scaling):")
CHEAP = """
    cross = ((W @ A.T) * B).sum(dim=1)
    square = ((B @ (A @ A.T)) * B).sum(dim=1)
"""
DENSE = (
    r"build|dense|B ?A\b|BA\b|columns|\bd_in\b|whole matrix|more than r|full"
    r"|without the matrix|wide"
)
cheap_norm.wrong(
    "diagonal of a square matrix",
    "W Aᵀ Bᵀ is (d_out, d_out): a product with far more than r columns",
    DENSE + r"|d_out|diagonal|square matrix",
    """
    cross = (W @ A.T @ B.T).diagonal()
    square = ((B @ (A @ A.T)) * B).sum(dim=1)
    return (W.square().sum(dim=1) + 2 * scaling * cross + scaling**2 * square).sqrt()
""",
)
cheap_norm.wrong(
    "identity through A and B",
    "an identity matrix sent through A and B is B A, built in full",
    DENSE + r"|identity|eye",
    """
    eye = torch.eye(A.shape[1], dtype=A.dtype)
    update = F.linear(F.linear(eye, A), B).T
    return (W + scaling * update).norm(dim=1)
""",
)
cheap_norm.wrong(
    "dense in numpy",
    "numpy builds B A where torch is not looking",
    DENSE + r"|numpy|torch",
    """
    update = B.detach().numpy() @ A.detach().numpy()
    return (W + scaling * torch.from_numpy(update)).norm(dim=1)
""",
)
cheap_norm.wrong(
    "dense by tensordot",
    "tensordot builds B A",
    DENSE + r"|tensordot",
    "    return (W + scaling * torch.tensordot(B, A, dims=1)).norm(dim=1)",
)
cheap_norm.wrong(
    "rows of A taken for orthogonal",
    "only the diagonal of A Aᵀ is used",
    r"diagonal|orthogonal|A ?@ ?A|AAᵀ|A ?Aᵀ|Gram|between (the )?rows|cross|off-diagonal|rows of A"
    r"|last term|square",
    """
    cross = ((W @ A.T) * B).sum(dim=1)
    square = B.square() @ A.square().sum(dim=1)
    return (W.square().sum(dim=1) + 2 * scaling * cross + scaling**2 * square).sqrt()
""",
)
cheap_norm.wrong(
    "norm of W not squared",
    "‖w‖ is added in place of its square",
    r"squar|‖w‖|norm of W|first term|\*\* ?2|²",
    CHEAP + "    return (W.norm(dim=1) + 2 * scaling * cross + scaling**2 * square).sqrt()\n",
)
cheap_norm.wrong(
    "W squared in place",
    "pow_ and square_ change the caller's W",
    IN_PLACE,
    CHEAP
    + "    return (W.square_().sum(dim=1) + 2 * scaling * cross + scaling**2 * square).sqrt()\n",
)
cheap_norm.wrong(
    "kept as a column",
    "the result is (d_out, 1)",
    r"shape|keepdim|column|\(d_out|squeeze",
    """
    cross = ((W @ A.T) * B).sum(dim=1, keepdim=True)
    square = ((B @ (A @ A.T)) * B).sum(dim=1, keepdim=True)
    own = W.square().sum(dim=1, keepdim=True)
    return (own + 2 * scaling * cross + scaling**2 * square).sqrt()
""",
)
cheap_norm.wrong(
    "scaling over the rank",
    "scaling is divided by the rank once more",
    r"rank|already|/ ?r\b|scal|again|twice",
    CHEAP
    + """
    s = scaling / A.shape[0]
    return (W.square().sum(dim=1) + 2 * s * cross + s**2 * square).sqrt()
""",
)
cheap_norm.wrong(
    "at least one",
    "clamp(min=1) lifts every norm below one",
    r"clamp|below (one|1)|min|small norm|lifts|at least|floor",
    CHEAP
    + """
    total = W.square().sum(dim=1) + 2 * scaling * cross + scaling**2 * square
    return total.clamp(min=1.0).sqrt()
""",
)
cheap_norm.wrong(
    "length of the cross term",
    "the cross term is made positive, but may be negative",
    r"sign|negative|abs|positive|cross",
    CHEAP
    + """
    own = W.square().sum(dim=1)
    return (own + 2 * scaling * cross.abs() + scaling**2 * square).sqrt()
""",
)
cheap_norm.wrong(
    "Aᵀ A",
    "Aᵀ A is (d_in, d_in); A Aᵀ is (r, r)",
    r"A\.T ?@ ?A|AᵀA|Aᵀ A|A ?@ ?A\.T|AAᵀ|shape|\(r, ?r\)|order|mat1|transpos|columns|d_in",
    """
    cross = ((W @ A.T) * B).sum(dim=1)
    square = ((B @ A) @ (A.T @ A) * (B @ A)).sum(dim=1)
    return (W.square().sum(dim=1) + 2 * scaling * cross + scaling**2 * square).sqrt()
""",
)
cheap_norm.wrong(
    "mean, and no 2",
    "means in place of sums, and the 2 of the cross term is missing",
    r"\bmean|\bsum|\b2 (is )?(missing|forgot)|twice|cross",
    """
    cross = ((W @ A.T) * B).mean(dim=1)
    square = ((B @ (A @ A.T)) * B).mean(dim=1)
    return (W.square().mean(dim=1) + scaling * cross + scaling**2 * square).sqrt()
""",
)
cheap_norm.wrong(
    "list",
    "a list of numbers in place of a tensor",
    r"list|tensor|tolist|type",
    CHEAP
    + """
    total = W.square().sum(dim=1) + 2 * scaling * cross + scaling**2 * square
    return [math.sqrt(max(t, 0.0)) for t in total.tolist()]
""",
)
cheap_norm.wrong(
    "no return",
    "the norm is computed and not returned",
    r"return|None",
    CHEAP
    + "    norm = (W.square().sum(dim=1) + 2 * scaling * cross + scaling**2 * square).sqrt()\n",
)
cheap_norm.open(
    "blocks of columns",
    "no product has more than r columns, yet all of B A is made",
    """
    r, d_in = A.shape
    total = 0
    for start in range(0, d_in, r):
        block = slice(start, start + r)
        total = total + (W[:, block] + scaling * (B @ A[:, block])).square().sum(dim=1)
    return total.sqrt()
""",
)
cheap_norm.right(
    "sum over pairs of ranks",
    """
    total = W.square().sum(dim=1)
    r = A.shape[0]
    for k in range(r):
        total = total + 2 * scaling * B[:, k] * (W @ A[k])
        for j in range(r):
            total = total + scaling**2 * B[:, k] * B[:, j] * torch.dot(A[k], A[j])
    return total.clamp_min(0).sqrt()
""",
)
cheap_norm.right(
    "double inside",
    """
    W64, A64, B64 = W.double(), A.double(), B.double()
    b = scaling * B64
    inner = 2 * W64 @ A64.T + b @ (A64 @ A64.T)
    return ((W64**2).sum(1) + (inner * b).sum(1)).clamp(min=0).sqrt().to(W.dtype)
""",
)
cheap_norm.right(
    "one row at a time",
    """
    gram = A @ A.T
    norms = []
    for w, b in zip(W, B):
        s_b = scaling * b
        square = w @ w + 2 * (A @ w) @ s_b + s_b @ (gram @ s_b)
        norms.append(torch.sqrt(torch.clamp(square, min=0)))
    return torch.stack(norms)
""",
)
cheap_norm.right(
    "scaled A",
    """
    a = scaling * A
    WA = torch.matmul(W, a.t())
    AA = torch.matmul(a, a.t())
    cross = torch.einsum("or,or->o", WA, B)
    square = torch.einsum("or,rq,oq->o", B, AA, B)
    own = torch.linalg.vector_norm(W, dim=1) ** 2
    return torch.relu(own + cross + cross + square) ** 0.5
""",
)
cheap_norm.right(
    "batched vectors",
    """
    b = B.unsqueeze(2)
    left = (W @ A.mT).unsqueeze(1)
    gram = (A @ A.mT).expand(B.shape[0], -1, -1)
    cross = torch.bmm(left, b).view(-1)
    square = torch.bmm(b.mT, torch.bmm(gram, b)).view(-1)
    return ((W * W).sum(-1) + 2 * scaling * cross + scaling * scaling * square).clamp_min(0).sqrt()
""",
)

# ------------------------------------------------------------------------------------ merge
merge = Exercise("dora.merge", "def merge(layer):")
PLAIN = """
    W = layer.base.weight.detach()
    V = W + layer.scaling * (layer.B @ layer.A).detach()
    d_out, d_in = W.shape
"""


def made(weight: str, bias: str = "layer.base.bias", after: str = "", head: str = PLAIN) -> str:
    """A new layer with this weight and bias."""
    return (
        head
        + f"""
    new = nn.Linear(d_in, d_out, dtype=W.dtype)
    with torch.no_grad():
        new.weight.copy_({weight})
        new.bias.copy_({bias})
    {after or "return new"}
"""
    )


GAIN = "(layer.magnitude / V.norm(dim=1))[:, None]"
merge.wrong(
    "identity, bias included",
    "the layer's output for the identity has the bias in it, so it ends up in the weight",
    r"bias|identity|eye|subtract",
    made(
        "probe",
        head="""
    W = layer.base.weight.detach()
    d_out, d_in = W.shape
    V = W + layer.scaling * (layer.B @ layer.A).detach()
    eye = torch.eye(d_in, dtype=W.dtype)
    gain = (layer.magnitude / V.norm(dim=1)).detach()
    probe = (gain * (eye @ V.T) + layer.base.bias.detach()).T
""",
    ),
)
merge.wrong(
    "magnitude on the update only",
    "m over the norm scales the update alone, and W as well in DoRA",
    r"update|whole|V\b|W\b.*(scal|too|as well)|both|not only|gain",
    made(f"W + {GAIN} * (V - W)"),
)
merge.wrong(
    "magnitude at its start",
    "the norms of W are taken for the magnitudes, which have been trained",
    r"magnitude|trained|norm of W|start|W\.norm|not used|missing",
    made("(W.norm(dim=1) / V.norm(dim=1))[:, None] * V"),
)
merge.wrong(
    "magnitude as a row",
    "the magnitude multiplies columns: right in shape for square weights only",
    r"row|column|broadcast|shape|None\]|unsqueeze|must match|size",
    made("layer.magnitude * F.normalize(V, dim=1)"),
)
merge.wrong(
    "columns",
    "V is normalised along dim=0",
    r"dim|axis|column|row",
    made("layer.magnitude[:, None] * F.normalize(V, dim=0)"),
)
merge.wrong(
    "base exchanged",
    "the new layer is put in place of layer.base",
    r"base.*(stay|chang|replac|as it was|same|exchang)|replac|layer\.base|side effect|modif",
    made(f"{GAIN} * V", after="layer.base = new\n    return new"),
)
merge.wrong(
    "base changed and handed back",
    "layer.base itself is changed and returned, no new layer is made",
    r"new|base.*(stay|chang|overwrit|as it was)|same (object|layer)|copy|in[- ]?place|modif",
    PLAIN
    + f"""
    layer.base.weight.data = ({GAIN} * V).detach()
    return layer.base
""",
)
merge.wrong(
    "weight transposed",
    "the weight of nn.Linear is (d_out, d_in)",
    r"transpos|shape|\(d_out, ?d_in\)|must match|size",
    made(f"({GAIN} * V).T"),
)
merge.wrong(
    "scaling twice",
    "the update is scaled in B and again in the sum",
    r"twice|squar|again|double|scal",
    made(
        f"{GAIN} * V",
        head="""
    W = layer.base.weight.detach()
    B = layer.scaling * layer.B.detach()
    V = W + layer.scaling * (B @ layer.A.detach())
    d_out, d_in = W.shape
""",
    ),
)
merge.wrong(
    "bias zero, gain forgotten",
    "the bias is zeroed, and V is not normalised",
    r"bias|magnitude|norm|gain|LoRA|m ?/",
    made("V", bias="torch.zeros_like(layer.base.bias)"),
)
merge.wrong(
    "no_grad missing",
    "copy_ into a leaf that requires a gradient needs torch.no_grad()",
    r"no_grad|leaf|in[- ]?place|\.data|requires grad",
    PLAIN
    + f"""
    new = nn.Linear(d_in, d_out, dtype=W.dtype)
    new.weight.copy_({GAIN} * V)
    new.bias.copy_(layer.base.bias)
    return new
""",
)
merge.wrong(
    "tensor for a parameter",
    "a plain tensor cannot stand in a parameter's place",
    r"Parameter|parameter|cannot assign|tensor",
    PLAIN
    + f"""
    new = nn.Linear(d_in, d_out, dtype=W.dtype)
    new.weight = ({GAIN} * V).detach()
    new.bias = layer.base.bias.detach()
    return new
""",
)
merge.wrong(
    "copy of the DoRA layer",
    "a copy of the whole layer is no nn.Linear",
    r"nn\.Linear|plain|DoRA layer|copy|type|linear layer",
    """
    import copy

    new = copy.deepcopy(layer)
    new.requires_grad_(False)
    return new
""",
)
merge.wrong(
    "alpha over rank",
    "the layer has scaling, not alpha and rank",
    r"alpha|scaling|no attribute|attribute|rank",
    """
    V = layer.base.weight + layer.alpha / layer.rank * layer.B @ layer.A
    new = nn.Linear(V.shape[1], V.shape[0])
    new.weight.data = (layer.magnitude / V.norm(dim=1))[:, None] * V
    new.bias.data = layer.base.bias.clone()
    return new
""",
)
merge.wrong(
    "one norm",
    "one norm of the whole matrix, where each row has its own",
    r"row|whole|each|dim|one norm|frobenius",
    made("layer.magnitude[:, None] * V / V.norm()"),
)
merge.open(
    "bias shared with base",
    "the new layer has base's own bias: equal now, and shared later",
    PLAIN
    + f"""
    new = nn.Linear(d_in, d_out, dtype=W.dtype)
    new.weight = nn.Parameter(({GAIN} * V).detach())
    new.bias = layer.base.bias
    return new
""",
)
merge.right(
    "state_dict",
    PLAIN
    + f"""
    new = nn.Linear(d_in, d_out, dtype=W.dtype, device=W.device)
    weight = ({GAIN} * V).detach()
    new.load_state_dict({{"weight": weight, "bias": layer.base.bias.detach().clone()}})
    return new
""",
)
merge.right(
    "row by row",
    """
    base = layer.base
    new = nn.Linear(base.in_features, base.out_features, bias=True).to(base.weight.dtype)
    with torch.no_grad():
        for i in range(base.out_features):
            v = base.weight[i] + layer.scaling * (layer.B[i] @ layer.A)
            new.weight[i] = layer.magnitude[i] * v / v.norm()
            new.bias[i] = base.bias[i]
    return new
""",
)
merge.right(
    "identity, without the bias",
    made(
        "probe",
        head="""
    W = layer.base.weight.detach()
    d_out, d_in = W.shape
    eye = torch.eye(d_in, dtype=W.dtype)
    outputs = eye @ W.T + layer.scaling * (eye @ layer.A.detach().T @ layer.B.detach().T)
    probe = (outputs * (layer.magnitude.detach() / outputs.norm(dim=0))).T
""",
    ),
)
merge.right(
    "double inside, data",
    """
    with torch.no_grad():
        V = layer.base.weight.double() + layer.scaling * layer.B.double() @ layer.A.double()
        merged = torch.diag(layer.magnitude.double() / V.norm(dim=1)) @ V
        new = nn.Linear(*reversed(V.shape))
        new.weight.data = merged.to(layer.base.weight.dtype)
        new.bias.data = layer.base.bias.data.clone()
    return new
""",
)
merge.right(
    "skip_init",
    """
    base = layer.base
    d_out, d_in = base.weight.shape
    new = nn.utils.skip_init(nn.Linear, d_in, d_out, dtype=base.weight.dtype)
    V = torch.addmm(base.weight, layer.B, layer.A, alpha=layer.scaling)
    unit = V / torch.linalg.vector_norm(V, dim=1, keepdim=True)
    new.weight.data.copy_(torch.einsum("o,oi->oi", layer.magnitude, unit))
    new.bias.data.copy_(base.bias)
    return new
""",
)

# ----------------------------------------------------------------------------------- change
change = Exercise("dora.change", "def weight_change(before, after):")
BOTH = """
    m0, m1 = before.norm(dim=1), after.norm(dim=1)
    cos = F.cosine_similarity(before, after, dim=1)
"""
change.wrong(
    "median",
    "the middle row in place of the mean",
    r"median|mean|average|middle",
    BOTH + "    return (m1 - m0).abs().median().item(), (1 - cos).median().item()\n",
)
change.wrong(
    "difference of the means",
    "absolute value after the mean: rows that grow and rows that shrink cancel",
    r"abs|cancel|mean|each row|order|before|grow",
    BOTH + "    return abs(m1.mean() - m0.mean()).item(), (1 - cos).mean().item()\n",
)
change.wrong(
    "divided by the inputs",
    "the sums are divided by d_in, where there are d_out rows",
    r"d_in|d_out|shape\[1\]|rows|number of|divid|square",
    BOTH
    + """
    n = before.shape[1]
    return ((m1 - m0).abs().sum() / n).item(), ((1 - cos).sum() / n).item()
""",
)
change.wrong(
    "cosine without lengths",
    "the dot product is not divided by the lengths",
    r"divid|norm|length|dot|unit|cosine|normali",
    """
    m0, m1 = before.norm(dim=1), after.norm(dim=1)
    dot = (before * after).sum(dim=1)
    return (m1 - m0).abs().mean().item(), (1 - dot).mean().item()
""",
)
change.wrong(
    "cosine with the change",
    "the angle between w and w' - w is not the angle between w and w'",
    r"difference|change|after - before|w'|between|update|angle|direction",
    """
    m0, m1 = before.norm(dim=1), after.norm(dim=1)
    cos = F.cosine_similarity(after - before, before, dim=1)
    return (m1 - m0).abs().mean().item(), (1 - cos).mean().item()
""",
)
change.wrong(
    "matrix for the direction",
    "one cosine of the flattened matrices, where each row has its own",
    r"flatten|row|whole|each|one cosine|long rows|dim|weigh",
    """
    lengths = (after.norm(dim=1) - before.norm(dim=1)).abs().mean()
    cos = F.cosine_similarity(before.flatten(), after.flatten(), dim=0)
    return lengths.item(), 1 - cos.item()
""",
)
change.wrong(
    "squared lengths",
    "differences of squared lengths",
    r"squar|root|sqrt|length|norm",
    """
    m0, m1 = before.square().sum(dim=1), after.square().sum(dim=1)
    cos = F.cosine_similarity(before, after, dim=1)
    return (m1 - m0).abs().mean().item(), (1 - cos).mean().item()
""",
)
change.wrong(
    "half of it",
    "(1 - cos) / 2 is half of what is asked for",
    r"half|/ ?2|factor (of )?(2|two)|divid|too small|twice",
    BOTH + "    return (m1 - m0).abs().mean().item(), ((1 - cos) / 2).mean().item()\n",
)
change.wrong(
    "sign of the turn",
    "cos - 1 is negative",
    r"sign|negative|minus|1 ?[-−] ?cos|order|revers",
    BOTH + "    return (m1 - m0).abs().mean().item(), (cos - 1).mean().item()\n",
)
change.wrong(
    "inputs normalised in place",
    "/= changes both weights of the caller",
    IN_PLACE,
    """
    m0, m1 = before.norm(dim=1, keepdim=True), after.norm(dim=1, keepdim=True)
    before /= m0
    after /= m1
    turned = 1 - (before * after).sum(dim=1)
    return (m1 - m0).abs().mean().item(), turned.mean().item()
""",
)
change.wrong(
    "sine",
    "the sine of the angle, where 1 - cos is asked for",
    r"sin|1 ?[-−] ?cos|cos|angle",
    BOTH
    + "    return (m1 - m0).abs().mean().item(), (1 - cos**2).clamp_min(0).sqrt().mean().item()\n",
)
change.wrong(
    "largest change",
    "the largest change in place of the mean",
    r"max|largest|mean|average",
    BOTH + "    return (m1 - m0).abs().max().item(), (1 - cos).max().item()\n",
)
change.wrong(
    "distance of the unit vectors",
    "the distance of the unit vectors is the root of 2 (1 - cos)",
    r"distance|root|sqrt|squar|1 ?[-−] ?cos|half|unit vectors",
    """
    lengths = (after.norm(dim=1) - before.norm(dim=1)).abs().mean()
    apart = F.normalize(after, dim=1) - F.normalize(before, dim=1)
    return lengths.item(), apart.norm(dim=1).mean().item()
""",
)
change.wrong(
    "columns and sums",
    "columns in place of rows, and sums in place of means",
    r"column|row|dim|axis|sum|mean",
    """
    m0, m1 = before.norm(dim=0), after.norm(dim=0)
    cos = F.cosine_similarity(before, after, dim=0)
    return (m1 - m0).abs().sum().item(), (1 - cos).sum().item()
""",
)
change.wrong(
    "return in the loop",
    "the return stands in the loop: one row only",
    r"return|loop|first|row|indent|only one",
    """
    n = len(before)
    lengths, turned = 0.0, 0.0
    for old, new in zip(before, after):
        lengths += abs(new.norm() - old.norm()).item() / n
        turned += (1 - F.cosine_similarity(old, new, dim=0)).item() / n
        return lengths, turned
""",
)
change.wrong(
    "printed",
    "the numbers are printed, not returned",
    r"return|print|None",
    BOTH + "    print((m1 - m0).abs().mean().item(), (1 - cos).mean().item())\n",
)
change.right(
    "half the squared distance",
    """
    m0, m1 = before.norm(dim=1), after.norm(dim=1)
    apart = after / m1[:, None] - before / m0[:, None]
    turned = apart.square().sum(dim=1) / 2
    return float((m1 - m0).abs().mean()), float(turned.mean())
""",
)
change.right(
    "one minus the mean",
    """
    old, new = before.detach().double(), after.detach().double()
    lengths = torch.linalg.vector_norm(new, dim=1) - torch.linalg.vector_norm(old, dim=1)
    cos = torch.einsum("oi,oi->o", F.normalize(old), F.normalize(new))
    return lengths.abs().mean().item(), 1 - cos.mean().item()
""",
)
change.right(
    "plain Python",
    """
    stretched, turned = [], []
    for w, v in zip(before.tolist(), after.tolist()):
        a, b = math.hypot(*w), math.hypot(*v)
        stretched.append(abs(b - a))
        turned.append(1 - sum(p * q for p, q in zip(w, v)) / (a * b))
    return statistics.fmean(stretched), statistics.fmean(turned)
""",
)
change.right(
    "numpy",
    """
    w, v = before.detach().cpu().double().numpy(), after.detach().cpu().double().numpy()
    a, b = np.linalg.norm(w, axis=1), np.linalg.norm(v, axis=1)
    cos = (w * v).sum(axis=1) / (a * b)
    return float(np.abs(b - a).mean()), float(np.mean(1 - cos))
""",
)
change.right(
    "l1 loss and stacked rows",
    """
    magnitude = F.l1_loss(after.norm(dim=1), before.norm(dim=1))
    rows = [F.cosine_similarity(p, q, dim=0) for p, q in zip(before, after)]
    direction = torch.stack([1 - cosine for cosine in rows]).mean()
    return magnitude.item(), direction.item()
""",
)

# ------------------------------------------------------------------------------ correlation
correlation = Exercise("dora.correlation", "def correlation(x, y):")
PEARSON = """
    x0, y0 = x - x.mean(), y - y.mean()
    r = ((x0 * y0).sum() / (x0.norm() * y0.norm())).item()
    n = len(x)
"""
correlation.wrong(
    "arc tangent",
    "atan and tan, where atanh and tanh are asked for",
    r"atanh|tanh|hyperbolic|arc ?tan|atan\b|Fisher",
    PEARSON
    + """
    z, error = math.atan(r), 1 / math.sqrt(n - 3)
    return r, math.tan(z - 1.96 * error), math.tan(z + 1.96 * error)
""",
)
correlation.wrong(
    "half of the logarithm missing",
    "atanh(r) is half the logarithm of (1 + r) / (1 - r)",
    r"half|1/2|0\.5|½|log|atanh|factor (of )?(2|two)",
    PEARSON
    + """
    z, error = math.log((1 + r) / (1 - r)), 1 / math.sqrt(n - 3)
    return r, math.tanh(z - 1.96 * error), math.tanh(z + 1.96 * error)
""",
)
correlation.wrong(
    "root missing",
    "the error is 1 / √(n - 3), not 1 / (n - 3)",
    r"root|sqrt|√|narrow|1 ?/ ?\(n",
    PEARSON
    + """
    z, error = math.atanh(r), 1 / (n - 3)
    return r, math.tanh(z - 1.96 * error), math.tanh(z + 1.96 * error)
""",
)
correlation.wrong(
    "90 percent",
    "1.645 belongs to 90 %",
    r"1\.96|1\.645|90|95|narrow|quantile",
    PEARSON
    + """
    half = 1.645 / math.sqrt(n - 3)
    z = math.atanh(r)
    return r, math.tanh(z - half), math.tanh(z + half)
""",
)
correlation.wrong(
    "ends exchanged",
    "the upper end comes before the lower",
    r"order|swap|exchang|lower|upper|low|first",
    PEARSON
    + """
    z, half = math.atanh(r), 1.96 / math.sqrt(n - 3)
    return r, math.tanh(z + half), math.tanh(z - half)
""",
)
correlation.wrong(
    "tanh of the half width",
    "the width is transformed by itself, and put around r",
    r"around r|symmetric|transform|scale|width|half|whole end|tanh",
    PEARSON
    + """
    half = math.tanh(1.96 / math.sqrt(n - 3))
    return r, r - half, r + half
""",
)
correlation.wrong(
    "classical error of r",
    "an interval around r itself, with the error (1 - r²)/√(n - 1)",
    r"atanh|Fisher|symmetric|around r|transform|n ?[-−] ?3|scale",
    PEARSON
    + """
    half = 1.96 * (1 - r**2) / math.sqrt(n - 1)
    return r, max(-1.0, r - half), min(1.0, r + half)
""",
)
correlation.wrong(
    "multiplied by the root",
    "the error is one over the root, and is multiplied by it",
    r"divid|one over|1 ?/|multipl|inver|wide|upside",
    PEARSON
    + """
    z, half = math.atanh(r), 1.96 * math.sqrt(n - 3)
    return r, math.tanh(z - half), math.tanh(z + half)
""",
)
correlation.wrong(
    "sign lost",
    "the root of r² is never negative",
    r"sign|negative|abs|root|square|positive",
    PEARSON
    + """
    r = math.sqrt(r * r)
    z, half = math.atanh(r), 1.96 / math.sqrt(n - 3)
    return r, math.tanh(z - half), math.tanh(z + half)
""",
)
correlation.wrong(
    "values counted for pairs",
    "n is the number of pairs, and both lists are counted",
    r"pair|2 ?n|twice|double|n\b.*(number|count)|number of|narrow|both",
    PEARSON
    + """
    n = x.numel() + y.numel()
    z, half = math.atanh(r), 1.96 / math.sqrt(n - 3)
    return r, math.tanh(z - half), math.tanh(z + half)
""",
)
correlation.wrong(
    "means taken out in place",
    "-= changes the caller's numbers",
    IN_PLACE + r"|-=",
    """
    x -= x.mean()
    y -= y.mean()
    r = F.cosine_similarity(x, y, dim=0).item()
    z, half = math.atanh(r), 1.96 / math.sqrt(len(x) - 3)
    return r, math.tanh(z - half), math.tanh(z + half)
""",
)
correlation.wrong(
    "two digits",
    "the three numbers are rounded",
    r"round|digit|decimal|exact|precision",
    PEARSON
    + """
    z, half = math.atanh(r), 1.96 / math.sqrt(n - 3)
    return round(r, 2), round(math.tanh(z - half), 2), round(math.tanh(z + half), 2)
""",
)
correlation.wrong(
    "slope, and n",
    "the slope of a line in place of r, and n in place of n - 3",
    r"slope|deviation|covariance|regress|n ?[-−] ?3|divid|norm",
    """
    x0, y0 = x - x.mean(), y - y.mean()
    r = ((x0 * y0).sum() / (x0 * x0).sum()).item()
    z, half = math.atanh(max(-0.999, min(0.999, r))), 1.96 / math.sqrt(len(x))
    return r, math.tanh(z - half), math.tanh(z + half)
""",
)
correlation.wrong(
    "widths returned",
    "how far the ends are from r, in place of the ends",
    r"ends?|width|distance|lower|interval|difference|r -",
    PEARSON
    + """
    z, half = math.atanh(r), 1.96 / math.sqrt(n - 3)
    return r, r - math.tanh(z - half), math.tanh(z + half) - r
""",
)
correlation.wrong(
    "99 percent",
    "2.576 belongs to 99 %",
    r"1\.96|2\.576|99|95|wide|quantile",
    PEARSON
    + """
    z, half = math.atanh(r), 2.576 / math.sqrt(n - 3)
    return r, math.tanh(z - half), math.tanh(z + half)
""",
)
correlation.wrong(
    "torch.corrcoef of two",
    "corrcoef takes one matrix",
    r"corrcoef|stack|one (matrix|argument)|argument|TypeError",
    """
    r = torch.corrcoef(x, y)
    z, half = math.atanh(r), 1.96 / math.sqrt(len(x) - 3)
    return r, math.tanh(z - half), math.tanh(z + half)
""",
)
correlation.wrong(
    "raise left over",
    "the stub's raise is still there",
    LEFT_OVER,
    PEARSON
    + """
    z, half = math.atanh(r), 1.96 / math.sqrt(n - 3)
    result = r, math.tanh(z - half), math.tanh(z + half)
    raise NotImplementedError("your code here")
""",
)
correlation.open(
    "quantile of the normal",
    "1.95996 for 1.96: the text says 1.96, and the difference is below any use",
    PEARSON
    + """
    half = statistics.NormalDist().inv_cdf(0.975) / math.sqrt(n - 3)
    z = math.atanh(r)
    return r, math.tanh(z - half), math.tanh(z + half)
""",
)
correlation.right(
    "statistics",
    """
    r = statistics.correlation(x.tolist(), y.tolist())
    middle, error = math.atanh(r), (len(x) - 3) ** -0.5
    low, high = (math.tanh(middle + side * 1.96 * error) for side in (-1, 1))
    return r, low, high
""",
)
correlation.right(
    "numpy throughout",
    """
    a, b = x.double().numpy(), y.double().numpy()
    r = np.corrcoef(np.stack([a, b]))[0, 1]
    ends = np.tanh(np.arctanh(r) + np.array([-1.96, 1.96]) / np.sqrt(a.size - 3))
    return float(r), float(ends[0]), float(ends[1])
""",
)
correlation.right(
    "standard scores",
    """
    zx = (x.double() - x.double().mean()) / x.double().std()
    zy = (y.double() - y.double().mean()) / y.double().std()
    r = (zx @ zy / (len(x) - 1)).item()
    step = 1.96 / math.sqrt(len(x) - 3)
    return (r, math.tanh(math.atanh(r) - step), math.tanh(math.atanh(r) + step))
""",
)
correlation.right(
    "tanh by its addition formula",
    """
    n = x.shape[0]
    pairs = list(zip(x.tolist(), y.tolist()))
    mx, my = math.fsum(a for a, _ in pairs) / n, math.fsum(b for _, b in pairs) / n
    sxy = math.fsum((a - mx) * (b - my) for a, b in pairs)
    sxx = math.fsum((a - mx) ** 2 for a, _ in pairs)
    syy = math.fsum((b - my) ** 2 for _, b in pairs)
    r = sxy / math.sqrt(sxx * syy)
    t = math.tanh(1.96 / math.sqrt(n - 3))
    return r, (r - t) / (1 - r * t), (r + t) / (1 + r * t)
""",
)
correlation.right(
    "cosine of the centred",
    """
    x64, y64 = x.double(), y.double()
    r = torch.cosine_similarity(x64 - x64.mean(), y64 - y64.mean(), dim=0)
    z = torch.atanh(r)
    half = 1.96 / torch.tensor(x.numel() - 3.0).double().sqrt()
    return r.item(), torch.tanh(z - half).item(), torch.tanh(z + half).item()
""",
)

EXERCISES = (decompose, forward, layer, gradients, cheap_norm, merge, change, correlation)
