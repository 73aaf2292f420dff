"""The ledger's file and its reader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rectutor import ledger


def test_committed_rows_are_whole_and_say_what_their_figures_say() -> None:
    rows = ledger.frame()
    assert not rows.duplicated(["dataset", "split", "model", "metric"]).any()
    measured = rows[rows["peer"].notna()]
    for row in measured.to_dict("records"):
        assert row["difference"] == pytest.approx(row["ours"] - row["theirs"], abs=1e-9)
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]
        said = ledger.status(
            row["difference_low"], row["difference_high"], lower_is_better=row["metric"] in ledger.LOWER_IS_BETTER
        )
        assert row["status"] == said
    assert (rows[rows["peer"].isna()]["status"] == "no peer").all()
    assert rows["command"].str.match("rectutor evaluate --data|python -m benchmarks.(ledger|bench_ann)").all()


def test_selection(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    rows = [dict.fromkeys(ledger.COLUMNS) | {"dataset": d, "metric": m} for d in "ab" for m in ("ndcg@10", "rmse")]
    path.write_text(json.dumps(rows))
    assert len(ledger.frame(path=path)) == 4
    assert ledger.frame("b", metric="rmse", path=path)[["dataset", "metric"]].to_numpy().tolist() == [["b", "rmse"]]
    with pytest.raises(ValueError, match="no row with dataset 'c'"):
        ledger.frame("c", path=path)
    with pytest.raises(FileNotFoundError, match="make bench"):
        ledger.frame(path=tmp_path / "none.json")
