"""A real cluster of three nodes, as a client outside of it sees it: what the tests in tests/cluster measured.

`CARPSIDECAR_CLUSTER` names the tool that starts such a cluster (tests/cluster/harness.py); it needs `make image`.
"""

import json
import subprocess
import sys

from bench.page import ROOT
from bench.section import Section, table

RESULTS = ROOT / "build" / "cluster.json"

HOW_MEASURED = """\
Three nodes, each a network namespace with its own containerd and kubelet, on one bridge, with the chart's defaults;
a client on that bridge asks the address every 2 ms. One run of each; the times of labels and of whole updates
include what kubectl, the kubelet and the API server take."""


def section(quick: bool) -> Section:
    RESULTS.unlink(missing_ok=True)
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-rs", "tests/cluster"], cwd=ROOT, check=False)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    failed = "" if done.returncode == 0 else "\n\nNot all of these tests passed."
    rows = [
        (event, ", ".join(f"{name.replace('_', ' ')}: {_shown(name, value)}" for name, value in values.items()))
        for event, values in results.items()
    ]
    return Section("A real cluster", f"{HOW_MEASURED}{failed}\n\n{table(('what', 'measured'), rows)}", results)


def _shown(name: str, value: float) -> str:
    if name.endswith("_mb_pss"):
        return f"{value:.0f} MB"
    if name.endswith("_of_one_core"):
        return f"{100 * value:.2f} %"
    if value == 0:
        return "none"
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.1f} s"
