"""Tables under the names of `raw.*`, columns under their own names: nothing to map."""

from lifecycle_assets.inputs.mapping import Format, Recipe

# What shops call the three states of an order, in the languages that headers are guessed in.
STATUS_WORDS = {
    "completed": "complete paid shipped delivered fulfilled completado completada pagado pagada enviado enviada entregado "
    "entregada concluido concluída pago enviado abgeschlossen bezahlt versendet geliefert terminé payé expédié livré",
    "cancelled": "canceled void voided cancelado cancelada anulado anulada storniert annulé annulée",
    "refunded": "refund returned reembolsado reembolsada devuelto devuelta erstattet remboursé remboursée",
}
STATUSES: dict[str, str | None] = {
    word: status for status, words in STATUS_WORDS.items() for word in [status, *words.split()]
}

CANONICAL = Format(
    "canonical",
    {"order_lines": Recipe(names=("order_lines", "orders"), values={"status": STATUSES})},
    marks=(("order_id", "ordered_at", "unit_price"),),
)
