"""What a check found, for people, programs and tests."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from rich.console import Console
from rich.table import Table
from rich.text import Text

Status = Literal["passed", "failed", "skipped"]

_STYLES: dict[Status, str] = {"passed": "green", "failed": "bold red", "skipped": "yellow"}


class CheckFailed(AssertionError):  # noqa: N818  # reads as what it is
    """An environment breaks a promise of the protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """The result of one item."""

    number: int
    name: str
    status: Status
    detail: str
    """What was seen: the first fault, the reason for skipping, or what was covered."""
    seconds: float
    figures: Mapping[str, float] = field(default_factory=dict)
    """Numbers that were measured, for items that measure."""

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "number": self.number,
            "name": self.name,
            "status": self.status,
            "detail": self.detail,
            "seconds": round(self.seconds, 3),
            "figures": dict(self.figures),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The results for one environment."""

    env_id: str
    items: tuple[Item, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the environment was made with, where not its defaults."""

    @classmethod
    def unmade(cls, env_id: str, error: Exception) -> Self:
        """Of an environment that cannot even be made."""
        detail = f"{type(error).__name__}: {error}"
        item = Item(number=0, name="making it", status="failed", detail=detail, seconds=0.0)
        return cls(env_id=env_id, items=(item,))

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Item, ...]:
        """The items that failed."""
        return tuple(item for item in self.items if item.status == "failed")

    def __getitem__(self, number: int) -> Item:
        """The item of a number.

        Raises:
            KeyError: If it was not run.
        """
        for item in self.items:
            if item.number == number:
                return item
        raise KeyError(number)

    def raise_for_failures(self) -> None:
        """For tests.

        Raises:
            CheckFailed: If an item failed; the message lists all that did.
        """
        if self.failed:
            faults = "\n".join(f"  {i.number}. {i.name}: {i.detail}" for i in self.failed)
            raise CheckFailed(f"{self.env_id} fails {len(self.failed)} checks:\n{faults}")

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "env_id": self.env_id,
            "settings": dict(self.settings),
            "ok": self.ok,
            "items": [item.to_json() for item in self.items],
        }

    def json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.to_json())

    def table(self) -> Table:
        """For a rich console."""
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        made = f"{self.env_id} ({settings})" if settings else self.env_id
        title = Text(f"{made}: {self.summary()}")
        table = Table("#", "check", "", "s", "detail", title=title, title_justify="left")
        table.columns[0].justify = table.columns[3].justify = "right"
        for item in self.items:
            # Details quote what environments say: Text, so that "[/b]" in it is no markup.
            table.add_row(
                str(item.number),
                item.name,
                Text(item.status, style=_STYLES[item.status]),
                f"{item.seconds:.1f}",
                Text(item.detail),
            )
        return table

    def summary(self) -> str:
        """One line.

        >>> Report(env_id="x/Y-v1", items=()).summary()
        '0 passed, 0 failed, 0 skipped'
        """
        states = [item.status for item in self.items]
        return ", ".join(f"{states.count(state)} {state}" for state in _STYLES)

    def print(self, console: Console | None = None) -> None:
        """The table, to a console (standard output by default)."""
        (console or Console()).print(self.table())
