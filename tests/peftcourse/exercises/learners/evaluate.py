"""Answers to the exercises of lesson 11, written from its text alone."""

from tests.peftcourse.exercises.learners.answers import Exercise

# --- evaluate.tokens ---------------------------------------------------------------------------

tokens = Exercise("evaluate.tokens", "def token_loss(logits, labels):")

tokens.wrong(
    "no shift",
    "the logits at t are compared with the label at t, not at t + 1",
    r"shift|t ?\+ ?1|next token|same position|not.*mov",
    "    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)",
)
tokens.wrong(
    "shifted backwards",
    "shifted the wrong way: the logits at t + 1 are compared with the label at t",
    r"wrong (way|direction)|backward|other (way|direction)|previous|t ?[-−] ?1|opposite",
    """
    return F.cross_entropy(logits[:, 1:].flatten(0, 1), labels[:, :-1].flatten())
""",
)
tokens.wrong(
    "shifted twice",
    "shifted twice: position t is compared with the label at t + 2",
    r"twice|t ?\+ ?2|two|once more|too far",
    """
    labels = F.pad(labels[:, 1:], (0, 1), value=-100)
    shifted_logits = logits[:, :-1, :].contiguous()
    shifted_labels = labels[:, 1:].contiguous()
    return F.cross_entropy(
        shifted_logits.view(-1, logits.size(-1)), shifted_labels.view(-1), ignore_index=-100
    )
""",
)
tokens.wrong(
    "shifted after flattening",
    "the shift crosses rows: the last position of a row predicts the first label of the next",
    r"row|flatten|next (sequence|example)|across|border|boundar",
    """
    flat_logits = logits.reshape(-1, logits.size(-1))
    flat_labels = labels.reshape(-1)
    return F.cross_entropy(flat_logits[:-1], flat_labels[1:], ignore_index=-100)
""",
)
tokens.wrong(
    "a sum",
    "the sum of the losses, not their mean",
    r"\bsum|mean|averag|divid",
    """
    return F.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum"
    )
""",
)
tokens.wrong(
    "mean of the rows' means",
    "a mean of row means: rows with few targets weigh as much as rows with many",
    r"row|each (sequence|example)|weigh|mean of (the )?means|per (sequence|example)",
    """
    total = 0
    for row_logits, row_labels in zip(logits, labels):
        total = total + F.cross_entropy(row_logits[:-1], row_labels[1:], ignore_index=-100)
    return total / len(logits)
""",
)
tokens.wrong(
    "divided by all positions",
    "the sum is divided by all positions, those with -100 included",
    r"all positions|ignored|[-−]100|padding|denominator|divid|number of targets",
    """
    losses = F.cross_entropy(
        logits[:, :-1].transpose(1, 2), labels[:, 1:], ignore_index=-100, reduction="none"
    )
    return losses.mean()
""",
)
tokens.wrong(
    "first label in the divisor",
    "the divisor counts targets before the shift, so first labels that nothing predicts count",
    r"first (label|position|token)|divid|denominator|before the shift",
    """
    loss = F.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum"
    )
    return loss / (labels != -100).sum()
""",
)
tokens.wrong(
    "-100 becomes token 0",
    "ignored labels are turned into token 0 and count in the loss",
    r"[-−]100|ignor|padding|prompt|token 0|clamp",
    """
    targets = labels[:, 1:].clamp(min=0)
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten())
""",
)
tokens.wrong(
    "bits",
    "the logarithm to base 2: bits, where nats are asked for",
    r"\bbits?\b|nats?|base|log2|ln ?2|0\.69|1\.44",
    """
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    return loss / math.log(2)
""",
)
tokens.wrong(
    "softmax first",
    "cross_entropy takes logits; here it gets probabilities, so softmax is applied twice",
    r"softmax|probabilit|normali[sz]",
    """
    probs = logits.softmax(dim=-1)
    return F.cross_entropy(probs[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
""",
)
tokens.wrong(
    "softmax over positions",
    "the softmax runs over the positions, not over the vocabulary",
    r"dim|axis|vocab|positions|last dimension",
    """
    logp = logits[:, :-1].log_softmax(dim=1)
    target = labels[:, 1:]
    mask = target != -100
    picked = logp.gather(2, target.clamp(min=0).unsqueeze(2)).squeeze(2)
    return -(picked * mask).sum() / mask.sum()
""",
)
tokens.wrong(
    "no minus",
    "the mean log-probability: its sign has to be turned round",
    r"sign|minus|negativ",
    """
    logp = logits[:, :-1].log_softmax(dim=-1)
    target = labels[:, 1:]
    mask = target != -100
    return logp[mask].gather(1, target[mask].unsqueeze(1)).mean()
""",
)
tokens.wrong(
    "detached",
    "no gradient reaches the logits: the loss is detached",
    r"gradient|detach|no_grad|backward|train|\.data|item",
    """
    with torch.no_grad():
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
""",
)
tokens.wrong(
    "item",
    "a Python number, where a tensor with its gradient is asked for",
    r"gradient|tensor|item",
    """
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    return loss.item()
""",
)
tokens.wrong(
    "labels overwritten",
    "the caller's labels are changed in place",
    r"in place|in-place|chang|modif|overwr|clone",
    """
    mask = labels != -100
    labels[~mask] = 0
    losses = F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:], reduction="none")
    return (losses * mask[:, 1:]).sum() / mask[:, 1:].sum()
""",
)
tokens.wrong(
    "one row only",
    "only the first row of the batch counts",
    r"first (row|sequence|example)|batch|\brows?\b",
    "    return F.cross_entropy(logits[0, :-1], labels[0, 1:], ignore_index=-100)",
)
tokens.wrong(
    "ignores 0 instead of -100",
    "ignore_index is 0, so -100 is taken for a class and token 0 is left out",
    r"ignore_index|[-−]100|token 0|out of (bounds|range)",
    """
    return F.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=0
    )
""",
)
tokens.wrong(
    "no shift and a sum",
    "not shifted, and summed where a mean is asked for",
    r"shift|t ?\+ ?1|next token|\bsum|mean|averag",
    """
    logp = torch.log_softmax(logits, dim=-1)
    mask = labels != -100
    return -logp[mask].gather(1, labels[mask][:, None]).sum()
""",
)
tokens.wrong(
    "vocabulary of the model in the lab",
    "the size of the vocabulary is hard-coded",
    r"4,?096|hard|vocab|invalid",
    """
    shift_logits = logits[:, :-1].reshape(-1, 4096)
    shift_labels = labels[:, 1:].reshape(-1)
    return F.cross_entropy(shift_logits, shift_labels, ignore_index=-100)
""",
)
tokens.wrong(
    "printed",
    "the function prints and returns nothing",
    r"return|None|prints",
    """
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    print(loss)
""",
)
tokens.wrong(
    "misspelt function",
    "F has no crossentropy: it is called cross_entropy",
    r"cross_?entropy",
    "    return F.crossentropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())",
)
tokens.right(
    "slices flattened",
    """
    vocab = logits.shape[-1]
    shifted = logits[:, :-1, :].contiguous().view(-1, vocab)
    targets = labels[:, 1:].contiguous().view(-1)
    return nn.CrossEntropyLoss(ignore_index=-100)(shifted, targets)
""",
)
tokens.right(
    "classes on axis 1",
    """
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:], ignore_index=-100)
""",
)
tokens.right(
    "gather with a mask",
    """
    targets = labels[:, 1:]
    mask = targets.ne(-100)
    logp = logits[:, :-1].log_softmax(-1)
    safe = targets.masked_fill(~mask, 0)
    nll = -logp.gather(-1, safe.unsqueeze(-1)).squeeze(-1)
    return (nll * mask).sum() / mask.sum()
""",
)
tokens.right(
    "loops",
    """
    losses = []
    for b in range(labels.shape[0]):
        for t in range(labels.shape[1] - 1):
            target = labels[b, t + 1].item()
            if target == -100:
                continue
            losses.append(torch.logsumexp(logits[b, t], 0) - logits[b, t, target])
    return torch.stack(losses).mean()
""",
)
tokens.right(
    "labels padded at the end",
    """
    shifted = torch.full_like(labels, -100)
    shifted[:, :-1] = labels[:, 1:]
    return F.cross_entropy(logits.flatten(0, 1), shifted.flatten())
""",
)
tokens.right(
    "in float64, with one-hot rows",
    """
    keep = labels[:, 1:] != -100
    rows = logits[:, :-1][keep].double()
    one_hot = F.one_hot(labels[:, 1:][keep], logits.size(-1)).double()
    loss = (rows.logsumexp(dim=1) - torch.einsum("nv,nv->n", rows, one_hot)).mean()
    return loss.to(logits.dtype)
""",
)

# --- evaluate.stop -----------------------------------------------------------------------------

stop = Exercise("evaluate.stop", "def early_stop(losses, patience, min_delta):")

