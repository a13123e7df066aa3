"""The demonstration behind `threadproof demo`: a program in which threads share one map, checked and timed.

concordance  every word of a source tree, how often it occurs and in which files, built in three ways
measure      times the three ways, and compares their results
text         the results as text
"""
