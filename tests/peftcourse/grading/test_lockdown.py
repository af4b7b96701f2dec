"""The system-call filter, interpreted for every call; hostile answers try the rest."""

import platform
import struct

import pytest

from peftcourse.grading import lockdown

MACHINES = {"x86_64": (0, 0xC000003E, 56, 435), "aarch64": (1, 0xC00000B7, 220, 435)}
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026


def decide(program, number, architecture, argument=0):
    """Run the filter as the kernel would (seccomp(2), struct seccomp_data)."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, argument, 0, 0, 0, 0, 0)
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
def test_only_the_listed_calls_are_refused(machine):
    column, architecture, clone, clone3 = MACHINES[machine]
    program = lockdown.filter_program(machine)
    denied = {pair[column] for pair in lockdown.DENIED.values()} - {None}
    for number in range(600):
        found = decide(program, number, architecture)
        if number == clone3:
            assert found == ENOSYS
        elif number == clone or number in denied:
            assert found == EPERM, number
        else:
            assert found == ALLOW, number


@pytest.mark.parametrize("machine", MACHINES)
def test_a_thread_may_be_made_and_a_process_may_not(machine):
    _, architecture, clone, _ = MACHINES[machine]
    program = lockdown.filter_program(machine)
    assert decide(program, clone, architecture, 0x3D0F00) == ALLOW  # pthread_create's flags
    assert decide(program, clone, architecture, 17) == EPERM  # fork: SIGCHLD alone


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
    for name, (number, _) in lockdown.DENIED.items():
        if f"__NR_{name}" in known:
            assert int(known[f"__NR_{name}"]) == number, name
