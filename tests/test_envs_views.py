"""Environments as others see them: one seat against opponents, PettingZoo's two ways."""

import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import ludus
from ludus.envs import Task, TextEnv
from ludus.envs.views import SeatView, seat_view

sys.path.insert(0, str(Path(__file__).parent))
import broken_envs as toys

KQ = Task("ludus/KuhnPoker-v1", "train", 0, 0, {"deal": "KQ"})


class Always:
    """Says one thing while it is legal, else the first legal one."""

    def __init__(self, word: str) -> None:
        self.word = word

    def act(self, env: TextEnv, seat: str, rng: random.Random) -> str:
        """The word."""
        legal = env.legal_actions(seat) or [self.word]
        return self.word if self.word in legal else legal[0]


class Chance:
    """Any legal move."""

    def act(self, env: TextEnv, seat: str, rng: random.Random) -> str:
        """Drawn from the stream it is given."""
        return rng.choice(env.legal_actions(seat) or ["?"])


def test_the_other_seats_play_until_it_is_ones_turn() -> None:
    view = ludus.make("ludus/KuhnPoker-v1", opponents=Always("bet"), seat="player_1")
    obs, info = view.reset(seed=0, options={"task": KQ})
    assert info["seat"] == "player_1"
    assert "player_0: bet" in obs
    _, reward, terminated, truncated, info = view.step("call")
    assert (reward, terminated, truncated) == (-2.0, True, False)


def test_rewards_include_what_happens_until_ones_next_turn() -> None:
    view = ludus.make("ludus/KuhnPoker-v1", opponents=Always("fold"))
    view.reset(seed=0, options={"task": KQ})
    _, reward, terminated, _, _ = view.step("bet")
    assert (reward, terminated) == (1.0, True)


def test_simultaneous_opponents() -> None:
    view = seat_view(toys.RockPaperScissors(), {"player_0": Always("rock")})
    view.reset(seed=0)
    for turn in range(3):
        assert view.action_space.sample() in ("rock", "paper", "scissors")
        _, reward, terminated, _, _ = view.step("paper")
        assert (reward, terminated) == (1.0, turn == 2)
    assert view.render() is None
    view.close()


def test_equal_seeds_give_equal_opponents_and_episodes_differ() -> None:
    view = seat_view(toys.RockPaperScissors(on_invalid="noop"), {"player_1": Chance()})
    first = [_rounds(view, seed=4), *(_rounds(view) for _ in range(6))]
    assert first == [_rounds(view, seed=4), *(_rounds(view) for _ in range(6))]
    assert len(set(first)) > 1


def _rounds(view: SeatView, seed: int | None = None) -> str:
    """What the opponent did; the task is the same each time."""
    view.reset(seed=seed, options={"split": "test", "index": 0})
    for _ in range(3):
        view.step("rock")
    return "|".join(message.content for message in view.env.transcript("player_0"))


def test_opponents_must_fill_the_other_seats() -> None:
    env = ludus.make("ludus/KuhnPoker-v1")
    with pytest.raises(ValueError, match="unknown seat 'player_7'"):
        seat_view(env, {"player_7": Chance()})
    with pytest.raises(ValueError, match="every seat but one"):
        seat_view(env, {})
    with pytest.raises(ValueError, match="every seat but one"):
        seat_view(env, {"player_0": Chance(), "player_1": Chance()})
    with pytest.raises(ValueError, match="every seat but one"):
        seat_view(env, {"player_0": Chance()}, seat="player_0")


def test_a_seat_without_opponents_is_none() -> None:
    with pytest.raises(ValueError, match="seat 'player_1' plays against opponents: name them too"):
        ludus.make("ludus/KuhnPoker-v1", seat="player_1")


def test_opponents_that_always_end_it_first_are_an_error() -> None:
    env = ludus.make("ludus/KuhnPoker-v1", on_invalid="forfeit")

    class Mute(Chance):
        def act(self, env: TextEnv, seat: str, rng: random.Random) -> str:
            return ""

    with pytest.raises(RuntimeError, match="before player_1 could act"):
        seat_view(env, {"player_0": Mute()}).reset(seed=0)


@pytest.mark.parametrize(
    "make",
    [
        *toys.HEALTHY,
        *(
            lambda id=spec.id: ludus.make(id)
            for spec in ludus.specs()
            if not {"needs data", "slow"} & set(spec.tags)
        ),
    ],
)
def test_pettingzoos_own_tests(make: Any, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = pytest.importorskip("pettingzoo.test")
    from ludus.envs.views import to_aec, to_parallel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that texts are no arrays
        theirs.api_test(to_aec(make()), num_cycles=40)
        theirs.seed_test(lambda: to_aec(make()), num_cycles=40)
        theirs.parallel_api_test(to_parallel(make()), num_cycles=40)
        theirs.parallel_seed_test(lambda: to_parallel(make()), num_cycles=40)


def test_aec_turns() -> None:
    pytest.importorskip("pettingzoo")
    from ludus.envs.views import to_aec

    view = to_aec(ludus.make("ludus/KuhnPoker-v1"))
    view.reset(seed=0, options={"task": KQ})
    assert view.agent_selection == "player_0"
    assert view.last()[4]["legal_actions"] == ["check", "bet"]
    with pytest.raises(ValueError, match="its action is None"):
        view.step(None)
    view.step("bet")
    assert view.infos["player_0"]["legal_actions"] is None
    view.step("fold")
    ends = {}
    for agent in view.agent_iter():
        ends[agent] = view.last()[1:4]
        view.step(None)
    assert ends == {"player_0": (1.0, True, False), "player_1": (-1.0, True, False)}


def test_parallel_turns() -> None:
    pytest.importorskip("pettingzoo")
    from ludus.envs.views import to_parallel

    view = to_parallel(ludus.make("ludus/KuhnPoker-v1"))
    _, infos = view.reset(seed=0, options={"task": KQ})
    assert infos["player_1"]["legal_actions"] is None
    assert view.action_space("player_1").sample() == ""
    view.step({"player_0": "bet", "player_1": "call"})  # player_1 is not to act: not heard
    assert view.env.acting == ("player_1",)
    _, rewards, ended, cut, _ = view.step({"player_1": "call"})
    assert rewards == {"player_0": 2.0, "player_1": -2.0}
    assert (set(ended.values()), set(cut.values()), view.agents) == ({True}, {False}, [])


def test_without_pettingzoo_the_error_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['pettingzoo'] = None\n"
        "import ludus.envs.views as views\n"
        "try:\n    views.to_aec\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == (
        "the PettingZoo views need pettingzoo: pip install ludus[marl]"
    ), done.stderr
