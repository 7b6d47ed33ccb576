from datetime import date
from decimal import Decimal

import pytest
from django.urls import reverse

from billing.cost_reports import ask_for_cost_report
from billing.ingest import record_usage
from billing.models import Price
from core.ids import uuid7
from exports.building import build_export
from exports.models import Export
from tests.billing.conftest import NOON, PRICED_SINCE
from tests.factories import staff

DAYS = {"start_day": date(2026, 10, 1), "end_day": date(2026, 10, 31)}


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    settings.EXPORT_DIR = tmp_path / "exports"


def test_a_controller_asks_for_a_report_watches_it_and_downloads_it(
    transactional_db, lab, call, prices, client
):
    controller = staff("controller", name="Cleo Controller")
    record_usage("gateway", [call()])
    client.force_login(controller)
    listed = client.get(reverse("admin:exports_export_changelist")).content.decode()
    new = reverse("admin:exports_export_new_report")
    assert new in listed
    assert "New cost report" in client.get(new).content.decode()
    assert client.post(new, {"tenant": lab.pk, "month": "October"}).status_code == 422
    page = client.post(new, {"tenant": lab.pk, "month": "2026-10"}, follow=True).content.decode()
    export = Export.objects.in_tenant(lab).get()
    progress = reverse("admin:exports_export_progress", args=[export.pk])
    assert f'hx-get="{progress}"' in page
    build_export(export.pk)
    done = client.get(progress, headers={"HX-Request": "true"}).content.decode()
    assert "hx-get" not in done
    assert str(Export.objects.in_tenant(lab).get().total) in done
    file = client.get(reverse("admin:exports_export_download", args=[export.pk]))
    assert b"".join(file.streaming_content).startswith(b"day,tenant,project")
    assert "Download" in client.get(reverse("admin:exports_export_changelist")).content.decode()


@pytest.mark.parametrize("role", ["operator", "auditor"])
def test_who_only_looks_neither_asks_nor_downloads(lab, controller, client, role):
    export = ask_for_cost_report(lab, by=controller, **DAYS)
    client.force_login(staff(role))
    assert client.get(reverse("admin:exports_export_change", args=[export.pk])).status_code == 200
    assert client.get(reverse("admin:exports_export_new_report")).status_code == 403
    assert client.get(reverse("admin:exports_export_download", args=[export.pk])).status_code == 403


def test_reviewers_see_no_reports(lab, controller, security_reviewer, client):
    export = ask_for_cost_report(lab, by=controller, **DAYS)
    client.force_login(security_reviewer)
    assert client.get(reverse("admin:exports_export_changelist")).status_code == 403
    assert client.get(reverse("admin:exports_export_progress", args=[export.pk])).status_code == 404


def test_an_operator_publishes_the_next_version_of_a_price(prices, operator, controller, client):
    new = reverse("admin:billing_price_new_version")
    form = {"model": "aya", "valid_from": "2026-10-14T13:00", "currency": "USD", "reason": "New contract",
            "price_input": "3", "price_output": "12"}  # fmt: skip
    client.force_login(controller)
    assert client.post(new, form).status_code == 403
    client.force_login(operator)
    assert client.get(new).status_code == 200
    assert "not per token" in client.post(new, form | {"price_input": "0.0000025"}).content.decode()
    assert client.post(new, form).status_code == 302
    output = Price.objects.filter(sku__model__name="aya", sku__kind="output").order_by("pk")
    assert [(price.per_million, price.valid.lower) for price in output] == [
        (Decimal("10.00000001"), PRICED_SINCE),
        (Decimal(12), NOON.replace(hour=13)),
    ]
    assert output.last().created_by == operator
    assert client.get(reverse("admin:billing_price_changelist")).status_code == 200
    assert client.get(reverse("admin:billing_price_change", args=[output.last().pk])).status_code == 200


def test_quarantined_events_are_listed_as_they_came(call, operator, client):
    record_usage("gateway", [call(key_id=uuid7())])
    client.force_login(operator)
    assert (
        "unknown" in client.get(reverse("admin:billing_quarantinedevent_changelist")).content.decode().lower()
    )
