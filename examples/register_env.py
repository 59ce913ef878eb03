"""Register an environment of your own, check it, and play it."""

import random

import ludus
from ludus.testing import check_env


class CountTo21(ludus.TextEnv):
    """Two seats count on by 1, 2 or 3; whoever says 21 loses."""

    ROLES = ("player_0", "player_1")
    ZERO_SUM = True

    def _setup(self, task, rng):
        self._count = 0
        self._turn = 0

    def _rules(self, seat):
        return f"Count to 21: add 1, 2 or 3. Whoever says 21 loses. You are {seat}."

    def _observe(self, seat):
        return f"The count is {self._count}."

    def _acting(self):
        return (self.ROLES[self._turn % 2],)

    def _legal(self, seat):
        return [str(n) for n in (1, 2, 3) if self._count + n <= 21]

    def _apply(self, moves):
        ((seat, move),) = moves.items()
        self._count, self._turn = self._count + int(move), self._turn + 1
        if self._count < 21:
            return ludus.Outcome()
        other = self.ROLES[self._turn % 2]
        return ludus.Outcome({seat: -1.0, other: 1.0}, terminated=True, reason=f"{seat} said 21")

    @classmethod
    def worlds(cls, **params):  # one world, so that minimax and exploitability work
        return [(1.0, ludus.Task(cls.ENV_ID, "worlds", 0, 0))]


ludus.register("examples/CountTo21-v1", CountTo21, tags=("two-seat", "zero-sum"))

if __name__ == "__main__":
    report = check_env("examples/CountTo21-v1")
    print("passed" if report.ok else report)

    env = ludus.make("examples/CountTo21-v1", opponents="minimax")  # a Gymnasium environment
    rng = random.Random(0)
    obs, info = env.reset(seed=0)
    done = False
    while not done:
        obs, reward, terminated, truncated, info = env.step(rng.choice(info["legal_actions"]))
        done = terminated or truncated
    print(info["outcome"])
