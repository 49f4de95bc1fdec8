from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from sagemaker_emulator.api.errors import NotEmulated, ValidationException
from sagemaker_emulator.pipelines.timetables import parsed

START = datetime(2026, 3, 6, 8, 30, tzinfo=UTC)  # a Friday


def firings(expression: str, *, zone: str = "UTC", days: float = 7) -> list[str]:
    """When an expression fires in the days after START, in UTC."""
    times = parsed(expression, zone, START).between(START, START + timedelta(days=days))
    return [f"{time.astimezone(UTC):%a %d %H:%M}" for time in times]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cron(0 9 ? * 6 *)", ["Fri 06 09:00", "Fri 13 09:00"]),  # 1 is Sunday, so 6 is Friday
        ("cron(0 9 ? * MON-TUE *)", ["Mon 09 09:00", "Tue 10 09:00"]),
        ("cron(15,45 10 7 3 ? 2026)", ["Sat 07 10:15", "Sat 07 10:45"]),
        ("cron(0 10 7 MAR ? 2027)", []),
        ("cron(0 10/12 8 * ? *)", ["Sun 08 10:00", "Sun 08 22:00"]),
        ("cron(0 0-23/12 8 * ? *)", ["Sun 08 00:00", "Sun 08 12:00"]),
        ("at(2026-03-07T01:02:00)", ["Sat 07 01:02"]),
        ("at(2026-03-05T01:02:00)", []),
        ("rate(3 days)", ["Mon 09 08:30", "Thu 12 08:30"]),
    ],
)
def test_expressions_fire_when_amazon_says(expression, expected):
    assert firings(expression, days=7.1) == expected


def test_times_are_those_of_the_time_zone():
    assert firings("cron(0 9 7 * ? *)", zone="America/New_York") == ["Sat 07 14:00"]
    assert firings("at(2026-03-07T09:00:00)", zone="Asia/Tokyo") == ["Sat 07 00:00"]


def test_an_hour_that_is_skipped_does_not_fire_and_one_that_is_repeated_fires_once():
    # New York skips 02:00 on 8 March 2026 and repeats 01:00 on 1 November.
    skipped = parsed("cron(30 2 8 3 ? *)", "America/New_York", START)
    repeated = parsed("cron(30 1 1 11 ? *)", "America/New_York", START)

    assert skipped.between(START, START + timedelta(days=7)) == []
    autumn = datetime(2026, 11, 1, tzinfo=UTC)
    assert len(repeated.between(autumn, autumn + timedelta(days=1))) == 1


@pytest.mark.parametrize("expression", ["cron(* * * * ? *)", "rate(1 minute)"])
def test_looking_every_second_finds_each_firing_once(expression):
    timetable = parsed(expression, "UTC", START)
    looks = [START + timedelta(seconds=0.97 * number) for number in range(200)]

    found = [time for after, until in pairwise(looks) for time in timetable.between(after, until)]

    # 199 looks reach to 193.03 seconds after the start.
    assert found == [START + timedelta(minutes=number) for number in (1, 2, 3)]


def test_a_rate_begins_with_its_start():
    timetable = parsed("rate(2 hours)", "UTC", START)

    found = timetable.between(START - timedelta(hours=1), START + timedelta(hours=2))

    assert found == [START, START + timedelta(hours=2)]


@pytest.mark.parametrize(
    "expression",
    [
        *("cron(0 9 * * *)", "cron(0 9 * * * *)", "cron(0 9 ? * ? *)", "cron(60 9 ? * 2 *)"),
        *("cron(0 9 ? * 0 *)", "cron(0 9 ? * 8 *)", "cron(a 9 ? * 2 *)", "cron(0 9 9-3 * ? *)"),
        *("rate(0 minutes)", "rate(5 seconds)", "at(tomorrow)", "every day"),
    ],
)
def test_what_is_no_expression_is_refused(expression):
    with pytest.raises(ValidationException, match="Invalid Schedule Expression"):
        parsed(expression, "UTC", START)


@pytest.mark.parametrize("field", ["L * ?", "15W * ?", "? * 6L", "? * 2#1"])
def test_last_nearest_and_nth_days_are_not_emulated(field):
    with pytest.raises(NotEmulated, match="L, W or #"):
        parsed(f"cron(0 9 {field} *)", "UTC", START)


def test_an_unknown_time_zone_is_refused():
    with pytest.raises(ValidationException, match="The timezone Mars/Base is not valid"):
        parsed("rate(1 minute)", "Mars/Base", START)
