"""Nothing is gained by cheating, and nothing breaks: two classes of the same hostile submissions.

One goes to a plain grader (``control.py``), which each of them cheats or brings down. The other is
graded by peftlab, once for all: then every one has its row with exactly the points that its right
answers earn, no attack has got anywhere, and nothing outside the output folder has changed.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import shutil
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from grading import bubble
from grading.cases.hostile import BREACH, CASES, GAINS, Hostile
from grading.cases.mistakes import wrong
from grading.cases.notebooks import EXERCISES, LAB, NAMES, RIGHT, ROOT, Notebook, solved

from peftcourse.exercises import EXERCISES as KNOWN
from peftcourse.grading.rows import UNJUDGED, Row
from peftcourse.grading.run import grade

pytestmark = pytest.mark.slow
FULL = sum(KNOWN[exercise].points for exercise in EXERCISES)  # without the written one
TOKEN = f"{BREACH}-token"
# Somebody who has done nothing but hand in some right answers.
VICTIM, ANSWERED = f"zz-victim/{LAB}.ipynb", ("lora.delta", "lora.count", "lora.loss")
PR_SET_CHILD_SUBREAPER = 36

cases = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


def deserved(exercises: Iterable[str]) -> int:
    return sum(KNOWN[exercise].points for exercise in exercises)


# --- surroundings that both graders have ----------------------------------------------------------


class Accomplice:
    """Somebody on the network who tells everybody the answers."""

    def __init__(self) -> None:
        self.calls = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            with connection:
                if self._closing:
                    return
                self.calls += 1
                connection.sendall(RIGHT["lora.delta"].encode())

    _closing = False

    def close(self) -> None:
        self._closing = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._server.close()


@pytest.fixture(scope="module")
def accomplice() -> Iterator[Accomplice]:
    told = Accomplice()
    yield told
    told.close()


def furnish(folder: Path) -> None:
    """A home folder and a course that nobody but the grader should see or change."""
    for name in ("home", "root"):
        (folder / name).mkdir(parents=True)
        (folder / name / "canary.txt").write_text(f"{BREACH}: do not read, do not change\n")
    for part in ("labs", "solutions"):
        (folder / "root" / part).mkdir()
        shutil.copy(ROOT / part / f"{LAB}.ipynb", folder / "root" / part)
    (folder / "class" / "zz-victim").mkdir(parents=True)
    victim = Notebook({exercise: RIGHT[exercise] for exercise in ANSWERED})
    (folder / "class" / VICTIM).write_bytes(victim.bytes())


# --- the control ----------------------------------------------------------------------------------


def answer_key() -> str:
    """The answers as a module, as the control has it beside it and in the home folder."""
    imports = "import contextlib, math, torch\nimport torch.nn.functional as F\n"
    imports += "from torch import Tensor, nn\n"
    names = "\n".join(f"{e.replace('.', '_')} = {name}" for e, name in NAMES.items())
    return "\n\n\n".join([imports, *RIGHT.values(), names])


def prepare_control(folder: Path, *submissions: tuple[str, bytes]) -> None:
    furnish(folder)
    for path in (folder / "grader" / "answer_key.py", folder / "home" / "course" / "my_key.py"):
        path.parent.mkdir()
        path.write_text(answer_key())
    shutil.copy(ROOT / "labs" / f"{LAB}.ipynb", folder / "grader" / "lab.ipynb")
    for name, content in submissions:
        (folder / "class" / name).parent.mkdir()
        (folder / "class" / name).write_bytes(content)


@dataclass(frozen=True)
class Marks:
    """What the control made of a class: how it ended, and the points of each line it printed."""

    end: str
    lines: list[tuple[str, float]]

    @classmethod
    def read(cls, result: dict) -> Marks:
        lines = []
        for line in (result["output"] or "").splitlines():
            name, mark, *_ = [*line.split(","), "", ""]
            if name and re.fullmatch(r"-?\d+", mark):
                lines.append((name, float(mark)))
        return cls(result["end"], lines)

    def of(self, path: str) -> float | None:
        """The last mark for a submission; a name cut off by a comma in it counts as well."""
        found = [mark for name, mark in self.lines if path.startswith(name)]
        return found[-1] if found else None


HONEST = {
    f"right/{LAB}.ipynb": (solved().bytes(), FULL),
    f"untouched/{LAB}.ipynb": (Notebook().bytes(), 0),
    f"wrong/{LAB}.ipynb": (
        solved(delta=wrong("lora.delta", "no-scaling")).bytes(),
        FULL - KNOWN["lora.delta"].points,
    ),
}


@pytest.fixture(scope="module")
def control(tmp_path_factory, accomplice) -> dict[str, Marks]:
    """What the control says of each hostile case, and of an honest class."""
    if why := bubble.unavailable():
        pytest.skip(f"{why}: the control must not run hostile code without it")
    work = tmp_path_factory.mktemp("control")
    for case in CASES:
        prepare_control(work / case.name)
        places = {
            **{name.upper(): f"/mnt/{case.name}/{name}" for name in ("class", "home", "root")},
            "REPOSITORY": str(ROOT),
            "PORT": str(accomplice.port),
        }
        case.write(work / case.name / "class" / "a-cheat", places)
    prepare_control(work / "honest", *((name, content) for name, (content, _) in HONEST.items()))
    results = bubble.run(["honest", *(case.name for case in CASES)], work)
    return {name: Marks.read(result) for name, result in results.items()}


def test_the_control_marks_an_honest_class_well(control):
    assert control["honest"].end == "done"
    expected = {name: mark for name, (_, mark) in HONEST.items()} | {VICTIM: deserved(ANSWERED)}
    assert dict(control["honest"].lines) == expected


@cases
def test_the_control_falls_for_it(control, case: Hostile):
    marks = control[case.name]
    if case.effect == GAINS:
        mark = marks.of(f"a-cheat/{case.cheat}")
        assert mark is not None and mark > deserved(case.earned[case.cheat])
    else:
        assert marks.of(VICTIM) != deserved(ANSWERED)


# --- the grader -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Graded:
    """The hostile class after grading, and its surroundings before and after."""

    rows: list[Row]
    out: Path
    before: dict[str, str]
    after: dict[str, str]
    processes: list[str]
    calls: int


def snapshot(*folders: Path) -> dict[str, str]:
    """Every file with a hash of its contents; links and folders by name."""
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if "__pycache__" in path.parts:
                continue
            ordinary = path.is_file() and not path.is_symlink()
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest() if ordinary else ""
    return found


@pytest.fixture(scope="module")
def graded(tmp_path_factory, accomplice, bubblewrap) -> Graded:
    folder = tmp_path_factory.mktemp("hostile")
    furnish(folder)
    places = {
        **{name.upper(): str(folder / name) for name in ("class", "home", "root")},
        "REPOSITORY": str(ROOT),
        "PORT": str(accomplice.port),
    }
    for case in CASES:
        case.write(folder / "class" / case.name, places)
    watched = [folder / name for name in ("class", "home", "root")]
    watched += [ROOT / name for name in ("labs", "solutions", "src/peftcourse/exercises")]
    before, calls = snapshot(*watched), accomplice.calls
    # Orphans would become ours, and could not be missed.
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    children = set(psutil.Process().children(recursive=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder / "home"))
        patch.setenv("GRADER_TOKEN", TOKEN)
        environment = dict(os.environ)
        rows = grade(
            folder / "class", LAB, folder / "out", root=folder / "root", seed=3, timeout=2.5
        )
        # torch adds a variable of its own when its optimizers first run.
        assert environment.items() <= os.environ.items()
    left = set(psutil.Process().children(recursive=True)) - children
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    after = snapshot(*watched)
    # An orphan that has ended would be collected by init, in whose place we are.
    processes = [f"{process}" for process in left if process.status() != psutil.STATUS_ZOMBIE]
    return Graded(rows, folder / "out", before, after, processes, accomplice.calls - calls)


def rows_of(graded: Graded, case: Hostile, file: str) -> list[Row]:
    """The rows of one file; a file name that no report can show is told by its folder."""
    mine = [row for row in graded.rows if row.origin.split("/")[0] == case.name]
    if len(case.files) == 1:
        return mine
    return [row for row in mine if row.origin.startswith(f"{case.name}/{file}")]


def test_there_are_enough_of_them():
    assert len(CASES) >= 30
    assert len({case.name for case in CASES}) == len(CASES)


@cases
def test_it_has_a_row_and_the_points_that_it_earned(graded, case: Hostile):
    for file, earned in case.earned.items():
        rows = rows_of(graded, case, file)
        assert rows, "every submission gets a row"
        points = {
            result.exercise: result.points
            for row in rows
            for result in row.results
            if result.points
        }
        assert points == {exercise: KNOWN[exercise].points for exercise in earned}, rows
        # Whatever it returned, the judge could say that it is wrong.
        assert UNJUDGED not in {result.status for row in rows for result in row.results}


def test_the_others_keep_their_points(graded):
    (victim,) = [row for row in graded.rows if row.origin == VICTIM]
    assert victim.points == deserved(ANSWERED)


def without_their_code(path: Path) -> str:
    """What a file says, apart from the learners' own code that it shows."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in text.splitlines()]
        return repr([[{**one, "code": ""} for one in row.pop("results")] + [row] for row in rows])
    return re.sub(r'<pre class="source".*?</pre>', "", text, flags=re.DOTALL)


def test_no_attack_got_through(graded):
    for path in graded.out.rglob("*"):
        if path.is_file():
            assert BREACH not in without_their_code(path), path
    assert BREACH not in repr(graded.rows)
    assert graded.calls == 0


def test_nothing_outside_has_changed(graded):
    assert graded.after == graded.before
    for folder in ("/", "/etc", "/etc/cron.d", "/usr", "/tmp", "/var/tmp", "/dev/shm", "/run"):
        for trace in (f"{BREACH}*", "handed-over*", "slipped*"):
            assert not [*Path(folder).glob(trace)]


def test_no_process_is_left(graded):
    assert graded.processes == []


def test_reports_show_what_a_submission_says_as_text(graded):
    pages = [*graded.out.rglob("*.html")]
    assert len(pages) > len(CASES)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<script>alert|<img src=x|<b>", text), page
        assert "\x1b" not in text
    for table in graded.out.glob("*.csv"):
        # A spreadsheet takes what starts with one of these for a formula.
        assert not re.search(r'(^|,)"?[=+@]', table.read_text(encoding="utf-8"), re.MULTILINE)
