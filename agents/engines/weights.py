"""Which models the embedded engine computes itself, and their weights as it reads them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM

FAMILIES = (LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM)
ROPE_TYPES = ("default", "linear", "llama3", "yarn")  # those whose frequencies never change
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")


def refusal(model: Any) -> str | None:
    """Why the embedded engine cannot compute this model; nothing if it can."""
    if type(model) not in FAMILIES:
        known = ", ".join(family.__name__ for family in FAMILIES)
        return f"{type(model).__name__} is not one of {known}"
    layer_types = set(getattr(model.config, "layer_types", None) or ())
    if layer_types - {"full_attention"}:
        return f"layers of type {sorted(layer_types - {'full_attention'})}, only full attention"
    if model.model.rotary_emb.rope_type not in ROPE_TYPES:
        return f"rope type {model.model.rotary_emb.rope_type!r}, known: {list(ROPE_TYPES)}"
    for layer in model.model.layers:
        parts = [getattr(layer.self_attn, name) for name in PROJECTIONS]
        parts += [getattr(layer.mlp, name) for name in FEED_FORWARD]
        for part in parts:
            if type(part) is not nn.Linear:
                return f"a projection is a {type(part).__name__}, not a plain Linear"
    kinds = {(p.dtype, p.device) for p in model.parameters()}
    if len(kinds) != 1:
        return f"parameters of {len(kinds)} types or devices, only one"
    ((dtype, device),) = kinds
    if not dtype.is_floating_point or device.type == "meta":
        return f"parameters are {dtype} on {device.type}"
    return None


def supports(model: Any) -> bool:
    """Whether the embedded engine computes this model; `refusal` says why not."""
    return refusal(model) is None


@dataclass(frozen=True, slots=True)
class Layer:
    """One decoder layer. All but `qk_norm` is the module's own memory."""

    norm: Tensor
    qkv: Tensor
    qkv_bias: Tensor | None
    qk_norm: Tensor | None
    """(heads + kv_heads, head_dim) a copy, the norms of queries and keys for each head."""
    out: Tensor
    out_bias: Tensor | None
    ff_norm: Tensor
    gate_up: Tensor
    gate_up_bias: Tensor | None
    down: Tensor
    down_bias: Tensor | None
    activation: Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's weights, read in place: an optimizer's in-place step is seen at once."""

    embedding: Tensor
    layers: tuple[Layer, ...]
    norm: Tensor
    head: Tensor
    head_bias: Tensor | None

    @classmethod
    def of(cls, model: Any) -> "Weights":
        """The weights of a supported model.

        Query, key and value projections, and gate and up, are moved into one block of memory each
        and their parameters become views of it. The parameters stay the same objects with the same
        values, so optimizers, autograd, state_dict and load_state_dict do not notice. Calling it
        again costs little; it must be called again after anything that gives parameters new
        memory, such as `model.to(...)` or `load_state_dict(..., assign=True)`.
        """
        with torch.inference_mode(False), torch.no_grad():
            return cls(
                embedding=model.model.embed_tokens.weight.data,
                layers=tuple(_layer(layer, model.config) for layer in model.model.layers),
                norm=model.model.norm.weight.data,
                head=model.lm_head.weight.data,
                head_bias=None if model.lm_head.bias is None else model.lm_head.bias.data,
            )


def _layer(layer: Any, config: Any) -> Layer:
    attention, mlp = layer.self_attn, layer.mlp
    qkv, qkv_bias = _joined([attention.q_proj, attention.k_proj, attention.v_proj])
    gate_up, gate_up_bias = _joined([mlp.gate_proj, mlp.up_proj])
    out, out_bias = _joined([attention.o_proj])
    down, down_bias = _joined([mlp.down_proj])
    qk_norm = None
    if type(attention).__name__ == "Qwen3Attention":
        queries = attention.q_norm.weight.data.expand(config.num_attention_heads, -1)
        keys = attention.k_norm.weight.data.expand(config.num_key_value_heads, -1)
        qk_norm = torch.cat([queries, keys])
    act = mlp.act_fn
    return Layer(
        norm=layer.input_layernorm.weight.data,
        qkv=qkv,
        qkv_bias=qkv_bias,
        qk_norm=qk_norm,
        out=out,
        out_bias=out_bias,
        ff_norm=layer.post_attention_layernorm.weight.data,
        gate_up=gate_up,
        gate_up_bias=gate_up_bias,
        down=down,
        down_bias=down_bias,
        activation=nn.functional.silu if config.hidden_act in ("silu", "swish") else act,
    )


def _joined(parts: Sequence[nn.Linear]) -> tuple[Tensor, Tensor | None]:
    weights: list[Any] = [part.weight for part in parts]
    weight = _block(weights)
    # Typed as always present, and None without a bias. Together they have one or have none.
    biases: list[Any] = [part.bias for part in parts]
    present = [bias for bias in biases if bias is not None]
    return weight, _block(present) if present else None


def _block(parameters: Sequence[nn.Parameter]) -> Tensor:
    """One tensor of all rows, whose blocks are the memory of the parameters."""
    if not _side_by_side(parameters):
        block = torch.cat([p.data for p in parameters])
        start = 0
        for parameter in parameters:
            parameter.data = block[start : start + len(parameter)]
            start += len(parameter)
    first = parameters[0].data
    rows = sum(len(p) for p in parameters)
    return first.as_strided((rows, *first.shape[1:]), first.stride())


def _side_by_side(parameters: Sequence[nn.Parameter]) -> bool:
    first = parameters[0].data
    end = first.storage_offset()
    for p in parameters:
        same = p.data.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        if not same or p.data.storage_offset() != end or not p.data.is_contiguous():
            return False
        end += p.data.numel()
    return True
