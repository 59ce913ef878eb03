"""The training run: sample, estimate, update, evaluate, save.

What is left out, and why: no replay buffer (every rollout is used at once, at staleness 0), no
reference model besides the magnet, no reward model (rewards come from the environment's rules),
no asynchrony (on one machine the learner and the engine share the processor).
"""

import contextlib
import gc
import os
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch

from ludus.agents.chat import Chat
from ludus.agents.engines import make_engine
from ludus.agents.engines.base import SamplingParams
from ludus.agents.policy import ModelAgent
from ludus.agents.small_model import load_model
from ludus.envs.text import Message
from ludus.trainer import checkpoint, evaluate, methods
from ludus.trainer.arena import all_imitations, make_arenas, tokenizer_texts
from ludus.trainer.config import TrainConfig
from ludus.trainer.credit import Credited
from ludus.trainer.finish import finish
from ludus.trainer.metrics import MetricsLog, rollout_metrics
from ludus.trainer.models import build_model
from ludus.trainer.needs import check_needs
from ludus.trainer.pool import Pool
from ludus.trainer.run_folder import begin_run, find_run, hold
from ludus.trainer.sampler import Sampler, check_budget, check_curriculum
from ludus.trainer.trajectory import usable
from ludus.trainer.warmstart import warm_start


