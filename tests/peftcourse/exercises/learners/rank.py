"""Answers to the exercises of lesson 02, written from its text alone."""

from tests.peftcourse.exercises.learners.answers import Exercise

LEFT_OVER = r"NotImplementedError|left.?over|still (raises|there|stands)|\braises?\b"
NO_RETURN = r"return|\bNone\b"

# --- rank.outer ----------------------------------------------------------------------------------

outer = Exercise(
    "rank.outer",
    "def sum_of_outer_products(weights: Tensor, columns: Tensor, rows: Tensor) -> Tensor:",
)
outer.wrong(
    "no weights",
    "the terms are added without their weights",
    r"(ignor|forg[eo]t|drop|leav|left|miss|lack|without|unused|not used).{0,40}weight"
    r"|weights?\b.{0,40}(ignor|forg[eo]t|drop|left out|miss|lack|unused|not used)|unweighted",
    "    return columns @ rows.T",
)
outer.wrong(
    "weights on both sides",
    "the weight goes into both vectors and so is squared",
    r"twice|squared?\b|double|both",
    "    return (columns * weights) @ (rows * weights).T",
)
outer.wrong(
    "root of the weights on both sides",
    "a negative weight has no real root",
    r"negative|\bnan\b|root|sqrt",
    "    root = weights.sqrt()\n    return (columns * root) @ (rows * root).T",
)
outer.wrong(
    "absolute weights",
    "the sign of the weights is lost",
    r"\bsigns?\b|negative|absolute|\babs\b",
    "    return (columns * weights.abs()) @ rows.T",
)
outer.wrong(
    "transposed",
    "the result is (n, m): rows and columns are exchanged",
    r"transpos|swap|exchang|wrong way|\(n, m\)|n × m|n by m",
    "    return rows @ (columns * weights).T",
)
outer.wrong(
    "weights along the wrong axis",
    "weights[:, None] scales the rows of columns, and the weights belong to its columns",
    r"ax[ie]s|broadcast|size of tensor|dimension|(each|per) row|shape|unsqueeze|\[:, None\]",
    "    return (weights[:, None] * columns) @ rows.T",
)
outer.wrong(
    "rows of the matrices as the vectors",
    "columns[i] is a row; term i needs columns[:, i]",
    r"\[:, ?i\]|ax[ie]s|takes? rows|a row\b|row i\b|index|out of (range|bounds)",
    """
    total = 0
    for i in range(len(weights)):
        total = total + weights[i] * torch.outer(columns[i], rows[i])
    return total
""",
)
outer.wrong(
    "last term left out",
    "the loop stops one term early",
    r"\blast\b|off.by.one|too few|early|one (term )?(short|fewer|less)|k ?[-−] ?1|all (the )?terms",
    """
    total = torch.zeros(columns.shape[0], rows.shape[0], dtype=columns.dtype)
    for i in range(weights.shape[0] - 1):
        total += weights[i] * torch.outer(columns[:, i], rows[:, i])
    return total
""",
)
outer.wrong(
    "overwritten in the loop",
    "each term replaces the sum before it, so only the last is left",
    r"overwr|only (the|one|a single)|accumulat|\+=|add(ed|s)? (up|to)|last term",
    """
    for i in range(len(weights)):
        total = weights[i] * columns[:, i].unsqueeze(1) * rows[:, i].unsqueeze(0)
    return total
""",
)
outer.wrong(
    "mean of the terms",
    "the sum is divided by the number of terms",
    r"mean|averag|divid|1 ?/ ?k",
    "    return torch.einsum('k,mk,nk->kmn', weights, columns, rows).mean(0)",
)
outer.wrong(
    "weights scaled to sum to one",
    "the weights are normalised before use",
    r"normali[sz]|sum (up )?to (1|one)|divid|scal",
    "    weights = weights / weights.sum()\n    return (columns * weights) @ rows.T",
)
outer.wrong(
    "as many terms as rows of columns",
    "len(columns) is m; the number of terms is k",
    r"len\(|number of terms|how many terms|\bk\b.{0,20}terms|out of (range|bounds)|shape\[1\]",
    """
    m, n = len(columns), len(rows)
    total = torch.zeros(m, n, dtype=columns.dtype)
    for i in range(len(columns)):
        total += weights[i] * torch.outer(columns[:, i], rows[:, i])
    return total
""",
)
outer.wrong(
    "product by element",
    "multiplies element by element; an outer product is wanted",
    r"element|outer product|matrix product|broadcast|size of tensor|@|matmul",
    "    return weights * columns * rows",
)
outer.wrong(
    "no return",
    "nothing is returned",
    NO_RETURN,
    "    result = (columns * weights) @ rows.T\n    print(result)",
)
outer.wrong(
    "columns scaled in place",
    "*= changes the caller's columns",
    r"in.?place|(chang|modif|mutat|alter|overwr)\w*.{0,30}(input|argument|columns|caller|given)|\*=",
    "    columns *= weights\n    return columns @ rows.T",
)
outer.wrong(
    "sum starts at ones",
    "the sum starts from ones, so every entry is one too large",
    r"zeros?\b|start|initial|\bones\b|offset|adds? a constant|one too (large|high)",
    """
    total = torch.ones(columns.size(0), rows.size(0), dtype=columns.dtype)
    for w, u, v in zip(weights, columns.T, rows.T):
        total = total + w * torch.outer(u, v)
    return total
""",
)
outer.wrong(
    "numpy array",
    "returns a NumPy array in place of a tensor",
    r"numpy|ndarray|\barray\b|(not|must be|wants?|return) a (torch\.)?tensor",
    "    return (columns.numpy() * weights.numpy()) @ rows.numpy().T",
)
outer.wrong(
    "transposed and without weights",
    "no weights, and the wrong way round",
    r"(ignor|forg|left|miss|without|no|unused)\w*.{0,40}weight"
    r"|weights?\b.{0,30}(ignor|miss|left|unused)|transpos|swap|exchang|\(n, m\)|n × m",
    "    return rows @ columns.T",
)
outer.wrong(
    "stub line left over",
    "the line that raises still comes first",
    LEFT_OVER,
    """
    raise NotImplementedError("your code here")
    return (columns * weights) @ rows.T
""",
)
outer.wrong(
    "only when the weights fall",
    "the weights are sorted, and no longer belong to their columns",
    r"sort|order|belong|match|pair|align",
    """
    weights, _ = torch.sort(weights, descending=True)
    return (columns * weights) @ rows.T
""",
)
outer.open(
    "sum kept in float32",
    "the text names no dtype; sums of float64 lose half of their digits",
    """
    total = torch.zeros(columns.shape[0], rows.shape[0])
    for i in range(len(weights)):
        total += weights[i] * torch.outer(columns[:, i], rows[:, i])
    return total
""",
)
outer.right("one line", "    return (columns * weights) @ rows.T")
outer.right("einsum", "    return torch.einsum('k,mk,nk->mn', weights, columns, rows)")
outer.right("diagonal matrix", "    return columns @ torch.diag(weights) @ rows.mT")
outer.right(
    "loop over outer",
    """
    total = columns.new_zeros(columns.shape[0], rows.shape[0])
    for i in range(len(weights)):
        total += weights[i] * torch.outer(columns[:, i], rows[:, i])
    return total
""",
)
outer.right(
    "backwards, with the weight on the row",
    """
    out = torch.zeros(columns.size(0), rows.size(0), dtype=columns.dtype, device=columns.device)
    for w, u, v in reversed(list(zip(weights, columns.unbind(1), rows.unbind(1)))):
        out = torch.addr(out, u, w * v)
    return out
""",
)
outer.right(
    "broadcast and sum",
    """
    terms = weights * columns[:, None, :] * rows[None, :, :]
    return terms.sum(dim=-1)
""",
)
outer.right(
    "double inside",
    """
    exact = F.linear(columns.double() * weights.double(), rows.double())
    return exact.to(columns.dtype)
""",
)
outer.right(
    "plain numbers",
    """
    w, u, v = weights.tolist(), columns.tolist(), rows.tolist()
    entries = [[sum(w[i] * a[i] * b[i] for i in range(len(w))) for b in v] for a in u]
    return torch.tensor(entries, dtype=columns.dtype)
""",
)

# --- rank.numerical ------------------------------------------------------------------------------

