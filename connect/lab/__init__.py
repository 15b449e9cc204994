"""The lab's controls: buttons on the live page (`connect.watching.page`) that disturb a worker as servers and networks do."""
