"""What a rule says, in the words of the page: its conditions, and what follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from catalog.models import Rule
from catalog.rule_table import Outcome, Usage, plain
from catalog.rules import RiskTier
from tenants.models import DataClass, Limit


def conditions_in_words(rule: Rule) -> list[str]:
    """Each condition as a sentence; empty if the rule holds for every request."""
    said: list[str] = []
    if rule.usage:
        is_new = rule.usage == Usage.NEW
        said.append(
            _("The project has not used the model before.")
            if is_new
            else _("The project has used the model before.")
        )
    if rule.risk_tiers:
        tiers = _either(str(RiskTier(one).label).lower() for one in rule.risk_tiers)
        said.append(_("The model's risk tier is %(tiers)s.") % {"tiers": tiers})
    if rule.data_classes:
        classes = _either(str(DataClass(one).label).lower() for one in rule.data_classes)
        said.append(_("The data is %(classes)s.") % {"classes": classes})
    if rule.tenant_id:
        said.append(_("The tenant is %(tenant)s.") % {"tenant": rule.tenant})
    if rule.cost_above is not None:
        amount = {"amount": plain(rule.cost_above)}
        said.append(_("The expected cost is above %(amount)s a month, or unknown.") % amount)
    if rule.cost_up_to is not None:
        amount = {"amount": plain(rule.cost_up_to)}
        said.append(_("The expected cost is known, and at most %(amount)s a month.") % amount)
    if rule.outside_regions:
        regions = {"regions": _either(rule.outside_regions)}
        said.append(_("No provider offers the model in %(regions)s.") % regions)
    if rule.limit_kind and rule.limit_above is not None:
        limit = {"limit": Limit.Kind(rule.limit_kind).label, "amount": plain(rule.limit_above)}
        said.append(_("The limit asked for is above %(amount)s, or none (%(limit)s).") % limit)
    return said


def outcome_in_words(rule: Rule, tracks: Mapping[str, str]) -> str:
    """What follows if the conditions hold. `tracks` has the labels of tracks by code."""
    if rule.outcome == Outcome.REVIEW:
        track = tracks.get(rule.track_id or "", rule.track_id or "")
        if rule.quorum:
            return ngettext(
                "Review on the track %(track)s, by at least %(n)s person.",
                "Review on the track %(track)s, by at least %(n)s people.",
                rule.quorum,
            ) % {"track": track, "n": rule.quorum}
        return _("Review on the track %(track)s.") % {"track": track}
    if rule.outcome == Outcome.AUTOMATIC:
        return _("Approved at once, unless another rule requires a review or rejects the request.")
    if rule.outcome == Outcome.REJECT:
        return _("Rejected: %(sentence)s") % {"sentence": rule.sentence}
    return ngettext("At most %(n)s day.", "At most %(n)s days.", rule.longest_days or 0) % {
        "n": rule.longest_days
    }


def _either(words: Iterable[object]) -> str:
    """Several words of which one holds: "low or moderate"."""
    return pgettext("between two alternatives", " or ").join(str(word) for word in words)
