"""A socket that listens, made before the thread that serves it: a client may connect at once."""

from __future__ import annotations

import errno
import socket

BACKLOG = 1024


class PortInUseError(OSError):
    """The port is taken; the message names it."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an IPv4 or IPv6 address, or a name; port 0 takes a free one.

    Raises:
        PortInUseError: the port is taken.
        OSError: the address is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends answers without delay only on sockets that say they are TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(errno.EADDRINUSE, f"port {port} on {host} is in use") from None
        raise
    listener.setblocking(False)
    return listener
