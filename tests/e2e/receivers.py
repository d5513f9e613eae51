"""Where exporters send to: a real InfluxDB, a real Prometheus, and fakes of what no package brings."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import urlopen

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .proxies import proxy

__all__ = ["Influx", "OtlpReceiver", "Received", "Receiver", "influxdb", "prometheus", "receiving"]

ASK_SECONDS = 10.0


class Influx:
    """An InfluxDB 1.x that listens on `port`."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def query(self, text: str, database: str = "gauge") -> list[dict[str, Any]]:
        """Return the rows of an InfluxQL query's first series."""
        asked = urlencode({"q": text, "db": database, "epoch": "ns"})
        with urlopen(f"{self.url}/query", asked.encode(), timeout=ASK_SECONDS) as answer:
            (result,) = json.load(answer)["results"]
        assert "error" not in result, result
        found = result.get("series", [])
        if not found:
            return []
        return [dict(zip(found[0]["columns"], row, strict=True)) for row in found[0]["values"]]


@contextlib.asynccontextmanager
async def influxdb(program: Path, folder: Path, port: int) -> AsyncIterator[Influx]:
    """Run InfluxDB with its data in `folder`; it sends nothing to anybody."""
    folder.mkdir(exist_ok=True)
    settings = {
        "REPORTING_DISABLED": "true",
        "BIND_ADDRESS": "127.0.0.1:0",
        "META_DIR": str(folder / "meta"),
        "DATA_DIR": str(folder / "data"),
        "DATA_WAL_DIR": str(folder / "wal"),
        "HTTP_BIND_ADDRESS": f"127.0.0.1:{port}",
        "HTTP_LOG_ENABLED": "false",
        "MONITOR_STORE_ENABLED": "false",
        "LOGGING_LEVEL": "error",
        "LOGGING_SUPPRESS_LOGO": "true",
    }
    environment = {f"INFLUXDB_{name}": value for name, value in settings.items()}
    async with proxy(program, "run", "-config", "/dev/null", port=port, **environment):
        it = Influx(port)
        await asyncio.to_thread(it.query, "CREATE DATABASE gauge")
        yield it


@contextlib.asynccontextmanager
async def prometheus(program: Path, folder: Path, port: int, target: int) -> AsyncIterator[str]:
    """Run Prometheus, which scrapes 127.0.0.1:`target` each second; yield its URL."""
    folder.mkdir()
    scraped = {"job_name": "gateway", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [scraped],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    options = (
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    async with proxy(program, *options, port=port):
        yield f"http://127.0.0.1:{port}"


class Received:
    """One request."""

    def __init__(self, target: str, headers: dict[str, str], body: bytes) -> None:
        self.path = urlsplit(target).path
        self.query = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
        self.headers = headers
        self.body = body


class Receiver:
    """Takes every POST. `answers`: status and body of the next ones; then 204.

    `after`: the `retry-after` of those that fail, in seconds.
    """

    def __init__(self) -> None:
        self.after: int | None = None
        self.asked = threading.Event()
        self.requests: list[Received] = []
        self.answers: list[tuple[int, bytes]] = []
        self.hangs = threading.Event()
        self.released = threading.Event()
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def take(self, received: Received) -> tuple[int, bytes]:
        """Note a request and return how it is answered."""
        self.requests.append(received)
        self.asked.set()
        if self.hangs.is_set():
            self.released.wait(30)
        return self.answers.pop(0) if self.answers else (204, b"")


class OtlpReceiver(Receiver):
    """Understands OTLP. `spans`: by id, the last that came. `points`: of the last metrics."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: dict[bytes, Any] = {}
        self.sent = 0
        self.points: dict[str, list[Any]] = {}

    def take(self, received: Received) -> tuple[int, bytes]:
        """Keep what came, unless another answer is due."""
        status, body = super().take(received)
        if status >= 300:
            return status, body
        if received.path == "/v1/traces":
            asked = ExportTraceServiceRequest.FromString(received.body)
            for each in asked.resource_spans:
                for scope in each.scope_spans:
                    self.sent += len(scope.spans)
                    self.spans |= {span.span_id: span for span in scope.spans}
        elif received.path == "/v1/metrics":
            metrics = ExportMetricsServiceRequest.FromString(received.body)
            self.points = {
                metric.name: list(getattr(metric, metric.WhichOneof("data")).data_points)
                for each in metrics.resource_metrics
                for scope in each.scope_metrics
                for metric in scope.metrics
            }
        return 200, b""


@contextlib.contextmanager
def receiving(receiver: Receiver) -> Iterator[Receiver]:
    """Let `receiver` listen."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer = receiver.take(Received(self.path, headers, body))
            with contextlib.suppress(OSError):  # whoever asked has gone
                self.send_response(status)
                if status >= 300 and receiver.after is not None:
                    self.send_header("retry-after", str(receiver.after))
                if status != 204:
                    self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", receiver.port), Handler)
    receiver.port = server.server_address[1]
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        serving.join()
        server.server_close()
