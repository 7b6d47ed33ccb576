"""Run a throw-away Kubernetes control plane on free loopback ports, with fake GPU nodes, until told to stop.

    python -m tests.kube.control_plane DIRECTORY

The directory receives `admin.kubeconfig`, a log per program, and `ready` once the nodes are Ready.
Ctrl-C or SIGTERM stops everything; so does the end of this process, however it comes about.
"""

import argparse
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from launcher.ports import free_port
from launcher.processes import Command, is_alive, spawn, stop

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
NODES = ("gpu-0", "gpu-1")


def binaries_directory() -> Path:
    """Where the programs are: KUBEBUILDER_ASSETS, or what build.sh made."""
    if given := os.environ.get("KUBEBUILDER_ASSETS"):
        return Path(given)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "quartermaster" / "kube" / "bin"


def missing_programs() -> str:
    """Name what a control plane needs and this machine lacks; empty when all is here."""
    missing = [
        str(binaries_directory() / name) for name in PROGRAMS if not (binaries_directory() / name).exists()
    ]
    if shutil.which("openssl") is None:
        missing.append("openssl")
    return ", ".join(missing)


class ControlPlane:
    """The processes of one control plane."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.pki = self.directory / "pki"
        self.port = free_port()
        self.etcd_port = free_port()
        self.tokens = {name: secrets.token_hex(16) for name in ("admin", "controller-manager", "scheduler")}
        self.processes: list[subprocess.Popen] = []

    def start(self) -> None:
        """Start all parts in order, each when what it needs answers."""
        self.pki.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make_certificates()
        self._write_tokens()
        self._start_etcd()
        self._start_api_server()
        self._wait("the API server", self._api_server_is_ready)
        self._start_controllers()
        self._run(
            [sys.executable, "-m", "tests.kube.fake_kubelet", *NODES],
            KUBECONFIG=str(self.directory / "admin.kubeconfig"),
            PYTHONPATH=str(Path(__file__).parents[2]),
        )
        self._wait("the nodes", self._nodes_are_ready)
        (self.directory / "ready").touch()

    def stop(self) -> None:
        """Stop all parts, last first."""
        for process in reversed(self.processes):
            stop(process, signal.SIGTERM, timeout_seconds=3)

    def _run(self, arguments: list[str], **environment: str) -> None:
        name = Path(arguments[0]).name if "-m" not in arguments else "fake_kubelet"
        command = Command(tuple(arguments), environment, directory=self.directory)
        with (self.directory / f"{name}.log").open("wb") as log:
            self.processes.append(spawn(command, output=log))

    def _wait(self, what: str, is_ready) -> None:
        deadline = time.monotonic() + 60
        while not is_ready():
            for process in self.processes:
                if process.poll() is not None:
                    raise SystemExit(
                        f"{process.args[-1]} ended while {what} was awaited; see {self.directory}"
                    )
            if time.monotonic() > deadline:
                raise SystemExit(f"{what} not ready after 60 s; see the logs in {self.directory}")
            time.sleep(0.1)

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.pki, check=True, capture_output=True)

    def _make_certificates(self) -> None:
        """One authority, one serving certificate, one key pair for service accounts."""
        extensions = (
            "subjectAltName=IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes.default.svc\n"
            "extendedKeyUsage=serverAuth\n"
        )
        (self.pki / "extensions").write_text(extensions)
        new_key = ("req", "-newkey", "rsa:2048", "-nodes")
        self._openssl(
            *new_key, "-x509", "-days", "30", "-subj", "/CN=test", "-keyout", "ca.key", "-out", "ca.crt"
        )
        self._openssl(*new_key, "-subj", "/CN=kube-apiserver", "-keyout", "tls.key", "-out", "tls.csr")
        self._openssl(
            *("x509", "-req", "-in", "tls.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", "30", "-extfile", "extensions", "-out", "tls.crt"),
        )
        self._openssl("genrsa", "-out", "sa.key", "2048")
        self._openssl("rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub")

    def _write_tokens(self) -> None:
        rows = (
            f"{self.tokens['admin']},admin,admin,system:masters",
            f"{self.tokens['controller-manager']},system:kube-controller-manager,controller-manager,",
            f"{self.tokens['scheduler']},system:kube-scheduler,scheduler,",
        )
        self._write_private(self.pki / "tokens.csv", "\n".join(rows) + "\n")
        for name, token in self.tokens.items():
            self._write_private(self.directory / f"{name}.kubeconfig", self._kubeconfig(token))

    def _kubeconfig(self, token: str) -> str:
        return f"""\
