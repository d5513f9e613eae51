"""Where a request goes: pure decisions over a snapshot."""
