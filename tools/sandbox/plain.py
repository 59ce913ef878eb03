"""For trusted code only: a process of the same user, with limits and nothing around it.

It ends what it started, limits time, memory, output and processes, and gives the program no
descriptor and no environment variable of the trainer's. It does not keep a program from reading
and writing the user's files, from the network, or from signalling the user's processes.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from ludus.tools.sandbox.local import INSIDE, WHERE, LocalSandbox, program


class SubprocessSandbox(LocalSandbox):
    """Limits what programs use by mistake; keeps nobody in."""

    NAME = "subprocess"
    SHUTS_IN = False

    def _arguments(self) -> list[str]:
        link = Path(self._folder) / "inside" / WHERE
        link.parent.mkdir(parents=True)
        link.symlink_to(INSIDE)
        os.mkdir(self._home())
        return program(str(Path(self._folder) / "inside"), "none")

    def _command(self, python: Sequence[str]) -> list[str]:
        return list(python)

    def _home(self) -> str:
        return os.path.join(self._folder, "home")
