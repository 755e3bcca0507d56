"""Cost presets for three kinds of account that trade US shares; money is in US dollars.

`ideal` has no costs, fractional shares and no interest on cash: the result of a strategy before costs. Rules (margins,
the cash buffer, delistings) are the defaults.

`retail` is a private account of some 10,000 to 1,000,000:

* commission 0.005 per share, at least 1.00 per order: Interactive Brokers, fixed pricing for US shares, 2025. Its upper
  limit of 1 % of the value, which matters below 0.50 a share, is left out, and so are regulatory fees (about 0.3 bp on
  sales). For brokers without commission, which earn the spread, use `min_commission=0, commission_per_share=0`.
* half the spread 5 bp: an assumption of this project. Large companies trade at 1 to 2 bp, small ones at 20 and more.
* slippage 0.02 × volatility: an assumption. By the square-root law (impact ≈ volatility × √(order ÷ daily volume);
  Almgren, Thum, Hauptmann and Li, 2005; Tóth et al., 2011) it is the impact of 0.04 % of a day's volume.
* at most 1 % of a bar's volume: an assumption; the law gives an impact of 0.1 × volatility there.
* borrowing 2 % a year, interest on debt 8 % a year, none on cash: assumptions. Central-bank rates have varied
  between 0 and 6 % in the last thirty years: set the rates of the period of your backtest.

`institutional` is a fund that trades electronically:

* commission 0.0035 per share, at least 0.35 per order: Interactive Brokers, tiered pricing for US shares, lowest tier,
  2025, without the fees of exchanges. Funds with more volume pay less.
* half the spread 2 bp: an assumption, for large companies.
* slippage 0.1 × volatility: an assumption; by the square-root law the impact of 1 % of a day's volume. At most 5 % of a
  bar's volume, where the law gives 0.22 × volatility: funds near the limit should raise the coefficient.
* borrowing 0.5 % a year: an assumption, twice the mean fee by value of 2000/01, 0.25 % (D'Avolio, 2002), in which most
  stocks cost less than 1 % and hard-to-borrow ones 4 % and more; set a higher rate for those.
* interest on debt 5 % a year, none on cash: assumptions, as above.

References
----------
Almgren, R., Thum, C., Hauptmann, E. and Li, H. (2005). Direct estimation of equity market impact. Risk 18(7).
D'Avolio, G. (2002). The market for borrowing stock. Journal of Financial Economics 66, 271-306.
Tóth, B. et al. (2011). Anomalous price impact and the critical nature of liquidity. Physical Review X 1, 021006.
"""

from __future__ import annotations

import difflib
from typing import Any

from signals.common.errors import InputError

__all__ = ["PRESETS", "preset_values"]

PRESETS: dict[str, dict[str, float | bool]] = {
    "ideal": {
        "commission": 0.0,
        "slippage": 0.0,
        "borrow_rate": 0.0,
        "fractional": True,
    },
    "retail": {
        "commission": 0.0,
        "slippage": 0.0,
        "commission_per_share": 0.005,
        "min_commission": 1.0,
        "half_spread": 0.0005,
        "volatility_slippage_coef": 0.02,
        "max_participation_rate": 0.01,
        "borrow_rate": 0.02,
        "margin_interest_rate": 0.08,
    },
    "institutional": {
        "commission": 0.0,
        "slippage": 0.0,
        "commission_per_share": 0.0035,
        "min_commission": 0.35,
        "half_spread": 0.0002,
        "volatility_slippage_coef": 0.1,
        "max_participation_rate": 0.05,
        "borrow_rate": 0.005,
        "margin_interest_rate": 0.05,
    },
}


def preset_values(name: Any) -> dict[str, Any]:
    """Return the settings that a preset fills in.

    Raises
    ------
    InputError
        When the preset does not exist.
    """
    values = PRESETS.get(name) if isinstance(name, str) else None
    if values is None:
        close = difflib.get_close_matches(str(name), PRESETS, n=1)
        advice = f"did you mean {close[0]!r}?" if close else "choose one, or remove it and state the costs"
        raise InputError(f"expected broker.preset as one of {', '.join(PRESETS)}; found {name!r}; {advice}")
    return dict(values)
