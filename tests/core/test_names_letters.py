"""Letters of scripts that people write today stand in tenants' names, and no symbols that look like letters."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from django.core.exceptions import ValidationError

from core.errors import Conflict
from core.letters import COMPARED, RECOMMENDED, foreign_to_names
from tenants.actions import change_tenant, create_tenant
from tenants.models import Tenant

FOREIGN = [
    "ᗩᑕᗰᗴ", "ᗅcme", "ᗪell", "ᐯisa", "ᑭwc", "ᑌbs", "ᒪidl", "ᖇoche", "ᖴord", "ᕼugo", "ᒍoe", "᙭erox", "𐊠cme", "𐐄slo",
    "∨an", "∪ni", "⟙est", "🅰🅲🅼🅴", "🅐cme", "🇦🇨🇲🇪", "⍺cme", "₳cme", "〡tau", "ᛖon", "ⵔslo",
]  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("name", FOREIGN)
def test_no_tenant_is_named_in_letters_that_only_look_familiar(lab, owner, operator, name):
    for action in (
        lambda: create_tenant(by=operator, slug="other", name=name),
        lambda: change_tenant(lab.pk, by=owner, name=name),
    ):
        with pytest.raises(ValidationError) as refused:
            action()
        assert list(refused.value.message_dict) == ["name"]
        assert "U+" in str(refused.value)


@pytest.mark.django_db
@pytest.mark.parametrize(("one", "other"), [("Mars", "Ϻars"), ("Globex", "Ԍlobex"), ("mars", "ϻars")])
def test_letters_of_recommended_scripts_are_compared(operator, one, other):
    create_tenant(by=operator, slug="one", name=one)
    with pytest.raises(Conflict):
        create_tenant(by=operator, slug="other", name=other)


@pytest.mark.django_db
def test_a_name_of_before_stays_and_the_rest_can_be_changed(lab, owner):
    Tenant.objects.filter(pk=lab.pk).update(name="ᗪell")
    assert change_tenant(lab.pk, by=owner, cost_centre="CC-1").name == "ᗪell"
    assert change_tenant(lab.pk, by=owner, name="Dell").name == "Dell"


def test_every_letter_that_is_accepted_is_of_a_recommended_script():
    """Those of COMPARED scripts stand in the tables of look-alikes."""
    letters = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code))[0] == "L"]
    accepted = [letter for letter in letters if not foreign_to_names(letter)]
    assert 100_000 < len(accepted) < len(letters) - 8_000
    for letter in accepted:
        for form in unicodedata.normalize("NFKC", letter):
            script = unicodedata.name(form).partition(" ")[0]
            assert unicodedata.category(form)[0] != "L" or script in RECOMMENDED | COMPARED, letter


@pytest.mark.parametrize(
    "name",
    ["Zürich & Söhne 24/7", "Σίγμα משרד 東京 वित्त ไทย", "ビール々", "Հայ", "ქართული", "C++ <lab> ~ A×B", "№ 5 ™", "€ ∞",
     "🐙 ✈",
     "한국은행", "አማርኛ", "ខ្មែរ", "Қазақ Ғылым", "Ốc Việt", "ᏣᎳᎩ", "Ａｕｒｏｒａ", "𝐀𝐮𝐫𝐨𝐫𝐚", "Oʻzbekiston", "ދިވެހި"],
)  # fmt: skip
def test_what_people_write_is_accepted(name):
    assert foreign_to_names(name) == ""
