"""Changes to a conversation that an upstream needs, each alone and by name (SPEC §14.6)."""
