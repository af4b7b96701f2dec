import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from peftcourse.compare import journal, run, tables
from peftcourse.compare.carry_out import carry_out
from peftcourse.compare.plan import COST, REPORT, Run
from peftcourse.compare.search import SEARCH
from peftcourse.compare.text import failures, report
from peftcourse.compare.workers import Local
from peftlab.errors import PeftlabError
from tests.peftcourse.compare.small import METHODS, PAIR, InProcess, die, invented, small_plan

ROOT = Path(__file__).parents[3]
COST_KEYS = {
    "model",
    "task",
    "method",
    "device",
    "batch",
    "step_seconds",
    "step_ratio",
    "peak_bytes",
    "peak_measure",
    "forward_seconds",
    "overhead_unmerged",
    "overhead_merged",
    "mergeable",
    "cannot_merge",
    "trainable",
    "file_bytes",
}


@pytest.fixture
def engines(monkeypatch):
    """Engines that train nothing, in the order in which they were made."""
    made = []

    def make(name, plan, *_):
        made.append(InProcess(plan))
        return made[-1]

    monkeypatch.setattr(run, "_engine", make)
    return made


def compare(plan, folder, **options):
    return run.compare(plan, folder, progress=False, **options)


def keys(folder):
    return [journal.key_of(row) for row in journal.read(folder / journal.RUNS)]


def test_three_methods_and_two_seeds_from_end_to_end(tmp_path):
    plan = small_plan()
    found = compare(plan, tmp_path, workers=1)
    assert not failures(found)
    assert Counter(row["method"] for row in found.rows) == {m: 2 for m in ("base", *METHODS)}
    for row in found.rows:
        assert 0 <= row["score"] <= 1 and row["split"] == "test"
        assert row["forgetting"] == pytest.approx(
            row["story_loss"] - row["story_loss_before"], abs=1e-4
        )
        assert sum(row["calibration"]["bins"]["count"]) == row["calibration"]["count"] > 0
        if row["method"] != "base":
            assert [step for step, _ in row["losses"]] == [1, 2]
            assert [step for step, _ in row["validation"]] == [0, 2]
            assert row["file_bytes"] > 4 * row["trainable"]
    trained = {row["method"]: row["trainable"] for row in found.rows}
    assert trained["base"] == 0 < trained["prompt"] < trained["lora-8"] < trained["full"]

    assert [row["method"] for row in found.costs] == list(METHODS)
    for row in found.costs:
        assert row.keys() == COST_KEYS
        assert row["mergeable"] == (row["overhead_merged"] is not None)
    costs = {row["method"]: row for row in found.costs}
    assert not costs["prompt"]["mergeable"] and "soft tokens" in costs["prompt"]["cannot_merge"]
    assert costs["full"]["step_ratio"] == 1
    assert costs["full"]["peak_bytes"] > costs["lora-8"]["peak_bytes"]

    file = run.record(found, plan, tmp_path / "out.json")
    again = tables.load(file)
    assert again.rows == found.rows and again.about["seeds"] == [0, 1]
    text = report(again)
    assert all(again.label(name) in text for name in METHODS) and "Failed" not in text


def test_a_second_call_does_nothing_again(tmp_path, engines):
    first = compare(small_plan(search=True), tmp_path)
    assert len(engines[0].done) == len(set(keys(tmp_path)))
    assert compare(small_plan(search=True), tmp_path) == first
    assert len(engines) == 1


def test_more_seeds_add_to_what_is_there(tmp_path, engines):
    compare(small_plan(seeds=(0,)), tmp_path)
    said = []
    found = compare(small_plan(seeds=(0, 1)), tmp_path, say=said.append)
    assert {r.seed for r in engines[1].done} == {1}
    assert {row["seed"] for row in found.rows} == {0, 1}
    assert "are left" in said[0]
    # A smaller plan reports its own part of the journal.
    part = compare(small_plan(seeds=(1,), methods=("full",)), tmp_path)
    assert {(r["method"], r["seed"]) for r in part.rows} == {("base", 1), ("full", 1)}


