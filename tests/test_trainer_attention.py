"""Bins of shared prefixes in models that do not attend to everything."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    MambaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen3Config,
)

from ludus.trainer.attention import shares_prefixes
from ludus.trainer.batch import pack
from ludus.trainer.learner import Learner
from ludus.trainer.loss import ppo

sys.path.insert(0, str(Path(__file__).parent))
from trainer_parts import conversations, sampled

SIZES = {
    "vocab_size": 67, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
WINDOWS: dict[str, PretrainedConfig] = {
    "every layer": MistralConfig(**SIZES, sliding_window=5),
    "every other layer": Gemma2Config(**SIZES, head_dim=8, sliding_window=5),
    "by kind of layer": Qwen3Config(
        **SIZES, head_dim=8, use_sliding_window=True, sliding_window=5, max_window_layers=1
    ),
}


def made(config: PretrainedConfig) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        for p in model.parameters():
            p.data.add_(torch.randn_like(p) * 0.1)
    return model.eval()


@pytest.mark.parametrize("kind", WINDOWS)
def test_windows_are_counted_along_the_branch(kind: str) -> None:
    model = made(WINDOWS[kind])
    learner = Learner(model, ppo())
    assert learner.shares_prefixes
    trajectories = sampled(model, list(conversations(12, vocab=67)))
    batches = pack(trajectories, [[1.0] * len(t.turns) for t in trajectories])
    shared = [batch for batch in batches if batch.mask_BTT is not None]
    assert sum(len(set(batch.row_N.tolist())) for batch in shared) > 6
    for batch in shared:  # against what Transformers' own masks gave when it was sampled
        with torch.no_grad():
            logp_N = learner.logps_UV(model, batch)[batch.slot_N, batch.token_N]
        torch.testing.assert_close(logp_N, batch.logp_sampled_N, atol=1e-4, rtol=0)
    # The window matters here: without it the numbers are others.
    model.config.sliding_window = 1000
    with torch.no_grad():
        logp_N = learner.logps_UV(model, shared[0])[shared[0].slot_N, shared[0].token_N]
    assert float((logp_N - shared[0].logp_sampled_N).abs().max()) > 1e-2


def test_recurrent_models_share_nothing() -> None:
    config = MambaConfig(vocab_size=67, hidden_size=32, num_hidden_layers=2, state_size=4)
    assert not shares_prefixes(made(config))
