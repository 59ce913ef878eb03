"""Names of environments, and other packages' environments."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import gymnasium
import pytest

import ludus
from ludus.envs import TextEnv, UnknownEnv, registry
from ludus.envs.games.kuhn import KuhnPoker


def test_make_is_gymnasiums_make() -> None:
    ours = ludus.make("ludus/KuhnPoker-v1", format="boxed")
    theirs = gymnasium.make("ludus/KuhnPoker-v1", format="boxed").unwrapped
    assert type(ours) is type(theirs) is KuhnPoker
    assert ours.reset(seed=3) == theirs.reset(seed=3)
    assert ours.spec is not None
    assert ours.spec.kwargs["format"] == "boxed"


def test_one_environments_arguments_are_not_the_next_ones() -> None:
    ludus.make("ludus/KuhnPoker-v1", format="boxed")
    other = gymnasium.make("ludus/KuhnPoker-v1").unwrapped
    assert isinstance(other, TextEnv)
    assert other.legal_actions is not None
    other.reset(seed=0)
    assert other.legal_actions() == ["check", "bet"]


def test_unknown_ids_name_the_nearest() -> None:
    with pytest.raises(UnknownEnv, match="nearest: ludus/KuhnPoker-v1"):
        ludus.make("ludus/KuhnPokr-v1")
    with pytest.raises(UnknownEnv, match="module that registers it as well"):
        ludus.make("me2/X-v1")
    for bare in ("kuhn-poker", "KuhnPoker", "ludus/kuhnpoker-v1", "ludus/KuhnPoker-v2"):
        with pytest.raises(UnknownEnv, match="nearest: ludus/KuhnPoker-v1"):
            ludus.make(bare)
    for improper in ("qqq", "./qqq.py", "qqq/x"):
        with pytest.raises(UnknownEnv, match="an id is namespace/Name-vN, or my_module:"):
            ludus.make(improper)
    with pytest.raises(UnknownEnv, match="'ludus/Qqq-v1', ludus list shows"):
        ludus.make("ludus/Qqq-v1")
    with pytest.raises(UnknownEnv, match="no module 'no_such_module'"):
        ludus.make("no_such_module:me/X-v1")
    with pytest.raises(UnknownEnv, match="'me/X-v1' in json, ludus list shows"):
        ludus.make("json:me/X-v1")
    with pytest.raises(ValueError, match="unknown suite"):
        ludus.suite("none")


@pytest.mark.parametrize("bad", ["X", "me/X", "X-v1", "a/b/c", ""])
def test_ids_have_a_namespace_and_a_version(bad: str) -> None:
    with pytest.raises(ValueError, match="namespace/Name-vN"):
        ludus.register(bad, KuhnPoker)


def test_registering() -> None:
    class Mine(KuhnPoker):
        ENV_ID = ""

    ludus.register("toys/Mine-v1", Mine, tags=["cards"], suites=["toys"], kwargs={"deal": "KQ"})
    ludus.register("toys/Mine-v1", Mine, tags=["cards"], suites=["toys"], kwargs={"deal": "QK"})
    assert Mine.ENV_ID == "toys/Mine-v1"
    assert ludus.spec("toys/Mine-v1").tags == ("cards",)
    assert ludus.suite("toys") == ("toys/Mine-v1",)
    env = ludus.make("toys/Mine-v1")
    assert "Your card is Q." in env.reset(seed=0)[0]
    assert "Your card is J." in ludus.make("toys/Mine-v1", deal="JK").reset(seed=0)[0]


def test_what_is_registered_must_be_an_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bad in (dict, 3, KuhnPoker()):
        with pytest.raises(TypeError, match=r"toys/Bad-v1 must be a TextEnv class or module:Class"):
            ludus.register("toys/Bad-v1", bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"an entry point is module:Class, got 'a\.Bad'"):
        ludus.register("toys/Bad-v1", "a.Bad")
    monkeypatch.setattr(registry, "_SPECS", {})
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "needy.py").write_text("import no_such_package")
    for where, words in {
        "nowhere:Env": "no module 'nowhere' to import 'toys/Lost-v1' from",
        "json:loads": "json has no TextEnv class 'loads'",
        "json:Nothing": "json has no TextEnv class 'Nothing'",
        "needy:Env": "needy needs the module 'no_such_package'",
    }.items():
        ludus.register("toys/Lost-v1", where)
        with pytest.raises(UnknownEnv, match=words):
            ludus.make("toys/Lost-v1")


def test_a_class_is_told_its_own_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class First(KuhnPoker):
        pass

    class Second(First):
        pass

    monkeypatch.setattr(registry, "_SPECS", dict(registry._SPECS))
    monkeypatch.syspath_prepend(tmp_path)
    ludus.register("toys/First-v1", First)
    ludus.register("toys/Second-v1", Second)
    assert (KuhnPoker.ENV_ID, First.ENV_ID, Second.ENV_ID) == (
        "ludus/KuhnPoker-v1", "toys/First-v1", "toys/Second-v1",
    )  # fmt: skip
    code = "from ludus.envs.games.nim import Nim\nclass Third(Nim): pass\n"
    (tmp_path / "lazy_toy.py").write_text(code)
    ludus.register("toys/Third-v1", "lazy_toy:Third")
    env = ludus.make("toys/Third-v1")
    env.reset(seed=0)
    assert env.ENV_ID == env.task.env_id == "toys/Third-v1"


def test_specs_are_listed_by_id() -> None:
    ids = [spec.id for spec in ludus.specs()]
    assert ids == sorted(ids)
    assert {"ludus/KuhnPoker-v1", "ludus/TicTacToe-v1", "ludus/GuessNumber-v1"} <= set(ids)
    assert ludus.spec("ludus/KuhnPoker-v1").load() is KuhnPoker


def test_other_packages_environments_are_found(tmp_path: Path) -> None:
    plugin = """
        import ludus
        from ludus.envs.games.kuhn import KuhnPoker

        class House(KuhnPoker):
            ENV_ID = ""

        def add():
            ludus.register("house/Kuhn-v1", House)
    """
    (tmp_path / "house_rules.py").write_text(textwrap.dedent(plugin))
    info = tmp_path / "house_rules-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: house-rules\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[ludus.envs]\nhouse = house_rules:add\nlost = no_such_module\n"
    )
    script = """
        import sys, warnings
        sys.path.insert(0, sys.argv[1])
        import ludus
        assert "house_rules" not in sys.modules
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            env = ludus.make("house/Kuhn-v1")
        assert [str(w.message)[:35] for w in caught] == ["environments of plugin 'lost' left "]
        assert "house/Kuhn-v1" in [spec.id for spec in ludus.specs()]
        print(env.reset(seed=0)[1]["seat"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("player_0", "")
    done = subprocess.run(
        [sys.executable, "-m", "ludus.cli", "list"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "house/Kuhn-v1" in done.stdout
    assert done.stderr.startswith("ludus: environments of plugin 'lost' left out: ")
    assert done.stderr.count("\n") == 1
