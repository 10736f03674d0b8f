"""Who the customers of a simulation really are: one row of truth each.

purchase_rate ~ Gamma(shape, 1 / scale) per day of average season; dropout ~ Beta(a, b) after each repeat purchase (BG/NBD)
group           four kinds of people, related to how often they buy; each has its own means of what follows
rate_<channel>  ~ Beta(kappa * mean of the group, kappa * (1 - mean)): response to a message on average over the send hours,
                the discount tiers and the contents, without tiredness
peak_hour, focus, weekend: the response's multiplier by local hour is a von Mises curve, that by day one for the weekend;
                both are 1 on average over the send hours and the week
discount_slope  the multiplier is exp(slope * pct / 25), 1 on average over the tiers; never negative
content_<c>     multiplier of a kind of content, 1 on average
fatigue         exp(-fatigue * messages of the last seven days)
persuasion      what a message does: see EFFECT
"""

from dataclasses import dataclass, fields

import numpy as np
import polars as pl

from lifecycle_assets.hashing import generator
from lifecycle_assets.simulator.world import CATEGORIES, CHANNELS, CONTENTS, SEND_HOURS, TIERS, World, ids

GROUPS = 4
# mean response by group (rows) and channel
CHANNEL_MEANS = np.array(
    [[0.05, 0.09, 0.03, 0.12], [0.08, 0.06, 0.05, 0.09], [0.12, 0.05, 0.08, 0.06], [0.16, 0.03, 0.12, 0.04]]
)
PEAKS = np.array([20.0, 12.5, 18.0, 9.0])
SLOPES = np.array([1.2, 0.8, 0.5, 0.2])
CONSENT = np.array([0.85, 0.45, 0.50, 0.35])
PERSUASION = ("persuadable", "sure_thing", "lost_cause", "sleeping_dog")
# probability of the outcome of a campaign without and with its message, by kind of persuasion
EFFECT = np.array([[0.05, 0.25], [0.45, 0.46], [0.02, 0.02], [0.30, 0.15]])
# by country, the kind of persuasion that is more frequent there (position in PERSUASION), and how much more
LEANS, LEANING = (0, 2, 3), 30.0
# a message drives a sleeping dog away for good with this probability
LEAVES = 0.02


