"""When two names look alike: their skeletons are equal (after Unicode Technical Standard 39, section 4).

The tables hold letters of other scripts that look like a Latin one in the fonts of browsers and mail programs. They
are shorter than the standard's: scripts that nobody writes today stand in no new name (tenants/letters.py). Case,
accents, spaces and punctuation, which the standard tells apart, do not tell two names apart here.
"""

from __future__ import annotations

import unicodedata
from typing import Final


def _table(like: dict[str, str]) -> dict[int, str]:
    """By letter, and by what `_small` makes of it: folding makes small Cherokee letters large."""
    pairs = [(letter, latin) for latin, letters in like.items() for letter in letters]
    return str.maketrans({form: latin for letter, latin in pairs for form in (letter, letter.casefold())})


# For every word, also one that is Greek or Cyrillic throughout: no two letters of one script become the same.
_ALWAYS: Final = _table({
    "a": "аα", "b": "вβ", "c": "сϲ", "d": "ԁ", "e": "еε", "h": "нη", "i": "іι", "j": "јϳ", "k": "кκ", "m": "мμ",
    "n": "ν", "o": "оο", "p": "рρ", "q": "ԛ", "r": "г", "s": "ѕ", "t": "тτ", "u": "и", "w": "ԝ", "x": "хχ",
    "y": "уυ", "z": "ζ", "3": "з",
}) | _table({  # rarer ones, of which the like holds but for һ beside н, ь beside в and ӏ beside і
    "b": "ь", "f": "ғ", "g": "ցԍ", "h": "һհ", "j": "յ", "l": "ӏլ", "n": "пո", "o": "օ", "q": "զ", "s": "տ", "u": "ս",
    "v": "ѵ", "w": "шաω", "m": "ϻ",
}) | _table(dict(zip("abcdefghijklmnoprstuvwxyz", "ꓮꓐꓚꓓꓰꓝꓖꓧꓲꓙꓗꓡꓟꓠꓳꓑꓣꓢꓔꓴꓦꓪꓫꓬꓜ", strict=True)))  # fmt: skip
# Compatibility forms make another sigma of these, which has no such look.
_LUNATE: Final = str.maketrans("ϲϹ", "cC")
# Besides, in words that mix scripts, where only the look can be meant.
_MIXED: Final = _table({
    "a": "ɑᴀꭺᎪⲁ", "b": "ьъƅʙᏏꮟᏴɓⲃ", "c": "ᴄⲥꮯᏟ", "d": "ᴅꮷᑯɗᎠ", "e": "єҽɛᴇэɘ℮Ꭼⲉ", "f": "ϝƒꜰẝ", "g": "ɡցɢᶃᏀ",
    "h": "һհʜꮒђћᎻⲏ", "i": "ɩɪӏꭵɨⲓ", "k": "ĸᴋⲕқҝᏦ", "l": "ӏǀ∣ʟⵏɭᏞ", "m": "ᴍⅿʍᎷⲙ", "n": "пηոռɴŋπɲɳⲛ",
    "o": "σօסهᴏθюФф๐໐०০੦૦௦೦൦ⲟꬽɵ",
    "p": "ᴘρþϸꮲⲣᏢ", "q": "գզ", "r": "ʀꮁꭇⲅяᎡᏒ", "s": "ꜱꮪʂᏕտ", "t": "ᴛꭲŧƭᎢⲧ", "u": "սυᴜꭎцʋμ", "v": "νѵᴠꮩⱱᏙ",
    "w": "шщɯաᴡꮃωѡᏔᏤ", "x": "×ⅹ᙮ҳⲭ", "y": "үγʏყꭚўᎩᎽⲩ", "z": "ᴢꮓʐƶᏃⲍ", "3": "ӡʒȝэ", "4": "чᏎ", "6": "бᏮ", "j": "Ꭻᴊ",
})  # fmt: skip
# Scripts whose letters are mostly drawn as Latin ones: a word of them alone may be meant to be read as Latin.
_DRAWN_AS_LATIN: Final = frozenset(("CHEROKEE", "COPTIC"))
# Greek letters that look like another Latin one when they are small; in mixed words the capital is looked at first.
_GREEK_CAPITALS: Final = str.maketrans("ΗΝΥΡΜΙΧ", "HNYPMIX")
# Letters whose accent is no combining mark.
_STROKES: Final = str.maketrans(
    {"ø": "o", "đ": "d", "ħ": "h", "ł": "l", "ŧ": "t", "ƀ": "b", "æ": "ae", "œ": "oe", "ı": "i", "ȷ": "j"}
)
_ONE: Final = str.maketrans({"i": "l", "1": "l", "|": "l", "!": "l", "0": "o"})
_IN_WORDS: Final = str.maketrans({
    "2": "z", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g", "$": "s", "€": "e", "@": "a",
})  # fmt: skip
_PAIRS: Final = (("rn", "m"), ("vv", "w"))
# Letters by their category, which look like apostrophes, accents and colons beside a letter.
_LIKE_APOSTROPHES: Final = frozenset(map(chr, (*range(0x2B9, 0x300), 0x374, 0x7F4, 0x7F5, 0xA78B, 0xA78C)))
_NO_SEPARATORS: Final = frozenset("|!$€@")


