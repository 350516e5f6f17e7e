"""OpenTelemetry: what a span holds, and that it is off unless asked for."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace
from uuid import uuid4

import orjson
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from crm_api.core.messages import Message
from crm_api.core.work import Job, Subscriber
from crm_api.settings import Settings, SettingsError
from crm_api.web import telemetry
from crm_api.worker.queue import run_job
from crm_api.worker.relay import Relay

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def spans():
    exporter = InMemorySpanExporter()
    telemetry.start_tracing(Settings(otel=True), "test", exporter=exporter)

    def finished():
        telemetry._tracing.provider.force_flush()
        return list(exporter.get_finished_spans())

    yield finished
    telemetry.stop_tracing()


def test_is_off_by_default():
    telemetry.start_tracing(Settings(), "test")
    assert telemetry._tracing is None
    with telemetry.span("nothing"):
        pass


def test_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match=r"pip install 'crm-api\[otel\]'"):
        telemetry.start_tracing(Settings(otel=True), "test")


@pytest.mark.database
@pytest.mark.asyncio
class TestSpans:
    async def test_of_the_framework_there_are_none(self, client, monkeypatch):
        exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        # As an agent such as opentelemetry-instrument sets it for the whole process.
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
        assert (await client.get("/v1/customers?q=secret")).status_code == 200
        assert exporter.get_finished_spans() == ()

    async def test_of_a_request(self, client, tenant, spans):
        customer = (await client.post("/v1/customers", json={"name": "王小明"})).json()["id"]
        headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        await client.get(f"/v1/customers/{customer}?fields=name", headers=headers)
        await client.get("/v1/customers?q=secret")
        create, get, search = spans()
        assert create.name == "POST /v1/customers"
        assert get.attributes["http.route"] == "/v1/customers/{id}"
        assert (get.attributes["http.response.status_code"], get.attributes["crm.tenant_id"]) == (200, str(tenant.id))
        assert f"{get.context.trace_id:032x}" == TRACE
        assert get.end_time > get.start_time
        told = create.to_json() + get.to_json() + search.to_json()
        assert customer not in told
        assert "王小明" not in told
        assert "secret" not in told

    async def test_of_an_unknown_address(self, client, spans):
        await client.get("/v1/13800138000", headers={"traceparent": "nonsense"})
        [span] = spans()
        assert span.name == "GET unmatched"
        assert span.parent is None

    async def test_of_a_job_and_its_failure(self, spans):
        async def fail(_database, _payload):
            raise ValueError("13800138000")

        queued = SimpleNamespace(payload=orjson.dumps({"tenant_id": "t"}), attempts=0)
        with pytest.raises(Exception, match="ValueError"):
            await run_job(None, Job("test.job", fail), queued)
        [span] = spans()
        assert span.name == "job test.job"
        assert dict(span.attributes) == {
            "crm.job": "test.job",
            "crm.tenant_id": "t",
            "crm.attempt": 1,
            "error.type": "ValueError",
        }
        assert not span.status.is_ok
        assert "13800138000" not in span.to_json()

    async def test_of_a_relayed_batch(self, database, tenant, spans):
        async def handle(_unit, _messages):
            pass

        name = f"test.{uuid4().hex}"
        relay = Relay(database, Subscriber(name, frozenset(), handle))
        message = Message(uuid4(), tenant.id, "test.happened", uuid4(), {}, database.clock.now())
        await relay._handle([message])
        [span] = spans()
        assert span.name == f"relay {name}"
        assert span.attributes["crm.messages"] == 1


def test_are_sent_over_http():
    received = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    telemetry.start_tracing(Settings(otel=True, otel_endpoint=endpoint), "crm-api-worker")
    with telemetry.span("job test"):
        pass
    telemetry.stop_tracing()
    server.shutdown()
    server.server_close()
    [(path, body)] = received
    assert path == "/v1/traces"
    assert b"crm-api-worker" in body
    assert b"job test" in body
