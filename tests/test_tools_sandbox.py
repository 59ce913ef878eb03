"""Sandboxes: the same behaviour on every backend, and hostile programs."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ludus.tools.sandbox import BACKENDS, Limits, Sandbox, SandboxError, open_sandbox

sys.path.insert(0, str(Path(__file__).parent))
from hostile_programs import HOSTILE, Hostile

LIMITS = Limits(seconds=1.0, memory_mb=256, processes=12, disk_mb=16, files=200, output_chars=2000)


@pytest.fixture(scope="module", params=BACKENDS)
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    os.environ["LUDUS_TEST_PASSWORD"] = "hunter2"
    try:
        opened = open_sandbox(request.param, limits=LIMITS)
    except SandboxError as error:
        pytest.skip(str(error))
    with opened:
        yield opened
    del os.environ["LUDUS_TEST_PASSWORD"]


@pytest.fixture
def shut(sandbox: Sandbox) -> Sandbox:
    """Only backends that keep hostile code in."""
    if not sandbox.SHUTS_IN:
        pytest.skip("for trusted code only")
    return sandbox


# ---- behaviour ----------------------------------------------------------------------------------


def test_output_comes_back(sandbox: Sandbox) -> None:
    done = sandbox.run("import sys\nprint(2**100)\nprint('oh', file=sys.stderr)")
    assert (done.status, done.stdout, done.stderr) == ("ok", f"{2**100}\n", "oh\n")
    assert done.ok
    assert 0 <= done.seconds < 1


def test_the_value_of_the_last_line_is_shown(sandbox: Sandbox) -> None:
    assert sandbox.run("x = 6\nx * 7").stdout == "42\n"
    assert sandbox.run("x = 6\nNone").stdout == ""
    assert sandbox.run("'café 中文'").stdout == "'café 中文'\n"


def test_an_exception_is_told_with_the_agents_own_lines(sandbox: Sandbox) -> None:
    done = sandbox.run("def f():\n    return 1 / 0\nf()")
    assert done.status == "error"
    assert "line 2, in f\n    return 1 / 0" in done.stderr
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert "worker" not in done.stderr
    wrong = sandbox.run("x = (")
    assert wrong.status == "error"
    assert "SyntaxError" in wrong.stderr
    assert "worker" not in wrong.stderr


def test_the_end_of_a_program(sandbox: Sandbox) -> None:
    assert sandbox.run("exit()").ok
    assert sandbox.run("import sys\nsys.exit(0)").ok
    assert sandbox.run("import sys\nsys.exit(3)").status == "error"
    assert sandbox.run("raise SystemExit('no')").stderr == "no\n"
    waits = "import threading, time\ndef f():\n    time.sleep(0.1)\n    print('done')\n"
    assert sandbox.run(waits + "threading.Thread(target=f).start()").stdout == "done\n"


def test_calls_know_nothing_of_each_other(sandbox: Sandbox) -> None:
    assert sandbox.run("x = 1\nimport math\nmath.pi = 3\nopen('left', 'w').write('x')").ok
    assert "NameError" in sandbox.run("x").stderr
    assert sandbox.run("import math\nmath.pi").stdout.startswith("3.14")
    if sandbox.SHUTS_IN:
        assert sandbox.run("import os\nos.listdir('.')").stdout == "[]\n"


def test_chance_repeats(sandbox: Sandbox) -> None:
    code = "import random\nprint(random.random(), hash('x'), list({'a', 'b', 'c'}))"
    assert sandbox.run(code).stdout == sandbox.run(code).stdout


def test_a_session_keeps_its_variables(sandbox: Sandbox) -> None:
    with sandbox.session() as session:
        assert session.run("x = 6\ndef f(): return x * 7").ok
        assert session.run("f()").stdout == "42\n"
        assert session.run("1/0").status == "error"
        assert session.run("x += 1\nf()").stdout == "49\n"
        assert session.run("import sys\nsys.exit(2)").status == "error"
        assert session.run("print(x)").stdout == "7\n"
    assert session.run("x").status == "closed"
    with sandbox.session() as other:
        assert "NameError" in other.run("x").stderr


def test_a_session_ends_with_its_limits(sandbox: Sandbox) -> None:
    with sandbox.session() as session:
        assert session.run("while True: pass", seconds=0.2).status == "timeout"
        assert not session.alive
        assert session.run("1").status == "closed"
    with sandbox.session() as session:
        assert session.run("import os\nos._exit(0)").status == "exited"
        assert session.run("1").status == "closed"


def test_output_is_cut_and_the_program_goes_on(sandbox: Sandbox) -> None:
    with sandbox.session() as session:
        done = session.run("print('x' * 100_000)")
        assert done.ok
        assert done.stdout == "x" * 2000 + "\n[cut off after 2000 characters]"
        assert session.run("1").stdout == "1\n"


def test_many_at_once(sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: sandbox.run(f"print({n} ** 2)", seconds=20), range(16)))
    assert [done.stdout for done in results] == [f"{n**2}\n" for n in range(16)]


def test_a_closed_sandbox_says_so(sandbox: Sandbox) -> None:
    with open_sandbox(sandbox.NAME, warm=0) as other:
        pass
    other.close()
    with pytest.raises(SandboxError, match="closed"):
        other.run("1")


def test_nothing_is_left_of_a_closed_sandbox(sandbox: Sandbox) -> None:
    if sandbox.NAME == "docker":
        pytest.skip("see test_containers_are_removed")
    with open_sandbox(sandbox.NAME) as other:
        other.run("import os\nif os.fork() == 0:\n    import time\n    time.sleep(60)")
        session = other.session()
        session.run("1")
        family = _family(other._server.pid)  # type: ignore[attr-defined]
        assert len(family) >= 3
    _until(lambda: not _alive(family), "processes are left")


def test_a_killed_client_leaves_nothing(sandbox: Sandbox) -> None:
    if sandbox.NAME == "docker":
        pytest.skip("the daemon does not know its clients; see the docs")
    code = (
        "from ludus.tools.sandbox import open_sandbox\n"
        f"s = open_sandbox({sandbox.NAME!r})\nt = s.session()\nt.run('1')\n"
        "print('up', flush=True)\ns.run('while True: pass', seconds=60)"
    )
    client = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert client.stdout is not None
    with client.stdout:
        assert client.stdout.readline() == b"up\n"
        family = _family(client.pid) - {client.pid}
        assert len(family) >= 3
        client.kill()
        client.wait()
    _until(lambda: not _alive(family), "processes are left")


def test_the_server_is_started_again(sandbox: Sandbox) -> None:
    if sandbox.NAME == "docker":
        pytest.skip("has no server")
    with open_sandbox(sandbox.NAME, warm=0) as other:
        other._server.kill()  # type: ignore[attr-defined]
        other._server.wait()  # type: ignore[attr-defined]
        assert other.run("1").stdout == "1\n"


def test_folders_to_import_from(sandbox: Sandbox, tmp_path: Path) -> None:
    if sandbox.NAME == "docker":
        pytest.skip("packages are a matter of its image")
    for path in (tmp_path, *tmp_path.parents):
        if os.stat(path).st_mode & 0o005 == 0:
            path.chmod(0o755)
    (tmp_path / "brought.py").write_text("answer = 42")
    with open_sandbox(sandbox.NAME, paths=[str(tmp_path)]) as other:
        assert other.run("import brought\nbrought.answer").stdout == "42\n"


@pytest.mark.parametrize("limits", [{"seconds": 0}, {"memory_mb": -1}])
def test_limits_are_positive(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Limits(**limits)


def test_containers_are_removed(sandbox: Sandbox) -> None:
    if sandbox.NAME != "docker":
        pytest.skip("has no containers")
    from ludus.tools.sandbox.docker import LABEL, connect

    with open_sandbox("docker") as other:
        owner = other._owner  # type: ignore[attr-defined]
        other.run("1")
        other.session().run("1")
    client = connect()
    labels = {"label": f"{LABEL}={owner}"}
    _until(lambda: not client.containers.list(all=True, filters=labels), "left", 10)
    client.close()


def test_without_a_daemon_docker_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    with pytest.raises(SandboxError, match=r"^docker: .*bubblewrap, or subprocess.*$"):
        open_sandbox("docker")


def test_without_bubblewrap_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SandboxError, match="apt-get install bubblewrap"):
        open_sandbox("bubblewrap")


def test_unknown_backends() -> None:
    with pytest.raises(ValueError, match="bubblewrap, docker, subprocess"):
        open_sandbox("chroot")


# ---- hostile programs ---------------------------------------------------------------------------


class Targets:
    """What hostile programs aim at: all of it this test's own."""

    def __init__(self, folder: Path) -> None:
        self.host_file = str(folder / "secret.txt")
        self.host_folder = str(folder / "written")
        Path(self.host_file).write_text("the host's secret")
        self.pid = os.getpid()
        self.abstract = f"\0ludus-test-{os.getpid()}"
        self.reached: list[str] = []
        self._sockets = [
            self._listen(socket.AF_INET, ("127.0.0.1", 0)),
            self._listen(socket.AF_UNIX, self.abstract),
        ]
        self.port4 = self._sockets[0].getsockname()[1]
        self.port6 = 0
        with contextlib.suppress(OSError):
            self._sockets.append(self._listen(socket.AF_INET6, ("::1", 0)))
            self.port6 = self._sockets[-1].getsockname()[1]
        names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        names.bind(("127.0.0.1", 0))
        self.udp = names.getsockname()[1]
        self._sockets.append(names)
        threading.Thread(target=self._answer, args=(names,), daemon=True).start()

    def _listen(self, family: int, address: object) -> socket.socket:
        listener = socket.socket(family)
        listener.bind(address)  # type: ignore[arg-type]
        listener.listen()
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = listener.accept()
                self.reached.append("stream")
                line.sendall(b"reached")
                line.close()

    def _answer(self, names: socket.socket) -> None:
        with contextlib.suppress(OSError, TypeError):  # closed: nobody asked
            while True:
                _, asker = names.recvfrom(9)
                self.reached.append("datagram")
                names.sendto(b"reached", asker)

    def close(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def fill(self, code: str) -> str:
        return code.format(**{name: value for name, value in vars(self).items() if name[0] != "_"})


@pytest.fixture(scope="module")
def targets() -> Iterator[Targets]:
    # Not under /tmp, of which every session has one of its own.
    with tempfile.TemporaryDirectory(prefix="ludus-test-", dir="/var/tmp") as folder:
        made = Targets(Path(folder))
        yield made
        made.close()


@pytest.mark.parametrize("program", HOSTILE, ids=lambda program: program.name)
def test_hostile_programs(sandbox: Sandbox, targets: Targets, program: Hostile) -> None:
    expected = program.status
    if not sandbox.SHUTS_IN and program.subprocess is not None:
        if not program.subprocess:
            pytest.skip("the subprocess backend would let it")
        expected = program.subprocess
    if program.name == "IPv6" and not targets.port6:
        pytest.skip("no IPv6 here")
    code = targets.fill(program.code) if "{" in program.code else program.code
    targets.reached.clear()
    start = time.monotonic()
    done = sandbox.run(code)
    took = time.monotonic() - start
    said = done.stdout + done.stderr
    late = program.heavy and done.status == "timeout"
    assert late or done.status in expected, said[-500:]
    assert took < LIMITS.seconds + 1
    if sandbox.SHUTS_IN:
        assert "BROKE OUT" not in done.stdout
        assert late or program.says in said
        assert not targets.reached
        assert not os.path.exists(targets.host_folder)
    elif program.escapes and not late:
        assert "BROKE OUT" in done.stdout, "say in the docs that this is stopped now"
    assert len(done.stdout) <= LIMITS.output_chars + 100
    # The host and the next call are untouched.
    assert sandbox.run("print(6 * 7)").stdout == "42\n"
    assert Path(targets.host_file).read_text() == "the host's secret"
    if os.path.exists(targets.host_folder):
        os.remove(os.path.join(targets.host_folder, "planted"))
        os.rmdir(targets.host_folder)


@pytest.mark.parametrize(
    "program",
    [one for one in HOSTILE if one.name in ("endless loop", "forged answers", "ends itself",
                                            "closes all descriptors", "no builtins")],
    ids=lambda program: program.name,
)  # fmt: skip
def test_hostile_programs_in_sessions(shut: Sandbox, program: Hostile) -> None:
    with shut.session() as session:
        session.run("x = 1")
        start = time.monotonic()
        session.run(program.code)
        session.run("print(x)")
        assert time.monotonic() - start < 2 * LIMITS.seconds + 1


def test_sessions_cannot_see_each_other(shut: Sandbox) -> None:
    abstract = "\\0ludus-between-sessions"
    with shut.session() as one, shut.session() as two:
        assert one.run(
            "import socket, os\nopen('/tmp/mine', 'w').write('x')\n"
            f"s = socket.socket(socket.AF_UNIX)\ns.bind('{abstract}')\ns.listen()"
        ).ok
        assert two.run("import os\nos.path.exists('/tmp/mine')").stdout == "False\n"
        assert not two.run(f"import socket\nsocket.socket(1).connect('{abstract}')").ok
        mine = one.run("import os\nprint(sorted(n for n in os.listdir('/proc') if n.isdigit()))")
        assert len(mine.stdout.split(",")) <= 3
        assert two.run("import os\nos.kill(-1, 9)").status in ("ok", "killed", "error")
        assert one.run("print('alive')").stdout == "alive\n"


def test_background_processes_end_with_the_call(sandbox: Sandbox) -> None:
    if sandbox.NAME == "docker":
        pytest.skip("see test_containers_are_removed")
    server = sandbox._server.pid  # type: ignore[attr-defined]
    with sandbox.session() as session:
        code = "import os, time\nfor _ in range(5):\n    if os.fork() == 0: time.sleep(60)"
        assert session.run(code).ok
        assert len(_family(server)) >= 7
    family = _family(server)
    _until(lambda: len(_alive(family)) <= 7, "processes are left")


# ---- helpers ------------------------------------------------------------------------------------


def _family(pid: int) -> set[int]:
    """A process and its descendants."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            parents[int(name)] = int(
                Path(f"/proc/{name}/stat").read_text().split(") ")[-1].split()[1]
            )
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def _alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if os.path.exists(f"/proc/{pid}")}


def _until(true: object, words: str, seconds: float = 3.0) -> None:
    assert callable(true)
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, words
        time.sleep(0.02)
