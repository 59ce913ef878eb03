"""Settings of all tests."""

from hypothesis import HealthCheck, settings

# The same examples in every run, and no clock: a busy machine is no failure.
settings.register_profile(
    "ludus", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ludus")
