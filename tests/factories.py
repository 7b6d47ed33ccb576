"""Valid rows, one factory a model; a test names only what it is about."""

from __future__ import annotations

from datetime import timedelta

import factory
from django.utils.timezone import now

from accounts.actions import make_staff
from accounts.models import User
from catalog.models import AccessRequest, CatalogModel, ModelVersion, RequestItem, Review
from core.ids import uuid7
from core.secrets import digest, new_key_secret, visible_prefix
from deployments.models import Cluster, Deployment, EgressPolicy, Provider, ProviderModel, Target
from deployments.provider_credentials import clean_credential, row_of
from deployments.routes import change_route, plan_with, route_of
from deployments.runtimes import facts_of
from tenants import actions
from tenants.models import ApiKey, DataClass, Project, Tenant


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = User
        skip_postgeneration_save = True

    email = factory.Sequence("person{}@example.com".format)
    name = factory.Sequence("Person {}".format)
    password = factory.django.Password("correct horse battery staple")


class TenantFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Tenant

    slug = factory.Sequence("tenant-{}".format)
    name = factory.Sequence("Tenant {}".format)
    highest_data_class = DataClass.CONFIDENTIAL


class TenantOwnedFactory(factory.django.DjangoModelFactory):
    class Meta:
        abstract = True

    tenant = factory.SubFactory(TenantFactory)


class ProjectFactory(TenantOwnedFactory):
    class Meta:
        model = Project

    slug = factory.Sequence("project-{}".format)
    name = factory.Sequence("Project {}".format)


class ApiKeyFactory(TenantOwnedFactory):
    """An active key; its secret, which no row holds, is `key.secret` in the test."""

    class Meta:
        model = ApiKey

    class Params:
        secret = factory.LazyFunction(new_key_secret)

    project = factory.SubFactory(ProjectFactory, tenant=factory.SelfAttribute("..tenant"))
    name = factory.Sequence("key-{}".format)
    state = ApiKey.State.ACTIVE
    prefix = factory.LazyAttribute(lambda key: visible_prefix(key.secret))
    digest = factory.LazyAttribute(lambda key: digest(key.secret))
    claimed_at = factory.LazyFunction(now)

    @classmethod
    def claimable(cls, **fields):
        return cls(state=ApiKey.State.CLAIMABLE, digest=None, prefix="", claimed_at=None, **fields)


class CatalogModelFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = CatalogModel

    name = factory.Sequence("model-{}".format)
    title = factory.Sequence("Model {}".format)
    mode = "chat"
    lifecycle = CatalogModel.Lifecycle.PUBLISHED
    highest_data_class = DataClass.CONFIDENTIAL
    search_text = factory.LazyAttribute(lambda model: f"{model.name} {model.title}")


class ModelVersionFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = ModelVersion

    model = factory.SubFactory(CatalogModelFactory)
    org = "quartermaster"
    version = "1"
    upstream_name = factory.SelfAttribute("model.name")
    image = "quartermaster/demo-engine:1"
    command = [
        "python",
        "-m",
        "deployments.engine",
        "--host",
        "127.0.0.1",
        "--port",
        "{port}",
        "--model",
        "{model}",
    ]


class AccessRequestFactory(TenantOwnedFactory):
    """A request with one item, which has the request's id. What the item has is said here too."""

    class Meta:
        model = AccessRequest

    id = factory.LazyFunction(uuid7)
    project = factory.SubFactory(ProjectFactory, tenant=factory.SelfAttribute("..tenant"))
    model = factory.SubFactory(CatalogModelFactory)
    data_class = DataClass.INTERNAL
    expected_tokens_per_day = 100_000
    requested_by = factory.SubFactory(UserFactory)
    purpose = "Draft replies to letters; a person reads every one."
    facts = factory.LazyAttribute(
        lambda asked: {
            str(asked.id): {
                "expected_monthly_cost": None,
                "currency": "USD",
                "risk_tier": asked.model.risk_tier,
                "data_class": asked.data_class,
                "is_new_to_project": True,
            }
        }
    )

    @classmethod
    def _create(cls, model_class, *args, **fields):
        names = ("project", "model", "data_class", "expected_tokens_per_day")
        of_item = {name: fields.pop(name) for name in names}
        asked = super()._create(model_class, *args, **fields)
        RequestItem.objects.create(id=asked.pk, tenant=asked.tenant, access_request=asked, **of_item)
        return asked


class ReviewFactory(TenantOwnedFactory):
    class Meta:
        model = Review

    access_request = factory.SubFactory(AccessRequestFactory, tenant=factory.SelfAttribute("..tenant"))
    track_id = "security"
    reason = "Every new model is looked at once."
    due_at = factory.LazyFunction(lambda: now() + timedelta(days=1))


class ClusterFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Cluster

    name = factory.Sequence("cluster-{}".format)
    driver = Cluster.Driver.LOCAL


class DeploymentFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Deployment
        skip_postgeneration_save = True

    name = factory.Sequence("deployment-{}".format)
    version = factory.SubFactory(ModelVersionFactory)
    cluster = factory.SubFactory(ClusterFactory)
    cache_key_field = factory.LazyAttribute(
        lambda it: facts_of(it.version.image, it.version.command).cache_key_field
    )

    @factory.post_generation
    def target(self, create, extracted, **fields):
        """As `create_deployment` makes them: a target, and an empty route for its model."""
        Target.objects.create(deployment=self, **fields)
        route_of(self.version.model)


def routed(deployment, *urls, weight=1, priority=0):
    """Give a deployment's target a share of the calls to its model, as somebody does on the route's page."""
    route = route_of(deployment.version.model)
    plan = plan_with(route, deployment.target, weight=weight, priority=priority)
    for url in urls:
        deployment.target.addresses.create(url=url)
    change_route(route.pk, plan, based_on=route.generation, by=None)
    return deployment


def now_wants(deployment, **fields):
    """Make a deployment want a version that runs otherwise in these fields, which no cluster has been told yet."""
    old = deployment.version
    runs = {name: getattr(old, name) for name in ModelVersion.RUNS} | fields
    number = old.model.versions.count() + 1
    deployment.version = ModelVersionFactory(model=old.model, version=str(number), **runs)
    deployment.save(update_fields=["version"])


class ProviderFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Provider

    name = factory.Sequence("provider-{}".format)
    title = factory.Sequence("Provider {}".format)
    dialect = "openai"
    base_url = "https://api.example.com/v1"


class ProviderModelFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = ProviderModel

    provider = factory.SubFactory(ProviderFactory)
    name = factory.Sequence("model-of-provider-{}".format)


def credential_of(provider, secret, **fields):
    """A stored credential in force."""
    row = row_of(provider, clean_credential("stored", secret, ""))
    for name, value in fields.items():
        setattr(row, name, value)
    row.save()
    return row


def allow_loopback():
    """Let providers be on this machine, where a test's own are."""
    EgressPolicy.objects.update_or_create(pk=1, defaults={"allowed_networks": ["127.0.0.0/8"]})


def member_of(tenant, role, **fields):
    """A person with `role` in `tenant`."""
    user = UserFactory(**fields)
    actions.add_member(tenant, user, role, by=None)
    return user


def staff(role, **fields):
    """A person with a platform-side role."""
    user = UserFactory(**fields)
    make_staff(user, role, by=None)
    return user
