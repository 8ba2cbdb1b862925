"""The command line: what `botocache COMMAND` parses and prints, one file per command.

The commands compute nothing that another program could use: `_observe`, `_explain` and
the cache do. Only a command's own file is imported, and that imports what it needs when
it runs, so that `botocache run` starts at once.
"""
