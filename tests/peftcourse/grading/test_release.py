"""What is handed out: the lab without answers, a wheel that works, and a secret for each class."""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from peftcourse.cli import main, parser
from peftcourse.exercises import LESSONS, solutions
from peftcourse.grading import release as module
from peftcourse.grading.release import build_wheel, command, read_release, release
from peftcourse.labs.generate import ANSWER
from peftlab import __version__
from peftlab.errors import PeftlabError

ROOT = Path(__file__).resolve().parents[3]
LAB = "03_lora"
LESSON = LESSONS[LAB]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this repository, built once."""
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def quick(monkeypatch, wheel):
    """Releases take the wheel that is built already."""

    def build(root, folder):
        (folder / wheel.name).write_bytes(wheel.read_bytes())
        return folder / wheel.name

    monkeypatch.setattr(module, "build_wheel", build)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def spring(tmp_path, quick) -> Path:
    release(ROOT, LAB, tmp_path / "spring", class_name="spring")
    return tmp_path / "spring"


def test_what_is_written(spring, wheel):
    assert sorted(contents(spring)) == [
        "handout/03_lora.ipynb",
        "handout/README.md",
        "handout/SYLLABUS.md",
        f"handout/{wheel.name}",
        "instructor/README.md",
        "instructor/grading.json",
    ]


def test_the_lab_is_the_one_in_the_repository(spring):
    released = nbformat.read(spring / "handout" / f"{LAB}.ipynb", as_version=4)
    ours = nbformat.read(ROOT / "labs" / f"{LAB}.ipynb", as_version=4)
    nbformat.validate(released)
    assert released.cells == ours.cells
    made = read_release(spring / "instructor")
    assert released.metadata.pop("peftlab") == {"release": made.public_id}
    assert released.metadata == ours.metadata
    assert made.public_id.startswith("spring ") and str(made.seed) not in made.public_id


def test_no_answer_is_in_any_text_of_the_handout(spring):
    source = (ROOT / "solutions" / f"{LAB}.md").read_text(encoding="utf-8")
    answers = {line.strip() for _, block in ANSWER.findall(source) for line in block.splitlines()}
    # What may stand anywhere: a line without two names in it is no answer.
    answers = {line for line in answers if len(re.findall(r"[A-Za-z_]{2,}", line)) > 2}
    answers -= {"with torch.no_grad():"}
    assert "return alpha / rank * (B @ A)" in answers
    seed = str(read_release(spring / "instructor").seed)
    for name, content in contents(spring / "handout").items():
        if name.endswith(".whl"):
            continue
        text = content.decode()
        if name.endswith(".ipynb"):
            cells = nbformat.reads(text, as_version=4).cells
            text = "\n".join(cell.source for cell in cells)
        assert not answers & {line.strip() for line in text.splitlines()}, name
        assert "BEGIN SOLUTION" not in text
        assert not [part.id for part in LESSON.written if part.model_answer[:60] in text], name
        assert seed not in text, name


def test_the_syllabus_is_computed(spring):
    text = (spring / "handout" / "SYLLABUS.md").read_text(encoding="utf-8")
    minutes = sum(part.minutes for part in LESSON.parts)
    for fact in (
        LESSON.title,
        f"{len(LESSON.parts)} exercises",
        f"{LESSON.points} points",
        f"about {minutes} minutes",
        "Python 3.11 or newer",
    ):
        assert fact in text
    for part in LESSON.parts:
        line = f"| `{part.id}` | {part.title} | {part.kind} | {part.points} | {part.minutes} |"
        assert line in text


def test_learners_are_told_how_to_start_and_what_to_hand_in(spring, wheel):
    text = (spring / "handout" / "README.md").read_text(encoding="utf-8")
    for part in (f"./{wheel.name}[labs]", f"{LAB}.ipynb", "Colab", "progress.json", "hint("):
        assert part in text


def test_each_class_has_a_seed_of_its_own(tmp_path, quick):
    seeds = {
        release(ROOT, LAB, tmp_path / name, class_name=name).seed for name in ("a", "b", "c", "d")
    }
    assert len(seeds) == 4
    assert release(ROOT, LAB, tmp_path / "e", seed=7).seed == 7
    assert read_release(tmp_path / "e" / "instructor").class_name == "class"


def test_only_the_instructor_may_read_the_secret(spring):
    secret = spring / "instructor" / "grading.json"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_class_released_again_keeps_its_secret(spring):
    before = contents(spring)
    secret = spring / "instructor" / "grading.json"
    untouched = secret.stat().st_ino
    for damaged in ("03_lora.ipynb", "README.md"):
        (spring / "handout" / damaged).write_text("edited by mistake")
    (spring / "handout" / "peftlab-0.0.1-py3-none-any.whl").write_text("of an earlier version")
    release(ROOT, LAB, spring)
    release(ROOT, LAB, spring, class_name="spring", seed=read_release(secret.parent).seed)
    assert contents(spring) == before
    assert secret.stat().st_ino == untouched


def test_a_changed_lab_changes_the_public_id_and_not_the_seed(spring):
    secret = spring / "instructor" / "grading.json"
    stored = json.loads(secret.read_text(encoding="utf-8"))
    secret.write_text(json.dumps(stored | {"digest": "0" * 64, "peftlab": "0.0.1"}))
    before = read_release(secret.parent)
    after = release(ROOT, LAB, spring)
    assert after.seed == before.seed == stored["seed"]
    assert after.public_id != before.public_id
    assert json.loads(secret.read_text(encoding="utf-8")) == stored


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"class_name": "autumn"}, "was released with another class, spring"),
        ({"seed": 5}, "was released with another seed"),
    ],
)
def test_another_class_needs_another_folder(spring, options, told):
    before = contents(spring)
    with pytest.raises(PeftlabError, match=told) as raised:
        release(ROOT, LAB, spring, **options)
    assert str(read_release(spring / "instructor").seed) not in str(raised.value)
    assert contents(spring) == before


def test_a_failure_leaves_what_was_there(spring, monkeypatch):
    before = contents(spring)

    def fail(*arguments):
        raise PeftlabError("no wheel today")

    monkeypatch.setattr(module, "build_wheel", fail)
    with pytest.raises(PeftlabError, match="no wheel today"):
        release(ROOT, LAB, spring)
    assert contents(spring) == before
    assert sorted(path.name for path in spring.iterdir()) == ["handout", "instructor"]


@pytest.mark.parametrize(
    ("lab", "options", "told"),
    [
        ("3_lora", {}, 'no lab is called "3_lora"; did you mean "03_lora"?'),
        ("what", {}, "there are 01_memory, 02_rank"),
        (LAB, {"class_name": " "}, "cannot name a class"),
        (LAB, {"class_name": "two\nlines"}, "cannot name a class"),
        (LAB, {"seed": -1}, "the seed -1 is not a whole number from 0 to"),
        (LAB, {"seed": 2**63}, "is not a whole number from 0 to 9223372036854775807"),
    ],
)
def test_bad_arguments_are_one_sentence(tmp_path, lab, options, told):
    with pytest.raises(PeftlabError, match=re.escape(told)) as raised:
        release(ROOT, lab, tmp_path / "out", **options)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(PeftlabError, match="is a file; name a folder with --out"):
        release(ROOT, LAB, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_outside_of_the_repository(tmp_path):
    with pytest.raises(PeftlabError, match="run this in the course's repository"):
        release(tmp_path, LAB, tmp_path / "out")


def test_a_lab_that_is_not_what_its_source_gives_is_not_handed_out(tmp_path):
    for folder, name in (("solutions", f"{LAB}.md"), ("labs", f"{LAB}.ipynb")):
        (tmp_path / folder).mkdir()
        text = (ROOT / folder / name).read_text(encoding="utf-8")
        (tmp_path / folder / name).write_text(text, encoding="utf-8")
    source = tmp_path / "solutions" / f"{LAB}.md"
    edited = source.read_text(encoding="utf-8").replace("# Lab 03", "# Laboratory 03")
    source.write_text(edited, encoding="utf-8")
    with pytest.raises(PeftlabError, match="run `peftlab labs build` first"):
        release(tmp_path, LAB, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_answer_in_the_lab_stops_the_release(tmp_path, quick, monkeypatch):
    monkeypatch.setattr(
        module, "leaks", lambda path, source, root: [f"{path.name}, cell 3: shows a line"]
    )
    with pytest.raises(PeftlabError, match=r"cell 3: shows a line; take it out of solutions/"):
        release(ROOT, LAB, tmp_path / "out")
    assert not contents(tmp_path / "out")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"lab": "03_lora", "class": "a", "seed": "7", "digest": "", "peftlab": ""}'],
)
def test_a_damaged_secret_is_not_replaced_by_a_new_one(spring, content):
    secret = spring / "instructor" / "grading.json"
    secret.write_text(content)
    for call in (lambda: read_release(secret.parent), lambda: release(ROOT, LAB, spring)):
        with pytest.raises(PeftlabError, match="is damaged; restore it from a copy"):
            call()
    assert secret.read_text() == content


def test_a_folder_without_a_secret(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(PeftlabError, match="; name the folder instructor/"):
            read_release(folder)


# --- the wheel ------------------------------------------------------------------------------------


def test_the_wheel_is_this_package(wheel):
    assert wheel.name.startswith(f"peftlab-{__version__}-")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        packed = archive.read("peftcourse/exercises/core.py")
        answers = json.loads(archive.read(f"peftcourse/{solutions.FILE}"))
    assert packed == (ROOT / "src/peftcourse/exercises/core.py").read_bytes()
    assert "peftcourse/data/tiny/model.safetensors" in names
    assert not [name for name in names if "__pycache__" in name]
    # `solution` shows nothing in a graded course; a check says what to write all the same.
    assert answers["lora.delta"] == {"name": "lora_delta"}
    assert all(entry.keys() == {"name"} for entry in answers.values())


def test_the_same_sources_give_the_same_wheel(tmp_path):
    package = tmp_path / "src" / "peftlab"
    package.mkdir(parents=True)
    shutil.copy(ROOT / "src" / "peftlab" / "__init__.py", package)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    wheels = []
    for name, time in (("first", 1_600_000_000), ("second", 1_700_000_000)):
        (tmp_path / name).mkdir()
        os.utime(package / "__init__.py", (time, time))
        wheels.append(build_wheel(tmp_path, tmp_path / name).read_bytes())
    assert wheels[0] == wheels[1]
    assert not (tmp_path / "build").exists()


def test_the_wheel_checks_answers_from_another_folder(wheel, tmp_path):
    target = tmp_path / "site"
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", target, wheel],
        check=True,
        capture_output=True,
    )
    script = f"""
