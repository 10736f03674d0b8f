"""The stored models of shops, and the way back to the one before."""

from collections.abc import Sequence
from typing import Any

from lifecycle_assets import definitions
from lifecycle_assets.definitions import Home
from lifecycle_assets.operations.homes import Listing


def stored_models(home: Home, shops: Sequence[str]) -> Listing:
    """Every version of every stored model, with what is known of it."""
    store = definitions.build_resources(home)["model_store"]
    rows: list[dict[str, Any]] = []
    for shop in shops:
        home.shop(shop)
        versions = [version for name in store.names(shop) for version in store.versions(shop, name)]
        rows += [
            {
                "shop": shop,
                "model": version.name,
                "version": version.version,
                "trained_as_of": str(version.trained_as_of),
                "state": _state(version) if store.is_whole(version) else "damaged",
                "candidate": version.card.get("candidate"),
                "note": version.card.get("not_taken") or version.card.get("note"),
            }
            for version in versions
        ]
    return Listing(rows, nothing=f"no models in {home.models} yet: lifecycle run trains them")


def _state(version: Any) -> str:
    """Of a version of the model store; nothing of one that was in force before."""
    if version.is_champion:
        return "in force"
    if version.is_withdrawn:
        return "withdrawn"
    if version.takes_over:
        return ""
    return "not taken" if version.card.get("candidate") else "not learnt"


def rollback_model(home: Home, shop: str, model: str) -> str:
    """Withdraw the version in force; says which one is in force now."""
    home.shop(shop)
    now = definitions.build_resources(home)["model_store"].rollback(shop, model)
    return (
        f"{shop}: {model} is version {now.version} again, trained on {now.trained_as_of}; the next run scores with it"
    )
