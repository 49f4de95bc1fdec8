"""What differs between this machine and AWS, behind small interfaces."""
