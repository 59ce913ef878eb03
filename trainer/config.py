"""Configuration: one frozen dataclass; recipes are instances of it."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from ludus.envs.formats import FORMATS
from ludus.trainer.needs import NEEDS
from ludus.trainer.parts import one_of
from ludus.trainer.recipes import FIELDS
from ludus.trainer.schedule import SCHEDULES


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """One training run. On a CPU, equal configs and code give equal weights, byte for byte."""

    env: str = "ludus/KuhnPoker-v1"
    """Environment to train in; or several, "a,b", or a suite ("spiral-train")."""
    env_args: str = "{}"
    """Its own parameters, as a JSON object, of several environments by id; or a list of such
    objects, which are levels, the easiest first."""
    curriculum: str = "even"
    """How a step's groups are spread over environments and levels: even; sec, a bandit over what is
    learnt from each; ladder, a level at a time, up at a success rate ("ladder:up=0.7,over=256")."""
    needs: tuple[str, ...] = ()
    """What the environment must have besides what the parts below ask for: seats, one seat, golden,
    plan, success, tools, fork."""
    model: str = "small"
    """"small" (random weights, made here; "small:hidden=128,layers=4" sets its size), a local
    folder, or a hub id."""
    out: str = "runs/train"
    """Folder of the run: metrics, checkpoints, report."""
    seed: int = 0
    """Decides everything random in the run."""
    device: str = "cpu"
    """Where the model lives, as torch names it."""
    threads: int = 0
    """CPU threads of torch; 0 leaves it alone. Results are bitwise equal for an equal number."""

    steps: int = 200
    """Optimizer steps (times `epochs`)."""
    episodes: int = 256
    """Episodes per step."""
    group_size: int = 1
    """Episodes per task. Estimators that compare siblings need 2 or more."""
    branching: str = ""
    """How the episodes of a task branch: arpo, aepo, tree ("arpo:roots=4", "tree:trees=2"); a task
    then has `group_size` leaves. Empty: they are apart from the start."""
    opponent: str = "self"
    """"self": the policy plays all seats. Else an agent ("random", "nash", ...) that plays the
    others, while the policy's seat rotates; or a pool of its own past selves: "pool", or
    "pool:draw=pfsp,size=5,every=20", with draw latest, uniform or pfsp."""
    format: str = "plain"
    """How actions are written in replies: plain, boxed, tag, answer."""
    on_invalid: str = "forfeit"
    """What a bad reply costs: forfeit, retry, penalize, noop."""
    forfeit: tuple[float, float] = (-1.5, 0.5)
    """Rewards of a forfeit: of the offender, of the others. The default is SPIRAL's."""
    max_reply_tokens: int = 8
    """A reply is cut after this many tokens."""
    temperature: float = 1.0
    """Of sampling, and of the distribution that is trained."""

    shaping: tuple[str, ...] = ()
    """What rewards become first: overlong, format, renorm, otc, truncated_zero, kl. Every part here
    and below is a name, with settings where they differ ("overlong:longest=64,buffer=16"), or
    anybody's own, "package.module:attribute"."""
    filters: tuple[str, ...] = ()
    """Which groups are left out, by their raw returns: dynamic, starpo_s, snr."""
    hints: float = 0.0
    """Share of the right plan that a task is told, and tried again with, when all its episodes have
    failed; 0 tries none again."""
    budget: str = ""
    """How a step's episodes are shared out among its tasks: knapsack, by how often each was solved
    ("knapsack:low=2,high=32"). Empty: `group_size` each."""
    refill: int = 0
    """Up to so many further rollouts a step, while filters leave fewer groups than asked for."""
    advantage: str = "rae"
    """Estimator: rae (running mean per game and role), role_mean, group_mean, grpo, rloo, opo,
    otb, pass_k, max_rl, canon, bnpo, reinforce++, gigpo, mt_grpo, igpo, turn_returns, tree_grpo,
    tree_rl, spo, arpo, gae, bi_level_gae, turn_gae (these three with a critic), returns."""
    modulation: tuple[str, ...] = ()
    """What advantages become after: empg, entropy_aware, style, negatives, centre."""
    edits: tuple[str, ...] = ()
    """Which turns are not trained: not_truncated, not_zero, not_invalid, max_variance say what
    stays."""
    loss: str = "ppo"
    """Policy loss: ppo, reinforce, cispo, aepo, sapo, gspo, gmpo, asymre, opmd."""
    sequence_mask: float = 0.0
    """Leave out sequences of negative advantage whose tokens became less likely by more than this,
    nats a token; 0 leaves out none. It acts from the second epoch on."""
    corrections: tuple[str, ...] = ()
    """For tokens of other weights: tis, sequence_tis, geometric, k3, token_bounds, clip_cov."""
    regularizers: tuple[str, ...] = ()
    """Added to the loss: epo, adaptive_entropy, lp_reg, kl_cov."""
    clip_low: float = 0.2
    """Of loss ppo, with `clip_high`; other losses have their own ("gspo:clip_low=3e-3")."""
    clip_high: float = 0.2
    """Ratios of PPO are clipped to [1 - `clip_low`, 1 + `clip_high`]."""
    aggregation: str = "token-mean"
    """How token losses are averaged: token-mean, seq-mean-token-sum, seq-mean-token-mean,
    seq-mean-token-sum-norm."""
    norm: float = 8.0
    """The constant C of "seq-mean-token-sum-norm", which divides the sum over a step's tokens by C
    times the number of trajectories: SPIRAL's, with C the longest reply."""
    epochs: int = 1
    """Optimizer steps on each rollout."""
    bin_tokens: int = 1024
    """Trajectories that share a prefix are trained together in bins of at most this many tokens."""
    micro_tokens: int = 16_384
    """Tokens per forward and backward pass, padding included."""

    lr: float = 3e-4
    """Learning rate of AdamW, at the first step."""
    lr_end: float = 0.0
    """Value at the last step."""
    lr_schedule: str = "linear"
    """How it gets there: constant, linear, cosine, inverse, sqrt, exponential."""
    beta1: float = 0.9
    """Of AdamW: momentum."""
    beta2: float = 0.95
    """Of AdamW: memory of squared gradients."""
    weight_decay: float = 0.0
    """Of AdamW."""
    grad_clip: float = 1.0
    """Longest gradient, by its norm."""
    entropy: float = 0.0
    """Weight of the entropy bonus, nats."""
    entropy_end: float = 0.0
    """Weight at the last step."""
    entropy_schedule: str = "linear"
    """As `lr_schedule`."""
    kl: float = 0.0
    """Weight of KL(policy || magnet), nats. Its annealing is what makes self-play converge."""
    kl_end: float = 0.0
    """Weight at the last step."""
    kl_schedule: str = "linear"
    """As `lr_schedule`."""
    kl_estimate: str = "exact"
    """How it is measured: exact, over the vocabulary; or from the sampled tokens, k2, k3, or k3+
    (the value of k3, the gradient of k2). k1 goes into the rewards: --shaping kl:weight=0.01."""
    magnet_every: int = 0
    """Move the magnet to the policy every so many steps; 0 keeps the starting policy."""

    critic_lr: float = 1e-3
    """Of the critic, where the advantage needs one: gae, bi_level_gae, turn_gae."""
    critic_clip: float = 0.2
    """Its values move at most so far from those at sampling time, reward units; 0 for freely."""
    critic_warmup: int = 0
    """Steps in which it alone is trained."""

    warmstart_agent: str = "random"
    """Whose play is imitated first: "random" is random legal play, "expert" (or "expert:0.2", with
    a share of random replies) what the environment knows to be right, "hasty:0.8" the same with a
    share of answers that use no tool, or any other agent."""
    warmstart_episodes: int = 256
    """Episodes of it; 0 starts from the model as it is."""
    warmstart_steps: int = 100
    """Optimizer steps of that imitation."""
    warmstart_lr: float = 3e-3
    """Its learning rate at the first step; falls linearly to 0."""
    warmstart_on: str = "replies"
    """What is learned of a conversation: "replies", or "all", what is shown as well: a model with
    random weights learns to copy from texts that repeat themselves."""

    parity_tolerance: float = 1e-3
    """The run stops when engine and learner differ by more, nats."""
    eval_every: int = 20
    """Steps between evaluations; exploitability where the game is small enough, else win rates."""
    eval_episodes: int = 100
    """Episodes per opponent of an evaluation."""
    checkpoint_every: int = 50
    """Steps between checkpoints. One is also written at the end and when interrupted."""

    NO_MATTER: ClassVar = ("out", "needs")
    """Fields that do not change what is computed."""

    def __post_init__(self) -> None:
        # These import torch; naming the recipes needs none.
        from ludus.trainer import methods
        from ludus.trainer.loss import AGGREGATIONS

        for name, allowed in {**_CHOICES, "aggregation": AGGREGATIONS}.items():
            one_of(name, getattr(self, name), allowed)
        for need in self.needs:
            one_of("need", need, tuple(NEEDS))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, float) and not math.isfinite(number):
                    raise ValueError(f"{field.name} must be finite, got {number}")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if not self.out:
            raise ValueError("out must name a folder")
        if not abs(self.seed) < 2**63:
            raise ValueError(f"seed must be less than 2**63, got {self.seed}")
        if self.threads > 1024:
            raise ValueError(f"threads must be at most 1024, got {self.threads}")
        for name in ("opponent", "warmstart_agent"):
            if getattr(self, name) == "human":
                raise ValueError(f"{name} cannot be human: ludus play is for people")
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0, got {getattr(self, name)}")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if self.episodes % self.group_size:
            raise ValueError(
                f"episodes must be a multiple of group_size, got {self.episodes} and "
                f"{self.group_size}"
            )
        methods.check(self)
        if self.loss == "reinforce" and self.epochs > 1:
            raise ValueError(f"loss reinforce is for epochs 1, got {self.epochs}: use ppo")
        try:
            args = json.loads(self.env_args)
        except json.JSONDecodeError:
            args = None
        levels = args if isinstance(args, list) else [args]
        if not levels or not all(isinstance(level, dict) for level in levels):
            raise ValueError(
                f"env_args must be a JSON object, or a list of them, got {self.env_args!r}"
            )

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "TrainConfig":
        """Read what `to_json` wrote."""
        fields = {f.name for f in dataclasses.fields(cls)}
        if unknown := record.keys() - fields:
            raise ValueError(f"unknown config field {sorted(unknown)[0]!r}")
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in record.items()
        }
        return cls(**given)

    def digest(self) -> str:
        """Short hash of everything that decides the numbers."""
        deciding = {k: v for k, v in self.to_json().items() if k not in self.NO_MATTER}
        text = json.dumps(deciding, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


_CHOICES = {
    "format": tuple(FORMATS),
    "on_invalid": ("forfeit", "retry", "penalize", "noop"),
    "warmstart_on": ("replies", "all"),
    "lr_schedule": tuple(SCHEDULES),
    "entropy_schedule": tuple(SCHEDULES),
    "kl_schedule": tuple(SCHEDULES),
    "kl_estimate": ("exact", "k1", "k2", "k3", "k3+"),
}
_POSITIVE = (
    "steps", "episodes", "group_size", "max_reply_tokens", "temperature", "norm", "epochs",
    "bin_tokens", "micro_tokens", "lr", "grad_clip", "critic_lr", "warmstart_lr",
    "parity_tolerance", "eval_every", "eval_episodes", "checkpoint_every",
)  # fmt: skip
_NOT_NEGATIVE = (
    "threads", "lr_end", "weight_decay", "entropy", "entropy_end", "kl", "kl_end", "magnet_every",
    "warmstart_episodes", "warmstart_steps", "clip_low", "clip_high",
    "refill", "sequence_mask", "hints", "critic_clip", "critic_warmup",
)  # fmt: skip


class _Recipes(Mapping[str, TrainConfig]):
    """Each is made when it is looked at: their names alone cost no import of what computes."""

    def __getitem__(self, name: str) -> TrainConfig:
        return _recipe(name)

    def __iter__(self) -> Iterator[str]:
        return iter(FIELDS)

    def __len__(self) -> int:
        return len(FIELDS)


@cache
def _recipe(name: str) -> TrainConfig:
    return TrainConfig(**FIELDS[name])


RECIPES: Mapping[str, TrainConfig] = _Recipes()
"""Named configs; any field can be overridden on the command line."""
