"""The opponent pool: past selves of the policy, frozen, and how strong they are.

    pool/step-000050/    the policy after 50 steps, in Transformers' own format

A snapshot that a checkpoint knows of stays until no kept checkpoint does, so a run that is killed
and resumed meets the same opponents.
"""

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ludus.agents.policy import ModelAgent
from ludus.trainer.advantages.base import choice, mean
from ludus.trainer.curriculum import Elo, prioritized
from ludus.trainer.quiet import quiet

NOW = "now"
"""The name of the policy among the ratings."""


class Pool:
    """Snapshots to play against.

    Args:
        draw: Who is met: "latest", "uniform" (any), or "pfsp", by how often they still win
            (prioritised fictitious self-play, AlphaStar).
        size: At most so many; the oldest leaves.
        every: Steps between snapshots. The first is the policy before the first step.
        power: See `prioritized`.
        decay: Weight of the past in the win rate against a snapshot, a step it is met in.
        k: Of the Elo ratings.
    """

    def __init__(
        self,
        draw: str = "pfsp",
        size: int = 5,
        every: int = 20,
        power: float = 2.0,
        decay: float = 0.9,
        k: float = 16.0,
    ) -> None:
        choice("draw", draw, ("latest", "uniform", "pfsp"))
        if size < 1 or every < 1 or not 0 <= decay < 1:
            raise ValueError(
                "a pool needs size >= 1, every >= 1 and 0 <= decay < 1, got "
                f"{size}, {every} and {decay}"
            )
        self.how, self.size, self.every, self.power, self.decay = draw, size, every, power, decay
        self.elo = Elo(k=k)
        self.win_rates: dict[str, float] = {}
        """Of the policy against each snapshot, oldest first; 1/2 before they have met."""
        self._saved: set[str] = set()

    def open(self, folder: Path, load: Callable[[Path], ModelAgent]) -> None:
        """Say where snapshots are kept, and how one becomes an agent."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._load = folder, load
        self._agents: dict[str, ModelAgent] = {}

    def add(self, step: int, model: Any, tokenizer: Any) -> None:
        """Keep the policy as it is; it has the policy's rating."""
        name = f"step-{step:06d}"
        part = self.folder / f".part-{name}"
        shutil.rmtree(part, ignore_errors=True)
        with quiet():
            model.save_pretrained(part)
            tokenizer.save_pretrained(part)
        shutil.rmtree(self.folder / name, ignore_errors=True)  # of the same step, before a resume
        part.rename(self.folder / name)
        self._agents.pop(name, None)
        self.elo.ratings[name] = self.elo.ratings.setdefault(NOW, self.elo.start)
        self.win_rates[name] = 0.5
        for old in list(self.win_rates)[: -self.size]:
            del self.win_rates[old], self.elo.ratings[old]
            self._agents.pop(old, None)

    def pick(self, rng: random.Random) -> str:
        """Whom to meet."""
        names = list(self.win_rates)
        if self.how == "latest":
            return names[-1]
        chances = dict.fromkeys(names, 1.0)
        if self.how == "pfsp":
            chances = prioritized(self.win_rates, self.power)
        return rng.choices(names, [chances[name] for name in names])[0]

    def agent(self, name: str) -> ModelAgent:
        """A snapshot as an opponent, with an engine of its own."""
        if name not in self._agents:
            self._agents[name] = self._load(self.folder / name)
        return self._agents[name]

    def record(self, name: str, points: Sequence[float]) -> None:
        """Results of the policy against a snapshot: 1 for a win, 1/2 for a draw, 0 for a loss."""
        for own in points:
            self.elo.record(NOW, name, own)
        if points:
            old = self.win_rates[name]
            self.win_rates[name] = self.decay * old + (1 - self.decay) * mean(points)

    def metrics(self) -> dict[str, float]:
        """Ratings, and win rates against each."""
        return {f"pool/elo/{name}": rating for name, rating in self.elo.ratings.items()} | {
            f"pool/win_rate/{name}": rate for name, rate in self.win_rates.items()
        }

    def checkpointed(self) -> None:
        """A checkpoint was written: remove what neither it nor the one before knows."""
        for path in self.folder.glob("step-*"):
            if path.name not in self._saved | set(self.win_rates):
                shutil.rmtree(path)
        self._saved = set(self.win_rates)

    def state_dict(self) -> dict[str, Any]:
        """Who is in it, and the ratings; JSON types."""
        return {"win_rates": dict(self.win_rates), "elo": self.elo.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; the snapshots are in the folder."""
        self.win_rates = dict(state["win_rates"])
        self.elo.load_state_dict(state["elo"])
        self._saved = set(self.win_rates)
