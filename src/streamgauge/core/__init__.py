"""The pure core: bytes and times go in, actions come out. It knows no socket, clock, file or log."""
