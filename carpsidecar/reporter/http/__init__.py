"""What the reporter serves over HTTP: health, metrics and the page."""
