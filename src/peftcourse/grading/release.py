"""What an instructor hands out, and what stays with the instructor.

``DIR/handout/`` is for learners: the lab without its answers, the package as a wheel, how to start,
and the line for the syllabus. ``DIR/instructor/`` holds the secret of the class: the seed of the
inputs on which answers will be graded. It is drawn once and kept when the class is released again.
"""

from __future__ import annotations

import difflib
import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path

from peftcourse.exercises import LESSONS, solutions
from peftcourse.exercises.registry import Lesson
from peftcourse.grading import handout
from peftcourse.labs.compare import differences, leaks
from peftcourse.labs.execute import digest
from peftcourse.labs.files import text
from peftcourse.labs.generate import generate
from peftlab import __version__
from peftlab.errors import PeftlabError

HANDOUT, INSTRUCTOR = "handout", "instructor"
SECRET = "grading.json"
CLASS = "class"  # the name of a class that was given none
# What a lab's notebook says about its release, in the notebook's metadata.
METADATA_KEY = "peftlab"
# Too many to try them all, as can be done with the 32 bits that torch's generator takes of a seed.
SEEDS = 2**63
# The whole of a wheel, built where nothing else lies around.
_SOURCES = ("pyproject.toml", "README.md", "LICENSE")


@dataclass(frozen=True)
class Release:
    """A lab as one class got it.

    Attributes:
        lab: the lesson's name, such as ``03_lora``.
        class_name: whom it was handed out to.
        seed: secret; from it come the inputs on which the class is graded.
        digest: SHA-256 of the student's notebook in ``labs/``.
        version: the version of peftlab in the wheel.
    """

    lab: str
    class_name: str
    seed: int
    digest: str
    version: str

    @property
    def public_id(self) -> str:
        """What the notebooks of this release carry; says nothing about the seed."""
        return f"{self.class_name} {self.digest[:8]}"


def release(
    root: str | Path,
    lesson_name: str,
    out: str | Path,
    *,
    class_name: str | None = None,
    seed: int | None = None,
) -> Release:
    """Write what is handed out for a lab, and what is needed to grade it.

    Everything is made before the first file in ``out`` is touched, and each file is replaced in
    one step. A class that was released before keeps its seed.

    Args:
        root: the course's repository.
        lesson_name: the lab, such as ``"03_lora"``.
        out: the folder that gets ``handout/`` and ``instructor/``.
        class_name: whom it is for; ``"class"`` if left out, or what ``out`` says already.
        seed: of the grader's inputs; drawn at random if left out.

    Raises:
        PeftlabError: there is no such lab, its notebook is not what its source gives or shows an
            answer, ``out`` belongs to another class or lab, or the wheel cannot be built.
    """
    root, out = Path(root), Path(out)
    lesson = _lesson(lesson_name)
    source = root / "solutions" / f"{lesson.name}.md"
    student = root / "labs" / f"{lesson.name}.ipynb"
    if not source.is_file():
        raise PeftlabError(
            f"{root} holds no solutions/{lesson.name}.md; run this in the course's repository."
        )
    notebook, _ = generate(source, root)
    made = _decide(lesson, out, class_name, seed, digest(text(notebook).encode()))
    # The grader reads the notebook in labs/; nothing else may be handed out.
    for difference in differences(student, notebook, root):
        raise PeftlabError(f"{difference}; run `peftlab labs build` first.")
    notebook.metadata[METADATA_KEY] = {"release": made.public_id}

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".new.") as folder:
        staged = Path(folder)
        (staged / HANDOUT).mkdir()
        (staged / INSTRUCTOR).mkdir()
        copy = staged / HANDOUT / student.name
        copy.write_text(text(notebook), encoding="utf-8")
        for leak in leaks(copy, source, staged):
            raise PeftlabError(f"{leak}; take it out of solutions/{source.name} first.")
        wheel = build_wheel(root, staged / HANDOUT)
        pages = {
            f"{HANDOUT}/README.md": handout.for_learners(lesson, wheel.name, _python()),
            f"{HANDOUT}/SYLLABUS.md": handout.syllabus(lesson, _python()),
            f"{INSTRUCTOR}/README.md": handout.for_instructors(
                made.lab, made.class_name, command(out)
            ),
            f"{INSTRUCTOR}/{SECRET}": _as_json(made),
        }
        for name, content in pages.items():
            (staged / name).write_text(content, encoding="utf-8")
        (staged / INSTRUCTOR / SECRET).chmod(0o600)
        _put_in_place(staged, out, wheel.name)
    return made


