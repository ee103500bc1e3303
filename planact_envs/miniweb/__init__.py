"""miniweb: small server-rendered web sites with tasks, an oracle and a scorer, run in process."""
