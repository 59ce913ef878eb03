"""For trusted code only: a process of the same user, with limits and nothing around it.

It ends what it started, limits time, memory, output and processes, and gives the program no
descriptor and no environment variable of the trainer's. It does not keep a program from reading
and writing the user's files, from the network, or from signalling the user's processes.
"""

import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

from ludus.tools.sandbox.local import INSIDE, WHERE, LocalSandbox, program


class SubprocessSandbox(LocalSandbox):
    """Limits what programs use by mistake; keeps nobody in."""

    NAME = "subprocess"
    SHUTS_IN = False

    _folder = ""

    def _arguments(self) -> list[str]:
        self._folder = tempfile.mkdtemp(prefix="ludus-sandbox-")
        self._remove = weakref.finalize(self, _remove, self._folder, os.getpid())
        link = Path(self._folder) / "inside" / WHERE
        link.parent.mkdir(parents=True)
        link.symlink_to(INSIDE)
        os.mkdir(self._home())
        return program(str(Path(self._folder) / "inside"), "none")

    def _command(self, python: Sequence[str]) -> list[str]:
        return list(python)

    def _home(self) -> str:
        return os.path.join(self._folder, "home")

    def _stop(self) -> None:
        super()._stop()
        if self._folder:
            self._remove()


def _remove(folder: str, owner: int) -> None:
    if owner == os.getpid():  # a fork leaves it to the process that made it
        shutil.rmtree(folder, ignore_errors=True)
