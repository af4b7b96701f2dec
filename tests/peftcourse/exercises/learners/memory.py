"""Answers to the exercises of lesson 01, written from its text alone."""

from tests.peftcourse.exercises.learners.answers import Exercise

# --- memory.parameters ---------------------------------------------------------------------------

parameters = Exercise("memory.parameters", "def parameters(config: dict) -> int:")

# What most learners begin with.
_READ = """
    d, f, v = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    n, heads = config["num_hidden_layers"], config["num_attention_heads"]
    tied, few = config["tie_word_embeddings"], config["num_key_value_heads"]
"""
_KV = r"key.?value|keys? and values?|\bk and v\b|k_proj|grouped|\bd?_?kv\b|narrower"
_TIE = r"\btie|tied|shares?\b.*embedding|head (\*?is\*?|shares)"
_NORM = r"\bnorms?\b"
_RETURN = r"\breturn|\bNone\b"

parameters.wrong(
    "all attention matrices are square",
    "keys and values are as wide as the queries, whatever num_key_value_heads says",
    _KV,
    _READ
    + """
    layer = 4 * d * d + 3 * d * f + 2 * d
    return (1 if tied else 2) * v * d + n * layer + d
""",
)
parameters.wrong(
    "head always counted",
    "the head is counted although it is the embedding",
    _TIE,
    _READ
    + """
    kv = d // heads * few
    return 2 * v * d + n * (2 * d * d + 2 * d * kv + 3 * d * f + 2 * d) + d
""",
)
parameters.wrong(
    "no head at all",
    "a head of its own is left out where the embedding is not tied",
    r"\bhead\b.*(own|missing|left out|count|untied|not tied)|untied|tie_word|tied|twice",
    _READ
    + """
    kv = d // heads * few
    return v * d + n * (2 * d * d + 2 * d * kv + 3 * d * f + 2 * d) + d
""",
)
parameters.wrong(
    "tied the wrong way round",
    "the head is counted when it is tied and left out when it is not",
    _TIE + r"|inverted|other way|wrong way",
    _READ
    + """
    kv = d // heads * few
    embeddings = 2 * v * d if tied else v * d
    return embeddings + n * (2 * d * d + 2 * d * kv + 3 * d * f + 2 * d) + d
""",
)
parameters.wrong(
    "tied if the key is there",
    "asks whether the entry exists, not whether it is true",
    _TIE + r"|\bTrue\b|\bvalue of",
    _READ
    + """
    kv = d // heads * few
    total = v * d + n * (2 * d * d + 2 * d * kv + 3 * d * f + 2 * d) + d
    if "tie_word_embeddings" not in config:
        total += v * d
    return total
""",
)
parameters.wrong(
    "last norm forgotten",
    "the norm before the head is missing",
    r"(last|final|one more) norm|norm before|norm.{0,60}(after|head)",
    _READ
    + """
    kv = d // heads * few
    return (2 - tied) * v * d + n * (2 * d * d + 2 * d * kv + 3 * d * f + 2 * d)
""",
)
parameters.wrong(
    "one norm in a layer",
    "a layer has two norms",
    r"two norms|norms? (in|of|per) (a|each|every) (layer|block)|second norm|2 ?\*? ?d\b.*norm",
    _READ
    + """
    kv = d // heads * few
    return (2 - tied) * v * d + n * (2 * d * d + 2 * d * kv + 3 * d * f + d) + d
""",
)
parameters.wrong(
    "three norms in a layer",
    "the norm before the head is counted in every layer",
    _NORM,
    _READ
    + """
    kv = d // heads * few
    return (2 - tied) * v * d + n * (2 * d * d + 2 * d * kv + 3 * d * f + 3 * d)
""",
)
parameters.wrong(
    "norms with a bias",
    "norms have d weights and no biases",
    _NORM + r"|\bbias",
    _READ
    + """
    kv = d // heads * few
    return (2 - tied) * v * d + n * (2 * d * d + 2 * d * kv + 3 * d * f + 4 * d) + 2 * d
""",
)
parameters.wrong(
    "two matrices in the feed-forward network",
    "gate, up and down are three",
    r"three|feed-?forward|\bmlp\b|gate|intermediate_size|3 ?\*? ?d",
    _READ
    + """
    kv = d // heads * few
    return (2 - tied) * v * d + n * (2 * d * d + 2 * d * kv + 2 * d * f + 2 * d) + d
""",
)
parameters.wrong(
    "biases of all linear layers",
    "a Llama has no biases",
    r"\bbias",
    _READ
    + """
    kv = d // heads * few
    attention = (d * d + d) + 2 * (d * kv + kv) + (d * d + d)
    feed_forward = 2 * (d * f + f) + (f * d + d)
    return (2 - tied) * v * d + n * (attention + feed_forward + 2 * d) + d
""",
)
parameters.wrong(
    "number of heads for their width",
    "the number of key and value heads is taken as their whole width",
    r"width of a head|head.{0,20}(width|wide|dim)|(width|wide|times).{0,30}head|//",
    _READ
    + """
    attention = 2 * d * d + 2 * d * few
    return (2 - tied) * v * d + n * (attention + 3 * d * f + 2 * d) + d
""",
)
parameters.wrong(
    "width divided by the key and value heads",
    "a head is d / num_attention_heads wide, not d / num_key_value_heads",
    r"num_attention_heads|width of a head|head.{0,20}(width|wide|dim)|" + _KV,
    _READ
    + """
    kv = d // few
    return (2 - tied) * v * d + n * (2 * d * d + 2 * d * kv + 3 * d * f + 2 * d) + d
""",
)
parameters.wrong(
    "heads are always 128 wide",
    "the width of a head is a constant of the presets, not d / num_attention_heads",
    r"128|num_attention_heads|width of a head|head.{0,20}(width|wide|dim)",
    _READ
    + """
    kv = 128 * few
    return (2 - tied) * v * d + n * (2 * d * d + 2 * d * kv + 3 * d * f + 2 * d) + d
""",
)
parameters.wrong(
    "whole division of the heads first",
    "few // heads is 0 as soon as there are fewer key and value heads",
    r"//|whole|integer|round|order|" + _KV,
    _READ
    + """
    kv = few // heads * d
    return (2 - tied) * v * d + n * (2 * d * d + 2 * d * kv + 3 * d * f + 2 * d) + d
""",
)
parameters.wrong(
    "output matrix narrow too",
    "o goes from all heads of queries to d, so it is d x d",
    r"o_proj|\bo\b|output (matrix|projection)|q and o|" + _KV,
    _READ
    + """
    kv = d // heads * few
    return (2 - tied) * v * d + n * (d * d + 3 * d * kv + 3 * d * f + 2 * d) + d
""",
)
parameters.wrong(
    "only the keys are narrow",
    "values have as few heads as keys",
    r"values?|v_proj|\bv\b|" + _KV,
    _READ
    + """
    kv = d // heads * few
    return (2 - tied) * v * d + n * (3 * d * d + d * kv + 3 * d * f + 2 * d) + d
""",
)
parameters.wrong(
    "embedding in every layer",
    "the brackets put the embedding into each layer",
    r"embedding.{0,40}(once|layer)|num_hidden_layers|bracket|parenthes|every layer|each layer",
    _READ
    + """
    kv = d // heads * few
    return n * ((2 - tied) * v * d + 2 * d * d + 2 * d * kv + 3 * d * f + 2 * d) + d
""",
)
parameters.wrong(
    "vocabulary of Llama 2",
    "the vocabulary is a constant and not vocab_size",
    r"vocab|32.?000|constant|embedding",
    _READ
    + """
    kv = d // heads * few
    return (2 - tied) * 32000 * d + n * (2 * d * d + 2 * d * kv + 3 * d * f + 2 * d) + d
""",
)
parameters.wrong(
    "square attention and no norms",
    "two mistakes: keys and values too wide, and no norm anywhere",
    _KV + "|" + _NORM,
    _READ
    + """
    embeddings = v * d if tied else 2 * v * d
    return embeddings + n * (4 * d * d + 3 * d * f)
""",
)
parameters.wrong(
    "in billions",
    "the number is rounded to billions",
    r"billion|1e9|10\*\*9|10\^9|unit|factor of|round|smaller",
    _READ
    + """
    kv = d // heads * few
    total = (2 - tied) * v * d + n * (2 * d * d + 2 * d * kv + 3 * d * f + 2 * d) + d
    return round(total / 1e9, 2)
""",
)
parameters.wrong(
    "prints the number",
    "the number is printed and not returned",
    _RETURN,
    _READ
    + """
    kv = d // heads * few
    print((2 - tied) * v * d + n * (2 * d * d + 2 * d * kv + 3 * d * f + 2 * d) + d)
""",
)
parameters.wrong(
    "misspelt entry",
    "num_key_values_heads is no entry of the configuration",
    r"num_key_value|KeyError|no entry|did you mean|key",
    """
    d, f = config["hidden_size"], config["intermediate_size"]
    kv = d // config["num_attention_heads"] * config["num_key_values_heads"]
    layer = 2 * d * d + 2 * d * kv + 3 * d * f + 2 * d
    embedding = config["vocab_size"] * d
    copies = 1 if config["tie_word_embeddings"] else 2
    return copies * embedding + config["num_hidden_layers"] * layer + d
""",
)
parameters.wrong(
    "entries as attributes",
    "config is a dictionary; its entries are read with brackets",
    r"dict|\[|bracket|attribute|AttributeError",
    """
    d = config.hidden_size
    kv = d // config.num_attention_heads * config.num_key_value_heads
    layer = 2 * d * d + 2 * d * kv + 3 * d * config.intermediate_size + 2 * d
    copies = 1 if config.tie_word_embeddings else 2
    return copies * config.vocab_size * d + config.num_hidden_layers * layer + d
""",
)
parameters.open(
    "a float of the same value",
    "the text says int by its annotation alone; true division makes a float of the right value",
    _READ
    + """
    kv = d / heads * few
    return (2 - tied) * v * d + n * (2 * d * d + 2 * d * kv + 3 * d * f + 2 * d) + d
""",
)
parameters.open(
    "takes the entries out of the configuration",
    "the result is right, but the caller's dictionary is empty; the text does not forbid it",
    """
    d, f = config.pop("hidden_size"), config.pop("intermediate_size")
    kv = d // config.pop("num_attention_heads") * config.pop("num_key_value_heads")
    layer = 2 * d * d + 2 * d * kv + 3 * d * f + 2 * d
    copies = 1 if config.pop("tie_word_embeddings") else 2
    return copies * config.pop("vocab_size") * d + config.pop("num_hidden_layers") * layer + d
""",
)

parameters.right(
    "one formula",
    _READ
    + """
    kv = d // heads * few
    return (1 if tied else 2) * v * d + n * (2 * d * (d + kv + 1) + 3 * d * f) + d
""",
)
parameters.right(
    "a list of shapes",
    """
    d = config["hidden_size"]
    wide = config["intermediate_size"]
    narrow = d * config["num_key_value_heads"] // config["num_attention_heads"]
    vocabulary = config["vocab_size"]
    shapes = [(vocabulary, d)]
    if not config["tie_word_embeddings"]:
        shapes.append((vocabulary, d))
    for _ in range(config["num_hidden_layers"]):
        shapes += [(d, d), (narrow, d), (narrow, d), (d, d)]
        shapes += [(wide, d), (wide, d), (d, wide)]
        shapes += [(d,), (d,)]
    shapes.append((d,))
    return sum(math.prod(shape) for shape in shapes)
""",
)
parameters.right(
    "a dictionary of parts",
    """
    width = config["hidden_size"]
    head = width // config["num_attention_heads"]
    layer = {
        "q": width * head * config["num_attention_heads"],
        "k": width * head * config["num_key_value_heads"],
        "v": width * head * config["num_key_value_heads"],
        "o": head * config["num_attention_heads"] * width,
        **dict.fromkeys(("gate", "up", "down"), width * config["intermediate_size"]),
        **dict.fromkeys(("norm 1", "norm 2"), width),
    }
    embedding = config["vocab_size"] * width
    head = 0 if config["tie_word_embeddings"] else embedding
    return embedding + head + sum(layer.values()) * config["num_hidden_layers"] + width
""",
)
parameters.right(
    "transformers on the meta device",
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**config))
    return sum(parameter.numel() for parameter in model.parameters())
