"""The page, in a real Chromium: what it shows, that it goes on showing it, and that it asks nobody else."""

import time
from collections.abc import Iterator
from importlib.resources import files

import pytest

from carpsidecar.ipc.messages import GroupSnapshot
from carpsidecar.status.model import PodView
from carpsidecar.status.state import State
from carpsidecar.status.stats import Stats
from tests.support.builders import heartbeat, snapshot
from tests.unit.reporter.http import browser as chromium
from tests.unit.reporter.http.browser import Browser
from tests.unit.reporter.http.busy import beat, busy_cluster, busy_state, busy_stats
from tests.unit.reporter.http.serving import Served, serve

pytestmark = pytest.mark.skipif(bool(chromium.why_not()), reason=chromium.why_not())

FIRST_PAINT_MAX_S = 1.0
CONTRAST_MIN = 4.5
"""Web Content Accessibility Guidelines 2.2, level AA."""

HOSTILE = "<img src=x onerror='document.title=1'><script>document.title=2</script>"

LOW_CONTRAST = """
  const parse = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
  const channel = (c) => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  function ground(element) {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  }
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility()) continue;
    seen += 1;
    const [a, b] = [luminance(parse(getComputedStyle(element).color)), luminance(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < arguments_min) found.push(`${node.data.trim()}: ${ratio.toFixed(1)}`);
  }
  return [seen, found];
""".replace("arguments_min", str(CONTRAST_MIN))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium.browser(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Browser]:
    browser.look_like(1200, 900, dark=False)
    browser.open("about:blank")
    browser.console()
    browser.requested()
    yield browser
    assert browser.console() == []


def open_page(page: Browser, served: Served) -> None:
    page.open(f"http://localhost:{served.port}/")
    page.wait_for(lambda: "live" in page.text("#live"))


def serving_all(cluster: bool = True) -> tuple[State, Stats, list[PodView] | None]:
    now_s = time.time()
    return busy_state(now_s), busy_stats(), busy_cluster("worker-1", now_s) if cluster else None


def test_it_shows_who_is_master_every_node_and_what_happened(page: Browser) -> None:
    state, stats, pods = serving_all()
    with serve(state, stats, lambda: pods or [], node="worker-1") as served:
        open_page(page, served)
        web, storage = (page.text(f"#groups article:nth-child({place})") for place in (2, 1))
        assert "Master: worker-1" in web
        assert "master for 3 h 12 min" in web
        assert "no advertisement from the master" in web
        assert "192.0.2.100" in web
        assert "Master: worker-3 (10.20.0.13)" in storage
        assert "check:postgres +60" in storage
        assert "100, advertised as 160" in storage
        nodes = page.text("#nodes")
        for node in ("worker-1", "worker-2", "worker-3", "worker-4"):
            assert node in nodes
        assert "no sign of life" in nodes
        events = page.text("#events")
        assert "web became fault: the link of eth0 is down" in events
        assert events.index("Bad digest") < events.index("Address conflict") < events.index("became master")
        assert "unhealthy" in page.text("#checks")
        page.run("document.querySelector('details').open = true")
        assert "carp_dropped_packets_total" in page.text("#counters")
        assert "5,210" in page.text("#counters")
        alerts = page.text("#alerts")
        assert "The check postgres fails" in alerts
        assert "worker-4 gives no sign of life" in alerts


def test_it_asks_nobody_but_its_server_and_keeps_its_content_policy(page: Browser) -> None:
    state, stats, pods = serving_all()
    with serve(state, stats, lambda: pods or []) as served:
        open_page(page, served)
        asked = {url for url in page.requested() if not url.startswith("data:")}
        origin = f"http://localhost:{served.port}"
        assert asked == {f"{origin}/", f"{origin}/status.json"}
        # A script that somebody got into the page would not run, and could not tell anybody.
        page.run("""
            const script = document.createElement("script");
            script.textContent = "document.title = 'broken into'";
            document.body.append(script);
            fetch("http://192.0.2.1/").catch(() => {});
        """)
        page.wait_for(lambda: len(complaints := page.console()) >= 1 and all("Policy" in c for c in complaints))
        assert page.run("return document.title") != "broken into"


def test_its_first_paint_comes_in_time(page: Browser) -> None:
    state, stats, pods = serving_all()
    with serve(state, stats, lambda: pods or []) as served:
        open_page(page, served)
        painted = "performance.getEntriesByName('first-contentful-paint')"
        page.wait_for(lambda: bool(page.run(f"return {painted}.length")))
        first_ms = page.run(f"return {painted}[0].startTime")
        assert first_ms / 1000 < FIRST_PAINT_MAX_S


