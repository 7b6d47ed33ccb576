"""Four eyes: the requester, and anyone who could act for the requester at any time, may not decide the request."""

from __future__ import annotations

from django.utils.translation import gettext as _

from accounts.models import User
from catalog.delegated import barred_by_delegations
from catalog.models import AccessRequest, RequestDelegate, Review, ReviewRecusal
from catalog.review_queue import has_decided
from catalog.review_scopes import decided_by


def why_not_decide(user: User, access_request: AccessRequest, review: Review) -> str:
    """Why `user` may not decide this review of the request, in words; empty if four eyes allow it.

    Roles show who can act for the requester now. The database's own rows (`RequestDelegate`) show who could when the
    request was made and while it was open. A trigger checks the same for every decision.
    """
    requester = access_request.requested_by
    if requester.pk == user.pk:
        return _("You asked for this access; someone else must decide it.")
    recusals = ReviewRecusal.objects.in_tenant(access_request.tenant).filter(person=user)
    if recusals.filter(access_request=access_request).exists():
        return _("You stepped back from this request; someone else decides it.")
    held = RequestDelegate.objects.in_tenant(access_request.tenant).filter(access_request=access_request)
    capacities = set(held.filter(person=user).values_list("capacity", flat=True))
    tenant = access_request.tenant
    if requester.responsible_id == user.pk or (
        requester.is_service_account
        and any(
            user.has_perm(f"tenants.{name}", tenant) for name in ("manage_tokens", "manage_service_accounts")
        )
    ):
        return _(
            "A service account asked for this, and you can create its tokens; someone else must decide it."
        )
    for capacity, words in _WAS.items():
        if capacity in capacities:
            return words()
    this = Review.objects.across_tenants().filter(pk=review.pk)
    if this.filter(barred_by_delegations(user)).exists():
        return _(
            "You delegated reviews to the person who asked or could act for them, or they to you; someone else must "
            "decide it."
        )
    mine = decided_by(user, this.exclude(has_decided(user)))
    if mine.exists() and not decided_by(user, this, still=True).exists():
        return _(
            "The reviewer in whose place you decide, or who decides in yours, has decided it; someone else must, too."
        )
    return ""


def _was_issuer() -> str:
    return _(
        "A service account asked for this, and you had issued one of its tokens; someone else must decide it."
    )


def _was_responsible() -> str:
    return _("A service account asked for this, and you answered for it then; someone else must decide it.")


def _was_manager() -> str:
    return _(
        "A service account asked for this, and you could create its tokens then or while the request was "
        "open; someone else must decide it."
    )


def _was_in_emergency() -> str:
    return _(
        "A service account asked for this, and you had emergency access to its tenant; someone else must decide it."
    )


_WAS = {
    RequestDelegate.Capacity.ISSUER: _was_issuer,
    RequestDelegate.Capacity.RESPONSIBLE: _was_responsible,
    RequestDelegate.Capacity.EMERGENCY: _was_in_emergency,
    RequestDelegate.Capacity.MANAGER: _was_manager,
    RequestDelegate.Capacity.STAFF: _was_manager,
}
