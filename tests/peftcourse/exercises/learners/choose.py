"""Answers to the exercises of lesson 10, written from its text alone."""

from tests.peftcourse.exercises.learners.answers import Exercise

# --- choose.rate -----------------------------------------------------------------------------

rate = Exercise(
    "choose.rate",
    "def best_rate(runs: list[dict[str, float]], tuning_seed: int) -> tuple[float, bool]:",
)
_RATE = """
    kept = [run for run in runs if {keep}]
    best = max(kept, key=lambda run: {score})["rate"]
    rates = [run["rate"] for run in {all}]
    return {out}
"""


def _rate(**changes: str) -> str:
    parts = {
        "keep": 'run["seed"] == tuning_seed and not math.isnan(run["validation"])',
        "score": 'run["validation"]',
        "all": "runs",
        "out": "best, best in (min(rates), max(rates))",
    }
    return _RATE.format(**(parts | changes))


rate.wrong(
    "test score",
    "the choice uses the test score, which is to be reported",
    r"test|leak|validation",
    _rate(score='run["test"]'),
)
rate.wrong(
    "sum of both scores",
    "the test score takes part in the choice",
    r"test|leak|validation",
    _rate(score='run["validation"] + run["test"]'),
)
rate.wrong(
    "all seeds",
    "the search may use the tuning seed only; the others are reported",
    r"all seeds|tuning.seed|other seeds|seeds that",
    _rate(keep='not math.isnan(run["validation"])'),
)
rate.wrong(
    "the other seeds",
    "the tuning seed is the one to choose with, and it is left out",
    r"tuning.seed.*(left out|only|keep)|other seeds|wrong seed|all seeds|== tuning_seed",
    _rate(keep='run["seed"] != tuning_seed and not math.isnan(run["validation"])'),
)
rate.wrong(
    "mean over seeds",
    "the mean over all seeds uses those that are reported later",
    r"all seeds|tuning.seed|other seeds|over seeds|seeds that",
    """
    scores = defaultdict(list)
    for run in runs:
        if not math.isnan(run["validation"]):
            scores[run["rate"]].append(run["validation"])
    best = max(scores, key=lambda r: sum(scores[r]) / len(scores[r]))
    rates = [run["rate"] for run in runs]
    return best, best in (min(rates), max(rates))
""",
)
rate.wrong(
    "NaN not left out",
    "a diverged run has the score NaN, with which every comparison is false",
    r"nan|diverged",
    _rate(keep='run["seed"] == tuning_seed'),
)
rate.wrong(
    "compared with NaN",
    "NaN is equal to nothing, not even to itself; ask math.isnan",
    r"nan|diverged",
    _rate(keep='run["seed"] == tuning_seed and run["validation"] != float("nan")'),
)
rate.wrong(
    "NaN taken for zero",
    "a diverged run is to be left out; zero beats every negative score",
    r"nan|diverged|zero|negative",
    _rate(
        keep='run["seed"] == tuning_seed',
        score='0.0 if math.isnan(run["validation"]) else run["validation"]',
    ),
)
rate.open(
    "NaN in test left out",
    "whether a run can have a NaN in one of its scores only is left open",
    _rate(keep='run["seed"] == tuning_seed and not math.isnan(run["test"])'),
)
rate.wrong(
    "argmax of numpy",
    "numpy's argmax takes NaN for the largest; nanargmax leaves it out",
    r"nan|diverged",
    """
    kept = [run for run in runs if run["seed"] == tuning_seed]
    best = kept[int(np.argmax([run["validation"] for run in kept]))]["rate"]
    rates = [run["rate"] for run in runs]
    return best, best == min(rates) or best == max(rates)
""",
)
rate.wrong(
    "smallest score",
    "more is better, and the smallest score is taken",
    r"max|more|larg|high|minim|smallest|lowest|better",
    """
    kept = [r for r in runs if r["seed"] == tuning_seed and not math.isnan(r["validation"])]
    best = min(kept, key=lambda run: run["validation"])["rate"]
    rates = {run["rate"] for run in runs}
    return best, best in (min(rates), max(rates))
""",
)
rate.wrong(
    "edge of the runs that did not diverge",
    "the ends are those of all rates that were tried, diverged ones too",
    r"all (the )?rates|diverged|every rate",
    _rate(all="kept"),
)
rate.wrong(
    "edge of the tuning seed's rates",
    "the ends are those of all rates in runs, not of the tuning seed's only",
    r"all (the )?rates|of all runs|every rate|tuning seed's",
    _rate(all='[run for run in runs if run["seed"] == tuning_seed]'),
)
rate.wrong(
    "highest only",
    "the lowest rate is an end as well",
    r"lowest|both ends|min\(",
    _rate(out="best, best == max(rates)"),
)
rate.wrong(
    "first and last run",
    "the runs are in no order; the ends are the smallest and the largest rate",
    r"\border\b|sort|min\(|max\(|first (run|and)|lowest",
    _rate(out="best, best in (rates[0], rates[-1])"),
)
rate.wrong(
    "inside in place of at an end",
    "the second value is true at an end of the grid, and here the other way round",
    r"invert|other way|negat|opposite|lowest|highest|revers",
    _rate(out="best, min(rates) < best < max(rates)"),
)
rate.wrong(
    "score returned",
    "the rate is asked for, and its score comes back",
    r"the score|score (is|instead|in place)|rate (is|and not)|not its score|return.*rate",
    """
    kept = [r for r in runs if r["seed"] == tuning_seed and not math.isnan(r["validation"])]
    best = max(kept, key=lambda run: run["validation"])
    rates = [run["rate"] for run in runs]
    return best["validation"], best["rate"] in (min(rates), max(rates))
""",
)
rate.wrong(
    "two mistakes: all seeds, edge by place",
    "all seeds choose, and the ends are taken by their place in the list",
    r"all seeds|tuning.seed|other seeds|seeds that|\border\b|sort|lowest",
    _rate(keep='not math.isnan(run["validation"])', out="best, best in (rates[0], rates[-1])"),
)
rate.wrong(
    "the key is called val",
    "a run has no key val; it is validation",
    r"\bval\b|\bkey|KeyError",
    _rate(score='run["val"]'),
)
rate.wrong(
    "one value",
    "whether the rate lies at an end is missing from what is returned",
    r"two|tuple|pair|edge|second|whether|both|several results",
    _rate(out="best"),
)
rate.right("filter and max", _rate())
rate.right(
    "a loop",
    """
    best, top = None, -math.inf
    lowest, highest = math.inf, -math.inf
    for run in runs:
        lowest = min(lowest, run["rate"])
        highest = max(highest, run["rate"])
        if run["seed"] != tuning_seed:
            continue
        score = run["validation"]
        if score == score and (best is None or score > top):
            best, top = run["rate"], score
    return best, best == lowest or best == highest
""",
)
rate.right(
    "nanargmax",
    """
    mine = [run for run in runs if run["seed"] == tuning_seed]
    place = int(np.nanargmax([run["validation"] for run in mine]))
    rates = sorted({run["rate"] for run in runs})
    best = mine[place]["rate"]
    return best, rates.index(best) in (0, len(rates) - 1)
""",
)
rate.right(
    "a dictionary by rate",
    """
    by_rate = {
        run["rate"]: run["validation"]
        for run in runs
        if run["seed"] == tuning_seed and run["validation"] == run["validation"]
    }
    best = max(by_rate, key=by_rate.get)
    lower = any(run["rate"] < best for run in runs)
    higher = any(run["rate"] > best for run in runs)
    return best, not (lower and higher)
""",
)
rate.right(
    "sorted pairs, diverged as minus infinity",
    """
    def key(run):
        value = run["validation"]
        return -float("inf") if math.isnan(value) else value

    mine = filter(lambda run: run["seed"] == tuning_seed, runs)
    winner = sorted(mine, key=key)[-1]["rate"]
    tried = torch.tensor([run["rate"] for run in runs], dtype=torch.float64)
    return winner, bool(winner == tried.min() or winner == tried.max())
""",
)

