"""Answers to the exercises of lesson 06, written from its text alone."""

from tests.peftcourse.exercises.learners.answers import Exercise

RETURN = r"return|None"
LEFT_OVER = r"NotImplementedError|left.?over|your code here|raise"
IN_PLACE = r"in.?place|chang\w+ (the|its|your|an) (input|argument|tensor)|overwrit|modif"
SWAPPED = r"swap|order|exchang|the other way|first .* second"
ABS = r"\babs\b|magnitude|negative|\bsign\b"
ROUND = r"(?<!turned )round|truncat|cuts? off|floor|towards? (0|zero)|nearest"
LARGEST = (
    r"128|one too (many|large|high)|off by one|largest code|number of (codes|levels)|[−-] ?1\b"
)

# --- absmax -------------------------------------------------------------------------------------

absmax = Exercise("quantization.absmax", "def absmax_codes(blocks, bits):")
absmax.wrong(
    "one code too many",
    "the largest code is 2^(bits-1) - 1, not 2^(bits-1)",
    LARGEST,
    """
    absmax = blocks.abs().amax(dim=1)
    return (blocks / absmax[:, None] * 2 ** (bits - 1)).round().to(torch.int8), absmax
""",
)
absmax.wrong(
    "all bits on one side",
    "2^bits - 1 codes on each side are twice too many: one bit is the sign",
    r"2\^?\*{0,2}bits|sign|twice|either side|each side|half|largest code|overflow|bits - 1",
    """
    absmax = blocks.abs().amax(dim=1, keepdim=True)
    return torch.round(blocks / absmax * (2**bits - 1)).to(torch.int8), absmax.squeeze(1)
""",
)
absmax.wrong(
    "xor for power",
    "^ is exclusive or in Python; a power is **",
    r"xor|exclusive|\*\*|\^|power|largest code",
    """
    largest = 2 ^ (bits - 1) - 1
    absmax = blocks.abs().amax(dim=1)
    return (blocks / absmax.unsqueeze(1) * largest).round().to(torch.int8), absmax
""",
)
absmax.wrong(
    "one scale for all rows",
    "every row needs an absmax of its own",
    r"each (row|block)|every (row|block)|own|per (row|block)|whole|one (scale|absmax) for all",
    """
    absmax = blocks.abs().max()
    codes = (blocks / absmax * (2 ** (bits - 1) - 1)).round().to(torch.int8)
    return codes, absmax.expand(blocks.size(0))
""",
)
absmax.wrong(
    "along the columns",
    "the absmax is taken along the wrong axis",
    r"dim|axis|column|\brows?\b",
    """
    absmax = blocks.abs().amax(dim=0)
    return (blocks / absmax * (2 ** (bits - 1) - 1)).round().to(torch.int8), absmax
""",
)
absmax.wrong(
    "only square blocks",
    "absmax is broadcast along the wrong axis: it lacks unsqueeze(1)",
    r"broadcast|unsqueeze|keepdim|axis|dim|size of tensor|column|wrong (row|block)",
    """
    absmax = blocks.abs().amax(1)
    return (blocks / absmax * (2 ** (bits - 1) - 1)).round().to(torch.int8), absmax
""",
)
absmax.wrong(
    "largest instead of largest magnitude",
    "abs is missing: a block's largest magnitude may be negative",
    ABS,
    """
    absmax = blocks.amax(dim=1)
    return (blocks / absmax[:, None] * (2 ** (bits - 1) - 1)).round().to(torch.int8), absmax
""",
)
absmax.wrong(
    "no rounding",
    "the conversion to int8 cuts off instead of rounding",
    ROUND,
    """
    absmax = blocks.abs().amax(dim=1, keepdim=True)
    scaled = blocks / absmax * (2 ** (bits - 1) - 1)
    return scaled.to(torch.int8), absmax.flatten()
""",
)
absmax.wrong(
    "floor",
    "floor instead of round",
    ROUND,
    """
    absmax, _ = blocks.abs().max(dim=1)
    scaled = blocks / absmax.unsqueeze(-1) * (2 ** (bits - 1) - 1)
    return torch.floor(scaled).to(torch.int8), absmax
""",
)
absmax.wrong(
    "rounded before it is stretched",
    "rounding comes after the multiplication, not before",
    r"round|before|-1, 0 (and|or) 1|order",
    """
    absmax = blocks.abs().amax(dim=1)
    return ((blocks / absmax[:, None]).round() * (2 ** (bits - 1) - 1)).to(torch.int8), absmax
""",
)
absmax.wrong(
    "absmax first",
    "codes come first, then the absmax",
    SWAPPED + "|tuple|dtype|shape",
    """
    absmax = blocks.abs().amax(dim=1)
    codes = (blocks / absmax[:, None] * (2 ** (bits - 1) - 1)).round().to(torch.int8)
    return absmax, codes
""",
)
absmax.wrong(
    "absmax as a column",
    "absmax should have shape (blocks,)",
    r"shape|keepdim|squeeze|\(blocks,\)",
    """
    absmax = blocks.abs().amax(dim=1, keepdim=True)
    return (blocks / absmax * (2 ** (bits - 1) - 1)).round().to(torch.int8), absmax
""",
)
absmax.wrong(
    "codes stay float",
    "codes should be int8",
    r"int8|dtype|float",
    """
    absmax = blocks.abs().amax(dim=1)
    return torch.round(blocks / absmax[:, None] * (2 ** (bits - 1) - 1)), absmax
""",
)
absmax.wrong(
    "codes from zero up",
    "codes are signed; an offset was added to make them positive",
    r"uint8|sign|negative|offset|int8|shift",
    """
    largest = 2 ** (bits - 1) - 1
    absmax = blocks.abs().amax(dim=1)
    codes = (blocks / absmax[:, None] * largest).round() + largest
    return codes.to(torch.uint8), absmax
""",
)
absmax.wrong(
    "step instead of absmax",
    "returns the step absmax / largest instead of the absmax",
    r"step|divided|absmax itself|largest code|second",
    """
    largest = 2 ** (bits - 1) - 1
    step = blocks.abs().amax(dim=1) / largest
    return (blocks / step[:, None]).round().to(torch.int8), step
""",
)
absmax.wrong(
    "always 127",
    "127 is written in; bits is not used",
    r"127|bits|hard|fixed|constant(?! factor)|8 bits",
    """
    absmax = blocks.abs().amax(dim=1)
    return (blocks * 127 / absmax[:, None]).round().to(torch.int8), absmax
""",
)
absmax.wrong(
    "one code more below zero",
    "the scale is 2^(bits-1), cut at the top: the two sides are not alike",
    LARGEST + r"|symmetric|alike|clamp|-8|−8",
    """
    half = 2 ** (bits - 1)
    absmax = blocks.abs().amax(dim=1)
    codes = (blocks / absmax[:, None] * half).round().clamp(-half, half - 1)
    return codes.to(torch.int8), absmax
""",
)
absmax.wrong(
    "sign lost",
    "the codes lose the sign of the numbers",
    ABS,
    """
    size = blocks.abs()
    absmax = size.amax(dim=1)
    return (size / absmax[:, None] * (2 ** (bits - 1) - 1)).round().to(torch.int8), absmax
""",
)
absmax.wrong(
    "overwrites the blocks",
    "the input is changed in place",
    IN_PLACE,
    """
    absmax = blocks.abs().amax(dim=1)
    blocks /= absmax.unsqueeze(1)
    blocks *= 2 ** (bits - 1) - 1
    return blocks.round().to(torch.int8), absmax
""",
)
absmax.wrong(
    "floored and swapped",
    "floor instead of round, and absmax comes first",
    SWAPPED + "|" + ROUND,
    """
    absmax = blocks.abs().amax(dim=1)
    codes = (blocks / absmax[:, None] * (2 ** (bits - 1) - 1)).floor().to(torch.int8)
    return absmax, codes
""",
)
absmax.wrong(
    "prints",
    "nothing is returned",
    RETURN,
    """
    absmax = blocks.abs().amax(dim=1)
    codes = (blocks / absmax[:, None] * (2 ** (bits - 1) - 1)).round().to(torch.int8)
    print(codes, absmax)
""",
)
absmax.wrong(
    "misspelt method",
    "a tensor has no absmax(); it is abs().amax()",
    r"absmax|attribute|amax",
    """
    absmax = blocks.absmax(dim=1)
    return (blocks / absmax[:, None] * (2 ** (bits - 1) - 1)).round().to(torch.int8), absmax
""",
)
absmax.open(
    "ties away from zero",
    "the text does not say where ties go",
    """
    absmax = blocks.abs().amax(dim=1)
    scaled = blocks / absmax[:, None] * (2 ** (bits - 1) - 1)
    return (scaled.sign() * (scaled.abs() + 0.5).floor()).to(torch.int8), absmax
""",
)
absmax.right(
    "loop over rows",
    """
    largest = (1 << (bits - 1)) - 1
    codes, scales = [], []
    for row in blocks:
        s = row.abs().max()
        scales.append(s)
        codes.append(torch.round(row / s * largest).to(torch.int8))
    return torch.stack(codes), torch.stack(scales)
""",
)
absmax.right(
    "infinity norm",
    """
    absmax = torch.linalg.vector_norm(blocks, ord=float("inf"), dim=1)
    codes = torch.einsum("bs,b->bs", blocks, (2 ** (bits - 1) - 1) / absmax)
    return codes.round().char(), absmax
""",
)
absmax.right(
    "from both ends",
    """
    absmax = torch.maximum(blocks.amax(-1), -blocks.amin(-1))
    step = absmax / (2 ** (bits - 1) - 1)
    return torch.round(blocks / step.unsqueeze(-1)).type(torch.int8), absmax
""",
)
absmax.right(
    "numpy in double precision",
    """
    values = blocks.double().numpy()
    scale = np.abs(values).max(axis=1, keepdims=True)
    codes = np.rint(values / scale * (2 ** (bits - 1) - 1)).astype(np.int8)
    return torch.from_numpy(codes), blocks.abs().amax(dim=1)
""",
)
absmax.right(
    "sign and size apart, guarded",
    """
    size, sign = blocks.abs(), blocks.sign()
    absmax = size.max(dim=1).values
    safe = absmax.clone()
    safe[safe == 0] = 1
    codes = sign * (size / safe[:, None] * (2 ** (bits - 1) - 1)).round()
    return codes.to(dtype=torch.int8), absmax
""",
)
absmax.right(
    "sorted",
    """
    absmax = blocks.abs().sort(dim=1).values[:, -1]
    out = torch.empty(blocks.shape, dtype=torch.int8)
    out.copy_((blocks / absmax.view(-1, 1)).mul(2 ** (bits - 1) - 1).round())
    return out, absmax
""",
)

# --- codebook -----------------------------------------------------------------------------------

TWICE_ZERO = r"½|0\.5|\bhalf\b|exclusive|zero|twice|duplicate|endpoint|\[:-1\]"
SIDES = r"side|negative|positive|symmetric|mirror"

