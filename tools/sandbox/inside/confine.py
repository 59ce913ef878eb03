"""Shutting a process in: namespaces, mounts, limits, privileges. Linux only, through ctypes."""

import ctypes
import os
import resource
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ludus.tools.sandbox.inside import seccomp

_LIBC = ctypes.CDLL(None, use_errno=True)

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = (
    0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
_SET_PDEATHSIG, _SET_DUMPABLE, _CAPBSET_DROP, _SET_SECUREBITS = 1, 4, 24, 28
_SET_SECCOMP, _SET_CHILD_SUBREAPER, _SET_NO_NEW_PRIVS, _CAP_AMBIENT = 22, 36, 38, 47
_INSIDE_UID = 1000
_LAST_CAP = 63
_PROC_FLAGS = _NOSUID | _NODEV | _NOEXEC
MB = 2**20


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _prctl(option: int, *args: int) -> None:
    padded = [ctypes.c_ulong(arg) for arg in (*args, 0, 0, 0, 0)[:4]]
    _check(_LIBC.prctl(option, *padded), f"prctl {option}")


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    encoded = [text.encode() or None for text in (source, target, kind)]
    _check(_LIBC.mount(*encoded, ctypes.c_ulong(flags), data.encode() or None), f"mount {target}")


def hide_from_children() -> None:
    """Nobody with the same user may trace this process or look into it."""
    _prctl(_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Grandchildren whose parents die become this process's children."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """SIGKILL when the parent ends."""
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)


def new_namespaces() -> None:
    """Namespaces of its own for this process; for processes, from the next child on.

    As root they are made with root's rights, which `drop_rights` then gives up; for others a user
    namespace comes first.
    """
    uid, gid = os.geteuid(), os.getegid()
    flags = _NEWNS | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET
    _check(_LIBC.unshare(flags | (_NEWUSER if uid else 0)), "unshare")
    if uid:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{_INSIDE_UID} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{_INSIDE_UID} {gid} 1")


def private_files(limits: Mapping[str, Any]) -> None:
    """An empty /tmp in memory, and /proc with this namespace's processes only."""
    _mount("", "/", "", _REC | _PRIVATE)
    size = f"size={limits['disk_mb']}m,nr_inodes={limits['files']},mode=1777"
    _mount("tmpfs", "/tmp", "tmpfs", _NOSUID | _NODEV, size)
    _mount("/tmp", "/dev/shm", "", _BIND)
    _mount("proc", "/proc", "proc", _PROC_FLAGS)


def set_limits(limits: Mapping[str, Any]) -> None:
    """Limits of this process and of those it starts."""
    memory = limits["memory_mb"] * MB + _own_bytes()
    for what, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, limits["cpu_seconds"]),
        (resource.RLIMIT_FSIZE, limits["disk_mb"] * MB),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_SIGPENDING, 256),
    ):
        hard = resource.getrlimit(what)[1]
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(what, (limit, limit))


def limit_processes(limits: Mapping[str, Any]) -> None:
    """At most so many processes and threads of this user in its namespace."""
    most = limits["processes"] + 2  # the two that look after them
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def _own_bytes() -> int:
    """Address space of the interpreter itself, which agents are not charged for."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 64 * MB


def become(uid: int) -> None:
    """Be that user, without any group, for good. Only for root."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def drop_rights(uid: int) -> None:
    """Give up every capability, and the way to any, for good.

    Args:
        uid: The user to become, where this is root.
    """
    for cap in range(_LAST_CAP + 1):
        if _LIBC.prctl(_CAPBSET_DROP, cap, 0, 0, 0) != 0:
            break  # beyond the last that this kernel knows
    _prctl(_CAP_AMBIENT, 4)  # clear all
    _prctl(_SET_SECUREBITS, 0b11)  # a user 0 has no rights for being 0, locked
    if os.geteuid() == 0:
        become(uid)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _check(_LIBC.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    no_new_rights()


def no_new_rights() -> None:
    """No program started from here has more rights than this process."""
    _prctl(_SET_NO_NEW_PRIVS, 1)


def filter_calls(program: bytes) -> None:
    """Install a system-call filter, for good."""
    if not program:
        return

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    code = ctypes.create_string_buffer(program, len(program))
    told = Program(len(program) // 8, ctypes.cast(code, ctypes.c_void_p))
    _check(
        _LIBC.prctl(
            _SET_SECCOMP, ctypes.c_ulong(2), ctypes.byref(told), ctypes.c_ulong(0),
            ctypes.c_ulong(0),
        ),
        "seccomp",
    )  # fmt: skip


FILTER = seccomp.program()
