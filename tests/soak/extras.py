"""What a call of the soak with everything on has beside: key, session, resume, fallback. No socket here."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["CHAIN_FAULTS", "FINAL", "KEYS", "Extra", "chain_of", "extra_of"]

KEYS = ("wide", "narrow", "poor")
"""Client keys by their limits: far more than is used, two streams at once, a little money a day."""
CHAIN_FAULTS = tuple("http_500 http_503 http_429 error_first html redirect http_400".split())
"""What the first upstream of a chain may do wrong; only the last one is the request's own fault."""
FINAL = "http_400"
_SESSIONS = 12


@dataclass(frozen=True, slots=True)
class Extra:
    """`chain`: what the first upstream of its route does, `none` where it serves; None: no such route."""

    key: str
    session: str | None
    resumes: bool
    chain: str | None


def extra_of(dice: random.Random, *, plain: bool, stream: bool, fault_share: float) -> Extra:
    """Return what a call has beside. `plain`: neither upstream nor client does anything odd."""
    session = f"session-{dice.randrange(_SESSIONS)}" if dice.random() < 0.1 else None
    resumes = plain and stream and dice.random() < 0.15
    chain = None
    if plain and dice.random() < 0.3:
        chain = dice.choice(CHAIN_FAULTS) if dice.random() < fault_share * 4 else "none"
    odds = dice.random()
    key = "wide" if not plain or odds < 0.85 else "narrow" if odds < 0.92 else "poor"
    return Extra(key, session, resumes, chain)


def chain_of(flavour: str, fault: str) -> str:
    """Return the model whose route is a chain of upstreams of this flavour."""
    return f"chain-{flavour}-{fault}"
