"""Redaction: takes the secrets of this process out of a text that a peer sent, before it is logged or shown.

An API that echoes what it was sent would otherwise put the bearer into our log. Redacted is whatever is a `Secret` while it lives:
signing keys and what is sent in their place, session and sync tokens, event keys, passwords of proxies. Of each

- the whole, or any part of 16 letters and digits or more; a secret with fewer as a whole, if it has at least 6;
- in upper or lower case, reversed, split by spaces, line breaks, NULs or any other characters that are no letters or digits;
- as `%73`, `\\x73`, `\\u0073`, `\\163`, `=73`, `&#115;` or `&#x73;`, also mixed, and encoded so up to four times over;
- in hex, base32 or base64 (both alphabets, at any offset, so also that of `Bearer …`), from UTF-8 or UTF-16; in base64 of that; and
  the bytes that a signing key's hexadecimal digits stand for, in base32 or base64.

What is compressed, encrypted or hashed is not recognised. The text must be short: `peer_text` cuts it first.
"""

import base64
import functools
import html
import logging
import re
import traceback
import unicodedata
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Final, NamedTuple

from connect.log_format import FIELDS, Traceback, indented, printable
from connect.secrets import Secret, generation_of_secrets, living_secrets, without_passwords

LEAST_PART: Final = 16
"""Letters and digits of a part that is redacted."""
LEAST_WHOLE: Final = 6
"""Of a whole secret: a shorter one stands in many a harmless word."""
_GRAM: Final = LEAST_PART // 2 + 1
_STRIDE: Final = LEAST_PART // 2
"""Each part of LEAST_PART characters has a gram in it that begins at a multiple of this."""
_PLACES: Final = 8
"""How many places of one gram are remembered, for a secret that repeats itself."""
_LONGEST_SECRET: Final = 4096
"""Of a longer one the beginning is recognised: a server may grant a token of any size."""
_SLICED: Final = 64
"""Most ids and names have fewer letters."""
_SLICES: Final = {size: [slice(at, at + size) for at in range(_SLICED)] for size in (LEAST_WHOLE, _GRAM)}
"""What cuts a text of that many letters into its pieces of each size."""
_ROUNDS: Final = 4
_MARK: Final = "***"

PEER_TEXT: Final = 500
"""Characters of a peer's text that are shown."""
_MARGIN: Final = 200
"""Characters beyond a cut: a secret must not be halved before it is recognised, and each of its letters may be escaped."""
LONGEST_ID: Final = 200
"""Characters of an id or a name that a log line shows."""
_REMEMBERED: Final = 256
"""Ids and names that are remembered as they are shown: an app's and a function's come with each request."""

_PREFIX: Final = re.compile(r"^signkey-[A-Za-z0-9_]+-")
_ESCAPES: Final = re.compile(
    r"%[0-9a-f]{2}|(?<!\\)\\++(?:u[0-9a-f]{4}|x[0-9a-f]{2}|[0-7]{2,3}|[nrtv0/])|=[0-9a-f]{2}|=\r?\n|&#?\w{2,10};?",
    re.IGNORECASE,
)
"""A run of backslashes is read once, from its beginning: a peer may send thousands."""
_ESCAPING: Final = re.compile(r"[%\\=&]")
"""What each of the `_ESCAPES` begins with."""
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_NO_LETTERS: Final = re.compile(r"[^a-z0-9]+")


def peer_text(text: object, most: int = PEER_TEXT) -> str:
    """*text*, which a peer sent or may have had a part in, for a log line, an error or a page.

    It is without secrets and passwords, on one line, and has at most *most* characters.
    """
    whole = str(text)
    if len(whole) <= LONGEST_ID:
        return _safe_name(whole, generation_of_secrets())[:most]
    safe = _safe_line(whole[: most + _MARGIN])
    if len(whole) > most + _MARGIN:
        safe = safe[:-_MARGIN]
    return safe[:most]


