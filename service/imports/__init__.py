"""Files of usage: reading them as a stream, and taking them in through the same queue as every other report.

lines.py      bytes to lines, of a bounded length
reading.py    CSV and JSON Lines to reports of neighbouring rows; which formats there are
parquet.py    Parquet to lines, in a process of its own
taking_in.py  one upload, on a thread of its own: read, hand in, wait for the COMMIT, say how far it has come
results.py    what became of each row, as a CSV file
"""
