"""A field that people edit is declared once, on its model; pages, API, admin, audit log and cost report have it."""

from __future__ import annotations

import csv
from datetime import date

import pytest
from django import forms
from django.utils.functional import Promise
from drf_spectacular.generators import SchemaGenerator

from audit.models import AuditEntry
from billing.cost_reports import ask_for_cost_report
from billing.ingest import record_usage
from core.editing import assign, sent_values
from exports.building import build_export
from exports.files import path_of
from tenants.models import Project, Tenant
from tests.billing.conftest import call, key, prices  # noqa: F401 (fixtures)
from tests.factories import member_of

pytestmark = pytest.mark.django_db

# What is editable by Django's word, but decided once or by an action of its own.
OTHERWISE = {Project: {"tenant", "slug"}, Tenant: {"slug", "status"}}
# Valid values of fields that are more than a line of text.
VALUES = {
    "timezone": "Europe/Berlin",
    "currency": "EUR",
    "regions": "eu",
    "highest_data_class": "public",
    "answer_storage": "on",
    "degrading": "on",
}
# Model, page, who, what the page leaves out.
FORMS = [
    (Project, "/t/lab/projects/{project.pk}/edit/", "owner", set()),
    (Tenant, "/t/lab/settings/", "owner", {"highest_data_class"}),
    (Tenant, "/admin/tenants/tenant/{lab.pk}/settings/", "operator", set()),
]
ROUTES = {Project: "/api/v1/projects/{project.pk}/", Tenant: "/api/v1/tenants/lab/"}
SCHEMAS = {
    Project: ("Project", "PatchedChangeProject", "NewProject"),
    Tenant: ("Tenant", "PatchedChangeTenant"),
}


@pytest.fixture
def row_of(lab, project):
    return {Project: project, Tenant: lab}


@pytest.fixture
def people(owner, operator):
    return {"owner": owner, "operator": operator}


@pytest.fixture
def value_of(lab):
    """A new value of a field, as a form sends it, and as the API does."""
    answering = member_of(lab, "developer", name="Ann Answering")

    def value(name, *, of_api=False):
        if name == "owner":
            return answering.email
        if name == "regions" and of_api:
            return ["eu"]
        return VALUES.get(name, f"New {name}")

    return value


def last_changes(model):
    verb = {Project: "project.changed", Tenant: "tenant.changed"}[model]
    return AuditEntry.objects.across_tenants().filter(verb=verb).latest("id").changes


def fields_of(form, **given):
    """What a browser sends of a form that somebody changed one field of."""
    shown = {name: form[name].value() for name in form.fields}
    return {name: "" if value is None else value for name, value in shown.items()} | given


@pytest.mark.parametrize("model", OTHERWISE)
def test_every_column_that_can_be_edited_is_declared_or_has_its_own_action(model):
    columns = {field.name for field in model._meta.concrete_fields if field.editable}
    assert columns == {*model.EDITABLE, *OTHERWISE[model]}


@pytest.mark.parametrize("model", OTHERWISE)
def test_its_label_and_help_text_are_marked_for_translation(model):
    for field in map(model._meta.get_field, model.EDITABLE):
        assert isinstance(field.verbose_name, Promise), field
        assert isinstance(field.help_text, Promise) or field.help_text == "", field


@pytest.mark.parametrize(("model", "page", "who", "left_out"), FORMS)
def test_each_form_shows_it_and_changes_it_alone(
    client, lab, project, people, row_of, value_of, model, page, who, left_out
):
    client.force_login(people[who])
    page = page.format(lab=lab, project=project)
    for name in model.EDITABLE:
        form = client.get(page).context["form"]
        if name in left_out:
            assert name not in form.fields
            continue
        before = form[name].value()
        assert form[name].label
        answer = client.post(page, fields_of(form, **{name: value_of(name)}))
        assert answer.status_code == 302, (name, answer.context["form"].errors)
        after = client.get(page).context["form"][name].value()
        assert (after != before, last_changes(model).keys()) == (True, {name})


@pytest.mark.parametrize(("model", "page", "who", "left_out"), FORMS)
def test_a_field_that_an_older_page_does_not_send_keeps_its_value(
    client, lab, project, people, row_of, value_of, model, page, who, left_out
):
    client.force_login(people[who])
    page = page.format(lab=lab, project=project)
    sent = fields_of(client.get(page).context["form"])
    for name in model.EDITABLE:
        if name not in left_out and name != "owner":
            client.post(page, fields_of(client.get(page).context["form"], **{name: value_of(name)}))
    filled = model._base_manager.get(pk=row_of[model].pk)
    optional = {field.name for field in model._meta.fields if field.blank} & sent.keys()
    assert optional
    current = fields_of(client.get(page).context["form"])
    answer = client.post(page, {name: value for name, value in current.items() if name not in optional})
    assert answer.status_code == 302
    now = model._base_manager.get(pk=filled.pk)
    assert {name: getattr(now, name) for name in model.EDITABLE} == {
        name: getattr(filled, name) for name in model.EDITABLE
    }


