"""Messages for people when a ledger trigger rejects a change that new usage or a closing has overtaken."""

from django.utils.translation import gettext_lazy as _

from core.database_conflicts import Sentence

SENTENCES = {
    "price_history_stands": Sentence(
        _("Usage from this hour on has just been priced. Publish the price from a later hour on.")
    ),
    "price_ranges_do_not_overlap": Sentence(
        _("Someone else has just published a price of this model. Reload to see the current prices.")
    ),
    "usage_kind_stands": Sentence(
        _("Someone else has just described this kind of usage. Reload to see the current state.")
    ),
    "cost_line_wants_open_period": Sentence(
        _("Someone else has just closed this billing period. Reload to see the current state.")
    ),
}
