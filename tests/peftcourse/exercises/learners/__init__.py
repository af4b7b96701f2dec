"""Answers of the kinds that learners give, written from the text of each exercise alone.

They measure the checks: no wrong one may pass, no right one may fail, and the cause that a tutor
would name has to be named. They were written before the known mistakes of an exercise were looked
at, so that they are what a class hands in and not what a check already knows. An answer is
relabelled only where the text of its exercise proves the label wrong.
"""
