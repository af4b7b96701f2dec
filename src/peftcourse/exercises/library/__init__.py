"""The exercises of lesson 09, the Hugging Face PEFT library."""

from __future__ import annotations

from peftcourse.exercises.core import Exercise
from peftcourse.exercises.library import (
    cases,
    combine,
    count,
    factors,
    keys,
    names,
    probes,
    scaling,
    targets,
    tied,
    verify,
)
from peftcourse.exercises.library.report import REPORT

TITLE = "09 The Hugging Face PEFT library"

PARTS = (
    Exercise(
        id="library.targets",
        title="which layers target_modules means",
        objective="say which layers an adapter gets, before it has trained for a day.",
        points=3,
        difficulty=2,
        minutes=10,
        section="Which layers it takes",
        hints=(
            "There are three languages: the shorthand, a string, a list. Ask for the shorthand "
            "first, because it is a string too.",
            "A string is a regular expression for the whole name. An entry of a list is a name, or "
            "the end of one after a dot.",
            're.fullmatch(targets, name) for a string; name == entry or name.endswith("." + entry) '
            "for any entry of a list.",
        ),
        meaning='a bare "q_proj" is an expression for the whole name, and so means no layer.',
        cases=cases.targets,
        probe=probes.targets,
        solution=targets.targets,
        mutants=targets.TARGETS,
        symptoms=targets.SYMPTOMS,
        allows=("torch", "numpy", "math", "re"),
    ),
    Exercise(
        id="library.count",
        title="what print_trainable_parameters prints",
        objective="count parameters that are shared, packed or frozen.",
        points=2,
        difficulty=2,
        minutes=8,
        section="What trains",
        hints=(
            "How often does model.parameters() give a weight that two modules share?",
            "Two 4-bit codes are in one byte, so a packed parameter of dtype torch.uint8 stands "
            "for twice as many weights as it has elements.",
            "parameter.numel() * (2 if parameter.dtype == torch.uint8 else 1), added to both sums "
            "or to one, by requires_grad.",
        ),
        meaning="the percentage that is printed is of the model's weights, not of its bytes.",
        cases=cases.count,
        probe=probes.count,
        solution=count.count,
        mutants=count.COUNT,
    ),
    Exercise(
        id="library.scaling",
        title="the factor of one layer",
        objective="compute the scaling that rank_pattern, alpha_pattern and use_rslora give.",
        points=3,
        difficulty=3,
        minutes=12,
        section="Field by field",
        hints=(
            "Rank and alpha are looked up apart from each other. What if two keys match a layer?",
            "A key is a regular expression for the end of a name, from a dot on. The first that "
            "matches counts, in the order of the dictionary.",
            'rf"(.*\\.)?({key})" has to match the whole path: re.fullmatch.',
        ),
        meaning="α alone says little: what acts is α over the rank of that very layer.",
        cases=cases.scaling,
        probe=probes.scaling,
        solution=scaling.scaling,
        mutants=scaling.SCALING,
        symptoms=keys.SYMPTOMS,
        allows=("torch", "numpy", "math", "re"),
    ),
    Exercise(
        id="library.names",
        title="the names in a file",
        objective="write an adapter so that PEFT, and what reads its files, finds every tensor.",
        points=3,
        difficulty=2,
        minutes=10,
        section="Files",
        hints=(
            "PeftModel holds its tuner as base_model, and the tuner holds your model as model. "
            "Which of these levels does a name show?",
            "Split off the last part: it is A or B. In the file the end is lora_A.weight; in the "
            "model the adapter's name stands in between.",
            'path, letter = name.rsplit(".", 1); then base_model.model.{path}.lora_{letter}, the '
            "adapter's name if there is one, and weight.",
        ),
        meaning="an adapter of yours is four lines of code away from every server that reads PEFT.",
        cases=cases.names,
        probe=probes.names,
        solution=names.names,
        mutants=names.NAMES,
        symptoms=names.SYMPTOMS,
    ),
    Exercise(
        id="library.verify",
        title="was it loaded?",
        objective="find out from two dictionaries that an adapter has not been loaded.",
        points=3,
        difficulty=3,
        minutes=12,
        section="Adapters that load and are not there",
        hints=(
            "Which of the model's names can be in an adapter's file at all?",
            "Two differences of sets, a comparison of shapes on what both have, and a look for "
            "factors B in the file that never trained.",
            "not tensor.any() is true of a tensor that is zero everywhere.",
        ),
        meaning="four zeros do not prove that the adapter is right, but that it is all there.",
        cases=cases.verify,
        probe=probes.verify,
        secret=cases.VERIFY_SECRET,
        solution=verify.verify,
        mutants=verify.VERIFY,
        symptoms=verify.SYMPTOMS,
    ),
    Exercise(
        id="library.combine",
        title="one adapter from several",
        objective="combine LoRA adapters in three ways, and know which of them is not a sum.",
        points=4,
        difficulty=4,
        minutes=20,
        section="Several adapters",
        hints=(
            "Each adapter's update is weight · scaling · B A. The new adapter has scaling 1, so "
            "all of this has to go into its factors.",
            "cat: stack the A, one of them scaled, beside B after B. linear: √ of the factor for A "
            "and for B, the sign in A only. svd: the sum, cut to the largest rank.",
            "math.copysign(math.sqrt(abs(f)), f) for A and math.sqrt(abs(f)) for B; for svd, "
            "Vh[:r] and U[:, :r] * S[:r].",
        ),
        meaning="cat is exact, svd is the best of its rank, and linear also mixes B of one with A "
        "of another.",
        cases=cases.combine,
        probe=probes.combine,
        solution=combine.combine,
        mutants=combine.COMBINE,
        symptoms=factors.SYMPTOMS,
    ),
    Exercise(
        id="library.tied",
        title="merge into a head that is tied",
        objective="change a head and leave the embedding that shares its weight as it is.",
        points=2,
        difficulty=2,
        minutes=8,
        section="Heads and tied weights",
        hints=(
            "Two modules can hold the very same tensor. What does += do to the other one?",
            "Make a new tensor for the head; the embedding goes on holding the old one.",
            "head.weight = nn.Parameter(head.weight + delta), under torch.no_grad().",
        ),
        meaning="the model is then no longer tied, and its configuration has to say so.",
        cases=cases.tied,
        probe=probes.tied,
        solution=tied.tied,
        mutants=tied.TIED,
        symptoms=tied.SYMPTOMS,
    ),
    REPORT,
)
