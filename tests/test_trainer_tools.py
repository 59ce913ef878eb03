"""Training with tools: what a tool says is read and never trained, and real calls are counted."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn

import ludus
from ludus.agents.engines.base import SamplingParams
from ludus.agents.policy import sampling_for
from ludus.commands.train import main
from ludus.tools.sandbox import SandboxError, open_sandbox
from ludus.trainer.batch import MicroBatch, pack
from ludus.trainer.learner import Coefficients, Learner, frozen_copy
from ludus.trainer.loss import LOSSES
from ludus.trainer.rollout import Rollout
from ludus.trainer.shaping import ToolEconomy
from ludus.trainer.trajectory import Episode, Trajectory

sys.path.insert(0, str(Path(__file__).parent))
from trainer_parts import ScriptedEngine, chat, tiny

TASKS: list[tuple[str, dict[str, Any]]] = [
    ("ludus/PythonMath-v1", {"call_format": "tags"}),
    ("ludus/HopQA-v1", {"size": "tiny", "hops": 2, "tools": ["search"]}),
]


def needed(env_id: str) -> None:
    if env_id == "ludus/HopQA-v1":
        pytest.importorskip("bm25s")
        return
    try:
        open_sandbox("bubblewrap", warm=0).close()
    except SandboxError as error:
        pytest.skip(str(error))


def played(env_id: str, options: dict[str, Any], *replies: str) -> tuple[Episode, list[str]]:
    """An episode of a task in which the oracle's calls are made, and then these replies; and what
    the tools said."""
    env = ludus.make(env_id, **options)
    task = env.tasks("train")[7]
    env.reset(options={"task": task})
    texts: list[str] = []
    results: list[str] = []
    while env.acting:
        golden = env.golden()
        assert golden is not None
        assert golden.plan is not None
        plan = golden.plan
        texts.append(plan[0])
        obs, *_ = env.step(plan[0])
        if len(plan) > 1:
            results.append(str(obs))
    said = [*texts[:-1], *replies] if replies else texts
    engine = ScriptedEngine(lambda session: chat().reply(said[session.replies]))
    params = sampling_for(chat(), SamplingParams(max_tokens=200))
    rollout = Rollout(cast(Any, engine), chat(), lambda: ludus.make(env_id, **options), params)
    (episode,) = rollout.play([task], seed=0)
    return episode, results


class Watched(nn.Module):
    """A model whose logits are leaves: their gradient is the loss's, at every position."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inner, self.config = model, model.config
        self.logits: list[torch.Tensor] = []

    def forward(self, **inputs: Any) -> SimpleNamespace:
        with torch.no_grad():
            logits = self.inner(**inputs).logits
        self.logits.append(logits.requires_grad_())
        return SimpleNamespace(logits=logits)


def prefixes(batch: MicroBatch) -> list[tuple[int, ...]]:
    """The tokens up to each position, in the order of the flat logits; () for padding."""
    found = []
    for b, ids in enumerate(batch.ids_BT.tolist()):
        for t in range(len(ids)):
            seen = list(range(t + 1))
            if batch.mask_BTT is not None:
                seen = batch.mask_BTT[b, t].nonzero().flatten().tolist()
            found.append(tuple(ids[s] for s in seen))
    return found


def actions(trajectory: Trajectory) -> set[tuple[int, ...]]:
    """Everything that stood before a token that the agent wrote."""
    before: tuple[int, ...] = ()
    found = set()
    for node in trajectory.leaf.path():
        for i in range(len(node.ids)):
            if node.is_action:
                found.add(before + node.ids[:i])
        before += node.ids
    return found


@pytest.mark.parametrize(("env_id", "options"), TASKS)
@pytest.mark.parametrize("bin_tokens", [1, 4096])
def test_no_gradient_comes_from_what_tools_say(
    env_id: str, options: dict[str, Any], bin_tokens: int
) -> None:
    needed(env_id)
    right, results = played(env_id, options)
    wrong, _ = played(env_id, options, "12345")
    trajectories = [episode.trajectories[0] for episode in (right, wrong)]
    assert [t.ret for t in trajectories] == [1.0, 0.0]
    assert results
    model = tiny(max_positions=2048)[0]
    watched = Watched(model)
    own = Learner(
        watched, LOSSES["ppo"](), magnet=frozen_copy(tiny(seed=5, max_positions=2048)[0]),
        parity_tolerance=99.0,
    )  # fmt: skip
    watched.logits.clear()  # the learner has tried whether this model takes trees
    advantages = [[1.0] * len(trajectories[0].turns), [-0.5] * len(trajectories[1].turns)]
    batches = pack(trajectories, advantages, bin_tokens=bin_tokens)
    assert any(b.mask_BTT is not None for b in batches) == (bin_tokens > 1)
    own.update(batches, Coefficients(lr=0.0, entropy=0.1, kl=0.1), version=0)
    trained = actions(trajectories[0]) | actions(trajectories[1])
    seen: set[tuple[int, ...]] = set()
    silent: set[tuple[int, ...]] = set()
    for batch, logits in zip(batches, watched.logits, strict=True):
        assert logits.grad is not None
        for prefix, slope in zip(prefixes(batch), logits.grad.flatten(0, 1), strict=True):
            moved = bool(slope.abs().max() > 0)
            assert moved == (prefix in trained), chat()._tokenizer.decode(prefix[-20:])
            (seen if moved else silent).add(prefix)
    assert seen == trained
    # And what tools said was there to be trained on: every token of every result is silent.
    whole = chat()._tokenizer
    for result in results:
        (ends,) = {p for p in silent if whole.decode(p).endswith(result)} or {()}
        tokens = len(whole.encode(result, add_special_tokens=False))
        assert tokens > 5
        assert all(ends[:-n] in silent for n in range(1, tokens))


@pytest.mark.parametrize(("env_id", "options"), TASKS)
def test_turns_know_their_calls(env_id: str, options: dict[str, Any]) -> None:
    needed(env_id)
    episode, results = played(env_id, options)
    (trajectory,) = episode.trajectories
    name = "python" if "Math" in env_id else "search"
    assert [turn.called for turn in trajectory.turns] == [name] * len(results) + [""]


def test_tool_economy_counts_calls_and_not_bad_replies() -> None:
    needed("ludus/HopQA-v1")
    env_id, options = TASKS[1]
    straight, results = played(env_id, options)
    env = ludus.make(env_id, **options)
    env.reset(options={"task": env.tasks("train")[7]})
    answer = env.golden()
    assert answer is not None
    # A bad reply is a turn and no call.
    clumsy, _ = played(env_id, options, "<search>", str(answer.answer))
    wasteful, _ = played(env_id, options, "<search>x</search>", str(answer.answer))
    shaping = ToolEconomy(most=4)
    assert [shaping.calls(e.trajectories[0]) for e in (straight, clumsy, wasteful)] == [
        len(results), len(results), len(results) + 1,
    ]  # fmt: skip
    worth = [e.trajectories[0].ret for e in shaping([straight, clumsy, wasteful])]
    assert worth[:2] == [1.0, 1.0]
    assert 0 < worth[2] < 1


@pytest.mark.parametrize(("env_id", "options"), TASKS)
def test_grpo_trains(env_id: str, options: dict[str, Any], tmp_path: Path) -> None:
    needed(env_id)
    args = [
        "grpo", "--env", env_id, "--env-args", json.dumps(options), "--steps", "5",
        "--episodes", "8", "--group-size", "4", "--warmstart-steps", "2",
        "--warmstart-episodes", "4", "--eval-episodes", "4", "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    assert main(args) == 0
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 5