@pytest.mark.parametrize("model", ROUTES)
def test_the_api_shows_it_and_changes_it_alone(client, lab, project, owner, value_of, model):
    client.force_login(owner)
    route = ROUTES[model].format(lab=lab, project=project)
    for name in model.EDITABLE:
        body = {name: value_of(name, of_api=True)}
        answer = client.patch(route, body, "application/json")
        assert answer.status_code == 200, answer.content
        assert (answer.json()[name], last_changes(model).keys()) == (body[name], {name})


def test_the_schema_of_the_api_has_it():
    schemas = SchemaGenerator().get_schema(request=None, public=True)["components"]["schemas"]
    for model, names in SCHEMAS.items():
        for name in names:
            assert set(model.EDITABLE) <= schemas[name]["properties"].keys(), name


def test_a_new_row_can_have_all_of_them(client, lab, owner, operator, value_of):
    client.force_login(owner)
    wanted = {name: value_of(name, of_api=True) for name in Project.EDITABLE}
    answer = client.post("/api/v1/projects/", wanted | {"tenant": "lab", "slug": "one"}, "application/json")
    assert {name: answer.json()[name] for name in wanted} == wanted
    wanted = {name: value_of(name) for name in Project.EDITABLE}
    assert client.post("/t/lab/projects/new/", wanted | {"slug": "two"}).status_code == 302
    one, two = Project.objects.in_tenant(lab).filter(slug__in=["one", "two"]).order_by("slug")
    assert [getattr(one, name) for name in wanted] == [getattr(two, name) for name in wanted]
    client.force_login(operator)
    wanted = {name: value_of(name) for name in Tenant.EDITABLE}
    new = wanted | {"slug": "harbour", "first_owner": "olga@harbour.example"}
    assert client.post("/admin/tenants/tenant/new/", new).status_code == 302
    made = Tenant.objects.get(slug="harbour")
    assert {name: getattr(made, name) for name in wanted} == wanted | {"regions": ["eu"]}


@pytest.mark.parametrize("model", OTHERWISE)
def test_operators_see_it_in_the_admin(client, operator, row_of, model):
    client.force_login(operator)
    row = row_of[model]
    page = client.get(f"/admin/tenants/{model._meta.model_name}/{row.pk}/change/")
    shown = {name for fieldset in page.context["adminform"] for name in fieldset.fields}
    assert set(model.EDITABLE) <= shown


@pytest.mark.parametrize("model", OTHERWISE)
def test_what_is_not_declared_cannot_be_assigned(row_of, model):
    row = row_of[model]
    with pytest.raises(TypeError, match="created_at"):
        assign(row, {"name": "New", "created_at": None})
    assert row.name != "New"


@pytest.mark.django_db(transaction=True)
def test_what_finance_books_by_stands_in_the_list_of_projects_and_in_the_cost_report(
    client,
    lab,
    project,
    finance,
    call,  # noqa: F811
    prices,  # noqa: F811
):
    for name in Project.ACCOUNTING:
        setattr(project, name, f"=of {name}")
    project.save()
    record_usage("gateway", [call()])
    client.force_login(finance)
    page = client.get("/t/lab/projects/")
    # In its column, which a phone shows with its name.
    words = page.content.decode()
    assert words.count("=of ") == len(page.context["accounting"]) == len(Project.ACCOUNTING)
    for label, name in zip(page.context["accounting"], Project.ACCOUNTING, strict=True):
        assert f'data-label="{label}">=of {name}</td>' in words
    export = ask_for_cost_report(lab, by=finance, start_day=date(2026, 10, 1), end_day=date(2026, 10, 31))
    build_export(export.pk)
    rows = [*csv.DictReader(path_of(export).read_text().splitlines())]
    assert rows
    for row in rows:
        assert [row[name] for name in Project.ACCOUNTING] == [f"'=of {name}" for name in Project.ACCOUNTING]


@pytest.mark.parametrize(
    "field",
    [
        forms.BooleanField(required=False),
        forms.MultipleChoiceField(required=False),
        forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple),
    ],
    ids=["check box", "list", "check boxes"],
)
def test_a_field_that_browsers_leave_out_when_empty_is_refused(field):
    class Form(forms.Form):
        name = forms.CharField()
        flagged = field

    form = Form({"name": "x"})
    assert form.is_valid()
    with pytest.raises(TypeError, match="flagged"):
        sent_values(form)
