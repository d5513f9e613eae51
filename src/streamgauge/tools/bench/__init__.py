"""The bench: what a proxy costs per event, measured beside others. Knows no gateway from within."""
