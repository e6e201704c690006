"""`fastbook doctor`: everything that a run needs, looked at and told; nothing is changed."""
