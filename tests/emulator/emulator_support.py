"""A web site that misbehaves on request, and emulators that may fetch it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx

from thunderbit_dagster.api.codes import Plan
from thunderbit_dagster.emulator import Emulator

ROOMY = Plan("tests", requests_per_minute=100_000, concurrent_jobs=20)
DEADLINE = 10.0


@dataclass(frozen=True)
class Answer:
    """What the site says for a path."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "text/html; charset=utf-8"})


@dataclass
class Visit:
    """A request that reached the site."""

    path: str
    headers: Mapping[str, str]
    body: bytes = b""


class TargetSite:
    """Serves the answers it is given; 404 for everything else."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Callable[[Visit], Answer]] = {}
        self.visits: list[Visit] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def page(self, path: str, title: str = "A page", text: str = "Some words that are worth reading.") -> str:
        """Serve a small page; its URL."""
        self.answers[path] = Answer(f"<title>{title}</title><main><h1>{title}</h1><p>{text}</p></main>".encode())
        return self.origin + path

    def pages(self, count: int) -> list[str]:
        """Serve so many pages; their URLs."""
        return [self.page(f"/p/{number}", f"Page {number}") for number in range(count)]

    def says(self, path: str, answer: Answer | Callable[[Visit], Answer]) -> str:
        """Serve this answer; its URL."""
        self.answers[path] = answer
        return self.origin + path

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                visit = Visit(self.path, dict(self.headers.items()), self.rfile.read(size))
                site.visits.append(visit)
                answer = site.answers.get(self.path, Answer(b"missing", 404))
                answer = answer(visit) if callable(answer) else answer
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in answer.headers:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_POST = do_GET  # noqa: N815 - named by http.server

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Handler


class Api:
    """A plain client of an emulator, free of the project's own client."""

    def __init__(self, emulator: Emulator, key: str | None = None) -> None:
        self.emulator = emulator
        headers = {"Authorization": f"Bearer {key or emulator.api_key}"}
        self.http = httpx.Client(base_url=emulator.base_url, headers=headers, timeout=DEADLINE)

    def submit(self, urls: list[str], kind: str = "distill", **body: object) -> str:
        """Submit a batch job; its id."""
        answer = self.http.post(f"/batch/{kind}", json={"urls": urls, **body})
        assert answer.is_success, answer.text
        return str(answer.json()["data"]["id"])

    def read(self, job: str, kind: str = "distill", **query: object) -> dict:
        """The job with one page of rows."""
        answer = self.http.get(f"/batch/{kind}/{job}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def until(self, job: str, reached: Callable[[dict], bool], kind: str = "distill") -> dict:
        """The job with all its rows, once it is as `reached` wants it."""
        end = time.monotonic() + DEADLINE
        while not reached(found := self.read(job, kind, pageSize=100)):
            assert time.monotonic() < end, found
            time.sleep(0.005)
        return found

    def finished(self, job: str, kind: str = "distill") -> dict:
        """The job with all its rows, once it has ended."""
        return self.until(job, lambda found: found["status"].upper() in {"COMPLETED", "FAILED", "CANCELLED"}, kind)

    def run(self, urls: list[str], kind: str = "distill", **body: object) -> dict:
        """Submit a job and wait for it."""
        return self.finished(self.submit(urls, kind, **body), kind)

    def code(self, method: str, path: str, **request: object) -> tuple[int, str]:
        """HTTP status and error code of a request that is refused."""
        answer = self.http.request(method, path, **request)
        envelope = answer.json()
        assert envelope["success"] is False
        assert envelope["error"]["status"] == answer.status_code
        return answer.status_code, envelope["error"]["code"]


Start = Callable[..., Api]
