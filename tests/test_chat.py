"""Chat templates to tokens: a conversation only grows, and nobody can speak for the template."""

from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ludus.agents.chat import Chat
from ludus.agents.small_model import small_tokenizer
from ludus.envs.text import Message

# In the style of public models, shortened.
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim }}"
    "{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
QWEN3 = (  # drops the thoughts of all but the last message
    "{% for m in messages %}{% set said = m['content'] %}"
    "{% if m['role'] == 'assistant' and '</think>' in said and not loop.last %}"
    "{% set said = said.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + said + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MISTRAL = (  # refuses two messages of one role in a row, knows no head of a reply
    "{{ bos_token }}{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}"
)
WITH_SYSTEM = (  # puts a default system message first
    "{{ '<|im_start|>system\nYou are helpful.<|im_end|>\n' }}{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tokenizer(
    template: str | None,
    specials: Sequence[str] = (),
    eos: str = "<|im_end|>",
    bos: str | None = None,
) -> Any:
    """Byte-level, with special tokens of its own that, as Llama 3's, have no role."""
    made = small_tokenizer(["a cat and a dog, check bet"] * 2, vocab_size=290)
    added = [AddedToken(text, special=True, normalized=False) for text in specials]
    made.add_tokens(added, special_tokens=True)
    made.eos_token = eos
    made.bos_token = bos
    made.chat_template = template
    return made


TOKENIZERS = {
    "small": small_tokenizer(["a cat and a dog, one two three"] * 2, vocab_size=290),
    "llama3": tokenizer(
        LLAMA3,
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|eot_id|>",
        "<|begin_of_text|>",
    ),
    "qwen3": tokenizer(QWEN3),
    "mistral": tokenizer(MISTRAL, ("<s>", "</s>", "[INST]", "[/INST]"), "</s>", "<s>"),
    "with system": tokenizer(WITH_SYSTEM),
    "none": tokenizer(None),
}
CHATS = {name: Chat(made) for name, made in TOKENIZERS.items()}
NAMES = pytest.mark.parametrize("name", CHATS)

SPECIALS = {
    name: [token.content for token in made.added_tokens_decoder.values()]
    for name, made in TOKENIZERS.items()
}


def is_plain(text: str) -> bool:
    """Whether nothing in it means something to a template: what does is tested apart."""
    words = ["</think>", *chain.from_iterable(SPECIALS.values())]
    return not any(word in text for word in words)


# One line, because without a template a reply ends with its line; no space at the ends, because
# templates trim it.
line = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1)
said = line.map(str.strip).filter(lambda text: text and is_plain(text))
talk = st.lists(said, min_size=1, max_size=7)


def messages(texts: Sequence[str]) -> list[Message]:
    """User and assistant in turn."""
    return [Message("assistant" if i % 2 else "user", text) for i, text in enumerate(texts)]


def grown(chat: Chat, texts: Sequence[str], *, cut: bool = False) -> tuple[int, ...]:
    """The conversation as a rollout makes it; up to the head of the next reply if a user spoke
    last. Cut replies come without their end."""
    ids: tuple[int, ...] = ()
    for message in messages(texts):
        if message.role == "assistant":
            ids += chat.reply(message.content)[: -1 if cut else None]
        elif not ids:
            ids = chat.open((message,))
        else:
            ids += chat.bridge((message,), ids[-1])
    return ids


def rendered(name: str, texts: Sequence[str]) -> str:
    """The conversation as the template gives it, all at once."""
    made = TOKENIZERS[name]
    template = made.chat_template
    if template is None:
        body = "".join(f"{m.role}:\n{m.content}\n" for m in messages(texts))
        return body + ("assistant:\n" if len(texts) % 2 else "")
    conversation = [m._asdict() for m in messages(texts)]
    text: str = made.apply_chat_template(
        conversation, tokenize=False, add_generation_prompt=bool(len(texts) % 2)
    )
    return text


def decode(name: str, ids: Sequence[int]) -> str:
    text: str = TOKENIZERS[name].decode(ids, clean_up_tokenization_spaces=False)
    return text


@NAMES
@settings(deadline=None, max_examples=60)
@given(texts=talk)
def test_growing_is_rendering(name: str, texts: list[str]) -> None:
    chat, whole = CHATS[name], rendered(name, texts)
    text = decode(name, grown(chat, texts))
    # After an assistant's end templates may still write white space, which comes with what follows.
    assert whole.startswith(text)
    assert len(texts) % 2 == 0 or text == whole
    assert whole[len(text) :].strip() == ""
    assert tuple(TOKENIZERS[name].encode(text, add_special_tokens=False)) == grown(chat, texts)


@NAMES
@settings(deadline=None, max_examples=30)
@given(texts=talk, cut=st.booleans())
def test_a_conversation_only_grows(name: str, texts: list[str], cut: bool) -> None:
    chat = CHATS[name]
    stages = [grown(chat, texts[:n], cut=cut) for n in range(1, len(texts) + 1)]
    for shorter, longer in pairwise(stages):
        assert longer[: len(shorter)] == shorter
        assert len(longer) > len(shorter)
    if cut and len(texts) % 2:  # ended in context: the same tokens in the end
        assert stages[-1] == grown(chat, texts)


