"""Answers to the exercises of lesson 08, written from its text alone."""

from tests.peftcourse.exercises.learners.answers import Exercise

NO_RETURN = r"return|None"
LEFT_OVER = r"NotImplementedError|left.?over|still raises|remove.*raise|raise.*(line|remove)"
IN_PLACE = r"in.?place|changes? (the |its |your )?(input|argument|caller)|modif|overwr|mutat"

# --- prompts.count ----------------------------------------------------------------------------

count = Exercise(
    "prompts.count",
    "def virtual_parameters(tokens, layers, hidden_size, heads, kv_heads, head_size):",
)
count.wrong(
    "query heads",
    "a prefix has the heads of keys and values, not those of the queries",
    r"kv_heads|key.?/?value heads|heads (of|for) keys|query heads|quer(y|ies)|grouped",
    "    return tokens * hidden_size, tokens * layers * 2 * heads * head_size",
)
count.wrong(
    "hidden size",
    "a prefix has as many numbers as the heads of keys and values, not the hidden size",
    r"kv_heads|key.?/?value heads|heads|hidden|head_size|grouped",
    "    return tokens * hidden_size, 2 * layers * tokens * hidden_size",
)
count.wrong(
    "keys only",
    "values count as well as keys",
    r"values|keys and|factor (of )?(2|two)|twice|two|half",
    "    return tokens * hidden_size, tokens * layers * kv_heads * head_size",
)
count.wrong(
    "one layer",
    "a prefix has keys and values in every layer",
    r"layer",
    "    return tokens * hidden_size, tokens * 2 * kv_heads * head_size",
)
count.wrong(
    "prompt in every layer",
    "a soft prompt stands before the first layer only",
    r"prompt|first layer|layers|embedding|input only|once",
    "    return tokens * layers * hidden_size, tokens * layers * 2 * kv_heads * head_size",
)
count.wrong(
    "prompt twice",
    "a soft token is one vector, no key and value",
    r"prompt|one vector|twice|factor (of )?(2|two)|once|soft token",
    "    return 2 * tokens * hidden_size, 2 * tokens * layers * kv_heads * head_size",
)
count.wrong(
    "swapped",
    "the prompt comes first, then the prefix",
    r"order|swap|first|exchang",
    """
    prompt = tokens * hidden_size
    prefix = tokens * layers * 2 * kv_heads * head_size
    return prefix, prompt
""",
)
count.wrong(
    "head size worked out",
    "the width of a head is given, and need not be hidden_size / heads",
    r"head_size|given|hidden.*heads|divi|width of a head",
    """
    D = hidden_size // heads
    return tokens * hidden_size, tokens * layers * 2 * kv_heads * D
""",
)
count.wrong(
    "prompt from the heads",
    "a soft token has the width of the embedding, not heads times head_size",
    r"embedding|hidden_size|width|soft token|prompt",
    "    return tokens * heads * head_size, tokens * layers * 2 * kv_heads * head_size",
)
count.wrong(
    "ratio of heads",
    "kv_heads is a number of heads, not of groups to divide by",
    r"kv_heads|group|divi|heads",
    "    return tokens * hidden_size, tokens * layers * 2 * (heads // kv_heads) * head_size",
)
count.wrong(
    "queries too",
    "a prefix has no queries",
    r"quer|kv_heads|only keys|keys and values",
    """
    prefix = tokens * layers * (heads + 2 * kv_heads) * head_size
    return tokens * hidden_size, prefix
""",
)
count.wrong(
    "64 times",
    "the factor of 64 is LLaMA-7B's",
    r"64|llama|example|layers|hard.?cod|heads|in general|any model",
    "    return tokens * hidden_size, 64 * tokens * hidden_size",
)
count.wrong(
    "bytes",
    "parameters are to be counted, not bytes",
    r"byte|factor (of )?(2|two)|twice|double|2 times",
    "    return 2 * tokens * hidden_size, 2 * (tokens * layers * 2 * kv_heads * head_size)",
)
count.wrong(
    "prefix on top",
    "prefix tuning trains no soft prompt",
    r"prefix|prompt|sum|on top|soft|add|extra",
    """
    prompt = tokens * hidden_size
    return prompt, prompt + tokens * layers * 2 * kv_heads * head_size
""",
)
count.wrong(
    "query heads, keys only",
    "the query heads are counted and the values are not",
    r"kv_heads|values|heads|quer|grouped",
    "    return tokens * hidden_size, tokens * layers * heads * head_size",
)
count.wrong(
    "printed",
    "the numbers are printed, not returned",
    NO_RETURN,
    "    print(tokens * hidden_size, tokens * layers * 2 * kv_heads * head_size)",
)
count.wrong(
    "one number",
    "two numbers are asked for",
    r"two|tuple|pair|both|unpack",
    "    return tokens * hidden_size + tokens * layers * 2 * kv_heads * head_size",
)
count.wrong(
    "H and D",
    "the arguments are called kv_heads and head_size",
    r"NameError|not defined|kv_heads|name",
    "    return tokens * hidden_size, tokens * layers * 2 * H * D",
)
count.open(
    "a list",
    "the annotation says a tuple; a list unpacks alike",
    "    return [tokens * hidden_size, tokens * layers * 2 * kv_heads * head_size]",
)
count.right(
    "formula",
    "    return tokens * hidden_size, tokens * layers * 2 * kv_heads * head_size",
)
count.right(
    "loops",
    """
    prompt = sum(hidden_size for _ in range(tokens))
    prefix = 0
    for _ in range(layers):
        for _ in ("keys", "values"):
            prefix += tokens * kv_heads * head_size
    return prompt, prefix
""",
)
count.right(
    "shapes",
    """
    prompt = (tokens, hidden_size)
    prefix = (tokens, layers, 2, kv_heads, head_size)
    return math.prod(prompt), math.prod(prefix)
""",
)
count.right(
    "tensors that are not there",
    """
    prompt = torch.empty(tokens, hidden_size, device="meta")
    keys = torch.empty(layers, tokens, kv_heads, head_size, device="meta")
    return prompt.numel(), keys.numel() + torch.empty_like(keys).numel()
""",
)
count.right(
    "a named tuple",
    """
from typing import NamedTuple


class Count(NamedTuple):
    prompt: int
    prefix: int


def virtual_parameters(tokens, layers, hidden_size, heads, kv_heads, head_size):
    per_layer = kv_heads * head_size + kv_heads * head_size
    return Count(prompt=hidden_size * tokens, prefix=per_layer * layers * tokens)
""",
)

# --- prompts.init -----------------------------------------------------------------------------

