"""Ports for the servers that a test starts as processes."""

import secrets
import socket

# The kernel gives the ports above to connections, also while a server that wants one of them still starts.
LOWEST, HIGHEST = 12_000, 32_000


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, and that no test beside this one is likely to be given too."""
    while True:
        port = LOWEST + secrets.randbelow(HIGHEST - LOWEST)
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