codebook = Exercise("quantization.codebook", "def normal_levels(bits, offset):")
codebook.wrong(
    "up to one half",
    "½ should be left out: its quantile is 0, so zero is there three times",
    TWICE_ZERO,
    """
    half = 2 ** (bits - 1)
    positive = torch.special.ndtri(torch.linspace(offset, 0.5, half))
    negative = -torch.special.ndtri(torch.linspace(offset, 0.5, half - 1))
    levels = torch.cat([negative, torch.zeros(1), positive]).sort().values
    return levels / levels.max()
""",
)
codebook.wrong(
    "the negative side longer",
    "the positive side has one level more, not the negative one",
    SIDES,
    """
    half = 2 ** (bits - 1)
    p = torch.special.ndtri(torch.linspace(offset, 0.5, half)[:-1])
    n = -torch.special.ndtri(torch.linspace(offset, 0.5, half + 1)[:-1])
    levels = torch.cat([n, torch.zeros(1), p]).sort().values
    return levels / levels.abs().max()
""",
)
codebook.wrong(
    "not divided by the largest",
    "levels should end at -1 and 1",
    r"largest|divid|normali|scale|[−-]1 (and|to) 1|outermost",
    """
    half = 2 ** (bits - 1)
    p = torch.special.ndtri(torch.linspace(offset, 0.5, half + 1)[:-1])
    n = -torch.special.ndtri(torch.linspace(offset, 0.5, half)[:-1])
    return torch.cat([n, torch.zeros(1), p]).sort().values
""",
)
codebook.wrong(
    "not sorted",
    "levels should be ascending",
    r"sort|ascend|order",
    """
    half = 2 ** (bits - 1)
    p = torch.special.ndtri(torch.linspace(offset, 0.5, half + 1)[:-1])
    n = -torch.special.ndtri(torch.linspace(offset, 0.5, half)[:-1])
    levels = torch.cat([p, torch.zeros(1), n])
    return levels / levels.max()
""",
)
codebook.wrong(
    "descending",
    "levels run downwards",
    r"sort|ascend|order|descend|revers",
    """
    half = 2 ** (bits - 1)
    p = torch.special.ndtri(torch.linspace(offset, 0.5, half + 1)[:-1])
    n = -torch.special.ndtri(torch.linspace(offset, 0.5, half)[:-1])
    levels = torch.cat([p, torch.zeros(1), n]).sort(descending=True).values
    return levels / levels[0]
""",
)
codebook.wrong(
    "negative side mirrors the positive one",
    "the negative probabilities are spaced in their own, wider steps",
    SIDES + r"|step|spac|own",
    """
    half = 2 ** (bits - 1)
    p = torch.special.ndtri(torch.linspace(offset, 0.5, half + 1)[:-1])
    levels = torch.cat([-p[:-1], torch.zeros(1), p]).sort().values
    return levels / levels.max()
""",
)
codebook.wrong(
    "no -1 at the bottom",
    "the outermost negative level is missing",
    SIDES + r"|[−-]1\b|outermost|own",
    """
    half = 2 ** (bits - 1)
    p = torch.special.ndtri(torch.linspace(offset, 0.5, half + 1)[:-1])
    levels = torch.cat([-p[1:], torch.zeros(1), p]).sort().values
    return levels / levels.max()
""",
)
codebook.wrong(
    "the offset of NF4",
    "offset is written in",
    r"offset|0\.9677|constant(?! factor)|hard|fixed|outermost",
    """
    half = 2 ** (bits - 1)
    p = torch.special.ndtri(torch.linspace(0.9677083, 0.5, half + 1)[:-1])
    n = -torch.special.ndtri(torch.linspace(0.9677083, 0.5, half)[:-1])
    levels = torch.cat([n, torch.zeros(1), p]).sort().values
    return levels / levels.max()
""",
)
codebook.wrong(
    "sixteen levels whatever the bits",
    "8 and 7 are written in; bits is not used",
    r"\bbits\b|sixteen|hard|fixed|number of levels|how many|constant(?! factor)|2\^",
    """
    p = torch.special.ndtri(torch.linspace(offset, 0.5, 9)[:-1])
    n = -torch.special.ndtri(torch.linspace(offset, 0.5, 8)[:-1])
    levels = torch.cat([n, torch.zeros(1), p]).sort().values
    return levels / levels.max()
""",
)
codebook.wrong(
    "table typed in",
    "the table of NF4 is returned whatever bits and offset are",
    r"bits|offset|table|hard|fixed|constant(?! factor)|number of levels",
    """
    return torch.tensor(
        [-1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0,
         0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0]
    )
""",
)
codebook.wrong(
    "no zero",
    "zero is not among the levels",
    r"zero|\b0\b(?![],.])",
    """
    half = 2 ** (bits - 1)
    p = torch.special.ndtri(torch.linspace(offset, 0.5, half + 1)[:-1])
    levels = torch.cat([-p, p]).sort().values
    return levels / levels.max()
""",
)
codebook.wrong(
    "quantiles in one row",
    "from 1 - offset to offset in one row: zero is not a level",
    r"zero|\b0\b|side",
    """
    levels = torch.special.ndtri(torch.linspace(1 - offset, offset, 2**bits))
    return levels / levels.max()
""",
)
codebook.wrong(
    "evenly spaced",
    "these levels are evenly spaced, not quantiles",
    r"quantile(?!s”)|even|ndtri|normal",
    """
    half = 2 ** (bits - 1)
    positive = torch.linspace(1, 0, half + 1)[:-1]
    negative = -torch.linspace(1, 0, half)[:-1]
    return torch.cat([negative, torch.zeros(1), positive]).sort().values
""",
)
codebook.wrong(
    "erfinv of the probability",
    "erfinv takes 2p - 1, not p: this is not the normal quantile",
    r"quantile(?!s”)|erf|2p|ndtri",
    """
    half = 2 ** (bits - 1)
    p = torch.erfinv(torch.linspace(offset, 0.5, half + 1)[:-1])
    n = -torch.erfinv(torch.linspace(offset, 0.5, half)[:-1])
    levels = torch.cat([n, torch.zeros(1), p]).sort().values
    return levels / levels.max()
""",
)
codebook.wrong(
    "distribution for quantile",
    "ndtr is the distribution function; ndtri is its inverse",
    r"ndtri|quantile(?!s”)|inverse",
    """
    half = 2 ** (bits - 1)
    p = torch.special.ndtr(torch.linspace(offset, 0.5, half + 1)[:-1])
    n = -torch.special.ndtr(torch.linspace(offset, 0.5, half)[:-1])
    levels = torch.cat([n, torch.zeros(1), p]).sort().values
    return levels / levels.max()
""",
)
codebook.wrong(
    "logistic quantiles",
    "quantiles of the logistic distribution, not of the normal one",
    r"quantile(?!s”)|normal|ndtri|logi",
    """
    half = 2 ** (bits - 1)
    p = torch.logit(torch.linspace(offset, 0.5, half + 1)[:-1])
    n = -torch.logit(torch.linspace(offset, 0.5, half)[:-1])
    levels = torch.cat([n, torch.zeros(1), p]).sort().values
    return levels / levels.max()
""",
)
codebook.wrong(
    "the wrong end dropped",
    "½ is kept and the offset dropped",
    TWICE_ZERO + r"|offset|outermost|inclusive",
    """
    half = 2 ** (bits - 1)
    p = torch.special.ndtri(torch.linspace(offset, 0.5, half + 1)[1:])
    n = -torch.special.ndtri(torch.linspace(offset, 0.5, half)[1:])
    levels = torch.cat([n, torch.zeros(1), p]).sort().values
    return levels / levels.max()
""",
)
codebook.wrong(
    "double precision",
    "levels should be float32",
    r"float32|float64|dtype|double",
    """
    half = 2 ** (bits - 1)
    p = torch.special.ndtri(torch.linspace(offset, 0.5, half + 1, dtype=torch.float64)[:-1])
    n = -torch.special.ndtri(torch.linspace(offset, 0.5, half, dtype=torch.float64)[:-1])
    levels = torch.cat([n, torch.zeros(1, dtype=torch.float64), p]).sort().values
    return levels / levels.max()
""",
)
codebook.wrong(
    "four decimals",
    "levels are rounded to four decimals",
    r"round|decimal|precision|\bexact\b|digits",
    """
    half = 2 ** (bits - 1)
    p = torch.special.ndtri(torch.linspace(offset, 0.5, half + 1)[:-1])
    n = -torch.special.ndtri(torch.linspace(offset, 0.5, half)[:-1])
    levels = torch.cat([n, torch.zeros(1), p]).sort().values
    return (levels / levels.max()).round(decimals=4)
""",
)
codebook.wrong(
    "a list",
    "a list instead of a tensor",
    r"list|tensor",
    """
    half = 2 ** (bits - 1)
    inv = statistics.NormalDist().inv_cdf
    p = [inv(offset - (offset - 0.5) * i / half) for i in range(half)]
    n = [-inv(offset - (offset - 0.5) * i / (half - 1)) for i in range(half - 1)]
    return [level / p[0] for level in sorted(n + [0.0] + p)]
""",
)
codebook.wrong(
    "precedence",
    "2 ** bits - 1 // 2 is 2 ** bits: twice as many levels as asked for",
    r"number of levels|twice|how many|2\^?\*{0,2}bits|2\^|count|shape|levels",
    """
    half = 2 ** bits - 1 // 2
    p = torch.special.ndtri(torch.linspace(offset, 0.5, half + 1)[:-1])
    n = -torch.special.ndtri(torch.linspace(offset, 0.5, half)[:-1])
    levels = torch.cat([n, torch.zeros(1), p]).sort().values
    return levels / levels.max()
""",
)
codebook.wrong(
    "unsorted and longer below",
    "not sorted, and the wrong side has one level more",
    SIDES + r"|sort|ascend",
    """
    half = 2 ** (bits - 1)
    p = torch.special.ndtri(torch.linspace(offset, 0.5, half)[:-1])
    n = -torch.special.ndtri(torch.linspace(offset, 0.5, half + 1)[:-1])
    levels = torch.cat([n, torch.zeros(1), p])
    return levels / levels.max()
""",
)
codebook.wrong(
    "error left at the end",
    "raise NotImplementedError is left over",
    LEFT_OVER,
    """
    half = 2 ** (bits - 1)
    p = torch.special.ndtri(torch.linspace(offset, 0.5, half + 1)[:-1])
    n = -torch.special.ndtri(torch.linspace(offset, 0.5, half)[:-1])
    levels = torch.cat([n, torch.zeros(1), p]).sort().values
    levels = levels / levels.max()
    raise NotImplementedError("your code here")
""",
)
codebook.right(
    "standard library",
    """
    inv = statistics.NormalDist().inv_cdf
    half = 2 ** (bits - 1)
    levels = [0.0]
    for count, sign in ((half, 1), (half - 1, -1)):
        for i in range(count):
            levels.append(sign * inv(offset - i * (offset - 0.5) / count))
    levels.sort()
    return torch.tensor([level / levels[-1] for level in levels])
""",
)
codebook.right(
    "erfinv without the root of two",
    """
    def side(n):
        p = torch.linspace(offset, 0.5, n + 1, dtype=torch.float64)[:-1]
        return torch.erfinv(2 * p - 1)  # the factor cancels below

    up = side(2 ** (bits - 1))
    down = side(2 ** (bits - 1) - 1)
    zero = torch.zeros(1, dtype=torch.float64)
    return (torch.cat([-down, zero, up.flip(0)]) / up[0]).float()
""",
)
codebook.right(
    "lower quantiles for the negative side",
    """
    n = 2**bits // 2
    negative = torch.special.ndtri(torch.linspace(1 - offset, 0.5, n)[:-1])
    positive = torch.special.ndtri(torch.linspace(0.5, offset, n + 1)[1:])
    levels = torch.hstack([negative, torch.tensor([0.0]), positive])
    return levels / positive[-1]
""",
)
codebook.right(
    "torch.distributions",
    """
    normal = torch.distributions.Normal(torch.tensor(0.0), torch.tensor(1.0))
    half = 1 << (bits - 1)
    levels = torch.zeros(2 * half)
    levels[:half] = normal.icdf(torch.linspace(offset, 0.5, half + 1)[:half])
    levels[half : 2 * half - 1] = normal.icdf(torch.linspace(offset, 0.5, half)[:-1]).neg()
    levels, _ = torch.sort(levels)
    levels /= levels.abs().max()
    return levels
""",
)
codebook.right(
    "numpy probabilities, a helper",
    """
def one_side(count, offset):
    p = np.linspace(offset, 0.5, count, endpoint=False)
    return torch.special.ndtri(torch.from_numpy(p))

def normal_levels(bits: int, offset: float) -> Tensor:
    positive = one_side(2 ** (bits - 1), offset)
    negative = one_side(2 ** (bits - 1) - 1, offset)
    levels = torch.cat((negative.neg(), positive.new_zeros(1), positive.flip(0)))
    return (levels / levels.max()).to(torch.float32)
""",
)

# --- quantize -----------------------------------------------------------------------------------

BLOCK = r"block(?!s and outliers)|\brows?\b|own (scale|absmax)"
LAST = r"last|short|rest|remain|divi|multiple|invalid for input|dropped|tail"
ZERO_BLOCK = r"zero|\b0\b(?![],.])|\bnan\b"

