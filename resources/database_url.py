"""Addresses of databases: secrets from the environment into them, and out of what is told to people."""

import os
import re
import urllib.parse

from lifecycle_assets.errors import SettingsError


def with_environment(url: str, where: str) -> str:
    """The URL with `${NAME}` replaced by the environment's variable; `where` says which setting names it.

    Raises SettingsError for a variable that the environment does not hold.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise SettingsError(f"{where} names ${{{name}}}, and the environment has no variable {name}. Set it.")
        return urllib.parse.quote(os.environ[name], safe="")

    return re.sub(r"\$\{(\w+)\}", value, url)


def without_secrets(error: Exception) -> str:
    """The first line of a driver's error, without the user and password that stand in the address."""
    return re.sub(r"://[^@\s]*@", "://", str(error).splitlines()[0]) if str(error) else type(error).__name__


def quoted(name: str) -> str:
    """A name as SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'
