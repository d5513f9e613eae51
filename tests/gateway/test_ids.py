"""Ids that say when they were made and nothing else, none twice."""

from __future__ import annotations

import re
import uuid

from streamgauge.gateway.ids import IdSource

FORM = re.compile(r"[A-Za-z0-9_-]{16,64}")
MS = 1_700_000_000_123


def test_an_id_is_a_uuid_of_version_7_and_of_the_rows_form() -> None:
    ids = IdSource(lambda: MS * 1_000_000 + 999_999)
    for _ in range(200):
        made = ids.next()
        assert FORM.fullmatch(made)
        read = uuid.UUID(made)
        assert (read.version, read.variant, read.hex) == (7, uuid.RFC_4122, made)
        assert read.int >> 80 == MS


def test_none_comes_twice_in_one_instant_or_from_another_source() -> None:
    sources = [IdSource(lambda: 0) for _ in range(4)]
    made = [source.next() for source in sources for _ in range(2000)]
    assert len(set(made)) == len(made)


def test_all_bits_but_time_version_and_variant_are_chance() -> None:
    ids = IdSource(lambda: 0)
    seen = [uuid.UUID(ids.next()).int for _ in range(400)]
    always = never = (1 << 128) - 1
    for number in seen:
        always &= number
        never &= ~number
    assert always == 7 << 76 | 2 << 62
    assert (~never & (1 << 128) - 1).bit_count() == 74 + 3 + 1


def test_later_ids_stand_behind_earlier_ones() -> None:
    clock = iter(range(0, 10**12, 10**9))
    ids = IdSource(lambda: next(clock))
    made = [ids.next() for _ in range(1000)]
    assert made == sorted(made)
