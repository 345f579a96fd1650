"""The Conversation Data API: the entries of one conversation with their payloads."""
