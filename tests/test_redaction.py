"""Our secrets are taken out of what a peer sends, in whatever usual encoding they are, and nothing else is."""

import asyncio
import base64
import gc
import html
import json
import logging
import random
import string
import time
import urllib.parse
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect import redaction
from connect.log_format import JsonLines, TextLines, about_request, printable
from connect.redaction import LEAST_PART, LONGEST_ID, PEER_TEXT, logger, peer_text, redacted
from connect.secrets import Secret, SigningKey, living_secrets

DIGITS = "0f1e2d3c4b5a69788796a5b4c3d2e1f00123456789abcdef1032547698badcfe"
KEY = SigningKey.parse(f"signkey-prod-{DIGITS}")
BEARER = KEY.bearer.reveal()
TOKEN = Secret(
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0NTYifQ." + base64.urlsafe_b64encode(random.Random(7).randbytes(120)).decode()
)
PASSWORD = Secret("hunter-2-hunter")

Encode = Callable[[str], str]


def each(form: str) -> Encode:
    """Every character, as *form* writes its number."""
    return lambda text: "".join(form % ord(character) for character in text)


def b64(text: str, encoding: str = "utf-8") -> str:
    return base64.b64encode(text.encode(encoding)).decode()


ENCODINGS: dict[str, Encode] = {
    "plain": str,
    "upper": str.upper,
    "percent": each("%%%02x"),
    "percent, upper": each("%%%02X"),
    "percent, where it must": lambda text: urllib.parse.quote(text, safe=""),
    "percent twice": each("%%25%02x"),
    "percent four times": each("%%252525%02x"),
    "quoted-printable": each("=%02X"),
    "JSON": each("\\u%04x"),
    "JSON in JSON": lambda text: json.dumps(json.dumps(each("\\u%04X")(text))),
    "hex escapes": each("\\x%02x"),
    "octal": each("\\%03o"),
    "HTML, decimal": each("&#%d;"),
    "HTML, hex": each("&#x%x;"),
    "HTML, padded": each("&#0%d;"),
    "HTML in HTML": lambda text: html.escape(each("&#%d;")(text)),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "hex with colons": lambda text: text.encode().hex(":"),
    "base64": b64,
    "base64, behind Bearer": lambda text: b64(f"Bearer {text}"),
    "base64, inside": lambda text: b64(f'{{"k": "{text}", "and": "more"}}'),
    "base64url": lambda text: base64.urlsafe_b64encode(f"ÿÿ{text}".encode()).decode(),
    "base64 of base64": lambda text: b64(b64(text)),
    "base64 in lines": lambda text: base64.encodebytes(b64(text).encode()).decode().replace("\n", "\r\n "),
    "base64, of UTF-16": lambda text: b64(text, "utf-16"),
    "base64, percent": lambda text: urllib.parse.quote(b64(text), safe=""),
    "base32": lambda text: base64.b32encode(f"x{text}".encode()).decode(),
    "UTF-16 as bytes": lambda text: text.encode("utf-16-be").decode("latin-1"),
    "UTF-16 in hex": lambda text: text.encode("utf-16-le").hex(),
    "repr": lambda text: repr(text.encode()),
    "spaced": " ".join,
    "lines": "\n".join,
    "lines in JSON": lambda text: json.dumps("\n".join(text)),
    "zero width": "\u200b".join,
    "wide": lambda text: "".join(chr(0xFEE0 + ord(character)) for character in text),
    "reversed": lambda text: text[::-1],
    "mixed": lambda text: "".join(
        form % ord(character)
        for character, form in zip(text, ["%%%02x", "\\u%04x", "&#%d;", "\\x%02X"] * 200, strict=False)
    ),
}
SECRETS = {"bearer": BEARER, "key": f"signkey-prod-{DIGITS}", "token": TOKEN.reveal()}


