"""What can be seen from outside: structured, correlated, masked logs."""
