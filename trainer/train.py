"""The training run: sample, estimate, update, evaluate, save.

What is left out, and why: no replay buffer (every rollout is used at once, at staleness 0), no
reference model besides the magnet, no reward model (rewards come from the environment's rules),
no asynchrony (on one machine the learner and the engine share the processor).
"""

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ludus.agents.base import Prepares, make_agent
from ludus.agents.chat import Chat
from ludus.agents.engines import make_engine
from ludus.agents.engines.base import SamplingParams
from ludus.agents.policy import ModelAgent, sampling_for
from ludus.agents.solvers.game_tree import GameTree, build_tree
from ludus.envs import registry
from ludus.envs.base import TextEnv
from ludus.envs.task import Task, derive_seed
from ludus.envs.text import Message
from ludus.trainer import checkpoint, evaluate, methods
from ludus.trainer.batch import pack
from ludus.trainer.config import TrainConfig
from ludus.trainer.finish import finish
from ludus.trainer.learner import Coefficients, Learner, frozen_copy
from ludus.trainer.metrics import MetricsLog, provenance, rollout_metrics
from ludus.trainer.models import build_model
from ludus.trainer.rollout import Rollout
from ludus.trainer.schedule import scheduled
from ludus.trainer.trajectory import Episode, usable
from ludus.trainer.warmstart import imitations, warm_start


