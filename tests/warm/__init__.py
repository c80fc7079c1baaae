"""Python processes that start warm: forked from one that has imported what they import.

An `up` starts five Python processes, whose imports cost more processor time than all that they do. What is forked is
the same program with the same arguments, environment, folder and files, and ends when it would end; only its imports
are done. Tests of how a process starts or is killed start it cold.

A network's sandbox is number 1 of its namespaces when it starts cold. Warm, number 1 is its starter: the sandbox is
forked into them, and ends at its end what the kernel would have ended.
"""
