"""What was delivered of an answer, in bytes and pieces, and how many tokens that can be.

A token is at least one byte of text. Only the marks around a text or a tool call have tokens and no bytes, since
engines remove them. A handful count as exact; up to 256 in a choice count too, but make the number inexact.
"""

import msgspec

ESTIMATED_BYTES_OF_A_TOKEN = 3  # in an estimate
# For any answer as a whole.
MOST_BYTES_OF_A_TOKEN = 32
_MARKS = (
    # Invisible tokens of a choice that count as exact: its end, the names of its channels, an empty thought.
    16
)
# The same for a tool call, which some models write as XML.
_MARKS_OF_A_TOOL = 48
# Invisible tokens of a choice; above `_MARKS` they make the number inexact.
_DOUBTED_MARKS = 256
_TOKENS_PER_IMAGE = 1000  # in an estimate
MOST_TOKENS_OF_AN_IMAGE = 8192
# Base64 characters per token of sound, at 10 to 25 tokens a second: speech at 16 kbit/s, uncompressed at 8 kHz,
# and the highest possible number, uncompressed stereo at 48 kHz. The lowest: 50 tokens a second at 3 kbit/s.
COMPRESSED_SOUND = 107
RAW_SOUND = 853
_MOST_CHARACTERS_OF_A_SOUND_TOKEN = 32_768
FEWEST_CHARACTERS_OF_A_SOUND_TOKEN = 10


class Delivered(msgspec.Struct, gc=False):
    """The text of an answer that was delivered: all choices, reasoning, refusals and tool calls."""

    bytes: int = 0
    # In a stream, its pieces, each of at least one token; in a plain answer, its texts.
    pieces: int = 0
    images: int = 0
    sound: int = 0  # characters of base64
    # Bytes of words under names that no known dialect uses, if they were counted.
    other: int = 0
    # Pieces of a stream, including those without text; and tokens with a probability.
    chunks: int = 0
    tools: int = 0  # tool calls
    choices: int = 1

    @property
    def size(self) -> int:
        """Bytes, including those of sounds."""
        return self.bytes + self.sound

    def add(self, found: "Delivered") -> None:
        """Add another part of the same choices."""
        self.bytes += found.bytes
        self.pieces += found.pieces
        self.images += found.images
        self.sound += found.sound
        self.other += found.other
        self.chunks += found.chunks
        self.tools += found.tools

    @property
    def least(self) -> int:
        """The fewest tokens that it can have."""
        sound = -(-self.sound // _MOST_CHARACTERS_OF_A_SOUND_TOKEN)
        return -(-self.bytes // MOST_BYTES_OF_A_TOKEN) + sound

    def room(self, choices: int) -> int:
        """The most tokens that it can have: one per byte, and those without bytes."""
        return self.size + self.other + self.chunks + _DOUBTED_MARKS * choices + self._without_text

    def certain(self, choices: int) -> int:
        """The most tokens that count as exact."""
        # Pieces with text have at least one byte.
        silent = max(self.chunks - self.pieces, 0)
        sound = self.sound // FEWEST_CHARACTERS_OF_A_SOUND_TOKEN
        return self.bytes + self.other + silent + sound + _MARKS * choices + self._without_text

    @property
    def _without_text(self) -> int:
        return self.images * MOST_TOKENS_OF_AN_IMAGE + self.tools * _MARKS_OF_A_TOOL

    def sound_estimate(self, characters_of_a_token: int) -> int:
        """Estimated tokens of its sound, on the high side."""
        return -(-self.sound // characters_of_a_token)

    def estimate(self, characters_of_a_sound_token: int) -> int:
        """Estimated tokens, including sound, on the high side."""
        written = max(self.pieces, -(-self.bytes // ESTIMATED_BYTES_OF_A_TOKEN))
        sound = self.sound_estimate(characters_of_a_sound_token)
        return written + self.images * _TOKENS_PER_IMAGE + sound
