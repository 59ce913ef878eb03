"""Docker containers: one for each session, thrown away after it.

A container has no network, a read-only root, no capability and no new privileges, a user that is
not root, limits on memory, processors and processes, and /tmp in memory. The session's supervisor
is its process 1. Containers that are ready wait in a pool, because one takes half a second to
start.

The image holds Debian's Python and nothing else. It is built from the `Dockerfile` beside this
file; where no registry can be reached, `image_from` imports a root filesystem that `debootstrap`
has made. What is inside the sandbox is mounted, not copied, so the image never ages.
"""

import os
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ludus.tools.sandbox.base import Sandbox
from ludus.tools.sandbox.execution import SandboxError
from ludus.tools.sandbox.inside import frames
from ludus.tools.sandbox.local import INSIDE, WHERE
from ludus.tools.sandbox.session import Channel

IMAGE = "ludus-sandbox:1"
LABEL = "ludus.sandbox"
_ROOT = "/opt/ludus-inside"
_USER = 65534
_MEMORY_OVER_MB = 64  # the supervisor and the interpreter themselves
_ANSWER_S = 60.0
_PYTHON = (
    f"import sys; sys.path.insert(0, {_ROOT!r}); "
    "from ludus.tools.sandbox.inside.server import serve_standard_streams as main; main()"
)