init = Exercise("prompts.init", "def prompt_from_text(table, ids, tokens):")
init.wrong(
    "each token repeated",
    "the text is repeated as a whole, from its beginning",
    r"whole|each|from its beginning|order|repeat",
    """
    times = -(-tokens // len(ids))
    rows = torch.tensor(ids).repeat_interleave(times)[:tokens]
    return nn.Parameter(table[rows].detach().clone())
""",
)
init.wrong(
    "last token repeated",
    "a short text is repeated from its beginning, not padded with its last token",
    r"repeat|from its beginning|whole|last|pad",
    """
    padded = ids + [ids[-1]] * max(0, tokens - len(ids))
    return nn.Parameter(table[padded[:tokens]].detach().clone())
""",
)
init.wrong(
    "zeros for the rest",
    "a short text is repeated, not filled up with zeros",
    r"repeat|zero|fill|pad",
    """
    prompt = torch.zeros(tokens, table.shape[1], dtype=table.dtype)
    n = min(tokens, len(ids))
    prompt[:n] = table[ids[:n]].detach()
    return nn.Parameter(prompt)
""",
)
init.wrong(
    "random for the rest",
    "a short text is repeated, not filled up at random",
    r"repeat|random|fill|pad",
    """
    prompt = torch.rand(tokens, table.shape[1], dtype=table.dtype) - 0.5
    n = min(tokens, len(ids))
    prompt[:n] = table[ids[:n]].detach()
    return nn.Parameter(prompt)
""",
)
init.wrong(
    "no repetition",
    "a text shorter than the prompt has to be repeated",
    r"repeat|short|too few|shape|rows",
    "    return nn.Parameter(table[ids[:tokens]].detach().clone())",
)
init.wrong(
    "not cut off",
    "a text longer than the prompt has to be cut off",
    r"cut|long|too many|shape|\[:tokens\]|rows",
    """
    while len(ids) < tokens:
        ids = ids + ids
    return nn.Parameter(table[ids].detach().clone())
""",
)
init.wrong(
    "cut off only if long",
    "after it is repeated, the text has to be cut off as well",
    r"cut|too many|shape|\[:tokens\]|rows|repeat",
    """
    if len(ids) >= tokens:
        ids = ids[:tokens]
    else:
        ids = ids * -(-tokens // len(ids))
    return nn.Parameter(table[ids].detach().clone())
""",
)
init.wrong(
    "repeated too seldom",
    "the division rounds down, so that the prompt is too short",
    r"round|short|too few|shape|divi|repeat|rows",
    """
    ids = ids * max(1, tokens // len(ids))
    return nn.Parameter(table[ids[:tokens]].detach().clone())
""",
)
init.wrong(
    "beginning cut off",
    "the end of a long text is cut off, not its beginning",
    r"end|beginning|first|last|cut",
    """
    if len(ids) > tokens:
        ids = ids[-tokens:]
    return nn.Parameter(table[(ids * tokens)[:tokens]].detach().clone())
""",
)
init.wrong(
    "text at the end",
    "the repeated text starts at its beginning",
    r"beginning|start|end|last|cut|order",
    """
    return nn.Parameter(table[(ids * tokens)[-tokens:]].detach().clone())
""",
)
init.wrong(
    "back and forth",
    "the text is repeated from its beginning, not read backwards",
    r"beginning|backward|reverse|order|repeat",
    """
    there_and_back = ids + ids[::-1]
    return nn.Parameter(table[(there_and_back * tokens)[:tokens]].detach().clone())
""",
)
init.wrong(
    "one token further",
    "the first row has to be the first token's",
    r"off by one|first|shift|start|beginning|order",
    """
    rows = [ids[(i + 1) % len(ids)] for i in range(tokens)]
    return nn.Parameter(table[rows].detach().clone())
""",
)
init.wrong(
    "a plain tensor",
    "a Parameter is asked for; a tensor does not train",
    r"parameter|train",
    "    return table[(ids * tokens)[:tokens]].detach().clone()",
)
init.wrong(
    "Parameter that does not train",
    "the prompt has requires_grad=False",
    r"requires_grad|train|gradient|frozen",
    "    return nn.Parameter(table[(ids * tokens)[:tokens]].clone(), requires_grad=False)",
)
init.wrong(
    "rows of the table",
    "the ids choose the rows, not their positions",
    r"ids|which rows|rows of the text|first rows|lookup|look up|index",
    "    return nn.Parameter(table[:tokens].detach().clone())",
)
init.wrong(
    "columns",
    "tokens are rows of the table, not columns",
    r"row|column|axis|shape|transpos",
    "    return nn.Parameter(table[:, (ids * tokens)[:tokens]].T.detach().clone())",
)
init.wrong(
    "mean of the text",
    "each soft token starts as one token, not as the mean",
    r"mean|average|each|own|row",
    """
    mean = table[ids].detach().mean(dim=0)
    return nn.Parameter(mean.expand(tokens, -1).clone())
""",
)
init.wrong(
    "random",
    "the prompt starts as the text, not at random",
    r"random|text|embedding|ids|row",
    "    return nn.Parameter(torch.rand(tokens, table.shape[1]) - 0.5)",
)
init.wrong(
    "shares memory with the table",
    "the prompt has to be a copy; training it would change the table",
    r"copy|clone|share|alias|view|memory|own|table",
    """
    rows = (ids * tokens)[:tokens]
    if rows == list(range(rows[0], rows[0] + tokens)):
        return nn.Parameter(table.detach()[rows[0] : rows[0] + tokens])
    return nn.Parameter(table.detach()[rows])
""",
)
init.wrong(
    "one token shares memory",
    "with one token, indexing by a number gives a view of the table",
    r"copy|clone|share|alias|view|memory|own|table",
    """
    if tokens == 1:
        return nn.Parameter(table.detach()[ids[0]].unsqueeze(0))
    return nn.Parameter(table.detach()[(ids * tokens)[:tokens]])
""",
)
init.wrong(
    "the caller's list grows",
    "it changes the list of the caller",
    IN_PLACE + r"|list|copy",
    """
    while len(ids) < tokens:
        ids += ids
    return nn.Parameter(table[ids[:tokens]].detach().clone())
""",
)
init.wrong(
    "each token repeated, no parameter",
    "tokens are repeated one by one, and the result does not train",
    r"parameter|train|whole|each|repeat|order|beginning",
    """
    times = math.ceil(tokens / len(ids))
    rows = [i for i in ids for _ in range(times)][:tokens]
    return table[rows].detach().clone()
""",
)
init.wrong(
    "a Parameter of ids",
    "the ids are not the embeddings, and whole numbers get no gradient",
    r"embedding|table|float|gradient|row|ids",
    """
    rows = torch.tensor((ids * tokens)[:tokens])
    return nn.Parameter(rows)
""",
)
init.wrong(
    "repeat of a list",
    "a list has no method repeat",
    r"repeat|list|attribute",
    "    return nn.Parameter(table[ids.repeat(tokens)[:tokens]].detach().clone())",
)
init.wrong(
    "no return",
    "nothing is returned",
    NO_RETURN,
    "    prompt = nn.Parameter(table[(ids * tokens)[:tokens]].detach().clone())",
)
init.open(
    "in float32",
    "the text does not say in which dtype a prompt from a bfloat16 table is kept",
    "    return nn.Parameter(table[(ids * tokens)[:tokens]].detach().float())",
)
init.open(
    "freezes the table",
    "the text does not say whether the table may be frozen on the way",
    "    return nn.Parameter(table.requires_grad_(False)[(ids * tokens)[:tokens]].clone())",
)
init.right(
    "as in the hint", "    return nn.Parameter(table[(ids * tokens)[:tokens]].detach().clone())"
)
init.right(
    "modulo",
    """
    rows = [ids[i % len(ids)] for i in range(tokens)]
    with torch.no_grad():
        start = torch.stack([table[row] for row in rows])
    return nn.Parameter(start)
""",
)
init.right(
    "cycle and islice",
    """
    rows = list(itertools.islice(itertools.cycle(ids), tokens))
    return nn.Parameter(F.embedding(torch.tensor(rows), table.detach()))
""",
)
init.right(
    "filled in place",
    """
    prompt = nn.Parameter(torch.empty(tokens, table.size(1), dtype=table.dtype))
    with torch.no_grad():
        for start in range(0, tokens, len(ids)):
            part = ids[: tokens - start]
            prompt[start : start + len(part)] = table[part]
    return prompt
""",
)
init.right(
    "repeat of a tensor",
    """
    times = math.ceil(tokens / len(ids))
    rows = torch.as_tensor(ids).repeat(times)[:tokens]
    return torch.nn.Parameter(table.data.index_select(0, rows), requires_grad=True)
""",
)
init.right(
    "one-hot",
    """
    rows = torch.arange(tokens).remainder(len(ids))
    chosen = F.one_hot(torch.tensor(ids)[rows], table.shape[0]).to(table.dtype)
    return nn.Parameter((chosen @ table).detach())
""",
)

# --- prompts.concat ---------------------------------------------------------------------------

