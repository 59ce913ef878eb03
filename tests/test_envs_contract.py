"""Every registered environment keeps the protocol's promises. A new one adds nothing here."""

import pytest

import ludus
from ludus.testing import check_env


@pytest.mark.parametrize(
    "env_id", [spec.id for spec in ludus.specs() if "needs data" not in spec.tags]
)
def test_passes_the_checker(env_id: str) -> None:
    check_env(env_id).raise_for_failures()