# --- choose.interval -------------------------------------------------------------------------

interval = Exercise(
    "choose.interval",
    "def interval(scores: Tensor, t: dict[int, float]) -> tuple[float, float]:",
)
_INTERVAL = """
    n = len(scores)
    mean = scores.mean().item()
    half = {half}
    return {out}
"""


def _interval(half: str, out: str = "mean - half, mean + half") -> str:
    return _INTERVAL.format(half=half, out=out)


interval.wrong(
    "population deviation",
    "the sample's standard deviation divides by n - 1",
    r"n ?[-−–] ?1|population|sample|unbiased|correction|biased",
    _interval("t[n - 1] * scores.std(unbiased=False).item() / math.sqrt(n)"),
)
interval.wrong(
    "numpy's deviation",
    "numpy's std divides by n unless ddof=1 is given",
    r"n ?[-−–] ?1|ddof|population|sample|unbiased|biased|divides by n",
    _interval("t[n - 1] * float(np.std(scores.numpy())) / math.sqrt(n)"),
)
interval.wrong(
    "1.96",
    "1.96 is for many seeds; with few it is Student's t",
    r"1\.96|student|\bt\[|normal|few seeds|quantile",
    _interval("1.96 * scores.std().item() / math.sqrt(n)"),
)
interval.wrong(
    "n degrees of freedom",
    "n scores have n - 1 degrees of freedom",
    r"degree|n ?[-−–] ?1|t\[",
    _interval("t[n] * scores.std().item() / math.sqrt(n)"),
)
interval.wrong(
    "n - 2 degrees of freedom",
    "n scores have n - 1 degrees of freedom, not n - 2",
    r"degree|n ?[-−–] ?1|t\[",
    _interval("t[max(n - 2, 1)] * scores.std().item() / math.sqrt(n)"),
)
interval.wrong(
    "no root of n",
    "the deviation of single scores in place of the standard error of their mean",
    r"root|sqrt|√|standard error|divid|single (run|score|seed)",
    _interval("t[n - 1] * scores.std().item()"),
)
interval.wrong(
    "n in place of its root",
    "the standard error divides by the root of n, not by n",
    r"root|sqrt|√",
    _interval("t[n - 1] * scores.std().item() / n"),
)
interval.wrong(
    "variance",
    "the variance stands where its root, the standard deviation, belongs",
    r"varian|deviation|root|std",
    _interval("t[n - 1] * scores.var().item() / math.sqrt(n)"),
)
interval.wrong(
    "corrected twice",
    "std divides by n - 1 already; the root is then of n",
    r"twice|n ?[-−–] ?1|root of n|sqrt|√|already|standard error",
    _interval("t[n - 1] * scores.std().item() / math.sqrt(n - 1)"),
)
interval.wrong(
    "mean and half width",
    "the two ends are asked for, not mean and half width",
    r"both ends|two ends|half.?width|upper",
    _interval("t[n - 1] * scores.std().item() / math.sqrt(n)", "mean, half"),
)
interval.wrong(
    "ends swapped",
    "the lower end comes first",
    r"swap|\border\b|lower (end )?(comes )?first|exchang|other way",
    _interval("t[n - 1] * scores.std().item() / math.sqrt(n)", "mean + half, mean - half"),
)
interval.wrong(
    "half of the half width",
    "t times the standard error is the half width already",
    r"half|twice|two|width|/ ?2",
    _interval("t[n - 1] * scores.std().item() / math.sqrt(n) / 2"),
)
interval.wrong(
    "five seeds fixed",
    "the number of scores is not always five",
    r"hard.?coded|number of (scores|seeds)|t\[4\]|fixed|always five|not five|other n",
    _interval("t[4] * scores.std().item() / math.sqrt(5)"),
)
interval.wrong(
    "t of five seeds",
    "2.776 is right for four degrees of freedom only",
    r"2\.776|degree|hard.?coded|t\[|fixed|n ?[-−–] ?1",
    _interval("2.776 * scores.std().item() / math.sqrt(n)"),
)
interval.wrong(
    "median",
    "the interval is that of the mean, and lies around the median here",
    r"median",
    """
    n = scores.numel()
    half = t[n - 1] * scores.std() / n**0.5
    return (scores.median() - half).item(), (scores.median() + half).item()
""",
)
interval.wrong(
    "smallest and largest",
    "the smallest and the largest score are no interval of the mean",
    r"smallest|largest|\brange\b|standard error|min\(|max\(",
    "    return scores.min().item(), scores.max().item()",
)
interval.wrong(
    "two mistakes: n and population",
    "n degrees of freedom, and a deviation that divides by n",
    r"degree|n ?[-−–] ?1|population|unbiased|sample",
    _interval("t[n] * scores.std(correction=0).item() / math.sqrt(n)"),
)
interval.wrong(
    "t called",
    "t is a dictionary and is looked up with [ ]",
    r"dict|not callable|t\[",
    _interval("t(n - 1) * scores.std().item() / math.sqrt(n)"),
)
interval.wrong(
    "shape not unpacked",
    "scores.shape is no number; scores.shape[0] or len is",
    r"torch\.Size|\blen\b|shape\[0\]|numel|scores\.shape",
    """
    n = scores.shape
    half = t[n - 1] * scores.std() / math.sqrt(n)
    return (scores.mean() - half).item(), (scores.mean() + half).item()
""",
)
interval.open(
    "tensors of one number",
    "the annotation says floats; tensors without dimensions behave like them nearly everywhere",
    """
    half = t[len(scores) - 1] * scores.std() / math.sqrt(len(scores))
    return scores.mean() - half, scores.mean() + half
""",
)
interval.right("the formula", _interval("t[n - 1] * scores.std().item() / math.sqrt(n)"))
interval.right(
    "statistics",
    """
    values = scores.tolist()
    mean = statistics.fmean(values)
    half = t[len(values) - 1] * statistics.stdev(values) / len(values) ** 0.5
    return mean - half, mean + half
""",
)
interval.right(
    "population deviation and the root of n - 1",
    """
    x = scores.double().numpy()
    n = x.size
    error = x.std() / np.sqrt(n - 1)
    return float(x.mean() - t[n - 1] * error), float(x.mean() + t[n - 1] * error)
""",
)
interval.right(
    "by hand",
    """
    n = 0
    total = 0.0
    for s in scores:
        n += 1
        total += float(s)
    mean = total / n
    squares = 0.0
    for s in scores:
        squares += (float(s) - mean) ** 2
    half = t[n - 1] * math.sqrt(squares / (n - 1) / n)
    return (mean - half, mean + half)
""",
)
interval.right(
    "var_mean and a tensor of signs",
    """
    var, mean = torch.var_mean(scores.double(), correction=1)
    n = scores.size(0)
    low, high = mean + torch.tensor([-1.0, 1.0]).double() * t[n - 1] * (var / n).sqrt()
    return low.item(), high.item()
""",
)

# --- choose.paired ---------------------------------------------------------------------------

paired = Exercise(
    "choose.paired",
    """def paired_difference(
    first: dict[int, float], second: dict[int, float], t: dict[int, float]
) -> tuple[float, float]:""",
)
_PAIRED = """
    d = {d}
    n = len(d)
    return {mean}, {half}
"""


def _paired(**changes: str) -> str:
    parts = {
        "d": "[first[seed] - second[seed] for seed in first if seed in second]",
        "mean": "sum(d) / n",
        "half": "t[n - 1] * statistics.stdev(d) / math.sqrt(n)",
    }
    return _PAIRED.format(**(parts | changes))


