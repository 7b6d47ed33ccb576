"""Blocks of the home pages, staff's and tenants': each app declares its own in `home.py`, beside its models.

A block says who sees it, reads its numbers when it is shown, and has a template for them. The pages
(config/admin_home.py, catalog/views/home.py) know no block by name; they show what `shown_to` returns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from django.utils.module_loading import autodiscover_modules

if TYPE_CHECKING:
    from django.db import models
    from django.http import HttpRequest

    from core.page_parts import Words


class Site(Enum):
    """The page that a block is on."""

    STAFF = "staff"
    TENANT = "tenant"


@dataclass(frozen=True)
class Reader:
    """Who looks at a home page; `tenant` is None on the staff's."""

    request: HttpRequest
    user: Any
    tenant: Any = None

    def may(self, permission: str) -> bool:
        """Whether they hold a permission: in the tenant, or, on the staff's page, everywhere."""
        on: models.Model | None = self.tenant
        return bool(self.user.has_perm(permission, on))


@dataclass(frozen=True)
class Need:
    """A line of "Needs you": what waits, and the link to where it is done."""

    text: Words
    url: str
    action: Words
    note: Words = ""
    icon_name: str = "clock"
    is_late: bool = False


@dataclass(frozen=True)
class Content:
    """What a block has to say now. `facts` is what its template reads, as `block`; None: it only has needs."""

    facts: Any = None
    needs: Sequence[Need] = ()


Build = Callable[[Reader], Content]


@dataclass(frozen=True)
class Block:
    """A declared block; see `home_block`."""

    site: Site
    build: Build
    permissions: Collection[str]
    template: str
    order: int
    is_aside: bool

    def is_for(self, reader: Reader) -> bool:
        return not self.permissions or any(reader.may(permission) for permission in self.permissions)


@dataclass(frozen=True)
class ShownBlock:
    """A block with its content."""

    template: str
    facts: Any


@dataclass
class Home:
    """Everything on a home page of one reader."""

    needs: list[Need] = field(default_factory=list)
    blocks: list[ShownBlock] = field(default_factory=list)
    aside: list[ShownBlock] = field(default_factory=list)


_blocks: Final[list[Block]] = []


def home_block(
    site: Site,
    *,
    order: int,
    permissions: Collection[str] = (),
    template: str = "",
    is_aside: bool = False,
) -> Callable[[Build], Build]:
    """Declare the decorated function as a block.

    Args:
        site: the page that shows it.
        order: its place among blocks that are equally urgent; lower is further up.
        permissions: whoever holds any of these sees it; none: everyone on that page.
        template: renders its facts; a block without one has only needs.
        is_aside: beside the others instead of among them, on wide screens.
    """

    def declare(build: Build) -> Build:
        _blocks.append(Block(site, build, tuple(permissions), template, order, is_aside))
        return build

    return declare


def discover() -> None:
    """Import `home.py` of every app, which declares its blocks. AppConfig.ready calls this."""
    autodiscover_modules("home")


def shown_to(reader: Reader, site: Site) -> Home:
    """The blocks that the reader may see, the most urgent first: with something late, with something to do, others.

    Nothing is read for a block that the reader may not see. What a block raises reaches the caller.
    """
    found = []
    for block in sorted(_blocks, key=lambda block: block.order):
        if block.site is site and block.is_for(reader):
            content = block.build(reader)
            found.append((_urgency(content.needs), block, content))
    found.sort(key=lambda each: each[0])
    home = Home()
    for _rank, block, content in found:
        home.needs += content.needs
        if block.template and content.facts is not None:
            column = home.aside if block.is_aside else home.blocks
            column.append(ShownBlock(block.template, content.facts))
    home.needs.sort(key=lambda need: not need.is_late)
    return home


def _urgency(needs: Sequence[Need]) -> int:
    if any(need.is_late for need in needs):
        return 0
    return 1 if needs else 2
