"""peft's recipe and autocast: the tiny shape on the CPU, the record, and what is measured again."""

import pytest

from benchmarks import quantization_kbit as benchmark
from peftcourse.experiments import results


@pytest.fixture
def record(tmp_path, monkeypatch):
    """Runs the benchmark quickly; the cases of its record."""
    file = tmp_path / "kbit.json"

    def run():
        monkeypatch.setattr("sys.argv", ["benchmark", "--quick", "--out", str(file)])
        benchmark.main()
        return results.read(file)["numbers"]["cases"]

    return run


def test_the_stream_is_float32_after_the_recipe_and_attention_is_not_under_autocast(record):
    cases = {case["setting"]: case for case in record()}
    assert list(cases) == list(benchmark.SETTINGS)
    found = {
        name: (case["stream"], *(dtype for [dtype] in case["fused_attention"].values()))
        for name, case in cases.items()
    }
    assert found == {
        "QLoRA, the recipe alone": ("float32", "float32"),
        "QLoRA, the recipe under autocast": ("float32", "bfloat16"),
        "QLoRA, nothing cast": ("bfloat16", "bfloat16"),
        "LoRA, 16-bit base": ("bfloat16", "bfloat16"),
    }
    assert all(len(case["seconds"]) == benchmark.STEPS for case in cases.values())


def test_what_was_measured_stays_and_what_failed_or_is_missing_is_measured(
    record, tmp_path, monkeypatch
):
    asked = []

    def measure(model, setting, size):
        asked.append(setting)
        return {"seconds": [float(len(asked))]}

    monkeypatch.setattr(benchmark, "build", lambda *args: benchmark.nn.Linear(1, 1))
    monkeypatch.setattr(benchmark, "measure", measure)
    names = list(benchmark.SETTINGS)
    cases = [
        {"shape": "small", "setting": names[0], "size": [2, 16], "seconds": [9.0]},
        {"shape": "small", "setting": names[1], "size": [2, 16], "error": "out of memory"},
    ]
    benchmark.write(tmp_path / "kbit.json", cases)
    assert {case["setting"]: case["seconds"] for case in record()} == {
        names[0]: [9.0],
        names[1]: [1.0],
        names[2]: [2.0],
        names[3]: [3.0],
    }
    assert asked == [benchmark.SETTINGS[name] for name in names[1:]]
