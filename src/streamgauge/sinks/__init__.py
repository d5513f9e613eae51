"""Where finished records go beside the ledger."""
