"""The structure keeps its rules: who imports whom, what is how large, one name for one lesson."""

import ast
import graphlib
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from peftcourse.exercises import LESSONS

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
PACKAGES = ("peftlab", "peftcourse")

# The floors of each package, from the ground up. On a floor, "|" stands between its rooms, and a
# room is one or more modules with all that is in them. A module may import from its own room and
# from the floors below; never from above, nor from the room next door.
FLOORS = {
    "peftlab": """
        errors
        lowrank | memory | quantization.formats quantization.nf4 quantization.bitsandbytes
        layers targets copies inject renames reach
        methods | merging quantization
        peft_format saving loading verbs peftlab
    """,
    # The library is the ground that the course stands on.
    "peftcourse": """
        peftlab
        calculator | doctor | exercises | experiments
        compare | figures | labs | parity | peftcourse
        grading | recommend
        cli
    """,
}

# Not code to read from the first line to the last, but a table to look things up in.
TABLES = {"memory/formulas.py"}
LONGEST_FILE = 400  # lines of any kind
MOST_CODE = 4800  # lines in all files together, without blank ones, comments and docstrings

# What `import peftlab`, and every module in it, works without.
NOT_LOADED = {
    "peftcourse", "matplotlib", "transformers", "peft", "bitsandbytes",
    "IPython", "ipykernel", "jupyter_client", "jupyter_core", "notebook", "nbformat", "nbclient",
}  # fmt: skip

# Benchmarks and results that belong to no lesson, by the first part of their names.
OF_NO_LESSON = {
    "classroom": "a made-up class, for `grading`",
    "compare": "peftlab compare: all methods on the same data",
    "gpu": "make gpu: the notebooks on a GPU",
    "grading": "what grading a class takes",
    "import": "what `import peftlab` takes",
    "learner": "answers that learners give, to the exercises of all lessons",
    "myths": "the appendix of common claims",
    "parity": "peftlab parity: every method beside its reference",
    "pretrain": "how the bundled model was made",
    "wrong": "which mistakes the exercises recognize",
}


