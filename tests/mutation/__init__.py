"""How many planted faults of the core its own tests notice. `scripts/mutation` starts it."""
