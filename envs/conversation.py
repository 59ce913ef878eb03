"""What seats are shown and asked, in the words and the format of the environment."""

from collections.abc import Sequence

from ludus.envs.episode import Episode
from ludus.envs.formats import ActionFormat
from ludus.envs.outcome import Golden
from ludus.envs.skin import Skin
from ludus.envs.text import Message, Obs


class Conversation(Episode):
    """An episode with its texts. Subclass `TextEnv`, not this."""

    format: ActionFormat
    skin: Skin | None
    show_legal: bool

    def observe(self, seat: str) -> Obs:
        """What a seat has been shown since it last acted. Pure."""
        if news := self._inbox[seat]:
            told = Message("user", self._worded("\n".join(news)))
            return Obs(told.content, (told,))
        said = self._transcripts[seat]
        if not said or said[-1].role == "assistant":
            return Obs()
        if len(said) > 1 and said[-2].role != "assistant":
            # Asked, and then told of the end before it had answered.
            return Obs(f"{said[-2].content}\n{said[-1].content}", (said[-2], said[-1]))
        return Obs(said[-1].content, (said[-1],))

    def legal_actions(self, seat: str | None = None) -> list[str] | None:
        """Exact texts a seat (by default the next to act) may reply; None if any text may do."""
        if seat is None:
            if not self._waiting:
                return None
            seat = self._waiting[0]
        legal = self._legal(seat)
        if legal is None:
            return None
        write = self.format.write
        return list(legal) if write is str else [write(move) for move in legal]

    def render(self) -> str | None:
        """The position ("ansi") or all that was said ("transcript"); None without a mode."""
        if self.render_mode == "ansi":
            seat = self._waiting[0] if self._waiting else self.ROLES[0]
            return self._worded(self._render()) or str(self.observe(seat))
        if self.render_mode == "transcript":
            return "\n".join(
                f"[{role}] {message.role}: {message.content}"
                for role in self.ROLES
                for message in self._transcripts[role]
            )
        return None

    def _known_way(self, moves: Sequence[str]) -> Golden | None:
        """For `golden`, where moves are known that lead to success: the first is right, and all of
        them are a plan if turns are left for them. None if there are no moves."""
        if not moves:
            return None
        plan = tuple(self.format.write(move) for move in moves)
        in_time = len(plan) <= self.MAX_TURNS - len(self._log)
        return Golden(action=plan[0], plan=plan if in_time else None)

    def _opening(self, seat: str) -> str:
        """The first thing a seat is told."""
        return f"{self._rules(seat)}\n{self.format.instruction}"

    def _prompt(self, seat: str) -> None:
        inbox = self._inbox[seat]
        if sight := self._observe(seat):
            inbox.append(sight)
        if self.show_legal and (legal := self._legal(seat)) is not None:
            try:
                inbox.append(f"Legal actions: {', '.join(legal)}")
            except TypeError:
                raise TypeError(f"moves are texts, _legal gave {legal!r}") from None
        self._flush(seat, inbox)

    def _worded(self, text: str) -> str:
        """The game's text in the words of the skin."""
        return text if self.skin is None else self.skin.swap(text)

    def _flush(self, seat: str, inbox: list[str]) -> None:
        try:
            text = "\n".join(inbox)
        except TypeError:
            wrong = next(said for said in inbox if not isinstance(said, str))
            raise TypeError(f"seats are told texts, not {wrong!r}") from None
        self._transcripts[seat].append(Message("user", self._worded(text)))
        inbox.clear()
