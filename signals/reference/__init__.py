"""Point-in-time data beside prices: index membership, sectors, security ids, macro series."""
