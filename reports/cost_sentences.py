"""Sentences on the costs of trading. Costs that were not recorded are called unknown, never zero."""

from __future__ import annotations

from reports.common.number_format import money, small_bps
from reports.common.run_data import RunData
from reports.metrics.performance import Metrics

__all__ = ["cost_words", "unknown_costs"]

# Cash flows that are costs, as `BacktestResult.cash_flows` names them.
FEES = {"borrow fee": "fees for borrowed shares", "margin interest": "margin interest"}


def unknown_costs(m: Metrics) -> list[str]:
    """List which of "commission" and "slippage" were not recorded for every fill; [] without transactions."""
    return [kind for kind in ("commission", "slippage") if m["transactions"] and m[f"{kind}_total"] is None]


def cost_words(run: RunData, m: Metrics) -> str:
    """Clause on costs that ends the sentence on what was traded.

    Parameters
    ----------
    run : RunData
        Its cash flows hold borrow fees and margin interest.
    m : dict
        Figures of `compute_metrics` of an account with at least one transaction.

    Returns
    -------
    str
        Such as ", paying 5.0 bp commission on all money traded; its slippage is unknown", without the full stop.
    """
    kinds, unknown = ("commission", "slippage"), unknown_costs(m)
    # a negative commission is a rebate and is reported like a cost
    paid = [f"{small_bps(m[f'{kind}_bps'])} {kind}" for kind in kinds if m[f"{kind}_total"]]
    text = f", paying {' and '.join(paid)} on all money traded" if paid else ""
    fees = []
    if run.cash_flows is not None and len(run.cash_flows):
        owed = -run.cash_flows["amount"].groupby(run.cash_flows["kind"]).sum()
        fees = [f"{money(owed[kind])} of {words}" for kind, words in FEES.items() if owed.get(kind, 0.0) > 0.0]
    if fees:
        text += f" and {' and '.join(fees)}" if paid else f", paying {' and '.join(fees)}"
    if unknown:
        return f"{text}; its {' and '.join(unknown)} {'are' if len(unknown) > 1 else 'is'} unknown"
    if paid:
        return text
    if fees:
        return f"{text}; no commission and no slippage were charged"
    return ". No costs were charged" if run.settings.get("flows") else ". No commission and no slippage were charged"
