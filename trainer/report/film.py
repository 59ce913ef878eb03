"""Games move by move: a strip of cards, each a reply and the position after it."""

from collections.abc import Mapping
from math import exp, isfinite
from typing import Any

from ludus.trainer.report.figures import number, percent, short
from ludus.trainer.report.html import Markup, el, join
from ludus.trainer.report.run_files import RunFiles
from ludus.trainer.report.sections import seat_chip

MAX_GAMES = 24
LONG_TEXT = 160
"""Characters of a reply from which its card takes the whole width."""
MAX_COLUMNS = 64
"""Cards are wide enough for boards of so many characters a line."""

_ENDS = {
    "terminated": "",
    "truncated": "cut off",
    "forfeit": "forfeit",
    "error": "broken",
}


def game(run: RunFiles, record: Mapping[str, Any], number_: int, *, is_open: bool) -> Markup:
    """One game, to be opened."""
    moves = record.get("moves") or []
    returns = record.get("returns") or {}
    stop = str(record.get("stop", ""))
    end = _ENDS.get(stop, stop)
    summary = el(
        "summary",
        el("b", f"Game {number_}"),
        el("span", *(join(seat_chip(run, seat), " ", ("+" if ret > 0 else "") + short(ret), " ")
                     for seat, ret in returns.items()), class_="score"),
        el("span", str(record.get("reason") or "no reason given"), class_="reason"),
        el("span", end, class_=f"end {stop}") if end else None,
        el("small", f"{len(moves)} moves" if len(moves) != 1 else "1 move"),
    )  # fmt: skip
    start = record.get("start")
    cards = [_start(str(start))] if start else []
    cards += [_move(run, move, k + 1) for k, move in enumerate(moves)]
    boards = [str(move.get("board") or "") for move in moves]
    columns = max((len(line) for board in boards for line in board.splitlines()), default=0)
    width = f"--width:{min(columns, MAX_COLUMNS)}ch"
    film = el("ol", *cards, class_="film", style=width)
    return el("details", summary, film, class_="game", open=is_open)


def _start(board: str) -> Markup:
    return el(
        "li",
        el("div", el("span", "start", class_="ply"), class_="said"),
        el("pre", board, class_="board", aria_label="position at the start"),
        class_="start",
    )


def _move(run: RunFiles, move: Mapping[str, Any], ply: int) -> Markup:
    seat, reply = str(move.get("seat", "")), str(move.get("reply", ""))
    invalid, board = str(move.get("invalid") or ""), str(move.get("board") or "")
    long = len(reply) > LONG_TEXT or "\n" in reply.strip()
    said = el("q", reply, class_="reply") if reply.strip() else el("em", "empty reply")
    shown = str(move.get("shown") or "")
    return el(
        "li",
        el(
            "div",
            el("span", str(ply), class_="ply"),
            seat_chip(run, seat),
            _confidence(move),
            class_="said",
        ),
        el("p", said, class_="words"),
        el("p", el("b", "Invalid: "), invalid, class_="invalid") if invalid else None,
        el("pre", board, class_="board", aria_label=f"position after move {ply}")
        if board
        else None,
        el("details", el("summary", "what it was shown"), el("pre", shown), class_="shown")
        if shown
        else None,
        class_=" ".join(filter(None, ("move", "bad" if invalid else "", "long" if long else ""))),
    )


def _confidence(move: Mapping[str, Any]) -> Markup | None:
    """How likely the reply was, where the policy wrote it."""
    logps = move.get("logps")
    if not logps:
        return None
    total, entropy = sum(map(float, logps)), move.get("entropy")
    likely = percent(exp(min(total, 0.0))) if isfinite(total) else number(total)
    spread = f", entropy {number(entropy, 2)} nats a token" if entropy is not None else ""
    return el(
        "span", f"p {likely}", class_="likely",
        title=f"probability of this reply {likely}{spread}",
    )  # fmt: skip