import sys
sys.path.insert(0, {str(target)!r})
import peftlab
from peftcourse import check
print(peftlab.__file__)
check("lora.delta", lambda A, B, alpha: alpha * (B @ A), seed=0)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.startswith(str(target))
    assert "α instead of α/r?" in done.stdout


def test_without_setuptools_pip_fetches_it(wheel, tmp_path, monkeypatch):
    """The command says so; whether there is a network is not for a test to decide."""
    commands = []

    def run(command, **options):
        commands.append(command)
        (tmp_path / wheel.name).write_bytes(b"")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(module.subprocess, "run", run)
    for installed in ("84.0.0", "65.5.0"):
        monkeypatch.setattr(module, "version", lambda name, it=installed: it)
        build_wheel(ROOT, tmp_path)
    assert ["--no-build-isolation" in command for command in commands] == [True, False]


def test_a_wheel_that_cannot_be_built_says_what_to_do(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "No module named pip\n\n")
    monkeypatch.setattr(module.subprocess, "run", lambda *args, **options: failed)
    with pytest.raises(PeftlabError, match=r"\(No module named pip\); run `pip install -r"):
        build_wheel(ROOT, tmp_path)


def test_a_wheel_of_another_version_is_refused(tmp_path, monkeypatch):
    def run(command, **options):
        (tmp_path / "peftlab-9.9.9-py3-none-any.whl").write_bytes(b"")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(module.subprocess, "run", run)
    with pytest.raises(PeftlabError, match=r"is not the peftlab \S+ that is running"):
        build_wheel(ROOT, tmp_path)


# --- the command ----------------------------------------------------------------------------------


def test_the_command_says_what_goes_where(tmp_path, quick, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    out = tmp_path / "my class"
    assert main(["release", LAB, "--out", str(out), "--class", "spring", "--seed", "5"]) == 0
    printed = capsys.readouterr().out
    assert "hand this out" in printed and "keep this to yourself" in printed
    assert command(out) in printed
    assert main(["release", "3_lora", "--out", str(out)]) == 2
    assert 'did you mean "03_lora"?' in capsys.readouterr().err


def test_the_page_for_instructors_names_a_command_that_exists(spring):
    text = (spring / "instructor" / "README.md").read_text(encoding="utf-8")
    [line] = re.findall(r"^peftlab (grade .*)$", text, re.MULTILINE)
    arguments = parser().parse_args(shlex.split(line))
    assert read_release(arguments.release).class_name == "spring"