@functools.lru_cache(maxsize=_REMEMBERED)
def _safe_name(text: str, _generation: int) -> str:
    return _safe_line(text)


def _safe_line(text: str) -> str:
    return printable(redacted(without_passwords(text)))


def redacted(text: str) -> str:
    """*text* with `***` in place of the secrets in it."""
    known = _known()
    if not any(map(known.may_be_in, _readings(text))):
        return text
    spans = sorted({span for stream in _streams(text) for span in known.find(stream)})
    parts: list[str] = []
    end = 0
    for first, last in spans:
        if first >= end or not parts:
            parts += [text[end:first], _MARK]
        end = max(end, last)
    return "".join([*parts, text[end:]])


# -- the text ------------------------------------------------------------------------------------------------------------------


def _readings(text: str) -> Iterable[str]:
    """The letters of each of the `_streams` of *text*, which cost a tenth without their places."""
    is_plain = text.isascii() and text.isalnum()  # most ids
    return (text.lower(),) if is_plain else _decoded(text)


def _decoded(text: str) -> Iterator[str]:
    for _ in range(_ROUNDS + 1):
        plain = text if text.isascii() else _NOT_ASCII.sub(lambda found: _compatible(found.group()), text)
        yield _NO_LETTERS.sub("", plain.lower())
        before = text
        text = _ESCAPES.sub(lambda found: _unescaped(found.group()), text) if _ESCAPING.search(text) else text
        if text == before:
            return


class _Stream(NamedTuple):
    """The letters and digits of a text, in lower case, and where each of them stands in it: from, to."""

    letters: str
    places: "Sequence[tuple[int, int]] | _Each"


class _Each:
    """The places of a text that is all letters and digits."""

    def __getitem__(self, at: int) -> tuple[int, int]:
        return at, at + 1


def _streams(text: str) -> Iterator[_Stream]:
    """The letters of *text* as it is, and after each round of decoding what is escaped in it."""
    if text.isascii() and text.isalnum():  # most ids
        yield _Stream(text.lower(), _Each())
        return
    places: Sequence[tuple[int, int]] = [(at, at + 1) for at in range(len(text))]
    for _ in range(_ROUNDS + 1):
        yield _letters(text, places)
        decoded: list[str] = []
        kept: list[tuple[int, int]] = []
        end = 0
        for found in _ESCAPES.finditer(text):
            plain = _unescaped(found.group())
            decoded += [text[end : found.start()], plain]
            kept += places[end : found.start()]
            kept += [(places[found.start()][0], places[found.end() - 1][1])] * len(plain)
            end = found.end()
        if not end:
            return
        text, places = "".join([*decoded, text[end:]]), [*kept, *places[end:]]


def _letters(text: str, places: Sequence[tuple[int, int]]) -> _Stream:
    letters, where = [], []
    for character, place in zip(text, places, strict=True):
        plain = character if character.isascii() else _compatible(character)
        for each in plain.lower():
            if each.isascii() and each.isalnum():
                letters.append(each)
                where.append(place)
    return _Stream("".join(letters), where)


def _compatible(character: str) -> str:
    return unicodedata.normalize("NFKC", character)


def _unescaped(found: str) -> str:
    if found.startswith("&"):
        return html.unescape(found)
    digits = found.lstrip("%\\=").lstrip("uUxX").lower()
    if not digits or digits in "nrtv0/\n\r\n":
        return ""
    return chr(int(digits, 8 if found[0] == "\\" and found.lstrip("\\")[0].isdigit() else 16))


# -- the secrets ---------------------------------------------------------------------------------------------------------------


