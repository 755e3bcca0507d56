"""Brokers: order matching, costs, margin, corporate actions and fill sources."""
