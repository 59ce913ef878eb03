"""Items 5, 9 and 10: what seats are told, what is known of the answer, and what stays hidden."""

import itertools
import re
from collections.abc import Iterator

from ludus.envs.base import Info, TextEnv
from ludus.envs.check.subject import (
    Skipped,
    Subject,
    broken,
    choose,
    fingerprint,
    plain,
    reach,
)

_DENSE = 10  # turns; after these, every (turn / _DENSE)-th position


def pure_observation(subject: Subject) -> str:
    """Looking changes nothing, and what a seat was told is never taken back.

    TextArena's `get_observation` empties its buffer, which forbids logs and forks; environments
    that rewrite their history break the token sequences trainers keep (verl #3720, prime-rl #1334).
    """
    env, turns = subject.make(render_mode="ansi"), 0
    for seed in subject.seeds(min(10, subject.episodes)):
        env.reset(seed=seed)
        rng = subject.rng("observe", seed)
        told = {role: env.transcript(role) for role in env.ROLES}
        while env.acting:
            _check_looking(env)
            seat = rng.choice(env.acting)
            action = choose(env, seat, rng)
            obs, *_, info = env.step(action, seat=seat)
            turns += 1
            if not env.acting:
                _check_looking(env)
            if str(env.observe(info["seat"] or seat)) != str(obs):
                broken("step returns another observation than observe gives")
            for role in env.ROLES:
                before, now = told[role], env.transcript(role)
                if now[: len(before)] != before:
                    broken(f"the transcript of {role} was rewritten in turn {info['turn']}")
                told[role] = now
            said = [message.content for message in told[seat] if message.role == "assistant"]
            if not said or said[-1] != action:
                broken(f"the transcript of {seat} does not have its reply as it was sent")
            if info["seat"] and told[info["seat"]][-1].content not in obs:
                broken(f"{info['seat']} is shown what its transcript does not have")
    return f"{turns} turns"


def _check_looking(env: TextEnv) -> None:
    before = fingerprint(env)
    for role in env.ROLES:
        if (first := env.observe(role)) != (second := env.observe(role)):
            broken(f"observe({role!r}) gave {first[:60]!r}, then {second[:60]!r}")
        env.transcript(role)
        if role in env.acting:
            position = env.state_hash()
            env._observe(role)
            if env.state_hash() != position:
                broken(f"_observe({role!r}) changed the position")
            if env.legal_actions(role) != env.legal_actions(role):
                broken(f"legal_actions({role!r}) gave two answers")
    env.render()
    env.returns.clear()
    env.replay().to_json()
    if env.metadata["fork"] != "none":
        env.get_state()
    if fingerprint(env) != before:
        broken("looking (observe, legal_actions, render, replay, get_state) changed the episode")


def golden_answers(subject: Subject) -> str:
    """What the environment calls right is right: answer, action and plan; secrets stay secret.

    Datasets with wrong golds pass unseen until a policy is better than its labels; a gold that a
    prompt contains trains copying.
    """
    seen = {"answers": 0, "actions": 0, "plans": 0, "secrets": 0}
    for env, seat in _positions(subject, "golden"):
        before = fingerprint(env)
        golden = env.golden(seat)
        if golden is None:
            continue
        if golden.answer is not None:
            seen["answers"] += 1
            for answer in (golden.answer, *golden.aliases):
                if not env.verify(answer, seat).passed:
                    broken(f"verify({answer!r}) does not pass, but it is the golden answer")
            if env.verify(f"not {golden.answer}, surely\x00", seat).passed:
                broken("verify passes an answer that is none")
            if golden.secret:
                seen["secrets"] += 1
                _check_secret(env, golden.answer)
        if fingerprint(env) != before:
            broken("golden or verify changed the episode")
        if golden.action is not None:
            seen["actions"] += 1
            _check_plan(env, seat, (golden.action,), ends=golden.answer is not None)
        left = env.MAX_TURNS - len(env.replay().actions)
        if golden.plan is not None and len(golden.plan) <= left:
            seen["plans"] += 1
            _check_plan(env, seat, golden.plan, ends=True)
    if not any(seen.values()):
        raise Skipped("no golden answers declared")
    if seen["actions"] or seen["plans"]:
        _check_written(subject)
    return ", ".join(f"{n} {what}" for what, n in seen.items() if n)


