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
from ludus.trainer.filters import FILTERS
from ludus.trainer.learner import Coefficients, Learner, frozen_copy
from ludus.trainer.loss import LOSSES, PolicyLoss, masked, token_weights
from ludus.trainer.modulation import MaxVariance
from ludus.trainer.parts import make_part
from ludus.trainer.pool import Pool
from ludus.trainer.regularizers import REGULARIZERS, Regularizer
from ludus.trainer.schedule import scheduled
from ludus.trainer.spread import CURRICULA, Curriculum, Ladder
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
    if config.group_size < 2:
        raise ValueError(
            f"branching {config.branching} grows the group_size leaves of a task: it needs 2 or "
            f"more, got {config.group_size}"
        )
    return branching


def make_learner(config: "TrainConfig", model: nn.Module) -> Learner:
    """Trains a model as the config says; the magnet begins where the model is."""
    return Learner(
        model,
        make_loss(config),
        temperature=config.temperature,
        magnet=frozen_copy(model) if has_magnet(config) else None,
        kl_estimate=config.kl_estimate,
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
        grad_clip=config.grad_clip,
        parity_tolerance=config.parity_tolerance,
        corrections=make_corrections(config),
        regularizers=make_regularizers(config),
    )


def make_critic(config: "TrainConfig", learner: Learner) -> Critic | None:
    """The critic, if the estimator reads one; it begins as a copy of the policy's decoder."""
    if "values" not in make_credit(config).needs:
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
    _check_acts(config, credit)
    make_curriculum(config)
    make_pool(config)
    if budget := make_budget(config):
        if config.branching or config.opponent != "self":
            raise ValueError(
                "a budget goes with no branching and no opponent: groups differ in size"
            )
        groups = config.episodes // config.group_size
        budget.sizes([str(i) for i in range(groups)], config.episodes)
    if config.hints > 1:
        raise ValueError(f"hints must be in [0, 1], got {config.hints}")
    if config.warmstart_agent != "random":
        make_agent(config.warmstart_agent)
    make_branching(config)
    make_loss(config)
    make_corrections(config)
    make_regularizers(config)


def _check_acts(config: "TrainConfig", credit: Credit) -> None:
    """Refuse what would never do anything, whatever is played.

    Raises:
        ValueError: Naming what it needs.
    """
    size, one_pass = config.group_size, config.epochs < 2
    critic, in_loss = "values" in credit.needs, config.kl > 0 or config.kl_end > 0
    filters = [spec for spec in config.filters if spec.partition(":")[0] in FILTERS]
    keep = max((edit.keep for edit in credit.edits if isinstance(edit, MaxVariance)), default=0)
    kl_cov = any(spec.partition(":")[0] == "kl_cov" for spec in config.regularizers)
    moves = "no token has moved from where it was sampled in a first epoch"
    for useless, why in (
        (
            credit.compares_siblings and size < 2,
            f"advantage {config.advantage} needs group_size >= 2, got {size}",
        ),
        (
            bool(filters) and size < 2,
            f"filters {', '.join(filters)} compare attempts at a task and need group_size >= 2, "
            f"got {size}",
        ),
        (
            bool(config.refill) and not config.filters,
            f"refill {config.refill} makes up for groups that filters leave out: it needs filters",
        ),
        (
            bool(config.magnet_every) and not has_magnet(config),
            f"magnet_every {config.magnet_every} moves what kl draws to: it needs kl or kl_end > 0",
        ),
        (
            config.kl_estimate == "k1",
            "kl_estimate k1 has no gradient in expectation: --shaping kl takes it off the rewards",
        ),
        (
            config.kl_estimate != "exact" and not in_loss,
            f"kl_estimate {config.kl_estimate} measures what kl weighs: it needs kl or kl_end > 0",
        ),
        (
            in_loss and "magnet_logp" in credit.needs,
            "kl is in the loss and shaping kl in the rewards: one of them",
        ),
        (
            bool(config.critic_warmup) and not critic,
            f"critic_warmup {config.critic_warmup} needs an advantage with a critic (gae, "
            f"bi_level_gae, turn_gae), got {config.advantage}",
        ),
        (
            bool(config.sequence_mask) and one_pass,
            f"sequence_mask {config.sequence_mask:g} needs epochs >= 2: {moves}",
        ),
        (kl_cov and one_pass, f"regularizer kl_cov needs epochs >= 2: {moves}"),
        (
            keep >= size and bool(keep) and not config.budget,
            f"edit max_variance:keep={keep} needs groups of more, got group_size {size}",
        ),
    ):
        if useless:
            raise ValueError(why)


def has_magnet(config: "TrainConfig") -> bool:
    """Whether a run ever draws the policy to a magnet, by its loss or its rewards."""
    return config.kl > 0 or config.kl_end > 0 or "magnet_logp" in make_credit(config).needs


def requirements(config: "TrainConfig") -> dict[str, str]:
    """What an environment must have, names of `NEEDS`, and what in the config asks for it."""
    found = dict.fromkeys(config.needs, "the recipe")
    credit = make_credit(config)
    specs = (config.advantage, *config.shaping, *config.modulation)
    parts = (credit.estimator, *credit.shaping, *credit.modulation)
    for spec, part in zip(specs, parts, strict=True):
        found |= dict.fromkeys(getattr(part, "asks", ()), spec.partition(":")[0])
    if config.budget:
        found["success"] = f"budget {config.budget}"
    if config.opponent == "self" and isinstance(make_curriculum(config), Ladder):
        found["success"] = "a ladder without an opponent"
    if config.hints:
        found |= dict.fromkeys(("plan", "one seat", "success"), "hints")
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
