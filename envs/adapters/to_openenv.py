"""Our environments behind OpenEnv's wire format: reset, step and state, over WebSocket and HTTP.

    serve(lambda: ludus.make("ludus/KuhnPoker-v1", opponents="nash"), port=8000)   # ludus serve

Every WebSocket connection (`/ws`, which OpenEnv's clients use) is a session with an environment.
OpenEnv's own server makes a new environment for every HTTP request, so that its `/step` can only
fail; here `/reset` opens a session, and `/step` and `/state` name it by its `episode_id`. An
environment of several seats without opponents is served as it is: the observation says which seat
is to act, and the reward is that of the seat that acted.

Written for OpenEnv 0.3. Needs the extra `serve`.
"""

import contextlib
import json
import logging
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ludus.envs.adapters.openenv_session import (
    ACTION,
    OBSERVATION,
    STATE,
    Make,
    Reply,
    Session,
    Sessions,
    WireError,
)
from ludus.envs.registry import MissingExtra

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect
except ModuleNotFoundError as error:
    raise MissingExtra(
        f"serving needs {error.name}: pip install 'ludus[serve]'", name=error.name
    ) from None

MAX_BYTES = 2**20  # of a request
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_log = logging.getLogger(__name__)


def server(
    make: Make,
    *,
    name: str,
    sessions: int = 64,
    idle_s: float = 600.0,
    hosts: tuple[str, ...] = LOOPBACK,
) -> Starlette:
    """The server as an ASGI app.

    Args:
        make: Gives an environment; called for every session.
        name: Of the environment, for `/metadata`.
        sessions: How many there may be at a time; more are refused.
        idle_s: A session over HTTP that was not used for so long gives way to a new one. Those of
            connections end with them.
        hosts: Names the server may be called by; () for any. Keeps out web pages that have made
            their name point here.

    Raises:
        ValueError: If sessions < 1.
    """
    return _Server(make, name, Sessions(make, most=sessions, idle_s=idle_s), hosts).app


class _Server:
    def __init__(self, make: Make, name: str, all: Sessions, hosts: tuple[str, ...]) -> None:
        self.name, self.all, self.hosts = name, all, hosts
        self.app = Starlette(
            routes=[
                Route("/reset", self.reset, methods=["POST"]),
                Route("/step", self.step, methods=["POST"]),
                Route("/state", self.state),
                Route("/health", self.health),
                Route("/metadata", self.metadata),
                Route("/schema", self.schema),
                WebSocketRoute("/ws", self.connection),
            ],
            exception_handlers={HTTPException: _http_error, WireError: _wire_error},
            lifespan=self.lifespan,
        )

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        for session in [*self.all.named.values(), *self.all.connected]:
            self.all.drop(session)

    # ---- HTTP -------------------------------------------------------------------------------

    async def reset(self, request: Request) -> Response:
        data = await self.body(request)
        name = data.get("episode_id") or uuid.uuid4().hex
        if not isinstance(name, str) or len(name) > 255:
            raise WireError(422, "VALIDATION_ERROR", "episode_id is a text of at most 255")
        known = name in self.all.named
        session = self.all.named_or_new(name)
        try:
            return _answer(await self.run(session, session.reset, data, slow=True))
        except Exception:
            if not known:
                self.all.drop(session)
            raise

    async def step(self, request: Request) -> Response:
        data = await self.body(request)
        if unknown := data.keys() - {"action", "episode_id", "timeout_s", "request_id"}:
            raise WireError(422, "VALIDATION_ERROR", f"step has no {sorted(unknown)[0][:40]!r}")
        session = self.all.find(data.get("episode_id"))
        return _answer(await self.run(session, session.step, data.get("action")))

    async def state(self, request: Request) -> Response:
        self.admit(request.headers)
        return _answer(self.all.find(request.query_params.get("episode_id")).state())

    async def health(self, request: Request) -> Response:
        return _answer({"status": "healthy"})

    async def metadata(self, request: Request) -> Response:
        about = "A text environment of Ludus: the action's message is a seat's reply."
        return _answer({"name": self.name, "description": about})

    async def schema(self, request: Request) -> Response:
        action = {"title": "LudusAction", "type": "object", "properties": ACTION}
        return _answer(
            {
                "action": {**action, "required": ["message"], "additionalProperties": False},
                "observation": {"type": "object", "properties": OBSERVATION},
                "state": {"type": "object", "properties": STATE},
            }
        )

    async def body(self, request: Request) -> dict[str, Any]:
        self.admit(request.headers)
        kind = request.headers.get("content-type", "application/json").partition(";")[0]
        if kind.strip().lower() != "application/json":
            raise WireError(415, "VALIDATION_ERROR", "the body must be application/json")
        raw = b""
        async for part in request.stream():
            raw += part
            if len(raw) > MAX_BYTES:
                raise WireError(413, "VALIDATION_ERROR", f"the body exceeds {MAX_BYTES} bytes")
        return _parsed(raw or b"{}")

    def admit(self, headers: Mapping[str, str]) -> None:
        """Let no web page in: browsers say where a request comes from.

        Raises:
            WireError: If the request is for another host or from another origin.
        """
        host = headers.get("host", "")
        if self.hosts and _place(f"//{host}").hostname not in self.hosts:
            raise WireError(403, "SESSION_ERROR", f"this server is not called {host[:80]!r}")
        origin = headers.get("origin")
        if origin is not None and _place(origin).netloc != host:
            raise WireError(403, "SESSION_ERROR", f"not from {origin[:80]!r}")

    async def run(
        self, session: Session, act: Callable[[Any], Reply], data: Any, *, slow: bool = False
    ) -> Reply:
        """Reset or step, one at a time in a session; off the event loop where it may take long."""
        async with session.lock:
            try:
                return await run_in_threadpool(act, data) if slow or session.blocks else act(data)
            except WireError:
                raise
            except Exception as error:
                _log.exception("%s failed", self.name)
                said = f"the environment failed: {error}"
                raise WireError(500, "EXECUTION_ERROR", said) from None

    # ---- WebSocket --------------------------------------------------------------------------

    async def connection(self, socket: WebSocket) -> None:
        session = None
        await socket.accept()
        try:
            self.admit(socket.headers)
            session = self.all.connect(uuid.uuid4().hex)
            while await self.message(socket, session):
                pass
        except WireError as error:  # not admitted
            await socket.send_text(_dumped(_ws_error(error)))
        except WebSocketDisconnect:
            return
        finally:
            if session is not None:
                self.all.drop(session)
        await socket.close()

    async def message(self, socket: WebSocket, session: Session) -> bool:
        """Answer one message; False if it was the last."""
        answer: dict[str, Any]
        try:
            message = _parsed(await _text(socket))
            kind, data = message.get("type"), message.get("data", {})
            if kind == "close":
                return False
            if kind == "reset":
                done = await self.run(session, session.reset, data, slow=True)
                answer = {"type": "observation", "data": done}
            elif kind == "step":
                answer = {
                    "type": "observation",
                    "data": await self.run(session, session.step, data),
                }
            elif kind == "state":
                answer = {"type": "state", "data": session.state()}
            else:
                said = f"unknown type {str(kind)[:40]!r}: reset, step, state, close"
                raise WireError(400, "UNKNOWN_TYPE", said)
        except WireError as error:
            answer = _ws_error(error)
        await socket.send_text(_dumped(answer))
        return True


