"""Checks of price tables that warnings of a run and the audit share."""
