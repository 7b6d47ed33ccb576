"""Links between documents lead somewhere: to a file that is there, and to a heading in it."""

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "tests/**/README.md")
    for page in ROOT.glob(pattern)
    if "node_modules" not in page.parts
)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@cache
def prose_of(page):
    """A document without its blocks of code, where brackets are no links and `#` begins no heading."""
    return FENCED.sub("", page.read_text())


@cache
def headings_of(page):
    """The fragments by which links name a document's headings; a second of the same name gets a number."""
    slugs = set()
    for heading in re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        again = next(
            n for n in range(len(slugs) + 1) if f"{slug}-{n}" not in slugs and (n or slug not in slugs)
        )
        slugs.add(f"{slug}-{again}" if again else slug)
    return slugs


def broken_links():
    for page in PAGES:
        for found in LINK.finditer(prose_of(page)):
            path, fragment = found.groups()
            target = (page.parent / path).resolve() if path else page
            is_there = target.exists() and (not fragment or fragment in headings_of(target))
            if not is_there:
                yield f"{page.relative_to(ROOT)}: {found[0][1:]}"


def test_links_of_documents_lead_somewhere():
    assert len(PAGES) > 50
    assert list(broken_links()) == []


def test_documents_that_the_source_names_are_there():
    named = {
        (path.relative_to(ROOT), name)
        for package in (
            "core",
            "audit",
            "accounts",
            "tenants",
            "billing",
            "catalog",
            "deployments",
            "gateway",
            "config",
        )
        for path in (ROOT / package).rglob("*.py")
        for name in re.findall(r"\bdocs/[\w/.-]+?\.md\b", path.read_text())
    }
    assert len(named) > 10
    assert [(str(path), name) for path, name in sorted(named) if not (ROOT / name).exists()] == []