stop.wrong(
    "min_delta forgotten",
    "any lower loss counts as an improvement: min_delta is not used",
    r"min_delta|margin|too small|small improvement|noise",
    """
    kept, waited = 0, 0
    for i in range(1, len(losses)):
        if losses[i] < losses[kept]:
            kept, waited = i, 0
        else:
            waited += 1
            if waited == patience:
                return kept, i
    return kept, len(losses) - 1
""",
)
stop.wrong(
    "min_delta added",
    "min_delta is added: a loss that is a little higher counts as an improvement",
    r"min_delta|\badd|sign|higher|plus|subtract",
    """
    kept, waited = 0, 0
    for i in range(1, len(losses)):
        if losses[i] < losses[kept] + min_delta:
            kept, waited = i, 0
        else:
            waited += 1
            if waited == patience:
                return kept, i
    return kept, len(losses) - 1
""",
)
stop.wrong(
    "<= for <",
    "a fall by exactly min_delta (or, with 0, an equal loss) counts, where more is asked for",
    r"equal|more than|<=|≤|\btie|strict",
    """
    kept, waited = 0, 0
    for i in range(1, len(losses)):
        if losses[i] <= losses[kept] - min_delta:
            kept = i
            waited = 0
        else:
            waited += 1
        if waited >= patience:
            return kept, i
    return kept, len(losses) - 1
""",
)
stop.wrong(
    "compared with the previous one",
    "each loss is compared with the one before it, not with that of the kept evaluation",
    r"previous|before it|last (one|evaluation|loss)|kept|best|neighbou?r",
    """
    kept, waited = 0, 0
    for i in range(1, len(losses)):
        if losses[i - 1] - losses[i] > min_delta:
            kept, waited = i, 0
        else:
            waited += 1
            if waited == patience:
                return kept, i
    return kept, len(losses) - 1
""",
)
stop.wrong(
    "the bar sinks with every lower loss",
    "small falls move the loss to beat although their evaluation is not kept: slow progress "
    "never adds up to an improvement",
    r"kept|lowest|min_delta|slow|add up|referenc|minimum",
    """
    lowest = losses[0]
    kept = waited = 0
    for i, loss in enumerate(losses[1:], start=1):
        if loss < lowest - min_delta:
            kept, waited = i, 0
        else:
            waited += 1
        lowest = min(lowest, loss)
        if waited == patience:
            return kept, i
    return kept, len(losses) - 1
""",
)
stop.wrong(
    "wait never reset",
    "the evaluations without an improvement are counted over the whole run, not in a row",
    r"in a row|reset|back to (0|zero)|consecutive|total|whole run",
    """
    kept, waited = 0, 0
    for i in range(1, len(losses)):
        if losses[i] < losses[kept] - min_delta:
            kept = i
        else:
            waited += 1
            if waited == patience:
                return kept, i
    return kept, len(losses) - 1
""",
)
stop.wrong(
    "one evaluation too many",
    "it stops one evaluation late: after patience + 1 without an improvement",
    r"late|one (more|too)|patience ?\+|too many|off by one|> ?patience|too long",
    """
    kept, waited = 0, 0
    for i in range(1, len(losses)):
        if losses[i] < losses[kept] - min_delta:
            kept, waited = i, 0
        else:
            waited += 1
        if waited > patience:
            return kept, i
    return kept, len(losses) - 1
""",
)
stop.wrong(
    "stop index not made",
    "the index returned is the evaluation after the last one that is made",
    r"late|one (more|too)|off by one|too many|not made|after the last",
    """
    kept, waited, i = 0, 0, 1
    while i < len(losses) and waited < patience:
        if losses[i] < losses[kept] - min_delta:
            kept, waited = i, 0
        else:
            waited += 1
        i += 1
    return kept, i
""",
)
stop.wrong(
    "beyond the end",
    "the last index is kept + patience even where the losses end earlier",
    r"\bend|beyond|past|len\(|out of|does not exist|only \d+",
    """
    kept = 0
    for i in range(1, len(losses)):
        if i - kept > patience:
            break
        if losses[i] < losses[kept] - min_delta:
            kept = i
    return kept, kept + patience
""",
)
stop.wrong(
    "swapped",
    "the two results are in the wrong order",
    r"swap|order|exchang|first.*second|other way",
    """
    kept, waited = 0, 0
    for i in range(1, len(losses)):
        if losses[i] < losses[kept] - min_delta:
            kept, waited = i, 0
        else:
            waited += 1
            if waited == patience:
                return i, kept
    return len(losses) - 1, kept
""",
)
stop.wrong(
    "lowest loss of those made",
    "the kept evaluation is the one with the lowest loss, though it is not lower by more than "
    "min_delta",
    r"min_delta|lowest|argmin|smallest|kept|margin",
    """
    kept, waited, last = 0, 0, len(losses) - 1
    for i in range(1, len(losses)):
        if losses[i] < losses[kept] - min_delta:
            kept, waited = i, 0
        else:
            waited += 1
        if waited == patience:
            last = i
            break
    made = losses[: last + 1]
    return made.index(min(made)), last
""",
)
stop.wrong(
    "lowest loss of all",
    "the kept evaluation is sought among losses that come after the stop",
    r"never made|lowest|all (the )?losses|too far|argmin|later|after the stop",
    """
    best = losses.index(min(losses))
    return best, min(best + patience, len(losses) - 1)
""",
)
stop.wrong(
    "relative min_delta",
    "min_delta is taken as a share of the loss, not as a difference",
    r"relativ|share|percent|proportion|multipl|absolute|min_delta|a difference",
    """
    kept, waited = 0, 0
    for i in range(1, len(losses)):
        if losses[i] < losses[kept] * (1 - min_delta):
            kept, waited = i, 0
        else:
            waited += 1
            if waited == patience:
                return kept, i
    return kept, len(losses) - 1
""",
)
stop.wrong(
    "counted from 1",
    "the evaluations are counted from 1; indices start at 0",
    r"from (1|one|0|zero)|off by one|index|start",
    """
    kept, waited = 0, 0
    for i in range(1, len(losses)):
        if losses[i] < losses[kept] - min_delta:
            kept, waited = i, 0
        else:
            waited += 1
            if waited == patience:
                return kept + 1, i + 1
    return kept + 1, len(losses)
""",
)
stop.wrong(
    "length for the last index",
    "when the losses end, the last index is len(losses) - 1",
    r"len\(|length|\bend|off by one|one (more|too)",
    """
    kept, waited = 0, 0
    for i in range(1, len(losses)):
        if losses[i] < losses[kept] - min_delta:
            kept, waited = i, 0
        else:
            waited += 1
            if waited == patience:
                return kept, i
    return kept, len(losses)
""",
)
stop.wrong(
    "nothing when the losses end",
    "without a stop the function returns nothing",
    r"return|None|\bend",
    """
    kept, waited = 0, 0
    for i in range(1, len(losses)):
        if losses[i] < losses[kept] - min_delta:
            kept, waited = i, 0
        else:
            waited += 1
            if waited == patience:
                return kept, i
""",
)
stop.wrong(
    "loss for its index",
    "the kept loss is returned, not its index",
    r"index|the loss (itself|value)",
    """
    best, waited = losses[0], 0
    for i, loss in enumerate(losses):
        if i == 0:
            continue
        if loss < best - min_delta:
            best, waited = loss, 0
        else:
            waited += 1
            if waited == patience:
                break
    return best, i
""",
)
stop.wrong(
    "min_delta forgotten and one too late",
    "min_delta is not used, and it stops one evaluation late",
    r"min_delta|margin|late|one (more|too)|patience",
    """
    best = float("inf")
    kept = wait = 0
    for i, loss in enumerate(losses):
        if loss < best:
            best, kept, wait = loss, i, 0
        else:
            wait += 1
            if wait > patience:
                return kept, i
    return kept, i
""",
)
stop.wrong(
    "the list is used up",
    "the caller's list is changed: its losses are popped",
    r"pop|chang|modif|in place|in-place|empt|copy",
    """
    best, kept, waited, i = losses.pop(0), 0, 0, 0
    while losses:
        i += 1
        loss = losses.pop(0)
        if loss < best - min_delta:
            best, kept, waited = loss, i, 0
        else:
            waited += 1
            if waited == patience:
                break
    return kept, i
""",
)
stop.wrong(
    "misspelt name",
    "a name is used that does not exist: min_detla for min_delta",
    r"min_de",
    """
    kept, waited = 0, 0
    for i in range(1, len(losses)):
        if losses[i] < losses[kept] - min_detla:
            kept, waited = i, 0
        else:
            waited += 1
            if waited == patience:
                return kept, i
    return kept, len(losses) - 1
""",
)
stop.open(
    "a list",
    "the annotation says a tuple; whether a list of two does, the text leaves open",
    """
    kept, last = 0, 0
    for i in range(1, len(losses)):
        last = i
        if losses[i] < losses[kept] - min_delta:
            kept = i
        elif i - kept == patience:
            break
    return [kept, last]
""",
)
stop.right(
    "distance from the kept one",
    """
    kept = 0
    for i in range(1, len(losses)):
        if losses[i] < losses[kept] - min_delta:
            kept = i
        elif i - kept >= patience:
            return kept, i
    return kept, len(losses) - 1
""",
)
stop.right(
    "starts at infinity",
    """
    best_loss = float("inf")
    best_index = 0
    without = 0
    last = 0
    for index, value in enumerate(losses):
        last = index
        if value < best_loss - min_delta:
            best_loss, best_index, without = value, index, 0
        else:
            without += 1
        if without == patience:
            break
    return best_index, last
""",
)
stop.right(
    "jumps from one improvement to the next",
    """
    kept = 0
    while True:
        ahead = range(kept + 1, min(kept + patience, len(losses) - 1) + 1)
        better = next((i for i in ahead if losses[i] < losses[kept] - min_delta), None)
        if better is None:
            return kept, ahead.stop - 1
        kept = better
""",
)
stop.right(
    "recursion",
    """
    def walk(i, kept, waited):
        if i == len(losses) or waited == patience:
            return kept, i - 1
        if losses[i] < losses[kept] - min_delta:
            return walk(i + 1, i, 0)
        return walk(i + 1, kept, waited + 1)

    return walk(1, 0, 0)
""",
)
stop.right(
    "a class that watches",
    '''
class Watch:
    def __init__(self, patience, min_delta):
        self.patience, self.min_delta = patience, min_delta
        self.kept = self.seen = 0
        self.best = math.inf

    def done(self, loss):
        """Take one more loss and say whether that was the last."""
        if loss < self.best - self.min_delta:
            self.best, self.kept = loss, self.seen
        self.seen += 1
        return self.seen - 1 - self.kept >= self.patience


def early_stop(losses, patience, min_delta):
    watch = Watch(patience, min_delta)
    for loss in losses:
        if watch.done(loss):
            break
    return watch.kept, watch.seen - 1
''',
)
stop.right(
    "a table of flags first",
    """
    kept = [0]
    for i in range(1, len(losses)):
        improved = losses[i] < losses[kept[-1]] - min_delta
        kept.append(i if improved else kept[-1])
    for i, k in enumerate(kept):
        if i - k == patience:
            return k, i
    return kept[-1], len(losses) - 1
""",
)

# --- evaluate.tradeoff -------------------------------------------------------------------------

tradeoff = Exercise("evaluate.tradeoff", "def learned_and_forgotten(target, story):")

tradeoff.wrong(
    "last evaluation",
    "read at the last evaluation, not at the one with the lowest target loss",
    r"last|\bend\b|final|lowest|best",
    "    return target[:, 0] - target[:, -1], story[:, -1] - story[:, 0]",
)
tradeoff.wrong(
    "story last",
    "what was forgotten is read at the last evaluation; the model kept is an earlier one",
    r"last|\bend\b|final|same evaluation|lowest|kept",
    "    return target[:, 0] - target.min(dim=1).values, story[:, -1] - story[:, 0]",
)
tradeoff.wrong(
    "worst story loss",
    "what was forgotten is read where the story loss is highest",
    r"highest|max|worst|same evaluation|lowest target|largest",
    """
    learned = target[:, 0] - target.amin(dim=1)
    forgotten = story.amax(dim=1) - story[:, 0]
    return learned, forgotten
""",
)
tradeoff.wrong(
    "story at its own lowest",
    "the story loss is read at its own minimum, not where the target loss is lowest",
    r"own|same evaluation|story.*(lowest|minimum)|lowest target|each|different evaluation",
    """
    return target[:, 0] - target.min(1).values, story.min(1).values - story[:, 0]
""",
)
tradeoff.wrong(
    "chosen by the story loss",
    "the evaluation is chosen by the story loss and not by the target loss",
    r"story|target|chosen|choos|which (of the two )?loss",
    """
    best = story.argmin(dim=1, keepdim=True)
    learned = target[:, 0] - target.gather(1, best).squeeze(1)
    return learned, story.gather(1, best).squeeze(1) - story[:, 0]
""",
)
tradeoff.wrong(
    "one evaluation for all seeds",
    "the lowest mean over the seeds chooses one evaluation for all; each seed has its own",
    r"each seed|own|all seeds|mean (curve|over)|per seed|same evaluation for",
    """
    best = target.mean(dim=0).argmin()
    return target[:, 0] - target[:, best], story[:, best] - story[:, 0]
""",
)
tradeoff.wrong(
    "argmin over the seeds",
    "argmin runs over the seeds (dim 0) instead of the evaluations",
    r"dim|axis|seeds|evaluations",
    """
    best = target.argmin(dim=0)
    rows = torch.arange(len(target))
    return target[:, 0] - target[rows, best[rows]], story[rows, best[rows]] - story[:, 0]
""",
)
tradeoff.wrong(
    "every seed with every seed's best",
    "indexing columns by a list gives (S, S): each row needs its own column",
    r"\(S, ?S\)|row|gather|each seed|index|arange",
    """
    best = target.argmin(dim=1)
    return target[:, :1] - target[:, best], story[:, best] - story[:, :1]
""",
)
tradeoff.wrong(
    "learned has the wrong sign",
    "learned is how much the loss fell: before minus after",
    r"sign|negativ|before minus|fell|wrong way|minus",
    """
    best = target.argmin(dim=1)
    rows = torch.arange(len(target))
    return target[rows, best] - target[:, 0], story[rows, best] - story[:, 0]
""",
)
tradeoff.wrong(
    "forgotten has the wrong sign",
    "forgotten is how much the loss rose: after minus before",
    r"sign|negativ|after minus|rose|rise|wrong way|minus",
    """
    best = target.argmin(dim=1)
    rows = torch.arange(len(target))
    return target[:, 0] - target[rows, best], story[:, 0] - story[rows, best]
""",
)
tradeoff.wrong(
    "swapped",
    "the two results are in the wrong order",
    r"swap|order|exchang|other way|first.*second",
    """
    best = target.argmin(dim=1)
    rows = torch.arange(len(target))
    return story[rows, best] - story[:, 0], target[:, 0] - target[rows, best]
""",
)
tradeoff.wrong(
    "evaluation 0 cannot be kept",
    "evaluation 0 is left out of the search, though it can be the lowest",
    r"evaluation 0|before training|left out|first evaluation|never (fell|improv)|exclud",
    """
    best = target[:, 1:].argmin(dim=1) + 1
    rows = torch.arange(len(target))
    return target[:, 0] - target[rows, best], story[rows, best] - story[:, 0]
""",
)
tradeoff.wrong(
    "index of a slice",
    "the index counts from evaluation 1 and is used as if it counted from 0",
    r"off by one|one (evaluation )?(too )?(early|earlier|before)|index|shift|slice",
    """
    best = target[:, 1:].argmin(dim=1)
    rows = torch.arange(len(target))
    return target[:, 0] - target[rows, best], story[rows, best] - story[:, 0]
""",
)
tradeoff.wrong(
    "nothing below zero",
    "a story loss that fell is cut off at 0, where a negative number is the answer",
    r"negativ|clamp|\bfell\b|below|cut|below zero|at zero|at 0",
    """
    value, best = target.min(dim=1)
    after = story.gather(1, best[:, None])[:, 0]
    return target[:, 0] - value, (after - story[:, 0]).clamp(min=0)
""",
)
tradeoff.wrong(
    "relative",
    "divided by the loss before training: a share, where a difference is asked for",
    r"relativ|divid|share|percent|\bratio|fraction",
    """
    value, best = target.min(dim=1)
    after = story.gather(1, best[:, None])[:, 0]
    return (target[:, 0] - value) / target[:, 0], (after - story[:, 0]) / story[:, 0]
""",
)
tradeoff.wrong(
    "means over the seeds",
    "averaged over the seeds: one number for each seed is asked for",
    r"averag|mean|each seed|\(S,?\)|per seed|one number",
    """
    value, best = target.min(dim=1)
    after = story.gather(1, best[:, None])[:, 0]
    return (target[:, 0] - value).mean(), (after - story[:, 0]).mean()
""",
)
tradeoff.wrong(
    "seeds of the chapter",
    "the number of seeds is hard-coded as five",
    r"five|\b5\b|hard|number of seeds|index",
    """
    rows = torch.arange(5)
    best = target.argmin(dim=1)
    return target[:, 0] - target[rows, best], story[rows, best] - story[:, 0]
""",
)
tradeoff.wrong(
    "in place",
    "the caller's tensors are changed",
    r"in place|in-place|chang|modif|clone|copy",
    """
    best = target.argmin(dim=1, keepdim=True)
    target -= target[:, :1].clone()
    story -= story[:, :1].clone()
    return -target.gather(1, best).squeeze(1), story.gather(1, best).squeeze(1)
""",
)
tradeoff.wrong(
    "last story loss and wrong sign",
    "the story loss is read at the end, and learned has the wrong sign",
    r"sign|negativ|last|\bend\b|final|same evaluation",
    "    return target.min(dim=1).values - target[:, 0], story[:, -1] - story[:, 0]",
)
tradeoff.wrong(
    "pair of min not taken apart",
    "min(dim=1) gives values and indices; the pair is used as a tensor",
    r"values|indices|pair|tuple|named|min\(",
    """
    best = target.min(dim=1)
    rows = torch.arange(len(target))
    return target[:, 0] - best, story[rows, best] - story[:, 0]
""",
)
tradeoff.wrong(
    "lists",
    "Python lists are returned, where tensors are asked for",
    r"list|tensor",
    """
    learned, forgotten = [], []
    for t, s in zip(target.tolist(), story.tolist()):
        best = t.index(min(t))
        learned.append(t[0] - t[best])
        forgotten.append(s[best] - s[0])
    return learned, forgotten
""",
)
tradeoff.right(
    "gather",
    """
    best = target.argmin(dim=1, keepdim=True)
    fell = target[:, :1] - target.gather(1, best)
    rose = story.gather(1, best) - story[:, :1]
    return fell.squeeze(1), rose.squeeze(1)
""",
)
tradeoff.right(
    "rows and columns",
    """
    S = target.size(0)
    best = torch.argmin(target, dim=-1)
    return target[:, 0] - target[range(S), best], story[range(S), best] - story[:, 0]
""",
)
tradeoff.right(
    "loop over the seeds",
    """
    learned = torch.empty(len(target), dtype=target.dtype)
    forgotten = torch.empty(len(story), dtype=story.dtype)
    for seed in range(len(target)):
        step = int(target[seed].argmin())
        learned[seed] = target[seed, 0] - target[seed, step]
        forgotten[seed] = story[seed, step] - story[seed, 0]
    return learned, forgotten
""",
)
tradeoff.right(
    "one-hot rows",
    """
    chosen = F.one_hot(target.argmin(dim=1), target.size(1)).to(target.dtype)
    learned = target[:, 0] - (target * chosen).sum(dim=1)
    forgotten = torch.einsum("st,st->s", story, chosen) - story[:, 0]
    return learned, forgotten
""",
)
tradeoff.right(
    "differences first",
    """
    falls = target[:, :1] - target
    rises = story - story[:, :1]
    learned, best = falls.max(dim=1)
    return learned, torch.stack([row[i] for row, i in zip(rises, best)])
""",
)
tradeoff.right(
    "plain lists and back",
    """
    pairs = []
    for t, s in zip(target.tolist(), story.tolist()):
        best = min(range(len(t)), key=t.__getitem__)
        pairs.append((t[0] - t[best], s[best] - s[0]))
    both = torch.tensor(pairs, dtype=target.dtype)
    return both[:, 0], both[:, 1]
""",
)

