"""Points in time, with their zone."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from modal_app.contract.codec import Decoder, Encoder, Fields, Kind

_DAY_SECONDS = 24 * 3600


def _encode_datetime(value: datetime, encoder: Encoder) -> Fields:
    """Clock time, fold, and the zone: a name of the zone database, an offset from UTC in seconds, or None if naive."""
    zone: str | float | None = None
    if isinstance(value.tzinfo, ZoneInfo) and value.tzinfo.key in _zone_names():
        zone = value.tzinfo.key
    elif (offset := _offset(value, encoder)) is not None:
        zone = offset.total_seconds()
    return {"clock": value.replace(tzinfo=None).isoformat(), "fold": value.fold, "zone": zone}


def _decode_datetime(fields: Fields, decoder: Decoder) -> datetime:
    text = decoder.expect(fields["clock"], str)
    (fold,) = decoder.integers([fields["fold"]], low=0, high=1)
    try:
        clock = datetime.fromisoformat(text)
    except ValueError as error:
        raise decoder.error("has a time that is not in ISO format") from error
    if clock.tzinfo is not None:
        raise decoder.error("has a time with a zone inside its clock time")
    return clock.replace(tzinfo=_zone(decoder.expect(fields["zone"], str, float, None), decoder), fold=fold)


def _offset(value: datetime, encoder: Encoder) -> timedelta | None:
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


KINDS = (Kind("datetime", (datetime,), ("clock", "fold", "zone"), _encode_datetime, _decode_datetime),)
