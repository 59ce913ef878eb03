"""A person at the terminal: `ludus play` and the human agent."""

import io
import os
import pty
import random
import re
import select
import signal
import subprocess
import sys
import time

import pytest

import ludus
from ludus.agents.base import make_agent
from ludus.commands.play import play
from ludus.envs.games.kuhn import DEALS, KuhnPoker
from ludus.envs.games.negotiation import SimpleNegotiation
from ludus.envs.skin import make_skin

KUHN, TIC_TAC_TOE, GUESS = "ludus/KuhnPoker-v1", "ludus/TicTacToe-v1", "ludus/GuessNumber-v1"
NEGOTIATION = "ludus/SimpleNegotiation-v1"
TRADE = make_skin("obfuscated:3", SimpleNegotiation.VOCABULARY, NEGOTIATION)


def type_in(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    monkeypatch.setenv("COLUMNS", "100")


def test_a_game_of_tic_tac_toe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    type_in(monkeypatch, "5", "5", "ten", *list("123467895") * 3)
    returns = play(TIC_TAC_TOE, opponent="minimax", seat="player_1", seed=3)
    assert returns is not None
    assert returns["player_1"] <= 0
    shown = capsys.readouterr().out
    turns = shown.count("player_1>") - shown.count("is no legal move")
    assert shown.count("╭─ ludus/TicTacToe-v1 ─╮") == turns + 1  # each turn and the end
    assert "you are player_1 against minimax, seed 3" in shown
    assert "'ten' is no legal move." in shown
    assert "4 5 6" in shown
    assert ("You lose" if returns["player_1"] < 0 else "Draw") in shown


def test_a_game_in_other_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    skin = make_skin("obfuscated:3", KuhnPoker.VOCABULARY, KUHN)
    bet, call = skin.swap("bet"), skin.swap("call")
    type_in(monkeypatch, "bet", bet, call, call)
    assert play(KUHN, opponent="nash", seed=1, skin="obfuscated:3") is not None
    shown = capsys.readouterr().out
    assert f"Legal actions: {skin.swap('check')}, {bet}\n" in shown
    assert "'bet' is no legal move." in shown
    words = set(re.findall(r"[a-z]+", shown.replace("'bet' is no legal", "").casefold()))
    assert not words & {"check", "bet", "call", "fold", "card", "chip"}
    trade = "[Offer: 1 {} -> 1 {}]".format(*map(TRADE.swap, ("wheat", "wood")))
    type_in(monkeypatch, trade, "quit")
    play(NEGOTIATION, opponent="negotiator", seed=1, skin="obfuscated:3")
    assert "Invalid action" not in capsys.readouterr().out


@pytest.mark.parametrize("seed", range(8))
def test_a_game_of_kuhn_poker_does_not_show_the_other_card(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    type_in(monkeypatch, "BET", "c", "c")
    returns = play(KUHN, opponent="nash", seat="player_0", seed=seed)
    assert returns is not None
    assert sum(returns.values()) == 0
    shown = capsys.readouterr().out
    before, _, after = shown.rpartition("player_0>")
    assert before.count("Your card is") == 1
    assert not any(f"[{card}]" in before for card in "JQK")
    shown_cards = [f"player_0 [{d[0]}]" in after and f"player_1 [{d[1]}]" in after for d in DEALS]
    assert sum(shown_cards) == 1
    assert f"player_0 {returns['player_0']:+g}" in after
    assert ("You win" in after) == (returns["player_0"] > 0)


def test_a_task_without_opponents(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    type_in(monkeypatch, "4", "4", "4", "4")
    assert play(GUESS, seed=0) is not None
    shown = capsys.readouterr().out
    assert "olved" in shown
    assert "against" not in shown


def test_two_people(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    type_in(monkeypatch, *"14253")
    assert play(TIC_TAC_TOE, opponent="human", seed=0) == {"player_0": 1.0, "player_1": -1.0}
    assert "You win: X has three in a row" in capsys.readouterr().out


def test_a_model_s_format_is_not_the_person_s_business(monkeypatch: pytest.MonkeyPatch) -> None:
    type_in(monkeypatch, *"14253")
    returns = play(TIC_TAC_TOE, opponent="human", seed=0, format="boxed")
    assert returns == {"player_0": 1.0, "player_1": -1.0}


@pytest.mark.parametrize("lines", [("quit",), ("5", "QUIT"), ("5",), ()])
def test_leaving(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lines: tuple[str, ...]
) -> None:
    type_in(monkeypatch, *lines)  # the last two: end of input
    assert play(TIC_TAC_TOE, opponent="minimax", seed=0) is None
    assert capsys.readouterr().out.endswith("Bye.\n")


def test_the_seed_decides_the_game(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    for _ in range(2):
        type_in(monkeypatch, *"123456789" * 3)
        play(TIC_TAC_TOE, opponent="random", seat="player_1", seed=11)
        seen.append(capsys.readouterr().out)
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("env_id", "opponent", "seat", "words"),
    [
        ("ludus/Kuhn-v1", "nash", None, "unknown environment 'ludus/Kuhn-v1'"),
        (KUHN, "gnash", None, "unknown agent 'gnash', nearest: nash"),
        (KUHN, "minimax", None, "minimax needs perfect information"),
        (KUHN, "nash", "player_2", "unknown seat 'player_2', seats: player_0, player_1"),
    ],
)
def test_what_cannot_be_played_is_said_before_anything_is_shown(
    capsys: pytest.CaptureFixture[str], env_id: str, opponent: str, seat: str | None, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        play(env_id, opponent=opponent, seat=seat, seed=0)
    assert capsys.readouterr().out == ""


def test_the_human_agent_answers_in_the_format(monkeypatch: pytest.MonkeyPatch) -> None:
    env = ludus.make(KUHN, format="tag")
    env.reset(seed=0)
    type_in(monkeypatch, "b")
    reply = make_agent("human").act(env, "player_0", random.Random(0))
    assert reply == "<action>bet</action>"


def test_ctrl_c_at_a_terminal() -> None:
    # A parent that ignores Ctrl-C, as a shell's background does, would hand that down.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"from ludus.commands.play import play; print(play({TIC_TAC_TOE!r}, seed=0))"
    )
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=slave, stdout=slave, stderr=slave, close_fds=True
    )
    os.close(slave)
    try:
        shown = read_until(master, "player_0>")
        os.write(master, b"5\n")
        shown += read_until(master, "player_0>")
        time.sleep(0.5)  # the prompt is shown a moment before it is read at
        child.send_signal(signal.SIGINT)
        shown += read_until(master, "None")
        assert child.wait(timeout=20) == 0
    finally:
        child.kill()
        child.wait()
        os.close(master)
    assert "Bye." in shown
    assert "Traceback" not in shown


def read_until(terminal: int, words: str) -> str:
    """What the terminal shows until words come up; fails after 20 seconds."""
    shown, end = "", time.monotonic() + 20
    while words not in shown:
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"{words!r} did not come: {shown}"
        shown += os.read(terminal, 4096).decode(errors="replace")
    return shown
