"""Reads captures and proves saved streams (SPEC §12.4). The gateway writes them; nothing here does."""
