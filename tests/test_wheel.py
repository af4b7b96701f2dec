"""The wheel alone, in a new environment, runs the student lab: what Colab does.

`make test-full` has pip install what the wheel requires, and runs every lab on the bundled model.
In `make test` the requirements are linked from this environment, which takes a second and not
minutes, and one lab runs, on the small model that unsolved labs run on there.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution, distributions
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.notebooks.quick_labs import save_narrow_base, without_asserts

ROOT = Path(__file__).resolve().parents[1]
UNREACHABLE = ("NewConnectionError", "Temporary failure", "Read timed out", "ProxyError")
LINKED, INSTALLED = "linked", "installed"
# Linked, the lab that is run soonest; installed, all of them.
RUNS = [pytest.param(LINKED, ROOT / "labs" / "01_memory.ipynb", id="linked-01_memory")] + [
    pytest.param(INSTALLED, path, id=f"installed-{path.stem}", marks=pytest.mark.full)
    for path in sorted((ROOT / "labs").glob("*.ipynb"))
]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]  # one environment for all


def pip(*arguments: str | Path) -> None:
    """Run pip; where it cannot reach any package the test is skipped, not failed."""
    # In a clone's src/, which PYTHONPATH may name, pip would see peftlab as installed already.
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        for sign in UNREACHABLE:
            if sign in done.stderr + done.stdout:
                pytest.skip(f"pip cannot reach packages here ({sign})")
        pytest.fail(f"pip {' '.join(map(str, arguments))}: {done.stderr[-2000:]}")


def link_requirements(site: Path, extra: str) -> None:
    """Link what ``pip install peftlab[extra]`` would bring, as it is installed here.

    Args:
        site: the ``site-packages`` that has the wheel already, and gets the links.
        extra: an extra of peftlab.
    """
    [wheel] = distributions(name="peftlab", path=[str(site)])
    waiting, seen = [(wheel, {extra})], {"peftlab"}
    while waiting:
        requiring, extras = waiting.pop()
        for requirement in map(Requirement, requiring.requires or ()):
            name, marker = canonicalize_name(requirement.name), requirement.marker
            wanted = marker is None or any(marker.evaluate({"extra": e}) for e in extras | {""})
            if not wanted or name in seen:
                continue
            seen.add(name)
            found = distribution(name)
            waiting.append((found, requirement.extras))
            for top in {file.parts[0] for file in found.files} - {"..", "__pycache__"}:
                if not (site / top).exists():  # distributions may share a folder, as nvidia/
                    (site / top).symlink_to(found.locate_file(top))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # Built from a copy, because setuptools writes build/ into the folder it builds from.
    source = folder / "source"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--wheel-dir", folder, source)
    [built] = folder.glob("peftlab-*.whl")
    return built


@pytest.fixture(scope="module", params=[LINKED, pytest.param(INSTALLED, marks=pytest.mark.full)])
def way(request) -> str:
    """How what the wheel requires gets into the new environment."""
    return request.param


@pytest.fixture(scope="module")
def environment(way, wheel) -> Iterator[Path]:
    """The Python of a new environment that has the wheel, what labs require and nothing else."""
    with tempfile.TemporaryDirectory(prefix="peftlab-wheel-") as folder:
        venv.create(folder, symlinks=True)
        python = Path(folder) / "bin" / "python"
        [site] = Path(folder).glob("lib/python*/site-packages")
        if way == LINKED:
            pip("--python", python, "install", "--no-deps", wheel)
            link_requirements(site, "labs")
        else:
            # A constraint installs nothing; it only keeps the versions to those that are tested.
            pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
            constraints = Path(folder) / "constraints.txt"
            constraints.write_text(pins.replace("\n-e .\n", "\n"), encoding="utf-8")
            pip("--python", python, "install", "--constraint", constraints, f"{wheel}[labs]")
        yield python


def test_the_wheel_holds_the_package_with_its_data_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for data in ("py.typed", "data/stories.xz", "data/tiny/config.json"):
        assert f"peftcourse/{data}" in names
    assert "peftcourse/data/tiny/model.safetensors" in names
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"peftlab", "peftcourse"}
    assert wheel.stat().st_size < 20e6


def test_only_what_the_labs_need_is_installed(environment):
    [site] = environment.parents[1].glob("lib/python*/site-packages")
    names = {found.name.lower() for found in distributions(path=[str(site)])}
    assert {"peftlab", "torch", "transformers", "peft", "matplotlib"} <= names
    assert not names & {"sphinx", "jupyter-book", "jupytext", "pytest", "jupyterlab"}


@pytest.mark.parametrize(("way", "lab"), RUNS, indirect=["way"])
def test_a_student_lab_runs_from_another_folder(way, lab, environment, tmp_path, monkeypatch):
    # A kernel of the new environment, driven from this one as Jupyter would.
    kernel = tmp_path / "share" / "kernels" / "wheel"
    kernel.mkdir(parents=True)
    argv = [str(environment), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = {"argv": argv, "display_name": "wheel", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(specification), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    said = "import peftlab; from peftcourse.experiments import models\n"
    said += "print(peftlab.__file__, models.path(), models.load().model.num_parameters())"
    where = subprocess.run(
        [str(environment), "-c", said], capture_output=True, text=True, check=True, cwd=elsewhere
    )
    library, base, parameters = where.stdout.split()
    for path in (library, base):
        assert Path(path).is_relative_to(environment.parents[1])
    assert int(parameters) == 6_951_168

    notebook = nbformat.read(lab, as_version=4)
    if way == LINKED:
        save_narrow_base(tmp_path / "base")
        monkeypatch.setenv("PEFTLAB_MODEL", str(tmp_path / "base"))
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.source = without_asserts(cell.source)
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="wheel",
        resources={"metadata": {"path": str(elsewhere)}},
    )
    client.execute()
    printed = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    if "check(" in lab.read_text(encoding="utf-8"):
        assert "not attempted" in printed.lower()