def modules(package: str) -> dict[str, Path]:
    """Dotted name → file, of a whole package."""
    found = {}
    for path in sorted((SOURCE / package).rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = {name: path for package in PACKAGES for name, path in modules(package).items()}


def imports(module: str) -> set[str]:
    """The modules of ours that a module imports, wherever in it: in functions and for types too."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: write the whole name of what it imports"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in MODULES else node.module)
    return (found & MODULES.keys()) - {module}


# --- who imports whom ----------------------------------------------------------------------------


def test_the_library_knows_nothing_of_the_course():
    found = [
        name for name, path in modules("peftlab").items() if "peftcourse" in path.read_text("utf-8")
    ]
    assert not found, f"src/peftlab names peftcourse: {found}"


def test_the_library_loads_nothing_that_it_can_do_without():
    names = ", ".join(modules("peftlab"))
    script = f"import {names}, sys; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(done.stdout.split())
    assert {"peftlab", "torch"} <= loaded
    unwanted = loaded & NOT_LOADED
    assert not unwanted


@pytest.mark.parametrize("package", PACKAGES)
def test_no_files_import_each_other_in_a_circle(package):
    own = modules(package)
    graph = {name: imports(name) & own.keys() for name in own}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def rooms(package: str) -> dict[str, tuple[int, str]]:
    """Module → (its floor, its room); the longest name that a room lists decides."""
    listed = {}
    for floor, line in enumerate(FLOORS[package].strip().splitlines()):
        for room in line.split("|"):
            for name in room.split():
                whole = name if name in PACKAGES else f"{package}.{name}"
                assert whole not in listed, f"{name} has two rooms"
                listed[whole] = (floor, room.strip())
    unknown = listed.keys() - MODULES.keys()
    assert not unknown, f"no such modules: {unknown}"
    found = {}
    for module in MODULES:
        parts = module.split(".")
        if parts[0] not in (package, "peftlab"):
            continue
        # The name of a package stands for its own __init__ alone; the library's is a room below.
        least = 1 if parts[0] != package or len(parts) == 1 else 2
        names = [".".join(parts[:count]) for count in range(len(parts), least - 1, -1)]
        room = next((listed[name] for name in names if name in listed), None)
        assert room is not None, f"{module} has no room in FLOORS"
        found[module] = room
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_go_down(package):
    where = rooms(package)
    wrong = [
        f"{module} imports {other}: {where[module][1]!r} on floor {where[module][0] + 1}, "
        f"{where[other][1]!r} on floor {where[other][0] + 1}"
        for module in modules(package)
        for other in sorted(imports(module))
        if where[module] != where[other] and where[module][0] <= where[other][0]
    ]
    assert not wrong, "\n".join(wrong)
    assert max(floor for floor, _ in where.values()) + 1 <= 5


# --- how large it is -----------------------------------------------------------------------------


def docstring_lines(text: str) -> set[int]:
    places = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    lines: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, places) and ast.get_docstring(node, clean=False) is not None:
            lines |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return lines


def code_lines(text: str) -> int:
    """Lines with code on them: no blank ones, comments or docstrings."""
    blank = (
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
        tokenize.ENDMARKER,
    )  # fmt: skip
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in blank:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstring_lines(text))


def test_lines_of_code_are_counted_as_people_count_them():
    text = '''"""A docstring

of three lines."""

x = """a
b"""  # two lines

# none
def f():
    "A docstring."
    return 1
'''
    assert code_lines(text) == 4


def test_the_library_can_be_read_in_an_afternoon():
    texts = {name: path.read_text(encoding="utf-8") for name, path in modules("peftlab").items()}
    assert sum(map(code_lines, texts.values())) <= MOST_CODE
    long = {
        str(MODULES[name].relative_to(SOURCE / "peftlab")): len(text.splitlines())
        for name, text in texts.items()
    }
    long = {name: lines for name, lines in long.items() if lines > LONGEST_FILE}
    assert long.keys() == TABLES, f"part these by meaning: {long}"


def test_the_repository_is_small():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so there is no list of the repository's files")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    total = sum(path.stat().st_size for path in paths if path.is_file())
    assert total <= 40 * 2**20, f"{total / 2**20:.1f} MiB are tracked"


# --- one lesson, one name ------------------------------------------------------------------------

# What a learner does alone, after the lessons: a notebook without a chapter.
ALONE = ("your_7b",)
NUMBERED = sorted(path.stem for path in (ROOT / "book").glob("[0-9][0-9]_*.md"))
LABS = [stem for stem in NUMBERED if not stem.startswith("00_")]  # lesson 00 has no lab
NAMES = [stem[3:] for stem in LABS]


def names_in(folder: str, pattern: str) -> set[str]:
    return {path.stem for path in (ROOT / folder).glob(pattern) if path.name != "__pycache__"}


def test_lessons_are_numbered_one_after_the_other():
    assert [int(stem[:2]) for stem in NUMBERED] == list(range(len(NUMBERED)))
    assert len({stem[3:] for stem in NUMBERED}) == len(NUMBERED)


@pytest.mark.parametrize(
    ("folder", "pattern"),
    [("labs", "*.ipynb"), ("solutions", "*.md"), ("solutions", "*.ipynb")],
    ids=" ".join,
)
def test_every_lesson_has_its_lab_and_its_solution(folder, pattern):
    odd = names_in(folder, pattern) ^ {*LABS, *ALONE}
    assert not odd, f"{folder}/ and book/ do not have the same lessons"


def test_every_lesson_has_its_exercises_figures_and_tests():
    packages = {path.parent.name for path in SOURCE.glob("peftcourse/exercises/*/__init__.py")}
    figures = names_in("src/peftcourse/figures", "[!_]*.py") - {"start", "myths", "style"}
    tests = {name.removeprefix("test_") for name in names_in("tests/peftcourse/exercises", "*.py")}
    odd = (packages ^ set(NAMES)) | (figures ^ set(NAMES)) | (set(NAMES) - tests)
    assert not odd


def test_exercises_are_called_by_their_lesson():
    assert list(LESSONS) == LABS
    for stem, lesson in LESSONS.items():
        wrong = [part.id for part in lesson.parts if not part.id.startswith(f"{stem[3:]}.")]
        assert not wrong


def test_benchmarks_and_results_are_called_by_their_lesson():
    stems = names_in("benchmarks", "[!_]*.py") | names_in("results", "*.json")
    heads = {stem: stem.split("_")[0] for stem in stems}
    assert not {stem for stem, head in heads.items() if head not in {*NAMES, *OF_NO_LESSON}}
    assert not OF_NO_LESSON.keys() - set(heads.values()), "gone"
    assert not OF_NO_LESSON.keys() & set(NAMES)


# --- the README's tree ---------------------------------------------------------------------------


def tree(document: str) -> Iterator[tuple[str, str]]:
    """(path, what it is for) of each line below ``src/peftlab/`` in a document."""
    [block] = re.findall(r"```text\nsrc/peftlab/\n(.*?)```", document, re.DOTALL)
    above: list[str] = []
    for line in block.splitlines():
        [(indent, name, what)] = re.findall(r"^((?:  )+)(\S+) *(.*)$", line)
        del above[len(indent) // 2 - 1 :]
        yield "".join([*above, name]), what
        if name.endswith("/"):
            above.append(name)


def test_the_readme_names_every_file_of_the_library():
    lines = list(tree((ROOT / "README.md").read_text(encoding="utf-8")))
    paths = (str(path.relative_to(SOURCE / "peftlab")) for path in modules("peftlab").values())
    # A folder's line stands for its __init__.py, which says no more.
    there = {path.replace("/__init__.py", "/") for path in paths}
    named = [path for path, _ in lines]
    assert len(named) == len(set(named))
    assert set(named) == there, f"missing {there - set(named)}, gone {set(named) - there}"
    assert not [path for path, what in lines if not what], "say what it is for"


def test_the_readme_says_how_large_the_library_is():
    [lines] = re.findall(r"([\d,]+) lines of code", (ROOT / "README.md").read_text("utf-8"))
    counted = sum(code_lines(path.read_text("utf-8")) for path in modules("peftlab").values())
    assert abs(int(lines.replace(",", "")) - counted) <= 100, counted
