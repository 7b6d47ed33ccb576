"""Files that are ordered, built in the background, downloaded and deleted. Other apps define the kinds of file."""