numerical = Exercise(
    "rank.numerical", "def numerical_rank(matrix: Tensor, tolerance: float) -> int:"
)
numerical.wrong(
    "absolute tolerance",
    "compares with the tolerance itself, not with tolerance times the largest",
    r"absolute|relative|times the largest|scale|thousand|1,?000|as it is|multipl",
    "    return int((torch.linalg.svdvals(matrix) > tolerance).sum())",
)
numerical.wrong(
    "above zero",
    "counts what rounding left over: the tolerance is not used",
    r"\bzero\b|(ignor|unused|not use|without|no)\w*.{0,20}tolerance"
    r"|tolerance.{0,30}(ignor|unused|not used|never|missing)|rounding",
    "    return int((torch.linalg.svdvals(matrix) > 0).sum())",
)
numerical.wrong(
    "at least in place of above",
    "a value exactly at the threshold is not above it",
    r"\babove\b|exactly|equal|strict|>=|≥|\bat the (threshold|limit|bound)|\bties?\b|zeros",
    """
    sigma = torch.linalg.svdvals(matrix)
    return int((sigma >= tolerance * sigma[0]).sum())
""",
)
numerical.wrong(
    "relative to the sum",
    "the threshold is a share of the sum of all singular values",
    r"\bsum\b|total|(not|other than) the largest",
    """
    s = torch.linalg.svdvals(matrix)
    return int((s / s.sum() > tolerance).sum())
""",
)
numerical.wrong(
    "relative to the norm of the matrix",
    "the Frobenius norm is not the largest singular value",
    r"norm|frobenius|(not|other than) the largest",
    """
    s = torch.linalg.svdvals(matrix)
    return int((s > tolerance * matrix.norm()).sum())
""",
)
numerical.wrong(
    "relative to the smallest",
    "sigma[-1] is the smallest singular value",
    r"smallest|\[-1\]|ascending|descending|\blast\b|(not|other than) the largest",
    """
    sigma = torch.linalg.svdvals(matrix)
    count = 0
    for s in sigma:
        if s > tolerance * sigma[-1]:
            count += 1
    return count
""",
)
numerical.wrong(
    "squares against the largest square",
    "σ² is compared, so the threshold is the root of the tolerance",
    r"squar|σ²|energy|root",
    """
    energy = torch.linalg.svdvals(matrix) ** 2
    return int((energy > tolerance * energy.max()).sum())
""",
)
numerical.wrong(
    "entries in place of singular values",
    "counts entries of the matrix",
    r"entr(y|ies)|elements?\b|not (the )?singular|svd",
    "    return int((matrix.abs() > tolerance * matrix.abs().max()).sum())",
)
numerical.wrong(
    "eigenvalues",
    "eigenvalues are not singular values, and only square matrices have them",
    r"eigen|eigvals|square matri|only square|not square",
    """
    values = torch.linalg.eigvals(matrix).abs()
    return int((values > tolerance * values.max()).sum())
""",
)
numerical.wrong(
    "the smaller side",
    "every matrix gets full rank",
    r"full rank|min\(|smaller side|\bsize\b|shape|always",
    "    return min(matrix.shape)",
)
numerical.wrong(
    "matrix_rank without the tolerance",
    "the tolerance is not used; matrix_rank has its own",
    r"tolerance.{0,40}(ignor|unused|not used|never|default)"
    r"|(ignor|unused|own|default|not use|without|not pass)\w*.{0,30}tolerance",
    "    return int(torch.linalg.matrix_rank(matrix))",
)
numerical.wrong(
    "matrix_rank with an absolute tolerance",
    "the second argument of matrix_rank is absolute; rtol is the relative one",
    r"absolute|relative|rtol|times the largest|scale|thousand|1,?000|as it is|multipl",
    "    return int(torch.linalg.matrix_rank(matrix, tolerance))",
)
numerical.wrong(
    "counts those below",
    "counts the small values in place of the large ones",
    r"below|invert|opposite|wrong side|small\w* (singular )?(ones|values)|the other|revers"
    r"|complement|not above",
    """
    sigma = torch.linalg.svdvals(matrix)
    return int((sigma < tolerance * sigma[0]).sum())
""",
)
numerical.wrong(
    "index in place of count",
    "the index of the last value above is one less than the count",
    r"off.by.one|index|position|one (less|too (few|small|low)|short|fewer)|\+ ?1",
    """
    sigma = torch.linalg.svdvals(matrix)
    return int((sigma > tolerance * sigma[0]).nonzero()[-1])
""",
)
numerical.wrong(
    "diagonal of R",
    "the diagonal of a QR decomposition does not hold the singular values",
    r"\bqr\b|svd|diagonal",
    """
    _, R = torch.linalg.qr(matrix)
    d = R.diagonal().abs()
    return int((d > tolerance * d.max()).sum())
""",
)
numerical.wrong(
    "singular values by way of the Gram matrix",
    "squaring the matrix loses half of the digits: rounding stands above small tolerances",
    r"gram|eigen|squar|half (of )?the digits|precision|rounding|svdvals",
    """
    gram = matrix.T @ matrix
    sigma = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    return int((sigma > tolerance * sigma.max()).sum())
""",
)
numerical.wrong(
    "rounded to the tolerance",
    "counts distinct rows, not independent directions",
    r"distinct|unique|independent (rows|direction)|svd|duplicate|not (the )?singular",
    """
    rows = torch.unique((matrix / matrix.abs().max() / tolerance).round(), dim=0)
    return min(len(rows), matrix.shape[1])
""",
)
numerical.wrong(
    "misspelt function",
    "torch.linalg has no svdvalues; it is svdvals",
    r"svdval",
    """
    sigma = torch.linalg.svdvalues(matrix)
    return int((sigma > tolerance * sigma[0]).sum())
""",
)
numerical.wrong(
    "absolute, and at least",
    "the tolerance is not multiplied by the largest, and equality counts",
    r"absolute|relative|times the largest|scale|thousand|1,?000|as it is|multipl|strict"
    r"|\babove\b|>=|≥",
    "    return int(torch.ge(torch.linalg.svdvals(matrix), tolerance).sum())",
)
numerical.wrong(
    "the mask, not its sum",
    "returns a tensor of booleans in place of their number",
    r"bool|mask|(return|add|take)\w*.{0,30}\b(count|sum|int)\b|whole number|how many|tensor",
    """
    sigma = torch.linalg.svdvals(matrix)
    return sigma > tolerance * sigma[0]
""",
)
numerical.open(
    "count as a tensor",
    "a tensor of one whole number where the signature says int",
    """
    sigma = torch.linalg.svdvals(matrix)
    return (sigma > tolerance * sigma[0]).sum()
""",
)
numerical.right(
    "svdvals",
    """
    sigma = torch.linalg.svdvals(matrix)
    return int((sigma > tolerance * sigma[0]).sum())
""",
)
numerical.right(
    "relative tolerance of matrix_rank",
    "    return torch.linalg.matrix_rank(matrix, rtol=tolerance).item()",
)
numerical.right(
    "numpy",
    """
    sigma = np.linalg.svd(matrix.detach().numpy(), compute_uv=False)
    return int(np.count_nonzero(sigma > tolerance * sigma.max()))
""",
)
numerical.right(
    "loop over a full decomposition",
    """
    _, S, _ = torch.linalg.svd(matrix)
    largest = max(S.tolist())
    rank = 0
    for value in S.tolist():
        if value > tolerance * largest:
            rank += 1
        else:
            break
    return rank
""",
)
numerical.right(
    "generator and spectral norm",
    """
    bound = tolerance * torch.linalg.svdvals(matrix).max().item()
    return sum(1 for s in torch.linalg.svdvals(matrix).tolist() if s > bound)
""",
)
numerical.right(
    "transposed first",
    """
    sigma = torch.linalg.svd(matrix.mT.contiguous(), full_matrices=False).S
    return len(sigma) - int(torch.count_nonzero(sigma <= tolerance * sigma.amax()))
""",
)

# --- rank.savings --------------------------------------------------------------------------------

