"""Clusters of customers who are alike, by k-means."""
