"""Operators and their automation see and change where models run; nobody else knows of it."""

import pytest
from rest_framework.test import APIClient

from deployments.models import Deployment
from tests.factories import ClusterFactory, DeploymentFactory, ModelVersionFactory, staff

DEPLOYMENTS = "/api/v1/deployments/"


@pytest.fixture
def deployment(db):
    return DeploymentFactory(name="chat", cluster=ClusterFactory(name="local"))


def as_user(user):
    client = APIClient()
    client.force_authenticate(user)
    return client


def test_an_operator_sees_what_is_wanted_and_what_was_seen(operator, deployment):
    [row] = as_user(operator).get(DEPLOYMENTS).json()["results"]
    assert (row["name"], row["cluster"], row["state"], row["addresses"]) == ("chat", "local", "starting", [])
    assert (row["target"], row["gets_traffic"]) == (str(deployment.target.pk), False)
    assert row["model"] == deployment.version.model.name
    assert as_user(operator).get(f"{DEPLOYMENTS}{deployment.pk}/").json()["id"] == str(deployment.pk)
    [cluster] = as_user(operator).get("/api/v1/clusters/").json()["results"]
    assert (cluster["name"], "kubeconfig_path" in cluster) == ("local", False)


def test_the_list_costs_the_same_for_many(operator, deployment, django_assert_max_num_queries):
    for _ in range(5):
        DeploymentFactory(cluster=deployment.cluster)
    client = as_user(operator)
    with django_assert_max_num_queries(6):
        assert len(client.get(DEPLOYMENTS).json()["results"]) == 6


def test_an_operator_creates_scales_and_deletes(operator, deployment):
    client = as_user(operator)
    wanted = {"version": str(ModelVersionFactory().pk), "cluster": "local", "replicas": 2, "name": "two"}
    created = client.post(DEPLOYMENTS, wanted, format="json")
    assert (created.status_code, created.json()["generation"]) == (201, 1)
    path = f"{DEPLOYMENTS}{created.json()['id']}/"
    scaled = client.post(f"{path}scale/", {"replicas": 3}, format="json")
    assert (scaled.status_code, scaled.json()["replicas"], scaled.json()["generation"]) == (200, 3, 2)
    gone = client.delete(path)
    assert (gone.status_code, gone.json()["is_deleted"]) == (202, True)
    assert client.delete(path).status_code == 409


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"name": "chat"}, 409),
        ({"name": "Not a label"}, 400),
        ({"replicas": -1}, 400),
        ({"replicas": 1000}, 400),
        ({"cluster": "nowhere"}, 400),
        ({"version": "x"}, 400),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(operator, deployment, change, status):
    wanted = {
        "version": str(deployment.version.pk),
        "cluster": "local",
        "replicas": 1,
        "name": "new",
    } | change
    answer = as_user(operator).post(DEPLOYMENTS, wanted, format="json")
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
    assert Deployment.objects.count() == 1


def test_a_tenants_people_find_nothing_and_change_nothing(owner, deployment):
    client = as_user(owner)
    assert client.get(DEPLOYMENTS).status_code == 403
    assert client.get("/api/v1/clusters/").status_code == 403
    assert client.get(f"{DEPLOYMENTS}{deployment.pk}/").status_code == 404
    assert client.get(f"/api/v1/clusters/{deployment.cluster.pk}/").status_code == 404
    assert client.post(f"{DEPLOYMENTS}{deployment.pk}/scale/", {"replicas": 0}).status_code == 404
    assert client.delete(f"{DEPLOYMENTS}{deployment.pk}/").status_code == 404
    assert client.post(DEPLOYMENTS, {}, format="json").status_code == 403
    assert APIClient().get(DEPLOYMENTS).status_code == 401


def test_a_reviewer_is_no_operator(deployment):
    client = as_user(staff("security-reviewer"))
    assert client.post(DEPLOYMENTS, {}, format="json").status_code == 403
    assert client.delete(f"{DEPLOYMENTS}{deployment.pk}/").status_code == 404
