"""The system-call filter, interpreted for every call; hostile answers try the rest."""

import platform
import struct

import pytest

from peftcourse.grading import lockdown

MACHINES = {"x86_64": (0, 0xC000003E, 56, 435), "aarch64": (1, 0xC00000B7, 220, 435)}
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026


def decide(program, number, architecture, argument=0, second=0):
    """Run the filter as the kernel would (seccomp(2), struct seccomp_data)."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, argument, second, 0, 0, 0, 0)
    instructions = list(struct.iter_unpack("HBBI", program))
    place, loaded = 0, 0
    while True:
        code, true, false, value = instructions[place]
        place += 1
        if code == 0x20:
            (loaded,) = struct.unpack_from("<I", data, value)
        elif code == 0x06:
            return value
        else:
            holds = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}
            place += true if holds[code] else false


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("strict", [False, True])
def test_only_the_listed_calls_are_refused(machine, strict):
    column, architecture, clone, clone3 = MACHINES[machine]
    program = lockdown.filter_program(machine, strict=strict)
    more = lockdown.DENIED_TO_ANSWERS.values() if strict else ()
    denied = {pair[column] for pair in (*lockdown.DENIED.values(), *more)} - {None}
    for number in range(600):
        found = decide(program, number, architecture)
        if number == clone3:
            assert found == ENOSYS
        elif number in denied or (number == clone and strict):
            assert found == EPERM, number
        else:
            assert found == ALLOW, number


@pytest.mark.parametrize("machine", MACHINES)
def test_cells_run_in_forks_and_answers_have_threads_alone(machine):
    _, architecture, clone, _ = MACHINES[machine]
    cells, answers = (lockdown.filter_program(machine, strict=strict) for strict in (False, True))
    thread, fork, namespace = 0x3D0F00, 0x1200011, 0x10000000 | 17
    for program, allowed in ((cells, {thread, fork}), (answers, {thread})):
        for flags in (thread, fork, namespace, lockdown.CLONE_NEWPID | lockdown.CLONE_THREAD):
            expected = ALLOW if flags in allowed else EPERM
            assert decide(program, clone, architecture, flags) == expected, flags


@pytest.mark.parametrize("machine", MACHINES)
def test_nothing_of_a_shared_file_can_be_locked_or_waited_for(machine):
    """fcntl(2): 1 is F_GETFD, 5 and 6 get and set a lock; futex(2): 128 is FUTEX_PRIVATE_FLAG."""
    column, architecture, _, _ = MACHINES[machine]
    program = lockdown.filter_program(machine)
    fcntl, futex = (lockdown.DENIED_COMMANDS[name][0][column] for name in ("fcntl", "futex"))
    for number, refused, allowed in (
        (fcntl, {6, 7, 37, 38, 1024, 1026, 1031}, {0, 1, 2, 3, 4, 5, 1030}),
        (futex, {1, 3, 4, 5, 10}, {0, 9, 128, 129, 133, 138}),
    ):
        for command in refused | allowed:
            expected = EPERM if command in refused else ALLOW
            assert decide(program, number, architecture, second=command) == expected, command


@pytest.mark.parametrize("machine", MACHINES)
def test_another_architecture_or_abi_does_not_get_around_it(machine):
    _, architecture, _, _ = MACHINES[machine]
    program = lockdown.filter_program(machine)
    assert decide(program, 1, 0x40000003) == KILL  # 32-bit x86: other numbers, other calls
    assert decide(program, 0x40000000 | 59, architecture) == EPERM  # x32's execve


@pytest.mark.skipif(platform.system() != "Linux", reason="Linux numbers its system calls so")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the header read here is x86-64's")
def test_the_numbers_are_those_of_the_system_header():
    """Where the kernel's header is installed, compare; a wrong number would refuse another call."""
    from pathlib import Path

    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.is_file():
        pytest.skip("linux-libc-dev, which holds the header, is not installed")
    known = dict(
        line.split()[1:3]
        for line in header.read_text().splitlines()
        if line.startswith("#define __NR_")
    )
    commands = {name: numbers for name, (numbers, _) in lockdown.DENIED_COMMANDS.items()}
    tables = lockdown.DENIED | lockdown.DENIED_TO_ANSWERS | commands
    for name, (number, _) in tables.items():
        if f"__NR_{name}" in known:
            assert int(known[f"__NR_{name}"]) == number, name
