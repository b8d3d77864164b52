"""Files to pages of Markdown and text. Runs in a child process only: the files are hostile."""
