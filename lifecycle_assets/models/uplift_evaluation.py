"""What did each campaign change, and does any score find those whom it changes most?

The average treatment effect of a randomised campaign is the difference of the response rates, its 95 % interval Newcombe's
("Interval estimation for the difference between independent proportions", 1998, method 10). Where the treatment was not drawn
at random it is the mean of the doubly robust signal (see uplift_learners.signal). A known share c of contaminated controls
re-weights their response rate, p0 = (p_obs - c p1) / (1 - c), which multiplies every effect by 1 / (1 - c).

The candidates are raced by uplift_trial; Qini and AUUC are defined in uplift_curve. A campaign with too few customers, treated,
controls or responses, or of whose customers nothing is known, is refused: one row with the counts and no scores.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dataframely as dy
import polars as pl

from lifecycle_assets.confidence import Z
from lifecycle_assets.contracts import as_of_column, count, flag, key, number, share, shop_key, table, text
from lifecycle_assets.markdown import markdown
from lifecycle_assets.models.uplift_rates import rate_difference
from lifecycle_assets.models.uplift_trial import Trial

REFUSED = "none"


@table("models.uplift_evaluation", needs=("raw.campaign_assignments",))
class UpliftEvaluation(dy.Schema):
    """What each campaign changed, and how well every candidate ranks its customers by that: one row per campaign and candidate;
    one row `none` for a campaign that was refused. The intervals of Qini of a campaign's candidates hold together with 95 %."""

    shop_id = shop_key()
    as_of = as_of_column()
    campaign_id = key("The campaign.")
    candidate = key("The way of learning; none for a refused campaign.")
    chosen = flag("Its scores are in models.uplift_scores: the highest Qini; the DR learner when not randomised.")
    is_used = flag("Chosen, and better than chance and than the response model: routing may rely on it.")
    n_treated = count("Treated customers.", "customers")
    n_control = count("Controls.", "customers")
    treatment_cr = share("Responses per treated customer.", nullable=True)
    control_cr = number("Responses per control, corrected for contaminated ones.", "share", nullable=True)
    average_treatment_effect = number("Change of the probability of a response by treatment.", "share", nullable=True)
    ate_lo = number(
        "Lower end of its 95 % interval; null where treated and controls are too unlike to be compared.",
        "share",
        nullable=True,
    )
    ate_hi = number("Upper end of its 95 % interval.", "share", nullable=True)
    randomised = flag("Whether the features do not tell who was treated.", nullable=True)
    propensity_auc = share("How well they tell it: area under the ROC curve; .5 is chance.", nullable=True)
    beyond_overlap = share("Customers with a probability of treatment beyond .05 and .95.", nullable=True)
    effective_sample_size = number(
        "Equally weighted customers worth the weighted ones.", "customers", nullable=True, minimum=0
    )
    largest_difference = number(
        "Largest standardised difference of a feature's means between the arms.", nullable=True, minimum=0
    )
    qini = number("Area between the gain curve and a random order's.", "responses per treated customer", nullable=True)
    qini_lo = number("Lower end of its interval.", "responses per treated customer", nullable=True)
    qini_hi = number("Upper end of its interval.", "responses per treated customer", nullable=True)
    qini_response_model = number(
        "Qini of a plain response model: customers ranked by their response when treated.",
        "responses per treated customer",
        nullable=True,
    )
    qini_gain_lo = number(
        "Lower end of the interval of qini - qini_response_model.", "responses per treated customer", nullable=True
    )
    qini_gain_hi = number("Upper end of that interval.", "responses per treated customer", nullable=True)
    auuc = number("Area under the uplift curve.", "responses per customer", nullable=True)
    auuc_lo = number("Lower end of its interval.", "responses per customer", nullable=True)
    auuc_hi = number("Upper end of its interval.", "responses per customer", nullable=True)
    placebo_qini = number(
        "Qini of the chosen candidate learnt on shuffled treatment.", "responses per treated customer", nullable=True
    )
    placebo_lo = number("Lower end of its 95 % interval.", "responses per treated customer", nullable=True)
    placebo_hi = number("Upper end of its 95 % interval.", "responses per treated customer", nullable=True)
    heterogeneity_found = flag("Whether the interval of Qini lies above 0.")
    note = text("What to know about this row.", nullable=False)


@dataclass(frozen=True)
class Refusal:
    """A campaign that was not learnt from, its counts, and why."""

    campaign_id: str
    n_treated: int
    n_control: int
    reason: str


def uplift_evaluation(
    trials: Sequence[Trial],
    refusals: Sequence[Refusal],
    left_out: pl.DataFrame,
    names: Mapping[str, Sequence[str]],
    shop_id: str,
    as_of: dt.date,
) -> pl.DataFrame:
    """One row per campaign and candidate, sorted by them. `left_out` has campaign_id and a sentence; `names` are those of each
    trial's features."""
    rows = [pl.DataFrame(schema={"campaign_id": pl.String, "note": pl.String})]
    rows += [_raced(trial, names[trial.campaign_id]) for trial in trials]
    rows += [_refused(refusal) for refusal in refusals]
    made = pl.concat(rows, how="diagonal_relaxed").join(left_out, on="campaign_id", how="left")
    made = made.with_columns(
        note=pl.concat_str("note", "left_out", separator=" ", ignore_nulls=True),
        shop_id=pl.lit(shop_id),
        as_of=pl.lit(as_of),
    )
    missing = {
        name: pl.lit(None, dtype=kind)
        for name, kind in UpliftEvaluation.polars_schema.items()
        if name not in made.columns
    }
    return UpliftEvaluation.conform(made.with_columns(**missing).lazy()).sort("campaign_id", "candidate").collect()


