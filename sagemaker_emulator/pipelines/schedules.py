"""EventBridge schedules, which moto stores, and which start pipelines here."""

import json
import sys
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.scheduler.models import Schedule, scheduler_backends

from sagemaker_emulator.api.cloud import Call, Cloud, Fields
from sagemaker_emulator.api.errors import NotEmulated, ServiceError, ValidationException
from sagemaker_emulator.api.records import ACCOUNT, now, random_text
from sagemaker_emulator.pipelines.timetables import Once, Timetable, parsed

_PERIOD_S = 1
# Of EventBridge; what was due longer ago, while the machine slept, is left out.
_PRECISION = timedelta(minutes=1)
_UNIVERSAL = "arn:aws:scheduler:::aws-sdk:sagemaker:startPipelineExecution"


class Schedules:
    """Looks once a second which schedules are due, in a thread of its own."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._seen = now()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="schedules", daemon=True)

    def start(self) -> None:
        self._seen = now()
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def fire_until(self, time: datetime) -> None:
        """Start what became due since the last time, each firing once."""
        after, self._seen = max(self._seen, time - _PRECISION), max(self._seen, time)
        for region, schedule in _stored():
            try:
                self._fire(schedule, region, after, time)
            except ServiceError as error:
                print(f"schedule {schedule.name}: {error.message}", file=sys.stderr)  # noqa: T201

    def _run(self) -> None:
        while not self._ended.wait(_PERIOD_S):
            try:
                self.fire_until(now())
            except Exception:  # the outermost loop: later schedules must fire
                traceback.print_exc()

    def _fire(self, schedule: Any, region: str, after: datetime, until: datetime) -> None:
        if schedule.state != "ENABLED":
            return
        timetable = _timetable(schedule)
        begin, end = _time(schedule.start_date), _time(schedule.end_date)
        once = isinstance(timetable, Once)
        due = timetable.between(after, until)
        for time in due:
            outside = bool((begin and time < begin) or (end and time > end))
            if time >= _modified(schedule) and (once or not outside):
                self._start(schedule.target, region)
        over = bool(due) if once else end is not None and until > end
        if over and schedule.action_after_completion == "DELETE":
            backend = scheduler_backends[ACCOUNT][region]
            backend.delete_schedule(schedule.group_name, schedule.name)

    def _start(self, target: Fields, region: str) -> None:
        request = {**_execution_request(target), "ClientRequestToken": random_text(32)}
        self.cloud.call(Call("StartPipelineExecution", region, request), target["RoleArn"])


def require_emulated(request: Fields) -> None:
    """Refuse a schedule of which EventBridge says that it is wrong, or that would do nothing here.

    Raises:
        ValidationException: The expression is not one.
        NotEmulated: It has a target that is not a pipeline, or a part that is not emulated.
    """
    parsed(request["ScheduleExpression"], request.get("ScheduleExpressionTimezone") or "UTC", now())
    _execution_request(request["Target"])


def _stored() -> Iterator[tuple[str, Schedule]]:
    for region, backend in list(scheduler_backends[ACCOUNT].items()):
        for group in list(backend.schedule_groups.values()):
            for schedule in list(group.schedules.values()):
                yield region, schedule


def _timetable(schedule: Any) -> Timetable:
    modified = _modified(schedule)
    start = _time(schedule.start_date) or modified
    if modified - _PRECISION < start < modified:
        start = modified  # a start of just now, as the SageMaker SDK asks for
    return parsed(schedule.schedule_expression, schedule.schedule_expression_timezone, start)


def _modified(schedule: Any) -> datetime:
    return datetime.fromtimestamp(schedule.last_modified_date, UTC)


def _time(value: float | str | None) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, str):
        return datetime.fromisoformat(value).astimezone(UTC)
    return datetime.fromtimestamp(value, UTC)


def _execution_request(target: Fields) -> dict[str, Any]:
    """Return the request to start what a schedule aims at."""
    arn = target["Arn"]
    if arn == _UNIVERSAL:
        try:
            request: dict[str, Any] = json.loads(target.get("Input") or "{}")
        except ValueError as error:
            raise ValidationException(f"Invalid Input of the target: {error}") from error
        return request
    if ":sagemaker:" not in arn or ":pipeline/" not in arn:
        raise NotEmulated(f"a schedule for {arn}")
    given = target.get("SageMakerPipelineParameters") or {}
    return {"PipelineName": arn, "PipelineParameters": given.get("PipelineParameterList") or []}
