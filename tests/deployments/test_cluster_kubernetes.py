"""The Kubernetes driver against a real API server, scheduler and controllers."""

import base64
import contextlib
import json
import re
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from django.utils.translation import override
from kubernetes import client, config

from core.stored_words import retold
from deployments.cluster.base import PermanentClusterError, TemporaryClusterError
from deployments.cluster.kubernetes import KubernetesCluster
from deployments.manifests import engine_manifests
from tests.deployments.cluster_fixtures import ROOT, STUB_ID, eventually, with_args
from tests.patience import overload

pytest_plugins = ["tests.deployments.cluster_plugin"]
pytestmark = pytest.mark.kubernetes


@pytest.fixture
def admin(kube_config_path):
    """The client of an administrator, with whom to look and to disturb."""
    return config.new_client_from_config(str(kube_config_path))


@pytest.fixture
def arena(kubernetes_arena):
    return kubernetes_arena


@pytest.fixture
def namespace(arena, admin):
    name = arena.spec.namespace
    client.CoreV1Api(admin).create_namespace({"metadata": {"name": name}})
    return name


@pytest.fixture
def kubeconfig(kube_config_path):
    """The administrator's kubeconfig as one dictionary without references to files."""
    document = yaml.safe_load(Path(kube_config_path).read_text())
    cluster = document["clusters"][0]["cluster"]
    if "certificate-authority" in cluster:
        authority = Path(kube_config_path).parent / cluster.pop("certificate-authority")
        cluster["certificate-authority-data"] = base64.b64encode(authority.read_bytes()).decode()
    return document


def as_user(kubeconfig, token):
    return kubeconfig | {"users": [{"name": kubeconfig["users"][0]["name"], "user": {"token": token}}]}


def at(kubeconfig, server):
    entry = kubeconfig["clusters"][0]
    return kubeconfig | {"clusters": [entry | {"cluster": entry["cluster"] | {"server": server}}]}


@pytest.fixture
def account(namespace, admin, kubeconfig):
    """The kubeconfig of a service account without any permission."""
    core = client.CoreV1Api(admin)
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "quartermaster"}})
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": ["https://kubernetes.default.svc"]},
    }
    answer = core.create_namespaced_service_account_token("quartermaster", namespace, request)
    return as_user(kubeconfig, answer.status.token)


def grant_documented_role(admin, namespace):
    text = (ROOT / "docs" / "deployments.md").read_text()
    role = yaml.safe_load(re.search(r"```yaml\n(.*?kind: Role\n.*?)```", text, re.DOTALL)[1])
    rbac = client.RbacAuthorizationV1Api(admin)
    rbac.create_namespaced_role(namespace, role)
    binding = {
        "metadata": {"name": "quartermaster"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "quartermaster"},
        "subjects": [{"kind": "ServiceAccount", "name": "quartermaster", "namespace": namespace}],
    }
    rbac.create_namespaced_role_binding(namespace, binding)


def test_an_account_without_rights_is_told_which_verb_it_lacks(arena, account):
    cluster = KubernetesCluster.from_text(account)
    with pytest.raises(PermanentClusterError, match=r"may not get deployments\.apps in namespace"):
        cluster.apply(engine_manifests(arena.spec))
    with pytest.raises(PermanentClusterError, match=r"may not get deployments\.apps in namespace"):
        cluster.observe(arena.spec.namespace, arena.spec.name, arena.spec.deployment_id)
    facts = cluster.check(arena.spec.namespace)
    assert "patch deployments.apps" in facts.missing_permissions
    assert "list pods" in facts.missing_permissions
    assert len(facts.missing_permissions) == 9
    assert facts.resources == {}


def test_the_role_in_the_documentation_is_enough(arena, account, admin):
    grant_documented_role(admin, arena.spec.namespace)
    arena.cluster = KubernetesCluster.from_text(yaml.safe_dump(account))
    facts = eventually(
        lambda: (found := arena.cluster.check(arena.spec.namespace)).missing_permissions == () and found
    )
    assert facts.version.startswith("v1.")
    arena.apply(arena.spec)
    arena.settled(arena.spec)
    arena.delete()
    arena.gone()


