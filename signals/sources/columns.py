"""Names that vendors and tools give to the columns of price tables, and the fields they stand for."""

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
    "word_list",
]


def word_list(text: str) -> tuple[str, ...]:
    """Words of a text."""
    return tuple(text.split())


# Spellings are compared without case, blanks and punctuation: "Adj. Close", "adj_close*" and "adjClose" are adjclose.
_SPELLINGS = {
    "date": "date datetime timestamp time day session dtyyyymmdd tradedate tradingdate tradingday pricedate quotedate "
    "marketdate businessdate asofdate asof caldt datadate observationdate formatteddate localdate localtime gmttime "
    "datum fecha dateval periodstart timeperiodstart opentime windowstart candlebegintime unix unixtime unixtimestamp "
    "epoch epochtime",
    "open": "open openprice openingprice priceopen pxopen openprc prcod openprc openingvalue",
    "high": "high highprice highestprice pricehigh pxhigh askhi prchd highprc dayhigh highestvalue",
    "low": "low lowprice lowestprice pricelow pxlow bidlo prcld lowprc daylow lowestvalue",
    "close": "close closeprice closingprice priceclose pxlast pxclose closelast prc closeprc prccd closingvalue "
    "closepx closeclosepriceadjustedforsplits",
    "adj_close": "adjclose adjustedclose closeadj closeadjusted adjcloseprice adjustedcloseprice adjustedclosingprice "
    "adjclosingprice priceadj adjustedprice adjprice adjprc adjusted adjcls "
    "adjcloseadjustedclosepriceadjustedforsplitsanddividendandorcapitalgaindistributions",
    "adj_factor": "adjfactor",
    "volume": "volume vol pxvolume totalvolume sharevolume tradevolume tradedvolume volumetraded cshtrd acvoluns "
    "totaltradedquantity totaltradequantity ttltrdqnty totaltradedvolume sharestraded noofshares volumen numtrdshares",
}
_FIELD = {word: field for field, words in _SPELLINGS.items() for word in words.split()}

# One letter each, as Polygon and Alpaca answer; C, T and V in capitals are stocks.
_LETTERS = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "t": "date"}

# What is the close only where no other column is.
_LIKELY_CLOSE = frozenset(
    ("last", "lastprice", "pricelast", "price", "settle", "settlement", "settleprice", "nav", "value")
)

# How each field is called by itself; another spelling gives way to this one.
_CANONICAL = {"adj_close": ("adjclose", "adjustedclose"), "adj_factor": ("adjfactor",), "volume": ("volume", "vol")}

# Columns of tickers and security identifiers; the first one found is taken.
TICKERS = word_list(
    "ticker tickers symbol symbols tic actsymbol tickersymbol stocksymbol tradingsymbol instrument asset ric "
    "tscode stockcode seccode securitycode code security securityid permno permid secid sid stockid assetid "
    "instrumentid gvkey isin cusip sedol figi wkn conid"
)

# Columns that may name the security, or the company, or something else: their cells decide.
NAMELIKE = word_list(
    "name stock stockname company companyname coin pair currencypair market fund contract product identifier id "
    "shortname longname securityname entity"
)

# Times of day and bar lengths beside a date.
CLOCKS = frozenset(("time", "per", "period", "interval"))

# What stands beside prices and is never a ticker by that name.
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
    """Letters and digits of a column name in lower case, without the decoration that vendors put around them.

    >>> [compact(name) for name in ("5. adjusted close", "<VOL>", "Close*", "4a. close (USD)", "$close", "Vol.")]
    ['adjustedclose', 'vol', 'close', 'close', 'close', 'vol']
    """
    text = re.sub(r"^\s*<?\s*\d+[a-z]?\.\s+", "", str(name))
    text = re.sub(r"\([^)]*\)\s*$", "", text)
    return "".join(c for c in text.lower() if c.isalnum())


def field_of(name: object) -> tuple[str, bool] | None:
    """Field that a column name stands for and whether that is certain; None for any other name.

    >>> field_of("PX_LAST"), field_of("Price"), field_of("c"), field_of("C"), field_of("Schlusskurs")
    (('close', True), ('close', False), ('close', True), None, None)
    """
    text = str(name).strip()
    if text.lower() == "$factor":  # qlib: adjusted = raw × factor
        return "adj_factor", True
    word = compact(text)
    if word in _FIELD:
        return _FIELD[word], True
    if len(word) == 1:
        return (_LETTERS[word], True) if word in _LETTERS and not text.isupper() else None
    return ("close", False) if word in _LIKELY_CLOSE else None


def is_canonical(name: object, field: str) -> bool:
    """Whether a column is called just like its field."""
    return compact(name) in _CANONICAL.get(field, (field,))


def is_upper(name: object) -> bool:
    """Whether a name is written in capitals, as tickers are."""
    return str(name).isupper()
