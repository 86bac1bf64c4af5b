"""The manual builds without a warning; its links lead somewhere; nothing in it asks another machine."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from docs.tools.outside import FOLDER, LINK
from tests.support.manual.page import SOURCE, pages

_FETCHED = {
    *(("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("source", "srcset")),
    *(("video", "src"), ("audio", "src"), ("embed", "src"), ("object", "data"), ("link", "href")),
}
"""What a browser asks for by itself."""

_NOT_FETCHED = {"canonical", "prev", "next"}
_CSS_URL = re.compile(r"(?:url\(|@import)\s*['\"]?([^'\")\s]+)")


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """`mkdocs build --strict`, as `make docs` does it."""
    mkdocs = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(mkdocs, cwd=source, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manual") / "site"
    built = build(SOURCE, folder)
    assert built.returncode == 0, built.stderr
    return folder


def test_it_builds_without_a_warning_and_with_every_page(site: Path) -> None:
    built = {path.relative_to(site).with_suffix(".md") for path in site.rglob("*.html")}
    wanted = {Path(page).relative_to("docs") for page in pages() if page.startswith("docs/")}
    assert wanted <= built
    # All others but the page of errors came along, since pages link to them.
    assert {page.parts[0] for page in built - wanted} <= {"404.md", FOLDER}


@pytest.mark.parametrize(
    ("page", "text", "error"),
    [
        ("wrong.md", "# A page that is not in the navigation\n", "- wrong.md"),
        ("index.md", "\n[nowhere](nowhere.md)\n", "'nowhere.md'"),
        ("index.md", "\n[no such part](install.md#no-such-part)\n", "'#no-such-part'"),
        ("index.md", "\n[out of the manual, to nothing](../nothing.py)\n", "nothing.py'"),
    ],
)
def test_what_is_wrong_stops_the_build(page: str, text: str, error: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(SOURCE / "docs", copy / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(SOURCE / "mkdocs.yml", copy)
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "LICENSE",
        "bench",
        "carpsidecar",
        "charts",
        "packaging",
    ):
        (copy / name).symlink_to(SOURCE / name)
    with (copy / "docs" / page).open("a") as file:
        file.write(text)
    built = build(copy, tmp_path / "site")
    assert built.returncode != 0
    assert error in built.stderr


@pytest.mark.parametrize("page", [*pages(), "CONTRIBUTING.md", "SECURITY.md"])
def test_links_to_files_of_the_repository_lead_somewhere(page: str) -> None:
    text = (SOURCE / page).read_text()
    targets = {link["path"] for link in LINK.finditer(text)} | set(re.findall(r'<img [^>]*src="([^"]+)"', text))
    missing = [one for one in targets if not (SOURCE / page).parent.joinpath(one).exists()]
    assert not missing
    for target, anchor in re.findall(r"\]\(([^)\s#:]*)#([^)\s]+)\)", text):
        file = (SOURCE / page).parent.joinpath(target) if target else SOURCE / page
        assert anchor in _anchors(file.read_text()), f"{page}: {target}#{anchor}"


def test_nothing_in_it_asks_another_machine(site: Path) -> None:
    requested = [
        (str(path.relative_to(site)), address)
        for path in [*site.rglob("*.html"), *site.rglob("*.css"), *site.rglob("*.svg")]
        for address in _fetched(path)
        if urlsplit(address).netloc
    ]
    assert not requested
    # Its script would come from elsewhere, when a page has such a drawing.
    assert not [path for path in site.rglob("*.html") if 'class="mermaid"' in path.read_text()]


def test_what_a_browser_would_fetch_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<link rel="canonical" href="https://a.example/"><link rel="preconnect" href="https://b.example">'
        '<script src="//c.example/x.js"></script><style>@import "https://d.example/x.css"; a {background: '
        'url(e.png)}</style><a href="https://f.example">only where somebody clicks</a>'
    )
    assert {urlsplit(one).netloc for one in _fetched(page)} == {"b.example", "c.example", "d.example", ""}


def _fetched(path: Path) -> list[str]:
    text = path.read_text()
    found = _CSS_URL.findall(text)
    if path.suffix == ".html":
        reader = _Reader()
        reader.feed(text)
        found += reader.fetched
    return [address for address in found if not address.startswith("data:")]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "link" and (values.get("rel") or "") in _NOT_FETCHED:
            return
        self.fetched += [value for name, value in attrs if value and (tag, name) in _FETCHED]


def _anchors(markdown: str) -> set[str]:
    """As forges and MkDocs make them of headings."""
    headings = re.findall(r"^#+ +(.+?)\s*(?:\{#[\w-]+\})?$", markdown, re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", one)) for one in headings]
    written = re.findall(r"\{#([\w-]+)\}|<a (?:id|name)=\"([^\"]+)\"", markdown)
    return {re.sub(r"\s", "-", one.strip().lower()) for one in plain} | {a or b for a, b in written}
