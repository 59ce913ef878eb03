"""The sandbox for code that is not trusted: bubblewrap around a server, namespaces around each
session.

Two walls. Bubblewrap gives the server a file system with nothing but the system's libraries and
the interpreter, read-only, and no network. Inside, every session has process, mount, network, IPC
and host-name namespaces of its own, an empty /tmp in memory, a user that nobody else is, no
capability and a system-call filter. Sessions see neither each other nor the server.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ludus.tools.sandbox.execution import SandboxError
from ludus.tools.sandbox.local import INSIDE, WHERE, LocalSandbox, program

_ROOT = "/opt/ludus-inside"
_SYSTEM = ("/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32")
_LINKS = ("/bin", "/lib", "/lib32", "/lib64", "/libx32")
_ROOTS_RIGHTS = ("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
"""What the server keeps of root's rights, to make namespaces; sessions give up all."""


class BubblewrapSandbox(LocalSandbox):
    """Keeps hostile code in, on Linux with `bwrap` and, for users other than root, user
    namespaces."""

    NAME = "bubblewrap"
    SHUTS_IN = True

    def _arguments(self) -> list[str]:
        return program(_ROOT, "namespaces")

    def _command(self, python: Sequence[str]) -> list[str]:
        bwrap = shutil.which("bwrap")
        if bwrap is None:
            raise SandboxError("bubblewrap is not installed: apt-get install bubblewrap")
        command = [bwrap, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
        command += ["--unshare-cgroup-try"]
        if os.geteuid() == 0:
            for right in _ROOTS_RIGHTS:
                command += ["--cap-add", right]
        else:
            command += ["--unshare-user", "--cap-add", "ALL"]
        for path in ("/usr", "/etc", *_above(f"{_ROOT}/{WHERE}")):
            command += ["--perms", "0755", "--dir", path]  # by default only root may enter
        for path in _SYSTEM:
            command += ["--ro-bind-try", path, path]
        for path in _LINKS:
            if os.path.islink(path):
                command += ["--symlink", os.readlink(path), path]
            elif os.path.isdir(path):
                command += ["--ro-bind", path, path]
        command += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
        prefix = os.path.realpath(sys.base_prefix)
        shown = dict(zip(self._paths(), self.setup.paths, strict=True))
        if prefix != "/usr" and not Path(prefix).is_relative_to("/usr/lib"):
            shown[prefix] = prefix
        for path, source in shown.items():
            if Path(path).is_relative_to("/tmp"):
                raise SandboxError(f"bubblewrap: an interpreter under /tmp cannot be used: {path}")
            for parent in _above(path):
                command += ["--perms", "0755", "--dir", parent]
            command += ["--ro-bind", os.path.realpath(source), path]
        command += ["--ro-bind", str(INSIDE), f"{_ROOT}/{WHERE}"]
        command += ["--proc", "/proc", "--dev", "/dev", "--dir", "/tmp"]
        command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]
        return [*command, "--", *python]

    def _paths(self) -> list[str]:
        return [f"/opt/ludus-paths/{i}" for i in range(len(self.setup.paths))]


def _above(path: str) -> list[str]:
    return [str(parent) for parent in reversed(Path(path).parents)][1:]
