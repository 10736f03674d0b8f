"""Which message wins each customer's one message of the day?

Every arm is judged at every gate. Of each programme the arms of the earliest step that has one compete, over all programmes,
and `exploration.arms` of them get a probability each (see exploration): the best by expected value of each channel, so that no
channel is alone because its response is the highest, then the best of the rest. The customer to whom nothing
can be sent is told of the arm that got furthest; of a step that they have had only where no later one is for them.
"""

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import polars as pl

from lifecycle_assets.dispatch import arbitration, exploration
from lifecycle_assets.dispatch.eligibility import PASSED, lane_stop, offer_stop, qualifies
from lifecycle_assets.dispatch.knowledge import Known
from lifecycle_assets.dispatch.offers import Arm
from lifecycle_assets.settings import Routing

BLOCK_CUSTOMERS = 100_000
NONE = -1
# The numbers behind the expected value of the arm that is taken or reported.
NUMBERS = (
    "base_rate",
    "channel_factor",
    "content_factor",
    "tier_factor",
    "load_factor",
    "caused",
    "order_worth",
    "margin_rate",
    "ticket",
    "unsubscribe_cost",
)


@dataclass(frozen=True)
class Tonight:
    """All that a choice rests on. `profiles` (see profile.profiles) and `known` are of the same customers in one order, `keys`
    their random keys; `typical` is arbitration.typical_worth of all customers."""

    profiles: pl.DataFrame
    known: Known
    keys: np.ndarray
    arms: Sequence[Arm]
    routing: Routing
    ranking: str
    as_of: dt.date
    typical: float

    def of(self, customers: np.ndarray | slice) -> "Tonight":
        """The same of these customers only, given by their positions; of a slice of them nothing is copied."""
        return Tonight(
            self.profiles[customers],
            self.known.of(customers),
            self.keys[customers],
            self.arms,
            self.routing,
            self.ranking,
            self.as_of,
            self.typical,
        )

    def blocks(self) -> Iterator[tuple[int, "Tonight"]]:
        """The customers in blocks, each with the position of its first; one block where there are none."""
        height = self.profiles.height
        for first in range(0, max(height, 1), BLOCK_CUSTOMERS):
            yield first, self.of(slice(first, first + BLOCK_CUSTOMERS))


def chosen(tonight: Tonight, used_up: Collection[str] = ()) -> pl.DataFrame:
    """One row per customer, in order: customer_id; `arm`, the position of the arm taken, or of the one that a hold is reported
    of, null where there is none; `sent`; `qualifies` and the numbers of that arm (NUMBERS, the score's PARTS, score,
    expected_value); `propensity`; `explores`; and of the arms that competed, in Arrays as long as `exploration.arms`:
    `arms` (positions, -1 after the last), `values` (expected), `scores` and for each ranking profile `pi_<ranking>`.
    Nothing with an offer in `used_up` is sent."""
    choose = _chosen if tonight.arms else _nothing
    return pl.concat(choose(part, used_up) for _, part in tonight.blocks())


def supposed(tonight: Tonight, arm: int) -> pl.DataFrame:
    """`chosen`, but told of this arm, and with nothing sent."""
    worth = arbitration.worth(tonight.profiles, tonight.known, tonight.arms, tonight.routing, typical=tonight.typical)
    told = _numbers(tonight, worth, np.full(tonight.profiles.height, arm))
    return chosen(tonight).with_columns(*told.iter_columns(), sent=pl.lit(value=False))


def _chosen(tonight: Tonight, used_up: Collection[str]) -> pl.DataFrame:
    from lifecycle_assets.dispatch.exploration_kernel import best_few

    routing, arms = tonight.routing, tonight.arms
    customers = np.arange(tonight.profiles.height)
    worth = arbitration.worth(tonight.profiles, tonight.known, arms, routing, typical=tonight.typical)
    values, stops, qualified = _judged(tonight, worth, used_up)
    possible = arbitration.eligible(np.where(stops == PASSED, values, -np.inf), arms)
    few = best_few(possible, worth.channel, routing.exploration.arms)
    choice, scores = _explored(tonight, worth, few)
    sent = choice.taken >= 0
    taken = np.where(sent, few[customers, choice.taken], NONE)
    at_hand = np.where(_had(tonight, qualified), NONE, stops)
    taken[~sent] = arbitration.furthest(at_hand[:, ~sent], qualified[:, ~sent], values[:, ~sent], arms, PASSED)
    in_force = list(routing.rankings).index(tonight.ranking)
    competing = few >= 0
    of_arms = {
        "arms": few,
        "values": np.where(competing, values[few, customers[:, None]], 0.0),
        "scores": scores[in_force],
        **{f"pi_{name}": choice.pi[position] for position, name in enumerate(routing.rankings)},
    }
    propensity = choice.pi[in_force, customers, choice.taken]
    return _numbers(tonight, worth, taken).with_columns(
        customer_id=tonight.profiles["customer_id"],
        sent=pl.Series(sent),
        propensity=np.where(sent, propensity, 1.0),
        explores=pl.Series(choice.explores),
        **{name: pl.Series(array, dtype=_array(array)) for name, array in of_arms.items()},
    )


