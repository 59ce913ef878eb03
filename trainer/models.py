"""Models by name: made here from nothing, or loaded."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ludus.agents.small_model import load_model, small_model

_SIZES = ("hidden", "layers", "heads", "kv_heads", "intermediate", "max_positions", "vocab_size")


def build_model(
    spec: str, *, texts: Callable[[], Sequence[str]], seed: int, device: str = "cpu"
) -> tuple[Any, Any]:
    """The model and tokenizer that a spec names, in float32: in bfloat16, in which most models are
    published, AdamW's small steps are rounded away, and engine and learner cannot agree.

    Args:
        spec: "small", "small:hidden=128,layers=4", a local folder, or a hub id.
        texts: What a tokenizer made from nothing learns its merges from.
        seed: Of random weights.
        device: Where the model lives.

    Raises:
        ValueError: If the spec names nothing, or there is no such device; one line.
    """
    check_device(device)
    name, _, settings = spec.partition(":")
    if name != "small":
        return load_model(spec, device=device, dtype=torch.float32)
    sizes: dict[str, int] = {}
    for setting in filter(None, settings.split(",")):
        key, _, value = setting.partition("=")
        if key not in _SIZES or not value.isdecimal():
            raise ValueError(
                f"unknown model setting {setting!r}, allowed: small:KEY=NUMBER,... with "
                f"{', '.join(_SIZES)}"
            )
        sizes[key] = int(value)
    model, tokenizer = small_model(**sizes, texts=texts(), seed=seed)
    return model.to(device), tokenizer


def check_device(name: str) -> None:
    """Whether torch can put something there.

    Raises:
        ValueError: If not; one line.
    """
    try:
        torch.zeros(1, device=name).tolist()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {name!r}: {str(error).splitlines()[0]}") from None
