"""A second reading of adapter files: plain NumPy in float64, from the file's own bytes.

It shares no code and no table of names with ``workers``, and asks neither diffusers nor peft. Which weights a layer of
a file changes is told by the test that wrote the file.
"""
