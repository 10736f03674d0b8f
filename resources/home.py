"""The home of a deployment: where its configuration, warehouse, batches, reports and Dagster's own storage lie."""

import os
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from lifecycle_assets.errors import SettingsError
from lifecycle_assets.settings import Deployment, Shop, parse
from resources.files import alone

SHOP_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]*$")


class Home:
    """A folder: `lifecycle.yaml`, `shops/`, `warehouse/`, `models/`, `dispatch/`, `drafts/`, `reports/`, `dagster/`,
    `simulations/`, `backtests/`."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()

    @classmethod
    def default(cls) -> "Home":
        """`$LIFECYCLE_HOME`, else `./home`."""
        return cls(Path(os.environ.get("LIFECYCLE_HOME") or "home"))

    @property
    def warehouse(self) -> Path:
        return self.root / "warehouse"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def dispatch(self) -> Path:
        return self.root / "dispatch"

    @property
    def drafts(self) -> Path:
        return self.root / "drafts"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def simulations(self) -> Path:
        return self.root / "simulations"

    @property
    def backtests(self) -> Path:
        return self.root / "backtests"

    @property
    def dagster(self) -> Path:
        return self.root / "dagster"

    def alone(self) -> AbstractContextManager[None]:
        """Of all processes of this home one goes on at a time: for what is made once, such as Dagster's storage."""
        return alone(self.dagster / ".lock")

    def shop_file(self, shop: str) -> Path:
        if not SHOP_ID.match(shop):
            raise SettingsError(f"'{shop}' is not a shop id: use letters, digits, - and _, e.g. my-shop")
        return self.root / "shops" / f"{shop}.yaml"

    def shops(self) -> list[str]:
        """The shops that have a configuration file."""
        return sorted(path.stem for path in (self.root / "shops").glob("*.yaml") if SHOP_ID.match(path.stem))

    def shop(self, shop: str, overrides: Sequence[str] = ()) -> Shop:
        path = self.shop_file(shop)
        if not path.exists():
            known = ", ".join(self.shops()) or "none yet"
            raise SettingsError(
                f"no shop '{shop}' in {self.root}: {path} does not exist (shops: {known}). "
                f"Make it with: lifecycle init --shop {shop} --input FOLDER"
            )
        settings = parse(Shop, path.read_text("utf-8"), str(path))
        if overrides:
            settings = parse(Shop, path.read_text("utf-8"), f"--set {' --set '.join(overrides)}", overrides)
        return settings

    def deployment(self) -> Deployment:
        path = self.root / "lifecycle.yaml"
        return parse(Deployment, path.read_text("utf-8"), str(path)) if path.exists() else Deployment()