class _Index:
    """The forms in which one secret may appear, and where in them each gram stands."""

    def __init__(self, text: str) -> None:
        forms = {form for form in map(_bare, _forms(text[:_LONGEST_SECRET])) if len(form) >= LEAST_WHOLE}
        self.short = [form for form in forms if len(form) < LEAST_PART]
        self.places: dict[str, list[tuple[str, int]]] = {}
        for form in forms:
            for at in range(0, len(form) - _GRAM + 1, _STRIDE):
                known = self.places.setdefault(form[at : at + _GRAM], [])
                if len(known) < _PLACES:
                    known.append((form, at))

    def find(self, stream: _Stream) -> Iterator[tuple[int, int]]:
        """From where to where in the text each part of the secret stands."""
        letters, places = stream
        for form in self.short:
            at = letters.find(form)
            while at >= 0:
                yield places[at][0], places[at + len(form) - 1][1]
                at = letters.find(form, at + 1)
        end = 0
        grams = self.places
        for at in range(len(letters) - _GRAM + 1):
            gram = letters[at : at + _GRAM]
            if gram not in grams or at < end:
                continue
            for form, place in grams[gram]:
                first, last = _grown(letters, at, form, place)
                if last - first >= LEAST_PART:
                    yield places[first][0], places[last - 1][1]
                    end = max(end, last - LEAST_PART)


def _grown(letters: str, at: int, form: str, place: int) -> tuple[int, int]:
    """From where to where *letters* are as *form* is, around *at* and *place*, where both have the same gram."""
    before = 0
    while before < min(at, place) and letters[at - before - 1] == form[place - before - 1]:
        before += 1
    after, most = _GRAM, min(len(letters) - at, len(form) - place)
    while after < most and letters[at + after] == form[place + after]:
        after += 1
    return at - before, at + after


class _Known:
    """The indexes of all living secrets, and the grams of all of them, which most texts are done with.

    The grams of *before* are used again, for to gather those of all secrets takes 0.05 ms a secret. Those of secrets that have gone
    are still among them: `find` looks for nothing then. Once more secrets have gone than live, all are gathered anew.
    """

    def __init__(self, indexes: frozenset[_Index], before: "_Known | None" = None) -> None:
        self._indexes = indexes
        self._gone: int = before._gone + len(before._indexes - indexes) if before else 0
        if not before or self._gone > len(indexes):
            self._gone, self._grams, self._short, new = 0, set[str](), set[str](), indexes
        else:
            self._grams, self._short, new = before._grams, before._short, indexes - before._indexes
        for index in new:
            self._grams.update(index.places)
            self._short.update(form[:LEAST_WHOLE] for form in index.short)

    def find(self, stream: _Stream) -> Iterator[tuple[int, int]]:
        """From where to where in the text a secret or a part of one stands."""
        if self.may_be_in(stream.letters):
            for index in self._indexes:
                yield from index.find(stream)

    def may_be_in(self, letters: str) -> bool:
        """False: neither a secret nor a part of one is in *letters*."""
        if self._short and _has_any(letters, LEAST_WHOLE, self._short):
            return True
        if len(letters) < LEAST_PART:
            return False
        return _has_any(letters, _GRAM, self._grams)


def _has_any(letters: str, length: int, pieces: Set[str]) -> bool:
    """Whether one of *pieces*, which have that *length*, is in *letters*."""
    count = max(0, len(letters) - length + 1)
    slices = _SLICES[length][:count] if count <= _SLICED else map(slice, range(count), range(length, count + length))
    return not pieces.isdisjoint(map(letters.__getitem__, slices))


_latest: tuple[int, _Known] = (0, _Known(frozenset()))
"""What the secrets of a generation are known by."""


def _known() -> _Known:
    """What the living secrets are known by. From any thread."""
    global _latest
    generation, known = _latest
    now = generation_of_secrets()
    if now != generation:
        known = _Known(frozenset(map(_index, living_secrets())), known)
        _latest = now, known
    return known


def _index(secret: Secret) -> _Index:
    if not isinstance(secret.index, _Index):
        secret.index = _Index(secret.reveal())
    return secret.index


def _bare(form: str) -> str:
    return "".join(each for each in form.lower() if each.isascii() and each.isalnum())


