"""The doctor names what is wrong with a certificate of the API or of the gateway."""

from typing import Any

import pytest
from aiohttp import web

from connect.doctor import Mark
from connect.gateway import Gateway
from tests.doctor.conftest import CERTIFICATES, Serve, examine

FAULTS = [
    ("expired", "has expired", "renewed"),
    ("self-signed", "is self-signed", "SSL_CERT_FILE"),
    ("other-host", "is for another host", "the name that the certificate is for"),
    ("future", "is not valid yet", "clock"),
]


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine trusts the authority of the test's certificates."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.pem"))


async def nothing_here(_: web.Request) -> web.Response:
    return web.Response(status=404)


@pytest.mark.parametrize(("certificate", "problem", "cure"), FAULTS)
async def test_the_certificate_of_the_api(serve: Serve, certificate: str, problem: str, cure: str) -> None:
    findings = await examine(api_base_url=await serve(nothing_here, certificate))
    assert problem in findings.diagnosis("API TLS")
    assert cure in findings["API TLS"].next


@pytest.mark.parametrize(("certificate", "problem", "cure"), FAULTS)
async def test_the_certificate_of_the_gateway(
    dev: Gateway, serve: Serve, certificate: str, problem: str, cure: str
) -> None:
    origin = await serve(nothing_here, certificate)
    dev.advertise = lambda _: origin.replace("https", "wss")
    findings = await examine()
    assert problem in findings.diagnosis("gateway TLS")
    assert cure in findings["gateway TLS"].next


async def test_an_authority_that_is_not_known(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "self-signed.pem"))
    findings = await examine(api_base_url=await serve(nothing_here, "good"))
    assert "comes from an authority that is not known here" in findings.diagnosis("API TLS")


async def test_a_folder_of_authorities_that_is_not_there(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_DIR", str(CERTIFICATES / "nothing"))
    findings = await examine(api_base_url=await serve(nothing_here, "good"))
    assert "comes from an authority that is not known here" in findings.diagnosis("API TLS")
    assert findings["API TLS"].next == "correct SSL_CERT_DIR, which names no folder that is there"


async def test_a_good_one(serve: Serve) -> None:
    findings = await examine(api_base_url=await serve(nothing_here, "good"))
    assert findings["API TLS"].mark is Mark.GOOD
    assert "valid for 127.0.0.1 until Jan  1 00:00:00 2120 GMT".replace("  ", " ") in findings["API TLS"].found


async def test_a_port_without_tls(serve: Serve) -> None:
    plain = await serve(nothing_here)
    findings = await examine(api_base_url=plain.replace("http", "https"))
    assert "does not speak TLS" in findings.diagnosis("API TLS")
    assert "http or ws" in findings["API TLS"].next


async def test_a_port_that_is_silent_ends_with_the_timeout(serve_raw: Any) -> None:
    silent = await serve_raw(b"")
    findings = await examine(api_base_url=silent.replace("http", "https"), timeout=0.2)
    assert "no result within 0.2 s" in findings.diagnosis("API TLS")