concat = Exercise("prompts.concat", "def with_prompt(prompt, embeddings, labels):")
FRONT = """
    B, T = len(embeddings), len(prompt)
    front = prompt.expand(B, -1, -1)
    skipped = labels.new_full((B, T), -100)
"""
concat.wrong(
    "labels at the end",
    "the labels of the prompt go in front, as the prompt does",
    r"front|before|end|label",
    FRONT + "    return torch.cat([front, embeddings], 1), torch.cat([labels, skipped], 1)\n",
)
concat.wrong(
    "prompt at the end",
    "the prompt goes in front of the text",
    r"front|before|end|order|prompt",
    FRONT + "    return torch.cat([embeddings, front], 1), torch.cat([skipped, labels], 1)\n",
)
concat.wrong(
    "both at the end",
    "prompt and labels go in front of the text",
    r"front|before|end|order",
    FRONT + "    return torch.cat([embeddings, front], 1), torch.cat([labels, skipped], 1)\n",
)
concat.wrong(
    "labels of 0",
    "the labels are −100, which the loss skips; 0 is a token",
    r"100|skip|ignore|zero|label",
    """
    B, T = len(embeddings), len(prompt)
    front = prompt.expand(B, -1, -1)
    return torch.cat([front, embeddings], 1), F.pad(labels, (T, 0))
""",
)
concat.wrong(
    "labels of -1",
    "the loss skips −100, not −1",
    r"100|skip|ignore|label",
    """
    B, T = len(embeddings), len(prompt)
    front = prompt.expand(B, -1, -1)
    return torch.cat([front, embeddings], 1), F.pad(labels, (T, 0), value=-1)
""",
)
concat.wrong(
    "labels of +100",
    "the sign of −100 is missing",
    r"100|sign|minus|negative|skip|ignore",
    """
    B, T = len(embeddings), len(prompt)
    front = prompt.expand(B, -1, -1)
    return torch.cat([front, embeddings], 1), F.pad(labels, (T, 0), value=100)
""",
)
concat.wrong(
    "labels as they were",
    "the labels need T more in front",
    r"label|100|shape|T more|room",
    """
    front = prompt.expand(len(embeddings), -1, -1)
    return torch.cat([front, embeddings], dim=1), labels
""",
)
concat.wrong(
    "one label",
    "one label for each of the T virtual tokens, not one",
    r"label|each|shape|one|T\b|tokens",
    """
    B = len(embeddings)
    front = prompt.expand(B, -1, -1)
    skipped = labels.new_full((B, 1), -100)
    return torch.cat([front, embeddings], 1), torch.cat([skipped, labels], 1)
""",
)
concat.wrong(
    "only one text",
    "the prompt has to be repeated for every text of the batch",
    r"batch|every text|expand|repeat|each text|size",
    """
    skipped = labels.new_full((1, len(prompt)), -100)
    return torch.cat([prompt[None], embeddings], 1), torch.cat([skipped, labels], 1)
""",
)
concat.wrong(
    "rows mixed",
    "every text gets the whole prompt, in order",
    r"order|mix|whole|repeat|same prompt|every text|each text|interleave",
    """
    B, (T, d) = len(embeddings), prompt.shape
    front = prompt.repeat_interleave(B, dim=0).reshape(B, T, d)
    skipped = labels.new_full((B, T), -100)
    return torch.cat([front, embeddings], 1), torch.cat([skipped, labels], 1)
""",
)
concat.wrong(
    "detached",
    "the prompt gets no gradient",
    r"gradient|detach|train|graph|learn",
    FRONT
    + """    front = front.detach().clone()
    return torch.cat([front, embeddings], 1), torch.cat([skipped, labels], 1)
""",
)
concat.wrong(
    "copied through data",
    "the prompt gets no gradient, since .data cuts it off",
    r"gradient|detach|train|graph|learn|\.data",
    """
    B, n, d = embeddings.shape
    T = prompt.shape[0]
    out = torch.empty(B, T + n, d, dtype=embeddings.dtype)
    out[:, :T] = prompt.data
    out[:, T:] = embeddings
    return out, torch.cat([torch.full((B, T), -100, dtype=labels.dtype), labels], dim=1)
""",
)
concat.wrong(
    "labels of floats",
    "labels are whole numbers; cat with floats makes them floats",
    r"dtype|float|whole|int|long",
    """
    B, T = len(embeddings), len(prompt)
    front = prompt.expand(B, -1, -1)
    skipped = torch.ones(B, T) * -100
    return torch.cat([front, embeddings], 1), torch.cat([skipped, labels], 1)
""",
)
concat.wrong(
    "swapped",
    "the embeddings come first, then the labels",
    r"order|swap|first|exchang|shape",
    FRONT + "    return torch.cat([skipped, labels], 1), torch.cat([front, embeddings], 1)\n",
)
concat.wrong(
    "stacked under the batch",
    "the sequence grows, which is dim=1, not the batch",
    r"dim|axis|batch|sequence|shape",
    """
    d = prompt.shape[1]
    front = prompt.expand(len(embeddings), -1, d)
    skipped = torch.full_like(labels, -100)
    return torch.cat([front, embeddings], 0), torch.cat([skipped, labels], 0)
""",
)
concat.wrong(
    "first tokens replaced",
    "the prompt is put before the text, not over its first tokens",
    r"replac|before|front|over|lost|shape|length|longer",
    """
    T = len(prompt)
    out, new = embeddings.clone(), labels.clone()
    out[:, :T] = prompt[: out.shape[1]]
    new[:, :T] = -100
    return out, new
""",
)
concat.wrong(
    "labels shifted as well",
    "the model shifts the labels itself; they stay in line with their tokens",
    r"shift|in line|one (place|position|token)|off by one|move|label",
    FRONT
    + """    labels = torch.cat([labels[:, 1:], labels.new_full((B, 1), -100)], dim=1)
    return torch.cat([front, embeddings], 1), torch.cat([skipped, labels], 1)
""",
)
concat.wrong(
    "first token skipped too",
    "the first token of the text keeps its label",
    r"first|one too many|off by one|keep|label|text",
    FRONT
    + """    new = torch.cat([skipped, labels], dim=1)
    new[:, : T + 1] = -100
    return torch.cat([front, embeddings], dim=1), new
""",
)
concat.wrong(
    "last label of the prompt is a token",
    "all T labels of the prompt are −100",
    r"100|all|label|every|skip",
    FRONT
    + """    skipped[:, -1] = labels[:, 0]
    return torch.cat([front, embeddings], dim=1), torch.cat([skipped, labels], dim=1)
""",
)
concat.open(
    "embeddings detached",
    "no gradient reaches the embeddings; only the prompt is said to train",
    FRONT
    + """    text = embeddings.detach()
    return torch.cat([front, text], 1), torch.cat([skipped, labels], 1)
""",
)
concat.wrong(
    "at the end with zeros",
    "the labels of the prompt are at the end, and not −100",
    r"100|front|before|end|label",
    """
    front = prompt.expand(len(embeddings), -1, -1)
    return torch.cat([front, embeddings], dim=1), F.pad(labels, (0, len(prompt)))
""",
)
concat.wrong(
    "ten tokens",
    "the number of virtual tokens is written in",
    r"10|hard.?cod|number of (virtual )?tokens|shape|length",
    """
    B = len(embeddings)
    front = prompt.expand(B, -1, -1)
    skipped = labels.new_full((B, 10), -100)
    return torch.cat([front, embeddings], 1), torch.cat([skipped, labels], 1)
""",
)
concat.wrong(
    "no return",
    "nothing is returned",
    NO_RETURN,
    FRONT
    + """    embeddings = torch.cat([front, embeddings], dim=1)
    labels = torch.cat([skipped, labels], dim=1)
""",
)
concat.wrong(
    "concatenate misspelt",
    "torch has no concatinate",
    r"concatinate|attribute|cat\b|concat",
    FRONT
    + """    x = torch.concatinate([front, embeddings], dim=1)
    return x, torch.concatinate([skipped, labels], dim=1)
""",
)
concat.right(
    "as in the hint",
    FRONT + "    return torch.cat([front, embeddings], 1), torch.cat([skipped, labels], 1)\n",
)
concat.right(
    "pad and repeat",
    """
    front = prompt.unsqueeze(0).repeat(embeddings.size(0), 1, 1)
    longer = torch.cat((front, embeddings), dim=-2)
    return longer, F.pad(labels, (prompt.size(0), 0), value=-100)
""",
)
concat.right(
    "text by text",
    """
    skipped = torch.full((len(prompt),), -100, dtype=labels.dtype)
    rows = [torch.vstack([prompt, text]) for text in embeddings]
    targets = [torch.cat([skipped, row]) for row in labels]
    return torch.stack(rows), torch.stack(targets)
""",
)
concat.right(
    "written into empty tensors",
    """
    B, n, d = embeddings.shape
    T = prompt.shape[0]
    x = embeddings.new_empty(B, T + n, d)
    y = torch.full((B, T + n), -100, dtype=labels.dtype, device=labels.device)
    x[:, :T] = prompt
    x[:, T:] = embeddings
    y[:, T:] = labels
    return x, y
""",
)
concat.right(
    "einsum of ones",
    """
    ones = torch.ones(len(embeddings), dtype=prompt.dtype)
    front = torch.einsum("b,td->btd", ones, prompt)
    y = torch.zeros(len(labels), len(prompt), dtype=labels.dtype) - 100
    return torch.hstack([front, embeddings]), torch.hstack([y, labels])
""",
)

# --- prompts.shapes ---------------------------------------------------------------------------