class Trainer:
    """One run, from a config. Build it, then `run`.

    Args:
        config: What to do.
        resume: Go on from the newest checkpoint in `config.out`, if there is one.
        say: Shows a line to the user.
        on_step: Called after every step with its number and metrics.
        on_warm_step: Called after every step of the warm start with its number and loss.

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
        on_warm_step: Callable[[int, float], None] = lambda step, loss: None,
    ) -> None:
        self.config, self.say, self.on_step = config, say, on_step
        self.out = Path(config.out)
        self.step = 0
        self.time_s = 0.0
        self.episodes_done = 0
        self.arenas = make_arenas(config)
        for arena in self.arenas:
            check_needs(arena.env, methods.requirements(config))
        self.credit = methods.make_credit(config)
        self.curriculum = methods.make_curriculum(config, [arena.name for arena in self.arenas])
        check_curriculum(self.curriculum, self.arenas)
        check_budget(config, self.arenas)
        self.pool = methods.make_pool(config)
        found = find_run(config, resume=resume)
        if config.threads:
            torch.set_num_threads(config.threads)
        self.model, self.tokenizer = build_model(
            config.model if found is None else str(found.model_path),
            texts=lambda: tokenizer_texts(config, self.arenas),
            seed=config.seed,
            device=config.device,
        )
        self.chat = Chat(self.tokenizer)
        conversations = all_imitations(config, self.arenas, say) if found is None else []
        weakref.finalize(self, os.close, hold(config))
        if found is None:
            begin_run(config)
            self._warm_start(conversations, on_warm_step)
        self.engine = make_engine(self.model)
        sampling = SamplingParams(
            max_tokens=config.max_reply_tokens, temperature=config.temperature
        )
        self.agent = ModelAgent(self.engine, self.chat, sampling)
        self.learner = methods.make_learner(config, self.model)
        self.critic = methods.make_critic(config, self.learner)
        if self.pool is not None:
            self._open_pool(self.pool, fresh=found is None)
        self.sampler = Sampler(
            config, self.arenas, self.agent, self.credit, self.curriculum, self.pool
        )
        if found is not None:
            self._load(found)

    # ---- beginning and resuming -------------------------------------------------------------

    def _open_pool(self, pool: Pool, *, fresh: bool) -> None:
        def load(path: Path) -> ModelAgent:
            model, tokenizer = load_model(path, device=self.config.device)
            return ModelAgent(make_engine(model), Chat(tokenizer), self.agent.sampling)

        pool.open(self.out / "pool", load)
        if fresh:
            pool.add(0, self.model, self.tokenizer)

    def _warm_start(
        self, conversations: Sequence[tuple[Message, ...]], on_step: Callable[[int, float], None]
    ) -> None:
        if not conversations:
            return
        config = self.config
        who = "random legal play" if config.warmstart_agent == "random" else config.warmstart_agent
        started = time.monotonic()
        self.say(
            f"warm start: {config.warmstart_steps} steps of TRL's SFTTrainer on "
            f"{len(conversations)} conversations of {who}"
        )
        loss = warm_start(
            self.model,
            self.tokenizer,
            self.chat,
            conversations,
            steps=config.warmstart_steps,
            lr=config.warmstart_lr,
            context=config.warmstart_on == "all",
            seed=config.seed,
            on_step=on_step,
        )
        self.time_s += time.monotonic() - started
        self.say(f"warm start: loss {loss:.3f} nats a token, {self.time_s:.0f} s")

    def _load(self, found: checkpoint.Checkpoint) -> None:
        state = found.load_trainer()
        self.step = found.step
        self.time_s, self.episodes_done = state["time_s"], state["episodes_done"]
        self.learner.load_state_dict(state["learner"])
        self.credit.load_state_dict(state["credit"])
        if self.critic is not None:
            self.critic.load_state_dict(state["critic"])
        self.curriculum.load_state_dict(state["curriculum"])
        self.sampler.load_state_dict(state["sampler"])
        if self.pool is not None:
            self.pool.load_state_dict(state["pool"])
        self.engine.version = state["version"]
        checkpoint.set_random_state(state["random"])
        self.say(f"resumed from {found.path} at step {found.step}")

    def save(self) -> Path:
        """Write a checkpoint of the run as it stands."""
        saved = checkpoint.save(
            self.out / "checkpoints",
            self.step,
            self.model,
            self.tokenizer,
            trainer={
                "learner": self.learner.state_dict(),
                "credit": self.credit.state_dict(),
                "critic": None if self.critic is None else self.critic.state_dict(),
                "curriculum": self.curriculum.state_dict(),
                "sampler": self.sampler.state_dict(),
                "pool": None if self.pool is None else self.pool.state_dict(),
                "version": self.engine.version,
                "random": checkpoint.random_state(),
                "time_s": self.time_s,
                "episodes_done": self.episodes_done,
            },
            manifest={"config": self.config.to_json(), "digest": self.config.digest()},
        )
        if self.pool is not None:
            self.pool.checkpointed()
        return saved

    # ---- the straight line ------------------------------------------------------------------

    def run(self, *, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Train to the end, or until `should_stop` says so between two steps. The run is saved
        either way.

        Returns:
            Whether the end was reached.
        """
        config = self.config
        with contextlib.closing(MetricsLog(self.out, self.step)) as log:
            if self.step == 0:
                self._record(log, self.evaluate())
                self.save()
            while self.step < config.steps and not should_stop():
                started = time.monotonic()
                metrics = self.train_step()
                self.step += 1
                self.time_s += time.monotonic() - started
                last = self.step == config.steps
                if last or self.step % config.eval_every == 0:
                    metrics |= self.evaluate()
                self._record(log, metrics)
                if last or self.step % config.checkpoint_every == 0:
                    self.save()
            finished = self.step >= config.steps
            if not finished:
                self.save()
        finish(self)
        return finished

    def _record(self, log: MetricsLog, metrics: dict[str, float]) -> None:
        metrics = {**metrics, "time_s": self.time_s, "episodes": float(self.episodes_done)}
        log.write(self.step, metrics)
        self.on_step(self.step, metrics)

    def train_step(self) -> dict[str, float]:
        """Sample, credit, pack, update."""
        with _collected_later():
            return self._train_step()

    def _train_step(self) -> dict[str, float]:
        config, clock = self.config, _Clock()
        episodes = self.sampler.sample(self.step)
        self.episodes_done += self.sampler.played
        clock.lap("time/sample_s")
        if not usable(episodes):
            raise ValueError(
                f"no episode of step {self.step} can be learned from; the first ended with: "
                f"{episodes[0].reason}"
            )
        rows = methods.row_sizes(config, self.learner)
        if self.critic is not None:
            episodes = self.critic.judged(episodes, **rows)
            clock.lap("time/critic_s")
        if "magnet_logp" in self.credit.needs:
            episodes = self.learner.beside_magnet(episodes, **rows)
            clock.lap("time/magnet_s")
        credited = self.credit(episodes)
        clock.lap("time/credit_s")
        self.sampler.learn(episodes, credited)
        metrics = credited.metrics | self.curriculum.metrics() | self.sampler.metrics
        if credited.trajectories:  # else every group was left out: nothing to learn in this step
            metrics |= self._update(credited, clock)
        if config.magnet_every and (self.step + 1) % config.magnet_every == 0:
            self.learner.refresh_magnet()
        if self.pool is not None:
            if (self.step + 1) % self.pool.every == 0:
                self.pool.add(self.step + 1, self.model, self.tokenizer)
            metrics |= self.pool.metrics()
        clock.lap("time/update_s")
        return {**rollout_metrics(episodes, clock.laps["time/sample_s"]), **metrics, **clock.laps}

    def _update(self, credited: Credited, clock: "_Clock") -> dict[str, float]:
        config = self.config
        metrics: dict[str, float] = {}
        batches = methods.pack_episodes(config, self.learner, credited)
        clock.lap("time/pack_s")
        if self.critic is not None:
            metrics |= self.critic.update(batches, epochs=config.epochs)
            clock.lap("time/critic_s")
        if self.critic is None or self.step >= config.critic_warmup:
            metrics |= self.learner.update(
                batches,
                methods.coefficients(config, self.step),
                version=self.engine.version,
                epochs=config.epochs,
                weigh=methods.weigher(config, len(credited.trajectories)),
            )
            self.engine.weights_changed()
        return metrics

    def evaluate(self) -> dict[str, float]:
        """What is logged at an evaluation."""
        return evaluate.evaluate(
            self.agent, self.arenas, episodes=self.config.eval_episodes, seed=self.config.seed
        )


@contextlib.contextmanager
def _collected_later() -> Iterator[None]:
    """No garbage collection meanwhile: a step makes hundreds of thousands of objects, none of them
    in cycles, and looking through them took a tenth of its time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Clock:
    """Seconds between laps."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """The time since the last one, under a name; adds up."""
        now = time.monotonic()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now
