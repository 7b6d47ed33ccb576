"""A headless browser: it follows links and submits the forms that a page really has, as a person would."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests

TIMEOUT_SECONDS = 20


class UnexpectedAnswer(Exception):
    """The console gave an unexpected answer; the message names the page and quotes its text."""


@dataclass
class Form:
    """One form of a page, with the values that it sends without changes."""

    action: str
    method: str
    values: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


@dataclass
class Page:
    """A response: its URL, status, text and forms."""

    url: str
    status: int
    html: str
    text: str
    forms: list[Form]
    links: list[str]
    response: requests.Response

    def form(self, *names: str) -> Form:
        """The form that has all these fields. Raises UnexpectedAnswer if the page has none."""
        for form in self.forms:
            if set(names) <= form.names:
                return form
        raise UnexpectedAnswer(f"{self.url} has no form with {', '.join(names)}.")

    def form_to_itself(self) -> Form:
        """The form that is sent to the page's own address. Raises UnexpectedAnswer if the page has none."""
        for form in self.forms:
            if form.method == "post" and urljoin(self.url, form.action or self.url) == self.url:
                return form
        raise UnexpectedAnswer(f"{self.url} has no form of its own.")

    def link(self, part: str) -> str:
        """The first link whose URL contains `part`."""
        for link in self.links:
            if part in link:
                return link
        raise UnexpectedAnswer(f"{self.url} has no link to {part}.")


class Browser:
    """One person's session with the console."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.session = requests.Session()
        # Never use a proxy: the demo is on this machine.
        self.session.trust_env = False

    def open(self, path: str, *, expect: int = 200) -> Page:
        """Open a page. Raises UnexpectedAnswer unless it answers with `expect`."""
        return self._page(self.session.get(urljoin(self.base_url, path), timeout=TIMEOUT_SECONDS), expect)

    def submit(self, page: Page, form: Form, *, expect: int = 200, **values: str) -> Page:
        """Fill `values` into a form of `page` and send it."""
        unknown = set(values) - form.names
        if unknown:
            raise UnexpectedAnswer(f"The form on {page.url} has no field {', '.join(sorted(unknown))}.")
        target = urljoin(page.url, form.action or page.url)
        data = form.values | values
        if form.method == "get":
            response = self.session.get(target, params=data, timeout=TIMEOUT_SECONDS)
        else:
            response = self.session.post(
                target, data=data, headers={"Referer": page.url}, timeout=TIMEOUT_SECONDS
            )
        return self._page(response, expect)

    def sign_in(self, email: str, password: str, *, at: str = "/login/") -> Page:
        """Sign in through the form at `at`."""
        page = self.open(at)
        page = self.submit(page, page.form("username", "password"), username=email, password=password)
        if "/login" in page.url:
            raise UnexpectedAnswer(f"{email} could not sign in: {page.text[:200]}")
        return page

    def _page(self, response: requests.Response, expect: int) -> Page:
        is_html = "html" in response.headers.get("Content-Type", "")
        reader = _Reader()
        if is_html:
            reader.feed(response.text)
        if response.status_code != expect:
            said = " ".join(" ".join(reader.words).split())[:300] if is_html else response.text[:300]
            raise UnexpectedAnswer(
                f"{response.request.method} {response.url} answered {response.status_code}, not {expect}: {said}"
            )
        return Page(
            url=response.url,
            status=response.status_code,
            html=response.text if is_html else "",
            text=" ".join(" ".join(reader.words).split()),
            forms=reader.forms,
            links=reader.links,
            response=response,
        )


class _Reader(HTMLParser):
    """Collects text, links and forms."""

    SILENT = {"script", "style", "template", "svg"}

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str] = []
        self.forms: list[Form] = []
        self._by_id: dict[str, Form] = {}
        self._form: Form | None = None
        self._silent = 0
        self._select: tuple[Form, str] | None = None
        self._textarea: tuple[Form, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in self.SILENT:
            self._silent += 1
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "form":
            self._form = Form(values.get("action", ""), values.get("method", "get").lower())
            self.forms.append(self._form)
            if "id" in values:
                self._by_id[values["id"]] = self._form
        form = self._by_id.get(values["form"]) if "form" in values else self._form
        name = values.get("name")
        if tag == "option" and self._select:
            owner, select = self._select
            if "selected" in values or select not in owner.values:
                owner.values[select] = values.get("value", "")
        if form is None or not name or "disabled" in values:
            return
        if tag == "input":
            form.names.add(name)
            kind = values.get("type", "text")
            if (kind in {"checkbox", "radio"} and "checked" not in values) or kind in {"submit", "button"}:
                return
            form.values[name] = values.get("value", "on" if kind == "checkbox" else "")
        elif tag == "button":
            # A browser sends it only if it is pressed: pass it to submit().
            form.names.add(name)
        elif tag == "select":
            form.names.add(name)
            self._select = (form, name)
        elif tag == "textarea":
            form.names.add(name)
            form.values[name] = ""
            self._textarea = (form, name)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag == "form":
            self._form = None
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._textarea = None

    def handle_data(self, data: str) -> None:
        if self._textarea:
            form, name = self._textarea
            form.values[name] += data
        if not self._silent:
            self.words.append(data)