quantize = Exercise("quantization.quantize", "def quantize(weight, levels, block_size):")
quantize.wrong(
    "a block for each row",
    "the scale is taken per row of the matrix, not per block of the long row",
    r"\brows?\b|block(?!s and outliers)|flatten|absmax of each",
    """
    absmax = weight.abs().amax(dim=1)
    scaled = weight / absmax.clamp(min=1e-30).unsqueeze(1)
    codes = (scaled.flatten().unsqueeze(1) - levels).abs().argmin(dim=1)
    return codes.to(torch.uint8), absmax
""",
)
quantize.wrong(
    "blocks end with rows",
    "blocks need not end where rows end",
    r"\brows?\b|flatten|long row|cross",
    """
    codes, scales = [], []
    for row in weight:
        for block in row.split(block_size):
            s = block.abs().max()
            scaled = block / s if s > 0 else block
            codes.append((scaled.unsqueeze(1) - levels).abs().argmin(dim=1))
            scales.append(s)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)
""",
)
quantize.wrong(
    "only whole blocks",
    "the last block may be shorter; view fails",
    LAST,
    """
    blocks = weight.reshape(-1, block_size)
    absmax = blocks.abs().amax(dim=1)
    scaled = blocks / absmax.clamp(min=1e-30)[:, None]
    codes = (scaled.flatten()[:, None] - levels).abs().argmin(1)
    return codes.to(torch.uint8), absmax
""",
)
quantize.wrong(
    "the rest dropped",
    "the weights of the shorter last block are dropped",
    LAST + r"|shape|missing",
    """
    flat = weight.flatten()
    n = len(flat) // block_size
    blocks = flat[: n * block_size].view(n, block_size)
    absmax = blocks.abs().amax(dim=1)
    scaled = blocks / absmax.clamp(min=1e-30)[:, None]
    codes = (scaled.flatten()[:, None] - levels).abs().argmin(1)
    return codes.to(torch.uint8), absmax
""",
)
quantize.wrong(
    "padding kept",
    "the codes of the padding are returned too",
    LAST + r"|pad|too many|shape|number of",
    """
    flat = weight.flatten()
    flat = F.pad(flat, (0, -len(flat) % block_size))
    blocks = flat.view(-1, block_size)
    absmax = blocks.abs().amax(dim=1)
    scaled = blocks / absmax.clamp(min=1e-30)[:, None]
    codes = (scaled.flatten()[:, None] - levels).abs().argmin(1)
    return codes.to(torch.uint8), absmax
""",
)
quantize.wrong(
    "chunk for split",
    "chunk(n) makes n pieces; split(n) makes pieces of n",
    r"chunk|split|block.?size|number of blocks|pieces",
    """
    codes, scales = [], []
    for block in weight.flatten().chunk(block_size):
        s = block.abs().max()
        scaled = block / s if s > 0 else block
        codes.append((scaled.unsqueeze(1) - levels).abs().argmin(dim=1))
        scales.append(s)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)
""",
)
quantize.wrong(
    "max without abs",
    "the magnitude is missing in the absmax",
    ABS,
    """
    codes, scales = [], []
    for block in weight.flatten().split(block_size):
        s = block.max()
        scaled = block / s if s != 0 else block
        codes.append((scaled.unsqueeze(1) - levels).abs().argmin(dim=1))
        scales.append(s)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)
""",
)
quantize.wrong(
    "zero divided by zero",
    "a block of zeros divides 0 by 0: its codes are those of NaN, not of level 0",
    ZERO_BLOCK,
    """
    codes, scales = [], []
    for block in weight.flatten().split(block_size):
        s = block.abs().max()
        codes.append((block[:, None] / s - levels).abs().argmin(dim=1))
        scales.append(s)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)
""",
)
quantize.wrong(
    "code 0 in a block of zeros",
    "a block of zeros gets code 0, which is the level -1",
    r"code 0|codes? of (the )?level|level 0|level [−-]1",
    """
    codes, scales = [], []
    for block in weight.flatten().split(block_size):
        s = block.abs().max()
        if s == 0:
            codes.append(torch.zeros(len(block), dtype=torch.uint8))
        else:
            codes.append((block[:, None] / s - levels).abs().argmin(dim=1).to(torch.uint8))
        scales.append(s)
    return torch.cat(codes), torch.stack(scales)
""",
)
quantize.wrong(
    "scale of zeros is 1",
    "the absmax of a block of zeros should be 0",
    ZERO_BLOCK,
    """
    codes, scales = [], []
    for block in weight.flatten().split(block_size):
        s = block.abs().max()
        s = torch.where(s == 0, torch.ones_like(s), s)
        codes.append((block[:, None] / s - levels).abs().argmin(dim=1))
        scales.append(s)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)
""",
)
quantize.wrong(
    "small blocks clamped",
    "clamping the absmax at 0.001 leaves blocks of small weights unscaled",
    r"small (block|weight|value|absmax|scale)|clamp|tiny|epsilon|\beps|magnitude|1e-3|0\.001",
    """
    codes, scales = [], []
    for block in weight.flatten().split(block_size):
        s = block.abs().max()
        codes.append((block[:, None] / s.clamp(min=1e-3) - levels).abs().argmin(dim=1))
        scales.append(s)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)
""",
)
quantize.wrong(
    "level above",
    "bucketize with the levels finds the next level above, not the nearest",
    r"nearest|midpoint|above|next|bucketize|round|neighbou?r",
    """
    codes, scales = [], []
    for block in weight.flatten().split(block_size):
        s = block.abs().max()
        scaled = block / s if s > 0 else block
        codes.append(torch.bucketize(scaled, levels).clamp(max=len(levels) - 1))
        scales.append(s)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)
""",
)
quantize.wrong(
    "level below",
    "the level at or below is taken, not the nearest",
    r"nearest|midpoint|below|previous|round|neighbou?r",
    """
    codes, scales = [], []
    for block in weight.flatten().split(block_size):
        s = block.abs().max()
        scaled = block / s if s > 0 else block
        codes.append(torch.searchsorted(levels, scaled.contiguous(), right=True) - 1)
        scales.append(s)
    return torch.cat(codes).clamp(min=0).to(torch.uint8), torch.stack(scales)
""",
)
quantize.wrong(
    "levels taken as even",
    "the code is computed as if levels were evenly spaced",
    r"even|spac|nearest|uniform",
    """
    codes, scales = [], []
    for block in weight.flatten().split(block_size):
        s = block.abs().max()
        scaled = block / s if s > 0 else block
        codes.append(((scaled + 1) / 2 * (len(levels) - 1)).round())
        scales.append(s)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)
""",
)
quantize.wrong(
    "distance with a sign",
    "the distance lacks abs: argmin always finds the largest level",
    r"\babs|distance|sign|largest level|highest|magnitude|nearest",
    """
    codes, scales = [], []
    for block in weight.flatten().split(block_size):
        s = block.abs().max()
        scaled = block / s if s > 0 else block
        codes.append((scaled.unsqueeze(1) - levels).argmin(dim=1))
        scales.append(s)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)
""",
)
quantize.wrong(
    "not scaled",
    "the weights are not divided by the absmax",
    r"divid|scale|absmax",
    """
    flat = weight.flatten()
    codes = (flat.unsqueeze(1) - levels).abs().argmin(dim=1).to(torch.uint8)
    return codes, torch.stack([block.abs().max() for block in flat.split(block_size)])
""",
)
quantize.wrong(
    "one scale for the matrix",
    "a block needs an absmax of its own",
    BLOCK + r"|whole|matrix",
    """
    flat = weight.flatten()
    s = flat.abs().max()
    codes = (flat.unsqueeze(1) / s.clamp(min=1e-30) - levels).abs().argmin(dim=1)
    return codes.to(torch.uint8), s.repeat(math.ceil(len(flat) / block_size))
""",
)
quantize.wrong(
    "column by column",
    "the matrix is read column by column",
    r"column|transpos|row by row|order|flatten",
    """
    codes, scales = [], []
    for block in weight.T.flatten().split(block_size):
        s = block.abs().max()
        scaled = block / s if s > 0 else block
        codes.append((scaled.unsqueeze(1) - levels).abs().argmin(dim=1))
        scales.append(s)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)
""",
)
quantize.wrong(
    "always 64",
    "block_size is not used",
    r"block.?size|64|hard|fixed|constant(?! factor)",
    """
    codes, scales = [], []
    for block in weight.flatten().split(64):
        s = block.abs().max()
        scaled = block / s if s > 0 else block
        codes.append((scaled.unsqueeze(1) - levels).abs().argmin(dim=1))
        scales.append(s)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)
""",
)
quantize.wrong(
    "codes in int64",
    "codes should be uint8",
    r"uint8|int64|dtype|long",
    """
    codes, scales = [], []
    for block in weight.flatten().split(block_size):
        s = block.abs().max()
        scaled = block / s if s > 0 else block
        codes.append((scaled.unsqueeze(1) - levels).abs().argmin(dim=1))
        scales.append(s)
    return torch.cat(codes), torch.stack(scales)
""",
)
quantize.wrong(
    "codes like the matrix",
    "codes should be one row, (weights,)",
    r"shape|flat|\(weights,\)|one.dimension|1-?D",
    """
    codes, scales = [], []
    for block in weight.flatten().split(block_size):
        s = block.abs().max()
        scaled = block / s if s > 0 else block
        codes.append((scaled.unsqueeze(1) - levels).abs().argmin(dim=1))
        scales.append(s)
    return torch.cat(codes).view(weight.shape).to(torch.uint8), torch.stack(scales)
""",
)
quantize.wrong(
    "the weight is scaled in place",
    "the blocks are views of the weight: it is changed",
    IN_PLACE + "|view",
    """
    codes, scales = [], []
    for block in weight.view(-1).split(block_size):
        s = block.abs().max()
        if s > 0:
            block.div_(s)
        codes.append((block.unsqueeze(1) - levels).abs().argmin(dim=1))
        scales.append(s)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)
""",
)
quantize.wrong(
    "standard deviation for absmax",
    "the scale is the standard deviation, not the absmax",
    r"absmax|largest magnitude|standard deviation|scale",
    """
    codes, scales = [], []
    for block in weight.flatten().split(block_size):
        s = block.std(correction=0)
        scaled = block / s if s > 0 else block
        codes.append((scaled.unsqueeze(1) - levels).abs().argmin(dim=1))
        scales.append(s)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)
""",
)
quantize.wrong(
    "level above, int64",
    "the next level above instead of the nearest, and codes are not uint8",
    r"nearest|midpoint|above|next|uint8|dtype|int64",
    """
    codes, scales = [], []
    for block in weight.flatten().split(block_size):
        s = block.abs().max()
        scaled = block / s if s > 0 else block
        codes.append(torch.bucketize(scaled, levels))
        scales.append(s)
    return torch.cat(codes), torch.stack(scales)
""",
)
quantize.wrong(
    "returns in the loop",
    "the return is inside the loop: only the first block is done",
    r"return|loop|indent|first block|only",
    """
    codes, scales = [], []
    for block in weight.flatten().split(block_size):
        s = block.abs().max()
        scaled = block / s if s > 0 else block
        codes.append((scaled.unsqueeze(1) - levels).abs().argmin(dim=1))
        scales.append(s)
        return torch.cat(codes).to(torch.uint8), torch.stack(scales)
""",
)
quantize.wrong(
    "lists of tensors",
    "lists instead of tensors: cat and stack are missing",
    r"list|tensor|cat|stack",
    """
    codes, scales = [], []
    for block in weight.flatten().split(block_size):
        s = block.abs().max()
        scaled = block / s if s > 0 else block
        codes.append((scaled.unsqueeze(1) - levels).abs().argmin(dim=1).to(torch.uint8))
        scales.append(s)
    return codes, scales
""",
)
quantize.open(
    "ties to the upper level",
    "the text does not say which of two equally near levels is taken",
    """
    codes, scales = [], []
    middle = (levels[:-1] + levels[1:]) / 2
    for block in weight.flatten().split(block_size):
        s = block.abs().max()
        scaled = block / s if s > 0 else block
        codes.append(torch.bucketize(scaled, middle, right=True))
        scales.append(s)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)
""",
)
quantize.right(
    "split and argmin",
    """
    codes, scales = [], []
    for block in weight.flatten().split(block_size):
        s = block.abs().max()
        scaled = block / s if s > 0 else torch.zeros_like(block)
        codes.append((scaled.unsqueeze(1) - levels).square().argmin(dim=1))
        scales.append(s)
    return torch.cat(codes).to(torch.uint8), torch.stack(scales)
""",
)
quantize.right(
    "padded, midpoints",
    """
    flat = weight.reshape(-1)
    blocks = F.pad(flat, (0, -flat.numel() % block_size)).view(-1, block_size)
    absmax = blocks.abs().amax(dim=1)
    scaled = blocks / torch.where(absmax > 0, absmax, 1.0).unsqueeze(1)
    codes = torch.bucketize(scaled, (levels[1:] + levels[:-1]) / 2)
    return codes.flatten()[: flat.numel()].to(torch.uint8), absmax
""",
)
quantize.right(
    "scale by index",
    """
    flat = weight.flatten()
    block = torch.arange(flat.numel()) // block_size
    absmax = torch.zeros(int(block[-1]) + 1, dtype=flat.dtype)
    absmax.scatter_reduce_(0, block, flat.abs(), reduce="amax")
    scaled = torch.nan_to_num(flat / absmax[block], nan=0.0)
    codes = torch.cdist(scaled[:, None].double(), levels[:, None].double(), p=1).argmin(1)
    return codes.byte(), absmax
""",
)
quantize.right(
    "numpy",
    """
    flat, table = weight.detach().numpy().ravel(), levels.numpy()
    codes = np.empty(flat.size, dtype=np.uint8)
    starts = range(0, flat.size, block_size)
    absmax = np.zeros(len(starts), dtype=flat.dtype)
    for b, start in enumerate(starts):
        part = flat[start : start + block_size]
        absmax[b] = np.abs(part).max()
        scaled = part / absmax[b] if absmax[b] else part
        codes[start : start + block_size] = np.abs(scaled[:, None] - table).argmin(1)
    return torch.from_numpy(codes), torch.from_numpy(absmax)
""",
)
quantize.right(
    "level by level",
    """
    flat = weight.flatten()
    absmax = torch.stack([part.abs().amax() for part in torch.split(flat, block_size)])
    s = absmax.repeat_interleave(block_size)[: len(flat)]
    best = torch.full_like(flat, math.inf)
    codes = torch.zeros(len(flat), dtype=torch.uint8)
    for code, level in enumerate(levels):
        distance = (torch.where(s > 0, flat / s, 0.0) - level).abs()
        nearer = distance < best
        codes[nearer] = code
        best = torch.where(nearer, distance, best)
    return codes, absmax
""",
)
quantize.right(
    "two neighbours compared",
    """
def nearest(x, levels):
    upper = torch.searchsorted(levels, x.contiguous()).clamp(1, len(levels) - 1)
    lower = upper - 1
    return torch.where(x - levels[lower] <= levels[upper] - x, lower, upper)

def quantize(weight: Tensor, levels: Tensor, block_size: int) -> tuple[Tensor, Tensor]:
    parts = weight.flatten().split(block_size)
    absmax = torch.stack([torch.linalg.vector_norm(part, float("inf")) for part in parts])
    scaled = [part / (s if s else 1) for part, s in zip(parts, absmax)]
    return torch.cat([nearest(x, levels) for x in scaled]).to(torch.uint8), absmax
""",
)

