"""What people do with tracks of reviews, their scopes, delegations and working calendars, for the role matrix."""

from datetime import timedelta
from types import SimpleNamespace

from django.contrib.auth.models import Group
from django.utils.timezone import now

from catalog.models import (
    AttestationCampaign,
    ReviewDelegation,
    ReviewScope,
    ReviewTeam,
    Track,
    WorkingCalendar,
)
from tests.factories import staff
from tests.role_matrix import Action, EntryPoint

SENT = {"_form_submitted": "1"}
CALENDAR = {
    "name": "Berlin",
    "time_zone": "Europe/Berlin",
    "opens": "08:00",
    "closes": "16:00",
    "weekdays": ["1", "2"],
    "holidays": "2027-01-01",
}


def track(world, actor):
    return Track.objects.select_related("calendar").get(code="security")


def calendar(world, actor):
    return WorkingCalendar.objects.get()


def scope(world, actor):
    return ReviewScope.objects.create(track_id="security", tenant=world.tenant)


def scope_and_reviewer(world, actor):
    return SimpleNamespace(pk=scope(world, actor).pk, person=staff("security-reviewer"))


def delegation_to_give(world, actor):
    """A track that the actor reviews, if any, and a colleague."""
    roles = [role.removesuffix("-reviewer") for role in actor.staff_roles if role.endswith("-reviewer")]
    return SimpleNamespace(
        pk=None,
        track=Track.objects.get(code=[*roles, "security"][0]).pk,
        person=staff("security-reviewer"),
        last_day=(now() + timedelta(days=3)).date(),
    )


def delegation_by(giver_of):
    def make(world, actor):
        begins = now()
        return ReviewDelegation.objects.create(
            track_id="security",
            giver=giver_of(actor),
            receiver=staff("security-reviewer"),
            begins_at=begins,
            ends_at=begins + timedelta(days=1),
        )

    return make


def team(world, actor):
    group = Group.objects.create(name="review-team:1")
    made = ReviewTeam.objects.create(name="Payments security", group=group)
    return SimpleNamespace(pk=made.pk, person=staff("security-reviewer"), scope=scope(world, actor))


def campaign(world, actor):
    return AttestationCampaign.objects.create(
        name="Autumn", closes_at=now() + timedelta(days=12), created_by=staff("operator")
    )


TRACK_ACTIONS = [
    Action(
        "start an attestation campaign",
        "catalog.actions.campaigns.start_campaign",
        admin=EntryPoint(
            "POST /admin/catalog/attestationcampaign/start/",
            lambda world, it: SENT | {"name": "Autumn", "last_day": f"{now() + timedelta(days=20):%Y-%m-%d}"},
        ),
    ),
    Action(
        "cancel an attestation campaign",
        "catalog.actions.campaigns.cancel_campaign",
        subject=campaign,
        admin=EntryPoint(
            "POST /admin/catalog/attestationcampaign/{it.pk}/cancel/", SENT | {"reason": "The wrong scope."}
        ),
    ),
    Action(
        "add a review team",
        "catalog.actions.review_teams.add_review_team",
        admin=EntryPoint("POST /admin/catalog/reviewteam/add-team/", SENT | {"name": "Payments security"}),
    ),
    Action(
        "change who belongs to a review team",
        "catalog.actions.review_teams.set_team_member",
        subject=team,
        admin=EntryPoint(
            "POST /admin/catalog/reviewteam/{it.pk}/member/",
            SENT | {"email": "{it.person.email}", "belongs": "yes"},
        ),
    ),
    Action(
        "delete a review team",
        "catalog.actions.review_teams.delete_review_team",
        subject=team,
        admin=EntryPoint("POST /admin/catalog/reviewteam/{it.pk}/remove/", SENT),
    ),
    Action(
        "let a team decide in a scope",
        "catalog.actions.review_scopes.set_scope_team",
        subject=team,
        admin=EntryPoint(
            "POST /admin/catalog/reviewscope/{it.scope.pk}/team/",
            SENT | {"team": "{it.pk}", "decides": "yes"},
        ),
    ),
    Action(
        "delegate reviews",
        "catalog.actions.delegations.delegate_reviews",
        subject=delegation_to_give,
        admin=EntryPoint(
            "POST /admin/catalog/reviewdelegation/delegate/",
            SENT
            | {
                "track": "{it.track}",
                "email": "{it.person.email}",
                "first_day": "",
                "last_day": "{it.last_day}",
            },
        ),
    ),
    Action(
        "end a delegation of one's own",
        "catalog.actions.delegations.end_delegation",
        subject=delegation_by(lambda actor: actor),
        admin=EntryPoint("POST /admin/catalog/reviewdelegation/{it.pk}/finish/", SENT),
    ),
    Action(
        "end a delegation of others",
        "catalog.actions.delegations.end_delegation",
        subject=delegation_by(lambda actor: staff("security-reviewer")),
        admin=EntryPoint("POST /admin/catalog/reviewdelegation/{it.pk}/finish/", SENT),
    ),
    Action(
        "change a track",
        "catalog.actions.tracks.change_track",
        subject=track,
        admin=EntryPoint(
            "POST /admin/catalog/track/{it.pk}/change-track/",
            SENT
            | {
                "name": "Security",
                "quorum": "2",
                "due_hours": "4",
                "calendar": "{it.calendar.pk}",
                "longest_delegation_days": "14",
            },
        ),
    ),
    Action(
        "add a working calendar",
        "catalog.actions.tracks.add_calendar",
        admin=EntryPoint("POST /admin/catalog/workingcalendar/add-calendar/", SENT | CALENDAR),
    ),
    Action(
        "change a working calendar",
        "catalog.actions.tracks.change_calendar",
        subject=calendar,
        admin=EntryPoint("POST /admin/catalog/workingcalendar/{it.pk}/change-calendar/", SENT | CALENDAR),
    ),
    Action(
        "add a review scope",
        "catalog.actions.review_scopes.add_review_scope",
        admin=EntryPoint(
            "POST /admin/catalog/reviewscope/add-scope/",
            SENT | {"track": "cost", "tenant": "{w.tenant.slug}", "model": ""},
        ),
    ),
    Action(
        "let a person decide in a scope",
        "catalog.actions.review_scopes.set_scope_person",
        subject=scope_and_reviewer,
        admin=EntryPoint(
            "POST /admin/catalog/reviewscope/{it.pk}/person/",
            SENT | {"email": "{it.person.email}", "decides": "yes"},
        ),
    ),
    Action(
        "let a role decide in a scope",
        "catalog.actions.review_scopes.set_scope_role",
        subject=scope,
        admin=EntryPoint(
            "POST /admin/catalog/reviewscope/{it.pk}/role/",
            SENT | {"role": "cost-reviewer", "decides": "yes"},
        ),
    ),
    Action(
        "delete a review scope",
        "catalog.actions.review_scopes.delete_review_scope",
        subject=scope,
        admin=EntryPoint("POST /admin/catalog/reviewscope/{it.pk}/remove/", SENT),
    ),
]
