"""Erase a customer by hand."""

from lifecycle_assets.definitions import Home
from lifecycle_assets.operations.by_hand import person, run_job


def erase_customer(home: Home, shop: str, customer: str) -> str:
    """Remove a customer, with all accounts of the same profile, from every file of the home; says what was done.

    Raises LifecycleError where no table of the shop knows the customer; nothing is changed then.
    """
    return run_job(home, "erase_customer", "erase", shop=shop, customer=customer, actor=person())
