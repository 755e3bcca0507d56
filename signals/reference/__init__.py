"""Point-in-time reference data: index membership, sectors, security ids, macro series."""
