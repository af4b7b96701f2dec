"""The repository keeps its own rules: pins, results, what is imported, what must never be in it."""

import datetime
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import peftlab
from tools import lowest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# Patterns are written so that they do not match their own source.
FORBIDDEN = {
    "unpickling runs code": r"\b(?:import|from)\s+(?:pickle|dill|joblib|cloudpickle)\b",
    "torch's loader unpickles; use safetensors": r"\btorch\.load\(",
    "a model must not bring code": r"\btrust_remote_code\s*[=:]",
    "a path of one machine": r"(?<![\w.~-])/(?:home|Users|root|work)/\w",
    "a local build that resolves nowhere else": r"==\s*[\d.]+\+(?:cpu|cu\d)",
    "a registry's host name": r"\b(?:pypi|npmjs|pythonhosted|crates)\.(?:org|com|io)\b"
    r"|\bdownload\.pytorch\.org\b",
}


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """What git would put into a clone."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so there is no list of the repository's files")
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def pins() -> dict[str, Requirement]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    stated = (line.split("#")[0].strip() for line in lines)
    found = [Requirement(line) for line in stated if line and line != "-e ."]
    return {canonicalize_name(pin.name): pin for pin in found}


def ranges() -> list[Requirement]:
    project = PYPROJECT["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in project["dependencies"] + extras]


@pytest.mark.parametrize("why", FORBIDDEN)
def test_nothing_forbidden_is_in_any_text(why, files):
    found = []
    for path in files:
        relative = path.relative_to(ROOT)
        if relative.is_relative_to("book/_vendor"):  # other people's files, as they published them
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{relative}: {match[0]}" for match in re.finditer(FORBIDDEN[why], text)]
    assert not found, f"{why}: {found}"


def test_no_file_is_above_20_mb(files):
    large = {str(path.relative_to(ROOT)): path.stat().st_size for path in files}
    assert not {name: size for name, size in large.items() if size > 20e6}


def test_every_result_says_how_it_was_measured():
    for path in (ROOT / "results").glob("*.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        for field in ("what", "command", "hardware"):
            assert isinstance(result[field], str) and result[field], f"{path.name}: {field}"
        datetime.date.fromisoformat(result["date"])
        assert {"python", "torch"} <= result["versions"].keys(), path.name


def test_requirements_are_exact_public_pins():
    for name, pin in pins().items():
        [specifier] = pin.specifier
        assert specifier.operator == "==", name
        assert re.fullmatch(r"[\w.]+", specifier.version), name
    assert (ROOT / "requirements.txt").read_text(encoding="utf-8").endswith("\n-e .\n")


def test_pins_are_within_the_ranges_of_the_package():
    pinned = pins()
    for wanted in ranges():
        name = canonicalize_name(wanted.name)
        # triton comes with the CUDA build of torch only; Ray is for clusters, and 200 MB large.
        if name in ("peftlab", "triton", "ray"):
            continue
        assert name in pinned, f"{name} is in pyproject.toml but not in requirements.txt"
        [pin] = pinned[name].specifier
        assert pin.version in wanted.specifier, f"{pinned[name]} is not {wanted}"


def test_the_lowest_versions_are_the_bounds_of_the_ranges():
    project = PYPROJECT["project"]
    stated = project["dependencies"] + project["optional-dependencies"]["labs"]
    assert sorted(line.replace(">=", "==") for line in stated) == lowest.pins("labs")
    with pytest.raises(ValueError, match="no extra 'laps'"):
        lowest.pins("laps")


def test_colab_installs_no_book_tool():
    project = PYPROJECT["project"]
    installed = project["dependencies"] + project["optional-dependencies"]["labs"]
    names = {canonicalize_name(Requirement(line).name) for line in installed}
    assert not names & {"jupyter-book", "sphinx", "jupyterlab", "pytest", "jupytext", "nbval"}


def modules_after(code: str) -> set[str]:
    """The top-level modules that a new interpreter has loaded after running ``code``."""
    script = f"{code}\nimport sys\nprint(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


def test_importing_the_package_is_cheap():
    loaded = modules_after("from peftcourse import cli, doctor; cli.parser()")
    assert not loaded & {"torch", "transformers", "matplotlib", "numpy"}


def test_every_public_name_is_there():
    assert sorted(peftlab.__all__) == peftlab.__all__
    assert set(peftlab.__all__) <= set(dir(peftlab))
    for name in peftlab.__all__:
        assert getattr(peftlab, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'aply'"):
        _ = peftlab.aply


def test_one_version_everywhere():
    assert version("peftlab") == peftlab.__version__, "run make setup again"
    assert f"## {peftlab.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def shell_commands(document: str) -> list[str]:
    """The lines of a document's ```sh blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", document, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]


def test_the_readme_names_targets_and_commands_that_exist():
    import shlex

    from peftcourse.cli import parser

    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = shell_commands((ROOT / "README.md").read_text(encoding="utf-8"))
    assert {"make book", "make test"} <= set(commands)
    for command in commands:
        program, *arguments = shlex.split(command)
        if program == "make":
            for target in arguments:
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), command
        elif program.endswith("peftlab"):
            parser().parse_args(arguments)  # exits with an error if it does not fit


def test_every_make_target_is_explained():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [phony] = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    explained = re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE)
    assert sorted(phony.split()) == sorted(explained)


def shell(script: str, *arguments: str, folder: Path, **environment: str):
    return subprocess.run(
        ["sh", str(ROOT / "tools" / script), *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | environment,
    )


def test_set_up_says_what_to_do_where_python_is_too_old(tmp_path):
    done = shell("setup.sh", folder=tmp_path, PYTHON="false")
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed, and false is not one" in done.stderr
    assert "PYTHON=python3.12 make setup" in done.stderr
    assert not list(tmp_path.iterdir())


def test_set_up_says_what_to_do_where_venv_is_missing(tmp_path):
    # As on Debian without python3-venv: new enough, but ensurepip cannot be imported.
    python = tmp_path / "python-without-venv"
    python.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n', encoding="utf-8")
    python.chmod(0o755)
    done = shell("setup.sh", folder=tmp_path, PYTHON=str(python))
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr


def test_a_stage_says_what_it_does_and_how_to_mend_it(tmp_path):
    done = shell("stage.sh", "Counting", "Count again.", "true", folder=tmp_path)
    assert done.returncode == 0
    assert re.search(r"── Counting\n── done in \d+ s: Counting\n", done.stdout)
    done = shell("stage.sh", "Counting", "Count again.", "sh", "-c", "exit 3", folder=tmp_path)
    assert done.returncode == 3
    assert re.search(r"── FAILED after \d+ s: Counting\n   Count again.\n", done.stderr)
