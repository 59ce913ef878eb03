"""Speed of a whole training step (rollout, loss, backward, optimizer) against TRL's GRPOTrainer.

    python benchmarks/train_step.py

Same weights, sampling, environment, number of trajectories and tokens; nobody stops early. The
sides take turns in one process, `--rounds` times after one to warm up, and the fastest step of
each counts. Ours is what `ludus train` does: `Rollout`, `GroupMean`, `pack`, `Learner.update`. TRL
is set up to be as fast as it can be here: no gradient checkpointing, no mixed precision, one
optimizer step a rollout, so that it skips its pass for old log-probabilities. Both sides compute
8-turn conversations in micro-batches of about 8 rows, which stay in the caches.

- 1 turn: TRL's own generation with Transformers' `generate`.
- 8 turns: `rollout_func` with `env_mask`, all conversations in lock-step, every turn one call of
  `GRPOTrainer._generate_single_turn`. That is what TRL's tool loop (`tools`,
  `environment_factory`) does as well, less its parsing and rendering; it cannot be used itself,
  since a random model calls no tools. `--continuous` lets TRL generate by Transformers'
  continuous batching instead, which is slower here.

Then both sides compute the loss of the same trajectories with the same weights, and log-
probabilities and gradients are compared. Last, our update alone: one row a trajectory against one
row a turn, the layout of SPIRAL, and against one row of each forest of shared prefixes.
"""

import argparse
import copy
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from datasets import Dataset
from prefix_tree import by_turn
from torch import Tensor
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from ludus.agents.chat import Chat
from ludus.agents.engines import make_engine
from ludus.agents.engines.base import SamplingParams
from ludus.agents.small_model import small_model
from ludus.envs.base import TextEnv
from ludus.envs.outcome import Outcome
from ludus.envs.task import Task
from ludus.envs.text import Message
from ludus.trainer.advantages import Advantages, GroupMean
from ludus.trainer.batch import MicroBatch, pack
from ludus.trainer.learner import Coefficients, Learner
from ludus.trainer.loss import ppo
from ludus.trainer.rollout import Rollout
from ludus.trainer.trajectory import Trajectory

GROUP = 8
REPLY = {1: 32, 8: 24}
"""By turns of a conversation: tokens of each reply."""
MICRO_TOKENS = 4096
LR, BETAS, CLIP = 1e-5, (0.9, 0.95), 1.0


now = time.perf_counter


class Echo(TextEnv):
    """Answers each of a fixed number of replies alike; the reward of a reply is its letters."""

    ENV_ID = "bench/Echo-v1"
    PARAMS = {"turns": 1}  # noqa: RUF012
    MAX_TURNS = 1000

    def _setup(self, task: Task, rng: Any) -> None:
        self._number, self._left = task.index, self.params["turns"]

    def _rules(self, seat: str) -> str:
        return f"Task number {self._number:05}"

    def _apply(self, moves: Any) -> Outcome:
        ((seat, text),) = moves.items()
        self._left -= 1
        reward = sum(map(str.isalpha, text)) / 100
        return Outcome({seat: reward}, terminated=self._left == 0, text="ok." * (self._left > 0))


class EvenChat(Chat):
    """Ends every reply itself, also one that drew the end: conversations are equally long."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer)
        self._ends, self.stop_ids = self.stop_ids, ()

    def _text(self, ids: tuple[int, ...]) -> str:
        return super()._text(ids[:-1] if ids and ids[-1] in self._ends else ids)

    def _bridge(self, messages: tuple[Message, ...], last_id: int) -> tuple[int, ...]:
        return super()._bridge(messages, -1)


class Ours:
    """Our side: steps on weights of its own."""

    def __init__(self, model: Any, tokenizer: Any, tasks: Sequence[Task], turns: int, reply: int):
        self.model, self.tasks = model, tasks
        self.engine = make_engine(model)
        self.rollout = Rollout(
            self.engine,
            EvenChat(tokenizer),
            lambda: Echo(turns=turns),
            SamplingParams(max_tokens=reply),
        )
        self.learner = Learner(model, ppo(), betas=BETAS, grad_clip=CLIP)
        self.steps = 0
        self.seconds: list[tuple[float, float, float]] = []
        """By step: rollout, packing, update."""

    def sample(self) -> tuple[list[Trajectory], Advantages]:
        """A step's trajectories and advantages."""
        episodes = self.rollout.play(self.tasks, seed=self.steps)
        return [t for e in episodes for t in e.trajectories], GroupMean()(episodes)

    def step(self) -> None:
        """Sample, pack and update; notes the seconds."""
        self.steps += 1
        at = [now()]
        trajectories, advantages = self.sample()
        at.append(now())
        batches = pack(trajectories, advantages, micro_tokens=MICRO_TOKENS)
        at.append(now())
        self.update(batches)
        at.append(now())
        self.seconds.append((at[1] - at[0], at[2] - at[1], at[3] - at[2]))

    def update(self, batches: Sequence[MicroBatch], lr: float = LR) -> dict[str, float]:
        """One optimizer step."""
        metrics = self.learner.update(
            batches, Coefficients(lr=lr, entropy=0.0, kl=0.0), version=self.engine.version
        )
        self.engine.weights_changed()
        return metrics


