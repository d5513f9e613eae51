"""streamgauge: a streaming LLM gateway whose books balance."""

__all__ = ["__version__"]

__version__ = "0.1.0"
