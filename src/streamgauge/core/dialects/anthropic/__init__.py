"""The Anthropic dialect: messages."""
