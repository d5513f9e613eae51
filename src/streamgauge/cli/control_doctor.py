"""The doctor as the admin API asks for it: the configuration in use, and no money. Judges nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from streamgauge.gateway.pool import Pool, PoolSettings
from streamgauge.gateway.upstream_tls import TlsSettingsError

if TYPE_CHECKING:
    from streamgauge.config.load import Loaded
    from streamgauge.config.upstream import Upstream
    from streamgauge.tools.doctor import Report

__all__ = ["HouseDoctor"]

_HOUSE_SECONDS, _UPSTREAM_SECONDS = 5.0, 24.0
"""Together below the 30 s that the page waits; all upstreams are examined at once."""


class HouseDoctor:
    """Implements Doctor, in whichever loop it is asked: the connections are its own.

    `in_use`: the configuration, raises NotNow; `drained`: names of upstreams that are left alone.
    """

    def __init__(
        self,
        in_use: Callable[[], Loaded],
        drained: Callable[[], Collection[str]],
        upstream_seconds: float = _UPSTREAM_SECONDS,
    ) -> None:
        self._in_use = in_use
        self._drained = drained
        self._upstream_seconds = upstream_seconds

    async def examine(self) -> Mapping[str, Any]:
        """Examine house and upstreams."""
        from streamgauge.tools.doctor import Report

        loaded, drained, whole = self._in_use(), self._drained(), Report()
        upstreams = loaded.config.upstreams
        reports = [Report() for _ in upstreams]
        await _house(loaded, whole)
        pool = Pool(asyncio.get_running_loop(), PoolSettings())
        try:
            async with asyncio.TaskGroup() as group:
                for upstream, report in zip(upstreams, reports, strict=True):
                    if upstream.name in drained:
                        report.leave_out(f"upstream {upstream.name}", "drained by an admin")
                    else:
                        visit = self._visit(upstream, pool, report)
                        group.create_task(visit, name=f"examine {upstream.name}")
        finally:
            await pool.aclose()
        for report in reports:
            whole.findings += report.findings
            whole.well += report.well
            whole.left_out += report.left_out
        return whole.as_plain()

    async def _visit(self, upstream: Upstream, pool: Pool, report: Report) -> None:
        from streamgauge.tools.doctor import examine_upstream

        subject = f"upstream {upstream.name}"
        try:
            async with asyncio.timeout(self._upstream_seconds):
                await examine_upstream(upstream, pool, report, spend=False)
        except TimeoutError:
            report.leave_out(subject, f"the rest: {self._upstream_seconds:g} s have passed")
        except TlsSettingsError as error:
            report.find("upstream_unreachable", subject, f"its TLS settings: {error}")


async def _house(loaded: Loaded, report: Report) -> None:
    from streamgauge.cli.doctor_facts import house_facts
    from streamgauge.tools.doctor import examine_house

    try:
        async with asyncio.timeout(_HOUSE_SECONDS):
            facts = await asyncio.to_thread(house_facts, loaded)
    except TimeoutError:
        report.leave_out("this machine", f"its disk did not answer within {_HOUSE_SECONDS:g} s")
    else:
        examine_house(facts, report)