def runs(text: str) -> Iterator[str]:
    """What is left of letters and digits in *text*, piece by piece."""
    return (piece for piece in "".join(c if c in string.ascii_letters + string.digits else " " for c in text).split())


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_secret_is_taken_out_in_each_encoding(secret: str, encoding: str) -> None:
    echoed = ENCODINGS[encoding](SECRETS[secret])
    shown = redacted(f"no such key: {echoed}; try again")
    assert shown.startswith("no such key: ")
    assert shown.endswith("; try again")
    assert "***" in shown
    assert len(shown) < len("no such key: ; try again") + 40, shown


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("part", ["half", "behind the prefix", "sixteen", "last"])
def test_a_part_is_taken_out_too(encoding: str, part: str) -> None:
    text = {"half": BEARER[:40], "behind the prefix": BEARER[13:], "sixteen": BEARER[30:46], "last": BEARER[-20:]}[part]
    echoed = ENCODINGS[encoding](text)
    shown = redacted(f"key {echoed} unknown")
    assert "***" in shown
    assert len(shown) < 55, shown


def test_the_bytes_that_a_keys_digits_stand_for_are_taken_out() -> None:
    assert redacted(base64.b64encode(b"x" + bytes.fromhex(DIGITS)).decode()).count("***") == 1
    assert redacted(base64.b32encode(bytes.fromhex(BEARER[13:])).decode()).count("***") == 1


def test_a_short_secret_is_taken_out_as_a_whole() -> None:
    short = Secret("s3cret")
    assert redacted("407 for me:s3cret@proxy") == "407 for me:***@proxy"
    assert redacted(f"407 for {b64('s3cret')}") == "407 for ***"
    assert redacted("HUNTER%2D2-hunter") == "***"
    assert redacted("hunter, two hunters") == "hunter, two hunters"
    assert short


def test_what_is_no_secret_stays() -> None:
    for text in ("", "authentication failed", "01M84C19S93KEY161AJ6A9YXJN", "100%", "a=b&c=%", "\\", "&#", DIGITS[:12]):
        assert redacted(text) == text


def test_two_secrets_and_what_stands_between() -> None:
    assert redacted(f"{BEARER} is not {TOKEN.reveal()}, {BEARER}") == "*** is not ***, ***"


def test_a_secret_that_is_gone_is_not_looked_for() -> None:
    """The tokens of links that ended go with them."""
    Secret("lives-for-a-moment-only")
    gc.collect()
    assert "lives-for-a-moment-only" not in {each.reveal() for each in living_secrets()}
    assert redacted("lives-for-a-moment-only") == "lives-for-a-moment-only"


@given(
    st.sampled_from([BEARER, TOKEN.reveal()]),
    st.integers(0, 200),
    st.integers(LEAST_PART + 6, 400),
    st.lists(st.sampled_from(list(ENCODINGS)), min_size=1, max_size=1),
    st.text(max_size=60),
    st.text(max_size=60),
)
@settings(max_examples=200, deadline=None)
def test_no_part_of_a_secret_is_left(
    secret: str, begin: int, length: int, encodings: list[str], before: str, after: str
) -> None:
    """Wherever it is cut, whatever stands around it."""
    part = secret[begin : begin + length]
    if len(list(filter(str.isalnum, part))) < LEAST_PART + 6:
        return
    echoed = ENCODINGS[encodings[0]](part)
    shown = redacted(f"{before} {echoed} {after}")
    assert "***" in shown
    assert echoed not in shown
    assert len(shown) <= len(before) + len(after) + 60


@given(
    st.sampled_from([BEARER, TOKEN.reveal(), PASSWORD.reveal()]),
    st.integers(0, 200),
    st.integers(4, 40),
    st.lists(st.sampled_from(list(ENCODINGS)), max_size=3),
    st.text(max_size=40) | st.text(alphabet="%25&#=\\\\xu0aA\u212a\u0130 ", max_size=40),
)
@settings(max_examples=400, deadline=None)
def test_no_text_is_passed_over_that_has_a_secret_in_it(
    secret: str, begin: int, length: int, encodings: list[str], around: str
) -> None:
    """The short way, which most texts take, sees the same letters as the long one, and whatever that finds in them."""
    text = secret[begin : begin + length]
    for encoding in encodings:
        text = ENCODINGS[encoding](text)
    text = f"{around}{text}{around}"
    known = [redaction._index(each) for each in living_secrets()]
    streams = list(redaction._streams(text))
    assert {stream.letters for stream in streams} == set(redaction._readings(text))
    found = any(list(index.find(stream)) for stream in streams for index in known)
    assert (redacted(text) != text) is found


