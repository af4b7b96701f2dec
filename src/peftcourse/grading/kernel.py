"""Run a notebook's cells as a kernel does, and then observe the answers that they leave.

Runs in the sandbox. The cells go from top to bottom through IPython's own input transformer into
one namespace. They run in a fork of the state before them. One that raises half way leaves what a
kernel would have; one that dies or never ends is lost, and the state before it goes on without it.
In the end each exercise is observed in a fork of the final state.

Cells are forked so that a stranger's mistake costs only itself; nothing here defends against an
attack. What watches over the whole submission has never run a line of it (``worker.py``).
"""

from __future__ import annotations
import __future__

import ast
import contextlib
import linecache
import os
import select
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import lockdown
import observe as watch
import stand_ins
import torch
import wire
from IPython.core.inputtransformer2 import TransformerManager

MAX_TEXT = 1000  # characters of any message that goes out
MAX_RESULT = 16 << 20  # bytes of one exercise's observations
# Seconds of cells that may have to run again, because one after them has died: about what a fork
# takes, so that forking for each cell would cost more than it saves.
AGAIN = 0.1
ENOUGH = b"\xff\xff\xff\xff"  # what a child says when it takes its parent's place
OUT_OF_TIME = -14  # as if SIGALRM had ended it
FINISHED = 77  # exit status of the process that has reached the end of the notebook

_FUTURE = 0  # all flags of ``from __future__ import …``, which hold for all cells that follow
for _name in __future__.all_feature_names:
    _FUTURE |= getattr(__future__, _name).compiler_flag


def run(request: bytes, result: int, *, filtered: bool) -> None:
    """Work a submission off; the process that returns from here is the last one of a chain.

    A request is a message with ``cells``, the trusted ``setup`` and the names in ``absent``, and
    one more message for each exercise. What is found goes to the pipe as frames: ``MARK``, a length
    (8 bytes, big-endian) and a message, ``{"cell", …}``, ``{"begun", …}`` or ``{"exercise", …}``.
    """
    if not request:  # a trial of the protections
        if os.fork() == 0:
            if filtered:
                lockdown.filter_system_calls(strict=True)
            os._exit(0)
        return
    asked, *exercises = _messages(request)
    asked = wire.decode(asked)
    notebook = Notebook(asked, _hidden(), lambda found: _send(result, found), filtered)
    notebook.run()
    for message in exercises:
        notebook.probe(message)


def _hidden() -> dict[str, types.ModuleType]:
    """Our own modules, taken from where a cell could import them and change them by accident."""
    here = os.path.dirname(__file__)
    ours = {
        name: module
        for name, module in sys.modules.items()
        if os.path.dirname(getattr(module, "__file__", None) or "") == here
    }
    for name in ours:
        del sys.modules[name]
    return ours


def _messages(request: bytes) -> Iterator[bytes]:
    while request:
        end = 8 + int.from_bytes(request[:8], "big")
        yield request[8:end]
        request = request[end:]


def _send(result: int, found: dict[str, Any]) -> None:
    message = wire.encode(found)
    view = memoryview(wire.MARK + len(message).to_bytes(8, "big") + message)
    while view:
        view = view[os.write(result, view) :]


def _follow(reader: int, child: int, seconds: float) -> tuple[int | None, bool, bool]:
    """What a child says of its cells: the last one that it ran, and whether it goes on from there;
    and whether one took so long that the child was ended.

    Something that the child started may hold the pipe open when the child itself is gone.
    """
    said, gone, late = b"", False, False
    deadline = time.monotonic() + seconds
    while not said.endswith(ENOUGH):
        if select.select([reader], [], [], 0 if gone else 0.05)[0]:
            part = os.read(reader, 4096)
            if not part:
                break
            said += part
            deadline = time.monotonic() + seconds
        elif gone:
            break
        elif time.monotonic() > deadline:
            late = True
            _kill(child)
            break
        else:
            gone = bool(os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT))
    os.close(reader)
    numbers = said.removesuffix(ENOUGH)
    last = int.from_bytes(numbers[-4:], "big") if numbers else None
    return last, said.endswith(ENOUGH), late


def _closes(reader: int, seconds: float) -> bool:
    """Whether the other end of a pipe closes within this time, as it does when a child ends."""
    deadline = time.monotonic() + seconds
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        if not os.read(reader, 1 << 16):
            return True
        if time.monotonic() > deadline:
            break
    return False


