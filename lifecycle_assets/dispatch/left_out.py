"""Steps of programmes that nobody gets, because no channel of theirs can carry them. They fail nothing, so they are told."""

from collections.abc import Iterator

from lifecycle_assets.dispatch.offers import lanes
from lifecycle_assets.settings import Routing, Shop


def left_out(shop: Shop) -> Iterator[str]:
    """One sentence per step, and one on all those that ship configured and wait for a channel."""
    routing = shop.routing
    sent = {(lane.name, lane.number) for lane in lanes(routing)}
    shipped = Routing.model_validate({}).programmes
    waiting = []
    for name, programme in routing.programmes.items():
        for number, step in enumerate(programme.steps, 1):
            if not programme.enabled or (name, number) in sent:
                continue
            ready = [channel for channel in step.channels if routing.channels[channel].enabled]
            if ready:
                yield f"programme {name}, step {number}: no approved template on {', '.join(ready)}; the step is left out"
            elif name in shipped and shipped[name].steps == programme.steps:
                waiting.append(f"{name} {number} ({', '.join(step.channels)})")
            else:
                verb = "is" if len(step.channels) == 1 else "are"
                off = f"{', '.join(step.channels)} {verb} not enabled"
                yield f"programme {name}, step {number}: {off}; the step is left out"
    if waiting:
        yield f"steps left out because their channels are not enabled: {', '.join(waiting)}"
