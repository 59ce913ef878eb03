"""`ludus serve`: OpenEnv's wire format, by a real server, its real client, and bad clients."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ludus
from ludus import cli
from ludus.envs.adapters.openenv_session import Sessions, WireError

sys.path.insert(0, str(Path(__file__).parent))
from interruptible import interrupted, ludus_server

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
ws = pytest.importorskip("websockets.sync.client")
httpx = pytest.importorskip("httpx")
JSON = "application/json"


def serving(*args: str) -> Iterator[str]:
    """Addresses of a server that runs meanwhile."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with ludus_server("serve", *args, "--port", "0", **pipes) as it:
        assert it.stdout is not None
        assert it.stderr is not None
        said = it.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        if found is None:
            it.kill()
            raise AssertionError(it.stderr.read()[-2000:])
        try:
            yield found[0]
        finally:
            assert interrupted(it) == 130
            assert "Traceback" not in it.stderr.read()


@pytest.fixture(scope="module")
def kuhn() -> Iterator[str]:
    yield from serving("ludus/KuhnPoker-v1", "--opponent", "random", "--sessions", "3")


@pytest.fixture(scope="module")
def noughts() -> Iterator[str]:
    yield from serving("ludus/TicTacToe-v1")


def connect(url: str) -> Any:
    return ws.connect(url.replace("http", "ws") + "/ws", open_timeout=20)


def ask(connection: Any, kind: str, **data: Any) -> dict[str, Any]:
    connection.send(json.dumps({"type": kind, "data": data} if data else {"type": kind}))
    answer: dict[str, Any] = json.loads(connection.recv(20))
    return answer


def test_episodes_are_the_seat_views(kuhn: str) -> None:
    view = ludus.make("ludus/KuhnPoker-v1", opponents="random")
    with connect(kuhn) as it:
        for seed in range(10):
            shown, info = view.reset(seed=seed)
            first = ask(it, "reset", seed=seed, episode_id=f"e{seed}")
            assert first["type"] == "observation"
            assert (first["data"]["reward"], first["data"]["done"]) == (None, False)
            said = first["data"]["observation"]
            assert (said["text"], said["legal_actions"]) == (shown, info["legal_actions"])
            assert (said["seat"], said["episode_id"]) == ("player_0", f"e{seed}")
            shown, reward, done, _, info = view.step("bet")
            assert done
            after = ask(it, "step", message="bet")["data"]
            assert (after["observation"]["text"], after["reward"], after["done"]) == (
                shown, reward, True,
            )  # fmt: skip
            assert after["observation"]["outcome"] == info["outcome"]
            assert after["observation"]["rewards"] == {"player_0": reward}
        state = ask(it, "state")
        assert state["type"] == "state"
        assert (state["data"]["episode_id"], state["data"]["step_count"]) == ("e9", 2)


def test_sessions_are_separate_and_bounded(kuhn: str) -> None:
    with connect(kuhn) as first, connect(kuhn) as second, connect(kuhn) as third:
        shown = [ask(it, "reset", seed=seed) for seed, it in ((1, first), (2, second), (1, third))]
        texts = [one["data"]["observation"]["text"] for one in shown]
        assert texts[0] == texts[2] != texts[1]
        ask(first, "step", message="bet")
        assert [ask(it, "state")["data"]["step_count"] > 0 for it in (first, second, third)] == [
            True, False, False,
        ]  # fmt: skip
        with connect(kuhn) as fourth:
            refused = json.loads(fourth.recv(20))
        assert refused["data"]["code"] == "CAPACITY_REACHED"
        assert httpx.post(f"{kuhn}/reset", json={}).status_code == 503
    for _ in range(20):  # connections that ended have given their places back
        with connect(kuhn) as it:
            assert ask(it, "reset", seed=0)["type"] == "observation"


