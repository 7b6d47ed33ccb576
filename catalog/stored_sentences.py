"""Why a review is needed: the sentences of the rules, stored in English, said in the language of the reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.translation import gettext, gettext_noop

from catalog.rules import FACTS, RiskTier
from core.stored_labels import of_choices
from core.stored_words import StoredSentence
from tenants.models import DataClass, Limit


def _data_class(value: str) -> object:
    return DataClass(value).label if value in DataClass.values else value


def _known_value(value: str) -> object:
    """The value of a fact as a sentence has it: a tier or a class by its label, unless it is unknown."""
    words: Mapping[str, object] = {str(tier): tier.label for tier in RiskTier} | {
        str(one): one.label for one in DataClass
    }
    return gettext("unknown") if value == "unknown" else words.get(value, value)


_limit = of_choices(lambda: Limit.Kind.choices)
LIST_PRICE = StoredSentence(gettext_noop("list price of %(source)s, %(file)s"))
CHANGED = StoredSentence(gettext_noop("The request was changed after the approval."))
NO_LONGER_NEEDED = StoredSentence(gettext_noop("No longer needed, said its owner (%(campaign)s)."))
NOT_CONFIRMED = StoredSentence(gettext_noop("Nobody confirmed that it is still needed (%(campaign)s)."))
MORE_PEOPLE = StoredSentence(gettext_noop("The rules now require this many people to approve it: %(count)s."))
STEPPED_BACK = StoredSentence(gettext_noop("A person who had approved it has stepped back from the request."))
SENTENCES: Final = (
    StoredSentence(gettext_noop("The project has not used this model before.")),
    StoredSentence(gettext_noop("The project has used this model before.")),
    StoredSentence(gettext_noop("The model's risk tier is %(tier)s."), tier=_known_value),
    StoredSentence(gettext_noop("You want to send %(class)s data."), **{"class": _data_class}),
    StoredSentence(gettext_noop("The model has no price yet, so its cost is unknown.")),
    StoredSentence(gettext_noop("The expected cost is above %(amount)s %(currency)s a month.")),
    StoredSentence(gettext_noop("The expected cost is at most %(amount)s %(currency)s a month.")),
    StoredSentence(gettext_noop("Your organization has a rule of its own.")),
    StoredSentence(gettext_noop("No provider offers the model in these regions: %(regions)s.")),
    StoredSentence(gettext_noop("You ask for a limit above %(amount)s (%(limit)s)."), limit=_limit),
    StoredSentence(gettext_noop("You ask for no limit of this kind: %(limit)s."), limit=_limit),
    StoredSentence(gettext_noop("Such a grant lasts at most %(days)s days. Ask for %(days)s days or fewer.")),
    StoredSentence(gettext_noop("A rule for all requests applies.")),
    StoredSentence(gettext_noop("Another person reviews every request.")),
    StoredSentence(
        gettext_noop(
            "The person who approved it could act for the service account that asked, while the "
            "request was open."
        )
    ),
    CHANGED,
    NO_LONGER_NEEDED,
    NOT_CONFIRMED,
    MORE_PEOPLE,
    STEPPED_BACK,
    StoredSentence(gettext_noop("Because of %(items)s: %(reason)s")),
    *(StoredSentence(fact.sentence, then=_known_value, now=_known_value) for fact in FACTS.values()),
)
