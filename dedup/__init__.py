"""gristmill.dedup"""
