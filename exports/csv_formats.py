"""How CSV files are written: for people, for programs and for Excel. docs/billing.md explains the formats."""

from __future__ import annotations

from typing import Final

from exports.models import Export

# First characters by which a spreadsheet recognizes a formula, including the wide forms of East Asian keyboards.
# A number is not a formula: a key such as -4711 stays unchanged.
_SIGNS: Final = "=+@\\t\\r\\n\uff1d\uff0b\uff0d\uff20-"
_FORMULA: Final = f"^[{_SIGNS}]"
_NUMBER: Final = "^[+-][0-9]+([.,][0-9]+)?$"
# Excel splits a file at the separator of its locale, whatever the file uses, so text after a separator starts a cell.
_WITHIN: Final = f'([,;\\t\\r\\n]"*)(?=[{_SIGNS}])(?![+-][0-9]+([.,][0-9]+)?([,;]|$))'
# The byte order mark, by which Excel recognizes UTF-8.
_MARK: Final = b"\xef\xbb\xbf"
Format = Export.Format


def spreadsheet_safe(column: str, csv_format: str = Format.PLAIN) -> str:
    """SQL for text that no spreadsheet executes: a formula gets an apostrophe, except in files for programs."""
    if csv_format == Format.RAW:
        return column
    whole = f"CASE WHEN {column} ~ '{_FORMULA}' AND {column} !~ '{_NUMBER}' THEN '''' || {column} ELSE {column} END"
    return f"regexp_replace({whole}, '{_WITHIN}', '\\1''', 'g')"


def mark_of(csv_format: str) -> bytes:
    """The bytes at the start of the file, before its content."""
    return _MARK if csv_format in (Format.EXCEL, Format.EXCEL_COMMA) else b""


def options_of(csv_format: str) -> str:
    """The options with which COPY writes the file."""
    return "FORMAT csv, HEADER" + (", DELIMITER ';'" if csv_format == Format.EXCEL_COMMA else "")
