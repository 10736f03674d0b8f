"""Messages into hours with limited room, compiled by numba. Import it inside the function that needs it."""

import numpy as np
from numba import njit

NOWHERE = -1


@njit(cache=True)
def assign(
    place: np.ndarray,
    wishes: np.ndarray,
    earliest: np.ndarray,
    order: np.ndarray,
    moments: np.ndarray,
    allowed: np.ndarray,
    bucket: np.ndarray,
    room: np.ndarray,
    left: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The local hour of every message (NOWHERE for none) and how many hours were liked better.

    The messages come best first, each takes the first hour it likes that is allowed, not before `earliest` and has room.
    Per message: `place` (row of the tables by place), `wishes` (hours, best first, NOWHERE where there is none; the first is
    always given), `earliest`. Per place and hour: `moments`, `allowed`, `bucket` (position in `room`). `order` holds per
    place and first wish all hours, the nearest first. `room` is used up; `left` is the room of the whole night.
    """
    hours = np.full(place.size, NOWHERE, dtype=np.int8)
    better = np.zeros(place.size, dtype=np.int8)
    for i in range(place.size):
        if left == 0:
            break
        p = place[i]
        tried = np.int64(0)
        count = 0
        for q in range(wishes.shape[1] + order.shape[2]):
            h = wishes[i, q] if q < wishes.shape[1] else order[p, wishes[i, 0], q - wishes.shape[1]]
            if h == NOWHERE or tried >> h & 1:
                continue
            tried |= np.int64(1) << np.int64(h)
            if allowed[p, h] and moments[p, h] >= earliest[i] and room[bucket[p, h]] > 0:
                room[bucket[p, h]] -= 1
                left -= 1
                hours[i], better[i] = h, count
                break
            count += 1
    return hours, better