def test_http_sessions_are_named(kuhn: str) -> None:
    first = httpx.post(f"{kuhn}/reset", json={"seed": 1, "episode_id": "mine"}).json()
    assert first["observation"]["episode_id"] == "mine"
    over = httpx.post(f"{kuhn}/step", json={"episode_id": "mine", "action": {"message": "bet"}})
    assert over.json()["done"]
    again = httpx.post(f"{kuhn}/step", json={"episode_id": "mine", "action": {"message": "bet"}})
    assert (again.status_code, again.json()["detail"]) == (
        409, "the episode is over: reset comes first",
    )  # fmt: skip
    assert httpx.get(f"{kuhn}/state", params={"episode_id": "mine"}).json()["step_count"] == 2
    assert httpx.get(f"{kuhn}/health").json() == {"status": "healthy"}
    assert httpx.get(f"{kuhn}/metadata").json()["name"] == "ludus/KuhnPoker-v1"
    assert httpx.get(f"{kuhn}/schema").json()["action"]["required"] == ["message"]


def test_all_seats_of_a_game_without_opponents(noughts: str) -> None:
    with connect(noughts) as it:
        seen = ask(it, "reset", seed=0, split="test", index=3)["data"]
        assert ask(it, "state")["data"]["split"] == "test"
        seats = []
        while not seen["done"]:
            seats.append(seen["observation"]["seat"])
            move = seen["observation"]["legal_actions"][0]
            seen = ask(it, "step", message=move, seat=seats[-1])["data"]
        assert seats[:4] == ["player_0", "player_1"] * 2
        assert sum(seen["observation"]["rewards"].values()) == 0


def test_surrogates_and_bad_replies_are_the_environments(noughts: str) -> None:
    with connect(noughts) as it:
        ask(it, "reset", seed=0)
        told = ask(it, "step", message="\ud800 \x00 [" * 5)["data"]
        assert told["observation"]["invalid"]
        assert not told["done"]


BAD_MESSAGES: dict[str, tuple[str, str]] = {
    "no JSON": ("{", "INVALID_JSON"),
    "deep JSON": ("[" * 100_000, "INVALID_JSON"),
    "no object": ("[1]", "VALIDATION_ERROR"),
    "no type": ("{}", "UNKNOWN_TYPE"),
    "another type": ('{"type": "mcp"}', "UNKNOWN_TYPE"),
    "step before reset": ('{"type": "step", "data": {"message": "bet"}}', "EXECUTION_ERROR"),
    "state before reset": ('{"type": "state"}', "EXECUTION_ERROR"),
    "negative seed": ('{"type": "reset", "data": {"seed": -1}}', "VALIDATION_ERROR"),
    "seed of another type": ('{"type": "reset", "data": {"seed": true}}', "VALIDATION_ERROR"),
    "unknown split": ('{"type": "reset", "data": {"split": "best"}}', "VALIDATION_ERROR"),
    "unknown field": ('{"type": "reset", "data": {"sed": 1}}', "VALIDATION_ERROR"),
    "data of another type": ('{"type": "reset", "data": 7}', "VALIDATION_ERROR"),
}
BAD_ACTIONS = [{}, {"message": 7}, {"text": "bet"}, {"message": "bet", "seat": "player_1"}, "bet"]


def test_bad_messages_are_one_line_and_the_session_goes_on(kuhn: str) -> None:
    with connect(kuhn) as it:
        for sent, code in BAD_MESSAGES.values():
            it.send(sent)
            answer = json.loads(it.recv(20))
            assert (answer["type"], answer["data"]["code"]) == ("error", code), sent[:80]
            assert "\n" not in answer["data"]["message"]
        it.send(b"\x00\xff")
        assert json.loads(it.recv(20))["data"]["code"] == "INVALID_JSON"
        ask(it, "reset", seed=0)
        for action in BAD_ACTIONS:
            it.send(json.dumps({"type": "step", "data": action}))
            assert json.loads(it.recv(20))["data"]["code"] == "VALIDATION_ERROR"
        assert ask(it, "step", message="bet")["data"]["done"]


