"""Messages for people when a catalog trigger rejects a decision that someone else's change has overtaken."""

from django.utils.translation import gettext_lazy as _

from core.database_conflicts import Sentence

_REVIEWS_CHANGED = Sentence(
    _(
        "The reviews of this request, or the people who can act for its service account, changed while "
        "you decided. Reload to see the current state, then decide."
    ),
    "reviews_changed",
)
_DECIDED = Sentence(
    _("Someone else has just decided or withdrawn this request. Reload to see the current state."),
    "already_decided",
)

SENTENCES = {
    "access_request_follows_reviews": _REVIEWS_CHANGED,
    "review_follows_decisions": _REVIEWS_CHANGED,
    "grant_has_its_reviews": _REVIEWS_CHANGED,
    "access_request_is_decided": _DECIDED,
    "review_decision_of_open_review": _DECIDED,
    "review_delegation_is_short": Sentence(
        _(
            "Someone else has just shortened the longest delegation of this track. Reload to see the current state."
        ),
        "track_changed",
    ),
    "grant_has_an_owner": Sentence(
        _(
            "Someone else has just changed who may request access in this project. Reload to see the current state."
        ),
        "rights_changed",
    ),
    "request_item_into_own_key": Sentence(
        _("Someone else has just revoked this key, or given it to somebody else."), "key_changed"
    ),
    "request_item_renews_its_grant": Sentence(_("Someone else has just revoked this grant."), "ended"),
    "model_version_suits_its_base": Sentence(
        _(
            "Someone else has just changed which tenants may use the base of this adapter, or an adapter of this "
            "version, or retired the base. Reload to see the current state."
        ),
        "version_changed",
    ),
    "attestation_stands": Sentence(
        _("This campaign has just been cancelled or closed. Reload to see the current state."), "not_open"
    ),
    "grant_stays_revoked": Sentence(_("Someone else has just revoked this grant."), "ended"),
}
