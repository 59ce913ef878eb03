"""Engines: where tokens are sampled and scored."""

from typing import Any

from ludus.agents.engines.base import Completion, Engine, SamplingParams, Session

__all__ = ["Completion", "Engine", "SamplingParams", "Session", "make_engine"]


def make_engine(model: Any) -> Engine[Any]:
    """The fastest engine that can run the model: embedded if it is supported, else `hf`."""
    # Here and not above: playing environments must not need torch.
    from ludus.agents.engines.embedded import EmbeddedEngine
    from ludus.agents.engines.hf import HFEngine
    from ludus.agents.engines.weights import supports

    return EmbeddedEngine(model) if supports(model) else HFEngine(model)