def test_killed_at_any_moment_it_goes_on(tmp_path, engines):
    folder = tmp_path / "killed"
    whole = compare(small_plan(search=True), tmp_path / "whole")
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    command = [sys.executable, "-m", "tests.peftcourse.compare.small", str(folder)]
    process = subprocess.Popen(command, env=environment, cwd=ROOT)
    deadline = time.monotonic() + 300
    path = folder / journal.RUNS
    while not path.is_file() or path.read_bytes().count(b"\n") < 5:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = keys(folder)
    assert 5 <= len(before) < len(keys(tmp_path / "whole"))

    found = compare(small_plan(search=True), folder)
    assert not {r.key for r in engines[1].done} & set(before)
    lines = [journal.key_of(json.loads(line)) for line in path.read_text().splitlines() if line]
    assert len(lines) == len(set(lines))
    assert set(lines) == set(keys(tmp_path / "whole"))
    assert found == whole


def test_a_run_that_fails_is_kept_and_the_others_go_on(tmp_path, engines, monkeypatch):
    def do(run, plan, device):
        if run.method == "lora-8" and run.purpose == REPORT:
            return run.as_row() | {"failed": "the loss became nan in step 2"}
        return invented(run, plan)

    monkeypatch.setattr(run, "_engine", lambda name, plan, *_: InProcess(plan, do))
    found = compare(small_plan(), tmp_path)
    assert len(failures(found)) == 2
    assert "LoRA, r = 8 on tiny, voice, seed 0: the loss became nan" in report(found)
    assert [line.method for line in found.summary("tiny", "voice")] == ["base", "full", "prompt"]
    assert found.runs("tiny", "voice", "lora-8")[0]["failed"]


def test_what_can_go_wrong_in_a_run_ends_in_its_row():
    # So high a rate ends in a loss that is no number; so short a prompt has no room for a target.
    steep = Run(SEARCH, "tiny", "voice", "full", 100, 1e30)
    plan = small_plan(search=True, pairs=(replace(PAIR, steps=6),))
    row = carry_out(steep, plan, "cpu")
    assert "lower the learning rate" in row["failed"] and "again" not in row
    short = replace(PAIR, task="slots", max_length=4)
    row = carry_out(
        Run(REPORT, "tiny", "slots", "full", 0, 1e-3), small_plan(pairs=(short,)), "cpu"
    )
    assert "leaves no room" in row["failed"]
    row = carry_out(Run(REPORT, "tiny", "voice", "full", 0, 1e-3), small_plan(), "nowhere")
    assert row["failed"] and row["again"]


def test_a_process_that_dies_takes_only_its_run_with_it(tmp_path, monkeypatch):
    plan = small_plan(seeds=(0,))
    monkeypatch.setattr(run, "_engine", lambda name, plan, *_: Local(plan, ["cpu"], die))
    found = compare(plan, tmp_path)
    (failed,) = failures(found)
    assert "exit code 9" in failed and "LoRA" in failed
    # It may have been the others' fault: the next call tries it again.
    monkeypatch.setattr(run, "_engine", lambda name, plan, *_: InProcess(plan))
    assert not failures(compare(plan, tmp_path))


def test_what_broke_is_tried_once_more_with_fewer_beside_it(tmp_path, monkeypatch):
    plan, made, said = small_plan(search=True), [], []

    def do(run, plan, device):
        if len(made) == 1 and run.purpose == SEARCH and run.method == "full":
            return run.as_row() | {"failed": "OutOfMemoryError: no room", "again": True}
        return invented(run, plan)

    def engine(name, plan, workers, gpus):
        made.append(workers)
        return InProcess(plan, do)

    monkeypatch.setattr(run, "_engine", engine)
    found = compare(plan, tmp_path / "broken", workers=6, say=said.append)
    assert made == [6, 3] and "5 runs broke" in said[0]
    assert found == compare(plan, tmp_path / "whole") and not failures(found)


