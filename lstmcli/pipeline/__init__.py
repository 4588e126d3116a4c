"""The verbs: fetch, train, predict, plot and their kin. The only place where disk,
network and mathematics meet.
"""
