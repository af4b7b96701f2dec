"""The wheel alone, in a new environment, runs the student lab: what Colab does."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
LAB = ROOT / "labs" / "03_lora.ipynb"
UNREACHABLE = ("NewConnectionError", "Temporary failure", "Read timed out", "ProxyError")


def pip(python: str | Path, *arguments: str | Path) -> None:
    """Run pip; where it cannot reach any package the test is skipped, not failed."""
    done = subprocess.run(
        [str(python), "-m", "pip", "--disable-pip-version-check", *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        for sign in UNREACHABLE:
            if sign in done.stderr + done.stdout:
                pytest.skip(f"pip cannot reach packages here ({sign})")
        pytest.fail(f"pip {' '.join(map(str, arguments))}: {done.stderr[-2000:]}")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # Built from a copy, because setuptools writes build/ into the folder it builds from.
    source = folder / "source"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", folder, source)
    [built] = folder.glob("peftlab-*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel) -> Iterator[Path]:
    """The Python of a new environment that has the wheel, its dependencies and nothing else."""
    with tempfile.TemporaryDirectory(prefix="peftlab-wheel-") as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder) / "bin" / "python"
        # A constraint installs nothing; it only keeps the versions to those that are tested.
        pins = (ROOT / "requirements.txt").read_text(encoding="utf-8").replace("\n-e .\n", "\n")
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text(pins, encoding="utf-8")
        pip(python, "install", "--quiet", "--constraint", constraints, f"{wheel}[labs]")
        yield python


def test_the_wheel_holds_the_package_with_its_data_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for data in ("py.typed", "data/stories.xz", "data/tiny/config.json"):
        assert f"peftcourse/{data}" in names
    assert "peftcourse/data/tiny/model.safetensors" in names
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"peftlab", "peftcourse"}
    assert wheel.stat().st_size < 20e6


@pytest.mark.slow
def test_only_what_the_labs_need_is_installed(environment):
    listed = subprocess.run(
        [str(environment), "-m", "pip", "list", "--format=json"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = {entry["name"].lower() for entry in json.loads(listed.stdout)}
    assert {"peftlab", "torch", "transformers", "peft", "matplotlib"} <= names
    assert not names & {"sphinx", "jupyter-book", "jupytext", "pytest", "jupyterlab"}


@pytest.mark.slow
def test_the_student_lab_runs_from_another_folder(environment, tmp_path, monkeypatch):
    # A kernel of the new environment, driven from this one as Jupyter would.
    kernel = tmp_path / "share" / "kernels" / "wheel"
    kernel.mkdir(parents=True)
    argv = [str(environment), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = {"argv": argv, "display_name": "wheel", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(specification), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    monkeypatch.delenv("PYTHONPATH", raising=False)

    notebook = nbformat.read(LAB, as_version=4)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="wheel",
        resources={"metadata": {"path": str(elsewhere)}},
    )
    client.execute()

    where = subprocess.run(
        [str(environment), "-c", "import peftlab; print(peftlab.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=elsewhere,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    assert where.stdout.startswith(str(environment.parents[1]))
    printed = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    assert "not attempted" in printed.lower()