def read_release(folder: str | Path) -> Release:
    """The release that an ``instructor/`` folder belongs to.

    Raises:
        PeftlabError: it holds no ``grading.json``, or a damaged one.
    """
    path = Path(folder) / SECRET
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        found = Release(
            str(stored["lab"]),
            str(stored["class"]),
            stored["seed"],
            str(stored["digest"]),
            str(stored["peftlab"]),
        )
        if type(found.seed) is not int or not 0 <= found.seed < SEEDS or found.lab not in LESSONS:
            raise ValueError
    except (FileNotFoundError, NotADirectoryError):
        raise PeftlabError(
            f"{folder} holds no {SECRET}; name the folder instructor/ that `peftlab release` wrote."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise PeftlabError(
            f"{path} is damaged; restore it from a copy: it holds the seed that your class is "
            "graded with."
        ) from None
    return found


def command(out: str | Path) -> str:
    """The command that grades a class with this release."""
    folder = shlex.quote(str(Path(out) / INSTRUCTOR))
    return f"peftlab grade SUBMISSIONS --release {folder} --out GRADES"


def build_wheel(root: Path, folder: Path) -> Path:
    """Build the package's wheel for a graded course; the same sources give the same bytes.

    It holds no model answers for ``solution`` to show. The references that ``check`` compares with
    are in it.

    Where the installed setuptools is the one that ``pyproject.toml`` asks for, as it is beside
    torch, nothing is downloaded.

    Raises:
        PeftlabError: pip cannot build it, or ``root`` holds another version than the one running.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="wheel.") as temporary:
        # From a copy: setuptools would write into the repository, and pick up what lies there.
        sources = Path(temporary) / "sources"
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(root / "src", sources / "src", ignore=ignored)
        for name in _SOURCES:
            shutil.copy(root / name, sources)
        shown = sources / "src" / "peftcourse" / solutions.FILE
        if shown.is_file():
            stripped = solutions.without_sources(shown.read_text(encoding="utf-8"))
            shown.write_text(stripped, encoding="utf-8")
        options = ["--quiet", "--no-deps", "--disable-pip-version-check"]
        if _has_build_tools(sources / "pyproject.toml"):
            options.append("--no-build-isolation")
        done = subprocess.run(
            [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, sources],
            capture_output=True,
            text=True,
            # Zip files hold times; this is the earliest that they can hold.
            env={**os.environ, "SOURCE_DATE_EPOCH": "315532800"},
        )
    if done.returncode != 0:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise PeftlabError(
            f"pip could not build the wheel ({said[-1].strip() if said else 'it said nothing'}); "
            "run `pip install -r requirements.txt` in the environment that peftlab runs in."
        )
    built = sorted(folder.glob("peftlab-*.whl"))
    if [wheel.name.split("-")[1] for wheel in built] != [__version__]:
        raise PeftlabError(
            f"{root / 'src'} is not the peftlab {__version__} that is running; "
            "run `make setup` in the repository, and its .venv/bin/peftlab."
        )
    return built[0]


def _has_build_tools(pyproject: Path) -> bool:
    """Whether all that ``[build-system]`` asks for is installed here."""
    from packaging.requirements import Requirement

    wanted = tomllib.loads(pyproject.read_text(encoding="utf-8"))["build-system"]["requires"]
    try:
        return all(version(one.name) in one.specifier for one in map(Requirement, wanted))
    except PackageNotFoundError:
        return False


def _lesson(name: str) -> Lesson:
    if name in LESSONS:
        return LESSONS[name]
    close = difflib.get_close_matches(name, LESSONS, n=1, cutoff=0.4)
    there = f'did you mean "{close[0]}"?' if close else f"there are {', '.join(LESSONS)}."
    raise PeftlabError(f'no lab is called "{name}"; {there}')


def _decide(
    lesson: Lesson, out: Path, class_name: str | None, seed: int | None, lab_digest: str
) -> Release:
    """The release to write: a new one, or the one that ``out`` holds with the present lab."""
    if out.exists() and not out.is_dir():
        raise PeftlabError(f"{out} is a file; name a folder with --out.")
    if class_name is not None and not (class_name.strip() and class_name.isprintable()):
        raise PeftlabError(f"{class_name!r} cannot name a class; write one line, such as spring.")
    if seed is not None and not 0 <= seed < SEEDS:
        raise PeftlabError(f"the seed {seed} is not a whole number from 0 to {SEEDS - 1}.")
    if not (out / INSTRUCTOR / SECRET).exists():
        if seed is None:
            seed = secrets.randbelow(SEEDS)
        return Release(lesson.name, class_name or CLASS, seed, lab_digest, __version__)
    before = read_release(out / INSTRUCTOR)
    for what, wanted, kept in (
        ("lab", lesson.name, before.lab),
        ("class", class_name, before.class_name),
        ("seed", seed, before.seed),
    ):
        if wanted is not None and wanted != kept:
            # The seed that is kept stays off the screen.
            named = "" if what == "seed" else f", {kept}"
            raise PeftlabError(
                f"{out} was released with another {what}{named}; name another folder with --out."
            )
    return Release(before.lab, before.class_name, before.seed, lab_digest, __version__)


def _as_json(made: Release) -> str:
    content = {
        "lab": made.lab,
        "class": made.class_name,
        "seed": made.seed,
        "digest": made.digest,
        "peftlab": made.version,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _python() -> str:
    """The oldest Python that the package runs on."""
    return metadata("peftlab")["Requires-Python"].removeprefix(">=")


def _put_in_place(staged: Path, out: Path, wheel: str) -> None:
    """Replace file by file, each in one step; of wheels only the present one stays.

    The secret goes first: a handout without it could not be graded as promised.
    """
    for name in (INSTRUCTOR, HANDOUT):
        (out / name).mkdir(exist_ok=True)
    for name in (INSTRUCTOR, HANDOUT):
        for file in sorted((staged / name).iterdir()):
            target = out / name / file.name
            if not (target.is_file() and target.read_bytes() == file.read_bytes()):
                file.replace(target)
    for old in (out / HANDOUT).glob("peftlab-*.whl"):
        if old.name != wheel:
            old.unlink()