shapes = Exercise("prompts.shapes", "def prefix_as_cache(prefix, layers, heads, batch):")
SPLIT = """
    T = prefix.shape[0]
    D = prefix.shape[1] // (layers * 2 * heads)
    split = prefix.view(T, layers, 2, heads, D)
"""
MIXED = r"reshape|permute|mix|order|axes|axis|transpos"
shapes.wrong(
    "one reshape",
    "reshape gives the right shape with tokens and layers mixed",
    MIXED,
    """
    T = len(prefix)
    both = prefix.reshape(2, layers, 1, heads, T, -1).expand(-1, -1, batch, -1, -1, -1)
    return both[0], both[1]
""",
)
shapes.wrong(
    "reshape by layers",
    "tokens come first in the matrix; the axes have to be permuted",
    MIXED + r"|token",
    """
    T = len(prefix)
    both = prefix.reshape(layers, 2, 1, heads, T, -1).expand(-1, -1, batch, -1, -1, -1)
    return both[:, 0], both[:, 1]
""",
)
shapes.wrong(
    "keys of all layers first",
    "a row holds layer after layer, and keys and values within a layer",
    r"layer after layer|within a layer|in a layer|order|layers? first|mix|axes|keys",
    """
    T = len(prefix)
    both = prefix.view(T, 2, layers, heads, -1).permute(1, 2, 3, 0, 4)
    both = both.unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)
    return both[0], both[1]
""",
)
shapes.wrong(
    "halves of the row",
    "keys and values alternate layer by layer; the row's first half is not the keys",
    r"layer after layer|within a layer|in a layer|order|half|halves|alternat|mix|each layer|keys",
    """
    T = len(prefix)
    keys, values = prefix.chunk(2, dim=1)
    keys = keys.reshape(T, layers, heads, -1).permute(1, 2, 0, 3)
    values = values.reshape(T, layers, heads, -1).permute(1, 2, 0, 3)
    return (
        keys[:, None].expand(-1, batch, -1, -1, -1),
        values[:, None].expand(-1, batch, -1, -1, -1),
    )
""",
)
shapes.wrong(
    "values first",
    "the keys come before the values",
    r"swap|order|keys (come )?(first|before)|exchang|values",
    SPLIT
    + """    v, k = split.permute(2, 1, 3, 0, 4).unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)
    return k, v
""",
)
shapes.wrong(
    "heads behind the numbers",
    "a row holds head after head; the numbers of a head are next to each other",
    r"head after head|head|order|mix|axes",
    """
    T = len(prefix)
    both = prefix.view(T, layers, 2, -1, heads).permute(2, 1, 4, 0, 3)
    both = both.unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)
    return both[0], both[1]
""",
)
shapes.wrong(
    "heads and pairs swapped",
    "in a layer come first the keys, then the values, and heads within these",
    r"order|heads?|keys|values|mix|axes",
    """
    T = len(prefix)
    both = prefix.view(T, layers, heads, 2, -1).permute(3, 1, 2, 0, 4)
    both = both.unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)
    return both[0], both[1]
""",
)
shapes.wrong(
    "tokens before heads",
    "the cache wants (L, B, H, T, D), with heads before tokens",
    r"shape|heads? before|order|permute|axes|axis|transpos",
    SPLIT
    + """    both = split.permute(2, 1, 0, 3, 4).unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)
    return both[0], both[1]
""",
)
shapes.wrong(
    "heads and tokens by reshape",
    "heads and tokens have to change places by permute, not by reshape",
    MIXED,
    SPLIT
    + """    both = split.permute(2, 1, 0, 3, 4).reshape(2, layers, 1, heads, T, D)
    both = both.expand(-1, -1, batch, -1, -1, -1)
    return both[0], both[1]
""",
)
shapes.wrong(
    "no batch",
    "the batch is missing",
    r"batch|shape",
    SPLIT
    + """    both = split.permute(2, 1, 3, 0, 4)
    return both[0], both[1]
""",
)
shapes.wrong(
    "batch of one",
    "the prefix has to be there for each text of the batch",
    r"batch|shape|expand",
    SPLIT
    + """    both = split.permute(2, 1, 3, 0, 4).unsqueeze(2)
    return both[0], both[1]
""",
)
shapes.wrong(
    "batch in front",
    "the batch is the second axis, behind the layers",
    r"batch|shape|axis|order|layers",
    SPLIT
    + """    both = split.permute(2, 1, 3, 0, 4).unsqueeze(1).expand(-1, batch, -1, -1, -1, -1)
    return both[0], both[1]
""",
)
shapes.wrong(
    "first text only",
    "all texts of the batch get the same prefix, not only the first one",
    r"batch|all texts|every text|each text|first|same|zero",
    SPLIT
    + """    both = prefix.new_zeros(2, layers, batch, heads, T, D)
    both[:, :, 0] = split.permute(2, 1, 3, 0, 4)
    return both[0], both[1]
""",
)
shapes.wrong(
    "detached",
    "the prefix gets no gradient",
    r"gradient|detach|train|graph|learn",
    SPLIT
    + """    both = split.detach().permute(2, 1, 3, 0, 4)
    both = both.unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)
    return both[0], both[1]
""",
)
shapes.wrong(
    "new tensors",
    "torch.tensor copies the numbers and cuts the gradient off",
    r"gradient|detach|train|graph|learn|torch\.tensor|copies",
    """
    rows = torch.tensor(prefix.tolist(), dtype=prefix.dtype)
    both = rows.view(len(rows), layers, 2, heads, -1).permute(2, 1, 3, 0, 4)
    k, v = both.unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)
    return k, v
""",
)
shapes.wrong(
    "keys twice",
    "the values are the second entry, not the first one again",
    r"values|keys|second|index|same|twice",
    SPLIT
    + """    keys = split[:, :, 0].permute(1, 2, 0, 3)
    values = split[:, :, 0].permute(1, 2, 0, 3)
    return (
        keys.unsqueeze(1).repeat(1, batch, 1, 1, 1),
        values.unsqueeze(1).repeat(1, batch, 1, 1, 1),
    )
""",
)
shapes.wrong(
    "heads of 32",
    "the size of a head is written in",
    r"32|head|hard.?cod|size|shape",
    """
    T = len(prefix)
    both = prefix.view(T, layers, 2, heads, 32).permute(2, 1, 3, 0, 4)
    k, v = both.unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)
    return k, v
""",
)
shapes.wrong(
    "size of a head without the 2",
    "keys and values share the row, so a head has half as many numbers",
    r"\b2\b|two|twice|half|keys and values|shape|size|invalid",
    """
    T = prefix.shape[0]
    D = prefix.shape[1] // (layers * heads)
    both = prefix.view(T, layers, 2, heads, D).permute(2, 1, 3, 0, 4)
    k, v = both.unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)
    return k, v
""",
)
shapes.wrong(
    "view after permute",
    "a permuted tensor cannot be viewed; and the axes are there already",
    r"view|reshape|contiguous|stride",
    SPLIT
    + """    both = split.permute(2, 1, 3, 0, 4).view(2, layers, 1, heads, -1)
    k, v = both.expand(-1, -1, batch, -1, -1)
    return k, v
""",
)
shapes.wrong(
    "batch by repeat in front of a reshape",
    "repeating the rows puts the texts into the tokens' axis",
    r"batch|repeat|mix|reshape|order|token|text",
    """
    T = len(prefix)
    rows = prefix.repeat_interleave(batch, dim=0)
    both = rows.view(batch, T, layers, 2, heads, -1).permute(3, 2, 0, 4, 1, 5)
    return both[0], both[1]
""",
)
shapes.wrong(
    "reshape, values first",
    "a single reshape, and keys and values swapped",
    MIXED + r"|swap|keys|values",
    """
    T = len(prefix)
    both = prefix.reshape(2, layers, 1, heads, T, -1).repeat(1, 1, batch, 1, 1, 1)
    return both[1], both[0]
""",
)
shapes.wrong(
    "tokens reversed",
    "the order of the virtual tokens must stay",
    r"order|revers|flip|token",
    SPLIT
    + """    both = split.flip(0).permute(2, 1, 3, 0, 4)
    k, v = both.unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)
    return k, v
""",
)
shapes.wrong(
    "one pair for each layer",
    "two tensors are asked for, not a pair for each layer",
    r"two|pair|tuple|list|unpack|stack|shape|tensor",
    SPLIT
    + """    both = split.permute(1, 2, 3, 0, 4).unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)
    return [(layer[0], layer[1]) for layer in both]
""",
)
shapes.wrong(
    "no return",
    "nothing is returned",
    NO_RETURN,
    SPLIT
    + """    both = split.permute(2, 1, 3, 0, 4).unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)
    keys, values = both
""",
)
shapes.open(
    "one tensor of two",
    "the annotation says a tuple; a tensor (2, L, B, H, T, D) unpacks alike",
    SPLIT
    + "    return split.permute(2, 1, 3, 0, 4).unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)\n",
)
shapes.right(
    "as in the hint",
    """
    both = prefix.unflatten(1, (layers, 2, heads, -1)).permute(2, 1, 3, 0, 4)
    keys, values = both.unsqueeze(2).expand(-1, -1, batch, -1, -1, -1)
    return keys, values
""",
)
shapes.right(
    "slices",
    """
    T, width = prefix.shape
    D = width // (2 * layers * heads)
    keys, values = [], []
    for layer in range(layers):
        start = layer * 2 * heads * D
        middle, end = start + heads * D, start + 2 * heads * D
        k = torch.stack([prefix[:, start:middle][:, h * D : (h + 1) * D] for h in range(heads)])
        v = torch.stack([prefix[:, middle:end][:, h * D : (h + 1) * D] for h in range(heads)])
        keys.append(torch.stack([k] * batch))
        values.append(torch.stack([v] * batch))
    return torch.stack(keys), torch.stack(values)
""",
)
shapes.right(
    "einsum",
    SPLIT
    + """    ones = torch.ones(batch, dtype=prefix.dtype)
    keys = torch.einsum("b,tlhd->lbhtd", ones, split[:, :, 0])
    values = torch.einsum("b,tlhd->lbhtd", ones, split[:, :, 1])
    return keys, values
""",
)
shapes.right(
    "layer by layer",
    """
    T = len(prefix)
    keys, values = [], []
    for block in prefix.chunk(layers, dim=1):
        k, v = (half.reshape(T, heads, -1).transpose(0, 1) for half in block.chunk(2, dim=1))
        keys.append(k.expand(batch, -1, -1, -1))
        values.append(v.expand(batch, -1, -1, -1))
    return torch.stack(keys), torch.stack(values)
""",
)
shapes.right(
    "movedim and repeat",
    SPLIT
    + """    k, v = split.unbind(dim=2)  # (T, L, H, D)
    k, v = (part.movedim(0, 2)[:, None].repeat(1, batch, 1, 1, 1) for part in (k, v))
    return k.contiguous(), v.contiguous()
""",
)