def test_a_missing_namespace_needs_a_right_or_a_command(arena, account):
    elsewhere = replace(arena.spec, namespace=f"{arena.spec.namespace}-x")
    with pytest.raises(PermanentClusterError):
        KubernetesCluster.from_text(account).apply(engine_manifests(elsewhere))


def test_a_withdrawn_token_is_named_as_the_cause(kubeconfig):
    cluster = KubernetesCluster.from_text(as_user(kubeconfig, "expired"))
    with pytest.raises(TemporaryClusterError, match="rejects our credentials"):
        # A 401 names no object, so a proxy may have said it.
        cluster.observe("default", "anything", STUB_ID)


class Relay:
    """An entry point in front of the API server that can be shut, as when a server or the way to it is away."""

    def __init__(self, target):
        self.target = target
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.listener, self.open_sockets = None, []

    def open(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=[self.listener], daemon=True).start()

    def shut(self):
        with contextlib.suppress(OSError):
            # Wakes the thread that accepts.
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for other in self.open_sockets:
            with contextlib.suppress(OSError):
                other.shutdown(socket.SHUT_RDWR)
            other.close()
        self.open_sockets.clear()

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self.target)
                self.open_sockets += [near, far]
                for source, sink in [(near, far), (far, near)]:
                    threading.Thread(target=self._copy, args=[source, sink], daemon=True).start()

    @staticmethod
    def _copy(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


def test_an_api_server_that_is_away_is_a_temporary_error_and_work_goes_on_when_it_is_back(arena, kubeconfig):
    address = urlsplit(kubeconfig["clusters"][0]["cluster"]["server"])
    relay = Relay((address.hostname, address.port))
    arena.cluster = KubernetesCluster.from_text(at(kubeconfig, f"https://127.0.0.1:{relay.port}"))
    try:
        with pytest.raises(TemporaryClusterError, match="does not answer"):
            arena.apply(arena.spec)
        relay.open()
        arena.apply(arena.spec)
        arena.settled(arena.spec)
        relay.shut()
        for ask in (arena.observe, arena.delete, lambda: arena.cluster.check("default")):
            with pytest.raises(TemporaryClusterError, match="does not answer"):
                ask()
        relay.open()
        changed = with_args(arena.spec, "--say", "again")
        eventually(lambda: arena.apply(changed))
        arena.settled(changed)
        arena.delete()
        arena.gone()
    finally:
        relay.shut()


def test_an_api_server_that_never_answers_is_given_up_in_time(kubeconfig):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = f"https://127.0.0.1:{silent.getsockname()[1]}"
        cluster = KubernetesCluster.from_text(at(kubeconfig, server), timeout_seconds=0.3)
        started = time.monotonic()
        with pytest.raises(TemporaryClusterError, match="does not answer"):
            cluster.observe("default", "anything", STUB_ID)
        assert time.monotonic() - started < 9 * overload()


def test_an_unknown_certificate_is_never_trusted(kubeconfig):
    entry = kubeconfig["clusters"][0]
    cluster = {key: value for key, value in entry["cluster"].items() if key != "certificate-authority-data"}
    stranger = kubeconfig | {"clusters": [entry | {"cluster": cluster}]}
    with pytest.raises(PermanentClusterError, match="certificate is not trusted"):
        KubernetesCluster.from_text(stranger).observe("default", "anything", STUB_ID)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"users": [{"name": "u", "user": {"exec": {"command": "rm"}}}]}, r"programs or files .*\(exec\)"),
        ({"users": [{"name": "u", "user": {"tokenFile": "/etc/shadow"}}]}, r"\(tokenFile\)"),
        ({"users": "nobody"}, "is not usable"),
        ({"current-context": "elsewhere"}, "is not usable"),
    ],
)
def test_a_kubeconfig_we_were_given_cannot_run_or_read_anything_here(kubeconfig, change, complaint):
    with pytest.raises(PermanentClusterError, match=complaint):
        KubernetesCluster.from_text(kubeconfig | change)


