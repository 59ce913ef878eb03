"""The warm start: imitate play, so that reinforcement begins with replies that are moves.

The training itself is TRL's `SFTTrainer`; what is ours is that it sees the very tokens that a
rollout would: conversations rendered by `Chat`, loss on the replies only.
"""

import random
import tempfile
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from ludus.agents.base import Prepares, make_agent
from ludus.agents.chat import Chat
from ludus.envs import registry
from ludus.envs.base import TextEnv
from ludus.envs.task import derive_seed
from ludus.envs.text import Message
from ludus.trainer.checkpoint import random_state, set_random_state
from ludus.trainer.quiet import quiet

MOST_TOKENS = 2**14
"""Of conversations that are in memory at once, each counted as long as the longest."""


def imitations(
    env_id: str, episodes: int, *, agent: str = "random", seed: int, **kwargs: Any
) -> list[tuple[Message, ...]]:
    """Conversations to imitate, each up to its last reply; one a seat and episode.

    Args:
        env_id: Where they take place.
        episodes: How many.
        agent: Plays all seats. "random" is random legal play: where any text is legal, a reply is
            what would be right now or, as likely, what was right in some other task, well formed
            and no better than chance needs to be.
        seed: Decides everything.
        **kwargs: Of the environment.

    Raises:
        ValueError: If the agent cannot play here; random legal play needs an environment that
            lists legal actions or knows right ones.
    """
    env = registry.make(env_id, **kwargs)
    player = _LegalPlay() if agent == "random" else make_agent(agent)
    if isinstance(player, Prepares):
        player.prepare(env)
    conversations = []
    for number in range(episodes):
        rng = random.Random(derive_seed(seed, "legal play", number))
        env.reset(seed=derive_seed(seed, "legal deal", number))
        while env.acting:
            env.step(player.act(env, env.acting[0], rng))
        for role in env.ROLES:
            said = list(env.transcript(role))
            while said and said[-1].role != "assistant":
                said.pop()
            if said:
                conversations.append(tuple(said))
    return conversations


class _LegalPlay:
    """Replies that are moves, and nothing more."""

    def __init__(self) -> None:
        self._right: list[str] = []

    def act(self, env: TextEnv, seat: str, rng: random.Random) -> str:
        legal = env.legal_actions(seat)
        if not legal:
            golden = env.golden(seat)
            if golden is None or golden.action is None:
                raise ValueError(
                    f"{env.ENV_ID} lists no legal actions and knows no right ones: there is no "
                    "play to imitate, start with --warmstart-steps 0"
                )
            self._right.append(golden.action)
            legal = [golden.action, rng.choice(self._right)]
        return rng.choice(legal)


def warm_start(
    model: Any,
    tokenizer: Any,
    chat: Chat,
    conversations: Sequence[Sequence[Message]],
    *,
    steps: int,
    lr: float,
    seed: int,
    batch_size: int = 16,
    context: bool = False,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> float:
    """Train the model in place to write the conversations' replies.

    Args:
        model: A Transformers causal language model.
        tokenizer: Its tokenizer.
        chat: Renders for it.
        conversations: What to imitate.
        steps: Optimizer steps.
        lr: Peak learning rate; falls linearly.
        seed: Order of the data. The process-wide random states are left as they were.
        batch_size: Conversations a step.
        context: Learn to write what was shown, too.
        on_step: Called after every step with its number, from 1, and its loss, nats a token.

    Returns:
        Mean loss over all steps, nats a token.

    Raises:
        ValueError: If a conversation is longer than a model whose positions are a table can read.
    """
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import SFTTrainer

    rows = [chat.conversation(messages) for messages in conversations]
    longest, limit = max(len(ids) for ids, _ in rows), _positions(model)
    if longest > limit:
        raise ValueError(
            f"a conversation to imitate has {longest} tokens, but the model has {limit} positions: "
            "--warmstart-steps 0 imitates nothing"
        )
    masks = [[1] * len(mask) if context else mask for _, mask in rows]
    data = Dataset.from_dict({"input_ids": [ids for ids, _ in rows], "assistant_masks": masks})
    before = random_state()
    try:
        with tempfile.TemporaryDirectory() as folder, quiet():
            trainer = SFTTrainer(
                model=model,
                processing_class=tokenizer,
                train_dataset=data,
                args=_arguments(folder, model.device.type, steps, lr, batch_size, longest, seed),
            )
            trainer.remove_callback(PrinterCallback)
            trainer.add_callback(_tell(on_step))
            loss = float(trainer.train().training_loss)
    finally:
        set_random_state(before)
    model.eval()
    model.zero_grad(set_to_none=True)
    return loss


def _tell(on_step: Callable[[int, float], None]) -> Any:
    """A callback of the Transformers trainer."""
    from transformers import TrainerCallback

    class Tell(TrainerCallback):  # type: ignore[misc]  # Transformers is not type-checked with us
        def on_log(self, args: Any, state: Any, control: Any, logs: Any, **kwargs: Any) -> None:
            if "loss" in logs:  # what is logged at the end has other names
                on_step(state.global_step, logs["loss"])

    return Tell()


def _positions(model: Any) -> float:
    """Longest stream a model can read at all; rotary positions go on past what it was made for."""
    if getattr(model.config, "rope_parameters", None):
        return inf
    return getattr(model.config, "max_position_embeddings", None) or inf


def _arguments(
    folder: str, device: str, steps: int, lr: float, batch_size: int, longest: int, seed: int
) -> Any:
    """TRL's, with nothing written, and nothing said but each step's loss to the callbacks."""
    from trl import SFTConfig

    parts = 1
    while batch_size // parts * longest > MOST_TOKENS and batch_size % (2 * parts) == 0:
        parts *= 2
    return SFTConfig(
        output_dir=folder,
        max_steps=steps,
        learning_rate=lr,
        lr_scheduler_type="linear",
        per_device_train_batch_size=batch_size // parts,
        gradient_accumulation_steps=parts,
        max_length=None,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=device == "cpu",
        dataloader_pin_memory=False,
        report_to="none",
        save_strategy="no",
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        seed=seed % 2**31,
    )
