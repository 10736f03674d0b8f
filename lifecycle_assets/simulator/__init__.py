"""Customers with known truth, for testing every statistical claim against what really is.

A shop sells 480 products in twelve categories. Each customer has their own truth (people.py): a rate of buying and a chance of
leaving after each purchase (BG/NBD), a taste, a level of spending, a response rate per channel, hours at which they look, a
slope of response in the discount, a tiredness of messages, and what a message does to them at all (persuasion). Days are then
lived through one by one (day.py), the past under a random policy whose probabilities are logged, the coming nights under
whatever messages were dispatched. What happened is told as the input tables of a shop; the truth goes into tables of its own.
"""
