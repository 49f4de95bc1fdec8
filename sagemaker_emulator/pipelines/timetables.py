"""When an EventBridge schedule fires: at(...), rate(...) and cron(...) expressions."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sagemaker_emulator.api.errors import NotEmulated, ValidationException

_MINUTE = timedelta(minutes=1)
_EXPRESSION = re.compile(r"(at|rate|cron)\((.*)\)")
_RATE = re.compile(r"([1-9]\d*) (minute|hour|day)s?")
_PART = re.compile(r"(?:\*|(\d+)(?:-(\d+))?)(?:/([1-9]\d*))?")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


class Timetable(ABC):
    @abstractmethod
    def between(self, after: datetime, until: datetime) -> Sequence[datetime]:
        """Return the times to fire at that are later than `after` and not later than `until`."""


@dataclass(frozen=True)
class Once(Timetable):
    time: datetime

    def between(self, after: datetime, until: datetime) -> Sequence[datetime]:
        return [self.time] if after < self.time <= until else []


@dataclass(frozen=True)
class Every(Timetable):
    """At `start`, and then each time that `period` has passed."""

    start: datetime
    period: timedelta

    def between(self, after: datetime, until: datetime) -> Sequence[datetime]:
        number = max(0, (after - self.start) // self.period)
        times = []
        while (time := self.start + number * self.period) <= until:
            if time > after:
                times.append(time)
            number += 1
        return times


@dataclass(frozen=True)
class Cron(Timetable):
    """On the minutes whose parts, in a time zone, are all among those of the fields."""

    fields: tuple[frozenset[int], ...]
    zone: tzinfo

    def between(self, after: datetime, until: datetime) -> Sequence[datetime]:
        first = after.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE
        minutes = [first + number * _MINUTE for number in range((until - first) // _MINUTE + 1)]
        return [minute for minute in minutes if self._fits(minute.astimezone(self.zone))]

    def _fits(self, local: datetime) -> bool:
        weekday = local.isoweekday() % 7 + 1  # Sunday is 1
        parts = (local.minute, local.hour, local.day, local.month, weekday, local.year)
        # An hour that the end of summer time repeats counts once.
        return local.fold == 0 and all(
            part in field for part, field in zip(parts, self.fields, strict=True)
        )


def parsed(expression: str, zone_name: str, start: datetime) -> Timetable:
    """Read a ScheduleExpression; `start` is where a rate begins.

    Raises:
        ValidationException: It is not one.
        NotEmulated: It is one with L, W or # in it.
    """
    found = _EXPRESSION.fullmatch(expression.strip())
    if found is None:
        raise _invalid(expression)
    kind, text = found.groups()
    zone = _zone(zone_name)
    if kind == "at":
        try:
            return Once(datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=zone))
        except ValueError as error:
            raise _invalid(expression) from error
    if kind == "rate":
        rate = _RATE.fullmatch(text)
        if rate is None:
            raise _invalid(expression)
        return Every(start, timedelta(**{f"{rate[2]}s": int(rate[1])}))
    return Cron(_cron_fields(text, expression), zone)


def _cron_fields(text: str, expression: str) -> tuple[frozenset[int], ...]:
    """Read minute, hour, day of month, month, day of week and year."""
    texts = text.upper().split()
    if len(texts) != 6 or (texts[2] == "?") == (texts[4] == "?"):
        raise _invalid(expression)
    for number, name in enumerate(_MONTHS, 1):
        texts[3] = texts[3].replace(name, str(number))
    for number, name in enumerate(_DAYS, 1):
        texts[4] = texts[4].replace(name, str(number))
    if any(letter in field for field in (texts[2], texts[4]) for letter in "LW#"):
        raise NotEmulated(f"L, W or # in {expression}")
    limits = ((0, 59), (0, 23), (1, 31), (1, 12), (1, 7), (1970, 2199))
    try:
        return tuple(
            _values(field, low, high) for field, (low, high) in zip(texts, limits, strict=True)
        )
    except ValueError as error:
        raise _invalid(expression) from error


def _values(field: str, low: int, high: int) -> frozenset[int]:
    values: set[int] = set()
    for part in field.replace("?", "*").split(","):
        found = _PART.fullmatch(part)
        if found is None:
            raise ValueError(f"{part!r} is not a number, a range or *")
        first, last, step = found.groups()
        begin = low if first is None else int(first)
        end = int(last) if last else begin if first and not step else high
        if not low <= begin <= end <= high:
            raise ValueError(f"{part!r} is not between {low} and {high}")
        values.update(range(begin, end + 1, int(step or 1)))
    return frozenset(values)


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValidationException(
            f"The timezone {name} is not valid for ScheduleExpressionTimezone."
        ) from error


def _invalid(expression: str) -> ValidationException:
    return ValidationException(f"Invalid Schedule Expression {expression}.")
