"""A name server on loopback that answers each question with the next of its answers, and the client that asks it."""

from __future__ import annotations

import secrets
import socket
import struct
import threading
from ipaddress import IPv4Address


class NameServer:
    """An attacker's: every answer has a time to live of 0, so that whoever asks twice may be told something else."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.asked = list(answers), []
        self._server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._server.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.sendto(b"", self._server.getsockname())
        self._thread.join()
        self._server.close()

    def _serve(self) -> None:
        while True:
            question, caller = self._server.recvfrom(512)
            if not question:
                return
            name_end = question.index(b"\0", 12)
            self.asked.append(question[13:name_end].decode(errors="replace"))
            addresses = self.answers[min(len(self.asked), len(self.answers)) - 1]
            head = question[:2] + struct.pack(">HHHHH", 0x8180, 1, len(addresses), 0, 0)
            rows = [
                b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + IPv4Address(address).packed
                for address in addresses
            ]
            self._server.sendto(head + question[12 : name_end + 5] + b"".join(rows), caller)

    def resolve(self, host: str, port: int) -> list[str]:
        """Ask the server for the addresses of `host`, as a stub resolver does."""
        labels = b"".join(bytes([len(label)]) + label.encode() for label in host.split("."))
        question = secrets.token_bytes(2) + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(question, self._server.getsockname())
            answer = client.recv(512)
        count, rows = struct.unpack(">H", answer[6:8])[0], answer[len(question) :]
        return [str(IPv4Address(rows[16 * n + 12 : 16 * n + 16])) for n in range(count)]
