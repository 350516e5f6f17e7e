"""Closing the loop: what customers are told, how content they are afterwards, and what the shop does about causes."""