savings = Exercise(
    "rank.savings", "def savings(rows: int, columns: int, rank: int) -> tuple[float, int]:"
)
savings.wrong(
    "share kept",
    "this is the share that the factors hold; saved is one minus it",
    r"\bkeep|\bkept|remain|one minus|1 ?[-−]|complement"
    r"|share.{0,20}(factors )?(hold|need|take)|stored|the rest\b",
    """
    share = rank * (rows + columns) / (rows * columns)
    return share, math.ceil(rows * columns / (rows + columns))
""",
)
savings.wrong(
    "in per cent",
    "the share is a hundred times too large",
    r"per ?cent|%|hundred|100",
    """
    share = 100 * (1 - rank * (rows + columns) / (rows * columns))
    return share, math.ceil(rows * columns / (rows + columns))
""",
)
savings.wrong(
    "rounded down",
    "at the rank rounded down the factors still save something",
    r"round\w* (it )?(down|up)|down|ceil|floor|//|truncat|too (small|low)|int\(",
    """
    factors = rank * (rows + columns)
    return 1 - factors / (rows * columns), rows * columns // (rows + columns)
""",
)
savings.wrong(
    "rounded to the nearest",
    "round may go down, and then the factors are still smaller",
    r"round|nearest|ceil|too (small|low)",
    """
    full = rows * columns
    return 1 - rank * (rows + columns) / full, round(full / (rows + columns))
""",
)
savings.wrong(
    "one more than the quotient",
    "where it divides evenly, the quotient itself is the break-even rank",
    r"evenly|exact|divis|\+ ?1|one too|off.by.one|no fewer|as many|equal",
    """
    full = rows * columns
    return 1 - rank * (rows + columns) / full, full // (rows + columns) + 1
""",
)
savings.wrong(
    "strictly more in the loop",
    "as many numbers as the matrix is break-even already; the loop goes on",
    r"evenly|exact|equal|no fewer|as many|strict|<=|≤|one too|off.by.one",
    """
    r = 1
    while r * (rows + columns) <= rows * columns:
        r += 1
    return 1 - rank * (rows + columns) / (rows * columns), r
""",
)
savings.wrong(
    "last rank that saves",
    "returns the largest rank that still saves, one below break-even",
    r"still sav|largest|last|one (below|less|too (small|low))|off.by.one|before",
    """
    r = 0
    while (r + 1) * (rows + columns) < rows * columns:
        r += 1
    return 1 - rank * (rows + columns) / (rows * columns), r
""",
)
savings.wrong(
    "brackets missing",
    "a / b * c multiplies by the columns: the product needs brackets",
    r"bracket|parenthes|preceden|order of operation|multipl"
    r"|divid\w*.{0,30}(rows ?[·*×] ?columns|product)",
    """
    share = 1 - rank * (rows + columns) / rows * columns
    return share, math.ceil(rows * columns / (rows + columns))
""",
)
savings.wrong(
    "brackets missing round the sum",
    "rank · rows + columns: the rank has to multiply both",
    r"bracket|parenthes|preceden|both|rank.{0,20}(rows|columns)|rows ?\+ ?columns|each factor",
    """
    share = 1 - (rank * rows + columns) / (rows * columns)
    return share, -(-rows * columns // (rows + columns))
""",
)
savings.wrong(
    "swapped",
    "the break-even rank comes second",
    r"swap|order|exchang|other way|revers|(share|break.even).{0,20}(first|second)",
    """
    share = 1 - rank * (rows + columns) / (rows * columns)
    return math.ceil(rows * columns / (rows + columns)), share
""",
)
savings.wrong(
    "half the smaller side",
    "that holds for square matrices only",
    r"square|half|rows ?\+ ?columns|other shapes|not square|rectang",
    """
    share = 1 - rank * (rows + columns) / (rows * columns)
    return share, math.ceil(min(rows, columns) / 2)
""",
)
savings.wrong(
    "twice the rows",
    "the two factors have different lengths unless the matrix is square",
    r"square|rows ?\+ ?columns|columns.{0,30}(factor|missing|ignor)|twice|each factor",
    """
    held = 2 * rank * rows
    return 1 - held / (rows * columns), math.ceil(rows * columns / (rows + columns))
""",
)
savings.wrong(
    "factors multiplied",
    "the two factors are stored side by side: their sizes add up",
    r"\badd|\bsum\b|rows ?\+ ?columns|multipl|squar|rank²",
    """
    held = (rank * rows) * (rank * columns)
    return 1 - held / (rows * columns), math.ceil(rows * columns / (rows + columns))
""",
)
savings.wrong(
    "full rank as the break-even",
    "from the full rank on the factors hold twice as many numbers for a square matrix",
    r"full rank|twice|min\(|smaller side|too (large|high)",
    """
    share = 1 - rank * (rows + columns) / (rows * columns)
    return share, min(rows, columns)
""",
)
savings.wrong(
    "integer division in the share",
    "// drops the fraction",
    r"//|integer|whole number|floor|fraction|true division|rounded",
    """
    share = 1 - rank * (rows + columns) // (rows * columns)
    return share, math.ceil(rows * columns / (rows + columns))
""",
)
savings.wrong(
    "number saved, not its share",
    "a count of numbers in place of a share of them",
    r"(not|in place of|instead of|rather than|as) (a |the |its )?share|divid|relative"
    r"|fraction|\bcount\b|absolute|how many",
    """
    saved = rows * columns - rank * (rows + columns)
    return saved, math.ceil(rows * columns / (rows + columns))
""",
)
savings.wrong(
    "with the singular values",
    "counts the rank weights as a third part; two factors hold none",
    r"singular|extra|third|too many|rank more|sigma|σ|\+ ?1",
    """
    held = rank * (rows + columns + 1)
    return 1 - held / (rows * columns), -(-rows * columns // (rows + columns + 1))
""",
)
savings.wrong(
    "break-even printed",
    "only the share is returned",
    r"tuple|two (values|numbers|things)|pair|unpack|only (the )?(share|one)|return"
    r"|break.even.{0,20}(missing|printed)",
    """
    share = 1 - rank * (rows + columns) / (rows * columns)
    print(share, math.ceil(rows * columns / (rows + columns)))
    return share
""",
)
savings.wrong(
    "kept, and rounded down",
    "the share held in place of that saved, and the rank rounded down",
    r"\bkeep|\bkept|\bstored|the rest\b|remain|one minus|1 ?[-−]|complement|down|ceil|floor|round",
    """
    return rank * (rows + columns) / (rows * columns), int(rows * columns / (rows + columns))
""",
)
savings.wrong(
    "misspelt name",
    "colums is not defined; it is columns",
    r"colums|columns|not defined|NameError",
    """
    share = 1 - rank * (rows + columns) / (rows * colums)
    return share, math.ceil(rows * columns / (rows + columns))
""",
)
savings.open(
    "no saving below zero",
    "the text does not say what the share is when the factors are larger",
    """
    share = max(0.0, 1 - rank * (rows + columns) / (rows * columns))
    return share, math.ceil(rows * columns / (rows + columns))
""",
)
savings.open(
    "rank as a float",
    "a whole number in a float where the signature says int",
    """
    share = 1 - rank * (rows + columns) / (rows * columns)
    return share, float(math.ceil(rows * columns / (rows + columns)))
""",
)
savings.right(
    "ceiling",
    """
    share = 1 - rank * (rows + columns) / (rows * columns)
    return share, math.ceil(rows * columns / (rows + columns))
""",
)
savings.right(
    "negated division",
    """
    full, thin = rows * columns, rows + columns
    return (full - rank * thin) / full, -(-full // thin)
""",
)
savings.right(
    "counting up",
    """
    r = 0
    while r * rows + r * columns < rows * columns:
        r += 1
    return 1 - (rank * rows + rank * columns) / (rows * columns), r
""",
)
savings.right(
    "reciprocals",
    """
    quotient, rest = divmod(rows * columns, rows + columns)
    return 1.0 - rank / rows - rank / columns, quotient + (rest > 0)
""",
)
savings.right(
    "search by itertools",
    """
    def held(r):
        return r * rows + columns * r

    least = next(r for r in itertools.count(1) if held(r) >= rows * columns)
    return 1 - held(rank) / (rows * columns), least
""",
)
savings.right(
    "sizes of real factors",
    """
    B = torch.empty(rows, rank, device="meta")
    A = torch.empty(rank, columns, device="meta")
    W = torch.empty(rows, columns, device="meta")
    share = 1 - (B.numel() + A.numel()) / W.numel()
    return share, (rows * columns + rows + columns - 1) // (rows + columns)
""",
)

# --- rank.truncate -------------------------------------------------------------------------------