paired.wrong(
    "paired by place",
    "the values are paired by their place in the dictionaries and not by seed",
    r"by seed|\borders?\b|by place|zip|each seed|paired with",
    _paired(d="[a - b for a, b in zip(first.values(), second.values())]"),
)
paired.wrong(
    "sorted values",
    "sorting the scores pairs them by size and not by seed",
    r"by seed|each seed|sort|paired with",
    _paired(d="[a - b for a, b in zip(sorted(first.values()), sorted(second.values()))]"),
)
paired.wrong(
    "sorted items of each",
    "with seeds that only one has, the sorted lists are shifted against each other",
    r"by seed|each seed|in both|both have|shift|common|zip|paired with",
    _paired(d="[a[1] - b[1] for a, b in zip(sorted(first.items()), sorted(second.items()))]"),
)
paired.wrong(
    "all seeds of the first",
    "a seed that second lacks gives a KeyError; take those that both have",
    r"KeyError|both have|in both|common|lacks",
    _paired(d="[first[seed] - second[seed] for seed in first]"),
)
paired.wrong(
    "missing scores as zero",
    "a missing score is not zero; such a seed is left out",
    r"zero|both have|in both|common|left out|missing",
    _paired(d="[first.get(s, 0) - second.get(s, 0) for s in first.keys() | second.keys()]"),
)
paired.wrong(
    "second minus first",
    "the difference is first - second",
    r"\bsign|first ?[-−–] ?second|second ?[-−–] ?first|swap|other way",
    _paired(d="[second[seed] - first[seed] for seed in first if seed in second]"),
)
paired.wrong(
    "absolute differences",
    "the sign of the differences is lost",
    r"abs|sign",
    _paired(d="[abs(first[seed] - second[seed]) for seed in first if seed in second]"),
)
paired.wrong(
    "not paired",
    "the variances are added as if the two were independent; take that of the differences",
    r"paired|differences|independent|shared noise|seed by seed|subtract",
    """
    seeds = sorted(first.keys() & second.keys())
    a, b = [first[s] for s in seeds], [second[s] for s in seeds]
    n = len(seeds)
    both = statistics.variance(a) + statistics.variance(b)
    return statistics.mean(a) - statistics.mean(b), t[n - 1] * math.sqrt(both / n)
""",
)
paired.wrong(
    "difference of all means",
    "the mean is over all scores of each, where only seeds that both have may count",
    r"both have|in both|common|different seeds|only one",
    _paired(mean="statistics.fmean(first.values()) - statistics.fmean(second.values())"),
)
paired.wrong(
    "population deviation",
    "the deviation of a sample divides by n - 1",
    r"n ?[-−–] ?1|population|sample|pstdev|unbiased|ddof",
    _paired(half="t[n - 1] * statistics.pstdev(d) / math.sqrt(n)"),
)
paired.wrong(
    "n degrees of freedom",
    "n differences have n - 1 degrees of freedom",
    r"degree|n ?[-−–] ?1|t\[",
    _paired(half="t[n] * statistics.stdev(d) / math.sqrt(n)"),
)
paired.wrong(
    "degrees of two samples",
    "the differences are one sample, with n - 1 degrees of freedom and not 2n - 2",
    r"degree|n ?[-−–] ?1|t\[|one sample",
    _paired(half="t[2 * n - 2] * statistics.stdev(d) / math.sqrt(n)"),
)
paired.wrong(
    "no root of n",
    "the half width is t times the standard error, which divides by the root of n",
    r"root|sqrt|√|standard error",
    _paired(half="t[n - 1] * statistics.stdev(d)"),
)
paired.wrong(
    "n of the first",
    "n is the number of the differences, not of all seeds of the first",
    r"number of|common|both|count|degree",
    _paired(half="t[len(first) - 1] * statistics.stdev(d) / math.sqrt(len(first))"),
)
paired.wrong(
    "root of two",
    "the deviation of the differences holds both methods already; no factor of root two",
    r"root of (two|2)|√ ?2|sqrt\(2\)|1\.41|already|too (large|wide).*root",
    _paired(half="math.sqrt(2) * t[n - 1] * statistics.stdev(d) / math.sqrt(n)"),
)
paired.wrong(
    "both ends",
    "mean and half width are asked for, not the two ends",
    r"\bends?\b|half.?width (is|and|,)|not the ends",
    """
    d = [first[s] - second[s] for s in first if s in second]
    mean = statistics.fmean(d)
    half = t[len(d) - 1] * statistics.stdev(d) / len(d) ** 0.5
    return mean - half, mean + half
""",
)
paired.wrong(
    "whole width",
    "the half width is asked for, and twice as much comes back",
    r"twice|doubl|2 ?[*×]|whole width|two times|half of",
    _paired(half="2 * t[n - 1] * statistics.stdev(d) / math.sqrt(n)"),
)
paired.wrong(
    "two mistakes: by place, 1.96",
    "paired by place, and 1.96 in place of Student's t",
    r"by seed|\borders?\b|zip|paired with|1\.96|student|\bt\[",
    _paired(
        d="[a - b for a, b in zip(first.values(), second.values())]",
        half="1.96 * statistics.stdev(d) / math.sqrt(n)",
    ),
)
paired.wrong(
    "std misspelt",
    "the module statistics has stdev and no std",
    r"std|stdev|attribute",
    _paired(half="t[n - 1] * statistics.std(d) / math.sqrt(n)"),
)
paired.wrong(
    "relative difference",
    "differences are asked for, not differences in parts of the second score",
    r"relative|divided|percent|quotient|a share|in parts of",
    _paired(d="[(first[s] - second[s]) / second[s] for s in first if s in second]"),
)
paired.right("comprehension", _paired())
paired.right(
    "sets and numpy",
    """
    seeds = sorted(set(first) & set(second))
    d = np.array([first[s] for s in seeds]) - np.array([second[s] for s in seeds])
    return float(d.mean()), float(t[len(d) - 1] * d.std(ddof=1) / np.sqrt(len(d)))
""",
)
paired.right(
    "try and except",
    """
    differences = []
    for seed, score in second.items():
        try:
            differences.append(first[seed] - score)
        except KeyError:
            pass
    n = len(differences)
    mean = math.fsum(differences) / n
    variance = math.fsum((d - mean) ** 2 for d in differences) / (n - 1)
    return mean, t[n - 1] * math.sqrt(variance / n)
""",
)
paired.right(
    "torch in 64 bit",
    """
    both = first.keys() & second.keys()
    d = torch.tensor([first[s] - second[s] for s in both], dtype=torch.float64)
    n = d.numel()
    return d.mean().item(), (t[n - 1] * d.std() / n**0.5).item()
""",
)
paired.right(
    "with the covariance",
    """
    seeds = [s for s in second if s in first]
    a = np.array([first[s] for s in seeds], dtype=np.float64)
    b = np.array([second[s] for s in seeds], dtype=np.float64)
    n = len(seeds)
    c = np.cov(a - b)
    return a.mean() - b.mean(), t[n - 1] * math.sqrt(float(c) / n)
""",
)

# --- choose.gain -----------------------------------------------------------------------------

