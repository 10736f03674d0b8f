"""What every group of settings shares."""

import difflib
import zoneinfo
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Days = Annotated[int, Field(ge=0)]
FEW = 10  # names that a message lists
Name = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_]*$", description="lower-case letters, digits and _")]


class Group(BaseModel):
    """A frozen group of settings; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def _known_zone(value: str) -> str:
    if value not in zoneinfo.available_timezones():
        raise ValueError(f"'{value}' is not an IANA time zone such as Europe/Madrid")
    return value


TimeZone = Annotated[str, AfterValidator(_known_zone)]


def laid_over(shipped: Mapping[str, Any], given: Any) -> Any:
    """The shipped entries with the given ones over them, key by key inside each entry."""
    if given is None:
        return shipped
    if not isinstance(given, dict):
        return given
    own = {
        name: {**shipped.get(name, {}), **entry} if isinstance(entry, dict) else entry for name, entry in given.items()
    }
    return {**shipped, **own}


def nearest(name: str, known: Iterable[str]) -> str:
    """What to say after an unknown name: the known one that is like it, else all of them where they are few, else nothing."""
    names = list(known)
    if near := difflib.get_close_matches(name, names, n=1):
        return f"; did you mean {near[0]}?"
    return f"; there are: {', '.join(names)}" if 0 < len(names) <= FEW else ""