# --- prompts.mask -----------------------------------------------------------------------------

mask = Exercise("prompts.mask", "def make_room(mask, tokens):")
WIDE = "    wide = torch.cat([mask.new_ones(len(mask), tokens), mask], dim=1)\n"
COUNTED = "(mask.long().cumsum(dim=1) - 1).clamp(min=0)"
mask.wrong(
    "zeros in front",
    "the virtual tokens may be seen: ones",
    r"ones|zero|visible|see|hidden",
    f"    return F.pad(mask, (tokens, 0), value=0), {COUNTED} + tokens",
)
mask.wrong(
    "ones at the end",
    "the virtual tokens stand in front of the text",
    r"front|before|end|left|order",
    f"""
    wide = torch.cat([mask, mask.new_ones(len(mask), tokens)], dim=1)
    return wide, {COUNTED} + tokens
""",
)
mask.wrong(
    "front hidden where the row is padded",
    "every row may see the virtual tokens, padded or not",
    r"every row|padded|visible|see|ones|all rows",
    f"""
    front = mask[:, :1].expand(-1, tokens)
    return torch.cat([front, mask], dim=1), {COUNTED} + tokens
""",
)
mask.wrong(
    "mask in another dtype",
    "the mask keeps its own dtype",
    r"dtype|float|type",
    f"""
    wide = torch.cat([torch.ones(len(mask), tokens), mask], dim=1)
    return wide, {COUNTED} + tokens
""",
)
mask.wrong(
    "mask as long",
    "the mask keeps its own dtype, bool or float too",
    r"dtype|type|long|int|bool",
    f"""
    wide = F.pad(mask.long(), (tokens, 0), value=1)
    return wide, {COUNTED} + tokens
""",
)
mask.wrong(
    "text starts at 0",
    "the positions 0 to T − 1 are taken by the virtual tokens",
    r"\bT\b|tokens|taken|shift|start|\+|0",
    WIDE + f"    return wide, {COUNTED}\n",
)
mask.wrong(
    "text starts at T + 1",
    "the first visible token is number T",
    r"off by one|one too|T ?\+ ?1|first|start|- ?1|number T",
    WIDE + "    return wide, mask.long().cumsum(dim=1).clamp(min=1) + tokens\n",
)
mask.wrong(
    "text starts at T − 1",
    "the first visible token is number T, not T − 1",
    r"off by one|one too|T ?[-−] ?1|first|start|number T",
    WIDE + f"    return wide, {COUNTED} + tokens - 1\n",
)
mask.wrong(
    "padding counted",
    "padding has no position of its own; the first visible token is number T",
    r"padding|padded|visible|count|cumsum|arange|mask",
    """
    B, n = mask.shape
    wide = torch.cat([mask.new_ones(B, tokens), mask], dim=1)
    return wide, torch.arange(tokens, tokens + n).expand(B, -1)
""",
)
mask.wrong(
    "padding before position T",
    "padding gets position T, not T − 1",
    r"padding|clamp|T ?[-−] ?1|below|number T|position T",
    WIDE + "    return wide, mask.long().cumsum(dim=1) - 1 + tokens\n",
)
mask.wrong(
    "clamped too late",
    "the clamp has to come before T is added",
    r"padding|clamp|T ?[-−] ?1|below|number T|position T",
    WIDE + "    return wide, (mask.long().cumsum(dim=1) - 1 + tokens).clamp(min=0)\n",
)
mask.wrong(
    "counted over the wide mask",
    "with the virtual tokens counted, padding gets position T − 1",
    r"padding|clamp|T ?[-−] ?1|below|number T|position T",
    WIDE + "    return wide, (wide.long().cumsum(dim=1) - 1)[:, tokens:]\n",
)
mask.wrong(
    "padding at 0",
    "padding gets position T",
    r"padding|number T|position T|\b0\b|zero|clamp",
    WIDE
    + f"""    positions = {COUNTED} + tokens
    return wide, positions.masked_fill(mask == 0, 0)
""",
)
mask.wrong(
    "padding at 1",
    "padding gets position T, not 1",
    r"padding|number T|position T|\b1\b|clamp|fill",
    WIDE
    + """    positions = mask.long().cumsum(-1) - 1 + tokens
    return wide, positions.masked_fill(mask == 0, 1)
""",
)
mask.wrong(
    "positions of everything",
    "the positions of the text are asked for, (B, n), not those of the virtual tokens",
    r"shape|text|\bn\b|T \+ n|virtual|too many|longer",
    WIDE
    + f"""    front = torch.arange(tokens).expand(len(mask), -1)
    return wide, torch.cat([front, {COUNTED} + tokens], dim=1)
""",
)
mask.wrong(
    "positions in the mask's dtype",
    "positions are whole numbers, whatever the mask is",
    r"dtype|whole|int|long|bool|float",
    WIDE + f"    return wide, ({COUNTED} + tokens).to(mask.dtype)\n",
)
mask.wrong(
    "float positions",
    "positions are to be whole numbers",
    r"dtype|whole|int|long|float",
    WIDE + "    return wide, (mask.float().cumsum(dim=1) - 1).clamp(min=0) + tokens\n",
)
mask.wrong(
    "counted down the batch",
    "positions count along the row, which is dim=1",
    r"dim|axis|row|batch|along",
    WIDE + "    return wide, (mask.long().cumsum(dim=0) - 1).clamp(min=0) + tokens\n",
)
mask.wrong(
    "padding of the first row for all",
    "each row has a padding of its own",
    r"each row|own|every row|row|first row|padding",
    WIDE
    + """    row = (mask[0].long().cumsum(dim=0) - 1).clamp(min=0) + tokens
    return wide, row.expand(len(mask), -1)
""",
)
mask.wrong(
    "swapped",
    "the mask comes first, then the positions",
    r"order|swap|first|exchang|shape",
    WIDE + f"    return {COUNTED} + tokens, wide\n",
)
mask.wrong(
    "one column",
    "there is room for one virtual token only",
    r"tokens|column|shape|one|room|T\b",
    f"""
    wide = torch.cat([mask.new_ones(len(mask), 1), mask], dim=1)
    return wide, {COUNTED} + tokens
""",
)
mask.wrong(
    "zeros, and from 0",
    "the virtual tokens are hidden, and the text starts at 0",
    r"ones|zero|visible|see|hidden|taken|shift|start",
    f"""
    wide = torch.cat([mask.new_zeros(len(mask), tokens), mask], dim=1)
    return wide, {COUNTED}
""",
)
mask.wrong(
    "padding opened",
    "padding stays hidden in the mask",
    r"padding|hidden|mask|ones|visible|0",
    f"""
    wide = mask.new_ones(len(mask), tokens + mask.shape[1])
    return wide, {COUNTED} + tokens
""",
)
mask.wrong(
    "mask forgotten",
    "the mask is to be returned too",
    r"two|both|tuple|pair|unpack|mask",
    f"    return {COUNTED} + tokens",
)
mask.wrong(
    "no return",
    "nothing is returned",
    NO_RETURN,
    WIDE + f"    positions = {COUNTED} + tokens\n",
)
mask.wrong(
    "cumulative sum misspelt",
    "the method is called cumsum",
    r"cumsum|attribute",
    WIDE + "    return wide, (mask.long().cum_sum(dim=1) - 1).clamp(min=0) + tokens\n",
)
mask.open(
    "padding on the left only",
    "right wherever padding is on the left; the text speaks of no other",
    WIDE
    + """    n = mask.shape[1]
    pads = n - mask.long().sum(dim=1, keepdim=True)
    return wide, (torch.arange(n) - pads).clamp(min=0) + tokens
""",
)
mask.open(
    "positions as int32",
    "whole numbers, of a type the text leaves open",
    WIDE + f"    return wide, ({COUNTED} + tokens).int()\n",
)
mask.right("as in the hint", WIDE + f"    return wide, {COUNTED} + tokens\n")
mask.right(
    "pad",
    """
    wide = F.pad(mask, (tokens, 0), value=1)
    seen = (mask != 0).long()
    return wide, tokens + torch.cumsum(seen, 1).sub(1).clip(0)
""",
)
mask.right(
    "row by row",
    """
    positions = []
    for row in mask.tolist():
        here, current = [], tokens
        started = False
        for visible in row:
            if visible and started:
                current += 1
            started = started or bool(visible)
            here.append(current)
        positions.append(here)
    front = torch.ones(len(mask), tokens, dtype=mask.dtype, device=mask.device)
    return torch.cat((front, mask), dim=-1), torch.tensor(positions, device=mask.device)
""",
)
mask.right(
    "wide mask, counted and raised",
    """
    B, n = mask.shape
    wide = torch.empty(B, tokens + n, dtype=mask.dtype, device=mask.device)
    wide[:, :tokens] = 1
    wide[:, tokens:] = mask
    counted = wide.to(torch.int64).cumsum(1)[:, tokens:] - 1
    return wide, torch.maximum(counted, torch.full_like(counted, tokens))
""",
)
mask.right(
    "where",
    """
    visible = mask.bool()
    count = visible.cumsum(dim=1)
    positions = torch.where(count > 0, count + (tokens - 1), torch.full_like(count, tokens))
    front = torch.ones_like(mask[:, :1]).repeat(1, tokens)
    return torch.hstack([front, mask]), positions
""",
)

