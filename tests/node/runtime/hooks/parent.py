"""A compute node that starts a mute runtime and waits: to be killed while it does."""

import sys

from node.runtime.launch import ENTRY, probe

probe(entry=(*ENTRY[:-2], "-c", sys.argv[1]))