truncate = Exercise(
    "rank.truncate",
    "def truncate(matrix: Tensor, rank: int) -> Tensor:",
    given="from peftlab import lowrank\n",
)
truncate.wrong(
    "singular values left out",
    "the terms have no weights",
    r"singular values?.{0,40}(miss|left|forg|drop|lack|ignor|not)|weight|without.{0,20}(S|singular)"
    r"|(miss|left|forg|drop|lack|ignor)\w*.{0,30}(singular|σ|\bS\b)",
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return U[:, :rank] @ Vh[:rank]
""",
)
truncate.wrong(
    "root of the singular values",
    "only one factor takes √σ, so the terms are too small",
    r"root|sqrt|√",
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return U[:, :rank] * S[:rank].sqrt() @ Vh[:rank]
""",
)
truncate.wrong(
    "singular values twice",
    "both factors take the whole of σ",
    r"twice|squared?\b|both|double|σ²",
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    B = U[:, :rank] * S[:rank]
    A = S[:rank, None] * Vh[:rank]
    return B @ A
""",
)
truncate.wrong(
    "smallest terms kept",
    "keeps the terms with the smallest weights",
    r"smallest|\blast\b|largest|wrong end",
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return U[:, -rank:] @ torch.diag(S[-rank:]) @ Vh[-rank:]
""",
)
truncate.wrong(
    "columns of Vh",
    "the right singular vectors are the rows of Vh",
    r"(rows?|columns?) of Vh?\b|\bVh?\b.{0,30}(row|column|transpos)|right singular|transpos",
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return (U[:, :rank] * S[:rank]) @ Vh[:, :rank].T
""",
)
truncate.wrong(
    "Vh transposed once more",
    "svd returns Vᵀ already",
    r"\bVh?\b.{0,30}(row|column|transpos|already)|right singular|transpos|already|rows of Vh?\b",
    """
    U, S, V = torch.linalg.svd(matrix, full_matrices=False)
    return (U[:, :rank] * S[:rank]) @ V.T[:rank]
""",
)
truncate.wrong(
    "S scales the rows of U",
    "S belongs to the columns of U",
    r"ax[ie]s|broadcast|column|size of tensor|unsqueeze|\[:, None\]|shape|dimension",
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return (S[:rank].unsqueeze(1) * U[:, :rank]) @ Vh[:rank]
""",
)
truncate.wrong(
    "square matrices only",
    "U is (m, m) and Vh (n, n) without full_matrices=False: the product fails unless m = n",
    r"full_matrices|square|mat1|reduced|thin",
    """
    U, S, Vh = torch.linalg.svd(matrix)
    S[rank:] = 0
    return U @ torch.diag(S) @ Vh
""",
)
truncate.wrong(
    "upper left block",
    "keeps entries, not terms of the decomposition",
    r"block|corner|entries|svd|singular",
    """
    out = torch.zeros_like(matrix)
    out[:rank, :rank] = matrix[:rank, :rank]
    return out
""",
)
truncate.wrong(
    "one term too many",
    "keeps rank + 1 terms",
    r"off.by.one|one (term )?(too many|more)|rank ?\+ ?1|too (high|large)",
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    total = torch.zeros_like(matrix)
    for i in range(len(S)):
        if i <= rank:
            total += S[i] * torch.outer(U[:, i], Vh[i])
    return total
""",
)
truncate.wrong(
    "only term number rank",
    "takes one term and not the sum of the first ones",
    r"one term|single|only (the|one)|\bsum\w* (of|over|up)|\badd|rank (of )?(1|one)\b|\ball\b",
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    i = rank - 1
    return S[i] * torch.outer(U[:, i], Vh[i])
""",
)
truncate.wrong(
    "QR in place of SVD",
    "the first columns of a QR decomposition are not the directions of the largest terms",
    r"\bqr\b|svd|singular (value|vector)",
    """
    Q, R = torch.linalg.qr(matrix)
    return Q[:, :rank] @ R[:rank]
""",
)
truncate.wrong(
    "eigenvectors",
    "an eigendecomposition stands in for the SVD: right for symmetric matrices without sign only",
    r"eigen|\beigh?\b|symmetric|square|svd|singular",
    """
    values, vectors = torch.linalg.eigh(matrix)
    keep = values.abs().argsort(descending=True)[:rank]
    V = vectors[:, keep]
    return (V * values[keep]) @ V.T
""",
)
truncate.wrong(
    "rows with the largest norm",
    "keeps whole rows; that has the rank but is not the best of it",
    r"whole rows|keeps? rows|rows? (with|of)|svd|singular",
    """
    keep = matrix.norm(dim=1).topk(rank).indices
    out = torch.zeros_like(matrix)
    out[keep] = matrix[keep]
    return out
""",
)
truncate.wrong(
    "rough random decomposition",
    "one pass of a random sketch of that rank is not the best approximation",
    r"random|sketch|lowrank|exact|accura|oversampl|not the best",
    """
    U, S, V = torch.svd_lowrank(matrix, q=rank, niter=0)
    return (U * S) @ V.T
""",
)
truncate.wrong(
    "principal components",
    "the means of the columns are taken off first",
    r"cent(er|re)|means?\b|pca|principal",
    """
    mean = matrix.mean(0, keepdim=True)
    U, S, Vh = torch.linalg.svd(matrix - mean, full_matrices=False)
    return mean + (U[:, :rank] * S[:rank]) @ Vh[:rank]
""",
)
truncate.wrong(
    "factors in place of the product",
    "returns the parts; the matrix is asked for",
    r"tuple|product|multipl|\bparts\b|factors|one (tensor|matrix)|(return|wants?|must be) a tensor",
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return U[:, :rank], S[:rank], Vh[:rank]
""",
)
truncate.wrong(
    "written into the input",
    "copy_ changes the caller's matrix",
    r"in.?place|(chang|modif|mutat|alter|overwr)\w*.{0,30}(input|argument|matrix|caller|given)|copy_",
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return matrix.copy_((U[:, :rank] * S[:rank]) @ Vh[:rank])
""",
)
truncate.wrong(
    "weights missing and one term too few",
    "no singular values, and rank - 1 terms",
    r"singular|weight|σ|off.by.one|one (term )?(too few|short|less)|too (low|small)|scale",
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return U[:, : rank - 1] @ Vh[: rank - 1]
""",
)
truncate.wrong(
    "always rank 2",
    "a fixed number of terms in place of rank",
    r"fixed|hard.?coded|constant (rank|number)|rank.{0,30}(ignor|unused|not used)"
    r"|(ignor|unused|not use).{0,20}rank",
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return (U[:, :2] * S[:2]) @ Vh[:2]
""",
)
truncate.wrong(
    "misspelt keyword",
    "the keyword is full_matrices",
    r"full_matri|keyword",
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrix=False)
    return (U[:, :rank] * S[:rank]) @ Vh[:rank]
""",
)
truncate.open(
    "the library's function",
    "the exercise wants the pieces built; what comes out is right",
    "    return lowrank.truncate(matrix, rank)",
)
truncate.right(
    "slices",
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return (U[:, :rank] * S[:rank]) @ Vh[:rank]
""",
)
truncate.right(
    "full decomposition, sliced",
    """
    U, S, Vh = torch.linalg.svd(matrix)
    return U[:, :rank] @ torch.diag(S[:rank]) @ Vh[:rank, :]
""",
)
truncate.right(
    "zeroed spectrum",
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    kept = torch.where(torch.arange(len(S)) < rank, S, torch.zeros_like(S))
    return U @ (kept[:, None] * Vh)
""",
)
truncate.right(
    "loop of outer products",
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    total = torch.zeros_like(matrix)
    for i in reversed(range(rank)):
        total = total + S[i] * torch.outer(U[:, i], Vh[i])
    return total
""",
)
truncate.right(
    "the rest taken off",
    """
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    rest = torch.einsum("mr,r,rn->mn", U[:, rank:], S[rank:], Vh[rank:])
    return matrix - rest
""",
)
truncate.right(
    "projected onto the leading directions",
    """
    V = torch.linalg.svd(matrix.double(), full_matrices=False).Vh[:rank].mT
    return (matrix.double() @ V @ V.mT).to(matrix.dtype)
""",
)
truncate.right(
    "numpy",
    """
    u, s, vt = np.linalg.svd(matrix.detach().numpy(), full_matrices=False)
    best = sum(s[i] * np.outer(u[:, i], vt[i]) for i in range(rank))
    return torch.as_tensor(best, dtype=matrix.dtype)
""",
)
truncate.right(
    "older function with V",
    """
    U, S, V = torch.svd(matrix)
    return U[:, :rank] @ torch.diag_embed(S[:rank]) @ V[:, :rank].t()
""",
)

# --- rank.energy ---------------------------------------------------------------------------------