def shown(evaluation: pl.DataFrame) -> str:
    """The chosen candidates and the refusals as a markdown table."""
    columns = ["campaign_id", "candidate", "is_used", "average_treatment_effect", "ate_lo", "ate_hi", "qini", "note"]
    return markdown(evaluation.filter(pl.col("chosen") | (pl.col("candidate") == REFUSED)).select(columns), longest=300)


def average_effect(trial: Trial) -> tuple[float, float | None, float | None]:
    """The average treatment effect and its 95 % interval; no interval where the treated and the controls are too unlike."""
    if not trial.assigned.randomised:
        mean, error = trial.calibration.mean, trial.calibration.error
        return (mean, mean - Z * error, mean + Z * error) if trial.assigned.is_comparable else (mean, None, None)
    control, treated = (trial.arms.response[trial.arms.treated == arm] for arm in (0, 1))
    difference, low, high = rate_difference(treated, control)
    return trial.dilution * difference, trial.dilution * low, trial.dilution * high


def control_rate(trial: Trial) -> float:
    """Responses per control, corrected for contaminated controls."""
    observed, treated = (float(trial.arms.response[trial.arms.treated == arm].mean()) for arm in (0, 1))
    return treated - trial.dilution * (treated - observed)


def _raced(trial: Trial, names: Sequence[str]) -> pl.DataFrame:
    effect, low, high = average_effect(trial)
    treated, assigned = trial.arms.treated, trial.assigned
    is_chosen, found = pl.col("candidate") == trial.chosen, pl.col("qini_lo") > 0
    placebo, placebo_lo, placebo_hi = trial.placebo
    return trial.race.rename({"gain_lo": "qini_gain_lo", "gain_hi": "qini_gain_hi"}).with_columns(
        campaign_id=pl.lit(trial.campaign_id),
        chosen=is_chosen,
        is_used=is_chosen & pl.lit(trial.is_used),
        n_treated=pl.lit(int(treated.sum())),
        n_control=pl.lit(int((1 - treated).sum())),
        treatment_cr=pl.lit(float(trial.arms.response[treated == 1].mean())),
        control_cr=pl.lit(control_rate(trial)),
        average_treatment_effect=pl.lit(effect),
        ate_lo=pl.lit(low, dtype=pl.Float64),
        ate_hi=pl.lit(high, dtype=pl.Float64),
        randomised=pl.lit(assigned.randomised),
        propensity_auc=pl.lit(assigned.auc),
        beyond_overlap=pl.lit(assigned.beyond_overlap),
        effective_sample_size=pl.lit(assigned.effective_sample_size),
        largest_difference=pl.lit(assigned.largest_difference),
        qini_response_model=pl.lit(trial.qini_response_model),
        placebo_qini=pl.when(is_chosen).then(placebo),
        placebo_lo=pl.when(is_chosen).then(placebo_lo),
        placebo_hi=pl.when(is_chosen).then(placebo_hi),
        heterogeneity_found=found,
        note=pl.when(is_chosen)
        .then(pl.lit(" ".join(_told(trial, names))))
        .when(found)
        .then(pl.lit("Qini is above 0."))
        .otherwise(pl.lit("No heterogeneity was found: the interval of Qini covers 0.")),
    )


def _told(trial: Trial, names: Sequence[str]) -> list[str]:
    """What to know about the chosen candidate, in sentences."""
    winner = trial.race.row(by_predicate=pl.col("candidate") == trial.chosen, named=True)
    assigned = trial.assigned
    said = []
    if winner["qini_lo"] <= 0:
        said.append("No heterogeneity was found: the interval of Qini covers 0. Uplift is not used.")
    elif winner["gain_lo"] <= 0:
        said.append("Not shown to rank better than a plain response model: uplift is not used.")
    elif not trial.placebo.is_quiet:
        said.append("The placebo test found an effect of a shuffled treatment: uplift is not used.")
    else:
        said.append("Ranks better than chance and than a plain response model.")
    if not assigned.randomised:
        said.append(
            f"The treatment was not randomised: the features tell who was treated (AUC {assigned.auc:.3f}). Propensities "
            f"weigh the customers; {assigned.beyond_overlap:.1%} lie beyond .05 and .95, the effective sample is "
            f"{assigned.effective_sample_size:.0f} of {trial.arms.treated.size}, the largest standardised difference is "
            f"{assigned.largest_difference:.2f} ({names[assigned.furthest]})."
        )
        said.append("What else decided about the treatment stays in the effect.")
        if assigned.is_comparable:
            said.append("The interval leaves out the error of the models of treatment and response.")
        else:
            said.append("Treated and controls are too unlike for an interval of the effect: uplift is not used.")
    if trial.dilution > 1:
        said.append(f"{1 - 1 / trial.dilution:.1%} of the controls count as reached: effects are divided by the rest.")
        if control_rate(trial) < 0:
            said.append("So many can not have been: the controls' response rate would be below 0.")
    return said


def _refused(refusal: Refusal) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "campaign_id": refusal.campaign_id,
            "candidate": REFUSED,
            "chosen": False,
            "is_used": False,
            "n_treated": refusal.n_treated,
            "n_control": refusal.n_control,
            "heterogeneity_found": False,
            "note": refusal.reason,
        }
    )