class Trainer:
    """One run, from a config. Build it, then `run`.

    Args:
        config: What to do.
        resume: Go on from the newest checkpoint in `config.out`, if there is one.
        say: Shows a line to the user.
        on_step: Called after every step with its number and metrics.

    Raises:
        ValueError: If something in the config does not fit together, or the folder holds another
            run; before anything is written.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        resume: bool = False,
        say: Callable[[str], None] = lambda line: None,
        on_step: Callable[[int, Mapping[str, float]], None] = lambda step, metrics: None,
    ) -> None:
        self.config, self.say, self.on_step = config, say, on_step
        self.out = Path(config.out)
        self.env_kwargs: dict[str, Any] = {
            **json.loads(config.env_args),
            "format": config.format,
            "on_invalid": config.on_invalid,
            "forfeit": config.forfeit,
        }
        self.env = self.make_env()
        self.tree = _small_tree(self.env)
        self.opponents = _opponent_seats(config, self.env)
        self.credit = methods.make_credit(config)
        methods.check_env(self.credit, self.env)
        found = _find_run(self.out, config, resume)
        if config.threads:
            torch.set_num_threads(config.threads)
        self.model, self.tokenizer = build_model(
            config.model if found is None else str(found.model_path),
            texts=self._texts,
            seed=config.seed,
            device=config.device,
        )
        self.chat = Chat(self.tokenizer)
        self.sampling = sampling_for(
            self.chat,
            SamplingParams(max_tokens=config.max_reply_tokens, temperature=config.temperature),
        )
        self.step = 0
        self.time_s = 0.0
        self.episodes_done = 0
        if found is None:
            self._begin()
        self.engine = make_engine(self.model)
        self.agent = ModelAgent(self.engine, self.chat, self.sampling)
        self.learner = Learner(
            self.model,
            methods.make_loss(config),
            temperature=config.temperature,
            magnet=frozen_copy(self.model) if config.kl > 0 else None,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
            grad_clip=config.grad_clip,
            parity_tolerance=config.parity_tolerance,
            corrections=methods.make_corrections(config),
            regularizers=methods.make_regularizers(config),
        )
        self.players = [
            Rollout(
                self.engine,
                self.chat,
                self.make_env,
                self.sampling,
                opponents=others,
                needs=self.credit.estimator.needs,
            )
            for others in self.opponents
        ]
        if found is not None:
            self._load(found)
        self.log = MetricsLog(self.out, self.step)

    # ---- beginning and resuming -------------------------------------------------------------

    def make_env(self, **kwargs: Any) -> TextEnv:
        """The environment as the run plays it."""
        return registry.make(self.config.env, **{**self.env_kwargs, **kwargs})

    def _texts(self) -> list[str]:
        """What a tokenizer made from nothing learns its merges from."""
        return [said.content for conversation in self._imitations(64) for said in conversation]

    def _imitations(self, episodes: int) -> list[tuple[Message, ...]]:
        return imitations(
            self.config.env,
            episodes,
            agent=self.config.warmstart_agent,
            seed=self.config.seed,
            **self.env_kwargs,
        )

    def _begin(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        record = {"config": self.config.to_json(), **provenance()}
        (self.out / "run.json").write_text(json.dumps(record, indent=1) + "\n")
        if self.config.warmstart_episodes and self.config.warmstart_steps:
            conversations = self._imitations(self.config.warmstart_episodes)
            agent = self.config.warmstart_agent
            who = "random legal play" if agent == "random" else agent
            started = time.monotonic()
            self.say(
                f"warm start: {self.config.warmstart_steps} steps of TRL's SFTTrainer on "
                f"{len(conversations)} conversations of {who}"
            )
            loss = warm_start(
                self.model,
                self.tokenizer,
                self.chat,
                conversations,
                steps=self.config.warmstart_steps,
                lr=self.config.warmstart_lr,
                seed=self.config.seed,
            )
            self.time_s += time.monotonic() - started
            self.say(f"warm start: loss {loss:.3f} nats a token, {self.time_s:.0f} s")

    def _load(self, found: checkpoint.Checkpoint) -> None:
        state = found.load_trainer()
        self.step = found.step
        self.time_s, self.episodes_done = state["time_s"], state["episodes_done"]
        self.learner.load_state_dict(state["learner"])
        self.credit.load_state_dict(state["credit"])
        self.engine.version = state["version"]
        checkpoint.set_random_state(state["random"])
        self.say(f"resumed from {found.path} at step {found.step}")

    def save(self) -> Path:
        """Write a checkpoint of the run as it stands."""
        return checkpoint.save(
            self.out / "checkpoints",
            self.step,
            self.model,
            self.tokenizer,
            trainer={
                "learner": self.learner.state_dict(),
                "credit": self.credit.state_dict(),
                "version": self.engine.version,
                "random": checkpoint.random_state(),
                "time_s": self.time_s,
                "episodes_done": self.episodes_done,
            },
            manifest={"config": self.config.to_json(), "digest": self.config.digest()},
        )

    # ---- the straight line ------------------------------------------------------------------

    def run(self, *, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Train to the end, or until `should_stop` says so between two steps. The run is saved
        either way.

        Returns:
            Whether the end was reached.
        """
        config = self.config
        with contextlib.closing(self.log):
            if self.step == 0:
                self._record(self.evaluate())
                self.save()
            while self.step < config.steps and not should_stop():
                started = time.monotonic()
                metrics = self.train_step()
                self.step += 1
                self.time_s += time.monotonic() - started
                last = self.step == config.steps
                if last or self.step % config.eval_every == 0:
                    metrics |= self.evaluate()
                self._record(metrics)
                if last or self.step % config.checkpoint_every == 0:
                    self.save()
            finished = self.step >= config.steps
            if not finished:
                self.save()
        finish(self)
        return finished

    def _record(self, metrics: dict[str, float]) -> None:
        metrics = {**metrics, "time_s": self.time_s, "episodes": float(self.episodes_done)}
        self.log.write(self.step, metrics)
        self.on_step(self.step, metrics)

    def train_step(self) -> dict[str, float]:
        """Sample, credit, pack, update."""
        config, clock = self.config, _Clock()
        episodes = self._sample()
        self.episodes_done += len(episodes)
        clock.lap("time/sample_s")
        if not usable(episodes):
            raise ValueError(
                f"no episode of step {self.step} can be learned from; the first ended with: "
                f"{episodes[0].reason}"
            )
        credited = self.credit(episodes)
        clock.lap("time/pack_s")
        metrics = credited.metrics
        if credited.trajectories:  # else every group was left out: nothing to learn in this step
            weigh = methods.weigher(config, len(credited.trajectories))
            batches = pack(
                credited.trajectories,
                credited.advantages,
                aggregation=config.aggregation,  # type: ignore[arg-type]
                norm=config.norm * len(credited.trajectories),
                bin_tokens=config.bin_tokens,
                micro_tokens=config.micro_tokens,
                keep=credited.keep,
            )
            batches = [batch.to(self.model.device) for batch in batches]
            clock.lap("time/pack_s")
            metrics |= self.learner.update(
                batches,
                self.coefficients(),
                version=self.engine.version,
                epochs=config.epochs,
                weigh=weigh,
            )
            self.engine.weights_changed()
        if config.magnet_every and (self.step + 1) % config.magnet_every == 0:
            self.learner.refresh_magnet()
        clock.lap("time/update_s")
        return {**rollout_metrics(episodes, clock.laps["time/sample_s"]), **metrics, **clock.laps}

    def _sample(self) -> list[Episode]:
        """A step's episodes; more of them while filters leave fewer groups than were asked for."""
        seed = derive_seed(self.config.seed, self.step)
        episodes = self.rollout(self.tasks(self.step), seed=seed)
        wanted = self.credit.groups(episodes) if self.config.refill else 0
        for again in range(1, self.config.refill + 1):
            if self.credit.groups(episodes, filtered=True) >= wanted:
                break
            more = self.rollout(self.tasks(self.step, again), seed=derive_seed(seed, "more", again))
            episodes += more
        return episodes

    def coefficients(self) -> Coefficients:
        """What the schedules say for this step."""
        c, at = self.config, (self.step, self.config.steps)
        return Coefficients(
            lr=scheduled(c.lr, c.lr_end, c.lr_schedule, *at),
            entropy=scheduled(c.entropy, c.entropy_end, c.entropy_schedule, *at),
            kl=scheduled(c.kl, c.kl_end, c.kl_schedule, *at),
        )

    def tasks(self, step: int, again: int = 0) -> list[Task]:
        """The tasks of a step, each `group_size` times; others when asked again."""
        tasks = self.env.tasks("train", **json.loads(self.config.env_args))
        count = self.config.episodes // self.config.group_size
        more = (again,) if again else ()
        draws = [
            derive_seed(self.config.seed, "task", step, i, *more) % len(tasks) for i in range(count)
        ]
        return [tasks[draw] for draw in draws for _ in range(self.config.group_size)]

    def rollout(self, tasks: Sequence[Task], *, seed: int) -> list[Episode]:
        """Play the tasks; against an opponent the policy's seat rotates over them. The episodes of
        a group have one seat, so that they can be compared."""
        size, seats = self.config.group_size, len(self.players)
        episodes: list[Episode] = []
        for i, player in enumerate(self.players):
            own = [task for k, task in enumerate(tasks) if k // size % seats == i]
            episodes += player.play(own, seed=derive_seed(seed, i))
        return episodes

    def evaluate(self) -> dict[str, float]:
        """Exploitability where the game is small enough to solve, else results against random."""
        if self.tree is not None:
            result, _ = evaluate.exploitability(self.agent, self.tree)
            return {
                "eval/exploitability": result.exploitability,
                "eval/value": result.value,
                "eval/min_legal_mass": result.min_legal_mass,
            }
        results = evaluate.against(
            self.agent,
            self.config.env,
            "random",
            episodes=self.config.eval_episodes,
            seed=self.config.seed,
            env_kwargs=self.env_kwargs,
        )
        return {
            f"eval/{name}/{result.seat}": value
            for result in results
            for name, value in (("win_rate", result.win_rate), ("return", result.mean_return))
        }


class _Clock:
    """Seconds between laps."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name], self._last = now - self._last, now


def _small_tree(env: TextEnv) -> GameTree | None:
    """The game tree, where there is one that is worth querying a model for at every evaluation."""
    if env.worlds(**env.params) is None:
        return None
    try:
        return build_tree(env, max_nodes=2_000)
    except ValueError:
        return None


def _opponent_seats(config: TrainConfig, env: TextEnv) -> list[dict[str, Any]]:
    """For each seating of the policy, who plays the other seats; [{}] for self-play."""
    if config.opponent == "self":
        return [{}]
    if len(env.ROLES) < 2:
        raise ValueError(f"{config.env} has one seat: opponent must be 'self'")
    agent = make_agent(config.opponent)
    if isinstance(agent, Prepares):
        agent.prepare(env)
    return [{role: agent for role in env.ROLES if role != own} for own in env.ROLES]


def _find_run(out: Path, config: TrainConfig, resume: bool) -> checkpoint.Checkpoint | None:
    if not (out / "checkpoints").exists() and not (out / "run.json").exists():
        return None
    if not resume:
        raise ValueError(f"{out} already holds a run: --resume goes on with it, or choose --out")
    if not list((out / "checkpoints").glob("step-*")):
        return None  # it was stopped before its first checkpoint
    found = checkpoint.find(out)
    saved, asked = found.manifest["config"], config.to_json()
    for name, value in asked.items():
        if name != "out" and saved.get(name) != value:
            raise ValueError(
                f"{out} was started with {name}={saved.get(name)!r}, not {value!r}: "
                "a run is resumed with the config it began with"
            )
    return found
