"""The segmentation report: every part is there, says what the data says in three languages, and no more than that."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import polars as pl
import pytest
from cases import ASSUMING, CASES, READERS, facts_of, frames_of, told, undrawn
from churn_frames import planted
from pydantic import ValidationError
from report_frames import AS_OF
from segmentation_frames import GROUPS, benchmark, profiles, tree

from lifecycle_assets.features.customer import CustomerFeatures
from lifecycle_assets.models.segment_personas import HOW_MUCH, HOW_OFTEN, LATELY
from lifecycle_assets.models.segment_profiles import SegmentProfiles
from lifecycle_assets.models.segmentation import SegmentationBenchmark
from lifecycle_assets.models.segmentation_centroids import SegmentationCentroids
from lifecycle_assets.models.segmentation_labels import SegmentationLabels
from lifecycle_assets.reports import segmentation, segments
from lifecycle_assets.reports.facts import Facts
from lifecycle_assets.reports.narrative import Catalogue, catalogue
from lifecycle_assets.reports.report import Report, sentences
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Reports, Segmentation
from lifecycle_assets.settings.segmentation import NUMERIC

PROSE = (
    "executive_summary",
    "cluster_analysis",
    "customer_insights",
    "marketing_recommendations",
    "channel_strategy",
    "product_cross_sell_ideas",
    "retention_actions",
    "next_steps",
)
# What a shop on its first night has none of.
FROM_BEFORE = ("segment_drift", "clv_evaluation")
LANGUAGES = {"en": "en-US", "es": "es-ES", "pt": "pt-BR"}


@pytest.fixture(autouse=True)
def _quick(request: pytest.FixtureRequest) -> Iterator[None]:
    with nullcontext() if "drawn" in request.node.name else undrawn():
        yield


def report_of(case: str, language: str = "en") -> Report:
    return told("segmentation", case, LANGUAGES[language])


def text_of(case: str, language: str = "en") -> str:
    page = report_of(case, language).page
    return " ".join(sentence.text.replace("\xa0", " ") for _, sentence in sentences(page))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", CASES)
def test_the_executive_summary_has_250_to_350_words(case: str, reader: str) -> None:
    assert 250 <= len(told("segmentation", case, reader).json["executive_summary"].split()) <= 350


@pytest.mark.parametrize("case", CASES)
def test_every_part_is_there_and_its_sentences_stand_on_the_page(case: str) -> None:
    report = report_of(case)
    document = report.json
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert set(report.own) == {*PROSE, "generated_on", "auto_insights", "dendrogram_insights", "cluster_metrics"}
    assert document["generated_on"] == "2024-06-30" and document["language"] == "en"
    said: dict[str, list[str]] = {}
    for line in document["text"]:
        said.setdefault(line["place"], []).append(line["text"])
    for key in PROSE:
        prose = [text for text in said[key] if text in document[key]]
        assert document[key] == " ".join(prose)
    assert document["auto_insights"] and set(document["auto_insights"]) <= set(said["auto_insights"])
    assert [row["cluster_id"] for row in document["cluster_metrics"]] == [g["cluster_id"] for g in GROUPS.get(case, [])]
    assert (document["dendrogram_insights"] is None) == (case not in {"rising", "flat", "falling"})


@pytest.mark.parametrize(
    ("case", "language", "sentence"),
    [
        ("rising", "en", "“Frequent top spenders, mostly active” holds 18% of the customers and brought 69% of the revenue."),
        ("rising", "es", "gasto muy alto, en su mayoría activos» reúne al 18 % de los clientes y aportó el 69 %"),
        ("rising", "pt", "gasto muito alto, em sua maioria ativos” reúne 18% dos clientes e trouxe 69% da receita."),
        ("rising", "en", "against 14% of all others. In relative terms that is 407% more (likely range +233% to +672%)."),
        ("rising", "es", "el 70 % de sus clientes está en riesgo o inactivo, frente al 14 % de todos los demás."),
        ("rising", "pt", "70% dos seus clientes estão em risco ou inativos, contra 14% de todos os outros."),
        ("rising", "en", "More of them moved to groups with higher spend (38) than to groups with lower spend (4), by more"),
        ("falling", "es", "grupos de menor gasto (25) que los que pasaron a grupos de mayor gasto (2)"),
        ("flat", "pt", "e para grupos de menor gasto (11) não mostram uma direção clara: a diferença pode ser obra do acaso."),
        ("superseded", "en", "Those are too few to say whether customers are moving"),
        ("silent", "es", "Nadie ha cambiado de grupo desde el 29 de junio de 2024."),
        ("tiny", "pt", "Os clientes não se dividem em grupos bem diferenciados."),
        ("empty", "es", "No hay clientes que agrupar: para formar grupos hacen falta clientes con al menos una compra."),
        ("flat", "en", "No group has clearly more customers at risk or lapsed than the others."),
        ("silent", "en", "Too few customers are at risk or lapsed to say that one group is slipping more than another."),
        ("flat", "en", "The groups run into each other (silhouette 0.31"),
        ("flat", "es", "se obtienen grupos distintos (concordancia de 0,40"),
        ("rising", "pt", "os grupos saem quase iguais (concordância de 0,91"),
        ("rising", "es", "Aparte de ellos, el 0,9 % de los clientes se parece demasiado poco a los demás"),
        ("flat", "pt", "o canal de venda preferido é o mesmo em todos os grupos (store)"),
        ("rising", "en", "The groups differ in their favourite sales channel: store and web."),
        ("silent", "es", "No se conoce el canal de venta de ningún grupo."),
        ("rising", "en", "75% hold Tea as well, 1.88 times as many as chance alone would give (between 1.68 and 2.09)."),
        ("flat", "es", "es Tea. Ninguna otra aparece en las mismas cestas más a menudo de lo que daría el azar."),
        ("falling", "pt", "Não se conhece nenhuma categoria de produto"),
        ("rising", "es", "antes que cualquier otra oferta, porque se alejan claramente más que en el resto (14 %)."),
        ("falling", "en", "most have lapsed, so begin with a small and cheap test before writing to the whole group."),
        ("flat", "pt", "gasto alto, em sua maioria ativos”: Our own <rule> 4U (parcela da receita: 75%)."),
        ("rising", "es", "Conservarlos y ofrecerles más (proporción de los ingresos: 69 %)."),
        ("superseded", "es", "sin gasto neto, en su mayoría activos, sobre todo de Honey (grupo 1)"),
        ("superseded", "en", "but after returns there is no revenue to share out."),
        ("falling", "en", "The tree joins all customers without a gap at which to cut it."),
        ("tiny", "es", "En riesgo o inactivos: 1 cliente, el 17 % del total."),
    ],
)  # fmt: skip
def test_the_text_says_what_the_data_says(case: str, language: str, sentence: str) -> None:
    assert sentence in text_of(case, language)


@pytest.mark.parametrize(
    ("case", "reader", "sentence"),
    [
        (
            "rising",
            "es-MX",
            "El grupo «Clientes de compra frecuente y gasto muy alto, en su mayoría activos» reúne al 18%",
        ),
        (
            "falling",
            "pt-BR",
            "Um grupo corre claramente mais risco do que os outros, “Clientes de compra única e gasto baixo, em sua maioria",
        ),
        ("flat", "en-US", "The tree of customers is cut into 2 branches; the largest holds 94% of them"),
        ("tiny", "es-ES", "Los clientes no se dividen en grupos bien diferenciados."),
        ("empty", "pt-BR", "Não há clientes para agrupar"),
    ],
)
def test_the_lifecycle_report_names_the_groups_in_the_readers_language(case: str, reader: str, sentence: str) -> None:
    page = told("lifecycle", case, reader).page
    assert sentence in " ".join(
        text.text.replace("\xa0", " ") for place, text in sentences(page) if place == "segments"
    )


def test_a_branch_of_a_few_customers_is_called_outliers() -> None:
    facts = _facts(frames_of("rising") | tree(apart=1, near=150))
    assert facts.value("tree.smallest") == pytest.approx(1 / 151, abs=1e-6)
    assert "parts off a few unusual customers" in _report(facts).json["dendrogram_insights"]
    assert "No branch parts off a mere handful" in report_of("rising").json["dendrogram_insights"]


def test_no_difference_is_called_whose_interval_covers_none() -> None:
    for n in (40, 400, 4000):
        groups = [{**row, "n_customers": n} for row in profiles("flat")]
        for share in (0.3, 0.32, 0.36, 0.5):
            gone = [round(0.3 * n), round(share * n)]
            stages = [{"n_active": n - out, "n_at_risk": 0, "n_won_back": 0, "n_lapsed": out} for out in gone]
            rows = [{**row, **stage} for row, stage in zip(groups, stages, strict=True)]
            facts = _facts(frames_of("flat") | planted(SegmentProfiles, rows))
            lo, hi = (facts.value(f"persona.2.slipping/others/{end}") for end in ("lo", "hi"))
            said = "Clearly more at risk than the others is" in _report(facts).json["executive_summary"]
            assert said == (float(str(lo)) > 0 or float(str(hi)) < 0)


def test_of_many_groups_alike_seldom_one_is_called_worse() -> None:
    groups, shops, each = 8, 120, 250
    rng = np.random.default_rng(3)
    rows = [{**profiles("flat")[0], "cluster_id": g, "segment_id": f"s{g}"} for g in range(1, groups + 1)]
    alike = planted(SegmentProfiles, rows)["segment_profiles"].with_columns(
        pl.lit(0).alias(f"n_{stage}") for stage in segments.STAGES
    )
    no_race = planted(SegmentationBenchmark, [])["segmentation_benchmark"]
    alarms = 0
    for _ in range(shops):
        gone = pl.Series(rng.binomial(each, 0.3, groups))
        people = alike.with_columns(n_customers=pl.lit(each), n_lapsed=gone, n_active=each - gone)
        found = segments.segments(people, no_race)
        alarms += any(found.verdict(f"persona.{row['cluster_id']}.slipping", "others") == "rising" for row in rows)
    # Some 4 of a hundred shops; with one interval at a time it would be 24.
    assert alarms / shops < 0.12


def test_every_persona_feature_and_shipped_rule_has_its_words() -> None:
    for language in LANGUAGES:
        words = catalogue(language)
        assert all(f"persona.{often}.{much}" in words for often in HOW_OFTEN for much in HOW_MUCH)
        assert all(f"persona.lately.{lately}" in words for lately in LATELY)
        assert all(f"feature.{name}" in words for name in NUMERIC)
        shipped = Segmentation()
        for insight in [*(rule.insight for rule in shipped.insights), shipped.otherwise]:
            assert f"insight.{insight}" in words


def test_the_customers_are_in_the_file_only_when_asked_for_and_then_hashed() -> None:
    salted = Reports(segmentation_payload=True, segmentation_payload_salt="a salt of many letters")
    other = Reports(segmentation_payload=True, segmentation_payload_salt="another salt of letters")
    frames = frames_of("rising") | _people()
    rows = [_payload(frames, reports) for reports in (salted, other)]
    for payload in rows:
        assert [sorted(row) for row in payload] == [
            sorted(["customer", "segment", "segment_id", "visit_frequency", "purchase_total", "category_diversity"])
        ] * 3
        assert {row["purchase_total"] for row in payload} == {1.5, 2.5, 3.5}
        assert "anna@example.com" not in json.dumps(payload)
    assert not {row["customer"] for row in rows[0]} & {row["customer"] for row in rows[1]}
    by_spend = {row["purchase_total"]: row["customer"] for row in rows[0]}
    text = "\x1f".join(["a salt of many letters", "anna@example.com"])
    assert by_spend[1.5] == hashlib.sha256(text.encode()).hexdigest()
    assert segmentation.PAYLOAD not in report_of("rising").json
    with pytest.raises(ValidationError, match="needs a segmentation_payload_salt"):
        Reports(segmentation_payload=True, segmentation_payload_salt="short")


def test_what_all_customers_have_in_common_is_no_feature_of_the_groups() -> None:
    """Categories in a shop that names none: bought from as many, by everyone."""
    alike = _people()
    apart = alike[CustomerFeatures.table].with_columns(category_diversity=pl.Series([0, 1, 2]))
    for people, telling in (
        (alike[CustomerFeatures.table], ["purchase_total"]),
        (apart, ["purchase_total", "category_diversity"]),
    ):
        facts = _facts(frames_of("rising") | {CustomerFeatures.table: people})
        assert [row["feature"] for row in facts.tables["features"]] == telling
    centroids = frames_of("rising")[SegmentationCentroids.table].collect()
    still = pl.col("feature") == "visit_frequency"
    level = centroids.with_columns(scaled=pl.when(still).then(0.0).otherwise("scaled"))
    rows = _facts(frames_of("rising") | {SegmentationCentroids.table: level.lazy()}).tables["centroids"]
    assert {row["feature"] for row in rows} == set(centroids["feature"]) - {"visit_frequency"}
    nobody = _facts(frames_of("rising") | {CustomerFeatures.table: apart.head(0)}).tables["features"]
    assert [row["feature"] for row in nobody] == list(ASSUMING.segmentation.features)


def test_the_order_of_the_rows_decides_nothing() -> None:
    shuffled = {
        name: frame.collect().sample(fraction=1.0, shuffle=True, seed=7).lazy()
        for name, frame in frames_of("rising").items()
    }
    assert json.dumps(_report(_facts(shuffled)).json) == json.dumps(_report(_facts(frames_of("rising"))).json)


def test_every_message_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[str] = set()
    pick = Catalogue.pick
    monkeypatch.setattr(Catalogue, "pick", lambda self, key, *form: used.add(key) or pick(self, key, *form))
    for case in GROUPS.keys() | {"empty"}:
        _report(facts_of("segmentation", case))
    _report(_facts(frames_of("rising") | tree(apart=1, near=150)))
    nobody_slips = [{**row, "n_active": row["n_customers"], "n_at_risk": 0, "n_lapsed": 0} for row in profiles("flat")]
    _report(_facts(frames_of("flat") | planted(SegmentProfiles, nobody_slips)))
    unfit = [{**row, "eligible": False, "chosen": False} for row in benchmark("rising")] + benchmark("tiny")
    _report(_facts(frames_of("tiny") | planted(SegmentationBenchmark, unfit)))
    first_night = {name: frame.clear() for name, frame in frames_of("rising").items() if name in FROM_BEFORE}
    _report(_facts(frames_of("rising") | planted(SegmentationBenchmark, benchmark("flat")) | first_night))
    unused = {
        key
        for key in catalogue("en").messages
        if key.startswith(
            ("segmentation.", "personas.", "chart.families", "chart.flows", "chart.centroids", "chart.tree")
        )
        and key not in used
    }
    # These follow where the summary is short of words.
    assert {key for key in unused if not key.startswith("segmentation.summary.")} == set()


def test_the_charts_are_drawn_with_their_words_at_both_widths() -> None:
    drawn = {figure.id: figure.picture for figure in _report(facts_of("segmentation", "rising"), "es").figures}
    assert list(drawn) == ["personas", "families", "flows", "centroids", "subsegments", "tree"]
    for picture in (drawn["tree"].wide, drawn["tree"].narrow):
        assert "Distancia de Ward" in picture and ">1<" in picture and ">2<" in picture
        assert picture.count("stroke-dasharray") == 1
        ends = [row["customers"] for row in facts_of("segmentation", "rising").tables["tree"] if row["one"] is None]
        assert len(ends) == segments.BRANCHES and sum(ends) == 260
    assert "Gasto total" in drawn["centroids"].wide and "1251" in drawn["centroids"].wide
    assert "no cumple las condiciones" in drawn["families"].wide
    assert "Un grupo que ya no existe" in drawn["flows"].wide


def _facts(frames: dict[str, pl.LazyFrame]) -> Facts:
    return segmentation.facts(Tables(frames), AS_OF, ASSUMING)


def _report(facts: Facts, language: str = "en") -> Report:
    return segmentation.report(facts, "corner", AS_OF, ASSUMING, language)


def _people() -> dict[str, pl.LazyFrame]:
    """Three customers in a group."""
    ids = ["anna@example.com", "b", "c"]
    rest = {"visit_frequency": 1, "category_diversity": 2, "purchase_total": [1.5, 2.5, 3.5]}
    return {
        SegmentationLabels.table: pl.LazyFrame({"customer_id": ids, "segment": 1, "segment_id": "x"}),
        CustomerFeatures.table: pl.LazyFrame({"customer_id": ids, **rest}),
    }


def _payload(frames: dict[str, pl.LazyFrame], reports: Reports) -> list[dict[str, Any]]:
    settings = ASSUMING.model_copy(update={"reports": reports})
    facts = segmentation.facts(Tables(frames), AS_OF, settings)
    document = segmentation.report(facts, "corner", AS_OF, settings, "en").json
    assert segmentation.PAYLOAD not in document["tables"]
    return document[segmentation.PAYLOAD]
