"""Days of a shop, whose midnights are local, as moments in UTC."""

import datetime as dt
import zoneinfo


def end_of(day: dt.date, timezone: str) -> dt.datetime:
    """The first moment after the day in the zone, in UTC."""
    zone = zoneinfo.ZoneInfo(timezone)
    midnight = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), tzinfo=zone)
    return midnight.astimezone(dt.UTC)
