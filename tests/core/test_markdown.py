"""Markdown becomes HTML that loads nothing, runs nothing, and has headings below the page's own."""

from __future__ import annotations

import re
import time

import pytest

from core.markdown import LONGEST, cleaned, render_markdown


def shown(text):
    return cleaned(render_markdown(text))


def test_what_people_write_is_shown():
    html = shown(
        "# GLM\n\n## Use\n\n- *fast*\n\n| a | b |\n|---|:-:|\n| 1 | `x` |\n\n~~old~~ [docs](https://z.ai/?a=1&b=2)"
    )
    assert "<h3>GLM</h3>" in html
    assert "<h4>Use</h4>" in html
    assert "<td>1</td>" in html
    assert "style" not in html
    assert '<a href="https://z.ai/?a=1&amp;b=2" rel="noopener noreferrer nofollow">docs</a>' in html
    assert "<h6>deep</h6>" in shown("###### deep")


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](java&#x0A;script:alert(1))",
    "[a](&#x6A;avascript:alert(1))",
    "[a](data:text/html;base64,PHN2Zz4=)",
    "[a](vbscript:x)",
    "[a](//evil.example)",
    "[a](/t/lab/keys/)",
    "[a]: javascript:alert(1)\n\n[a]",
    "<javascript:alert(1)>",
    "![pixel](https://evil.example/pixel.png)",
    '![x](https://e.example "\\"onload=alert(1)")',
    '[a](https://e.example "\\" onclick=alert(1) \\"")',
    "```<script>\nx\n```",
    '```"onmouseover=alert(1)\nx\n```',
    "> " * 15 + "<svg onload=alert(1)>",
    "<a href='https://x' style='position:fixed'>x</a>",
    "<!-- --><iframe src=https://e.example></iframe>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "[a](http://[)",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_runs_and_loads_nothing(text):
    html = shown(text)
    tags = re.findall(r"<([a-z0-9]+)((?:\s[^>]*)?)>", html)
    allowed = {"p", "a", "pre", "code", "blockquote"}
    assert {name for name, _rest in tags} <= allowed
    for _name, rest in tags:
        assert re.fullmatch(
            r'(\s(href="https?://[^"]*"|title="[^"]*"|rel="noopener noreferrer nofollow"))*', rest
        ), html


def test_html_that_somebody_put_into_the_database_is_cleaned():
    html = cleaned(
        '<p onclick="x">a</p><script>x</script><a href="javascript:x">b</a><img src=https://e.example>'
    )
    assert html == '<p>a</p><a rel="noopener noreferrer nofollow">b</a>'


@pytest.mark.parametrize("text", ["[" * 10**6, "*a **" * 200_000, "![" * 500_000, ">" * 10**6], ids="[*!>")
def test_a_million_characters_are_cut(text):
    began = time.process_time()
    assert len(render_markdown(text)) < 12 * LONGEST
    assert time.process_time() - began < 20