gain = Exercise(
    "choose.gain", "def percent_of_full(scores: Tensor, full: Tensor, base: float) -> float:"
)
gain.wrong(
    "ratio of the scores",
    "the base model's score is not subtracted",
    r"\bbase\b|subtract|raw score",
    "    return 100 * (scores.mean() / full.mean()).item()",
)
gain.wrong(
    "base subtracted above only",
    "full fine-tuning's gain starts from the base model, too",
    r"full fine-tuning('s gain| itself)|from full|below the line|denominator|above the line|both",
    "    return 100 * ((scores.mean() - base) / full.mean()).item()",
)
gain.wrong(
    "base subtracted below only",
    "the method's gain starts from the base model, too",
    r"the method's gain|from the (method|score)|above the line|numerator|below the line|both",
    "    return 100 * (scores.mean() / (full.mean() - base)).item()",
)
gain.wrong(
    "a share, not percent",
    "the factor 100 is missing",
    r"by 100|factor 100|percent are|fraction|\* ?100|a share",
    "    return ((scores.mean() - base) / (full.mean() - base)).item()",
)
gain.wrong(
    "upside down",
    "the method's gain is divided by full fine-tuning's, not the other way round",
    r"invert|upside|other way|swap|divid|numerator|denominator|revers",
    "    return 100 * ((full.mean() - base) / (scores.mean() - base)).item()",
)
gain.wrong(
    "mean of the quotients",
    "the quotient of the two means, not the mean of the quotients seed by seed",
    r"mean of (the )?(ratio|quotient)|for each seed|ratio of (the )?means|seed by seed|each seed",
    "    return 100 * ((scores - base) / (full - base)).mean().item()",
)
gain.wrong(
    "absolute gains",
    "a method that is worse than the base has a negative gain",
    r"abs|negative|sign|worse",
    "    return 100 * (abs(scores.mean() - base) / abs(full.mean() - base)).item()",
)
gain.wrong(
    "absolute gain of full",
    "with losses both gains are negative; only one of them loses its sign here",
    r"abs|negative|sign|loss",
    "    return 100 * ((scores.mean() - base) / (full.mean() - base).abs()).item()",
)
gain.wrong(
    "clamped to 0 and 100",
    "a method can reach more than 100 percent, or less than none",
    r"clamp|clip|more than 100|above 100|over 100|negative|limit|cut",
    """
    share = (scores.mean() - base) / (full.mean() - base)
    return 100 * share.clamp(0, 1).item()
""",
)
gain.wrong(
    "sums with one base",
    "a sum over the seeds has to lose the base once for each of them",
    r"\bsums?\b|for each seed|n times|take the mean|use the mean",
    "    return 100 * ((scores.sum() - base) / (full.sum() - base)).item()",
)
gain.wrong(
    "best seeds",
    "the mean over the seeds is asked for, not the best one",
    r"\bmax|best seed|average|the mean|all seeds",
    "    return 100 * ((scores.max() - base) / (full.max() - base)).item()",
)
gain.wrong(
    "medians",
    "the mean gain is asked for, not the median",
    r"median|average|the mean\b",
    "    return 100 * ((scores.median() - base) / (full.median() - base)).item()",
)
gain.wrong(
    "first seed",
    "all seeds count, and only the first is used",
    r"first seed|all (the )?seeds|average|the mean\b|only one",
    "    return 100 * ((scores[0] - base) / (full[0] - base)).item()",
)
gain.wrong(
    "five seeds fixed",
    "the number of seeds is not always five",
    r"number of seeds|hard.?coded|fixed|always five|/ ?5|the mean\b",
    """
    mine, possible = scores.sum() / 5 - base, full.sum() / 5 - base
    return 100 * (mine / possible).item()
""",
)
gain.wrong(
    "whole percents",
    "the percentage is rounded to a whole number",
    r"round|whole|cut off|precis|decimal",
    "    return round(100 * ((scores.mean() - base) / (full.mean() - base)).item())",
)
gain.wrong(
    "distance to full",
    "what is asked for is the share that is reached, not the share that is missing",
    r"missing|share that|distance|lacks|what is left|from the base",
    "    return 100 * ((full.mean() - scores.mean()) / (full.mean() - base)).item()",
)
gain.wrong(
    "brackets forgotten",
    "without brackets only base and the mean below are divided",
    r"bracket|parenthes|preced|divid|numerator",
    "    return 100 * (scores.mean() - base / full.mean() - base).item()",
)
gain.wrong(
    "two mistakes: no base, no percent",
    "the base is not subtracted, and the factor 100 is missing",
    r"\bbase\b|by 100|subtract|\* ?100",
    "    return (scores.mean() / full.mean()).item()",
)
gain.wrong(
    "mean of a number",
    "base is a number and has no mean",
    r"'float' object|base\.mean|base is a",
    "    return 100 * ((scores.mean() - base.mean()) / (full.mean() - base.mean())).item()",
)
gain.wrong(
    "prints",
    "the share is printed and not returned",
    r"return|None|printed",
    """
    share = 100 * ((scores.mean() - base) / (full.mean() - base)).item()
    print(f"{share:.1f} %")
""",
)
gain.open(
    "a tensor of one number",
    "the annotation says float; a tensor without dimensions behaves like one nearly everywhere",
    "    return 100 * (scores.mean() - base) / (full.mean() - base)",
)
gain.right("means", "    return 100 * ((scores.mean() - base) / (full.mean() - base)).item()")
gain.right(
    "gains first",
    """
    gains = scores.double() - base
    possible = full.double() - base
    return float(gains.mean() / possible.mean() * 100)
""",
)
gain.right(
    "statistics",
    """
    mine = statistics.fmean(scores.tolist()) - base
    best = statistics.fmean(full.tolist()) - base
    return mine / best * 100.0
""",
)
gain.right(
    "sums over the seeds",
    """
    above = sum(float(s) - base for s in scores) / len(scores)
    below = sum(float(s) - base for s in full) / len(full)
    return 1e2 * above / below
""",
)
gain.right(
    "what is missing, from 100",
    """
def mean(values):
    return np.asarray(values, dtype=np.float64).mean()


def percent_of_full(scores, full, base):
    missing = (mean(full) - mean(scores)) / (mean(full) - base)
    return float(100 - 100 * missing)
""",
)

# --- choose.ranks ----------------------------------------------------------------------------