# --- evaluate.error ----------------------------------------------------------------------------

error = Exercise("evaluate.error", "def standard_errors(scores):")

error.wrong(
    "swapped",
    "the error over examples and the one over seeds are in each other's place",
    r"swap|order|exchang|other way|each other|mixed up",
    """
    S, n = scores.shape
    examples = scores.mean(0).std() / math.sqrt(n)
    seeds = scores.mean(1).std() / math.sqrt(S)
    return scores.mean().item(), seeds.item(), examples.item()
""",
)
error.wrong(
    "standard deviations",
    "standard deviations: a standard error is that over the root of the count",
    r"standard deviation|root|sqrt|√|divid|deviation.*error",
    "    return float(scores.mean()), float(scores.mean(0).std()), float(scores.mean(1).std())",
)
error.wrong(
    "divides by the count",
    "deviations are divided by the count and not by one less",
    r"n ?[-−] ?1|one less|unbiased|correction|ddof|population|sample|Bessel",
    """
    S, n = scores.shape
    over_examples = scores.mean(dim=0).std(unbiased=False) / n**0.5
    over_seeds = scores.mean(dim=1).std(unbiased=False) / S**0.5
    return scores.mean().item(), over_examples.item(), over_seeds.item()
""",
)
error.wrong(
    "numpy's std",
    "numpy's std divides by the count unless ddof=1 says otherwise",
    r"n ?[-−] ?1|one less|unbiased|correction|ddof|population|sample|Bessel",
    """
    a = scores.numpy()
    S, n = a.shape
    return (
        float(a.mean()),
        float(a.mean(axis=0).std() / np.sqrt(n)),
        float(a.mean(axis=1).std() / np.sqrt(S)),
    )
""",
)
error.wrong(
    "all answers pooled",
    "the S·n answers are taken for independent ones",
    r"pool|independent|all (the )?(scores|answers|numbers)|S ?[·*×] ?n|flatten|averag.*first",
    """
    flat = scores.flatten()
    pooled = (flat.std() / math.sqrt(flat.numel())).item()
    return flat.mean().item(), pooled, pooled
""",
)
error.wrong(
    "examples pooled over seeds",
    "over examples the S·n scores are pooled: each example is to be averaged over the seeds first",
    r"pool|independent|S ?[·*×] ?n|averag.*(first|seeds)|all (the )?scores|flatten",
    """
    S, n = scores.shape
    mean = scores.mean().item()
    over_examples = (scores.std() / math.sqrt(S * n)).item()
    over_seeds = (scores.mean(dim=1).std() / math.sqrt(S)).item()
    return mean, over_examples, over_seeds
""",
)
error.wrong(
    "mean of the deviations",
    "the deviation is taken within each seed and then averaged; the mean over the seeds is to "
    "come first",
    r"averag|mean.*first|first.*mean|order|within|each seed",
    """
    S, n = scores.shape
    over_examples = scores.std(dim=1).mean() / math.sqrt(n)
    over_seeds = scores.std(dim=0).mean() / math.sqrt(S)
    return scores.mean().item(), over_examples.item(), over_seeds.item()
""",
)
error.wrong(
    "the other's count",
    "each deviation is divided by the root of the other axis's count",
    r"root|√|sqrt|divid|wrong (axis|number)",
    """
    S, n = scores.shape
    over_examples = scores.mean(dim=0).std() / math.sqrt(S)
    over_seeds = scores.mean(dim=1).std() / math.sqrt(n)
    return scores.mean().item(), over_examples.item(), over_seeds.item()
""",
)
error.wrong(
    "no root",
    "divided by the count and not by its root",
    r"root|sqrt|√|square",
    """
    S, n = scores.shape
    over_examples = scores.mean(dim=0).std() / n
    over_seeds = scores.mean(dim=1).std() / S
    return scores.mean().item(), over_examples.item(), over_seeds.item()
""",
)
error.wrong(
    "variances",
    "the variance of the mean: its root is missing",
    r"root|sqrt|√|varianc|square",
    """
    S, n = scores.shape
    over_examples = scores.mean(dim=0).var() / n
    over_seeds = scores.mean(dim=1).var() / S
    return scores.mean().item(), over_examples.item(), over_seeds.item()
""",
)
error.wrong(
    "binomial over the examples",
    "√(p(1 - p)/n) holds for one seed's yes-or-no answers, not for numbers averaged over seeds",
    r"binomial|p ?\(1|yes-or-no|0 (and|or) 1|deviation|averaged over|share",
    """
    S, n = scores.shape
    p = scores.mean().item()
    over_seeds = (scores.mean(dim=1).std() / math.sqrt(S)).item()
    return p, math.sqrt(p * (1 - p) / (n - 1)), over_seeds
""",
)
error.wrong(
    "half a 95 % interval",
    "1.96 standard errors, half of an interval, where the standard error is asked for",
    r"1\.96|interval|95|twice|too long",
    """
    S, n = scores.shape
    over_examples = 1.96 * scores.mean(dim=0).std() / math.sqrt(n)
    over_seeds = 1.96 * scores.mean(dim=1).std() / math.sqrt(S)
    return scores.mean().item(), over_examples.item(), over_seeds.item()
""",
)
error.wrong(
    "one less twice",
    "one less than the count stands under the root as well: the root is of the count itself",
    r"twice|root|√|sqrt|n ?[-−] ?1|one less",
    """
    S, n = scores.shape
    over_examples = scores.mean(dim=0).std() / math.sqrt(n - 1)
    over_seeds = scores.mean(dim=1).std() / math.sqrt(S - 1)
    return scores.mean().item(), over_examples.item(), over_seeds.item()
""",
)
error.wrong(
    "whole root",
    "the root is cut down to a whole number",
    r"whole|integer|isqrt|round|\bcut|root|√|sqrt|int\(",
    """
    S, n = scores.shape
    over_examples = scores.mean(dim=0).std() / math.isqrt(n)
    over_seeds = scores.mean(dim=1).std() / math.isqrt(S)
    return scores.mean().item(), over_examples.item(), over_seeds.item()
""",
)
error.wrong(
    "first seed for the examples",
    "the error over examples is of the first seed alone",
    r"first seed|one seed|averag|other seeds|all seeds",
    """
    S, n = scores.shape
    over_examples = scores[0].std() / math.sqrt(n)
    over_seeds = scores.mean(dim=1).std() / math.sqrt(S)
    return scores.mean().item(), over_examples.item(), over_seeds.item()
""",
)
error.wrong(
    "median",
    "the median in place of the mean",
    r"median|\bmean\b",
    """
    S, n = scores.shape
    over_examples = scores.mean(dim=0).std() / math.sqrt(n)
    over_seeds = scores.mean(dim=1).std() / math.sqrt(S)
    return scores.median().item(), over_examples.item(), over_seeds.item()
""",
)
error.wrong(
    "counts of the lab",
    "the counts of the lab's own run are hard-coded",
    r"hard|\b19\b|three|divid|root",
    """
    over_examples = scores.mean(dim=0).std() / 19**0.5
    over_seeds = scores.mean(dim=1).std() / 3**0.5
    return scores.mean().item(), over_examples.item(), over_seeds.item()
""",
)
error.wrong(
    "swapped and no root",
    "the two errors are exchanged, and neither is divided by the root of its count",
    r"swap|order|exchang|other way|standard deviation|root|sqrt|√|divid",
    """
    by_seed, by_example = scores.mean(dim=1), scores.mean(dim=0)
    return scores.mean().item(), by_seed.std().item(), by_example.std().item()
""",
)
error.wrong(
    "percent",
    "in percent, where the scores' own unit is asked for",
    r"percent|%|100|unit",
    """
    S, n = scores.shape
    scores = scores * 100
    over_examples = scores.mean(dim=0).std() / math.sqrt(n)
    over_seeds = scores.mean(dim=1).std() / math.sqrt(S)
    return scores.mean().item(), over_examples.item(), over_seeds.item()
""",
)
error.wrong(
    "misspelt method",
    "a tensor has no method stdev: it is called std",
    r"\bstd\b|stdev",
    """
    S, n = scores.shape
    a = scores.mean(dim=0).stdev() / n**0.5
    b = scores.mean(dim=1).stdev() / S**0.5
    return scores.mean().item(), a.item(), b.item()
""",
)
error.wrong(
    "printed",
    "the function prints and returns nothing",
    r"return|None|prints",
    """
    S, n = scores.shape
    print(scores.mean(), scores.mean(0).std() / n**0.5, scores.mean(1).std() / S**0.5)
""",
)
error.open(
    "tensors",
    "the annotation says floats; tensors of no dimension are used alike",
    """
    S, n = scores.shape
    return scores.mean(), scores.mean(0).std() / n**0.5, scores.mean(1).std() / S**0.5
""",
)
error.right(
    "std over the root",
    """
    S, n = scores.shape
    over_examples = scores.mean(dim=0).std() / math.sqrt(n)
    over_seeds = scores.mean(dim=1).std(correction=1) / math.sqrt(S)
    return scores.mean().item(), over_examples.item(), over_seeds.item()
""",
)
error.right(
    "statistics",
    """
    rows = scores.tolist()
    by_seed = [statistics.fmean(row) for row in rows]
    by_example = [statistics.fmean(column) for column in zip(*rows)]

    def of_mean(numbers):
        return statistics.stdev(numbers) / math.sqrt(len(numbers))

    return statistics.fmean(by_seed), of_mean(by_example), of_mean(by_seed)
""",
)
error.right(
    "numpy in float64",
    """
    a = scores.detach().numpy().astype(np.float64)
    errors = [a.mean(axis=k).std(ddof=1) / np.sqrt(a.shape[1 - k]) for k in (0, 1)]
    return float(a.mean()), float(errors[0]), float(errors[1])
""",
)
error.right(
    "one less under the root",
    """
    S, n = scores.shape
    over_examples = scores.mean(dim=0).std(unbiased=False) / (n - 1) ** 0.5
    over_seeds = scores.mean(dim=1).std(unbiased=False) / (S - 1) ** 0.5
    return float(scores.mean()), float(over_examples), float(over_seeds)
""",
)
error.right(
    "sums of squares by hand",
    """
    S, n = scores.shape
    scores = scores.double()
    mean = scores.sum() / (S * n)
    squares_examples = 0.0
    for j in range(n):
        squares_examples += (scores[:, j].sum() / S - mean) ** 2
    squares_seeds = 0.0
    for i in range(S):
        squares_seeds += (scores[i].sum() / n - mean) ** 2
    return (
        mean.item(),
        (squares_examples / (n - 1) / n).sqrt().item(),
        (squares_seeds / (S - 1) / S).sqrt().item(),
    )
""",
)
error.right(
    "var_mean",
    """
    var, mean = torch.var_mean(scores.double().mean(dim=0))
    var_seeds = torch.var(scores.double().mean(dim=1))
    return tuple(
        value.item()
        for value in (mean, (var / scores.size(1)).sqrt(), (var_seeds / scores.size(0)).sqrt())
    )
""",
)

