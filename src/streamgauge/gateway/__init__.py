"""The shell: moves bytes between sockets and hands them to the core."""
