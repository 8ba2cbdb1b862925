"""An explorer of schedules: every interleaving of small programs, on the real code.

turns.py       ordinary code, cut where something else may happen in between
world.py       one schedule's world: a model of DynamoDB, real caches, and the judge
backends.py    the real stores behind it: memory, and disk
remote.py      the store on Redis behind it, and what befalls a server
database.py    that server: a real one, whose content can be read and replaced
callers.py     how an operation reaches its cache: directly, or by a botocore client
operations.py  reads and writes, and what may go wrong around them
programs.py    which programs there are
explore.py     all schedules of a program, each by itself, or one
samples.py     random schedules of larger programs, on disk and through botocore too
campaign.py    exploring for some minutes, on all processors
mutations.py   protocols with a fault in them, each of which must be caught;
               remote_mutations.py: stores on Redis
"""