@pytest.mark.parametrize(
    ("status", "send"),
    [
        (404, lambda c: c.get("/nowhere")),
        (405, lambda c: c.get("/reset")),
        (404, lambda c: c.get("/state", params={"episode_id": "none"})),
        (404, lambda c: c.post("/step", json={"action": {"message": "bet"}})),
        (400, lambda c: c.post("/reset", content="{", headers={"content-type": JSON})),
        (422, lambda c: c.post("/reset", json=[1])),
        (422, lambda c: c.post("/reset", json={"seed": "1"})),
        (422, lambda c: c.post("/reset", json={"episode_id": "x" * 300})),
        (422, lambda c: c.post("/reset", json={"index": 10**12})),
        (422, lambda c: c.post("/step", json={"act": 1})),
        (413, lambda c: c.post("/reset", json={"split": "x" * 2**20})),
        (415, lambda c: c.post("/reset", content="{}", headers={"content-type": "text/plain"})),
        (403, lambda c: c.post("/reset", json={}, headers={"host": "evil.example"})),
        (403, lambda c: c.post("/reset", json={}, headers={"origin": "http://evil.example"})),
        (403, lambda c: c.post("/reset", json={}, headers={"host": "["})),
        (403, lambda c: c.post("/reset", json={}, headers={"origin": "http://["})),
    ],
)
def test_bad_requests_are_clear_json(noughts: str, status: int, send: Callable[[Any], Any]) -> None:
    with httpx.Client(base_url=noughts) as client:
        answer = send(client)
    assert answer.status_code == status
    assert "\n" not in answer.json()["detail"]


def test_another_origin_gets_no_connection(kuhn: str) -> None:
    with ws.connect(kuhn.replace("http", "ws") + "/ws", origin="http://evil.example") as it:
        assert "evil.example" in json.loads(it.recv(20))["data"]["message"]


def test_idle_sessions_give_way() -> None:
    def make() -> Any:
        return ludus.make("ludus/GuessNumber-v1")

    idle = Sessions(make, most=2, idle_s=0.0)
    first, second = idle.named_or_new("a"), idle.named_or_new("b")
    first.reset({"seed": 1})
    second.reset({"seed": 1})
    first.step({"message": "1"})
    assert idle.named_or_new("c") is not second
    assert sorted(idle.named) == ["a", "c"]
    idle.connect("d")
    with pytest.raises(WireError, match="no session has this episode_id"):
        idle.find("a")
    busy = Sessions(make, most=1, idle_s=60.0)
    busy.named_or_new("a")
    with pytest.raises(WireError, match="all 1 sessions are in use"):
        busy.connect("b")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["ludus/Kuhn-v1"], "unknown environment 'ludus/Kuhn-v1'"),
        (["ludus/KuhnPoker-v1", "--opponent", "minimax"], "try the opponents nash"),
        (["ludus/KuhnPoker-v1", "--opponent", "perfect"], "unknown agent 'perfect'"),
        (["ludus/KuhnPoker-v1", "--seat", "player_1"], "--seat needs --opponent"),
        (["ludus/KuhnPoker-v1", "--sessions", "0"], "sessions must be at least 1"),
        (["ludus/KuhnPoker-v1", "--port", "70000"], "cannot listen on 127.0.0.1:70000"),
        (["ludus/KuhnPoker-v1", "--split", "best"], "unknown split 'best'"),
    ],
)
def test_mistakes_are_one_line(args: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        cli.run(["serve", *args])
    assert "\n" not in str(caught.value)


def test_a_taken_port_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"cannot listen on 127.0.0.1:{port}"):
            cli.run(["serve", "ludus/KuhnPoker-v1", "--port", str(port)])


@pytest.mark.filterwarnings("ignore")
def test_openenvs_own_client(kuhn: str) -> None:
    """Needs openenv-core, whose 60 packages no extra of ours brings."""
    pytest.importorskip("openenv")
    from openenv.core.env_server.types import ResetResponse, State, StepResponse
    from openenv.core.generic_client import GenericEnvClient

    view = ludus.make("ludus/KuhnPoker-v1", opponents="random")
    with GenericEnvClient(base_url=kuhn).sync() as client:
        for seed in range(5):
            result, (shown, _) = client.reset(seed=seed), view.reset(seed=seed)
            assert (result.observation["text"], result.done) == (shown, False)
            result, expected = client.step({"message": "bet"}), view.step("bet")
            assert (result.observation["text"], result.reward, result.done) == expected[:3]
        assert State(**client.state()).step_count == 2
        with pytest.raises(RuntimeError, match="the episode is over"):
            client.step({"message": "bet"})
    ResetResponse(**httpx.post(f"{kuhn}/reset", json={"seed": 1, "episode_id": "o"}).json())
    StepResponse(
        **httpx.post(f"{kuhn}/step", json={"episode_id": "o", "action": {"message": "bet"}}).json()
    )
