"""What the client and the API showed of one event, kept for the benchmark's page."""

import json
from pathlib import Path

RESULTS = Path(__file__).parents[2] / "build" / "cluster.json"


def record(event: str, **seconds: float) -> None:
    """Times in seconds, by what was measured."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[event] = {name: round(value, 4) for name, value in seconds.items()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
