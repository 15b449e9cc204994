"""Signals are tested with a real worker: these are the fixtures of tests/worker for it."""

from rig_fixtures import apps, gw, no_bug_is_reported, no_thread_is_left, quiet, start

__all__ = ["apps", "gw", "no_bug_is_reported", "no_thread_is_left", "quiet", "start"]
