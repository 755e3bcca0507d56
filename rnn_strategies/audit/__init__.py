"""The audit: experiments that show whether a result can be trusted, and what they cannot show."""
