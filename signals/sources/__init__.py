"""Price sources: files, simulated prices, Yahoo Finance, and sources named by the user."""
