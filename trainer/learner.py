"""The learner: log-probabilities with gradient, and the optimizer step."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ludus.trainer.attention import model_inputs, shares_prefixes
from ludus.trainer.batch import MicroBatch
from ludus.trainer.corrections import Correction, correct
from ludus.trainer.loss import PolicyLoss
from ludus.trainer.regularizers import Regularizer, kl_estimate
from ludus.trainer.tokens import noted
from ludus.trainer.trajectory import Episode, Turn


class ParityError(RuntimeError):
    """Engine and learner disagree about the probability of tokens the engine sampled."""


@dataclass(frozen=True, slots=True)
class Coefficients:
    """What moves over a run; the trainer computes them from its schedules."""

    lr: float
    entropy: float
    """Weight of the mean entropy, nats, which is raised."""
    kl: float
    """Weight of the mean KL(policy || magnet), nats, which is lowered."""


class Learner:
    """Holds the model, its optimizer and its magnet.

    Args:
        model: A Transformers causal language model; trained in place.
        loss: Per-token policy loss.
        temperature: Of the sampling; the same distribution is trained that was sampled from.
        magnet: A frozen model that the policy is drawn to, or None. Regularising towards a
            slowly changing magnet is what makes self-play converge instead of cycling (magnetic
            mirror descent, arXiv:2206.05825).
        kl_estimate: How KL to the magnet is measured: "exact", over the vocabulary, or from the
            sampled tokens, a kind of `kl_estimate`.
        betas, weight_decay: Of AdamW.
        grad_clip: Largest norm of the gradient.
        parity_tolerance: Largest difference, nats, between the log-probability recorded at
            sampling and the learner's, for tokens sampled by the current weights.
        corrections: Of weights and masks, before the first update on a rollout; the policy loss
            then compares with the weights before the update instead of those that sampled.
        regularizers: Added to the policy loss.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: PolicyLoss,
        *,
        temperature: float = 1.0,
        magnet: nn.Module | None = None,
        kl_estimate: str = "exact",
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
        grad_clip: float = 1.0,
        parity_tolerance: float = 1e-3,
        corrections: Sequence[Correction] = (),
        regularizers: Sequence[Regularizer] = (),
    ) -> None:
        self.model, self.loss, self.magnet = model, loss, magnet
        self.kl_estimate = kl_estimate
        self.temperature, self.grad_clip = temperature, grad_clip
        self.parity_tolerance = parity_tolerance
        self.corrections, self.regularizers = tuple(corrections), tuple(regularizers)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=0.0, betas=betas, weight_decay=weight_decay
        )
        self._head_is_last = _head_is_last(model)
        self.shares_prefixes = shares_prefixes(model)
        """Whether bins of shared prefixes give this model's log-probabilities; where not, every
        trajectory is to be a row of its own."""

    def logps_UV(self, model: nn.Module, batch: MicroBatch) -> Tensor:
        """(U, V) float32 log-probabilities, nats, at the predicting positions, at the sampling
        temperature."""
        inputs = model_inputs(model, batch)
        if self._head_is_last:
            # The head is the widest layer: apply it where a distribution is needed only.
            hidden = model.get_decoder()(**inputs).last_hidden_state  # type: ignore[operator]
            logits = model.get_output_embeddings()(hidden.flatten(0, 1)[batch.predict_U])  # type: ignore[operator]
        else:
            logits = model(**inputs).logits.flatten(0, 1)[batch.predict_U]
        return torch.log_softmax(logits.float() / self.temperature, dim=-1)

    def update(
        self,
        batches: Sequence[MicroBatch],
        coefficients: Coefficients,
        *,
        version: int,
        epochs: int = 1,
        weigh: Callable[[Tensor], Tensor] | None = None,
    ) -> dict[str, float]:
        """Train on one rollout.

        Args:
            batches: The micro-batches of one optimizer step.
            coefficients: Of this step.
            version: Version of the weights as they are now; the difference to a token's own is
                its staleness.
            epochs: Optimizer steps on the same data.
            weigh: Weights of the tokens that corrections leave, from their trajectories; needed
                where there are corrections.

        Returns:
            Metrics; means are weighted as the loss is.

        Raises:
            ParityError: If a fresh token's recorded log-probability is not the learner's.
        """
        self.model.eval()  # no dropout: what is trained is the distribution that was sampled
        for group in self.optimizer.param_groups:
            group["lr"] = coefficients.lr
        magnets: list[Tensor | None] = [None] * len(batches)
        if self.magnet is not None and coefficients.kl > 0:
            asked = self._magnet_UV if self.kl_estimate == "exact" else self.magnet_logps_N
            magnets = [asked(batch) for batch in batches]
        before_N = [batch.logp_sampled_N for batch in batches]
        noted: dict[str, float] = {}
        if self.corrections:
            assert weigh is not None
            with torch.no_grad():
                before_N = [self.logps_UV(self.model, b)[b.slot_N, b.token_N] for b in batches]
            batches, noted = correct(self.corrections, batches, before_N, weigh)
        for regularizer in self.regularizers:
            regularizer.begin(batches)
        metrics: dict[str, float] = {}
        for epoch in range(epochs):
            sums = _Sums()
            for batch, magnet, logp_before_N in zip(batches, magnets, before_N, strict=True):
                logps_UV = self.logps_UV(self.model, batch)
                if epoch == 0:
                    sums.peak("parity/max", self._parity(logps_UV, batch, version))
                loss = self._loss(logps_UV, batch, logp_before_N, magnet, coefficients, sums)
                loss.backward()  # type: ignore[no-untyped-call]
                sums.peak("staleness/max", float(version - batch.version_N.min()))
            norm = self._descend()
            peaks = {name: max(v, metrics.get(name, 0.0)) for name, v in sums.peaks.items()}
            metrics = {**metrics, **sums.means(), **peaks, "loss/grad_norm": norm}
        for regularizer in self.regularizers:
            noted |= regularizer.end()
        return {**metrics, **noted}

    def _loss(
        self,
        logps_UV: Tensor,
        batch: MicroBatch,
        logp_before_N: Tensor,
        magnet: Tensor | None,
        coefficients: Coefficients,
        sums: "_Sums",
    ) -> Tensor:
        """Policy loss, entropy, magnet and regularizers of one micro-batch, added to the sums."""
        logp_N = logps_UV[batch.slot_N, batch.token_N]
        loss_N, extra = self.loss(logp_N, logp_before_N, batch.advantage_N, batch.segments)
        policy_loss = (batch.weight_N * loss_N).sum()
        weight_U = batch.weight_U
        exact = magnet is not None and self.kl_estimate == "exact"
        with torch.set_grad_enabled(exact or coefficients.entropy != 0):
            p_UV = logps_UV.exp()
            entropy = -(weight_U * (p_UV * logps_UV).sum(-1)).sum()
        loss = policy_loss - coefficients.entropy * entropy
        if magnet is not None:
            if exact:
                kl = (weight_U * (p_UV * (logps_UV - magnet)).sum(-1)).sum()
            else:
                kl = (batch.weight_N * kl_estimate(logp_N - magnet, self.kl_estimate)).sum()
            loss = loss + coefficients.kl * kl
            sums.add("loss/kl_magnet", kl)
        for regularizer in self.regularizers:
            term, values = regularizer(logps_UV, batch)
            loss = loss + term
            for name, value in values.items():
                sums.total(name, value)
        sums.add("loss/policy", policy_loss)
        sums.add("loss/entropy", entropy)
        for name, value_N in extra.items():
            sums.add(f"loss/{name}", (batch.weight_N * value_N).sum())
        sums.add("_weight", batch.weight_N.sum())
        return loss

    @torch.no_grad()
    def _magnet_UV(self, batch: MicroBatch) -> Tensor:
        """(U, V) log-probabilities of the magnet, nats."""
        assert self.magnet is not None
        return self.logps_UV(self.magnet, batch)

    def magnet_logps_N(self, batch: MicroBatch) -> Tensor:
        """(N,) log-probabilities of the sampled tokens under the magnet, nats."""
        return self._magnet_UV(batch)[batch.slot_N, batch.token_N]

    def beside_magnet(self, episodes: Sequence[Episode], **rows: int) -> list[Episode]:
        """The same episodes with what the magnet says of every reply; `rows` as `noted` takes
        them."""

        def note(turn: Turn, logps: tuple[float, ...]) -> Turn:
            return replace(turn, magnet_logp=sum(logps))

        return noted(episodes, self.magnet_logps_N, note, device=self.parameters[0].device, **rows)

    def _descend(self) -> float:
        """Clip the gradient, make the step; the gradient's norm before."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.grad_clip)
        if not torch.isfinite(norm):
            raise FloatingPointError("the gradient is not finite; no update was made")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(norm)

    def _parity(self, logps_UV: Tensor, batch: MicroBatch, version: int) -> float:
        """The canary: fresh tokens must have the probability they were sampled with."""
        fresh = batch.version_N == version
        if not bool(fresh.any()):
            return 0.0
        logp_N = logps_UV.detach()[batch.slot_N, batch.token_N]
        worst = float((logp_N - batch.logp_sampled_N)[fresh].abs().max())
        if not worst <= self.parity_tolerance:
            raise ParityError(
                f"engine and learner differ by {worst:.2g} nats on tokens just sampled, allowed "
                f"{self.parity_tolerance:g}: the engine does not sample from the weights that are "
                "trained"
            )
        return worst

    def refresh_magnet(self) -> None:
        """Move the magnet to where the policy is."""
        if self.magnet is not None:
            self.magnet.load_state_dict(self.model.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Optimizer and magnet; the model is saved apart, in its own format."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "magnet": None if self.magnet is None else self.magnet.state_dict(),
            "regularizers": [regularizer.state_dict() for regularizer in self.regularizers],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.optimizer.load_state_dict(state["optimizer"])
        if self.magnet is not None:
            self.magnet.load_state_dict(state["magnet"])
        for regularizer, saved in zip(self.regularizers, state["regularizers"], strict=True):
            regularizer.load_state_dict(saved)


def frozen_copy(model: nn.Module) -> nn.Module:
    """An independent copy without gradients."""
    twin = copy.deepcopy(model).eval()
    return twin.requires_grad_(False)


class _Sums:
    """Weighted sums over micro-batches, and peaks."""

    def __init__(self) -> None:
        self._terms: dict[str, list[Tensor]] = {}
        self._totals: dict[str, list[Tensor]] = {}
        self.peaks: dict[str, float] = {}

    def add(self, name: str, value: Tensor) -> None:
        # Read at the end: on an accelerator every reading waits for all that was asked before.
        self._terms.setdefault(name, []).append(value.detach())

    def total(self, name: str, value: Tensor) -> None:
        """A sum that has its own denominators in it."""
        self._totals.setdefault(name, []).append(value.detach())

    def peak(self, name: str, value: float) -> None:
        self.peaks[name] = max(self.peaks.get(name, 0.0), value)

    def means(self) -> dict[str, float]:
        # Weights add up to 1 except under "seq-mean-token-sum(-norm)": divide by what they add to.
        sums = {name: sum(map(float, terms)) for name, terms in self._terms.items()}
        total = sums.pop("_weight") or 1.0  # 0 if corrections rejected every token
        totals = {name: sum(map(float, terms)) for name, terms in self._totals.items()}
        return {name: value / total for name, value in sums.items()} | totals


def _head_is_last(model: nn.Module) -> bool:
    """Whether logits are exactly the output embedding of the decoder's last hidden state. Some
    families scale or cap them after it."""
    ids = torch.arange(4)[None] % model.config.vocab_size  # type: ignore[operator,union-attr]
    ids = ids.to(next(model.parameters()).device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state  # type: ignore[operator]
            short = model.get_output_embeddings()(hidden)  # type: ignore[operator]
            return torch.allclose(short, model(input_ids=ids, use_cache=False).logits)
    except AttributeError:
        return False
    finally:
        model.train(was_training)
