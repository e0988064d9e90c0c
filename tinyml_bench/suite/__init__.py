"""One run of one project: register, choose, measure, judge, update baselines."""
