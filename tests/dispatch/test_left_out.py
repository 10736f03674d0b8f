"""Steps that nobody gets are told: the shop's own one by one, the shipped ones together."""

from lifecycle_assets.dispatch.left_out import left_out
from lifecycle_assets.settings import Shop, parse

FIVE_LINES = "name: x\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: /x\n"
STEP = "{channels: [%s], offers: [winback_10], response_rate: 0.1}"


def told(*overrides: str) -> list[str]:
    return list(left_out(parse(Shop, FIVE_LINES, "x", overrides)))


def test_the_shipped_steps_that_wait_for_a_channel_are_one_line() -> None:
    assert told() == [
        "steps left out because their channels are not enabled: "
        "winback 2 (sms, whatsapp), winback 3 (call), winback_premium 2 (postal)"
    ]
    everything = [f"routing.channels.{name}.enabled=true" for name in ("sms", "call", "postal")]
    assert told(*everything) == []
    assert told("routing.programmes.winback.enabled=false", "routing.programmes.winback_premium.enabled=false") == []


def test_a_step_of_the_shop_itself_has_a_line_of_its_own() -> None:
    own, shipped = told(f"routing.programmes.winback.steps=[{STEP % 'email'}, {STEP % 'sms, push'}]")
    assert own == "programme winback, step 2: sms, push are not enabled; the step is left out"
    assert "winback_premium 2" in shipped
    assert "winback 2" not in shipped


def test_a_channel_without_a_template_for_the_content_carries_nothing() -> None:
    network = "routing.channels.whatsapp={enabled: true, approved_templates: {welcome: hello_1}}"
    assert told(network)[0] == "programme winback, step 2: no approved template on whatsapp; the step is left out"
