"""Markdown that people or makers of models wrote, as HTML that a page may show.

Two libraries, so that a fault of one is not ours: markdown-it-py writes no HTML of the text's own, and nh3 removes what
is not listed here. Images are shown by their descriptions, because pages load nothing from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import nh3
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token

# In characters.
LONGEST: Final = 30_000
# The page has the first two levels of headings itself.
_LOWER_BY: Final = 2
_SCHEMES: Final = frozenset({"https", "http", "mailto"})
_TAGS: Final = frozenset(
    (
        "p",
        "br",
        "hr",
        "h3",
        "h4",
        "h5",
        "h6",
        "strong",
        "em",
        "s",
        "code",
        "pre",
        "blockquote",
        "ul",
        "ol",
        "li",
        "a",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    )
)
_ATTRIBUTES: Final = {"a": {"href", "title"}, "ol": {"start"}}


def render_markdown(text: str) -> str:
    """The HTML of a text in Markdown: CommonMark with tables and strikethrough, its headings below the page's own.

    Links lead to web pages and mail addresses only. Hostile text of LONGEST characters takes a second, so this is done
    once, when it is saved; pages show what `cleaned` makes of it. A longer text is cut there.
    """
    return str(_markdown.render(text[:LONGEST]))


def cleaned(html: str) -> SafeString:
    """Stored HTML without anything that is not listed here, whoever wrote it. Takes milliseconds."""
    # Safe: nh3 has removed every other tag, attribute and scheme.
    return mark_safe(  # noqa: S308
        nh3.clean(
            html,
            tags=set(_TAGS),
            attributes=_ATTRIBUTES,
            url_schemes=set(_SCHEMES),
            url_relative="deny",
            link_rel="noopener noreferrer nofollow",
        )
    )


def _is_link(url: str) -> bool:
    try:
        return urlsplit(url).scheme.lower() in _SCHEMES
    except ValueError:
        return False


def _image(_renderer: RendererProtocol, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    return escape(tokens[index].content)


def _lower_headings(state: Any) -> None:
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + _LOWER_BY)}"


def _made() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    made.validateLink = _is_link  # type: ignore[method-assign]
    made.add_render_rule("image", _image)
    made.core.ruler.push("lower_headings", _lower_headings)
    return made


_markdown: Final = _made()
