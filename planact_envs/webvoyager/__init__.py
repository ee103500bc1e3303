"""WebVoyager: 643 questions about 15 live sites, answered in Chromium and judged from screenshots."""
