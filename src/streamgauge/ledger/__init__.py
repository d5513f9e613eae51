"""The books: one row an exchange, one an attempt, written before the promise and closed once."""