def _kill(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


class Notebook:
    """The state of a kernel.

    Args:
        asked: ``cells``, ``setup``, ``absent``, ``seconds`` for one cell or exercise.
        modules: those with probes, by name.
        say: takes what is found.
        filtered: whether system calls are filtered here.
    """

    def __init__(
        self,
        asked: dict[str, Any],
        modules: Mapping[str, types.ModuleType],
        say: Callable[[dict[str, Any]], None],
        filtered: bool = False,
    ) -> None:
        self._modules = modules
        self._filtered = filtered
        self.cells = asked["cells"]
        self._seconds = asked["seconds"]
        self._say = say
        self._transform = TransformerManager().transform_cell
        self._flags = 0
        # By exercise: why its cell came to nothing, the names that it defined, what was checked.
        self._failed: dict[str, dict[str, Any]] = {}
        self._defined: dict[str, list[str]] = {}
        self._checked: dict[str, Any] = {}
        self._stubs: dict[str, Any] = {}  # by name, what stands in the lab as it is handed out
        # As in a notebook, the code is the main module; dataclasses look theirs up by its name.
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        self.space = vars(main)
        shell = stand_ins.Shell(self._run_inner, self.space)
        self.space.update(stand_ins.install(shell, self._checked))
        self.space.update({name: stand_ins.Absent(name) for name in asked["absent"]})
        self._provide(asked["setup"])

    # --- cells ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run all cells; the process that returns from here is another than the one that came."""
        done, lost = 0, set()
        while done < len(self.cells):
            lockdown.limit_files(spare=True)
            reader, writer = os.pipe()
            if (child := os.fork()) == 0:
                os.close(reader)
                lockdown.limit_files(spare=False)
                done = self._advance(done, lost, writer)
                os.close(writer)
                continue
            os.close(writer)
            last, went_on, late = _follow(reader, child, self._seconds)
            if went_on:
                os._exit(0)  # the child is the state from here on
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            at = done if last is None else last + 1
            lost.add(at)
            lost_as = {"status": OUT_OF_TIME if late else status or 1}
            self._note_failure(self.cells[at], lost_as)
            self._say({"cell": self.cells[at]["number"], **lost_as})

    def _advance(self, start: int, lost: set[int], progress: int) -> int:
        """Run some cells, and say so after each; returns the number of the next one."""
        began = time.monotonic()
        for number in range(start, len(self.cells)):
            if number not in lost:
                self._step(self.cells[number])
            if time.monotonic() - began > AGAIN or number + 1 == len(self.cells):
                os.write(progress, ENOUGH)
                return number + 1
            os.write(progress, number.to_bytes(4, "big"))
        return start

    def _step(self, cell: dict[str, Any]) -> None:
        """Run one cell, or what is known of a cell of the lab's own."""
        if cell["kind"] != "lab":
            self._run_cell(cell)
        elif cell.get("target") not in self.space:
            self._provide(cell["source"])
            if cell.get("target"):
                self._stubs[cell["target"]] = self.space.get(cell["target"])

    def _provide(self, source: str) -> None:
        """Run the lab's own definitions, each of which may need something that is absent."""
        for statement in ast.parse(source).body:
            try:
                exec(compile(ast.Module([statement], []), "<lab>", "exec"), self.space)
            except Exception:
                self._bind(statement)

    def _run_cell(self, cell: dict[str, Any]) -> None:
        file = f"<cell {cell['number']}>"
        try:
            text = self._transform(cell["source"])
            _remember(file, text)
            tree = ast.parse(text, file)
        except Exception as problem:
            self._raised(cell, file, problem)
            return
        if not tree.body and cell["source"].strip():
            self._note_failure(cell, {"error": _error(NotImplementedError(), file)})
        names = [s.name for s in tree.body if isinstance(s, (ast.FunctionDef, ast.ClassDef))]
        if cell["exercise"]:
            self._defined[cell["exercise"]] = names
        for statement in tree.body:
            try:
                self._execute(statement, file)
            except (stand_ins.NotRun, ModuleNotFoundError) as problem:
                # It would have run in the learner's kernel, so what follows runs here.
                self._bind(statement)
                self._raised(cell, file, problem, statement)
            except (Exception, SystemExit, KeyboardInterrupt) as problem:
                self._raised(cell, file, problem)
                return

    def _execute(self, statement: ast.stmt, file: str) -> None:
        module = ast.Module([statement], [])
        code = compile(module, file, "exec", flags=self._flags, dont_inherit=True)
        self._flags |= code.co_flags & _FUTURE
        exec(code, self.space)

    def _run_inner(self, source: str) -> Any:
        """Run what stands behind a magic, and return the value of its last line."""
        text = self._transform(source)
        _remember("<magic>", text)
        tree = ast.parse(text, "<magic>")
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        for statement in tree.body:
            self._execute(statement, "<magic>")
        if last is None:
            return None
        code = compile(ast.Expression(last.value), "<magic>", "eval", flags=self._flags)
        return eval(code, self.space)

    def _bind(self, statement: ast.stmt) -> None:
        """Give the names that a statement would have given a value one that is not there."""
        for node in ast.walk(statement):
            if isinstance(node, ast.alias):
                name = node.asname or node.name.partition(".")[0]
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                name = node.id
            else:
                continue
            self.space.setdefault(name, stand_ins.Absent(name))

    def _raised(
        self, cell: dict[str, Any], file: str, problem: BaseException, at: ast.stmt | None = None
    ) -> None:
        """Note that a cell went no further, or that it left one statement out."""
        error = _error(problem, file)
        if at is None:
            self._note_failure(cell, {"error": error})
        if at is None or cell["kind"] != "edited":
            line = at.lineno if at else error["line"]
            said = f"{error['type']}: {error['message']}".removesuffix(": ")
            self._say({"cell": cell["number"], "line": line, "said": said, "whole": at is None})

    def _note_failure(self, cell: dict[str, Any], why: dict[str, Any]) -> None:
        if cell["exercise"]:
            self._failed[cell["exercise"]] = why

    # --- answers ----------------------------------------------------------------------------------

    def probe(self, message: bytes) -> None:
        """Observe one exercise in a child of its own, which ends afterwards."""
        asked = wire.decode(message)
        exercise, target = asked["exercise"], asked["target"]
        if target in self._stubs and self.space.get(target) is self._stubs[target]:
            self._say({"exercise": exercise, "untouched": True})
            return
        self._say({"begun": exercise})
        lockdown.limit_files(spare=True)  # of what the cells have left open
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                if self._filtered:
                    lockdown.filter_system_calls(strict=True)
                self._say({"exercise": exercise, **self._observe(asked)})
                status = 0
            finally:
                os._exit(status)
        os.close(writer)
        late = not _closes(reader, self._seconds)
        if late:
            _kill(child)
        os.close(reader)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status:
            self._say({"exercise": exercise, "status": OUT_OF_TIME if late else status})

    def _observe(self, asked: dict[str, Any]) -> dict[str, Any]:
        """``observations``, one a case; without an answer ``error``, ``status`` or nothing."""
        found = self._answer(asked["exercise"], asked["target"])
        if found is None:
            return self._failed.get(asked["exercise"], {})
        answer, note = found
        torch.set_default_dtype(torch.float32)  # what is right was computed with it
        module, function = asked["probe"]
        probe = getattr(self._modules[module], function)
        observations: list[dict[str, Any]] = []
        for case in asked["cases"]:
            observation = watch.observe(probe, answer, case)
            error = observation["error"]
            outcome = {name: _bounded(value) for name, value in observation["outcome"].items()}
            observations.append(
                {**observation, "outcome": outcome, "error": error and _short(error)}
            )
            if error:  # the first error is the one that is reported
                break
        missing = len(asked["cases"]) - len(observations)
        return {"observations": observations + observations[-1:] * missing, "note": note}

    def _answer(self, exercise: str, target: str) -> tuple[Any, str] | None:
        """What the notebook calls ``target``, and a note if it calls it otherwise."""
        if target in self.space:
            return self.space[target], ""
        if exercise in self._checked:
            return self._checked[exercise], ""
        names = [name for name in self._defined.get(exercise, []) if name in self.space]
        if len(names) == 1:
            return self.space[names[0]], f"`{target}` is called `{names[0]}` here"
        return None


# --- what may go out ------------------------------------------------------------------------------


def _remember(file: str, text: str) -> None:
    """Let errors and ``inspect`` find the lines of a cell."""
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)


def _error(problem: BaseException, file: str) -> dict[str, Any]:
    if isinstance(problem, SyntaxError) and problem.filename == file:
        line = problem.lineno if type(problem.lineno) is int else None
        code = linecache.getline(file, line or 0).strip()
        kind = type(problem).__name__
        return _short({"type": kind, "message": problem.msg, "line": line, "code": code})
    return _short(watch.describe_error(problem))


def _short(error: dict[str, Any]) -> dict[str, Any]:
    return {key: _clip(value) if isinstance(value, str) else value for key, value in error.items()}


def _clip(text: str) -> str:
    text = str(text).encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + " …"


def _bounded(value: Any) -> Any:
    """A whole number that no message can hold as one that is infinite: both are wrong values."""
    if type(value) is int and value not in wire.INT64:
        return float("inf") if value > 0 else float("-inf")
    return value
