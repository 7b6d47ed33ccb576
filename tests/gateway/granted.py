"""A project that may use a model, and a gateway that asks: what most tests of the control side begin with."""

from __future__ import annotations

from datetime import timedelta

import factory
from django.utils.timezone import now

from catalog.models import Grant
from deployments.models import Backend, Route
from gateway import actions
from tests.factories import (
    AccessRequestFactory,
    ApiKeyFactory,
    DeploymentFactory,
    ReviewFactory,
    staff,
)


def grant(key, model, **fields):
    """A grant in force for the key's project, with the review that the database asks for."""
    access_request = AccessRequestFactory(tenant=key.tenant, project=key.project, model=model)
    review = ReviewFactory(tenant=key.tenant, access_request=access_request)
    review.decisions.create(tenant=key.tenant, reviewer=staff("security-reviewer"), verdict="approve")
    for row in (review, access_request):
        row.state, row.decided_at = "approved", now()
        row.save()
    dates = {"valid_from": now() - timedelta(days=1), "valid_until": now() + timedelta(days=30)}
    return Grant.objects.create(
        tenant=key.tenant,
        project=key.project,
        model=model,
        key=key,
        access_request=access_request,
        **(dates | fields),
    )


class BackendFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Backend

    deployment = factory.SubFactory(DeploymentFactory)
    route = factory.LazyAttribute(
        lambda backend: Route.objects.get_or_create(model=backend.deployment.version.model)[0]
    )
    url = factory.Sequence("http://127.0.0.1:{}/v1".format)
    upstream_model = factory.SelfAttribute("deployment.version.upstream_name")


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
