"""What remains of an action's effects once its own conditions are taken into account."""

from __future__ import annotations

from itertools import product

Condition = tuple[tuple[int, bool], ...]
"""(fact, whether it must be true), in the order in which the condition was written."""
Outcome = list[tuple[int, bool, Condition]]
"""(fact, value, condition)."""


def masks(condition: Condition) -> tuple[int, int] | None:
    """(must be true, must be false), or None for a contradiction."""
    yes = no = 0
    for number, positive in condition:
        if positive:
            yes |= 1 << number
        else:
            no |= 1 << number
    return None if yes & no else (yes, no)


def outcome(effects: list[tuple[Condition, int, bool]], required: dict[int, bool]) -> Outcome:
    """What remains of an action's effects given what it requires: (fact, value, condition).

    Source: the translation to finite-domain variables in Helmert 2009, "Concise finite-domain
    representations for PDDL planning tasks", specialised to one variable per fact. Additions win
    over deletions; an effect that only restates a precondition is dropped (and never said).
    """
    if not any(condition for condition, _, _ in effects):  # the usual case
        values = {number: False for _, number, becomes in effects if not becomes}
        values.update({number: True for _, number, becomes in effects if becomes})
        return [(n, value, ()) for n, value in values.items() if required.get(n) is not value]
    adds: dict[int, list[Condition]] = {}
    deletes: dict[int, list[Condition]] = {}
    for condition, number, becomes in effects:
        if becomes:
            adds.setdefault(number, []).append(condition)
    for condition, number, becomes in effects:
        if not becomes and condition not in adds.get(number, ()):
            deletes.setdefault(number, []).append(condition)
    result: Outcome = []
    for number in adds.keys() | deletes.keys():
        on = [dict(c) for c in adds.get(number, ()) if masks(c) is not None]
        # Contradictory additions never fire, and are not guarded against.
        guard = [c for c in adds.get(number, ()) if masks(c) is not None]
        off: list[dict[int, bool]] = []
        if () not in guard:
            for condition in deletes.get(number, ()):
                if masks(condition) is None or dict(condition).get(number, True) is False:
                    continue
                for picks in product(*guard):
                    wanted = dict(condition) | {number: True}
                    if all(wanted.setdefault(n, not value) == (not value) for n, value in picks):
                        off.append(wanted)
        for becomes, cases, others in ((True, on, off), (False, off, on)):
            if required.get(number) is becomes or not cases:
                continue
            if not others:  # "if it is not so yet" goes without saying
                for case in cases:
                    if {} not in cases and case.get(number) is (not becomes):
                        del case[number]
                        if not case:
                            cases[:] = [{}]
                            break
            for case in cases:
                if all(required.get(n, value) == value for n, value in case.items()):
                    rest = tuple(sorted((n, v) for n, v in case.items() if n not in required))
                    result.append((number, becomes, rest))
    return list(dict.fromkeys(result))
