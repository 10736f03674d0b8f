"""The same hierarchy by full Markov chain Monte Carlo, once, on a fixed sample.

`python -m bench.posteriors_mcmc tests/models/beta_binomial_mcmc.json` writes the sample and the figures that the tests hold
ours against. It needs numpyro, in an environment of its own.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from lifecycle_assets.models.beta_binomial import CENTRE, CENTRE_SD, SCALE, SHAPE

MEANS, KAPPAS = (0.04, 0.07, 0.10, 0.15), (20.0, 30.0, 15.0, 25.0)
UNITS, SHOWN, CHAINS, WARM_UP, DRAWS = 150, 30, 4, 1_000, 4_000


def sample() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Trials, responses and group of units whose rates are drawn around known means."""
    rng = np.random.default_rng(7)
    group = np.repeat(np.arange(len(MEANS)), UNITS)
    mean, kappa = np.asarray(MEANS)[group], np.asarray(KAPPAS)[group]
    trials = rng.poisson(rng.choice([4.0, 12.0, 40.0], group.size))
    return trials, rng.binomial(trials, rng.beta(kappa * mean, kappa * (1 - mean))), group


def fitted(trials: np.ndarray, responses: np.ndarray, group: np.ndarray) -> dict[str, Any]:
    """Means and 90 % intervals of the first units of each group, kappas, and the worst split R-hat."""
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from numpyro.diagnostics import split_gelman_rubin
    from numpyro.infer import MCMC, NUTS

    jax.config.update("jax_enable_x64", True)

    def model() -> None:
        centre = numpyro.sample("centre", dist.Normal(CENTRE, CENTRE_SD).to_event(1))
        variance = numpyro.sample("variance", dist.InverseGamma(SHAPE * jnp.ones(2), SCALE).to_event(1))
        offset = numpyro.sample("offset", dist.Normal(jnp.zeros((len(MEANS), 2)), 1.0).to_event(2))
        theta = centre + offset * jnp.sqrt(variance)
        mean, kappa = jax.nn.sigmoid(theta[:, 0]), jnp.exp(theta[:, 1])
        numpyro.deterministic("mean", mean)
        numpyro.deterministic("kappa", kappa)
        a, b = (kappa * mean)[group], (kappa * (1 - mean))[group]
        numpyro.sample("x", dist.BetaBinomial(a, b, total_count=trials), obs=responses)

    chain = MCMC(NUTS(model, target_accept_prob=0.95), num_warmup=WARM_UP, num_samples=DRAWS, num_chains=CHAINS,
                 chain_method="sequential", progress_bar=False)  # fmt: skip
    chain.run(jax.random.PRNGKey(0))
    drawn = {name: np.asarray(values) for name, values in chain.get_samples().items()}
    mean, kappa = drawn["mean"], drawn["kappa"]
    shown = np.flatnonzero(np.arange(group.size) % UNITS < SHOWN // len(MEANS) + 1)[:SHOWN]
    a = (kappa * mean)[:, group[shown]] + responses[shown]
    b = (kappa * (1 - mean))[:, group[shown]] + (trials - responses)[shown]
    rates = np.random.default_rng(0).beta(a, b)
    by_chain = chain.get_samples(group_by_chain=True)
    worst = max(float(np.max(split_gelman_rubin(np.asarray(by_chain[name])))) for name in ("mean", "kappa"))
    return {
        "units": shown.tolist(),
        "mean": np.round((a / (a + b)).mean(axis=0), 5).tolist(),
        "lo": np.round(np.quantile(rates, 0.05, axis=0), 5).tolist(),
        "hi": np.round(np.quantile(rates, 0.95, axis=0), 5).tolist(),
        "group_mean": np.round(mean.mean(axis=0), 5).tolist(),
        "kappa_median": np.round(np.median(kappa, axis=0), 3).tolist(),
        "kappa_lo": np.round(np.quantile(kappa, 0.05, axis=0), 3).tolist(),
        "kappa_hi": np.round(np.quantile(kappa, 0.95, axis=0), 3).tolist(),
        "worst_r_hat": round(worst, 5),
    }


def main(path: Path) -> None:
    trials, responses, group = sample()
    figures = {"trials": trials.tolist(), "responses": responses.tolist(), "group": group.tolist()}
    path.write_text(json.dumps({**figures, **fitted(trials, responses, group)}) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