ranks = Exercise("choose.ranks", "def mean_ranks(scores: Tensor) -> Tensor:")
_RANKS = """
    better = (scores[None] > scores[:, None]).sum(1).float()
    equal = (scores[None] == scores[:, None]).sum(1).float()
    return ({rank}).{mean}
"""
ranks.wrong(
    "argsort once",
    "argsort says which method comes at a place, not which place a method has",
    r"argsort|order|place|index|tie",
    "    return (scores.argsort(0, descending=True) + 1).float().mean(1)",
)
ranks.wrong(
    "argsort twice",
    "two argsorts break ties by the place in the table; those that tie share the mean",
    r"\btie|equal|same score",
    "    return (scores.argsort(0, descending=True).argsort(0) + 1).float().mean(1)",
)
ranks.wrong(
    "smallest is best",
    "more is better, so the largest score has rank 1",
    r"more is better|largest|descend|direction|reversed|other way|lowest|loss",
    """
    below = (scores[None] < scores[:, None]).sum(1).float()
    equal = (scores[None] == scores[:, None]).sum(1).float()
    return (below + (equal + 1) / 2).mean(1)
""",
)
ranks.wrong(
    "tasks ranked in place of methods",
    "the methods of one task are ranked, not the tasks of one method",
    r"\baxis|\bdim\b|tasks are ranked|not the tasks|within a (method|task)|along",
    """
    better = (scores[:, None, :] > scores[:, :, None]).sum(2).float()
    equal = (scores[:, None, :] == scores[:, :, None]).sum(2).float()
    return (better + (equal + 1) / 2).mean(1)
""",
)
ranks.wrong(
    "mean over the methods",
    "the mean goes over the tasks, and one value for each method comes out",
    r"\baxis|\bdim\b|over (the )?(methods|rows)|each method|average.*tasks",
    _RANKS.format(rank="better + (equal + 1) / 2", mean="mean(0)"),
)
ranks.wrong(
    "ranks from zero",
    "the best method has rank 1, not 0",
    r"zero|rank 0|rank 1|start(s)? (at|from)|\+ ?1\b|off by",
    _RANKS.format(rank="better + (equal - 1) / 2", mean="mean(1)"),
)
ranks.wrong(
    "first of the tied places",
    "methods that tie share the mean of their places, not the first",
    r"\btie|equal|share|same score",
    _RANKS.format(rank="better + 1", mean="mean(1)"),
)
ranks.wrong(
    "last of the tied places",
    "methods that tie share the mean of their places, not the last",
    r"\btie|equal|share|same score",
    _RANKS.format(rank="better + equal", mean="mean(1)"),
)
ranks.wrong(
    "dense ranks",
    "after a tie the next place is left out; dense ranks do not leave it out",
    r"\btie|dense|equal|share|unique|distinct|skip|same score",
    """
    out = torch.empty(scores.shape)
    for j in range(scores.size(1)):
        _, place = torch.unique(-scores[:, j], return_inverse=True)
        out[:, j] = place + 1
    return out.mean(1)
""",
)
ranks.wrong(
    "half a place too high",
    "a method ties with itself; (equal + 1) / 2 is what is added",
    r"itself|half|0\.5|1/2|\+ ?1\b|off by|\btie",
    _RANKS.format(rank="better + equal / 2", mean="mean(1)"),
)
ranks.wrong(
    "whole ranks only",
    "// cuts off the half place of a tie",
    r"//|integer|half|1\.5|\btie|floor|round",
    _RANKS.format(rank="better + (equal + 1) // 2", mean="mean(1)"),
)
ranks.wrong(
    "sum of the ranks",
    "the mean over the tasks is asked for, not the sum",
    r"\bsum\b|average|divide|the mean\b",
    _RANKS.format(rank="better + (equal + 1) / 2", mean="sum(1)"),
)
ranks.wrong(
    "median rank",
    "the mean is asked for, not the median",
    r"median|average|the mean\b",
    _RANKS.format(rank="better + (equal + 1) / 2", mean="median(1).values"),
)
ranks.wrong(
    "rank of the mean score",
    "scores of different scales cannot be averaged; rank on each task first",
    r"scale|each task|averaged|mean score|per task|within",
    """
    mean = scores.mean(1)
    better = (mean[None] > mean[:, None]).sum(1).float()
    equal = (mean[None] == mean[:, None]).sum(1).float()
    return better + (equal + 1) / 2
""",
)
ranks.wrong(
    "nearly equal scores tie",
    "scores that differ a little do not tie",
    r"\btie|close to|nearly|equal|rounded|toleran",
    """
    rounded = (scores * 100).round()
    better = (rounded[None] > rounded[:, None]).sum(1).float()
    equal = (rounded[None] == rounded[:, None]).sum(1).float()
    return (better + (equal + 1) / 2).mean(1)
""",
)
ranks.wrong(
    "mean of whole numbers",
    "torch takes no mean of integers; make floats of the ranks first",
    r"floating|integer|\bLong\b|\.float\(\)",
    """
    better = (scores[None] > scores[:, None]).sum(1)
    return (better + 1).mean(1)
""",
)
ranks.wrong(
    "a list",
    "a tensor is asked for, and a list comes back",
    r"list|tensor",
    """
    out = []
    for m in range(scores.size(0)):
        better = (scores > scores[m]).sum(0)
        equal = (scores == scores[m]).sum(0)
        out.append((better + (equal + 1) / 2).mean().item())
    return out
""",
)
ranks.wrong(
    "two mistakes: ascending, ties broken",
    "the smallest score comes first, and ties are broken by place",
    r"more is better|largest|descend|direction|revers|\btie|equal|highest",
    "    return (scores.argsort(0).argsort(0) + 1).float().mean(1)",
)
ranks.wrong(
    "ties for the first place only",
    "every tie shares the mean of its places, not only that for the first one",
    r"\btie|equal|share",
    """
    place = (scores[None] > scores[:, None]).sum(1).float() + 1
    best = scores == scores.max(0).values
    shared = (best.sum(0) + 1) / 2
    return torch.where(best, shared, place).mean(1)
""",
)
ranks.wrong(
    "tasks left out of the pairs",
    "the counts run over the tasks, too",
    r"\baxis|\bdim\b|summed|sum over|the tasks,? too|over all tasks|each task",
    """
    better = (scores[None] > scores[:, None]).sum((1, 2)).float()
    equal = (scores[None] == scores[:, None]).sum((1, 2)).float()
    return better + (equal + 1) / 2
""",
)
ranks.right("all pairs", _RANKS.format(rank="better + (equal + 1) / 2", mean="mean(1)"))
ranks.right(
    "three loops",
    """
    methods, tasks = scores.shape
    out = torch.zeros(methods)
    for j in range(tasks):
        for i in range(methods):
            better = tied = 0
            for k in range(methods):
                better += bool(scores[k, j] > scores[i, j])
                tied += bool(scores[k, j] == scores[i, j])
            out[i] += (better + 1 + better + tied) / 2
    return out / tasks
""",
)
ranks.right(
    "sorted lists with index and count",
    """
    rows = []
    for column in scores.T.tolist():
        order = sorted(column, reverse=True)
        rows.append([order.index(x) + (order.count(x) + 1) / 2 for x in column])
    return torch.tensor(rows).mean(dim=0)
""",
)
ranks.right(
    "searchsorted from both sides",
    """
    columns = (-scores).T.contiguous()
    order = columns.sort(dim=1).values
    left = torch.searchsorted(order, columns)
    right = torch.searchsorted(order, columns, right=True)
    return ((left + 1 + right) / 2).mean(0)
""",
)
ranks.right(
    "signs of the differences",
    """
    wins = torch.sign(scores.unsqueeze(0) - scores.unsqueeze(1)).double()
    places = (wins.sum(1) + scores.size(0) + 1) / 2
    return places.mean(-1).to(torch.float32)
""",
)

# --- choose.holm -----------------------------------------------------------------------------

holm = Exercise("choose.holm", "def holm(p: Tensor) -> Tensor:")
_HOLM = """
    m = len(p)
    order = p.argsort()
    adjusted = {adjusted}
    result = torch.empty_like(p)
    result[order] = adjusted
    return {out}
"""


def _holm(adjusted: str, out: str = "result") -> str:
    return _HOLM.format(adjusted=adjusted, out=out)


