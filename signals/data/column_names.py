"""Column names of vendors and tools in price tables, and the fields they stand for."""

from __future__ import annotations

import re

__all__ = [
    "CLOCKS",
    "COMPANIONS",
    "NAMELIKE",
    "OTHERS",
    "TICKERS",
    "compact",
    "field_of",
    "is_canonical",
    "is_upper",
    "is_wordy",
    "word_list",
]


def word_list(text: str) -> tuple[str, ...]:
    """Words of a text."""
    return tuple(text.split())


# Spellings are compared without case, blanks and punctuation: "Adj. Close", "adj_close*" and "adjClose" are adjclose.
_SPELLINGS = {
    "date": "date datetime timestamp time day session dtyyyymmdd tradedate tradingdate tradingday pricedate quotedate "
    "marketdate businessdate asofdate asof caldt datadate observationdate formatteddate localdate localtime gmttime "
    "datum fecha dateval timeperiod periodstart timeperiodstart opentime windowstart candlebegintime unix unixtime "
    "unixtimestamp epoch epochtime snappedat 日期 日付",
    "open": "open openprice openingprice priceopen pxopen openprc prcod openingvalue eröffnung eröffnungskurs eröffn "
    "erster ouverture apertura abertura otwarcie 开盘 开盘价 始値",
    "high": "high highprice highestprice pricehigh pxhigh askhi prchd highprc dayhigh highestvalue hoch höchst "
    "plushaut máximo maximo máxima maxima massimo najwyzszy 最高 最高价 高値",
    "low": "low lowprice lowestprice pricelow pxlow bidlo prcld lowprc daylow lowestvalue tief tiefst plusbas "
    "mínimo minimo mínima minima najnizszy 最低 最低价 安値",
    "close": "close closeprice closingprice priceclose pxlast pxclose closelast prc closeprc prccd closingvalue "
    "closepx closeclosepriceadjustedforsplits schluss schlusskurs clôture cloture cierre chiusura fechamento "
    "zamkniecie 收盘 收盘价 終値",
    "adj_close": "adjclose adjustedclose closeadj closeadjusted adjcloseprice adjustedcloseprice adjustedclosingprice "
    "adjclosingprice priceadj adjustedprice adjprice adjprc adjusted adjcls "
    "adjcloseadjustedclosepriceadjustedforsplitsanddividendandorcapitalgaindistributions",
    "adj_factor": "adjfactor",
    "volume": "volume vol pxvolume totalvolume sharevolume tradevolume tradedvolume volumetraded cshtrd acvoluns "
    "totaltradedquantity totaltradequantity ttltrdqnty totaltradedvolume sharestraded noofshares volumen numtrdshares "
    "stück stücke stuecke wolumen 成交量 出来高",
}
_FIELD = {word: field for field, words in _SPELLINGS.items() for word in words.split()}

# Single letters, as Polygon and Alpaca name columns, and similarly short words; in capitals, C, T, V, BAS and DATA are
# stocks.
_UNLESS_CAPITALS = {
    word: field
    for field, words in {
        "date": "t data",
        "open": "o ouv",
        "high": "h haut",
        "low": "l bas",
        "close": "c clot clôt",
        "volume": "v",
    }.items()
    for word in words.split()
}

# Names that mean the close only where no other column does.
_LIKELY_CLOSE = frozenset(
    word_list(
        "last lastprice pricelast price settle settlement settleprice nav value zuletzt letzter dernier último ultimo"
    )
)

# Words that show that a name is one of a field and not of a ticker.
_WORDS = frozenset(
    word_list(
        "open high low close volume price prices bid ask settle vwap return returns change dividend dividends split "
        "splits turnover adj adjusted unadjusted"
    )
)

# The canonical spelling of each field, preferred where a table has several.
_CANONICAL = {"adj_close": ("adjclose", "adjustedclose"), "adj_factor": ("adjfactor",), "volume": ("volume", "vol")}

