"""Programs around the gateway: the simulator and the demo."""
