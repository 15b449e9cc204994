"""The newest of the test gateway's records, by key: as many as fit, in number and in bytes. A gateway may serve for weeks."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Newest(Generic[K, T]):
    """At most *count* entries, and at most *size* bytes of them; the oldest are dropped first. The newest one is always kept."""

    def __init__(self, count: int, size: int) -> None:
        self._count = count
        self._size = size
        self._entries: OrderedDict[K, tuple[T, int]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[T]:
        return iter([entry for entry, _ in self._entries.values()])

    def __getitem__(self, key: K) -> T:
        return self._entries[key][0]

    def get(self, key: K) -> T | None:
        """The entry with this key; None: it was dropped, or never added."""
        found = self._entries.get(key)
        return found[0] if found else None

    def add(self, key: K, entry: T, size: int) -> None:
        """Add *entry*, which holds *size* bytes, as the newest; it replaces the one with the same key."""
        self.drop(key)
        self._entries[key] = (entry, size)
        self._bytes += size
        self._trim()

    def grow(self, key: K, size: int) -> None:
        """The entry with this key holds *size* bytes more. Does nothing if it was dropped."""
        if key in self._entries:
            entry, before = self._entries[key]
            self._entries[key] = (entry, before + size)
            self._bytes += size
            self._trim()

    def drop(self, key: K) -> None:
        """Drop the entry with this key, if there is one."""
        _, size = self._entries.pop(key, (None, 0))
        self._bytes -= size

    def _trim(self) -> None:
        while len(self._entries) > 1 and (len(self._entries) > self._count or self._bytes > self._size):
            _, (_, size) = self._entries.popitem(last=False)
            self._bytes -= size