def test_it_is_live_and_says_when_it_is_not(page: Browser) -> None:
    state = State()
    state.receive(heartbeat())
    with serve(state) as served:
        open_page(page, served)
        assert "There is no group yet" in page.text("#groups")
        served.do(lambda: state.receive(snapshot(role="master", master="192.0.2.11")))
        page.wait_for(lambda: "Master: this node" in page.text("#groups"), 3)
        served.do(lambda: state.receive(snapshot(role="fault", reason="the link of eth0 is down", master=None)))
        page.wait_for(lambda: "web does not take part here: the link of eth0 is down" in page.text("#alerts"), 3)
    page.wait_for(lambda: "no answer since" in page.text("#live"), 8)
    assert "the link of eth0 is down" in page.text("#groups")
    page.open("about:blank")
    assert all("ERR_" in complaint for complaint in page.console())


def test_what_does_not_change_stays_so_that_it_can_be_selected(page: Browser) -> None:
    state, stats, pods = serving_all()
    with serve(state, stats, lambda: pods or []) as served:
        open_page(page, served)
        page.run("for (const part of document.querySelectorAll('article, tr, li')) part.dataset.kept = 1")
        first = page.text("#live")
        served.do(lambda: beat(state, time.time()))
        page.wait_for(lambda: page.text("#live") != first)
        counted = "return document.querySelectorAll('{}').length"
        parts = "#groups article{0}, #nodes tr{0}, #events li{0}, #alerts li{0}"
        assert (
            page.run(counted.format(parts.format(""))) == page.run(counted.format(parts.format("[data-kept]"))) > 10
        )


def test_names_from_outside_are_text(page: Browser) -> None:
    hostile = snapshot(HOSTILE, reason=HOSTILE, demotions={HOSTILE: 1}, addresses=[HOSTILE], interface=HOSTILE)
    state = State()
    state.receive(heartbeat())
    state.receive(hostile)
    pods = [PodView(HOSTILE, HOSTILE, {HOSTILE: HOSTILE}, HOSTILE, HOSTILE, ready=True, alive=True)]
    stats = Stats()
    stats.checks.healthy[HOSTILE] = False
    with serve(state, stats, lambda: pods, node=HOSTILE) as served:
        open_page(page, served)
        assert page.run("return document.querySelectorAll('img, body script').length") == 1
        assert page.text().count("<img src=x") >= 10
        assert page.run("return document.title").endswith(HOSTILE)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 400, 1200])
def test_it_can_be_read_on_a_phone_and_in_the_dark(page: Browser, width: int, dark: bool) -> None:
    state, stats, pods = serving_all()
    page.look_like(width, 800, dark, phone=width < 640)
    with serve(state, stats, lambda: pods or []) as served:
        open_page(page, served)
        page.run("document.querySelector('details').open = true")
        assert page.run("return document.documentElement.scrollWidth") <= width
        lightness = page.run("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
        assert (lightness < 64) is dark
        seen, too_low = page.run(LOW_CONTRAST)
        assert seen > 80
        assert too_low == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"role": "backup", "master": None}, "web has no master that this node knows of."),
        ({"role": "init", "reason": "stopped", "master": None}, "web does not take part here: stopped"),
    ],
)
def test_what_is_wrong_is_shown_first(page: Browser, changes: dict[str, str], message: str) -> None:
    state = State()
    state.receive(heartbeat())
    state.receive(snapshot(**changes))
    with serve(state) as served:
        open_page(page, served)
        assert message in page.text("#alerts")


def test_two_masters_are_an_alert_by_name(page: Browser) -> None:
    state, stats = State(), Stats()
    state.receive(heartbeat())
    group: GroupSnapshot = snapshot(role="master")
    state.receive(group)
    pods = [PodView(f"p{n}", f"n{n}", {"web": "master"}, "", "", ready=True, alive=True) for n in (1, 2)]
    with serve(state, stats, lambda: pods) as served:
        open_page(page, served)
        assert "web has two masters: n1 and n2" in page.text("#alerts")


def test_a_silent_engine_is_an_alert(page: Browser) -> None:
    state = State()
    state.receive(snapshot(role="master"))
    with serve(state) as served:
        open_page(page, served)
        assert "The engine has not been heard yet." in page.text("#alerts")


def test_it_is_one_small_file() -> None:
    html = (files("carpsidecar.reporter.http") / "page.html").read_text()
    assert len(html) < 40_000
    assert "innerHTML" not in html
    assert "http://" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in html