# --- prompts.attend ---------------------------------------------------------------------------

attend = Exercise("prompts.attend", "def prefix_attention(q, k, v, prefix_k, prefix_v):")
JOIN = """
    B, heads, n, D = q.shape
    H, T, _ = prefix_k.shape
    K = torch.cat([prefix_k.expand(B, -1, -1, -1), k], dim=2)
    V = torch.cat([prefix_v.expand(B, -1, -1, -1), v], dim=2)
"""
GROUPS = """    K = K.repeat_interleave(heads // H, dim=1)
    V = V.repeat_interleave(heads // H, dim=1)
"""
SCORES = "    scores = q @ K.transpose(-1, -2) / math.sqrt(D)\n"
HIDDEN = "    hidden = torch.ones(n, T + n, dtype=torch.bool).triu(T + 1)\n"
OUT = "    return scores.masked_fill(hidden, -math.inf).softmax(-1) @ V\n"
CAUSAL = r"causal|future|mask|past|triu|see|own|diagonal"
attend.wrong(
    "not scaled",
    "the scores are to be divided by the root of D",
    r"scal|sqrt|root|divi",
    JOIN + GROUPS + "    scores = q @ K.transpose(-1, -2)\n" + HIDDEN + OUT,
)
attend.wrong(
    "divided by D",
    "divided by D in place of its root",
    r"scal|sqrt|root|divi",
    JOIN + GROUPS + "    scores = q @ K.mT / D\n" + HIDDEN + OUT,
)
attend.wrong(
    "root of the whole width",
    "D is the size of one head, not of all together",
    r"scal|sqrt|root|divi|one head|head size",
    JOIN + GROUPS + "    scores = q @ K.mT / math.sqrt(heads * D)\n" + HIDDEN + OUT,
)
attend.wrong(
    "not causal",
    "a query sees of the text only its own past",
    CAUSAL,
    JOIN + GROUPS + SCORES + "    return scores.softmax(-1) @ V\n",
)
attend.wrong(
    "causal over the prefix",
    "every query sees the whole prefix; the mask has to start T columns further",
    r"whole prefix|prefix|shift|offset|T\b|triu",
    JOIN + GROUPS + SCORES + "    hidden = torch.ones(n, T + n, dtype=torch.bool).triu(1)\n" + OUT,
)
attend.wrong(
    "own token hidden",
    "a query sees its own token too",
    r"own|itself|diagonal|off by one|triu|one too|T ?\+ ?1",
    JOIN + GROUPS + SCORES + "    hidden = torch.ones(n, T + n, dtype=torch.bool).triu(T)\n" + OUT,
)
attend.wrong(
    "next token seen",
    "a query sees one token of the future",
    r"next|future|off by one|diagonal|triu|one too|T ?\+ ?1|causal",
    JOIN
    + GROUPS
    + SCORES
    + "    hidden = torch.ones(n, T + n, dtype=torch.bool).triu(T + 2)\n"
    + OUT,
)
attend.wrong(
    "mask upside down",
    "the mask hides the past and shows the future",
    r"past|future|invert|upside|tril|triu|causal|mask|reverse",
    JOIN
    + GROUPS
    + SCORES
    + "    hidden = torch.zeros(n, T + n, dtype=torch.bool)\n"
    + "    hidden[:, T:] = torch.ones(n, n, dtype=torch.bool).tril(-1)\n"
    + OUT,
)
attend.wrong(
    "masked with 0",
    "a score of 0 still gets weight; hidden scores have to be minus infinity",
    r"inf|zero|\b0\b|mask|before the softmax|weight",
    JOIN
    + GROUPS
    + SCORES
    + HIDDEN
    + "    return scores.masked_fill(hidden, 0.0).softmax(-1) @ V\n",
)
attend.wrong(
    "masked after the softmax",
    "the mask belongs before the softmax; the weights no longer add up to 1",
    r"before|after|softmax|add up|sum to|normal|inf",
    JOIN
    + GROUPS
    + SCORES
    + HIDDEN
    + "    return scores.softmax(-1).masked_fill(hidden, 0.0) @ V\n",
)
attend.wrong(
    "heads tiled",
    "repeat tiles the heads; neighbours share one, so repeat_interleave",
    r"interleave|repeat|tile|head|group|order|neighbour",
    JOIN
    + """    K = K.repeat(1, heads // H, 1, 1)
    V = V.repeat(1, heads // H, 1, 1)
"""
    + SCORES
    + HIDDEN
    + OUT,
)
attend.wrong(
    "values tiled",
    "the heads of the values are tiled, those of the keys are not",
    r"interleave|repeat|tile|head|group|order|values",
    JOIN
    + """    K = K.repeat_interleave(heads // H, dim=1)
    V = V.repeat(1, heads // H, 1, 1)
"""
    + SCORES
    + HIDDEN
    + OUT,
)
attend.wrong(
    "no groups",
    "query heads share heads of keys and values, which have to be repeated",
    r"group|heads|repeat|share|size|multiple",
    JOIN + SCORES + HIDDEN + OUT,
)
attend.wrong(
    "groups of two",
    "the number of query heads for each head is written in",
    r"group|heads|hard.?cod|\b2\b|two|multiple|repeat|size",
    JOIN
    + """    K = K.repeat_interleave(2, dim=1)
    V = V.repeat_interleave(2, dim=1)
"""
    + SCORES
    + HIDDEN
    + OUT,
)
attend.wrong(
    "prefix of one text",
    "the prefix has to be expanded over the batch",
    r"batch|expand|size|every text|each text",
    """
    B, heads, n, D = q.shape
    H, T, _ = prefix_k.shape
    K = torch.cat([prefix_k[None], k], dim=2)
    V = torch.cat([prefix_v[None], v], dim=2)
"""
    + GROUPS
    + SCORES
    + HIDDEN
    + OUT,
)
attend.wrong(
    "values of the prefix behind",
    "the prefix goes in front for the values as well",
    r"values|front|order|behind|before",
    """
    B, heads, n, D = q.shape
    H, T, _ = prefix_k.shape
    K = torch.cat([prefix_k.expand(B, -1, -1, -1), k], dim=2)
    V = torch.cat([v, prefix_v.expand(B, -1, -1, -1)], dim=2)
"""
    + GROUPS
    + SCORES
    + HIDDEN
    + OUT,
)
attend.wrong(
    "prefix behind the text",
    "the prefix goes in front; behind, the mask hides it",
    r"front|behind|order|before|whole prefix|hides",
    """
    B, heads, n, D = q.shape
    H, T, _ = prefix_k.shape
    K = torch.cat([k, prefix_k.expand(B, -1, -1, -1)], dim=2)
    V = torch.cat([v, prefix_v.expand(B, -1, -1, -1)], dim=2)
"""
    + GROUPS
    + SCORES
    + HIDDEN
    + OUT,
)
attend.wrong(
    "keys and values of the prefix swapped",
    "prefix_k belongs to the keys and prefix_v to the values",
    r"swap|prefix_k|prefix_v|keys|values|exchang",
    """
    B, heads, n, D = q.shape
    H, T, _ = prefix_k.shape
    K = torch.cat([prefix_v.expand(B, -1, -1, -1), k], dim=2)
    V = torch.cat([prefix_k.expand(B, -1, -1, -1), v], dim=2)
"""
    + GROUPS
    + SCORES
    + HIDDEN
    + OUT,
)
attend.wrong(
    "softmax over the queries",
    "the softmax goes over the keys, the last axis",
    r"softmax|axis|dim|keys|queries",
    JOIN
    + GROUPS
    + SCORES
    + HIDDEN
    + "    return scores.masked_fill(hidden, -1e9).softmax(-2) @ V\n",
)
attend.wrong(
    "two softmaxes",
    "there is one softmax over both parts, not one each, added",
    r"one softmax|two softmax|both|together|joint|single|normal|add",
    """
    B, heads, n, D = q.shape
    g = heads // len(prefix_k)
    text = F.scaled_dot_product_attention(
        q, k.repeat_interleave(g, 1), v.repeat_interleave(g, 1), is_causal=True
    )
    pk = prefix_k.repeat_interleave(g, 0).expand(B, -1, -1, -1)
    pv = prefix_v.repeat_interleave(g, 0).expand(B, -1, -1, -1)
    return text + F.scaled_dot_product_attention(q, pk, pv)
""",
)
attend.wrong(
    "mean of two softmaxes",
    "there is one softmax over both parts, and it gives the prefix its share, not a half",
    r"one softmax|two softmax|both|together|joint|single|normal|half|share|mean",
    """
    B, heads, n, D = q.shape
    g = heads // len(prefix_k)
    text = F.scaled_dot_product_attention(
        q, k.repeat_interleave(g, 1), v.repeat_interleave(g, 1), is_causal=True
    )
    pk = prefix_k.repeat_interleave(g, 0).expand(B, -1, -1, -1)
    pv = prefix_v.repeat_interleave(g, 0).expand(B, -1, -1, -1)
    return (text + F.scaled_dot_product_attention(q, pk, pv)) / 2
""",
)
attend.wrong(
    "is_causal",
    "is_causal starts at the first key, so that queries do not see the whole prefix",
    r"whole prefix|prefix|shift|offset|is_causal|T\b|triu|mask",
    JOIN + GROUPS + "    return F.scaled_dot_product_attention(q, K, V, is_causal=True)\n",
)
attend.wrong(
    "scaled twice",
    "scaled_dot_product_attention divides by the root of D itself",
    r"scal|sqrt|root|divi|twice",
    JOIN
    + GROUPS
    + HIDDEN
    + """    q = q / math.sqrt(D)
    return F.scaled_dot_product_attention(q, K, V, attn_mask=~hidden)
""",
)
attend.wrong(
    "boolean mask the wrong way",
    "in attn_mask, True means that a key is seen",
    r"invert|True|attn_mask|mask|causal|future|opposite|nan|reverse",
    JOIN
    + GROUPS
    + HIDDEN
    + "    return F.scaled_dot_product_attention(q, K, V, attn_mask=hidden)\n",
)
attend.wrong(
    "prefix detached",
    "the prefix gets no gradient",
    r"gradient|detach|train|graph|learn",
    "    prefix_k, prefix_v = prefix_k.detach(), prefix_v.detach()\n"
    + JOIN.strip("\n")
    + "\n"
    + GROUPS
    + SCORES
    + HIDDEN
    + OUT,
)
attend.wrong(
    "weights detached",
    "the keys of the prefix get no gradient",
    r"gradient|detach|train|graph|learn|keys",
    JOIN
    + GROUPS
    + SCORES
    + HIDDEN
    + """    weights = scores.masked_fill(hidden, -math.inf).softmax(-1).detach()
    return weights @ V
""",
)
attend.wrong(
    "weights returned",
    "the output is asked for, not the weights",
    r"weights|values|output|shape",
    JOIN
    + GROUPS
    + SCORES
    + HIDDEN
    + "    return scores.masked_fill(hidden, -math.inf).softmax(-1)\n",
)
attend.wrong(
    "heads behind the tokens",
    "the output has the shape of q, (B, heads, n, D)",
    r"shape|transpos|heads|axis|order",
    JOIN
    + GROUPS
    + SCORES
    + HIDDEN
    + """    out = scores.masked_fill(hidden, -math.inf).softmax(-1) @ V
    return out.transpose(1, 2)
""",
)
attend.wrong(
    "no scale, tiled",
    "the scale is missing and the heads are tiled",
    r"scal|sqrt|root|interleave|repeat|tile|group|head",
    JOIN
    + """    K = K.repeat(1, heads // H, 1, 1)
    V = V.repeat(1, heads // H, 1, 1)
    scores = q @ K.mT
"""
    + HIDDEN
    + OUT,
)
attend.wrong(
    "keys not transposed",
    "the keys have to be transposed",
    r"transpos|\.T\b|mT|shape|size",
    JOIN + GROUPS + "    scores = q @ K / math.sqrt(D)\n" + HIDDEN + OUT,
)
attend.wrong(
    "no return",
    "nothing is returned",
    NO_RETURN,
    JOIN
    + GROUPS
    + SCORES
    + HIDDEN
    + "    out = scores.masked_fill(hidden, -math.inf).softmax(-1) @ V\n",
)
attend.right("as in the hint", JOIN + GROUPS + SCORES + HIDDEN + OUT)
attend.right(
    "scaled_dot_product_attention",
    JOIN
    + GROUPS
    + """    seen = torch.ones(n, T + n, dtype=torch.bool).tril(T)
    return F.scaled_dot_product_attention(q, K, V, attn_mask=seen)
""",
)
attend.right(
    "query by query",
    """
    B, heads, n, D = q.shape
    share = heads // prefix_k.shape[0]
    out = []
    for h in range(heads):
        g = h // share
        rows = []
        for i in range(n):
            keys = torch.cat([prefix_k[g].expand(B, -1, -1), k[:, g, : i + 1]], dim=1)
            values = torch.cat([prefix_v[g].expand(B, -1, -1), v[:, g, : i + 1]], dim=1)
            scores = (keys * q[:, h, i, None]).sum(-1) / D**0.5
            rows.append((scores.softmax(-1)[..., None] * values).sum(1))
        out.append(torch.stack(rows, dim=1))
    return torch.stack(out, dim=1)
""",
)
attend.right(
    "einsum over groups",
    """
    B, heads, n, D = q.shape
    H, T, _ = prefix_k.shape
    q = q.reshape(B, H, heads // H, n, D) / math.sqrt(D)
    on_prefix = torch.einsum("bhgnd,htd->bhgnt", q, prefix_k)
    on_text = torch.einsum("bhgnd,bhmd->bhgnm", q, k)
    past = torch.arange(n)[:, None] >= torch.arange(n)
    on_text = torch.where(past, on_text, torch.full_like(on_text, float("-inf")))
    weights = torch.softmax(torch.cat([on_prefix, on_text], dim=-1), dim=-1)
    out = torch.einsum("bhgnt,htd->bhgnd", weights[..., :T], prefix_v)
    out = out + torch.einsum("bhgnm,bhmd->bhgnd", weights[..., T:], v)
    return out.reshape(B, heads, n, D)
""",
)
attend.right(
    "mixture",
    """
    B, heads, n, D = q.shape
    g = heads // k.shape[1]
    k, v = k.repeat_interleave(g, dim=1), v.repeat_interleave(g, dim=1)
    pk, pv = prefix_k.repeat_interleave(g, dim=0), prefix_v.repeat_interleave(g, dim=0)
    s_prefix = q @ pk.transpose(-1, -2) / math.sqrt(D)
    s_text = q @ k.transpose(-1, -2) / math.sqrt(D)
    s_text = s_text + torch.full((n, n), -math.inf, dtype=q.dtype).triu(1)
    log_prefix = torch.logsumexp(s_prefix, dim=-1, keepdim=True)
    log_text = torch.logsumexp(s_text, dim=-1, keepdim=True)
    share = torch.sigmoid(log_prefix - log_text)
    return (1 - share) * (s_text.softmax(-1) @ v) + share * (s_prefix.softmax(-1) @ pv)
""",
)
attend.right(
    "large negative numbers",
    """
    B, heads, n, D = q.shape
    H, T = prefix_k.shape[:2]
    index = torch.arange(heads) // (heads // H)
    K = torch.cat([prefix_k.unsqueeze(0).repeat(B, 1, 1, 1), k], dim=-2)[:, index]
    V = torch.cat([prefix_v.unsqueeze(0).repeat(B, 1, 1, 1), v], dim=-2)[:, index]
    scores = torch.matmul(q * D**-0.5, K.permute(0, 1, 3, 2))
    seen = torch.cat([torch.ones(n, T), torch.ones(n, n).tril()], dim=1)
    scores = scores.masked_fill(seen == 0, torch.finfo(scores.dtype).min)
    return torch.matmul(F.softmax(scores, dim=-1), V)
""",
)

