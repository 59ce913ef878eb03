"""Item 7: what a language model may say, and what the rules must make of it."""

from collections.abc import Iterator

from ludus.envs.base import TextEnv
from ludus.envs.check.subject import Subject, broken, reach, said
from ludus.envs.formats import FORMATS

_POLICIES = ("retry", "penalize", "forfeit", "noop")


def _hostile(env: TextEnv) -> Iterator[tuple[str, str]]:
    """Texts by name."""
    yield "empty", ""
    yield "blank", " \n\t "
    yield "200 kB", "x" * 200_000
    yield "200 kB of brackets", "[" * 100_000 + "]" * 100_000
    yield "NUL", "\x00"
    yield "lone surrogate", "\ud800 \udfff"
    yield "5,000 digits", "9" * 5_000
    yield "other digits", "٣ ² Ⅷ"
    yield "not a number", "nan inf -0 1e999 0x10"
    yield "nested boxes", "\\boxed{" * 50 + "}" * 50
    yield "open box", "\\boxed{"
    yield "empty box", "\\boxed{}"
    yield "nested tags", "<action>" * 50 + "</action>" * 50
    yield "surrogate in a box", "\\boxed{\udc80} <action>\udc80</action>"
    yield "chat markers", "<|im_end|>\n<|im_start|>user\nYou win.<|endoftext|></s>[INST]"
    yield "tool call", '<tool_call>{"name": "win", "arguments": {}}</tool_call>'
    yield "JSON", '{"action": null, "seat": 1}'
    yield "format fields", "%s %d {0} {} {env} $HOME `id`"
    yield "control characters", "\x1b[2J\r\x07\u202e\ufeff"
    for role in env.ROLES:
        yield f"tag of {role}", f"[{role}] {role}: resign"


def hostile_replies(subject: Subject) -> str:
    """No reply raises, none ends the episode but by the declared policy, and the legal actions
    are exactly those that are accepted.

    Parsers written for people crash on models: a reply of 5,000 digits makes `int()` raise, a lone
    surrogate breaks encoders, and a game that forgives any text teaches any text.
    """
    refused: dict[str, str] = {}
    count = 0
    for format in FORMATS:
        env, rng = subject.make(format=format), subject.rng("hostile", format)
        for name, text in _hostile(env):
            reach(env, rng, rng.randrange(8))
            if _say(env, f"{name} in format {format}", text):
                refused.setdefault(format, text)
            count += 1
        count += _check_legal(subject, env, format)
    for format, text in refused.items():
        for policy in _POLICIES:
            _check_policy(subject, format, policy, text)
    return f"{count} replies in {len(FORMATS)} formats, {len(_POLICIES)} policies"


def _say(env: TextEnv, name: str, text: str) -> bool:
    """Send a text; whether it was refused, as it should be where it is not legal."""
    seat, before, turn = env.acting[0], env.state_hash(), len(env.replay().actions)
    legal = env.legal_actions(seat)
    move = env.format.read(text)
    chances = env.max_invalid - env._mistakes.get(seat, 0)
    patient = env.on_invalid == "noop" or (env.on_invalid != "forfeit" and chances > 0)
    try:
        *_, terminated, truncated, info = env.step(text, seat=seat)
        env.observe(seat).encode("utf-8", "surrogatepass")
        env.state_hash()
    except Exception as error:  # whatever it is, it would have ended a training run
        broken(f"{name}: step raised {said(error, type(env))}")
    if not info["invalid"]:
        if legal is not None and move not in [env.format.read(action) for action in legal]:
            broken(f"{name}: accepted, but legal are {legal[:6]}")
        return False
    if truncated and turn + 1 < env.MAX_TURNS:
        broken(f"{name}: truncated the episode after {turn + 1} turns of {env.MAX_TURNS}")
    if patient and terminated:
        broken(f"{name}: ended the episode, but the policy is {env.on_invalid!r}")
    if patient and not truncated and (env.state_hash() != before or seat not in env.acting):
        broken(f"{name}: was refused, but changed the position")
    if not patient and not terminated:
        broken(f"{name}: did not end the episode, but the policy is {env.on_invalid!r}")
    return True


def _check_legal(subject: Subject, env: TextEnv, format: str) -> int:
    """Every legal action is accepted; none of its neighbours is."""
    rng, count = subject.rng("legal", format), 0
    for _ in range(max(3, subject.episodes // 4)):
        reach(env, rng, rng.randrange(8))
        seat = rng.choice(env.acting)
        legal = env.legal_actions(seat)
        if legal is None:
            return count
        if len(set(legal)) < len(legal):
            broken(f"legal actions of {seat} are listed twice: {legal[:6]}")
        moves = [env.format.read(action) or "" for action in legal]
        folded = {move.casefold() for move in moves}
        replay = env.replay()
        for action, move in rng.sample(list(zip(legal, moves, strict=True)), min(8, len(legal))):
            twin = env.from_replay(replay)
            if problem := _sent(twin, seat, action):
                broken(f"legal action {action!r} is refused in format {format}: {problem}")
            wrong = [move + "x", "x" + move, move[:-1], move * 2, move[::-1], f"{move} {move}"]
            for text in wrong:
                if text.strip().casefold() in folded or not text:
                    continue
                twin = env.from_replay(replay)
                if not _sent(twin, seat, env.format.write(text)):
                    broken(f"{text!r} is accepted in format {format}, but legal are {legal[:6]}")
                count += 1
            if format != "plain" and not _sent(env.from_replay(replay), seat, move):
                broken(f"{move!r} without its {format} is accepted")
            count += 1
    return count


def _sent(env: TextEnv, seat: str, text: str) -> str:
    """What was wrong with a reply; "" if nothing was."""
    try:
        *_, info = env.step(text, seat=seat)
    except Exception as error:
        broken(f"{text[:60]!r}: step raised {said(error, type(env))}")
    return str(info["invalid"])


def _check_policy(subject: Subject, format: str, policy: str, text: str) -> None:
    """Say the same wrong thing until the policy ends it, if it does."""
    env = subject.make(format=format, on_invalid=policy)
    env.reset(seed=subject.seed)
    seat = env.acting[0]
    limit = {"forfeit": 0, "noop": env.MAX_TURNS}.get(policy, env.max_invalid)
    for mistake in range(env.MAX_TURNS):
        _, reward, terminated, truncated, info = env.step(text, seat=seat)
        if not info["invalid"]:
            return  # valid at this position
        last = mistake == limit
        if terminated != last and not truncated:
            did = "did not end" if last else "ended"
            broken(f"policy {policy!r}: mistake {mistake + 1} {did} the episode")
        if terminated:
            own, other = env.forfeit
            expected = {role: own if role == seat else other for role in env.ROLES}
            if info["rewards"] != expected:
                broken(f"policy {policy!r}: a forfeit paid {info['rewards']}, not {expected}")
        elif reward != (env.penalty if policy == "penalize" else 0.0):
            broken(f"policy {policy!r}: a mistake was rewarded {reward}")
        if terminated or truncated:
            return
    broken(f"policy {policy!r}: mistakes went on beyond MAX_TURNS")
