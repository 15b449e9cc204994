"""The gateway's address: what is dialled for it, and which ones are refused."""

import pytest

from connect.transport.api import gateway_endpoint


@pytest.mark.parametrize(
    ("text", "dialled"),
    [
        ("ws://gateway.example/v0/connect", "ws://gateway.example/v0/connect"),
        ("wss://gateway.example:8289", "wss://gateway.example:8289/v0/connect"),
        ("wss://gateway.example/", "wss://gateway.example/v0/connect"),
        ("wss://gateway.example/other?shard=1", "wss://gateway.example/other?shard=1"),
        (" ws://[::1]:8289\n", "ws://[::1]:8289/v0/connect"),
    ],
)
def test_a_gateway_address_without_a_path_gets_the_protocols(text: str, dialled: str) -> None:
    assert gateway_endpoint(text) == dialled


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://gateway.example", "scheme 'http' is not valid, must be ws or wss"),
        ("gateway.example:8289", "must be ws or wss"),
        ("", "must be ws or wss"),
        ("ws://", "a host is required"),
        ("ws://:8289", "a host is required"),
        ("ws://[::1", "Invalid IPv6 URL"),
    ],
)
def test_what_is_no_gateway_address_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        gateway_endpoint(text)


@pytest.mark.parametrize("text", ["http://me:zzyzx@gateway.example", "ws://me:zzyzx@"])
def test_a_refused_address_is_told_without_its_password(text: str) -> None:
    with pytest.raises(ValueError, match=r"\*\*\*@") as caught:
        gateway_endpoint(text)
    assert "zzyzx" not in str(caught.value)
