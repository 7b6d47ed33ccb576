"""The letters that a tenant's name may contain: those of scripts in use today.

Other scripts have far more letters that look Latin than a table of look-alikes can cover.
"""

from __future__ import annotations

import unicodedata
from typing import Final

# Scripts, by the first word of their letters' names. Unicode Standard Annex 31, table 5, recommends them.
RECOMMENDED: Final = frozenset((
    "LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "HEBREW", "ARABIC", "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI",
    "ORIYA", "TAMIL", "TELUGU", "KANNADA", "MALAYALAM", "SINHALA", "THAI", "LAO", "TIBETAN", "MYANMAR", "GEORGIAN",
    "HANGUL", "ETHIOPIC", "KHMER", "THAANA", "HIRAGANA", "KATAKANA", "BOPOMOFO", "CJK",
    # Marks that repeat or lengthen.
    "IDEOGRAPHIC", "KATAKANA-HIRAGANA",
    # These belong to no script; core/look_alikes.py reads them as apostrophes.
    "MODIFIER", "CARON",
))  # fmt: skip
# Names in these scripts were allowed before, and the tables of look-alikes include their letters.
COMPARED: Final = frozenset(("CHEROKEE", "COPTIC", "LISU"))
_LETTERS: Final = RECOMMENDED | COMPARED
# Signs that people may read as letters, by block: syllabics, currencies, letterlike, operators, enclosed letters.
_SIGNS: Final = (
    (0x1400, 0x167F), (0x20A0, 0x20CF), (0x2100, 0x214F), (0x2200, 0x22FF), (0x2460, 0x24FF), (0x27C0, 0x27EF),
    (0x2980, 0x2AFF), (0x1F100, 0x1F1FF),
)  # fmt: skip
_FREE_SIGNS: Final = frozenset("€∞")


def foreign_to_names(name: str) -> str:
    """The first character that a tenant's name may not contain; empty if there is none.

    Compatibility forms (full-width, mathematical letters) count as the letters they represent.
    """
    return next(
        (letter for letter in name if any(map(_is_foreign, unicodedata.normalize("NFKC", letter)))), ""
    )


def _is_foreign(letter: str) -> bool:
    kind = unicodedata.category(letter)
    words = unicodedata.name(letter, "").split(" ", 1)
    if kind[0] == "L" or kind == "Nl":
        return words[0] not in _LETTERS
    if kind[0] in "SP" and letter not in _FREE_SIGNS:
        return words[0] == "APL" or any(first <= ord(letter) <= last for first, last in _SIGNS)
    return False
