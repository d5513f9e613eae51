"""One room a dialect; none imports another. The registry in `registry.py` stands above them."""
