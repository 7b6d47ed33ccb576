"""Whoever wants no motion sees a new theme at once, not level by level."""

from pathlib import Path

STYLES = Path(__file__).resolve().parents[2] / "static/qm"
PAGE = """<html data-theme="dark"><style>{}</style>
<table><tr><td class="t2"><div><span>Ada</span></div></td></tr></table></html>"""
COLORS = """() => {
  document.documentElement.dataset.theme = 'light';
  return ['td', 'span'].map((name) => getComputedStyle(document.querySelector(name)).color);
}"""


def test_a_new_theme_reaches_nested_words_at_once(browser):
    css = "".join((STYLES / f"{name}.css").read_text() for name in ("tokens", "base", "qm"))
    context = browser.new_context(reduced_motion="reduce", color_scheme="dark")
    try:
        page = context.new_page()
        page.set_content(PAGE.format(css))
        before = page.evaluate("getComputedStyle(document.querySelector('span')).color")
        cell, word = page.evaluate(COLORS)
        assert cell == word != before
    finally:
        context.close()
