"""WebArena-Lite (165 tasks) and WebArena (812), in Chromium, on sites that the user hosts (docs/WEBARENA.md)."""
