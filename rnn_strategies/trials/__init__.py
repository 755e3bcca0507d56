"""The trial ledger, and the trials that a run can be compared with."""