@dataclass(frozen=True)
class People:
    """A block of customers; arrays with one row each, `rates` by channel, `contents` by content, `taste` by category."""

    number: np.ndarray
    joined: np.ndarray
    group: np.ndarray
    country: np.ndarray
    purchase_rate: np.ndarray
    dropout: np.ndarray
    spending: np.ndarray
    rates: np.ndarray
    contents: np.ndarray
    taste: np.ndarray
    peak_hour: np.ndarray
    focus: np.ndarray
    weekend: np.ndarray
    discount_slope: np.ndarray
    fatigue: np.ndarray
    conversion: np.ndarray
    opening: np.ndarray
    private: np.ndarray
    persuasion: np.ndarray
    consents: np.ndarray
    preferred: np.ndarray

    @property
    def size(self) -> int:
        return self.number.size

    def response(
        self, who: np.ndarray, channel: np.ndarray, weekday: int, hour: np.ndarray, pct: np.ndarray,
        content: np.ndarray, load: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        """Probability that customer `who` clicks on such a message; `content` is -1 for one that nobody knows."""
        known = np.where(content >= 0, self.contents[who, content], 1.0)
        probability = (
            self.rates[who, channel]
            * self.by_hour(who, hour)
            * self.by_weekday(who, weekday)
            * self.by_discount(who, pct)
            * known
            * np.exp(-self.fatigue[who] * load)
        )
        return np.minimum(probability, 1.0)

    def by_hour(self, who: np.ndarray, hour: np.ndarray) -> np.ndarray:
        """Multiplier of the local hour, 1 on average over SEND_HOURS."""
        angle = 2 * np.pi / 24 * (np.asarray(SEND_HOURS) - self.peak_hour[who, None])
        mean = np.exp(self.focus[who, None] * np.cos(angle)).mean(axis=1)
        return np.exp(self.focus[who] * np.cos(2 * np.pi / 24 * (hour - self.peak_hour[who]))) / mean

    def by_weekday(self, who: np.ndarray, weekday: int) -> np.ndarray:
        """Multiplier of the day (0 is Monday), 1 on average over a week."""
        mean = (5 + 2 * self.weekend[who]) / 7
        return (self.weekend[who] if weekday >= 5 else 1.0) / mean

    def by_discount(self, who: np.ndarray, pct: np.ndarray) -> np.ndarray:
        """Multiplier of a discount in percent, 1 on average over TIERS."""
        slope = self.discount_slope[who]
        mean = np.exp(slope[:, None] * np.asarray(TIERS) / 25).mean(axis=1)
        return np.exp(slope * pct / 25) / mean

    def ids(self) -> pl.Series:
        return ids("C", self.number, 8).alias("customer_id")

    def truth(self) -> pl.DataFrame:
        """The truth as a table."""
        wide = {
            "rates": ("rate", CHANNELS),
            "contents": ("content", CONTENTS),
            "taste": ("taste", CATEGORIES),
            "consents": ("consent", CHANNELS),
        }
        columns: dict[str, np.ndarray] = {}
        for item in fields(self):
            values = getattr(self, item.name)
            if item.name in wide:
                prefix, names = wide[item.name]
                columns |= {f"{prefix}_{name}": values[:, k] for k, name in enumerate(names)}
            elif item.name != "number":
                columns[item.name] = values
        frame = pl.DataFrame(columns).insert_column(0, self.ids())
        return frame.with_columns(
            pl.col("persuasion").replace_strict(dict(enumerate(PERSUASION)), return_dtype=pl.String)
        )


def people(world: World, first: int, last: int) -> People:
    """Customers number `first` to `last` - 1: the same whatever other blocks are drawn."""
    rng = generator(world.shop, f"simulator people from {first}", world.seed)
    n = last - first
    rate = rng.gamma(world.purchase_shape, 1 / world.purchase_scale, n)
    # Rank of the rate, blurred: groups and persuasion are related to buying and not settled by it.
    place = np.clip(np.argsort(np.argsort(rate)) / max(n - 1, 1) + rng.normal(0, 0.15, n), 0, 0.999)
    group = (place * GROUPS).astype(np.int64)
    means = CHANNEL_MEANS[group]
    content = np.exp(rng.normal(0, 0.35, (n, len(CONTENTS))))
    rates = rng.beta(world.channel_kappa * means, world.channel_kappa * (1 - means))
    joined = np.where(rng.random(n) < world.joining, 0, rng.integers(0, max(world.days, 1), n))
    country = rng.integers(0, len(world.countries), n)
    return People(
        number=np.arange(first, last),
        joined=joined,
        group=group,
        country=country,
        purchase_rate=rate,
        dropout=rng.beta(world.dropout_a, world.dropout_b, n),
        spending=np.exp(rng.normal(0, 0.4, n)),
        rates=rates,
        contents=content / content.mean(axis=1, keepdims=True),
        taste=rng.dirichlet(np.full(len(CATEGORIES), 0.4), n),
        peak_hour=PEAKS[group] + rng.normal(0, 2.0, n),
        focus=rng.gamma(4.0, 0.25, n),
        weekend=np.exp(rng.normal(0, 0.3, n)),
        discount_slope=SLOPES[group] * rng.gamma(4.0, 0.25, n),
        fatigue=rng.gamma(2.0, 0.05, n),
        conversion=rng.beta(2.0, 6.0, n),
        opening=rng.beta(3.0, 9.0, n),
        private=rng.random(n) < 0.3,
        persuasion=_persuasion(place, country, rng),
        consents=rng.random((n, len(CHANNELS))) < CONSENT,
        preferred=np.where(rng.random(n) < 0.25, rates.argmax(axis=1), -1),
    )


def _persuasion(place: np.ndarray, country: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Those who hardly buy cannot be moved, those in the middle can; those who buy often buy anyway or dislike to be disturbed.
    Each country leans to a kind of its own."""
    weight = np.stack(
        [np.exp(-((place - 0.55) ** 2) / 0.03), 2 * place**3, 1.5 * (1 - place) ** 2, 0.8 * (place > 0.6)], axis=1
    )
    weight[np.arange(place.size), np.asarray(LEANS)[country % len(LEANS)]] *= LEANING
    bounds = np.cumsum(weight / weight.sum(axis=1, keepdims=True), axis=1)
    return (rng.random(place.size)[:, None] > bounds[:, :3]).sum(axis=1)