@pytest.mark.parametrize("text", ["", "just words", "{", "[]"])
def test_what_is_no_kubeconfig_is_refused(text):
    with pytest.raises(PermanentClusterError, match="kubeconfig is not usable"):
        KubernetesCluster.from_text(text)


@pytest.mark.parametrize(
    ("text", "place"), [("{", "line 1, column 2"), ("a: 1\nhidden: [", "line 2, column 10")]
)
def test_what_is_no_yaml_is_named_by_its_place_and_said_in_chinese(text, place):
    with pytest.raises(PermanentClusterError, match=f"It is not YAML from {place} on") as refused:
        KubernetesCluster.from_text(text)
    assert "hidden" not in str(refused.value)
    with override("zh-hans"):
        said = retold(str(refused.value))
    assert "YAML" in said
    assert not said.isascii()
    assert "not" not in said


def test_a_missing_kubeconfig_file_and_a_missing_service_account_are_permanent_errors(tmp_path):
    with pytest.raises(PermanentClusterError, match="is not usable"):
        KubernetesCluster.from_file(tmp_path / "absent")
    with pytest.raises(PermanentClusterError, match="is not usable"):
        KubernetesCluster.in_cluster()


def test_what_somebody_changed_by_hand_is_put_back_and_what_they_added_stays(arena, admin):
    arena.apply(arena.spec)
    arena.settled(arena.spec)
    apps = client.AppsV1Api(admin)
    by_hand = {"metadata": {"labels": {"owner": "ops"}}, "spec": {"replicas": 5}}
    apps.patch_namespaced_deployment(
        arena.spec.name, arena.spec.namespace, by_hand, field_manager="kubectl-edit"
    )
    assert arena.observe().wanted_replicas == 5
    assert arena.apply(arena.spec).wanted_replicas == 1
    stored = apps.read_namespaced_deployment(arena.spec.name, arena.spec.namespace)
    assert stored.metadata.labels["owner"] == "ops"
    appliers = {entry.manager for entry in stored.metadata.managed_fields if entry.operation == "Apply"}
    assert appliers == {"quartermaster"}


def test_a_full_quota_is_a_condition_that_says_so(arena, namespace, admin):
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"pods": "1"}}}
    core = client.CoreV1Api(admin)
    core.create_namespaced_resource_quota(namespace, quota)
    eventually(lambda: core.read_namespaced_resource_quota("small", namespace).status.hard)
    arena.apply(replace(arena.spec, replicas=3))

    def exceeded():
        seen = arena.observe()
        return seen if seen.ready_replicas == 1 and seen.problems else None

    (problem,) = eventually(exceeded).problems
    assert problem.type == "QuotaExceeded"
    assert "exceeded quota: small" in problem.message


def test_deleting_leaves_nothing_behind(arena, admin):
    arena.apply(arena.spec)
    arena.settled(arena.spec)
    arena.delete()
    arena.gone()
    label = f"quartermaster.dev/deployment={arena.spec.deployment_id}"
    core, apps = client.CoreV1Api(admin), client.AppsV1Api(admin)
    for list_all in [
        core.list_service_for_all_namespaces,
        core.list_pod_for_all_namespaces,
        apps.list_deployment_for_all_namespaces,
        apps.list_replica_set_for_all_namespaces,
    ]:
        assert list_all(label_selector=label).items == []


def test_what_is_not_ours_is_not_deleted(arena, namespace, admin):
    theirs = {
        "metadata": {"name": arena.spec.name},
        "spec": {"ports": [{"port": 80, "protocol": "TCP"}]},
    }
    core = client.CoreV1Api(admin)
    core.create_namespaced_service(namespace, theirs)
    with pytest.raises(PermanentClusterError, match="was not made by Quartermaster"):
        arena.delete()
    core.delete_namespaced_service(arena.spec.name, namespace, _preload_content=False)


