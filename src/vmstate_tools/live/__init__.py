"""What runs or drives a virtual machine."""
