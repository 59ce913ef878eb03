"""From a config to the parts of a method: credit, loss, corrections, regularizers, learner."""

from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ludus.trainer.corrections import CORRECTIONS, Correction
from ludus.trainer.credit import Credit
from ludus.trainer.learner import Coefficients, Learner, frozen_copy
from ludus.trainer.loss import AGGREGATIONS, LOSSES, PolicyLoss, masked, token_weights
from ludus.trainer.parts import make_part
from ludus.trainer.regularizers import REGULARIZERS, Regularizer
from ludus.trainer.schedule import scheduled

if TYPE_CHECKING:
    from ludus.trainer.config import TrainConfig

__all__ = [
    "AGGREGATIONS", "check", "coefficients", "make_corrections", "make_credit", "make_learner",
    "make_loss", "make_regularizers", "requirements", "weigher",
]  # fmt: skip


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
    make_loss(config)
    make_corrections(config)
    make_regularizers(config)


def requirements(config: "TrainConfig") -> dict[str, str]:
    """What an environment must have, names of `NEEDS`, and what in the config asks for it."""
    found = dict.fromkeys(config.needs, "the recipe")
    if "golden_logp" in make_credit(config).estimator.needs:
        found["golden"] = config.advantage.partition(":")[0]
    return found


def weigher(config: "TrainConfig", trajectories: int) -> "partial[Tensor]":
    """From trajectories of tokens to weights, see `token_weights`."""
    return partial(
        token_weights,
        aggregation=config.aggregation,  # type: ignore[arg-type]
        norm=config.norm * trajectories,
    )
