"""What a token attends to in a bin of shared prefixes, said in the way a model takes it."""

from typing import Any

import torch
from torch import Tensor, nn

from ludus.trainer.batch import MicroBatch

KINDS = ("full_attention", "sliding_attention")
"""Layers whose attention a mask can express. Others (recurrent, chunked) mix tokens by their place
in the row, so that siblings would see each other."""


def attention_masks(
    model: nn.Module, mask_BTT: Tensor, position_BT: Tensor
) -> Tensor | dict[str, Tensor]:
    """Additive (B, 1, T, T) masks: one for all layers, or one for each kind of layer.

    Args:
        model: Whose layers are asked.
        mask_BTT: (B, T, T) bool, query t may attend to key s.
        position_BT: (B, T) depth of each token in its tree: what a sliding window is counted in.
    """
    config: Any = model.config
    dtype = next(model.parameters()).dtype

    def additive(allowed_BTT: Tensor) -> Tensor:
        mask = torch.zeros_like(allowed_BTT, dtype=dtype)
        return mask.masked_fill_(~allowed_BTT, torch.finfo(dtype).min)[:, None]

    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or ())
    if window is None or kinds == {"full_attention"}:
        return additive(mask_BTT)
    distance_BTT = position_BT[:, :, None] - position_BT[:, None, :]
    near = additive(mask_BTT & (distance_BTT < window))
    if not kinds:
        return near
    return {"full_attention": additive(mask_BTT), "sliding_attention": near}


def model_inputs(model: nn.Module, batch: MicroBatch) -> dict[str, Any]:
    """What a Transformers model or its decoder is called with for a micro-batch."""
    mask: Tensor | dict[str, Tensor] | None = None
    if batch.mask_BTT is not None:
        mask = attention_masks(model, batch.mask_BTT, batch.position_BT)
    return {
        "input_ids": batch.ids_BT,
        # Plain rows have the default positions. Transformers, if told those of padding, takes
        # them for packed sequences and builds masks for what is plainly causal.
        "position_ids": None if mask is None else batch.position_BT,
        "attention_mask": mask,
        "use_cache": False,
    }


@torch.no_grad()
def shares_prefixes(model: nn.Module) -> bool:
    """Whether two rows that begin alike may be laid into one: tried on a small one."""
    if set(getattr(model.config, "layer_types", None) or ()) - set(KINDS):
        return False
    device = next(model.parameters()).device
    size: int = model.config.vocab_size  # type: ignore[union-attr,assignment]
    prefix, one, other = ([i % size for i in ids] for ids in ((3, 5, 7), (11, 2), (4, 9)))
    first, n = len(prefix), len(prefix) + len(one)
    T = first + len(one) + len(other)
    mask = torch.ones(T, T, dtype=torch.bool, device=device).tril()
    mask[n:, first:n] = False
    position = torch.tensor([*range(n), *range(first, first + len(other))], device=device)
    was_training = model.training
    model.eval()
    try:
        tree = model(
            input_ids=torch.tensor([prefix + one + other], device=device),
            position_ids=position[None],
            attention_mask=attention_masks(model, mask[None], position[None]),
            use_cache=False,
        ).logits[0]
        rows = [
            model(input_ids=torch.tensor([prefix + own], device=device), use_cache=False).logits[0]
            for own in (one, other)
        ]
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
        return False  # it takes no mask of this shape
    finally:
        model.train(was_training)
    plain = torch.cat([rows[0], rows[1][first:]])
    return torch.allclose(
        tree.float(), plain.float(), atol=1e-2 if tree.dtype.itemsize < 4 else 1e-4
    )
