"""A strategy that must be caught."""

import backtrader as bt


class Clairvoyant(bt.Strategy):
    """Holds, of the names with a score, those that rise on the next bar."""

    def prenext(self):
        self.next()

    def next(self):
        scored = [d for d in self.datas if len(d) and d.signal[0] == d.signal[0]]
        for d in self.datas:
            if not len(d):
                continue
            try:
                rises = d in scored and d.close[1] > d.close[0]
            except IndexError:
                rises = False
            if rises:
                self.order_target_percent(d, target=0.01)
            elif self.getposition(d).size:
                self.close(d)
