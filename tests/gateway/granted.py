"""A project that may use a model, and a gateway that asks: what most tests of the control side begin with."""

from __future__ import annotations

from datetime import timedelta

import factory
from django.utils.timezone import now

from catalog.models import Grant
from deployments.models import RouteEntry
from deployments.routes import route_of
from gateway import actions
from gateway.changes import compile_changes
from gateway.compile import compile_everything
from gateway.contract import CONTRACT_VERSION
from gateway.signing import end_for
from tests.factories import (
    AccessRequestFactory,
    ApiKeyFactory,
    DeploymentFactory,
    ReviewFactory,
    staff,
)


def grant(key, model, *, data_class="internal", **fields):
    """A grant in force for the key's project, with the review that the database asks for."""
    access_request = AccessRequestFactory(
        tenant=key.tenant, project=key.project, model=model, data_class=data_class
    )
    review = ReviewFactory(tenant=key.tenant, access_request=access_request)
    review.decisions.create(tenant=key.tenant, reviewer=staff("security-reviewer"), verdict="approve")
    for row in (review, access_request):
        row.state, row.decided_at = "approved", now()
        row.save()
    item = access_request.items.get()
    item.key = key
    item.save()
    dates = {"valid_from": now() - timedelta(days=1), "valid_until": now() + timedelta(days=30)}
    return Grant.objects.create(
        tenant=key.tenant,
        project=key.project,
        model=model,
        item=item,
        **(dates | fields),
    )


class RouteEntryFactory(factory.django.DjangoModelFactory):
    """A target with one address that gets calls. Gateways learn of it with the next revision."""

    class Meta:
        model = RouteEntry
        skip_postgeneration_save = True

    class Params:
        deployment = factory.SubFactory(DeploymentFactory)

    target = factory.LazyAttribute(lambda entry: entry.deployment.target)
    route = factory.LazyAttribute(lambda entry: route_of(entry.deployment.version.model))

    @factory.post_generation
    def urls(self, create, extracted, **kwargs):
        for url in extracted or [f"http://127.0.0.1/{self.pk}/v1"]:
            self.target.addresses.create(url=url)


def key_for(project, *models, secret=None, **fields):
    """An active key of `project` with a grant for each of `models`."""
    fields |= {"secret": secret} if secret else {}
    key = ApiKeyFactory(
        tenant=project.tenant, project=project, model_names=[model.name for model in models], **fields
    )
    for model in models:
        grant(key, model)
    return key


def registered(name="gateway-1"):
    """A gateway and the headers with which it calls."""
    gateway, secret = actions.register_gateway(name, by=None)
    return gateway, {"Authorization": f"Bearer {secret}"}


def compiled(version=CONTRACT_VERSION):
    """Everything, as a gateway gets it."""
    *members, message = compile_everything(version)
    return b"".join(members) + end_for("edge-1", "")(message)


def compiled_changes(after, state, version=CONTRACT_VERSION):
    """The newest revision and what changed since `after`, as a gateway gets it; None if only everything will do."""
    found = compile_changes(after, state, version)
    return None if found is None else (found[0].revision, found[1] + end_for("edge-1", "")(found[0]))
