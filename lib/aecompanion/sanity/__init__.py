"""Does an explanation depend on what the network learned?"""
