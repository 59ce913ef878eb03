"""Agents that learn to use tools: the short form of what docs/results/tools.md reports."""

import dataclasses
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ludus.agents.chat import Chat
from ludus.agents.small_model import small_tokenizer
from ludus.tools.sandbox import SandboxError, open_sandbox
from ludus.trainer.arena import make_arenas
from ludus.trainer.config import RECIPES
from ludus.trainer.train import Trainer

ROOT = Path(__file__).resolve().parent.parent


def benchmark() -> Any:
    path = ROOT / "benchmarks" / "tool_agent.py"
    spec = importlib.util.spec_from_file_location("tool_agent", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tool_agent"] = module
    spec.loader.exec_module(module)
    return module


def test_a_warm_start_calls_the_interpreter_and_is_trained(tmp_path: Path) -> None:
    try:
        open_sandbox("bubblewrap", warm=0).close()
    except SandboxError as error:
        pytest.skip(str(error))
    config = dataclasses.replace(
        RECIPES["math-python"],
        env_args='{"call_format": "tags", "digits": 1}',
        out=str(tmp_path / "run"),
        steps=2,
        episodes=16,
        eval_every=1,
        eval_episodes=40,
        warmstart_episodes=64,
        warmstart_steps=40,
    )
    rows: dict[int, Mapping[str, float]] = {}
    Trainer(config, on_step=rows.__setitem__).run()
    assert 0.1 < rows[0]["eval/calls"] < 0.9  # some replies call, some do not
    assert rows[0]["eval/turns"] > 1
    assert 0 < rows[1]["env/calls"] <= 4
    assert {"rollout/success", "eval/success"} <= rows[2].keys()
    own = benchmark()
    before, after = (
        own.judged(path, tasks=20) for path in sorted((tmp_path / "run/checkpoints").glob("step-*"))
    )
    curve = [(row["episodes"], row["eval/success"], row["eval/calls"]) for row in rows.values()]
    runs = {0: own.Run(curve, before, after, 1.0)}
    told = own.table(runs).splitlines()
    assert len(told) == 4
    assert len({line.count("|") for line in told}) == 1
    assert " of 20 |" in told[2]
    drawn = ElementTree.fromstring(own.picture(runs))
    lines = drawn.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.get("points", "").split()) for line in lines] == [3, 3]


@pytest.mark.parametrize("recipe", ["math-python", "hop-search"])
def test_what_is_imitated_fits_a_reply(recipe: str) -> None:
    if recipe == "hop-search":
        pytest.importorskip("bm25s")
    config = RECIPES[recipe]
    (arena,) = make_arenas(config)
    conversations = arena.imitations(64, agent=config.warmstart_agent, seed=0)
    texts = [said.content for conversation in conversations for said in conversation]
    chat = Chat(small_tokenizer(texts))
    longest = max(
        len(chat.reply(said.content))
        for conversation in conversations
        for said in conversation
        if said.role == "assistant"
    )
    assert config.max_reply_tokens / 2 <= longest <= config.max_reply_tokens
