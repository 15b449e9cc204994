"""The gateway groups to avoid."""

from connect.excluded_gateways import ExcludedGateways


def test_groups_are_avoided_until_a_link_is_ready() -> None:
    excluded = ExcludedGateways()
    excluded.add("a")
    excluded.add("b")
    excluded.add("a")
    assert excluded.groups == {"a", "b"}
    excluded.clear()
    assert excluded.groups == set()


def test_an_attempt_that_came_to_no_gateway_adds_none() -> None:
    excluded = ExcludedGateways()
    excluded.add("")
    assert excluded.groups == set()


def test_what_was_read_does_not_change() -> None:
    """Another thread may be walking it."""
    excluded = ExcludedGateways()
    excluded.add("a")
    before = excluded.groups
    excluded.add("b")
    excluded.clear()
    assert before == {"a"}
