"""Two names look alike if their skeletons are equal (after Unicode Technical Standard 39, section 4).

The tables hold letters of other scripts that look like a Latin letter in the fonts of browsers and mail programs.
They are shorter than the standard's, because new names cannot use scripts that nobody writes today
(core/letters.py). Unlike the standard, we ignore case, accents, spaces, punctuation and symbols.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final


def _table(like: dict[str, str]) -> dict[int, str]:
    """Map each letter and its form from `_small`, because case folding makes small Cherokee letters large."""
    pairs = [(letter, latin) for latin, letters in like.items() for letter in letters]
    return str.maketrans({form: latin for letter, latin in pairs for form in (letter, letter.casefold())})


# For every word, even one entirely in Greek or Cyrillic. In the first table no two letters of one script become equal.
# The second holds rarer letters; there only һ and н, ь and в, and ӏ and і become equal.
_ALWAYS: Final = _table({
    "a": "аα", "b": "вβ", "c": "сϲ", "d": "ԁ", "e": "еε", "h": "нη", "i": "іι", "j": "јϳ", "k": "кκ", "m": "мμ",
    "n": "ν", "o": "оο", "p": "рρ", "q": "ԛ", "r": "г", "s": "ѕ", "t": "тτ", "u": "и", "w": "ԝ", "x": "хχ",
    "y": "уυ", "z": "ζ", "3": "з",
}) | _table({
    "b": "ь", "f": "ғ", "g": "ցԍ", "h": "һհ", "j": "յ", "l": "ӏլ", "n": "пո", "o": "օ", "q": "զ", "s": "տ", "u": "ս",
    "v": "ѵ", "w": "шաω", "m": "ϻ",
}) | _table(dict(zip("abcdefghijklmnoprstuvwxyz", "ꓮꓐꓚꓓꓰꓝꓖꓧꓲꓙꓗꓡꓟꓠꓳꓑꓣꓢꓔꓴꓦꓪꓫꓬꓜ", strict=True)))  # fmt: skip
# Compatibility normalization turns these into another sigma, which does not look like a "c".
_LUNATE: Final = str.maketrans("ϲϹ", "cC")
# In addition, for words that mix scripts, where only the look counts.
_MIXED: Final = _table({
    "a": "ɑᴀꭺᎪⲁʌ", "b": "ьъƅʙᏏꮟᏴɓⲃ", "c": "ᴄⲥꮯᏟ", "d": "ᴅꮷᑯɗᎠ", "e": "єҽɛᴇэɘ℮Ꭼⲉ", "f": "ϝƒꜰẝք", "g": "ɡցɢᶃᏀ",
    "h": "һհʜꮒђћᎻⲏ", "i": "ɩɪӏꭵɨⲓ", "k": "ĸᴋⲕқҝᏦ", "l": "ӏǀ∣ʟⵏɭᏞןוا", "m": "ᴍⅿʍᎷⲙ", "n": "пηոռɴŋπɲɳⲛ",
    "o": "σօסهᴏθюФф๐໐०০੦૦௦೦൦ⲟꬽɵ౦၀〇ဝഠଠᄋ",
    "p": "ᴘρþϸꮲⲣᏢ", "q": "գզ", "r": "ʀꮁꭇⲅяᎡᏒ", "s": "ꜱꮪʂᏕտƨ", "t": "ᴛꭲŧƭᎢⲧ", "u": "սυᴜꭎцʋμ", "v": "νѵᴠꮩⱱᏙ",
    "w": "шщɯաᴡꮃωѡᏔᏤ", "x": "×ⅹ᙮ҳⲭ", "y": "үγʏყꭚўᎩᎽⲩ", "z": "ᴢꮓʐƶᏃⲍ", "3": "ӡʒȝэ", "4": "чᏎ", "5": "ƽ", "6": "бᏮ",
    "j": "Ꭻᴊ",
})  # fmt: skip
# Scripts whose letters mostly look Latin: a word entirely in one of them may be meant to be read as Latin.
_DRAWN_AS_LATIN: Final = frozenset(("CHEROKEE", "COPTIC"))
# Greek letters whose small form looks like a different Latin letter; in mixed words the capital counts first.
_GREEK_CAPITALS: Final = str.maketrans("ΗΝΥΡΜΙΧΛ", "HNYPMIXA")
# Katakana that look like a Chinese character.
_KATAKANA: Final = str.maketrans("エトロニハタカ囗囯", "工卜口二八夕力口国")
# Letters whose accent is not a combining mark, besides those whose name says "with stroke" or the like.
_STROKES: Final = str.maketrans({"æ": "ae", "œ": "oe", "ı": "i", "ȷ": "j", "ð": "d", "ꝏ": "oo", "ɢ": "g"})
_LATIN_WITH: Final = re.compile("LATIN (?:SMALL |CAPITAL )?LETTER ([A-Z]) WITH ")
_ONE: Final = str.maketrans({"i": "l", "1": "l", "0": "o"} | dict.fromkeys("|!¦⎸⎹⏐│┃❘", "l"))
_IN_WORDS: Final = str.maketrans({
    "2": "z", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g", "$": "s", "€": "e", "@": "a",
    "¢": "c", "£": "l", "¥": "y", "฿": "b",
})  # fmt: skip
_PAIRS: Final = (("rn", "m"), ("vv", "w"))
# Letters by category that look like apostrophes, accents or colons beside a letter.
_LIKE_APOSTROPHES: Final = frozenset(
    map(chr, (*range(0x2B9, 0x300), 0x374, 0x7F4, 0x7F5, 0xA78B, 0xA78C, 0xA78F, *range(0xA4F8, 0xA4FE)))
)
# Signs that stand for letters, and `+`, so that `C++` differs from `C`.
_NO_SEPARATORS: Final = frozenset("|!$€@¦⎸⎹⏐│┃❘∣×+")
# Marks on the sign before them: variation selectors, and the keycap.
_OF_EMOJI: Final = frozenset(map(chr, (*range(0xFE00, 0xFE10), 0x20E3)))
# Trademark signs; they say that somebody owns the name.
_OF_A_BRAND: Final = re.compile("[®©™℠Ⓡⓒ]")
# Signs that are dashes in a word with Latin letters.
_DASHES: Final = re.compile("[ーヽヾ]")
_LATIN: Final = re.compile("[a-z]")
# Scripts whose letters are compared without their marks.
_WITHOUT_MARKS: Final = frozenset(("LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"))


def skeleton(name: str) -> str:
    """A name without everything that a reader may overlook; never empty for a name.

    Two names with equal skeletons look alike. A skeleton is only for comparison and is never shown.
    """
    text, is_behind_digit = "", False
    for word in _words(unicodedata.normalize("NFKC", _OF_A_BRAND.sub(" ", name.translate(_LUNATE)))):
        text += f" {_read(word)}" if is_behind_digit and word[0].isdecimal() else _read(word)
        is_behind_digit = word[-1].isdecimal()
    for pair, letter in _PAIRS:
        text = text.replace(pair, letter)
    return text or unicodedata.normalize("NFKC", name).casefold()


def _words(text: str) -> list[str]:
    """Split at spaces, punctuation and symbols; signs that stand for letters are part of words."""
    return "".join(" " if _separates(letter) else letter for letter in text).split()


def _separates(letter: str) -> bool:
    if letter in _NO_SEPARATORS:
        return False
    kind = unicodedata.category(letter)
    return (
        kind[0] in "PZC" or kind in ("Sk", "So", "Sm") or letter in _LIKE_APOSTROPHES or letter in _OF_EMOJI
    )


def _read(word: str) -> str:
    """Convert a word to small letters without accents, and its look-alikes and digits to letters.

    A number stays a number, so that "Team 5" differs from "Team S"; but nobody can tell "Team 1" from "Team l".
    """
    word = word.rstrip("!")
    if word.isdecimal():
        number = "".join(str(unicodedata.decimal(digit)) for digit in word)
        return number.translate(_ONE) if set(number) <= {"0", "1"} else number
    read = _small(word).translate(_STROKES)
    if _is_mixed(word):
        meant = _small(word.translate(_GREEK_CAPITALS)).translate(_STROKES).translate(_MIXED)
        if not any(map(_has_no_look, meant)):
            read = _DASHES.sub("", meant) if _LATIN.search(meant) else meant
    read = "".join(map(_plain, read)).translate(_ALWAYS).translate(_KATAKANA)
    if any(letter.isalpha() for letter in read):
        read = read.translate(_IN_WORDS)
    return read.translate(_ONE)


def _has_no_look(letter: str) -> bool:
    """Whether it is a Greek or Cyrillic letter that looks like no Latin one; its word is then really in that script."""
    return letter.translate(_ALWAYS) == letter and unicodedata.name(letter, "").startswith(
        ("GREEK", "CYRILLIC")
    )


def _plain(letter: str) -> str:
    """Strip stroke, hook or tail from a Latin letter; turn a digit of any script into ASCII."""
    if letter.isascii():
        return letter
    if letter.isdecimal():
        return str(unicodedata.decimal(letter))
    found = _LATIN_WITH.match(unicodedata.name(letter, ""))
    return found[1].lower() if found else letter


def _small(word: str) -> str:
    """Fold a word to small letters, without the accents and other marks on Latin, Greek and Cyrillic letters."""
    text = unicodedata.normalize("NFKC", word.casefold()).casefold()
    kept, script = [], ""
    for letter in unicodedata.normalize("NFD", text):
        if unicodedata.category(letter)[0] != "M":
            script = unicodedata.name(letter, "").partition(" ")[0]
        elif script in _WITHOUT_MARKS or _is_accent(letter):
            continue
        kept.append(letter)
    return unicodedata.normalize("NFC", "".join(kept))


def _is_accent(letter: str) -> bool:
    return "\u0300" <= letter <= "\u036f" or "\u1ab0" <= letter <= "\u1aff" or "\u1dc0" <= letter <= "\u1dff"


def _is_mixed(word: str) -> bool:
    """Whether the letters are of several scripts, or include uncommon Latin ones: then only the look counts.

    Also true if all letters are of one script that looks Latin.
    """
    letters = [
        letter
        for letter in unicodedata.normalize("NFD", word)
        if letter.isalpha() or (letter.isnumeric() and not letter.isascii())
    ]
    scripts = {unicodedata.name(letter, "").partition(" ")[0] for letter in letters}
    return (
        len(scripts) > 1
        or scripts <= _DRAWN_AS_LATIN
        or ("LATIN" in scripts and not all(letter.isascii() for letter in letters))
    )
