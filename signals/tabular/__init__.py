"""CSV and Parquet tables as people have them: dialects, dates, numbers and column layouts."""