def _judged(
    tonight: Tonight, worth: arbitration.Worth, used_up: Collection[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arm x customer: the expected value; the position of the first gate that fails, PASSED where none does, NONE where the arm
    does not apply; whether the customer qualifies."""
    routing, everyone = tonight.routing, slice(None)
    profiles = tonight.profiles.lazy()
    values = np.empty((len(tonight.arms), tonight.profiles.height))
    stops, qualified = np.empty(values.shape, np.int8), np.empty(values.shape, bool)
    # The arms of a lane come one after another; most gates do not look at the offer.
    for _, numbered in groupby(enumerate(tonight.arms), key=lambda one: id(one[1].lane)):
        of_lane = list(numbered)
        lane = of_lane[0][1].lane
        stop, fits = profiles.select(
            lane_stop(lane, routing, as_of=tonight.as_of).fill_null(NONE).alias("stop"),
            qualifies(lane, routing).alias("fits"),
        ).collect()
        for position, arm in of_lane:
            values[position] = worth.expected(position, everyone)
            wanted = worth.qualifies[worth.offer[position]] & (arm.offer_name not in used_up)
            numbers = {
                "qualifies": wanted,
                "expected_value": values[position],
                "score": worth.relevance(position, everyone, routing.rankings[tonight.ranking]),
            }
            frame = offered(profiles.with_columns(**{name: pl.Series(value) for name, value in numbers.items()}), arm)
            stops[position] = np.minimum(stop, frame.select(offer_stop(routing)).collect().to_series())
            qualified[position] = fits.to_numpy() & wanted
    return values, stops, qualified


def offered(profiles: pl.LazyFrame, arm: Arm) -> pl.LazyFrame:
    """What the gates look at: the profiles, with expected_value, score (whose zero vetoes) and `qualifies` (for the offer)
    of the arm, and its offer_id (null where the customer does not qualify), content_type and discount_pct."""
    return profiles.with_columns(
        offer_id=pl.when("qualifies").then(pl.lit(arm.offer_name)),
        content_type=pl.lit(arm.offer.content_type),
        discount_pct=pl.lit(float(arm.offer.discount_pct)),
    )


def _had(tonight: Tonight, qualified: np.ndarray) -> np.ndarray:
    """The arms (arm x customer) of steps that a customer has had of a programme that has another one for them."""
    lanes = [arm.lane for arm in tonight.arms]
    had = np.empty(qualified.shape, bool)
    for programme in dict.fromkeys(lane.name for lane in lanes):
        mine = [position for position, lane in enumerate(lanes) if lane.name == programme]
        last = tonight.profiles[f"last_step_{programme}"].fill_null(0).to_numpy()
        behind = np.array([lanes[position].number for position in mine])[:, None] <= last
        had[mine] = behind & (qualified[mine] & ~behind).any(axis=0)
    return had


def _explored(tonight: Tonight, worth: arbitration.Worth, few: np.ndarray) -> tuple[exploration.Choice, np.ndarray]:
    """The choice among each customer's few arms, and the scores: ranking x customer x arm."""
    rankings = tonight.routing.rankings
    everyone = np.arange(few.shape[0])[:, None]
    scores = np.stack(
        [
            np.where(few >= 0, arbitration.score(worth.parts(few, everyone, ranking), ranking), 0.0)
            for ranking in rankings.values()
        ]
    )
    choice = exploration.choose(
        scores,
        np.array([ranking.propensity for ranking in rankings.values()]),
        worth.log_sd(few, everyone),
        worth.numbers(few),
        tonight.keys,
        list(rankings).index(tonight.ranking),
        tonight.routing.exploration,
    )
    return choice, scores


def _numbers(tonight: Tonight, worth: arbitration.Worth, arm: np.ndarray) -> pl.DataFrame:
    """The arm and its numbers, null where it is NONE."""
    customers = np.arange(arm.size)
    ranking = tonight.routing.rankings[tonight.ranking]
    parts = worth.parts(arm, customers, ranking)
    factors = worth.factors(arm, customers)
    caused, anyway = worth.base(arm, customers)
    offer = worth.offer[arm]
    numbers = dict(
        zip(
            NUMBERS,
            [
                caused + anyway,
                *factors,
                worth.rested,
                np.divide(caused, caused + anyway, out=np.zeros_like(caused), where=caused > 0),
                worth.worth[offer, customers],
                worth.margin[offer, customers],
                worth.ticket,
                worth.unsubscribe_cost(arm, customers),
            ],
            strict=True,
        )
    )
    columns = {
        "arm": arm,
        "qualifies": worth.qualifies[offer, customers],
        **numbers,
        **dict(zip(arbitration.PARTS, parts, strict=True)),
        "score": arbitration.score(parts, ranking),
        "expected_value": worth.expected(arm, customers),
    }
    return pl.DataFrame(columns).select(pl.when(pl.col("arm") >= 0).then(pl.all()))


def _nothing(tonight: Tonight, used_up: Collection[str]) -> pl.DataFrame:
    """The columns of `chosen` where there is no arm at all."""
    del used_up
    most, numbers = tonight.routing.exploration.arms, (*NUMBERS, *arbitration.PARTS, "score", "expected_value")
    kinds = {
        "arm": pl.Int64,
        "qualifies": pl.Boolean,
        **dict.fromkeys(numbers, pl.Float64),
        "arms": pl.Array(pl.Int16, most),
        **dict.fromkeys(
            ("values", "scores", *(f"pi_{name}" for name in tonight.routing.rankings)), pl.Array(pl.Float64, most)
        ),
    }
    return tonight.profiles.select(
        "customer_id",
        *(pl.lit(None, dtype=kind).alias(name) for name, kind in kinds.items()),
        sent=pl.lit(value=False),
        propensity=pl.lit(1.0),
        explores=pl.lit(value=False),
    )


def _array(array: np.ndarray) -> pl.DataType:
    return pl.Array(pl.Int16 if array.dtype == np.int16 else pl.Float64, array.shape[1])