# --- evaluate.bins -----------------------------------------------------------------------------

bins = Exercise("evaluate.bins", "def reliability_bins(confidence, correct, bins):")

bins.wrong(
    "borders to the bin above",
    "a confidence on a border goes to the bin above; its own is the one below, k/bins < c",
    r"border|boundar|edge|floor|ceil|<=|≤|upper|lower",
    """
    index = (confidence * bins).long().clamp(max=bins - 1)
    counts = torch.bincount(index, minlength=bins)
    safe = counts.clamp(min=1)
    mean_confidence = torch.bincount(index, weights=confidence, minlength=bins) / safe
    accuracy = torch.bincount(index, weights=correct.to(confidence.dtype), minlength=bins) / safe
    return counts, mean_confidence, accuracy
""",
)
bins.wrong(
    "1 falls out",
    "the bins hold low <= c < high, so a confidence of 1 is in none",
    r"border|boundar|edge|<=|≤|(of|exactly|is) 1(\.0)?\b|missing|lost|upper",
    """
    counts, confidences, accuracies = torch.zeros(bins), torch.zeros(bins), torch.zeros(bins)
    for k in range(bins):
        inside = (confidence >= k / bins) & (confidence < (k + 1) / bins)
        counts[k] = inside.sum()
        if inside.any():
            confidences[k] = confidence[inside].mean()
            accuracies[k] = correct[inside].float().mean()
    return counts, confidences, accuracies
""",
)
bins.wrong(
    "both borders",
    "both ends belong to each bin, so a confidence on a border counts twice",
    r"twice|both|border|boundar|edge|<=|≤|lower",
    """
    rows = []
    for k in range(bins):
        inside = (confidence >= k / bins) & (confidence <= (k + 1) / bins)
        count = inside.sum()
        divisor = count.clamp(min=1)
        rows.append(
            torch.stack(
                [
                    count.to(confidence.dtype),
                    confidence[inside].sum() / divisor,
                    correct[inside].sum() / divisor,
                ]
            )
        )
    return tuple(torch.stack(rows, dim=1))
""",
)
bins.wrong(
    "counted from 1",
    "ceil numbers the bins from 1: one has to be taken off",
    r"from (0|1|zero|one)|off by one|shift|ceil|one (more|too)|length",
    """
    index = torch.ceil(confidence * bins).long()
    counts = torch.bincount(index, minlength=bins)
    safe = counts.clamp(min=1)
    mean_confidence = torch.bincount(index, weights=confidence, minlength=bins) / safe
    accuracy = torch.bincount(index, weights=correct.double(), minlength=bins) / safe
    return counts[:bins], mean_confidence[:bins], accuracy[:bins]
""",
)
bins.wrong(
    "NaN in empty bins",
    "an empty bin divides zero by zero",
    r"nan|empty|zero by|0 ?/ ?0|divi",
    """
    index = torch.ceil(confidence * bins).long() - 1
    counts = torch.bincount(index, minlength=bins)
    mean_confidence = torch.bincount(index, weights=confidence, minlength=bins) / counts
    accuracy = torch.bincount(index, weights=correct.double(), minlength=bins) / counts
    return counts, mean_confidence, accuracy
""",
)
bins.wrong(
    "no minlength",
    "without minlength the bins above the highest confidence are missing",
    r"minlength|length|missing|fewer|empty|\(bins,?\)|wrong number of bins",
    """
    index = torch.ceil(confidence * bins).long() - 1
    counts = torch.bincount(index)
    safe = counts.clamp(min=1)
    mean_confidence = torch.bincount(index, weights=confidence) / safe
    accuracy = torch.bincount(index, weights=correct.double()) / safe
    return counts, mean_confidence, accuracy
""",
)
bins.wrong(
    "empty bins left out",
    "empty bins are left out, where they are to be zero",
    r"empty|left out|missing|length|fewer|skip|\(bins,?\)",
    """
    counts, confidences, accuracies = [], [], []
    for k in range(bins):
        inside = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        if inside.sum() == 0:
            continue
        counts.append(inside.sum())
        confidences.append(confidence[inside].mean())
        accuracies.append(correct[inside].float().mean())
    return torch.stack(counts), torch.stack(confidences), torch.stack(accuracies)
""",
)
bins.wrong(
    "empty bins count 1",
    "the clamp that guards the division is returned as the count: empty bins count 1",
    r"empty|clamp",
    """
    index = torch.ceil(confidence * bins).long() - 1
    counts = torch.bincount(index, minlength=bins).clamp(min=1)
    mean_confidence = torch.bincount(index, weights=confidence, minlength=bins) / counts
    accuracy = torch.bincount(index, weights=correct.double(), minlength=bins) / counts
    return counts, mean_confidence, accuracy
""",
)
bins.wrong(
    "sums",
    "the sums of each bin are not divided by its count",
    r"\bsum|divid|mean|averag|share",
    """
    index = torch.ceil(confidence * bins).long() - 1
    counts = torch.bincount(index, minlength=bins)
    confidences = torch.bincount(index, weights=confidence, minlength=bins)
    right = torch.bincount(index, weights=correct.double(), minlength=bins)
    return counts, confidences, right
""",
)
bins.wrong(
    "divided by N",
    "divided by all predictions and not by those of the bin",
    r"\bN\b|all (the )?predictions|len\(|divi|count of|own count|in the bin",
    """
    index = torch.ceil(confidence * bins).long() - 1
    counts = torch.bincount(index, minlength=bins)
    n = len(confidence)
    confidences = torch.bincount(index, weights=confidence, minlength=bins) / n
    right = torch.bincount(index, weights=correct.double(), minlength=bins) / n
    return counts, confidences, right
""",
)
bins.wrong(
    "confidence and accuracy swapped",
    "mean confidence and accuracy are in each other's place",
    r"swap|order|exchang|other way|each other",
    """
    index = torch.ceil(confidence * bins).long() - 1
    counts = torch.bincount(index, minlength=bins)
    safe = counts.clamp(min=1)
    sure = torch.bincount(index, weights=confidence, minlength=bins) / safe
    right = torch.bincount(index, weights=correct.double(), minlength=bins) / safe
    return counts, right, sure
""",
)
bins.wrong(
    "middle of the bin",
    "the middle of the bin stands for the mean confidence of what is in it",
    r"middle|mid-?point|cent(er|re)|mean confidence",
    """
    counts = torch.zeros(bins)
    sure = torch.zeros(bins)
    right = torch.zeros(bins)
    for k in range(bins):
        low, high = k / bins, (k + 1) / bins
        inside = (confidence > low) & (confidence <= high)
        counts[k] = inside.sum()
        if counts[k] > 0:
            sure[k] = (low + high) / 2
            right[k] = correct[inside].float().mean()
    return counts, sure, right
""",
)
bins.wrong(
    "from the lowest to the highest",
    "the bins divide the range of the confidences found, not 0 to 1",
    r"range|lowest|highest|min|max|from 0|0 to 1|width|found",
    """
    low, high = confidence.min(), confidence.max()
    index = ((confidence - low) / (high - low) * bins).ceil().long().clamp(1, bins) - 1
    counts = torch.bincount(index, minlength=bins)
    safe = counts.clamp(min=1)
    sure = torch.bincount(index, weights=confidence, minlength=bins) / safe
    right = torch.bincount(index, weights=correct.double(), minlength=bins) / safe
    return counts, sure, right
""",
)
bins.wrong(
    "share of the wrong answers",
    "the share of wrong answers, where that of right ones is asked for",
    r"wrong (answers|ones|predictions)|invert|1 ?[-−]|error rate|~correct|opposite|share of",
    """
    index = torch.ceil(confidence * bins).long() - 1
    counts = torch.bincount(index, minlength=bins)
    safe = counts.clamp(min=1)
    sure = torch.bincount(index, weights=confidence, minlength=bins) / safe
    right = torch.bincount(index, weights=(~correct).double(), minlength=bins) / safe
    return counts, sure, right
""",
)
bins.wrong(
    "whole-number accuracy",
    "integer division makes every accuracy 0 or 1",
    r"integer|//|whole|division|0 (and|or) 1|round|\bint",
    """
    index = torch.ceil(confidence * bins).long() - 1
    counts = torch.bincount(index, minlength=bins)
    safe = counts.clamp(min=1)
    sure = torch.bincount(index, weights=confidence, minlength=bins) / safe
    hits = torch.zeros(bins, dtype=torch.long).index_add_(0, index, correct.long())
    return counts, sure, hits // safe
""",
)
bins.wrong(
    "rounded to the nearest",
    "round puts the upper half of each bin into the next",
    r"round|nearest|ceil|border|boundar|edge|half",
    """
    index = (torch.round(confidence * bins).long() - 1).clamp(min=0)
    counts = torch.bincount(index, minlength=bins)
    safe = counts.clamp(min=1)
    sure = torch.bincount(index, weights=confidence, minlength=bins) / safe
    right = torch.bincount(index, weights=correct.double(), minlength=bins) / safe
    return counts, sure, right
""",
)
bins.wrong(
    "always ten",
    "ten bins, whatever bins says",
    r"\b10\b|\bten\b|hard|`?bins`? (is|says)|length|ignor|number of bins",
    """
    index = torch.ceil(confidence * 10).long() - 1
    counts = torch.bincount(index, minlength=10)
    safe = counts.clamp(min=1)
    sure = torch.bincount(index, weights=confidence, minlength=10) / safe
    right = torch.bincount(index, weights=correct.double(), minlength=10) / safe
    return counts, sure, right
""",
)
bins.wrong(
    "shares for counts",
    "the first result is a share of the predictions, where a count is asked for",
    r"share|divid|fraction|\bN\b",
    """
    index = torch.ceil(confidence * bins).long() - 1
    counts = torch.bincount(index, minlength=bins)
    safe = counts.clamp(min=1)
    sure = torch.bincount(index, weights=confidence, minlength=bins) / safe
    right = torch.bincount(index, weights=correct.double(), minlength=bins) / safe
    return counts / len(confidence), sure, right
""",
)
bins.wrong(
    "confidence scaled in place",
    "the caller's confidences are changed",
    r"in place|in-place|chang|modif|clone|copy|mul_",
    """
    original = confidence.clone()
    index = confidence.mul_(bins).ceil_().long() - 1
    counts = torch.bincount(index, minlength=bins)
    safe = counts.clamp(min=1)
    sure = torch.bincount(index, weights=original, minlength=bins) / safe
    right = torch.bincount(index, weights=correct.double(), minlength=bins) / safe
    return counts, sure, right
""",
)
bins.wrong(
    "floor and no guard",
    "borders go to the bin above, and empty bins divide zero by zero",
    r"border|boundar|edge|floor|ceil|nan|empty|length",
    """
    index = torch.floor(confidence * bins).long()
    index[index == bins] = bins - 1
    counts = torch.bincount(index, minlength=bins)
    sure = torch.bincount(index, weights=confidence, minlength=bins) / counts
    right = torch.bincount(index, weights=correct.float(), minlength=bins) / counts
    return counts, sure, right
""",
)
bins.wrong(
    "weight for weights",
    "bincount has no argument weight: it is called weights",
    r"weights?\b|keyword|argument",
    """
    index = torch.ceil(confidence * bins).long() - 1
    counts = torch.bincount(index, minlength=bins)
    safe = counts.clamp(min=1)
    sure = torch.bincount(index, weight=confidence, minlength=bins) / safe
    right = torch.bincount(index, weight=correct.double(), minlength=bins) / safe
    return counts, sure, right
""",
)
bins.wrong(
    "left-over raise",
    "the line that raises NotImplementedError is still there",
    r"NotImplementedError|left over|unreach",
    """
    counts = torch.zeros(bins)
    index = torch.ceil(confidence * bins).long() - 1
    counts.index_add_(0, index, torch.ones(len(index)))
    raise NotImplementedError("your code here")
    return counts, counts, counts
""",
)
bins.open(
    "one tensor of three rows",
    "unpacks like the three tensors asked for, which the annotation calls a tuple",
    """
    index = torch.ceil(confidence * bins).long() - 1
    counts = torch.bincount(index, minlength=bins)
    safe = counts.clamp(min=1)
    sure = torch.bincount(index, weights=confidence, minlength=bins) / safe
    right = torch.bincount(index, weights=correct.double(), minlength=bins) / safe
    return torch.stack([counts.double(), sure.double(), right.double()])
""",
)
bins.right(
    "bincount",
    """
    index = (confidence * bins).ceil().long() - 1
    counts = index.bincount(minlength=bins)
    divisor = counts.clamp(min=1)
    sure = index.bincount(weights=confidence, minlength=bins) / divisor
    right = index.bincount(weights=correct.to(confidence.dtype), minlength=bins) / divisor
    return counts, sure, right
""",
)
bins.right(
    "a mask for each bin",
    """
    counts = torch.zeros(bins, dtype=torch.long)
    sure = torch.zeros(bins)
    right = torch.zeros(bins)
    for k in range(bins):
        inside = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        counts[k] = inside.sum()
        if inside.any():
            sure[k] = confidence[inside].mean()
            right[k] = correct[inside].float().mean()
    return counts, sure, right
""",
)
bins.right(
    "bucketize",
    """
    inner = torch.arange(1, bins, dtype=confidence.dtype) / bins
    index = torch.bucketize(confidence, inner)
    counts = torch.zeros(bins, dtype=confidence.dtype)
    counts.index_add_(0, index, torch.ones_like(confidence))
    sums = torch.zeros(2, bins, dtype=confidence.dtype)
    sums[0].index_add_(0, index, confidence)
    sums[1].index_add_(0, index, correct.to(confidence.dtype))
    means = torch.where(counts > 0, sums / counts.clamp(min=1), 0.0)
    return counts, means[0], means[1]
""",
)
bins.right(
    "one-hot matrix",
    """
    edges = torch.arange(bins + 1, dtype=confidence.dtype) / bins
    member = (edges[:-1, None] < confidence) & (confidence <= edges[1:, None])
    member = member.to(confidence.dtype)
    counts = member.sum(dim=1)
    sure = (member @ confidence / counts).nan_to_num(0.0)
    right = (member @ correct.to(confidence.dtype) / counts).nan_to_num(0.0)
    return counts, sure, right
""",
)
bins.right(
    "lists",
    """
    groups = [[] for _ in range(bins)]
    numbers = (torch.ceil(confidence * bins) - 1).int().tolist()
    for k, c, ok in zip(numbers, confidence.tolist(), correct.tolist()):
        groups[k].append((c, ok))
    counts = torch.tensor([len(group) for group in groups])
    sure = torch.tensor([sum(c for c, _ in g) / len(g) if g else 0.0 for g in groups])
    right = torch.tensor([sum(ok for _, ok in g) / len(g) if g else 0.0 for g in groups])
    return counts, sure, right
""",
)
bins.right(
    "numpy histogram by number",
    """
    c = confidence.numpy()
    k = np.ceil(c * bins).astype(int) - 1
    counts = np.bincount(k, minlength=bins)
    sure, right = (
        np.divide(
            np.bincount(k, weights=w, minlength=bins),
            counts,
            out=np.zeros(bins),
            where=counts > 0,
        )
        for w in (c, correct.numpy())
    )
    return torch.from_numpy(counts), torch.from_numpy(sure), torch.from_numpy(right)
""",
)

