"""peftlab doctor: it answers everywhere, above all where something is missing or broken."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from peftcourse import doctor

KEYS = {
    "peftlab",
    "device",
    "versions",
    "broken",
    "system",
    "devices",
    "four_bit",
    "disk",
    "model",
    "tools",
    "course",
}

# What is tested is this checkout, wherever the environment's installation points.
SOURCE = str(Path(doctor.__file__).parents[1])


def run_json(tmp_path: Path, **modules: str) -> dict:
    """The report of ``peftlab doctor --json`` in which these modules have this source instead."""
    for name, source in modules.items():
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "peftcourse.cli", "doctor", "--json"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), SOURCE])},
    )
    assert "Traceback" not in done.stderr
    report = json.loads(done.stdout)
    lessons = [entry["ok"] for entry in report["course"] if entry["what"].startswith("lesson")]
    assert done.returncode == (0 if all(lessons) else 1)
    return report


def course(report: dict, start: str) -> dict:
    [entry] = [entry for entry in report["course"] if entry["what"].startswith(start)]
    return entry


@pytest.fixture(scope="module")
def report() -> dict:
    return doctor.report()


def test_the_keys_stay(report):
    assert report.keys() == KEYS
    assert json.loads(json.dumps(report)) == report
    assert {"python", "torch", "transformers", "peft", "bitsandbytes"} <= report["versions"].keys()
    assert report["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))


def test_it_names_the_devices(report):
    import torch

    names = [entry["device"] for entry in report["devices"]]
    assert names[0] == "cpu"
    assert names.count("cpu") == 1
    assert report["device"] in names
    assert (report["device"] == "cpu") == (len(names) == 1)
    assert sum(name.startswith("cuda") for name in names) == torch.cuda.device_count()
    assert report["devices"][0]["cores"] >= 1
    assert report["four_bit"].keys() == set(names)


def test_the_course_runs_where_it_is_tested(report):
    assert report["broken"] == {}
    assert report["model"]["ok"], report["model"]["reason"]
    assert course(report, "lesson 00")["ok"]
    assert course(report, "lessons 01")["ok"]
    assert course(report, "make book")["ok"]


def test_what_does_not_run_says_why_and_what_to_do(report):
    for entry in report["course"]:
        assert (entry["reason"] is None) == (entry["remedy"] is None) == entry["ok"]


def test_the_text_holds_every_verdict(report):
    text = doctor.describe(report)
    for entry in report["course"]:
        assert entry["what"] in text
    assert report["versions"]["torch"] in text


def test_packages_that_are_broken_are_named_and_nothing_else_fails(tmp_path):
    report = run_json(
        tmp_path,
        # An import that fails, one that takes Python down with it, and one that talks.
        peft="raise ImportError('built for\\nanother processor')",
        bitsandbytes="import os; os._exit(132)",
        matplotlib="print('welcome'); print('{')",
    )
    assert report["broken"] == {"peft": "ImportError: built for another processor"}
    assert "crashed Python (exit status 132)" in report["four_bit"]["cpu"]["reason"]
    assert not course(report, "4-bit")["ok"]
    lesson = course(report, "lessons 01")
    assert not lesson["ok"]
    assert "peft cannot be imported" in lesson["reason"]
    assert "pip install" in lesson["remedy"]
    assert course(report, "lesson 00")["ok"]


def test_without_torch_it_still_answers(tmp_path):
    report = run_json(tmp_path, torch="raise ImportError('libcudart.so is missing')")
    assert report["device"] == "cpu"
    assert "libcudart.so is missing" in report["broken"]["torch"]
    assert not report["four_bit"]["cpu"]["ok"]
    assert not course(report, "lesson 00")["ok"]


def test_a_package_that_is_not_installed(report):
    found = {
        **report,
        "versions": report["versions"] | {"peft": None, "jupyterlab": None},
        "tools": {"chromium": None, "bubblewrap": None},
    }
    verdicts = {entry["what"]: entry for entry in doctor.what_runs(found)}
    reasons = [entry["reason"] for entry in verdicts.values() if not entry["ok"]]
    assert "peft is not installed" in reasons
    assert "jupyterlab is not installed" in reasons
    assert "there is no Chromium" in reasons


def test_four_bit_is_really_tried(tmp_path):
    functional = (
        "def quantize_4bit(weight, **options): return weight.flatten()[::2], None\n"
        "def dequantize_4bit(packed, state): return packed[0] * 0\n"
    )
    (tmp_path / "bitsandbytes").mkdir()
    (tmp_path / "bitsandbytes" / "__init__.py").touch()
    (tmp_path / "bitsandbytes" / "functional.py").write_text(functional, encoding="utf-8")
    # What else it tries to import is not what this is about, and takes longer.
    report = run_json(tmp_path, **dict.fromkeys(("transformers", "peft", "matplotlib"), ""))
    assert "the round trip through NF4 is off by 1.000" in report["four_bit"]["cpu"]["reason"]


@pytest.mark.parametrize("damage", ["weights", "missing", "tokenizer"])
def test_a_damaged_bundled_model_is_noticed(damage, tmp_path):
    folder = tmp_path / "tiny"
    shutil.copytree(doctor.TINY, folder)
    assert doctor.bundled_model(folder)["ok"]
    if damage == "weights":
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    elif damage == "missing":
        (folder / "model.safetensors").unlink()
    else:
        (folder / "tokenizer.json").write_text("{", encoding="utf-8")
    found = doctor.bundled_model(folder)
    assert not found["ok"]
    expected = {"weights": "SHA-256", "missing": "model.safetensors", "tokenizer": "damaged"}
    assert expected[damage] in found["reason"]
