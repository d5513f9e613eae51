"""The command line: one file a verb. It builds the whole house; nobody imports it."""
