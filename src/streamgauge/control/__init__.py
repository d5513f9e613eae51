"""The control plane: what operators ask, on a listener, thread and loop of its own."""
