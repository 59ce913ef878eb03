"""For the tests of environments.

from ludus.testing import check_env

def test_my_game():
    check_env("me/MyGame-v1").raise_for_failures()
"""

from ludus.envs.check import CheckFailed, Item, Report, check_env

__all__ = ["CheckFailed", "Item", "Report", "check_env"]
