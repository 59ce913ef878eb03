"""Which information set a live episode is in, whatever was said on the way there.

What a seat knows is its transcript: all it was shown and all it said (perfect recall). But the
same knowledge has many transcripts: replies may be written plain or boxed, prefixed by reasoning,
in any case, and bad ones leave traces. So the moves of an episode are played again in a *clean
twin*: the same world in the plain format, each legal move in its own spelling, without the
replies that meant none. The seat's transcript there is the key.
"""

from typing import Any

from ludus.envs.base import TextEnv
from ludus.envs.outcome import InvalidMove, Replay

Key = tuple[str, ...]
"""The seat, then all messages to and from it in a clean twin. Equal for equal knowledge."""


def clean_config(env: TextEnv) -> dict[str, Any]:
    """Constructor arguments of clean twins: plain format, the game's own words, legal moves listed
    (every agent may know them), the rest as the environment's."""
    return {**env.replay().config, "format": "plain", "skin": None, "show_legal": True}


def clean_twin(env: TextEnv) -> TextEnv:
    """The episode again, from its moves alone.

    Raises:
        ValueError: If the episode used chance after its start: its moves do not decide it all.
    """
    played = env.replay()
    twin = type(env).from_replay(Replay(clean_config(env), played.task, played.chance_seed, ()))
    for seat, text in played.actions:
        if (move := move_of(env, twin, seat, text)) is not None:
            twin.step(move, seat=seat)
    refuse_chance(twin)
    return twin


def move_of(env: TextEnv, at: TextEnv, seat: str, text: str) -> str | None:
    """The legal move that a reply, written in the format of `env`, means at the position `at`.

    None if it means none there.
    """
    written = env.format.read(text)
    legal = at.legal_actions(seat) or ()
    if written is None or written in legal:
        return written
    try:
        meant = at._parse(written, seat)
    except InvalidMove:
        return None
    return next((move for move in legal if at._parse(move, seat) == meant), written)


def infoset_key(env: TextEnv, seat: str) -> Key:
    """The key of what `seat`, which is to act, knows now. Leaves `env` as it is.

    >>> import ludus
    >>> env = ludus.make("ludus/KuhnPoker-v1", format="boxed", deal="KJ")
    >>> _ = env.reset(seed=0)
    >>> key = infoset_key(env, "player_0")
    >>> _ = env.step("I would rather not say")
    >>> infoset_key(env, "player_0") == key
    True
    """
    return key_in_twin(clean_twin(env), seat)


def key_in_twin(twin: TextEnv, seat: str) -> Key:
    """The key, of an environment that is a clean twin already."""
    return (seat, *(message.content for message in twin.transcript(seat)))


def refuse_chance(env: TextEnv) -> None:
    """Raise where a step has drawn from chance: exact solvers take all chance from `worlds`.

    Raises:
        ValueError: If so.
    """
    if env._chance is not None:
        raise ValueError(
            f"{env.ENV_ID} uses chance during the episode, which is not supported here"
        )
