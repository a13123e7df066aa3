"""`threadproof top`: another process's structures, on a terminal.

client     asks a program that serves, and finds the address by the number of its process
rows       a row of the table for each structure, with rates between two answers
text       the table as plain text
recording  a session as a file, and its replay
screen     the table on a screen (threadproof[live])
"""
