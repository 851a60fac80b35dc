"""OTLP as it is stored: files of OTLP JSON as lines and documents, and the spans in them as records or as protobuf.

Reading reports needs span records, replay needs whole messages with their byte positions; both go through
:class:`~.documents.Documents`, which knows how a file of OTLP JSON is laid out and how it can be damaged.
"""
