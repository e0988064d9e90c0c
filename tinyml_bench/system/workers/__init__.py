"""Worker processes that may abort, hang or be killed, and lose only the task at hand."""
