"""What runs of an endpoint: its variants, and the requests between them."""

import random
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from sagemaker_emulator.api.cloud import Cloud, Fields
from sagemaker_emulator.api.errors import JobError, ServiceError
from sagemaker_emulator.api.records import ACCOUNT, Record, now
from sagemaker_emulator.hosting.serving import Answer
from sagemaker_emulator.hosting.traffic import (
    ATTRIBUTES,
    Batches,
    Capture,
    Captured,
    Invocation,
    put_captured,
    put_metrics,
)
from sagemaker_emulator.hosting.variants import MODEL_TIMEOUT_S, Variant, model_error

_ANSWERED = ("Content-Type", ATTRIBUTES)
_RANDOM = random.SystemRandom()


class Endpoint:
    """An endpoint from its creation to its end.

    `machines` counts its instances by type, also those that it waits for.
    """

    def __init__(self, cloud: Cloud, record: Record) -> None:
        self.record = record
        self.machines: Counter[str] = Counter()
        self._cloud = cloud
        self._changed = threading.Condition()
        self._variants: dict[str, Variant] = {}
        self._capture: Capture | None = None
        region = record.region
        self._metrics = Batches[Invocation](partial(put_metrics, cloud, region, record.name))
        self._captured = Batches[Captured](partial(put_captured, cloud, region))

    @property
    def variants(self) -> Mapping[str, Variant]:
        return self._variants

    def deploy(self, config: Record, settings: Sequence[Fields]) -> None:
        """Start the variants of `settings`, let them take over, and end what ran.

        If they do not start, what ran goes on. Nothing is raised.
        """
        try:
            fresh = self._started(settings)
        except JobError as error:
            self._stay(str(error))
        except Exception as error:  # the outermost loop of a deployment: it must come to an end
            traceback.print_exc()
            self._stay(f"InternalServerError: {error}")
        else:
            with self._changed:
                old, self._variants = self._variants, fresh
                self._capture = Capture.of(config.fields, self.record.name)
            self._end(old)
            self.show(
                EndpointStatus="InService",
                EndpointConfigName=config.name,
                DataCaptureConfig=self._capture and self._capture.summary,
                FailureReason=None,
                PendingDeploymentSummary=None,
            )

    def invoke(self, body: bytes, headers: Mapping[str, str], target: str | None) -> Answer:
        """Let a variant answer: `target`, or one drawn by weight.

        Raises:
            ServiceError: There is none, or its model failed.
        """
        begun = time.perf_counter()
        with self._chosen(target) as variant:
            sent = time.perf_counter()
            try:
                answer = variant.invoke(body, headers)
            except ServiceError:
                self._count(variant, 500, begun, sent)
                raise
            self._count(variant, answer.status, begun, sent)
        if answer.status >= 400:
            said = answer.body.decode(errors="replace")
            raise model_error(self.record, answer.status, said)
        capture = self._capture
        captured = capture.drawn(variant.name, body, headers, answer) if capture else None
        if captured:
            self._captured.add(captured)
        passed_on = {name: answer.headers[name] for name in _ANSWERED if name in answer.headers}
        passed_on["x-Amzn-Invoked-Production-Variant"] = variant.name
        return Answer(answer.status, passed_on, answer.body)

    def resize(self, changes: Mapping[str, Fields]) -> None:
        """Change weights and numbers of instances; what is not named stays."""
        with self._changed:
            for name, change in changes.items():
                variant = self._variants[name]
                variant.weight = change.get("DesiredWeight", variant.weight)
                variant.machines = change.get("DesiredInstanceCount", variant.machines)
        self.show()

    def delete(self) -> None:
        """End everything, and forget the endpoint."""
        with self._changed:
            old, self._variants = self._variants, {}
        self._end(old)
        self._metrics.close()
        self._captured.close()
        self._cloud.running.pop(self.record.arn, None)
        self._cloud.endpoints.pop(self.record.arn, None)
        self._cloud.records.delete(self.record)

    def show(self, **fields: Any) -> None:
        """Bring what DescribeEndpoint answers up to date."""
        with self._changed:
            self.machines = Counter()
            for variant in self._variants.values():
                self.machines[variant.instance_type] += variant.machines
            summaries = [variant.summary for variant in self._variants.values()]
        self.record.update(ProductionVariants=summaries or None, **fields)

    def _started(self, settings: Sequence[Fields]) -> dict[str, Variant]:
        variants = [Variant(self._cloud, self.record, each) for each in settings]
        try:
            for variant in variants:
                variant.start()
            for variant in variants:
                variant.wait_until_healthy()
        except BaseException:
            for variant in variants:
                variant.stop()
            raise
        return {variant.name: variant for variant in variants}

    def _stay(self, reason: str) -> None:
        status = "InService" if self._variants else "Failed"
        self.show(EndpointStatus=status, FailureReason=reason, PendingDeploymentSummary=None)

    def _end(self, variants: Mapping[str, Variant]) -> None:
        """Let variants answer what they were asked, then end them."""
        with self._changed:
            self._changed.wait_for(
                lambda: not any(each.in_flight for each in variants.values()), MODEL_TIMEOUT_S
            )
        for variant in variants.values():
            variant.stop()

    def _count(self, variant: Variant, status: int, begun: float, sent: float) -> None:
        end = time.perf_counter()
        self._metrics.add(
            Invocation(variant.name, now(), status, end - sent, end - begun, variant.machines)
        )

    @contextmanager
    def _chosen(self, target: str | None) -> Iterator[Variant]:
        with self._changed:
            variant = self._choose(target)
            variant.in_flight += 1
        try:
            yield variant
        finally:
            with self._changed:
                variant.in_flight -= 1
                self._changed.notify_all()

    def _choose(self, target: str | None) -> Variant:
        if target is not None:
            if target not in self._variants:
                raise validation_error(
                    f"Variant {target} was not found for endpoint {self.record.name} of account "
                    f"{ACCOUNT}."
                )
            return self._variants[target]
        variants = list(self._variants.values())
        weights = [variant.weight for variant in variants]
        if not any(weights):
            raise validation_error(
                f"All variants of endpoint {self.record.name} have the weight 0."
            )
        return _RANDOM.choices(variants, weights)[0]


def validation_error(message: str) -> ServiceError:
    """The runtime's own name of a ValidationException."""
    return ServiceError("ValidationError", message)


def not_found(name: str) -> ServiceError:
    return validation_error(f"Endpoint {name} of account {ACCOUNT} not found.")
