"""How long a test waits for what is promised within seconds."""

import os


def overload() -> float:
    """How many times as much as it can do at once this machine is asked to do; at least 1.

    A promise in seconds holds where processes get a processor when they need one.
    """
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