class Theirs(GRPOTrainer):  # type: ignore[misc]
    """TRL's side; only notes the seconds of its rollouts."""

    rollout_s: list[float]

    def _generate(self, prompts: list[Any]) -> Any:
        began = now()
        result = super()._generate(prompts)
        self.rollout_s.append(now() - began)
        self.sampled = sum(map(sum, result[2])) if result[2] else sum(map(len, result[1]))
        self.total = sum(map(len, result[0])) + sum(map(len, result[1]))
        return result


class TakeTurns(TrainerCallback):  # type: ignore[misc]
    """Times TRL's steps and lets the other side make one after each."""

    def __init__(self, other: Callable[[], None]) -> None:
        self.other = other
        self.seconds: list[float] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """TRL's step begins."""
        self._began = now()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """TRL's step is over: the other side's turn."""
        self.seconds.append(now() - self._began)
        self.other()


def make_theirs(
    model: Any,
    tokenizer: Any,
    tasks: Sequence[Task],
    turns: int,
    reply: int,
    folder: str,
    *,
    rounds: int,
    continuous: bool,
    callback: TrainerCallback,
) -> Theirs:
    """TRL's trainer for the same work."""
    prompts = []
    for task in tasks[::GROUP]:
        obs, _ = Echo(turns=turns).reset(options={"task": task})
        prompts.append([message._asdict() for message in obs.messages])
    trainer = Theirs(
        model=model,
        processing_class=tokenizer,
        reward_funcs=_played if turns > 1 else _answered,
        rollout_func=_turn_by_turn(EvenChat(tokenizer), turns) if turns > 1 else None,
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        callbacks=[callback],
        args=GRPOConfig(
            output_dir=folder,
            max_steps=rounds + 1,
            gradient_accumulation_steps=len(tasks) // GROUP,
            max_completion_length=reply,
            generation_kwargs={"eos_token_id": -1 if continuous else None},
            use_transformers_continuous_batching=continuous,
            **SAME,
        ),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.eos_token_ids = [-1]  # none ends a completion
    trainer.rollout_s = []
    return trainer


SAME: dict[str, Any] = {
    "per_device_train_batch_size": GROUP,
    "num_generations": GROUP,
    "loss_type": "dapo",  # mean over the tokens of the step
    "scale_rewards": "none",
    "beta": 0.0,
    "learning_rate": LR,
    "lr_scheduler_type": "constant",
    "adam_beta1": BETAS[0],
    "adam_beta2": BETAS[1],
    "max_grad_norm": CLIP,
    "shuffle_dataset": False,
    "gradient_checkpointing": False,
    "bf16": False,
    "use_cpu": True,
    "dataloader_pin_memory": False,
    "report_to": "none",
    "save_strategy": "no",
    "logging_strategy": "no",
    "disable_tqdm": True,
}
"""What TRL is told so that its step is ours."""


def _turn_by_turn(chat: EvenChat, turns: int) -> Callable[..., dict[str, Any]]:
    """A rollout of several turns, as TRL's `rollout_func` wants it."""

    def play(prompts: list[Any], trainer: GRPOTrainer) -> dict[str, Any]:
        envs = [Echo(turns=turns) for _ in prompts]
        starts = [list(chat.open(tuple(Message(**m) for m in prompt))) for prompt in prompts]
        ids, masks = [list(start) for start in starts], [list[int]() for _ in starts]
        for env in envs:
            env.reset(seed=0)
        for turn in range(turns):
            replies, _ = trainer._generate_single_turn(ids, None, {}, 1)
            for env, stream, mask, said in zip(envs, ids, masks, replies, strict=True):
                obs, *_ = env.step(chat.text(tuple(said)))
                shown = chat.bridge(obs.messages, said[-1]) if turn < turns - 1 else ()
                stream += [*said, *shown]
                mask += [1] * len(said) + [0] * len(shown)
        return {
            "prompt_ids": starts,
            "completion_ids": [stream[len(s) :] for stream, s in zip(ids, starts, strict=True)],
            "env_mask": masks,
            "logprobs": None,
            "ret": [env.returns["player_0"] for env in envs],
        }

    return play


def _played(completions: list[Any], ret: list[float], **kwargs: Any) -> list[float]:
    return ret


def _answered(completions: list[Any], **kwargs: Any) -> list[float]:
    env, rewards = Echo(), []
    for (message,) in completions:
        env.reset(seed=0)
        rewards.append(env.step(message["content"])[1])
    return rewards


def differences(ours: Ours, theirs: Theirs) -> tuple[float, float]:
    """Largest |difference| of log-probabilities and of the gradient (relative to the largest
    element), for the same trajectories and weights."""
    ours.model.load_state_dict(theirs.model.state_dict())
    ours.engine.weights_changed()
    trajectories, advantages = ours.sample()
    batches = pack(trajectories, advantages)

    streams = [[i for node in t.leaf.path() for i in node.ids] for t in trajectories]
    masks = [[n.is_action for n in t.leaf.path() for _ in n.ids] for t in trajectories]
    start = len(trajectories[0].leaf.path()[0].ids)
    ids, mask = torch.tensor(streams), torch.tensor(masks)[:, start:]
    inputs = {
        "prompt_ids": ids[:, :start],
        "prompt_mask": torch.ones_like(ids[:, :start]),
        "completion_ids": ids[:, start:],
        "completion_mask": torch.ones_like(ids[:, start:]),
        "tool_mask": mask.long(),
        "advantages": torch.tensor([a[0] for a in advantages]),
        "num_items_in_batch": mask.sum(),
    }
    theirs.model.zero_grad()
    theirs._compute_loss(theirs.model, inputs).backward()
    torch.nn.utils.clip_grad_norm_(theirs.model.parameters(), CLIP)
    with torch.no_grad():
        per_token, _, _ = theirs._get_per_token_logps_and_entropies(
            theirs.model, ids, torch.ones_like(ids), ids.shape[1] - start
        )
        # In the order of tokens; ours come in the order of bins.
        wanted = per_token[mask].sort().values
        found = []
        for batch in batches:
            found.append(ours.learner.logps_UV(ours.model, batch)[batch.slot_N, batch.token_N])
    logps = float((torch.cat(found).sort().values - wanted).abs().max())

    gradients: list[Tensor] = []
    hook = ours.learner.optimizer.register_step_pre_hook(
        lambda *_: gradients.extend(p.grad.clone() for p in ours.model.parameters())
    )
    ours.update(batches, lr=0.0)
    hook.remove()
    pairs = list(zip(gradients, theirs.model.parameters(), strict=True))
    scale = max(float(p.grad.abs().max()) for _, p in pairs)
    return logps, max(float((g - p.grad).abs().max()) for g, p in pairs) / scale


def layouts(ours: Ours, rounds: int) -> dict[str, float]:
    """Seconds of our update, packing included, by layout of the same trajectories."""
    trajectories, advantages = ours.sample()
    turns = [turn for t in trajectories for turn in by_turn(t)]
    turn_advantages: Advantages = [(a,) for advantage in advantages for a in advantage]
    # Bins of one token hold one trajectory each: nothing is shared.
    ways: dict[str, tuple[list[Trajectory], Advantages, int]] = {
        "one row a turn": (turns, turn_advantages, 1),
        "one row a trajectory": (trajectories, advantages, 1),
        "shared prefixes once": (trajectories, advantages, 1024),
    }
    best = dict.fromkeys(ways, float("inf"))
    norms = set()
    for _ in range(rounds):
        for name, (rows, own, bin_tokens) in ways.items():
            began = now()
            batches = pack(rows, own, bin_tokens=bin_tokens, micro_tokens=MICRO_TOKENS)
            # Learning rate 0: the weights, and so the fresh log-probabilities, stay.
            metrics = ours.learner.update(
                batches, Coefficients(lr=0.0, entropy=0.0, kl=0.0), version=ours.engine.version
            )
            best[name] = min(best[name], now() - began)
            norms.add(round(metrics["loss/grad_norm"], 4))
    assert len(norms) == 1, f"the layouts have different gradients: {norms}"
    return best


def compare(
    turns: int, model: Any, tokenizer: Any, tasks: Sequence[Task], *, rounds: int, continuous: bool
) -> Ours:
    """Print a row for each side with so many turns."""
    N = len(tasks)
    reply = REPLY[turns]
    ours = Ours(copy.deepcopy(model), tokenizer, tasks, turns, reply)
    clock = TakeTurns(ours.step)
    with tempfile.TemporaryDirectory() as folder:
        theirs = make_theirs(
            copy.deepcopy(model), tokenizer, tasks, turns, reply, folder,
            rounds=rounds, continuous=continuous, callback=clock,
        )  # fmt: skip
        theirs.train()
    trajectories, _ = ours.sample()
    nodes = [node for t in trajectories for node in t.leaf.path()]
    total = sum(len(node.ids) for node in nodes)
    sampled = sum(len(node.ids) for node in nodes if node.is_action)
    assert sampled == theirs.sampled == N * turns * reply, (sampled, theirs.sampled)
    assert total == theirs.total, (total, theirs.total)
    theirs_s = min(clock.seconds)
    ours_s = min(map(sum, ours.seconds))
    name = _counted(turns)
    _row(f"{name}, TRL", N, theirs_s, min(theirs.rollout_s))
    logp, gradient = differences(ours, theirs)
    _row(f"{name}, ours", N, ours_s, min(s[0] for s in ours.seconds), end="")
    print(f"  {theirs_s / ours_s:6.2f} x  {logp:.1e}, {gradient:.1e}")
    print(f"{'':22}{total // N} tokens a trajectory, {sampled // N} of them sampled")
    return ours


def main() -> None:
    """Compare, then our layouts with each other."""
    args = _options()
    if args.cpu_time:
        global now
        now = time.process_time
    warnings.simplefilter("ignore")
    for name in ("transformers", "trl", "accelerate", "ContinuousBatchingLogger"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if args.threads:
        torch.set_num_threads(args.threads)
    N = args.trajectories
    tasks = [Echo.tasks()[i // GROUP] for i in range(N)]
    model, tokenizer = small_model(
        hidden=args.hidden, layers=args.layers, vocab_size=259, max_positions=2048
    )
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, float32, ", end="")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}; {N} trajectories a step")
    print(
        f"{'':22}{'traj/s':>8} {'step s':>8} {'rollout':>8} {'rest':>8}  "
        f"{'ours is':>8}  max |diff| of log-probs, gradient"
    )
    for turns in args.turns:
        ours = compare(
            turns, model, tokenizer, tasks, rounds=args.rounds, continuous=args.continuous
        )
    best = layouts(ours, args.rounds)
    print(f"\nour update alone, {_counted(turns):8}{'traj/s':>8} {'seconds':>8}")
    for way, seconds in best.items():
        ratio = best["one row a turn"] / seconds
        print(f"{way:25} {N / seconds:8.1f} {seconds:8.3f}  {ratio:.2f} x")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare training steps with TRL's.")
    parser.add_argument("--rounds", type=int, default=3, help="the fastest of this many counts")
    parser.add_argument("--turns", type=int, nargs="+", default=list(REPLY), choices=list(REPLY))
    parser.add_argument("--hidden", type=int, default=128, help="width of the model")
    parser.add_argument("--layers", type=int, default=4, help="layers of the model")
    parser.add_argument("--trajectories", type=int, default=32, help=f"a step; {GROUP} a task")
    parser.add_argument("--threads", type=int, default=None, help="of torch")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="processor time instead of the clock's: with --threads 1, for busy machines",
    )
    parser.add_argument("--continuous", action="store_true", help="how TRL generates")
    return parser.parse_args()


def _counted(turns: int) -> str:
    return f"{turns} turn{'s' * (turns > 1)}"


def _row(name: str, count: int, step: float, rollout: float, end: str = "\n") -> None:
    rate = f"{count / step:8.1f} {step:8.3f} {rollout:8.3f} {step - rollout:8.3f}"
    print(f"{name:22}{rate}", end=end, flush=True)


if __name__ == "__main__":
    main()
