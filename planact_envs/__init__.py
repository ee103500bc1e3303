"""Worlds that implement `planact.env.Env`."""