# --- evaluate.ece ------------------------------------------------------------------------------

ece = Exercise(
    "evaluate.ece",
    "def expected_calibration_error(probabilities, labels, bins):",
    given="""
def reliability_bins(confidence, correct, bins):
    index = torch.ceil(confidence * bins).long() - 1
    counts = torch.bincount(index, minlength=bins)
    safe = counts.clamp(min=1)
    sure = torch.bincount(index, weights=confidence, minlength=bins) / safe
    right = torch.bincount(index, weights=correct.to(confidence.dtype), minlength=bins) / safe
    return counts, sure, right
""",
)

ece.wrong(
    "bins weigh the same",
    "a plain mean over the bins: each is to weigh as much as the predictions in it",
    r"weigh|share|each bin|mean over the (bins|predictions)|empty",
    """
    confidence, predicted = probabilities.max(dim=1)
    _, sure, right = reliability_bins(confidence, predicted == labels, bins)
    return (right - sure).abs().mean().item()
""",
)
ece.wrong(
    "filled bins weigh the same",
    "a plain mean over the bins that are not empty, where predictions are to weigh the same",
    r"weigh|share|each bin|mean over the (bins|predictions)",
    """
    confidence, predicted = probabilities.max(dim=1)
    counts, sure, right = reliability_bins(confidence, predicted == labels, bins)
    filled = counts > 0
    return (right - sure)[filled].abs().mean().item()
""",
)
ece.wrong(
    "signed",
    "without the absolute value, overconfident and underconfident bins cancel",
    r"absolute|\babs|sign|cancel|negativ|\|",
    """
    confidence, predicted = probabilities.max(dim=1)
    counts, sure, right = reliability_bins(confidence, predicted == labels, bins)
    return ((counts / counts.sum()) * (sure - right)).sum().item()
""",
)
ece.wrong(
    "gap of each prediction",
    "the gap of each single prediction, without bins",
    r"without (the )?bins|no bins|single|each prediction|group|binn|into bins|bins are not",
    """
    confidence, predicted = probabilities.max(dim=1)
    correct = (predicted == labels).float()
    return (correct - confidence).abs().mean().item()
""",
)
ece.wrong(
    "one gap for all",
    "overall accuracy against overall confidence: the bins are not used",
    r"overall|one bin|all predictions|cancel|group|without (the )?bins|into bins|bins are not",
    """
    confidence, predicted = probabilities.max(dim=1)
    accuracy = (predicted == labels).float().mean()
    return abs(accuracy - confidence.mean()).item()
""",
)
ece.wrong(
    "largest gap",
    "the largest gap of a bin, where the mean over the predictions is asked for",
    r"largest|max|worst|mean|averag",
    """
    confidence, predicted = probabilities.max(dim=1)
    counts, sure, right = reliability_bins(confidence, predicted == labels, bins)
    return (right - sure).abs().max().item()
""",
)
ece.wrong(
    "squared gaps",
    "the gaps are squared, where their absolute value is asked for",
    r"squar|absolute|\babs|\*\* ?2|²",
    """
    confidence, predicted = probabilities.max(dim=1)
    counts, sure, right = reliability_bins(confidence, predicted == labels, bins)
    return (counts * (right - sure) ** 2).sum().item() / len(labels)
""",
)
ece.wrong(
    "root mean square",
    "the root of the mean squared gap, where the mean absolute gap is asked for",
    r"squar|root|absolute|\babs|²",
    """
    confidence, predicted = probabilities.max(dim=1)
    counts, sure, right = reliability_bins(confidence, predicted == labels, bins)
    return ((counts / counts.sum() * (right - sure).square()).sum()).sqrt().item()
""",
)
ece.wrong(
    "probability of the label",
    "the confidence is the largest probability, not that of the right class",
    r"largest|max|(right|correct|true) class|of the label",
    """
    confidence = probabilities[torch.arange(len(labels)), labels]
    correct = probabilities.argmax(dim=1) == labels
    counts, sure, right = reliability_bins(confidence, correct, bins)
    return (counts * (right - sure).abs()).sum().item() / len(labels)
""",
)
ece.wrong(
    "every class",
    "all probabilities are binned, where only the largest of each prediction is",
    r"largest|max|all (classes|probabilities)|every class|each class|only the",
    """
    one_hot = F.one_hot(labels, probabilities.size(1)).bool()
    counts, sure, right = reliability_bins(probabilities.flatten(), one_hot.flatten(), bins)
    return ((counts / counts.sum()) * (right - sure).abs()).sum().item()
""",
)
ece.wrong(
    "softmax of probabilities",
    "softmax of what are probabilities already",
    r"softmax|already|logits|twice",
    """
    confidence, predicted = probabilities.softmax(dim=1).max(dim=1)
    counts, sure, right = reliability_bins(confidence, predicted == labels, bins)
    return ((counts / counts.sum()) * (right - sure).abs()).sum().item()
""",
)
ece.wrong(
    "largest of each column",
    "the maximum runs over the predictions (dim 0), not over the classes",
    r"dim|axis|classes|column|row",
    """
    confidence, predicted = probabilities.max(dim=0)
    counts, sure, right = reliability_bins(confidence, predicted == labels, bins)
    return ((counts / counts.sum()) * (right - sure).abs()).sum().item()
""",
)
ece.wrong(
    "borders to the bin above",
    "a confidence on a border goes to the bin above: the bins are those of the last exercise",
    r"border|boundar|edge|floor|ceil|<=|≤|upper|lower",
    """
    confidence, predicted = probabilities.max(dim=1)
    correct = (predicted == labels).to(confidence.dtype)
    index = (confidence * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(bins, dtype=confidence.dtype).index_add_(0, index, correct - confidence)
    return gap.abs().sum().item() / len(labels)
""",
)
ece.wrong(
    "a confidence of 1 is in no bin",
    "with low <= c < high a confidence of exactly 1 is in no bin",
    r"border|boundar|edge|<=|≤|(of|exactly|is) 1(\.0)?\b|missing|lost|upper",
    """
    confidence, predicted = probabilities.max(dim=1)
    correct = predicted.eq(labels)
    total = 0.0
    for k in range(bins):
        inside = (confidence >= k / bins) & (confidence < (k + 1) / bins)
        if inside.any():
            gap = abs(correct[inside].float().mean() - confidence[inside].mean())
            total += inside.float().mean().item() * gap.item()
    return total
""",
)
ece.wrong(
    "lowest bin forgotten",
    "the loop begins at bin 1, so predictions in bin 0 do not count",
    r"bin 0|first bin|lowest|range|from (0|1|zero|one)|left out|off by one|missing",
    """
    confidence, predicted = probabilities.max(dim=1)
    correct = predicted.eq(labels)
    total = 0.0
    for k in range(1, bins):
        inside = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        if inside.any():
            gap = abs(correct[inside].float().mean() - confidence[inside].mean())
            total += inside.float().mean().item() * gap.item()
    return total
""",
)
ece.wrong(
    "middle of the bin",
    "the middle of the bin stands for the mean confidence in it",
    r"middle|mid-?point|cent(er|re)|mean confidence",
    """
    confidence, predicted = probabilities.max(dim=1)
    counts, _, right = reliability_bins(confidence, predicted == labels, bins)
    middle = (torch.arange(bins) + 0.5) / bins
    return ((counts / counts.sum()) * (right - middle).abs()).sum().item()
""",
)
ece.wrong(
    "always fifteen bins",
    "fifteen bins, whatever bins says",
    r"\b15\b|fifteen|hard|`?bins`? (is|says)|ignor|number of bins",
    """
    confidence, predicted = probabilities.max(dim=1)
    counts, sure, right = reliability_bins(confidence, predicted == labels, 15)
    return ((counts / counts.sum()) * (right - sure).abs()).sum().item()
""",
)
ece.wrong(
    "divided by the bins",
    "the counted gaps are divided by the number of bins, not by that of the predictions",
    r"number of (bins|predictions)|\bN\b|divid|share|weigh|mean over the",
    """
    confidence, predicted = probabilities.max(dim=1)
    counts, sure, right = reliability_bins(confidence, predicted == labels, bins)
    return (counts * (right - sure).abs()).sum().item() / bins
""",
)
ece.wrong(
    "NaN with empty bins",
    "empty bins divide zero by zero and make the whole sum NaN",
    r"nan|empty|0 ?/ ?0",
    """
    confidence, predicted = probabilities.max(dim=1)
    correct = (predicted == labels).to(confidence.dtype)
    total = 0
    for k in range(bins):
        inside = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        gap = (correct[inside].mean() - confidence[inside].mean()).abs()
        total += inside.sum() / len(labels) * gap
    return total.item()
""",
)
ece.wrong(
    "signed and unweighted",
    "without the absolute value, and all bins weigh the same",
    r"absolute|\babs|sign|cancel|weigh|share",
    """
    confidence, predicted = probabilities.max(dim=1)
    counts, sure, right = reliability_bins(confidence, predicted == labels, bins)
    return (sure - right).mean().item()
""",
)
ece.wrong(
    "value for values",
    "what max returns has no attribute value: it is called values",
    r"values",
    """
    top = probabilities.max(dim=1)
    counts, sure, right = reliability_bins(top.value, top.indices == labels, bins)
    return ((counts / counts.sum()) * (right - sure).abs()).sum().item()
""",
)
ece.wrong(
    "rounded",
    "the result is rounded to two decimals",
    r"round|decimal|precis|digit",
    """
    confidence, predicted = probabilities.max(dim=1)
    counts, sure, right = reliability_bins(confidence, predicted == labels, bins)
    return round(((counts / counts.sum()) * (right - sure).abs()).sum().item(), 2)
""",
)
ece.open(
    "a tensor",
    "the annotation says float; a tensor of no dimension is used alike",
    """
    confidence, predicted = probabilities.max(dim=1)
    counts, sure, right = reliability_bins(confidence, predicted == labels, bins)
    return ((counts / counts.sum()) * (right - sure).abs()).sum()
""",
)
ece.right(
    "with the last exercise",
    """
    confidence, predicted = probabilities.max(dim=1)
    counts, sure, right = reliability_bins(confidence, predicted == labels, bins)
    return ((counts / counts.sum()) * (right - sure).abs()).sum().item()
""",
)
ece.right(
    "sums only",
    """
    confidence = probabilities.amax(dim=1)
    hit = (probabilities.argmax(dim=1) == labels).to(confidence.dtype)
    index = torch.ceil(confidence * bins).long() - 1
    surplus = torch.bincount(index, weights=hit - confidence, minlength=bins)
    return float(surplus.abs().sum() / len(labels))
""",
)
ece.right(
    "gap of each prediction's bin",
    """
    confidence, predicted = probabilities.max(dim=1)
    index = torch.ceil(confidence * bins).long() - 1
    _, sure, right = reliability_bins(confidence, predicted == labels, bins)
    return (right - sure).abs()[index].mean().item()
""",
)
ece.right(
    "a mask for each bin",
    """
    confidence, predicted = torch.max(probabilities, dim=1)
    correct = predicted.eq(labels).float()
    total = 0.0
    for k in range(bins):
        inside = confidence.gt(k / bins) & confidence.le((k + 1) / bins)
        if inside.any():
            gap = (correct[inside].mean() - confidence[inside].mean()).abs()
            total += gap.item() * inside.sum().item()
    return total / len(confidence)
""",
)
ece.right(
    "a dictionary of lists",
    """
    groups = defaultdict(list)
    for row, label in zip(probabilities, labels.tolist()):
        top = int(row.argmax())
        number = int(torch.ceil(row[top] * bins)) - 1
        groups[number].append((top == label) - row[top].item())
    return sum(abs(math.fsum(gaps)) for gaps in groups.values()) / len(labels)
""",
)
ece.right(
    "all classes in float64, numpy",
    """
    p = probabilities.numpy()
    confidence = p.max(axis=1)
    hit = p.argmax(axis=1) == labels.numpy()
    index = np.ceil(confidence * bins).astype(int) - 1
    value = 0.0
    for k in np.unique(index):
        inside = index == k
        gap = abs(hit[inside].mean() - confidence[inside].astype(np.float64).mean())
        value += inside.mean() * gap
    return float(value)
""",
)

