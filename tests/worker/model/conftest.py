"""Profiles of hypothesis: `--hypothesis-profile thorough` tries for minutes, with another seed each time."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "thorough", max_examples=400, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
