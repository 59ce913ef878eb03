"""The forward pass of a Llama, Qwen2 or Qwen3 over a slot cache, ragged and without padding.

Transformers' modules compute the same numbers; this one adds new tokens of many streams at once,
each at its own position, with a handful of kernels a layer.
"""

from typing import Any

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import linear

from ludus.agents.engines.attention import Chunks, attend, buckets
from ludus.agents.engines.weights import Weights, refusal


class Decoder:
    """Computes a model's hidden states from its own parameters.

    Raises:
        ValueError: If the model is none that `weights.supports`.
    """

    def __init__(self, model: Any) -> None:
        if (reason := refusal(model)) is not None:
            raise ValueError(f"the embedded engine cannot run this model: {reason}")
        config = model.config
        self.model = model
        self.heads = config.num_attention_heads
        self.kv_heads = config.num_key_value_heads
        self.head_dim: int = model.model.layers[0].self_attn.head_dim
        self.layers = config.num_hidden_layers
        self.vocab_size: int = model.lm_head.weight.shape[0]
        self.max_positions: int = config.max_position_embeddings
        self.scale: float = model.model.layers[0].self_attn.scaling
        self.refresh()

    def refresh(self) -> None:
        """Follow parameters that may have moved, and forget what was derived from them."""
        self.weights = Weights.of(self.model)
        self.dtype, self.device = self.weights.head.dtype, self.weights.head.device
        self._eps = torch.tensor(self.model.config.rms_norm_eps, device=self.device)
        self._cos = self._sin = torch.empty(0, dtype=self.dtype, device=self.device)

    def __call__(self, chunks: Chunks, keys: Tensor, values: Tensor) -> Tensor:
        """Append chunks to their slots.

        Args:
            chunks: In the order of `Chunks.ordered`; T tokens in all.
            keys: (layers, slots, kv_heads, head_dim, positions), written in place.
            values: (layers, slots, kv_heads, positions, head_dim), written in place.

        Returns:
            (T, hidden) the normalised hidden state of every token.
        """
        slot_of, position_of = (torch.from_numpy(x).to(self.device) for x in chunks.places())
        tokens = torch.from_numpy(chunks.tokens).to(self.device)
        groups = buckets(chunks, self.kv_heads, self.dtype, self.device)
        cos, sin = self._rotation(keys.shape[-1])
        cos, sin = cos[position_of], sin[position_of]
        heads, both, D = self.heads, self.heads + self.kv_heads, self.head_dim
        x = self.weights.embedding[tokens]
        for index, layer in enumerate(self.weights.layers):
            normed = self._norm(x, layer.norm)
            qkv = linear(normed, layer.qkv, layer.qkv_bias).view(x.shape[0], -1, D)
            qk = qkv[:, :both]
            if layer.qk_norm is not None:
                qk = self._norm(qk, layer.qk_norm)
            torch.addcmul(qk * cos, qk.roll(D // 2, -1), sin, out=qkv[:, :both])
            q, k, v = qkv[:, :heads], qkv[:, heads:both], qkv[:, both:]
            held_k, held_v = keys[index], values[index]
            held_k[slot_of, :, :, position_of] = k
            held_v[slot_of, :, position_of] = v
            parts = [attend(g, q, k, v, held_k, held_v, self.scale) for g in groups]
            mixed = parts[0] if len(parts) == 1 else torch.cat(parts)
            x = x + linear(mixed, layer.out, layer.out_bias)
            normed = self._norm(x, layer.ff_norm)
            gate, up = linear(normed, layer.gate_up, layer.gate_up_bias).chunk(2, -1)
            x = x + linear(layer.activation(gate).mul_(up), layer.down, layer.down_bias)
        return self._norm(x, self.weights.norm)

    def logits(self, hidden: Tensor) -> Tensor:
        """(N, hidden) states to (N, V) logits, in the model's own precision."""
        return linear(hidden, self.weights.head, self.weights.head_bias)

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        # The same as torch's rms_norm, which takes half as long again on a CPU.
        wide = x.float()
        length = vector_norm(wide, dim=-1, keepdim=True)
        scale = torch.addcmul(self._eps, length, length, value=1 / x.shape[-1]).rsqrt_()
        if wide is x:
            return (x * weight).mul_(scale)
        return (wide * scale).to(x.dtype) * weight

    def _rotation(self, positions: int) -> tuple[Tensor, Tensor]:
        # (positions, 1, head_dim) tables as the model's own module computes them. The sine of the
        # first half is negated: with it, rotate_half is a plain roll.
        if len(self._cos) < positions:
            with torch.inference_mode():
                ids = torch.arange(positions, device=self.device)[None]
                cos, sin = self.model.model.rotary_emb(self.weights.head, ids)
                sin = sin.clone()
                sin[..., : self.head_dim // 2] *= -1
                self._cos, self._sin = cos[0, :, None], sin[0, :, None]
        return self._cos, self._sin