class DockerSandbox(Sandbox):
    """Keeps hostile code in, where a Docker daemon runs.

    Args:
        image: Has `python3`, 3.11 or later, and whatever else programs may import.
        runtime: Another runtime that the daemon knows, e.g. gVisor's "runsc".
        **options: As `Sandbox`.
    """

    NAME = "docker"
    SHUTS_IN = True

    def __init__(self, *, image: str = IMAGE, runtime: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        if self.setup.paths:
            raise SandboxError("docker: programs import from its image, not from other folders")
        self._image, self._runtime = image, runtime
        self._one = threading.Lock()
        self._owner = uuid.uuid4().hex
        self._client: Any = None
        self._reopen()
        self._refill()

    def _reopen(self) -> None:
        self._client = connect()
        self._image_at_hand()

    def _image_at_hand(self) -> None:
        import docker.errors

        try:
            self._client.images.get(self._image)
            return
        except docker.errors.ImageNotFound:
            if self._image != IMAGE:
                raise SandboxError(f"docker: no image {self._image}") from None
        try:
            self._client.images.build(path=str(Path(__file__).parent), tag=IMAGE, rm=True)
        except (docker.errors.BuildError, docker.errors.APIError) as error:
            line = str(error).strip().splitlines()[-1]
            raise SandboxError(
                f"docker: the image {IMAGE} cannot be built ({line}); without a registry, make it "
                "from this machine's packages: ludus.tools.sandbox.docker.image_from"
            ) from error

    def _refill(self) -> None:
        """In the background, where a container may take its half second."""
        threading.Thread(target=super()._refill, daemon=True).start()

    def _connect(self) -> Channel:
        with self._one:
            return self._create()

    def _create(self) -> Channel:
        import docker.errors

        if self._client is None:
            raise SandboxError("the docker sandbox is closed")
        limits = self.limits
        memory = f"{limits.memory_mb + limits.disk_mb + _MEMORY_OVER_MB}m"
        files = f"size={limits.disk_mb}m,nr_inodes={limits.files},mode=1777,nosuid,nodev"
        try:
            container = self._client.containers.create(
                self._image,
                ["/usr/bin/python3", "-S", "-s", "-P", "-B", "-c", _PYTHON],
                network_mode="none",
                read_only=True,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                pids_limit=limits.processes + 2,
                mem_limit=memory,
                memswap_limit=memory,
                nano_cpus=10**9,
                user=f"{_USER}:{_USER}",
                tmpfs={"/tmp": f"{files},exec"},
                shm_size="1m",
                ipc_mode="private",
                volumes={str(INSIDE): {"bind": f"{_ROOT}/{WHERE}", "mode": "ro"}},
                environment={"PYTHONHASHSEED": "0", "LANG": "C.UTF-8"},
                working_dir="/tmp",
                hostname="sandbox",
                labels={LABEL: self._owner},
                log_config={"Type": "none"},
                runtime=self._runtime,
                stdin_open=True,
                tty=False,
            )
            try:
                stream = container.attach_socket(
                    params={"stdin": 1, "stdout": 1, "stderr": 0, "stream": 1}
                )
                container.start()
            except BaseException:
                _remove(container)
                raise
        except (docker.errors.DockerException, OSError) as error:
            raise SandboxError(f"docker: {error}") from error
        return _ContainerChannel(container, stream)

    def close(self) -> None:
        """End every session and remove every container, also those that were lost."""
        super().close()
        if self._client is None or self._pid != os.getpid():
            return
        with self._one:
            client, self._client = self._client, None
        with suppress(Exception):
            for container in client.containers.list(
                all=True, filters={"label": f"{LABEL}={self._owner}"}
            ):
                _remove(container)
        client.close()


class _ContainerChannel(Channel):
    """The standard streams of a container, out of which Docker makes one stream of parts with
    headers of eight bytes."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._container, self._stream = container, stream
        self._socket: socket.socket = getattr(stream, "_sock", stream)
        self._data = bytearray()
        self._closed = False

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message."""
        self._socket.settimeout(_ANSWER_S)
        self._socket.sendall(frames.pack(dict(message)))

    def receive(self, timeout: float | None) -> dict[str, Any] | None:
        """The next message; None if there will be none, or not in time."""
        deadline = time.monotonic() + (_ANSWER_S if timeout is None else timeout)
        try:
            while (message := self._whole()) is None:
                head = self._exactly(8, deadline)
                part = self._exactly(int.from_bytes(head[4:], "big"), deadline)
                if head[0] == 1:
                    self._data += part
                if len(self._data) > frames.MAX_BYTES:
                    return None
        except (OSError, EOFError):
            return None
        return frames.unpack(message)

    def _whole(self) -> bytes | None:
        """A message, if all of it has come."""
        size = int.from_bytes(self._data[:4], "big")
        if len(self._data) < 4 or len(self._data) < 4 + size:
            return None
        message = bytes(self._data[4 : 4 + size])
        del self._data[: 4 + size]
        return message

    def _exactly(self, size: int, deadline: float) -> bytes:
        parts = b""
        while len(parts) < size:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            part = self._socket.recv(size - len(parts))
            if not part:
                raise EOFError
            parts += part
        return parts

    def close(self) -> None:
        """Remove the container, in the background: it takes a while."""
        if self._closed:
            return
        self._closed = True
        for one in (self._stream, self._socket):
            with suppress(OSError):
                one.close()
        with suppress(RuntimeError):  # the interpreter ends: the sandbox's own `close` removes it
            threading.Thread(target=_remove, args=(self._container,), daemon=True).start()


def _remove(container: Any) -> None:
    with suppress(Exception):  # it has been removed already, or the daemon has gone
        container.remove(force=True, v=True)


def connect() -> Any:
    """A client of the Docker daemon.

    Raises:
        SandboxError: In one line, if there is none.
    """
    others = "use --backend bubblewrap, or subprocess for trusted code"
    try:
        import docker
        import docker.errors
    except ModuleNotFoundError as error:
        raise SandboxError(f"docker: pip install 'ludus[docker]', or {others}") from error
    try:
        client = docker.from_env(timeout=int(_ANSWER_S))
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        raise SandboxError(f"docker: no daemon answers; {others}") from error
    return client


def image_from(rootfs: str, image: str = IMAGE) -> None:
    """Make the image from a root filesystem, without a registry:

        debootstrap --variant=minbase --include=python3-minimal,libpython3-stdlib bookworm rootfs

    Raises:
        SandboxError: If no daemon answers, or the folder has no Python.
    """
    if not os.path.lexists(os.path.join(rootfs, "usr/bin/python3")):
        raise SandboxError(f"docker: {rootfs} has no /usr/bin/python3")
    name, _, tag = image.partition(":")
    client = connect()
    command = ["tar", "-C", rootfs, "--exclude=./var/cache", "--exclude=./dev", "-cf", "-", "."]
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE) as packed:
            client.api.import_image_from_stream(packed.stdout, repository=name, tag=tag or None)
    finally:
        client.close()
