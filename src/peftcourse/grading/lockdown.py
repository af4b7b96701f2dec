"""Take away from this process and all its children, for good, what an answer has no need of.

Standard library only, through ctypes: it runs in the sandbox, between ``fork`` and the first line
of a stranger's code. Namespaces and the system-call filter exist on Linux; the limits everywhere.

Sources: the manual pages unshare(2), user_namespaces(7), capabilities(7), seccomp(2), setrlimit(2);
system-call numbers: Linux, ``arch/x86/entry/syscalls/syscall_64.tbl`` and
``include/uapi/asm-generic/unistd.h``.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import struct
import sys

LINUX = sys.platform == "linux"

# <linux/sched.h>
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_NEWCGROUP = 0x02000000
CLONE_PARENT, CLONE_THREAD = 0x00008000, 0x00010000
# <linux/mount.h>
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18
# <linux/prctl.h>
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 4, 22, 24, 38
SECCOMP_MODE_FILTER = 2
LAST_CAPABILITY = 63

MEGABYTE = 1 << 20
FILES, SPARE_FILES = 64, 16  # that a cell may open; and that what runs the cells needs besides

_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None


def _call(name: str, *arguments: object) -> None:
    """A function of the C library that returns 0, or an OSError that names it."""
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def undumpable(on: bool = True) -> None:
    """Keep other processes of the same user from reading this one's memory under /proc."""
    if LINUX:
        _call("prctl", PR_SET_DUMPABLE, int(not on), 0, 0, 0)


# --- namespaces -----------------------------------------------------------------------------------


def enter_namespaces() -> None:
    """Leave the user, PID, mount, network, IPC and UTS namespaces; the next child is PID 1.

    Raises:
        OSError: this machine does not allow it.
    """
    user, group = os.getuid(), os.getgid()
    # The files below belong to root as long as the process cannot be dumped.
    undumpable(False)
    _call(
        "unshare",
        CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS,
    )
    for file, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{file}", "w") as opened:
            opened.write(text)


def private_folders(hidden: list[str]) -> None:
    """In a mount namespace of its own: an empty /tmp, and nothing in /proc and ``hidden``.

    A /proc of its own would do as well, but inside bubblewrap only some machines allow it.
    """
    _call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    _call("mount", b"tmpfs", b"/tmp", b"tmpfs", flags, b"size=16m,nr_inodes=1000,mode=1777")
    for folder in ("/proc", *hidden):
        path = folder.encode()
        _call("mount", b"tmpfs", path, b"tmpfs", flags | MS_RDONLY, b"size=4k,nr_inodes=2")


def drop_capabilities() -> None:
    """Give up every capability, in every set, and any way to gain one."""
    for capability in range(LAST_CAPABILITY + 1):
        _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # unknown ones fail, and do not matter
    header = struct.pack("Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    _call("capset", header, bytes(24))


# --- limits ---------------------------------------------------------------------------------------


def limit(*, seconds: int, memory: int, file_size: int) -> None:
    """Limits that cannot be raised again.

    Args:
        seconds: of CPU time.
        memory: bytes of address space beyond what is mapped now.
        file_size: bytes of any one file.
    """
    limits = {
        "RLIMIT_CPU": seconds,
        "RLIMIT_FSIZE": file_size,
        "RLIMIT_NOFILE": FILES + SPARE_FILES,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
    }
    if LINUX:
        with open("/proc/self/statm") as opened:
            mapped = int(opened.read().split()[0]) * resource.getpagesize()
        limits["RLIMIT_AS"] = mapped + memory
    for name, value in limits.items():
        kind = getattr(resource, name, None)
        if kind is not None:
            with contextlib.suppress(ValueError):  # a lower hard limit is in force already
                resource.setrlimit(kind, (value, value))


def limit_files(*, spare: bool) -> None:
    """Allow this process a cell's number of open files, or the spare ones as well."""
    most = FILES + SPARE_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (most if spare else FILES, most))


# --- the system-call filter -----------------------------------------------------------------------

