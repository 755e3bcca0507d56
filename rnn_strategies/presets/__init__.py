"""Commented configurations to start from; `rnn_strategies.config.presets` reads them."""
