"""How CSV files are written: for people, for programs and for Excel. docs/billing.md explains the formats."""

from __future__ import annotations

from typing import Final

from exports.models import Export

# What a spreadsheet may take for a formula by its first character, also in the wide form of East Asian keyboards.
# A number is none: -4711 stays the key that it is.
_SIGNS: Final = "=+@\\t\\r\\n\uff1d\uff0b\uff0d\uff20-"
_FORMULA: Final = f"^[{_SIGNS}]"
_NUMBER: Final = "^[+-][0-9]+([.,][0-9]+)?$"
# Excel splits a file at the separator of its country, whatever the file's own is: what follows one begins a cell.
_WITHIN: Final = f'([,;\\t\\r\\n]"*)(?=[{_SIGNS}])(?![+-][0-9]+([.,][0-9]+)?([,;]|$))'
# By which Excel knows UTF-8.
_MARK: Final = b"\xef\xbb\xbf"
Format = Export.Format


def spreadsheet_safe(column: str, csv_format: str = Format.PLAIN) -> str:
    """Text that a spreadsheet will not execute: what would be a formula gets an apostrophe, except for programs."""
    if csv_format == Format.RAW:
        return column
    whole = f"CASE WHEN {column} ~ '{_FORMULA}' AND {column} !~ '{_NUMBER}' THEN '''' || {column} ELSE {column} END"
    return f"regexp_replace({whole}, '{_WITHIN}', '\\1''', 'g')"


def mark_of(csv_format: str) -> bytes:
    """What stands in front of the file."""
    return _MARK if csv_format in (Format.EXCEL, Format.EXCEL_COMMA) else b""


def options_of(csv_format: str) -> str:
    """How COPY writes the file."""
    return "FORMAT csv, HEADER" + (", DELIMITER ';'" if csv_format == Format.EXCEL_COMMA else "")
