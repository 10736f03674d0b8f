"""The pages in a real browser with the network off: accessible, readable on a phone, printable on A4."""

import hashlib
import io
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sample_page
from axe_playwright_python.sync_playwright import Axe
from cases import REPORTS, told
from playwright.sync_api import Browser, Page, sync_playwright
from pypdf import PdfReader

from resources.report_store import ReportStore

pytestmark = pytest.mark.slow
WIDTHS = (1280, 360)
READERS = ("en-US", "es-ES", "pt-BR")
LOOKED_AT: set[str] = set()
# Everything that WCAG asks for at its levels A and AA, and what axe holds to be good practice.
# Of what is in order one example is handed over, not every element of the page.
AXE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        told = pytest.fail if os.environ.get("CI") else pytest.skip
        told("no Chromium on the PATH: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ReportStore:
    return ReportStore(tmp_path_factory.mktemp("reports"))


@pytest.fixture(scope="module")
def galleries(store: ReportStore) -> list[Path]:
    made = [sample_page.report(language, shop=shop) for shop in ("corner", "attic") for language in ("en", "es", "pt")]
    store.put(*made, sample_page.report(as_of=sample_page.AS_OF.replace(day=1)))
    return sorted(store.root.rglob("index*.html"))


def opened(browser: Browser, path: Path, width: int) -> tuple[Page, list[str]]:
    """The file in a window of a width, and the addresses that were asked for."""
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    return page, asked


def is_good(browser: Browser, path: Path) -> None:
    """Looks at a page at every width; one that is the same to the byte was looked at before."""
    page_hash = hashlib.sha256(path.read_bytes()).hexdigest()
    if page_hash in LOOKED_AT:
        return
    for width in WIDTHS:
        page, asked = opened(browser, path, width)
        # The page's own policy forbids scripts; axe is let in by the browser, not by the page.
        found = Axe().run(page, options=AXE)
        assert found.violations_count == 0, f"{path.name} at {width}: {found.generate_report()}"
        assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path.name} scrolls sideways"
        small = page.evaluate("""() => [...document.querySelectorAll("body *:not(svg *)")]
            .filter(e => e.childNodes.length && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
            .filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).map(e => e.outerHTML.slice(0, 80))""")
        assert small == []
        page.context.close()
    LOOKED_AT.add(page_hash)


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("reader", READERS)
def test_every_report_reads_well(browser: Browser, store: ReportStore, name: str, reader: str) -> None:
    (path,) = store.put(told(name, "rising", reader))
    assert path.stat().st_size < 3_000_000
    is_good(browser, path)


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_of_a_shop_without_data_reads_well(browser: Browser, store: ReportStore, name: str) -> None:
    (path,) = store.put(told(name, "empty", "en-US"))
    is_good(browser, path)


def test_the_galleries_read_well_and_lead_somewhere(browser: Browser, galleries: list[Path]) -> None:
    assert len(galleries) == 9
    for path in galleries:
        if path.name == "index.html":
            is_good(browser, path)
        links = re.findall(r'href="([^"#][^"]*)"', path.read_text("utf-8"))
        assert links and all((path.parent / link).exists() for link in links if not link.startswith("data:"))


@pytest.mark.usefixtures("galleries")
def test_a_page_leads_to_its_languages_formats_and_the_gallery(browser: Browser, store: ReportStore) -> None:
    path = store.root / "corner" / str(sample_page.AS_OF) / "sample.es.html"
    page, _ = opened(browser, path, WIDTHS[1])
    links = page.eval_on_selector_all("header nav a", "links => links.map(link => link.getAttribute('href'))")
    assert [Path(link).name for link in links] == [
        "index.es.html",
        "sample.en.html",
        "sample.pt.html",
        "sample.es.pdf",
        "sample.es.xlsx",
        "sample.es.json",
    ]
    assert all((path.parent / link).exists() for link in links)
    page.context.close()


def test_a_page_prints_on_a4_without_what_is_for_screens(browser: Browser, store: ReportStore) -> None:
    (path,) = store.put(told("lifecycle", "rising", "en-US"))
    page, _ = opened(browser, path, WIDTHS[0])
    printed = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True, print_background=True)))
    page.context.close()
    assert {tuple(round(float(side)) for side in sheet.mediabox[2:]) for sheet in printed.pages} == {(595, 842)}
    first = printed.pages[0].extract_text()
    assert told("lifecycle", "rising", "en-US").headline in " ".join(first.split())
    assert "PDF" not in first and len(printed.pages) < 25
