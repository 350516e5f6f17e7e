"""OpenTelemetry traces, switched on by ``CRM_OTEL``: a span for each request, job and relayed batch.

Spans name the route's template, the tenant and the outcome; they never hold paths, queries, bodies or messages of
errors, which may be personal data. The libraries come with the extra ``otel`` and are imported only when tracing is on;
off, it costs one comparison.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from crm_api import __version__
from crm_api.settings import Settings, SettingsError

_MISSING = "CRM_OTEL is on but OpenTelemetry is not installed: pip install 'crm-api[otel]', or unset CRM_OTEL"


class _Tracing:
    """What is there only while tracing is on."""

    def __init__(self, settings: Settings, service: str, exporter: Any) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - extra
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
            from opentelemetry.trace import SpanKind, StatusCode  # noqa: PLC0415
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415
        except ImportError as error:
            raise SettingsError(_MISSING) from error
        if exporter is None:
            endpoint = settings.otel_endpoint
            exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None)
        resource = Resource.create({"service.name": service, "service.version": __version__})
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer = self.provider.get_tracer("crm_api", __version__)
        self.server = SpanKind.SERVER
        self.failed = StatusCode.ERROR
        self.extract = TraceContextTextMapPropagator().extract


_tracing: _Tracing | None = None


def start_tracing(settings: Settings, service: str, *, exporter: Any = None) -> None:
    """Begin to trace when the settings say so.

    Args:
        settings: whether, and where to.
        service: name of this process among others.
        exporter: where spans go instead, for tests.

    Raises:
        SettingsError: the extra is not installed.

    """
    global _tracing  # noqa: PLW0603 - one per process, like logging
    if settings.otel and _tracing is None:
        _tracing = _Tracing(settings, service, exporter)


def stop_tracing() -> None:
    """Send what is left and stop."""
    global _tracing
    tracing, _tracing = _tracing, None
    if tracing is not None:
        tracing.provider.shutdown()


def note_request(
    headers: Iterable[tuple[bytes, bytes]], method: str, route: str, status: int, seconds: float, **more: Any
) -> None:
    """Record an answered request, as a child of the caller's span when it sent ``traceparent``."""
    if _tracing is None:
        return
    given = next((value for name, value in headers if name == b"traceparent"), b"")
    end = time.time_ns()
    span = _tracing.tracer.start_span(
        f"{method} {route}",
        context=_tracing.extract({"traceparent": given.decode("latin-1")}),
        kind=_tracing.server,
        start_time=end - int(seconds * 1e9),
        attributes={
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            **_present(more),
        },
    )
    if status >= 500:  # noqa: PLR2004 - our fault, not the caller's
        span.set_status(_tracing.failed)
    span.end(end)


@contextlib.contextmanager
def span(name: str, **attributes: Any) -> Iterator[None]:
    """Record the block; of an error, only its kind."""
    tracing = _tracing
    if tracing is None:
        yield
        return
    with tracing.tracer.start_as_current_span(
        name, attributes=_present(attributes), record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:
            current.set_attribute("error.type", type(error).__qualname__)
            current.set_status(tracing.failed)
            raise


def _present(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {f"crm.{name}": value for name, value in attributes.items() if value is not None}
