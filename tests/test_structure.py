"""The rules of the two packages: where imports point, how large they are, what is called how.

``src/peftlab`` is the library, ``src/peftcourse`` the course that is made with it. Imports are read
from the source, so that one inside a function or under ``TYPE_CHECKING`` counts like any other.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("peftlab", "peftcourse")
LIBRARY = ROOT / "src" / "peftlab"

# The library from the bottom up. A module imports from its own floor or from one below.
FLOORS = (
    ("errors", "lowrank", "memory"),
    ("quantization.formats", "quantization.nf4", "quantization.bitsandbytes"),
    ("layers", "targets", "copies", "inject"),
    ("methods", "quantization.linear", "quantization.loading"),
    ("merging", "quantization.merging", "peft_format", "checkpoint"),
)
# The course, with the whole library below it.
ROOMS = (
    ("data", "calculator", "doctor"),
    ("experiments", "exercises"),
    ("figures", "compare", "labs", "parity"),
    ("recommend", "grading"),
    ("cli",),
)
# Tables of data: long, and read like one.
TABLES = {"memory/formulas.py"}
MAX_LINES, MAX_CODE_LINES = 400, 4800
MAX_TRACKED = 40 * 2**20

# Benchmarks and results that measure the course as a whole, or several lessons.
SHARED = {
    "classroom",
    "compare",
    "gpu",
    "grading",
    "import",
    "myths",
    "parity",
    "pretrain",
    "wrong",
}


@cache
def modules() -> dict[str, Path]:
    """Every module of both packages by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / "src" / package).rglob("*.py"):
            parts = path.relative_to(ROOT / "src").with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(name: str, inside_functions: bool = True) -> frozenset[str]:
    """The modules of the two packages that a module imports, wherever the import stands."""
    tree = ast.parse(modules()[name].read_text(encoding="utf-8"))
    lazy = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in lazy and not inside_functions:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively; name the package"
            # `from package import module` means the module, if there is one.
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (whole & modules().keys()) or {node.module}
    return frozenset((found & modules().keys()) - {name})


def floor_of(name: str, floors: tuple[tuple[str, ...], ...]) -> int | None:
    """The number of the floor that a module is on: that of the longest prefix of its name."""
    inside = name.partition(".")[2]
    places = {prefix: number for number, prefixes in enumerate(floors) for prefix in prefixes}
    fitting = [p for p in places if inside == p or inside.startswith(p + ".")]
    return places[max(fitting, key=len)] if fitting else None


def test_the_library_knows_nothing_of_the_course():
    up = {name for name in modules() if name.startswith("peftlab")}
    assert not [(name, other) for name in up for other in imports(name) if "peftcourse" in other]
    assert not [p for p in LIBRARY.rglob("*.py") if "peftcourse" in p.read_text(encoding="utf-8")]


def test_importing_the_library_loads_neither_the_course_nor_a_notebook():
    names = sorted(name for name in modules() if name.startswith("peftlab"))
    script = f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\n"
    script += "print(' '.join({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    forbidden = {
        *("peftcourse", "matplotlib", "transformers", "peft", "bitsandbytes"),
        *("IPython", "jupyter_core", "notebook", "nbformat", "ipykernel"),
    }
    assert not set(done.stdout.split()) & forbidden


@pytest.mark.parametrize("package", PACKAGES)
def test_no_imports_go_in_a_circle(package):
    # The package itself hands out names that it imports when they are asked for.
    arrows = {
        name: imports(name) - {package}
        for name in modules()
        if name != package and name.startswith(package)
    }
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize(("package", "floors"), [("peftlab", FLOORS), ("peftcourse", ROOMS)])
def test_imports_point_down(package, floors):
    wrong = []
    for name in modules():
        if name == package or not name.startswith(package + "."):
            continue
        own = floor_of(name, floors)
        if own is None:
            # Only the `__init__` of a folder whose modules are on several floors.
            assert modules()[name].name == "__init__.py" and not imports(name), name
            continue
        for other in imports(name):
            below = floor_of(other, floors) if other.startswith(package + ".") else None
            if below is not None and below > own:
                wrong.append(f"{name} (floor {own}) imports {other} (floor {below})")
    assert not wrong, wrong


def code_lines(text: str) -> int:
    """Lines with code on them: neither blank nor comments nor docstrings."""
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        owns = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if owns and ast.get_docstring(node, clean=False) is not None:
            docstrings |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    silent = {
        *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
        *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
    }
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in silent:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def test_lines_of_code_are_counted_as_they_are_meant():
    assert code_lines('"""A\ndocstring."""\n\n# why\nx = 1  # one\n') == 1
    assert code_lines('def f():\n    """Says."""\n    return """two\nlines"""\n') == 3


def test_the_library_is_small():
    texts = {path: path.read_text(encoding="utf-8") for path in LIBRARY.rglob("*.py")}
    long = {
        str(path.relative_to(LIBRARY))
        for path, text in texts.items()
        if len(text.splitlines()) > MAX_LINES
    }
    assert long <= TABLES
    assert sum(map(code_lines, texts.values())) <= MAX_CODE_LINES


def test_the_readme_shows_every_file_of_the_library():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [tree] = re.findall(r"```text\nsrc/peftlab/\n(.*?)```", readme, re.DOTALL)
    shown, folder = {}, ""
    for line in tree.splitlines():
        entry = re.fullmatch(r"( +)([\w./]+) *(.*)", line)
        assert entry, line
        indent, name, what = entry.groups()
        if name.endswith("/"):
            folder = name
        else:
            assert what, f"{name} stands without what it is for"
            shown[(folder if len(indent) > 2 else "") + name] = what
    there = {str(path.relative_to(LIBRARY)) for path in LIBRARY.rglob("*.py")}
    # A folder's own `__init__` says only what the folder is.
    there -= {name for name in there if name.endswith("/__init__.py")}
    assert set(shown) == there


def lessons() -> list[str]:
    """``01_memory`` and so on; lesson 00 has no lab."""
    return sorted(path.stem for path in (ROOT / "book").glob("[0-9][0-9]_*.md"))[1:]


@pytest.mark.parametrize("lesson", lessons())
def test_a_lesson_has_one_name_everywhere(lesson):
    from peftcourse.exercises import LESSONS

    name = lesson.partition("_")[2]
    for place in (
        f"labs/{lesson}.ipynb",
        f"solutions/{lesson}.md",
        f"solutions/{lesson}.ipynb",
        f"src/peftcourse/exercises/{name}/__init__.py",
        f"src/peftcourse/figures/{name}.py",
        f"tests/peftcourse/exercises/test_{name}.py",
    ):
        assert (ROOT / place).is_file(), place
    assert {part.id.partition(".")[0] for part in LESSONS[lesson].parts} == {name}


def test_nothing_else_is_called_like_a_lesson():
    names = {lesson.partition("_")[2] for lesson in lessons()}
    packages = {
        path.parent.name for path in (ROOT / "src/peftcourse/exercises").glob("*/__init__.py")
    }
    assert packages == names
    figures = {path.stem for path in (ROOT / "src/peftcourse/figures").glob("*.py")}
    assert figures - {"__init__", "style", "start", "myths"} == names
    for folder, kind in (("benchmarks", "py"), ("results", "json")):
        for path in (ROOT / folder).glob(f"[a-z]*.{kind}"):
            assert path.stem.partition("_")[0] in names | SHARED, f"{folder}/{path.name}"


def test_what_git_tracks_is_small():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so there is no list of the repository's files")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert sum(path.stat().st_size for path in paths if path.is_file()) <= MAX_TRACKED