# --- pack ---------------------------------------------------------------------------------------

HALF = r"high half|low half|\bhalf\b|halves|swap|order|first code|nibble"
PAD = r"\bpad"
ODD = r"\bodd\b|\bpad|last"

pack = Exercise("quantization.pack", "def pack(codes, pad):")
pack.wrong(
    "first code in the low half",
    "the first code belongs into the high half",
    HALF,
    """
    if len(codes) % 2:
        codes = F.pad(codes, (0, 1), value=pad)
    return codes[::2] | (codes[1::2] << 4)
""",
)
pack.wrong(
    "filled up with zero",
    "an odd number is filled up with 0 instead of pad",
    PAD + r"|filled|zero",
    """
    if len(codes) % 2:
        codes = F.pad(codes, (0, 1))
    return (codes[::2] << 4) | codes[1::2]
""",
)
pack.wrong(
    "padded in front",
    "pad belongs behind the codes, not before them",
    r"in front|\bbefore\b|at the end|behind|\bafter\b",
    """
    if len(codes) % 2:
        codes = torch.cat([torch.tensor([pad], dtype=torch.uint8), codes])
    return (codes[::2] << 4) | codes[1::2]
""",
)
pack.wrong(
    "pad in the high half",
    "in the last byte pad and the last code are swapped",
    HALF,
    """
    if len(codes) % 2:
        last = torch.tensor([pad], dtype=torch.uint8)
        codes = torch.cat([codes[:-1], last, codes[-1:]])
    return (codes[::2] << 4) | codes[1::2]
""",
)
pack.wrong(
    "last code dropped",
    "the last of an odd number of codes is dropped",
    ODD + r"|drop|missing|shape",
    """
    n = len(codes) // 2 * 2
    codes = codes[:n]
    return (codes[::2] << 4) | codes[1::2]
""",
)
pack.wrong(
    "only even numbers",
    "with an odd number of codes the two slices do not fit",
    ODD,
    """
    return (codes[::2] << 4) | codes[1::2]
""",
)
pack.wrong(
    "always padded",
    "pad is added to an even number of codes too",
    PAD + r"|even|too many|shape",
    """
    codes = torch.cat([codes, torch.full((2,), pad, dtype=torch.uint8)])
    codes = codes[: len(codes) // 2 * 2]
    return (codes[::2] << 4) | codes[1::2]
""",
)
pack.wrong(
    "shifted by eight",
    "a code has four bits: shift by 4, not by 8",
    r"shift|four|\b4\b|<<|bits|high half|first code",
    """
    if len(codes) % 2:
        codes = F.pad(codes, (0, 1), value=pad)
    return (codes[::2] << 8) | codes[1::2]
""",
)
pack.wrong(
    "plus before shift",
    "+ binds more tightly than <<: parentheses are missing",
    r"parenthes|bracket|preced|binds|shift|<<|high half",
    """
    if len(codes) % 2:
        codes = F.pad(codes, (0, 1), value=pad)
    return codes[::2] << 4 + codes[1::2]
""",
)
pack.wrong(
    "and for or",
    "& keeps common bits only: here it is always 0",
    r"\bor\b|\||&|combin|zero|add",
    """
    if len(codes) % 2:
        codes = F.pad(codes, (0, 1), value=pad)
    return (codes[::2] << 4) & codes[1::2]
""",
)
pack.wrong(
    "first half with second half",
    "neighbours share a byte, not codes of the first and the second half of the row",
    r"neighbou?r|pair|::2|halves of|next to|second half|first half|every (other|second)",
    """
    if len(codes) % 2:
        codes = F.pad(codes, (0, 1), value=pad)
    n = len(codes) // 2
    return (codes[:n] << 4) | codes[n:]
""",
)
pack.wrong(
    "times fifteen",
    "four bits up is times 16, not 15",
    r"16|<<|four bits|shift|high half",
    """
    if len(codes) % 2:
        codes = F.pad(codes, (0, 1), value=pad)
    return codes[::2] * 15 + codes[1::2]
""",
)
pack.wrong(
    "bytes in int64",
    "the bytes should be uint8",
    r"uint8|int64|dtype|long",
    """
    codes = codes.long()
    if len(codes) % 2:
        codes = F.pad(codes, (0, 1), value=pad)
    return codes[::2] * 16 + codes[1::2]
""",
)
pack.wrong(
    "int64 when padded",
    "torch.tensor([pad]) is int64, and cat makes all of it int64",
    r"uint8|int64|dtype|long",
    """
    if len(codes) % 2:
        codes = torch.cat([codes, torch.tensor([pad])])
    return (codes[::2] << 4) | codes[1::2]
""",
)
pack.wrong(
    "shifted in place",
    "the codes that were handed over are changed",
    IN_PLACE,
    """
    if len(codes) % 2:
        codes = F.pad(codes, (0, 1), value=pad)
    high = codes[::2]
    high <<= 4
    return high | codes[1::2]
""",
)
pack.wrong(
    "a list of bytes",
    "a list instead of a tensor",
    r"list|tensor",
    """
    values = codes.tolist()
    if len(values) % 2:
        values.append(pad)
    return [16 * a + b for a, b in zip(values[::2], values[1::2])]
""",
)
pack.wrong(
    "bytes as a column",
    "the bytes should be one row, (⌈codes / 2⌉,)",
    r"shape|column|one.dimension|1-?D|keepdim|flat",
    """
    if len(codes) % 2:
        codes = F.pad(codes, (0, 1), value=pad)
    pairs = codes.view(-1, 2)
    return (pairs[:, :1] << 4) | pairs[:, 1:]
""",
)
pack.wrong(
    "low half first, padded with zero",
    "the halves are swapped, and 0 is filled in instead of pad",
    HALF + r"|\bpad",
    """
    if len(codes) % 2:
        codes = F.pad(codes, (0, 1))
    return (codes[1::2] << 4) | codes[::2]
""",
)
pack.wrong(
    "append",
    "a tensor has no append",
    r"append|attribute",
    """
    if len(codes) % 2:
        codes.append(pad)
    return (codes[::2] << 4) | codes[1::2]
""",
)
pack.wrong(
    "error left at the end",
    "raise NotImplementedError is left over",
    LEFT_OVER,
    """
    if len(codes) % 2:
        codes = F.pad(codes, (0, 1), value=pad)
    packed = (codes[::2] << 4) | codes[1::2]
    raise NotImplementedError("your code here")
    return packed
""",
)
pack.right(
    "arithmetic on pairs",
    """
    full = torch.cat([codes, codes.new_tensor([pad] * (len(codes) % 2))])
    pairs = full.reshape(-1, 2).int()
    return (pairs @ torch.tensor([16, 1], dtype=torch.int32)).to(torch.uint8)
""",
)
pack.right(
    "xor",
    """
    if codes.numel() % 2 == 1:
        codes = torch.cat((codes, torch.full((1,), pad, dtype=codes.dtype)))
    return codes[::2] << 4 ^ codes[1::2]
""",
)
pack.right(
    "plain Python",
    """
    pairs = itertools.zip_longest(codes[0::2].tolist(), codes[1::2].tolist(), fillvalue=pad)
    return torch.tensor([(high << 4) + low for high, low in pairs], dtype=torch.uint8)
""",
)
pack.right(
    "into an empty tensor",
    """
    count = math.ceil(codes.numel() / 2)
    out = torch.full((count,), pad, dtype=torch.uint8)
    out[: codes.numel() // 2] = codes[1::2]
    out += 16 * codes[::2]
    return out
""",
)
pack.right(
    "numpy",
    """
    values = codes.numpy()
    if values.size % 2:
        values = np.append(values, np.uint8(pad))
    return torch.from_numpy(np.left_shift(values[::2], 4) | values[1::2])
""",
)
pack.right(
    "unbind after padding",
    """
    padded = F.pad(codes, (0, codes.size(0) % 2), value=pad)
    high, low = padded.unflatten(0, (-1, 2)).unbind(1)
    return torch.bitwise_or(torch.bitwise_left_shift(high, 4), low)
""",
)

# --- dequantize ---------------------------------------------------------------------------------

EARLY = r"round|precision|early|once|before"