""",
)
parameters.right(
    "linear layers on the meta device",
    """
class Layer(nn.Module):
    def __init__(self, d, kv, f):
        super().__init__()
        widths = [(d, d), (d, kv), (d, kv), (d, d), (d, f), (d, f), (f, d)]
        self.linear = nn.ModuleList(
            nn.Linear(i, o, bias=False, device="meta") for i, o in widths
        )
        self.norms = nn.ParameterList(torch.empty(d, device="meta") for _ in range(2))


def parameters(config):
    d = config["hidden_size"]
    kv = d // config["num_attention_heads"] * config["num_key_value_heads"]
    layer = Layer(d, kv, config["intermediate_size"])
    one = sum(p.numel() for p in layer.parameters())
    table = torch.empty(config["vocab_size"], d, device="meta").numel()
    outside = table if config["tie_word_embeddings"] else 2 * table
    return outside + config["num_hidden_layers"] * one + d
""",
)
parameters.right(
    "helper functions and a namespace",
    """
from types import SimpleNamespace


def attention(c):
    head = c.hidden_size // c.num_attention_heads
    return 2 * c.hidden_size * head * (c.num_attention_heads + c.num_key_value_heads)


def feed_forward(c):
    return 3 * c.hidden_size * c.intermediate_size


def parameters(config):
    c = SimpleNamespace(**config)
    total = c.vocab_size * c.hidden_size
    if not c.tie_word_embeddings:
        total *= 2
    for _ in range(c.num_hidden_layers):
        total += attention(c)
        total += feed_forward(c)
        total += 2 * c.hidden_size
    return total + c.hidden_size
