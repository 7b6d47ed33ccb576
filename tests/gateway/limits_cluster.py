"""A Valkey cluster of three nodes for tests, whose slots can be moved by hand."""

import secrets
import time

import redis

from gateway.proxy.redis_nodes import slot_of
from launcher.ports import free_port
from launcher.running import RunningServer
from launcher.valkey import EmbeddedValkey

SLOTS = 16384


class Node(EmbeddedValkey):
    """One node. It knows no other yet."""

    def prepare(self):
        super().prepare()
        settings = {
            "cluster-enabled": "yes",
            "cluster-config-file": "nodes.conf",
            "cluster-port": free_port(),
            "cluster-node-timeout": 2000,
            # A test may stop one of them.
            "cluster-require-full-coverage": "no",
            "primaryauth": self.password,
        }
        with self._configuration_file().open("a") as file:
            file.writelines(f"{name} {value}\n" for name, value in settings.items())


class Cluster:
    """Three nodes, each with a third of the slots."""

    def __init__(self, directory):
        self._log = (directory / "cluster.log").open("wb")
        password = secrets.token_urlsafe(16)
        self.nodes = [
            Node(directory / f"node-{number}", port=free_port(), password=password, durable=False)
            for number in range(3)
        ]
        self._running = {node: RunningServer(node, self._log) for node in self.nodes}
        self.clients = [redis.Redis.from_url(node.url()) for node in self.nodes]
        self.ids = [client.execute_command("CLUSTER MYID") for client in self.clients]
        bounds = [0, SLOTS // 3, 2 * SLOTS // 3, SLOTS]
        for number, client in enumerate(self.clients):
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            client.execute_command("CLUSTER ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        for other in self.nodes[1:]:
            bus = self.clients[self.nodes.index(other)].config_get("cluster-port")["cluster-port"]
            self.clients[0].execute_command("CLUSTER MEET", "127.0.0.1", other.port, bus)
        self._wait_until_whole()

    def url(self, number=0):
        return self.nodes[number].url()

    def owner(self, tag):
        """The number of the node that has this tag's keys by now."""
        for first, last, node, *_ in self.clients[0].execute_command("CLUSTER SLOTS"):
            if first <= slot_of(tag) <= last:
                return next(at for at, one in enumerate(self.nodes) if one.port == node[1])
        raise AssertionError("nobody has the slot")

    def begin_move(self, tag, source, target):
        slot = slot_of(tag)
        self.clients[target].execute_command("CLUSTER SETSLOT", slot, "IMPORTING", self.ids[source])
        self.clients[source].execute_command("CLUSTER SETSLOT", slot, "MIGRATING", self.ids[target])

    def move_keys(self, tag, source, target, pause_seconds=0.0):
        """Move the keys one by one, as those who manage clusters do."""
        there, slot = self.nodes[target], slot_of(tag)
        while keys := self.clients[source].execute_command("CLUSTER GETKEYSINSLOT", slot, 1):
            self.clients[source].execute_command(
                "MIGRATE", "127.0.0.1", there.port, keys[0], 0, 5000, "AUTH", there.password
            )
            time.sleep(pause_seconds)

    def end_move(self, tag, source, target):
        for number in (target, source, 3 - source - target):
            self.clients[number].execute_command("CLUSTER SETSLOT", slot_of(tag), "NODE", self.ids[target])

    def move(self, tag, source, target, pause_seconds=0.0):
        self.begin_move(tag, source, target)
        self.move_keys(tag, source, target, pause_seconds)
        self.end_move(tag, source, target)

    def errors(self, name):
        """How often the nodes have answered with this error."""
        found = [client.info("errorstats").get(f"errorstat_{name}", {"count": 0}) for client in self.clients]
        return sum(one["count"] for one in found)

    def stop(self, number):
        self._running[self.nodes[number]].stop()

    def start(self, number):
        self._running[self.nodes[number]] = RunningServer(self.nodes[number], self._log)

    def close(self):
        for number, client in enumerate(self.clients):
            client.close()
            self.stop(number)
        self._log.close()

    def _wait_until_whole(self):
        until = time.monotonic() + 60
        while not all(
            client.execute_command("CLUSTER INFO")["cluster_state"] == "ok"
            and len(client.execute_command("CLUSTER SLOTS")) == 3
            for client in self.clients
        ):
            assert time.monotonic() < until, "the cluster has not formed"
            time.sleep(0.05)
