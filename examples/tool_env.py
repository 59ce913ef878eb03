"""Tools: an environment and a tool of your own, which may be called before the answer."""

import ludus
from ludus.envs.toolenv import UsesTools
from ludus.testing import check_env
from ludus.tools import tool
from ludus.tools.calls import ToolCall


@tool
def count_letter(text: str, letter: str) -> int:
    """How often a letter occurs in a text."""
    return text.count(letter)


class Letters(UsesTools, ludus.TextEnv):
    """How often does a letter occur? Reward 1 for the right number."""

    def tools(self):
        return [count_letter]

    def _setup(self, task, rng):
        self._text = "".join(rng.choices("abcd", k=60))

    def _rules(self, seat):
        return f"How many times does a occur in {self._text}?"

    def _apply(self, moves):
        ((seat, reply),) = moves.items()
        right = self.verify(reply).passed
        return ludus.Outcome({seat: float(right)}, terminated=True, success=right)

    def golden(self, seat=None):
        answer = str(self._text.count("a"))
        return ludus.Golden(action=self.format.write(answer), answer=answer)


ludus.register("examples/Letters-v1", Letters, tags=("one-seat", "golden", "tools"))

if __name__ == "__main__":
    check_env("examples/Letters-v1").raise_for_failures()
    env = ludus.make("examples/Letters-v1")
    obs, info = env.reset(seed=0)
    call = ToolCall("count_letter", {"text": env._text, "letter": "a"})
    result, *_ = env.step(env.call_format.write(call))  # as a model would write it
    print(obs, result, sep="\n\n")
    print(env.step(env.golden().action)[-1]["outcome"])
