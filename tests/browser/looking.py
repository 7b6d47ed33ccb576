"""Looking at pages in a real Chromium: what it complains about, what it asks other hosts for, what axe finds.

with chromium() as browser:
    with watched_page(browser, origin="http://127.0.0.1:8000", theme="dark", width=390) as (page, seen):
        page.goto(...)
        assert seen.complaints == []
        assert accessibility_violations(page) == []
        assert sideways_scroll(page) == 0
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Error, Page, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PHONE, DESKTOP = (390, 844), (1360, 860)
AXE = Axe().axe_script
# Only what is wrong comes back: everything that is right takes as long to send as to find.
FIND = "([within, options]) => axe.run(within || document, options).then(found => found.violations)"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# That everything is in a landmark, that landmarks can be told apart, and that a name begins with what is seen: rules
# that axe knows beside WCAG's tags, or tries out.
MORE_RULES = [
    "region", "bypass", "skip-link", "page-has-heading-one", "heading-order", "label-content-name-mismatch",
    "landmark-banner-is-top-level", "landmark-complementary-is-top-level", "landmark-contentinfo-is-top-level",
    "landmark-main-is-top-level", "landmark-no-duplicate-banner", "landmark-no-duplicate-contentinfo",
    "landmark-no-duplicate-main", "landmark-one-main", "landmark-unique",
]  # fmt: skip


@dataclass
class Seen:
    """What a page did that it should not: console errors and warnings, requests elsewhere."""

    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the machine's own Chromium, or the one playwright brought; stop it at the end."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def watched_page(
    browser: Browser,
    *,
    origin: str,
    theme: str = "light",
    width: int = DESKTOP[0],
    height: int = DESKTOP[1],
    script: bool = True,
    locale: str = "en",
) -> Iterator[tuple[Page, Seen]]:
    """A page of a fresh visitor that writes down every complaint and every request that leaves `origin`."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=theme,
        java_script_enabled=script,
        locale=locale,
        reduced_motion="reduce",
    )
    page, seen = context.new_page(), Seen()

    def note_line(line):
        if line.type in ("error", "warning"):
            seen.complaints.append(f"{line.text} ({line.location.get('url', '')})")

    page.on("console", note_line)
    page.on("pageerror", lambda error: seen.complaints.append(f"uncaught: {error}"))

    def note_request(request):
        if not request.url.startswith((origin, "data:", "blob:", "about:")):
            seen.elsewhere.append(request.url)

    page.on("request", note_request)
    try:
        yield page, seen
    finally:
        context.close()


def look_again(page: Page, *, theme: str, width: int) -> None:
    """Show the page that is loaded in another theme, as its own button does, and in a window of another width."""
    page.set_viewport_size({"width": width, "height": (PHONE if width == PHONE[0] else DESKTOP)[1]})
    page.emulate_media(color_scheme=theme)
    page.evaluate(
        "theme => { document.documentElement.dataset.theme = theme; "
        "document.dispatchEvent(new CustomEvent('qm:theme')); }",
        theme,
    )


def accessibility_violations(page: Page, within: str | None = None) -> list[str]:
    """What axe finds against WCAG 2.2 A and AA and `MORE_RULES`, one line for each element; `within` a selector's."""
    options = {
        "runOnly": {"type": "tag", "values": RULES},
        "rules": {rule: {"enabled": True} for rule in MORE_RULES},
        "resultTypes": ["violations"],
    }
    for attempt in range(3):
        page.wait_for_load_state()
        try:
            if not page.evaluate("'axe' in window"):
                page.evaluate(AXE)
            found = page.evaluate(FIND, [within, options])
            break
        except Error:
            # The browser left the page meanwhile: the click before had just been heard.
            if attempt == 2:
                raise
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in found
        for node in violation["nodes"]
    ]


def sideways_scroll(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