# --- evaluate.brier ----------------------------------------------------------------------------

brier = Exercise("evaluate.brier", "def brier_score(probabilities, labels):")

brier.wrong(
    "mean over the classes",
    "the squares are averaged over the classes, where their sum is asked for",
    r"sum over|mean over|averag|number of classes|each class|divid",
    """
    one_hot = F.one_hot(labels, probabilities.size(1)).to(probabilities.dtype)
    return F.mse_loss(probabilities, one_hot).item()
""",
)
brier.wrong(
    "right class only",
    "only the right class counts: the other classes are missing",
    r"other classes|only the right|all classes|wrong classes|sum over|missing",
    """
    p = probabilities[torch.arange(len(labels)), labels]
    return ((1 - p) ** 2).mean().item()
""",
)
brier.wrong(
    "summed over the examples",
    "the sum over the examples, where their mean is asked for",
    r"\bmean\b|averag|divid|number of examples|sum over (the )?(N|examples)",
    """
    one_hot = F.one_hot(labels, probabilities.size(1))
    return (probabilities - one_hot).pow(2).sum().item()
""",
)
brier.wrong(
    "absolute differences",
    "absolute differences, where squares are asked for",
    r"squar|absolute|²|\*\* ?2|\babs",
    """
    one_hot = F.one_hot(labels, probabilities.size(1))
    return (probabilities - one_hot).abs().sum(dim=1).mean().item()
""",
)
brier.wrong(
    "distance",
    "the root of the sum of squares, where the sum itself is asked for",
    r"root|norm|sqrt|√|distance|squar",
    """
    one_hot = F.one_hot(labels, probabilities.size(1)).to(probabilities.dtype)
    return torch.linalg.vector_norm(probabilities - one_hot, dim=1).mean().item()
""",
)
brier.wrong(
    "softmax of probabilities",
    "softmax of what are probabilities already",
    r"softmax|already|logits|twice",
    """
    p = torch.softmax(probabilities, dim=1)
    one_hot = F.one_hot(labels, p.size(1))
    return ((p - one_hot) ** 2).sum(dim=1).mean().item()
""",
)
brier.wrong(
    "confidence against right or wrong",
    "the largest probability against right or wrong: the sum runs over all classes",
    r"largest|confidence|all classes|sum over|each class|every class|other classes",
    """
    confidence, predicted = probabilities.max(dim=1)
    correct = (predicted == labels).to(confidence.dtype)
    return (confidence - correct).square().mean().item()
""",
)
brier.wrong(
    "half",
    "half of it: the factor ½ of another convention",
    r"half|½|1/2|0\.5|twice|\b2\b",
    """
    one_hot = F.one_hot(labels, probabilities.size(1))
    return 0.5 * ((probabilities - one_hot) ** 2).sum(dim=1).mean().item()
""",
)
brier.wrong(
    "classes that occur",
    "one_hot without the number of classes has as many as the highest label says",
    r"num_classes|number of classes|one_hot|highest|largest label|occur",
    """
    one_hot = F.one_hot(labels)
    return ((probabilities - one_hot) ** 2).sum(dim=1).mean().item()
""",
)
brier.wrong(
    "one taken off in place",
    "the caller's probabilities are changed",
    r"in place|in-place|chang|modif|clone|copy",
    """
    probabilities[torch.arange(len(labels)), labels] -= 1
    return probabilities.square().sum(dim=1).mean().item()
""",
)
brier.wrong(
    "divided by the classes instead of N",
    "the sum of all squares is divided by the number of classes, not by that of the examples",
    r"\bN\b|number of (examples|classes)|divid|axis|dim",
    """
    one_hot = F.one_hot(labels, probabilities.size(1))
    return ((probabilities - one_hot) ** 2).sum(dim=0).mean().item()
""",
)
brier.wrong(
    "cross-entropy",
    "the logarithmic score, where squared distances are asked for",
    r"log|entropy|squar",
    """
    p = probabilities[torch.arange(len(labels)), labels]
    return -p.log().mean().item()
""",
)
brier.wrong(
    "against its own prediction",
    "the truth is taken from the prediction and not from the labels",
    r"label|prediction|argmax|truth",
    """
    one_hot = F.one_hot(probabilities.argmax(dim=1), probabilities.size(1))
    return ((probabilities - one_hot) ** 2).sum(dim=1).mean().item()
""",
)
brier.wrong(
    "square of the sum",
    "the differences are summed before they are squared, and cancel",
    r"before|cancel|square of the sum|sum.*squar|squar.*(first|each)|order",
    """
    one_hot = F.one_hot(labels, probabilities.size(1))
    return ((probabilities - one_hot).sum(dim=1) ** 2).mean().item()
""",
)
brier.wrong(
    "higher is better",
    "one minus the score: the score itself is asked for, and lower is better",
    r"1 ?[-−]|one minus|lower|invert|sign|complement|subtract",
    """
    one_hot = F.one_hot(labels, probabilities.size(1))
    return 1 - ((probabilities - one_hot) ** 2).sum(dim=1).mean().item()
""",
)
brier.wrong(
    "five classes",
    "the five classes of the lab are hard-coded",
    r"\b5\b|five|hard|number of classes|one_hot",
    """
    truth = torch.eye(5)[labels]
    return ((probabilities - truth) ** 2).sum(dim=1).mean().item()
""",
)
brier.wrong(
    "identity of the wrong size",
    "the identity is as large as the number of examples, not of classes",
    r"identity|eye|number of (examples|classes)|classes",
    """
    truth = torch.eye(len(labels))[labels]
    return ((probabilities - truth) ** 2).sum(dim=1).mean().item()
""",
)
brier.wrong(
    "absolute and averaged over the classes",
    "absolute differences for squares, and a mean over the classes for their sum",
    r"squar|absolute|²|\babs|sum over|classes|mean over",
    """
    one_hot = F.one_hot(labels, probabilities.size(1))
    return (probabilities - one_hot).abs().mean().item()
""",
)
brier.wrong(
    "misspelt name",
    "a name is used that does not exist: probabilites for probabilities",
    r"probabilit",
    """
    one_hot = F.one_hot(labels, probabilites.size(1))
    return ((probabilities - one_hot) ** 2).sum(dim=1).mean().item()
""",
)
brier.wrong(
    "no return",
    "the score is computed and not returned",
    r"return|None",
    """
    one_hot = F.one_hot(labels, probabilities.size(1))
    score = ((probabilities - one_hot) ** 2).sum(dim=1).mean().item()
""",
)
brier.open(
    "a tensor",
    "the annotation says float; a tensor of no dimension is used alike",
    """
    one_hot = F.one_hot(labels, probabilities.size(1))
    return ((probabilities - one_hot) ** 2).sum(dim=1).mean()
""",
)
brier.right(
    "one-hot",
    """
    one_hot = F.one_hot(labels, num_classes=probabilities.shape[1])
    return (probabilities - one_hot).square().sum(dim=1).mean().item()
""",
)
brier.right(
    "square multiplied out",
    """
    squares = probabilities.square().sum(dim=1)
    right = probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)
    return (squares - 2 * right + 1).mean().item()
""",
)
brier.right(
    "two loops",
    """
    total = 0.0
    for row, label in zip(probabilities.tolist(), labels.tolist()):
        for k, p in enumerate(row):
            total += (p - (1.0 if k == label else 0.0)) ** 2
    return total / len(labels)
""",
)
brier.right(
    "one taken off a copy",
    """
    off = probabilities.double().clone()
    off[torch.arange(len(labels)), labels] -= 1
    return float(torch.einsum("nk,nk->", off, off) / off.shape[0])
""",
)
brier.right(
    "numpy",
    """
    p = probabilities.numpy()
    truth = np.eye(p.shape[1])[labels.numpy()]
    return float(((p - truth) ** 2).sum(axis=1).mean())
""",
)
brier.right(
    "mean squared error times the classes",
    """
    N, K = probabilities.shape
    truth = torch.zeros_like(probabilities).scatter_(1, labels.view(-1, 1), 1.0)
    return F.mse_loss(probabilities, truth).item() * K
""",
)
brier.right(
    "labels compared with a range",
    """
    truth = labels[:, None] == torch.arange(probabilities.size(1))
    return F.mse_loss(probabilities, truth.to(probabilities), reduction="sum").item() / len(labels)
""",
)

# --- evaluate.temperature ----------------------------------------------------------------------

temperature = Exercise(
    "evaluate.temperature",
    "def temperature_scale(validation_logits, validation_labels, test_logits, candidates):",
)