def test_a_name_that_comes_again_is_not_searched_again_until_there_is_another_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched: list[str] = []
    monkeypatch.setattr(redaction, "redacted", lambda text: searched.append(text) or redacted(text))
    for _ in range(3):
        assert peer_text("checkout-of-the-shop-in-turn") == "checkout-of-the-shop-in-turn"
    assert searched == ["checkout-of-the-shop-in-turn"]
    secret = Secret("checkout-of-the-shop")
    assert peer_text("checkout-of-the-shop-in-turn") == "***-in-turn"
    del secret
    gc.collect()
    assert peer_text("checkout-of-the-shop-in-turn") == "checkout-of-the-shop-in-turn"


def test_one_more_secret_does_not_gather_all_others_again() -> None:
    """In a process with 400 secrets each new one took 20 ms, and with 500 each line took 6 ms."""
    kept = [Secret(f"{number} {random.Random(number).randbytes(24).hex()}") for number in range(20)]
    gc.collect()
    before = redaction._known()
    another = Secret("another-one-that-is-new")
    assert redacted(f"{kept[0].reveal()}, {another.reveal()}") == "***, ***"
    assert redaction._known() is not before
    assert redaction._known()._grams is before._grams


def test_secrets_that_have_gone_do_not_add_up() -> None:
    for number in range(200):
        secret = Secret(f"{number} {random.Random(number).randbytes(24).hex()}")
        assert redacted(secret.reveal()) == "***"
        del secret
    gc.collect()
    grams = {gram for each in living_secrets() for gram in redaction._index(each).places}
    assert len(redaction._known()._grams) < 10 * len(grams)


def test_most_texts_are_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """To keep where each letter stood takes ten times as long as to see that there is no secret."""
    monkeypatch.setattr(redaction, "_streams", None)
    for text in (
        "01M84C19S93KEY161AJ6A9YXJN",
        "charge the card",
        "a=1&b=%20, 100%",
        "Zürich, \uff57\uff49de",
        "x" * 1000,
    ):
        assert redacted(text) == text


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_any_text_becomes_one_line_that_can_be_written(text: str) -> None:
    shown = peer_text(text)
    assert shown.isprintable()
    assert len(shown) <= PEER_TEXT
    shown.encode()
    assert printable(shown) == shown


def test_a_long_text_is_cut_and_leaves_no_part_of_a_secret() -> None:
    for size in range(PEER_TEXT - 100, PEER_TEXT + 400):
        shown = peer_text("." * size + BEARER)
        assert len(shown) <= PEER_TEXT
        assert not any(piece in BEARER for piece in runs(shown))
    assert peer_text("." * 10_000_000) == "." * PEER_TEXT


def test_a_hostile_text_and_a_hostile_token_cost_little() -> None:
    """A server may grant a token of any size, and send a text that is all like it."""
    token = Secret("a" * 8_000_000)
    began = time.perf_counter()
    assert "a" not in peer_text("a" * 8_000_000)
    assert peer_text("%25" * 1_000_000 + "\\u0062" * 100_000).startswith("%25%25")
    assert time.perf_counter() - began < 2.0
    assert token


@given(st.text(alphabet="\\\\%=&#;uUxXnNtTvV0174af\r\n/", max_size=30))
@settings(max_examples=300, deadline=None)
def test_no_escape_is_an_error(text: str) -> None:
    assert redacted(f"C:\\New {text}").startswith("C:\\New ")


