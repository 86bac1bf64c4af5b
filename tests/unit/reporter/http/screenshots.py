"""The pictures of the page in the docs: `python -m tests.unit.reporter.http.screenshots docs/img`."""

import sys
import tempfile
import time
from pathlib import Path

from tests.unit.reporter.http.browser import browser
from tests.unit.reporter.http.busy import beat, busy_cluster, busy_state, busy_stats
from tests.unit.reporter.http.serving import serve

NODE = "worker-1"


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    now_s = time.time()
    state = busy_state(now_s)
    with (
        tempfile.TemporaryDirectory() as profile,
        serve(state, busy_stats(), lambda: busy_cluster(NODE, now_s), node=NODE) as served,
        browser(Path(profile)) as page,
    ):
        for name, width, height, dark, phone in (
            ("page-desktop-light", 1180, 1000, False, False),
            ("page-phone-dark", 400, 860, True, True),
        ):
            served.do(lambda: beat(state, time.time()))
            page.look_like(width, height, dark, phone)
            page.open(f"http://127.0.0.1:{served.port}/")
            page.wait_for(lambda: "live" in page.text("#live"))
            page.screenshot(folder / f"{name}.png", whole=not phone)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