# Columns of tickers and security identifiers; the first one found is taken.
TICKERS = word_list(
    "ticker tickers symbol symbols tic actsymbol tickersymbol stocksymbol tradingsymbol instrument asset ric "
    "tscode stockcode seccode securitycode code security securityid permno permid secid sid stockid assetid "
    "instrumentid gvkey isin cusip sedol figi wkn conid"
)

# Columns that may name the security, the company, or something else, which is decided from their cells.
NAMELIKE = word_list(
    "name stock stockname company companyname coin pair currencypair market fund contract product identifier id "
    "shortname longname securityname entity"
)

# Columns next to a date that hold times of day or bar lengths.
CLOCKS = frozenset(("time", "per", "period", "interval"))

# Columns that accompany prices and are never tickers.
COMPANIONS = frozenset(
    word_list(
        "openinterest openint per rownumber dividends dividend stocksplits capitalgains repaired date datetime "
        "timestamp time day session dtyyyymmdd"
    )
)
OTHERS = COMPANIONS | frozenset(
    word_list(
        "vwap vw n trades tradecount transactions numberoftrades count change changepercent pctchange pctchg chg "
        "chgpct changeovertime return returns ret retx logreturn turnover amount value marketcap spread tickvol "
        "tickvolume realvolume adjopen adjhigh adjlow adjvolume adjustedopen adjustedhigh adjustedlow adjustedvolume "
        "divcash splitfactor dividendamount splitcoefficient exdividend splitratio unadjustedvolume unadjustedclose "
        "closeunadj uclose rawclose prevclose previousclose quotevolume quoteassetvolume closetime takerbuybase "
        "takerbuyquote ignore currency exchange bid ask bidsize asksize volumema lastupdated label"
    )
)


def compact(name: object) -> str:
    """Letters and digits of a column name in lower case, without numbering, brackets and other decoration of vendors.

    >>> [compact(name) for name in ("5. adjusted close", "<VOL>", "Close*", "4a. close (USD)", "Close (adj.)", "Vol.")]
    ['adjustedclose', 'vol', 'close', 'close', 'closeadj', 'vol']
    """
    text = re.sub(r"^\s*<?\s*\d+[a-z]?\.\s+", "", str(name))
    text = re.sub(r"\((?![^)]*adj)[^)]*\)\s*$", "", text, flags=re.IGNORECASE)
    return "".join(c for c in text.lower() if c.isalnum())


def field_of(name: object) -> tuple[str, bool] | None:
    """Field that a column name stands for and whether that is certain; None for any other name.

    >>> field_of("PX_LAST"), field_of("Price"), field_of("c"), field_of("C"), field_of("Schlusskurs")
    (('close', True), ('close', False), ('close', True), None, ('close', True))
    """
    text = str(name).strip()
    if text.lower() == "$factor":  # qlib: adjusted = raw × factor
        return "adj_factor", True
    word = compact(text)
    if word in _FIELD:
        return _FIELD[word], True
    if word in _UNLESS_CAPITALS:
        return None if text.isupper() else (_UNLESS_CAPITALS[word], True)
    return ("close", False) if word in _LIKELY_CLOSE else None


def is_canonical(name: object, field: str) -> bool:
    """Whether a column has the canonical name of its field."""
    return compact(name) in _CANONICAL.get(field, (field,))


def is_wordy(name: object) -> bool:
    """Whether a name that is not in capitals contains a word of price tables, as `bid_close` and `Close USD` do.

    >>> is_wordy("BidClose"), is_wordy("close_eur"), is_wordy("bitcoin"), is_wordy("LOW.TO")
    (True, True, False, False)
    """
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", str(name))
    return not is_upper(name) and any(part.lower() in _WORDS for part in parts)


def is_upper(name: object) -> bool:
    """Whether a name is written in capitals, as tickers are."""
    return str(name).isupper()
