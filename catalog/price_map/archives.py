"""The texts in an uploaded archive (zip, tar, tar.gz): read in memory, bounded, and never written to disk."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from django.utils.translation import gettext as _

from catalog.price_map.reading import MOST_BYTES, UnreadableFile
from core.text_files import UnreadableText, text_of

MOST_FILES: Final = 10_000
# Of one file in it.
MOST_OF_ONE: Final = 5_000_000
CARDS: Final = (".md", ".yaml", ".yml")


def texts_of(data: bytes) -> dict[str, str]:
    """The cards in an archive by path; a file that is no archive is one card without a path. Raises UnreadableFile.

    However small an archive is, no more than MOST_BYTES are unpacked.
    """
    try:
        if data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            return _texts(_of_zip(data))
        plain = _unpacked(data)
        if plain[257:262] == b"ustar":
            return _texts(_of_tar(plain))
        return {"": text_of(plain, most=MOST_OF_ONE)}
    except (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise UnreadableFile(_("The archive cannot be unpacked: %(error)s.") % {"error": error}) from error
    except (NotImplementedError, RuntimeError) as error:
        # Encrypted, or packed in a way that we do not read.
        raise UnreadableFile(_("The archive cannot be unpacked: %(error)s.") % {"error": error}) from error
    except UnreadableText as error:
        raise UnreadableFile(str(error)) from error


def texts_below(folder: Path) -> dict[str, str]:
    """The cards in a directory by path. Links are not followed. Raises UnreadableFile, and OSError."""

    def found() -> Iterator[tuple[str, IO[bytes]]]:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in CARDS and path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    yield path.relative_to(folder).as_posix(), file

    try:
        return _texts(found())
    except UnreadableText as error:
        raise UnreadableFile(str(error)) from error


def _texts(files: Iterator[tuple[str, IO[bytes]]]) -> dict[str, str]:
    texts: dict[str, str] = {}
    total = 0
    for path, file in files:
        if len(texts) >= MOST_FILES:
            raise UnreadableFile(_("The archive has more than %(most)d files.") % {"most": MOST_FILES})
        data = file.read(MOST_OF_ONE + 1)
        total += len(data)
        if len(data) > MOST_OF_ONE or total > MOST_BYTES:
            raise UnreadableFile(
                _("The archive has more than %(most)d MB.") % {"most": MOST_BYTES // 1_000_000}
                if total > MOST_BYTES
                else _("%(file)s is larger than %(most)d MB.")
                % {"file": path[:200], "most": MOST_OF_ONE // 1_000_000}
            )
        texts[path] = text_of(data)
    return texts


def _unpacked(data: bytes) -> bytes:
    if data[:2] == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            data = packed.read(MOST_BYTES + 1)
    elif data[:6] == b"\xfd7zXZ\x00":
        with lzma.LZMAFile(io.BytesIO(data)) as packed:
            data = packed.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UnreadableFile(_("The archive has more than %(most)d MB.") % {"most": MOST_BYTES // 1_000_000})
    return data


def _of_zip(data: bytes) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for one in archive.infolist():
            if not one.is_dir() and one.filename.lower().endswith(CARDS):
                with archive.open(one) as file:
                    yield one.filename, file


def _of_tar(data: bytes) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for one in archive:
            if one.isfile() and one.name.lower().endswith(CARDS) and (file := archive.extractfile(one)):
                yield one.name, file
