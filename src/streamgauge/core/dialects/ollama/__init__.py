"""The Ollama dialect: its native chat."""
