"""Request bodies as JSON lines: `requests.jsonl` holds one body per line, ready to be posted, and `requests.csv` says which
request (line of requests.jsonl, counted from 1) carries which message, when it may be sent and until when.

Bodies are columns, lists and structures of a frame, which polars writes as JSON. Requests are written slice by slice, so
memory stays bounded. Text is UTF-8; timestamps are ISO 8601, UTC with a Z.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import BinaryIO

import polars as pl

Files = Mapping[str, Callable[[BinaryIO], None]]
SLICE = 100_000  # messages that are turned into bodies at once
KEY = "idempotency_key"


def one_each(messages: pl.DataFrame, body: Mapping[str, pl.Expr]) -> Files:
    """A request for every message, in the order of idempotency_key. `body`: the fields of a request, over the messages'
    columns."""
    order = messages.select(KEY).with_row_index("row").sort(KEY)
    plan = order.select("row", request=pl.int_range(1, pl.len() + 1))
    return _files(messages, plan, lambda part: part.select(**body))


def in_chunks(
    messages: pl.DataFrame,
    item: pl.Expr,
    body: Mapping[str, pl.Expr],
    *,
    size: int,
    together: Sequence[str] = (),
    most_bytes: int | None = None,
) -> Files:
    """Requests of `size` messages at most, and of `most_bytes` of JSON in their items, in the order of idempotency_key.

    `item`: what a request says of one message, over the messages' columns. `body`: the fields of a request, over `items`
    (the list of its items) and the columns `together`, which all messages of a request have in common.
    """
    order = messages.select(KEY, *together).with_row_index("row").sort(*together, KEY)
    order = order.with_columns(group=pl.struct(*together).rle_id() if together else pl.lit(0))
    # A request ends where the value of any of these does.
    ends = {"group": pl.col("group"), "count": pl.int_range(pl.len()).over("group") // size}
    if most_bytes is not None:
        order = order.with_columns(bytes=sizes(messages, item).gather(order.get_column("row")))
        before = pl.col("bytes").cum_sum() - pl.col("bytes")
        # What comes before an item in its request leaves room for the largest one.
        ends["bytes"] = before // (most_bytes + 1 - pl.col("bytes").max())
    plan = order.select("row", request=record(ends).rle_id() + 1)

    def bodies(part: pl.DataFrame) -> pl.DataFrame:
        items = part.select("request", *together, items=item)
        return items.group_by("request", *together, maintain_order=True).agg("items").select(**body)

    return _files(messages, plan, bodies)


def record(fields: Mapping[str, pl.Expr]) -> pl.Expr:
    """A structure of the fields, in their order."""
    return pl.struct([value.alias(name) for name, value in fields.items()])


def sizes(messages: pl.DataFrame, item: pl.Expr) -> pl.Series:
    """The bytes of each message's item in JSON, with the comma after it."""
    length = item.struct.json_encode().str.len_bytes().cast(pl.Int64) + 1
    parts = [part.select(bytes=length).to_series() for part in messages.iter_slices(SLICE)]
    return pl.concat([pl.Series("bytes", [], dtype=pl.Int64), *parts])


def stamp(moment: str) -> pl.Expr:
    """The column in ISO 8601, UTC with a Z."""
    return pl.col(moment).dt.strftime("%Y-%m-%dT%H:%M:%SZ")


def unix(moment: str) -> pl.Expr:
    """The column in seconds since 1970."""
    return pl.col(moment).dt.epoch("s")


def _files(messages: pl.DataFrame, plan: pl.DataFrame, bodies: Callable[[pl.DataFrame], pl.DataFrame]) -> Files:
    """`plan`: row (of `messages`) and request, in the order of the requests."""

    def slices() -> Iterator[pl.DataFrame]:
        for part in _whole(plan):
            yield messages[part.get_column("row")].with_columns(part.get_column("request"))

    def jsonl(target: BinaryIO) -> None:
        for part in slices():
            bodies(part).write_ndjson(target)

    def csv(target: BinaryIO) -> None:
        for number, part in enumerate(slices()):
            lines = part.select("request", KEY, send_at=stamp("send_at"), expires_at=stamp("expires_at"))
            lines.write_csv(target, include_header=number == 0, line_terminator="\n")

    return {"requests.jsonl": jsonl, "requests.csv": csv}


def _whole(plan: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The plan in slices of about SLICE messages, none of which ends inside a request."""
    requests = plan.get_column("request")
    start = 0
    while start < plan.height:
        end = min(start + SLICE, plan.height)
        if end < plan.height:
            end = int(requests.search_sorted(requests[end], side="left"))
        yield plan.slice(start, end - start)
        start = end