def skeleton(name: str) -> str:
    """What is left of a name when everything is away that a reader may overlook; never empty for a name.

    Two names whose skeletons are equal look alike. A skeleton is for comparing and shown to nobody.
    """
    text = ""
    for word in _words(unicodedata.normalize("NFKC", name.translate(_LUNATE))):
        read = _read(word)
        text += f" {read}" if read[:1].isdigit() and text[-1:].isdigit() else read
    for pair, letter in _PAIRS:
        text = text.replace(pair, letter)
    return text or unicodedata.normalize("NFKC", name).casefold()


def _words(text: str) -> list[str]:
    """What stands between spaces and punctuation; signs that stand for letters are in words."""
    return "".join(" " if _separates(letter) else letter for letter in text).split()


def _separates(letter: str) -> bool:
    kind = unicodedata.category(letter)
    return letter not in _NO_SEPARATORS and (kind[0] in "PZC" or kind == "Sk" or letter in _LIKE_APOSTROPHES)


def _read(word: str) -> str:
    """One word in small letters without accents, its look-alikes and the digits in it read as letters.

    A number stays a number, so that "Team 5" is not "Team S".
    """
    word = word.rstrip("!")
    if word.isdecimal():
        return "".join(str(unicodedata.decimal(digit)) for digit in word)
    if is_mixed := _is_mixed(word):
        word = word.translate(_GREEK_CAPITALS)
    word = _small(word).translate(_STROKES)
    if is_mixed:
        word = word.translate(_MIXED)
    word = word.translate(_ALWAYS)
    if any(letter.isalpha() for letter in word):
        word = word.translate(_IN_WORDS)
    return word.translate(_ONE)


def _small(word: str) -> str:
    """Folded to small letters, without the accents of Latin, Greek and Cyrillic."""
    text = unicodedata.normalize("NFKC", word.casefold()).casefold()
    kept = (letter for letter in unicodedata.normalize("NFD", text) if not _is_accent(letter))
    return unicodedata.normalize("NFC", "".join(kept))


def _is_accent(letter: str) -> bool:
    return "\u0300" <= letter <= "\u036f" or "\u1ab0" <= letter <= "\u1aff" or "\u1dc0" <= letter <= "\u1dff"


def _is_mixed(word: str) -> bool:
    """Whether letters are of several scripts, or of Latin ones that not everybody knows: then the look is meant.

    So it is where all are of a script that is drawn as Latin is.
    """
    letters = [letter for letter in unicodedata.normalize("NFD", word) if letter.isalpha()]
    scripts = {unicodedata.name(letter, "").partition(" ")[0] for letter in letters}
    return (
        len(scripts) > 1
        or scripts <= _DRAWN_AS_LATIN
        or ("LATIN" in scripts and not all(letter.isascii() for letter in letters))
    )
