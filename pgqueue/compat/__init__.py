"""Other libraries' names over pgqueue, to move an application in step by step."""
