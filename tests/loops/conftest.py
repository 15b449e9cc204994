"""Some tests of signals run a real worker, and use the fixtures of tests/worker."""

from rig_fixtures import apps, gw, no_bug_is_reported, no_thread_is_left, quiet, start

__all__ = ["apps", "gw", "no_bug_is_reported", "no_thread_is_left", "quiet", "start"]
