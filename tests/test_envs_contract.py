"""Every registered environment keeps the protocol's promises. A new one adds nothing here.

Those tagged "slow" (other packages in other processes) are checked in tests of their own.
"""

import pytest

import ludus
from ludus.testing import check_env


@pytest.mark.parametrize(
    "env_id", [spec.id for spec in ludus.specs() if not {"needs data", "slow"} & set(spec.tags)]
)
def test_passes_the_checker(env_id: str) -> None:
    check_env(env_id).raise_for_failures()
