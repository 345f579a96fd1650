"""The Connect REST conversation entries: the text of one conversation, and its redaction."""