_FULL = "(p[order] * torch.arange(m, 0, -1)).cummax(0).values.clamp(max=1)"
holm.wrong(
    "Bonferroni",
    "every p-value is multiplied by m; only the smallest is in Holm's procedure",
    r"bonferroni|m ?[-−–] ?1|smallest|decreas",
    "    return (p * len(p)).clamp(max=1)",
)
holm.wrong(
    "no running maximum",
    "no value may be below the one before it",
    r"below|before|maximum|cummax|monoton|decreas|running|order",
    _holm("(p[order] * torch.arange(m, 0, -1)).clamp(max=1)"),
)
holm.wrong(
    "above one",
    "no adjusted p-value may be above 1",
    r"above 1|above one|clamp|\bcap|\bclip|larger than",
    _holm("(p[order] * torch.arange(m, 0, -1)).cummax(0).values"),
)
holm.wrong(
    "sorted order returned",
    "each value belongs at the place of its own p-value; they come back sorted",
    r"place|order|sorted|back|position|scatter|permut",
    _holm(_FULL, "adjusted"),
)
holm.wrong(
    "permuted twice",
    "adjusted[order] permutes once more; result[order] = adjusted puts values back",
    r"place|order|back|position|permut|invers|index",
    _holm(_FULL, "adjusted[order]"),
)
holm.wrong(
    "factors the wrong way",
    "the smallest is multiplied by m and the largest by 1, not the other way round",
    r"multipl|smallest|ascend|descend|other way|revers|wrong way",
    _holm("(p[order] * torch.arange(1, m + 1)).cummax(0).values.clamp(max=1)"),
)
holm.wrong(
    "largest first",
    "sorted with the largest first, the largest is multiplied by m",
    r"smallest|largest|descend|ascend|sort|wrong way",
    """
    m = len(p)
    order = p.argsort(descending=True)
    adjusted = (p[order] * torch.arange(m, 0, -1)).cummax(0).values.clamp(max=1)
    result = torch.empty_like(p)
    result[order] = adjusted
    return result
""",
)
holm.wrong(
    "factors from m - 1",
    "the factors run from m to 1, and here from m - 1 to 0",
    r"off by|m ?[-−–] ?1|from m\b|by m\b|zero|multipl",
    _holm("(p[order] * torch.arange(m - 1, -1, -1)).cummax(0).values.clamp(max=1)"),
)
holm.wrong(
    "factors from m + 1",
    "the factors run from m to 1, and here from m + 1 to 2",
    r"off by|m ?\+ ?1|from m\b|by m\b|multipl",
    _holm("(p[order] * torch.arange(m + 1, 1, -1)).cummax(0).values.clamp(max=1)"),
)
holm.wrong(
    "Hochberg",
    "the running minimum from the large end is Hochberg's procedure, not Holm's",
    r"hochberg|minimum|cummin|maximum|cummax|before|step.?up|below",
    _holm("(p[order] * torch.arange(m, 0, -1)).flip(0).cummin(0).values.flip(0).clamp(max=1)"),
)
holm.wrong(
    "Benjamini-Hochberg",
    "p·m/rank controls the share of false discoveries, not the chance of one",
    r"benjamini|hochberg|fdr|false (discover|finding)|divided by|m ?[-−–] ?1",
    _holm("(p[order] * m / torch.arange(1, m + 1)).flip(0).cummin(0).values.flip(0).clamp(max=1)"),
)
holm.wrong(
    "Šidák's powers",
    "Holm multiplies; 1 - (1 - p)^k is Šidák's correction",
    r"[sš]id[aá]k|power|multipl|1 ?[-−–] ?\(1",
    _holm("(1 - (1 - p[order]) ** torch.arange(m, 0, -1)).cummax(0).values"),
)
holm.wrong(
    "running maximum in the given order",
    "the running maximum has to follow the sorted values, not the order in which they came",
    r"sort|order|maximum|cummax|before",
    """
    m = len(p)
    rank = p.argsort().argsort()
    return (p * (m - rank)).cummax(0).values.clamp(max=1)
""",
)
holm.wrong(
    "not sorted",
    "the p-values have to be sorted before they get their factors",
    r"sort|order|smallest",
    """
    m = len(p)
    return (p * torch.arange(m, 0, -1)).cummax(0).values.clamp(max=1)
""",
)
holm.wrong(
    "compared with the value before only unadjusted",
    "each value is compared with the adjusted one before it, not with that one's product alone",
    r"before|below|running|cummax|maximum|two|adjusted|monoton|neighbo",
    """
    m = len(p)
    order = p.argsort()
    products = p[order] * torch.arange(m, 0, -1)
    adjusted = products.clone()
    adjusted[1:] = torch.maximum(products[1:], products[:-1])
    result = torch.empty_like(p)
    result[order] = adjusted.clamp(max=1)
    return result
""",
)
holm.wrong(
    "writes into the input",
    "the p-values of the caller are overwritten",
    r"the input|in.?place|overwrit|caller|argument",
    """
    m = len(p)
    order = p.argsort()
    p[order] = (p[order] * torch.arange(m, 0, -1)).cummax(0).values.clamp(max=1)
    return p
""",
)
holm.wrong(
    "yes or no",
    "adjusted p-values are asked for, not which are below 0.05",
    r"bool|p-value|0\.05|adjusted",
    _holm(_FULL, "result < 0.05"),
)
holm.wrong(
    "cummax without values",
    "cummax returns values and indices; take .values",
    r"\.values|tuple|indices|cummax",
    _holm("(p[order] * torch.arange(m, 0, -1)).cummax(0).clamp(max=1)"),
)
holm.wrong(
    "two mistakes: sorted, no maximum",
    "the values come back sorted, and the running maximum is missing",
    r"place|order|sorted|below|before|maximum|cummax|monoton",
    """
    m = len(p)
    return (p.sort().values * torch.arange(m, 0, -1)).clamp(max=1)
""",
)
holm.wrong(
    "clamp from below",
    "clamp(1) makes 1 the smallest value; the largest has to be 1",
    r"clamp|max=|above 1|above one",
    _holm("(p[order] * torch.arange(m, 0, -1)).cummax(0).values.clamp(1)"),
)
holm.right("sorted, and put back", _holm(_FULL))
holm.right(
    "a loop over the sorted places",
    """
    m = p.numel()
    result = p.clone()
    largest = 0.0
    for k, i in enumerate(sorted(range(m), key=lambda i: p[i].item())):
        largest = max(largest, (m - k) * p[i].item())
        result[i] = min(1.0, largest)
    return result
""",
)
holm.right(
    "clamped before the maximum, inverse order",
    """
    values, order = torch.sort(p)
    factors = len(p) - torch.arange(len(p))
    adjusted = torch.cummax(torch.clamp(values * factors, max=1.0), dim=0)[0]
    return adjusted[order.argsort()]
""",
)
holm.right(
    "all pairs",
    """
    m = p.size(0)
    smaller = (p[None, :] < p[:, None]).sum(1)
    products = p * (m - smaller)
    upto = p[None, :] <= p[:, None]
    return torch.where(upto, products[None, :], 0.0).amax(1).clamp(max=1)
""",
)
holm.right(
    "numpy in 64 bit",
    """
    x = p.double().numpy()
    order = np.argsort(x, kind="stable")
    steps = np.maximum.accumulate(x[order] * np.arange(len(x), 0, -1))
    out = np.empty_like(x)
    out[order] = np.minimum(steps, 1)
    return torch.from_numpy(out).to(p.dtype)
""",
)
holm.right(
    "scatter",
    """
    order = torch.argsort(p, stable=True)
    multiplied = p.gather(0, order).mul(torch.arange(p.numel(), 0, -1, device=p.device))
    running = [multiplied[: k + 1].max() for k in range(p.numel())]
    adjusted = torch.stack(running).minimum(torch.ones_like(p))
    return torch.zeros_like(p).scatter(0, order, adjusted)
""",
)

# --- choose.pareto ---------------------------------------------------------------------------

pareto = Exercise("choose.pareto", "def pareto_front(costs: Tensor, quality: Tensor) -> Tensor:")
_PARETO = """
    no_dearer = (costs[None] {le} costs[:, None]).{every}(-1)
    no_worse = quality[None] {ge} quality[:, None]
    cheaper = (costs[None] < costs[:, None]).{some}(-1)
    better = quality[None] > quality[:, None]
    dominated = {dominated}
    return {out}
"""


def _pareto(**changes: str) -> str:
    parts = {
        "le": "<=",
        "ge": ">=",
        "every": "all",
        "some": "any",
        "dominated": "no_dearer & no_worse & (cheaper | better)",
        "out": "~dominated.any(1)",
    }
    return _PARETO.format(**(parts | changes))