temperature.wrong(
    "multiplied",
    "the logits are multiplied by T and not divided",
    r"multipl|divi|invers|1 ?/ ?T",
    """
    losses = [F.cross_entropy(validation_logits * T, validation_labels) for T in candidates]
    best = candidates[int(torch.stack(losses).argmin())]
    return best, (test_logits * best).softmax(dim=1)
""",
)
temperature.wrong(
    "chosen by one, multiplied by the other",
    "T is chosen by dividing, but the test logits are multiplied by it",
    r"multipl|divi|invers|1 ?/ ?T",
    """
    losses = [F.cross_entropy(validation_logits / T, validation_labels) for T in candidates]
    best = candidates[int(torch.stack(losses).argmin())]
    return best, F.softmax(test_logits * best, dim=1)
""",
)
temperature.wrong(
    "highest loss",
    "the candidate with the highest cross-entropy is taken",
    r"highest|largest|max|worst|lowest|smallest",
    """
    def score(T):
        return F.cross_entropy(validation_logits / T, validation_labels)

    best = max(candidates, key=score)
    return best, (test_logits / best).softmax(dim=1)
""",
)
temperature.wrong(
    "chosen by accuracy",
    "chosen by accuracy, which no temperature changes",
    r"accuracy|cross-?entropy|argmax",
    """
    def accuracy(T):
        predicted = (validation_logits / T).softmax(dim=1).argmax(dim=1)
        return (predicted == validation_labels).float().mean()

    best = max(candidates, key=accuracy)
    return best, (test_logits / best).softmax(dim=1)
""",
)
temperature.wrong(
    "chosen by the Brier score",
    "chosen by the Brier score, where the cross-entropy is asked for",
    r"brier|cross-?entropy|squar|another (measure|candidate|score)",
    """
    truth = F.one_hot(validation_labels, validation_logits.size(1))

    def score(T):
        p = (validation_logits / T).softmax(dim=1)
        return (p - truth).square().sum(dim=1).mean()

    best = min(candidates, key=score)
    return best, (test_logits / best).softmax(dim=1)
""",
)
temperature.wrong(
    "chosen by the gap in confidence",
    "chosen by how near confidence is to accuracy, where the cross-entropy is asked for",
    r"accuracy|confidence|calibrat|cross-?entropy|ece|another (measure|candidate|score)",
    """
    hits = (validation_logits.argmax(dim=1) == validation_labels).float().mean()

    def gap(T):
        return abs((validation_logits / T).softmax(dim=1).amax(dim=1).mean() - hits)

    best = min(candidates, key=gap)
    return best, (test_logits / best).softmax(dim=1)
""",
)
temperature.wrong(
    "test logits as they were",
    "the temperature chosen is not applied to the test logits",
    r"not (applied|used|divided|scaled)|test|T ?= ?1|without|divi|unscaled",
    """
    losses = [F.cross_entropy(validation_logits / T, validation_labels) for T in candidates]
    best = candidates[int(torch.stack(losses).argmin())]
    return best, test_logits.softmax(dim=1)
""",
)
temperature.wrong(
    "logits returned",
    "scaled logits are returned, where probabilities are asked for",
    r"softmax|probabilit|logits|sum to",
    """
    losses = [F.cross_entropy(validation_logits / T, validation_labels) for T in candidates]
    best = candidates[int(torch.stack(losses).argmin())]
    return best, test_logits / best
""",
)
temperature.wrong(
    "log-probabilities",
    "log-probabilities, where probabilities are asked for",
    r"log|negativ|exp|softmax|probabilit",
    """
    losses = [F.cross_entropy(validation_logits / T, validation_labels) for T in candidates]
    best = candidates[int(torch.stack(losses).argmin())]
    return best, (test_logits / best).log_softmax(dim=1)
""",
)
temperature.wrong(
    "softmax over the examples",
    "the softmax runs over the examples, not over the classes",
    r"dim|axis|classes|row|sum to|examples",
    """
    losses = [F.cross_entropy(validation_logits / T, validation_labels) for T in candidates]
    best = candidates[int(torch.stack(losses).argmin())]
    return best, F.softmax(test_logits / best, dim=0)
""",
)
temperature.wrong(
    "probabilities divided",
    "the probabilities are divided by T after the softmax: the logits are to be divided before",
    r"before|logits|order|sum to|softmax|probabilities.*divi",
    """
    losses = [F.cross_entropy(validation_logits / T, validation_labels) for T in candidates]
    best = candidates[int(torch.stack(losses).argmin())]
    return best, test_logits.softmax(dim=1) / best
""",
)
temperature.wrong(
    "softmax before cross_entropy",
    "cross_entropy takes logits; with probabilities the softmax is applied twice",
    r"softmax|twice|logits|probabilit",
    """
    def loss(T):
        return F.cross_entropy((validation_logits / T).softmax(dim=1), validation_labels)

    best = min(candidates, key=loss)
    return best, (test_logits / best).softmax(dim=1)
""",
)
temperature.wrong(
    "index of the candidate",
    "the index of the candidate is returned, where its value is asked for",
    r"index|candidates\[|candidate (itself|it)|its value",
    """
    losses = [F.cross_entropy(validation_logits / T, validation_labels) for T in candidates]
    best = int(torch.stack(losses).argmin())
    return best, (test_logits / candidates[best]).softmax(dim=1)
""",
)
temperature.wrong(
    "loss of the candidate",
    "its cross-entropy is returned, where the candidate is asked for",
    r"cross-?entropy|candidate|temperature itself|the loss",
    """
    lowest, best = min(
        (F.cross_entropy(validation_logits / T, validation_labels).item(), T) for T in candidates
    )
    return lowest, (test_logits / best).softmax(dim=1)
""",
)
temperature.wrong(
    "swapped",
    "the two results are in the wrong order",
    r"swap|order|exchang|other way",
    """
    losses = [F.cross_entropy(validation_logits / T, validation_labels) for T in candidates]
    best = candidates[int(torch.stack(losses).argmin())]
    return (test_logits / best).softmax(dim=1), best
""",
)
temperature.wrong(
    "starts from 1",
    "T = 1 competes although it need not be among the candidates",
    r"T ?= ?1|(of|exactly|is) 1(\.0)?\b|among|not a candidate|candidates|start",
    """
    best, lowest = 1.0, F.cross_entropy(validation_logits, validation_labels)
    for T in candidates:
        loss = F.cross_entropy(validation_logits / T, validation_labels)
        if loss < lowest:
            best, lowest = T, loss
    return best, (test_logits / best).softmax(dim=1)
""",
)
temperature.wrong(
    "stops at the first rise",
    "the search ends at the first rise, as if the candidates were in order",
    r"sort|order|stops|all (the )?candidates|every candidate|earl|first rise",
    """
    best = candidates[0]
    lowest = F.cross_entropy(validation_logits / best, validation_labels)
    for T in candidates[1:]:
        loss = F.cross_entropy(validation_logits / T, validation_labels)
        if loss > lowest:
            break
        best, lowest = T, loss
    return best, (test_logits / best).softmax(dim=1)
""",
)
temperature.wrong(
    "only above 1",
    "candidates below 1 are left out, though a model may be too unsure",
    r"below (1|one)|under-?confiden|unsure|< ?1|less than (1|one)|left out|above (1|one)|smaller",
    """
    losses = {
        T: F.cross_entropy(validation_logits / T, validation_labels).item()
        for T in candidates
        if T >= 1
    }
    best = min(losses, key=losses.get)
    return best, (test_logits / best).softmax(dim=1)
""",
)
temperature.wrong(
    "probabilities of validation",
    "probabilities of the validation examples, where those of test are asked for",
    r"validation|test|\(N",
    """
    losses = [F.cross_entropy(validation_logits / T, validation_labels) for T in candidates]
    best = candidates[int(torch.stack(losses).argmin())]
    return best, (validation_logits / best).softmax(dim=1)
""",
)
temperature.wrong(
    "logits divided again and again",
    "the caller's logits are divided in place, by one candidate after another",
    r"in place|in-place|chang|modif|clone|copy|cumul|one after another",
    """
    best, lowest = None, math.inf
    for T in candidates:
        validation_logits /= T
        loss = F.cross_entropy(validation_logits, validation_labels).item()
        if loss < lowest:
            best, lowest = T, loss
    return best, (test_logits / best).softmax(dim=1)
""",
)
temperature.wrong(
    "test logits overwritten",
    "the caller's test logits are changed in place",
    r"in place|in-place|chang|modif|clone|copy|overwr",
    """
    losses = [F.cross_entropy(validation_logits / T, validation_labels) for T in candidates]
    best = candidates[int(torch.stack(losses).argmin())]
    test_logits.div_(best)
    return best, test_logits.softmax(dim=1)
""",
)
temperature.wrong(
    "last candidate left out",
    "the last candidate is not tried",
    r"last|left out|all (the )?candidates|every candidate|range|not tried|off by one",
    """
    best, lowest = candidates[0], math.inf
    for i in range(len(candidates) - 1):
        loss = F.cross_entropy(validation_logits / candidates[i], validation_labels).item()
        if loss < lowest:
            best, lowest = candidates[i], loss
    return best, (test_logits / best).softmax(dim=1)
""",
)
temperature.wrong(
    "fitted freely",
    "T is fitted by gradient steps, where one of the candidates is asked for",
    r"candidate|among|list|given",
    """
    log_t = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.Adam([log_t], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        F.cross_entropy(validation_logits / log_t.exp(), validation_labels).backward()
        optimizer.step()
    best = log_t.exp().item()
    return best, (test_logits / best).softmax(dim=1)
""",
)
temperature.wrong(
    "multiplied, with softmax over the examples",
    "the logits are multiplied by T, and the softmax runs over the examples",
    r"multipl|divi|invers|dim|axis|classes|sum to",
    """
    best = min(
        candidates, key=lambda T: F.cross_entropy(validation_logits * T, validation_labels)
    )
    return best, (test_logits * best).softmax(dim=0)
""",
)
temperature.wrong(
    "argmin of a list",
    "a list has no argmin: it has to be a tensor first",
    r"list|argmin|tensor|attribute|min\(",
    """
    losses = [F.cross_entropy(validation_logits / T, validation_labels) for T in candidates]
    best = candidates[losses.argmin()]
    return best, (test_logits / best).softmax(dim=1)
""",
)
temperature.right(
    "min with a key",
    """
    best = min(
        candidates, key=lambda T: F.cross_entropy(validation_logits / T, validation_labels).item()
    )
    return best, (test_logits / best).softmax(dim=1)
""",
)
temperature.right(
    "all candidates at once",
    """
    temperatures = torch.tensor(candidates, dtype=validation_logits.dtype)
    logp = (validation_logits[None] / temperatures[:, None, None]).log_softmax(dim=-1)
    index = validation_labels.expand(len(candidates), -1).unsqueeze(-1)
    losses = -logp.gather(2, index).squeeze(-1).mean(dim=1)
    best = candidates[losses.argmin().item()]
    return best, torch.softmax(test_logits / best, dim=-1)
""",
)
temperature.right(
    "loop, with sums for means",
    """
    best, lowest = None, float("inf")
    for T in candidates:
        loss = F.cross_entropy(validation_logits / T, validation_labels, reduction="sum").item()
        if best is None or loss < lowest:
            best, lowest = T, loss
    probabilities = torch.exp(F.log_softmax(test_logits / best, dim=1))
    return best, probabilities
""",
)
temperature.right(
    "in float64, softmax by hand",
    """
    def log_probabilities(logits, T):
        scaled = logits.double() / T
        return scaled - scaled.logsumexp(dim=1, keepdim=True)

    rows = torch.arange(len(validation_labels))
    likelihoods = [
        log_probabilities(validation_logits, T)[rows, validation_labels].mean().item()
        for T in candidates
    ]
    best = candidates[likelihoods.index(max(likelihoods))]
    return best, log_probabilities(test_logits, best).exp().to(test_logits.dtype)
""",
)
temperature.right(
    "sorted pairs",
    """
    pairs = []
    for T in candidates:
        loss = nn.CrossEntropyLoss()(validation_logits.div(T), validation_labels)
        pairs.append((float(loss), T))
    pairs.sort()
    T = pairs[0][1]
    e = torch.exp(test_logits / T - (test_logits / T).max(dim=1, keepdim=True).values)
    return T, e / e.sum(dim=1, keepdim=True)
""",
)

# --- evaluate.diagnose -------------------------------------------------------------------------

diagnose = Exercise("evaluate.diagnose", "def diagnose(run):")

# What most learners write, down the table; the answers below differ from it in a line or two.
_TABLE = """
    if not math.isfinite(run["last"]):
        return "wrong dtype"
    if run["counted"] != run["targets"]:
        return "padding in the loss"
    if abs(run["first"] - run["start"]) > 0.02 * run["start"]:
        return "labels shifted"
    if run["update"] == 0:
        return "frozen by mistake"
    if run["adapted"] < run["wanted"]:
        return "wrong targets"
    if run["shipped"] > run["last_validation"] + 0.1:
        return "merged twice"
    if run["highest"] > run["first"] + 0.5:
        return "rate too high"
    if run["last_validation"] > run["best_validation"] + 0.1:
        return "overfitting"
    return "healthy"
"""


def _but(*changes: tuple[str, str]) -> str:
    """The table above with these lines changed."""
    source = _TABLE
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    return source


_FINITE = """    if not math.isfinite(run["last"]):
        return "wrong dtype"
"""
_SHIFTED = """    if abs(run["first"] - run["start"]) > 0.02 * run["start"]:
        return "labels shifted"
"""
_FROZEN = """    if run["update"] == 0:
        return "frozen by mistake"
"""
_RATE = """    if run["highest"] > run["first"] + 0.5:
        return "rate too high"
"""
_OVERFIT = """    if run["last_validation"] > run["best_validation"] + 0.1:
        return "overfitting"
"""

