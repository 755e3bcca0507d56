"""Parsing of features as text, and messages for invalid ones."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signals.common.errors import InputError
from signals.features import FEATURES, check_features
from signals.features.expressions import parse_features


@pytest.mark.parametrize(
    ("text", "name", "arguments", "versus"),
    [
        ("return", "return", (1,), None),
        ("return( 4 )", "return", (4,), None),
        ("return()", "return", (1,), None),
        ("momentum(26, 2)", "momentum", (26, 2), None),
        ("momentum(26)", "momentum", (26, 4), None),
        ("volatility  minus  market", "volatility", (21,), "market"),
        ("return(4) minus sector", "return", (4,), "sector"),
        ("macro(UMCSENT)", "macro", ("UMCSENT",), None),
        ("macro_change(S&P: indust, 3)", "macro_change", ("S&P: indust", 3), None),
        ("macro_growth('a, b (minus c)', 6)", "macro_growth", ("a, b (minus c)", 6), None),
        ('macro("x minus market")', "macro", ("x minus market",), None),
    ],
)
def test_expression_is_parsed(text, name, arguments, versus):
    (spec,) = parse_features([text])
    assert spec.feature is FEATURES[name]
    assert (spec.arguments, spec.versus, spec.function) == (arguments, versus, None)


@pytest.mark.parametrize("feature", FEATURES.values(), ids=lambda feature: feature.name)
def test_every_feature_can_be_written_as_its_usage(feature):
    (spec,) = parse_features([feature.usage])
    assert spec.feature is feature
    assert feature.summary.endswith(".")  # the first line of every feature is a sentence


def test_custom_function_is_parsed(support):
    import own_features

    (spec,) = parse_features(["own_features:five_sessions minus market"])
    assert spec.function is own_features.five_sessions
    assert (spec.feature, spec.versus, spec.name) == (None, "market", "own_features:five_sessions minus market")


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["volatilty"], r"found 'volatilty' \(close: volatility\); correct the name$"),
        (["Return"], r"found 'Return' \(close: return\)"),
        (["dollar volume"], r"close: dollar_volume"),
        (["xyzzy"], r"found 'xyzzy'; choose among beta, .*, or write 'package.module:function'"),
        (["volatility(x)"], r"whole number of at least 2 as window of 'volatility\(x\)'; found 'x'"),
        (["volatility(1)"], r"at least 2 as window"),
        (["volatility(0)"], r"at least 2 as window"),
        (["return(0)"], r"at least 1 as periods"),
        (["return(-4)"], r"at least 1 as periods .* found '-4'"),
        (["return(4.0)"], r"found '4.0'"),
        (["return(999999)"], r"found '999999'"),
        (["return(²)"], r"found '²'"),
        (["return(4,)"], r"expected return\(1\) with periods; found 'return\(4,\)'"),
        (["volatility(21, 5)"], r"expected volatility\(21\) with window \(sessions\)"),
        (["month_sin(3)"], r"expected month_sin with nothing in brackets"),
        (["momentum(4, 52)"], r"far above near; found momentum\(4, 52\)"),
        (["momentum(4)"], r"far above near; found momentum\(4, 4\)"),
        (["macro"], r"expected macro\(SERIES\) with series; found 'macro'"),
        (["macro()"], r"expected macro\(SERIES\)"),
        (["macro('')"], r"name of a series as series of"),
        (["return(4"], r"found 'return\(4'"),
        (["return minus markt"], r"found 'markt' \(close: market\)"),
        (
            ["month_sin minus market"],
            r"differs between tickers before 'minus market'; found 'month_sin', equal for all",
        ),
        (["macro(X) minus sector"], r"equal for all"),
        (["return", "return(1)"], r"each feature once; found 'return\(1\)' and 'return'"),
        ([], r"at least one feature; found \[\]"),
        ("return", r"a list of at least one feature; found 'return'"),
        (None, r"found None"),
        ([3], r"a feature as text; found 3"),
        ([" "], r"a feature as text; found ' '"),
        (["no_such_module:f"], r"a module 'no_such_module' for a feature"),
        (["math:nothing"], r"expected 'nothing' in math"),
        (["math:pi"], r"a function of prices; found float"),
        ([":f"], r"'package.module:Name'"),
        (["own_features:undeclared"], r"how many sessions .*found warm_up = None; write .* undeclared.warm_up = 20"),
        (["own_features:oddly_declared"], r"found warm_up = '20 days'"),
        (["own_features:not_a_function"], r"a function of prices; found int"),
    ],
)
def test_invalid_expression_is_refused(specs, message, support):
    with pytest.raises(InputError, match=message) as caught:
        check_features(specs)
    assert "\n" not in str(caught.value)


words = st.sampled_from(
    [*FEATURES, "vs", "market", "sector", "(", ")", ",", ":", "4", "-1", "'", '"', "x", " ", "math:pi"]
)


@given(
    st.one_of(st.text(max_size=30), st.lists(words, max_size=8).map("".join), st.lists(words, max_size=8).map(" ".join))
)
def test_any_text_is_parsed_or_refused_in_one_line(text):
    try:
        check_features([text])
    except InputError as error:
        lines = str(error).splitlines()
    else:
        lines = ["understood"]
    assert len(lines) == 1


def test_parsing_imports_no_heavy_library():
    code = (
        "import sys; from signals.features import check_features; check_features(['beta', 'macro(X)']);"
        "print([m for m in ('keras', 'tensorflow', 'sklearn', 'exchange_calendars', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