energy = Exercise("rank.energy", "def energy_rank(sigma: Tensor, share: float) -> int:")
energy.wrong(
    "not squared",
    "energy is the sum of σ², not of σ",
    r"squar|σ²|\*\* ?2",
    """
    kept = sigma.cumsum(0)
    return int((kept < share * kept[-1]).sum()) + 1
""",
)
energy.wrong(
    "one too few",
    "the number of ranks that fall short is one less than the first that does not",
    r"off.by.one|\+ ?1|one (too (few|low|small)|less|short|more)|index|starts? (at|from) (0|zero)",
    """
    kept = sigma.square().cumsum(0)
    return int((kept < share * kept[-1]).sum())
""",
)
energy.wrong(
    "a share met exactly is not enough",
    "at equality the share is met",
    r"exact|equal|<=|≤|strict|\bmet\b|boundary|ties?\b",
    """
    kept = sigma.square().cumsum(0)
    return int((kept <= share * kept[-1]).sum()) + 1
""",
)
energy.wrong(
    "searched from the right",
    "right=True goes past a share that is met exactly",
    r"exact|equal|right|\bmet\b|strict|boundary|ties?\b|out of",
    """
    kept = sigma.square().cumsum(0)
    kept = kept / kept[-1].clone()
    target = torch.tensor(share, dtype=kept.dtype)
    return min(int(torch.searchsorted(kept, target, right=True)) + 1, len(sigma))
""",
)
energy.wrong(
    "index of the first",
    "argmax gives an index from 0; the rank is one more",
    r"off.by.one|\+ ?1|one (too (few|low|small)|less|short|more)|index|starts? (at|from) (0|zero)",
    """
    share_kept = torch.cumsum(sigma**2, 0) / torch.sum(sigma**2)
    return int((share_kept >= share).int().argmax())
""",
)
energy.wrong(
    "not divided by the total",
    "compares energy itself with a share",
    r"total|divid|share (of|times)|with a share|normali[sz]|relative|kept\[-1\]|absolute"
    r"|energy itself",
    "    return int((sigma.square().cumsum(0) < share).sum()) + 1",
)
energy.wrong(
    "share of the norm",
    "the root is taken: a share of ‖W‖, not of ‖W‖²",
    r"root|sqrt|√|\bnorm\b",
    """
    kept = sigma.square().cumsum(0).sqrt()
    return int((kept < share * kept[-1]).sum()) + 1
""",
)
energy.wrong(
    "square of the sum",
    "adds first and squares then",
    r"squar\w*.{0,40}(sum|cum|add|after|first|before)|(sum|cum|add)\w*.{0,40}squar|order",
    """
    kept = sigma.cumsum(0) ** 2
    for r, value in enumerate(kept, start=1):
        if value >= share * kept[-1]:
            return r
""",
)
energy.wrong(
    "from the smallest",
    "adds up from the small end",
    r"smallest|small end|flip|revers|wrong end|order|ascending|largest first",
    """
    kept = sigma.flip(0).square().cumsum(0)
    return int((kept < share * kept[-1]).sum()) + 1
""",
)
energy.wrong(
    "each against the largest",
    "counts large values; what they hold together is not asked",
    r"largest|cumul|together|running|add\w* up|each (value|one|σ|term)|one by one|individual",
    """
    squares = sigma.square()
    return int((squares >= share * squares[0]).sum())
""",
)
energy.wrong(
    "share of the count",
    "takes a share of the number of values, whatever they are",
    r"number of|count|length|len\("
    r"|(ignor|depend|use|look)\w*.{0,30}(spectrum|values|σ|sigma|energy)",
    "    return math.ceil(share * len(sigma))",
)
energy.wrong(
    "share that may be lost",
    "the share is what may be lost, not what is kept",
    r"lost|lose|kept|keep|1 ?[-−]|complement|invert|left out|opposite",
    """
    kept = sigma.square().cumsum(0)
    return int((kept < (1 - share) * kept[-1]).sum()) + 1
""",
)
energy.wrong(
    "how many ranks reach it",
    "counts all ranks that keep enough in place of the first",
    r"how many|counts? (all|the ranks|those|every)|invert|opposite|fall short|reach"
    r"|wrong side|too many|not the smallest|the first",
    """
    kept = sigma.square().cumsum(0) / sigma.square().sum()
    return int((kept >= share).sum())
""",
)
energy.wrong(
    "full rank never tried",
    "the loop ends before the full rank, and then returns nothing",
    r"full rank|\blast\b|None|return|all of|off.by.one|range|share of 1|whole",
    """
    total = sigma.square().sum()
    for r in range(1, len(sigma)):
        if sigma[:r].square().sum() >= share * total:
            return r
""",
)
energy.wrong(
    "largest rank below",
    "the largest rank that keeps less, in place of the smallest that keeps enough",
    r"off.by.one|\+ ?1|one (too (few|low|small)|less|short|more)|enough|smallest|at least",
    """
    total, kept, r = float(sigma.square().sum()), 0.0, 0
    for s in sigma.tolist():
        if kept + s * s >= share * total:
            break
        kept += s * s
        r += 1
    return r
""",
)
energy.wrong(
    "one too many",
    "the count already starts at 1, and 1 is added twice: one too many",
    r"off.by.one|one (too (many|high|large)|less)|\+ ?1 twice|counts? twice|added twice",
    """
    kept = sigma.square().cumsum(0)
    for r, value in enumerate(kept.tolist(), start=1):
        if value >= share * kept[-1].item():
            return r + 1
""",
)
energy.wrong(
    "cumsum without an axis",
    "cumsum needs the dimension",
    r"dim|argument|cumsum",
    """
    kept = sigma.square().cumsum()
    return int((kept < share * kept[-1]).sum()) + 1
""",
)
energy.wrong(
    "not squared, and one too few",
    "σ in place of σ², and an index in place of a rank",
    r"squar|σ²|off.by.one|\+ ?1|one (too (few|low|small)|less|short|more)|index",
    """
    kept = sigma.cumsum(0)
    return int((kept < share * kept[-1]).sum())
""",
)
energy.wrong(
    "always 90 per cent",
    "a fixed share in place of the argument",
    r"fixed|hard.?coded|constant share|0\.9\b|\b90\b|share.{0,30}(ignor|unused|not used)"
    r"|(ignor|unused|does not use|depend).{0,20}share",
    """
    kept = sigma.square().cumsum(0)
    return int((kept < 0.9 * kept[-1]).sum()) + 1
""",
)
energy.wrong(
    "the share kept, not the rank",
    "returns how much is kept in place of the rank that keeps it",
    r"whole number|\bint\b"
    r"|(not|in place of|instead of|rather than) (a|the|its) (rank|share)"
    r"|returns? (the |a )?share|float|index",
    """
    kept = sigma.square().cumsum(0)
    kept = kept / kept[-1].clone()
    return kept[kept >= share][0].item()
""",
)
energy.open(
    "rank as a tensor",
    "a tensor of one whole number where the signature says int",
    """
    kept = sigma.square().cumsum(0)
    return (kept < share * kept[-1]).sum() + 1
""",
)
energy.right(
    "cumulated",
    """
    kept = sigma.square().cumsum(0)
    return int((kept < share * kept[-1]).sum()) + 1
""",
)
energy.right(
    "first index",
    """
    kept = torch.cumsum(sigma**2, dim=0)
    return (kept / kept[-1] >= share).nonzero()[0].item() + 1
""",
)
energy.right(
    "plain loop",
    """
    squares = [s * s for s in sigma.double().tolist()]
    total = 0.0
    for value in squares:
        total += value
    kept = 0.0
    for r, value in enumerate(squares, start=1):
        kept += value
        if kept >= share * total:
            return r
    return len(squares)
""",
)
energy.right(
    "accumulate",
    """
    kept = list(itertools.accumulate(float(s) ** 2 for s in sigma))
    return next(r for r, value in enumerate(kept, 1) if value / kept[-1] >= share)
""",
)
energy.right(
    "searchsorted from the left",
    """
    kept = sigma.double().square().cumsum(0)
    return int(torch.searchsorted(kept, share * kept[-1])) + 1
""",
)
energy.right(
    "terms taken off from the end",
    """
    kept = np.cumsum(sigma.detach().numpy().astype(np.float64) ** 2)
    r = len(kept)
    while r > 1 and kept[r - 2] >= share * kept[-1]:
        r -= 1
    return r
""",
)

# --- rank.factors --------------------------------------------------------------------------------