pareto.wrong(
    "strictly better in everything",
    "one thing strictly better is enough, with no other worse",
    r"strict|one thing|at least one|equal|as good",
    _pareto(dominated="(costs[None] < costs[:, None]).all(-1) & better"),
)
pareto.wrong(
    "dominated by itself",
    "without a strict part every method dominates itself",
    r"itself|strict|equal|at least one|empty",
    _pareto(dominated="no_dearer & no_worse"),
)
pareto.wrong(
    "equal methods throw each other out",
    "two that are equal in everything do not dominate each other",
    r"equal|strict|same|duplicate|twin|identical|tie",
    _pareto(dominated="no_dearer & no_worse & ~torch.eye(len(quality), dtype=torch.bool)"),
)
pareto.wrong(
    "only one of equal methods",
    "of methods that are equal in everything all stay, not only the first",
    r"equal|same|duplicate|twin|identical|\btie|both stay",
    """
    n = len(quality)
    keep = torch.ones(n, dtype=torch.bool)
    for i in range(n):
        for j in range(n):
            if j != i and (costs[j] <= costs[i]).all() and quality[j] >= quality[i]:
                strict = (costs[j] < costs[i]).any() or quality[j] > quality[i]
                if strict or j < i:
                    keep[i] = False
    return keep
""",
)
pareto.wrong(
    "less quality is better",
    "more quality is better, and less is taken for it",
    r"low quality|quality.*(more|high|better|counts)|more is better|\bsign\b|revers|other way",
    """
    table = torch.cat([costs, quality[:, None]], 1)
    no_worse = (table[None] <= table[:, None]).all(-1)
    better = (table[None] < table[:, None]).any(-1)
    return ~(no_worse & better).any(1)
""",
)
pareto.wrong(
    "more cost is better",
    "less cost is better, and more is taken for it",
    r"(high|less|more|lower) costs?|costs? no more|less is better|\bsign\b|revers",
    """
    table = torch.cat([costs, quality[:, None]], 1)
    no_worse = (table[None] >= table[:, None]).all(-1)
    better = (table[None] > table[:, None]).any(-1)
    return ~(no_worse & better).any(1)
""",
)
pareto.wrong(
    "cheaper in some cost is enough",
    "the other may be dearer in none of the costs, not only in some",
    r"every cost|all (the )?(costs|columns)|each cost|no cost|none of|dearer|all\(-1\)",
    _pareto(every="any"),
)
pareto.wrong(
    "first cost only",
    "there are k costs, and only the first is compared",
    r"every cost|all (the )?(costs|columns)|each cost|first cost|k costs",
    """
    cost = costs[:, 0]
    no_dearer = cost[None] <= cost[:, None]
    no_worse = quality[None] >= quality[:, None]
    strict = (cost[None] < cost[:, None]) | (quality[None] > quality[:, None])
    return ~(no_dearer & no_worse & strict).any(1)
""",
)
pareto.wrong(
    "sum of the costs",
    "costs in different units cannot be added; each has to be compared",
    r"\bsum|\badd(ed)?\b|each cost|every cost|\bunits?\b|total",
    """
    cost = costs.sum(1)
    no_dearer = cost[None] <= cost[:, None]
    no_worse = quality[None] >= quality[:, None]
    strict = (cost[None] < cost[:, None]) | (quality[None] > quality[:, None])
    return ~(no_dearer & no_worse & strict).any(1)
""",
)
pareto.wrong(
    "strictly better in quality",
    "a method that is as good and cheaper dominates as well",
    r"cheaper|equal quality|same quality|as good|strict|at least one",
    _pareto(dominated="no_dearer & better"),
)
pareto.wrong(
    "strictly cheaper",
    "a method that costs the same and is better dominates as well",
    r"costs? the same|same cost|equal cost|better quality|strict|at least one",
    _pareto(dominated="no_dearer & no_worse & cheaper"),
)
pareto.wrong(
    "strictly cheaper in every cost",
    "to be cheaper in one of the costs is enough",
    r"one (of the )?costs?|\bany\b|strict|at least one|in one",
    _pareto(some="all"),
)
pareto.wrong(
    "the dominated ones",
    "true marks the methods on the front, and here those that are dominated",
    r"invert|negat|opposite|other way|dominated|~|not on",
    _pareto(out="dominated.any(1)"),
)
pareto.wrong(
    "those that dominate none",
    "the axis is the wrong one: it asks whom a method dominates, not who dominates it",
    r"\baxis|\bdim\b|direction|other way|whom|transpos|swap",
    _pareto(out="~dominated.any(0)"),
)
pareto.wrong(
    "dominated by all",
    "one method that dominates is enough; not all have to",
    r"\bany\b|one (method|other)|not all|all of them|is enough",
    _pareto(out="~dominated.all(1)"),
)
pareto.wrong(
    "places of the front",
    "booleans (n,) are asked for, not the places",
    r"boolean|\bbool,? |indices|mask|positions|nonzero|places",
    _pareto(out="(~dominated.any(1)).nonzero().flatten()"),
)
pareto.wrong(
    "a list",
    "a tensor is asked for, and a list comes back",
    r"list|tensor",
    """
    front = []
    for c, q in zip(costs, quality):
        no_worse = (costs <= c).all(1) & (quality >= q)
        better = (costs < c).any(1) | (quality > q)
        front.append(not bool((no_worse & better).any()))
    return front
""",
)
pareto.wrong(
    "sorted by the first cost",
    "a running maximum over one sorted cost does not see the others",
    r"every cost|all (the )?(costs|columns)|each cost|first cost|one (sorted )?cost|other costs",
    """
    order = sorted(range(len(quality)), key=lambda i: (costs[i, 0].item(), -quality[i].item()))
    front = torch.zeros(len(quality), dtype=torch.bool)
    best = -math.inf
    for i in order:
        if quality[i] > best:
            front[i] = True
            best = quality[i].item()
    return front
""",
)
pareto.wrong(
    "the best per cost",
    "the front holds more than the cheapest and the best",
    r"dominat|between|compromise|cheapest|trade",
    """
    front = quality == quality.max()
    return front | (costs == costs.min(0).values).any(1)
""",
)
pareto.wrong(
    "two mistakes: first cost, strict",
    "only the first cost is compared, and ties are thrown out or kept wrongly",
    r"first cost|every cost|all (the )?(costs|columns)|each cost|strict|equal|k costs",
    """
    cost = costs[:, 0]
    return ~((cost[None] < cost[:, None]) & (quality[None] > quality[:, None])).any(1)
""",
)
pareto.wrong(
    "not in place of ~",
    "not is no operation on a tensor of several booleans; ~ is",
    r"\bnot\b.*(tensor|operator)|~|ambiguous|logical_not|bool",
    _pareto(out="not dominated.any(1)"),
)
pareto.right("all pairs", _pareto())
pareto.right(
    "one table, less is better",
    """
    table = torch.cat([costs, -quality[:, None]], dim=1)
    no_worse = (table.unsqueeze(0) <= table.unsqueeze(1)).all(dim=2)
    return ~(no_worse & ~no_worse.T).any(dim=1)
""",
)
pareto.right(
    "two loops",
    """
def dominates(c1, q1, c2, q2):
    if q1 < q2 or any(a > b for a, b in zip(c1, c2)):
        return False
    return q1 > q2 or any(a < b for a, b in zip(c1, c2))


def pareto_front(costs, quality):
    points = list(zip(costs.tolist(), quality.tolist()))
    return torch.tensor(
        [not any(dominates(*other, *point) for other in points) for point in points]
    )
""",
)
pareto.right(
    "row by row",
    """
    front = torch.ones_like(quality, dtype=torch.bool)
    for i in range(quality.numel()):
        rivals = (costs <= costs[i]).all(1) & (quality >= quality[i])
        same = (costs == costs[i]).all(1) & (quality == quality[i])
        front[i] = not (rivals & ~same).any()
    return front
""",
)
pareto.right(
    "numpy, thrown out one after the other",
    """
    c, q = costs.numpy(), quality.numpy()
    out = np.zeros(len(q), dtype=bool)
    for j in range(len(q)):
        weak = np.all(c[j] <= c, axis=1) & (q[j] >= q)
        strict = np.any(c[j] < c, axis=1) | (q[j] > q)
        out |= weak & strict
    return torch.from_numpy(~out)
""",
)
pareto.right(
    "counts of the comparisons",
    """
    k = costs.shape[1]
    wins = (costs[:, None] < costs[None]).sum(-1) + (quality[:, None] > quality[None]).long()
    draws = (costs[:, None] == costs[None]).sum(-1) + (quality[:, None] == quality[None]).long()
    dominates = (wins + draws == k + 1) & (wins > 0)
    return dominates.sum(0) == 0
""",
)

