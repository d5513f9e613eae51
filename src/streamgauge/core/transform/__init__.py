"""Changes that an upstream or a client needs, each alone and by name (SPEC §14.6, §13.6)."""
