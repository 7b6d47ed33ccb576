"""An engine host for tests, the specification of an engine, and a way to wait. The fixtures are in
cluster_plugin.py."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from deployments.cluster.base import TemporaryClusterError, find_deployment
from deployments.cluster.local import LocalCluster
from deployments.engine_host.state import StateDirectory, file_name, read_document, write_document
from deployments.manifests import EngineSpec, RuntimeSpec, engine_manifests

TINY_ENGINE = str(Path(__file__).with_name("tiny_engine.py"))
STUB_ID = "0199aaaa-0000-7000-8000-000000000001"
ROOT = Path(__file__).resolve().parents[2]


def eventually(claim, within_seconds=90):
    """Ask again and again until the answer is true; return it. What is away for a moment says no."""
    deadline = time.monotonic() + within_seconds
    answer = None
    while time.monotonic() < deadline:
        try:
            answer = claim()
        except (TemporaryClusterError, OSError) as error:
            answer = error
        else:
            if answer:
                return answer
        time.sleep(0.03)
    pytest.fail(f"still {answer!r} after {within_seconds} s")
    return None


def ask(url, timeout_seconds=5):
    with urllib.request.urlopen(url, timeout=timeout_seconds) as response:
        return json.load(response)


def engine_spec(**changes):
    spec = EngineSpec(
        deployment_id=str(uuid.uuid4()),
        generation=1,
        name="smollm",
        namespace="quartermaster",
        model="smollm-135m",
        upstream_model="HuggingFaceTB/SmolLM-135M",
        version="1",
        runtime=RuntimeSpec(
            image="registry.example/engine:1",
            command=("python", TINY_ENGINE, "--host", "{host}", "--port", "{port}"),
        ),
        startup_timeout_seconds=20,
        shutdown_timeout_seconds=5,
    )
    return replace(spec, **changes)


def with_args(spec, *args):
    return replace(spec, runtime=replace(spec.runtime, args=args), generation=spec.generation + 1)


class Host:
    """An engine host as its own process, as in real life."""

    def __init__(self, state_dir, *options):
        self.state_dir = state_dir
        self.options = options
        self.process = None

    def start(self):
        command = [sys.executable, "-m", "deployments.engine_host", "--state-dir", str(self.state_dir)]
        pace = ["--first-pause-seconds", "0.05", "--drain-seconds", "0", "--shutdown-seconds", "5"]
        environment = os.environ | {"SECRET_KEY": "not-for-engines"}
        self.process = subprocess.Popen([*command, *pace, *self.options], cwd=ROOT, env=environment)
        cluster = LocalCluster(self.state_dir)
        eventually(lambda: cluster.check("any"))
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM, as the supervisor does. Returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=15)


class Arena:
    """One cluster under test, with one deployment of its own and the ways to disturb it."""

    def __init__(self, cluster, tamper=None):
        self.cluster = cluster
        self._tamper = tamper
        self.spec = engine_spec(namespace=f"t-{uuid.uuid4().hex[:10]}")

    def apply(self, spec):
        return self.cluster.apply(engine_manifests(spec))

    def observe(self):
        return self.cluster.observe(self.spec.namespace, self.spec.name, self.spec.deployment_id)

    def delete(self):
        self.cluster.delete(self.spec.namespace, self.spec.name, self.spec.deployment_id)

    def tamper(self, replicas):
        """Change the number of replicas behind our back, by whatever way this kind of cluster has."""
        self._tamper(self.spec.namespace, self.spec.name, replicas)

    def settled(self, spec):
        """Wait until exactly `spec` runs."""
        digest = engine_manifests(spec)[0]["metadata"]["annotations"]["quartermaster.dev/spec-digest"]

        def claim():
            seen = self.observe()
            return seen if seen.is_settled and seen.spec_digest == digest else None

        return eventually(claim)

    def gone(self):
        return eventually(lambda: self.observe() is None)


def edit_the_file(state_dir):
    """How somebody changes what runs on an engine host: with an editor."""

    def tamper(namespace, name, replicas):
        file = StateDirectory(state_dir).desired / file_name(namespace, name)
        document = read_document(file)
        find_deployment(document["manifests"])["spec"]["replicas"] = replicas
        write_document(file, document)

    return tamper


def edit_with_kubectl(kube_config_path):
    """How somebody changes a Deployment on Kubernetes."""
    # Slow to import; the others do without.
    from kubernetes import client, config

    apps = client.AppsV1Api(config.new_client_from_config(str(kube_config_path)))

    def tamper(namespace, name, replicas):
        change = {"spec": {"replicas": replicas}}
        apps.patch_namespaced_deployment(name, namespace, change, field_manager="kubectl-edit")

    return tamper
