"""The pages that lead to the reports, in three languages, and how large they get."""

import datetime as dt

import pytest

from lifecycle_assets.reports.gallery import FORMATS, LANGUAGES, Entry, gallery, of_shop, page_name

NIGHT = dt.date(2024, 6, 30)
TITLES = {"en": "Lifecycle report", "es": "Informe del ciclo de vida", "pt": "Relatório do ciclo de vida"}
REPORTS = ("lifecycle", "forecast", "experiments", "segmentation", "backtest", "data_dictionary")


def entry(shop: str = "Corner", back: int = 0, report: str = "lifecycle", language: str = "en") -> Entry:
    as_of = str(NIGHT - dt.timedelta(days=back))
    headline = f"{shop} {report} {language} {as_of}"
    return Entry(shop, shop.lower(), as_of, report, TITLES[language], language, headline, FORMATS)


@pytest.mark.parametrize(
    ("language", "title", "dated"),
    [
        ("en", "Reports", "As of June 30, 2024"),
        ("es", "Informes", "Datos hasta el 30 de junio de 2024"),
        ("pt", "Relatórios", "Dados até 30 de junho de 2024"),
    ],
)
def test_it_speaks_the_readers_language_and_leads_to_the_others(language: str, title: str, dated: str) -> None:
    page = gallery([entry(language=other) for other in LANGUAGES], language)
    assert f'<html lang="{language}">' in page and f"<h1>{title}</h1>" in page and dated in page
    assert f'<a href="corner/2024-06-30/lifecycle.{language}.html" hreflang="{language}">{TITLES[language]}</a>' in page
    assert f"Corner lifecycle {language} 2024-06-30" in page
    for other in LANGUAGES:
        assert (f'href="{page_name(other)}"' in page) == (other != language)
        for suffix in FORMATS:
            assert f'href="corner/2024-06-30/lifecycle.{other}.{suffix}"' in page


def test_a_report_that_is_not_in_the_readers_language_is_shown_in_its_own() -> None:
    assert '<p lang="es">Corner lifecycle es 2024-06-30</p>' in gallery([entry(language="es")], "pt")


def test_the_latest_night_comes_first_then_shops_by_name() -> None:
    page = gallery([entry("beta"), entry("Alpha", back=1), entry("Gamma"), entry("Äther")], "en")
    assert [page.index(f">{shop}</h2>") for shop in ("beta", "Gamma", "Äther", "Alpha")] == sorted(
        page.index(f">{shop}</h2>") for shop in ("beta", "Gamma", "Äther", "Alpha")
    )


def test_the_reports_most_read_come_first_and_unknown_ones_last() -> None:
    page = gallery([entry(report=report) for report in ("zoning", "audit", *sorted(REPORTS))], "en")
    shown = ("lifecycle", "segmentation", "forecast", "experiments", "backtest", "data_dictionary", "audit", "zoning")
    places = [page.index(f"Corner {report}") for report in shown]
    assert places == sorted(places)


def test_no_report_is_said_to_be_there_before_the_first() -> None:
    assert "There are no reports yet." in gallery([], "en")
    assert "Todavía no hay informes." in of_shop([], "es")


def test_older_nights_are_folded_by_month_and_the_latest_is_whole() -> None:
    page = of_shop([entry(back=back) for back in range(40)], "es")
    assert page.count("Corner lifecycle") == 1 and "Corner lifecycle en 2024-06-30" in page
    assert page.index("<summary>junio de 2024") < page.index("<summary>mayo de 2024")
    assert page.count('<li class="older">') == 39
    assert 'href="../index.es.html"' in page


def test_pages_stay_small_with_many_shops_and_nights() -> None:
    of_night = [(report, language) for report in REPORTS for language in LANGUAGES]
    shops = gallery((entry(f"Shop {n}", 0, *kind) for n in range(50) for kind in of_night), "en")
    nights = of_shop((entry("Corner", back, *kind) for back in range(365) for kind in of_night), "en")
    assert len(shops) < 1_000_000 and len(nights) < 500_000