factors = Exercise(
    "rank.factors",
    "def factors(delta: Tensor, rank: int, alpha: float) -> tuple[Tensor, Tensor]:",
)
SVD = "    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)\n"
factors.wrong(
    "no alpha over rank",
    "the factor α/r of the layer is not taken out",
    r"(ignor|forg|left|miss|without|no|unused|taken? out|divide)\w*.{0,40}(alpha|α)"
    r"|(alpha|α).{0,50}(miss|ignor|forg|left|unused|not (used|taken)|taken out|divid|again)"
    r"|ΔW itself",
    SVD
    + """    root = S[:rank].sqrt()
    return U[:, :rank] * root, root.unsqueeze(1) * Vh[:rank]
""",
)
factors.wrong(
    "alpha over rank multiplied",
    "the factor is multiplied in where it has to be divided out",
    r"invers|multipl|upside|wrong way|divided? (out|by)|rank ?/ ?alpha|r ?/ ?α",
    SVD
    + """    root = (S[:rank] * alpha / rank).sqrt()
    return U[:, :rank] * root, root[:, None] * Vh[:rank]
""",
)
factors.wrong(
    "whole factor in each",
    "each of the two takes rank/alpha, so it counts twice; each may take only its root",
    r"twice|squared?\b|(both|each|two)\b.{0,60}(alpha|α|rank|scal)"
    r"|(alpha|α|scal).{0,60}(both|each)",
    SVD
    + """    root = S[:rank].sqrt() * rank / alpha
    return U[:, :rank] * root, root[:, None] * Vh[:rank]
""",
)
factors.wrong(
    "scale in B only",
    "the product is right, but B takes all of rank/alpha and is not as long as A",
    r"balanc|equal|as (long|large)|length|even|norm|share|same size",
    SVD
    + """    root = S[:rank].sqrt()
    B = U[:, :rank] * root * (rank / alpha)
    A = root[:, None] * Vh[:rank]
    return B, A
""",
)
factors.wrong(
    "all of it in B",
    "B takes the singular values and A none",
    r"balanc|equal|as (long|large)|length|even|norm|share|same size|takes? (all|the)",
    SVD
    + """    return U[:, :rank] * S[:rank] * rank / alpha, Vh[:rank]
""",
)
factors.wrong(
    "balanced as a whole only",
    "the two matrices have the same norm, but their columns and rows do not, pair by pair",
    r"balanc|equal|as (long|large)|length|even|each|pair|term|column i",
    SVD
    + """    B = U[:, :rank]
    A = S[:rank, None] * Vh[:rank] * rank / alpha
    ratio = (A.norm() / B.norm()).sqrt()
    return B * ratio, A / ratio
""",
)
factors.wrong(
    "swapped",
    "B comes first",
    r"swap|order|exchang|B (comes )?first|other way|revers",
    SVD
    + """    root = (S[:rank] * rank / alpha).sqrt()
    B = U[:, :rank] * root
    A = root.unsqueeze(1) * Vh[:rank]
    return A, B
""",
)
factors.wrong(
    "A transposed",
    "A has to be (rank, d_in)",
    r"transpos|\(rank, ?d_in\)|rank × d_in|\.T\b|rows? of A",
    SVD
    + """    root = (S[:rank] * rank / alpha).sqrt()
    return U[:, :rank] * root, Vh[:rank].T * root
""",
)
factors.wrong(
    "columns of Vh",
    "the right singular vectors are the rows of Vh",
    r"(rows?|columns?) of Vh?\b|\bVh?\b.{0,30}(row|column|transpos)|right singular|transpos",
    SVD
    + """    root = (S[:rank] * rank / alpha).sqrt()
    B = U[:, :rank] * root
    A = root[:, None] * Vh[:, :rank].T
    return B, A
""",
)
factors.wrong(
    "not cut",
    "all terms are kept, so the shapes do not have the rank",
    r"\bcut|truncat|first (r|rank)\b|all (the |of the )?(terms|singular)|every term|have the rank",
    SVD
    + """    root = (S * rank / alpha).sqrt()
    return U * root, root[:, None] * Vh
""",
)
factors.wrong(
    "root of one part only",
    "the root is taken of the singular values and not of rank/alpha",
    r"twice|squared?\b|root.{0,60}(alpha|α|rank|scal)|(alpha|α|scal).{0,60}(root|both|each)",
    SVD
    + """    root = torch.sqrt(S[:rank]) / (alpha / rank)
    return U[:, :rank] * root, root.unsqueeze(-1) * Vh[:rank]
""",
)
factors.wrong(
    "no root",
    "both take the whole singular value, so it is squared",
    r"root|sqrt|√|squared?\b|twice|both",
    SVD
    + """    weight = S[:rank] * rank / alpha
    return U[:, :rank] * weight, weight[:, None] * Vh[:rank]
""",
)
factors.wrong(
    "integer division",
    "alpha // rank drops the fraction",
    r"//|integer|whole number|fraction|floor|rounded",
    SVD
    + """    root = (S[:rank] / (alpha // rank)).sqrt()
    return U[:, :rank] * root, root[:, None] * Vh[:rank]
""",
)
factors.wrong(
    "scale as in rank-stabilised LoRA",
    "divides by alpha over the root of the rank",
    r"root of (the )?(rank|r)\b|sqrt\((r|rank)|√r|rank.stabili|rslora|rank ?\*\* ?0\.5",
    SVD
    + """    scale = alpha / rank**0.5
    root = (S[:rank] / scale).sqrt()
    return U[:, :rank] * root, root[:, None] * Vh[:rank]
""",
)
factors.wrong(
    "smallest terms",
    "takes the last terms of the decomposition",
    r"smallest|\blast\b|largest|wrong end",
    SVD
    + """    root = (S[-rank:] * rank / alpha).sqrt()
    return U[:, -rank:] * root, root[:, None] * Vh[-rank:]
""",
)
factors.wrong(
    "LoRA's start",
    "a random A and the B that fits it best: not the best approximation",
    r"random|\bsvd\b|not the best|pinv",
    """
    A = torch.randn(rank, delta.shape[1], dtype=delta.dtype) / rank
    B = delta @ torch.linalg.pinv(A) * rank / alpha
    return B, A
""",
)
factors.wrong(
    "root along the wrong axis of A",
    "the roots belong to the rows of A",
    r"ax[ie]s|broadcast|rows? of A|size of tensor|unsqueeze|\[:, None\]|shape|dimension",
    SVD
    + """    root = (S[:rank] * rank / alpha).sqrt()
    return U[:, :rank] * root, root * Vh[:rank]
""",
)
factors.wrong(
    "no scale and all in A",
    "α/r is missing, and A takes all of the singular values",
    r"(ignor|forg|left|miss|without|no|unused|taken? out|divide)\w*.{0,40}(alpha|α)"
    r"|(alpha|α).{0,50}(miss|ignor|forg|left|unused|not (used|taken)|taken out|divid|again)"
    r"|ΔW itself|balanc|equal|as (long|large)|length|even",
    SVD
    + """    return U[:, :rank], torch.diag(S[:rank]) @ Vh[:rank]
""",
)
factors.wrong(
    "misspelt name",
    "rooot is not defined",
    r"rooot|\broot\b|not defined|NameError",
    SVD
    + """    root = (S[:rank] * rank / alpha).sqrt()
    return U[:, :rank] * rooot, root[:, None] * Vh[:rank]
""",
)
factors.wrong(
    "unit columns and rows",
    "as long as each other, but the singular values are gone",
    r"singular|unit|length (of )?(1|one)|scal|weight|σ|normali[sz]",
    SVD
    + """    c = (rank / alpha) ** 0.5
    return c * U[:, :rank], c * Vh[:rank]
""",
)
factors.right(
    "roots",
    SVD
    + """    root = (S[:rank] * rank / alpha).sqrt()
    return U[:, :rank] * root, root.unsqueeze(1) * Vh[:rank]
""",
)
factors.right(
    "delta scaled first",
    """
    U, S, Vh = torch.linalg.svd(delta / (alpha / rank), full_matrices=False)
    D = S[:rank].sqrt().diag()
    return U[:, :rank] @ D, D @ Vh[:rank]
""",
)
factors.right(
    "one vector at a time, from the back",
    """
    U, S, Vh = torch.linalg.svd(delta)
    B = torch.empty(delta.shape[0], rank, dtype=delta.dtype)
    A = torch.empty(rank, delta.shape[1], dtype=delta.dtype)
    for i in range(rank):
        length = math.sqrt(S[i].item() * rank / alpha)
        B[:, rank - 1 - i] = length * U[:, i]
        A[rank - 1 - i, :] = length * Vh[i]
    return B, A
""",
)
factors.right(
    "signs turned",
    """
    U, S, V = torch.svd(delta.double())
    root = (S[:rank] / alpha * rank).pow(0.5)
    B = -(U[:, :rank] * root)
    A = -(V[:, :rank] * root).T
    return B.to(delta.dtype), A.contiguous().to(delta.dtype)
""",
)
factors.right(
    "numpy",
    """
    u, s, vt = np.linalg.svd(delta.detach().numpy(), full_matrices=False)
    root = np.sqrt(s[:rank]) * math.sqrt(rank / alpha)
    B = u[:, :rank] * root
    A = root[:, None] * vt[:rank]
    return torch.tensor(B, dtype=delta.dtype), torch.tensor(A, dtype=delta.dtype)
""",
)
factors.right(
    "terms mixed by a rotation",
    SVD
    + """    root = (S[:rank] * rank / alpha).sqrt()
    Q = torch.linalg.qr(torch.randn(rank, rank, dtype=delta.dtype)).Q
    return (U[:, :rank] * root) @ Q, Q.T @ (root[:, None] * Vh[:rank])
""",
)
factors.right(
    "einsum",
    SVD
    + """    scale = alpha / rank
    weight = torch.sqrt(S[:rank] / scale)
    B = torch.einsum("or,r->or", U[:, :rank], weight)
    A = torch.einsum("r,ri->ri", weight, Vh[:rank])
    return (B, A)
""",
)

# --- rank.similarity -----------------------------------------------------------------------------

