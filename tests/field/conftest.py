"""Fixtures for the tests of what is met in the field that run a worker in the process of the test."""

from rig_fixtures import apps, gw, held, no_bug_is_reported, no_thread_is_left, quiet, start

__all__ = ["apps", "gw", "held", "no_bug_is_reported", "no_thread_is_left", "quiet", "start"]
