"""The one IO manager: an asset returns a frame, a roll-up statement or a file it wrote; the warehouse holds a table."""

import time
from typing import Any

import dagster as dg
import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.markdown import markdown
from lifecycle_assets.sql import Sql
from lifecycle_assets.staged import Appended, Staged
from resources.engine import Engine
from resources.nights import Nights
from resources.warehouse.lake import Lake, Published

PREVIEW_ROWS = 5


class WarehouseIOManager(dg.IOManager):
    def __init__(self, lake: Lake, engine: Engine, nights: Nights) -> None:
        self.lake = lake
        self.engine = engine
        self.nights = nights

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        contract = self._contract(context.asset_key)
        night = self.nights.of(context)
        self._let_go(context, obj)
        published = self._store(contract, night.shop, night.as_of, obj)
        context.add_output_metadata(
            {
                "dagster/row_count": published.rows,
                "seconds": round(self._seconds(context), 3),
                "as_of": str(night.as_of),
                "changed": published.changed,
                "path": dg.MetadataValue.path(str(published.path)),
                "preview": dg.MetadataValue.md(preview(contract, self.lake.scan(contract, night.shop))),
            }
        )
        needed = [name for name in contract.needs if self._is_empty(name, night.shop)]
        if needed:
            filler = ", ".join(name.removeprefix("raw.") for name in needed)
            context.add_output_metadata({"filled by": f"not given: {filler}; what depends on it is empty or null"})

    def load_input(self, context: dg.InputContext) -> pl.LazyFrame | pl.DataFrame:
        frame = self.lake.scan(self._contract(context.asset_key), self.nights.of(context).shop)
        return frame.collect() if context.dagster_type.typing_type is pl.DataFrame else frame

    def _store(self, contract: Contract, shop: str, as_of: Any, obj: Any) -> Published:
        if isinstance(obj, pl.DataFrame | pl.LazyFrame):
            return self.lake.write(contract, shop, as_of, obj)
        if isinstance(obj, Sql):
            sources = {name: self.lake.files(self.lake.contracts[name], shop) for name in obj.tables()}
            with self.lake.staging(contract, shop) as staged:
                self.engine.run(obj, sources, contract, staged)
                return self.lake.publish(contract, shop, as_of, staged)
        if isinstance(obj, Staged):
            try:
                return self.lake.publish(contract, shop, as_of, obj.path)
            finally:
                obj.path.unlink(missing_ok=True)
        if isinstance(obj, Appended):
            rows = self.lake.scan(contract, shop).select(pl.len()).collect().item()
            return Published(self.lake.path(contract, shop).parent, rows, sha256="", changed=obj.rows > 0)
        raise TypeError(f"{contract.name}: an asset returns a polars frame, Sql, Staged or Appended, not {type(obj)}")

    def _contract(self, key: dg.AssetKey) -> Contract:
        return self.lake.contracts[".".join(key.path)]

    def _is_empty(self, name: str, shop: str) -> bool:
        return self.lake.scan(self.lake.contracts[name], shop).limit(1).collect().is_empty()

    @staticmethod
    def _let_go(context: dg.OutputContext, obj: Any) -> None:
        """A run in this process keeps what its assets return for who started it: every table of a night, in memory to its
        end. Whoever asks for a table reads the stored one."""
        kept = context.step_context.output_capture or {}
        for handle in [handle for handle, value in kept.items() if value is obj]:
            del kept[handle]

    @staticmethod
    def _seconds(context: dg.OutputContext) -> float:
        step = context.step_context
        stats = step.instance.get_run_step_stats(context.run_id, [step.step.key])
        started = stats[0].start_time if stats else None
        return max(0.0, time.time() - started) if started else 0.0


def preview(contract: Contract, table: pl.LazyFrame, rows: int = PREVIEW_ROWS) -> str:
    """The first rows as a markdown table; it ends up in Dagster's event log, so personal values are masked."""
    frame = table.head(rows).collect()
    hidden = [name for name in frame.columns if contract.is_personal(name)]
    frame = frame.with_columns(pl.when(pl.col(name).is_not_null()).then(pl.lit("***")).alias(name) for name in hidden)
    return markdown(frame)
