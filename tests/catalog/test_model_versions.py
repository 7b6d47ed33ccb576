"""Versions of models: made, edited and retired by operators, for all tenants or chosen ones; adapters name a base."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError, connection, transaction
from django.urls import reverse

from audit.models import AuditEntry
from catalog.actions import curate_model
from catalog.actions.versions import add_version, change_version, retire_version
from catalog.models import ModelVersion
from core.errors import Conflict
from deployments.actions import create_deployment, delete_deployment
from deployments.models import Deployment
from deployments.sharing import dedicate
from tests.concurrency import queued_behind
from tests.factories import (
    CatalogModelFactory,
    ClusterFactory,
    DeploymentFactory,
    ModelVersionFactory,
    TenantFactory,
    member_of,
    staff,
)

SENT = {"_form_submitted": "1"}
RUNS = {"upstream_name": "zai-org/GLM-4.6-FP8", "image": "vllm/vllm-openai:v0.11.0"}
DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture
def elsewhere(db):
    return TenantFactory(slug="elsewhere", name="Elsewhere")


@pytest.fixture
def add(operator, model):
    """Add a version of the model; what is not given is usual."""

    def make(version="fp8", *, of=model, base=None, **values):
        return add_version(
            model=of.name, org="zai-org", version=version, base=base, values=RUNS | values, by=operator
        )

    return make


def raw(statement, *values):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)


def test_a_version_has_a_name_and_an_entry_in_the_audit_log(add, operator):
    made = add(digest=DIGEST, precision="fp8", format="safetensors", parameters=357_000_000_000)
    assert made.full_name == "zai-org/glm-4.6/fp8"
    entry = AuditEntry.objects.across_tenants().get(verb="model_version.added")
    assert entry.actor_label == str(operator) or entry.subject_id == str(made.pk)
    assert entry.details["name"] == "zai-org/glm-4.6/fp8"
    with pytest.raises(Conflict, match="already"):
        add()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("digest", "sha256:abc"),
        ("digest", DIGEST.upper()),
        ("memory", "lots"),
        ("memory", "0Gi"),
        ("image", "evil image"),
        ("image", "a\nb"),
        ("command", ["x"] * 101),
        ("command", ["a\x07b"]),
        ("endpoints", ["sorcery"]),
        ("format", "exe"),
        ("parameters", 0),
        ("context_tokens", -1),
        ("precision", "a b"),
        ("only_for", ["nobody-here"]),
        ("upstream_name", " "),
    ],
)
def test_what_is_wrong_is_named_by_field(add, field, value):
    with pytest.raises(ValidationError) as caught:
        add(**{"visibility": "tenants"} if field == "only_for" else {}, **{field: value})
    assert set(caught.value.message_dict) == {field}
    assert not ModelVersion.objects.exists()


@pytest.mark.parametrize("name", [{"org": "../x"}, {"org": "a/b"}, {"version": "1/2"}, {"version": ""}])
def test_a_name_has_three_parts(operator, model, name):
    with pytest.raises(ValidationError):
        add_version(
            **{"model": model.name, "org": "zai-org", "version": "1"} | name, values=RUNS, by=operator
        )


def test_what_a_deployment_runs_stays_and_the_rest_may_change(add, operator):
    version = add()
    change_version(version.pk, values={"image": "vllm/vllm-openai:v0.11.1"}, by=operator)
    deployment = create_deployment(version, ClusterFactory(), 1, "glm", by=operator)
    assert deployment.applied_image == "vllm/vllm-openai:v0.11.1"
    for name, value in {"image": "x:2", "command": ["a"], "digest": DIGEST, "gpus_per_replica": 8}.items():
        with pytest.raises(Conflict, match="deployed") as caught:
            change_version(version.pk, values={name: value}, by=operator)
        assert caught.value.code == "version_deployed"
    delete_deployment(deployment.pk, by=operator)
    with pytest.raises(Conflict, match="deployed"):
        change_version(version.pk, values={"image": "x:2"}, by=operator)
    change_version(
        version.pk,
        values={"parameters": 357, "context_tokens": 8192, "image": RUNS["image"][:-1] + "1"},
        by=operator,
    )
    with pytest.raises(DatabaseError, match="runs unchanged"):
        raw("UPDATE catalog_modelversion SET image = 'x:2' WHERE id = %s", version.pk)


def test_a_retired_version_is_not_deployed_again(add, operator):
    version = add()
    running = create_deployment(version, ClusterFactory(name="here"), 1, "glm", by=operator)
    retire_version(version.pk, by=operator)
    with pytest.raises(Conflict, match="retired"):
        create_deployment(version, running.cluster, 1, "glm-2", by=operator)
    with pytest.raises(Conflict, match="retired"):
        change_version(version.pk, values={"parameters": 1}, by=operator)
    with pytest.raises(DatabaseError, match="retired version"), transaction.atomic():
        Deployment(name="raw", version=version, cluster=running.cluster).save()
    assert not Deployment.objects.get(pk=running.pk).is_deleted


def test_an_adapter_has_a_current_base_of_its_kind_that_is_no_adapter(add, operator, model):
    base = add()
    lora = add("letters", base=base.pk)
    assert lora.base == base
    with pytest.raises(ValidationError, match="adapter itself"):
        add("second", base=lora.pk)
    other = CatalogModelFactory(name="embed-1", mode="embedding")
    with pytest.raises(ValidationError, match="another kind"):
        add("second", of=other, base=base.pk)
    retire_version(base.pk, by=operator)
    with pytest.raises(ValidationError, match="retired"):
        add("second", base=base.pk)
    with pytest.raises(ValidationError, match="no such"):
        add("second", base=model.pk)


def test_the_database_keeps_names_and_bases(add):
    base, other = add(), add("bf16")
    lora = add("letters", base=base.pk)
    for column, value in {"base_id": other.pk, "org": "me", "version": "9"}.items():
        with pytest.raises(DatabaseError, match="keeps its name and its base"):
            raw(f"UPDATE catalog_modelversion SET {column} = %s WHERE id = %s", value, lora.pk)
    with pytest.raises(DatabaseError, match="keeps its name and its base"):
        raw("UPDATE catalog_modelversion SET base_id = %s WHERE id = %s", lora.pk, base.pk)
    for wrong in ({"base": lora}, {"base": base, "model": CatalogModelFactory(mode="embedding")}):
        with pytest.raises(DatabaseError, match="no adapter"), transaction.atomic():
            ModelVersionFactory(**{"model": base.model, "version": "raw"} | wrong)


def test_an_adapter_is_for_tenants_of_its_base(add, operator, lab, elsewhere):
    base = add(visibility="tenants", only_for=["lab"])
    with pytest.raises(ValidationError, match="may use its base"):
        add("letters", base=base.pk)
    with pytest.raises(ValidationError, match="may use its base"):
        add("letters", base=base.pk, visibility="tenants", only_for=["elsewhere", "lab"])
    lora = add("letters", base=base.pk, visibility="tenants", only_for=["lab"])
    with pytest.raises(DatabaseError, match="every tenant of its adapters"):
        raw("UPDATE catalog_modelversion SET visibility = 'all', only_for = '{}' WHERE id = %s", lora.pk)
    with pytest.raises(Conflict, match="adapters"):
        change_version(base.pk, values={"only_for": ["elsewhere"]}, by=operator)
    with pytest.raises(DatabaseError, match="every tenant of its adapters"):
        raw("UPDATE catalog_modelversion SET only_for = '{elsewhere}' WHERE id = %s", base.pk)


def test_a_version_for_chosen_tenants_is_deployed_for_one_of_them(add, operator, lab, elsewhere):
    version, cluster = add(visibility="tenants", only_for=["lab"]), ClusterFactory()
    with pytest.raises(ValidationError, match="lab"):
        create_deployment(version, cluster, 1, "glm", only_tenant=elsewhere, by=operator)
    deployment = create_deployment(version, cluster, 1, "glm", by=operator)
    assert deployment.only_tenant == lab
    for tenant in (None, elsewhere):
        with pytest.raises(Conflict, match="chosen tenants"):
            dedicate(deployment.pk, tenant, by=operator)
    with pytest.raises(Conflict, match="glm"):
        change_version(version.pk, values={"only_for": ["elsewhere"]}, by=operator)
    for statement in (
        "UPDATE deployments_deployment SET only_tenant_id = NULL WHERE version_id = %s",
        "UPDATE catalog_modelversion SET only_for = '{elsewhere}' WHERE id = %s",
    ):
        with pytest.raises(DatabaseError, match="tenants that it is for"):
            raw(statement, version.pk)
    change_version(version.pk, values={"only_for": ["elsewhere", "lab"]}, by=operator)
    dedicate(deployment.pk, elsewhere, by=operator)
    two = change_version(version.pk, values={"only_for": ["lab", "elsewhere"]}, by=operator)
    with pytest.raises(ValidationError, match="elsewhere"):
        create_deployment(two, cluster, 1, "glm-2", by=operator)


def test_a_deployment_for_all_keeps_its_version_for_all(add, operator, lab):
    version = add()
    create_deployment(version, ClusterFactory(), 1, "open", by=operator)
    with pytest.raises(Conflict, match="open") as caught:
        change_version(version.pk, values={"visibility": "tenants", "only_for": ["lab"]}, by=operator)
    assert caught.value.code == "version_serves_others"


@pytest.mark.django_db(transaction=True)
def test_a_version_that_is_being_retired_is_not_deployed(operator):
    version, cluster = ModelVersionFactory(), ClusterFactory()

    def deploy():
        with pytest.raises(Conflict, match="retired"):
            create_deployment(version, cluster, 1, "glm", by=operator)
        return "refused"

    assert queued_behind(deploy, first=lambda: retire_version(version.pk, by=operator)) == "refused"


def test_others_learn_nothing_of_a_version_for_chosen_tenants(
    client, add, operator, lab, elsewhere, developer
):
    hidden = add("secret-sauce", visibility="tenants", only_for=["lab"])
    lora = add("secret-lora", base=hidden.pk, visibility="tenants", only_for=["lab"])
    page, listed = "/t/{}/models/glm-4.6/?tab=versions", "/api/v1/model-versions/"
    foreigner = member_of(elsewhere, "developer", name="Fay Foreign")
    client.force_login(foreigner)
    assert "secret" not in client.get(page.format("elsewhere")).content.decode()
    assert client.get(listed).json()["results"] == []
    assert client.get(f"{listed}?base={hidden.pk}").json()["results"] == []
    for row in (hidden, lora):
        assert client.get(f"{listed}{row.pk}/").status_code == 404
    client.force_login(developer)
    shown = client.get(page.format("lab")).content.decode()
    assert "zai-org/glm-4.6/secret-sauce" in shown
    assert "LoRA adapter of zai-org/glm-4.6/secret-sauce" in shown
    found = client.get(listed).json()["results"]
    assert [row["base"] for row in found] == [str(hidden.pk), None]
    assert "only_for" not in found[0]
    assert "image" not in found[0]
    for data, path in ({}, "retire/"), ({"parameters": 3}, ""):
        send = client.post if path else client.patch
        assert send(f"{listed}{hidden.pk}/{path}", data, "application/json").status_code == 403
    retire_version(lora.pk, by=operator)
    assert "secret-lora" not in client.get(page.format("lab")).content.decode()
    assert len(client.get(listed).json()["results"]) == 1


def test_the_base_of_an_adapter_is_not_named_to_those_who_may_not_see_it(client, add, operator, developer):
    of = CatalogModelFactory(name="hidden-model", mode="chat")
    base = add("weights", of=of)
    add("letters", base=base.pk)
    curate_model(of.pk, values={"visibility": "hidden"}, may_touch_tenants=True, by=operator)
    client.force_login(developer)
    assert "hidden-model" not in client.get("/t/lab/models/glm-4.6/?tab=versions").content.decode()
    answer = client.get("/api/v1/model-versions/").json()["results"]
    assert [row["base"] for row in answer] == [None]


def test_operators_make_and_edit_versions_by_api(client, operator, model):
    client.force_login(operator)
    wanted = {"model": model.name, "org": "zai-org", "version": "1", "command": ["serve"], **RUNS}
    made = client.post("/api/v1/model-versions/", wanted, "application/json")
    assert made.status_code == 201, made.content
    path = f"/api/v1/model-versions/{made.json()['id']}/"
    assert client.patch(path, {"memory": "80Gi"}, "application/json").json()["memory"] == "80Gi"
    assert client.patch(path, {"memory": "much"}, "application/json").status_code == 400
    assert client.patch(path, {"model": "x"}, "application/json").status_code == 400
    retired = client.post(f"{path}retire/", {}, "application/json")
    assert retired.json().get("retired_at"), retired.content
    assert client.post(f"{path}retire/", {}, "application/json").status_code == 409


def test_operators_make_and_edit_versions_on_pages(client, operator, model):
    client.force_login(operator)
    form = SENT | {
        "model": model.name, "org": "zai-org", "version": "1", "base": "", "command": "serve --name 'a b'",
        "gpus_per_replica": "1", "memory": "80Gi", "visibility": "all", **RUNS,
    }  # fmt: skip
    answer = client.post(reverse("admin:catalog_modelversion_add_version"), form)
    assert answer.status_code == 302, answer.content
    row = ModelVersion.objects.get()
    assert row.command == ["serve", "--name", "a b"]
    edit = reverse("admin:catalog_modelversion_edit", args=[row.pk])
    page = client.get(edit).content.decode()
    assert "serve --name &#x27;a b&#x27;" in page
    DeploymentFactory(version=row)
    page = client.get(edit).content.decode()
    assert "id_image" not in page
    assert "id_parameters" in page
    answer = client.post(edit, SENT | {"parameters": "9", "visibility": "all", "image": "x:2"})
    assert answer.status_code == 302
    row.refresh_from_db()
    assert (row.parameters, row.image) == (9, RUNS["image"])
    assert (
        "zai-org/glm-4.6/1" in client.get(reverse("admin:catalog_modelversion_changelist")).content.decode()
    )
    shown = client.get(reverse("admin:catalog_modelversion_change", args=[row.pk]))
    assert shown.status_code == 200


def test_reviewers_see_versions_and_change_none(client, add):
    version = add()
    client.force_login(staff("security-reviewer"))
    assert client.get(reverse("admin:catalog_modelversion_change", args=[version.pk])).status_code == 200
    assert client.patch(f"/api/v1/model-versions/{version.pk}/", {}, "application/json").status_code == 403
    with pytest.raises(PermissionDenied):
        retire_version(version.pk, by=staff("security-reviewer"))
