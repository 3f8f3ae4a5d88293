"""A gateway's metrics in Prometheus' text format, read from the gateway when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from gateway.errors import StoreError
from gateway.gateway import Gateway

__all__ = ["METRICS_TYPE", "metrics_of"]

METRICS_TYPE = CONTENT_TYPE_LATEST


def metrics_of(gateway: Gateway) -> bytes:
    """All metrics of one gateway. Where the database can't be asked, those that need it are absent."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(gateway))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def collect(self) -> Iterable[Metric]:
        gateway = self._gateway
        frames = "Frames since the start, by what became of them"
        yield _counts("dataspace_gateway_frames", frames, "outcome", gateway.tally.outcomes)
        commits = SummaryMetricFamily(
            "dataspace_gateway_commit_seconds", "Groups of frames taken together, and their time"
        )
        commits.add_metric([], gateway.tally.groups, gateway.tally.seconds)
        yield commits
        troubles = gateway.watch.troubles()
        ready = GaugeMetricFamily("dataspace_gateway_ready", "1 where this part is well", labels=["part"])
        for part in gateway.watch.parts:
            ready.add_metric([part], part not in troubles)
        yield ready
        try:
            seen = gateway.watch.overview()
        except StoreError:
            return
        yield GaugeMetricFamily("dataspace_gateway_queue_frames", "Frames in the intake queue", seen.queued)
        yield GaugeMetricFamily("dataspace_gateway_queue_bytes", "Their bytes", seen.queued_bytes)
        yield GaugeMetricFamily("dataspace_gateway_devices", "Devices seen here", seen.devices)
        yield GaugeMetricFamily("dataspace_gateway_stored_frames", "Accepted frames", seen.frames)
        yield GaugeMetricFamily("dataspace_gateway_waiting_frames", "Accepted frames in no batch", seen.waiting)
        lag = "How long the oldest frame without a final anchor waits"
        yield GaugeMetricFamily("dataspace_gateway_anchor_lag_seconds", lag, seen.lag_seconds)
        yield _gauges("dataspace_gateway_incidents", "Incidents by kind", "kind", seen.incidents)
        yield _gauges("dataspace_gateway_batches", "Batches by stage", "stage", seen.batches)


def _counts(name: str, what: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, what, labels=[label])
    for value, count in sorted(values.items()):
        family.add_metric([value], count)
    return family


def _gauges(name: str, what: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, what, labels=[label])
    for value, count in sorted(values.items()):
        family.add_metric([value], count)
    return family
