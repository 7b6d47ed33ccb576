"""What a model's page says of its measured quality."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.quality import DAYS, FEWEST_CALLS, Quality, Spread, quality_of
from catalog.models import CatalogModel
from core.page_parts import Fact
from core.templatetags.qm import full, share
from tenants.models import Tenant


@dataclass(frozen=True)
class MeasuredQuality:
    """The measures in words, and the sample behind them. Without facts, `sample` says why there are none."""

    facts: list[Fact]
    sample: str


def measured_quality(model: CatalogModel, tenant: Tenant) -> MeasuredQuality:
    """How the model answered lately, for members of a tenant. At most two queries."""
    quality = quality_of(model.name, tenant)
    if quality is None:
        words = _("Not measured yet: fewer than %(calls)s calls in the last %(days)s days.")
        return MeasuredQuality([], words % {"calls": FEWEST_CALLS, "days": DAYS})
    times = ((_("First token"), quality.first_token_in), (_("Whole answer"), quality.answered_in))
    facts = [Fact(label, _time(spread)) for label, spread in times if spread]
    if quality.tokens_per_second:
        facts.append(Fact(_("Speed"), _speed(quality.tokens_per_second)))
    facts.append(Fact(_("Failed calls"), share(quality.failed, quality.calls)))
    return MeasuredQuality(facts, _sample(quality, tenant))


def _time(spread: Spread) -> str:
    return _("within %(middle)s for half of the calls, within %(slow)s for 95%% of them") % {
        "middle": in_seconds(spread.middle),
        "slow": in_seconds(spread.slow),
    }


def _speed(spread: Spread) -> str:
    return _("%(middle)s tokens a second for half of the calls, %(slow)s or more for 95%% of them") % {
        "middle": full(rounded(spread.middle)),
        "slow": full(rounded(spread.slow)),
    }


def _sample(quality: Quality, tenant: Tenant) -> str:
    if quality.is_own:
        words = ngettext(
            "From %(count)s call of %(tenant)s in the last %(days)s days.",
            "From %(count)s calls of %(tenant)s in the last %(days)s days.",
            quality.calls,
        )
        return words % {"count": full(quality.calls), "tenant": tenant.name, "days": DAYS}
    # An exact number would tell how much others call it between two looks.
    words = _("From about %(count)s calls of all tenants in the last %(days)s days.")
    return words % {"count": full(rounded(quality.calls)), "days": DAYS}


def in_seconds(seconds: float) -> str:
    """A duration with two digits that matter: "0.42 s", "3.1 s", "74 s"."""
    digits = 2 if seconds < 1 else 1 if seconds < 10 else 0
    return _("%(seconds)s s") % {"seconds": f"{seconds:.{digits}f}"}


def rounded(number: float) -> int:
    """A positive number to two digits that matter: 12,345 is 12,000."""
    return int(float(f"{number:.2g}"))
