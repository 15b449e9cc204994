"""The lab's controls: buttons on the live page (`connect.watching.page`) that do to a worker what the world does."""
