"""What can go wrong between the gateway and a backend, apart from silence, which is a TimeoutError."""


class TransportError(Exception):
    """A call did not get a whole answer because of its connection."""


class ConnectError(TransportError):
    """No connection could be made: refused, unresolvable, TLS not accepted, or too slow. Nothing was sent over it."""

    # A kept connection, which died, may have carried the call before.
    may_be_sent = False


class NoRoom(ConnectError):
    """All connections that the gateway may have are in use. This says nothing about the backend."""


class Disconnected(TransportError):
    """The backend closed the connection before the end of its answer. `has_begun`: part of an answer came."""

    def __init__(self, *, has_begun: bool) -> None:
        super().__init__(
            "the connection closed " + ("in the middle of" if has_begun else "before") + " the answer"
        )
        self.has_begun = has_begun


class InvalidAnswer(TransportError):
    """The backend sent what is not HTTP/1.1, could be read in two ways, or has too large a head."""
