"""Readers of CSV and Parquet tables: dialects, dates, numbers and column layouts."""
