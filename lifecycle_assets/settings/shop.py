"""One tenant, and what all tenants of a home share."""

import datetime as dt
import itertools
import re
import zoneinfo
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from lifecycle_assets.settings.base import Group, TimeZone, nearest
from lifecycle_assets.settings.customer import Customer
from lifecycle_assets.settings.forecasting import Forecasting
from lifecycle_assets.settings.inputs import InputMapping, Inputs
from lifecycle_assets.settings.products import Products
from lifecycle_assets.settings.reports import Reports
from lifecycle_assets.settings.retention import Retention
from lifecycle_assets.settings.routing import Dispatch, Measurement, Routing
from lifecycle_assets.settings.scores import Scores
from lifecycle_assets.settings.segmentation import Segmentation
from lifecycle_assets.settings.uplift import Uplift

RETRAIN_DAYS = {"starter": 7, "pro": 7, "agency": 1, "enterprise": 1}


class Shop(Group):
    """One tenant: `shops/<shop>.yaml`."""

    name: str = Field(min_length=1, description="the shop's name, as it is shown in reports")
    timezone: TimeZone
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$", description="ISO 4217")]
    country: Annotated[str, Field(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2")]
    input: str = Field(min_length=1, description="folder, file, duckdb:///path, postgresql://... or package:NAME")
    mapping: InputMapping = InputMapping()
    as_of: dt.date | None = Field(None, description="look at this day's end; default: yesterday in the shop's zone")
    tier: Literal["starter", "pro", "agency", "enterprise"] = Field(
        "starter",
        description="how often models are trained anew: starter and pro weekly, agency and enterprise daily; and whose night "
        "goes first where many wait",
    )
    language: str = Field(
        "en",
        description="language of messages, and of the report that the Dagster UI shows, where reports are written in it",
    )
    seed: int = 0
    inputs: Inputs = Inputs()
    customer: Customer = Customer()
    segmentation: Segmentation = Segmentation()
    scores: Scores = Scores()
    uplift: Uplift = Uplift()
    products: Products = Products()
    forecasting: Forecasting = Forecasting()
    routing: Routing = Routing.model_validate({})
    dispatch: Dispatch = Dispatch.model_validate({})
    measurement: Measurement = Measurement.model_validate({})
    reports: Reports = Reports()
    retention: Retention = Retention()

    def retrain_days(self, own: int | None) -> int:
        """Age at which models are trained anew: a group's `own`, else the tier's."""
        return own or RETRAIN_DAYS[self.tier]

    @model_validator(mode="after")
    def _hangs_together(self) -> "Shop":
        broken = (
            self._unknown_experiments(),
            self._unknown_variants(),
            self._unknown_templates(),
            self._broken_audiences(),
            self._broken_destinations(),
        )
        if problems := list(itertools.chain(*broken)):
            raise ValueError("\n".join(problems))
        return self

    def _unknown_experiments(self) -> Iterator[str]:
        experiments = self.measurement.experiments
        for name, programme in self.routing.programmes.items():
            if programme.experiment and programme.experiment not in experiments:
                near = nearest(programme.experiment, experiments)
                yield f"routing: programme {name}: no experiment '{programme.experiment}'{near}"

    def _unknown_variants(self) -> Iterator[str]:
        experiments = self.measurement.experiments
        known = [f"{name}.{variant}" for name, experiment in experiments.items() for variant in experiment.variants]
        of_offer: dict[str, set[str | None]] = {}
        for programme in self.routing.programmes.values():
            for offer in {offer for step in programme.steps for offer in step.offers}:
                of_offer.setdefault(offer, set()).add(programme.experiment)
        for name, offer in self.routing.offers.items():
            if offer.variant is None:
                continue
            if offer.variant not in known:
                yield f"routing: offer {name}: no variant '{offer.variant}'{nearest(offer.variant, known)}"
            elif of_offer.get(name, set()) - {offer.variant.split(".")[0]}:
                yield f"routing: offer {name}: it is also in a programme of another experiment than that of {offer.variant}"

    def _unknown_templates(self) -> Iterator[str]:
        known = sorted({offer.content_type for offer in self.routing.offers.values()})
        for key in self.dispatch.templates:
            place = f"dispatch.templates.{key}"
            if key.count(".") != 2:
                yield f"{place}: expected content_type.channel.language, e.g. winback.email.en"
                continue
            content, channel, language = key.split(".")
            if content not in known:
                yield f"{place}: no offer has the content_type '{content}'{nearest(content, known)}"
            if channel not in self.routing.channels:
                yield f"{place}: no channel '{channel}'{nearest(channel, self.routing.channels)}"
            if language != self.language and not re.fullmatch("[a-z]{2}", language):
                yield f"{place}: '{language}' is no language of two letters, e.g. {self.language}"

    def _broken_audiences(self) -> Iterator[str]:
        for name, audience in self.dispatch.audiences.items():
            for problem in audience.problems(self.routing.fields(), self.measurement.experiments):
                yield f"dispatch: audience {name}: {problem}"

    def _broken_destinations(self) -> Iterator[str]:
        for name, channel in self.routing.channels.items():
            if channel.enabled:
                yield from self.dispatch.destinations.problems(name, channel.destination, channel.addressed_by)

    @model_validator(mode="before")
    @classmethod
    def _mapping_by_name(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("mapping"), str):
            return {**data, "mapping": {"preset": data["mapping"]}}
        return data


class Alerts(Group):
    """Whom the sensors tell that something is wrong."""

    webhook: Annotated[str, Field(pattern=r"^(https://|http://(127\.0\.0\.1|localhost)[:/]|\$\{\w+\}$).*")] | None = (
        Field(
            None,
            description="posts {text, kind, shop, run} as JSON to this https:// address, which may name secrets of the "
            "environment, e.g. ${ALERT_URL}; a Slack or Teams webhook shows the text",
        )
    )
    late_hours: Annotated[int, Field(ge=1)] = Field(
        6, description="hours after schedule_hour by which a shop's night must have ended well"
    )
    stale_days: Annotated[int, Field(ge=1)] = Field(
        3, description="days without a new order after which a shop that sells daily counts as late with its data"
    )


class Deployment(Group):
    """What all shops of a home share: `lifecycle.yaml`."""

    owner: str = Field("team:customer-data", description="owner shown on every asset: an e-mail address or team:NAME")
    engine: Literal["duckdb", "spark"] = Field(
        "duckdb",
        description="where the roll-up SQL runs and slow forecasts are fitted: in this process, or on a Spark cluster",
    )
    spark_master: Annotated[str, Field(pattern=r"^(local|spark://|k8s://|yarn$)")] = Field(
        "local[*]",
        description="Spark's master where engine is spark: local[*], spark://host:7077, k8s://https://host:port or yarn",
    )
    memory_limit: str = Field("6GB", description="memory that the SQL engine may use before it spills to disk")
    threads: Annotated[int, Field(ge=1)] | None = Field(
        None, description="threads of the SQL engine; default: all cores"
    )
    warehouse: Annotated[str, Field(pattern=r"^(duckdb:///warehouse|postgres(ql)?://.+)$")] = Field(
        "duckdb:///warehouse",
        description="where the output tables are read: the embedded catalogue of this home, or a database, "
        "postgresql://user:${PASSWORD}@host/name with secrets from the environment",
    )
    dagster_storage: Literal["sqlite", "postgres"] = Field(
        "sqlite",
        description="Dagster's own runs and events: files of this home, or the database of $DAGSTER_POSTGRES_URL",
    )
    executor: Literal["in_process", "multiprocess"] = Field(
        "in_process",
        description="how Dagster runs a night's steps: one after the other in the run's own process, or each in a process of "
        "its own, as many at a time as there are cores; the tables are the same",
    )
    run_days: Annotated[int, Field(ge=1)] = Field(
        90, description="days that Dagster's record of a run is kept; the last good night of each shop always is"
    )
    alerts: Alerts = Alerts()
    schedule_hour: Annotated[int, Field(ge=0, le=23)] = Field(2, description="local hour of each shop's nightly run")


def as_of_default(shop: Shop, now: dt.datetime) -> dt.date:
    """The shop's configured date, else yesterday in its time zone at the moment `now` (with an offset)."""
    if shop.as_of is not None:
        return shop.as_of
    return now.astimezone(zoneinfo.ZoneInfo(shop.timezone)).date() - dt.timedelta(days=1)
