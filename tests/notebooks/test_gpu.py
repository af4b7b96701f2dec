"""`make gpu`: what it counts, what it calls a failure, and what it says where there is no GPU."""

import json
from itertools import product
from pathlib import Path

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook, new_output

from peftcourse.experiments import results
from tools import gpu_notebooks

ROOT = Path(__file__).resolve().parents[2]

FOUR_BIT = """
from bitsandbytes.nn import Linear4bit

def outputs():
    # as in a model that models.load() has loaded
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Linear4bit(64, 32, quant_type="nf4").to(device)(torch.ones(2, 64, device=device))

assert outputs().shape == (2, 32)
"""


def cell(source: str, printed: str = "", **metadata):
    """A code cell that was run and printed this."""
    outputs = [new_output("stream", name="stdout", text=printed)] if printed else []
    return new_code_cell(source, outputs=outputs, execution_count=1, metadata=metadata)


def notebook(folder: Path, *cells) -> Path:
    file = folder / "00_small.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(new_notebook(cells=list(cells), metadata={"kernelspec": kernel}), file)
    return file


def test_a_green_run_counts_cells_and_4_bit_layers(tmp_path):
    found = gpu_notebooks.run(
        notebook(
            tmp_path,
            cell("names = set(globals())\nassert not names & {'json', 'Watch', 'notebook_watch'}"),
            cell("import os\nimport torch\nassert os.environ['PEFTLAB_4BIT'] == '1'"),
            cell(FOUR_BIT),
            cell("print(0.1 + 0.2)", "0.3 on another machine\n"),
            cell("print('correct')", "correct\n", tags=["nbval-check-output"]),
            cell("1 / 0", tags=["nbval-skip"]),
        ),
        four_bit=True,
    )
    assert found.problems == []
    assert (found.passed, found.failed, found.skipped) == (5, 0, 1)
    assert found.four_bit_layers == 1
    assert "nf4 codes in torch.uint8 of shape (1024, 1)" in found.example
    assert (found.peak_gpu_mb > 0) == torch.cuda.is_available()
    assert [path.name for path in tmp_path.iterdir()] == ["00_small.ipynb"]


def test_an_error_a_changed_check_and_a_missing_4_bit_layer_are_failures(tmp_path):
    found = gpu_notebooks.run(
        notebook(
            tmp_path,
            cell("raise ValueError('too small')"),
            cell("print('wrong value')", "correct\n", tags=["nbval-check-output"]),
            cell("# models.load() may be called in vain"),
        ),
        four_bit=True,
    )
    assert (found.passed, found.failed) == (1, 2)
    raised, changed, none = found.problems
    assert "Cell 0" in raised and "too small" in raised
    assert "Cell 1" in changed and "wrong value" in changed
    assert "4-bit layer" in none
    assert str(found).startswith("FAILED")


def test_a_lab_that_loads_a_model_has_to_have_4_bit_layers():
    qlora, lora = ROOT / "labs" / "06_quantization.ipynb", ROOT / "labs" / "03_lora.ipynb"
    assert gpu_notebooks.wants_four_bit(qlora, four_bit=False)
    assert gpu_notebooks.wants_four_bit(lora, four_bit=True)
    assert not gpu_notebooks.wants_four_bit(lora, four_bit=False)


@pytest.mark.parametrize("problems", [[], ["Cell 3: it raised"]])
def test_every_lab_and_solution_is_in_the_report_twice(problems, tmp_path, monkeypatch, capsys):
    def run(notebook, four_bit, *, threads):
        return gpu_notebooks.Run(
            f"{notebook.parent.name}/{notebook.name}", four_bit, 4, problems=problems
        )

    monkeypatch.setattr(gpu_notebooks, "missing", lambda: None)
    monkeypatch.setattr(gpu_notebooks, "run", run)
    large = gpu_notebooks.Run("labs/your_7b.ipynb (7B shape)", True, 4, problems=problems)
    monkeypatch.setattr(gpu_notebooks, "run_large", lambda threads: large)
    report = tmp_path / "gpu_notebooks.json"
    code = gpu_notebooks.main(["--jobs", "3", "--out", str(report)])
    assert code == (1 if problems else 0)

    numbers = json.loads(report.read_text(encoding="utf-8"))["numbers"]
    *runs, last = numbers["runs"]
    assert last["notebook"] == large.notebook
    listed = {(run["notebook"], run["four_bit"]) for run in runs}
    files = [f"{path.parent.name}/{path.name}" for path in ROOT.glob("[ls]*s/*.ipynb")]
    assert listed == {(file, four_bit) for file in files for four_bit in (True, False)}
    assert numbers["green"] == (0 if problems else 2 * len(files) + 1)
    assert ("it raised" in capsys.readouterr().err) == bool(problems)


def test_without_a_gpu_it_says_what_to_do(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu_notebooks.shutil, "which", lambda name: None)
    assert gpu_notebooks.main(["--out", str(tmp_path / "report.json")]) == 2
    said = capsys.readouterr().err
    assert f"torch {torch.__version__} sees no CUDA device" in said
    assert "make notebooks" in said
    assert not list(tmp_path.iterdir())

    monkeypatch.setattr(gpu_notebooks.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA" in gpu_notebooks.missing()


@pytest.mark.parametrize("arguments", [["--jobs", "0"], ["labs/99_missing.ipynb"]])
def test_arguments_that_cannot_be_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        gpu_notebooks.main(arguments)
    assert arguments[-1] in capsys.readouterr().err


def test_the_recorded_runs_are_green():
    """Every lab and its solution, in 16 bit and in 4 bit; where 4 bit were asked for, layers in 4
    bit have computed. And your_7b on a model of that size."""
    runs = results.recorded("gpu_notebooks")["numbers"]["runs"]
    ran = {(run["notebook"], run["four_bit"]): run for run in runs}
    labs = [path.name for path in (ROOT / "labs").glob("*.ipynb")]
    assert len(labs) == 12 and len(ran) == len(runs) == 49
    for lab, folder, four_bit in product(labs, ("labs", "solutions"), (True, False)):
        assert (f"{folder}/{lab}", four_bit) in ran
    for run in runs:
        assert not run["problems"] and run["failed"] == run["skipped"] == 0
        assert run["passed"] > (5 if "your_7b" in run["notebook"] else 20)
        assert run["four_bit_layers"] >= 50 * run["four_bit"]
    assert ran["labs/your_7b.ipynb (7B shape)", True]["four_bit_layers"] == 224
