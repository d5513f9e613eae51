"""What passes of one exchange on both sides, kept in a file of its own (SPEC §12.4)."""
