"""How long a sound file plays, in milliseconds: by its own header if it is WAV, else a guess from its size."""

from typing import Final

# Bytes in a second of speech at 16 kbit/s, so that a guess is rather too long.
_BYTES_PER_SECOND: Final = 2000
# What decoders of speech accept.
_RATES = range(4000, 768_001)
_PLAIN_SAMPLES = (1, 3)  # whole numbers, and floats
_NAMED_IN_EXTENSION = 0xFFFE
# Written instead of a length by programs that stream a file.
_UNKNOWN_LENGTHS = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000)
_MOST_CHUNKS = 1000


def length_of(sound: bytes) -> tuple[int, bool]:
    """Milliseconds, at least 1, and whether they are certain."""
    exact = _length_of_wav(sound)
    if exact is not None:
        return exact, True
    return max(1, -(-len(sound) * 1000 // _BYTES_PER_SECOND)), False


def _length_of_wav(sound: bytes) -> int | None:
    """The length by the header and the samples that are really there; None if it is not plain WAV.

    None also if it has two formats, or samples after its samples: decoders differ in which of them they use.
    """
    if sound[:4] != b"RIFF" or sound[8:12] != b"WAVE":
        return None
    at = 12
    bytes_per_second: int | None = None
    for _ in range(_MOST_CHUNKS):
        name, size = sound[at : at + 4], int.from_bytes(sound[at + 4 : at + 8], "little")
        if len(name) < 4:
            return None
        if name == b"fmt ":
            if bytes_per_second is not None:
                return None
            bytes_per_second = _bytes_per_second(sound[at + 8 : at + 8 + size])
        if name == b"data":
            there = len(sound) - at - 8
            samples = there if size in _UNKNOWN_LENGTHS else min(size, there)
            is_only_one = sound.find(b"data", at + 8 + samples) < 0
            if not bytes_per_second or samples <= 0 or not is_only_one:
                return None
            return max(1, -(-samples * 1000 // bytes_per_second))
        # Chunks begin at even places.
        at += 8 + size + size % 2
    return None


def _bytes_per_second(form: bytes) -> int:
    """From a `fmt ` chunk; 0 unless its numbers agree."""
    if len(form) < 16:
        return 0
    kind, channels = int.from_bytes(form[:2], "little"), int.from_bytes(form[2:4], "little")
    rate, stated = int.from_bytes(form[4:8], "little"), int.from_bytes(form[8:12], "little")
    block, bits = int.from_bytes(form[12:14], "little"), int.from_bytes(form[14:16], "little")
    if kind == _NAMED_IN_EXTENSION and len(form) >= 26:
        kind = int.from_bytes(form[24:26], "little")
    is_sound = (
        kind in _PLAIN_SAMPLES and 1 <= channels <= 16 and bits in (8, 16, 24, 32, 64) and rate in _RATES
    )
    is_agreed = block == channels * bits // 8 and stated == rate * block
    return stated if is_sound and is_agreed else 0
