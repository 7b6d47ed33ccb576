"""An address that drops packets: it neither accepts connections nor refuses them."""

import contextlib
import socket


@contextlib.contextmanager
def silent_address(port, host="127.0.0.2"):
    """Yield an address of this machine where connections to a port never open."""
    with contextlib.ExitStack() as held:
        server = held.enter_context(socket.socket())
        server.bind((host, port))
        server.listen(0)
        # As many as the backlog holds.
        for _ in range(16):
            client = held.enter_context(socket.socket())
            client.settimeout(0.2)
            try:
                client.connect((host, port))
            except TimeoutError:
                break
        else:
            raise AssertionError("the backlog is never full")
        yield host