# Not allowed, with the numbers on x86-64 and on 64-bit Arm (None: does not exist there). No
# programs, no signals to others, no sockets, no look into other processes, no new namespaces or
# mounts, no memory that the limits above do not count; and nothing that another sandbox on this
# machine could notice: locks, leases and watches of files that both see, what is in the cache of
# files, and how much the machine has to do.
DENIED = {
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "personality": (135, 92),
    "flock": (73, 32),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
    "fanotify_init": (300, 262),
    "mincore": (27, 232),
    "cachestat": (451, 451),
    "preadv2": (327, 286),
    "fadvise64": (221, 223),
    "readahead": (187, 213),
    "sysinfo": (99, 179),
    "futex_waitv": (449, 449),
    "futex_wake": (454, 454),
    "futex_wait": (455, 455),
    "futex_requeue": (456, 456),
}
# Of calls that do many things, those that are not allowed, by their second argument. A lock or a
# lease on a file (fcntl), the size of a pipe, of which a user has so much; and waking who waits for
# a futex that processes share (flag 128, FUTEX_PRIVATE, is not set), as two that map one file do.
DENIED_COMMANDS = {
    "fcntl": ((72, 25), (6, 7, 37, 38, 1024, 1026, 1031)),
    "futex": ((202, 98), (1, 3, 4, 5, 10, 11, 12)),
}
# A process may be made, since each cell of a notebook runs in a fork of the state before it; one in
# new namespaces, or one that is not its maker's child, may not.
DENIED_CLONE_FLAGS = (
    CLONE_NEWNS
    | CLONE_NEWUTS
    | CLONE_NEWIPC
    | CLONE_NEWUSER
    | CLONE_NEWPID
    | CLONE_NEWNET
    | CLONE_NEWCGROUP
    | CLONE_PARENT
)
# Not allowed to an answer that is observed, which has no children any more, either.
DENIED_TO_ANSWERS = {"fork": (57, None), "kill": (62, 129)}
# machine: (position in the pairs above, AUDIT_ARCH constant, clone, clone3)
_MACHINES = {"x86_64": (0, 0xC000003E, 56, 435), "aarch64": (1, 0xC00000B7, 220, 435)}

# <linux/bpf_common.h> and <linux/seccomp.h>
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
# Offsets in struct seccomp_data; of the arguments, the lower halves.
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
_X32 = 0x40000000  # system calls of the x32 ABI have this bit


def filter_program(machine: str, *, strict: bool = False) -> bytes:
    """The filter as BPF instructions (8 bytes each).

    Args:
        machine: such as ``x86_64``.
        strict: for an answer that is observed.
    """
    column, architecture, clone, clone3 = _MACHINES[machine]
    denied = [*DENIED.values(), *(DENIED_TO_ANSWERS.values() if strict else ())]
    numbers = [pair[column] for pair in denied if pair[column] is not None]
    commands = [(pair[column], values) for pair, values in DENIED_COMMANDS.values()]
    # A step is (code, value, where to if true, where to if false), or a name for the next one; None
    # is the next step.
    steps: list[tuple[int, int, str | None, str | None] | str] = [
        (_LOAD, _ARCHITECTURE, None, None),
        (_EQUAL, architecture, None, "kill"),
        (_LOAD, _NUMBER, None, None),
        (_AT_LEAST, _X32, "refuse", None),
        # clone3 hides its flags behind a pointer; without it, the C library falls back to clone.
        (_EQUAL, clone3, "absent", None),
        *((_EQUAL, number, "refuse", None) for number in numbers),
        *((_EQUAL, number, f"command {number}", None) for number, _ in commands),
        (_EQUAL, clone, None, "allow"),
        (_LOAD, _FIRST_ARGUMENT, None, None),
        (_ANY_BIT, DENIED_CLONE_FLAGS, "refuse", None if strict else "allow"),
        (_ANY_BIT, CLONE_THREAD, "allow", "refuse"),
    ]
    for number, values in commands:
        steps += [
            f"command {number}",
            (_LOAD, _SECOND_ARGUMENT, None, None),
            *((_EQUAL, value, "refuse", None) for value in values),
            (_AT_LEAST, 0, "allow", "allow"),
        ]
    ends = {"allow": _ALLOW, "refuse": _ERROR | _EPERM, "absent": _ERROR | _ENOSYS, "kill": _KILL}
    steps += [part for name, end in ends.items() for part in (name, (_RETURN, end, None, None))]
    places: dict[str, int] = {}
    for step in steps:
        if isinstance(step, str):
            places[step] = sum(not isinstance(one, str) for one in steps[: steps.index(step)])
    program = b""
    for here, (code, value, *targets) in enumerate(s for s in steps if not isinstance(s, str)):
        jumps = (0 if to is None else places[to] - here - 1 for to in targets)
        program += struct.pack("HBBI", code, *jumps, value)
    return program


def filter_system_calls(*, strict: bool = False) -> None:
    """Refuse system calls from now on, in all threads and processes to come.

    Args:
        strict: for an answer that is observed: no new processes, no signals.

    Raises:
        OSError: the kernel does not filter, or this is a machine without a table here.
    """
    machine = platform.machine()
    if machine not in _MACHINES:
        raise OSError(f"no table of system calls for {machine}")
    program = ctypes.create_string_buffer(filter_program(machine, strict=strict))
    # struct sock_fprog: the number of instructions and a pointer to them.
    described = struct.pack("HxxxxxxP", (len(program) - 1) // 8, ctypes.addressof(program))
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, described, 0, 0)
