"""Requests of the demo that wait for somebody, so that a reviewer's queue and a requester's home show work.

The same actions make them that people's clicks call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from django.db import transaction

from accounts.models import User
from catalog.actions import comment_on_request, decide_review, raise_access_request
from catalog.models import AccessRequest, Review
from tenants.models import Project


@dataclass(frozen=True)
class Waiting:
    """A request of one person of the demo, the comments on it, and what reviewers said of it by track."""

    person: str
    project: tuple[str, str]
    model: str
    purpose: str
    tokens_per_day: int
    comments: tuple[tuple[str, str], ...] = ()
    decisions: dict[str, tuple[str, str, str]] = field(default_factory=dict)


WAITING: Final = (
    Waiting(
        "ada@aurora-bank.example",
        ("aurora-bank", "developer-tools"),
        "gpt-4.1",
        "Review pull requests of the payment services before a colleague does.",
        40_000_000,
        comments=(
            ("selma@platform.example", "Does anything in these repositories come from customers?"),
            ("ada@aurora-bank.example", "No. Test data is made up, and a hook refuses real account numbers."),
        ),
    ),
    Waiting(
        "hugo@helios-retail.example",
        ("helios-retail", "store-support"),
        "gpt-4.1-mini",
        "Answer questions of store staff about returns, from the handbook.",
        2_000_000,
    ),
    Waiting(
        "hugo@helios-retail.example",
        ("helios-retail", "catalog-texts"),
        "gpt-4.1",
        "Translate product descriptions into six languages every night.",
        90_000_000,
        decisions={
            "cost": (
                "tomas@platform.example",
                "return",
                "The mini model costs a fifth. Try it on fifty descriptions, and say what it gets wrong.",
            )
        },
    ),
    Waiting(
        "vera@vita-clinic.example",
        ("vita-clinic", "literature"),
        "gpt-4.1-mini",
        "Screen abstracts of published studies for our guideline group.",
        25_000_000,
        decisions={"security": ("selma@platform.example", "approve", "Published texts only.")},
    ),
)


def load_waiting() -> None:
    """Ask for what waits. Leaves alone whatever was asked for before: safe to repeat."""
    for one in WAITING:
        slug, project_slug = one.project
        project = Project.objects.across_tenants().get(tenant__slug=slug, slug=project_slug)
        if not AccessRequest.objects.in_tenant(project.tenant).filter(purpose=one.purpose).exists():
            _ask(one, project)


@transaction.atomic
def _ask(one: Waiting, project: Project) -> None:
    asked = raise_access_request(
        project,
        one.model,
        by=_person(one.person),
        purpose=one.purpose,
        expected_tokens_per_day=one.tokens_per_day,
    )
    for email, text in one.comments:
        comment_on_request(asked.pk, by=_person(email), text=text)
    reviews = Review.objects.in_tenant(project.tenant).filter(access_request=asked)
    ids = dict(reviews.values_list("track__code", "pk"))
    for track, (email, verdict, comment) in one.decisions.items():
        decide_review(ids[track], by=_person(email), verdict=verdict, comment=comment)


def _person(email: str) -> User:
    return User.objects.get(email=email)
