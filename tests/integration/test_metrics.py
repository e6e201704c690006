"""The metrics of a run: true, documented, parsed by the reference parser, and refused to nobody."""

from __future__ import annotations

import re
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.command import CONFIG, Running, fastbook, one_sentence
from tests.support_servers import free_port, until

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"


def get(url: str, accept: str = "") -> tuple[int, str, str]:
    request = urllib.request.Request(url, headers={"Accept": accept} if accept else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a run that has been trading for a moment."""
    folder = tmp_path_factory.mktemp("metrics")
    path = folder / "c.toml"
    port = free_port()
    path.write_text(f'{CONFIG}[metrics]\nbind = "127.0.0.1:{port}"\n')
    env = {"FASTBOOK__HISTORY__URL": f"sqlite:///{folder}/h.db"}
    with Running("run", path, "--json", env=env) as run:
        url = f"http://127.0.0.1:{port}"

        def ready() -> bool:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) != 0:
                    return False
            return get(f"{url}/readyz")[0] == 200

        until(ready, "the run to be ready", 40)
        yield url
        assert run.end(signal.SIGTERM) == 0


def samples(url: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(get(f"{url}/metrics")[2]):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def test_figures_are_those_of_the_run(page: str) -> None:
    first = samples(page)
    assert first["fastbook_feed_frames_total"] > 0
    assert first["fastbook_books"] == 2
    assert first["fastbook_engine_unsynced_orders_total"] == 0
    assert first["fastbook_equity"] > 0
    assert first["fastbook_book_latency_seconds_count"] > 0
    until(lambda: samples(page)["fastbook_feed_frames_total"] > first["fastbook_feed_frames_total"],
          "more frames")  # fmt: skip


def test_every_name_is_documented_and_every_documented_name_is_there(page: str) -> None:
    def there() -> set[str]:
        return {f.name for f in text_string_to_metric_families(get(f"{page}/metrics")[2])}

    said = set(re.findall(r"^\| `(fastbook_\w+)`", DOCUMENT.read_text("utf-8"), re.MULTILINE))
    # The stores' process says a second after its start how it is.
    until(lambda: "fastbook_history_backlog_bytes" in there(), "word of the stores")
    assert there() == said


def test_buckets_only_grow_and_end_at_the_count(page: str) -> None:
    for family in text_string_to_metric_families(get(f"{page}/metrics")[2]):
        if family.type != "histogram":
            continue
        counts = [s.value for s in family.samples if s.name.endswith("_bucket")]
        (total,) = [s.value for s in family.samples if s.name.endswith("_count")]
        assert counts == sorted(counts)
        assert counts[-1] == total


def test_openmetrics_for_those_who_ask(page: str) -> None:
    status, content_type, text = get(f"{page}/metrics", "application/openmetrics-text")
    assert status == 200
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_health_and_readiness(page: str) -> None:
    assert get(f"{page}/healthz")[0] == 200
    status, _, text = get(f"{page}/readyz")
    assert status == 200
    assert orjson.loads(text) == {
        "ready": True, "trading_state": "active", "books": 2, "books_synced": 2,
    }  # fmt: skip
    assert get(f"{page}/else")[0] == 404


def test_an_address_that_was_asked_for_and_is_taken_is_a_mistake(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        path = tmp_path / "c.toml"
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        path.write_text(f'{CONFIG}[metrics]\nbind = "{bind}"\n')
        said = one_sentence(fastbook("run", path, "--seconds", "1"), 2)
    assert "metrics.bind" in said
    assert bind in said