dequantize = Exercise(
    "quantization.dequantize",
    "def dequantize(packed, levels, absmax, block_size, shape, dtype):",
)
dequantize.wrong(
    "low half first",
    "the first code of a byte is in its high half",
    HALF,
    """
    codes = torch.stack([packed & 15, packed >> 4], dim=1).flatten().long()
    count = shape[0] * shape[1]
    values = levels[codes[:count]] * absmax.repeat_interleave(block_size)[:count]
    return values.view(shape).to(dtype)
""",
)
dequantize.wrong(
    "all high halves, then all low ones",
    "the two codes of a byte are neighbours: stack on dim=1, not one after the other",
    r"neighbou?r|stack|dim|interleav|order|pair|\bcat\b",
    """
    codes = torch.cat([packed >> 4, packed & 15]).long()
    count = shape[0] * shape[1]
    values = levels[codes[:count]] * absmax.repeat_interleave(block_size)[:count]
    return values.view(shape).to(dtype)
""",
)
dequantize.wrong(
    "filled-up code kept",
    "with an odd number of weights the last byte holds a code too many",
    r"\bodd\b|too many|last (byte|code)|\bpad|fill",
    """
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    values = levels[codes] * absmax.repeat_interleave(block_size)[: len(codes)]
    return values.view(shape).to(dtype)
""",
)
dequantize.wrong(
    "only whole blocks",
    "the last block may be shorter",
    LAST,
    """
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    values = levels[codes].view(-1, block_size) * absmax[:, None]
    return values.view(shape).to(dtype)
""",
)
dequantize.wrong(
    "rounded before the product",
    "levels and scales are rounded to dtype before they are multiplied",
    EARLY,
    """
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    count = shape[0] * shape[1]
    scales = absmax.to(dtype).repeat_interleave(block_size)[:count]
    return (levels.to(dtype)[codes[:count]] * scales).view(shape)
""",
)
dequantize.wrong(
    "levels rounded first",
    "the levels are rounded to dtype before the product, so it is rounded twice",
    EARLY + "|twice",
    """
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    count = shape[0] * shape[1]
    values = levels[codes[:count]].to(dtype)
    return (values * absmax.repeat_interleave(block_size)[:count]).view(shape).to(dtype)
""",
)
dequantize.wrong(
    "scales rounded first",
    "the scales are rounded to dtype before the product, so it is rounded twice",
    EARLY + "|twice",
    """
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    count = shape[0] * shape[1]
    scales = absmax.to(dtype).float().repeat_interleave(block_size)[:count]
    return (levels[codes[:count]] * scales).view(shape).to(dtype)
""",
)
dequantize.wrong(
    "through bfloat16",
    "rounded to bfloat16 on the way, whatever dtype is asked for",
    EARLY + "|twice|bfloat16|dtype",
    """
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    count = shape[0] * shape[1]
    values = levels[codes[:count]] * absmax.repeat_interleave(block_size)[:count]
    return values.bfloat16().view(shape).to(dtype)
""",
)
dequantize.wrong(
    "dtype forgotten",
    "the result should have the dtype that is asked for",
    r"dtype",
    """
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    count = shape[0] * shape[1]
    values = levels[codes[:count]] * absmax.repeat_interleave(block_size)[:count]
    return values.view(shape)
""",
)
dequantize.wrong(
    "divided by the scale",
    "on the way back levels are multiplied by the absmax",
    r"multipl|divid|times",
    """
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    count = shape[0] * shape[1]
    values = levels[codes[:count]] / absmax.repeat_interleave(block_size)[:count]
    return values.view(shape).to(dtype)
""",
)
dequantize.wrong(
    "no scale",
    "the absmax is missing",
    r"absmax|scale",
    """
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    count = shape[0] * shape[1]
    return levels[codes[:count]].view(shape).to(dtype)
""",
)
dequantize.wrong(
    "scales in turn",
    "repeat puts the scales in turn; neighbours in a block share one: repeat_interleave",
    r"repeat|interleave|block|neighbou?r|share|in turn|\bown\b",
    """
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    count = shape[0] * shape[1]
    values = levels[codes[:count]] * absmax.repeat(block_size)[:count]
    return values.view(shape).to(dtype)
""",
)
dequantize.wrong(
    "scale by byte",
    "a scale for each byte: with an odd block size two codes of a byte have different scales",
    r"\bodd\b|byte|block|scale",
    """
    codes = torch.stack([packed >> 4, packed & 15], dim=1).long()
    scales = absmax.repeat_interleave(block_size // 2)
    scales = F.pad(scales, (0, max(0, len(packed) - len(scales))), value=absmax[-1].item())
    values = (levels[codes] * scales[: len(packed), None]).flatten()
    return values[: shape[0] * shape[1]].view(shape).to(dtype)
""",
)
dequantize.wrong(
    "always 64",
    "block_size is not used",
    r"block.?size|64|hard|fixed|constant(?! factor)",
    """
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    count = shape[0] * shape[1]
    values = levels[codes[:count]] * absmax.repeat_interleave(64)[:count]
    return values.view(shape).to(dtype)
""",
)
dequantize.wrong(
    "a scale for each row",
    "scales belong to blocks, not to rows",
    r"row|block",
    """
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    values = levels[codes[: shape[0] * shape[1]]].view(shape)
    return (values * absmax[: shape[0]].unsqueeze(1)).to(dtype)
""",
)
dequantize.wrong(
    "transposed",
    "the weights are put into the matrix column by column",
    r"transpos|column|shape|order|row",
    """
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    count = shape[0] * shape[1]
    values = levels[codes[:count]] * absmax.repeat_interleave(block_size)[:count]
    return values.view(shape[1], shape[0]).T.to(dtype)
""",
)
dequantize.wrong(
    "bytes as a mask",
    "a uint8 index is read as a mask; convert the codes to long",
    r"mask|uint8|long|bool|index",
    """
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten()
    count = shape[0] * shape[1]
    values = levels[codes[:count]] * absmax.repeat_interleave(block_size)[:count]
    return values.view(shape).to(dtype)
""",
)
dequantize.wrong(
    "three bits of the low half",
    "the low half has four bits: & 15, not & 7",
    r"15|0xf|four bits|low half|mask|second code",
    """
    codes = torch.stack([packed >> 4, packed & 7], dim=1).flatten().long()
    count = shape[0] * shape[1]
    values = levels[codes[:count]] * absmax.repeat_interleave(block_size)[:count]
    return values.view(shape).to(dtype)
""",
)
dequantize.wrong(
    "modulo fifteen",
    "the low half is the remainder by 16, not by 15",
    r"16|15|low half|remainder|modulo|second code",
    """
    codes = torch.stack([packed // 16, packed % 15], dim=1).flatten().long()
    count = shape[0] * shape[1]
    values = levels[codes[:count]] * absmax.repeat_interleave(block_size)[:count]
    return values.view(shape).to(dtype)
""",
)
dequantize.wrong(
    "packed shifted in place",
    "the bytes that were handed over are changed",
    IN_PLACE,
    """
    low = packed & 15
    packed >>= 4
    codes = torch.stack([packed, low], dim=1).flatten().long()
    count = shape[0] * shape[1]
    values = levels[codes[:count]] * absmax.repeat_interleave(block_size)[:count]
    return values.view(shape).to(dtype)
""",
)
dequantize.wrong(
    "the first code cut off",
    "the code too many is the last one, not the first",
    r"last|first code|\bpad|too many|\bodd\b",
    """
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    count = shape[0] * shape[1]
    values = levels[codes[-count:]] * absmax.repeat_interleave(block_size)[:count]
    return values.view(shape).to(dtype)
""",
)
dequantize.wrong(
    "the last block with its neighbour's scale",
    "the shorter last block has a scale of its own",
    LAST,
    """
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    count = shape[0] * shape[1]
    block = torch.arange(count) // block_size
    block = block.clamp(max=max(count // block_size - 1, 0))
    return (levels[codes[:count]] * absmax[block]).view(shape).to(dtype)
""",
)
dequantize.wrong(
    "low half first, rounded early",
    "the halves are swapped, and levels and scales are rounded before the product",
    HALF + "|" + EARLY,
    """
    codes = torch.stack([packed & 15, packed >> 4], dim=1).flatten().long()
    count = shape[0] * shape[1]
    scales = absmax.to(dtype).repeat_interleave(block_size)[:count]
    return (levels.to(dtype)[codes[:count]] * scales).view(shape)
""",
)
dequantize.wrong(
    "unknown name",
    "codes is not defined: the bytes were not taken apart",
    r"codes|defin|name",
    """
    count = shape[0] * shape[1]
    values = levels[codes[:count]] * absmax.repeat_interleave(block_size)[:count]
    return values.view(shape).to(dtype)
""",
)
dequantize.open(
    "product in double precision",
    "the text asks for float32; a product in float64 that is rounded once can differ in a bit",
    """
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    count = shape[0] * shape[1]
    scales = absmax.double().repeat_interleave(block_size)[:count]
    return (levels.double()[codes[:count]] * scales).view(shape).to(dtype)
""",
)
dequantize.right(
    "a scale by index",
    """
    codes = torch.stack([packed >> 4, packed & 0xF], dim=-1).flatten().int()
    count = math.prod(shape)
    block = torch.arange(count).div(block_size, rounding_mode="floor")
    return (levels[codes[:count]] * absmax[block]).reshape(shape).to(dtype)
""",
)
dequantize.right(
    "block by block",
    """
    rows, columns = shape
    codes = torch.zeros(2 * len(packed), dtype=torch.long)
    codes[0::2] = packed.long() // 16
    codes[1::2] = packed.long() % 16
    values = levels.index_select(0, codes[: rows * columns])
    parts = [s * part for s, part in zip(absmax, values.split(block_size))]
    return torch.cat(parts).view(rows, columns).type(dtype)
""",
)
dequantize.right(
    "padded to whole blocks",
    """
    count = shape[0] * shape[1]
    codes = torch.stack((packed.bitwise_right_shift(4), packed.bitwise_and(15)), 1).view(-1)
    values = torch.zeros(len(absmax) * block_size)
    values[:count] = levels[codes[:count].long()]
    values = torch.einsum("bs,b->bs", values.view(-1, block_size), absmax)
    return values.flatten()[:count].view(*shape).to(dtype)
""",
)
dequantize.right(
    "numpy",
    """
    raw = packed.numpy()
    codes = np.empty(2 * raw.size, dtype=np.int64)
    codes[::2], codes[1::2] = raw >> 4, raw & 15
    count = shape[0] * shape[1]
    scales = np.repeat(absmax.numpy(), block_size)[:count]
    values = levels.numpy()[codes[:count]] * scales
    return torch.from_numpy(values.reshape(shape)).to(dtype)
""",
)
dequantize.right(
    "weight by weight",
    """
    out = torch.empty(shape[0] * shape[1])
    for i in range(len(out)):
        byte = int(packed[i // 2])
        code = byte >> 4 if i % 2 == 0 else byte & 15
        out[i] = levels[code] * absmax[i // block_size]
    return out.view(shape).to(dtype)
""",
)

# --- bits ---------------------------------------------------------------------------------------

OUTER = r"outer|32|scales? of (the )?scales|double"

