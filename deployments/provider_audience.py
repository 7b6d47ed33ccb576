"""Who may change whom a provider serves, and with which data: a wider audience is for operators, and shown first."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _

from accounts.models import User
from core.errors import Conflict
from deployments.models import Provider
from deployments.provider_declared import MANAGE
from deployments.provider_impact import in_words, whom_it_hits
from deployments.reach import Audience, lets_others_in
from tenants.models import DataClass


def audience_of(provider: Provider) -> Audience:
    """Whose calls a provider may answer, as its fields say now."""
    return Audience(
        regions=tuple(provider.regions), highest_data_class=DataClass(provider.highest_data_class)
    )


def require_may_widen(by: User, before: Audience, after: Audience) -> None:
    """Raise PermissionDenied if others would be let in, and `by` may manage one provider alone.

    Tenants' data would go where nobody who answers for them has agreed to (decision 37).
    """
    if lets_others_in(before, after) and not by.has_perm(MANAGE):
        raise PermissionDenied(
            _(
                "Only those who may manage all providers can raise the highest data class, or change regions so that "
                "other tenants reach the provider."
            )
        )


def require_confirmed(provider: Provider, after: Audience, *, is_confirmed: bool) -> None:
    """Raise Conflict that names the tenants whose calls are served otherwise afterwards, unless that is confirmed.

    `provider` must still have its present regions and class.
    """
    if is_confirmed or after == audience_of(provider):
        return
    if hits := whom_it_hits(provider, after):
        message = _("This changes who can call models: %(whom)s. Confirm that you want this.")
        raise Conflict(message % {"whom": in_words(hits)}, code="audience_would_change")
