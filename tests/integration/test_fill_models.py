"""Queue models against the exchange's own matching: the orders of a recorded run, sent again."""

from __future__ import annotations

from pathlib import Path

from bench.fill_models import CONFIG, SYMBOLS, compare

from .command import document, fastbook


def test_fills_are_near_those_of_the_exchange(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(CONFIG.format(symbols=", ".join(f'"{s}"' for s in SYMBOLS)))
    done = fastbook("run", config, "--record", tmp_path / "run", "--seconds", "12", "--json", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = compare(tmp_path / "run")
    assert found["orders"]["resting"] > 5
    ratios = {
        name: found[name]["resting"]["fill_ratio"]
        for name in ("exchange", "pessimistic", "proportional", "front")
    }
    assert ratios["pessimistic"] <= ratios["front"] + 1e-9
    assert abs(ratios["pessimistic"] - ratios["exchange"]) < 0.25
    if found["orders"]["taking"]:
        takers = [found[name]["taking"]["fill_ratio"] for name in ("exchange", "pessimistic")]
        assert abs(takers[0] - takers[1]) < 0.2
    verdict = document(fastbook("verify", tmp_path / "run", "--json"))
    assert verdict["first_difference"] is None
    assert verdict["complete"]
