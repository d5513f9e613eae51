"""The dashboard as files: the shell of its screens, the login page, scripts and styles."""