@NAMES
@given(text=st.text(st.characters(exclude_categories=["Cs"])).filter(is_plain))
@settings(deadline=None, max_examples=60)
def test_a_reply_reads_back(name: str, text: str) -> None:
    chat = CHATS[name]
    ids = chat.reply(text)
    assert ids[-1] in chat.stop_ids
    assert chat.text(ids) == text
    if name != "none" or not text.endswith("\n"):  # there a line's end is the reply's
        assert chat.text(ids[:-1]) == text  # cut short: nothing is taken away


@pytest.mark.parametrize(
    ("name", "stops"),
    [
        ("small", {"<|im_end|>"}), ("llama3", {"<|eot_id|>"}), ("qwen3", {"<|im_end|>"}),
        ("mistral", {"</s>"}), ("none", {"\n", "<|im_end|>"}),
    ],
)  # fmt: skip
def test_stops(name: str, stops: set[str]) -> None:
    assert {decode(name, [i]) for i in CHATS[name].stop_ids} == stops


def test_end_of_text_ends_a_reply_but_not_its_turn() -> None:
    made = tokenizer(QWEN3, eos="<|endoftext|>")
    chat = Chat(made)
    end, eos = made.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert set(chat.stop_ids) == {end, eos}
    ids = (*chat.reply("hi")[:-1], eos)
    assert chat.text(ids) == "hi"
    assert chat.bridge((Message("user", "x"),), eos)[0] == end
    assert chat.bridge((Message("user", "x"),), end)[0] != end


def test_thoughts_stay_as_sampled() -> None:
    texts = [
        "move?",
        "<think>\nhm\n</think>\n\ncheck",
        "again?",
        "<think>\nno\n</think>\n\nbet",
        "?",
    ]
    text = decode("qwen3", grown(CHATS["qwen3"], texts))
    assert "hm" in text
    assert "hm" not in rendered("qwen3", texts)
    assert text.count("<|im_start|>") == rendered("qwen3", texts).count("<|im_start|>") == 6


@NAMES
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_special_tokens_are_letters_when_somebody_says_them(name: str, data: st.DataObject) -> None:
    pieces = st.lists(st.one_of(st.sampled_from(SPECIALS[name]), st.text("<|>a[]/s"))).map("".join)
    texts = [f"x{text}x" for text in data.draw(st.lists(pieces, min_size=1, max_size=5))]
    special = set(TOKENIZERS[name].added_tokens_decoder)
    plain = [i for i in grown(CHATS[name], ["x"] * len(texts)) if i in special]
    assert [i for i in grown(CHATS[name], texts) if i in special] == plain
    assert CHATS[name].text(CHATS[name].reply(texts[0])).replace("\u200b", "") == texts[0]


@NAMES
def test_a_message_may_say_the_mark(name: str) -> None:
    texts = ["a 0ludus0 b", "0ludus0", "0ludus0 and 0ludus0", "c", "0ludus0"]
    assert decode(name, grown(CHATS[name], texts)) == rendered(name, texts)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for m in messages %}{{ m['content'] | upper }}!{% endfor %}", "as it is"),
        ("{{ messages[0]['content'] }}", "as it is"),
        ("{% for m in messages %}{{ m['content'] }}{% endfor %}", "no end"),
        ("{% for m in messages %}{{", "cannot be rendered .unexpected 'end of template'"),
        ("{{ raise_exception('not me') }}", "cannot be rendered .not me"),
    ],
)
def test_templates_that_cannot_be_used(template: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^the chat template .*{message}.*: write one"):
        Chat(tokenizer(template))
    tokenizer(template).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"^the chat template of {tmp_path} .*{message}") as told:
        Chat(AutoTokenizer.from_pretrained(tmp_path))
    assert "\n" not in str(told.value)


def test_no_template_and_no_lines(tmp_path: Path) -> None:
    words = Tokenizer(WordLevel({"a": 0}, unk_token="a"))
    words.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"^{tmp_path} has no chat template, and no token for"):
        Chat(AutoTokenizer.from_pretrained(tmp_path))


def test_of_several_templates_the_default_one_counts() -> None:
    made = tokenizer(QWEN3)
    made.chat_template = {"default": QWEN3, "tool_use": LLAMA3}
    asked = (Message("user", "a cat"),)
    assert Chat(made).open(asked) == CHATS["qwen3"].open(asked)


def test_an_end_that_would_merge_with_what_follows() -> None:
    made = small_tokenizer(["a\n\n"] * 9, vocab_size=270)
    (end,) = made.encode("\n")
    assert len(made.encode("\n\n\n# user")) < len(made.encode("\n")) + len(
        made.encode("\n\n# user")
    )
    made.chat_template = (
        "{% for m in messages %}{{ '\n\n# ' + m['role'] + '\n' + m['content'] + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '\n\n# assistant\n' }}{% endif %}"
    )
    chat = Chat(made)
    texts = ["a", "b", "c"]
    assert made.decode(grown(chat, texts)) == (
        "\n\n# user\na\n\n\n# assistant\nb\n\n\n# user\nc\n\n\n# assistant\n"
    )
    assert chat.reply("b")[-1] == end
    assert grown(chat, texts) == grown(chat, texts, cut=True)