def test_costs_are_measured_alone_on_their_device():
    engine = Local(small_plan(), ["gpu-a", "gpu-b", "gpu-a", "gpu-b"])
    opened = []

    class Worker:
        def __init__(self, device):
            self.device, self.run = device, None
            self.pipe = self.process = self
            self.send = lambda run: None
            self.is_alive = lambda: True

    def open_worker(device):
        opened.append(Worker(device))
        engine._workers.append(opened[-1])
        return opened[-1]

    engine._open = open_worker
    engine.submit(Run(COST, "tiny", "voice", "base"))
    for seed in range(4):
        engine.submit(Run(REPORT, "tiny", "voice", "full", seed, 1e-3))
    engine._start()
    assert [(w.device, w.run.purpose) for w in opened] == [
        ("gpu-a", COST),
        ("gpu-b", REPORT),
        ("gpu-b", REPORT),
    ]
    opened[0].run = None  # the costs are measured
    engine._start()
    assert [w.device for w in opened].count("gpu-a") == 2 and not engine._queue


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "cloud"}, 'no engine "cloud"'),
        ({"workers": 0}, "0 workers are no use"),
        ({"workers": 10**5}, "100000 workers are no use here, where"),
    ],
)
def test_arguments_that_cannot_be_used(tmp_path, options, message):
    with pytest.raises(PeftlabError, match=message):
        compare(small_plan(), tmp_path, **options)


def test_ray_is_optional(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PeftlabError, match=r"--engine ray needs Ray; pip install 'peftlab\[ray\]'"):
        compare(small_plan(), tmp_path, engine="ray")


class FakeRay:
    """The few functions of Ray that the engine calls; a task is done when it is waited for."""

    class exceptions:
        class RayError(Exception):
            pass

    def __init__(self, gpus, do):
        self.gpus, self.do, self.options_seen, self.running = gpus, do, [], False

    def is_initialized(self):
        return self.running

    def init(self, **options):
        self.running = True

    def shutdown(self):
        self.running = False

    def cluster_resources(self):
        return {"CPU": 4.0} | ({"GPU": float(self.gpus)} if self.gpus else {})

    def remote(self, **options):
        def decorate(function):
            ray = self

            class Task:
                def __init__(self, given):
                    self.given = given

                def options(self, **more):
                    return Task({**self.given, **more})

                def remote(self, run):
                    ray.options_seen.append((run.purpose, self.given.get("num_gpus")))
                    return run

            return Task(options)

        return decorate

    def wait(self, tasks):
        return tasks[-1:], tasks[:-1]

    def get(self, run):
        return self.do(run)


@pytest.mark.parametrize("gpus", [0, 2])
def test_the_ray_engine_hands_out_runs_and_survives_lost_ones(tmp_path, monkeypatch, gpus):
    plan = small_plan(seeds=(0,))

    def do(run):
        if run.method == "lora-8":
            raise FakeRay.exceptions.RayError("the node has gone")
        return invented(run, plan)

    ray = FakeRay(gpus, do)
    monkeypatch.setitem(sys.modules, "ray", ray)
    found = compare(plan, tmp_path, engine="ray")
    (failed,) = failures(found)
    assert "RayError: the node has gone" in failed and not ray.running
    share = 1 / run.PER_GPU if gpus else None
    whole = 1 if gpus else None
    # The lost one was tried a second time.
    assert Counter(ray.options_seen) == {(COST, whole): 1, (REPORT, share): 5}


def test_ray_gives_the_same_rows(tmp_path):
    pytest.importorskip("ray", reason="Ray is an optional extra: pip install 'peftlab[ray]'")
    plan = small_plan(methods=("lora-8",), seeds=(0,))
    measured = ("score", "loss", "losses", "forgetting", "calibration")

    def numbers(engine):
        found = compare(plan, tmp_path / engine, engine=engine, workers=1)
        return [[row.get(key) for key in measured] for row in found.rows]

    assert numbers("ray") == numbers("local")
