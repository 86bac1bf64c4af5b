"""The manifests for people without Helm are those of the chart."""

import os
import subprocess

from tests.chart.helm import ROOT, Helm3

PLAIN = ROOT / "docs/kubernetes/carpsidecar.yaml"


def test_they_are_up_to_date(helm3: Helm3) -> None:
    made = subprocess.run(
        [ROOT / "charts/plain-manifests"],
        env={**os.environ, "HELM": helm3.binary},
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout == PLAIN.read_text(), "make manifests"


def test_nothing_of_helm_is_left() -> None:
    text = PLAIN.read_text()
    assert "Helm\n" not in text
    assert "helm.sh" not in text
    assert text.count("192.0.2.100") == 2, "in the head, and in the one place to change"
