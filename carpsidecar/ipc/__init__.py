"""What engine and reporter share: the messages between them, and the channel for both ends."""
