"""WebArena's published scorers by name: they share one flow (`rules`), and each module says where its scorer differs."""
