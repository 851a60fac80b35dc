"""Stored OTLP JSON: files as lines and documents, and their spans as records or as protobuf messages.

Reports need span records; a replay needs complete messages with their byte positions. Both read files through
:class:`~.documents.Documents`, which handles the layout of OTLP JSON files and the ways in which they can be damaged.
"""
