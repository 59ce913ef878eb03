"""The order in which the reference engine lists operators, where it matters.

It matters only if two actions with one command can be carried out at once: then the first is. The
planner sorts operators by their conditions, as lists of (fact, 0 if true else 1), with facts
numbered along its causal graph (Helmert 2006, "The Fast Downward planning system", JAIR 26): what
an action asks for comes before what it changes, and cycles are cut where the fewest arcs come in.
Rules that the planner adds for negated derived facts are not counted here.
"""

from __future__ import annotations

from collections import defaultdict, deque
from heapq import heapify, heappop, heappush

from ludus.envs.worlds.household.operators import Operator, Problem, bits_of

Graph = dict[int, dict[int, int]]
"""Fact -> facts that depend on it -> how often."""

_GOAL = 100_000
"""Extra weight of an arc into a fact of the goal."""


def ranks(problem: Problem) -> list[int]:
    """Operator -> its place in the order."""
    place = {fact: i for i, fact in enumerate(_fact_order(problem))}

    def key(number: int) -> tuple[list[tuple[int, int]], int]:
        operator = problem.operators[number]
        asked = [(place[fact], 0) for fact in _facts(operator.yes)]
        asked += [(place[fact], 1) for fact in _facts(operator.no)]
        return sorted(asked), number

    result = [0] * len(problem.operators)
    for rank, number in enumerate(sorted(range(len(result)), key=key)):
        result[number] = rank
    return result


def _facts(bits: int) -> list[int]:
    return [bit.bit_length() - 1 for bit in bits_of(bits)]


def _fact_order(problem: Problem) -> list[int]:
    graph = _causal_graph(problem)
    goal = set(_facts(problem.goal[0] | problem.goal[1]))
    order: list[int] = []
    for component in _components(graph, len(problem.fluents)):
        order += component if len(component) == 1 else _cut(component, graph, goal)
    return order


def _causal_graph(problem: Problem) -> Graph:
    graph: Graph = defaultdict(lambda: defaultdict(int))
    everything = (1 << len(problem.fluents)) - 1
    for operator in problem.operators:
        entries = _entries(operator, everything)
        asked = operator.yes | operator.no
        changed = {target for target, _ in entries}
        sources = [fact for fact in _facts(asked) if fact not in changed]
        sources += [target for target, _ in entries if asked >> target & 1]
        for target, conditions in entries:
            for source in (*sources, *conditions):
                if source != target:
                    graph[source][target] += 1
    for rule in problem.rules:
        for source in _facts(rule.yes | rule.no):
            if source != rule.head:
                graph[source][rule.head] += 1
    return graph


def _entries(operator: Operator, everything: int) -> list[tuple[int, list[int]]]:
    """(fact that changes, facts that decide whether it does)."""
    always = operator.add | (everything & ~operator.keep)
    entries: list[tuple[int, list[int]]] = [(fact, []) for fact in _facts(always)]
    for effect in operator.conditional:
        (fact,) = _facts(effect.add | effect.delete)
        entries.append((fact, _facts(effect.yes | effect.no)))
    return entries


def _components(graph: Graph, size: int) -> list[list[int]]:
    """Strongly connected components in topological order (Tarjan 1972), without recursion."""
    arcs = [sorted(graph[v]) if v in graph else [] for v in range(size)]
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    found: list[list[int]] = []
    for root in range(size):
        if root in index:
            continue
        work = [(root, 0)]
        while work:
            v, at = work.pop()
            if at == 0:
                index[v] = low[v] = len(index)
                stack.append(v)
                on_stack.add(v)
            elif arcs[v][at - 1] in on_stack:
                low[v] = min(low[v], low[arcs[v][at - 1]])
            for i in range(at, len(arcs[v])):
                w = arcs[v][i]
                if w not in index:
                    work += [(v, i + 1), (w, 0)]
                    break
                if w in on_stack:
                    low[v] = min(low[v], index[w])
            else:
                if low[v] == index[v]:
                    start = stack.index(v)
                    found.append(stack[start:])
                    on_stack.difference_update(stack[start:])
                    del stack[start:]
    return found[::-1]


def _cut(component: list[int], graph: Graph, goal: set[int]) -> list[int]:
    """An order of one component: repeatedly the fact with the least weight of arcs coming in."""
    inside = set(component)
    arcs: dict[int, list[tuple[int, int]]] = {}
    weight: dict[int, int] = dict.fromkeys(component, 0)
    for v in component:
        arcs[v] = []
        for target, count in sorted(graph[v].items()):
            if target in inside:
                arcs[v].append((target, count))
                weight[target] += count + (_GOAL + count if target in goal else 0)
                if target in goal:
                    arcs[v].append((target, count))
    queues: dict[int, deque[int]] = defaultdict(deque)
    for v in component:
        queues[weight[v]].append(v)
    keys = list(queues)
    heapify(keys)
    done: set[int] = set()
    order: list[int] = []
    while keys:
        least = keys[0]
        queue = queues[least]
        chosen = -1
        # Entries are left behind when a weight falls; skip those.
        while queue and (chosen < 0 or chosen in done or least > weight[chosen]):
            chosen = queue.popleft()
        if not queue:
            del queues[least]
            heappop(keys)
        if chosen < 0 or chosen in done:
            continue
        done.add(chosen)
        order.append(chosen)
        for target, count in arcs[chosen]:
            if target not in done:
                weight[target] -= count
                if weight[target] not in queues:
                    heappush(keys, weight[target])
                queues[weight[target]].append(target)
    return order