async def _text(socket: WebSocket) -> str:
    received = await socket.receive()
    if received["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(received.get("code", 1000))
    return received.get("text") or ""


def _place(address: str) -> SplitResult:
    """An address in its parts; without any if it is none, such as "//["."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _parsed(raw: bytes | str) -> dict[str, Any]:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise WireError(400, "INVALID_JSON", f"invalid JSON: {error}") from None
    if not isinstance(data, dict):
        raise WireError(422, "VALIDATION_ERROR", "the message must be a JSON object")
    return data


def _dumped(data: Any) -> str:
    return json.dumps(data)  # ASCII, so that lone surrogates pass too


def _answer(data: Any, status: int = 200) -> Response:
    return Response(_dumped(data), status, media_type="application/json")


def _ws_error(error: WireError) -> dict[str, Any]:
    return {"type": "error", "data": {"message": error.message, "code": error.code}}


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _answer({"detail": error.detail, "code": "SESSION_ERROR"}, error.status_code)


async def _wire_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, WireError)
    return _answer({"detail": error.message, "code": error.code}, error.status)


def serve(
    make: Make,
    *,
    name: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    sessions: int = 64,
    started: Callable[[str], object] = print,
) -> None:
    """Serve until interrupted.

    Args:
        make: As of `server`.
        name: As of `server`.
        host: To listen on. Others than loopback are open to whoever reaches them: there is no
            password.
        port: To listen on; 0 takes a free one.
        sessions: As of `server`.
        started: Called with the address once connections are taken.

    Raises:
        ValueError: If the address cannot be listened on, or sessions < 1.
    """
    hosts = LOOPBACK if host in LOOPBACK else ()
    app = server(make, name=name, sessions=sessions, hosts=hosts)
    make().close()  # a missing extra or a wrong opponent shows now
    try:
        listener = socket.create_server((host, port))
    except (OSError, OverflowError) as error:
        raise ValueError(f"cannot listen on {host}:{port}: {error}") from None
    with listener:
        started(f"http://{host}:{listener.getsockname()[1]}")
        config = uvicorn.Config(app, log_level="warning", ws_max_size=MAX_BYTES)
        uvicorn.Server(config).run(sockets=[listener])
