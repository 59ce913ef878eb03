"""Chat template <-> tokens: the one place where messages become token ids.

A conversation's tokens only grow. The opening is rendered once; after every sampled reply only
what follows it is rendered (the end of the turn, the new messages, the head of the next reply)
and appended. Nothing that was sampled is ever decoded and encoded again, so the ids that are
trained on are the ids that were sampled, whatever a template would do to old turns (Qwen3's drops
their thoughts).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError

from ludus.envs.text import Message

_MARK = "0ludus0"  # stands for a reply while the template is probed; no template changes it

_NO_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ':\n' + message['content'] + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'assistant:\n' }}{% endif %}"
)
"""For tokenizers without a chat template: a reply is a line of its own, and ends with it."""


class Chat:
    """Renders messages for one tokenizer, append-only.

    Args:
        tokenizer: A Transformers tokenizer, with or without a chat template.

    Raises:
        ValueError: If the template cannot be rendered, does not show a reply as it is, or encodes
            nothing after it; one line that names the tokenizer's folder.
    """

    stop_ids: tuple[int, ...]
    """Tokens that end a reply: the template's end of turn, and the tokenizer's end of text."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.vocabulary: int = len(tokenizer)
        """How many tokens there are to say."""
        given = tokenizer.get_chat_template() if tokenizer.chat_template else None
        self._template = given or _NO_TEMPLATE
        # Not `all_special_tokens`: Llama 3's headers, for one, are not among them.
        self._specials = [
            token.content
            for token in tokenizer.added_tokens_decoder.values()
            if token.special and len(token.content) > 1
        ]
        try:
            tail = self._encode(self._tail(()))
        except TemplateError as error:
            raise self._refused(f"cannot be rendered ({error})") from None
        if not tail and given is None:
            where = tokenizer.name_or_path or "the tokenizer"
            raise ValueError(
                f"{where} has no chat template, and no token for the end of a line, which would "
                "end a reply without one: write a template to chat_template.jinja beside it"
            )
        if not tail:
            raise self._refused("marks no end of an assistant's turn")
        self._end_id = tail[0]
        self._end = tokenizer.decode([self._end_id])
        stops = {self._end_id, tokenizer.eos_token_id} - {None}
        self.stop_ids = tuple(sorted(stops))
        # Conversations repeat each other's texts, in small games nearly all of them.
        self.open = lru_cache(maxsize=8192)(self._open)
        self.bridge = lru_cache(maxsize=8192)(self._bridge)
        self.text = lru_cache(maxsize=8192)(self._text)

    def _refused(self, why: str) -> ValueError:
        of = f" of {self._tokenizer.name_or_path}" if self._tokenizer.name_or_path else ""
        return ValueError(
            f"the chat template{of} {why}: write one that ends each message with a token to "
            "chat_template.jinja there, or take it away, and a reply is a line"
        )

    def _render(self, messages: Sequence[Message], *, reply_next: bool) -> str:
        rendered: str = self._tokenizer.apply_chat_template(
            [{"role": role, "content": self._harmless(content)} for role, content in messages],
            chat_template=self._template,
            tokenize=False,
            add_generation_prompt=reply_next,
        )
        return rendered

    def _harmless(self, content: str) -> str:
        """Special tokens spelt out in what somebody said stay letters: no opponent, tool or page
        may end a turn or begin one."""
        for special in self._specials:
            if special in content:
                content = content.replace(special, f"{special[0]}\u200b{special[1:]}")
        return content

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))

    def _tail(self, messages: tuple[Message, ...]) -> str:
        """What follows a reply: end of turn, then messages and the head of the next reply."""
        said = (Message("user", "?"), Message("assistant", _MARK), *messages)
        # The first mark: a message may say it as well.
        _, mark, tail = self._render(said, reply_next=bool(messages)).partition(_MARK)
        if not mark:
            raise self._refused("does not show an assistant's reply as it is")
        return tail

    def _open(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        """The first prompt of a conversation, up to where the reply begins."""
        return self._encode(self._render(messages, reply_next=True))

    def _bridge(self, messages: tuple[Message, ...], last_id: int) -> tuple[int, ...]:
        """What to append after a sampled reply so that the next one can begin.

        Args:
            messages: What was said since.
            last_id: The reply's last token. If it is the end of the turn it stands already; a
                reply cut short is ended here, in tokens that are context and never trained.
        """
        # The end is a token of its own, as it is where it was sampled, whatever text follows it.
        rest = self._encode(self._tail(messages).removeprefix(self._end))
        return rest if last_id == self._end_id else (self._end_id, *rest)

    def _text(self, ids: tuple[int, ...]) -> str:
        """A sampled reply as the environment sees it: without its stop token."""
        if ids and ids[-1] in self.stop_ids:
            ids = ids[:-1]
        decoded: str = self._tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        return decoded

    def conversation(self, messages: Sequence[Message]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """All that a seat was told and said, with 1 for the tokens of its replies, 0 for context.

        Replies are written with their canonical tokens; where they were sampled in others, the
        session they were sampled in has the exact ones.
        """
        ids: tuple[int, ...] = ()
        mask: tuple[int, ...] = ()
        for said in messages:
            if said.role == "assistant":
                new = self.reply(said.content)
            elif not ids:
                new = self.open((said,))
            else:
                new = self.bridge((said,), ids[-1])
            ids += new
            mask += (int(said.role == "assistant"),) * len(new)
        return ids, mask

    def reply(self, text: str) -> tuple[int, ...]:
        """An agent's text as the tokens of a reply, end of turn included: what is scored, and
        what a warm start imitates."""
        return (*self._encode(self._harmless(text)), self._end_id)