bits = Exercise(
    "quantization.bits", "def bits_per_weight(bits, block_size, scale_bits, outer_block):"
)
bits.wrong("no scales", "the scales are not counted", r"scale", "    return float(bits)")
bits.wrong(
    "outer scale left out",
    "the outer scale is not counted",
    OUTER,
    "    return bits + scale_bits / block_size",
)
bits.wrong(
    "scales of 32 bits",
    "scale_bits is not used: 32 is written in",
    r"scale_bits|32|hard|fixed|constant(?! factor)",
    """
    total = bits + 32 / block_size
    if outer_block is not None:
        total = bits + 8 / block_size + 32 / (block_size * outer_block)
    return total
""",
)
bits.wrong(
    "scales of 8 bits once nested",
    "with an outer block the scales have scale_bits, not always 8",
    r"scale_bits|\b8\b|hard|fixed|constant(?! factor)",
    """
    if outer_block is None:
        return bits + scale_bits / block_size
    return bits + 8 / block_size + 32 / (block_size * outer_block)
""",
)
bits.wrong(
    "outer scale per scale",
    "an outer scale serves block_size * outer_block weights, not outer_block",
    OUTER + r"|block.?size|shared?",
    """
    total = bits + scale_bits / block_size
    if outer_block:
        total += 32 / outer_block
    return total
""",
)
bits.wrong(
    "outer block counted in weights",
    "outer_block counts scales, not blocks and weights together: multiply, do not add",
    OUTER + r"|multipl|product|block_size \*|shared?",
    """
    total = bits + scale_bits / block_size
    if outer_block:
        total += 32 / (block_size + outer_block)
    return total
""",
)
bits.wrong(
    "outer scale of 16 bits",
    "the outer scale has 32 bits",
    OUTER,
    """
    total = bits + scale_bits / block_size
    if outer_block:
        total += 16 / (block_size * outer_block)
    return total
""",
)
bits.wrong(
    "outer scale of scale_bits",
    "the outer scale has 32 bits, not scale_bits",
    OUTER,
    """
    total = bits + scale_bits / block_size
    if outer_block:
        total += scale_bits / (block_size * outer_block)
    return total
""",
)
bits.wrong(
    "outer scale instead of the inner one",
    "the outer scale is added to the scales, it does not replace them",
    r"scale",
    """
    if outer_block:
        return bits + 32 / (block_size * outer_block)
    return bits + scale_bits / block_size
""",
)
bits.wrong(
    "whole bits",
    "integer division loses the part of a bit",
    r"integer|//|whole|division|fraction",
    """
    total = bits + scale_bits // block_size
    if outer_block is not None:
        total += 32 // (block_size * outer_block)
    return total
""",
)
bits.wrong(
    "rounded to three decimals",
    "the result is rounded",
    r"round|decimal|\bexact\b",
    """
    total = bits + scale_bits / block_size
    if outer_block is not None:
        total += 32 / (block_size * outer_block)
    return round(total, 3)
""",
)
bits.wrong(
    "always an outer block",
    "outer_block may be None",
    r"None",
    "    return bits + scale_bits / block_size + 32 / (block_size * outer_block)",
)
bits.wrong(
    "inverted condition",
    "the outer scale is added when there is none",
    r"None|invert|condition|\bif\b|only if|outer",
    """
    total = bits + scale_bits / block_size
    if outer_block is None:
        total += 32 / block_size
    return total
""",
)
bits.wrong(
    "nothing without an outer block",
    "there is no return where outer_block is None",
    RETURN,
    """
    if outer_block:
        return bits + scale_bits / block_size + 32 / (block_size * outer_block)
""",
)
bits.wrong(
    "bytes",
    "bytes instead of bits",
    r"byte|\b8\b|eight",
    """
    outer = 32 / (block_size * outer_block) if outer_block else 0
    return (bits + scale_bits / block_size + outer) / 8
""",
)
bits.wrong(
    "bits of a block",
    "bits of a whole block instead of a weight",
    r"per weight|each weight|whole block|block.?size|divid",
    """
    outer = 32 / outer_block if outer_block else 0
    return bits * block_size + scale_bits + outer
""",
)
bits.wrong(
    "scales relative to the codes",
    "scale_bits / block_size is added, not a share of bits",
    r"add|sum|multipl|share|scale",
    """
    total = bits * (1 + scale_bits / block_size)
    if outer_block:
        total += 32 / (block_size * outer_block)
    return total
""",
)
bits.wrong(
    "the answers of the chapter",
    "4.5 and 4.127 are written in",
    r"hard|fixed|constant(?! factor)|argument|block.?size|written",
    """
    if outer_block is None:
        return 4.5
    return 4 + 8 / 64 + 32 / (64 * 256)
""",
)
bits.wrong(
    "the mean counted",
    "one mean for all scales costs nothing per weight; only the outer scale is counted",
    OUTER + r"|mean|twice",
    """
    total = bits + scale_bits / block_size
    if outer_block:
        total += 2 * 32 / (block_size * outer_block)
    return total
""",
)
bits.wrong(
    "whole bits, outer per scale",
    "integer division, and the outer scale is not shared by block_size * outer_block weights",
    OUTER + r"|integer|//|whole|division|fraction",
    """
    total = bits + scale_bits // block_size
    if outer_block:
        total += 32 / outer_block
    return total
""",
)
bits.wrong(
    "prints",
    "nothing is returned",
    RETURN,
    """
    total = bits + scale_bits / block_size
    if outer_block:
        total += 32 / (block_size * outer_block)
    print(total)
""",
)
bits.wrong(
    "misspelt argument",
    "blocksize is not defined; it is block_size",
    r"blocksize|block_size",
    """
    total = bits + scale_bits / blocksize
    if outer_block:
        total += 32 / (blocksize * outer_block)
    return total
""",
)
bits.open(
    "a fraction",
    "equal to the number asked for, but not a float",
    """
    import fractions

    total = bits + fractions.Fraction(scale_bits, block_size)
    if outer_block:
        total += fractions.Fraction(32, block_size * outer_block)
    return total
""",
)
bits.right(
    "bits of a scale first",
    """
    if outer_block is not None:
        scale_bits = scale_bits + 32 / outer_block
    return bits + scale_bits / block_size
""",
)
bits.right(
    "infinitely large outer block",
    "    return bits + scale_bits / block_size + 32 / block_size / (outer_block or math.inf)",
)
bits.right(
    "counted on a matrix",
    """
    outer = 1 if outer_block is None else outer_block
    weights = block_size * outer
    stored = weights * bits + outer * scale_bits
    if outer_block is not None:
        stored += 32
    return stored / weights
""",
)
bits.right(
    "terms of a sum",
    """
    terms = [bits, scale_bits / block_size]
    terms += [] if outer_block is None else [32.0 / (outer_block * block_size)]
    return float(sum(terms))
""",
)
bits.right(
    "fractions inside",
    """
    from fractions import Fraction

    result = Fraction(bits) + Fraction(scale_bits, block_size)
    if outer_block:
        result += Fraction(32, block_size * outer_block)
    return float(result)
""",
)
bits.right(
    "match",
    """
    match outer_block:
        case None:
            outer = 0
        case _:
            outer = 32 * (block_size * outer_block) ** -1
    return np.float64(bits + scale_bits * block_size**-1 + outer)
""",
)

# --- double -------------------------------------------------------------------------------------

MEAN = r"\bmean\b"
OWN = r"outer block|\bown\b|each block|per block|whole|one (scale|absmax)"

double = Exercise("quantization.double", "def double_quantize(absmax, block_size):")
double.wrong(
    "mean left in",
    "the mean is not taken out before quantizing",
    MEAN,
    """
    mean = absmax.mean()
    blocks = absmax.view(-1, block_size)
    outer = blocks.abs().amax(dim=1)
    codes = (blocks / outer[:, None] * 127).round().to(torch.int8)
    return codes.flatten(), outer, mean
""",
)
double.wrong(
    "a mean for each block",
    "one mean of all scales, not one for each outer block",
    MEAN,
    """
    blocks = absmax.view(-1, block_size)
    mean = blocks.mean(dim=1)
    left = blocks - mean[:, None]
    outer = left.abs().amax(dim=1)
    codes = (left / outer[:, None] * 127).round().to(torch.int8)
    return codes.flatten(), outer, mean
""",
)
double.wrong(
    "block means taken out, one returned",
    "what is taken out is the mean of each block, but the mean of all is returned",
    MEAN,
    """
    blocks = absmax.view(-1, block_size)
    left = blocks - blocks.mean(dim=1, keepdim=True)
    outer = left.abs().amax(dim=1)
    codes = (left / outer[:, None] * 127).round().to(torch.int8)
    return codes.flatten(), outer, absmax.mean()
""",
)
double.wrong(
    "mean added",
    "the mean is added instead of subtracted",
    MEAN + r"|subtract|sign",
    """
    mean = absmax.mean()
    left = (absmax + mean).view(-1, block_size)
    outer = left.abs().amax(dim=1)
    codes = (left / outer[:, None] * 127).round().to(torch.int8)
    return codes.flatten(), outer, mean
""",
)
double.wrong(
    "median",
    "the median is not the mean",
    r"\bmean\b|median",
    """
    mean = absmax.median()
    left = (absmax - mean).view(-1, block_size)
    outer = left.abs().amax(dim=1)
    codes = (left / outer[:, None] * 127).round().to(torch.int8)
    return codes.flatten(), outer, mean
""",
)
double.wrong(
    "smallest taken out",
    "the minimum is taken out, not the mean: negative codes are never used",
    r"\bmean\b|minimum|smallest",
    """
    low = absmax.min()
    left = (absmax - low).view(-1, block_size)
    outer = left.abs().amax(dim=1)
    codes = (left / outer[:, None] * 127).round().to(torch.int8)
    return codes.flatten(), outer, low
""",
)
double.wrong(
    "one outer scale",
    "every outer block has an absmax of its own",
    OWN,
    """
    mean = absmax.mean()
    left = absmax - mean
    outer = left.abs().max()
    codes = (left / outer * 127).round().to(torch.int8)
    return codes, outer.repeat(len(absmax) // block_size), mean
""",
)
double.wrong(
    "outer scale of the scales themselves",
    "the outer absmax is that of the scales before the mean is taken out",
    r"\bmean\b|left|outer|before|residual",
    """
    mean = absmax.mean()
    outer = absmax.view(-1, block_size).abs().amax(dim=1)
    left = (absmax - mean).view(-1, block_size)
    codes = (left / outer[:, None] * 127).round().to(torch.int8)
    return codes.flatten(), outer, mean
""",
)
double.wrong(
    "no magnitude",
    "what is left may be negative: abs is missing",
    ABS,
    """
    mean = absmax.mean()
    left = (absmax - mean).view(-1, block_size)
    outer = left.amax(dim=1)
    codes = (left / outer[:, None] * 127).round().clamp(-128, 127).to(torch.int8)
    return codes.flatten(), outer, mean
""",
)
double.wrong(
    "128",
    "the largest code of 8 bits is 127, not 128",
    r"12[78]|one too (many|large|high)|off by one|largest code|overflow",
    """
    mean = absmax.mean()
    left = (absmax - mean).view(-1, block_size)
    outer = left.abs().amax(dim=1)
    codes = (left / outer[:, None] * 128).round().to(torch.int8)
    return codes.flatten(), outer, mean
""",
)
double.wrong(
    "128, cut at 127",
    "scaled by 128 and cut: codes run from -128, not from -127",
    r"12[78]|largest code|off by one|symmetric|clamp",
    """
    mean = absmax.mean()
    left = (absmax - mean).view(-1, block_size)
    outer = left.abs().amax(dim=1)
    codes = (left / outer[:, None] * 128).round().clamp(-128, 127).to(torch.int8)
    return codes.flatten(), outer, mean
""",
)
double.wrong(
    "four bits",
    "scales are stored in 8 bits, not in 4",
    r"8 bits?|127|\b7\b|\b4 bits",
    """
    mean = absmax.mean()
    left = (absmax - mean).view(-1, block_size)
    outer = left.abs().amax(dim=1)
    codes = (left / outer[:, None] * 7).round().to(torch.int8)
    return codes.flatten(), outer, mean
""",
)
double.wrong(
    "no rounding",
    "the conversion to int8 cuts off instead of rounding",
    ROUND,
    """
    mean = absmax.mean()
    left = (absmax - mean).view(-1, block_size)
    outer = left.abs().amax(dim=1)
    return (left / outer[:, None] * 127).to(torch.int8).flatten(), outer, mean
""",
)
double.wrong(
    "codes in blocks",
    "codes should be one row, (scales,)",
    r"shape|flat|\(scales,\)|one.dimension|1-?D",
    """
    mean = absmax.mean()
    left = (absmax - mean).view(-1, block_size)
    outer = left.abs().amax(dim=1)
    codes = (left / outer[:, None] * 127).round().to(torch.int8)
    return codes, outer, mean
""",
)
double.wrong(
    "outer scales as a column",
    "the outer absmax should be one row",
    r"shape|flat|keepdim|squeeze|one.dimension|1-?D",
    """
    mean = absmax.mean()
    left = (absmax - mean).view(-1, block_size)
    outer = left.abs().amax(dim=1, keepdim=True)
    codes = (left / outer * 127).round().to(torch.int8)
    return codes.flatten(), outer, mean
""",
)
double.wrong(
    "mean before outer scales",
    "the outer absmax comes before the mean",
    SWAPPED + "|shape",
    """
    mean = absmax.mean()
    left = (absmax - mean).view(-1, block_size)
    outer = left.abs().amax(dim=1)
    codes = (left / outer[:, None] * 127).round().to(torch.int8)
    return codes.flatten(), mean, outer
""",
)
double.wrong(
    "mean of what is left",
    "the mean is computed after it was taken out: it is 0",
    r"\bmean\b",
    """
    left = (absmax - absmax.mean()).view(-1, block_size)
    outer = left.abs().amax(dim=1)
    codes = (left / outer[:, None] * 127).round().to(torch.int8)
    return codes.flatten(), outer, left.mean()
""",
)
double.wrong(
    "unsigned codes",
    "codes should be int8 with a sign, not shifted to 0 to 254",
    r"int8|uint8|dtype|unsigned|signed|shift|offset of 127",
    """
    mean = absmax.mean()
    left = (absmax - mean).view(-1, block_size)
    outer = left.abs().amax(dim=1)
    codes = ((left / outer[:, None] * 127).round() + 127).to(torch.uint8)
    return codes.flatten(), outer, mean
""",
)
double.wrong(
    "always 256",
    "block_size is not used",
    r"block.?size|256|hard|fixed|constant(?! factor)",
    """
    mean = absmax.mean()
    codes, outer = [], []
    for left in (absmax - mean).split(256):
        s = left.abs().max()
        codes.append((left / s * 127).round().to(torch.int8))
        outer.append(s)
    return torch.cat(codes), torch.stack(outer), mean
""",
)
double.wrong(
    "strided blocks",
    "an outer block is block_size neighbours: view(-1, block_size), not view(block_size, -1)",
    r"view|neighbou?r|axis|dim|block_size, -1|transpos|column|outer block",
    """
    mean = absmax.mean()
    left = (absmax - mean).view(block_size, -1)
    outer = left.abs().amax(dim=0)
    codes = (left / outer * 127).round().to(torch.int8)
    return codes.flatten(), outer, mean
""",
)
double.wrong(
    "mean subtracted in place",
    "the scales that were handed over are changed",
    IN_PLACE,
    """
    mean = absmax.mean()
    absmax -= mean
    left = absmax.view(-1, block_size)
    outer = left.abs().amax(dim=1)
    codes = (left / outer[:, None] * 127).round().to(torch.int8)
    return codes.flatten(), outer, mean
""",
)
double.wrong(
    "mean left in, not rounded",
    "the mean is not taken out, and codes are cut off instead of rounded",
    MEAN + "|" + ROUND,
    """
    blocks = absmax.view(-1, block_size)
    outer = blocks.abs().amax(dim=1)
    codes = (blocks / outer[:, None] * 127).to(torch.int8)
    return codes.flatten(), outer, absmax.mean()
""",
)
double.wrong(
    "unknown helper",
    "absmax_quantize is not defined; the exercise before is called absmax_codes",
    r"absmax_quantize|defin|name",
    """
    mean = absmax.mean()
    codes, outer = absmax_quantize((absmax - mean).view(-1, block_size), 8)
    return codes.flatten(), outer, mean
""",
)
double.wrong(
    "the mean not returned",
    "three things should be returned; the mean is missing",
    r"\bmean\b|three|tuple|return|3 are asked for",
    """
    left = (absmax - absmax.mean()).view(-1, block_size)
    outer = left.abs().amax(dim=1)
    return (left / outer[:, None] * 127).round().to(torch.int8).flatten(), outer
""",
)
double.open(
    "mean as a Python number",
    "the signature says a tensor, the text only the mean",
    """
    mean = absmax.mean().item()
    left = (absmax - mean).view(-1, block_size)
    outer = left.abs().amax(dim=1)
    codes = (left / outer[:, None] * 127).round().to(torch.int8)
    return codes.flatten(), outer, mean
""",
)
double.right(
    "with the first exercise",
    """
def absmax_codes(blocks, bits):
    absmax = blocks.abs().amax(dim=1)
    scaled = blocks / absmax[:, None] * (2 ** (bits - 1) - 1)
    return scaled.round().to(torch.int8), absmax

def double_quantize(absmax: Tensor, block_size: int) -> tuple[Tensor, Tensor, Tensor]:
    mean = absmax.mean()
    codes, outer = absmax_codes((absmax - mean).view(-1, block_size), 8)
    return codes.flatten(), outer, mean
""",
)
double.right(
    "loop",
    """
    offset = absmax.sum() / absmax.numel()
    codes, outer = [], []
    for start in range(0, len(absmax), block_size):
        left = absmax[start : start + block_size] - offset
        s = left.abs().max()
        outer.append(s)
        codes += [torch.round(127 * left / s).to(torch.int8)]
    return torch.cat(codes), torch.stack(outer), offset
""",
)
double.right(
    "flat with repeated scales",
    """
    mean = torch.mean(absmax)
    left = absmax - mean
    outer = torch.stack([part.abs().amax() for part in left.split(block_size)])
    codes = left / outer.repeat_interleave(block_size) * 127
    return torch.round(codes).to(torch.int8), outer, mean
""",
)
double.right(
    "norm and unflatten",
    """
    mean = absmax.mean(dim=0)
    left = absmax.sub(mean).unflatten(0, (-1, block_size))
    outer = torch.linalg.vector_norm(left, ord=math.inf, dim=-1)
    codes = torch.einsum("bs,b->bs", left, 127 / outer).round().char()
    return codes.view(-1), outer, mean
""",
)
double.right(
    "double precision inside, guarded",
    """
    wide = absmax.double()
    mean = wide.mean()
    left = (wide - mean).reshape(len(absmax) // block_size, block_size)
    outer = left.abs().max(dim=1)[0]
    safe = torch.where(outer == 0, torch.ones_like(outer), outer)
    codes = (left / safe.unsqueeze(1)).mul(127).round()
    return codes.to(torch.int8).flatten(), outer.to(absmax.dtype), mean.to(absmax.dtype)
""",
)

