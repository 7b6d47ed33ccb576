"""What an open review waits for, in words for whoever asked: which team, and how long it usually takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext as _
from guardian.models import GroupObjectPermission

from catalog.models import AccessRequest, Review, ReviewScope, ReviewTeam, Track
from catalog.pace import paces_of, usual_time
from core.joined import listed
from core.scope import platform_scope

MOST_TEAMS = 3


def waits_of(reviews: Iterable[Review], access_request: AccessRequest) -> dict[UUID, str]:
    """By review, who decides it and how long that usually takes; only open reviews of a request that is in review.

    Names teams, never people: a tenant does not learn by its requests who works for the platform. At most five queries
    and one for each track.
    """
    if access_request.state != AccessRequest.State.PENDING:
        return {}
    waiting = [review for review in reviews if review.state == Review.State.PENDING]
    if not waiting:
        return {}
    tracks = Track.objects.select_related("calendar").in_bulk(
        [review.track_id for review in waiting], field_name="code"
    )
    paces, teams = paces_of(tracks.values()), _teams_of(access_request, tracks)
    words = {}
    for review in waiting:
        track = tracks[review.track_id]
        said = {
            "track": track.label.lower(),
            "who": listed(teams[track.code]),
            "usual": usual_time(track, paces),
        }
        sentence = (
            _("waiting for %(track)s review by %(who)s, %(usual)s")
            if said["who"]
            else _("waiting for %(track)s review, %(usual)s")
        )
        words[review.pk] = sentence % said
    return words


def _teams_of(access_request: AccessRequest, tracks: Iterable[str]) -> defaultdict[str, list[str]]:
    """The teams that decide the request, by track: those of the narrowest scopes in which teams decide."""
    models = [item.model_id for item in access_request.named_items()]
    covers = Q(tenant=None) | Q(tenant=access_request.tenant_id)
    covers &= Q(model=None) | Q(model__in=models)
    with platform_scope("who decides a review", is_routine=True):
        scopes = {
            str(scope.pk): scope for scope in ReviewScope.objects.filter(covers, track__code__in=list(tracks))
        }
    held = GroupObjectPermission.objects.filter(
        object_pk__in=scopes, permission__codename="decide_review", group__review_team__isnull=False
    ).values_list("object_pk", "group__review_team")
    names = ReviewTeam.objects.in_bulk({team for _scope, team in held})
    by_rank: defaultdict[str, defaultdict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for pk, team in held:
        scope = scopes[pk]
        rank = (scope.tenant_id is not None) + (scope.model_id is not None)
        by_rank[scope.track_id][rank].add(names[team].name)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for code, ranks in by_rank.items():
        found[code] = sorted(ranks[max(ranks)])[:MOST_TEAMS]
    return found
