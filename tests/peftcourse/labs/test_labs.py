"""The generator: what it writes, that it writes the same again, and that hand edits are found."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from peftcourse import labs
from peftcourse.exercises import LESSONS, find
from peftcourse.exercises.feedback import assess
from peftlab.errors import PeftlabError

ROOT = Path(__file__).resolve().parents[3]
STUDENT, SOLUTION = "labs/99_small.ipynb", "solutions/99_small.ipynb"

# The rules of nbgrader's cell metadata, schema version 3.
KEYS = {"schema_version", "grade", "locked", "solution", "task", "grade_id", "points", "cell_type"}

NUMBER = re.compile(r"\d+\.\d+")
# Lines of a lab's outputs that show what its model answer is about.
RESULTS = {
    "01_memory": ".*GiB.*",
    "02_rank": ".*(?:loss|energy) .*",
    "03_lora": "loss .*",
    "04_practice": ".*examples, rank .*loss .*",
    "05_dora": ".* r = .*",
    "06_quantization": ".*loss .*",
    "07_adapters": ".*loss .*",
    "08_prompts": "loss .*",
    "09_library": ".*validation loss .*",
    "10_choose": ".*(?:loss|GiB).*",
    "11_evaluate": ".*loss .*",
}


def read(path: Path):
    return nbformat.read(path, as_version=4)


def printed(notebook) -> str:
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    return "".join(output.get("text", "") for output in outputs)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
def built(root) -> Path:
    labs.build(root, execute=False)
    return root


def test_a_student_gets_stubs_and_no_outputs(built):
    notebook = read(built / STUDENT)
    text = "\n".join(cell.source for cell in notebook.cells)
    assert "SOLUTION" not in text and "B @ A" not in text and "self.rank" not in text
    assert text.count('raise NotImplementedError("your code here")') == 3
    assert '"""The update."""' in text
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    for cell in notebook.cells:
        if cell.cell_type == "code" and "google.colab" not in cell.source:
            compile(cell.source, "cell", "exec")


def test_the_solution_has_the_same_cells_with_answers(built):
    student, solution = read(built / STUDENT), read(built / SOLUTION)
    assert [cell.id for cell in student.cells] == [cell.id for cell in solution.cells]
    assert [cell.metadata for cell in student.cells] == [cell.metadata for cell in solution.cells]
    differing = [a.id for a, b in zip(student.cells, solution.cells, strict=True) if a != b]
    assert differing == ["lora-delta", "lora-count", "lora-report"]


def test_banners_come_from_the_exercise(built):
    text = "\n".join(cell.source for cell in read(built / STUDENT).cells)
    assert all(find(f"lora.{name}").banner() in text for name in ("delta", "count", "report"))
    assert "<!--" not in text


def test_both_validate(built):
    for path in (STUDENT, SOLUTION):
        nbformat.validate(read(built / path))


def test_nbgrader_metadata_is_valid(built):
    seen = {}
    for cell in read(built / STUDENT).cells:
        if "nbgrader" not in cell.metadata:
            continue
        meta = cell.metadata["nbgrader"]
        assert set(meta) <= KEYS
        assert meta["schema_version"] == 3 and meta["task"] is False
        assert re.fullmatch(r"[a-zA-Z0-9_\-]+", meta["grade_id"])
        assert meta["grade_id"] not in seen
        assert ("points" in meta) == meta["grade"]
        assert meta["locked"] is not meta["solution"]
        assert meta["cell_type"] == cell.cell_type
        seen[meta["grade_id"]] = meta
    answers = ["lora-delta", "lora-delta-check", "lora-count", "lora-count-check", "lora-report"]
    assert list(seen) == answers
    assert seen["lora-delta"]["solution"] and not seen["lora-delta"]["grade"]
    assert seen["lora-count-check"]["points"] == find("lora.count").points
    # One cell that is the answer and has the points is what nbgrader leaves to a person.
    words = seen["lora-report"]
    assert words["solution"] and words["grade"] and words["cell_type"] == "markdown"
    assert words["points"] == find("lora.report").points


def test_a_written_answer_is_a_line_to_replace_and_in_the_solution_the_model_answer(built):
    student, solution = (
        next(cell for cell in read(built / path).cells if cell.id == "lora-report")
        for path in (STUDENT, SOLUTION)
    )
    assert student.source == "*Write your answer here, in place of this line.*"
    assert solution.source == find("lora.report").model_answer
    assert student.metadata == solution.metadata


def test_check_cells_are_compared_on_every_machine(built):
    tags = [c.metadata.get("tags") for c in read(built / STUDENT).cells if "check(" in c.source]
    assert tags == [["nbval-check-output"], ["other-tag", "nbval-check-output"]]


def test_two_builds_write_the_same_bytes(built):
    before = {path: (built / path).read_bytes() for path in (STUDENT, SOLUTION)}
    for path in before:
        (built / path).unlink()
    labs.build(built, execute=False)
    assert {path: (built / path).read_bytes() for path in before} == before


def test_an_answer_keeps_its_id_when_the_text_around_it_changes(built):
    before = [cell.id for cell in read(built / STUDENT).cells]
    edit(built / "solutions/99_small.md", "# A small lab", "# A very small lab")
    labs.build(built, execute=False)
    after = [cell.id for cell in read(built / STUDENT).cells]
    assert before[0] != after[0]
    slugs = [cell for cell in before if cell.startswith("lora-")]
    assert slugs == ["lora-delta", "lora-count", "lora-report"]
    assert before[1:] == after[1:]


def test_the_setup_cell_follows_the_public_address(built):
    first = next(cell for cell in read(built / STUDENT).cells if cell.cell_type == "code")
    assert "google.colab" in first.source and "files.upload()" in first.source
    (built / "_config.yml").write_text("repository: {url: 'https://example.org/course'}")
    assert any("99_small" in line for line in labs.check(built))
    labs.build(built, execute=False)
    first = next(cell for cell in read(built / STUDENT).cells if cell.cell_type == "code")
    assert "git+https://example.org/course" in first.source and "upload" not in first.source


# --- executing ----------------------------------------------------------------------------------


def test_solutions_are_executed_only_when_needed(root, monkeypatch):
    ran, execute = [], labs.execute_solution

    def once(notebook, source):
        """Run it the first time; later, the cells have the outputs that they had then."""
        ran.append(1)
        if len(ran) == 1:
            return execute(notebook, source)
        notebook.metadata = read(root / SOLUTION).metadata
        for cell, stored in zip(notebook.cells, first.cells, strict=True):
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = stored.outputs, stored.execution_count

    monkeypatch.setattr(labs, "execute_solution", once)
    labs.build(root)
    first = read(root / SOLUTION)
    assert len(ran) == 1
    solution = read(root / SOLUTION)
    assert printed(solution).count("correct · lora") == 2
    assert labs.check(root) == []
    before = (root / SOLUTION).read_bytes()

    labs.build(root)
    assert len(ran) == 1 and (root / SOLUTION).read_bytes() == before
    edit(root / "solutions/99_small.md", "# A small lab", "# A tiny lab")
    labs.build(root)
    assert len(ran) == 1 and labs.check(root) == []  # text is not code

    edit(root / "solutions/99_small.md", "alpha / rank * (B @ A)", "(alpha / rank) * (B @ A)")
    labs.build(root, execute=False)
    assert len(ran) == 1
    assert any("was not executed" in line for line in labs.check(root))
    labs.build(root)
    assert len(ran) == 2 and labs.check(root) == []

    (root / "src").mkdir()
    (root / "src" / "module.py").write_text("changed = True")
    labs.build(root)
    assert len(ran) == 3
    assert not list(root.rglob("progress.json"))


def test_warnings_of_the_machine_are_not_stored(root):
    edit(root / "solutions/99_small.md", "progress()", "import sys; print(1, file=sys.stderr)")
    labs.build(root)
    solution = read(root / SOLUTION)
    outputs = [output for cell in solution.cells for output in cell.get("outputs", ())]
    assert outputs and all(output.get("name") == "stdout" for output in outputs)


def test_a_failing_cell_is_named(root):
    edit(root / "solutions/99_small.md", "progress()", "progress(1 / 0)")
    with pytest.raises(PeftlabError, match=r"99_small\.md, cell 13 fails: ZeroDivisionError"):
        labs.build(root)
    assert not (root / SOLUTION).exists()


def test_a_student_can_run_everything_before_and_after_solving(built, monkeypatch):
    monkeypatch.setenv("PEFTLAB_PROGRESS", "off")
    unsolved = read(built / STUDENT)
    NotebookClient(unsolved, timeout=120, resources={"metadata": {"path": built}}).execute()
    assert printed(unsolved).count("not attempted · lora") == 2

    solved = read(built / STUDENT)
    for cell, answer in zip(solved.cells, read(built / SOLUTION).cells, strict=True):
        cell.source = answer.source
    NotebookClient(solved, timeout=120, resources={"metadata": {"path": built}}).execute()
    assert printed(solved).count("correct · lora") == 2


# --- checking -----------------------------------------------------------------------------------


def test_a_fresh_build_has_no_differences_but_missing_outputs(built):
    assert all("was not executed" in line for line in labs.check(built))


@pytest.mark.parametrize(
    ("path", "old", "new", "told"),
    [
        (STUDENT, "The update.", "The upgrade.", "cell 5: source differs"),
        (SOLUTION, "alpha / rank *", "alpha / rank  *", "cell 5: source differs"),
        (STUDENT, '"points": 2', '"points": 3', "metadata differs"),
        (SOLUTION, '"locked": true', '"locked": false', "metadata differs"),
        (STUDENT, '"id": "lora-delta"', '"id": "lora-delt"', "id differs"),
        (STUDENT, '"python3"', '"python4"', "metadata"),
        (STUDENT, '"outputs": []', '"outputs":  []', "formatting"),
        (STUDENT, "{", "[{", "not a valid notebook"),
        (
            STUDENT,
            '\\"\\"\\"The update.\\"\\"\\"\\n',
            "    return alpha / rank * (B @ A)\\n",
            "cell 5: shows a line of an answer: return alpha / rank * (B @ A)",
        ),
    ],
)
def test_hand_edits_are_found(built, path, old, new, told):
    edit(built / path, old, new)
    found = [line for line in labs.check(built) if "was not executed" not in line]
    assert any(line.startswith(path) and told in line for line in found), found
    labs.build(built, execute=False)
    assert all("was not executed" in line for line in labs.check(built))


def test_an_answer_repeated_in_the_open_is_found(built):
    """A leak that is in the source itself, outside of the markers."""
    edit(built / "solutions/99_small.md", "What is left", "    rank = A.shape[0]\n\nWhat is left")
    labs.build(built, execute=False)
    assert any("shows a line of an answer: rank = A.shape[0]" in s for s in labs.check(built))


def test_a_sentence_of_a_model_answer_is_found_however_its_lines_break(built):
    sentence = "r = 8 is\nbetter. I was wrong. That rank 1\ncannot learn the voice. Or"
    edit(built / "solutions/99_small.md", "What is left", f"{sentence}\n\nWhat is left")
    labs.build(built, execute=False)
    [told] = [line for line in labs.check(built) if "model answer" in line]
    assert told.endswith("sentence of a model answer: That rank 1 cannot learn the voice.")


def test_an_output_in_a_student_notebook_is_found(built):
    notebook = read(built / STUDENT)
    code = next(cell for cell in notebook.cells if cell.cell_type == "code")
    code.outputs = [nbformat.v4.new_output("stream", text="return alpha / rank * (B @ A)\n")]
    nbformat.write(notebook, built / STUDENT)
    told = "\n".join(labs.check(built))
    assert "outputs or formatting differ" in told and "shows a line of an answer" in told


def test_missing_and_orphaned_notebooks_are_found(built):
    (built / STUDENT).rename(built / "labs/98_old.ipynb")
    told = "\n".join(labs.check(built))
    assert f"{STUDENT}: is missing" in told
    assert "labs/98_old.ipynb: has no source" in told


def test_model_answers_go_into_the_package(root):
    kept = root / labs.MODEL_ANSWERS
    kept.parent.mkdir(parents=True)
    labs.build(root, execute=False)
    answers = json.loads(kept.read_text(encoding="utf-8"))
    assert [(name, entry["name"]) for name, entry in answers.items()] == [
        ("lora.delta", "lora_delta"),
        ("lora.count", "count"),
    ]
    assert answers["lora.delta"]["source"].endswith("    return alpha / rank * (B @ A)")
    assert "SOLUTION" not in answers["lora.count"]["source"]
    edit(root / "solutions/99_small.md", "alpha / rank * (B @ A)", "(alpha / rank) * (B @ A)")
    assert any(line.startswith(f"{labs.MODEL_ANSWERS}: is not what") for line in labs.check(root))


# --- sources that cannot be used ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("lora.count -->", "lora.cuont -->", 'did you mean "lora.count"'),
        ("lora.count -->", "lora.delta -->", "is in this lab already"),
        ("<!-- exercise: lora.delta -->", "No banner.", "no banner before this answer asks for"),
        ("exercise: lora.delta -->", "exercise: lora.report -->", "this answer asks for code"),
        ("exercise: lora.report -->", "exercise: lora.init -->", "asks for words on lora.report"),
        ("answer: lora.report -->", "answer: lora.delta -->", "asks for words on lora.delta"),
        ("<!-- answer: lora.report -->", "", "lora.report has no answer cell"),
        ('check("lora.count"', 'check("lora.delta"', "follows another answer"),
        ('check("lora.count", count)', "count", "lora.count has no check cell"),
        ('check("lora.delta", lora_delta)', "1", "lora.delta has no check cell before the next"),
        ("### END SOLUTION", "### END", "must come in pairs"),
        ("### BEGIN SOLUTION", "### BEGIN", "must come in pairs"),
        ("def lora_delta(A, B, alpha):", "def lora_delta(A, B, alpha)", "this is not Python"),
    ],
)
def test_a_bad_source_is_one_sentence_with_the_cell(root, old, new, told):
    edit(root / "solutions/99_small.md", old, new)
    with pytest.raises(PeftlabError, match=re.escape(told)) as raised:
        labs.build(root, execute=False)
    assert str(raised.value).startswith("99_small.md") and "\n" not in str(raised.value)
    assert not (root / "labs").exists()


def test_outside_of_the_repository(tmp_path):
    for verb in (labs.build, labs.check):
        with pytest.raises(PeftlabError, match="holds no labs"):
            verb(tmp_path)


# --- the labs of the course ---------------------------------------------------------------------


@pytest.mark.parametrize("name", LESSONS)
def test_a_lab_asks_every_exercise_of_its_lesson_in_order(name):
    student, _ = labs.generate(ROOT / "solutions" / f"{name}.md", ROOT)
    graded = [cell.metadata.nbgrader for cell in student.cells if "nbgrader" in cell.metadata]
    assert [meta["grade_id"] for meta in graded if meta["solution"]] == [
        part.slug for part in LESSONS[name].parts
    ]
    assert sum(meta.get("points", 0) for meta in graded) == LESSONS[name].points


@pytest.mark.parametrize("name", LESSONS)
def test_every_answer_cell_is_right_and_every_stub_is_not_attempted(name):
    notebooks = labs.generate(ROOT / "solutions" / f"{name}.md", ROOT)
    for notebook, status in zip(notebooks, ("not attempted", "correct"), strict=True):
        space = {}
        for cell in notebook.cells:
            imports = "from peftcourse import check" in cell.source
            answer = cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution")
            if imports or answer:
                exec(cell.source, space)
            if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade"):
                exercise, answer = re.fullmatch(r'check\("(.+)", (\w+)\)', cell.source).groups()
                assert assess(find(exercise), space[answer], 0).status == status, exercise


@pytest.mark.parametrize("name", LESSONS)
def test_the_stored_solution_answers_everything_correctly(name):
    solution = read(ROOT / "solutions" / f"{name}.ipynb")
    assert printed(solution).count("correct · ") == len(LESSONS[name].exercises)
    assert json.dumps(solution).count("Traceback") == 0


@pytest.mark.parametrize("name", LESSONS)
def test_a_model_answer_has_its_numbers_from_the_stored_outputs(name):
    """A result was printed; a number below 1 is the difference of two results that were.

    Another version of PyTorch may change the last digit.
    """
    shown = printed(read(ROOT / "solutions" / f"{name}.ipynb"))
    results = {float(n) for line in re.findall(RESULTS[name], shown) for n in NUMBER.findall(line)}
    differences = {abs(one - other) for one in results for other in results}
    for written in LESSONS[name].written:
        for number in map(float, NUMBER.findall(written.model_answer)):
            near = [abs(number - value) for value in (results if number > 1 else differences)]
            assert min(near) < 0.011, f"{written.id}: {number} is in no output of the solution"
