"""Real pages: Chromium driven through Playwright, read into the page tree that every observation is written from."""
