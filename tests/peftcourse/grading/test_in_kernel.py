"""The comparison with IPython goes on, whatever a notebook does."""

from grading.cases.notebooks import LAB, ROOT, solved

from peftcourse.exercises.registry import LESSONS
from peftcourse.grading.in_kernel import correct_in_kernel
from peftcourse.grading.outline import LabOutline
from peftcourse.grading.submissions import collect


def test_a_cell_that_asks_for_input_does_not_get_the_next_notebook(tmp_path, bubblewrap):
    lesson, outline = LESSONS[LAB], LabOutline.read(ROOT, LAB)
    asking = solved().extra("import sys\n\nname = sys.stdin.read()")
    for name, notebook in {"asks": asking, "follows": solved()}.items():
        (tmp_path / f"{name}.ipynb").write_bytes(notebook.bytes())
    submissions = collect(tmp_path, lesson, outline)
    found = list(correct_in_kernel(submissions, outline, experiments=False))
    assert found == [{exercise.id for exercise in lesson.exercises}] * 2