similarity = Exercise(
    "rank.similarity", "def similarity(first: Tensor, second: Tensor, i: int, j: int) -> float:"
)
TWO = """    V1 = torch.linalg.svd(first, full_matrices=False).Vh
    V2 = torch.linalg.svd(second, full_matrices=False).Vh
"""
similarity.wrong(
    "left singular vectors",
    "U holds the directions of the output; the right ones are in Vh",
    r"\bleft\b|right singular|\bU\b|output|\bVh?\b",
    """
    U1 = torch.linalg.svd(first, full_matrices=False).U[:, :i]
    U2 = torch.linalg.svd(second, full_matrices=False).U[:, :j]
    return (U1.T @ U2).square().sum().item() / min(i, j)
""",
)
similarity.wrong(
    "columns of Vh",
    "the right singular vectors are the rows of Vh",
    r"rows?\b|columns? of V|\bVh?\b.{0,30}(column|transpos)|transpos|ax[ie]s",
    TWO + "    return (V1[:, :i].T @ V2[:, :j]).square().sum().item() / min(i, j)",
)
similarity.wrong(
    "divided by the larger",
    "divides by max(i, j)",
    r"max|min|smaller|larger|divi[sd]",
    TWO + "    return (V1[:i] @ V2[:j].T).square().sum().item() / max(i, j)",
)
similarity.wrong(
    "divided by i",
    "divides by i, which is the smaller of the two only if i ≤ j",
    r"divi[sd]\w*.{0,20}\bi\b|not (always )?the smaller|min\(|smaller (of|one|number)|whichever",
    TWO + "    return ((V1[:i] @ V2[:j].T) ** 2).sum().item() / i",
)
similarity.wrong(
    "mean of the squares",
    "the mean divides by i · j",
    r"mean|averag|i ?[·*×] ?j|divi[sd]|min|smaller",
    TWO + "    return (V1[:i] @ V2[:j].T).square().mean().item()",
)
similarity.wrong(
    "not divided",
    "min(i, j) is missing",
    r"not divided|(miss|forg|lack|without|left out)\w*.{0,30}(divi|min|normali)"
    r"|min\(i, j\).{0,20}(miss|forg|left)|divi[sd]\w*.{0,20}(min|smaller)|normali[sz]",
    TWO + "    return torch.linalg.norm(V1[:i] @ V2[:j].T).item() ** 2",
)
similarity.wrong(
    "norm not squared",
    "the Frobenius norm has to be squared",
    r"squar|root",
    TWO + "    return torch.linalg.norm(V1[:i] @ V2[:j].T).item() / min(i, j)",
)
similarity.wrong(
    "absolute values added",
    "the inner products are not squared",
    r"squar|absolute|\babs\b",
    TWO + "    return (V1[:i] @ V2[:j].T).abs().sum().item() / min(i, j)",
)
similarity.wrong(
    "plain sum",
    "the inner products are added with their signs, and not squared",
    r"squar|\bsigns?\b|cancel",
    TWO + "    return (V1[:i] @ V2[:j].T).sum().item() / min(i, j)",
)
similarity.wrong(
    "pairs only",
    "compares direction 1 with 1, 2 with 2; every pair counts",
    r"pair|diagonal|one by one|(every|each|all)\b.{0,30}(with|against|other|inner)"
    r"|same (index|place)",
    TWO
    + """    k = min(i, j)
    return (V1[:k] * V2[:k]).sum(1).square().sum().item() / k
""",
)
similarity.wrong(
    "same number of both",
    "cuts both to min(i, j)",
    r"\bcut|first [ij]\b|same number|truncat|larger subspace|all (i|j)\b|own number",
    TWO
    + """    k = min(i, j)
    return (V1[:k] @ V2[:k].T).square().sum().item() / k
""",
)
similarity.wrong(
    "spectral norm",
    "norm(2) of a matrix is its largest singular value, not Frobenius'",
    r"spectral|frobenius|\bnorm\b|largest|\bord\b",
    TWO + "    return torch.linalg.matrix_norm(V1[:i] @ V2[:j].T, ord=2).item() ** 2 / min(i, j)",
)
similarity.wrong(
    "rows of the matrices themselves",
    "no singular vectors: normalised rows are compared",
    r"not (the )?singular|no (svd|singular)|svd|rows of the matri|themselves|orthonormal"
    r"|(in place|instead) of (the |its )?(right )?singular",
    """
    a = F.normalize(first[:i], dim=1)
    b = F.normalize(second[:j], dim=1)
    return (a @ b.T).square().sum().item() / min(i, j)
""",
)
similarity.wrong(
    "span of the first rows",
    "an orthonormal basis of the first rows is not the first singular vectors",
    r"\bqr\b|singular|svd|largest|rows|basis",
    """
    Q1 = torch.linalg.qr(first[:i].T).Q
    Q2 = torch.linalg.qr(second[:j].T).Q
    return (Q1.T @ Q2).square().sum().item() / min(i, j)
""",
)
similarity.wrong(
    "weighted by the singular values",
    "directions have length 1; here the large ones count more",
    r"weight|singular values?|length|unit|scal|σ",
    """
    _, S1, V1 = torch.linalg.svd(first, full_matrices=False)
    _, S2, V2 = torch.linalg.svd(second, full_matrices=False)
    a, b = S1[:i, None] * V1[:i], S2[:j, None] * V2[:j]
    return ((a @ b.T).square().sum() / (S1[:i].square().sum() * S2[:j].square().sum())).item()
""",
)
similarity.wrong(
    "last directions",
    "the smallest singular values come last",
    r"smallest|\blast\b|largest|wrong end",
    TWO + "    return (V1[-i:] @ V2[-j:].T).square().sum().item() / min(i, j)",
)
similarity.wrong(
    "eigenvectors in ascending order",
    "eigh sorts from the smallest: these are the last directions",
    r"smallest|last|largest|ascending|order|eigh?|flip",
    """
    E1 = torch.linalg.eigh(first.T @ first).eigenvectors
    E2 = torch.linalg.eigh(second.T @ second).eigenvectors
    return (E1[:, :i].T @ E2[:, :j]).square().sum().item() / min(i, j)
""",
)
similarity.wrong(
    "counted from zero",
    "i + 1 and j + 1 directions are taken",
    r"off.by.one|one (direction )?(too many|more)|\+ ?1|i \+|too many",
    TWO + "    return (V1[: i + 1] @ V2[: j + 1].T).square().sum().item() / min(i, j)",
)
similarity.wrong(
    "second compared with itself",
    "first is used twice",
    r"\bsecond\b|itself|same matrix|always (1|one)|typo|twice",
    """
    V1 = torch.linalg.svd(first, full_matrices=False).Vh
    V2 = torch.linalg.svd(first, full_matrices=False).Vh
    return (V1[:i] @ V2[:j].T).square().sum().item() / min(i, j)
""",
)
similarity.wrong(
    "matrices of one shape only",
    "the left vectors are taken, and i and j are mixed up",
    r"\bleft\b|right singular|output|swap|exchang|mixed",
    """
    U1 = torch.linalg.svd(first).U
    U2 = torch.linalg.svd(second).U
    return (U1[:, :j].T @ U2[:, :i]).square().sum().item() / min(i, j)
""",
)
similarity.wrong(
    "i and j exchanged",
    "i belongs to the first matrix, j to the second",
    r"swap|exchang|other way|mixed|belongs?|\bi\b.{0,20}first.{0,20}\bj\b.{0,20}second"
    r"|wrong (matrix|order)",
    TWO + "    return (V1[:j] @ V2[:i].T).square().sum().item() / min(i, j)",
)
similarity.wrong(
    "no return",
    "the result is printed",
    r"return|None|print",
    TWO + "    print((V1[:i] @ V2[:j].T).square().sum().item() / min(i, j))",
)
similarity.wrong(
    "unsquared and by the larger",
    "the norm is not squared, and max stands for min",
    r"not squared|squar\w*.{0,20}(miss|forg)|be squared|root|\bmax|larger|min\(",
    TWO + "    return (V1[:i] @ V2[:j].T).norm().item() / max(i, j)",
)
similarity.open(
    "a tensor",
    "a tensor of one number where the signature says float",
    TWO + "    return (V1[:i] @ V2[:j].T).square().sum() / min(i, j)",
)
similarity.right(
    "squares summed",
    TWO + "    return (V1[:i] @ V2[:j].T).square().sum().item() / min(i, j)",
)
similarity.right(
    "projections",
    """
    def onto(matrix, count):
        V = torch.linalg.svd(matrix.double()).Vh[:count]
        return V.T @ V

    shared = torch.trace(onto(first, i) @ onto(second, j))
    return float(shared) / min(i, j)
""",
)
similarity.right(
    "principal angles",
    TWO
    + """    cosines = torch.linalg.svdvals(V1[:i] @ V2[:j].mT)
    return float(cosines.pow(2).sum() / min(i, j))
""",
)
similarity.right(
    "loops",
    TWO
    + """    total = 0.0
    for a in range(i):
        for b in range(j):
            total += torch.dot(V1[a], V2[b]).item() ** 2
    return total / (i if i < j else j)
""",
)
similarity.right(
    "transposed decomposition",
    """
    left = torch.linalg.svd(first.T, full_matrices=False)[0][:, :i]
    other = torch.linalg.svd(second.T, full_matrices=False)[0][:, :j]
    return torch.linalg.matrix_norm(left.T @ other, "fro").item() ** 2 / min(i, j)
""",
)
similarity.right(
    "numpy",
    """
    v1 = np.linalg.svd(first.detach().numpy().astype(np.float64))[2][:i]
    v2 = np.linalg.svd(second.detach().numpy().astype(np.float64))[2][:j]
    return float(np.einsum("an,bn->ab", v1, v2).__pow__(2).sum()) / min(i, j)
""",
)
similarity.right(
    "eigenvectors, turned round",
    """
    def leading(matrix, count):
        matrix = matrix.double()
        return torch.linalg.eigh(matrix.T @ matrix).eigenvectors.flip(1)[:, :count]

    return (leading(first, i).T @ leading(second, j)).square().sum().item() / min(i, j)
""",
)

# --- rank.project --------------------------------------------------------------------------------