def _forms(text: str) -> Iterator[str]:
    core = _PREFIX.sub("", text)
    for plain in {text, core}:
        yield plain
        yield plain[::-1]
        for data in (plain.encode("utf-8", "replace"), plain.encode("utf-16-le", "replace")):
            yield data.hex()
            yield from _base64(data)
        yield plain.encode("utf-16-be", "replace").hex()
        yield from _base64(plain.encode("utf-16-be", "replace"))
        yield from _base32(plain.encode("utf-8", "replace"))
        for coded in _base64(plain.encode("utf-8", "replace")):
            yield from _base64(coded.encode())
    if re.fullmatch(r"([0-9a-fA-F]{2})+", core):
        yield from _base64(bytes.fromhex(core))
        yield from _base32(bytes.fromhex(core))


def _base64(data: bytes) -> Iterator[str]:
    """*data* as it looks in base64 behind any other bytes: without the characters that share a byte with others."""
    for offset, cut in ((0, 0), (1, 2), (2, 3)):
        coded = base64.b64encode(b"\0" * offset + data).decode().rstrip("=")
        yield coded[cut:] if (len(data) + offset) % 3 == 0 else coded[cut:-1]


def _base32(data: bytes) -> Iterator[str]:
    for offset, cut in ((0, 0), (1, 2), (2, 4), (3, 5), (4, 7)):
        coded = base64.b32encode(b"\0" * offset + data).decode().rstrip("=")
        yield coded[cut:] if (len(data) + offset) % 5 == 0 else coded[cut:-1]


# -- log lines -----------------------------------------------------------------------------------------------------------------


def logger(name: str) -> logging.Logger:
    """The logger *name*. What its lines say of peers and users is made safe as `peer_text` does, whoever formats them."""
    made = logging.getLogger(name)
    made.addFilter(_SAFE)
    return made


SAFE: Final = {"is_safe": True}
"""Give this as `extra` with a message whose texts all went through `peer_text` already: they are not looked at again."""


class _SafeArguments(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "is_safe", False):
            return True
        ids: dict[object, str] = {}
        for name in FIELDS:
            if isinstance(value := getattr(record, name, None), str):
                ids[value] = peer_text(value, LONGEST_ID)
                setattr(record, name, ids[value])
        if not record.args and isinstance(record.msg, str):
            record.msg = _long_redacted(record.msg)  # libraries put what they say into the message
        elif isinstance(record.args, tuple):
            record.args = tuple(ids[each] if type(each) is str and each in ids else _safe(each) for each in record.args)
        if record.exc_info and not record.exc_text:
            _cover(record)
        return True


def _cover(record: logging.LogRecord) -> None:
    """Have the formatters of *record* show its traceback without secrets, if there are some in it."""
    whole = "".join(traceback.format_exception(record.exc_info[1])) if record.exc_info else ""
    safe = _long_redacted(whole)
    if safe != whole:
        record.exc_text = indented(safe.removesuffix("\n"))


def _long_redacted(text: str) -> str:
    """*text* without secrets; of a very long one the beginning and the end: the error of a traceback is in its last line."""
    if len(text) <= _LONGEST_TEXT:
        return redacted(text)
    half = _LONGEST_TEXT // 2
    first, last = redacted(text[: half + _MARGIN])[:-_MARGIN], redacted(text[-half - _MARGIN :])[_MARGIN:]
    return f"{first}\n… {len(text) - 2 * half} characters left out …\n{last}"


def _safe(argument: object) -> object:
    """*argument*; or its text, if that had to be changed. A class of errors is kept: `RepeatLimit` asks for it."""
    if isinstance(argument, Traceback):
        return Traceback("\n".join(map(printable, argument.split("\n"))))
    if not isinstance(argument, str | BaseException):
        return argument
    text = str(argument)
    safe = printable(redacted(text)) if len(text) <= _LONGEST_LINE else peer_text(text, _LONGEST_LINE)
    return argument if safe == text else safe


_LONGEST_LINE: Final = 2000
_LONGEST_TEXT: Final = 50_000
_SAFE: Final = _SafeArguments()