def test_a_deployment_of_another_id_under_the_same_name_is_refused(arena):
    arena.apply(arena.spec)
    with pytest.raises(PermanentClusterError, match="belongs to another deployment"):
        arena.apply(replace(arena.spec, deployment_id="another"))


def assert_holds(stored, wanted, path="object"):
    """Everything in `wanted` is in `stored`, spelled alike; the server may have added more."""
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            assert_holds(stored[key], value, f"{path}.{key}")
    elif isinstance(wanted, list):
        assert len(stored) == len(wanted), path
        for number, value in enumerate(wanted):
            assert_holds(stored[number], value, f"{path}[{number}]")
    else:
        assert stored == wanted, path


def test_the_server_keeps_what_we_write_as_we_wrote_it(arena, admin):
    spec = replace(arena.spec, cpu="1000m", memory="1024Mi", gpus_per_replica=1)
    arena.apply(spec)
    arena.settled(spec)
    deployment, service = engine_manifests(spec)
    for read, wanted in [
        (client.AppsV1Api(admin).read_namespaced_deployment, deployment),
        (client.CoreV1Api(admin).read_namespaced_service, service),
    ]:
        assert_holds(json.loads(read(spec.name, spec.namespace, _preload_content=False).data), wanted)
    assert arena.apply(spec).cluster_generation == 1


def test_a_deployment_is_not_gone_while_a_pod_of_it_is_left(arena, admin):
    arena.apply(arena.spec)
    arena.settled(arena.spec)
    core = client.CoreV1Api(admin)
    (pod,) = core.list_namespaced_pod(arena.spec.namespace).items
    held = {"metadata": {"finalizers": ["quartermaster.dev/test-holds-it"]}}
    core.patch_namespaced_pod(pod.metadata.name, arena.spec.namespace, held)
    arena.delete()
    eventually(
        lambda: core.read_namespaced_pod(pod.metadata.name, arena.spec.namespace).metadata.deletion_timestamp
    )
    assert [condition.type for condition in arena.observe().conditions] == ["Terminating"]
    core.patch_namespaced_pod(pod.metadata.name, arena.spec.namespace, {"metadata": {"finalizers": None}})
    arena.gone()


def test_what_is_being_deleted_is_not_mistaken_for_what_is_wanted(arena, admin):
    arena.apply(arena.spec)
    arena.settled(arena.spec)
    apps = client.AppsV1Api(admin)
    held = {"metadata": {"finalizers": ["quartermaster.dev/test-holds-it"]}}
    apps.patch_namespaced_deployment(arena.spec.name, arena.spec.namespace, held)
    arena.delete()
    with pytest.raises(TemporaryClusterError, match="still being deleted"):
        arena.apply(arena.spec)
    assert [condition.type for condition in arena.observe().conditions] == ["Terminating"]
    release = {"metadata": {"finalizers": None}}
    apps.patch_namespaced_deployment(arena.spec.name, arena.spec.namespace, release)
    arena.gone()


def test_pods_that_somebody_left_behind_are_not_gone(arena, admin):
    arena.apply(arena.spec)
    arena.settled(arena.spec)
    apps, core, namespace = client.AppsV1Api(admin), client.CoreV1Api(admin), arena.spec.namespace
    apps.delete_namespaced_deployment(arena.spec.name, namespace, propagation_policy="Orphan")
    eventually(lambda: apps.list_namespaced_deployment(namespace).items == [])
    arena.delete()
    (condition,) = arena.observe().conditions
    (pod,) = core.list_namespaced_pod(namespace).items
    assert condition.reason == "PodsLeft"
    assert pod.metadata.name in condition.message
    (selector,) = re.findall(r" -l (\S+)$", condition.message)
    apps.delete_collection_namespaced_replica_set(namespace, label_selector=selector)
    core.delete_collection_namespaced_pod(namespace, label_selector=selector)
    arena.gone()
