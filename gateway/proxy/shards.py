"""A large dictionary that is cheap to copy with changes."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# With 400,000 entries, each piece has about 400, which take a few microseconds to copy.
_PIECES = 1024


class Shards(Mapping[K, V], Generic[K, V]):
    """An immutable dictionary. Copies share all unchanged pieces."""

    __slots__ = ("_count", "_pieces")

    def __init__(self, pieces: list[dict[K, V]] | None = None, count: int = 0) -> None:
        self._pieces: list[dict[K, V]] = [{}] * _PIECES if pieces is None else pieces
        self._count = count

    def __getitem__(self, key: K) -> V:
        return self._pieces[hash(key) % _PIECES][key]

    def __contains__(self, key: object) -> bool:
        return key in self._pieces[hash(key) % _PIECES]

    def __iter__(self) -> Iterator[K]:
        for piece in self._pieces:
            yield from piece

    def __len__(self) -> int:
        return self._count

    def retire(self) -> Iterator[None]:
        """Free the memory piece by piece, once nothing uses it anymore: freeing it at once would stop all calls."""
        nothing: dict[K, V] = {}
        for number in range(_PIECES):
            self._pieces[number] = nothing
            yield

    def edit(self) -> "Edit[K, V]":
        """Begin a changed copy."""
        return Edit(list(self._pieces), self._count)

    def edit_anew(self) -> "Edit[K, V]":
        """Begin an empty copy. Entries that equal those here are not stored twice."""
        return Edit([{}] * _PIECES, 0, known=self._pieces)


class Edit(Generic[K, V]):
    """A copy under construction: a piece is copied on the first change in it."""

    def __init__(
        self, pieces: list[dict[K, V]], count: int, *, known: list[dict[K, V]] | None = None
    ) -> None:
        self._pieces = pieces
        self._count = count
        self._ours: set[int] = set()
        self._known = known
        # The number of entries in each piece that are also in `known`.
        self._same = [0] * _PIECES
        # Pieces whose number in `_same` is not reliable, such as those where an entry was set twice.
        self._edited: set[int] = set()

    def __setitem__(self, key: K, value: V) -> None:
        number = hash(key) % _PIECES
        piece = self._pieces[number] if number in self._ours else self._piece(number)
        size = len(piece)
        found = None
        if self._known is not None:
            found = self._known[number].get(key)
            if found == value:
                piece[key] = found
            else:
                piece[key], found = value, None
        else:
            piece[key] = value
        if len(piece) == size:
            self._edited.add(number)
        else:
            self._count += 1
        if found is not None:
            self._note_same(number, piece)

    def get(self, key: K) -> V | None:
        """The current value, or None."""
        return self._pieces[hash(key) % _PIECES].get(key)

    def discard(self, key: K) -> V | None:
        """Remove an entry and return it; None if there is none."""
        number = hash(key) % _PIECES
        if key not in self._pieces[number]:
            return None
        self._count -= 1
        self._edited.add(number)
        return self._piece(number).pop(key)

    def done(self) -> Shards[K, V]:
        """The copy. Nothing may change afterwards."""
        return Shards(self._pieces, self._count)

    def _note_same(self, number: int, piece: dict[K, V]) -> None:
        """Drop our piece if it equals the known one. `known` has an entry equal to the one that was set."""
        self._same[number] += 1
        assert self._known is not None
        known = self._known[number]
        if self._same[number] == len(piece) == len(known) and number not in self._edited:
            # Free the copy now: freeing all copies together at the end would stop all calls.
            self._pieces[number] = known
            self._ours.remove(number)
            self._edited.add(number)

    def _piece(self, number: int) -> dict[K, V]:
        if number not in self._ours:
            self._ours.add(number)
            self._pieces[number] = dict(self._pieces[number])
        return self._pieces[number]
