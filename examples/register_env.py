"""One seat: register an environment of your own, check it, and play it."""

import ludus
from ludus.testing import check_env


class SortNumbers(ludus.TextEnv):
    """Sort numbers; reward 1 if they are sorted.

    Parameters:
        count: How many.
    """

    PARAMS = {"count": 5}  # noqa: RUF012

    def _setup(self, task, rng):
        self._numbers = rng.sample(range(1000), {**self.PARAMS, **task.params}["count"])

    def _rules(self, seat):
        return f"Sort from small to large: {' '.join(map(str, self._numbers))}"

    def _apply(self, moves):
        ((seat, reply),) = moves.items()
        right = self.verify(reply).passed
        return ludus.Outcome({seat: float(right)}, terminated=True, success=right)

    def golden(self, seat=None):
        answer = " ".join(map(str, sorted(self._numbers)))
        return ludus.Golden(action=self.format.write(answer), answer=answer)


ludus.register("examples/SortNumbers-v1", SortNumbers, tags=("one-seat", "golden"))

if __name__ == "__main__":
    check_env("examples/SortNumbers-v1").raise_for_failures()
    env = ludus.make("examples/SortNumbers-v1", count=3)  # a Gymnasium environment
    obs, info = env.reset(seed=0)
    print(obs)
    print(env.step(env.golden().action)[-1]["outcome"])