diagnose.wrong(
    "NaN only",
    "infinity is not finite either; isnan finds NaN alone",
    r"inf|isfinite|finite|isnan",
    _but(('not math.isfinite(run["last"])', 'math.isnan(run["last"])')),
)
diagnose.wrong(
    "compared with NaN",
    "nothing equals NaN, not even NaN",
    r"nan|isfinite|equal|finite",
    _but(('not math.isfinite(run["last"])', 'run["last"] == float("nan")')),
)
diagnose.wrong(
    "any number that is not finite",
    "only last decides about the dtype; another loss that is not finite does not",
    r"only [`']?last|last[`']? (alone|only)|other (losses|numbers)|\bany\b|shipped",
    _but(('not math.isfinite(run["last"])', "not all(math.isfinite(v) for v in run.values())")),
)
diagnose.wrong(
    "dtype asked late",
    "whether last is finite is to be asked first",
    r"\border\b|asked (first|before)|before|earlier|in turn|down the table|first (yes|row)",
    _but((_FINITE, ""), (_SHIFTED, _SHIFTED + _FINITE)),
)
diagnose.wrong(
    "only too many tokens",
    "too few counted tokens are different, too",
    r"few|!=|both|either|counted|not equal|different|too few",
    _but(('run["counted"] != run["targets"]', 'run["counted"] > run["targets"]')),
)
diagnose.wrong(
    "shift only upwards",
    "first may be off from start to either side",
    r"either|both|below|abs|lower|side|direction|less than",
    _but(
        (
            'abs(run["first"] - run["start"]) > 0.02 * run["start"]',
            'run["first"] > 1.02 * run["start"]',
        )
    ),
)
diagnose.wrong(
    "2 % of first",
    "the 2 % are of start, not of first",
    r"of [`'‘]?(start|first)|relative to|2 ?% of|divid",
    _but(
        (
            'abs(run["first"] - run["start"]) > 0.02 * run["start"]',
            'abs(run["first"] - run["start"]) / run["first"] > 0.02',
        )
    ),
)
diagnose.wrong(
    "0.02 nats",
    "2 % of start, not 0.02 nats",
    r"2 ?%|relative|of (`|the )?start|percent|absolute|0\.02|margin",
    _but(("0.02 * run", "0.02 + 0 * run")),
)
diagnose.wrong(
    "20 %",
    "a tenfold margin: 2 % is 0.02",
    r"2 ?%|0\.02|margin|percent|too (wide|lenient)|20",
    _but(("0.02 *", "0.2 *")),
)
diagnose.wrong(
    "a small update is none",
    "a small update is not zero: the question is whether it is exactly zero",
    r"threshold|update|frozen|exactly zero|not zero|tiny",
    _but(('run["update"] == 0', 'run["update"] < 1e-2')),
)
diagnose.wrong(
    "more layers than wanted",
    "only fewer layers than wanted are wrong targets; more are not",
    r"fewer|more|<|!=|different",
    _but(('run["adapted"] < run["wanted"]', 'run["adapted"] != run["wanted"]')),
)
diagnose.wrong(
    "shipped against the best",
    "shipped is compared with the best validation loss, not with the last",
    r"best|last_validation|last",
    _but(('run["shipped"] > run["last_validation"]', 'run["shipped"] > run["best_validation"]')),
)
diagnose.wrong(
    "shipped better is merged twice",
    "a merged model with a lower loss is no sign of a double merge: the sign is lost",
    r"abs|lower|below|sign|direction|better|side|higher",
    _but(
        (
            'run["shipped"] > run["last_validation"] + 0.1',
            'abs(run["shipped"] - run["last_validation"]) > 0.1',
        )
    ),
)
diagnose.wrong(
    "highest against start",
    "highest is compared with start, not with first",
    r"highest.*(first|start)|(first|start).*highest",
    _but(('run["highest"] > run["first"]', 'run["highest"] > run["start"]')),
)
diagnose.wrong(
    "highest against last",
    "highest is compared with last: a run that learned is then taken for one with a high rate",
    r"highest.*(first|last)|(first|last).*highest",
    _but(('run["highest"] > run["first"]', 'run["highest"] > run["last"]')),
)
diagnose.wrong(
    "exactly half is too high",
    "more than 0.5 above first; exactly 0.5 is not",
    r"equal|more than|>=|≥|border|boundar|strict|threshold",
    _but(('run["highest"] > run["first"] + 0.5', 'run["highest"] - run["first"] >= 0.5')),
)
diagnose.wrong(
    "overfitting without a margin",
    "overfitting asks for more than 0.1 above the best; any rise is called so here",
    r"0\.1|margin|any|more than|threshold|tenth",
    _but(
        (
            'run["last_validation"] > run["best_validation"] + 0.1',
            'run["last_validation"] > run["best_validation"]',
        )
    ),
)
diagnose.wrong(
    "overfitting from the training loss",
    "overfitting is sought between training and validation loss, not between best and last",
    r"training|best_validation|best validation|lowest",
    _but(
        (
            'run["last_validation"] > run["best_validation"] + 0.1',
            'run["last_validation"] > run["last"] + 0.1',
        )
    ),
)
diagnose.wrong(
    "best minus last",
    "the difference has the wrong sign, so no run ever overfits",
    r"sign|never|order|direction|negativ|minus|overfit",
    _but(
        (
            'run["last_validation"] > run["best_validation"] + 0.1',
            'run["best_validation"] - run["last_validation"] > 0.1',
        )
    ),
)
diagnose.wrong(
    "overfitting before the rate",
    "overfitting is asked before the rate: the first yes down the table decides",
    r"\border\b|asked (first|before)|before|earlier|in turn|down the table|first (yes|row)",
    _but((_RATE, ""), (_OVERFIT, _OVERFIT + _RATE)),
)
diagnose.wrong(
    "frozen before shifted",
    "frozen is asked before the shift: the first yes down the table decides",
    r"\border\b|asked (first|before)|before|earlier|in turn|down the table|first (yes|row)",
    _but((_FROZEN, ""), (_SHIFTED, _FROZEN + _SHIFTED)),
)
diagnose.wrong(
    "last yes decides",
    "the last yes decides, not the first: each later row overwrites the answer",
    r"first yes|last yes|first (row|question|match)|overwr|\border\b|elif|earlier|later|in turn",
    """
    answer = "healthy"
    if not math.isfinite(run["last"]):
        answer = "wrong dtype"
    if run["counted"] != run["targets"]:
        answer = "padding in the loss"
    if abs(run["first"] - run["start"]) > 0.02 * run["start"]:
        answer = "labels shifted"
    if run["update"] == 0:
        answer = "frozen by mistake"
    if run["adapted"] < run["wanted"]:
        answer = "wrong targets"
    if run["shipped"] > run["last_validation"] + 0.1:
        answer = "merged twice"
    if run["highest"] > run["first"] + 0.5:
        answer = "rate too high"
    if run["last_validation"] > run["best_validation"] + 0.1:
        answer = "overfitting"
    return answer
""",
)
diagnose.wrong(
    "nothing for a healthy run",
    "a healthy run gets no answer: the last return is missing",
    r"return|None|healthy",
    _but(('    return "healthy"\n', "")),
)
diagnose.wrong(
    "another word for a cause",
    "the cause is called “labels shifted”, not “shifted labels”",
    r"labels shifted|spell|spelt|name|word|nearest",
    _but(('"labels shifted"', '"shifted labels"')),
)
diagnose.wrong(
    "capital letters",
    "the names are written without capitals",
    r"capital|lower ?case|spell|spelt|name|letter",
    _but(('    return "healthy"', '    return "Healthy"'), ('"overfitting"', '"Overfitting"')),
)
diagnose.wrong(
    "all causes",
    "every cause that applies, in a list, where the first is asked for",
    r"\blist|first (yes|one|cause)|\bone (cause|answer|name|string)|\bstr\b|a string",
    """
    found = []
    if not math.isfinite(run["last"]):
        found.append("wrong dtype")
    if run["counted"] != run["targets"]:
        found.append("padding in the loss")
    if abs(run["first"] - run["start"]) > 0.02 * run["start"]:
        found.append("labels shifted")
    if run["update"] == 0:
        found.append("frozen by mistake")
    if run["adapted"] < run["wanted"]:
        found.append("wrong targets")
    if run["shipped"] > run["last_validation"] + 0.1:
        found.append("merged twice")
    if run["highest"] > run["first"] + 0.5:
        found.append("rate too high")
    if run["last_validation"] > run["best_validation"] + 0.1:
        found.append("overfitting")
    return found or ["healthy"]
""",
)
diagnose.wrong(
    "shift to one side, and shipped against the best",
    "first may be off to either side, and shipped is compared with the best, not with the last",
    r"either|both|below|abs|side|best|last_validation",
    _but(
        ('abs(run["first"] - run["start"])', '(run["first"] - run["start"])'),
        ('run["shipped"] > run["last_validation"]', 'run["shipped"] > run["best_validation"]'),
    ),
)
diagnose.wrong(
    "attributes",
    "run is a dictionary: its entries are read with brackets",
    r"dict|bracket|key|attribute",
    _but(('run["last"])', "run.last)")),
)
diagnose.wrong(
    "misspelt key",
    "there is no key target: it is called targets",
    r"targets?\b|key",
    _but(('run["targets"]', 'run["target"]')),
)
diagnose.wrong(
    "entries taken out",
    "the caller's dictionary is changed: entries are popped",
    r"pop|chang|modif|in place|in-place|copy|remov|missing",
    _but(('run["counted"] != run["targets"]', 'run.pop("counted") != run.pop("targets")')),
)
diagnose.wrong(
    "left-over raise",
    "the line that raises NotImplementedError is still there",
    r"NotImplementedError|left over",
    _but(('return "healthy"', 'raise NotImplementedError("your code here")')),
)
diagnose.right("down the table", _TABLE)
diagnose.right(
    "a list of pairs",
    """
    r = run
    rows = [
        (not math.isfinite(r["last"]), "wrong dtype"),
        (r["counted"] != r["targets"], "padding in the loss"),
        (abs(r["first"] - r["start"]) > 0.02 * r["start"], "labels shifted"),
        (r["update"] == 0, "frozen by mistake"),
        (r["adapted"] < r["wanted"], "wrong targets"),
        (r["shipped"] - r["last_validation"] > 0.1, "merged twice"),
        (r["highest"] - r["first"] > 0.5, "rate too high"),
        (r["last_validation"] - r["best_validation"] > 0.1, "overfitting"),
    ]
    for yes, cause in rows:
        if yes:
            return cause
    return "healthy"
""",
)
diagnose.right(
    "lambdas in a dictionary",
    """QUESTIONS = {
    "wrong dtype": lambda r: not torch.isfinite(torch.tensor(float(r["last"]))),
    "padding in the loss": lambda r: r["counted"] != r["targets"],
    "labels shifted": lambda r: abs(r["first"] / r["start"] - 1) > 0.02,
    "frozen by mistake": lambda r: not r["update"],
    "wrong targets": lambda r: r["wanted"] > r["adapted"],
    "merged twice": lambda r: r["shipped"] > r["last_validation"] + 0.1,
    "rate too high": lambda r: r["highest"] > r["first"] + 0.5,
    "overfitting": lambda r: r["last_validation"] > r["best_validation"] + 0.1,
}


def diagnose(run):
    return next((cause for cause, yes in QUESTIONS.items() if yes(run)), "healthy")
""",
)
diagnose.right(
    "up the table",
    """
    answer = "healthy"
    if run["last_validation"] > run["best_validation"] + 0.1:
        answer = "overfitting"
    if run["highest"] > run["first"] + 0.5:
        answer = "rate too high"
    if run["shipped"] > run["last_validation"] + 0.1:
        answer = "merged twice"
    if run["adapted"] < run["wanted"]:
        answer = "wrong targets"
    if run["update"] == 0.0:
        answer = "frozen by mistake"
    if abs(run["first"] - run["start"]) > run["start"] * 2 / 100:
        answer = "labels shifted"
    if run["counted"] != run["targets"]:
        answer = "padding in the loss"
    if math.isnan(run["last"]) or math.isinf(run["last"]):
        answer = "wrong dtype"
    return answer
""",
)
diagnose.right(
    "one elif after the other",
    """
    start, first, last, highest = (run[key] for key in ("start", "first", "last", "highest"))
    best, end = run["best_validation"], run["last_validation"]
    low, high = 0.98 * start, 1.02 * start
    if not np.isfinite(last):
        cause = "wrong dtype"
    elif run["counted"] != run["targets"]:
        cause = "padding in the loss"
    elif first < low or first > high:
        cause = "labels shifted"
    elif run["update"] == 0:
        cause = "frozen by mistake"
    elif run["adapted"] < run["wanted"]:
        cause = "wrong targets"
    elif run["shipped"] - end > 0.1:
        cause = "merged twice"
    elif highest - first > 0.5:
        cause = "rate too high"
    elif end - best > 0.1:
        cause = "overfitting"
    else:
        cause = "healthy"
    return cause
""",
)

EXERCISES = (tokens, stop, tradeoff, error, bins, ece, brier, temperature, diagnose)
