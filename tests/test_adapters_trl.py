"""Our environments in TRL's GRPOTrainer: the real trainer, a tiny model that calls the tool."""

from pathlib import Path
from typing import Any

import pytest

import ludus
from ludus.envs.adapters.to_trl import CALL, PROMPT, LudusEnvironment, environment_factory

REPLY = '<tool_call>\n{"name": "act", "arguments": {"action": "bet"}}\n</tool_call><|im_end|>'


def kuhn() -> Any:
    return ludus.make("ludus/KuhnPoker-v1", opponents="random")


def test_a_rollout_is_the_seat_views_episode() -> None:
    rollout, view = environment_factory(kuhn)(), kuhn()
    for seed in range(20):
        shown, _ = view.reset(seed=seed)
        assert rollout.reset(prompt=PROMPT, seed=seed) == f"{shown}\n{CALL}"
        seen, reward, done, _, _ = view.step("bet")
        assert done
        assert rollout.act("bet") == f"{seen}\nThe episode is over."
        assert rollout.get_reward() == reward
        with pytest.raises(ValueError, match="episode is over"):
            rollout.act("bet")


def test_leaving_forfeits_and_bad_replies_are_told() -> None:
    rollout = environment_factory(kuhn)()
    rollout.reset(seed=1)
    assert rollout.get_reward() == -2.0
    assert rollout.act("raise").startswith("Invalid action: 'raise' is not a legal action")
    assert rollout.get_reward() == -2.0
    single = environment_factory(lambda: ludus.make("ludus/GuessNumber-v1"))()
    single.reset(seed=1)
    assert single.get_reward() == -1.0
    number: Any = 8  # as a model writes it into its call
    guess: Any = {"guess": 8}
    assert single.act(number) == "Lower."
    assert single.act(guess).startswith("Invalid action: not an integer")


def test_what_cannot_be_played_is_one_line() -> None:
    with pytest.raises(ValueError, match="has seats player_0, player_1: name who plays"):
        environment_factory(lambda: ludus.make("ludus/KuhnPoker-v1"))
    with pytest.raises(ValueError, match="needs a column 'seed'"):
        environment_factory(kuhn)().reset(prompt=PROMPT)


def caller(prompts: list[list[int]], answer: list[int], model: Any) -> None:
    """Teach a model to give one answer to some prompts."""
    import torch

    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    rows = [prompt + answer for prompt in prompts]
    width = max(map(len, rows))
    ids_BT = torch.zeros(len(rows), width, dtype=torch.int64)
    labels_BT = torch.full_like(ids_BT, -100)
    for row, (prompt, tokens) in enumerate(zip(prompts, rows, strict=True)):
        ids_BT[row, : len(tokens)] = torch.tensor(tokens)
        labels_BT[row, len(prompt) : len(tokens)] = torch.tensor(answer)
    for _ in range(200):
        loss = model(input_ids=ids_BT, labels=labels_BT).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.01:
            return
    raise AssertionError(f"not learnt: {loss}")


@pytest.mark.filterwarnings("ignore:.*experimental:UserWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_grpo_trains_on_it(tmp_path: Path) -> None:
    pytest.importorskip("trl")
    import torch
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer
    from trl.chat_template_utils import qwen3_chat_template

    from ludus.agents.small_model import small_model

    factory, probe = environment_factory(kuhn), LudusEnvironment(kuhn())
    conversations = [[{"role": "user", "content": probe.reset(seed=seed)}] for seed in range(2)]
    model, tokenizer = small_model(
        hidden=32, layers=2, heads=2, kv_heads=1, max_positions=1024, vocab_size=600,
        texts=[REPLY, qwen3_chat_template, *(c[0]["content"] for c in conversations)],
    )  # fmt: skip
    tokenizer.chat_template = qwen3_chat_template
    prompts = [
        tokenizer.apply_chat_template(
            c, tools=[probe.act], add_generation_prompt=True, tokenize=True, return_dict=False
        )
        for c in conversations
    ]
    answer = tokenizer(REPLY)["input_ids"]
    with torch.random.fork_rng(devices=[]):
        caller(prompts, answer, model)
        made: list[LudusEnvironment] = []

        def counted() -> LudusEnvironment:
            made.append(factory())
            return made[-1]

        trainer = GRPOTrainer(
            model=model,
            processing_class=tokenizer,
            environment_factory=counted,
            train_dataset=Dataset.from_list([{"prompt": PROMPT, "seed": s} for s in range(2)]),
            args=GRPOConfig(
                output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=4,
                num_generations=2, max_completion_length=120, max_tool_calling_iterations=2,
                use_cpu=True, bf16=False, report_to=[], save_strategy="no", logging_steps=1,
                temperature=0.7, beta=0.0, seed=0, disable_tqdm=True, gradient_checkpointing=False,
            ),
        )  # fmt: skip
        trainer.train()
    logged = {key: value for row in trainer.state.log_history for key, value in row.items()}
    assert len(made) == 4
    played = [rollout for rollout in made if rollout._seat.done]
    assert played
    assert logged["tools/call_frequency"] > 0
    rewards = [rollout.get_reward() for rollout in made]
    assert set(rewards) <= {-2.0, -1.0, 1.0, 2.0}
    assert logged["rewards/LudusEnvironment/mean"] == pytest.approx(sum(rewards) / 4)
