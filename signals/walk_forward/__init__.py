"""Walk-forward training on a panel of stocks: signal frame, labels, folds and quantiles."""
