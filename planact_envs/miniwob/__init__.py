"""MiniWoB++: 125 small web tasks in Chromium, through BrowserGym's task classes, observations and actions."""
