"""Two seats: a game, played perfectly by minimax because its worlds are named."""

import ludus
from ludus.testing import check_env


class CountTo21(ludus.TextEnv):
    """Two seats count on by 1, 2 or 3; whoever says 21 loses."""

    ROLES, ZERO_SUM = ("player_0", "player_1"), True

    def _setup(self, task, rng):
        self._count, self._turn = 0, 0

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
        lost = {seat: -1.0, self.ROLES[self._turn % 2]: 1.0}
        return ludus.Outcome(lost, terminated=True) if self._count == 21 else ludus.Outcome()

    @classmethod
    def worlds(cls, **params):
        return [(1.0, ludus.Task(cls.ENV_ID, "worlds", 0, 0))]


ludus.register("examples/CountTo21-v1", CountTo21, tags=("two-seat", "zero-sum"))

if __name__ == "__main__":
    check_env("examples/CountTo21-v1").raise_for_failures()
    env = ludus.make("examples/CountTo21-v1", opponents="minimax")  # a Gymnasium environment
    obs, info = env.reset(seed=0)
    while info["legal_actions"]:
        obs, reward, _, _, info = env.step(info["legal_actions"][0])
    print(info["outcome"])
