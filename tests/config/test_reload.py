"""What of a new configuration a running gateway takes, and how a changed file is noticed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgauge.config import Config, ConfigError, Flag, LoadOptions, load
from streamgauge.config.reload import reload, restart_keys
from streamgauge.config.watch import FileWatch

UPSTREAM = "upstreams: [{name: a, kind: sim, base_url: http://127.0.0.1:1, api_key: '${KEY}'}]\n"
RESTART = (
    "server.host",
    "server.port",
    "server.workers",
    "control.host",
    "control.port",
    "control.enabled",
    "control.token",
    "control.allowed_hosts",
    "ledger.url",
    "ledger.spool_mb",
    "exporters.influxdb",
    "exporters.otlp",
    "log.format",
)
TOLD_WITHIN = 10.0


def options(folder: Path, text: str, **environ: str) -> LoadOptions:
    """Write `text` as the configuration and return how to read it."""
    (folder / "streamgauge.yaml").write_text(text + UPSTREAM)
    variables = {"KEY": "sk-first-0123456789", **environ}
    return LoadOptions(config=folder / "streamgauge.yaml", environ=variables)


def test_these_keys_hold_until_a_restart() -> None:
    assert sorted(restart_keys()) == sorted(RESTART)


def test_keys_that_hold_until_a_restart_keep_their_values_and_are_named(tmp_path: Path) -> None:
    running = load(options(tmp_path, "")).config
    found = reload(
        options(
            tmp_path,
            "server: {host: '::1', port: 9001, drain_seconds: 5}\n"
            "control: {host: '::1', port: 9002, enabled: false, token: t0ken, allowed_hosts: [x]}\n"
            "ledger: {url: sqlite:///other.db, spool_mb: 7, begin: async}\n"
            "exporters: {influxdb: {url: http://h, database: d}, otlp: {url: http://h}}\n"
            "log: {format: json, level: debug}\n",
        ),
        running,
    )
    assert sorted(found.needs_restart) == sorted(set(RESTART) - {"server.workers"})
    config = found.loaded.config
    assert config.control == running.control
    assert (config.server.host, config.server.port) == (running.server.host, running.server.port)
    assert (config.ledger.url, config.ledger.spool_mb) == (
        running.ledger.url,
        running.ledger.spool_mb,
    )
    assert (config.server.drain_seconds, config.ledger.begin.value) == (5, "async")
    assert (config.log.format, config.log.level.value) == (running.log.format, "debug")


def test_the_version_changes_only_with_the_settings_in_use(tmp_path: Path) -> None:
    first = load(options(tmp_path, ""))
    same = reload(options(tmp_path, "# a comment\nserver:  {drain_seconds: 30}\n"), first.config)
    assert (same.changed, same.loaded.version) == (False, first.version)
    left_aside = reload(options(tmp_path, "server: {port: 9001}\n"), first.config)
    assert (left_aside.changed, left_aside.loaded.version) == (False, first.version)
    assert left_aside.needs_restart == ("server.port",)
    other = reload(options(tmp_path, "server: {drain_seconds: 29}\n"), first.config)
    assert other.changed
    assert other.loaded.version != first.version


def test_variables_and_files_are_read_again_and_a_new_secret_is_a_change(tmp_path: Path) -> None:
    running = load(options(tmp_path, "")).config
    found = reload(options(tmp_path, "", KEY="sk-second-0123456789"), running)
    assert found.changed
    key = found.loaded.config.upstreams[0].api_key
    assert key is not None
    assert key.get_secret_value() == "sk-second-0123456789"
    assert found.loaded.version == reload(options(tmp_path, ""), running).loaded.version


def test_what_the_command_line_said_at_the_start_still_wins(tmp_path: Path) -> None:
    flags = (Flag("--debug", ("log", "level"), "debug"),)
    base = options(tmp_path, "log: {level: error}\n")
    asked = LoadOptions(config=base.config, environ=base.environ, flags=flags)
    running = load(asked).config
    assert reload(asked, running).loaded.config.log.level.value == "debug"


def test_a_configuration_without_upstreams_is_refused(tmp_path: Path) -> None:
    running = load(options(tmp_path, "")).config
    (tmp_path / "streamgauge.yaml").write_text("upstreams: []\n")
    asked = LoadOptions(config=tmp_path / "streamgauge.yaml", environ={})
    with pytest.raises(ConfigError, match="no upstream is configured"):
        reload(asked, running)
    assert isinstance(running, Config)


# -- noticing


class Told:
    """Counts what a watch tells, and wakes who waits for it."""

    def __init__(self) -> None:
        self._news = threading.Semaphore(0)

    def __call__(self) -> None:
        self._news.release()

    def again(self, seconds: float = TOLD_WITHIN) -> bool:
        """Wait for one more; False when none came."""
        return self._news.acquire(timeout=seconds)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[Path, Told]]:
    file, told = tmp_path / "streamgauge.yaml", Told()
    file.write_text("a: 1\n")
    watch = FileWatch(file, told)
    watch.start()
    yield file, told
    watch.stop()


def test_a_file_that_is_written_replaced_removed_or_made_anew_is_noticed(
    watched: tuple[Path, Told],
) -> None:
    file, told = watched
    file.write_text("a: 22\n")
    assert told.again()
    (file.parent / "new").write_text("a: 333\n")
    os.replace(file.parent / "new", file)
    assert told.again()
    file.unlink()
    assert told.again()
    file.write_text("a: 4444\n")
    assert told.again()


def test_what_else_stirs_in_the_directory_is_not_told(watched: tuple[Path, Told]) -> None:
    file, told = watched
    for n in range(50):
        (file.parent / "streamgauge.db-wal").write_bytes(b"x" * n)
    assert not told.again(0.7)
    file.write_text("a: 22\n")
    assert told.again()
    assert not told.again(0.3)


def test_a_swapped_link_is_noticed_as_kubernetes_swaps_it(tmp_path: Path) -> None:
    for n in (1, 2, 3):
        (tmp_path / f"..{n}").mkdir()
        (tmp_path / f"..{n}" / "streamgauge.yaml").write_text(f"a: {n}\n")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "streamgauge.yaml").symlink_to("..data/streamgauge.yaml")
    told = Told()
    watch = FileWatch(tmp_path / "streamgauge.yaml", told)
    watch.start()
    for n in (2, 3):
        (tmp_path / "..tmp").symlink_to(f"..{n}")
        os.replace(tmp_path / "..tmp", tmp_path / "..data")
        assert told.again()
    watch.stop()


def test_a_file_behind_a_link_into_another_directory_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "real.yaml"
    target.write_text("a: 1\n")
    (tmp_path / "streamgauge.yaml").symlink_to(target)
    told = Told()
    watch = FileWatch(tmp_path / "streamgauge.yaml", told)
    watch.start()
    target.write_text("a: 22\n")
    assert told.again()
    watch.stop()


def test_a_directory_that_goes_and_comes_back_is_watched_again(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    file, told = folder / "streamgauge.yaml", Told()
    file.write_text("a: 1\n")
    watch = FileWatch(file, told)
    watch.start()
    os.rename(folder, tmp_path / "gone")
    assert told.again()
    os.rename(tmp_path / "gone", folder)
    assert told.again()
    watch.stop()
