"""What people are told when the catalog's triggers refuse a decision that somebody else overtook."""

from django.utils.translation import gettext_lazy as _

from core.database_conflicts import Sentence

_REVIEWS_CHANGED = Sentence(
    _(
        "The reviews of this request changed while you decided, or the people who could act for its service account "
        "did. Reload to see the current state, then decide."
    ),
    "reviews_changed",
)
_DECIDED = Sentence(
    _("This request has been decided or withdrawn meanwhile. Reload to see the current state."),
    "already_decided",
)

SENTENCES = {
    "access_request_follows_reviews": _REVIEWS_CHANGED,
    "review_follows_decisions": _REVIEWS_CHANGED,
    "grant_has_its_reviews": _REVIEWS_CHANGED,
    "access_request_is_decided": _DECIDED,
    "review_decision_of_open_review": _DECIDED,
    "grant_stays_revoked": Sentence(_("This grant has been revoked meanwhile."), "ended"),
}
