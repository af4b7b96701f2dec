"""Compare methods on the same data with the same budget: tuned rates, several seeds, intervals.

``peftlab compare`` runs it; ``peftcourse.compare.tables`` reads what it recorded.
"""
