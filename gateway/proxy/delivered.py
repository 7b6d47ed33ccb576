"""What came through of an answer, in bytes and pieces, and how many tokens that can be.

A token is never less than a byte of a text. What has tokens and no bytes are the marks around a text and a tool call,
which engines take out: a handful, which nobody doubts, and up to 256 of a choice, which are kept and doubted.
"""

from dataclasses import dataclass

ESTIMATED_BYTES_OF_A_TOKEN = 3  # in an estimate
# Of any answer, on the whole.
MOST_BYTES_OF_A_TOKEN = 32
_MARKS = (
    # Tokens of a choice that nobody sees nor doubts: its end, the names of its channels, an empty thought.
    16
)
# The same of a tool call, which some models write as XML.
_MARKS_OF_A_TOOL = 48
# Tokens of a choice that nobody sees; beyond the above they are doubted.
_DOUBTED_MARKS = 256
_TOKENS_PER_IMAGE = 1000  # in an estimate
MOST_TOKENS_OF_AN_IMAGE = 8192
# Of sound, in characters of base64 a token, of which a second has 10 to 25: speech at 16 kbit/s, uncompressed at 8 kHz,
# and the most there can be, uncompressed stereo at 48 kHz. The fewest: 50 tokens a second at 3 kbit/s.
COMPRESSED_SOUND = 107
RAW_SOUND = 853
_MOST_CHARACTERS_OF_A_SOUND_TOKEN = 32_768
_FEWEST_CHARACTERS_OF_A_SOUND_TOKEN = 10


@dataclass(slots=True)
class Delivered:
    """The text of an answer that came through: all choices, reasoning, refusals and tool calls."""

    bytes: int = 0
    # Of a stream: each has at least one token; in a plain answer the texts.
    pieces: int = 0
    images: int = 0
    sound: int = 0  # characters of base64
    # Bytes of words under names that no dialect is known to use, where that was looked at.
    other: int = 0
    # Of a stream, those without a text included; and tokens with a probability.
    chunks: int = 0
    tools: int = 0  # calls of tools
    choices: int = 1

    @property
    def size(self) -> int:
        """Bytes, those of sounds included."""
        return self.bytes + self.sound

    def add(self, found: "Delivered") -> None:
        """Add what another part of the same choices delivered."""
        self.bytes += found.bytes
        self.pieces += found.pieces
        self.images += found.images
        self.sound += found.sound
        self.other += found.other
        self.chunks += found.chunks
        self.tools += found.tools

    @property
    def least(self) -> int:
        """Tokens that it must have."""
        sound = -(-self.sound // _MOST_CHARACTERS_OF_A_SOUND_TOKEN)
        return -(-self.bytes // MOST_BYTES_OF_A_TOKEN) + sound

    def room(self, choices: int) -> int:
        """The most tokens that it can have: one for a byte, and those that have none."""
        return self.size + self.other + self.chunks + _DOUBTED_MARKS * choices + self._without_text

    def certain(self, choices: int) -> int:
        """The most tokens that nobody doubts."""
        # Those with a text have a byte at least.
        silent = max(self.chunks - self.pieces, 0)
        sound = self.sound // _FEWEST_CHARACTERS_OF_A_SOUND_TOKEN
        return self.bytes + self.other + silent + sound + _MARKS * choices + self._without_text

    @property
    def _without_text(self) -> int:
        return self.images * MOST_TOKENS_OF_AN_IMAGE + self.tools * _MARKS_OF_A_TOOL

    def sound_estimate(self, characters_of_a_token: int) -> int:
        """Tokens that its sound has, rather too many than too few."""
        return -(-self.sound // characters_of_a_token)

    def estimate(self, characters_of_a_sound_token: int) -> int:
        """Tokens that it has, sound included, rather too many than too few."""
        written = max(self.pieces, -(-self.bytes // ESTIMATED_BYTES_OF_A_TOKEN))
        sound = self.sound_estimate(characters_of_a_sound_token)
        return written + self.images * _TOKENS_PER_IMAGE + sound
