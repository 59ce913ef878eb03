"""A system-call filter: what no agent's program needs and what attacks on kernels begin with.

Everything is allowed but the calls named here, so that ordinary programs run; the walls are the
namespaces, and this is a second one. Refused calls fail with EPERM, so that the agent reads an
error. `clone3` fails with ENOSYS, because its flags lie in memory that a filter cannot read; C
libraries then fall back to `clone`, whose flags are checked.
"""

import errno
import os
import struct

# name: (x86-64, AArch64); None where there is no such call
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "move_pages": (279, 239), "migrate_pages": (256, 238),
    # the file system's shape, and ways around permissions
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "quotactl": (179, 60), "fanotify_init": (300, 262),
    # new namespaces
    "unshare": (272, 97), "setns": (308, 268),
    # memory that no limit of a process counts, and what crosses namespaces
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219),
    # the parts of the kernel that are attacked most
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "vmsplice": (278, 75), "personality": (135, 92), "modify_ldt": (154, None),
    "lookup_dcookie": (212, 18),
    # the machine
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "syslog": (103, 116), "acct": (163, 89),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "sethostname": (170, 161), "setdomainname": (171, 162),
    "vhangup": (153, 58), "iopl": (172, None), "ioperm": (173, None), "uselib": (134, None),
}  # fmt: skip

# (AUDIT_ARCH, column above, then the numbers of clone, clone3, socket, socketpair, ioctl)
_ARCHITECTURES = {
    "x86_64": (0xC000003E, 0, 56, 435, 41, 53, 16),
    "aarch64": (0xC00000B7, 1, 220, 435, 198, 199, 29),
}

_NEW_NAMESPACES = 0x7E020000  # any of CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6: all that a network namespace shuts in
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # type into the terminal of whoever started this

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERROR, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCH, _ARG_0, _ARG_1 = 0, 4, 16, 24  # offsets in struct seccomp_data


def program() -> bytes:
    """The filter for this processor, as `struct sock_filter[]`; empty where none was written."""
    known = _ARCHITECTURES.get(os.uname().machine)
    if known is None:
        return b""
    arch, column, clone, clone3, socket, socketpair, ioctl = known
    code: list[tuple[int, int, int, int]] = []

    def load(offset: int) -> None:
        code.append((_LOAD, 0, 0, offset))

    def when(jump: int, value: int, result: int) -> None:
        code.append((jump, 0, 1, value))
        code.append((_RETURN, 0, 0, result))

    load(_ARCH)
    code.append((_JUMP_EQUAL, 1, 0, arch))
    code.append((_RETURN, 0, 0, _KILL))
    load(_NUMBER)
    refused = _ERROR | errno.EPERM
    if column == 0:
        when(_JUMP_AT_LEAST, 0x40000000, refused)  # the x32 names of the same calls
    for numbers in _REFUSED.values():
        number = numbers[column]
        if number is not None:
            when(_JUMP_EQUAL, number, refused)
    when(_JUMP_EQUAL, clone3, _ERROR | errno.ENOSYS)
    # Each of these blocks is passed over unless the number is its own, and ends in a return.
    code.append((_JUMP_EQUAL, 0, 4, clone))
    load(_ARG_0)
    when(_JUMP_ANY_BIT, _NEW_NAMESPACES, refused)
    code.append((_RETURN, 0, 0, _ALLOW))
    for call in (socket, socketpair):
        code.append((_JUMP_EQUAL, 0, 2 + 2 * len(_FAMILIES), call))
        load(_ARG_0)
        for family in _FAMILIES:
            when(_JUMP_EQUAL, family, _ALLOW)
        code.append((_RETURN, 0, 0, _ERROR | errno.EAFNOSUPPORT))
    code.append((_JUMP_EQUAL, 0, 5, ioctl))
    load(_ARG_1)
    when(_JUMP_EQUAL, _TIOCSTI, refused)
    when(_JUMP_EQUAL, _TIOCLINUX, refused)
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", op, yes, no, value) for op, yes, no, value in code)
