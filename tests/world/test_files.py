from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from rectutor.world import FeedWorld, write_feedworld
from rectutor.world.files import TABLES, CsvGz, csv_text

DATASETS = Path(__file__).parents[2] / "datasets"
EMBEDDED = {"tiny": TABLES, "small": ("users", "notes", "ratings")}


@pytest.mark.parametrize("size", EMBEDDED)
def test_embedded_tables_are_what_the_seed_gives(size: str, request: pytest.FixtureRequest) -> None:
    world: FeedWorld = request.getfixturevalue(size)
    folder = DATASETS / "feedworld" / size
    assert {p.name for p in folder.iterdir()} == {f"{name}.csv.gz" for name in EMBEDDED[size]}
    for name in EMBEDDED[size]:
        stored = gzip.decompress((folder / f"{name}.csv.gz").read_bytes())
        assert stored == csv_text(getattr(world, name)).encode(), f"{name} differs from seed 0's"


def test_embedded_tables_are_small() -> None:
    assert sum(p.stat().st_size for p in (DATASETS / "feedworld").rglob("*.csv.gz")) < 4e6


def test_embedded_tables_open_with_pandas_alone(tiny: FeedWorld) -> None:
    log = pd.read_csv(DATASETS / "feedworld" / "tiny" / "impressions.csv.gz")
    assert (log.true_p_click.astype("float32") == tiny.impressions.true_p_click).all()
    assert (log.note == tiny.impressions.note).all()
    users = pd.read_csv(DATASETS / "feedworld" / "tiny" / "users.csv.gz")
    assert (users.age.isna() == tiny.users.age.isna()).all()


def test_every_column_is_in_the_data_sheet(tiny: FeedWorld) -> None:
    sheet = (DATASETS / "feedworld.md").read_text(encoding="utf-8")
    for name in TABLES:
        section = sheet.split(f"\n### `{name}`", 1)[1].split("\n### ", 1)[0]
        missing = [c for c in getattr(tiny, name).columns if f"| `{c}` |" not in section]
        assert not missing, f"{name}: {missing}"


def test_streamed_files_equal_the_frames(tmp_path: Path, tiny: FeedWorld) -> None:
    paths = write_feedworld(tmp_path / "new" / "folder", "tiny", seed=0)
    assert [p.name for p in paths] == [f"{name}.csv.gz" for name in TABLES]
    for path, name in zip(paths, TABLES, strict=True):
        assert gzip.decompress(path.read_bytes()) == csv_text(getattr(tiny, name)).encode()
        assert path.read_bytes()[4:8] == b"\0\0\0\0"  # no time stamp
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == sorted(p.name for p in paths)


def test_a_finished_world_writes_the_same_files(tmp_path: Path, tiny: FeedWorld) -> None:
    for path in tiny.write(tmp_path, ("notes", "ratings")):
        name = path.name.removesuffix(".csv.gz")
        assert gzip.decompress(path.read_bytes()) == csv_text(getattr(tiny, name)).encode()
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(ValueError, match="unknown table 'vectors'"):
        tiny.write(tmp_path, ("vectors",))


def test_some_tables_only(tmp_path: Path) -> None:
    assert [p.name for p in write_feedworld(tmp_path, "tiny", 0, ("users",))] == ["users.csv.gz"]
    with pytest.raises(ValueError, match="unknown table 'clicks'; choose among categories"):
        write_feedworld(tmp_path, "tiny", 0, ("clicks",))


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    def fail() -> None:
        with CsvGz(tmp_path / "t.csv.gz") as file:
            file.append(pd.DataFrame({"a": [1]}))
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError, match="taken"):
        write_feedworld(tmp_path / "taken", "tiny")
