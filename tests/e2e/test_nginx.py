"""Small slow frames, straight and behind a real nginx with its default `proxy_pass`: none waits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .proxies import check_delays, free_port, nginx, slow_gateway


@pytest.mark.asyncio
async def test_small_frames_are_not_held_back(tmp_path: Path) -> None:
    async with slow_gateway(tmp_path) as it:
        await check_delays(it.port)


@pytest.mark.asyncio
async def test_small_frames_are_not_held_back_by_an_nginx_in_front(
    tmp_path: Path, real_program: Callable[[str], Path]
) -> None:
    program, port = real_program("nginx"), await free_port()
    async with slow_gateway(tmp_path) as it:
        place = f"location / {{ proxy_pass http://127.0.0.1:{it.port}; }}"
        site = f"server {{ listen 127.0.0.1:{port}; {place} }}"
        async with nginx(program, tmp_path / "nginx", site, port):
            await check_delays(port)
