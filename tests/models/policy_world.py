"""A shop of simulated customers whose six arms have known worth, a logging policy that explores, and others to be valued."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from lifecycle_assets.models.off_policy import Logged
from lifecycle_assets.models.policy_log import PolicyLog
from lifecycle_assets.simulator.people import CHANNEL_MEANS, People, people
from lifecycle_assets.simulator.world import CHANNELS, TIERS, World

# channel, discount in percent, cost of a message
ARMS = (
    ("email", 0, 0.0),
    ("email", 20, 0.0),
    ("push", 0, 0.0),
    ("push", 10, 0.0),
    ("sms", 0, 0.6),
    ("whatsapp", 5, 1.0),
)
MARGIN_RATE = 0.4
K = len(ARMS)


@dataclass(frozen=True)
class Shop:
    """Per customer and arm: the true probability of an order, what an order earns, and what the router expects of the arm."""

    order: np.ndarray
    earns: np.ndarray
    cost: np.ndarray
    expected: np.ndarray

    @property
    def worth(self) -> np.ndarray:
        """True expected reward of each customer and arm."""
        return self.order * self.earns - self.cost

    def value(self, pi: np.ndarray) -> float:
        return float((pi * self.worth).sum(axis=1).mean())

    def log(self, taken_by: np.ndarray, target: np.ndarray, who: np.ndarray, rng: np.random.Generator) -> Logged:
        return self.logs(taken_by, (target,), who, rng)[0]

    def logs(
        self, taken_by: np.ndarray, targets: tuple[np.ndarray, ...], who: np.ndarray, rng: np.random.Generator
    ) -> list[Logged]:
        """Decisions about the customers `who` (clusters are the equal ones) under `taken_by`, as each target sees them."""
        pi = taken_by[who]
        arm = (rng.random(who.size)[:, None] > np.cumsum(pi, axis=1)[:, :-1]).sum(axis=1)
        bought = rng.random(who.size) < self.order[who, arm]
        reward = bought * self.earns[who, arm] * rng.gamma(8.0, 1 / 8, who.size) - self.cost[arm]
        customer = np.unique(who, return_inverse=True)[1]
        taken = pi[np.arange(who.size), arm]
        return [
            Logged(
                customer,
                reward,
                self.expected[who, arm],
                (target[who] * self.expected[who]).sum(axis=1),
                target[who, arm] / taken,
            )
            for target in targets
        ]


def shop(customers: int, seed: int = 0) -> Shop:
    """The router knows the customers' groups and tickets, and thinks twice as well of every message as it is."""
    who: People = people(World("policy", dt.date(2024, 1, 1), 1, customers, seed), 0, customers)
    everyone = np.arange(customers)
    rng = np.random.default_rng(seed)
    ticket = np.exp(rng.normal(3.5, 0.5, customers))
    order, earns, expected = (np.zeros((customers, K)) for _ in range(3))
    for arm, (channel, pct, cost) in enumerate(ARMS):
        number = CHANNELS.index(channel)
        at = np.full(customers, number)
        content = np.full(customers, 1)
        order[:, arm] = who.response(
            everyone, at, 2, np.full(customers, 12), np.full(customers, pct), content, 0 * ticket
        )
        earns[:, arm] = ticket * (MARGIN_RATE - pct / 100)
        expected[:, arm] = 2 * CHANNEL_MEANS[who.group, number] * earns[:, arm] - cost
    assert all(pct in TIERS for _, pct, _ in ARMS)
    return Shop(order, earns, np.array([cost for *_, cost in ARMS]), expected)


def policy(score: np.ndarray, share: float = 0.5, eps: float = 0.05) -> np.ndarray:
    """The best arm by the score, and for a share of the nights a soft choice with at least eps for every arm."""
    best = np.eye(K)[score.argmax(axis=1)]
    soft = np.exp(score / score.std())
    soft /= soft.sum(axis=1, keepdims=True)
    return share * ((1 - K * eps) * soft + eps) + (1 - share) * best


def rows(
    logs: Mapping[str, Logged], nights: np.ndarray, first: dt.date, shop_id: str = "s", told: dt.date | None = None
) -> pl.DataFrame:
    """The logs as rows of models.policy_log, decided `nights` days after `first`."""
    parts = [
        pl.DataFrame(
            {name: getattr(log, name) for name in ("reward", "expected_taken", "expected", "weight")}
        ).with_columns(
            policy=pl.lit(policy), customer_id=pl.format("c{}", pl.Series(log.customer)), number=pl.int_range(pl.len())
        )
        for policy, log in logs.items()
    ]
    decided = first + pl.duration(days=pl.Series(nights))
    return PolicyLog.conform(
        pl.concat([part.with_columns(decided_on=decided) for part in parts])
        .with_columns(
            shop_id=pl.lit(shop_id),
            as_of=pl.lit(told or first),
            decision_id=pl.format("d{}", "number"),
            message_id=pl.format("m{}", "number"),
            is_supported=pl.lit(value=True),
        )
        .lazy()
    ).collect()
