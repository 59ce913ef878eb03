"""Our environments in verifiers: its own loop, with a model that is a function."""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import ludus

PLUGIN = '''
import httpx
import verifiers.v1 as vf
from verifiers.v1.dialects.chat import message_to_wire
import ludus
from ludus.envs.adapters.to_verifiers import plugin

Tasks, Game = plugin(lambda: ludus.make({make}))


class OneCall(vf.Harness[vf.HarnessConfig]):
    """One model call per turn, in this process, through verifiers' interception."""

    SUPPORTS_RESUME, NEEDS_CONTAINER, EXECUTES_CODE = True, False, False

    async def launch(self, ctx, trace, runtime, endpoint, secret, mcp_urls, data):
        said = data.prompt
        messages = (
            [{{"role": "user", "content": said}}]
            if isinstance(said, str)
            else [message_to_wire(message) for message in said]
        )
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            answer = await client.post(
                endpoint + "/chat/completions",
                json={{"model": ctx.model, "messages": messages}},
                headers={{"authorization": "Bearer " + secret}},
            )
        return vf.ProgramResult(int(not answer.is_success), answer.text, "")


__all__ = ["Game", "OneCall", "Tasks"]
'''


class Model(BaseHTTPRequestHandler):
    """Says `reply(messages)`, as an OpenAI-compatible endpoint."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        messages = body["messages"]
        content = self.server.reply(messages)  # type: ignore[attr-defined]
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": content},
        }
        record = {"id": "x", "object": "chat.completion", "created": 0, "model": "m"}
        sent = json.dumps({**record, "choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def episodes(endpoint: Any, folder: Path, name: str, make: str, tasks: int) -> list[Any]:
    """Play the first tasks of a plugin whose environment `ludus.make` gives."""
    import verifiers.v1 as vf
    from verifiers.v1.utils.loaders import load_environment, resolve_env_config

    (folder / f"{name}.py").write_text(PLUGIN.format(make=make))
    player = {"runtime": {"type": "subprocess"}, "max_turns": 20}
    env = load_environment(resolve_env_config({"taskset": {"id": name}, "player": player}))
    client = vf.EvalClientConfig(
        base_url=f"http://127.0.0.1:{endpoint.server_port}/v1", api_key_var="NO_KEY"
    )

    async def play() -> list[Any]:
        async with env.serving():
            return [
                await env.run_episode(task, vf.ModelContext(model="m", client=client))
                for task in env.taskset.take(tasks)
            ]

    return asyncio.run(play())


@pytest.mark.filterwarnings("ignore")
def test_verifiers_plays_it(endpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("verifiers.v1")
    monkeypatch.syspath_prepend(tmp_path)
    endpoint.reply = lambda messages: "bet"
    name = "ludus_test_kuhn"
    played = episodes(endpoint, tmp_path, name, '"ludus/KuhnPoker-v1", opponents="random"', tasks=4)
    view = ludus.make("ludus/KuhnPoker-v1", opponents="random")
    for seed, episode in enumerate(played):
        assert episode.ok, episode.errors
        (trace,) = episode.traces
        shown, _ = view.reset(seed=seed)
        _, reward, _, _, _ = view.step("bet")
        assert [m.content for m in trace.branches[-1].messages] == [shown, "bet"]
        assert (trace.reward, trace.metrics["turns"]) == (reward, 1.0)
    assert len({trace.reward for episode in played for trace in episode.traces}) > 1


@pytest.mark.filterwarnings("ignore")
def test_several_turns_and_an_episode_left(
    endpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("verifiers.v1")
    monkeypatch.syspath_prepend(tmp_path)

    def reply(messages: list[dict[str, str]]) -> str:
        """Halve the range that the answers leave."""
        low, high, guess = 1, 100, 0
        for message in messages:
            if message["role"] == "assistant":
                guess = int(message["content"])
            elif guess and "Higher" in message["content"]:
                low = guess + 1
            elif guess and "Lower" in message["content"]:
                high = guess - 1
        return str((low + high) // 2)

    endpoint.reply = reply
    make = '"ludus/GuessNumber-v1", low=1, high=100, guesses=7'
    (won,) = episodes(endpoint, tmp_path, "ludus_test_guess", make, tasks=1)
    (trace,) = won.traces
    assert won.ok
    assert trace.metrics["success"] == 1.0
    assert trace.num_turns == trace.metrics["turns"] > 1
    endpoint.reply = lambda messages: "no idea"
    (left,) = episodes(endpoint, tmp_path, "ludus_test_left", f'{make}, on_invalid="noop"', tasks=1)
    (trace,) = left.traces
    assert trace.num_turns == 20
    assert (trace.reward, trace.metrics["invalid"]) == (-1.0, 20.0)


def test_without_verifiers_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from ludus.envs.adapters.to_verifiers import plugin

    monkeypatch.setitem(sys.modules, "verifiers", None)
    with pytest.raises(ModuleNotFoundError, match="pip install verifiers"):
        plugin(lambda: ludus.make("ludus/GuessNumber-v1"))
