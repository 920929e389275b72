"""Points in time with their zone, dates, times of day, and spans of time."""

from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import cache
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from modal_app.contract.codec import Decoder, Encoder, Fields, Kind

_DAY_SECONDS = 24 * 3600
_DAYS, _MICROSECONDS = 999_999_999, 1_000_000
CLOCK_FIELDS = ("clock", "fold", "zone")
SPAN_FIELDS = ("days", "seconds", "microseconds")
Clock = datetime | time
T = TypeVar("T", datetime, time)


def _encode_clock(value: Clock, encoder: Encoder) -> Fields:
    """Clock time, fold, and the zone: a name of the zone database, an offset from UTC in seconds, or None if naive."""
    zone: str | float | None = None
    if isinstance(value.tzinfo, ZoneInfo) and value.tzinfo.key in _zone_names():
        zone = value.tzinfo.key
    elif (offset := _offset(value, encoder)) is not None:
        zone = offset.total_seconds()
    return {"clock": value.replace(tzinfo=None).isoformat(), "fold": value.fold, "zone": zone}


def _decode_datetime(fields: Fields, decoder: Decoder) -> datetime:
    return _decode_clock(datetime, fields, decoder)


def _decode_time(fields: Fields, decoder: Decoder) -> time:
    return _decode_clock(time, fields, decoder)


def _decode_clock(kind: type[T], fields: Fields, decoder: Decoder) -> T:
    text = decoder.expect(fields["clock"], str)
    (fold,) = decoder.integers([fields["fold"]], low=0, high=1)
    try:
        clock = kind.fromisoformat(text)
    except ValueError as error:
        raise decoder.error("has a time that is not in ISO format") from error
    if clock.tzinfo is not None:
        raise decoder.error("has a time with a zone inside its clock time")
    return clock.replace(tzinfo=_zone(decoder.expect(fields["zone"], str, float, None), decoder), fold=fold)


def _encode_date(value: date, _encoder: Encoder) -> Fields:
    return {"day": value.isoformat()}


def _decode_date(fields: Fields, decoder: Decoder) -> date:
    try:
        return date.fromisoformat(decoder.expect(fields["day"], str))
    except ValueError as error:
        raise decoder.error("has a date that is not in ISO format") from error


def _encode_span(value: timedelta, _encoder: Encoder) -> Fields:
    return {name: getattr(value, name) for name in SPAN_FIELDS}


def _decode_span(fields: Fields, decoder: Decoder) -> timedelta:
    (days,) = decoder.integers([fields["days"]], low=-_DAYS, high=_DAYS)
    (seconds,) = decoder.integers([fields["seconds"]], low=0, high=_DAY_SECONDS - 1)
    (microseconds,) = decoder.integers([fields["microseconds"]], low=0, high=_MICROSECONDS - 1)
    return timedelta(days, seconds, microseconds)


def _offset(value: Clock, encoder: Encoder) -> timedelta | None:
    try:
        return value.utcoffset()
    except Exception as error:  # noqa: BLE001 - a tzinfo is a class of the user's
        raise encoder.error(f"has a time zone that fails: {type(error).__name__}") from None


def _zone(zone: Any, decoder: Decoder) -> tzinfo | None:
    if zone is None:
        return None
    if type(zone) is float:
        if not -_DAY_SECONDS < zone < _DAY_SECONDS:
            raise decoder.error("has a time zone a day or more away from UTC")
        return timezone(timedelta(seconds=zone)) if zone else UTC
    if zone not in _zone_names():
        raise decoder.error("has a time zone that the zone database doesn't list")
    return ZoneInfo(zone)


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())


KINDS = (
    Kind("datetime", (datetime,), CLOCK_FIELDS, _encode_clock, _decode_datetime),
    Kind("time", (time,), CLOCK_FIELDS, _encode_clock, _decode_time),
    Kind("date", (date,), ("day",), _encode_date, _decode_date),
    Kind("timedelta", (timedelta,), SPAN_FIELDS, _encode_span, _decode_span),
)