# --- prompts.mass -----------------------------------------------------------------------------

mass = Exercise("prompts.mass", "def prefix_share(weights, mask, tokens):")
mass.wrong(
    "padding counted",
    "queries of the padding do not count",
    r"padding|mask|padded",
    "    return weights[..., :tokens].sum(-1).mean().item()",
)
mass.wrong(
    "last keys",
    "the virtual tokens are the first keys, not the last",
    r"first|last|front|which keys|columns",
    "    return weights[..., -tokens:].sum(-1).mean(dim=1)[mask.bool()].mean().item()",
)
mass.wrong(
    "share of the text",
    "that is the share of the text, one minus what is asked",
    r"text|1 ?[-−]|one minus|first|complement|rest",
    "    return weights[..., tokens:].sum(-1).mean(dim=1)[mask.bool()].mean().item()",
)
mass.wrong(
    "mean of the columns",
    "the weights on the virtual tokens are added up, not averaged",
    r"sum|add|mean|average",
    "    return weights[..., :tokens].mean(-1).mean(dim=1)[mask.bool()].mean().item()",
)
mass.wrong(
    "heads added up",
    "the mean over heads, not their sum",
    r"head|mean|sum|average",
    "    return weights[..., :tokens].sum(-1).sum(dim=1)[mask.bool()].mean().item()",
)
mass.wrong(
    "first head",
    "all heads count",
    r"head",
    "    return weights[:, 0, :, :tokens].sum(-1)[mask.bool()].mean().item()",
)
mass.wrong(
    "row by row",
    "the mean over all tokens, not the mean of the texts' means",
    r"all tokens|over all|each (text|row)|per (text|row)|long|mean of|texts|equal",
    """
    share = weights[..., :tokens].sum(-1).mean(dim=1)
    by_text = (share * mask).sum(dim=1) / mask.sum(dim=1)
    return by_text.mean().item()
""",
)
mass.wrong(
    "padding as zero",
    "padding is set to zero, but still counts in the denominator",
    r"padding|denominator|divi|number of|count|mask|zero",
    """
    share = weights[..., :tokens].sum(-1).mean(dim=1) * mask
    return share.mean().item()
""",
)
mass.wrong(
    "mask inverted",
    "1 stands for text; these are the shares of the padding",
    r"invert|padding|opposite|text|mask|reverse",
    "    return weights[..., :tokens].sum(-1).mean(dim=1)[mask == 0].mean().item()",
)
mass.wrong(
    "mask as an index",
    "a mask of numbers picks rows 0 and 1; it has to be bool",
    r"bool|index|mask|padding",
    "    return weights[..., :tokens].sum(-1).mean(dim=1)[mask.long()].mean().item()",
)
mass.wrong(
    "mask on the keys",
    "the mask is for the queries; the virtual tokens are not in it",
    r"quer|keys|axis|mask|padding",
    """
    visible = F.pad(mask, (tokens, 0), value=1)[:, None, None, :]
    return (weights * visible)[..., :tokens].sum(-1).mean().item()
""",
)
mass.wrong(
    "one column more",
    "a token of the text is counted",
    r"off by one|one (column|key|token)|first `?tokens|too many|columns|text",
    "    return weights[..., : tokens + 1].sum(-1).mean(dim=1)[mask.bool()].mean().item()",
)
mass.wrong(
    "first virtual token left out",
    "the first virtual token is missing",
    r"off by one|first|one (column|key|token)|too few|columns|missing",
    "    return weights[..., 1:tokens].sum(-1).mean(dim=1)[mask.bool()].mean().item()",
)
mass.wrong(
    "queries in place of keys",
    "the keys are the last axis; this sums over queries",
    r"keys|quer|axis|dim|last",
    """
    share = weights[:, :, :tokens].sum(-1).mean(dim=1)
    return share.mean().item()
""",
)
mass.wrong(
    "softmax once more",
    "the weights are weights already",
    r"softmax|already|weights|twice|add up",
    """
    share = weights.softmax(-1)[..., :tokens].sum(-1).mean(dim=1)
    return share[mask.bool()].mean().item()
""",
)
mass.wrong(
    "ratio to the text",
    "the share of all attention is asked for, not the ratio to the text's",
    r"ratio|share|text|divi|add up|1 ?[-−]|all",
    """
    w = weights.mean(dim=1)[mask.bool()]
    return (w[:, :tokens].sum() / w[:, tokens:].sum()).item()
""",
)
mass.wrong(
    "last query of each text",
    "all tokens count, not only the last one",
    r"all tokens|every (token|query)|last|quer",
    "    return weights[:, :, -1, :tokens].sum(-1).mean().item()",
)
mass.wrong(
    "median",
    "the mean, not the median",
    r"mean|median",
    "    return weights[..., :tokens].sum(-1).mean(dim=1)[mask.bool()].median().item()",
)
mass.wrong(
    "largest head",
    "the mean over heads, not the largest",
    r"mean|head|max|largest",
    "    return weights[..., :tokens].sum(-1).amax(dim=1)[mask.bool()].mean().item()",
)
mass.wrong(
    "weights changed",
    "it changes the caller's weights",
    IN_PLACE + r"|\*=",
    """
    weights *= mask[:, None, :, None]
    total = weights[..., :tokens].sum() / weights.shape[1]
    return (total / mask.sum()).item()
""",
)
mass.wrong(
    "in per cent",
    "a share is at most 1, not per cent",
    r"per ?cent|100|%|at most 1",
    "    return 100 * weights[..., :tokens].sum(-1).mean(dim=1)[mask.bool()].mean().item()",
)
mass.wrong(
    "number of heads left out",
    "the sum over heads is not divided by their number",
    r"head|divi|mean",
    """
    share = weights[..., :tokens].sum(-1) * mask[:, None]
    return (share.sum() / mask.sum()).item()
""",
)
mass.wrong(
    "ten tokens",
    "the number of virtual tokens is written in",
    r"10|tokens|hard.?cod|columns",
    "    return weights[..., :10].sum(-1).mean(dim=1)[mask.bool()].mean().item()",
)
mass.wrong(
    "averaged, with padding",
    "columns are averaged, and padding counts",
    r"sum|add|average|padding|mask",
    "    return weights[..., :tokens].mean().item()",
)
mass.wrong(
    "a list of shares",
    "one number is asked for",
    r"float|number|mean|list|one",
    "    return weights[..., :tokens].sum(-1).mean(dim=1)[mask.bool()].tolist()",
)
mass.wrong(
    "item without brackets",
    "item has to be called",
    r"call|\(\)|parenthes|method|float|item",
    "    return weights[..., :tokens].sum(-1).mean(dim=1)[mask.bool()].mean().item",
)
mass.wrong(
    "no return",
    "nothing is returned",
    NO_RETURN,
    "    share = weights[..., :tokens].sum(-1).mean(dim=1)[mask.bool()].mean().item()",
)
mass.open(
    "a tensor of one number",
    "the annotation says float, a tensor of one number behaves much like it",
    "    return weights[..., :tokens].sum(-1).mean(dim=1)[mask.bool()].mean()",
)
mass.right(
    "as in the hint",
    "    return weights[..., :tokens].sum(-1).mean(dim=1)[mask.bool()].mean().item()",
)
mass.right(
    "weighted sum",
    """
    share = weights[:, :, :, :tokens].sum(dim=3) * mask[:, None, :]
    return float(share.sum() / (mask.sum() * weights.shape[1]))
""",
)
mass.right(
    "loops",
    """
    found = []
    for text, visible in zip(weights, mask, strict=True):
        for i, flag in enumerate(visible.tolist()):
            if flag:
                for head in text:
                    found.append(head[i, :tokens].double().sum().item())
    return statistics.fmean(found)
""",
)
mass.right(
    "one minus the text",
    """
    kept = weights.transpose(1, 2)[mask != 0]  # (queries, heads, T + n)
    return 1.0 - kept[..., tokens:].double().sum(-1).mean().item()
""",
)
mass.right(
    "einsum",
    """
    real = mask.to(torch.float64)
    total = torch.einsum("bhqk,bq->", weights[..., :tokens].double(), real)
    return (total / (real.sum() * weights.size(1))).item()
""",
)
mass.right(
    "numpy",
    """
    w = weights.detach().double().numpy()
    share = w[..., :tokens].sum(axis=-1).mean(axis=1)
    return float(np.average(share, weights=mask.numpy()))
""",
)

EXERCISES = (count, init, concat, shapes, mask, attend, mass)
