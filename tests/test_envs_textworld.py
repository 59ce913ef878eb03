"""TextWorld's games: the same as TextWorld plays them, won by their plans, and a sound cache."""

import errno
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import ludus
from ludus.envs.worlds.textworld import cache
from ludus.envs.worlds.textworld.maker import Order
from ludus.testing import check_env

textworld = pytest.importorskip("textworld", reason="pip install 'ludus[textworld]'")

IDS = [
    "ludus/TextWorld-v1",
    "ludus/CoinCollector-v1",
    "ludus/TreasureHunter-v1",
    "ludus/Cooking-v1",
]
SMALL = Order(
    "textworld", {"rooms": 1, "objects": 1, "quest": 1}, seed=5, split="train", by_content=False
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cache of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "FOLDER", tmp_path_factory.mktemp("games"))
        yield cache.FOLDER


def make(id: str, **settings: Any) -> Any:
    return ludus.make(id, **{"games": 1, **settings})


@pytest.mark.parametrize("id", IDS)
def test_a_game_is_won_by_its_plan_also_after_detours(id: str) -> None:
    env, rng = make(id, reward="dense"), random.Random(0)
    for detour in (0, 3, 6):
        env.reset(seed=1)
        total, info = 0.0, {}
        for _ in range(detour):
            if env.acting:
                _, reward, *_, info = env.step(rng.choice(env.legal_actions()))
                total += reward
        golden = env.golden()
        assert golden is not None or detour
        for command in golden.plan if golden else ():
            _, reward, terminated, _, info = env.step(command)
            total += reward
        if golden:
            assert terminated
            assert info["outcome"]["success"]
            assert total == pytest.approx(1.0)


@pytest.mark.filterwarnings("ignore")  # TextWorld's own
@pytest.mark.parametrize("id", IDS)
def test_says_what_textworld_says(id: str) -> None:
    """TextWorld's environment beside ours: text, admissible commands, score, end."""
    env, rng = make(id, show_legal=False, reward="score"), random.Random(1)
    env.reset(seed=1)
    game, points = env._game(), 0.0
    entry = next(p for p in cache.FOLDER.iterdir() if (p / "game.json").is_file() and
                 textworld.Game.load(str(p / "game.json")) == game.game)  # fmt: skip
    infos = textworld.EnvInfos(admissible_commands=True, score=True, won=True, lost=True)
    theirs = textworld.start(str(entry / "game.z8"), infos)
    state = theirs.reset()
    from ludus.envs.worlds.textworld.play import clean

    while env.acting:
        assert env.legal_actions() == state.admissible_commands
        golden = env.golden()
        plan = golden.action if golden and rng.random() < 0.6 else None
        command = plan or rng.choice(state.admissible_commands)
        obs, reward, terminated, _, _ = env.step(command)
        state, score, done = theirs.step(command)
        points += reward
        assert str(obs) == clean(state.feedback)
        assert round(points * game.max_score) == score
        assert terminated == done
    theirs.close()


def test_passes_the_checker() -> None:
    env = make("ludus/TextWorld-v1", reward="dense")
    check_env(env, items=(1, 3, 5, 6, 7, 8, 13), episodes=1).raise_for_failures()


def test_what_is_typed_goes_to_the_games_parser_where_that_is_wanted() -> None:
    env = make("ludus/TextWorld-v1", admissible=False, difficulty="w1-o1-q1")
    env.reset(seed=0)
    assert env.legal_actions() is None
    obs, *_, info = env.step("take moon")
    assert not info["invalid"]
    assert "can't see any such thing" in obs
    for text in ("tw-print everything", "quit", "restart", "look. look", "\x00", "x" * 9999):
        *_, info = env.step(text)
        assert "begins with one of" in info["invalid"]
    check_env(env, items=(6, 7), episodes=1).raise_for_failures()