apiVersion: v1
kind: Config
current-context: test
clusters:
- name: test
  cluster: {{server: "https://127.0.0.1:{self.port}", certificate-authority: "{self.pki}/ca.crt"}}
users:
- name: test
  user: {{token: "{token}"}}
contexts:
- name: test
  context: {{cluster: test, user: test}}
"""

    def _write_private(self, path: Path, text: str) -> None:
        path.touch(mode=0o600)
        path.write_text(text)

    def _start_etcd(self) -> None:
        clients, peers = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{free_port()}"
        etcd = str(binaries_directory() / "etcd")
        usage = subprocess.run([etcd, "--help"], capture_output=True, text=True)
        self._run(
            [
                etcd,
                *("--data-dir", str(self.directory / "etcd")),
                *("--listen-client-urls", clients, "--advertise-client-urls", clients),
                *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
                *("--initial-cluster", f"default={peers}"),
                *(["--unsafe-no-fsync"] if "--unsafe-no-fsync" in usage.stdout + usage.stderr else []),
            ]
        )

    def _start_api_server(self) -> None:
        pki = self.pki
        program = str(binaries_directory() / "kube-apiserver")
        self._run(
            [
                program,
                f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
                *("--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--secure-port={self.port}"),
                *self._without_insecure_port(program, "--insecure-port=0"),
                *(
                    f"--cert-dir={pki}",
                    f"--tls-cert-file={pki}/tls.crt",
                    f"--tls-private-key-file={pki}/tls.key",
                ),
                *(f"--client-ca-file={pki}/ca.crt", f"--token-auth-file={pki}/tokens.csv"),
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={pki}/sa.pub",
                f"--service-account-signing-key-file={pki}/sa.key",
                "--service-cluster-ip-range=10.96.0.0/16",
                *(
                    "--allow-privileged=true",
                    "--endpoint-reconciler-type=none",
                    "--etcd-compaction-interval=0",
                ),
            ]
        )

    def _start_controllers(self) -> None:
        for name, options in {
            "kube-controller-manager": (
                f"--service-account-private-key-file={self.pki}/sa.key",
                f"--root-ca-file={self.pki}/ca.crt",
                "--use-service-account-credentials=true",
            ),
            "kube-scheduler": (),
        }.items():
            program = str(binaries_directory() / name)
            self._run(
                [
                    program,
                    f"--kubeconfig={self.directory / name.removeprefix('kube-')}.kubeconfig",
                    *(
                        "--bind-address=127.0.0.1",
                        f"--secure-port={free_port()}",
                        f"--cert-dir={self.pki}/{name}",
                    ),
                    *self._without_insecure_port(program, "--port=0"),
                    *("--leader-elect=false", "--authentication-skip-lookup", *options),
                ]
            )

    def _without_insecure_port(self, program: str, option: str) -> list[str]:
        """Close the old plain-text port; programs since 1.24 no longer know the option, nor the port."""
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        minor = int(version.split(".")[1])
        return [option] if minor < 24 else []

    def _api(self, path: str) -> str:
        trust = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}{path}",
            headers={"Authorization": f"Bearer {self.tokens['admin']}"},
        )
        with urllib.request.urlopen(request, context=trust, timeout=5) as answer:
            return answer.read().decode()

    def _api_server_is_ready(self) -> bool:
        try:
            return self._api("/readyz") == "ok"
        except OSError:
            return False

    def _nodes_are_ready(self) -> bool:
        """Also wait for the default service account, without which pods are refused."""
        try:
            self._api("/api/v1/namespaces/default/serviceaccounts/default")
            nodes = self._api("/api/v1/nodes")
        except OSError:
            return False
        return nodes.count('"KubeletReady"') == len(NODES)


def main() -> None:
    """Run until a signal, or until the process that wants the cluster is gone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--while-alive", type=int, metavar="PID", help="stop when this process has ended")
    options = parser.parse_args()
    if missing := missing_programs():
        sys.exit(f"Missing: {missing}. Run tests/kube/build.sh, or set KUBEBUILDER_ASSETS.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    control_plane = ControlPlane(options.directory)
    try:
        control_plane.start()
        sys.stderr.write(f"KUBECONFIG={control_plane.directory / 'admin.kubeconfig'}\n")
        while options.while_alive is None or is_alive(options.while_alive):
            time.sleep(0.3)
    except KeyboardInterrupt:
        pass
    finally:
        control_plane.stop()


if __name__ == "__main__":
    main()
