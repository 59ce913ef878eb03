"""Runs that meet what a user's machine has: another process, a full disk, a model as published."""

import errno
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from ludus.agents.small_model import small_model, small_tokenizer
from ludus.trainer import checkpoint
from ludus.trainer.config import RECIPES, TrainConfig
from ludus.trainer.progress import Progress
from ludus.trainer.run_folder import begin_run, find_run, hold
from ludus.trainer.train import Trainer

HOLDER = """
import sys
from ludus.trainer.config import TrainConfig
from ludus.trainer.run_folder import hold
hold(TrainConfig(out=sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_one_process_trains_in_a_folder(tmp_path: Path) -> None:
    config = TrainConfig(out=str(tmp_path / "run"))
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, config.out],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="another process is training in"):
            hold(config)
        other.kill()  # even killed it leaves nothing behind
    hold(config)


def test_a_run_that_never_saved_is_begun_again(tmp_path: Path) -> None:
    config = TrainConfig(out=str(tmp_path / "run"))
    hold(config)
    begin_run(config)
    assert find_run(config, resume=False) is None


def test_a_full_disk_has_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Model:
        def save_pretrained(self, folder: Path) -> None:
            raise RuntimeError("unexpected pos 1686720 vs 1686608")  # torch's words for it

    def save() -> None:
        checkpoint.save(tmp_path, 1, Model(), Model(), {}, {})

    with pytest.raises(RuntimeError, match="unexpected pos"):
        save()
    usage = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="No space left") as stop:
        save()
    assert (stop.value.errno, stop.value.filename) == (errno.ENOSPC, str(tmp_path))


def tiny(out: Path, model: Path, **changes: object) -> TrainConfig:
    small = {"steps": 1, "episodes": 4, "warmstart_episodes": 4, "warmstart_steps": 1}
    changes = {**small, "env": "ludus/TicTacToe-v1", "eval_episodes": 2, **changes}
    return replace(RECIPES["spiral"], out=str(out), model=str(model), **changes)  # type: ignore[arg-type]


def test_a_model_in_bfloat16_is_trained_in_float32(tmp_path: Path) -> None:
    tokenizer = small_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=1024,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    trainer = Trainer(tiny(tmp_path / "run", tmp_path / "model"))
    assert {p.dtype for p in trainer.model.parameters()} == {torch.float32}
    assert trainer.run()  # engine and learner agree to 1e-3 nats, or it stops
    saved = tmp_path / "run" / "checkpoints" / "step-000001"
    assert '"dtype": "float32"' in (saved / "model" / "config.json").read_text()


def test_a_warm_start_too_long_for_the_model_is_one_line(tmp_path: Path) -> None:
    tokenizer = small_tokenizer()
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 256}
    config = GPT2Config(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0, **sizes)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match=r"has \d+ tokens, but the model has 256 positions"):
        Trainer(tiny(tmp_path / "run", tmp_path / "model"))


def test_a_line_of_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(TrainConfig(steps=2)) as progress:
        progress.update(
            2,
            {
                "episodes": 1234.0,
                "time_s": 41.3,
                "rollout/tokens_per_s": 5120.4,
                "rollout/entropy": 0.25,
                "eval/exploitability/KuhnPoker-v1": 0.0931,
                "eval/win_rate/TicTacToe-v1/player_0": 0.75,
            },
        )
    assert capsys.readouterr().out.split(" · ") == [
        "step    2/2", "    1,234 episodes", "exploitability KuhnPoker-v1 0.0931",
        "win rate TicTacToe-v1/player_0 75.0%", "entropy 0.250", "5,120 tok/s", "41 s\n",
    ]  # fmt: skip


def test_a_warm_start_is_told_step_by_step(tmp_path: Path) -> None:
    seen: list[tuple[int, float]] = []
    said: list[str] = []
    model, tokenizer = small_model(hidden=32, layers=1, heads=2, kv_heads=1)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    config = tiny(tmp_path / "run", tmp_path / "model", warmstart_steps=5)
    Trainer(config, say=said.append, on_warm_step=lambda *step: seen.append(step))
    steps, losses = zip(*seen, strict=True)
    assert steps == (1, 2, 3, 4, 5)
    assert losses[0] > losses[-1] > 0
    assert said[-1].startswith(f"warm start: loss {sum(losses) / 5:.3f} nats")  # TRL's own mean


def test_lines_of_a_warm_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 100, 4))
    monkeypatch.setattr("ludus.trainer.progress.time.monotonic", lambda: float(next(clock)))
    with Progress(TrainConfig(warmstart_steps=8)) as progress:
        for step in range(1, 9):
            progress.warm(step, 2 / step)
    assert capsys.readouterr().out.splitlines() == [
        "warm start: step    4/8 · loss 0.500", "warm start: step    7/8 · loss 0.286",
    ]  # fmt: skip


def test_a_warm_start_at_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("ludus.trainer.progress.WARM_EVERY_S", 0.0)
    with Progress(TrainConfig(steps=7, warmstart_steps=3)) as progress:
        progress.warm(1, 1.5)
        progress.warm(2, 1.25)
        progress._bar.refresh()
        live = capsys.readouterr().out
        progress.warm(3, 1.0)
        after = capsys.readouterr().out
    assert "warm start" in live
    assert "2/3" in live
    assert "loss 1.250" in live
    assert "step" not in live  # no lines besides
    assert "training" in after
    assert "0/7" in after


def test_ctrl_c_ends_a_warm_start_at_once(tmp_path: Path) -> None:
    command = [
        "train",
        "kuhn-selfplay",
        "--out",
        str(tmp_path / "run"),
        "--warmstart-steps",
        "9999",
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "ludus.cli", *command], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline().startswith("warm start: 9999 steps")
        run.send_signal(signal.SIGINT)
        assert run.wait(timeout=60) == 130
