"""Sampling speed of the embedded engine against Transformers, same weights, same machine, one run.

    python benchmarks/engine.py

Two workloads: one reply to each of many prompts, and conversations of many turns in which a reply
and an observation take turns. Nobody stops early, so all sample the same number of tokens. The
ways take turns, `--rounds` times, and the fastest time of each counts. The embedded engine and
continuous batching return the log-probability of each token; `generate` is timed without. Those
returned are compared with Transformers' plain forward over the same tokens.
"""

import argparse
import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig

from ludus.agents.engines.base import SamplingParams
from ludus.agents.engines.embedded import EmbeddedEngine
from ludus.agents.engines.hf import HFEngine
from ludus.agents.small_model import small_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Conversations that take turns: a prompt, then replies with observations between them."""

    name: str
    conversations: int
    prompt: int
    """Tokens of each prompt."""
    turns: int
    reply: int
    """Tokens of each reply."""
    observation: int = 0
    """Tokens of each observation."""

    @property
    def sampled(self) -> int:
        return self.conversations * self.turns * self.reply

    def given(self) -> list[list[list[int]]]:
        """By conversation and turn: the tokens given before the reply."""
        generator = torch.Generator().manual_seed(0)
        lengths = [self.prompt] + [self.observation] * (self.turns - 1)
        return [
            [torch.randint(3, 259, (n,), generator=generator).tolist() for n in lengths]
            for _ in range(self.conversations)
        ]


@dataclass(slots=True)
class Result:
    """What one way of sampling did."""

    streams: list[list[int]] = field(default_factory=list)
    """All tokens of each conversation."""
    replies: list[list[tuple[int, Sequence[float]]]] = field(default_factory=list)
    """By conversation: where each reply begins, and the log-probabilities of its tokens."""


Way = Callable[[Any, Workload, list[list[list[int]]]], Result]


def with_engine(make: Callable[[Any], Any]) -> Way:
    """One session a conversation."""

    def run(model: Any, work: Workload, given: list[list[list[int]]]) -> Result:
        engine = make(model)
        sessions = [engine.open([], seed=i) for i in range(work.conversations)]
        result = Result(replies=[[] for _ in sessions])
        params = SamplingParams(max_tokens=work.reply)
        for turn in range(work.turns):
            for session, turns in zip(sessions, given, strict=True):
                engine.extend(session, turns[turn])
            starts = [len(session.ids) for session in sessions]
            completions = engine.sample(sessions, params)
            for at, start, completion in zip(result.replies, starts, completions, strict=True):
                at.append((start, completion.logps))
        result.streams = [list(session.ids) for session in sessions]
        return result

    return run


def with_generate(model: Any, work: Workload, given: list[list[list[int]]]) -> Result:
    """`model.generate`, the whole stream again in every turn. All streams are equally long."""
    config = GenerationConfig(
        do_sample=True,
        max_new_tokens=work.reply,
        eos_token_id=None,
        pad_token_id=0,
        top_k=0,
        top_p=1.0,
    )
    ids = torch.empty((work.conversations, 0), dtype=torch.long)
    for turn in range(work.turns):
        ids = torch.cat([ids, torch.tensor([turns[turn] for turns in given])], dim=1)
        mask = torch.ones_like(ids)
        ids = model.generate(ids, attention_mask=mask, generation_config=config)
    return Result(streams=ids.tolist())


def with_continuous_batching(model: Any, work: Workload, given: list[list[list[int]]]) -> Result:
    """Transformers' continuous batching; its manager keeps shared prefixes between turns."""
    longest = work.prompt + work.turns * (work.reply + work.observation)
    batching = ContinuousBatchingConfig(
        num_blocks=work.conversations * (longest // 256 + 2),
        max_batch_tokens=work.conversations * max(work.prompt, work.observation, 1),
        return_logprobs=True,
    )
    config = GenerationConfig(
        do_sample=True, max_new_tokens=work.reply, eos_token_id=-1, top_k=0, top_p=1.0
    )
    result = Result(streams=[[] for _ in given], replies=[[] for _ in given])
    try:
        for turn in range(work.turns):
            for stream, turns in zip(result.streams, given, strict=True):
                stream += turns[turn]
            outputs = model.generate_batch(
                result.streams,
                generation_config=config,
                continuous_batching_config=batching,
                persistent_manager=True,
                warmup=False,
            )
            ordered = sorted(outputs.items(), key=lambda item: int(item[0].rsplit("_", 1)[1]))
            for i, (_, output) in enumerate(ordered):
                assert output.prompt_ids == result.streams[i], "results in another order"
                result.replies[i].append((len(result.streams[i]), output.logprobs))
                result.streams[i] += output.generated_tokens
    finally:
        model.destroy_cached_continuous_batching_manager()
    return result


@torch.no_grad()
def largest_difference(model: Any, result: Result) -> float | None:
    """Between the log-probabilities returned and those of a plain forward; none if none were."""
    if not result.replies:
        return None
    worst = 0.0
    for stream, replies in zip(result.streams, result.replies, strict=True):
        ids = torch.tensor(stream)
        logps = model(ids[None]).logits[0, :-1].double().log_softmax(-1)
        chosen = logps.gather(1, ids[1:, None])[:, 0]
        for start, given in replies:
            part = chosen[start - 1 : start - 1 + len(given)]
            worst = max(worst, (part - torch.tensor(given).double()).abs().max().item())
    return worst


WAYS: dict[str, Way] = {
    "embedded": with_engine(EmbeddedEngine),
    "hf": with_engine(HFEngine),
    "generate": with_generate,
    "generate_batch": with_continuous_batching,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare sampling speeds.")
    parser.add_argument("--rounds", type=int, default=3, help="the fastest of this many counts")
    parser.add_argument("--hidden", type=int, default=128, help="width of the model")
    parser.add_argument("--layers", type=int, default=4, help="layers of the model")
    parser.add_argument("--conversations", type=int, default=32, help="of many turns")
    parser.add_argument("--prompts", type=int, default=64, help="of a single turn")
    parser.add_argument(
        "--threads", type=int, default=None, help="of torch; its own choice if not given"
    )
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.ERROR)
    if args.threads:
        torch.set_num_threads(args.threads)
    model, _ = small_model(
        hidden=args.hidden, layers=args.layers, vocab_size=259, max_positions=2048
    )
    works = [
        Workload(name="1 turn", conversations=args.prompts, prompt=64, turns=1, reply=128),
        Workload(
            name="8 turns",
            conversations=args.conversations,
            prompt=64,
            turns=8,
            reply=24,
            observation=24,
        ),
    ]
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, float32, ", end="")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'workload':10} {'way':16} {'tok/s':>9} {'embedded is':>12} {'max |diff|':>11}")
    for work in works:
        given = work.given()
        best = dict.fromkeys(args.ways, float("inf"))
        worst: dict[str, float | None] = {}
        for _ in range(args.rounds):
            for way in args.ways:
                began = time.perf_counter()
                result = WAYS[way](model, work, given)
                best[way] = min(best[way], time.perf_counter() - began)
                if way not in worst:
                    worst[way] = largest_difference(model, result)
        for way in args.ways:
            ratio = f"{best[way] / best['embedded']:.2f} x" if "embedded" in best else "-"
            difference = worst[way]
            shown = "-" if difference is None else f"{difference:.1e}"
            print(
                f"{work.name:10} {way:16} {work.sampled / best[way]:9,.0f} {ratio:>12} {shown:>11}"
            )


if __name__ == "__main__":
    main()
