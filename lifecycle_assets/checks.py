"""A blocking contract check for every table, made from its contract.

What is stored was validated before it was published; the check reads it back, so that a file changed by another hand, or
written by another release, stops what depends on it. In the process that validated it the same bytes are not parsed again.
Checks of one area alone stand in that area's `assets.py`.
"""

from collections.abc import Iterable

import dagster as dg

from lifecycle_assets.contracts import Contract
from lifecycle_assets.errors import ContractError
from lifecycle_assets.night import night_of
from lifecycle_assets.wiring import asset_key


def contract_checks(contracts: Iterable[Contract]) -> list[dg.AssetChecksDefinition]:
    """One blocking check per table: every stored row satisfies the contract."""
    return [_check(contract) for contract in contracts]


def _check(contract: Contract) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset_key(contract),
        name="contract",
        description=f"Every stored row of {contract.name} has the types, ranges and keys of its contract.",
        blocking=True,
        required_resource_keys={"lake", "nights"},
    )
    def contract_holds(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        night = night_of(context)
        try:
            rows = context.resources.lake.check(contract, night.shop)
        except ContractError as error:
            return dg.AssetCheckResult(passed=False, description=str(error))
        return dg.AssetCheckResult(passed=True, metadata={"rows": rows, "columns": len(contract.columns)})

    return contract_holds
