"""A small language model and its tokenizer made from nothing, and the loading of real ones."""

import re
from collections.abc import Iterable
from pathlib import Path
from textwrap import shorten
from typing import Any

import httpx
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_url, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.utils.logging import (
    disable_progress_bar,
    enable_progress_bar,
    is_progress_bar_enabled,
)

IM_START, IM_END, END_OF_TEXT = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
MIN_VOCAB_SIZE = 256 + 3
"""All bytes and the three special tokens."""

# The generation block marks what the assistant itself writes, its end included, for
# `apply_chat_template(..., return_assistant_tokens_mask=True)`. Rendering more messages only ever
# appends, so token ids of an earlier turn stay valid.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' -}}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}"
    "{%- else -%}"
    "{{- message['content'] + '<|im_end|>' -}}"
    "{%- endif -%}"
    "{{- '\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)

IN_LONG_NUMBER = Regex(r"\d(?=\d)|(?<=\d)\d")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def small_tokenizer(
    texts: Iterable[str] = (), *, vocab_size: int = 512, max_positions: int = 1024
) -> Any:
    """Byte-level BPE trained on the texts, with ChatML special tokens and template.

    Numbers of several digits are read digit by digit, as Qwen's are: they can be copied, whatever
    the texts held.

    Any string comes back unchanged from encode and decode. The text of a special token inside a
    message is encoded as that token, so untrusted text should be cleaned before.

    Args:
        texts: What the merges are learnt from. Without any, every byte is a token.
        vocab_size: At most this many tokens; fewer when the texts run out of pairs.
        max_positions: The tokenizer's `model_max_length`, in tokens.

    Returns:
        A `PreTrainedTokenizerFast`; eos is `<|im_end|>`, pad is `<|endoftext|>`.

    Raises:
        ValueError: If vocab_size is below 259, the bytes and the special tokens.
    """
    if vocab_size < MIN_VOCAB_SIZE:
        raise ValueError(f"vocab_size must be at least {MIN_VOCAB_SIZE}, got {vocab_size}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(IN_LONG_NUMBER, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[END_OF_TEXT, IM_START, IM_END],
        # The alphabet is a set in Rust: sorted, so that ids do not depend on its order.
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(list(texts), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=IM_END,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[IM_START],
        chat_template=CHAT_TEMPLATE,
        model_max_length=max_positions,
        clean_up_tokenization_spaces=False,
    )


def small_model(
    *,
    hidden: int = 64,
    layers: int = 2,
    heads: int = 4,
    kv_heads: int = 2,
    intermediate: int | None = None,
    max_positions: int = 1024,
    seed: int = 0,
    texts: Iterable[str] = (),
    vocab_size: int = 512,
) -> tuple[Any, Any]:
    """A Qwen3 with random weights in float32 and untied embeddings, and its tokenizer.

    Same arguments, same bytes: the global random state is neither read nor changed.

    Args:
        hidden: Width of the residual stream; each head has hidden / heads of it.
        layers: Decoder layers.
        heads: Query heads.
        kv_heads: Key and value heads; divides heads.
        intermediate: Width of the feed-forward layer; 3 * hidden if not given.
        max_positions: Longest stream, in tokens.
        seed: Of the weights.
        texts: What the tokenizer's merges are learnt from.
        vocab_size: Upper bound; the model has exactly the tokenizer's tokens.

    Returns:
        The model, in evaluation mode, and the tokenizer.

    Raises:
        ValueError: If a size is below 1, or they do not divide, or vocab_size is below 259.
    """
    sizes = {"hidden": hidden, "layers": layers, "heads": heads, "kv_heads": kv_heads}
    for name, size in {**sizes, "max_positions": max_positions}.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    if hidden % (2 * heads) or heads % kv_heads:
        raise ValueError(
            f"hidden must be a multiple of 2 * heads and heads of kv_heads, "
            f"got hidden={hidden}, heads={heads}, kv_heads={kv_heads}"
        )
    tokenizer = small_tokenizer(texts, vocab_size=vocab_size, max_positions=max_positions)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=intermediate or 3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=hidden // heads,
        max_position_embeddings=max_positions,
        # 0.02, made for wide models, would drown what attention finds in the residual stream.
        initializer_range=hidden**-0.5,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would also reseed the accelerators.
        torch.default_generator.manual_seed(seed)
        model = Qwen3ForCausalLM(config).to(torch.float32)
    return model.eval(), tokenizer


def load_model(
    spec: str | Path,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> tuple[Any, Any]:
    """A causal language model and its tokenizer from a local folder or the hub.

    Args:
        spec: A folder written by `save_pretrained`, or a hub id such as "Qwen/Qwen3-0.6B".
        device: Where the weights go; stays on the CPU if not given.
        dtype: Of the weights; that of the checkpoint if not given.

    Returns:
        The model, in evaluation mode, and the tokenizer.

    Raises:
        ValueError: If nothing can be loaded from there; one line that names it.
    """
    name = str(spec)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ValueError(f"model folder {name!r} holds no config.json")
        name = str(folder)
    elif isinstance(spec, Path) or folder.exists() or not HUB_ID.fullmatch(name):
        raise ValueError(f"model folder {name!r} does not exist")
    part, had_bars = "model", is_progress_bar_enabled()
    disable_progress_bar()
    try:
        source = name if folder.is_dir() else _source(name)
        model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype or "auto")
        part = "tokenizer"
        tokenizer = _load_tokenizer(source)
    except (OSError, ValueError) as error:
        what = f"folder {name!r}" if folder.is_dir() else f"{name!r}, which is no folder here"
        reason = shorten(str(error), 200, placeholder=" ...")
        raise ValueError(f"cannot load a {part} from {what}: {reason}") from error
    finally:
        if had_bars:
            enable_progress_bar()
    return (model if device is None else model.to(device)).eval(), tokenizer


def _source(hub_id: str) -> str:
    """What to load a hub id from: itself, or where the hub cannot be reached what was downloaded
    before. Asked once, because the hub's client asks six times for each of three files, and waits
    23 s in between.

    Raises:
        ValueError: If the hub cannot be reached and nothing was downloaded.
    """
    try:
        get_hf_file_metadata(hf_hub_url(hub_id, "config.json"))
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, OfflineModeIsEnabled) as no:
        try:
            return snapshot_download(hub_id, local_files_only=True)
        except LocalEntryNotFoundError:
            raise ValueError(
                f"it was not downloaded before, and the hub cannot be reached: {no}"
            ) from None
    except (httpx.HTTPError, HfHubHTTPError):
        pass  # it was reached: what is wrong, loading says
    return hub_id


def _load_tokenizer(name: str) -> Any:
    """The tokenizer beside a model. Where there is none Transformers, by the kind of the model,
    makes an empty one or gives reasons that do not say so.

    Raises:
        ValueError: If it is missing or cannot be read.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except ValueError:
        if any(Path(name).glob("tokenizer*")):
            raise
        tokenizer = None
    if tokenizer is None or tokenizer.get_vocab().keys() <= tokenizer.get_added_vocab().keys():
        raise ValueError(
            "there is no tokenizer beside the model: write the one that it was trained with there, "
            "by tokenizer.save_pretrained"
        )
    return tokenizer
