"""Batches for a sending tool: what it would refuse is put aside at export, counted and listed, and the others go out."""

import csv
import datetime as dt
import json
from pathlib import Path
from typing import Any

import polars as pl
from dispatch_world import LAPSED, World
from test_release import events, files_of, night_in

from lifecycle_assets.dispatch.ledger import fates

MAILS = """
routing: {channels: {email: {destination: sendgrid}}}
"""
SENDER = ["dispatch.destinations.sendgrid.sender=hola@shop.example"]
PHONES = """
routing:
  channels:
    sms: {enabled: true, destination: twilio, cost: 0}
    push: {enabled: true, destination: fcm, addressed_by: push_token}
  programmes:
    winback: {steps: [{channels: [sms], offers: [winback_10], response_rate: 0.9}]}
    welcome: {steps: [{channels: [push], offers: [welcome_hello], response_rate: 0.9}]}
"""
SERVICE = [
    "dispatch.landing_url=null",
    "dispatch.templates={welcome.push.en: {subject: Hello, text: Welcome}}",
    f"dispatch.destinations.twilio.messaging_service_sid=MG{'0' * 32}",
]
PEOPLE = {
    "ana": LAPSED,
    "bea": {**LAPSED, "email": "bea@localhost"},
    "eva": {**LAPSED, "email": "eva smith@example.com"},
    "ida": {**LAPSED, "email": "ida@example.com", "consent_email": True},
}


def world(**more: Any) -> World:
    return World(dict(PEOPLE), yaml=MAILS, settings=SENDER, **more)


def folder_of(home: Path) -> Path:
    (folder,) = (home / "dispatch").glob("*/*/[!.]*")
    return folder


def test_what_the_tool_would_refuse_is_put_aside_and_told(tmp_path: Path) -> None:
    night = night_in(tmp_path, world())
    night.plan()
    late = dt.datetime(2025, 3, 2, 1, tzinfo=dt.UTC)
    night.world.consents.append({"customer_id": "ida", "channel": "email", "granted": False, "occurred_at": late})
    outcome = night.release()
    assert (outcome.exported, outcome.cancelled, outcome.batches) == (1, 3, 1)
    folder = folder_of(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json",
        "requests.csv",
        "requests.jsonl",
        "set_aside.csv",
    ]
    (request,) = [json.loads(line) for line in (folder / "requests.jsonl").read_text("utf-8").splitlines()]
    (mail,) = request["personalizations"]
    assert mail["to"] == [{"email": "someone@example.com"}]
    assert mail["send_at"] == dt.datetime(2025, 3, 2, 9, tzinfo=dt.UTC).timestamp()
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert manifest["destination"] == {"adapter": "sendgrid", "version": 1}
    assert manifest["messages"] == 1
    assert manifest["withheld_at_export"] == {"no_consent": 1, "unfit_address": 2}

    keys = dict(night.tables["messages"].select("customer_id", "idempotency_key").iter_rows())
    with (folder / "set_aside.csv").open(encoding="utf-8", newline="") as handle:
        listed = list(csv.DictReader(handle))
    assert {row["idempotency_key"]: row["reason"] for row in listed} == dict.fromkeys(
        [keys["bea"], keys["eva"]], "unfit_address"
    )
    assert "@" not in (folder / "set_aside.csv").read_text("utf-8")
    assert events(night) == [
        ("ana", "exported"),
        ("ana", "planned"),
        *((name, event) for name in ("bea", "eva", "ida") for event in ("cancelled", "planned")),
    ]
    told = fates(night.lines().lazy(), night.world.as_of).collect()
    assert dict(told.select("customer_id", "withheld").iter_rows()) == {
        "ana": None,
        "bea": "unfit_address",
        "eva": "unfit_address",
        "ida": "no_consent",
    }
    before = files_of(tmp_path)
    assert night_in(tmp_path, night.world, night.tables).run().exported == 0
    assert files_of(tmp_path) == before


def test_a_batch_of_which_all_is_put_aside_is_not_delivered(tmp_path: Path) -> None:
    people = {"bea": PEOPLE["bea"]}
    night = night_in(tmp_path, World(people, yaml=MAILS, settings=SENDER))
    assert (night.run().exported, list((tmp_path / "dispatch").glob("*/*/*"))) == (0, [])
    assert events(night) == [("bea", "cancelled"), ("bea", "planned")]


def test_without_anyone_put_aside_there_is_no_list(tmp_path: Path) -> None:
    night = night_in(tmp_path, World({"ana": LAPSED}, yaml=MAILS, settings=SENDER))
    assert night.run().exported == 1
    assert not (folder_of(tmp_path) / "set_aside.csv").exists()


def test_text_messages_go_to_national_numbers_in_e164_and_push_to_the_token_of_the_input(tmp_path: Path) -> None:
    token = "a" * 152
    allowed = {"consent_sms": True, "consent_push": True}
    people = {
        "ana": {**LAPSED, **allowed, "phone": "600 12 34 56"},
        "luc": {**LAPSED, **allowed, "phone": "06 12 34 56 78", "country": "FR"},
        "neu": {
            **LAPSED,
            **allowed,
            "stage": "new",
            "recency_days": 5,
            "attributes": json.dumps({"push_token": token}),
        },
        "old": {**LAPSED, **allowed, "stage": "new", "recency_days": 5, "attributes": json.dumps({"size": "M"})},
    }
    night = night_in(tmp_path, World(people, yaml=PHONES, settings=SERVICE))
    assert night.run().exported == 3
    assert night.tables["decisions"].filter(customer_id="old")["reason"].to_list() == ["no_address"]
    bodies = [
        json.loads(line)
        for path in sorted((tmp_path / "dispatch").glob("*/*/[!.]*/requests.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    assert sorted(body["To"] for body in bodies if "To" in body) == ["+33612345678", "+34600123456"]
    assert [body["message"]["token"] for body in bodies if "message" in body] == [token]
    assert pl.Series(night.tables["messages"]["address"]).to_list() == [
        "600 12 34 56",
        "06 12 34 56 78",
        token,
    ]