project = Exercise(
    "rank.project", "def project(z: Tensor, coordinate: Tensor, sign: Tensor) -> Tensor:"
)
project.wrong(
    "not divided",
    "1/√n_j is missing",
    r"not (divided|scaled)"
    r"|(miss|forg|lack|without|left out|no)\w*.{0,40}(n_?j|root|√|scal|divi|1 ?/)"
    r"|(n_?j|√n|root|scal\w*|1 ?/ ?√).{0,30}(miss|forg|lack|left out|not|ignor)|divid\w* by"
    r"|length √n",
    "    return z[coordinate] * sign",
)
project.wrong(
    "divided by the count",
    "divides by n_j in place of its root",
    r"root|√|sqrt|square",
    """
    counts = torch.bincount(coordinate, minlength=len(z))
    return sign * (z / counts.clamp(min=1))[coordinate]
""",
)
project.wrong(
    "multiplied by the root",
    "the root of n_j multiplies where it has to divide",
    r"divi[sd]|multipl|invers|1 ?/ ?√|upside",
    """
    counts = torch.bincount(coordinate, minlength=len(z)).to(z.dtype)
    return sign * (z * counts.sqrt())[coordinate]
""",
)
project.wrong(
    "no sign",
    "the signs are not used",
    r"\bsigns?\b",
    """
    counts = torch.bincount(coordinate, minlength=len(z)).to(z.dtype)
    return z[coordinate] / counts[coordinate].sqrt()
""",
)
project.wrong(
    "mean count",
    "D/d is the mean of the counts; each coordinate has its own",
    r"mean|averag|D ?/ ?d|same (for|number)|one factor for|(its|each|their|has) own"
    r"|per coordinate|how many weights|equally many",
    """
    n = len(coordinate) / len(z)
    return z[coordinate] * sign / math.sqrt(n)
""",
)
project.wrong(
    "number of weights",
    "divides by the root of D, the number of all weights",
    r"root of D\b|√D|all (the )?weights|number of weights|len\(|(its|each|their|has) own"
    r"|per coordinate|how many weights",
    "    return z[coordinate] * sign / len(coordinate) ** 0.5",
)
project.wrong(
    "number of coordinates",
    "divides by the root of d",
    r"root of d\b|√d|number of coordinates|len\(z\)|(its|each|their|has) own|per coordinate"
    r"|how many weights",
    "    return sign * z[coordinate] / z.numel() ** 0.5",
)
project.wrong(
    "counts of the used coordinates only",
    "unique leaves out coordinates without a weight, so the counts shift",
    r"unique|unused|no weight|without a weight|empty|bincount|minlength|shift|not every|index"
    r"|size of tensor|shape",
    """
    _, counts = torch.unique(coordinate, return_counts=True)
    return z[coordinate] * sign / counts[coordinate].to(z.dtype).sqrt()
""",
)
project.wrong(
    "counts too short",
    "bincount without minlength ends at the last coordinate in use",
    r"minlength|bincount|last coordinate|unused|no weight|without a weight|size of tensor|shape",
    """
    scale = torch.bincount(coordinate).to(z.dtype).rsqrt()
    return (z * scale)[coordinate] * sign
""",
)
project.wrong(
    "signs in the count",
    "adds up the signs of a coordinate's weights in place of counting them",
    r"signs?\b.{0,40}(count|sum|add|cancel)|count\w*.{0,40}sign|cancel|\bnan\b|\binf",
    """
    n = torch.zeros_like(z).index_add(0, coordinate, sign.to(z.dtype)).abs()
    return z[coordinate] * sign / n[coordinate].sqrt()
""",
)
project.wrong(
    "coordinates in order",
    "spreads z in blocks: right only if coordinate is sorted",
    r"sort|block|order|repeat|which (coordinate|of them)|z\[coordinate\]"
    r"|coordinate.{0,20}(ignor|unused|not used)",
    """
    counts = torch.bincount(coordinate, minlength=len(z))
    return (z / counts.clamp(min=1).sqrt()).repeat_interleave(counts) * sign
""",
)
project.wrong(
    "transposed",
    "adds weights up into coordinates: that is Pᵀ",
    r"transpos|P(ᵀ|\.T)|one number for each weight|\(D,\)|d numbers|adds? up",
    """
    counts = torch.bincount(coordinate, minlength=len(z)).to(z.dtype)
    out = torch.zeros_like(z)
    out.index_add_(0, coordinate, sign * z[coordinate] / counts[coordinate].sqrt())
    return out
""",
)
project.wrong(
    "scaled to length one",
    "the whole result is normalised: then its length no longer is that of z",
    r"normali[sz]|length|\bnorm|linear|whole (result|vector)",
    """
    out = z[coordinate] * sign
    return out / out.norm()
""",
)
project.wrong(
    "length of z, not of each column",
    "only the whole is brought to the length of z; each coordinate needs its own 1/√n_j",
    r"normali[sz]|length|\bnorm|linear|whole (result|vector)"
    r"|(each|its|own).{0,20}(n_?j|column|count)|per coordinate",
    """
    out = z[coordinate] * sign
    return out * z.norm() / out.norm()
""",
)
project.wrong(
    "z changed in place",
    "/= changes the caller's z",
    r"in.?place|(chang|modif|mutat|alter|overwr)\w*.{0,30}(input|argument|\bz\b|caller|given)|/=|leaf",
    """
    counts = torch.bincount(coordinate, minlength=len(z)).clamp(min=1).to(z.dtype)
    with torch.no_grad():
        z /= counts.sqrt()
    return z[coordinate] * sign
""",
)
project.wrong(
    "no way back to z",
    "detach cuts z off, and z is what trains",
    r"detach|grad|train|backward",
    """
    counts = torch.bincount(coordinate, minlength=len(z)).to(z.dtype)
    return z.detach()[coordinate] * sign / counts[coordinate].sqrt()
""",
)
project.wrong(
    "numbers taken out of z",
    "item and a new tensor lose the gradient of z, and z is what trains",
    r"item|tolist|new tensor|grad|train|backward|detach",
    """
    counts = Counter(coordinate.tolist())
    values = z.tolist()
    out = [s * values[c] / counts[c] ** 0.5 for c, s in zip(coordinate.tolist(), sign.tolist())]
    return torch.tensor(out, dtype=z.dtype)
""",
)
project.wrong(
    "coordinates counted from one",
    "coordinate 0 is the first",
    r"off.by.one|coordinate ?[-−] ?1|from (0|zero|1|one)|shift|neighbo|wrong coordinate"
    r"|coordinate 0",
    """
    counts = torch.bincount(coordinate, minlength=len(z)).to(z.dtype)
    return z[coordinate - 1] * sign / counts[coordinate].sqrt()
""",
)
project.wrong(
    "count by position",
    "counts[i] belongs to coordinate i, not to weight i",
    r"index|size of tensor|broadcast|belong|counts?\[|gather|out of",
    """
    counts = torch.bincount(coordinate, minlength=len(z)).to(z.dtype)
    return z[coordinate] * sign / counts.sqrt()
""",
)
project.wrong(
    "z by position",
    "takes the first weights' numbers and not those that coordinate names",
    r"z\[coordinate|coordinate.{0,20}(names|says|drives)|size of tensor|broadcast|index",
    """
    counts = torch.bincount(coordinate, minlength=len(z)).to(z.dtype)
    return z * sign / counts[coordinate].sqrt()
""",
)
project.wrong(
    "no sign and the whole count",
    "the sign is missing, and n_j has no root",
    r"\bsigns?\b|root|√|sqrt",
    """
    counts = torch.bincount(coordinate, minlength=len(z)).to(z.dtype)
    return z[coordinate] / counts[coordinate]
""",
)
project.wrong(
    "no return",
    "nothing is returned",
    NO_RETURN,
    """
    counts = torch.bincount(coordinate, minlength=len(z)).to(z.dtype)
    z[coordinate] * sign / counts[coordinate].sqrt()
""",
)
project.wrong(
    "misspelt function",
    "torch has no bincounts; it is bincount",
    r"bincount",
    """
    counts = torch.bincounts(coordinate, minlength=len(z)).to(z.dtype)
    return z[coordinate] * sign / counts[coordinate].sqrt()
""",
)
project.right(
    "counts and index",
    """
    counts = torch.bincount(coordinate, minlength=len(z)).to(z.dtype)
    return z[coordinate] * sign / counts[coordinate].sqrt()
""",
)
project.right(
    "whole counts",
    "    return z[coordinate] * sign / torch.bincount(coordinate)[coordinate].sqrt()",
)
project.right(
    "dense matrix",
    """
    P = F.one_hot(coordinate, num_classes=len(z)).to(z.dtype) * sign.to(z.dtype).unsqueeze(1)
    return P @ (z / P.abs().sum(0).clamp(min=1).sqrt())
""",
)
project.right(
    "columns scaled to length one",
    """
    P = torch.zeros(len(coordinate), len(z), dtype=z.dtype)
    P[torch.arange(len(coordinate)), coordinate] = sign.to(z.dtype)
    return F.normalize(P, dim=0) @ z
""",
)
project.right(
    "each compared with each",
    """
    n = (coordinate.unsqueeze(0) == coordinate.unsqueeze(1)).sum(1)
    return torch.gather(z, 0, coordinate) * sign * n.to(z.dtype).rsqrt()
""",
)
project.right(
    "loop over the weights",
    """
    counts = Counter(coordinate.tolist())
    terms = []
    for c, s in zip(coordinate.tolist(), sign.tolist()):
        terms.append(s * z[c] / math.sqrt(counts[c]))
    return torch.stack(terms)
""",
)
project.right(
    "loop over the coordinates",
    """
    out = torch.zeros(coordinate.shape, dtype=z.dtype)
    for j in range(len(z)):
        mask = coordinate == j
        n = int(mask.sum())
        if n:
            out = torch.where(mask, z[j] * sign / math.sqrt(n), out)
    return out
""",
)
project.right(
    "scatter and scale of each coordinate",
    """
    ones = torch.ones(len(coordinate), dtype=z.dtype)
    counts = torch.zeros(len(z), dtype=z.dtype).scatter_add(0, coordinate, ones)
    scaled = z * counts.clamp(min=1).rsqrt()
    return torch.where(sign > 0, scaled[coordinate], -scaled[coordinate])
""",
)

EXERCISES = (outer, numerical, savings, truncate, energy, factors, similarity, project)
