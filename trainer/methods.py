"""From a config to the parts of a method: credit, loss, corrections, regularizers, learner."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ludus.agents.base import make_agent
from ludus.trainer.batch import MicroBatch, pack
from ludus.trainer.branching import BRANCHING, Branching
from ludus.trainer.budget import BUDGETS, Budget
from ludus.trainer.corrections import CORRECTIONS, Correction
from ludus.trainer.credit import Credit, Credited
from ludus.trainer.critic import Critic
from ludus.trainer.learner import Coefficients, Learner, frozen_copy
from ludus.trainer.loss import LOSSES, PolicyLoss, masked, token_weights
from ludus.trainer.parts import make_part
from ludus.trainer.pool import Pool
from ludus.trainer.regularizers import REGULARIZERS, Regularizer
from ludus.trainer.schedule import scheduled
from ludus.trainer.spread import CURRICULA, Curriculum
from ludus.trainer.tokens import with_tokens

if TYPE_CHECKING:
    from ludus.trainer.config import TrainConfig


def make_credit(config: "TrainConfig") -> Credit:
    """From raw rewards to advantages."""
    return Credit.named(
        config.advantage,
        shaping=config.shaping,
        filters=config.filters,
        modulation=config.modulation,
        edits=config.edits,
    )


def make_loss(config: "TrainConfig") -> PolicyLoss:
    """The policy loss; `clip_low` and `clip_high` of the config are those of "ppo"."""
    clip = {"clip_low": config.clip_low, "clip_high": config.clip_high}
    is_ppo = config.loss.partition(":")[0] == "ppo"
    loss = make_part("loss", config.loss, LOSSES, **(clip if is_ppo else {}))
    return masked(loss, config.sequence_mask) if config.sequence_mask else loss


def make_corrections(config: "TrainConfig") -> list[Correction]:
    """In the order of the config."""
    return [make_part("correction", spec, CORRECTIONS) for spec in config.corrections]


def make_regularizers(config: "TrainConfig") -> list[Regularizer]:
    """In the order of the config; EPO's schedule is as long as the run."""
    made = []
    for spec in config.regularizers:
        length = {"steps": max(config.steps, 2)} if spec.partition(":")[0] == "epo" else {}
        made.append(make_part("regularizer", spec, REGULARIZERS, **length))
    return made


def make_branching(config: "TrainConfig") -> Branching | None:
    """How a task's episodes branch, if they do."""
    if not config.branching:
        return None
    branching = make_part("branching", config.branching, BRANCHING)
    branching.check(config.group_size)
    return branching


def make_learner(config: "TrainConfig", model: nn.Module) -> Learner:
    """Trains a model as the config says; the magnet begins where the model is."""
    return Learner(
        model,
        make_loss(config),
        temperature=config.temperature,
        magnet=frozen_copy(model) if config.kl > 0 else None,
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
        grad_clip=config.grad_clip,
        parity_tolerance=config.parity_tolerance,
        corrections=make_corrections(config),
        regularizers=make_regularizers(config),
    )


def make_critic(config: "TrainConfig", learner: Learner) -> Critic | None:
    """The critic, if the estimator reads one; it begins as a copy of the policy's decoder."""
    if "values" not in make_credit(config).estimator.needs:
        return None
    return Critic(
        learner.model,
        lr=config.critic_lr,
        clip=config.critic_clip,
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
        grad_clip=config.grad_clip,
    )


def row_sizes(config: "TrainConfig", learner: Learner) -> dict[str, int]:
    """How rows are laid for a model, arguments of `pack`."""
    shared = config.bin_tokens if learner.shares_prefixes else 1
    return {"bin_tokens": shared, "micro_tokens": config.micro_tokens}


def pack_episodes(config: "TrainConfig", learner: Learner, credited: Credited) -> list[MicroBatch]:
    """What a step trains on, as tensors where the model is."""
    batches = pack(
        credited.trajectories,
        credited.advantages,
        aggregation=config.aggregation,  # type: ignore[arg-type]
        norm=config.norm * len(credited.trajectories),
        keep=credited.keep,
        **row_sizes(config, learner),
    )
    if credited.tokens is not None:
        batches = with_tokens(batches, credited.trajectories, credited.tokens)
    device = next(learner.model.parameters()).device
    return [batch.to(device) for batch in batches]


def make_curriculum(config: "TrainConfig", arenas: Sequence[str] = ("",)) -> Curriculum:
    """Over arenas, by name."""
    return make_part("curriculum", config.curriculum, CURRICULA, arenas=arenas)


def make_budget(config: "TrainConfig") -> Budget | None:
    """Of episodes, if they are not shared out evenly."""
    return make_part("budget", config.budget, BUDGETS) if config.budget else None


def make_pool(config: "TrainConfig") -> Pool | None:
    """Of opponents, if the config has one."""
    if config.opponent.partition(":")[0] != "pool":
        return None
    return make_part("opponent", config.opponent, {"pool": Pool})


def coefficients(config: "TrainConfig", step: int) -> Coefficients:
    """What the schedules say for a step."""
    c, at = config, (step, config.steps)
    return Coefficients(
        lr=scheduled(c.lr, c.lr_end, c.lr_schedule, *at),
        entropy=scheduled(c.entropy, c.entropy_end, c.entropy_schedule, *at),
        kl=scheduled(c.kl, c.kl_end, c.kl_schedule, *at),
    )


def check(config: "TrainConfig") -> None:
    """Build all of it once.

    Raises:
        ValueError: If a part is unknown, refuses its settings, or does not fit the rest.
    """
    credit = make_credit(config)
    if credit.compares_siblings and config.group_size < 2:
        raise ValueError(
            f"advantage {config.advantage} needs group_size >= 2, got {config.group_size}"
        )
    make_curriculum(config)
    make_pool(config)
    if make_budget(config) and (config.branching or config.opponent != "self"):
        raise ValueError("a budget goes with no branching and no opponent: groups differ in size")
    if config.hints > 1:
        raise ValueError(f"hints must be in [0, 1], got {config.hints}")
    if config.warmstart_agent != "random":
        make_agent(config.warmstart_agent)
    make_branching(config)
    make_loss(config)
    make_corrections(config)
    make_regularizers(config)


def requirements(config: "TrainConfig") -> dict[str, str]:
    """What an environment must have, names of `NEEDS`, and what in the config asks for it."""
    found = dict.fromkeys(config.needs, "the recipe")
    if "golden_logp" in make_credit(config).estimator.needs:
        found["golden"] = config.advantage.partition(":")[0]
    if config.hints:
        found |= dict.fromkeys(("plan", "one seat"), "hints")
    if config.branching:
        found |= dict.fromkeys(("fork", "one seat"), f"branching {config.branching}")
    return found


def weigher(config: "TrainConfig", trajectories: int) -> "partial[Tensor]":
    """From trajectories of tokens to weights, see `token_weights`."""
    return partial(
        token_weights,
        aggregation=config.aggregation,  # type: ignore[arg-type]
        norm=config.norm * trajectories,
    )
