"""`fastbook sweep`: many backtests, and how far their best one can be believed."""
