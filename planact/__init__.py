"""The plan-and-act method: a planner that writes and revises a plan, an executor that acts on one page at a time."""

__version__ = "0.1.0"
