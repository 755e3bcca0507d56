from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from signals.common.errors import InputError
from signals.reference.sectors import read_sectors

TEXT = """ticker,sector,start,end
GOOG,Technology,2006-01-03,2018-09-24
GOOG,Communication,2018-09-24,
XOM,Energy,,
NA,Energy,2010-01-04,2011-01-03
"""


def write(tmp_path, text, name="sectors.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_codes_hold_from_start_until_end(tmp_path):
    table = read_sectors(write(tmp_path, TEXT))
    assert table.names == ("Energy", "Technology", "Communication")
    assert table.point_in_time
    assert table.warnings == ()
    dates = ["2006-01-02", "2010-01-04", "2011-01-03", "2018-09-21", "2018-09-24"]
    codes = table.codes(["NA", "GOOG", "AAPL", "XOM", "GOOG"], dates)
    assert codes.dtype == np.int32
    assert codes.tolist() == [
        [-1, 0, -1, -1, -1],
        [-1, 1, 1, 1, 2],
        [-1] * 5,
        [0] * 5,
        [-1, 1, 1, 1, 2],
    ]
    # in any order of dates
    assert table.codes(["GOOG"], dates[::-1]).tolist() == [[2, 1, 1, 1, -1]]
    days = np.array(dates, dtype="datetime64[D]")
    assert table.codes(["GOOG"], days).tolist() == [[-1, 1, 1, 1, 2]]
    assert table.codes([], dates).shape == (0, 5)
    assert repr(table) == "SectorTable(3 tickers, 3 sectors, point in time)"


def test_later_rows_change_no_earlier_code(tmp_path):
    before = read_sectors(write(tmp_path, TEXT))
    more = TEXT + "AAA,A new sector,2019-01-02,\nXON,Energy,2019-01-02,\n"
    after = read_sectors(write(tmp_path, more, "more.csv"))
    dates = ["2006-01-03", "2018-09-24", "2018-12-31"]
    np.testing.assert_array_equal(before.codes(["GOOG", "NA", "XOM"], dates), after.codes(["GOOG", "NA", "XOM"], dates))
    assert after.names == (*before.names, "A new sector")


def test_table_without_dates_gives_a_warning(tmp_path):
    table = read_sectors(write(tmp_path, "Symbol,Name,Sector\nGOOG,Alphabet,Tech\nTRUE,Truecar,\nXOM,Exxon,Energy\n"))
    assert not table.point_in_time
    assert table.names == ("Energy", "Tech")
    assert table.codes(["GOOG", "TRUE", "XOM"], ["1990-01-02", "2030-01-02"]).tolist() == [[1, 1], [-1, -1], [0, 0]]
    assert table.warnings[0] == "sectors.csv: 1 row without sector left out"
    assert "not of each date" in table.warnings[1]
    twice = "ticker,sector\nA,Tech\nA,Energy\n"
    with pytest.raises(InputError, match="not to overlap; found A twice"):
        read_sectors(write(tmp_path, twice))


def test_another_column(tmp_path):
    text = "ticker,sector,Sub Industry\nA,Tech,001\nB,Tech,TRUE\n"
    assert read_sectors(write(tmp_path, text), column="Sub Industry").names == ("001", "TRUE")
    frame = pd.read_csv(tmp_path / "sectors.csv", dtype=str)
    assert read_sectors(frame, column="sub_industry").names == ("001", "TRUE")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ticker,industry\nA,Tech\n", "expected a column sector in sectors.csv"),
        ("ticker,sector,end\nA,Tech,2010-01-04\n", "expected a column start in sectors.csv"),
        ("ticker,sector\nA,\n", "found none in any row; write ticker,sector"),
        ("ticker,sector,start,end\nA,T,2010-01-04,2010-01-04\n", "to end after it starts"),
    ],
)
def test_malformed_tables(tmp_path, text, words):
    with pytest.raises(InputError) as caught:
        read_sectors(write(tmp_path, text))
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_real_sectors(shared_data):
    table = read_sectors(shared_data / "book-metadata" / "us_equities_meta_data.csv.gz")
    assert len(table.names) == 12
    codes = table.codes(["AAPL", "XOM", "JPM", "NOT.THERE"], ["2012-01-03"])[:, 0]
    assert [table.names[code] if code >= 0 else None for code in codes] == ["Technology", "Energy", "Finance", None]
    assert any("1,546 rows without sector" in note for note in table.warnings)
    assert (
        len(read_sectors(shared_data / "book-metadata" / "us_equities_meta_data.csv.gz", column="industry").names) > 100
    )
