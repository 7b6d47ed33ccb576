"""Read text files from elsewhere: Windows tools put a byte order mark in front, or write UTF-16."""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import zlib

# Longer marks first: UTF-32 LE begins like UTF-16 LE.
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
REMEDY = (
    "Save it as UTF-8 (Notepad: Save as, Encoding UTF-8; PowerShell: Out-File -Encoding utf8) and try again."
)


class UnreadableText(ValueError):
    """We cannot read the bytes as text; the message says what to do."""


def text_of(data: bytes, *, most: int | None = None) -> str:
    """The text of a file, plain, gzipped or xz, in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

    The mark is not part of the text. Raises UnreadableText; also for more than `most` bytes, packed or unpacked.
    """
    limit = -1 if most is None else most + 1
    try:
        if data[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as unpacking:
                data = unpacking.read(limit)
        elif data[:6] == b"\xfd7zXZ\x00":
            with lzma.LZMAFile(io.BytesIO(data)) as packed:
                data = packed.read(limit)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise UnreadableText(f"The file cannot be unpacked: {error}. Download it again.") from error
    if most is not None and len(data) > most:
        raise UnreadableText(f"The file is larger than {most // 1_000_000} MB.")
    encoding, mark = encoding_of(data)
    try:
        return data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableText(
            f"The file is not {encoding.upper()} (byte {error.start + len(mark) + 1} is invalid). {REMEDY}"
        ) from error


def encoding_of(start: bytes) -> tuple[str, bytes]:
    """The encoding of a file that begins with these bytes, and its byte order mark; UTF-8 without one.

    Raises UnreadableText for UTF-16 without a mark: every second byte is zero.
    """
    for mark, encoding in MARKS:
        if start.startswith(mark):
            return encoding, mark
    if len(start) >= 2 and 0 in start[:2]:
        raise UnreadableText(f"The file looks like UTF-16 without a byte order mark. {REMEDY}")
    return "utf-8", b""


def utf_8_of(first_line: bytes) -> bytes:
    """The first line of a UTF-8 file without its byte order mark. Raises UnreadableText for UTF-16 and UTF-32."""
    encoding, mark = encoding_of(first_line)
    if encoding != "utf-8":
        raise UnreadableText(f"The file is {encoding.upper()}. {REMEDY}")
    return first_line[len(mark) :]
