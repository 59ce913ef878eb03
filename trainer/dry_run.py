"""A dry run: everything is built, one step is made, nothing is kept."""

import dataclasses
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ludus.trainer.config import TrainConfig
from ludus.trainer.report.figures import duration
from ludus.trainer.train import Trainer

MIB = 2**20
NOTHING = "nothing was left to train on: an update, its time and its memory are not in here"


@dataclass(frozen=True, slots=True)
class DryRun:
    """What one step costs."""

    env: str
    steps: int
    """That the run would make."""
    parameters: int
    build_s: float
    """Environment, tokenizer, model, one step of the warm start."""
    phases: Mapping[str, float]
    """Seconds of the step: sample, credit, pack, update."""
    episodes_per_s: float
    tokens_per_s: float
    """Sampled, per second of rollout."""
    resident_mib: float
    """Peak of this process, as the system counts it."""
    device_mib: float
    """Peak on the accelerator; 0 without one."""
    note: str = ""
    """What the step did not show."""

    def table(self) -> str:
        """For people."""
        step_s = sum(self.phases.values())
        rows = [
            ("environment", self.env),
            ("parameters", f"{self.parameters:,}"),
            ("build", duration(self.build_s)),
            *((name, duration(seconds)) for name, seconds in self.phases.items()),
            ("rates", f"{self.episodes_per_s:,.0f} episodes/s of rollout, "
                      f"{self.tokens_per_s:,.0f} sampled tokens/s"),
            ("memory", f"{self.resident_mib:,.0f} MiB resident at most"),
            *([("device", f"{self.device_mib:,.0f} MiB at most")] if self.device_mib else []),
            *([("note", self.note)] if self.note else []),
            ("run", f"{self.steps:,} steps like this one: {duration(self.steps * step_s)}, without "
                    "warm start, evaluations and checkpoints"),
        ]  # fmt: skip
        return "\n".join(f"{name:<12} {text}" for name, text in rows)


def dry_run(config: TrainConfig) -> DryRun:
    """Make one step of a run as configured, in a folder that is removed.

    Raises:
        ValueError: If something in the config does not fit together, as in the run itself.
    """
    warmstart_steps = min(config.warmstart_steps, 1)
    with tempfile.TemporaryDirectory() as folder:
        short = dataclasses.replace(
            config, warmstart_steps=warmstart_steps, critic_warmup=0, out=f"{folder}/run"
        )
        started = time.monotonic()
        trainer = Trainer(short)
        build_s = time.monotonic() - started
        metrics = trainer.train_step()
    phases = {
        name.removeprefix("time/").removesuffix("_s"): seconds
        for name, seconds in metrics.items()
        if name.startswith("time/")
    }
    return DryRun(
        env=config.env,
        steps=config.steps,
        parameters=sum(p.numel() for p in trainer.model.parameters()),
        build_s=build_s,
        phases=phases,
        episodes_per_s=trainer.episodes_done / max(phases["sample"], 1e-9),
        tokens_per_s=metrics["rollout/tokens_per_s"],
        resident_mib=_peak_resident() / MIB,
        device_mib=_peak_device(config.device) / MIB,
        note="" if "loss/policy" in metrics else NOTHING,
    )


def _peak_resident() -> int:
    """Bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _peak_device(device: str) -> int:
    """Bytes."""
    return torch.cuda.max_memory_allocated(device) if device.startswith("cuda") else 0