def _check_written(subject: Subject) -> None:
    """Golden actions are written in the format that replies are in, whichever it is."""
    env, rng = subject.make(format="boxed"), subject.rng("written")
    reach(env, rng, 0)
    golden = env.golden(env.acting[0])
    if golden is None:
        return
    for actions in ((golden.action,), golden.plan or ()):
        twin = env.from_replay(env.replay())
        for action in actions:
            if action is None or not twin.acting:
                break
            *_, info = twin.step(action)
            if info["invalid"]:
                broken(
                    f"golden action {action!r} is refused in format boxed: use self.format.write"
                )


def _check_secret(env: TextEnv, answer: str) -> None:
    for role in env.ROLES:
        heard = [m.content for m in env.transcript(role) if m.role != "assistant"]
        if any(_occurs(answer, text) for text in (*heard, env.observe(role))):
            broken(f"the golden answer {answer!r} is secret, but {role} was shown it")


def _occurs(secret: str, text: str) -> bool:
    """Whether it is in a text, in any case, and not as a part of a longer word or number."""
    whole = rf"(?<!\w){re.escape(secret)}(?!\w)"
    return re.search(whole, text, re.IGNORECASE) is not None


def _check_plan(env: TextEnv, seat: str, plan: tuple[str, ...], *, ends: bool) -> None:
    twin = env.from_replay(env.replay())
    info: Info = {}
    for turn, action in enumerate(plan):
        actor = seat if turn == 0 else (twin.acting or ("",))[0]
        if not actor:
            broken(f"plan {list(plan)} goes on after the episode has ended")
        *_, info = twin.step(action, seat=actor)
        if info["invalid"]:
            broken(f"golden action {action!r} is refused: {info['invalid']}")
    alone = len(env.ROLES) == 1
    if ends and alone and not info.get("outcome", {}).get("success"):
        broken(f"golden {'plan' if len(plan) > 1 else 'action'} {list(plan)} does not succeed")


def hidden_information(subject: Subject) -> str:
    """What one seat declares its own is told to no other before the end.

    A seat that reads another's card in a broadcast or in info learns a game that does not exist.
    """
    checked = 0
    for env, _ in _positions(subject, "secrets"):
        secrets = {role: [env._worded(text) for text in env._secrets(role)] for role in env.ROLES}
        for owner, other in itertools.permutations(env.ROLES, 2):
            for secret in secrets[owner]:
                if secret not in secrets[other]:  # such as an equal value, which it may know
                    checked += 1
                    _check_hidden(env, secret, owner, other)
    if not checked or len(subject.make().ROLES) == 1:
        raise Skipped("no secrets between seats declared")
    return f"{checked} secrets looked for"


def _check_hidden(env: TextEnv, secret: str, owner: str, other: str) -> None:
    heard = [m.content for m in env.transcript(other) if m.role != "assistant"]
    heard += [env.observe(other), *(m.content for m in env.observe(other).messages)]
    if any(_occurs(secret, text) for text in heard):
        broken(f"{other} was told {secret!r}, which is {owner}'s secret")
    if other in env.acting:
        legal = env.legal_actions(other) or []
        info = plain(env._info(other, owner, {}, ""))
        if any(_occurs(secret, text) for text in (info, *legal)):
            broken(f"info for {other} has {secret!r}, which is {owner}'s secret")


def _positions(subject: Subject, name: str) -> Iterator[tuple[TextEnv, str]]:
    """Positions of some random episodes before the end, with the seat to act: the first ones, then
    ever fewer, since what is checked there mostly plays from the start to the end."""
    env, rng = subject.make(), subject.rng(name)
    for _ in range(subject.episodes):
        reach(env, rng, 0)
        turn = 0
        while env.acting:
            seat, turn = rng.choice(env.acting), turn + 1
            if rng.random() * turn < _DENSE:
                yield env, seat
            env.step(choose(env, seat, rng), seat=seat)
