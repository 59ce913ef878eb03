"""Exact values of two-seat zero-sum games of perfect information, by full search.

    V(s) = max over a of ( r(s, a) + V(s a) )   where the first seat moves, min where the second

r and V in the first seat's reward. Positions that were reached in different ways are searched
once: the table is keyed by `state_hash`.
"""

from ludus.agents.solvers.infosets import clean_config, clean_twin, refuse_chance
from ludus.envs.base import TextEnv
from ludus.envs.outcome import Replay

NEGLIGIBLE = 1e-9  # values of moves that differ by less, relative to 1, are equal


class Minimax:
    """The solved part of one game; it grows as positions are asked for.

    Args:
        env: An environment of the game.
        max_positions: Refuse to search more. A position takes about 100 us and 200 bytes.

    Raises:
        ValueError: If the game has not two seats, is not zero-sum, or hides something.
    """

    def __init__(self, env: TextEnv, *, max_positions: int = 200_000) -> None:
        if len(env.ROLES) != 2 or not env.ZERO_SUM:
            raise ValueError(f"minimax needs a zero-sum game of two seats, {env.ENV_ID} is none")
        if hides_something(env):
            raise ValueError(f"minimax needs perfect information, {env.ENV_ID} hides some")
        self.max_positions = max_positions
        self._values: dict[str, float] = {}

    def action_values(self, env: TextEnv) -> dict[str, float]:
        """What every legal move is worth to the seat to act: its return from now on under best
        play of both. In the order of the legal moves, spelled as the game does.

        Raises:
            ValueError: If moves are simultaneous, free text, lead to more positions than allowed,
                use chance, or can go on to the turn limit.
        """
        twin = clean_twin(env)
        sign = 1.0 if twin.acting[0] == twin.ROLES[0] else -1.0
        return {move: sign * value for move, value in self._children(twin).items()}

    def best_moves(self, env: TextEnv) -> list[str]:
        """All moves of greatest value, in the order of the legal moves.

        Raises:
            ValueError: As `action_values`.
        """
        values = self.action_values(env)
        best = max(values.values())
        slack = NEGLIGIBLE * max(1.0, abs(best))
        return [move for move, value in values.items() if value >= best - slack]

    def _children(self, at: TextEnv) -> dict[str, float]:
        if len(at.acting) != 1:
            raise ValueError(f"minimax cannot play simultaneous moves, {at.ENV_ID} has them")
        moves = at.legal_actions()
        if not moves:
            raise ValueError(f"minimax needs legal actions, {at.ENV_ID} takes free text")
        values = {}
        for move in moves:
            (child,) = at.fork()
            _, _, _, truncated, info = child.step(move)
            if truncated:
                raise ValueError(f"minimax cannot solve {at.ENV_ID}: play can reach its turn limit")
            values[move] = info["rewards"][at.ROLES[0]] + self._value(child)
        return values

    def _value(self, at: TextEnv) -> float:
        if not at.acting:
            return 0.0
        key = at.state_hash()
        if key not in self._values:
            refuse_chance(at)
            if len(self._values) >= self.max_positions:
                raise ValueError(f"{at.ENV_ID} has more than {self.max_positions} positions")
            values = self._children(at).values()
            self._values[key] = max(values) if at.acting[0] == at.ROLES[0] else min(values)
        return self._values[key]


def hides_something(env: TextEnv) -> bool:
    """Whether a seat is known to lack something: the environment says so or names secrets, or two
    of its worlds start alike for the seat to act."""
    if env.PERFECT_INFORMATION is not None:
        return not env.PERFECT_INFORMATION
    config, kind = clean_config(env), type(env)
    looks: dict[tuple[str, ...], str] = {}
    played = env.replay()
    tasks = [task for _, task in env.worlds(**env.params) or ()] or [played.task]
    for task in tasks:
        start = kind.from_replay(Replay(config, task, played.chance_seed, ()))
        if any(start._secrets(role) for role in start.ROLES):
            return True
        for seat in start.acting:
            look = (seat, *(message.content for message in start.transcript(seat)))
            if looks.setdefault(look, start.state_hash()) != start.state_hash():
                return True
    return False