# --- choose.decide ---------------------------------------------------------------------------

decide = Exercise(
    "choose.decide",
    "def choose(rows: list[dict], memory: float, must_merge: bool, margin: float) -> str:",
)
_DECIDE = """
    possible = [row for row in rows if {possible}]
    best = max(row["quality"] for row in {of})
    good = [row for row in possible if {good}]
    return {out}
"""


def _decide(**changes: str) -> str:
    parts = {
        "possible": 'row["memory"] <= memory and (row["mergeable"] or not must_merge)',
        "of": "possible",
        "good": 'row["quality"] >= best - margin',
        "out": 'min(good, key=lambda row: row["trainable"])["name"]',
    }
    return _DECIDE.format(**(parts | changes))


decide.wrong(
    "below the limit only",
    "a method that needs just the limit is possible",
    r"limit|up to and including|<=|exactly the|boundar",
    _decide(possible='row["memory"] < memory and (row["mergeable"] or not must_merge)'),
)
decide.wrong(
    "margin without its end",
    "a method exactly margin below the best one counts",
    r"at most|>=|exactly (the|at|margin)|boundar|up to and including",
    _decide(good='row["quality"] > best - margin'),
)
decide.wrong(
    "best of all",
    "the margin counts from the best possible method, not from the best of all",
    r"possible|cannot be used|impossible|best there is|before you look",
    _decide(of="rows"),
)
decide.wrong(
    "best of those that fit",
    "the best has to be mergeable as well, if that is asked for",
    r"merge|possible|cannot be used|before you look",
    _decide(of='[row for row in rows if row["memory"] <= memory]'),
)
decide.wrong(
    "best of those that merge",
    "the best has to fit the memory as well",
    r"memory|possible|does not fit|cannot be used",
    _decide(of='[row for row in rows if row["mergeable"] or not must_merge]'),
)
decide.wrong(
    "always mergeable",
    "methods that do not merge are possible unless merging is a must",
    r"merge",
    _decide(possible='row["memory"] <= memory and row["mergeable"]'),
)
decide.wrong(
    "merging never asked for",
    "must_merge is not used",
    r"merge",
    _decide(possible='row["memory"] <= memory'),
)
decide.wrong(
    "mergeable equal to must_merge",
    "without must_merge both kinds are possible, not only those that do not merge",
    r"merge",
    _decide(possible='row["memory"] <= memory and row["mergeable"] == must_merge'),
)
decide.wrong(
    "must_merge the wrong way",
    "those that merge are left out when merging is a must",
    r"merge",
    _decide(possible='row["memory"] <= memory and not (must_merge and row["mergeable"])'),
)
decide.wrong(
    "memory ignored",
    "methods that do not fit the memory are not possible",
    r"memory|fit the|limit",
    _decide(possible='row["mergeable"] or not must_merge'),
)
decide.wrong(
    "or for and",
    "memory and merging both have to be right; one is not enough",
    r"\bor\b|both|memory|merge|preced|bracket",
    _decide(possible='row["memory"] <= memory or (row["mergeable"] and must_merge)'),
)
decide.wrong(
    "precedence of and and or",
    "without brackets a model that need not merge is possible with any memory",
    r"bracket|preced|parenthes|memory|merge",
    _decide(possible='row["memory"] <= memory and row["mergeable"] or not must_merge'),
)
decide.wrong(
    "the best",
    "of all within the margin the smallest is asked for, not the best",
    r"within the margin|smallest|trainable|fewest|told apart|highest",
    _decide(out='max(good, key=lambda row: row["quality"])["name"]'),
)
decide.wrong(
    "margin not used",
    "the smallest possible method may be far below the best; the margin is not used",
    r"margin|quality|however bad",
    _decide(good="True"),
)
decide.wrong(
    "most trainable",
    "the fewest trainable parameters are asked for, not the most",
    r"fewest|smallest|trainable|most parameters|largest",
    _decide(out='max(good, key=lambda row: row["trainable"])["name"]'),
)
decide.wrong(
    "least memory",
    "the smallest by trainable parameters, not by memory",
    r"trainable|memory",
    _decide(out='min(good, key=lambda row: row["memory"])["name"]'),
)
decide.wrong(
    "relative margin",
    "margin is a difference of qualities, not a share of the best",
    r"margin|relative|share|fraction|difference|absolute|percent",
    _decide(good='row["quality"] >= best * (1 - margin)'),
)
decide.wrong(
    "row returned",
    "the name is asked for, and the row comes back",
    r"\bname\b|the row comes|whole row|\bdict\b",
    _decide(out='min(good, key=lambda row: row["trainable"])'),
)
decide.wrong(
    "sorts the caller's list",
    "sort changes the list of the caller; sorted does not",
    r"the input|in.?place|caller|argument|\bsorts?\b",
    """
    rows.sort(key=lambda row: row["trainable"])
    possible = [r for r in rows if r["memory"] <= memory and (r["mergeable"] or not must_merge)]
    best = max(r["quality"] for r in possible)
    for row in possible:
        if row["quality"] >= best - margin:
            return row["name"]
""",
)
decide.wrong(
    "two mistakes: best of all, strict memory",
    "the margin counts from a method that may not fit, and the limit itself is left out",
    r"possible|cannot be used|limit|including|<=|exactly the|before you look",
    _decide(possible='row["memory"] < memory and (row["mergeable"] or not must_merge)', of="rows"),
)
decide.wrong(
    "key of another name",
    "a row has no key params; it is trainable",
    r"params|trainable|key",
    _decide(out='min(good, key=lambda row: row["params"])["name"]'),
)
decide.wrong(
    "first within the margin",
    "the first within the margin is returned; the smallest is asked for",
    r"smallest|fewest|trainable|\border\b|first (row|one|that)",
    _decide(out='good[0]["name"]'),
)
decide.right("three steps", _decide())
decide.right(
    "sorted by size",
    """
    possible = list(filter(
        lambda r: not (r["memory"] > memory or (must_merge and not r["mergeable"])), rows))
    top = max(possible, key=lambda r: r["quality"])["quality"]
    for row in sorted(possible, key=lambda r: r["trainable"]):
        if top - row["quality"] <= margin:
            return row["name"]
""",
)
decide.right(
    "loops without built-ins",
    """
    best = None
    for row in rows:
        if row["memory"] > memory:
            continue
        if must_merge and not row["mergeable"]:
            continue
        if best is None or row["quality"] > best:
            best = row["quality"]
    chosen = None
    for row in rows:
        if row["memory"] > memory or (must_merge and not row["mergeable"]):
            continue
        if row["quality"] < best - margin:
            continue
        if chosen is None or row["trainable"] < chosen["trainable"]:
            chosen = row
    return chosen["name"]
""",
)
decide.right(
    "a helper and tuples",
    """
def possible(row, memory, must_merge):
    return row["memory"] <= memory and (row["mergeable"] if must_merge else True)


def choose(rows, memory, must_merge, margin):
    left = [
        (row["trainable"], place, row["quality"], row["name"])
        for place, row in enumerate(rows)
        if possible(row, memory, must_merge)
    ]
    best = max(quality for _, _, quality, _ in left)
    return min(item for item in left if item[2] >= best - margin)[-1]
""",
)
decide.right(
    "masks of numpy",
    """
    quality = np.array([row["quality"] for row in rows], dtype=float)
    size = np.array([row["trainable"] for row in rows], dtype=float)
    ok = np.array([row["memory"] <= memory for row in rows])
    if must_merge:
        ok &= np.array([bool(row["mergeable"]) for row in rows])
    ok &= quality >= quality[ok].max() - margin
    return rows[int(np.where(ok, size, np.inf).argmin())]["name"]
""",
)

EXERCISES = (rate, interval, paired, gain, ranks, holm, pareto, decide)
