"""Names of broker rules and tolerances of share arithmetic, shared by feeds and brokers."""
