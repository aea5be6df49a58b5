"""A quick API with any number of jobs, in a process of its own: what a job answers is told by its id.

batch_000017_running   PROCESSING
batch_000018_done      COMPLETED
..._gone, _error, _garbage, _hang, _revoked, _forbidden
"""

import asyncio
import json
import re
import sys

JOB = re.compile(rb"GET /\S*/batch_(\d+)_([a-z]+)[? ]")


def answer(number: int, kind: str) -> bytes | None:
    """A whole HTTP response, None for silence."""
    if kind == "hang":
        return None
    if kind == "garbage":
        return response(200, b"<html>a proxy speaks")
    errors = {
        "gone": (404, "JOB_NOT_FOUND"),
        "error": (500, "INTERNAL_ERROR"),
        "revoked": (401, "API_KEY_REVOKED"),
        "forbidden": (403, "FORBIDDEN"),
    }
    if kind in errors:
        status, code = errors[kind]
        return response(status, json.dumps({"success": False, "error": {"code": code, "message": kind}}).encode())
    state = "COMPLETED" if kind == "done" else "PROCESSING"
    job = {"id": f"batch_{number:06d}_{kind}", "status": state, "total": 10, "completed": 4, "failed": 0, "results": []}
    if kind == "done":
        job["completedAt"] = "2020-01-01T00:00:00Z"  # long before anybody asked
    return response(200, json.dumps({"success": True, "data": job}).encode())


def response(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


class State:
    """What all connections share."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.revoked = False


class Connection(asyncio.Protocol):
    """Answers the requests of one connection, one after another."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.pending = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pending += data
        while (end := self.pending.find(b"\r\n\r\n")) >= 0:
            head, self.pending = self.pending[:end], self.pending[end + 4 :]
            self.reply(head)

    def reply(self, head: bytes) -> None:
        if found := JOB.match(head):
            self.state.asked.append(int(found[1]))
            kind = "revoked" if self.state.revoked else found[2].decode()
            if kind == "drip":
                self.drip()
            elif (whole := answer(int(found[1]), kind)) is not None:
                self.transport.write(whole)
            return
        if head.startswith((b"GET /revoke", b"GET /accept")):
            self.state.revoked = head.startswith(b"GET /revoke")
        self.transport.write(response(200, json.dumps(self.state.asked).encode()))
        self.state.asked.clear()

    def drip(self) -> None:
        """A header that never ends, byte by byte."""
        if not self.transport.is_closing():
            self.transport.write(b"H")
            asyncio.get_running_loop().call_later(0.05, self.drip)


async def main() -> None:
    state = State()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(state), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
