"""Take away from this process, for good, what an answer has no need of.

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
CLONE_THREAD = 0x00010000
# <linux/mount.h>
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18
# <linux/prctl.h>
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 4, 22, 24, 38
SECCOMP_MODE_FILTER = 2
LAST_CAPABILITY = 63

MEGABYTE = 1 << 20

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
        "RLIMIT_NOFILE": 64,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
    }
    if LINUX:
        with open("/proc/self/statm") as opened:
            mapped = int(opened.read().split()[0]) * resource.getpagesize()
        limits["RLIMIT_AS"] = mapped + memory
    else:  # Linux would count threads here as well; it has the filter below
        limits["RLIMIT_NPROC"] = 0
    for name, value in limits.items():
        kind = getattr(resource, name, None)
        if kind is not None:
            with contextlib.suppress(ValueError):  # a lower hard limit is in force already
                resource.setrlimit(kind, (value, value))


# --- the system-call filter -----------------------------------------------------------------------

# Not allowed, with the numbers on x86-64 and on 64-bit Arm (None: does not exist there). No
# programs, no signals to others, no sockets, no look into other processes, no new namespaces or
# mounts, and no memory that the limits above do not count.
DENIED = {
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "kill": (62, 129),
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
}
# machine: (position in the pairs above, AUDIT_ARCH constant, clone, clone3)
_MACHINES = {"x86_64": (0, 0xC000003E, 56, 435), "aarch64": (1, 0xC00000B7, 220, 435)}

# <linux/bpf_common.h> and <linux/seccomp.h>
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_X32 = 0x40000000  # system calls of the x32 ABI have this bit


def filter_program(machine: str) -> bytes:
    """The filter as BPF instructions (8 bytes each) for a machine such as ``x86_64``."""
    column, architecture, clone, clone3 = _MACHINES[machine]
    numbers = [pair[column] for pair in DENIED.values() if pair[column] is not None]
    # A step is (code, value, where to if true, where to if false); None is the next one.
    steps: list[tuple[int, int, str | None, str | None]] = [
        (_LOAD, _ARCHITECTURE, None, None),
        (_EQUAL, architecture, None, "kill"),
        (_LOAD, _NUMBER, None, None),
        (_AT_LEAST, _X32, "refuse", None),
        # clone3 hides its flags behind a pointer; without it, the C library falls back to clone.
        (_EQUAL, clone3, "absent", None),
        *((_EQUAL, number, "refuse", None) for number in numbers),
        (_EQUAL, clone, None, "allow"),
        # A thread may be made, a process may not.
        (_LOAD, _FIRST_ARGUMENT, None, None),
        (_ANY_BIT, CLONE_THREAD, "allow", "refuse"),
    ]
    ends = {"allow": _ALLOW, "refuse": _ERROR | _EPERM, "absent": _ERROR | _ENOSYS, "kill": _KILL}
    places = {name: len(steps) + i for i, name in enumerate(ends)}
    program = b""
    for here, (code, value, true, false) in enumerate(steps):
        jumps = (0 if to is None else places[to] - here - 1 for to in (true, false))
        program += struct.pack("HBBI", code, *jumps, value)
    return program + b"".join(struct.pack("HBBI", _RETURN, 0, 0, end) for end in ends.values())


def filter_system_calls() -> None:
    """Refuse the system calls of ``DENIED`` from now on, in all threads to come.

    Raises:
        OSError: the kernel does not filter, or this is a machine without a table here.
    """
    machine = platform.machine()
    if machine not in _MACHINES:
        raise OSError(f"no table of system calls for {machine}")
    program = ctypes.create_string_buffer(filter_program(machine))
    # struct sock_fprog: the number of instructions and a pointer to them.
    described = struct.pack("HxxxxxxP", (len(program) - 1) // 8, ctypes.addressof(program))
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, described, 0, 0)
