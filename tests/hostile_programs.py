"""Programs that mean harm, and what each backend makes of them. Used by `test_tools_sandbox.py`.

Every network target is a listener of the test's own on 127.0.0.1, [::1] or an abstract name; every
file and process aimed at is the test's own. A program prints BROKE OUT where it got what it wanted.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """A program, and what must come of it where a backend shuts programs in."""

    name: str
    code: str
    """With {host_file}, {host_folder}, {port4}, {port6}, {abstract}, {pid} of the test's own."""
    status: tuple[str, ...] = ("ok", "error")
    """One of these."""
    subprocess: tuple[str, ...] | None = None
    """Of the subprocess backend, where that differs."""
    escapes: bool = False
    """The subprocess backend does not stop it: there it says BROKE OUT."""
    heavy: bool = False
    """On a busy machine its time may be over before anything else is."""
    says: str = ""
    """What the agent is told, somewhere in its output."""


_CONNECT = """
import socket
s = socket.socket(socket.{family})
s.settimeout(0.5)
s.connect({address})
print("BROKE OUT", s.recv(9))
"""

HOSTILE = [
    # ---- too much -----------------------------------------------------------------------------
    Hostile(name="endless loop", code="while True: pass", status=("timeout",)),
    Hostile(name="sleep", code="import time\ntime.sleep(60)", status=("timeout",)),
    Hostile(
        name="signals ignored",
        code="import signal\n"
        "for n in range(1, 65):\n"
        "    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\n"
        "while True: pass",
        status=("timeout",),
    ),
    Hostile(
        name="loop in C",
        code="10 ** 10 ** 9",
        status=("timeout", "memory", "error"),
    ),
    Hostile(
        name="fork bomb",
        code="import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        status=("timeout",),
        subprocess=("processes", "memory", "timeout"),
    ),
    Hostile(
        name="thread bomb", heavy=True,
        code="import threading, time\n"
        "while True: threading.Thread(target=time.sleep, args=(60,)).start()",
        status=("error", "timeout"),
        subprocess=("error", "timeout", "memory"),
    ),
    Hostile(
        name="memory bomb",
        heavy=True,
        code="x = b'x' * 10**10",
        status=("error",),
        says="MemoryError",
    ),
    Hostile(
        name="memory bomb in steps", heavy=True,
        code="x = []\nwhile True: x.append(b'x' * 10**6)",
        status=("error", "memory"),
    ),
    Hostile(
        name="memory bomb of many", heavy=True,
        code="import os, time\n"
        "for _ in range(8): os.fork()\n"
        "x = bytearray(b'x') * (100 * 2**20)\n"
        "time.sleep(60)",
        status=("memory", "error", "timeout"),
        subprocess=("memory", "processes", "error", "timeout"),
    ),
    Hostile(
        name="stack bomb",
        code="import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
        status=("error", "killed", "memory", "timeout"),
    ),
    Hostile(
        name="endless output", heavy=True, code="while True: print('x' * 1000)", status=("output",)
    ),
    Hostile(
        name="endless errors", heavy=True,
        code="import os\nwhile True: os.write(2, b'x' * 1000)",
        status=("output",),
    ),
    Hostile(name="100 MB result", heavy=True, code="print('x' * 10**8)", status=("output",)),
    Hostile(
        name="zombies",
        code="import os\nfor _ in range(8):\n    if os.fork() == 0: os._exit(0)\nprint('here')",
        status=("ok",),
        says="here",
    ),
    Hostile(
        name="child in a session of its own",
        code="import os, time\n"
        "if os.fork() == 0:\n    os.setsid()\n"
        "    if os.fork() == 0:\n        time.sleep(60)\n    os._exit(0)\nprint('here')",
        status=("ok",),
        says="here",
    ),
    Hostile(
        name="descriptors", heavy=True,
        code="import os\nfds = []\nwhile True: fds.append(os.open('/dev/null', 0))",
        status=("error",),
        says="Too many open files",
    ),
    Hostile(
        name="inodes", heavy=True,
        code="import os\n"
        "os.mkdir('many')\n"
        "for i in range(300): open(f'many/{{i}}', 'w').close()\n"
        "print('BROKE OUT')",
        status=("error",),
        subprocess=("ok",),
        escapes=True,
        says="No space left",
    ),
    Hostile(
        name="a large file", heavy=True,
        code="with open('large', 'wb') as f:\n"
        "    for _ in range(100): f.write(b'x' * 2**20)\nprint('BROKE OUT')",
        status=("error", "killed"),
    ),
    Hostile(
        name="memory in files without names",
        code="import os, ctypes\n"
        "fd = os.memfd_create('x')\nprint('BROKE OUT')",
        status=("error",),
        subprocess=("ok",),
        escapes=True,
        says="not permitted",
    ),
    Hostile(
        name="shared memory segments",
        code="import ctypes\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "got = libc.shmget(0, 2**20, 0o1600)\n"
        "print(got)\n"
        "if got >= 0:\n    libc.shmctl(got, 0, None)\n    print('BROKE OUT')",
        status=("ok",),
        escapes=True,
    ),
    # ---- files --------------------------------------------------------------------------------
    Hostile(
        name="reads the host's files",
        code="print('BROKE OUT', open({host_file!r}).read())",
        status=("error",),
        subprocess=("ok",),
        escapes=True,
        says="No such file",
    ),
    Hostile(
        name="writes outside",
        code="import os\n"
        "os.makedirs({host_folder!r}, exist_ok=True)\n"
        "open({host_folder!r} + '/planted', 'w').write('x')\nprint('BROKE OUT')",
        status=("error",),
        subprocess=("ok",),
        escapes=True,
    ),
    Hostile(
        name="through a symbolic link",
        code="import os\nos.symlink({host_file!r}, 'link')\n"
        "print('BROKE OUT', open('link').read())",
        status=("error",),
        subprocess=("ok",),
        escapes=True,
        says="No such file",
    ),
    Hostile(
        name="through another process's root",
        code="import os\n"
        "for p in [n for n in os.listdir('/proc') if n.isdigit()] + ['self']:\n"
        "    try: print('BROKE OUT', open('/proc/%s/root' % p + {host_file!r}).read())\n"
        "    except OSError: pass",
        status=("ok",),
        escapes=True,
    ),
    Hostile(
        name="secrets of the system",
        code="import os\n"
        "for path in ('/etc/shadow', '/proc/1/environ', '/proc/1/mem', '/proc/kcore'):\n"
        "    try: print('BROKE OUT', open(path, 'rb').read(20))\n"
        "    except OSError: pass",
        status=("ok",),
        escapes=True,
    ),
    Hostile(
        name="environment",
        code="import os\n"
        "text = str(dict(os.environ)) + open('/proc/self/environ').read()\n"
        "print('BROKE OUT' if 'hunter2' in text else 'here')",
        status=("ok", "error"),
    ),
    Hostile(
        name="open descriptors",
        code="import os\n"
        "fds = []\n"
        "for fd in range(3, 256):\n"
        "    try: fds.append((fd, os.readlink('/proc/self/fd/%d' % fd)))\n"
        "    except OSError: pass\n"
        "other = [f for f in fds if 'pipe:' not in f[1]]\n"
        "print('BROKE OUT' if other else 'here', fds)",
        status=("ok",),
        says="here",
    ),
    # The next two only where programs are shut in: elsewhere they would do it.
    Hostile(
        name="deletes the interpreter",
        code="import os, sys, shutil\n"
        "for what in (os.remove, lambda p: os.rename(p, p + '.old'), lambda p: open(p, 'ab')):\n"
        "    for path in (os.__file__, '/usr/bin/env'):\n"
        "        try:\n            what(path)\n            print('BROKE OUT')\n"
        "        except OSError: pass",
        status=("ok",),
        subprocess=(),
    ),
    Hostile(
        name="devices",
        code="import os, stat\n"
        "for path in ('/dev/mem', '/dev/kmsg', '/dev/sda', '/dev/vda', '/dev/kvm', '/dev/vsock'):\n"
        "    try:\n        os.open(path, os.O_RDWR)\n        print('BROKE OUT', path)\n"
        "    except OSError: pass\n"
        "try:\n    os.mknod('disk', 0o600 | stat.S_IFBLK, os.makedev(254, 0))\n"
        "    print('BROKE OUT mknod')\n"
        "except OSError: pass",
        status=("ok",),
        subprocess=(),
    ),
    # ---- network ------------------------------------------------------------------------------
    Hostile(
        name="IPv4",
        code=_CONNECT.replace("{family}", "AF_INET").replace(
            "{address}", "('127.0.0.1', {port4})"
        ),
        status=("error",),
        subprocess=("ok",),
        escapes=True,
    ),
    Hostile(
        name="IPv6",
        code=_CONNECT.replace("{family}", "AF_INET6").replace("{address}", "('::1', {port6})"),
        status=("error",),
        subprocess=("ok",),
        escapes=True,
    ),
    Hostile(
        name="abstract socket",
        code=_CONNECT.replace("{family}", "AF_UNIX").replace("{address}", "{abstract!r}"),
        status=("error",),
        subprocess=("ok",),
        escapes=True,
    ),
    Hostile(
        name="a DNS server",
        code="import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.settimeout(0.5)\n"
        "s.sendto(b'who', ('127.0.0.1', {udp}))\n"
        "print('BROKE OUT', s.recv(9))",
        status=("error",),
        subprocess=("ok",),
        escapes=True,
    ),
    Hostile(
        name="other families",
        code="import socket\n"
        "for family in (16, 17, 38, 40):  # netlink, packet, alg, vsock\n"
        "    try: socket.socket(family, socket.SOCK_RAW)\n"
        "    except OSError: continue\n"
        "    print('BROKE OUT', family)",
        status=("ok",),
        escapes=True,
    ),
    Hostile(
        name="raw packets",
        code="import socket\n"
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)\nprint('BROKE OUT')",
        status=("error",),
        subprocess=("error", "ok"),
    ),
    # ---- other processes, the kernel ----------------------------------------------------------
    Hostile(
        name="signals to the host",
        code="import os\nos.kill({pid}, 0)\nprint('BROKE OUT')",
        status=("error",),
        subprocess=("ok",),
        escapes=True,
        says="No such process",
    ),
    Hostile(
        name="signals to its keeper",
        code="import os, signal\n"
        "for pid in (os.getppid(), 1):\n"
        "    for n in (signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL):\n"
        "        try: os.kill(pid, n)\n"
        "        except OSError: pass\n"
        "print('here')",
        status=("ok",),
        subprocess=(),
        says="here",
    ),
    Hostile(
        name="sees other processes",
        code="import os\n"
        "pids = [n for n in os.listdir('/proc') if n.isdigit()]\n"
        "print('BROKE OUT' if str({pid}) in pids else 'here')",
        status=("ok",),
        escapes=True,
    ),
    Hostile(
        name="ptrace",
        code="import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "for pid in (os.getppid(), {pid}):\n"
        "    if libc.ptrace(0x4206, pid, None, None) == 0:  # seize\n"
        "        print('BROKE OUT')",
        status=("ok",),
        escapes=True,
    ),
    Hostile(
        name="memory of its keeper",
        code="import os\nopen('/proc/%d/mem' % os.getppid(), 'rb')\nprint('BROKE OUT')",
        status=("error",),
        subprocess=("ok", "error"),
        escapes=False,
    ),
    Hostile(
        name="ctypes: root again",
        code="import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "print([libc.setuid(0), libc.setresuid(0, 0, 0), libc.setgid(0)])\n"
        "print('BROKE OUT' if os.geteuid() == 0 else 'here')",
        status=("ok",),
        subprocess=(),
        says="here",
    ),
    Hostile(
        name="ctypes: new namespaces, mounts",
        code="import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "for flags in (0x10000000, 0x20000, 0x40000000):\n"
        "    if libc.unshare(flags) == 0: print('BROKE OUT unshare')\n"
        "if libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0: print('BROKE OUT mount')\n"
        "if libc.umount2(b'/proc', 2) == 0: print('BROKE OUT umount')\n"
        "if libc.chroot(b'/tmp') == 0: print('BROKE OUT chroot')\n"
        "if libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0) >= 0: print('BROKE OUT clone')\n"
        "if libc.syscall(435, 0, 0) >= 0: print('BROKE OUT clone3')",
        status=("ok",),
        subprocess=(),
    ),
    Hostile(
        name="ctypes: kernel's corners",
        code="import ctypes\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "calls = dict(bpf=321, perf=298, io_uring=425, userfaultfd=323, keyctl=250, kexec=246)\n"
        "for name, number in calls.items():\n"
        "    libc.syscall(number, 0, 0, 0, 0, 0)\n"
        "    if ctypes.get_errno() not in (1, 38): print('BROKE OUT', name, ctypes.get_errno())",
        status=("ok",),
        subprocess=(),
    ),
    Hostile(
        name="ctypes: crash",
        code="import ctypes\nctypes.string_at(0)",
        status=("killed",),
    ),
    # ---- what is hard to report ---------------------------------------------------------------
    Hostile(
        name="invalid UTF-8",
        code="import os\nos.write(1, b'\\xff\\xfe\\x00 here \\xed\\xa0\\x80')",
        status=("ok",),
        says=" here ",
    ),
    Hostile(
        name="lone surrogates",
        code="print('\\ud800 here')\n'\\udfff'",
        status=("ok",),
        says=" here",
    ),
    Hostile(
        name="a result without a text",
        code="class X:\n    def __repr__(self): raise SystemError('no')\nX()",
        status=("error",),
        says="SystemError",
    ),
    Hostile(
        name="an exception without a text",
        code="class X(Exception):\n    def __str__(self): raise X\nraise X",
        status=("error",),
        says="X",
    ),
    Hostile(name="no builtins", code="import builtins\nbuiltins.__dict__.clear()",
            status=("ok", "error", "exited")),
    Hostile(
        name="closed streams",
        code="import os, sys\nsys.stdout.close()\nos.close(1)\nos.close(2)",
        status=("ok", "error"),
    ),
    Hostile(
        name="closes all descriptors",
        code="import os\nos.closerange(0, 256)",
        status=("ok", "error", "exited"),
    ),
    Hostile(
        name="replaced streams",
        code="import sys\nsys.stdout = sys.stderr = None\nprint('x')\nraise ValueError",
        status=("error",),
    ),
    Hostile(name="ends itself", code="import os\nos._exit(7)", status=("exited",)),
    Hostile(
        name="kills itself", code="import os\nos.kill(os.getpid(), 9)", status=("killed",)
    ),
    Hostile(
        name="kills its group",
        code="import os\nos.killpg(0, 9)",
        status=("killed",),
    ),
    Hostile(
        name="kills all it can",
        code="import os, signal\nos.kill(-1, signal.SIGKILL)",
        status=("killed", "error", "ok"),
        subprocess=(),
    ),
    Hostile(
        name="forged answers",
        code="import os\n"
        "for fd in range(3, 64):\n"
        "    try: os.write(fd, b'0' * 100 + b'\\xff' * 100)\n"
        "    except OSError: pass\n"
        "while True: pass",
        status=("ok", "error", "timeout", "killed"),
    ),
    Hostile(name="NUL in the code", code="print(1)\x00", status=("error",), says="null"),
    Hostile(name="no code", code="", status=("ok",)),
    Hostile(
        name="a tower of brackets",
        code="(" * 5000 + ")" * 5000,
        status=("error",),
    ),
    Hostile(name="not for print", code="print('\ud800')", status=("error",)),
]  # fmt: skip