# --- linear -------------------------------------------------------------------------------------

KEEPS = r"\bke(ep|pt)|sav(e|es|ed|ing)\b|memory|bytes|dequantized (weight|matrix)|holds"

linear = Exercise("quantization.linear", "class QuantizedProduct(torch.autograd.Function):")
_FORWARD = """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(packed)
        ctx.dequantize = dequantize
        return x @ dequantize(packed, x.dtype).T
"""
_BACKWARD = """
    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        return grad @ ctx.dequantize(packed, grad.dtype), None, None
"""
linear.wrong(
    "the weight saved",
    "the dequantized weight is saved, which is what should not be kept",
    KEEPS,
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        W = dequantize(packed, x.dtype)
        ctx.save_for_backward(W)
        return x @ W.T

    @staticmethod
    def backward(ctx, grad):
        (W,) = ctx.saved_tensors
        return grad @ W, None, None
""",
)
linear.wrong(
    "the weight kept on ctx",
    "the dequantized weight is kept as an attribute of ctx",
    KEEPS,
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.weight = dequantize(packed, x.dtype)
        return x @ ctx.weight.T

    @staticmethod
    def backward(ctx, grad):
        return grad @ ctx.weight, None, None
""",
)
linear.wrong(
    "the weight kept in half precision",
    "a 16-bit weight is kept, and the gradient is computed from its rounded values",
    KEEPS + r"|round|precision|16.bit",
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        W = dequantize(packed, x.dtype)
        ctx.save_for_backward(W.bfloat16())
        return x @ W.T

    @staticmethod
    def backward(ctx, grad):
        (W,) = ctx.saved_tensors
        return grad @ W.to(grad.dtype), None, None
""",
)
linear.wrong(
    "the weight in a closure",
    "a closure on ctx keeps the dequantized weight",
    KEEPS + r"|closure|lambda",
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        W = dequantize(packed, x.dtype)
        ctx.save_for_backward(packed)
        ctx.back = lambda grad: grad @ W
        return x @ W.T

    @staticmethod
    def backward(ctx, grad):
        return ctx.back(grad), None, None
""",
)
linear.wrong(
    "the weight in a cache",
    "a dictionary of the class keeps every dequantized weight",
    KEEPS + r"|cache|class|stale",
    """
    cache = {}

    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.key = (packed.data_ptr(), x.dtype)
        QuantizedProduct.cache[ctx.key] = dequantize(packed, x.dtype)
        return x @ QuantizedProduct.cache[ctx.key].T

    @staticmethod
    def backward(ctx, grad):
        return grad @ QuantizedProduct.cache[ctx.key], None, None
""",
)
linear.wrong(
    "x saved too",
    "x is kept although nothing needs it: the weight has no gradient",
    r"\bx\b|input|activation|no need",
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(x, packed)
        ctx.dequantize = dequantize
        return x @ dequantize(packed, x.dtype).T

    @staticmethod
    def backward(ctx, grad):
        x, packed = ctx.saved_tensors
        return grad @ ctx.dequantize(packed, x.dtype), None, None
""",
)
linear.wrong(
    "transposed in the backward pass",
    "the gradient of x is grad @ W, not grad @ W.T",
    r"transpos|\.T\b|shapes cannot|backward",
    _FORWARD
    + """
    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        return grad @ ctx.dequantize(packed, grad.dtype).T, None, None
""",
)
linear.wrong(
    "not transposed at all",
    "the forward product needs the transposed weight",
    r"transpos|\.T\b|shapes cannot|d_out|d_in",
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(packed)
        ctx.dequantize = dequantize
        return x @ dequantize(packed, x.dtype)

    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        return grad @ ctx.dequantize(packed, grad.dtype).T, None, None
""",
)
linear.wrong(
    "one gradient returned",
    "backward should return three things, None for packed and dequantize",
    r"three|None|number of gradients|gradients",
    _FORWARD
    + """
    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        return grad @ ctx.dequantize(packed, grad.dtype)
""",
)
linear.wrong(
    "zeros for packed",
    "packed has no gradient: None, not zeros",
    r"None|packed|no gradient",
    _FORWARD
    + """
    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        grad_x = grad @ ctx.dequantize(packed, grad.dtype)
        return grad_x, torch.zeros_like(packed), None
""",
)
linear.wrong(
    "gradient in the wrong place",
    "the gradients should come in the order of the arguments: x is the first",
    r"order|first|place|None|swap|gradient of x|no gradient",
    _FORWARD
    + """
    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        return None, None, grad @ ctx.dequantize(packed, grad.dtype)
""",
)
linear.wrong(
    "always in 32 bit",
    "the product should be computed in the dtype of x, not always in float32",
    r"dtype|float32|32 bit",
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(packed)
        ctx.dequantize = dequantize
        return x.float() @ dequantize(packed, torch.float32).T

    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        return grad @ ctx.dequantize(packed, torch.float32), None, None
""",
)
linear.wrong(
    "weight in float32, x as it is",
    "the weight is asked for in float32 whatever the dtype of x is",
    r"dtype|float32|32 bit",
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(packed)
        ctx.dequantize = dequantize
        return x @ dequantize(packed, torch.float32).T

    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        return grad @ ctx.dequantize(packed, torch.float32), None, None
""",
)
linear.wrong(
    "always in bfloat16",
    "computed in bfloat16 and converted back: not the dtype of x",
    r"dtype|bfloat16|16 bit|precision|round",
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(packed)
        ctx.dequantize = dequantize
        return (x.bfloat16() @ dequantize(packed, torch.bfloat16).T).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        product = grad.bfloat16() @ ctx.dequantize(packed, torch.bfloat16)
        return product.to(grad.dtype), None, None
""",
)
linear.wrong(
    "only two dimensions",
    "x may have any number of leading dimensions; mm takes matrices only",
    r"dimension|leading|shape|mm\b|2-?D|matri|batch|\(…",
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(packed)
        ctx.dequantize = dequantize
        return torch.mm(x, dequantize(packed, x.dtype).t())

    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        return torch.mm(grad, ctx.dequantize(packed, grad.dtype)), None, None
""",
)
linear.wrong(
    "leading dimensions lost",
    "the output should keep the leading dimensions of x",
    r"dimension|leading|shape|flatten|reshape|batch",
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(packed)
        ctx.dequantize, ctx.shape = dequantize, x.shape
        return x.reshape(-1, x.shape[-1]) @ dequantize(packed, x.dtype).T

    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        return (grad @ ctx.dequantize(packed, grad.dtype)).view(ctx.shape), None, None
""",
)
linear.wrong(
    "dequantize not kept",
    "backward does not know dequantize: keep it on ctx",
    r"dequantize|defin|ctx",
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(packed)
        return x @ dequantize(packed, x.dtype).T

    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        return grad @ dequantize(packed, grad.dtype), None, None
""",
)
linear.wrong(
    "saved tensors not unpacked",
    "ctx.saved_tensors is a tuple",
    r"tuple|unpack|saved_tensors",
    _FORWARD
    + """
    @staticmethod
    def backward(ctx, grad):
        packed = ctx.saved_tensors
        return grad @ ctx.dequantize(packed, grad.dtype), None, None
""",
)
linear.open(
    "no static methods",
    "the stub has @staticmethod; without it torch calls them just the same",
    """
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(packed)
        ctx.dequantize = dequantize
        return x @ dequantize(packed, x.dtype).T

    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        return grad @ ctx.dequantize(packed, grad.dtype), None, None
""",
)
linear.wrong(
    "forward without return",
    "forward returns nothing",
    RETURN,
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(packed)
        ctx.dequantize = dequantize
        out = x @ dequantize(packed, x.dtype).T
"""
    + _BACKWARD,
)
linear.wrong(
    "backward not written",
    "the stub of backward is left over",
    LEFT_OVER + "|backward",
    _FORWARD
    + """
    @staticmethod
    def backward(ctx, grad):
        raise NotImplementedError("your code here")
""",
)
linear.wrong(
    "gradient averaged over the batch",
    "the gradient of x is divided by the number of rows",
    r"divid|\bmean\b|averag|batch|factor|times (too|as)|scale",
    _FORWARD
    + """
    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        return grad @ ctx.dequantize(packed, grad.dtype) / grad.shape[0], None, None
""",
)
linear.wrong(
    "condition inverted",
    "the gradient of x is left out just where it is needed",
    r"needs_input_grad|None|invert|no gradient|gradient of x",
    _FORWARD
    + """
    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        if ctx.needs_input_grad[0]:
            return None, None, None
        return grad @ ctx.dequantize(packed, grad.dtype), None, None
""",
)
linear.wrong(
    "dequantize without dtype",
    "dequantize takes the dtype as its second argument",
    r"dtype|argument",
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(packed)
        ctx.dequantize = dequantize
        return x @ dequantize(packed).T

    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        return grad @ ctx.dequantize(packed), None, None
""",
)
linear.wrong(
    "weight saved, gradient transposed",
    "the dequantized weight is saved, and the gradient is transposed",
    KEEPS + r"|transpos|\.T\b|shapes cannot",
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        W = dequantize(packed, x.dtype)
        ctx.save_for_backward(W)
        return x @ W.T

    @staticmethod
    def backward(ctx, grad):
        (W,) = ctx.saved_tensors
        return grad @ W.T, None, None
""",
)
linear.open(
    "packed as an attribute",
    "small enough, but save_for_backward is the usual way; the text asks only for what is small",
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.packed, ctx.dequantize = packed, dequantize
        return x @ dequantize(packed, x.dtype).T

    @staticmethod
    def backward(ctx, grad):
        return grad @ ctx.dequantize(ctx.packed, grad.dtype), None, None
""",
)
linear.right("as in the text", _FORWARD + _BACKWARD)
linear.right(
    "F.linear and needs_input_grad",
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        weight = dequantize(packed, x.dtype)
        ctx.save_for_backward(packed)
        ctx.unpack = dequantize
        return F.linear(x, weight)

    @staticmethod
    def backward(ctx, grad):
        grad_x = None
        if ctx.needs_input_grad[0]:
            weight = ctx.unpack(ctx.saved_tensors[0], grad.dtype)
            grad_x = F.linear(grad, weight.t())
        return grad_x, None, None
""",
)
linear.right(
    "einsum",
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(packed)
        ctx.dequantize, ctx.dtype = dequantize, x.dtype
        return torch.einsum("...i,oi->...o", x, dequantize(packed, x.dtype))

    @staticmethod
    def backward(ctx, grad):
        packed = ctx.saved_tensors[0]
        return torch.einsum("...o,oi->...i", grad, ctx.dequantize(packed, ctx.dtype)), None, None
""",
)
linear.right(
    "flattened to a matrix",
    """
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.save_for_backward(packed)
        ctx.dequantize = dequantize
        ctx.x_shape = x.shape
        W = dequantize(packed, x.dtype)
        out = torch.mm(x.reshape(-1, W.shape[1]), W.t())
        return out.view(*x.shape[:-1], W.shape[0])

    @staticmethod
    def backward(ctx, grad):
        (packed,) = ctx.saved_tensors
        W = ctx.dequantize(packed, grad.dtype)
        return torch.mm(grad.reshape(-1, W.shape[0]), W).view(ctx.x_shape), None, None
""",
)
linear.right(
    "helper and tensordot",
    """
def weight_of(ctx, dtype):
    return ctx.dequantize(*ctx.saved_tensors, dtype)

class QuantizedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, packed, dequantize):
        ctx.dequantize = dequantize
        ctx.save_for_backward(packed)
        W = dequantize(packed, x.dtype)
        out = torch.tensordot(x, W, dims=([-1], [1]))
        del W
        return out

    @staticmethod
    def backward(ctx, grad):
        grads = [torch.tensordot(grad, weight_of(ctx, grad.dtype), dims=([-1], [0]))]
        return tuple(grads + [None, None])
""",
)

