"""An import is a comparison: people accept, correct or reject its entries, and may undo it."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils.timezone import now

from audit.models import AuditEntry
from billing.models import Price
from catalog.actions import (
    accept_entries,
    curate_model,
    import_entries,
    imports,
    reject_entries,
    undo_import,
)
from catalog.list_price_columns import refresh_list_prices
from catalog.models import (
    CatalogImport,
    CatalogModel,
    ImportEntry,
    Offer,
    PlannedChange,
    ReviewScope,
    Track,
)
from catalog.price_map import tasks
from core.errors import Conflict
from tests.catalog.price_maps import GOOD, compared, run
from tests.factories import ModelVersionFactory

pytestmark = pytest.mark.django_db
AZURE = {"azure/gpt-4o": GOOD | {"litellm_provider": "azure"}}


def model(name="gpt-4o"):
    return CatalogModel.objects.get(name=name)


def state_of(key, imported=None):
    entries = ImportEntry.objects.filter(key=key)
    return (entries.filter(run=imported) if imported else entries).latest("pk").state


def test_importing_changes_nothing_until_somebody_accepts(operator):
    imported = compared({"gpt-4o": GOOD, "sample_spec": {}, "bad": 1}, by=operator)
    assert imported.state == "open"
    assert {name: imported.counts[name] for name in ("added", "refused", "ignored", "held")} == {
        "added": 1,
        "refused": 1,
        "ignored": 1,
        "held": 0,
    }
    assert not CatalogModel.objects.exists()
    assert not Offer.objects.exists()
    done = accept_entries(imported.pk, by=operator)
    assert (done.entries, done.applied.models_added, done.run.state) == (1, 1, "done")
    assert model().lifecycle == "draft"
    entry = ImportEntry.objects.get()
    assert (entry.state, entry.decided_by) == ("accepted", operator)
    verbs = AuditEntry.objects.across_tenants().values_list("verb", flat=True)
    assert {"catalog.imported", "catalog_import.accepted"} <= set(verbs)


def test_an_entry_says_what_was_and_what_will_be(db):
    run({"gpt-4o": GOOD | {"max_input_tokens": 1000}})
    entry = compared({"gpt-4o": GOOD | {"max_input_tokens": 2000}, **AZURE}).entries.get(key="gpt-4o")
    assert entry.kind == "changed"
    assert (entry.before["facts"]["context_tokens"], entry.after["facts"]["context_tokens"]) == (1000, 2000)


def test_one_entry_is_accepted_another_rejected_and_the_rejected_is_not_listed_again(operator):
    imported = compared({"gpt-4o": GOOD, **AZURE})
    import_entries.reject_entry(imported.entries.get(key="azure/gpt-4o").pk, by=operator)
    import_entries.accept_entry(imported.entries.get(key="gpt-4o").pk, by=operator)
    imported.refresh_from_db()
    assert imported.state == "done"
    assert list(Offer.objects.values_list("source_key", flat=True)) == ["gpt-4o"]
    again = compared({"gpt-4o": GOOD, **AZURE})
    assert (again.state, again.counts["rejected_before"]) == ("done", 1)
    other = {"azure/gpt-4o": AZURE["azure/gpt-4o"] | {"supports_vision": True}}
    assert compared({"gpt-4o": GOOD, **other}).counts["added"] == 1


def test_an_entry_is_decided_once(operator):
    entry = compared({"gpt-4o": GOOD}).entries.get()
    import_entries.reject_entry(entry.pk, by=operator)
    for decide in (import_entries.accept_entry, import_entries.reject_entry):
        with pytest.raises(Conflict, match="decided already: Rejected"):
            decide(entry.pk, by=operator)


def test_a_corrected_entry_is_compared_again_and_the_same_file_then_says_nothing_new(operator):
    run({"gpt-4o": GOOD})
    wrong = {"gpt-4o": GOOD | {"input_cost_per_token": 9e-04}}
    entry = compared(wrong).entries.get()
    assert entry.state == "held"
    with pytest.raises(ValidationError, match="outside"):
        import_entries.edit_entry(entry.pk, prices={"input": Decimal("0.00000001")}, facts={}, by=operator)
    edited = import_entries.edit_entry(
        entry.pk, prices={"input": Decimal("2.6")}, facts={"context_tokens": "128000"}, by=operator
    )
    assert (edited.state, edited.is_edited) == ("waiting", True)
    accept_entries(entry.run_id, by=operator)
    assert Offer.objects.get().prices == {"input": "2.60000000", "output": "10.00000000"}
    assert model().context_tokens == 128000
    assert compared(wrong).state == "done"


def test_a_later_import_overtakes_open_entries_of_the_same_offers_only(db):
    first = compared({"gpt-4o": GOOD, "o3": GOOD})
    compared({"gpt-4o": GOOD | {"supports_vision": True}})
    assert (state_of("gpt-4o", first), state_of("o3", first)) == ("overtaken", "waiting")


def test_an_offer_that_changed_after_the_comparison_is_not_overwritten(db):
    imported = compared({"gpt-4o": GOOD})
    entry = imported.entries.get()
    run({"gpt-4o": GOOD | {"supports_vision": True}})
    # As if the later import had not overtaken it.
    ImportEntry.objects.filter(pk=entry.pk).update(state="waiting")
    CatalogImport.objects.filter(pk=imported.pk).update(state="open")
    done = accept_entries(imported.pk, by=None)
    assert (done.entries, done.applied.overtaken, state_of("gpt-4o", imported)) == (
        0,
        ["gpt-4o"],
        "overtaken",
    )
    assert model().capabilities == {"vision": True}


def test_what_an_operator_entered_is_named_and_stays(operator):
    run({"gpt-4o": GOOD | {"max_input_tokens": 1000}})
    curate_model(model().pk, values={"context_tokens": 5000}, by=operator)
    imported = compared({"gpt-4o": GOOD | {"max_input_tokens": 2000}})
    assert imported.entries.get().differs == ["context_tokens"]
    done = accept_entries(imported.pk, by=operator)
    assert model().context_tokens == 5000
    assert done.run.outcome["kept"] == {"gpt-4o": ["context_tokens"]}


def test_an_entry_that_the_file_no_longer_names_is_held_back_and_removes_the_offer_if_taken(db):
    run({"gpt-4o": GOOD, **AZURE})
    imported = compared({"gpt-4o": GOOD})
    entry = imported.entries.get()
    assert (entry.kind, entry.state) == ("withdrawn", "held")
    accept_entries(imported.pk, by=None, may_take_held=True)
    assert model().providers == ["openai"]
    assert Offer.objects.count() == 1


def test_undoing_restores_what_was_said_before(operator):
    run({"gpt-4o": GOOD | {"max_input_tokens": 1000}})
    facts = ("context_tokens", "capabilities", "providers", "offer_count", "deprecation_date", "title")
    before = CatalogModel.objects.values(*facts).get()
    offers = list(Offer.objects.values("source_key", "prices", "facts", "digest", "is_primary"))
    second = {
        "gpt-4o": GOOD
        | {"max_input_tokens": 9000, "supports_vision": True, "deprecation_date": "2099-01-01"},
        **AZURE,
        "o3": GOOD,
    }
    done = run(second).run
    assert CatalogModel.objects.count() == 2
    undone = undo_import(done.pk, by=operator)
    assert CatalogModel.objects.values(*facts).get() == before
    assert list(Offer.objects.values("source_key", "prices", "facts", "digest", "is_primary")) == offers
    assert (undone.entries, undone.run.state, undone.run.outcome["models_removed"]) == (3, "undone", 1)
    with pytest.raises(Conflict, match="undone already"):
        undo_import(done.pk, by=operator)
    # The same file is new again.
    assert compared(second).counts["added"] == 2


def test_undoing_keeps_drafts_that_review_scopes_and_planned_changes_name(operator):
    done = run({name: GOOD | {"litellm_provider": "openai"} for name in ("gpt-4o", "o1", "o3")}, by=operator)
    ReviewScope.objects.create(track=Track.objects.first(), model=model())
    curate_model(
        model("o1").pk, values={"title": "One"}, by=operator, takes_effect_at=now() + timedelta(days=1)
    )
    assert undo_import(done.run.pk, by=operator).run.outcome["models_removed"] == 1
    assert set(CatalogModel.objects.values_list("name", flat=True)) == {"gpt-4o", "o1"}
    assert PlannedChange.objects.get().of_models.count() == 1


def test_undoing_leaves_and_names_what_somebody_has_changed_since(operator):
    run({"gpt-4o": GOOD | {"max_input_tokens": 1000}, "o1": GOOD})
    done = run(
        {"gpt-4o": GOOD | {"max_input_tokens": 2000}, "o1": GOOD | {"supports_vision": True}, "o3": GOOD}
    )
    curate_model(model().pk, values={"context_tokens": 5000}, by=operator)
    run({"gpt-4o": GOOD | {"max_input_tokens": 2000}, "o1": GOOD | {"supports_vision": False}, "o3": GOOD})
    ModelVersionFactory(model=model("o3"))
    undone = undo_import(done.run.pk, by=operator).run
    assert model().context_tokens == 5000
    assert undone.outcome["kept"] == {"gpt-4o": ["context_tokens"]}
    assert undone.outcome["overtaken"] == ["o1"]
    assert model("o1").capabilities == {"vision": False}
    # Something refers to it, so that it stays, without offers.
    assert model("o3").offer_count == 0


def test_undoing_publishes_the_former_list_price_from_the_next_hour_on(db):
    run({"gpt-4o": GOOD})
    done = run({"gpt-4o": GOOD | {"input_cost_per_token": 3e-06}})
    undo_import(done.run.pk, by=None)
    last = Price.objects.filter(sku__kind="input").order_by("-valid").first()
    assert (last.per_million, last.valid.upper) == (Decimal("2.5"), None)


def test_many_entries_are_left_to_a_task_which_does_them_once(
    operator, monkeypatch, django_capture_on_commit_callbacks
):
    monkeypatch.setattr(imports, "AT_ONCE", 1)
    sent = []
    monkeypatch.setattr(tasks.carry_out_import, "delay", sent.append)
    imported = compared({"gpt-4o": GOOD, "o3": GOOD})
    with django_capture_on_commit_callbacks(execute=True):
        decided = accept_entries(imported.pk, by=operator, in_background=True)
    assert (decided.is_busy, sent, Offer.objects.count()) == (True, [str(imported.pk)], 0)
    for act in (accept_entries, reject_entries, undo_import):
        with pytest.raises(Conflict, match="being carried out"):
            act(imported.pk, by=operator)
    for _again in range(2):
        tasks.carry_out_import(sent[0])
    imported.refresh_from_db()
    assert (imported.state, imported.outcome["accepted"], imported.wanted) == ("done", 2, None)
    assert set(imported.entries.values_list("state", "decided_by")) == {("accepted", operator.pk)}


def test_only_those_who_publish_models_decide(operator, developer):
    imported = compared({"gpt-4o": GOOD})
    entry = imported.entries.get()
    for act, pk in (
        (accept_entries, imported.pk),
        (reject_entries, imported.pk),
        (undo_import, imported.pk),
        (import_entries.accept_entry, entry.pk),
        (import_entries.reject_entry, entry.pk),
    ):
        with pytest.raises(PermissionDenied):
            act(pk, by=developer)


def test_a_published_price_reaches_sort_and_filters_at_once_and_a_later_one_when_it_begins(operator):
    from datetime import timedelta

    from django.utils.timezone import now

    from billing.prices import hour_of, publish_prices
    from tests.factories import CatalogModelFactory

    CatalogModelFactory(name="own-1", list_input_price=None)
    hour = hour_of(now())
    said = {"input": Decimal(3), "output": Decimal(12)}
    publish_prices("own-1", said, valid_from=hour, reason="Ours.", by=operator)
    assert (model("own-1").list_input_price, model("own-1").list_output_price) == (Decimal(3), Decimal(12))
    later = hour + timedelta(hours=1)
    publish_prices("own-1", {"input": Decimal(4)}, valid_from=later, reason="Ours.", by=operator)
    assert model("own-1").list_input_price == Decimal(3)
    assert refresh_list_prices() == 0
    assert refresh_list_prices(at=later) == 1
    assert model("own-1").list_input_price == Decimal(4)


def test_dates_and_kept_facts_compare_as_they_are_stored(operator):
    run({"gpt-4o": GOOD | {"deprecation_date": "2099-01-01"}})
    curate_model(model().pk, values={"deprecation_date": "2099-01-01"}, by=operator)
    curate_model(model().pk, values={"deprecation_date": "2098-01-01"}, by=operator)
    curate_model(model().pk, values={"deprecation_date": "2099-01-01"}, by=operator)
    same = compared({"gpt-4o": GOOD | {"deprecation_date": "2099-01-01", "supports_vision": True}})
    assert same.entries.get().differs == []
    assert model().deprecation_date == date(2099, 1, 1)
