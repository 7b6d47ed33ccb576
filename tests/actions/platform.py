"""Actions of platform staff: models, prices, clusters, deployments, gateways."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils.timezone import now

from audit.models import AuditEntry
from billing.known_kinds import kinds_named
from billing.models import UsageKind
from catalog.actions.curating import plan_edit
from catalog.models import PlannedChange
from config.celery import app
from deployments.engine_host.state import StateDirectory, write_document
from deployments.models import Deployment
from gateway.actions import register_gateway, set_media_hosts
from gateway.signing import new_signing_key
from tenants.models import ConfigChange, RevisionEntry
from tests.factories import CatalogModelFactory, ClusterFactory, DeploymentFactory, ModelVersionFactory
from tests.role_matrix import Action, EntryPoint
from tests.url_arguments import waiting_entry

PRICE_MAP = """{"good-1": {
    "litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6
}}"""
SENT = {"_form_submitted": "1"}
# Fields that the page of a model requires.
REST_OF_MODEL = {
    "title": "{it.title}",
    "mode": "{it.mode}",
    "risk_tier": "{it.risk_tier}",
    "highest_data_class": "{it.highest_data_class}",
    "visibility": "{it.visibility}",
}


def undescribed_kind(world, actor):
    kinds_named(["hologram"])
    return UsageKind.objects.get(name="hologram")


def draft_model(world, actor):
    return CatalogModelFactory(lifecycle="draft")


def published_model(world, actor):
    return CatalogModelFactory()


def planned_change(world, actor):
    return PlannedChange.objects.create(kind="retire", takes_effect_at=now() + timedelta(days=1))


def differing_model(world, actor):
    said = {"maker": {"source": "operator", "stated": "Somebody", "stated_by": "litellm"}}
    return CatalogModelFactory(maker="Ours", provenance=said, differing=["maker"])


def open_entry(world, actor):
    return waiting_entry()


def open_import(world, actor):
    return waiting_entry().run


def deployment(world, actor):
    return DeploymentFactory(state=Deployment.State.HEALTHY)


def shared_deployment(world, actor):
    return DeploymentFactory(sharing_reason="One team.", sharing_accepted_at=now())


def unknown_deployment(world, actor):
    return DeploymentFactory(version=ModelVersionFactory(image="somebody/engine:1", command=["serve"]))


def stated_deployment(world, actor):
    return DeploymentFactory(
        stated_field="tenant_tag", stated_reason="Tried.", stated_program="x" * 64, stated_at=now()
    )


def gateway(world, actor):
    registered, _secret = register_gateway("edge-1", by=None)
    return registered


def undoable_revision(world, actor):
    set_media_hosts(["pictures.example.com"], by=None)
    change = ConfigChange.objects.order_by("revision").last()
    entry = AuditEntry.objects.across_tenants().filter(verb="gateway.media_hosts_set").latest("pk")
    # A trigger does this at the commit, which the tests' transactions never reach.
    RevisionEntry.objects.get_or_create(revision=change.revision, entry_id=entry.pk)
    return change


def older_signing_key(world, actor):
    first = new_signing_key()
    new_signing_key()
    return first


def a_living_engine_host(world, actor):
    """The heartbeat of an engine host that runs nothing, which is all that a test of the connection reads."""
    state = StateDirectory(Path(settings.ENGINE_STATE_DIR))
    state.prepare()
    heartbeat = {"pid": os.getpid(), "heartbeat": time.monotonic(), "version": "host/1", "resources": {}}
    write_document(state.host_file, heartbeat)


def a_cluster_that_lives(world, actor):
    a_living_engine_host(world, actor)
    return ClusterFactory()


DESPITE = {"despite": "For a test."}


class WorkedAtOnce(EntryPoint):
    """An entry point behind which a worker is waited for: here the task is done by whoever asks for it."""

    def knock(self, client, world, it):
        app.conf.task_always_eager = True
        try:
            return super().knock(client, world, it)
        finally:
            app.conf.task_always_eager = False


def _expected(model, *, publishes=False, **values):
    """The digest that the preview of an edit of this model alone shows."""
    plan = plan_edit([model], values, may_replace=False, publishes=publishes, despite=DESPITE["despite"])
    return plan.digest


class Wanted:
    """What a new deployment is made of."""

    def __init__(self):
        self.version, self.cluster = ModelVersionFactory(), ClusterFactory()


PLATFORM_ACTIONS = [
    Action(
        "publish a model",
        "catalog.actions.publish_model",
        subject=draft_model,
        api=EntryPoint("POST /api/v1/models/{it.name}/publish/", DESPITE),
        admin=EntryPoint("POST /admin/catalog/catalogmodel/{it.pk}/publish/", SENT | DESPITE),
    ),
    Action(
        "retire a model",
        "catalog.actions.retire_model",
        subject=published_model,
        api=EntryPoint("POST /api/v1/models/{it.name}/retire/", {}),
        admin=EntryPoint("POST /admin/catalog/catalogmodel/{it.pk}/retire/", SENT),
    ),
    Action(
        "deprecate a model",
        "catalog.actions.deprecate_model",
        subject=published_model,
        api=EntryPoint("POST /api/v1/models/{it.name}/deprecate/", {}),
        admin=EntryPoint("POST /admin/catalog/catalogmodel/{it.pk}/deprecate/", SENT),
    ),
    Action(
        "undo a planned change",
        "catalog.actions.undo_change",
        subject=planned_change,
        api=EntryPoint("POST /api/v1/planned-changes/{it.pk}/undo/", {}),
        admin=EntryPoint("POST /admin/catalog/plannedchange/{it.pk}/undo/", SENT),
    ),
    Action(
        "publish many models",
        "catalog.actions.publish_models",
        subject=draft_model,
        admin=EntryPoint(
            "POST /admin/catalog/catalogmodel/edit-many/?q={it.name}",
            lambda world, it: (
                DESPITE | {"save": "1", "publishes": "yes", "expected": _expected(it, publishes=True)}
            ),
        ),
    ),
    Action(
        "edit many models",
        "catalog.actions.curate_models",
        subject=published_model,
        admin=EntryPoint(
            "POST /admin/catalog/catalogmodel/edit-many/?q={it.name}",
            lambda world, it: {"save": "1", "maker": "Ours", "expected": _expected(it, maker="Ours")},
        ),
    ),
    Action(
        "edit a model",
        "catalog.actions.curate_model",
        subject=published_model,
        api=EntryPoint("PATCH /api/v1/models/{it.name}/", {"description": "For letters."}),
        admin=EntryPoint(
            "POST /admin/catalog/catalogmodel/{it.pk}/curate/",
            {"seen": '{{"description": ""}}', "description": "For letters.", **REST_OF_MODEL},
        ),
    ),
    Action(
        "settle what an import says of a model",
        "catalog.actions.settle_facts",
        subject=differing_model,
        admin=EntryPoint("POST /admin/catalog/catalogmodel/{it.pk}/settle/", SENT | {"fact_maker": "keep"}),
    ),
    Action(
        "import a file into the catalog",
        "catalog.actions.imports.start_import",
        api=EntryPoint(
            "POST /api/v1/catalog-imports/", lambda world, it: {"file_name": "map.json", "content": PRICE_MAP}
        ),
        admin=EntryPoint(
            "POST /admin/catalog/catalogimport/upload/",
            lambda world, it: {
                "format": "litellm",
                "file": SimpleUploadedFile("map.json", PRICE_MAP.encode()),
            },
        ),
    ),
    Action(
        "accept entries of an import",
        "catalog.actions.imports.accept_entries",
        subject=open_import,
        api=EntryPoint("POST /api/v1/catalog-imports/{it.pk}/accept/"),
        admin=EntryPoint("POST /admin/catalog/catalogimport/{it.pk}/accept-all/", SENT),
    ),
    Action(
        "accept the entries of an import that a list finds",
        "catalog.actions.imports.accept_entries",
        subject=open_import,
        admin=EntryPoint(
            "POST /admin/catalog/importentry/decide-found/?run__id__exact={it.pk}",
            {"verdict": "accept", "expected": "1-0-{it.pk}"},
        ),
    ),
    Action(
        "reject entries of an import",
        "catalog.actions.imports.reject_entries",
        subject=open_import,
        api=EntryPoint("POST /api/v1/catalog-imports/{it.pk}/reject/"),
        admin=EntryPoint("POST /admin/catalog/catalogimport/{it.pk}/reject-all/", SENT),
    ),
    Action(
        "undo an import",
        "catalog.actions.imports.undo_import",
        subject=open_import,
        api=EntryPoint("POST /api/v1/catalog-imports/{it.pk}/undo/"),
        admin=EntryPoint("POST /admin/catalog/catalogimport/{it.pk}/undo/", SENT),
    ),
    Action(
        "accept one entry of an import",
        "catalog.actions.import_entries.accept_entry",
        subject=open_entry,
        api=EntryPoint("POST /api/v1/catalog-import-entries/{it.pk}/accept/"),
        admin=EntryPoint("POST /admin/catalog/importentry/{it.pk}/accept/", SENT),
    ),
    Action(
        "correct one entry of an import",
        "catalog.actions.import_entries.edit_entry",
        subject=open_entry,
        api=EntryPoint("PATCH /api/v1/catalog-import-entries/{it.pk}/", {"prices": {"input": "2"}}),
        admin=EntryPoint("POST /admin/catalog/importentry/{it.pk}/correct/", SENT | {"price_input": "2"}),
    ),
    Action(
        "reject one entry of an import",
        "catalog.actions.import_entries.reject_entry",
        subject=open_entry,
        api=EntryPoint("POST /api/v1/catalog-import-entries/{it.pk}/reject/"),
        admin=EntryPoint("POST /admin/catalog/importentry/{it.pk}/reject/", SENT),
    ),
    Action(
        "publish prices",
        "billing.prices.publish_prices",
        admin=EntryPoint(
            "POST /admin/billing/price/new/",
            {
                "model": "aya",
                "valid_from": "2026-10-14T13:00",
                "currency": "USD",
                "reason": "New contract",
                "price_input": "3",
                "price_output": "12",
            },
        ),
    ),
    Action(
        "add a kind of usage",
        "billing.kind_actions.add_usage_kind",
        admin=EntryPoint(
            "POST /admin/billing/usagekind/add-kind/",
            SENT
            | {
                "name": "video_seconds",
                "label": "Seconds of video",
                "unit": "second",
                "scale": "1000",
                "price_for": "60",
            },
        ),
    ),
    Action(
        "describe a kind of usage",
        "billing.kind_actions.describe_usage_kind",
        subject=undescribed_kind,
        admin=EntryPoint(
            "POST /admin/billing/usagekind/{it.pk}/describe/",
            SENT | {"label": "Holograms", "unit": "image", "scale": "1", "price_for": "1000"},
        ),
    ),
    Action(
        "add a cluster",
        "deployments.actions.add_cluster",
        subject=a_living_engine_host,
        admin=WorkedAtOnce(
            "POST /admin/deployments/cluster/add/",
            {
                "name": "berlin",
                "driver": "local",
                "namespace": "models",
                "kubeconfig_path": "",
                "region": "eu",
            },
        ),
    ),
    Action(
        "test a cluster",
        "deployments.actions.check_cluster",
        subject=a_cluster_that_lives,
        admin=WorkedAtOnce("POST /admin/deployments/cluster/{it.pk}/test/", SENT),
    ),
    Action(
        "deploy a model",
        "deployments.actions.create_deployment",
        subject=lambda world, actor: Wanted(),
        api=EntryPoint(
            "POST /api/v1/deployments/",
            lambda world, it: {
                "version": str(it.version.pk),
                "cluster": it.cluster.name,
                "replicas": 1,
                "name": "fresh",
            },
        ),
        admin=EntryPoint(
            "POST /admin/deployments/deployment/add/",
            {"version": "{it.version.pk}", "cluster": "{it.cluster.pk}", "replicas": "1", "name": "fresh"},
        ),
    ),
    Action(
        "scale a deployment",
        "deployments.actions.scale_deployment",
        subject=deployment,
        api=EntryPoint("POST /api/v1/deployments/{it.pk}/scale/", {"replicas": 2}),
        admin=EntryPoint("POST /admin/deployments/deployment/{it.pk}/scale/", SENT | {"replicas": "2"}),
    ),
    Action(
        "give a deployment to one tenant",
        "deployments.sharing.dedicate",
        subject=deployment,
        api=EntryPoint("POST /api/v1/deployments/{it.pk}/dedicate/", {"tenant": "{w.tenant.slug}"}),
        admin=EntryPoint(
            "POST /admin/deployments/deployment/{it.pk}/dedicate/", SENT | {"tenant": "{w.tenant.slug}"}
        ),
    ),
    Action(
        "accept that tenants share a prefix cache",
        "deployments.sharing.accept_sharing",
        subject=deployment,
        api=EntryPoint(
            "POST /api/v1/deployments/{it.pk}/sharing/", {"reason": "One team behind all of them."}
        ),
        admin=EntryPoint(
            "POST /admin/deployments/deployment/{it.pk}/accept-sharing/", SENT | {"reason": "One team."}
        ),
    ),
    Action(
        "withdraw that acceptance",
        "deployments.sharing.withdraw_sharing",
        subject=shared_deployment,
        api=EntryPoint("DELETE /api/v1/deployments/{it.pk}/sharing/"),
        admin=EntryPoint("POST /admin/deployments/deployment/{it.pk}/withdraw-sharing/", SENT),
    ),
    Action(
        "state a separating field",
        "deployments.statements.state_separation",
        subject=unknown_deployment,
        api=EntryPoint(
            "POST /api/v1/deployments/{it.pk}/separation/", {"field": "tenant_tag", "reason": "Tried."}
        ),
        admin=EntryPoint(
            "POST /admin/deployments/deployment/{it.pk}/state-separation/",
            SENT | {"field": "tenant_tag", "reason": "Tried."},
        ),
    ),
    Action(
        "withdraw a stated field",
        "deployments.statements.withdraw_separation",
        subject=stated_deployment,
        api=EntryPoint("DELETE /api/v1/deployments/{it.pk}/separation/"),
        admin=EntryPoint("POST /admin/deployments/deployment/{it.pk}/withdraw-separation/", SENT),
    ),
    Action(
        "allow engine controls",
        "deployments.sharing.allow_controls",
        subject=deployment,
        api=EntryPoint("POST /api/v1/deployments/{it.pk}/controls/", {"controls": ["ignore_eos"]}),
        admin=EntryPoint(
            "POST /admin/deployments/deployment/{it.pk}/controls/", SENT | {"names": "ignore_eos"}
        ),
    ),
    Action(
        "delete a deployment",
        "deployments.actions.delete_deployment",
        subject=deployment,
        api=EntryPoint("DELETE /api/v1/deployments/{it.pk}/"),
        admin=EntryPoint("POST /admin/deployments/deployment/{it.pk}/remove/", SENT),
    ),
    Action(
        "change a route",
        "deployments.routes.change_route",
        subject=lambda world, actor: DeploymentFactory(),
        api=EntryPoint(
            "PUT /api/v1/routes/{it.version.model.route.pk}/",
            lambda world, it: {"generation": 0, "entries": [{"target": str(it.target.pk)}]},
        ),
        admin=EntryPoint(
            "POST /admin/deployments/route/{it.version.model.route.pk}/targets/",
            lambda world, it: {"generation": "0", f"weight_{it.target.pk}": "1", "save": "1"},
        ),
    ),
    Action(
        "set fallback models",
        "deployments.fallbacks.change_fallbacks",
        subject=lambda world, actor: DeploymentFactory(),
        api=EntryPoint(
            "PUT /api/v1/routes/{it.version.model.route.pk}/fallbacks/",
            lambda world, it: {"generation": 0, "models": [CatalogModelFactory().name]},
        ),
        admin=EntryPoint(
            "POST /admin/deployments/route/{it.version.model.route.pk}/fallbacks/",
            lambda world, it: {"generation": "0", "models": CatalogModelFactory().name, "save": "1"},
        ),
    ),
    Action(
        "set a smaller model",
        "deployments.degrading.change_degrading",
        subject=lambda world, actor: DeploymentFactory(),
        api=EntryPoint(
            "PUT /api/v1/routes/{it.version.model.route.pk}/degrading/",
            lambda world, it: {"generation": 0, "model": CatalogModelFactory().name, "money_percent": 80},
        ),
        admin=EntryPoint(
            "POST /admin/deployments/route/{it.version.model.route.pk}/degrading/",
            lambda world, it: {
                "generation": "0",
                "model": CatalogModelFactory().name,
                "money_percent": "80",
                "save": "1",
            },
        ),
    ),
    Action(
        "change how a route's calls are handled",
        "deployments.route_handling.change_handling",
        subject=lambda world, actor: DeploymentFactory(),
        api=EntryPoint(
            "PATCH /api/v1/routes/{it.version.model.route.pk}/handling/",
            {"generation": 0, "most_attempts": 2},
        ),
        admin=EntryPoint(
            "POST /admin/deployments/route/{it.version.model.route.pk}/handling/",
            {
                "generation": "0",
                "most_attempts": "2",
                "retry_percent": "20",
                "retries_per_second": "10",
                "probes": "",
                "is_sticky": "False",
                "save": "1",
            },
        ),
    ),
    Action(
        "register a gateway",
        "gateway.actions.register_gateway",
        admin=EntryPoint("POST /admin/gateway/gateway/register/", SENT | {"name": "edge-2"}),
    ),
    Action(
        "set the hosts of media",
        "gateway.actions.set_media_hosts",
        api=EntryPoint("POST /api/v1/media-hosts/", {"hosts": ["pictures.example.com"]}),
        admin=EntryPoint(
            "POST /admin/gateway/gateway/media-hosts/", SENT | {"hosts": "pictures.example.com"}
        ),
    ),
    Action(
        "set the order of regions",
        "gateway.actions.set_region_order",
        api=EntryPoint("POST /api/v1/region-order/", {"regions": ["eu-west-1", "eu"]}),
        admin=EntryPoint("POST /admin/gateway/gateway/region-order/", SENT | {"regions": "eu-west-1 eu"}),
    ),
    Action(
        "renew a gateway's token",
        "gateway.actions.renew_gateway_token",
        subject=gateway,
        admin=EntryPoint("POST /admin/gateway/gateway/{it.pk}/renew/", SENT),
    ),
    Action(
        "revoke a gateway",
        "gateway.actions.revoke_gateway",
        subject=gateway,
        admin=EntryPoint("POST /admin/gateway/gateway/{it.pk}/revoke/", SENT),
    ),
    Action(
        "add a key that signs configuration",
        "gateway.signing_actions.add_signing_key",
        api=EntryPoint("POST /api/v1/signing-keys/"),
        admin=EntryPoint("POST /admin/gateway/signingkey/add-key/", SENT),
    ),
    Action(
        "undo a revision of the configuration",
        "gateway.undo.undo_revision",
        subject=undoable_revision,
        api=EntryPoint("POST /api/v1/revisions/{it.revision}/undo/", {"reason": "Wrong host."}),
        admin=EntryPoint(
            "POST /admin/tenants/configchange/{it.revision}/undo/", SENT | {"reason": "Wrong host."}
        ),
    ),
    Action(
        "retire a key that signs configuration",
        "gateway.signing_actions.retire_signing_key",
        subject=older_signing_key,
        api=EntryPoint("POST /api/v1/signing-keys/{it.pk}/retire/"),
        admin=EntryPoint("POST /admin/gateway/signingkey/{it.pk}/retire/", SENT),
    ),
]