@pytest.mark.parametrize(
    ("id", "settings", "message"),
    [
        ("ludus/TextWorld-v1", {"difficulty": "w0-o3-q4"}, "1 to 20 rooms.*got 'w0-o3-q4'"),
        ("ludus/TextWorld-v1", {"difficulty": "easy"}, "like w2-o3-q4.*got 'easy'"),
        ("ludus/TextWorld-v1", {"reward": "lots"}, "unknown reward 'lots', allowed: sparse"),
        ("ludus/CoinCollector-v1", {"level": 0}, "level must be from 1 to 300, got 0"),
        ("ludus/CoinCollector-v1", {"level": 160}, "120 rooms, TextWorld compiles at most 100"),
        ("ludus/TreasureHunter-v1", {"level": 31}, "level must be from 1 to 30, got 31"),
        ("ludus/Cooking-v1", {"go": 5}, "unknown go 5, allowed: 1, 6, 9, 12"),
        ("ludus/Cooking-v1", {"take": 2}, r"take is at most recipe \(1\), got 2"),
        ("ludus/Cooking-v1", {"take": 0}, "take must be from 1 to 5, got 0"),
        ("ludus/Cooking-v1", {"cut": "yes"}, "cut is true or false, got 'yes'"),
    ],
)
def test_bad_settings_are_told_in_one_line(id: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ludus.make(id, **settings)
    assert "\n" not in str(caught.value)


def test_a_game_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "FOLDER", tmp_path)
    order = Order("cooking", {"go": 3, "recipe": 1}, seed=1, split="train", by_content=False)
    with pytest.raises(ValueError, match="Cooking games can only have"):
        cache.compiled(order)
    order = Order("cooking", {"go": 1, "recipe": 1}, seed=1, split="train", by_content=False)
    with pytest.raises(ValueError, match="requires the 'take' skill"):
        cache.compiled(order)
    assert [path.name for path in tmp_path.iterdir()] == ["locks"]


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr(cache, "FOLDER", file)
    with pytest.raises(OSError, match=r"TextWorld's cache: Not a directory.*file/locks"):
        cache.compiled(SMALL)
    monkeypatch.setattr(cache, "FOLDER", tmp_path)  # with a file that is none of ours in it
    entry = cache.compiled(SMALL)

    def refuse(path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "utime", refuse)
    assert cache.compiled(SMALL) == entry, "what is there can be used"
    assert file.exists()


def test_workers_make_a_game_once_and_the_cache_stays_in_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "FOLDER", tmp_path)
    made: list[Path] = []
    original = cache._make

    def counting(order: Order, entry: Path) -> None:
        made.append(entry)
        original(order, entry)

    monkeypatch.setattr(cache, "_make", counting)
    threads = [threading.Thread(target=cache.compiled, args=(SMALL,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert sorted(path.name for path in made[0].iterdir()) == ["game.json", "game.z8"]
    old = tmp_path / "old"
    old.mkdir()
    (old / "game.z8").write_bytes(b"x" * 1000)
    os.utime(old, (1, 1))
    monkeypatch.setattr(cache, "MOST_BYTES", 1000)
    cache._evict(keep=made[0])
    assert cache.compiled(SMALL) == made[0]
    assert not old.exists()
    assert made[0].is_dir()


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_game_is_made_again(damage: str) -> None:
    """The interpreter, which is no Python, ends the process over a story that is cut short."""
    story = cache.compiled(SMALL) / "game.z8"
    whole = story.read_bytes()
    if damage == "cut":
        story.write_bytes(whole[:1000])
    else:
        story.unlink()
    assert (cache.compiled(SMALL) / "game.z8").read_bytes() == whole


def test_splits_share_no_game() -> None:
    """What decides the split is the content, found again in the game that was made."""
    from ludus.envs.worlds.textworld.maker import split_of

    for split in ("train", "valid", "test"):
        env = make("ludus/TextWorld-v1", difficulty="w1-o1-q1", split=split)
        env.reset(seed=0)
        assert split_of(env._game().game) == split


def test_without_textworld_it_is_listed_and_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['textworld'] = None\n"
        "import ludus\n"
        "assert 'ludus/Cooking-v1' in [spec.id for spec in ludus.specs()]\n"
        "try: ludus.make('ludus/TextWorld-v1')\n"
        "except ModuleNotFoundError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "TextWorld's games need TextWorld: pip install 'ludus[textworld]'\n"