# -- log lines ---------------------------------------------------------------------------------------------------------------------


def test_log_lines_show_no_secret_and_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """In a library's log too, whose format is the host's."""
    log = logger("connect.some")
    log.warning("request %s: %s, %d", f"a\n{BEARER}", ValueError("\x1b[31mred\u202e"), 7, extra={"request_id": BEARER})
    (record,) = caplog.records
    assert record.getMessage() == "request a\\n***: \\x1b[31mred\\u202e, 7"
    assert record.__dict__["request_id"] == "***"


def test_what_asyncio_says_of_an_error_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """It puts all into the message, which has lines, and no arguments."""
    loop = asyncio.new_event_loop()
    loop.call_exception_handler({"message": "a task failed", "exception": ValueError(BEARER), "task": f"<{BEARER}>"})
    loop.close()
    (record,) = caplog.records
    shown = TextLines("%(message)s").format(record)
    assert shown.startswith("a task failed\\ntask: '<***>'")
    assert "ValueError: ***" in shown
    assert DIGITS[:LEAST_PART] not in logging.Formatter().format(record)


@pytest.mark.parametrize("form", [JsonLines(), TextLines("%(message)s"), logging.Formatter("%(message)s")])
def test_a_traceback_shows_no_secret(form: logging.Formatter, caplog: pytest.LogCaptureFixture) -> None:
    try:
        int(BEARER)
    except ValueError:
        logger("connect.some").exception("it failed")
    shown = form.format(caplog.records[0])
    assert "ValueError: invalid literal for int() with base 10: '***'" in shown
    assert DIGITS not in shown
    assert BEARER[13:] not in shown


def test_a_harmless_error_stays_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """What repeats is summed up by its class."""
    error = ValueError("fine")
    logger("connect.some").warning("it failed: %s", error)
    assert caplog.records[0].args == (error,)


def fail(text: str) -> None:
    raise ValueError(text)


@pytest.mark.parametrize("run", ["\\", "\\x", "\\u0", "\\0", "%", "%4", "&", "&#", "&#x4", "=", "=\r", "\u200b"])
def test_a_run_of_escape_characters_costs_milliseconds(run: str, caplog: pytest.LogCaptureFixture) -> None:
    """In a traceback of 50,000 characters and in three ids of as many. It was 40 s of the connection's loop for backslashes."""
    hostile = (run * 49_000)[:49_000]
    ids = about_request(f"1{hostile}", f"2{hostile}", f"3{hostile}")
    began = time.thread_time()
    try:
        fail(hostile)
    except ValueError:
        logger("connect.some").exception("request %s (run %s, %s)", *ids.values(), extra=ids)
    assert time.thread_time() - began < 1.0
    (record,) = caplog.records
    assert len(record.getMessage()) <= len("request  (run , )") + 3 * LONGEST_ID
    assert len(record.__dict__["run_id"]) <= LONGEST_ID


def test_a_long_traceback_keeps_its_beginning_and_its_error(caplog: pytest.LogCaptureFixture) -> None:
    """Of the middle it is said how much was left out; and where it is cut, no part of a secret is left."""
    try:
        fail(f"{BEARER * 1000} and the end")
    except ValueError:
        logger("connect.some").exception("it failed")
    shown = TextLines("%(message)s").format(caplog.records[0])
    assert "Traceback (most recent call last)" in shown
    assert "ValueError: ***" in shown
    assert shown.endswith("and the end")
    assert "characters left out …" in shown
    assert not any(piece in BEARER for piece in runs(shown) if len(piece) > 6)


def test_every_logger_of_the_worker_is_guarded() -> None:
    made = {name for name, each in logging.root.manager.loggerDict.items() if isinstance(each, logging.Logger)}
    own = {name for name in made if name == "connect" or name.startswith("connect.")}
    names = {*own, "aiohttp.client", "asyncio"}
    assert {"connect", "connect.link", "connect.requests"} <= names
    assert {name for name in names if not logging.getLogger(name).filters} == set()