# --- merge --------------------------------------------------------------------------------------

BASE = r"original|dequantize|trained on|saw"
SCALING = r"scaling|scale|(?<!constant )factor"

merge = Exercise("quantization.merge", "def merge(base, A, B, scaling, dtype):")
merge.wrong(
    "into the original",
    "merged into the original weight, which the adapter was not trained on",
    BASE,
    "    return (base.original + scaling * (B @ A)).to(dtype)",
)
merge.wrong(
    "quantized again",
    "the merged weight is quantized again, which rounds the update away",
    r"quantiz\w+ (it |the \w+ |merged \w+ )?again|re-?quantiz|quantiz|rounds",
    """
    merged = base.dequantize() + scaling * (B @ A)
    return base.quantize(merged).dequantize().to(dtype)
""",
)
merge.wrong(
    "the quantized weight itself",
    "returns another quantized weight instead of a tensor of this dtype",
    r"quantiz|tensor|dtype",
    """
    merged = base.dequantize() + scaling * (B @ A)
    return base.quantize(merged)
""",
)
merge.wrong(
    "no scaling",
    "the update is not scaled",
    SCALING,
    "    return (base.dequantize() + B @ A).to(dtype)",
)
merge.wrong(
    "scaling on both",
    "the base is scaled too",
    SCALING + r"|base|parenthes",
    "    return (scaling * (base.dequantize() + B @ A)).to(dtype)",
)
merge.wrong(
    "scaled twice",
    "scaling is applied twice",
    SCALING + r"|twice",
    "    return (base.dequantize() + (scaling * B) @ (scaling * A)).to(dtype)",
)
merge.wrong(
    "divided by the rank again",
    "scaling already holds alpha / r: dividing by r once more is one too many",
    SCALING + r"|rank|\br\b|divid",
    "    return (base.dequantize() + scaling / A.shape[0] * (B @ A)).to(dtype)",
)
merge.wrong(
    "subtracted",
    "the update is subtracted instead of added",
    r"subtract|sign|minus|add",
    "    return (base.dequantize() - scaling * (B @ A)).to(dtype)",
)
merge.wrong(
    "transposed update",
    "the update is B @ A, (d_out, d_in); A.T @ B.T is transposed",
    r"transpos|B @ A|shape|size of tensor|order",
    "    return (base.dequantize() + scaling * (A.T @ B.T)).to(dtype)",
)
merge.wrong(
    "A before B",
    "the factors are swapped: B @ A",
    r"B @ A|swap|order|shape|transpos",
    "    return (base.dequantize() + scaling * (A @ B)).to(dtype)",
)
merge.wrong(
    "rounded before adding",
    "base and update are rounded before the sum, not once after it",
    EARLY,
    "    return base.dequantize().to(dtype) + (scaling * (B @ A)).to(dtype)",
)
merge.wrong(
    "base rounded first",
    "the base is rounded to dtype before the update is added",
    EARLY + "|twice",
    "    return (base.dequantize().to(dtype) + scaling * (B @ A)).to(dtype)",
)
merge.wrong(
    "update rounded first",
    "the update is rounded to dtype before it is added",
    EARLY + "|twice",
    "    return (base.dequantize() + (scaling * (B @ A)).to(dtype)).to(dtype)",
)
merge.wrong(
    "factors rounded first",
    "A and B are rounded to dtype before they are multiplied",
    EARLY + "|twice",
    "    return (base.dequantize() + scaling * (B.to(dtype) @ A.to(dtype)).float()).to(dtype)",
)
merge.wrong(
    "through bfloat16",
    "rounded to bfloat16 on the way, whatever dtype is asked for",
    EARLY + "|twice|bfloat16|dtype",
    "    return (base.dequantize() + scaling * (B @ A)).bfloat16().to(dtype)",
)
merge.wrong(
    "dtype forgotten",
    "the weight is not converted to the dtype that is asked for",
    r"dtype|float32",
    "    return base.dequantize() + scaling * (B @ A)",
)
merge.wrong(
    "always float16",
    "float16 is written in; dtype is not used",
    r"dtype|float16|hard|fixed",
    "    return (base.dequantize() + scaling * (B @ A)).half()",
)
merge.wrong(
    "only the update",
    "the base is missing",
    r"base|dequantize|update",
    "    return (scaling * (B @ A)).to(dtype)",
)
merge.wrong(
    "only the base",
    "the update is missing: add does not change the weight in place",
    r"update|B @ A|add_?\b|adapter",
    """
    W = base.dequantize()
    W.add(scaling * (B @ A))
    return W.to(dtype)
""",
)
merge.wrong(
    "half-way to the original",
    "the base is the mean of original and dequantized weight",
    BASE + r"|mean|averag",
    """
    W = (base.original + base.dequantize()) / 2
    return (W + scaling * (B @ A)).to(dtype)
""",
)
merge.wrong(
    "B scaled in place",
    "the adapter's B is changed",
    IN_PLACE,
    """
    B *= scaling
    return (base.dequantize() + B @ A).to(dtype)
""",
)
merge.wrong(
    "original, not scaled",
    "merged into the original weight, and without scaling",
    BASE + "|" + SCALING,
    "    return (base.original + B @ A).to(dtype)",
)
merge.wrong(
    "method not called",
    "base.dequantize is a method: parentheses are missing",
    r"call|parenthes|\(\)|method",
    "    return (base.dequantize + scaling * (B @ A)).to(dtype)",
)
merge.wrong(
    "misspelt method",
    "base has no dequantise; it is dequantize",
    r"dequanti[sz]e|attribute",
    "    return (base.dequantise() + scaling * (B @ A)).to(dtype)",
)
merge.wrong(
    "prints",
    "nothing is returned",
    RETURN,
    """
    merged = (base.dequantize() + scaling * (B @ A)).to(dtype)
    print(merged.shape, merged.dtype)
""",
)
merge.open(
    "added to what dequantize returned",
    "the text does not say whether dequantize() returns a weight of its own",
    """
    W = base.dequantize()
    W += scaling * (B @ A)
    return W.to(dtype)
""",
)
merge.right(
    "addmm",
    """
    W = base.dequantize().float()
    return torch.addmm(W, B.float(), A.float(), alpha=scaling).to(dtype)
""",
)
merge.right(
    "rank by rank",
    """
    merged = base.dequantize().clone()
    for i in range(A.shape[0]):
        merged += scaling * torch.outer(B[:, i], A[i])
    return merged.to(dtype)
""",
)
merge.right(
    "einsum",
    """
    update = torch.einsum("or,ri->oi", B, A).mul(scaling)
    return torch.add(base.dequantize(), update).type(dtype)
""",
)
merge.right(
    "double precision inside",
    """
    update = scaling * (B.double() @ A.double())
    return (base.dequantize().double() + update).to(dtype)
""",
)
merge.right(
    "without gradients, into an own tensor",
    """
    with torch.no_grad():
        W = torch.empty(B.size(0), A.size(1))
        W.copy_(base.dequantize())
        W.add_(F.linear(B, (scaling * A).T))
    return W.to(dtype=dtype)
""",
)
merge.right(
    "what the layer says to unit vectors",
    """
    eye = torch.eye(A.shape[-1])
    said = eye @ base.dequantize().float().T + ((eye @ A.float().T) @ B.float().T) * scaling
    return said.T.contiguous().to(dtype)
""",
)

EXERCISES = (absmax, codebook, quantize, pack, dequantize, bits, double, linear, merge)
