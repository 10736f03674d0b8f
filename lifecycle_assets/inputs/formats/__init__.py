"""Exports that are understood as they are; each module knows one shop system or data set."""

from lifecycle_assets.errors import SettingsError
from lifecycle_assets.inputs.formats.canonical import CANONICAL
from lifecycle_assets.inputs.formats.complete_journey import COMPLETE_JOURNEY
from lifecycle_assets.inputs.formats.online_retail import ONLINE_RETAIL
from lifecycle_assets.inputs.formats.shopify import SHOPIFY
from lifecycle_assets.inputs.formats.woocommerce import WOOCOMMERCE
from lifecycle_assets.inputs.mapping import Format

FORMATS = {f.name: f for f in (CANONICAL, COMPLETE_JOURNEY, ONLINE_RETAIL, SHOPIFY, WOOCOMMERCE)}


def format_of(preset: str | None) -> Format:
    """The format that a configuration names; the canonical one without a name. Raises SettingsError for an unknown one."""
    if preset is not None and preset not in FORMATS:
        raise SettingsError(f"mapping.preset: no ready mapping is called '{preset}'; there are {', '.join(FORMATS)}.")
    return FORMATS[preset or CANONICAL.name]