""",
)
parameters.right(
    "numpy in 64 bit",
    _READ
    + """
    kv = few * (d // heads)
    rows = np.array([d, kv, kv, d, f, f, f, 1, 1], dtype=np.int64)
    outside = np.array([v, 0 if tied else v, 1], dtype=np.int64)
    return int(d * (n * rows.sum() + outside.sum()))
""",
)

# --- memory.states -------------------------------------------------------------------------------

states = Exercise(
    "memory.states",
    "def state_bytes(frozen, trained, frozen_bits, trained_bytes, moment_bytes, master):",
)

states.wrong(
    "bits for bytes",
    "frozen_bits is in bits, 8 to a byte",
    r"\bbits?\b|/ ?8|eight",
    """
    weights = frozen * frozen_bits + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = 2 * trained * moment_bytes + (4 * trained if master else 0)
    return weights, gradients, optimizer
""",
)
states.wrong(
    "whole bytes for a frozen weight",
    "whole division turns 4 bits into 0 bytes",
    r"//|whole|integer|fraction|round|half a byte|0 bytes|/ ?8",
    """
    weights = frozen * (frozen_bits // 8) + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = 2 * trained * moment_bytes + (4 * trained if master else 0)
    return weights, gradients, optimizer
""",
)
states.wrong(
    "fractions of a bit cut off",
    "frozen_bits may be 4.127; int makes it 4",
    r"\bint\b|fraction|float|round|cut|trunc|whole",
    """
    weights = frozen * int(frozen_bits) / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = 2 * trained * moment_bytes + (4 * trained if master else 0)
    return weights, gradients, optimizer
""",
)
states.wrong(
    "weights of what trains forgotten",
    "trained parameters have weights as well",
    r"(trained|train).{0,40}weights?|weights?.{0,40}(trained|train)",
    """
    weights = frozen * frozen_bits / 8
    gradients = trained * trained_bytes
    optimizer = 2 * trained * moment_bytes + (4 * trained if master else 0)
    return weights, gradients, optimizer
""",
)
states.wrong(
    "gradients for frozen ones too",
    "a frozen parameter has no gradient",
    r"frozen.{0,60}gradient|gradients?.{0,60}(frozen|only|train)",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = (frozen + trained) * trained_bytes
    optimizer = 2 * trained * moment_bytes + (4 * trained if master else 0)
    return weights, gradients, optimizer
""",
)
states.wrong(
    "states for all parameters",
    "a frozen parameter has no optimizer states",
    r"frozen.{0,60}(state|moment|optimizer)|(state|moment|optimizer).{0,60}(frozen|only|train)",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = 2 * (frozen + trained) * moment_bytes + (4 * trained if master else 0)
    return weights, gradients, optimizer
""",
)
states.wrong(
    "one moment",
    "AdamW has two moments",
    r"\btwo\b|\b2\b|twice|both|second (moment|state)|square",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = trained * moment_bytes + (4 * trained if master else 0)
    return weights, gradients, optimizer
""",
)
states.wrong(
    "no master copy",
    "the 32-bit copy is missing",
    r"master|32.?bit copy|copy of (the|each) (weight|trained)",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    return weights, gradients, 2 * trained * moment_bytes
""",
)
states.wrong(
    "master copy always",
    "the copy is counted also when there is none",
    r"master|32.?bit copy|copy of (the|each) (weight|trained)",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    return weights, gradients, trained * (2 * moment_bytes + 4)
""",
)
states.wrong(
    "master copy as wide as the weight",
    "the copy has 4 bytes each, not trained_bytes",
    r"master|32.?bit|4 bytes|four bytes",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = 2 * trained * moment_bytes
    if master:
        optimizer += trained * trained_bytes
    return weights, gradients, optimizer
""",
)
states.wrong(
    "master copy as wide as a moment",
    "the copy has 4 bytes each, not moment_bytes; the same for 32-bit moments",
    r"master|32.?bit|4 bytes|four bytes",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    return weights, gradients, trained * moment_bytes * (3 if master else 2)
""",
)
states.wrong(
    "32 bytes for a copy of 32 bits",
    "32 bits are 4 bytes",
    r"32.?bits?.{0,30}4|4 bytes|four bytes|bits|master",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = 2 * trained * moment_bytes + (32 * trained if master else 0)
    return weights, gradients, optimizer
""",
)
states.wrong(
    "master copy among the weights",
    "here the copy counts among the optimizer's states",
    r"master|copy.{0,60}(optimizer|state)",
    """
    weights = frozen * frozen_bits / 8 + trained * (trained_bytes + 4 * master)
    gradients = trained * trained_bytes
    return weights, gradients, 2 * trained * moment_bytes
""",
)
states.wrong(
    "master copy of everything",
    "the copy is of each trained parameter only",
    r"master|copy.{0,60}(only|train|frozen)",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = 2 * trained * moment_bytes + 4 * master * (trained + frozen)
    return weights, gradients, optimizer
""",
)
states.wrong(
    "gradients in 32 bit",
    "a gradient has the dtype of its parameter",
    r"gradient.{0,60}(dtype|trained_bytes|parameter|weight|precision|as many)|dtype",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    optimizer = 2 * trained * moment_bytes + (4 * trained if master else 0)
    return weights, 4 * trained, optimizer
""",
)
states.wrong(
    "gradients in 32 bit beside a master copy",
    "a gradient has the dtype of its parameter, master copy or not",
    r"gradient.{0,60}(dtype|trained_bytes|parameter|weight|precision|as many)|dtype",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * (4 if master else trained_bytes)
    optimizer = trained * (2 * moment_bytes + (4 if master else 0))
    return weights, gradients, optimizer
""",
)
states.wrong(
    "gradients of a moment's size",
    "a gradient has trained_bytes, not moment_bytes",
    r"gradient.{0,60}(dtype|trained_bytes|parameter|weight|precision|as many)|dtype",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * moment_bytes
    optimizer = trained * (2 * moment_bytes + (4 if master else 0))
    return weights, gradients, optimizer
""",
)
states.wrong(
    "order of the three",
    "gradients come second and states third",
    r"order|swap|exchang|second|third|place",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = 2 * trained * moment_bytes + (4 * trained if master else 0)
    return weights, optimizer, gradients
""",
)
states.wrong(
    "frozen and trained exchanged",
    "gradients and states are those of the frozen parameters",
    r"frozen|swap|exchang|mixed up",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = frozen * trained_bytes
    optimizer = 2 * frozen * moment_bytes + (4 * frozen if master else 0)
    return weights, gradients, optimizer
""",
)
states.wrong(
    "the sum",
    "the three numbers are wanted, not their sum",
    r"tuple|three|sum|unpack|iterable",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = 2 * trained * moment_bytes + (4 * trained if master else 0)
    return weights + gradients + optimizer
""",
)
states.wrong(
    "in GB",
    "bytes are asked for",
    r"\bGB\b|GiB|1e9|10\*\*9|10\^9|unit|factor of|billion",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = 2 * trained * moment_bytes + (4 * trained if master else 0)
    return tuple(size / 1e9 for size in (weights, gradients, optimizer))
""",
)
states.wrong(
    "returns with a master copy only",
    "without a master copy nothing is returned",
    _RETURN,
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = 2 * trained * moment_bytes
    if master:
        optimizer += 4 * trained
        return weights, gradients, optimizer
""",
)
states.wrong(
    "four bytes in all for the copy",
    "4 bytes are added once and not for each trained parameter",
    r"master|each|per parameter|copy|\btrained\b",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = 2 * trained * moment_bytes + 4 * master
    return weights, gradients, optimizer
""",
)
states.wrong(
    "one moment, for everything",
    "two mistakes: one moment, and frozen parameters have it too",
    r"\btwo\b|\b2\b|twice|both|frozen|second (moment|state)",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = (frozen + trained) * moment_bytes + (4 * trained if master else 0)
    return weights, gradients, optimizer
""",
)
states.wrong(
    "misspelt argument",
    "moments_bytes is not defined; the argument is moment_bytes",
    r"moment_bytes|moments_bytes|not defined|NameError",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = 2 * trained * moments_bytes + (4 * trained if master else 0)
    return weights, gradients, optimizer
""",
)
states.wrong(
    "stub's last line left",
    "raise NotImplementedError stands before the return",
    r"NotImplementedError|left.?over|remove|delete",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = 2 * trained * moment_bytes + (4 * trained if master else 0)
    raise NotImplementedError("your code here")
    return weights, gradients, optimizer
""",
)
states.wrong(
    "a dictionary",
    "a tuple of three is asked for",
    r"tuple|dict|three",
    """
    return {
        "weights": frozen * frozen_bits / 8 + trained * trained_bytes,
        "gradients": trained * trained_bytes,
        "optimizer states": 2 * trained * moment_bytes + 4 * trained * master,
    }
""",
)
states.open(
    "a list of the three",
    "the annotation says tuple, and a list unpacks like one",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    return [weights, trained * trained_bytes, trained * (2 * moment_bytes + 4 * master)]
""",
)
states.open(
    "weights rounded up to bytes",
    "the text does not say what half a byte at the end is",
    """
    weights = math.ceil(frozen * frozen_bits / 8) + trained * trained_bytes
    return weights, trained * trained_bytes, trained * (2 * moment_bytes + 4 * master)
""",
)

states.right(
    "three lines",
    """
    weights = frozen * frozen_bits / 8 + trained * trained_bytes
    gradients = trained * trained_bytes
    optimizer = trained * (2 * moment_bytes + (4 if master else 0))
    return weights, gradients, optimizer
""",
)
states.right(
    "everything in bits",
    """
    weight_bits = frozen * frozen_bits + trained * trained_bytes * 8
    gradient_bits = 8 * trained * trained_bytes
    state_bits = 8 * trained * moment_bytes * 2
    if master:
        state_bits = state_bits + 32 * trained
    return weight_bits / 8, gradient_bits / 8, state_bits / 8
""",
)
states.right(
    "summed over kinds in a loop",
    """
    total = {"weights": 0.0, "gradients": 0.0, "states": 0.0}
    kinds = [(frozen, frozen_bits / 8, False), (trained, trained_bytes, True)]
    for number, size, trains in kinds:
        total["weights"] += number * size
        if not trains:
            continue
        total["gradients"] += number * size
        for state in [moment_bytes] * 2 + [4] * bool(master):
            total["states"] += number * state
    return tuple(total.values())
""",
)
states.right(
    "a matrix product",
    """
    each = np.array(
        [
            [frozen_bits / 8, trained_bytes],
            [0, trained_bytes],
            [0, 2 * moment_bytes + 4 * bool(master)],
        ]
    )
    return tuple(float(size) for size in each @ np.array([frozen, trained], dtype=float))
""",
)
states.right(
    "a named tuple",
    """from typing import NamedTuple


class States(NamedTuple):
    weights: float
    gradients: float
    optimizer: float


def state_bytes(frozen, trained, frozen_bits, trained_bytes, moment_bytes, master):
    copy = 0
    if master:
        copy = trained * torch.finfo(torch.float32).bits // 8
    return States(
        weights=frozen_bits * frozen / 8 + trained_bytes * trained,
        gradients=trained_bytes * trained,
        optimizer=moment_bytes * trained + moment_bytes * trained + copy,
    )
""",
)
states.right(
    "exact fractions",
    """
    from fractions import Fraction

    weights = Fraction(frozen_bits) / 8 * frozen + trained * trained_bytes
    gradients = Fraction(trained * trained_bytes)
    optimizer = Fraction(trained) * sum([moment_bytes, moment_bytes, 4 if master else 0])
    return float(weights), float(gradients), float(optimizer)
""",
)

# --- memory.quantized ----------------------------------------------------------------------------

quantized = Exercise("memory.quantized", "def nf4_bytes(rows: int, columns: int, double: bool):")

_UP = r"round(ed|ing|s)? up|ceil|part(ial|ly)|incomplete|last (block|group|byte)|remainder|shorter"

quantized.wrong(
    "blocks within rows",
    "blocks run along the flattened matrix, across the ends of rows",
    r"flatten|across|ends? of rows?|row",
    """
    blocks = rows * math.ceil(columns / 64)
    constants = blocks + 4 * math.ceil(blocks / 256) + 4 if double else 4 * blocks
    return math.ceil(rows * columns / 2) + constants
""",
)
quantized.wrong(
    "last block without a constant",
    "the incomplete block at the end needs a constant too",
    _UP,
    """
    blocks = rows * columns // 64
    constants = blocks + 4 * math.ceil(blocks / 256) + 4 if double else 4 * blocks
    return math.ceil(rows * columns / 2) + constants
""",
)
quantized.wrong(
    "rounded up after whole division",
    "math.ceil of a whole division does nothing",
    _UP + r"|//",
    """
    size = rows * columns
    blocks = math.ceil(size // 64)
    if double:
        return math.ceil(size / 2) + blocks + 4 * math.ceil(blocks / 256) + 4
    return math.ceil(size / 2) + 4 * blocks
""",
)
quantized.wrong(
    "always one block more",
    "a matrix of full blocks has no further one",
    r"exact|multiple|one (block|constant) (more|too many)|too many|off by one|full block|\+ ?1",
    """
    size = rows * columns
    blocks = size // 64 + 1
    if double:
        return (size + 1) // 2 + blocks + 4 * math.ceil(blocks / 256) + 4
    return (size + 1) // 2 + 4 * blocks
""",
)
quantized.wrong(
    "always one scale more",
    "256 constants exactly have one scale, not two",
    r"exact|multiple|one (scale|group) (more|too many)|too many|off by one|256|ceil|\+ ?1",
    """
    size = rows * columns
    blocks = -(-size // 64)
    if double:
        return (size + 1) // 2 + blocks + 4 * (blocks // 256 + 1) + 4
    return (size + 1) // 2 + 4 * blocks
""",
)
quantized.wrong(
    "scales rounded down",
    "fewer than 256 constants at the end share a scale as well",
    _UP + r"|256",
    """
    blocks = math.ceil(rows * columns / 64)
    constants = blocks + 4 * (blocks // 256) + 4 if double else 4 * blocks
    return math.ceil(rows * columns / 2) + constants
""",
)
quantized.wrong(
    "constants of 16 bit",
    "a constant has 32 bits, 4 bytes",
    r"32.?bits?|4 bytes|four bytes|constant",
    """
    blocks = math.ceil(rows * columns / 64)
    constants = blocks + 2 * math.ceil(blocks / 256) + 2 if double else 2 * blocks
    return math.ceil(rows * columns / 2) + constants
""",
)
quantized.wrong(
    "mean forgotten",
    "the mean of the constants is stored once, in 4 bytes",
    r"\bmean\b|offset|once",
    """
    blocks = math.ceil(rows * columns / 64)
    constants = blocks + 4 * math.ceil(blocks / 256) if double else 4 * blocks
    return math.ceil(rows * columns / 2) + constants
""",
)
quantized.wrong(
    "a mean for each group",
    "there is one mean for the matrix, not one for 256 constants",
    r"\bmean\b|offset|once",
    """
    blocks = math.ceil(rows * columns / 64)
    constants = blocks + 8 * math.ceil(blocks / 256) if double else 4 * blocks
    return math.ceil(rows * columns / 2) + constants
""",
)
quantized.wrong(
    "scales for 256 weights",
    "256 constants share a scale, not 256 weights",
    r"256.{0,40}(constant|block)|(constant|block|scale).{0,40}256",
    """
    size = rows * columns
    blocks = math.ceil(size / 64)
    constants = blocks + 4 * math.ceil(size / 256) + 4 if double else 4 * blocks
    return math.ceil(size / 2) + constants
""",
)
quantized.wrong(
    "8 bytes for 8 bits",
    "a constant of 8 bits is one byte",
    r"8.?bits?|one byte|1 byte|single byte",
    """
    blocks = math.ceil(rows * columns / 64)
    constants = 8 * blocks + 4 * math.ceil(blocks / 256) + 4 if double else 4 * blocks
    return math.ceil(rows * columns / 2) + constants
""",
)
quantized.wrong(
    "32-bit constants kept",
    "8-bit constants take the place of those in 32 bit",
    r"instead|in place of|replac|both|still|keeps?|kept|8.?bit.{0,40}not",
    """
    blocks = math.ceil(rows * columns / 64)
    total = math.ceil(rows * columns / 2) + 4 * blocks
    if double:
        total += blocks + 4 * math.ceil(blocks / 256) + 4
    return total
""",
)
quantized.wrong(
    "scales of one byte",
    "the scale of 256 constants has 32 bits",
    r"scale.{0,40}(32|4 bytes|four)|(32|4 bytes|four).{0,40}(scale|256)|256",
    """
    blocks = math.ceil(rows * columns / 64)
    constants = blocks + math.ceil(blocks / 256) + 4 if double else 4 * blocks
    return math.ceil(rows * columns / 2) + constants
""",
)
quantized.wrong(
    "a byte for each code",
    "two codes share a byte",
    r"two codes|half a byte|4.?bits?|codes?.{0,30}(byte|half|two|/ ?2)",
    """
    blocks = math.ceil(rows * columns / 64)
    constants = blocks + 4 * math.ceil(blocks / 256) + 4 if double else 4 * blocks
    return rows * columns + constants
""",
)
quantized.wrong(
    "half a byte lost",
    "an odd number of codes needs one byte more",
    r"odd|" + _UP + r"|half a byte|(last|single) code",
    """
    blocks = math.ceil(rows * columns / 64)
    constants = blocks + 4 * math.ceil(blocks / 256) + 4 if double else 4 * blocks
    return rows * columns // 2 + constants
""",
)
quantized.wrong(
    "half a byte returned",
    "an odd number of codes gives half a byte; bytes are whole",
    r"odd|" + _UP + r"|half a byte|whole|\bint\b|fraction",
    """
    blocks = math.ceil(rows * columns / 64)
    constants = blocks + 4 * math.ceil(blocks / 256) + 4 if double else 4 * blocks
    return rows * columns / 2 + constants
""",
)
quantized.wrong(
    "codes packed row by row",
    "codes are packed along the flattened matrix, not within a row",
    r"flatten|across|ends? of rows?|row|odd",
    """
    blocks = math.ceil(rows * columns / 64)
    constants = blocks + 4 * math.ceil(blocks / 256) + 4 if double else 4 * blocks
    return rows * math.ceil(columns / 2) + constants
""",
)
quantized.wrong(
    "4.5 bits on average",
    "an average takes part of a constant for the last block; it needs a whole one",
    _UP + r"|average|whole|exact",
    """
    bits = 4 + 8 / 64 + 32 / (64 * 256) if double else 4 + 32 / 64
    return math.ceil(rows * columns * bits / 8)
""",
)
quantized.wrong(
    "double the wrong way round",
    "double quantization is computed when it is off",
    r"double.{0,60}(invert|wrong|other|swap|exchang|opposite|false|off|not)|invert|swap|exchang|"
    r"wrong way|other way|opposite",
    """
    blocks = math.ceil(rows * columns / 64)
    constants = 4 * blocks if double else blocks + 4 * math.ceil(blocks / 256) + 4
    return math.ceil(rows * columns / 2) + constants
""",
)
quantized.wrong(
    "64 and 256 exchanged",
    "blocks have 64 weights, groups 256 constants",
    r"\b64\b|swap|exchang",
    """
    blocks = math.ceil(rows * columns / 256)
    constants = blocks + 4 * math.ceil(blocks / 64) + 4 if double else 4 * blocks
    return math.ceil(rows * columns / 2) + constants
""",
)
quantized.wrong(
    "square matrices only",
    "rows times rows; the columns are not used",
    r"column|square|rows \* rows",
    """
    size = rows * rows
    blocks = math.ceil(size / 64)
    if double:
        return math.ceil(size / 2) + blocks + 4 * math.ceil(blocks / 256) + 4
    return math.ceil(size / 2) + 4 * blocks
""",
)
quantized.wrong(
    "in bits",
    "bytes are asked for",
    r"\bbits\b|factor (of )?8|8 times|eight times|/ ?8",
    """
    size = rows * columns
    blocks = math.ceil(size / 64)
    constants = 8 * blocks + 32 * math.ceil(blocks / 256) + 32 if double else 32 * blocks
    return 4 * size + constants
""",
)
quantized.wrong(
    "table of levels added",
    "the table, which all matrices share, is left out",
    r"table|levels?|64 bytes|too (many|much)",
    """
    blocks = math.ceil(rows * columns / 64)
    constants = blocks + 4 * math.ceil(blocks / 256) + 4 if double else 4 * blocks
    return math.ceil(rows * columns / 2) + constants + 16 * 4
""",
)
quantized.wrong(
    "row blocks and no mean",
    "two mistakes: blocks within rows, and the mean is missing",
    r"flatten|across|ends? of rows?|row|\bmean\b",
    """
    blocks = rows * math.ceil(columns / 64)
    constants = blocks + 4 * math.ceil(blocks / 256) if double else 4 * blocks
    return math.ceil(rows * columns / 2) + constants
""",
)
quantized.wrong(
    "constants defined for double only",
    "constants has no value unless double is true",
    r"constants|UnboundLocal|not (defined|associated|assigned)|without a value|before",
    """
    blocks = math.ceil(rows * columns / 64)
    if double:
        constants = blocks + 4 * math.ceil(blocks / 256) + 4
    return math.ceil(rows * columns / 2) + constants
""",
)
quantized.wrong(
    "does not return",
    "the sum is not returned",
    _RETURN,
    """
    blocks = math.ceil(rows * columns / 64)
    constants = blocks + 4 * math.ceil(blocks / 256) + 4 if double else 4 * blocks
    math.ceil(rows * columns / 2) + constants
""",
)
quantized.open(
    "a float of the same value",
    "the annotation says int; np.ceil makes floats of the right value",
    """
    blocks = np.ceil(rows * columns / 64)
    constants = blocks + 4 * np.ceil(blocks / 256) + 4 if double else 4 * blocks
    return float(np.ceil(rows * columns / 2) + constants)
""",
)

quantized.right(
    "math.ceil",
    """
    size = rows * columns
    codes = math.ceil(size / 2)
    blocks = math.ceil(size / 64)
    if not double:
        return codes + 4 * blocks
    return codes + blocks + 4 * math.ceil(blocks / 256) + 4
""",
)
quantized.right(
    "whole division of negative numbers",
    """
    size = rows * columns
    blocks = -(-size // 64)
    constants = 4 * blocks
    if double:
        constants = 4 + blocks - 4 * (-blocks // 256)
    return constants - (-size // 2)
""",
)
quantized.right(
    "lengths of ranges",
    """
    weights = range(rows * columns)
    pairs, blocks = weights[::2], weights[::64]
    groups = blocks[::256]
    constants = len(blocks) + 4 * len(groups) + 4 if double else 4 * len(blocks)
    return len(pairs) + constants
""",
)
quantized.right(
    "divmod and bits",
    """
def pieces(number, size):
    full, rest = divmod(number, size)
    return full + 1 if rest else full


def nf4_bytes(rows, columns, double):
    number = rows * columns
    bits = 8 * pieces(4 * number, 8)
    constants = pieces(number, 64)
    bits += constants * (8 if double else 32)
    if double:
        bits += 32 * pieces(constants, 256)
        bits += 32
    assert bits % 8 == 0
    return bits // 8
""",
)
quantized.right(
    "tensors on the meta device",
    """
    size = rows * columns
    blocks = size // 64 + (size % 64 > 0)
    tensors = [torch.empty(size // 2 + size % 2, dtype=torch.uint8, device="meta")]
    if double:
        groups = (blocks + 255) // 256
        tensors.append(torch.empty(blocks, dtype=torch.uint8, device="meta"))
        tensors.append(torch.empty(groups, dtype=torch.float32, device="meta"))
        tensors.append(torch.empty((), dtype=torch.float32, device="meta"))
    else:
        tensors.append(torch.empty(blocks, dtype=torch.float32, device="meta"))
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
""",
)
quantized.right(
    "rounding up by adding",
    """
    n = rows * columns
    total = (n + 1) >> 1
    b = (n + 63) >> 6
    total += b if double else b << 2
    total += (((b + 255) >> 8) + 1) << 2 if double else 0
    return total
""",
)

# --- memory.saved --------------------------------------------------------------------------------

saved = Exercise("memory.saved", "def saved_bytes(forward, parameters: list[Tensor]) -> int:")

_ONCE = r"twice|once|same (storage|memory|tensor)|shared|duplicate|several times|more than once"
_STORAGE = r"storage|in full|whole memory|memory behind|view"
_WEIGHTS = r"parameter|weight"

saved.wrong(
    "size of the tensor, not of its storage",
    "a view counts with its own bytes and not with the memory behind it",
    _STORAGE,
    """
    own = {p.untyped_storage().data_ptr() for p in parameters}
    kept = {}

    def pack(tensor):
        address = tensor.untyped_storage().data_ptr()
        if address not in own:
            kept[address] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "every tensor that is kept",
    "a storage that two operations keep counts twice",
    _ONCE,
    """
    own = {p.untyped_storage().data_ptr() for p in parameters}
    total = 0

    def pack(tensor):
        nonlocal total
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            total += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return total
""",
)
saved.wrong(
    "parameters counted",
    "the storages of the parameters are counted",
    _WEIGHTS,
    """
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "parameters recognized by identity",
    "a transposed parameter is another object with the same storage",
    _WEIGHTS + r"|transpos|\bid\b|\bis\b|identity|same storage",
    """
    kept = {}

    def pack(tensor):
        if not any(tensor is parameter for parameter in parameters):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "parameters recognized by their class",
    "a transposed parameter is no nn.Parameter any more; and any nn.Parameter is left out",
    _WEIGHTS + r"|transpos|isinstance|class|same storage",
    """
    kept = {}

    def pack(tensor):
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "parameters recognized by their shape",
    "activations of a parameter's shape are left out, transposed parameters are not",
    _WEIGHTS + r"|shape|transpos|address|data_ptr",
    """
    shapes = {parameter.shape for parameter in parameters}
    kept = {}

    def pack(tensor):
        if tensor.shape not in shapes:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "address of the tensor",
    "tensor.data_ptr() is where a view begins, not its storage",
    _STORAGE + r"|offset|begin|start",
    """
    own = {p.data_ptr() for p in parameters}
    kept = {}

    def pack(tensor):
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "address of the parameter, not of its storage",
    "a parameter that is a view has its storage's address elsewhere",
    _STORAGE + r"|offset|begin|start",
    """
    own = {p.data_ptr() for p in parameters}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "once for each tensor object",
    "tensors are told apart by id; two of them may have one storage",
    _ONCE + r"|\bid\b|storage",
    """
    own = {p.untyped_storage().data_ptr() for p in parameters}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[id(tensor)] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "once for each shape of a storage",
    "views of other shapes count their storage again",
    _ONCE + r"|shape|view",
    """
    own = {p.untyped_storage().data_ptr() for p in parameters}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr(), tuple(tensor.shape)] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "a set of sizes",
    "two storages of the same size count as one",
    r"same size|set\b|equal|address|data_ptr|sizes|too few|missing|each storage",
    """
    own = {p.untyped_storage().data_ptr() for p in parameters}
    sizes = set()

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes.add(storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(sizes)
""",
)
saved.wrong(
    "only what requires a gradient",
    "inputs that need no gradient are kept too",
    r"requires?_?.?(a )?grad|needs? no gradient|without (a )?gradient",
    """
    own = {p.untyped_storage().data_ptr() for p in parameters}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if tensor.requires_grad and storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "no leaves",
    "the input is a leaf too, and is kept",
    r"\bleaf|leaves|input|" + _WEIGHTS,
    """
    own = {p.untyped_storage().data_ptr() for p in parameters}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if not tensor.is_leaf and storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "parameters taken off at the end",
    "not all parameters are among what is kept, so their sum is not what has to go",
    _WEIGHTS + r"|negative|not every|not all",
    """
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values()) - sum(p.numel() * p.element_size() for p in parameters)
""",
)
saved.wrong(
    "pack returns nothing",
    "what pack returns is kept in place of the tensor: None, so memory is used again and backward "
    "has nothing",
    r"pack.{0,40}return|return.{0,40}pack|None|backward (fails|cannot)|in place of|freed|reused",
    """
    own = {p.untyped_storage().data_ptr() for p in parameters}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda nothing: nothing):
        forward()
    return sum(kept.values())
""",
)
saved.open(
    "unpack returns nothing",
    "the number is right, and a backward pass later would find nothing; the docstring asks for "
    "the number alone",
    """
    own = {p.untyped_storage().data_ptr() for p in parameters}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    def unpack(tensor):
        pass

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "forward twice",
    "forward is called twice, once to warm up",
    r"(call|run|ran)\w*.{0,30}(once|twice|2|two)|twice|once|second time",
    """
    own = {p.untyped_storage().data_ptr() for p in parameters}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    forward()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "forward after the with block",
    "the hooks are gone when forward runs",
    r"\bwith\b|hooks?|within|inside|\b0 bytes|nothing",
    """
    own = {p.untyped_storage().data_ptr() for p in parameters}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        pass
    forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "forward without autograd",
    "under no_grad autograd keeps nothing",
    r"no_grad|grad mode|keeps? nothing|\b0 bytes|gradients? (is|are|was|were) (off|switched)",
    """
    own = {p.untyped_storage().data_ptr() for p in parameters}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.no_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "counts in unpack",
    "unpack is called in the backward pass, which does not run here",
    r"unpack|\bpack\b|backward|\b0 bytes|nothing",
    """
    own = {p.untyped_storage().data_ptr() for p in parameters}
    kept = {}

    def unpack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, unpack):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "numbers for bytes",
    "nbytes() is in bytes already; times element_size is too much",
    r"nbytes|element_size|bytes already|factor|4 times|four times|too (much|large|many)",
    """
    own = {p.untyped_storage().data_ptr() for p in parameters}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "every number has four bytes",
    "the dtype decides how many bytes a number has",
    r"dtype|element_size|nbytes|16.?bit|64.?bit|bytes (each|a number|per)|four|\b4\b",
    """
    own = {p.untyped_storage().data_ptr() for p in parameters}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            base = tensor if tensor._base is None else tensor._base
            kept[storage.data_ptr()] = 4 * max(base.numel(), tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.open(
    "data_ptr without brackets",
    "the methods of two storage objects differ, but newer PyTorch has one object for a storage",
    """
    own = {p.untyped_storage().data_ptr for p in parameters}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr not in own:
            kept[storage.data_ptr] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "tensor in a list of tensors",
    "`in` compares element by element; tensors of other shapes cannot be compared",
    r"\bin\b|compar|element|ambiguous|size of tensor|identity|data_ptr",
    """
    kept = {}

    def pack(tensor):
        if tensor not in parameters:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "one hook",
    "saved_tensors_hooks wants pack and unpack",
    r"unpack|missing|argument|two functions",
    """
    own = {p.untyped_storage().data_ptr() for p in parameters}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "bytes of the views, parameters included",
    "two mistakes: a tensor's bytes for its storage's, and parameters are counted",
    _STORAGE + "|" + _WEIGHTS,
    """
    kept = {}

    def pack(tensor):
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.wrong(
    "size of the result",
    "what forward returns is not what autograd keeps",
    r"hooks?|result|output|returns|keeps|saved",
    """
    result = forward()
    own = {p.untyped_storage().data_ptr() for p in parameters}
    storage = result.untyped_storage()
    return 0 if storage.data_ptr() in own else storage.nbytes()
""",
)

saved.right(
    "a dictionary by address",
    """
    own = {p.untyped_storage().data_ptr() for p in parameters}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(kept.values())
""",
)
saved.right(
    "collect first and count afterwards",
    """
    tensors = []

    def pack(tensor):
        tensors.append(tensor.detach())
        return len(tensors) - 1

    def unpack(index):
        return tensors[index]

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        result = forward()
    found = {t.untyped_storage().data_ptr(): t.untyped_storage() for t in tensors}
    for parameter in parameters:
        found.pop(parameter.untyped_storage().data_ptr(), None)
    del result
    return sum(len(storage) for storage in found.values())
""",
)
saved.right(
    "a class with two methods",
    """
class Ledger:
    def __init__(self, known):
        self.seen = set(known)
        self.total = 0

    def pack(self, tensor):
        storage = tensor.untyped_storage()
        address = storage.data_ptr()
        if address not in self.seen:
            self.seen.add(address)
            self.total += storage.nbytes()
        return tensor

    def unpack(self, tensor):
        return tensor


def saved_bytes(forward, parameters):
    ledger = Ledger(p.untyped_storage().data_ptr() for p in parameters)
    with torch.autograd.graph.saved_tensors_hooks(ledger.pack, ledger.unpack):
        forward()
    return ledger.total
""",
)
saved.right(
    "a set of pairs",
    """
    pairs = set()

    def key(tensor):
        storage = tensor.untyped_storage()
        return storage.data_ptr(), storage.nbytes()

    def pack(tensor):
        pairs.add(key(tensor))
        return tensor

    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept))
        forward()
    pairs.difference_update(map(key, parameters))
    return sum(size for _, size in pairs)
""",
)
saved.right(
    "nonlocal and a set of what has been seen",
    """
    seen, total = set(), 0
    for parameter in parameters:
        seen.add(parameter.untyped_storage().data_ptr())

    def pack(tensor):
        nonlocal total
        memory = tensor.untyped_storage()
        if memory.data_ptr() in seen:
            return tensor
        seen.add(memory.data_ptr())
        total += memory.size() * memory.element_size()
        return tensor

    def unpack(tensor):
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, unpack)
    with hooks:
        forward()
    return int(total)
""",
)
saved.right(
    "the backward pass gets a box",
    """@dataclass
class Box:
    tensor: Tensor
    storage: torch.UntypedStorage


def saved_bytes(forward, parameters):
    boxes = []

    def pack(tensor):
        box = Box(tensor, tensor.untyped_storage())
        boxes.append(box)
        return box

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda box: box.tensor):
        forward()
    sizes = {box.storage.data_ptr(): box.storage.nbytes() for box in boxes}
    weights = [parameter.untyped_storage().data_ptr() for parameter in parameters]
    return sum(size for address, size in sizes.items() if address not in weights)
""",
)

# --- memory.checkpoint ---------------------------------------------------------------------------

checkpoint = Exercise("memory.checkpoint", "class Checkpoint(torch.autograd.Function):")


def _indented(text: str) -> str:
    lines = text.strip("\n").splitlines()
    return "\n".join(f"        {line}" if line else "" for line in lines)


def _methods(forward: str, backward: str) -> str:
    """The class's body from those of its methods, written without an indent."""
    return (
        f"\n    @staticmethod\n    def forward(ctx, block, x):\n{_indented(forward)}\n\n"
        f"    @staticmethod\n    def backward(ctx, gradient):\n{_indented(backward)}\n"
    )


_FORWARD = """
ctx.block = block
ctx.state = torch.get_rng_state()
ctx.save_for_backward(x)
return block(x)
"""
_BACKWARD = """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    torch.set_rng_state(ctx.state)
    y = ctx.block(x)
y.backward(gradient)
return None, x.grad
"""
_RANDOM = r"random|generator|\brng|dropout|same numbers|state"
_AFTER = (
    r"(drawn|numbers|random|generator|dropout).{0,60}(after|later)|"
    r"(after|later).{0,60}(random|drawn|generator|numbers)|fork_rng|put back|come back|restor"
)

checkpoint.wrong(
    "other random numbers in the second run",
    "the generator's state is not set for the second run",
    _RANDOM,
    _methods(
        """
ctx.block = block
ctx.save_for_backward(x)
return block(x)
""",
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
with torch.enable_grad():
    y = ctx.block(x)
y.backward(gradient)
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "state taken after the block ran",
    "the state is the one after the first run",
    _RANDOM + r"|before",
    _methods(
        """
y = block(x)
ctx.block, ctx.state = block, torch.get_rng_state()
ctx.save_for_backward(x)
return y
""",
        _BACKWARD,
    ),
)
checkpoint.wrong(
    "generator not put back",
    "the state is set without fork_rng, so later random numbers repeat",
    _AFTER,
    _methods(
        _FORWARD,
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
torch.set_rng_state(ctx.state)
with torch.enable_grad():
    y = ctx.block(x)
y.backward(gradient)
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "generator put back to the forward pass",
    "afterwards the generator has the state of the forward pass and not of before backward",
    _AFTER,
    _methods(
        _FORWARD,
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
torch.set_rng_state(ctx.state)
with torch.enable_grad():
    y = ctx.block(x)
torch.set_rng_state(ctx.state)
y.backward(gradient)
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "state set before the fork",
    "set_rng_state stands before fork_rng, which then brings that state back",
    _AFTER + r"|before|inside|within",
    _methods(
        _FORWARD,
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
torch.set_rng_state(ctx.state)
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    y = ctx.block(x)
y.backward(gradient)
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "block outside the fork",
    "the block runs after fork_rng has put the generator back",
    _RANDOM + r"|inside|within|indent",
    _methods(
        _FORWARD,
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
with torch.random.fork_rng(devices=[]):
    torch.set_rng_state(ctx.state)
with torch.enable_grad():
    y = ctx.block(x)
y.backward(gradient)
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "the seed for the state",
    "the seed brings back the generator's beginning and not its state at the block",
    _RANDOM + r"|seed",
    _methods(
        """
ctx.block, ctx.seed = block, torch.initial_seed()
ctx.save_for_backward(x)
return block(x)
""",
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    torch.manual_seed(ctx.seed)
    y = ctx.block(x)
y.backward(gradient)
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "a fixed seed in both runs",
    "seeding in forward changes what the block returns: it is not block(x) any more",
    r"seed|random|dropout|is block\(x\)|same as block|forward",
    _methods(
        """
ctx.block = block
ctx.save_for_backward(x)
torch.manual_seed(0)
return block(x)
""",
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    torch.manual_seed(0)
    y = ctx.block(x)
y.backward(gradient)
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "fork in the forward pass too",
    "the first run does not advance the generator, so the next dropout drops the same",
    r"random|generator|\brng|advance|fork|next|following",
    _methods(
        """
ctx.block, ctx.state = block, torch.get_rng_state()
ctx.save_for_backward(x)
with torch.random.fork_rng(devices=[]):
    return block(x)
""",
        _BACKWARD,
    ),
)
checkpoint.wrong(
    "dropout off in the second run",
    "the second run is in eval mode and drops nothing, and the block stays there",
    _RANDOM + r"|eval|mode",
    _methods(
        _FORWARD,
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
if isinstance(ctx.block, nn.Module):
    ctx.block.eval()
with torch.enable_grad():
    y = ctx.block(x)
y.backward(gradient)
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "x not detached",
    "the second run is joined to the graph before x; gradients run down there twice",
    r"detach|leaf|graph (of|before|behind)|x\.grad|twice|before x|\bNone\b|requires_grad",
    _methods(
        _FORWARD,
        """
(x,) = ctx.saved_tensors
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    torch.set_rng_state(ctx.state)
    y = ctx.block(x)
y.backward(gradient)
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "detached and no gradient asked for",
    "the detached x needs requires_grad_(), or it gets no gradient",
    r"requires_grad|gradient of x|x\.grad|no gradient|\bNone\b|does not require",
    _methods(
        _FORWARD,
        """
(x,) = ctx.saved_tensors
x = x.detach()
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    torch.set_rng_state(ctx.state)
    y = ctx.block(x)
y.backward(gradient)
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "second run without a graph",
    "inside backward no graph is built unless torch.enable_grad() says so",
    r"enable_grad|no graph|builds? (no|a) graph|does not require grad|grad_fn",
    _methods(
        _FORWARD,
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
with torch.random.fork_rng(devices=[]):
    torch.set_rng_state(ctx.state)
    y = ctx.block(x)
y.backward(gradient)
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "gradient of x alone",
    "torch.autograd.grad leaves the parameters without gradients",
    r"parameters?|weights?|\.grad\b|autograd\.grad",
    _methods(
        _FORWARD,
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    torch.set_rng_state(ctx.state)
    y = ctx.block(x)
(of_x,) = torch.autograd.grad(y, x, gradient)
return None, of_x
""",
    ),
)
checkpoint.wrong(
    "sum instead of the gradient from above",
    "the incoming gradient is ignored",
    r"\bgradient\b.{0,60}(ignor|use|pass|come|incoming|above|argument|given)|"
    r"(ignor|use|pass|incoming|from above).{0,60}gradient|sum\(\)|ones",
    _methods(
        _FORWARD,
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    torch.set_rng_state(ctx.state)
    y = ctx.block(x)
    y.sum().backward()
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "gradient from above applied twice for x",
    "x.grad has the incoming gradient in it already",
    r"twice|already|times|x\.grad|gradient of x",
    _methods(
        _FORWARD,
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    torch.set_rng_state(ctx.state)
    y = ctx.block(x)
y.backward(gradient)
return None, x.grad * gradient
""",
    ),
)
checkpoint.wrong(
    "gradient handed through",
    "the gradient of y is returned for that of x",
    r"x\.grad|gradient of x|of the input|handed|pass(ed)? (on|through)|unchanged|of y|output",
    _methods(
        _FORWARD,
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    torch.set_rng_state(ctx.state)
    y = ctx.block(x)
y.backward(gradient)
return None, gradient
""",
    ),
)
checkpoint.wrong(
    "one value returned",
    "backward returns one value for each argument of forward: None for the block",
    r"None|two|number of gradients|each (argument|input)|block",
    _methods(
        _FORWARD,
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    torch.set_rng_state(ctx.state)
    y = ctx.block(x)
y.backward(gradient)
return x.grad
""",
    ),
)
checkpoint.wrong(
    "returned in the wrong order",
    "None belongs to the block, which comes first",
    r"order|swap|exchang|first|second|None",
    _methods(
        _FORWARD,
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    torch.set_rng_state(ctx.state)
    y = ctx.block(x)
y.backward(gradient)
return x.grad, None
""",
    ),
)
checkpoint.wrong(
    "graph of the first run kept",
    "nothing is computed again: forward builds the graph and keeps all of it",
    r"keeps?|kept|activations|memory|second (run|time)|comput\w+ again|recomput",
    _methods(
        """
ctx.x = x.detach().requires_grad_()
with torch.enable_grad():
    ctx.y = block(ctx.x)
return ctx.y.detach()
""",
        """
ctx.y.backward(gradient)
return None, ctx.x.grad
""",
    ),
)
checkpoint.wrong(
    "output kept as well",
    "y is kept besides x",
    r"only x|keeps?|kept|output|save_for_backward|bytes|memory",
    _methods(
        """
ctx.block, ctx.state = block, torch.get_rng_state()
y = block(x)
ctx.save_for_backward(x, y)
return y
""",
        """
x, _ = ctx.saved_tensors
x = x.detach().requires_grad_()
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    torch.set_rng_state(ctx.state)
    y = ctx.block(x)
y.backward(gradient)
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "x as an attribute",
    "tensors go through save_for_backward, not into attributes",
    r"save_for_backward|saved_tensors|attribute",
    _methods(
        """
ctx.block, ctx.state, ctx.x = block, torch.get_rng_state(), x
return block(x)
""",
        """
x = ctx.x.detach().requires_grad_()
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    torch.set_rng_state(ctx.state)
    y = ctx.block(x)
y.backward(gradient)
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "gradients of the block zeroed first",
    "what the parameters had in .grad before is lost; gradients add up",
    r"accumulat|add(s|ed)? (up|to)|zero_grad|zeroed|overwr|lost|before",
    _methods(
        _FORWARD,
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
if isinstance(ctx.block, nn.Module):
    ctx.block.zero_grad()
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    torch.set_rng_state(ctx.state)
    y = ctx.block(x)
y.backward(gradient)
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "backward through the second run twice",
    "the parameters get their gradients twice",
    r"twice|double|two times|2 times|factor (of )?(2|two)",
    _methods(
        _FORWARD,
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    torch.set_rng_state(ctx.state)
    y = ctx.block(x)
y.backward(gradient, retain_graph=True)
of_x = x.grad.clone()
torch.autograd.backward(y, gradient)
return None, of_x
""",
    ),
)
checkpoint.wrong(
    "a copy of the block",
    "the gradients go to the parameters of a copy",
    r"copy|parameters?|\.grad\b|same block",
    _methods(
        """
import copy

ctx.block, ctx.state = copy.deepcopy(block), torch.get_rng_state()
ctx.save_for_backward(x)
return block(x)
""",
        _BACKWARD,
    ),
)
checkpoint.wrong(
    "no random state and no gradient from above",
    "two mistakes: other dropout, and the incoming gradient is ignored",
    _RANDOM + r"|\bgradient\b.{0,60}(ignor|incoming|above|argument|use|pass)|sum\(\)",
    _methods(
        """
ctx.block = block
ctx.save_for_backward(x)
return block(x)
""",
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
with torch.enable_grad():
    ctx.block(x).sum().backward()
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "saved tensors not unpacked",
    "ctx.saved_tensors is a tuple, also with one tensor",
    r"tuple|saved_tensors|unpack|\(x,\)|\[0\]",
    _methods(
        _FORWARD,
        """
x = ctx.saved_tensors.detach().requires_grad_()
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    torch.set_rng_state(ctx.state)
    y = ctx.block(x)
y.backward(gradient)
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "block not remembered",
    "block is no name in backward; it has to be kept in ctx",
    r"ctx\.block|\bblock\b|not defined|NameError",
    _methods(
        """
ctx.state = torch.get_rng_state()
ctx.save_for_backward(x)
return block(x)
""",
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    torch.set_rng_state(ctx.state)
    y = block(x)
y.backward(gradient)
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "backward of a tensor without its gradient",
    "y.backward() needs the gradient unless y is a single number",
    r"\bgradient\b.{0,60}(ignor|incoming|above|argument|use|pass|need|given)|scalar|"
    r"y\.backward|backward\(gradient",
    _methods(
        _FORWARD,
        """
(x,) = ctx.saved_tensors
x = x.detach().requires_grad_()
with torch.random.fork_rng(devices=[]), torch.enable_grad():
    torch.set_rng_state(ctx.state)
    y = ctx.block(x)
y.backward()
return None, x.grad
""",
    ),
)
checkpoint.wrong(
    "no return in forward",
    "forward does not return the block's output",
    _RETURN,
    _methods(
        """
ctx.block = block
ctx.state = torch.get_rng_state()
ctx.save_for_backward(x)
block(x)
""",
        _BACKWARD,
    ),
)
checkpoint.open(
    "no static methods",
    "the @staticmethod lines of the stub are gone; PyTorch runs it all the same",
    f"\n    def forward(ctx, block, x):\n{_indented(_FORWARD)}\n\n"
    f"    def backward(ctx, gradient):\n{_indented(_BACKWARD)}\n",
)
checkpoint.wrong(
    "backward not begun",
    "backward is still the stub",
    r"NotImplementedError|backward.{0,40}(stub|not|missing|unfinished|empty|still)|left.?over",
    _methods(_FORWARD, 'raise NotImplementedError("your code here")'),
)

checkpoint.right("as the text tells it", _methods(_FORWARD, _BACKWARD))
checkpoint.right(
    "state put back by hand",
    _methods(
        _FORWARD,
        """
kept = ctx.saved_tensors[0]
again = kept.detach()
again.requires_grad = True
now = torch.get_rng_state()
try:
    torch.set_rng_state(ctx.state)
    with torch.enable_grad():
        output = ctx.block(again)
finally:
    torch.set_rng_state(now)
torch.autograd.backward(output, gradient)
return None, again.grad
""",
    ),
)
checkpoint.right(
    "a product with the gradient, summed",
    _methods(
        _FORWARD,
        """
(x,) = ctx.saved_tensors
with torch.enable_grad(), torch.random.fork_rng(devices=[]):
    torch.random.set_rng_state(ctx.state)
    copy = x.detach().clone().requires_grad_(True)
    (ctx.block(copy) * gradient).sum().backward()
return None, copy.grad
""",
    ),
)
checkpoint.right(
    "the default generator and a helper",
    """
@contextlib.contextmanager
def rewound(state):
    generator = torch.default_generator
    before = generator.get_state()
    generator.set_state(state)
    try:
        yield
    finally:
        generator.set_state(before)


class Checkpoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, block, x):
        ctx.run, ctx.generator = block, torch.default_generator.get_state()
        ctx.save_for_backward(x)
        return block(x)

    @staticmethod
    def backward(ctx, gradient):
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with rewound(ctx.generator), torch.enable_grad():
            y = ctx.run(x)
        y.backward(gradient)
        return None, x.grad
""".replace("\n@contextlib", "@contextlib", 1),
)
checkpoint.right(
    "decorated methods and a closure",
    """from torch.autograd.function import once_differentiable


class Checkpoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, block, x):
        state = torch.get_rng_state()

        def again(x):
            with torch.random.fork_rng(devices=[]):
                torch.set_rng_state(state)
                return block(x)

        ctx.again = again
        ctx.save_for_backward(x)
        with torch.no_grad():
            return block(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        leaf = torch.empty_like(x).copy_(x).requires_grad_()
        with torch.set_grad_enabled(True):
            y = ctx.again(leaf)
        torch.autograd.backward([y], grad_tensors=[gradient])
        return None, leaf.grad
""",
)
checkpoint.right(
    "the backward pass within the fork",
    _methods(
        """
ctx.extra = {"block": block, "state": torch.random.get_rng_state()}
out = block(x)
ctx.save_for_backward(x)
return out
""",
        """
x = ctx.saved_tensors[0].data.requires_grad_()
with torch.random.fork_rng(devices=[]):
    torch.random.set_rng_state(ctx.extra["state"])
    with torch.enable_grad():
        y = ctx.extra["block"](x)
        y.backward(gradient)
return (None, x.grad.detach())
""",
    ),
)

# --- memory.adapter ------------------------------------------------------------------------------

adapter = Exercise("memory.adapter", "def lora_parameters(config, rank, targets):")

# (d_out, d_in) of each target, as the text has it.
_SHAPES = """
    d, f = config["hidden_size"], config["intermediate_size"]
    kv = d // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes = {
        "q_proj": (d, d),
        "k_proj": (kv, d),
        "v_proj": (kv, d),
        "o_proj": (d, d),
        "gate_proj": (f, d),
        "up_proj": (f, d),
        "down_proj": (d, f),
    }
"""
_MLP = r"intermediate_size|gate|up_proj|down|feed-?forward|\bmlp\b"
_SUM = r"\bA and B|sum|d_in ?\+|d_out ?\+|\+ ?d_|\bboth\b|product|pair"

adapter.wrong(
    "keys and values as wide as queries",
    "k_proj and v_proj may be narrower",
    _KV,
    """
    d, f = config["hidden_size"], config["intermediate_size"]
    layer = 0
    for target in targets:
        if target in ("gate_proj", "up_proj", "down_proj"):
            layer += rank * (d + f)
        else:
            layer += rank * 2 * d
    return config["num_hidden_layers"] * layer
""",
)
adapter.wrong(
    "one layer",
    "every layer has these targets",
    r"num_hidden_layers|(every|each|all|one|single|per) (of the )?layers?|number of layers",
    _SHAPES + "    return sum(rank * (o + i) for o, i in (shapes[t] for t in targets))",
)
adapter.wrong(
    "A alone",
    "B is missing",
    r"\bB\b|d_out|pair|both",
    _SHAPES
    + """
    return config["num_hidden_layers"] * sum(rank * shapes[t][1] for t in targets)
""",
)
adapter.wrong(
    "B alone",
    "A is missing",
    r"\bA\b|d_in|pair|both",
    _SHAPES
    + """
    return config["num_hidden_layers"] * sum(rank * shapes[t][0] for t in targets)
""",
)
adapter.wrong(
    "rank times the whole matrix",
    "A and B have r x d_in and d_out x r numbers: a sum and not a product of the widths",
    _SUM,
    _SHAPES
    + """
    return config["num_hidden_layers"] * sum(rank * math.prod(shapes[t]) for t in targets)
""",
)
adapter.wrong(
    "numbers of A times numbers of B",
    "the numbers of A and B are added, not multiplied",
    _SUM,
    _SHAPES
    + """
    total = 0
    for name in targets:
        d_out, d_in = shapes[name]
        total += (rank * d_in) * (d_out * rank)
    return total * config["num_hidden_layers"]
""",
)
adapter.wrong(
    "the matrices themselves",
    "the frozen matrices are counted, and the rank is not used",
    r"\brank\b|\br\b|frozen|low-rank|A and B",
    _SHAPES
    + """
    return config["num_hidden_layers"] * sum(math.prod(shapes[t]) for t in targets)
""",
)
adapter.wrong(
    "rank for A only",
    "precedence: rank times d_in, plus d_out",
    r"\brank\b|\br\b|bracket|parenthes|precedence|\bB\b|d_out",
    _SHAPES
    + """
    total = 0
    for name in targets:
        d_out, d_in = shapes[name]
        total += rank * d_in + d_out
    return total * config["num_hidden_layers"]
""",
)
adapter.wrong(
    "all targets are square",
    "the feed-forward matrices go to or come from intermediate_size; k and v are narrower",
    _MLP + "|" + _KV,
    """
    return config["num_hidden_layers"] * len(targets) * 2 * rank * config["hidden_size"]
""",
)
adapter.wrong(
    "feed-forward matrices are square",
    "gate, up and down have intermediate_size on one side",
    _MLP,
    """
    d = config["hidden_size"]
    kv = d // config["num_attention_heads"] * config["num_key_value_heads"]
    total = 0
    for target in targets:
        total += rank * (d + (kv if target in ("k_proj", "v_proj") else d))
    return total * config["num_hidden_layers"]
""",
)
adapter.wrong(
    "down from intermediate to intermediate",
    "down_proj goes back to hidden_size",
    r"down",
    _SHAPES
    + """
    shapes["down_proj"] = (f, f)
    return config["num_hidden_layers"] * sum(rank * sum(shapes[t]) for t in targets)
""",
)
adapter.wrong(
    "down_proj forgotten",
    "there is no branch for down_proj, so it adds nothing",
    r"down",
    """
    d, f = config["hidden_size"], config["intermediate_size"]
    kv = d // config["num_attention_heads"] * config["num_key_value_heads"]
    total = 0
    for target in targets:
        if target in ("q_proj", "o_proj"):
            total += 2 * rank * d
        elif target in ("k_proj", "v_proj"):
            total += rank * (d + kv)
        elif target in ("gate_proj", "up_proj"):
            total += rank * (d + f)
    return total * config["num_hidden_layers"]
""",
)
adapter.wrong(
    "output matrix narrow",
    "o_proj has all heads of the queries: it is d x d",
    r"o_proj|\bo\b|output",
    _SHAPES
    + """
    shapes["o_proj"] = (d, kv)
    return config["num_hidden_layers"] * sum(rank * sum(shapes[t]) for t in targets)
""",
)
adapter.wrong(
    "queries narrow too",
    "q_proj has all heads",
    r"q_proj|\bq\b|quer(y|ies)",
    _SHAPES
    + """
    shapes["q_proj"] = (kv, d)
    return config["num_hidden_layers"] * sum(rank * sum(shapes[t]) for t in targets)
""",
)
adapter.wrong(
    "number of heads for their width",
    "num_key_value_heads has to be multiplied with the width of a head",
    r"head.{0,30}(width|wide|dim)|(width|wide|times).{0,30}head|//|" + _KV,
    _SHAPES
    + """
    kv = config["num_key_value_heads"]
    shapes["k_proj"] = shapes["v_proj"] = (kv, d)
    return config["num_hidden_layers"] * sum(rank * sum(shapes[t]) for t in targets)
""",
)
adapter.wrong(
    "heads are always 128 wide",
    "the width of a head is hidden_size / num_attention_heads",
    r"128|num_attention_heads|head.{0,30}(width|wide|dim)|(width|wide|times).{0,30}head|" + _KV,
    _SHAPES
    + """
    shapes["k_proj"] = shapes["v_proj"] = (128 * config["num_key_value_heads"], d)
    return config["num_hidden_layers"] * sum(rank * sum(shapes[t]) for t in targets)
""",
)
adapter.wrong(
    "every target, whatever is asked for",
    "all seven are counted and not those in targets",
    r"targets?.{0,50}(asked|given|only|not|ignor|listed|named)|"
    r"(asked|only|ignor|all|seven|every|regardless|whatever).{0,40}targets?|all seven",
    _SHAPES
    + """
    layer = sum(rank * (d_out + d_in) for d_out, d_in in shapes.values())
    return config["num_hidden_layers"] * layer
""",
)
adapter.wrong(
    "return inside the loop",
    "the loop ends with the first target",
    r"first|loop|return|indent|every target|each target|all (of the )?targets|one target",
    _SHAPES
    + """
    total = 0
    for target in targets:
        total += rank * sum(shapes[target])
        return total * config["num_hidden_layers"]
""",
)
adapter.wrong(
    "the last target only",
    "= stands for +=",
    r"last|\+=|add|every target|each target|all (of the )?targets|sum|one target",
    _SHAPES
    + """
    total = 0
    for target in targets:
        total = rank * sum(shapes[target])
    return total * config["num_hidden_layers"]
""",
)
adapter.wrong(
    "a letter for the name",
    "every name has an o in it, from proj; so no target but q gets its own width",
    r"name|substring|letter|\bin\b|proj|" + _MLP + "|" + _KV,
    """
    d, f = config["hidden_size"], config["intermediate_size"]
    kv = d // config["num_attention_heads"] * config["num_key_value_heads"]
    total = 0
    for target in targets:
        if "q" in target or "o" in target:
            total += 2 * d * rank
        elif "k" in target or "v" in target:
            total += (d + kv) * rank
        else:
            total += (d + f) * rank
    return total * config["num_hidden_layers"]
""",
)
adapter.wrong(
    "in bytes",
    "parameters are asked for, not bytes",
    r"bytes?|twice|two times|factor|parameters",
    _SHAPES
    + """
    return 2 * config["num_hidden_layers"] * sum(rank * sum(shapes[t]) for t in targets)
""",
)
adapter.wrong(
    "layers of Llama 2 7B",
    "32 layers are a constant and not num_hidden_layers",
    r"layers|\b32\b",
    _SHAPES + "    return 32 * sum(rank * sum(shapes[target]) for target in targets)",
)
adapter.wrong(
    "A alone and square",
    "two mistakes: B is missing, and every target is as wide as hidden_size",
    r"\bB\b|d_out|pair|both|" + _MLP + "|" + _KV,
    """
    return config["num_hidden_layers"] * rank * config["hidden_size"] * len(targets)
""",
)
adapter.wrong(
    "misspelt name of a target",
    "up_prj is a slip in the table, so up_proj is not found",
    r"up_proj|up_prj|KeyError|key|did you mean",
    """
    d, f = config["hidden_size"], config["intermediate_size"]
    kv = d // config["num_attention_heads"] * config["num_key_value_heads"]
    outs = {"q_proj": d, "k_proj": kv, "v_proj": kv, "o_proj": d}
    outs.update({"gate_proj": f, "up_prj": f, "down_proj": d})
    ins = dict.fromkeys(outs, d) | {"down_proj": f, "up_proj": d}
    layer = sum(rank * (ins[target] + outs[target]) for target in targets)
    return config["num_hidden_layers"] * layer
""",
)
adapter.wrong(
    "prints the number",
    "the number is printed and not returned",
    _RETURN,
    _SHAPES
    + """
    print(config["num_hidden_layers"] * sum(rank * sum(shapes[t]) for t in targets))
""",
)
adapter.open(
    "takes the targets out of the list",
    "the number is right, but the caller's list is empty afterwards",
    _SHAPES
    + """
    layer = 0
    while targets:
        layer += rank * sum(shapes[targets.pop()])
    return config["num_hidden_layers"] * layer
""",
)

adapter.right(
    "a dictionary of shapes",
    _SHAPES
    + """
    layer = sum(rank * (d_out + d_in) for d_out, d_in in map(shapes.get, targets))
    return config["num_hidden_layers"] * layer
""",
)
adapter.right(
    "match",
    """
    d, n = config["hidden_size"], config["num_attention_heads"]
    total = 0
    for target in targets:
        match target:
            case "q_proj" | "o_proj":
                other = d
            case "k_proj" | "v_proj":
                other = config["num_key_value_heads"] * (d // n)
            case "gate_proj" | "up_proj" | "down_proj":
                other = config["intermediate_size"]
            case _:
                raise ValueError(target)
        total += rank * d
        total += other * rank
    return total * config["num_hidden_layers"]
""",
)
adapter.right(
    "layer by layer, with tensors on the meta device",
    """
def pair(rank, d_out, d_in):
    return torch.empty(rank, d_in, device="meta"), torch.empty(d_out, rank, device="meta")


def lora_parameters(config, rank, targets):
    d, f = config["hidden_size"], config["intermediate_size"]
    kv = d * config["num_key_value_heads"] // config["num_attention_heads"]
    ends = {"q": (d, d), "k": (kv, d), "v": (kv, d), "o": (d, d)}
    ends |= {"gate": (f, d), "up": (f, d), "down": (d, f)}
    total = 0
    for _ in range(config["num_hidden_layers"]):
        for name in targets:
            a, b = pair(rank, *ends[name.removesuffix("_proj")])
            total += a.numel() + b.numel()
    return total
""",
)
adapter.right(
    "linear layers of a model on the meta device",
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**config))
    return sum(
        rank * (module.in_features + module.out_features)
        for name, module in model.named_modules()
        if name.rsplit(".", 1)[-1] in targets
    )
""",
)
adapter.right(
    "A's and B's apart",
    """
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    head = hidden // config["num_attention_heads"]
    ins = {"down_proj": wide}
    outs = {
        "k_proj": head * config["num_key_value_heads"],
        "v_proj": head * config["num_key_value_heads"],
        "gate_proj": wide,
        "up_proj": wide,
    }
    of_a = sum(ins.get(target, hidden) for target in targets)
    of_b = sum(outs.get(target, hidden) for target in targets)
    return (of_a + of_b) * rank * config["num_hidden_layers"]
""",
)
adapter.right(
    "counts of the kinds",
    """
    d = config["hidden_size"]
    kv = d // config["num_attention_heads"] * config["num_key_value_heads"]
    square = len([t for t in targets if t in {"q_proj", "o_proj"}])
    narrow = len([t for t in targets if t in {"k_proj", "v_proj"}])
    wide = len(targets) - square - narrow
    widths = np.array([2 * d, d + kv, d + config["intermediate_size"]], dtype=np.int64)
    each = int(np.dot(widths, np.array([square, narrow, wide], dtype=np.int64)))
    return each * rank * config["num_hidden_layers"]
""",
)

# --- memory.storage ------------------------------------------------------------------------------

storage = Exercise("memory.storage", "def storage_bytes(base: int, adapter: int, tasks: int):")

_FULL = r"full cop|original|without the original|copies|tasks? \* base"

storage.wrong(
    "the original beside the full copies",
    "full copies are used without the original",
    r"original|one (base|copy|model) too many|\+ ?1",
    "    return (tasks + 1) * base, base + tasks * adapter",
)
storage.wrong(
    "a base for each adapter",
    "the base is there once, for all tasks",
    r"one base|base.{0,40}(once|shared|share|single|only)|once|share",
    "    return tasks * base, tasks * (base + adapter)",
)
storage.wrong(
    "no base",
    "the adapters need the base",
    r"base.{0,40}(missing|forg[eo]t|left out|need|keep|kept|add|once)|"
    r"(missing|forg[eo]t|without|need|keep|kept|add|also|one).{0,40}\bbase\b",
    "    return tasks * base, tasks * adapter",
)
storage.wrong(
    "in the wrong order",
    "full copies come first",
    r"order|swap|exchang|first|second",
    "    return base + tasks * adapter, tasks * base",
)
storage.wrong(
    "one adapter for all tasks",
    "each task has its adapter",
    r"each task|every task|adapter.{0,40}(each|every|per|task)|tasks? \* adapter|per task",
    "    return tasks * base, base + adapter",
)
storage.wrong(
    "one full copy",
    "each task has its copy",
    r"each task|every task|cop(y|ies).{0,40}(each|every|per|task)|tasks? \* base|per task",
    "    return base, base + tasks * adapter",
)
storage.wrong(
    "an adapter in every full copy",
    "a full copy holds no adapter",
    r"full cop|adapter|copies|tasks? \* base",
    "    return tasks * (base + adapter), base + tasks * adapter",
)
storage.wrong(
    "first task without an adapter",
    "every task has an adapter, the first too",
    r"each task|every task|one adapter|adapter.{0,40}(each|every|per|task|few|missing)|off by one|"
    r"tasks? \* adapter|- ?1",
    "    return tasks * base, base + (tasks - 1) * adapter",
)
storage.wrong(
    "first full copy for nothing",
    "the base counts as the first copy; the original is not there",
    r"each task|every task|off by one|- ?1|one (copy|model) (few|less|missing)|" + _FULL,
    "    return (tasks - 1) * base, base + tasks * adapter",
)
storage.wrong(
    "bases for the tasks and one adapter",
    "tasks multiplies the base and not the adapter",
    r"one base|once|tasks? \* adapter|each task|every task|base.{0,40}(once|share)",
    "    return tasks * base, tasks * base + adapter",
)
storage.wrong(
    "what is saved",
    "the difference is returned for the second number",
    r"differen|subtract|saved|saving|second|base \+",
    "    return tasks * base, tasks * base - (base + tasks * adapter)",
)
storage.wrong(
    "the ratio",
    "two numbers of bytes are asked for, not how they compare",
    r"ratio|tuple|two numbers|unpack|iterable|divid",
    "    return tasks * base / (base + tasks * adapter)",
)
storage.wrong(
    "in GB",
    "bytes are asked for",
    r"\bGB\b|GiB|1e9|10\*\*9|10\^9|unit|factor of|billion",
    "    return tasks * base / 1e9, (base + tasks * adapter) / 1e9",
)
storage.wrong(
    "three tasks",
    "the number of tasks of the client's plan is a constant",
    r"\bthree\b|\b3\b|constant|\btasks\b",
    "    return 3 * base, base + 3 * adapter",
)
storage.wrong(
    "a set",
    "a set has no order; a tuple is asked for",
    r"\bset\b|tuple|order",
    "    return {tasks * base, base + tasks * adapter}",
)
storage.wrong(
    "no base and the wrong order",
    "two mistakes: the base is missing, and the two are exchanged",
    r"\bbase\b|order|swap|exchang|first",
    "    return tasks * adapter, tasks * base",
)
storage.wrong(
    "two returns",
    "the second return is never reached",
    r"tuple|second return|one number|two numbers|never|unpack|iterable",
    """
    return tasks * base
    return base + tasks * adapter
""",
)
storage.wrong(
    "prints the two",
    "the numbers are printed and not returned",
    _RETURN,
    "    print(tasks * base, base + tasks * adapter)",
)
storage.wrong(
    "misspelt argument",
    "task is not defined; the argument is tasks",
    r"\btasks\b|not defined|NameError",
    "    return tasks * base, base + task * adapter",
)
storage.wrong(
    "text with commas",
    "numbers are asked for, not text",
    r"\bstr\b|string|text|numbers|\bint\b",
    '    return f"{tasks * base:,}", f"{base + tasks * adapter:,}"',
)
storage.open(
    "floats of the same value",
    "the annotation says int; the values are the same",
    "    return float(tasks * base), float(base + tasks * adapter)",
)
storage.open(
    "a list of the two",
    "the annotation says tuple, and a list unpacks like one",
    "    return [tasks * base, base + tasks * adapter]",
)

storage.right("one line", "    return tasks * base, base + tasks * adapter")
storage.right(
    "a loop over the tasks",
    """
    copies, shared = 0, base
    for _ in range(tasks):
        copies += base
        shared += adapter
    return copies, shared
""",
)
storage.right(
    "lists of files",
    """
    full = [base for _ in range(tasks)]
    small = [base] + [adapter] * tasks
    return sum(full), sum(small)
""",
)
storage.right(
    "a matrix product",
    """
    files = np.array([[tasks, 0], [1, tasks]], dtype=object)
    copies, shared = files.dot(np.array([base, adapter], dtype=object))
    return int(copies), int(shared)
""",
)
storage.right(
    "a named tuple",
    """from collections import namedtuple

Disk = namedtuple("Disk", "copies shared")


def storage_bytes(base, adapter, tasks):
    return Disk(shared=base + adapter * tasks, copies=base * tasks)
""",
)
storage.right(
    "accumulated with itertools",
    """
    copies = sum(itertools.repeat(base, tasks))
    shared = list(itertools.accumulate([base, *itertools.repeat(adapter, tasks)]))[-1]
    return tuple([copies, shared])
""",
)

# --- memory.batch --------------------------------------------------------------------------------

batch = Exercise("memory.batch", "def largest_batch(fixed, per_sequence, card, reserve):")

_GIB = r"2 ?\*\* ?30|2\^30|GiB|\bGB\b|1024|1e9|10\*\*9|10\^9|unit"
_DOWN = r"round(ed|ing|s)? (down|up)|floor|ceil|whole|too (many|large)|part of a"
_NEGATIVE = (
    r"negative|\b0 if|at least 0|below (0|zero)|less than (0|zero|nothing)|max\(|not even one"
)

batch.wrong(
    "GB for GiB",
    "a GiB has 2**30 bytes",
    _GIB,
    "    return max(0, int(((card - reserve) * 1e9 - fixed) // per_sequence))",
)
batch.wrong(
    "MiB for GiB",
    "a GiB has 2**30 bytes, not 2**20",
    _GIB,
    "    return max(0, int(((card - reserve) * 2**20 - fixed) // per_sequence))",
)
batch.wrong(
    "an exclusive or for a power",
    "in Python ^ is no power: 2 ^ 30 is 28",
    r"\*\*|\^|power|xor|exclusive|" + _GIB,
    "    return max(0, int(((card - reserve) * (2 ^ 30) - fixed) // per_sequence))",
)
batch.wrong(
    "card in GiB against bytes",
    "card and reserve are never turned into bytes",
    _GIB + r"|bytes|convert",
    "    return max(0, int((card - reserve - fixed) // per_sequence))",
)
batch.wrong(
    "fewer than none",
    "the result is negative if the model does not fit",
    _NEGATIVE,
    "    return int(((card - reserve) * 2**30 - fixed) // per_sequence)",
)
batch.wrong(
    "cut towards zero, and fewer than none",
    "int cuts towards zero, but from one sequence on the result is negative",
    _NEGATIVE,
    "    return int(((card - reserve) * 2**30 - fixed) / per_sequence)",
)
batch.wrong(
    "at least one",
    "0 is asked for if not even one fits",
    _NEGATIVE + r"|\b0\b|none|at least one|zero",
    "    return max(1, int(((card - reserve) * 2**30 - fixed) // per_sequence))",
)
batch.wrong(
    "amount below zero made positive",
    "abs makes a missing amount a free one",
    _NEGATIVE + r"|\babs\b|\b0\b|zero",
    "    return int(abs((card - reserve) * 2**30 - fixed) // per_sequence)",
)
batch.wrong(
    "rounded up",
    "a sequence that fits in part does not fit",
    _DOWN,
    "    return max(0, math.ceil(((card - reserve) * 2**30 - fixed) / per_sequence))",
)
batch.wrong(
    "rounded to the nearest",
    "rounding goes up half of the time",
    _DOWN + r"|nearest|\bround\b",
    "    return max(0, round(((card - reserve) * 2**30 - fixed) / per_sequence))",
)
batch.wrong(
    "no reserve",
    "the reserve does not stay free",
    r"reserve",
    "    return max(0, int((card * 2**30 - fixed) // per_sequence))",
)
batch.wrong(
    "reserve added",
    "the reserve is added to the card and not taken off",
    r"reserve",
    "    return max(0, int(((card + reserve) * 2**30 - fixed) // per_sequence))",
)
batch.wrong(
    "reserve in bytes",
    "the reserve is in GiB too",
    r"reserve|precedence|bracket|parenthes|" + _GIB,
    "    return max(0, int((card * 2**30 - reserve - fixed) // per_sequence))",
)
batch.wrong(
    "card not in bytes",
    "precedence: only the reserve is turned into bytes",
    r"precedence|bracket|parenthes|\bcard\b|" + _GIB,
    "    return max(0, int((card - reserve * 2**30 - fixed) // per_sequence))",
)
batch.wrong(
    "reserve as a share",
    "the reserve is in GiB and no share of the card",
    r"reserve|share|fraction|per ?cent",
    "    return max(0, int((card * (1 - reserve) * 2**30 - fixed) // per_sequence))",
)
batch.wrong(
    "always a tenth of the card",
    "the reserve is an argument; a tenth is the library's rule of thumb",
    r"reserve|tenth|0\.9|constant",
    "    return max(0, int((0.9 * card * 2**30 - fixed) // per_sequence))",
)
batch.wrong(
    "whole GiB of reserve",
    "the reserve may be 2.4 GiB; int cuts it",
    r"reserve|\bint\b|fraction|whole|float",
    "    return max(0, ((card - int(reserve)) * 2**30 - fixed) // per_sequence)",
)
batch.wrong(
    "fixed part forgotten",
    "what does not depend on the batch is missing",
    r"\bfixed\b|not depend|does not grow|weights",
    "    return max(0, int((card - reserve) * 2**30 // per_sequence))",
)
batch.wrong(
    "fixed part for each sequence",
    "the fixed part is there once, whatever the batch",
    r"\bfixed\b|once|not depend|does not grow",
    "    return max(0, int((card - reserve) * 2**30 // (fixed + per_sequence)))",
)
batch.wrong(
    "two divisions rounded",
    "both parts are rounded down before the difference, which can be one too many",
    _DOWN + r"|one too many|difference|before|\bfixed\b",
    """
    room = int((card - reserve) * 2**30)
    return max(0, room // per_sequence - fixed // per_sequence)
""",
)
batch.wrong(
    "must be smaller",
    "a batch that fills the room exactly fits",
    r"exact|<=|equal|just fit|fills|boundary|off by one|one (too few|less|more)",
    """
    room = (card - reserve) * 2**30
    low, high = 0, int(room // per_sequence) + 2
    while high - low > 1:
        middle = (low + high) // 2
        if fixed + middle * per_sequence < room:
            low = middle
        else:
            high = middle
    return low
""",
)
batch.wrong(
    "one sequence too many",
    "the loop stops at the first batch that does not fit and returns that",
    r"one (too many|more|less|sequence)|off by one|does(n't| not) fit|too (large|many)|first",
    """
    room = (card - reserve) * 2**30 - fixed
    if room < per_sequence:
        return 0
    n = int(room // per_sequence) - 1
    while n * per_sequence <= room:
        n += 1
    return n
""",
)
batch.wrong(
    "a power of two",
    "the text asks for the largest number, not for the largest power of two",
    r"power of (two|2)|largest|too (small|few)|more (would )?fit",
    """
    n = int(((card - reserve) * 2**30 - fixed) // per_sequence)
    return 2 ** int(math.log2(n)) if n > 0 else 0
""",
)
batch.wrong(
    "bytes compared with GiB",
    "fixed is in bytes and card in GiB, so the answer is always 0",
    r"bytes|compar|always|" + _GIB,
    """
    if fixed > card - reserve:
        return 0
    return int(((card - reserve) * 2**30 - fixed) // per_sequence)
""",
)
batch.wrong(
    "GB and no reserve",
    "two mistakes: a GiB is no GB, and the reserve is missing",
    r"reserve|" + _GIB,
    "    return max(0, int((card * 10**9 - fixed) // per_sequence))",
)
batch.wrong(
    "nothing returned when it does not fit",
    "without room the function returns None and not 0",
    _RETURN + r"|\b0\b",
    """
    room = (card - reserve) * 2**30 - fixed
    if room >= per_sequence:
        return int(room // per_sequence)
""",
)
batch.wrong(
    "GiB not defined",
    "GIB is defined in no cell above this one",
    r"GIB|not defined|NameError",
    "    return max(0, int(((card - reserve) * GIB - fixed) // per_sequence))",
)
batch.open(
    "a float of the same value",
    "the annotation says int; // of floats is a float of the right value",
    "    return max(0, ((card - reserve) * 2**30 - fixed) // per_sequence)",
)
batch.open(
    "whole bytes, loop over the batch",
    "right, but slow where a sequence takes a few bytes only; the text sets no limit",
    """
    room = (card - reserve) * 2**30
    n = 0
    while fixed + (n + 1) * per_sequence <= room:
        n += 1
    return n
""",
)

batch.right(
    "one line",
    "    return max(0, int(((card - reserve) * 2**30 - fixed) // per_sequence))",
)
batch.right(
    "an if and math.floor",
    """
    GIB = 1024**3
    left = card * GIB - reserve * GIB - fixed
    if left < per_sequence:
        return 0
    return math.floor(left / per_sequence)
""",
)
batch.right(
    "a search by halves",
    """
def fits(n, fixed, per_sequence, room):
    return fixed + n * per_sequence <= room


def largest_batch(fixed, per_sequence, card, reserve):
    room = (card - reserve) * (1 << 30)
    if not fits(1, fixed, per_sequence, room):
        return 0
    low = 1
    while fits(2 * low, fixed, per_sequence, room):
        low *= 2
    step = low // 2
    while step:
        if fits(low + step, fixed, per_sequence, room):
            low += step
        step //= 2
    return low
""",
)
batch.right(
    "exact fractions",
    """
    from fractions import Fraction

    free = (Fraction(card) - Fraction(reserve)) * 2**30 - fixed
    number = free // per_sequence
    return number if number > 0 else 0
""",
)
batch.right(
    "divmod of whole bytes",
    """
    room = math.floor((card - reserve) * 2**30) - fixed
    if room <= 0:
        return 0
    batch, _ = divmod(room, per_sequence)
    return batch
""",
)
batch.right(
    "clipped with numpy",
    """
    free = np.float64(card - reserve) * 2.0**30 - fixed
    return int(np.clip(np.floor(free / per_sequence), 0, None))
""",
)

EXERCISES = (parameters, states, quantized, saved, checkpoint, adapter, storage, batch)
