"""The small model is the same bytes each time, and its tokenizer loses nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from ludus.agents.small_model import load_model, small_model, small_tokenizer

TEXTS = ["the cat sat on the mat", "the dog sat on the log", "a cat and a dog"] * 3
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "hi\nthere"},
    {"role": "assistant", "content": "yo"},
    {"role": "user", "content": "bye"},
    {"role": "assistant", "content": "ok"},
]


def test_same_arguments_same_bytes() -> None:
    state = torch.get_rng_state()
    model, tokenizer = small_model(seed=3, texts=TEXTS, vocab_size=300)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    again, same = small_model(seed=3, texts=iter(TEXTS), vocab_size=300)
    other, _ = small_model(seed=4, texts=TEXTS, vocab_size=300)
    for (name, a), b in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
        assert a.dtype == torch.float32
    assert not torch.equal(model.lm_head.weight, other.lm_head.weight)
    assert model.lm_head.weight is not model.model.embed_tokens.weight
    assert tokenizer.get_vocab() == same.get_vocab()
    assert model.config.vocab_size == len(tokenizer) <= 300
    assert len(tokenizer("the cat").input_ids) < len("the cat")


TOKENIZER = small_tokenizer(TEXTS, vocab_size=280)


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_comes_back(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER(text).input_ids) == text


def test_long_numbers_are_read_digit_by_digit() -> None:
    tokenizer = small_tokenizer(["pay 1234567, pay 1 chip or 12"] * 9, vocab_size=400)
    shown = [tokenizer.decode([i]) for i in tokenizer("pay 1234567, pay 1").input_ids]
    assert shown == ["pay", " ", *"1234567", ",", " pay", " 1"]


def test_chat_template() -> None:
    text = TOKENIZER.apply_chat_template(CHAT[:2], tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi\nthere<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    whole = TOKENIZER.apply_chat_template(CHAT, tokenize=False)
    assert whole.startswith(text + "yo<|im_end|>\n<|im_start|>user")
    assert TOKENIZER.eos_token == "<|im_end|>"
    assert TOKENIZER.pad_token == "<|endoftext|>"


def test_assistant_mask() -> None:
    out = TOKENIZER.apply_chat_template(CHAT, return_dict=True, return_assistant_tokens_mask=True)
    marked = [i for i, m in zip(out["input_ids"], out["assistant_masks"], strict=True) if m]
    assert TOKENIZER.decode(marked) == "yo<|im_end|>ok<|im_end|>"


def test_saved_and_loaded(tmp_path: Path) -> None:
    model, tokenizer = small_model(texts=TEXTS, vocab_size=300)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, same = load_model(str(tmp_path), dtype=torch.bfloat16, device="cpu")
    assert loaded.dtype == torch.bfloat16
    loaded, same = load_model(tmp_path)
    assert loaded.dtype == torch.float32
    for (name, a), b in zip(model.state_dict().items(), loaded.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert same.get_vocab() == tokenizer.get_vocab()
    assert same.chat_template == tokenizer.chat_template
    assert (same.eos_token, same.pad_token) == (tokenizer.eos_token, tokenizer.pad_token)


@pytest.mark.parametrize("spec", ["/nope", "./a/b", "~/nothing/here", "a/b/c", Path("missing")])
def test_missing_folder(spec: str | Path) -> None:
    with pytest.raises(ValueError, match="does not exist") as caught:
        load_model(spec)
    assert str(spec) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no config\.json"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="cannot load") as caught:
        load_model(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["qwen3", "llama"])  # Transformers makes an empty one; none
def test_folder_without_a_tokenizer(tmp_path: Path, kind: str) -> None:
    model, tokenizer = small_model(hidden=32, layers=1)
    if kind == "llama":
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32,
                num_hidden_layers=1, num_attention_heads=2,
            )
        )  # fmt: skip
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="there is no tokenizer beside the model: write") as caught:
        load_model(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    tokenizer.save_pretrained(tmp_path)
    assert load_model(tmp_path)[1].get_vocab() == tokenizer.get_vocab()


def test_a_hub_that_answers_and_one_that_is_gone(tmp_path: Path) -> None:
    program = Path(__file__).parent / "loopback_hub.py"
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path)],
        stdout=subprocess.PIPE, text=True, timeout=240, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
    )  # fmt: skip
    there, unknown, kept, lost = json.loads(done.stdout)
    assert there[:2] == ["259 tokens", True]
    assert "is not a valid model identifier" in unknown[0]
    assert unknown[1]
    assert kept[:2] == ["259 tokens", False]
    assert lost[0].startswith(
        "cannot load a model from 'me/other', which is no folder here: it was not downloaded "
        "before, and the hub cannot be reached: "
    )
    assert kept[2] + lost[2] < 15  # the hub's client alone takes 70 s for the second


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="at least 259"):
        small_model(vocab_size=258)
    with pytest.raises(ValueError, match="multiple"):
        small_model(hidden=60, heads=8)
    with pytest.raises(ValueError, match="multiple"):
        small_model(heads=4, kv_heads=3)
